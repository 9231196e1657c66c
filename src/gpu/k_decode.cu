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

/* ---- products around an attention, see k_decode.h ---- */

/* 16 neighbours of row n of a matrix. */
DEV_FN void decode_weights(const struct decode_weight *m, int n, int k, float *w)
{
    int64_t at = (int64_t)n * m->lead + k;
    if (m->form == DECODE_W_I8) {
        struct dev_u4 u = dev_ld16((const int8_t *)m->w + at);
        uint32_t v[4] = {u.x, u.y, u.z, u.w};
        DEV_UNROLL
        for (int i = 0; i < 16; i++) w[i] = (float)(int8_t)(v[i / 4] >> (8 * (i % 4)) & 255u);
    } else if (m->form == DECODE_W_F16) {
        struct dev_u4 u[2] = {dev_ld16((const uint16_t *)m->w + at),
                              dev_ld16((const uint16_t *)m->w + at + 8)};
        uint32_t v[8] = {u[0].x, u[0].y, u[0].z, u[0].w, u[1].x, u[1].y, u[1].z, u[1].w};
        DEV_UNROLL
        for (int i = 0; i < 16; i++) w[i] = i % 2 ? dev_hi(v[i / 2]) : dev_lo(v[i / 2]);
    } else {
        DEV_UNROLL
        for (int i = 0; i < 4; i++) {
            struct dev_u4 u = dev_ld16((const float *)m->w + at + 4 * i);
            w[4 * i] = dev_as_f32(u.x), w[4 * i + 1] = dev_as_f32(u.y);
            w[4 * i + 2] = dev_as_f32(u.z), w[4 * i + 3] = dev_as_f32(u.w);
        }
    }
}

DEV_FN float decode_scale(const struct decode_weight *m, int n)
{
    return m->form == DECODE_W_I8 ? m->scale[n] : 1.0f;
}

/* Whether this block is the last of `all` to come here; what the others wrote before is seen after
 * it. told: a word of shared memory. */
DEV_FN int decode_last(int *count, int all, int *told)
{
    dev_fence();
    dev_sync();
    if (threadIdx.x == 0) {
        told[0] = dev_atomic_add_i32(count, 1) == all - 1;
        if (told[0]) *count = 0;
    }
    dev_sync();
    dev_fence();
    return told[0];
}

/* mixed [rows][DECODE_WIDTH] in shared memory: this head's numbers of the rows from `first` on.
 * most: constant, of rows. */
DEV_FN void decode_follow(const struct decode_after *a, const float *mixed, int first, int rows,
                          int h, int heads, int width, const int most, int *told)
{
    int threads = (int)blockDim.x;
    for (int n = (int)threadIdx.x; n < a->m.n; n += threads) {
        float sum[DECODE_ROWS], w[16];
        DEV_UNROLL
        for (int r = 0; r < most; r++) sum[r] = 0.0f;
        for (int d = 0; d < width; d += 16) {
            decode_weights(&a->m, n, h * width + d, w);
            DEV_UNROLL
            for (int r = 0; r < most; r++)
                if (r < rows) {
                    DEV_UNROLL
                    for (int i = 0; i < 16; i++)
                        sum[r] = dev_fma(mixed[r * DECODE_WIDTH + d + i], w[i], sum[r]);
                }
        }
        float scale = decode_scale(&a->m, n);
        DEV_UNROLL
        for (int r = 0; r < most; r++)
            if (r < rows) a->part[((int64_t)(first + r) * heads + h) * a->m.n + n] = sum[r] * scale;
    }
    if (!decode_last(a->count + first, heads, told)) return;
    for (int i = (int)threadIdx.x; i < rows * a->m.n; i += threads) {
        int r = first + i / a->m.n, n = i % a->m.n;
        const float *part = a->part + (int64_t)r * heads * a->m.n + n;
        int64_t at = (int64_t)r * a->m.n + n;
        float x = a->m.bias ? a->m.bias[n] : 0.0f;
        for (int head = 0; head < heads; head++) x += dev_ld_far(part + (int64_t)head * a->m.n);
        a->y[at] = a->residual ? x + a->residual[at] : x;
    }
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
    DEV_SHARED(int, told, 1);
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
        if (a->after.m.w)
            q[d] = x / sum; /* nobody reads queries any more */
        else
            a->out[(int64_t)r * c_count + h * a->width + d] = x / sum;
    }
    if (!a->after.m.w) return;
    dev_sync();
    decode_follow(&a->after, q, r, 1, h, a->heads, a->width, 1, told);
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

