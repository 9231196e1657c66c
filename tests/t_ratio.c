/* The compression ratio against Python's zlib, and that it allocates only once. */
#include "jobs/ratio.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char text[1 << 16];

static size_t repeat(const char *piece, int times)
{
    size_t n = strlen(piece);
    for (int i = 0; i < times; i++) memcpy(text + n * (size_t)i, piece, n);
    return n * (size_t)times;
}

/* Expected: len(t) / len(zlib.compress(t)) in Python 3.11 with zlib 1.2.13. Other builds (zlib-ng)
 * may find slightly different matches, hence 5 %. */
static void agrees_with_python(void **state)
{
    (void)state;
    static const struct {
        const char *piece;
        int times;
        double ratio;
    } cases[] = {
        {"a", 1, 1 / 9.0},
        {"And so, my fellow Americans: ask not what your country can do for you, ask what you can "
         "do for your country.",
         1, 1.317073},
        {"I'm going to go. ", 30, 17.586207},
        {"Danke schön. ♪ ", 8, 4.800000},
        {"0123456789abcdef", 4000, 390.243902},
        {"the quick brown fox jumps over the lazy dog ", 3, 2.444444},
    };
    struct arena *a;
    struct ratio *r;
    struct err e = {0};
    assert_int_equal(arena_open("test", 0, &a, &e), 0);
    assert_int_equal(ratio_init(a, &r, &e), 0);
    size_t used = arena_used(a);
    uint64_t calls = arena_system_calls();
    for (int round = 0; round < 2; round++) { /* nothing is left of the text before */
        for (size_t i = 0; i < COUNT(cases); i++) {
            size_t n = repeat(cases[i].piece, cases[i].times);
            double got = ratio_text(r, text, n);
            if (!(fabs(got / cases[i].ratio - 1) < 0.05)) {
                fail_msg("%.20s...: %.9g, not %.9g", cases[i].piece, got, cases[i].ratio);
            }
        }
        assert_true(ratio_text(r, NULL, 0) == 0);
    }
    assert_int_equal(arena_used(a), used);
    assert_int_equal(arena_system_calls(), calls);
    assert_true(used < 1 << 20);
    arena_close(&a);
}

static void tells_loops_from_speech(void **state)
{
    (void)state;
    struct arena *a;
    struct ratio *r;
    struct err e = {0};
    assert_int_equal(arena_open("test", 0, &a, &e), 0);
    assert_int_equal(ratio_init(a, &r, &e), 0);
    assert_true(ratio_text(r, text, repeat("Thank you. ", 10)) > 2.4); /* Whisper's threshold */
    const char *speech = "Ladies and gentlemen, I'd planned to speak to you tonight to report on "
                         "the state of the union, but the events of earlier today have led me to "
                         "change those plans.";
    assert_true(ratio_text(r, speech, strlen(speech)) < 2.4);
    arena_close(&a);
}

static void lack_of_memory_is_an_error(void **state)
{
    (void)state;
    int failures = 0;
    for (size_t limit = 64;; limit += 4096) {
        struct arena *a;
        struct ratio *r = NULL;
        struct err e = {0};
        assert_int_equal(arena_open("test", limit, &a, &e), 0);
        int rc = ratio_init(a, &r, &e);
        if (rc != 0) {
            assert_int_equal(e.code, E_NOMEM);
            assert_non_null(strstr(e.text, "limit"));
        }
        arena_close(&a);
        if (rc == 0) break;
        failures++;
    }
    assert_true(failures > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_python),
        cmocka_unit_test(tells_loops_from_speech),
        cmocka_unit_test(lack_of_memory_is_an_error),
    };
    return cmocka_run_group_tests_name("ratio", tests, NULL, NULL);
}
