/* Cases of opcheck: what is tried, and how a case becomes a plan of one step with its data between
 * guards. Part of t_opcheck.c. */
#ifndef TESTS_OPCHECK_CASES_H
#define TESTS_OPCHECK_CASES_H

#include "lab.h"
#include <stdlib.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

enum { GUARD = 256, MOST_VALUES = 16 };

enum kind { F32, F16, I8 /* quantised here */, I8_FILE /* already i8 with scales */ };

/* A case. What d and n mean for each op is said where the op is built, and in the table. */
struct one {
    enum op op;
    int64_t d[5];
    int live;       /* of dim 0; -1: all */
    enum kind kind; /* of the matrix, or of the caches */
    struct op_args args;
    bool bare;    /* without the inputs or outputs that may be absent */
    bool largest; /* all numbers at the ends of their range: sums as large as they can be */
    bool bench;   /* a shape of Whisper, for --bench only */
    int seed;     /* of its numbers; 0: its place in the table */
};

struct buffer {
    char *base, *data;
    size_t bytes;
};

struct value {                    /* of a case, by the number it has in the plan */
    struct buffer data, pristine; /* as used, and as filled */
    size_t live_bytes;
};

struct stage { /* a case built: a plan of one step and its data */
    const struct one *one;
    char seed[48];
    struct arena *arena;
    struct plan *plan;
    struct err e;
    int live;
    struct value value[MOST_VALUES];
    double flops;
    float gain[MOST_VALUES];
    int32_t limit[MOST_VALUES]; /* i32: 0..limit-1 */
};

/* ---- buffers -------------------------------------------------------------------------------- */

static struct buffer buffer_make(size_t bytes)
{
    struct buffer b = {.bytes = bytes};
    b.base = aligned_alloc(BASE_LINE, ALIGN_UP(bytes + 2 * GUARD, (size_t)BASE_LINE));
    assert_non_null(b.base);
    b.data = b.base + GUARD;
    memset(b.base, 0xff, bytes + 2 * GUARD);
    ASAN_POISON_MEMORY_REGION(b.base, GUARD);
    ASAN_POISON_MEMORY_REGION(b.data + bytes, GUARD);
    return b;
}

/* Whether the guards are as they were; afterwards they are so again. */
static bool buffer_whole(struct buffer *b)
{
    bool whole = true;
    ASAN_UNPOISON_MEMORY_REGION(b->base, GUARD);
    ASAN_UNPOISON_MEMORY_REGION(b->data + b->bytes, GUARD);
    for (size_t i = 0; i < GUARD; i++) {
        whole = whole && (unsigned char)b->base[i] == 0xff &&
                (unsigned char)b->data[b->bytes + i] == 0xff;
    }
    memset(b->base, 0xff, GUARD);
    memset(b->data + b->bytes, 0xff, GUARD);
    ASAN_POISON_MEMORY_REGION(b->base, GUARD);
    ASAN_POISON_MEMORY_REGION(b->data + b->bytes, GUARD);
    return whole;
}

/* Frees it, if it was made, and says whether its guards were whole. */
static bool buffer_free(struct buffer *b)
{
    if (!b->base) return true;
    bool whole = buffer_whole(b);
    ASAN_UNPOISON_MEMORY_REGION(b->base, b->bytes + 2 * GUARD);
    free(b->base);
    *b = (struct buffer){0};
    return whole;
}

static struct buffer buffer_copy(const void *p, size_t bytes)
{
    struct buffer b = buffer_make(bytes);
    if (bytes) memcpy(b.data, p, bytes);
    return b;
}

/* ---- building a case ------------------------------------------------------------------------ */

static float number(const struct stage *s, const char *what, uint64_t i, float gain)
{
    char name[128];
    snprintf(name, sizeof name, "%s/%s", s->seed, what);
    float x = tensor_hash(name, i, gain);
    return s->one->largest ? (x < 0 ? -gain : gain) : x;
}

static int checked(struct stage *s, int v, float gain, int32_t limit)
{
    if (v < 0) fail_msg("%s: %s", s->seed, s->e.text);
    assert_true(v < MOST_VALUES);
    s->gain[v] = gain;
    s->limit[v] = limit;
    return v;
}

static int in_f32(struct stage *s, const char *name, bool live, float gain, const int64_t *dim)
{
    return checked(
        s, plan_input(s->plan, name, DTYPE_F32, lab_rank(dim), dim, live ? s->live : -1, &s->e),
        gain, 0);
}

static int in_i32(struct stage *s, const char *name, bool live, int64_t limit, const int64_t *dim)
{
    return checked(
        s, plan_input(s->plan, name, DTYPE_I32, lab_rank(dim), dim, live ? s->live : -1, &s->e), 0,
        (int32_t)limit);
}

static int out_of(struct stage *s, const char *name, enum dtype type, const int64_t *dim)
{
    return checked(s, plan_output(s->plan, name, type, lab_rank(dim), dim, s->live, &s->e), 0, 0);
}

static int cache(struct stage *s, const char *name, const int64_t *dim)
{
    enum kind kind = s->one->kind;
    enum dtype type = kind == F16 ? DTYPE_F16 : kind == I8 ? DTYPE_I8 : DTYPE_F32;
    return checked(s, plan_state(s->plan, name, type, lab_rank(dim), dim, &s->e), 1, 0);
}

/* A weight of two parts if its rows allow. */
static int weight(struct stage *s, const char *name, enum kind kind, float gain, const int64_t *dim)
{
    static const enum dtype types[] = {
        [F32] = DTYPE_F32, [F16] = DTYPE_F16, [I8] = DTYPE_F32, [I8_FILE] = DTYPE_I8};
    int rank = lab_rank(dim);
    int64_t n = tensor_count(rank, dim), k = n / dim[0];
    size_t size = tensor_type_bytes(types[kind]);
    char *data = arena_array(s->arena, (size_t)n, size, BASE_LINE, &s->e);
    float *scale = ARENA_NEW(s->arena, float, (size_t)dim[0], &s->e);
    assert_true(data && scale);
    for (int64_t i = 0; i < n; i++) {
        float x = number(s, name, (uint64_t)i, gain);
        /* mel filters are never negative, so that sums do not cancel, and hear a band only */
        if (s->one->op == OP_logmel)
            x = i % k < 2 * (i / k) || i % k > 2 * (i / k) + 40 ? 0 : fabsf(x);
        uint16_t h = tensor_f32_to_f16(x);
        int8_t q = (int8_t)(x / gain * 127);
        const void *from = kind == F16 ? (void *)&h : kind == I8_FILE ? (void *)&q : (void *)&x;
        memcpy(data + (size_t)i * size, from, size);
    }
    for (int64_t r = 0; r < dim[0]; r++)
        scale[r] = (1 + tensor_hash(name, (uint64_t)r, 0.5f)) / 127;
    struct tensor part[2];
    int parts = dim[0] > 4 && rank == 2 ? 2 : 1;
    for (int i = 0; i < parts; i++) {
        int64_t first = i ? dim[0] / 3 : 0;
        part[i] = (struct tensor){.type = types[kind], .rank = rank};
        memcpy(part[i].dim, dim, (size_t)rank * sizeof *dim);
        part[i].dim[0] = (i + 1 == parts ? dim[0] : dim[0] / 3) - first;
        part[i].data = data + (size_t)(first * k) * size;
        part[i].scale = kind == I8_FILE ? scale + first : NULL;
    }
    return checked(s, plan_weight(s->plan, name, part, parts, kind == I8, &s->e), 0, 0);
}

