#include "core/op.h"
#include <stdio.h>

static const struct op_row rows[OP_COUNT] = {
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) \
    {#name, in_min, in_max, outs, t32, t16, t8, doc},
#include "core/op.def"
#undef OP
};

const struct op_row *op_row(enum op op)
{
    assert(op < OP_COUNT);
    return &rows[op];
}

/* Shape rules. Each compares what is there with what op.def promises; `is` makes the sentence. */

static int is(const char *what, int64_t got, int64_t want, struct err *e)
{
    if (got == want) return 0;
    return err_set(e, E_MODEL, "%s is %lld, expected %lld", what, (long long)got, (long long)want);
}

static int is_type(const char *what, const struct tensor *t, enum dtype want, struct err *e)
{
    if (t->type == want) return 0;
    return err_set(e, E_MODEL, "%s is %s, expected %s", what, tensor_type_name(t->type),
                   tensor_type_name(want));
}

/* A tensor of this rank and these dimensions; -1 stands for any. */
static int is_shape(const char *what, const struct tensor *t, int rank, const int64_t *dim,
                    struct err *e)
{
    char label[64];
    if (is(what, t->rank, rank, e)) return err_note(e, "rank");
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0) continue;
        snprintf(label, sizeof label, "dimension %d of %s", i, what);
        TRY(is(label, t->dim[i], dim[i], e));
    }
    return 0;
}
#define IS_SHAPE(what, t, ...)                                                   \
    is_shape(what, t, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
             (const int64_t[]){__VA_ARGS__}, e)

static int64_t last(const struct tensor *t)
{
    return t->rank ? t->dim[t->rank - 1] : 1;
}

/* Rows of a tensor seen as [rows, last]. */
static int64_t rows_of(const struct tensor *t)
{
    return t->rank ? tensor_count(t->rank - 1, t->dim) : 1;
}

static int same_shape(const char *what, const struct tensor *a, const struct tensor *b,
                      struct err *e)
{
    return is_shape(what, a, b->rank, b->dim, e);
}

static int divides(const char *what, int64_t n, int64_t by, struct err *e)
{
    if (by > 0 && n % by == 0) return 0;
    return err_set(e, E_MODEL, "%s is %lld, which %lld does not divide", what, (long long)n,
                   (long long)by);
}

static int check_logmel(const struct op_io *io, struct err *e)
{
    const struct tensor *pcm = io->in[0], *filters = io->in[1];
    TRY(IS_SHAPE("pcm", pcm, -1, -1));
    TRY(IS_SHAPE("mel filters", filters, -1, 201));
    TRY(IS_SHAPE("mel", io->out[0], pcm->dim[0], filters->dim[0], (pcm->dim[1] - 240) / 160));
    return IS_SHAPE("mel maximum", io->out[1], pcm->dim[0]);
}

static int check_melnorm(const struct op_io *io, struct err *e)
{
    const struct tensor *mel = io->in[0];
    TRY(IS_SHAPE("mel", mel, -1, -1, -1));
    TRY(IS_SHAPE("maximum", io->in[1], mel->dim[0]));
    TRY(IS_SHAPE("frames of content", io->in[2], mel->dim[0]));
    TRY(is_type("frames of content", io->in[2], DTYPE_I32, e));
    return IS_SHAPE("normalised mel", io->out[0], mel->dim[0], mel->dim[2], mel->dim[1]);
}

static int check_conv1d(const struct op_io *io, struct err *e)
{
    const struct tensor *x = io->in[0], *w = io->in[1];
    TRY(IS_SHAPE("input", x, -1, -1, -1));
    TRY(IS_SHAPE("convolution weight", w, -1, x->dim[2], 3));
    if (io->in[2]) TRY(IS_SHAPE("convolution bias", io->in[2], w->dim[0]));
    TRY(divides("time", x->dim[1], io->args->stride, e));
    return IS_SHAPE("output", io->out[0], x->dim[0], x->dim[1] / io->args->stride, w->dim[0]);
}

static int check_addpos(const struct op_io *io, struct err *e)
{
    const struct tensor *x = io->in[0];
    TRY(IS_SHAPE("input", x, -1, -1, -1));
    TRY(IS_SHAPE("position table", io->in[1], x->dim[1], x->dim[2]));
    return same_shape("output", io->out[0], x, e);
}

static int check_layernorm(const struct op_io *io, struct err *e)
{
    int64_t width = last(io->in[0]);
    TRY(IS_SHAPE("gain", io->in[1], width));
    TRY(IS_SHAPE("offset", io->in[2], width));
    return same_shape("output", io->out[0], io->in[0], e);
}

