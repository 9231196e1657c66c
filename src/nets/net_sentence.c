/* token, position -> embed -> norm -> N x [ attention, norm, ffn, norm ] -> pool
 *
 * What is added to every token of a position (the position's row, and of BERT the row of token type
 * 0) becomes one table; MPNet's bias by buckets of distance one by distance.
 *
 * Follows transformers modeling_bert.py, modeling_mpnet.py, modeling_xlm_roberta.py. Held by
 * tests/t_sentence.c. */
#include "nets/net_sentence.h"
#include "nets/net_sentence_names.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct build { /* carries an error along, so that the network below reads as maths: after a failure
                  every call returns -1 */
    struct plan *p;
    const struct net_sentence_source *src;
    const struct net_sentence_config *c;
    const struct net_sentence_shape *s;
    struct net_sentence *net;
    const char *prefix; /* of all names in the file */
    bool *used;         /* [tensors of the file] */
    struct err *e;
    bool failed;
};

static int fail(struct build *b)
{
    b->failed = true;
    return -1;
}

/* The test model: see tensor_hash and tools/golden/sentence2.py, which follow the same rules by
 * suffix. */
static int hashed_tensor(struct build *b, const char *name, struct tensor *t)
{
    int64_t n = tensor_count(t->rank, t->dim), columns = n / t->dim[0];
    float *out = ARENA_NEW(b->p->arena, float, (size_t)n, b->e);
    if (!out) return fail(b);
    bool norm = str_ends(name, "LayerNorm.weight"), bias = str_ends(name, ".bias");
    float gain = norm   ? 0.1f
                 : bias ? 0.05f
                 : strstr(name, "embeddings") || strstr(name, "relative")
                     ? 0.5f
                     : (float)(1.5 / sqrt((double)columns));
    for (int64_t i = 0; i < n; i++)
        out[i] = (norm ? 1.0f : 0.0f) + tensor_hash(name, (uint64_t)i, gain);
    t->type = DTYPE_F32;
    t->data = out;
    return 0;
}

/* A tensor of the model by its name in BERT's spelling, checked. */
static int tensor(struct build *b, const char *name, int rank, int64_t d0, int64_t d1,
                  struct tensor *t)
{
    if (b->failed) return -1;
    *t = (struct tensor){.type = DTYPE_F32, .rank = rank, .dim = {d0, d1}};
    if (!b->src->weights) return b->src->hashed ? hashed_tensor(b, name, t) : 0;
    const struct load_weights *w = b->src->weights;
    const struct load_tensor *have = net_sentence_names_find(w, b->prefix, name);
    if (!have) {
        err_set(b->e, E_MODEL, "the model has no tensor %s%s", b->prefix, name);
        return fail(b);
    }
    bool fits = have->t.rank == rank && have->t.dim[0] == d0 && (rank < 2 || have->t.dim[1] == d1);
    if (!fits) {
        err_set(b->e, E_MODEL,
                "tensor %s is of rank %d, [%lld, %lld]; expected rank %d, [%lld, %lld]", have->name,
                have->t.rank, (long long)have->t.dim[0], (long long)have->t.dim[1], rank,
                (long long)d0, (long long)d1);
        return fail(b);
    }
    b->used[have - w->tensor] = true;
    *t = have->t;
    return 0;
}

static int as_weight(struct build *b, const char *name, const struct tensor *part, int n, bool i8)
{
    if (b->failed) return -1;
    int v = plan_weight(b->p, name, part, n, i8, b->e);
    return v < 0 ? fail(b) : v;
}

static int vector_weight(struct build *b, const char *name, int64_t n)
{
    struct tensor t;
    tensor(b, name, 1, n, 0, &t);
    return as_weight(b, name, &t, 1, false);
}

static int temp(struct build *b, const char *name, int64_t width)
{
    if (b->failed) return -1;
    int v =
        plan_temp(b->p, name, DTYPE_F32, 2, (int64_t[]){b->s->rows, width}, b->net->n_rows, b->e);
    return v < 0 ? fail(b) : v;
}

static void add(struct build *b, enum op op, const char *name, int n_in, const int *in, int out,
                struct op_args args)
{
    if (b->failed) return;
    if (plan_add(b->p, op, name, in, n_in, &out, 1, &args, b->e)) fail(b);
}

struct label {
    char text[96];
};
BASE_PRINTF(1, 2)
static struct label label(const char *format, ...)
{
    struct label l;
    va_list args;
    va_start(args, format);
    vsnprintf(l.text, sizeof l.text, format, args);
    va_end(args);
    return l;
}

static int norm(struct build *b, const char *step, const char *name, int x)
{
    int gain = vector_weight(b, label("%s.weight", name).text, b->c->width);
    int offset = vector_weight(b, label("%s.bias", name).text, b->c->width);
    int y = temp(b, step, b->c->width);
    add(b, OP_layernorm, step, PLAN_IDS(x, gain, offset), y, (struct op_args){.eps = b->c->eps});
    return y;
}

