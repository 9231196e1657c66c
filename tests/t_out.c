/* Writers of transcripts: exact files, hostile text, sinks that fail. */
#include "base/fault.h"
#include "base/json.h"
#include "jobs/out.h"
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* --------------------------------------------------------------------------- helpers -- */

struct memory_sink {
    char *p;
    size_t n, cap;
    int puts, fail_at; /* the fail_at-th put fails, 0: none */
};

static int memory_put(void *ctx, const char *p, size_t n, struct err *e)
{
    struct memory_sink *m = ctx;
    if (++m->puts == m->fail_at) return err_set(e, E_IO, "the disk is full");
    assert_true(m->fail_at == 0 || m->puts < m->fail_at); /* nothing after a failure */
    assert_true(m->n + n < m->cap);
    memcpy(m->p + m->n, p, n);
    m->n += n;
    m->p[m->n] = 0;
    return 0;
}

static char page[1 << 20];

static const struct out_about ABOUT = {
    .input = "talks/a \"b\".wav",
    .model = "tiny.en",
    .language = "en",
    .device = "cpu",
    .device_name = "Test CPU",
    .compute_type = "int8_float32",
    .version = "0.1",
    .device_reason = "",
    .audio_s = 11.0,
    .load_s = 0.25,
    .wall_s = 1.5,
};

static int open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    int n = 0;
    while (readdir(d) != NULL) n++;
    closedir(d);
    return n;
}

/* write_all: all segments through a writer; the text is in page. Returns the result of
 * end, or the first failure. */
static int write_all(const char *name, const struct out_segment *seg, size_t n,
                     struct memory_sink *m, struct err *e)
{
    static _Alignas(max_align_t) char state[OUT_STATE_BYTES];
    const struct out_writer *w = out_find(name);
    assert_non_null(w);
    memset(state, 0, sizeof(state));
    m->p = page;
    m->cap = sizeof(page);
    struct out_sink sink = {memory_put, m};
    w->drop(state); /* harmless before begin */
    int rc = w->begin(&sink, &ABOUT, state, e);
    if (rc == 0) {
        for (size_t i = 0; rc == 0 && i < n; i++) rc = w->segment(&sink, &seg[i], state, e);
        if (rc == 0) {
            rc = w->end(&sink, &ABOUT, state, e);
        } else {
            w->drop(state);
        }
    }
    int open_now = open_files();
    w->drop(state); /* and after the end, or a begin that failed: nothing is left to close */
    assert_int_equal(open_files(), open_now);
    return rc;
}

static void write_well(const char *name, const struct out_segment *seg, size_t n)
{
    struct err e = {0};
    struct memory_sink m = {0};
    page[0] = 0;
    assert_int_equal(write_all(name, seg, n, &m, &e), 0);
    assert_true(str_utf8_whole(page, m.n));
    assert_int_equal(strlen(page), m.n);
}

static struct out_segment says(double t0_s, double t1_s, const char *text)
{
    return (struct out_segment){.id = 1, .t0_s = t0_s, .t1_s = t1_s, .text = str_of(text)};
}

/* -------------------------------------------------------------------- txt, srt, vtt -- */

static const int TOKENS[] = {50363, 843, 523, 50713};

static const struct out_segment TALK[] = {
    {.id = 1,
     .t0_s = 0,
     .t1_s = 7.6,
     .text = {" And so, my fellow Americans", 28},
     .token = TOKENS,
     .n_tokens = 4,
     .avg_logprob = -0.25,
     .compression_ratio = 1.5,
     .no_speech_prob = 0.0009765625},
    {.id = 2,
     .seek = 3000,
     .t0_s = 7.6,
     .t1_s = 3661.04,
     .text = {" ask --> not ", 13},
     .temperature = 0.2,
     .avg_logprob = -0.125,
     .compression_ratio = 0.75,
     .no_speech_prob = 0},
};