static int check_linear(const struct op_io *io, struct err *e)
{
    const struct tensor *x = io->in[0], *w = io->in[1], *y = io->out[0];
    TRY(IS_SHAPE("weight", w, -1, last(x)));
    if (io->in[2]) TRY(IS_SHAPE("bias", io->in[2], w->dim[0]));
    TRY(is("rows of the output", rows_of(y), rows_of(x), e));
    TRY(is("columns of the output", last(y), w->dim[0], e));
    return io->in[3] ? same_shape("residual", io->in[3], y, e) : 0;
}

static int check_attention(const struct op_io *io, struct err *e)
{
    const struct tensor *qkv = io->in[0];
    TRY(IS_SHAPE("qkv", qkv, -1, -1, -1));
    TRY(divides("width of qkv", qkv->dim[2], 3 * (int64_t)io->args->heads, e));
    return IS_SHAPE("output", io->out[0], qkv->dim[0], qkv->dim[1], qkv->dim[2] / 3);
}

static int check_crosskv(const struct op_io *io, struct err *e)
{
    const struct tensor *kv = io->in[0], *k = io->out[0];
    TRY(IS_SHAPE("kv", kv, -1, -1, -1));
    TRY(IS_SHAPE("slot", io->in[1], kv->dim[0]));
    TRY(is_type("slot", io->in[1], DTYPE_I32, e));
    TRY(IS_SHAPE("key cache", k, -1, -1, -1, kv->dim[1]));
    TRY(is("heads times head width of the key cache", k->dim[1] * k->dim[2], kv->dim[2] / 2, e));
    TRY(is_type("value cache", io->out[1], k->type, e));
    return IS_SHAPE("value cache", io->out[1], k->dim[0], k->dim[1], k->dim[3], k->dim[2]);
}

static int check_embed(const struct op_io *io, struct err *e)
{
    const struct tensor *token = io->in[0], *table = io->in[2];
    TRY(IS_SHAPE("token", token, -1));
    TRY(is_type("token", token, DTYPE_I32, e));
    TRY(IS_SHAPE("position", io->in[1], token->dim[0]));
    TRY(is_type("position", io->in[1], DTYPE_I32, e));
    TRY(IS_SHAPE("embedding table", table, -1, -1));
    TRY(IS_SHAPE("position table", io->in[3], -1, table->dim[1]));
    return IS_SHAPE("output", io->out[0], token->dim[0], table->dim[1]);
}

static int check_attnself(const struct op_io *io, struct err *e)
{
    const struct tensor *qkv = io->in[0], *history = io->in[3];
    TRY(IS_SHAPE("qkv", qkv, -1, -1));
    TRY(divides("width of qkv", qkv->dim[1], 3 * (int64_t)io->args->heads, e));
    TRY(IS_SHAPE("position", io->in[1], qkv->dim[0]));
    TRY(IS_SHAPE("sequence", io->in[2], qkv->dim[0]));
    TRY(IS_SHAPE("history", history, -1, -1));
    for (int i = 1; i < 4; i++) TRY(is_type("an index", io->in[i], DTYPE_I32, e));
    TRY(IS_SHAPE("output", io->out[0], qkv->dim[0], qkv->dim[1] / 3));
    TRY(is_type("value cache", io->out[2], io->out[1]->type, e));
    TRY(IS_SHAPE("key cache", io->out[1], history->dim[0], history->dim[1], qkv->dim[1] / 3));
    return same_shape("value cache", io->out[2], io->out[1], e);
}

static int check_attncross(const struct op_io *io, struct err *e)
{
    const struct tensor *q = io->in[0], *k = io->in[2];
    TRY(IS_SHAPE("q", q, -1, -1));
    TRY(IS_SHAPE("window", io->in[1], q->dim[0]));
    TRY(is_type("window", io->in[1], DTYPE_I32, e));
    TRY(IS_SHAPE("key cache", k, -1, io->args->heads, -1, -1));
    TRY(is("heads times head width", k->dim[1] * k->dim[2], q->dim[1], e));
    TRY(IS_SHAPE("value cache", io->in[3], k->dim[0], k->dim[1], k->dim[3], k->dim[2]));
    TRY(is_type("value cache", io->in[3], k->type, e));
    TRY(same_shape("output", io->out[0], q, e));
    return io->out[1] ? IS_SHAPE("attention weights", io->out[1], q->dim[0], k->dim[1], k->dim[3])
                      : 0;
}

