/* From the tensors of a file to the one form in which all users of a weight can read it. The forms
 * are drawn in cpu.h; which of them a weight gets is decided by the runner (cpu.c). */
#include "cpu/cpu_fast.h"
#include <math.h>
#include <string.h>

int cpu_pack_matrix_input(enum op op)
{
    switch (op) {
    case OP_conv1d:
    case OP_linear:
        return 1;
    case OP_embed:
        return 2;
    default:
        return -1;
    }
}

unsigned cpu_pack_forms(const struct plan_value *v)
{
    if (v->as_i8) return CPU_BIT(CPU_I8) | CPU_BIT(CPU_OWN);
    if (v->type == DTYPE_F16) return CPU_BIT(CPU_F16) | CPU_BIT(CPU_F32) | CPU_BIT(CPU_OWN);
    return CPU_BIT(CPU_F32) | CPU_BIT(CPU_OWN);
}

/* The part that row n of the stack lies in; *n becomes the row within it. */
static const struct tensor *part_of(const struct plan_value *v, int64_t *n)
{
    for (int i = 0; i < v->n_parts; i++) {
        if (*n < v->part[i].dim[0]) return &v->part[i];
        *n -= v->part[i].dim[0];
    }
    assert(!"a row beyond the last part");
    return NULL;
}

/* conv1d's [N,C,3]: the file has the taps inside, the packs have them outside. */
static bool has_taps(const struct plan_value *v)
{
    return v->rank == 3;
}

void cpu_pack_row(const struct plan_value *v, int64_t n, float *out)
{
    const struct tensor *t = part_of(v, &n);
    if (!has_taps(v)) {
        tensor_row(t, n, out);
        return;
    }
    int64_t channels = v->dim[1], taps = v->dim[2];
    struct tensor flat = {
        .type = t->type, .rank = 2, .dim = {tensor_count(3, t->dim), 1}, .data = t->data};
    for (int64_t tap = 0; tap < taps; tap++) {
        for (int64_t c = 0; c < channels; c++) {
            float *to = &out[tap * channels + c];
            tensor_row(&flat, (n * channels + c) * taps + tap, to);
            if (t->scale) *to *= t->scale[n];
        }
    }
}

float cpu_pack_to_i8(const float *row, int64_t k, int8_t *out)
{
    float most = 0;
    for (int64_t i = 0; i < k; i++) most = fmaxf(most, fabsf(row[i]));
    /* a file may hold anything: infinities and NaN become 0, not a wild cast */
    float to_i8 = isnormal(127.0f / most) ? 127.0f / most : 1.0f;
    for (int64_t i = 0; i < k; i++) {
        float q = rintf(row[i] * to_i8);
        out[i] = fabsf(q) <= 127 ? (int8_t)q : 0;
    }
    return 1.0f / to_i8;
}

float cpu_pack_quantise(const struct plan_value *v, int64_t n, float *row, int8_t *out)
{
    int64_t k = cpu_value_k(v), in_part = n;
    const struct tensor *t = part_of(v, &in_part);
    if (t->type == DTYPE_I8) {
        struct plan_value bare = *v; /* the same bytes without their scale */
        for (int i = 0; i < bare.n_parts; i++) bare.part[i].scale = NULL;
        cpu_pack_row(&bare, n, row);
        for (int64_t i = 0; i < k; i++) out[i] = (int8_t)row[i];
        return t->scale ? t->scale[in_part] : 1.0f;
    }
    cpu_pack_row(v, n, row);
    return cpu_pack_to_i8(row, k, out);
}

static int64_t panel_at(int64_t n, int64_t k, int64_t k_count)
{
    int64_t quads = (k_count + 3) / 4;
    return ((n / CPU_PANEL * quads + k / 4) * CPU_PANEL + n % CPU_PANEL) * 4 + k % 4;
}

