/* The Whisper plan against transformers: a two-layer model of hashed weights
 * (tools/golden/whisper2.py), and the log-mel of a real clip against two references
 * (tools/golden/mel.py). Every level of kernels this processor has must agree. */
#include "base/thread.h"
#include "engine/engine.h"
#include "fake_help.h"
#include "jobs/listen.h"
#include "load/load.h"
#include "media/audio.h"
#include "nets/net_whisper.h"
#include <math.h>

static const struct net_whisper_config two_layers = {
    .n_mels = 80,
    .audio_ctx = 100,
    .text_ctx = 64,
    .width = 128,
    .heads = 2,
    .encoder_layers = 2,
    .decoder_layers = 2,
    .ffn = 512,
    .vocab = 600,
    .eps = 1e-5f,
    .eot = 590,
    .time0 = 595,
    .no_speech = 592,
    .alignment = {{0, 1}, {1, 0}},
    .n_alignment = 2,
};

struct fixture {
    struct arena *a;
    struct load_weights golden;
    struct err e;
};

static void must(struct fixture *f, int rc)
{
    if (rc) fail_msg("%s", f->e.text);
}

static const float *golden(struct fixture *f, const char *name, int64_t n)
{
    const struct load_tensor *t = load_find(&f->golden, name);
    if (!t) fail_msg("the golden has no %s", name);
    assert_int_equal(tensor_count(t->t.rank, t->t.dim), n);
    float *out = ARENA_NEW(f->a, float, (size_t)n, &f->e);
    int64_t columns = n / t->t.dim[0];
    for (int64_t r = 0; r < t->t.dim[0]; r++) tensor_row(&t->t, r, out + r * columns);
    return out;
}

static void setup(struct fixture *f, const char *path)
{
    memset(f, 0, sizeof *f);
    must(f, arena_open("test", 0, &f->a, &f->e));
    must(f, load_open(f->a, path, &f->golden, &f->e));
}

static void teardown(struct fixture *f)
{
    load_close(&f->golden);
    arena_close(&f->a);
}

struct machine { /* a prepared two-layer model */
    struct engine *engine;
    struct engine_plan *ep;
    const struct plan *plan;
    struct net_whisper net;
};

/* kernels: a level of the CPU's, or "gpu": the fake one that LODE_FAKE_GPU says. */
static void prepare(struct fixture *f, struct machine *m, const char *kernels, int threads,
                    struct net_whisper_shape shape, const struct net_whisper_config *c)
{
    bool gpu = strcmp(kernels, "gpu") == 0;
    struct engine_options o = {
        .device = gpu ? "cuda" : "cpu", .kernels = gpu ? "auto" : kernels, .threads = threads};
    struct net_whisper_source source = {.hashed = true};
    struct plan *plan;
    must(f, engine_open(f->a, &o, &m->engine, &f->e));
    must(f, net_whisper_plan(f->a, &source, c, &shape, &plan, &m->net, &f->e));
    m->plan = plan;
    must(f, engine_prepare(m->engine, f->a, plan, NULL, NULL, &m->ep, &f->e));
}

static void release(struct machine *m)
{
    engine_release(&m->ep);
    engine_close(&m->engine);
}

/* The tape "align": the same six tokens once more, where each layer listened, and the probability
 * of the token after each among text. */
static void compare_listening(struct fixture *f, struct machine *m, const float *tokens,
                              const float *logits, const float *cross, double tolerance)
{
    int32_t *token = engine_host(m->ep, m->net.heard_token),
            *position = engine_host(m->ep, m->net.heard_position),
            *next = engine_host(m->ep, m->net.heard_next);
    float want[6];
    for (int i = 0; i < 6; i++) {
        double sum = 0;
        token[i] = (int32_t)tokens[i];
        position[i] = i;
        next[i] = (int32_t)tokens[(i + 1) % 6] % two_layers.eot;
        for (int v = 0; v < two_layers.eot; v++)
            sum += exp((double)logits[i * 600 + v] - (double)logits[i * 600 + next[i]]);
        want[i] = (float)(1 / sum);
    }
    *(int32_t *)engine_host(m->ep, m->net.n_heard) = 6;
    must(f, engine_run(m->ep, m->net.tape_align, &f->e));
    unit_all_near("probability", engine_host(m->ep, m->net.probability), want, 6, tolerance);
    for (int h = 0; h < two_layers.n_alignment; h++)
        unit_all_near("listening", engine_host(m->ep, m->net.weights[h]),
                      cross + two_layers.alignment[h].layer * 6 * 200, 6 * 200, tolerance);
}

