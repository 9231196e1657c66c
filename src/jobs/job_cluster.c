/* `lode cluster`: rows of numbers in, clusters out. */
#include "base/thread.h"
#include "cluster/model.h"
#include "jobs/audiomuse.h"
#include "jobs/cluster_options.h"
#include "jobs/host.h"
#include "jobs/hunt.h"
#include "jobs/jobs.h"
#include "jobs/plot.h"
#include "load/numbers.h"
#include <math.h>
#include <string.h>

#define AT(field)  offsetof(struct cluster_flags, field)
#define MOST_COUNT 2000000000.0
#define DIGITS     12 /* of a number in JSON, however small or large: rows may be of any size */
/* clang-format off */
static const struct opt_row rows[] = {
    {.name = "method", .letter = 'm', .type = OPT_CHOICE, .offset = AT(method), .choices = CLUSTER_METHODS "|mixed", .fallback = "kmeans", .help = "How to cluster; mixed: a search tries kmeans, dbscan, gmm and spectral."},
    {.name = "clusters", .letter = 'k', .type = OPT_INT, .offset = AT(k), .min = 1, .max = MOST_COUNT, .fallback = "8", .value = "N", .alias = "n-clusters|n-components", .help = "How many clusters; dbscan finds their number itself."},
    {.name = "seed", .letter = 's', .type = OPT_INT, .offset = AT(seed), .min = 0, .max = 9e15, .fallback = "0", .value = "N", .alias = "random-state", .help = "The same seed gives the same clusters."},
    {.name = "labels", .letter = 'o', .type = OPT_TEXT, .offset = AT(labels), .value = "FILE", .help = "Write the cluster of every row, .npy of int32, noise -1."},
    {.name = "centers", .type = OPT_TEXT, .offset = AT(centers), .value = "FILE", .help = "Write the centres (means of a mixture), .npy of float64, as they lie after --standardize and --pca."},
    {.name = "model", .type = OPT_TEXT, .offset = AT(model), .value = "FILE", .help = "Write what --predict needs: kmeans, minibatch, gmm."},
    {.name = "predict", .type = OPT_TEXT, .offset = AT(predict), .value = "MODEL", .help = "Give the rows to the clusters of a model instead of looking for new ones."},
    {.name = "plot", .type = OPT_TEXT, .offset = AT(plot), .value = "FILE", .help = "Draw the first two principal components, .svg or .png."},
    {.name = "json", .type = OPT_BOOL, .offset = AT(json), .help = "Report as one JSON object."},
    {.name = "quiet", .letter = 'q', .type = OPT_BOOL, .offset = AT(quiet), .help = "No progress, no remarks."},
    {.name = NULL, .help = "Rows"},
    {.name = "standardize", .type = OPT_BOOL, .offset = AT(standardize), .help = "Bring every column to mean 0 and deviation 1 first.", .alias = "standardise"},
    {.name = "pca", .type = OPT_NUMBER, .offset = AT(pca), .min = 0, .max = 1e9, .fallback = "0", .value = "N", .help = "Cluster the first N principal components; below 1: as many as explain that part of the variance."},
    {.name = "metrics", .type = OPT_BOOL, .offset = AT(metrics), .help = "Silhouette, Davies-Bouldin and Calinski-Harabasz of the result; rows of noise are left out."},
    {.name = NULL, .help = "kmeans, minibatch, gmm, spectral"},
    {.name = "init", .type = OPT_TEXT, .offset = AT(init), .value = "FILE", .help = "Begin with these centres or means, one per row: one start."},
    {.name = "n-init", .type = OPT_INT, .offset = AT(starts), .min = 0, .max = 10000, .fallback = "0", .value = "N", .help = "Starts, of which the best is kept; 0: kmeans and spectral 10, minibatch 3, gmm 1."},
    {.name = "max-iter", .type = OPT_INT, .offset = AT(max_iter), .min = 0, .max = MOST_COUNT, .fallback = "0", .value = "N", .help = "Steps of a start; 0: kmeans 300, minibatch 100 times over all rows, gmm 100."},
    {.name = "tol", .type = OPT_NUMBER, .offset = AT(tol), .min = -1, .max = 1e9, .fallback = "-1", .value = "X", .help = "When to stop; kmeans: squared moves of the centres, in mean variances of a column (1e-4); gmm: gain of a row's log-likelihood (1e-3). -1: these."},
    {.name = "batch-size", .type = OPT_INT, .offset = AT(batch), .min = 1, .max = MOST_COUNT, .fallback = "1024", .value = "N", .help = "minibatch: rows of a batch."},
    {.name = "covariance", .type = OPT_CHOICE, .offset = AT(covariance), .choices = CLUSTER_COVARIANCES, .fallback = "full", .help = "gmm: the shape of its clusters.", .alias = "covariance-type"},
    {.name = "reg-covar", .type = OPT_NUMBER, .offset = AT(ridge), .min = 0, .max = 1e9, .fallback = "1e-6", .value = "X", .help = "gmm: added to every variance."},
    {.name = "neighbors", .type = OPT_INT, .offset = AT(neighbors), .min = 1, .max = 10000, .fallback = "10", .value = "N", .help = "spectral: nearest rows an edge goes to, the row itself counted.", .alias = "n-neighbors"},
    {.name = "gamma", .type = OPT_NUMBER, .offset = AT(gamma), .min = 0, .max = 1e30, .fallback = "0", .value = "X", .help = "spectral: edges weigh exp(-X d^2) (RBF); 0: all alike."},
    {.name = NULL, .help = "dbscan"},
    {.name = "eps", .type = OPT_NUMBER, .offset = AT(eps), .min = 0, .max = 1e30, .fallback = "0.5", .value = "X", .help = "Rows so near are neighbours."},
    {.name = "min-samples", .type = OPT_INT, .offset = AT(min_samples), .min = 1, .max = MOST_COUNT, .fallback = "5", .value = "N", .help = "Neighbours, itself counted, that make a row the core of a cluster."},
    {.name = NULL, .help = "The search for playlists"},
    {.name = "search", .type = OPT_INT, .offset = AT(s.runs), .min = 0, .max = 10000000, .fallback = "0", .value = "N", .help = "Cluster samples of the rows N times, with parameters that are drawn, varied and judged by --moods, and write the best run's playlists.", .alias = "clustering-runs"},
    {.name = "moods", .type = OPT_TEXT, .offset = AT(s.moods), .value = "FILE", .help = "What is known of the songs, CSV or JSON lines, a row for each row of numbers: item_id, title, author, file_path, tempo, energy, mood_vector, other_features."},
    {.name = "out", .type = OPT_TEXT, .offset = AT(s.out), .value = "FOLDER", .help = "Where playlists (.m3u8), report.json, report.html and the journal go."},
    {.name = "resume", .type = OPT_BOOL, .offset = AT(s.resume), .help = "Go on where a search with the same settings was stopped; batches that were lost are made again."},
    {.name = "update", .type = OPT_TEXT, .offset = AT(s.update), .value = "REPORT", .help = "report.json of an earlier search: the first run begins with its clusters, playlists that are the same keep name, number and file. With --search 1 nothing else is tried."},
    {.name = "audiomuse-env", .type = OPT_TEXT, .offset = AT(s.env), .value = "FILE", .help = "Settings of AudioMuse-AI, lines NAME=VALUE; -: of the environment. Options that are given win."},
    {.name = "stop-after", .type = OPT_INT, .offset = AT(s.stop_batches), .min = 0, .max = MOST_COUNT, .fallback = "0", .value = "N", .help = "Stop after N batches without a better run; 0: never."},
    {.name = "time-limit", .type = OPT_INT, .offset = AT(s.stop_seconds), .min = 0, .max = MOST_COUNT, .fallback = "0", .value = "SECONDS", .help = "Stop after the batch in which so much time is over; 0: never."},
    {.name = "subset", .type = OPT_INT, .offset = AT(s.subset), .min = 0, .max = MOST_COUNT, .fallback = "10000", .value = "N", .help = "Songs of a run, drawn evenly from the genres; 0: all."},
    {.name = "batch", .type = OPT_INT, .offset = AT(s.batch), .min = 1, .max = 10000, .fallback = "20", .value = "N", .help = "Runs between two entries of the journal."},
    {.name = "top-n", .type = OPT_INT, .offset = AT(s.top_n), .min = 0, .max = 100000, .fallback = "10", .value = "N", .help = "Playlists that are written; 0: all."},
    {.name = "min-songs", .type = OPT_INT, .offset = AT(s.min_songs), .min = 1, .max = MOST_COUNT, .fallback = "20", .value = "N", .help = "Songs a playlist has at least."},
    {.name = "max-songs", .type = OPT_INT, .offset = AT(s.max_songs), .min = 0, .max = MOST_COUNT, .fallback = "0", .value = "N", .help = "And at most; 0: no limit."},
    {.name = "max-playlist", .type = OPT_INT, .offset = AT(s.split), .min = 0, .max = MOST_COUNT, .fallback = "200", .value = "N", .help = "Larger clusters of dbscan are cut; calibration avoids them; 0: no limit."},
    {.name = "max-distance", .type = OPT_NUMBER, .offset = AT(s.max_distance), .min = 0, .max = 1, .fallback = "0.5", .value = "X", .help = "How far from its centre a song may be, in parts of the largest distance of the run."},
    {.name = "per-artist", .type = OPT_INT, .offset = AT(s.per_artist), .min = 0, .max = MOST_COUNT, .fallback = "3", .value = "N", .help = "Songs of one artist in a playlist; 0: no limit."},
    {.name = "duplicates", .type = OPT_NUMBER, .offset = AT(s.duplicates), .min = 0, .max = 1, .fallback = "0.01", .value = "X", .help = "Songs whose angle to the one before, by title, is less (in half turns) are left out."},
    {.name = "calibrate", .type = OPT_BOOL, .offset = AT(s.calibrate), .fallback = "true", .help = "Find ranges that give enough playlists, and eps, by a few runs first."},
    {.name = "features", .type = OPT_BOOL, .offset = AT(s.features), .help = "Cluster tempo, energy, moods and features of --moods instead of the rows of numbers."},
    {.name = NULL, .help = "The search: what is drawn"},
    {.name = "clusters-min", .type = OPT_INT, .offset = AT(s.clusters_min), .min = 2, .max = MOST_COUNT, .fallback = "40", .value = "N", .help = "Clusters (kmeans, gmm, spectral) are drawn from here .."},
    {.name = "clusters-max", .type = OPT_INT, .offset = AT(s.clusters_max), .min = 2, .max = MOST_COUNT, .fallback = "100", .value = "N", .help = ".. to here."},
    {.name = "pca-min", .type = OPT_INT, .offset = AT(s.pca_min), .min = 0, .max = MOST_COUNT, .fallback = "0", .value = "N", .help = "Principal components; 0: all of the numbers."},
    {.name = "pca-max", .type = OPT_INT, .offset = AT(s.pca_max), .min = 0, .max = MOST_COUNT, .fallback = "199", .value = "N", .help = "At most."},
    {.name = "eps-min", .type = OPT_NUMBER, .offset = AT(s.eps_min), .min = 0, .max = 1e30, .fallback = "0.1", .value = "X", .help = "dbscan; calibration finds other ones."},
    {.name = "eps-max", .type = OPT_NUMBER, .offset = AT(s.eps_max), .min = 0, .max = 1e30, .fallback = "0.5", .value = "X", .help = "At most."},
    {.name = "min-samples-min", .type = OPT_INT, .offset = AT(s.samples_min), .min = 1, .max = MOST_COUNT, .fallback = "5", .value = "N", .help = "dbscan: neighbours of a core row."},
    {.name = "min-samples-max", .type = OPT_INT, .offset = AT(s.samples_max), .min = 1, .max = MOST_COUNT, .fallback = "20", .value = "N", .help = "At most."},
    {.name = "gmm-covariance", .type = OPT_CHOICE, .offset = AT(s.covariance), .choices = CLUSTER_COVARIANCES, .fallback = "diag", .help = "gmm: the shape of its clusters in a search."},
    {.name = "churn", .type = OPT_NUMBER, .offset = AT(s.churn), .min = 0, .max = 1, .fallback = "0.2", .value = "X", .help = "Part of the songs that is exchanged from run to run."},
    {.name = "genre-percentile", .type = OPT_NUMBER, .offset = AT(s.percentile), .min = 0, .max = 100, .fallback = "50", .value = "X", .help = "Of the genres' sizes: songs wanted of each."},
    {.name = "genre-songs", .type = OPT_INT, .offset = AT(s.genre_songs), .min = 0, .max = MOST_COUNT, .fallback = "100", .value = "N", .help = "But at least so many."},
    {.name = "explore", .type = OPT_NUMBER, .offset = AT(s.explore), .min = 0, .max = 1, .fallback = "0.2", .value = "X", .help = "Part of the runs before the best are varied."},
    {.name = "exploit", .type = OPT_NUMBER, .offset = AT(s.exploit), .min = 0, .max = 1, .fallback = "0.7", .value = "X", .help = "Chance that one of the best is varied, after that."},
    {.name = "elites", .type = OPT_INT, .offset = AT(s.elites), .min = 1, .max = 10000, .fallback = "10", .value = "N", .help = "How many are the best."},
    {.name = "mutate-int", .type = OPT_INT, .offset = AT(s.vary_count), .min = 0, .max = MOST_COUNT, .fallback = "3", .value = "N", .help = "Whole numbers are varied by so much."},
    {.name = "mutate-float", .type = OPT_NUMBER, .offset = AT(s.vary_number), .min = 0, .max = 1e30, .fallback = "0.05", .value = "X", .help = "And eps, in a range of 0.4; more in a wider one."},
    {.name = NULL, .help = "The search: weights of fitness"},
    {.name = "weight-mood-diversity", .type = OPT_NUMBER, .offset = AT(s.weight[EVOLVE_MOOD_DIVERSITY]), .min = -1000, .max = 1000, .fallback = "2", .value = "X", .help = "Different moods between playlists."},
    {.name = "weight-mood-purity", .type = OPT_NUMBER, .offset = AT(s.weight[EVOLVE_MOOD_PURITY]), .min = -1000, .max = 1000, .fallback = "1", .value = "X", .help = "Songs that have the moods of their playlist."},
    {.name = "weight-feature-diversity", .type = OPT_NUMBER, .offset = AT(s.weight[EVOLVE_FEATURE_DIVERSITY]), .min = -1000, .max = 1000, .fallback = "0", .value = "X", .help = "The same of the other features .."},
    {.name = "weight-feature-purity", .type = OPT_NUMBER, .offset = AT(s.weight[EVOLVE_FEATURE_PURITY]), .min = -1000, .max = 1000, .fallback = "0", .value = "X", .help = ".. danceable, aggressive, happy, party, relaxed, sad."},
    {.name = "weight-silhouette", .type = OPT_NUMBER, .offset = AT(s.weight[EVOLVE_SILHOUETTE]), .min = 0, .max = 1000, .fallback = "0", .value = "X", .help = "(1 + silhouette) / 2."},
    {.name = "weight-davies-bouldin", .type = OPT_NUMBER, .offset = AT(s.weight[EVOLVE_DAVIES_BOULDIN]), .min = 0, .max = 1000, .fallback = "0", .value = "X", .help = "1 / (1 + Davies-Bouldin)."},
    {.name = "weight-calinski-harabasz", .type = OPT_NUMBER, .offset = AT(s.weight[EVOLVE_CALINSKI_HARABASZ]), .min = 0, .max = 1000, .fallback = "0", .value = "X", .help = "1 - exp(-Calinski-Harabasz / 500)."},
    {.name = "top-moods", .type = OPT_INT, .offset = AT(s.top_moods), .min = 0, .max = 50, .fallback = "5", .value = "N", .help = "Of the 50 moods the first N are looked at; 0: all."},
    {.name = NULL, .help = "The machine"},
    {.name = "device", .letter = 'd', .type = OPT_TEXT, .offset = AT(device), .fallback = "auto", .value = "auto|cpu|cuda[:N]", .help = "auto takes the GPU if it can be used."},
    {.name = "threads", .letter = 't', .type = OPT_INT, .offset = AT(threads), .min = 0, .max = 1024, .fallback = "0", .value = "N", .help = "0: all processors."},
    {.name = "kernels", .type = OPT_CHOICE, .offset = AT(kernels), .choices = "auto|ref|base|avx2|avx512", .fallback = "auto", .help = "Force a level of kernels of the CPU."},
};
/* clang-format on */

