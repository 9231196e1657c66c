/* The innermost products of the *_isa.c files: 8 rows times 48 (or 32) columns, all of K.
 *
 *      a [8][K]            b: 3 panels of 16 columns        c [8][48]
 *      row 0  ........     [K][16]  [K][16]  [K][16]        one register holds 16 sums;
 *      row 7  ........     apart by `panel` elements        8 x 3 of them stay in registers
 *
 * i8: K counts in quads of 4, the layout of CPU_I8. Sums are exact. Activations (quant_t) are u8
 * shifted by 128 for vpdpbusd, i16 for vpmaddwd; what the shift adds is cpu_value.comp.
 * With AVX-512 the loop is written in assembly, because gcc 12 cannot hold 24 sums, 3 columns and
 * the rows in 32 registers when told in intrinsics (half the speed). */
#ifndef CPU_CPU_TILE_H
#define CPU_CPU_TILE_H

#include "cpu/cpu_isa.h"

#define TILE_ROWS   8
#define TILE_PANELS 3
#define TILE_COLS   (TILE_PANELS * CPU_PANEL)
#define TILE_AHEAD \
    1536 /* bytes of weights fetched before they are needed, when few lines use them */

#if defined __AVX512F__
typedef uint8_t quant_t;
#define QUANT_SHIFT 128
#else
typedef int16_t quant_t;
#define QUANT_SHIFT 0
#endif

#if defined __AVX512F__

/* clang-format off */
#define TILE_ZERO(n, at)   "vpxord %%zmm" #n ",%%zmm" #n ",%%zmm" #n "\n\t"
#define TILE_LOAD(n, at)   "vmovups " at ",%%zmm" #n "\n\t"
#define TILE_STORE(n, at)  "vmovups %%zmm" #n "," at "\n\t"
/* every row's three (or two) sums with DO */
#define TILE_SUMS3(DO)                                                                             \
    DO(0, "(%[c])")             DO(1, "64(%[c])")            DO(2, "128(%[c])")                    \
    DO(3, "(%[c],%[ldc])")      DO(4, "64(%[c],%[ldc])")     DO(5, "128(%[c],%[ldc])")             \
    DO(6, "(%[c],%[ldc],2)")    DO(7, "64(%[c],%[ldc],2)")   DO(8, "128(%[c],%[ldc],2)")           \
    DO(9, "(%[c],%[ldc3])")     DO(10, "64(%[c],%[ldc3])")   DO(11, "128(%[c],%[ldc3])")           \
    DO(12, "(%[d])")            DO(13, "64(%[d])")           DO(14, "128(%[d])")                   \
    DO(15, "(%[d],%[ldc])")     DO(16, "64(%[d],%[ldc])")    DO(17, "128(%[d],%[ldc])")            \
    DO(18, "(%[d],%[ldc],2)")   DO(19, "64(%[d],%[ldc],2)")  DO(20, "128(%[d],%[ldc],2)")          \
    DO(21, "(%[d],%[ldc3])")    DO(22, "64(%[d],%[ldc3])")   DO(23, "128(%[d],%[ldc3])")
#define TILE_SUMS2(DO)                                                                             \
    DO(0, "(%[c])")             DO(1, "64(%[c])")            DO(3, "(%[c],%[ldc])")                \
    DO(4, "64(%[c],%[ldc])")    DO(6, "(%[c],%[ldc],2)")     DO(7, "64(%[c],%[ldc],2)")            \
    DO(9, "(%[c],%[ldc3])")     DO(10, "64(%[c],%[ldc3])")   DO(12, "(%[d])")                      \
    DO(13, "64(%[d])")          DO(15, "(%[d],%[ldc])")      DO(16, "64(%[d],%[ldc])")             \
    DO(18, "(%[d],%[ldc],2)")   DO(19, "64(%[d],%[ldc],2)")  DO(21, "(%[d],%[ldc3])")              \
    DO(22, "64(%[d],%[ldc3])")
