/* Clustering against scikit-learn: every method through the engine on the sets of
 * tests/golden/cluster (made by tools/golden/cluster.py), with the same starts. Kernels "gpu": on
 * an emulated T4. Not run on a GPU. */
#include "base/json.h"
#include "cluster/cluster.h"
#include "cluster/model.h"
#include "cpu/cpu.h"
#include "load/numbers.h"
#include "unit.h"
#include <math.h>
#include <string.h>

#define FOLDER "tests/golden/cluster/"

struct bench { /* of one test */
    struct arena *arena;
    struct err e;
    struct engine *engine;
    struct json_doc *doc;
    const struct json *want;
    struct work work;
};

#define OK(call)                                               \
    do {                                                       \
        if ((call) != 0) fail_msg("%s: %s", #call, b->e.text); \
    } while (0)

static void open_bench(struct bench *b, const char *kernels, int threads)
{
    bool gpu = strcmp(kernels, "gpu") == 0;
    struct engine_options o = {
        .device = gpu ? "cuda" : "cpu", .kernels = gpu ? "auto" : kernels, .threads = threads};
    struct str text;
    *b = (struct bench){0};
    OK(arena_open("t_cluster", 0, &b->arena, &b->e));
    OK(engine_open(b->arena, &o, &b->engine, &b->e));
    OK(file_read(b->arena, FOLDER "expected.json", 1 << 20, &text, &b->e));
    OK(json_open(b->arena, text.p, text.n, &b->doc, &b->e));
    b->want = json_root(b->doc);
}

static void close_bench(struct bench *b)
{
    work_close(&b->work);
    json_close(&b->doc);
    engine_close(&b->engine);
    arena_close(&b->arena);
}

struct set {
    struct numbers numbers;
    float *x;
};

/* A set as f32, as it lies in the file. */
static struct set open_set(struct bench *b, const char *name)
{
    struct set s;
    char path[200];
    snprintf(path, sizeof path, FOLDER "%s.npy", name);
    OK(numbers_open(b->arena, path, &s.numbers, &b->e));
    int64_t d = s.numbers.columns;
    double *row = ARENA_NEW(b->arena, double, (size_t)d, &b->e);
    s.x = ARENA_NEW(b->arena, float, (size_t)(s.numbers.rows * d), &b->e);
    assert_true(row && s.x);
    for (int64_t i = 0; i < s.numbers.rows; i++) {
        numbers_row(&s.numbers, i, row);
        for (int64_t j = 0; j < d; j++) s.x[i * d + j] = (float)row[j];
    }
    return s;
}

static void take_rows(struct bench *b, const float *x)
{
    OK(work_ready(&b->work, &b->e));
    memcpy(work_rows(&b->work), x, (size_t)(b->work.n * b->work.d) * sizeof *x);
}

static void same_labels(const struct json *want, const int32_t *label, int64_t n)
{
    const struct json *list = json_key(want, "labels");
    assert_int_equal(json_count(list), n);
    for (int64_t i = 0; i < n; i++) {
        if (json_int(json_at(list, (size_t)i), -9) == label[i]) continue;
        fail_msg("row %lld has label %d, expected %lld", (long long)i, label[i],
                 (long long)json_int(json_at(list, (size_t)i), -9));
    }
}

static void kmeans_case(struct bench *b, const char *name, double tol, bool empty)
{
    const struct json *want = json_key(b->want, name);
    struct set x = open_set(b, "b_x"), init = open_set(b, "kmeans_init");
    for (int64_t i = 0; i < 2 * x.numbers.columns && empty; i++)
        init.x[6 * x.numbers.columns + i] = 100;
    struct kmeans_options o = {.k = 8, .most_steps = 300, .tol = tol, .init = init.x};
    struct kmeans m;
    struct kmeans_result r = {0};
    OK(work_open(b->arena, b->engine, NULL, x.numbers.rows, x.numbers.columns, &b->work, &b->e));
    OK(kmeans_plan(&b->work, &o, &m, &b->e));
    take_rows(b, x.x);
    OK(kmeans_run(&m, &r, &b->e));
    same_labels(want, r.label, x.numbers.rows);
    unit_near("inertia", r.inertia, json_number(json_key(want, "inertia"), NAN), 1e-6);
    assert_int_equal(r.steps, json_int(json_key(want, "n_iter"), -1));
    const struct json *centres = json_key(want, "centers");
    for (size_t i = 0; i < json_count(centres); i++)
        for (int64_t j = 0; j < x.numbers.columns; j++)
            unit_near("a centre", (double)r.centre[(int64_t)i * x.numbers.columns + j],
                      json_number(json_at(json_at(centres, i), (size_t)j), NAN), 1e-5);
    work_close(&b->work);
}

static void each_level(void (*run)(struct bench *b))
{
    for (enum cpu_level level = CPU_REF; level <= cpu_level_best(); level++) {
        for (int threads = 1; threads <= 3; threads += 2) {
            struct bench b;
            open_bench(&b, cpu_level_name(level), threads);
            run(&b);
            close_bench(&b);
        }
    }
}

static void run_kmeans(struct bench *b)
{
    kmeans_case(b, "kmeans_f64", 0, false);
    kmeans_case(b, "kmeans_f32", 0, false);
    kmeans_case(b, "kmeans_f64_tol1e-4", 1e-4, false);
    kmeans_case(b, "kmeans_empty_cluster", 0, true);
}

static void test_kmeans(void **state)
{
    (void)state;
    each_level(run_kmeans);
}

/* Many starts: no worse than from the golden's centres by much, the same again with the same seed.
 */
static void run_starts(struct bench *b)
{
    struct set x = open_set(b, "b_x");
    struct kmeans_options o = {.k = 8, .starts = 10, .most_steps = 300, .tol = 1e-4, .seed = 3};
    struct kmeans m;
    struct kmeans_result r = {0}, again = {0};
    OK(work_open(b->arena, b->engine, NULL, x.numbers.rows, x.numbers.columns, &b->work, &b->e));
    OK(kmeans_plan(&b->work, &o, &m, &b->e));
    take_rows(b, x.x);
    OK(kmeans_run(&m, &r, &b->e));
    OK(kmeans_run(&m, &again, &b->e));
    assert_memory_equal(r.label, again.label, (size_t)x.numbers.rows * 4);
    assert_true(r.inertia == again.inertia);
    assert_true(r.inertia < 16211.9);
    double inertia;
    OK(kmeans_assign(&m, r.centre, again.label, &inertia, &b->e));
    assert_memory_equal(r.label, again.label, (size_t)x.numbers.rows * 4);
    unit_near("inertia", inertia, r.inertia, 1e-12);
    work_close(&b->work);
}

static void test_starts(void **state)
{
    (void)state;
    each_level(run_starts);
}

/* ---- DBSCAN ---------------------------------------------------------------------------------- */

static void dbscan_case(struct bench *b, const char *name)
{
    const struct json *want = json_key(b->want, name), *core = json_key(want, "core");
    char set[16];
    struct str input = json_text(json_key(want, "input"));
    snprintf(set, sizeof set, "%.*s", (int)input.n, input.p);
    struct set x = open_set(b, set);
    int64_t least = json_int(json_key(want, "min_samples"), 0), cores = 0;
    struct dbscan m;
    struct dbscan_result r;
    OK(work_open(b->arena, b->engine, NULL, x.numbers.rows, x.numbers.columns, &b->work, &b->e));
    OK(dbscan_plan(&b->work, least, &m, &b->e));
    take_rows(b, x.x);
    OK(dbscan_run(&m, json_number(json_key(want, "eps"), NAN), &r, &b->e));
    same_labels(want, r.label, x.numbers.rows);
    assert_int_equal(r.clusters, json_int(json_key(want, "n_clusters"), -1));
    assert_int_equal(r.noise, json_int(json_key(want, "noise"), -1));
    for (int64_t i = 0; i < x.numbers.rows; i++) {
        if (r.neighbours[i] < least) continue;
        assert_int_equal(json_int(json_at(core, (size_t)cores), -1), i);
        cores++;
    }
    assert_int_equal(cores, json_count(core));
    assert_int_equal(cores, r.core);
    work_close(&b->work);
}

static void run_dbscan(struct bench *b)
{
    dbscan_case(b, "dbscan_moons");
    dbscan_case(b, "dbscan_pca");
    dbscan_case(b, "dbscan_pca_tight");
    dbscan_case(b, "dbscan_all_noise");
}

static void test_dbscan(void **state)
{
    (void)state;
    each_level(run_dbscan);
}

/* Points of a grid, whose distances are eps to the bit, and so many neighbours that the list of
 * pairs that wait is too small: the kernels against the reference. */
static void grid_labels(struct bench *b, int32_t *label, int64_t n, int64_t least, double eps)
{
    struct dbscan m;
    struct dbscan_result r;
    OK(work_open(b->arena, b->engine, NULL, n, 2, &b->work, &b->e));
    OK(dbscan_plan(&b->work, least, &m, &b->e));
    OK(work_ready(&b->work, &b->e));
    for (int64_t i = 0; i < n; i++) {
        work_rows(&b->work)[2 * i] = (float)(i % 40) + (i % 40 > 20 ? 3 : 0);
        work_rows(&b->work)[2 * i + 1] = (float)(i / 40) * 3;
    }
    OK(dbscan_run(&m, eps, &r, &b->e));
    memcpy(label, r.label, (size_t)n * sizeof *label);
    work_close(&b->work);
}

static void test_grid(void **state)
{
    (void)state;
    static const struct {
        int64_t n, least;
        double eps;
    } cases[] = {{400, 3, 1},      {400, 3, 3}, {1600, 400, 30},
                 {2400, 1100, 55}, {1, 1, 0},   {40, 2, 0}};
    for (size_t c = 0; c < COUNT(cases); c++) {
        int32_t *want = NULL;
        struct bench first;
        for (enum cpu_level level = CPU_REF; level <= cpu_level_best(); level++) {
            struct bench local, *b = level == CPU_REF ? &first : &local;
            open_bench(b, cpu_level_name(level), 2);
            int32_t *label = ARENA_NEW(b->arena, int32_t, (size_t)cases[c].n, &b->e);
            assert_non_null(label);
            grid_labels(b, label, cases[c].n, cases[c].least, cases[c].eps);
            if (want) assert_memory_equal(label, want, (size_t)cases[c].n * 4);
            if (!want)
                want = label;
            else
                close_bench(b);
        }
        close_bench(&first);
    }
}

/* ---- PCA and the scaler ---------------------------------------------------------------------- */

static void number_row(void *ctx, int64_t i, double *out)
{
    numbers_row(ctx, i, out);
}

struct plain {
    struct bench *b;
    struct scale_source *source;
    struct scale *scale;
};

static int plain_rows(void *ctx, int64_t from, int64_t count, float *out, struct err *e)
{
    struct plain *p = ctx;
    return scale_rows(p->b->arena, p->source, p->scale, from, count, out, e);
}

static void run_pca(struct bench *b)
{
    const struct json *want = json_key(b->want, "pca"), *scaler = json_key(b->want, "scaler");
    struct set x = open_set(b, "a_x"), z = open_set(b, "b_x");
    struct scale_source source = {&x.numbers,        number_row, x.numbers.rows,
                                  x.numbers.columns, NULL,       2};
    struct scale scale;
    OK(scale_measure(b->arena, &source, true, &scale, &b->e));
    for (int64_t j = 0; j < scale.d; j++) {
        unit_near("mean", scale.mean[j],
                  json_number(json_at(json_key(scaler, "mean"), (size_t)j), NAN), 1e-12);
        unit_near("deviation", scale.unit[j],
                  json_number(json_at(json_key(scaler, "scale"), (size_t)j), NAN), 1e-12);
    }
    struct plain plain = {b, &source, &scale};
    struct pca_source ps = {&plain, plain_rows, source.n, source.d};
    struct pca p;
    OK(pca_open(b->arena, b->engine, NULL, &ps, 10, 0, &p, &b->e));
    for (int64_t i = 0; i < 10; i++) {
        unit_near("variance", p.variance[i],
                  json_number(json_at(json_key(want, "explained_variance"), (size_t)i), NAN), 1e-5);
        unit_near("ratio", p.ratio[i],
                  json_number(json_at(json_key(want, "explained_variance_ratio"), (size_t)i), NAN),
                  1e-5);
        const struct json *row = json_at(json_key(want, "components_up_to_sign"), (size_t)i);
        for (int64_t j = 0; j < p.d; j++)
            unit_near("component", (double)p.component[i * p.d + j],
                      json_number(json_at(row, (size_t)j), NAN), 1e-4);
    }
    float *rows = ARENA_NEW(b->arena, float, (size_t)(source.n * source.d), &b->e);
    float *out = ARENA_NEW(b->arena, float, (size_t)(source.n * 10), &b->e);
    assert_true(rows && out);
    OK(plain_rows(&plain, 0, source.n, rows, &b->e));
    OK(pca_project(&p, rows, source.n, out, &b->e));
    for (int64_t i = 0; i < source.n * 10; i++)
        unit_near("projected", (double)out[i], (double)z.x[i], 1e-4);
    pca_close(&p);
    OK(pca_open(b->arena, b->engine, NULL, &ps, 0.7, 0, &p, &b->e));
    double sum = 0;
    for (int64_t i = 0; i < p.m; i++) sum += p.ratio[i];
    assert_true(sum >= 0.7 && sum - p.ratio[p.m - 1] < 0.7);
    pca_close(&p);
}

static void test_pca(void **state)
{
    (void)state;
    each_level(run_pca);
}

/* Many columns, few directions in them: the random subspace finds these. */
struct wide {
    int64_t n, d;
    float *x;
};

static void wide_row(void *ctx, int64_t i, double *out)
{
    const struct wide *w = ctx;
    for (int64_t j = 0; j < w->d; j++) out[j] = (double)w->x[i * w->d + j];
}

static void test_wide(void **state)
{
    (void)state;
    struct bench bench, *b = &bench;
    open_bench(b, "auto", 2);
    struct wide w = {120, PCA_EXACT + 52, NULL};
    w.x = ARENA_NEW(b->arena, float, (size_t)(w.n * w.d), &b->e);
    float *direction = ARENA_NEW(b->arena, float, (size_t)(4 * w.d), &b->e);
    assert_true(w.x && direction);
    for (int64_t j = 0; j < 4 * w.d; j++) direction[j] = tensor_hash("direction", (uint64_t)j, 1);
    for (int64_t i = 0; i < w.n * w.d; i++) {
        w.x[i] = tensor_hash("noise", (uint64_t)i, 0.01f);
        for (int k = 0; k < 4; k++)
            w.x[i] += 8 / (float)(1 << k) * direction[k * w.d + i % w.d] *
                      tensor_hash("way", (uint64_t)(i / w.d * 4 + k), 1);
    }
    struct scale_source source = {&w, wide_row, w.n, w.d, NULL, 2};
    struct scale scale;
    OK(scale_measure(b->arena, &source, false, &scale, &b->e));
    struct plain plain = {b, &source, &scale};
    struct pca_source ps = {&plain, plain_rows, source.n, source.d};
    struct pca p, all;
    OK(pca_open(b->arena, b->engine, NULL, &ps, 4, 7, &p, &b->e));
    pca_close(&p);
    OK(pca_open(b->arena, b->engine, NULL, &ps, 0.999, 7, &all, &b->e)); /* the whole space */
    pca_close(&all);
    assert_int_equal(all.m, 4);
    for (int64_t i = 0; i < 4; i++) unit_near("variance", p.variance[i], all.variance[i], 1e-5);
    for (int64_t i = 0; i < 4 * w.d; i++)
        unit_near("component", (double)p.component[i], (double)all.component[i], 1e-4);
    close_bench(b);
}

/* ---- metrics --------------------------------------------------------------------------------- */

static void metrics_case(struct bench *b, const char *name, bool single)
{
    const struct json *want = json_key(b->want, name);
    const struct json *labels = json_key(json_key(b->want, "kmeans_f64"), "labels");
    struct set x = open_set(b, "b_x");
    int32_t label[600];
    struct metrics m;
    struct metrics_result r;
    for (size_t i = 0; i < 600; i++) label[i] = (int32_t)json_int(json_at(labels, i), -1);
    if (single) label[0] = 8;
    OK(work_open(b->arena, b->engine, NULL, x.numbers.rows, x.numbers.columns, &b->work, &b->e));
    OK(metrics_plan(&b->work, 9, &m, &b->e));
    take_rows(b, x.x);
    OK(metrics_run(&m, label, &r, &b->e));
    unit_near("silhouette", r.silhouette, json_number(json_key(want, "silhouette"), NAN), 1e-6);
    unit_near("Davies-Bouldin", r.davies_bouldin,
              json_number(json_key(want, "davies_bouldin"), NAN), 1e-6);
    unit_near("Calinski-Harabasz", r.calinski_harabasz,
              json_number(json_key(want, "calinski_harabasz"), NAN), 1e-6);
    const struct json *first = json_key(want, "silhouette_samples_first16");
    for (size_t i = 0; i < json_count(first); i++)
        unit_near("a silhouette", (double)r.silhouettes[i], json_number(json_at(first, i), NAN),
                  1e-5);
    for (int i = 0; i < 600; i++) label[i] = 0;
    OK(metrics_run(&m, label, &r, &b->e));
    assert_true(isnan(r.silhouette)); /* one cluster has none */
    work_close(&b->work);
}

static void run_metrics(struct bench *b)
{
    metrics_case(b, "metrics", false);
    metrics_case(b, "metrics_singleton", true);
}

static void test_metrics(void **state)
{
    (void)state;
    each_level(run_metrics);
}

/* ---- GMM ------------------------------------------------------------------------------------- */

static void gmm_case(struct bench *b, enum gmm_kind kind, const char *text, int64_t steps)
{
    char name[40];
    snprintf(name, sizeof name, "gmm_%s_%d", text, (int)steps);
    const struct json *want = json_key(b->want, name), *labels = json_key(want, "labels");
    struct set x = open_set(b, "b_x"), init = open_set(b, "gmm_means_init");
    int64_t d = x.numbers.columns, differ = 0;
    double *means = ARENA_NEW(b->arena, double, (size_t)(5 * d), &b->e);
    assert_non_null(means);
    for (int64_t i = 0; i < 5; i++) numbers_row(&init.numbers, i, means + i * d);
    struct gmm_options o = {
        .k = 5, .most_steps = steps, .kind = kind, .tol = 1e-6, .ridge = 1e-4, .init = means};
    struct gmm m;
    struct gmm_result r;
    OK(work_open(b->arena, b->engine, NULL, x.numbers.rows, d, &b->work, &b->e));
    OK(gmm_plan(&b->work, &o, &m, &b->e));
    take_rows(b, x.x);
    OK(gmm_run(&m, &r, &b->e));
    unit_near("bound", r.bound, json_number(json_key(want, "lower_bound"), NAN), 1e-5);
    unit_near("likelihood", r.likelihood, json_number(json_key(want, "mean_loglik"), NAN), 1e-5);
    unit_near("BIC", r.bic, json_number(json_key(want, "bic"), NAN), 1e-5);
    for (int64_t k = 0; k < 5; k++)
        unit_near("weight", r.model.weight[k],
                  json_number(json_at(json_key(want, "weights"), (size_t)k), NAN), 2e-4);
    for (size_t i = 0; i < json_count(labels); i++)
        differ += json_int(json_at(labels, i), -1) != r.label[i];
    if (differ > 0) fail_msg("%s: %lld labels of 600 differ", name, (long long)differ);
    work_close(&b->work);
}

static void run_gmm(struct bench *b)
{
    static const char *const kinds[] = {"diag", "full", "tied", "spherical"};
    for (int kind = 0; kind < 4; kind++) {
        gmm_case(b, (enum gmm_kind)kind, kinds[kind], 1);
        gmm_case(b, (enum gmm_kind)kind, kinds[kind], 5);
        gmm_case(b, (enum gmm_kind)kind, kinds[kind], 500);
    }
}

static void test_gmm(void **state)
{
    (void)state;
    each_level(run_gmm);
}

/* ---- spectral -------------------------------------------------------------------------------- */

/* Adjusted Rand index (Hubert and Arabie 1985). */
static double rand_index(const int32_t *a, const struct json *b, int64_t n)
{
    double table[16][16] = {{0}}, row[16] = {0}, column[16] = {0}, both = 0, rows = 0, columns = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t other = json_int(json_at(b, (size_t)i), 15);
        table[a[i]][other]++;
        row[a[i]]++;
        column[other]++;
    }
    for (int i = 0; i < 16; i++) {
        rows += row[i] * (row[i] - 1) / 2;
        columns += column[i] * (column[i] - 1) / 2;
        for (int j = 0; j < 16; j++) both += table[i][j] * (table[i][j] - 1) / 2;
    }
    double chance = rows * columns / ((double)n * (double)(n - 1) / 2);
    return (both - chance) / ((rows + columns) / 2 - chance);
}