struct packing { /* one weight being packed by a team: each member takes panels of rows */
    const struct plan_value *v;
    enum cpu_form form;
    void *data;
    float *scale;             /* CPU_I8 */
    int32_t *comp;            /* CPU_I8 */
    float *row;               /* [threads][K] */
    int8_t *q;                /* CPU_I8: [threads][16][K up to 64], the padding is 0 */
    CPU_FAST_QUANT((*panel)); /* CPU_I8: 16 rows at once */
};

static void pack_row_i8(const struct packing *p, int64_t n, float *row, int8_t *q)
{
    int64_t k_count = cpu_value_k(p->v);
    int32_t sum = 0;
    p->scale[n] = cpu_pack_quantise(p->v, n, row, q);
    for (int64_t k = 0; k < k_count; k += 4)
        memcpy((int8_t *)p->data + panel_at(n, k, k_count), q + k, 4);
    for (int64_t k = 0; k < k_count; k++) sum += q[k];
    p->comp[n] = 128 * sum;
}

/* Where row n lies as plain f32 or f16, or NULL. */
static const void *plain_row(const struct plan_value *v, int64_t n)
{
    const struct tensor *t = part_of(v, &n);
    bool plain = (t->type == DTYPE_F32 || t->type == DTYPE_F16) && t->type == v->part[0].type;
    if (!plain || has_taps(v)) return NULL;
    return (const char *)t->data + (size_t)(n * cpu_value_k(v)) * tensor_type_bytes(t->type);
}

static void pack_panel_i8(const struct packing *p, int64_t n, float *row, int8_t *q)
{
    const void *from[CPU_PANEL] = {NULL};
    int64_t rows = MIN(CPU_PANEL, p->v->dim[0] - n), i = 0;
    while (i < rows && (from[i] = plain_row(p->v, n + i)) != NULL) i++;
    if (i == CPU_PANEL) {
        p->panel(from, cpu_value_k(p->v), p->v->part[0].type == DTYPE_F16, q,
                 (int8_t *)p->data + panel_at(n, 0, cpu_value_k(p->v)), p->scale + n, p->comp + n);
        return;
    }
    memset(q, 0, (size_t)ALIGN_UP(cpu_value_k(p->v), 4));
    for (i = 0; i < rows; i++) pack_row_i8(p, n + i, row, q);
}

static void pack_row_f16(const struct packing *p, int64_t n)
{
    int64_t k_count = cpu_value_k(p->v), in_part = n;
    const struct tensor *t = part_of(p->v, &in_part);
    uint16_t *to = (uint16_t *)p->data + n * k_count;
    if (!has_taps(p->v)) {
        memcpy(to, (const char *)t->data + in_part * k_count * 2, (size_t)k_count * sizeof *to);
        return;
    }
    int64_t channels = p->v->dim[1], taps = p->v->dim[2];
    const char *from = (const char *)t->data + in_part * k_count * 2; /* at any address */
    for (int64_t c = 0; c < channels; c++)
        for (int64_t tap = 0; tap < taps; tap++)
            memcpy(&to[tap * channels + c], from + (c * taps + tap) * 2, 2);
}

static void pack_rows(void *ctx, struct thread_team *team, int id)
{
    const struct packing *p = ctx;
    int64_t k_count = cpu_value_k(p->v), from, to;
    float *row = p->row + id * k_count;
    thread_share(team, id, p->v->dim[0], CPU_PANEL, &from, &to);
    for (int64_t n = from; n < to; n += p->form == CPU_I8 ? CPU_PANEL : 1) {
        if (p->form == CPU_I8)
            pack_panel_i8(p, n, row, p->q + id * CPU_PANEL * ALIGN_UP(k_count, BASE_LINE));
        else if (p->form == CPU_F16)
            pack_row_f16(p, n);
        else
            cpu_pack_row(p->v, n, (float *)p->data + n * k_count);
    }
}

