/* Tokenizers against the `tokenizers` package, on hostile lines of many scripts
 * (tools/golden/tokens.py), and what is refused.
 *
 *     t_tokens [TOKENS.bin TOKENIZER.json ..]    with these, only the first, of that file */
#include "unit.h"

#include "text/tokens.h"

static const char *const own_names[] = {"tests/golden/tokens_wordpiece.json",
                                        "tests/golden/tokens_unigram.json",
                                        "tests/golden/tokens_bpe.json"};

struct golden { /* state of test_golden */
    const char *path;
    const char *const *names;
    size_t n;
};

struct room {
    struct arena *a, *scratch;
    struct err e;
};

static void room_open(struct room *r)
{
    assert_int_equal(arena_open("test", 0, &r->a, &r->e), 0);
    assert_int_equal(arena_open("scratch", 0, &r->scratch, &r->e), 0);
}

static void room_close(struct room *r)
{
    arena_close(&r->a);
    arena_close(&r->scratch);
}

static struct tokens *open_file(struct room *r, const char *path)
{
    struct str text;
    struct tokens *t;
    if (file_read(r->a, path, 1 << 24, &text, &r->e) ||
        tokens_open(r->a, text, str_of(""), true, &t, &r->e))
        fail_msg("%s: %s", path, r->e.text);
    return t;
}

static uint64_t fnv(const int32_t *id, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++)
        for (int b = 0; b < 32; b += 8) h = (h ^ ((uint32_t)id[i] >> b & 0xFF)) * 0x100000001B3u;
    return h;
}

static void test_golden(void **state)
{
    const struct golden *g = *state;
    enum { most = 1 << 22 };
    static int32_t id[most];
    struct room r;
    struct str text;
    uint32_t n_tokenizers, n_lines, bytes, count;
    uint64_t hash;
    room_open(&r);
    if (file_read(r.a, g->path, 1 << 28, &text, &r.e)) fail_msg("%s", r.e.text);
    const char *p = text.p;
    memcpy(&n_tokenizers, p, 4);
    memcpy(&n_lines, p + 4, 4);
    p += 8;
    assert_int_equal(n_tokenizers, g->n);
    struct tokens **t = ARENA_NEW(r.a, struct tokens *, g->n, &r.e);
    assert_non_null(t);
    for (size_t k = 0; k < g->n; k++) t[k] = open_file(&r, g->names[k]);
    for (uint32_t i = 0; i < n_lines; i++) {
        memcpy(&bytes, p, 4);
        struct str line = {p + 4, bytes};
        p += 4 + bytes;
        for (size_t k = 0; k < g->n; k++, p += 12) {
            struct tokens_list list = {id, most, 0};
            memcpy(&count, p, 4);
            memcpy(&hash, p + 4, 8);
            int64_t all = tokens_encode(t[k], r.scratch, line, false, &list, &r.e);
            if (all != count || list.n != count || fnv(id, list.n) != hash)
                fail_msg("%s, line %u: %lld tokens, expected %u", g->names[k], i, (long long)all,
                         count);
        }
    }
    room_close(&r);
}

static void test_cut(void **state)
{
    (void)state;
    int32_t id[6];
    struct room r;
    room_open(&r);
    struct tokens *t = open_file(&r, own_names[0]);
    struct tokens_list list = {id, 6, 0};
    assert_int_equal(tokens_frame(t), 2);
    assert_string_equal(tokens_kind(t), "WordPiece");
    int64_t all =
        tokens_encode(t, r.scratch, str_of("the the the the the the"), false, &list, &r.e);
    assert_int_equal(all, 8);
    assert_int_equal(list.n, 6);
    assert_int_equal(id[0], 2);
    assert_int_equal(id[5], 3); /* [SEP] is never cut off */
    list = (struct tokens_list){id, 6, 0};
    assert_int_equal(tokens_encode(t, r.scratch, str_of("[SEP]"), false, &list, &r.e), 3);
    list = (struct tokens_list){id, 6, 0};
    assert_true(tokens_encode(t, r.scratch, str_of("[SEP]"), true, &list, &r.e) > 3);
    list = (struct tokens_list){id, 6, 0};
    assert_int_equal(tokens_encode(t, r.scratch, str_of("a\xff"), false, &list, &r.e), -1);
    assert_int_equal(r.e.code, E_INPUT);
    /* half of a surrogate pair, which tools/golden/tokens.py sees the tokenizers package refuse */
    list = (struct tokens_list){id, 6, 0};
    assert_int_equal(tokens_encode(t, r.scratch, str_of("a \xed\xa0\x80 b"), false, &list, &r.e),
                     -1);
    assert_int_equal(r.e.code, E_INPUT);
    room_close(&r);
}

/* Hostile lines, two at a time with a seam between them: the tokens of both parts are those of all.
 */