static int check_gather(const struct op_io *io, struct err *e)
{
    TRY(IS_SHAPE("input", io->in[0], -1, -1));
    TRY(IS_SHAPE("index", io->in[1], -1));
    TRY(is_type("index", io->in[1], DTYPE_I32, e));
    return IS_SHAPE("output", io->out[0], io->in[1]->dim[0], io->in[0]->dim[1]);
}

static int check_dampen(const struct op_io *io, struct err *e)
{
    TRY(IS_SHAPE("logits", io->in[0], -1, -1));
    TRY(IS_SHAPE("tokens", io->in[1], io->in[0]->dim[0], -1));
    TRY(is_type("tokens", io->in[1], DTYPE_I32, e));
    return same_shape("output", io->out[0], io->in[0], e);
}

static int check_probe(const struct op_io *io, struct err *e)
{
    const struct tensor *logits = io->in[0];
    TRY(IS_SHAPE("logits", logits, -1, -1));
    TRY(IS_SHAPE("token", io->in[1], logits->dim[0]));
    TRY(is_type("token", io->in[1], DTYPE_I32, e));
    TRY(IS_SHAPE("probability", io->out[0], logits->dim[0]));
    if (io->args->eot >= 1 && io->args->eot <= logits->dim[1]) return 0;
    return err_set(e, E_MODEL, "end of text is token %d of a vocabulary of %lld", io->args->eot,
                   (long long)logits->dim[1]);
}

static int check_pick(const struct op_io *io, struct err *e)
{
    const struct tensor *logits = io->in[0];
    const struct op_args *a = io->args;
    int64_t g = logits->dim[0];
    TRY(IS_SHAPE("logits", logits, -1, -1));
    TRY(IS_SHAPE("ban", io->in[1], logits->dim[1]));
    TRY(IS_SHAPE("rule", io->in[2], g, OP_RULES));
    TRY(is_type("rule", io->in[2], DTYPE_I32, e));
    TRY(IS_SHAPE("chance", io->in[3], g, 2));
    TRY(IS_SHAPE("top tokens", io->out[0], g, a->top));
    TRY(is_type("top tokens", io->out[0], DTYPE_I32, e));
    TRY(IS_SHAPE("top log-probabilities", io->out[1], g, a->top));
    TRY(IS_SHAPE("sampled token", io->out[2], g));
    TRY(is_type("sampled token", io->out[2], DTYPE_I32, e));
    TRY(IS_SHAPE("sampled log-probability", io->out[3], g));
    TRY(IS_SHAPE("watched probability", io->out[4], g));
    if (a->top >= 1 && a->top <= logits->dim[1] && a->watch < logits->dim[1] &&
        a->time0 < logits->dim[1])
        return 0;
    return err_set(
        e, E_MODEL,
        "top %d, watched token %d and first timestamp %d do not suit a vocabulary of %lld", a->top,
        a->watch, a->time0, (long long)logits->dim[1]);
}

static int check_range(const struct tensor *range, struct err *e)
{
    TRY(IS_SHAPE("ranges", range, -1, 2));
    return is_type("ranges", range, DTYPE_I32, e);
}

static int check_attnrange(const struct op_io *io, struct err *e)
{
    const struct tensor *qkv = io->in[0], *bias = io->in[2];
    int64_t heads = io->args->heads;
    TRY(IS_SHAPE("qkv", qkv, -1, -1));
    TRY(divides("width of qkv", qkv->dim[1], 3 * heads, e));
    TRY(check_range(io->in[1], e));
    if (bias) {
        TRY(IS_SHAPE("bias by distance", bias, heads, -1));
        TRY(divides("distances and one", bias->dim[1] + 1, 2, e));
    }
    return IS_SHAPE("output", io->out[0], qkv->dim[0], qkv->dim[1] / 3);
}

static int check_pool(const struct op_io *io, struct err *e)
{
    TRY(IS_SHAPE("input", io->in[0], -1, -1));
    TRY(check_range(io->in[1], e));
    return IS_SHAPE("output", io->out[0], io->in[1]->dim[0], io->in[0]->dim[1]);
}

