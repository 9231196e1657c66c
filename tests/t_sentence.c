/* Two-layer encoders with hashed weights against transformers (tools/golden/sentence2.py), packed
 * in several ways: a text's vector must not depend on its company, to the bit. On the CPU and, with
 * kernels "gpu", on the fake one that LODE_FAKE_GPU says. Not run on a GPU. */
#include "fake_help.h"

#include "base/json.h"
#include "engine/engine.h"
#include "nets/net_sentence.h"
#include <math.h>

enum { WIDTH = 64, MOST_TEXTS = 8, ROWS = 512 };

struct trial {
    struct arena *a;
    struct err e;
    struct engine *engine;
    struct engine_plan *prepared;
    struct net_sentence net;
    int least_rows; /* of a run, as in sentences.c */
};

static const struct {
    const char *name;
    struct net_sentence_config config;
} families[] = {
    {"bert",
     {.family = SENTENCE_BERT, .positions = 40, .types = 2, .max_tokens = 40, .eps = 1e-12f}},
    {"mpnet",
     {.family = SENTENCE_MPNET, .positions = 142, .position0 = 2, .max_tokens = 140, .eps = 1e-5f}},
    {"xlm-roberta",
     {.family = SENTENCE_ROBERTA,
      .positions = 42,
      .position0 = 2,
      .types = 1,
      .max_tokens = 40,
      .eps = 1e-5f}},
};

static struct net_sentence_config small(const struct net_sentence_config *family, bool first)
{
    struct net_sentence_config c = *family;
    c.width = WIDTH;
    c.heads = 4;
    c.layers = 2;
    c.ffn = 96;
    c.vocab = 97;
    c.first = first;
    c.act = OP_ACT_GELU;
    return c;
}

static void trial_open(struct trial *t, const struct net_sentence_config *family, bool first,
                       const char *kernels, bool i8, bool half)
{
    struct net_sentence_config c = small(family, first);
    bool gpu = strcmp(kernels, "gpu") == 0;
    struct net_sentence_source source = {.hashed = true};
    struct net_sentence_shape shape = {.rows = ROWS,
                                       .texts = MOST_TEXTS,
                                       .max_tokens = c.max_tokens,
                                       .i8 = i8,
                                       .skew = i8 && !gpu,
                                       .compute = half ? DTYPE_F16 : DTYPE_F32,
                                       .unit = !first};
    struct engine_options options = {
        .device = gpu ? "cuda" : "cpu", .kernels = gpu ? "auto" : kernels, .threads = 2};
    struct plan *plan;
    *t = (struct trial){.least_rows = gpu ? 17 : 8};
    if (arena_open("trial", 0, &t->a, &t->e) || engine_open(t->a, &options, &t->engine, &t->e) ||
        net_sentence_plan(t->a, &source, &c, &shape, &plan, &t->net, &t->e) ||
        engine_prepare(t->engine, t->a, plan, NULL, NULL, &t->prepared, &t->e))
        fail_msg("%s", t->e.text);
}

static void trial_close(struct trial *t)
{
    engine_release(&t->prepared);
    engine_close(&t->engine);
    arena_close(&t->a);
}

/* Texts [from, from + n) in one run, in reverse order if `turned`; vectors to out [n][WIDTH]. */
static void embed(struct trial *t, const struct json *texts, size_t from, size_t n, bool turned,
                  float *out)
{
    int32_t *token = engine_host(t->prepared, t->net.token),
            *position = engine_host(t->prepared, t->net.position),
            *range = engine_host(t->prepared, t->net.range), rows = 0;
    for (size_t i = 0; i < n; i++) {
        const struct json *text = json_at(texts, from + (turned ? n - 1 - i : i));
        range[2 * i] = rows;
        range[2 * i + 1] = (int32_t)json_count(text);
        for (size_t k = 0; k < json_count(text); k++, rows++) {
            token[rows] = (int32_t)json_int(json_at(text, k), 0);
            position[rows] = (int32_t)k;
        }
    }
    for (; rows < t->least_rows; rows++) token[rows] = position[rows] = 0;
    *(int32_t *)engine_host(t->prepared, t->net.n_rows) = rows;
    *(int32_t *)engine_host(t->prepared, t->net.n_texts) = (int32_t)n;
    if (engine_run(t->prepared, t->net.tape, &t->e)) fail_msg("%s", t->e.text);
    const float *vector = engine_host(t->prepared, t->net.vector);
    for (size_t i = 0; i < n; i++)
        memcpy(out + (turned ? n - 1 - i : i) * WIDTH, vector + i * WIDTH, WIDTH * sizeof *out);
}

static double cosine(const float *x, const struct json *want)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < WIDTH; i++) {
        double a = (double)x[i], b = json_number(json_at(want, i), 0);
        xy += a * b, xx += a * a, yy += b * b;
    }
    return xy / sqrt(xx * yy);
}

static double farthest(const float *x, const struct json *want)
{
    double most = 0;
    for (size_t i = 0; i < WIDTH; i++)
        most = fmax(most, fabs((double)x[i] - json_number(json_at(want, i), 0)));
    return most;
}

