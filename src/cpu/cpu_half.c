/* Attention of the encoder in f16, for processors that multiply f16 (AVX512-FP16): twice as many
 * products a cycle as f32. Compiled once, with -DISA=avx512fp16. The algorithm is that of
 * cpu_attn_isa.c; what differs:
 *
 *     one register holds 16 sums of two halves each, over even and over odd elements of K:
 *     q [8][D/2][2]  x  keys [2 panels of [D/2][16][2]]  -> f16 [8][2][16][2]
 *
 * Of two panels one has the even columns and one the odd ones, so that their sums of two halves
 * are 32 columns in order. Scores stay two halves until the largest is taken off one of them:
 * they decide by their differences, which for those near the largest are then exact. No f16 sum is
 * longer than D/2 products of scores, or 64 of values. Denormal halves, of which there are many,
 * cost nothing here.
 */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_tile.h"

typedef _Float16 half;
typedef __m512h vh; /* 32 halves */

#define BLOCK 32 /* columns of two panels */

struct heads {
    struct fast_half m;
    int64_t t_count, d_count, width; /* width: floats between positions of qkv, 3C */
};

ISA_INLINE vh vh_load(const half *p)
{
    return _mm512_loadu_ph(p);
}

/* The f32 of halves 0 to 15, or 16 to 31. */
ISA_INLINE vf vh_low(vh x)
{
    return (vf)_mm512_cvtph_ps(_mm512_castsi512_si256((__m512i)x));
}

ISA_INLINE vf vh_high(vh x)
{
    return (vf)_mm512_cvtph_ps(_mm512_extracti64x4_epi64((__m512i)x, 1));
}

