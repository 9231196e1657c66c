/* The decoder's rows: embedding, gathering, attention to what was said and to what is heard. */
#include "gpu/dev.h"
#include "gpu/k_decode.h"

enum { DECODE_F32, DECODE_F16, DECODE_I8 };

DEV_FN int decode_dead(const int *live, int row)
{
    return live && row >= *live;
}

/* ---- rows of tables -------------------------------------------------------------------------- */

DEV_FN void decode_embed(const struct decode_embed *a, const int type)
{
    int r = (int)blockIdx.x;
    if (decode_dead(a->live, r)) return;
    int token = a->token[r];
    int64_t row = (int64_t)token * a->lead;
    const float *position = a->positions + (int64_t)a->position[r] * a->width;
    float *out = a->out + (int64_t)r * a->width;
    float scale = type == DECODE_I8 ? a->scale[token] : 1.0f;
    for (int c = (int)threadIdx.x; c < a->width; c += DECODE_ROW_THREADS) {
        float x = 0.0f;
        if (type == DECODE_F32) x = ((const float *)a->table)[row + c];
        if (type == DECODE_F16) x = dev_float(((const uint16_t *)a->table)[row + c]);
        if (type == DECODE_I8) x = (float)((const int8_t *)a->table)[row + c] * scale;
        out[c] = x + position[c];
    }
}

DEV_KERNEL(decode_embed_f32, struct decode_embed, a, DECODE_ROW_THREADS)
{
    decode_embed(&a, DECODE_F32);
}

DEV_KERNEL(decode_embed_f16, struct decode_embed, a, DECODE_ROW_THREADS)
{
    decode_embed(&a, DECODE_F16);
}

DEV_KERNEL(decode_embed_i8, struct decode_embed, a, DECODE_ROW_THREADS)
{
    decode_embed(&a, DECODE_I8);
}

DEV_KERNEL(decode_gather, struct decode_gather, a, DECODE_ROW_THREADS)
{
    int g = (int)blockIdx.x;
    if (decode_dead(a.live, g)) return;
    const float *from = a.x + (int64_t)a.index[g] * a.width;
    float *to = a.out + (int64_t)g * a.width;
    for (int c = (int)threadIdx.x; c < a.width; c += DECODE_ROW_THREADS) to[c] = from[c];
}

/* ---- attention to what was said --------------------------------------------------------------
 *
 * A block for each row and head, in one launch. Keys and values written in this run may be read in
 * this run, by blocks that do not wait for the one that writes them: so every block looks up which
 * of its positions are such (from[t] < 0) and takes those from qkv. 8 lanes share a position, 8
 * numbers each. */

struct decode_eight {
    struct dev_u4 lo, hi; /* hi: f32 */
};

DEV_FN struct decode_eight decode_load8(const void *p, int64_t i, const int type)
{
    struct decode_eight r;
    r.hi.x = r.hi.y = r.hi.z = r.hi.w = 0u;
    if (type == DECODE_F16) {
        r.lo = dev_get16((const uint16_t *)p + i);
    } else {
        r.lo = dev_get16((const float *)p + i);
        r.hi = dev_get16((const float *)p + i + 4);
    }
    return r;
}

DEV_FN void decode_unpack8(struct decode_eight e, const int type, float *x)
{
    uint32_t lo[4] = {e.lo.x, e.lo.y, e.lo.z, e.lo.w}, hi[4] = {e.hi.x, e.hi.y, e.hi.z, e.hi.w};
    DEV_UNROLL
    for (int i = 0; i < 4; i++) {
        x[type == DECODE_F16 ? 2 * i : i] = type == DECODE_F16 ? dev_lo(lo[i]) : dev_as_f32(lo[i]);
        x[type == DECODE_F16 ? 2 * i + 1 : 4 + i] =
            type == DECODE_F16 ? dev_hi(lo[i]) : dev_as_f32(hi[i]);
    }
}

/* Up to eight numbers of a row written in this run, rounded as the cache will hold them. */
DEV_FN void decode_fresh8(const float *p, int count, const int type, float *x)
{
    DEV_UNROLL
    for (int i = 0; i < 8; i++) {
        x[i] = i < count ? p[i] : 0.0f;
        if (type == DECODE_F16) x[i] = dev_float(dev_half(x[i]));
    }
}

