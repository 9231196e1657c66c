/* Attention without a mask: softmax(q k^T scale) v, scores never in memory; the windows of an
 * encoder (attention_) or sequences of any length packed one behind the other (attnrange_), which
 * may have a bias for each distance of key and query. Keys pass by in tiles; each query keeps its
 * largest score so far (most), the sum of exp(score - most) and the weighted sum of values, and
 * scales both sums down when a larger score comes.
 *
 * _f16, sm_75 on. A warp has 16 queries, as fragments in registers; 64 keys and values are
 * in shared memory as f16, one row each, 72 wide so that ldmatrix meets no bank twice. A fragment
 * of scores is, after exp, just as mma wants its A: the product with the values needs no exchange.
 *
 * _plain: f32 throughout; 4 threads for each of 32 queries, the c-th of them with keys and
 * channels c, c + 4, ... */
#include "gpu/dev.h"
#include "gpu/k_attention.h"

/* A head of a window or sequence: its t rows attend to each other. */
struct attention_part {
    const float *q; /* k and v lie heads * d behind each other */
    float *y;
    const float *bias; /* of distance 0, or NULL */
    int t;
};

/* Four neighbours of row t of a part's q, k or v (`from`), 0 beyond its end or beyond d. */
DEV_FN void attention_x4(const struct gpu_attention *a, int rows, const float *from, int t, int d,
                         float *v)
{
    const float *at = from + (int64_t)t * 3 * a->heads * a->d + d;
    if (a->quads) {
        struct dev_u4 u = {0, 0, 0, 0};
        if (t < rows && d < a->d) u = dev_ld16(at);
        v[0] = dev_as_f32(u.x), v[1] = dev_as_f32(u.y);
        v[2] = dev_as_f32(u.z), v[3] = dev_as_f32(u.w);
        return;
    }
    DEV_UNROLL for (int i = 0; i < 4; i++) v[i] = t < rows && d + i < a->d ? at[i] : 0.0f;
}

/* This block's head of the t rows from `first` on. */
DEV_FN struct attention_part attention_part(const struct gpu_attention *a, int64_t first, int t)
{
    int64_t width = (int64_t)a->heads * a->d, head = (int64_t)blockIdx.y * a->d;
    struct attention_part p = {a->qkv + first * 3 * width + head, a->y + first * width + head, 0,
                               t};
    return p;
}

DEV_FN struct attention_part attention_range(const struct gpu_attention *a, int i)
{
    struct attention_part p = attention_part(a, a->range[2 * i], a->range[2 * i + 1]);
    if (a->bias) p.bias = a->bias + (int64_t)blockIdx.y * (2 * a->t - 1) + a->t - 1;
    return p;
}

DEV_FN int attention_live(const struct gpu_attention *a)
{
    return a->live ? *a->live : a->windows;
}

#if DEV_ARCH >= 75
#define ATTENTION_KEYS 64
#define ATTENTION_LD   72 /* f16 of a row in shared memory */

/* 64 keys or values to shared memory by a block of `threads`, a constant. */
DEV_FN void attention_fill(const struct gpu_attention *a, int threads, int rows, const float *from,
                           int t0, uint16_t *to)
{
    DEV_ROLLED for (int first = 0; first < ATTENTION_KEYS; first += threads / 4)
    {
        DEV_UNROLL for (int i = 0; i < 4; i++)
        {
            float v[4];
            int row = first + (int)threadIdx.x / 16 + threads / 16 * i;
            int d = (int)threadIdx.x % 16 * 4;
            attention_x4(a, rows, from, t0 + row, d, v);
            struct dev_u2 h = {dev_half2(v[0], v[1]), dev_half2(v[2], v[3])};
            *(struct dev_u2 *)(to + row * ATTENTION_LD + d) = h;
        }
    }
}

/* The fragments of a warp's 16 queries, 4 x 16 of d. */
DEV_FN void attention_queries(const struct gpu_attention *a, struct attention_part p, int t0,
                              uint32_t *f)
{
    int g = dev_lane() / 4, t = dev_lane() % 4;
    DEV_UNROLL for (int i = 0; i < 16; i++)
    {
        int row = t0 + g + i % 2 * 8, d = i / 4 * 16 + i / 2 % 2 * 8 + 2 * t;
        const float *at = p.q + (int64_t)row * 3 * a->heads * a->d + d;
        float lo = row < p.t && d < a->d ? at[0] : 0.0f;
        float hi = row < p.t && d + 1 < a->d ? at[1] : 0.0f;
        f[i] = dev_half2(lo, hi);
    }
}

