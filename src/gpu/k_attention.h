/* What attention without a mask takes. Plain structs, read by the host, by NVRTC and by the
 * emulator. Grid of attention_: tiles of queries, heads, windows. Of attnrange_: any number of
 * tiles and of ranges, heads between them; a block goes on to those a grid further, because what is
 * live and how long it is the host does not say. */
#ifndef GPU_K_ATTENTION_H
#define GPU_K_ATTENTION_H

struct gpu_attention {
    const float *qkv;  /* [windows][t][3 heads d]; attnrange_: [rows][3 heads d] */
    float *y;          /* the same of heads d */
    const int *live;   /* windows or ranges that count, or NULL */
    const int *range;  /* attnrange_: [windows][2], first row and rows */
    const float *bias; /* attnrange_: [heads][2 t - 1], or NULL */
    int windows, t, heads, d;
    float scale;
    int quads; /* 1: d is a multiple of 4 */
};

#define GPU_ATTENTION_D     64  /* most of d; less is filled up with 0 */
#define GPU_ATTENTION_F16   128 /* queries of a block of attention_f16: 16 for each of 8 warps */
#define GPU_ATTNRANGE_F16   64  /* the same of attnrange_f16, by 4 warps: sentences are short */
#define GPU_ATTENTION_PLAIN 32  /* queries of a block of attention_plain: 4 threads for each */
#define GPU_ATTENTION_TILES 4   /* most tiles of one range that attnrange_ takes at once */

#endif
