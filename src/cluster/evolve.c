#include "cluster/evolve.h"
#include "base/thread.h"
#include "cluster/evolve_draw.h"
#include "cluster/evolve_fit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_FAILED 10 /* batches */
#define PROBES      3  /* of a calibration */
#define SAME_EPS    1e-5

struct evolve {
    struct arena *arena, *step; /* step: of one run */
    struct evolve_options o;    /* ranges as calibrated */
    const struct evolve_songs *songs;
    const struct evolve_watch *watch;
    struct work_watch inner; /* cancels, and says nothing */
    struct evolve_draw draw;
    struct scale scale;
    struct pca pca; /* its components alone */
    struct evolve_fit fit;
    float *x; /* [n][d] */
    struct evolve_run *elite, *batch;
    const struct evolve_run *known; /* [n_known] of an earlier search */
    int64_t n_known, n_elites, stale, failed_batches, brought_back;
    struct err lost; /* of the last failed batch */
    struct evolve_result *out;
};

/* ---- the library ------------------------------------------------------------------------------
 */

/* Centres among the rows as they are read -> among the components, and back. */
static int turn_begin(struct evolve *v, struct err *e)
{
    int64_t columns = v->pca.d, d = v->fit.d, k = v->o.begin_clusters;
    float *to = ARENA_NEW(v->arena, float, (size_t)(k * d), e);
    if (!to) return -1;
    for (int64_t i = 0; i < k * d; i++) {
        const double *from = v->o.begin + i / d * columns;
        const float *component = v->pca.component + i % d * columns;
        double sum = (double)v->pca.offset[i % d];
        for (int64_t j = 0; j < columns; j++)
            sum += (double)component[j] * (from[j] - v->scale.shift[j]) / v->scale.unit[j];
        to[i] = (float)sum;
    }
    v->fit.begin = to;
    v->fit.begin_clusters = k;
    return 0;
}

static int find_middles(const struct evolve *v, const struct evolve_clusters *c, struct arena *a,
                        struct evolve_playlists *out, struct err *e)
{
    int64_t columns = out->columns = v->pca.d, d = v->fit.d;
    double *sum = ARENA_NEW(a, double, (size_t)(c->clusters * d), e);
    int64_t *count = ARENA_NEW(a, int64_t, (size_t)c->clusters, e);
    out->middle = ARENA_NEW(a, double, (size_t)(c->clusters * columns), e);
    if (!sum || !count || !out->middle) return -1;
    for (int64_t i = 0; i < c->n; i++) {
        const float *x = v->x + (int64_t)c->song[i] * d;
        if (c->label[i] < 0) continue;
        count[c->label[i]]++;
        for (int64_t j = 0; j < d; j++) sum[c->label[i] * d + j] += (double)x[j];
    }
    for (int64_t k = 0; k < c->clusters; k++) {
        double *to = out->middle + k * columns;
        for (int64_t m = 0; m < d; m++) {
            double y = sum[k * d + m] / (double)MAX(count[k], 1) - (double)v->pca.offset[m];
            const float *component = v->pca.component + m * columns;
            for (int64_t j = 0; j < columns; j++) to[j] += y * (double)component[j];
        }
        for (int64_t j = 0; j < columns; j++) to[j] = to[j] * v->scale.unit[j] + v->scale.shift[j];
    }
    return 0;
}

/* After a failure: 0 if what failed is to be done again, on the device opened anew or, where that
 * was tried, on the next one; the same numbers are drawn again. Else -1, and *e stays. */
static int bring_back(struct evolve *v, int tries, struct err *e)
{
    const struct engine *g = v->fit.engine;
    char line[700];
    TRY(engine_again(v->fit.engine, tries, e));
    snprintf(line, sizeof line, "%s; going on with %s, %s", e->text, engine_device(g),
             engine_describe(g));
    if (v->watch->note) v->watch->note(v->watch->work.ctx, line);
    v->brought_back++;
    arena_reset(v->step);
    return 0;
}

static int read_library(struct evolve *v, struct engine *engine, const struct scale_source *source,
                        struct err *e)
{
    struct pca *p = &v->pca;
    TRY(scale_measure(v->arena, source, true, &v->scale, e));
    v->fit.d = MIN(source->n, source->d);
    v->x = ARENA_NEW(v->arena, float, (size_t)(source->n * v->fit.d), e);
    if (!v->x) return -1;
    v->fit.x = v->x;
    struct scale_view view = {v->step, source, &v->scale};
    struct pca_source ps = {&view, scale_view_rows, source->n, source->d};
    int rc = pca_open(v->arena, engine, &v->inner, &ps, (double)v->fit.d, v->o.seed, p, e);
    if (rc == 0) rc = pca_project_all(p, &ps, v->x, e);
    pca_close(p);
    return rc || !v->o.begin ? rc : turn_begin(v, e);
}