/* 16 queries by 64 keys. */
DEV_FN void attention_scores(const uint32_t *q, const uint16_t *keys, float (*s)[4])
{
    int l = dev_lane();
    const uint16_t *at = keys + (l % 8 + l / 16 * 8) * ATTENTION_LD + l / 8 % 2 * 8;
    DEV_UNROLL for (int i = 0; i < 32; i++) s[i / 4][i % 4] = 0.0f;
    DEV_UNROLL for (int k = 0; k < 4; k++) DEV_UNROLL for (int j = 0; j < 8; j += 2)
    {
        uint32_t b[4];
        dev_ldmatrix_x4(b, at + j * 8 * ATTENTION_LD + k * 16);
        dev_mma_f16(s[j], q + 4 * k, b);
        dev_mma_f16(s[j + 1], q + 4 * k, b + 2);
    }
}

/* What the part's bias adds to the scores of 16 queries from t0 on and 64 keys from `key` on, of
 * which `keys` exist. */
DEV_FN void attention_lean(struct attention_part p, int t0, int key, int keys, float scale,
                           float (*s)[4])
{
    int g = dev_lane() / 4, t = dev_lane() % 4;
    DEV_UNROLL for (int i = 0; i < 32; i++)
    {
        int at = i / 4 * 8 + 2 * t + i % 2, row = t0 + g + i / 2 % 2 * 8;
        s[i / 4][i % 4] *= scale;
        if (at < keys && row < p.t) s[i / 4][i % 4] += p.bias[key + at - row];
    }
}

/* Scores to weights, for the rows g and g + 8 of the fragments, which 4 lanes share; `keys` of the
 * tile exist. */
DEV_FN void attention_soften(float scale, int keys, float (*s)[4], float (*o)[4], float *most,
                             float *sum)
{
    int t = dev_lane() % 4;
    float top[2] = {most[0], most[1]};
    DEV_UNROLL for (int i = 0; i < 32; i++)
    {
        int key = i / 4 * 8 + 2 * t + i % 2, row = i / 2 % 2;
        s[i / 4][i % 4] = key < keys ? s[i / 4][i % 4] * scale : -DEV_INF;
        top[row] = dev_max(top[row], s[i / 4][i % 4]);
    }
    DEV_UNROLL for (int row = 0; row < 2; row++)
    {
        top[row] = dev_max(top[row], dev_shfl_xor_f32(top[row], 1));
        top[row] = dev_max(top[row], dev_shfl_xor_f32(top[row], 2));
        float by = dev_exp_fast(most[row] - top[row]); /* 0 for the first tile */
        most[row] = top[row];
        sum[row] *= by;
        DEV_UNROLL for (int j = 0; j < 8; j++)
        {
            o[j][2 * row] *= by;
            o[j][2 * row + 1] *= by;
        }
    }
    DEV_UNROLL for (int i = 0; i < 32; i++)
    {
        int row = i / 2 % 2;
        s[i / 4][i % 4] = dev_exp_fast(s[i / 4][i % 4] - most[row]);
        sum[row] += s[i / 4][i % 4]; /* of this lane's keys; the lanes add up at the end */
    }
}

DEV_FN void attention_weigh(float (*s)[4], const uint16_t *values, float (*o)[4])
{
    int l = dev_lane();
    const uint16_t *at = values + l % 16 * ATTENTION_LD + l / 16 * 8;
    DEV_UNROLL for (int k = 0; k < 4; k++)
    {
        uint32_t p[4] = {dev_half2(s[2 * k][0], s[2 * k][1]), dev_half2(s[2 * k][2], s[2 * k][3]),
                         dev_half2(s[2 * k + 1][0], s[2 * k + 1][1]),
                         dev_half2(s[2 * k + 1][2], s[2 * k + 1][3])};
        DEV_UNROLL for (int j = 0; j < 8; j += 2)
        {
            uint32_t b[4];
            dev_ldmatrix_x4_trans(b, at + k * 16 * ATTENTION_LD + j * 8);
            dev_mma_f16(o[j], p, b);
            dev_mma_f16(o[j + 1], p, b + 2);
        }
    }
}

