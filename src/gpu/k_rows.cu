/* pool and nearest; see k_rows.h. */
#include "gpu/dev.h"
#include "gpu/k_rows.h"

/* A block for each range, a thread for each channel: the sums are in the order of the rows, so a
 * sequence's mean is the same wherever it lies. */
DEV_KERNEL(rows_pool, struct rows_pool, a, ROWS_POOL_THREADS)
{
    DEV_SHARED(float, part, ROWS_POOL_THREADS / 32);
    int i = (int)blockIdx.x;
    if (i >= (a.live ? *a.live : a.ranges)) return;
    const float *x = a.x + (int64_t)a.range[2 * i] * a.width;
    float *y = a.y + (int64_t)i * a.width, square = 0.0f;
    int rows = a.first ? 1 : a.range[2 * i + 1];
    for (int c = (int)threadIdx.x; c < a.width; c += ROWS_POOL_THREADS) {
        float sum = 0.0f;
        for (int r = 0; r < rows; r++) sum += x[(int64_t)r * a.width + c];
        y[c] = sum / (float)rows;
        square = dev_fma(y[c], y[c], square);
    }
    if (!a.unit) return;
    square = dev_sum_f32(square);
    if (dev_lane() == 0) part[dev_warp()] = square;
    dev_sync();
    float length = 0.0f;
    DEV_UNROLL for (int w = 0; w < ROWS_POOL_THREADS / 32; w++) length += part[w];
    length = dev_max(dev_sqrt(length), 1e-12f);
    for (int c = (int)threadIdx.x; c < a.width; c += ROWS_POOL_THREADS) y[c] /= length;
}

/* ---- nearest ---- */

#define ROWS_K    16           /* channels in shared memory at a time */
#define ROWS_LD   (ROWS_K + 1) /* so that neighbouring rows lie in different banks */
#define ROWS_NONE 0x7fffffff

/* What is best so far: a larger product, of equals the lower row. */
struct rows_best {
    float product;
    int row; /* ROWS_NONE: nothing */
};

DEV_FN struct rows_best rows_better(struct rows_best a, float product, int row)
{
    struct rows_best b = {product, row};
    if (row == ROWS_NONE) return a;
    if (a.row == ROWS_NONE || product > a.product) return b;
    return product == a.product && row < a.row ? b : a;
}

/* The best of a warp's lanes. */
DEV_FN struct rows_best rows_warp(struct rows_best a)
{
    for (int i = 16; i > 0; i >>= 1) {
        float product = dev_shfl_xor_f32(a.product, i);
        a = rows_better(a, product, dev_shfl_xor_i32(a.row, i));
    }
    return a;
}

/* Channels [k0, k0 + ROWS_K) of this block's rows of base and of its queries, the latter turned. */
DEV_FN void rows_fill(const struct rows_nearest *a, int k0, int live, float *base, float *query)
{
    int t = (int)threadIdx.x, k = t % ROWS_K, n0 = (int)blockIdx.x * ROWS_CHUNK;
    int q = (int)blockIdx.y * ROWS_QUERIES + t / ROWS_K;
    for (int row = t / ROWS_K; row < ROWS_CHUNK; row += ROWS_CHUNK / ROWS_K) {
        int exists = n0 + row < a->n && k0 + k < a->width;
        base[row * ROWS_LD + k] = exists ? a->base[(int64_t)(n0 + row) * a->width + k0 + k] : 0.0f;
    }
    query[k * ROWS_QUERIES + t / ROWS_K] =
        q < live && k0 + k < a->width ? a->query[(int64_t)q * a->width + k0 + k] : 0.0f;
}

/* Whether no other row of this chunk is of r's group and better. */
DEV_FN int rows_leads(const float *product, const int *group, int rows, int r)
{
    for (int u = r - 1; u >= 0 && group[u] == group[r]; u--)
        if (product[u] >= product[r]) return 0;
    for (int u = r + 1; u < rows && group[u] == group[r]; u++)
        if (product[u] > product[r]) return 0;
    return 1;
}

/* The best of a chunk for query q, one of each group, by a warp. */
DEV_FN void rows_choose(const struct rows_nearest *a, const float *product, const int *group, int q)
{
    int n0 = (int)blockIdx.x * ROWS_CHUNK, lane = dev_lane();
    int rows = a->n - n0 < ROWS_CHUNK ? a->n - n0 : ROWS_CHUNK;
    int64_t to = ((int64_t)q * a->chunks + (int)blockIdx.x) * a->keep;
    unsigned left = 0; /* bit i: row 32 i + lane is to be had */
    for (int r = lane; r < rows; r += 32)
        if (rows_leads(product, group, rows, r)) left |= 1u << (r / 32);
    for (int j = 0; j < a->keep; j++) {
        struct rows_best best = {-DEV_INF, ROWS_NONE};
        for (int r = lane; r < rows; r += 32)
            if (left >> (r / 32) & 1) best = rows_better(best, product[r], r);
        best = rows_warp(best);
        if (best.row != ROWS_NONE && best.row % 32 == lane) left &= ~(1u << (best.row / 32));
        if (lane != 0) continue;
        a->part[to + j] = best.product;
        a->part_row[to + j] = best.row == ROWS_NONE ? -1 : n0 + best.row;
    }
}