/* Up to eight numbers of a cache at any place. */
DEV_FN void decode_few8(const void *p, int64_t at, int count, const int type, float *x)
{
    DEV_UNROLL
    for (int i = 0; i < 8; i++) {
        if (i >= count) continue;
        x[i] = type == DECODE_F16 ? dev_float(((const uint16_t *)p)[at + i])
                                  : ((const float *)p)[at + i];
    }
}

#define DECODE_LANES  8 /* of a position */
#define DECODE_GROUPS (DECODE_SELF_THREADS / DECODE_LANES)
#define DECODE_DEEP   4 /* loads under way */

/* from[t]: where position t of this row stands in the cache (a row of it), or -1 - r. */
DEV_FN void decode_look_up(const struct decode_self *a, int r, int count, int *from)
{
    const int *history = a->history + (int64_t)a->sequence[r] * a->most;
    int rows = a->live ? *a->live : a->rows;
    for (int t = (int)threadIdx.x; t < count; t += DECODE_SELF_THREADS)
        from[t] = history[t] * a->most + t;
    dev_sync();
    for (int i = (int)threadIdx.x; i < rows; i += DECODE_SELF_THREADS) {
        int t = a->position[i];
        if (t < count && history[t] == a->sequence[i]) from[t] = -1 - i;
    }
    dev_sync();
}

/* The own key and value of this head into the cache. */
DEV_FN void decode_write(const struct decode_self *a, int r, const int type)
{
    int c_count = a->heads * a->width, h = (int)blockIdx.x;
    int64_t to = ((int64_t)a->sequence[r] * a->most + a->position[r]) * c_count + h * a->width;
    const float *k = a->qkv + (int64_t)r * 3 * c_count + c_count + h * a->width;
    for (int d = (int)threadIdx.x; d < a->width; d += DECODE_SELF_THREADS) {
        if (type == DECODE_F16) {
            ((uint16_t *)a->k)[to + d] = dev_half(k[d]);
            ((uint16_t *)a->v)[to + d] = dev_half(k[c_count + d]);
        } else {
            ((float *)a->k)[to + d] = k[d];
            ((float *)a->v)[to + d] = k[c_count + d];
        }
    }
}

/* Numbers at .. at + 7 of the head's D, of keys or values, at positions t, t + DECODE_GROUPS ..:
 * zeros where there is no such position or number. Heads of other widths than multiples of 8 are
 * read one by one. */
DEV_FN void decode_take(const struct decode_self *a, const void *cache, const float *fresh, int at,
                        const int *from, int t, int count, const int type, float x[DECODE_DEEP][8])
{
    struct decode_eight raw[DECODE_DEEP];
    int c_count = a->heads * a->width, head = (int)blockIdx.x * a->width + at, where[DECODE_DEEP];
    int whole = a->width % 8 == 0, left = a->width - at;
    DEV_UNROLL
    for (int u = 0; u < DECODE_DEEP; u++) {
        int own = t + u * DECODE_GROUPS, in = own < count && left > 0;
        where[u] = in ? from[own] : 0;
        raw[u].lo.x = raw[u].lo.y = raw[u].lo.z = raw[u].lo.w = 0u;
        raw[u].hi = raw[u].lo;
        if (whole && in && where[u] >= 0)
            raw[u] = decode_load8(cache, (int64_t)where[u] * c_count + head, type);
    }
    DEV_UNROLL
    for (int u = 0; u < DECODE_DEEP; u++) {
        decode_unpack8(raw[u], type, x[u]);
        if (where[u] < 0)
            decode_fresh8(fresh + (int64_t)(-1 - where[u]) * 3 * c_count + at, left, type, x[u]);
        else if (!whole && t + u * DECODE_GROUPS < count)
            decode_few8(cache, (int64_t)where[u] * c_count + head, left, type, x[u]);
    }
}

