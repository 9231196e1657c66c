/* Packing weights to CPU_I8, 16 rows at a time: what a cold start waits for.
 *
 *     16 rows of f32 or f16 -- max, rint --> i8 [16][K] -- quads turned --> panel [K/4][16][4] */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_isa.h"

ISA_INLINE vf row_load(const void *row, int64_t k, int64_t left, bool f16)
{
    if (!f16) return vf_load_n((const float *)row + k, left);
    const uint16_t *h = (const uint16_t *)row + k;
    if (left >= W) return vf_load_f16(h);
    uint16_t part[W] = {0};
    memcpy(part, h, (size_t)left * sizeof *h);
    return vf_load_f16(part);
}

/* rint(v) as i8; 0 for what is beyond 127 or not a number. */
ISA_INLINE void store_i8(int8_t *q, vf v)
{
    v = (vf)((vi)v & (vi)(vf_abs(v) < 127.5f));
#if defined __AVX512F__
    _mm_storeu_si128((__m128i *)q, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32((__m512)v)));
#else
    typedef int8_t narrow __attribute__((vector_size(W)));
#if defined __AVX2__
    vi whole = (vi)_mm256_cvtps_epi32((__m256)v);
#else
    const float shift = 0x1.8p23f; /* added, it rounds to a whole number in the low bits */
    vi whole = (vi)(v + shift) - (vi)vf_all(shift);
#endif
    narrow n = __builtin_convertvector(whole, narrow);
    memcpy(q, &n, sizeof n);
#endif
}

/* One row as i8, zeros up to a multiple of 16; the rule of cpu_pack_to_i8. *sum: of all q. */
ISA_INLINE float quantise(const void *row, int64_t k_count, int8_t *q, int32_t *sum, bool f16)
{
    vf most = vf_all(0);
    for (int64_t k = 0; k < k_count; k += W)
        most = vf_max(vf_abs(row_load(row, k, k_count - k, f16)), most);
    float to_i8 = 127.0f / vf_most(most);
    if (!__builtin_isnormal(to_i8)) to_i8 = 1.0f;
    for (int64_t k = 0; k < k_count; k += W)
        store_i8(q + k, row_load(row, k, k_count - k, f16) * to_i8);
    *sum = 0;
    for (int64_t k = 0; k < k_count; k++) *sum += q[k];
    return 1.0f / to_i8;
}

CPU_FAST_QUANT(ISA_NAME(cpu_quant_panel))
{
    int64_t line = ALIGN_UP(k_count, BASE_LINE), quads = (k_count + 3) / 4;
    for (int64_t i = 0; i < CPU_PANEL; i++) {
        int8_t *q = room + i * line;
        int32_t sum = 0;
        scale[i] = f16 ? quantise(row[i], k_count, q, &sum, true)
                       : quantise(row[i], k_count, q, &sum, false);
        comp[i] = 128 * sum;
    }
    for (int64_t from = 0; from < CPU_PANEL; from += W) {
        for (int64_t k = 0; k < quads; k += W) {
            vf r[W]; /* quads, moved only */
            for (int64_t i = 0; i < W; i++)
                memcpy(&r[i], room + (from + i) * line + 4 * k, sizeof r[i]);
            vf_transpose(r);
            for (int64_t i = 0; i < MIN(W, quads - k); i++)
                memcpy(panel + ((k + i) * CPU_PANEL + from) * 4, &r[i], sizeof r[i]);
        }
    }
}
