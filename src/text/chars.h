/* Characters as Hugging Face's tokenizers see them: classes, decomposition, lower case, grapheme
 * clusters. Beyond ASCII this needs utf8proc; chars_ready says whether lode was built with it. */
#ifndef TEXT_CHARS_H
#define TEXT_CHARS_H

#include "base/arena.h"
#include "base/str.h"

/* chars_ready: E_MISSING in a build without utf8proc. */
int chars_ready(struct err *e);

bool chars_is_space(uint32_t cp);   /* Unicode White_Space */
bool chars_is_dropped(uint32_t cp); /* control, format, private use, U+0000, U+FFFD */
bool chars_is_mark(uint32_t cp);    /* Mn */
bool chars_is_sign(uint32_t cp);    /* punctuation, and every ASCII sign */
bool chars_is_ideograph(uint32_t cp);

/* chars_lower: the lower case of one character: 1 or 2 code points in out. */
int chars_lower(uint32_t cp, uint32_t out[2]);

enum chars_form { CHARS_NFD, CHARS_NFC, CHARS_NFKD, CHARS_NFKC };
/* chars_form: text (valid UTF-8) in that normal form, in a. Errors: E_NOMEM. */
int chars_form(struct arena *a, struct str text, enum chars_form form, struct str *out,
               struct err *e);

/* chars_grapheme: bytes of the extended grapheme cluster that text begins with; 0 if it is empty.
 */
size_t chars_grapheme(struct str text);

#endif
