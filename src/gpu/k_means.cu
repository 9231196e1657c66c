/* k-means: lloyd, seed and spread; see k_means.h. */
#include "gpu/dev.h"
#include "gpu/k_means.h"
#include "gpu/k_pair_dev.h"

/* ---- lloyd ---- */

/* Whether set s takes part. */
DEV_FN int means_is_in(const struct means_lloyd *a, int s)
{
    return a->move[(int64_t)s * a->k] > -2.0f;
}

DEV_KERNEL(means_clear, struct means_lloyd, a, MEANS_THREADS)
{
    int s = (int)blockIdx.y;
    int64_t i = (int64_t)blockIdx.x * MEANS_THREADS + threadIdx.x, kd = (int64_t)a.k * a.d;
    if (!means_is_in(&a, s)) return;
    if (i < kd) ((int64_t *)a.sum)[s * kd + i] = 0;
    if (i <= a.k) a.count[(int64_t)s * (a.k + 1) + i] = 0;
    if (i < 2) a.head[2 * s + i] = 0;
}

/* The largest of a set's moves. Block. part: shared [MEANS_WARPS]. */
DEV_FN float means_farthest(const struct means_lloyd *a, int s, float *part)
{
    float most = 0.0f;
    for (int j = (int)threadIdx.x; j < a->k; j += MEANS_THREADS)
        most = dev_max(most, a->move[(int64_t)s * a->k + j]);
    most = dev_max_f32(most);
    if (dev_lane() == 0) part[dev_warp()] = most;
    dev_sync();
    for (int i = 0; i < MEANS_WARPS; i++) most = dev_max(most, part[i]);
    return most;
}

/* Moves the bounds of every row by what the centres moved; rows whose bounds cross are listed. */
DEV_KERNEL(means_bound, struct means_lloyd, a, MEANS_THREADS)
{
    DEV_SHARED(float, part, MEANS_WARPS);
    int s = (int)blockIdx.y, r = (int)blockIdx.x * MEANS_THREADS + (int)threadIdx.x, look = r < a.n;
    if (!means_is_in(&a, s)) return;
    int fresh = a.move[(int64_t)s * a.k] == -1.0f;
    int64_t at = (int64_t)s * a.n + r;
    float farthest = means_farthest(&a, s, part);
    if (look && !fresh) {
        float own = a.bound[2 * at] + a.move[(int64_t)s * a.k + a.label[at]];
        float other = a.bound[2 * at + 1] - farthest;
        own += own * 3e-7f; /* what the sums above may have lost */
        if (other < DEV_INF) other -= dev_abs(other) * 3e-7f;
        a.bound[2 * at] = own;
        a.bound[2 * at + 1] = other;
        look = !(own < other);
    }
    unsigned mask = dev_ballot(look);
    int first = 0, before = 0;
    for (int i = 0; i < dev_lane(); i++) before += mask >> i & 1;
    if (dev_lane() == 31) first = dev_atomic_add_i32(a.head + 2 * s, before + (look ? 1 : 0));
    first = dev_shfl_i32(first, 31);
    if (look) a.list[(int64_t)s * a.n + first + before] = r;
}

struct means_best { /* of a row's centres */
    float d2, second;
    int j;
};

DEV_FN struct means_best means_take(struct means_best a, float d2, float second, int j)
{
    if (d2 < a.d2 || (d2 == a.d2 && j < a.j)) {
        float was = a.d2;
        a.d2 = d2;
        a.j = j;
        a.second = dev_min(was, second);
    } else {
        a.second = dev_min(a.second, d2);
    }
    return a;
}

/* The centres of set s against the block's rows: a row's best two go to best [MEANS_TILE]. */
DEV_FN void means_tile(const struct means_lloyd *a, int s, const int *row, struct means_best *best)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    DEV_SHARED(int, centre, MEANS_TILE);
    struct means_best own[4];
    float d2[16];
    DEV_UNROLL
    for (int i = 0; i < 4; i++) own[i].d2 = own[i].second = DEV_INF, own[i].j = 0x7fffffff;
    for (int j0 = 0; j0 < a->k; j0 += MEANS_TILE) {
        pair_rows(centre, j0, a->k);
        pair_d2(a->x, row, a->centre + (int64_t)s * a->k * a->d, centre, a->d, sa, sb, d2);
        DEV_UNROLL
        for (int i = 0; i < 16; i++) {
            int j = j0 + PAIR_OTHER + i % 4;
            if (j < a->k) own[i / 4] = means_take(own[i / 4], d2[i], DEV_INF, j);
        }
    }
    DEV_UNROLL
    for (int i = 0; i < 4; i++) {
        for (int m = 8; m > 0; m >>= 1) {
            float d = dev_shfl_xor_f32(own[i].d2, m), second = dev_shfl_xor_f32(own[i].second, m);
            own[i] = means_take(own[i], d, second, dev_shfl_xor_i32(own[i].j, m));
        }
        if (threadIdx.x % 16 == 0) best[PAIR_OWN + i] = own[i];
    }
    dev_sync();
}

