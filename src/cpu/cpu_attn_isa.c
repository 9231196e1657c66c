/* Attention: of the encoder (every position to every other), of packed sequences in the same way,
 * of the decoder to itself and to the audio.
 *
 * The encoder, one head at a time, for 64 queries at a time:
 *
 *     q [64][D]  x  keys [48-wide panels of [D][16]]    -> scores [64][T]   (in the cache, never T
 * x T) softmax over each row, in place, its sum kept scores     x  values [16-wide panels of
 * [T][16]]  -> out [64][D] / sum
 *
 * The decoder is bound by reading keys and values: each is read once for all rows of a window. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_tile.h"
#include <float.h>

#define OP_KERNEL(name) \
    int ISA_NAME(cpu_attn_##name)(const struct cpu_step *s, struct thread_team *team, int id)

/* x [n] becomes 2^(x - max); returns the sum. Memory up to a multiple of W after n is written. */
ISA_INLINE float softmax2(float *x, int64_t n)
{
    vf most = vf_all(vf_largest(x, n, false)), sum = vf_all(0);
    for (int64_t t = n; t < ALIGN_UP(n, W); t++) x[t] = -__builtin_inff();
    for (int64_t t = 0; t < n; t += W) {
        vf e = vf_exp2(vf_load(x + t) - most);
        sum += e;
        vf_store(x + t, e);
    }
    return vf_sum(sum);
}

struct encoder {
    struct fast_attention m;
    int64_t t_count, d_count, width; /* width: floats between positions of qkv, 3C */
};

/* Panels [first, last) of 16 positions of one head: keys turned, values copied. */
static void make_panels(const struct encoder *a, const float *k, const float *v, int64_t first,
                        int64_t last, float *keys, float *values)
{
    int64_t d_count = a->d_count;
    for (int64_t t = first * CPU_PANEL; t < last * CPU_PANEL; t += W) {
        float *to = keys + t / CPU_PANEL * CPU_PANEL * d_count + t % CPU_PANEL;
        for (int64_t d = 0; d < d_count; d += W) {
            vf r[W];
            for (int64_t i = 0; i < W; i++)
                r[i] = t + i < a->t_count ? vf_load_n(k + (t + i) * a->width + d, d_count - d)
                                          : vf_all(0);
            vf_transpose(r);
            for (int64_t i = 0; i < MIN(W, d_count - d); i++)
                vf_store(to + (d + i) * CPU_PANEL, r[i]);
        }
        for (int64_t i = t; i < MIN(t + W, a->t_count); i++) {
            for (int64_t d = 0; d < a->m.d_up; d += W) {
                float *at = values + (d / CPU_PANEL * a->t_count + i) * CPU_PANEL + d % CPU_PANEL;
                vf_store(at,
                         d < d_count ? vf_load_n(v + i * a->width + d, d_count - d) : vf_all(0));
            }
        }
    }
}

/* score [rows][T] += bias of each position's distance to the row, from distance 0 of row 0 on. */
static void add_bias(const struct encoder *a, const float *bias, int64_t rows, float *score)
{
    for (int64_t r = 0; r < rows; r++) {
        float *line = score + r * a->m.line;
        for (int64_t t = 0; t < a->t_count; t += W) {
            vf by_distance = vf_load_n(bias + t - r, a->t_count - t) * LOG2E;
            vf_store_n(line + t, vf_load(line + t) + by_distance, a->t_count - t);
        }
    }
}

/* Up to 64 queries of one head. bias: see add_bias, or NULL. part: this member's scratch. out: rows
 * apart by C. */
