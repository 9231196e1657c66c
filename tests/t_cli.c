/* The command line and the progress bar, against a table of jobs made here. */
#include "app/bar.h"
#include "app/cli.h"
#include "app/help.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct opts {
    int64_t beam;
    const char *out;
    bool json;
};

/* clang-format off */
static const struct opt_row rows[] = {
    {.name = NULL, .help = "Decoding"},
    {.name = "beam-size", .letter = 'b', .type = OPT_INT, .offset = offsetof(struct opts, beam), .min = 1, .max = 16, .fallback = "5", .value = "N", .help = "How many guesses are kept."},
    {.name = "output", .letter = 'o', .type = OPT_TEXT, .offset = offsetof(struct opts, out), .value = "FILE", .help = "Where to write."},
    {.name = "json", .type = OPT_BOOL, .offset = offsetof(struct opts, json), .help = "Write JSON."},
};
/* clang-format on */

struct world {
    char text[1 << 18];
    size_t n;
    int runs;
    char seen[200]; /* what the job was given */
};

static int world_text(void *ctx, const char *p, size_t n, struct err *e)
{
    struct world *w = ctx;
    if (w->n + n >= sizeof w->text) return err_set(e, E_IO, "full");
    memcpy(w->text + w->n, p, n);
    w->n += n;
    w->text[w->n] = '\0';
    return 0;
}

static int run_speak(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
                     struct err *e)
{
    struct world *w = host->ctx;
    const struct opts *o = opts;
    struct strbuf b;
    (void)e;
    strbuf_init(&b, w->seen, sizeof w->seen);
    strbuf_format(&b, "beam %d out %s json %d:", (int)o->beam, o->out ? o->out : "none", o->json);
    for (size_t i = 0; i < inputs->n; i++) strbuf_format(&b, " %s", inputs->words[i]);
    w->runs++;
    return 0;
}

static int run_fail(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
                    struct err *e)
{
    (void)opts, (void)inputs, (void)host;
    return err_set(e, E_MODEL, "no model");
}

static const struct lode_job rows_of_jobs[] = {
    {"speak", "says what it is given", "FILE... [options]",
     "First paragraph, which is long enough that it has to be broken into more than one line of "
     "one hundred columns.\n\n  lode speak a.wav\n\n.second paragraph",
     rows, COUNT(rows), sizeof(struct opts), 1, 2, run_speak},
    {"fail", "always fails", "", "It fails.", NULL, 0, 0, 0, 0, run_fail},
};

static const struct lode_job *const jobs[] = {&rows_of_jobs[0], &rows_of_jobs[1]};

static struct world w;

static int go(struct err *e, int argc, const char *const *argv)
{
    struct arena *a;
    const struct lode_host host = {.ctx = &w, .text = world_text};
    memset(&w, 0, sizeof w);
    err_clear(e);
    assert_int_equal(arena_open("test", 0, &a, e), 0);
    int rc = cli_run(a, jobs, COUNT(jobs), argc, (char *const *)(uintptr_t)argv, &host, e);
    arena_close(&a);
    return rc;
}

#define GO(e, ...)                                               \
    go((e), (int)COUNT(((const char *[]){"lode", __VA_ARGS__})), \
       (const char *[]){"lode", __VA_ARGS__, NULL})

static void refuse(const struct err *e, int rc, const char *part)
{
    assert_int_equal(rc, -1);
    assert_int_equal(e->code, E_USAGE);
    if (strstr(e->text, part) == NULL) fail_msg("'%s' lacks '%s'", e->text, part);
    assert_int_equal(w.runs, 0);
}

static void test_job(void **state)
{
    struct err e;
    (void)state;
    assert_int_equal(GO(&e, "speak", "a"), 0);
    assert_string_equal(w.seen, "beam 5 out none json 0: a");
    assert_int_equal(GO(&e, "speak", "a", "--json", "-b", "3", "--output=x", "--", "-b"), 0);
    assert_string_equal(w.seen, "beam 3 out x json 1: a -b");
    assert_int_equal(GO(&e, "fail"), -1);
    assert_int_equal(e.code, E_MODEL);
}

static void test_refusals(void **state)
{
    struct err e;
    (void)state;
    refuse(&e, go(&e, 1, (const char *[]){"lode", NULL}), "no job is named");
    refuse(&e, GO(&e, "speek", "a"), "did you mean 'speak'");
    refuse(&e, GO(&e, "halp"), "did you mean 'help'");
    refuse(&e, GO(&e, "zzzzzzzzzz"), "there are speak, fail, help, version, man");
    refuse(&e, GO(&e, ""), "there is no job ''");
    refuse(&e, GO(&e, "--beam-size", "speak"), "the job comes before its options");
    refuse(&e, GO(&e, "speak"), "at least 1 input and was given 0");
    refuse(&e, GO(&e, "speak", "a", "b", "c"), "at most 2 inputs and was given 3");
    refuse(&e, GO(&e, "speak", "--beam", "a"), "beam-size");
    refuse(&e, GO(&e, "speak", "a", "-b", "99"), "99");
    refuse(&e, GO(&e, "help", "speek"), "did you mean 'speak'");
    refuse(&e, GO(&e, "help", "enviroment"), "did you mean 'environment'");
    refuse(&e, GO(&e, "help", "speak", "fail"), "'fail' is one word too many");
    refuse(&e, GO(&e, "version", "x"), "one word too many");
    refuse(&e, GO(&e, "man", "environment"), "there is no job or page");
}

