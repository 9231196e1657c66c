/* linear and conv1d without tensor cores: f32 weights, and all forms before sm_75.
 *
 * _plain: tiles of 64 x 64, 256 threads of 4 x 4 sums, 16 of k at a time.
 * _dot: a warp has 2 of n and 8 lines, its lanes share k, 16 bytes of w each. */
#include "gpu/dev.h"
#include "gpu/k_linear.h"
#include "gpu/k_linear_dev.h"

#define LINEAR_PLAIN_LD (GPU_LINEAR_PLAIN + 4) /* keeps quads aligned */

/* Four neighbours of a row of w. */
DEV_FN void linear_plain_w4(const struct gpu_linear *a, int64_t at, int f16, float *v)
{
    if (f16) {
        struct dev_u2 u = dev_ld8((const uint16_t *)a->w + at);
        v[0] = dev_lo(u.x), v[1] = dev_hi(u.x), v[2] = dev_lo(u.y), v[3] = dev_hi(u.y);
        return;
    }
    struct dev_u4 u = dev_ld16((const float *)a->w + at);
    v[0] = dev_as_f32(u.x), v[1] = dev_as_f32(u.y);
    v[2] = dev_as_f32(u.z), v[3] = dev_as_f32(u.w);
}

DEV_FN void linear_plain_get(const float *from, float *v)
{
    struct dev_u4 u = dev_get16(from);
    v[0] = dev_as_f32(u.x), v[1] = dev_as_f32(u.y);
    v[2] = dev_as_f32(u.z), v[3] = dev_as_f32(u.w);
}

DEV_FN void linear_plain_of(const struct gpu_linear *a, int f16)
{
    DEV_SHARED(float, xs, 16 * LINEAR_PLAIN_LD); /* [k][m] */
    DEV_SHARED(float, ws, 16 * LINEAR_PLAIN_LD); /* [k][n] */
    int rows = linear_rows(a), m0 = (int)blockIdx.y * GPU_LINEAR_PLAIN;
    int n0 = (int)blockIdx.x * GPU_LINEAR_PLAIN, row = (int)threadIdx.x / 4;
    int part = (int)threadIdx.x % 4 * 4, tm = (int)threadIdx.x / 16 * 4;
    int tn = (int)threadIdx.x % 16 * 4;
    if (m0 >= rows) return;
    struct linear_line line = linear_line(a, m0 + row, rows);
    float acc[4][4], x[4], w[4];
    DEV_UNROLL for (int i = 0; i < 16; i++) acc[i / 4][i % 4] = 0.0f;
    for (int k = 0; k < a->k; k += 16) {
        linear_x4(a, line, k + part, x);
        linear_plain_w4(a, (int64_t)(n0 + row) * a->ldw + k + part, f16, w);
        dev_sync();
        DEV_UNROLL for (int i = 0; i < 4; i++)
        {
            xs[(part + i) * LINEAR_PLAIN_LD + row] = x[i];
            ws[(part + i) * LINEAR_PLAIN_LD + row] = w[i];
        }
        dev_sync();
        DEV_UNROLL for (int i = 0; i < 16; i++)
        {
            linear_plain_get(xs + i * LINEAR_PLAIN_LD + tm, x);
            linear_plain_get(ws + i * LINEAR_PLAIN_LD + tn, w);
            DEV_UNROLL for (int j = 0; j < 16; j++)
                acc[j / 4][j % 4] = dev_fma(x[j / 4], w[j % 4], acc[j / 4][j % 4]);
        }
    }
    DEV_UNROLL for (int i = 0; i < 4; i++) linear_put4(a, rows, m0 + tm + i, n0 + tn, acc[i]);
}

DEV_KERNEL(linear_plain_f32, struct gpu_linear, a, 256)
{
    linear_plain_of(&a, 0);
}

#if DEV_ARCH < 75
DEV_KERNEL(linear_plain_f16, struct gpu_linear, a, 256)
{
    linear_plain_of(&a, 1);
}
#endif

/* The sums of 2 of n and 8 lines, which every lane has, to y: one by each of 16 lanes. */
DEV_FN void linear_dot_put(const struct gpu_linear *a, int rows, int m0, int n,
                           float (*sum)[GPU_LINEAR_DOT])
{
    float mine = 0.0f;
    DEV_UNROLL for (int i = 0; i < 2 * GPU_LINEAR_DOT; i++)
        mine = dev_lane() == i ? sum[i % 2][i / 2] : mine;
    if (dev_lane() < 2 * GPU_LINEAR_DOT)
        linear_put(a, rows, m0 + dev_lane() / 2, n + dev_lane() % 2, mine);
}