struct run {
    struct arena *a;
    const struct cluster_flags *o;
    const struct lode_host *host;
    const char *input;
    const bool *given; /* [rows] */
    struct numbers numbers, init;
    struct engine *engine;
};

/* What 0 and -1 stand for; see the rows. */
struct cluster_options job_cluster_options(const struct cluster_flags *f)
{
    static const struct {
        int64_t starts, steps;
        double tol;
    } own[] = {[CLUSTER_KMEANS] = {10, 300, 1e-4},
               [CLUSTER_MINIBATCH] = {3, 100, 0},
               [CLUSTER_DBSCAN] = {1, 1, 0},
               [CLUSTER_GMM] = {1, 100, 1e-3},
               [CLUSTER_SPECTRAL] = {10, 300, 1e-4}};
    return (struct cluster_options){.method = (enum cluster_method)f->method,
                                    .k = f->k,
                                    .starts = f->starts ? f->starts : own[f->method].starts,
                                    .most_steps = f->max_iter ? f->max_iter : own[f->method].steps,
                                    .min_samples = f->min_samples,
                                    .neighbours = f->neighbors,
                                    .batch = f->batch,
                                    .covariance = (enum gmm_kind)f->covariance,
                                    .tol = f->tol < 0 ? own[f->method].tol : f->tol,
                                    .eps = f->eps,
                                    .ridge = f->ridge,
                                    .gamma = f->gamma,
                                    .pca = f->pca,
                                    .standardise = f->standardize,
                                    .metrics = f->metrics,
                                    .seed = (uint64_t)f->seed};
}

