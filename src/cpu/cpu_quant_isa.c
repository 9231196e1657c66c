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

/* One row as i8, zeros up to a multiple of 16; the rule of cpu_pack_to_i8. *sum: of all q. */
ISA_INLINE float quantise(const void *row, int64_t k_count, int8_t *q, int32_t *sum, bool f16)
{
    vf most = vf_all(0);
    for (int64_t k = 0; k < k_count; k += W)
        most = vf_max(vf_abs(row_load(row, k, k_count - k, f16)), most);
    float to_i8 = 127.0f / vf_most(most);
    if (!__builtin_isnormal(to_i8)) to_i8 = 1.0f;
    for (int64_t k = 0; k < k_count; k += W)
        vf_store_i8(q + k, row_load(row, k, k_count - k, f16) * to_i8, W);
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
