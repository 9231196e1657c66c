/* Steps of both ends of a net to launches of k_mel.cu, k_cache.cu, k_decode.cu and k_pick.cu. */
#include "gpu/gpu_launch_b.h"
#include "gpu/k_cache.h"
#include "gpu/k_decode.h"
#include "gpu/k_mel.h"
#include "gpu/k_pick.h"

#include <math.h>

static int parts(int64_t n, int64_t size)
{
    return (int)((n + size - 1) / size);
}

static const int64_t *dim_of(const struct plan *p, int value)
{
    return p->value[value].dim;
}

static const int *live_of(const struct gpu_step *s, int input)
{
    return gpu_launch_at(s->in[input]->live);
}

/* Behind `bytes` of scratch, where the next part starts. */
static size_t after(size_t bytes)
{
    return ALIGN_UP(bytes, (size_t)GPU_LAUNCH_LINE);
}

/* ---- spectrum ---- */

size_t gpu_launch_b_logmel_scratch(const struct gpu_chip *chip, const struct plan *p,
                                   const struct plan_step *step)
{
    (void)chip;
    const int64_t *mel = dim_of(p, step->out[0]);
    return (size_t)mel[0] * (size_t)parts(mel[2], MEL_FRAMES) * sizeof(float);
}

int gpu_launch_b_logmel(const struct gpu_chip *chip, const struct gpu_step *s,
                        struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    const int64_t *mel = s->out[0]->plan->dim;
    struct mel_log a = {
        .pcm = gpu_launch_in(s, 0),
        .filters = gpu_launch_in(s, 1),
        .out = gpu_launch_out(s, 0),
        .part = gpu_launch_at(s->scratch),
        .live = live_of(s, 0),
        .samples = (int)s->in[0]->plan->dim[1],
        .n_mel = (int)mel[1],
        .frames = (int)mel[2],
    };
    for (int i = 0; i <= MEL_QUARTER; i++) a.sine[i] = (float)sin(2 * M_PI * i / MEL_FFT);
    struct mel_most most = {
        .part = a.part,
        .most = gpu_launch_out(s, 1),
        .live = a.live,
        .n = parts(mel[2], MEL_FRAMES),
    };
    GPU_LAUNCH_SET(&out[0], "mel_log", most.n, mel[0], 1, MEL_THREADS, a);
    GPU_LAUNCH_SET(&out[1], "mel_most", mel[0], 1, 1, MEL_MOST_THREADS, most);
    return 2;
}

int gpu_launch_b_melnorm(const struct gpu_chip *chip, const struct gpu_step *s,
                         struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    const int64_t *mel = s->in[0]->plan->dim;
    struct mel_norm a = {
        .mel = gpu_launch_in(s, 0),
        .most = gpu_launch_in(s, 1),
        .content = gpu_launch_in(s, 2),
        .live = live_of(s, 0),
        .out = gpu_launch_out(s, 0),
        .n_mel = (int)mel[1],
        .frames = (int)mel[2],
    };
    GPU_LAUNCH_SET(out, "mel_norm", parts(mel[2], MEL_TILE), parts(mel[1], MEL_TILE), mel[0],
                   MEL_NORM_THREADS, a);
    return 1;
}

/* ---- keys and values of what is heard ---- */

size_t gpu_launch_b_crosskv_scratch(const struct gpu_chip *chip, const struct plan *p,
                                    const struct plan_step *step)
{
    (void)chip;
    const int64_t *kv = dim_of(p, step->in[0]);
    if (p->value[step->out[0]].type != DTYPE_I8) return 0;
    return (size_t)kv[0] * (size_t)parts(kv[1], CACHE_TIMES) * (size_t)(kv[2] / 2) * sizeof(float);
}

int gpu_launch_b_crosskv_check(const struct gpu_chip *chip, const struct plan *p,
                               const struct plan_step *step, struct err *e)
{
    (void)chip;
    int64_t width = dim_of(p, step->out[0])[2];
    if (width <= CACHE_WIDTH) return 0;
    return err_set(e, E_DEVICE, "step %s: heads of %lld; a GPU takes at most %d", step->name,
                   (long long)width, CACHE_WIDTH);
}