static void source_row(void *ctx, int64_t i, double *out)
{
    numbers_row(ctx, i, out);
}

static const float *source_single(void *ctx, int64_t i)
{
    return numbers_single(ctx, i);
}

static void on_progress(void *ctx, const char *what, double done, double total)
{
    const struct run *r = ctx;
    if (!r->o->quiet) host_progress(r->host, what, LODE_UNITS, done, total);
}

static bool on_cancelled(void *ctx)
{
    return host_cancelled(((const struct run *)ctx)->host);
}

/* ---- the report -------------------------------------------------------------------------------
 */

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    return host_text(ctx, p, n, e);
}

static void number_key(struct json_out *j, const char *key, double x)
{
    if (isnan(x)) return;
    json_out_key(j, key);
    json_out_figure(j, x, DIGITS);
}

static void int_key(struct json_out *j, const char *key, int64_t x)
{
    json_out_key(j, key);
    json_out_int(j, x);
}

static void put_sizes(struct json_out *j, const int64_t *size, int64_t clusters)
{
    json_out_key(j, "sizes");
    json_out_array(j);
    for (int64_t k = 0; k < clusters; k++) json_out_int(j, size[k]);
    json_out_end(j, ']');
}

static void put_pca(struct json_out *j, const struct pca *p)
{
    if (p->m == 0) return;
    json_out_key(j, "pca_components");
    json_out_int(j, p->m);
    json_out_key(j, "explained_variance_ratio");
    json_out_array(j);
    for (int64_t i = 0; i < p->m; i++) json_out_figure(j, p->ratio[i], DIGITS);
    json_out_end(j, ']');
}