static void attend(const struct encoder *a, const float *q, int64_t rows, float scale,
                   const float *bias, const float *keys, const float *values, float *part,
                   float *out)
{
    enum { chunk = 192 }; /* positions whose values, two panels of them, stay in the cache */
    int64_t d_count = a->d_count, d_up = a->m.d_up, line = a->m.line, c_count = a->width / 3;
    float *score = part, *query = part + a->m.query, *sum = part + a->m.out;
    int64_t rows_up = ALIGN_UP(rows, TILE_ROWS);
    for (int64_t r = 0; r < rows_up; r++)
        for (int64_t d = 0; d < d_count; d++)
            query[r * d_count + d] = r < rows ? q[r * a->width + d] * scale : 0;
    for (int64_t t = 0; t < a->m.t_up; t += TILE_COLS)
        for (int64_t r = 0; r < rows_up; r += TILE_ROWS)
            tile_f32(query + r * d_count, d_count, keys + t * d_count, CPU_PANEL * d_count, d_count,
                     score + r * line + t, line);
    if (bias) add_bias(a, bias, rows, score);
    float by[FAST_QUERIES];
    for (int64_t r = 0; r < rows; r++) by[r] = 1.0f / softmax2(score + r * line, a->t_count);

    memset(sum, 0, (size_t)(rows_up * d_up) * sizeof *sum);
    for (int64_t t = 0; t < a->t_count; t += chunk)
        for (int64_t d = 0; d < d_up; d += 2 * CPU_PANEL)
            for (int64_t r = 0; r < rows_up; r += TILE_ROWS)
                tile_f32_onto(score + r * line + t, line, values + d * a->t_count + t * CPU_PANEL,
                              CPU_PANEL * a->t_count, MIN(chunk, a->t_count - t),
                              sum + r * d_up + d, d_up);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t d = 0; d < d_count; d += W)
            vf_store_n(out + r * c_count + d, vf_load(sum + r * d_up + d) * by[r], d_count - d);
}

OP_KERNEL(attention)
{
    const struct cpu_value *qkv = s->in[0];
    int64_t t_count = qkv->plan->dim[1], width = qkv->plan->dim[2], c_count = width / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to, first, last;
    struct encoder a = {fast_attention_layout(t_count, d_count), t_count, d_count, width};
    float *shared = s->scratch, *part = shared + a.m.shared + (size_t)id * a.m.part;
    thread_share(team, id, t_count, TILE_ROWS, &from, &to);
    thread_share(team, id, a.m.t_up / CPU_PANEL, 1, &first, &last);
    for (int64_t i = 0; i < qkv->rows * heads; i++) {
        const float *q =
            (const float *)qkv->data + i / heads * t_count * width + i % heads * d_count;
        float *out = (float *)s->out[0]->data + i / heads * t_count * c_count + i % heads * d_count;
        float *keys = shared + (size_t)(i % 2) * (a.m.keys + a.m.values), *values = keys + a.m.keys;
        make_panels(&a, q + c_count, q + 2 * c_count, first, last, keys, values);
        thread_barrier(team); /* after it, too, nobody reads the other place any more */
        for (int64_t t = from; t < to; t += FAST_QUERIES)
            attend(&a, q + t * width, MIN(FAST_QUERIES, to - t), s->step->args.scale * LOG2E, NULL,
                   keys, values, part, out + t * c_count);
    }
    return 0;
}

/* Packed sequences: short ones, so a head of a sequence is one member's work and nobody waits. */
OP_KERNEL(attnrange)
{
    const struct cpu_value *qkv = s->in[0];
    int64_t width = qkv->plan->dim[1], c_count = width / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to;
    struct fast_attention most = fast_attention_layout(qkv->plan->dim[0], d_count);
    float *keys = (float *)s->scratch + (size_t)id * fast_range_floats(&most);
    float *values = keys + most.keys, *part = values + most.values;
    thread_share(team, id, s->in[1]->rows * heads, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        struct fast_range r = fast_range_of(s, i);
        struct encoder a = {fast_attention_layout(r.t_count, d_count), r.t_count, d_count, width};
        make_panels(&a, r.q + c_count, r.q + 2 * c_count, 0, a.m.t_up / CPU_PANEL, keys, values);
        for (int64_t t = 0; t < r.t_count; t += FAST_QUERIES)
            attend(&a, r.q + t * width, MIN(FAST_QUERIES, r.t_count - t),
                   s->step->args.scale * LOG2E, r.distance ? r.distance - t : NULL, keys, values,
                   part, r.out + t * c_count);
    }
    return 0;
}

