/* What the kernels of linear and conv1d take: y[m][n] = act(sum over k of x(m, k) w[n][k] +
 * bias[n])
 * + residual[m][n]. Plain structs, read by the host, by NVRTC and by the emulator.
 *
 * Line m of x starts at x + (m / t_out * t_in + m % t_out * stride) * c - pad and has k
 * neighbouring floats, of which those outside of its window's t_in * c floats count as 0. So conv1d
 * is a product, too (k = 3 c, pad = c), and linear is the case t_out = t_in = stride = 1, c = k,
 * pad = 0.
 *
 * The kernels, by the form of w and the number of lines:
 *   linear_f16_128, _64      f16, sm_75 on: mma, tiles of 128 x 128 and 64 x 64
 *   linear_f16_few, _few4    f16, sm_75 on: mma, at most 16 lines a block, 16 and 64 of n
 *   linear_i8_128 ... _few4  the same for i8, after linear_quantise
 *   linear_plain_f32         f32: FFMA, tiles of 64 x 64
 *   linear_dot_f32           f32: FFMA, 8 lines a block
 *   linear_plain_f16, linear_dot_f16, _i8   sm_70: FFMA and dp4a; i8 after linear_quantise */
#ifndef GPU_K_LINEAR_H
#define GPU_K_LINEAR_H

struct gpu_linear {
    const float *x;
    const void *w;                /* [..][ldw], padded as in gpu_pack.h */
    const float *bias, *residual; /* or NULL */
    float *y;                     /* [rows][n] */
    const int *live;              /* how many of `rows / per` count; NULL: all */
    int rows, per, n, k, ldw;
    int t_out, t_in, stride, c, pad;
    int act;            /* enum op_act */
    int quads;          /* 1: c is a multiple of 4, so that lines of x are read 4 floats at once */
    signed char *q;     /* i8: x quantised, [rows][ldw], the rest of each row 0 */
    float *factor;      /* i8: [rows], x = q * factor */
    const float *scale; /* i8: [n], of w */
};

#define GPU_LINEAR_STRIDE                                                       \
    40 /* f16 (i8: twice that) of a row in shared memory: 80 bytes, so that the \
          8 rows that ldmatrix reads at once lie in different banks */
#define GPU_LINEAR_WARPS   8  /* of _few */
#define GPU_LINEAR_FEW     16 /* lines of a block of _few */
#define GPU_LINEAR_DOT     8  /* lines of a block of _dot, and of n */
#define GPU_LINEAR_PLAIN   64 /* tile of _plain */
#define GPU_LINEAR_QUANTUM 4  /* lines of a block of linear_quantise */

/* Dynamic shared memory of the tile kernels: two stages of a tile of x and one of w; what the sums
 * pass through at the end, 32 x 36 words for each of tile / 16 warps, is less. */
#define GPU_LINEAR_SHARED(tile) (2 * 2 * (tile)*GPU_LINEAR_STRIDE * 2)

#endif