static void the_three_plain_formats(void **state)
{
    (void)state;
    write_well("txt", TALK, 2);
    assert_string_equal(page, "And so, my fellow Americans\nask --> not\n");
    write_well("srt", TALK, 2);
    assert_string_equal(page, "1\n00:00:00,000 --> 00:00:07,600\nAnd so, my fellow Americans\n\n"
                              "2\n00:00:07,600 --> 01:01:01,040\nask -> not\n\n");
    write_well("vtt", TALK, 2);
    assert_string_equal(page, "WEBVTT\n\n00:00.000 --> 00:07.600\nAnd so, my fellow Americans\n\n"
                              "00:07.600 --> 01:01:01.040\nask -> not\n\n");
}

static void nothing_said(void **state)
{
    (void)state;
    write_well("txt", NULL, 0);
    assert_string_equal(page, "");
    write_well("srt", NULL, 0);
    assert_string_equal(page, "");
    write_well("vtt", NULL, 0);
    assert_string_equal(page, "WEBVTT\n\n");
}

static void blank_text_makes_no_cue_and_no_gap_in_the_numbers(void **state)
{
    (void)state;
    const struct out_segment seg[] = {says(0, 1, " \n\t"), says(1, 2, " a "), says(2, 3, ""),
                                      says(3, 4, "\xC2\xA0\xE3\x80\x80"), says(4, 5, "b")};
    write_well("txt", seg, COUNT(seg));
    assert_string_equal(page, "a\nb\n");
    write_well("srt", seg, COUNT(seg));
    assert_string_equal(page, "1\n00:00:01,000 --> 00:00:02,000\na\n\n"
                              "2\n00:00:04,000 --> 00:00:05,000\nb\n\n");
}

