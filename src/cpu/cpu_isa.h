/* The vocabulary of the *_isa.c files: vectors of f32 and i32 as wide as the level has registers,
 * so that one text serves all levels. It is compiled once per level with -DISA=base|avx2|avx512
 * and the level's -m flags; every symbol of such a file ends in the level's name. a * b + c
 * becomes one instruction where the level has it (-ffp-contract=fast).
 *
 * Included by *_isa.c only. */
#ifndef CPU_CPU_ISA_H
#define CPU_CPU_ISA_H

#include "cpu/cpu.h"
#include <string.h>
#if defined __SSE2__
#include <immintrin.h>
#endif

#if defined __AVX512F__
#define W 16 /* lanes of f32 */
#elif defined __AVX2__
#define W 8
#else
#define W 4
#endif

#define ISA_PASTE2(name, isa) name##_##isa
#define ISA_PASTE(name, isa)  ISA_PASTE2(name, isa)
#define ISA_NAME(name)        ISA_PASTE(name, ISA)
#define ISA_INLINE            static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * W)));
typedef int32_t vi __attribute__((vector_size(4 * W)));
typedef float vf_loose __attribute__((vector_size(4 * W), aligned(4), may_alias));
typedef int32_t vi_loose __attribute__((vector_size(4 * W), aligned(4), may_alias));

/* Loads and stores need no alignment. */
ISA_INLINE vf vf_load(const float *p)
{
    return *(const vf_loose *)p;
}

ISA_INLINE void vf_store(float *p, vf v)
{
    *(vf_loose *)p = v;
}

ISA_INLINE vi vi_load(const int32_t *p)
{
    return *(const vi_loose *)p;
}

ISA_INLINE void vi_store(int32_t *p, vi v)
{
    *(vi_loose *)p = v;
}

ISA_INLINE vf vf_all(float x)
{
    return x - (vf){0};
}

ISA_INLINE vi vi_all(int32_t x)
{
    return x - (vi){0};
}

/* The first n lanes (1..W, or more: then all W); the rest is 0. */
ISA_INLINE vf vf_load_n(const float *p, int64_t n)
{
    if (n >= W) return vf_load(p);
#if defined __AVX512F__
    return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vf v = {0};
    for (int64_t i = 0; i < n; i++) v[i] = p[i];
    return v;
#endif
}

ISA_INLINE void vf_store_n(float *p, vf v, int64_t n)
{
    if (n >= W) {
        vf_store(p, v);
        return;
    }
#if defined __AVX512F__
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    for (int64_t i = 0; i < n; i++) p[i] = v[i];
#endif
}

ISA_INLINE vf vf_of_vi(vi v)
{
    return __builtin_convertvector(v, vf);
}

/* Where m is all ones a, elsewhere b. */
ISA_INLINE vf vf_choose(vi m, vf a, vf b)
{
    return (vf)((m & (vi)a) | (~m & (vi)b));
}

/* max, min: where one of the two is NaN, the second. */
ISA_INLINE vf vf_max(vf a, vf b)
{
#if defined __AVX512F__
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined __AVX2__
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return vf_choose(a > b, a, b);
#endif
}

ISA_INLINE vf vf_min(vf a, vf b)
{
#if defined __AVX512F__
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined __AVX2__
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return vf_choose(a < b, a, b);
#endif
}

ISA_INLINE vf vf_sqrt(vf a)
{
#if defined __AVX512F__
    return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined __AVX2__
    return (vf)_mm256_sqrt_ps((__m256)a);
#else
    for (int i = 0; i < W; i++) a[i] = __builtin_sqrtf(a[i]);
    return a;
#endif
}

ISA_INLINE vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7fffffff);
}