/* The best two where f32 cannot tell, by a warp. */
DEV_FN struct means_best means_exact(const struct means_lloyd *a, int s, int row)
{
    const float *x = a->x + (int64_t)row * a->d, *centre = a->centre + (int64_t)s * a->k * a->d;
    double least = 1e300, second = 1e300;
    int best = 0x7fffffff;
    struct means_best out;
    for (int j = dev_lane(); j < a->k; j += DEV_WARP) {
        double d2 = pair_exact(x, centre + (int64_t)j * a->d, a->d);
        if (d2 < least)
            second = least, least = d2, best = j;
        else if (d2 < second)
            second = d2;
    }
    for (int i = 16; i > 0; i >>= 1) {
        double d2 = dev_shfl_xor_f64(least, i), next = dev_shfl_xor_f64(second, i);
        int j = dev_shfl_xor_i32(best, i);
        if (d2 < least || (d2 == least && j < best)) {
            second = least < next ? least : next;
            least = d2, best = j;
        } else if (d2 < second) {
            second = d2;
        }
    }
    out.d2 = (float)least;
    out.second = (float)second;
    out.j = best;
    return out;
}

/* What is known of a row now, by a warp. */
DEV_FN void means_put(const struct means_lloyd *a, int s, int place, struct means_best b)
{
    int64_t at = (int64_t)s * a->n + place;
    int row = a->list[at], fresh = a->move[(int64_t)s * a->k] == -1.0f;
    int64_t to = (int64_t)s * a->n + row;
    int was = fresh ? -1 : a->label[to];
    float slack = pair_slack(a->d), tiny = pair_tiny(a->d), most = 0.0f;
    dev_warp_sync();
    if (dev_lane() == 0) {
        a->bound[2 * to] = dev_sqrt(b.d2 + b.d2 * slack + tiny);
        float other = b.second - b.second * slack - tiny;
        a->bound[2 * to + 1] = a->k == 1 ? DEV_INF : dev_sqrt(dev_max(other, 0.0f));
        a->was[at] = was == b.j ? -2 : was;
        a->label[to] = b.j;
    }
    if (was == b.j) return;
    for (int i = dev_lane(); i < a->d; i += DEV_WARP)
        most = dev_max(most, dev_abs(a->x[(int64_t)row * a->d + i]));
    most = dev_max_f32(most);
    if (dev_lane() != 0) return;
    int *count = a->count + (int64_t)s * (a->k + 1);
    dev_atomic_max_i32(a->head + 2 * s + 1, dev_as_u32(most));
    dev_atomic_add_i32(count + b.j, 1);
    dev_atomic_add_i32(count + a->k, 1);
    if (was >= 0) dev_atomic_add_i32(count + was, -1);
}

DEV_KERNEL(means_assign, struct means_lloyd, a, MEANS_THREADS)
{
    DEV_SHARED(int, row, MEANS_TILE);
    DEV_SHARED(struct means_best, best, MEANS_TILE);
    int s = (int)blockIdx.y, t = (int)threadIdx.x, first = (int)blockIdx.x * MEANS_TILE;
    if (!means_is_in(&a, s)) return;
    int listed = a.head[2 * s];
    if (first >= listed) return;
    if (t < MEANS_TILE) row[t] = first + t < listed ? a.list[(int64_t)s * a.n + first + t] : -1;
    means_tile(&a, s, row, best);
    float slack = pair_slack(a.d), tiny = pair_tiny(a.d);
    for (int r = dev_warp(); r < MEANS_TILE && first + r < listed; r += MEANS_WARPS) {
        struct means_best b = best[r];
        int clear = b.second - b.second * slack - tiny > b.d2 + b.d2 * slack + tiny;
        if (!clear && a.k > 1) b = means_exact(&a, s, row[r]);
        means_put(&a, s, first + r, b);
    }
}

