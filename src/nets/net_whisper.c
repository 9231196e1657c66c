/* Whisper written as a plan. Called by jobs; data in and out are the doors of struct net_whisper.
 *
 *   pcm -> logmel -> melnorm -> conv1 gelu -> conv2 gelu (stride 2) -> + positions -> N x [
 * attention, ffn ] -> norm
 *                                                                                                   |
 *                        for every decoder layer: k and v of cross-attention -> state of window
 * `slot` token, position -> embed -> N x [ self-attention (state), cross-attention (state), ffn ]
 * -> norm -> gather -> logits -> pick
 *
 * Follows openai/whisper model.py; names of tensors are CTranslate2's
 * (python/ctranslate2/specs/whisper_spec.py); net_whisper_names.c knows the others. */
#include "nets/net_whisper.h"
#include "nets/net_whisper_names.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct build { /* carries an error along, so that the network below reads as maths: after a failure
                  every call returns -1 */
    struct plan *p;
    const struct net_whisper_source *src;
    const struct net_whisper_config *c;
    const struct net_whisper_shape *s;
    struct net_whisper *net;
    struct err *e;
    bool failed;
};

static int fail(struct build *b)
{
    b->failed = true;
    return -1;
}

/* The test model: see tensor_hash and tools/golden/whisper2.py, which follow the same rules by
 * suffix. */
static int hashed_tensor(struct build *b, const char *name, struct tensor *t)
{
    int64_t n = tensor_count(t->rank, t->dim), columns = n / t->dim[0];
    float *out = ARENA_NEW(b->p->arena, float, (size_t)n, b->e);
    if (!out) return fail(b);
    bool gamma = str_ends(name, "/gamma"),
         small = str_ends(name, "/beta") || str_ends(name, "/bias");
    float gain = gamma || str_ends(name, "/encodings") ? 0.1f
                 : small                               ? 0.05f
                 : str_ends(name, "embeddings/weight") ? 0.5f
                                                       : (float)(1.5 / sqrt((double)columns));
    for (int64_t i = 0; i < n; i++)
        out[i] = (gamma ? 1.0f : 0.0f) + tensor_hash(name, (uint64_t)i, gain);
    int d = b->c->width; /* keys have no bias in Whisper */
    if (str_ends(name, "self_attention/linear_0/bias")) memset(out + d, 0, (size_t)d * 4);
    if (str_ends(name, "/attention/linear_1/bias")) memset(out, 0, (size_t)d * 4);
    t->type = DTYPE_F32;
    t->data = out;
    return 0;
}

/* The n parts, stacked, have this shape. */
static int expect(const char *name, const struct tensor *part, int n, int rank, const int64_t *dim,
                  struct err *e)
{
    int64_t rows = 0;
    bool same = true;
    for (int i = 0; i < n; i++) {
        rows += part[i].dim[0];
        same &= part[i].rank == rank &&
                memcmp(part[i].dim + 1, dim + 1, (size_t)(rank - 1) * sizeof *dim) == 0;
    }
    if (same && rows == dim[0]) return 0;
    return err_set(e, E_MODEL,
                   "tensor %s is of rank %d, [%lld, %lld, ..]; expected rank %d, [%lld, %lld, ..]",
                   name, part[0].rank, (long long)rows, (long long)part[0].dim[1], rank,
                   (long long)dim[0], (long long)dim[1]);
}

/* A weight of this name and shape, checked, as a value of the plan. */
static int weight(struct build *b, bool as_i8, const char *name, int rank, int64_t d0, int64_t d1,
                  int64_t d2)
{
    if (b->failed) return -1;
    int known = plan_find(b->p, name); /* tied embeddings are used twice */
    if (known >= 0) return known;
    const struct tensor t = {.type = DTYPE_F16, .rank = rank, .dim = {d0, d1, d2}};
    struct tensor part[PLAN_PARTS] = {t};
    int n = 1;
    if (b->src->weights) {
        n = net_whisper_names_find(b->p->arena, b->src->weights, name, part, b->e);
        if (n < 0 || expect(name, part, n, rank, t.dim, b->e)) return fail(b);
    } else if (b->src->hashed && hashed_tensor(b, name, &part[0])) {
        return -1;
    }
    int v = plan_weight(b->p, name, part, n, as_i8, b->e);
    return v < 0 ? fail(b) : v;
}

