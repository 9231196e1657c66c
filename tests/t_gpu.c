/* The GPU's row of the backend table, through the engine, on the fake driver (gpu/fake.h): what is
 * said of a GPU that cannot be used, memory to the byte, the same tokens as on the CPU, and what
 * happens when any call of the driver fails. */
#include "base/fault.h"
#include "base/log.h"
#include "base/thread.h"
#include "engine/engine.h"
#include "fake_help.h"
#include "gpu/gpu_image.h"
#include "nets/net_whisper.h"

#define MIB     ((size_t)1 << 20)
#define GIB     ((size_t)1 << 30)
#define CONTEXT (320 * MIB) /* what a fake context takes */
#define STEPS   3

/* Two layers, as in t_whisper.c, but so small that a run on the emulator takes milliseconds. */
static const struct net_whisper_config small = {
    .n_mels = 16,
    .audio_ctx = 8,
    .text_ctx = 16,
    .width = 64,
    .heads = 1,
    .encoder_layers = 2,
    .decoder_layers = 2,
    .ffn = 64,
    .vocab = 96,
    .eps = 1e-5f,
    .eot = 90,
    .time0 = 95,
    .no_speech = 92,
};

static const struct fake_test *fake;

static struct fake_stats stats(void)
{
    struct fake_stats s;
    fake->stats(&s);
    return s;
}

/* What a job came to. */
struct outcome {
    int rc;
    struct err e;
    bool ready; /* the error, if any, came after start */
    char device[8], reason[500];
    int32_t token[STEPS];
};

struct model {
    struct arena *a;
    struct engine *engine;
    struct engine_plan *ep;
    const struct plan *plan;
    struct net_whisper net;
};

static struct net_whisper_shape shape_for(const char *device, bool half, bool i8)
{
    bool gpu = strcmp(device, "cuda") == 0;
    return (struct net_whisper_shape){.windows = 1,
                                      .sequences = 1,
                                      .rows = 4,
                                      .picks = 2,
                                      .top = 2,
                                      .cache = gpu && half ? DTYPE_F16 : DTYPE_F32,
                                      .compute = gpu && half ? DTYPE_F16 : DTYPE_F32,
                                      .i8 = i8,
                                      .cross_i8 = gpu && i8,
                                      .mel_input = true};
}

static int make_plan(struct model *m, const struct net_whisper_shape *shape, struct err *e)
{
    struct net_whisper_source source = {.hashed = true};
    struct plan *plan;
    TRY(net_whisper_plan(m->a, &source, &small, shape, &plan, &m->net, e));
    m->plan = plan;
    return 0;
}

/* As speech.c does: a device that cannot be made ready gives way to the next. */
static int make_ready(struct model *m, const struct engine_options *o, bool half, bool i8,
                      struct err *e)
{
    TRY(engine_open(m->a, o, &m->engine, e));
    for (;;) {
        struct err why;
        struct net_whisper_shape shape = shape_for(engine_device(m->engine), half, i8);
        TRY(make_plan(m, &shape, e));
        if (engine_prepare(m->engine, m->a, m->plan, NULL, NULL, &m->ep, &why) == 0) return 0;
        TRY(engine_retreat(m->engine, &why, e));
    }
}

static int decode(struct model *m, struct outcome *out, struct err *e)
{
    const struct net_whisper *n = &m->net;
    float *mel = engine_host(m->ep, n->mel);
    for (uint64_t i = 0; i < 16 * 16; i++) mel[i] = tensor_hash("mel", i, 1);
    TRY(engine_run(m->ep, n->tape_encode, e));
    *(int32_t *)engine_host(m->ep, n->n_rows) = 1;
    *(int32_t *)engine_host(m->ep, n->n_picks) = 1;
    int32_t *rule = engine_host(m->ep, n->rule), token = 7;
    rule[1] = small.time0;
    rule[2] = small.vocab - 1;
    rule[3] = rule[4] = -1;
    for (int i = 0; i < STEPS; i++) {
        *(int32_t *)engine_host(m->ep, n->token) = token;
        *(int32_t *)engine_host(m->ep, n->position) = i;
        TRY(engine_run(m->ep, n->tape_step, e));
        token = *(int32_t *)engine_host(m->ep, n->sampled);
        out->token[i] = token;
    }
    return 0;
}

