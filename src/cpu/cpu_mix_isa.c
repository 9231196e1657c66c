/* Mixtures of Gaussians (estep) and sparse times dense (diffuse). See op.def and cpu.h.
 *
 * estep takes ROWS_MIX rows at a time. First each member finds the responsibilities of some of
 * them, then each adds up some of the columns over all of them in order: sums do not depend on how
 * many members there are, and a matrix of rows times clusters exists for that many rows only. The
 * next rows go to the other half of that room, so members wait for each other once for a block.
 * The differences are squared as they are, (x * scale - shift)^2, never as x^2 - 2 x m + m^2, which
 * would cost as much and lose everything where a cluster is small and far out. */
#define ROWS_ISA
#include "cpu/cpu_rows.h"
#include <math.h>

/* Responsibilities below this add nothing that f64 sums of 1 would show. */
#define LEAST_PART 1e-9f
#define LEAST_LOG  -24.0f /* less than the logarithm of that: whole vectors of such are most */

struct mix {
    const float *x, *scale, *shift;
    const double *fixed;
    int64_t n, d, k, width, columns;
    int matrices; /* 0, 1, or k */
    struct rows_mix m;
    float *panel, *square, *part; /* part [ROWS_MIX][columns]: responsibilities */
    float *level;                 /* [columns]: fixed less `base`, the largest of them */
    double base, *likelihood;     /* [ROWS_MIX] */
    float *room, *c;              /* of the member */
};