/* score[t] = q k^T; q [D] in shared memory, scaled. */
DEV_FN void decode_scores(const struct decode_self *a, const float *q, const int *from, int count,
                          const int type, float *score)
{
    int lane = (int)threadIdx.x % DECODE_LANES, group = (int)threadIdx.x / DECODE_LANES;
    const float *fresh = a->qkv + (a->heads + (int)blockIdx.x) * a->width;
    for (int t0 = 0; t0 < count; t0 += DECODE_GROUPS * DECODE_DEEP) {
        float sum[DECODE_DEEP] = {0.0f, 0.0f, 0.0f, 0.0f}, x[DECODE_DEEP][8];
        for (int at = 8 * lane; at < 8 * lane + a->width; at += 64) {
            decode_take(a, a->k, fresh, at, from, t0 + group, count, type, x);
            DEV_UNROLL
            for (int u = 0; u < DECODE_DEEP; u++) {
                DEV_UNROLL
                for (int i = 0; i < 8; i++) sum[u] = dev_fma(q[at + i], x[u][i], sum[u]);
            }
        }
        DEV_UNROLL
        for (int u = 0; u < DECODE_DEEP; u++) {
            float s = sum[u];
            s += dev_shfl_xor_f32(s, 1);
            s += dev_shfl_xor_f32(s, 2);
            s += dev_shfl_xor_f32(s, 4);
            int t = t0 + group + u * DECODE_GROUPS;
            if (lane == 0 && t < count) score[t] = s;
        }
    }
    dev_sync();
}

/* Scores to weights before division, by all threads; returns their sum. v: a number per warp. */
DEV_FN float decode_softmax(float *score, int count, float *v)
{
    int warps = DECODE_SELF_THREADS / DEV_WARP;
    float most = -DEV_INF, sum = 0.0f;
    for (int t = (int)threadIdx.x; t < count; t += DECODE_SELF_THREADS)
        most = dev_max(most, score[t]);
    most = dev_max_f32(most);
    if (dev_lane() == 0) v[dev_warp()] = most;
    dev_sync();
    for (int i = 0; i < warps; i++) most = dev_max(most, v[i]);
    for (int t = (int)threadIdx.x; t < count; t += DECODE_SELF_THREADS) {
        score[t] = dev_exp(score[t] - most);
        sum += score[t];
    }
    sum = dev_sum_f32(sum);
    dev_sync();
    if (dev_lane() == 0) v[dev_warp()] = sum;
    dev_sync();
    sum = 0.0f;
    for (int i = 0; i < warps; i++) sum += v[i];
    return sum;
}

/* mix [warps][DECODE_WIDTH]: each warp's part of the sum of values. */
DEV_FN void decode_values(const struct decode_self *a, const float *weight, const int *from,
                          int count, const int type, float *mix)
{
    int lane = (int)threadIdx.x % DECODE_LANES, group = (int)threadIdx.x / DECODE_LANES;
    const float *fresh = a->qkv + (2 * a->heads + (int)blockIdx.x) * a->width;
    for (int at = 8 * lane; at < 8 * lane + a->width; at += 64) {
        float sum[8] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}, x[DECODE_DEEP][8];
        for (int t0 = 0; t0 < count; t0 += DECODE_GROUPS * DECODE_DEEP) {
            decode_take(a, a->v, fresh, at, from, t0 + group, count, type, x);
            DEV_UNROLL
            for (int u = 0; u < DECODE_DEEP; u++) {
                int t = t0 + group + u * DECODE_GROUPS;
                float w = t < count ? weight[t] : 0.0f;
                DEV_UNROLL
                for (int i = 0; i < 8; i++) sum[i] = dev_fma(w, x[u][i], sum[i]);
            }
        }
        DEV_UNROLL
        for (int i = 0; i < 8; i++) {
            float s = sum[i];
            s += dev_shfl_xor_f32(s, 8);
            s += dev_shfl_xor_f32(s, 16);
            if (dev_lane() < DECODE_LANES && at + i < a->width)
                mix[dev_warp() * DECODE_WIDTH + at + i] = s;
        }
    }
    dev_sync();
}

