/* The CPU's row of the backend table: chooses kernels, has weights packed, lays out memory, runs
 * tapes. Called by engine alone; the contract with the kernels is cpu.h.
 *
 *   prepare:  step -> kernel          first fitting row of cpu_table.c
 *             weight -> form          what all its readers can read, the smallest of these
 *             arena: [values][steps] [packed weights] [state slab] [step slab] [scratch]
 *   run:      live counts and indices checked by the caller's thread, then one parallel region
 *
 * How a form is decided: a weight starts with all forms it may take. First every user strikes out
 * what none of its kernels can read (CPU_F32 is all that is read of a weight that is no matrix), so
 * that nobody is left without a kernel later. Then, in the order of the tapes, each step takes its
 * best kernel that reads a form still left, and strikes out the forms this kernel cannot read.
 *
 *   an f16 table, read by embed and linear:   f16 f32 own
 *   no kernel of embed reads "own":           f16 f32
 *   linear's best kernel reads f16 alone:     f16            and so it is packed
 */
#include "cpu/cpu.h"
#include "base/log.h"
#include "core/plancheck.h"
#include "cpu/cpu_fast.h"
#include "cpu/cpu_team.h"
#include <stdatomic.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { MOST_THREADS = 1024 };

struct backend_device {
    int threads;
    struct cpu_team team;
    enum cpu_level level;
    struct backend_plan *plans; /* prepared and not yet released */
};

struct live { /* a value with live rows, and the scalar that holds their count */
    struct cpu_value *value;
    const struct cpu_value *count;
};

struct tape {
    struct live *live;
    int n_live;
};

struct backend_plan {
    struct backend_device *device;
    struct backend_plan *next;
    const struct plan *plan;
    struct cpu_value *value;          /* [n_values] */
    struct cpu_step *step;            /* [n_steps] */
    const struct cpu_kernel **kernel; /* [n_steps] */
    double *seconds;                  /* [n_steps] */
    struct tape tape[PLAN_TAPES];
    struct backend_memory memory;
    int running;        /* the tape that run was asked for */
    double waited_s;    /* by member 0 for the others, in this run */
    _Atomic int failed; /* first step that failed in this run, or -1 */
};

static const char *const level_names[CPU_LEVELS] = {"ref",    "base",       "avx2",
                                                    "avx512", "avx512fp16", "amx"};

const char *cpu_level_name(enum cpu_level level)
{
    assert(level < CPU_LEVELS);
    return level_names[level];
}

#if defined(__x86_64__)
/* clang 14's __builtin_cpu_supports has no name for it. */
static bool has_fp16(void)
{
    unsigned eax, ebx, ecx, edx;
    return WITH_FP16 && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (edx & 1u << 23);
}

/* Linux lets a process use the 8 KB of tile registers only if it asks (ARCH_REQ_XCOMP_PERM, state
 * 18), because its threads' contexts grow by them; what it grants holds for all threads, those that
 * run already, too. It refuses where a thread's signal stack is too small for them. */
static bool has_amx(void)
{
#if WITH_AMX && defined(__linux__)
    const unsigned need = 1u << 22 | 1u << 24 | 1u << 25; /* bf16, tiles, int8 */
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) || (edx & need) != need) return false;
    if (!__builtin_cpu_supports("avx512bf16")) return false;
    return syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
    return false;
#endif
}
#endif

enum cpu_level cpu_level_best(void)
{
#if defined(__x86_64__)
    /* the compiler's checks include that the system saves the wide registers */
    __builtin_cpu_init();
    unsigned eax, ebx, ecx = 0, edx;
    bool f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !f16c) return CPU_BASE;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni"))
        return !has_fp16() ? CPU_AVX512 : has_amx() ? CPU_AMX : CPU_FP16;
    return CPU_AVX2;
#else
    return CPU_BASE;
#endif
}

static int level_of(const char *text, enum cpu_level *out, struct err *e)
{
    enum cpu_level best = cpu_level_best();
    *out = best;
    if (!text || strcmp(text, "auto") == 0) return 0;
    for (int i = 0; i < CPU_LEVELS; i++) {
        if (strcmp(text, level_names[i]) != 0) continue;
        if (i > (int)best)
            return err_set(e, E_DEVICE, "this processor has no %s; its best level is %s", text,
                           level_names[best]);
        *out = (enum cpu_level)i;
        return 0;
    }
    return err_set(e, E_USAGE,
                   "\"%s\" is not a level of kernels; levels are auto, ref, base, avx2, "
                   "avx512, avx512fp16, amx",
                   text);
}

