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

/* Two neighbours, n even. */
DEV_FN void linear_put2(const struct gpu_linear *a, int rows, int m, int n, float s0, float s1)
{
    if (m >= rows || n >= a->n) return;
    if (a->n & 1) {
        linear_put(a, rows, m, n, s0);
        linear_put(a, rows, m, n + 1, s1);
        return;
    }
    int64_t at = (int64_t)m * a->n + n;
    struct dev_u2 b = {0, 0}, r = {0, 0};
    if (a->bias) b = dev_ld8(a->bias + n);
    if (a->residual) r = dev_ld8(a->residual + at);
    float v0 = linear_act(a->act, s0 + dev_as_f32(b.x)) + dev_as_f32(r.x);
    float v1 = linear_act(a->act, s1 + dev_as_f32(b.y)) + dev_as_f32(r.y);
    struct dev_u2 v = {dev_as_u32(v0), dev_as_u32(v1)};
    *(struct dev_u2 *)(a->y + at) = v;
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
