/* The kernel table: rows of one op stand together, best first, the reference last. To add a kernel:
 * its function, and a row here; opcheck finds it by itself. */
#include "cpu/cpu_dnnl.h"
#include "cpu/cpu_fast.h"
#include "cpu/cpu_ref.h"

#define REF(op, forms)                                                                       \
    {                                                                                        \
        OP_##op, #op "_ref", CPU_REF, forms, NULL, cpu_ref_scratch, NULL, NULL, cpu_ref_##op \
    }

/* The fast kernel of an op, from the best level to the plainest. */
#define FAST(op, forms, scratch, prepare, run)                                          \
    FAST_X86(op, forms, scratch, prepare, run)                                          \
    {                                                                                   \
        OP_##op, #op "_base", CPU_BASE, forms, NULL, scratch, prepare, NULL, run##_base \
    }
#if defined __x86_64__
#define FAST_X86(op, forms, scratch, prepare, run)                                           \
    {OP_##op, #op "_avx512", CPU_AVX512, forms, NULL, scratch, prepare, NULL, run##_avx512}, \
        {OP_##op, #op "_avx2", CPU_AVX2, forms, NULL, scratch, prepare, NULL, run##_avx2},
#else
#define FAST_X86(op, forms, scratch, prepare, run)
#endif

#if WITH_DNNL && defined __x86_64__
#define LINEAR_DNNL                                                                         \
    {OP_linear,        "linear_dnnl",    CPU_AVX512,       CPU_BIT(CPU_OWN), cpu_dnnl_fits, \
     cpu_dnnl_scratch, cpu_dnnl_prepare, cpu_dnnl_release, cpu_dnnl_linear},
#else
#define LINEAR_DNNL
#endif

/* op, forms of the matrix, scratch, prepare, run */
/* clang-format off */
static const struct cpu_kernel rows[] = {
    FAST(logmel, 0, cpu_fast_logmel, cpu_fast_logmel_prepare, cpu_mel_logmel),
    REF(logmel, 0),
    FAST(melnorm, 0, NULL, NULL, cpu_vec_melnorm),
    REF(melnorm, 0),
    FAST(conv1d, CPU_PLAIN, cpu_fast_matrix, NULL, cpu_matrix_conv1d),
    REF(conv1d, CPU_PLAIN),
    FAST(addpos, 0, NULL, NULL, cpu_vec_addpos),
    REF(addpos, 0),
    FAST(layernorm, 0, NULL, NULL, cpu_vec_layernorm),
    REF(layernorm, 0),
    LINEAR_DNNL FAST(linear, CPU_PLAIN, cpu_fast_matrix, NULL, cpu_matrix_linear),
    REF(linear, CPU_PLAIN),
    FAST(attention, 0, cpu_fast_attention, NULL, cpu_attn_attention),
    REF(attention, 0),
    FAST(crosskv, 0, NULL, NULL, cpu_vec_crosskv),
    REF(crosskv, 0),
    FAST(embed, CPU_PLAIN, NULL, NULL, cpu_vec_embed),
    REF(embed, CPU_PLAIN),
    FAST(attnself, 0, cpu_fast_attnself, NULL, cpu_attn_attnself),
    REF(attnself, 0),
    FAST(attncross, 0, cpu_fast_attncross, NULL, cpu_attn_attncross),
    REF(attncross, 0),
    FAST(gather, 0, NULL, NULL, cpu_vec_gather),
    REF(gather, 0),
    FAST(pick, 0, cpu_fast_pick, NULL, cpu_pick_pick),
    REF(pick, 0),
};
/* clang-format on */

const struct cpu_kernel *cpu_table_rows(size_t *n)
{
    *n = COUNT(rows);
    return rows;
}
