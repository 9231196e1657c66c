/* Slices, builders, UTF-8, nearest names, and the errors whose text they make. */
#include "base/err.h"
#include "base/fault.h"
#include "base/str.h"
#include "unit.h"

#include <errno.h>

static void slices(void **state)
{
    (void)state;
    assert_true(str_eq(str_trim(str_of(" \t a b\r\n")), "a b"));
    assert_true(str_eq(str_trim(str_of(" \n ")), ""));
    assert_true(str_eq((struct str){0}, ""));
    assert_true(str_starts("lode", "lo") && !str_starts("lo", "lode"));
    assert_true(str_ends("a.wav", ".wav") && !str_ends("wav", ".wav"));
    struct str rest = str_of("one\r\ntwo\n\nlast"), line;
    const char *const want[] = {"one", "two", "", "last"};
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_true(str_line(&rest, &line));
        assert_true(str_eq(line, want[i]));
    }
    assert_false(str_line(&rest, &line));
}

static void numbers(void **state)
{
    (void)state;
    uint64_t u;
    double d;
    assert_true(str_uint(str_of("18446744073709551615"), UINT64_MAX, &u) && u == UINT64_MAX);
    assert_false(str_uint(str_of("18446744073709551616"), UINT64_MAX, &u));
    assert_false(str_uint(str_of("99999999999999999999999"), UINT64_MAX, &u));
    assert_true(str_uint(str_of("255"), 255, &u) && u == 255);
    const char *const not_uint[] = {"", "256", "-1", "+1", " 1", "1 ", "0x1", "1e1"};
    for (size_t i = 0; i < COUNT(not_uint); i++)
        assert_false(str_uint(str_of(not_uint[i]), 255, &u));
    assert_true(str_double("-1.5e3", &d) && d == -1500);
    assert_true(str_double(".5", &d) && d == 0.5);
    const char *const not_double[] = {"",      " 1",  "1 ", "0x10", "nan",  "inf",
                                      "1e999", "1,5", "1e", "-",    "1.2.3"};
    for (size_t i = 0; i < COUNT(not_double); i++) assert_false(str_double(not_double[i], &d));
}

static void builders_never_overflow(void **state)
{
    (void)state;
    char memory[8];
    struct strbuf b;
    strbuf_init(&b, memory, sizeof memory);
    strbuf_text(&b, "abc");
    strbuf_format(&b, "%d", 1234);
    assert_string_equal(b.p, "abc1234");
    assert_false(b.cut);
    strbuf_add(&b, "x", 1);
    assert_true(b.cut && b.n == 7);
    strbuf_init(&b, memory, sizeof memory);
    strbuf_format(&b, "%s", "12345678");
    assert_string_equal(b.p, "1234567");
    assert_true(b.cut && b.n == 7);
    strbuf_format(&b, "%s", "more");
    assert_int_equal(b.n, 7);
}

/* The table of what is valid, from RFC 3629 section 4: every code point there and back. */
static void every_character_there_and_back(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        if (cp >= 0xd800 && cp < 0xe000) continue;
        char p[4];
        uint32_t back = 0;
        int n = str_utf8_put(cp, p);
        if (str_utf8(p, (size_t)n, &back) != n || back != cp) fail_msg("U+%04X", cp);
        for (int cut = 0; cut < n; cut++)
            if (str_utf8(p, (size_t)cut, &back) != 0) fail_msg("U+%04X cut to %d", cp, cut);
    }
}

static void hostile_utf8(void **state)
{
    (void)state;
    const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3\x28",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xfe",
        "\xf8\x88\x80\x80\x80",
    };
    uint32_t cp;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(str_utf8(bad[i], strlen(bad[i]), &cp), 0);
        assert_false(str_utf8_whole(bad[i], strlen(bad[i])));
    }
    assert_true(str_utf8_whole("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0b", 12));
    assert_int_equal(str_utf8("\xf4\x8f\xbf\xbf", 4, &cp), 4);
    assert_int_equal(cp, 0x10ffff);
}

