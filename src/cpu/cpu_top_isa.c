/* nearest: the product of queries and base fused with the choice of the best, so that no matrix of
 * products exists.
 *
 *     base: 48 rows of a member's share, turned into panels
 *       x 8 queries at a time -> 8 x 48 products in L1 -> those above the query's worst -> its list
 *
 * Every member has a list for every query; at the end the lists are merged, each member its
 * queries. Shares end where groups do. A product that is not above the worst of a full list cannot
 * enter it, whatever else its group has, so nearly all of them cost one comparison. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_tile.h"

struct best { /* of one query: its list, and the group at hand */
    float *product;
    int32_t *row; /* [top], falling; -1: free */
    int32_t pending;
    float pending_product;
};

_Static_assert(sizeof(struct best) <= 32, "fast_top_layout has 32 bytes for each");

struct search {
    const float *query, *base;
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

/* 48 products of a query with the base's rows from `row` on, of which `columns` count. */
static void choose(const struct search *s, struct best *b, const float *product, int32_t row,
                   int64_t columns)
{
    float worst = b->row[s->top - 1] < 0 ? -__builtin_inff() : b->product[s->top - 1];
    vi above = vi_all(0);
    for (int64_t i = 0; i < TILE_COLS; i += W) above |= (vi)(vf_load(product + i) > vf_all(worst));
    if (!vi_any(above)) return;
    for (int64_t i = 0; i < columns; i++) {
        int32_t r = row + (int32_t)i;
        if (!(product[i] > worst)) continue;
        if (b->pending >= 0 && s->group[b->pending] == s->group[r]) {
            if (product[i] > b->pending_product) b->pending = r, b->pending_product = product[i];
            continue;
        }
        if (b->pending >= 0) enter(b, s->top, b->pending, b->pending_product);
        b->pending = r;
        b->pending_product = product[i];
    }
}

/* 48 rows of the base from `row` on as three panels; those from `end` on are the last one again. */
static void make_panels(const struct search *s, int64_t row, int64_t end, float *panels)
{
    for (int64_t i = 0; i < TILE_COLS; i += W)
        for (int64_t c = 0; c < s->c_count; c += W) {
            vf r[W];
            for (int64_t j = 0; j < W; j++)
                r[j] =
                    vf_load_n(s->base + MIN(row + i + j, end - 1) * s->c_count + c, s->c_count - c);
            vf_transpose(r);
            float *to = panels + i / CPU_PANEL * CPU_PANEL * s->c_count + i % CPU_PANEL;
            for (int64_t j = 0; j < MIN(W, s->c_count - c); j++)
                vf_store(to + (c + j) * CPU_PANEL, r[j]);
        }
}

/* All queries against rows [from, to) of the base. */
static void search_rows(const struct search *s, int id, int64_t from, int64_t to)
{
    char *part = s->scratch + (size_t)id * s->m.part;
    float *panels = (float *)part, *sums = (float *)(part + s->m.sums),
          *few = (float *)(part + s->m.few);
    struct best *best = (struct best *)(part + s->m.best);
    for (int64_t q = 0; q < s->q_count; q++) {
        best[q] = best_of(s, id, q);
        for (int i = 0; i < s->top; i++)
            best[q].row[i] = -1, best[q].product[i] = -__builtin_inff();
    }
    int64_t whole = s->q_count / TILE_ROWS * TILE_ROWS;
    for (int64_t q = whole; q < s->q_count; q++)
        memcpy(few + (q - whole) * s->c_count, s->query + q * s->c_count,
               (size_t)s->c_count * sizeof *few);
    for (int64_t row = from; row < to; row += TILE_COLS) {
        make_panels(s, row, to, panels);
        for (int64_t q = 0; q < s->q_count; q += TILE_ROWS) {
            const float *a = q < whole ? s->query + q * s->c_count : few;
            tile_f32(a, s->c_count, panels, CPU_PANEL * s->c_count, s->c_count, sums, TILE_COLS);
            for (int64_t i = 0; i < MIN(TILE_ROWS, s->q_count - q); i++)
                choose(s, &best[q + i], sums + i * TILE_COLS, (int32_t)row,
                       MIN(TILE_COLS, to - row));
        }
    }
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
                       .group = s->in[2]->data,
                       .q_count = s->in[0]->rows,
                       .c_count = base->plan->dim[1],
                       .top = top,
                       .scratch = s->scratch};
    x.m = fast_top_layout(s->in[0]->plan->dim[0], x.c_count, top);
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
