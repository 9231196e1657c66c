/* DBSCAN; see k_pair.h. Pairs are decided in f32 where its error bound allows, else in f64. They
 * are never kept: counting looks at every pair once, joining only at core rows, and not at tiles
 * whose rows have been joined, touching only at rows that are not core. */
#include "gpu/dev.h"
#include "gpu/k_pair.h"
#include "gpu/k_pair_dev.h"

#define DENSITY_LAST 0x7fffffff

/* Tiles first <= second of the b-th pair: pairs of second 0, of second 1, .. */
DEV_FN void density_tiles(int64_t b, int *first, int *second)
{
    int64_t j = (int64_t)((dev_sqrt64(8.0 * (double)b + 1.0) - 1.0) / 2.0);
    while (j * (j + 1) / 2 > b) j--;
    while ((j + 1) * (j + 2) / 2 <= b) j++;
    *second = (int)j;
    *first = (int)(b - j * (j + 1) / 2);
}

/* Bit 4 i + j: whether rows i and j of this thread's quads are within eps. */
DEV_FN unsigned density_within(const struct pair_density *a, const int *row, const int *other,
                               float *sa, float *sb)
{
    double eps2 = dev_mul64(*a->eps, *a->eps);
    float slack = pair_slack(a->d), tiny = pair_tiny(a->d), d2[16];
    unsigned bits = 0, open = 0;
    pair_d2(a->x, row, a->x, other, a->d, sa, sb, d2);
    DEV_UNROLL
    for (int i = 0; i < 16; i++) {
        float off = d2[i] * slack + tiny;
        int may = (double)(d2[i] - off) <= eps2, must = (double)(d2[i] + off) <= eps2;
        bits |= (unsigned)must << i;
        open |= (unsigned)(may && !must) << i;
    }
    for (int i = 0; i < 16; i++) { /* rows that do not exist are not within anything */
        int r = row[PAIR_OWN + i / 4], o = other[PAIR_OTHER + i % 4];
        if (r < 0 || o < 0) {
            bits &= ~(1u << i);
        } else if (open >> i & 1u) {
            int is = pair_exact(a->x + (int64_t)r * a->d, a->x + (int64_t)o * a->d, a->d) <= eps2;
            bits |= (unsigned)is << i;
        }
    }
    return bits;
}

DEV_KERNEL(density_clear, struct pair_density, a, PAIR_BLOCK)
{
    int i = (int)blockIdx.x * PAIR_BLOCK + (int)threadIdx.x;
    if (i < a.n) a.count[i] = a.touch[i] = 0;
    if (i < 2) a.head[i] = 0;
}

DEV_FN int density_bits(unsigned v)
{
    int n = 0;
    for (; v; v &= v - 1) n++;
    return n;
}

DEV_KERNEL(density_count, struct pair_density, a, PAIR_BLOCK)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    DEV_SHARED(int, row, PAIR_ROWS);
    DEV_SHARED(int, other, PAIR_ROWS);
    DEV_SHARED(int, found, PAIR_ROWS);
    int first, second, t = (int)threadIdx.x;
    density_tiles((int64_t)blockIdx.x, &first, &second);
    pair_rows(row, first * PAIR_ROWS, a.n);
    pair_rows(other, second * PAIR_ROWS, a.n);
    if (t < PAIR_ROWS) found[t] = 0;
    unsigned bits = density_within(&a, row, other, sa, sb);
    DEV_UNROLL
    for (int i = 0; i < 4; i++) {
        int own = density_bits(bits >> 4 * i & 15u), across = density_bits(bits >> i & 0x1111u);
        for (int m = 8; m > 0; m >>= 1) own += dev_shfl_xor_i32(own, m);
        across += dev_shfl_xor_i32(across, 16);
        if (t % 16 == 0 && own) dev_atomic_add_i32(a.count + row[PAIR_OWN + i], own);
        if (dev_lane() < 16 && across) dev_atomic_add_i32(found + PAIR_OTHER + i, across);
    }
    dev_sync();
    if (first != second && t < PAIR_ROWS && found[t])
        dev_atomic_add_i32(a.count + other[t], found[t]);
}

/* Core rows, and those that others may touch. */
DEV_KERNEL(density_list, struct pair_density, a, PAIR_BLOCK)
{
    int i = (int)blockIdx.x * PAIR_BLOCK + (int)threadIdx.x;
    if (i >= a.n) return;
    a.parent[i] = i;
    if (a.count[i] >= a.top)
        a.list[dev_atomic_add_i32(a.head, 1)] = i;
    else if (a.count[i] > 1)
        a.list[a.n - 1 - dev_atomic_add_i32(a.head + 1, 1)] = i;
}

/* The root of a row's tree. What is read may be old, but is an ancestor; way up is halved. */
DEV_FN int density_root(int *parent, int i)
{
    int up = parent[i];
    while (up != i) {
        int over = parent[up];
        if (over != up) parent[i] = over;
        i = up;
        up = over;
    }
    return i;
}