static int cpu_open(struct arena *a, const struct backend_options *o, struct backend_device **out,
                    struct err *e)
{
    if (o->threads < 0 || o->threads > MOST_THREADS)
        return err_set(e, E_USAGE, "%d threads; 0 (all processors) to %d are possible", o->threads,
                       MOST_THREADS);
    struct backend_device *d = ARENA_NEW(a, struct backend_device, 1, e);
    if (!d) return -1;
    TRY(level_of(o->kernels, &d->level, e));
    d->threads = o->threads ? o->threads : thread_cpus();
    d->team = (struct cpu_team){.most = d->threads, .n = d->threads};
    *out = d;
    return 0;
}

/* The processor's own name, without the padding some put around it. */
static void add_name(struct strbuf *out)
{
#if defined(__x86_64__)
    char text[49] = "";
    unsigned words[12];
    if ((unsigned)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2],
                        &words[4 * i + 3]);
        memcpy(text, words, 48);
    }
    struct str name = str_trim(str_of(text));
    if (name.n > 0) {
        strbuf_add(out, name.p, name.n);
        return;
    }
#endif
    strbuf_text(out, "CPU");
}

static void cpu_describe(const struct backend_device *d, struct strbuf *out)
{
    add_name(out);
    strbuf_format(out, ", %d thread%s, %s", d->threads, str_s(d->threads), level_names[d->level]);
}

static bool cpu_halves(const struct backend_device *d)
{
    return d->level >= CPU_FP16;
}

/* ---- which kernel, which form -------------------------------------------------------------- */

static bool row_fits(const struct cpu_kernel *k, const struct backend_device *d,
                     const struct plan *p, const struct plan_step *s)
{
    return k->op == s->op && k->level <= d->level && (!k->fits || k->fits(p, s));
}

/* Strikes out of forms[value] what no kernel of its users' ops could read. */
static int restrict_forms(const struct backend_plan *bp, unsigned *forms, struct err *e)
{
    const struct plan *p = bp->plan;
    size_t n_rows;
    const struct cpu_kernel *rows = cpu_table_rows(&n_rows);
    for (int i = 0; i < p->n_values; i++)
        forms[i] = p->value[i].life == PLAN_WEIGHT ? cpu_pack_forms(&p->value[i]) : 0;
    for (int i = 0; i < p->n_steps; i++) {
        const struct plan_step *s = &p->step[i];
        int matrix = cpu_pack_matrix_input(s->op);
        for (int in = 0; in < OP_INPUTS; in++) {
            int v = s->in[in];
            if (v < 0 || (p->value[v].life != PLAN_WEIGHT && in != matrix)) continue;
            unsigned readable = in == matrix ? 0 : CPU_BIT(CPU_F32);
            for (size_t r = 0; r < n_rows && in == matrix; r++) {
                if (row_fits(&rows[r], bp->device, p, s)) readable |= rows[r].forms;
            }
            forms[v] &= readable;
            if (!forms[v])
                return err_set(e, E_DEVICE, "step %s: no kernel of %s reads %s as it is", s->name,
                               op_row(s->op)->name, p->value[v].name);
        }
    }
    return 0;
}

/* Fills bp->kernel and narrows forms[value] to what the chosen ones read. */
static int choose_kernels(struct backend_plan *bp, unsigned *forms, struct err *e)
{
    const struct plan *p = bp->plan;
    size_t n_rows;
    const struct cpu_kernel *rows = cpu_table_rows(&n_rows);
    for (int i = 0; i < p->n_steps; i++) {
        const struct plan_step *s = &p->step[i];
        int matrix = cpu_pack_matrix_input(s->op);
        unsigned *left = matrix >= 0 ? &forms[s->in[matrix]] : NULL;
        for (size_t r = 0; r < n_rows && !bp->kernel[i]; r++) {
            if (!row_fits(&rows[r], bp->device, p, s) || (left && !(*left & rows[r].forms)))
                continue;
            bp->kernel[i] = &rows[r];
            if (left) *left &= rows[r].forms;
        }
        if (!bp->kernel[i])
            return err_set(e, E_DEVICE, "step %s: no kernel for %s", s->name, op_row(s->op)->name);
        log_debug("step %s: %s", s->name, bp->kernel[i]->name);
    }
    return 0;
}

/* ---- making a plan ready -------------------------------------------------------------------- */

