/* Attention: of the encoder (every position to every other), of the decoder to itself and to the
 * audio.
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

#define OP_KERNEL(name) \
    int ISA_NAME(cpu_attn_##name)(const struct cpu_step *s, struct thread_team *team, int id)

#define LOG2E 1.44269504f

/* x [n] becomes 2^(x - max); returns the sum. Memory up to a multiple of W after n is written. */
ISA_INLINE float softmax2(float *x, int64_t n)
{
    vf most = vf_all(-__builtin_inff()), sum = vf_all(0);
    int64_t t = 0;
    for (; t + W <= n; t += W) most = vf_max(vf_load(x + t), most);
    float top = vf_most(most);
    for (; t < n; t++) top = x[t] > top ? x[t] : top;
    for (t = n; t < ALIGN_UP(n, W); t++) x[t] = -__builtin_inff();
    most = vf_all(top);
    for (t = 0; t < n; t += W) {
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

/* Up to 64 queries of one head. part: this member's scratch. out: rows apart by C. */
static void attend(const struct encoder *a, const float *q, int64_t rows, float scale,
                   const float *keys, const float *values, float *part, float *out)
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
            attend(&a, q + t * width, MIN(FAST_QUERIES, to - t), s->step->args.scale * LOG2E, keys,
                   values, part, out + t * c_count);
    }
    return 0;
}

/* W numbers of a cache, of which `left` count; the rest is 0. */
ISA_INLINE vf cache_load(const void *cache, int64_t at, int64_t left, bool f16)
{
    if (!f16) return vf_load_n((const float *)cache + at, left);
    const uint16_t *h = (const uint16_t *)cache + at;
    if (left >= W) return vf_load_f16(h);
    uint16_t part[W] = {0};
    memcpy(part, h, (size_t)left * sizeof *h);
    return vf_load_f16(part);
}

/* x [n] into a cache of f32 or f16 at `at`. */
static void cache_store(void *cache, int64_t at, const float *x, int64_t n, bool f16)
{
    if (!f16) {
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

struct past { /* what one row of the decoder attends to */
    const void *k, *v;
    const int32_t *line; /* sequence that holds position t */
    int64_t p_count, c_count, t_count;
};

/* One head from channel c on; score: room for t_count up to a multiple of W. */
ISA_INLINE void attend_self(const struct past *p, const float *q, int64_t c, int64_t d_count,
                            float scale, float *score, float *out, bool f16)
{
    for (int64_t t = 0; t < p->t_count; t += W) {
        vf r[W];
        for (int64_t i = 0; i < W; i++) {
            int64_t u = MIN(t + i, p->t_count - 1);
            int64_t at = (p->line[u] * p->p_count + u) * p->c_count + c;
            r[i] = vf_all(0);
            for (int64_t d = 0; d < d_count; d += W)
                r[i] += vf_load_n(q + d, d_count - d) * cache_load(p->k, at + d, d_count - d, f16);
        }
        vf_store(score + t, vf_sums(r) * (scale * LOG2E));
    }
    float by = 1.0f / softmax2(score, p->t_count);
    for (int64_t d = 0; d < d_count; d += 4 * W) {
        vf sum[4] = {vf_all(0), vf_all(0), vf_all(0), vf_all(0)};
        for (int64_t t = 0; t < p->t_count; t++) {
            int64_t at = (p->line[t] * p->p_count + t) * p->c_count + c + d;
            for (int64_t i = 0; i < 4 && d + i * W < d_count; i++)
                sum[i] += cache_load(p->v, at + i * W, d_count - d - i * W, f16) * score[t];
        }
        for (int64_t i = 0; i < 4 && d + i * W < d_count; i++)
            vf_store_n(out + d + i * W, sum[i] * by, d_count - d - i * W);
    }
}

OP_KERNEL(attnself)
{
    const struct cpu_value *qkv = s->in[0], *keys = s->out[1], *values = s->out[2];
    const int32_t *position = s->in[1]->data, *sequence = s->in[2]->data;
    const int32_t *history = s->in[3]->data;
    int64_t p_count = s->in[3]->plan->dim[1], c_count = qkv->plan->dim[1] / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to;
    bool f16 = keys->plan->type == DTYPE_F16;
    float *score = (float *)s->scratch + (size_t)id * fast_self_floats(p_count),
          scale = s->step->args.scale;
    thread_share(team, id, qkv->rows, 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *k = (const float *)qkv->data + r * 3 * c_count + c_count;
        assert(position[r] >= 0 && position[r] < p_count);
        int64_t at = (sequence[r] * p_count + position[r]) * c_count;
        cache_store(keys->data, at, k, c_count, f16);
        cache_store(values->data, at, k + c_count, c_count, f16);
    }
    thread_barrier(team); /* a row may attend to one that another member wrote */
    thread_share(team, id, qkv->rows * heads, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        int64_t r = i / heads, c = i % heads * d_count;
        const float *q = (const float *)qkv->data + r * 3 * c_count + c;
        float *out = (float *)s->out[0]->data + r * c_count + c;
        struct past p = {keys->data, values->data, history + sequence[r] * p_count,
                         p_count,    c_count,      position[r] + 1};
        if (f16)
            attend_self(&p, q, c, d_count, scale, score, out, true);
        else
            attend_self(&p, q, c, d_count, scale, score, out, false);
    }
    return 0;
}

struct cross {         /* one head of one window */
    const void *k, *v; /* [D][T] and [T][D] from element `at` on */
    int64_t at, t_count, d_count;
    int64_t line;    /* floats between rows of scores */
    int64_t c_count; /* floats between rows of q and out */
};

/* score [rows][T] = q [rows][D] k [D][T]: some channels at a time, so that keys are read in the
 * order they lie and scores stay in the cache. */
ISA_INLINE void cross_scores(const struct cross *x, int rows, const float *q, float *score,
                             bool f16)
{
    const int group = rows <= 2 ? 8 : 4;
    for (int64_t d = 0; d < x->d_count; d += group) {
        float by[FAST_ROWS][8];
        int64_t n = MIN(group, x->d_count - d);
        for (int r = 0; r < rows; r++)
            for (int64_t i = 0; i < group; i++) by[r][i] = i < n ? q[r * x->c_count + d + i] : 0;
        for (int64_t t = 0; t < x->t_count; t += W) {
            vf sum[FAST_ROWS];
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++)
                sum[r] = d ? vf_load(score + r * x->line + t) : vf_all(0);
#pragma GCC unroll 8
            for (int i = 0; i < group; i++) {
                int64_t at = x->at + (d + MIN(i, n - 1)) * x->t_count + t;
                vf k = cache_load(x->k, at, x->t_count - t, f16);
#pragma GCC unroll 6
                for (int r = 0; r < rows; r++) sum[r] += k * by[r][i];
            }
#pragma GCC unroll 6
            for (int r = 0; r < rows; r++) vf_store(score + r * x->line + t, sum[r]);
        }
    }
}

/* out [rows][D] = score [rows][T] v [T][D] * by. */
ISA_INLINE void cross_values(const struct cross *x, int rows, const float *score, const float *by,
                             float *out, bool f16)
{
    enum { vecs = W == 16 ? 4 : 2 }; /* rows * vecs sums stay in registers */
    for (int64_t d = 0; d < x->d_count; d += vecs * W) {
        vf sum[FAST_ROWS][vecs];
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < vecs; i++) sum[r][i] = vf_all(0);
        for (int64_t t = 0; t < x->t_count; t++) {
            for (int i = 0; i < vecs; i++) {
                int64_t left = x->d_count - d - i * W, at = x->at + t * x->d_count + d + i * W;
                if (left <= 0) break;
                vf v = cache_load(x->v, at, left, f16);
#pragma GCC unroll 6
                for (int r = 0; r < rows; r++) sum[r][i] += v * score[r * x->line + t];
            }
        }
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < vecs && d + i * W < x->d_count; i++)
                vf_store_n(out + r * x->c_count + d + i * W, sum[r][i] * by[r],
                           x->d_count - d - i * W);
    }
}

