/* Writers of words and tables: subtitles against openai's program (tools/golden/cues.py), and by
 * hand what has no reference. */
#include "base/json.h"
#include "jobs/out.h"
#include "unit.h"

static char page[256 << 10];
static size_t used;

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    (void)ctx, (void)e;
    assert_true(used + n < sizeof page);
    memcpy(page + used, p, n);
    used += n;
    page[used] = 0;
    return 0;
}

static void write_all(const char *name, const struct cue_style *style,
                      const struct out_segment *seg, size_t n)
{
    static _Alignas(max_align_t) char state[OUT_STATE_BYTES];
    struct out_about about = {.input = "a", .language = "en", .style = style};
    struct out_sink sink = {put, NULL};
    struct err e;
    const struct out_writer *w = out_find(name);
    assert_non_null(w);
    memset(state, 0, sizeof state);
    used = page[0] = 0;
    assert_int_equal(w->begin(&sink, &about, state, &e), 0);
    for (size_t i = 0; i < n; i++) assert_int_equal(w->segment(&sink, &seg[i], state, &e), 0);
    assert_int_equal(w->end(&sink, &about, state, &e), 0);
}

static struct out_word word(double t0_s, double t1_s, const char *text)
{
    return (struct out_word){str_of(text), t0_s, t1_s, 0.5, 1};
}

/* ---- against openai's program ---- */

static struct out_segment read_segment(const struct json *s, struct out_word *w)
{
    const struct json *words = json_key(s, "words");
    struct out_segment seg = {.t0_s = json_number(json_key(s, "start"), -1),
                              .t1_s = json_number(json_key(s, "end"), -1),
                              .text = json_text(json_key(s, "text")),
                              .word = w,
                              .n_words = json_count(words)};
    for (size_t i = 0; i < seg.n_words; i++) {
        const struct json *o = json_at(words, i);
        w[i] = (struct out_word){.text = json_text(json_key(o, "word")),
                                 .t0_s = json_number(json_key(o, "start"), -1),
                                 .t1_s = json_number(json_key(o, "end"), -1)};
    }
    return seg;
}

static void test_golden(void **state)
{
    (void)state;
    struct arena *a;
    struct json_doc *doc;
    struct err e;
    struct str text;
    struct out_segment seg[8];
    struct out_word words[8][32];
    assert_int_equal(arena_open("test", 0, &a, &e), 0);
    assert_int_equal(file_read(a, "tests/golden/cues.json", 1 << 20, &text, &e), 0);
    assert_int_equal(json_open(a, text.p, text.n, &doc, &e), 0);
    const struct json *segments = json_key(json_root(doc), "segments"),
                      *cases = json_key(json_root(doc), "cases");
    size_t n = json_count(segments);
    assert_true(n > 2 && json_count(cases) > 6);
    for (size_t i = 0; i < n; i++) seg[i] = read_segment(json_at(segments, i), words[i]);
    for (size_t c = 0; c < json_count(cases); c++) {
        const struct json *o = json_key(json_at(cases, c), "options");
        struct cue_style style = {.line_width = (int)json_int(json_key(o, "max_line_width"), 0),
                                  .line_count = (int)json_int(json_key(o, "max_line_count"), 0),
                                  .words_per_line =
                                      (int)json_int(json_key(o, "max_words_per_line"), 0),
                                  .highlight = json_bool(json_key(o, "highlight_words"), false)};
        static const char *const kinds[] = {"srt", "vtt"};
        for (int k = 0; k < 2; k++) {
            struct str want = json_text(json_key(json_at(cases, c), kinds[k]));
            write_all(kinds[k], &style, seg, n);
            if (used != want.n || memcmp(page, want.p, used) != 0)
                fail_msg("case %zu, %s:\n%s\nwant\n%.*s", c, kinds[k], page, (int)want.n, want.p);
        }
    }
    json_close(&doc);
    arena_close(&a);
}

/* ---- by hand ---- */

