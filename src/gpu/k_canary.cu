/* The canary of k_canary.h: shared memory, a barrier, a shuffle, f16 and integer arithmetic, so
 * that a GPU on which one of these is broken is found before it is believed. gpu_device.c computes
 * the same in plain C. */
#include "gpu/dev.h"
#include "gpu/k_canary.h"

DEV_KERNEL(canary, struct gpu_canary, a, GPU_CANARY_THREADS)
{
    DEV_SHARED(uint32_t, word, GPU_CANARY_THREADS);
    uint32_t t = threadIdx.x, i = blockIdx.x * GPU_CANARY_THREADS + t;
    uint32_t x = (i + a.seed) * 2654435761u;
    word[t] = x;
    dev_sync();
    uint32_t y = word[(t * 7u + 3u) % GPU_CANARY_THREADS];
    int sum = dev_sum_i32((int)(y & 0xffffu));
    uint16_t half = dev_half((float)(x & 2047u));
    a.out[i] = (y ^ (uint32_t)sum) + (uint32_t)dev_float(half);
}
