/* The precompiled map of characters of a SentencePiece model: what is replaced by what before
 * anything else. */
#ifndef TEXT_CHARSMAP_H
#define TEXT_CHARSMAP_H

#include "base/arena.h"
#include "base/str.h"

struct charsmap;

/* charsmap_open: from the base64 text in tokenizer.json. Errors: E_MODEL. */
int charsmap_open(struct arena *a, struct str base64, struct charsmap **out, struct err *e);

/* charsmap_apply: text (valid UTF-8) -> *out in a. */
int charsmap_apply(const struct charsmap *m, struct arena *a, struct str text, struct str *out,
                   struct err *e);

#endif
