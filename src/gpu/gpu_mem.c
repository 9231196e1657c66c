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

/* Lifetimes are counted in groups, so that nothing a group writes lies over what it reads. */
static int place_step_values(struct arena *a, const struct plan *p, struct gpu_layout *l,
                             struct err *e)
{
    size_t values = 0;
    int *group_of = ARENA_NEW(a, int, (size_t)p->n_steps, e);
    if (!group_of) return -1;
    struct planmem_item *item = ARENA_NEW(a, struct planmem_item, (size_t)p->n_values, e);
    if (!item) return -1;
    for (int g = 0; g < l->n_groups; g++) {
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

static void find_groups(const struct gpu_chip *chip, const struct plan *p, struct gpu_layout *l)
{
    for (int t = 0; t < p->n_tapes; t++) {
        for (int i = p->tape[t].from; i < p->tape[t].to;) {
            int n = gpu_launch_group(chip, p, i, p->tape[t].to);
            assert(n >= 1 && i + n <= p->tape[t].to);
            l->group[l->n_groups++] = (struct gpu_group){i, n};
            l->bytes.scratch = MAX(l->bytes.scratch, gpu_launch_scratch(chip, p, i, n));
            i += n;
        }
    }
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
    out->group = ARENA_NEW(a, struct gpu_group, (size_t)p->n_steps, e);
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
