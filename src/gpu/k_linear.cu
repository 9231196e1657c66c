/* linear and conv1d with f16 weights on tensor cores; see k_linear.h.
 *
 * Many lines. A block has a tile of 32 mt lines and as many n, in 2 x mt warps, each of 16 mt lines
 * and 32 n. It goes along k in steps of 32, two stages: while one is multiplied, w of the next comes
 * by cp.async and x, which must be narrowed, through registers.
 *
 *          w  [n][k]                     stage:  x f16 [32 mt][40], w f16 [32 mt][40]
 *        +--------+
 *    x   | . warps|   acc per warp: mt x 4 fragments of 16 x 8
 *  [m][k]|  . . . |
 *
 * Few lines. Weights go from memory to registers, 16 bytes at once, and are used there: the sum does
 * not care in which order k goes, so a lane takes its 8 neighbours of k as if they were the ones the
 * fragment asks for, of x and w alike. w is the A of mma and x the B. The warps of a block share k
 * and add up at the end. */
#include "gpu/dev.h"
#include "gpu/k_linear.h"

#if DEV_ARCH >= 75
#include "gpu/k_linear_dev.h"

/* x of a step: each thread 4 floats of 4 lines, 8 mt lines apart. */
DEV_FN void linear_f16_load(const struct gpu_linear *a, const struct linear_line *line, int k0,
                            float *v)
{
    int k = k0 + (int)threadIdx.x % 8 * 4;
    DEV_UNROLL for (int i = 0; i < 4; i++) linear_x4(a, line[i], k, v + 4 * i);
}

DEV_FN void linear_f16_store(char *to, const float *v, int mt)
{
    DEV_UNROLL for (int i = 0; i < 4; i++)
    {
        int row = (int)threadIdx.x / 8 + i * 8 * mt;
        struct dev_u2 h = {dev_half2(v[4 * i], v[4 * i + 1]),
                           dev_half2(v[4 * i + 2], v[4 * i + 3])};
        *(struct dev_u2 *)(to + row * (2 * GPU_LINEAR_STRIDE) + (int)threadIdx.x % 8 * 8) = h;
    }
}

/* One stage: 32 of k. x, w: where this warp's rows start. */
DEV_FN void linear_f16_multiply(float (*acc)[4][4], const char *x, const char *w, int mt)
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
            DEV_UNROLL for (int j = 0; j < 4; j++) dev_mma_f16(acc[i][j], f, b + 2 * j);
        }
    }
}

DEV_FN void linear_f16_tile(const struct gpu_linear *a, int mt)
{
    DEV_DYNAMIC(char, shared);
    int tile = 32 * mt, half = tile * 2 * GPU_LINEAR_STRIDE, threads = 64 * mt;
    int rows = linear_rows(a), m0 = (int)blockIdx.y * tile, n0 = (int)blockIdx.x * tile;
    if (m0 >= rows) return;
    int wm = dev_warp() / mt * 16 * mt, wn = dev_warp() % mt * 32;
    const char *w = (const char *)a->w + (int64_t)n0 * a->ldw * 2;
    struct linear_line line[4];
    float v[16], acc[4][4][4];
    DEV_UNROLL for (int i = 0; i < 4; i++)
        line[i] = linear_line(a, m0 + (int)threadIdx.x / 8 + i * 8 * mt, rows);
    DEV_UNROLL for (int i = 0; i < mt * 16; i++) acc[i / 16][i / 4 % 4][i % 4] = 0.0f;
    linear_copy(shared + half, w, (int64_t)a->ldw * 2, tile, threads, tile);
    dev_copy_commit();
    linear_f16_load(a, line, 0, v);
    linear_f16_store(shared, v, mt);
    int k_end = (a->k + 31) / 32 * 32;
    for (int k = 0; k < k_end; k += 32) {
        char *now = shared + k / 32 % 2 * 2 * half, *next = shared + (1 - k / 32 % 2) * 2 * half;
        int more = k + 32 < k_end;
        dev_copy_wait(0);
        dev_sync();
        if (more) {
            linear_copy(next + half, w + (k + 32) * 2, (int64_t)a->ldw * 2, tile, threads, tile);
            dev_copy_commit();
            linear_f16_load(a, line, k + 32, v);
        }
        linear_f16_multiply(acc, now + wm * 2 * GPU_LINEAR_STRIDE,
                            now + half + wn * 2 * GPU_LINEAR_STRIDE, mt);
        if (more) linear_f16_store(next, v, mt);
    }
    uint32_t *part = linear_part(shared);
    dev_sync();
    DEV_UNROLL for (int i = 0; i < mt; i += 2)
    {
        DEV_UNROLL for (int j = 0; j < 8; j++)
        {
            const float *c = acc[i + j / 4][j % 4];
            linear_part_set(part, j / 4 * 16, j % 4 * 8, dev_as_u32(c[0]), dev_as_u32(c[1]),
                            dev_as_u32(c[2]), dev_as_u32(c[3]));
        }
        linear_part_put(a, rows, m0 + wm + 16 * i, n0 + wn, part, 0);
    }
}