static void put_method(struct json_out *j, const struct run *r, const struct cluster_result *c)
{
    number_key(j, "inertia", c->inertia);
    if (r->o->method != CLUSTER_DBSCAN) int_key(j, "n_iter", c->steps);
    if (r->o->method == CLUSTER_GMM) {
        number_key(j, "mean_log_likelihood", c->likelihood);
        number_key(j, "lower_bound", c->bound);
        number_key(j, "bic", c->bic);
        json_out_key(j, "converged");
        json_out_bool(j, c->converged);
    }
    if (r->o->method == CLUSTER_DBSCAN) {
        int_key(j, "noise", c->noise);
        int_key(j, "core_rows", c->core);
    }
    if (c->eigenvalue) {
        json_out_key(j, "laplacian_eigenvalues");
        json_out_array(j);
        for (int64_t i = 0; i < r->o->k; i++) json_out_figure(j, c->eigenvalue[i], DIGITS);
        json_out_end(j, ']');
    }
    if (!c->has_metrics) return;
    json_out_key(j, "scores");
    json_out_object(j);
    number_key(j, "silhouette", c->metrics.silhouette);
    number_key(j, "davies_bouldin", c->metrics.davies_bouldin);
    number_key(j, "calinski_harabasz", c->metrics.calinski_harabasz);
    json_out_end(j, '}');
}

