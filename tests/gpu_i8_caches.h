/* Caches of i8, which the CPU has not: what crosskv writes, bit by bit by op.def's rule from what
 * cpu_ref puts into a cache of f32; what attncross reads, against cpu_ref with the same numbers in
 * f32. Part of t_gpu_ops.c. */
#ifndef TESTS_GPU_I8_CACHES_H
#define TESTS_GPU_I8_CACHES_H

static const struct one i8_caches[] = {
    {.op = OP_crosskv, {1, 1, 1, 1, 1}, -1, I8, ATT(1, 1)},
    {.op = OP_crosskv, {2, 130, 3, 5, 4}, -1, I8, ATT(3, 1)},
    {.op = OP_crosskv, {2, 65, 2, 64, 3}, 1, I8, ATT(2, 1)},
    {.op = OP_crosskv, {3, 70, 2, 128, 3}, -1, I8, ATT(2, 1)},
    {.op = OP_crosskv, {2, 3, 1, 8, 3}, 0, I8, ATT(1, 1)},
    {.op = OP_attncross, {1, 1, 1, 1, 1}, -1, I8, ATT(1, 1)},
    {.op = OP_attncross, {5, 2, 64, 260, 1}, -1, I8, ATT(2, 0.02f)},
    {.op = OP_attncross, {19, 1, 16, 519, 2}, -1, I8, ATT(1, 0.05f)},
    {.op = OP_attncross, {6, 2, 77, 300, 3}, 4, I8, ATT(2, 0.02f)},
    {.op = OP_attncross, {3, 1, 24, 50, 2}, 0, I8, ATT(1, 1)},
};

/* A row as op.def says; its scale. */
static float quantised(const float *row, int64_t n, int8_t *out)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(row[i]));
    float by = most > 0 ? 127.0f / most : 1;
    for (int64_t i = 0; i < n; i++) out[i] = (int8_t)rintf(row[i] * by);
    return 1 / by;
}

/* The cache as it should be: rows of the slots written, all else as before. */
static struct buffer quantised_cache(struct stage *s, int v, const struct buffer *want)
{
    const struct plan_value *p = &s->plan->value[v];
    struct buffer b = buffer_copy(s->value[v].pristine.data, p->bytes);
    const int32_t *slot = data_of(s, 1);
    int64_t k = p->dim[3], rows = p->dim[1] * p->dim[2];
    for (int64_t i = 0; i < rows_of(s) * rows; i++) {
        int64_t row = slot[i / rows] * rows + i % rows;
        float scale = quantised((const float *)want->data + row * k, k, (int8_t *)b.data + row * k);
        memcpy(b.data + plan_scales(p) + 4 * row, &scale, sizeof scale);
    }
    return b;
}

/* Numbers for a cache that is read, and the same in f32 for the twin. */
static void fill_i8_cache(struct stage *s, struct stage *twin, int v)
{
    const struct plan_value *p = &s->plan->value[v];
    int8_t *q = (int8_t *)s->value[v].pristine.data;
    int64_t k = p->dim[3], rows = tensor_count(3, p->dim);
    for (int64_t row = 0; row < rows; row++) {
        float scale = (1 + tensor_hash(p->name, (uint64_t)row, 0.9f)) / 127;
        memcpy(q + plan_scales(p) + 4 * row, &scale, sizeof scale);
        for (int64_t i = row * k; i < (row + 1) * k; i++) {
            q[i] = (int8_t)(tensor_hash(s->seed, (uint64_t)i, 127.4f));
            ((float *)twin->value[v].pristine.data)[i] = (float)q[i] * scale;
        }
    }
}

static void check_i8_run(struct stage *s, size_t chip, int order, const struct buffer *want)
{
    struct run r;
    char why[400] = "";
    double worst = 0;
    const struct plan_step *ps = &s->plan->step[0];
    run_open(&r, s, &chips[chip].chip, order);
    bool ok = run_launches(&r, why, sizeof why);
    ok = run_close(&r, why, sizeof why) && ok;
    for (int i = 0; i < OP_OUTPUTS && ok; i++) {
        if (ps->out[i] < 0) continue;
        const struct plan_value *p = &s->plan->value[ps->out[i]];
        const char *got = s->value[ps->out[i]].data.data;
        if (p->life == PLAN_OUTPUT)
            ok = same_value(s, ps->out[i], &want[i], 1e-4, &worst, why, sizeof why);
        for (size_t at = 0; p->life == PLAN_STATE && ok && at < p->bytes; at++) {
            ok = got[at] == want[i].data[at];
            if (!ok) snprintf(why, sizeof why, "byte %zu of %s differs", at, p->name);
        }
    }
    if (!ok) fail_msg("%s, sm_%d, order %d: %s", s->seed, chips[chip].chip.sm, order, why);
}

static void test_i8_caches(void **state)
{
    (void)state;
    for (size_t c = 0; c < COUNT(i8_caches); c++) {
        struct one plain = i8_caches[c];
        struct stage s, twin;
        struct buffer want[OP_OUTPUTS] = {0};
        plain.kind = F32;
        stage_open(&s, &i8_caches[c], (int)c);
        stage_open(&twin, &plain, (int)c);
        if (s.one->op == OP_attncross) {
            for (int i = 2; i < 4; i++) fill_i8_cache(&s, &twin, s.plan->step[0].in[i]);
        }
        expect(&twin, CPU_F32, want);
        for (int i = 0; s.one->op == OP_crosskv && i < 2; i++) {
            struct buffer b = quantised_cache(&s, s.plan->step[0].out[i], &want[i]);
            buffer_free(&want[i]);
            want[i] = b;
        }
        for (size_t chip = 0; chip < COUNT(chips); chip++) {
            for (int order = 0; order < chips[chip].orders; order++)
                check_i8_run(&s, chip, order, want);
        }
        for (int i = 0; i < OP_OUTPUTS; i++) buffer_free(&want[i]);
        stage_close(&s);
        stage_close(&twin);
    }
}

#endif
