/* The readers of weights: files made here field by field, good ones and hostile ones; the writer;
 * and the models of the tests/golden folder, which other libraries wrote. */
#include "base/fault.h"
#include "load/load.h"
#include "load/save_safetensors.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct blob { /* a file being made */
    uint8_t p[65536];
    size_t n;
    size_t field[400]; /* where each number begins, and its width: for the hostile variants */
    uint8_t width[400];
    size_t fields;
};

struct world {
    char folder[64], path[96];
    struct arena *a;
    struct blob b;
    struct load_weights w;
    struct err e;
};

static void put(struct blob *b, const void *p, size_t n)
{
    assert_true(b->n + n <= sizeof b->p);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void number(struct blob *b, uint64_t v, int width)
{
    assert_true(b->fields < 400);
    b->field[b->fields] = b->n;
    b->width[b->fields++] = (uint8_t)width;
    for (int i = 0; i < width; i++) put(b, &(uint8_t){(uint8_t)(v >> 8 * i)}, 1);
}

static void name(struct blob *b, const char *s)
{
    number(b, strlen(s) + 1, 2);
    put(b, s, strlen(s) + 1);
}

/* One variable; version decides the form of its type. type: CTranslate2's number. */
static void variable(struct blob *b, int version, const char *s, int type, int rank,
                     const uint32_t *dim, const void *p, size_t bytes)
{
    static const uint8_t item[] = {4, 1, 2, 4, 2, 2};
    name(b, s);
    number(b, (uint64_t)rank, 1);
    for (int i = 0; i < rank; i++) number(b, dim[i], 4);
    number(b, version >= 4 ? (uint64_t)type : item[type], 1);
    number(b, version >= 4 ? bytes : bytes / item[type], 4);
    put(b, p, bytes);
}

static const float weight[6] = {0.5f, -1.25f, 2, 4, -8, 0.0625f};

/* A model with every type, an int8 matrix with its scale and, from version 3, an alias of it. */
static void make_ct2(struct blob *b, int version)
{
    static const uint32_t d23[] = {2, 3}, d2[] = {2}, d5[] = {5};
    static const float scale[2] = {4, 0.5f};
    static const int8_t q[6] = {1, 2, 3, -4, -127, 127};
    static const int16_t i16[5] = {1, -2, 300, -32768, 32767};
    static const int32_t i32[2] = {-5, 1 << 30};
    uint16_t f16[6], bf16[6];
    for (int i = 0; i < 6; i++) {
        uint32_t bits;
        memcpy(&bits, &weight[i], 4);
        bf16[i] = (uint16_t)(bits >> 16);
        f16[i] = tensor_f32_to_f16(weight[i]);
    }
    b->n = b->fields = 0;
    number(b, (uint64_t)version, 4);
    name(b, "TestSpec");
    number(b, 3, 4);
    number(b, version >= 4 ? 8 : 5, 4);
    variable(b, version, "a/f32", 0, 2, d23, weight, 24);
    variable(b, version, "b/weight", 1, 2, d23, q, 6);
    variable(b, version, "b/weight_scale", 0, 1, d2, scale, 8);
    variable(b, version, "c/i16", 2, 1, d5, i16, 10);
    variable(b, version, "heads", 2, 0, NULL, i16 + 2, 2);
    if (version >= 4) {
        variable(b, version, "d/i32", 3, 1, d2, i32, 8);
        variable(b, version, "e/f16", 4, 2, d23, f16, 12);
        variable(b, version, "f/bf16", 5, 2, d23, bf16, 12);
    }
    if (version < 3) return;
    number(b, 3, 4);
    name(b, "z/weight");
    name(b, "b/weight");
    name(b, "z/weight_scale");
    name(b, "b/weight_scale");
    name(b, "y/weight"); /* an alias of an alias */
    name(b, "z/weight");
}

static int open_bytes(struct world *w, const void *p, size_t n)
{
    FILE *f = fopen(w->path, "wb");
    assert_non_null(f);
    assert_true(n == 0 || fwrite(p, n, 1, f) == 1);
    assert_int_equal(fclose(f), 0);
    arena_reset(w->a);
    err_clear(&w->e);
    return load_open(w->a, w->path, &w->w, &w->e);
}

static void refused(struct world *w, const void *p, size_t n, const char *because)
{
    assert_int_equal(open_bytes(w, p, n), -1);
    assert_int_equal(w->e.code, E_MODEL);
    if (!strstr(w->e.text, because)) fail_msg("\"%s\" lacks \"%s\"", w->e.text, because);
    if (!strstr(w->e.text, "/weights")) fail_msg("\"%s\" does not name the file", w->e.text);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    const char *tmp = getenv("TMPDIR");
    snprintf(w->folder, sizeof w->folder, "%.40s/lode-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(w->folder)) return -1;
    snprintf(w->path, sizeof w->path, "%s/weights", w->folder);
    *state = w;
    return arena_open("test", 0, &w->a, &w->e);
}

static int teardown(void **state)
{
    struct world *w = *state;
    arena_close(&w->a);
    int result = file_remove_tree(w->folder, &w->e);
    free(w);
    return result;
}

static void row_is(const struct world *w, const char *tensor, int64_t row, const float *want)
{
    const struct load_tensor *t = load_find(&w->w, tensor);
    float got[3];
    assert_non_null(t);
    tensor_row(&t->t, row, got);
    for (int i = 0; i < 3; i++) assert_true(got[i] == want[i]);
}

static void check_types(const struct world *w, int version)
{
    const struct load_tensor *t = load_find(&w->w, "a/f32");
    assert_non_null(t);
    assert_int_equal(t->t.rank, 2);
    assert_int_equal(t->t.dim[0], 2);
    assert_int_equal(t->t.dim[1], 3);
    assert_int_equal(t->bytes, 24);
    assert_ptr_equal(t->t.data, w->w.map.data + t->offset);
    row_is(w, "a/f32", 0, weight);
    row_is(w, "a/f32", 1, weight + 3);
    /* the stored scale divides: 4 and 0.5 */
    row_is(w, "b/weight", 0, (const float[]){0.25f, 0.5f, 0.75f});
    row_is(w, "b/weight", 1, (const float[]){-8, -254, 254});
    assert_null(load_find(&w->w, "b/weight_scale"));
    t = load_find(&w->w, "heads");
    assert_non_null(t);
    int16_t heads;
    memcpy(&heads, t->t.data, 2);
    assert_int_equal(t->t.rank, 0);
    assert_int_equal(t->t.type, DTYPE_I16);
    assert_int_equal(heads, 300);
    if (version >= 4) {
        row_is(w, "e/f16", 1, weight + 3);
        row_is(w, "f/bf16", 1, weight + 3);
        float first;
        tensor_row(&load_find(&w->w, "d/i32")->t, 0, &first);
        assert_true(first == -5);
    }
    if (version >= 3) {
        row_is(w, "z/weight", 1, (const float[]){-8, -254, 254});
        row_is(w, "y/weight", 0, (const float[]){0.25f, 0.5f, 0.75f});
        assert_null(load_find(&w->w, "z/weight_scale"));
    }
}

static void test_ct2(void **state)
{
    static const size_t tensors[] = {0, 0, 4, 6, 9, 9, 9};
    struct world *w = *state;
    for (int version = 2; version <= 6; version++) {
        make_ct2(&w->b, version);
        assert_int_equal(open_bytes(w, w->b.p, w->b.n), 0);
        assert_string_equal(w->w.format, "ctranslate2");
        assert_string_equal(w->w.spec, "TestSpec");
        assert_int_equal(w->w.revision, 3);
        assert_int_equal(w->w.n, tensors[version]);
        for (size_t i = 1; i < w->w.n; i++)
            assert_true(strcmp(w->w.tensor[i - 1].name, w->w.tensor[i].name) < 0);
        check_types(w, version);
        assert_null(load_find(&w->w, "a/f3"));
        assert_int_equal(w->w.config.n + w->w.vocabulary.n, 0);
        const struct load_tensor *a = load_find(&w->w, "a/f32");
        load_drop(&w->w, a->t.data, a->bytes);
        load_drop(&w->w, w, sizeof *w); /* not in the file: nothing */
        row_is(w, "a/f32", 0, weight);  /* dropped pages come back from the file */
        load_close(&w->w);
        load_close(&w->w); /* harmless */
    }
}

/* Every cut is refused; a cut at the very end of version 2, which has no alias table, is no cut. */
static void test_ct2_cut(void **state)
{
    struct world *w = *state;
    for (int version = 2; version <= 6; version += 2) {
        make_ct2(&w->b, version);
        for (size_t n = 0; n < w->b.n; n++) refused(w, w->b.p, n, n < 16 ? "" : "byte ");
    }
    w->b.p[w->b.n] = 0;
    refused(w, w->b.p, w->b.n + 1, "1 bytes after the end");
}

/* Every number of the file set to what nobody expects: refused, or read as something harmless. */
static void test_ct2_hostile(void **state)
{
    static const uint64_t values[] = {0, 1, 2, 127, 0x7fff, 0x7fffffff, 0x80000000, UINT64_MAX};
    struct world *w = *state;
    for (int version = 2; version <= 6; version++) {
        make_ct2(&w->b, version);
        size_t refusals = 0;
        for (size_t f = 0; f < w->b.fields; f++) {
            for (size_t v = 0; v < COUNT(values); v++) {
                struct blob *b = malloc(sizeof *b);
                *b = w->b;
                for (int i = 0; i < b->width[f]; i++)
                    b->p[b->field[f] + (size_t)i] = (uint8_t)(values[v] >> 8 * i);
                if (open_bytes(w, b->p, b->n) == 0) {
                    for (size_t i = 0; i < w->w.n; i++) { /* all data can be read */
                        const struct load_tensor *t = &w->w.tensor[i];
                        assert_true(t->offset + t->bytes <= b->n);
                        assert_int_equal(tensor_bytes(&t->t), t->bytes);
                    }
                    load_close(&w->w);
                } else {
                    assert_int_equal(w->e.code, E_MODEL);
                    refusals++;
                }
                assert_true(arena_used(w->a) < 4 * b->n + 65536);
                free(b);
            }
        }
        assert_true(refusals > w->b.fields * 5);
    }
}

static void begin(struct blob *b, int variables)
{
    b->n = b->fields = 0;
    number(b, 6, 4);
    name(b, "S");
    number(b, 1, 4);
    number(b, (uint64_t)variables, 4);
}

static void test_ct2_refusals(void **state)
{
    static const uint32_t d1[] = {1}, d22[] = {2, 2}, big[] = {65536, 65536, 65536, 65536};
    static const uint32_t zero[] = {4, 0};
    static const float one[4] = {1, 1, 1, 1}, bad[2] = {1, 0}, tiny[2] = {1, 1e-41f};
    struct world *w = *state;
    struct blob *b = &w->b;

    begin(b, 2);
    variable(b, 6, "x", 0, 1, d1, one, 4);
    variable(b, 6, "x", 0, 1, d1, one, 4);
    number(b, 0, 4);
    refused(w, b->p, b->n, "tensor x: the name is used twice");

    begin(b, 1);
    variable(b, 6, "x\033[31m", 0, 1, d1, one, 4);
    number(b, 0, 4);
    refused(w, b->p, b->n, "not a readable name");

    begin(b, 1);
    variable(b, 6, "x", 0, 4, big, one, 4); /* 2^64 elements */
    number(b, 0, 4);
    refused(w, b->p, b->n, "its shape needs");

    begin(b, 1);
    variable(b, 6, "x", 0, 2, zero, one, 0);
    number(b, 0, 4);
    refused(w, b->p, b->n, "dimension 1 of its shape is 0");

    begin(b, 1);
    variable(b, 6, "x", 1, 2, d22, one, 4);
    number(b, 0, 4);
    refused(w, b->p, b->n, "int8 weights without a tensor x_scale");

    for (int i = 0; i < 2; i++) {
        begin(b, 2);
        variable(b, 6, "x", 1, 2, d22, one, 4);
        variable(b, 6, "x_scale", 0, 1, (const uint32_t[]){2}, i ? tiny : bad, 8);
        number(b, 0, 4);
        refused(w, b->p, b->n, "the scale of row 1 is");
    }

    begin(b, 2);
    variable(b, 6, "x", 1, 2, d22, one, 4);
    variable(b, 6, "x_scale", 0, 1, d1, one, 4);
    number(b, 0, 4);
    refused(w, b->p, b->n, "is not the scale of 2 rows");

    begin(b, 2);
    variable(b, 6, "x", 2, 1, d1, one, 2);
    variable(b, 6, "x_scale", 0, 0, NULL, one, 4);
    number(b, 0, 4);
    refused(w, b->p, b->n, "int16 weights are not supported");

    begin(b, 0);
    number(b, 0, 4);
    refused(w, b->p, b->n, "no tensors");
}

static void test_ct2_aliases(void **state)
{
    static const uint32_t d1[] = {1};
    static const float one = 1;
    static const struct {
        const char *alias[2], *target[2], *because;
    } rows[] = {
        {{"a", "b"}, {"b", "a"}, "stand for each other"},
        {{"a", "b"}, {"a", "x"}, "stand for each other"},
        {{"a", "b"}, {"x", "nothing"}, "tensor b: it stands for nothing, which is missing"},
        {{"a", "x"}, {"x", "x"}, "the name is used twice"},
        {{"a", "a"}, {"x", "x"}, "the name is used twice"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        begin(&w->b, 1);
        variable(&w->b, 6, "x", 0, 1, d1, &one, 4);
        number(&w->b, 2, 4);
        for (int k = 0; k < 2; k++) {
            name(&w->b, rows[i].alias[k]);
            name(&w->b, rows[i].target[k]);
        }
        refused(w, w->b.p, w->b.n, rows[i].because);
    }
}

/* Header text and `bytes` of zero data as a safetensors file. */
static void make_safetensors(struct blob *b, const char *header, size_t bytes)
{
    static const uint8_t zeros[4096];
    b->n = b->fields = 0;
    number(b, strlen(header), 8);
    put(b, header, strlen(header));
    put(b, zeros, bytes);
}

#define T(name, type, shape, from, to) \
    "\"" name "\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static void test_safetensors(void **state)
{
    struct world *w = *state;
    make_safetensors(
        &w->b,
        "{\"__metadata__\":{\"lode.config\":\"{\\\"k\\\":1}\",\"lode.aliases\":"
        "\"also\\tm\\n\"}," T("m", "F32", "[2,2]", 0, 16) "," T("ids", "I64", "[2]", 16, 32) "," T(
            "h", "F16", "[3]", 32,
            38) "," T("b", "BF16", "[1,1,1,1]", 38,
                      40) "," T("s", "U8", "[]", 40,
                                41) "," T("q", "I8", "[2,1]", 41,
                                          43) "," T("q_scale", "F32", "[2]", 43,
                                                    51) "," T("i", "I32", "[1]", 51,
                                                              55) "," T("j", "I16", "[1]", 55,
                                                                        57) "," T("lod"
                                                                                  "e."
                                                                                  "voc"
                                                                                  "abu"
                                                                                  "lar"
                                                                                  "y",
                                                                                  "U8",
                                                                                  "[3"
                                                                                  "]",
                                                                                  57,
                                                                                  60) "," T("lode."
                                                                                            "tokeni"
                                                                                            "zer",
                                                                                            "U8",
                                                                                            "[2]",
                                                                                            60,
                                                                                            62) "}",
        62);
    static const float ones[2] = {1, 2};
    memcpy(w->b.p + w->b.n - 62 + 43, ones, 8);
    memcpy(w->b.p + w->b.n - 5, "abc{}", 5);
    assert_int_equal(open_bytes(w, w->b.p, w->b.n), 0);
    assert_string_equal(w->w.format, "safetensors");
    assert_int_equal(w->w.n, 8);
    assert_null(load_find(&w->w, "ids"));
    assert_null(load_find(&w->w, "lode.vocabulary"));
    assert_null(load_find(&w->w, "q_scale"));
    assert_ptr_equal(load_find(&w->w, "also")->t.data, load_find(&w->w, "m")->t.data);
    assert_true(load_find(&w->w, "q")->t.scale[1] == 0.5f);
    assert_int_equal(load_find(&w->w, "s")->t.rank, 0);
    assert_int_equal(load_find(&w->w, "b")->t.rank, 4);
    assert_true(str_eq(w->w.config, "{\"k\":1}"));
    assert_true(str_eq(w->w.vocabulary, "abc"));
    assert_int_equal(load_tokenizer(w->a, &w->w, &w->e), 0);
    assert_true(str_eq(w->w.tokenizer, "{}"));
    load_close(&w->w);

    size_t n = w->b.n;
    for (size_t cut = 0; cut < n; cut++) refused(w, w->b.p, cut, "");
    static const uint64_t lengths[] = {0, 1, 2, 100, UINT32_MAX, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        for (int k = 0; k < 8; k++) w->b.p[k] = (uint8_t)(lengths[i] >> 8 * k);
        refused(w, w->b.p, n, "header");
    }
}

static void test_safetensors_refusals(void **state)
{
    static const struct {
        const char *header;
        size_t bytes;
        const char *because;
    } rows[] = {
        {"{" T("x", "F32", "[2]", 0, 8) "," T("y", "F32", "[1]", 4, 8) "}", 8, "tensors overlap"},
        {"{" T("x", "F32", "[1]", 4, 8) "}", 8, "bytes belong to no tensor"},
        {"{" T("x", "F32", "[1]", 0, 4) "}", 8, "4 bytes after the last tensor"},
        {"{" T("x", "F32", "[2]", 0, 8) "}", 4, "not within the 4 bytes"},
        {"{" T("x", "F32", "[2]", 8, 0) "}", 8, "not within"},
        {"{" T("x", "F32", "[2]", -8, 0) "}", 8, "not within"},
        {"{" T("x", "F32", "[3]", 0, 8) "}", 8, "its shape needs 12 bytes, 8 are stored"},
        {"{" T("x", "F32", "[0]", 0, 0) "}", 8, "dimension 0 of its shape"},
        {"{" T("x", "F32", "[4294967296,4294967296]", 0, 8) "}", 8, "dimension 1 of its shape"},
        {"{" T("x", "F32", "[1.5]", 0, 8) "}", 8, "dimension 0 of its shape"},
        {"{" T("x", "F32", "[1,1,1,1,1]", 0, 4) "}", 8, "rank 5"},
        {"{" T("x", "F32", "3", 0, 4) "}", 8, "rank 0"},
        {"{" T("x", "F64", "[1]", 0, 8) "}", 8, "type \"F64\" is not supported"},
        {"{" T("x", "F8_E4M3", "[8]", 0, 8) "}", 8, "type \"F8_E4M3\" is not supported"},
        {"{" T("x", "WORD", "[8]", 0, 8) "}", 8, "type \"WORD\" is not supported"},
        {"{" T("", "F32", "[2]", 0, 8) "}", 8, "no readable name"},
        {"{" T("x\\u0007", "F32", "[2]", 0, 8) "}", 8, "no readable name"},
        {"{\"x\":7}", 8, "type \"\" is not supported"},
        {"{\"x\":{\"dtype\":\"F32\"}}", 8, "rank 0"},
        {"{}", 8, "bytes after the last tensor"},
        {"{\"__metadata__\":{}}", 0, "no tensors"},
        {"{ {", 8, "the header cannot be read: JSON, line 1"},
        {"{" T("lode.vocabulary", "F32", "[2]", 0, 8) "}", 8, "bytes of F32"},
        {"{\"__metadata__\":{\"lode.aliases\":\"no tab\"}," T("x", "F32", "[2]", 0, 8) "}", 8,
         "line 1 of lode.aliases"},
        {"{\"__metadata__\":{\"lode.aliases\":\"y\\tz\"}," T("x", "F32", "[2]", 0, 8) "}", 8,
         "tensor y: it stands for z"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        make_safetensors(&w->b, rows[i].header, rows[i].bytes);
        refused(w, w->b.p, w->b.n, rows[i].because);
    }
    refused(w, "PK\3\4xxxxxxxxxxxxxxxx", 20, "neither a CTranslate2 model nor safetensors");
    refused(w, "\7\0\0\0xxxxxxxxxxxxxxxx", 20, "CTranslate2 version 7");
    refused(w, "", 0, "0 bytes are too few");
}

/* A tensor of ggml: dims fastest first. */
static void ggml_tensor(struct blob *b, const char *s, int type, int rank, const uint32_t *dim,
                        const void *p, size_t bytes)
{
    number(b, (uint64_t)rank, 4);
    number(b, strlen(s), 4);
    number(b, (uint64_t)type, 4);
    for (int i = 0; i < rank; i++) number(b, dim[i], 4);
    put(b, s, strlen(s));
    put(b, p, bytes);
}

/* Three tokens and a tensor of every kind. Returns where the tensors begin. */
static size_t make_ggml(struct blob *b)
{
    static const uint32_t header[] = {10, 5, 64, 1, 2, 4, 64, 1, 3, 1, 2008}, d32[] = {3, 2};
    static const uint32_t bias[] = {1, 2}, rows[] = {32, 2};
    static const uint8_t zeros[804];
    uint8_t q8[68] = {0, 0x3c}, q5[48] = {0}; /* d = 1.0 */
    for (int i = 0; i < 32; i++) q8[2 + i] = (uint8_t)(i - 16);
    q8[35] = 0x40; /* the second row: d = 2 */
    for (int i = 0; i < 32; i++) q8[36 + i] = 3;
    q5[1] = 0x38; /* d = 0.5, m = 1, element 17: 16 + 9 */
    q5[3] = 0x3c;
    q5[4 + 2] = 2;
    q5[8 + 1] = 0x90;
    b->n = b->fields = 0;
    number(b, 0x67676d6c, 4);
    for (size_t i = 0; i < COUNT(header); i++) number(b, header[i], 4);
    number(b, 1, 4);
    number(b, 201, 4);
    put(b, zeros, sizeof zeros);
    number(b, 3, 4);
    number(b, 1, 4);
    put(b, "a", 1);
    number(b, 0, 4);
    number(b, 3, 4);
    put(b, " \n\xff", 3);
    size_t from = b->n;
    ggml_tensor(b, "f32", 0, 2, d32, weight, 24);
    ggml_tensor(b, "conv.bias", 0, 2, bias, weight, 8);
    ggml_tensor(b, "q8", 8, 2, rows, q8, sizeof q8);
    ggml_tensor(b, "q5_1", 7, 2, rows, q5, sizeof q5);
    return from;
}

static void test_ggml(void **state)
{
    struct world *w = *state;
    float row[32];
    make_ggml(&w->b);
    assert_int_equal(open_bytes(w, w->b.p, w->b.n), 0);
    assert_string_equal(w->w.format, "ggml");
    assert_int_equal(w->w.n, 4);
    row_is(w, "f32", 0, weight);
    row_is(w, "f32", 1, weight + 3);
    const struct load_tensor *t = load_find(&w->w, "conv.bias");
    assert_int_equal(t->t.rank, 1);
    assert_int_equal(t->t.dim[0], 2);
    t = load_find(&w->w, "q8");
    assert_int_equal(t->t.type, DTYPE_Q8_0);
    assert_int_equal(t->t.dim[0], 2);
    assert_int_equal(t->t.dim[1], 32);
    assert_int_equal(t->bytes, 68);
    tensor_row(&t->t, 0, row);
    for (int i = 0; i < 32; i++) assert_true(row[i] == (float)(i - 16));
    tensor_row(&t->t, 1, row);
    for (int i = 0; i < 32; i++) assert_true(row[i] == 6);
    tensor_row(&load_find(&w->w, "q5_1")->t, 0, row);
    for (int i = 0; i < 32; i++) assert_true(row[i] == (i == 17 ? 13.5f : 1.0f));
    assert_true(str_eq(w->w.vocabulary, "a\n\nĠĊÿ\n"));
    assert_true(str_starts(w->w.config.p, "{\"vocab_size\":10,\"max_source_positions\":5,"));
    load_close(&w->w);
}

/* A file may end between two tensors: nothing in it says how many there are. Elsewhere a cut is
 * refused. */
static void test_ggml_cut(void **state)
{
    struct world *w = *state;
    size_t from = make_ggml(&w->b), opened = 0;
    for (size_t n = 0; n < w->b.n; n++) {
        if (n > from && open_bytes(w, w->b.p, n) == 0) {
            opened++;
            load_close(&w->w);
        } else {
            refused(w, w->b.p, n, "");
        }
    }
    assert_int_equal(opened, 3);
}

static void test_ggml_hostile(void **state)
{
    static const uint64_t values[] = {0, 1, 2, 5, 0x7fff, 0x7fffffff, 0x80000000, UINT32_MAX};
    struct world *w = *state;
    size_t refusals = 0;
    make_ggml(&w->b);
    for (size_t f = 0; f < w->b.fields; f++) {
        for (size_t v = 0; v < COUNT(values); v++) {
            struct blob *b = malloc(sizeof *b);
            *b = w->b;
            for (int i = 0; i < 4; i++)
                b->p[b->field[f] + (size_t)i] = (uint8_t)(values[v] >> 8 * i);
            if (open_bytes(w, b->p, b->n) == 0) {
                for (size_t i = 0; i < w->w.n; i++) {
                    const struct load_tensor *t = &w->w.tensor[i];
                    assert_true(t->offset + t->bytes <= b->n);
                    assert_int_equal(tensor_bytes(&t->t), t->bytes);
                }
                load_close(&w->w);
            } else {
                assert_int_equal(w->e.code, E_MODEL);
                refusals++;
            }
            assert_true(arena_used(w->a) < 4 * b->n + 65536);
            free(b);
        }
    }
    assert_true(refusals > w->b.fields * 4);
}

static void test_ggml_refusals(void **state)
{
    static const uint32_t d48[] = {48, 2}, d32[] = {32}, big[] = {1u << 31, 1},
                          four[] = {1, 1, 1, 1};
    static const uint32_t huge[] = {1u << 30, 1u << 30, 1u << 30, 1u << 30};
    static const uint8_t zeros[256];
    const struct {
        const char *name, *because;
        int type, rank;
        const uint32_t *dim;
    } rows[] = {
        {"x", "type 10: need", 10, 2, d48}, {"x", "in rows of 48: need rows of 32", 8, 2, d48},
        {"x", "q8_0 of rank 1", 8, 1, d32}, {"x", "a dimension is", 0, 2, big},
        {"x", "too large", 0, 4, huge},     {"x\033", "not readable", 0, 4, four},
        {"", "not readable", 0, 4, four},   {"f32", "the name is used twice", 0, 4, four},
    };
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        make_ggml(&w->b);
        ggml_tensor(&w->b, rows[i].name, rows[i].type, rows[i].rank, rows[i].dim, zeros, 4);
        refused(w, w->b.p, w->b.n, rows[i].because);
    }
    size_t from = make_ggml(&w->b);
    refused(w, w->b.p, from, "there are no tensors"); /* whisper.cpp's files for tests */
}

static void write_text(struct world *w, const char *file, const char *text, size_t repeat)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", w->folder, file);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (size_t i = 0; i < repeat; i++) fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void test_folders(void **state)
{
    struct world *w = *state;
    assert_int_equal(load_open(w->a, w->folder, &w->w, &w->e), -1);
    assert_non_null(strstr(w->e.text, "no model in this folder"));
    assert_int_equal(load_open(w->a, w->path, &w->w, &w->e), -1);
    assert_int_equal(w->e.code, E_MODEL);
    assert_non_null(strstr(w->e.text, "no such file"));

    write_text(w, "pytorch_model.bin", "x", 1);
    assert_int_equal(load_open(w->a, w->folder, &w->w, &w->e), -1);
    assert_non_null(strstr(w->e.text, "PyTorch"));

    make_ct2(&w->b, 6);
    snprintf(w->path, sizeof w->path, "%s/model.bin", w->folder);
    write_text(w, "config.json", "{}", 1);
    write_text(w, "vocabulary.json", "[]", 1);
    write_text(w, "vocabulary.txt", "a\n", 2);
    write_text(w, "tokenizer.json", "{ }", 1);
    assert_int_equal(open_bytes(w, w->b.p, w->b.n), 0); /* the file; its companions lie beside */
    assert_true(str_eq(w->w.config, "{}"));
    load_close(&w->w);
    assert_int_equal(load_open(w->a, w->folder, &w->w, &w->e), 0);
    assert_string_equal(w->w.folder, w->folder);
    assert_true(str_eq(w->w.config, "{}"));
    assert_true(str_eq(w->w.vocabulary, "a\na\n"));
    assert_int_equal(w->w.tokenizer.n, 0); /* only on request */
    assert_int_equal(load_tokenizer(w->a, &w->w, &w->e), 0);
    assert_true(str_eq(w->w.tokenizer, "{ }"));
    load_close(&w->w);

    write_text(w, "config.json", "0123456789abcdef", (1 << 16) + 1);
    assert_int_equal(load_open(w->a, w->folder, &w->w, &w->e), -1);
    assert_int_equal(w->e.code, E_MODEL);
    assert_non_null(strstr(w->e.text, "config.json: 1048592 bytes, at most 1048576"));
}

/* A safetensors file of two f32 tensors of one element, beside the others. */
static void write_part(struct world *w, const char *file, const char *first, const char *second)
{
    char header[200], path[128];
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
             "\"%s\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
             first, second);
    make_safetensors(&w->b, header, 8);
    snprintf(path, sizeof path, "%s/%s", w->folder, file);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(w->b.p, w->b.n, 1, f), 1);
    assert_int_equal(fclose(f), 0);
}

static void test_shards(void **state)
{
    static const struct {
        const char *index, *because;
    } rows[] = {
        {"{\"weight_map\":{\"x\":\"c.safetensors\"}}",
         "names the file c.safetensors, which is missing"},
        {"{\"weight_map\":{\"x\":\"../a.safetensors\"}}", "is not TENSOR: FILE"},
        {"{\"weight_map\":{\"x\":\"/etc/hostname\"}}", "is not TENSOR: FILE"},
        {"{\"weight_map\":{\"x\":\"\"}}          ", "is not TENSOR: FILE"},
        {"{\"weight_map\":{\"x\":7}}          ", "is not TENSOR: FILE"},
        {"{\"weight_map\":{}}          ", "no weight_map"},
        {"{\"weight_map\":[]}          ", "no weight_map"},
        {"{\"weight_map\":{\"x\":\"weights\"}}", "this is not safetensors"},
        {"{\"weight_map\":{\"x\":\"a.safetensors\",", "the index cannot be read"},
        {"{\"weight_map\":{\"x\":\"a.safetensors\",\"z\":\"a2.safetensors\"}}", "a2"},
    };
    static const char good[] =
        "{\"metadata\":{},\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}";
    struct world *w = *state;
    write_part(w, "a.safetensors", "x", "p");
    write_part(w, "b.safetensors", "y", "q");
    assert_int_equal(open_bytes(w, good, sizeof good - 1), 0);
    assert_string_equal(w->w.format, "safetensors");
    assert_int_equal(w->w.n, 4);
    assert_int_equal(w->w.n_shards, 2);
    const struct load_tensor *y = load_find(&w->w, "y");
    assert_true(load_find(&w->w, "x") && y);
    load_drop(&w->w, y->t.data, y->bytes);
    float v;
    tensor_row(&y->t, 0, &v);
    assert_true(v == 0);
    load_close(&w->w);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(open_bytes(w, rows[i].index, strlen(rows[i].index)), -1);
        assert_int_equal(w->e.code, E_MODEL);
        if (!strstr(w->e.text, rows[i].because))
            fail_msg("\"%s\" lacks \"%s\"", w->e.text, rows[i].because);
    }
    write_part(w, "b.safetensors", "y", "x");
    refused(w, good, sizeof good - 1, "tensor x: the name is used twice");
    write_text(w, "model.safetensors.index.json", good, 1);
    write_part(w, "b.safetensors", "y", "q");
    assert_int_equal(load_open(w->a, w->folder, &w->w, &w->e), 0);
    assert_int_equal(w->w.n, 4);
    load_close(&w->w);
}

