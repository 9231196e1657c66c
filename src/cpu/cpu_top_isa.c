/* nearest: the product of queries and base fused with the choice of the best, so that no matrix of
 * products exists.
 *
 *     base in i8 (made by prepare): 48 rows
 *       x 8 queries in i8 at a time -> 8 x 48 products in L1 (AMX: 32 x 32), each within a known
 * error
 *       -> those that may be above the query's worst -> their product in f32 -> its list
 *
 * Every member has a list for every query; at the end the lists are merged, each member its
 * queries. Shares end where groups do. A product that is not above the worst of a full list cannot
 * enter it, whatever else its group has, so nearly all of them cost one comparison in i8.
 *
 * The error, with q' and b' what the quantised ones stand for: q b - q' b' = (q - q') b + q' (b -
 * b'), so at most |q - q'| |b| + |q'| |b - b'|. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_tile.h"
#if defined __AMX_INT8__
#include "cpu/cpu_amx.h"
#define QUERIES (2 * AMX_ROWS)
#define ROWS    (2 * AMX_ROWS)
#else
#define QUERIES TILE_ROWS
#define ROWS    TILE_COLS
#endif

struct best { /* of one query: its list, and the group at hand */
    float *product;
    int32_t *row; /* [top], falling; -1: free */
    int32_t pending;
    float pending_product;
};

_Static_assert(sizeof(struct best) <= 32, "fast_top_layout has 32 bytes for each");

struct search {
    const float *query, *base;
    const struct fast_base *i8;
    const int32_t *group;
    int64_t q_count, c_count;
    int top;
    char *scratch; /* of the team, see fast_top_layout */
    struct fast_top m;
};

static struct best best_of(const struct search *s, int id, int64_t q)
{
    float *list = (float *)(s->scratch + (size_t)id * s->m.part + s->m.lists) + q * 2 * s->top;
    return (struct best){.product = list, .row = (int32_t *)(list + s->top), .pending = -1};
}

/* x of row r into the list, behind equals of lower rows. */
static void enter(const struct best *b, int top, int32_t r, float x)
{
    int at = top;
    while (at > 0 && (b->row[at - 1] < 0 || x > b->product[at - 1] ||
                      (x == b->product[at - 1] && r < b->row[at - 1])))
        at--;
    if (at == top) return;
    memmove(b->row + at + 1, b->row + at, (size_t)(top - 1 - at) * sizeof *b->row);
    memmove(b->product + at + 1, b->product + at, (size_t)(top - 1 - at) * sizeof *b->product);
    b->row[at] = r;
    b->product[at] = x;
}

/* What the team knows of a query in i8. */
struct narrow {
    float scale;     /* what a step is worth */
    float off, norm; /* |q - q'| and what rounding may add; |q'| */
};

static quant_t *narrow_of(const struct search *s, int64_t q, struct narrow **about)
{
    char *at = s->scratch + s->m.shared + (size_t)q * s->m.narrow;
    *about = (struct narrow *)at;
    return (quant_t *)(at + BASE_LINE);
}

static void narrow_query(const struct search *s, int64_t q)
{
    struct narrow *n;
    quant_t *out = narrow_of(s, q, &n);
    int8_t *plain = (int8_t *)out + s->m.narrow - BASE_LINE - s->m.plain; /* behind out */
    const float *x = s->query + q * s->c_count;
    double off = 0, norm = 0, size = 0;
    n->scale = cpu_pack_to_i8(x, s->c_count, plain);
    for (int64_t c = 0; c < s->c_count; c++) {
        double y = (double)plain[c] * (double)n->scale, d = (double)x[c] - y;
        off += d * d;
        norm += y * y;
        size += (double)x[c] * (double)x[c];
        out[c] = (quant_t)(plain[c] + QUANT_SHIFT);
    }
    for (int64_t c = s->c_count; c < ALIGN_UP(s->c_count, 4); c++) out[c] = 0;
    /* each of the K sums of the product in f32, and of few more here, may be off by 2^-24 */
    n->off =
        (float)(__builtin_sqrt(off) + __builtin_sqrt(size) * (double)(s->c_count + 8) * 0x1p-23);
    n->norm = (float)__builtin_sqrt(norm) * 1.00001f;
}

static float product_of(const float *x, const float *y, int64_t n)
{
    vf sum[4] = {vf_all(0), vf_all(0), vf_all(0), vf_all(0)};
    int64_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W)
        for (int k = 0; k < 4; k++)
            sum[k] = vf_load(x + i + k * W) * vf_load(y + i + k * W) + sum[k];
    for (; i < n; i += W) sum[0] = vf_load_n(x + i, n - i) * vf_load_n(y + i, n - i) + sum[0];
    return vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* Row r's product with query q, into the group at hand or, that of the one before, into the list.
 */
static void take(const struct search *s, int64_t q, struct best *b, int32_t r)
{
    float worst = b->row[s->top - 1] < 0 ? -__builtin_inff() : b->product[s->top - 1];
    float x = product_of(s->query + q * s->c_count, s->base + r * s->c_count, s->c_count);
    if (!(x > worst)) return;
    if (b->pending >= 0 && s->group[b->pending] == s->group[r]) {
        if (x > b->pending_product) b->pending = r, b->pending_product = x;
        return;
    }
    if (b->pending >= 0) enter(b, s->top, b->pending, b->pending_product);
    b->pending = r;
    b->pending_product = x;
}