DEV_FN void decode_self_block(const struct decode_self *a, const int type)
{
    DEV_DYNAMIC(float, score);
    DEV_SHARED(float, q, DECODE_WIDTH);
    DEV_SHARED(float, mix, DECODE_SELF_THREADS / DEV_WARP * DECODE_WIDTH);
    DEV_SHARED(float, v, DECODE_SELF_THREADS / DEV_WARP);
    int r = (int)blockIdx.y, h = (int)blockIdx.x, tid = (int)threadIdx.x;
    if (decode_dead(a->live, r)) return;
    int c_count = a->heads * a->width, count = a->position[r] + 1;
    int *from = (int *)score + a->most;
    for (int d = tid; d < DECODE_WIDTH; d += DECODE_SELF_THREADS)
        q[d] = d < a->width ? a->qkv[(int64_t)r * 3 * c_count + h * a->width + d] * a->scale : 0.0f;
    decode_write(a, r, type);
    decode_look_up(a, r, count, from);
    decode_scores(a, q, from, count, type, score);
    float sum = decode_softmax(score, count, v);
    decode_values(a, score, from, count, type, mix);
    for (int d = tid; d < a->width; d += DECODE_SELF_THREADS) {
        float x = 0.0f;
        for (int i = 0; i < DECODE_SELF_THREADS / DEV_WARP; i++) x += mix[i * DECODE_WIDTH + d];
        a->out[(int64_t)r * c_count + h * a->width + d] = x / sum;
    }
}

DEV_KERNEL(decode_self_f32, struct decode_self, a, DECODE_SELF_THREADS)
{
    decode_self_block(&a, DECODE_F32);
}

DEV_KERNEL(decode_self_f16, struct decode_self, a, DECODE_SELF_THREADS)
{
    decode_self_block(&a, DECODE_F16);
}

/* ---- attention to what is heard --------------------------------------------------------------
 *
 * Rows of one window stand together, up to DECODE_ROWS of them share a block, so that keys and
 * values come from memory once for all of them. A block goes through its split of T, DECODE_KEYS
 * positions at a time: scores (4 positions a thread, D over 4 groups of threads), softmax so far (a
 * warp a row), values (4 numbers of D a thread). */

#define DECODE_QUADS  (DECODE_KEYS / 4)
#define DECODE_SHARES (DECODE_CROSS_THREADS / DECODE_QUADS) /* of D */
#define DECODE_WARPS  (DECODE_CROSS_THREADS / DEV_WARP)
DEV_STATIC_ASSERT(decode_a_warp_a_row, DECODE_WARPS == DECODE_ROWS);

struct decode_share { /* what a block works on */
    int first, n;     /* rows */
    int h, window;
    int from, to; /* positions */
};

/* Where the rows of r's window begin and end: n is 0 unless a block begins at r. By every warp. */
DEV_FN struct decode_share decode_find(const struct decode_cross *a)
{
    struct decode_share s;
    int lane = dev_lane(), before = 0, rows = a->live ? *a->live : a->rows;
    s.first = (int)blockIdx.y;
    s.h = (int)blockIdx.x;
    s.from = (int)blockIdx.z * a->keys;
    s.to = s.from + a->keys < a->frames ? s.from + a->keys : a->frames;
    s.n = 0;
    s.window = 0;
    if (s.first >= rows) return s;
    s.window = a->window[s.first];
    uint32_t same = 0xffffffffu;
    while (same == 0xffffffffu) {
        int i = s.first - 1 - before - lane;
        same = dev_ballot(i >= 0 && a->window[i >= 0 ? i : 0] == s.window);
        for (uint32_t left = same; left & 1u; left >>= 1) before++;
    }
    if (before % DECODE_ROWS) return s;
    int own = s.first + lane;
    same =
        dev_ballot(lane < DECODE_ROWS && own < rows && a->window[own < rows ? own : 0] == s.window);
    for (; same & 1u; same >>= 1) s.n++;
    return s;
}

/* Four numbers from p[i] on, `left` of which there are (the others are 0). whole: left is a
 * multiple of 4 or negative, and i a multiple of 4. */
