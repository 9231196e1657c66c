/* Opens a model: finds the weight file, maps it, lets the right reader list its tensors, brings the
 * companions (config, vocabulary). Called by engine and by jobs; what the tensors are for is known
 * only to nets. */
#include "load/load.h"
#include "load/load_format.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
/* Asked in this order. A safetensors header shorter than 256 bytes also looks like a small version
 * number, so the reader with the narrower probe comes first. */
static const struct load_format *const formats[] = {
    &load_safetensors_row,
    &load_shards_row,
    &load_ggml_row,
    &load_ct2_row,
    &load_onnx_row,
};

/* Weight files looked for in a folder, and well-known ones that are not supported. */
static const struct {
    const char *name, *refusal; /* refusal: why not, or NULL */
} files[] = {
    {"model.bin",                    NULL},
    {"model.safetensors",            NULL},
    {"model.safetensors.index.json", NULL},
    {"ggml-model.bin",               NULL},
    {"pytorch_model.bin",            "it holds a PyTorch pickle, which is not supported: save it as model.safetensors"},
};

const struct load_side_name load_sides[LOAD_SIDES] = {
    [LOAD_MODULES] = {"modules.json",              "lode.modules"},
    [LOAD_POOLING] = {"1_Pooling/config.json",     "lode.pooling"},
    [LOAD_LIMIT]   = {"sentence_bert_config.json", "lode.limit"},
    [LOAD_CASE]    = {"tokenizer_config.json",     "lode.case"},
};
/* clang-format on */

#undef load_bad /* the function itself */
int load_bad(const struct load_weights *w, size_t byte, const char *tensor, struct err *e,
             const char *format, ...)
{
    char sentence[400];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    const char *path = w->map.path;
    if (strlen(path) > 160) path = file_name(path); /* leave room for the sentence */
    return err_set(e, E_MODEL, "%.160s: byte %zu%s%.200s: %s", path, byte,
                   tensor ? ", tensor " : "", tensor ? tensor : "", sentence);
}

bool load_name_fit(const char *p, size_t n)
{
    if (n == 0 || n > LOAD_NAME_MAX) return false;
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)p[i] < 0x20 || p[i] == 0x7f) return false;
    }
    return str_utf8_whole(p, n);
}

int load_shape_fit(const struct load_weights *w, const struct load_tensor *t, uint64_t stored,
                   struct err *e)
{
    for (int i = 0; i < t->t.rank; i++) {
        if (t->t.dim[i] <= 0)
            return load_bad(w, t->offset, t->name, e, "dimension %d of its shape is %lld", i,
                            (long long)t->t.dim[i]);
    }
    int64_t count = tensor_count(t->t.rank, t->t.dim), per = tensor_type_per(t->t.type);
    if (per > 1 && (t->t.rank != 2 || t->t.dim[1] % per != 0))
        return load_bad(w, t->offset, t->name, e, "%s of rank %d in rows of %lld: need rows of %d",
                        tensor_type_name(t->t.type), t->t.rank,
                        t->t.rank ? (long long)t->t.dim[t->t.rank - 1] : 1LL, (int)per);
    uint64_t bytes = 0;
    if (count < 0 ||
        __builtin_mul_overflow((uint64_t)(count / per), tensor_type_bytes(t->t.type), &bytes) ||
        bytes != stored)
        return load_bad(w, t->offset, t->name, e, "its shape needs %llu bytes, %llu are stored",
                        (unsigned long long)bytes, (unsigned long long)stored);
    return 0;
}

static int by_name(const void *x, const void *y)
{
    return strcmp(((const struct load_tensor *)x)->name, ((const struct load_tensor *)y)->name);
}

static int by_alias(const void *x, const void *y)
{
    return strcmp(((const struct load_alias *)x)->name, ((const struct load_alias *)y)->name);
}

static struct load_tensor *find(struct load_tensor *tensor, size_t n, const char *name)
{
    struct load_tensor key = {.name = name};
    return n ? bsearch(&key, tensor, n, sizeof *tensor, by_name) : NULL;
}