static int temp(struct build *b, const char *step, int live, int rank, int64_t d0, int64_t d1,
                int64_t d2)
{
    if (b->failed) return -1;
    int64_t dim[] = {d0, d1, d2};
    int v = b->s->keep ? plan_output(b->p, step, DTYPE_F32, rank, dim, live, b->e)
                       : plan_temp(b->p, step, DTYPE_F32, rank, dim, live, b->e);
    return v < 0 ? fail(b) : v;
}

static void add(struct build *b, enum op op, const char *name, int n_in, const int *in, int n_out,
                const int *out, struct op_args args)
{
    if (b->failed) return;
    if (plan_add(b->p, op, name, in, n_in, out, n_out, &args, b->e)) fail(b);
}

/* "enc.2" and "qkv" -> "enc.2.qkv". */
struct label {
    char text[64];
};
static struct label label(const char *scope, const char *what)
{
    struct label l;
    snprintf(l.text, sizeof l.text, "%s%s%s", scope, *scope ? "." : "", what);
    return l;
}
BASE_PRINTF(1, 2)
static struct label path(const char *format, ...)
{
    struct label l;
    va_list args;
    va_start(args, format);
    vsnprintf(l.text, sizeof l.text, format, args);
    va_end(args);
    return l;
}

/* Values that look like x but are n wide. */
static int like(struct build *b, int x, const char *name, int64_t n)
{
    if (b->failed) return -1;
    const struct plan_value *v = &b->p->value[x];
    return v->rank == 2 ? temp(b, name, v->live, 2, v->dim[0], n, 0)
                        : temp(b, name, v->live, 3, v->dim[0], v->dim[1], n);
}

static int norm(struct build *b, const char *scope, const char *what, const char *tensor, int x)
{
    int d = b->c->width;
    struct label name = label(scope, what);
    int gain = weight(b, false, path("%s/gamma", tensor).text, 1, d, 0, 0),
        offset = weight(b, false, path("%s/beta", tensor).text, 1, d, 0, 0);
    int y = like(b, x, name.text, d);
    add(b, OP_layernorm, name.text, PLAN_IDS(x, gain, offset), PLAN_IDS(y),
        (struct op_args){.eps = b->c->eps});
    return y;
}

/* y = act(x w^T + bias) + residual; n outputs from k inputs. */
static int linear(struct build *b, const char *scope, const char *what, const char *tensor, int x,
                  int n, int k, enum op_act act, int residual)
{
    struct label name = label(scope, what);
    int w = weight(b, b->s->i8, path("%s/weight", tensor).text, 2, n, k, 0),
        bias = weight(b, false, path("%s/bias", tensor).text, 1, n, 0, 0);
    int y = like(b, x, name.text, n);
    add(b, OP_linear, name.text, PLAN_IDS(x, w, bias, residual), PLAN_IDS(y),
        (struct op_args){.act = act});
    return y;
}

static int ffn(struct build *b, const char *scope, const char *tensor, int x)
{
    int d = b->c->width, h = norm(b, scope, "ffn.norm", path("%s/ffn/layer_norm", tensor).text, x);
    h = linear(b, scope, "ffn.up", path("%s/ffn/linear_0", tensor).text, h, b->c->ffn, d,
               OP_ACT_GELU, -1);
    return linear(b, scope, "ffn.down", path("%s/ffn/linear_1", tensor).text, h, d, b->c->ffn,
                  OP_ACT_NONE, x);
}