static bool is_used(const struct plan *p, int value)
{
    for (int i = 0; i < p->n_steps; i++) {
        for (int k = 0; k < OP_INPUTS; k++) {
            if (p->step[i].in[k] == value) return true;
        }
    }
    return false;
}

/* Packs what has a plain form; the rest is packed by the kernels that own its form. */
static int pack_weights(struct backend_plan *bp, struct arena *a, const unsigned *forms,
                        void (*used)(void *ctx, int value), void *ctx, struct err *e)
{
    const struct plan *p = bp->plan;
    for (int i = 0; i < p->n_values; i++) {
        if (p->value[i].life != PLAN_WEIGHT || !is_used(p, i)) continue;
        enum cpu_form form = (enum cpu_form)__builtin_ctz(forms[i]); /* the smallest */
        bp->value[i].form = form;
        if (form == CPU_OWN) continue;
        if (cpu_pack_weight(a, &p->value[i], form, bp->device->threads, &bp->value[i], e))
            return err_note(e, "weight %s", p->value[i].name);
        if (used) used(ctx, i);
    }
    return 0;
}

static void cpu_release(struct backend_plan *bp)
{
    if (!bp) return;
    for (int i = 0; i < bp->plan->n_steps; i++) {
        if (bp->kernel[i] && bp->kernel[i]->release) bp->kernel[i]->release(&bp->step[i]);
    }
    for (struct backend_plan **at = &bp->device->plans; *at; at = &(*at)->next) {
        if (*at == bp) {
            *at = bp->next;
            return;
        }
    }
}

/* Lets every kernel prepare its step, and packs what only it can pack. */
static int prepare_steps(struct backend_plan *bp, struct arena *a,
                         void (*used)(void *ctx, int value), void *ctx, struct err *e)
{
    const struct plan *p = bp->plan;
    for (int i = 0; i < p->n_steps; i++) {
        struct cpu_step *s = &bp->step[i];
        const struct cpu_kernel *k = bp->kernel[i];
        if (!k->prepare) continue;
        int matrix = cpu_pack_matrix_input(k->op);
        bool packs = matrix >= 0 && s->in[matrix]->form == CPU_OWN && !s->in[matrix]->data;
        if (k->prepare(s, a, e)) return err_note(e, "step %s, kernel %s", s->step->name, k->name);
        if (packs && used) used(ctx, s->step->in[matrix]);
    }
    return 0;
}

/* Connects steps to values, and notes what must be refreshed before each run. */
static int link_steps(struct backend_plan *bp, struct arena *a, struct err *e)
{
    const struct plan *p = bp->plan;
    for (int i = 0; i < p->n_steps; i++) {
        struct cpu_step *s = &bp->step[i];
        s->plan = p;
        s->step = &p->step[i];
        s->threads = bp->device->threads;
        for (int k = 0; k < OP_INPUTS; k++)
            s->in[k] = s->step->in[k] < 0 ? NULL : &bp->value[s->step->in[k]];
        for (int k = 0; k < OP_OUTPUTS; k++)
            s->out[k] = s->step->out[k] < 0 ? NULL : &bp->value[s->step->out[k]];
    }
    for (int t = 0; t < p->n_tapes; t++) {
        int most = (p->tape[t].to - p->tape[t].from) * (OP_INPUTS + OP_OUTPUTS);
        struct tape *tape = &bp->tape[t];
        tape->live = ARENA_NEW(a, struct live, (size_t)most, e);
        if (!tape->live) return -1;
        for (int i = p->tape[t].from; i < p->tape[t].to; i++) {
            for (int k = 0; k < OP_INPUTS + OP_OUTPUTS; k++) {
                struct cpu_step *s = &bp->step[i];
                struct cpu_value *v = k < OP_INPUTS ? s->in[k] : s->out[k - OP_INPUTS];
                if (v && v->plan->live >= 0)
                    tape->live[tape->n_live++] = (struct live){v, &bp->value[v->plan->live]};
            }
        }
    }
    return 0;
}