static void against_golden(const char *kernels, bool i8, bool half, double most_far,
                           double least_cos)
{
    struct arena *a;
    struct err e;
    struct str text;
    struct json_doc *doc;
    assert_int_equal(arena_open("golden", 0, &a, &e), 0);
    if (file_read(a, "tests/golden/sentence2.json", 1 << 22, &text, &e) ||
        json_open(a, text.p, text.n, &doc, &e))
        fail_msg("%s", e.text);
    for (size_t f = 0; f < COUNT(families); f++) {
        const struct json *golden = json_key(json_root(doc), families[f].name);
        const struct json *texts = json_key(golden, "tokens");
        size_t n = json_count(texts);
        for (int first = 0; first < 2; first++) {
            const struct json *want = json_key(golden, first ? "first" : "mean");
            float all[MOST_TEXTS * WIDTH], turned[MOST_TEXTS * WIDTH], alone[WIDTH];
            struct trial t;
            assert_true(n > 0 && n <= MOST_TEXTS);
            trial_open(&t, &families[f].config, first, kernels, i8, half);
            embed(&t, texts, 0, n, false, all);
            embed(&t, texts, 0, n, true, turned);
            for (size_t i = 0; i < n; i++) {
                const float *x = all + i * WIDTH;
                embed(&t, texts, i, 1, false, alone);
                assert_memory_equal(x, turned + i * WIDTH, sizeof alone);
                assert_memory_equal(x, alone, sizeof alone);
                double far = farthest(x, json_at(want, i)), cos = cosine(x, json_at(want, i));
                if (far > most_far || cos < least_cos)
                    fail_msg("%s, %s, text %zu: off by %g, cosine %.6f", families[f].name, kernels,
                             i, far, cos);
            }
            trial_close(&t);
        }
    }
    json_close(&doc);
    arena_close(&a);
}

static void test_reference(void **state)
{
    (void)state;
    against_golden("ref", false, false, 1e-5, 0.9999999);
}

static void test_f32(void **state)
{
    (void)state;
    against_golden("auto", false, false, 2e-5, 0.9999999);
}

static void test_i8(void **state)
{
    (void)state;
    against_golden("ref", true, false, 1, 0.997);
    against_golden("auto", true, false, 1, 0.997);
    against_golden("auto", true, true, 1, 0.997);
}

/* Parameters of the published sizes, without the pooler, which no vector depends on. */
static void test_named(void **state)
{
    static const struct {
        const char *name;
        int64_t parameters;
    } published[] = {{"all-MiniLM-L6-v2", 22713216 - (384 * 384 + 384)},
                     {"all-mpnet-base-v2", 109486464 - (768 * 768 + 768)}};
    (void)state;
    for (size_t i = 0; i < COUNT(published); i++) {
        struct net_sentence_source none = {0};
        struct net_sentence_config c;
        struct net_sentence net;
        struct arena *a;
        struct plan *p;
        struct err e;
        assert_int_equal(arena_open("named", 0, &a, &e), 0);
        assert_true(net_sentence_named(published[i].name, &c));
        struct net_sentence_shape shape = {.rows = 512, .texts = 2, .max_tokens = c.max_tokens};
        assert_int_equal(net_sentence_plan(a, &none, &c, &shape, &p, &net, &e), 0);
        int64_t n = 0;
        for (int v = 0; v < p->n_values; v++)
            if (p->value[v].life == PLAN_WEIGHT)
                n += tensor_count(p->value[v].rank, p->value[v].dim);
        /* the plan keeps positions that a text can have, types within them, a bias by distance */
        n += (int64_t)(c.positions - c.max_tokens + c.types) * c.width;
        if (c.family == SENTENCE_MPNET) n += (int64_t)(32 - (2 * c.max_tokens - 1)) * c.heads;
        assert_int_equal(n, published[i].parameters);
        arena_close(&a);
    }
    assert_false(net_sentence_named("all-mpnet-base", &(struct net_sentence_config){0}));
}

static void plug_in(const char *gpu)
{
    assert_int_equal(fake_open(gpu)->reset(gpu), 0);
}

/* Plain kernels of f32, the tensor cores of sm_75 and of sm_80 and up. */
static void test_gpu(void **state)
{
    (void)state;
    plug_in("t4");
    against_golden("gpu", false, false, 2e-5, 0.9999999);
    against_golden("gpu", false, true, 1e-2, 0.99999);
    against_golden("gpu", true, true, 1, 0.99);
    plug_in("h200");
    against_golden("gpu", false, true, 1e-2, 0.99999);
}

/* A plan that asks for what only the CPU does is refused, not run without it. */
static void test_gpu_refuses_skew(void **state)
{
    (void)state;
    struct net_sentence_config c = small(&families[0].config, false);
    struct net_sentence_source source = {.hashed = true};
    struct net_sentence_shape shape = {.rows = ROWS,
                                       .texts = MOST_TEXTS,
                                       .max_tokens = c.max_tokens,
                                       .i8 = true,
                                       .skew = true,
                                       .compute = DTYPE_F16};
    struct engine_options options = {.device = "cuda", .kernels = "auto", .threads = 1};
    struct trial t = {0};
    struct plan *plan;
    plug_in("t4");
    assert_int_equal(arena_open("trial", 0, &t.a, &t.e), 0);
    assert_int_equal(engine_open(t.a, &options, &t.engine, &t.e), 0);
    assert_int_equal(net_sentence_plan(t.a, &source, &c, &shape, &plan, &t.net, &t.e), 0);
    assert_int_equal(engine_prepare(t.engine, t.a, plan, NULL, NULL, &t.prepared, &t.e), -1);
    assert_int_equal(t.e.code, E_DEVICE);
    assert_non_null(strstr(t.e.text, "skew has no kernel for GPUs"));
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_named), cmocka_unit_test(test_reference),
        cmocka_unit_test(test_f32),   cmocka_unit_test(test_i8),
        cmocka_unit_test(test_gpu),   cmocka_unit_test(test_gpu_refuses_skew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