static void close_model(struct model *m)
{
    engine_release(&m->ep);
    engine_close(&m->engine);
    arena_close(&m->a);
}

static void open_model(struct model *m)
{
    struct err e;
    *m = (struct model){0};
    assert_int_equal(arena_open("test", 0, &m->a, &e), 0);
}

/* One whole job: load, encode, decode, unload. */
static void run_job(const struct engine_options *o, bool half, bool i8, struct outcome *out)
{
    struct model m;
    *out = (struct outcome){.rc = -1};
    open_model(&m);
    if (make_ready(&m, o, half, i8, &out->e) == 0) {
        out->ready = true;
        snprintf(out->device, sizeof out->device, "%s", engine_device(m.engine));
        snprintf(out->reason, sizeof out->reason, "%s", engine_reason(m.engine));
        out->rc = decode(&m, out, &out->e);
    }
    close_model(&m);
}

static const struct engine_options automatic = {.device = "auto", .kernels = "ref", .threads = 1};
static const struct engine_options on_cpu = {.device = "cpu", .kernels = "ref", .threads = 1};
static const struct engine_options on_gpu = {.device = "cuda", .kernels = "ref", .threads = 1};

static void plug_in(const char *description)
{
    if (fake->reset(description)) fail_msg("\"%s\" is no fake GPU", description);
}

/* The tokens of the CPU, which everything else has to give. */
static const int32_t *right_tokens(bool i8)
{
    static struct outcome known[2];
    if (!known[i8].ready) {
        run_job(&on_cpu, false, i8, &known[i8]);
        assert_int_equal(known[i8].rc, 0);
    }
    return known[i8].token;
}

static void nothing_left(const char *description)
{
    struct fake_stats s = stats();
    if (s.leaked || s.bytes || s.memory || s.host || s.modules || s.streams || s.events || s.graphs)
        fail_msg("%s: left: %u objects, %llu bytes, %u blocks, %u pinned, %u modules, %u streams, "
                 "%u events, %u graphs",
                 description, s.leaked, (unsigned long long)s.bytes, s.memory, s.host, s.modules,
                 s.streams, s.events, s.graphs);
}

/* ---- a GPU that cannot be used --------------------------------------------------------------- */

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *gpu, *says;
    } cases[] = {
        {"t4,init=34", "CUDA_ERROR_STUB_LIBRARY (34)"},
        {"t4,init=100", "CUDA_ERROR_NO_DEVICE (100)"},
        {"t4,init=803", "kernel module are of different versions"},
        {"t4,init=999", "(999)"},
        {"t4,count=0", "GPU"},
        {"t4,driver=515.43.04", "CUDA 11.7; lode needs"},
        {"t4,missing=cuLaunchKernel", "no cuLaunchKernel"},
        {"t4,sm=61", "compute capability 6.1; lode needs 7.0"},
        {"t4,prohibited", "\"prohibited\""},
        {"t4,cuDevicePrimaryCtxRetain=2@1", "CUDA_ERROR_OUT_OF_MEMORY (2)"},
        {"t4,cuDevicePrimaryCtxRetain=46@1", "(46)"},
        {"t4,cuModuleLoadDataEx=200@1+", "(200)"},
        {"t4,cuModuleLoadDataEx=209@1+", "(209)"},
        {"t4,cuModuleLoadDataEx=222@1+", "(222)"},
        {"t4,cuModuleGetFunction=500@1", "canary"},
        {"t4,sticky=700@1", "CUDA_ERROR_ILLEGAL_ADDRESS (700)"},
        {"t4,ecc=1", "(214)"},
        {"t4,vram=1GiB,used=500MiB", "GiB are needed"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct outcome o;
        plug_in(cases[i].gpu);
        run_job(&on_gpu, true, false, &o);
        assert_int_equal(o.rc, -1);
        assert_false(o.ready);
        if (!strstr(o.e.text, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].gpu, o.e.text, cases[i].says);
        assert_true(o.e.code == E_DEVICE || o.e.code == E_NOMEM);
        nothing_left(cases[i].gpu);

        plug_in(cases[i].gpu);
        run_job(&automatic, true, false, &o);
        if (o.rc) fail_msg("%s: %s", cases[i].gpu, o.e.text);
        assert_string_equal(o.device, "cpu");
        assert_non_null(strstr(o.reason, cases[i].says));
        assert_memory_equal(o.token, right_tokens(false), sizeof o.token);
        nothing_left(cases[i].gpu);
    }
}