/* The number stored beside an I8 tensor multiplies to quantise (CTranslate2: 127 / max|row|); ours
 * multiplies to get the value back. */
static int take_scale(struct arena *a, const struct load_weights *w, struct load_tensor *t,
                      const struct load_tensor *stored, struct err *e)
{
    int64_t rows = t->t.dim[0];
    if (stored->t.type != DTYPE_F32 || tensor_count(stored->t.rank, stored->t.dim) != rows)
        return load_bad(w, stored->offset, stored->name, e,
                        "%s [%lld] is not the scale of %lld rows: need f32 [%lld]",
                        tensor_type_name(stored->t.type),
                        (long long)tensor_count(stored->t.rank, stored->t.dim), (long long)rows,
                        (long long)rows);
    float *scale = ARENA_NEW(a, float, (size_t)rows, e);
    if (!scale) return -1;
    for (int64_t r = 0; r < rows; r++) {
        float s;
        memcpy(&s, (const uint8_t *)stored->t.data + 4 * r, 4);
        scale[r] = 1.0f / s;
        if (!(s > 0) || !isfinite(s) || !isfinite(scale[r]))
            return load_bad(w, stored->offset + 4 * (size_t)r, stored->name, e,
                            "the scale of row %lld is %g", (long long)r, (double)s);
    }
    t->t.scale = scale;
    return 0;
}

static int attach_scales(struct arena *a, struct load_weights *w, bool *hidden, struct err *e)
{
    char name[LOAD_NAME_MAX + sizeof "_scale"];
    for (size_t i = 0; i < w->n; i++) {
        struct load_tensor *t = &w->tensor[i];
        if (t->t.type != DTYPE_I8 && t->t.type != DTYPE_I16) continue;
        snprintf(name, sizeof name, "%s_scale", t->name);
        const struct load_tensor *stored = find(w->tensor, w->n, name);
        if (t->t.type == DTYPE_I16) {
            if (stored)
                return load_bad(w, t->offset, t->name, e,
                                "int16 weights are not supported: convert to int8 or float16");
        } else if (stored && t->t.rank > 0) {
            TRY(take_scale(a, w, t, stored, e));
            hidden[stored - w->tensor] = true;
        } else if (t->t.rank > 1) {
            return load_bad(w, t->offset, t->name, e, "int8 weights without a tensor %.200s", name);
        }
    }
    return 0;
}

/* An alias may name another alias. A chain longer than this does not occur in files that were
 * written by a converter, and a circle has no end. */
#define ALIAS_HOPS 8

static int resolve(const struct load_weights *w, const struct load_alias *alias, size_t n_alias,
                   size_t i, const struct load_tensor **out, struct err *e)
{
    const struct load_alias *at = &alias[i];
    for (int hop = 0; hop < ALIAS_HOPS; hop++) {
        *out = find(w->tensor, w->n, at->target);
        if (*out) return 0;
        struct load_alias key = {.name = at->target};
        const struct load_alias *next = bsearch(&key, alias, n_alias, sizeof *alias, by_alias);
        if (!next)
            return load_bad(w, at->offset, at->name, e, "it stands for %.150s, which is missing",
                            at->target);
        at = next;
    }
    return load_bad(w, alias[i].offset, alias[i].name, e,
                    "a chain of more than %d names that stand for each other", ALIAS_HOPS);
}

static int refuse_twins(const struct load_weights *w, const struct load_tensor *t, size_t n,
                        struct err *e)
{
    for (size_t i = 1; i < n; i++) {
        if (strcmp(t[i - 1].name, t[i].name) == 0)
            return load_bad(w, t[i].offset, t[i].name, e, "the name is used twice");
    }
    return 0;
}

