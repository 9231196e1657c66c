/* What may come next: rules, the likeliest tokens, one by chance. Two launches: blocks over chunks
 * of the vocabulary, then a block for each row. Every sum is in a fixed order. */
#include "gpu/dev.h"
#include "gpu/k_pick.h"

#define PICK_EACH  (PICK_CHUNK / PICK_THREADS) /* tokens of a thread, side by side */
#define PICK_WARPS (PICK_THREADS / DEV_WARP)

/* As in op.h. */
#define PICK_BAN_TEXT  1
#define PICK_BAN_TIMES 2
#define PICK_MASS      4
#define PICK_BAN_EOT   8
#define PICK_RAW       16

/* The numbers of a chunk: largest logit after the rules but for MASS, sum of exp(x - largest), sum
 * of exp((x - largest) / temperature), largest and sum before any rule. */
enum { PICK_LARGEST, PICK_SUM, PICK_CHANCE, PICK_RAW_LARGEST, PICK_RAW_SUM };

struct pick_best { /* token -1: none */
    float x;
    int token;
};

DEV_FN int pick_before(struct pick_best a, struct pick_best b)
{
    if (a.token < 0 || b.token < 0) return b.token < 0 && a.token >= 0;
    return a.x > b.x || (a.x == b.x && a.token < b.token);
}

DEV_FN struct pick_best pick_warp(struct pick_best own)
{
    for (int i = 16; i > 0; i >>= 1) {
        struct pick_best other;
        other.x = dev_shfl_xor_f32(own.x, i);
        other.token = dev_shfl_xor_i32(own.token, i);
        if (pick_before(other, own)) own = other;
    }
    return own;
}

/* cpu_ref's apply_rules for one token. */
DEV_FN float pick_left(const struct pick *a, int g, int v)
{
    const int *rule = a->rule + 8 * g;
    float x = a->logits[(int64_t)g * a->vocab + v] + a->ban[v];
    int banned = v == rule[3] || v == rule[4];
    banned |= (rule[0] & PICK_BAN_TEXT) && v < a->eot;
    banned |= (rule[0] & PICK_BAN_EOT) && v == a->eot;
    banned |= v >= a->texts && ((rule[0] & PICK_BAN_TIMES) || v < rule[1] || v > rule[2]);
    return banned || x != x ? -DEV_INF : x;
}

/* Whether the probability before any rule is wanted. */
DEV_FN int pick_watches(const struct pick *a, int g)
{
    return a->watch >= 0 && (a->rule[8 * g] & PICK_RAW);
}

/* Where chunk c begins and ends. */
DEV_FN int pick_from(const struct pick *a, int c)
{
    return c < a->text_chunks ? c * PICK_CHUNK : a->texts + (c - a->text_chunks) * PICK_CHUNK;
}

DEV_FN int pick_to(const struct pick *a, int c)
{
    int end = c < a->text_chunks ? a->texts : a->vocab, to = pick_from(a, c) + PICK_CHUNK;
    return to < end ? to : end;
}

/* Over the block, in the order of the warps; v [PICK_WARPS] in shared memory. */
DEV_FN float pick_block_max(float x, float *v)
{
    x = dev_max_f32(x);
    dev_sync();
    if (dev_lane() == 0) v[dev_warp()] = x;
    dev_sync();
    for (int i = 0; i < PICK_WARPS; i++) x = dev_max(x, v[i]);
    return x;
}

DEV_FN float pick_block_sum(float x, float *v)
{
    x = dev_sum_f32(x);
    dev_sync();
    if (dev_lane() == 0) v[dev_warp()] = x;
    dev_sync();
    x = 0.0f;
    for (int i = 0; i < PICK_WARPS; i++) x += v[i];
    return x;
}

/* exp((x - most) / by), 0 where x may not be. */
DEV_FN float pick_exp(float x, float most, float by)
{
    return x > -DEV_INF ? dev_exp((x - most) * by) : 0.0f;
}

/* The best of a thread's tokens that may be and come after `last`. */
DEV_FN struct pick_best pick_own(const float *x, int from, struct pick_best last)
{
    struct pick_best best, own;
    best.x = -DEV_INF;
    best.token = -1;
    DEV_UNROLL
    for (int i = 0; i < PICK_EACH; i++) {
        own.x = x[i];
        own.token = from + (int)threadIdx.x + i * PICK_THREADS;
        if (x[i] > -DEV_INF && (last.token < 0 || pick_before(last, own)) && pick_before(own, best))
            best = own;
    }
    return best;
}

/* The J best tokens of a chunk: the best of each warp stand in found [PICK_WARPS] of shared memory,
 * and only the warp whose best was taken looks for another. */
