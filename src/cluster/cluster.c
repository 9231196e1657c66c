#include "cluster/cluster.h"
#include "base/thread.h"
#include <math.h>
#include <string.h>

struct methods { /* the one of them that was asked for */
    struct kmeans kmeans;
    struct dbscan dbscan;
    struct gmm gmm;
    struct spectral spectral;
    struct metrics metrics;
};

struct run {
    struct arena *a;
    struct engine *engine;
    const struct work_watch *watch;
    const struct scale_source *source;
    const struct cluster_options *o;
    struct cluster_result *out;
    struct work work;
    struct methods m;
    const double *init; /* as in the options, in the place where the rows lie */
    bool assign;        /* rows are only to be given to what is there */
};

static int plan_method(struct run *r, struct err *e)
{
    static const double none = 0; /* means that nobody begins with */
    const struct cluster_options *o = r->o;
    struct kmeans_options km = {.k = o->k,
                                .starts = o->starts,
                                .most_steps = o->most_steps,
                                .tol = o->tol,
                                .seed = o->seed};
    struct gmm_options gm = {.k = o->k,
                             .starts = o->starts,
                             .most_steps = o->most_steps,
                             .kind = o->covariance,
                             .tol = o->tol,
                             .ridge = o->ridge,
                             .seed = o->seed,
                             .init = r->assign ? &none : r->init};
    struct spectral_options sp = {.k = o->k,
                                  .neighbours = o->neighbours,
                                  .starts = o->starts,
                                  .gamma = o->gamma,
                                  .seed = o->seed};
    switch (o->method) {
    case CLUSTER_KMEANS:
    case CLUSTER_MINIBATCH:
        if (r->init || r->assign || o->method == CLUSTER_MINIBATCH) {
            size_t kd = (size_t)(o->k * r->work.d);
            float *init = ARENA_NEW(r->a, float, kd, e);
            if (!init) return -1;
            for (size_t i = 0; i < kd && r->init; i++) init[i] = (float)r->init[i];
            km.init = init;
        }
        return kmeans_plan(&r->work, &km, &r->m.kmeans, e);
    case CLUSTER_DBSCAN:
        return dbscan_plan(&r->work, o->min_samples, &r->m.dbscan, e);
    case CLUSTER_GMM:
        return gmm_plan(&r->work, &gm, &r->m.gmm, e);
    case CLUSTER_SPECTRAL:
        return spectral_plan(&r->work, &sp, &r->m.spectral, e);
    }
    assert(!"a method without a plan");
    return -1;
}

static int run_minibatch(struct run *r, struct err *e)
{
    const struct cluster_options *o = r->o;
    struct cluster_result *out = r->out;
    struct minibatch_options mb = {.k = o->k,
                                   .batch = o->batch,
                                   .starts = o->starts,
                                   .most_passes = o->most_steps,
                                   .seed = o->seed,
                                   .init = o->init ? r->m.kmeans.o.init : NULL};
    float *centre = ARENA_NEW(r->a, float, (size_t)(o->k * r->work.d), e);
    if (!centre) return -1;
    if (!(out->label = ARENA_NEW(r->a, int32_t, (size_t)r->work.n, e))) return -1;
    TRY(minibatch_run(r->engine, r->watch, work_seen(&r->work), r->work.n, r->work.d, &mb, centre,
                      &out->steps, e));
    out->model.centre = centre;
    return kmeans_assign(&r->m.kmeans, centre, out->label, &out->inertia, e);
}

static int run_method(struct run *r, struct err *e)
{
    struct cluster_result *out = r->out;
    struct kmeans_result km = {0};
    struct dbscan_result db;
    struct gmm_result gm;
    struct spectral_result sp;
    out->clusters = r->o->k;
    switch (r->o->method) {
    case CLUSTER_KMEANS:
        TRY(kmeans_run(&r->m.kmeans, &km, e));
        out->label = km.label;
        out->model.centre = km.centre;
        out->inertia = km.inertia;
        out->steps = km.steps;
        out->start = km.start;
        out->empty = km.empty;
        return 0;
    case CLUSTER_MINIBATCH:
        return run_minibatch(r, e);
    case CLUSTER_DBSCAN:
        TRY(dbscan_run(&r->m.dbscan, r->o->eps, &db, e));
        out->label = db.label;
        out->clusters = db.clusters;
        out->noise = db.noise;
        out->core = db.core;
        return 0;
    case CLUSTER_GMM:
        TRY(gmm_run(&r->m.gmm, &gm, e));
        out->label = gm.label;
        out->likelihood = gm.likelihood;
        out->bic = gm.bic;
        out->bound = gm.bound;
        out->steps = gm.steps;
        out->start = gm.start;
        out->converged = gm.converged;
        out->model.gmm = gm.model;
        return 0;
    case CLUSTER_SPECTRAL:
        TRY(spectral_run(&r->m.spectral, &sp, e));
        out->label = sp.label;
        out->eigenvalue = sp.value;
        out->edges = sp.edges;
        out->steps = sp.rounds;
        return 0;
    }
    return 0;
}