static void spectral_case(struct bench *b, const char *name, const char *set, int64_t n, int64_t k)
{
    const struct json *want = json_key(b->want, name);
    struct set x = open_set(b, set);
    struct spectral_options o = {.k = k, .neighbours = 10, .starts = 20, .seed = 1};
    struct spectral m;
    struct spectral_result r;
    OK(work_open(b->arena, b->engine, NULL, n, x.numbers.columns, &b->work, &b->e));
    OK(spectral_plan(&b->work, &o, &m, &b->e));
    take_rows(b, x.x);
    OK(spectral_run(&m, &r, &b->e));
    const struct json *values = json_key(want, "laplacian_eigenvalues_first12");
    for (int64_t i = 0; values && i < k; i++)
        unit_near("eigenvalue", r.value[i], json_number(json_at(values, (size_t)i), NAN), 1e-4);
    double ari = rand_index(r.label, json_key(want, "labels_up_to_permutation"), n);
    if (ari < 0.99) fail_msg("%s: adjusted Rand index %.4f", name, ari);
    work_close(&b->work);
}

static void run_spectral(struct bench *b)
{
    spectral_case(b, "spectral", "b_x", 600, 6);
    spectral_case(b, "spectral_moons", "c_x", 500, 2);
}

static void test_spectral(void **state)
{
    (void)state;
    each_level(run_spectral);
}

