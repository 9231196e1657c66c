/* oneDNN, as a library of single-threaded products: each member of the team runs the same primitive
 * on blocks of 128 lines of its own, so that oneDNN's threads and ours never meet. Weights are
 * packed once into the layout oneDNN asks for (CPU_OWN); bias, activation and residual are fused.
 *
 * Both generations of the API: 2.x (Debian 12) describes memory by value and operations by a
 * descriptor of their own, 3.x (Debian 13) by handles. All the difference is in the first part.
 *
 * Only where it beats our tiles (measured with 2.6.3, AVX-512, see cpu_dnnl_fits): f32 with a long
 * inner dimension, by a seventh. In i8 its sums leave the dequantising to a second pass over y,
 * and before VNNI it lets sums of two products saturate, so that levels would disagree. */
#include "cpu/cpu_dnnl.h"
#include <dnnl.h>
#include <string.h>

enum { BLOCK = 128 };

#if DNNL_VERSION_MAJOR < 3
typedef dnnl_memory_desc_t shape;
typedef const dnnl_memory_desc_t *shape_in;
#define SHAPE_IN(s) (&(s))

static dnnl_status_t shape_make(shape *s, int64_t rows, int64_t columns, dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {rows, columns};
    return dnnl_memory_desc_init_by_tag(s, 2, dims, dnnl_f32, tag);
}

static void shape_free(shape *s)
{
    (void)s;
}

static dnnl_status_t add_act(dnnl_post_ops_t ops, dnnl_alg_kind_t kind)
{
    return dnnl_post_ops_append_eltwise(ops, 1.0f, kind, 0, 0);
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, shape_in x,
                                     shape_in w, shape_in bias, shape_in y, dnnl_primitive_attr_t a)
{
    dnnl_matmul_desc_t d;
    dnnl_status_t status = dnnl_matmul_desc_init(&d, x, w, bias, y);
    return status ? status : dnnl_primitive_desc_create(out, &d, a, engine, NULL);
}
#else
typedef dnnl_memory_desc_t shape;
typedef const_dnnl_memory_desc_t shape_in;
#define SHAPE_IN(s) (s)

static dnnl_status_t shape_make(shape *s, int64_t rows, int64_t columns, dnnl_format_tag_t tag)
{
    dnnl_dims_t dims = {rows, columns};
    return dnnl_memory_desc_create_with_tag(s, 2, dims, dnnl_f32, tag);
}

static void shape_free(shape *s)
{
    if (*s) dnnl_memory_desc_destroy(*s);
    *s = NULL;
}

static dnnl_status_t add_act(dnnl_post_ops_t ops, dnnl_alg_kind_t kind)
{
    return dnnl_post_ops_append_eltwise(ops, kind, 0, 0);
}

static dnnl_status_t describe_matmul(dnnl_primitive_desc_t *out, dnnl_engine_t engine, shape_in x,
                                     shape_in w, shape_in bias, shape_in y, dnnl_primitive_attr_t a)
{
    return dnnl_matmul_primitive_desc_create(out, engine, x, w, bias, y, a);
}
#endif

/* Stops at the first refusal; `done` frees what there is. */
#define TRY_DNNL(x)                         \
    do {                                    \
        if ((x) != dnnl_success) goto done; \
    } while (0)

struct product { /* what is asked for; see linear in op.def */
    int64_t k, n;
    enum op_act act;
    bool bias, residual;
};

static struct product product_of(const struct plan *p, const struct plan_step *s)
{
    const struct plan_value *w = &p->value[s->in[1]];
    return (struct product){cpu_value_k(w), w->dim[0], s->args.act, s->in[2] >= 0, s->in[3] >= 0};
}

struct described { /* one block of lines */
    shape x, y, bias;
    dnnl_primitive_desc_t matmul;
};

static void described_free(struct described *d)
{
    shape_free(&d->x);
    shape_free(&d->y);
    shape_free(&d->bias);
    if (d->matmul) dnnl_primitive_desc_destroy(d->matmul);
    d->matmul = NULL;
}

/* Where the residual stands among what is done after the sums. */
static int residual_place(const struct product *p)
{
    return p->act == OP_ACT_NONE ? 0 : 1;
}

