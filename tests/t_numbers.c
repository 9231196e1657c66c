/* Rows of numbers from files: .npy as NumPy writes it and as nobody should, CSV, JSON lines. */
#include "load/numbers.h"
#include "unit.h"
#include <math.h>

struct bench {
    struct arena *arena;
    struct err e;
    char folder[300], path[400];
};

static void open_bench(struct bench *b)
{
    assert_int_equal(arena_open("t_numbers", 0, &b->arena, &b->e), 0);
    unit_folder(b->folder, sizeof b->folder);
    snprintf(b->path, sizeof b->path, "%s/x", b->folder);
}

static void close_bench(struct bench *b)
{
    unit_remove(b->folder);
    arena_close(&b->arena);
}

static void write_file(struct bench *b, const void *p, size_t n)
{
    FILE *f = fopen(b->path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A .npy with this header and so many bytes of 1, 2, 3 .. behind it. */
static void write_npy(struct bench *b, int version, const char *header, size_t bytes)
{
    static uint8_t p[4096];
    size_t n = strlen(header), at = version > 1 ? 12 : 10;
    memset(p, 0, sizeof p);
    memcpy(p, "\x93NUMPY", 6);
    p[6] = (uint8_t)version;
    p[8] = (uint8_t)n;
    p[9] = (uint8_t)(n >> 8);
    memcpy(p + at, header, n);
    for (size_t i = 0; i < bytes; i++) p[at + n + i] = (uint8_t)(i + 1);
    write_file(b, p, at + n + bytes);
}

#define HEAD(type, order, shape) \
    "{'descr': '" type "', 'fortran_order': " order ", 'shape': " shape ", }\n"

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t bytes;
        int64_t rows, columns;
        double second; /* number of the first row, or of the second one if there is one column */
    } cases[] = {
        {HEAD("|u1", "False", "(2, 3)"), 6, 2, 3, 2},
        {HEAD("|u1", "True", "(2, 3)"), 6, 2, 3, 3},
        {HEAD("<u2", "False", "(4,)"), 8, 4, 1, 0x0403},
        {HEAD(">i4", "False", "(1, 2)"), 8, 1, 2, 0x05060708},
        {HEAD("<i8", "False", "(2, 1)"), 16, 2, 1, 1157159078456920585.0},
        {HEAD("|b1", "False", "(3, 2)"), 6, 3, 2, 2},
        {HEAD("<f2", "False", "(1, 2)"), 4, 1, 2, 6.1213970184326172e-05},
        {HEAD("<f4", "False", "(1, 2)"), 8, 1, 2, 4.063216068939723e-34},
        {HEAD("<f8", "False", "(2,)"), 16, 2, 1, 2.500364306227096e-231},
        {HEAD("<f4", "False", "(0, 5)"), 0, 0, 5, 0},
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        struct bench b;
        struct numbers m;
        double row[8], next[8];
        open_bench(&b);
        write_npy(&b, 1 + (int)(c % 3), cases[c].header, cases[c].bytes);
        if (numbers_open(b.arena, b.path, &m, &b.e)) fail_msg("%s", b.e.text);
        assert_int_equal(m.rows, cases[c].rows);
        assert_int_equal(m.columns, cases[c].columns);
        if (m.rows > 0) {
            numbers_row(&m, 0, row);
            numbers_row(&m, m.rows - 1 ? 1 : 0, next);
            double got = m.columns > 1 ? row[1] : next[0];
            if (fabs(got - cases[c].second) > 1e-12 * fabs(cases[c].second))
                fail_msg("case %zu: %.17g", c, got);
        }
        numbers_close(&m);
        close_bench(&b);
    }
}

