/* Eigenvectors: a block of vectors filtered by Chebyshev's polynomials, which grow fastest outside
 * the interval of unwanted eigenvalues, then turned by Rayleigh and Ritz (Zhou, Saad, Tiago,
 * Chelikowsky 2006). A block finds all eigenvectors of one eigenvalue, so graphs in several pieces
 * need no care; the products are of a sparse matrix with many vectors, which memory can feed. */
#include "cluster/spectral.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROUNDS = 60 };
#define STANDS 1e-6 /* eigenvalues moving less: vectors are then right to about a thousandth */
#define GROWTH 1000 /* of the wanted against the unwanted in one round: f32 bears no more */

struct graph {
    int64_t n, edges;
    int32_t *start; /* [n + 1], then columns [edges] */
    float *weight;  /* [edges], normalised: M = D^-1/2 A D^-1/2 */
    double *root;   /* [n] of the degrees */
};

struct block { /* of vectors */
    struct arena *a;
    const struct graph *g;
    struct work w; /* rows: the vectors [n][b] */
    int64_t k, b;
    int graph, weight, factor, p, q, turn, zero, out, inner, outer, matrix, value, vector;
    int x_to_p, x_to_q, p_to_q, q_to_p, square, across, project, eigen;
};

int spectral_plan(struct work *w, const struct spectral_options *o, struct spectral *m,
                  struct err *e)
{
    *m = (struct spectral){.w = w, .o = *o};
    if (o->k < 1 || o->k > w->n)
        return err_set(e, E_INPUT, "%lld clusters of %lld rows; 1 to %lld are possible",
                       (long long)o->k, (long long)w->n, (long long)w->n);
    int64_t j = m->o.neighbours = MIN(o->neighbours, w->n);
    TRY((m->index = work_out(w, "neighbours", DTYPE_I32, WORK_DIMS(w->n, j), e)) < 0);
    TRY((m->d2 = work_out(w, "d2 of neighbours", DTYPE_F32, WORK_DIMS(w->n, j), e)) < 0);
    m->tape = work_tape(w, OP_near, "near", WORK_IDS(w->x), WORK_IDS(m->index, m->d2), (int)j, e);
    return m->tape < 0 ? -1 : 0;
}

/* ---- the graph --------------------------------------------------------------------------------
 */

struct entry {
    int32_t column;
    float weight;
};

static int by_column(const void *x, const void *y)
{
    return ((const struct entry *)x)->column - ((const struct entry *)y)->column;
}

/* (A + A^T) / 2 without the diagonal, then divided by the roots of the degrees. */
static int make_graph(struct spectral *m, struct arena *a, struct graph *g, struct err *e)
{
    int64_t n = m->w->n, j = m->o.neighbours, most = 2 * n * (j - 1);
    const int32_t *index = work_at(m->w, m->index);
    const float *d2 = work_at(m->w, m->d2);
    if (most + n + 1 >= INT32_MAX)
        return err_set(e, E_INPUT, "%lld rows of %lld neighbours are more edges than 2^31",
                       (long long)n, (long long)j);
    *g = (struct graph){.n = n};
    int64_t *begin = ARENA_NEW(a, int64_t, (size_t)(n + 2), e);
    struct entry *entry = ARENA_NEW(a, struct entry, (size_t)MAX(most, 1), e);
    if (!begin || !entry) return -1;
    if (!(g->start = ARENA_NEW(a, int32_t, (size_t)(n + 1 + most), e))) return -1;
    if (!(g->weight = ARENA_NEW(a, float, (size_t)MAX(most, 1), e))) return -1;
    if (!(g->root = ARENA_NEW(a, double, (size_t)n, e))) return -1;
    for (int64_t i = 0; i < n * j; i++) {
        if (index[i] == i / j) continue;
        begin[i / j + 2]++;
        begin[index[i] + 2]++;
    }
    for (int64_t i = 2; i < n + 2; i++) begin[i] += begin[i - 1];
    for (int64_t i = 0; i < n * j; i++) {
        int64_t row = i / j, other = index[i];
        if (row == other) continue;
        float half = m->o.gamma > 0 ? (float)(exp(-m->o.gamma * (double)d2[i]) / 2) : 0.5f;
        entry[begin[row + 1]++] = (struct entry){(int32_t)other, half};
        entry[begin[other + 1]++] = (struct entry){(int32_t)row, half};
    }
    int32_t *column = g->start + n + 1;
    for (int64_t i = 0; i < n; i++) {
        double degree = 0;
        qsort(entry + begin[i], (size_t)(begin[i + 1] - begin[i]), sizeof *entry, by_column);
        for (int64_t at = begin[i]; at < begin[i + 1]; at++) {
            degree += (double)entry[at].weight;
            if (at > begin[i] && entry[at].column == entry[at - 1].column) {
                g->weight[g->edges - 1] += entry[at].weight;
                continue;
            }
            column[g->edges] = entry[at].column;
            g->weight[g->edges++] = entry[at].weight;
        }
        g->start[i + 1] = (int32_t)g->edges;
        g->root[i] = degree > 0 ? sqrt(degree) : 1;
    }
    for (int64_t i = 0; i < n; i++)
        for (int32_t at = g->start[i]; at < g->start[i + 1]; at++)
            g->weight[at] = (float)((double)g->weight[at] / (g->root[i] * g->root[column[at]]));
    return 0;
}