int evolve_open(struct arena *a, struct engine *engine, const struct evolve_watch *watch,
                const struct scale_source *source, const struct evolve_songs *songs,
                const struct evolve_options *o, struct evolve **out, struct err *e)
{
    struct evolve *v = ARENA_NEW(a, struct evolve, 1, e);
    if (!v) return -1;
    *out = v;
    v->arena = a;
    v->o = *o;
    v->songs = songs;
    v->watch = watch;
    v->inner = (struct work_watch){watch->work.ctx, NULL, watch->work.cancelled};
    v->fit = (struct evolve_fit){.engine = engine, .watch = &v->inner, .o = &v->o};
    if (source->d > PCA_EXACT)
        return err_set(e, E_INPUT, "rows of %lld numbers; a search takes up to %d",
                       (long long)source->d, PCA_EXACT);
    TRY(arena_open("run", 0, &v->step, e));
    TRY(evolve_draw_open(a, songs, o, &v->draw, e));
    if (v->draw.size < 3)
        return err_set(e, E_INPUT, "%lld song%s with moods in a run; at least 3 are needed",
                       (long long)v->draw.size, str_s(v->draw.size));
    v->elite = ARENA_NEW(a, struct evolve_run, (size_t)MAX(o->elites, 1), e);
    v->batch = ARENA_NEW(a, struct evolve_run, (size_t)o->batch, e);
    if (!v->elite || !v->batch) return -1;
    if (o->begin && (o->begin_clusters < 2 || o->begin_clusters >= v->draw.size))
        return err_set(e, E_INPUT,
                       "%lld cluster%s of an earlier search; 2 to %lld can be of %lld songs",
                       (long long)o->begin_clusters, str_s(o->begin_clusters),
                       (long long)v->draw.size - 1, (long long)v->draw.size);
    struct arena_mark mark = arena_here(a);
    for (int tries = 0; read_library(v, engine, source, e); tries++) {
        TRY(bring_back(v, tries, e));
        arena_rewind(a, mark);
    }
    return 0;
}

void evolve_close(struct evolve **v)
{
    if (!*v) return;
    arena_close(&(*v)->step);
    *v = NULL;
}

/* ---- a run ------------------------------------------------------------------------------------
 */

/* The fittest clustering of these parameters; it lives in a. */
static int fit_best(struct evolve *v, const struct evolve_candidate *c, struct arena *a,
                    struct evolve_clusters *best, struct evolve_score *score, struct err *e)
{
    struct evolve_clusters found[EVOLVE_FINALS];
    int count;
    TRY(evolve_fit_run(a, &v->fit, c, v->draw.song, v->draw.size, found, &count, e));
    for (int i = 0; i < count; i++) {
        struct evolve_score s;
        TRY(evolve_score_run(a, v->songs, &v->o, &found[i], &s, NULL, e));
        if (i > 0 && evolve_score_rank(&v->o, &s, score) <= 0) continue;
        *score = s;
        *best = found[i];
    }
    return 0;
}

static int run_one(struct evolve *v, struct evolve_run *r, struct err *e)
{
    struct arena_mark mark = arena_here(v->step);
    struct evolve_clusters best;
    int rc = fit_best(v, &r->c, v->step, &best, &r->s, e);
    arena_rewind(v->step, mark);
    if (rc == 0 && r->s.playlists > 0) return 0;
    if (rc && e->code != E_INPUT) return -1;
    r->s = (struct evolve_score){.fitness = EVOLVE_FAILED}; /* these parameters gave nothing */
    return 0;
}

/* The songs of a run: those of the batch's first one, changed as often as runs went before it. */
static void draw_until(struct evolve *v, int64_t run)
{
    struct work_random r;
    int64_t begun = run / v->o.batch * v->o.batch;
    work_seed(&r, evolve_draw_stream(v->o.seed, EVOLVE_SONGS, begun));
    for (int64_t i = begun; i <= run; i++) evolve_draw_songs(&v->draw, i == begun, &r);
}

