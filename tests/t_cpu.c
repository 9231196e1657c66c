/* The runner: choice of kernels and forms, live rows, state across runs, refusals, memory. */
#include "cpu/cpu_team.h"
#include "lab.h"

/* embed -> linear with the same table, as Whisper ties its embeddings; and a state. */
struct tied {
    struct lab l;
    int live, token, position, table, x, y;
};

static const float table[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
                   positions[] = {0, 0, 0.5f, -0.5f};

static void tied_open(struct tied *t, const char *kernels, int threads, bool as_i8, enum dtype type)
{
    static uint16_t halves[12];
    for (int i = 0; i < 12; i++) halves[i] = tensor_f32_to_f16(table[i]);
    lab_open(&t->l, kernels, threads);
    t->live = lab_input(&t->l, "rows", DTYPE_I32, DIMS(0), -1);
    t->token = lab_input(&t->l, "token", DTYPE_I32, DIMS(3), t->live);
    t->position = lab_input(&t->l, "position", DTYPE_I32, DIMS(3), t->live);
    t->table = lab_weight(&t->l, "table", type, DIMS(6, 2),
                          type == DTYPE_F16 ? (const void *)halves : table, as_i8);
    int p = lab_weight(&t->l, "positions", DTYPE_F32, DIMS(2, 2), positions, false);
    t->x = lab_temp(&t->l, "x", DTYPE_F32, DIMS(3, 2), t->live);
    t->y = lab_output(&t->l, "y", DTYPE_F32, DIMS(3, 6), t->live);
    lab_begin(&t->l, "step");
    lab_step(&t->l, OP_embed, (struct op_args){0}, IDS(t->token, t->position, t->table, p),
             IDS(t->x));
    lab_step(&t->l, OP_linear, (struct op_args){0}, IDS(t->x, t->table), IDS(t->y));
    lab_ready(&t->l);
}

static void test_live_rows(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        struct tied t;
        tied_open(&t, "auto", threads, false, DTYPE_F32);
        float *y = lab_host(&t.l, t.y);
        for (int i = 0; i < 18; i++) y[i] = -7;
        LAB_PUT(&t.l, t.token, int32_t, 0, 5, -1);
        LAB_PUT(&t.l, t.position, int32_t, 0, 1, 99); /* the third row is not read */
        LAB_PUT(&t.l, t.live, int32_t, 2);
        lab_run(&t.l, 0);
        LAB_NEAR(y, 1e-5, 5, 11, 17, 23, 29, 35, 34.5f, 80.5f, 126.5f, 172.5f, 218.5f, 264.5f, -7,
                 -7, -7, -7, -7, -7);
        LAB_PUT(&t.l, t.token, int32_t, 1);
        LAB_PUT(&t.l, t.live, int32_t, 1);
        lab_run(&t.l, 0); /* the second row stays from before */
        LAB_NEAR(y, 1e-5, 11, 25, 39, 53, 67, 81, 34.5f, 80.5f);
        LAB_PUT(&t.l, t.live, int32_t, 0);
        y[0] = -7;
        lab_run(&t.l, 0);
        LAB_NEAR(y, 0, -7);
        float x[2];
        LAB_OK(&t.l, cpu_backend.peek(t.l.prepared, t.x, x, sizeof x, &t.l.e));
        LAB_NEAR(x, 0, 3, 4);
        lab_close(&t.l);
    }
}

