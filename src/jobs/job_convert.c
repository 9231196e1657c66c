/* lode convert: the same model with its weights in another type, as one safetensors file that
 * carries its config, vocabulary and tokenizer inside, and an encoder's pooling and limit.
 * Everything is streamed: what is held is one
 * piece of one row. */
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "load/load.h"
#include "load/save_safetensors.h"
#include "load/store.h"
#include "nets/net_sentence.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIECE 16384 /* elements handled at a time */

enum target { TO_INT8, TO_FLOAT16, TO_FLOAT32 };

struct options {
    int target; /* enum target */
    const char *output;
    bool offline;
};

/* clang-format off */
static const struct opt_row options[] = {
    {.name = "compute-type", .type = OPT_CHOICE, .offset = offsetof(struct options, target),
     .fallback = "int8", .choices = "int8|float16|float32", .value = "TYPE",
     .help = "The type of the weights. int8: matrices per row, the rest as it is stored."},
    {.name = "output", .letter = 'o', .type = OPT_TEXT, .offset = offsetof(struct options, output),
     .value = "FILE", .help = "The file to write; - is standard output."},
    {.name = "offline", .type = OPT_BOOL, .offset = offsetof(struct options, offline),
     .help = "Fetch nothing: the model must be a path or in the cache."},
};
/* clang-format on */

enum source_kind { RAW, CAST, QUANTISED, SCALE, COMPANION };

struct item { /* of the new file */
    enum source_kind kind;
    const struct load_tensor *from; /* NULL for COMPANION */
    struct str bytes;               /* COMPANION */
    const float *scale;             /* QUANTISED, SCALE: as stored, [rows] */
};

struct work {
    struct arena *a;
    const struct lode_host *host;
    struct load_weights *w;
    enum target target;
    struct item *item;
    struct save_safetensors_tensor *out;
    size_t n;
    struct strbuf aliases;
    struct str side[LOAD_SIDES];
    double done, total; /* bytes written, for the progress line */
    float *wide;        /* [PIECE] */
    void *narrow;       /* [PIECE] of the target's type */
};

static bool is_block(enum dtype type)
{
    return tensor_type_per(type) > 1;
}

static bool is_float(enum dtype type)
{
    return is_block(type) || type == DTYPE_F32 || type == DTYPE_F16 || type == DTYPE_BF16;
}

/* The matrices of linear layers and embeddings, in the names of either container. Tables of
 * positions are added, not multiplied: they stay. */
static bool is_matrix(const struct load_tensor *t)
{
    return t->t.rank == 2 && !strstr(t->name, "position") &&
           (str_ends(t->name, "/weight") || str_ends(t->name, ".weight"));
}

static enum source_kind choose(const struct work *k, const struct load_tensor *t, enum dtype *type)
{
    bool quantised = t->t.type == DTYPE_I8 && t->t.scale;
    *type = t->t.type;
    if (t->t.rank == 0 || !(quantised || is_float(t->t.type))) return RAW;
    if (k->target == TO_INT8) {
        if (quantised) return RAW;
        if (!is_matrix(t) && !is_block(t->t.type)) return RAW;
        *type = DTYPE_I8;
        return QUANTISED;
    }
    *type = k->target == TO_FLOAT16 ? DTYPE_F16 : DTYPE_F32;
    return *type == t->t.type ? RAW : CAST;
}

static struct save_safetensors_tensor *add(struct work *k, enum source_kind kind, const char *name,
                                           enum dtype type)
{
    struct save_safetensors_tensor *out = &k->out[k->n];
    *out = (struct save_safetensors_tensor){.name = name, .type = type, .id = k->n};
    k->item[k->n++] = (struct item){.kind = kind};
    return out;
}

static int add_scale(struct work *k, const struct load_tensor *t, const float *scale, struct err *e)
{
    char *name = arena_format(k->a, e, "%s_scale", t->name);
    if (!name) return -1;
    if (load_find(k->w, name))
        return err_set(e, E_MODEL, "%s: the name %s_scale is taken", k->w->map.path, t->name);
    struct save_safetensors_tensor *out = add(k, SCALE, name, DTYPE_F32);
    out->rank = 1;
    out->dim[0] = t->t.dim[0];
    k->item[out->id].from = t;
    k->item[out->id].scale = scale;
    return 0;
}

/* Columns of row `row`, from `from` on, as f32 into k->wide. Values must be finite: a weight that
 * is not would spread to every result. */
