#include "cluster/gmm.h"
#include <math.h>
#include <string.h>

/* As in kmeans.c: starts that come to the same mixture differ by rounding alone. */
#define SAME 1e-6

#define LOG_2_PI   1.8378770664093453
#define SEED_STEPS 30 /* of the k-means a start begins with: EM goes on from there */

size_t gmm_scale_floats(enum gmm_kind kind, int64_t k, int64_t d)
{
    size_t square = (size_t)(d * d);
    return kind == GMM_FULL ? (size_t)k * square : kind == GMM_TIED ? square : (size_t)(k * d);
}

int gmm_plan(struct work *w, const struct gmm_options *o, struct gmm *m, struct err *e)
{
    int64_t k = o->k, d = w->d;
    bool square = o->kind == GMM_FULL || o->kind == GMM_TIED;
    struct kmeans_options ko = {
        .k = k, .starts = o->starts, .most_steps = SEED_STEPS, .tol = 1e-4, .seed = o->seed};
    *m = (struct gmm){.w = w, .o = *o, .gram = -1, .move = -1, .known = -1};
    if (!o->init) TRY(kmeans_plan(w, &ko, &m->start, e));
    m->width = o->kind == GMM_TIED ? 1 + d : o->kind == GMM_FULL ? 1 + d + d * d : 1 + 2 * d;
    const int64_t *dim = square ? WORK_DIMS(o->kind == GMM_TIED ? 1 : k, d, d) : WORK_DIMS(k, d);
    TRY((m->scale = work_in(w, "scale", DTYPE_F32, dim, e)) < 0);
    TRY((m->shift = work_in(w, "shift", DTYPE_F32, WORK_DIMS(k, d), e)) < 0);
    TRY((m->fixed = work_in(w, "fixed", DTYPE_F64, WORK_DIMS(k), e)) < 0);
    TRY((m->label = work_out(w, "mixture", DTYPE_I32, WORK_DIMS(w->n), e)) < 0);
    TRY((m->total = plan_output(w->plan, "likelihood", DTYPE_F64, 0, NULL, -1, e)) < 0);
    TRY((m->sums = work_out(w, "sums", DTYPE_F64, WORK_DIMS(k, m->width), e)) < 0);
    if (!square) {
        TRY((m->move = work_in(w, "move", DTYPE_F32, WORK_DIMS(k, 3), e)) < 0);
        TRY((m->known = work_state(w, "known", DTYPE_F32, WORK_DIMS(w->n, 5), e)) < 0);
    }
    m->tape = work_tape(w, OP_estep, "estep", WORK_IDS(w->x, m->scale, m->shift, m->fixed, m->move),
                        WORK_IDS(m->label, m->total, m->sums, m->known), 0, e);
    if (m->tape < 0 || o->kind != GMM_TIED) return m->tape < 0 ? -1 : 0;
    TRY((m->gram = work_out(w, "gram", DTYPE_F64, WORK_DIMS(d, d), e)) < 0);
    TRY((m->column = work_out(w, "columns", DTYPE_F64, WORK_DIMS(d), e)) < 0);
    m->tape_gram =
        work_tape(w, OP_gram, "gram", WORK_IDS(w->x), WORK_IDS(m->gram, m->column), 0, e);
    return m->tape_gram < 0 ? -1 : 0;
}

static int open_model(struct arena *a, const struct gmm *m, struct gmm_model *g, struct err *e)
{
    size_t k = (size_t)m->o.k, kd = k * (size_t)m->w->d;
    size_t scale = gmm_scale_floats(m->o.kind, m->o.k, m->w->d);
    *g = (struct gmm_model){.k = m->o.k, .d = m->w->d, .kind = m->o.kind};
    if (!(g->weight = ARENA_NEW(a, double, k, e))) return -1;
    if (!(g->mean = ARENA_NEW(a, double, kd, e))) return -1;
    if (!(g->covariance = ARENA_NEW(a, double, scale, e))) return -1;
    if (!(g->scale = ARENA_NEW(a, float, scale, e))) return -1;
    if (!(g->shift = ARENA_NEW(a, float, kd, e))) return -1;
    return (g->fixed = ARENA_NEW(a, double, k, e)) ? 0 : -1;
}

static void copy_model(const struct gmm_model *from, struct gmm_model *to)
{
    size_t k = (size_t)from->k, kd = k * (size_t)from->d;
    size_t scale = gmm_scale_floats(from->kind, from->k, from->d);
    memcpy(to->weight, from->weight, k * sizeof(double));
    memcpy(to->mean, from->mean, kd * sizeof(double));
    memcpy(to->covariance, from->covariance, scale * sizeof(double));
    memcpy(to->scale, from->scale, scale * sizeof(float));
    memcpy(to->shift, from->shift, kd * sizeof(float));
    memcpy(to->fixed, from->fixed, k * sizeof(double));
}

