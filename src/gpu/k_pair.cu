/* Rows against rows: near, apart and diffuse; see k_pair.h. */
#include "gpu/dev.h"
#include "gpu/k_pair.h"
#include "gpu/k_pair_dev.h"

/* ---- near ---- */

/* Puts (d2, j) into a row's list, which is rising and has `have` entries; later ones of equals
 * come after. By a warp. Returns how many there are now. */
DEV_FN int pair_insert(const struct pair_near *a, int64_t row, int have, double d2, int j)
{
    double *exact = a->exact + row * a->top;
    int *index = a->index + row * a->top, at = 0, last = have < a->top ? have : a->top - 1;
    for (int i = dev_lane(); i < have; i += DEV_WARP) at += exact[i] <= d2;
    at = dev_sum_i32(at);
    if (at >= a->top) return have;
    for (int to = last; to > at; to -= DEV_WARP) { /* entries at .. last - 1 go one up */
        int i = to - dev_lane(), moves = i > at;
        double value = moves ? exact[i - 1] : 0.0;
        int other = moves ? index[i - 1] : 0;
        dev_warp_sync();
        if (moves) exact[i] = value, index[i] = other;
        dev_warp_sync();
    }
    if (dev_lane() == 0) exact[at] = d2, index[at] = j;
    dev_warp_sync();
    return last + 1;
}

/* One row's 64 new candidates, by a warp: in the order of their numbers, exactly. */
DEV_FN int pair_offer(const struct pair_near *a, int64_t row, int have, int j0, const float *d2)
{
    float slack = pair_slack(a->d), tiny = pair_tiny(a->d);
    for (int part = 0; part < PAIR_ROWS; part += DEV_WARP) {
        int j = j0 + part + dev_lane(), may = j < a->n;
        double worst = have < a->top ? 1e300 : a->exact[row * a->top + a->top - 1], own = 0.0;
        float v = d2[part + dev_lane()];
        may = may && (j == row || (double)(v - v * slack - tiny) < worst);
        if (may)
            own = j == row ? -1.0 : pair_exact(a->x + row * a->d, a->x + (int64_t)j * a->d, a->d);
        unsigned left = dev_ballot(may && own < worst);
        while (left) {
            int lane = 0;
            while (!(left >> lane & 1)) lane++;
            left &= left - 1;
            have = pair_insert(a, row, have, dev_shfl_f64(own, lane), j0 + part + lane);
        }
    }
    return have;
}

DEV_KERNEL(pair_near, struct pair_near, a, PAIR_BLOCK)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    DEV_SHARED(float, d2, PAIR_ROWS *(PAIR_ROWS + 1));
    DEV_SHARED(int, row, PAIR_ROWS);
    DEV_SHARED(int, other, PAIR_ROWS);
    DEV_SHARED(int, have, PAIR_ROWS);
    int first = (int)blockIdx.x * PAIR_ROWS;
    float own[16];
    if (threadIdx.x < PAIR_ROWS) have[threadIdx.x] = 0;
    pair_rows(row, first, a.n);
    for (int j0 = 0; j0 < a.n; j0 += PAIR_ROWS) {
        pair_rows(other, j0, a.n);
        pair_d2(a.x, row, a.x, other, a.d, sa, sb, own);
        DEV_UNROLL
        for (int i = 0; i < 16; i++)
            d2[(PAIR_OWN + i / 4) * (PAIR_ROWS + 1) + PAIR_OTHER + i % 4] = own[i];
        dev_sync();
        for (int r = dev_warp(); r < PAIR_ROWS && first + r < a.n; r += PAIR_WARPS) {
            int now = pair_offer(&a, first + r, have[r], j0, d2 + r * (PAIR_ROWS + 1));
            dev_warp_sync();
            if (dev_lane() == 0) have[r] = now;
        }
    }
    for (int r = dev_warp(); r < PAIR_ROWS && first + r < a.n; r += PAIR_WARPS) {
        int64_t at = (int64_t)(first + r) * a.top;
        for (int i = dev_lane(); i < a.top; i += DEV_WARP)
            a.d2[at + i] = i == 0 ? 0.0f : (float)a.exact[at + i];
    }
}

/* ---- apart ---- */

