/* Steps of EM that leave clusters out, by what the step before knew of every row (OP_estep), give
 * what steps give that look at all of them: on every level of kernels, with any number of threads.
 */
#include "cluster/gmm.h"
#include "cpu/cpu.h"
#include "unit.h"
#include <math.h>
#include <string.h>

struct bench { /* rows, an engine and a plan */
    struct arena *arena;
    struct err e;
    struct engine *engine;
    struct work work;
};

#define OK(call)                                               \
    do {                                                       \
        if ((call) != 0) fail_msg("%s: %s", #call, b->e.text); \
    } while (0)

static void open_bench(struct bench *b, enum cpu_level level, int threads)
{
    struct engine_options o = {
        .device = "cpu", .kernels = cpu_level_name(level), .threads = threads};
    *b = (struct bench){0};
    OK(arena_open("t_mixture", 0, &b->arena, &b->e));
    OK(engine_open(b->arena, &o, &b->engine, &b->e));
}

static void close_bench(struct bench *b)
{
    work_close(&b->work);
    engine_close(&b->engine);
    arena_close(&b->arena);
}

enum { ROWS = 2100, COLUMNS = 130, CLUSTERS = 70 };

/* Rows about 80 places, some wide and some narrow, some on top of each other. */
static void fill_rows(float *x)
{
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLUMNS; j++) {
            uint64_t place = (uint64_t)(i * i % 80), at = (uint64_t)(i * COLUMNS + j);
            float wide = place % 7 ? 0.7f : 2.5f;
            x[i * COLUMNS + j] = tensor_hash("place", place / 2 * 1000 + (uint64_t)j, 1) +
                                 tensor_hash("row", at, wide) * tensor_hash("own", at, 1);
        }
}

/* Called after `move` was told and before it is used: tells that there was no step yet. */
static bool hide_move(void *gmm)
{
    const struct gmm *m = gmm;
    memset(work_at(m->w, m->move), 0, 3 * CLUSTERS * sizeof(float));
    return false;
}

static void steps_of(struct bench *b, bool hide, struct gmm_result *r)
{
    struct gmm_options o = {.k = CLUSTERS,
                            .starts = 2,
                            .most_steps = 20,
                            .tol = 1e-5,
                            .ridge = 1e-4,
                            .kind = GMM_DIAG,
                            .seed = 5};
    struct gmm m;
    struct work_watch watch = {.ctx = &m, .cancelled = hide_move};
    OK(work_open(b->arena, b->engine, NULL, ROWS, COLUMNS, &b->work, &b->e));
    OK(gmm_plan(&b->work, &o, &m, &b->e));
    OK(work_ready(&b->work, &b->e));
    if (hide) b->work.watch = &watch;
    fill_rows(work_rows(&b->work));
    OK(gmm_run(&m, r, &b->e));
    work_close(&b->work);
}

/* Clusters that a step leaves out, because of what the step before knew, change nothing. */
static void test_same(void **state)
{
    (void)state;
    for (enum cpu_level level = CPU_BASE; level <= cpu_level_best(); level++) {
        const size_t means = CLUSTERS * COLUMNS;
        struct bench bench[3];
        struct gmm_result all, by[3];
        for (int i = 0; i < 3; i++) {
            open_bench(&bench[i], level, i + 1);
            if (i == 0) steps_of(&bench[i], true, &all);
            steps_of(&bench[i], false, &by[i]);
            unit_near("bound", by[i].bound, all.bound, 1e-6);
            assert_int_equal(by[i].steps, all.steps);
            assert_int_equal(by[i].start, all.start);
            assert_memory_equal(by[i].label, all.label, ROWS * sizeof *all.label);
            for (size_t j = 0; j < means; j++)
                unit_near("mean", by[i].model.mean[j], all.model.mean[j], 1e-5);
            assert_memory_equal(by[i].model.mean, by[0].model.mean, means * sizeof(double));
        }
        for (int i = 0; i < 3; i++) close_bench(&bench[i]);
    }
}

/* Clusters at places, of one width in all columns, and how likely they are. One is on its way to
 * another place. */
struct stand {
    int place[CLUSTERS];
    double way; /* 0 to 1 */
    double width[CLUSTERS], fixed[CLUSTERS];
};

static double stand_mean(const struct stand *s, int64_t k, int64_t j)
{
    enum { walker = 5, goal = 12 };
    double at = (double)tensor_hash("stand", (uint64_t)(s->place[k] * 1000 + j), 3);
    double to = (double)tensor_hash("stand", (uint64_t)(goal * 1000 + j), 3);
    return k == walker ? at + s->way * (to - at) : at;
}