/* The second fake GPU by UUID, the beginning of it, and PCI address, in lower case. */
static void name_second(char names[3][64])
{
    struct fake_config c;
    char wrong[200], uuid[48];
    assert_int_equal(fake_read("t4+h200", NULL, &c, wrong, sizeof wrong), 0);
    fake_uuid(&c.device[1], uuid);
    snprintf(names[0], 64, "cuda:%s", uuid);
    snprintf(names[1], 64, "cuda:%.12s", uuid);
    snprintf(names[2], 64, "cuda:%s", c.device[1].pci);
    for (char *p = names[2]; *p; p++) *p |= *p >= 'A' && *p <= 'F' ? 0x20 : 0;
}

static void test_which_gpu(void **state)
{
    (void)state;
    struct arena *a;
    struct engine *g;
    struct err e;
    struct engine_options o = on_gpu;
    char names[3][64];
    static const char *const wrong[] = {"cuda:", "cud", "cpu:1", "auto:1", "", ":1"};
    static const char *const absent[] = {"cuda:2",
                                         "cuda:-1",
                                         "cuda:x",
                                         "cuda:GPU-",
                                         "cuda:GPU-x",
                                         "cuda:0000:00:00.0",
                                         "cuda:99999999999999999999"};
    assert_int_equal(arena_open("test", 0, &a, &e), 0);
    plug_in("t4+h200");
    o.device = "cuda:1";
    assert_int_equal(engine_open(a, &o, &g, &e), 0);
    assert_non_null(strstr(engine_describe(g), "H200"));
    engine_close(&g);
    for (size_t i = 0; i < COUNT(absent); i++) {
        o.device = absent[i];
        assert_int_equal(engine_open(a, &o, &g, &e), -1);
        assert_int_equal(e.code, E_DEVICE);
        assert_non_null(strstr(e.text, "there is no GPU"));
    }
    name_second(names);
    for (int i = 0; i < 3; i++) {
        o.device = names[i];
        if (engine_open(a, &o, &g, &e)) fail_msg("%s: %s", names[i], e.text);
        assert_non_null(strstr(engine_describe(g), "H200"));
        engine_close(&g);
    }
    for (size_t i = 0; i < COUNT(wrong); i++) {
        o.device = wrong[i];
        assert_int_equal(engine_open(a, &o, &g, &e), -1);
        assert_int_equal(e.code, E_USAGE);
    }
    arena_close(&a);
    nothing_left("cuda:1");
}

