/* Tokens <-> text: a small vocabulary made here, and tiny.en's where the cache has it. */
#include "base/file.h"
#include "text/bpe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The small vocabulary: ids 0..255 are the bytes of that value, then these. */
static const char *const MORE[] = {"ab",       "abc", "cd", "aa", "aaaa", "Ġa", "", "<|endoftext|>",
                                   "<|0.00|>", "sa",  "©a", "ła", "²a"};
enum { AB = 256, ABC, CD, AA, AAAA, SPACE_A, EMPTY, END, TIME, SA, A9_A, A0_A, B2_A, N_SMALL };

static const char MERGES[] = "{\"model\":{\"merges\":[\"a b\",[\"ab\",\"c\"],\"c d\",\"a a\",\"aa "
                             "aa\",\"Ġ a\",\"s a\",\"© a\","
                             "\"ł a\",\"² a\"]},"
                             "\"added_tokens\":[{\"id\":263,\"content\":\"<|endoftext|>\"},"
                             "{\"id\":999,\"content\":\"<|unknown|>\"}]}";

/* spell: GPT-2's character of a byte, by its definition: printable ones are themselves, the others
 * are counted from 256. */
static int spell(int byte, char out[4])
{
    uint32_t others = 256;
    for (int i = 0;; i++) {
        bool printable = (i >= '!' && i <= '~') || (i >= 0xA1 && i <= 0xAC) || i >= 0xAE;
        uint32_t cp = printable ? (uint32_t)i : others++;
        if (i == byte) return str_utf8_put(cp, out);
    }
}

enum form { LINES, LINES_CRLF, ARRAY, OBJECT };

static struct str small_vocabulary(enum form form, char *memory, size_t cap)
{
    struct strbuf b;
    strbuf_init(&b, memory, cap);
    if (form >= ARRAY) strbuf_text(&b, form == ARRAY ? "[" : "{");
    for (int k = 0; k < N_SMALL; k++) {
        int i = form == OBJECT ? N_SMALL - 1 - k : k; /* any order will do */
        char spelling[32] = {0};
        if (i < 256) {
            spelling[spell(i, spelling)] = 0;
        } else {
            snprintf(spelling, sizeof(spelling), "%s", MORE[i - 256]);
        }
        if (form < ARRAY) {
            strbuf_format(&b, "%s%s", spelling, form == LINES ? "\n" : "\r\n");
            continue;
        }
        bool escape = spelling[0] == '"' || spelling[0] == '\\';
        strbuf_format(&b, "%s\"%s%s\"", k > 0 ? "," : "", escape ? "\\" : "", spelling);
        if (form == OBJECT) strbuf_format(&b, ":%d", i);
    }
    if (form >= ARRAY) strbuf_text(&b, form == ARRAY ? "]" : "}");
    assert_false(b.cut);
    return (struct str){b.p, b.n};
}

struct fixture {
    struct arena *a;
    struct bpe *b;
    struct err e;
};

