/* DBSCAN (density). Distances of all pairs, each pair once, without keeping any: blocks of rows
 * against blocks of rows on or above the diagonal.
 *
 * Nearly every pair is decided in 8 bits. Rows are quantised, x = m + unit * q + r, so the distance
 * of two q, exact in integers, is off by at most |r_i| + |r_j|: what lies beyond that of eps is in
 * or out for certain, the rest (some thousandths) is decided in f64. So the result is exact.
 *
 *   first pass    neighbours are counted. Two rows known to be core are united at once (union-find
 *                 without locks: parents only fall); pairs of which one is not yet core wait in a
 *                 list, at most args.top for each row.
 *   then          clusters are numbered by their lowest core row, and waiting pairs settled.
 *   otherwise     if the list was too small the pairs are formed again: a second pass unites, a
 *                 third one gives border rows their cluster. */
#define ROWS_ISA
#include "cpu/cpu_rows.h"
#include <float.h>
#include <math.h>
#include <stdatomic.h>

/* No two rows are farther apart in units of q: sums of d squares are below 15000 * 127^2, see
 * density_most, and a difference is at most twice as long. */
#define MOST_SQUARE 1.05e9f

enum pass { COUNT_ROWS, UNITE, BORDERS };

struct density {
    const float *x;
    int64_t n, d, quads, line; /* line: quant_t of a row of a block */
    int least;                 /* rows within eps that make a row core */
    double eps;
    struct rows_density m;
    double *mean, *part;
    int8_t *panel;      /* [n up / 16][quads][16][4] */
    float *rest;        /* |r| in units of q [n up] */
    int32_t *own, *far; /* |q|^2 of a row; what a column adds to -2 times the product */
    int32_t *parent, *count, *label;
    _Atomic int64_t *next; /* pair of blocks */
    _Atomic int32_t *spilled;
    float unit, reach; /* reach: eps in units of q */
    /* of the member */
    int32_t (*waiting)[2];
    int64_t *n_waiting;
    quant_t *rows;
    uint64_t *bits; /* [ROWS_DENSITY][ROWS_DENSITY / 48] */
    int32_t *row_count, *column_count;
};

static struct density density_open(const struct cpu_step *s, int id)
{
    const struct plan_value *x = s->in[0]->plan;
    struct density t = {.x = s->in[0]->data, .n = x->dim[0], .d = x->dim[1]};
    char *at = s->scratch;
    t.m = rows_density_layout(t.n, t.d, s->threads);
    t.quads = (t.d + 3) / 4;
    t.line = t.m.line;
    t.least = s->step->args.top;
    t.eps = *(const double *)s->in[1]->data;
    t.label = s->out[0]->data;
    t.count = s->out[1]->data;
    t.next = (_Atomic int64_t *)at;
    t.spilled = (_Atomic int32_t *)(at + 64);
    t.mean = (double *)(at + t.m.mean);
    t.part = (double *)(at + t.m.part_sums);
    t.panel = (int8_t *)(at + t.m.panel);
    t.rest = (float *)(at + t.m.rest);
    t.own = (int32_t *)(at + t.m.own);
    t.far = (int32_t *)(at + t.m.far);
    t.parent = (int32_t *)(at + t.m.parent);
    at += t.m.parts + (size_t)id * t.m.part;
    t.n_waiting = (int64_t *)at;
    t.waiting = (int32_t(*)[2])(at + 64);
    t.rows = (quant_t *)(at + t.m.rows);
    t.bits = (uint64_t *)(at + t.m.bits);
    t.row_count = (int32_t *)(at + t.m.counts);
    t.column_count = t.row_count + ROWS_DENSITY;
    return t;
}

/* ---- quantising ------------------------------------------------------------------------------ */

/* Means of some columns; the member's part of the sum of squares about them, and its maximum. */
static void density_means(const struct density *t, int64_t from, int64_t to, double *part)
{
    for (int64_t j = from; j < to; j++) t->mean[j] = 0;
    for (int64_t i = 0; i < t->n; i++)
        for (int64_t j = from; j < to; j++) t->mean[j] += (double)t->x[i * t->d + j];
    for (int64_t j = from; j < to; j++) t->mean[j] /= (double)t->n;
    part[0] = part[1] = 0;
    for (int64_t i = 0; i < t->n; i++) {
        for (int64_t j = from; j < to; j++) {
            double off = (double)t->x[i * t->d + j] - t->mean[j];
            part[0] += off * off;
            part[1] = fabs(off) > part[1] ? fabs(off) : part[1]; /* fmax is a call */
        }
    }
}