/* ---- all of it, on what nobody should have to think of ----------------------------------------
 */

struct made { /* a set by rule */
    int64_t d;
    double (*number)(int64_t i, int64_t j);
};

static void made_row(void *ctx, int64_t i, double *out)
{
    const struct made *m = ctx;
    for (int64_t j = 0; j < m->d; j++) out[j] = m->number(i, j);
}

static double equal_rows(int64_t i, int64_t j)
{
    (void)i;
    return (double)j;
}

static double pairs(int64_t i, int64_t j)
{
    return (double)(i / 2 * 7 + j);
}

static double constant_columns(int64_t i, int64_t j)
{
    return j % 2 ? 5 : (double)(i % 4) * 10 + (double)tensor_hash("c", (uint64_t)i, 1);
}

static double far_away(int64_t i, int64_t j)
{
    return 1e9 + (double)(i % 3) * 10 + (double)tensor_hash("f", (uint64_t)(i * 97 + j), 1);
}

static double spread_out(int64_t i, int64_t j)
{
    return (double)(i % 5) + (double)tensor_hash("s", (uint64_t)(i * 10007 + j), 1);
}

static double with_nan(int64_t i, int64_t j)
{
    return i == 7 && j == 1 ? NAN : (double)i;
}

static double with_inf(int64_t i, int64_t j)
{
    return i == 3 && j == 0 ? -INFINITY : (double)i;
}

