/* ONNX files: the initializers of the graph and the tensors of its Constant nodes, as named
 * tensors. What the nodes compute is not read here. Called by load.c through the table of formats.
 *
 *   ModelProto.graph (7) -> GraphProto: initializer (5): TensorProto, name (8)
 *                                       node (1): op_type (4) "Constant", attribute (5) "value"
 * with a TensorProto (5); the tensor has the name of output (2)
 *
 * Follows onnx.proto3 of github.com/onnx/onnx. Numbers lie in raw_data or in the field of their
 * type; the former, and packed floats, are borrowed from the map, the rest is copied. Types that no
 * tensor of ours can hold (i64 shapes, bool, text, f64) are left out, and so are empty tensors and
 * the subgraphs of If and Loop. */
#include "load/load_format.h"
#include "load/load_proto.h"

enum use { LEFT_OUT, USED };

static const struct type {
    int number; /* TensorProto.DataType */
    enum use use;
    enum dtype type;
    size_t bytes; /* 0: not of one size */
} types[] = {
    {1, USED, DTYPE_F32, 4},      {2, USED, DTYPE_U8, 1},       {3, USED, DTYPE_I8, 1},
    {4, LEFT_OUT, DTYPE_I16, 2},  {5, USED, DTYPE_I16, 2},      {6, USED, DTYPE_I32, 4},
    {7, LEFT_OUT, DTYPE_I32, 8},  {8, LEFT_OUT, DTYPE_U8, 0},   {9, LEFT_OUT, DTYPE_U8, 1},
    {10, USED, DTYPE_F16, 2},     {11, LEFT_OUT, DTYPE_F32, 8}, {12, LEFT_OUT, DTYPE_I32, 4},
    {13, LEFT_OUT, DTYPE_I32, 8}, {16, USED, DTYPE_BF16, 2},
};

/* The smallest tensor that can count, {data_type, name, one byte of raw_data}, takes 8 bytes: what
 * is allocated per tensor is justified by them. */
#define TENSOR_LEAST 8

/* onnx.proto3: the numbers of the fields that are looked at. */
enum { MODEL_GRAPH = 7 };
enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { NODE_OUTPUT = 2, NODE_OP = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_TENSOR = 5 };
enum {
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOATS = 4,
    TENSOR_INTS = 5,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_LOCATION = 14
};

struct reader {
    struct arena *a;
    struct load_weights *w;
    size_t room; /* of w->tensor, 0 while counting */
    struct err *e;
};

struct found { /* a TensorProto, taken apart */
    const struct type *type;
    int rank;
    int64_t dim[TENSOR_RANK];
    bool empty; /* a dimension is 0 */
    struct str name;
    const uint8_t *raw;
    size_t raw_bytes;
    bool has_raw;
    struct load_proto whole; /* all of it: to collect typed numbers */
    const uint8_t *packed;   /* floats that lie in one piece */
    size_t packed_bytes;
    int pieces; /* fields of typed numbers */
};

static size_t where(const struct reader *r, const uint8_t *p)
{
    return (size_t)(p - r->w->map.data);
}

static struct str text_of(const struct load_proto *body)
{
    return (struct str){(const char *)body->p, load_proto_bytes(body)};
}

/* The next field of m; 1, 0 at the end, -1 with an error. */
static int next(struct reader *r, struct load_proto *m, struct load_proto_field *f)
{
    const char *why = "";
    enum load_proto_got got = load_proto_next(m, f, &why);
    if (got != LOAD_PROTO_BROKEN) return (int)got;
    return load_bad(r->w, where(r, f->at), NULL, r->e, "%s", why);
}

/* ---- one tensor ---- */

static int read_dim(struct reader *r, struct found *t, const uint8_t *at, uint64_t value)
{
    if (t->rank == TENSOR_RANK)
        return load_bad(r->w, where(r, at), NULL, r->e,
                        "a tensor of rank %d or more, at most %d can be used", t->rank + 1,
                        TENSOR_RANK);
    if (value > INT64_MAX)
        return load_bad(r->w, where(r, at), NULL, r->e, "dimension %d of a tensor is negative",
                        t->rank);
    t->dim[t->rank++] = (int64_t)value;
    t->empty = t->empty || value == 0;
    return 0;
}

static int read_dims(struct reader *r, struct found *t, const struct load_proto_field *f)
{
    if (f->wire == LOAD_PROTO_VARINT) return read_dim(r, t, f->at, f->value);
    struct load_proto packed = f->body;
    while (packed.p < packed.end) {
        uint64_t value;
        if (f->wire != LOAD_PROTO_BYTES || !load_proto_varint(&packed, &value))
            return load_bad(r->w, where(r, f->at), NULL, r->e, "dimensions that are no numbers");
        TRY(read_dim(r, t, f->at, value));
    }
    return 0;
}