DEV_FN void linear_dot_of(const struct gpu_linear *a, int f16)
{
    int rows = linear_rows(a), m0 = (int)blockIdx.y * GPU_LINEAR_DOT;
    int n = (int)blockIdx.x * GPU_LINEAR_DOT + dev_warp() * 2;
    if (m0 >= rows) return;
    struct linear_line line[GPU_LINEAR_DOT];
    float acc[2][GPU_LINEAR_DOT], x[4], w[2][4];
    DEV_UNROLL for (int i = 0; i < GPU_LINEAR_DOT; i++)
    {
        line[i] = linear_line(a, m0 + i, rows);
        acc[0][i] = acc[1][i] = 0.0f;
    }
    for (int k = dev_lane() * 4; k < a->k; k += 128) {
        linear_plain_w4(a, (int64_t)n * a->ldw + k, f16, w[0]);
        linear_plain_w4(a, (int64_t)(n + 1) * a->ldw + k, f16, w[1]);
        DEV_UNROLL for (int i = 0; i < GPU_LINEAR_DOT; i++)
        {
            linear_x4(a, line[i], k, x);
            DEV_UNROLL for (int j = 0; j < 8; j++)
                acc[j / 4][i] = dev_fma(x[j % 4], w[j / 4][j % 4], acc[j / 4][i]);
        }
    }
    DEV_UNROLL for (int i = 0; i < 2 * GPU_LINEAR_DOT; i++)
        acc[i % 2][i / 2] = dev_sum_f32(acc[i % 2][i / 2]);
    linear_dot_put(a, rows, m0, n, acc);
}

DEV_KERNEL(linear_dot_f32, struct gpu_linear, a, 128)
{
    linear_dot_of(&a, 0);
}

#if DEV_ARCH < 75
DEV_KERNEL(linear_dot_f16, struct gpu_linear, a, 128)
{
    linear_dot_of(&a, 1);
}

DEV_FN int linear_dot_16(struct dev_u4 u, struct dev_u4 v, int sum)
{
    sum = dev_dp4a(u.x, v.x, sum);
    sum = dev_dp4a(u.y, v.y, sum);
    sum = dev_dp4a(u.z, v.z, sum);
    return dev_dp4a(u.w, v.w, sum);
}

DEV_KERNEL(linear_dot_i8, struct gpu_linear, a, 128)
{
    int rows = linear_rows(&a), m0 = (int)blockIdx.y * GPU_LINEAR_DOT;
    int n = (int)blockIdx.x * GPU_LINEAR_DOT + dev_warp() * 2;
    if (m0 >= rows) return;
    const signed char *w = (const signed char *)a.w + (int64_t)n * a.ldw;
    int acc[2][GPU_LINEAR_DOT];
    float sum[2][GPU_LINEAR_DOT];
    DEV_UNROLL for (int i = 0; i < GPU_LINEAR_DOT; i++) acc[0][i] = acc[1][i] = 0;
    for (int k = dev_lane() * 16; k < a.ldw; k += 512) {
        struct dev_u4 w0 = dev_ld16(w + k), w1 = dev_ld16(w + a.ldw + k);
        DEV_UNROLL for (int i = 0; i < GPU_LINEAR_DOT; i++)
        {
            if (m0 + i >= rows) continue;
            struct dev_u4 x = dev_ld16(a.q + (int64_t)(m0 + i) * a.ldw + k);
            acc[0][i] = linear_dot_16(x, w0, acc[0][i]);
            acc[1][i] = linear_dot_16(x, w1, acc[1][i]);
        }
    }
    DEV_UNROLL for (int i = 0; i < 2 * GPU_LINEAR_DOT; i++)
    {
        float factor = m0 + i / 2 < rows ? a.factor[m0 + i / 2] : 0.0f;
        sum[i % 2][i / 2] = (float)dev_sum_i32(acc[i % 2][i / 2]) * factor * a.scale[n + i % 2];
    }
    linear_dot_put(&a, rows, m0, n, sum);
}
#endif