DEV_FN void decode_load4(const void *p, int64_t i, int left, int whole, const int type, float *x)
{
    DEV_UNROLL
    for (int j = 0; j < 4; j++) x[j] = 0.0f;
    if (left <= 0) return;
    if (!whole) {
        DEV_UNROLL
        for (int j = 0; j < 4; j++) {
            if (j >= left) continue;
            if (type == DECODE_F32) x[j] = ((const float *)p)[i + j];
            if (type == DECODE_F16) x[j] = dev_float(((const uint16_t *)p)[i + j]);
            if (type == DECODE_I8) x[j] = (float)((const int8_t *)p)[i + j];
        }
    } else if (type == DECODE_F32) {
        struct dev_u4 v = dev_ld16((const float *)p + i);
        x[0] = dev_as_f32(v.x), x[1] = dev_as_f32(v.y);
        x[2] = dev_as_f32(v.z), x[3] = dev_as_f32(v.w);
    } else if (type == DECODE_F16) {
        struct dev_u2 v = dev_ld8((const uint16_t *)p + i);
        x[0] = dev_lo(v.x), x[1] = dev_hi(v.x), x[2] = dev_lo(v.y), x[3] = dev_hi(v.y);
    } else {
        uint32_t v = *(const uint32_t *)((const int8_t *)p + i);
        DEV_UNROLL
        for (int j = 0; j < 4; j++) x[j] = (float)(int8_t)(v >> (8 * j) & 255u);
    }
}

/* q [DECODE_ROWS][DECODE_WIDTH] in shared memory, scaled; the scales of i8 keys are in it too. */
DEV_FN void decode_cross_query(const struct decode_cross *a, const struct decode_share *s,
                               const int type, float *q)
{
    for (int i = (int)threadIdx.x; i < s->n * DECODE_WIDTH; i += DECODE_CROSS_THREADS) {
        int row = i / DECODE_WIDTH, d = i % DECODE_WIDTH;
        q[i] = 0.0f;
        if (d >= a->width) continue;
        float x = a->q[((int64_t)(s->first + row) * a->heads + s->h) * a->width + d] * a->scale;
        if (type == DECODE_I8)
            x *= a->k_scale[((int64_t)s->window * a->heads + s->h) * a->width + d];
        q[i] = x;
    }
}

/* score [DECODE_ROWS][DECODE_KEYS] of positions t0.. */
DEV_FN void decode_cross_scores(const struct decode_cross *a, const struct decode_share *s, int t0,
                                const int type, const float *q, float *score)
{
    int quad = (int)threadIdx.x % DECODE_QUADS, share = (int)threadIdx.x / DECODE_QUADS;
    int t = t0 + 4 * quad, left = s->to - t, whole = a->frames % 4 == 0;
    int64_t row = ((int64_t)s->window * a->heads + s->h) * a->width;
    float sum[DECODE_ROWS][4];
    DEV_UNROLL
    for (int r = 0; r < DECODE_ROWS; r++) sum[r][0] = sum[r][1] = sum[r][2] = sum[r][3] = 0.0f;
    for (int d = 4 * share; d < a->width; d += 4 * DECODE_SHARES) {
        float k[4][4];
        DEV_UNROLL
        for (int i = 0; i < 4; i++)
            decode_load4(a->k, (row + d + i) * a->frames + t, d + i < a->width ? left : 0, whole,
                         type, k[i]);
        DEV_UNROLL
        for (int r = 0; r < DECODE_ROWS; r++)
            if (r < s->n) {
                struct dev_u4 four = dev_get16(q + r * DECODE_WIDTH + d);
                float w[4] = {dev_as_f32(four.x), dev_as_f32(four.y), dev_as_f32(four.z),
                              dev_as_f32(four.w)};
                DEV_UNROLL
                for (int i = 0; i < 4; i++) {
                    DEV_UNROLL
                    for (int j = 0; j < 4; j++) sum[r][j] = dev_fma(w[i], k[i][j], sum[r][j]);
                }
            }
    }
    for (int turn = 0; turn < DECODE_SHARES; turn++) {
        if (share == turn) {
            DEV_UNROLL
            for (int r = 0; r < DECODE_ROWS; r++)
                if (r < s->n) {
                    float *to = score + r * DECODE_KEYS + 4 * quad;
                    DEV_UNROLL
                    for (int j = 0; j < 4; j++) to[j] = turn ? to[j] + sum[r][j] : sum[r][j];
                }
        }
        dev_sync();
    }
}

/* A warp for its row: scores to weights relative to the largest so far (state [0], of the row),
 * their sum ([1]), and what earlier sums are worth now ([2]). */
