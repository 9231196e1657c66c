/* Attention of the encoder in f16, for processors that multiply f16 (AVX512-FP16): twice as many
 * products a cycle as f32. Compiled once, with -DISA=avx512fp16. The algorithm is that of
 * cpu_attn_isa.c; what differs:
 *
 *     one register holds 16 sums of two halves each, over even and over odd elements of K:
 *     q [8][D/2][2]  x  keys [48-wide panels of [D/2][16][2]]  -> f16 [8][48][2], added up in f32
 *
 * so no f16 sum is longer than D/2 products of scores, or 32 of values, and softmax is in f32. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_tile.h"

typedef _Float16 half;

struct heads {
    struct fast_half m;
    int64_t t_count, d_count, width; /* width: floats between positions of qkv, 3C */
};

static void to_half(const float *from, half *to)
{
    vf_store_f16((uint16_t *)to, vf_load(from));
}

/* Panels [first, last) of 16 positions of one head. */
static void make_panels(const struct heads *a, const float *k, const float *v, int64_t first,
                        int64_t last, half *keys, half *values)
{
    int64_t d_count = a->d_count;
    for (int64_t t = first * CPU_PANEL; t < last * CPU_PANEL; t += W) {
        for (int64_t d = 0; d < d_count; d += W) {
            vf r[W];
            half turned[W][W];
            for (int64_t i = 0; i < W; i++)
                r[i] = t + i < a->t_count ? vf_load(k + (t + i) * a->width + d) : vf_all(0);
            vf_transpose(r);
            for (int64_t i = 0; i < W; i++) vf_store_f16((uint16_t *)turned[i], r[i]);
            half *to = keys + t * d_count + d * CPU_PANEL; /* pairs of d, a panel apart */
            for (int64_t i = 0; i < W; i++)
                for (int64_t j = 0; j < W; j++)
                    to[(i / 2 * CPU_PANEL + j) * 2 + i % 2] = turned[i][j];
        }
        for (int64_t i = t; i < t + W && i < a->m.t_even; i++)
            for (int64_t d = 0; d < d_count; d += W) {
                half line[W] = {0};
                if (i < a->t_count) to_half(v + i * a->width + d, line);
                half *to = values + (d / CPU_PANEL * a->m.t_even + i / 2 * 2) * CPU_PANEL;
                for (int64_t j = 0; j < W; j++) to[j * 2 + i % 2] = line[j];
            }
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

/* score [T] becomes halves of 2^(score - most), in place, 0 up to t_even; returns their sum. */
static float softmax2(float *score, int64_t n, int64_t n_even)
{
    vf most = vf_all(-__builtin_inff()), sum = vf_all(0);
    int64_t t = 0;
    for (; t + W <= n; t += W) most = vf_max(vf_load(score + t), most);
    float top = vf_most(most);
    for (; t < n; t++) top = score[t] > top ? score[t] : top;
    for (t = n; t < ALIGN_UP(n_even, W); t++) score[t] = -__builtin_inff();
    most = vf_all(top);
    uint16_t *to = (uint16_t *)score; /* behind what is still to be read */
    for (t = 0; t < n_even; t += W) {
        vf e = vf_exp2(vf_load(score + t) - most);
        vf_store_f16(to + t, e);
        sum += vf_load_f16(to + t);
    }
    return vf_sum(sum);
}

/* score [rows][T] += bias of each position's distance to the row, from distance 0 of row 0 on. */
static void add_bias(const struct heads *a, const float *bias, int64_t rows, float *score)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t t = 0; t < a->t_count; t += W) {
            float *to = score + r * a->m.line + t;
            vf by_distance = vf_load_n(bias + t - r, a->t_count - t) * 1.44269504f;
            vf_store_n(to, vf_load(to) + by_distance, a->t_count - t);
        }
}

/* Up to 64 queries of one head. bias: see add_bias, or NULL. part: this member's scratch. out: rows
 * apart by C. */
