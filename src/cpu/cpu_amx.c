/* Attention of the encoder by tile products of bf16, for processors with AMX. Compiled once, with
 * -DISA=amx. Used where the plan allows f16.
 *
 * 32 queries and 512 positions at a time; what stays between blocks of positions are the sums, and
 * the largest score so far of each query:
 *
 *     query [32][D] x keys [16-wide panels of [D/2][16][2]]       -> score f32 [32][512]
 *     2^(score - largest) as bf16 [32][512] x values [16-wide panels of [T/2][16][2]]
 *                                                                 -> sum f32 [32][D], kept
 *
 * The scores of the next block are formed between the powers of this one: tiles and vectors are
 * different parts of the processor. bf16 has 8 bits, which is enough for powers and values. Keys
 * and queries are sums of two bf16 each, and three of the four products are formed: a score of 16
 * would otherwise be off by 0.03, and what all keys have in common, which softmax takes off again,
 * would be rounded differently in each. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_isa.h"

#include "cpu/cpu_amx.h"

#define ROWS (2 * AMX_ROWS)
#define STEP 32 /* positions, or channels, of a tile product */

typedef uint16_t bf16;

struct heads {
    struct fast_tiles m;
    int64_t t_count, d_count, width; /* width: floats between positions of qkv, 3C */
    const bf16 *keys, *values;
};

/* 32 floats as bf16, in their order. */
ISA_INLINE __m512i narrow(vf low, vf high)
{
    return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

/* What bf16 holds of x; the rest of it, again in bf16, is 2^-16 of x exact. */
ISA_INLINE vf upper(vf x)
{
    return (vf)((vi)x & (int32_t)0xffff0000);
}

/* Positions [first, last), multiples of 32, of one head: keys, their lower parts, values. */
static void make_panels(const struct heads *a, const float *k, const float *v, int64_t first,
                        int64_t last, bf16 *keys, bf16 *values)
{
    int64_t d_count = a->d_count, t_up = a->m.t_up;
    bf16 *lower = keys + t_up * d_count;
    for (int64_t t = first; t < last; t += AMX_ROWS)
        for (int64_t d = 0; d < d_count; d += STEP) {
            vf high[W], low[W]; /* of 16 positions: 16 pairs of channels each */
            for (int64_t i = 0; i < W; i++) {
                bool there = t + i < a->t_count;
                const float *from = k + (t + i) * a->width + d;
                vf x = there ? vf_load(from) : vf_all(0), y = there ? vf_load(from + W) : vf_all(0);
                high[i] = (vf)narrow(upper(x), upper(y));
                low[i] = (vf)narrow(x - upper(x), y - upper(y));
            }
            vf_transpose(high);
            vf_transpose(low);
            int64_t to = t * d_count + d * AMX_ROWS;
            for (int64_t i = 0; i < W; i++) {
                vf_store((float *)(keys + to) + i * W, high[i]);
                vf_store((float *)(lower + to) + i * W, low[i]);
            }
        }
    for (int64_t t = first; t < last; t += 2)
        for (int64_t d = 0; d < d_count; d += W) {
            vf x = t < a->t_count ? vf_load(v + t * a->width + d) : vf_all(0);
            vf y = t + 1 < a->t_count ? vf_load(v + (t + 1) * a->width + d) : vf_all(0);
            __m512i both = narrow(x, y); /* x's 16, y's 16: to be mixed */
            __m512i even = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
            __m512i odd = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1));
            vi_store((int32_t *)(values + d * t_up + t * W),
                     (vi)_mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
        }
}

/* The query's rows times `by`, 0 beyond the last one: [32][D], and their lower parts behind them.
 */
static void make_query(const struct heads *a, const float *q, int64_t rows, float by, bf16 *query)
{
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t d = 0; d < a->d_count; d += STEP) {
            const float *from = q + r * a->width + d;
            vf x = r < rows ? vf_load(from) * by : vf_all(0);
            vf y = r < rows ? vf_load(from + W) * by : vf_all(0);
            bf16 *to = query + r * a->d_count + d;
            _mm512_storeu_si512(to, narrow(upper(x), upper(y)));
            _mm512_storeu_si512(to + ROWS * a->d_count, narrow(x - upper(x), y - upper(y)));
        }
}

/* score [32 or 16][32] of positions from t on. */
ISA_INLINE void make_scores(const struct heads *a, bool tall, const bf16 *query, int64_t t,
                            float *score)
{
    int64_t d_count = a->d_count, panel = 2 * AMX_ROWS * d_count;
    const bf16 *keys = a->keys + t * d_count;
    amx_zero();
    for (int64_t d = 0; d < d_count; d += STEP, keys += STEP * AMX_ROWS) {
        amx_load_a(tall, query + ROWS * d_count + d, 2 * d_count);
        amx_load_b(keys, panel);
        amx_add_bf16(tall);
        amx_load_a(tall, query + d, 2 * d_count);
        amx_add_bf16(tall);
        amx_load_b(keys + a->m.t_up * d_count, panel);
        amx_add_bf16(tall);
    }
    amx_store(tall, true, (int32_t *)score, FAST_TILE_LINE);
}

