/* bench_nearest BASE.npy QUERY.npy ROWS: the ten nearest rows of BASE for each of QUERY's, as `lode match` searches;
 * i32 rows to ROWS; prints seconds of making ready and of searching. Run by bench/embed. */
#include "base/thread.h"
#include "jobs/search.h"
#include "load/npy.h"
#include <stdio.h>

enum { TOP = 10 };

struct rows {
    struct npy file;
    float *x;
};

static int read_rows(struct arena *a, const char *path, struct rows *r, struct err *e)
{
    TRY(file_map(path, &r->file.map, e));
    TRY(npy_open(&r->file, e));
    size_t n = (size_t)(r->file.rows * r->file.columns);
    double *row = ARENA_NEW(a, double, (size_t)r->file.columns, e);
    if (!row || !(r->x = ARENA_NEW(a, float, n, e))) return -1;
    for (int64_t i = 0; i < r->file.rows; i++) {
        npy_row(&r->file, i, row);
        for (int64_t c = 0; c < r->file.columns; c++)
            r->x[i * r->file.columns + c] = (float)row[c];
    }
    return 0;
}

static int bench(struct arena *a, char **argv, struct err *e)
{
    struct rows base = {0}, query = {0};
    struct search s = {0};
    struct engine_options on = {.device = "cpu", .kernels = "auto"};
    TRY(read_rows(a, argv[1], &base, e));
    TRY(read_rows(a, argv[2], &query, e));
    size_t n = (size_t)query.file.rows;
    int32_t *group = ARENA_NEW(a, int32_t, (size_t)base.file.rows, e),
            *row = ARENA_NEW(a, int32_t, n * TOP, e);
    float *product = ARENA_NEW(a, float, n * TOP, e);
    if (!group || !row || !product) return -1;
    for (int64_t i = 0; i < base.file.rows; i++) group[i] = (int32_t)i;
    double start_s = thread_seconds();
    TRY(search_open(&on, base.x, group, base.file.rows, (int)base.file.columns, TOP, &s, e));
    double ready_s = thread_seconds();
    TRY(search_run(&s, query.x, n, row, product, e));
    printf("%.4f %.4f\n", ready_s - start_s, thread_seconds() - ready_s);
    search_close(&s);
    struct file_out f;
    TRY(file_out_open(a, argv[3], &f, e));
    TRY(file_out_write(&f, row, n * TOP * sizeof *row, e));
    return file_out_commit(&f, e);
}

int main(int argc, char **argv)
{
    struct arena *a;
    struct err e;
    if (argc != 4) return 2;
    if (arena_open("bench", 0, &a, &e) || bench(a, argv, &e)) {
        fprintf(stderr, "%s\n", e.text);
        return 1;
    }
    arena_close(&a);
    return 0;
}