static int report_json(const struct run *r, const struct cluster_result *c, const int64_t *size,
                       struct err *e)
{
    struct lode_host copy = *r->host; /* put takes a context that is not const */
    struct json_out j;
    json_out_init(&j, 2, put, &copy, e);
    json_out_object(&j);
    json_out_key(&j, "input");
    json_out_str(&j, r->input);
    opt_json(rows, COUNT(rows), r->o, &j);
    int_key(&j, "rows", c->n);
    int_key(&j, "columns", c->columns);
    int_key(&j, "found", c->clusters);
    put_sizes(&j, size, c->clusters);
    put_pca(&j, &c->model.pca);
    put_method(&j, r, c);
    json_out_key(&j, "seconds");
    json_out_object(&j);
    number_key(&j, "read", c->read_s);
    number_key(&j, "pca", c->pca_s);
    number_key(&j, "fit", c->fit_s);
    number_key(&j, "metrics", c->metrics_s);
    json_out_end(&j, '}');
    json_out_key(&j, "resolved_device");
    json_out_str(&j, engine_device(r->engine));
    json_out_key(&j, "device_name");
    json_out_str(&j, engine_describe(r->engine));
    json_out_end(&j, '}');
    return json_out_done(&j);
}

static void add_figure(struct strbuf *b, const char *name, double x)
{
    if (!isnan(x)) strbuf_format(b, "  %-18s %.6g\n", name, x);
}

static int report_text(const struct run *r, const struct cluster_result *c, const int64_t *size,
                       struct err *e)
{
    char memory[4000], method[16];
    struct strbuf b;
    strbuf_init(&b, memory, sizeof memory);
    opt_choice(opt_find(rows, COUNT(rows), "method"), r->o->method, method, sizeof method);
    strbuf_format(&b, "%s: %lld row%s of %lld number%s, %s, %lld cluster%s\n", r->input,
                  (long long)c->n, str_s(c->n), (long long)c->columns, str_s(c->columns), method,
                  (long long)c->clusters, str_s(c->clusters));
    if (c->model.pca.m) {
        double sum = 0;
        for (int64_t i = 0; i < c->model.pca.m; i++) sum += c->model.pca.ratio[i];
        strbuf_format(&b, "  %-18s %lld, %.1f %% of the variance\n", "components",
                      (long long)c->model.pca.m, 100 * sum);
    }
    add_figure(&b, "inertia", c->inertia);
    add_figure(&b, "log-likelihood", c->likelihood);
    add_figure(&b, "BIC", c->bic);
    if (r->o->method == CLUSTER_DBSCAN)
        strbuf_format(&b, "  %-18s %lld\n", "noise", (long long)c->noise);
    if (c->has_metrics) {
        add_figure(&b, "silhouette", c->metrics.silhouette);
        add_figure(&b, "Davies-Bouldin", c->metrics.davies_bouldin);
        add_figure(&b, "Calinski-Harabasz", c->metrics.calinski_harabasz);
    }
    strbuf_format(&b, "  %-18s", "sizes");
    for (int64_t k = 0; k < MIN(c->clusters, 100); k++)
        strbuf_format(&b, " %lld", (long long)size[k]);
    strbuf_format(&b, "%s\n  %-18s read %.2f s, PCA %.2f s, clustering %.2f s, metrics %.2f s\n",
                  c->clusters > 100 ? " .." : "", "time", c->read_s, c->pca_s, c->fit_s,
                  c->metrics_s);
    return host_text(r->host, b.p, b.n, e);
}