/* Expected: openai/whisper's format_timestamp, which is Python's round(1000 * t). */
static void times_are_rounded_as_python_does(void **state)
{
    (void)state;
    static const struct {
        double t_s;
        const char *vtt;
    } cases[] = {
        {0.0004, "00:00.000"},        {0.0005, "00:00.000"},     {0.0015, "00:00.002"},
        {0.0625, "00:00.062"},        {0.1875, "00:00.188"},     {0.9996, "00:01.000"},
        {59.9994, "00:59.999"},       {59.9996, "01:00.000"},    {3599.9996, "01:00:00.000"},
        {359999.999, "99:59:59.999"}, {360000, "100:00:00.000"}, {0.29, "00:00.290"},
        {29.98, "00:29.980"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct out_segment seg = says(cases[i].t_s, cases[i].t_s, "x");
        char want[80];
        snprintf(want, sizeof(want), "WEBVTT\n\n%s --> %s\nx\n\n", cases[i].vtt, cases[i].vtt);
        write_well("vtt", &seg, 1);
        assert_string_equal(page, want);
    }
}

static void text_cannot_break_out_of_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *txt, *cue;
    } cases[] = {
        {"a\r\n\nb", "a   b", "a   b"},
        {"a\x1B[31mb\x7F", "a [31mb", "a [31mb"},
        {"a\xC2\x85z", "a z", "a z"},
        {"a\xFFz\xE2\x99", "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD",
         "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"-->", "-->", "->"},
        {"a ----> b", "a ----> b", "a -> b"},
        {"-> -- - > --", "-> -- - > --", "-> -- - > --"},
        {"---", "---", "---"},
        {"--\xC3\xA9>", "--é>", "--é>"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct out_segment seg = says(0, 1, cases[i].text);
        char want[120];
        snprintf(want, sizeof(want), "%s\n", cases[i].txt);
        write_well("txt", &seg, 1);
        assert_string_equal(page, want);
        snprintf(want, sizeof(want), "1\n00:00:00,000 --> 00:00:01,000\n%s\n\n", cases[i].cue);
        write_well("srt", &seg, 1);
        assert_string_equal(page, want);
    }
}

/* ------------------------------------------------------------------------------ json -- */

struct parsed {
    struct arena *a;
    struct json_doc *doc;
    const struct json *root;
};

static struct parsed parse_page(void)
{
    struct parsed d = {0};
    struct err e = {0};
    assert_int_equal(arena_open("test", 0, &d.a, &e), 0);
    if (json_open(d.a, page, strlen(page), &d.doc, &e) != 0) fail_msg("%s", e.text);
    d.root = json_root(d.doc);
    return d;
}

static void parse_done(struct parsed *d)
{
    json_close(&d->doc);
    arena_close(&d->a);
}

static void json_has_every_member(void **state)
{
    (void)state;
    write_well("json", TALK, 2);
    assert_int_equal(page[strlen(page) - 1], '\n');
    struct parsed d = parse_page();
    static const struct {
        const char *key, *text;
    } texts[] = {
        {"text", " And so, my fellow Americans ask --> not "},
        {"language", "en"},
        {"input", "talks/a \"b\".wav"},
        {"model", "tiny.en"},
        {"device", "cpu"},
        {"device_name", "Test CPU"},
        {"device_reason", ""},
        {"compute_type", "int8_float32"},
        {"version", "0.1"},
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_true(json_is_text(json_key(d.root, texts[i].key)));
        assert_true(str_eq(json_text(json_key(d.root, texts[i].key)), texts[i].text));
    }
    assert_true(json_number(json_key(d.root, "duration"), -1) == 11);
    assert_true(json_number(json_key(d.root, "audio_seconds"), -1) == 11);
    assert_true(json_number(json_key(d.root, "load_seconds"), -1) == 0.25);
    assert_true(json_number(json_key(d.root, "wall_seconds"), -1) == 1.5);
    assert_false(json_bool(json_key(d.root, "cancelled"), true));
    assert_int_equal(json_count(d.root), 16);

    const struct json *segments = json_key(d.root, "segments");
    assert_int_equal(json_count(segments), 2);
    const struct json *one = json_at(segments, 0), *two = json_at(segments, 1);
    assert_int_equal(json_count(one), 11); /* words only if they were asked for */
    assert_int_equal(json_int(json_key(one, "id"), -1), 1);
    assert_int_equal(json_int(json_key(two, "seek"), -1), 3000);
    assert_true(json_number(json_key(one, "start"), -1) == 0);
    assert_true(json_number(json_key(two, "end"), -1) == 3661.04);
    assert_true(str_eq(json_text(json_key(one, "text")), " And so, my fellow Americans"));
    assert_true(json_number(json_key(two, "temperature"), -1) == 0.2);
    assert_true(json_number(json_key(one, "avg_logprob"), -1) == -0.25);
    assert_true(json_number(json_key(two, "compression_ratio"), -1) == 0.75);
    assert_true(json_number(json_key(one, "no_speech_prob"), -1) == 0.0009765625);
    const struct json *tokens = json_key(one, "tokens");
    assert_int_equal(json_count(tokens), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(json_int(json_at(tokens, i), -1), TOKENS[i]);
    }
    assert_int_equal(json_count(json_key(two, "tokens")), 0);
    parse_done(&d);
}

/* Long, and with characters of every width at every place of a buffer; then bytes of every value.
 */
static void json_text_is_the_segments_joined(void **state)
{
    (void)state;
    enum { N = 600, BYTES = 5000 };
    static struct out_segment seg[N];
    static char text[N][64], want[N * 64];
    size_t n = 0;
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof(text[i]), " %.*s\"é漢\\😀\t%d", i % 7, "abcdefg", i);
        seg[i] = says(i, i + 1, text[i]);
        n += (size_t)snprintf(want + n, sizeof(want) - n, "%s", text[i]);
    }
    assert_true(n > 2 * 4096);
    write_well("json", seg, N);
    struct parsed d = parse_page();
    struct str got = json_text(json_key(d.root, "text"));
    assert_int_equal(got.n, n);
    assert_memory_equal(got.p, want, n);
    parse_done(&d);

    static char bytes[BYTES];
    uint32_t random = 1;
    for (size_t i = 0; i < BYTES; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (char)(random >> 24);
    }
    seg[0] = says(0, 1, "");
    seg[0].text = (struct str){bytes, BYTES};
    write_well("json", seg, 1);
    d = parse_page();
    struct str whole = json_text(json_key(d.root, "text"));
    struct str part = json_text(json_key(json_at(json_key(d.root, "segments"), 0), "text"));
    assert_true(str_utf8_whole(whole.p, whole.n));
    assert_int_equal(whole.n, part.n);
    assert_memory_equal(whole.p, part.p, part.n);
    parse_done(&d);
}

