/* The tables of ops, and of neighbours that are one launch for few rows, on a GPU. */
#include "gpu/gpu_launch.h"

#include "gpu/gpu_launch_a.h"
#include "gpu/gpu_launch_b.h"
#include "gpu/gpu_launch_c.h"
#include "gpu/gpu_launch_d.h"
#include "gpu/gpu_launch_e.h"
#include "gpu/gpu_launch_f.h"

static const struct {
    gpu_launch_filler *fill;
    gpu_launch_scratcher *scratch; /* NULL: none */
    gpu_launch_checker *check;     /* NULL: every shape that op.c lets through */
} ops[OP_COUNT] = {
    [OP_logmel] = {gpu_launch_b_logmel, gpu_launch_b_logmel_scratch, NULL},
    [OP_melnorm] = {gpu_launch_b_melnorm, NULL, NULL},
    [OP_conv1d] = {gpu_launch_a_conv1d, NULL, NULL},
    [OP_addpos] = {gpu_launch_a_addpos, NULL, NULL},
    [OP_layernorm] = {gpu_launch_a_layernorm, NULL, NULL},
    [OP_linear] = {gpu_launch_a_linear, gpu_launch_a_linear_scratch, gpu_launch_a_linear_check},
    [OP_attention] = {gpu_launch_a_attention, NULL, gpu_launch_a_attention_check},
    [OP_crosskv] = {gpu_launch_b_crosskv, gpu_launch_b_crosskv_scratch, gpu_launch_b_crosskv_check},
    [OP_embed] = {gpu_launch_b_embed, NULL, NULL},
    [OP_attnself] = {gpu_launch_b_attnself, NULL, gpu_launch_b_attnself_check},
    [OP_attncross] = {gpu_launch_b_attncross, gpu_launch_b_attncross_scratch,
                      gpu_launch_b_attncross_check},
    [OP_gather] = {gpu_launch_b_gather, NULL, NULL},
    [OP_dampen] = {gpu_launch_b_dampen, NULL, NULL},
    [OP_pick] = {gpu_launch_b_pick, gpu_launch_b_pick_scratch, NULL},
    [OP_probe] = {gpu_launch_b_probe, NULL, NULL},
    [OP_attnrange] = {gpu_launch_a_attnrange, NULL, gpu_launch_a_attention_check},
    [OP_pool] = {gpu_launch_c_pool, NULL, NULL},
    [OP_nearest] = {gpu_launch_c_nearest, gpu_launch_c_nearest_scratch, NULL},
    [OP_seed] = {gpu_launch_d_seed, gpu_launch_d_seed_scratch, gpu_launch_d_sets_check},
    [OP_lloyd] = {gpu_launch_d_lloyd, gpu_launch_d_lloyd_scratch, gpu_launch_d_sets_check},
    [OP_spread] = {gpu_launch_d_spread, gpu_launch_d_spread_scratch, NULL},
    [OP_gram] = {gpu_launch_e_gram, gpu_launch_e_gram_scratch, NULL},
    [OP_eigen] = {gpu_launch_e_eigen, gpu_launch_e_eigen_scratch, NULL},
    [OP_project] = {gpu_launch_e_project, NULL, NULL},
    [OP_estep] = {gpu_launch_e_estep, gpu_launch_e_estep_scratch, gpu_launch_e_estep_check},
    [OP_density] = {gpu_launch_f_density, gpu_launch_f_density_scratch, gpu_launch_f_density_check},
    [OP_near] = {gpu_launch_f_near, gpu_launch_f_near_scratch, NULL},
    [OP_apart] = {gpu_launch_f_apart, gpu_launch_f_apart_scratch, NULL},
    [OP_diffuse] = {gpu_launch_f_diffuse, NULL, NULL},
};

/* ---- neighbours ---- */

#define MOST_FUSED 4