/* A cluster's rows in their order: where they begin is known from counting what comes before. */
DEV_KERNEL(pair_members, struct pair_apart, a, PAIR_BLOCK)
{
    DEV_SHARED(int, part, PAIR_WARPS);
    int k = (int)blockIdx.x, lower = 0, at = 0;
    for (int r = (int)threadIdx.x; r < a.n; r += PAIR_BLOCK)
        lower += a.label[r] >= 0 && a.label[r] < k;
    lower = dev_sum_i32(lower);
    if (dev_lane() == 0) part[dev_warp()] = lower;
    dev_sync();
    for (int i = 0; i < PAIR_WARPS; i++) at += part[i];
    if (threadIdx.x == 0) a.begin[k] = at;
    for (int r0 = 0; r0 < a.n; r0 += PAIR_BLOCK) {
        int r = r0 + (int)threadIdx.x, own = r < a.n && a.label[r] == k, before = 0;
        unsigned mask = dev_ballot(own);
        dev_sync();
        if (dev_lane() == 0) {
            int bits = 0;
            for (unsigned m = mask; m; m &= m - 1) bits++;
            part[dev_warp()] = bits;
        }
        dev_sync();
        for (int i = 0; i < dev_warp(); i++) before += part[i];
        for (int i = 0; i < dev_lane(); i++) before += mask >> i & 1;
        if (own) a.member[at + before] = r;
        for (int i = 0; i < PAIR_WARPS; i++) at += part[i];
    }
    if (threadIdx.x == 0 && k == a.clusters - 1) a.begin[a.clusters] = at;
}

/* Sums of the distances of this thread's four rows to the members [from, to) of a cluster; all 16
 * threads of a row get the whole. */
DEV_FN void pair_sums(const struct pair_apart *a, const int *row, int from, int to, int *other,
                      float *sa, float *sb, double *sum)
{
    float d2[16];
    DEV_UNROLL
    for (int i = 0; i < 4; i++) sum[i] = 0.0;
    for (int m = from; m < to; m += PAIR_ROWS) {
        int t = (int)threadIdx.x;
        if (t < PAIR_ROWS) other[t] = m + t < to ? a->member[m + t] : -1;
        pair_d2(a->x, row, a->x, other, a->d, sa, sb, d2);
        DEV_UNROLL
        for (int i = 0; i < 4; i++) {
            float some = 0.0f;
            DEV_UNROLL
            for (int j = 0; j < 4; j++)
                if (m + PAIR_OTHER + j < to) some += dev_sqrt(d2[4 * i + j]);
            sum[i] += (double)some;
        }
    }
    DEV_UNROLL
    for (int i = 0; i < 4; i++)
        for (int m = 8; m > 0; m >>= 1) sum[i] += dev_shfl_xor_f64(sum[i], m);
}

/* Cluster after cluster: only the own mean and the least of the others are kept. */
DEV_KERNEL(pair_apart, struct pair_apart, a, PAIR_BLOCK)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    DEV_SHARED(int, row, PAIR_ROWS);
    DEV_SHARED(int, other, PAIR_ROWS);
    int first = (int)blockIdx.x * PAIR_ROWS, label[4];
    double mine[4], least[4], sum[4];
    pair_rows(row, first, a.n);
    DEV_UNROLL
    for (int i = 0; i < 4; i++) {
        int r = first + PAIR_OWN + i;
        label[i] = r < a.n ? a.label[r] : -1;
        mine[i] = 0.0;
        least[i] = -1.0; /* none yet */
    }
    for (int k = 0; k < a.clusters; k++) {
        int from = a.begin[k], to = a.begin[k + 1];
        if (from == to) continue;
        pair_sums(&a, row, from, to, other, sa, sb, sum);
        DEV_UNROLL
        for (int i = 0; i < 4; i++) {
            if (label[i] == k)
                mine[i] = to - from > 1 ? sum[i] / (double)(to - from - 1) : -1.0;
            else if (least[i] < 0.0 || sum[i] / (double)(to - from) < least[i])
                least[i] = sum[i] / (double)(to - from);
        }
    }
    if (threadIdx.x % 16 != 0) return;
    DEV_UNROLL
    for (int i = 0; i < 4; i++) {
        int r = first + PAIR_OWN + i;
        double larger = mine[i] > least[i] ? mine[i] : least[i];
        int alone = label[i] < 0 || mine[i] < 0.0 || least[i] < 0.0 || !(larger > 0.0);
        if (r < a.n) a.out[r] = alone ? 0.0f : (float)((least[i] - mine[i]) / larger);
    }
}

/* ---- diffuse ---- */

DEV_KERNEL(pair_diffuse, struct pair_diffuse, a, PAIR_BLOCK)
{
    int64_t i = (int64_t)blockIdx.x * PAIR_BLOCK + threadIdx.x;
    if (i >= (int64_t)a.n * a.b) return;
    const int *column = a.graph + a.n + 1;
    int row = (int)(i / a.b), b = (int)(i % a.b);
    double sum = 0.0, old = 0.0;
    for (int at = a.graph[row]; at < a.graph[row + 1]; at++)
        sum += (double)a.weight[at] * (double)a.v[(int64_t)column[at] * a.b + b];
    if (a.factor[2] != 0.0f) old = (double)a.factor[2] * (double)a.y[i];
    a.y[i] = (float)((double)a.factor[0] * sum + (double)a.factor[1] * (double)a.v[i] + old);
}
