/* lode convert on a model of four tensors and an alias, whose int8 form was worked out by hand. */
#include "base/fault.h"
#include "jobs/jobs.h"
#include "load/load.h"
#include "load/save_safetensors.h"
#include "unit.h"

#include <math.h>

/* Row 0: scale 127/4, 4 -> 127, -1 -> -31.75 -> -32, 0.5 -> 15.875 -> 16. Row 1 is zeros. Row 2:
 * scale 1, so that 2.5 and 3.5 are ties, which go to the even 2 and 4. */
static const float matrix[9] = {4, -1, 0.5f, 0, 0, 0, -127, 2.5f, 3.5f};
static const int8_t matrix_int8[9] = {127, -32, 16, 0, 0, 0, -127, 2, 4};
static const float matrix_scale[3] = {31.75f, 1, 1};
static const uint16_t conv[2] = {0x3c00, 0xc000}; /* 1, -2 */
static const float bias[2] = {0.1f, -3};
static const int16_t heads = 6;

struct world {
    char folder[200], from[260], to[260], again[260], said[600];
    struct arena *a;
    struct err e;
    bool cancel;
};

static int take_text(void *ctx, const char *p, size_t n, struct err *e)
{
    struct world *w = ctx;
    (void)e;
    snprintf(w->said, sizeof w->said, "%.*s", (int)n, p);
    return 0;
}

static bool is_cancelled(void *ctx)
{
    return ((struct world *)ctx)->cancel;
}

static int convert(struct world *w, const char *from, const char *type, const char *to)
{
    _Alignas(16) char opts[64];
    char type_flag[] = "--compute-type", to_flag[] = "-o";
    char *argv[] = {type_flag, (char *)(uintptr_t)type, to_flag, (char *)(uintptr_t)to,
                    (char *)(uintptr_t)from};
    const struct lode_job *job = &job_convert_row;
    const struct lode_host host = {.ctx = w, .text = take_text, .cancelled = is_cancelled};
    struct opt_list inputs;
    assert_true(job->opts_bytes <= sizeof opts);
    err_clear(&w->e);
    opt_defaults(job->rows, job->n_rows, opts);
    assert_int_equal(
        opt_parse(w->a, job->rows, job->n_rows, to ? 5 : 2, argv, opts, &inputs, &w->e), 0);
    if (!to) inputs = (struct opt_list){.words = (const char *[]){from}, .n = 1};
    return job->run(opts, &inputs, &host, &w->e);
}

static void write_model(struct world *w, const float *weights)
{
    struct save_safetensors_tensor t[] = {
        {.name = "a/weight", .type = DTYPE_F32, .rank = 2, .dim = {3, 3}, .id = 0},
        {.name = "conv/weight", .type = DTYPE_F16, .rank = 3, .dim = {1, 1, 2}, .id = 1},
        {.name = "a/bias", .type = DTYPE_F32, .rank = 1, .dim = {2}, .id = 2},
        {.name = "heads", .type = DTYPE_I16, .rank = 0, .id = 3},
    };
    const void *data[] = {weights, conv, bias, &heads};
    const size_t bytes[] = {sizeof matrix, sizeof conv, sizeof bias, sizeof heads};
    const struct save_safetensors_note note[] = {{"lode.aliases", str_of("b/weight\ta/weight\n")}};
    struct save_safetensors s;
    assert_int_equal(save_safetensors_begin(w->a, w->from, t, COUNT(t), note, 1, &s, &w->e), 0);
    for (size_t i = 0; i < COUNT(t); i++)
        assert_int_equal(save_safetensors_put(&s, data[t[i].id], bytes[t[i].id], &w->e), 0);
    assert_int_equal(save_safetensors_end(&s, &w->e), 0);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    unit_folder(w->folder, sizeof w->folder);
    snprintf(w->from, sizeof w->from, "%s/from.safetensors", w->folder);
    snprintf(w->to, sizeof w->to, "%s/to.safetensors", w->folder);
    snprintf(w->again, sizeof w->again, "%s/again.safetensors", w->folder);
    if (arena_open("test", 0, &w->a, &w->e) != 0) return -1;
    unit_write(w->folder, "config.json", "{\"k\":1}", 7);
    unit_write(w->folder, "vocabulary.txt", "a\nb\n", 4);
    unit_write(w->folder, "tokenizer.json", "{}", 2);
    write_model(w, matrix);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    arena_close(&w->a);
    unit_remove(w->folder);
    free(w);
    return 0;
}

static const struct load_tensor *get(const struct load_weights *m, const char *name,
                                     enum dtype type, int rank)
{
    const struct load_tensor *t = load_find(m, name);
    assert_non_null(t);
    assert_int_equal(t->t.type, type);
    assert_int_equal(t->t.rank, rank);
    return t;
}

