/* Unigram, SentencePiece's model: of all ways to cut a text into pieces the most likely one. */
#ifndef TEXT_UNIGRAM_H
#define TEXT_UNIGRAM_H

#include "text/tokens.h"

struct unigram;

/* unigram_open: piece [n] with their log-probabilities; a piece's id is its place. unknown: the id
 * of what no piece covers, or -1. bytes: what no piece covers is spelled in pieces "<0xNN>" where
 * all of them exist. Pieces are copied. Errors: E_NOMEM, E_MODEL. */
int unigram_open(struct arena *a, const struct str *piece, const double *score, size_t n,
                 int32_t unknown, bool bytes, struct unigram **out, struct err *e);

/* unigram_add: the tokens of a text (valid UTF-8) to the list. scratch: rewound. Errors: E_NOMEM;
 * E_MODEL if a character is unknown and there is no unknown token. */
int unigram_add(const struct unigram *u, struct arena *scratch, struct str text,
                struct tokens_list *list, struct err *e);

#endif