static int encoder_layer(struct build *b, int layer, int x)
{
    int d = b->c->width;
    struct label scope = path("enc.%d", layer), tensor = path("encoder/layer_%d", layer);
    int h = norm(b, scope.text, "norm", path("%s/self_attention/layer_norm", tensor.text).text, x);
    int qkv = linear(b, scope.text, "qkv", path("%s/self_attention/linear_0", tensor.text).text, h,
                     3 * d, d, OP_ACT_NONE, -1);
    int mixed = like(b, x, label(scope.text, "attention").text, d);
    add(b, OP_attention, label(scope.text, "attention").text, PLAN_IDS(qkv), PLAN_IDS(mixed),
        (struct op_args){.heads = b->c->heads, .scale = 1.0f / sqrtf(WHISPER_HEAD)});
    x = linear(b, scope.text, "out", path("%s/self_attention/linear_1", tensor.text).text, mixed, d,
               d, OP_ACT_NONE, x);
    return ffn(b, scope.text, tensor.text, x);
}

static int conv(struct build *b, const char *name, int x, int64_t t, int n, int c, int stride)
{
    int w = weight(b, false, path("encoder/%s/weight", name).text, 3, n, c, 3),
        bias = weight(b, false, path("encoder/%s/bias", name).text, 1, n, 0, 0);
    int y = temp(b, name, -1, 3, 1, t / stride, n);
    add(b, OP_conv1d, name, PLAN_IDS(x, w, bias), PLAN_IDS(y),
        (struct op_args){.act = OP_ACT_GELU, .stride = stride});
    return y;
}

static int state(struct build *b, const char *name, enum dtype type, int rank, int64_t d0,
                 int64_t d1, int64_t d2, int64_t d3)
{
    if (b->failed) return -1;
    int known = plan_find(b->p, name); /* both tapes of the decoder use it */
    if (known >= 0) return known;
    int64_t dim[] = {d0, d1, d2, d3};
    int v = plan_state(b->p, name, type, rank, dim, b->e);
    return v < 0 ? fail(b) : v;
}

/* The keys and values every decoder layer will read, computed once per window. */
static void cross_caches(struct build *b, int encoded)
{
    int d = b->c->width;
    enum dtype type = b->s->cross_i8 ? DTYPE_I8 : b->s->cache;
    for (int l = 0; l < b->c->decoder_layers; l++) {
        struct label scope = path("dec.%d", l);
        int kv =
            linear(b, scope.text, "cross.kv", path("decoder/layer_%d/attention/linear_1", l).text,
                   encoded, 2 * d, d, OP_ACT_NONE, -1);
        int k = state(b, label(scope.text, "cross.k").text, type, 4, b->s->windows, b->c->heads,
                      WHISPER_HEAD, b->c->audio_ctx);
        int v = state(b, label(scope.text, "cross.v").text, type, 4, b->s->windows, b->c->heads,
                      b->c->audio_ctx, WHISPER_HEAD);
        add(b, OP_crosskv, label(scope.text, "cross.keep").text, PLAN_IDS(kv, b->net->slot),
            PLAN_IDS(k, v), (struct op_args){.heads = b->c->heads});
    }
}

static void encoder(struct build *b, int mel)
{
    const struct net_whisper_config *c = b->c;
    int x = conv(b, "conv1", mel, b->net->frames, c->width, c->n_mels, 1);
    x = conv(b, "conv2", x, b->net->frames, c->width, c->width, 2);
    int positions =
        weight(b, false, "encoder/position_encodings/encodings", 2, c->audio_ctx, c->width, 0);
    int h = like(b, x, "enc.embed", c->width);
    add(b, OP_addpos, "enc.embed", PLAN_IDS(x, positions), PLAN_IDS(h), (struct op_args){0});
    for (int l = 0; l < c->encoder_layers; l++) h = encoder_layer(b, l, h);
    b->net->encoded = norm(b, "", "enc.norm", "encoder/layer_norm", h);
    cross_caches(b, b->net->encoded);
}

/* What a tape of the decoder is given, and the name of its steps. */
struct rows {
    const char *scope;
    int n, most, token, position, sequence, window;
    bool align; /* where the heads for alignment listen is wanted */
};

/* The weights of cross-attention as an output, if they are wanted; else -1. */
static int listening(struct build *b, const struct rows *r, int layer, const char *scope)
{
    bool wanted = b->s->attention_output && !r->align;
    for (int i = 0; i < b->c->n_alignment; i++)
        wanted |= r->align && b->c->alignment[i].layer == layer;
    if (!wanted || b->failed) return -1;
    int v = plan_output(b->p, label(scope, "weights").text, DTYPE_F32, 3,
                        (int64_t[]){r->most, b->c->heads, b->c->audio_ctx}, r->n, b->e);
    for (int i = 0; i < b->c->n_alignment; i++)
        if (r->align && b->c->alignment[i].layer == layer) b->net->weights[i] = v;
    return v < 0 ? fail(b) : v;
}

