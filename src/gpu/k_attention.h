/* What the attention of the encoder takes. Plain structs, read by the host, by NVRTC and by the
 * emulator. Grid: tiles of queries, heads, windows. */
#ifndef GPU_K_ATTENTION_H
#define GPU_K_ATTENTION_H

struct gpu_attention {
    const float *qkv; /* [windows][t][3 heads d] */
    float *y;         /* [windows][t][heads d] */
    const int *live;  /* windows that count, or NULL */
    int windows, t, heads, d;
    float scale;
    int quads; /* 1: d is a multiple of 4 */
};

#define GPU_ATTENTION_D     64  /* most of d; less is filled up with 0 */
#define GPU_ATTENTION_F16   128 /* queries of a block of attention_f16: 16 for each of 8 warps */
#define GPU_ATTENTION_PLAIN 32  /* queries of a block of attention_plain: 4 threads for each */

#endif