static void refused(struct bench *b, const char *words)
{
    struct numbers m;
    if (numbers_open(b->arena, b->path, &m, &b->e) == 0) fail_msg("taken: %s", words);
    if (!strstr(b->e.text, words)) fail_msg("\"%s\" has no \"%s\"", b->e.text, words);
}

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t bytes;
        const char *words;
    } cases[] = {
        {HEAD("<f4", "False", "(3, 2)"), 20, "3 x 2 numbers of 4 bytes are promised, 20 bytes"},
        {HEAD("<f4", "False", "(9000000000000000000, 9000000000000000000)"), 8, "are promised"},
        {HEAD("<f4", "False", "(99999999999999999999, 1)"), 8, "is not a dimension"},
        {HEAD("<f4", "False", "(-1, 4)"), 8, "is not a dimension"},
        {HEAD("<f4", "False", "(1, 2, 2)"), 16, "more than 2 dimensions"},
        {HEAD("<f4", "False", "()"), 4, "no dimension"},
        {HEAD("<f4", "False", "(1, 2"), 8, "no shape"},
        {HEAD("<c8", "False", "(1,)"), 8, "an array of <c8"},
        {HEAD("|O", "False", "(1,)"), 8, "an array of |O"},
        {HEAD("<f3", "False", "(1,)"), 8, "numbers are needed"},
        {"{'descr': '<f4', 'shape': (1,)}", 8, "no fortran_order"},
        {"{'fortran_order': False, 'shape': (1,)}", 8, "numbers are needed"},
        {"", 0, "numbers are needed"},
    };
    struct bench b;
    for (size_t c = 0; c < COUNT(cases); c++) {
        open_bench(&b);
        write_npy(&b, 1, cases[c].header, cases[c].bytes);
        refused(&b, cases[c].words);
        close_bench(&b);
    }
    open_bench(&b);
    write_file(&b, "\x93NUMPY\x01", 7);
    refused(&b, "not a .npy file of version");
    write_file(&b,
               "\x93NUMPY\x07\x00\x10\x00"
               "abcdefghijklmnopqrst",
               30);
    refused(&b, "not a .npy file of version");
    write_file(&b, "\x93NUMPY\x02\x00\xff\xff\xff\xff{'descr'", 21);
    refused(&b, "a header of 4294967295 bytes in a .npy file of 21");
    write_file(&b, "", 0);
    refused(&b, "no line of numbers in 0 bytes");
    close_bench(&b);
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *format;
        int64_t rows, columns;
        double last;
    } cases[] = {
        {"1,2,3\n4,5,6\n", "csv", 2, 3, 6},
        {"a,b\n1.5,2e3\n", "csv", 1, 2, 2000},
        {"\"a\",\"b\"\r\n\"1\";2\r\n", "csv", 1, 2, 2},
        {"1 2  3\n\n 4 5 -6\n", "csv", 2, 3, -6},
        {"1\t2\n3\t4", "csv", 2, 2, 4},
        {"7\n8\n9\n", "csv", 3, 1, 9},
        {"[1, 2]\n[3, 4.25]\n", "jsonl", 2, 2, 4.25},
        {"1,nan\n2,-inf\n", "csv", 2, 2, -INFINITY},
        {"\xef\xbb\xbf"
         "1,2\n3,4\n",
         "csv", 2, 2, 4},
        {"\xef\xbb\xbf"
         "a,b\n3,4\n",
         "csv", 1, 2, 4},
        {"\xef\xbb\xbf[1, 2]\n[3, 4]\n", "jsonl", 2, 2, 4},
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        struct bench b;
        struct numbers m;
        double row[8];
        open_bench(&b);
        write_file(&b, cases[c].text, strlen(cases[c].text));
        if (numbers_open(b.arena, b.path, &m, &b.e)) fail_msg("case %zu: %s", c, b.e.text);
        assert_string_equal(m.format, cases[c].format);
        assert_int_equal(m.rows, cases[c].rows);
        assert_int_equal(m.columns, cases[c].columns);
        assert_null(m.names);
        numbers_row(&m, m.rows - 1, row);
        assert_true(row[m.columns - 1] == cases[c].last);
        numbers_close(&m);
        close_bench(&b);
    }
}

/* A first line of names with numbers among them is told, for it may be a row with a bad field. */
static void test_names(void **state)
{
    (void)state;
    static const char *const lines[] = {",0,1", "1.0,,3.0", "1 2 x", "7;NA;8"};
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct bench b;
        struct numbers m;
        char text[60];
        open_bench(&b);
        write_file(&b, text, (size_t)snprintf(text, sizeof text, "%s\n4,5,6\n", lines[i]));
        if (numbers_open(b.arena, b.path, &m, &b.e)) fail_msg("%s", b.e.text);
        assert_int_equal(m.rows, 1);
        assert_string_equal(m.names, lines[i]);
        numbers_close(&m);
        close_bench(&b);
    }
}

static void test_bad_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"1,2,3\n4,5\n", "line 2 has 2 numbers, the first row has 3"},
        {"a,b\n1,2\n3,4,5\n", "line 3 has 3 numbers, the first row has 2"},
        {"1,2\n3,x\n", "line 2, column 2: \"x\" is not a number"},
        {"a,b\nc,d\n", "line 2, column 1: \"c\" is not a number"},
        {"[1, 2]\n[3, 4\n", "line 2 is not an array of numbers"},
        {"[1, \"x\"]\n", "line 1, column 2"},
        {"7\n1,2\n", "line 2 has 2 numbers, the first row has 1; all rows must be as long"},
        {"1,2\n3\n", "line 2 has 1 number, the first row has 2; all rows must be as long"},
        {"only words\n", "no line of numbers in 11 bytes"},
        {"\n", "no line of numbers in 1 byte"},
    };
    for (size_t c = 0; c < COUNT(cases); c++) {
        struct bench b;
        open_bench(&b);
        write_file(&b, cases[c].text, strlen(cases[c].text));
        refused(&b, cases[c].words);
        close_bench(&b);
    }
}

/* What is saved is read again, and is what NumPy reads: 128 bytes of header. */
static void test_save(void **state)
{
    (void)state;
    struct bench b;
    struct numbers m;
    float x[6] = {1, -2, 3.5f, 4, 5e20f, 6};
    int32_t label[3] = {-1, 0, 7};
    double row[3];
    open_bench(&b);
    assert_int_equal(npy_save(b.arena, b.path, x, 2, 3, 'f', 4, &b.e), 0);
    assert_int_equal(file_size(b.path), 128 + 24);
    assert_int_equal(numbers_open(b.arena, b.path, &m, &b.e), 0);
    assert_true(m.rows == 2 && m.columns == 3);
    numbers_row(&m, 1, row);
    assert_true(row[0] == 4 && row[1] == (double)5e20f && row[2] == 6);
    numbers_close(&m);
    assert_int_equal(npy_save(b.arena, b.path, label, 3, 0, 'i', 4, &b.e), 0);
    assert_int_equal(numbers_open(b.arena, b.path, &m, &b.e), 0);
    assert_true(m.rows == 3 && m.columns == 1);
    numbers_row(&m, 0, row);
    assert_true(row[0] == -1);
    numbers_close(&m);
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types), cmocka_unit_test(test_hostile),  cmocka_unit_test(test_text),
        cmocka_unit_test(test_names), cmocka_unit_test(test_bad_text), cmocka_unit_test(test_save),
    };
    return cmocka_run_group_tests_name("numbers", tests, NULL, NULL);
}
