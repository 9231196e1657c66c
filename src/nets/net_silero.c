/* Silero VAD written as a plan, see net_silero.h. Called by jobs/vad.c. Two families of files name
 * the same weights differently; both are found by the table below. */
#include "nets/net_silero.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { FRAME = 256, HOP = 128, FRAMES = 4, BINS = FRAME / 2 + 1, WIDTH = 128, GATES = 4 };

/* What the file keeps besides the numbers: gates in another order, two biases in one. */
enum kind { PLAIN, LSTM_MATRIX, LSTM_BIAS_IN, LSTM_BIAS_STATE };

/* The LSTM's tensors have names in ONNX that the exporter counted up: they are the first, second
 * and third tensor of the file whose name begins so. */
#define ONNX_LSTM "onnx::LSTM_"

/* clang-format off */
static const struct row {
    const char *name;      /* ours, and that of safetensors, after which test weights are made */
    const char *onnx;      /* NULL: see ONNX_LSTM */
    int onnx_place;
    enum kind kind;
    int64_t dim[3];        /* as the plan wants it; 0 ends */
} rows[] = {
    {"stft_conv.weight",    "encoder.feature_extractor.forward_basis_buffer", 0, PLAIN, {2 * BINS, FRAME}},
    {"conv1.weight",        "encoder.conv_layers.0.weight", 0, PLAIN, {128, BINS, 3}},
    {"conv1.bias",          "encoder.conv_layers.0.bias",   0, PLAIN, {128}},
    {"conv2.weight",        "encoder.conv_layers.1.weight", 0, PLAIN, {64, 128, 3}},
    {"conv2.bias",          "encoder.conv_layers.1.bias",   0, PLAIN, {64}},
    {"conv3.weight",        "encoder.conv_layers.2.weight", 0, PLAIN, {64, 64, 3}},
    {"conv3.bias",          "encoder.conv_layers.2.bias",   0, PLAIN, {64}},
    {"conv4.weight",        "encoder.conv_layers.3.weight", 0, PLAIN, {WIDTH, 64, 3}},
    {"conv4.bias",          "encoder.conv_layers.3.bias",   0, PLAIN, {WIDTH}},
    {"lstm_cell.weight_ih", NULL, 0, LSTM_MATRIX,     {GATES * WIDTH, WIDTH}},
    {"lstm_cell.weight_hh", NULL, 1, LSTM_MATRIX,     {GATES * WIDTH, WIDTH}},
    {"lstm_cell.bias_ih",   NULL, 2, LSTM_BIAS_IN,    {GATES * WIDTH}},
    {"lstm_cell.bias_hh",   NULL, 2, LSTM_BIAS_STATE, {GATES * WIDTH}},
    {"final_conv.weight",   "decoder.conv1d.weight", 0, PLAIN, {1, WIDTH}},
    {"final_conv.bias",     "decoder.conv1d.bias",   0, PLAIN, {1}},
};
/* clang-format on */

struct build { /* as in net_whisper.c: after a failure every call returns -1 */
    struct plan *p;
    const struct load_weights *w;
    struct net_silero *net;
    struct err *e;
    bool failed;
};

static int fail(struct build *b)
{
    b->failed = true;
    return -1;
}

static int checked(struct build *b, int value)
{
    return value < 0 ? fail(b) : value;
}

/* ---- weights ---- */

/* The test model; tools/golden/vad.py makes the same. */
static int hashed(struct build *b, const struct row *row, struct tensor *t)
{
    int64_t n = tensor_count(t->rank, t->dim);
    float *out = ARENA_NEW(b->p->arena, float, (size_t)n, b->e);
    if (!out) return fail(b);
    float gain = t->rank == 1 ? 0.1f : (float)(4 / sqrt((double)(n / t->dim[0])));
    for (int64_t i = 0; i < n; i++) out[i] = tensor_hash(row->name, (uint64_t)i, gain);
    t->type = DTYPE_F32;
    t->data = out;
    return 0;
}

static const struct load_tensor *find(const struct load_weights *w, const struct row *row)
{
    const struct load_tensor *t = load_find(w, row->onnx ? row->onnx : row->name);
    if (!t && row->onnx) t = load_find(w, row->name);
    if (t || row->onnx) return t;
    const struct load_tensor *at[4]; /* in the order of the file, not of the names */
    size_t n = 0;
    for (size_t i = 0; i < w->n && n < COUNT(at); i++) {
        if (strncmp(w->tensor[i].name, ONNX_LSTM, strlen(ONNX_LSTM)) != 0) continue;
        size_t to = n++;
        for (; to > 0 && at[to - 1]->offset > w->tensor[i].offset; to--) at[to] = at[to - 1];
        at[to] = &w->tensor[i];
    }
    return n == 3 ? at[row->onnx_place] : NULL;
}