/* W numbers of a cache, of which `left` count; the rest is 0. type, a constant: f32, f16 or i8,
 * without its scale. */
ISA_INLINE vf cache_load(const void *cache, int64_t at, int64_t left, enum dtype type)
{
    if (type == DTYPE_F32) return vf_load_n((const float *)cache + at, left);
    if (type == DTYPE_I8) {
        const int8_t *b = (const int8_t *)cache + at;
        if (left >= W) return vf_load_i8(b);
        int8_t part[W] = {0};
        memcpy(part, b, (size_t)left);
        return vf_load_i8(part);
    }
    const uint16_t *h = (const uint16_t *)cache + at;
    if (left >= W) return vf_load_f16(h);
    uint16_t part[W] = {0};
    memcpy(part, h, (size_t)left * sizeof *h);
    return vf_load_f16(part);
}

/* x [n] into a cache of f32 or f16 at `at`. */
static void cache_store(void *cache, int64_t at, const float *x, int64_t n, enum dtype type)
{
    if (type == DTYPE_F32) {
        memcpy((float *)cache + at, x, (size_t)n * sizeof *x);
        return;
    }
    uint16_t *to = (uint16_t *)cache + at;
    int64_t i = 0;
    for (; i + W <= n; i += W) vf_store_f16(to + i, vf_load(x + i));
    if (i == n) return;
    uint16_t part[W];
    vf_store_f16(part, vf_load_n(x + i, n - i));
    memcpy(to + i, part, (size_t)(n - i) * sizeof *to);
}

struct past { /* what one head of one row of the decoder attends to */
    const void *k, *v;
    const int32_t *line; /* sequence that holds position t */
    int64_t p_count, c_count, t_count;
    int64_t c, d_count; /* first channel of the head, and how many it has */
};

/* Element of the caches where position t of this head begins. */
ISA_INLINE int64_t past_at(const struct past *p, int64_t t)
{
    return (p->line[t] * p->p_count + t) * p->c_count + p->c;
}

/* score [T] = q k * scale. vecs, a constant: vectors of a head, or 0 for any number of channels. */
ISA_INLINE void past_scores(const struct past *p, int vecs, const float *q, float scale,
                            float *score, enum dtype type)
{
    int64_t d_count = vecs ? vecs * W : p->d_count;
    for (int64_t t = 0; t < p->t_count; t += W) {
        vf r[W];
        for (int64_t i = 0; i < W; i++) {
            int64_t at = past_at(p, MIN(t + i, p->t_count - 1));
            r[i] = vf_all(0);
            for (int64_t d = 0; d < d_count; d += W)
                r[i] = vf_load_n(q + d, d_count - d) * cache_load(p->k, at + d, d_count - d, type) +
                       r[i];
        }
        vf_store(score + t, vf_sums(r) * scale);
    }
}

/* out [..] = score v * by for vecs * W channels from d on, of which `left` count. */
ISA_INLINE void past_values(const struct past *p, int vecs, int64_t d, int64_t left,
                            const float *score, float by, float *out, enum dtype type)
{
    vf sum[8];
#pragma GCC unroll 8
    for (int i = 0; i < vecs; i++) sum[i] = vf_all(0);
    for (int64_t t = 0; t < p->t_count; t++) {
        int64_t at = past_at(p, t) + d;
#pragma GCC unroll 8
        for (int i = 0; i < vecs; i++)
            sum[i] = cache_load(p->v, at + i * W, left - i * W, type) * score[t] + sum[i];
    }
#pragma GCC unroll 8
    for (int i = 0; i < vecs; i++) vf_store_n(out + d + i * W, sum[i] * by, left - i * W);
}