static int set_up(void **state)
{
    static struct fixture f;
    static char memory[8192];
    memset(&f, 0, sizeof(f));
    assert_int_equal(arena_open("test", 0, &f.a, &f.e), 0);
    assert_int_equal(
        bpe_open(f.a, small_vocabulary(LINES, memory, sizeof(memory)), N_SMALL, &f.b, &f.e), 0);
    assert_int_equal(bpe_merges(f.a, f.b, str_of(MERGES), &f.e), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    arena_close(&f->a);
    return 0;
}

/* ---------------------------------------------------------------------- vocabularies -- */

static void all_forms_of_a_vocabulary_are_the_same(void **state)
{
    struct fixture *f = *state;
    for (int form = LINES; form <= OBJECT; form++) {
        char memory[8192];
        struct bpe *b;
        struct str text = small_vocabulary(form, memory, sizeof(memory));
        assert_int_equal(bpe_open(f->a, text, N_SMALL, &b, &f->e), 0);
        memset(memory, 0, sizeof(memory)); /* the text may go away */
        assert_int_equal(bpe_count(b), N_SMALL);
        for (int i = 0; i < 256; i++) {
            struct str s = bpe_bytes(b, i);
            assert_int_equal(s.n, 1);
            assert_int_equal((uint8_t)s.p[0], i);
            assert_int_equal(bpe_find(b, s.p, 1), i);
        }
        assert_true(str_eq(bpe_bytes(b, SPACE_A), " a"));
        assert_true(str_eq(bpe_bytes(b, END), "<|endoftext|>"));
        assert_int_equal(bpe_bytes(b, EMPTY).n, 0);
        assert_int_equal(bpe_find(b, "", 0), EMPTY);
        assert_int_equal(bpe_find(b, "<|0.00|>", 8), TIME);
        assert_int_equal(bpe_find(b, "<|0.02|>", 8), -1);
        assert_null(bpe_bytes(b, -1).p);
        assert_null(bpe_bytes(b, N_SMALL).p);
    }
}

static void wrong_vocabularies_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *says;
        int64_t n;
    } cases[] = {
        {"", "0 bytes", 1},
        {"a\nb\n", "2 lines, the model 3", 3},
        {"a\nb\n", "2 lines, the model 1", 1},
        {"a\nb\n", "0 tokens", 0},
        {"a\nb\n", "-1 tokens", -1},
        {"a\nb\n", "tokens", INT64_MAX},
        {"a\n\xff\xfe\nb\n", "line 2 of the vocabulary is not UTF-8", 3},
        {"a\n\xed\xa0\x80\n", "line 2", 2},
        {"a\nb\xc4", "line 2", 2},
        {"[\"a\",\"b\"", "the vocabulary: JSON", 2},
        {"[\"a\",\"b\"]", "2 entries, the model 3", 3},
        {"[\"a\",5]", "entry 2 of the vocabulary is not a text", 2},
        {"{\"a\":0,\"b\":0}", "entry 2 of the vocabulary has the id 0", 2},
        {"{\"a\":0,\"b\":2}", "entry 2 of the vocabulary has no id from 0 to 1", 2},
        {"{\"a\":0,\"b\":-1}", "entry 2", 2},
        {"{\"a\":0,\"b\":\"1\"}", "entry 2", 2},
        {"{\"a\":0,\"b\":0.5}", "entry 2", 2},
        {"{}", "0 entries", 2},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct bpe *b = NULL;
        err_clear(&f->e);
        assert_int_equal(bpe_open(f->a, str_of(cases[i].text), cases[i].n, &b, &f->e), -1);
        assert_int_equal(f->e.code, E_MODEL);
        if (strstr(f->e.text, cases[i].says) == NULL) fail_msg("%zu: %s", i, f->e.text);
    }
}

static void unusual_lines(void **state)
{
    struct fixture *f = *state;
    struct bpe *b;
    /* Two alike, an empty one, a character outside the alphabet (an added token), no last line
     * end. */
    struct str text = str_of("x\nx\n\nĠ→\nĠy");
    assert_int_equal(bpe_open(f->a, text, 5, &b, &f->e), 0);
    assert_int_equal(bpe_find(b, "x", 1), 0);
    assert_true(str_eq(bpe_bytes(b, 1), "x"));
    assert_int_equal(bpe_find(b, "", 0), 2);
    assert_true(str_eq(bpe_bytes(b, 3), "Ġ→"));
    assert_true(str_eq(bpe_bytes(b, 4), " y"));
}