double cluster_centre(const struct cluster_model *m, int64_t k, int64_t j)
{
    double x =
        m->method == CLUSTER_GMM ? m->gmm.mean[k * m->d + j] : (double)m->centre[k * m->d + j];
    return m->scale.standardised || m->pca.m ? x : x + m->scale.shift[j];
}

/* Where rows were shifted to, centres follow. */
static int shift_init(struct run *r, int64_t d, struct err *e)
{
    const struct cluster_model *m = &r->out->model;
    r->init = r->o->init;
    if (!r->init || m->scale.standardised || m->pca.m) return 0;
    double *init = ARENA_NEW(r->a, double, (size_t)(r->o->k * d), e);
    if (!init) return -1;
    for (int64_t i = 0; i < r->o->k * d; i++) init[i] = r->o->init[i] - m->scale.shift[i % d];
    r->init = init;
    return 0;
}

/* ---- rows -------------------------------------------------------------------------------------
 */

/* Rows as they are clustered, into the work. */
static int fill_rows(struct arena *a, const struct scale_source *source, const struct scale *scale,
                     struct pca *pca, struct work *w, struct err *e)
{
    float *x = work_rows(w);
    if (pca->m == 0) return scale_rows(a, source, scale, 0, source->n, x, e);
    struct scale_view view = {a, source, scale};
    struct pca_source s = {&view, scale_view_rows, source->n, source->d};
    return pca_project_all(pca, &s, x, e);
}

static int reduce(struct run *r, double wanted, struct pca *p, struct err *e)
{
    struct scale_view view = {r->a, r->source, &r->out->model.scale};
    struct pca_source s = {&view, scale_view_rows, r->source->n, r->source->d};
    return pca_open(r->a, r->engine, r->watch, &s, wanted, r->o->seed, p, e);
}

/* The first two components: of what is clustered if that came from a PCA. */
static int find_plane(struct run *r, struct err *e)
{
    struct cluster_result *out = r->out;
    struct pca two = {0};
    int64_t n = r->work.n, d = r->work.d;
    const float *x = work_seen(&r->work);
    if (!(out->plane = ARENA_NEW(r->a, float, (size_t)(2 * n), e))) return -1;
    bool direct = out->model.pca.m > 0 || d < 3;
    for (int64_t i = 0; i < n && direct; i++) {
        out->plane[2 * i] = x[i * d];
        out->plane[2 * i + 1] = d > 1 ? x[i * d + 1] : 0;
    }
    if (direct || n < 2) return 0;
    TRY(reduce(r, 2, &two, e));
    int rc = pca_project(&two, x, n, out->plane, e);
    pca_close(&two);
    return rc;
}

/* How many clusters DBSCAN finds is known only when it has: metrics have a plan of their own. */
static int judge_found(struct run *r, struct err *e)
{
    struct cluster_result *out = r->out;
    struct work w = {0};
    int rc = work_open(r->a, r->engine, r->watch, out->n, r->work.d, &w, e);
    if (rc == 0) rc = metrics_plan(&w, out->clusters, &r->m.metrics, e);
    if (rc == 0) rc = work_ready(&w, e);
    if (rc == 0) {
        memcpy(work_rows(&w), work_seen(&r->work), (size_t)(out->n * w.d) * sizeof(float));
        rc = metrics_run(&r->m.metrics, out->label, &out->metrics, e);
    }
    work_close(&w);
    return rc;
}

static int run_all(struct run *r, bool plane, struct err *e)
{
    struct cluster_result *out = r->out;
    const struct cluster_options *o = r->o;
    double t0 = thread_seconds(), t1;
    out->n = r->source->n;
    out->columns = r->source->d;
    out->inertia = out->likelihood = out->bic = out->bound = NAN;
    out->model.method = o->method;
    if (o->method != CLUSTER_DBSCAN && o->k > out->n)
        return err_set(e, E_INPUT,
                       "%lld clusters of %lld row%s; there cannot be more clusters than rows",
                       (long long)o->k, (long long)out->n, str_s(out->n));
    TRY(scale_measure(r->a, r->source, o->standardise, &out->model.scale, e));
    out->read_s = (t1 = thread_seconds()) - t0;
    if (o->pca > 0) TRY(reduce(r, o->pca, &out->model.pca, e));
    int64_t d = out->model.pca.m ? out->model.pca.m : r->source->d;
    out->pca_s = (t0 = thread_seconds()) - t1;
    TRY(shift_init(r, d, e));
    TRY(work_open(r->a, r->engine, r->watch, r->source->n, d, &r->work, e));
    TRY(plan_method(r, e));
    bool judged = o->metrics && o->method != CLUSTER_DBSCAN;
    if (judged) TRY(metrics_plan(&r->work, o->k, &r->m.metrics, e));
    TRY(work_ready(&r->work, e));
    TRY(fill_rows(r->a, r->source, &out->model.scale, &out->model.pca, &r->work, e));
    out->model.k = o->k;
    out->model.d = d;
    t1 = thread_seconds();
    *(o->pca > 0 ? &out->pca_s : &out->read_s) += t1 - t0;
    TRY(run_method(r, e));
    out->fit_s = (t0 = thread_seconds()) - t1;
    if (plane) TRY(find_plane(r, e));
    t0 = thread_seconds();
    if (judged) TRY(metrics_run(&r->m.metrics, out->label, &out->metrics, e));
    if (o->metrics && !judged && out->clusters > 0) TRY(judge_found(r, e));
    out->has_metrics = o->metrics && out->clusters > 0;
    out->metrics.silhouettes = NULL; /* of the work, which goes */
    out->metrics_s = thread_seconds() - t0;
    return 0;
}

