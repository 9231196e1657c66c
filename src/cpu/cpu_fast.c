/* What the fast kernels of all levels have in common: how much scratch they take, and tables. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_rows.h"
#include <math.h>

size_t cpu_fast_matrix(const struct plan *p, const struct plan_step *s, int threads)
{
    int64_t k = cpu_value_k(&p->value[s->in[1]]);
    return (size_t)threads * fast_matrix_layout(k, fast_quant_lines(k)).bytes;
}

static int64_t head_width(const struct plan *p, const struct plan_step *s)
{
    const struct plan_value *qkv = &p->value[s->in[0]];
    return qkv->dim[qkv->rank - 1] / 3 / s->args.heads;
}

size_t cpu_fast_attention(const struct plan *p, const struct plan_step *s, int threads)
{
    struct fast_attention m = fast_attention_layout(p->value[s->in[0]].dim[1], head_width(p, s));
    return (m.shared + (size_t)threads * m.part) * sizeof(float);
}

size_t cpu_fast_nearest(const struct plan *p, const struct plan_step *s, int threads)
{
    const struct plan_value *query = &p->value[s->in[0]];
    return fast_top_layout(query->dim[0], query->dim[1], s->args.top, threads).bytes;
}

/* What cpu_fast_nearest_prepare takes. */
size_t cpu_fast_nearest_kept(const struct plan *p, const struct plan_step *s)
{
    struct plan_value as_i8 = p->value[s->in[1]];
    size_t rows = ALIGN_UP((size_t)as_i8.dim[0], (size_t)CPU_PANEL);
    as_i8.as_i8 = true;
    return cpu_pack_bytes(&as_i8, CPU_I8) + 2 * rows * sizeof(float);
}

struct measuring { /* the rows of a base, by a team */
    const struct cpu_value *base;
    const struct cpu_value *i8;
    float *norm, *off;
};

static void measure_rows(void *ctx, struct thread_team *team, int id)
{
    const struct measuring *m = ctx;
    int64_t k_count = cpu_value_k(m->base->plan), from, to;
    float most = 0.5001f * sqrtf((float)k_count); /* every number is off by half a step at most */
    thread_share(team, id, m->base->plan->dim[0], 1, &from, &to);
    for (int64_t n = from; n < to; n++) {
        const float *x = (const float *)m->base->data + n * k_count;
        float sum[8] = {0};
        for (int64_t k = 0; k < k_count; k++) sum[k % 8] += x[k] * x[k];
        for (int i = 1; i < 8; i++) sum[0] += sum[i];
        m->norm[n] = sqrtf(sum[0]) * 1.0001f;
        m->off[n] = most * m->i8->scale[n];
    }
}

int cpu_fast_nearest_prepare(struct cpu_step *s, struct arena *a, struct err *e)
{
    struct plan_value as_i8 = *s->in[1]->plan;
    struct cpu_value i8;
    size_t rows = ALIGN_UP((size_t)as_i8.dim[0], (size_t)CPU_PANEL);
    as_i8.as_i8 = true;
    struct fast_base *o = ARENA_NEW(a, struct fast_base, 1, e);
    struct measuring m = {.base = s->in[1], .i8 = &i8};
    if (!o || !(m.norm = ARENA_NEW(a, float, rows, e)) || !(m.off = ARENA_NEW(a, float, rows, e)))
        return -1;
    TRY(cpu_pack_weight(a, &as_i8, CPU_I8, s->threads, &i8, e));
    thread_run(as_i8.dim[0] > 1 << 12 ? s->threads : 1, measure_rows, &m);
    *o = (struct fast_base){i8.data, i8.scale, i8.comp, m.norm, m.off};
    s->own = o;
    return 0;
}

size_t cpu_fast_attnrange(const struct plan *p, const struct plan_step *s, int threads)
{
    const struct plan_value *qkv = &p->value[s->in[0]];
    struct fast_attention m = fast_attention_layout(qkv->dim[0], qkv->dim[1] / 3 / s->args.heads);
    return (size_t)threads * fast_range_floats(&m) * sizeof(float);
}

