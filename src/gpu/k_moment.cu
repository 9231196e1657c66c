/* Products that become moments: gram, project and estep; see k_moment.h. */
#include "gpu/dev.h"
#include "gpu/k_moment.h"
#include "gpu/k_pair_dev.h"

/* ---- gram ---- */

/* Columns [c0, c0 + 64) of rows [r0, r0 + PAIR_K) of x [..][d]. */
DEV_FN void moment_columns(float *to, const float *x, int d, int c0, int64_t r0, int64_t end)
{
    int c = (int)threadIdx.x % MOMENT_TILE;
    DEV_UNROLL
    for (int r = (int)threadIdx.x / MOMENT_TILE; r < PAIR_K; r += MOMENT_THREADS / MOMENT_TILE)
        to[r * PAIR_LD + c] = r0 + r < end && c0 + c < d ? x[(r0 + r) * d + c0 + c] : 0.0f;
}

/* A tile of x^T y over a part of the rows: f32 over 16 of them, f64 over these. */
DEV_KERNEL(moment_gram, struct moment_gram, a, MOMENT_THREADS)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    int i0 = (int)blockIdx.x * MOMENT_TILE, j0 = (int)blockIdx.y * MOMENT_TILE;
    int64_t live = a.live ? *a.live : a.n, from = (int64_t)blockIdx.z * a.per, to = from + a.per;
    double sum[16], column[4];
    to = to < live ? to : live;
    DEV_UNROLL
    for (int i = 0; i < 16; i++) sum[i] = 0.0;
    DEV_UNROLL
    for (int i = 0; i < 4; i++) column[i] = 0.0;
    for (int64_t r = from; r < to; r += PAIR_K) {
        float some[16], own[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        dev_sync();
        moment_columns(sa, a.x, a.d, i0, r, to);
        moment_columns(sb, a.y, a.e, j0, r, to);
        dev_sync();
        pair_products(sa, sb, some);
        if (j0 == 0) { /* the blocks that tell the columns' sums */
            DEV_UNROLL
            for (int k = 0; k < PAIR_K; k++) {
                float va[4];
                pair_quad(sa + k * PAIR_LD + PAIR_OWN, va);
                DEV_UNROLL
                for (int i = 0; i < 4; i++) own[i] += va[i];
            }
        }
        DEV_UNROLL
        for (int i = 0; i < 16; i++) sum[i] += (double)some[i];
        DEV_UNROLL
        for (int i = 0; i < 4; i++) column[i] += (double)own[i];
    }
    double *part = a.part + blockIdx.z * ((int64_t)a.d * a.e + a.d);
    DEV_UNROLL
    for (int i = 0; i < 16; i++) {
        int row = i0 + PAIR_OWN + i / 4, col = j0 + PAIR_OTHER + i % 4;
        if (row < a.d && col < a.e) part[(int64_t)row * a.e + col] = sum[i];
    }
    DEV_UNROLL
    for (int i = 0; i < 4; i++) {
        int row = i0 + PAIR_OWN + i;
        if (j0 == 0 && PAIR_OTHER == 0 && row < a.d) part[(int64_t)a.d * a.e + row] = column[i];
    }
}

DEV_KERNEL(moment_gram_sum, struct moment_gram, a, MOMENT_THREADS)
{
    int64_t i = (int64_t)blockIdx.x * MOMENT_THREADS + threadIdx.x, de = (int64_t)a.d * a.e;
    double sum = 0.0;
    if (i >= de + a.d) return;
    for (int p = 0; p < a.parts; p++) sum += a.part[p * (de + a.d) + i];
    if (i < de)
        a.out[i] = sum;
    else if (a.sums)
        a.sums[i - de] = sum;
}

/* ---- project ---- */

