/* Options: every spelling, every mistake with its sentence, and the texts made from the rows. */
#include "base/opt.h"
#include "unit.h"

struct opts {
    bool words, ladder;
    int64_t beam;
    double patience;
    const char *language;
    int device;
};

#define AT(field) .offset = offsetof(struct opts, field)
/* clang-format off */
static const struct opt_row rows[] = {
    {.help = "Decoding"},
    {"beam-size", 'b', OPT_INT, AT(beam), .min = 1, .max = 64, .fallback = "5", .value = "N",
     .help = "Beams that are followed. One means greedy decoding, and this is a help text long enough to need a second line.",
     .alias = "beam|beams"},
    {"patience", 0, OPT_NUMBER, AT(patience), .min = 0, .max = 1e12, .fallback = "1", .value = "X", .help = "How long to wait."},
    {"words", 'w', OPT_BOOL, AT(words), .help = "Word times."},
    {"ladder", 0, OPT_BOOL, AT(ladder), .fallback = "true", .help = "Temperatures."},
    {.help = "The rest"},
    {"language", 'l', OPT_TEXT, AT(language), .value = "CODE", .help = "Spoken language."},
    {"device", 0, OPT_CHOICE, AT(device), .fallback = "auto", .choices = "auto|cpu|cuda", .help = "Where it runs."},
};
/* clang-format on */
enum { N = COUNT(rows) };

static struct arena *a;
static const bool *given; /* of the last parse */

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

/* Parses words separated by one blank each; the inputs are put into `inputs`, comma separated. */
static int parse(const char *line, struct opts *o, char *inputs, struct err *e)
{
    static char words[300];
    char *argv[20];
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *p = words; *p;) {
        argv[argc++] = p;
        p += strcspn(p, " ");
        if (*p) *p++ = 0;
    }
    struct opt_list list;
    opt_defaults(rows, N, o);
    int status = opt_parse(a, rows, N, argc, argv, o, &list, e);
    given = list.given;
    struct strbuf b;
    strbuf_init(&b, inputs, 100);
    for (size_t i = 0; status == 0 && i < list.n; i++)
        strbuf_format(&b, "%s%s", i ? "," : "", list.words[i]);
    return status;
}

static void defaults(void **state)
{
    (void)state;
    struct opts o;
    memset(&o, 0xff, sizeof o);
    opt_defaults(rows, N, &o);
    assert_true(o.beam == 5 && o.patience == 1 && !o.words && o.ladder && !o.language &&
                o.device == 0);
}

static void every_spelling(void **state)
{
    (void)state;
    const char *const nine[] = {
        "--beam-size 9", "--beam-size=9", "--beam_size 9",    "--beam_size=9",
        "-b 9",          "-b9",           "--beam 9",         "--beams=9",
        "-wb9",          "-w -b 9",       "--beam-size 3 -b9"};
    struct opts o;
    struct err e;
    char in[100];
    for (size_t i = 0; i < COUNT(nine); i++) {
        if (parse(nine[i], &o, in, &e)) fail_msg("%s: %s", nine[i], e.text);
        assert_int_equal(o.beam, 9);
        assert_string_equal(in, "");
    }
    assert_int_equal(parse("a.wav --words --no-ladder -l en - --device=cuda b.wav", &o, in, &e), 0);
    assert_true(o.words && !o.ladder && o.device == 2);
    assert_string_equal(o.language, "en");
    assert_string_equal(in, "a.wav,-,b.wav");
    assert_int_equal(parse("--words -- --beam-size -b x", &o, in, &e), 0);
    assert_string_equal(in, "--beam-size,-b,x");
    assert_int_equal(parse("--no_ladder --words=false --language=a=b", &o, in, &e), 0);
    assert_true(!o.ladder && !o.words);
    assert_string_equal(o.language, "a=b");
    assert_int_equal(parse("--words False --ladder True a.wav", &o, in, &e), 0); /* as openai */
    assert_true(!o.words && o.ladder);
    assert_string_equal(in, "a.wav");
    assert_int_equal(parse("--words true --no-ladder False", &o, in, &e), 0); /* names of files */
    assert_true(o.words && !o.ladder);
    assert_string_equal(in, "true,False");
    assert_int_equal(parse("--language -5 --patience -0", &o, in, &e),
                     0); /* a value may begin so */
    assert_string_equal(o.language, "-5");
}

/* An option that is set to its default was given, too. */
static void what_was_given(void **state)
{
    static const struct {
        const char *line;
        bool given[N];
    } lines[] = {{"a.wav", {0}},
                 {"--beam-size 5", {[1] = true}},
                 {"-b5 x", {[1] = true}},
                 {"--beams=5 --ladder", {[1] = true, [4] = true}},
                 {"--no-words --device auto", {[3] = true, [7] = true}},
                 {"-wl en", {[3] = true, [6] = true}},
                 {"-- --words", {0}}};
    struct opts o;
    struct err e;
    char in[100];
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        assert_int_equal(parse(lines[i].line, &o, in, &e), 0);
        assert_memory_equal(given, lines[i].given, sizeof lines[i].given);
    }
}

