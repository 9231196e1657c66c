/* linear with i8 weights: x is quantised per line by a kernel of its own, then products are exact in
 * i32. The shapes of tiles and the way along k are those of k_linear.cu, with 64 of k where that has
 * 32, so that bytes lie alike; x is narrow here already and comes by cp.async as w does. */
#include "gpu/dev.h"
#include "gpu/k_linear.h"
#include "gpu/k_linear_dev.h"

/* op.def: q = rint(x * 127 / max|row|). A warp for each line. A line of zeros has the factor 1, and
 * what is no number becomes 0. */
DEV_KERNEL(linear_quantise, struct gpu_linear, a, 32 * GPU_LINEAR_QUANTUM)
{
    int rows = linear_rows(&a), m = (int)blockIdx.x * GPU_LINEAR_QUANTUM + dev_warp();
    if (m >= rows) return;
    struct linear_line line = linear_line(&a, m, rows);
    float most = 0.0f, v[4];
    for (int k = dev_lane() * 4; k < a.k; k += 128) {
        linear_x4(&a, line, k, v);
        DEV_UNROLL for (int i = 0; i < 4; i++) most = dev_max(most, dev_abs(v[i]));
    }
    most = dev_max_f32(most);
    float by = 127.0f / most;
    if (!(by >= 1.17549435e-38f && by <= 3.40282347e38f)) by = 1.0f;
    for (int k = dev_lane() * 4; k < a.ldw; k += 128) {
        int q[4];
        linear_x4(&a, line, k, v);
        DEV_UNROLL for (int i = 0; i < 4; i++)
        {
            q[i] = dev_round(v[i] * by);
            if (q[i] < -127 || q[i] > 127) q[i] = 0;
        }
        *(uint32_t *)(a.q + (int64_t)m * a.ldw + k) = dev_pack4(q[0], q[1], q[2], q[3]);
    }
    if (dev_lane() == 0) a.factor[m] = 1.0f / by;
}

#if DEV_ARCH >= 75

DEV_FN void linear_i8_multiply(int (*acc)[4][4], const char *x, const char *w, int mt)
{
    DEV_UNROLL for (int k = 0; k < 64; k += 32)
    {
        uint32_t b[8];
        linear_frag_b(b, w + k);
        linear_frag_b(b + 4, w + 16 * 2 * GPU_LINEAR_STRIDE + k);
        DEV_UNROLL for (int i = 0; i < mt; i++)
        {
            uint32_t f[4];
            linear_frag_a(f, x + i * 16 * 2 * GPU_LINEAR_STRIDE + k);
            DEV_UNROLL for (int j = 0; j < 4; j++) dev_mma_s8(acc[i][j], f, b + 2 * j);
        }
    }
}

DEV_FN void linear_i8_tile(const struct gpu_linear *a, int mt)
{
    DEV_DYNAMIC(char, shared);
    int tile = 32 * mt, half = tile * 2 * GPU_LINEAR_STRIDE, threads = 64 * mt;
    int rows = linear_rows(a), m0 = (int)blockIdx.y * tile, n0 = (int)blockIdx.x * tile;
    if (m0 >= rows) return;
    int wm = dev_warp() / mt * 16 * mt, wn = dev_warp() % mt * 32;
    const char *w = (const char *)a->w + (int64_t)n0 * a->ldw;
    const char *x = (const char *)a->q + (int64_t)m0 * a->ldw;
    int acc[4][4][4];
    DEV_UNROLL for (int i = 0; i < mt * 16; i++) acc[i / 16][i / 4 % 4][i % 4] = 0;
    linear_copy(shared, x, a->ldw, tile, threads, rows - m0);
    linear_copy(shared + half, w, a->ldw, tile, threads, tile);
    dev_copy_commit();
    for (int k = 0; k < a->ldw; k += 64) {
        char *now = shared + k / 64 % 2 * 2 * half, *next = shared + (1 - k / 64 % 2) * 2 * half;
        dev_copy_wait(0);
        dev_sync();
        if (k + 64 < a->ldw) {
            linear_copy(next, x + k + 64, a->ldw, tile, threads, rows - m0);
            linear_copy(next + half, w + k + 64, a->ldw, tile, threads, tile);
            dev_copy_commit();
        }
        linear_i8_multiply(acc, now + wm * 2 * GPU_LINEAR_STRIDE,
                           now + half + wn * 2 * GPU_LINEAR_STRIDE, mt);
    }
    uint32_t *part = linear_part(shared);
    dev_sync();
    DEV_UNROLL for (int i = 0; i < mt; i += 2)
    {
        DEV_UNROLL for (int j = 0; j < 8; j++)
        {
            const int *c = acc[i + j / 4][j % 4];
            linear_part_set(part, j / 4 * 16, j % 4 * 8, (uint32_t)c[0], (uint32_t)c[1],
                            (uint32_t)c[2], (uint32_t)c[3]);
        }
        linear_part_put(a, rows, m0 + wm + 16 * i, n0 + wn, part, 1);
    }
}