static void attend(const struct heads *a, const float *q, int64_t rows, float scale,
                   const float *bias, const half *keys, const half *values, char *part, float *out)
{
    enum { chunk = 64 }; /* positions whose values are summed in f16 */
    int64_t d_count = a->d_count, line = a->m.line, c_count = a->width / 3;
    int64_t rows_up = ALIGN_UP(rows, TILE_ROWS), t_even = a->m.t_even;
    float *score = (float *)part, *sum = (float *)(part + a->m.sum);
    half *query = (half *)(part + a->m.query);
    int32_t *tile = (int32_t *)(part + a->m.tile);
    make_query(a, q, rows, rows_up, query);
    for (int64_t t = 0; t < a->m.t_up; t += TILE_COLS)
        for (int64_t r = 0; r < rows_up; r += TILE_ROWS) {
            tile_f16_3(query + r * d_count, 2 * d_count, keys + t * d_count,
                       CPU_PANEL * 2 * d_count, d_count / 2, tile, 4 * TILE_COLS);
            for (int64_t i = 0; i < TILE_ROWS; i++)
                for (int64_t j = 0; j < TILE_COLS; j += W)
                    vf_store(score + (r + i) * line + t + j,
                             tile_pair_sums(vi_load(tile + i * TILE_COLS + j), scale));
        }
    if (bias) add_bias(a, bias, rows, score);
    float by[FAST_QUERIES];
    for (int64_t r = 0; r < rows; r++)
        by[r] = 1.0f / softmax2(score + r * line, a->t_count, t_even);

    memset(sum, 0, (size_t)(rows_up * d_count) * sizeof *sum);
    for (int64_t t = 0; t < t_even; t += chunk)
        for (int64_t d = 0; d < d_count; d += 2 * CPU_PANEL)
            for (int64_t r = 0; r < rows_up; r += TILE_ROWS) {
                tile_f16_2((const half *)(score + r * line) + t, 4 * line,
                           values + (d * t_even + t * CPU_PANEL), 2 * CPU_PANEL * t_even,
                           MIN(chunk, t_even - t) / 2, tile, 4 * 2 * CPU_PANEL);
                for (int64_t i = 0; i < TILE_ROWS; i++)
                    for (int64_t j = 0; j < 2 * CPU_PANEL; j += W) {
                        float *to = sum + (r + i) * d_count + d + j;
                        vf_store(to, vf_load(to) +
                                         tile_pair_sums(vi_load(tile + i * 2 * CPU_PANEL + j), 1));
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
    thread_share(team, id, a.m.t_up / CPU_PANEL, 1, &first, &last);
    for (int64_t i = 0; i < qkv->rows * heads; i++) {
        const float *q =
            (const float *)qkv->data + i / heads * t_count * width + i % heads * d_count;
        float *out = (float *)s->out[0]->data + i / heads * t_count * c_count + i % heads * d_count;
        half *keys = (half *)((char *)s->scratch + (size_t)(i % 2) * (a.m.shared / 2));
        half *values = keys + a.m.keys;
        make_panels(&a, q + c_count, q + 2 * c_count, first, last, keys, values);
        thread_barrier(team); /* after it, too, nobody reads the other place any more */
        for (int64_t t = from; t < to; t += FAST_QUERIES)
            attend(&a, q + t * width, MIN(FAST_QUERIES, to - t), s->step->args.scale * 1.44269504f,
                   NULL, keys, values, part, out + t * c_count);
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
        make_panels(&a, r.q + c_count, r.q + 2 * c_count, 0, a.m.t_up / CPU_PANEL, keys, values);
        for (int64_t t = 0; t < r.t_count; t += FAST_QUERIES)
            attend(&a, r.q + t * width, MIN(FAST_QUERIES, r.t_count - t),
                   s->step->args.scale * 1.44269504f, r.distance ? r.distance - t : NULL, keys,
                   values, part, r.out + t * c_count);
    }
    return 0;
}
