/* Times of words: the warping against transformers (tools/golden/align.py), words, merging and the
 * rules of thumb against faster-whisper (tools/golden/words.py); and words nobody believes. */
#include "base/json.h"
#include "jobs/align.h"
#include "jobs/words.h"
#include "unit.h"
#include <math.h>

struct fixture {
    struct arena *a;
    struct json_doc *doc;
    struct err e;
};

static void must(struct fixture *f, int rc)
{
    if (rc) fail_msg("%s", f->e.text);
}

static const struct json *open_golden(struct fixture *f, const char *path)
{
    struct str text;
    memset(f, 0, sizeof *f);
    must(f, arena_open("test", 0, &f->a, &f->e));
    must(f, file_read(f->a, path, 1 << 20, &text, &f->e));
    must(f, json_open(f->a, text.p, text.n, &f->doc, &f->e));
    return json_root(f->doc);
}

static void close_golden(struct fixture *f)
{
    json_close(&f->doc);
    arena_close(&f->a);
}

static int number(const struct json *o, const char *key)
{
    const struct json *v = json_key(o, key);
    assert_true(json_is_number(v));
    return (int)json_int(v, INT32_MIN);
}

/* ---- align ---- */

static void check_times(struct fixture *f, const struct json *c, size_t index)
{
    int heads = number(c, "heads"), rows = number(c, "rows"), from = number(c, "from"),
        frames = number(c, "frames"), same_from = number(c, "same_from"),
        same_to = number(c, "same_to"), time[64];
    float sharp = (float)json_number(json_key(c, "sharp"), 0);
    struct align *a;
    must(f, align_open(f->a, heads, rows + 2, frames + 3, &a, &f->e)); /* more room than needed */
    for (int h = 0; h < heads; h++) {
        char name[32];
        snprintf(name, sizeof name, "align/%zu/%d", index, h);
        for (int r = 0; r < rows; r++) {
            float *w = align_row(a, h, r);
            for (int t = 0; t < frames + 3; t++) {
                float x = tensor_hash(name, (uint64_t)(r * frames + t), 1);
                bool same = t >= same_from && t < same_to;
                w[t] = t >= frames ? 9 : same ? 0 : expf(sharp * x); /* beyond: not looked at */
            }
        }
    }
    align_times(a, rows, from, frames, time);
    const struct json *want = json_key(c, "times");
    assert_int_equal(json_count(want), rows - from - 1);
    for (int i = 0; i < rows - from - 1; i++)
        if (time[i] != json_int(json_at(want, (size_t)i), -1))
            fail_msg("case %zu: token %d begins at %d, want %lld", index, i, time[i],
                     (long long)json_int(json_at(want, (size_t)i), -1));
}

static void test_align(void **state)
{
    (void)state;
    struct fixture f;
    const struct json *cases = json_key(open_golden(&f, "tests/golden/align.json"), "cases");
    assert_true(json_count(cases) >= 8);
    for (size_t i = 0; i < json_count(cases); i++) check_times(&f, json_at(cases, i), i);
    close_golden(&f);
}

/* Weights of nothing at all, as a damaged model might give them, make times and no trap. */
static void test_align_nothing(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct align *a;
    int time[4];
    must(&f, arena_open("test", 0, &f.a, &f.e));
    must(&f, align_open(f.a, 2, 5, 10, &a, &f.e));
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 2 * 5 * 10; i++) align_row(a, 0, 0)[i] = pass ? NAN : 0;
        align_times(a, 5, 1, 10, time);
        for (int i = 0; i < 3; i++) assert_in_range(time[i], 0, 9);
    }
    arena_close(&f.a);
}

/* ---- words ---- */

static struct bpe *open_vocabulary(struct fixture *f, const struct json *list)
{
    struct strbuf b;
    struct bpe *bpe;
    char *text = ARENA_NEW(f->a, char, 64 << 10, &f->e);
    assert_non_null(text);
    strbuf_init(&b, text, 64 << 10);
    for (size_t i = 0; i < json_count(list); i++) { /* as vocabulary.txt: a token per line */
        struct str s = json_text(json_at(list, i));
        strbuf_add(&b, s.p, s.n);
        strbuf_text(&b, "\n");
    }
    must(f, bpe_open(f->a, (struct str){b.p, b.n}, (int64_t)json_count(list), &bpe, &f->e));
    return bpe;
}

static void near(size_t i, const char *what, double got, const struct json *want)
{
    if (!(fabs(got - json_number(want, NAN)) < 2e-6))
        fail_msg("case %zu: %s is %g, want %g", i, what, got, json_number(want, NAN));
}

static void check_spans(size_t number_of_case, const struct words_list *l,
                        const struct window_span *span, double offset_s, const struct json *want)
{
    for (size_t s = 0; s < json_count(want); s++) {
        const struct json *o = json_at(want, s), *words = json_key(o, "words");
        near(number_of_case, "a start", offset_s + span[s].t0_s, json_key(o, "start"));
        near(number_of_case, "an end", offset_s + span[s].t1_s, json_key(o, "end"));
        assert_int_equal(span[s].n_words, json_count(words));
        for (size_t i = 0; i < json_count(words); i++) {
            const struct json *w = json_at(words, i);
            const struct out_word *got = &l->word[(size_t)span[s].word + i];
            struct str text = json_text(json_key(w, "word"));
            if (got->text.n != text.n || memcmp(got->text.p, text.p, text.n) != 0)
                fail_msg("case %zu: \"%.*s\", want \"%.*s\"", number_of_case, (int)got->text.n,
                         got->text.p, (int)text.n, text.p);
            near(number_of_case, "a word's start", got->t0_s, json_key(w, "start"));
            near(number_of_case, "a word's end", got->t1_s, json_key(w, "end"));
            near(number_of_case, "a probability", got->probability, json_key(w, "probability"));
        }
    }
}

