/* Weight containers -> named tensors, borrowed from a mapped file. Every count, length, offset and
 * name in the file is hostile until checked. What the names mean is not known here. */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "base/file.h"
#include "core/tensor.h"

struct load_tensor {
    const char *name;
    struct tensor t; /* data in the map (may be unaligned: read through tensor_row or memcpy); I8
                        scale in the arena, as multiplier */
    size_t offset;   /* of data in the file, for file_map_drop */
    size_t bytes;
};

struct load_weights {
    const char *format;         /* "ctranslate2", "safetensors", "test" */
    struct file_map map;        /* the file; unmapped by load_close */
    struct load_tensor *tensor; /* sorted by name (bytewise) */
    size_t n;
    struct str config;     /* config.json, empty if the container's companion is missing */
    struct str vocabulary; /* vocabulary.txt or .json, raw; empty if missing */
    struct str tokenizer;  /* tokenizer.json, raw; loaded on request by load_companion */
    char folder[512];
};

struct load_format { /* a row of the table of formats */
    const char *name;
    bool (*probe)(const uint8_t *p, size_t n); /* by the first bytes */
    int (*open)(struct arena *a, struct load_weights *w,
                struct err *e); /* w->map is set; fills tensor, n, format */
};

/* load_open: path is a model folder (model.bin or model.safetensors inside, config.json and
 * vocabulary beside) or one weight file. Everything but the map lives in a. Errors: E_MODEL (what
 * is wrong, at which byte), E_IO, E_NOMEM. */
int load_open(struct arena *a, const char *path, struct load_weights *w, struct err *e);
void load_close(struct load_weights *w);

/* load_find: NULL if there is no such tensor. load_nearest: a name to suggest, or NULL. */
const struct load_tensor *load_find(const struct load_weights *w, const char *name);

/* load_drop: the pages of a tensor are not needed any more. */
void load_drop(const struct load_weights *w, const struct load_tensor *t);

/* load_tokenizer: reads the raw tokenizer.json of the model into w->tokenizer (empty if the model
 * has none). */
int load_tokenizer(struct arena *a, struct load_weights *w, struct err *e);

#endif
