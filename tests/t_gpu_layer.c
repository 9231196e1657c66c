/* A layer of a decoder on the GPU's backend, on the fake driver, against the CPU's reference: what
 * several steps as one launch give for few rows (gpu_launch.c), and the same tape with more rows.
 * Compute types, chips, orders of threads, one and several windows; counts of launches. The sums
 * that steps hand on are outputs here, so every group is compared by itself.
 *
 * Not run on a GPU. */
#include "base/log.h"
#include "engine/engine.h"
#include "fake_help.h"
#include "gpu/gpu_launch.h"
#include <math.h>

enum { ROWS = 20, WINDOWS = 3, SEQUENCES = 20, PAST = 24, LAUNCHES = 5 };

static const struct fake_test *fake;

struct form {
    const char *name;
    enum dtype compute, cache, cross;
    bool i8;
    float most; /* |got - want| <= most * (1 + |want|) */
};

struct size {
    int heads, d, frames, up;
};

struct layer {
    struct arena *a;
    struct plan *p;
    struct engine *engine;
    struct engine_plan *ep;
    struct err e;
    int rows, kv, slot, x, position, sequence, history, window;
    int weights, said, heard, y;
};

/* ---- the plan ---- */

static int ok(struct layer *l, int v)
{
    if (v < 0) fail_msg("%s", l->e.text);
    return v;
}

static int weight(struct layer *l, const char *name, bool i8, int rank, int64_t n, int64_t k)
{
    int64_t count = n * (rank > 1 ? k : 1);
    float *data = ARENA_NEW(l->a, float, (size_t)count, &l->e);
    assert_non_null(data);
    float gain = rank > 1 ? 1 / sqrtf((float)k) : 0.2f;
    for (int64_t i = 0; i < count; i++) data[i] = tensor_hash(name, (uint64_t)i, gain);
    struct tensor t = {.type = DTYPE_F32, .rank = rank, .dim = {n, k}, .data = data};
    return ok(l, plan_weight(l->p, name, &t, 1, i8, &l->e));
}

static int value(struct layer *l, bool out, const char *name, int64_t width)
{
    int64_t dim[] = {ROWS, width};
    return ok(l, out ? plan_output(l->p, name, DTYPE_F32, 2, dim, l->rows, &l->e)
                     : plan_temp(l->p, name, DTYPE_F32, 2, dim, l->rows, &l->e));
}

static int add(struct layer *l, enum op op, const char *name, const int *in, int n_in,
               const int *out, int n_out, struct op_args args)
{
    return ok(l, plan_add(l->p, op, name, in, n_in, out, n_out, &args, &l->e)), out[0];
}

static int norm(struct layer *l, const char *name, int x, int64_t c)
{
    char gain[64], offset[64];
    snprintf(gain, sizeof gain, "%s.gain", name);
    snprintf(offset, sizeof offset, "%s.offset", name);
    int in[] = {x, weight(l, gain, false, 1, c, 0), weight(l, offset, false, 1, c, 0)};
    int out[] = {value(l, false, name, c)};
    return add(l, OP_layernorm, name, in, 3, out, 1, (struct op_args){.eps = 1e-5f});
}

static int linear(struct layer *l, const struct form *f, const char *name, int x, int64_t n,
                  int64_t k, enum op_act act, int residual)
{
    char w[64], b[64];
    snprintf(w, sizeof w, "%s.weight", name);
    snprintf(b, sizeof b, "%s.bias", name);
    int in[] = {x, weight(l, w, f->i8, 2, n, k), weight(l, b, false, 1, n, 0), residual};
    int out[] = {value(l, residual >= 0, name, n)};
    return add(l, OP_linear, name, in, 4, out, 1, (struct op_args){.act = act});
}

static int state(struct layer *l, const char *name, enum dtype type, int rank, const int64_t *dim)
{
    return ok(l, plan_state(l->p, name, type, rank, dim, &l->e));
}

static int i32(struct layer *l, const char *name, int rank, int64_t d0, int64_t d1, int live)
{
    int64_t dim[] = {d0, d1};
    return ok(l, plan_input(l->p, name, DTYPE_I32, rank, dim, live, &l->e));
}

