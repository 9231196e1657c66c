#include "jobs/search.h"
#include <string.h>

static int make_plan(struct arena *a, const float *base, int64_t n, const struct search *s,
                     struct plan **out, int value[5], struct err *e)
{
    enum { LIVE, QUERY, GROUP, ROW, PRODUCT };
    struct tensor t = {.type = DTYPE_F32, .rank = 2, .dim = {n, s->width}, .data = base};
    int64_t found[] = {SEARCH_QUERIES, s->top};
    struct plan *p;
    TRY(plan_open(a, &p, e));
    value[LIVE] = plan_input(p, "n_queries", DTYPE_I32, 0, NULL, -1, e);
    if (value[LIVE] < 0) return -1;
    int weight = plan_weight(p, "base", &t, 1, false, e);
    value[QUERY] =
        plan_input(p, "query", DTYPE_F32, 2, (int64_t[]){SEARCH_QUERIES, s->width}, value[LIVE], e);
    value[GROUP] = plan_input(p, "group", DTYPE_I32, 1, &n, -1, e);
    value[ROW] = plan_output(p, "row", DTYPE_I32, 2, found, value[LIVE], e);
    value[PRODUCT] = plan_output(p, "product", DTYPE_F32, 2, found, value[LIVE], e);
    if (weight < 0 || value[QUERY] < 0 || value[GROUP] < 0 || value[ROW] < 0 ||
        value[PRODUCT] < 0 || plan_begin(p, "search", e) < 0)
        return -1;
    struct op_args args = {.top = s->top};
    TRY(plan_add(p, OP_nearest, "nearest", (int[]){value[QUERY], weight, value[GROUP]}, 3,
                 (int[]){value[ROW], value[PRODUCT]}, 2, &args, e));
    *out = p;
    return plan_finish(p, e);
}

int search_measure(struct arena *a, struct engine *engine, int64_t n, int width, int top,
                   struct backend_memory *out, struct err *e)
{
    struct search s = {.width = width, .top = top};
    struct plan *plan;
    int value[5];
    TRY(make_plan(a, NULL, n, &s, &plan, value, e));
    return engine_measure(engine, plan, out, e);
}

int search_open(const struct engine_options *o, const float *base, const int32_t *group, int64_t n,
                int width, int top, struct search *s, struct err *e)
{
    struct plan *plan;
    int value[5];
    struct err why;
    *s = (struct search){.width = width, .top = top};
    TRY(arena_open("search", 0, &s->a, e));
    TRY(make_plan(s->a, base, n, s, &plan, value, e));
    TRY(engine_open(s->a, o, &s->engine, e));
    while (engine_prepare(s->engine, s->a, plan, NULL, NULL, &s->prepared, &why))
        TRY(engine_retreat(s->engine, &why, e));
    s->n_queries = engine_host(s->prepared, value[0]);
    s->query = engine_host(s->prepared, value[1]);
    memcpy(engine_host(s->prepared, value[2]), group, (size_t)n * sizeof *group);
    s->row = engine_host(s->prepared, value[3]);
    s->product = engine_host(s->prepared, value[4]);
    return 0;
}

void search_close(struct search *s)
{
    engine_release(&s->prepared);
    engine_close(&s->engine);
    arena_close(&s->a);
    *s = (struct search){0};
}

int search_run(struct search *s, const float *query, size_t n, int32_t *row, float *product,
               struct err *e)
{
    size_t width = (size_t)s->width, top = (size_t)s->top;
    for (size_t at = 0, now; at < n; at += now) {
        now = MIN(n - at, (size_t)SEARCH_QUERIES);
        memcpy(s->query, query + at * width, now * width * sizeof *query);
        *s->n_queries = (int32_t)now;
        TRY(engine_run(s->prepared, s->tape, e));
        memcpy(row + at * top, s->row, now * top * sizeof *row);
        memcpy(product + at * top, s->product, now * top * sizeof *product);
    }
    return 0;
}