static int decoder_layer(struct build *b, const struct rows *r, int layer, int x)
{
    const struct net_whisper_config *c = b->c;
    int d = c->width;
    struct op_args args = {.heads = c->heads, .scale = 1.0f / sqrtf(WHISPER_HEAD)};
    struct label scope = path("%s.%d", r->scope, layer), cache = path("dec.%d", layer),
                 tensor = path("decoder/layer_%d", layer);

    int h = norm(b, scope.text, "norm", path("%s/self_attention/layer_norm", tensor.text).text, x);
    int qkv = linear(b, scope.text, "qkv", path("%s/self_attention/linear_0", tensor.text).text, h,
                     3 * d, d, OP_ACT_NONE, -1);
    int k = state(b, label(cache.text, "self.k").text, b->s->cache, 3, b->s->sequences, c->text_ctx,
                  d, 0);
    int v = state(b, label(cache.text, "self.v").text, b->s->cache, 3, b->s->sequences, c->text_ctx,
                  d, 0);
    if (!b->failed) { /* they have room for texts longer than most */
        plan_sparse(b->p, k);
        plan_sparse(b->p, v);
    }
    int mixed = like(b, x, label(scope.text, "attention").text, d);
    add(b, OP_attnself, label(scope.text, "attention").text,
        PLAN_IDS(qkv, r->position, r->sequence, b->net->history), PLAN_IDS(mixed, k, v), args);
    x = linear(b, scope.text, "out", path("%s/self_attention/linear_1", tensor.text).text, mixed, d,
               d, OP_ACT_NONE, x);

    h = norm(b, scope.text, "cross.norm", path("%s/attention/layer_norm", tensor.text).text, x);
    int q = linear(b, scope.text, "cross.q", path("%s/attention/linear_0", tensor.text).text, h, d,
                   d, OP_ACT_NONE, -1);
    k = b->failed ? -1 : plan_find(b->p, label(cache.text, "cross.k").text);
    v = b->failed ? -1 : plan_find(b->p, label(cache.text, "cross.v").text);
    mixed = like(b, x, label(scope.text, "cross").text, d);
    int weights = listening(b, r, layer, scope.text);
    add(b, OP_attncross, label(scope.text, "cross").text, PLAN_IDS(q, r->window, k, v),
        PLAN_IDS(mixed, weights), args);
    x = linear(b, scope.text, "cross.out", path("%s/attention/linear_2", tensor.text).text, mixed,
               d, d, OP_ACT_NONE, x);
    return ffn(b, scope.text, tensor.text, x);
}

static int embeddings(struct build *b)
{
    return weight(b, b->s->i8, "decoder/embeddings/weight", 2, b->c->vocab, b->c->width, 0);
}

/* Tokens to what the last layer makes of them. */
static int decoder_layers(struct build *b, const struct rows *r)
{
    const struct net_whisper_config *c = b->c;
    int positions =
        weight(b, false, "decoder/position_encodings/encodings", 2, c->text_ctx, c->width, 0);
    struct label name = label(r->scope, "embed");
    int x = temp(b, name.text, r->n, 2, r->most, c->width, 0);
    add(b, OP_embed, name.text, PLAN_IDS(r->token, r->position, embeddings(b), positions),
        PLAN_IDS(x), (struct op_args){0});
    for (int l = 0; l < c->decoder_layers; l++) x = decoder_layer(b, r, l, x);
    return x;
}

