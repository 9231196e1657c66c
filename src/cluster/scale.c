#include "cluster/scale.h"
#include "base/thread.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define FAR   4         /* standard deviations: see the header */
#define FEW   (1 << 15) /* numbers: a team takes longer to meet than to scale them */
#define PIECE 1024      /* rows measured together */

static int threads_for(const struct scale_source *s, int64_t rows)
{
    return rows * s->d > FEW ? MAX(s->threads, 1) : 1;
}

static int64_t pieces_of(int64_t rows)
{
    return (rows + PIECE - 1) / PIECE;
}

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

/* Sums over the rows, each piece of them by itself, so that the order of a sum and with it its last
 * bits are the same however many threads there are. */
struct measuring {
    const struct scale_source *source;
    double limit;       /* of a number's size */
    const double *mean; /* NULL: numbers are summed, over n; else squares of what lies off it */
    double per_row, per_unit; /* 1 / n; 1 / a unit in which no square overflows */
    double *sum;              /* [pieces][d] */
    double *most;             /* [pieces] the largest size */
    int64_t *bad; /* [pieces] the first row with a number that is too large or none; or -1 */
    double *room; /* [threads][d] */
};

static void measure_row(const struct measuring *g, const double *row, double *sum)
{
    int64_t d = g->source->d;
    for (int64_t j = 0; j < d && g->mean; j++) {
        double off = (row[j] - g->mean[j]) * g->per_unit;
        sum[j] += off * off;
    }
    for (int64_t j = 0; j < d && !g->mean; j++) sum[j] += row[j] * g->per_row;
}

/* The largest size of a row's numbers; NaN if one is beyond the limit or none. */
static double largest(const double *row, int64_t d, double limit)
{
    double most = 0;
    bool good = true;
    for (int64_t j = 0; j < d; j++) {
        double size = fabs(row[j]);
        most = size > most ? size : most; /* fmax is a call */
        good &= size <= limit;
    }
    return good ? most : NAN;
}

static void measure_share(void *ctx, struct thread_team *team, int id)
{
    const struct measuring *g = ctx;
    const struct scale_source *s = g->source;
    double *row = g->room + id * s->d;
    for (int64_t p = id; p < pieces_of(s->n); p += team->n) {
        g->most[p] = 0;
        g->bad[p] = -1;
        for (int64_t i = p * PIECE; i < MIN(s->n, (p + 1) * PIECE) && g->bad[p] < 0; i++) {
            s->row(s->ctx, i, row);
            double most = g->mean ? 0 : largest(row, s->d, g->limit);
            if (isnan(most)) g->bad[p] = i;
            g->most[p] = most > g->most[p] ? most : g->most[p];
            measure_row(g, row, g->sum + p * s->d);
        }
    }
}

/* One reading of all rows: sum [d], and the largest size of a number. */
static int measure(struct measuring *g, double *sum, double *most, struct err *e)
{
    const struct scale_source *s = g->source;
    int64_t pieces = pieces_of(s->n);
    memset(g->sum, 0, (size_t)(pieces * s->d) * sizeof *g->sum);
    thread_run(threads_for(s, s->n), measure_share, g);
    for (int64_t p = 0; p < pieces; p++) {
        if (g->bad[p] >= 0) {
            s->row(s->ctx, g->bad[p], g->room);
            return check_row(g->room, s->d, g->bad[p], g->limit, e);
        }
        for (int64_t j = 0; j < s->d; j++) sum[j] += g->sum[p * s->d + j];
        *most = fmax(*most, g->most[p]);
    }
    return 0;
}