DEV_FN void pick_chunk_top(const struct pick *a, const float *x, int from, int64_t at,
                           struct pick_best *found)
{
    struct pick_best best, own;
    best.x = 0.0f;
    best.token = -1;
    own = pick_own(x, from, best);
    int mine = 1; /* whether this warp looks */
    for (int j = 0; j < a->n_top; j++) {
        if (mine) {
            struct pick_best w = pick_warp(own);
            if (dev_lane() == 0) found[dev_warp()] = w;
        }
        dev_sync();
        int warp = 0;
        for (int i = 1; i < PICK_WARPS; i++)
            if (pick_before(found[i], found[warp])) warp = i;
        best = found[warp];
        mine = warp == dev_warp();
        if (threadIdx.x == 0) {
            a->part_top[at * a->n_top + j] = best.x;
            a->part_token[at * a->n_top + j] = best.token;
        }
        if (best.token >= 0 && best.token == own.token) own = pick_own(x, from, best);
        dev_sync();
    }
}

DEV_KERNEL(pick_part, struct pick, a, PICK_THREADS)
{
    DEV_SHARED(float, v, PICK_WARPS);
    DEV_SHARED(struct pick_best, found, PICK_WARPS);
    int g = (int)blockIdx.y, c = (int)blockIdx.x;
    if (a.live && g >= *a.live) return;
    int from = pick_from(&a, c), to = pick_to(&a, c);
    float x[PICK_EACH], raw[PICK_EACH], most = -DEV_INF, raw_most = -DEV_INF;
    DEV_UNROLL
    for (int i = 0; i < PICK_EACH; i++) {
        int token = from + (int)threadIdx.x + i * PICK_THREADS;
        x[i] = token < to ? pick_left(&a, g, token) : -DEV_INF;
        raw[i] = token < to ? a.logits[(int64_t)g * a.vocab + token] : -DEV_INF;
        most = dev_max(most, x[i]);
        raw_most = dev_max(raw_most, raw[i]);
    }
    most = pick_block_max(most, v);
    raw_most = pick_block_max(raw_most, v);
    float temperature = a.chance[2 * g], by = temperature > 0.0f ? 1.0f / temperature : 0.0f;
    float sum = 0.0f, chance = 0.0f, raw_sum = 0.0f;
    int watched = pick_watches(&a, g);
    DEV_UNROLL
    for (int i = 0; i < PICK_EACH; i++) {
        sum += pick_exp(x[i], most, 1.0f);
        if (temperature > 0.0f) chance += pick_exp(x[i], most, by);
        if (watched) raw_sum += pick_exp(raw[i], raw_most, 1.0f);
    }
    sum = pick_block_sum(sum, v);
    chance = pick_block_sum(chance, v);
    raw_sum = pick_block_sum(raw_sum, v);
    int64_t at = (int64_t)g * a.chunks + c;
    if (threadIdx.x == 0) {
        float *part = a.part + at * PICK_NUMBERS;
        part[PICK_LARGEST] = most;
        part[PICK_SUM] = sum;
        part[PICK_CHANCE] = chance;
        part[PICK_RAW_LARGEST] = raw_most;
        part[PICK_RAW_SUM] = raw_sum;
    }
    pick_chunk_top(&a, x, from, at, found);
}

/* ---- a row ---- */

struct pick_mass { /* sum of exp((x - largest) / temperature) over chunks */
    float largest, sum;
};

/* Over chunks [from, to) by one warp; which: PICK_SUM (by 1), PICK_CHANCE or PICK_RAW_SUM. */
DEV_FN struct pick_mass pick_chunks(const float *part, int from, int to, int which, float by)
{
    int largest = which == PICK_RAW_SUM ? PICK_RAW_LARGEST : PICK_LARGEST;
    struct pick_mass m;
    m.largest = -DEV_INF;
    m.sum = 0.0f;
    for (int c = from + dev_lane(); c < to; c += DEV_WARP)
        m.largest = dev_max(m.largest, part[c * PICK_NUMBERS + largest]);
    m.largest = dev_max_f32(m.largest);
    for (int c = from + dev_lane(); c < to; c += DEV_WARP)
        m.sum += part[c * PICK_NUMBERS + which] *
                 pick_exp(part[c * PICK_NUMBERS + largest], m.largest, by);
    m.sum = dev_sum_f32(m.sum);
    return m;
}

/* log(sum(exp(x))): -inf where nothing is finite, as cpu_ref has it. */
DEV_FN float pick_log(struct pick_mass m)
{
    return dev_abs(m.largest) < DEV_INF ? m.largest + dev_log(m.sum) : -DEV_INF;
}

DEV_FN float pick_log_chance(float x, float whole)
{
    return dev_abs(x) < DEV_INF ? x - whole : -DEV_INF;
}