static int read_type(struct reader *r, struct found *t, const struct load_proto_field *f)
{
    t->type = NULL;
    for (size_t i = 0; i < COUNT(types); i++) {
        if (f->wire == LOAD_PROTO_VARINT && (uint64_t)types[i].number == f->value)
            t->type = &types[i];
    }
    if (t->type) return 0;
    return load_bad(r->w, where(r, f->at), NULL, r->e, "a tensor of type %llu is not supported",
                    (unsigned long long)f->value);
}

static int read_tensor_field(struct reader *r, struct found *t, const struct load_proto_field *f)
{
    bool bytes = f->wire == LOAD_PROTO_BYTES;
    switch (f->number) {
    case TENSOR_DIMS:
        return read_dims(r, t, f);
    case TENSOR_TYPE:
        return read_type(r, t, f);
    case TENSOR_NAME:
        if (bytes) t->name = text_of(&f->body);
        return 0;
    case TENSOR_RAW:
        if (!bytes || t->has_raw)
            return load_bad(r->w, where(r, f->at), NULL, r->e, "a tensor with data twice");
        t->has_raw = true;
        t->raw = f->body.p;
        t->raw_bytes = load_proto_bytes(&f->body);
        return 0;
    case TENSOR_FLOATS:
        t->packed = bytes ? f->body.p : NULL;
        t->packed_bytes = bytes ? load_proto_bytes(&f->body) : 0;
        t->pieces++;
        return 0;
    case TENSOR_INTS:
        t->pieces++;
        return 0;
    case TENSOR_SEGMENT:
        return load_bad(r->w, where(r, f->at), NULL, r->e, "a tensor in segments");
    case TENSOR_LOCATION:
        if (f->wire == LOAD_PROTO_VARINT && f->value == 0) return 0;
        return load_bad(r->w, where(r, f->at), NULL, r->e,
                        "a tensor whose data lies in another file, which is not supported: save "
                        "the model as one file");
    default:
        return 0;
    }
}

/* Numbers in the field of their type: f32 in float_data; f16 and bf16 as their bits and the whole
 * numbers in int32_data. Each is put at its place in out [n of `size` bytes]. */
static int collect(struct reader *r, const struct found *t, uint8_t *out, uint64_t n)
{
    struct load_proto m = t->whole;
    struct load_proto_field f;
    uint64_t at = 0;
    bool floats = t->type->type == DTYPE_F32;
    int got;
    while ((got = next(r, &m, &f)) > 0) {
        if (f.number != (floats ? TENSOR_FLOATS : TENSOR_INTS)) continue;
        uint64_t value = f.value;
        struct load_proto part = f.body;
        bool one = f.wire == LOAD_PROTO_VARINT;
        while (one || part.p < part.end) {
            bool ok = at < n;
            if (ok && floats) {
                ok = !one && load_proto_bytes(&part) >= 4;
                if (ok) value = load_u32(part.p);
                if (ok) part.p += 4;
            } else if (ok && !one) {
                ok = f.wire == LOAD_PROTO_BYTES && load_proto_varint(&part, &value);
            }
            if (!ok)
                return load_bad(r->w, where(r, f.at), NULL, r->e,
                                "data that is not %llu numbers of the tensor's type",
                                (unsigned long long)n);
            for (size_t i = 0; i < t->type->bytes; i++)
                out[at * t->type->bytes + i] = (uint8_t)(value >> 8 * i);
            at++;
            one = false;
        }
    }
    if (got < 0) return -1;
    if (at == n) return 0;
    return load_bad(r->w, where(r, t->whole.p), NULL, r->e, "%llu numbers, its shape needs %llu",
                    (unsigned long long)at, (unsigned long long)n);
}

/* Where the numbers of a tensor are: borrowed or copied. out->t has type and shape. */
static int place(struct reader *r, const struct found *t, struct load_tensor *out)
{
    const uint8_t *data = t->has_raw ? t->raw : t->packed;
    size_t bytes = t->has_raw ? t->raw_bytes : t->packed_bytes;
    out->offset = where(r, t->whole.p);
    if (t->has_raw || (t->pieces == 1 && t->packed && t->type->type == DTYPE_F32)) {
        out->offset = where(r, data);
        out->bytes = bytes;
        out->t.data = data;
        return load_shape_fit(r->w, out, bytes, r->e);
    }
    int64_t n = tensor_count(out->t.rank, out->t.dim);
    if (n < 0 || (uint64_t)n > load_proto_bytes(&t->whole)) /* each takes a byte at least */
        return load_bad(r->w, out->offset, out->name, r->e,
                        "its shape needs more numbers than its %zu bytes hold",
                        load_proto_bytes(&t->whole));
    uint8_t *copy = arena_array(r->a, (size_t)n, t->type->bytes, BASE_LINE, r->e);
    if (!copy) return -1;
    out->t.data = copy;
    return collect(r, t, copy, (uint64_t)n);
}