/* ---- the block --------------------------------------------------------------------------------
 */

static int plan_block(struct block *b, struct engine *engine, const struct work_watch *watch,
                      struct err *e)
{
    struct work *w = &b->w;
    int64_t n = b->g->n, m = b->b, edges = MAX(b->g->edges, 1);
    TRY(work_open(b->a, engine, watch, n, m, w, e));
    TRY((b->graph = work_in(w, "graph", DTYPE_I32, WORK_DIMS(n + 1 + edges), e)) < 0);
    TRY((b->weight = work_in(w, "weights", DTYPE_F32, WORK_DIMS(edges), e)) < 0);
    plan_keep(w->plan, b->graph);
    plan_keep(w->plan, b->weight);
    TRY((b->factor = work_in(w, "factor", DTYPE_F32, WORK_DIMS(3), e)) < 0);
    TRY((b->p = work_state(w, "p", DTYPE_F32, WORK_DIMS(n, m), e)) < 0);
    TRY((b->q = work_state(w, "q", DTYPE_F32, WORK_DIMS(n, m), e)) < 0);
    TRY((b->turn = work_in(w, "turn", DTYPE_F32, WORK_DIMS(m, m), e)) < 0);
    TRY((b->zero = work_in(w, "zero", DTYPE_F32, WORK_DIMS(m), e)) < 0);
    TRY((b->out = work_out(w, "turned", DTYPE_F32, WORK_DIMS(n, m), e)) < 0);
    TRY((b->inner = work_out(w, "inner", DTYPE_F64, WORK_DIMS(m, m), e)) < 0);
    TRY((b->outer = work_out(w, "outer", DTYPE_F64, WORK_DIMS(m, m), e)) < 0);
    TRY((b->matrix = work_in(w, "matrix", DTYPE_F64, WORK_DIMS(m, m), e)) < 0);
    TRY((b->value = work_out(w, "values", DTYPE_F64, WORK_DIMS(m), e)) < 0);
    TRY((b->vector = work_out(w, "vectors", DTYPE_F64, WORK_DIMS(m, m), e)) < 0);
    const struct {
        int *tape, from, to;
        const char *name;
    } steps[] = {{&b->x_to_p, w->x, b->p, "x to p"},
                 {&b->x_to_q, w->x, b->q, "x to q"},
                 {&b->p_to_q, b->p, b->q, "p to q"},
                 {&b->q_to_p, b->q, b->p, "q to p"}};
    for (size_t i = 0; i < COUNT(steps); i++) {
        *steps[i].tape = work_tape(w, OP_diffuse, steps[i].name,
                                   WORK_IDS(b->graph, b->weight, steps[i].from, b->factor),
                                   WORK_IDS(steps[i].to), 0, e);
        if (*steps[i].tape < 0) return -1;
    }
    TRY((b->square = work_tape(w, OP_gram, "square", WORK_IDS(b->q), WORK_IDS(b->inner), 0, e)) <
        0);
    TRY((b->across =
             work_tape(w, OP_gram, "across", WORK_IDS(b->q, b->p), WORK_IDS(b->outer), 0, e)) < 0);
    TRY((b->project = work_tape(w, OP_project, "project", WORK_IDS(b->q, b->turn, b->zero),
                                WORK_IDS(b->out), 0, e)) < 0);
    TRY((b->eigen = work_tape(w, OP_eigen, "eigen", WORK_IDS(b->matrix),
                              WORK_IDS(b->value, b->vector), 0, e)) < 0);
    return work_ready(w, e);
}