static void every_mistake(void **state)
{
    (void)state;
    const struct {
        const char *line, *says;
    } wrong[] = {
        {"--beam-sise 5", "unknown option --beam-sise, did you mean --beam-size?"},
        {"--langauge=en", "did you mean --language?"},
        {"--zebra", "unknown option --zebra"},
        {"--no-beam-size", "unknown option --no-beam-size"},
        {"-z", "unknown option -z"},
        {"-wz", "unknown option -z"},
        {"--beam-size", "--beam-size needs a value: N"},
        {"-b", "--beam-size needs a value: N"},
        {"--beam-size 0", "--beam-size is 1 to 64, not 0"},
        {"--beam-size 65", "--beam-size is 1 to 64, not 65"},
        {"--beam-size 2.5", "--beam-size takes a whole number, not \"2.5\""},
        {"--beam-size=", "--beam-size takes a whole number, not \"\""},
        {"--beam-size=99999999999999999999", "--beam-size takes a whole number"},
        {"--patience x", "--patience takes a number, not \"x\""},
        {"--patience nan", "--patience takes a number"},
        {"--patience -1", "--patience is 0 to 1e+12, not -1"},
        {"--words=maybe", "--words is true or false, not \"maybe\""},
        {"--no-words=1", "--no-words takes no value"},
        {"--device cud", "--device is one of auto, cpu, cuda, not \"cud\"; did you mean cuda?"},
        {"--device tpux", "--device is one of auto, cpu, cuda, not \"tpux\""},
        {"--=5", "unknown option --"},
        {"--be\x1b[2Jam 5", "unknown option --be?[2Jam"},
    };
    struct opts o;
    struct err e;
    char in[100];
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_int_equal(parse(wrong[i].line, &o, in, &e), -1);
        assert_int_equal(e.code, E_USAGE);
        if (!strstr(e.text, wrong[i].says)) fail_msg("%s: %s", wrong[i].line, e.text);
    }
    assert_int_equal(parse("--zebra", &o, in, &e), -1);
    assert_null(strstr(e.text, "mean")); /* nothing is near */
}

static void one_by_name(void **state)
{
    (void)state;
    struct opts o;
    struct err e;
    opt_defaults(rows, N, &o);
    assert_int_equal(opt_set(rows, N, "beam_size", "7", &o, &e), 0);
    assert_int_equal(opt_set(rows, N, "words", "1", &o, &e), 0);
    assert_int_equal(opt_set(rows, N, "ladder", "false", &o, &e), 0);
    assert_int_equal(opt_set(rows, N, "device", "cpu", &o, &e), 0);
    assert_true(o.beam == 7 && o.words && !o.ladder && o.device == 1);
    assert_int_equal(opt_set(rows, N, "no-words", "1", &o, &e), -1);
    assert_int_equal(opt_set(rows, N, "b", "1", &o, &e), -1);
    char buf[16];
    assert_string_equal(opt_choice(&rows[N - 1], 2, buf, sizeof buf), "cuda");
}

static void help(void **state)
{
    (void)state;
    char text[4000];
    struct strbuf b;
    strbuf_init(&b, text, sizeof text);
    opt_help(rows, N, &b);
    assert_string_equal(text,
                        "Decoding:\n"
                        "  -b, --beam-size N             Beams that are followed. One means greedy "
                        "decoding, and this is a\n"
                        "                                help text long enough to need a second "
                        "line. (1 to 64; default 5)\n"
                        "      --patience X              How long to wait. (0 or more; default 1)\n"
                        "  -w, --words                   Word times.\n"
                        "      --ladder                  Temperatures. (default on)\n"
                        "\nThe rest:\n"
                        "  -l, --language CODE           Spoken language.\n"
                        "      --device auto|cpu|cuda    Where it runs. (default auto)\n");
    assert_false(b.cut);

    strbuf_init(&b, text, sizeof text);
    opt_man(rows + 5, N - 5, &b);
    assert_string_equal(text,
                        ".SS The rest\n"
                        ".TP\n.B \\-l, \\-\\-language CODE\nSpoken language.\n"
                        ".TP\n.B \\-\\-device auto|cpu|cuda\nWhere it runs. (default auto)\n");
}

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    (void)e;
    strbuf_add(ctx, p, n);
    return 0;
}

static void as_json(void **state)
{
    (void)state;
    char text[400], in[100];
    struct strbuf b;
    struct json_out j;
    struct err e;
    struct opts o;
    strbuf_init(&b, text, sizeof text);
    assert_int_equal(parse("--device cpu --patience 1.25", &o, in, &e), 0);
    json_out_init(&j, 0, put, &b, &e);
    json_out_object(&j);
    opt_json(rows, N, &o, &j);
    json_out_end(&j, '}');
    assert_int_equal(json_out_done(&j), 0);
    assert_string_equal(text, "{\"beam_size\":5,\"patience\":1.25,\"words\":false,\"ladder\":true,"
                              "\"language\":null,\"device\":\"cpu\"}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),       cmocka_unit_test(every_spelling),
        cmocka_unit_test(what_was_given), cmocka_unit_test(every_mistake),
        cmocka_unit_test(one_by_name),    cmocka_unit_test(help),
        cmocka_unit_test(as_json),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
