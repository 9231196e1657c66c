/* Every kernel of the GPU against cpu_ref, on the fiber emulator: steps become launches by
 * gpu_launch.c and run here, device addresses being addresses of this process. Shapes of opcheck
 * and those that gpu_cases_*.h add; f32 and f16 as compute type; the ways in which kernels are
 * compiled for sm_70 to sm_90; four orders of the threads; guards around every value, weight and
 * scratch, and ff in outputs, scratch and rows that are not live. No kernel may be left that no
 * case runs.
 *
 * Not run on a GPU. */
#include "gpu/emu.h"
#include "gpu/gpu_launch.h"
#include "opcheck_trial.h"

#include "gpu_cases_a.h"
#include "gpu_cases_b.h"

#define KERNEL(name, arch) extern const struct emu_kernel k_##name##_##arch;
#include "gpu/kernels.def"
#undef KERNEL

static const struct {
    int arch;
    const struct emu_kernel *kernel;
} kernels[] = {
#define KERNEL(name, arch) {arch, &k_##name##_##arch},
#include "gpu/kernels.def"
#undef KERNEL
};
static bool has_run[COUNT(kernels)];

#define MOST_FLOPS 8e6 /* of a case: the emulator does about 0.3 GFLOP/s under sanitizers */

/* The most shared memory as on the GPUs of the fake driver; few multiprocessors, so that small
 * shapes get large tiles, too. */
static const struct {
    struct gpu_chip chip;
    int orders;  /* how many: sm_70 and sm_90 differ little from their neighbours */
    bool tensor; /* all of them only for what tensor cores do; one for the rest */
} chips[] = {{{70, 2, 96 << 10}, 1, false},
             {{75, 2, 64 << 10}, EMU_ORDERS, false},
             {{80, 2, 163 << 10}, EMU_ORDERS, true},
             {{90, 2, 227 << 10}, 1, false}};

struct run { /* a case on a chip */
    struct stage *stage;
    const struct gpu_chip *chip;
    int order;
    struct gpu_value value[MOST_VALUES];
    struct buffer weight[MOST_VALUES], scratch;
    struct gpu_step step;
};

static const struct emu_kernel *find(const char *name, int arch)
{
    for (size_t i = 0; i < COUNT(kernels); i++) {
        if (kernels[i].arch != arch || strcmp(kernels[i].kernel->name, name) != 0) continue;
        has_run[i] = true;
        return kernels[i].kernel;
    }
    fail_msg("no kernel %s for sm_%d", name, arch);
    return NULL;
}

static struct buffer pack(struct stage *s, int v, enum gpu_form *form)
{
    const struct plan_value *p = &s->plan->value[v];
    if (gpu_pack_form(s->plan, v, form, &s->e)) fail_msg("%s: %s", s->seed, s->e.text);
    struct buffer b = buffer_make(gpu_pack_bytes(p, *form));
    int64_t k = gpu_pack_k(p), n = *form == GPU_VECTOR ? p->dim[0] : gpu_pack_np(p);
    size_t row = *form == GPU_VECTOR ? (size_t)k * 4 : gpu_pack_scales(p) / (size_t)n;
    row *= *form == GPU_F16 ? 2 : *form == GPU_F32 ? 4 : 1;
    float *room = ARENA_NEW(s->arena, float, (size_t)(2 * k), &s->e);
    assert_non_null(room);
    for (int64_t i = 0; i < n; i++) {
        float scale;
        gpu_pack_row(p, *form, i, room, b.data + (size_t)i * row, &scale);
        if (*form == GPU_I8)
            memcpy(b.data + gpu_pack_scales(p) + (size_t)i * 4, &scale, sizeof scale);
    }
    return b;
}

