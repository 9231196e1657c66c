/* Hearing which language is spoken, with a small model of hashed weights: its probabilities against
 * those worked out from its logits, lists of what is allowed, and several windows. No multilingual
 * weights were at hand, so that it is right about real speech is not shown here. */
#include "jobs/tongue.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct net_whisper_config tiny = {
    .n_mels = 8,
    .audio_ctx = 100,
    .text_ctx = 48,
    .width = 64,
    .heads = 1,
    .encoder_layers = 1,
    .decoder_layers = 2,
    .ffn = 128,
    .vocab = 560,
    .eps = 1e-5f,
    .eot = 300,
    .multilingual = true,
    .n_languages = 100,
    .sot = 301,
    .language0 = 302,
    .sot_prev = 404,
    .no_speech = 405,
    .no_timestamps = 406,
    .transcribe = 403,
    .translate = 402,
    .time0 = 407,
    .blank = 7,
    .suppress = {11, 12, 13},
    .n_suppress = 3,
};

enum { LANES = 3, EN = 0, HI = 17, TA = 28, TE = 40 };

struct lab {
    struct arena *a;
    struct err e;
    struct speech speech;
    float logits[560];
};

static void must(struct lab *lab, int rc)
{
    if (rc) fail_msg("%s", lab->e.text);
}

static int setup(void **state)
{
    static struct lab lab;
    struct speech *s = &lab.speech;
    struct engine_options o = {.device = "cpu", .kernels = "auto", .threads = 2};
    struct net_whisper_source source = {.hashed = true};
    struct net_whisper_shape shape = {
        .windows = LANES, .sequences = 2 * LANES, .rows = 40, .picks = 2 * LANES, .top = 4};
    struct plan *plan;
    lab = (struct lab){0};
    must(&lab, arena_open("test", 0, &lab.a, &lab.e));
    must(&lab, engine_open(lab.a, &o, &s->engine, &lab.e));
    must(&lab, net_whisper_plan(lab.a, &source, &tiny, &shape, &plan, &s->net, &lab.e));
    s->plan = plan;
    must(&lab, engine_prepare(s->engine, lab.a, plan, NULL, NULL, &s->prepared, &lab.e));
    speech_ready(s);
    for (int slot = 0; slot < LANES; slot++) {
        for (uint64_t i = 0; i < (uint64_t)s->net.samples; i++)
            s->pcm[i] = tensor_hash("noise", i + 100000 * (uint64_t)slot, 0.3f);
        must(&lab, engine_run(s->prepared, s->net.tape_loud, &lab.e));
        *s->loudest_in = *s->loudest;
        *s->content = s->net.frames;
        *s->slot = slot;
        must(&lab, engine_run(s->prepared, s->net.tape_encode, &lab.e));
    }
    *state = &lab;
    return 0;
}

static int teardown(void **state)
{
    struct lab *lab = *state;
    engine_release(&lab->speech.prepared);
    engine_close(&lab->speech.engine);
    arena_close(&lab->a);
    return 0;
}

static void test_window(void **state)
{
    struct lab *lab = *state;
    struct tongue_options all = {0}, some = {0};
    struct tongue a, b;
    must(lab, tongue_allow(&all, NULL, &lab->e));
    must(lab, tongue_allow(&some, "hi,Tamil,te", &lab->e));
    float last = 0;
    for (int slot = 0; slot < LANES; slot++) {
        must(lab, tongue_window(&lab->speech, slot, &all, lab->logits, &a, &lab->e));
        double sum = 0, least = 0;
        for (int i = 0; i < 100; i++) sum += exp((double)lab->logits[tiny.language0 + i]);
        for (int i = 0; i < 100; i++) {
            double want = exp((double)lab->logits[tiny.language0 + i]) / sum;
            assert_true(fabs((double)a.of[i] - want) < 1e-6);
            least = fmax(least, want);
        }
        assert_true(fabs(a.probability - least) < 1e-6 && a.of[a.language] == (float)a.probability);
        assert_true(a.of[HI] != last); /* another window, another opinion */
        last = a.of[HI];
        must(lab, tongue_window(&lab->speech, slot, &some, lab->logits, &b, &lab->e));
        double few = (double)a.of[HI] + (double)a.of[TA] + (double)a.of[TE];
        assert_true(fabs((double)b.of[TA] - (double)a.of[TA] / few) < 1e-5 && b.of[EN] == 0);
        assert_true(b.language == HI || b.language == TA || b.language == TE);
    }
}

static void test_lists(void **state)
{
    struct lab *lab = *state;
    struct tongue_options o;
    assert_int_equal(tongue_allow(&o, "", &lab->e), -1);
    assert_int_equal(tongue_allow(&o, "hi,klingon", &lab->e), -1);
    assert_int_equal(lab->e.code, E_USAGE);
    assert_non_null(strstr(lab->e.text, "--languages: \"klingon\""));
    assert_int_equal(tongue_allow(&o, "hi,,te", &lab->e), -1);
    must(lab, tongue_allow(&o, "hindi", &lab->e));
    assert_true(o.allowed[HI] && !o.allowed[EN]);
}

/* Planted opinions: a sure window outweighs two that are not. */
static void test_several(void **state)
{
    struct tongue sum = {0}, sure = {.n_windows = 1}, unsure = {.n_windows = 1};
    (void)state;
    sure.of[TA] = 0.9f;
    sure.of[HI] = 0.1f;
    unsure.of[HI] = 0.4f;
    unsure.of[TA] = 0.3f;
    tongue_add(&sum, &unsure);
    assert_int_equal(sum.language, HI);
    tongue_add(&sum, &unsure);
    tongue_add(&sum, &sure);
    assert_int_equal(sum.language, TA);
    assert_int_equal(sum.n_windows, 3);
    assert_true(fabs(sum.probability - 0.5) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_several),
    };
    return cmocka_run_group_tests_name("tongue", tests, setup, teardown);
}
