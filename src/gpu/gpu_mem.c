#include "gpu/gpu_mem.h"
#include "core/planmem.h"

static void place_weights_and_state(const struct plan *p, struct gpu_layout *l)
{
    for (int i = 0; i < p->n_values; i++) {
        const struct plan_value *v = &p->value[i];
        if (v->life == PLAN_WEIGHT) {
            l->offset[i] = l->bytes.weights;
            l->bytes.weights += gpu_pack_bytes(v, l->form[i]);
        }
        if (v->life == PLAN_STATE) {
            l->offset[i] = l->bytes.state;
            l->bytes.state += ALIGN_UP(v->bytes, GPU_ALIGN);
        }
    }
}

static void place_doors(const struct plan *p, enum plan_life life, struct gpu_layout *l)
{
    for (int i = 0; i < p->n_values; i++) {
        if (p->value[i].life != life) continue;
        l->offset[i] = l->io_bytes;
        l->io_bytes += ALIGN_UP(p->value[i].bytes, GPU_ALIGN);
    }
}

/* Lifetimes are counted in groups, those for few rows where there are such, which are the larger
 * ones: so nothing a group writes lies over what it reads. */
static int place_step_values(struct arena *a, const struct plan *p, struct gpu_layout *l,
                             struct err *e)
{
    size_t values = 0;
    int *group_of = ARENA_NEW(a, int, (size_t)p->n_steps, e);
    if (!group_of) return -1;
    struct planmem_item *item = ARENA_NEW(a, struct planmem_item, (size_t)p->n_values, e);
    if (!item) return -1;
    for (int g = l->n_groups; g-- > 0;) { /* a tape's groups for few rows come first */
        for (int i = 0; i < l->group[g].n; i++) group_of[l->group[g].from + i] = g;
    }
    for (int i = 0; i < p->n_values; i++) {
        const struct plan_value *v = &p->value[i];
        if (v->life != PLAN_STEP || v->first < 0) continue;
        item[i] = (struct planmem_item){
            .bytes = v->bytes, .first = group_of[v->first], .last = group_of[v->last]};
    }
    TRY(planmem_place(a, item, p->n_values, GPU_ALIGN, &values, e));
    for (int i = 0; i < p->n_values; i++) {
        if (p->value[i].life == PLAN_STEP) l->offset[i] = l->io_bytes + item[i].offset;
    }
    l->bytes.step = l->io_bytes + values;
    return 0;
}

static struct gpu_way add_way(const struct gpu_chip *chip, const struct plan *p, int tape, bool few,
                              struct gpu_layout *l)
{
    struct gpu_way way = {l->n_groups, l->n_groups};
    int to = p->tape[tape].to;
    for (int i = p->tape[tape].from, n; i < to; i += n) {
        n = few ? gpu_launch_group(p, i, to) : 1;
        assert(n >= 1 && i + n <= to);
        l->group[l->n_groups++] = (struct gpu_group){i, n, few};
        l->bytes.scratch = MAX(l->bytes.scratch, gpu_launch_scratch(chip, p, i, n, few));
    }
    way.to = l->n_groups;
    return way;
}

/* The most rows of values of a tape that have a live count; -1: none has. */
static int64_t most_live(const struct plan *p, int tape)
{
    int64_t most = -1;
    for (int i = p->tape[tape].from; i < p->tape[tape].to; i++) {
        for (int k = 0; k < OP_INPUTS + OP_OUTPUTS; k++) {
            int v = k < OP_INPUTS ? p->step[i].in[k] : p->step[i].out[k - OP_INPUTS];
            if (v >= 0 && p->value[v].live >= 0) most = MAX(most, p->value[v].dim[0]);
        }
    }
    return most;
}

static void find_groups(const struct gpu_chip *chip, const struct plan *p, struct gpu_layout *l)
{
    for (int t = 0; t < p->n_tapes; t++) {
        int64_t most = most_live(p, t);
        if (most >= 0) l->few[t] = add_way(chip, p, t, true, l);
        if (most < 0 || most > GPU_LAUNCH_FEW) l->all[t] = add_way(chip, p, t, false, l);
    }
    l->bytes.scratch += GPU_LAUNCH_COUNTS;
}

int gpu_mem_layout(struct arena *a, const struct gpu_chip *chip, const struct plan *p,
                   struct gpu_layout *out, struct err *e)
{
    *out = (struct gpu_layout){0};
    TRY(gpu_launch_check(chip, p, e));
    out->form = ARENA_NEW(a, enum gpu_form, (size_t)p->n_values, e);
    if (!out->form) return -1;
    out->offset = ARENA_NEW(a, size_t, (size_t)p->n_values, e);
    if (!out->offset) return -1;
    out->group = ARENA_NEW(a, struct gpu_group, 2 * (size_t)p->n_steps, e);
    if (!out->group) return -1;
    for (int i = 0; i < p->n_values; i++) {
        if (p->value[i].life == PLAN_WEIGHT) TRY(gpu_pack_form(p, i, &out->form[i], e));
    }
    find_groups(chip, p, out);
    place_weights_and_state(p, out);
    place_doors(p, PLAN_INPUT, out);
    place_doors(p, PLAN_OUTPUT, out);

    struct arena_mark mark = arena_here(a);
    TRY(place_step_values(a, p, out, e));
    arena_rewind(a, mark);
    out->bytes.weights = ALIGN_UP(out->bytes.weights, GPU_PAGE);
    out->bytes.state = ALIGN_UP(out->bytes.state, GPU_PAGE);
    out->bytes.step = ALIGN_UP(out->bytes.step, GPU_PAGE);
    out->bytes.scratch = ALIGN_UP(out->bytes.scratch, GPU_PAGE);
    return 0;
}
