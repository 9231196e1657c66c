/* The table of ops on a GPU. Every step is a group of its own. */
#include "gpu/gpu_launch.h"

#include "gpu/gpu_launch_a.h"
#include "gpu/gpu_launch_b.h"

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
    [OP_linear] = {gpu_launch_a_linear, gpu_launch_a_linear_scratch, NULL},
    [OP_attention] = {gpu_launch_a_attention, NULL, gpu_launch_a_attention_check},
    [OP_crosskv] = {gpu_launch_b_crosskv, gpu_launch_b_crosskv_scratch, gpu_launch_b_crosskv_check},
    [OP_embed] = {gpu_launch_b_embed, NULL, NULL},
    [OP_attnself] = {gpu_launch_b_attnself, NULL, gpu_launch_b_attnself_check},
    [OP_attncross] = {gpu_launch_b_attncross, gpu_launch_b_attncross_scratch,
                      gpu_launch_b_attncross_check},
    [OP_gather] = {gpu_launch_b_gather, NULL, NULL},
    [OP_pick] = {gpu_launch_b_pick, gpu_launch_b_pick_scratch, NULL},
};

int gpu_launch_group(const struct gpu_chip *chip, const struct plan *p, int step, int to)
{
    (void)chip, (void)p;
    assert(step < to);
    return 1;
}

size_t gpu_launch_scratch(const struct gpu_chip *chip, const struct plan *p, int step, int n)
{
    size_t most = 0;
    for (int i = step; i < step + n; i++) {
        gpu_launch_scratcher *scratch = ops[p->step[i].op].scratch;
        size_t bytes = scratch ? scratch(chip, p, &p->step[i]) : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

int gpu_launch_fill(const struct gpu_chip *chip, const struct gpu_step *s, int n,
                    struct gpu_launch *out, struct err *e)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        int made = ops[s[i].step->op].fill(chip, &s[i], out + count, e);
        if (made < 0) return -1;
        count += made;
        assert(count <= GPU_LAUNCHES);
    }
    return count;
}

int gpu_launch_check(const struct gpu_chip *chip, const struct plan *p, struct err *e)
{
    for (int i = 0; i < p->n_steps; i++) {
        gpu_launch_checker *check = ops[p->step[i].op].check;
        if (check && check(chip, p, &p->step[i], e)) return -1;
    }
    return 0;
}