/* 2^x, within 7.5e-5 of it, for x >= -126. */
ISA_INLINE vf power(vf x)
{
    vf f = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF); /* [0, 1) */
    vf p = vf_all(7.802452269e-2f); /* minimax of the relative error */
    p = p * f + 2.260671554e-1f;
    p = p * f + 6.958335405e-1f;
    p = p * f + 9.999252186e-1f;
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)x);
}

/* score [n], n a multiple of 32, as bf16 of 2^(score - most); returns their sums. */
ISA_INLINE vf powers(const float *score, int64_t n, float most, bf16 *out)
{
    vf sum = vf_all(0), sum2 = vf_all(0), top = vf_all(most), least = vf_all(-100.0f);
    for (int64_t t = 0; t < n; t += STEP) {
        vf x = power(vf_max(vf_load(score + t) - top, least));
        vf y = power(vf_max(vf_load(score + t + W) - top, least));
        sum += x;
        sum2 += y;
        _mm512_storeu_si512(out + t, narrow(x, y));
    }
    return sum + sum2;
}

/* Of a row of scores [n]: the largest, with the bias of the positions' distances added to them.
 * Beyond n, up to a multiple of 32, they become -infinity. */
ISA_INLINE float largest(float *score, int64_t n, const float *bias)
{
    vf most = vf_all(-__builtin_inff()), most2 = most;
    for (int64_t t = n; t < ALIGN_UP(n, STEP); t++) score[t] = -__builtin_inff();
    if (bias)
        for (int64_t t = 0; t < n; t += W) {
            vf s = vf_load(score + t) + vf_load_n(bias + t, n - t) * LOG2E;
            vf_store(score + t, s);
        }
    for (int64_t t = 0; t < n; t += STEP) {
        most = vf_max(vf_load(score + t), most);
        most2 = vf_max(vf_load(score + t + W), most2);
    }
    return vf_most(vf_max(most, most2));
}

/* sum [32][D] += prob [32][n] x values from position t on. */
ISA_INLINE void add_values(const struct heads *a, bool tall, const bf16 *prob, int64_t t, int64_t n,
                           float *sum)
{
    AMX_WRITTEN();
    for (int64_t d = 0; d < a->d_count; d += STEP) {
        const bf16 *values = a->values + d * a->m.t_up + t * W;
        amx_load_sums(tall, (int32_t *)sum + d, a->d_count);
        for (int64_t i = 0; i < n; i += STEP) {
            amx_load_a(tall, prob + i, 2 * FAST_TILE_PROBS);
            amx_load_b(values + i * W, 2 * AMX_ROWS * a->m.t_up);
            amx_add_bf16(tall);
        }
        amx_store(tall, true, (int32_t *)sum + d, a->d_count);
    }
}

struct rows { /* of queries: the largest score so far, sums of powers */
    float most[ROWS];
    vf sum[ROWS];
};

/* The largest scores of a block, and what stands in the sums made to fit them. */
ISA_INLINE void raise_rows(const struct heads *a, int64_t n_rows, float *score, int64_t n,
                           const float *bias, struct rows *rows, float *sum)
{
    for (int64_t r = 0; r < n_rows; r++) {
        float most = largest(score + r * FAST_TILE_LINE, n, bias ? bias - r : NULL);
        if (most <= rows->most[r]) continue;
        vf by = vf_exp2(vf_all(rows->most[r] - most));
        rows->most[r] = most;
        rows->sum[r] *= by;
        for (int64_t d = 0; d < a->d_count; d += W)
            vf_store(sum + r * a->d_count + d, vf_load(sum + r * a->d_count + d) * by);
    }
}

/* Up to 32 (tall) or 16 queries of one head. bias: of each position's distance to the first row, or
 * NULL. part: this member's scratch. out: rows apart by C. */