static void wrong_merges_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "tokenizer.json: JSON"},
        {"{}", "no merges"},
        {"{\"model\":{\"merges\":[]}}", "no merges"},
        {"{\"model\":{\"merges\":{\"a\":1}}}", "no merges"},
        {"{\"model\":{\"merges\":[\"a b\",\"ab\"]}}", "merge 2"},
        {"{\"model\":{\"merges\":[\"a  b\"]}}", "merge 1"},
        {"{\"model\":{\"merges\":[\" b\"]}}", "merge 1"},
        {"{\"model\":{\"merges\":[\"b \"]}}", "merge 1"},
        {"{\"model\":{\"merges\":[\"a d\"]}}", "merge 1"},
        {"{\"model\":{\"merges\":[\"zz z\"]}}", "merge 1"},
        {"{\"model\":{\"merges\":[[\"a\",\"b\",\"c\"]]}}", "merge 1"},
        {"{\"model\":{\"merges\":[[\"a\",1]]}}", "merge 1"},
        {"{\"model\":{\"merges\":[7]}}", "merge 1"},
        {"{\"model\":{\"merges\":[\"a b\"]},\"added_tokens\":"
         "[{\"id\":264,\"content\":\"<|endoftext|>\"}]}",
         "is token 264 in tokenizer.json and 263 in the vocabulary"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        err_clear(&f->e);
        assert_int_equal(bpe_merges(f->a, f->b, str_of(cases[i].text), &f->e), -1);
        assert_int_equal(f->e.code, E_MODEL);
        if (strstr(f->e.text, cases[i].says) == NULL) fail_msg("%zu: %s", i, f->e.text);
    }
    struct bpe *b;
    assert_int_equal(bpe_open(f->a, str_of("a\nb\nab\n"), 3, &b, &f->e), 0);
    assert_int_equal(bpe_merges(f->a, b, str_of("{\"model\":{\"merges\":[\"a b\"]}}"), &f->e), -1);
    assert_non_null(strstr(f->e.text, "no token for the byte 0x00"));
}

/* -------------------------------------------------------------------------- decoding -- */