/* score: room for t_count up to a multiple of W. */
ISA_INLINE void attend_self(const struct past *p, const float *q, float scale, float *score,
                            float *out, enum dtype type)
{
    enum { usual = W >= 8 ? 64 / W : 4 }; /* Whisper's heads have 64 channels */
    bool is_usual = p->d_count == usual * W;
    if (is_usual)
        past_scores(p, usual, q, scale, score, type);
    else
        past_scores(p, 0, q, scale, score, type);
    float by = 1.0f / softmax2(score, p->t_count);
    if (is_usual) past_values(p, usual, 0, usual * W, score, by, out, type);
    for (int64_t d = 0; d < p->d_count && !is_usual; d += W)
        past_values(p, 1, d, MIN(W, p->d_count - d), score, by, out, type);
}

OP_KERNEL(attnself)
{
    const struct cpu_value *qkv = s->in[0], *keys = s->out[1], *values = s->out[2];
    const int32_t *position = s->in[1]->data, *sequence = s->in[2]->data;
    const int32_t *history = s->in[3]->data;
    int64_t p_count = s->in[3]->plan->dim[1], c_count = qkv->plan->dim[1] / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to;
    enum dtype type = keys->plan->type;
    float *score = (float *)s->scratch + (size_t)id * fast_self_floats(p_count);
    float scale = s->step->args.scale * LOG2E;
    thread_share(team, id, qkv->rows, 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *k = (const float *)qkv->data + r * 3 * c_count + c_count;
        assert(position[r] >= 0 && position[r] < p_count);
        int64_t at = (sequence[r] * p_count + position[r]) * c_count;
        cache_store(keys->data, at, k, c_count, type);
        cache_store(values->data, at, k + c_count, c_count, type);
    }
    thread_barrier(team); /* a row may attend to one that another member wrote */
    thread_share(team, id, qkv->rows * heads, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        int64_t r = i / heads, c = i % heads * d_count;
        const float *q = (const float *)qkv->data + r * 3 * c_count + c;
        float *out = (float *)s->out[0]->data + r * c_count + c;
        struct past p = {keys->data, values->data, history + sequence[r] * p_count,
                         p_count,    c_count,      position[r] + 1,
                         c,          d_count};
        if (type == DTYPE_F16)
            attend_self(&p, q, scale, score, out, DTYPE_F16);
        else
            attend_self(&p, q, scale, score, out, DTYPE_F32);
    }
    return 0;
}

struct cross {                      /* one head of one window */
    const void *k, *v;              /* [D][T] and [T][D] from element `at` on */
    const float *k_scale, *v_scale; /* [D] and [T] of this head, where those are i8 */
    int64_t at, t_count, d_count;
    float scale;          /* of scores, so that they are powers of two */
    int64_t line;         /* floats between rows of scores */
    int64_t c_count;      /* floats between rows of q and out */
    int64_t weights_line; /* and of weights */
};

/* `wide` vectors of positions from t on, of which `left` count: score += q k over `group` channels
 * from d on. rows, group and wide are constants, and so is left for all but the last positions. */
ISA_INLINE void scores_at(const struct cross *x, int rows, int group, int wide, int64_t d,
                          int64_t t, int64_t left, const vf by[FAST_ROWS][8], float *score,
                          enum dtype type)
{
    vf sum[FAST_ROWS][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++)
            sum[r][j] = d ? vf_load(score + r * x->line + t + j * W) : vf_all(0);
#pragma GCC unroll 8
    for (int i = 0; i < group; i++) {
        vf k[2];
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++)
            k[j] = cache_load(x->k, x->at + (d + i) * x->t_count + t + j * W, left - j * W, type);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int j = 0; j < wide; j++) sum[r][j] = k[j] * by[r][i] + sum[r][j];
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int j = 0; j < wide; j++) vf_store(score + r * x->line + t + j * W, sum[r][j]);
}