/* The largest |q|: 127, or less where sums of d squares would leave i32. */
static int density_most(int64_t d)
{
    double most = 127 * sqrt(15000.0 / (double)d);
    return most < 127 ? MAX(1, (int)most) : 127;
}

/* |r| of a row in units of q, squared. */
static double density_rest(const struct density *t, int64_t i, int most, double unit)
{
    double rest = 0, per = 1 / unit;
    for (int64_t j = 0; j < t->d; j++) {
        double off = ((double)t->x[i * t->d + j] - t->mean[j]) * per, q = rint(off);
        q = q > most ? most : q < -most ? -most : q;
        rest += (off - q) * (off - q);
    }
    return rest;
}

/* The range that leaves some rows the least rest, of those from 4 deviations of all columns to the
 * largest number: components have deviations of their own, and what a range cuts off of the widest
 * is rest. */
static float density_unit(const struct density *t, int members)
{
    double square = 0, most = 0, best = 0, least = INFINITY;
    int top = density_most(t->d);
    for (int i = 0; i < members; i++) {
        square += t->part[8 * i];
        most = fmax(most, t->part[8 * i + 1]);
    }
    if (most == 0) return 1;
    int64_t rows = MIN(t->n, 128);
    double range = fmin(most, 4 * sqrt(square / (double)t->n / (double)t->d));
    for (bool last = false; !last; range = fmin(most, range * 1.25)) {
        double unit = range / top, sum = 0;
        last = range >= most;
        for (int64_t k = 0; k < rows; k++)
            sum += sqrt(density_rest(t, k * t->n / rows, top, unit)) * unit;
        if (sum >= least) break;
        least = sum;
        best = unit;
    }
    return fmaxf((float)best, FLT_MIN);
}

static void density_quantise(const struct density *t, int64_t i)
{
    int most = density_most(t->d), sum = 0, square = 0;
    double rest = 0, per = 1 / (double)t->unit;
    int8_t *panel = t->panel + i / CPU_PANEL * CPU_PANEL * 4 * t->quads + i % CPU_PANEL * 4;
    for (int64_t j = 0; j < t->quads * 4; j++) {
        int q = 0;
        if (j < t->d && i < t->n) {
            double off = (double)t->x[i * t->d + j] - t->mean[j];
            q = (int)fmin(fmax(rint(off * per), -most), most);
            off -= (double)q * (double)t->unit;
            rest += off * off;
        }
        panel[j / 4 * CPU_PANEL * 4 + j % 4] = (int8_t)q;
        sum += q;
        square += q * q;
    }
    t->rest[i] = (float)(sqrt(rest) * per * (1 + 1e-6)) + 1e-6f;
    t->own[i] = square;
    /* a row that does not exist is far from all */
    t->far[i] = i < t->n ? square + 2 * QUANT_SHIFT * sum : INT32_MAX / 2; /* > MOST_SQUARE */
}

/* Block I of rows, out of the panels. */
static void density_rows(const struct density *t, int64_t block)
{
    int64_t from = block * ROWS_DENSITY, count = MIN(ROWS_DENSITY, t->m.n_up - from);
    for (int64_t r = 0; r < count; r++) {
        int64_t i = from + r;
        const int8_t *p = t->panel + i / CPU_PANEL * CPU_PANEL * 4 * t->quads + i % CPU_PANEL * 4;
        quant_t *to = t->rows + r * t->line;
        for (int64_t j = 0; j < t->quads; j++, p += CPU_PANEL * 4)
            for (int k = 0; k < 4; k++) to[4 * j + k] = (quant_t)(p[k] + QUANT_SHIFT);
    }
}

/* ---- union-find ------------------------------------------------------------------------------ */

static int32_t find(int32_t *parent, int32_t i)
{
    for (;;) {
        int32_t up = __atomic_load_n(parent + i, __ATOMIC_RELAXED);
        if (up == i) return i;
        int32_t over = __atomic_load_n(parent + up, __ATOMIC_RELAXED);
        if (over != up) __atomic_store_n(parent + i, over, __ATOMIC_RELAXED);
        i = over;
    }
}