static void decoder(struct build *b)
{
    const struct net_whisper_config *c = b->c;
    struct net_whisper *net = b->net;
    const struct rows r = {"dec",         net->n_rows,   b->s->rows,  net->token,
                           net->position, net->sequence, net->window, false};
    int x = decoder_layers(b, &r);
    int chosen = temp(b, "dec.chosen", net->n_picks, 2, b->s->picks, c->width, 0);
    add(b, OP_gather, "dec.chosen", PLAN_IDS(x, net->pick), PLAN_IDS(chosen), (struct op_args){0});
    chosen = norm(b, "", "dec.norm", "decoder/layer_norm", chosen);
    net->logits = temp(b, "logits", net->n_picks, 2, b->s->picks, c->vocab, 0);
    add(b, OP_linear, "logits", PLAN_IDS(chosen, embeddings(b)), PLAN_IDS(net->logits),
        (struct op_args){0});
    int logits = net->logits;
    if (b->s->dampen > 0) {
        logits = temp(b, "dampened", net->n_picks, 2, b->s->picks, c->vocab, 0);
        add(b, OP_dampen, "dampened", PLAN_IDS(net->logits, net->list), PLAN_IDS(logits),
            (struct op_args){.scale = b->s->dampen});
    }
    add(b, OP_pick, "pick", PLAN_IDS(logits, net->ban, net->rule, net->chance),
        PLAN_IDS(net->top_token, net->top_logp, net->sampled, net->sampled_logp, net->watched),
        (struct op_args){
            .top = b->s->top, .watch = c->no_speech, .eot = c->eot, .time0 = c->time0});
}

static void aligner(struct build *b)
{
    struct net_whisper *net = b->net;
    const struct rows r = {"align",
                           net->n_heard,
                           WHISPER_ALIGN_ROWS,
                           net->heard_token,
                           net->heard_position,
                           net->heard_sequence,
                           net->heard_window,
                           true};
    int x = norm(b, "", "align.norm", "decoder/layer_norm", decoder_layers(b, &r));
    int logits = temp(b, "align.logits", r.n, 2, r.most, b->c->vocab, 0);
    add(b, OP_linear, "align.logits", PLAN_IDS(x, embeddings(b)), PLAN_IDS(logits),
        (struct op_args){0});
    add(b, OP_probe, "align.probe", PLAN_IDS(logits, net->heard_next), PLAN_IDS(net->probability),
        (struct op_args){.eot = b->c->eot});
}

static int input(struct build *b, const char *name, enum dtype type, int live, int rank, int64_t d0,
                 int64_t d1, int64_t d2)
{
    if (b->failed) return -1;
    int64_t dim[] = {d0, d1, d2};
    int v = plan_input(b->p, name, type, rank, dim, live, b->e);
    return v < 0 ? fail(b) : v;
}

static int output(struct build *b, const char *name, enum dtype type, int live, int rank,
                  int64_t d0, int64_t d1)
{
    if (b->failed) return -1;
    int64_t dim[] = {d0, d1};
    int v = plan_output(b->p, name, type, rank, dim, live, b->e);
    return v < 0 ? fail(b) : v;
}

static void doors_of_words(struct build *b)
{
    struct net_whisper *n = b->net;
    int a = WHISPER_ALIGN_ROWS;
    n->n_heard = input(b, "n_heard", DTYPE_I32, -1, 0, 0, 0, 0);
    n->heard_token = input(b, "heard_token", DTYPE_I32, n->n_heard, 1, a, 0, 0);
    n->heard_position = input(b, "heard_position", DTYPE_I32, n->n_heard, 1, a, 0, 0);
    n->heard_sequence = input(b, "heard_sequence", DTYPE_I32, n->n_heard, 1, a, 0, 0);
    n->heard_window = input(b, "heard_window", DTYPE_I32, n->n_heard, 1, a, 0, 0);
    n->heard_next = input(b, "heard_next", DTYPE_I32, n->n_heard, 1, a, 0, 0);
    n->probability = output(b, "probability", DTYPE_F32, n->n_heard, 1, a, 0);
}

