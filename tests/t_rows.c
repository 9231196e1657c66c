/* Records of lines, JSON lines and CSV: what is read, and what is refused. */
#include "unit.h"

#include "load/rows.h"
#include <unistd.h>

static char folder[400], path[420];

static void put(const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

/* All records of `text`, each field as name=text, separated by '|', records by a newline; or the
 * error. */
static const char *all(const char *text, size_t n, enum rows_format format,
                       const char *const *names)
{
    static char out[4096];
    struct strbuf b;
    struct rows r;
    struct err e;
    int rc;
    strbuf_init(&b, out, sizeof out);
    put(text, n);
    if (rows_open(path, format, &r, &e)) {
        strbuf_text(&b, strchr(e.text, ':'));
        return out;
    }
    while ((rc = rows_next(&r, &e)) == 1) {
        for (size_t i = 0; names[i]; i++) {
            struct str s;
            if (!rows_get(&r, names[i], &s)) continue;
            strbuf_format(&b, "%s=%.*s|", names[i], (int)s.n, s.p);
        }
        strbuf_text(&b, "\n");
    }
    if (rc < 0) {
        assert_int_equal(e.code, E_INPUT);
        strbuf_text(&b, strchr(e.text, ':'));
    }
    rows_close(&r);
    return out;
}
#define ALL(text, format, ...) \
    all(text, sizeof(text) - 1, format, (const char *const[]){__VA_ARGS__, NULL})

static void test_lines(void **state)
{
    (void)state;
    assert_string_equal(ALL("", ROWS_LINES, "text"), "");
    assert_string_equal(ALL("a\n\nb b\r\nc", ROWS_LINES, "text", "no"),
                        "text=a|\ntext=|\ntext=b b|\ntext=c|\n");
    assert_string_equal(ALL("\xef\xbb\xbf"
                            "a\n",
                            ROWS_LINES, "text"),
                        "text=a|\n");
    assert_string_equal(ALL("a\n\xff\n", ROWS_LINES, "text"), "text=a|\n: line 2: not UTF-8");
    assert_string_equal(ALL("a \xed\xa0\x80\n", ROWS_LINES, "text"), ": line 1: not UTF-8");
}

static void test_jsonl(void **state)
{
    (void)state;
    assert_string_equal(ALL("{\"a\": \"x\\ny\", \"b\": 12}\n\n{\"b\": 0.1, \"c\": true}\n",
                            ROWS_JSONL, "a", "b", "c"),
                        "a=x\ny|b=12|\nb=0.1|c=true|\n");
    assert_string_equal(ALL("{\"a\": null, \"b\": [1]}", ROWS_JSONL, "a", "b"), "\n");
    assert_string_equal(ALL("{}\n\n[1]\n", ROWS_JSONL, "a"), "\n: line 3: not a JSON object");
    assert_string_equal(ALL("{\"a\": \"\\ud83d\\ude00\"}", ROWS_JSONL, "a"),
                        "a=\xf0\x9f\x98\x80|\n");
    static const char *const halves[] = {"\\ud800", "\\ude00", "\\ud83d\\u0041", "\\ude00\\ud83d"};
    for (size_t i = 0; i < COUNT(halves); i++) { /* of surrogate pairs, as \u and as bytes */
        char line[64];
        snprintf(line, sizeof line, "{\"a\": \"x\"}\n{\"a\": \"%s\"}\n", halves[i]);
        assert_non_null(strstr(ALL(line, ROWS_JSONL, "a"), "a=x|\n: line 2: JSON"));
    }
    assert_string_equal(ALL("{\"a\": \"\xed\xa0\x80\"}", ROWS_JSONL, "a"), ": line 1: not UTF-8");
    assert_non_null(strstr(ALL("{\"a\": 1\n", ROWS_JSONL, "a"), ": line 1: JSON"));
}

static void test_csv(void **state)
{
    (void)state;
    assert_string_equal(ALL("a,b\n1,2\n\"x, \"\"y\"\"\n\",\r\n", ROWS_CSV, "a", "b"),
                        "a=1|b=2|\na=x, \"y\"\n|b=|\n");
    assert_string_equal(ALL("a;b\n1;2,5", ROWS_CSV, "a", "b"), "a=1|b=2,5|\n");
    assert_string_equal(ALL("a\tb,c\n1\t2\n", ROWS_TSV, "a", "b,c"), "a=1|b,c=2|\n");
    assert_string_equal(ALL("a\n\nx\n", ROWS_CSV, "a"), "a=|\na=x|\n");
    assert_string_equal(ALL("\"a\nb\",text\n1,hello\n", ROWS_CSV, "a\nb", "text"),
                        "a\nb=1|text=hello|\n");
    assert_string_equal(ALL("\"a\"\"\n;\";b;\"c,\r\n\"\r\n1;2;3\n", ROWS_CSV, "b", "c,\r\n"),
                        "b=2|c,\r\n=3|\n");
    assert_string_equal(ALL("5\" pipe;b\n1;2\n", ROWS_CSV, "5\" pipe", "b"), "5\" pipe=1|b=2|\n");
    assert_string_equal(ALL("\"a\nb\n1,2\n", ROWS_CSV, "a"), ": line 1: a quote is not closed");
    assert_string_equal(ALL("a,b\n\n1,2\n", ROWS_CSV, "a"), "a=1|\n");
    assert_string_equal(ALL("a,b\n1\n", ROWS_CSV, "a"), ": line 2: 1 field, the header has 2");
    assert_string_equal(ALL("a,b\n\"1\n2\",3\n4,5,6\n", ROWS_CSV, "a"),
                        "a=1\n2|\n: line 4: more fields than the header's 2");
    assert_string_equal(ALL("a\n\"1", ROWS_CSV, "a"), ": line 2: a quote is not closed");
    assert_string_equal(ALL("a,b\n\"1\"x,2", ROWS_CSV, "a"),
                        ": line 2: a closing quote is followed by neither ',' nor the line's end");
    assert_string_equal(ALL("", ROWS_CSV, "a"), ": is empty, so it names no columns");
    assert_string_equal(ALL("a\n\xc3\x28\n", ROWS_CSV, "a"), ": line 2: not UTF-8");
}

static void test_formats(void **state)
{
    (void)state;
    assert_int_equal(rows_format_of("a.jsonl"), ROWS_JSONL);
    assert_int_equal(rows_format_of("a.csv"), ROWS_CSV);
    assert_int_equal(rows_format_of("a.tsv"), ROWS_TSV);
    assert_int_equal(rows_format_of("a.txt"), ROWS_LINES);
    assert_int_equal(rows_format_of("-"), ROWS_LINES);
}

static void test_pipe(void **state)
{
    (void)state;
    struct rows r;
    struct err e;
    struct str s;
    int ends[2], kept = dup(STDIN_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "one\ntwo\n", 8), 8);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    close(ends[0]);
    assert_int_equal(rows_open("-", ROWS_LINES, &r, &e), 0);
    assert_int_equal(rows_next(&r, &e), 1);
    assert_int_equal(rows_next(&r, &e), 1);
    assert_true(rows_get(&r, "text", &s) && str_eq(s, "two"));
    assert_int_equal(rows_next(&r, &e), 0);
    rows_close(&r);
    dup2(kept, STDIN_FILENO);
    close(kept);
    assert_int_equal(rows_open("/nowhere/x", ROWS_LINES, &r, &e), -1);
    assert_int_equal(e.code, E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),   cmocka_unit_test(test_jsonl), cmocka_unit_test(test_csv),
        cmocka_unit_test(test_formats), cmocka_unit_test(test_pipe),
    };
    unit_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/x", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unit_remove(folder);
    return failed;
}