DEV_FN void decode_cross_softmax(const struct decode_cross *a, const struct decode_share *s, int t0,
                                 const int type, float *score, float *state)
{
    int lane = dev_lane(), row = dev_warp(), count = s->to - t0;
    if (row >= s->n) return;
    float *weights = a->weights;
    if (weights) weights += ((int64_t)(s->first + row) * a->heads + s->h) * a->frames + t0;
    float x[DECODE_KEYS / DEV_WARP], before = state[0], most = before, sum = 0.0f;
    DEV_UNROLL
    for (int i = 0; i < DECODE_KEYS / DEV_WARP; i++) {
        int t = lane + DEV_WARP * i;
        x[i] = t < count ? score[t] : -DEV_INF;
        if (weights && t < count) weights[t] = x[i];
        most = dev_max(most, x[i]);
    }
    most = dev_max_f32(most);
    DEV_UNROLL
    for (int i = 0; i < DECODE_KEYS / DEV_WARP; i++) {
        int t = lane + DEV_WARP * i;
        float w = dev_exp(x[i] - most);
        sum += w;
        if (type == DECODE_I8 && t < count)
            w *= a->v_scale[((int64_t)s->window * a->heads + s->h) * a->frames + t0 + t];
        score[t] = w;
    }
    sum = dev_sum_f32(sum);
    float worth = dev_exp(before - most), whole = state[1] * worth + sum;
    dev_warp_sync();
    if (lane == 0) {
        state[0] = most;
        state[1] = whole;
        state[2] = worth;
    }
}

/* sum [DECODE_ROWS][4] += weights times numbers at.. of positions 4 group.. */
DEV_FN void decode_cross_values(const struct decode_cross *a, const struct decode_share *s, int t0,
                                int at, int group, int groups, const int type, const float *score,
                                float sum[DECODE_ROWS][4])
{
    int64_t row = ((int64_t)s->window * a->heads + s->h) * a->frames;
    if (at >= a->width) return;
    for (int i = 4 * group; i < DECODE_KEYS && t0 + i < s->to; i += 4 * groups) {
        float v[4][4];
        DEV_UNROLL
        for (int j = 0; j < 4; j++)
            decode_load4(a->v, (row + t0 + i + j) * a->width + at,
                         t0 + i + j < s->to ? a->width - at : 0, a->width % 4 == 0, type, v[j]);
        DEV_UNROLL
        for (int r = 0; r < DECODE_ROWS; r++)
            if (r < s->n) {
                struct dev_u4 four = dev_get16(score + r * DECODE_KEYS + i);
                float w[4] = {dev_as_f32(four.x), dev_as_f32(four.y), dev_as_f32(four.z),
                              dev_as_f32(four.w)};
                DEV_UNROLL
                for (int j = 0; j < 4; j++) {
                    DEV_UNROLL
                    for (int d = 0; d < 4; d++) sum[r][d] = dev_fma(w[j], v[j][d], sum[r][d]);
                }
            }
    }
}

/* The sums of a row over all groups of threads, to the output or to the parts. */
DEV_FN void decode_cross_row(const struct decode_cross *a, const struct decode_share *s, int row,
                             int at, const float *sum, const float *state, float *mix)
{
    int tid = (int)threadIdx.x;
    DEV_UNROLL
    for (int d = 0; d < 4; d++) {
        float x = sum[d], y = dev_shfl_xor_f32(x, 16);
        if (a->width <= 64) x += y;
        if (at + d < a->width && (a->width > 64 || dev_lane() < 16))
            mix[dev_warp() * DECODE_WIDTH + at + d] = x;
    }
    dev_sync();
    if (tid < a->width) {
        float x = 0.0f;
        for (int i = 0; i < DECODE_WARPS; i++) x += mix[i * DECODE_WIDTH + tid];
        int64_t to = (int64_t)(s->first + row) * a->heads + s->h;
        if (gridDim.z == 1) {
            a->out[to * a->width + tid] = x / state[1];
        } else {
            float *part = a->part + (to * gridDim.z + blockIdx.z) * (a->width + 2);
            part[tid] = x;
            if (tid < 2) part[a->width + tid] = state[tid];
        }
    }
    dev_sync();
}