static void doors(struct build *b)
{
    const struct net_whisper_shape *s = b->s;
    struct net_whisper *n = b->net;
    n->frames = 2 * b->c->audio_ctx;
    n->samples = n->frames * WHISPER_HOP + 240;
    n->slot = input(b, "slot", DTYPE_I32, -1, 1, 1, 0, 0);
    if (s->mel_input) {
        n->mel = input(b, "mel", DTYPE_F32, -1, 3, 1, n->frames, b->c->n_mels);
    } else {
        n->pcm = input(b, "pcm", DTYPE_F32, -1, 2, 1, n->samples, 0);
        n->loudest_in = input(b, "loudest_in", DTYPE_F32, -1, 1, 1, 0, 0);
        n->content = input(b, "content", DTYPE_I32, -1, 1, 1, 0, 0);
        n->loudest = output(b, "loudest", DTYPE_F32, -1, 1, 1, 0);
    }
    n->n_rows = input(b, "n_rows", DTYPE_I32, -1, 0, 0, 0, 0);
    n->n_picks = input(b, "n_picks", DTYPE_I32, -1, 0, 0, 0, 0);
    n->token = input(b, "token", DTYPE_I32, n->n_rows, 1, s->rows, 0, 0);
    n->position = input(b, "position", DTYPE_I32, n->n_rows, 1, s->rows, 0, 0);
    n->sequence = input(b, "sequence", DTYPE_I32, n->n_rows, 1, s->rows, 0, 0);
    n->window = input(b, "window", DTYPE_I32, n->n_rows, 1, s->rows, 0, 0);
    n->history = input(b, "history", DTYPE_I32, -1, 2, s->sequences, b->c->text_ctx, 0);
    n->pick = input(b, "pick", DTYPE_I32, n->n_picks, 1, s->picks, 0, 0);
    n->ban = input(b, "ban", DTYPE_F32, -1, 1, b->c->vocab, 0, 0);
    n->rule = input(b, "rule", DTYPE_I32, n->n_picks, 2, s->picks, OP_RULES, 0);
    n->chance = input(b, "chance", DTYPE_F32, n->n_picks, 2, s->picks, 2, 0);
    n->top_token = output(b, "top_token", DTYPE_I32, n->n_picks, 2, s->picks, s->top);
    n->top_logp = output(b, "top_logp", DTYPE_F32, n->n_picks, 2, s->picks, s->top);
    n->sampled = output(b, "sampled", DTYPE_I32, n->n_picks, 1, s->picks, 0);
    n->sampled_logp = output(b, "sampled_logp", DTYPE_F32, n->n_picks, 1, s->picks, 0);
    n->watched = output(b, "watched", DTYPE_F32, n->n_picks, 1, s->picks, 0);
    if (s->dampen > 0)
        n->list = input(b, "list", DTYPE_I32, n->n_picks, 2, s->picks, b->c->text_ctx, 0);
    if (s->words) doors_of_words(b);
}

/* Log mel of the samples given; the maximum goes to `loudest`. */
static int log_mel(struct build *b, const char *name, int filters, int loudest)
{
    int y = temp(b, name, -1, 3, 1, b->c->n_mels, b->net->frames);
    add(b, OP_logmel, name, PLAN_IDS(b->net->pcm, filters), PLAN_IDS(y, loudest),
        (struct op_args){0});
    return y;
}

static int begin(struct build *b, const char *name)
{
    if (b->failed) return -1;
    int t = plan_begin(b->p, name, b->e);
    return t < 0 ? fail(b) : t;
}

static int mel_filters(struct build *b)
{
    if (b->failed) return -1;
    struct tensor t = {.type = DTYPE_F32, .rank = 2, .dim = {b->c->n_mels, WHISPER_FFT / 2 + 1}};
    float *filters =
        ARENA_NEW(b->p->arena, float, (size_t)b->c->n_mels *(WHISPER_FFT / 2 + 1), b->e);
    if (!filters) return fail(b);
    net_whisper_filters(b->c->n_mels, filters);
    t.data = filters;
    int v = plan_weight(b->p, "mel_filters", &t, 1, false, b->e);
    return v < 0 ? fail(b) : v;
}

