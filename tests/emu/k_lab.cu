/* Small kernels that use every helper of gpu/dev.h, right and wrong. t_emu.c runs them. */
#include "gpu/dev.h"
#include "k_lab.h"

/* c i32 [32][8]: what each lane got. */
DEV_KERNEL(lab_shuffle, struct lab_args, a, 32)
{
    int *c = (int *)a.c + 8 * threadIdx.x;
    int lane = dev_lane(), v = 100 + lane;
    c[0] = dev_shfl_i32(v, 31 - lane);
    c[1] = dev_shfl_xor_i32(v, 5);
    c[2] = dev_shfl_down_i32(v, 3);
    c[3] = dev_shfl_up_i32(v, 30);
    c[4] = (int)dev_ballot(lane % 3 == 0);
    c[5] = (int)dev_sum_f32((float)v);
    c[6] = dev_max_i32(lane == 7 ? 1000 : -lane);
    c[7] = dev_any(lane == 31) * 2 + dev_all(lane < 31);
}

/* c f32 [n][12]: of a f32 [n]. */
DEV_KERNEL(lab_math, struct lab_args, a, 256)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= a.n) return;
    float x = ((const float *)a.a)[i];
    float *c = (float *)a.c + 12 * i;
    uint32_t both = dev_half2(x, -x);
    c[0] = dev_exp(x);
    c[1] = dev_log(x);
    c[2] = dev_log10(x);
    c[3] = dev_erf(x);
    c[4] = dev_rsqrt(x);
    c[5] = dev_fma(x, x, 1.0f);
    c[6] = (float)dev_round(x);
    c[7] = dev_lo(both);
    c[8] = dev_hi(both);
    c[9] = (float)dev_dp4a(dev_pack4(1, -2, 127, -128), dev_pack4(i, -i, 127, -128), 7);
    c[10] = dev_max(x, dev_exp_fast(-x));
    c[11] = dev_as_f32(dev_as_u32(x) ^ 0x80000000u);
}

#if DEV_ARCH >= 75
/* C f32 [16][8] = A f16 [16][16] . B f16 [8][16]^T, registers filled by hand. */
DEV_KERNEL(lab_mma_f16, struct lab_args, a, 32)
{
    const uint32_t *x = (const uint32_t *)a.a, *w = (const uint32_t *)a.b;
    int g = dev_lane() / 4, t = dev_lane() % 4;
    uint32_t ar[4], br[2];
    float c[4] = {0, 0, 0, 0};
    ar[0] = x[8 * g + t];
    ar[1] = x[8 * (g + 8) + t];
    ar[2] = x[8 * g + t + 4];
    ar[3] = x[8 * (g + 8) + t + 4];
    br[0] = w[8 * g + t];
    br[1] = w[8 * g + t + 4];
    dev_mma_f16(c, ar, br);
    for (int i = 0; i < 4; i++) ((float *)a.c)[8 * (g + i / 2 * 8) + 2 * t + i % 2] = c[i];
}

/* C i32 [16][8] = A s8 [16][32] . B s8 [8][32]^T */
DEV_KERNEL(lab_mma_s8, struct lab_args, a, 32)
{
    const uint32_t *x = (const uint32_t *)a.a, *w = (const uint32_t *)a.b;
    int g = dev_lane() / 4, t = dev_lane() % 4;
    uint32_t ar[4], br[2];
    int c[4] = {0, 0, 0, 0};
    ar[0] = x[8 * g + t];
    ar[1] = x[8 * (g + 8) + t];
    ar[2] = x[8 * g + t + 4];
    ar[3] = x[8 * (g + 8) + t + 4];
    br[0] = w[8 * g + t];
    br[1] = w[8 * g + t + 4];
    dev_mma_s8(c, ar, br);
    for (int i = 0; i < 4; i++) ((int *)a.c)[8 * (g + i / 2 * 8) + 2 * t + i % 2] = c[i];
}

/* The same products with fragments that ldmatrix fetched; a.k != 0: B comes as [16][8], n fastest,
 * and is transposed on the way. */
DEV_KERNEL(lab_ldmatrix_f16, struct lab_args, a, 32)
{
    DEV_SHARED(uint16_t, x, 16 * 16);
    DEV_SHARED(uint16_t, w, 16 * 8);
    uint32_t ar[4], br[2];
    float c[4] = {0, 0, 0, 0};
    int lane = dev_lane(), g = lane / 4, t = lane % 4;
    dev_put16(x + 8 * lane, dev_ld16((const uint16_t *)a.a + 8 * lane));
    if (lane < 16) dev_put16(w + 8 * lane, dev_ld16((const uint16_t *)a.b + 8 * lane));
    dev_warp_sync();
    dev_ldmatrix_x4(ar, x + 16 * (lane % 16) + 8 * (lane / 16));
    if (a.k)
        dev_ldmatrix_x2_trans(br, w + 8 * (lane % 16));
    else
        dev_ldmatrix_x2(br, w + 16 * (lane % 8) + 8 * (lane / 8 % 2));
    dev_mma_f16(c, ar, br);
    for (int i = 0; i < 4; i++) ((float *)a.c)[8 * (g + i / 2 * 8) + 2 * t + i % 2] = c[i];
}