static double huge(int64_t i, int64_t j)
{
    return (i + j) % 2 ? 1e200 : -1e200;
}

/* Threads share rows: what is measured and scaled does not tell how many there were. */
static void test_scale_threads(void **state)
{
    (void)state;
    struct bench bench, *b = &bench;
    open_bench(b, "auto", 1);
    struct wide w = {5000, 13, NULL};
    w.x = ARENA_NEW(b->arena, float, (size_t)(w.n * w.d), &b->e);
    float *rows[2];
    struct scale scale[2];
    assert_non_null(w.x);
    for (int64_t i = 0; i < w.n * w.d; i++)
        w.x[i] = tensor_hash("rows", (uint64_t)i, 1) + (float)(100 * (i % w.d));
    struct scale_source s = {&w, wide_row, w.n, w.d, NULL, 1};
    for (int i = 0; i < 2; i++, s.threads = 5) {
        OK(scale_measure(b->arena, &s, false, &scale[i], &b->e));
        assert_non_null(rows[i] = ARENA_NEW(b->arena, float, (size_t)(w.n * w.d), &b->e));
        OK(scale_rows(b->arena, &s, &scale[i], 0, w.n, rows[i], &b->e));
    }
    assert_true(scale[0].moves);
    assert_memory_equal(scale[0].mean, scale[1].mean, 4 * (size_t)w.d * sizeof *scale[0].mean);
    assert_memory_equal(rows[0], rows[1], (size_t)(w.n * w.d) * sizeof *rows[0]);
    w.x[4990 * w.d + 1] = w.x[2100 * w.d + 12] = NAN; /* the first of them is named */
    assert_int_equal(scale_measure(b->arena, &s, false, &scale[1], &b->e), -1);
    assert_non_null(strstr(b->e.text, "row 2101, column 13 is NaN"));
    assert_int_equal(scale_rows(b->arena, &s, &scale[0], 100, 4900, rows[1], &b->e), -1);
    assert_non_null(strstr(b->e.text, "row 2101, column 13 is NaN"));
    close_bench(b);
}