/* Encoder output, then six tokens: as one run of six rows or as six steps of one. */
static void compare_with_transformers(struct fixture *f, const char *kernels, int threads,
                                      bool steps, bool i8, enum dtype cache, double tolerance)
{
    struct machine m;
    struct net_whisper_shape shape = {.windows = 1,
                                      .sequences = 1,
                                      .rows = 8,
                                      .picks = 8,
                                      .top = 2,
                                      .cache = cache,
                                      .compute = cache,
                                      .i8 = i8,
                                      .mel_input = true,
                                      .words = true,
                                      .attention_output = true};
    prepare(f, &m, kernels, threads, shape, &two_layers);
    float *mel = engine_host(m.ep, m.net.mel);
    for (int t = 0; t < 200; t++) {
        for (int b = 0; b < 80; b++)
            mel[t * 80 + b] = tensor_hash("mel", (uint64_t)(b * 200 + t), 1);
    }
    must(f, engine_run(m.ep, m.net.tape_encode, &f->e));
    static float encoded[100 * 128], logits[8 * 600];
    must(f, engine_peek(m.ep, m.net.encoded, encoded, sizeof encoded, &f->e));
    unit_all_near("encoder", encoded, golden(f, "encoder", 100 * 128), 100 * 128, tolerance);

    const float *tokens = golden(f, "tokens", 6), *want_logits = golden(f, "logits", 6 * 600),
                *want_cross = golden(f, "cross", 2 * 6 * 2 * 100);
    int32_t *token = engine_host(m.ep, m.net.token), *position = engine_host(m.ep, m.net.position),
            *pick = engine_host(m.ep, m.net.pick);
    int per_run = steps ? 1 : 6;
    for (int at = 0; at < 6; at += per_run) {
        for (int i = 0; i < per_run; i++) {
            token[i] = (int32_t)tokens[at + i];
            position[i] = at + i;
            pick[i] = i;
        }
        *(int32_t *)engine_host(m.ep, m.net.n_rows) = *(int32_t *)engine_host(m.ep, m.net.n_picks) =
            per_run;
        must(f, engine_run(m.ep, m.net.tape_step, &f->e));
        must(f, engine_peek(m.ep, m.net.logits, logits, sizeof logits, &f->e));
        unit_all_near("logits", logits, want_logits + at * 600, per_run * 600, tolerance);
        for (int l = 0; l < 2; l++) {
            char name[32];
            snprintf(name, sizeof name, "dec.%d.weights", l);
            const float *weights = engine_host(m.ep, plan_find(m.plan, name));
            unit_all_near(name, weights, want_cross + (l * 6 + at) * 200, per_run * 200, tolerance);
        }
    }
    compare_listening(f, &m, tokens, want_logits, want_cross, tolerance);
    release(&m);
}

static void test_hash(void **state)
{
    (void)state;
    struct fixture f;
    setup(&f, "tests/golden/whisper2.safetensors");
    const float *want = golden(&f, "hash_check", 4);
    for (uint64_t i = 0; i < 4; i++) assert_true(tensor_hash("mel", i, 1) == want[i]);
    teardown(&f);
}

static void plug_in(const char *gpu)
{
    assert_int_equal(fake_open(gpu)->reset(gpu), 0);
}

static const char *const levels[] = {"ref", "base", "avx2", "avx512"};

/* The levels this processor has; the others are refused, which is tested elsewhere. */
static bool has_level(const char *level)
{
    struct arena *a;
    struct engine *g;
    struct err e;
    struct engine_options o = {.device = "cpu", .kernels = level, .threads = 1};
    assert_int_equal(arena_open("probe", 0, &a, &e), 0);
    bool has = engine_open(a, &o, &g, &e) == 0;
    if (has) engine_close(&g);
    arena_close(&a);
    return has;
}

/* The same model and numbers on emulated GPUs: tensor cores of sm_75, of sm_80 and up, and the
 * plain kernels of float32. */
static void test_two_layers_gpu(void **state)
{
    (void)state;
    static const struct {
        const char *gpu;
        bool i8;
        enum dtype compute;
        double tolerance;
    } runs[] = {
        {"t4", false, DTYPE_F16, 6e-2},
        {"h200", false, DTYPE_F16, 6e-2},
        {"a100", true, DTYPE_F16, 0.6},
        {"t4", false, DTYPE_F32, 2e-4},
    };
    for (size_t i = 0; i < COUNT(runs); i++) {
        struct fixture f;
        setup(&f, "tests/golden/whisper2.safetensors");
        plug_in(runs[i].gpu);
        compare_with_transformers(&f, "gpu", 1, i % 2, runs[i].i8, runs[i].compute,
                                  runs[i].tolerance);
        teardown(&f);
    }
}