DEV_KERNEL(lab_ldmatrix_s8, struct lab_args, a, 32)
{
    DEV_SHARED(int8_t, x, 16 * 32);
    DEV_SHARED(int8_t, w, 8 * 32);
    uint32_t ar[4], br[4];
    int c[4] = {0, 0, 0, 0};
    int lane = dev_lane(), g = lane / 4, t = lane % 4;
    dev_put16(x + 16 * lane, dev_ld16((const int8_t *)a.a + 16 * lane));
    if (lane < 16) dev_put16(w + 16 * lane, dev_ld16((const int8_t *)a.b + 16 * lane));
    dev_warp_sync();
    dev_ldmatrix_x4(ar, x + 32 * (lane % 16) + 16 * (lane / 16));
    dev_ldmatrix_x4(br, w + 32 * (lane % 8) + 16 * (lane / 8 % 2));
    dev_mma_s8(c, ar, br);
    for (int i = 0; i < 4; i++) ((int *)a.c)[8 * (g + i / 2 * 8) + 2 * t + i % 2] = c[i];
}

/* r u32 [32][4]: a transposed load of u16 [32][8]. */
DEV_KERNEL(lab_ldmatrix_trans, struct lab_args, a, 32)
{
    DEV_SHARED(uint16_t, x, 32 * 8);
    uint32_t r[4];
    int lane = dev_lane();
    dev_put16(x + 8 * lane, dev_ld16((const uint16_t *)a.a + 8 * lane));
    dev_warp_sync();
    dev_ldmatrix_x4_trans(r, x + 8 * lane);
    for (int i = 0; i < 4; i++) ((uint32_t *)a.c)[4 * lane + i] = r[i];
}

/* c f32 [m][n] = a f16 [m][k] . b f16 [n][k]^T; a block of 4 warps makes 64 x 64, three stages of
 * k = 32 in dynamic shared memory, 8 KiB each. Multiples of 64, 64, 32. */
DEV_KERNEL(lab_gemm, struct lab_args, a, 128)
{
    DEV_DYNAMIC(uint16_t, buffer);
    const uint16_t *x = (const uint16_t *)a.a + (size_t)64 * blockIdx.y * (size_t)a.k;
    const uint16_t *w = (const uint16_t *)a.b + (size_t)64 * blockIdx.x * (size_t)a.k;
    int lane = dev_lane(), warp = dev_warp(), g = lane / 4, t = lane % 4, steps = a.k / 32;
    float c[8][4];
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 4; i++) c[j][i] = 0;
    for (int s = 0; s < steps + 2; s++) {
        if (s < steps) { /* 4 chunks of 8 in a row of 32, shifted by the row: no bank conflicts */
            uint16_t *to = buffer + s % 3 * 4096;
            for (int i = (int)threadIdx.x; i < 256; i += 128) {
                int row = i / 4, chunk = i % 4, at = row * 32 + (chunk ^ (row / 2 & 3)) * 8;
                dev_copy16(to + at, x + (size_t)row * (size_t)a.k + s * 32 + chunk * 8, 1);
                dev_copy16(to + 2048 + at, w + (size_t)row * (size_t)a.k + s * 32 + chunk * 8, 1);
            }
        }
        dev_copy_commit();
        if (s < 2) continue;
        dev_copy_wait(2);
        dev_sync();
        uint16_t *from = buffer + (s - 2) % 3 * 4096;
        for (int h = 0; h < 2; h++) {
            uint32_t ar[4], br[4];
            int row = 16 * warp + lane % 16, chunk = 2 * h + lane / 16;
            dev_ldmatrix_x4(ar, from + row * 32 + (chunk ^ (row / 2 & 3)) * 8);
            for (int j = 0; j < 4; j++) { /* two products of n = 8 from one load */
                row = 16 * j + lane / 16 * 8 + lane % 8;
                chunk = 2 * h + lane / 8 % 2;
                dev_ldmatrix_x4(br, from + 2048 + row * 32 + (chunk ^ (row / 2 & 3)) * 8);
                dev_mma_f16(c[2 * j], ar, br);
                dev_mma_f16(c[2 * j + 1], ar, br + 2);
            }
        }
        dev_sync();
    }
    float *to = (float *)a.c + (64 * blockIdx.y + 16 * (unsigned)warp) * (unsigned)a.n +
                64 * blockIdx.x;
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 4; i++) to[(g + i / 2 * 8) * a.n + 8 * j + 2 * t + i % 2] = c[j][i];
}