static int run_once(struct arena *a, struct engine *engine, const struct work_watch *watch,
                    const struct scale_source *source, const struct cluster_options *o, bool plane,
                    struct cluster_result *out, struct err *e)
{
    struct run r = {.a = a, .engine = engine, .watch = watch, .source = source, .o = o, .out = out};
    *out = (struct cluster_result){0};
    int rc = run_all(&r, plane, e);
    if (rc == 0 && o->method == CLUSTER_DBSCAN) { /* label lies in the plan's memory */
        int32_t *label = ARENA_NEW(a, int32_t, (size_t)out->n, e);
        rc = label ? 0 : -1;
        if (label) memcpy(label, out->label, (size_t)out->n * sizeof *label);
        out->label = label;
    }
    pca_close(&out->model.pca);
    work_close(&r.work);
    return rc;
}

int cluster_run(struct arena *a, struct engine *engine, const struct work_watch *watch,
                const struct scale_source *source, const struct cluster_options *o, bool plane,
                struct cluster_result *out, struct err *e)
{
    struct arena_mark mark = arena_here(a);
    struct err why;
    while (run_once(a, engine, watch, source, o, plane, out, &why)) {
        TRY(engine_retreat(engine, &why, e));
        arena_rewind(a, mark);
    }
    return 0;
}

static int predict_once(struct arena *a, struct engine *engine, const struct work_watch *watch,
                        const struct scale_source *source, struct cluster_model *m, int32_t *label,
                        struct err *e)
{
    struct cluster_options o = {
        .method = m->method, .k = m->k, .starts = 1, .covariance = m->gmm.kind};
    struct cluster_result unused = {0};
    struct run r = {.a = a, .engine = engine, .watch = watch, .source = source, .o = &o};
    double likelihood;
    r.out = &unused;
    if (source->d != m->scale.d)
        return err_set(e, E_INPUT, "rows of %lld number%s; the model was made of rows of %lld",
                       (long long)source->d, str_s(source->d), (long long)m->scale.d);
    r.assign = true;
    int rc = work_open(a, engine, watch, source->n, m->d, &r.work, e);
    if (rc == 0) rc = plan_method(&r, e);
    if (rc == 0) rc = work_ready(&r.work, e);
    if (rc == 0 && m->pca.m) rc = pca_ready(a, engine, watch, &m->pca, e);
    if (rc == 0) rc = fill_rows(a, source, &m->scale, &m->pca, &r.work, e);
    if (rc == 0)
        rc = m->method == CLUSTER_GMM ? gmm_assign(&r.m.gmm, &m->gmm, label, &likelihood, e)
                                      : kmeans_assign(&r.m.kmeans, m->centre, label, NULL, e);
    pca_close(&m->pca);
    work_close(&r.work);
    return rc;
}

int cluster_predict(struct arena *a, struct engine *engine, const struct work_watch *watch,
                    const struct scale_source *source, struct cluster_model *m, int32_t *label,
                    struct err *e)
{
    struct err why;
    while (predict_once(a, engine, watch, source, m, label, &why))
        TRY(engine_retreat(engine, &why, e));
    return 0;
}

int cluster_measure(struct arena *a, struct engine *engine, int64_t n, int64_t d,
                    const struct cluster_options *o, struct backend_memory *out, struct err *e)
{
    struct run r = {.a = a, .engine = engine, .o = o};
    TRY(work_open(a, engine, NULL, n, o->pca >= 1 ? (int64_t)o->pca : d, &r.work, e));
    TRY(plan_method(&r, e));
    if (o->metrics && o->method != CLUSTER_DBSCAN)
        TRY(metrics_plan(&r.work, o->k, &r.m.metrics, e));
    return work_measure(&r.work, out, e);
}