static void step(struct stage *s, const int *in, int n_in, const int *out, int n_out)
{
    const char *name = op_row(s->one->op)->name;
    if (plan_begin(s->plan, "t", &s->e) < 0 ||
        plan_add(s->plan, s->one->op, name, in, n_in, out, n_out, &s->one->args, &s->e))
        fail_msg("%s: %s", s->seed, s->e.text);
}

/* d: B M T */
static void build_logmel(struct stage *s)
{
    const int64_t *d = s->one->d;
    int pcm = in_f32(s, "pcm", true, 1, DIMS(d[0], 160 * d[2] + 240 + 7));
    int filters = weight(s, "filters", F32, 1, DIMS(d[1], 201));
    int mel = out_of(s, "mel", DTYPE_F32, DIMS(d[0], d[1], d[2]));
    step(s, IDS(pcm, filters), IDS(mel, out_of(s, "most", DTYPE_F32, DIMS(d[0]))));
}

/* d: B M T */
static void build_melnorm(struct stage *s)
{
    const int64_t *d = s->one->d;
    int mel = in_f32(s, "mel", true, 12, DIMS(d[0], d[1], d[2]));
    int most = in_f32(s, "most", true, 5, DIMS(d[0]));
    int content = in_i32(s, "content", true, d[2] + 1, DIMS(d[0]));
    step(s, IDS(mel, most, content), IDS(out_of(s, "out", DTYPE_F32, DIMS(d[0], d[2], d[1]))));
}

/* d: B T C N */
static void build_conv1d(struct stage *s)
{
    const int64_t *d = s->one->d;
    float gain = 1 / sqrtf(3 * (float)d[2]);
    int x = in_f32(s, "x", true, 1, DIMS(d[0], d[1], d[2]));
    int w = weight(s, "w", s->one->kind, gain, DIMS(d[3], d[2], 3));
    int bias = s->one->bare ? -1 : weight(s, "bias", F32, 1, DIMS(d[3]));
    int64_t t = d[1] / s->one->args.stride;
    s->flops = 6.0 * (double)(d[0] * t * d[2] * d[3]);
    step(s, IDS(x, w, bias), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], t, d[3]))));
}

/* d: B T C */
static void build_addpos(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", true, 1, DIMS(d[0], d[1], d[2]));
    int table = weight(s, "table", s->one->kind, 1, DIMS(d[1], d[2]));
    step(s, IDS(x, table), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1], d[2]))));
}

/* d: R C, or B C T for a third dimension in the middle */
static void build_layernorm(struct stage *s)
{
    const int64_t *d = s->one->d;
    const int64_t *dim = d[2] ? DIMS(d[0], d[2], d[1]) : DIMS(d[0], d[1]);
    int x = in_f32(s, "x", true, 3, dim);
    int gain = weight(s, "gain", s->one->kind, 1, DIMS(d[1]));
    int offset = weight(s, "offset", s->one->kind, 1, DIMS(d[1]));
    step(s, IDS(x, gain, offset), IDS(out_of(s, "y", DTYPE_F32, dim)));
}

/* d: R N K, or B N K T for a third dimension in the middle */
static void build_linear(struct stage *s)
{
    const int64_t *d = s->one->d;
    const int64_t *in = d[3] ? DIMS(d[0], d[3], d[2]) : DIMS(d[0], d[2]);
    const int64_t *out = d[3] ? DIMS(d[0], d[3], d[1]) : DIMS(d[0], d[1]);
    int x = in_f32(s, "x", true, 1, in);
    int w = weight(s, "w", s->one->kind, 1.5f / sqrtf((float)d[2]), DIMS(d[1], d[2]));
    int bias = s->one->bare ? -1 : weight(s, "bias", F32, 1, DIMS(d[1]));
    int residual = s->one->bare ? -1 : in_f32(s, "residual", true, 2, out);
    s->flops = 2.0 * (double)(d[0] * MAX(d[3], 1) * d[1] * d[2]);
    step(s, IDS(x, w, bias, residual), IDS(out_of(s, "y", DTYPE_F32, out)));
}

/* d: B T H D */
static void build_attention(struct stage *s)
{
    const int64_t *d = s->one->d;
    int qkv = in_f32(s, "qkv", true, 2, DIMS(d[0], d[1], 3 * d[2] * d[3]));
    s->flops = 4.0 * (double)(d[0] * d[1] * d[1] * d[2] * d[3]);
    step(s, IDS(qkv), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1], d[2] * d[3]))));
}

/* d: B T H D W */
static void build_crosskv(struct stage *s)
{
    const int64_t *d = s->one->d;
    int kv = in_f32(s, "kv", true, 2, DIMS(d[0], d[1], 2 * d[2] * d[3]));
    int slot = in_i32(s, "slot", true, d[4], DIMS(d[0]));
    int k = cache(s, "k", DIMS(d[4], d[2], d[3], d[1]));
    step(s, IDS(kv, slot), IDS(k, cache(s, "v", DIMS(d[4], d[2], d[1], d[3]))));
}

/* d: R V C P */
static void build_embed(struct stage *s)
{
    const int64_t *d = s->one->d;
    int token = in_i32(s, "token", true, d[1], DIMS(d[0]));
    int position = in_i32(s, "position", true, d[3], DIMS(d[0]));
    int table = weight(s, "table", s->one->kind, 1, DIMS(d[1], d[2]));
    int positions = weight(s, "positions", F32, 1, DIMS(d[3], d[2]));
    step(s, IDS(token, position, table, positions),
         IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[2]))));
}

/* d: R H D S P */
static void build_attnself(struct stage *s)
{
    const int64_t *d = s->one->d;
    int qkv = in_f32(s, "qkv", true, 2, DIMS(d[0], 3 * d[1] * d[2]));
    int position = in_i32(s, "position", true, d[4], DIMS(d[0]));
    int sequence = in_i32(s, "sequence", true, d[3], DIMS(d[0]));
    int history = in_i32(s, "history", false, d[3], DIMS(d[3], d[4]));
    int y = out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1] * d[2]));
    int k = cache(s, "k", DIMS(d[3], d[4], d[1] * d[2]));
    step(s, IDS(qkv, position, sequence, history),
         IDS(y, k, cache(s, "v", DIMS(d[3], d[4], d[1] * d[2]))));
}

