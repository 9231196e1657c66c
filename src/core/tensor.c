#include "core/tensor.h"
#include "base/str.h"
#include <math.h>
#include <string.h>

static const struct {
    const char *text;
    size_t bytes;
    int per;
} types[DTYPE_COUNT] = {
#define DTYPE(name, text, bytes, per) {text, bytes, per},
#include "core/dtype.def"
#undef DTYPE
};

size_t tensor_type_bytes(enum dtype type)
{
    assert(type < DTYPE_COUNT);
    return types[type].bytes;
}

int tensor_type_per(enum dtype type)
{
    assert(type < DTYPE_COUNT);
    return types[type].per;
}

const char *tensor_type_name(enum dtype type)
{
    assert(type < DTYPE_COUNT);
    return types[type].text;
}

bool tensor_type_of(const char *text, enum dtype *out)
{
    for (int i = 0; i < DTYPE_COUNT; i++) {
        if (strcmp(types[i].text, text) == 0) {
            *out = (enum dtype)i;
            return true;
        }
    }
    return false;
}

int64_t tensor_count(int rank, const int64_t *dim)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0 || __builtin_mul_overflow(n, dim[i], &n)) return -1;
    }
    return n;
}

size_t tensor_bytes(const struct tensor *t)
{
    return (size_t)tensor_count(t->rank, t->dim) / (size_t)tensor_type_per(t->type) *
           tensor_type_bytes(t->type);
}

float tensor_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000 | mantissa << 13;
    } else if (exponent) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else { /* zero or subnormal: mantissa * 2^-24 */
        float value = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &value, 4);
        bits |= sign;
    }
    float out;
    memcpy(&out, &bits, 4);
    return out;
}

uint16_t tensor_f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00;  /* NaN */
    if (bits >= 0x477ff000) return sign | 0x7c00; /* 65520 and above round to infinity */
    if (bits < 0x38800000) { /* below 2^-14: subnormal, the rounding is that of an f32 addition */
        float magnitude;
        memcpy(&magnitude, &bits, 4);
        magnitude += 0.5f; /* ulp of 0.5 is 2^-24, the unit of f16 subnormals */
        memcpy(&bits, &magnitude, 4);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    bits += 0xfff + (bits >> 13 & 1); /* to nearest, ties to even */
    return (uint16_t)(sign | (bits - (112u << 23)) >> 13);
}

static float half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return tensor_f16_to_f32(h);
}

/* One block, see dtype.def. */
static void block(enum dtype type, const uint8_t *p, float *out)
{
    float d = half_at(p);
    if (type == DTYPE_Q8_0) {
        for (int j = 0; j < TENSOR_BLOCK; j++) out[j] = d * (float)(int8_t)p[2 + j];
        return;
    }
    bool five = type == DTYPE_Q5_0 || type == DTYPE_Q5_1;
    bool offset = type == DTYPE_Q4_1 || type == DTYPE_Q5_1;
    const uint8_t *at = p + (offset ? 4 : 2);
    uint32_t fifth = 0;
    if (five) {
        memcpy(&fifth, at, 4);
        at += 4;
    }
    float m = offset ? half_at(p + 2) : 0;
    int middle = offset ? 0 : five ? 16 : 8;
    for (int j = 0; j < TENSOR_BLOCK; j++) {
        int q = at[j % 16] >> (j < 16 ? 0 : 4) & 15;
        q |= (int)(fifth >> j & 1) << 4;
        out[j] = d * (float)(q - middle) + m;
    }
}

void tensor_row(const struct tensor *t, int64_t row, float *out)
{
    assert(t->rank >= 1 && row >= 0 && row < t->dim[0]);
    int64_t columns = tensor_count(t->rank - 1, t->dim + 1);
    int64_t items = columns / tensor_type_per(t->type);
    const char *p = (const char *)t->data + (size_t)(row * items) * tensor_type_bytes(t->type);
    switch (t->type) {
    case DTYPE_F32:
        memcpy(out, p, (size_t)columns * 4);
        return;
    case DTYPE_F16:
    case DTYPE_BF16:
        for (int64_t i = 0; i < columns; i++) {
            uint16_t h;
            memcpy(&h, p + 2 * i, 2);
            uint32_t wide = (uint32_t)h << 16;
            if (t->type == DTYPE_F16)
                out[i] = tensor_f16_to_f32(h);
            else
                memcpy(&out[i], &wide, 4);
        }
        return;
    case DTYPE_I8:
        for (int64_t i = 0; i < columns; i++) {
            out[i] = (float)(int8_t)p[i] * (t->scale ? t->scale[row] : 1.0f);
        }
        return;
    case DTYPE_U8:
        for (int64_t i = 0; i < columns; i++) out[i] = (float)(uint8_t)p[i];
        return;
    case DTYPE_F64:
        for (int64_t i = 0; i < columns; i++) {
            double v;
            memcpy(&v, p + 8 * i, 8);
            out[i] = (float)v;
        }
        return;
    case DTYPE_I16:
        for (int64_t i = 0; i < columns; i++) {
            int16_t v;
            memcpy(&v, p + 2 * i, 2);
            out[i] = (float)v;
        }
        return;
    case DTYPE_I32:
        for (int64_t i = 0; i < columns; i++) {
            int32_t v;
            memcpy(&v, p + 4 * i, 4);
            out[i] = (float)v;
        }
        return;
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
    case DTYPE_Q5_0:
    case DTYPE_Q5_1:
    case DTYPE_Q8_0:
        for (int64_t i = 0; i < items; i++)
            block(t->type, (const uint8_t *)p + (size_t)i * tensor_type_bytes(t->type),
                  out + i * TENSOR_BLOCK);
        return;
    case DTYPE_COUNT:
        break;
    }
    assert(!"a type without a reader");
}

float tensor_hash(const char *name, uint64_t i, float gain)
{
    uint64_t h = str_hash(STR_HASH, name, strlen(name));
    h += i * 0x9E3779B97F4A7C15u;
    h ^= h >> 30;
    h *= 0xBF58476D1CE4E5B9u;
    h ^= h >> 27;
    h *= 0x94D049BB133111EBu;
    h ^= h >> 31;
    return (float)((int64_t)(h >> 40) - (1 << 23)) / (float)(1 << 23) * gain;
}