static int run_made(struct bench *b, struct made *m, int64_t n, struct cluster_options o,
                    struct cluster_result *r)
{
    struct scale_source s = {m, made_row, n, m->d, NULL, 2};
    o.starts = 2;
    o.most_steps = 30;
    o.neighbours = 5;
    o.min_samples = 3;
    o.batch = 16;
    o.metrics = true;
    o.ridge = 1e-6;
    o.eps = 2;
    return cluster_run(b->arena, b->engine, NULL, &s, &o, n > 1 && m->d < 100, r, &b->e);
}

static void test_hostile(void **state)
{
    (void)state;
    struct bench bench, *b = &bench;
    struct cluster_result r;
    static const struct {
        struct made made;
        int64_t n, k;
    } good[] = {{{3, equal_rows}, 20, 3},       {{2, pairs}, 12, 6},
                {{6, constant_columns}, 40, 4}, {{2, far_away}, 60, 3},
                {{1, spread_out}, 50, 5},       {{3, spread_out}, 1, 1},
                {{3, spread_out}, 9, 9},        {{10000, spread_out}, 12, 3}};
    open_bench(b, "auto", 2);
    for (size_t c = 0; c < COUNT(good); c++) {
        for (int method = 0; method <= CLUSTER_SPECTRAL; method++) {
            struct made made = good[c].made;
            for (int scaled = 0; scaled < 2; scaled++) {
                struct cluster_options o = {.method = (enum cluster_method)method,
                                            .k = good[c].k,
                                            .standardise = scaled == 1};
                if (run_made(b, &made, good[c].n, o, &r))
                    fail_msg("set %zu, method %d: %s", c, method, b->e.text);
                for (int64_t i = 0; i < good[c].n; i++)
                    assert_true(r.label[i] >= (method == CLUSTER_DBSCAN ? -1 : 0) &&
                                r.label[i] < r.clusters);
            }
        }
    }
    struct cluster_options o = {.k = 3};
    struct made far = {2, far_away}; /* f32 alone would see but one place */
    OK(run_made(b, &far, 60, o, &r));
    for (int64_t i = 3; i < 60; i++) assert_int_equal(r.label[i], r.label[i % 3]);
    assert_true(r.metrics.silhouette > 0.8);
    double given[6]; /* centres go out as they may come in */
    for (int64_t i = 0; i < 6; i++) {
        given[i] = cluster_centre(&r.model, i / 2, i % 2);
        assert_true(fabs(given[i] - 1e9) < 30);
    }
    double inertia = r.inertia;
    o.init = given;
    OK(run_made(b, &far, 60, o, &r));
    unit_near("inertia", r.inertia, inertia, 1e-6);
    assert_true(r.steps <= 2);
    o.init = NULL;

    static const struct {
        struct made made;
        int64_t n, k;
        const char *words;
    } bad[] = {{{2, with_nan}, 20, 2, "row 8, column 2 is NaN"},
               {{2, with_inf}, 20, 2, "row 4, column 1 is infinite"},
               {{2, huge}, 20, 2, "--standardize"},
               {{2, pairs}, 4, 5, "5 clusters of 4 rows"}};
    for (size_t c = 0; c < COUNT(bad); c++) {
        struct made made = bad[c].made;
        o.k = bad[c].k;
        assert_int_equal(run_made(b, &made, bad[c].n, o, &r), -1);
        if (!strstr(b->e.text, bad[c].words)) fail_msg("%s", b->e.text);
    }
    struct made large = {2, huge};
    o = (struct cluster_options){.k = 2, .standardise = true};
    OK(run_made(b, &large, 20, o, &r));
    close_bench(b);
}