static int report(const struct run *r, const struct cluster_result *c, struct err *e)
{
    int64_t *size = ARENA_NEW(r->a, int64_t, (size_t)MAX(c->clusters, 1), e);
    if (!size) return -1;
    for (int64_t i = 0; i < c->n; i++)
        if (c->label[i] >= 0) size[c->label[i]]++;
    if (r->o->json) return report_json(r, c, size, e);
    return report_text(r, c, size, e);
}

/* ---- what is written --------------------------------------------------------------------------
 */

static int write_centres(const struct run *r, const struct cluster_result *c, struct err *e)
{
    const struct cluster_model *m = &c->model;
    double *centre = ARENA_NEW(r->a, double, (size_t)(m->k * m->d), e);
    if (!centre) return -1;
    for (int64_t i = 0; i < m->k * m->d; i++) centre[i] = cluster_centre(m, i / m->d, i % m->d);
    return npy_save(r->a, r->o->centers, centre, m->k, m->d, 'f', 8, e);
}

static int write_files(const struct run *r, const struct cluster_result *c, struct err *e)
{
    const struct cluster_flags *o = r->o;
    if (o->labels) TRY(npy_save(r->a, o->labels, c->label, c->n, 0, 'i', 4, e));
    if (o->centers) TRY(write_centres(r, c, e));
    if (o->model) TRY(model_save(r->a, o->model, &c->model, e));
    if (!o->plot) return 0;
    char *title = arena_format(r->a, e, "%lld row%s, %lld cluster%s", (long long)c->n, str_s(c->n),
                               (long long)c->clusters, str_s(c->clusters));
    return title ? plot_save(r->a, o->plot, title, c->plane, c->label, c->n, e) : -1;
}

/* How rows are clustered was settled when the model was made. */
static int check_predict(const struct run *r, struct err *e)
{
    static const size_t taken[] = {AT(predict), AT(labels),  AT(json),   AT(quiet),
                                   AT(device),  AT(threads), AT(kernels)};
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool has_part = !rows[i].name || !r->given[i];
        for (size_t k = 0; k < COUNT(taken); k++) has_part |= rows[i].offset == taken[k];
        if (!has_part)
            return err_set(e, E_USAGE,
                           "--predict gives labels alone, by what the model was made with: leave "
                           "--%s out",
                           rows[i].name);
    }
    return 0;
}