static void json_of_nothing_and_of_no_numbers(void **state)
{
    (void)state;
    write_well("json", NULL, 0);
    struct parsed d = parse_page();
    assert_int_equal(json_count(json_key(d.root, "segments")), 0);
    assert_true(json_is_text(json_key(d.root, "text")));
    parse_done(&d);
    struct out_segment seg = says(0, 1, "x");
    seg.avg_logprob = -INFINITY;
    write_well("json", &seg, 1);
    d = parse_page();
    assert_false(json_is_number(json_key(json_at(json_key(d.root, "segments"), 0), "avg_logprob")));
    parse_done(&d);
}

static void python_reads_the_json(void **state)
{
    (void)state;
    if (system("python3 -c pass 2>/dev/null") != 0) skip();
    write_well("json", TALK, 2);
    FILE *f = popen("python3 -c 'import json, sys; d = json.load(sys.stdin); "
                    "t = \"\".join(s[\"text\"] for s in d[\"segments\"]); "
                    "sys.exit(0 if t == d[\"text\"] and d[\"duration\"] == 11 else 1)'",
                    "w");
    assert_non_null(f);
    assert_int_equal(fputs(page, f) >= 0, 1);
    assert_int_equal(pclose(f), 0);
}

/* -------------------------------------------------------------------------- failures -- */

static void a_failing_sink_is_an_error_and_nothing_leaks(void **state)
{
    (void)state;
    size_t n_writers;
    const struct out_writer *w = out_writers(&n_writers);
    int before = open_files();
    for (size_t i = 0; i < n_writers; i++) {
        int failures = 0;
        for (int at = 1;; at++) {
            struct err e = {0};
            struct memory_sink m = {.fail_at = at};
            int rc = write_all(w[i].name, TALK, 2, &m, &e);
            assert_int_equal(open_files(), before);
            if (rc == 0) break;
            assert_int_equal(e.code, E_IO);
            assert_string_equal(e.text, "the disk is full");
            failures++;
        }
        assert_true(failures >= 2);
    }
}

static void a_failing_spool_is_an_error_and_nothing_leaks(void **state)
{
    (void)state;
    static const char *const kinds[] = {"open", "write", "read"};
    int before = open_files();
    for (size_t i = 0; i < COUNT(kinds); i++) {
        int failures = 0;
        for (int nth = 1;; nth++) {
            char spec[32];
            snprintf(spec, sizeof(spec), "%s:%d", kinds[i], nth);
            assert_int_equal(fault_arm(spec), 0);
            struct err e = {0};
            struct memory_sink m = {0};
            int rc = write_all("json", TALK, 2, &m, &e);
            fault_arm(NULL);
            assert_int_equal(open_files(), before);
            if (rc == 0) break;
            assert_int_equal(e.code, E_IO);
            failures++;
        }
        assert_true(failures > 0);
    }
}

static void writers_are_found_by_name(void **state)
{
    (void)state;
    size_t n;
    const struct out_writer *w = out_writers(&n);
    assert_int_equal(n, 7);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(out_find(w[i].name), &w[i]);
        assert_int_equal(w[i].suffix[0], '.');
        assert_string_equal(w[i].suffix + 1, w[i].name);
    }
    assert_string_equal(w[0].name, "txt");
    assert_null(out_find("doc"));
    assert_null(out_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_plain_formats),
        cmocka_unit_test(nothing_said),
        cmocka_unit_test(blank_text_makes_no_cue_and_no_gap_in_the_numbers),
        cmocka_unit_test(times_are_rounded_as_python_does),
        cmocka_unit_test(text_cannot_break_out_of_its_line),
        cmocka_unit_test(json_has_every_member),
        cmocka_unit_test(json_text_is_the_segments_joined),
        cmocka_unit_test(json_of_nothing_and_of_no_numbers),
        cmocka_unit_test(python_reads_the_json),
        cmocka_unit_test(a_failing_sink_is_an_error_and_nothing_leaks),
        cmocka_unit_test(a_failing_spool_is_an_error_and_nothing_leaks),
        cmocka_unit_test(writers_are_found_by_name),
    };
    return cmocka_run_group_tests_name("out", tests, NULL, NULL);
}
