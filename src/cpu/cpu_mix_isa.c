/* Mixtures of Gaussians (estep) and sparse times dense (diffuse). See op.def and cpu.h.
 *
 * estep takes ROWS_MIX rows at a time. First each member finds the responsibilities of some of
 * them, then each adds up some of the columns over all of them in order: sums do not depend on how
 * many members there are, and responsibilities exist for that many rows only. The next rows go to
 * the other half of that room, so members wait for each other once for a block.
 * The differences are squared as they are, (x * scale - shift)^2, never as x^2 - 2 x m + m^2, which
 * would cost as much and lose everything where a cluster is small and far out. */
#define ROWS_ISA
#include "cpu/cpu_rows.h"
#include <math.h>

/* Responsibilities below this add nothing that f64 sums of 1 would show. */
#define LEAST_PART 1e-9f
#define LEAST_LOG  -24.0f /* less than the logarithm of that: whole vectors of such are most */

/* What a row knows from the step before (see op.def): log p of any cluster, at most, and up to four
 * clusters of which this is not said because they are near. From how far every cluster has moved
 * follows which others may count by now. If they are few, they are all that is looked at. */
#define KNOWN_FLOATS 5
#define KNOWN_MOST   (KNOWN_FLOATS - 1)
#define NEAR_LOG     -60.0f /* clusters so much less likely than the first are kept as near */
#define SUSPECTS     12     /* more of them cost as much as all in a tile */
#define WORTH        8192   /* numbers of all clusters from which on this is less work */
_Static_assert((KNOWN_MOST + SUSPECTS) % 16 == 0, "whole vectors on every level");

struct mix {
    const float *x, *scale, *shift;
    const double *fixed;
    int64_t n, d, k, width, columns;
    int matrices; /* 0, 1, or k */
    struct rows_mix m;
    float *panel, *square;
    struct rows_share *share; /* of a block [rows][columns]: of each row the first `shares` */
    int32_t *shares;          /* [rows] */
    float *level;             /* [columns]: fixed less `base`, the largest of them */
    float *stretch, *drift, *before; /* [columns]: what became of a cluster, see op.def */
    float *known;                    /* [n][KNOWN_FLOATS], or NULL */
    bool stepped;                    /* and it is of the step before */
    double base, *likelihood;        /* [rows] */
    struct rows_share *turned;       /* of the member, as are the following: see mix_turn */
    int32_t *end;
    float *rows, *room, *c, *out; /* of the member; out [8][columns] */
};

struct chosen { /* clusters that may count in a row, and log p less base */
    int n;
    int32_t id[KNOWN_MOST + SUSPECTS];
    float log_p[KNOWN_MOST + SUSPECTS];
};

struct few { /* some rows of a block */
    int count;
    int16_t row[ROWS_MIX];
};

static struct mix mix_open(const struct cpu_step *s, int id)
{
    const struct plan_value *scale = s->in[1]->plan;
    struct mix t = {.x = s->in[0]->data,
                    .scale = s->in[1]->data,
                    .shift = s->in[2]->data,
                    .fixed = s->in[3]->data};
    char *at = s->scratch;
    t.n = s->in[0]->plan->dim[0];
    t.d = s->in[0]->plan->dim[1];
    t.k = s->in[2]->plan->dim[0];
    t.width = s->out[2]->plan->dim[1];
    t.matrices = scale->rank == 3 ? (int)scale->dim[0] : 0;
    t.columns = rows_up(t.k);
    t.m = rows_mix_layout(t.d, t.k, t.matrices, s->threads);
    t.panel = (float *)at;
    t.square = (float *)(at + t.m.square);
    t.likelihood = (double *)(at + t.m.likelihood);
    t.level = (float *)(at + t.m.fixed);
    t.stretch = t.level + t.columns;
    t.drift = t.stretch + t.columns;
    t.before = t.drift + t.columns;
    if (s->out[3] && t.columns * t.d >= WORTH) t.known = s->out[3]->data;
    t.stepped = t.known && ((const float *)s->in[4]->data)[0] > 0;
    t.share = (struct rows_share *)(at + t.m.share);
    t.shares = (int32_t *)(at + t.m.shares);
    t.base = -INFINITY;
    for (int64_t k = 0; k < t.k; k++) t.base = fmax(t.base, t.fixed[k]);
    int64_t eight = ROWS_TILE * ALIGN_UP(t.d, ROWS_COLS);
    char *own = at + t.m.rooms + (size_t)id * t.m.room;
    t.turned = (struct rows_share *)own;
    t.end = (int32_t *)(own + t.m.end);
    t.rows = (float *)(own + t.m.rows);
    t.room = t.rows + eight;
    t.c = t.room + eight;
    t.out = t.c + eight;
    return t;
}