/* What every conversion keeps: companions, the alias, numbers that are no weights. */
static void check_kept(struct world *w, struct load_weights *m)
{
    assert_int_equal(load_tokenizer(w->a, m, &w->e), 0);
    assert_true(str_eq(m->config, "{\"k\":1}"));
    assert_true(str_eq(m->vocabulary, "a\nb\n"));
    assert_true(str_eq(m->tokenizer, "{}"));
    assert_int_equal(m->n, 5);
    assert_ptr_equal(load_find(m, "b/weight")->t.data, load_find(m, "a/weight")->t.data);
    assert_memory_equal(get(m, "heads", DTYPE_I16, 0)->t.data, &heads, 2);
}

static void open_alone(struct world *w, const char *path, struct load_weights *m)
{
    if (load_open(w->a, path, m, &w->e) != 0) fail_msg("%s", w->e.text);
}

static void test_int8(void **state)
{
    struct world *w = *state;
    struct load_weights m;
    if (convert(w, w->from, "int8", w->to) != 0) fail_msg("%s", w->e.text);
    assert_non_null(strstr(w->said, "to.safetensors: 0.0 MB -> 0.0 MB ("));
    open_alone(w, w->to, &m);
    check_kept(w, &m);
    const struct load_tensor *t = get(&m, "a/weight", DTYPE_I8, 2);
    assert_memory_equal(t->t.data, matrix_int8, sizeof matrix_int8);
    for (int r = 0; r < 3; r++) assert_true(t->t.scale[r] == 1 / matrix_scale[r]);
    assert_memory_equal(get(&m, "conv/weight", DTYPE_F16, 3)->t.data, conv, sizeof conv);
    assert_memory_equal(get(&m, "a/bias", DTYPE_F32, 1)->t.data, bias, sizeof bias);
    load_close(&m);

    struct load_weights again; /* int8 to int8 changes no weight; int8 to float32 is q * scale */
    assert_int_equal(convert(w, w->to, "int8", w->again), 0);
    open_alone(w, w->again, &again);
    check_kept(w, &again);
    t = get(&again, "b/weight", DTYPE_I8, 2);
    assert_memory_equal(t->t.data, matrix_int8, sizeof matrix_int8);
    for (int r = 0; r < 3; r++) assert_true(t->t.scale[r] == 1 / matrix_scale[r]);
    load_close(&again);
    assert_int_equal(convert(w, w->to, "float32", w->again), 0);
    open_alone(w, w->again, &again);
    float row[3];
    tensor_row(&get(&again, "a/weight", DTYPE_F32, 2)->t, 0, row);
    for (int i = 0; i < 3; i++) assert_true(row[i] == (float)matrix_int8[i] * (1 / 31.75f));
    load_close(&again);
}

static void test_floats(void **state)
{
    struct world *w = *state;
    struct load_weights m;
    assert_int_equal(convert(w, w->from, "float16", w->to), 0);
    open_alone(w, w->to, &m);
    check_kept(w, &m);
    const struct load_tensor *t = get(&m, "a/weight", DTYPE_F16, 2);
    uint16_t half[9];
    memcpy(half, t->t.data, sizeof half);
    for (int i = 0; i < 9; i++) assert_true(tensor_f16_to_f32(half[i]) == matrix[i]);
    get(&m, "a/bias", DTYPE_F16, 1);
    load_close(&m);

    assert_int_equal(convert(w, w->to, "float32", w->again), 0);
    open_alone(w, w->again, &m);
    check_kept(w, &m);
    assert_memory_equal(get(&m, "a/weight", DTYPE_F32, 2)->t.data, matrix, sizeof matrix);
    float wide[2];
    memcpy(wide, get(&m, "conv/weight", DTYPE_F32, 3)->t.data, sizeof wide);
    assert_true(wide[0] == 1 && wide[1] == -2);
    load_close(&m);

    /* onto itself: the file is replaced when the new one is complete */
    assert_int_equal(convert(w, w->again, "float16", w->again), 0);
    struct str one, two;
    assert_int_equal(file_read(w->a, w->again, 65536, &one, &w->e), 0);
    assert_int_equal(file_read(w->a, w->to, 65536, &two, &w->e), 0);
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.p, two.p, one.n);
}

/* An encoder of texts keeps what sentence-transformers lays beside it, and of what lies beside the
 * new file nothing is read. */
