/* Keys and values of the encoder's output into the caches that attncross reads: keys turned, so
 * that the positions of a channel lie side by side; f32, f16, or i8 with a scale per row. */
#include "gpu/dev.h"
#include "gpu/k_cache.h"

enum { CACHE_F32, CACHE_F16, CACHE_I8 };

/* i8 alone, before cache_put_i8: a row of keys runs over all T, so its scale needs all blocks. */
DEV_KERNEL(cache_most, struct cache_put, a, CACHE_THREADS)
{
    int b = (int)blockIdx.z, channels = a.heads * a.width;
    int c = (int)(blockIdx.y * CACHE_THREADS + threadIdx.x);
    if ((a.live && b >= *a.live) || c >= channels) return;
    int t0 = (int)blockIdx.x * CACHE_TIMES;
    int end = t0 + CACHE_TIMES < a.frames ? t0 + CACHE_TIMES : a.frames;
    float most = 0.0f;
    for (int t = t0; t < end; t++)
        most = dev_max(most, dev_abs(a.kv[((int64_t)b * a.frames + t) * 2 * channels + c]));
    a.most[((int64_t)b * gridDim.x + blockIdx.x) * channels + c] = most;
}

/* op.def's rule: what a row is multiplied by, from its largest. What is not finite becomes 0. */
DEV_FN float cache_factor(float most)
{
    float factor = 127.0f / most;
    return factor > 0.0f && factor < DEV_INF ? factor : 1.0f;
}

DEV_FN void cache_store(void *to, int64_t i, float x, float factor, const int type)
{
    if (type == CACHE_F32) ((float *)to)[i] = x;
    if (type == CACHE_F16) ((uint16_t *)to)[i] = dev_half(x);
    if (type == CACHE_I8) {
        int q = dev_round(x * factor);
        ((int8_t *)to)[i] = (int8_t)(q < -127 || q > 127 ? 0 : q);
    }
}

DEV_FN void cache_keys(const struct cache_put *a, const float *tile, const float *factor, int slot,
                       int t0, const int type)
{
    int64_t row = ((int64_t)slot * a->heads + blockIdx.y) * a->width;
    for (int i = (int)threadIdx.x; i < a->width * CACHE_TIMES; i += CACHE_THREADS) {
        int d = i / CACHE_TIMES, t = i % CACHE_TIMES;
        if (t0 + t < a->frames)
            cache_store(a->k, (row + d) * a->frames + t0 + t, tile[t * (CACHE_WIDTH + 1) + d],
                        factor[d], type);
    }
}

/* A warp for each position. */
DEV_FN void cache_values(const struct cache_put *a, const float *v, int slot, int t0,
                         const int type)
{
    int64_t row = ((int64_t)slot * a->heads + blockIdx.y) * a->frames;
    for (int t = t0 + dev_warp(); t < t0 + CACHE_TIMES && t < a->frames;
         t += CACHE_THREADS / DEV_WARP) {
        const float *from = v + (int64_t)t * 2 * a->heads * a->width;
        float factor = 1.0f;
        if (type == CACHE_I8) {
            float most = 0.0f;
            for (int d = dev_lane(); d < a->width; d += DEV_WARP)
                most = dev_max(most, dev_abs(from[d]));
            factor = cache_factor(dev_max_f32(most));
            if (dev_lane() == 0) a->v_scale[row + t] = 1.0f / factor;
        }
        for (int d = dev_lane(); d < a->width; d += DEV_WARP)
            cache_store(a->v, (row + t) * a->width + d, from[d], factor, type);
    }
}

DEV_FN void cache_block(const struct cache_put *a, const int type)
{
    DEV_SHARED(float, tile, CACHE_TIMES *(CACHE_WIDTH + 1));
    DEV_SHARED(float, factor, CACHE_WIDTH);
    int b = (int)blockIdx.z, h = (int)blockIdx.y, t0 = (int)blockIdx.x * CACHE_TIMES;
    int tid = (int)threadIdx.x, channels = a->heads * a->width;
    if (a->live && b >= *a->live) return;
    int slot = a->slot[b];
    const float *kv = a->kv + (int64_t)b * a->frames * 2 * channels + h * a->width;
    for (int i = tid; i < a->width * CACHE_TIMES; i += CACHE_THREADS) {
        int t = i / a->width, d = i % a->width;
        if (t0 + t < a->frames)
            tile[t * (CACHE_WIDTH + 1) + d] = kv[(int64_t)(t0 + t) * 2 * channels + d];
    }
    if (tid < a->width) {
        factor[tid] = 1.0f;
        if (type == CACHE_I8) {
            float most = 0.0f;
            for (int i = 0; i < (int)gridDim.x; i++)
                most = dev_max(
                    most, a->most[((int64_t)b * gridDim.x + i) * channels + h * a->width + tid]);
            factor[tid] = cache_factor(most);
            if (blockIdx.x == 0)
                a->k_scale[((int64_t)slot * a->heads + h) * a->width + tid] = 1.0f / factor[tid];
        }
    }
    dev_sync();
    cache_keys(a, tile, factor, slot, t0, type);
    cache_values(a, kv + channels, slot, t0, type);
}

DEV_KERNEL(cache_put_f32, struct cache_put, a, CACHE_THREADS)
{
    cache_block(&a, CACHE_F32);
}

DEV_KERNEL(cache_put_f16, struct cache_put, a, CACHE_THREADS)
{
    cache_block(&a, CACHE_F16);
}

DEV_KERNEL(cache_put_i8, struct cache_put, a, CACHE_THREADS)
{
    cache_block(&a, CACHE_I8);
}