/* The queries from t0 on, 16 for each warp, by a block. */
DEV_FN void attention_tile(const struct gpu_attention *a, int threads, struct attention_part p,
                           int t0, uint16_t *keys, uint16_t *values)
{
    int part = a->heads * a->d;
    uint32_t query[16];
    float s[8][4], o[8][4], most[2] = {-DEV_INF, -DEV_INF}, sum[2] = {0.0f, 0.0f};
    t0 += dev_warp() * 16;
    attention_queries(a, p, t0, query);
    DEV_UNROLL for (int i = 0; i < 32; i++) o[i / 4][i % 4] = 0.0f;
    for (int key = 0; key < p.t; key += ATTENTION_KEYS) {
        dev_sync();
        attention_fill(a, threads, p.t, p.q + part, key, keys);
        attention_fill(a, threads, p.t, p.q + 2 * part, key, values);
        dev_sync();
        if (t0 >= p.t) continue; /* a warp with nothing to ask */
        attention_scores(query, keys, s);
        if (p.bias) attention_lean(p, t0, key, p.t - key, a->scale, s);
        attention_soften(p.bias ? 1.0f : a->scale, p.t - key, s, o, most, sum);
        attention_weigh(s, values, o);
    }
    DEV_UNROLL for (int row = 0; row < 2; row++)
    {
        sum[row] += dev_shfl_xor_f32(sum[row], 1);
        sum[row] = 1.0f / (sum[row] + dev_shfl_xor_f32(sum[row], 2));
    }
    DEV_UNROLL for (int i = 0; i < 32; i++)
    {
        int t = t0 + dev_lane() / 4 + i / 2 % 2 * 8, d = i / 4 * 8 + dev_lane() % 4 * 2 + i % 2;
        if (t < p.t && d < a->d) p.y[(int64_t)t * part + d] = o[i / 4][i % 4] * sum[i / 2 % 2];
    }
}

DEV_KERNEL_BLOCKS(attention_f16, struct gpu_attention, a, 2 * GPU_ATTENTION_F16, 2)
{
    DEV_SHARED(uint16_t, keys, ATTENTION_KEYS * ATTENTION_LD);
    DEV_SHARED(uint16_t, values, ATTENTION_KEYS * ATTENTION_LD);
    int window = (int)blockIdx.z;
    if (window >= attention_live(&a)) return;
    attention_tile(&a, 2 * GPU_ATTENTION_F16, attention_part(&a, (int64_t)window * a.t, a.t),
                   (int)blockIdx.x * GPU_ATTENTION_F16, keys, values);
}

DEV_KERNEL_BLOCKS(attnrange_f16, struct gpu_attention, a, 2 * GPU_ATTNRANGE_F16, 3)
{
    DEV_SHARED(uint16_t, keys, ATTENTION_KEYS * ATTENTION_LD);
    DEV_SHARED(uint16_t, values, ATTENTION_KEYS * ATTENTION_LD);
    for (int i = (int)blockIdx.z; i < attention_live(&a); i += (int)gridDim.z) {
        struct attention_part p = attention_range(&a, i);
        for (int t = (int)blockIdx.x; t * GPU_ATTNRANGE_F16 < p.t; t += (int)gridDim.x)
            attention_tile(&a, 2 * GPU_ATTNRANGE_F16, p, t * GPU_ATTNRANGE_F16, keys, values);
    }
}
#endif

#define ATTENTION_PLAIN_LD (GPU_ATTENTION_D + 1)

struct attention_room { /* shared memory of a block */
    float *queries, *keys, *values, *weights;
};

/* 32 rows to shared memory by 128 threads. */
DEV_FN void attention_plain_fill(const struct gpu_attention *a, int rows, const float *from, int t0,
                                 float *to)
{
    DEV_UNROLL for (int i = 0; i < 4; i++)
    {
        float v[4];
        int row = (int)threadIdx.x / 16 + 8 * i, d = (int)threadIdx.x % 16 * 4;
        attention_x4(a, rows, from, t0 + row, d, v);
        DEV_UNROLL for (int j = 0; j < 4; j++) to[row * ATTENTION_PLAIN_LD + d + j] = v[j];
    }
}

/* A query's row of weights from its 4 threads' scores; what both sums shrink by is returned. */
DEV_FN float attention_plain_soften(int keys, const float *s, float *weight, float *most,
                                    float *sum)
{
    int c = (int)threadIdx.x % 4;
    float top = *most;
    DEV_UNROLL for (int i = 0; i < 8; i++) if (c + 4 * i < keys) top = dev_max(top, s[i]);
    top = dev_max(top, dev_shfl_xor_f32(top, 1));
    top = dev_max(top, dev_shfl_xor_f32(top, 2));
    float by = dev_exp(*most - top), add = 0.0f;
    DEV_UNROLL for (int i = 0; i < 8; i++)
    {
        float w = c + 4 * i < keys ? dev_exp(s[i] - top) : 0.0f;
        weight[c + 4 * i] = w;
        add += w;
    }
    add += dev_shfl_xor_f32(add, 1);
    add += dev_shfl_xor_f32(add, 2);
    *most = top;
    *sum = *sum * by + add;
    return by;
}