/* Run 0 of a search that goes on from an earlier one. */
static struct evolve_candidate begun_candidate(const struct evolve *v)
{
    return (struct evolve_candidate){.method = CLUSTER_KMEANS,
                                     .components = (int32_t)MIN(v->o.begin_components, v->fit.d),
                                     .clusters = (int32_t)v->fit.begin_clusters,
                                     .min_samples = (int32_t)v->o.min_samples.least,
                                     .eps = v->o.eps_least};
}

static struct evolve_candidate draw_candidate(const struct evolve *v, int64_t run)
{
    int64_t begun = run / v->o.batch * v->o.batch;
    bool vary = (double)begun >= (double)v->o.runs * v->o.explore;
    if (run == 0 && v->fit.begin) return begun_candidate(v);
    return evolve_draw_candidate(&v->o, run, v->elite, v->n_elites, vary, v->draw.size, v->fit.d);
}

/* What an earlier search found with these parameters, or NULL: it lost the run, or drew others for
 * it, because it lost one before that is among the best now. eps of a calibration may differ by
 * what another machine rounds. */
static const struct evolve_run *find_known(const struct evolve *v, const struct evolve_candidate *c)
{
    if (c->run >= v->n_known) return NULL;
    const struct evolve_candidate *k = &v->known[c->run].c;
    bool same = k->run == c->run && k->method == c->method && k->components == c->components &&
                k->clusters == c->clusters && k->min_samples == c->min_samples &&
                k->state == c->state && fabs(k->eps - c->eps) <= SAME_EPS * c->eps;
    return same ? &v->known[c->run] : NULL;
}

static void tell_progress(const struct evolve *v, int64_t run)
{
    char what[80] = "search";
    if (!v->watch->work.progress) return;
    if (v->n_elites > 0)
        snprintf(what, sizeof what, "search, best %.3f of %d playlist%s", v->out->best.s.fitness,
                 v->out->best.s.playlists, str_s(v->out->best.s.playlists));
    v->watch->work.progress(v->watch->work.ctx, what, (double)run, (double)v->o.runs);
}

/* made: how many of them were not known. */
static int run_batch(struct evolve *v, int64_t begun, int64_t count, int64_t *made, struct err *e)
{
    struct work_random r;
    int64_t drawn = 0;
    *made = 0;
    work_seed(&r, evolve_draw_stream(v->o.seed, EVOLVE_SONGS, begun));
    for (int64_t i = 0; i < count; i++) {
        struct evolve_run *run = &v->batch[i];
        *run = (struct evolve_run){.c = draw_candidate(v, begun + i)};
        const struct evolve_run *known = find_known(v, &run->c);
        if (known) {
            *run = *known;
            continue;
        }
        ++*made;
        for (; drawn <= i; drawn++) evolve_draw_songs(&v->draw, drawn == 0, &r);
        tell_progress(v, begun + i);
        TRY(run_one(v, run, e));
    }
    return 0;
}

/* ---- the elite --------------------------------------------------------------------------------
 */

/* The runs of a batch become part of what is known. */
static void take_batch(struct evolve *v, const struct evolve_run *run, int64_t count)
{
    struct evolve_result *out = v->out;
    bool better = false;
    for (int64_t i = 0; i < count; i++) {
        out->history[out->runs++] = run[i].s.fitness;
        out->failed += run[i].s.playlists == 0;
        if (run[i].s.playlists == 0) continue;
        if (out->best.s.playlists == 0 || evolve_score_rank(&v->o, &run[i].s, &out->best.s) > 0) {
            out->best = run[i];
            better = true;
        }
        int64_t at = v->n_elites, most = MAX(v->o.elites, 1);
        while (at > 0 && evolve_score_rank(&v->o, &run[i].s, &v->elite[at - 1].s) > 0) at--;
        if (at == most) continue;
        v->n_elites = MIN(v->n_elites + 1, most);
        memmove(v->elite + at + 1, v->elite + at,
                (size_t)(v->n_elites - at - 1) * sizeof *v->elite);
        v->elite[at] = run[i];
    }
    v->stale = better ? 0 : v->stale + 1;
}