/* A warp for its row: mean and 1 / deviation of x to norm [2]. */
DEV_FN void decode_norm(const struct decode_before *b, int row, float *norm)
{
    const float *x = b->x + (int64_t)row * b->width;
    float mean = 0.0f, var = 0.0f;
    for (int c = dev_lane(); c < b->width; c += DEV_WARP) mean += x[c];
    mean = dev_sum_f32(mean) / (float)b->width;
    for (int c = dev_lane(); c < b->width; c += DEV_WARP)
        var = dev_fma(x[c] - mean, x[c] - mean, var);
    var = dev_sum_f32(var) / (float)b->width;
    if (dev_lane() > 0) return;
    norm[0] = mean;
    norm[1] = 1.0f / dev_sqrt(var + b->eps);
}

/* Adds the product of 16 neighbours of x, normed, and of rows n.. of the matrix. */
DEV_FN void decode_ask16(const struct decode_before *b, const struct decode_share *s, int n, int c,
                         const float *norm, float sum[DECODE_ROWS][2])
{
    float w[2][16], gain[16], offset[16];
    decode_weights(&b->m, n, c, w[0]);
    decode_weights(&b->m, n + 1, c, w[1]);
    DEV_UNROLL
    for (int i = 0; i < 16; i++) {
        gain[i] = b->gain[c + i];
        offset[i] = b->offset[c + i];
    }
    DEV_UNROLL
    for (int r = 0; r < DECODE_ROWS; r++)
        if (r < s->n) {
            const float *x = b->x + (int64_t)(s->first + r) * b->width + c;
            DEV_UNROLL
            for (int i = 0; i < 16; i++) {
                float v = (x[i] - norm[2 * r]) * norm[2 * r + 1] * gain[i] + offset[i];
                sum[r][0] = dev_fma(v, w[0][i], sum[r][0]);
                sum[r][1] = dev_fma(v, w[1][i], sum[r][1]);
            }
        }
}

/* q [DECODE_ROWS][DECODE_WIDTH] of this head from what stands before; two numbers of D at a time
 * for each warp. D is a multiple of 16. norm [DECODE_ROWS][2]: shared memory. */
DEV_FN void decode_cross_ask(const struct decode_cross *a, const struct decode_share *s, float *q,
                             float *norm)
{
    const struct decode_before *b = &a->before;
    if (dev_warp() < s->n) decode_norm(b, s->first + dev_warp(), norm + 2 * dev_warp());
    dev_sync();
    for (int d = 2 * dev_warp(); d < a->width; d += 2 * DECODE_WARPS) {
        int n = s->h * a->width + d;
        float sum[DECODE_ROWS][2];
        DEV_UNROLL
        for (int r = 0; r < DECODE_ROWS; r++) sum[r][0] = sum[r][1] = 0.0f;
        for (int c = 16 * dev_lane(); c < b->width; c += 16 * DEV_WARP)
            decode_ask16(b, s, n, c, norm, sum);
        DEV_UNROLL
        for (int r = 0; r < DECODE_ROWS; r++)
            if (r < s->n) {
                DEV_UNROLL
                for (int i = 0; i < 2; i++) {
                    float x = dev_sum_f32(sum[r][i]) * decode_scale(&b->m, n + i);
                    if (b->m.bias) x += b->m.bias[n + i];
                    if (dev_lane() == 0) q[r * DECODE_WIDTH + d + i] = x;
                }
            }
    }
    dev_sync();
}

/* q [DECODE_ROWS][DECODE_WIDTH] in shared memory, scaled; the scales of i8 keys are in it too. */
DEV_FN void decode_cross_query(const struct decode_cross *a, const struct decode_share *s,
                               const int type, float *q)
{
    for (int i = (int)threadIdx.x; i < s->n * DECODE_WIDTH; i += DECODE_CROSS_THREADS) {
        int row = i / DECODE_WIDTH, d = i % DECODE_WIDTH;
        float asked = a->before.m.w ? q[i] : 0.0f;
        q[i] = 0.0f;
        if (d >= a->width) continue;
        if (!a->before.m.w) asked = a->q[((int64_t)(s->first + row) * a->heads + s->h) * a->width + d];
        float x = asked * a->scale;
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

/* The sums of a row over all groups of threads, to the output, to `mixed` if a product follows, or
 * to the parts. */
DEV_FN void decode_cross_row(const struct decode_cross *a, const struct decode_share *s, int row,
                             int at, const float *sum, const float *state, float *mix, float *mixed)
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
        if (gridDim.z == 1 && a->after.m.w) {
            mixed[row * DECODE_WIDTH + tid] = x / state[1];
        } else if (gridDim.z == 1) {
            a->out[to * a->width + tid] = x / state[1];
        } else {
            float *part = a->part + (to * gridDim.z + blockIdx.z) * (a->width + 2);
            part[tid] = x;
            if (tid < 2) part[a->width + tid] = state[tid];
        }
    }
    dev_sync();
}

