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

/* grid: H, R; dynamic shared memory: 2 P words */
struct decode_self {
    const float *qkv;
    const int *position, *sequence, *history, *live;
    float *out;
    void *k, *v;      /* [S,P,C] */
    int rows, most;   /* R, P */
    int heads, width; /* H, D */
    float scale;
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
};

struct decode_merge { /* grid: H, R */
    const float *part;
    const int *live;
    float *out, *weights;
    int width, frames, splits;
};

#endif
