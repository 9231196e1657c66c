#include "cluster/evolve_fit.h"
#include "cluster/evolve_draw.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Starts of k-means race side by side on a part of the rows; the best of each of EVOLVE_FINALS
 * heats goes on with all rows. */
#define RACE_STARTS 10
#define RACE_PART   4
#define RACE_LEAST  1500 /* rows of a race, and 25 for each cluster */
#define RACE_STEPS  4
#define STEPS       300 /* as scikit-learn */
#define MIX_STEPS   100
#define TOL         1e-4
#define MIX_TOL     1e-3
#define RIDGE       1e-4
#define CUT_STARTS  3 /* of the k-means that cuts a cluster of dbscan */
#define MIX_STARTS  1 /* from a whole k-means; AudioMuse-AI: three from drawn rows */
#define EPS_ROWS    1000

struct rows { /* what is clustered: the first d components of some songs */
    const int32_t *song;
    int64_t n, d;
};

/* n of the rows, evenly taken, into a work whose plan is written. */
static int fill(const struct evolve_fit *f, const struct rows *rows, int64_t n, struct work *w,
                struct err *e)
{
    TRY(work_ready(w, e));
    float *to = work_rows(w);
    for (int64_t i = 0; i < n; i++, to += rows->d) {
        const float *from = f->x + (int64_t)rows->song[i * rows->n / n] * f->d;
        memcpy(to, from, (size_t)rows->d * sizeof *to);
    }
    return 0;
}

static int open_work(struct arena *a, const struct evolve_fit *f, int64_t n, int64_t d,
                     struct work *w, struct err *e)
{
    return work_open(a, f->engine, f->watch, n, d, w, e);
}

/* ---- k-means ----------------------------------------------------------------------------------
 */

/* n of the rows, evenly taken. Whatever of r is the caller's is filled; centre [k][d] and label [n]
 * of the best start unless they are NULL. */
static int run_kmeans(struct arena *a, const struct evolve_fit *f, const struct rows *rows,
                      int64_t n, const struct kmeans_options *o, struct kmeans_result *r,
                      float *centre, int32_t *label, struct err *e)
{
    struct arena_mark mark = arena_here(a);
    struct kmeans m;
    struct work w = {0};
    int rc = open_work(a, f, n, rows->d, &w, e);
    if (rc == 0) rc = kmeans_plan(&w, o, &m, e);
    if (rc == 0) rc = fill(f, rows, n, &w, e);
    if (rc == 0) rc = kmeans_run(&m, r, e);
    if (rc == 0 && centre) memcpy(centre, r->centre, (size_t)(o->k * rows->d) * sizeof *centre);
    if (rc == 0 && label) memcpy(label, r->label, (size_t)n * sizeof *label);
    work_close(&w);
    arena_rewind(a, mark);
    return rc;
}

/* The best of each of `heats` parts of the starts, after some steps on n of the rows, or all steps
 * on all of them: centre [heats][k][d]. */
static int race(struct arena *a, const struct evolve_fit *f, const struct rows *rows, int64_t n,
                const struct kmeans_options *of, int64_t heats, float *centre, struct err *e)
{
    struct arena_mark mark = arena_here(a);
    struct kmeans_options o = *of;
    struct kmeans_result r = {0};
    size_t kd = (size_t)(o.k * rows->d);
    if (n < rows->n) o.most_steps = RACE_STEPS;
    if (!(r.every_centre = ARENA_NEW(a, float, (size_t)o.starts *kd, e))) return -1;
    if (!(r.every_inertia = ARENA_NEW(a, double, (size_t)o.starts, e))) return -1;
    TRY(run_kmeans(a, f, rows, n, &o, &r, NULL, NULL, e));
    for (int64_t h = 0; h < heats; h++) {
        int64_t best = h * o.starts / heats;
        for (int64_t s = best + 1; s < (h + 1) * o.starts / heats; s++)
            if (r.every_inertia[s] < r.every_inertia[best] * (1 - KMEANS_SAME)) best = s;
        memcpy(centre + (size_t)h * kd, r.every_centre + (size_t)best * kd, kd * sizeof *centre);
    }
    arena_rewind(a, mark);
    return 0;
}

