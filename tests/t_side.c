/* What sentence-transformers lays beside an encoder: read from beside a weight file, or from inside
 * one that `lode convert` wrote, and then nothing beside it. */
#include "load/load.h"
#include "load/save_safetensors.h"
#include "unit.h"

enum { MOST = 1 << 20 }; /* bytes of a file of settings */

struct world {
    char folder[200], path[260];
    struct arena *a;
    struct load_weights w;
    struct err e;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    unit_folder(w->folder, sizeof w->folder);
    snprintf(w->path, sizeof w->path, "%s/model.safetensors", w->folder);
    *state = w;
    return arena_open("test", 0, &w->a, &w->e);
}

static int teardown(void **state)
{
    struct world *w = *state;
    load_close(&w->w);
    arena_close(&w->a);
    unit_remove(w->folder);
    free(w);
    return 0;
}

static void put_text(struct world *w, const char *name, const char *text)
{
    unit_write(w->folder, name, text, strlen(text));
}

/* A model of one number with these notes. */
static int open_noted(struct world *w, const struct save_safetensors_note *note, size_t n)
{
    static const float one = 1;
    struct save_safetensors_tensor t = {.name = "x", .type = DTYPE_F32, .rank = 1, .dim = {1}};
    struct save_safetensors s;
    load_close(&w->w);
    assert_int_equal(save_safetensors_begin(w->a, w->path, &t, 1, note, n, &s, &w->e), 0);
    assert_int_equal(save_safetensors_put(&s, &one, sizeof one, &w->e), 0);
    assert_int_equal(save_safetensors_end(&s, &w->e), 0);
    return load_open(w->a, w->path, &w->w, &w->e);
}

static void side_is(struct world *w, enum load_side side, const char *want)
{
    struct str text;
    assert_int_equal(load_side(w->a, &w->w, side, &text, &w->e), 0);
    if (!str_eq(text, want)) fail_msg("%s is \"%.*s\"", want, (int)text.n, text.n ? text.p : "");
}

static void put_all(struct world *w)
{
    put_text(w, "vocab.txt", "[PAD]\n");
    put_text(w, "vocabulary.txt", "a\n");
    put_text(w, "modules.json", "[]");
    put_text(w, "sentence_bert_config.json", "{\"max_seq_length\":9}");
}

static void beside(void **state)
{
    struct world *w = *state;
    put_all(w);
    assert_int_equal(open_noted(w, NULL, 0), 0);
    side_is(w, LOAD_MODULES, "[]");
    side_is(w, LOAD_LIMIT, "{\"max_seq_length\":9}");
    side_is(w, LOAD_POOLING, "");
    assert_int_equal(w->w.wordpieces.n, 0); /* only on request */
    assert_int_equal(load_tokenizer(w->a, &w->w, &w->e), 0);
    assert_true(str_eq(w->w.wordpieces, "[PAD]\n"));
    assert_true(str_eq(w->w.vocabulary, "a\n"));
}

static void inside(void **state)
{
    struct world *w = *state;
    const struct save_safetensors_note note[] = {{"lode.config", str_of("{}")},
                                                 {"lode.pooling", str_of("{ }")}};
    put_all(w);
    assert_int_equal(open_noted(w, note, COUNT(note)), 0);
    side_is(w, LOAD_POOLING, "{ }");
    side_is(w, LOAD_MODULES, "");
    side_is(w, LOAD_LIMIT, "");
    assert_int_equal(load_tokenizer(w->a, &w->w, &w->e), 0);
    assert_int_equal(w->w.wordpieces.n + w->w.vocabulary.n, 0);
}

static void too_large(void **state)
{
    struct world *w = *state;
    char *text = ARENA_NEW(w->a, char, MOST + 1, &w->e);
    struct str out;
    memset(text, ' ', MOST + 1);
    unit_write(w->folder, "modules.json", text, MOST + 1);
    assert_int_equal(open_noted(w, NULL, 0), 0);
    assert_int_equal(load_side(w->a, &w->w, LOAD_MODULES, &out, &w->e), -1);
    assert_int_equal(w->e.code, E_MODEL);
    assert_non_null(strstr(w->e.text, "modules.json: 1048577 bytes, at most 1048576"));
    const struct save_safetensors_note note = {"lode.limit", {text, MOST + 1}};
    assert_int_equal(open_noted(w, &note, 1), -1);
    assert_non_null(strstr(w->e.text, "lode.limit of 1048577 bytes, at most 1048576"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(beside), TEST(inside), TEST(too_large)};
    return cmocka_run_group_tests_name("side", tests, NULL, NULL);
}