static void test_no_arrow_between_words(void **state)
{
    (void)state;
    const struct out_word words[] = {word(0, 1, " a"), word(1, 2, " --"), word(2, 3, ">"),
                                     word(3, 4, " \n"), word(4, 5, " b\x1b[m")};
    struct out_segment seg = {
        .t1_s = 5, .text = str_of(" a --> b"), .word = words, .n_words = COUNT(words)};
    write_all("srt", NULL, &seg, 1);
    assert_string_equal(page, "1\n00:00:00,000 --> 00:00:05,000\na -> b [m\n\n");
    struct cue_style style = {.highlight = true};
    write_all("vtt", &style, &seg, 1);
    assert_null(strstr(page, "-->\n"));
    assert_non_null(strstr(page, "00:01.000 --> 00:02.000\na <u>--</u>> b [m\n\n"));
}

/* More words, and longer ones, than a cue holds: cues end, nothing is lost, memory does not grow.
 */
static void test_endless_cue(void **state)
{
    (void)state;
    static struct out_word words[1000];
    static char longest[CUE_BYTES + 100];
    memset(longest, 'x', sizeof longest - 1);
    for (int i = 0; i < 1000; i++) words[i] = word(i * 0.1, i * 0.1 + 0.1, " w");
    words[700].text = str_of(longest);
    struct out_segment seg = {.t1_s = 100, .text = str_of(" w"), .word = words, .n_words = 1000};
    struct cue_style style = {.line_width = 5000, .line_count = 900};
    write_all("srt", &style, &seg, 1);
    size_t n = 0;
    for (const char *p = page; (p = strchr(p, 'w')); p++) n++;
    assert_int_equal(n, 999);
    assert_non_null(strstr(page, "xxx"));
}

static void test_tables(void **state)
{
    (void)state;
    const struct out_segment seg[] = {
        {.t0_s = 0, .t1_s = 7.6, .text = str_of(" say \"so\",\tor\nnot ")},
        {.t0_s = 7.6, .t1_s = 8, .text = str_of(" ")},
        {.t0_s = 3600.005, .t1_s = 3661.04, .text = str_of("\"")},
    };
    write_all("tsv", NULL, seg, COUNT(seg));
    assert_string_equal(page, "start\tend\ttext\n0\t7600\tsay \"so\", or not\n"
                              "3600005\t3661040\t\"\n");
    write_all("csv", NULL, seg, COUNT(seg));
    assert_string_equal(page, "start,end,text\n0,7600,\"say \"\"so\"\", or not\"\n"
                              "3600005,3661040,\"\"\"\"\n");
    write_all("lrc", NULL, seg, COUNT(seg));
    assert_string_equal(page, "[by:lode]\n[00:00.00]say \"so\", or not\n[60:00.00]\"\n");
}

static void test_words_in_lrc_and_json(void **state)
{
    (void)state;
    const struct out_word words[] = {word(0.5, 1, " And"), word(1.25, 2, " so.")};
    struct out_segment seg = {.id = 1,
                              .t0_s = 0.5,
                              .t1_s = 2,
                              .text = str_of(" And so."),
                              .flags = OUT_REPETITION | OUT_LOW_CONFIDENCE,
                              .word = words,
                              .n_words = 2};
    struct cue_style style = {.highlight = true};
    write_all("lrc", &style, &seg, 1);
    assert_string_equal(page, "[by:lode]\n[00:00.50]<00:00.50>And <00:01.25>so.\n");
    write_all("json", &style, &seg, 1);
    assert_non_null(strstr(page,
                           "\"flags\":[\"repetition\",\"low-confidence\"],\"words\":[{"
                           "\"word\":\" And\",\"start\":0.5,\"end\":1,\"probability\":0.5},"));
    seg.n_words = 0;
    write_all("json", &style, &seg, 1);
    assert_non_null(strstr(page, "\"words\":[]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_no_arrow_between_words),
        cmocka_unit_test(test_endless_cue),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_words_in_lrc_and_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
