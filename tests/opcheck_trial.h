/* A kernel of the CPU run on a case of opcheck_cases.h, and results compared. The reference,
 * cpu_ref, is what kernels of the CPU (t_opcheck.c) and of the GPU (t_gpu_ops.c) are held against.
 */
#ifndef TESTS_OPCHECK_TRIAL_H
#define TESTS_OPCHECK_TRIAL_H

#include "cpu/cpu_ref.h"
#include "opcheck_cases.h"

/* The form in which the reference reads the matrix. */
static const enum cpu_form form_of[] = {
    [F32] = CPU_F32, [F16] = CPU_F16, [I8] = CPU_I8, [I8_FILE] = CPU_I8};

/* ---- running a kernel on it ----------------------------------------------------------------- */

struct trial { /* one kernel on one case, in one form of the matrix, with a team of one size */
    struct stage *stage;
    const struct cpu_kernel *kernel;
    enum cpu_form form;
    int threads;
    struct cpu_value value[MOST_VALUES];
    struct buffer weight[MOST_VALUES][3]; /* data, scale, comp */
    struct buffer scratch;
    struct cpu_step step;
    _Atomic int failed;
    int repeats;
    double seconds; /* best of repeats */
};

static void take_weight(struct trial *t, int v, bool matrix)
{
    const struct plan_value *p = &t->stage->plan->value[v];
    struct cpu_value *to = &t->value[v];
    enum cpu_form form = matrix ? t->form : CPU_F32;
    to->form = form;
    to->rows = p->dim[0];
    if (form == CPU_OWN) return;
    struct stage *s = t->stage;
    if (cpu_pack_weight(s->arena, p, form, 1, to, &s->e)) fail_msg("%s: %s", s->seed, s->e.text);
    size_t n = (size_t)p->dim[0], k = (size_t)cpu_value_k(p);
    size_t up = ALIGN_UP(n, (size_t)CPU_PANEL);
    size_t bytes = form == CPU_F32 ? 4 * n * k : form == CPU_F16 ? 2 * n * k : up * ALIGN_UP(k, 4);
    t->weight[v][0] = buffer_copy(to->data, bytes);
    to->data = t->weight[v][0].data;
    if (form != CPU_I8) return;
    t->weight[v][1] = buffer_copy(to->scale, up * 4);
    t->weight[v][2] = buffer_copy(to->comp, up * 4);
    to->scale = (const float *)t->weight[v][1].data;
    to->comp = (const int32_t *)t->weight[v][2].data;
}

static void trial_open(struct trial *t, struct stage *s, const struct cpu_kernel *k,
                       enum cpu_form form, int threads)
{
    *t = (struct trial){
        .stage = s, .kernel = k, .form = form, .threads = threads, .repeats = 1, .failed = 0};
    const struct plan_step *ps = &s->plan->step[0];
    int matrix = cpu_pack_matrix_input(ps->op);
    for (int v = 0; v < s->plan->n_values; v++) {
        const struct plan_value *p = &s->plan->value[v];
        t->value[v] = (struct cpu_value){.plan = p, .data = s->value[v].data.data};
        t->value[v].rows = p->rank ? p->dim[0] : 1;
        if (p->live >= 0 && s->one->live >= 0) t->value[v].rows = s->one->live;
        if (p->life == PLAN_WEIGHT)
            take_weight(t, v, matrix >= 0 && v == ps->in[matrix]);
        else if (s->value[v].data.bytes)
            memcpy(s->value[v].data.data, s->value[v].pristine.data, p->bytes);
    }
    t->step = (struct cpu_step){.plan = s->plan, .step = ps, .threads = threads};
    for (int i = 0; i < OP_INPUTS; i++) t->step.in[i] = ps->in[i] < 0 ? NULL : &t->value[ps->in[i]];
    for (int i = 0; i < OP_OUTPUTS; i++)
        t->step.out[i] = ps->out[i] < 0 ? NULL : &t->value[ps->out[i]];
    t->scratch = buffer_make(k->scratch ? k->scratch(s->plan, ps, threads) : 0);
    t->step.scratch = t->scratch.data;
    if (k->prepare && k->prepare(&t->step, s->arena, &s->e))
        fail_msg("%s: %s: %s", s->seed, k->name, s->e.text);
}

static void trial_member(void *ctx, struct thread_team *team, int id)
{
    struct trial *t = ctx;
    for (int i = 0; i < t->repeats; i++) {
        double start = thread_seconds();
        if (t->kernel->run(&t->step, team, id)) t->failed = 1;
        thread_barrier(team);
        double spent = thread_seconds() - start;
        if (id == 0 && (i == 0 || spent < t->seconds)) t->seconds = spent;
    }
}