/* y = act(x w^T + bias) + residual, w and bias being stacked of n_names tensors [n,k] each. */
static int linear(struct build *b, const char *step, const char *const *names, int n_names, int x,
                  int64_t n, int64_t k, enum op_act act, int residual)
{
    struct tensor w[PLAN_PARTS], bias[PLAN_PARTS];
    for (int i = 0; i < n_names; i++) {
        tensor(b, label("%s.weight", names[i]).text, 2, n, k, &w[i]);
        tensor(b, label("%s.bias", names[i]).text, 1, n, 0, &bias[i]);
    }
    int weight = as_weight(b, label("%s.w", step).text, w, n_names, b->s->i8);
    int offset = as_weight(b, label("%s.b", step).text, bias, n_names, false);
    int y = temp(b, step, n * n_names);
    add(b, OP_linear, step, PLAN_IDS(x, weight, offset, residual), y,
        (struct op_args){.act = act, .skew = b->s->skew});
    return y;
}

static int layer(struct build *b, int l, int x, int bias)
{
    const struct net_sentence_config *c = b->c;
    struct label root = label("encoder.layer.%d.", l);
    struct label q = label("%sattention.self.query", root.text),
                 k = label("%sattention.self.key", root.text),
                 v = label("%sattention.self.value", root.text);
    struct op_args args = {.heads = c->heads,
                           .scale = 1.0f / sqrtf((float)c->width / (float)c->heads)};
    int qkv = linear(b, label("%d.qkv", l).text, (const char *[]){q.text, k.text, v.text}, 3, x,
                     c->width, c->width, OP_ACT_NONE, -1);
    int mixed = temp(b, label("%d.attention", l).text, c->width);
    add(b, OP_attnrange, label("%d.attention", l).text, PLAN_IDS(qkv, b->net->range, bias), mixed,
        args);
    struct label out = label("%sattention.output.dense", root.text);
    x = linear(b, label("%d.out", l).text, (const char *[]){out.text}, 1, mixed, c->width, c->width,
               OP_ACT_NONE, x);
    x = norm(b, label("%d.norm", l).text, label("%sattention.output.LayerNorm", root.text).text, x);
    struct label up = label("%sintermediate.dense", root.text),
                 down = label("%soutput.dense", root.text);
    int h = linear(b, label("%d.up", l).text, (const char *[]){up.text}, 1, x, c->ffn, c->width,
                   c->act, -1);
    x = linear(b, label("%d.down", l).text, (const char *[]){down.text}, 1, h, c->width, c->ffn,
               OP_ACT_NONE, x);
    return norm(b, label("%d.norm2", l).text, label("%soutput.LayerNorm", root.text).text, x);
}

/* What every position adds: f32 [max_tokens, width]. */
static int positions(struct build *b)
{
    const struct net_sentence_config *c = b->c;
    struct tensor table, type = {0}, out = {.type = DTYPE_F32, .rank = 2};
    int64_t width = c->width;
    tensor(b, "embeddings.position_embeddings.weight", 2, c->positions, width, &table);
    if (c->types) tensor(b, "embeddings.token_type_embeddings.weight", 2, c->types, width, &type);
    if (b->failed) return -1;
    out.dim[0] = b->s->max_tokens;
    out.dim[1] = width;
    if (!table.data) return as_weight(b, "positions", &out, 1, false);
    float *sum = ARENA_NEW(b->p->arena, float, (size_t)(out.dim[0] * width), b->e);
    float *row = ARENA_NEW(b->p->arena, float, (size_t)width, b->e);
    if (!sum || !row) return fail(b);
    if (c->types) tensor_row(&type, 0, row);
    for (int64_t t = 0; t < out.dim[0]; t++) {
        tensor_row(&table, t + c->position0, sum + t * width);
        for (int64_t i = 0; i < width; i++) sum[t * width + i] += row[i];
    }
    out.data = sum;
    return as_weight(b, "positions", &out, 1, false);
}

/* The bucket of a distance, key minus query: 16 to each side, exact up to 7, then logarithmic up to
 * 128 (compute_position_bucket of modeling_mpnet.py, with its thresholds as they come out). */
static int bucket(int64_t distance)
{
    static const int from[] = {8, 12, 16, 23, 32, 46, 64, 91};
    int64_t m = distance < 0 ? -distance : distance;
    int at = m < 8 ? (int)m : 7;
    for (size_t i = 0; m >= 8 && i < COUNT(from); i++) at += m >= from[i];
    return at + (distance > 0 ? 16 : 0);
}

