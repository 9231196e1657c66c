/* The fast kernels: which there are, and how much scratch each takes. Their texts are the *_isa.c
 * files, compiled once per level; CPU_FAST_LEVELS(DO) names the levels. */
#ifndef CPU_CPU_FAST_H
#define CPU_CPU_FAST_H

#include "cpu/cpu.h"

/* Linear and conv1d cut their lines into blocks of so many, which stay in the cache nearest to the
 * core while all columns of the product are formed. */
#define FAST_LINES 64

/* What one member needs for products with K inner elements, in bytes from its part's start. */
struct fast_matrix {
    size_t factor, quant, panels, rows, bytes;
    int64_t stride; /* elements between lines of quant; not a multiple of a page's part, so that
                       lines do not push each other out of the cache */
};

static inline struct fast_matrix fast_matrix_layout(int64_t k)
{
    struct fast_matrix m;
    size_t up = (size_t)ALIGN_UP(k, BASE_LINE);
    m.stride = (int64_t)up + BASE_LINE;
    m.factor = 8 * 48 * sizeof(float); /* first lie the sums of one tile */
    m.quant = m.factor + FAST_LINES * sizeof(float);
    m.panels = m.quant; /* a kernel needs one of the two */
    size_t quant = FAST_LINES * (size_t)m.stride * sizeof(int16_t),
           panels = 48 * up * sizeof(float);
    m.rows = m.quant + MAX(quant, panels);
    m.bytes = ALIGN_UP(m.rows + 8 * up * sizeof(float), 4096);
    return m;
}

#endif