/* ---- from covariances to what the device takes ------------------------------------------------
 */

/* a [d][d] symmetric becomes, in place, its lower factor; false if it has none. */
static bool factor(double *a, int64_t d)
{
    for (int64_t i = 0; i < d; i++) {
        for (int64_t j = 0; j <= i; j++) {
            double sum = a[i * d + j];
            for (int64_t k = 0; k < j; k++) sum -= a[i * d + k] * a[j * d + k];
            if (i > j)
                a[i * d + j] = sum / a[j * d + j];
            else if (sum > 0)
                a[i * d + i] = sqrt(sum);
            else
                return false;
        }
    }
    return true;
}

/* The inverse of a lower factor, turned: out[j][i] = (L^-1)[i][j]. room: d. */
static void inverse(const double *l, int64_t d, double *room, float *out)
{
    memset(out, 0, (size_t)(d * d) * sizeof *out);
    for (int64_t j = 0; j < d; j++) {
        for (int64_t i = j; i < d; i++) {
            double sum = i == j;
            for (int64_t k = j; k < i; k++) sum -= l[i * d + k] * room[k];
            room[i] = sum / l[i * d + i];
            out[j * d + i] = (float)room[i];
        }
    }
}

static int singular(int64_t cluster, struct err *e)
{
    return err_set(e, E_INPUT,
                   "the covariance of cluster %lld is not positive definite: too few rows or equal "
                   "ones; fewer clusters, a larger --reg-covar, or --covariance diag help",
                   (long long)cluster);
}

/* One matrix: its factor's inverse into scale; adds the logarithm of its determinant's root. */
static int square_scale(struct arena *a, const struct gmm_model *g, int64_t k, double *log_det,
                        struct err *e)
{
    int64_t d = g->d;
    struct arena_mark mark = arena_here(a);
    double *l = ARENA_NEW(a, double, (size_t)(d * d + d), e);
    if (!l) return -1;
    memcpy(l, g->covariance + k * d * d, (size_t)(d * d) * sizeof *l);
    if (!factor(l, d)) return singular(k, e);
    inverse(l, d, l + d * d, g->scale + k * d * d);
    *log_det = 0;
    for (int64_t i = 0; i < d; i++) *log_det -= log(l[i * d + i]);
    arena_rewind(a, mark);
    return 0;
}