static void unite(int32_t *parent, int32_t a, int32_t b)
{
    for (;;) {
        a = find(parent, a);
        b = find(parent, b);
        if (a == b) return;
        int32_t low = MIN(a, b), high = MAX(a, b), expected = high;
        if (__atomic_compare_exchange_n(parent + high, &expected, low, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return;
    }
}

static bool is_core(const struct density *t, int64_t i)
{
    return __atomic_load_n(t->count + i, __ATOMIC_RELAXED) >= t->least;
}

/* ---- pairs ----------------------------------------------------------------------------------- */

/* Which of 48 columns from j on are within eps of row i: bits. c: products of the row. Squares are
 * whole numbers in units of q; 2^-19 and 1 cover the rounding of bounds, f64 decides between them.
 */
ISA_INLINE uint64_t density_row(const struct density *t, int64_t i, int64_t j, const int32_t *c)
{
    vf wide = vf_all((t->reach + t->rest[i]) + t->reach * 0x1p-20f);
    vf sure = vf_all((t->reach - t->rest[i]) - t->reach * 0x1p-20f);
    uint64_t in = 0, certain = 0;
#pragma GCC unroll 12
    for (int v = 0; v < ROWS_COLS / W; v++) {
        vi whole = vi_load(t->far + j + v * W) - 2 * vi_load(c + v * W) + t->own[i];
        vf square = vf_of_vi(whole), rest = vf_load(t->rest + j + v * W);
        vf high = wide + rest, low = vf_max(sure - rest, vf_all(0));
        high = vf_min(high * high * (1 + 0x1p-19f) + 1, vf_all(MOST_SQUARE));
        in |= (uint64_t)vi_bits(square <= high) << (v * W);
        certain |= (uint64_t)vi_bits(square <= low * low * (1 - 0x1p-19f) - 1) << (v * W);
    }
    for (uint64_t left = in & ~certain; left; left &= left - 1) {
        int k = __builtin_ctzll(left);
        if (rows_apart(t->x + i * t->d, t->x + (j + k) * t->d, t->d) > t->eps * t->eps)
            in &= ~((uint64_t)1 << k);
    }
    return in;
}

/* All pairs of two blocks as bits, and counted. */
static void density_block(const struct density *t, int64_t a, int64_t b)
{
    int64_t rows = MIN(ROWS_DENSITY, t->n - a * ROWS_DENSITY);
    int64_t columns = MIN(ROWS_DENSITY, t->m.n_up - b * ROWS_DENSITY);
    int32_t c[ROWS_TILE * ROWS_COLS];
    memset(t->row_count, 0, 2 * ROWS_DENSITY * sizeof *t->row_count);
    for (int64_t p = 0; p < columns; p += ROWS_COLS) {
        int64_t j = b * ROWS_DENSITY + p;
        for (int64_t r = 0; r < rows; r += ROWS_TILE) {
            tile_i8(t->rows + r * t->line, t->line, t->panel + j * 4 * t->quads,
                    CPU_PANEL * 4 * t->quads, t->quads, c);
            for (int64_t i = r; i < MIN(r + ROWS_TILE, rows); i++) {
                uint64_t bits = density_row(t, a * ROWS_DENSITY + i, j, c + (i - r) * ROWS_COLS);
                t->bits[i * (ROWS_DENSITY / ROWS_COLS) + p / ROWS_COLS] = bits;
                t->row_count[i] += __builtin_popcountll(bits);
                for (; bits; bits &= bits - 1) t->column_count[p + __builtin_ctzll(bits)]++;
            }
        }
    }
}

static void density_counts(const struct density *t, int64_t a, int64_t b)
{
    int64_t from = a * ROWS_DENSITY, other = b * ROWS_DENSITY;
    for (int64_t i = 0; i < MIN(ROWS_DENSITY, t->n - from); i++)
        if (t->row_count[i])
            __atomic_fetch_add(t->count + from + i, t->row_count[i], __ATOMIC_RELAXED);
    for (int64_t i = 0; i < MIN(ROWS_DENSITY, t->n - other) && a != b; i++)
        if (t->column_count[i])
            __atomic_fetch_add(t->count + other + i, t->column_count[i], __ATOMIC_RELAXED);
}

/* A border row's cluster: the lowest of its core neighbours'. */
static void density_border(const struct density *t, int64_t core, int64_t border)
{
    int32_t to = t->label[core], is = __atomic_load_n(t->label + border, __ATOMIC_RELAXED);
    while ((is < 0 || to < is) && !__atomic_compare_exchange_n(t->label + border, &is, to, false,
                                                               __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void density_pair(const struct density *t, enum pass pass, int64_t i, int64_t j)
{
    bool one = is_core(t, i), two = is_core(t, j);
    if (pass == BORDERS) {
        if (one != two) density_border(t, one ? i : j, one ? j : i);
    } else if (one && two) {
        if (t->parent[i] != t->parent[j]) unite(t->parent, (int32_t)i, (int32_t)j);
    } else if (pass == COUNT_ROWS) {
        if (*t->n_waiting == t->m.most_waiting) {
            *t->spilled = 1;
            return;
        }
        t->waiting[*t->n_waiting][0] = (int32_t)i;
        t->waiting[(*t->n_waiting)++][1] = (int32_t)j;
    }
}

/* Takes pairs of blocks until none is left. */
static void density_pass(const struct density *t, enum pass pass)
{
    int64_t blocks = (t->n + ROWS_DENSITY - 1) / ROWS_DENSITY, here = -1;
    int64_t pairs = blocks * (blocks + 1) / 2, words = ROWS_DENSITY / ROWS_COLS;
    for (int64_t at; (at = atomic_fetch_add(t->next, 1)) < pairs;) {
        int64_t a = 0;
        for (; at >= blocks - a; a++) at -= blocks - a;
        int64_t b = a + at;
        if (a != here) density_rows(t, a);
        here = a;
        density_block(t, a, b);
        if (pass == COUNT_ROWS) density_counts(t, a, b);
        for (int64_t r = 0; r < MIN(ROWS_DENSITY, t->n - a * ROWS_DENSITY); r++) {
            int64_t i = a * ROWS_DENSITY + r;
            if (!t->row_count[r]) continue;
            for (int64_t p = 0; p < words && b * ROWS_DENSITY + p * ROWS_COLS < t->n; p++) {
                for (uint64_t bits = t->bits[r * words + p]; bits; bits &= bits - 1) {
                    int64_t j = b * ROWS_DENSITY + p * ROWS_COLS + __builtin_ctzll(bits);
                    if (j > i) density_pair(t, pass, i, j);
                }
            }
        }
    }
}

/* Clusters by their lowest core row, which is their root. */
static void density_number(const struct density *t)
{
    int32_t clusters = 0;
    for (int64_t i = 0; i < t->n; i++) {
        t->label[i] = -1;
        if (!is_core(t, i)) continue;
        int32_t root = find(t->parent, (int32_t)i);
        t->label[i] = root == i ? clusters++ : t->label[root];
    }
}

static void density_settle(const struct density *t, int members)
{
    const struct density first = *t;
    size_t part = t->m.part;
    for (int step = 0; step < 2; step++) {
        for (int m = 0; m < members; m++) {
            const char *at = (const char *)first.n_waiting + (size_t)m * part;
            int64_t count = *(const int64_t *)at;
            const int32_t(*pair)[2] = (const int32_t(*)[2])(at + 64);
            for (int64_t k = 0; k < count; k++) {
                bool one = is_core(t, pair[k][0]), two = is_core(t, pair[k][1]);
                if (step == 0 && one && two) unite(t->parent, pair[k][0], pair[k][1]);
                if (step == 1 && one != two)
                    density_border(t, pair[k][one ? 0 : 1], pair[k][one ? 1 : 0]);
            }
        }
        if (step == 0) density_number(t);
    }
}

static void density_again(const struct density *t, enum pass pass, struct thread_team *team, int id)
{
    thread_barrier(team);
    if (id == 0) *t->next = 0;
    thread_barrier(team);
    density_pass(t, pass);
}

int ISA_NAME(cpu_density_density)(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct density t = density_open(s, id);
    int64_t from, to;
    thread_share(team, id, t.d, 16, &from, &to);
    density_means(&t, from, to, t.part + 8 * id);
    *t.n_waiting = 0;
    if (id == 0) {
        *t.next = 0;
        *t.spilled = 0;
    }
    thread_barrier(team);
    t.unit = density_unit(&t, team->n);
    t.reach = (float)fmin(t.eps / (double)t.unit, 1e18);
    thread_share(team, id, t.m.n_up, CPU_PANEL, &from, &to);
    for (int64_t i = from; i < to; i++) {
        density_quantise(&t, i);
        if (i >= t.n) continue;
        t.parent[i] = (int32_t)i;
        t.count[i] = 0;
    }
    thread_barrier(team);
    density_pass(&t, COUNT_ROWS);
    thread_barrier(team);
    if (!*t.spilled) {
        if (id == 0) density_settle(&t, team->n);
        return 0;
    }
    density_again(&t, UNITE, team, id);
    thread_barrier(team);
    if (id == 0) density_number(&t);
    density_again(&t, BORDERS, team, id);
    return 0;
}