/* d: R H D T W */
static void build_attncross(struct stage *s)
{
    const int64_t *d = s->one->d;
    int q = in_f32(s, "q", true, 2, DIMS(d[0], d[1] * d[2]));
    int window = in_i32(s, "window", true, d[4], DIMS(d[0]));
    int k = cache(s, "k", DIMS(d[4], d[1], d[2], d[3]));
    int v = cache(s, "v", DIMS(d[4], d[1], d[3], d[2]));
    int y = out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1] * d[2]));
    int weights = s->one->bare ? -1 : out_of(s, "weights", DTYPE_F32, DIMS(d[0], d[1], d[3]));
    s->flops = 4.0 * (double)(d[0] * d[1] * d[2] * d[3]);
    step(s, IDS(q, window, k, v), IDS(y, weights));
}

/* d: R G C */
static void build_gather(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", false, 1, DIMS(d[0], d[2]));
    int index = in_i32(s, "index", true, d[0], DIMS(d[1]));
    step(s, IDS(x, index), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[1], d[2]))));
}

/* d: G V; the rest in args */
static void build_pick(struct stage *s)
{
    const int64_t *d = s->one->d;
    int logits = in_f32(s, "logits", true, 12, DIMS(d[0], d[1]));
    int ban = in_f32(s, "ban", false, 0, DIMS(d[1]));
    int rule = in_i32(s, "rule", true, 1, DIMS(d[0], OP_RULES));
    int chance = in_f32(s, "chance", true, 1, DIMS(d[0], 2));
    int top = out_of(s, "top", DTYPE_I32, DIMS(d[0], s->one->args.top));
    int top_log = out_of(s, "top_log", DTYPE_F32, DIMS(d[0], s->one->args.top));
    int token = out_of(s, "token", DTYPE_I32, DIMS(d[0]));
    int token_log = out_of(s, "token_log", DTYPE_F32, DIMS(d[0]));
    step(s, IDS(logits, ban, rule, chance),
         IDS(top, top_log, token, token_log, out_of(s, "watched", DTYPE_F32, DIMS(d[0]))));
}

#include "opcheck_vad.h"

/* d: G V L */
static void build_dampen(struct stage *s)
{
    const int64_t *d = s->one->d;
    int logits = in_f32(s, "logits", true, 12, DIMS(d[0], d[1]));
    int list = in_i32(s, "list", true, d[1], DIMS(d[0], d[2]));
    step(s, IDS(logits, list), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1]))));
}

/* d: R V */
static void build_probe(struct stage *s)
{
    const int64_t *d = s->one->d;
    int logits = in_f32(s, "logits", true, 12, DIMS(d[0], d[1]));
    int token = in_i32(s, "token", true, s->one->args.eot, DIMS(d[0]));
    step(s, IDS(logits, token), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0]))));
}

/* d: R H D S P: ranges of about R / S rows fill all of R, in falling order; with biases unless bare
 */
static void build_attnrange(struct stage *s)
{
    const int64_t *d = s->one->d;
    int qkv = in_f32(s, "qkv", false, 2, DIMS(d[0], 3 * d[1] * d[2]));
    int range = in_i32(s, "range", false, 1, DIMS(d[3], 2));
    int bias = s->one->bare ? -1 : weight(s, "bias", F32, 2, DIMS(d[1], 2 * d[4] - 1));
    int y = checked(s, plan_output(s->plan, "y", DTYPE_F32, 2, DIMS(d[0], d[1] * d[2]), -1, &s->e),
                    0, 0);
    s->flops = 4.0 * (double)(d[0] * (d[0] / d[3]) * d[1] * d[2]);
    step(s, IDS(qkv, range, bias), IDS(y));
}

/* d: S C R */
static void build_pool(struct stage *s)
{
    const int64_t *d = s->one->d;
    int x = in_f32(s, "x", false, 1, DIMS(d[2], d[1]));
    int range = in_i32(s, "range", true, 1, DIMS(d[0], 2));
    step(s, IDS(x, range), IDS(out_of(s, "y", DTYPE_F32, DIMS(d[0], d[1]))));
}

/* d: Q C N, groups of d[3] rows */
static void build_nearest(struct stage *s)
{
    const int64_t *d = s->one->d;
    int query = in_f32(s, "query", true, 1, DIMS(d[0], d[1]));
    int base = weight(s, "base", F32, 1, DIMS(d[2], d[1]));
    int group = in_i32(s, "group", false, 1, DIMS(d[2]));
    int row = out_of(s, "row", DTYPE_I32, DIMS(d[0], s->one->args.top));
    s->flops = 2.0 * (double)(d[0] * d[1] * d[2]);
    step(s, IDS(query, base, group),
         IDS(row, out_of(s, "product", DTYPE_F32, DIMS(d[0], s->one->args.top))));
}

static void *data_of(struct stage *s, int input)
{
    return s->value[s->plan->step[0].in[input]].data.data;
}

#include "opcheck_rows.h"

static void (*const build[OP_COUNT])(struct stage *) = {
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) build_##name,
#include "core/op.def"
#undef OP
};

/* ---- filling it ----------------------------------------------------------------------------- */

static int64_t rows_of(const struct stage *s)
{
    return s->one->live < 0 ? s->one->d[0] : s->one->live;
}

/* Distinct (sequence, position) pairs, sequences in turn; what is older than this run comes from
 * any sequence, the rest from the own one. */
static void fill_attnself(struct stage *s)
{
    int64_t s_count = s->one->d[3], p_count = s->one->d[4], rows = rows_of(s);
    int64_t deep = (s->one->d[0] + s_count - 1) / s_count;
    assert_true(deep <= p_count);
    float any = (tensor_hash(s->seed, 0, 0.5f) + 0.5f) * (float)(p_count - deep);
    int32_t *position = data_of(s, 1), *sequence = data_of(s, 2), *history = data_of(s, 3);
    int64_t base = (int64_t)any;
    for (int64_t r = 0; r < rows; r++) {
        position[r] = (int32_t)(base + r / s_count);
        sequence[r] = (int32_t)(r % s_count);
    }
    for (int64_t i = 0; i < s_count * p_count; i++) {
        if (i % p_count >= base) history[i] = (int32_t)(i / p_count);
        if (i % p_count > base + deep) history[i] = -1; /* not to be read */
    }
}