static void test_head(void **state)
{
    const struct golden *g = *state;
    enum { most = 1 << 16 };
    static int32_t whole[most], parts[2 * most];
    struct room r;
    struct str file, line[2] = {{0}};
    int seams = 0;
    room_open(&r);
    if (file_read(r.a, g->path, 1 << 28, &file, &r.e)) fail_msg("%s", r.e.text);
    for (size_t k = 0; k < g->n; k++) {
        const struct tokens *t = open_file(&r, g->names[k]);
        size_t frame = tokens_frame(t), after = frame / 2; /* one before, one after */
        const char *p = file.p + 8;
        uint32_t n_lines, bytes;
        memcpy(&n_lines, file.p + 4, 4);
        for (uint32_t i = 0; i < n_lines; i++, p += 12 * g->n) {
            memcpy(&bytes, p, 4);
            line[i % 2] = (struct str){p + 4, bytes};
            p += 4 + bytes;
            if (i % 2 == 0 || line[0].n + line[1].n > most / 2) continue;
            char *join = arena_format(r.scratch, &r.e, "%.*sa b%.*s", (int)line[0].n, line[0].p,
                                      (int)line[1].n, line[1].p);
            assert_non_null(join);
            struct str all = {join, line[0].n + 3 + line[1].n};
            if (strlen(join) != all.n) continue; /* a NUL in it */
            struct str head = tokens_head(t, all, line[0].n + 1);
            assert_true(head.n < all.n && head.n > 0 && head.p == all.p);
            struct tokens_list w = {whole, most, 0}, x = {parts, most, 0},
                               y = {parts + most, most, 0};
            assert_true(tokens_encode(t, r.scratch, all, false, &w, &r.e) >= 0);
            assert_true(tokens_encode(t, r.scratch, head, false, &x, &r.e) >= 0);
            struct str rest = {all.p + head.n, all.n - head.n};
            assert_true(tokens_encode(t, r.scratch, rest, false, &y, &r.e) >= 0);
            assert_int_equal(w.n, x.n + y.n - frame);
            assert_memory_equal(whole, parts, (x.n - after) * sizeof *whole);
            assert_memory_equal(whole + x.n - after, parts + most + frame - after,
                                (y.n - frame + after) * sizeof *whole);
            seams++;
        }
    }
    assert_true(seams > 1000);
    struct str none = str_of("no_seam_but 1 here , ");
    const struct tokens *t = open_file(&r, g->names[0]);
    assert_int_equal(tokens_head(t, none, 4).n, none.n);
    assert_int_equal(tokens_head(t, str_of("ab cd ef"), 5).n, 2);
    assert_int_equal(tokens_head(t, str_of("ab cd ef"), 1).n, 2);
    assert_int_equal(tokens_head(t, str_of("ab cd ef"), 6).n, 5);
    room_close(&r);
}

static void test_vocab(void **state)
{
    (void)state;
    static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##able\ncaf\n##e\n!\n";
    static const int32_t want[] = {2, 5, 6, 7, 8, 9, 1, 4, 3};
    int32_t id[16];
    struct room r;
    struct tokens *t;
    struct tokens_list list = {id, COUNT(id), 0};
    room_open(&r);
    assert_int_equal(tokens_open(r.a, str_of(""), str_of(vocab), true, &t, &r.e), 0);
    assert_int_equal(tokens_most(t), 10);
    assert_int_equal(
        tokens_encode(t, r.scratch, str_of("UNable caf\xc3\xa9! zz[MASK]"), false, &list, &r.e),
        COUNT(want));
    assert_memory_equal(id, want, sizeof want);
    room_close(&r);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"", "neither tokenizer.json nor vocab.txt"},
        {"{", "JSON"},
        {"{}", "model has no type"},
        {"{\"model\":{\"type\":\"Other\"}}", "\"Other\""},
        {"{\"normalizer\":{\"type\":\"Nmt\"},\"model\":{}}", "normalizer \"Nmt\""},
        {"{\"pre_tokenizer\":{\"type\":\"Digits\"},\"model\":{}}", "pre_tokenizer \"Digits\""},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{}}}", "empty"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":-1}}}", "no id"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", "no token \"[UNK]\""},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "no piece with a score"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":3,\"vocab\":[[\"a\",0]]}}", "beyond"},
        {"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":5},\"merges\":[]}}", "ids up to 5"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}}", "trie"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"!\"}}", "base64"},
    };
    struct room r;
    struct tokens *t;
    room_open(&r);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(tokens_open(r.a, str_of(cases[i].json), str_of(""), true, &t, &r.e), -1);
        assert_int_equal(r.e.code, E_MODEL);
        if (!strstr(r.e.text, cases[i].says)) fail_msg("%s: %s", cases[i].json, r.e.text);
    }
    room_close(&r);
}

int main(int argc, char **argv)
{
    struct golden own = {"tests/golden/tokens.bin", own_names, COUNT(own_names)},
                  given = {argv[1], (const char *const *)argv + 2, (size_t)MAX(argc - 2, 0)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_golden, argc > 2 ? &given : &own),
        cmocka_unit_test_prestate(test_head, &own),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_vocab),
        cmocka_unit_test(test_refused),
    };
    if (argc > 2) return _cmocka_run_group_tests("given", tests, 1, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