static dnnl_status_t describe(const struct product *p, dnnl_engine_t engine, struct described *d)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    shape w = {0};
    memset(d, 0, sizeof *d);
    dnnl_status_t status = dnnl_out_of_memory;
    TRY_DNNL(status = shape_make(&d->x, BLOCK, p->k, dnnl_ab));
    TRY_DNNL(status = shape_make(&d->y, BLOCK, p->n, dnnl_ab));
    TRY_DNNL(status = shape_make(&d->bias, 1, p->n, dnnl_ab));
    TRY_DNNL(status = shape_make(&w, p->k, p->n, dnnl_format_tag_any));
    TRY_DNNL(status = dnnl_primitive_attr_create(&attr));
    TRY_DNNL(status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
    TRY_DNNL(status = dnnl_post_ops_create(&ops));
    if (p->act == OP_ACT_GELU) TRY_DNNL(status = add_act(ops, dnnl_eltwise_gelu_erf));
    if (p->act == OP_ACT_RELU) TRY_DNNL(status = add_act(ops, dnnl_eltwise_relu));
    if (p->residual)
        TRY_DNNL(status = dnnl_post_ops_append_binary(ops, dnnl_binary_add, SHAPE_IN(d->y)));
    TRY_DNNL(status = dnnl_primitive_attr_set_post_ops(attr, ops));
    status = describe_matmul(&d->matmul, engine, SHAPE_IN(d->x), SHAPE_IN(w),
                             p->bias ? SHAPE_IN(d->bias) : NULL, SHAPE_IN(d->y), attr);
done:
    if (ops) dnnl_post_ops_destroy(ops);
    if (attr) dnnl_primitive_attr_destroy(attr);
    shape_free(&w);
    return status;
}

static shape_in weights_of(const struct described *d)
{
    return dnnl_primitive_desc_query_md(d->matmul, dnnl_query_weights_md, 0);
}

static shape_in pad_of(const struct described *d)
{
    return dnnl_primitive_desc_query_md(d->matmul, dnnl_query_scratchpad_md, 0);
}

/* ---- the kernel ----------------------------------------------------------------------------- */

struct member { /* what one member of the team runs the primitive with */
    dnnl_stream_t stream;
    dnnl_memory_t x, y, residual, pad;
};

/* One member's scratch, in bytes from its part's start: a block of x, y and residual for the last
 * lines, which are fewer than a block, and what oneDNN needs. */
struct part {
    size_t y, residual, pad, bytes;
};

struct own {
    dnnl_engine_t engine;
    dnnl_primitive_t primitive;
    dnnl_memory_t weights, bias;
    struct member *member;
    int threads;
    struct part part;
};

static struct part part_of(const struct product *p, size_t pad)
{
    struct part m;
    size_t lines = ALIGN_UP((size_t)(BLOCK * p->n) * sizeof(float), 4096);
    m.y = ALIGN_UP((size_t)(BLOCK * p->k) * sizeof(float), 4096);
    m.residual = m.y + lines;
    m.pad = m.residual + (p->residual ? lines : 0);
    m.bytes = m.pad + ALIGN_UP(pad, 4096);
    return m;
}

bool cpu_dnnl_fits(const struct plan *p, const struct plan_step *s)
{
    const struct plan_value *x = &p->value[s->in[0]], *w = &p->value[s->in[1]];
    enum { long_enough = 1024 }; /* below, our tiles are as fast and read f16 weights as they are */
    /* many positions of one window: rows of decoding steps come and go and are few */
    bool many = x->rank == 3 && x->dim[1] >= 2 * BLOCK;
    return many && cpu_value_k(w) >= long_enough && !w->as_i8;
}

struct sizing {
    struct product product;
    size_t pad;
};

static void size_alone(void *ctx)
{
    struct sizing *z = ctx;
    struct described d = {0};
    dnnl_engine_t engine = NULL;
    TRY_DNNL(dnnl_engine_create(&engine, dnnl_cpu, 0));
    TRY_DNNL(describe(&z->product, engine, &d));
    z->pad = dnnl_memory_desc_get_size(pad_of(&d));
done:
    described_free(&d);
    if (engine) dnnl_engine_destroy(engine);
}

size_t cpu_dnnl_scratch(const struct plan *p, const struct plan_step *s, int threads)
{
    struct sizing z = {product_of(p, s), 0}; /* if it fails, so will prepare, and says so */
    thread_alone(size_alone, &z);
    return (size_t)threads * part_of(&z.product, z.pad).bytes;
}

