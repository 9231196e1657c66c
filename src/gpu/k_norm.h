/* What addpos and layernorm take. Plain structs, read by the host, by NVRTC and by the emulator. */
#ifndef GPU_K_NORM_H
#define GPU_K_NORM_H

struct gpu_addpos {
    const float *x, *table;
    float *y;
    const int *live;   /* windows that count, or NULL */
    int windows, size; /* floats of a window and of the table */
    int quads;         /* 1: size is a multiple of 4 */
};

struct gpu_layernorm {
    const float *x, *gain, *offset;
    float *y;
    const int *live; /* how many of `rows / per` count, or NULL */
    int rows, per, width;
    float eps;
    int quads; /* 1: width is a multiple of 4 */
};

#define GPU_ADDPOS_THREADS 256
#define GPU_LAYERNORM_ROWS 4 /* of a block: one per warp */

#endif