/* A table that two ops read lies in memory once, whatever its form. */
static void test_one_pack(void **state)
{
    (void)state;
    static const struct {
        bool as_i8;
        enum dtype type;
        double tolerance;
        size_t most;
    } way[] = {{false, DTYPE_F32, 1e-5, 12 * 4},
               {false, DTYPE_F16, 1e-5, 12 * 2},
               {true, DTYPE_F32, 2e-2, 16 * 4 + 16 * 8},
               {true, DTYPE_F16, 2e-2, 16 * 4 + 16 * 8}};
    for (size_t i = 0; i < COUNT(way); i++) {
        for (int level = CPU_REF; level <= (int)cpu_level_best(); level++) {
            struct tied t;
            tied_open(&t, cpu_level_name((enum cpu_level)level), 2, way[i].as_i8, way[i].type);
            LAB_PUT(&t.l, t.token, int32_t, 3, 4, 0);
            LAB_PUT(&t.l, t.live, int32_t, 3);
            lab_run(&t.l, 0);
            lab_near(lab_host(&t.l, t.y),
                     (const float[]){23, 53, 83, 113, 143, 173, 29, 67, 105, 143, 181, 219, 5, 11,
                                     17, 23, 29, 35},
                     18, way[i].tolerance);
            assert_true(t.l.packed[t.table]);
            struct backend_memory m, measured;
            cpu_backend.memory(t.l.prepared, &m);
            LAB_OK(&t.l, cpu_backend.measure(t.l.device, t.l.plan, &measured, &t.l.e));
            assert_memory_equal(&m, &measured, sizeof m); /* told without preparing */
            /* each piece starts on a line of its own; the positions are there too */
            assert_in_range(m.weights, 1, way[i].most + 16 + 4 * BASE_LINE);
            lab_close(&t.l);
        }
    }
}

static void refused(struct tied *t, const char *says)
{
    err_clear(&t->l.e);
    int rc = cpu_backend.run(t->l.prepared, 0, &t->l.e);
    if (rc == 0 || t->l.e.code != E_INTERNAL || !strstr(t->l.e.text, says))
        fail_msg("rc %d, code %d: \"%s\"", rc, t->l.e.code, t->l.e.text);
}

static void test_wild_numbers(void **state)
{
    (void)state;
    struct tied t;
    tied_open(&t, "auto", 2, false, DTYPE_F32);
    LAB_PUT(&t.l, t.live, int32_t, 4);
    refused(&t, "rows asks for 4 rows of");
    LAB_PUT(&t.l, t.live, int32_t, -1);
    refused(&t, "rows asks for -1 rows");
    LAB_PUT(&t.l, t.live, int32_t, 2);
    LAB_PUT(&t.l, t.token, int32_t, 0, 6);
    refused(&t, "step embed: token has 6 at 1, allowed is 0 to 5");
    LAB_PUT(&t.l, t.token, int32_t, -1, 5);
    refused(&t, "token has -1 at 0");
    LAB_PUT(&t.l, t.token, int32_t, 0, 5);
    LAB_PUT(&t.l, t.position, int32_t, 2, 0);
    refused(&t, "position has 2 at 0, allowed is 0 to 1");
    LAB_PUT(&t.l, t.position, int32_t, 1, 0);
    lab_run(&t.l, 0);
    assert_int_equal(cpu_backend.peek(t.l.prepared, t.table, t.l.packed, 1, &t.l.e), -1);
    assert_int_equal(cpu_backend.peek(t.l.prepared, t.x, t.l.packed, 25, &t.l.e), -1);
    assert_null(cpu_backend.host(t.l.prepared, t.x));
    assert_null(cpu_backend.host(t.l.prepared, t.table));
    lab_close(&t.l);
}