/* A thread for each row of the chunk multiplies it by all queries of the block; then a warp takes a
 * query's products. None of them is ever in memory but the best. */
DEV_KERNEL(rows_nearest_part, struct rows_nearest, a, ROWS_CHUNK)
{
    DEV_SHARED(float, product, ROWS_QUERIES *ROWS_CHUNK);
    DEV_SHARED(float, base, ROWS_CHUNK *ROWS_LD);
    DEV_SHARED(float, query, ROWS_K *ROWS_QUERIES);
    DEV_SHARED(int, group, ROWS_CHUNK);
    int t = (int)threadIdx.x, q0 = (int)blockIdx.y * ROWS_QUERIES;
    int n = (int)blockIdx.x * ROWS_CHUNK + t, live = a.live ? *a.live : a.queries;
    float sum[ROWS_QUERIES];
    if (q0 >= live) return;
    DEV_UNROLL for (int i = 0; i < ROWS_QUERIES; i++) sum[i] = 0.0f;
    for (int k0 = 0; k0 < a.width; k0 += ROWS_K) {
        dev_sync();
        rows_fill(&a, k0, live, base, query);
        dev_sync();
        for (int k = 0; k < ROWS_K; k++) {
            float x = base[t * ROWS_LD + k];
            DEV_UNROLL for (int i = 0; i < ROWS_QUERIES; i++) sum[i] =
                dev_fma(query[k * ROWS_QUERIES + i], x, sum[i]);
        }
    }
    DEV_UNROLL for (int i = 0; i < ROWS_QUERIES; i++) product[i * ROWS_CHUNK + t] = sum[i];
    group[t] = n < a.n ? a.group[n] : 0;
    dev_sync();
    for (int i = dev_warp(); i < ROWS_QUERIES && q0 + i < live; i += ROWS_CHUNK / 32)
        rows_choose(&a, product + i * ROWS_CHUNK, group, q0 + i);
}

/* The best that this thread's chunks of query q still have; *chunk: whose it is. */
DEV_FN struct rows_best rows_look(const struct rows_nearest *a, int q, int *chunk)
{
    struct rows_best best = {-DEV_INF, ROWS_NONE};
    for (int c = (int)threadIdx.x; c < a->chunks; c += ROWS_CHUNK) {
        int64_t list = (int64_t)q * a->chunks + c, at = list * a->keep + a->head[list];
        if (a->head[list] == a->keep || a->part_row[at] < 0) continue;
        best = rows_better(best, a->part[at], a->part_row[at]);
        if (best.row == a->part_row[at]) *chunk = c;
    }
    return best;
}

/* Whether the group of `row` is among the n chosen: it may lie in several chunks. By a block;
 * `met` [warps] is shared. */
DEV_FN int rows_chosen(const struct rows_nearest *a, const int *chosen, int n, int row, int *met)
{
    int mine = 0, any = 0;
    for (int i = (int)threadIdx.x; i < n; i += ROWS_CHUNK)
        mine |= a->group[chosen[i]] == a->group[row];
    mine = dev_any(mine);
    if (dev_lane() == 0) met[dev_warp()] = mine;
    dev_sync();
    DEV_UNROLL for (int w = 0; w < ROWS_CHUNK / 32; w++) any |= met[w];
    return any;
}

/* From the best of each chunk to the best of all, one after the other. */
DEV_KERNEL(rows_nearest_all, struct rows_nearest, a, ROWS_CHUNK)
{
    DEV_SHARED(float, product, ROWS_CHUNK / 32);
    DEV_SHARED(int, row, ROWS_CHUNK / 32);
    DEV_SHARED(int, met, ROWS_CHUNK / 32);
    int q = (int)blockIdx.x, t = (int)threadIdx.x, chunk = 0, n = 0;
    if (q >= (a.live ? *a.live : a.queries)) return;
    int *to = a.row + (int64_t)q * a.top;
    float *to_product = a.product + (int64_t)q * a.top;
    for (int c = t; c < a.chunks; c += ROWS_CHUNK) a.head[(int64_t)q * a.chunks + c] = 0;
    struct rows_best mine = rows_look(&a, q, &chunk);
    while (n < a.top) {
        struct rows_best best = rows_warp(mine);
        if (dev_lane() == 0) product[dev_warp()] = best.product, row[dev_warp()] = best.row;
        dev_sync();
        DEV_UNROLL for (int w = 0; w < ROWS_CHUNK / 32; w++) best =
            rows_better(best, product[w], row[w]);
        if (best.row == ROWS_NONE) break;
        int known = rows_chosen(&a, to, n, best.row, met);
        if (!known && t == 0) to[n] = best.row, to_product[n] = best.product;
        n += !known;
        if (mine.row != best.row) continue;
        a.head[(int64_t)q * a.chunks + chunk]++;
        mine = rows_look(&a, q, &chunk);
    }
    for (int i = n + t; i < a.top; i += ROWS_CHUNK) to[i] = -1, to_product[i] = -DEV_INF;
}
