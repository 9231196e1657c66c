#include "core/plan.h"
#include "core/planmem.h"
#include <stdio.h>
#include <string.h>

#define MAX_VALUES 4096
#define MAX_STEPS  2048

int plan_open(struct arena *a, struct plan **out, struct err *e)
{
    struct plan *p = ARENA_NEW(a, struct plan, 1, e);
    if (!p) return -1;
    p->arena = a;
    p->value = ARENA_NEW(a, struct plan_value, MAX_VALUES, e);
    if (!p->value) return -1;
    p->step = ARENA_NEW(a, struct plan_step, MAX_STEPS, e);
    if (!p->step) return -1;
    *out = p;
    return 0;
}

size_t plan_scales(const struct plan_value *v)
{
    assert(v->life == PLAN_STATE && v->type == DTYPE_I8 && v->rank > 0);
    return ALIGN_UP((size_t)tensor_count(v->rank, v->dim), BASE_LINE);
}

/* Appends a value of which only life, name, type and shape are known. Returns its number or -1. */
static int add_value(struct plan *p, enum plan_life life, const char *name, enum dtype type,
                     int rank, const int64_t *dim, int live, struct err *e)
{
    assert(!p->finished && rank >= 0 && rank <= TENSOR_RANK);
    if (p->n_values == MAX_VALUES)
        return err_set(e, E_MODEL, "a plan of more than %d values", MAX_VALUES);
    if (live >= 0) {
        assert(live < p->n_values && p->value[live].life == PLAN_INPUT &&
               p->value[live].type == DTYPE_I32);
    }
    struct plan_value *v = &p->value[p->n_values];
    *v = (struct plan_value){.life = life,
                             .type = type,
                             .rank = rank,
                             .live = live,
                             .tape = -1,
                             .first = -1,
                             .last = -1};
    snprintf(v->name, sizeof v->name, "%s", name);
    for (int i = 0; i < rank; i++) v->dim[i] = dim[i];
    int64_t count = tensor_count(rank, dim);
    if (count <= 0 || count > INT64_MAX / 8)
        return err_set(e, E_MODEL, "%s: its shape makes %lld elements", name, (long long)count);
    v->bytes = (size_t)count * tensor_type_bytes(type);
    if (life == PLAN_STATE && type == DTYPE_I8)
        v->bytes = plan_scales(v) + (size_t)(count / dim[rank - 1]) * sizeof(float);
    return p->n_values++;
}

/* What a weight counts as that its parts make: blocks, or parts of several types, are numbers that
 * only f32 holds all of. */
static enum dtype stacked_type(const struct tensor *parts, int n_parts)
{
    enum dtype type = parts[0].type;
    for (int i = 1; i < n_parts; i++) {
        if (parts[i].type != type) return DTYPE_F32;
    }
    return tensor_type_per(type) > 1 ? DTYPE_F32 : type;
}

int plan_weight(struct plan *p, const char *name, const struct tensor *parts, int n_parts,
                bool as_i8, struct err *e)
{
    assert(n_parts >= 1 && n_parts <= PLAN_PARTS);
    enum dtype type = stacked_type(parts, n_parts);
    int64_t dim[TENSOR_RANK];
    memcpy(dim, parts[0].dim, sizeof dim);
    for (int i = 1; i < n_parts; i++) {
        if (parts[i].rank != parts[0].rank ||
            memcmp(parts[i].dim + 1, parts[0].dim + 1, sizeof dim - sizeof dim[0]) != 0) {
            return err_set(e, E_MODEL, "%s: its %d parts differ in width", name, n_parts);
        }
        dim[0] += parts[i].dim[0];
    }
    int v = add_value(p, PLAN_WEIGHT, name, type, parts[0].rank, dim, -1, e);
    if (v < 0) return -1;
    struct plan_value *value = &p->value[v];
    memcpy(value->part, parts, (size_t)n_parts * sizeof *parts);
    value->n_parts = n_parts;
    value->as_i8 = as_i8 || type == DTYPE_I8;
    if (value->as_i8) value->bytes = (size_t)tensor_count(value->rank, dim) + (size_t)dim[0] * 4;
    return v;
}

int plan_state(struct plan *p, const char *name, enum dtype type, int rank, const int64_t *dim,
               struct err *e)
{
    return add_value(p, PLAN_STATE, name, type, rank, dim, -1, e);
}