static int place_slabs(struct backend_plan *bp, struct arena *a, struct err *e)
{
    const struct plan *p = bp->plan;
    char *state = arena_alloc(a, p->state_bytes, BASE_LINE, e);
    if (!state) return -1;
    arena_sparse(state, p->state_bytes, p->sparse_from);
    char *step = arena_alloc(a, p->step_bytes, BASE_LINE, e);
    if (!step) return -1;
    char *shared = arena_alloc(a, bp->memory.scratch, BASE_LINE, e);
    if (!shared) return -1;
    for (int i = 0; i < p->n_values; i++) {
        const struct plan_value *v = &p->value[i];
        bp->value[i].plan = v;
        bp->value[i].rows = v->rank ? v->dim[0] : 1;
        if (v->life == PLAN_STATE) bp->value[i].data = state + v->offset;
        bool unused = v->life == PLAN_STEP && v->first < 0;
        if (v->life != PLAN_STATE && v->life != PLAN_WEIGHT && !unused)
            bp->value[i].data = step + v->offset;
    }
    for (int i = 0; i < p->n_steps; i++) bp->step[i].scratch = shared;
    return 0;
}

static void count_bytes(const struct backend_plan *bp, const unsigned *forms,
                        struct backend_memory *out)
{
    const struct plan *p = bp->plan;
    *out = (struct backend_memory){.state = p->state_bytes, .step = p->step_bytes};
    for (int i = 0; i < p->n_steps; i++) {
        const struct cpu_kernel *k = bp->kernel[i];
        if (k->scratch)
            out->scratch = MAX(out->scratch, k->scratch(p, &p->step[i], bp->device->threads));
        if (k->prepare ==
            cpu_fast_nearest_prepare) /* the one that keeps a second form of a matrix */
            out->weights += cpu_fast_nearest_kept(p, &p->step[i]);
    }
    for (int i = 0; i < p->n_values; i++) {
        if (p->value[i].life != PLAN_WEIGHT || !is_used(p, i)) continue;
        out->weights += cpu_pack_bytes(&p->value[i], (enum cpu_form)__builtin_ctz(forms[i]));
    }
}

static int make_ready(struct backend_plan *bp, struct arena *a, void (*used)(void *ctx, int value),
                      void *ctx, struct err *e)
{
    const struct plan *p = bp->plan;
    unsigned *forms = ARENA_NEW(a, unsigned, (size_t)p->n_values, e);
    if (!forms) return -1;
    TRY(restrict_forms(bp, forms, e));
    TRY(choose_kernels(bp, forms, e));
    count_bytes(bp, forms, &bp->memory);
    TRY(place_slabs(bp, a, e));
    TRY(link_steps(bp, a, e));
    TRY(pack_weights(bp, a, forms, used, ctx, e));
    return prepare_steps(bp, a, used, ctx, e);
}

static int cpu_measure(struct backend_device *d, const struct plan *p, struct backend_memory *out,
                       struct err *e)
{
    struct backend_plan bp = {.device = d, .plan = p};
    struct arena_mark mark = arena_here(p->arena);
    unsigned *forms = ARENA_NEW(p->arena, unsigned, (size_t)p->n_values, e);
    if (!forms) return -1;
    bp.kernel = ARENA_NEW(p->arena, const struct cpu_kernel *, (size_t)p->n_steps, e);
    if (!bp.kernel) return -1;
    TRY(restrict_forms(&bp, forms, e));
    TRY(choose_kernels(&bp, forms, e));
    count_bytes(&bp, forms, out);
    arena_rewind(p->arena, mark);
    return 0;
}

static int cpu_prepare(struct backend_device *d, struct arena *a, const struct plan *p,
                       void (*used)(void *ctx, int value), void *ctx, struct backend_plan **out,
                       struct err *e)
{
    assert(p->finished);
    struct backend_plan *bp = ARENA_NEW(a, struct backend_plan, 1, e);
    if (!bp) return -1;
    bp->device = d;
    bp->plan = p;
    bp->value = ARENA_NEW(a, struct cpu_value, (size_t)p->n_values, e);
    if (!bp->value) return -1;
    bp->step = ARENA_NEW(a, struct cpu_step, (size_t)p->n_steps, e);
    if (!bp->step) return -1;
    bp->kernel = ARENA_NEW(a, const struct cpu_kernel *, (size_t)p->n_steps, e);
    if (!bp->kernel) return -1;
    bp->seconds = ARENA_NEW(a, double, (size_t)p->n_steps, e);
    if (!bp->seconds) return -1;
    if (make_ready(bp, a, used, ctx, e)) {
        cpu_release(bp);
        return -1;
    }
    bp->next = d->plans;
    d->plans = bp;
    *out = bp;
    return 0;
}

static void cpu_memory(const struct backend_plan *bp, struct backend_memory *out)
{
    *out = bp->memory;
}