/* Everything but the outputs must be as before, guards included. */
static bool trial_close(struct trial *t, char *why, size_t cap)
{
    struct stage *s = t->stage;
    bool ok = !t->failed;
    if (!ok) snprintf(why, cap, "the kernel reported a failure");
    if (t->kernel->release) t->kernel->release(&t->step);
    for (int v = 0; v < s->plan->n_values; v++) {
        for (int i = 0; i < 3; i++) {
            if (buffer_free(&t->weight[v][i])) continue;
            snprintf(why, cap, "wrote beside the weight %s", s->plan->value[v].name);
            ok = false;
        }
        enum plan_life life = s->plan->value[v].life;
        struct value *value = &s->value[v];
        if (life == PLAN_INPUT && value->data.bytes &&
            memcmp(value->data.data, value->pristine.data, value->data.bytes) != 0) {
            snprintf(why, cap, "changed its input %s", s->plan->value[v].name);
            ok = false;
        }
        if (value->data.base && !buffer_whole(&value->data)) {
            snprintf(why, cap, "wrote beside %s", s->plan->value[v].name);
            ok = false;
        }
    }
    if (buffer_free(&t->scratch)) return ok;
    snprintf(why, cap, "wrote beside its scratch");
    return false;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static double tolerance(enum op op, enum kind kind)
{
    const struct op_row *row = op_row(op);
    return (double)(kind == F32 ? row->tol_f32 : kind == F16 ? row->tol_f16 : row->tol_i8);
}

/* What a kernel of tolerance `most` may be off: of estep more where |z|^2 is large (op.def). want:
 * its outputs. */
static double allowed(const struct stage *s, double most, const struct buffer *want)
{
    double likelihood;
    if (s->one->op != OP_estep) return most;
    memcpy(&likelihood, want[1].data, sizeof likelihood);
    return most - 2 * likelihood / (double)s->one->d[0] * 0x1p-22;
}

static double element(const struct plan_value *p, const char *data, size_t i)
{
    uint16_t h;
    float x;
    double wide;
    if (p->type == DTYPE_F64) {
        memcpy(&wide, data + 8 * i, 8);
        return wide;
    }
    memcpy(&x, data + 4 * i, p->type == DTYPE_F16 ? 0 : 4);
    memcpy(&h, data + 2 * i, 2);
    return (double)(p->type == DTYPE_F16 ? tensor_f16_to_f32(h) : x);
}

static bool same_value(struct stage *s, int v, const struct buffer *want, double most,
                       double *worst, char *why, size_t cap)
{
    const struct plan_value *p = &s->plan->value[v];
    const char *got = s->value[v].data.data;
    size_t live = s->value[v].live_bytes, size = tensor_type_bytes(p->type);
    for (size_t i = 0; i < p->bytes / size; i++) {
        bool exact = p->type == DTYPE_I32 || p->type == DTYPE_I8 || i * size >= live;
        if (memcmp(got + i * size, want->data + i * size, size) == 0) continue;
        if (exact) {
            int32_t have = 0, expected = 0;
            memcpy(&have, got + i * size, MIN(size, sizeof have));
            memcpy(&expected, want->data + i * size, MIN(size, sizeof have));
            snprintf(why, cap, "%s[%zu]: %s (bits %d, expected %d)", p->name, i,
                     i * size >= live ? "a row beyond the live ones was written" : "differs", have,
                     expected);
            return false;
        }
        double g = element(p, got, i), w = element(p, want->data, i);
        double off = fabs(g - w) / (1 + fabs(w));
        if (off <= most) {
            *worst = MAX(*worst, off);
            continue;
        }
        snprintf(why, cap, "%s[%zu] is %.9g, expected %.9g", p->name, i, g, w);
        return false;
    }
    return true;
}

static void print_case(const struct one *c, char *text, size_t cap)
{
    static const char *const kinds[] = {"f32", "f16", "i8", "i8 file"};
    struct strbuf b;
    strbuf_init(&b, text, cap);
    strbuf_format(&b, "%s %s [", op_row(c->op)->name, kinds[c->kind]);
    for (int i = 0; i < 5; i++) strbuf_format(&b, i ? " %lld" : "%lld", (long long)c->d[i]);
    strbuf_format(&b, "] live %d%s%s", c->live, c->bare ? " bare" : "",
                  c->largest ? " largest" : "");
}

/* Moves u to where a little more or less of it gives the same token, so that rounding cannot
 * decide: the reference must agree with itself. */
static void steady_chance(struct stage *s)
{
    const struct cpu_kernel ref = {OP_pick,         "ref", CPU_REF, 0,           NULL,
                                   cpu_ref_scratch, NULL,  NULL,    cpu_ref_pick};
    float *chance = data_of(s, 3);
    const struct value *v = &s->value[s->plan->step[0].in[3]];
    for (int64_t g = 0; g < rows_of(s); g++) {
        float *u = (float *)v->pristine.data + 2 * g + 1;
        for (uint64_t attempt = 0;; attempt++) {
            assert_true(attempt < 50);
            float at = tensor_hash(s->seed, (uint64_t)g * 64 + attempt, 0.49f) + 0.5f;
            int32_t token[3];
            for (int i = 0; i < 3; i++) {
                struct trial t;
                char why[200];
                *u = at + (float)(i - 1) * 1e-4f;
                trial_open(&t, s, &ref, CPU_F32, 1);
                thread_run(1, trial_member, &t);
                token[i] = ((int32_t *)t.step.out[2]->data)[g];
                assert_true(trial_close(&t, why, sizeof why));
            }
            *u = at;
            if (token[0] == token[1] && token[1] == token[2]) break;
        }
    }
    memcpy(chance, v->pristine.data, v->pristine.bytes);
}

/* What the reference computes from a matrix in that form, a copy of each output and state. */
static void expect(struct stage *s, enum cpu_form form, struct buffer *want)
{
    static int (*const ref[OP_COUNT])(const struct cpu_step *, struct thread_team *, int) = {
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) cpu_ref_##name,
#include "core/op.def"
#undef OP
    };
    enum op op = s->one->op;
    const struct cpu_kernel k = {op,   "ref", CPU_REF, CPU_PLAIN, NULL, cpu_ref_scratch,
                                 NULL, NULL,  ref[op]};
    struct trial t;
    char why[200];
    if (op == OP_pick) steady_chance(s);
    trial_open(&t, s, &k, form, 1);
    thread_run(1, trial_member, &t);
    for (int i = 0; i < OP_OUTPUTS; i++) {
        int v = s->plan->step[0].out[i];
        if (v >= 0) want[i] = buffer_copy(s->value[v].data.data, s->value[v].data.bytes);
    }
    if (!trial_close(&t, why, sizeof why)) fail_msg("%s: the reference: %s", s->seed, why);
}

#endif
