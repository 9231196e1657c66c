/* safetensors -> raw tensors: u64 length of the header, the header (JSON: name -> dtype, shape,
 * data_offsets), then the data, without holes or overlap.
 *
 * Files written by `lode convert` use the free-form "__metadata__" and plain tensors to carry what
 * the format has no place for: "lode.config" (the text of config.json), "lode.aliases" (lines of
 * ALIAS tab TARGET), "lode.generation" (generation_config.json), of encoders of texts
 * "lode.modules" (modules.json), "lode.pooling" (1_Pooling/config.json), "lode.limit"
 * (sentence_bert_config.json) and "lode.case" (tokenizer_config.json), and the U8 tensors
 * lode.vocabulary, lode.added (added_tokens.json), lode.tokenizer and lode.wordpieces (vocab.txt),
 * which are not listed. A file with "lode.config" has all of it inside: what lies beside it is
 * another model's.
 *
 * A large model lies in several such files; model.safetensors.index.json names them:
 * {"weight_map": {TENSOR: FILE, ...}}.
 *
 * Source: safetensors 0.4 README.md and src/tensor.rs. Held by: tests/t_load.c, t_side.c,
 * fz_safetensors.c.
 */
#include "base/json.h"
#include "load/load_format.h"
#include <stdlib.h>

/* The largest header of a known model is 0.3 MB; the format itself allows 100 MB, which would cost
 * a gigabyte once parsed. */
#define HEADER_MAX (16u << 20)

/* clang-format off */
/* Types the format has. Integers wider than lode's hold indices, never weights: such a tensor is
 * passed over. The others would be missed, so the file is refused. */
static const struct stored_type {
    const char *text;
    uint64_t bytes;
    enum { USED, PASSED, REFUSED } use;
    enum dtype type;
} types[] = {
    {"F32",  4, USED,    DTYPE_F32},  {"F16",     2, USED,    DTYPE_F16},
    {"BF16", 2, USED,    DTYPE_BF16}, {"I8",      1, USED,    DTYPE_I8},
    {"U8",   1, USED,    DTYPE_U8},   {"I16",     2, USED,    DTYPE_I16},
    {"I32",  4, USED,    DTYPE_I32},  {"I64",     8, PASSED,  DTYPE_COUNT},
    {"U64",  8, PASSED,  DTYPE_COUNT},{"U32",     4, PASSED,  DTYPE_COUNT},
    {"U16",  2, PASSED,  DTYPE_COUNT},{"BOOL",    1, PASSED,  DTYPE_COUNT},
    {"F64",  8, REFUSED, DTYPE_COUNT},{"F8_E4M3", 1, REFUSED, DTYPE_COUNT},
    {"F8_E5M2", 1, REFUSED, DTYPE_COUNT},
};
/* clang-format on */

struct entry { /* a tensor of the header */
    struct load_tensor t;
    const struct stored_type *type;
    uint64_t begin, end; /* within the data */
};

struct header {
    struct load_weights *w;
    size_t data; /* where it begins in the file */
    struct entry *entry;
    size_t n;
    struct load_alias *alias;
    size_t n_alias;
};

static int read_type(const struct header *h, struct entry *t, const struct json *v, struct err *e)
{
    struct str text = json_text(json_key(v, "dtype"));
    for (size_t i = 0; i < COUNT(types); i++) {
        if (!str_eq(text, types[i].text)) continue;
        t->type = &types[i];
        if (types[i].use != REFUSED) return 0;
    }
    return load_bad(h->w, 8, t->t.name, e, "type \"%.*s\" is not supported",
                    load_name_fit(text.p, text.n) ? (int)MIN(text.n, 20u) : 0,
                    text.n ? text.p : "");
}

