/* What the kernels of linear have in common: where a line of x lies, and what becomes of a sum.
 * Device text, for k_linear*.cu only. */
#ifndef GPU_K_LINEAR_DEV_H
#define GPU_K_LINEAR_DEV_H

#include "gpu/k_linear.h"

/* How many lines count in this run. */
DEV_FN int linear_rows(const struct gpu_linear *a)
{
    if (!a->live) return a->rows;
    int rows = *a->live * a->per;
    return rows < a->rows ? rows : a->rows;
}

struct linear_line {
    int64_t at; /* of k = 0 in x; may lie before x where lo > 0 */
    int lo, hi; /* the k that exist */
};

DEV_FN struct linear_line linear_line(const struct gpu_linear *a, int m, int rows)
{
    struct linear_line l = {0, 0, 0};
    if (m >= rows) return l;
    int from = m % a->t_out * a->stride * a->c - a->pad, left = a->t_in * a->c - from;
    l.at = (int64_t)(m / a->t_out) * a->t_in * a->c + from;
    l.lo = from < 0 ? -from : 0;
    l.hi = left < a->k ? left : a->k;
    return l;
}

/* Four neighbours of a line, k a multiple of 4. */
DEV_FN void linear_x4(const struct gpu_linear *a, struct linear_line l, int k, float *v)
{
    if (a->quads) {
        struct dev_u4 u = {0, 0, 0, 0};
        if (k >= l.lo && k < l.hi) u = dev_ld16(a->x + (l.at + k));
        v[0] = dev_as_f32(u.x), v[1] = dev_as_f32(u.y);
        v[2] = dev_as_f32(u.z), v[3] = dev_as_f32(u.w);
        return;
    }
    DEV_UNROLL for (int i = 0; i < 4; i++) v[i] =
        k + i >= l.lo && k + i < l.hi ? a->x[l.at + k + i] : 0.0f;
}

/* act: enum op_act. */
DEV_FN float linear_act(int act, float v)
{
    if (act == 1) return 0.5f * v * (1.0f + dev_erf(v * 0.70710678118654752f));
    return act == 2 ? dev_max(v, 0.0f) : v;
}

/* One sum to y. */
DEV_FN void linear_put(const struct gpu_linear *a, int rows, int m, int n, float sum)
{
    if (m >= rows || n >= a->n) return;
    int64_t at = (int64_t)m * a->n + n;
    float v = linear_act(a->act, sum + (a->bias ? a->bias[n] : 0.0f));
    a->y[at] = a->residual ? v + a->residual[at] : v;
}

/* Four neighbours, n a multiple of 4. */
DEV_FN void linear_put4(const struct gpu_linear *a, int rows, int m, int n, float *v)
{
    if (m >= rows || n >= a->n) return;
    int64_t at = (int64_t)m * a->n + n;
    DEV_UNROLL for (int i = 0; i < 4; i++) v[i] =
        linear_act(a->act, v[i] + (a->bias && n + i < a->n ? a->bias[n + i] : 0.0f));
    if (a->n % 4) {
        DEV_UNROLL for (int i = 0; i < 4; i++) if (n + i < a->n) a->y[at + i] =
            a->residual ? v[i] + a->residual[at + i] : v[i];
        return;
    }
    struct dev_u4 r = {0, 0, 0, 0};
    if (a->residual) r = dev_ld16(a->residual + at);
    r.x = dev_as_u32(v[0] + dev_as_f32(r.x)), r.y = dev_as_u32(v[1] + dev_as_f32(r.y));
    r.z = dev_as_u32(v[2] + dev_as_f32(r.z)), r.w = dev_as_u32(v[3] + dev_as_f32(r.w));
    dev_put16(a->y + at, r);
}

/* Starts the copy of a tile of w (or of x in i8): `rows` rows of 64 bytes, from `from` with `ld`
 * bytes a row, into rows of 80 bytes. Rows from `exist` on become 0. */
DEV_FN void linear_copy(char *to, const char *from, int64_t ld, int rows, int threads, int exist)
{
    DEV_UNROLL for (int i = 0; i < rows * 4; i += threads)
    {
        int row = (i + (int)threadIdx.x) / 4, part = (int)threadIdx.x % 4 * 16;
        int keep = row < exist;
        dev_copy16(to + row * (2 * GPU_LINEAR_STRIDE) + part, from + (keep ? row * ld : 0) + part,
                   keep);
    }
}

#if DEV_ARCH >= 75
/* The end of a tile: a warp's sums go 32 x 32 at a time through its own part of shared memory, so
 * that they leave in rows of 128 bytes and act stands in the program once for each of 4. */
#define LINEAR_PART_LD 36 /* words of a row of a part */

DEV_FN uint32_t *linear_part(char *shared)
{
    return (uint32_t *)shared + dev_warp() * (32 * LINEAR_PART_LD);
}

/* A fragment of 16 x 8 at (row, n) of the part. */
DEV_FN void linear_part_set(uint32_t *part, int row, int n, uint32_t c0, uint32_t c1, uint32_t c2,
                            uint32_t c3)
{
    struct dev_u2 lo = {c0, c1}, hi = {c2, c3};
    int at = (row + dev_lane() / 4) * LINEAR_PART_LD + n + dev_lane() % 4 * 2;
    *(struct dev_u2 *)(part + at) = lo;
    *(struct dev_u2 *)(part + at + 8 * LINEAR_PART_LD) = hi;
}

/* A part to y at (m, n). i8: it holds i32 sums. */
DEV_FN void linear_part_put(const struct gpu_linear *a, int rows, int m, int n,
                            const uint32_t *part, int i8)
{
    int end = rows - m < 32 ? rows - m : 32, column = dev_lane() % 8 * 4;
    dev_warp_sync();
    for (int row = dev_lane() / 8; row < end; row += 4) {
        struct dev_u4 u = dev_get16(part + row * LINEAR_PART_LD + column);
        float v[4] = {dev_as_f32(u.x), dev_as_f32(u.y), dev_as_f32(u.z), dev_as_f32(u.w)};
        if (i8) {
            struct dev_u4 s = dev_ld16(a->scale + n + column); /* padded like w */
            float factor = a->factor[m + row];
            v[0] = (float)(int)u.x * factor * dev_as_f32(s.x);
            v[1] = (float)(int)u.y * factor * dev_as_f32(s.y);
            v[2] = (float)(int)u.z * factor * dev_as_f32(s.z);
            v[3] = (float)(int)u.w * factor * dev_as_f32(s.w);
        }
        linear_put4(a, rows, m + row, n + column, v);
    }
    dev_warp_sync();
}

/* The fragments of 16 rows and 32 bytes for dev_mma: A as it is; for B r[0], r[1] are of the first
 * 8 rows and r[2], r[3] of the others. */
DEV_FN void linear_frag_a(uint32_t *r, const char *at)
{
    int l = dev_lane();
    dev_ldmatrix_x4(r, at + l % 16 * (2 * GPU_LINEAR_STRIDE) + l / 16 * 16);
}

DEV_FN void linear_frag_b(uint32_t *r, const char *at)
{
    int l = dev_lane();
    dev_ldmatrix_x4(r, at + (l % 8 + l / 16 * 8) * (2 * GPU_LINEAR_STRIDE) + l / 8 % 2 * 16);
}
#endif

#endif