static void start_block(struct block *b, uint64_t seed)
{
    struct work_random random;
    float *x = work_rows(&b->w);
    memcpy(work_at(&b->w, b->graph), b->g->start,
           (size_t)(b->g->n + 1 + b->g->edges) * sizeof *b->g->start);
    memcpy(work_at(&b->w, b->weight), b->g->weight, (size_t)b->g->edges * sizeof *b->g->weight);
    memset(work_at(&b->w, b->zero), 0, (size_t)b->b * sizeof(float));
    work_seed(&random, seed);
    for (int64_t i = 0; i < b->g->n * b->b; i++)
        x[i] = i % b->b ? (float)(work_draw(&random) - 0.5) : (float)b->g->root[i / b->b];
}

static int diffuse(struct block *b, int tape, double a, double c, double old, struct err *e)
{
    float *factor = work_at(&b->w, b->factor);
    factor[0] = (float)a;
    factor[1] = (float)c;
    factor[2] = (float)old;
    return work_run(&b->w, tape, e);
}

/* q = T(x), T Chebyshev's polynomial that stays within 1 on [-1, cut]. */
static int filter(struct block *b, double cut, struct err *e)
{
    double middle = (cut - 1) / 2, half = (cut + 1) / 2;
    double most = acosh((1 - middle) / half);
    int degree = 2 * (int)fmin(fmax(acosh(GROWTH) / most / 2, 1), 16);
    TRY(diffuse(b, b->x_to_q, 0, 1, 0, e));
    TRY(diffuse(b, b->x_to_p, 1 / half, -middle / half, 0, e));
    for (int i = 2; i <= degree; i++)
        TRY(diffuse(b, i % 2 ? b->q_to_p : b->p_to_q, 2 / half, -2 * middle / half, -1, e));
    return 0;
}

/* The lower factor of a, in place; what is dependent counts as tiny. */
static void factor(double *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (int64_t k = 0; k < j; k++) sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i > j ? sum / a[j * n + j] : sqrt(fmax(sum, 1e-10));
        }
    }
}

/* Solves l y = x for every column of x [n][n], in place. */
static void solve(const double *l, double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < i; k++)
            for (int64_t j = 0; j < n; j++) x[i * n + j] -= l[i * n + k] * x[k * n + j];
        for (int64_t j = 0; j < n; j++) x[i * n + j] /= l[i * n + i];
    }
}

static void transpose(double *a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++) {
            double swap = a[i * n + j];
            a[i * n + j] = a[j * n + i];
            a[j * n + i] = swap;
        }
    }
}

/* Rayleigh and Ritz on q: x becomes the best vectors in its span, value their eigenvalues. */
static int turn_block(struct block *b, double *l, double *scale, struct err *e)
{
    struct work *w = &b->w;
    int64_t m = b->b;
    TRY(diffuse(b, b->q_to_p, 1, 0, 0, e));
    TRY(work_run(w, b->square, e));
    TRY(work_run(w, b->across, e));
    const double *inner = work_at(w, b->inner), *outer = work_at(w, b->outer);
    double *matrix = work_at(w, b->matrix);
    for (int64_t i = 0; i < m; i++) scale[i] = 1 / sqrt(fmax(inner[i * m + i], 1e-300));
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < m; j++) {
            l[i * m + j] = inner[i * m + j] * scale[i] * scale[j];
            matrix[i * m + j] = (outer[i * m + j] + outer[j * m + i]) / 2 * scale[i] * scale[j];
        }
    }
    factor(l, m);
    solve(l, matrix, m); /* matrix = l^-1 H l^-T */
    transpose(matrix, m);
    solve(l, matrix, m);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < i; j++)
            matrix[i * m + j] = matrix[j * m + i] = (matrix[i * m + j] + matrix[j * m + i]) / 2;
    TRY(work_run(w, b->eigen, e));
    /* row r of turn = l^-T vector r, in the scale of q: solved from the last entry up */
    const double *vector = work_at(w, b->vector);
    float *turn = work_at(w, b->turn);
    double *y = scale + m;
    for (int64_t r = 0; r < m; r++) {
        for (int64_t i = m - 1; i >= 0; i--) {
            double sum = vector[r * m + i];
            for (int64_t k = i + 1; k < m; k++) sum -= l[k * m + i] * y[k];
            y[i] = sum / l[i * m + i];
        }
        for (int64_t i = 0; i < m; i++) turn[r * m + i] = (float)(y[i] * scale[i]);
    }
    TRY(work_run(w, b->project, e));
    memcpy(work_rows(w), work_at(w, b->out), (size_t)(b->g->n * m) * sizeof(float));
    return 0;
}