static int read_shape(const struct header *h, struct entry *t, const struct json *v, struct err *e)
{
    const struct json *shape = json_key(v, "shape"), *offsets = json_key(v, "data_offsets");
    size_t rank = json_count(shape);
    if (!json_is_array(shape) || rank > TENSOR_RANK)
        return load_bad(h->w, 8, t->t.name, e, "rank %zu, at most %d can be used", rank,
                        TENSOR_RANK);
    uint64_t bytes = t->type->bytes;
    t->t.t.rank = (int)rank;
    for (size_t i = 0; i < rank; i++) {
        int64_t dim = json_int(json_at(shape, i), -1);
        if (dim <= 0 || __builtin_mul_overflow(bytes, (uint64_t)dim, &bytes))
            return load_bad(h->w, 8, t->t.name, e, "dimension %zu of its shape is not usable", i);
        t->t.t.dim[i] = dim;
    }
    int64_t begin = json_int(json_at(offsets, 0), -1), end = json_int(json_at(offsets, 1), -1);
    uint64_t data = h->w->map.size - h->data;
    if (!json_is_array(offsets) || json_count(offsets) != 2 || begin < 0 || end < begin ||
        (uint64_t)end > data)
        return load_bad(h->w, 8, t->t.name, e,
                        "its data_offsets are not within the %llu bytes of data",
                        (unsigned long long)data);
    t->begin = (uint64_t)begin;
    t->end = (uint64_t)end;
    t->t.offset = h->data + (size_t)begin;
    t->t.bytes = (size_t)(end - begin);
    t->t.t.data = h->w->map.data + t->t.offset;
    if (t->t.bytes != bytes)
        return load_bad(h->w, t->t.offset, t->t.name, e,
                        "its shape needs %llu bytes, %zu are stored", (unsigned long long)bytes,
                        t->t.bytes);
    if (t->type->use != USED) return 0;
    t->t.t.type = t->type->type;
    return load_shape_fit(h->w, &t->t, bytes, e);
}

static int copy_text(struct arena *a, struct str in, struct str *out, struct err *e)
{
    out->n = in.n;
    out->p = arena_text(a, in.p, in.n, e);
    return out->p ? 0 : -1;
}

static int read_aliases(struct arena *a, struct header *h, struct str text, struct err *e)
{
    struct str line, rest = text;
    size_t lines = 0;
    while (str_line(&rest, &line)) lines++;
    if (lines > LOAD_TENSORS_MAX)
        return load_bad(h->w, 8, NULL, e, "%zu aliases, at most %d can be used", lines,
                        LOAD_TENSORS_MAX);
    h->alias = ARENA_NEW(a, struct load_alias, lines, e);
    if (!h->alias) return -1;
    for (rest = text; str_line(&rest, &line); h->n_alias++) {
        struct load_alias *alias = &h->alias[h->n_alias];
        const char *tab = line.n ? memchr(line.p, '\t', line.n) : NULL;
        size_t name = tab ? (size_t)(tab - line.p) : 0;
        if (!tab || !load_name_fit(line.p, name) || !load_name_fit(tab + 1, line.n - name - 1))
            return load_bad(h->w, 8, NULL, e, "line %zu of lode.aliases is not \"NAME tab NAME\"",
                            h->n_alias + 1);
        alias->offset = 8;
        alias->name = arena_text(a, line.p, name, e);
        alias->target = arena_text(a, tab + 1, line.n - name - 1, e);
        if (!alias->name || !alias->target) return -1;
    }
    return 0;
}

static int read_note(struct arena *a, const struct header *h, const struct json *v, const char *key,
                     struct str *out, struct err *e)
{
    struct str text = json_text(json_key(v, key));
    if (text.n > LOAD_CONFIG_MAX)
        return load_bad(h->w, 8, NULL, e, "%s of %zu bytes, at most %u can be right", key, text.n,
                        LOAD_CONFIG_MAX);
    return text.n ? copy_text(a, text, out, e) : 0;
}

static int read_metadata(struct arena *a, struct header *h, const struct json *v, struct err *e)
{
    struct str aliases = json_text(json_key(v, "lode.aliases"));
    TRY(read_note(a, h, v, "lode.config", &h->w->config, e));
    TRY(read_note(a, h, v, "lode.generation", &h->w->generation, e));
    for (size_t i = 0; i < LOAD_SIDES; i++)
        TRY(read_note(a, h, v, load_sides[i].note, &h->w->side[i], e));
    h->w->alone = h->w->config.n > 0;
    return aliases.n ? read_aliases(a, h, aliases, e) : 0;
}

static int read_entries(struct arena *a, struct header *h, const struct json *root, struct err *e)
{
    size_t n = json_count(root);
    if (!json_is_object(root)) return load_bad(h->w, 8, NULL, e, "the header is not a JSON object");
    if (n > LOAD_TENSORS_MAX)
        return load_bad(h->w, 8, NULL, e, "%zu tensors, at most %d can be used", n,
                        LOAD_TENSORS_MAX);
    h->entry = ARENA_NEW(a, struct entry, n, e);
    if (!h->entry) return -1;
    for (size_t i = 0; i < n; i++) {
        const struct json *v;
        const char *name = json_name_at(root, i, &v);
        if (strcmp(name, "__metadata__") == 0) {
            TRY(read_metadata(a, h, v, e));
            continue;
        }
        struct entry *t = &h->entry[h->n++];
        size_t length = strlen(name);
        if (!load_name_fit(name, length))
            return load_bad(h->w, 8, NULL, e, "entry %zu of the header has no readable name", i);
        t->t.name = arena_text(a, name, length, e);
        if (!t->t.name) return -1;
        TRY(read_type(h, t, v, e));
        TRY(read_shape(h, t, v, e));
    }
    return 0;
}