/* score [rows][T] += q [rows][D] k [D][T] over `group` channels from d on, so that keys are read in
 * the order they lie and scores stay in the cache. */
ISA_INLINE void scores_of(const struct cross *x, int rows, int group, int64_t d, const float *q,
                          float *score, enum dtype type)
{
    /* where q lies in memory rather than in registers, what is loaded is used twice */
    enum { wide = W == 16 ? 1 : 2 };
    vf by[FAST_ROWS][8];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int i = 0; i < group; i++)
            by[r][i] = vf_all(q[r * x->c_count + d + i] * x->scale *
                              (type == DTYPE_I8 ? x->k_scale[d + i] : 1));
    int64_t t = 0;
    for (; t + wide * W <= x->t_count; t += wide * W)
        scores_at(x, rows, group, wide, d, t, wide * W, by, score, type);
    for (; t < x->t_count; t += W)
        scores_at(x, rows, group, 1, d, t, x->t_count - t, by, score, type);
}

ISA_INLINE void cross_scores(const struct cross *x, int rows, const float *q, float *score,
                             enum dtype type)
{
    const int group = rows <= 2 || W < 16 ? 8 : 4;
    int64_t d = 0;
    for (; d + group <= x->d_count; d += group) scores_of(x, rows, group, d, q, score, type);
    for (; d < x->d_count; d++) scores_of(x, rows, 1, d, q, score, type);
}

/* out [rows][..] = score [rows][T] v [T][..] * by, for vecs * W channels from d on, of which `left`
 * count. rows and vecs are constants, and so is left if it is all of them. */
ISA_INLINE void values_of(const struct cross *x, int rows, int vecs, int64_t d, int64_t left,
                          const float *score, const float *by, float *out, enum dtype type)
{
    vf sum[FAST_ROWS][4];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < vecs; i++) sum[r][i] = vf_all(0);
    for (int64_t t = 0; t < x->t_count; t++) {
        vf v[4];
#pragma GCC unroll 4
        for (int i = 0; i < vecs; i++)
            v[i] = cache_load(x->v, x->at + t * x->d_count + d + i * W, left - i * W, type);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            vf weight = vf_all(score[r * x->line + t]);
#pragma GCC unroll 4
            for (int i = 0; i < vecs; i++) sum[r][i] = v[i] * weight + sum[r][i];
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int i = 0; i < vecs; i++)
            vf_store_n(out + r * x->c_count + d + i * W, sum[r][i] * by[r], left - i * W);
}

ISA_INLINE void cross_values(const struct cross *x, int rows, const float *score, const float *by,
                             float *out, enum dtype type)
{
    const int vecs = W == 16 ? 4 : 2; /* rows * vecs sums stay in registers */
    int64_t d = 0;
    for (; d + vecs * W <= x->d_count; d += vecs * W)
        values_of(x, rows, vecs, d, vecs * W, score, by, out, type);
    for (; d < x->d_count; d += W)
        values_of(x, rows, 1, d, MIN(W, x->d_count - d), score, by, out, type);
}

#if defined __AVX512VNNI__
/* With caches in i8 both products are of integers, which are four times as fast as f32:
 *
 *     out [rows][64] = weights [rows][n] i16  x  matrix [n][64] i8
 *
 * A weight is high * 256 + low, two numbers of 8 bits: q and the powers lose less than f32's sums
 * do. Four rows of the matrix are interleaved as they are read, and have 128 added, since one side
 * of the instruction is unsigned; what that adds is taken off the sums. */
enum { NARROW_MOST = 127 * 256 + 127, NARROW_SHIFT = 128, NARROW_COLS = 64 };

struct narrow {     /* a row of weights */
    int8_t *weight; /* [n up to W][2]: of four the high bytes, then the low ones */
    float unit;
    int32_t high, low; /* sums */
};

