/* Clustering against scikit-learn: every method through the engine on the sets of
 * tests/golden/cluster (made by tools/golden/cluster.py), with the same starts. */
#include "base/json.h"
#include "cluster/kmeans.h"
#include "cluster/scale.h"
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
    struct engine_options o = {.device = "cpu", .kernels = kernels, .threads = threads};
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

static void near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s is %.10g, expected %.10g", what, got, want);
}

static void kmeans_case(struct bench *b, const char *name, double tol, bool empty)
{
    const struct json *want = json_key(b->want, name);
    struct set x = open_set(b, "b_x"), init = open_set(b, "kmeans_init");
    for (int64_t i = 0; i < 2 * x.numbers.columns && empty; i++)
        init.x[6 * x.numbers.columns + i] = 100;
    struct kmeans_options o = {.k = 8, .most_steps = 300, .tol = tol, .init = init.x};
    struct kmeans m;
    struct kmeans_result r;
    OK(work_open(b->arena, b->engine, NULL, x.numbers.rows, x.numbers.columns, &b->work, &b->e));
    OK(kmeans_plan(&b->work, &o, &m, &b->e));
    take_rows(b, x.x);
    OK(kmeans_run(&m, &r, &b->e));
    same_labels(want, r.label, x.numbers.rows);
    near("inertia", r.inertia, json_number(json_key(want, "inertia"), NAN), 1e-6);
    assert_int_equal(r.steps, json_int(json_key(want, "n_iter"), -1));
    const struct json *centres = json_key(want, "centers");
    for (size_t i = 0; i < json_count(centres); i++)
        for (int64_t j = 0; j < x.numbers.columns; j++)
            near("a centre", (double)r.centre[(int64_t)i * x.numbers.columns + j],
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
    struct kmeans_result r, again;
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
    near("inertia", inertia, r.inertia, 1e-12);
    work_close(&b->work);
}

static void test_starts(void **state)
{
    (void)state;
    each_level(run_starts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kmeans),
        cmocka_unit_test(test_starts),
    };
    return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