/* name: of the Constant's output, or NULL for the tensor's own. */
static int read_tensor(struct reader *r, struct load_proto body, const struct str *name)
{
    struct found t = {.whole = body};
    struct load_proto_field f;
    int got;
    if (load_proto_bytes(&body) < TENSOR_LEAST) return 0; /* empty */
    if (r->room == 0) {
        r->w->n++;
        return 0;
    }
    while ((got = next(r, &body, &f)) > 0) TRY(read_tensor_field(r, &t, &f));
    if (got < 0) return -1;
    if (!t.type) return load_bad(r->w, where(r, t.whole.p), NULL, r->e, "a tensor without a type");
    if (t.type->use == LEFT_OUT || t.empty) return 0;
    struct str called = name ? *name : t.name;
    if (!load_name_fit(called.p, called.n))
        return load_bad(r->w, where(r, t.whole.p), NULL, r->e, "a tensor without a readable name");
    assert(r->w->n < r->room);
    struct load_tensor *out = &r->w->tensor[r->w->n];
    *out = (struct load_tensor){.t = {.type = t.type->type, .rank = t.rank}};
    memcpy(out->t.dim, t.dim, sizeof t.dim);
    out->name = arena_text(r->a, called.p, called.n, r->e);
    if (!out->name) return -1;
    TRY(place(r, &t, out));
    r->w->n++;
    return 0;
}

/* ---- what holds them ---- */

static int read_attribute(struct reader *r, struct load_proto body, const struct str *name)
{
    struct load_proto_field f;
    struct load_proto value = {NULL, NULL};
    struct str called = {"", 0};
    int got;
    while ((got = next(r, &body, &f)) > 0) {
        if (f.wire != LOAD_PROTO_BYTES) continue;
        if (f.number == ATTRIBUTE_NAME) called = text_of(&f.body);
        if (f.number == ATTRIBUTE_TENSOR) value = f.body;
    }
    if (got < 0) return -1;
    return value.p && str_eq(called, "value") ? read_tensor(r, value, name) : 0;
}

static int read_node(struct reader *r, struct load_proto body)
{
    struct load_proto_field f;
    struct load_proto all = body;
    struct str op = {"", 0}, output = {"", 0};
    int got;
    while ((got = next(r, &body, &f)) > 0) {
        if (f.wire != LOAD_PROTO_BYTES) continue;
        if (f.number == NODE_OP) op = text_of(&f.body);
        if (f.number == NODE_OUTPUT) output = text_of(&f.body);
    }
    if (got < 0) return -1;
    if (!str_eq(op, "Constant")) return 0;
    while ((got = next(r, &all, &f)) > 0) {
        if (f.wire == LOAD_PROTO_BYTES && f.number == NODE_ATTRIBUTE)
            TRY(read_attribute(r, f.body, &output));
    }
    return got;
}

static int read_graph(struct reader *r, struct load_proto body)
{
    struct load_proto_field f;
    int got;
    r->w->n = 0;
    while ((got = next(r, &body, &f)) > 0) {
        if (f.wire != LOAD_PROTO_BYTES) continue;
        if (f.number == GRAPH_INITIALIZER) TRY(read_tensor(r, f.body, NULL));
        if (f.number == GRAPH_NODE) TRY(read_node(r, f.body));
        if (r->w->n > LOAD_TENSORS_MAX)
            return load_bad(r->w, where(r, f.at), NULL, r->e,
                            "more than %d tensors, which cannot be used", LOAD_TENSORS_MAX);
    }
    return got;
}

static int open_onnx(struct arena *a, struct load_weights *w, struct err *e)
{
    struct reader r = {.a = a, .w = w, .e = e};
    struct load_proto model = {w->map.data, w->map.data + w->map.size}, graph = {NULL, NULL};
    struct load_proto_field f;
    int got;
    while ((got = next(&r, &model, &f)) > 0) {
        if (f.number != MODEL_GRAPH) continue;
        if (f.wire != LOAD_PROTO_BYTES || graph.p)
            return load_bad(w, where(&r, f.at), NULL, e, "not one graph, as an ONNX model has");
        graph = f.body;
    }
    if (got < 0) return -1;
    if (!graph.p) return load_bad(w, 0, NULL, e, "an ONNX file without a graph");
    TRY(read_graph(&r, graph)); /* counts */
    r.room = w->n;
    if (r.room == 0) return load_settle(a, w, NULL, 0, e);
    w->tensor = ARENA_NEW(a, struct load_tensor, r.room, e);
    if (!w->tensor) return -1;
    TRY(read_graph(&r, graph));
    return load_settle(a, w, NULL, 0, e);
}

/* There is no magic number. Every writer puts ir_version (1) first, a small number, then another
 * short field of ModelProto: producer, version, domain, model version, description, graph, opset.
 */
static bool probe_onnx(const uint8_t *p, size_t n)
{
    static const uint8_t after[] = {0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42};
    return n >= 16 && p[0] == 0x08 && p[1] >= 1 && p[1] < 128 && memchr(after, p[2], sizeof after);
}

const struct load_format load_onnx_row = {"onnx", probe_onnx, open_onnx};