/* k-means of the rows in `finals` ways, at most as many as starts: centre [finals][k][d], label and
 * d2 [finals][n] are the caller's. starts 0: from the centres that are there. d2 may be NULL; it is
 * not filled where one final is the best of several whole starts. */
static int fit_kmeans(struct arena *a, const struct evolve_fit *f, const struct rows *rows,
                      int64_t finals, int64_t k, int64_t starts, uint64_t seed, float *centre,
                      int32_t *label, float *d2, struct err *e)
{
    struct kmeans_options o = {.k = k,
                               .starts = starts,
                               .most_steps = STEPS,
                               .tol = TOL,
                               .seed = seed,
                               .init = starts ? NULL : centre};
    struct kmeans_result r = {0};
    int64_t part = MIN(rows->n, MAX(rows->n / RACE_PART, MAX(RACE_LEAST, 25 * k)));
    if (starts > finals && (finals > 1 || part < rows->n)) {
        TRY(race(a, f, rows, part, &o, finals, centre, e));
        o.init = centre;
        o.inits = finals;
    }
    if (finals == 1) {
        r.every_d2 = d2;
        return run_kmeans(a, f, rows, rows->n, &o, &r, centre, label, e);
    }
    r = (struct kmeans_result){.every = label, .every_d2 = d2, .every_centre = centre};
    return run_kmeans(a, f, rows, rows->n, &o, &r, NULL, NULL, e);
}

/* ---- the other methods ------------------------------------------------------------------------
 */

struct fit { /* of one run */
    struct arena *a;
    const struct evolve_fit *f;
    const struct evolve_candidate *c;
    struct rows rows;
    uint64_t seed;
    int64_t finals; /* of each there is: */
    int32_t *label; /* [n] */
    float *centre;  /* [clusters][d] */
    float *away;    /* [n] */
    int64_t clusters;
};

static int fit_mixture(struct fit *t, struct err *e)
{
    int64_t k = t->c->clusters, kd = k * t->rows.d;
    if (!(t->centre = ARENA_NEW(t->a, float, (size_t)kd, e))) return -1;
    struct arena_mark mark = arena_here(t->a);
    struct gmm_options o = {.k = k,
                            .starts = t->f->o->starts ? t->f->o->starts : MIX_STARTS,
                            .most_steps = MIX_STEPS,
                            .kind = t->f->o->covariance,
                            .tol = MIX_TOL,
                            .ridge = RIDGE,
                            .seed = t->seed};
    struct gmm_result r;
    struct gmm m;
    struct work w = {0};
    int rc = open_work(t->a, t->f, t->rows.n, t->rows.d, &w, e);
    if (rc == 0) rc = gmm_plan(&w, &o, &m, e);
    if (rc == 0) rc = fill(t->f, &t->rows, t->rows.n, &w, e);
    if (rc == 0) rc = gmm_run(&m, &r, e);
    for (int64_t i = 0; i < kd && rc == 0; i++) t->centre[i] = (float)r.model.mean[i];
    if (rc == 0) memcpy(t->label, r.label, (size_t)t->rows.n * sizeof *t->label);
    work_close(&w);
    arena_rewind(t->a, mark);
    return rc;
}