static int widen(const struct work *k, const struct load_tensor *t, int64_t rows, int64_t row,
                 int64_t from, int64_t n, struct err *e)
{
    int64_t columns = tensor_count(t->t.rank, t->t.dim) / rows;
    struct tensor piece = {.type = t->t.type, .rank = 2, .dim = {1, n}};
    piece.data =
        (const uint8_t *)t->t.data + (size_t)((row * columns + from) / tensor_type_per(t->t.type)) *
                                         tensor_type_bytes(t->t.type);
    piece.scale = t->t.scale ? &t->t.scale[row] : NULL;
    tensor_row(&piece, 0, k->wide);
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(k->wide[i]))
            return err_set(e, E_MODEL, "%s: tensor %.200s, row %lld: a weight is not a number",
                           k->w->map.path, t->name, (long long)row);
    }
    return 0;
}

/* 127 / max|row| as CTranslate2 stores it (python/ctranslate2/specs/model_spec.py, quantize); 1 for
 * a row of zeros. A row of which nothing would be left is one too. */
static int measure_row(const struct work *k, const struct load_tensor *t, int64_t row, float *scale,
                       struct err *e)
{
    int64_t columns = t->t.dim[1];
    float most = 0;
    for (int64_t at = 0; at < columns; at += PIECE) {
        int64_t n = MIN(columns - at, PIECE);
        TRY(widen(k, t, t->t.dim[0], row, at, n, e));
        for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(k->wide[i]));
    }
    *scale = 127.0f / most;
    if (!isfinite(*scale) || !isnormal(1.0f / *scale)) *scale = 1.0f;
    return 0;
}

static int measure(struct work *k, const struct load_tensor *t, struct item *item, struct err *e)
{
    float *scale = ARENA_NEW(k->a, float, (size_t)t->t.dim[0], e);
    if (!scale) return -1;
    for (int64_t r = 0; r < t->t.dim[0]; r++) TRY(measure_row(k, t, r, &scale[r], e));
    load_drop(k->w, t->t.data, t->bytes);
    item->scale = scale;
    return add_scale(k, t, scale, e);
}

/* The number whose reciprocal is exactly m, as m itself came from one: so that converting int8 to
 * int8 again changes no weight. Two roundings are off by one unit at most. */
static float stored_scale(float m)
{
    float s = 1.0f / m;
    if (1.0f / s == m) return s;
    float up = nextafterf(s, INFINITY);
    return 1.0f / up == m ? up : nextafterf(s, 0);
}

static int keep_scale(struct work *k, const struct load_tensor *t, struct err *e)
{
    float *scale = ARENA_NEW(k->a, float, (size_t)t->t.dim[0], e);
    if (!scale) return -1;
    for (int64_t r = 0; r < t->t.dim[0]; r++) scale[r] = stored_scale(t->t.scale[r]);
    return add_scale(k, t, scale, e);
}

static int by_data(const void *x, const void *y)
{
    const struct load_tensor *s = *(const struct load_tensor *const *)x;
    const struct load_tensor *t = *(const struct load_tensor *const *)y;
    uintptr_t p = (uintptr_t)s->t.data, q = (uintptr_t)t->t.data;
    if (p != q) return p < q ? -1 : 1;
    return strcmp(s->name, t->name);
}

static int plan_tensor(struct work *k, const struct load_tensor *t, struct err *e)
{
    enum dtype type;
    enum source_kind kind = choose(k, t, &type);
    struct save_safetensors_tensor *out = add(k, kind, t->name, type);
    out->rank = t->t.rank;
    memcpy(out->dim, t->t.dim, sizeof out->dim);
    k->item[out->id].from = t;
    if (kind == QUANTISED) return measure(k, t, &k->item[out->id], e);
    return kind == RAW && t->t.scale ? keep_scale(k, t, e) : 0;
}

static void plan_companion(struct work *k, const char *name, struct str bytes)
{
    if (bytes.n == 0) return;
    struct save_safetensors_tensor *out = add(k, COMPANION, name, DTYPE_U8);
    out->rank = 1;
    out->dim[0] = (int64_t)bytes.n;
    k->item[out->id].bytes = bytes;
}