ISA_INLINE void attend_as(const struct heads *a, bool tall, const float *q, int64_t n_rows,
                          float scale, const float *bias, char *part, float *out)
{
    int64_t d_count = a->d_count, c_count = a->width / 3, t_count = a->t_count;
    float *score[2] = {(float *)part, (float *)(part + a->m.score2)};
    bf16 *prob = (bf16 *)(part + a->m.prob), *query = (bf16 *)(part + a->m.query);
    float *sum = (float *)(part + a->m.sum);
    struct rows rows;
    for (int r = 0; r < ROWS; r++) {
        rows.most[r] = -__builtin_inff();
        rows.sum[r] = vf_all(0);
    }
    memset(sum, 0, (size_t)(ROWS * d_count) * sizeof *sum);
    make_query(a, q, n_rows, scale, query);
    AMX_WRITTEN();
    for (int64_t t = 0; t < MIN(t_count, FAST_TILE_KEYS); t += STEP)
        make_scores(a, tall, query, t, score[0] + t);
    for (int64_t t = 0, odd = 0; t < t_count; t += FAST_TILE_KEYS, odd = !odd) {
        int64_t n = MIN(FAST_TILE_KEYS, t_count - t), ahead = t + FAST_TILE_KEYS;
        int64_t end = MIN(t_count, ahead + FAST_TILE_KEYS);
        raise_rows(a, n_rows, score[odd], n, bias ? bias + t : NULL, &rows, sum);
        for (int64_t r = 0; r < n_rows; r++) {
            rows.sum[r] += powers(score[odd] + r * FAST_TILE_LINE, ALIGN_UP(n, STEP), rows.most[r],
                                  prob + r * FAST_TILE_PROBS);
            if (r % 2 && ahead < end) { /* one tile of the next block after every second row */
                make_scores(a, tall, query, ahead, score[!odd] + ahead % FAST_TILE_KEYS);
                ahead += STEP;
            }
        }
        for (; ahead < end; ahead += STEP)
            make_scores(a, tall, query, ahead, score[!odd] + ahead % FAST_TILE_KEYS);
        add_values(a, tall, prob, t, ALIGN_UP(n, STEP), sum);
    }
    for (int64_t r = 0; r < n_rows; r++) {
        float by = 1.0f / vf_sum(rows.sum[r]);
        for (int64_t d = 0; d < d_count; d += W)
            vf_store(out + r * c_count + d, vf_load(sum + r * d_count + d) * by);
    }
}

static void attend(const struct heads *a, const float *q, int64_t rows, float scale,
                   const float *bias, char *part, float *out)
{
    if (rows > AMX_ROWS)
        attend_as(a, true, q, rows, scale * LOG2E, bias, part, out);
    else
        attend_as(a, false, q, rows, scale * LOG2E, bias, part, out);
}

int cpu_amx_attention(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *qkv = s->in[0];
    int64_t t_count = qkv->plan->dim[1], width = qkv->plan->dim[2], c_count = width / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to, first, last;
    struct heads a = {.m = fast_tiles_layout(t_count, d_count),
                      .t_count = t_count,
                      .d_count = d_count,
                      .width = width};
    char *part = (char *)s->scratch + 2 * a.m.head + (size_t)id * a.m.part;
    thread_share(team, id, t_count, AMX_ROWS, &from, &to);
    thread_share(team, id, a.m.t_up, STEP, &first, &last);
    amx_begin();
    for (int64_t i = 0; i < qkv->rows * heads; i++) {
        const float *q =
            (const float *)qkv->data + i / heads * t_count * width + i % heads * d_count;
        float *out = (float *)s->out[0]->data + i / heads * t_count * c_count + i % heads * d_count;
        bf16 *keys = (bf16 *)((char *)s->scratch + (size_t)(i % 2) * a.m.head);
        bf16 *values = keys + a.m.values;
        make_panels(&a, q + c_count, q + 2 * c_count, first, last, keys, values);
        thread_barrier(team); /* after it, too, nobody reads the other place any more */
        a.keys = keys;
        a.values = values;
        for (int64_t t = from; t < to; t += ROWS)
            attend(&a, q + t * width, MIN(ROWS, to - t), s->step->args.scale, NULL, part,
                   out + t * c_count);
    }
    amx_end();
    return 0;
}

/* Packed sequences; as in cpu_attn_isa.c. */
int cpu_amx_attnrange(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *qkv = s->in[0];
    int64_t width = qkv->plan->dim[1], c_count = width / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to;
    struct fast_tiles most = fast_tiles_layout(qkv->plan->dim[0], d_count);
    char *part = (char *)s->scratch + (size_t)id * (most.part + most.head);
    bf16 *keys = (bf16 *)(part + most.part);
    thread_share(team, id, s->in[1]->rows * heads, 1, &from, &to);
    amx_begin();
    for (int64_t i = from; i < to; i++) {
        struct fast_range r = fast_range_of(s, i);
        struct heads a = {.m = fast_tiles_layout(r.t_count, d_count),
                          .t_count = r.t_count,
                          .d_count = d_count,
                          .width = width};
        bf16 *values = keys + a.m.values;
        make_panels(&a, r.q + c_count, r.q + 2 * c_count, 0, a.m.t_up, keys, values);
        a.keys = keys;
        a.values = values;
        for (int64_t t = 0; t < r.t_count; t += ROWS)
            attend(&a, r.q + t * width, MIN(ROWS, r.t_count - t), s->step->args.scale,
                   r.distance ? r.distance - t : NULL, part, r.out + t * c_count);
    }
    amx_end();
    return 0;
}