static int fit_spectral(struct fit *t, struct err *e)
{
    struct arena_mark mark = arena_here(t->a);
    struct spectral_options o = {.k = t->c->clusters,
                                 .neighbours = MIN(t->f->o->neighbours, t->rows.n),
                                 .starts = t->f->o->starts ? t->f->o->starts : RACE_STARTS,
                                 .seed =
                                     evolve_draw_stream(t->f->o->seed, EVOLVE_FIT, t->c->state)};
    struct spectral_result r;
    struct spectral m;
    struct work w = {0};
    int rc = open_work(t->a, t->f, t->rows.n, t->rows.d, &w, e);
    if (rc == 0) rc = spectral_plan(&w, &o, &m, e);
    if (rc == 0) rc = fill(t->f, &t->rows, t->rows.n, &w, e);
    if (rc == 0) rc = spectral_run(&m, &r, e);
    if (rc == 0) memcpy(t->label, r.label, (size_t)t->rows.n * sizeof *t->label);
    work_close(&w);
    arena_rewind(t->a, mark);
    return rc;
}

/* A cluster larger than o->split becomes several, numbered on from the present ones; its own number
 * stays empty. */
static int cut_cluster(struct fit *t, int32_t own, int64_t size, struct err *e)
{
    struct arena_mark mark = arena_here(t->a);
    int64_t aim = MAX(MAX(2 * t->f->o->min_songs, t->f->o->split / 2), 1), have = 0;
    int64_t k = MIN(size, MAX(2, (size + aim - 1) / aim));
    int32_t *song = ARENA_NEW(t->a, int32_t, (size_t)size, e);
    int32_t *label = ARENA_NEW(t->a, int32_t, (size_t)size, e);
    float *centre = ARENA_NEW(t->a, float, (size_t)(k * t->rows.d), e);
    if (!song || !label || !centre) return -1;
    for (int64_t i = 0; i < t->rows.n; i++)
        if (t->label[i] == own) song[have++] = t->rows.song[i];
    struct rows rows = {song, size, t->rows.d};
    TRY(fit_kmeans(t->a, t->f, &rows, 1, k, CUT_STARTS, t->seed + (uint64_t)own, centre, label,
                   NULL, e));
    have = 0;
    for (int64_t i = 0; i < t->rows.n; i++)
        if (t->label[i] == own) t->label[i] = (int32_t)(t->clusters + label[have++]);
    t->clusters += k;
    arena_rewind(t->a, mark);
    return 0;
}

static int fit_density(struct fit *t, struct err *e)
{
    struct arena_mark mark = arena_here(t->a);
    struct dbscan_result r;
    struct dbscan m;
    struct work w = {0};
    int rc = open_work(t->a, t->f, t->rows.n, t->rows.d, &w, e);
    if (rc == 0) rc = dbscan_plan(&w, t->c->min_samples, &m, e);
    if (rc == 0) rc = fill(t->f, &t->rows, t->rows.n, &w, e);
    if (rc == 0) rc = dbscan_run(&m, t->c->eps, &r, e);
    if (rc == 0) {
        t->clusters = r.clusters;
        memcpy(t->label, r.label, (size_t)t->rows.n * sizeof *t->label);
    }
    work_close(&w);
    arena_rewind(t->a, mark);
    if (rc) return -1;
    int64_t found = t->clusters;
    int64_t *size = ARENA_NEW(t->a, int64_t, (size_t)found, e);
    if (!size) return -1;
    for (int64_t i = 0; i < t->rows.n; i++)
        if (t->label[i] >= 0) size[t->label[i]]++;
    for (int64_t k = 0; k < found; k++)
        if (t->f->o->split > 0 && size[k] > t->f->o->split)
            TRY(cut_cluster(t, (int32_t)k, size[k], e));
    return 0;
}

/* ---- centres, distances, geometry -------------------------------------------------------------
 */