static int find_vectors(struct block *b, int64_t *rounds, struct err *e)
{
    int64_t m = b->b;
    double *l = ARENA_NEW(b->a, double, (size_t)(m * m + 2 * m + b->k), e), *before;
    if (!l) return -1;
    before = l + m * m + 2 * m;
    double cut = -0.5, moved = 1;
    for (*rounds = 0; *rounds < MOST_ROUNDS && moved > STANDS; ++*rounds) {
        TRY(filter(b, cut, e));
        TRY(turn_block(b, l, l + m * m, e));
        const double *value = work_at(&b->w, b->value);
        moved = 0;
        for (int64_t i = 0; i < b->k; i++) {
            moved = fmax(moved, fabs(value[i] - before[i]));
            before[i] = value[i];
        }
        cut = fmin(fmax(value[m - 1], -0.9), 0.9999);
        work_progress(&b->w, "eigenvectors", (double)*rounds, 0);
    }
    work_progress(&b->w, "eigenvectors", -1, 0);
    return 0;
}

/* ---- k-means on the rows of the vectors -------------------------------------------------------
 */

static int cluster_rows(struct spectral *m, struct arena *a, struct block *b, struct work *w,
                        struct spectral_result *out, struct err *e)
{
    struct kmeans_options o = {
        .k = m->o.k, .starts = m->o.starts, .most_steps = 300, .tol = 1e-4, .seed = m->o.seed};
    struct kmeans km;
    struct kmeans_result r = {0};
    int64_t n = m->w->n, k = m->o.k;
    TRY(work_open(a, m->w->engine, m->w->watch, n, k, w, e));
    TRY(kmeans_plan(w, &o, &km, e));
    TRY(work_ready(w, e));
    const float *x = work_seen(&b->w);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++)
            work_rows(w)[i * k + j] = (float)((double)x[i * b->b + j] / b->g->root[i]);
    TRY(kmeans_run(&km, &r, e));
    memcpy(out->label, r.label, (size_t)n * sizeof *out->label);
    out->inertia = r.inertia;
    return 0;
}

static int run_in(struct spectral *m, struct arena *a, struct block *b, struct work *rows,
                  struct spectral_result *out, struct err *e)
{
    struct graph g;
    TRY(make_graph(m, a, &g, e));
    out->edges = g.edges;
    b->a = a;
    b->g = &g;
    b->k = m->o.k;
    b->b = MIN(m->w->n, ALIGN_UP(m->o.k + MAX(8, m->o.k / 4), 16));
    TRY(plan_block(b, m->w->engine, m->w->watch, e));
    start_block(b, m->o.seed);
    TRY(find_vectors(b, &out->rounds, e));
    const double *value = work_at(&b->w, b->value);
    for (int64_t i = 0; i < m->o.k; i++) out->value[i] = 1 - value[i];
    return cluster_rows(m, a, b, rows, out, e);
}

int spectral_run(struct spectral *m, struct spectral_result *out, struct err *e)
{
    struct arena *own;
    struct block b = {0};
    struct work rows = {0};
    *out = (struct spectral_result){0};
    if (!(out->label = ARENA_NEW(m->w->arena, int32_t, (size_t)m->w->n, e))) return -1;
    if (!(out->value = ARENA_NEW(m->w->arena, double, (size_t)m->o.k, e))) return -1;
    TRY(work_run(m->w, m->tape, e));
    TRY(arena_open("spectral", 0, &own, e));
    int rc = run_in(m, own, &b, &rows, out, e);
    work_close(&rows);
    work_close(&b.w);
    arena_close(&own);
    return rc;
}