static uint64_t address(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

static void run_open(struct run *r, struct stage *s, const struct gpu_chip *chip, int order)
{
    *r = (struct run){.stage = s, .chip = chip, .order = order};
    const struct plan_step *ps = &s->plan->step[0];
    bool few =
        s->one->live >= 0 && s->one->live <= GPU_LAUNCH_FEW; /* tries kernels for them, too */
    int32_t live = s->one->live;
    memcpy(s->value[s->live].pristine.data, &live, sizeof live);
    for (int v = 0; v < s->plan->n_values; v++) {
        const struct plan_value *p = &s->plan->value[v];
        struct gpu_value *to = &r->value[v];
        *to = (struct gpu_value){.plan = p, .at = address(s->value[v].data.data)};
        if (p->live >= 0 && live >= 0) to->live = address(s->value[s->live].data.data);
        if (p->life == PLAN_WEIGHT) {
            r->weight[v] = pack(s, v, &to->form);
            to->at = address(r->weight[v].data);
            if (to->form == GPU_I8) to->scale = to->at + gpu_pack_scales(p);
        } else if (p->bytes) {
            memcpy(s->value[v].data.data, s->value[v].pristine.data, p->bytes);
            if (p->life == PLAN_STATE && p->type == DTYPE_I8) to->scale = to->at + plan_scales(p);
        }
    }
    r->scratch = buffer_make(GPU_LAUNCH_COUNTS + gpu_launch_scratch(chip, s->plan, 0, 1, few));
    r->step = (struct gpu_step){.plan = s->plan,
                                .step = ps,
                                .counts = address(r->scratch.data),
                                .scratch = address(r->scratch.data) + GPU_LAUNCH_COUNTS,
                                .few = few};
    for (int i = 0; i < OP_INPUTS; i++) r->step.in[i] = ps->in[i] < 0 ? NULL : &r->value[ps->in[i]];
    for (int i = 0; i < OP_OUTPUTS; i++)
        r->step.out[i] = ps->out[i] < 0 ? NULL : &r->value[ps->out[i]];
}

static bool run_launches(struct run *r, char *why, size_t cap)
{
    struct gpu_launch launch[GPU_LAUNCHES];
    int n = gpu_launch_fill(r->chip, &r->step, 1, launch, &r->stage->e);
    if (n < 1) fail_msg("%s: %s", r->stage->seed, r->stage->e.text);
    for (int i = 0; i < n; i++) {
        const struct gpu_launch *l = &launch[i];
        const struct emu_kernel *k = find(l->kernel, r->chip->sm);
        struct emu_launch how = {{l->grid[0], l->grid[1], l->grid[2]},
                                 {l->block[0], l->block[1], l->block[2]},
                                 l->shared,
                                 (size_t)r->chip->shared,
                                 r->order};
        if (l->arg_bytes != k->args_bytes) fail_msg("%s: size of its struct", l->kernel);
        if (emu_run(k, &how, l->arg) == 0) continue;
        snprintf(why, cap, "%s: %s", l->kernel, emu_message());
        return false;
    }
    return true;
}

/* Guards whole, inputs as they were. */
static bool run_close(struct run *r, char *why, size_t cap)
{
    struct stage *s = r->stage;
    bool ok = true;
    for (int v = 0; v < s->plan->n_values; v++) {
        struct value *value = &s->value[v];
        const char *wrong = NULL;
        if (!buffer_free(&r->weight[v])) wrong = "wrote beside the weight";
        if (s->plan->value[v].life == PLAN_INPUT && value->data.bytes &&
            memcmp(value->data.data, value->pristine.data, value->data.bytes) != 0)
            wrong = "changed its input";
        if (value->data.base && !buffer_whole(&value->data)) wrong = "wrote beside";
        if (wrong) snprintf(why, cap, "%s %s", wrong, s->plan->value[v].name);
        ok = ok && !wrong;
    }
    if (buffer_free(&r->scratch)) return ok;
    snprintf(why, cap, "wrote beside its scratch");
    return false;
}

/* Of op.def's tolerances the one for what the kernel computes in or holds things in. */
static double tolerance_of(const struct stage *s)
{
    const struct plan_step *ps = &s->plan->step[0];
    enum kind kind = s->one->kind;
    bool f16 = s->plan->compute == DTYPE_F16;
    if (cpu_pack_matrix_input(ps->op) >= 0 && kind < I8) kind = f16 ? F16 : F32;
    if ((ps->op == OP_attention || ps->op == OP_attnrange) && f16) kind = F16;
    if (ps->op == OP_addpos || ps->op == OP_layernorm) kind = F32;
    return tolerance(ps->op, kind);
}

static bool check_run(struct stage *s, size_t chip, int order, const struct buffer *want, char *why,
                      size_t cap)
{
    struct run r;
    double worst = 0;
    double most = allowed(s, tolerance_of(s), want);
    char what[400] = "";
    run_open(&r, s, &chips[chip].chip, order);
    bool ok = run_launches(&r, what, sizeof what);
    ok = run_close(&r, what, sizeof what) && ok;
    for (int i = 0; i < OP_OUTPUTS && ok; i++) {
        int v = s->plan->step[0].out[i];
        if (v >= 0) ok = same_value(s, v, &want[i], most, &worst, what, sizeof what);
    }
    if (ok) return true;
    char name[160];
    print_case(s->one, name, sizeof name);
    snprintf(why, cap, "%s (seed %s), compute %s, sm_%d, order %d: %s", name, s->seed,
             tensor_type_name(s->plan->compute), chips[chip].chip.sm, order, what);
    return false;
}

/* Whether the plan's compute type decides which kernel runs. */
static bool is_of_two_types(const struct one *one)
{
    if (one->op == OP_attention || one->op == OP_attnrange || one->op == OP_conv1d) return true;
    return cpu_pack_matrix_input(one->op) >= 0 && one->kind < I8;
}

/* Whether tensor cores do it: those texts differ from chip to chip, the others do not. */
static bool is_of_tensor_cores(const struct stage *s)
{
    bool i8 = s->one->op == OP_linear && s->one->kind >= I8;
    return i8 || (is_of_two_types(s->one) && s->plan->compute == DTYPE_F16);
}

static void check_case(const struct one *one, int number, enum dtype compute)
{
    struct stage s;
    struct buffer want[OP_OUTPUTS] = {0};
    char why[700] = "";
    stage_open(&s, one, number);
    if (s.flops > MOST_FLOPS) { /* one of opcheck's, for the tiles of the CPU */
        stage_close(&s);
        return;
    }
    s.plan->compute = compute;
    int matrix = cpu_pack_matrix_input(one->op);
    if (matrix >= 0 && one->kind == I8_FILE)
        s.plan->value[s.plan->step[0].in[matrix]].as_i8 = true; /* stays i8 */
    if (gpu_launch_check(&chips[0].chip, s.plan, &s.e)) fail_msg("%s", s.e.text);
    expect(&s, form_of[one->kind], want);
    for (size_t c = 0; c < COUNT(chips) && !why[0]; c++) {
        int orders = chips[c].tensor && !is_of_tensor_cores(&s) ? 1 : chips[c].orders;
        for (int order = 0; order < orders && !why[0]; order++)
            check_run(&s, c, order, want, why, sizeof why);
    }
    for (int i = 0; i < OP_OUTPUTS; i++) buffer_free(&want[i]);
    stage_close(&s);
    if (why[0]) fail_msg("%s", why);
}

/* An op that has no kernel for GPUs is refused before anything is allocated. */
static bool is_refused(const struct one *one)
{
    struct stage s;
    stage_open(&s, one, 0);
    bool refused = gpu_launch_check(&chips[0].chip, s.plan, &s.e) != 0 &&
                   strstr(s.e.text, "no kernel for GPUs") != NULL;
    if (refused) assert_int_equal(s.e.code, E_DEVICE);
    stage_close(&s);
    return refused;
}

static void check_cases(enum op op, const struct one *list, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        if (list[c].op != op || list[c].bench) continue;
        if (is_refused(&list[c])) continue;
        check_case(&list[c], (int)c, DTYPE_F32);
        if (is_of_two_types(&list[c])) check_case(&list[c], (int)c, DTYPE_F16);
    }
}

