/* How weights lie in the memory of a GPU. Packed once, by the runner; kernels read it.
 *
 * A matrix is the w of conv1d and linear and the table of embed; N is dim[0], K the product of the
 * other dimensions. [N,C,3] of conv1d is stored with the taps outside, k = tap * C + c, so that a
 * row of w meets 3 C neighbouring floats of x.
 *
 *   GPU_F16  f16 [Np][Kp]                  plan->compute is F16
 *   GPU_F32  f32 [Np][Kp]                  plan->compute is F32
 *   GPU_I8   i8  [Np][Kp], scale f32 [Np]  the value is as_i8 and no conv1d reads it; value = q *
 *                                          scale[n]; the scales stand right behind the matrix
 *   GPU_VECTOR  f32, dense, as the plan has it: biases, norms, position tables, mel filters
 *
 * Np = N up to a multiple of 128, Kp = K up to a multiple of 64; what is added is 0 (scales too).
 * So a kernel may load whole tiles of w unguarded; x and y have no such padding. Every pack starts
 * on a multiple of 256 bytes. */
#ifndef GPU_GPU_PACK_H
#define GPU_GPU_PACK_H

#include "core/plan.h"

enum gpu_form { GPU_NONE, GPU_F16, GPU_F32, GPU_I8, GPU_VECTOR };

#define GPU_PACK_N 128
#define GPU_PACK_K 64
#define GPU_ALIGN  256

/* gpu_pack_form: the form a weight gets, from its users; GPU_NONE if nobody reads it. Errors:
 * E_DEVICE for one that is a matrix to one step and a vector to another. */
int gpu_pack_form(const struct plan *p, int value, enum gpu_form *out, struct err *e);
/* gpu_pack_bytes: what it takes, a multiple of GPU_ALIGN. */
size_t gpu_pack_bytes(const struct plan_value *v, enum gpu_form form);
/* gpu_pack_scales: where the scales of a GPU_I8 start within the pack. */
size_t gpu_pack_scales(const struct plan_value *v);
/* gpu_pack_row: row n (n < Np) of a matrix in its form: Kp elements to out, and its scale (0 for
 * padding) to *scale, which is used by GPU_I8 alone. GPU_VECTOR: K elements of row n. row: room for
 * 2 K floats. */
void gpu_pack_row(const struct plan_value *v, enum gpu_form form, int64_t n, float *row, void *out,
                  float *scale);

static inline int64_t gpu_pack_k(const struct plan_value *v)
{
    int64_t k = 1;
    for (int i = 1; i < v->rank; i++) k *= v->dim[i];
    return k;
}

/* Np and Kp: Kp is also the leading dimension of the matrix, in elements. */
static inline int64_t gpu_pack_np(const struct plan_value *v)
{
    return ALIGN_UP(v->rank ? v->dim[0] : 1, GPU_PACK_N);
}

static inline int64_t gpu_pack_kp(const struct plan_value *v)
{
    return ALIGN_UP(gpu_pack_k(v), GPU_PACK_K);
}

#endif