ISA_INLINE vh vh_of(vf low, vf high)
{
    __m256i a = _mm512_cvtps_ph((__m512)low, _MM_FROUND_TO_NEAREST_INT);
    __m256i b = _mm512_cvtps_ph((__m512)high, _MM_FROUND_TO_NEAREST_INT);
    return (vh)_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

/* In every lane of two halves, a's second and b's first change places. */
ISA_INLINE void vh_turn(vh *a, vh *b)
{
    __m512i x = (__m512i)*a, y = (__m512i)*b;
    *a = (vh)_mm512_mask_blend_epi16(0xaaaaaaaa, x, _mm512_slli_epi32(y, 16));
    *b = (vh)_mm512_mask_blend_epi16(0xaaaaaaaa, _mm512_srli_epi32(x, 16), y);
}

/* A row of a tile: the two halves, to be added, of 32 columns in order. */
ISA_INLINE void tile_row(const half *tile, int64_t row, vh out[2])
{
    out[0] = vh_load(tile + row * 2 * BLOCK);
    out[1] = vh_load(tile + row * 2 * BLOCK + BLOCK);
    vh_turn(&out[0], &out[1]);
}

/* Panels of positions [first, last) of one head, first a multiple of 32. */
static void make_panels(const struct heads *a, const float *k, const float *v, int64_t first,
                        int64_t last, half *keys, half *values)
{
    const vi apart = {0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15};
    const vi in_pairs = apart | (apart + W) << 16;
    int64_t d_count = a->d_count;
    for (int64_t t = first; t < last; t += W) {
        half *to = keys + t / BLOCK * BLOCK * d_count + t % BLOCK;
        for (int64_t d = 0; d < d_count; d += W) {
            vf r[W];
            for (int64_t i = 0; i < W; i++)
                r[i] = t + i < a->t_count ? vf_load(k + (t + i) * a->width + d) : vf_all(0);
            vf_transpose(r);
            for (int64_t i = 0; i < W; i += 2) { /* pairs of d, even positions, then odd ones */
                __m512i two = (__m512i)vh_of(r[i], r[i + 1]);
                __m512i pairs = _mm512_permutexvar_epi16((__m512i)in_pairs, two);
                half *at = to + (d + i) * CPU_PANEL;
                _mm256_storeu_si256((__m256i *)at, _mm512_castsi512_si256(pairs));
                _mm256_storeu_si256((__m256i *)(at + CPU_PANEL * d_count),
                                    _mm512_extracti64x4_epi64(pairs, 1));
            }
        }
    }
    for (int64_t t = first; t < MIN(last, a->m.t_even); t += 2)
        for (int64_t d = 0; d < d_count; d += BLOCK) {
            const float *row = v + t * a->width + d;
            vh even = vh_of(vf_load(row), vf_load(row + W)), odd = (vh){0};
            if (t + 1 < a->t_count)
                odd = vh_of(vf_load(row + a->width), vf_load(row + a->width + W));
            vh_turn(&even, &odd);
            half *to = values + d * a->m.t_even + t * CPU_PANEL;
            _mm512_storeu_ph(to, even);
            _mm512_storeu_ph(to + CPU_PANEL * a->m.t_even, odd);
        }
}

/* The query's rows, 0 beyond the last one, as halves. */
static void make_query(const struct heads *a, const float *q, int64_t rows, int64_t rows_up,
                       half *query)
{
    for (int64_t r = 0; r < rows_up; r++)
        for (int64_t d = 0; d < a->d_count; d += W)
            vf_store_f16((uint16_t *)(query + r * a->d_count + d),
                         r < rows ? vf_load(q + r * a->width + d) : vf_all(0));
}

/* 2^(x * (by + rest)) for powers from -30 to 0, to a half's precision: the product is rounded only
 * once its whole part is off, and `rest` is what by as a half leaves of the factor. */
ISA_INLINE vh vh_exp2(vh x, vh by, vh rest)
{
    /* minimax on [-1/2, 1/2] of the relative error with 1 at 0, which is 1.7e-4 */
    const half c1 = 0.69328f, c2 = 0.24221f, c3 = 0.055009f;
    vh n = _mm512_roundscale_ph(x * by, 0);
    vh f = _mm512_fmadd_ph(x, rest, _mm512_fmsub_ph(x, by, n));
    vh p = _mm512_fmadd_ph(_mm512_set1_ph(c3), f, _mm512_set1_ph(c2));
    p = _mm512_fmadd_ph(p, f, _mm512_set1_ph(c1));
    p = _mm512_fmadd_ph(p, f, _mm512_set1_ph(1));
    return _mm512_scalef_ph(p, n);
}

/* The halves of bias, of each position's distance to the last of `rows` rows, 0 beyond the last
 * position. */
static void make_bias(const struct heads *a, const float *bias, int64_t rows, half *to)
{
    int64_t n = rows - 1 + a->t_count;
    for (int64_t i = 0; i < rows - 1 + a->m.t_up; i += W)
        vf_store_f16((uint16_t *)(to + i),
                     i < n ? vf_load_n(bias - (rows - 1) + i, n - i) : vf_all(0));
}

/* Position t of a row of scores: first of its two halves. */
ISA_INLINE half *score_at(half *score, int64_t t)
{
    return score + t / BLOCK * 2 * BLOCK + t % 2 * BLOCK + t % BLOCK / 2 * 2;
}

/* score [T] of two halves each becomes halves of e^(score * scale + bias - most), in place, 0 up to
 * t_up; returns their sum. bias, a constant: NULL or not. */
ISA_INLINE float softmax_by(half *score, int64_t n, int64_t t_up, float scale, const half *bias)
{
    const float power = bias ? LOG2E : scale * LOG2E;
    const half factor = (half)power;
    const vh by = _mm512_set1_ph(factor), rest = _mm512_set1_ph((half)(power - (float)factor));
    const vh lowest = _mm512_set1_ph((half)(-30 / power)); /* 2^-30 is 0 as a half */
    const vh narrow = _mm512_set1_ph((half)scale);
    vh most = _mm512_set1_ph((half)-__builtin_inff()), two[2];
    for (int64_t t = n; t < t_up; t++) {
        score_at(score, t)[0] = (half)-__builtin_inff();
        score_at(score, t)[1] = 0;
    }
    for (int64_t t = 0; t < t_up; t += BLOCK) {
        tile_row(score + 2 * t, 0, two);
        vh whole = two[0] + two[1];
        if (bias) whole = _mm512_fmadd_ph(whole, narrow, vh_load(bias + t));
        most = _mm512_max_ph(whole, most);
    }
    /* taken off before the halves are added, so that what is near to it is exact; as a half it may
     * be a little off, all alike */
    vh top = _mm512_set1_ph(_mm512_reduce_max_ph(most));
    if (bias) top = top / narrow;
    vf sum = vf_all(0);
    for (int64_t t = 0; t < t_up; t += BLOCK) {
        tile_row(score + 2 * t, 0, two);
        vh below = two[0] - top + two[1];
        if (bias) below = _mm512_fmadd_ph(below, narrow, vh_load(bias + t));
        vh e = vh_exp2(_mm512_max_ph(below, lowest), by, rest);
        _mm512_storeu_ph(score + t, e);
        sum += vh_low(e) + vh_high(e);
    }
    return vf_sum(sum);
}

static float softmax(half *score, int64_t n, int64_t t_up, float scale, const half *bias)
{
    return bias ? softmax_by(score, n, t_up, scale, bias) : softmax_by(score, n, t_up, scale, NULL);
}

/* Up to 64 queries of one head. bias: see make_bias, or NULL. part: this member's scratch. out:
 * rows apart by C. */
static void attend(const struct heads *a, const float *q, int64_t rows, float scale,
                   const float *bias, const half *keys, const half *values, char *part, float *out)
{
    enum { chunk = 128 }; /* positions whose values are summed in f16 */
    int64_t d_count = a->d_count, line = a->m.line, c_count = a->width / 3;
    int64_t rows_up = ALIGN_UP(rows, TILE_ROWS), t_even = a->m.t_even;
    half *query = (half *)(part + a->m.query), *tile = (half *)(part + a->m.tile);
    half *score = (half *)part, *near = (half *)(part + a->m.bias);
    float *sum = (float *)(part + a->m.sum);
    make_query(a, q, rows, rows_up, query);
    for (int64_t t = 0; t < a->m.t_up; t += BLOCK)
        for (int64_t r = 0; r < rows_up; r += TILE_ROWS)
            tile_f16_2(query + r * d_count, 2 * d_count, keys + t * d_count,
                       CPU_PANEL * 2 * d_count, d_count / 2, score + 2 * (r * line + t), 4 * line);
    if (bias) make_bias(a, bias, rows, near);
    float by[FAST_QUERIES];
    for (int64_t r = 0; r < rows; r++)
        by[r] = 1.0f / softmax(score + 2 * r * line, a->t_count, a->m.t_up, scale,
                               bias ? near + rows - 1 - r : NULL);

    memset(sum, 0, (size_t)(rows_up * d_count) * sizeof *sum);
    for (int64_t t = 0; t < t_even; t += chunk)
        for (int64_t d = 0; d < d_count; d += BLOCK)
            for (int64_t r = 0; r < rows_up; r += TILE_ROWS) {
                tile_f16_2(score + 2 * r * line + t, 4 * line,
                           values + (d * t_even + t * CPU_PANEL), 2 * CPU_PANEL * t_even,
                           MIN(chunk, t_even - t) / 2, tile, 4 * BLOCK);
                for (int64_t i = 0; i < TILE_ROWS; i++) {
                    float *to = sum + (r + i) * d_count + d;
                    vh row[2];
                    tile_row(tile, i, row);
                    vh more = row[0] + row[1];
                    vf_store(to, vf_load(to) + vh_low(more));
                    vf_store(to + W, vf_load(to + W) + vh_high(more));
                }
            }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t d = 0; d < d_count; d += W)
            vf_store(out + r * c_count + d, vf_load(sum + r * d_count + d) * by[r]);
}