/* Options of a search are for it alone, and of the others few have a part in it. */
static int check_given(const struct run *r, struct err *e)
{
    static const struct {
        size_t offset;
        const char *instead; /* NULL: it has a part in a search */
    } others[] = {{AT(method), NULL},
                  {AT(seed), NULL},
                  {AT(json), NULL},
                  {AT(quiet), NULL},
                  {AT(starts), NULL},
                  {AT(device), NULL},
                  {AT(threads), NULL},
                  {AT(kernels), NULL},
                  {AT(k), "give --clusters-min and --clusters-max"},
                  {AT(pca), "give --pca-min and --pca-max"},
                  {AT(eps), "give --eps-min and --eps-max"},
                  {AT(min_samples), "give --min-samples-min and --min-samples-max"},
                  {AT(covariance), "give --gmm-covariance"},
                  {AT(batch), "give --batch"},
                  {AT(standardize), "it always does so"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool own = rows[i].offset >= AT(s), part = rows[i].offset == AT(s.runs);
        const char *instead = "it writes playlists and a report";
        if (!rows[i].name || !r->given[i]) continue;
        if (r->o->s.runs == 0 && own && !part)
            return err_set(e, E_USAGE, "--%s is for a search: give --search N", rows[i].name);
        if (r->o->s.runs == 0 || own) continue;
        for (size_t k = 0; k < COUNT(others); k++)
            if (others[k].offset == rows[i].offset) instead = others[k].instead;
        if (instead)
            return err_set(e, E_USAGE, "a search does not take --%s: %s", rows[i].name, instead);
    }
    return r->o->predict && r->o->s.runs == 0 ? check_predict(r, e) : 0;
}

/* Not when an hour's work is done: a file that cannot be written, or is one that is read. */
static int check_outputs(const struct run *r, struct err *e)
{
    const struct cluster_flags *o = r->o;
    const struct {
        const char *option, *path;
    } out[] = {
        {"labels", o->labels}, {"centers", o->centers}, {"model", o->model}, {"plot", o->plot}};
    const char *const in[] = {r->input, o->init, o->predict};
    for (size_t i = 0; i < COUNT(out); i++) {
        struct file_out f;
        const char *path = out[i].path;
        if (!path) continue;
        for (size_t k = 0; k < COUNT(in); k++)
            if (in[k] && file_same(in[k], path))
                return err_set(e, E_USAGE, "--%s %s would replace a file that is read",
                               out[i].option, path);
        for (size_t k = 0; k < i; k++)
            if (out[k].path && file_clash(out[k].path, path))
                return err_set(e, E_USAGE, "--%s and --%s are one file, %s", out[k].option,
                               out[i].option, path);
        if (file_kind(path) == FILE_OTHER) continue; /* who reads a pipe would see its end */
        TRY(file_out_open(r->a, path, &f, e));
        file_out_abort(&f);
    }
    return 0;
}

/* Before any work is done: what cannot be written should not be asked for. */
static int check_flags(const struct cluster_flags *o, struct err *e)
{
    bool centres = o->method != CLUSTER_DBSCAN && o->method != CLUSTER_SPECTRAL;
    TRY(engine_check(o->device, e));
    if (o->s.runs > 0) return hunt_check(o, e);
    if (o->method == EVOLVE_MIXED)
        return err_set(e, E_USAGE, "--method mixed is for a search: give --search N");
    if ((o->centers || o->model) && !centres)
        return err_set(e, E_USAGE, "dbscan and spectral have no centres and no model to write");
    if (o->init && !centres)
        return err_set(e, E_USAGE, "dbscan and spectral begin with no centres: leave --init out");
    if (o->pca >= 1 && o->pca != floor(o->pca))
        return err_set(e, E_USAGE, "--pca %g; a whole number of components, or a part below 1",
                       o->pca);
    if (o->init && o->pca > 0 && o->pca < 1)
        return err_set(e, E_USAGE, "--init needs the number of components: --pca N, not a part");
    return o->plot ? plot_check(o->plot, e) : 0;
}

static void note_names(const struct run *r, const char *path, const struct numbers *m)
{
    if (m->names && !r->o->quiet)
        host_note(r->host, "%s: line 1 is taken as names: %s", path, m->names);
}

static int read_init(struct run *r, struct cluster_options *o, int64_t d, struct err *e)
{
    if (!r->o->init) return 0;
    TRY(numbers_open(r->a, r->o->init, &r->init, e));
    note_names(r, r->o->init, &r->init);
    if (r->init.rows != o->k || r->init.columns != d)
        return err_set(
            e, E_INPUT, "%s has %lld row%s of %lld number%s; for -k %lld it must have %lld of %lld",
            r->o->init, (long long)r->init.rows, str_s(r->init.rows), (long long)r->init.columns,
            str_s(r->init.columns), (long long)o->k, (long long)o->k, (long long)d);
    double *init = ARENA_NEW(r->a, double, (size_t)(o->k * d), e);
    if (!init) return -1;
    for (int64_t i = 0; i < o->k; i++) numbers_row(&r->init, i, init + i * d);
    for (int64_t i = 0; i < o->k * d; i++)
        if (!(fabs(init[i]) <= SCALE_MOST))
            return err_set(e, E_INPUT, "%s: row %lld holds %g", r->o->init, (long long)(i / d) + 1,
                           init[i]);
    o->init = init;
    return 0;
}

static int predict(struct run *r, const struct scale_source *s, const struct work_watch *watch,
                   struct err *e)
{
    struct cluster_model m;
    struct cluster_result c = {.n = s->n, .columns = s->d};
    double begun = thread_seconds();
    struct cluster_flags o = *r->o;
    TRY(model_open(r->a, o.predict, &m, e));
    o.method = (int)m.method;
    o.k = m.k;
    r->o = &o;
    c.clusters = m.k;
    c.inertia = c.likelihood = c.bic = c.bound = NAN;
    if (!(c.label = ARENA_NEW(r->a, int32_t, (size_t)s->n, e))) return -1;
    if (cluster_predict(r->a, r->engine, watch, s, &m, c.label, e))
        return e->code == E_CANCELLED ? -1 : err_note(e, "%s", r->input);
    c.fit_s = thread_seconds() - begun;
    if (o.labels) TRY(npy_save(r->a, o.labels, c.label, c.n, 0, 'i', 4, e));
    return report(r, &c, e);
}

/* From here on r->o is what is valid, settings of AudioMuse-AI counted. */
static int search(struct run *r, struct hunt *h, const struct scale_source *source,
                  const struct audiomuse *m, struct err *e)
{
    h->engine = r->engine;
    h->numbers = &r->numbers;
    h->source = source;
    return hunt_run(h, m, e);
}

static int with_arena(struct run *r, struct err *e)
{
    struct cluster_flags flags = *r->o;
    struct hunt h = {.a = r->a,
                     .o = &flags,
                     .rows = rows,
                     .n_rows = COUNT(rows),
                     .given = r->given,
                     .host = r->host,
                     .input = r->input};
    struct audiomuse am;
    struct cluster_result c;
    struct work_watch watch = {r, on_progress, on_cancelled};
    char kernels[16];
    TRY(hunt_settings(&h, &am, e));
    r->o = &flags;
    TRY(check_given(r, e));
    TRY(check_flags(r->o, e));
    TRY(check_outputs(r, e));
    opt_choice(opt_find(rows, COUNT(rows), "kernels"), r->o->kernels, kernels, sizeof kernels);
    struct engine_options eo = {
        .device = r->o->device, .kernels = kernels, .threads = (int)r->o->threads};
    TRY(numbers_open(r->a, r->input, &r->numbers, e));
    note_names(r, r->input, &r->numbers);
    struct scale_source s = {&r->numbers,     source_row,
                             r->numbers.rows, r->numbers.columns,
                             source_single,   r->o->threads ? (int)r->o->threads : thread_cpus()};
    if (s.n < 1 || s.d < 1)
        return err_set(e, E_INPUT,
                       "%s holds %lld row%s of %lld number%s; at least one of one is needed",
                       r->input, (long long)s.n, str_s(s.n), (long long)s.d, str_s(s.d));
    TRY(engine_open(r->a, &eo, &r->engine, e));
    if (r->o->s.runs > 0) return search(r, &h, &s, &am, e);
    struct cluster_options co = job_cluster_options(r->o);
    if (r->o->predict) return predict(r, &s, &watch, e);
    TRY(read_init(r, &co, r->o->pca >= 1 ? (int64_t)r->o->pca : s.d, e));
    if (cluster_run(r->a, r->engine, &watch, &s, &co, r->o->plot != NULL, &c, e))
        return e->code == E_CANCELLED ? -1 : err_note(e, "%s", r->input);
    if (c.empty > 0 && !r->o->quiet)
        host_note(r->host, "%lld of %lld clusters %s empty: there are fewer different rows",
                  (long long)c.empty, (long long)c.clusters, c.empty == 1 ? "is" : "are");
    if (r->o->method == CLUSTER_GMM && !c.converged && !r->o->quiet)
        host_note(r->host, "%lld step%s not enough: raise --max-iter or --tol", (long long)c.steps,
                  c.steps == 1 ? " was" : "s were");
    TRY(write_files(r, &c, e));
    return report(r, &c, e);
}

static int run_cluster(const void *opts, const struct opt_list *inputs,
                       const struct lode_host *host, struct err *e)
{
    struct run r = {.o = opts, .host = host, .input = inputs->words[0], .given = inputs->given};
    TRY(arena_open("cluster", 0, &r.a, e));
    int rc = with_arena(&r, e);
    engine_close(&r.engine);
    numbers_close(&r.numbers);
    numbers_close(&r.init);
    arena_close(&r.a);
    return rc;
}

const struct lode_job job_cluster_row = {
    .name = "cluster",
    .summary = "find clusters in rows of numbers",
    .synopsis = "FILE [options]",
    .details =
        "FILE is .npy (rows of numbers of any type), CSV (a first line of names is passed over) or "
        "JSON lines (one array of numbers each). kmeans begins with greedy k-means++, minibatch "
        "does the same on pieces, dbscan finds dense regions and noise, gmm fits a mixture of "
        "Gaussians, spectral cuts the graph of nearest neighbours. Results follow scikit-learn's "
        "rules, to the label where the start is given.\n"
        "\n"
        "With --search it looks for playlists: samples of songs are clustered again and again, "
        "judged "
        "by the moods of --moods as AudioMuse-AI judges, and the best run's clusters become .m3u8 "
        "files. "
        "docs/from-audiomuse.md says what is the same.\n"
        "\n"
        "  lode cluster songs.npy -k 70 --labels labels.npy --json\n"
        "  lode cluster songs.npy --standardize --pca 0.95 -m dbscan --eps 9 --min-samples 12\n"
        "  lode cluster songs.csv -m gmm -k 40 --covariance diag --model songs.model\n"
        "  lode cluster more.csv --predict songs.model --labels more.npy\n"
        "  lode plan cluster --rows 1000000 --dims 200 -k 100\n"
        "  lode cluster songs.npy --moods moods.csv --search 5000 --out playlists/\n"
        "  lode cluster songs.npy --moods moods.csv --search 5000 --out playlists/ --resume\n",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct cluster_flags),
    .inputs_min = 1,
    .inputs_max = 1,
    .run = run_cluster,
};