/* A batch that failed costs its runs. */
static int lose_batch(struct evolve *v, int64_t begun, int64_t count, struct err *e)
{
    char line[700];
    if (e->code == E_CANCELLED) return -1;
    if (++v->failed_batches > MOST_FAILED)
        return err_note(e, "%d batches failed, the last one so", MOST_FAILED + 1);
    v->lost = *e;
    v->out->lost += count;
    snprintf(line, sizeof line, "runs %lld to %lld are lost: %s", (long long)begun,
             (long long)(begun + count - 1), e->text);
    if (v->watch->note) v->watch->note(v->watch->work.ctx, line);
    for (int64_t i = 0; i < count; i++)
        v->batch[i] = (struct evolve_run){.c.run = begun + i, .s.fitness = EVOLVE_FAILED};
    arena_reset(v->step);
    return 0;
}

/* ---- calibration ------------------------------------------------------------------------------
 */

struct probe {
    int64_t full, large, needed;
};

static int try_probe(struct evolve *v, int64_t number, struct probe *p, struct err *e)
{
    struct evolve_run r = {0};
    struct evolve_options *o = &v->o, kept = *o;
    memset(o->weight, 0, sizeof o->weight);
    if (o->method == EVOLVE_MIXED) o->method = CLUSTER_KMEANS;
    o->clusters.least = o->clusters.most;
    r.c = evolve_draw_candidate(o, -1 - number, NULL, 0, false, v->draw.size, v->fit.d);
    struct evolve_playlists lists;
    struct evolve_clusters found[EVOLVE_FINALS];
    struct arena_mark mark = arena_here(v->step);
    int count,
        rc = evolve_fit_run(v->step, &v->fit, &r.c, v->draw.song, v->draw.size, found, &count, e);
    if (rc == 0) rc = evolve_score_run(v->step, v->songs, o, &found[0], &r.s, &lists, e);
    *o = kept;
    p->full = p->large = 0;
    for (int64_t i = 0; i < lists.n && rc == 0; i++) {
        int64_t songs = lists.list[i].to - lists.list[i].from;
        p->full += songs >= o->min_songs;
        p->large += o->split > 0 && songs > o->split;
    }
    arena_rewind(v->step, mark);
    return rc && e->code != E_INPUT ? -1 : 0;
}

static bool better_probe(const struct probe *a, const struct probe *b)
{
    const int64_t x[] = {a->full > 0, a->full >= a->needed, -a->large, a->full};
    const int64_t y[] = {b->full > 0, b->full >= b->needed, -b->large, b->full};
    for (size_t i = 0; i < COUNT(x); i++)
        if (x[i] != y[i]) return x[i] > y[i];
    return false;
}

/* How many clusters can be had of so many songs, and how many are needed. */
static int64_t bound_clusters(struct evolve_options *o, int64_t songs)
{
    int64_t least = MAX(2, o->split > 0 ? songs / o->split : 2);
    int64_t cap = MAX(least, songs / MAX(2 * o->min_songs, 1));
    int64_t wanted = o->top_n > 0 ? o->top_n : cap;
    if (cap < o->clusters.most) o->clusters.most = MAX(least, MIN(cap, MAX(2, wanted)));
    o->clusters.least = MAX(2, MIN(o->clusters.least, o->clusters.most));
    return MAX(2, MIN(wanted, o->clusters.most));
}

static void next_probe(struct evolve_options *o, const struct probe *p, double most_eps)
{
    if (o->method != CLUSTER_DBSCAN) {
        if (p->full < p->needed) {
            o->clusters.most = MAX(p->needed, o->clusters.most / 2);
            o->clusters.least = MAX(2, MIN(o->clusters.least, o->clusters.most));
        } else {
            o->clusters.least += MAX(1, o->clusters.least / 2);
            o->clusters.most += MAX(1, o->clusters.most / 2);
        }
    } else if (p->large > 0) {
        o->eps_least = fmax(0.05, o->eps_least * 0.7);
        o->eps_most = fmax(o->eps_least * 1.2, o->eps_most * 0.7);
    } else {
        o->eps_most = fmin(o->eps_most * 1.5, most_eps);
        o->eps_least = fmin(o->eps_least * 1.5, o->eps_most);
    }
}

/* Up to three runs at the upper end of the ranges find ranges that give enough playlists, none too
 * large. */