int cpu_half_attention(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *qkv = s->in[0];
    int64_t t_count = qkv->plan->dim[1], width = qkv->plan->dim[2], c_count = width / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to, first, last;
    struct heads a = {fast_half_layout(t_count, d_count), t_count, d_count, width};
    char *part = (char *)s->scratch + a.m.shared + (size_t)id * a.m.part;
    thread_share(team, id, t_count, TILE_ROWS, &from, &to);
    thread_share(team, id, a.m.t_up, BLOCK, &first, &last);
    for (int64_t i = 0; i < qkv->rows * heads; i++) {
        const float *q =
            (const float *)qkv->data + i / heads * t_count * width + i % heads * d_count;
        float *out = (float *)s->out[0]->data + i / heads * t_count * c_count + i % heads * d_count;
        half *keys = (half *)((char *)s->scratch + (size_t)(i % 2) * (a.m.shared / 2));
        half *values = keys + a.m.keys;
        make_panels(&a, q + c_count, q + 2 * c_count, first, last, keys, values);
        thread_barrier(team); /* after it, too, nobody reads the other place any more */
        for (int64_t t = from; t < to; t += FAST_QUERIES)
            attend(&a, q + t * width, MIN(FAST_QUERIES, to - t), s->step->args.scale, NULL, keys,
                   values, part, out + t * c_count);
    }
    return 0;
}

/* Packed sequences; as in cpu_attn_isa.c. */
int cpu_half_attnrange(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *qkv = s->in[0];
    int64_t width = qkv->plan->dim[1], c_count = width / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to;
    struct fast_half most = fast_half_layout(qkv->plan->dim[0], d_count);
    char *part = (char *)s->scratch + (size_t)id * fast_half_range(&most);
    half *keys = (half *)(part + most.part);
    thread_share(team, id, s->in[1]->rows * heads, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        struct fast_range r = fast_range_of(s, i);
        struct heads a = {fast_half_layout(r.t_count, d_count), r.t_count, d_count, width};
        half *values = keys + a.m.keys;
        make_panels(&a, r.q + c_count, r.q + 2 * c_count, 0, a.m.t_up, keys, values);
        for (int64_t t = 0; t < r.t_count; t += FAST_QUERIES)
            attend(&a, r.q + t * width, MIN(FAST_QUERIES, r.t_count - t), s->step->args.scale,
                   r.distance ? r.distance - t : NULL, keys, values, part, r.out + t * c_count);
    }
    return 0;
}