static int scale_model(struct arena *a, struct gmm_model *g, struct err *e)
{
    int64_t d = g->d;
    double tied = 0;
    if (g->kind == GMM_TIED) TRY(square_scale(a, g, 0, &tied, e));
    for (int64_t k = 0; k < g->k; k++) {
        const double *mean = g->mean + k * d;
        float *shift = g->shift + k * d;
        double log_det = tied, product = 1;
        if (g->kind == GMM_FULL) TRY(square_scale(a, g, k, &log_det, e));
        for (int64_t i = 0; i < d; i++) {
            if (g->kind == GMM_FULL) {
                shift[i] = (float)mean[i];
            } else if (g->kind == GMM_TIED) {
                double sum = 0;
                for (int64_t j = 0; j < d; j++) sum += mean[j] * (double)g->scale[j * d + i];
                shift[i] = (float)sum;
            } else {
                double variance = g->covariance[k * d + i];
                if (!(variance > 0)) return singular(k, e);
                float scale = (float)(1 / sqrt(variance));
                g->scale[k * d + i] = scale;
                shift[i] = (float)(mean[i] * (double)scale);
                product *= (double)scale;
                if (i % 8 == 7) { /* of 8 floats no product leaves f64, and logarithms cost */
                    log_det += log(product);
                    product = 1;
                }
            }
        }
        log_det += log(product);
        g->fixed[k] = log(g->weight[k]) - (double)d / 2 * LOG_2_PI + log_det;
    }
    return 0;
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static void square_covariance(const struct gmm *m, const double *products, double count,
                              const double *mean, double *to)
{
    int64_t d = m->w->d;
    for (int64_t i = 0; i < d; i++) {
        for (int64_t j = 0; j < d; j++)
            to[i * d + j] = products[i * d + j] / count - mean[i] * mean[j];
        to[i * d + i] += m->o.ridge;
    }
}

static void line_covariance(const struct gmm *m, const double *squares, double count,
                            const double *mean, double *to)
{
    int64_t d = m->w->d;
    double sum = 0;
    for (int64_t i = 0; i < d; i++) {
        /* rounding may take a variance below 0, where scikit-learn lets it */
        to[i] = fmax(squares[i] / count - mean[i] * mean[i], 0) + m->o.ridge;
        sum += to[i];
    }
    for (int64_t i = 0; i < d && m->o.kind == GMM_SPHERICAL; i++) to[i] = sum / (double)d;
}

/* The M step: a model from sums [k][width] as OP_estep gives them. */
static int model_of(struct gmm *m, const double *sums, struct gmm_model *g, struct err *e)
{
    int64_t d = g->d;
    double rows = 0;
    if (g->kind == GMM_TIED)
        memcpy(g->covariance, work_at(m->w, m->gram), (size_t)(d * d) * sizeof *g->covariance);
    for (int64_t k = 0; k < g->k; k++) {
        const double *sum = sums + k * m->width;
        double count = sum[0] + 10 * 0x1p-52; /* scikit-learn's guard against clusters of no row */
        double *mean = g->mean + k * d;
        g->weight[k] = count;
        rows += count;
        for (int64_t i = 0; i < d; i++) mean[i] = sum[1 + i] / count;
        if (g->kind == GMM_FULL)
            square_covariance(m, sum + 1 + d, count, mean, g->covariance + k * d * d);
        else if (g->kind != GMM_TIED)
            line_covariance(m, sum + 1 + d, count, mean, g->covariance + k * d);
        for (int64_t i = 0; i < d && g->kind == GMM_TIED; i++)
            for (int64_t j = 0; j < d; j++) g->covariance[i * d + j] -= count * mean[i] * mean[j];
    }
    for (int64_t i = 0; i < d * d && g->kind == GMM_TIED; i++)
        g->covariance[i] = g->covariance[i] / rows + (i % (d + 1) == 0 ? m->o.ridge : 0);
    for (int64_t k = 0; k < g->k; k++) g->weight[k] /= rows;
    return scale_model(m->w->arena, g, e);
}

static double largest(const double *x, int64_t n)
{
    double most = x[0];
    for (int64_t i = 1; i < n; i++) most = fmax(most, x[i]);
    return most;
}

/* What OP_estep may know of the way to g from the model of the last step, which still lies where it
 * was read: its `move` [k][3], rounded to the safe side. */
static void tell_move(const struct gmm *m, const struct gmm_model *g, float *move)
{
    const float *scale = work_at(m->w, m->scale), *shift = work_at(m->w, m->shift);
    const double *fixed = work_at(m->w, m->fixed);
    memset(move, 0, 3 * (size_t)g->k * sizeof *move);
    if (!m->stepped) return;
    double base = largest(fixed, g->k);
    for (int64_t k = 0; k < g->k; k++, move += 3) {
        double least = INFINITY, drift = 0;
        for (int64_t i = k * g->d; i < (k + 1) * g->d; i++) {
            double factor = (double)g->scale[i] / (double)scale[i];
            double off = (double)g->shift[i] - factor * (double)shift[i];
            least = fmin(least, factor);
            drift += off * off;
        }
        move[0] = (float)(least * (1 - 1e-5));
        move[1] = (float)(sqrt(drift) * (1 + 1e-5) + 1e-5);
        move[2] = (float)(fixed[k] - base);
    }
}

static int take_step(struct gmm *m, const struct gmm_model *g, double *mean, struct err *e)
{
    struct work *w = m->w;
    if (m->move >= 0) tell_move(m, g, work_at(w, m->move));
    memcpy(work_at(w, m->scale), g->scale,
           gmm_scale_floats(g->kind, g->k, g->d) * sizeof *g->scale);
    memcpy(work_at(w, m->shift), g->shift, (size_t)(g->k * g->d) * sizeof *g->shift);
    memcpy(work_at(w, m->fixed), g->fixed, (size_t)g->k * sizeof *g->fixed);
    TRY(work_run(w, m->tape, e));
    m->stepped = true;
    *mean = *(const double *)work_at(w, m->total) / (double)w->n;
    return 0;
}

/* Sums as if every row belonged to its label alone. */
static int from_labels(struct gmm *m, const int32_t *label, struct gmm_model *g, struct err *e)
{
    int64_t d = m->w->d;
    const float *x = work_seen(m->w);
    double *sums = work_at(m->w, m->sums);
    memset(sums, 0, (size_t)(m->o.k * m->width) * sizeof *sums);
    for (int64_t i = 0; i < m->w->n; i++, x += d) {
        double *sum = sums + label[i] * m->width;
        *sum++ += 1;
        for (int64_t j = 0; j < d; j++) *sum++ += (double)x[j];
        if (m->o.kind == GMM_DIAG || m->o.kind == GMM_SPHERICAL)
            for (int64_t j = 0; j < d; j++) *sum++ += (double)x[j] * (double)x[j];
        for (int64_t j = 0; j < d && m->o.kind == GMM_FULL; j++)
            for (int64_t k = 0; k < d; k++) *sum++ += (double)x[j] * (double)x[k];
    }
    return model_of(m, sums, g, e);
}

static int from_means(struct gmm *m, struct gmm_model *g, struct err *e)
{
    int64_t d = g->d, n = m->w->n;
    const float *x = work_seen(m->w);
    double mean = 0, all = 0;
    memcpy(g->mean, m->o.init, (size_t)(g->k * d) * sizeof *g->mean);
    memset(g->covariance, 0, gmm_scale_floats(g->kind, g->k, d) * sizeof *g->covariance);
    for (int64_t j = 0; j < d; j++) {
        double variance = 0;
        mean = 0;
        for (int64_t i = 0; i < n; i++) mean += (double)x[i * d + j] / (double)n;
        for (int64_t i = 0; i < n; i++)
            variance += ((double)x[i * d + j] - mean) * ((double)x[i * d + j] - mean);
        variance = variance / (double)n + m->o.ridge;
        all += variance / (double)d;
        for (int64_t k = 0; k < (g->kind == GMM_TIED ? 1 : g->k); k++) {
            bool square = g->kind == GMM_FULL || g->kind == GMM_TIED;
            g->covariance[square ? (k * d + j) * d + j : k * d + j] = variance;
        }
    }
    for (int64_t i = 0; i < g->k * d && g->kind == GMM_SPHERICAL; i++) g->covariance[i] = all;
    for (int64_t k = 0; k < g->k; k++) g->weight[k] = 1 / (double)g->k;
    return scale_model(m->w->arena, g, e);
}

/* EM from a model until the bound stands. */
static int climb(struct gmm *m, struct gmm_model *g, struct gmm_result *r, struct err *e)
{
    double before = -INFINITY;
    r->converged = false;
    for (r->steps = 0; r->steps < m->o.most_steps && !r->converged; before = r->bound) {
        TRY(take_step(m, g, &r->bound, e));
        TRY(model_of(m, work_at(m->w, m->sums), g, e));
        r->steps++;
        r->converged = fabs(r->bound - before) < m->o.tol;
    }
    return 0;
}

static double parameters(const struct gmm *m)
{
    double k = (double)m->o.k, d = (double)m->w->d, square = d * (d + 1) / 2;
    double of[] = {
        [GMM_DIAG] = k * d, [GMM_FULL] = k * square, [GMM_TIED] = square, [GMM_SPHERICAL] = k};
    return of[m->o.kind] + k * d + k - 1;
}

int gmm_assign(struct gmm *m, const struct gmm_model *model, int32_t *label, double *likelihood,
               struct err *e)
{
    m->stepped = false; /* the rows may be others now */
    TRY(take_step(m, model, likelihood, e));
    memcpy(label, work_at(m->w, m->label), (size_t)m->w->n * sizeof *label);
    return 0;
}

int gmm_run(struct gmm *m, struct gmm_result *out, struct err *e)
{
    struct arena *a = m->w->arena;
    int64_t n = m->w->n, starts = m->o.init ? 1 : MAX(m->o.starts, 1);
    struct kmeans_result seeds = {0};
    struct gmm_model now;
    *out = (struct gmm_result){.bound = -INFINITY};
    TRY(open_model(a, m, &now, e));
    TRY(open_model(a, m, &out->model, e));
    m->stepped = false;
    if (!(out->label = ARENA_NEW(a, int32_t, (size_t)n, e))) return -1;
    if (m->o.kind == GMM_TIED) TRY(work_run(m->w, m->tape_gram, e));
    if (!m->o.init) {
        if (!(seeds.every = ARENA_NEW(a, int32_t, (size_t)(starts * n), e))) return -1;
        TRY(kmeans_run(&m->start, &seeds, e));
    }
    for (int64_t s = 0; s < starts; s++) {
        struct gmm_result r = {.start = s, .model = out->model, .label = out->label};
        work_progress(m->w, "mixtures", (double)s, (double)starts);
        TRY(m->o.init ? from_means(m, &now, e) : from_labels(m, seeds.every + s * n, &now, e));
        TRY(climb(m, &now, &r, e));
        if (s > 0 && r.bound <= out->bound + SAME * (1 + fabs(out->bound))) continue;
        copy_model(&now, &r.model);
        *out = r;
    }
    work_progress(m->w, "mixtures", -1, 0);
    TRY(gmm_assign(m, &out->model, out->label, &out->likelihood, e));
    out->bic = -2 * out->likelihood * (double)n + parameters(m) * log((double)n);
    return 0;
}
