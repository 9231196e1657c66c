#include "cluster/minibatch.h"
#include <math.h>
#include <string.h>

enum {
    SAMPLE_BATCHES = 3,
    SAMPLE_STEPS = 10,
    NO_GAIN = 10
}; /* scikit-learn: init_size, max_no_improvement */

struct batch {
    const float *x;
    int64_t n, d;
    const struct minibatch_options *o;
    struct work_random random;
    double *weight; /* [k] rows a centre has seen */
};

static void take_sample(struct batch *b, float *to, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        int64_t row = count == b->n ? i : (int64_t)(work_draw(&b->random) * (double)b->n);
        memcpy(to + i * b->d, b->x + row * b->d, (size_t)b->d * sizeof *to);
    }
}

/* The best of several k-means on a few batches' rows. */
static int begin(struct batch *b, struct arena *a, struct engine *engine, float *centre,
                 struct err *e)
{
    const struct minibatch_options *o = b->o;
    struct kmeans_options ko = {
        .k = o->k, .starts = o->starts, .most_steps = SAMPLE_STEPS, .tol = 1e-4, .seed = o->seed};
    struct kmeans m;
    struct kmeans_result r = {0};
    struct work w = {0};
    int64_t rows = MIN(b->n, MAX(SAMPLE_BATCHES * o->batch, SAMPLE_BATCHES * o->k));
    int rc = work_open(a, engine, NULL, rows, b->d, &w, e);
    if (rc == 0) rc = kmeans_plan(&w, &ko, &m, e);
    if (rc == 0) rc = work_ready(&w, e);
    if (rc == 0) {
        take_sample(b, work_rows(&w), rows);
        rc = kmeans_run(&m, &r, e);
    }
    if (rc == 0) memcpy(centre, r.centre, (size_t)(o->k * b->d) * sizeof *centre);
    work_close(&w);
    return rc;
}

/* A centre becomes the mean of all rows it has ever been given. Those given less than a hundredth
 * of the most begin anew at a row of the batch. */
static void learn(struct batch *b, struct kmeans *m, bool renew, float *centre)
{
    int64_t k = b->o->k, d = b->d;
    const float *rows = work_seen(m->w);
    const double *sum = work_at(m->w, m->sum);
    const int32_t *count = work_at(m->w, m->count);
    double most = 0;
    for (int64_t j = 0; j < k; j++) {
        double whole = b->weight[j] + count[j];
        for (int64_t i = 0; i < d && count[j] > 0; i++)
            centre[j * d + i] =
                (float)(((double)centre[j * d + i] * b->weight[j] + sum[j * d + i]) / whole);
        b->weight[j] = whole;
        most = fmax(most, whole);
    }
    for (int64_t j = 0; j < k && renew; j++) {
        if (b->weight[j] >= most / 100) continue;
        int64_t row = (int64_t)(work_draw(&b->random) * (double)m->w->n);
        memcpy(centre + j * d, rows + row * d, (size_t)d * sizeof *centre);
        b->weight[j] = most / 100;
    }
}

static int run_batches(struct batch *b, struct arena *a, struct kmeans *m, float *centre,
                       int64_t *steps, struct err *e)
{
    const struct minibatch_options *o = b->o;
    int64_t rows = m->w->n, most = MAX(1, o->most_passes * b->n / rows), idle = 0;
    int32_t *label = ARENA_NEW(a, int32_t, (size_t)rows, e);
    double smooth = 0, best = INFINITY, share = fmin(1, 2.0 * (double)rows / (double)(b->n + 1));
    if (!label) return -1;
    for (*steps = 0; *steps < most && idle < NO_GAIN;) {
        double inertia;
        take_sample(b, work_rows(m->w), rows);
        TRY(kmeans_assign(m, centre, label, &inertia, e));
        ++*steps;
        learn(b, m, *steps % 10 == 0, centre);
        smooth = *steps == 1 ? inertia : smooth * (1 - share) + inertia * share;
        idle = smooth < best ? 0 : idle + 1;
        best = fmin(best, smooth);
        work_progress(m->w, "batches", (double)*steps, (double)most);
    }
    work_progress(m->w, "batches", -1, 0);
    return 0;
}

static int run(struct batch *b, struct arena *a, struct engine *engine,
               const struct work_watch *watch, float *centre, int64_t *steps, struct err *e)
{
    const struct minibatch_options *o = b->o;
    struct kmeans_options ko = {.k = o->k, .starts = 1, .init = centre};
    struct kmeans m;
    struct work w = {0};
    if (!(b->weight = ARENA_NEW(a, double, (size_t)o->k, e))) return -1;
    work_seed(&b->random, o->seed);
    if (o->init)
        memcpy(centre, o->init, (size_t)(o->k * b->d) * sizeof *centre);
    else
        TRY(begin(b, a, engine, centre, e));
    int rc = work_open(a, engine, watch, MIN(b->n, MAX(o->batch, o->k)), b->d, &w, e);
    if (rc == 0) rc = kmeans_plan(&w, &ko, &m, e);
    if (rc == 0) rc = work_ready(&w, e);
    if (rc == 0) rc = run_batches(b, a, &m, centre, steps, e);
    work_close(&w);
    return rc;
}

int minibatch_run(struct engine *engine, const struct work_watch *watch, const float *x, int64_t n,
                  int64_t d, const struct minibatch_options *o, float *centre, int64_t *steps,
                  struct err *e)
{
    struct batch b = {.x = x, .n = n, .d = d, .o = o};
    struct arena *own;
    if (o->k < 1 || o->k > n)
        return err_set(e, E_INPUT, "%lld clusters of %lld rows; 1 to %lld are possible",
                       (long long)o->k, (long long)n, (long long)n);
    TRY(arena_open("minibatch", 0, &own, e));
    int rc = run(&b, own, engine, watch, centre, steps, e);
    arena_close(&own);
    return rc;
}