/* A thread's 8 scores of a query, row t of its part, with the keys from `key` on. */
DEV_FN void attention_plain_scores(const struct gpu_attention *a, struct attention_part p, int t,
                                   int key, const float *query, const float *keys, float *s)
{
    int c = (int)threadIdx.x % 4;
    DEV_UNROLL for (int i = 0; i < 8; i++) s[i] = 0.0f;
    for (int d = 0; d < a->d; d++) {
        float x = query[d];
        DEV_UNROLL for (int i = 0; i < 8; i++) s[i] =
            dev_fma(x, keys[(c + 4 * i) * ATTENTION_PLAIN_LD + d], s[i]);
    }
    DEV_UNROLL for (int i = 0; i < 8; i++)
    {
        int at = key + c + 4 * i;
        s[i] *= a->scale;
        if (p.bias && at < p.t && t < p.t) s[i] += p.bias[at - t];
    }
}

/* The 32 queries from t0 on, by a block, in the shared memory of attention_plain_room. */
DEV_FN void attention_plain_tile(const struct gpu_attention *a, struct attention_part p, int t0,
                                 struct attention_room m)
{
    int part = a->heads * a->d, row = (int)threadIdx.x / 4, c = (int)threadIdx.x % 4;
    float o[GPU_ATTENTION_D / 4], most = -DEV_INF, sum = 0.0f;
    DEV_UNROLL for (int i = 0; i < GPU_ATTENTION_D / 4; i++) o[i] = 0.0f;
    dev_sync();
    attention_plain_fill(a, p.t, p.q, t0, m.queries);
    for (int key = 0; key < p.t; key += 32) {
        float s[8];
        dev_sync();
        attention_plain_fill(a, p.t, p.q + part, key, m.keys);
        attention_plain_fill(a, p.t, p.q + 2 * part, key, m.values);
        dev_sync();
        attention_plain_scores(a, p, t0 + row, key, m.queries + row * ATTENTION_PLAIN_LD, m.keys,
                               s);
        float by = attention_plain_soften(p.t - key, s, m.weights + row * 33, &most, &sum);
        dev_warp_sync();
        DEV_UNROLL for (int i = 0; i < GPU_ATTENTION_D / 4; i++) o[i] *= by;
        for (int u = 0; u < 32; u++) {
            float w = m.weights[row * 33 + u];
            DEV_UNROLL for (int i = 0; i < GPU_ATTENTION_D / 4; i++) o[i] =
                dev_fma(w, m.values[u * ATTENTION_PLAIN_LD + c + 4 * i], o[i]);
        }
    }
    int t = t0 + row;
    DEV_UNROLL for (int i = 0; i < GPU_ATTENTION_D / 4; i++) if (t < p.t && c + 4 * i < a->d)
        p.y[(int64_t)t * part + c + 4 * i] = o[i] / sum;
}

DEV_FN struct attention_room attention_plain_room(void)
{
    DEV_SHARED(float, queries, GPU_ATTENTION_PLAIN *ATTENTION_PLAIN_LD);
    DEV_SHARED(float, keys, 32 * ATTENTION_PLAIN_LD);
    DEV_SHARED(float, values, 32 * ATTENTION_PLAIN_LD);
    DEV_SHARED(float, weights, GPU_ATTENTION_PLAIN * 33);
    struct attention_room m = {queries, keys, values, weights};
    return m;
}

DEV_KERNEL(attention_plain, struct gpu_attention, a, 4 * GPU_ATTENTION_PLAIN)
{
    struct attention_room m = attention_plain_room();
    int window = (int)blockIdx.z;
    if (window >= attention_live(&a)) return;
    attention_plain_tile(&a, attention_part(&a, (int64_t)window * a.t, a.t),
                         (int)blockIdx.x * GPU_ATTENTION_PLAIN, m);
}

DEV_KERNEL(attnrange_plain, struct gpu_attention, a, 4 * GPU_ATTENTION_PLAIN)
{
    struct attention_room m = attention_plain_room();
    for (int i = (int)blockIdx.z; i < attention_live(&a); i += (int)gridDim.z) {
        struct attention_part p = attention_range(&a, i);
        for (int t = (int)blockIdx.x; t * GPU_ATTENTION_PLAIN < p.t; t += (int)gridDim.x)
            attention_plain_tile(&a, p, t * GPU_ATTENTION_PLAIN, m);
    }
}
