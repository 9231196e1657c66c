/* When each token of a text was said, from where the heads of cross-attention listened. Pure
 * functions over plain numbers; words.c brings the numbers. Follows openai/whisper timing.py
 * (find_alignment, median_filter, dtw) and CTranslate2 4.8 ops/dtw (the same quirks). */
#ifndef JOBS_ALIGN_H
#define JOBS_ALIGN_H

#include "base/arena.h"

struct align;

/* align_open: room in a for `heads` heads, at most `rows` tokens and `frames` frames of 20 ms. */
int align_open(struct arena *a, int heads, int rows, int frames, struct align **out, struct err *e);
/* align_bytes: what align_open takes. */
size_t align_bytes(int heads, int rows, int frames);

/* align_row: where a head listened when it was given token `row`: [frames], weights >= 0 that need
 * not sum to 1. To be filled before align_times, which makes other numbers of them. */
float *align_row(struct align *a, int head, int row);

/* align_times: time[i], i = 0 .. rows - from - 2: the frame, counted from 0, in which the token
 * that follows row from + i begins; it never falls. All rows steady the numbers, the last and those
 * before `from` get no time. rows - from >= 2, 1 <= frames <= those of align_open. */
void align_times(struct align *a, int rows, int from, int frames, int *time);

#endif