#define OP(name, in_min, in_max, outs, t32, t16, t8, doc)        \
    static void test_##name(void **state)                        \
    {                                                            \
        (void)state;                                             \
        check_cases(OP_##name, cases, COUNT(cases));             \
        check_cases(OP_##name, gpu_cases_a, COUNT(gpu_cases_a)); \
        check_cases(OP_##name, gpu_cases_b, COUNT(gpu_cases_b)); \
    }
#include "core/op.def"
#undef OP

/* Last: what the tests before it have left out. The canary is run by gpu_device.c. */
static void test_every_kernel(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(kernels); i++) {
        const char *name = kernels[i].kernel->name;
        if (!has_run[i] && strcmp(name, "canary") != 0)
            fail_msg("no case runs %s of sm_%d", name, kernels[i].arch);
    }
}

static void test_wide_heads(void **state)
{
    (void)state;
    static const struct one one = {.op = OP_attention, {1, 2, 1, 65}, -1, F32, ATT(1, 1)};
    struct stage s;
    stage_open(&s, &one, 0);
    assert_int_equal(gpu_launch_check(&chips[0].chip, s.plan, &s.e), -1);
    assert_int_equal(s.e.code, E_DEVICE);
    stage_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) cmocka_unit_test(test_##name),
#include "core/op.def"
#undef OP
        cmocka_unit_test(test_wide_heads),
        cmocka_unit_test(test_every_kernel),
    };
    return cmocka_run_group_tests_name("gpu ops", tests, NULL, NULL);
}
