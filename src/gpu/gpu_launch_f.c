/* From the steps over pairs of rows to launches. */
#include "gpu/gpu_launch_f.h"

#include "gpu/k_pair.h"

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

static const struct plan_value *rows_of(const struct plan *p, const struct plan_step *step)
{
    return &p->value[step->in[0]];
}

/* ---- near ---- */

size_t gpu_launch_f_near_scratch(const struct gpu_chip *chip, const struct plan *p,
                                 const struct plan_step *step, bool few)
{
    (void)chip, (void)few;
    return (size_t)rows_of(p, step)->dim[0] * (size_t)step->args.top * sizeof(double);
}

int gpu_launch_f_near(const struct gpu_chip *chip, const struct gpu_step *s, struct gpu_launch *out,
                      struct err *e)
{
    (void)chip, (void)e;
    const struct plan_value *x = s->in[0]->plan;
    struct pair_near a = {.x = gpu_launch_in(s, 0),
                          .index = gpu_launch_out(s, 0),
                          .d2 = gpu_launch_out(s, 1),
                          .exact = gpu_launch_at(s->scratch),
                          .n = (int)x->dim[0],
                          .d = (int)x->dim[1],
                          .top = s->step->args.top};
    GPU_LAUNCH_SET(out, "pair_near", up(a.n, PAIR_ROWS), 1, 1, PAIR_BLOCK, a);
    return 1;
}

/* ---- density ---- */

struct density_parts {
    size_t parent, list, touch, name, head, all;
};

static struct density_parts density_parts(int64_t n)
{
    struct density_parts l = {0};
    l.parent = gpu_launch_part(&l.all, n, sizeof(int));
    l.list = gpu_launch_part(&l.all, n, sizeof(int));
    l.touch = gpu_launch_part(&l.all, n, sizeof(int));
    l.name = gpu_launch_part(&l.all, n, sizeof(int));
    l.head = gpu_launch_part(&l.all, 2, sizeof(int));
    return l;
}

size_t gpu_launch_f_density_scratch(const struct gpu_chip *chip, const struct plan *p,
                                    const struct plan_step *step, bool few)
{
    (void)chip, (void)few;
    return density_parts(rows_of(p, step)->dim[0]).all;
}

/* Pairs of tiles are one dimension of a grid. */
int gpu_launch_f_density_check(const struct gpu_chip *chip, const struct plan *p,
                               const struct plan_step *step, struct err *e)
{
    (void)chip;
    int64_t n = rows_of(p, step)->dim[0], most = (int64_t)65535 * PAIR_ROWS;
    if (n <= most) return 0;
    return err_set(e, E_DEVICE, "step %s: %lld rows, at most %lld on a GPU", step->name,
                   (long long)n, (long long)most);
}

int gpu_launch_f_density(const struct gpu_chip *chip, const struct gpu_step *s,
                         struct gpu_launch *out, struct err *e)
{
    (void)e;
    const struct plan_value *x = s->in[0]->plan;
    struct density_parts at = density_parts(x->dim[0]);
    int64_t tiles = up(x->dim[0], PAIR_ROWS), pairs = tiles * (tiles + 1) / 2;
    int64_t lines = up(x->dim[0], PAIR_BLOCK);
    struct pair_density a = {.x = gpu_launch_in(s, 0),
                             .eps = gpu_launch_in(s, 1),
                             .label = gpu_launch_out(s, 0),
                             .count = gpu_launch_out(s, 1),
                             .parent = gpu_launch_at(s->scratch + at.parent),
                             .list = gpu_launch_at(s->scratch + at.list),
                             .touch = gpu_launch_at(s->scratch + at.touch),
                             .name = gpu_launch_at(s->scratch + at.name),
                             .head = gpu_launch_at(s->scratch + at.head),
                             .n = (int)x->dim[0],
                             .d = (int)x->dim[1],
                             .top = s->step->args.top,
                             .across = (int)MIN(tiles, 2 * chip->processors)};
    GPU_LAUNCH_SET(&out[0], "density_clear", lines, 1, 1, PAIR_BLOCK, a);
    GPU_LAUNCH_SET(&out[1], "density_count", pairs, 1, 1, PAIR_BLOCK, a);
    GPU_LAUNCH_SET(&out[2], "density_list", lines, 1, 1, PAIR_BLOCK, a);
    GPU_LAUNCH_SET(&out[3], "density_join", pairs, 1, 1, PAIR_BLOCK, a);
    GPU_LAUNCH_SET(&out[4], "density_flat", lines, 1, 1, PAIR_BLOCK, a);
    GPU_LAUNCH_SET(&out[5], "density_touch", tiles, a.across, 1, PAIR_BLOCK, a);
    GPU_LAUNCH_SET(&out[6], "density_number", 1, 1, 1, PAIR_BLOCK, a);
    GPU_LAUNCH_SET(&out[7], "density_label", lines, 1, 1, PAIR_BLOCK, a);
    return 8;
}

/* ---- apart ---- */

struct apart_parts {
    size_t member, begin, all;
};

static struct apart_parts apart_parts(int64_t n, int64_t clusters)
{
    struct apart_parts l = {0};
    l.member = gpu_launch_part(&l.all, n, sizeof(int));
    l.begin = gpu_launch_part(&l.all, clusters + 1, sizeof(int));
    return l;
}

size_t gpu_launch_f_apart_scratch(const struct gpu_chip *chip, const struct plan *p,
                                  const struct plan_step *step, bool few)
{
    (void)chip, (void)few;
    return apart_parts(rows_of(p, step)->dim[0], step->args.top).all;
}

int gpu_launch_f_apart(const struct gpu_chip *chip, const struct gpu_step *s,
                       struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    const struct plan_value *x = s->in[0]->plan;
    struct apart_parts at = apart_parts(x->dim[0], s->step->args.top);
    struct pair_apart a = {.x = gpu_launch_in(s, 0),
                           .label = gpu_launch_in(s, 1),
                           .out = gpu_launch_out(s, 0),
                           .member = gpu_launch_at(s->scratch + at.member),
                           .begin = gpu_launch_at(s->scratch + at.begin),
                           .n = (int)x->dim[0],
                           .d = (int)x->dim[1],
                           .clusters = s->step->args.top};
    GPU_LAUNCH_SET(&out[0], "pair_members", a.clusters, 1, 1, PAIR_BLOCK, a);
    GPU_LAUNCH_SET(&out[1], "pair_apart", up(a.n, PAIR_ROWS), 1, 1, PAIR_BLOCK, a);
    return 2;
}

/* ---- diffuse ---- */

int gpu_launch_f_diffuse(const struct gpu_chip *chip, const struct gpu_step *s,
                         struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    const struct plan_value *v = s->in[2]->plan;
    struct pair_diffuse a = {.graph = gpu_launch_in(s, 0),
                             .weight = gpu_launch_in(s, 1),
                             .v = gpu_launch_in(s, 2),
                             .factor = gpu_launch_in(s, 3),
                             .y = gpu_launch_out(s, 0),
                             .n = (int)v->dim[0],
                             .b = (int)v->dim[1]};
    GPU_LAUNCH_SET(out, "pair_diffuse", up((int64_t)a.n * a.b, PAIR_BLOCK), 1, 1, PAIR_BLOCK, a);
    return 1;
}