#define TILE_MUL3(mul, at, x, c0, c1, c2)                                                          \
    "vpbroadcastd " at ",%%zmm" #x "\n\t"                                                          \
    mul " %%zmm24,%%zmm" #x ",%%zmm" #c0 "\n\t"                                                    \
    mul " %%zmm25,%%zmm" #x ",%%zmm" #c1 "\n\t"                                                    \
    mul " %%zmm26,%%zmm" #x ",%%zmm" #c2 "\n\t"
#define TILE_MUL2(mul, at, x, c0, c1, c2)                                                          \
    "vpbroadcastd " at ",%%zmm" #x "\n\t"                                                          \
    mul " %%zmm24,%%zmm" #x ",%%zmm" #c0 "\n\t"                                                    \
    mul " %%zmm25,%%zmm" #x ",%%zmm" #c1 "\n\t"
#define TILE_COLS3                                                                                 \
    "vmovups (%[b]),%%zmm24\n\tvmovups (%[b],%[s]),%%zmm25\n\tvmovups (%[b],%[s],2),%%zmm26\n\t"
#define TILE_COLS2                                                                                 \
    "vmovups (%[b]),%%zmm24\n\tvmovups (%[b],%[s]),%%zmm25\n\t"

/* what comes next, into the second cache */
#define TILE_FETCH "prefetcht1 (%[f])\n\tadd %[go],%[f]\n\t"

/* a: rows apart by lda bytes, 4 bytes each step. b: panels apart by s bytes, 64 bytes each step.
 * c: rows apart by ldc bytes. steps >= 1. f: with TILE_FETCH what is fetched, go bytes each step. */
#define TILE(name, mul, cols, start, fetch)                                                        \
    ISA_INLINE void name(const void *a, int64_t lda, const void *b, int64_t s, int64_t steps,      \
                         void *c, int64_t ldc, const void *f, int64_t go)                          \
    {                                                                                              \
        const char *e = (const char *)a + 4 * lda;                                                 \
        char *d = (char *)c + 4 * ldc;                                                             \
        __asm__ volatile(TILE_SUMS##cols(start)                                                    \
            ".p2align 5\n1:\n\t" TILE_COLS##cols fetch                                             \
            TILE_MUL##cols(mul, "(%[a])", 27, 0, 1, 2)                                             \
            TILE_MUL##cols(mul, "(%[a],%[lda])", 28, 3, 4, 5)                                      \
            TILE_MUL##cols(mul, "(%[a],%[lda],2)", 29, 6, 7, 8)                                    \
            TILE_MUL##cols(mul, "(%[a],%[lda3])", 30, 9, 10, 11)                                   \
            TILE_MUL##cols(mul, "(%[e])", 27, 12, 13, 14)                                          \
            TILE_MUL##cols(mul, "(%[e],%[lda])", 28, 15, 16, 17)                                   \
            TILE_MUL##cols(mul, "(%[e],%[lda],2)", 29, 18, 19, 20)                                 \
            TILE_MUL##cols(mul, "(%[e],%[lda3])", 30, 21, 22, 23)                                  \
            "add $64,%[b]\n\tadd $4,%[a]\n\tadd $4,%[e]\n\tdec %[n]\n\tjnz 1b\n\t"                     \
            TILE_SUMS##cols(TILE_STORE)                                                            \
            : [a] "+&r"(a), [e] "+&r"(e), [b] "+&r"(b), [f] "+&r"(f), [n] "+&r"(steps)            \
            : [lda] "r"(lda), [lda3] "r"(3 * lda), [s] "r"(s), [c] "r"(c), [d] "r"(d),             \
              [ldc] "r"(ldc), [ldc3] "r"(3 * ldc), [go] "rm"(go)                                   \
            : "memory", "cc", "zmm0", "zmm1", "zmm2", "zmm3", "zmm4", "zmm5", "zmm6", "zmm7",      \
              "zmm8", "zmm9", "zmm10", "zmm11", "zmm12", "zmm13", "zmm14", "zmm15", "zmm16",       \
              "zmm17", "zmm18", "zmm19", "zmm20", "zmm21", "zmm22", "zmm23", "zmm24", "zmm25",     \
              "zmm26", "zmm27", "zmm28", "zmm29", "zmm30");                                        \
    }