int load_settle(struct arena *a, struct load_weights *w, struct load_alias *alias, size_t n_alias,
                struct err *e)
{
    if (w->n == 0) return load_bad(w, 0, NULL, e, "there are no tensors in it");
    qsort(w->tensor, w->n, sizeof *w->tensor, by_name);
    TRY(refuse_twins(w, w->tensor, w->n, e));
    bool *hidden = ARENA_NEW(a, bool, w->n, e);
    struct load_tensor *all = ARENA_NEW(a, struct load_tensor, w->n + n_alias, e);
    if (!hidden || !all) return -1;
    TRY(attach_scales(a, w, hidden, e));

    size_t n = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (!hidden[i]) all[n++] = w->tensor[i];
    }
    if (n_alias) qsort(alias, n_alias, sizeof *alias, by_alias);
    for (size_t i = 0; i < n_alias; i++) {
        const struct load_tensor *target;
        TRY(resolve(w, alias, n_alias, i, &target, e));
        if (hidden[target - w->tensor]) continue; /* the scale went with its tensor */
        all[n] = *target;
        all[n++].name = alias[i].name;
    }
    w->tensor = all;
    w->n = n;
    return load_merge(w, e);
}

int load_merge(struct load_weights *w, struct err *e)
{
    if (w->n) qsort(w->tensor, w->n, sizeof *w->tensor, by_name);
    return refuse_twins(w, w->tensor, w->n, e);
}

/* Reads FOLDER/NAME if it exists; *out stays empty if it does not. */
static int companion(struct arena *a, const struct load_weights *w, const char *name,
                     size_t max_bytes, struct str *out, struct err *e)
{
    char *path = file_join(a, w->folder, name, e);
    if (!path) return -1;
    if (file_kind(path) != FILE_REGULAR) return 0;
    int64_t size = file_size(path);
    if (size > (int64_t)max_bytes)
        return err_set(e, E_MODEL, "%s: %lld bytes, at most %zu can be right", path,
                       (long long)size, max_bytes);
    return file_read(a, path, max_bytes, out, e);
}

/* ONNX files carry names of their own: *out is the one in this folder, or NULL. */
static int only_onnx(struct arena *a, const char *folder, char **out, struct err *e)
{
    char **names, *found = NULL;
    size_t n;
    *out = NULL;
    TRY(file_list(a, folder, &names, &n, e));
    for (size_t i = 0; i < n; i++) {
        if (!str_ends(names[i], ".onnx")) continue;
        if (found)
            return err_set(e, E_MODEL, "%.200s: several ONNX files, %.100s and %.100s: name one",
                           folder, found, names[i]);
        found = names[i];
    }
    if (found) *out = file_join(a, folder, found, e);
    return found && !*out ? -1 : 0;
}

static int map_weights(struct arena *a, const char *path, struct load_weights *w, struct err *e)
{
    enum file_kind kind = file_kind(path);
    if (kind == FILE_NONE)
        return err_set(e, E_MODEL, "%.300s: there is no such file or folder", path);
    size_t folder = strlen(path);
    if (kind != FILE_FOLDER) {
        folder = (size_t)(file_name(path) - path);
        if (folder > 1) folder--; /* the slash, unless it is all there is */
    }
    if (folder >= sizeof w->folder)
        return err_set(e, E_MODEL,
                       "%.100s...: the path of %zu bytes is too long, at most %zu can be used",
                       path, folder, sizeof w->folder - 1);
    memcpy(w->folder, path, folder);
    if (folder == 0) w->folder[0] = '.';
    if (kind != FILE_FOLDER) return file_map(path, &w->map, e);

    for (size_t i = 0; i < COUNT(files); i++) {
        char *file = file_join(a, path, files[i].name, e);
        if (!file) return -1;
        if (file_kind(file) == FILE_NONE) continue;
        if (files[i].refusal) return err_set(e, E_MODEL, "%.200s: %s", path, files[i].refusal);
        return file_map(file, &w->map, e);
    }
    char *file;
    TRY(only_onnx(a, path, &file, e));
    if (file) return file_map(file, &w->map, e);
    return err_set(
        e, E_MODEL,
        "%.300s: no model in this folder (model.bin, model.safetensors, ggml-model.bin or "
        "one .onnx file)",
        path);
}