int gpu_launch_b_crosskv(const struct gpu_chip *chip, const struct gpu_step *s,
                         struct gpu_launch *out, struct err *e)
{
    if (gpu_launch_b_crosskv_check(chip, s->plan, s->step, e)) return -1;
    const int64_t *kv = s->in[0]->plan->dim, *k = s->out[0]->plan->dim;
    struct cache_put a = {
        .kv = gpu_launch_in(s, 0),
        .slot = gpu_launch_in(s, 1),
        .live = live_of(s, 0),
        .k = gpu_launch_out(s, 0),
        .v = gpu_launch_out(s, 1),
        .k_scale = gpu_launch_at(s->out[0]->scale),
        .v_scale = gpu_launch_at(s->out[1]->scale),
        .most = gpu_launch_at(s->scratch),
        .frames = (int)kv[1],
        .heads = (int)k[1],
        .width = (int)k[2],
    };
    enum dtype type = s->out[0]->plan->type;
    const char *name = type == DTYPE_I8    ? "cache_put_i8"
                       : type == DTYPE_F16 ? "cache_put_f16"
                                           : "cache_put_f32";
    int n = 0, chunks = parts(kv[1], CACHE_TIMES);
    if (type == DTYPE_I8)
        GPU_LAUNCH_SET(&out[n++], "cache_most", chunks, parts(kv[2] / 2, CACHE_THREADS), kv[0],
                       CACHE_THREADS, a);
    GPU_LAUNCH_SET(&out[n++], name, chunks, k[1], kv[0], CACHE_THREADS, a);
    return n;
}

/* ---- the decoder's rows ---- */

int gpu_launch_b_embed(const struct gpu_chip *chip, const struct gpu_step *s,
                       struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    struct decode_embed a = {
        .token = gpu_launch_in(s, 0),
        .position = gpu_launch_in(s, 1),
        .live = live_of(s, 0),
        .table = gpu_launch_in(s, 2),
        .scale = gpu_launch_at(s->in[2]->scale),
        .positions = gpu_launch_in(s, 3),
        .out = gpu_launch_out(s, 0),
        .width = (int)s->in[2]->plan->dim[1],
        .lead = (int)gpu_pack_kp(s->in[2]->plan),
    };
    enum gpu_form form = s->in[2]->form;
    const char *name = form == GPU_I8    ? "decode_embed_i8"
                       : form == GPU_F16 ? "decode_embed_f16"
                                         : "decode_embed_f32";
    GPU_LAUNCH_SET(out, name, s->in[0]->plan->dim[0], 1, 1, DECODE_ROW_THREADS, a);
    return 1;
}

int gpu_launch_b_gather(const struct gpu_chip *chip, const struct gpu_step *s,
                        struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    struct decode_gather a = {
        .x = gpu_launch_in(s, 0),
        .index = gpu_launch_in(s, 1),
        .live = live_of(s, 1),
        .out = gpu_launch_out(s, 0),
        .width = (int)s->in[0]->plan->dim[1],
    };
    GPU_LAUNCH_SET(out, "decode_gather", s->in[1]->plan->dim[0], 1, 1, DECODE_ROW_THREADS, a);
    return 1;
}

/* What the kernels of both attentions ask of a head. */
static int check_width(const struct plan_step *step, int64_t width, struct err *e)
{
    if (width <= DECODE_WIDTH) return 0;
    return err_set(e, E_DEVICE, "step %s: heads of %lld; a GPU takes at most %d", step->name,
                   (long long)width, DECODE_WIDTH);
}