static const struct {
    int n;
    enum op op[MOST_FUSED];
    int attention; /* which of them, or -1 */
    gpu_launch_filler *fill;
    gpu_launch_scratcher *scratch;
} fused[] = {
    {4,
     {OP_layernorm, OP_linear, OP_attncross, OP_linear},
     2,
     gpu_launch_b_ask_cross_linear,
     gpu_launch_b_ask_cross_linear_scratch},
    {2, {OP_attnself, OP_linear}, 0, gpu_launch_b_self_linear, gpu_launch_b_self_linear_scratch},
    {2, {OP_layernorm, OP_linear}, -1, gpu_launch_a_norm_linear, NULL},
};

/* Whether step i's first output goes to step i + 1's first input and nowhere else. */
static bool hands_on(const struct plan *p, int i)
{
    const struct plan_value *v = &p->value[p->step[i].out[0]];
    return p->step[i + 1].in[0] == p->step[i].out[0] && v->life == PLAN_STEP && v->last == i + 1;
}

/* What kernels that do several steps ask of shapes: few rows, and numbers of a head and of a row in
 * whole vectors of any type. */
static bool suits(const struct plan *p, int step, int attention)
{
    const struct plan_value *x = &p->value[p->step[step].in[0]];
    if (x->rank != 2 || x->live < 0) return false;
    if (attention < 0) return true;
    const struct plan_step *a = &p->step[step + attention], *next = a + 1;
    int heads = a->args.heads;
    int64_t width = p->value[a->out[0]].dim[1], d = width / heads;
    bool ask = attention > 0;
    if (ask && (p->step[step + 1].args.act != OP_ACT_NONE || p->step[step + 1].in[3] >= 0))
        return false;
    return d % 16 == 0 && x->dim[1] % 16 == 0 && next->args.act == OP_ACT_NONE &&
           (size_t)(GPU_LAUNCH_FEW * (heads + 1)) * sizeof(int) <= GPU_LAUNCH_COUNTS;
}

/* The row of `fused` that begins with a step, or -1. */
static int fused_at(const struct plan *p, int step, int to)
{
    for (int f = 0; f < (int)COUNT(fused); f++) {
        bool same = step + fused[f].n <= to;
        for (int i = 0; same && i < fused[f].n; i++) {
            same = p->step[step + i].op == fused[f].op[i];
            same = same && (i + 1 == fused[f].n || hands_on(p, step + i));
        }
        if (same && suits(p, step, fused[f].attention)) return f;
    }
    return -1;
}

int gpu_launch_group(const struct plan *p, int step, int to)
{
    assert(step < to);
    int f = fused_at(p, step, to);
    return f < 0 ? 1 : fused[f].n;
}

size_t gpu_launch_scratch(const struct gpu_chip *chip, const struct plan *p, int step, int n,
                          bool few)
{
    int f = n > 1 ? fused_at(p, step, step + n) : -1;
    const struct plan_step *main = &p->step[step + (n > 1 ? MAX(fused[f].attention, 0) : 0)];
    gpu_launch_scratcher *scratch = n > 1 ? fused[f].scratch : ops[main->op].scratch;
    return scratch ? scratch(chip, p, main, few) : 0;
}

int gpu_launch_fill(const struct gpu_chip *chip, const struct gpu_step *s, int n,
                    struct gpu_launch *out, struct err *e)
{
    int step = (int)(s->step - s->plan->step);
    gpu_launch_filler *fill = ops[s->step->op].fill;
    if (n > 1) fill = fused[fused_at(s->plan, step, step + n)].fill;
    return fill(chip, s, out, e);
}

int gpu_launch_check(const struct gpu_chip *chip, const struct plan *p, struct err *e)
{
    for (int i = 0; i < p->n_steps; i++) {
        gpu_launch_checker *check = ops[p->step[i].op].check;
        if (!ops[p->step[i].op].fill)
            return err_set(e, E_DEVICE, "step %s: %s has no kernel for GPUs", p->step[i].name,
                           op_row(p->step[i].op)->name);
        if (check && check(chip, p, &p->step[i], e)) return -1;
    }
    return 0;
}