static int find_means(struct fit *t, struct err *e)
{
    int64_t d = t->rows.d, k = t->clusters;
    struct arena_mark mark;
    if (!(t->centre = ARENA_NEW(t->a, float, (size_t)(k * d), e))) return -1;
    mark = arena_here(t->a);
    double *sum = ARENA_NEW(t->a, double, (size_t)(k * d), e);
    int64_t *count = ARENA_NEW(t->a, int64_t, (size_t)k, e);
    if (!sum || !count) return -1;
    for (int64_t i = 0; i < t->rows.n; i++) {
        if (t->label[i] < 0) continue;
        const float *x = t->f->x + (int64_t)t->rows.song[i] * t->f->d;
        double *to = sum + t->label[i] * d;
        count[t->label[i]]++;
        for (int64_t j = 0; j < d; j++) to[j] += (double)x[j];
    }
    for (int64_t i = 0; i < k * d; i++)
        t->centre[i] = (float)(sum[i] / (double)MAX(count[i / d], 1));
    arena_rewind(t->a, mark);
    return 0;
}

static void find_distances(struct fit *t)
{
    int64_t d = t->rows.d;
    for (int64_t i = 0; i < t->rows.n; i++) {
        if (t->label[i] < 0) continue;
        const float *x = t->f->x + (int64_t)t->rows.song[i] * t->f->d;
        const float *centre = t->centre + t->label[i] * d;
        double sum[4] = {0};
        for (int64_t j = 0; j < d; j++) {
            double off = (double)x[j] - (double)centre[j];
            sum[j & 3] += off * off;
        }
        t->away[i] = (float)sqrt((sum[0] + sum[2]) + (sum[1] + sum[3]));
    }
}

/* Noise is a cluster of its own, as where scikit-learn's metrics are given its label. */
static int judge(struct fit *t, struct evolve_clusters *out, struct err *e)
{
    struct arena_mark mark = arena_here(t->a);
    struct metrics_result r;
    struct metrics m;
    struct work w = {0};
    int32_t *label = ARENA_NEW(t->a, int32_t, (size_t)t->rows.n, e);
    if (!label) return -1;
    for (int64_t i = 0; i < t->rows.n; i++)
        label[i] = out->label[i] < 0 ? (int32_t)t->clusters : out->label[i];
    int rc = open_work(t->a, t->f, t->rows.n, t->rows.d, &w, e);
    if (rc == 0) rc = metrics_plan(&w, t->clusters + 1, &m, e);
    if (rc == 0) rc = fill(t->f, &t->rows, t->rows.n, &w, e);
    if (rc == 0) rc = metrics_run(&m, label, &r, e);
    if (rc == 0) {
        out->silhouette = r.silhouette;
        out->davies_bouldin = r.davies_bouldin;
        out->calinski_harabasz = r.calinski_harabasz;
    }
    work_close(&w);
    arena_rewind(t->a, mark);
    return rc;
}

/* k-means from drawn rows, or on from the clusters of an earlier search. */
static int fit_centres(struct fit *t, bool begun, struct err *e)
{
    int64_t d = t->rows.d, n = t->rows.n * t->finals, kd = t->clusters * d;
    if (!(t->centre = ARENA_NEW(t->a, float, (size_t)(t->finals * kd), e))) return -1;
    int64_t starts = begun ? 0 : t->f->o->starts ? t->f->o->starts : RACE_STARTS;
    for (int64_t i = 0; i < kd && begun; i++) t->centre[i] = t->f->begin[i / d * t->f->d + i % d];
    TRY(fit_kmeans(t->a, t->f, &t->rows, t->finals, t->clusters, starts, t->seed, t->centre,
                   t->label, t->away, e));
    for (int64_t i = 0; i < n; i++) t->away[i] = sqrtf(t->away[i]);
    return 0;
}

static int fit_method(struct fit *t, bool begun, struct err *e)
{
    if (begun || t->c->method == CLUSTER_KMEANS) return fit_centres(t, begun, e);
    if (t->c->method == CLUSTER_GMM) {
        TRY(fit_mixture(t, e));
    } else {
        if (t->c->method == CLUSTER_SPECTRAL)
            TRY(fit_spectral(t, e));
        else
            TRY(fit_density(t, e));
        TRY(find_means(t, e));
    }
    find_distances(t);
    return 0;
}

