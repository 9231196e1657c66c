/* Vectors of texts kept in an SQLite file between runs. libsqlite3 is not linked into ./lode:
 * index.c alone includes it and is built as the module lode-index.so, whose one symbol is this
 * table of functions. */
#ifndef LOAD_INDEX_H
#define LOAD_INDEX_H

#include "base/arena.h"
#include "base/sha.h"

#define INDEX_MODULE "index" /* see module_open */
#define INDEX_SYMBOL "index_module"

struct index;

struct index_of {                 /* whose vectors they are */
    const char *model, *settings; /* for people, and settings must agree */
    uint8_t mark[SHA_BYTES];      /* of the weights */
    int width;
};

struct index_module {
    /* open: an index that is not there yet, or an empty file, becomes one. Lives in a. Errors:
     * E_INPUT (no index of lode: nothing is changed; damaged; of another model, width or settings),
     * E_IO (cannot be opened or written, in use by another process for 10 s). */
    int (*open)(struct arena *a, const char *path, const struct index_of *of, struct index **out,
                struct err *e);

    /* settings: those of an index that is there, copied to a; NULL if there is none yet, or it does
     * not say. For who must know them before the model is open. Changes nothing. Errors: E_INPUT,
     * E_IO as open's, E_NOMEM. */
    int (*settings)(struct arena *a, const char *path, const char **out, struct err *e);

    /* get: 1 and the vector of a text by the hash of it; 0: there is none; -1: E_INPUT (the file is
     * damaged), E_IO. */
    int (*get)(struct index *x, const uint8_t hash[SHA_BYTES], float *vector, struct err *e);

    /* put: adds or replaces one; it stays when commit has returned. Errors: as get. */
    int (*put)(struct index *x, const uint8_t hash[SHA_BYTES], const float *vector, struct err *e);
    int (*commit)(struct index *x, struct err *e);

    void (*close)(struct index **x); /* what was not committed is not kept */
};

extern BASE_EXPORT const struct index_module index_module;

#endif