bool cpu_fast_half_fits(const struct plan *p, const struct plan_step *s)
{
    return p->compute == DTYPE_F16 && head_width(p, s) % (2 * CPU_PANEL) == 0;
}

size_t cpu_fast_half_range(const struct plan *p, const struct plan_step *s, int threads)
{
    struct fast_half m = fast_half_layout(p->value[s->in[0]].dim[0], head_width(p, s));
    return (size_t)threads * fast_half_range(&m);
}

size_t cpu_fast_half(const struct plan *p, const struct plan_step *s, int threads)
{
    struct fast_half m = fast_half_layout(p->value[s->in[0]].dim[1], head_width(p, s));
    return m.shared + (size_t)threads * m.part;
}

size_t cpu_fast_tiles_range(const struct plan *p, const struct plan_step *s, int threads)
{
    struct fast_tiles m = fast_tiles_layout(p->value[s->in[0]].dim[0], head_width(p, s));
    return (size_t)threads * (m.part + m.head);
}

size_t cpu_fast_tiles(const struct plan *p, const struct plan_step *s, int threads)
{
    struct fast_tiles m = fast_tiles_layout(p->value[s->in[0]].dim[1], head_width(p, s));
    return 2 * m.head + (size_t)threads * m.part;
}

size_t cpu_fast_attnself(const struct plan *p, const struct plan_step *s, int threads)
{
    return (size_t)threads * fast_self_floats(p->value[s->in[3]].dim[1]) * sizeof(float);
}

size_t cpu_fast_attncross(const struct plan *p, const struct plan_step *s, int threads)
{
    const int64_t *keys = p->value[s->in[2]].dim;
    return (size_t)threads * fast_cross_floats(keys[3], keys[2]) * sizeof(float);
}

size_t cpu_fast_pick(const struct plan *p, const struct plan_step *s, int threads)
{
    const struct plan_value *logits = &p->value[s->in[0]];
    return fast_pick_layout(logits->dim[0], logits->dim[1], s->args.top, threads).bytes;
}

size_t cpu_fast_logmel(const struct plan *p, const struct plan_step *s, int threads)
{
    const struct plan_value *mel = &p->value[s->out[0]];
    size_t each = fast_mel_floats() + (size_t)(mel->dim[0] + 2 * mel->dim[1]);
    return (size_t)threads * each * sizeof(float);
}

int cpu_fast_logmel_prepare(struct cpu_step *s, struct arena *a, struct err *e)
{
    const double turn = 2 * 3.14159265358979323846;
    struct fast_mel *m = ARENA_NEW(a, struct fast_mel, 1, e);
    if (!m) return -1;
    for (int i = 0; i < FAST_FRAME; i++)
        m->window[i] = (float)(0.5 - 0.5 * cos(turn * i / FAST_FRAME));
    for (int k = 0; k < FAST_HALF; k++) {
        m->turn_re[k] = (float)cos(turn * k / FAST_HALF);
        m->turn_im[k] = (float)-sin(turn * k / FAST_HALF);
        m->last_re[k] = (float)cos(turn * k / FAST_FRAME);
        m->last_im[k] = (float)-sin(turn * k / FAST_FRAME);
    }
    s->own = m;
    return 0;
}

static int64_t size_of(const struct plan *p, int value, int i)
{
    return p->value[value].dim[i];
}

size_t cpu_fast_seed(const struct plan *p, const struct plan_step *s, int threads)
{
    return rows_seed_layout(size_of(p, s->in[0], 0), size_of(p, s->in[0], 1),
                            size_of(p, s->in[1], 0), size_of(p, s->in[1], 1), threads)
        .bytes;
}

size_t cpu_fast_lloyd(const struct plan *p, const struct plan_step *s, int threads)
{
    return rows_lloyd_layout(size_of(p, s->in[0], 0), size_of(p, s->in[0], 1),
                             size_of(p, s->in[1], 1), size_of(p, s->in[1], 0), threads)
        .bytes;
}

