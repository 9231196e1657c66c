/* Every kernel of the table against the reference: odd shapes, live counts, weight types, 1 to 3
 * threads, guard bands around every buffer. A new kernel row is checked by itself; a new op needs
 * a function that builds its case and rows in the table of cases.
 *
 *     t_opcheck                 the checks
 *     t_opcheck --bench [TEXT]  times kernels and cases whose name holds TEXT; worst error beside
 *
 *   guard | data, live rows first | guard      guards, what is beyond the live rows, outputs and
 *   ff ff   1.0 0.3 ...   ff ff ..  ff ff ff   scratch are ff before a run: NaN as f32, -1 as i32,
 *                                              so that reading them shows in the result */
#include "cpu/cpu_ref.h"
#include "opcheck_cases.h"

enum { MOST_THREADS = 3 };

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

static double tolerance(const struct one *c)
{
    const struct op_row *row = op_row(c->op);
    return (double)(c->kind == F32 ? row->tol_f32 : c->kind == F16 ? row->tol_f16 : row->tol_i8);
}

static float element(const struct plan_value *p, const char *data, size_t i)
{
    uint16_t h;
    float x;
    memcpy(&x, data + 4 * i, p->type == DTYPE_F16 ? 0 : 4);
    memcpy(&h, data + 2 * i, 2);
    return p->type == DTYPE_F16 ? tensor_f16_to_f32(h) : x;
}

