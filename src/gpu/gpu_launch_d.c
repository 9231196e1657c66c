/* From the steps of k-means to launches. */
#include "gpu/gpu_launch_d.h"

#include "gpu/k_means.h"

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

/* Starts that run side by side are a dimension of a grid. */
int gpu_launch_d_sets_check(const struct gpu_chip *chip, const struct plan *p,
                            const struct plan_step *step, struct err *e)
{
    (void)chip;
    int64_t s = p->value[step->in[1]].dim[0], most = 65535;
    if (s <= most) return 0;
    return err_set(e, E_DEVICE, "step %s: %lld starts side by side, at most %lld on a GPU",
                   step->name, (long long)s, (long long)most);
}

/* ---- lloyd ---- */

struct lloyd_parts {
    size_t list, was, head, all;
};

static struct lloyd_parts lloyd_parts(const struct plan *p, const struct plan_step *step)
{
    struct lloyd_parts l = {0};
    int64_t n = p->value[step->in[0]].dim[0], s = p->value[step->in[1]].dim[0];
    l.list = gpu_launch_part(&l.all, s * n, sizeof(int));
    l.was = gpu_launch_part(&l.all, s * n, sizeof(int));
    l.head = gpu_launch_part(&l.all, 2 * s, sizeof(int));
    return l;
}

size_t gpu_launch_d_lloyd_scratch(const struct gpu_chip *chip, const struct plan *p,
                                  const struct plan_step *step, bool few)
{
    (void)chip, (void)few;
    return lloyd_parts(p, step).all;
}

int gpu_launch_d_lloyd(const struct gpu_chip *chip, const struct gpu_step *s,
                       struct gpu_launch *out, struct err *e)
{
    (void)e;
    const struct plan_value *centre = s->in[1]->plan;
    struct lloyd_parts at = lloyd_parts(s->plan, s->step);
    int64_t sets = centre->dim[0], k = centre->dim[1], d = centre->dim[2];
    int64_t n = s->in[0]->plan->dim[0];
    struct means_lloyd a = {.x = gpu_launch_in(s, 0),
                            .centre = gpu_launch_in(s, 1),
                            .move = gpu_launch_in(s, 2),
                            .sum = gpu_launch_out(s, 0),
                            .count = gpu_launch_out(s, 1),
                            .label = gpu_launch_out(s, 2),
                            .bound = gpu_launch_out(s, 3),
                            .list = gpu_launch_at(s->scratch + at.list),
                            .was = gpu_launch_at(s->scratch + at.was),
                            .head = gpu_launch_at(s->scratch + at.head),
                            .n = (int)n,
                            .d = (int)d,
                            .k = (int)k};
    while ((int64_t)1 << a.bits < n + 1) a.bits++;
    int64_t cells = up(MAX(k * d, k + 2), MEANS_THREADS);
    GPU_LAUNCH_SET(&out[0], "means_clear", cells, sets, 1, MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[1], "means_bound", up(n, MEANS_THREADS), sets, 1, MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[2], "means_assign", up(n, MEANS_TILE), sets, 1, MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[3], "means_move", MIN(up(n, MEANS_WARPS), 8 * chip->processors), sets, 1,
                   MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[4], "means_sum", cells, sets, 1, MEANS_THREADS, a);
    return 5;
}

/* ---- seed ---- */

struct seed_parts {
    size_t mass, drawn, tried, all;
    int64_t chunks, tiles;
};

static struct seed_parts seed_parts(const struct plan *p, const struct plan_step *step)
{
    const struct plan_value *draw = &p->value[step->in[1]];
    int64_t n = p->value[step->in[0]].dim[0], s = draw->dim[0], c = draw->dim[1];
    struct seed_parts l = {.chunks = up(n, MEANS_CHUNK), .tiles = up(n, MEANS_TILE)};
    l.mass = gpu_launch_part(&l.all, s * l.chunks, sizeof(double));
    l.drawn = gpu_launch_part(&l.all, s * c, sizeof(int));
    l.tried = gpu_launch_part(&l.all, l.tiles * s * c, sizeof(double));
    return l;
}

size_t gpu_launch_d_seed_scratch(const struct gpu_chip *chip, const struct plan *p,
                                 const struct plan_step *step, bool few)
{
    (void)chip, (void)few;
    return seed_parts(p, step).all;
}

int gpu_launch_d_seed(const struct gpu_chip *chip, const struct gpu_step *s, struct gpu_launch *out,
                      struct err *e)
{
    (void)chip, (void)e;
    const struct plan_value *x = s->in[0]->plan, *draw = s->in[1]->plan;
    struct seed_parts at = seed_parts(s->plan, s->step);
    struct means_seed a = {.x = gpu_launch_in(s, 0),
                           .draw = gpu_launch_in(s, 1),
                           .first = gpu_launch_in(s, 2),
                           .chosen = gpu_launch_out(s, 0),
                           .potential = gpu_launch_out(s, 1),
                           .closest = gpu_launch_out(s, 2),
                           .mass = gpu_launch_at(s->scratch + at.mass),
                           .drawn = gpu_launch_at(s->scratch + at.drawn),
                           .tried = gpu_launch_at(s->scratch + at.tried),
                           .n = (int)x->dim[0],
                           .d = (int)x->dim[1],
                           .starts = (int)draw->dim[0],
                           .tries = (int)draw->dim[1],
                           .chunks = (int)at.chunks,
                           .tiles = (int)at.tiles};
    GPU_LAUNCH_SET(&out[0], "means_mass", a.chunks, a.starts, 1, MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[1], "means_draw", a.starts, 1, 1, MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[2], "means_try", a.tiles, up((int64_t)a.starts * a.tries, MEANS_TILE), 1,
                   MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[3], "means_choose", a.starts, 1, 1, MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[4], "means_keep", up(a.n, MEANS_WARPS), 1, 1, MEANS_THREADS, a);
    return 5;
}

/* ---- spread ---- */

size_t gpu_launch_d_spread_scratch(const struct gpu_chip *chip, const struct plan *p,
                                   const struct plan_step *step, bool few)
{
    (void)chip, (void)few;
    return ALIGN_UP((size_t)p->value[step->in[0]].dim[0] * sizeof(double), GPU_LAUNCH_LINE);
}

int gpu_launch_d_spread(const struct gpu_chip *chip, const struct gpu_step *s,
                        struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    const struct plan_value *x = s->in[0]->plan;
    struct means_spread a = {.x = gpu_launch_in(s, 0),
                             .centre = gpu_launch_in(s, 1),
                             .label = gpu_launch_in(s, 2),
                             .sums = gpu_launch_out(s, 0),
                             .d2 = gpu_launch_out(s, 1),
                             .away = gpu_launch_at(s->scratch),
                             .n = (int)x->dim[0],
                             .d = (int)x->dim[1],
                             .k = (int)s->in[1]->plan->dim[0]};
    GPU_LAUNCH_SET(&out[0], "means_away", up(a.n, MEANS_WARPS), 1, 1, MEANS_THREADS, a);
    GPU_LAUNCH_SET(&out[1], "means_spread", a.k, 1, 1, MEANS_THREADS, a);
    return 2;
}