/* Scale and shift side by side: [columns / 16][d][2][16]. Of matrices scale is 1. */
static void mix_pack(const struct mix *t, int64_t from, int64_t to)
{
    for (int64_t j = from; j < to; j++) {
        float *at = t->panel + j / CPU_PANEL * CPU_PANEL * 2 * t->d + j % CPU_PANEL;
        for (int64_t i = 0; i < t->d; i++, at += 2 * CPU_PANEL) {
            bool there = j < t->k;
            at[0] = !there ? 0 : t->matrices ? 1 : t->scale[j * t->d + i];
            at[CPU_PANEL] = there ? t->shift[j * t->d + i] : 0;
        }
    }
}

/* Rows of matrices, cut into panels [columns / 16][d][16]. */
static void mix_pack_square(const struct mix *t, int64_t from, int64_t to)
{
    int64_t up = ALIGN_UP(t->d, ROWS_COLS);
    for (int64_t row = from; row < to; row++) {
        int64_t matrix = row / t->d, i = row % t->d;
        for (int64_t j = 0; j < up; j++) {
            float *at = t->square + matrix * up * t->d;
            at[j / CPU_PANEL * CPU_PANEL * t->d + i * CPU_PANEL + j % CPU_PANEL] =
                j < t->d ? t->scale[row * t->d + j] : 0;
        }
    }
}

#if W == 16
#define MIX_VECS 2 /* columns and rows whose sums fit in the registers */
#define MIX_ROWS 8
#else
#define MIX_VECS 1
#define MIX_ROWS 4
#endif

/* |z|^2 of 8 rows, apart by lda, for `vecs` vectors of clusters from j on. */
ISA_INLINE void mix_tile(const struct mix *t, const float *a, int64_t lda, int64_t j, int vecs,
                         float *out)
{
    for (int r0 = 0; r0 < ROWS_TILE; r0 += MIX_ROWS) {
        vf sum[MIX_ROWS][MIX_VECS];
        const float *p[MIX_VECS];
        for (int v = 0; v < vecs; v++)
            p[v] =
                t->panel + (j + v * W) / CPU_PANEL * CPU_PANEL * 2 * t->d + (j + v * W) % CPU_PANEL;
#pragma GCC unroll 8
        for (int r = 0; r < MIX_ROWS; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++) sum[r][v] = vf_all(0);
        for (int64_t i = 0; i < t->d; i++) {
            vf scale[MIX_VECS], shift[MIX_VECS];
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++) {
                scale[v] = vf_load(p[v] + i * 2 * CPU_PANEL);
                shift[v] = vf_load(p[v] + i * 2 * CPU_PANEL + CPU_PANEL);
            }
#pragma GCC unroll 8
            for (int r = 0; r < MIX_ROWS; r++) {
                vf x = vf_all(a[(r0 + r) * lda + i]);
#pragma GCC unroll 2
                for (int v = 0; v < vecs; v++) {
                    vf z = x * scale[v] - shift[v];
                    sum[r][v] = z * z + sum[r][v];
                }
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < MIX_ROWS; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++)
                vf_store(out + (r0 + r) * t->columns + j + v * W, sum[r][v]);
    }
}

static void mix_squares(const struct mix *t, const float *a, int64_t lda, float *out)
{
    int64_t j = 0;
    for (; j + MIX_VECS * W <= t->columns; j += MIX_VECS * W) mix_tile(t, a, lda, j, MIX_VECS, out);
    for (; j < t->columns; j += W) mix_tile(t, a, lda, j, 1, out);
}

/* |z|^2 of one row and one cluster. */
ISA_INLINE float mix_square(const struct mix *t, const float *x, int64_t k)
{
    const float *scale = t->scale + k * t->d, *shift = t->shift + k * t->d;
    vf sum[2] = {vf_all(0), vf_all(0)};
    int64_t i = 0;
    for (; i + 2 * W <= t->d; i += 2 * W)
        for (int v = 0; v < 2; v++) {
            int64_t at = i + v * W;
            vf z = vf_load(x + at) * vf_load(scale + at) - vf_load(shift + at);
            sum[v] = z * z + sum[v];
        }
    for (; i < t->d; i += W) {
        int64_t left = t->d - i;
        vf z = vf_load_n(x + i, left) * vf_load_n(scale + i, left) - vf_load_n(shift + i, left);
        sum[0] = z * z + sum[0];
    }
    return vf_sum(sum[0] + sum[1]);
}