struct few { /* rows of a block */
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
    t.part = (float *)(at + t.m.part);
    t.base = -INFINITY;
    for (int64_t k = 0; k < t.k; k++) t.base = fmax(t.base, t.fixed[k]);
    t.room = (float *)(at + t.m.rooms + (size_t)id * t.m.room);
    t.c = t.room + ROWS_TILE * ALIGN_UP(t.d, ROWS_COLS);
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

/* |z|^2 of 8 rows, apart by lda, for `vecs` vectors of clusters from j on: what columns from..to
 * have of it, onto what those before have. */
ISA_INLINE void mix_tile(const struct mix *t, const float *a, int64_t lda, int64_t j, int vecs,
                         int64_t from, int64_t to, float *out)
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
            for (int v = 0; v < vecs; v++)
                sum[r][v] = from ? vf_load(out + (r0 + r) * t->columns + j + v * W) : vf_all(0);
        for (int64_t i = from; i < to; i++) {
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

static void mix_squares(const struct mix *t, const float *a, int64_t lda, int64_t from, int64_t to,
                        float *out)
{
    int64_t j = 0;
    for (; j + MIX_VECS * W <= t->columns; j += MIX_VECS * W)
        mix_tile(t, a, lda, j, MIX_VECS, from, to, out);
    for (; j < t->columns; j += W) mix_tile(t, a, lda, j, 1, from, to, out);
}

/* What columns from.. have of |z|^2 of one row and one cluster. */
ISA_INLINE float mix_rest(const struct mix *t, const float *x, int64_t k, int64_t from)
{
    const float *scale = t->scale + k * t->d, *shift = t->shift + k * t->d;
    vf sum = vf_all(0);
    for (int64_t i = from; i < t->d; i += W) {
        int64_t left = t->d - i;
        vf z = vf_load_n(x + i, left) * vf_load_n(scale + i, left) - vf_load_n(shift + i, left);
        sum = z * z + sum;
    }
    return vf_sum(sum);
}

/* Where |z|^2 of a row, of which `out` has the first columns, is complete for the cluster that
 * leads: the least logarithm that is still of use. |z|^2 only grows. */
ISA_INLINE float mix_floor(const struct mix *t, const float *x, int64_t head, const float *out)
{
    vf most = vf_all(-INFINITY);
    for (int64_t k = 0; k < t->columns; k += W)
        most = vf_max(vf_load(t->level + k) - vf_load(out + k) * 0.5f, most);
    float top = vf_most(most);
    int64_t best = 0;
    vi at = {0};
    for (int64_t k = 0; k < t->columns && !vi_any(at); best = k, k += W)
        at = vf_load(t->level + k) - vf_load(out + k) * 0.5f == vf_all(top);
    best += vi_any(at) ? __builtin_ctz(vi_bits(at)) : 0;
    return t->level[best] - (out[best] + mix_rest(t, x, best, head)) * 0.5f + LEAST_LOG;
}

/* |z|^2 of 8 rows with all clusters, infinite where nothing can come of it. Half of the columns
 * rule most clusters out; if it does not, the tiles go on. */
static void mix_near(const struct mix *t, const float *a, int64_t rows, float *out)
{
    int64_t head = t->d / 2 / CPU_PANEL * CPU_PANEL, left = 0;
    float low[ROWS_TILE];
    mix_squares(t, a, t->d, 0, head, out);
    for (int64_t r = 0; r < rows; r++) {
        const float *own = out + r * t->columns;
        low[r] = mix_floor(t, a + r * t->d, head, own);
        for (int64_t k = 0; k < t->columns; k += W) {
            vi in = vf_load(t->level + k) - vf_load(own + k) * 0.5f >= vf_all(low[r]);
            left += __builtin_popcount(vi_bits(in));
        }
    }
    if (left > rows * t->columns / 5) { /* a tile is five times as fast */
        mix_squares(t, a, t->d, head, t->d, out);
        return;
    }
    for (int64_t r = 0; r < rows; r++) {
        float *own = out + r * t->columns;
        for (int64_t k = 0; k < t->columns; k += W) {
            vf square = vf_load(own + k);
            vi in = vf_load(t->level + k) - square * 0.5f >= vf_all(low[r]);
            vf_store(own + k, vf_choose(in, square, vf_all(INFINITY)));
            for (uint32_t bits = vi_bits(in); bits; bits &= bits - 1) {
                int64_t j = k + __builtin_ctz(bits);
                own[j] += mix_rest(t, a + r * t->d, j, head);
            }
        }
    }
}

/* The same with a matrix for every cluster: z = (x - shift) scale. */
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

/* From |z|^2 to responsibilities, in place; returns the row's log-likelihood. Logarithms count from
 * base on, which keeps them small enough for f32. */
static double mix_row(const struct mix *t, float *part, int32_t *label)
{
    vf most = vf_all(-INFINITY), sum = vf_all(0);
    for (int64_t k = 0; k < t->columns; k += W) {
        vf log_p = vf_load(t->level + k) - vf_load(part + k) * 0.5f;
        most = vf_max(log_p, most);
        vf_store(part + k, log_p);
    }
    float top = vf_most(most);
    int32_t best = 0;
    while (best + W < t->k && !vi_any(vf_load(part + best) == vf_all(top))) best += W;
    while (best + 1 < t->k && part[best] != top) best++;
    *label = best;
    for (int64_t k = 0; k < t->columns; k += W) {
        vf log_p = vf_load(part + k) - top, p = vf_all(0);
        if (vi_any(log_p > vf_all(LEAST_LOG))) p = vf_exp(log_p);
        sum += p;
        vf_store(part + k, p);
    }
    float whole = vf_sum(sum);
    for (int64_t k = 0; k < t->columns; k += W) vf_store(part + k, vf_load(part + k) * (1 / whole));
    return t->base + (double)top + log((double)whole);
}

static void mix_rows(const struct mix *t, int64_t block, int64_t from, int64_t to, int32_t *label)
{
    int64_t up = ALIGN_UP(t->d, ROWS_COLS);
    for (int64_t i = from; i < to; i += ROWS_TILE) {
        int64_t rows = MIN(ROWS_TILE, to - i);
        float *part = t->part + i * t->columns, *spare = t->c + ROWS_TILE * up;
        const float *a = rows_eight(t->x + (block + i) * t->d, rows, t->d, spare);
        if (t->matrices > 1) {
            mix_full(t, a, part);
        } else if (t->matrices) {
            rows_products(a, t->d, t->square, t->d, t->c, up);
            mix_squares(t, t->c, up, 0, t->d, part);
        } else if (t->d >= 6 * CPU_PANEL) {
            mix_near(t, a, rows, part);
        } else {
            mix_squares(t, a, t->d, 0, t->d, part);
        }
        for (int64_t r = 0; r < rows; r++)
            t->likelihood[i + r] = mix_row(t, part + r * t->columns, label + block + i + r);
    }
}

/* Some rows of a block, each with a part of it, onto `vecs` vectors of one cluster's sums, which
 * stay in registers. squares: their squares as well, d further. */
ISA_INLINE void mix_strip(const struct mix *t, const float *x, const float *part,
                          const struct few *few, bool squares, double *sum, int vecs)
{
    double *square = sum + t->d;
    vd one[4], two[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        one[v] = vd_load(sum + v * VD);
        two[v] = squares ? vd_load(square + v * VD) : (vd){0};
    }
    for (int r = 0; r < few->count; r++) {
        const float *row = x + few->row[r] * t->d;
        double p = (double)part[few->row[r] * t->columns];
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            vd value = vd_of(row + v * VD), share = value * p;
            one[v] += share;
            two[v] = share * value + two[v];
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) {
        vd_store(sum + v * VD, one[v]);
        if (squares) vd_store(square + v * VD, two[v]);
    }
}

/* The same onto columns from..to. */
static void mix_lines(const struct mix *t, int64_t block, const struct few *few, int64_t k,
                      int64_t from, int64_t to, bool squares, double *sum)
{
    const float *x = t->x + block * t->d, *part = t->part + k;
    double *square = sum + t->d;
    int64_t j = from;
    for (; j + 4 * VD <= to; j += 4 * VD) mix_strip(t, x + j, part, few, squares, sum + j, 4);
    for (; j + VD <= to; j += VD) mix_strip(t, x + j, part, few, squares, sum + j, 1);
    for (int r = 0; r < few->count && j < to; r++) {
        const float *row = x + few->row[r] * t->d;
        double p = (double)part[few->row[r] * t->columns];
        for (int64_t i = j; i < to; i++) {
            sum[i] += p * (double)row[i];
            if (squares) square[i] += p * (double)row[i] * (double)row[i];
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

/* Each cluster takes the rows of the block that it has a part of, in their order. */
static void mix_sums(const struct mix *t, int64_t block, int64_t rows, int64_t from, int64_t to,
                     double *sums)
{
    bool squares = t->width == 1 + 2 * t->d && t->matrices != t->k,
         products = !squares && t->width == 1 + t->d + t->d * t->d;
    for (int64_t k0 = 0; k0 < t->k; k0 += W) {
        struct few few[W];
        for (int j = 0; j < W; j++) few[j].count = 0;
        for (int r = 0; r < rows; r++) {
            const float *part = t->part + r * t->columns + k0;
            uint32_t in = vi_bits(vf_load(part) >= vf_all(LEAST_PART));
            for (; in; in &= in - 1) {
                struct few *to_few = &few[__builtin_ctz(in)];
                to_few->row[to_few->count++] = (int16_t)r;
            }
        }
        for (int64_t k = k0; k < MIN(k0 + W, t->k); k++) {
            const struct few *own = &few[k - k0];
            double *sum = sums + k * t->width;
            for (int r = 0; r < own->count; r++) {
                double p = (double)t->part[own->row[r] * t->columns + k];
                if (from == 0) sum[0] += p;
                if (products)
                    mix_products(t, t->x + (block + own->row[r]) * t->d, p, from, to,
                                 sum + 1 + t->d);
            }
            mix_lines(t, block, own, k, from, to, squares, sum + 1);
        }
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
    for (int64_t k = 0; k < t.columns && id == 0; k++)
        t.level[k] = k < t.k ? (float)(t.fixed[k] - t.base) : -INFINITY;
    if (id == 0) *total = 0;
    thread_barrier(team);
    thread_share(team, id, t.d, 8, &low, &high);
    float *part = t.part;
    double *likelihood = t.likelihood;
    for (int64_t block = 0; block < t.n; block += ROWS_MIX) {
        int64_t rows = MIN(ROWS_MIX, t.n - block), odd = block / ROWS_MIX % 2;
        t.part = part + odd * ROWS_MIX * t.columns;
        t.likelihood = likelihood + odd * ROWS_MIX;
        thread_share(team, id, rows, ROWS_TILE, &from, &to);
        mix_rows(&t, block, from, to, s->out[0]->data);
        thread_barrier(team);
        if (low < high) mix_sums(&t, block, rows, low, high, sums);
        for (int64_t i = 0; i < rows && id == 0; i++) *total += t.likelihood[i];
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