static void check_words(const struct bpe *b, const struct json *c, size_t index)
{
    const struct json *given = json_key(c, "given"), *times = json_key(c, "times"),
                      *chances = json_key(c, "probabilities"), *want = json_key(c, "want");
    int token[64], n = 0, n_text[8], n_spans = (int)json_count(given);
    int16_t time[65];
    float probability[64];
    struct window_span span[8] = {{0}};
    struct words_list list;
    char room[1024];
    struct strbuf text;
    struct str language = json_text(json_key(c, "language"));
    struct words_options o = {.prepend = WORDS_PREPEND, .append = WORDS_APPEND};
    double offset_s = number(c, "offset") / 100.0;
    for (int s = 0; s < n_spans; s++) {
        const struct json *g = json_at(given, (size_t)s), *tokens = json_key(g, "tokens");
        n_text[s] = (int)json_count(tokens);
        for (int i = 0; i < n_text[s]; i++)
            token[n++] = (int)json_int(json_at(tokens, (size_t)i), -1);
        span[s].t0_s = json_number(json_key(g, "start"), NAN);
        span[s].t1_s = json_number(json_key(g, "end"), NAN);
    }
    assert_int_equal(json_count(times), n + 1);
    for (int i = 0; i <= n; i++) time[i] = (int16_t)json_int(json_at(times, (size_t)i), -1);
    for (int i = 0; i < n; i++) probability[i] = (float)json_number(json_at(chances, (size_t)i), 0);
    strbuf_init(&text, room, sizeof room);
    words_split(b, bpe_count(b) - 1, token, n, str_eq(language, "zh"), &text, &list);
    words_time(&list, &o, time, probability);
    words_place(&list, span, n_text, n_spans, offset_s, json_number(json_key(c, "before"), NAN));
    check_spans(index, &list, span, offset_s, json_key(want, "spans"));
    near(index, "the end", words_end(&list, span, n_spans, offset_s), json_key(want, "last"));
}

static void test_words(void **state)
{
    (void)state;
    struct fixture f;
    const struct json *root = open_golden(&f, "tests/golden/words.json");
    const struct json *cases = json_key(root, "cases");
    struct bpe *b = open_vocabulary(&f, json_key(root, "vocabulary"));
    assert_true(json_count(cases) >= 30);
    for (size_t i = 0; i < json_count(cases); i++) check_words(b, json_at(cases, i), i);
    close_golden(&f);
}

/* ---- doubt ---- */

struct said { /* a span of one word */
    double t0_s, t1_s, probability;
};

static struct words_doubt doubt(const struct said *said, int n, double offset_s, double total_s,
                                double before_s)
{
    static struct words_list l;
    struct window_span span[4];
    struct words_options o = {.silence_s = 1};
    for (int i = 0; i < n; i++) {
        span[i] = (struct window_span){0, 0, said[i].t0_s, said[i].t1_s, i, 1};
        l.word[i] = (struct out_word){.text = str_of(" word"),
                                      .t0_s = offset_s + said[i].t0_s,
                                      .t1_s = offset_s + said[i].t1_s,
                                      .probability = said[i].probability,
                                      .n_tokens = 1};
    }
    l.n = n;
    return words_doubt(&l, &o, span, n, offset_s, 30, total_s, before_s);
}

static void test_doubt(void **state)
{
    (void)state;
    const struct said good[] = {{0.5, 1, 0.9}, {1.2, 1.8, 0.9}};
    struct words_doubt d = doubt(good, 2, 60, 200, 59);
    assert_true(d.n_spans == 2 && !d.again && isnan(d.seek_s));

    const struct said late[] = {{5, 5.5, 0.1}, {6, 6.5, 0.9}}; /* silence, then an unlikely word */
    d = doubt(late, 2, 60, 200, 59);
    assert_true(d.again);
    assert_true(fabs(d.seek_s - 65) < 1e-9);

    const struct said alone[] = {{0.5, 1, 0.9}, {10, 10.5, 0.1}, {20, 20.5, 0.9}};
    d = doubt(alone, 3, 60, 200, 59);
    assert_true(!d.again && d.n_spans == 1);
    assert_true(fabs(d.seek_s - 70) < 1e-9);

    const struct said among[] = {{9, 9.5, 0.9}, {9.6, 10.1, 0.1}, {10.2, 10.7, 0.9}};
    d = doubt(among, 3, 60, 200, 59); /* speech on both sides: it stays */
    assert_true(d.n_spans == 3 && isnan(d.seek_s));

    const struct said last[] = {{0.5, 1, 0.9}, {27, 29.5, 0.1}}; /* the audio ends with it */
    d = doubt(last, 2, 60, 90, 59);
    assert_true(d.n_spans == 1);
    assert_true(fabs(d.seek_s - 90) < 1e-9);

    d = doubt(NULL, 0, 60, 200, 59);
    assert_true(d.n_spans == 0 && !d.again && isnan(d.seek_s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_align),
        cmocka_unit_test(test_align_nothing),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_doubt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
