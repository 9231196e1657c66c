/* A little plan on the CPU, for tests: values, one or more tapes, prepared and run, every failure
 * an assertion. Data for weights is borrowed. */
#ifndef TESTS_LAB_H
#define TESTS_LAB_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "cpu/cpu.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct lab {
    struct arena *arena;
    struct plan *plan;
    struct backend_device *device;
    struct backend_plan *prepared;
    struct err e;
    bool packed[64]; /* which values were reported as packed */
};

/* Shapes are written [B,T,C]; 0 ends them. */
#define DIMS(...) ((const int64_t[TENSOR_RANK + 1]){__VA_ARGS__})
#define IDS(...) \
    ((const int[]){__VA_ARGS__}), (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static int lab_rank(const int64_t *dim)
{
    int rank = 0;
    while (dim[rank]) rank++;
    return rank;
}

#define LAB_OK(l, call)                                          \
    do {                                                         \
        if ((call) != 0) fail_msg("%s: %s", #call, (l)->e.text); \
    } while (0)

static BASE_UNUSED void lab_open(struct lab *l, const char *kernels, int threads)
{
    *l = (struct lab){0};
    LAB_OK(l, arena_open("lab", 0, &l->arena, &l->e));
    LAB_OK(l, plan_open(l->arena, &l->plan, &l->e));
    struct backend_options o = {.threads = threads, .kernels = kernels};
    LAB_OK(l, cpu_backend.open(l->arena, &o, &l->device, &l->e));
}

static BASE_UNUSED int lab_value(struct lab *l, int v)
{
    if (v < 0) fail_msg("%s", l->e.text);
    return v;
}

static BASE_UNUSED int lab_input(struct lab *l, const char *name, enum dtype type,
                                 const int64_t *dim, int live)
{
    return lab_value(l, plan_input(l->plan, name, type, lab_rank(dim), dim, live, &l->e));
}

static BASE_UNUSED int lab_output(struct lab *l, const char *name, enum dtype type,
                                  const int64_t *dim, int live)
{
    return lab_value(l, plan_output(l->plan, name, type, lab_rank(dim), dim, live, &l->e));
}

static BASE_UNUSED int lab_temp(struct lab *l, const char *name, enum dtype type,
                                const int64_t *dim, int live)
{
    return lab_value(l, plan_temp(l->plan, name, type, lab_rank(dim), dim, live, &l->e));
}

static BASE_UNUSED int lab_state(struct lab *l, const char *name, enum dtype type,
                                 const int64_t *dim)
{
    return lab_value(l, plan_state(l->plan, name, type, lab_rank(dim), dim, &l->e));
}

static BASE_UNUSED int lab_weight(struct lab *l, const char *name, enum dtype type,
                                  const int64_t *dim, const void *data, bool as_i8)
{
    struct tensor t = {.type = type, .rank = lab_rank(dim), .data = data};
    memcpy(t.dim, dim, (size_t)t.rank * sizeof *dim);
    return lab_value(l, plan_weight(l->plan, name, &t, 1, as_i8, &l->e));
}

static BASE_UNUSED int lab_begin(struct lab *l, const char *name)
{
    return lab_value(l, plan_begin(l->plan, name, &l->e));
}

static BASE_UNUSED void lab_step(struct lab *l, enum op op, struct op_args args, const int *in,
                                 int n_in, const int *out, int n_out)
{
    LAB_OK(l, plan_add(l->plan, op, op_row(op)->name, in, n_in, out, n_out, &args, &l->e));
}

static void lab_used(void *ctx, int value)
{
    ((struct lab *)ctx)->packed[value] = true;
}

static BASE_UNUSED void lab_ready(struct lab *l)
{
    if (!l->plan->finished) LAB_OK(l, plan_finish(l->plan, &l->e));
    LAB_OK(l, cpu_backend.prepare(l->device, l->arena, l->plan, lab_used, l, &l->prepared, &l->e));
}

static BASE_UNUSED void *lab_host(struct lab *l, int value)
{
    void *p = cpu_backend.host(l->prepared, value);
    assert_non_null(p);
    return p;
}

#define LAB_PUT(l, value, type, ...) \
    memcpy(lab_host(l, value), (const type[]){__VA_ARGS__}, sizeof((const type[]){__VA_ARGS__}))

static BASE_UNUSED void lab_run(struct lab *l, int tape)
{
    LAB_OK(l, cpu_backend.run(l->prepared, tape, &l->e));
}

static BASE_UNUSED void lab_close(struct lab *l)
{
    cpu_backend.release(l->prepared);
    cpu_backend.close(l->device);
    arena_close(&l->arena);
}

/* n numbers as promised, within tolerance * (1 + |want|); infinities and NaN as they are. */
static BASE_UNUSED void lab_near(const float *got, const float *want, size_t n, double tolerance)
{
    for (size_t i = 0; i < n; i++) {
        bool same = isfinite(want[i]) ? fabs((double)got[i] - (double)want[i]) <=
                                            tolerance * (1 + fabs((double)want[i]))
                                      : memcmp(&got[i], &want[i], sizeof *got) == 0;
        if (!same) fail_msg("[%zu] is %.9g, expected %.9g", i, (double)got[i], (double)want[i]);
    }
}
#define LAB_NEAR(got, tolerance, ...)           \
    lab_near(got, (const float[]){__VA_ARGS__}, \
             sizeof((const float[]){__VA_ARGS__}) / sizeof(float), tolerance)

#endif