static void shows(const char *part)
{
    if (strstr(w.text, part) == NULL) fail_msg("lacks '%s':\n%s", part, w.text);
}

static void test_pages(void **state)
{
    struct err e;
    (void)state;
    static const char *const overview[] = {"help", "--help", "-h"};
    for (size_t i = 0; i < COUNT(overview); i++) {
        assert_int_equal(GO(&e, overview[i]), 0);
        shows("usage: lode JOB");
        shows("  speak             says what it is given\n");
        shows("help statuses");
    }
    assert_int_equal(GO(&e, "help", "environment"), 0);
    shows("LODE_CACHE");
    assert_int_equal(GO(&e, "help", "statuses"), 0);
    shows("  130  CANCELLED");
    assert_int_equal(GO(&e, "--version"), 0);
    assert_int_equal(strncmp(w.text, "lode ", 5), 0);
    assert_int_equal(GO(&e, "speak", "a", "--bogus", "--help"), 0);
    shows("usage: lode speak FILE... [options]\n\nFirst paragraph");
    shows("\n\n  lode speak a.wav\n\n.second paragraph\n");
    shows("beam-size");
    assert_int_equal(w.runs, 0);
    assert_int_equal(GO(&e, "speak", "--", "--help"), 0); /* an input of that name */
    assert_string_equal(w.seen, "beam 5 out none json 0: --help");
}

static void test_man(void **state)
{
    struct err e;
    (void)state;
    assert_int_equal(GO(&e, "man"), 0);
    shows(".TH LODE 1");
    shows(".SH \"LODE speak\"");
    shows(".PP\n.nf\n  lode speak a.wav\n.fi\n");
    shows("\n\\&.second paragraph\n"); /* not taken for a command */
    shows(".SH EXIT STATUS");
    assert_int_equal(GO(&e, "man", "speak"), 0);
    shows(".TH LODE-speak 1");
    assert_null(strstr(w.text, "It fails"));
}

static void test_wrap(void **state)
{
    char memory[200];
    struct strbuf b;
    (void)state;
    strbuf_init(&b, memory, sizeof memory);
    help_wrap("one two\nthree four five\n  keep   this\n\nsix\n", 2, 12, &b);
    assert_string_equal(b.p, "  one two\n  three four\n  five\n    keep   this\n\n  six\n");
}

static const char *line(const struct bar_state *s, size_t columns)
{
    static char memory[400];
    struct strbuf b;
    strbuf_init(&b, memory, sizeof memory);
    size_t width = bar_line(s, columns, &b);
    assert_true(width <= columns);
    return memory;
}

static void test_bar(void **state)
{
    (void)state;
    struct bar_state s = {"talk.mp3", LODE_SECONDS, 30, 120, 10};
    assert_string_equal(line(&s, 60),
                        "talk.mp3  [######------------------]   25 %  10.0x  ETA 0:09");
    assert_string_equal(line(&s, 32), "talk.mp3   25 %  10.0x  ETA 0:09");
    assert_string_equal(line(&s, 33), "talk.mp3   25 %  10.0x  ETA 0:09");
    assert_string_equal(line(&s, 23), " 25 %  10.0x  ETA 0:09");
    assert_string_equal(line(&s, 10), "");
    s.total = 0;
    assert_string_equal(line(&s, 60), "talk.mp3  0:30  10.0x");
    s = (struct bar_state){"a\x1b[2Jb", LODE_BYTES, 5e6, 1e7, 1e6};
    assert_string_equal(line(&s, 40), "a?[2Jb   50 %  1.0 MB/s  ETA 0:05");
    s = (struct bar_state){"x", LODE_UNITS, 7, 4, 0}; /* more than was said */
    assert_string_equal(line(&s, 40), "x  [############################]  100 %");
    s = (struct bar_state){"x", LODE_UNITS, 1, 1e12, 1e-9};
    assert_non_null(strstr(line(&s, 60), "ETA 99:59:59"));
}

/* A log hears of what takes more than a minute, in lines, of nothing else. */
static void test_log(void **state)
{
    (void)state;
    struct bar b;
    char got[200];
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    bar_init(&b, ends[1]);
    bar_update(&b, "a\x1b[2Jb", LODE_UNITS, 0, 100);
    b.start_s = b.drawn_s -= 59;
    bar_update(&b, "a\x1b[2Jb", LODE_UNITS, 49, 100);
    bar_clear(&b);
    assert_int_equal(read(ends[0], got, sizeof got), -1);
    b.start_s = b.drawn_s -= 41;
    bar_update(&b, "a\x1b[2Jb", LODE_UNITS, 50, 100);
    bar_update(&b, "a\x1b[2Jb", LODE_UNITS, 51, 100);
    bar_clear(&b);
    ssize_t n = read(ends[0], got, sizeof got);
    assert_true(n > 0);
    assert_memory_equal(got, "lode: a?[2Jb   50 %  ETA 1:40\n", (size_t)n);
    b.drawn_s -= 61;
    bar_update(&b, "another", LODE_UNITS, 1, 2);
    bar_update(&b, "another", LODE_UNITS, -1, 0);
    assert_int_equal(read(ends[0], got, sizeof got), -1);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job), cmocka_unit_test(test_refusals), cmocka_unit_test(test_pages),
        cmocka_unit_test(test_man), cmocka_unit_test(test_wrap),     cmocka_unit_test(test_bar),
        cmocka_unit_test(test_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
