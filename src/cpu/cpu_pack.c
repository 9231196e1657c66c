/* From the tensors of a file to the one form in which all users of a weight can read it. The forms
 * are drawn in cpu.h; which of them a weight gets is decided by the runner (cpu.c). */
#include "cpu/cpu.h"
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

static int pack_i8(struct arena *a, const struct plan_value *v, struct cpu_value *out,
                   struct err *e)
{
    int64_t n_count = v->dim[0], k_count = cpu_value_k(v);
    size_t n_up = (size_t)ALIGN_UP(n_count, CPU_PANEL), k_up = (size_t)ALIGN_UP(k_count, 4);
    assert(k_count <= INT32_MAX / (128 * 128)); /* sums of products stay within i32 */
    int8_t *data = arena_array(a, n_up, k_up, BASE_LINE, e);
    if (!data) return -1;
    float *scale = arena_array(a, n_up, sizeof *scale, BASE_LINE, e);
    if (!scale) return -1;
    int32_t *comp = arena_array(a, n_up, sizeof *comp, BASE_LINE, e);
    if (!comp) return -1;

    struct arena_mark mark = arena_here(a);
    float *row = ARENA_NEW(a, float, (size_t)k_count, e);
    if (!row) return -1;
    int8_t *q = ARENA_NEW(a, int8_t, k_up, e); /* the padding stays 0 */
    if (!q) return -1;
    for (int64_t n = 0; n < n_count; n++) {
        scale[n] = cpu_pack_quantise(v, n, row, q);
        for (int64_t k = 0; k < k_count; k += 4) memcpy(&data[panel_at(n, k, k_count)], q + k, 4);
        for (int64_t k = 0; k < k_count; k++) comp[n] += 128 * q[k];
    }
    arena_rewind(a, mark);
    out->data = data;
    out->scale = scale;
    out->comp = comp;
    return 0;
}

static int pack_f32(struct arena *a, const struct plan_value *v, struct cpu_value *out,
                    struct err *e)
{
    int64_t n_count = v->rank ? v->dim[0] : 1, k_count = cpu_value_k(v);
    float *data = arena_array(a, (size_t)(n_count * k_count), sizeof *data, BASE_LINE, e);
    if (!data) return -1;
    for (int64_t n = 0; n < n_count; n++) cpu_pack_row(v, n, data + n * k_count);
    out->data = data;
    return 0;
}

static int pack_f16(struct arena *a, const struct plan_value *v, struct cpu_value *out,
                    struct err *e)
{
    int64_t k_count = cpu_value_k(v);
    uint16_t *data = arena_array(a, (size_t)(v->dim[0] * k_count), sizeof *data, BASE_LINE, e);
    if (!data) return -1;
    struct arena_mark mark = arena_here(a);
    float *row = ARENA_NEW(a, float, (size_t)k_count, e);
    if (!row) return -1;
    for (int64_t n = 0; n < v->dim[0]; n++) {
        cpu_pack_row(v, n, row);
        for (int64_t k = 0; k < k_count; k++) data[n * k_count + k] = tensor_f32_to_f16(row[k]);
    }
    arena_rewind(a, mark);
    out->data = data;
    return 0;
}

int cpu_pack_weight(struct arena *a, const struct plan_value *v, enum cpu_form form,
                    struct cpu_value *out, struct err *e)
{
    assert(form != CPU_OWN && (cpu_pack_forms(v) & CPU_BIT(form)) && v->rank >= 1);
    out->plan = v;
    out->rows = v->dim[0];
    out->form = form;
    if (form == CPU_I8) return pack_i8(a, v, out, e);
    return form == CPU_F16 ? pack_f16(a, v, out, e) : pack_f32(a, v, out, e);
}

size_t cpu_pack_bytes(const struct plan_value *v, enum cpu_form form)
{
    size_t n = (size_t)v->dim[0], k = (size_t)cpu_value_k(v), panels = ALIGN_UP(n, CPU_PANEL);
    switch (form) {
    case CPU_I8: return panels * ALIGN_UP(k, 4) + panels * (sizeof(float) + sizeof(int32_t));
    case CPU_F16: return n * k * 2;
    default: return n * k * sizeof(float);
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
