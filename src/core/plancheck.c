#include "core/plancheck.h"

struct check {
    const struct plan *p;
    const struct plan_step *s;
    const void *(*data)(const void *ctx, int value);
    const void *ctx;
    struct err *e;
};

static const struct plan_value *value_of(const struct check *c, int in)
{
    return &c->p->value[c->s->in[in]];
}

/* The numbers in input `in` of the step, or NULL: made by another step, so not the caller's. */
static const int32_t *numbers(const struct check *c, int in)
{
    if (value_of(c, in)->life != PLAN_INPUT) return NULL;
    return c->data(c->ctx, c->s->in[in]);
}

/* Rows of a value that count in this run. */
static int64_t rows_of(const struct check *c, int in)
{
    const struct plan_value *v = value_of(c, in);
    if (v->live >= 0) return *(const int32_t *)c->data(c->ctx, v->live);
    return v->rank ? v->dim[0] : 1;
}

/* n indices, each to be in [least, limit). */
static int in_range(const struct check *c, int in, const int32_t *index, int64_t n, int64_t least,
                    int64_t limit)
{
    for (int64_t i = 0; i < n && index; i++) {
        if (index[i] >= least && index[i] < limit) continue;
        return err_set(c->e, E_INTERNAL, "step %s: %s has %d at %lld, allowed is %lld to %lld",
                       c->s->name, value_of(c, in)->name, index[i], (long long)i, (long long)least,
                       (long long)limit - 1);
    }
    return 0;
}

/* The indices of the rows that count in input 0. */
static int first_rows_in_range(const struct check *c, int in, int64_t limit)
{
    return in_range(c, in, numbers(c, in), MIN(rows_of(c, in), rows_of(c, 0)), 0, limit);
}

static int check_history(const struct check *c)
{
    const struct plan_value *history = value_of(c, 3);
    const int32_t *position = numbers(c, 1), *sequence = numbers(c, 2), *line = numbers(c, 3);
    TRY(first_rows_in_range(c, 1, history->dim[1]));
    TRY(first_rows_in_range(c, 2, history->dim[0]));
    for (int64_t r = 0; position && sequence && line && r < rows_of(c, 0); r++) {
        TRY(in_range(c, 3, line + sequence[r] * history->dim[1], position[r] + 1, 0,
                     history->dim[0]));
    }
    return 0;
}

static int check_rules(const struct check *c)
{
    int64_t v_count = value_of(c, 0)->dim[1];
    const int32_t *rule = numbers(c, 2);
    for (int64_t g = 0; rule && g < rows_of(c, 0); g++, rule += OP_RULES) {
        TRY(in_range(c, 2, rule, 1, 0, 2 * OP_RULE_RAW));
        TRY(in_range(c, 2, rule + 1, 2, -1, v_count + 1));
        TRY(in_range(c, 2, rule + 3, 2, -1, v_count));
        TRY(in_range(c, 2, rule + 5, 3, 0, 1));
    }
    return 0;
}

static int check_list(const struct check *c)
{
    const int64_t *logits = value_of(c, 0)->dim, *list = value_of(c, 1)->dim;
    return in_range(c, 1, numbers(c, 1), rows_of(c, 0) * list[1], -1 - logits[1], logits[1]);
}

/* Ranges of rows: inside of the rows that count, at least `least` of them, no longer than `most`.
 */
static int check_ranges(const struct check *c, int64_t least, int64_t most)
{
    const int32_t *range = numbers(c, 1);
    int64_t rows = rows_of(c, 0);
    for (int64_t i = 0; range && i < rows_of(c, 1); i++, range += 2) {
        TRY(in_range(c, 1, range + 1, 1, least, MIN(rows, most) + 1));
        TRY(in_range(c, 1, range, 1, 0, rows - range[1] + 1));
    }
    return 0;
}

static int check_step(const struct check *c)
{
    switch (c->s->op) {
    case OP_crosskv:
        return first_rows_in_range(c, 1, c->p->value[c->s->out[0]].dim[0]);
    case OP_embed:
        TRY(first_rows_in_range(c, 0, value_of(c, 2)->dim[0]));
        return first_rows_in_range(c, 1, value_of(c, 3)->dim[0]);
    case OP_attnself:
        return check_history(c);
    case OP_attncross:
        return first_rows_in_range(c, 1, value_of(c, 2)->dim[0]);
    case OP_gather:
        return in_range(c, 1, numbers(c, 1), rows_of(c, 1), 0, rows_of(c, 0));
    case OP_pick:
        return check_rules(c);
    case OP_dampen:
        return check_list(c);
    case OP_probe:
        return first_rows_in_range(c, 1, c->s->args.eot);
    case OP_attnrange:
        return check_ranges(c, 0, c->s->in[2] < 0 ? INT32_MAX : (value_of(c, 2)->dim[1] + 1) / 2);
    case OP_pool:
        return check_ranges(c, 1, INT32_MAX);
    default:
        return 0;
    }
}

static int check_live(const struct check *c, int value)
{
    if (value < 0 || c->p->value[value].live < 0) return 0;
    const struct plan_value *v = &c->p->value[value];
    int32_t n = *(const int32_t *)c->data(c->ctx, v->live);
    if (n >= 0 && n <= v->dim[0]) return 0;
    return err_set(c->e, E_INTERNAL, "%s asks for %d rows of %s, which has %lld",
                   c->p->value[v->live].name, n, v->name, (long long)v->dim[0]);
}

int plancheck_run(const struct plan *p, int tape, const void *(*data)(const void *ctx, int value),
                  const void *ctx, struct err *e)
{
    struct check c = {.p = p, .data = data, .ctx = ctx, .e = e};
    for (int i = p->tape[tape].from; i < p->tape[tape].to; i++) {
        c.s = &p->step[i];
        for (int k = 0; k < OP_INPUTS; k++) TRY(check_live(&c, c.s->in[k]));
        for (int k = 0; k < OP_OUTPUTS; k++) TRY(check_live(&c, c.s->out[k]));
    }
    for (int i = p->tape[tape].from; i < p->tape[tape].to; i++) {
        c.s = &p->step[i];
        TRY(check_step(&c));
    }
    return 0;
}
