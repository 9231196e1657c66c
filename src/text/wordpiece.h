/* WordPiece, as BERT uses it: the longest piece that the vocabulary has, from the left. */
#ifndef TEXT_WORDPIECE_H
#define TEXT_WORDPIECE_H

#include "text/vocab.h"

struct wordpiece {
    struct vocab begin, rest; /* pieces that begin a word; others, without their prefix ("##") */
    int32_t unknown;
    int most_chars; /* a longer word is unknown */
};

struct tokens_list;

/* wordpiece_open: key [n] with ids; prefix: what marks the pieces that do not begin a word. Keys
 * are borrowed. Errors: E_NOMEM, E_MODEL (no such unknown token). */
int wordpiece_open(struct arena *a, const struct str *key, const int32_t *id, size_t n,
                   struct str prefix, struct str unknown, int most_chars, struct wordpiece *w,
                   struct err *e);

/* wordpiece_add: the tokens of a word (valid UTF-8, not empty) to the list. */
void wordpiece_add(const struct wordpiece *w, struct str word, struct tokens_list *list);

#endif
