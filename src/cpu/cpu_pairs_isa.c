/* Rows against rows: nearest neighbours (near) and silhouettes (apart). Tiles of products, as in
 * cpu_rows_isa.c; no matrix of rows times rows exists. See op.def and cpu.h. */
#define ROWS_ISA
#include "cpu/cpu_rows.h"
#include <math.h>
#include <stdatomic.h>

/* ---- near ------------------------------------------------------------------------------------ */

struct near {
    const float *x;
    int64_t n, d;
    int most;
    int32_t *index;
    float *d2;
    double *best; /* [ROWS_NEAR][most] of the member: the same in f64 */
    float *panel, *c, *room;
};

/* Column j may belong to the nearest of row i: f64 decides. Equals stay behind those before them,
 * which have lower numbers. */
static void near_insert(const struct near *t, double *best, int64_t i, int64_t j)
{
    double d2 = j == i ? -1 : rows_apart(t->x + i * t->d, t->x + j * t->d, t->d);
    int32_t *index = t->index + i * t->most;
    int at = t->most - 1;
    if (!(d2 < best[at])) return;
    for (; at > 0 && d2 < best[at - 1]; at--) {
        best[at] = best[at - 1];
        index[at] = index[at - 1];
    }
    best[at] = d2;
    index[at] = (int32_t)j;
}

/* 8 rows from i on against 48 columns from j on. */
static void near_tile(const struct near *t, int64_t i, int64_t rows, int64_t j, const float *norm,
                      const float *column)
{
    const float *a = rows_eight(t->x + i * t->d, rows, t->d, t->room);
    int64_t columns = MIN(ROWS_COLS, t->n - j);
    tile_f32(a, t->d, t->panel, CPU_PANEL * t->d, t->d, t->c, ROWS_COLS);
    for (int64_t r = 0; r < rows; r++) {
        double *best = t->best + (i + r) % ROWS_NEAR * t->most;
        float slack = rows_slack(t->d), limit = (float)best[t->most - 1];
        for (int64_t v = 0; v < columns; v += W) {
            vf c = vf_load(column + v), d2 = c - 2 * vf_load(t->c + r * ROWS_COLS + v) + norm[r];
            vi in = d2 - (c + norm[r]) * slack <= vf_all(limit);
            if (!vi_any(in)) continue;
            for (int64_t k = 0; k < MIN(W, columns - v); k++)
                if (in[k]) near_insert(t, best, i + r, j + v + k);
        }
    }
}

int ISA_NAME(cpu_pairs_near)(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct near t = {.x = s->in[0]->data, .most = s->step->args.top};
    struct rows_near m = rows_near_layout(s->in[0]->plan->dim[1], s->step->args.top);
    t.n = s->in[0]->plan->dim[0];
    t.d = s->in[0]->plan->dim[1];
    t.index = s->out[0]->data;
    t.d2 = s->out[1]->data;
    char *at = (char *)s->scratch + (size_t)id * m.bytes;
    t.best = (double *)at;
    t.panel = (float *)(at + m.panel);
    t.c = (float *)(at + m.c);
    t.room = t.c + ROWS_TILE * ROWS_COLS;
    float column[ROWS_COLS], norm[ROWS_NEAR];
    int64_t from, to;
    thread_share(team, id, t.n, ROWS_TILE, &from, &to);
    for (int64_t block = from; block < to; block += ROWS_NEAR) {
        int64_t rows = MIN(ROWS_NEAR, to - block);
        for (int64_t i = block; i < block + rows; i++) {
            norm[i - block] = rows_dot(t.x + i * t.d, t.x + i * t.d, t.d);
            double *best = t.best + i % ROWS_NEAR * t.most;
            for (int k = 0; k < t.most; k++) best[k] = INFINITY;
        }
        for (int64_t j = 0; j < t.n; j += ROWS_COLS) {
            for (int64_t p = 0; p < ROWS_COLS; p += CPU_PANEL) {
                int32_t index[CPU_PANEL];
                for (int k = 0; k < CPU_PANEL; k++) index[k] = (int32_t)(j + p + k);
                rows_pack(t.x, index, t.n - j - p, t.d, t.panel + p * t.d);
            }
            for (int64_t k = 0; k < ROWS_COLS; k++)
                column[k] = j + k < t.n ? rows_dot(t.x + (j + k) * t.d, t.x + (j + k) * t.d, t.d)
                                        : INFINITY;
            for (int64_t i = 0; i < rows; i += ROWS_TILE)
                near_tile(&t, block + i, MIN(ROWS_TILE, rows - i), j, norm + i, column);
        }
        for (int64_t i = block; i < block + rows; i++)
            for (int k = 0; k < t.most; k++)
                t.d2[i * t.most + k] = (float)fmax(t.best[i % ROWS_NEAR * t.most + k], 0);
    }
    return 0;
}

/* ---- apart ----------------------------------------------------------------------------------- */

/* Rows are taken in the order of their labels, so that a block of rows has few labels, and each
 * pair of blocks once: its distances are summed by row and label of the column, and by column and
 * label of the row. The sums of all pairs are whole numbers, which makes them the same in whatever
 * order members add to them. */