/* NVIDIA's rules for images: a driver that refuses the best takes the next. */
static void test_images(void **state)
{
    (void)state;
    static const char *const gpus[] = {
        "t4,driver=525.60.13",
        "v100,driver=525.60.13",
        "h200,driver=525.60.13",
        "b200,driver=570.86.10",
        "t4,sm=130",
        "a100,cuModuleLoadDataEx=200@1",
        "a100,cuModuleLoadDataEx=209@1",
        "a100,cuModuleLoadDataEx=222@1",
    };
    if (gpu_image_file().n == 0) skip(); /* built without NVRTC */
    for (size_t i = 0; i < COUNT(gpus); i++) {
        struct arena *a;
        struct engine *g;
        struct err e;
        assert_int_equal(arena_open("test", 0, &a, &e), 0);
        plug_in(gpus[i]);
        if (engine_open(a, &on_gpu, &g, &e)) fail_msg("%s: %s", gpus[i], e.text);
        engine_close(&g);
        arena_close(&a);
        nothing_left(gpus[i]);
    }
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static size_t total(const struct backend_memory *m)
{
    return m->weights + m->state + m->step + m->scratch;
}

/* What is measured is what is allocated; what a GPU of that kind is said to need with no driver at
 * hand is the same. */
static void test_measured_is_allocated(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        struct model m, paper;
        struct err e;
        struct backend_memory measured, allocated, planned;
        struct engine_options o = on_gpu;
        struct net_whisper_shape shape = shape_for("cuda", half, false);
        open_model(&m);
        open_model(&paper);
        plug_in("t4");
        assert_int_equal(engine_open(m.a, &on_gpu, &m.engine, &e), 0);
        assert_int_equal(make_plan(&m, &shape, &e), 0);
        assert_int_equal(engine_measure(m.engine, m.plan, &measured, &e), 0);
        uint64_t before = stats().bytes;
        assert_int_equal(engine_prepare(m.engine, m.a, m.plan, NULL, NULL, &m.ep, &e), 0);
        assert_int_equal(stats().bytes - before, total(&measured));
        engine_memory(m.ep, &allocated);
        assert_memory_equal(&allocated, &measured, sizeof measured);

        o.gpu = "t4";
        assert_int_equal(engine_open(paper.a, &o, &paper.engine, &e), 0);
        assert_int_equal(make_plan(&paper, &shape, &e), 0);
        assert_int_equal(engine_measure(paper.engine, paper.plan, &planned, &e), 0);
        assert_memory_equal(&planned, &measured, sizeof measured);
        assert_int_equal(
            engine_prepare(paper.engine, paper.a, paper.plan, NULL, NULL, &paper.ep, &e), -1);
        assert_int_equal(e.code, E_DEVICE);
        close_model(&paper);
        close_model(&m);
        nothing_left("t4");
    }
}

/* 0: ready; else the code of the refusal. */
static enum err_code prepared_with(size_t vram, size_t used, size_t *room, size_t *need)
{
    char description[100];
    struct model m;
    struct err e = {0};
    struct backend_memory bytes;
    struct net_whisper_shape shape = shape_for("cuda", true, false);
    snprintf(description, sizeof description, "t4,vram=%zuMiB,used=%zuMiB", vram / MIB, used / MIB);
    open_model(&m);
    plug_in(description);
    assert_int_equal(engine_open(m.a, &on_gpu, &m.engine, &e), 0);
    assert_int_equal(make_plan(&m, &shape, &e), 0);
    assert_int_equal(engine_room(m.engine, room, &e), 0);
    assert_int_equal(engine_measure(m.engine, m.plan, &bytes, &e), 0);
    *need = total(&bytes);
    uint64_t allocations = stats().allocations;
    int rc = engine_prepare(m.engine, m.a, m.plan, NULL, NULL, &m.ep, &e);
    assert_true(stats().refused == 0);
    assert_true(stats().peak_bytes + used <= vram);
    if (rc) assert_int_equal(stats().allocations, allocations); /* refused before any */
    close_model(&m);
    nothing_left(description);
    return rc ? e.code : E_OK;
}

/* Budgets from 1 to 16 GiB, free memory around what is just enough: never one allocation too many.
 */
static void test_budgets(void **state)
{
    (void)state;
    for (size_t gib = 1; gib <= 16; gib++) {
        size_t room, need, most;
        assert_int_equal(prepared_with(gib * GIB, 0, &room, &need), E_OK);
        most = (room - need) / MIB * MIB; /* what others may take beside us */
        assert_int_equal(prepared_with(gib * GIB, most, &room, &need), E_OK);
        assert_true(room >= need);
        assert_int_equal(prepared_with(gib * GIB, most + MIB, &room, &need), E_NOMEM);
        assert_true(room < need);
    }
}

/* What the refusal says of others comes from NVML. */
static void test_taken_by_others(void **state)
{
    (void)state;
    struct outcome o;
    setenv("LODE_FAKE_GPU", "t4,vram=4GiB,used=3000MiB", 1); /* NVML's module reads it itself */
    plug_in("t4,vram=4GiB,used=3400MiB");
    run_job(&on_gpu, true, false, &o);
    setenv("LODE_FAKE_GPU", "t4", 1);
    assert_int_equal(o.rc, -1);
    assert_int_equal(o.e.code, E_NOMEM);
    assert_non_null(strstr(o.e.text, "of 4.00 GiB may be taken; "));
    assert_non_null(strstr(o.e.text, "GiB are taken by all programs together"));
}

/* ---- the same tokens --------------------------------------------------------------------------
 */

