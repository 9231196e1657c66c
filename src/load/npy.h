/* NumPy's .npy files, versions 1 to 3: one array of numbers. Nothing in the file is believed: the
 * shape must be what the file has room for. */
#ifndef LOAD_NPY_H
#define LOAD_NPY_H

#include "base/file.h"

struct npy {
    struct file_map map;
    size_t offset;         /* of the numbers */
    int64_t rows, columns; /* an array of one dimension is one column */
    char kind;             /* f i u b: as NumPy writes it */
    int size;              /* bytes of a number */
    bool swapped, fortran; /* big-endian; columns lie together */
};

/* npy_is: by the first bytes. */
bool npy_is(const uint8_t *p, size_t n);
/* npy_open: takes a mapped file (struct npy.map is set) apart. Errors: E_INPUT with what the header
 * says and what there is. The map stays the caller's. */
int npy_open(struct npy *f, struct err *e);
/* npy_row: columns of a row, as double. */
void npy_row(const struct npy *f, int64_t row, double *out);
/* npy_single: the row where it lies, if as f32 of this machine; or NULL. */
const float *npy_single(const struct npy *f, int64_t row);

#define NPY_HEAD 128 /* bytes before the numbers of a file of ours */

/* npy_head: what such a file begins with. `columns` 0: one dimension. kind and size as above: f2,
 * f4, f8, i4. */
void npy_head(char head[NPY_HEAD], int64_t rows, int64_t columns, char kind, int size);

/* npy_save: a whole file. Errors: E_IO. */
int npy_save(struct arena *a, const char *path, const void *data, int64_t rows, int64_t columns,
             char kind, int size, struct err *e);

#endif