/* x [n] * factor [n] -> weights. */
ISA_INLINE void to_narrow(const float *x, const float *factor, int64_t n, struct narrow *to)
{
    vf apart[4] = {vf_all(0), vf_all(0), vf_all(0), vf_all(0)};
    for (int64_t i = 0; i < n; i += 4 * W)
        for (int k = 0; k < 4; k++) {
            int64_t at = MIN(i + k * W, n - 1); /* twice is once */
            vf value = vf_load_n(x + at, n - at) * vf_load_n(factor + at, n - at);
            apart[k] = vf_max(vf_abs(value), apart[k]);
        }
    vf most = vf_max(vf_max(apart[0], apart[1]), vf_max(apart[2], apart[3]));
    to->unit = MAX(vf_most(most), FLT_MIN) / NARROW_MOST;
    vf by = vf_all(1 / to->unit);
    __m512i high_sum = _mm512_setzero_si512(), low_sum = high_sum;
    for (int64_t i = 0; i < n; i += W) {
        vf value = vf_load_n(x + i, n - i) * vf_load_n(factor + i, n - i) * by;
        __m512i whole = _mm512_cvtps_epi32((__m512)value);
        __m512i high =
            _mm512_srai_epi32(_mm512_add_epi32(whole, _mm512_set1_epi32(NARROW_SHIFT)), 8);
        __m512i low = _mm512_sub_epi32(whole, _mm512_slli_epi32(high, 8));
        high_sum = _mm512_add_epi32(high_sum, high);
        low_sum = _mm512_add_epi32(low_sum, low);
        __m128i a = _mm512_cvtepi32_epi8(high), b = _mm512_cvtepi32_epi8(low);
        _mm_storeu_si128((__m128i *)(to->weight + 2 * i), _mm_unpacklo_epi32(a, b));
        _mm_storeu_si128((__m128i *)(to->weight + 2 * i + W), _mm_unpackhi_epi32(a, b));
    }
    to->high = _mm512_reduce_add_epi32(high_sum);
    to->low = _mm512_reduce_add_epi32(low_sum);
}

/* Half of the columns of out [rows][64], rows apart by line: 8 to 15 of each 16 if upper. m: rows
 * apart by stride, of which `left` columns are there. next: what will be read after all of the
 * matrix, as many bytes; the second cache gets them meanwhile. rows and upper are constants. */
ISA_INLINE void narrow_half(int rows, bool upper, const struct narrow *w, const int8_t *m,
                            int64_t stride, int64_t n, int64_t left, const int8_t *next, float *out,
                            int64_t line)
{
    const __m512i shift = _mm512_set1_epi8((char)NARROW_SHIFT);
    const __mmask64 there = left >= NARROW_COLS ? ~(__mmask64)0 : ((__mmask64)1 << left) - 1;
    __m512i high[FAST_ROWS][2], low[FAST_ROWS][2];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
        high[r][0] = high[r][1] = low[r][0] = low[r][1] = _mm512_setzero_si512();
    assert(n <= 1 << 16); /* sums of n * 255 * 128 */
    for (int64_t i = 0; i < n; i += 4, m += 4 * stride) {
        const int8_t *ahead = next + NARROW_COLS / 2 * (i + (upper ? n : 0));
        _mm_prefetch(ahead, _MM_HINT_T1);
        _mm_prefetch(ahead + BASE_LINE, _MM_HINT_T1);
        const int64_t last = n - 1 - i; /* beyond it weights are 0, any row will do */
        const int64_t row[4] = {0, last > 0 ? stride : 0, last > 1 ? 2 * stride : 0,
                                last > 2 ? 3 * stride : 0};
        __m512i x[4];
#pragma GCC unroll 4
        for (int64_t k = 0; k < 4; k++)
            x[k] = _mm512_xor_si512(_mm512_maskz_loadu_epi8(there, m + row[k]), shift);
        __m512i a = upper ? _mm512_unpackhi_epi8(x[0], x[1]) : _mm512_unpacklo_epi8(x[0], x[1]);
        __m512i b = upper ? _mm512_unpackhi_epi8(x[2], x[3]) : _mm512_unpacklo_epi8(x[2], x[3]);
        __m512i four[2] = {_mm512_unpacklo_epi16(a, b), _mm512_unpackhi_epi16(a, b)};
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const int8_t *at = w[r].weight + 2 * i;
            __m512i h = _mm512_broadcastd_epi32(_mm_loadu_si32(at));
            __m512i l = _mm512_broadcastd_epi32(_mm_loadu_si32(at + 4));
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++) {
                /* as an intrinsic gcc copies every sum twice */
                __asm__("vpdpbusd %2, %1, %0" : "+v"(high[r][j]) : "v"(four[j]), "v"(h));
                __asm__("vpdpbusd %2, %1, %0" : "+v"(low[r][j]) : "v"(four[j]), "v"(l));
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            vi a = (vi)high[r][j] - NARROW_SHIFT * w[r].high;
            vi b = (vi)low[r][j] - NARROW_SHIFT * w[r].low;
            vf sum =
                (__builtin_convertvector(a, vf) * 256 + __builtin_convertvector(b, vf)) * w[r].unit;
            for (int k = 0; k < 4; k++) /* four columns of each 16 */
                memcpy(out + r * line + 16 * k + 8 * upper + 4 * j, (const float *)&sum + 4 * k,
                       16);
        }
}