DEV_FN void decode_cross_block(const struct decode_cross *a, const int type)
{
    DEV_SHARED(float, q, DECODE_ROWS *DECODE_WIDTH);
    DEV_SHARED(float, score, DECODE_ROWS *DECODE_KEYS);
    DEV_SHARED(float, mix, DECODE_WARPS *DECODE_WIDTH);
    DEV_SHARED(float, state, DECODE_ROWS * 4);
    struct decode_share s = decode_find(a);
    if (s.n == 0) return;
    int tid = (int)threadIdx.x, lanes = a->width <= 64 ? 16 : 32;
    int at = 4 * (tid % lanes), group = tid / lanes, groups = DECODE_CROSS_THREADS / lanes;
    float sum[DECODE_ROWS][4];
    DEV_UNROLL
    for (int r = 0; r < DECODE_ROWS; r++) sum[r][0] = sum[r][1] = sum[r][2] = sum[r][3] = 0.0f;
    if (tid < DECODE_ROWS) {
        state[4 * tid] = -DEV_INF;
        state[4 * tid + 1] = 0.0f;
    }
    decode_cross_query(a, &s, type, q);
    dev_sync();
    for (int t0 = s.from; t0 < s.to; t0 += DECODE_KEYS) {
        decode_cross_scores(a, &s, t0, type, q, score);
        decode_cross_softmax(a, &s, t0, type, score + dev_warp() * DECODE_KEYS,
                             state + 4 * dev_warp());
        dev_sync();
        DEV_UNROLL
        for (int r = 0; r < DECODE_ROWS; r++)
            if (r < s.n) {
                DEV_UNROLL
                for (int d = 0; d < 4; d++) sum[r][d] *= state[4 * r + 2];
            }
        decode_cross_values(a, &s, t0, at, group, groups, type, score, sum);
        dev_sync();
    }
    DEV_UNROLL
    for (int r = 0; r < DECODE_ROWS; r++)
        if (r < s.n) decode_cross_row(a, &s, r, at, sum[r], state + 4 * r, mix);
    if (!a->weights || gridDim.z > 1) return;
    for (int r = 0; r < s.n; r++) {
        float *w = a->weights + ((int64_t)(s.first + r) * a->heads + s.h) * a->frames;
        for (int t = tid; t < a->frames; t += DECODE_CROSS_THREADS)
            w[t] = dev_exp(w[t] - state[4 * r]) / state[4 * r + 1];
    }
}

DEV_KERNEL(decode_cross_f32, struct decode_cross, a, DECODE_CROSS_THREADS)
{
    decode_cross_block(&a, DECODE_F32);
}

DEV_KERNEL(decode_cross_f16, struct decode_cross, a, DECODE_CROSS_THREADS)
{
    decode_cross_block(&a, DECODE_F16);
}

DEV_KERNEL(decode_cross_i8, struct decode_cross, a, DECODE_CROSS_THREADS)
{
    decode_cross_block(&a, DECODE_I8);
}

/* The splits of a row and head become one. grid: H, R */
DEV_KERNEL(decode_merge, struct decode_merge, a, DECODE_ROW_THREADS)
{
    int r = (int)blockIdx.y, h = (int)blockIdx.x, tid = (int)threadIdx.x, size = a.width + 2;
    if (decode_dead(a.live, r)) return;
    int64_t row = (int64_t)r * gridDim.x + h;
    const float *part = a.part + row * a.splits * size;
    float most = -DEV_INF, whole = 0.0f, x = 0.0f;
    for (int i = 0; i < a.splits; i++) most = dev_max(most, part[i * size + a.width]);
    for (int i = 0; i < a.splits; i++) {
        float worth = dev_exp(part[i * size + a.width] - most);
        whole += part[i * size + a.width + 1] * worth;
        if (tid < a.width) x += part[i * size + tid] * worth;
    }
    if (tid < a.width) a.out[row * a.width + tid] = x / whole;
    if (!a.weights) return;
    for (int t = tid; t < a.frames; t += DECODE_ROW_THREADS) {
        float *w = a.weights + row * a.frames + t;
        *w = dev_exp(*w - most) / whole;
    }
}
