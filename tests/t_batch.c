/* Many windows at a time against one at a time: what a lane says must not depend on its neighbours,
 * on how many lanes there are, or on who ends first. The model is a small one of hashed weights;
 * its text means nothing. */
#include "jobs/batch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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
    .vocab = 456,
    .eps = 1e-5f,
    .eot = 300,
    .sot = 301,
    .sot_prev = 302,
    .no_speech = 303,
    .no_timestamps = 304,
    .time0 = 305,
    .blank = 7,
    .suppress = {11, 12, 13},
    .n_suppress = 3,
};

#define TEXT (1 << 16)

struct lab {
    struct arena *a;
    struct err e;
    struct speech speech;
    int64_t at, n;  /* of the source: samples given, in all */
    int64_t stop;   /* cancelled after so many samples, if not 0 */
    double audio_s; /* if not 0: what times may be */
    char said[TEXT];
    double last_s;
    int64_t n_again; /* windows told to have been decoded again */
};

static void must(struct lab *lab, int rc)
{
    if (rc) fail_msg("%s", lab->e.text);
}

static void open_speech(struct lab *lab, int lanes)
{
    struct speech *s = &lab->speech;
    struct engine_options o = {.device = "cpu", .kernels = "auto", .threads = 2};
    struct net_whisper_source source = {.hashed = true};
    struct net_whisper_shape shape = {
        .windows = lanes, .sequences = 2 * lanes, .rows = 40, .picks = 2 * lanes, .top = 4};
    struct plan *plan;
    char words[456 * 5 + 1], *w = words;
    *lab = (struct lab){0};
    must(lab, arena_open("test", 0, &lab->a, &lab->e));
    must(lab, engine_open(lab->a, &o, &s->engine, &lab->e));
    must(lab, net_whisper_plan(lab->a, &source, &tiny, &shape, &plan, &s->net, &lab->e));
    s->plan = plan;
    must(lab, engine_prepare(s->engine, lab->a, plan, NULL, NULL, &s->prepared, &lab->e));
    for (int i = 0; i < tiny.vocab; i++) w += sprintf(w, "w%03d\n", i);
    must(lab,
         bpe_open(lab->a, (struct str){words, (size_t)(w - words)}, tiny.vocab, &s->bpe, &lab->e));
    speech_ready(s);
}

static void close_speech(struct lab *lab)
{
    engine_release(&lab->speech.prepared);
    engine_close(&lab->speech.engine);
    arena_close(&lab->a);
}

/* Tones that change, with pauses, in multiples of 1/32768. */
static int64_t read_tones(void *ctx, float *dst, int64_t n, struct err *e)
{
    struct lab *lab = ctx;
    (void)e;
    n = MIN(MIN(n, lab->n - lab->at), 1000);
    for (int64_t i = 0; i < n; i++, lab->at++) {
        double t = (double)lab->at / WHISPER_RATE_HZ, hz = 200 + 150 * floor(fmod(t * 1.3, 7));
        bool pause = fmod(t, 4.1) > 3.6;
        dst[i] = (float)lrint(pause ? 0 : 9000 * sin(6.283185307 * hz * t)) / 32768.0f;
    }
    return n;
}

static int segment(void *ctx, const struct out_segment *s, struct err *e)
{
    struct lab *lab = ctx;
    size_t n = strlen(lab->said);
    (void)e;
    assert_true(s->t1_s >= s->t0_s && s->t0_s >= lab->last_s - 1e-9);
    assert_true(s->t1_s <= fmax(lab->audio_s, (double)lab->n / WHISPER_RATE_HZ) + 1e-9);
    lab->last_s = s->t0_s;
    snprintf(lab->said + n, sizeof lab->said - n, "%.2f %.2f %g %.*s\n", s->t0_s, s->t1_s,
             s->temperature, (int)s->text.n, s->text.p);
    return 0;
}

static int again(void *ctx, const struct out_again *w, struct err *e)
{
    struct lab *lab = ctx;
    (void)e;
    assert_in_range(w->n_tries, 2, 3);
    assert_true(w->t1_s > w->t0_s && w->tried[0].why != 0 && w->tried[0].temperature == 0);
    for (int i = 0; i + 1 < w->n_tries; i++) assert_true(w->tried[i].why != 0);
    lab->n_again++;
    return 0;
}

static void progress(void *ctx, const char *what, double done_s, double total_s)
{
    (void)ctx, (void)what, (void)done_s, (void)total_s;
}

