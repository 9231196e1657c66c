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
    size_t offset;   /* of data in its file, for messages */
    size_t bytes;    /* there; 0 if the data was copied (to the arena) */
};

enum load_side { /* what sentence-transformers lays beside an encoder of texts */
                 LOAD_MODULES,
                 LOAD_POOLING,
                 LOAD_LIMIT,
                 LOAD_CASE,
                 LOAD_SIDES
};

struct load_side_name {
    const char *file; /* in the model's folder */
    const char *note; /* that carries its text in a file of `lode convert` */
};

extern const struct load_side_name load_sides[LOAD_SIDES]; /* by enum load_side */

struct load_weights {
    const char *format;     /* "ctranslate2", "safetensors", "ggml", "onnx" */
    const char *spec;       /* what the container says it is ("WhisperSpec"), or "" */
    uint32_t revision;      /* of that, 0 if it says nothing */
    struct file_map map;    /* the file, or the index of several; unmapped by load_close */
    struct file_map *shard; /* the files an index names, in a; unmapped by load_close */
    size_t n_shards;
    struct load_tensor *tensor; /* sorted by name (bytewise); aliases are entries of their own that
                                   share data and scale; the NAME_scale of an I8 tensor is not
                                   listed, it has become that tensor's t.scale */
    size_t n;
    bool alone;            /* the file has inside what others have beside it: nothing beside it is
                              read */
    struct str config;     /* config.json, empty if the container's companion is missing. Of ggml:
                              its header, in the words of Hugging Face */
    struct str generation; /* generation_config.json, raw; empty if missing */
    struct str vocabulary; /* vocabulary.txt, vocabulary.json or vocab.json, raw; empty if missing.
                              Of ggml: the ordinary tokens, as vocabulary.txt */
    struct str added;      /* added_tokens.json, raw, if the vocabulary is vocab.json */
    struct str tokenizer;  /* tokenizer.json, raw; read on request by load_tokenizer */
    struct str wordpieces; /* vocab.txt of BERT, raw, if there is no tokenizer.json; as that */
    struct str side[LOAD_SIDES]; /* those the file carries inside, raw: ask load_side */
    char folder[512];
};

struct load_format { /* a row of the table of formats */
    const char *name;
    bool (*probe)(const uint8_t *p, size_t n); /* by the first bytes */
    int (*open)(struct arena *a, struct load_weights *w,
                struct err *e); /* w->map is set; fills tensor, n, format */
};

/* load_open: path is a model folder (model.bin, model.safetensors, model.safetensors.index.json,
 * ggml-model.bin or a single .onnx file inside, config.json and vocabulary beside) or one weight
 * file or index. A safetensors file written by `lode convert` carries its companions inside, and
 * then nothing beside it is read. Everything but the map lives in a. On failure nothing is left
 * open. Errors: E_MODEL (which file, byte and tensor, and what is wrong), E_IO, E_NOMEM. */
int load_open(struct arena *a, const char *path, struct load_weights *w, struct err *e);
void load_close(struct load_weights *w);

/* load_find: NULL if there is no such tensor. */
const struct load_tensor *load_find(const struct load_weights *w, const char *name);

/* load_drop: the pages of these bytes of a tensor are not needed any more; nothing if they are in
 * no file of w. */
void load_drop(const struct load_weights *w, const void *data, size_t bytes);

/* load_sound: E_MODEL with the name of the first tensor of f32, f16 or bf16 (or scales) that has an
 * infinity or NaN. The one whose data is `but` is not read: of a table of words few rows are used,
 * and what those make of a vector shows. */
int load_sound(struct arena *a, const struct load_weights *w, const void *but, int threads,
               struct err *e);

/* load_tokenizer: reads the raw tokenizer.json of the model into w->tokenizer, or, if it has none,
 * vocab.txt into w->wordpieces (empty if the model has neither). */
int load_tokenizer(struct arena *a, struct load_weights *w, struct err *e);

/* load_side: the raw text, from inside the file or from beside it; empty if the model has none.
 * Errors: E_MODEL (too large), E_IO, E_NOMEM. */
int load_side(struct arena *a, const struct load_weights *w, enum load_side side, struct str *out,
              struct err *e);

#endif