void plan_sparse(struct plan *p, int value)
{
    assert(p->value[value].life == PLAN_STATE && !p->finished);
    p->value[value].sparse = true;
}

int plan_input(struct plan *p, const char *name, enum dtype type, int rank, const int64_t *dim,
               int live, struct err *e)
{
    return add_value(p, PLAN_INPUT, name, type, rank, dim, live, e);
}

void plan_keep(struct plan *p, int value)
{
    assert(p->value[value].life == PLAN_INPUT && !p->finished);
    p->value[value].kept = true;
}

int plan_output(struct plan *p, const char *name, enum dtype type, int rank, const int64_t *dim,
                int live, struct err *e)
{
    return add_value(p, PLAN_OUTPUT, name, type, rank, dim, live, e);
}

int plan_temp(struct plan *p, const char *name, enum dtype type, int rank, const int64_t *dim,
              int live, struct err *e)
{
    return add_value(p, PLAN_STEP, name, type, rank, dim, live, e);
}

int plan_begin(struct plan *p, const char *name, struct err *e)
{
    assert(!p->finished);
    if (p->n_tapes == PLAN_TAPES)
        return err_set(e, E_INTERNAL, "a plan of more than %d tapes", PLAN_TAPES);
    struct plan_tape *t = &p->tape[p->n_tapes];
    snprintf(t->name, sizeof t->name, "%s", name);
    t->from = t->to = p->n_steps;
    return p->n_tapes++;
}

/* The tensor a value looks like to a shape rule. */
static const struct tensor *face(const struct plan *p, int value, struct tensor *t)
{
    if (value < 0) return NULL;
    const struct plan_value *v = &p->value[value];
    *t = (struct tensor){.type = v->type, .rank = v->rank};
    memcpy(t->dim, v->dim, sizeof t->dim);
    return t;
}

int plan_add(struct plan *p, enum op op, const char *name, const int *in, int n_in, const int *out,
             int n_out, const struct op_args *args, struct err *e)
{
    const struct op_row *row = op_row(op);
    assert(p->n_tapes > 0 && !p->finished);
    assert(n_in >= row->in_min && n_in <= row->in_max && n_out <= row->out_max && n_out >= 1);
    if (p->n_steps == MAX_STEPS)
        return err_set(e, E_MODEL, "a plan of more than %d steps", MAX_STEPS);

    struct plan_step *s = &p->step[p->n_steps];
    *s = (struct plan_step){.op = op, .args = args ? *args : (struct op_args){0}};
    snprintf(s->name, sizeof s->name, "%s", name);
    struct tensor faces[OP_INPUTS + OP_OUTPUTS];
    struct op_io io = {.args = &s->args};
    for (int i = 0; i < OP_INPUTS; i++) {
        s->in[i] = i < n_in ? in[i] : -1;
        assert(s->in[i] < p->n_values &&
               (s->in[i] >= 0 || i >= row->in_min || row->in_min < row->in_max));
        io.in[i] = face(p, s->in[i], &faces[i]);
    }
    for (int i = 0; i < OP_OUTPUTS; i++) {
        s->out[i] = i < n_out ? out[i] : -1;
        assert(s->out[i] < p->n_values);
        io.out[i] = face(p, s->out[i], &faces[OP_INPUTS + i]);
    }
    if (op_check(op, &io, e)) return err_note(e, "step %s (%s)", name, row->name);
    p->n_steps++;
    p->tape[p->n_tapes - 1].to = p->n_steps;
    return 0;
}

/* Notes that a step of a tape uses a value. */
static int touch(struct plan *p, int value, int tape, int step, bool writes, struct err *e)
{
    if (value < 0) return 0;
    struct plan_value *v = &p->value[value];
    if (v->life != PLAN_STEP) return 0;
    if (v->first < 0) {
        if (!writes)
            return err_set(e, E_INTERNAL, "step %s reads %s, which nothing has written",
                           p->step[step].name, v->name);
        v->first = step;
        v->tape = tape;
    }
    if (v->tape != tape)
        return err_set(e, E_INTERNAL, "%s is used by two tapes, but lives only within one",
                       v->name);
    v->last = step;
    return 0;
}

/* Inputs and outputs keep their place for the life of the plan; step values of one tape may share
 * theirs with those of another. */