static void test_tokens(void **state)
{
    (void)state;
    static const char *const gpus[] = {
        "t4",
        "v100",
        "a100,order=1",
        "h200,order=2",
        "t4,missing=cuStreamBeginCapture_v2",
        "t4,cuGraphInstantiateWithFlags=2@1+",
    };
    for (size_t i = 0; i < COUNT(gpus); i++) {
        for (int half = 0; half < 2; half++) {
            for (int i8 = 0; i8 < 2; i8++) {
                struct outcome o;
                plug_in(gpus[i]);
                run_job(&on_gpu, half, i8, &o);
                if (o.rc) fail_msg("%s: %s (%s)", gpus[i], o.e.text, stats().fault);
                assert_string_equal(o.device, "cuda");
                for (int t = 0; t < STEPS; t++) {
                    if (o.token[t] != right_tokens(i8)[t])
                        fail_msg("%s, %s%s: token %d is %d, on the CPU %d", gpus[i],
                                 half ? "f16" : "f32", i8 ? ", i8" : "", t, o.token[t],
                                 right_tokens(i8)[t]);
                }
                nothing_left(gpus[i]);
            }
        }
    }
}

/* Decoding one token: five launches a layer, and the ends: embedding, gathering, the last norm with
 * the logits, two for the choice. */
static void test_launches(void **state)
{
    (void)state;
    static const char *const gpus[] = {"t4", "v100", "t4,missing=cuStreamBeginCapture_v2"};
    for (int i = 0; i < (int)COUNT(gpus) * 4; i++) {
        struct model m;
        struct err e;
        struct outcome out;
        bool half = i % 2, i8 = i / 2 % 2;
        open_model(&m);
        plug_in(gpus[i / 4]);
        assert_int_equal(make_ready(&m, &on_gpu, half, i8, &e), 0);
        assert_int_equal(decode(&m, &out, &e), 0);
        uint64_t before = stats().kernels;
        assert_int_equal(engine_run(m.ep, m.net.tape_step, &e), 0);
        assert_int_equal(stats().kernels - before, 5 * small.decoder_layers + 5);
        close_model(&m);
    }
}

static void test_profile(void **state)
{
    (void)state;
    struct model m;
    struct err e;
    struct outcome out;
    struct engine_options o = on_gpu;
    o.profile = true;
    open_model(&m);
    plug_in("t4");
    assert_int_equal(make_ready(&m, &o, true, false, &e), 0);
    assert_int_equal(decode(&m, &out, &e), 0);
    const double *seconds = engine_profile(m.ep);
    double sum = 0;
    assert_non_null(seconds);
    for (int i = 0; i < m.plan->n_steps; i++) sum += seconds[i];
    assert_true(sum > 0 && sum < 60);
    close_model(&m);
    nothing_left("profile");
}

/* After prepare nothing is allocated, by us or on the device. */
static void test_no_allocation_in_run(void **state)
{
    (void)state;
    struct model m;
    struct err e;
    struct outcome out;
    open_model(&m);
    plug_in("t4");
    assert_int_equal(make_ready(&m, &on_gpu, true, false, &e), 0);
    uint64_t ours = arena_system_calls(), theirs = stats().allocations;
    size_t used = arena_used(m.a);
    assert_int_equal(decode(&m, &out, &e), 0);
    assert_true(arena_system_calls() == ours);
    assert_true(stats().allocations == theirs);
    assert_int_equal(arena_used(m.a), used);
    close_model(&m);
}

/* Indices beyond what they point into are refused before a kernel sees them, and harm nothing. */
static void test_wild_indices(void **state)
{
    (void)state;
    struct model m;
    struct err e;
    struct outcome out;
    float x;
    open_model(&m);
    plug_in("t4");
    assert_int_equal(make_ready(&m, &on_gpu, true, false, &e), 0);
    assert_int_equal(decode(&m, &out, &e), 0);
    int32_t *token = engine_host(m.ep, m.net.token), *rows = engine_host(m.ep, m.net.n_rows);
    uint64_t kernels = stats().kernels;
    *token = small.vocab;
    assert_int_equal(engine_run(m.ep, m.net.tape_step, &e), -1);
    assert_int_equal(e.code, E_INTERNAL);
    *token = 0;
    *rows = 5;
    assert_int_equal(engine_run(m.ep, m.net.tape_step, &e), -1);
    assert_int_equal(stats().kernels, kernels);
    *rows = 1;
    assert_int_equal(engine_run(m.ep, m.net.tape_step, &e), 0);
    assert_null(engine_host(m.ep, m.net.logits));
    assert_int_equal(engine_peek(m.ep, m.net.logits, &x, (size_t)1 << 40, &e), -1);
    assert_int_equal(engine_peek(m.ep, m.net.logits, &x, sizeof x, &e), 0);
    close_model(&m);
    nothing_left("wild indices");
}