ISA_INLINE void attend_cross(const struct cross *x, int rows, const float *q, float scale,
                             float *score, float *out, float *weights, int64_t weights_line,
                             bool f16)
{
    float by[FAST_ROWS];
    cross_scores(x, rows, q, score, f16);
    for (int r = 0; r < rows; r++) {
        float *line = score + r * x->line;
        for (int64_t t = 0; t < x->t_count; t += W)
            vf_store(line + t, vf_load(line + t) * (scale * LOG2E));
        by[r] = 1.0f / softmax2(line, x->t_count);
        for (int64_t t = 0; weights && t < x->t_count; t++)
            weights[r * weights_line + t] = line[t] * by[r];
    }
    cross_values(x, rows, score, by, out, f16);
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
    bool f16 = k->plan->type == DTYPE_F16;
    struct cross x = {k->data,        s->in[3]->data, 0, t_count, d_count, fast_cross_line(t_count),
                      heads * d_count};
    float *score = (float *)s->scratch + (size_t)id * fast_cross_floats(t_count);
    float *all = s->out[1] ? s->out[1]->data : NULL, scale = s->step->args.scale;
    int64_t groups = 0, from, to, g = 0, rows;
    for (int64_t r = 0; r < q->rows; r += rows_together(window, r, q->rows)) groups++;
    thread_share(team, id, groups * heads, 1, &from, &to);
    for (int64_t r = 0; r < q->rows; r += rows, g++) {
        rows = rows_together(window, r, q->rows);
        for (int64_t h = MAX(0, from - g * heads); h < MIN(heads, to - g * heads); h++) {
            const float *in = (const float *)q->data + r * x.c_count + h * d_count;
            float *out = (float *)s->out[0]->data + r * x.c_count + h * d_count;
            float *weights = all ? all + (r * heads + h) * t_count : NULL;
            x.at = (window[r] * heads + h) * d_count * t_count;
#define ROWS(n)                                                                         \
    case n:                                                                             \
        if (f16)                                                                        \
            attend_cross(&x, n, in, scale, score, out, weights, heads *t_count, true);  \
        else                                                                            \
            attend_cross(&x, n, in, scale, score, out, weights, heads *t_count, false); \
        break
            switch (rows) {
                ROWS(1);
                ROWS(2);
                ROWS(3);
                ROWS(4);
                ROWS(5);
                ROWS(6);
            default:
                assert(!"1 to FAST_ROWS");
            }
#undef ROWS
        }
    }
    return 0;
}