static int place_slab(struct plan *p, struct err *e)
{
    struct arena_mark mark = arena_here(p->arena);
    struct planmem_item *item = ARENA_NEW(p->arena, struct planmem_item, (size_t)p->n_values, e);
    if (!item) return -1;
    for (int i = 0; i < p->n_values; i++) {
        const struct plan_value *v = &p->value[i];
        bool in_slab = v->life == PLAN_INPUT || v->life == PLAN_OUTPUT ||
                       (v->life == PLAN_STEP && v->first >= 0);
        item[i].bytes = in_slab ? v->bytes : 0;
        item[i].first = v->life == PLAN_STEP ? v->first : 0;
        item[i].last = v->life == PLAN_STEP ? v->last : p->n_steps;
    }
    TRY(planmem_place(p->arena, item, p->n_values, BASE_LINE, &p->step_bytes, e));
    for (int i = 0; i < p->n_values; i++) p->value[i].offset = item[i].offset;
    arena_rewind(p->arena, mark);
    return 0;
}

static void place_states(struct plan *p, bool sparse)
{
    for (int i = 0; i < p->n_values; i++) {
        struct plan_value *v = &p->value[i];
        if (v->life != PLAN_STATE || v->sparse != sparse) continue;
        v->offset = p->state_bytes;
        p->state_bytes += ALIGN_UP(v->bytes, BASE_LINE);
    }
}

int plan_finish(struct plan *p, struct err *e)
{
    assert(!p->finished);
    for (int t = 0; t < p->n_tapes; t++) {
        for (int s = p->tape[t].from; s < p->tape[t].to; s++) {
            for (int i = 0; i < OP_INPUTS; i++) TRY(touch(p, p->step[s].in[i], t, s, false, e));
            for (int i = 0; i < OP_OUTPUTS; i++) TRY(touch(p, p->step[s].out[i], t, s, true, e));
        }
    }
    TRY(place_slab(p, e));
    for (int i = 0; i < p->n_values; i++)
        if (p->value[i].life == PLAN_WEIGHT) p->weight_bytes += p->value[i].bytes;
    place_states(p, false);
    p->sparse_from = p->state_bytes;
    place_states(p, true);
    p->finished = true;
    return 0;
}

int plan_find(const struct plan *p, const char *value_name)
{
    for (int i = 0; i < p->n_values; i++) {
        if (strcmp(p->value[i].name, value_name) == 0) return i;
    }
    return -1;
}

int plan_find_tape(const struct plan *p, const char *name)
{
    for (int i = 0; i < p->n_tapes; i++) {
        if (strcmp(p->tape[i].name, name) == 0) return i;
    }
    return -1;
}

static void dump_value(const struct plan *p, int i, struct strbuf *out)
{
    static const char *const life[] = {"weight", "state", "input", "output", "step"};
    const struct plan_value *v = &p->value[i];
    strbuf_format(out, "%4d %-6s %-40s %s[", i, life[v->life], v->name,
                  v->as_i8 ? "i8" : tensor_type_name(v->type));
    for (int d = 0; d < v->rank; d++)
        strbuf_format(out, d ? ",%lld" : "%lld", (long long)v->dim[d]);
    strbuf_format(out, "] %zu bytes", v->bytes);
    if (v->life != PLAN_WEIGHT && v->life != PLAN_STEP) strbuf_format(out, " at %zu", v->offset);
    if (v->life == PLAN_STEP && v->first >= 0)
        strbuf_format(out, " at %zu, steps %d to %d", v->offset, v->first, v->last);
    strbuf_text(out, "\n");
}

static void dump_step(const struct plan *p, int i, struct strbuf *out)
{
    const struct plan_step *s = &p->step[i];
    strbuf_format(out, "%4d %-10s %-24s", i, op_row(s->op)->name, s->name);
    for (int k = 0; k < OP_INPUTS; k++) {
        if (s->in[k] >= 0) strbuf_format(out, " %s", p->value[s->in[k]].name);
    }
    strbuf_text(out, " ->");
    for (int k = 0; k < OP_OUTPUTS; k++) {
        if (s->out[k] >= 0) strbuf_format(out, " %s", p->value[s->out[k]].name);
    }
    strbuf_text(out, "\n");
}

void plan_dump(const struct plan *p, struct strbuf *out)
{
    for (int i = 0; i < p->n_values; i++) dump_value(p, i, out);
    for (int t = 0; t < p->n_tapes; t++) {
        strbuf_format(out, "tape %s\n", p->tape[t].name);
        for (int s = p->tape[t].from; s < p->tape[t].to; s++) dump_step(p, s, out);
    }
}