struct apart {
    const float *x;
    const int32_t *label;
    int64_t n, d, k, used; /* used: rows that have a label */
    struct rows_apart m;
    _Atomic int64_t *next;
    int32_t *order, *rank, *size; /* rows by label; clusters that have rows, numbered; their rows */
    float *norm;                  /* in that order */
    int64_t *sum;                 /* [n][clusters that have rows] */
    double *scale;                /* of the whole numbers: [0]; how many clusters have rows: [1] */
    float *rows, *panel, *c, *by_row, *by_column; /* of the member */
};

static struct apart apart_open(const struct cpu_step *s, int id)
{
    struct apart t = {.x = s->in[0]->data, .label = s->in[1]->data, .k = s->step->args.top};
    char *at = s->scratch;
    t.n = s->in[0]->plan->dim[0];
    t.d = s->in[0]->plan->dim[1];
    t.m = rows_apart_layout(t.n, t.d, t.k, s->threads);
    t.next = (_Atomic int64_t *)at;
    t.scale = (double *)(at + 64);
    t.order = (int32_t *)(at + t.m.order);
    t.rank = (int32_t *)(at + t.m.rank);
    t.size = t.rank + t.k;
    t.norm = (float *)(at + t.m.norm);
    t.sum = (int64_t *)(at + t.m.sum);
    at += t.m.parts + (size_t)id * t.m.part;
    t.rows = (float *)at;
    t.panel = (float *)(at + t.m.panel);
    t.c = (float *)(at + t.m.c);
    t.by_row = (float *)(at + t.m.by_row);
    t.by_column = (float *)(at + t.m.by_column);
    return t;
}

/* Rows by label, norms, and the clusters that have rows. By one member. */
static void apart_order(struct apart *t)
{
    int32_t *at = t->size + t->k; /* where a label's next row goes */
    float most = 0;
    int64_t used = 0, clusters = 0;
    for (int64_t k = 0; k < t->k; k++) t->size[k] = 0;
    for (int64_t i = 0; i < t->n; i++)
        if (t->label[i] >= 0) t->size[t->label[i]]++;
    for (int64_t k = 0; k < t->k; k++) {
        at[k] = (int32_t)used;
        t->rank[k] = (int32_t)clusters;
        used += t->size[k];
        clusters += t->size[k] > 0;
    }
    for (int64_t i = 0; i < t->n; i++)
        if (t->label[i] >= 0) t->order[at[t->label[i]]++] = (int32_t)i;
    for (int64_t i = 0; i < used; i++) {
        const float *row = t->x + t->order[i] * t->d;
        t->norm[i] = rows_dot(row, row, t->d);
        most = MAX(most, t->norm[i]);
    }
    /* no sum exceeds n times the longest distance, 2 sqrt(most) */
    double longest = 2 * sqrt((double)most) * 1.01 * (double)t->n;
    t->scale[0] = ldexp(1, longest > 0 ? 61 - ilogb(longest) - 1 : 0);
    t->scale[1] = (double)clusters;
    t->scale[2] = (double)used;
}

static int32_t apart_rank(const struct apart *t, int64_t i)
{
    return t->rank[t->label[t->order[i]]];
}

/* Distances of a row to 48 columns, from their products, in place. Where the f32 difference has few
 * digits left, f64 says. */
ISA_INLINE void apart_distances(const struct apart *t, int64_t i, int64_t j, int64_t columns,
                                float *c)
{
    for (int64_t v = 0; v < columns; v += W) {
        vf both = vf_load_n(t->norm + j + v, columns - v) + t->norm[i],
           d2 = both - 2 * vf_load(c + v);
        vi close = d2 < both * 0x1p-8f;
        vf root;
#if defined __AVX512F__
        root = (vf)_mm512_sqrt_ps((__m512)vf_max(d2, vf_all(0)));
#else
        for (int k = 0; k < W; k++) root[k] = sqrtf(d2[k] > 0 ? d2[k] : 0);
#endif
        vf_store(c + v, root);
        if (!vi_any(close)) continue;
        for (int64_t k = 0; k < MIN(W, columns - v); k++)
            if (close[k])
                c[v + k] = (float)sqrt(
                    rows_apart(t->x + t->order[i] * t->d, t->x + t->order[j + v + k] * t->d, t->d));
    }
}

static void apart_add(int64_t *to, double sum, double scale)
{
    __atomic_fetch_add(to, llrint(sum * scale), __ATOMIC_RELAXED);
}

struct run { /* columns of a tile that have one label */
    int64_t from, to, label;
};

/* The runs of `width` columns from j on; labels count from `first`. */
static int apart_runs(const struct apart *t, int64_t j, int64_t width, int32_t first,
                      struct run *run)
{
    int runs = 0;
    for (int64_t k = 0; k < width; k++) {
        int64_t label = apart_rank(t, j + k) - first;
        if (k == 0 || run[runs - 1].label != label) run[runs++] = (struct run){k, k, label};
        run[runs - 1].to = k + 1;
    }
    return runs;
}

