/* CTranslate2 model.bin, binary versions 2 to 6 -> raw tensors. All integers little endian, nothing
 * aligned, nothing padded; a string is u16 length (with its NUL), bytes, NUL.
 *
 *     u32 version, string spec, u32 revision, u32 variables
 *     variable: string name, u8 rank, u32 dim[rank], TYPE, payload
 *         TYPE from version 4: u8 type, u32 bytes        before: u8 bytes of an item, u32 items
 *     from version 3: u32 aliases, each: string alias, string target
 *
 * Source: CTranslate2 src/models/model.cc (reader) and python/ctranslate2/specs/model_spec.py
 * (writer), 4.8. Held by: tests/t_load.c, tests/fuzz/fz_ct2.c. */
#include "load/load_format.h"

struct cursor { /* at <= w->map.size always */
    const struct load_weights *w;
    size_t at;
    const char *tensor; /* being read, for messages, or NULL */
};

static int take(struct cursor *c, size_t n, const char *what, const uint8_t **out, struct err *e)
{
    size_t left = c->w->map.size - c->at;
    if (n > left)
        return load_bad(c->w, c->at, c->tensor, e, "%s needs %zu bytes, the file ends after %zu",
                        what, n, left);
    *out = c->w->map.data + c->at;
    c->at += n;
    return 0;
}

static int take_u8(struct cursor *c, const char *what, uint32_t *out, struct err *e)
{
    const uint8_t *p;
    TRY(take(c, 1, what, &p, e));
    *out = *p;
    return 0;
}

static int take_u32(struct cursor *c, const char *what, uint32_t *out, struct err *e)
{
    const uint8_t *p;
    TRY(take(c, 4, what, &p, e));
    *out = load_u32(p);
    return 0;
}

static int take_name(struct arena *a, struct cursor *c, const char *what, const char **out,
                     struct err *e)
{
    const uint8_t *p;
    size_t at = c->at;
    TRY(take(c, 2, what, &p, e));
    size_t n = load_u16(p); /* with the NUL */
    TRY(take(c, n, what, &p, e));
    if (n == 0 || p[n - 1] != 0 || !load_name_fit((const char *)p, n - 1))
        return load_bad(c->w, at, c->tensor, e, "%s of %zu bytes is not a readable name", what, n);
    *out = arena_text(a, (const char *)p, n - 1, e);
    return *out ? 0 : -1;
}

/* How many things of at least `least` bytes may follow: no more than the file has room for. */
static int take_count(struct cursor *c, const char *what, size_t least, uint32_t *out,
                      struct err *e)
{
    size_t at = c->at;
    TRY(take_u32(c, what, out, e));
    size_t room = (c->w->map.size - c->at) / least;
    if (*out > room || *out > LOAD_TENSORS_MAX)
        return load_bad(c->w, at, NULL, e, "%s %u: at most %zu fit", what, *out,
                        MIN(room, (size_t)LOAD_TENSORS_MAX));
    return 0;
}

static int take_type(struct cursor *c, uint32_t version, struct load_tensor *t, uint64_t *bytes,
                     struct err *e)
{
    static const enum dtype by_id[] = {DTYPE_F32, DTYPE_I8,  DTYPE_I16,
                                       DTYPE_I32, DTYPE_F16, DTYPE_BF16};
    uint32_t id, n;
    size_t at = c->at;
    TRY(take_u8(c, "the type", &id, e));
    TRY(take_u32(c, "the size", &n, e));
    if (version >= 4) {
        if (id >= COUNT(by_id)) return load_bad(c->w, at, t->name, e, "unknown type %u", id);
        t->t.type = by_id[id];
        *bytes = n;
        return 0;
    }
    if (id != 1 && id != 2 && id != 4)
        return load_bad(c->w, at, t->name, e, "items of %u bytes: 1, 2 or 4 can be read", id);
    t->t.type = id == 4 ? DTYPE_F32 : id == 2 ? DTYPE_I16 : DTYPE_I8;
    *bytes = (uint64_t)n * id;
    return 0;
}

static int take_variable(struct arena *a, struct cursor *c, uint32_t version, struct load_tensor *t,
                         struct err *e)
{
    uint32_t rank, dim;
    uint64_t bytes;
    TRY(take_name(a, c, "a variable's name", &t->name, e));
    c->tensor = t->name;
    size_t at = c->at;
    TRY(take_u8(c, "the rank", &rank, e));
    if (rank > TENSOR_RANK)
        return load_bad(c->w, at, t->name, e, "rank %u, at most %d can be used", rank, TENSOR_RANK);
    t->t.rank = (int)rank;
    for (uint32_t i = 0; i < rank; i++) {
        TRY(take_u32(c, "a dimension", &dim, e));
        t->t.dim[i] = dim;
    }
    TRY(take_type(c, version, t, &bytes, e));
    t->offset = c->at;
    t->bytes = (size_t)bytes;
    TRY(load_shape_fit(c->w, t, bytes, e));
    const uint8_t *p;
    TRY(take(c, t->bytes, "the payload", &p, e));
    t->t.data = p;
    c->tensor = NULL;
    return 0;
}

static int take_aliases(struct arena *a, struct cursor *c, struct load_alias **out, size_t *n,
                        struct err *e)
{
    uint32_t count;
    TRY(take_count(c, "the number of aliases is", 8, &count, e)); /* two names of one letter */
    *out = ARENA_NEW(a, struct load_alias, count, e);
    if (!*out) return -1;
    for (*n = 0; *n < count; ++*n) {
        struct load_alias *alias = &(*out)[*n];
        alias->offset = c->at;
        TRY(take_name(a, c, "an alias", &alias->name, e));
        TRY(take_name(a, c, "what an alias stands for", &alias->target, e));
    }
    return 0;
}

static int open_ct2(struct arena *a, struct load_weights *w, struct err *e)
{
    struct cursor c = {.w = w};
    uint32_t version, count;
    TRY(take_u32(&c, "the version", &version, e));
    if (version < 2 || version > 6)
        return load_bad(w, 0, NULL, e,
                        "CTranslate2 version %u: versions 2 to 6 can be read, convert it again",
                        version);
    TRY(take_name(a, &c, "the name of the specification", &w->spec, e));
    TRY(take_u32(&c, "the revision", &w->revision, e));
    /* name of one letter 4, rank 1, type 1, size 4, payload 1 */
    TRY(take_count(&c, "the number of variables is", 11, &count, e));
    w->tensor = ARENA_NEW(a, struct load_tensor, count, e);
    if (!w->tensor) return -1;
    for (w->n = 0; w->n < count; w->n++) TRY(take_variable(a, &c, version, &w->tensor[w->n], e));

    struct load_alias *alias = NULL;
    size_t n_alias = 0;
    if (version >= 3) TRY(take_aliases(a, &c, &alias, &n_alias, e));
    if (c.at != w->map.size)
        return load_bad(w, c.at, NULL, e, "%zu bytes after the end of the model",
                        w->map.size - c.at);
    return load_settle(a, w, alias, n_alias, e);
}

/* A small version number; which ones can be read is said by open, with the number. */
static bool probe_ct2(const uint8_t *p, size_t n)
{
    return n >= 16 && load_u32(p) >= 1 && load_u32(p) < 256;
}

const struct load_format load_ct2_row = {"ctranslate2", probe_ct2, open_ct2};
