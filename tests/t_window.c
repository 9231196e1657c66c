/* The ladder and the cutting of windows, by hand: token 100 is the timestamp 0.00, 101 is 0.02 and
 * so on; smaller ones are text. */
#include "jobs/out.h"
#include "jobs/window.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct decode_result tokens(int n, const int *token)
{
    struct decode_result r = {.n = n};
    memcpy(r.token, token, (size_t)n * sizeof *token);
    return r;
}
#define TOKENS(...) tokens((int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), (int[]){__VA_ARGS__})

static void span_is(const struct window_span *s, int from, int to, double t0_s, double t1_s)
{
    assert_int_equal(s->from, from);
    assert_int_equal(s->to, to);
    assert_true(fabs(s->t0_s - t0_s) < 1e-9 && fabs(s->t1_s - t1_s) < 1e-9);
}

static void test_split(void **state)
{
    (void)state;
    struct window_span span[DECODE_MOST];
    int64_t advance;
    struct decode_result two_and_rest = TOKENS(100, 1, 2, 150, 150, 3, 200, 200, 4, 5);
    assert_int_equal(window_split(&two_and_rest, 100, 3000, span, &advance), 2);
    span_is(&span[0], 0, 4, 0, 1);
    span_is(&span[1], 4, 7, 1, 2);
    assert_int_equal(advance, 200); /* the rest is decoded again from 2.00 s on */

    struct decode_result single_end = TOKENS(100, 1, 150, 150, 2, 175);
    assert_int_equal(window_split(&single_end, 100, 900, span, &advance), 2);
    span_is(&span[1], 3, 6, 1, 1.5);
    assert_int_equal(advance, 900); /* nothing was said after it */

    struct decode_result no_pair = TOKENS(100, 1, 2, 180);
    assert_int_equal(window_split(&no_pair, 100, 900, span, &advance), 1);
    span_is(&span[0], 0, 4, 0, 1.6);
    struct decode_result no_times = TOKENS(1, 2, 3);
    assert_int_equal(window_split(&no_times, 100, 900, span, &advance), 1);
    span_is(&span[0], 0, 3, 0, 9);
    struct decode_result only_start = TOKENS(100, 1);
    assert_int_equal(window_split(&only_start, 100, 900, span, &advance), 1);
    span_is(&span[0], 0, 2, 0, 9);
    struct decode_result nothing = {0};
    assert_int_equal(window_split(&nothing, 100, 900, span, &advance), 1);
    span_is(&span[0], 0, 0, 0, 9);
}

/* A segment that is too long for its tokens, though not beyond the end of its window. */
static void test_thin(void **state)
{
    (void)state;
    struct window_span span[] = {
        {0, 4, 0, 3, 0, 0}, {4, 11, 3, 10.9, 0, 0}, {11, 18, 10.9, 20, 0, 0}};
    assert_int_equal(window_thin(span, 3, 3000), 2);
    assert_int_equal(window_thin(span, 2, 3000), 2);
    assert_int_equal(window_thin(span, 3, 1900), 2);
    assert_int_equal(window_thin(span, 3, 1700), 3);
    span[2].to = 21;
    assert_int_equal(window_thin(span, 3, 3000), 3);
    span[1].t1_s = 11;
    assert_int_equal(window_thin(span, 3, 3000), 1);
    assert_int_equal(window_thin(span, 0, 3000), 0);
}

/* What only repeats is in no span, the times stay those of the whole. */
static void test_loop(void **state)
{
    (void)state;
    struct window_span span[DECODE_MOST];
    int64_t advance;
    struct decode_result r = TOKENS(100, 1, 2, 150, 150, 1, 2, 200, 200, 1, 2, 250);
    r.loop = 6;
    assert_int_equal(window_split(&r, 100, 3000, span, &advance), 2);
    span_is(&span[0], 0, 4, 0, 1);
    span_is(&span[1], 4, 6, 1, 2);
    assert_int_equal(advance, 3000);
    r.loop = 8;
    assert_int_equal(window_split(&r, 100, 3000, span, &advance), 1);
    struct decode_result flat = TOKENS(1, 2, 1, 2, 1, 2);
    flat.loop = 4;
    assert_int_equal(window_split(&flat, 100, 900, span, &advance), 1);
    span_is(&span[0], 0, 2, 0, 9);

    struct window_options o = {.temperature = {0, 1},
                               .n_temperatures = 2,
                               .compression_ratio = 2.4,
                               .logprob = -1,
                               .no_speech = 0.6};
    struct window_ladder l = {0};
    assert_false(window_climb(&l, &o, &flat, 1.0, false)); /* however well it compresses */
    struct decode_result fine = TOKENS(1, 2, 3);
    assert_true(window_climb(&l, &o, &fine, 1.0, false));
    assert_int_equal(l.kept.n, 3);
    assert_int_equal(window_flags(&o, &l), 0);
    l = (struct window_ladder){0};
    o.compression_ratio = NAN; /* nobody asks for it */
    assert_true(window_climb(&l, &o, &flat, 9.0, false));
    assert_int_equal(window_flags(&o, &l), OUT_REPETITION);
}