/* Lists what the new file holds. Names that share their data are written once. */
static int plan(struct work *k, struct err *e)
{
    const struct load_tensor **sorted = ARENA_NEW(k->a, const struct load_tensor *, k->w->n, e);
    size_t most = 2 * k->w->n + 4, text = 1; /* 4: the companions */
    k->item = ARENA_NEW(k->a, struct item, most, e);
    k->out = ARENA_NEW(k->a, struct save_safetensors_tensor, most, e);
    if (!sorted || !k->item || !k->out) return -1;
    for (size_t i = 0; i < k->w->n; i++) {
        sorted[i] = &k->w->tensor[i];
        text += 2 * strlen(sorted[i]->name) + 2;
    }
    qsort(sorted, k->w->n, sizeof *sorted, by_data);
    for (size_t i = 1; i < k->w->n; i++) text += strlen(sorted[i - 1]->name);
    char *memory = arena_alloc(k->a, text, 1, e);
    if (!memory) return -1;
    strbuf_init(&k->aliases, memory, text);
    const struct load_tensor *first = NULL;
    for (size_t i = 0; i < k->w->n; i++) {
        const struct load_tensor *t = sorted[i];
        if (host_cancelled(k->host)) return err_set(e, E_CANCELLED, "stopped while converting");
        if (first && first->t.data == t->t.data) {
            strbuf_format(&k->aliases, "%s\t%s\n", t->name, first->name);
            continue;
        }
        first = t;
        TRY(plan_tensor(k, t, e));
    }
    plan_companion(k, "lode.vocabulary", k->w->vocabulary);
    plan_companion(k, "lode.added", k->w->added);
    plan_companion(k, "lode.tokenizer", k->w->tokenizer);
    plan_companion(k, "lode.wordpieces", k->w->wordpieces);
    return 0;
}

static int narrow(const struct work *k, const struct load_tensor *t, enum dtype type, float scale,
                  int64_t n, struct err *e)
{
    if (type == DTYPE_I8) {
        int8_t *out = k->narrow;
        for (int64_t i = 0; i < n; i++)
            out[i] = (int8_t)fmaxf(-127, fminf(127, nearbyintf(k->wide[i] * scale)));
        return 0;
    }
    uint16_t *out = k->narrow;
    for (int64_t i = 0; i < n; i++) {
        out[i] = tensor_f32_to_f16(k->wide[i]);
        if ((out[i] & 0x7fff) == 0x7c00)
            return err_set(e, E_MODEL, "%s: tensor %.200s: the weight %g does not fit into float16",
                           k->w->map.path, t->name, (double)k->wide[i]);
    }
    return 0;
}

static int put(struct work *k, struct save_safetensors *s, const void *p, size_t n, struct err *e)
{
    if (host_cancelled(k->host)) return err_set(e, E_CANCELLED, "stopped while converting");
    TRY(save_safetensors_put(s, p, n, e));
    k->done += (double)n;
    host_progress(k->host, "converting", LODE_BYTES, k->done, k->total);
    return 0;
}

static int put_converted(struct work *k, struct save_safetensors *s, const struct item *item,
                         enum dtype type, struct err *e)
{
    const struct load_tensor *t = item->from;
    const float *scale = item->scale;
    /* A row matters only where there is a scale for it. */
    int64_t rows = scale || t->t.scale ? t->t.dim[0] : 1;
    int64_t columns = tensor_count(t->t.rank, t->t.dim) / rows;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t at = 0; at < columns; at += PIECE) {
            int64_t n = MIN(columns - at, PIECE);
            TRY(widen(k, t, rows, r, at, n, e));
            const void *p = k->wide;
            if (type != DTYPE_F32) {
                TRY(narrow(k, t, type, scale ? scale[r] : 1, n, e));
                p = k->narrow;
            }
            TRY(put(k, s, p, (size_t)n * tensor_type_bytes(type), e));
        }
    }
    load_drop(k->w, t->t.data, t->bytes);
    return 0;
}

static int put_item(struct work *k, struct save_safetensors *s,
                    const struct save_safetensors_tensor *out, struct err *e)
{
    const struct item *item = &k->item[out->id];
    switch (item->kind) {
    case RAW:
        TRY(put(k, s, item->from->t.data, item->from->bytes, e));
        load_drop(k->w, item->from->t.data, item->from->bytes);
        return 0;
    case CAST:
    case QUANTISED:
        return put_converted(k, s, item, out->type, e);
    case SCALE:
        return put(k, s, item->scale, (size_t)out->dim[0] * sizeof(float), e);
    case COMPANION:
        return put(k, s, item->bytes.p, item->bytes.n, e);
    }
    return 0;
}

