/* The ONNX reader and the protobuf walker below it: files made here field by field, good ones and
 * hostile ones. Silero's own file is read by t_vad. */
#include "load/load.h"
#include "load/load_proto.h"
#include "unit.h"

struct blob { /* a message being made */
    uint8_t p[4096];
    size_t n;
};

struct world {
    char folder[64];
    struct arena *a;
    struct load_weights w;
    struct err e;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    unit_folder(w->folder, sizeof w->folder);
    *state = w;
    return arena_open("test", 0, &w->a, &w->e);
}

static int teardown(void **state)
{
    struct world *w = *state;
    arena_close(&w->a);
    unit_remove(w->folder);
    free(w);
    return 0;
}

static void bytes(struct blob *b, const void *p, size_t n)
{
    assert_true(b->n + n <= sizeof b->p);
    if (n) memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void varint(struct blob *b, uint64_t v)
{
    for (; v > 127; v >>= 7) bytes(b, &(uint8_t){(uint8_t)(v | 128)}, 1);
    bytes(b, &(uint8_t){(uint8_t)v}, 1);
}

static void number(struct blob *b, int field, uint64_t v)
{
    varint(b, (uint64_t)field << 3);
    varint(b, v);
}

static void data(struct blob *b, int field, const void *p, size_t n)
{
    varint(b, (uint64_t)field << 3 | 2);
    varint(b, n);
    bytes(b, p, n);
}

static void text(struct blob *b, int field, const char *s)
{
    data(b, field, s, strlen(s));
}

static void message(struct blob *b, int field, const struct blob *m)
{
    data(b, field, m->p, m->n);
}

/* name, type, [dims] ended by -1; the data comes after. */
static struct blob tensor(const char *name, int type, const int *dims)
{
    struct blob t = {.n = 0};
    for (; *dims >= 0; dims++) number(&t, 1, (uint64_t)*dims);
    number(&t, 2, (uint64_t)type);
    if (name) text(&t, 8, name);
    return t;
}
#define DIMS(...) ((const int[]){__VA_ARGS__, -1})

static struct blob model(const struct blob *graph)
{
    struct blob m = {.n = 0};
    number(&m, 1, 8);
    text(&m, 2, "pytorch");
    message(&m, 7, graph);
    return m;
}

static int open_bytes(struct world *w, const void *p, size_t n)
{
    const char *path = unit_write(w->folder, "x.onnx", p, n);
    arena_reset(w->a);
    err_clear(&w->e);
    return load_open(w->a, path, &w->w, &w->e);
}

static void refused(struct world *w, const struct blob *graph, const char *because)
{
    struct blob m = model(graph);
    assert_int_equal(open_bytes(w, m.p, m.n), -1);
    assert_int_equal(w->e.code, E_MODEL);
    if (!strstr(w->e.text, because)) fail_msg("\"%s\" lacks \"%s\"", w->e.text, because);
    if (!strstr(w->e.text, "x.onnx: byte ")) fail_msg("\"%s\" does not say where", w->e.text);
}

static void initializer_refused(struct world *w, const struct blob *t, const char *because)
{
    struct blob g = {.n = 0};
    message(&g, 5, t);
    refused(w, &g, because);
}

static void is(struct world *w, const char *name, enum dtype type, int rank, int n,
               const float *want)
{
    const struct load_tensor *t = load_find(&w->w, name);
    if (!t) fail_msg("no tensor %s", name);
    assert_int_equal(t->t.type, type);
    assert_int_equal(t->t.rank, rank);
    assert_int_equal(tensor_count(t->t.rank, t->t.dim), n);
    struct tensor flat = {.type = type, .rank = 2, .dim = {1, n}, .data = t->t.data};
    float got[16];
    tensor_row(&flat, 0, got);
    for (int i = 0; i < n; i++) assert_true(got[i] == want[i]);
    assert_true(t->offset + t->bytes <= w->w.map.size);
    assert_true(t->bytes == 0 || t->bytes == tensor_bytes(&t->t));
}

static const float four[] = {1, -2, 0.5f, 65504};

/* Every way in which numbers can lie in a tensor. */
static struct blob good_graph(void)
{
    struct blob g = {.n = 0}, t = tensor("raw", 1, DIMS(2, 2)), packed = {.n = 0};
    data(&t, 9, four, 16);
    message(&g, 5, &t);

    t = tensor("floats", 1, DIMS(4));
    data(&t, 4, four, 16);
    message(&g, 5, &t);

    t = tensor("pieces", 1, DIMS(4)); /* two packed, one alone, one empty */
    data(&t, 4, four, 8);
    varint(&t, 4 << 3 | 5);
    bytes(&t, four + 2, 4);
    data(&t, 4, four, 0);
    data(&t, 4, four + 3, 4);
    message(&g, 5, &t);

    t = tensor("halves", 10, DIMS(4));
    for (int i = 0; i < 4; i++) varint(&packed, tensor_f32_to_f16(four[i]));
    message(&t, 5, &packed);
    message(&g, 5, &t);

    t = (struct blob){.n = 0}; /* packed dimensions; negative numbers are ten bytes */
    data(&t, 1, "\1\2", 2);
    number(&t, 2, 6);
    text(&t, 8, "ints");
    number(&t, 5, (uint64_t)-7);
    number(&t, 5, 300);
    message(&g, 5, &t);

    t = tensor("axes", 7, DIMS(1)); /* i64, text and empty tensors are left out */
    data(&t, 9, "\1\0\0\0\0\0\0\0", 8);
    message(&g, 5, &t);
    t = tensor("none", 1, DIMS(0));
    data(&t, 9, "", 0);
    message(&g, 5, &t);
    message(&g, 5, &(struct blob){.n = 0});
    return g;
}

static void constant(struct blob *g, const char *op, const char *attribute)
{
    struct blob t = tensor("inner", 1, DIMS(1)), a = {.n = 0}, node = {.n = 0};
    data(&t, 9, four + 2, 4);
    text(&a, 1, attribute);
    message(&a, 5, &t);
    message(&node, 5, &a); /* before the name of the output: any order will do */
    text(&node, 2, "half");
    text(&node, 4, op);
    message(g, 1, &node);
}

static void test_good(void **state)
{
    struct world *w = *state;
    struct blob g = good_graph(), m;
    constant(&g, "Constant", "value");
    constant(&g, "Constant", "other");
    constant(&g, "ConstantOfShape", "value");
    m = model(&g);
    if (open_bytes(w, m.p, m.n)) fail_msg("%s", w->e.text);
    assert_string_equal(w->w.format, "onnx");
    assert_int_equal(w->w.n, 6);
    is(w, "raw", DTYPE_F32, 2, 4, four);
    is(w, "floats", DTYPE_F32, 1, 4, four);
    is(w, "pieces", DTYPE_F32, 1, 4, four);
    is(w, "halves", DTYPE_F16, 1, 4, four);
    is(w, "ints", DTYPE_I32, 2, 2, (const float[]){-7, 300});
    is(w, "half", DTYPE_F32, 1, 1, four + 2);
    assert_null(load_find(&w->w, "axes"));
    load_close(&w->w);

    /* a folder with one such file is a model, with two it is not clear which */
    if (load_open(w->a, w->folder, &w->w, &w->e)) fail_msg("%s", w->e.text);
    load_close(&w->w);
    unit_write(w->folder, "y.onnx", m.p, m.n);
    assert_int_equal(load_open(w->a, w->folder, &w->w, &w->e), -1);
    assert_non_null(strstr(w->e.text, "several ONNX files, x.onnx and y.onnx"));
}

static void test_tensors(void **state)
{
    struct world *w = *state;
    struct blob t = tensor("x", 1, DIMS(3));
    data(&t, 9, four, 16);
    initializer_refused(w, &t, "its shape needs 12 bytes, 16 are stored");
    t = tensor("without", 1, DIMS(4));
    initializer_refused(w, &t, "0 numbers, its shape needs 4");
    t = tensor("x", 1, DIMS(1 << 30, 1 << 30, 1 << 30));
    initializer_refused(w, &t, "its shape needs more numbers");
    data(&t, 9, four, 16);
    initializer_refused(w, &t, "its shape needs 0 bytes");
    t = tensor("x", 1, DIMS(1, 1, 1, 1, 1));
    initializer_refused(w, &t, "rank 5");
    t = tensor("x", 1, DIMS(2));
    number(&t, 1, UINT64_MAX);
    initializer_refused(w, &t, "dimension 1 of a tensor is negative");
    t = tensor("of type 77", 77, DIMS(2));
    initializer_refused(w, &t, "type 77 is not supported");
    t = tensor(NULL, 1, DIMS(4));
    data(&t, 9, four, 16);
    initializer_refused(w, &t, "without a readable name");
    t = tensor("a\nb", 1, DIMS(4));
    data(&t, 9, four, 16);
    initializer_refused(w, &t, "without a readable name");
    t = tensor("x", 1, DIMS(4));
    data(&t, 9, four, 16);
    data(&t, 9, four, 16);
    initializer_refused(w, &t, "data twice");
    t = tensor("x", 1, DIMS(4));
    number(&t, 14, 1);
    initializer_refused(w, &t, "in another file");
    t = tensor("x", 1, DIMS(4));
    number(&t, 3, 0);
    initializer_refused(w, &t, "in segments");
    t = tensor("x", 1, DIMS(4));
    data(&t, 4, four, 7);
    data(&t, 4, four, 4);
    initializer_refused(w, &t, "not 4 numbers");
    t = tensor("varint", 1, DIMS(4));
    number(&t, 4, 0);
    initializer_refused(w, &t, "not 4 numbers");
    t = tensor("xxxxxx", 6, DIMS(2));
    for (int i = 0; i < 3; i++) number(&t, 5, 1);
    initializer_refused(w, &t, "not 2 numbers");
    t = tensor("xxxxxx", 6, DIMS(1));
    data(&t, 5, "\xff", 1);
    initializer_refused(w, &t, "not 1 numbers");
    t = (struct blob){.n = 0};
    data(&t, 1, "\x80", 1);
    text(&t, 8, "xxxxxx");
    initializer_refused(w, &t, "dimensions that are no numbers");
    t = (struct blob){.n = 0};
    text(&t, 8, "xxxxxxxx");
    initializer_refused(w, &t, "without a type");
}

static struct blob named(void) /* longer than the shortest file */
{
    struct blob g = {.n = 0};
    text(&g, 2, "main_graph");
    return g;
}

static void test_graphs(void **state)
{
    struct world *w = *state;
    struct blob g = named(), m;
    refused(w, &g, "no tensors");
    g.n = 0;
    constant(&g, "Constant", "value");
    constant(&g, "Constant", "value");
    refused(w, &g, "used twice");
    g = named();
    bytes(&g, "\x2a\x7f", 2);
    refused(w, &g, "longer than what it lies in");
    g = named();
    bytes(&g, "\x2b", 1);
    refused(w, &g, "not used any more");
    g = named();
    bytes(&g, "\x02\x00", 2);
    refused(w, &g, "without a proper number");
    g = named();
    bytes(&g, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
    refused(w, &g, "ends too soon");
    g = good_graph();
    m = model(&g);
    message(&m, 7, &g);
    assert_int_equal(open_bytes(w, m.p, m.n), -1);
    assert_non_null(strstr(w->e.text, "not one graph"));
    m.n = 0;
    number(&m, 1, 8);
    text(&m, 2, "no graph at all");
    assert_int_equal(open_bytes(w, m.p, m.n), -1);
    assert_non_null(strstr(w->e.text, "without a graph"));
}

/* Cut anywhere, any byte changed: an error or a model, never anything else. */
static void test_damaged(void **state)
{
    struct world *w = *state;
    struct blob g = good_graph();
    constant(&g, "Constant", "value");
    struct blob m = model(&g);
    int good = 0;
    for (size_t n = 0; n < m.n; n++) {
        assert_int_equal(open_bytes(w, m.p, n), -1);
        assert_int_equal(w->e.code, E_MODEL);
    }
    for (size_t i = 0; i < m.n; i++) {
        for (int bit = 0; bit < 8; bit += 7) {
            m.p[i] ^= (uint8_t)(1 << bit);
            if (open_bytes(w, m.p, m.n) == 0) {
                good++;
                load_close(&w->w);
            } else {
                assert_int_equal(w->e.code, E_MODEL);
            }
            m.p[i] ^= (uint8_t)(1 << bit);
        }
    }
    assert_true(good > 10 && good < 2 * (int)m.n);
}

static void test_varints(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        bool good;
        uint64_t value;
    } rows[] = {
        {"\x00", 1, true, 0},
        {"\x7f", 1, true, 127},
        {"\x80\x01", 2, true, 128},
        {"\x80\x00", 2, true, 0},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10, true, UINT64_MAX},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x03", 10, false, 0},
        {"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11, false, 0},
        {"\x80", 1, false, 0},
        {"", 0, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const uint8_t *p = (const uint8_t *)rows[i].bytes;
        struct load_proto m = {p, p + rows[i].n};
        uint64_t value = 0;
        assert_int_equal(load_proto_varint(&m, &value), rows[i].good);
        assert_true(value == rows[i].value);
        assert_true(m.p == (rows[i].good ? m.end : p)); /* a failure takes nothing */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_varints),
        cmocka_unit_test_setup_teardown(test_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_graphs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };
    return cmocka_run_group_tests_name("onnx", tests, NULL, NULL);
}
