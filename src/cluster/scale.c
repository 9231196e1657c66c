#include "cluster/scale.h"
#include <math.h>
#include <string.h>

#define FAR 4 /* standard deviations: see the header */

static int check_row(const double *row, int64_t d, int64_t i, double most, struct err *e)
{
    for (int64_t j = 0; j < d; j++) {
        if (fabs(row[j]) <= most) continue;
        if (isnan(row[j]) || isinf(row[j]))
            return err_set(e, E_INPUT,
                           "row %lld, column %lld is %s; drop the row or fill it in, every number "
                           "must be finite",
                           (long long)i + 1, (long long)j + 1, isnan(row[j]) ? "NaN" : "infinite");
        return err_set(e, E_INPUT,
                       "row %lld, column %lld is %g; numbers up to %g can be clustered, "
                       "--standardize brings others there",
                       (long long)i + 1, (long long)j + 1, row[j], SCALE_MOST);
    }
    return 0;
}

/* The number of few bits nearest to x. */
static double rounded(double x)
{
    int exponent;
    double part = frexp(x, &exponent);
    return ldexp(rint(part * 256) / 256, exponent);
}

int scale_measure(struct arena *a, const struct scale_source *s, bool standardise,
                  struct scale *out, struct err *e)
{
    int64_t d = s->d;
    double *all = ARENA_NEW(a, double, (size_t)(4 * d), e), most = 0;
    if (!all) return -1;
    *out = (struct scale){.d = d, .mean = all, .standardised = standardise};
    out->deviation = all + d;
    out->shift = all + 2 * d;
    out->unit = all + 3 * d;
    struct arena_mark mark = arena_here(a);
    double *row = ARENA_NEW(a, double, (size_t)d, e);
    if (!row) return -1;
    /* in units in which nothing overflows, for sums of squares */
    for (int64_t i = 0; i < s->n; i++) {
        s->row(s->ctx, i, row);
        TRY(check_row(row, d, i, standardise ? 1e300 : SCALE_MOST, e));
        for (int64_t j = 0; j < d; j++) {
            most = fabs(row[j]) > most ? fabs(row[j]) : most; /* fmax is a call */
            out->mean[j] += row[j] / (double)s->n;
        }
    }
    double unit = most > 1e140 || (most > 0 && most < 1e-140) ? most : 1;
    for (int64_t i = 0; i < s->n; i++) {
        s->row(s->ctx, i, row);
        for (int64_t j = 0; j < d; j++) {
            double off = (row[j] - out->mean[j]) / unit;
            out->deviation[j] += off * off;
        }
    }
    for (int64_t j = 0; j < d; j++) {
        double deviation = sqrt(out->deviation[j] / (double)s->n) * unit, mean = out->mean[j];
        /* what is left of a constant column is rounding: scikit-learn's bound */
        bool constant = deviation <= (double)s->n * 0x1p-52 * fabs(mean) || deviation == 0;
        out->deviation[j] = deviation;
        out->unit[j] = standardise && !constant ? deviation : 1;
        out->shift[j] = standardise ? mean : fabs(mean) > FAR * deviation ? rounded(mean) : 0;
        out->moves |= out->shift[j] != 0 || out->unit[j] != 1;
    }
    arena_rewind(a, mark);
    return 0;
}

/* One row scaled; false if a number in it is too large or no number. Plain loops, for the compiler.
 */
static bool scale_row(const struct scale *s, double *row, float *out)
{
    int bad = 0;
    if (s->moves)
        for (int64_t j = 0; j < s->d; j++) row[j] = (row[j] - s->shift[j]) / s->unit[j];
    for (int64_t j = 0; j < s->d; j++) {
        out[j] = (float)row[j];
        bad |= !(fabs(row[j]) <= SCALE_MOST);
    }
    return !bad;
}

/* Rows that are f32 already and stay as they are. False if one holds what a row may not. */
static bool copy_row(const struct scale_source *s, int64_t i, float *out)
{
    enum { LANES = 16 }; /* compared side by side, so that the compiler makes vectors of it */
    const float *row = s->single ? s->single(s->ctx, i) : NULL;
    int bad[LANES] = {0}, any = 0;
    int64_t j = 0;
    if (!row) return false;
    memcpy(out, row, (size_t)s->d * sizeof *out);
    for (; j + LANES <= s->d; j += LANES)
        for (int l = 0; l < LANES; l++) bad[l] |= !(fabsf(out[j + l]) <= (float)SCALE_MOST);
    for (; j < s->d; j++) any |= !(fabsf(out[j]) <= (float)SCALE_MOST);
    for (int l = 0; l < LANES; l++) any |= bad[l];
    return !any;
}

int scale_rows(struct arena *a, const struct scale_source *s, const struct scale *scale,
               int64_t from, int64_t count, float *out, struct err *e)
{
    struct arena_mark mark = arena_here(a);
    double *row = ARENA_NEW(a, double, (size_t)s->d, e);
    if (!row) return -1;
    for (int64_t i = from; i < from + count; i++, out += s->d) {
        if (!scale->moves && copy_row(s, i, out)) continue;
        s->row(s->ctx, i, row);
        if (!scale_row(scale, row, out)) TRY(check_row(row, s->d, i, SCALE_MOST, e));
    }
    arena_rewind(a, mark);
    return 0;
}

int scale_view_rows(void *view, int64_t from, int64_t count, float *out, struct err *e)
{
    const struct scale_view *v = view;
    return scale_rows(v->a, v->source, v->scale, from, count, out, e);
}