static int measure_all(struct arena *a, const struct scale_source *s, struct scale *out,
                       struct err *e)
{
    int64_t d = s->d, pieces = pieces_of(s->n);
    struct measuring g = {
        .source = s, .limit = out->standardised ? 1e300 : SCALE_MOST, .per_row = 1 / (double)s->n};
    double most = 0;
    if (!(g.sum = ARENA_NEW(a, double, (size_t)(pieces * d), e))) return -1;
    if (!(g.most = ARENA_NEW(a, double, (size_t)pieces, e))) return -1;
    if (!(g.bad = ARENA_NEW(a, int64_t, (size_t)pieces, e))) return -1;
    if (!(g.room = ARENA_NEW(a, double, (size_t)(threads_for(s, s->n) * d), e))) return -1;
    TRY(measure(&g, out->mean, &most, e));
    g.mean = out->mean;
    double unit = most > 1e140 || (most > 0 && most < 1e-140) ? fmax(most, DBL_MIN) : 1;
    g.per_unit = 1 / unit;
    TRY(measure(&g, out->deviation, &most, e));
    for (int64_t j = 0; j < d; j++)
        out->deviation[j] = sqrt(out->deviation[j] / (double)s->n) * unit;
    return 0;
}

int scale_measure(struct arena *a, const struct scale_source *s, bool standardise,
                  struct scale *out, struct err *e)
{
    int64_t d = s->d;
    double *all = ARENA_NEW(a, double, (size_t)(4 * d), e);
    if (!all) return -1;
    *out = (struct scale){.d = d, .mean = all, .standardised = standardise};
    out->deviation = all + d;
    out->shift = all + 2 * d;
    out->unit = all + 3 * d;
    struct arena_mark mark = arena_here(a);
    TRY(measure_all(a, s, out, e));
    arena_rewind(a, mark);
    for (int64_t j = 0; j < d; j++) {
        double deviation = out->deviation[j], mean = out->mean[j];
        /* what is left of a constant column is rounding: scikit-learn's bound */
        bool constant = deviation <= (double)s->n * 0x1p-52 * fabs(mean) || deviation == 0;
        out->unit[j] = standardise && !constant ? deviation : 1;
        out->shift[j] = standardise ? mean : fabs(mean) > FAR * deviation ? rounded(mean) : 0;
        out->moves |= out->shift[j] != 0 || out->unit[j] != 1;
    }
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

struct scaling {
    const struct scale_source *source;
    const struct scale *scale;
    int64_t from, count;
    float *out;
    double *room; /* [threads][d] */
    int64_t *bad; /* [threads] the first row that holds what a row may not, or -1 */
};

static void scale_share(void *ctx, struct thread_team *team, int id)
{
    const struct scaling *g = ctx;
    int64_t d = g->source->d, from, to;
    double *row = g->room + id * d;
    thread_share(team, id, g->count, 1, &from, &to);
    for (int64_t i = from; i < to && g->bad[id] < 0; i++) {
        float *out = g->out + i * d;
        if (!g->scale->moves && copy_row(g->source, g->from + i, out)) continue;
        g->source->row(g->source->ctx, g->from + i, row);
        if (!scale_row(g->scale, row, out)) g->bad[id] = g->from + i;
    }
}

int scale_rows(struct arena *a, const struct scale_source *s, const struct scale *scale,
               int64_t from, int64_t count, float *out, struct err *e)
{
    struct arena_mark mark = arena_here(a);
    int threads = threads_for(s, count);
    struct scaling g = {.source = s, .scale = scale, .from = from, .count = count, .out = out};
    g.room = ARENA_NEW(a, double, (size_t)(threads * s->d), e);
    g.bad = g.room ? ARENA_NEW(a, int64_t, (size_t)threads, e) : NULL;
    if (!g.bad) return -1;
    for (int i = 0; i < threads; i++) g.bad[i] = -1;
    thread_run(threads, scale_share, &g);
    for (int i = 0; i < threads; i++) {
        if (g.bad[i] < 0) continue;
        s->row(s->ctx, g.bad[i], g.room);
        scale_row(scale, g.room, out + (g.bad[i] - from) * s->d);
        return check_row(g.room, s->d, g.bad[i], SCALE_MOST, e);
    }
    arena_rewind(a, mark);
    return 0;
}

int scale_view_rows(void *view, int64_t from, int64_t count, float *out, struct err *e)
{
    const struct scale_view *v = view;
    return scale_rows(v->a, v->source, v->scale, from, count, out, e);
}