DEV_KERNEL(linear_i8_128, struct gpu_linear, a, 256)
{
    linear_i8_tile(&a, 4);
}

DEV_KERNEL(linear_i8_64, struct gpu_linear, a, 128)
{
    linear_i8_tile(&a, 2);
}

/* 16 bytes of a line of x quantised, or zeros for one that is not live. */
DEV_FN struct dev_u4 linear_i8_x16(const struct gpu_linear *a, int m, int rows, int k)
{
    struct dev_u4 u = {0, 0, 0, 0};
    if (m < rows) u = dev_ld16(a->q + (int64_t)m * a->ldw + k);
    return u;
}

/* A slice of 64 of k: a lane's 16 neighbours of k stand for those of two fragments. */
DEV_FN void linear_i8_slice(const struct gpu_linear *a, const signed char *w, int m, int rows,
                            int k, int tiles, int two, int (*acc)[2][4])
{
    struct dev_u4 lo[4], hi[4], x0, x1 = {0, 0, 0, 0};
    DEV_UNROLL for (int i = 0; i < tiles; i++)
    {
        lo[i] = dev_ld16(w + (int64_t)(16 * i) * a->ldw + k);
        hi[i] = dev_ld16(w + (int64_t)(16 * i + 8) * a->ldw + k);
    }
    x0 = linear_i8_x16(a, m, rows, k);
    if (two) x1 = linear_i8_x16(a, m + 8, rows, k);
    uint32_t b0[4] = {x0.x, x0.y, x0.z, x0.w}, b1[4] = {x1.x, x1.y, x1.z, x1.w};
    DEV_UNROLL for (int i = 0; i < tiles; i++)
    {
        uint32_t first[4] = {lo[i].x, hi[i].x, lo[i].y, hi[i].y};
        uint32_t second[4] = {lo[i].z, hi[i].z, lo[i].w, hi[i].w};
        dev_mma_s8(acc[i][0], first, b0);
        dev_mma_s8(acc[i][0], second, b0 + 2);
        if (two) dev_mma_s8(acc[i][1], first, b1);
        if (two) dev_mma_s8(acc[i][1], second, b1 + 2);
    }
}

DEV_FN void linear_i8_few_of(const struct gpu_linear *a, int *part, int tiles)
{
    int rows = linear_rows(a), m0 = (int)blockIdx.y * GPU_LINEAR_FEW;
    int n0 = (int)blockIdx.x * 16 * tiles, g = dev_lane() / 4, t = dev_lane() % 4;
    if (m0 >= rows) return;
    const signed char *w = (const signed char *)a->w + (int64_t)(n0 + g) * a->ldw;
    int acc[4][2][4];
    DEV_UNROLL for (int i = 0; i < tiles * 8; i++) acc[i / 8][i / 4 % 2][i % 4] = 0;
    for (int k = dev_warp() * 64; k < a->ldw; k += GPU_LINEAR_WARPS * 64)
        linear_i8_slice(a, w, m0 + g, rows, k + 16 * t, tiles, rows - m0 > 8, acc);
    int width = 16 * tiles;
    DEV_UNROLL for (int i = 0; i < tiles * 8; i++)
    {
        int n = i / 8 * 16 + g + i / 2 % 2 * 8, m = i / 4 % 2 * 8 + 2 * t + i % 2;
        part[(dev_warp() * GPU_LINEAR_FEW + m) * width + n] = acc[i / 8][i / 4 % 2][i % 4];
    }
    dev_sync();
    for (int i = (int)threadIdx.x; i < GPU_LINEAR_FEW * width; i += 32 * GPU_LINEAR_WARPS) {
        int sum = 0, m = m0 + i / width, n = n0 + i % width;
        DEV_UNROLL for (int s = 0; s < GPU_LINEAR_WARPS; s++)
            sum += part[s * GPU_LINEAR_FEW * width + i];
        if (m < rows) linear_put(a, rows, m, n, (float)sum * a->factor[m] * a->scale[n]);
    }
}

DEV_KERNEL(linear_i8_few, struct gpu_linear, a, 256)
{
    DEV_SHARED(int, part, GPU_LINEAR_WARPS *GPU_LINEAR_FEW * 16);
    linear_i8_few_of(&a, part, 1);
}

DEV_KERNEL(linear_i8_few4, struct gpu_linear, a, 256)
{
    DEV_SHARED(int, part, GPU_LINEAR_WARPS *GPU_LINEAR_FEW * 64);
    linear_i8_few_of(&a, part, 4);
}

#endif