size_t cpu_fast_spread(const struct plan *p, const struct plan_step *s, int threads)
{
    (void)threads;
    return (size_t)size_of(p, s->in[0], 0) * sizeof(double);
}

size_t cpu_fast_project(const struct plan *p, const struct plan_step *s, int threads)
{
    int64_t d = size_of(p, s->in[0], 1), m = size_of(p, s->in[1], 0);
    size_t each = ALIGN_UP((size_t)(ROWS_TILE * (ALIGN_UP(m, ROWS_COLS) + d)), 1024);
    size_t floats = ALIGN_UP(rows_panel_floats(m, d), 1024) + (size_t)threads * each;
    return floats * sizeof(float);
}

size_t cpu_fast_gram(const struct plan *p, const struct plan_step *s, int threads)
{
    (void)threads;
    int64_t d = size_of(p, s->in[0], 1), e = size_of(p, s->in[s->in[1] >= 0], 1);
    return (size_t)(2 * (ALIGN_UP(d, ROWS_COLS) + ALIGN_UP(e, ROWS_COLS)) * ROWS_BLOCK) *
           sizeof(float);
}

size_t cpu_fast_eigen(const struct plan *p, const struct plan_step *s, int threads)
{
    int64_t n = size_of(p, s->in[0], 0);
    size_t all = (size_t)(2 * n * rows_eigen_line(n) + 5 * n);
    return (all + (size_t)threads * rows_eigen_own(n)) * sizeof(double);
}

size_t cpu_fast_lstm(const struct plan *p, const struct plan_step *s, int threads)
{
    (void)threads;
    size_t width = (size_t)p->value[s->out[1]].dim[0];
    return 2 * ALIGN_UP(width, FAST_PANEL) * sizeof(float); /* h of this step and of the next */
}

int cpu_fast_lstm_prepare(struct cpu_step *s, struct arena *a, struct err *e)
{
    int64_t width = s->out[1]->plan->dim[0], up = ALIGN_UP(width, FAST_PANEL);
    const float *w = s->in[1]->data;
    float *out = arena_array(a, (size_t)(up * width), FAST_GATES * sizeof *out, BASE_LINE, e);
    if (!out) return -1;
    for (int64_t r = 0; r < FAST_GATES * width; r++) {
        int64_t gate = r / width, c = r % width;
        float *panel = out + c / FAST_PANEL * width * FAST_GATES * FAST_PANEL;
        for (int64_t k = 0; k < width; k++)
            panel[(k * FAST_GATES + gate) * FAST_PANEL + c % FAST_PANEL] = w[r * width + k];
    }
    s->own = out;
    return 0;
}

size_t cpu_fast_density(const struct plan *p, const struct plan_step *s, int threads)
{
    return rows_density_layout(size_of(p, s->in[0], 0), size_of(p, s->in[0], 1), threads).bytes;
}

size_t cpu_fast_near(const struct plan *p, const struct plan_step *s, int threads)
{
    return (size_t)threads * rows_near_layout(size_of(p, s->in[0], 1), s->args.top).bytes;
}

size_t cpu_fast_apart(const struct plan *p, const struct plan_step *s, int threads)
{
    return rows_apart_layout(size_of(p, s->in[0], 0), size_of(p, s->in[0], 1), s->args.top, threads)
        .bytes;
}

size_t cpu_fast_estep(const struct plan *p, const struct plan_step *s, int threads)
{
    const struct plan_value *scale = &p->value[s->in[1]];
    return rows_mix_layout(size_of(p, s->in[0], 1), size_of(p, s->in[2], 0),
                           scale->rank == 3 ? scale->dim[0] : 0, threads)
        .bytes;
}

double (*cpu_fast_peak(enum cpu_level level))(int64_t turns)
{
#if WITH_AMX
    if (level >= CPU_AMX) return cpu_peak_i8_amx;
#endif
#if defined __x86_64__
    if (level >= CPU_AVX512) return cpu_peak_i8_avx512;
    if (level >= CPU_AVX2) return cpu_peak_i8_avx2;
#endif
    return level >= CPU_BASE ? cpu_peak_i8_base : NULL;
}