/* Rows of the parts as f32 [N][K] to oneDNN's layout. */
static dnnl_status_t pack(const struct own *o, const struct product *p, shape_in to, float *rows,
                          void *packed)
{
    shape plain = {0};
    dnnl_memory_t from = NULL, into = NULL;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_status_t status;
    TRY_DNNL(status = shape_make(&plain, p->k, p->n, dnnl_ba));
    TRY_DNNL(status = dnnl_memory_create(&from, SHAPE_IN(plain), o->engine, rows));
    TRY_DNNL(status = dnnl_memory_create(&into, to, o->engine, packed));
    TRY_DNNL(status = dnnl_reorder_primitive_desc_create(&desc, SHAPE_IN(plain), o->engine, to,
                                                         o->engine, NULL));
    TRY_DNNL(status = dnnl_primitive_create(&reorder, desc));
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, into}};
    TRY_DNNL(status = dnnl_primitive_execute(reorder, o->member[0].stream, 2, args));
    status = dnnl_stream_wait(o->member[0].stream);
done:
    if (reorder) dnnl_primitive_destroy(reorder);
    if (desc) dnnl_primitive_desc_destroy(desc);
    if (into) dnnl_memory_destroy(into);
    if (from) dnnl_memory_destroy(from);
    shape_free(&plain);
    return status;
}

struct preparing {
    struct cpu_step *step;
    struct arena *arena;
    struct err *e;
    int failed;
};

/* The packed weights, made if no earlier step did. */
static int pack_weights(struct cpu_step *s, const struct own *o, const struct product *p,
                        const struct described *d, struct arena *a, struct err *e)
{
    struct cpu_value *w = s->in[1];
    if (w->data) return 0;
    void *packed = arena_alloc(a, dnnl_memory_desc_get_size(weights_of(d)), BASE_LINE, e);
    if (!packed) return -1;
    struct arena_mark mark = arena_here(a);
    float *rows = arena_array(a, (size_t)(p->n * p->k), sizeof *rows, BASE_LINE, e);
    if (!rows) return -1;
    for (int64_t n = 0; n < p->n; n++) cpu_pack_row(w->plan, n, rows + n * p->k);
    dnnl_status_t status = pack(o, p, weights_of(d), rows, packed);
    arena_rewind(a, mark);
    if (status) return err_set(e, E_DEVICE, "oneDNN cannot pack weights (status %d)", (int)status);
    w->data = packed;
    return 0;
}

static dnnl_status_t make_members(struct own *o, const struct product *p, const struct described *d)
{
    for (int i = 0; i < o->threads; i++) {
        struct member *m = &o->member[i];
        dnnl_status_t status;
        TRY_DNNL(status = dnnl_stream_create(&m->stream, o->engine, dnnl_stream_default_flags));
        TRY_DNNL(status = dnnl_memory_create(&m->x, SHAPE_IN(d->x), o->engine, NULL));
        TRY_DNNL(status = dnnl_memory_create(&m->y, SHAPE_IN(d->y), o->engine, NULL));
        TRY_DNNL(status = dnnl_memory_create(&m->pad, pad_of(d), o->engine, NULL));
        if (p->residual)
            TRY_DNNL(status = dnnl_memory_create(&m->residual, SHAPE_IN(d->y), o->engine, NULL));
        continue;
    done:
        return status;
    }
    return dnnl_success;
}

static void prepare_alone(void *ctx)
{
    struct preparing *j = ctx;
    struct cpu_step *s = j->step;
    struct own *o = s->own;
    struct product p = product_of(s->plan, s->step);
    struct described d = {0};
    dnnl_status_t status;
    TRY_DNNL(status = dnnl_engine_create(&o->engine, dnnl_cpu, 0));
    TRY_DNNL(status = describe(&p, o->engine, &d));
    TRY_DNNL(status = dnnl_primitive_create(&o->primitive, d.matmul));
    o->part = part_of(&p, dnnl_memory_desc_get_size(pad_of(&d)));
    TRY_DNNL(status = make_members(o, &p, &d));
    if (pack_weights(s, o, &p, &d, j->arena, j->e)) {
        described_free(&d);
        return;
    }
    TRY_DNNL(status = dnnl_memory_create(&o->weights, weights_of(&d), o->engine, s->in[1]->data));
    if (p.bias)
        TRY_DNNL(status =
                     dnnl_memory_create(&o->bias, SHAPE_IN(d.bias), o->engine, s->in[2]->data));
    j->failed = 0;
done:
    described_free(&d);
    if (status)
        err_set(j->e, E_DEVICE, "oneDNN refused a product of %lld x %lld (status %d)",
                (long long)p.n, (long long)p.k, (int)status);
}

