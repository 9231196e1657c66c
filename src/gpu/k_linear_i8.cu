/* linear with i8 weights: x is quantised per line by a kernel of its own, then products are exact in
 * i32. The shapes of tiles and the way along k are those of k_linear.cu, with 64 of k where that has
 * 32, so that bytes lie alike; x is narrow here already and comes by cp.async as w does. */
#include "gpu/dev.h"
#include "gpu/k_linear.h"
#include "gpu/k_linear_dev.h"

/* A warp for each line. */
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
    float by = linear_to_i8(dev_max_f32(most));
    for (int k = dev_lane() * 4; k < a.ldw; k += 128) {
        linear_x4(&a, line, k, v);
        *(uint32_t *)(a.q + (int64_t)m * a.ldw + k) = linear_pack4(v, by);
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

/* 16 neighbours of k of a line, quantised. */
DEV_FN void linear_i8_x16(const struct gpu_linear *a, struct linear_line l, struct linear_stat s,
                          int k, uint32_t *q)
{
    DEV_UNROLL for (int i = 0; i < 4; i++)
    {
        float v[4];
        linear_few4(a, l, s, k + 4 * i, v);
        q[i] = linear_pack4(v, s.to_i8);
    }
}

/* A slice of 64 of k: a lane's 16 neighbours of k stand for those of two fragments. */
DEV_FN void linear_i8_slice(const struct gpu_linear *a, const signed char *w,
                            const struct linear_line *line, const struct linear_stat *stat, int k,
                            int tiles, int two, int (*acc)[2][4])
{
    struct dev_u4 lo[4], hi[4];
    uint32_t b0[4], b1[4];
    DEV_UNROLL for (int i = 0; i < tiles; i++)
    {
        lo[i] = dev_ld16(w + (int64_t)(16 * i) * a->ldw + k);
        hi[i] = dev_ld16(w + (int64_t)(16 * i + 8) * a->ldw + k);
    }
    linear_i8_x16(a, line[0], stat[0], k, b0);
    if (two) linear_i8_x16(a, line[1], stat[1], k, b1);
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

DEV_FN void linear_i8_few_of(const struct gpu_linear *a, int *part, struct linear_stat *stat,
                             int tiles)
{
    int rows = linear_rows(a), m0 = (int)blockIdx.y * GPU_LINEAR_FEW;
    int n0 = (int)blockIdx.x * 16 * tiles, g = dev_lane() / 4, t = dev_lane() % 4;
    if (m0 >= rows) return;
    const signed char *w = (const signed char *)a->w + (int64_t)(n0 + g) * a->ldw;
    int acc[4][2][4];
    struct linear_line line[2];
    struct linear_stat own[2];
    linear_look_all(a, m0, rows, GPU_LINEAR_FEW, GPU_LINEAR_WARPS, 1, stat);
    DEV_UNROLL for (int i = 0; i < 2; i++)
    {
        line[i] = linear_line(a, m0 + g + 8 * i, rows);
        own[i] = stat[g + 8 * i];
    }
    DEV_UNROLL for (int i = 0; i < tiles * 8; i++) acc[i / 8][i / 4 % 2][i % 4] = 0;
    for (int k = dev_warp() * 64; k < a->ldw; k += GPU_LINEAR_WARPS * 64)
        linear_i8_slice(a, w, line, own, k + 16 * t, tiles, rows - m0 > 8, acc);
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
        if (m < rows)
            linear_put(a, rows, m, n, (float)sum * (1.0f / stat[m - m0].to_i8) * a->scale[n]);
    }
}

DEV_KERNEL(linear_i8_few, struct gpu_linear, a, 256)
{
    DEV_SHARED(int, part, GPU_LINEAR_WARPS *GPU_LINEAR_FEW * 16);
    DEV_SHARED(struct linear_stat, stat, GPU_LINEAR_FEW);
    linear_i8_few_of(&a, part, stat, 1);
}

DEV_KERNEL(linear_i8_few4, struct gpu_linear, a, 256)
{
    DEV_SHARED(int, part, GPU_LINEAR_WARPS *GPU_LINEAR_FEW * 64);
    DEV_SHARED(struct linear_stat, stat, GPU_LINEAR_FEW);
    linear_i8_few_of(&a, part, stat, 4);
}

#endif
