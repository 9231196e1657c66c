/* How well a text compresses: Whisper's sign that it repeats itself. */
#ifndef JOBS_RATIO_H
#define JOBS_RATIO_H

#include "base/arena.h"

struct ratio;

/* ratio_init: takes all memory that ratio_text needs from a (about 270 KB), and lives there.
 * Errors: E_NOMEM. */
int ratio_init(struct arena *a, struct ratio **out, struct err *e);

/* ratio_text: n over the bytes of zlib.compress (level 6) of the n bytes at p, n below 2^31; 0 for
 * n = 0. Peers give it the text of the whole window, without white space at its ends. Follows:
 * openai/whisper utils.py compression_ratio. Changes r, so one thread at a time. */
double ratio_text(struct ratio *r, const char *p, size_t n);

#endif
