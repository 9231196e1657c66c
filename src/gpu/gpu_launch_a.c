/* From the steps of the encoder and of all products to launches. */
#include "gpu/gpu_launch_a.h"

#include "gpu/k_attention.h"
#include "gpu/k_linear.h"
#include "gpu/k_norm.h"

static bool has_tensor_cores(const struct gpu_chip *chip)
{
    return chip->sm >= 75;
}

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

/* Lines per row of dim[0], live or not as that row is. */
static int lines_per(const struct plan_value *v)
{
    return v->rank > 1 ? (int)(gpu_launch_lines(v) / v->dim[0]) : 1;
}

/* What linear and conv1d share; x lies as linear has it. */
static struct gpu_linear product(const struct gpu_step *s)
{
    const struct plan_value *x = s->in[0]->plan, *w = s->in[1]->plan, *y = s->out[0]->plan;
    return (struct gpu_linear){
        .x = gpu_launch_in(s, 0),
        .w = gpu_launch_in(s, 1),
        .scale = gpu_launch_at(s->in[1]->scale),
        .bias = gpu_launch_in(s, 2),
        .residual = gpu_launch_in(s, 3),
        .y = gpu_launch_out(s, 0),
        .live = gpu_launch_at(s->in[0]->live),
        .rows = (int)gpu_launch_rows(y, s->few) * lines_per(y),
        .per = lines_per(y),
        .n = (int)w->dim[0],
        .k = (int)gpu_pack_k(w),
        .ldw = (int)gpu_pack_kp(w),
        .t_out = 1,
        .t_in = 1,
        .stride = 1,
        .c = (int)gpu_launch_width(x),
        .act = (int)s->step->args.act,
        .quads = gpu_launch_width(x) % 4 == 0,
    };
}

/* A tile of 128 x 128 reads less for each product, but there should be a tile for every
 * multiprocessor. */
static int tile_of(const struct gpu_chip *chip, const struct gpu_linear *a)
{
    return up(a->rows, 128) * up(a->n, 128) >= chip->processors ? 128 : 64;
}

/* Few lines: 64 of n a block share what they read of x, if that still leaves every multiprocessor
 * two blocks. */
static bool wide_few(const struct gpu_chip *chip, const struct gpu_linear *a)
{
    return up(a->n, 64) >= 2 * chip->processors;
}

static void launch_product(const struct gpu_chip *chip, const struct gpu_linear *a,
                           enum gpu_form form, struct gpu_launch *out)
{
    static const char *const dot[] = {
        [GPU_F16] = "linear_dot_f16", [GPU_F32] = "linear_dot_f32", [GPU_I8] = "linear_dot_i8"};
    bool few = a->rows <= GPU_LINEAR_FEW, i8 = form == GPU_I8;
    int tile = tile_of(chip, a);
    if (form == GPU_F32 || !has_tensor_cores(chip)) {
        if (few || i8)
            GPU_LAUNCH_SET(out, dot[form], up(a->n, GPU_LINEAR_DOT), up(a->rows, GPU_LINEAR_DOT), 1,
                           128, *a);
        else
            GPU_LAUNCH_SET(out, form == GPU_F16 ? "linear_plain_f16" : "linear_plain_f32",
                           up(a->n, GPU_LINEAR_PLAIN), up(a->rows, GPU_LINEAR_PLAIN), 1, 256, *a);
    } else if (few && wide_few(chip, a)) {
        GPU_LAUNCH_SET(out, i8 ? "linear_i8_few4" : "linear_f16_few4", up(a->n, 64), 1, 1,
                       32 * GPU_LINEAR_WARPS, *a);
    } else if (few) {
        GPU_LAUNCH_SET(out, i8 ? "linear_i8_few" : "linear_f16_few", up(a->n, 16), 1, 1,
                       32 * GPU_LINEAR_WARPS, *a);
    } else {
        const char *name = i8            ? tile == 128 ? "linear_i8_128" : "linear_i8_64"
                           : tile == 128 ? "linear_f16_128"
                                         : "linear_f16_64";
        GPU_LAUNCH_SET(out, name, up(a->n, tile), up(a->rows, tile), 1, (unsigned)tile * 2, *a);
        out->shared = GPU_LINEAR_SHARED((unsigned)tile);
    }
}