/* A bit for every lane of a comparison. */
ISA_INLINE uint32_t vi_bits(vi m)
{
#if defined __AVX512F__
    return _mm512_movepi32_mask((__m512i)m);
#elif defined __AVX2__
    return (uint32_t)_mm256_movemask_ps((__m256)m);
#else
    uint32_t bits = 0;
    for (int i = 0; i < W; i++) bits |= (uint32_t)(m[i] & 1) << i;
    return bits;
#endif
}

/* Whether any lane of a mask is set. */
ISA_INLINE bool vi_any(vi m)
{
#if defined __AVX512F__
    return _mm512_movepi32_mask((__m512i)m) != 0;
#elif defined __AVX2__
    return _mm256_movemask_ps((__m256)m) != 0;
#else
    return (m[0] | m[1] | m[2] | m[3]) != 0;
#endif
}

/* Sum and maximum over the lanes, as a tree. */
ISA_INLINE float vf_sum(vf v)
{
#if defined __AVX512F__
    return _mm512_reduce_add_ps((__m512)v);
#else
    float s[W];
    vf_store(s, v);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) s[i] += s[i + n];
    return s[0];
#endif
}

ISA_INLINE float vf_most(vf v)
{
#if defined __AVX512F__
    return _mm512_reduce_max_ps((__m512)v);
#else
    float s[W];
    vf_store(s, v);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) s[i] = s[i] > s[i + n] ? s[i] : s[i + n];
    return s[0];
#endif
}

/* W numbers of f16 as f32: exact. */
ISA_INLINE vf vf_load_f16(const uint16_t *p)
{
#if defined __AVX512F__
    return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif defined __AVX2__
    return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    vi h;
    for (int i = 0; i < W; i++) h[i] = p[i];
    /* exponent and fraction moved to f32's places mean 2^-112 of the number, small ones too */
    vf v = (vf)((h & 0x7fff) << 13) * 0x1p112f;
    vi beyond = (h & 0x7c00) == 0x7c00; /* infinity and NaN */
    return (vf)((vi)v | (beyond & 0x7f800000) | ((h & 0x8000) << 16));
#endif
}

/* W numbers of i8 as f32: exact. */
ISA_INLINE vf vf_load_i8(const int8_t *p)
{
#if defined __AVX512F__
    return (vf)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
#elif defined __AVX2__
    return (vf)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
#else
    vf v;
    for (int i = 0; i < W; i++) v[i] = p[i];
    return v;
#endif
}

/* Whole numbers, ties to even; no more than 2^22 away from 0. */
ISA_INLINE vi vi_round(vf v)
{
#if defined __AVX512F__
    return (vi)_mm512_cvtps_epi32((__m512)v);
#elif defined __AVX2__
    return (vi)_mm256_cvtps_epi32((__m256)v);
#elif defined __SSE2__
    return (vi)_mm_cvtps_epi32((__m128)v);
#else
    vi whole;
    for (int i = 0; i < W; i++) whole[i] = (int32_t)__builtin_rintf(v[i]);
    return whole;
#endif
}

/* rint(v) as i8, n of W; 0 for what is beyond 127 or not a number. */
ISA_INLINE void vf_store_i8(int8_t *p, vf v, int64_t n)
{
    vi whole = vi_round((vf)((vi)v & (vi)(vf_abs(v) < 127.5f)));
#if defined __AVX512F__
    __m128i narrow = _mm512_cvtepi32_epi8((__m512i)whole);
#else
    typedef int8_t bytes __attribute__((vector_size(W)));
    bytes narrow = __builtin_convertvector(whole, bytes);
#endif
    if (n >= W)
        memcpy(p, &narrow, W);
    else
        memcpy(p, &narrow, (size_t)n);
}

/* Rounds to the nearest f16, ties to even. */
ISA_INLINE void vf_store_f16(uint16_t *p, vf v)
{
#if defined __AVX512F__
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT));
#elif defined __AVX2__
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT));
#else
    for (int i = 0; i < W; i++) p[i] = tensor_f32_to_f16(v[i]);
#endif
}