/* The power of two by which a set's numbers are multiplied. */
DEV_FN int means_power(const struct means_lloyd *a, int s)
{
    int exponent = (a->head[2 * s + 1] >> 23) - 126; /* largest |x| < 2^exponent */
    return 62 - a->bits - exponent;
}

DEV_KERNEL(means_move, struct means_lloyd, a, MEANS_THREADS)
{
    int s = (int)blockIdx.y;
    if (!means_is_in(&a, s)) return;
    int listed = a.head[2 * s];
    double by = dev_power2(means_power(&a, s));
    int64_t *sum = (int64_t *)a.sum + (int64_t)s * a.k * a.d;
    for (int64_t p = (int64_t)blockIdx.x * MEANS_WARPS + dev_warp(); p < listed;
         p += (int64_t)gridDim.x * MEANS_WARPS) {
        int64_t at = (int64_t)s * a.n + p;
        int was = a.was[at];
        if (was == -2) continue;
        const float *x = a.x + (int64_t)a.list[at] * a.d;
        int64_t *to = sum + (int64_t)a.label[(int64_t)s * a.n + a.list[at]] * a.d;
        for (int i = dev_lane(); i < a.d; i += DEV_WARP) {
            int64_t v = dev_round64((double)x[i] * by);
            dev_atomic_add_i64(to + i, v);
            if (was >= 0) dev_atomic_add_i64(sum + (int64_t)was * a.d + i, -v);
        }
    }
}

DEV_KERNEL(means_sum, struct means_lloyd, a, MEANS_THREADS)
{
    int s = (int)blockIdx.y;
    int64_t i = (int64_t)blockIdx.x * MEANS_THREADS + threadIdx.x, kd = (int64_t)a.k * a.d;
    if (!means_is_in(&a, s) || i >= kd) return;
    int64_t v = ((const int64_t *)a.sum)[s * kd + i];
    a.sum[s * kd + i] = (double)v * dev_power2(-means_power(&a, s));
}

/* ---- seed ---- */

DEV_KERNEL(means_mass, struct means_seed, a, MEANS_THREADS)
{
    DEV_SHARED(double, part, PAIR_WARPS);
    int s = (int)blockIdx.y, c = (int)blockIdx.x;
    double sum = 0.0;
    if (*a.first) return;
    for (int i = (int)threadIdx.x; i < MEANS_CHUNK; i += MEANS_THREADS) {
        int64_t r = (int64_t)c * MEANS_CHUNK + i;
        if (r < a.n) sum += (double)a.closest[(int64_t)s * a.n + r];
    }
    sum = pair_block_sum(sum, part);
    if (threadIdx.x == 0) a.mass[(int64_t)s * a.chunks + c] = sum;
}

/* The first row where the running sum exceeds draw * whole. */
DEV_FN int means_find(const struct means_seed *a, int s, double draw)
{
    const double *mass = a->mass + (int64_t)s * a->chunks;
    const float *closest = a->closest + (int64_t)s * a->n;
    double whole = 0.0, sum = 0.0;
    int c = 0;
    for (int i = 0; i < a->chunks; i++) whole += mass[i];
    while (c < a->chunks - 1 && sum + mass[c] <= draw * whole) sum += mass[c++];
    for (int64_t r = (int64_t)c * MEANS_CHUNK; r < a->n; r++) {
        sum += (double)closest[r];
        if (sum > draw * whole) return (int)r;
    }
    return a->n - 1;
}

DEV_KERNEL(means_draw, struct means_seed, a, MEANS_THREADS)
{
    int s = (int)blockIdx.x;
    const double *draw = a.draw + (int64_t)s * a.tries;
    for (int c = (int)threadIdx.x; c < a.tries; c += MEANS_THREADS)
        a.drawn[s * a.tries + c] =
            *a.first ? (int)(draw[0] * (double)a.n) : means_find(&a, s, draw[c]);
}