TILE(tile_i8_asm, "vpdpbusd", 3, TILE_ZERO, "")
TILE(tile_i8_ahead_asm, "vpdpbusd", 3, TILE_ZERO, TILE_FETCH)
TILE(tile_i8_2_asm, "vpdpbusd", 2, TILE_ZERO, "")
TILE(tile_f32_asm, "vfmadd231ps", 3, TILE_ZERO, "")
TILE(tile_f32_onto_asm, "vfmadd231ps", 2, TILE_LOAD, "")
#if defined __AVX512FP16__
TILE(tile_f16_3_asm, "vfmadd231ph", 3, TILE_ZERO, "")
TILE(tile_f16_2_asm, "vfmadd231ph", 2, TILE_ZERO, "")
#endif
/* clang-format on */

#if defined __AVX512FP16__
/* The f32 sums of 16 pairs of halves, by the conversion, which takes denormal ones at full speed.
 */
ISA_INLINE vf tile_pair_sums(vi pairs)
{
    vf odd = (vf)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)(pairs >> 16)));
    vf even = (vf)_mm512_cvtph_ps(_mm512_cvtepi32_epi16((__m512i)pairs));
    return odd + even;
}

/* c [8][48] pairs of halves, rows apart by ldc, = a times b; pairs: of K. lda, panel and ldc in
 * bytes. */
ISA_INLINE void tile_f16_3(const void *a, int64_t lda, const void *b, int64_t panel, int64_t pairs,
                           void *c, int64_t ldc)
{
    tile_f16_3_asm(a, lda, b, panel, pairs, c, ldc, NULL, 0);
}

/* The same of two panels. */
ISA_INLINE void tile_f16_2(const void *a, int64_t lda, const void *b, int64_t panel, int64_t pairs,
                           void *c, int64_t ldc)
{
    tile_f16_2_asm(a, lda, b, panel, pairs, c, ldc, NULL, 0);
}
#endif

/* c [8][48] i32 = a times b. lda: elements between rows; panel: bytes between panels. */
ISA_INLINE void tile_i8(const quant_t *a, int64_t lda, const int8_t *b, int64_t panel,
                        int64_t quads, int32_t *c)
{
    tile_i8_asm(a, lda, b, panel, quads, c, 4 * TILE_COLS, NULL, 0);
}

/* The same; meanwhile what lies at `next` is fetched, `go` bytes for each quad. */
ISA_INLINE void tile_i8_ahead(const quant_t *a, int64_t lda, const int8_t *b, int64_t panel,
                              int64_t quads, int32_t *c, const int8_t *next, int64_t go)
{
    tile_i8_ahead_asm(a, lda, b, panel, quads, c, 4 * TILE_COLS, next, go);
}

/* The same of two panels: the last 16 columns of c stay as they are. */
ISA_INLINE void tile_i8_2(const quant_t *a, int64_t lda, const int8_t *b, int64_t panel,
                          int64_t quads, int32_t *c)
{
    tile_i8_2_asm(a, lda, b, panel, quads, c, 4 * TILE_COLS, NULL, 0);
}

/* c [8][48], rows apart by ldc, = a times b; lda, panel and ldc in floats. */
ISA_INLINE void tile_f32(const float *a, int64_t lda, const float *b, int64_t panel, int64_t k,
                         float *c, int64_t ldc)
{
    tile_f32_asm(a, 4 * lda, b, 4 * panel, k, c, 4 * ldc, NULL, 0);
}

