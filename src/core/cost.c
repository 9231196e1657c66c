#include "core/cost.h"

struct look {
    const struct plan *p;
    const struct plan_step *s;
    const void *(*data)(const void *ctx, int value);
    const void *ctx;
};

static const struct plan_value *value_of(const struct look *l, int in)
{
    return &l->p->value[l->s->in[in]];
}

/* Elements of input `in` in the rows that count. */
static double elements(const struct look *l, int in)
{
    const struct plan_value *v = value_of(l, in);
    double n = v->live >= 0 ? (double)*(const int32_t *)l->data(l->ctx, v->live)
               : v->rank    ? (double)v->dim[0]
                            : 1;
    for (int i = 1; i < v->rank; i++) n *= (double)v->dim[i];
    return n;
}

static double last_of(const struct look *l, int in)
{
    const struct plan_value *v = value_of(l, in);
    return (double)v->dim[v->rank - 1];
}

/* Positions that the rows attend to, from input `in`, i32 [R]; 0 where another step made it. */
static double past(const struct look *l, int in)
{
    if (value_of(l, in)->life != PLAN_INPUT) return 0;
    const int32_t *position = l->data(l->ctx, l->s->in[in]);
    double n = elements(l, in), sum = 0;
    for (int64_t r = 0; r < (int64_t)n; r++) sum += position[r] + 1;
    return sum;
}

/* Pairs of rows of one sequence, from input `in`, i32 [S,2]; 0 where another step made it. */
static double ranges(const struct look *l, int in)
{
    if (value_of(l, in)->life != PLAN_INPUT) return 0;
    const int32_t *range = l->data(l->ctx, l->s->in[in]);
    double n = elements(l, in) / 2, sum = 0;
    for (int64_t i = 0; i < (int64_t)n; i++) sum += (double)range[2 * i + 1] * range[2 * i + 1];
    return sum;
}

double cost_of(const struct plan *p, const struct plan_step *s,
               const void *(*data)(const void *ctx, int value), const void *ctx)
{
    const struct look l = {p, s, data, ctx};
    switch (s->op) {
    case OP_linear: /* of every element of x with a column of w */
        return 2 * elements(&l, 0) * (double)value_of(&l, 1)->dim[0];
    case OP_conv1d: /* the same at each of `stride` positions, with 3 taps */
        return 6 * elements(&l, 0) * (double)value_of(&l, 1)->dim[0] / s->args.stride;
    case OP_attention: /* qkv is 3C wide: q k and scores v */
        return 4 * elements(&l, 0) / 3 * (double)value_of(&l, 0)->dim[1];
    case OP_attnrange:
        return 4 * ranges(&l, 1) * last_of(&l, 0) / 3;
    case OP_attnself:
        return 4 * past(&l, 1) * last_of(&l, 0) / 3;
    case OP_attncross:
        return 4 * elements(&l, 0) * last_of(&l, 2);
    case OP_eigen: { /* reflections and their product, 8/3 n^3; some 6 n^3 turn the vectors */
        double n = last_of(&l, 0);
        return 26 * n * n * n / 3;
    }
    default:
        return 0;
    }
}