/* What the container's file does not have inside. */
static int read_companions(struct arena *a, struct load_weights *w, struct err *e)
{
    if (w->config.n == 0) {
        TRY(companion(a, w, "config.json", LOAD_CONFIG_MAX, &w->config, e));
        TRY(companion(a, w, "generation_config.json", LOAD_CONFIG_MAX, &w->generation, e));
    }
    if (w->vocabulary.n) return 0;
    TRY(companion(a, w, "vocabulary.txt", LOAD_VOCABULARY_MAX, &w->vocabulary, e));
    if (w->vocabulary.n) return 0;
    TRY(companion(a, w, "vocabulary.json", LOAD_VOCABULARY_MAX, &w->vocabulary, e));
    if (w->vocabulary.n) return 0;
    TRY(companion(a, w, "vocab.json", LOAD_VOCABULARY_MAX, &w->vocabulary, e));
    return w->vocabulary.n ? companion(a, w, "added_tokens.json", LOAD_VOCABULARY_MAX, &w->added, e)
                           : 0;
}

static int read_weights(struct arena *a, struct load_weights *w, struct err *e)
{
    const uint8_t *p = w->map.data;
    size_t n = w->map.size;
    for (size_t i = 0; i < COUNT(formats); i++) {
        if (!formats[i]->probe(p, n)) continue;
        w->format = formats[i]->name;
        TRY(formats[i]->open(a, w, e));
        return w->alone ? 0 : read_companions(a, w, e);
    }
    if (n < 16)
        return load_bad(w, 0, NULL, e, "%zu byte%s too few for a model", n,
                        n == 1 ? " is" : "s are");
    return load_bad(w, 0, NULL, e,
                    "neither a CTranslate2 model nor safetensors nor ggml nor ONNX (it begins "
                    "%02x %02x %02x %02x)",
                    p[0], p[1], p[2], p[3]);
}

int load_open(struct arena *a, const char *path, struct load_weights *w, struct err *e)
{
    memset(w, 0, sizeof *w);
    w->format = w->spec = "";
    TRY(map_weights(a, path, w, e));
    if (read_weights(a, w, e) != 0) {
        load_close(w);
        return -1;
    }
    return 0;
}

void load_close(struct load_weights *w)
{
    for (size_t i = 0; i < w->n_shards; i++) file_unmap(&w->shard[i]);
    file_unmap(&w->map);
    memset(w, 0, sizeof *w);
}

const struct load_tensor *load_find(const struct load_weights *w, const char *name)
{
    return find(w->tensor, w->n, name);
}

void load_drop(const struct load_weights *w, const void *data, size_t bytes)
{
    uintptr_t p = (uintptr_t)data;
    for (size_t i = 0; i <= w->n_shards; i++) {
        const struct file_map *m = i < w->n_shards ? &w->shard[i] : &w->map;
        uintptr_t from = (uintptr_t)m->data;
        if (p < from || p - from > m->size || bytes > m->size - (p - from)) continue;
        file_map_drop(m, (size_t)(p - from), bytes);
        return;
    }
}

int load_tokenizer(struct arena *a, struct load_weights *w, struct err *e)
{
    if (w->tokenizer.n || w->alone) return 0;
    TRY(companion(a, w, "tokenizer.json", LOAD_TOKENIZER_MAX, &w->tokenizer, e));
    if (w->tokenizer.n) return 0;
    return companion(a, w, "vocab.txt", LOAD_TOKENIZER_MAX, &w->wordpieces, e);
}

int load_side(struct arena *a, const struct load_weights *w, enum load_side side, struct str *out,
              struct err *e)
{
    *out = w->side[side];
    if (out->n || w->alone) return 0;
    return companion(a, w, load_sides[side].file, LOAD_CONFIG_MAX, out, e);
}
