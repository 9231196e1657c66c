/* A tensor: type, shape, bytes somebody else owns. Always dense, slowest dimension first.
 * The legend of letters used in all shape comments:
 *   B windows in a batch    R rows of a decoding step   T time positions   C channels (model width)
 *   H attention heads       D channels of one head      N, K output and input width of a product
 *   V vocabulary            M mel bands                 S sequences (beams of all windows) */
#ifndef CORE_TENSOR_H
#define CORE_TENSOR_H

#include "base/base.h"

#define TENSOR_RANK 4

enum dtype {
#define DTYPE(name, text, bytes, per) DTYPE_##name,
#include "core/dtype.def"
#undef DTYPE
    DTYPE_COUNT
};

struct tensor {
    enum dtype type;
    int rank; /* 0..4; 0 is a scalar */
    int64_t dim[TENSOR_RANK];
    const void *data;
    const float *scale; /* I8 only: [dim[0]], value = q * scale[row]; else NULL */
};

#define TENSOR_BLOCK 32 /* elements of a block */

size_t tensor_type_bytes(enum dtype type); /* of an item: one element, or a block of them */
int tensor_type_per(enum dtype type);      /* elements of an item: 1 or TENSOR_BLOCK */
const char *tensor_type_name(enum dtype type);
bool tensor_type_of(const char *text, enum dtype *out);

/* tensor_count: product of the dimensions (1 for a scalar), or -1 if it overflows or a dimension is
 * negative. */
int64_t tensor_count(int rank, const int64_t *dim);
size_t tensor_bytes(const struct tensor *t); /* of data; dims were checked before */
/* tensor_row: columns of row `row` of a rank >= 1 tensor as f32 (dequantised), columns = count /
 * dim[0]. Rows of blocks are whole blocks. */
void tensor_row(const struct tensor *t, int64_t row, float *out);

float tensor_f16_to_f32(uint16_t h);
uint16_t tensor_f32_to_f16(float f); /* round to nearest even, overflow to infinity */

/* tensor_hash: the i-th element of the test tensor of that name: a number in [-1, 1) from a 64-bit
 * integer hash of (FNV-1a of the name, i), multiplied by `gain`, so that C and numpy make the same
 * models without a file. h = fnv1a64(name) + i * 0x9E3779B97F4A7C15;  h ^= h >> 30;  h *=
 * 0xBF58476D1CE4E5B9;  h ^= h >> 27; h *= 0x94D049BB133111EB;  h ^= h >> 31;      value =
 * ((int64)(h >> 40) - 2^23) / 2^23 * gain   (exact in f32 before the gain) */
float tensor_hash(const char *name, uint64_t i, float gain);

#endif