/* A model gives the rows it was made of their own labels, and survives a file. */
static void test_model(void **state)
{
    (void)state;
    struct bench bench, *b = &bench;
    char folder[300], path[400];
    struct made made = {6, spread_out};
    struct scale_source s = {&made, made_row, 90, 6, NULL, 2};
    int32_t label[90];
    unit_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/model", folder);
    for (int which = 0; which < 12; which++) {
        struct cluster_result r;
        struct cluster_model m;
        struct cluster_options o = {.method = which % 3 == 0   ? CLUSTER_KMEANS
                                              : which % 3 == 1 ? CLUSTER_GMM
                                                               : CLUSTER_MINIBATCH,
                                    .k = 4,
                                    .covariance = (enum gmm_kind)(which / 3),
                                    .standardise = which % 2 == 0,
                                    .pca = which > 5 ? 3 : 0};
        open_bench(b, "auto", 2);
        if (run_made(b, &made, 90, o, &r)) fail_msg("%s", b->e.text);
        OK(model_save(b->arena, path, &r.model, &b->e));
        OK(model_open(b->arena, path, &m, &b->e));
        OK(cluster_predict(b->arena, b->engine, NULL, &s, &m, label, &b->e));
        for (int i = 0; i < 90; i++)
            if (label[i] != r.label[i]) fail_msg("model %d: row %d", which, i);
        close_bench(b);
    }
    unit_remove(folder);
}

