/* Writers of vectors: npy, JSON lines, CSV. */
#ifndef JOBS_VECTORS_H
#define JOBS_VECTORS_H

#include "jobs/out.h"

#define VECTORS_FORMATS "npy|jsonl|csv"

enum vectors_format { VECTORS_NPY, VECTORS_JSONL, VECTORS_CSV };

struct vectors_out {
    struct out_sink sink;
    enum vectors_format format;
    bool half; /* npy: float16; else float32 */
    int64_t n; /* written so far */
    int width;
    char *line; /* room for one */
    size_t room;
};

/* vectors_begin: `total` vectors of `width` numbers will follow. Memory from a. Errors: the sink's,
 * E_NOMEM. */
int vectors_begin(struct arena *a, const struct out_sink *sink, enum vectors_format format,
                  bool half, int64_t total, int width, struct vectors_out *v, struct err *e);

/* vectors_put: the next one. id: what the record calls itself, or empty; npy has no place for it.
 */
int vectors_put(struct vectors_out *v, struct str id, const float *x, struct err *e);

#endif
