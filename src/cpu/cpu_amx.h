/* Products of whole tiles by AMX: 16 rows of 64 bytes times 16 columns of 64 bytes at once. Only in
 * texts compiled for a level that has it.
 *
 *     tile registers   0 1   sums of rows 0..15  and columns 0..15, 16..31
 *                      2 3   of rows 16..31
 *                      4 5   rows 0..15, 16..31, 64 bytes of each
 *                      6 7   columns 0..15, 16..31: the panels of CPU_I8 as they are
 *
 * They belong to the thread and to the time between amx_begin and amx_end. */
#ifndef CPU_CPU_AMX_H
#define CPU_CPU_AMX_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define AMX_ROWS   16
#define AMX_BYTES  64   /* of K in a tile: 64 i8 or 32 bf16 */
#define AMX_TILE   1024 /* bytes */
#define AMX_FEWEST 3    /* lines from which on it is faster than VNNI, measured at 1536 x 384 */

/* gcc's loads of tiles do not say that they read memory: what they read must be there before. */
#define AMX_WRITTEN() __asm__ volatile("" ::: "memory")

/* All tiles 16 rows of 64 bytes. */
static inline void amx_begin(void)
{
    struct {
        uint8_t palette, start_row, none[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        config.row_bytes[i] = AMX_BYTES;
        config.rows[i] = AMX_ROWS;
    }
    AMX_WRITTEN();
    _tile_loadconfig(&config);
}

static inline void amx_end(void)
{
    _tile_release();
}

ISA_INLINE void amx_zero(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* c rows apart by ldc numbers. */
ISA_INLINE void amx_store(bool tall, bool wide, int32_t *c, int64_t ldc)
{
    _tile_stored(0, c, 4 * ldc);
    if (wide) _tile_stored(1, c + 16, 4 * ldc);
    if (tall) _tile_stored(2, c + AMX_ROWS * ldc, 4 * ldc);
    if (tall && wide) _tile_stored(3, c + AMX_ROWS * ldc + 16, 4 * ldc);
}

/* Onto the sums: 64 of K. Lines come from the second cache and are read once for each pair of
 * panels, which so stays in the first one. */
ISA_INLINE void amx_add_i8(bool tall, bool wide, const uint8_t *a, int64_t lda, const int8_t *b,
                           int64_t panel)
{
    _tile_stream_loadd(4, a, lda);
    _tile_loadd(6, b, AMX_BYTES);
    _tile_dpbusd(0, 4, 6);
    if (wide) _tile_loadd(7, b + panel, AMX_BYTES);
    if (wide) _tile_dpbusd(1, 4, 7);
    if (tall) _tile_stream_loadd(5, a + AMX_ROWS * lda, lda);
    if (tall) _tile_dpbusd(2, 5, 6);
    if (tall && wide) _tile_dpbusd(3, 5, 7);
}

ISA_INLINE void amx_i8_as(bool tall, bool wide, const uint8_t *a, int64_t lda, const int8_t *b,
                          int64_t panel, int64_t quads, const int8_t *next, int64_t go, int32_t *c,
                          int64_t ldc)
{
    amx_zero();
    int64_t i = 0;
    for (; i + AMX_ROWS <= quads; i += AMX_ROWS) {
        amx_add_i8(tall, wide, a + 4 * i, lda, b + 64 * i, panel);
        for (int64_t k = 0; k < go; k++, next += 64) _mm_prefetch(next, _MM_HINT_T1);
    }
    if (i < quads) { /* zeros beyond the panel's end, whatever a holds there */
        int8_t last[2 * AMX_TILE] = {0};
        memcpy(last, b + 64 * i, (size_t)(quads - i) * 64);
        if (wide) memcpy(last + AMX_TILE, b + panel + 64 * i, (size_t)(quads - i) * 64);
        AMX_WRITTEN();
        amx_add_i8(tall, wide, a + 4 * i, lda, last, AMX_TILE);
    }
    amx_store(tall, wide, c, ldc);
}

/* The same of bf16, 32 columns, step by step: what amx_add_bf16 multiplies, and the sums as they
 * lie, rows apart by ldc numbers. */
ISA_INLINE void amx_load_a(bool tall, const uint16_t *a, int64_t lda)
{
    _tile_loadd(4, a, lda);
    if (tall) _tile_loadd(5, a + AMX_ROWS * lda / 2, lda);
}

ISA_INLINE void amx_load_b(const uint16_t *b, int64_t panel)
{
    _tile_loadd(6, b, AMX_BYTES);
    _tile_loadd(7, b + panel / 2, AMX_BYTES);
}

ISA_INLINE void amx_load_sums(bool tall, const int32_t *c, int64_t ldc)
{
    _tile_loadd(0, c, 4 * ldc);
    _tile_loadd(1, c + 16, 4 * ldc);
    if (tall) _tile_loadd(2, c + AMX_ROWS * ldc, 4 * ldc);
    if (tall) _tile_loadd(3, c + AMX_ROWS * ldc + 16, 4 * ldc);
}

ISA_INLINE void amx_add_bf16(bool tall)
{
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (tall) _tile_dpbf16ps(2, 5, 6);
    if (tall) _tile_dpbf16ps(3, 5, 7);
}

/* c i32 [32 or 16][32 or 16] = a u8, rows apart by lda and readable up to a multiple of 64, times
 * one or two panels of CPU_I8. tall, wide: whether 32. Meanwhile `go` lines of 64 bytes at `next`
 * are fetched for each 64 of K. */
static inline void amx_i8(bool tall, bool wide, const uint8_t *a, int64_t lda, const int8_t *b,
                          int64_t panel, int64_t quads, const int8_t *next, int64_t go, void *c,
                          int64_t ldc)
{
    AMX_WRITTEN();
    if (tall && wide)
        amx_i8_as(true, true, a, lda, b, panel, quads, next, go, c, ldc);
    else if (wide)
        amx_i8_as(false, true, a, lda, b, panel, quads, next, go, c, ldc);
    else if (tall)
        amx_i8_as(true, false, a, lda, b, panel, quads, next, go, c, ldc);
    else
        amx_i8_as(false, false, a, lda, b, panel, quads, next, go, c, ldc);
}

#endif
