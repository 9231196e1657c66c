/* Arguments of k_decode.cu: what a decoder does besides products. See op.def: embed, gather,
 * attnself, attncross. */
#ifndef GPU_K_DECODE_H
#define GPU_K_DECODE_H

#define DECODE_ROW_THREADS 128

struct decode_embed { /* grid: R */
    const int *token, *position, *live;
    const void *table;  /* [Np][Kp], see gpu_pack.h */
    const float *scale; /* i8 */
    const float *positions;
    float *out;
    int width, lead; /* C, Kp */
};

struct decode_gather { /* grid: G */
    const float *x;
    const int *index, *live;
    float *out;
    int width;
};

#define DECODE_WIDTH        128 /* most of D */
#define DECODE_SELF_THREADS 128

/* What few rows take along, so that a layer is few launches: the product that follows an attention,
 * y = mixed w^T + bias + residual, and the layernorm and product before one. Weights of any form;
 * the numbers they meet stay f32.
 *
 * The product behind: each block has a head, so D of the C numbers of a row, and writes its part of
 * the sums; the one that comes last, by a count that it sets back to 0, adds them up, in the order
 * of the heads. */
enum { DECODE_W_F32, DECODE_W_F16, DECODE_W_I8 };

struct decode_weight { /* [n][lead], rows from multiples of 16 bytes on; w NULL: there is none */
    const void *w;
    const float *scale; /* i8 */
    const float *bias;  /* or NULL */
    int form, lead, n;
};

struct decode_after {
    struct decode_weight m;
    const float *residual; /* [R,n] or NULL */
    float *y;              /* [R,n] */
    float *part;           /* [R,H,n] */
    int *count;            /* [R]: 0 before and after */
};

struct decode_before {
    struct decode_weight m;
    const float *x, *gain, *offset; /* x [R,width], width a multiple of 16 */
    int width;
    float eps;
};

/* grid: H, R; dynamic shared memory: 2 P words */
struct decode_self {
    const float *qkv;
    const int *position, *sequence, *history, *live;
    float *out;
    void *k, *v;      /* [S,P,C] */
    int rows, most;   /* R, P */
    int heads, width; /* H, D; D a multiple of 16 if there is an `after` */
    float scale;
    struct decode_after after; /* then out is not written */
};

#define DECODE_CROSS_THREADS 256
#define DECODE_ROWS          8   /* rows of a window that share what is loaded */
#define DECODE_KEYS          256 /* positions at a time */

/* grid: H, R, splits of T. Scratch of more than one split: part [R,H,splits,D + 2]: sums of v, then
 * the largest score and the sum of weights. */
struct decode_cross {
    const float *q;
    const int *window, *live;
    const void *k, *v;              /* [W,H,D,T], [W,H,T,D] */
    const float *k_scale, *v_scale; /* i8: [W,H,D], [W,H,T] */
    float *out, *weights;           /* weights may be NULL */
    float *part;
    int rows, heads, width, frames; /* R, H, D, T */
    int keys;                       /* of a split, a multiple of DECODE_KEYS */
    float scale;
    struct decode_before before; /* then q is not read; needs an `after` */
    struct decode_after after;   /* then out is not written, and splits need no decode_merge */
    int *count;                  /* with an `after`: [R,H], 0 before and after */
};

struct decode_merge { /* grid: H, R */
    const float *part;
    const int *live;
    float *out, *weights;
    int width, frames, splits;
};

#endif
