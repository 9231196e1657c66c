/* Arenas: zeroed and aligned pieces, limits, rewind, exact return to the system, injected refusals.
 */
#include "base/arena.h"
#include "base/fault.h"
#include "unit.h"

static struct arena *open_arena(size_t limit)
{
    struct arena *a;
    struct err e;
    assert_int_equal(arena_open("test", limit, &a, &e), 0);
    return a;
}

static bool all(const char *p, size_t n, char want)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != want) return false;
    return true;
}

static void zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena *a = open_arena(0);
    struct err e;
    for (int round = 0; round < 3; round++) {
        for (size_t align = 1; align <= (size_t)2 << 20; align *= 2) {
            size_t sizes[] = {0, 1, 63, 4097, 300000, 1500000};
            for (size_t i = 0; i < COUNT(sizes); i++) {
                char *p = arena_alloc(a, sizes[i], align, &e);
                assert_non_null(p);
                assert_int_equal((uintptr_t)p % align, 0);
                assert_true(all(p, sizes[i], 0));
                memset(p, 0xa5, sizes[i]);
            }
        }
        arena_reset(a);
        assert_int_equal(arena_used(a), 0);
    }
    arena_close(&a);
    assert_null(a);
    arena_close(&a);
}

static void pieces_do_not_overlap(void **state)
{
    (void)state;
    struct arena *a = open_arena(0);
    struct err e;
    enum { N = 500 };
    char *p[N];
    for (int i = 0; i < N; i++) {
        p[i] = arena_alloc(a, (size_t)i * 37 % 5000, 8, &e);
        assert_non_null(p[i]);
        memset(p[i], i % 127, (size_t)i * 37 % 5000);
    }
    for (int i = 0; i < N; i++) assert_true(all(p[i], (size_t)i * 37 % 5000, (char)(i % 127)));
    arena_close(&a);
}

static void rewind_gives_back(void **state)
{
    (void)state;
    struct arena *a = open_arena(0);
    struct err e;
    char *keep = arena_alloc(a, 1000, 1, &e);
    memset(keep, 7, 1000);
    assert_non_null(arena_alloc(a, 3 << 20, 64, &e));
    struct arena_mark mark = arena_here(a);
    size_t used = arena_used(a), held = arena_held(a);
    assert_true(used >= 1000 + (3 << 20));
    for (int i = 0; i < 20; i++) {
        assert_non_null(arena_alloc(a, 100000, 64, &e));
        assert_non_null(arena_alloc(a, 5 << 20, 64, &e));
    }
    assert_true(arena_held(a) >= held + 20 * (5u << 20));
    arena_rewind(a, mark);
    assert_int_equal(arena_used(a), used);
    assert_true(arena_held(a) < held + (16u << 20)); /* the big pieces are gone, chunks are kept */
    assert_true(all(keep, 1000, 7));

    uint64_t calls = arena_system_calls();
    for (int i = 0; i < 20; i++) {
        char *p = arena_alloc(a, 100000, 64, &e);
        assert_non_null(p);
        assert_true(all(p, 100000, 0));
    }
    assert_int_equal(arena_system_calls(), calls); /* from kept chunks */
    arena_close(&a);
}

static void a_rewind_to_the_big_piece_keeps_it(void **state)
{
    (void)state;
    struct arena *a = open_arena(0);
    struct err e;
    struct arena_mark before = arena_here(a);
    char *big = arena_alloc(a, 2 << 20, 64, &e);
    struct arena_mark after = arena_here(a);
    size_t held = arena_held(a);
    arena_rewind(a, after);
    assert_int_equal(arena_held(a), held);
    memset(big, 1, 2 << 20);
    arena_rewind(a, before);
    assert_true(arena_held(a) + (2 << 20) <= held);
    arena_close(&a);
}

static void limits_and_overflow(void **state)
{
    (void)state;
    struct arena *a = open_arena(1 << 20);
    struct err e;
    assert_non_null(arena_alloc(a, 900000, 1, &e));
    assert_null(arena_alloc(a, 200000, 1, &e));
    assert_int_equal(e.code, E_NOMEM);
    assert_non_null(strstr(e.text, "200000"));
    assert_non_null(strstr(e.text, "1048576"));
    assert_null(arena_array(a, SIZE_MAX / 2, 3, 1, &e));
    assert_int_equal(e.code, E_NOMEM);
    arena_close(&a);

    a = open_arena(0);
    assert_null(arena_alloc(a, SIZE_MAX - 10, 1, &e));
    assert_null(arena_alloc(a, (size_t)1 << 60, 64, &e));
    assert_int_equal(e.code, E_NOMEM);
    assert_non_null(arena_alloc(a, 10, 1, &e)); /* still good */
    arena_close(&a);
}

static void texts(void **state)
{
    (void)state;
    struct arena *a = open_arena(0);
    struct err e;
    assert_string_equal(arena_text(a, "abcdef", 3, &e), "abc");
    assert_string_equal(arena_text(a, NULL, 0, &e), "");
    assert_string_equal(arena_format(a, &e, "%d and %s", 42, "more"), "42 and more");
    char *nine = ARENA_NEW(a, char, 9, &e);
    assert_true(all(nine, 9, 0));
    arena_close(&a);
}

static void every_refusal_is_an_error(void **state)
{
    (void)state;
    struct err e;
    struct arena *a;
    char spec[32];
    int n = 1;
    for (;; n++) {
        snprintf(spec, sizeof spec, "alloc:%d", n);
        assert_int_equal(fault_arm(spec), 0);
        err_clear(&e);
        if (arena_open("test", 0, &a, &e) == 0) {
            bool good = arena_alloc(a, 200000, 8, &e) && arena_alloc(a, 200000, 8, &e) &&
                        arena_alloc(a, 3 << 20, 8, &e);
            arena_close(&a);
            if (good) break;
        }
        assert_int_equal(e.code, E_NOMEM);
    }
    fault_arm(NULL);
    assert_int_equal(n,
                     4); /* the first chunk, the second, the mapping; then nothing left to fail */
}

#if defined(__SANITIZE_ADDRESS__)
int __asan_address_is_poisoned(const volatile void *p);

static void the_unused_is_poisoned(void **state)
{
    (void)state;
    struct arena *a = open_arena(0);
    struct err e;
    struct arena_mark mark = arena_here(a);
    char *p = arena_alloc(a, 100, 8, &e);
    char *big = arena_alloc(a, (2 << 20) + 5, 8, &e);
    assert_false(__asan_address_is_poisoned(p + 99));
    assert_true(__asan_address_is_poisoned(p + 100));
    assert_false(__asan_address_is_poisoned(big + (2 << 20) + 4));
    assert_true(__asan_address_is_poisoned(big + (2 << 20) + 5));
    arena_rewind(a, mark);
    assert_true(__asan_address_is_poisoned(p));
    arena_close(&a);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroed_and_aligned),
        cmocka_unit_test(pieces_do_not_overlap),
        cmocka_unit_test(rewind_gives_back),
        cmocka_unit_test(a_rewind_to_the_big_piece_keeps_it),
        cmocka_unit_test(limits_and_overflow),
        cmocka_unit_test(texts),
        cmocka_unit_test(every_refusal_is_an_error),
#if defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(the_unused_is_poisoned),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
