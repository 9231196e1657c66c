/* JSON: limits, access to what is not there, the writer's exact text. */
#include "base/json.h"
#include "unit.h"

#include <math.h>

struct text {
    char p[4096];
    size_t n, room;
};

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    struct text *t = ctx;
    if (n > t->room - t->n) return err_set(e, E_IO, "the disk is full");
    memcpy(t->p + t->n, p, n);
    t->n += n;
    t->p[t->n] = 0;
    return 0;
}

static struct arena *a;

static int set_up(void **state)
{
    struct err e;
    (void)state;
    return arena_open("test", 0, &a, &e);
}

static int tear_down(void **state)
{
    (void)state;
    arena_close(&a);
    return 0;
}

static struct json_doc *open_text(const char *text)
{
    struct json_doc *doc;
    struct err e;
    if (json_open(a, text, strlen(text), &doc, &e)) fail_msg("%s", e.text);
    return doc;
}

static void values(void **state)
{
    (void)state;
    struct json_doc *doc =
        open_text("{\"a\": [1, 2.5, \"x\\u0000y\", true], \"b\": {}, \"n\": null,"
                  " \"big\": 9223372036854775807, \"a2\": 1, \"a2\": 2, \"f\": 5.0}");
    const struct json *root = json_root(doc), *list = json_key(root, "a");
    assert_true(json_is_object(root) && json_is_array(list));
    assert_int_equal(json_count(root), 6);
    assert_int_equal(json_count(list), 4);
    assert_int_equal(json_int(json_at(list, 0), -1), 1);
    assert_int_equal(json_int(json_at(list, 1), -1), -1); /* 2.5 is no integer */
    assert_true(json_number(json_at(list, 1), 0) == 2.5);
    struct str s = json_text(json_at(list, 2));
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.p, "x\0y", 3);
    assert_true(json_bool(json_at(list, 3), false));
    assert_true(json_int(json_key(root, "big"), 0) == INT64_MAX);
    assert_int_equal(json_int(json_key(root, "a2"), 0), 2); /* the last one wins */
    assert_int_equal(json_int(json_key(root, "f"), 0), 5);

    assert_null(json_at(list, 4));
    assert_null(json_key(root, "none"));
    assert_null(json_key(list, "a"));
    assert_null(json_key(NULL, "a"));
    assert_null(json_at(NULL, 0));
    assert_int_equal(json_count(NULL), 0);
    assert_int_equal(json_int(NULL, 9), 9);
    assert_int_equal(json_int(root, 9), 9);
    assert_true(json_number(json_key(root, "n"), 7) == 7);
    assert_true(json_bool(NULL, true) && !json_bool(NULL, false) && json_bool(list, true));
    assert_null(json_text(list).p);
    json_close(&doc);
    assert_null(doc);
    json_close(&doc);
    assert_null(json_root(doc));
}

static void names_in_file_order(void **state)
{
    (void)state;
    enum { N = 20000 };
    char *text = ARENA_NEW(a, char, N * 16, &(struct err){0});
    size_t n = 0;
    for (int i = 0; i < N; i++)
        n += (size_t)sprintf(text + n, "%c\"k%d\":%d", i ? ',' : '{', i * 7919 % N, i);
    text[n] = '}';
    struct json_doc *doc = open_text(text);
    const struct json *root = json_root(doc), *v;
    char want[16];
    for (size_t i = 0; i < N; i++) { /* linear: 20 000 squared would take minutes here */
        const char *name = json_name_at(root, i, &v);
        snprintf(want, sizeof want, "k%zu", i * 7919 % N);
        assert_string_equal(name, want);
        assert_int_equal(json_int(v, -1), i);
    }
    assert_null(json_name_at(root, N, &v));
    assert_string_equal(json_name_at(root, 1, &v), "k7919"); /* and back */
    assert_string_equal(json_name_at(root, 0, &v), "k0");
    assert_null(json_name_at(v, 0, &v));
    assert_null(json_name_at(NULL, 0, &v));
    json_close(&doc);
}

static void refused(void **state)
{
    (void)state;
    const char *const bad[] = {
        "",         "{",           "[1,]",  "{\"a\":}", "nul",
        "\"\xff\"", "\"\\ud800\"", "[1] 2", "1e999",    "99999999999999999999",
        "\"a\nb\"", "{1:2}",       "'a'"};
    struct json_doc *doc;
    struct err e;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(json_open(a, bad[i], strlen(bad[i]), &doc, &e), -1);
        assert_int_equal(e.code, E_INPUT);
        assert_null(doc);
        assert_non_null(strstr(e.text, "line"));
    }
    enum { DEEP = 100000 };
    char *deep = ARENA_NEW(a, char, DEEP, &e);
    memset(deep, '[', DEEP);
    assert_int_equal(json_open(a, deep, DEEP, &doc, &e), -1);
    assert_int_equal(e.code, E_INPUT);
    assert_int_equal(json_open(a, deep, ((size_t)64 << 20) + 1, &doc, &e), -1);
    assert_non_null(strstr(e.text, "67108865"));
}