/* c [8][32] += a times b of two panels. */
ISA_INLINE void tile_f32_onto(const float *a, int64_t lda, const float *b, int64_t panel, int64_t k,
                              float *c, int64_t ldc)
{
    tile_f32_onto_asm(a, 4 * lda, b, 4 * panel, k, c, 4 * ldc, NULL, 0);
}

#else /* narrower registers: a few rows and three vectors of columns at a time */

#define TILE_PART  4
#define TILE_STEPS 256

/* b: where each vector of columns begins; it goes on 16 floats further each step. */
ISA_INLINE void tile_f32_part(const float *a, int64_t lda, const float *const b[3], int64_t k,
                              float *const c[3], int64_t ldc, int vecs, bool onto)
{
    vf sum[TILE_PART][3];
#pragma GCC unroll 4
    for (int r = 0; r < TILE_PART; r++)
#pragma GCC unroll 3
        for (int v = 0; v < vecs; v++) sum[r][v] = onto ? vf_load(c[v] + r * ldc) : vf_all(0);
    for (int64_t i = 0; i < k; i++) {
        vf col[3];
#pragma GCC unroll 3
        for (int v = 0; v < vecs; v++) col[v] = vf_load(b[v] + i * CPU_PANEL);
#pragma GCC unroll 4
        for (int r = 0; r < TILE_PART; r++) {
            vf x = vf_all(a[r * lda + i]);
#pragma GCC unroll 3
            for (int v = 0; v < vecs; v++) sum[r][v] = x * col[v] + sum[r][v];
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < TILE_PART; r++)
#pragma GCC unroll 3
        for (int v = 0; v < vecs; v++) vf_store(c[v] + r * ldc, sum[r][v]);
}

/* Not inlined: beside a caller's own, the addresses would not stay in registers (half the speed).
 */
static __attribute__((noinline)) void tile_f32_three(const float *a, int64_t lda,
                                                     const float *const b[3], int64_t k,
                                                     float *const c[3], int64_t ldc, bool onto)
{
    if (onto)
        tile_f32_part(a, lda, b, k, c, ldc, 3, true);
    else
        tile_f32_part(a, lda, b, k, c, ldc, 3, false);
}

static __attribute__((noinline)) void tile_f32_two(const float *a, int64_t lda,
                                                   const float *const b[3], int64_t k,
                                                   float *const c[3], int64_t ldc, bool onto)
{
    tile_f32_part(a, lda, b, k, c, ldc, 2, onto);
}

/* `columns`, a constant, of 8 rows; as many steps at a time as keep the columns in the nearest
 * cache. */
ISA_INLINE void tile_f32_any(const float *a, int64_t lda, const float *b, int64_t panel, int64_t k,
                             float *c, int64_t ldc, int columns, bool onto)
{
    enum { most = TILE_STEPS };
    const int vecs = columns % (3 * W) ? 2 : 3; /* never one: its sums would wait for each other */
    for (int64_t from = 0; from < k || from == 0; from += most) {
        const int64_t steps = MIN(most, k - from);
        for (int i = 0; i < columns; i += vecs * W) {
            for (int r = 0; r < TILE_ROWS; r += TILE_PART) {
                const float *cols[3];
                float *to[3];
                for (int v = 0; v < vecs; v++) {
                    int at = i + v * W;
                    cols[v] = b + at / CPU_PANEL * panel + from * CPU_PANEL + at % CPU_PANEL;
                    to[v] = c + r * ldc + at;
                }
                const float *x = a + r * lda + from;
                if (vecs == 3)
                    tile_f32_three(x, lda, cols, steps, to, ldc, onto || from > 0);
                else
                    tile_f32_two(x, lda, cols, steps, to, ldc, onto || from > 0);
            }
        }
    }
}

ISA_INLINE void tile_f32(const float *a, int64_t lda, const float *b, int64_t panel, int64_t k,
                         float *c, int64_t ldc)
{
    tile_f32_any(a, lda, b, panel, k, c, ldc, TILE_COLS, false);
}

ISA_INLINE void tile_f32_onto(const float *a, int64_t lda, const float *b, int64_t panel, int64_t k,
                              float *c, int64_t ldc)
{
    tile_f32_any(a, lda, b, panel, k, c, ldc, 2 * CPU_PANEL, true);
}

#endif

/* c [rows][16] i32, rows apart by ldc, = a times one panel; rows <= 8 is a constant. Weights are
 * read once, in the order they lie in memory, and fetched ahead: this is the product of decoding,
 * bound by memory. */
#if defined __AVX512F__
ISA_INLINE void tile_few_i8(int rows, const quant_t *a, int64_t lda, const int8_t *b, int64_t quads,
                            int32_t *c, int64_t ldc)
{
    const int chains = rows == 1 ? 8 : rows == 2 ? 4 : rows <= 4 ? 3 : 2; /* hide the latency */
    __m512i sum[8][8];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int j = 0; j < chains; j++) sum[r][j] = _mm512_setzero_si512();
    int64_t i = 0;
    for (; i + chains <= quads; i += chains, b += 64 * chains) {
#pragma GCC unroll 8
        for (int j = 0; j < chains; j++) {
            __m512i w = _mm512_loadu_si512(b + 64 * j);
            vf_fetch(b + 64 * j + TILE_AHEAD);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                int32_t x;
                memcpy(&x, a + r * lda + 4 * (i + j), 4);
                sum[r][j] = _mm512_dpbusd_epi32(sum[r][j], _mm512_set1_epi32(x), w);
            }
        }
    }
    for (; i < quads; i++, b += 64) {
        __m512i w = _mm512_loadu_si512(b);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            int32_t x;
            memcpy(&x, a + r * lda + 4 * i, 4);
            sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], _mm512_set1_epi32(x), w);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int j = 1; j < chains; j++) sum[r][0] = _mm512_add_epi32(sum[r][0], sum[r][j]);
        _mm512_storeu_si512(c + r * ldc, sum[r][0]);
    }
}
#else
#if defined __AVX2__
typedef __m256i tile_words; /* i16: 4 of one quad for each of W / 2 columns */