/* ONNX keeps both biases in one, [2][4][C]. */
static int64_t stored_count(const struct row *row, bool onnx_lstm, int64_t n)
{
    return onnx_lstm && row->kind != LSTM_MATRIX ? 2 * n : n;
}

/* The tensor of the file as parts that, stacked, have our shape and our order of gates: the file
 * may have dimensions of 1 more (convolutions of one tap, one direction of an LSTM), and ONNX
 * orders the gates input, output, forget, cell. */
static int parts_of(struct build *b, const struct row *row, struct tensor t, struct tensor part[3],
                    int *n_parts)
{
    const struct load_tensor *found = find(b->w, row);
    if (!found) {
        err_set(b->e, E_MODEL, "this is not a Silero VAD of version 5 or 6: it has no tensor %s",
                row->name);
        return fail(b);
    }
    bool onnx = row->kind != PLAIN && strcmp(found->name, row->name) != 0;
    int64_t n = tensor_count(t.rank, t.dim), got[TENSOR_RANK] = {0};
    int rank = 0;
    for (int i = 0; i < found->t.rank; i++) {
        if (found->t.dim[i] != 1) got[rank++] = found->t.dim[i];
    }
    int64_t want[3] = {stored_count(row, onnx, t.dim[0]), t.dim[1], t.dim[2]};
    const int64_t *from =
        want + (want[0] == 1); /* a dimension of 1 of ours is not counted either */
    bool same = found->t.type != DTYPE_I8 &&
                tensor_count(found->t.rank, found->t.dim) == stored_count(row, onnx, n);
    for (int i = 0; i < rank; i++) same = same && from + i < want + 3 && got[i] == from[i];
    if (!same) {
        err_set(b->e, E_MODEL,
                "tensor %s is %s of rank %d, [%lld, ..]; expected [%lld, %lld, %lld]", found->name,
                tensor_type_name(found->t.type), found->t.rank,
                (long long)(found->t.rank ? found->t.dim[0] : 1), (long long)want[0],
                (long long)want[1], (long long)want[2]);
        return fail(b);
    }
    t.type = found->t.type;
    t.data = found->t.data;
    size_t gate = (size_t)(n / GATES) * tensor_type_bytes(t.type);
    *n_parts = 1;
    part[0] = t;
    if (!onnx) return 0;
    const char *data = (const char *)t.data + (row->kind == LSTM_BIAS_STATE ? GATES * gate : 0);
    *n_parts = 3; /* input; forget and cell; output */
    part[0].dim[0] = part[2].dim[0] = WIDTH;
    part[1] = part[2] = part[0];
    part[1].dim[0] = 2 * WIDTH;
    part[0].data = data;
    part[1].data = data + 2 * gate;
    part[2].data = data + gate;
    return 0;
}

static int weight(struct build *b, const char *name)
{
    if (b->failed) return -1;
    const struct row *row = rows;
    while (strcmp(row->name, name) != 0) row++;
    struct tensor t = {.type = DTYPE_F32}, part[3];
    int n_parts = 1;
    for (; t.rank < 3 && row->dim[t.rank]; t.rank++) t.dim[t.rank] = row->dim[t.rank];
    if (b->w) {
        if (parts_of(b, row, t, part, &n_parts)) return -1;
    } else {
        if (hashed(b, row, &t)) return -1;
        part[0] = t;
    }
    return checked(b, plan_weight(b->p, row->name, part, n_parts, false, b->e));
}

/* ---- the network ---- */

static int temp(struct build *b, const char *name, int rank, int64_t d1, int64_t d2)
{
    if (b->failed) return -1;
    int64_t dim[] = {b->net->most, d1, d2};
    return checked(b, plan_temp(b->p, name, DTYPE_F32, rank, dim, b->net->n_blocks, b->e));
}

static int add(struct build *b, enum op op, const char *name, int n_in, const int *in, int n_out,
               const int *out, struct op_args args)
{
    if (b->failed) return -1;
    if (plan_add(b->p, op, name, in, n_in, out, n_out, &args, b->e)) return fail(b);
    return out[0];
}