static struct json_out start(struct text *t, struct err *e, int indent)
{
    struct json_out j;
    *t = (struct text){.room = sizeof t->p - 1};
    json_out_init(&j, indent, put, t, e);
    return j;
}

static void write_sample(struct json_out *j)
{
    json_out_object(j);
    json_out_key(j, "a");
    json_out_array(j);
    json_out_int(j, INT64_MIN);
    json_out_object(j);
    json_out_end(j, '}');
    json_out_bool(j, false);
    json_out_end(j, ']');
    json_out_key(j, "b");
    json_out_str(j, NULL);
    json_out_end(j, '}');
}

static void written(void **state)
{
    (void)state;
    struct text t;
    struct err e;
    struct json_out j = start(&t, &e, 0);
    write_sample(&j);
    assert_int_equal(json_out_done(&j), 0);
    assert_string_equal(t.p, "{\"a\":[-9223372036854775808,{},false],\"b\":null}\n");
    j = start(&t, &e, 2);
    write_sample(&j);
    assert_int_equal(json_out_done(&j), 0);
    assert_string_equal(t.p, "{\n  \"a\": [\n    -9223372036854775808,\n    {},\n    false\n  ],\n"
                             "  \"b\": null\n}\n");
}

static void written_text(void **state)
{
    (void)state;
    struct text t;
    struct err e;
    struct json_out j = start(&t, &e, 0);
    static const char odd[] = "q\" b\\ \n\t\r\x01\0 \xc3\xa9\xf0\x9f\x98\x80 \xff\xe2\x82 \x7f/";
    json_out_text(&j, odd, sizeof odd - 1);
    json_out_done(&j);
    assert_string_equal(t.p, "\"q\\\" b\\\\ \\n\\t\\r\\u0001\\u0000 \xc3\xa9\xf0\x9f\x98\x80 "
                             "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \x7f/\"\n");
    struct json_doc *doc = open_text(t.p);
    assert_true(json_is_text(json_root(doc)));
    json_close(&doc);
}

static void written_numbers(void **state)
{
    (void)state;
    const struct {
        double v;
        int decimals;
        const char *want;
    } rows[] = {
        {1.5, 3, "1.5\n"},        {2, 3, "2\n"},          {-0.0001, 3, "0\n"},
        {0.1239, 3, "0.124\n"},   {100, 0, "100\n"},      {NAN, 3, "null\n"},
        {-INFINITY, 3, "null\n"}, {1e300, 3, "1e+300\n"}, {-12.5, 17, "-12.5\n"},
        {0.1, 1, "0.1\n"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text t;
        struct err e;
        struct json_out j = start(&t, &e, 0);
        json_out_number(&j, rows[i].v, rows[i].decimals);
        json_out_done(&j);
        if (i == 7) { /* any spelling of it that reads back */
            struct json_doc *doc = open_text(t.p);
            assert_true(json_number(json_root(doc), 0) == 1e300);
            json_close(&doc);
        } else {
            assert_string_equal(t.p, rows[i].want);
        }
    }
}

static void figures_of_any_size(void **state)
{
    static const struct {
        double v;
        int digits;
        const char *want;
    } rows[] = {
        {2.380214e-10, 9, "2.380214e-10\n"},
        {0.5, 9, "0.5\n"},
        {0, 9, "0\n"},
        {-0.0, 9, "0\n"},
        {-1e-300, 1, "-1e-300\n"},
        {123456789012.0, 9, "1.23456789e+11\n"},
        {16211.8056, 12, "16211.8056\n"},
        {0.1, 17, "0.10000000000000001\n"},
        {-1.7976931348623157e308, 17, "-1.7976931348623157e+308\n"},
        {NAN, 9, "null\n"},
        {INFINITY, 9, "null\n"},
        {-INFINITY, 17, "null\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text t;
        struct err e;
        struct json_out j = start(&t, &e, 0);
        json_out_figure(&j, rows[i].v, rows[i].digits);
        json_out_done(&j);
        assert_string_equal(t.p, rows[i].want);
        struct json_doc *doc = open_text(t.p);
        if (rows[i].digits == 17 && isfinite(rows[i].v))
            assert_true(json_number(json_root(doc), 0) == rows[i].v);
        json_close(&doc);
    }
}

static void a_writer_that_fails(void **state)
{
    (void)state;
    for (size_t room = 0; room < 40; room++) {
        struct text t;
        struct err e;
        struct json_out j = start(&t, &e, 2);
        t.room = room;
        write_sample(&j);
        assert_int_equal(json_out_done(&j), -1);
        assert_string_equal(e.text, "the disk is full");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),
        cmocka_unit_test(names_in_file_order),
        cmocka_unit_test(refused),
        cmocka_unit_test(written),
        cmocka_unit_test(written_text),
        cmocka_unit_test(written_numbers),
        cmocka_unit_test(figures_of_any_size),
        cmocka_unit_test(a_writer_that_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
