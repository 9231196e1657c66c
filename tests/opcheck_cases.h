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
        r[0] = bits[g % (int)COUNT(bits)] | (g % 2 ? 0 : OP_RULE_RAW);
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

/* A cache of i8: whole numbers and their scales. */
static void fill_i8_cache(struct stage *s, int v)
{
    const struct plan_value *p = &s->plan->value[v];
    char *to = s->value[v].data.data;
    int64_t k = p->dim[p->rank - 1], n = tensor_count(p->rank, p->dim);
    for (int64_t i = 0; i < n; i++) to[i] = (char)number(s, p->name, (uint64_t)i, 127.4f);
    for (int64_t row = 0; row < n / k; row++) {
        float scale = (1 + tensor_hash(p->name, (uint64_t)row, 0.9f)) / 127;
        memcpy(to + plan_scales(p) + 4 * row, &scale, sizeof scale);
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
    if (p->type == DTYPE_I8) {
        fill_i8_cache(s, v);
        return;
    }
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
#include "opcheck_table.h"

#endif