/* 2^x for x up to 127 or -infinity, relative error under 2e-7; exactly 0 far below. */
ISA_INLINE vf vf_exp2(vf x)
{
    /* what would be denormal becomes 0: sums lose nothing, and the processor is slow with those */
#if defined __AVX512F__
    __mmask16 normal = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-126.0f), _CMP_GE_OQ);
    x = vf_max(x, vf_all(-126.0f));
    vf n = (vf)_mm512_roundscale_ps((__m512)x, 0);
#else
    const float shift = 0x1.8p23f; /* added and taken off, it rounds to a whole number */
    vf t = vf_max(x, vf_all(-126.0f)) + shift, n = t - shift;
#endif
    /* minimax on [-1/2, 1/2] of the relative error, which is 7.5e-8 */
    vf f = x - n, p = vf_all(1.327647187e-3f);
    p = p * f + 9.675541328e-3f;
    p = p * f + 5.550713274e-2f;
    p = p * f + 2.402211972e-1f;
    p = p * f + 6.931469671e-1f;
    p = p * f + 1.0f;
#if defined __AVX512F__
    return (vf)_mm512_maskz_scalef_ps(normal, (__m512)p, (__m512)n);
#else
    vi y = (vi)p + ((vi)t << 23); /* the low bits of t are n */
    return (vf)(y & (vi)(x >= -125.0f));
#endif
}

#define LOG2E 1.44269504f

ISA_INLINE vf vf_exp(vf x)
{
    return vf_exp2(x * LOG2E);
}

/* The largest of x [n], or of |x|; -inf or 0 if there is none. What is not a number is passed over.
 */
ISA_INLINE float vf_largest(const float *x, int64_t n, bool absolute)
{
    float least = absolute ? 0 : -__builtin_inff();
    vf most[4]; /* apart, for each waits for the one before */
    int64_t i = 0;
    for (int j = 0; j < 4; j++) most[j] = vf_all(least);
    for (; i + 4 * W <= n; i += 4 * W)
        for (int j = 0; j < 4; j++) {
            vf v = vf_load(x + i + j * W);
            most[j] = vf_max(absolute ? vf_abs(v) : v, most[j]);
        }
    float top = vf_most(vf_max(vf_max(most[0], most[1]), vf_max(most[2], most[3])));
    for (; i < n; i++) {
        float v = absolute ? __builtin_fabsf(x[i]) : x[i];
        top = v > top ? v : top;
    }
    return top;
}

/* log2 of a normal x > 0, absolute error under 2e-7 + rounding. */
ISA_INLINE vf vf_log2(vf x)
{
    /* x = 2^n (1 + z) with 1 + z in [sqrt 1/2, sqrt 2): 0x3f3504f3 is sqrt 1/2 */
    vi bits = (vi)x - 0x3f3504f3, n = bits >> 23;
    vf z = (vf)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
    /* minimax of log2(1 + z) / z, error 6e-8 */
    vf p = vf_all(-1.463052287e-1f);
    p = p * z + 2.365735557e-1f;
    p = p * z - 2.497450154e-1f;
    p = p * z + 2.867511604e-1f;
    p = p * z - 3.601238914e-1f;
    p = p * z + 4.809372939e-1f;
    p = p * z - 7.213560547e-1f;
    p = p * z + 1.442694814f;
    return p * z + vf_of_vi(n);
}

/* x * Phi(x), Phi the normal distribution: Phi(t) = 1/2 + t P(t^2) up to |t| = end, where Phi is
 * taken as 0 or 1; P, of n coefficients, is minimax in t^2 * 2 / end^2 - 1, weighted with t^2. end
 * and n are constants. */
ISA_INLINE vf vf_gelu_by(vf x, float end, const float *c, int n)
{
    vf t = vf_max(vf_min(x, vf_all(end)), vf_all(-end)), v = t * t * (2 / (end * end)) - 1.0f;
    vf p = vf_all(c[0]);
#pragma GCC unroll 16
    for (int i = 1; i < n; i++) p = p * v + c[i];
    vf y = x * (t * p + 0.5f);
    return (vf)((vi)y & (vi)(x > -end));
}