DEV_KERNEL(moment_project, struct moment_project, a, MOMENT_THREADS)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    DEV_SHARED(int, row, MOMENT_TILE);
    DEV_SHARED(int, col, MOMENT_TILE);
    int live = a.live ? *a.live : a.n, i0 = (int)blockIdx.x * MOMENT_TILE;
    int j0 = (int)blockIdx.y * MOMENT_TILE;
    double sum[16];
    if (i0 >= live) return;
    pair_rows(row, i0, live);
    pair_rows(col, j0, a.m);
    DEV_UNROLL
    for (int i = 0; i < 16; i++) sum[i] = 0.0;
    for (int k0 = 0; k0 < a.d; k0 += PAIR_K) {
        float some[16];
        dev_sync();
        pair_fill(sa, a.x, row, a.d, k0);
        pair_fill(sb, a.w, col, a.d, k0);
        dev_sync();
        pair_products(sa, sb, some);
        DEV_UNROLL
        for (int i = 0; i < 16; i++) sum[i] += (double)some[i];
    }
    DEV_UNROLL
    for (int i = 0; i < 16; i++) {
        int r = i0 + PAIR_OWN + i / 4, c = j0 + PAIR_OTHER + i % 4;
        if (r < live && c < a.m) a.y[(int64_t)r * a.m + c] = (float)(sum[i] + (double)a.offset[c]);
    }
}

/* ---- estep: f64 throughout, so that labels and likelihoods are the reference's ---- */

#define MOMENT_K  16
#define MOMENT_LD (MOMENT_TILE + 2)

/* sum[16] += A^T B of 16 lines in shared memory, f64. */
DEV_FN void moment_multiply(const double *sa, const double *sb, double *sum)
{
    DEV_ROLLED
    for (int k = 0; k < MOMENT_K; k++) {
        double va[4], vb[4];
        DEV_UNROLL
        for (int i = 0; i < 4; i++) va[i] = sa[k * MOMENT_LD + PAIR_OWN + i];
        DEV_UNROLL
        for (int i = 0; i < 4; i++) vb[i] = sb[k * MOMENT_LD + PAIR_OTHER + i];
        DEV_UNROLL
        for (int i = 0; i < 16; i++) sum[i] += va[i / 4] * vb[i % 4];
    }
}

/* sum[16] = (x - shift) times columns [c0, c0 + 64) of a matrix, for 64 rows of the piece. */
DEV_FN void moment_matrix(const struct moment_step *a, const float *matrix, const float *shift,
                          int r0, int c0, double *sa, double *sb, double *sum)
{
    int t = (int)threadIdx.x, k = t % MOMENT_K, c = t % MOMENT_TILE;
    DEV_UNROLL
    for (int i = 0; i < 16; i++) sum[i] = 0.0;
    for (int k0 = 0; k0 < a->d; k0 += MOMENT_K) {
        dev_sync();
        for (int r = t / MOMENT_K; r < MOMENT_TILE; r += MOMENT_THREADS / MOMENT_K) {
            double v = 0.0;
            if (r0 + r < a->rows && k0 + k < a->d) {
                v = (double)a->x[(int64_t)(a->from + r0 + r) * a->d + k0 + k];
                if (shift) v -= (double)shift[k0 + k];
            }
            sa[k * MOMENT_LD + r] = v;
        }
        for (int j = t / MOMENT_TILE; j < MOMENT_K; j += MOMENT_THREADS / MOMENT_TILE)
            sb[j * MOMENT_LD + c] = k0 + j < a->d && c0 + c < a->d
                                        ? (double)matrix[(int64_t)(k0 + j) * a->d + c0 + c]
                                        : 0.0;
        dev_sync();
        moment_multiply(sa, sb, sum);
    }
}

DEV_KERNEL(moment_turn, struct moment_step, a, MOMENT_THREADS)
{
    DEV_SHARED(double, sa, MOMENT_K *MOMENT_LD);
    DEV_SHARED(double, sb, MOMENT_K *MOMENT_LD);
    int r0 = (int)blockIdx.x * MOMENT_TILE, c0 = (int)blockIdx.y * MOMENT_TILE;
    double sum[16];
    moment_matrix(&a, a.scale, (const float *)0, r0, c0, sa, sb, sum);
    DEV_UNROLL
    for (int i = 0; i < 16; i++) {
        int r = r0 + PAIR_OWN + i / 4, c = c0 + PAIR_OTHER + i % 4;
        if (r < a.rows && c < a.d) a.turned[(int64_t)r * a.d + c] = sum[i];
    }
}