/* What OP_estep takes of `now`, and what it may know of the way there from `before`. */
static void stand_model(const struct gmm *m, const struct stand *before, const struct stand *now)
{
    float *scale = work_at(m->w, m->scale), *shift = work_at(m->w, m->shift);
    float *move = work_at(m->w, m->move);
    double *fixed = work_at(m->w, m->fixed), most = -INFINITY;
    for (int64_t k = 0; k < CLUSTERS; k++) most = fmax(most, before->fixed[k]);
    for (int64_t k = 0; k < CLUSTERS; k++) {
        double drift = 0;
        fixed[k] = now->fixed[k];
        for (int64_t j = 0; j < COLUMNS; j++) {
            double by = (stand_mean(now, k, j) - stand_mean(before, k, j)) / now->width[k];
            scale[k * COLUMNS + j] = (float)(1 / now->width[k]);
            shift[k * COLUMNS + j] = (float)(stand_mean(now, k, j) / now->width[k]);
            drift += by * by;
        }
        move[3 * k] = now == before ? 0 : (float)(before->width[k] / now->width[k] * 0.9999);
        move[3 * k + 1] = (float)(sqrt(drift) + 1e-3);
        move[3 * k + 2] = (float)(before->fixed[k] - most);
    }
}

/* Clusters jump to rows of others, grow wide, become likely from one step to the next: what was
 * known of them must give way. */
static void test_jumps(void **state)
{
    (void)state;
    for (enum cpu_level level = CPU_BASE; level <= cpu_level_best(); level++) {
        struct bench bench[2];
        struct gmm m[2];
        struct stand before, now = {.way = 0};
        int64_t few = 0;
        for (int i = 0; i < 2; i++) {
            struct bench *b = &bench[i];
            struct gmm_options o = {.k = CLUSTERS, .most_steps = 1, .kind = GMM_DIAG};
            open_bench(b, level, i + 1);
            OK(work_open(b->arena, b->engine, NULL, ROWS, COLUMNS, &b->work, &b->e));
            OK(gmm_plan(&b->work, &o, &m[i], &b->e));
            OK(work_ready(&b->work, &b->e));
        }
        for (int k = 0; k < CLUSTERS; k++) {
            now.place[k] = MIN(k, 63); /* more in one place than are kept as near */
            now.width[k] = 0.5;
            now.fixed[k] = k % 3 * 20;
        }
        for (int64_t i = 0; i < ROWS * COLUMNS; i++) {
            float x = (float)stand_mean(&now, i / COLUMNS % CLUSTERS, i % COLUMNS) +
                      tensor_hash("noise", (uint64_t)i, 0.8f);
            work_rows(&bench[0].work)[i] = work_rows(&bench[1].work)[i] = x;
        }
        before = now;
        for (int step = 0; step < 24; step++, before = now) {
            int a = step * 11 % CLUSTERS, c = (a + 17 + step) % CLUSTERS;
            now.way = step == 11 ? 0 : step == 12 ? 0.7 : MIN(step, 10) / 10.0;
            if (step > 12 && step % 4 == 1) {
                now.place[c] = now.place[a];
                now.fixed[c] = now.fixed[a] + 1;
            } else if (step > 12 && step % 4 == 2) {
                now.width[c] = 4;
            } else if (step > 12 && step % 4 == 3) {
                now.fixed[c] += step % 2 ? 4000 : -900;
            }
            for (int i = 0; i < 2; i++) {
                struct bench *b = &bench[i];
                stand_model(&m[i], i && step ? &before : &now, &now);
                OK(work_run(&b->work, m[i].tape, &b->e));
            }
            static float known[5 * ROWS];
            struct bench *b = &bench[1];
            OK(work_peek(&b->work, m[1].known, known, sizeof known, &b->e));
            for (int64_t r = 0; r < ROWS; r++) few += known[5 * r + 2] < 0;
            unit_near("likelihood", *(double *)work_at(&bench[1].work, m[1].total),
                      *(double *)work_at(&bench[0].work, m[0].total), 1e-6);
            assert_memory_equal(work_at(&bench[1].work, m[1].label),
                                work_at(&bench[0].work, m[0].label), ROWS * sizeof(int32_t));
        }
        assert_true(few > ROWS); /* or nothing was left out, and this says nothing */
        for (int i = 0; i < 2; i++) close_bench(&bench[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same), cmocka_unit_test(test_jumps)};
    return cmocka_run_group_tests_name("mixture", tests, NULL, NULL);
}