/* One kind of rule after the other; every third row samples. */
static void fill_pick(struct stage *s)
{
    const struct op_args *a = &s->one->args;
    int32_t v_count = (int32_t)s->one->d[1];
    float *logits = data_of(s, 0), *ban = data_of(s, 1), *chance = data_of(s, 3);
    int32_t *rule = data_of(s, 2);
    for (int32_t v = 0; v < v_count; v++) ban[v] = v % 7 == 3 ? -INFINITY : 0;
    for (int32_t g = 0; g < rows_of(s); g++) {
        static const int32_t bits[] = {0,
                                       OP_RULE_MASS,
                                       OP_RULE_BAN_TEXT,
                                       OP_RULE_BAN_TIMES | OP_RULE_MASS,
                                       OP_RULE_BAN_EOT | OP_RULE_MASS,
                                       OP_RULE_BAN_TEXT | OP_RULE_BAN_EOT | OP_RULE_BAN_TIMES};
        int32_t *r = rule + g * OP_RULES;
        memset(r, 0, OP_RULES * sizeof *r);
        r[0] = bits[g % (int)COUNT(bits)];
        r[1] = a->time0 >= 0 && g % 2 ? a->time0 + (v_count - a->time0) / 3 : 0;
        r[2] = a->time0 >= 0 && g % 4 == 3 ? v_count - 2 : v_count - 1;
        r[3] = g % 5 == 2 ? 0 : -1;
        r[4] = g % 5 == 3 ? v_count - 1 : -1;
        chance[2 * g] = g % 3 == 2 ? 0.2f + 0.2f * (float)(g % 5) : 0;
        if (s->one->largest) { /* here: few different logits, so that many are equal */
            for (int32_t v = 0; v < v_count; v++)
                logits[g * v_count + v] = floorf(tensor_hash(s->seed, (uint64_t)v, 3));
        }
    }
}

/* n ranges that share `rows` as evenly as they can, the last one first. */
static void fill_ranges(int32_t *range, int64_t n, int64_t rows)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t at = n - 1 - i;
        range[2 * at] = (int32_t)(i * rows / n);
        range[2 * at + 1] = (int32_t)((i + 1) * rows / n - i * rows / n);
    }
}

static void fill_special(struct stage *s)
{
    if (s->one->op == OP_nearest) {
        int32_t *group = data_of(s, 2);
        for (int64_t n = 0; n < s->one->d[2]; n++) group[n] = (int32_t)(n / s->one->d[3]);
        return;
    }
    int32_t *index = s->plan->step[0].in[1] < 0 ? NULL : data_of(s, 1);
    int64_t rows = rows_of(s), most = s->one->d[4];
    switch (s->one->op) {
    case OP_attnself:
        fill_attnself(s);
        break;
    case OP_pick:
        fill_pick(s);
        break;
    case OP_crosskv: /* distinct slots */
        for (int64_t b = 0; b < rows; b++) index[b] = (int32_t)((b + 1) % most);
        break;
    case OP_attncross: /* rows of one window stand together */
        for (int64_t r = 0; r < rows; r++) index[r] = (int32_t)(most - 1 - r * most / rows);
        break;
    case OP_lstm:
        *(int32_t *)data_of(s, 3) = (int32_t)s->one->d[2];
        break;
    case OP_dampen: /* some are banned, some both, some places say nothing */
        for (int64_t i = 0; i < rows * s->one->d[2]; i++) {
            if (i % 3 == 1) index[i] = i % 2 ? -1 : -2 - index[i];
            if (i % 7 == 6) index[i] = -2 - index[i - 1] < 0 ? -2 - index[i - 1] : -1;
        }
        break;
    case OP_attnrange:
        fill_ranges(index, s->one->d[3], s->one->d[0]);
        break;
    case OP_pool:
        fill_ranges(index, rows, s->one->d[2]);
        break;
    case OP_linear: /* a row of zeros, which quantising must survive */
        if (s->one->d[0] > 2)
            memset((float *)data_of(s, 0) + s->one->d[2], 0, (size_t)s->one->d[2] * 4);
        break;
    default:
        fill_rows(s);
        break;
    }
}

static void fill_value(struct stage *s, int v)
{
    const struct plan_value *p = &s->plan->value[v];
    struct value *to = &s->value[v];
    to->data = buffer_make(p->bytes);
    int64_t rows = p->live < 0 || s->one->live < 0 ? (p->rank ? p->dim[0] : 1) : s->one->live;
    to->live_bytes = p->bytes / (size_t)(p->rank ? p->dim[0] : 1) * (size_t)rows;
    if (p->life == PLAN_OUTPUT) return;
    for (size_t i = 0; i < to->live_bytes / tensor_type_bytes(p->type); i++) {
        float x = number(s, p->name, i, s->gain[v]);
        uint16_t h = tensor_f32_to_f16(x);
        int32_t index = (int32_t)((tensor_hash(p->name, i, 0.5f) + 0.5f) * (float)s->limit[v]);
        double wide = (double)x;
        const void *from = p->type == DTYPE_F16   ? (void *)&h
                           : p->type == DTYPE_F64 ? (void *)&wide
                           : p->type == DTYPE_I32 ? (void *)&index
                                                  : (void *)&x;
        size_t size = tensor_type_bytes(p->type);
        memcpy(to->data.data + i * size, from, size);
    }
}

/* Weights have their data in the arena; all other values get a buffer, filled. */
static void stage_open(struct stage *s, const struct one *one, int number_of_case)
{
    *s = (struct stage){.one = one};
    snprintf(s->seed, sizeof s->seed, "opcheck/%s/%d", op_row(one->op)->name,
             one->seed ? one->seed : number_of_case);
    if (arena_open("opcheck", 0, &s->arena, &s->e) || plan_open(s->arena, &s->plan, &s->e))
        fail_msg("%s", s->e.text);
    if (one->kind == F16) s->plan->compute = DTYPE_F16;
    s->live = checked(s, plan_input(s->plan, "live", DTYPE_I32, 0, NULL, -1, &s->e), 0, 1);
    build[one->op](s);
    for (int v = 0; v < s->plan->n_values; v++) {
        if (s->plan->value[v].life != PLAN_WEIGHT) fill_value(s, v);
    }
    fill_special(s);
    for (int v = 0; v < s->plan->n_values; v++) {
        struct value *to = &s->value[v];
        if (to->data.base) to->pristine = buffer_copy(to->data.data, to->data.bytes);
    }
}

static void stage_close(struct stage *s)
{
    for (int v = 0; v < s->plan->n_values; v++) {
        buffer_free(&s->value[v].data);
        buffer_free(&s->value[v].pristine);
    }
    arena_close(&s->arena);
}

/* ---- the cases ------------------------------------------------------------------------------ */

#define GELU      .args.act = OP_ACT_GELU
#define RELU      .args.act = OP_ACT_RELU
#define EPS       .args.eps = 1e-5f
#define ATT(h, d) .args.heads = (h), .args.scale = (d)
#define PICK(j, eot_, time0_) \
    .args.top = (j), .args.watch = (eot_) + 1, .args.eot = (eot_), .args.time0 = (time0_)