/* |z|^2 of 64 rows and 64 clusters: z = x * scale - shift, or turned - shift. */
DEV_KERNEL(moment_log, struct moment_step, a, MOMENT_THREADS)
{
    DEV_SHARED(double, sa, MOMENT_K *MOMENT_LD);
    DEV_SHARED(float, by, MOMENT_K *MOMENT_LD);
    DEV_SHARED(float, off, MOMENT_K *MOMENT_LD);
    int t = (int)threadIdx.x, k = t % MOMENT_K;
    int r0 = (int)blockIdx.x * MOMENT_TILE, j0 = (int)blockIdx.y * MOMENT_TILE;
    double sum[16];
    DEV_UNROLL
    for (int i = 0; i < 16; i++) sum[i] = 0.0;
    for (int k0 = 0; k0 < a.d; k0 += MOMENT_K) {
        dev_sync();
        for (int i = t / MOMENT_K; i < MOMENT_TILE; i += MOMENT_THREADS / MOMENT_K) {
            int there = k0 + k < a.d, r = r0 + i, j = j0 + i, at = k * MOMENT_LD + i;
            double v = 0.0;
            if (there && r < a.rows)
                v = a.turned ? a.turned[(int64_t)r * a.d + k0 + k]
                             : (double)a.x[(int64_t)(a.from + r) * a.d + k0 + k];
            sa[at] = v;
            there = there && j < a.k;
            by[at] = there && !a.turned ? a.scale[(int64_t)j * a.d + k0 + k] : 1.0f;
            off[at] = there ? a.shift[(int64_t)j * a.d + k0 + k] : 0.0f;
        }
        dev_sync();
        DEV_ROLLED
        for (int l = 0; l < MOMENT_K && k0 + l < a.d; l++) {
            double va[4], vb[4], vo[4];
            DEV_UNROLL
            for (int i = 0; i < 4; i++) {
                va[i] = sa[l * MOMENT_LD + PAIR_OWN + i];
                vb[i] = (double)by[l * MOMENT_LD + PAIR_OTHER + i];
                vo[i] = (double)off[l * MOMENT_LD + PAIR_OTHER + i];
            }
            DEV_UNROLL
            for (int i = 0; i < 16; i++) {
                double z = va[i / 4] * vb[i % 4] - vo[i % 4];
                sum[i] += z * z;
            }
        }
    }
    DEV_UNROLL
    for (int i = 0; i < 16; i++) {
        int r = r0 + PAIR_OWN + i / 4, j = j0 + PAIR_OTHER + i % 4;
        if (r < a.rows && j < a.k) a.log_p[(int64_t)r * a.k + j] = a.fixed[j] - sum[i] / 2.0;
    }
}

/* The same of a matrix for each cluster: 64 rows and cluster blockIdx.y. */
DEV_KERNEL_BLOCKS(moment_log_full, struct moment_step, a, MOMENT_THREADS, 2)
{
    DEV_SHARED(double, sa, MOMENT_K *MOMENT_LD);
    DEV_SHARED(double, sb, MOMENT_K *MOMENT_LD);
    int r0 = (int)blockIdx.x * MOMENT_TILE, j = (int)blockIdx.y;
    double sum[16], square[4] = {0.0, 0.0, 0.0, 0.0};
    for (int c0 = 0; c0 < a.d; c0 += MOMENT_TILE) {
        moment_matrix(&a, a.scale + (int64_t)j * a.d * a.d, a.shift + (int64_t)j * a.d, r0, c0, sa,
                      sb, sum);
        DEV_UNROLL
        for (int i = 0; i < 16; i++) square[i / 4] += sum[i] * sum[i];
    }
    DEV_UNROLL
    for (int i = 0; i < 4; i++) {
        int r = r0 + PAIR_OWN + i;
        for (int m = 8; m > 0; m >>= 1) square[i] += dev_shfl_xor_f64(square[i], m);
        if (threadIdx.x % 16 == 0 && r < a.rows)
            a.log_p[(int64_t)r * a.k + j] = a.fixed[j] - square[i] / 2.0;
    }
}