/* The J best of the row from those of chunks [first, chunks), by one warp. next [chunks]: shared
 * memory. Tokens that may not be follow at the end, lowest first. */
DEV_FN void pick_row_top(const struct pick *a, int g, int first, float whole, int *next)
{
    int lane = dev_lane(), j = 0;
    int *top = a->top + (int64_t)g * a->n_top;
    float *top_log = a->top_log + (int64_t)g * a->n_top;
    for (int c = lane; c < a->chunks; c += DEV_WARP) next[c] = 0;
    dev_warp_sync();
    for (; j < a->n_top; j++) {
        struct pick_best own, best;
        int from = -1;
        own.x = -DEV_INF;
        own.token = -1;
        for (int c = first + lane; c < a->chunks; c += DEV_WARP) {
            int64_t at = ((int64_t)g * a->chunks + c) * a->n_top + next[c];
            struct pick_best head;
            head.x = next[c] < a->n_top ? a->part_top[at] : 0.0f;
            head.token = next[c] < a->n_top ? a->part_token[at] : -1;
            if (pick_before(head, own)) {
                own = head;
                from = c;
            }
        }
        best = pick_warp(own);
        if (best.token < 0) break;
        if (own.token == best.token) next[from]++;
        if (lane == 0) {
            top[j] = best.token;
            top_log[j] = pick_log_chance(best.x, whole);
        }
    }
    int n = j;
    for (int v = 0; lane == 0 && j < a->n_top; v++) {
        int taken = 0;
        for (int i = 0; i < n; i++) taken |= top[i] == v;
        if (taken) continue;
        top[j] = v;
        top_log[j++] = -DEV_INF;
    }
}

/* The chunk in which the sum of chances exceeds u of the whole, and what is missing at its start
 * (relative to its own largest). -1: no token may be. By one thread. */
DEV_FN int pick_row_chunk(const struct pick *a, const float *part, int first, struct pick_mass m,
                          float by, float u, float *missing)
{
    float target = u * m.sum, sum = 0.0f;
    int last = -1;
    for (int c = first; c < a->chunks; c++) {
        float worth = pick_exp(part[c * PICK_NUMBERS], m.largest, by);
        float own = part[c * PICK_NUMBERS + PICK_CHANCE] * worth;
        if (!(own > 0.0f)) continue;
        last = c;
        *missing = (target - sum) / worth;
        if (sum + own > target) break;
        sum += own;
    }
    return last;
}

/* The token of a chunk at which the sum of chances exceeds `missing`; the last that may be if
 * rounding leaves none. By the block; side by side tokens of a thread. v, token: shared memory,
 * token holds [PICK_THREADS]. */
DEV_FN int pick_row_token(const struct pick *a, int g, int c, float most, float by, float missing,
                          float *v, int *token)
{
    int from = pick_from(a, c) + (int)threadIdx.x * PICK_EACH, to = pick_to(a, c), last = -1;
    float own = 0.0f, before;
    for (int i = 0; i < PICK_EACH && from + i < to; i++)
        own += pick_exp(pick_left(a, g, from + i), most, by);
    before = own; /* sums of the lanes up to this one, then of the warps before */
    for (int i = 1; i < DEV_WARP; i *= 2) {
        float other = dev_shfl_up_f32(before, i);
        if (dev_lane() >= i) before += other;
    }
    if (dev_lane() == DEV_WARP - 1) v[dev_warp()] = before;
    before -= own;
    dev_sync();
    float warps = 0.0f;
    for (int i = 0; i < dev_warp(); i++) warps += v[i];
    float sum = warps + before;
    int found = -1;
    for (int i = 0; i < PICK_EACH && from + i < to && found < 0; i++) {
        float x = pick_left(a, g, from + i);
        if (!(x > -DEV_INF)) continue;
        last = from + i;
        sum += pick_exp(x, most, by);
        if (sum > missing) found = last;
    }
    /* the first thread that found one, else the last that has one */
    token[threadIdx.x] = found >= 0 ? found : -2 - last; /* last -1: nothing here, -1 */
    dev_sync();
    int best = -1;
    for (int i = 0; i < PICK_THREADS; i++) {
        int t = token[i];
        if (t >= 0) return t;
        if (t < -1) best = -2 - t;
    }
    return best;
}

struct pick_row { /* what thread 0 tells the block */
    int chunk;
    float missing, whole;
};