/* What the next step may know of a row, if log p of all clusters but these is at most `rest`. */
static void mix_keep(const struct chosen *c, float rest, float *known)
{
    float top = -INFINITY;
    int n = 0;
    for (int i = 0; i < c->n; i++) top = fmaxf(top, c->log_p[i]);
    for (int i = 0; i < c->n; i++) {
        if (n < KNOWN_MOST && c->log_p[i] >= top + NEAR_LOG)
            known[1 + n++] = (float)c->id[i];
        else
            rest = fmaxf(rest, c->log_p[i]);
    }
    for (; n < KNOWN_MOST; n++) known[1 + n] = -1;
    known[0] = rest;
}

/* The same from log p of all clusters, `top` the largest. */
static void mix_keep_all(const struct mix *t, const float *log_p, float top, float *known)
{
    vf low = vf_all(top + NEAR_LOG), others = vf_all(-INFINITY);
    float rest = -INFINITY;
    int n = 0;
    for (int64_t k = 0; k < t->columns; k += W) {
        vf own = vf_load(log_p + k);
        vi in = own >= low;
        for (uint32_t bits = vi_bits(in); bits; bits &= bits - 1) {
            int64_t j = k + __builtin_ctz(bits);
            if (n < KNOWN_MOST)
                known[1 + n++] = (float)j;
            else
                rest = fmaxf(rest, log_p[j]);
        }
        others = vf_max(vf_choose(in, vf_all(-INFINITY), own), others);
    }
    for (; n < KNOWN_MOST; n++) known[1 + n] = -1;
    known[0] = fmaxf(vf_most(others), rest);
}

static void mix_choose(const struct mix *t, const float *x, int64_t k, struct chosen *c)
{
    c->id[c->n] = (int32_t)k;
    c->log_p[c->n++] = t->level[k] - mix_square(t, x, k) * 0.5f;
}

/* The clusters that may count in a row, by what is known of it; false: they are many. */
static bool mix_near(const struct mix *t, const float *x, float *known, struct chosen *c)
{
    float top = -INFINITY;
    int listed = 0;
    c->n = 0;
    for (; listed < KNOWN_MOST && known[1 + listed] >= 0; listed++) {
        mix_choose(t, x, (int64_t)known[1 + listed], c);
        top = fmaxf(top, c->log_p[listed]);
    }
    vf low = vf_all(top + LEAST_LOG), rest = vf_all(-INFINITY), none = vf_all(0);
    for (int64_t k = 0; k < t->columns; k += W) {
        /* |z| was at least this, and z is now what it was times the stretch and off by the drift */
        vf z = vf_sqrt(vf_max((vf_load(t->before + k) - known[0]) * 2.0f, none));
        z = vf_max(z * vf_load(t->stretch + k) - vf_load(t->drift + k), none);
        vf most = vf_load(t->level + k) - z * z * 0.49999f + 0.01f; /* for its roundings */
        vi in = most >= low;
        uint32_t bits = vi_bits(in);
        for (int i = 0; i < listed; i++)
            if (c->id[i] >= k && c->id[i] < k + W) bits &= ~(1u << (c->id[i] - k));
        if (c->n + __builtin_popcount(bits) > KNOWN_MOST + SUSPECTS) return false;
        for (; bits; bits &= bits - 1) c->id[c->n++] = (int32_t)(k + __builtin_ctz(bits));
        rest = vf_max(vf_choose(in, vf_all(-INFINITY), most), rest);
    }
    int n = c->n;
    for (c->n = listed; c->n < n;) mix_choose(t, x, c->id[c->n], c);
    mix_keep(c, vf_most(rest), known);
    return true;
}