static void write_sample(struct world *w, const char *path)
{
    struct save_safetensors_tensor t[] = {
        {.name = "q", .type = DTYPE_I8, .rank = 2, .dim = {2, 3}, .id = 0},
        {.name = "m", .type = DTYPE_F32, .rank = 2, .dim = {2, 3}, .id = 1},
        {.name = "q_scale", .type = DTYPE_F32, .rank = 1, .dim = {2}, .id = 2},
        {.name = "s", .type = DTYPE_I16, .rank = 0, .id = 3},
    };
    static const int8_t q[6] = {1, 2, 3, -4, -127, 127};
    static const float scale[2] = {4, 0.5f};
    static const int16_t s = -7;
    const struct {
        const void *p;
        size_t n;
    } data[] = {{q, sizeof q}, {weight, sizeof weight}, {scale, sizeof scale}, {&s, sizeof s}};
    const struct save_safetensors_note note[] = {{"lode.config", str_of("{\"a\": \"\\u00e9\n\"}")}};
    struct save_safetensors out;
    assert_int_equal(
        save_safetensors_begin(w->a, path, t, COUNT(t), note, COUNT(note), &out, &w->e), 0);
    for (size_t i = 0; i < COUNT(t); i++) {
        size_t half = data[t[i].id].n / 2;
        const char *p = data[t[i].id].p;
        assert_int_equal(save_safetensors_put(&out, p, half, &w->e), 0);
        assert_int_equal(save_safetensors_put(&out, p + half, data[t[i].id].n - half, &w->e), 0);
    }
    assert_int_equal(save_safetensors_end(&out, &w->e), 0);
    save_safetensors_abort(&out);
}

