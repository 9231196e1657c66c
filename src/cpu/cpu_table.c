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

#if WITH_FP16
#define HALF_MATRIX(op, run)  \
    {OP_##op,                 \
     #op "_avx512fp16",       \
     CPU_FP16,                \
     CPU_BIT(CPU_OWN),        \
     cpu_half_linear_fits,    \
     cpu_half_linear_scratch, \
     cpu_half_linear_prepare, \
     NULL,                    \
     run},
#define LINEAR_FP16 HALF_MATRIX(linear, cpu_half_linear_run)
#define CONV1D_FP16 HALF_MATRIX(conv1d, cpu_half_linear_run)
#define ATTENTION_FP16                                                                           \
    {OP_attention, "attention_avx512fp16", CPU_FP16, 0, cpu_fast_half_fits, cpu_fast_half, NULL, \
     NULL,         cpu_half_attention},
#define ATTNRANGE_FP16                                           \
    {OP_attnrange,       "attnrange_avx512fp16", CPU_FP16, 0,    \
     cpu_fast_half_fits, cpu_fast_half_range,    NULL,     NULL, \
     cpu_half_attnrange},
#else
#define LINEAR_FP16
#define CONV1D_FP16
#define ATTENTION_FP16
#define ATTNRANGE_FP16
#endif

#if WITH_AMX
#define LINEAR_AMX                                                       \
    {OP_linear,       "linear_amx", CPU_AMX, CPU_BIT(CPU_I8),      NULL, \
     cpu_fast_matrix, NULL,         NULL,    cpu_matrix_linear_amx},
#define NEAREST_AMX            \
    {OP_nearest,               \
     "nearest_amx",            \
     CPU_AMX,                  \
     CPU_BIT(CPU_F32),         \
     NULL,                     \
     cpu_fast_nearest,         \
     cpu_fast_nearest_prepare, \
     NULL,                     \
     cpu_top_nearest_amx},
#define ATTENTION_AMX                                                                      \
    {OP_attention, "attention_amx",  CPU_AMX, 0, cpu_fast_half_fits, cpu_fast_tiles, NULL, \
     NULL,         cpu_amx_attention},
#define ATTNRANGE_AMX                                                                            \
    {OP_attnrange, "attnrange_amx",  CPU_AMX, 0, cpu_fast_half_fits, cpu_fast_tiles_range, NULL, \
     NULL,         cpu_amx_attnrange},
#else
#define LINEAR_AMX
#define NEAREST_AMX
#define ATTENTION_AMX
#define ATTNRANGE_AMX
#endif

/* op, forms of the matrix, scratch, prepare, run */
/* clang-format off */
static const struct cpu_kernel rows[] = {
    FAST(logmel, 0, cpu_fast_logmel, cpu_fast_logmel_prepare, cpu_mel_logmel),
    REF(logmel, 0),
    FAST(melnorm, 0, NULL, NULL, cpu_vec_melnorm),
    REF(melnorm, 0),
    CONV1D_FP16 FAST(conv1d, CPU_PLAIN, cpu_fast_matrix, NULL, cpu_matrix_conv1d),
    REF(conv1d, CPU_PLAIN),
    FAST(addpos, 0, NULL, NULL, cpu_vec_addpos),
    REF(addpos, 0),
    FAST(layernorm, 0, NULL, NULL, cpu_vec_layernorm),
    REF(layernorm, 0),
    LINEAR_AMX LINEAR_FP16 LINEAR_DNNL
    FAST(linear, CPU_PLAIN, cpu_fast_matrix, NULL, cpu_matrix_linear),
    REF(linear, CPU_PLAIN),
    ATTENTION_AMX ATTENTION_FP16 FAST(attention, 0, cpu_fast_attention, NULL, cpu_attn_attention),
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
    REF(dampen, 0),
    FAST(pick, 0, cpu_fast_pick, NULL, cpu_pick_pick),
    REF(pick, 0),
    REF(frames, 0), /* copies; there is nothing to gain */
    FAST(magnitude, 0, NULL, NULL, cpu_vec_magnitude),
    REF(magnitude, 0),
    FAST(lstm, 0, cpu_fast_lstm, cpu_fast_lstm_prepare, cpu_lstm_lstm),
    REF(lstm, 0),
    REF(sigmoid, 0), /* one number per block of speech */
    FAST(probe, 0, NULL, NULL, cpu_pick_probe),
    REF(probe, 0),
    ATTNRANGE_AMX ATTNRANGE_FP16 FAST(attnrange, 0, cpu_fast_attnrange, NULL, cpu_attn_attnrange),
    REF(attnrange, 0),
    FAST(pool, 0, NULL, NULL, cpu_vec_pool),
    REF(pool, 0),
    NEAREST_AMX FAST(nearest, CPU_BIT(CPU_F32), cpu_fast_nearest, cpu_fast_nearest_prepare, cpu_top_nearest),
    REF(nearest, CPU_BIT(CPU_F32)),
    FAST(seed, 0, cpu_fast_seed, NULL, cpu_rows_seed),
    REF(seed, 0),
    FAST(lloyd, 0, cpu_fast_lloyd, NULL, cpu_rows_lloyd),
    REF(lloyd, 0),
    FAST(spread, 0, cpu_fast_spread, NULL, cpu_rows_spread),
    REF(spread, 0),
    FAST(gram, 0, cpu_fast_gram, NULL, cpu_sym_gram),
    REF(gram, 0),
    FAST(eigen, 0, cpu_fast_eigen, NULL, cpu_sym_eigen),
    REF(eigen, 0),
    FAST(project, 0, cpu_fast_project, NULL, cpu_rows_project),
    REF(project, 0),
    FAST(estep, 0, cpu_fast_estep, NULL, cpu_mix_estep),
    REF(estep, 0),
    FAST(density, 0, cpu_fast_density, NULL, cpu_density_density),
    REF(density, 0),
    FAST(near, 0, cpu_fast_near, NULL, cpu_pairs_near),
    REF(near, 0),
    FAST(apart, 0, cpu_fast_apart, NULL, cpu_pairs_apart),
    REF(apart, 0),
    FAST(diffuse, 0, NULL, NULL, cpu_mix_diffuse),
    REF(diffuse, 0),
};
/* clang-format on */

const struct cpu_kernel *cpu_table_rows(size_t *n)
{
    *n = COUNT(rows);
    return rows;
}