static int write_file(struct work *k, const char *path, uint64_t *bytes, struct err *e)
{
    struct save_safetensors_note note[3 + LOAD_SIDES];
    size_t n = 0;
    if (k->w->config.n) note[n++] = (struct save_safetensors_note){"lode.config", k->w->config};
    if (k->w->generation.n)
        note[n++] = (struct save_safetensors_note){"lode.generation", k->w->generation};
    if (k->aliases.n)
        note[n++] = (struct save_safetensors_note){"lode.aliases", {k->aliases.p, k->aliases.n}};
    for (size_t i = 0; i < LOAD_SIDES; i++)
        if (k->side[i].n)
            note[n++] = (struct save_safetensors_note){load_sides[i].note, k->side[i]};
    struct save_safetensors s;
    TRY(save_safetensors_begin(k->a, path, k->out, k->n, note, n, &s, e));
    k->total = (double)s.data_left;
    int result = 0;
    for (size_t i = 0; i < k->n && result == 0; i++) result = put_item(k, &s, &k->out[i], e);
    if (result == 0) result = save_safetensors_end(&s, e);
    save_safetensors_abort(&s);
    *bytes = s.file.bytes;
    host_progress(k->host, "converting", LODE_BYTES, -1, 0);
    return result;
}

/* Bytes of a companion that is a file of its own. */
static double beside(const struct load_weights *w, struct str companion)
{
    uintptr_t p = (uintptr_t)companion.p, map = (uintptr_t)w->map.data;
    return w->alone || (p >= map && p < map + w->map.size) ? 0 : (double)companion.n;
}

static double shards(const struct load_weights *w)
{
    double bytes = 0;
    for (size_t i = 0; i < w->n_shards; i++) bytes += (double)w->shard[i].size;
    return bytes;
}

static int convert(struct arena *a, struct load_weights *w, const struct options *o,
                   const struct lode_host *host, struct err *e)
{
    struct work k = {.a = a, .host = host, .w = w, .target = (enum target)o->target};
    TRY(load_tokenizer(a, w, e));
    bool encodes = net_sentence_config_known(a, w);
    for (size_t i = 0; encodes && i < LOAD_SIDES; i++)
        TRY(load_side(a, w, (enum load_side)i, &k.side[i], e));
    k.wide = ARENA_NEW(a, float, PIECE, e);
    k.narrow = ARENA_NEW(a, uint16_t, PIECE, e);
    if (!k.wide || !k.narrow) return -1;
    TRY(plan(&k, e));
    uint64_t bytes;
    TRY(write_file(&k, o->output, &bytes, e));
    char line[600];
    double before = (double)w->map.size + shards(w) + beside(w, w->added) +
                    beside(w, w->vocabulary) + beside(w, w->tokenizer) + beside(w, w->wordpieces);
    int n = snprintf(line, sizeof line, "%.400s: %.1f MB -> %.1f MB (%.0f %%)\n", o->output,
                     before / 1e6, (double)bytes / 1e6, 100 * (double)bytes / before);
    if (strcmp(o->output, "-") != 0) return host_text(host, line, (size_t)n, e);
    host_note(host, "%.*s", n - 1, line);
    return 0;
}

static int run(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
               struct err *e)
{
    const struct options *o = opts;
    if (!o->output) return err_set(e, E_USAGE, "convert needs -o FILE");
    struct arena *a;
    TRY(arena_open("convert", 0, &a, e));
    struct fetch_watch watch = host_watch(host);
    struct load_weights w;
    char *path;
    int result = store_find(a, inputs->words[0], o->offline, &watch, &path, e);
    if (result == 0) result = load_open(a, path, &w, e);
    if (result == 0) {
        result = convert(a, &w, o, host, e);
        load_close(&w);
    }
    arena_close(&a);
    return result;
}

const struct lode_job job_convert_row = {
    .name = "convert",
    .summary = "write a model with smaller or wider weights",
    .synopsis = "MODEL --compute-type TYPE -o FILE.safetensors",
    .details = "Writes one file that holds the weights, the config, the vocabulary and the "
               "tokenizer, of an encoder of texts its pooling and its limit too, and that every "
               "command takes where it takes a model; what lies beside it is not read.\n\n"
               "int8 stores each row of a matrix as whole numbers from -127 to 127 and one scale, "
               "which is what a transcription in int8 computes with anyway: it loads faster and is "
               "about half as large as float16.\n\n"
               "    lode convert tiny.en --compute-type int8 -o tiny.en-int8.safetensors\n"
               "    lode transcribe --model tiny.en-int8.safetensors talk.mp3",
    .rows = options,
    .n_rows = COUNT(options),
    .opts_bytes = sizeof(struct options),
    .inputs_min = 1,
    .inputs_max = 1,
    .run = run,
};