/* ---- everything fails once --------------------------------------------------------------------
 */

/* What one failed call of the driver may leave behind: what it was to give back, at most a context.
 */
static void nearly_nothing_left(const char *description)
{
    struct fake_stats s = stats();
    if (s.leaked > 1 || s.memory || s.host || s.modules || s.streams || s.events || s.graphs)
        fail_msg("%s: left: %u objects", description, s.leaked);
    assert_true(s.bytes == 0 || s.bytes == CONTEXT);
}

/* A job on `description` with automatic device: right tokens, on whatever device it says, or an
 * error with a name and a number, after start and of a kind that means the device; nothing left. */
static void survives(const char *description)
{
    struct outcome o;
    plug_in(description);
    double start_s = thread_seconds();
    run_job(&automatic, true, false, &o);
    if (o.rc == 0) {
        if (memcmp(o.token, right_tokens(false), sizeof o.token) != 0)
            fail_msg("%s: wrong tokens on %s", description, o.device);
        if (strcmp(o.device, "cpu") == 0 && !*o.reason)
            fail_msg("%s: on the CPU without a reason", description);
    } else {
        if (!o.ready) fail_msg("%s: no CPU at start: %s", description, o.e.text);
        if (o.e.code != E_DEVICE && o.e.code != E_NOMEM)
            fail_msg("%s: code %d: %s", description, (int)o.e.code, o.e.text);
        if (!strchr(o.e.text, '(')) fail_msg("%s: no number: %s", description, o.e.text);
    }
    if (!strchr(description, '+')) nearly_nothing_left(description);
    if (thread_seconds() - start_s > 60) fail_msg("%s: took too long", description);
}

static uint64_t calls_of_a_job(void)
{
    struct outcome o;
    plug_in("t4");
    run_job(&on_gpu, true, false, &o);
    if (o.rc) fail_msg("%s", o.e.text);
    return stats().calls;
}

/* LODE_FAULT_FULL (make fault-full): every code at every call; else each kind of outcome at some
 * calls of every part of the job, all of them within eight runs of this test by the day. */
static void test_every_call_fails(void **state)
{
    (void)state;
    /* lack of memory; our mistake; not sticky; sticky; the device is gone */
    static const int few[] = {2, 700},
                     all[] = {1, 2, 3, 46, 100, 201, 214, 400, 600, 700, 701, 702, 719, 802, 999};
    bool full = getenv("LODE_FAULT_FULL") != NULL;
    const int *codes = full ? all : few;
    size_t n_codes = full ? COUNT(all) : COUNT(few);
    uint64_t calls = calls_of_a_job();
    assert_true(calls > 50);
    for (uint64_t at = 1; at <= calls; at++) {
        for (size_t c = 0; c < n_codes; c++) {
            char description[64];
            snprintf(description, sizeof description, "t4,any=%d@%llu%s", codes[c],
                     (unsigned long long)at, at % 2 ? "" : "+");
            survives(description);
        }
    }
}

/* Each code once per kind of call. */
static void test_every_kind_of_call_fails(void **state)
{
    (void)state;
    static const char *const names[] = {
#define CALL(kind, name, parameters) #name,
#include "gpu/cuda.def"
#undef CALL
    };
    static const int codes[] = {1, 2, 3, 46, 100, 201, 214, 400, 600, 700, 701, 702, 719, 802, 999};
    bool full = getenv("LODE_FAULT_FULL") != NULL;
    for (size_t i = 0; i < COUNT(names); i++) {
        for (size_t c = 0; c < COUNT(codes); c++) {
            char description[100];
            if (!full && (i + c) % 5) continue; /* a third of a second each under sanitizers */
            snprintf(description, sizeof description, "t4,%s=%d@1+", names[i], codes[c]);
            survives(description);
        }
    }
}