/* |z|^2 of 8 rows with a matrix for every cluster: z = (x - shift) scale. */
static void mix_full(const struct mix *t, const float *a, float *out)
{
    int64_t up = ALIGN_UP(t->d, ROWS_COLS);
    for (int64_t k = 0; k < t->k; k++) {
        const float *shift = t->shift + k * t->d;
        for (int64_t r = 0; r < ROWS_TILE; r++)
            for (int64_t i = 0; i < t->d; i += W)
                vf_store_n(t->room + r * t->d + i,
                           vf_load_n(a + r * t->d + i, t->d - i) - vf_load_n(shift + i, t->d - i),
                           t->d - i);
        rows_products(t->room, t->d, t->square + k * up * t->d, t->d, t->c, up);
        for (int64_t r = 0; r < ROWS_TILE; r++)
            out[r * t->columns + k] = rows_dot(t->c + r * up, t->c + r * up, t->d);
    }
    for (int64_t r = 0; r < ROWS_TILE; r++)
        for (int64_t k = t->k; k < t->columns; k++) out[r * t->columns + k] = 0;
}

/* Responsibilities of a row from these clusters alone. */
static void mix_few(const struct mix *t, int64_t row, struct chosen *c, int32_t *label)
{
    float top = -INFINITY;
    *label = c->id[0];
    for (int i = 0; i < c->n; i++) {
        if (c->log_p[i] < top || (c->log_p[i] == top && c->id[i] > *label)) continue;
        top = c->log_p[i];
        *label = c->id[i];
    }
    vf sum = vf_all(0);
    for (int i = 0; i < c->n; i += W) {
        for (int j = c->n; j < i + W; j++) c->log_p[j] = -INFINITY;
        vf p = vf_exp(vf_max(vf_load(c->log_p + i) - top, vf_all(2 * LEAST_LOG)));
        p = vf_choose(vf_load(c->log_p + i) > vf_all(top + LEAST_LOG), p, vf_all(0));
        sum += p;
        vf_store(c->log_p + i, p);
    }
    float whole = vf_sum(sum);
    struct rows_share *share = t->share + row * t->columns;
    int32_t n = 0;
    for (int i = 0; i < c->n; i++) {
        share[n] = (struct rows_share){c->id[i], c->log_p[i] / whole};
        n += share[n].part >= LEAST_PART;
    }
    t->shares[row] = n;
    t->likelihood[row] = t->base + (double)top + log((double)whole);
}

/* The same from |z|^2 of all clusters, which is overwritten. Logarithms count from base on, which
 * keeps them small enough for f32. known: may be NULL. */
static void mix_row(const struct mix *t, int64_t row, float *square, float *known, int32_t *label)
{
    vf most = vf_all(-INFINITY), sum = vf_all(0);
    for (int64_t k = 0; k < t->columns; k += W) {
        vf log_p = vf_load(t->level + k) - vf_load(square + k) * 0.5f;
        most = vf_max(log_p, most);
        vf_store(square + k, log_p);
    }
    float top = vf_most(most);
    if (known) mix_keep_all(t, square, top, known);
    int32_t best = 0;
    while (best + W < t->k && !vi_any(vf_load(square + best) == vf_all(top))) best += W;
    while (best + 1 < t->k && square[best] != top) best++;
    *label = best;
    for (int64_t k = 0; k < t->columns; k += W) {
        vf log_p = vf_load(square + k) - top, p = vf_all(0);
        if (vi_any(log_p > vf_all(LEAST_LOG))) p = vf_exp(log_p);
        sum += p;
        vf_store(square + k, p);
    }
    float whole = vf_sum(sum), least = LEAST_PART * whole;
    struct rows_share *share = t->share + row * t->columns;
    int32_t n = 0;
    for (int64_t k = 0; k < t->columns; k += W)
        for (uint32_t in = vi_bits(vf_load(square + k) >= vf_all(least)); in; in &= in - 1) {
            int64_t j = k + __builtin_ctz(in);
            share[n++] = (struct rows_share){(int32_t)j, square[j] / whole};
        }
    t->shares[row] = n;
    t->likelihood[row] = t->base + (double)top + log((double)whole);
}

/* These rows of a block with all clusters, eight at a time. */
static void mix_eights(const struct mix *t, int64_t block, const struct few *few, int32_t *label)
{
    int64_t up = ALIGN_UP(t->d, ROWS_COLS);
    for (int i = 0; i < few->count; i += ROWS_TILE) {
        int rows = MIN(ROWS_TILE, few->count - i);
        for (int r = 0; r < ROWS_TILE; r++)
            memcpy(t->rows + r * t->d, t->x + (block + few->row[i + MIN(r, rows - 1)]) * t->d,
                   (size_t)t->d * sizeof *t->rows);
        if (t->matrices > 1) {
            mix_full(t, t->rows, t->out);
        } else if (t->matrices) {
            rows_products(t->rows, t->d, t->square, t->d, t->c, up);
            mix_squares(t, t->c, up, t->out);
        } else {
            mix_squares(t, t->rows, t->d, t->out);
        }
        for (int r = 0; r < rows; r++) {
            int64_t row = few->row[i + r];
            float *known = t->known ? t->known + (block + row) * KNOWN_FLOATS : NULL;
            mix_row(t, row, t->out + r * t->columns, known, label + block + row);
        }
    }
}