/* The packer of this processor. All give the same numbers, so no option forces one. */
static void choose_panel(struct packing *p)
{
    p->panel = cpu_quant_panel_base;
#if defined __x86_64__
    enum cpu_level best = cpu_level_best();
    if (best >= CPU_AVX2) p->panel = cpu_quant_panel_avx2;
    if (best >= CPU_AVX512) p->panel = cpu_quant_panel_avx512;
#endif
}

int cpu_pack_weight(struct arena *a, const struct plan_value *v, enum cpu_form form, int threads,
                    struct cpu_value *out, struct err *e)
{
    assert(form != CPU_OWN && (cpu_pack_forms(v) & CPU_BIT(form)) && v->rank >= 1);
    size_t n = (size_t)v->dim[0], k = (size_t)cpu_value_k(v), team = (size_t)threads;
    struct packing p = {.v = v, .form = form};
    choose_panel(&p);
    if (form == CPU_I8) {
        if (k > INT32_MAX / (128 * 128))
            return err_set(e, E_MODEL, "rows of %zu numbers; i8 holds at most %d, the sums are i32",
                           k, INT32_MAX / (128 * 128));
        size_t n_up = ALIGN_UP(n, (size_t)CPU_PANEL);
        if (!(p.data = arena_array(a, n_up, ALIGN_UP(k, 4), BASE_LINE, e)) ||
            !(p.scale = arena_array(a, n_up, sizeof *p.scale, BASE_LINE, e)) ||
            !(p.comp = arena_array(a, n_up, sizeof *p.comp, BASE_LINE, e)))
            return -1;
    } else {
        size_t size = form == CPU_F16 ? sizeof(uint16_t) : sizeof(float);
        p.data = arena_array(a, n * k, size, BASE_LINE, e);
        if (!p.data) return -1;
    }
    struct arena_mark mark = arena_here(a);
    if (!(p.row = ARENA_NEW(a, float, team *k, e)) ||
        !(p.q = ARENA_NEW(a, int8_t, team * CPU_PANEL * ALIGN_UP(k, BASE_LINE), e)))
        return -1;
    thread_run(n * k > 1 << 16 ? threads : 1, pack_rows, &p); /* a small one is not worth a team */
    arena_rewind(a, mark);
    *out = (struct cpu_value){.plan = v,
                              .data = p.data,
                              .rows = v->dim[0],
                              .form = form,
                              .scale = p.scale,
                              .comp = p.comp};
    return 0;
}

size_t cpu_pack_bytes(const struct plan_value *v, enum cpu_form form)
{
    size_t n = (size_t)v->dim[0], k = (size_t)cpu_value_k(v), panels = ALIGN_UP(n, CPU_PANEL);
    switch (form) {
    case CPU_I8:
        return panels * ALIGN_UP(k, 4) + panels * (sizeof(float) + sizeof(int32_t));
    case CPU_F16:
        return n * k * 2;
    default:
        return n * k * sizeof(float);
    }
}

void cpu_pack_read_i8(const struct cpu_value *w, int64_t n, int8_t *out)
{
    const int8_t *data = w->data;
    int64_t k_count = cpu_value_k(w->plan);
    assert(w->form == CPU_I8);
    for (int64_t k = 0; k < k_count; k++) out[k] = data[panel_at(n, k, k_count)];
}

void cpu_pack_read(const struct cpu_value *w, int64_t n, float *out)
{
    int64_t k_count = cpu_value_k(w->plan);
    assert(w->form != CPU_OWN && n >= 0 && n < w->plan->dim[0]);
    if (w->form == CPU_F32) {
        memcpy(out, (const float *)w->data + n * k_count, (size_t)k_count * sizeof *out);
        return;
    }
    for (int64_t k = 0; k < k_count; k++) {
        if (w->form == CPU_F16)
            out[k] = tensor_f16_to_f32(((const uint16_t *)w->data)[n * k_count + k]);
        else
            out[k] = (float)((const int8_t *)w->data)[panel_at(n, k, k_count)] * w->scale[n];
    }
}