/* MPNet: f32 [heads, 2 max_tokens - 1], what each head adds at a distance. */
static int distances(struct build *b)
{
    const struct net_sentence_config *c = b->c;
    struct tensor table, out = {.type = DTYPE_F32, .rank = 2};
    int64_t n = 2 * (int64_t)b->s->max_tokens - 1;
    if (c->family != SENTENCE_MPNET) return -1;
    if (tensor(b, "encoder.relative_attention_bias.weight", 2, 32, c->heads, &table)) return -1;
    out.dim[0] = c->heads;
    out.dim[1] = n;
    if (!table.data) return as_weight(b, "distances", &out, 1, false);
    float *bias = ARENA_NEW(b->p->arena, float, (size_t)(c->heads * n), b->e);
    float *row = ARENA_NEW(b->p->arena, float, (size_t)c->heads, b->e);
    if (!bias || !row) return fail(b);
    for (int64_t i = 0; i < n; i++) {
        tensor_row(&table, bucket(i - n / 2), row);
        for (int h = 0; h < c->heads; h++) bias[h * n + i] = row[h];
    }
    out.data = bias;
    return as_weight(b, "distances", &out, 1, false);
}

static int input(struct build *b, const char *name, int rank, int64_t d0, int64_t d1, int live)
{
    if (b->failed) return -1;
    int v = plan_input(b->p, name, DTYPE_I32, rank, (int64_t[]){d0, d1}, live, b->e);
    return v < 0 ? fail(b) : v;
}

static void network(struct build *b)
{
    const struct net_sentence_config *c = b->c;
    struct net_sentence *net = b->net;
    net->n_rows = input(b, "n_rows", 0, 0, 0, -1);
    net->n_texts = input(b, "n_texts", 0, 0, 0, -1);
    net->token = input(b, "token", 1, b->s->rows, 0, net->n_rows);
    net->position = input(b, "position", 1, b->s->rows, 0, net->n_rows);
    net->range = input(b, "range", 2, b->s->texts, 2, net->n_texts);
    if (b->failed) return;
    net->tape = plan_begin(b->p, "encode", b->e);
    if (net->tape < 0) fail(b);
    struct tensor words;
    tensor(b, "embeddings.word_embeddings.weight", 2, c->vocab, c->width, &words);
    int table = as_weight(b, "words", &words, 1, false), place = positions(b), bias = distances(b);
    int x = temp(b, "embed", c->width);
    add(b, OP_embed, "embed", PLAN_IDS(net->token, net->position, table, place), x,
        (struct op_args){0});
    x = norm(b, "embed.norm", "embeddings.LayerNorm", x);
    for (int l = 0; l < c->layers; l++) x = layer(b, l, x, bias);
    if (b->failed) return;
    net->vector = plan_output(b->p, "vector", DTYPE_F32, 2, (int64_t[]){b->s->texts, c->width},
                              net->n_texts, b->e);
    if (net->vector < 0) fail(b);
    add(b, OP_pool, "pool", PLAN_IDS(x, net->range), net->vector,
        (struct op_args){.first = c->first, .unit = b->s->unit});
}

int net_sentence_plan(struct arena *a, const struct net_sentence_source *src,
                      const struct net_sentence_config *c, const struct net_sentence_shape *s,
                      struct plan **plan, struct net_sentence *net, struct err *e)
{
    struct build b = {.src = src, .c = c, .s = s, .net = net, .prefix = "", .e = e};
    assert(s->max_tokens >= 1 && s->max_tokens <= c->max_tokens && s->rows >= s->max_tokens);
    *net = (struct net_sentence){.config = *c, .shape = *s};
    TRY(plan_open(a, &b.p, e));
    b.p->compute = s->compute;
    if (src->weights) {
        b.prefix = net_sentence_names_prefix(src->weights);
        b.used = ARENA_NEW(a, bool, src->weights->n, e);
        if (!b.used) return -1;
    }
    network(&b);
    if (b.failed) return -1;
    if (src->weights) TRY(net_sentence_names_rest(src->weights, b.prefix, b.used, e));
    TRY(plan_finish(b.p, e));
    *plan = b.p;
    return 0;
}

bool net_sentence_named(const char *name, struct net_sentence_config *c)
{
    static const struct {
        const char *name;
        struct net_sentence_config config;
    } known[] = {
        {"all-MiniLM-L6-v2",
         {.family = SENTENCE_BERT,
          .width = 384,
          .heads = 12,
          .layers = 6,
          .ffn = 1536,
          .vocab = 30522,
          .positions = 512,
          .types = 2,
          .max_tokens = 256,
          .eps = 1e-12f,
          .act = OP_ACT_GELU,
          .lower_case = true}},
        {"all-mpnet-base-v2",
         {.family = SENTENCE_MPNET,
          .width = 768,
          .heads = 12,
          .layers = 12,
          .ffn = 3072,
          .vocab = 30527,
          .positions = 514,
          .position0 = 2,
          .max_tokens = 384,
          .eps = 1e-5f,
          .act = OP_ACT_GELU,
          .lower_case = true}},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *c = known[i].config;
        return true;
    }
    return false;
}