static void nearest(void **state)
{
    (void)state;
    const char *const names[] = {"beam-size", "best-of", "language", "device", "model"};
    size_t n = COUNT(names);
    assert_string_equal(str_nearest("beam-sise", names, n), "beam-size");
    assert_string_equal(str_nearest("beam_size", names, n), "beam-size");
    assert_string_equal(str_nearest("beam", names, n), "beam-size");
    assert_string_equal(str_nearest("langauge", names, n), "language");
    assert_string_equal(str_nearest("Model", names, n), "model");
    assert_null(str_nearest("zebra", names, n));
    assert_null(str_nearest("", names, n));
    assert_null(str_nearest("x", names, 0));
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_null(str_nearest(longer, names, n));
}

static void errors(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, E_INPUT, "%d samples", 3), -1);
    assert_int_equal(e.code, E_INPUT);
    assert_int_equal(err_note(&e, "in %s", "a.wav"), -1);
    assert_string_equal(e.text, "in a.wav: 3 samples");
    errno = ENOENT;
    assert_int_equal(err_errno(&e, E_IO, "a.wav"), -1);
    assert_string_equal(e.text, "a.wav: No such file or directory");
    errno = ENAMETOOLONG;
    char path[4097];
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    (void)err_errno(&e, E_IO, "%s: cannot be opened", path);
    assert_true(str_ends(e.text, "ppp: cannot be opened: File name too long"));
    err_clear(&e);
    assert_int_equal(e.code, E_OK);

    err_set(&e, E_INPUT, "%s", "a\x1b[31m\n\x7f\xff\xc3");
    assert_string_equal(e.text, "a?[31m????"); /* nothing that a terminal obeys */

    char longer[700]; /* the cuts fall inside a character */
    for (size_t shift = 0; shift < 3; shift++) {
        memset(longer, 'x', shift);
        for (size_t i = shift; i + 3 < sizeof longer; i += 3) memcpy(longer + i, "\xe2\x82\xac", 4);
        err_set(&e, E_INPUT, "%s: is empty", longer);
        size_t n = strlen(e.text);
        assert_true(n > sizeof e.text - 6 && str_utf8_whole(e.text, n));
        assert_true(str_ends(e.text, ": is empty")); /* the reason is never lost */
        assert_null(strchr(e.text, '?'));
        err_note(&e, "before");
        assert_true(str_starts(e.text, "before: ") && str_ends(e.text, ": is empty"));
        assert_true(str_utf8_whole(e.text, strlen(e.text)));
        assert_null(strchr(e.text, '?'));
    }
}

static void error_rows(void **state)
{
    (void)state;
    for (int c = 0; c < E_COUNT; c++) {
        const struct err_row *row = err_row((enum err_code)c);
        assert_true(row->name[0] && row->meaning[0]);
        for (int d = 0; d < c; d++)
            assert_int_not_equal(row->exit_status, err_row((enum err_code)d)->exit_status);
    }
    assert_string_equal(err_row(E_INPUT)->name, "INPUT");
    assert_int_equal(err_row(E_INPUT)->exit_status, 3);
    assert_string_equal(err_row((enum err_code)999)->name, "INTERNAL");
}

static void faults(void **state)
{
    (void)state;
    assert_int_equal(fault_arm("read:2,write:3+"), 0);
    const bool reads[] = {false, true, false, false}, writes[] = {false, false, true, true};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(fault_hit(FAULT_READ), reads[i]);
        assert_int_equal(fault_hit(FAULT_WRITE), writes[i]);
        assert_false(fault_hit(FAULT_MAP));
    }
    assert_int_equal(fault_count(FAULT_READ), 4);
    const char *const bad[] = {"",       "read",   "read:",   "read:0",
                               "read:x", "reed:1", "read:1,", "read:1++"};
    for (size_t i = 0; i < COUNT(bad); i++) assert_int_equal(fault_arm(bad[i]), -1);
    assert_int_equal(fault_arm(NULL), 0);
    assert_int_equal(fault_count(FAULT_READ), 0);
    assert_false(fault_hit(FAULT_READ));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices),
        cmocka_unit_test(numbers),
        cmocka_unit_test(builders_never_overflow),
        cmocka_unit_test(every_character_there_and_back),
        cmocka_unit_test(hostile_utf8),
        cmocka_unit_test(nearest),
        cmocka_unit_test(errors),
        cmocka_unit_test(error_rows),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