/* Histories, windows, slots, picks: whatever is an index is checked. */
static void test_wild_indices(void **state)
{
    (void)state;
    struct lab l;
    lab_open(&l, "ref", 1);
    int qkv = lab_input(&l, "qkv", DTYPE_F32, DIMS(1, 3), -1);
    int q = lab_input(&l, "q", DTYPE_F32, DIMS(1, 1), -1);
    int one = lab_input(&l, "index", DTYPE_I32, DIMS(1), -1);
    int two = lab_input(&l, "index2", DTYPE_I32, DIMS(1), -1);
    int history = lab_input(&l, "history", DTYPE_I32, DIMS(2, 3), -1);
    int rule = lab_input(&l, "rule", DTYPE_I32, DIMS(1, 8), -1);
    int chance = lab_input(&l, "chance", DTYPE_F32, DIMS(1, 2), -1);
    int kv = lab_input(&l, "kv", DTYPE_F32, DIMS(1, 1, 2), -1);
    int logits = lab_input(&l, "logits", DTYPE_F32, DIMS(1, 4), -1);
    int ban = lab_input(&l, "ban", DTYPE_F32, DIMS(4), -1);
    int k = lab_state(&l, "k", DTYPE_F32, DIMS(2, 3, 1));
    int v = lab_state(&l, "v", DTYPE_F32, DIMS(2, 3, 1));
    int ck = lab_state(&l, "ck", DTYPE_F32, DIMS(2, 1, 1, 1));
    int cv = lab_state(&l, "cv", DTYPE_F32, DIMS(2, 1, 1, 1));
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(1, 1), -1);
    int top = lab_output(&l, "top", DTYPE_I32, DIMS(1, 1), -1);
    int token = lab_output(&l, "token", DTYPE_I32, DIMS(1), -1);
    int log = lab_output(&l, "log", DTYPE_F32, DIMS(1), -1);
    struct op_args args = {.heads = 1, .scale = 1, .top = 1, .watch = -1, .eot = 2, .time0 = -1};
    lab_begin(&l, "self");
    lab_step(&l, OP_attnself, args, IDS(qkv, one, two, history), IDS(y, k, v));
    lab_begin(&l, "keep");
    lab_step(&l, OP_crosskv, args, IDS(kv, one), IDS(ck, cv));
    lab_begin(&l, "cross");
    lab_step(&l, OP_attncross, args, IDS(q, one, ck, cv), IDS(y));
    lab_begin(&l, "gather");
    lab_step(&l, OP_gather, args, IDS(q, one), IDS(y));
    lab_begin(&l, "pick");
    lab_step(&l, OP_pick, args, IDS(logits, ban, rule, chance), IDS(top, y, token, log, log));
    lab_ready(&l);
    static const struct {
        int tape;
        int32_t one, two, history, rule[8];
        const char *says; /* NULL: is allowed */
    } try[] = {
        {0, 2, 1, 1, {0}, NULL},
        {0, 3, 1, 1, {0}, "index has 3"},
        {0, -1, 1, 1, {0}, "index has -1"},
        {0, 2, 2, 1, {0}, "index2 has 2"},
        {0, 2, 1, 2, {0}, "history has 2 at 2"},
        {0, 1, 1, 2, {0}, NULL}, /* beyond the position: not read */
        {1, 1, 0, 0, {0}, NULL},
        {1, 2, 0, 0, {0}, "index has 2"},
        {2, 1, 0, 0, {0}, NULL},
        {2, -1, 0, 0, {0}, "index has -1"},
        {3, 0, 0, 0, {0}, NULL},
        {3, 1, 0, 0, {0}, "index has 1"},
        {4, 0, 0, 0, {0, 0, 3, -1, -1}, NULL},
        {4, 0, 0, 0, {31, 0, 3, -1, -1}, NULL},
        {4, 0, 0, 0, {32, 0, 3, -1, -1}, "rule has 32"},
        {4, 0, 0, 0, {0, 0, 6, -1, -1}, "rule has 6"},
        {4, 0, 0, 0, {0, 0, 3, 4, -1}, "rule has 4"},
        {4, 0, 0, 0, {0, 0, 3, -1, -2}, "rule has -2"},
        {4, 0, 0, 0, {0, 0, 3, -1, -1, 0, 1}, "rule has 1"},
    };
    for (size_t i = 0; i < COUNT(try); i++) {
        LAB_PUT(&l, one, int32_t, try[i].one);
        LAB_PUT(&l, two, int32_t, try[i].two);
        ((int32_t *)lab_host(&l, history))[5] = try[i].history;
        memcpy(lab_host(&l, rule), try[i].rule, sizeof try[i].rule);
        int rc = cpu_backend.run(l.prepared, try[i].tape, &l.e);
        if (!try[i].says != (rc == 0) || (rc && !strstr(l.e.text, try[i].says)))
            fail_msg("try %zu: rc %d, \"%s\"", i, rc, l.e.text);
    }
    lab_close(&l);
}

/* What one tape leaves in a state another finds, wherever it lies, and runs ask the system for no
 * memory. */