/* 64 rows against 64 candidates, of whichever start. */
DEV_KERNEL(means_try, struct means_seed, a, MEANS_THREADS)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    DEV_SHARED(int, row, MEANS_TILE);
    DEV_SHARED(int, candidate, MEANS_TILE);
    DEV_SHARED(double, part, 16 * MEANS_TILE);
    int t = (int)threadIdx.x, all = a.starts * a.tries, c0 = (int)blockIdx.y * MEANS_TILE;
    int first = (int)blockIdx.x * MEANS_TILE;
    float d2[16];
    pair_rows(row, first, a.n);
    if (t < MEANS_TILE) candidate[t] = c0 + t < all ? a.drawn[c0 + t] : -1;
    pair_d2(a.x, row, a.x, candidate, a.d, sa, sb, d2);
    DEV_UNROLL
    for (int j = 0; j < 4; j++) {
        int c = c0 + PAIR_OTHER + j;
        double sum = 0.0;
        DEV_UNROLL
        for (int i = 0; i < 4; i++) {
            int r = first + PAIR_OWN + i;
            if (r >= a.n || c >= all) continue;
            float v = d2[4 * i + j];
            if (!*a.first) v = dev_min(v, a.closest[(int64_t)(c / a.tries) * a.n + r]);
            sum += (double)v;
        }
        part[t / 16 * MEANS_TILE + PAIR_OTHER + j] = sum;
    }
    dev_sync();
    if (t >= MEANS_TILE || c0 + t >= all) return;
    double sum = 0.0;
    for (int i = 0; i < 16; i++) sum += part[i * MEANS_TILE + t];
    a.tried[(int64_t)blockIdx.x * all + c0 + t] = sum;
}

DEV_KERNEL(means_choose, struct means_seed, a, MEANS_THREADS)
{
    DEV_SHARED(double, part, PAIR_WARPS);
    int s = (int)blockIdx.x, all = a.starts * a.tries, best = 0;
    double least = 0.0;
    for (int c = 0; c < (*a.first ? 1 : a.tries); c++) {
        double sum = 0.0;
        for (int i = (int)threadIdx.x; i < a.tiles; i += MEANS_THREADS)
            sum += a.tried[(int64_t)i * all + s * a.tries + c];
        sum = pair_block_sum(sum, part);
        if (c > 0 && sum >= least) continue;
        least = sum;
        best = c;
    }
    if (threadIdx.x != 0) return;
    a.chosen[s] = a.drawn[s * a.tries + best];
    a.potential[s] = least;
}

/* closest is made in f64, so that it is the CPU's to a rounding of f32, and draws hit the same. */
DEV_KERNEL(means_keep, struct means_seed, a, MEANS_THREADS)
{
    int64_t r = (int64_t)blockIdx.x * MEANS_WARPS + dev_warp();
    if (r >= a.n) return;
    for (int s = 0; s < a.starts; s++) {
        float *at = a.closest + (int64_t)s * a.n + r;
        float d2 = (float)pair_warp(a.x + r * a.d, a.x + (int64_t)a.chosen[s] * a.d, a.d);
        if (dev_lane() == 0) *at = *a.first ? d2 : dev_min(d2, *at);
    }
}

/* ---- spread ---- */

DEV_KERNEL(means_away, struct means_spread, a, MEANS_THREADS)
{
    int64_t r = (int64_t)blockIdx.x * MEANS_WARPS + dev_warp();
    if (r >= a.n) return;
    int k = a.label[r];
    double d2 = 0.0;
    if (k >= 0) d2 = pair_warp(a.x + r * a.d, a.centre + (int64_t)k * a.d, a.d);
    if (dev_lane() != 0) return;
    a.away[r] = d2;
    if (a.d2) a.d2[r] = (float)d2;
}

/* A block for each cluster goes through all labels: no atomics, so always the same order. */
DEV_KERNEL(means_spread, struct means_spread, a, MEANS_THREADS)
{
    DEV_SHARED(double, part, PAIR_WARPS);
    int k = (int)blockIdx.x;
    double square = 0.0, plain = 0.0;
    for (int r = (int)threadIdx.x; r < a.n; r += MEANS_THREADS) {
        if (a.label[r] != k) continue;
        square += a.away[r];
        plain += dev_sqrt64(a.away[r]);
    }
    square = pair_block_sum(square, part);
    plain = pair_block_sum(plain, part);
    if (threadIdx.x != 0) return;
    a.sums[2 * k] = square;
    a.sums[2 * k + 1] = plain;
}