/* The exact GELU, absolute error under 1e-6. */
ISA_INLINE vf vf_gelu(vf x)
{
    static const float c[] = {6.940558087e-4f, -2.008168492e-3f, 2.330373740e-3f, -3.122468479e-3f,
                              6.903594825e-3f, -1.210335270e-2f, 1.745806262e-2f, -2.399178036e-2f,
                              3.171529248e-2f, -4.022167251e-2f, 5.078314990e-2f, -6.900316477e-2f,
                              1.386052817e-1f};
    return vf_gelu_by(x, 5.1f, c, 13);
}

/* The same to 2e-4, where products in i8 are off by more than that: half as many coefficients. */
ISA_INLINE vf vf_gelu_i8(vf x)
{
    static const float c[] = {5.082147196e-3f, -1.454392169e-2f, 2.243125252e-2f, -3.463843837e-2f,
                              5.535955355e-2f, -8.575931191e-2f, 1.802708805e-1f};
    return vf_gelu_by(x, 3.9f, c, 7);
}

ISA_INLINE vf vf_act(enum op_act act, vf x)
{
    if (act == OP_ACT_GELU) return vf_gelu(x);
    return act == OP_ACT_RELU ? vf_max(x, vf_all(0)) : x;
}

/* r[i][j] becomes r[j][i]: in log2(W) rounds rows i and i + s exchange blocks of s lanes. */
#if W == 16
#define ISA_TURN_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define ISA_TURN_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define ISA_TURN_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define ISA_TURN_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define ISA_BACK_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define ISA_BACK_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define ISA_BACK_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define ISA_BACK_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#elif W == 8
#define ISA_TURN_4 0, 1, 2, 3, 8, 9, 10, 11
#define ISA_TURN_2 0, 1, 8, 9, 4, 5, 12, 13
#define ISA_TURN_1 0, 8, 2, 10, 4, 12, 6, 14
#define ISA_BACK_4 4, 5, 6, 7, 12, 13, 14, 15
#define ISA_BACK_2 2, 3, 10, 11, 6, 7, 14, 15
#define ISA_BACK_1 1, 9, 3, 11, 5, 13, 7, 15
#else
#define ISA_TURN_2 0, 1, 4, 5
#define ISA_TURN_1 0, 4, 2, 6
#define ISA_BACK_2 2, 3, 6, 7
#define ISA_BACK_1 1, 5, 3, 7
#endif
#define ISA_ROUND(r, s)                                                \
    for (int i_ = 0; i_ < W; i_++) {                                   \
        if (i_ & (s)) continue;                                        \
        vf a_ = (r)[i_], b_ = (r)[i_ + (s)];                           \
        (r)[i_] = __builtin_shufflevector(a_, b_, ISA_TURN_##s);       \
        (r)[i_ + (s)] = __builtin_shufflevector(a_, b_, ISA_BACK_##s); \
    }

ISA_INLINE void vf_transpose(vf r[W])
{
#if W == 16
#pragma GCC unroll 16
    ISA_ROUND(r, 8)
#endif
#if W >= 8
#pragma GCC unroll 16
    ISA_ROUND(r, 4)
#endif
#pragma GCC unroll 16
    ISA_ROUND(r, 2)
#pragma GCC unroll 16
    ISA_ROUND(r, 1)
}

/* The sums over the lanes of W vectors, in one; r is lost. */
ISA_INLINE vf vf_sums(vf r[W])
{
    vf_transpose(r);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) r[i] += r[i + n];
    return r[0];
}

/* A line of memory into the nearest cache, before it is needed. */
ISA_INLINE void vf_fetch(const void *p)
{
    __builtin_prefetch(p, 0, 3);
}

#endif