static void write_plan(struct layer *l, const struct form *f, const struct size *z)
{
    int64_t c = z->heads * z->d;
    struct op_args att = {.heads = z->heads, .scale = 1 / sqrtf((float)z->d)};
    ok(l, plan_open(l->a, &l->p, &l->e));
    l->p->compute = f->compute;
    l->rows = i32(l, "rows", 0, 0, 0, -1);
    l->slot = i32(l, "slot", 1, WINDOWS, 0, -1);
    l->position = i32(l, "position", 1, ROWS, 0, l->rows);
    l->sequence = i32(l, "sequence", 1, ROWS, 0, l->rows);
    l->window = i32(l, "window", 1, ROWS, 0, l->rows);
    l->history = i32(l, "history", 2, SEQUENCES, PAST, -1);
    int64_t kv[] = {WINDOWS, z->frames, 2 * c}, x[] = {ROWS, c};
    l->kv = ok(l, plan_input(l->p, "kv", DTYPE_F32, 3, kv, -1, &l->e));
    l->x = ok(l, plan_input(l->p, "x", DTYPE_F32, 2, x, l->rows, &l->e));
    int64_t past[] = {SEQUENCES, PAST, c}, ck[] = {WINDOWS, z->heads, z->d, z->frames},
            cv[] = {WINDOWS, z->heads, z->frames, z->d};
    int k = state(l, "self.k", f->cache, 3, past), v = state(l, "self.v", f->cache, 3, past);
    int kept[] = {state(l, "cross.k", f->cross, 4, ck), state(l, "cross.v", f->cross, 4, cv)};

    ok(l, plan_begin(l->p, "hear", &l->e));
    add(l, OP_crosskv, "keep", (int[]){l->kv, l->slot}, 2, kept, 2, att);
    ok(l, plan_begin(l->p, "step", &l->e));
    int h = norm(l, "norm", l->x, c);
    h = linear(l, f, "qkv", h, 3 * c, c, OP_ACT_NONE, -1);
    int mixed = value(l, false, "attention", c);
    add(l, OP_attnself, "attention", (int[]){h, l->position, l->sequence, l->history}, 4,
        (int[]){mixed, k, v}, 3, att);
    l->said = linear(l, f, "out", mixed, c, c, OP_ACT_NONE, l->x);
    h = norm(l, "cross.norm", l->said, c);
    h = linear(l, f, "cross.q", h, c, c, OP_ACT_NONE, -1);
    mixed = value(l, false, "cross", c);
    int64_t w[] = {ROWS, z->heads, z->frames};
    l->weights = ok(l, plan_output(l->p, "weights", DTYPE_F32, 3, w, l->rows, &l->e));
    add(l, OP_attncross, "cross", (int[]){h, l->window, kept[0], kept[1]}, 4,
        (int[]){mixed, l->weights}, 2, att);
    l->heard = linear(l, f, "cross.out", mixed, c, c, OP_ACT_NONE, l->said);
    h = norm(l, "ffn.norm", l->heard, c);
    h = linear(l, f, "ffn.up", h, z->up, c, OP_ACT_GELU, -1);
    l->y = linear(l, f, "ffn.down", h, c, z->up, OP_ACT_NONE, l->heard);
    ok(l, plan_finish(l->p, &l->e));
}

/* ---- running it ---- */

static void layer_open(struct layer *l, const struct engine_options *o, const struct form *f,
                       const struct size *z)
{
    *l = (struct layer){0};
    assert_int_equal(arena_open("test", 0, &l->a, &l->e), 0);
    if (engine_open(l->a, o, &l->engine, &l->e)) fail_msg("%s", l->e.text);
    write_plan(l, f, z);
    if (engine_prepare(l->engine, l->a, l->p, NULL, NULL, &l->ep, &l->e)) fail_msg("%s", l->e.text);
    float *kv = engine_host(l->ep, l->kv);
    int32_t *slot = engine_host(l->ep, l->slot);
    for (int64_t i = 0; i < (int64_t)WINDOWS * z->frames * 2 * z->heads * z->d; i++)
        kv[i] = tensor_hash("kv", (uint64_t)i, 2);
    for (int i = 0; i < WINDOWS; i++) slot[i] = WINDOWS - 1 - i;
    ok(l, engine_run(l->ep, 0, &l->e));
}

static void layer_close(struct layer *l)
{
    engine_release(&l->ep);
    engine_close(&l->engine);
    arena_close(&l->a);
}

/* Run number `run` with so many rows: three of each sequence's, at following positions. */
static void step(struct layer *l, int rows, int run, const struct size *z)
{
    int32_t *position = engine_host(l->ep, l->position),
            *sequence = engine_host(l->ep, l->sequence), *window = engine_host(l->ep, l->window),
            *history = engine_host(l->ep, l->history);
    float *x = engine_host(l->ep, l->x);
    *(int32_t *)engine_host(l->ep, l->rows) = rows;
    for (int s = 0; s < SEQUENCES * PAST; s++) history[s] = s / PAST;
    for (int r = 0; r < rows; r++) {
        sequence[r] = r / 3;
        position[r] = 3 * run + r % 3;
        window[r] = r * WINDOWS / rows;
    }
    if (run > 0) history[0] = 1; /* shares what another has said */
    for (int i = 0; i < rows * z->heads * z->d; i++)
        x[i] = tensor_hash("x", (uint64_t)(i + run * 100000), 2);
    ok(l, engine_run(l->ep, 1, &l->e));
}

