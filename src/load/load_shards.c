/* model.safetensors.index.json -> the tensors of the safetensors files it names, which lie beside
 * it:
 *
 *     {"metadata": {...}, "weight_map": {TENSOR: FILE, ...}}
 *
 * Every file is mapped and read whole: which tensors it has, it says itself. (The index also names
 * some that a reader passes over, like lists of positions.)
 * Source: transformers src/transformers/modeling_utils.py (save_pretrained, max_shard_size).
 * Held by: tests/t_load.c, tests/t_container.c, tests/fuzz/fz_shards.c. */
#include "base/json.h"
#include "load/load_format.h"

#define SHARDS_MAX 256
#define INDEX_MAX  (16u << 20)

struct index { /* weight_map */
    const struct json *map;
    const char *file[SHARDS_MAX];
    size_t n;
};

/* A name beside the index: nothing that leads elsewhere. */
static bool plain_name(struct str s)
{
    return load_name_fit(s.p, s.n) && s.n < 200 && s.p[0] != '.' && !memchr(s.p, '/', s.n);
}

static int find_file(const struct index *index, struct str s)
{
    for (size_t i = 0; i < index->n; i++) {
        if (str_eq(s, index->file[i])) return (int)i;
    }
    return -1;
}

static int list_files(struct arena *a, const struct load_weights *w, struct index *index,
                      struct err *e)
{
    size_t n = json_count(index->map);
    if (!json_is_object(index->map) || n == 0)
        return load_bad(w, 0, NULL, e, "the index has no weight_map");
    if (n > LOAD_TENSORS_MAX)
        return load_bad(w, 0, NULL, e, "%zu tensors, at most %d can be used", n, LOAD_TENSORS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct json *v;
        const char *name = json_name_at(index->map, i, &v);
        struct str file = json_text(v);
        if (!load_name_fit(name, strlen(name)) || !plain_name(file))
            return load_bad(w, 0, NULL, e, "entry %zu of weight_map is not TENSOR: FILE", i);
        if (find_file(index, file) >= 0) continue;
        if (index->n == SHARDS_MAX)
            return load_bad(w, 0, NULL, e, "more than %d files", SHARDS_MAX);
        index->file[index->n] = arena_text(a, file.p, file.n, e);
        if (!index->file[index->n++]) return -1;
    }
    return 0;
}

/* One file into `part`, which borrows its map from w->shard. */
static int open_shard(struct arena *a, struct load_weights *w, const char *name,
                      struct load_weights *part, struct err *e)
{
    char *path = file_join(a, w->folder, name, e);
    if (!path) return -1;
    if (file_kind(path) != FILE_REGULAR)
        return load_bad(w, 0, NULL, e, "it names the file %.150s, which is missing", name);
    TRY(file_map(path, &w->shard[w->n_shards], e));
    *part = (struct load_weights){.map = w->shard[w->n_shards++], .spec = ""};
    if (!load_safetensors_row.probe(part->map.data, part->map.size))
        return load_bad(part, 0, NULL, e, "this is not safetensors");
    return load_safetensors_row.open(a, part, e);
}

static int open_all(struct arena *a, struct load_weights *w, struct index *index, struct err *e)
{
    TRY(list_files(a, w, index, e));
    w->shard = ARENA_NEW(a, struct file_map, index->n, e);
    struct load_weights *part = ARENA_NEW(a, struct load_weights, index->n, e);
    if (!w->shard || !part) return -1;
    size_t n = 0;
    for (size_t i = 0; i < index->n; i++) {
        TRY(open_shard(a, w, index->file[i], &part[i], e));
        n += part[i].n;
    }
    w->tensor = ARENA_NEW(a, struct load_tensor, n, e);
    if (!w->tensor) return -1;
    for (size_t i = 0; i < index->n; i++) {
        memcpy(w->tensor + w->n, part[i].tensor, part[i].n * sizeof *w->tensor);
        w->n += part[i].n;
    }
    return load_merge(w, e);
}

static int open_shards(struct arena *a, struct load_weights *w, struct err *e)
{
    if (w->map.size > INDEX_MAX)
        return load_bad(w, 0, NULL, e, "an index of %zu bytes, at most %u can be right",
                        w->map.size, INDEX_MAX);
    struct json_doc *doc = NULL;
    if (json_open(a, (const char *)w->map.data, w->map.size, &doc, e) != 0) {
        if (e->code == E_INPUT) e->code = E_MODEL;
        return err_note(e, "%s: the index cannot be read", w->map.path);
    }
    struct index index = {.map = json_key(json_root(doc), "weight_map")};
    int result = open_all(a, w, &index, e);
    json_close(&doc);
    return result;
}

static bool probe_shards(const uint8_t *p, size_t n)
{
    return n >= 16 && p[0] == '{' && (p[1] == '"' || p[1] == ' ' || p[1] == '\n' || p[1] == '\r');
}

const struct load_format load_shards_row = {"safetensors", probe_shards, open_shards};
