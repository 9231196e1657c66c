/* Format: numpy/lib/format.py: "\x93NUMPY", version, length of the header, and as header a Python
 * literal {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. */
#include "load/npy.h"
#include "base/str.h"
#include "core/tensor.h"
#include <stdio.h>
#include <string.h>

#define HEADER_MOST (64u << 10) /* NumPy's own are 118 bytes */

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

bool npy_is(const uint8_t *p, size_t n)
{
    return n >= sizeof magic && memcmp(p, magic, sizeof magic) == 0;
}

/* What stands behind 'key': in the header, without leading blanks; empty if it is not there. */
static struct str value_of(struct str header, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i + n + 2 < header.n; i++) {
        const char *p = header.p + i;
        if ((p[0] != '\'' && p[0] != '"') || memcmp(p + 1, key, n) != 0 || p[n + 1] != p[0])
            continue;
        struct str rest = str_trim((struct str){p + n + 2, header.n - i - n - 2});
        if (rest.n == 0 || rest.p[0] != ':') continue;
        return str_trim((struct str){rest.p + 1, rest.n - 1});
    }
    return (struct str){header.p, 0};
}

static int read_type(struct npy *f, struct str descr, struct err *e)
{
    static const char *const known[] = {"f2", "f4", "f8", "i1", "i2", "i4",
                                        "i8", "u1", "u2", "u4", "u8", "b1"};
    struct str t = {descr.p + 1, 0};
    while (t.n + 1 < descr.n && t.p[t.n] != descr.p[0]) t.n++;
    if (descr.n > 0 && (descr.p[0] == '\'' || descr.p[0] == '"') && t.n == 3) {
        for (size_t i = 0; i < COUNT(known); i++) {
            if (memcmp(t.p + 1, known[i], 2) != 0 || !strchr("<>|=", t.p[0])) continue;
            f->swapped = t.p[0] == '>';
            f->kind = t.p[1];
            f->size = t.p[2] - '0';
            return 0;
        }
    }
    return err_set(e, E_INPUT,
                   "an array of %.*s; numbers are needed (f2 f4 f8, i1 to i8, u1 to u8 or bool)",
                   (int)MIN(t.n, 40u), t.p);
}

static int read_shape(struct npy *f, struct str shape, struct err *e)
{
    uint64_t dim[2] = {1, 1};
    int rank = 0;
    size_t at = 1, end = 1;
    while (end < shape.n && shape.p[end] != ')') end++;
    if (shape.n == 0 || shape.p[0] != '(' || end == shape.n)
        return err_set(e, E_INPUT, "the header of the .npy file has no shape");
    while (at < end) {
        size_t from = at;
        while (at < end && shape.p[at] != ',') at++;
        struct str one = str_trim((struct str){shape.p + from, at - from});
        at++;
        if (one.n == 0) continue;
        uint64_t n;
        if (!str_uint(one, INT64_MAX, &n))
            return err_set(e, E_INPUT, "\"%.*s\" is not a dimension", (int)MIN(one.n, 40u), one.p);
        if (rank == 2)
            return err_set(e, E_INPUT,
                           "an array of more than 2 dimensions; rows of numbers are needed");
        dim[rank++] = n;
    }
    if (rank == 0)
        return err_set(e, E_INPUT, "an array of no dimension; rows of numbers are needed");
    size_t there = f->map.size - f->offset;
    uint64_t room = there / (uint64_t)f->size;
    if (dim[0] && dim[1] > room / dim[0])
        return err_set(e, E_INPUT,
                       "%llu x %llu numbers of %d byte%s are promised, %zu byte%s there; the file "
                       "was cut off or is damaged",
                       (unsigned long long)dim[0], (unsigned long long)dim[1], f->size,
                       str_s(f->size), there, there == 1 ? " is" : "s are");
    f->rows = (int64_t)dim[0];
    f->columns = (int64_t)dim[1];
    return 0;
}

