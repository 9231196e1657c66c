/* From the steps over rows of vectors to launches. */
#include "gpu/gpu_launch_c.h"

#include "gpu/k_rows.h"

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

int gpu_launch_c_pool(const struct gpu_chip *chip, const struct gpu_step *s, struct gpu_launch *out,
                      struct err *e)
{
    (void)chip, (void)e;
    struct rows_pool a = {
        .x = gpu_launch_in(s, 0),
        .range = gpu_launch_in(s, 1),
        .live = gpu_launch_at(s->in[1]->live),
        .y = gpu_launch_out(s, 0),
        .ranges = (int)gpu_launch_rows(s->in[1]->plan, s->few),
        .width = (int)gpu_launch_width(s->in[0]->plan),
        .first = s->step->args.first,
        .unit = s->step->args.unit,
    };
    GPU_LAUNCH_SET(out, "rows_pool", a.ranges, 1, 1, ROWS_POOL_THREADS, a);
    return 1;
}

/* What both launches of nearest take, but for addresses. */
static struct rows_nearest nearest_of(const struct plan *p, const struct plan_step *step, bool few)
{
    const struct plan_value *query = &p->value[step->in[0]];
    int64_t n = p->value[step->in[1]].dim[0];
    return (struct rows_nearest){
        .queries = (int)gpu_launch_rows(query, few),
        .n = (int)n,
        .width = (int)query->dim[1],
        .top = step->args.top,
        .chunks = (int)up(n, ROWS_CHUNK),
        .keep = MIN(step->args.top, ROWS_CHUNK),
    };
}

/* Bytes of one of the two lists, and of the heads. */
static size_t lists_of(const struct rows_nearest *a)
{
    return ALIGN_UP((size_t)a->queries * (size_t)a->chunks * (size_t)a->keep * 4, GPU_LAUNCH_LINE);
}

static size_t heads_of(const struct rows_nearest *a)
{
    return ALIGN_UP((size_t)a->queries * (size_t)a->chunks * 4, GPU_LAUNCH_LINE);
}

size_t gpu_launch_c_nearest_scratch(const struct gpu_chip *chip, const struct plan *p,
                                    const struct plan_step *step, bool few)
{
    (void)chip;
    struct rows_nearest a = nearest_of(p, step, few);
    return 2 * lists_of(&a) + heads_of(&a);
}

int gpu_launch_c_nearest(const struct gpu_chip *chip, const struct gpu_step *s,
                         struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    struct rows_nearest a = nearest_of(s->plan, s->step, s->few);
    a.query = gpu_launch_in(s, 0);
    a.base = gpu_launch_in(s, 1);
    a.group = gpu_launch_in(s, 2);
    a.live = gpu_launch_at(s->in[0]->live);
    a.row = gpu_launch_out(s, 0);
    a.product = gpu_launch_out(s, 1);
    a.part = gpu_launch_at(s->scratch);
    a.part_row = gpu_launch_at(s->scratch + lists_of(&a));
    a.head = gpu_launch_at(s->scratch + 2 * lists_of(&a));
    GPU_LAUNCH_SET(&out[0], "rows_nearest_part", a.chunks, up(a.queries, ROWS_QUERIES), 1,
                   ROWS_CHUNK, a);
    GPU_LAUNCH_SET(&out[1], "rows_nearest_all", a.queries, 1, 1, ROWS_CHUNK, a);
    return 2;
}
