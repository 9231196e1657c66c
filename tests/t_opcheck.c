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
#include "opcheck_trial.h"

enum { MOST_THREADS = 3 };

/* One kernel, one form, one team. */
static bool check_trial(struct stage *s, const struct cpu_kernel *k, enum cpu_form form,
                        int threads, const struct buffer *want, double *worst, char *why,
                        size_t cap)
{
    struct trial t;
    trial_open(&t, s, k, form, threads);
    thread_run(threads, trial_member, &t);
    if (!trial_close(&t, why, cap)) return false;
    double most = allowed(s, tolerance(s->one->op, s->one->kind), want);
    for (int i = 0; i < OP_OUTPUTS; i++) {
        int v = s->plan->step[0].out[i];
        if (s->one->op == OP_estep && i == 3) continue; /* what a kernel knows is its own affair */
        if (v >= 0 && !same_value(s, v, &want[i], most, worst, why, cap)) return false;
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

/* What it gives is the same bits in any team: the first keeps what the others are held to. */
static bool same_alone(struct stage *s, int threads, struct buffer *alone, char *why, size_t cap)
{
    for (int i = 0; i < OP_OUTPUTS; i++) {
        int v = s->plan->step[0].out[i];
        if (v < 0) continue;
        const struct value *got = &s->value[v];
        size_t bytes = s->plan->value[v].bytes;
        if (threads == 1) {
            buffer_free(&alone[i]);
            alone[i] = buffer_copy(got->data.data, bytes);
        } else if (memcmp(alone[i].data, got->data.data, bytes) != 0) {
            snprintf(why, cap, "%s has other bits than with one thread", s->plan->value[v].name);
            return false;
        }
    }
    return true;
}

/* A kernel on a case in every form and team. False with a sentence in why. */
static bool check_kernel(struct stage *s, const struct cpu_kernel *k, const struct buffer *want,
                         double *worst, int *trials, char *why, size_t cap)
{
    unsigned forms = trial_forms(s, k);
    struct buffer alone[OP_OUTPUTS] = {0};
    bool right = true;
    for (int form = 0; form < CPU_FORMS && right; form++) {
        if (!(forms & CPU_BIT(form))) continue;
        for (int threads = 1; threads <= MOST_THREADS && right; threads++) {
            char what[200];
            ++*trials;
            right =
                check_trial(s, k, (enum cpu_form)form, threads, want, worst, what, sizeof what) &&
                same_alone(s, threads, alone, what, sizeof what);
            if (right) continue;
            char name[160];
            print_case(s->one, name, sizeof name);
            snprintf(why, cap, "%s on %s (seed %s), form %d, %d threads: %s", k->name, name,
                     s->seed, form, threads, what);
        }
    }
    for (int i = 0; i < OP_OUTPUTS; i++) buffer_free(&alone[i]);
    return right;
}

static void check_op(enum op op)
{
    size_t n_rows;
    const struct cpu_kernel *rows = cpu_table_rows(&n_rows);
    int trials[256] = {0};
    assert_true(n_rows <= COUNT(trials));
    for (size_t c = 0; c < COUNT(cases); c++) {
        if (cases[c].op != op || cases[c].bench) continue;
        struct stage s;
        struct buffer want[OP_OUTPUTS] = {0};
        char why[600] = "";
        double worst = 0;
        stage_open(&s, &cases[c], (int)c);
        expect(&s, form_of[s.one->kind], want);
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
        expect(&s, form_of[s.one->kind], want);
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
        expect(&s, form_of[s.one->kind], want);
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