DEV_FN void density_union(int *parent, int i, int j)
{
    for (;;) {
        i = density_root(parent, i);
        j = density_root(parent, j);
        if (i == j) return;
        int high = i > j ? i : j, low = i > j ? j : i;
        int was = (int)dev_atomic_cas_u32(parent + high, high, low);
        if (was == high) return;
        i = was;
        j = low;
    }
}

/* The 64 rows of a tile of the list of core rows. */
DEV_FN void density_core(const struct pair_density *a, int *row, int tile, int core)
{
    int t = (int)threadIdx.x, at = tile * PAIR_ROWS + t;
    if (t < PAIR_ROWS) row[t] = at < core ? a->list[at] : -1;
}

DEV_KERNEL_BLOCKS(density_join, struct pair_density, a, PAIR_BLOCK, 2)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    DEV_SHARED(int, row, PAIR_ROWS);
    DEV_SHARED(int, other, PAIR_ROWS);
    DEV_SHARED(int, apart, 1);
    int first, second, t = (int)threadIdx.x, core = a.head[0];
    density_tiles((int64_t)blockIdx.x, &first, &second);
    if (second * PAIR_ROWS >= core) return;
    density_core(&a, row, first, core);
    density_core(&a, other, second, core);
    if (t == 0) apart[0] = 0;
    dev_sync();
    if (t < 2 * PAIR_ROWS) {
        int own = t < PAIR_ROWS ? row[t] : other[t - PAIR_ROWS];
        if (own >= 0 && density_root(a.parent, own) != density_root(a.parent, row[0]))
            dev_atomic_max_i32(apart, 1);
    }
    dev_sync();
    if (!apart[0]) return;
    unsigned bits = density_within(&a, row, other, sa, sb);
    for (int i = 0; i < 16; i++)
        if (bits >> i & 1u)
            density_union(a.parent, row[PAIR_OWN + i / 4], other[PAIR_OTHER + i % 4]);
}

/* Every row to its root. Each thread writes its own row only: halving another's way, with what was
 * read before that one wrote its root, would leave it with an ancestor. */
DEV_KERNEL(density_flat, struct pair_density, a, PAIR_BLOCK)
{
    int i = (int)blockIdx.x * PAIR_BLOCK + (int)threadIdx.x;
    if (i >= a.n) return;
    int up = a.parent[i], over;
    while ((over = a.parent[up]) != up) up = over;
    a.parent[i] = up;
}

/* Rows that are not core against core rows: the lowest root that touches. */
DEV_KERNEL(density_touch, struct pair_density, a, PAIR_BLOCK)
{
    DEV_SHARED(float, sa, PAIR_SHARED);
    DEV_SHARED(float, sb, PAIR_SHARED);
    DEV_SHARED(int, row, PAIR_ROWS);
    DEV_SHARED(int, other, PAIR_ROWS);
    int t = (int)threadIdx.x, at = (int)blockIdx.x * PAIR_ROWS, core = a.head[0], most[4];
    if (at >= a.head[1]) return;
    if (t < PAIR_ROWS) row[t] = at + t < a.head[1] ? a.list[a.n - 1 - at - t] : -1;
    DEV_UNROLL
    for (int i = 0; i < 4; i++) most[i] = 0;
    for (int tile = (int)blockIdx.y; tile * PAIR_ROWS < core; tile += a.across) {
        dev_sync();
        density_core(&a, other, tile, core);
        unsigned bits = density_within(&a, row, other, sa, sb);
        DEV_UNROLL
        for (int i = 0; i < 16; i++) {
            if (!(bits >> i & 1u)) continue;
            int root = DENSITY_LAST - a.parent[other[PAIR_OTHER + i % 4]];
            most[i / 4] = root > most[i / 4] ? root : most[i / 4];
        }
    }
    dev_sync();
    DEV_UNROLL
    for (int i = 0; i < 4; i++)
        if (most[i]) dev_atomic_max_i32(a.touch + row[PAIR_OWN + i], most[i]);
}

/* Numbers for the roots, in their order. */
DEV_KERNEL(density_number, struct pair_density, a, PAIR_BLOCK)
{
    DEV_SHARED(int, part, PAIR_WARPS);
    int at = 0;
    for (int r0 = 0; r0 < a.n; r0 += PAIR_BLOCK) {
        int r = r0 + (int)threadIdx.x, before = 0;
        int own = r < a.n && a.count[r] >= a.top && a.parent[r] == r;
        unsigned mask = dev_ballot(own);
        dev_sync();
        if (dev_lane() == 0) part[dev_warp()] = density_bits(mask);
        dev_sync();
        for (int i = 0; i < dev_warp(); i++) before += part[i];
        before += density_bits(mask & ((1u << dev_lane()) - 1u));
        if (own) a.name[r] = at + before;
        for (int i = 0; i < PAIR_WARPS; i++) at += part[i];
    }
}

DEV_KERNEL(density_label, struct pair_density, a, PAIR_BLOCK)
{
    int i = (int)blockIdx.x * PAIR_BLOCK + (int)threadIdx.x, root = -1;
    if (i >= a.n) return;
    if (a.count[i] >= a.top)
        root = a.parent[i];
    else if (a.touch[i])
        root = DENSITY_LAST - a.touch[i];
    a.label[i] = root < 0 ? -1 : a.name[root];
}