static void *cpu_host(struct backend_plan *bp, int value)
{
    assert(value >= 0 && value < bp->plan->n_values);
    enum plan_life life = bp->plan->value[value].life;
    return life == PLAN_INPUT || life == PLAN_OUTPUT ? bp->value[value].data : NULL;
}

/* ---- running -------------------------------------------------------------------------------- */

static const void *input_data(const void *ctx, int value)
{
    return ((const struct backend_plan *)ctx)->value[value].data;
}

/* What every member of the team does. */
static void walk(void *ctx, struct thread_team *team, int id)
{
    struct backend_plan *bp = ctx;
    const struct plan_tape *t = &bp->plan->tape[bp->running];
    double before = id == 0 ? thread_seconds() : 0;
    for (int i = t->from; i < t->to; i++) {
        if (bp->kernel[i]->run(&bp->step[i], team, id)) {
            int none = -1;
            atomic_compare_exchange_strong(&bp->failed, &none, i);
        }
        double done = id == 0 ? thread_seconds() : 0;
        thread_barrier(team);
        if (id == 0) {
            double now = thread_seconds();
            bp->waited_s += now - done;
            bp->seconds[i] += now - before;
            before = now;
        }
    }
}

static int cpu_run(struct backend_plan *bp, int tape, struct err *e)
{
    assert(tape >= 0 && tape < bp->plan->n_tapes);
    TRY(plancheck_run(bp->plan, tape, input_data, bp, e));
    for (int i = 0; i < bp->tape[tape].n_live; i++) {
        const struct live *l = &bp->tape[tape].live[i];
        l->value->rows = *(const int32_t *)l->count->data;
    }
    bp->running = tape;
    bp->failed = -1;
    bp->waited_s = 0;
    struct cpu_team *team = &bp->device->team;
    double start = thread_seconds();
    thread_run(team->n, walk, bp);
    double end = thread_seconds();
    cpu_team_learn(team, end, end - start, bp->waited_s);
    if (bp->failed < 0) return 0;
    return err_set(e, E_DEVICE, "step %s failed in kernel %s", bp->plan->step[bp->failed].name,
                   bp->kernel[bp->failed]->name);
}

static int cpu_peek(struct backend_plan *bp, int value, void *out, size_t bytes, struct err *e)
{
    assert(value >= 0 && value < bp->plan->n_values);
    const struct plan_value *v = &bp->plan->value[value];
    if (v->life == PLAN_WEIGHT || !bp->value[value].data || bytes > v->bytes)
        return err_set(e, E_INTERNAL, "%zu bytes of %s cannot be looked at", bytes, v->name);
    memcpy(out, bp->value[value].data, bytes);
    return 0;
}

static const double *cpu_profile(const struct backend_plan *bp)
{
    return bp->seconds;
}

/* ---- what there is to reach -------------------------------------------------------------------
 */

struct peak {
    double (*loop)(int64_t turns);
    int64_t turns;
    double done, seconds; /* of all members */
};

static void peak_member(void *ctx, struct thread_team *team, int id)
{
    struct peak *p = ctx;
    thread_barrier(team);
    double start = id == 0 ? thread_seconds() : 0, done = p->loop(p->turns);
    thread_barrier(team);
    if (id == 0) {
        p->seconds = thread_seconds() - start;
        p->done = done * team->n;
    }
}

static double cpu_peak(struct backend_device *d)
{
    const double enough_s = 0.02;
    double best = 0;
    struct peak p = {.loop = cpu_fast_peak(d->level), .turns = 1024};
    if (!p.loop) return 0;
    for (p.seconds = 0; p.seconds < enough_s; p.turns *= 2) thread_run(d->threads, peak_member, &p);
    for (int i = 0; i < 3; i++) {
        thread_run(d->threads, peak_member, &p);
        best = MAX(best, p.done / p.seconds);
    }
    return best;
}

static void cpu_close(struct backend_device *d)
{
    while (d && d->plans) cpu_release(d->plans);
}

const struct backend cpu_backend = {
    .name = "cpu",
    .open = cpu_open,
    .describe = cpu_describe,
    .halves = cpu_halves,
    .measure = cpu_measure,
    .prepare = cpu_prepare,
    .memory = cpu_memory,
    .host = cpu_host,
    .run = cpu_run,
    .peek = cpu_peek,
    .profile = cpu_profile,
    .peak = cpu_peak,
    .release = cpu_release,
    .close = cpu_close,
};