static void test_save(void **state)
{
    struct world *w = *state;
    struct str first, second;
    write_sample(w, w->path);
    assert_int_equal(file_read(w->a, w->path, 65536, &first, &w->e), 0);
    write_sample(w, w->path);
    assert_int_equal(file_read(w->a, w->path, 65536, &second, &w->e), 0);
    assert_int_equal(first.n, second.n);
    assert_memory_equal(first.p, second.p, first.n);

    assert_int_equal(load_open(w->a, w->path, &w->w, &w->e), 0);
    assert_int_equal(w->w.n, 3);
    row_is(w, "m", 1, weight + 3);
    row_is(w, "q", 1, (const float[]){-8, -254, 254});
    assert_true(str_eq(w->w.config, "{\"a\": \"\\u00e9\n\"}"));
    for (size_t i = 0; i < w->w.n; i++) /* aligned to its type, without padding between */
        assert_int_equal(w->w.tensor[i].offset % tensor_type_bytes(w->w.tensor[i].t.type), 0);
    load_close(&w->w);
}

/* Files of another writer, the format's own library. */
static void test_golden(void **state)
{
    static const char *const files[] = {"tests/golden/mel.safetensors",
                                        "tests/golden/whisper2.safetensors"};
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(files); i++) {
        if (load_open(w->a, files[i], &w->w, &w->e) != 0) fail_msg("%s", w->e.text);
        assert_string_equal(w->w.format, "safetensors");
        assert_true(w->w.n > 0);
        load_close(&w->w);
    }
}