static void test_encoder(void **state)
{
    static const char *const text[LOAD_SIDES] = {
        [LOAD_MODULES] = "[{\"type\": \"models.Pooling\"}]",
        [LOAD_POOLING] = "{\"pooling_mode_cls_token\": true}",
        [LOAD_LIMIT] = "{\"max_seq_length\": 16}",
        [LOAD_CASE] = "{\"do_lower_case\": false}",
    };
    static const char bert[] = "{\"model_type\": \"bert\"}", words[] = "[PAD]\n[UNK]\n";
    struct world *w = *state;
    struct load_weights m;
    struct str side;
    char pooling[260];
    snprintf(pooling, sizeof pooling, "%s/1_Pooling", w->folder);
    assert_int_equal(file_make_folders(pooling, &w->e), 0);
    for (size_t i = 0; i < LOAD_SIDES; i++)
        unit_write(w->folder, load_sides[i].file, text[i], strlen(text[i]));
    unit_write(w->folder, "vocab.txt", words, sizeof words - 1);

    assert_int_equal(convert(w, w->from, "float16", w->to), 0); /* {"k":1} encodes no texts */
    open_alone(w, w->to, &m);
    check_kept(w, &m);
    for (size_t i = 0; i < LOAD_SIDES; i++) {
        assert_int_equal(load_side(w->a, &m, (enum load_side)i, &side, &w->e), 0);
        assert_int_equal(side.n, 0);
    }
    assert_int_equal(m.wordpieces.n, 0);
    load_close(&m);

    unit_write(w->folder, "config.json", bert, sizeof bert - 1);
    snprintf(pooling, sizeof pooling, "%s/tokenizer.json", w->folder);
    assert_int_equal(remove(pooling), 0);
    assert_int_equal(convert(w, w->from, "float16", w->to), 0);
    for (size_t i = 0; i < LOAD_SIDES; i++) unit_write(w->folder, load_sides[i].file, "{}", 2);
    unit_write(w->folder, "tokenizer.json", "{}", 2);
    unit_write(w->folder, "vocab.txt", "another\n", 8);
    unit_write(w->folder, "config.json", "{}", 2);
    assert_int_equal(convert(w, w->to, "float32", w->again), 0);
    for (int again = 0; again < 2; again++) {
        open_alone(w, again ? w->again : w->to, &m);
        assert_int_equal(load_tokenizer(w->a, &m, &w->e), 0);
        assert_true(str_eq(m.config, bert));
        assert_true(str_eq(m.wordpieces, words));
        assert_int_equal(m.tokenizer.n, 0);
        for (size_t i = 0; i < LOAD_SIDES; i++) {
            assert_int_equal(load_side(w->a, &m, (enum load_side)i, &side, &w->e), 0);
            assert_true(str_eq(side, text[i]));
        }
        load_close(&m);
    }
}

static void refused(struct world *w, const char *type, enum err_code code, const char *because)
{
    assert_int_equal(convert(w, w->from, type, w->to), -1);
    if (w->e.code != code || !strstr(w->e.text, because)) fail_msg("\"%s\"", w->e.text);
    char **names;
    size_t n;
    assert_int_equal(file_list(w->a, w->folder, &names, &n, &w->e), 0);
    assert_int_equal(n, 4); /* nothing is left of the attempt */
}

static void test_refusals(void **state)
{
    struct world *w = *state;
    float bad[9];
    memcpy(bad, matrix, sizeof bad);
    bad[7] = NAN;
    write_model(w, bad);
    refused(w, "int8", E_MODEL, "tensor a/weight, row 2: a weight is not a number");
    bad[7] = 70000;
    write_model(w, bad);
    refused(w, "float16", E_MODEL, "tensor a/weight: the weight 70000 does not fit into float16");
    w->cancel = true;
    refused(w, "int8", E_CANCELLED, "stopped");
    w->cancel = false;
    assert_int_equal(convert(w, w->from, "int8", NULL), -1);
    assert_int_equal(w->e.code, E_USAGE);

    struct save_safetensors_tensor t[] = {
        /* the name the scale would need */
        {.name = "a/weight", .type = DTYPE_F32, .rank = 2, .dim = {1, 1}},
        {.name = "a/weight_scale", .type = DTYPE_F32, .rank = 1, .dim = {1}},
    };
    struct save_safetensors s;
    assert_int_equal(save_safetensors_begin(w->a, w->from, t, 2, NULL, 0, &s, &w->e), 0);
    assert_int_equal(save_safetensors_put(&s, matrix, 8, &w->e), 0);
    assert_int_equal(save_safetensors_end(&s, &w->e), 0);
    refused(w, "int8", E_MODEL, "a/weight_scale is taken");
}

static void test_faults(void **state)
{
    static const char *const kinds[] = {"write", "open", "map", "alloc"};
    struct world *w = *state;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        int failed = 0;
        for (;; failed++) {
            char spec[32];
            assert_true(failed < 500);
            snprintf(spec, sizeof spec, "%s:%d", kinds[k], failed + 1);
            assert_int_equal(fault_arm(spec), 0);
            int result = convert(w, w->from, "int8", w->to);
            fault_arm(NULL);
            if (result == 0) break;
            assert_true(w->e.code == E_IO || w->e.code == E_NOMEM);
            assert_int_equal(file_kind(w->to), FILE_NONE);
        }
        assert_true(failed >= 1);
        assert_int_equal(remove(w->to), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        ROW(test_int8), ROW(test_floats), ROW(test_encoder), ROW(test_refusals), ROW(test_faults),
    };
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