/* x in i8 for the most lines, then a factor for each. */
static size_t quantised(const struct plan_value *x, const struct plan_value *w)
{
    return ALIGN_UP((size_t)(gpu_launch_lines(x) * gpu_pack_kp(w)), GPU_LAUNCH_LINE);
}

size_t gpu_launch_a_linear_scratch(const struct gpu_chip *chip, const struct plan *p,
                                   const struct plan_step *step, bool few)
{
    (void)chip;
    const struct plan_value *x = &p->value[step->in[0]], *w = &p->value[step->in[1]];
    if (!w->as_i8 || gpu_launch_rows(x, few) * lines_per(x) <= GPU_LINEAR_FEW) return 0;
    return quantised(x, w) + ALIGN_UP((size_t)gpu_launch_lines(x) * 4, GPU_LAUNCH_LINE);
}

int gpu_launch_a_linear_check(const struct gpu_chip *chip, const struct plan *p,
                              const struct plan_step *step, struct err *e)
{
    (void)chip;
    if (!step->args.skew || !p->value[step->in[1]].as_i8) return 0;
    return err_set(e, E_DEVICE, "step %s: linear with skew has no kernel for GPUs", step->name);
}

int gpu_launch_a_linear(const struct gpu_chip *chip, const struct gpu_step *s,
                        struct gpu_launch *out, struct err *e)
{
    (void)e;
    struct gpu_linear a = product(s);
    int n = 0;
    if (s->in[1]->form == GPU_I8 && a.rows > GPU_LINEAR_FEW) {
        a.q = gpu_launch_at(s->scratch);
        a.factor = gpu_launch_at(s->scratch + quantised(s->in[0]->plan, s->in[1]->plan));
        GPU_LAUNCH_SET(&out[n++], "linear_quantise", up(a.rows, GPU_LINEAR_QUANTUM), 1, 1,
                       32 * GPU_LINEAR_QUANTUM, a);
    }
    launch_product(chip, &a, s->in[1]->form, &out[n++]);
    return n;
}

int gpu_launch_a_norm_linear(const struct gpu_chip *chip, const struct gpu_step *s,
                             struct gpu_launch *out, struct err *e)
{
    (void)e;
    struct gpu_linear a = product(&s[1]);
    assert(a.rows <= GPU_LINEAR_FEW);
    a.x = gpu_launch_in(&s[0], 0);
    a.gain = gpu_launch_in(&s[0], 1);
    a.offset = gpu_launch_in(&s[0], 2);
    a.eps = s->step->args.eps;
    launch_product(chip, &a, s[1].in[1]->form, out);
    return 1;
}

int gpu_launch_a_conv1d(const struct gpu_chip *chip, const struct gpu_step *s,
                        struct gpu_launch *out, struct err *e)
{
    (void)e;
    struct gpu_linear a = product(s);
    a.t_in = (int)s->in[0]->plan->dim[1];
    a.t_out = (int)s->out[0]->plan->dim[1];
    a.stride = s->step->args.stride;
    a.pad = a.c;
    launch_product(chip, &a, s->in[1]->form, out);
    return 1;
}

int gpu_launch_a_addpos(const struct gpu_chip *chip, const struct gpu_step *s,
                        struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    const struct plan_value *x = s->in[0]->plan;
    struct gpu_addpos a = {.x = gpu_launch_in(s, 0),
                           .table = gpu_launch_in(s, 1),
                           .y = gpu_launch_out(s, 0),
                           .live = gpu_launch_at(s->in[0]->live),
                           .windows = (int)x->dim[0],
                           .size = (int)(x->dim[1] * x->dim[2])};
    a.quads = a.size % 4 == 0;
    GPU_LAUNCH_SET(out, "addpos", up(a.size, GPU_ADDPOS_THREADS * (a.quads ? 4 : 1)), a.windows, 1,
                   GPU_ADDPOS_THREADS, a);
    return 1;
}