int npy_open(struct npy *f, struct err *e)
{
    const uint8_t *p = f->map.data;
    size_t n = f->map.size, at = n > 6 && p[6] > 1 ? 12 : 10;
    if (n < at || !npy_is(p, n) || p[6] < 1 || p[6] > 3)
        return err_set(e, E_INPUT, "not a .npy file of version 1 to 3");
    uint32_t length = p[8] | (uint32_t)p[9] << 8;
    if (at == 12) length |= (uint32_t)p[10] << 16 | (uint32_t)p[11] << 24;
    if (length > HEADER_MOST || length > n - at)
        return err_set(e, E_INPUT,
                       "a header of %u bytes in a .npy file of %zu; it was cut off or is damaged",
                       length, n);
    struct str header = {(const char *)p + at, length};
    struct str order = value_of(header, "fortran_order");
    f->offset = at + length;
    TRY(read_type(f, value_of(header, "descr"), e));
    if (order.n < 5 || (memcmp(order.p, "False", 5) != 0 && memcmp(order.p, "True", 4) != 0))
        return err_set(e, E_INPUT, "the header of the .npy file has no fortran_order");
    f->fortran = order.p[0] == 'T';
    return read_shape(f, value_of(header, "shape"), e);
}

static double number(const struct npy *f, const uint8_t *p)
{
    uint64_t bits = 0;
    for (int i = 0; i < f->size; i++)
        bits |= (uint64_t)p[f->swapped ? f->size - 1 - i : i] << (8 * i);
    if (f->kind == 'f') {
        uint32_t half = (uint32_t)bits;
        float single;
        double wide;
        if (f->size == 2) return (double)tensor_f16_to_f32((uint16_t)bits);
        memcpy(&single, &half, sizeof single);
        memcpy(&wide, &bits, sizeof wide);
        return f->size == 4 ? (double)single : wide;
    }
    if (f->kind != 'i') return (double)bits;
    int unused = 64 - 8 * f->size;
    return (double)((int64_t)(bits << unused) >> unused);
}

static bool is_single(const struct npy *f)
{
    return f->kind == 'f' && f->size == 4 && !f->swapped && !f->fortran;
}

const float *npy_single(const struct npy *f, int64_t row)
{
    const uint8_t *p = f->map.data + f->offset + (size_t)(row * f->columns) * sizeof(float);
    return is_single(f) && (uintptr_t)p % sizeof(float) == 0 ? (const float *)(const void *)p
                                                             : NULL;
}

void npy_row(const struct npy *f, int64_t row, double *out)
{
    size_t size = (size_t)f->size, step = f->fortran ? (size_t)f->rows * size : size;
    size_t first = f->fortran ? (size_t)row * size : (size_t)(row * f->columns) * size;
    const uint8_t *p = f->map.data + f->offset + first;
    if (is_single(f)) {
        for (int64_t i = 0; i < f->columns; i++) {
            float x;
            memcpy(&x, p + 4 * i, sizeof x);
            out[i] = (double)x;
        }
        return;
    }
    for (int64_t i = 0; i < f->columns; i++, p += step) out[i] = number(f, p);
}

void npy_head(char head[NPY_HEAD], int64_t rows, int64_t columns, char kind, int size)
{
    char text[NPY_HEAD];
    struct strbuf t;
    strbuf_init(&t, text, sizeof text);
    strbuf_format(&t, "{'descr': '<%c%d', 'fortran_order': False, 'shape': (%lld,", kind, size,
                  (long long)rows);
    if (columns) strbuf_format(&t, " %lld", (long long)columns);
    strbuf_text(&t, "), }");
    /* filled up with blanks to 128 bytes in all, a line's end last */
    memset(head, ' ', NPY_HEAD);
    memcpy(head, magic, sizeof magic);
    memcpy(head + 6, "\x01\x00\x76\x00", 4);
    memcpy(head + 10, t.p, t.n);
    head[NPY_HEAD - 1] = '\n';
}

int npy_save(struct arena *a, const char *path, const void *data, int64_t rows, int64_t columns,
             char kind, int size, struct err *e)
{
    char head[NPY_HEAD];
    struct file_out f;
    npy_head(head, rows, columns, kind, size);
    TRY(file_out_open(a, path, &f, e));
    size_t bytes = (size_t)(rows * (columns ? columns : 1)) * (size_t)size;
    if (file_out_write(&f, head, sizeof head, e) || file_out_write(&f, data, bytes, e) ||
        file_out_commit(&f, e)) {
        file_out_abort(&f);
        return -1;
    }
    return 0;
}