/* Each failing system call and allocation ends in an error, with nothing left open. */
/* Whatever fails while the model in the folder is opened, nothing is left behind. */
static void every_fault(struct world *w)
{
    static const char *const kinds[] = {"alloc", "open", "map", "read"};
    int failures = 0;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        int failed = 0;
        for (int i = 1; i < 1000; i++) {
            char spec[32];
            struct arena *a = NULL;
            snprintf(spec, sizeof spec, "%s:%d", kinds[k], i);
            assert_int_equal(fault_arm(spec), 0);
            int result = arena_open("fault", 0, &a, &w->e);
            if (result == 0) result = load_open(a, w->folder, &w->w, &w->e);
            fault_arm(NULL);
            if (result == 0) load_close(&w->w);
            arena_close(&a);
            if (result == 0) break;
            assert_true(w->e.code == E_NOMEM || w->e.code == E_IO);
            failed++;
        }
        assert_true(failed < 900);
        failures += failed;
    }
    assert_true(failures > 2);
}

static void test_faults(void **state)
{
    struct world *w = *state;
    snprintf(w->path, sizeof w->path, "%s/ggml-model.bin", w->folder);
    make_ggml(&w->b);
    assert_int_equal(open_bytes(w, w->b.p, w->b.n), 0);
    load_close(&w->w);
    every_fault(w);

    write_part(w, "a.safetensors", "x", "p");
    write_part(w, "b.safetensors", "y", "q");
    write_text(w, "config.json", "{}", 1);
    write_text(w, "vocab.json", "{}", 1);
    write_text(w, "model.safetensors.index.json",
               "{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}", 1);
    every_fault(w);

    snprintf(w->path, sizeof w->path, "%s/model.bin", w->folder);
    make_ct2(&w->b, 6);
    write_text(w, "vocabulary.txt", "a\n", 2);
    assert_int_equal(open_bytes(w, w->b.p, w->b.n), 0);
    load_close(&w->w);
    every_fault(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        ROW(test_ct2),
        ROW(test_ct2_cut),
        ROW(test_ct2_hostile),
        ROW(test_ct2_refusals),
        ROW(test_ct2_aliases),
        ROW(test_safetensors),
        ROW(test_safetensors_refusals),
        ROW(test_shards),
        ROW(test_ggml),
        ROW(test_ggml_cut),
        ROW(test_ggml_hostile),
        ROW(test_ggml_refusals),
        ROW(test_folders),
        ROW(test_save),
        ROW(test_golden),
        ROW(test_faults),
    };
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