static int calibrate(struct evolve *v, struct err *e)
{
    struct evolve_options *o = &v->o, best = *o;
    struct probe p, best_p = {.full = -1};
    double most_eps = o->eps_most;
    if (!o->calibrate) return 0;
    draw_until(v, 0);
    if (o->method == CLUSTER_DBSCAN || o->method == EVOLVE_MIXED) {
        int64_t k = MAX(2, (o->min_samples.least + o->min_samples.most) / 2);
        TRY(evolve_fit_eps(v->step, &v->fit, v->draw.song, v->draw.size, k, &o->eps_least,
                           &o->eps_most, e));
        most_eps = o->eps_most * 1.5;
    }
    for (int64_t i = 0; i < PROBES; i++) {
        if (o->method == CLUSTER_DBSCAN)
            p.needed = MAX(2, o->top_n);
        else
            p.needed = bound_clusters(o, v->draw.size);
        TRY(try_probe(v, i, &p, e));
        if (i == 0 || better_probe(&p, &best_p)) {
            best = *o;
            best_p = p;
        }
        if (p.full >= p.needed && p.large == 0) break;
        next_probe(o, &p, most_eps);
    }
    *o = best;
    return 0;
}

/* ---- the search -------------------------------------------------------------------------------
 */

static const char *stops(const struct evolve *v, double begun_s)
{
    if (v->out->runs >= v->o.runs) return "all runs are done";
    if (v->o.stop_batches > 0 && v->stale >= v->o.stop_batches && v->out->best.s.playlists > 0)
        return "no better run in as many batches as asked for";
    /* what is known costs no time: it is all read, up to a run that has to be made */
    bool worked = v->out->made > 0 || v->out->runs >= v->n_known;
    if (v->o.stop_seconds > 0 && worked && thread_seconds() - begun_s >= v->o.stop_seconds)
        return "the time is over";
    return NULL;
}

static int search_on(struct evolve *v, double begun_s, struct err *e)
{
    struct evolve_result *out = v->out;
    while (!(out->stop = stops(v, begun_s))) {
        int64_t begun = out->runs, count = MIN(v->o.batch, v->o.runs - begun), made;
        for (int tries = 0; run_batch(v, begun, count, &made, e); tries++) {
            if (bring_back(v, tries, e) == 0) continue;
            TRY(lose_batch(v, begun, count, e));
            made = count;
            break;
        }
        if (made > 0 && v->watch->done)
            TRY(v->watch->done(v->watch->work.ctx, begun, v->batch, count, e));
        out->made += made;
        take_batch(v, v->batch, count);
    }
    if (v->failed_batches == 0 || out->best.s.playlists > 0) return 0;
    *e = v->lost;
    return err_note(e, "no run gave a playlist, and %lld batches failed, the last one so",
                    (long long)v->failed_batches);
}

int evolve_search(struct evolve *v, const struct evolve_run *known, int64_t n_known,
                  struct evolve_result *out, struct err *e)
{
    double begun_s = thread_seconds();
    *out = (struct evolve_result){0};
    v->out = out;
    v->known = known;
    v->n_known = n_known;
    if (!(out->history = ARENA_NEW(v->arena, double, (size_t)v->o.runs, e))) return -1;
    const struct evolve_options asked = v->o;
    for (int tries = 0; calibrate(v, e); tries++) {
        TRY(bring_back(v, tries, e));
        v->o = asked;
    }
    out->clusters = v->o.clusters;
    out->eps_least = v->o.eps_least;
    out->eps_most = v->o.eps_most;
    int rc = search_on(v, begun_s, e);
    if (v->watch->work.progress) v->watch->work.progress(v->watch->work.ctx, "search", -1, 0);
    out->seconds = thread_seconds() - begun_s;
    return rc;
}

int64_t evolve_brought_back(const struct evolve *v)
{
    return v->brought_back;
}

int evolve_again(struct evolve *v, const struct evolve_candidate *c, struct arena *a,
                 struct evolve_score *score, struct evolve_playlists *out, struct err *e)
{
    struct evolve_clusters clusters;
    draw_until(v, c->run);
    for (int tries = 0; fit_best(v, c, a, &clusters, score, e); tries++)
        TRY(bring_back(v, tries, e));
    TRY(evolve_score_run(a, v->songs, &v->o, &clusters, score, out, e));
    TRY(find_middles(v, &clusters, a, out, e));
    if (!(out->plane = ARENA_NEW(a, float, (size_t)(2 * clusters.n), e))) return -1;
    for (int64_t i = 0; i < clusters.n; i++) {
        const float *x = v->x + (int64_t)v->draw.song[i] * v->fit.d;
        out->plane[2 * i] = x[0];
        out->plane[2 * i + 1] = v->fit.d > 1 ? x[1] : 0;
    }
    return 0;
}