/* ---- on a GPU --------------------------------------------------------------------------------
 */

static void plug_in(void)
{
    struct arena *a;
    struct err e;
    assert_int_equal(arena_open("t_cluster", 0, &a, &e), 0);
    setenv("LODE_MODULES", file_join(a, file_program_folder(a, &e), "..", &e), 1);
    setenv("LODE_FAKE_GPU", "t4", 1);
    arena_close(&a);
}

static void on_gpu(void (*run)(struct bench *b))
{
    struct bench b;
    plug_in();
    open_bench(&b, "gpu", 1);
    assert_string_equal(engine_device(b.engine), "cuda");
    run(&b);
    close_bench(&b);
}

static void run_some_gmm(struct bench *b)
{
    gmm_case(b, GMM_DIAG, "diag", 5);
    gmm_case(b, GMM_FULL, "full", 1);
    gmm_case(b, GMM_TIED, "tied", 1);
    gmm_case(b, GMM_SPHERICAL, "spherical", 5);
}

static void run_moons(struct bench *b)
{
    spectral_case(b, "spectral_moons", "c_x", 500, 2);
}

static void test_gpu_kmeans(void **state)
{
    (void)state;
    on_gpu(run_kmeans);
}

static void test_gpu_dbscan(void **state)
{
    (void)state;
    on_gpu(run_dbscan);
}