int gpu_launch_b_attnself_check(const struct gpu_chip *chip, const struct plan *p,
                                const struct plan_step *step, struct err *e)
{
    int64_t most = dim_of(p, step->in[3])[1], words = 2 * most * (int64_t)sizeof(float);
    int fixed = (DECODE_SELF_THREADS / 32 * (DECODE_WIDTH + 1) + DECODE_WIDTH) * 4;
    if (words + fixed > chip->shared)
        return err_set(e, E_DEVICE, "step %s: %lld positions do not fit shared memory of %d bytes",
                       step->name, (long long)most, chip->shared);
    return check_width(step, dim_of(p, step->out[0])[1] / step->args.heads, e);
}

int gpu_launch_b_attnself(const struct gpu_chip *chip, const struct gpu_step *s,
                          struct gpu_launch *out, struct err *e)
{
    if (gpu_launch_b_attnself_check(chip, s->plan, s->step, e)) return -1;
    const struct op_args *args = &s->step->args;
    struct decode_self a = {
        .qkv = gpu_launch_in(s, 0),
        .position = gpu_launch_in(s, 1),
        .sequence = gpu_launch_in(s, 2),
        .history = gpu_launch_in(s, 3),
        .live = live_of(s, 0),
        .out = gpu_launch_out(s, 0),
        .k = gpu_launch_out(s, 1),
        .v = gpu_launch_out(s, 2),
        .rows = (int)s->in[0]->plan->dim[0],
        .most = (int)s->in[3]->plan->dim[1],
        .heads = args->heads,
        .width = (int)s->out[0]->plan->dim[1] / args->heads,
        .scale = args->scale,
    };
    bool half = s->out[1]->plan->type == DTYPE_F16;
    GPU_LAUNCH_SET(out, half ? "decode_self_f16" : "decode_self_f32", a.heads, a.rows, 1,
                   DECODE_SELF_THREADS, a);
    out->shared = 2 * (unsigned)a.most * (unsigned)sizeof(float);
    return 1;
}

/* How many positions a block takes: all, unless there are too few windows and heads to keep the
 * chip busy. */
static int cross_keys(const struct gpu_chip *chip, const struct plan *p,
                      const struct plan_step *step)
{
    const int64_t *k = dim_of(p, step->in[2]);
    int64_t rows = dim_of(p, step->in[0])[0], windows = rows < k[0] ? rows : k[0];
    int64_t chunks = parts(k[3], DECODE_KEYS), splits = parts(2 * chip->processors, windows * k[1]);
    if (splits > chunks) splits = chunks;
    return parts(chunks, splits > 1 ? splits : 1) * DECODE_KEYS;
}

size_t gpu_launch_b_attncross_scratch(const struct gpu_chip *chip, const struct plan *p,
                                      const struct plan_step *step)
{
    const int64_t *k = dim_of(p, step->in[2]);
    int splits = parts(k[3], cross_keys(chip, p, step));
    if (splits == 1) return 0;
    return (size_t)dim_of(p, step->in[0])[0] * (size_t)k[1] * (size_t)splits * (size_t)(k[2] + 2) *
           sizeof(float);
}

int gpu_launch_b_attncross_check(const struct gpu_chip *chip, const struct plan *p,
                                 const struct plan_step *step, struct err *e)
{
    (void)chip;
    return check_width(step, dim_of(p, step->in[2])[2], e);
}