int net_whisper_plan(struct arena *a, const struct net_whisper_source *src,
                     const struct net_whisper_config *c, const struct net_whisper_shape *s,
                     struct plan **plan, struct net_whisper *net, struct err *e)
{
    *net = (struct net_whisper){.config = *c, .shape = *s, .list = -1, .tape_align = -1};
    struct build b = {.src = src, .c = c, .s = s, .net = net, .e = e};
    TRY(plan_open(a, &b.p, e));
    b.p->compute = s->compute;
    doors(&b);
    net->tape_loud = -1;
    int mel = net->mel;
    if (s->mel_input) {
        net->tape_encode = begin(&b, "encode");
    } else {
        int filters = mel_filters(&b);
        net->tape_loud = begin(&b, "loud");
        log_mel(&b, "loud.mel", filters, net->loudest);
        net->tape_encode = begin(&b, "encode");
        int raw = log_mel(&b, "mel", filters, temp(&b, "mel.loudest", -1, 1, 1, 0, 0));
        mel = temp(&b, "mel.norm", -1, 3, 1, net->frames, c->n_mels);
        add(&b, OP_melnorm, "mel.norm", PLAN_IDS(raw, net->loudest_in, net->content), PLAN_IDS(mel),
            (struct op_args){0});
    }
    encoder(&b, mel);
    net->tape_step = begin(&b, "step");
    decoder(&b);
    if (s->words) {
        net->tape_align = begin(&b, "align");
        aligner(&b);
    }
    if (b.failed) return -1;
    TRY(plan_finish(b.p, e));
    *plan = b.p;
    return 0;
}

void net_whisper_filters(int n_mels, float *out)
{
    /* Slaney's scale: linear to 1 kHz (200/3 Hz per mel), logarithmic above (27 steps per
     * factor 6.4); triangles of equal area. In double and stored as f32 this reproduces openai's
     * mel_filters.npz. */
    const int bins = WHISPER_FFT / 2 + 1;
    const double linear_hz = 200.0 / 3, knee_mel = 1000 / linear_hz, log_step = log(6.4) / 27;
    const double top_mel = knee_mel + log(8000.0 / 1000) / log_step;
    double edge[256 + 2];
    assert(n_mels <= 256);
    for (int i = 0; i < n_mels + 2; i++) {
        double mel = top_mel * i / (n_mels + 1);
        edge[i] = mel < knee_mel ? mel * linear_hz : 1000 * exp(log_step * (mel - knee_mel));
    }
    for (int m = 0; m < n_mels; m++) {
        double area = 2 / (edge[m + 2] - edge[m]);
        for (int k = 0; k < bins; k++) {
            double hz = (double)WHISPER_RATE_HZ * k / WHISPER_FFT;
            double up = (hz - edge[m]) / (edge[m + 1] - edge[m]),
                   down = (edge[m + 2] - hz) / (edge[m + 2] - edge[m + 1]);
            out[m * bins + k] = (float)(MAX(0.0, MIN(up, down)) * area);
        }
    }
}

bool net_whisper_tokens(struct net_whisper_config *c)
{
    /* Special tokens follow the ordinary ones in a fixed order (openai/whisper tokenizer.py).
     * English-only models keep the places of 99 languages. */
    if (c->vocab < 51864 || c->vocab > 51866) return false;
    c->multilingual = c->vocab >= 51865;
    c->n_languages = c->multilingual ? c->vocab - 51766 : 99;
    c->eot = c->multilingual ? 50257 : 50256;
    c->sot = c->eot + 1;
    c->language0 = c->sot + 1;
    c->translate = c->language0 + c->n_languages;
    c->transcribe = c->translate + 1;
    c->sot_prev = c->translate + 3;
    c->no_speech = c->translate + 4;
    c->no_timestamps = c->translate + 5;
    c->time0 = c->translate + 6;
    c->blank = 220;
    return true;
}

