/* What a level can reach at most: its instruction for products of 8 bits, from registers, as often
 * as the processor takes it. The yardstick of profiles; products as cpu_tile.h does them. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_isa.h"
#if defined __AMX_INT8__
#include "cpu/cpu_amx.h"
#endif

/* Multiplications and additions in `turns` rounds, or 0: no such instruction. */
double ISA_NAME(cpu_peak_i8)(int64_t turns)
{
#if defined __AMX_INT8__
    amx_begin();
    amx_zero();
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t t = 0; t < turns; t++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    amx_end();
    return (double)turns * 4 * 2 * AMX_ROWS * AMX_ROWS * AMX_BYTES;
#elif defined __SSE2__
    enum { apart = 12 }; /* sums that do not wait for each other */
    vi sum[apart] = {{0}}, a = {0}, b = {0};
    for (int64_t t = 0; t < turns; t++) {
#pragma GCC unroll 12
        for (int i = 0; i < apart; i++) {
#if defined __AVX512VNNI__
            __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(sum[i]) : "v"(a), "v"(b));
#elif defined __AVX2__
            vi product;
            __asm__ volatile("vpmaddwd %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
            sum[i] += product;
#else
            vi product = a;
            __asm__ volatile("pmaddwd %1, %0" : "+x"(product) : "x"(b));
            sum[i] += product;
#endif
        }
    }
    /* unrolled as well: with an index gcc keeps the sums in memory all along */
#pragma GCC unroll 12
    for (int i = 0; i < apart; i++) __asm__ volatile("" ::"x"(sum[i]));
#if defined __AVX512VNNI__
    return (double)turns * apart * 2 * 4 * W;
#else
    return (double)turns * apart * 2 * 2 * W;
#endif
#else
    (void)turns;
    return 0;
#endif
}