static void test_state_and_memory(void **state)
{
    (void)state;
    struct lab l;
    lab_open(&l, "auto", 2);
    int kv = lab_input(&l, "kv", DTYPE_F32, DIMS(1, 2, 2), -1);
    int slot = lab_input(&l, "slot", DTYPE_I32, DIMS(1), -1);
    int q = lab_input(&l, "q", DTYPE_F32, DIMS(1, 1), -1);
    int k = lab_state(&l, "k", DTYPE_F32, DIMS(3, 1, 1, 2));
    int v = lab_state(&l, "v", DTYPE_F32, DIMS(3, 1, 2, 1));
    plan_sparse(l.plan, k);
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(1, 1), -1);
    struct op_args args = {.heads = 1, .scale = 1};
    lab_begin(&l, "keep");
    lab_step(&l, OP_crosskv, args, IDS(kv, slot), IDS(k, v));
    lab_begin(&l, "read");
    lab_step(&l, OP_attncross, args, IDS(q, slot, k, v), IDS(y));
    lab_ready(&l);
    uint64_t calls = arena_system_calls();
    size_t used = arena_used(l.arena);
    for (int32_t s = 0; s < 3; s++) {
        LAB_PUT(&l, slot, int32_t, s);
        LAB_PUT(&l, kv, float, 0, (float)s, 0, (float)(s + 2));
        lab_run(&l, 0);
    }
    for (int32_t s = 2; s >= 0; s--) {
        LAB_PUT(&l, slot, int32_t, s);
        lab_run(&l, 1);
        LAB_NEAR(lab_host(&l, y), 1e-6, (float)(s + 1));
    }
    float values[6];
    LAB_OK(&l, cpu_backend.peek(l.prepared, v, values, sizeof values, &l.e));
    LAB_NEAR(values, 0, 0, 2, 1, 3, 2, 4);
    assert_int_equal(arena_system_calls(), calls);
    assert_int_equal(arena_used(l.arena), used);
    struct backend_memory m;
    cpu_backend.memory(l.prepared, &m);
    assert_int_equal(m.state, 2 * BASE_LINE);
    assert_int_equal(l.plan->value[v].offset, 0); /* what is sparse lies behind what is not */
    assert_int_equal(l.plan->value[k].offset, BASE_LINE);
    assert_int_equal(l.plan->sparse_from, BASE_LINE);
    assert_int_equal(m.step, l.plan->step_bytes);
    assert_int_equal(m.weights, 0);
    const double *seconds = cpu_backend.profile(l.prepared);
    assert_true(seconds[0] > 0 && seconds[1] > 0 && seconds[0] < 10);
    lab_close(&l);
}

static void test_open(void **state)
{
    (void)state;
    struct arena *a;
    struct err e;
    struct backend_device *d;
    assert_int_equal(arena_open("t", 0, &a, &e), 0);
    static const struct {
        const char *kernels;
        int threads;
        enum err_code code;
    } try[] = {{NULL, 0, E_OK},       {"auto", 1, E_OK},      {"ref", 2, E_OK},
               {"base", 3, E_OK},     {"avx3", 1, E_USAGE},   {"", 1, E_USAGE},
               {"auto", -1, E_USAGE}, {"auto", 9999, E_USAGE}};
    for (size_t i = 0; i < COUNT(try); i++) {
        struct backend_options o = {.threads = try[i].threads, .kernels = try[i].kernels};
        err_clear(&e);
        int rc = cpu_backend.open(a, &o, &d, &e);
        assert_int_equal(rc, try[i].code == E_OK ? 0 : -1);
        assert_int_equal(e.code, try[i].code);
        if (rc) continue;
        char text[200], ending[60];
        struct strbuf b;
        strbuf_init(&b, text, sizeof text);
        cpu_backend.describe(d, &b);
        int n = try[i].threads ? try[i].threads : thread_cpus();
        enum cpu_level best = cpu_level_best();
        snprintf(ending, sizeof ending, ", %d thread%s, %s", n, n == 1 ? "" : "s",
                 i < 2 ? cpu_level_name(best) : try[i].kernels);
        if (!str_ends(text, ending) || text[0] == ',') fail_msg("%s", text);
        cpu_backend.close(d);
    }
    for (int level = 0; level < CPU_LEVELS; level++) {
        struct backend_options o = {.threads = 1, .kernels = cpu_level_name((enum cpu_level)level)};
        bool can = level <= (int)cpu_level_best();
        assert_int_equal(cpu_backend.open(a, &o, &d, &e), can ? 0 : -1);
        if (!can) assert_int_equal(e.code, E_DEVICE);
    }
    arena_close(&a);
}