/* A convolution of the encoder over t positions. */
static int conv(struct build *b, int number, int x, int64_t t, int64_t n, int stride)
{
    char name[16], w[32], bias[32];
    snprintf(name, sizeof name, "conv%d", number);
    snprintf(w, sizeof w, "conv%d.weight", number);
    snprintf(bias, sizeof bias, "conv%d.bias", number);
    int y = temp(b, name, 3, t / stride, n);
    return add(b, OP_conv1d, name, PLAN_IDS(x, weight(b, w), weight(b, bias)), PLAN_IDS(y),
               (struct op_args){.stride = stride, .act = OP_ACT_RELU});
}

/* Samples to what the LSTM sees: every block for itself. */
static int encoder(struct build *b)
{
    int x = add(b, OP_frames, "frames", PLAN_IDS(b->net->samples),
                PLAN_IDS(temp(b, "frames", 3, FRAMES, FRAME)), (struct op_args){.stride = HOP});
    x = add(b, OP_linear, "stft", PLAN_IDS(x, weight(b, "stft_conv.weight")),
            PLAN_IDS(temp(b, "stft", 3, FRAMES, 2 * BINS)), (struct op_args){0});
    x = add(b, OP_magnitude, "magnitude", PLAN_IDS(x),
            PLAN_IDS(temp(b, "magnitude", 3, FRAMES, BINS)), (struct op_args){0});
    x = conv(b, 1, x, FRAMES, 128, 1);
    x = conv(b, 2, x, FRAMES, 64, 2);
    x = conv(b, 3, x, FRAMES / 2, 64, 2);
    return conv(b, 4, x, FRAMES / 4, WIDTH, 1);
}

static void decoder(struct build *b, int x)
{
    if (b->failed) return;
    int h = checked(b, plan_state(b->p, "h", DTYPE_F32, 1, (int64_t[]){WIDTH}, b->e));
    int c = checked(b, plan_state(b->p, "c", DTYPE_F32, 1, (int64_t[]){WIDTH}, b->e));
    x = add(b, OP_linear, "gates",
            PLAN_IDS(x, weight(b, "lstm_cell.weight_ih"), weight(b, "lstm_cell.bias_ih")),
            PLAN_IDS(temp(b, "gates", 2, GATES * WIDTH, 0)), (struct op_args){0});
    x = add(b, OP_lstm, "lstm",
            PLAN_IDS(x, weight(b, "lstm_cell.weight_hh"), weight(b, "lstm_cell.bias_hh"),
                     b->net->start),
            PLAN_IDS(temp(b, "lstm", 2, WIDTH, 0), h, c), (struct op_args){.act = OP_ACT_RELU});
    x = add(b, OP_linear, "score",
            PLAN_IDS(x, weight(b, "final_conv.weight"), weight(b, "final_conv.bias")),
            PLAN_IDS(temp(b, "score", 2, 1, 0)), (struct op_args){0});
    add(b, OP_sigmoid, "probability", PLAN_IDS(x), PLAN_IDS(b->net->probability),
        (struct op_args){0});
}

int net_silero_plan(struct arena *a, const struct load_weights *w, int blocks, struct plan **plan,
                    struct net_silero *net, struct err *e)
{
    struct build b = {.w = w, .net = net, .e = e};
    assert(blocks >= 1);
    *net = (struct net_silero){.most = blocks};
    TRY(plan_open(a, &b.p, e));
    net->n_blocks = checked(&b, plan_input(b.p, "n_blocks", DTYPE_I32, 0, NULL, -1, e));
    if (b.failed) return -1;
    net->samples = checked(&b, plan_input(b.p, "samples", DTYPE_F32, 2,
                                          (int64_t[]){blocks, SILERO_CONTEXT + SILERO_BLOCK},
                                          net->n_blocks, e));
    net->start = checked(&b, plan_input(b.p, "start", DTYPE_I32, 1, (int64_t[]){1}, -1, e));
    net->probability = checked(&b, plan_output(b.p, "probability", DTYPE_F32, 2,
                                               (int64_t[]){blocks, 1}, net->n_blocks, e));
    net->tape = checked(&b, plan_begin(b.p, "vad", e));
    decoder(&b, encoder(&b));
    if (b.failed) return -1;
    TRY(plan_finish(b.p, e));
    *plan = b.p;
    return 0;
}