int gpu_launch_a_layernorm(const struct gpu_chip *chip, const struct gpu_step *s,
                           struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    const struct plan_value *x = s->in[0]->plan;
    struct gpu_layernorm a = {.x = gpu_launch_in(s, 0),
                              .gain = gpu_launch_in(s, 1),
                              .offset = gpu_launch_in(s, 2),
                              .y = gpu_launch_out(s, 0),
                              .live = gpu_launch_at(s->in[0]->live),
                              .rows = (int)gpu_launch_lines(x),
                              .per = lines_per(x),
                              .width = (int)gpu_launch_width(x),
                              .eps = s->step->args.eps};
    a.quads = a.width % 4 == 0;
    GPU_LAUNCH_SET(out, "layernorm", up(a.rows, GPU_LAYERNORM_ROWS), 1, 1, 32 * GPU_LAYERNORM_ROWS,
                   a);
    return 1;
}

int gpu_launch_a_attention_check(const struct gpu_chip *chip, const struct plan *p,
                                 const struct plan_step *step, struct err *e)
{
    (void)chip;
    int64_t d = gpu_launch_width(&p->value[step->in[0]]) / 3 / step->args.heads;
    if (d <= GPU_ATTENTION_D) return 0;
    return err_set(e, E_DEVICE, "step %s: heads of %lld channels, at most %d on a GPU", step->name,
                   (long long)d, GPU_ATTENTION_D);
}

int gpu_launch_a_attention(const struct gpu_chip *chip, const struct gpu_step *s,
                           struct gpu_launch *out, struct err *e)
{
    (void)e;
    const struct plan_value *x = s->in[0]->plan;
    bool f16 = s->plan->compute == DTYPE_F16 && has_tensor_cores(chip);
    struct gpu_attention a = {.qkv = gpu_launch_in(s, 0),
                              .y = gpu_launch_out(s, 0),
                              .live = gpu_launch_at(s->in[0]->live),
                              .windows = (int)x->dim[0],
                              .t = (int)x->dim[1],
                              .heads = s->step->args.heads,
                              .d = (int)(x->dim[2] / 3 / s->step->args.heads),
                              .scale = s->step->args.scale};
    a.quads = a.d % 4 == 0;
    GPU_LAUNCH_SET(out, f16 ? "attention_f16" : "attention_plain",
                   up(a.t, f16 ? GPU_ATTENTION_F16 : GPU_ATTENTION_PLAIN), a.heads, a.windows,
                   f16 ? 256 : 4 * GPU_ATTENTION_PLAIN, a);
    return 1;
}

/* Blocks for the ranges of a head: enough to keep the chip busy, however many may be live. */
static int64_t range_slots(const struct gpu_chip *chip, int64_t ranges, int heads)
{
    int64_t busy = up(8 * chip->processors, heads);
    return ranges < busy ? ranges : busy;
}

int gpu_launch_a_attnrange(const struct gpu_chip *chip, const struct gpu_step *s,
                           struct gpu_launch *out, struct err *e)
{
    (void)e;
    const struct plan_value *x = s->in[0]->plan;
    bool f16 = s->plan->compute == DTYPE_F16 && has_tensor_cores(chip);
    int tile = f16 ? GPU_ATTNRANGE_F16 : GPU_ATTENTION_PLAIN;
    struct gpu_attention a = {.qkv = gpu_launch_in(s, 0),
                              .y = gpu_launch_out(s, 0),
                              .range = gpu_launch_in(s, 1),
                              .bias = gpu_launch_in(s, 2),
                              .live = gpu_launch_at(s->in[1]->live),
                              .windows = (int)s->in[1]->plan->dim[0],
                              .t = s->in[2] ? (int)(s->in[2]->plan->dim[1] + 1) / 2 : 0,
                              .heads = s->step->args.heads,
                              .d = (int)(x->dim[1] / 3 / s->step->args.heads),
                              .scale = s->step->args.scale};
    a.quads = a.d % 4 == 0;
    GPU_LAUNCH_SET(out, f16 ? "attnrange_f16" : "attnrange_plain",
                   MIN(up(x->dim[0], tile), GPU_ATTENTION_TILES), a.heads,
                   range_slots(chip, a.windows, a.heads), (unsigned)tile * (f16 ? 2 : 4), a);
    return 1;
}