static int check_nearest(const struct op_io *io, struct err *e)
{
    const struct tensor *query = io->in[0], *base = io->in[1];
    int64_t top = io->args->top;
    TRY(IS_SHAPE("query", query, -1, -1));
    TRY(IS_SHAPE("base", base, -1, query->dim[1]));
    TRY(IS_SHAPE("groups", io->in[2], base->dim[0]));
    TRY(is_type("groups", io->in[2], DTYPE_I32, e));
    if (top < 1) return err_set(e, E_MODEL, "the %lld nearest are asked for", (long long)top);
    TRY(IS_SHAPE("rows", io->out[0], query->dim[0], top));
    TRY(is_type("rows", io->out[0], DTYPE_I32, e));
    return IS_SHAPE("products", io->out[1], query->dim[0], top);
}

/* ---- clustering ---- */

static int is_kind(const char *what, const struct tensor *t, enum dtype type, int rank,
                   const int64_t *dim, struct err *e)
{
    TRY(is_type(what, t, type, e));
    return is_shape(what, t, rank, dim, e);
}
#define IS_KIND(what, t, type, ...)                                                           \
    is_kind(what, t, DTYPE_##type, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
            (const int64_t[]){__VA_ARGS__}, e)

static int check_seed(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    TRY(IS_KIND("draw", io->in[1], F64, -1, -1));
    TRY(is_kind("first", io->in[2], DTYPE_I32, 0, NULL, e));
    int64_t n = io->in[0]->dim[0], s = io->in[1]->dim[0];
    TRY(IS_KIND("chosen", io->out[0], I32, s));
    TRY(IS_KIND("potential", io->out[1], F64, s));
    return IS_KIND("closest", io->out[2], F32, s, n);
}

static int check_lloyd(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    int64_t n = io->in[0]->dim[0], d = io->in[0]->dim[1];
    TRY(IS_KIND("centre", io->in[1], F32, -1, -1, d));
    int64_t s = io->in[1]->dim[0], k = io->in[1]->dim[1];
    TRY(IS_KIND("move", io->in[2], F32, s, k));
    TRY(IS_KIND("sum", io->out[0], F64, s, k, d));
    TRY(IS_KIND("count", io->out[1], I32, s, k + 1));
    TRY(IS_KIND("label", io->out[2], I32, s, n));
    return IS_KIND("bound", io->out[3], F32, s, n, 2);
}

static int check_spread(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    int64_t n = io->in[0]->dim[0];
    TRY(IS_KIND("centre", io->in[1], F32, -1, io->in[0]->dim[1]));
    TRY(IS_KIND("label", io->in[2], I32, n));
    TRY(IS_KIND("sums", io->out[0], F64, io->in[1]->dim[0], 2));
    return io->out[1] ? IS_KIND("d2", io->out[1], F32, n) : 0;
}

static int check_gram(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    int64_t d = io->in[0]->dim[1];
    if (io->in[1]) TRY(IS_KIND("other rows", io->in[1], F32, io->in[0]->dim[0], -1));
    TRY(IS_KIND("product", io->out[0], F64, d, io->in[1] ? io->in[1]->dim[1] : d));
    return io->out[1] ? IS_KIND("sums", io->out[1], F64, d) : 0;
}

static int check_eigen(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("matrix", io->in[0], F64, -1, -1));
    int64_t d = io->in[0]->dim[0];
    TRY(is("columns of the matrix", io->in[0]->dim[1], d, e));
    TRY(IS_KIND("eigenvalues", io->out[0], F64, d));
    return IS_KIND("eigenvectors", io->out[1], F64, d, d);
}

static int check_project(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    TRY(IS_KIND("w", io->in[1], F32, -1, io->in[0]->dim[1]));
    TRY(IS_KIND("offset", io->in[2], F32, io->in[1]->dim[0]));
    return IS_KIND("output", io->out[0], F32, io->in[0]->dim[0], io->in[1]->dim[0]);
}

static int check_estep(const struct op_io *io, struct err *e)
{
    const struct tensor *scale = io->in[1], *sums = io->out[2];
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    int64_t n = io->in[0]->dim[0], d = io->in[0]->dim[1];
    TRY(IS_KIND("shift", io->in[2], F32, -1, d));
    int64_t k = io->in[2]->dim[0];
    TRY(is_type("scale", scale, DTYPE_F32, e));
    TRY(scale->rank == 2 ? IS_SHAPE("scale", scale, k, d) : IS_SHAPE("scale", scale, -1, d, d));
    if (scale->rank == 3 && scale->dim[0] != 1) TRY(is("matrices", scale->dim[0], k, e));
    TRY(IS_KIND("fixed", io->in[3], F64, k));
    TRY(IS_KIND("label", io->out[0], I32, n));
    TRY(is_kind("likelihood", io->out[1], DTYPE_F64, 0, NULL, e));
    TRY(IS_KIND("sums", sums, F64, k, -1));
    if (!io->in[4] != !io->out[3] || (io->in[4] && scale->rank == 3))
        return err_set(e, E_MODEL, "move and known go together, without matrices");
    if (io->in[4]) TRY(IS_KIND("move", io->in[4], F32, k, 3));
    if (io->out[3]) TRY(IS_KIND("known", io->out[3], F32, n, 5));
    int64_t width = sums->dim[1];
    if (width == 1 + d || width == 1 + 2 * d || width == 1 + d + d * d) return 0;
    return err_set(e, E_MODEL, "sums of %lld numbers for rows of %lld", (long long)width,
                   (long long)d);
}