static void test_two_layers(void **state)
{
    (void)state;
    for (size_t l = 0; l < COUNT(levels); l++) {
        if (!has_level(levels[l])) continue;
        for (int threads = 1; threads <= 2; threads++) {
            struct fixture f;
            setup(&f, "tests/golden/whisper2.safetensors");
            compare_with_transformers(&f, levels[l], threads, threads == 2, false, DTYPE_F32, 2e-4);
            compare_with_transformers(&f, levels[l], threads, threads == 1, false, DTYPE_F16, 2e-2);
            compare_with_transformers(&f, levels[l], threads, threads == 2, true, DTYPE_F32,
                                      0.6); /* logits spread over 20 */
            teardown(&f);
        }
    }
}

static void test_filters(void **state)
{
    (void)state;
    struct fixture f;
    static float got[128 * 201];
    setup(&f, "tests/golden/mel.safetensors");
    net_whisper_filters(80, got);
    unit_all_near("80 filters", got, golden(&f, "filters80", 80 * 201), 80 * 201, 1e-7);
    net_whisper_filters(128, got);
    const float *every_8th = golden(&f, "filters128", 16 * 201);
    for (int i = 0; i < 16; i++)
        unit_all_near("128 filters", got + i * 8 * 201, every_8th + i * 201, 201, 1e-7);
    teardown(&f);
}

/* Windows of 200 frames over jfk, moved as the job moves them: the normalised mel is what
 * faster-whisper's extractor gives. */
static void check_mel(struct fixture *f, const char *kernels)
{
    static float mel[200 * 80];
    struct machine m;
    struct audio *audio;
    struct listen listen;
    float loudest = -INFINITY;
    prepare(f, &m, kernels, 2,
            (struct net_whisper_shape){
                .windows = 1, .sequences = 1, .rows = 1, .picks = 1, .top = 1, .keep = true},
            &two_layers);
    must(f, audio_open(f->a, "samples/jfk.wav", WHISPER_RATE_HZ, &audio, &f->e));
    must(f, listen_begin(&listen, audio, engine_host(m.ep, m.net.pcm), m.net.samples, 200, &f->e));
    for (int seek = 0; seek < 1100; seek += 200) {
        if (seek) must(f, listen_move(&listen, seek * WHISPER_HOP - 200, &f->e));
        must(f, engine_run(m.ep, m.net.tape_loud, &f->e));
        loudest = fmaxf(loudest, *(float *)engine_host(m.ep, m.net.loudest));
    }
    assert_int_equal(listen.n_read, 176000);
    unit_all_near("loudest", &loudest, golden(f, "fw_max", 1), 1, 1e-4);

    *(float *)engine_host(m.ep, m.net.loudest_in) = loudest;
    const struct {
        const char *name;
        int seek, from, n;
    } parts[] = {{"fw_head", 0, 0, 40}, {"fw_mid", 450, 50, 20}};
    must(f, audio_rewind(audio, &f->e));
    must(f, listen_begin(&listen, audio, engine_host(m.ep, m.net.pcm), m.net.samples, 200, &f->e));
    for (size_t p = 0; p < COUNT(parts); p++) {
        int content = parts[p].from + parts[p].n;
        *(int32_t *)engine_host(m.ep, m.net.content) = content;
        if (parts[p].seek) must(f, listen_move(&listen, parts[p].seek * WHISPER_HOP - 200, &f->e));
        must(f, engine_run(m.ep, m.net.tape_encode, &f->e));
        must(f, engine_peek(m.ep, plan_find(m.plan, "mel.norm"), mel, sizeof mel, &f->e));
        const float *want = golden(f, parts[p].name, parts[p].n * 80); /* mel major */
        for (int t = 0; t < parts[p].n; t++) {
            for (int b = 0; b < 80; b++)
                unit_all_near(parts[p].name, &mel[(parts[p].from + t) * 80 + b],
                              &want[b * parts[p].n + t], 1, 2e-4);
        }
        for (int i = content * 80; i < 200 * 80; i++) assert_true(mel[i] == 0);
    }
    audio_close(&audio);
    release(&m);
}

static void test_mel(void **state)
{
    (void)state;
    for (size_t l = 0; l < COUNT(levels); l++) {
        if (!has_level(levels[l])) continue;
        struct fixture f;
        setup(&f, "tests/golden/mel.safetensors");
        check_mel(&f, levels[l]);
        teardown(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_two_layers),
        cmocka_unit_test(test_two_layers_gpu),
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_mel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