/* Rows a.. against columns b.., both in the order of labels. */
static void apart_block(const struct apart *t, int64_t a, int64_t rows, int64_t b, int64_t columns)
{
    int32_t first_row = apart_rank(t, a), first = apart_rank(t, b);
    int64_t labels = apart_rank(t, b + columns - 1) - first + 1;
    int64_t row_labels = apart_rank(t, a + rows - 1) - first_row + 1;
    int64_t clusters = (int64_t)t->scale[1];
    memset(t->by_row, 0, (size_t)(rows * labels) * sizeof(float));
    memset(t->by_column, 0, (size_t)(row_labels * ROWS_APART) * sizeof(float));
    for (int64_t p = 0; p < columns; p += CPU_PANEL)
        rows_pack(t->x, t->order + b + p, columns - p, t->d, t->panel + p * t->d);
    for (int64_t p = 0; p < columns; p += ROWS_COLS) {
        int64_t width = MIN(ROWS_COLS, columns - p);
        struct run run[ROWS_COLS];
        int runs = apart_runs(t, b + p, width, first, run);
        for (int64_t r = 0; r < rows; r += ROWS_TILE) {
            tile_f32(t->rows + r * t->d, t->d, t->panel + p * t->d, CPU_PANEL * t->d, t->d, t->c,
                     ROWS_COLS);
            for (int64_t i = r; i < MIN(rows, r + ROWS_TILE); i++) {
                float *c = t->c + (i - r) * ROWS_COLS;
                float *down = t->by_column + (apart_rank(t, a + i) - first_row) * ROWS_APART + p;
                apart_distances(t, a + i, b + p, width, c);
                for (int64_t k = width; k < ROWS_COLS; k++) c[k] = 0;
                for (int64_t v = 0; v < ROWS_COLS; v += W)
                    vf_store(down + v, vf_load(down + v) + vf_load(c + v));
                for (int n = 0; n < runs; n++) {
                    vf sum = vf_all(0);
                    for (int64_t k = run[n].from; k < run[n].to; k += W)
                        sum += vf_load_n(c + k, run[n].to - k);
                    t->by_row[i * labels + run[n].label] += vf_sum(sum);
                }
            }
        }
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < labels; k++)
            apart_add(t->sum + (a + i) * clusters + first + k, (double)t->by_row[i * labels + k],
                      t->scale[0]);
    for (int64_t k = 0; k < row_labels && a != b; k++)
        for (int64_t j = 0; j < columns; j++)
            apart_add(t->sum + (b + j) * clusters + first_row + k,
                      (double)t->by_column[k * ROWS_APART + j], t->scale[0]);
}

static void apart_pairs(const struct apart *t)
{
    int64_t blocks = (t->used + ROWS_APART - 1) / ROWS_APART, here = -1;
    for (int64_t at; (at = atomic_fetch_add(t->next, 1)) < blocks * (blocks + 1) / 2;) {
        int64_t a = 0;
        for (; at >= blocks - a; a++) at -= blocks - a;
        int64_t from = a * ROWS_APART, rows = MIN(ROWS_APART, t->used - from);
        if (a != here) {
            for (int64_t i = 0; i < ALIGN_UP(rows, ROWS_TILE); i++) {
                if (i < rows)
                    memcpy(t->rows + i * t->d, t->x + t->order[from + i] * t->d,
                           (size_t)t->d * sizeof(float));
                else
                    memset(t->rows + i * t->d, 0, (size_t)t->d * sizeof(float));
            }
        }
        here = a;
        int64_t b = (a + at) * ROWS_APART;
        apart_block(t, from, rows, b, MIN(ROWS_APART, t->used - b));
    }
}

static float apart_silhouette(const struct apart *t, int64_t i)
{
    int64_t clusters = (int64_t)t->scale[1];
    int32_t label = t->label[t->order[i]], own = t->rank[label];
    const int64_t *sum = t->sum + i * clusters;
    if (t->size[label] == 1 || clusters == 1) return 0;
    double a = (double)sum[own] / (t->size[label] - 1), b = INFINITY;
    for (int64_t k = 0; k < t->k; k++)
        if (t->size[k] > 0 && k != label) b = fmin(b, (double)sum[t->rank[k]] / t->size[k]);
    return fmax(a, b) > 0 ? (float)((b - a) / fmax(a, b)) : 0;
}

int ISA_NAME(cpu_pairs_apart)(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct apart t = apart_open(s, id);
    float *out = s->out[0]->data;
    int64_t from, to;
    if (id == 0) {
        *t.next = 0;
        apart_order(&t);
    }
    thread_share(team, id, t.n, 1, &from, &to);
    memset(out + from, 0, (size_t)(to - from) * sizeof *out);
    memset(t.sum + from * t.k, 0, (size_t)((to - from) * t.k) * sizeof *t.sum);
    thread_barrier(team);
    t.used = (int64_t)t.scale[2];
    apart_pairs(&t);
    thread_barrier(team);
    thread_share(team, id, t.used, 1, &from, &to);
    for (int64_t i = from; i < to; i++) out[t.order[i]] = apart_silhouette(&t, i);
    return 0;
}