static int check_density(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    TRY(is_kind("eps", io->in[1], DTYPE_F64, 0, NULL, e));
    TRY(IS_KIND("label", io->out[0], I32, io->in[0]->dim[0]));
    return IS_KIND("neighbours", io->out[1], I32, io->in[0]->dim[0]);
}

static int check_near(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    int64_t n = io->in[0]->dim[0], j = io->args->top;
    if (j < 1 || j > n)
        return err_set(e, E_MODEL, "%lld neighbours of %lld rows", (long long)j, (long long)n);
    TRY(IS_KIND("index", io->out[0], I32, n, j));
    return IS_KIND("d2", io->out[1], F32, n, j);
}

static int check_apart(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("rows", io->in[0], F32, -1, -1));
    TRY(IS_KIND("label", io->in[1], I32, io->in[0]->dim[0]));
    return IS_KIND("silhouette", io->out[0], F32, io->in[0]->dim[0]);
}

static int check_diffuse(const struct op_io *io, struct err *e)
{
    TRY(IS_KIND("v", io->in[2], F32, -1, -1));
    TRY(IS_KIND("weight", io->in[1], F32, -1));
    TRY(IS_KIND("graph", io->in[0], I32, io->in[2]->dim[0] + 1 + io->in[1]->dim[0]));
    TRY(IS_KIND("factor", io->in[3], F32, 3));
    return IS_KIND("y", io->out[0], F32, io->in[2]->dim[0], io->in[2]->dim[1]);
}

static int check_frames(const struct op_io *io, struct err *e)
{
    const struct tensor *x = io->in[0], *y = io->out[0];
    TRY(IS_SHAPE("input", x, -1, -1));
    TRY(IS_SHAPE("frames", y, x->dim[0], -1, -1));
    int64_t stride = io->args->stride, samples = x->dim[1];
    if (stride >= 1 && (y->dim[1] - 1) * stride + y->dim[2] <= 2 * samples - 1) return 0;
    return err_set(e, E_MODEL, "%lld frames of %lld samples, %lld apart, cannot be cut from %lld",
                   (long long)y->dim[1], (long long)y->dim[2], (long long)stride,
                   (long long)samples);
}

static int check_magnitude(const struct op_io *io, struct err *e)
{
    const struct tensor *x = io->in[0];
    TRY(IS_SHAPE("input", x, -1, -1, -1));
    TRY(divides("width of the input", x->dim[2], 2, e));
    return IS_SHAPE("output", io->out[0], x->dim[0], x->dim[1], x->dim[2] / 2);
}

static int check_lstm(const struct op_io *io, struct err *e)
{
    const struct tensor *x = io->in[0];
    TRY(IS_SHAPE("input", x, -1, -1));
    TRY(divides("width of the input", x->dim[1], 4, e));
    int64_t width = x->dim[1] / 4;
    TRY(IS_SHAPE("weight", io->in[1], 4 * width, width));
    TRY(IS_SHAPE("bias", io->in[2], 4 * width));
    TRY(IS_SHAPE("start", io->in[3], 1));
    TRY(is_type("start", io->in[3], DTYPE_I32, e));
    TRY(IS_SHAPE("output", io->out[0], x->dim[0], width));
    for (int i = 1; i < 3; i++) {
        TRY(IS_SHAPE("state", io->out[i], width));
        TRY(is_type("state", io->out[i], DTYPE_F32, e));
    }
    return 0;
}

static int check_sigmoid(const struct op_io *io, struct err *e)
{
    return same_shape("output", io->out[0], io->in[0], e);
}

int op_check(enum op op, const struct op_io *io, struct err *e)
{
    static int (*const check[OP_COUNT])(const struct op_io *, struct err *) = {
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) check_##name,
#include "core/op.def"
#undef OP
    };
    return check[op](io, e);
}