static void mix_rows(const struct mix *t, int64_t block, int64_t from, int64_t to, int32_t *label)
{
    struct few late;
    late.count = 0;
    for (int64_t i = from; i < to; i++) {
        struct chosen chosen;
        if (t->stepped &&
            mix_near(t, t->x + (block + i) * t->d, t->known + (block + i) * KNOWN_FLOATS, &chosen))
            mix_few(t, i, &chosen, label + block + i);
        else
            late.row[late.count++] = (int16_t)i;
    }
    mix_eights(t, block, &late, label);
}

/* Shares of one cluster onto `vecs` vectors of its sums, which stay in registers. squares: their
 * squares as well, d further. */
ISA_INLINE void mix_strip(const struct mix *t, const float *x, const struct rows_share *share,
                          int32_t n, bool squares, double *sum, int vecs)
{
    double *square = sum + t->d;
    vd one[4], two[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        one[v] = vd_load(sum + v * VD);
        two[v] = squares ? vd_load(square + v * VD) : (vd){0};
    }
    for (int32_t i = 0; i < n; i++) {
        const float *row = x + share[i].at * t->d;
        double p = (double)share[i].part;
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            vd value = vd_of(row + v * VD), own = value * p;
            one[v] += own;
            two[v] = own * value + two[v];
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        vd_store(sum + v * VD, one[v]);
        if (squares) vd_store(square + v * VD, two[v]);
    }
}

/* The same onto columns from..to. */
static void mix_lines(const struct mix *t, const float *x, const struct rows_share *share,
                      int32_t n, int64_t from, int64_t to, bool squares, double *sum)
{
    double *square = sum + t->d;
    int64_t j = from;
    for (; j + 4 * VD <= to; j += 4 * VD) mix_strip(t, x + j, share, n, squares, sum + j, 4);
    for (; j + VD <= to; j += VD) mix_strip(t, x + j, share, n, squares, sum + j, 1);
    for (int32_t i = 0; i < n && j < to; i++) {
        const float *row = x + share[i].at * t->d;
        double p = (double)share[i].part;
        for (int64_t c = j; c < to; c++) {
            double own = p * (double)row[c];
            sum[c] += own;
            if (squares) square[c] += own * (double)row[c];
        }
    }
}

/* The products of two columns: rows from..to of a cluster's matrix. */
static void mix_products(const struct mix *t, const float *x, double p, int64_t from, int64_t to,
                         double *sum)
{
    for (int64_t r = from; r < to; r++) {
        double factor = p * (double)x[r], *row = sum + r * t->d;
        for (int64_t j = 0; j < t->d; j++) row[j] += factor * (double)x[j];
    }
}

/* The shares of a block by cluster, then row: of cluster k from end[k - 1] to end[k]. */
static void mix_turn(const struct mix *t, int64_t rows)
{
    int32_t *end = t->end;
    memset(end, 0, (size_t)(t->k + 1) * sizeof *end);
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = 0; i < t->shares[r]; i++) end[t->share[r * t->columns + i].at + 1]++;
    for (int64_t k = 0; k < t->k; k++) end[k + 1] += end[k];
    for (int64_t r = 0; r < rows; r++)
        for (int32_t i = 0; i < t->shares[r]; i++) {
            const struct rows_share *share = &t->share[r * t->columns + i];
            t->turned[end[share->at]++] = (struct rows_share){(int32_t)r, share->part};
        }
}