/* The splits of a row and head become one: by all threads, thread d returns number d. part
 * [splits][width + 2]; w [frames] or NULL: scores, which become weights. */
DEV_FN float decode_merge_row(const float *part, int splits, int width, int frames, float *w)
{
    int tid = (int)threadIdx.x, size = width + 2;
    float most = -DEV_INF, whole = 0.0f, x = 0.0f;
    for (int i = 0; i < splits; i++) most = dev_max(most, dev_ld_far(part + i * size + width));
    for (int i = 0; i < splits; i++) {
        float worth = dev_exp(dev_ld_far(part + i * size + width) - most);
        whole += dev_ld_far(part + i * size + width + 1) * worth;
        if (tid < width) x += dev_ld_far(part + i * size + tid) * worth;
    }
    for (int t = tid; w && t < frames; t += (int)blockDim.x)
        w[t] = dev_exp(dev_ld_far(w + t) - most) / whole;
    return x / whole;
}

/* With a product behind: what the last split of a head does for all, then the product. */
DEV_FN void decode_cross_follow(const struct decode_cross *a, const struct decode_share *s,
                                float *mixed, int *told)
{
    int splits = (int)gridDim.z;
    if (splits > 1 && !decode_last(a->count + s->first * a->heads + s->h, splits, told)) return;
    for (int r = 0; r < s->n && splits > 1; r++) {
        int64_t row = (int64_t)(s->first + r) * a->heads + s->h;
        float x = decode_merge_row(a->part + row * splits * (a->width + 2), splits, a->width,
                                   a->frames, a->weights ? a->weights + row * a->frames : NULL);
        if ((int)threadIdx.x < a->width) mixed[r * DECODE_WIDTH + threadIdx.x] = x;
    }
    dev_sync();
    decode_follow(&a->after, mixed, s->first, s->n, s->h, a->heads, a->width, DECODE_ROWS, told);
}

DEV_FN void decode_cross_block(const struct decode_cross *a, const int type)
{
    DEV_SHARED(float, q, DECODE_ROWS *DECODE_WIDTH);
    DEV_SHARED(float, score, DECODE_ROWS *DECODE_KEYS);
    DEV_SHARED(float, mix, DECODE_WARPS *DECODE_WIDTH);
    DEV_SHARED(float, state, DECODE_ROWS * 4);
    DEV_SHARED(int, told, 1);
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
    if (a->before.m.w) decode_cross_ask(a, &s, q, mix);
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
        if (r < s.n) decode_cross_row(a, &s, r, at, sum[r], state + 4 * r, mix, q);
    for (int r = 0; r < s.n && a->weights && gridDim.z == 1; r++) {
        float *w = a->weights + ((int64_t)(s.first + r) * a->heads + s.h) * a->frames;
        for (int t = tid; t < a->frames; t += DECODE_CROSS_THREADS)
            w[t] = dev_exp(w[t] - state[4 * r]) / state[4 * r + 1];
    }
    if (a->after.m.w) decode_cross_follow(a, &s, q, told);
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

/* grid: H, R */
DEV_KERNEL(decode_merge, struct decode_merge, a, DECODE_ROW_THREADS)
{
    int r = (int)blockIdx.y, h = (int)blockIdx.x, tid = (int)threadIdx.x;
    if (decode_dead(a.live, r)) return;
    int64_t row = (int64_t)r * gridDim.x + h;
    float x = decode_merge_row(a.part + row * a.splits * (a.width + 2), a.splits, a.width, a.frames,
                               a.weights ? a.weights + row * a.frames : NULL);
    if (tid < a.width) a.out[row * a.width + tid] = x;
}