/* A weight whose form nobody can read is an error that names it; so is lack of memory. */
static void test_prepare_fails(void **state)
{
    (void)state;
    struct lab l;
    lab_open(&l, "auto", 1);
    int x = lab_input(&l, "x", DTYPE_F32, DIMS(1, 4), -1);
    int gain = lab_weight(&l, "gain", DTYPE_F32, DIMS(4), table, true); /* a norm has no i8 */
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(1, 4), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_layernorm, (struct op_args){.eps = 1}, IDS(x, gain, gain), IDS(y));
    LAB_OK(&l, plan_finish(l.plan, &l.e));
    assert_int_equal(cpu_backend.prepare(l.device, l.arena, l.plan, NULL, NULL, &l.prepared, &l.e),
                     -1);
    assert_int_equal(l.e.code, E_DEVICE);
    assert_non_null(strstr(l.e.text, "gain"));
    l.prepared = NULL;
    lab_close(&l);

    struct tied t;
    tied_open(&t, "auto", 2, true, DTYPE_F32);
    struct arena *small;
    for (size_t limit = 4096; limit < (1 << 21); limit *= 2) {
        struct backend_plan *bp;
        assert_int_equal(arena_open("small", limit, &small, &t.l.e), 0);
        if (cpu_backend.prepare(t.l.device, small, t.l.plan, NULL, NULL, &bp, &t.l.e))
            assert_int_equal(t.l.e.code, E_NOMEM);
        else
            cpu_backend.release(bp);
        arena_close(&small);
    }
    lab_close(&t.l);
}

/* What a hostile file can hold must not stop or hurt the packer. */
static void test_wild_weights(void **state)
{
    (void)state;
    static const float wild[] = {INFINITY, 1, NAN, 1, 1e-42f, 0, 3e38f, -3e38f};
    int8_t q[2];
    float row[2];
    struct plan_value v = {
        .type = DTYPE_F32, .rank = 2, .dim = {4, 2}, .n_parts = 1, .as_i8 = true};
    v.part[0] = (struct tensor){.type = DTYPE_F32, .rank = 2, .dim = {4, 2}, .data = wild};
    for (int n = 0; n < 4; n++) {
        float scale = cpu_pack_quantise(&v, n, row, q);
        assert_true(isfinite(scale) && scale > 0);
    }
    assert_int_equal(q[0], 127);
    assert_int_equal(q[1], -127);
    cpu_pack_quantise(&v, 0, row, q);
    assert_int_equal(q[0], 0);
    cpu_pack_quantise(&v, 1, row, q);
    assert_int_equal(q[0], 0);
    assert_int_equal(q[1], 127);
}

static void test_team(void **state)
{
    (void)state;
    struct cpu_team t = {.most = 4, .n = 4};
    cpu_team_learn(&t, 1.0, 0.001, 0.0004); /* shares are never quite even */
    assert_int_equal(t.n, 4);
    cpu_team_learn(&t, 2.0, 0.001, 0.0009); /* somebody else has the processor */
    assert_int_equal(t.n, 2);
    cpu_team_learn(&t, 2.01, 0.001, 0.0009);
    assert_int_equal(t.n, 1);
    cpu_team_learn(&t, 2.02, 0.001, 0);
    assert_int_equal(t.n, 1);
    cpu_team_learn(&t, 2.5, 0.001, 0);
    assert_int_equal(t.n, 4);
    for (int i = 0; i < 20; i++) { /* and stays: the pauses grow, to a limit */
        t.n = 4;
        cpu_team_learn(&t, 3.0, 0.001, 0.0009);
        assert_int_equal(t.n, 2);
    }
    assert_true(t.again_s == 3.0 + 5.0);
    cpu_team_learn(&t, 8.0, 0.001, 0);
    assert_int_equal(t.n, 4);
    for (int i = 0; i < 20; i++) cpu_team_learn(&t, 9.0, 0.001, 0);
    assert_true(t.pause_s < 1e-3); /* a calm machine forgets */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_rows),
        cmocka_unit_test(test_one_pack),
        cmocka_unit_test(test_wild_numbers),
        cmocka_unit_test(test_wild_indices),
        cmocka_unit_test(test_state_and_memory),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_prepare_fails),
        cmocka_unit_test(test_wild_weights),
        cmocka_unit_test(test_team),
    };
    return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
