/* The packer of weights at every level against the one rule of quantising, bit for bit. */
#include "cpu/cpu_fast.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { K_MOST = 200 };

static float weight(int64_t row, int64_t k, int special)
{
    float x = tensor_hash("quant", (uint64_t)(row * K_MOST + k), 3.0f);
    if (row == 3) return 0; /* a row of zeros has no scale */
    if (special && row == 5 && k == 2) return INFINITY;
    if (special && row == 6 && k == 1) return NAN;
    if (row == 7) return k % 3 ? x * 1e-3f : 2.5f; /* ties */
    return row == 8 ? x * 1e-36f : x;
}

static void check_level(CPU_FAST_QUANT((*panel)), int64_t k_count, bool f16, int special)
{
    static float row[CPU_PANEL][K_MOST];
    static uint16_t half[CPU_PANEL][K_MOST];
    static int8_t room[CPU_PANEL * 256], q[K_MOST], got[CPU_PANEL * (K_MOST + 4)];
    const void *from[CPU_PANEL];
    float scale[CPU_PANEL];
    int32_t comp[CPU_PANEL];
    memset(room, 0x55, sizeof room);
    memset(got, 0x55, sizeof got);
    for (int64_t i = 0; i < CPU_PANEL; i++) {
        for (int64_t k = 0; k < k_count; k++) {
            half[i][k] = tensor_f32_to_f16(weight(i, k, special));
            row[i][k] = f16 ? tensor_f16_to_f32(half[i][k]) : weight(i, k, special);
        }
        from[i] = f16 ? (void *)half[i] : (void *)row[i];
    }
    panel(from, k_count, f16, room, got, scale, comp);
    for (int64_t i = 0; i < CPU_PANEL; i++) {
        float want = cpu_pack_to_i8(row[i], k_count, q);
        int32_t sum = 0;
        assert_memory_equal(&scale[i], &want, sizeof want);
        for (int64_t k = 0; k < (k_count + 3) / 4 * 4; k++) {
            int8_t x = k < k_count ? q[k] : 0;
            assert_int_equal(got[(k / 4 * CPU_PANEL + i) * 4 + k % 4], x);
            sum += x;
        }
        assert_int_equal(comp[i], 128 * sum);
    }
    assert_int_equal(got[(k_count + 3) / 4 * 4 * CPU_PANEL], 0x55);
}

static void test_levels(void **state)
{
    (void)state;
    static const struct {
        enum cpu_level level;
        CPU_FAST_QUANT((*panel));
    } levels[] = {
        {CPU_BASE, cpu_quant_panel_base},
#if defined __x86_64__
        {CPU_AVX2, cpu_quant_panel_avx2},
        {CPU_AVX512, cpu_quant_panel_avx512},
#endif
    };
    for (size_t l = 0; l < COUNT(levels); l++) {
        if (levels[l].level > cpu_level_best()) continue;
        for (int64_t k = 1; k <= K_MOST; k = k < 70 ? k + 1 : k + 13)
            for (int i = 0; i < 4; i++) check_level(levels[l].panel, k, i % 2 == 1, i / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
