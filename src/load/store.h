/* The models on this machine: a name or a path -> the folder (or file) load_open takes. The cache
 * is one folder per model, which appears there only when it is complete. */
#ifndef LOAD_STORE_H
#define LOAD_STORE_H

#include "load/fetch.h"

struct store_model {
    const char *name, *path;
    const char *format; /* "ctranslate2", "safetensors", "onnx", "" if none is seen in the folder */
    double bytes;       /* on disk; of a model that is not cached: to fetch */
    bool cached;
};

/* store_find: what a user calls a model -> *path, in a. In this order:
 * a word with a '/' in it, or the name of a file or model folder that exists, is used in place;
 * a cached model gives its folder; a name of the catalogue is fetched, which is noted, unless
 * offline. Errors: E_MODEL (unknown: with the nearest name; not cached and offline), E_NETWORK,
 * E_MISSING (no lode-pull.so), E_IO, E_CANCELLED. */
int store_find(struct arena *a, const char *name_or_path, bool offline, const struct fetch_watch *w,
               char **path, struct err *e);

/* store_fetch: a catalogue model into the cache, through `pull`; *path its folder. Two processes
 * that fetch the same model at once: the second waits and finds it there. */
int store_fetch(struct arena *a, const struct catalog_row *row, const struct pull_module *pull,
                const struct fetch_watch *w, char **path, struct err *e);

/* store_is_path: whether store_find would use this word in place. */
bool store_is_path(const char *name_or_path);

/* store_add: copies the model at `from` (a folder or one weight file; it must open) into the cache
 * as `name`, or, if that is NULL, under the name of its folder, or of its file without suffix.
 * Errors: as load_open; E_MODEL if the name is taken or cannot be one; E_IO. */
int store_add(struct arena *a, const char *from, const char *name, const struct fetch_watch *w,
              char **path, struct err *e);

/* store_list: cached models by name, then the catalogue's others in its order. */
int store_list(struct arena *a, struct store_model **out, size_t *n, struct err *e);

/* store_remove: a cached model, or what is left of a fetch; *bytes is what it took. Waits for
 * whoever writes the model. Errors: E_MODEL if it is not cached (any more), E_CANCELLED, E_IO. */
int store_remove(struct arena *a, const char *name, const struct fetch_watch *w, double *bytes,
                 struct err *e);

#endif