static void test_kernels_and_memory_fail(void **state)
{
    (void)state;
    char description[64];
    for (int n = 1; n <= 8; n++) {
        snprintf(description, sizeof description, "t4,oom=%d", n);
        survives(description);
    }
    for (int n = 1; n < 100; n += 7) {
        snprintf(description, sizeof description, "t4,sticky=719@%d", n);
        survives(description);
    }
}

/* After an error that lasts, every call gives the same sentence and nothing hangs. */
static void test_dead(void **state)
{
    (void)state;
    struct model m;
    struct err e, again;
    struct outcome out;
    float x;
    open_model(&m);
    plug_in("t4");
    assert_int_equal(make_ready(&m, &on_gpu, true, false, &e), 0);
    uint64_t kernels = stats().kernels;
    close_model(&m);

    char description[64];
    snprintf(description, sizeof description, "t4,sticky=700@%llu",
             (unsigned long long)kernels + 3);
    open_model(&m);
    plug_in(description);
    assert_int_equal(make_ready(&m, &on_gpu, true, false, &e), 0);
    assert_int_equal(decode(&m, &out, &e), -1);
    assert_int_equal(e.code, E_DEVICE);
    assert_non_null(strstr(e.text, "CUDA_ERROR_ILLEGAL_ADDRESS (700)"));
    assert_int_equal(engine_run(m.ep, m.net.tape_step, &again), -1);
    assert_string_equal(again.text, e.text);
    assert_int_equal(engine_peek(m.ep, m.net.logits, &x, sizeof x, &again), -1);
    assert_string_equal(again.text, e.text);
    size_t room;
    assert_int_equal(engine_room(m.engine, &room, &again), -1);
    assert_string_equal(again.text, e.text);
    close_model(&m);
    nothing_left(description);
}

/* Our own memory fails: at every allocation of a job up to the running of it. */
static void test_our_memory_fails(void **state)
{
    (void)state;
    for (int n = 1; n < 200; n++) {
        char fault[32];
        struct model m = {0};
        struct err e;
        plug_in("t4");
        snprintf(fault, sizeof fault, "alloc:%d", n);
        assert_int_equal(fault_arm(fault), 0);
        int rc = arena_open("test", 0, &m.a, &e);
        if (rc == 0) rc = make_ready(&m, &on_gpu, true, false, &e);
        assert_int_equal(fault_arm(NULL), 0);
        close_model(&m);
        nothing_left(fault);
        if (rc == 0) {
            assert_true(n > 3);
            return;
        }
        assert_int_equal(e.code, E_NOMEM);
    }
    fail_msg("it never became enough");
}

static void test_no_driver(void **state)
{
    (void)state;
    void *library;
    struct err e;
    struct outcome o;
    if (module_library("libcuda.so.1", &library, &e) == 0) skip(); /* this machine has one */
    unsetenv("LODE_FAKE_GPU");
    run_job(&on_gpu, true, false, &o);
    assert_int_equal(o.e.code, E_DEVICE);
    assert_non_null(strstr(o.e.text, "libcuda.so.1"));
    run_job(&automatic, true, false, &o);
    setenv("LODE_FAKE_GPU", "t4", 1);
    assert_int_equal(o.rc, 0);
    assert_string_equal(o.device, "cpu");
    assert_non_null(strstr(o.reason, "no NVIDIA driver here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_which_gpu),
        cmocka_unit_test(test_images),
        cmocka_unit_test(test_measured_is_allocated),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_taken_by_others),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_launches),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_no_allocation_in_run),
        cmocka_unit_test(test_wild_indices),
        cmocka_unit_test(test_kernels_and_memory_fail),
        cmocka_unit_test(test_every_call_fails),
        cmocka_unit_test(test_every_kind_of_call_fails),
        cmocka_unit_test(test_dead),
        cmocka_unit_test(test_our_memory_fails),
        cmocka_unit_test(test_no_driver),
    };
    log_set_level(LOG_QUIET);
    fake = fake_open("t4");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