/* A row's label and likelihood, and its responsibilities in place of the logarithms; by a warp. */
DEV_KERNEL(moment_rows, struct moment_step, a, MOMENT_THREADS)
{
    int64_t r = (int64_t)blockIdx.x * MOMENT_WARPS + dev_warp();
    if (r >= a.rows) return;
    double *p = a.log_p + r * a.k, most = -1e300, whole = 0.0;
    int best = 0x7fffffff;
    for (int j = dev_lane(); j < a.k; j += DEV_WARP)
        if (p[j] > most || best == 0x7fffffff) most = p[j], best = j;
    for (int i = 16; i > 0; i >>= 1) {
        double other = dev_shfl_xor_f64(most, i);
        int j = dev_shfl_xor_i32(best, i);
        if (j != 0x7fffffff && (best == 0x7fffffff || other > most || (other == most && j < best)))
            most = other, best = j;
    }
    for (int j = dev_lane(); j < a.k; j += DEV_WARP) whole += dev_exp64(p[j] - most);
    whole = dev_sum_f64(whole);
    for (int j = dev_lane(); j < a.k; j += DEV_WARP) p[j] = dev_exp64(p[j] - most) / whole;
    if (dev_lane() != 0) return;
    a.label[a.from + r] = best;
    a.row[a.from + r] = most + dev_log64(whole);
}

/* Column w of what is added up for a row: 1, x, then x^2 or x x^T. */
DEV_FN double moment_feature(const struct moment_step *a, const float *x, int w)
{
    if (w == 0) return 1.0;
    if (w <= a->d) return (double)x[w - 1];
    w -= a->d + 1;
    if (a->width == 2 * a->d + 1) return (double)x[w] * (double)x[w];
    return (double)x[w / a->d] * (double)x[w % a->d];
}

/* 64 clusters and 64 columns of the sums over this block's part of the piece. */
DEV_KERNEL(moment_add, struct moment_step, a, MOMENT_THREADS)
{
    DEV_SHARED(double, sa, MOMENT_K *MOMENT_LD);
    DEV_SHARED(double, sb, MOMENT_K *MOMENT_LD);
    int t = (int)threadIdx.x, c = t % MOMENT_TILE, per = (a.rows + a.parts - 1) / a.parts;
    int j0 = (int)blockIdx.x * MOMENT_TILE, w0 = (int)blockIdx.y * MOMENT_TILE;
    int from = (int)blockIdx.z * per, to = from + per < a.rows ? from + per : a.rows;
    double sum[16];
    DEV_UNROLL
    for (int i = 0; i < 16; i++) sum[i] = 0.0;
    for (int r0 = from; r0 < to; r0 += MOMENT_K) {
        dev_sync();
        for (int r = t / MOMENT_TILE; r < MOMENT_K; r += MOMENT_THREADS / MOMENT_TILE) {
            int there = r0 + r < to;
            sa[r * MOMENT_LD + c] =
                there && j0 + c < a.k ? a.log_p[(int64_t)(r0 + r) * a.k + j0 + c] : 0.0;
            sb[r * MOMENT_LD + c] =
                there && w0 + c < a.width
                    ? moment_feature(&a, a.x + (int64_t)(a.from + r0 + r) * a.d, w0 + c)
                    : 0.0;
        }
        dev_sync();
        moment_multiply(sa, sb, sum);
    }
    DEV_UNROLL
    for (int i = 0; i < 16; i++) {
        int j = j0 + PAIR_OWN + i / 4, w = w0 + PAIR_OTHER + i % 4;
        if (j >= a.k || w >= a.width) continue;
        double *at = a.part + ((int64_t)blockIdx.z * a.k + j) * a.width + w;
        *at = a.from == 0 ? sum[i] : *at + sum[i];
    }
}

DEV_KERNEL(moment_all, struct moment_step, a, MOMENT_THREADS)
{
    DEV_SHARED(double, part, PAIR_WARPS);
    int64_t i = (int64_t)blockIdx.x * MOMENT_THREADS + threadIdx.x, cells = (int64_t)a.k * a.width;
    double sum = 0.0;
    if (blockIdx.x + 1 == gridDim.x) { /* the block behind the cells */
        for (int64_t r = (int64_t)threadIdx.x; r < a.n; r += MOMENT_THREADS) sum += a.row[r];
        sum = pair_block_sum(sum, part);
        if (threadIdx.x == 0) *a.likelihood = sum;
        return;
    }
    if (i >= cells) return;
    for (int p = 0; p < a.parts; p++) sum += a.part[p * cells + i];
    a.sums[i] = sum;
}
