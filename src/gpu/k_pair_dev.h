/* What the kernels of clustering have in common: tiles of 64 rows against 64 others. Device text.
 *
 * A block of 256 threads, 4 x 4 pairs each: thread t has rows 4 (t / 16) .. + 3 of the one side and
 * 4 (t % 16) .. + 3 of the other. Distances are sums of squared differences in f32, not |a|^2 -
 * 2ab + |b|^2: no digits cancel, so the error is relative to the distance itself,
 *
 *     |d2 - exact| <= d2 * pair_slack(d) + pair_tiny(d)
 *
 * (d roundings of the sum, 3 of a difference and its square; tiny for squares below f32), and what
 * it cannot decide is decided by pair_exact, whose sum has the order and the bits of cpu_ref. */
#ifndef GPU_K_PAIR_DEV_H
#define GPU_K_PAIR_DEV_H

#define PAIR_TILE    64
#define PAIR_THREADS 256
#define PAIR_WARPS   (PAIR_THREADS / DEV_WARP)
#define PAIR_K       16              /* columns in shared memory at a time */
#define PAIR_LD      (PAIR_TILE + 4) /* so that quads are aligned and columns in different banks */
#define PAIR_SHARED  (PAIR_K * PAIR_LD)

#define PAIR_OWN   (4 * ((int)threadIdx.x / 16)) /* this thread's first row */
#define PAIR_OTHER (4 * ((int)threadIdx.x % 16)) /* and of the other side */

DEV_FN float pair_slack(int d)
{
    return (float)(d + 8) * 6.0e-8f; /* a little more than 2^-24 */
}

DEV_FN float pair_tiny(int d)
{
    return (float)(d + 8) * 1.5e-44f;
}

/* Columns [k0, k0 + PAIR_K) of 64 rows of x [..][d], turned. row: shared [64], -1: zeros. */
DEV_FN void pair_fill(float *to, const float *x, const int *row, int d, int k0)
{
    int k = (int)threadIdx.x % PAIR_K;
    DEV_UNROLL
    for (int i = 0; i < PAIR_TILE; i += PAIR_THREADS / PAIR_K) {
        int r = i + (int)threadIdx.x / PAIR_K;
        to[k * PAIR_LD + r] = row[r] >= 0 && k0 + k < d ? x[(int64_t)row[r] * d + k0 + k] : 0.0f;
    }
}

DEV_FN void pair_quad(const float *from, float *v)
{
    struct dev_u4 u = dev_get16(from);
    v[0] = dev_as_f32(u.x), v[1] = dev_as_f32(u.y);
    v[2] = dev_as_f32(u.z), v[3] = dev_as_f32(u.w);
}

/* Rows first .. first + 63 of those below `end`, into shared memory. */
DEV_FN void pair_rows(int *row, int first, int end)
{
    int t = (int)threadIdx.x;
    if (t < PAIR_TILE) row[t] = first + t < end ? first + t : -1;
}

/* The products of this thread's 16 pairs over PAIR_K columns, f32: sum [16] = a b^T. */
DEV_FN void pair_products(const float *sa, const float *sb, float *sum)
{
    DEV_UNROLL
    for (int i = 0; i < 16; i++) sum[i] = 0.0f;
    DEV_UNROLL
    for (int k = 0; k < PAIR_K; k++) {
        float va[4], vb[4];
        pair_quad(sa + k * PAIR_LD + PAIR_OWN, va);
        pair_quad(sb + k * PAIR_LD + PAIR_OTHER, vb);
        DEV_UNROLL
        for (int i = 0; i < 16; i++) sum[i] = dev_fma(va[i / 4], vb[i % 4], sum[i]);
    }
}

/* d2 [16] of this thread's pairs. sa, sb: PAIR_SHARED each. Block; begins with a barrier, so that
 * whoever filled the rows need not. */
DEV_FN void pair_d2(const float *a, const int *row_a, const float *b, const int *row_b, int d,
                    float *sa, float *sb, float *d2)
{
    DEV_UNROLL
    for (int i = 0; i < 16; i++) d2[i] = 0.0f;
    for (int k0 = 0; k0 < d; k0 += PAIR_K) {
        dev_sync();
        pair_fill(sa, a, row_a, d, k0);
        pair_fill(sb, b, row_b, d, k0);
        dev_sync();
        DEV_UNROLL
        for (int k = 0; k < PAIR_K; k++) {
            float va[4], vb[4];
            pair_quad(sa + k * PAIR_LD + PAIR_OWN, va);
            pair_quad(sb + k * PAIR_LD + PAIR_OTHER, vb);
            DEV_UNROLL
            for (int i = 0; i < 16; i++) {
                float off = va[i / 4] - vb[i % 4];
                d2[i] = dev_fma(off, off, d2[i]);
            }
        }
    }
    dev_sync();
}

/* Exact to a rounding of f64 a column, in cpu_ref's order. One thread. */
DEV_FN double pair_exact(const float *a, const float *b, int d)
{
    double sum = 0.0;
    for (int i = 0; i < d; i++) {
        double off = (double)a[i] - (double)b[i];
        sum = dev_add64(sum, dev_mul64(off, off));
    }
    return sum;
}

/* The same by a warp: a lane has every 32nd column. */
DEV_FN double pair_warp(const float *a, const float *b, int d)
{
    double sum = 0.0;
    for (int i = dev_lane(); i < d; i += DEV_WARP) {
        double off = (double)a[i] - (double)b[i];
        sum += off * off;
    }
    return dev_sum_f64(sum);
}

/* Sum over the block in a fixed order, for all; part: shared [PAIR_WARPS]. */
DEV_FN double pair_block_sum(double v, double *part)
{
    v = dev_sum_f64(v);
    dev_sync();
    if (dev_lane() == 0) part[dev_warp()] = v;
    dev_sync();
    v = 0.0;
    for (int i = 0; i < PAIR_WARPS; i++) v += part[i];
    return v;
}

#endif