/* What bytes.decode("utf-8", errors="replace") of Python 3.11 says; ? is U+FFFD. */
static void broken_utf8_is_replaced_as_python_does(void **state)
{
    struct fixture *f = *state;
    static const char *const cases[][2] = {
        {"a\xC3\xA9z", "aéz"},
        {"\x80", "?"},
        {"\xBF\x80", "??"},
        {"\xC0\x80", "??"},
        {"\xC1\xBF", "??"},
        {"\xC2", "?"},
        {"\xC2z", "?z"},
        {"\xC2\xC2\x80z", "?\xC2\x80z"},
        {"\xE0\x80\x80", "???"},
        {"\xE0\xA0", "?"},
        {"\xE0\xA0z", "?z"},
        {"\xE2\x99", "?"},
        {"\xE2\x99\xE2\x99\xAA", "?♪"},
        {"\xED\x9F\xBF", "\xED\x9F\xBF"},
        {"\xED\xA0\x80", "???"},
        {"\xEF\xBF\xBE", "\xEF\xBF\xBE"},
        {"\xF0\x80\x80\x80", "????"},
        {"\xF0\x9F", "?"},
        {"\xF0\x9F\x98", "?"},
        {"\xF0\x9F\x98\x80", "😀"},
        {"\xF0\x9F\x98\xF0\x9F\x98\x80", "?😀"},
        {"\xF0\x9F\x98z", "?z"},
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
        {"\xF4\x90\x80\x80", "????"},
        {"\xF5\x80\x80\x80", "????"},
        {"\xFF\xFE\x41", "??A"},
        {"\xE1\x80\xE2\x80\xF0\x80\x80\x41", "?????A"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int id[16];
        size_t n = strlen(cases[i][0]);
        for (size_t k = 0; k < n; k++) id[k] = (uint8_t)cases[i][0][k];
        char memory[64], want_memory[64];
        struct strbuf got, want;
        strbuf_init(&got, memory, sizeof(memory));
        strbuf_init(&want, want_memory, sizeof(want_memory));
        bpe_text(f->b, id, n, END, &got);
        for (const char *p = cases[i][1]; *p != 0; p++) {
            if (*p == '?') strbuf_text(&want, "\xEF\xBF\xBD");
            if (*p != '?') strbuf_add(&want, p, 1);
        }
        if (strcmp(got.p, want.p) != 0) fail_msg("%zu: %s, not %s", i, got.p, want.p);
    }
}

static void characters_cross_tokens_and_special_ones_are_left_out(void **state)
{
    struct fixture *f = *state;
    const int id[] = {ABC, 0xE2, END, 0x99, TIME, EMPTY, 0xAA, SPACE_A, -1, N_SMALL, 'z'};
    char memory[64];
    struct strbuf out;
    strbuf_init(&out, memory, sizeof(memory));
    strbuf_text(&out, "> ");
    bpe_text(f->b, id, COUNT(id), END, &out);
    assert_string_equal(out.p, "> abc♪ az");
}

static void a_full_buffer_never_cuts_a_character(void **state)
{
    struct fixture *f = *state;
    static const char text[] = "a♪b😀é\xFFz";
    int id[sizeof(text) - 1];
    for (size_t i = 0; i < COUNT(id); i++) id[i] = (uint8_t)text[i];
    char whole[64];
    struct strbuf all;
    strbuf_init(&all, whole, sizeof(whole));
    bpe_text(f->b, id, COUNT(id), END, &all);
    assert_false(all.cut);
    for (size_t cap = 1; cap <= all.n + 1; cap++) {
        char part[64];
        struct strbuf out;
        strbuf_init(&out, part, cap);
        bpe_text(f->b, id, COUNT(id), END, &out);
        assert_true(str_utf8_whole(out.p, out.n));
        assert_memory_equal(out.p, all.p, out.n);
        assert_int_equal(out.cut, cap < all.n + 1);
        assert_true(out.cut || out.n == all.n);
    }
}

/* -------------------------------------------------------------------------- encoding -- */

static void check_encode(struct fixture *f, const char *text, const int *want, size_t n)
{
    int id[64];
    size_t used = arena_used(f->a);
    int64_t got = bpe_encode(f->b, f->a, text, strlen(text), id, COUNT(id), &f->e);
    assert_int_equal(got, n);
    assert_memory_equal(id, want, n * sizeof(int));
    assert_int_equal(arena_used(f->a), used);
}

#define ENCODES(f, text, ...)                             \
    check_encode((f), (text), (const int[]){__VA_ARGS__}, \
                 sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

static void merges_go_by_rank_then_from_the_left(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(bpe_encode(f->b, f->a, "", 0, NULL, 0, &f->e), 0);
    ENCODES(f, "abcd", ABC, 'd'); /* a b before c d, though c d would leave fewer bytes */
    ENCODES(f, "aaab", AA, AB);   /* a b takes the last a */
    ENCODES(f, "aaaaaaa", AAAA, AA, 'a');
    ENCODES(f, "xcdx", 'x', CD, 'x');
    ENCODES(f, " aa", ' ', AA); /* a a has the lower rank than space a */
    ENCODES(f, "a a", 'a', SPACE_A);
    ENCODES(f, "ab'abc", AB, '\'', ABC); /* words are not merged across */
    ENCODES(f, "ab1ab", AB, '1', AB);
    ENCODES(f, "  a", ' ', SPACE_A);
    ENCODES(f, "\n a", '\n', SPACE_A);
    ENCODES(f, "é", 0xC3, 0xA9);
    ENCODES(f, "\xFF\xC3", 0xFF, 0xC3); /* what is no UTF-8 is kept as it is */
    ENCODES(f, "<|0.00|>", '<', '|', '0', '.', '0', '0', '|', '>');
}

/* Tokens that can only come about where two characters are in one word. */
static void words_are_cut_by_unicode_class(void **state)
{
    struct fixture *f = *state;
    ENCODES(f, "sa", SA);
    ENCODES(f, "'sa", '\'', 's', 'a');  /* 's is a word */
    ENCODES(f, "''sa", '\'', '\'', SA); /* but not here */
    ENCODES(f, "'Sa", '\'', 'S', 'a');
    ENCODES(f, "éa", 0xC3, A9_A);
    ENCODES(f,
            "\xC2\xA9"
            "a",
            0xC2, 0xA9, 'a'); /* a sign, a letter */
    ENCODES(f,
            "\xC2\xA0"
            "a",
            0xC2, 0xA0, 'a'); /* a space that is not the space */
    ENCODES(f,
            "\xC3\xA0"
            "a",
            0xC3, A0_A);
    ENCODES(f,
            "\xC2\xB2"
            "a",
            0xC2, 0xB2, 'a'); /* a digit, a letter */
    ENCODES(f,
            "\xC4\xB2"
            "a",
            0xC4, B2_A);
    ENCODES(f,
            "\xB2"
            "a",
            0xB2, 'a'); /* no character, a letter */
}

static void of_two_equal_merges_the_last_counts(void **state)
{
    struct fixture *f = *state;
    const char *json = "{\"model\":{\"merges\":[\"a b\",\"a a\",\"a b\"]}}";
    assert_int_equal(bpe_merges(f->a, f->b, str_of(json), &f->e), 0);
    ENCODES(f, "aab", AA, 'b');
}

static void too_many_tokens_are_an_error(void **state)
{
    struct fixture *f = *state;
    int id[3] = {0, 0, -7};
    assert_int_equal(bpe_encode(f->b, f->a, "xy", 2, id, 2, &f->e), 2);
    assert_int_equal(bpe_encode(f->b, f->a, "xyz", 3, id, 2, &f->e), -1);
    assert_int_equal(f->e.code, E_INPUT);
    assert_int_equal(id[2], -7);
}

static void a_word_of_a_megabyte(void **state)
{
    struct fixture *f = *state;
    enum { N = 1 << 20 };
    char *text = ARENA_NEW(f->a, char, N, &f->e);
    int *id = ARENA_NEW(f->a, int, N, &f->e);
    assert_non_null(text);
    assert_non_null(id);
    memset(text, 'a', N);
    assert_int_equal(bpe_encode(f->b, f->a, text, N, id, N, &f->e), N / 4);
    assert_int_equal(id[0], AAAA);
    assert_int_equal(id[N / 4 - 1], AAAA);
}

static void lack_of_memory_is_an_error(void **state)
{
    (void)state;
    char memory[8192];
    struct str text = small_vocabulary(LINES, memory, sizeof(memory));
    int failures = 0;
    for (size_t limit = 64;; limit += 256) {
        struct err e = {0};
        struct arena *a;
        struct bpe *b;
        assert_int_equal(arena_open("test", limit, &a, &e), 0);
        int id[64];
        int rc = bpe_open(a, text, N_SMALL, &b, &e);
        if (rc == 0) rc = bpe_merges(a, b, str_of(MERGES), &e);
        if (rc == 0) rc = bpe_encode(b, a, "abc", 3, id, 64, &e) == 1 ? 0 : -1;
        if (rc == 0) rc = bpe_non_speech(b, a, id, 64, &e) > 0 ? 0 : -1;
        if (rc != 0) assert_int_equal(e.code, E_NOMEM);
        arena_close(&a);
        if (rc == 0) break;
        failures++;
    }
    assert_true(failures > 10);
}

/* The first tokens of the small vocabulary stand in the order in which they can be learnt: the
 * merges found are those written down. */
static void merges_are_found_by_the_order_of_tokens(void **state)
{
    struct fixture *f = *state;
    char memory[8192];
    struct bpe *b;
    struct str text = small_vocabulary(LINES, memory, sizeof(memory));
    assert_int_equal(bpe_open(f->a, text, N_SMALL, &b, &f->e), 0);
    assert_int_equal(bpe_merges_by_id(f->a, b, EMPTY, &f->e), 0);
    for (int i = 0; i < 5 * 5 * 5 * 5 * 5 * 5; i++) { /* every text of six of these letters */
        char letters[6];
        int got[6], want[6];
        for (int k = 0, left = i; k < 6; k++, left /= 5) letters[k] = "abcd "[left % 5];
        int64_t n = bpe_encode(b, f->a, letters, 6, got, 6, &f->e);
        assert_int_equal(n, bpe_encode(f->b, f->a, letters, 6, want, 6, &f->e));
        assert_memory_equal(got, want, (size_t)n * sizeof(*got));
    }
    /* With abc before ab, three bytes stay three tokens; of two alike the second is one already. */
    static const char *const wrong[] = {"abc\nab\n", "ab\nab\n"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct strbuf out;
        strbuf_init(&out, memory, sizeof(memory));
        for (int byte = 0; byte < 256; byte++) {
            char spelling[8] = {0};
            spelling[spell(byte, spelling)] = 0;
            strbuf_format(&out, "%s\n", spelling);
        }
        strbuf_text(&out, wrong[i]);
        assert_int_equal(bpe_open(f->a, (struct str){out.p, out.n}, 258, &b, &f->e), 0);
        assert_int_equal(bpe_merges_by_id(f->a, b, 258, &f->e), -1);
        assert_int_equal(f->e.code, E_MODEL);
        assert_non_null(strstr(f->e.text, i ? "token 257" : "token 256"));
    }
}

/* --------------------------------------------------------------------------- tiny.en -- */

/* real: tiny.en from the cache, or NULL if it is not there. Its merges are read, or found by the
 * order of its tokens. */
static struct bpe *real(struct fixture *f, bool by_id)
{
    char *folder = file_cache(f->a, "models/tiny.en", &f->e);
    char *vocabulary = folder ? file_join(f->a, folder, "vocabulary.txt", &f->e) : NULL;
    char *tokenizer = folder ? file_join(f->a, folder, "tokenizer.json", &f->e) : NULL;
    if (tokenizer == NULL || file_kind(vocabulary) != FILE_REGULAR) return NULL;
    struct str v, t;
    struct bpe *b;
    assert_int_equal(file_read(f->a, vocabulary, 1 << 22, &v, &f->e), 0);
    assert_int_equal(file_read(f->a, tokenizer, 1 << 23, &t, &f->e), 0);
    assert_int_equal(bpe_open(f->a, v, 51864, &b, &f->e), 0);
    int rc = by_id ? bpe_merges_by_id(f->a, b, 50256, &f->e) : bpe_merges(f->a, b, t, &f->e);
    assert_int_equal(rc, 0);
    return b;
}

static void tiny_en_finds_every_token(void **state)
{
    struct bpe *b = real(*state, false);
    if (b == NULL) skip();
    for (int i = 0; i < bpe_count(b); i++) {
        struct str s = bpe_bytes(b, i);
        assert_int_equal(bpe_find(b, s.p, s.n), i);
    }
    assert_int_equal(bpe_find(b, " ", 1), 220);
    assert_int_equal(bpe_find(b, "<|endoftext|>", 13), 50256);
    assert_int_equal(bpe_find(b, "<|0.00|>", 8), 50363);
    assert_int_equal(bpe_find(b, "<|30.00|>", 9), 51863);
}

/* From faster-whisper tests/test_tokenizer.py, without the special ids from 50257. */
static void not_speech(struct fixture *f, bool by_id)
{
    struct bpe *b = real(f, by_id);
    if (b == NULL) skip();
    // clang-format off
    static const int want[] = {
        1, 2, 7, 8, 9, 10, 14, 25, 26, 27, 28, 29, 31, 58, 59, 60, 61, 62, 63, 90, 91, 92, 93, 357,
        366, 438, 532, 685, 705, 796, 930, 1058, 1220, 1267, 1279, 1303, 1343, 1377, 1391, 1635,
        1782, 1875, 2162, 2361, 2488, 3467, 4008, 4211, 4600, 4808, 5299, 5855, 6329, 7203, 9609,
        9959, 10563, 10786, 11420, 11709, 11907, 13163, 13697, 13700, 14808, 15306, 16410, 16791,
        17992, 19203, 19510, 20724, 22305, 22935, 27007, 30109, 30420, 33409, 34949, 40283, 40493,
        40549, 47282, 49146,
    };
    // clang-format on
    int got[COUNT(want) + 1];
    assert_int_equal(bpe_non_speech(b, f->a, got, COUNT(got), &f->e), COUNT(want));
    assert_memory_equal(got, want, sizeof(want));
    assert_int_equal(bpe_non_speech(b, f->a, got, COUNT(want) - 1, &f->e), -1);
    assert_int_equal(f->e.code, E_INPUT);
}

static void tiny_en_knows_what_is_not_speech(void **state)
{
    not_speech(*state, false);
    not_speech(*state, true);
}

static size_t unhex(struct str hex, char *out)
{
    if (str_eq(hex, "-")) return 0;
    for (size_t i = 0; i < hex.n / 2; i++) {
        unsigned byte = 0;
        assert_int_equal(sscanf(hex.p + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return hex.n / 2;
}

static struct str next_field(struct str *line)
{
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ') n++;
    struct str field = {line->p, n};
    n += n < line->n;
    *line = (struct str){line->p + n, line->n - n};
    return field;
}

static void agrees(struct fixture *f, bool by_id)
{
    struct bpe *b = real(f, by_id);
    if (b == NULL) skip();
    struct str golden;
    assert_int_equal(file_read(f->a, "tests/golden/bpe_tiny_en.txt", 1 << 20, &golden, &f->e), 0);
    int encoded = 0, decoded = 0;
    for (struct str line; str_line(&golden, &line);) {
        struct str whole = line, kind = next_field(&line), hex = next_field(&line);
        static char text[4096], got_text[4096];
        static int id[4096], got[4096];
        size_t bytes = unhex(hex, text), n = 0;
        for (uint64_t v; line.n > 0; id[n++] = (int)v) {
            assert_true(n < COUNT(id) && str_uint(next_field(&line), 51863, &v));
        }
        bool same;
        if (str_eq(kind, "e")) {
            encoded++;
            same = bpe_encode(b, f->a, text, bytes, got, COUNT(got), &f->e) == (int64_t)n &&
                   memcmp(got, id, n * sizeof(int)) == 0;
        } else {
            decoded++;
            struct strbuf out;
            strbuf_init(&out, got_text, sizeof(got_text));
            bpe_text(b, id, n, 50256, &out);
            same = out.n == bytes && memcmp(out.p, text, bytes) == 0;
        }
        if (!same) fail_msg("differs: %.*s", (int)whole.n, whole.p);
    }
    assert_true(encoded > 800 && decoded > 150);
}

static void tiny_en_agrees_with_tokenizers(void **state)
{
    agrees(*state, false);
    agrees(*state, true);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_forms_of_a_vocabulary_are_the_same),
        TEST(wrong_vocabularies_are_refused),
        TEST(unusual_lines),
        TEST(wrong_merges_are_refused),
        TEST(broken_utf8_is_replaced_as_python_does),
        TEST(characters_cross_tokens_and_special_ones_are_left_out),
        TEST(a_full_buffer_never_cuts_a_character),
        TEST(merges_go_by_rank_then_from_the_left),
        TEST(words_are_cut_by_unicode_class),
        TEST(of_two_equal_merges_the_last_counts),
        TEST(too_many_tokens_are_an_error),
        TEST(a_word_of_a_megabyte),
        TEST(lack_of_memory_is_an_error),
        TEST(merges_are_found_by_the_order_of_tokens),
        TEST(tiny_en_finds_every_token),
        TEST(tiny_en_knows_what_is_not_speech),
        TEST(tiny_en_agrees_with_tokenizers),
    };
    return cmocka_run_group_tests_name("bpe", tests, NULL, NULL);
}