int evolve_fit_run(struct arena *a, const struct evolve_fit *f, const struct evolve_candidate *c,
                   const int32_t *song, int64_t n, struct evolve_clusters out[EVOLVE_FINALS],
                   int *count, struct err *e)
{
    const double *weight = f->o->weight;
    bool begun = c->run == 0 && f->begin, wanted = weight[EVOLVE_SILHOUETTE] > 0 ||
                                                   weight[EVOLVE_DAVIES_BOULDIN] > 0 ||
                                                   weight[EVOLVE_CALINSKI_HARABASZ] > 0;
    bool many = c->method == CLUSTER_KMEANS && !begun;
    int64_t starts = f->o->starts ? f->o->starts : RACE_STARTS;
    struct fit t = {.a = a,
                    .f = f,
                    .c = c,
                    .rows = {song, n, c->components ? c->components : f->d},
                    .seed = evolve_draw_stream(f->o->seed, EVOLVE_FIT, c->run),
                    .finals = many ? MIN(starts, EVOLVE_FINALS) : 1,
                    .clusters = c->clusters};
    if (!(t.label = ARENA_NEW(a, int32_t, (size_t)(t.finals * n), e))) return -1;
    if (!(t.away = ARENA_NEW(a, float, (size_t)(t.finals * n), e))) return -1;
    TRY(fit_method(&t, begun, e));
    *count = (int)t.finals;
    for (int64_t i = 0; i < t.finals; i++) {
        out[i] = (struct evolve_clusters){.n = n,
                                          .clusters = t.clusters,
                                          .d = t.rows.d,
                                          .song = song,
                                          .label = t.label + i * n,
                                          .away = t.away + i * n,
                                          .centre = t.centre + i * t.clusters * t.rows.d,
                                          .silhouette = NAN,
                                          .davies_bouldin = NAN,
                                          .calinski_harabasz = NAN};
        if (wanted) TRY(judge(&t, &out[i], e));
    }
    return 0;
}

/* ---- eps --------------------------------------------------------------------------------------
 */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, int64_t n, double part)
{
    double at = part * (double)(n - 1);
    int64_t below = (int64_t)at, above = MIN(below + 1, n - 1);
    return sorted[below] + (at - (double)below) * (sorted[above] - sorted[below]);
}

int evolve_fit_eps(struct arena *a, const struct evolve_fit *f, const int32_t *song, int64_t n,
                   int64_t k, double *least, double *most, struct err *e)
{
    struct arena_mark mark = arena_here(a);
    struct rows rows = {song, n, f->d};
    int64_t count = MIN(n, EPS_ROWS), columns = MIN(k + 1, count);
    double *far = ARENA_NEW(a, double, (size_t)count, e);
    struct work w = {0};
    int index, d2 = -1, tape = -1;
    if (!far) return -1;
    int rc = open_work(a, f, count, f->d, &w, e);
    if (rc == 0) rc = (index = work_out(&w, "near", DTYPE_I32, WORK_DIMS(count, columns), e)) < 0;
    if (rc == 0) rc = (d2 = work_out(&w, "near d2", DTYPE_F32, WORK_DIMS(count, columns), e)) < 0;
    if (rc == 0)
        rc = (tape = work_tape(&w, OP_near, "near", WORK_IDS(w.x), WORK_IDS(index, d2),
                               (int)columns, e)) < 0;
    if (rc == 0) rc = fill(f, &rows, count, &w, e);
    if (rc == 0) rc = work_run(&w, tape, e);
    if (rc == 0) {
        const float *at = work_at(&w, d2);
        for (int64_t i = 0; i < count; i++)
            far[i] = sqrt(fmax((double)at[(i + 1) * columns - 1], 0));
        qsort(far, (size_t)count, sizeof *far, by_value);
        *least = fmax(0.05, percentile(far, count, 0.5));
        *most = fmax(*least * 1.2, percentile(far, count, 0.9));
    }
    work_close(&w);
    arena_rewind(a, mark);
    return rc ? -1 : 0;
}
