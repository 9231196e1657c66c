/* From numbers in a file to rows f32 on a device: checked, shifted and, if asked, standardised.
 *
 * A column whose mean lies more than 4 standard deviations from 0 is shifted by a number close to
 * its mean: f32 keeps differences better near 0. That number has few bits, and rows near it are
 * within a factor of 2 of it, so the subtraction is exact. Other columns stay as they are. */
#ifndef CLUSTER_SCALE_H
#define CLUSTER_SCALE_H

#include "base/arena.h"

/* The largest size of a number: its square times a million columns must stay within f32. */
#define SCALE_MOST 1e15

struct scale {
    int64_t d;
    double *mean, *deviation; /* [d] of the columns as read; population's, as scikit-learn */
    double *shift, *unit;     /* [d]: x' = (x - shift) / unit; unit 1 unless standardised */
    bool standardised, moves; /* moves: some shift is not 0 or some unit not 1 */
};

/* Where numbers come from: row i as double [d]. single, which may be NULL: the same row where it
 * lies as f32, or NULL if it does not; for as long as the same thread asks for no other row.
 * threads: so many may ask at the same time; 0 is 1. */
struct scale_source {
    void *ctx;
    void (*row)(void *ctx, int64_t i, double *out);
    int64_t n, d;
    const float *(*single)(void *ctx, int64_t i);
    int threads;
};

/* scale_measure: means and deviations of the columns. Errors: E_INPUT naming row and column of the
 * first number that is NaN, infinite or, unless standardised, larger than SCALE_MOST. */
int scale_measure(struct arena *a, const struct scale_source *s, bool standardise,
                  struct scale *out, struct err *e);
/* scale_rows: rows [n][d], or the `count` rows from `from` on. */
int scale_rows(struct arena *a, const struct scale_source *s, const struct scale *scale,
               int64_t from, int64_t count, float *out, struct err *e);

/* scale_view_rows: scale_rows of a struct scale_view, as a source of others. */
struct scale_view {
    struct arena *a;
    const struct scale_source *source;
    const struct scale *scale;
};
int scale_view_rows(void *view, int64_t from, int64_t count, float *out, struct err *e);

#endif