static void same(struct layer *got, struct layer *want, int v, int rows, float most,
                 const char *what)
{
    const struct plan_value *p = &want->p->value[v];
    int64_t n = rows * (tensor_count(p->rank, p->dim) / p->dim[0]);
    const float *a = engine_host(got->ep, v), *b = engine_host(want->ep, v);
    for (int64_t i = 0; i < n; i++) {
        if (fabsf(a[i] - b[i]) <= most * (1 + fabsf(b[i]))) continue;
        fail_msg("%s, %d rows: %s[%lld] is %g, %g on the CPU", what, rows, p->name, (long long)i,
                 (double)a[i], (double)b[i]);
    }
}

static const struct engine_options on_cpu = {.device = "cpu", .kernels = "ref", .threads = 1};
static const struct engine_options on_gpu = {.device = "cuda", .kernels = "ref", .threads = 1};

static uint64_t kernels(void)
{
    struct fake_stats s;
    fake->stats(&s);
    return s.kernels;
}

static void check(const char *gpu, const struct form *f, const struct size *z)
{
    static const int rows[] = {1, 5, ROWS, 16, 9};
    char what[120];
    struct layer cpu, device;
    struct form plain = *f;
    plain.compute = plain.cache = plain.cross = DTYPE_F32;
    snprintf(what, sizeof what, "%s, %s, %d heads of %d", gpu, f->name, z->heads, z->d);
    if (fake->reset(gpu)) fail_msg("\"%s\" is no fake GPU", gpu);
    layer_open(&cpu, &on_cpu, &plain, z);
    layer_open(&device, &on_gpu, f, z);
    for (int i = 0; i < (int)COUNT(rows); i++) {
        uint64_t before = kernels();
        step(&cpu, rows[i], i, z);
        step(&device, rows[i], i, z);
        if (rows[i] <= GPU_LAUNCH_FEW) assert_int_equal(kernels() - before, LAUNCHES);
        same(&device, &cpu, device.said, rows[i], f->most, what);
        same(&device, &cpu, device.weights, rows[i], f->most, what);
        same(&device, &cpu, device.heard, rows[i], f->most, what);
        same(&device, &cpu, device.y, rows[i], f->most, what);
    }
    layer_close(&device);
    layer_close(&cpu);
}

/* f16 and i8: the tolerances of op.def add up over the layer. */
static const struct form forms[] = {
    {"f32", DTYPE_F32, DTYPE_F32, DTYPE_F32, false, 1e-4f},
    {"f16", DTYPE_F16, DTYPE_F16, DTYPE_F16, false, 1e-2f},
    {"i8", DTYPE_F16, DTYPE_F16, DTYPE_I8, true, 3e-2f},
};

static void test_orders(void **state_)
{
    (void)state_;
    static const char *const gpus[] = {"t4,order=0", "t4,order=1",   "t4,order=2",
                                       "t4,order=3", "v100,order=2", "a100,order=3"};
    static const struct size small = {2, 16, 20, 48};
    for (size_t g = 0; g < COUNT(gpus); g++) {
        for (size_t f = 0; f < COUNT(forms); f++) check(gpus[g], &forms[f], &small);
    }
}

/* A head as Whisper has it, so many positions that they are shared out among blocks. */
static void test_splits(void **state_)
{
    (void)state_;
    static const struct size wide = {1, 64, 600, 80};
    for (size_t f = 0; f < COUNT(forms); f++) {
        check("t4,order=1", &forms[f], &wide);
        check("h200,order=2", &forms[f], &wide);
    }
}

/* Heads that the kernels of several steps do not take: steps on their own, right all the same. */
static void test_odd_heads(void **state_)
{
    (void)state_;
    static const struct size odd = {2, 12, 20, 40};
    struct layer l, cpu;
    if (fake->reset("t4")) fail_msg("t4");
    layer_open(&l, &on_gpu, &forms[1], &odd);
    layer_open(&cpu, &on_cpu, &forms[0], &odd);
    uint64_t before = kernels();
    step(&l, 4, 0, &odd);
    step(&cpu, 4, 0, &odd);
    assert_true(kernels() - before > LAUNCHES);
    same(&l, &cpu, l.y, 4, forms[1].most, "odd heads");
    layer_close(&l);
    layer_close(&cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_splits),
        cmocka_unit_test(test_odd_heads),
    };
    log_set_level(LOG_QUIET);
    fake = fake_open("t4");
    return cmocka_run_group_tests_name("gpu layer", tests, NULL, NULL);
}