int cpu_dnnl_prepare(struct cpu_step *s, struct arena *a, struct err *e)
{
    struct own *o = ARENA_NEW(a, struct own, 1, e);
    if (!o) return -1;
    o->threads = s->threads;
    o->member = ARENA_NEW(a, struct member, (size_t)s->threads, e);
    if (!o->member) return -1;
    s->own = o;
    struct preparing j = {s, a, e, -1};
    thread_alone(prepare_alone, &j);
    if (j.failed) cpu_dnnl_release(s);
    return j.failed;
}

void cpu_dnnl_release(struct cpu_step *s)
{
    struct own *o = s->own;
    if (!o) return;
    for (int i = 0; i < o->threads; i++) {
        struct member *m = &o->member[i];
        dnnl_memory_t memory[] = {m->x, m->y, m->residual, m->pad};
        for (size_t k = 0; k < COUNT(memory); k++)
            if (memory[k]) dnnl_memory_destroy(memory[k]);
        if (m->stream) dnnl_stream_destroy(m->stream);
    }
    if (o->weights) dnnl_memory_destroy(o->weights);
    if (o->bias) dnnl_memory_destroy(o->bias);
    if (o->primitive) dnnl_primitive_destroy(o->primitive);
    if (o->engine) dnnl_engine_destroy(o->engine);
    s->own = NULL;
}

static int multiply(const struct own *o, const struct member *m, int place, const float *x,
                    float *y, const float *residual, void *pad)
{
    dnnl_exec_arg_t args[6] = {{DNNL_ARG_SRC, m->x},
                               {DNNL_ARG_WEIGHTS, o->weights},
                               {DNNL_ARG_DST, m->y},
                               {DNNL_ARG_SCRATCHPAD, m->pad}};
    int n = 4;
    if (dnnl_memory_set_data_handle(m->x, (void *)x)) return -1;
    if (dnnl_memory_set_data_handle(m->y, y)) return -1;
    if (dnnl_memory_set_data_handle(m->pad, pad)) return -1;
    if (residual) {
        if (dnnl_memory_set_data_handle(m->residual, (void *)residual)) return -1;
        args[n++] =
            (dnnl_exec_arg_t){DNNL_ARG_ATTR_MULTIPLE_POST_OP(place) | DNNL_ARG_SRC_1, m->residual};
    }
    if (o->bias) args[n++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, o->bias};
    if (dnnl_primitive_execute(o->primitive, m->stream, n, args)) return -1;
    return dnnl_stream_wait(m->stream) ? -1 : 0;
}

/* The last lines, fewer than a block, by way of scratch. */
static int multiply_rest(const struct own *o, const struct member *m, const struct product *p,
                         char *room, const float *x, float *y, const float *residual, int64_t lines)
{
    float *out = (float *)(room + o->part.y), *add = (float *)(room + o->part.residual);
    size_t x_bytes = (size_t)(lines * p->k) * sizeof *x,
           y_bytes = (size_t)(lines * p->n) * sizeof *y;
    memcpy(room, x, x_bytes);
    memset(room + x_bytes, 0, (size_t)((BLOCK - lines) * p->k) * sizeof *x);
    if (residual) {
        memcpy(add, residual, y_bytes);
        memset((char *)add + y_bytes, 0, (size_t)((BLOCK - lines) * p->n) * sizeof *y);
    }
    if (multiply(o, m, residual_place(p), (float *)room, out, residual ? add : NULL,
                 room + o->part.pad))
        return -1;
    memcpy(y, out, y_bytes);
    return 0;
}

int cpu_dnnl_linear(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct own *o = s->own;
    const struct member *m = &o->member[id];
    struct product p = product_of(s->plan, s->step);
    char *room = (char *)s->scratch + (size_t)id * o->part.bytes;
    int64_t from, to;
    thread_share(team, id, cpu_value_lines(s->in[0]), BLOCK, &from, &to);
    for (int64_t r = from; r < to; r += BLOCK) {
        const float *x = (const float *)s->in[0]->data + r * p.k;
        const float *residual = p.residual ? (const float *)s->in[3]->data + r * p.n : NULL;
        float *y = (float *)s->out[0]->data + r * p.n;
        int failed = r + BLOCK <= to
                         ? multiply(o, m, residual_place(&p), x, y, residual, room + o->part.pad)
                         : multiply_rest(o, m, &p, room, x, y, residual, to - r);
        if (failed) return -1;
    }
    return 0;
}