ISA_INLINE void narrow_product(int rows, const struct narrow *w, const int8_t *m, int64_t stride,
                               int64_t n, int64_t left, const int8_t *next, float *out,
                               int64_t line)
{
    narrow_half(rows, false, w, m, stride, n, left, next, out, line);
    narrow_half(rows, true, w, m, stride, n, left, next, out, line);
}

ISA_INLINE void attend_narrow(const struct cross *x, int rows, const float *q, float *score,
                              float *out, float *weights)
{
    const int8_t *k = (const int8_t *)x->k + x->at, *v = (const int8_t *)x->v + x->at;
    const int8_t *next = k + x->t_count * x->d_count; /* most often the next head's keys */
    struct narrow w[FAST_ROWS];
    float by[FAST_ROWS], part[FAST_ROWS][NARROW_COLS];
    for (int r = 0; r < rows; r++) {
        w[r].weight = (int8_t *)(score + FAST_ROWS * x->line) +
                      r * 2 * ALIGN_UP(MAX(x->t_count, x->d_count), W);
        to_narrow(q + r * x->c_count, x->k_scale, x->d_count, &w[r]);
        w[r].unit *= x->scale;
    }
    for (int64_t t = 0; t < x->t_count; t += NARROW_COLS)
        narrow_product(rows, w, k + t, x->t_count, x->d_count, x->t_count - t, v + t * x->d_count,
                       score + t, x->line);
    for (int r = 0; r < rows; r++) {
        float *line = score + r * x->line;
        by[r] = 1.0f / softmax2(line, x->t_count);
        for (int64_t t = 0; weights && t < x->t_count; t++)
            weights[r * x->weights_line + t] = line[t] * by[r];
        to_narrow(line, x->v_scale, x->t_count, &w[r]);
    }
    for (int64_t d = 0; d < x->d_count; d += NARROW_COLS) {
        int64_t left = MIN(NARROW_COLS, x->d_count - d);
        narrow_product(rows, w, v + d, x->d_count, x->t_count, left, next + d * x->t_count, part[0],
                       NARROW_COLS);
        for (int r = 0; r < rows; r++)
            for (int64_t c = 0; c < left; c++) out[r * x->c_count + d + c] = part[r][c] * by[r];
    }
}
#endif