static void test_flags(void **state)
{
    (void)state;
    struct window_options o = {.compression_ratio = 2.4, .logprob = -1, .no_speech = 0.6};
    struct window_ladder l = {.kept_ratio = 2.5, .kept = {.avg_logprob = -1.5, .no_speech = 0.7}};
    assert_int_equal(window_flags(&o, &l), OUT_REPETITION | OUT_OVER_SILENCE | OUT_LOW_CONFIDENCE);
    l = (struct window_ladder){.kept_ratio = 2.4, .kept = {.avg_logprob = -1, .no_speech = 0.6}};
    assert_int_equal(window_flags(&o, &l), 0);
    o = (struct window_options){.compression_ratio = NAN, .logprob = NAN, .no_speech = NAN};
    l = (struct window_ladder){.kept_ratio = 9, .kept = {.avg_logprob = -9, .no_speech = 1}};
    assert_int_equal(window_flags(&o, &l), 0);
}

static const struct window_options ladder = {.temperature = {0, 0.2, 0.4},
                                             .n_temperatures = 3,
                                             .compression_ratio = 2.4,
                                             .logprob = -1,
                                             .no_speech = 0.6};

static struct decode_result attempt(double logprob, double no_speech)
{
    return (struct decode_result){
        .n = 1, .token = {(int)(-100 * logprob)}, .avg_logprob = logprob, .no_speech = no_speech};
}

static void test_first_good_one(void **state)
{
    (void)state;
    struct window_ladder l = {0};
    struct decode_result bad = attempt(-1.5, 0.1), good = attempt(-0.5, 0.1);
    assert_false(window_climb(&l, &ladder, &bad, 1, false));
    assert_true(window_climb(&l, &ladder, &good, 2, false));
    assert_true(l.kept.avg_logprob == -0.5 && l.kept_temperature == 0.2 && l.kept_ratio == 2);
}

static void test_all_bad(void **state)
{
    (void)state;
    struct window_ladder l = {0};
    struct decode_result likely_loop = attempt(-0.2, 0.1), poor = attempt(-1.4, 0.1),
                         poorer = attempt(-1.6, 0.1);
    assert_false(window_climb(&l, &ladder, &likely_loop, 5, false));
    assert_false(window_climb(&l, &ladder, &poor, 1.5, false));
    assert_true(window_climb(&l, &ladder, &poorer, 1.2, false));
    assert_true(l.kept.avg_logprob == -1.4 &&
                l.kept_ratio == 1.5);       /* a loop is worse than an unlikely text */
    assert_true(l.kept_temperature == 0.4); /* the last tried */
}

static void test_silence(void **state)
{
    (void)state;
    struct window_ladder l = {0};
    struct decode_result silence = attempt(-1.5, 0.9), speech = attempt(-0.5, 0.9);
    assert_true(
        window_climb(&l, &ladder, &silence, 9, false)); /* accepted at once, whatever its text */
    assert_true(window_silent(&ladder, &silence));
    assert_false(window_silent(&ladder, &speech)); /* likely text is kept */
    struct window_options off = ladder;
    off.no_speech = NAN;
    assert_false(window_silent(&off, &silence));
    off.logprob = off.compression_ratio = NAN;
    l = (struct window_ladder){0};
    assert_true(window_climb(&l, &off, &silence, 99, false)); /* nothing is distrusted */
}

static void test_hush(void **state)
{
    (void)state;
    float pcm[] = {0, 0x1p-15f, -0x1p-15f, 0.0001f};
    assert_true(window_hushed(pcm, 0));
    assert_true(window_hushed(pcm, 3));
    assert_false(window_hushed(pcm, 4));
    pcm[0] = NAN;
    assert_false(window_hushed(pcm, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop),    cmocka_unit_test(test_flags),
        cmocka_unit_test(test_split),   cmocka_unit_test(test_first_good_one),
        cmocka_unit_test(test_all_bad), cmocka_unit_test(test_silence),
        cmocka_unit_test(test_hush),    cmocka_unit_test(test_thin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