/* clang-format off */
static const struct one cases[] = {
    /* op          d                   live  kind */
    {.op = OP_logmel,    {1, 1, 1},           -1, F32},
    {.op = OP_logmel,    {2, 5, 7},           -1, F32},
    {.op = OP_logmel,    {3, 80, 11},          2, F32},
    {.op = OP_logmel,    {2, 3, 4},            0, F32},
    {.op = OP_logmel,    {1, 80, 3000},       -1, F32, .bench = true},

    {.op = OP_melnorm,   {1, 1, 1},           -1, F32},
    {.op = OP_melnorm,   {3, 7, 13},          -1, F32},
    {.op = OP_melnorm,   {4, 80, 37},          3, F32},
    {.op = OP_melnorm,   {2, 17, 64},          0, F32},
    {.op = OP_melnorm,   {1, 80, 3000},       -1, F32, .bench = true},

    {.op = OP_conv1d,    {1, 1, 1, 1},        -1, F32, .args.stride = 1},
    {.op = OP_conv1d,    {2, 7, 3, 5},        -1, F32, .args.stride = 1, GELU},
    {.op = OP_conv1d,    {2, 10, 16, 33},      1, F32, .args.stride = 2, GELU},
    {.op = OP_conv1d,    {1, 6, 80, 48},      -1, F32, .args.stride = 1, GELU, .bare = true},
    {.op = OP_conv1d,    {1, 26, 37, 49},     -1, F32, .args.stride = 2, RELU},
    {.op = OP_conv1d,    {2, 110, 5, 50},      -1, F32, .args.stride = 1, GELU},
    {.op = OP_conv1d,    {1, 402, 6, 20},      -1, F32, .args.stride = 2, GELU},
    {.op = OP_conv1d,    {2, 8, 16, 16},       0, F32, .args.stride = 2},
    {.op = OP_conv1d,    {2, 14, 24, 19},     -1, F16, .args.stride = 2, GELU},
    {.op = OP_conv1d,    {1, 9, 80, 64},      -1, F16, .args.stride = 1, GELU},
    {.op = OP_conv1d,    {2, 12, 21, 17},     -1, I8, .args.stride = 2, GELU},
    {.op = OP_conv1d,    {1, 5, 8, 32},       -1, I8_FILE, .args.stride = 1},
    {.op = OP_conv1d,    {1, 3000, 80, 384},  -1, F16, .args.stride = 1, GELU, .bench = true},
    {.op = OP_conv1d,    {1, 3000, 384, 384}, -1, F16, .args.stride = 2, GELU, .bench = true},

    {.op = OP_addpos,    {1, 1, 1},           -1, F32},
    {.op = OP_addpos,    {3, 5, 67},           2, F32},
    {.op = OP_addpos,    {2, 7, 64},          -1, F16},
    {.op = OP_addpos,    {1, 1500, 384},      -1, F16, .bench = true},

    {.op = OP_layernorm, {1, 1},              -1, F32, EPS},
    {.op = OP_layernorm, {5, 7},              -1, F32, EPS},
    {.op = OP_layernorm, {6, 384},             4, F32, EPS},
    {.op = OP_layernorm, {2, 65, 9},          -1, F32, EPS},
    {.op = OP_layernorm, {3, 16, 5},           0, F32, EPS},
    {.op = OP_layernorm, {4, 100},            -1, F16, EPS},
    {.op = OP_layernorm, {1, 384, 1500},      -1, F16, EPS, .bench = true},
    {.op = OP_layernorm, {5, 384},            -1, F16, EPS, .bench = true},

    {.op = OP_linear,    {1, 1, 1},           -1, F32},
    {.op = OP_linear,    {1, 16, 4},          -1, F32, .bare = true},
    {.op = OP_linear,    {2, 17, 33},         -1, F32, GELU},
    {.op = OP_linear,    {5, 48, 64},          3, F32, RELU},
    {.op = OP_linear,    {8, 51, 67},          0, F32},
    {.op = OP_linear,    {13, 97, 128},       -1, F32, GELU},
    {.op = OP_linear,    {2, 96, 96, 19},      1, F32, GELU},
    {.op = OP_linear,    {3, 31, 384, 7},     -1, F32, .bare = true},
    {.op = OP_linear,    {67, 64, 48},        50, F32, GELU},
    {.op = OP_linear,    {2, 35, 48, 300},    -1, F32, GELU},
    {.op = OP_linear,    {2, 17, 1100, 257},   1, F32, RELU},
    {.op = OP_linear,    {1, 20, 1024, 256},  -1, F32, .bare = true},
    {.op = OP_linear,    {1, 35, 1031, 270},  -1, F16, GELU},
    {.op = OP_linear,    {1, 1, 1},           -1, F16},
    {.op = OP_linear,    {1, 100, 65},        -1, F16, GELU},
    {.op = OP_linear,    {5, 48, 384},         4, F16, .bare = true},
    {.op = OP_linear,    {3, 19, 37, 5},      -1, F16, RELU},
    {.op = OP_linear,    {34, 80, 96},        -1, F16, GELU},
    {.op = OP_linear,    {150, 97, 301},     131, F16, RELU},
    {.op = OP_linear,    {2, 66, 1536, 75},   -1, F16},
    {.op = OP_linear,    {8, 33, 31},          0, F16, .bare = true},
    {.op = OP_linear,    {1, 1, 1},           -1, I8},
    {.op = OP_linear,    {1, 16, 4},          -1, I8, .bare = true},
    {.op = OP_linear,    {1, 49, 64},         -1, I8, GELU},
    {.op = OP_linear,    {3, 17, 35},         -1, I8, RELU},
    {.op = OP_linear,    {6, 48, 96},          5, I8, GELU},
    {.op = OP_linear,    {8, 33, 130},         0, I8},
    {.op = OP_linear,    {11, 100, 384},      -1, I8, GELU},
    {.op = OP_linear,    {2, 53, 67, 9},       1, I8},
    {.op = OP_linear,    {2, 53, 67, 105},    -1, I8, GELU},
    {.op = OP_linear,    {49, 112, 64},       -1, I8, GELU},
    {.op = OP_linear,    {6, 50, 1536},       -1, I8, .largest = true},
    {.op = OP_linear,    {37, 48, 384},       -1, I8, .largest = true},
    {.op = OP_linear,    {1, 1, 1},           -1, I8, .args.skew = true},
    {.op = OP_linear,    {5, 49, 67},         -1, I8, GELU, .args.skew = true},
    {.op = OP_linear,    {75, 100, 384},      70, I8, .args.skew = true},
    {.op = OP_linear,    {19, 48, 1536},      -1, I8, .largest = true, .args.skew = true},
    {.op = OP_linear,    {2, 40, 70, 600},    -1, I8, GELU},
    {.op = OP_linear,    {2, 47, 65, 300},     1, I8, RELU, .args.skew = true},
    {.op = OP_linear,    {16, 32, 64},        -1, I8, .bare = true},
    {.op = OP_linear,    {41, 16, 4},         39, I8, GELU, .args.skew = true},
    {.op = OP_linear,    {1, 33, 5120, 150},  -1, I8, .largest = true},
    {.op = OP_linear,    {3, 37, 41},         -1, I8_FILE, GELU},
    {.op = OP_linear,    {1, 96, 128},        -1, I8_FILE, .bare = true},
    {.op = OP_linear,    {1, 1152, 384, 1500}, -1, I8, .bare = true, .bench = true},
    {.op = OP_linear,    {1, 1536, 384, 1500}, -1, I8, GELU, .bench = true},
    {.op = OP_linear,    {1, 384, 1536, 1500}, -1, I8, .bench = true},
    {.op = OP_linear,    {1, 1280, 1280, 1500}, -1, I8, .bench = true},
    {.op = OP_linear,    {1, 5120, 1280, 1500}, -1, I8, GELU, .bench = true},
    {.op = OP_linear,    {1, 1280, 5120, 1500}, -1, I8, .bench = true},
    {.op = OP_linear,    {1, 1536, 384, 1500}, -1, F32, GELU, .bench = true},
    {.op = OP_linear,    {1, 1536, 384, 1500}, -1, F16, GELU, .bench = true},
    {.op = OP_linear,    {1, 384, 384},       -1, I8, .bench = true},
    {.op = OP_linear,    {5, 1536, 384},      -1, I8, GELU, .bench = true},
    {.op = OP_linear,    {1, 51864, 384},     -1, I8, .bare = true, .bench = true},
    {.op = OP_linear,    {5, 51864, 384},     -1, I8, .bare = true, .bench = true},
    {.op = OP_linear,    {1, 51864, 384},     -1, F16, .bare = true, .bench = true},
    {.op = OP_linear,    {5, 51864, 384},     -1, F16, .bare = true, .bench = true},
    {.op = OP_linear,    {5, 1536, 384},      -1, F16, GELU, .bench = true},

    {.op = OP_attention, {1, 1, 1, 1},        -1, F32, ATT(1, 1)},
    {.op = OP_attention, {2, 5, 2, 3},        -1, F32, ATT(2, 0.5f)},
    {.op = OP_attention, {3, 17, 3, 16},       2, F32, ATT(3, 0.25f)},
    {.op = OP_attention, {1, 67, 2, 64},      -1, F32, ATT(2, 0.125f)},
    {.op = OP_attention, {1, 130, 1, 64},     -1, F32, ATT(1, 0.125f), .largest = true},
    {.op = OP_attention, {2, 33, 5, 24},       0, F32, ATT(5, 1)},
    {.op = OP_attention, {1, 421, 1, 64},     -1, F32, ATT(1, 0.125f)},
    {.op = OP_attention, {3, 17, 3, 32},       2, F16, ATT(3, 0.25f)},
    {.op = OP_attention, {1, 131, 2, 64},     -1, F16, ATT(2, 0.125f), .largest = true},
    {.op = OP_attention, {1, 300, 1, 96},     -1, F16, ATT(1, 0.125f)},
    {.op = OP_attention, {1, 1, 1, 32},       -1, F16, ATT(1, 0.5f)},
    {.op = OP_attention, {2, 512, 1, 64},     -1, F16, ATT(1, 0.125f), .largest = true},
    {.op = OP_attention, {1, 529, 2, 32},     -1, F16, ATT(2, 0.5f)},
    {.op = OP_attention, {1, 1041, 1, 64},    -1, F16, ATT(1, 0.125f)},
    {.op = OP_attention, {1, 1500, 6, 64},    -1, F32, ATT(6, 0.125f), .bench = true},
    {.op = OP_attention, {1, 1500, 6, 64},    -1, F16, ATT(6, 0.125f), .bench = true},

    {.op = OP_crosskv,   {1, 1, 1, 1, 1},     -1, F32, ATT(1, 1)},
    {.op = OP_crosskv,   {2, 7, 3, 5, 4},     -1, F32, ATT(3, 1)},
    {.op = OP_crosskv,   {2, 19, 2, 64, 3},    1, F16, ATT(2, 1)},
    {.op = OP_crosskv,   {2, 37, 1, 16, 2},    0, F16, ATT(1, 1)},
    {.op = OP_crosskv,   {3, 17, 2, 24, 3},   -1, F16, ATT(2, 1)},
    {.op = OP_crosskv,   {1, 1500, 6, 64, 1}, -1, F16, ATT(6, 1), .bench = true},

    {.op = OP_embed,     {1, 1, 1, 1},        -1, F32},
    {.op = OP_embed,     {5, 37, 19, 7},      -1, F32},
    {.op = OP_embed,     {6, 40, 64, 9},       4, F16},
    {.op = OP_embed,     {3, 33, 67, 5},      -1, I8},
    {.op = OP_embed,     {7, 16, 100, 5},      0, I8},
    {.op = OP_embed,     {4, 50, 48, 5},      -1, I8_FILE},

    {.op = OP_attnself,  {1, 1, 1, 1, 1},     -1, F32, ATT(1, 1)},
    {.op = OP_attnself,  {3, 2, 5, 3, 9},     -1, F32, ATT(2, 0.5f)},
    {.op = OP_attnself,  {9, 3, 16, 2, 21},    7, F32, ATT(3, 0.25f)},
    {.op = OP_attnself,  {5, 2, 64, 5, 40},   -1, F16, ATT(2, 0.125f)},
    {.op = OP_attnself,  {13, 1, 64, 1, 70},  -1, F16, ATT(1, 0.125f)},
    {.op = OP_attnself,  {3, 1, 128, 2, 20},   -1, F32, ATT(1, 0.125f)},
    {.op = OP_attnself,  {6, 3, 24, 4, 17},    0, F16, ATT(3, 1)},
    {.op = OP_attnself,  {5, 6, 64, 5, 448},  -1, F16, ATT(6, 0.125f), .bench = true},

    {.op = OP_attncross, {1, 1, 1, 1, 1},     -1, F32, ATT(1, 1)},
    {.op = OP_attncross, {4, 2, 5, 7, 2},     -1, F32, ATT(2, 0.5f)},
    {.op = OP_attncross, {7, 3, 16, 33, 3},    5, F32, ATT(3, 0.25f)},
    {.op = OP_attncross, {5, 2, 64, 67, 1},   -1, F16, ATT(2, 0.125f), .bare = true},
    {.op = OP_attncross, {10, 1, 64, 130, 2}, -1, F16, ATT(1, 0.125f)},
    {.op = OP_attncross, {14, 1, 80, 20, 1},   -1, F32, ATT(1, 0.125f)},
    {.op = OP_attncross, {3, 2, 24, 50, 2},    0, F16, ATT(2, 1)},
    {.op = OP_attncross, {1, 6, 64, 1500, 1}, -1, F16, ATT(6, 0.125f), .bare = true, .bench = true},
    {.op = OP_attncross, {5, 6, 64, 1500, 1}, -1, F16, ATT(6, 0.125f), .bare = true, .bench = true},

    {.op = OP_gather,    {1, 1, 1},           -1, F32},
    {.op = OP_gather,    {5, 9, 67},           7, F32},
    {.op = OP_gather,    {7, 3, 64},           0, F32},

    {.op = OP_dampen,    {1, 5, 1},           -1, F32, .args.scale = 1.5f},
    {.op = OP_dampen,    {5, 37, 9},           3, F32, .args.scale = 0.8f},
    {.op = OP_dampen,    {3, 70, 140},        -1, F32, .args.scale = 1.1f},
    {.op = OP_dampen,    {4, 50, 7},           0, F32, .args.scale = 2},

    {.op = OP_probe,     {1, 2},              -1, F32, .args.eot = 1},
    {.op = OP_probe,     {7, 67},              5, F32, .args.eot = 60},
    {.op = OP_probe,     {3, 1531},           -1, F32, .args.eot = 1000},
    {.op = OP_probe,     {4, 50},              0, F32, .args.eot = 50},
    {.op = OP_probe,     {32, 51864},         -1, F32, .args.eot = 50256, .bench = true},

    {.op = OP_pick,      {1, 7},              -1, F32, PICK(1, 3, 5)},
    {.op = OP_pick,      {9, 37},             -1, F32, PICK(5, 20, 25)},
    {.op = OP_pick,      {13, 67},            11, F32, PICK(10, 30, -1)},
    {.op = OP_pick,      {12, 100},           -1, F32, PICK(12, 60, 70), .largest = true},
    {.op = OP_pick,      {4, 50},              0, F32, PICK(3, 30, 40)},
    {.op = OP_pick,      {3, 1531},           -1, F32, PICK(10, 1000, 1010)},
    {.op = OP_pick,      {1, 51864},          -1, F32, PICK(10, 50256, 50363), .bench = true},
    {.op = OP_pick,      {5, 51864},          -1, F32, PICK(10, 50256, 50363), .bench = true},

    {.op = OP_attnrange, {1, 1, 1, 1, 1},     -1, F32, ATT(1, 1)},
    {.op = OP_attnrange, {9, 2, 3, 4, 3},     -1, F32, ATT(2, 0.5f)},
    {.op = OP_attnrange, {40, 3, 16, 3, 20},  -1, F32, ATT(3, 0.25f), .bare = true},
    {.op = OP_attnrange, {131, 2, 32, 2, 70}, -1, F32, ATT(2, 0.18f)},
    {.op = OP_attnrange, {257, 1, 64, 1, 257}, -1, F32, ATT(1, 0.125f)},
    {.op = OP_attnrange, {66, 5, 24, 9, 33},  -1, F32, ATT(5, 1), .largest = true, .bare = true},
    {.op = OP_attnrange, {40, 2, 32, 3, 20},  -1, F16, ATT(2, 0.18f)},
    {.op = OP_attnrange, {131, 2, 64, 2, 70}, -1, F16, ATT(2, 0.125f)},
    {.op = OP_attnrange, {1, 1, 32, 1, 1},    -1, F16, ATT(1, 0.18f), .bare = true},
    {.op = OP_attnrange, {545, 1, 32, 2, 530}, -1, F16, ATT(1, 0.18f)},
    {.op = OP_attnrange, {48, 3, 32, 3, 17},  -1, F16, ATT(3, 0.18f), .bare = true},
    {.op = OP_attnrange, {512, 12, 32, 32, 1}, -1, F32, ATT(12, 0.18f), .bare = true, .bench = true},
    {.op = OP_attnrange, {512, 12, 32, 4, 1}, -1, F32, ATT(12, 0.18f), .bare = true, .bench = true},
    {.op = OP_attnrange, {512, 12, 32, 2, 1}, -1, F32, ATT(12, 0.18f), .bare = true, .bench = true},
    {.op = OP_attnrange, {512, 12, 32, 32, 1}, -1, F16, ATT(12, 0.18f), .bare = true, .bench = true},
    {.op = OP_attnrange, {512, 12, 32, 8, 1}, -1, F16, ATT(12, 0.18f), .bare = true, .bench = true},
    {.op = OP_attnrange, {512, 12, 32, 4, 1}, -1, F16, ATT(12, 0.18f), .bare = true, .bench = true},
    {.op = OP_attnrange, {512, 12, 32, 2, 1}, -1, F16, ATT(12, 0.18f), .bare = true, .bench = true},

    {.op = OP_pool,      {1, 1, 1},           -1, F32},
    {.op = OP_pool,      {3, 37, 10},         -1, F32, .args.unit = true},
    {.op = OP_pool,      {7, 64, 50},          4, F32, .args.unit = true, .args.first = true},
    {.op = OP_pool,      {4, 19, 33},          0, F32, .args.first = true},

    {.op = OP_nearest,   {1, 1, 1, 1},        -1, F32, .args.top = 2},
    {.op = OP_nearest,   {3, 37, 50, 3},      -1, F32, .args.top = 5},
    {.op = OP_nearest,   {9, 64, 200, 1},      7, F32, .args.top = 10},
    {.op = OP_nearest,   {5, 33, 70, 7},      -1, F32, .args.top = 12, .largest = true},
    {.op = OP_nearest,   {2, 16, 40, 4},       0, F32, .args.top = 3},
    {.op = OP_nearest,   {70, 100, 1000, 3},  45, F32, .args.top = 10},
    {.op = OP_nearest,   {33, 384, 499, 1},   -1, F32, .args.top = 2},
    {.op = OP_nearest,   {16, 131, 97, 60},   -1, F32, .args.top = 3, .largest = true},
    {.op = OP_nearest,   {20, 384, 1100, 2},  -1, F32, .args.top = 10},
    {.op = OP_nearest,   {64, 384, 20000, 1}, -1, F32, .args.top = 10, .bench = true},

    {.op = OP_seed,      {1, 1, 1, 1},        -1, F32, .bare = true},
    {.op = OP_seed,      {5, 3, 2, 2},        -1, F32, .bare = true},
    {.op = OP_seed,      {61, 17, 3, 5},      -1, F32},
    {.op = OP_seed,      {301, 40, 8, 6},     -1, F32},
    {.op = OP_seed,      {777, 9, 10, 7},     -1, F32},
    {.op = OP_seed,      {10000, 200, 10, 6}, -1, F32, .bench = true},

    {.op = OP_lloyd,     {1, 1, 1, 1},        -1, F32},
    {.op = OP_lloyd,     {7, 3, 2, 3},        -1, F32},
    {.op = OP_lloyd,     {50, 17, 3, 16},     -1, F32},
    {.op = OP_lloyd,     {67, 33, 4, 49},     -1, F32},
    {.op = OP_lloyd,     {65, 257, 1, 100},   -1, F32},
    {.op = OP_lloyd,     {10000, 200, 1, 70}, -1, F32, .bench = true},

    {.op = OP_spread,    {1, 1, 1},           -1, F32},
    {.op = OP_spread,    {61, 19, 5},         -1, F32},
    {.op = OP_spread,    {35, 64, 3},         -1, F32, .bare = true},

    {.op = OP_gram,      {1, 1, 0},           -1, F32},
    {.op = OP_gram,      {5, 67, 0},          -1, F32},
    {.op = OP_gram,      {301, 33, 0},        -1, F32},
    {.op = OP_gram,      {70, 19, 5},         33, F32},
    {.op = OP_gram,      {515, 100, 49},      -1, F32, .bare = true},
    {.op = OP_gram,      {10000, 200, 0},     -1, F32, .bench = true},

    {.op = OP_eigen,     {1},                 -1, F32},
    {.op = OP_eigen,     {2},                 -1, F32},
    {.op = OP_eigen,     {7},                 -1, F32},
    {.op = OP_eigen,     {40},                -1, F32},
    {.op = OP_eigen,     {261},               -1, F32}, /* by the team, not by one */
    {.op = OP_eigen,     {200},               -1, F32, .bench = true},

    {.op = OP_project,   {1, 1, 1},           -1, F32},
    {.op = OP_project,   {9, 35, 17},          7, F32},
    {.op = OP_project,   {64, 200, 100},      -1, F32},
    {.op = OP_project,   {11, 5, 3},           0, F32},
    {.op = OP_project,   {10000, 200, 100},   -1, F32, .bench = true},

    {.op = OP_estep,     {1, 1, 1, 0},        -1, F32},
    {.op = OP_estep,     {61, 7, 5, 0},       -1, F32},
    {.op = OP_estep,     {35, 19, 50, 0},     -1, F32},
    {.op = OP_estep,     {45, 130, 70, 0},    -1, F32}, /* long enough to be cut short */
    {.op = OP_estep,     {23, 96, 3, 0},      -1, F32},
    {.op = OP_estep,     {1, 1, 1, 1},        -1, F32},
    {.op = OP_estep,     {37, 5, 3, 1},       -1, F32},
    {.op = OP_estep,     {19, 20, 4, 1},      -1, F32},
    {.op = OP_estep,     {37, 5, 3, 2},       -1, F32},
    {.op = OP_estep,     {29, 33, 17, 2},     -1, F32},
    {.op = OP_estep,     {10000, 200, 70, 0}, -1, F32, .bench = true},

    {.op = OP_density,   {1, 1, 5},           -1, F32, .args.top = 1},
    {.op = OP_density,   {150, 2, 1},         -1, F32, .args.top = 4},
    {.op = OP_density,   {400, 3, 3},         -1, F32, .args.top = 7},
    {.op = OP_density,   {130, 33, 35},       -1, F32, .args.top = 3},
    {.op = OP_density,   {1100, 5, 4},        -1, F32, .args.top = 3},
    {.op = OP_density,   {90, 2, 0},          -1, F32, .args.top = 2},
    {.op = OP_density,   {10000, 200, 100},   -1, F32, .args.top = 12, .bench = true},

    {.op = OP_near,      {1, 1},              -1, F32, .args.top = 1},
    {.op = OP_near,      {61, 7},             -1, F32, .args.top = 61},
    {.op = OP_near,      {150, 33},           -1, F32, .args.top = 10},
    {.op = OP_near,      {1000, 4},           -1, F32, .args.top = 20},
    {.op = OP_near,      {10000, 200},        -1, F32, .args.top = 20, .bench = true},

    {.op = OP_apart,     {1, 1},              -1, F32, .args.top = 1},
    {.op = OP_apart,     {60, 5},             -1, F32, .args.top = 3},
    {.op = OP_apart,     {131, 33},           -1, F32, .args.top = 50},
    {.op = OP_apart,     {1100, 17},          -1, F32, .args.top = 7},
    {.op = OP_apart,     {10000, 200},        -1, F32, .args.top = 70, .bench = true},

    {.op = OP_diffuse,   {1, 1, 1},           -1, F32},
    {.op = OP_diffuse,   {33, 17, 3},         -1, F32},
    {.op = OP_diffuse,   {50, 80, 7},         -1, F32},
    {.op = OP_diffuse,   {10000, 96, 34},     -1, F32, .bench = true},
    {.op = OP_frames,    {1, 1, 1, 1},        -1, F32, .args.stride = 1},
    {.op = OP_frames,    {3, 40, 5, 16},       2, F32, .args.stride = 8},
    {.op = OP_frames,    {2, 5, 9, 1},        -1, F32, .args.stride = 1},
    {.op = OP_frames,    {3, 20, 3, 7},        0, F32, .args.stride = 11},

    {.op = OP_magnitude, {1, 1, 1},           -1, F32},
    {.op = OP_magnitude, {3, 4, 129},          2, F32},
    {.op = OP_magnitude, {2, 3, 16},           0, F32},

    {.op = OP_lstm,      {1, 1},              -1, F32},
    {.op = OP_lstm,      {5, 7, 1},           -1, F32},
    {.op = OP_lstm,      {9, 16},              6, F32},
    {.op = OP_lstm,      {4, 19},             -1, F16},
    {.op = OP_lstm,      {6, 37, 1},          -1, F32, RELU},
    {.op = OP_lstm,      {21, 128},           -1, F32, RELU},
    {.op = OP_lstm,      {3, 50},             -1, F32, .largest = true},
    {.op = OP_lstm,      {3, 33, 1},           0, F32},
    {.op = OP_lstm,      {128, 128},          -1, F32, RELU, .bench = true},

    {.op = OP_sigmoid,   {1, 1},              -1, F32},
    {.op = OP_sigmoid,   {7, 37},              5, F32},
    {.op = OP_sigmoid,   {3, 16},              0, F32},

    {.op = OP_lloyd,     {1100, 40, 20, 18},  -1, F32}, /* more sets than walk together, several pieces */
    {.op = OP_estep,     {1300, 67, 20, 0},   -1, F32}, /* several blocks */
    /* |z|^2 of thousands and rows between two clusters: of 1500 seeds those farthest off */
    {.op = OP_estep,     {29, 33, 17, 1},     -1, F32, .seed = 1204},
    {.op = OP_estep,     {29, 33, 17, 2},     -1, F32, .seed = 739},
    {.op = OP_estep,     {29, 33, 17, 2},     -1, F32, .seed = 216},
};
/* clang-format on */

#endif
