/* Writes one safetensors file as a stream: the header first, then the data of every tensor in the
 * order of the header. The same input gives the same bytes. */
#ifndef LOAD_SAVE_SAFETENSORS_H
#define LOAD_SAVE_SAFETENSORS_H

#include "base/file.h"
#include "core/tensor.h"

struct save_safetensors_tensor {
    const char *name;
    enum dtype type;
    int rank;
    int64_t dim[TENSOR_RANK];
    size_t id; /* the caller's, to know it again after sorting */
};

struct save_safetensors_note { /* of "__metadata__" */
    const char *key;
    struct str text; /* valid UTF-8 */
};

struct save_safetensors {
    struct file_out file;
    uint64_t data_left; /* bytes still to be put */
};

/* save_safetensors_begin: opens the file and writes the header. tensor [n] is sorted into the order
 * of the file, which is the order the data must then be put in: widest type first, then by name,
 * so that without any padding every tensor lies on a multiple of its type's size (as the format's
 * own library does it). Names must differ. note [n_notes] in the order given.
 * Errors: E_IO, E_NOMEM; then nothing is left behind. */
int save_safetensors_begin(struct arena *a, const char *path,
                           struct save_safetensors_tensor *tensor, size_t n,
                           const struct save_safetensors_note *note, size_t n_notes,
                           struct save_safetensors *s, struct err *e);

/* save_safetensors_put: the next n bytes of data, in pieces of any size. Errors: E_IO. */
int save_safetensors_put(struct save_safetensors *s, const void *p, size_t n, struct err *e);

/* save_safetensors_end: all data was put (asserted); the file appears under its name. Errors: E_IO.
 * save_safetensors_abort: leaves nothing behind; harmless after end. */
int save_safetensors_end(struct save_safetensors *s, struct err *e);
void save_safetensors_abort(struct save_safetensors *s);

#endif