static void test_gpu_moments(void **state)
{
    (void)state;
    on_gpu(run_pca);
    on_gpu(run_some_gmm);
}

static void test_gpu_metrics(void **state)
{
    (void)state;
    on_gpu(run_metrics);
}

static void test_gpu_spectral(void **state)
{
    (void)state;
    on_gpu(run_moons);
}

/* The same labels from the same seed, on the CPU and on a GPU: of every method, with every part of
 * a request. */
static void test_gpu_same_labels(void **state)
{
    (void)state;
    enum { N = 150 };
    struct made m = {6, spread_out};
    plug_in();
    for (int method = 0; method <= CLUSTER_SPECTRAL; method++) {
        struct cluster_options o = {.method = (enum cluster_method)method,
                                    .k = 5,
                                    .pca = 4,
                                    .standardise = method % 2 == 0,
                                    .tol = 1e-4,
                                    .seed = 7};
        struct bench one, two, *b = &one;
        struct cluster_result cpu, gpu;
        open_bench(&one, "auto", 2);
        open_bench(&two, "gpu", 1);
        OK(run_made(b, &m, N, o, &cpu));
        b = &two;
        OK(run_made(b, &m, N, o, &gpu));
        assert_memory_equal(cpu.label, gpu.label, N * sizeof *gpu.label);
        assert_true(cpu.steps == gpu.steps || method == CLUSTER_SPECTRAL);
        if (method != CLUSTER_DBSCAN) /* one cluster */
            unit_near("silhouette", gpu.metrics.silhouette, cpu.metrics.silhouette, 1e-5);
        close_bench(&one);
        close_bench(&two);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kmeans),       cmocka_unit_test(test_starts),
        cmocka_unit_test(test_dbscan),       cmocka_unit_test(test_grid),
        cmocka_unit_test(test_pca),          cmocka_unit_test(test_wide),
        cmocka_unit_test(test_metrics),      cmocka_unit_test(test_gmm),
        cmocka_unit_test(test_spectral),     cmocka_unit_test(test_scale_threads),
        cmocka_unit_test(test_hostile),      cmocka_unit_test(test_model),
        cmocka_unit_test(test_gpu_kmeans),   cmocka_unit_test(test_gpu_dbscan),
        cmocka_unit_test(test_gpu_moments),  cmocka_unit_test(test_gpu_metrics),
        cmocka_unit_test(test_gpu_spectral), cmocka_unit_test(test_gpu_same_labels),
    };
    return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
