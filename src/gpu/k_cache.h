/* Arguments of k_cache.cu: keys and values of the encoder's output. See op.def, crosskv. */
#ifndef GPU_K_CACHE_H
#define GPU_K_CACHE_H

#define CACHE_THREADS 256
#define CACHE_TIMES   64  /* positions of a block */
#define CACHE_WIDTH   128 /* most of D */

/* grid: chunks of T, H, B; cache_most: chunks of T, chunks of CACHE_THREADS channels, B */
struct cache_put {
    const float *kv; /* [B,T,2C] */
    const int *slot, *live;
    void *k, *v;              /* [W,H,D,T], [W,H,T,D] */
    float *k_scale, *v_scale; /* i8: [W,H,D], [W,H,T] */
    float *most;              /* i8: [B, chunks of T, C], the largest |k| of each chunk */
    int frames, heads, width; /* T, H, D */
};

#endif