/* Two blocks on a multiprocessor, where its shared memory can hold them. */
#define LINEAR_F16_BLOCKS (DEV_ARCH >= 80 ? 2 : 1)

DEV_KERNEL_BLOCKS(linear_f16_128, struct gpu_linear, a, 256, LINEAR_F16_BLOCKS)
{
    linear_f16_tile(&a, 4);
}

DEV_KERNEL(linear_f16_64, struct gpu_linear, a, 128)
{
    linear_f16_tile(&a, 2);
}

/* The 8 neighbours of k that a lane has of a line, as f16. */
DEV_FN void linear_f16_x8(const struct gpu_linear *a, struct linear_line l, int k, uint32_t *h)
{
    float v[8];
    linear_x4(a, l, k, v);
    linear_x4(a, l, k + 4, v + 4);
    DEV_UNROLL for (int i = 0; i < 4; i++) h[i] = dev_half2(v[2 * i], v[2 * i + 1]);
}

/* A slice of 64 of k for `tiles` x 16 of n and 8 or 16 lines. */
DEV_FN void linear_f16_slice(const struct gpu_linear *a, const struct linear_line *line,
                             const uint16_t *w, int k, int tiles, int two, float (*acc)[2][4])
{
    uint32_t x[2][2][4];
    struct dev_u4 lo[4][2], hi[4][2];
    DEV_UNROLL for (int i = 0; i < tiles * 2; i++)
    {
        const uint16_t *at = w + (int64_t)(i / 2 * 16) * a->ldw + i % 2 * 32;
        lo[i / 2][i % 2] = dev_ld16(at);
        hi[i / 2][i % 2] = dev_ld16(at + (int64_t)8 * a->ldw);
    }
    DEV_UNROLL for (int s = 0; s < 2; s++)
    {
        linear_f16_x8(a, line[0], k + 32 * s, x[0][s]);
        if (two) linear_f16_x8(a, line[1], k + 32 * s, x[1][s]);
    }
    DEV_UNROLL for (int i = 0; i < tiles; i++)
        DEV_UNROLL for (int s = 0; s < 2; s++)
    {
        struct dev_u4 l = lo[i][s], h = hi[i][s];
        uint32_t first[4] = {l.x, h.x, l.y, h.y}, second[4] = {l.z, h.z, l.w, h.w};
        dev_mma_f16(acc[i][0], first, x[0][s]);
        dev_mma_f16(acc[i][0], second, x[0][s] + 2);
        if (two) dev_mma_f16(acc[i][1], first, x[1][s]);
        if (two) dev_mma_f16(acc[i][1], second, x[1][s] + 2);
    }
}

DEV_FN void linear_f16_few_of(const struct gpu_linear *a, float *part, int tiles)
{
    int rows = linear_rows(a), m0 = (int)blockIdx.y * GPU_LINEAR_FEW;
    int n0 = (int)blockIdx.x * 16 * tiles, g = dev_lane() / 4, t = dev_lane() % 4;
    if (m0 >= rows) return;
    int two = rows - m0 > 8;
    struct linear_line line[2];
    line[0] = linear_line(a, m0 + g, rows);
    line[1] = linear_line(a, m0 + 8 + g, rows);
    const uint16_t *w = (const uint16_t *)a->w + (int64_t)(n0 + g) * a->ldw + 8 * t;
    float acc[4][2][4];
    DEV_UNROLL for (int i = 0; i < tiles * 8; i++) acc[i / 8][i / 4 % 2][i % 4] = 0.0f;
    for (int k = dev_warp() * 64; k < a->ldw; k += GPU_LINEAR_WARPS * 64)
        linear_f16_slice(a, line, w + k, k + 8 * t, tiles, two, acc);
    int width = 16 * tiles; /* part: [warp][line][n] */
    DEV_UNROLL for (int i = 0; i < tiles * 8; i++)
    {
        int n = i / 8 * 16 + g + i / 2 % 2 * 8, m = i / 4 % 2 * 8 + 2 * t + i % 2;
        part[(dev_warp() * GPU_LINEAR_FEW + m) * width + n] = acc[i / 8][i / 4 % 2][i % 4];
    }
    dev_sync();
    for (int i = (int)threadIdx.x; i < GPU_LINEAR_FEW * width; i += 32 * GPU_LINEAR_WARPS) {
        float sum = 0.0f;
        DEV_UNROLL for (int s = 0; s < GPU_LINEAR_WARPS; s++)
            sum += part[s * GPU_LINEAR_FEW * width + i];
        linear_put(a, rows, m0 + i / width, n0 + i % width, sum);
    }
}

DEV_KERNEL(linear_f16_few, struct gpu_linear, a, 256)
{
    DEV_SHARED(float, part, GPU_LINEAR_WARPS *GPU_LINEAR_FEW * 16);
    linear_f16_few_of(&a, part, 1);
}

DEV_KERNEL(linear_f16_few4, struct gpu_linear, a, 256)
{
    DEV_SHARED(float, part, GPU_LINEAR_WARPS *GPU_LINEAR_FEW * 64);
    linear_f16_few_of(&a, part, 4);
}

#endif