int gpu_launch_b_attncross(const struct gpu_chip *chip, const struct gpu_step *s,
                           struct gpu_launch *out, struct err *e)
{
    if (gpu_launch_b_attncross_check(chip, s->plan, s->step, e)) return -1;
    const int64_t *k = s->in[2]->plan->dim;
    struct decode_cross a = {
        .q = gpu_launch_in(s, 0),
        .window = gpu_launch_in(s, 1),
        .live = live_of(s, 0),
        .k = gpu_launch_in(s, 2),
        .v = gpu_launch_in(s, 3),
        .k_scale = gpu_launch_at(s->in[2]->scale),
        .v_scale = gpu_launch_at(s->in[3]->scale),
        .out = gpu_launch_out(s, 0),
        .weights = gpu_launch_out(s, 1),
        .part = gpu_launch_at(s->scratch),
        .rows = (int)s->in[0]->plan->dim[0],
        .heads = (int)k[1],
        .width = (int)k[2],
        .frames = (int)k[3],
        .keys = cross_keys(chip, s->plan, s->step),
        .scale = s->step->args.scale,
    };
    struct decode_merge merge = {
        .part = a.part,
        .live = a.live,
        .out = a.out,
        .weights = a.weights,
        .width = a.width,
        .frames = a.frames,
        .splits = parts(a.frames, a.keys),
    };
    enum dtype type = s->in[2]->plan->type;
    const char *name = type == DTYPE_I8    ? "decode_cross_i8"
                       : type == DTYPE_F16 ? "decode_cross_f16"
                                           : "decode_cross_f32";
    GPU_LAUNCH_SET(&out[0], name, a.heads, a.rows, merge.splits, DECODE_CROSS_THREADS, a);
    if (merge.splits == 1) return 1;
    GPU_LAUNCH_SET(&out[1], "decode_merge", a.heads, a.rows, 1, DECODE_ROW_THREADS, merge);
    return 2;
}

/* ---- choice of tokens ---- */

/* Chunks of the vocabulary; *texts: how many tokens come before timestamps, *text_chunks: chunks of
 * those. */
static int pick_chunks(const struct plan *p, const struct plan_step *step, int *texts,
                       int *text_chunks)
{
    int vocab = (int)dim_of(p, step->in[0])[1];
    *texts = step->args.time0 >= 0 ? step->args.time0 : vocab;
    *text_chunks = parts(*texts, PICK_CHUNK);
    return *text_chunks + parts(vocab - *texts, PICK_CHUNK);
}

size_t gpu_launch_b_pick_scratch(const struct gpu_chip *chip, const struct plan *p,
                                 const struct plan_step *step)
{
    (void)chip;
    int texts, text_chunks;
    size_t n = (size_t)dim_of(p, step->in[0])[0];
    n *= (size_t)pick_chunks(p, step, &texts, &text_chunks);
    return after(n * PICK_NUMBERS * 4) + 2 * after(n * (size_t)step->args.top * 4);
}

int gpu_launch_b_pick(const struct gpu_chip *chip, const struct gpu_step *s, struct gpu_launch *out,
                      struct err *e)
{
    (void)chip, (void)e;
    const struct op_args *args = &s->step->args;
    struct pick a = {
        .logits = gpu_launch_in(s, 0),
        .ban = gpu_launch_in(s, 1),
        .rule = gpu_launch_in(s, 2),
        .chance = gpu_launch_in(s, 3),
        .live = live_of(s, 0),
        .top = gpu_launch_out(s, 0),
        .top_log = gpu_launch_out(s, 1),
        .token = gpu_launch_out(s, 2),
        .token_log = gpu_launch_out(s, 3),
        .watched = gpu_launch_out(s, 4),
        .vocab = (int)s->in[0]->plan->dim[1],
        .n_top = args->top,
        .watch = args->watch,
        .eot = args->eot,
        .time0 = args->time0,
    };
    a.chunks = pick_chunks(s->plan, s->step, &a.texts, &a.text_chunks);
    int64_t rows = s->in[0]->plan->dim[0];
    size_t n = (size_t)rows * (size_t)a.chunks, tops = after(n * (size_t)args->top * 4);
    uint64_t at = s->scratch + after(n * PICK_NUMBERS * 4);
    a.part = gpu_launch_at(s->scratch);
    a.part_top = gpu_launch_at(at);
    a.part_token = gpu_launch_at(at + tops);
    GPU_LAUNCH_SET(&out[0], "pick_part", a.chunks, rows, 1, PICK_THREADS, a);
    GPU_LAUNCH_SET(&out[1], "pick_row", rows, 1, 1, PICK_THREADS, a);
    out[1].shared = (unsigned)a.chunks * (unsigned)sizeof(int);
    return 2;
}