static bool same_value(struct stage *s, int v, const struct buffer *want, double *worst, char *why,
                       size_t cap)
{
    const struct plan_value *p = &s->plan->value[v];
    const char *got = s->value[v].data.data;
    size_t live = s->value[v].live_bytes, size = tensor_type_bytes(p->type);
    for (size_t i = 0; i < p->bytes / size; i++) {
        bool exact = p->type == DTYPE_I32 || i * size >= live;
        if (memcmp(got + i * size, want->data + i * size, size) == 0) continue;
        if (exact) {
            int32_t have = 0, expected = 0;
            memcpy(&have, got + i * size, size);
            memcpy(&expected, want->data + i * size, size);
            snprintf(why, cap, "%s[%zu]: %s (bits %d, expected %d)", p->name, i,
                     i * size >= live ? "a row beyond the live ones was written" : "differs", have,
                     expected);
            return false;
        }
        double g = (double)element(p, got, i), w = (double)element(p, want->data, i);
        double off = fabs(g - w) / (1 + fabs(w));
        if (off <= tolerance(s->one)) {
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

/* What the reference computes, a copy of each output and state. */
static void expect(struct stage *s, struct buffer *want)
{
    static int (*const ref[OP_COUNT])(const struct cpu_step *, struct thread_team *, int) = {
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) cpu_ref_##name,
#include "core/op.def"
#undef OP
    };
    static const enum cpu_form forms[] = {
        [F32] = CPU_F32, [F16] = CPU_F16, [I8] = CPU_I8, [I8_FILE] = CPU_I8};
    enum op op = s->one->op;
    const struct cpu_kernel k = {op,   "ref", CPU_REF, CPU_PLAIN, NULL, cpu_ref_scratch,
                                 NULL, NULL,  ref[op]};
    struct trial t;
    char why[200];
    if (op == OP_pick) steady_chance(s);
    trial_open(&t, s, &k, forms[s->one->kind], 1);
    thread_run(1, trial_member, &t);
    for (int i = 0; i < OP_OUTPUTS; i++) {
        int v = s->plan->step[0].out[i];
        if (v >= 0) want[i] = buffer_copy(s->value[v].data.data, s->value[v].data.bytes);
    }
    if (!trial_close(&t, why, sizeof why)) fail_msg("%s: the reference: %s", s->seed, why);
}

/* One kernel, one form, one team. */
static bool check_trial(struct stage *s, const struct cpu_kernel *k, enum cpu_form form,
                        int threads, const struct buffer *want, double *worst, char *why,
                        size_t cap)
{
    struct trial t;
    trial_open(&t, s, k, form, threads);
    thread_run(threads, trial_member, &t);
    if (!trial_close(&t, why, cap)) return false;
    for (int i = 0; i < OP_OUTPUTS; i++) {
        int v = s->plan->step[0].out[i];
        if (v >= 0 && !same_value(s, v, &want[i], worst, why, cap)) return false;
    }
    return true;
}

/* The forms in which this kernel can be tried on this case, as CPU_BITs; 1 where there is no
 * matrix. */
static unsigned trial_forms(const struct stage *s, const struct cpu_kernel *k)
{
    const struct plan_step *ps = &s->plan->step[0];
    if (k->op != s->one->op || k->level > cpu_level_best()) return 0;
    if (k->fits && !k->fits(s->plan, ps)) return 0;
    int matrix = cpu_pack_matrix_input(k->op);
    return matrix < 0 ? 1 : k->forms & cpu_pack_forms(&s->plan->value[ps->in[matrix]]);
}

/* A kernel on a case in every form and team. False with a sentence in why. */
static bool check_kernel(struct stage *s, const struct cpu_kernel *k, const struct buffer *want,
                         double *worst, int *trials, char *why, size_t cap)
{
    unsigned forms = trial_forms(s, k);
    for (int form = 0; form < CPU_FORMS; form++) {
        if (!(forms & CPU_BIT(form))) continue;
        for (int threads = 1; threads <= MOST_THREADS; threads++) {
            char what[200];
            ++*trials;
            if (check_trial(s, k, (enum cpu_form)form, threads, want, worst, what, sizeof what))
                continue;
            char name[160];
            print_case(s->one, name, sizeof name);
            snprintf(why, cap, "%s on %s (seed %s), form %d, %d threads: %s", k->name, name,
                     s->seed, form, threads, what);
            return false;
        }
    }
    return true;
}

static void check_op(enum op op)
{
    size_t n_rows;
    const struct cpu_kernel *rows = cpu_table_rows(&n_rows);
    int trials[64] = {0};
    assert_true(n_rows <= COUNT(trials));
    for (size_t c = 0; c < COUNT(cases); c++) {
        if (cases[c].op != op || cases[c].bench) continue;
        struct stage s;
        struct buffer want[OP_OUTPUTS] = {0};
        char why[600] = "";
        double worst = 0;
        stage_open(&s, &cases[c], (int)c);
        expect(&s, want);
        for (size_t r = 0; r < n_rows && !why[0]; r++)
            check_kernel(&s, &rows[r], want, &worst, &trials[r], why, sizeof why);
        for (int i = 0; i < OP_OUTPUTS; i++) buffer_free(&want[i]);
        stage_close(&s);
        if (why[0]) fail_msg("%s", why);
    }
    for (size_t r = 0; r < n_rows; r++) {
        if (rows[r].op == op && rows[r].level <= cpu_level_best() && trials[r] == 0)
            fail_msg("no case is one for %s", rows[r].name);
    }
}

#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) \
    static void test_##name(void **state)                 \
    {                                                     \
        (void)state;                                      \
        check_op(OP_##name);                              \
    }
#include "core/op.def"
#undef OP

/* ---- the check checked: wrong kernels must be caught ---------------------------------------- */

static int wrong_number(const struct cpu_step *s, struct thread_team *team, int id)
{
    cpu_ref_linear(s, team, id);
    thread_barrier(team);
    if (id == 0) ((float *)s->out[0]->data)[1] *= 1.01f;
    return 0;
}

static int wrong_share(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct thread_team larger = {.n = team->n + 1}; /* the last share is nobody's */
    cpu_ref_linear(s, &larger, id);
    return 0;
}

__attribute__((no_sanitize("address"))) static int wrong_end(const struct cpu_step *s,
                                                             struct thread_team *team, int id)
{
    cpu_ref_linear(s, team, id);
    const struct plan_value *p = s->out[0]->plan;
    if (id == 0) ((float *)s->out[0]->data)[p->bytes / 4] = 0;
    return 0;
}

static int wrong_rows(const struct cpu_step *s, struct thread_team *team, int id)
{
    cpu_ref_linear(s, team, id);
    if (id == 0) ((float *)s->out[0]->data)[s->out[0]->rows * s->out[0]->plan->dim[1]] = 0;
    return 0;
}

static int wrong_input(const struct cpu_step *s, struct thread_team *team, int id)
{
    cpu_ref_linear(s, team, id);
    thread_barrier(team);
    if (id == 0) ((float *)s->in[0]->data)[0] += 1;
    return 0;
}

static int wrong_scratch(const struct cpu_step *s, struct thread_team *team, int id)
{
    cpu_ref_linear(s, team, id);
    thread_barrier(team);
    if (id == 0) ((float *)s->out[0]->data)[0] += *(const float *)s->own;
    return 0;
}

/* Keeps the scratch's address at prepare and reads what it never wrote. */
static int prepare_scratch(struct cpu_step *s, struct arena *a, struct err *e)
{
    (void)a;
    (void)e;
    s->own = (char *)s->scratch + cpu_ref_scratch(s->plan, s->step, s->threads);
    return 0;
}

static size_t more_scratch(const struct plan *p, const struct plan_step *s, int threads)
{
    return cpu_ref_scratch(p, s, threads) + 4;
}

static void test_wrong_kernels(void **state)
{
    (void)state;
    static const struct {
        int (*run)(const struct cpu_step *, struct thread_team *, int);
        const char *says;
    } wrong[] = {{wrong_number, "expected"},           {wrong_share, "expected"},
                 {wrong_end, "wrote beside y"},        {wrong_rows, "beyond the live"},
                 {wrong_input, "changed its input x"}, {wrong_scratch, "expected"}};
    static const struct one one = {.op = OP_linear, {5, 7, 6}, 3, F32};
    for (size_t i = 0; i < COUNT(wrong) + 1; i++) {
        struct cpu_kernel k = {OP_linear, "wrong", CPU_REF,
                               CPU_PLAIN, NULL,    cpu_ref_scratch,
                               NULL,      NULL,    i ? wrong[i - 1].run : cpu_ref_linear};
        if (k.run == wrong_scratch) {
            k.scratch = more_scratch;
            k.prepare = prepare_scratch;
        }
        struct stage s;
        struct buffer want[OP_OUTPUTS] = {0};
        char why[600] = "";
        double worst = 0;
        int trials = 0;
        stage_open(&s, &one, 0);
        expect(&s, want);
        bool ok = check_kernel(&s, &k, want, &worst, &trials, why, sizeof why);
        for (int j = 0; j < OP_OUTPUTS; j++) buffer_free(&want[j]);
        stage_close(&s);
        assert_true(trials > 0);
        if (i == 0 && !ok) fail_msg("the right kernel was refused: %s", why);
        if (i > 0 && (ok || !strstr(why, wrong[i - 1].says)))
            fail_msg("wrong kernel %zu: %s", i, ok ? "passed" : why);
    }
}

/* ---- timing --------------------------------------------------------------------------------- */

static void bench_trial(struct stage *s, const struct cpu_kernel *k, int form,
                        const struct buffer *want)
{
    static const char *const forms[CPU_FORMS] = {"i8", "f16", "f32", "own"};
    char name[160], why[200] = "";
    double worst = 0, bytes = 0;
    int threads = thread_cpus();
    bool right = check_trial(s, k, (enum cpu_form)form, threads, want, &worst, why, sizeof why);
    struct trial t;
    trial_open(&t, s, k, (enum cpu_form)form, threads);
    thread_run(threads, trial_member, &t);
    t.repeats = (int)MAX(1, MIN(1000, 0.3 / MAX(t.seconds, 1e-7)));
    thread_run(threads, trial_member, &t);
    double seconds = t.seconds;
    trial_close(&t, why, sizeof why);
    for (int v = 0; v < s->plan->n_values; v++) bytes += (double)s->plan->value[v].bytes;
    print_case(s->one, name, sizeof name);
    printf("%-20s %-4s %-48s %9.3f ms %8.1f GFLOP/s %6.1f GB/s  error %.1e%s%s\n", k->name,
           cpu_pack_matrix_input(k->op) < 0 ? "" : forms[form], name, seconds * 1e3,
           s->flops / seconds * 1e-9, bytes / seconds * 1e-9, worst,
           right ? "" : "  WRONG: ", right ? "" : why);
    fflush(stdout);
}

static int bench(const char *only)
{
    size_t n_rows;
    const struct cpu_kernel *rows = cpu_table_rows(&n_rows);
    for (size_t c = 0; c < COUNT(cases); c++) {
        char name[160];
        bool wanted = false;
        print_case(&cases[c], name, sizeof name);
        for (size_t r = 0; r < n_rows; r++)
            wanted |=
                rows[r].op == cases[c].op && (strstr(rows[r].name, only) || strstr(name, only));
        if (!cases[c].bench || !wanted) continue;
        struct stage s;
        struct buffer want[OP_OUTPUTS] = {0};
        stage_open(&s, &cases[c], (int)c);
        expect(&s, want);
        for (size_t r = 0; r < n_rows; r++) {
            unsigned fit = trial_forms(&s, &rows[r]);
            if (!strstr(rows[r].name, only) && !strstr(name, only)) continue;
            for (int form = 0; form < CPU_FORMS; form++) {
                if (fit & CPU_BIT(form)) bench_trial(&s, &rows[r], form, want);
            }
        }
        for (int i = 0; i < OP_OUTPUTS; i++) buffer_free(&want[i]);
        stage_close(&s);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) return bench(argc > 2 ? argv[2] : "");
    const struct CMUnitTest tests[] = {
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) cmocka_unit_test(test_##name),
#include "core/op.def"
#undef OP
        cmocka_unit_test(test_wrong_kernels),
    };
    return cmocka_run_group_tests_name("opcheck", tests, NULL, NULL);
}