static bool cancelled(void *ctx)
{
    const struct lab *lab = ctx;
    return lab->stop && lab->at >= lab->stop;
}

static int run(struct lab *lab, double seconds, const struct vad_regions *regions,
               struct scribe_totals *totals)
{
    struct scribe_options o = {.decode = {.beam = 2,
                                          .best_of = 2,
                                          .patience = 1,
                                          .length_penalty = 1,
                                          .initial_times = 10},
                               .window = {.temperature = {0, 0.5, 1},
                                          .n_temperatures = 3,
                                          .compression_ratio = 1.8,
                                          .logprob = -4.5,
                                          .no_speech = 0.6},
                               .timestamps = true};
    struct batch *b;
    struct scribe_events events = {lab, segment, again, progress, cancelled};
    struct batch_source source = {lab, read_tones, -1, regions};
    must(lab, batch_open(lab->a, &lab->speech, &o, &b, &lab->e));
    lab->n = (int64_t)(seconds * WHISPER_RATE_HZ);
    lab->at = 0;
    lab->last_s = 0;
    lab->said[0] = 0;
    lab->n_again = 0;
    *totals = (struct scribe_totals){0};
    return batch_run(b, &source, &events, totals, &lab->e);
}

/* Two parts by one lane, by two and by three. */
static void test_lanes(void **state)
{
    static char first[TEXT];
    static struct lab lab;
    struct scribe_totals one, many;
    (void)state;
    open_speech(&lab, 1);
    must(&lab, run(&lab, 99, NULL, &one));
    memcpy(first, lab.said, sizeof first);
    close_speech(&lab);
    assert_true(one.segments > 20 && one.windows > 40 && one.audio_s == 99);
    assert_in_range(one.windows_again, 1, one.windows);
    for (int lanes = 2; lanes <= 3; lanes++) {
        open_speech(&lab, lanes);
        must(&lab, run(&lab, 99, NULL, &many));
        assert_string_equal(lab.said, first);
        assert_int_equal(many.windows_again, one.windows_again);
        assert_int_equal(lab.n_again, many.windows_again);
        close_speech(&lab);
    }
}

/* Audio of no and of hardly any length; again with the same batch; a stop. */
static void test_edges(void **state)
{
    static const double length[] = {0, 0.001, 0.01, 0.3, 2, 2.01, 7};
    static struct lab lab;
    struct scribe_totals t;
    (void)state;
    open_speech(&lab, 3);
    for (size_t i = 0; i < COUNT(length); i++) {
        must(&lab, run(&lab, length[i], NULL, &t));
        assert_true(fabs(t.audio_s - length[i]) < 1e-4);
        assert_true(t.windows >= (length[i] >= 0.01));
    }
    lab.stop = WHISPER_RATE_HZ;
    assert_int_equal(run(&lab, 30, NULL, &t), -1);
    assert_int_equal(lab.e.code, E_CANCELLED);
    close_speech(&lab);
}

/* The source is speech alone: times are those of the audio it was cut from. */
static void test_regions(void **state)
{
    static struct lab lab;
    static char plain[TEXT];
    struct scribe_totals t;
    struct vad_region at[] = {{.start = 160000, .end = 208000},
                              {.start = 320000, .end = 352000, .before = 48000}};
    struct vad_regions r = {.at = at, .n = 2};
    (void)state;
    open_speech(&lab, 2);
    struct vad_region all = {.start = 0, .end = 80000};
    must(&lab, run(&lab, 5, &(struct vad_regions){.at = &all, .n = 1}, &t));
    memcpy(plain, lab.said, sizeof plain);
    lab.audio_s = 22;
    must(&lab, run(&lab, 5, &r, &t));
    const char *p = plain, *q = lab.said;
    int n = 0;
    for (; *p && *q; n++) {
        double t0, t1, u0, u1;
        assert_int_equal(sscanf(p, "%lf %lf", &t0, &t1), 2);
        assert_int_equal(sscanf(q, "%lf %lf", &u0, &u1), 2);
        assert_float_equal(u0, t0 < 3 ? t0 + 10 : t0 + 17, 0.011);
        assert_float_equal(u1, t1 <= 3 ? t1 + 10 : t1 + 17, 0.011);
        p = strchr(p, '\n') + 1;
        q = strchr(q, '\n') + 1;
    }
    assert_true(n >= 2 && !*p && !*q);
    close_speech(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_regions),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