/* Everything of a row but the sampled token, by the first warp. */
DEV_FN struct pick_row pick_row_first(const struct pick *a, int g, int *next)
{
    const float *part = a->part + (int64_t)g * a->chunks * PICK_NUMBERS;
    const float *logits = a->logits + (int64_t)g * a->vocab;
    float temperature = a->chance[2 * g], by = temperature > 0.0f ? 1.0f / temperature : 0.0f;
    struct pick_row r;
    int first = 0;
    if ((a->rule[8 * g] & PICK_MASS) && a->time0 >= 0) {
        float times = pick_log(pick_chunks(part, a->text_chunks, a->chunks, PICK_SUM, 1.0f));
        if (times > pick_chunks(part, 0, a->text_chunks, PICK_SUM, 1.0f).largest)
            first = a->text_chunks;
    }
    r.whole = pick_log(pick_chunks(part, first, a->chunks, PICK_SUM, 1.0f));
    pick_row_top(a, g, first, r.whole, next);
    r.chunk = -1;
    r.missing = 0.0f;
    if (temperature > 0.0f)
        r.chunk =
            pick_row_chunk(a, part, first, pick_chunks(part, first, a->chunks, PICK_CHANCE, by), by,
                           a->chance[2 * g + 1], &r.missing);
    if (pick_watches(a, g)) {
        float raw = pick_log(pick_chunks(part, 0, a->chunks, PICK_RAW_SUM, 1.0f));
        if (dev_lane() == 0) a->watched[g] = dev_exp(logits[a->watch] - raw);
    } else if (dev_lane() == 0) {
        a->watched[g] = 0.0f;
    }
    return r;
}

/* Dynamic shared memory: chunks words. */
DEV_KERNEL(pick_row, struct pick, a, PICK_THREADS)
{
    DEV_DYNAMIC(int, next);
    DEV_SHARED(struct pick_row, told, 1);
    DEV_SHARED(float, v, PICK_WARPS);
    DEV_SHARED(int, tokens, PICK_THREADS);
    int g = (int)blockIdx.x;
    if (a.live && g >= *a.live) return;
    if (dev_warp() == 0) {
        struct pick_row r = pick_row_first(&a, g, next);
        if (threadIdx.x == 0) told[0] = r;
    }
    dev_sync();
    struct pick_row r = told[0];
    int token = a.top[(int64_t)g * a.n_top];
    if (r.chunk >= 0) {
        float by = 1.0f / a.chance[2 * g];
        float most = a.part[((int64_t)g * a.chunks + r.chunk) * PICK_NUMBERS];
        token = pick_row_token(&a, g, r.chunk, most, by, r.missing, v, tokens);
    }
    if (threadIdx.x == 0) {
        a.token[g] = token;
        a.token_log[g] = r.chunk >= 0 ? pick_log_chance(pick_left(&a, g, token), r.whole)
                                      : a.top_log[(int64_t)g * a.n_top];
    }
}

/* ---- logits before the choice, and of a token already chosen ---- */

DEV_KERNEL(pick_dampen, struct pick_dampen, a, PICK_THREADS)
{
    int g = (int)blockIdx.y, from = (int)blockIdx.x * PICK_CHUNK;
    int to = from + PICK_CHUNK < a.vocab ? from + PICK_CHUNK : a.vocab;
    if (a.live && g >= *a.live) return;
    const float *logits = a.logits + (int64_t)g * a.vocab;
    const int *list = a.list + (int64_t)g * a.most;
    float *out = a.out + (int64_t)g * a.vocab;
    for (int v = from + (int)threadIdx.x; v < to; v += PICK_THREADS) out[v] = logits[v];
    dev_sync();
    for (int i = (int)threadIdx.x; i < a.most; i += PICK_THREADS) {
        int v = list[i];
        if (v < from || v >= to) continue;
        out[v] = logits[v] > 0.0f ? logits[v] / a.by : logits[v] * a.by;
    }
    dev_sync(); /* a token that is banned, too, stays banned */
    for (int i = (int)threadIdx.x; i < a.most; i += PICK_THREADS) {
        int v = -2 - list[i];
        if (v >= from && v < to) out[v] = -DEV_INF;
    }
}

DEV_KERNEL(pick_probe, struct pick_probe, a, PICK_THREADS)
{
    DEV_SHARED(float, v, PICK_WARPS);
    int r = (int)blockIdx.x;
    if (a.live && r >= *a.live) return;
    const float *x = a.logits + (int64_t)r * a.vocab;
    float most = -DEV_INF, sum = 0.0f;
    for (int i = (int)threadIdx.x; i < a.eot; i += PICK_THREADS) most = dev_max(most, x[i]);
    most = pick_block_max(most, v);
    for (int i = (int)threadIdx.x; i < a.eot; i += PICK_THREADS) sum += pick_exp(x[i], most, 1.0f);
    sum = pick_block_sum(sum, v);
    if (threadIdx.x == 0) a.out[r] = pick_exp(x[a.token[r]], most, 1.0f) / sum;
}
