/* From the tensors of a file to the forms of gpu_pack.h, row by row. Called by gpu_mem.c, which
 * sends the rows to the device; tests call it to make what kernels read. */
#include "gpu/gpu_pack.h"
#include <math.h>
#include <string.h>

/* Which input of an op is a matrix, or -1. */
static int matrix_input(enum op op)
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

int gpu_pack_form(const struct plan *p, int value, enum gpu_form *out, struct err *e)
{
    const struct plan_value *v = &p->value[value];
    bool matrix = false, vector = false, conv = false;
    assert(v->life == PLAN_WEIGHT);
    for (int i = 0; i < p->n_steps; i++) {
        for (int k = 0; k < OP_INPUTS; k++) {
            if (p->step[i].in[k] != value) continue;
            bool is_matrix = k == matrix_input(p->step[i].op);
            matrix |= is_matrix;
            vector |= !is_matrix;
            conv |= p->step[i].op == OP_conv1d;
        }
    }
    if (matrix && vector)
        return err_set(e, E_DEVICE, "%s is a matrix to one step and a vector to another", v->name);
    *out = GPU_NONE;
    if (vector) *out = GPU_VECTOR;
    if (matrix) *out = p->compute == DTYPE_F16 ? GPU_F16 : GPU_F32;
    if (matrix && v->as_i8 && !conv) *out = GPU_I8;
    return 0;
}

static size_t element_bytes(enum gpu_form form)
{
    return form == GPU_I8 ? 1 : form == GPU_F16 ? 2 : 4;
}

size_t gpu_pack_scales(const struct plan_value *v)
{
    return (size_t)gpu_pack_np(v) * (size_t)gpu_pack_kp(v); /* a multiple of 128 * 64 */
}

size_t gpu_pack_bytes(const struct plan_value *v, enum gpu_form form)
{
    size_t bytes = 0;
    switch (form) {
    case GPU_NONE:
        break;
    case GPU_VECTOR:
        bytes = (size_t)tensor_count(v->rank, v->dim) * sizeof(float);
        break;
    case GPU_I8:
        bytes = gpu_pack_scales(v) + (size_t)gpu_pack_np(v) * sizeof(float);
        break;
    default:
        bytes = gpu_pack_scales(v) * element_bytes(form);
    }
    return ALIGN_UP(bytes, GPU_ALIGN);
}

/* The part that row n of the stack lies in; *n becomes the row within it. */
static const struct tensor *part_of(const struct plan_value *v, int64_t *n)
{
    int i = 0;
    while (i + 1 < v->n_parts && *n >= v->part[i].dim[0]) *n -= v->part[i++].dim[0];
    assert(v->rank == 0 || *n < v->part[i].dim[0]);
    return &v->part[i];
}

/* conv1d's [N,C,3]: the file has the taps inside, the pack has them outside. */
static void taps_out(const struct plan_value *v, const float *in, float *out)
{
    int64_t channels = v->dim[1], taps = v->dim[2];
    for (int64_t c = 0; c < channels; c++) {
        for (int64_t tap = 0; tap < taps; tap++) out[tap * channels + c] = in[c * taps + tap];
    }
}

/* The one rule of quantising, op.def's: q = rint(x * (127 / max|row|)), scale max|row| / 127, or 1
 * for a row of zeros. A file may hold anything: infinities and NaN become 0, not a wild cast. */
static float quantise(const float *row, int64_t k, int8_t *out)
{
    float most = 0;
    for (int64_t i = 0; i < k; i++) most = fmaxf(most, fabsf(row[i]));
    float to_i8 = isnormal(127.0f / most) ? 127.0f / most : 1.0f;
    for (int64_t i = 0; i < k; i++) {
        float q = rintf(row[i] * to_i8);
        out[i] = fabsf(q) <= 127 ? (int8_t)q : 0;
    }
    return 1.0f / to_i8;
}

/* Rows that only need to be copied: true if done. */
static bool copy_row(const struct tensor *t, enum gpu_form form, int64_t n, int64_t k, void *out,
                     float *scale)
{
    if (form == GPU_I8 && t->type == DTYPE_I8) {
        memcpy(out, (const char *)t->data + n * k, (size_t)k);
        *scale = t->scale ? t->scale[n] : 1.0f;
        return true;
    }
    if (t->rank == 3 || form != GPU_F16 || t->type != DTYPE_F16) return false;
    memcpy(out, (const uint16_t *)t->data + n * k, (size_t)k * 2);
    return true;
}

void gpu_pack_row(const struct plan_value *v, enum gpu_form form, int64_t n, float *row, void *out,
                  float *scale)
{
    int64_t k = gpu_pack_k(v), kp = form == GPU_VECTOR ? k : gpu_pack_kp(v);
    size_t element = element_bytes(form);
    *scale = 0;
    if (n >= (v->rank ? v->dim[0] : 1)) {
        memset(out, 0, (size_t)kp * element);
        return;
    }
    memset((char *)out + (size_t)k * element, 0, (size_t)(kp - k) * element);
    const struct tensor *t = part_of(v, &n);
    if (copy_row(t, form, n, k, out, scale)) return;
    bool conv = v->rank == 3 && form != GPU_VECTOR;
    float *dense = form == GPU_F32 || form == GPU_VECTOR ? out : row;
    tensor_row(t, n, conv ? row : dense);
    if (conv) {
        taps_out(v, row, row + k);
        dense = row + k;
    }
    if (form == GPU_I8) *scale = quantise(dense, k, out);
    if (form == GPU_F16) {
        for (int64_t i = 0; i < k; i++) ((uint16_t *)out)[i] = tensor_f32_to_f16(dense[i]);
    }
    if (conv && form == GPU_F32) memcpy(out, dense, (size_t)k * element);
}