ISA_INLINE tile_words tile_widen(const int8_t *p)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p));
}

ISA_INLINE tile_words tile_repeat(int64_t quad)
{
    return _mm256_set1_epi64x(quad);
}

/* Adds products, two of a quad's four in each i32; the other addition waits until the end. */
ISA_INLINE vi tile_add(vi sum, tile_words a, tile_words b)
{
    return sum + (vi)_mm256_madd_epi16(a, b);
}

ISA_INLINE vi tile_join(vi a, vi b)
{
    return (vi)_mm256_permute4x64_epi64(_mm256_hadd_epi32((__m256i)a, (__m256i)b), 0xd8);
}
#elif defined __SSE2__
typedef __m128i tile_words;

ISA_INLINE tile_words tile_widen(const int8_t *p)
{
    __m128i x = _mm_loadl_epi64((const __m128i *)p);
    return _mm_srai_epi16(_mm_unpacklo_epi8(x, x), 8);
}

ISA_INLINE tile_words tile_repeat(int64_t quad)
{
    return _mm_set1_epi64x(quad);
}

ISA_INLINE vi tile_add(vi sum, tile_words a, tile_words b)
{
    return sum + (vi)_mm_madd_epi16(a, b);
}

ISA_INLINE vi tile_join(vi a, vi b)
{
    return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}
#else /* any processor: products of i8 and the sum of two fit in i16 */
typedef int16_t tile_words __attribute__((vector_size(4 * W)));

ISA_INLINE tile_words tile_widen(const int8_t *p)
{
    tile_words w;
    for (int i = 0; i < 2 * W; i++) w[i] = p[i];
    return w;
}