/* ROWS sums of query q with the base's rows from `row` on, of which those in [from, to) count. */
static void choose(const struct search *s, int64_t q, struct best *b, const int32_t *sum,
                   int64_t row, int64_t from, int64_t to)
{
    const struct fast_base *i8 = s->i8;
    struct narrow *n;
    narrow_of(s, q, &n);
    float worst = b->row[s->top - 1] < 0 ? -__builtin_inff() : b->product[s->top - 1];
    vi out[ROWS / W]; /* lanes of rows that are surely not above it; not so of NaN */
    int64_t columns = MIN(ROWS, ALIGN_UP(to - row, CPU_PANEL));
    for (int64_t i = 0; i < columns; i += W) {
        vi comp = QUANT_SHIFT ? vi_load(i8->comp + row + i) : vi_all(0);
        vf x = vf_of_vi(vi_load(sum + i) - comp) * (vf_load(i8->scale + row + i) * n->scale);
        x += vf_load(i8->norm + row + i) * n->off + vf_load(i8->off + row + i) * n->norm;
        out[i / W] = (vi)(x <= vf_all(worst));
    }
    for (int64_t i = 0; i < columns; i += W) {
        if (!vi_any(~out[i / W])) continue;
        for (int64_t r = MAX(row + i, from); r < MIN(row + i + W, to); r++)
            if (!out[i / W][r - row - i]) take(s, q, b, (int32_t)r);
    }
}

/* sums [QUERIES][ROWS], rows 48 apart, of narrow queries, `line` apart, and panels of the base. */
static void multiply(const struct search *s, const quant_t *a, int64_t line, const int8_t *b,
                     int64_t panels, int64_t queries, int32_t *sums)
{
    int64_t quads = (s->c_count + 3) / 4, panel = quads * 4 * CPU_PANEL;
#if defined __AMX_INT8__
    amx_i8(queries > AMX_ROWS, panels > 1, a, line, b, panel, quads, b, 0, sums, TILE_COLS);
#else
    (void)queries;
    if (panels == TILE_PANELS) {
        tile_i8(a, line, b, panel, quads, sums);
        return;
    }
    for (int64_t i = 0; i < panels; i++)
        tile_few_i8(TILE_ROWS, a, line, b + i * panel, quads, sums + i * CPU_PANEL, TILE_COLS);
#endif
}

/* All queries against rows [from, to) of the base. */
static void search_rows(const struct search *s, int id, int64_t from, int64_t to)
{
    char *part = s->scratch + (size_t)id * s->m.part;
    int32_t *sums = (int32_t *)(part + s->m.sums);
    struct best *best = (struct best *)(part + s->m.best);
    struct narrow *about;
    int64_t panel = ALIGN_UP(s->c_count, 4) * CPU_PANEL;
    int64_t line = (int64_t)(s->m.narrow / sizeof(quant_t));
    for (int64_t q = 0; q < s->q_count; q++) {
        best[q] = best_of(s, id, q);
        for (int i = 0; i < s->top; i++)
            best[q].row[i] = -1, best[q].product[i] = -__builtin_inff();
    }
#if defined __AMX_INT8__
    amx_begin();
#endif
    for (int64_t row = from / CPU_PANEL * CPU_PANEL; row < to; row += ROWS) {
        const int8_t *b = s->i8->data + row / CPU_PANEL * panel;
        int64_t panels = MIN(ROWS, to - row + CPU_PANEL - 1) / CPU_PANEL;
        for (int64_t q = 0; q < s->q_count; q += QUERIES) {
            const quant_t *a = narrow_of(s, q, &about); /* rows after the last one are room */
            int64_t queries = MIN(QUERIES, s->q_count - q);
            multiply(s, a, line, b, panels, queries, sums);
            for (int64_t i = 0; i < queries; i++)
                choose(s, q + i, &best[q + i], sums + i * TILE_COLS, row, from, to);
        }
    }
#if defined __AMX_INT8__
    amx_end();
#endif
    for (int64_t q = 0; q < s->q_count; q++)
        if (best[q].pending >= 0) enter(&best[q], s->top, best[q].pending, best[q].pending_product);
}

/* Where the group that row n is in the middle of ends. */
static int64_t group_end(const int32_t *group, int64_t n, int64_t n_count)
{
    while (n > 0 && n < n_count && group[n] == group[n - 1]) n++;
    return n;
}

int ISA_NAME(cpu_top_nearest)(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *base = s->in[1];
    int64_t n_count = base->plan->dim[0], from, to;
    int top = s->step->args.top;
    struct search x = {.query = s->in[0]->data,
                       .base = base->data,
                       .i8 = s->own,
                       .group = s->in[2]->data,
                       .q_count = s->in[0]->rows,
                       .c_count = base->plan->dim[1],
                       .top = top,
                       .scratch = s->scratch};
    x.m = fast_top_layout(s->in[0]->plan->dim[0], x.c_count, top, s->threads);
    thread_share(team, id, x.q_count, 1, &from, &to);
    for (int64_t q = from; q < to; q++) narrow_query(&x, q);
    thread_barrier(team);
    thread_share(team, id, n_count, TILE_COLS, &from, &to);
    search_rows(&x, id, group_end(x.group, from, n_count), group_end(x.group, to, n_count));
    thread_barrier(team);
    thread_share(team, id, x.q_count, 1, &from, &to);
    for (int64_t q = from; q < to; q++) {
        struct best out = {.product = (float *)s->out[1]->data + q * top,
                           .row = (int32_t *)s->out[0]->data + q * top};
        struct best first = best_of(&x, 0, q);
        memcpy(out.row, first.row, (size_t)top * sizeof *out.row);
        memcpy(out.product, first.product, (size_t)top * sizeof *out.product);
        for (int i = 1; i < team->n; i++) {
            struct best more = best_of(&x, i, q);
            for (int k = 0; k < top && more.row[k] >= 0; k++)
                enter(&out, top, more.row[k], more.product[k]);
        }
    }
    return 0;
}