bool net_whisper_named(const char *name, struct net_whisper_config *c)
{
    static const struct {
        char name[24];
        int width, encoder_layers, decoder_layers, n_mels, vocab;
    } known[] = {
        {"tiny.en", 384, 4, 4, 80, 51864},
        {"tiny", 384, 4, 4, 80, 51865},
        {"base.en", 512, 6, 6, 80, 51864},
        {"base", 512, 6, 6, 80, 51865},
        {"small.en", 768, 12, 12, 80, 51864},
        {"small", 768, 12, 12, 80, 51865},
        {"medium.en", 1024, 24, 24, 80, 51864},
        {"medium", 1024, 24, 24, 80, 51865},
        {"large-v1", 1280, 32, 32, 80, 51865},
        {"large-v2", 1280, 32, 32, 80, 51865},
        {"large-v3", 1280, 32, 32, 128, 51866},
        {"large", 1280, 32, 32, 128, 51866},
        {"turbo", 1280, 32, 4, 128, 51866},
        {"large-v3-turbo", 1280, 32, 4, 128, 51866},
        {"distil-large-v2", 1280, 32, 2, 80, 51865},
        {"distil-large-v3", 1280, 32, 2, 128, 51866},
        {"distil-large-v3.5", 1280, 32, 2, 128, 51866},
        {"distil-medium.en", 1024, 24, 2, 80, 51864},
        {"distil-small.en", 768, 12, 4, 80, 51864},
    };
    for (size_t i = 0; i < COUNT(known); i++) {
        if (strcmp(known[i].name, name) != 0) continue;
        *c = (struct net_whisper_config){.n_mels = known[i].n_mels,
                                         .audio_ctx = 1500,
                                         .text_ctx = 448,
                                         .width = known[i].width,
                                         .heads = known[i].width / WHISPER_HEAD,
                                         .encoder_layers = known[i].encoder_layers,
                                         .decoder_layers = known[i].decoder_layers,
                                         .ffn = 4 * known[i].width,
                                         .vocab = known[i].vocab,
                                         .eps = 1e-5f};
        net_whisper_align(c);
        return net_whisper_tokens(c);
    }
    return false;
}

void net_whisper_align(struct net_whisper_config *c)
{
    /* openai/whisper __init__.py _ALIGNMENT_HEADS: layer * 100 + head, -1 ends a list. large-v1 has
     * the size of large-v2. */
    static const struct {
        int width, layers, vocab;
        short head[24];
    } known[] = {
        {384, 4, 51864, {100, 200, 205, 300, 301, 302, 303, 304, -1}},
        {384, 4, 51865, {202, 300, 302, 303, 304, 305, -1}},
        {512, 6, 51864, {303, 407, 501, 505, 507, -1}},
        {512, 6, 51865, {301, 402, 403, 407, 501, 502, 504, 506, -1}},
        {768, 12, 51864, {606, 700,  703,  708,  802,  805,  807,  900,  904,  908,
                          910, 1000, 1001, 1002, 1003, 1006, 1011, 1102, 1104, -1}},
        {768, 12, 51865, {503, 509, 800, 804, 807, 808, 900, 907, 909, 1005, -1}},
        {1024,
         24,
         51864,
         {1104, 1401, 1412, 1414, 1504, 1600, 1604, 1609, 1712, 1714, 1807, 1810, 1815, 2000, 2003,
          2009, 2014, 2112, -1}},
        {1024, 24, 51865, {1315, 1504, 1515, 1601, 2000, 2304, -1}},
        {1280, 32, 51865, {1012, 1317, 1611, 1612, 1613, 1715, 1716, 1804, 1811, 1819, 1911, 2102,
                           2103, 2203, 2209, 2212, 2305, 2307, 2313, 2505, 2601, 2612, 2715, -1}},
        {1280, 32, 51866, {700, 1017, 1218, 1312, 1601, 1714, 1911, 2104, 2401, 2506, -1}},
        {1280, 4, 51866, {204, 211, 303, 306, 311, 314, -1}},
    };
    c->n_alignment = 0;
    for (size_t i = 0; i < COUNT(known); i++) {
        if (c->width != known[i].width || c->decoder_layers != known[i].layers ||
            c->vocab != known[i].vocab)
            continue;
        for (const short *h = known[i].head; *h >= 0; h++) {
            c->alignment[c->n_alignment].layer = *h / 100;
            c->alignment[c->n_alignment++].head = *h % 100;
        }
        return;
    }
    for (int l = c->decoder_layers - 1; l >= c->decoder_layers / 2; l--) {
        if (c->n_alignment + c->heads > WHISPER_MAX_HEADS) break;
        for (int h = 0; h < c->heads; h++) {
            c->alignment[c->n_alignment].layer = l;
            c->alignment[c->n_alignment++].head = h;
        }
    }
}