ISA_INLINE tile_words tile_repeat(int64_t quad)
{
    typedef int64_t quads __attribute__((vector_size(4 * W)));
    return (tile_words)(quad - (quads){0});
}

ISA_INLINE vi tile_add(vi sum, tile_words a, tile_words b)
{
    vi products = (vi)(a * b);
    return sum + (products << 16 >> 16) + (products >> 16);
}

ISA_INLINE vi tile_join(vi a, vi b)
{
    return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}
#endif

/* `vecs` vectors of words (2 or 4) of each quad of one panel, for n rows; both are constants, and
 * n * vecs <= 12 sums stay in registers. Words are widened once for all rows. */
ISA_INLINE void tile_few_part(int n, int vecs, const quant_t *a, int64_t lda, const int8_t *b,
                              int64_t quads, int32_t *c, int64_t ldc, bool ahead)
{
    vi sum[6][4];
#pragma GCC unroll 6
    for (int r = 0; r < n; r++)
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) sum[r][j] = vi_all(0);
    for (int64_t i = 0; i < quads; i++, b += 4 * CPU_PANEL) {
        tile_words w[4];
        if (ahead) vf_fetch(b + TILE_AHEAD);
#pragma GCC unroll 4
        for (int j = 0; j < vecs; j++) w[j] = tile_widen(b + 2 * W * j);
#pragma GCC unroll 6
        for (int r = 0; r < n; r++) {
            int64_t quad;
            memcpy(&quad, a + r * lda + 4 * i, sizeof quad);
            tile_words x = tile_repeat(quad);
#pragma GCC unroll 4
            for (int j = 0; j < vecs; j++) sum[r][j] = tile_add(sum[r][j], x, w[j]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < n; r++)
#pragma GCC unroll 2
        for (int j = 0; j < vecs; j += 2)
            vi_store(c + r * ldc + j / 2 * W, tile_join(sum[r][j], sum[r][j + 1]));
}

ISA_INLINE void tile_few_i8(int rows, const quant_t *a, int64_t lda, const int8_t *b, int64_t quads,
                            int32_t *c, int64_t ldc)
{
    enum { all = 2 * CPU_PANEL / W };
    const int most = rows <= 6 ? rows : 4, vecs = rows <= 2 && W == 8 ? 4 : 2;
    for (int j = 0; j < all; j += vecs) {
        const int8_t *w = b + 2 * W * j;
        int32_t *to = c + j / 2 * W;
        tile_few_part(most, vecs, a, lda, w, quads, to, ldc, rows < TILE_ROWS && j == 0);
        if (rows > most)
            tile_few_part(rows - most, vecs, a + most * lda, lda, w, quads, to + most * ldc, ldc,
                          false);
    }
}
#endif

#if !defined __AVX512F__
ISA_INLINE void tile_i8(const quant_t *a, int64_t lda, const int8_t *b, int64_t panel,
                        int64_t quads, int32_t *c)
{
    for (int p = 0; p < TILE_PANELS; p++)
        tile_few_i8(TILE_ROWS, a, lda, b + p * panel, quads, c + p * CPU_PANEL, TILE_COLS);
}

ISA_INLINE void tile_i8_ahead(const quant_t *a, int64_t lda, const int8_t *b, int64_t panel,
                              int64_t quads, int32_t *c, const int8_t *next, int64_t go)
{
    (void)next, (void)go;
    tile_i8(a, lda, b, panel, quads, c);
}

ISA_INLINE void tile_i8_2(const quant_t *a, int64_t lda, const int8_t *b, int64_t panel,
                          int64_t quads, int32_t *c)
{
    for (int p = 0; p < 2; p++)
        tile_few_i8(TILE_ROWS, a, lda, b + p * panel, quads, c + p * CPU_PANEL, TILE_COLS);
}
#endif

#endif