/* Each cluster takes the rows of the block that have a share in it, in their order. */
static void mix_sums(const struct mix *t, int64_t block, int64_t rows, int64_t from, int64_t to,
                     double *sums)
{
    bool squares = t->width == 1 + 2 * t->d && t->matrices != t->k,
         products = !squares && t->width == 1 + t->d + t->d * t->d;
    const float *x = t->x + block * t->d;
    int32_t at = 0;
    mix_turn(t, rows);
    for (int64_t k = 0; k < t->k; at = t->end[k++]) {
        const struct rows_share *share = t->turned + at;
        double *sum = sums + k * t->width;
        int32_t n = t->end[k] - at;
        for (int32_t i = 0; i < n; i++) {
            if (from == 0) sum[0] += (double)share[i].part;
            if (products)
                mix_products(t, x + share[i].at * t->d, (double)share[i].part, from, to,
                             sum + 1 + t->d);
        }
        mix_lines(t, x, share, n, from, to, squares, sum + 1);
    }
}

int ISA_NAME(cpu_mix_estep)(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct mix t = mix_open(s, id);
    double *total = s->out[1]->data, *sums = s->out[2]->data;
    int64_t from, to, low, high;
    thread_share(team, id, t.columns, CPU_PANEL, &from, &to);
    mix_pack(&t, from, to);
    thread_share(team, id, t.matrices * t.d, 1, &from, &to);
    mix_pack_square(&t, from, to);
    thread_share(team, id, t.k * t.width, 8, &from, &to);
    memset(sums + from, 0, (size_t)(to - from) * sizeof *sums);
    for (int64_t k = 0; k < t.columns && id == 0; k++) {
        const float *move = t.known && k < t.k ? (const float *)s->in[4]->data + 3 * k : NULL;
        t.level[k] = k < t.k ? (float)(t.fixed[k] - t.base) : -INFINITY;
        t.stretch[k] = move ? move[0] : 0;
        t.drift[k] = move ? move[1] : 0;
        t.before[k] = move ? move[2] : 0;
    }
    if (id == 0) *total = 0;
    thread_barrier(team);
    thread_share(team, id, t.d, 8, &low, &high);
    struct mix now = t;
    const int64_t most = rows_mix_rows(t.k);
    for (int64_t block = 0; block < t.n; block += most) {
        int64_t rows = MIN(most, t.n - block), odd = block / most % 2;
        now.share = t.share + odd * most * t.columns;
        now.shares = t.shares + odd * most;
        now.likelihood = t.likelihood + odd * most;
        thread_share(team, id, rows, ROWS_TILE, &from, &to);
        mix_rows(&now, block, from, to, s->out[0]->data);
        thread_barrier(team);
        if (low < high) mix_sums(&now, block, rows, low, high, sums);
        for (int64_t i = 0; i < rows && id == 0; i++) *total += now.likelihood[i];
    }
    return 0;
}

/* ---- diffuse --------------------------------------------------------------------------------- */

#define DIFFUSE_VECS 4

int ISA_NAME(cpu_mix_diffuse)(const struct cpu_step *s, struct thread_team *team, int id)
{
    const int32_t *start = s->in[0]->data;
    const float *weight = s->in[1]->data, *v = s->in[2]->data, *factor = s->in[3]->data;
    int64_t n = s->in[2]->plan->dim[0], b = s->in[2]->plan->dim[1], from, to;
    const int32_t *column = start + n + 1;
    thread_share(team, id, n, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        float *y = (float *)s->out[0]->data + i * b;
        for (int64_t j = 0; j < b; j += DIFFUSE_VECS * W) {
            vf sum[DIFFUSE_VECS];
            int64_t left = b - j;
#pragma GCC unroll 4
            for (int k = 0; k < DIFFUSE_VECS; k++) sum[k] = vf_all(0);
            for (int32_t at = start[i]; at < start[i + 1]; at++) {
                const float *row = v + column[at] * b + j;
                vf w = vf_all(weight[at]);
                if (left >= DIFFUSE_VECS * W) {
#pragma GCC unroll 4
                    for (int k = 0; k < DIFFUSE_VECS; k++)
                        sum[k] = w * vf_load(row + k * W) + sum[k];
                } else {
                    for (int k = 0; k < DIFFUSE_VECS && k * W < left; k++)
                        sum[k] = w * vf_load_n(row + k * W, left - k * W) + sum[k];
                }
            }
            for (int k = 0; k < DIFFUSE_VECS && k * W < left; k++) {
                float *to_y = y + j + k * W;
                vf own = vf_load_n(v + i * b + j + k * W, left - k * W);
                vf out = sum[k] * factor[0] + own * factor[1];
                if (factor[2] != 0) out += vf_load_n(to_y, left - k * W) * factor[2];
                vf_store_n(to_y, out, left - k * W);
            }
        }
    }
    return 0;
}