#endif

/* Sum of a f32 [n] added to c f32 [1]. k: 1 leaves out the barrier after the partial sums, 2 the one
 * before the second use of the array. */
DEV_KERNEL(lab_sum, struct lab_args, a, 256)
{
    DEV_SHARED(float, part, 8);
    float sum = 0;
    int n_warps = (int)blockDim.x / 32;
    for (int round = 0; round < 2; round++) {
        float v = 0;
        for (int i = (int)(blockIdx.x * blockDim.x + threadIdx.x); i < a.n;
             i += (int)(gridDim.x * blockDim.x))
            v += ((const float *)a.a)[i];
        v = dev_sum_f32(v);
        if (dev_lane() == 0) part[dev_warp()] = round ? v : -v;
        if (a.k != 1) dev_sync();
        for (int i = 0; i < n_warps; i++) sum += part[(i + dev_warp()) % n_warps] * (float)(round + 1);
        if (a.k != 2) dev_sync();
    }
    if (threadIdx.x == 0) dev_atomic_add_f32(a.c, sum);
}

/* Wrong on purpose, by k. */
DEV_KERNEL(lab_wrong, struct lab_args, a, 256)
{
    DEV_SHARED(float, x, 64);
    DEV_DYNAMIC(float, dynamic);
    uint32_t r[4] = {0, 0, 0, 0};
    int i = (int)threadIdx.x;
    float *c = (float *)a.c;
    switch (a.k) {
    case 0: /* half of the threads skip the barrier and wait at another */
        if (i < 32)
            dev_sync();
        else
            dev_sync();
        break;
    case 1: /* some lanes shuffle, others wait for the block */
        if (i % 2)
            c[i] = dev_shfl_f32(1.0f, 0);
        else
            dev_sync();
        break;
    case 2: /* some lanes have returned */
        if (i % 2) return;
        c[i] = dev_sum_f32(1.0f);
        break;
    case 3: c[i] = x[i]; break;                              /* nobody wrote it */
    case 4: r[0] = dev_ld16((const char *)a.a + 4 * i).x; break; /* not aligned */
#if DEV_ARCH >= 75
    case 5: dev_ldmatrix_x4(r, (const char *)a.a + 16 * i); break; /* not in shared memory */
    case 6: dev_ldmatrix_x4(r, x + i % 4); break;                /* not aligned */
#endif
    case 7: c[i] = dynamic[a.n]; break;                      /* behind the end */
    case 8: /* not waited for */
        dev_copy16(dynamic + 4 * i, (const float *)a.a + 4 * i, 1);
        dev_copy_commit();
        if (a.n) dev_copy_wait(1);
        c[i] = dynamic[4 * i];
        break;
    case 9: /* waited for, but not committed */
        dev_copy16(dynamic + 4 * i, (const float *)a.a + 4 * i, 1);
        dev_copy_wait(0);
        c[i] = dynamic[4 * i];
        break;
    case 10: /* a warp waits for one that has gone: no fault */
        if (i >= 32) return;
        dev_sync();
        c[i] = 1;
        break;
    case 11: /* one lane waits for its warp, the others for the block */
        if (i == 3)
            dev_warp_sync();
        else
            dev_sync();
        break;
    case 12: /* zeros where nothing is kept */
        dev_copy16(dynamic + 4 * i, (const float *)a.a + 4 * i, i % 2);
        dev_copy_commit();
        dev_copy_wait(0);
        c[i] = dynamic[4 * i];
        break;
    case 13: c[i] = x[a.n]; break;                  /* behind the end from 64 on */
    case 14: c[i] = ((const float *)a.a)[a.n]; break; /* behind the end of what there is */
    }
    if (r[0] == 12345u) c[i] = 0;
}

/* Counts: c i32: [0] sum, [1] maximum, [2] compare and swap won by one thread per block, [3 ..] bins
 * of a i32 [n]. */
DEV_KERNEL(lab_atomics, struct lab_args, a, 64)
{
    int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    int *c = (int *)a.c;
    if (i >= a.n) return;
    int v = ((const int *)a.a)[i];
    dev_atomic_add_i32(c, v);
    dev_atomic_max_i32(c + 1, v);
    dev_atomic_cas_u32(c + 2, 0, (uint32_t)i + 1);
    dev_atomic_add_i32(c + 3 + v % 8, 1);
    dev_fence();
}

/* c i32 [grid z][y][x][block z][y][x][3]: where each thread believes to be. */
DEV_KERNEL(lab_where, struct lab_args, a, 1024)
{
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    int *c = (int *)a.c + 3 * (block * blockDim.x * blockDim.y * blockDim.z + thread);
    c[0] = (int)threadIdx.x;
    c[1] = (int)threadIdx.y;
    c[2] = (int)(threadIdx.z + 100 * blockIdx.x);
}