static int by_begin(const void *x, const void *y)
{
    const struct entry *s = x, *t = y;
    if (s->begin != t->begin) return s->begin < t->begin ? -1 : 1;
    return s->end < t->end ? -1 : s->end > t->end;
}

/* Every byte of data belongs to exactly one tensor. */
static int check_cover(struct header *h, struct err *e)
{
    uint64_t at = 0;
    if (h->n) qsort(h->entry, h->n, sizeof *h->entry, by_begin);
    for (size_t i = 0; i < h->n; i++) {
        const struct entry *t = &h->entry[i];
        if (t->begin != at)
            return load_bad(h->w, h->data + (size_t)at, t->t.name, e,
                            "it begins at byte %llu of the data, where %llu is expected: %s",
                            (unsigned long long)t->begin, (unsigned long long)at,
                            t->begin < at ? "tensors overlap" : "bytes belong to no tensor");
        at = t->end;
    }
    if (h->data + at != h->w->map.size)
        return load_bad(h->w, h->data + (size_t)at, NULL, e, "%zu bytes after the last tensor",
                        h->w->map.size - h->data - (size_t)at);
    return 0;
}

/* A companion inside the file; false if t is none. */
static int take_companion(struct load_weights *w, const struct entry *t, bool *taken, struct err *e)
{
    const struct {
        const char *name;
        size_t max;
        struct str *to;
    } companions[] = {{"lode.vocabulary", LOAD_VOCABULARY_MAX, &w->vocabulary},
                      {"lode.added", LOAD_VOCABULARY_MAX, &w->added},
                      {"lode.tokenizer", LOAD_TOKENIZER_MAX, &w->tokenizer},
                      {"lode.wordpieces", LOAD_TOKENIZER_MAX, &w->wordpieces}};
    size_t i = 0;
    while (i < COUNT(companions) && strcmp(t->t.name, companions[i].name) != 0) i++;
    *taken = i < COUNT(companions);
    if (!*taken) return 0;
    size_t max = companions[i].max;
    if (t->type->type != DTYPE_U8 || t->t.bytes > max)
        return load_bad(w, t->t.offset, t->t.name, e,
                        "%zu bytes of %s, at most %zu of U8 can be right", t->t.bytes,
                        t->type->text, max);
    *companions[i].to = (struct str){t->t.t.data, t->t.bytes};
    return 0;
}

static int read_header(struct arena *a, struct header *h, const struct json *root, struct err *e)
{
    struct load_weights *w = h->w;
    TRY(read_entries(a, h, root, e));
    TRY(check_cover(h, e));
    w->tensor = ARENA_NEW(a, struct load_tensor, h->n, e);
    if (!w->tensor) return -1;
    for (size_t i = 0; i < h->n; i++) {
        bool taken;
        TRY(take_companion(w, &h->entry[i], &taken, e));
        if (!taken && h->entry[i].type->use == USED) w->tensor[w->n++] = h->entry[i].t;
    }
    return load_settle(a, w, h->alias, h->n_alias, e);
}

static int open_safetensors(struct arena *a, struct load_weights *w, struct err *e)
{
    uint64_t length = load_u64(w->map.data);
    if (length > w->map.size - 8 || length > HEADER_MAX)
        return load_bad(w, 0, NULL, e, "a header of %llu bytes in a file of %zu (at most %u)",
                        (unsigned long long)length, w->map.size, HEADER_MAX);
    struct header h = {.w = w, .data = 8 + (size_t)length};
    struct json_doc *doc = NULL;
    struct err why;
    err_clear(&why);
    if (json_open(a, (const char *)w->map.data + 8, (size_t)length, &doc, &why) != 0)
        return load_bad(w, 8, NULL, e, "the header cannot be read: %s", why.text);
    int result = read_header(a, &h, json_root(doc), e);
    json_close(&doc);
    return result;
}

static bool probe_safetensors(const uint8_t *p, size_t n)
{
    return n >= 16 && p[8] == '{';
}

const struct load_format load_safetensors_row = {"safetensors", probe_safetensors,
                                                 open_safetensors};