ISA_INLINE void attend_cross(const struct cross *x, int rows, const float *q, float *score,
                             float *out, float *weights, enum dtype type)
{
#if defined __AVX512VNNI__
    if (type == DTYPE_I8) {
        attend_narrow(x, rows, q, score, out, weights);
        return;
    }
#endif
    float by[FAST_ROWS];
    cross_scores(x, rows, q, score, type);
    for (int r = 0; r < rows; r++) {
        float *line = score + r * x->line;
        by[r] = 1.0f / softmax2(line, x->t_count);
        for (int64_t t = 0; weights && t < x->t_count; t++)
            weights[r * x->weights_line + t] = line[t] * by[r];
        for (int64_t t = 0; type == DTYPE_I8 && t < x->t_count; t++) line[t] *= x->v_scale[t];
    }
    cross_values(x, rows, score, by, out, type);
}

ISA_INLINE void attend_rows(const struct cross *x, int64_t rows, const float *q, float *score,
                            float *out, float *weights, enum dtype type)
{
    switch (rows) {
    case 1:
        attend_cross(x, 1, q, score, out, weights, type);
        return;
    case 2:
        attend_cross(x, 2, q, score, out, weights, type);
        return;
    case 3:
        attend_cross(x, 3, q, score, out, weights, type);
        return;
    case 4:
        attend_cross(x, 4, q, score, out, weights, type);
        return;
    case 5:
        attend_cross(x, 5, q, score, out, weights, type);
        return;
    case FAST_ROWS:
        attend_cross(x, FAST_ROWS, q, score, out, weights, type);
        return;
    default:
        assert(!"1 to FAST_ROWS rows");
    }
}

/* The rows from r on that share a window, at most FAST_ROWS. */
static int64_t rows_together(const int32_t *window, int64_t r, int64_t count)
{
    int64_t n = 1;
    while (n < FAST_ROWS && r + n < count && window[r + n] == window[r]) n++;
    return n;
}

OP_KERNEL(attncross)
{
    const struct cpu_value *q = s->in[0], *k = s->in[2];
    const int32_t *window = s->in[1]->data;
    int64_t heads = k->plan->dim[1], d_count = k->plan->dim[2], t_count = k->plan->dim[3];
    struct cross x = {.k = k->data,
                      .v = s->in[3]->data,
                      .t_count = t_count,
                      .d_count = d_count,
                      .scale = s->step->args.scale * LOG2E,
                      .line = fast_cross_line(t_count),
                      .c_count = heads * d_count,
                      .weights_line = heads * t_count};
    float *score = (float *)s->scratch + (size_t)id * fast_cross_floats(t_count, d_count);
    float *all = s->out[1] ? s->out[1]->data : NULL;
    int64_t groups = 0, from, to, g = 0, rows;
    for (int64_t r = 0; r < q->rows; r += rows_together(window, r, q->rows)) groups++;
    thread_share(team, id, groups * heads, 1, &from, &to);
    for (int64_t r = 0; r < q->rows; r += rows, g++) {
        rows = rows_together(window, r, q->rows);
        for (int64_t h = MAX(0, from - g * heads); h < MIN(heads, to - g * heads); h++) {
            const float *in = (const float *)q->data + r * x.c_count + h * d_count;
            float *out = (float *)s->out[0]->data + r * x.c_count + h * d_count;
            float *weights = all ? all + (r * heads + h) * t_count : NULL;
            assert(window[r] >= 0 && window[r] < k->plan->dim[0]);
            x.at = (window[r] * heads + h) * d_count * t_count;
            x.k_scale = cpu_value_scales(k, (window[r] * heads + h) * d_count);
            x.v_scale = cpu_value_scales(s->in[3], (window[r] * heads + h) * t_count);
            if (k->plan->type == DTYPE_I8)
                attend_rows(&x, rows, in, score, out, weights, DTYPE_I8);
            else if (k->plan->type == DTYPE_F16)
                attend_rows(&x, rows, in, score, out, weights, DTYPE_F16);
            else
                attend_rows(&x, rows, in, score, out, weights, DTYPE_F32);
        }
    }
    return 0;
}
