/* Text -> token ids by a model's own tokenizer: tokenizer.json of Hugging Face (WordPiece, Unigram,
 * byte-level BPE) or the vocab.txt of BERT. Ids are those of the `tokenizers` package. */
#ifndef TEXT_TOKENS_H
#define TEXT_TOKENS_H

#include "base/arena.h"
#include "base/str.h"

#define TOKENS_BYTES_MAX (64u << 20) /* of a text */

struct tokens;

struct tokens_list { /* where ids go: those that do not fit are counted alone */
    int32_t *id;
    size_t cap, n;
};

static inline void tokens_list_add(struct tokens_list *l, int32_t id)
{
    if (l->n < l->cap) l->id[l->n] = id;
    l->n++;
}

/* tokens_open: from the text of tokenizer.json, or, if that is empty, of vocab.txt (BERT's rules;
 * lower: case and accents are folded). Lives in a; the text may go away. What tokenizer.json says
 * of truncation and padding is not followed. Errors: E_MODEL (what cannot be read, or which part of
 * it lode does not know), E_MISSING (no utf8proc). */
int tokens_open(struct arena *a, struct str json, struct str vocab, bool lower, struct tokens **out,
                struct err *e);

/* tokens_most: one more than the largest id there is. tokens_frame: special tokens put around a
 * text. tokens_kind: "WordPiece", "Unigram", "BPE". */
int64_t tokens_most(const struct tokens *t);
size_t tokens_frame(const struct tokens *t);
const char *tokens_kind(const struct tokens *t);

/* tokens_encode: a text (UTF-8, at most TOKENS_BYTES_MAX bytes) with its special tokens into list,
 * which starts empty; cut to list->cap by leaving out the end of the text, never the special tokens
 * (cap > tokens_frame). list->n is then what is there; the return value what the whole text has, or
 * -1. literal: special tokens spelled out in the text are text. scratch: rewound. t is only read,
 * so several threads may encode. Errors: E_INPUT (not UTF-8, too long), E_NOMEM. */
int64_t tokens_encode(const struct tokens *t, struct arena *scratch, struct str text, bool literal,
                      struct tokens_list *list, struct err *e);

/* tokens_head: a beginning of text whose tokens, and those of the rest, are what they are in all of
 * it: up to a single space between two letters of ASCII, the last one in its first `most` bytes,
 * else the first one behind them. All of it, if it is no longer than that, if there is no such
 * place or if the tokenizer does not cut at spaces. */
struct str tokens_head(const struct tokens *t, struct str text, size_t most);

#endif
