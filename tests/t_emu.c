/* The fiber emulator: every helper of gpu/dev.h against plain C, and each kind of wrong kernel
 * caught. The kernels are tests/emu/k_lab.cu, compiled once for sm_75 and once for sm_80. */
#include "gpu/emu.h"
#include "unit.h"

#include "emu/k_lab.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAB(name) extern const struct emu_kernel k_lab_##name##_75, k_lab_##name##_80;
#define BOTH(name)                             \
    {                                          \
        &k_lab_##name##_75, &k_lab_##name##_80 \
    }
LAB(shuffle)
LAB(math)
LAB(mma_f16)
LAB(mma_s8)
LAB(ldmatrix_f16)
LAB(ldmatrix_s8)
LAB(ldmatrix_trans)
LAB(gemm)
LAB(sum)
LAB(wrong)
LAB(atomics)
LAB(where)

static uint32_t random_state = 1;

static uint32_t draw(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

/* A number with few bits, so that sums of products are exact. */
static float draw_small(void)
{
    return (float)((int)(draw() % 33) - 16) / 8;
}

static int run(const struct emu_kernel *k, unsigned blocks, unsigned threads, size_t dynamic,
               int order, struct lab_args a)
{
    struct emu_launch l = {{blocks, 1, 1}, {threads, 1, 1}, dynamic, 0, order};
    return emu_run(k, &l, &a);
}

static void good(const struct emu_kernel *k, unsigned blocks, unsigned threads, size_t dynamic,
                 int order, struct lab_args a)
{
    if (run(k, blocks, threads, dynamic, order, a)) fail_msg("%s", emu_message());
}

static void places(void **state)
{
    (void)state;
    static int got[3 * 4 * 6 * 24 * 3];
    struct lab_args a = {.c = got};
    for (int order = 0; order < EMU_ORDERS; order++) {
        memset(got, 255, sizeof got);
        struct emu_launch l = {{3, 4, 6}, {4, 3, 2}, 0, 0, order};
        assert_int_equal(emu_run(&k_lab_where_80, &l, &a), 0);
        const int *p = got;
        for (int block = 0; block < 72; block++)
            for (int z = 0; z < 2; z++)
                for (int y = 0; y < 3; y++)
                    for (int x = 0; x < 4; x++, p += 3) {
                        assert_int_equal(p[0], x);
                        assert_int_equal(p[1], y);
                        assert_int_equal(p[2], z + 100 * (block % 3));
                    }
    }
}

static void shuffles(void **state)
{
    (void)state;
    int c[32][8];
    for (int order = 0; order < EMU_ORDERS; order++) {
        memset(c, 0, sizeof c);
        good(&k_lab_shuffle_75, 1, 32, 0, order, (struct lab_args){.c = c});
        for (int i = 0; i < 32; i++) {
            assert_int_equal(c[i][0], 100 + 31 - i);
            assert_int_equal(c[i][1], 100 + (i ^ 5));
            assert_int_equal(c[i][2], 100 + (i + 3 < 32 ? i + 3 : i));
            assert_int_equal(c[i][3], 100 + (i >= 30 ? i - 30 : i));
            assert_int_equal(c[i][4], 0x49249249);
            assert_int_equal(c[i][5], 3200 + 496);
            assert_int_equal(c[i][6], 1000);
            assert_int_equal(c[i][7], 2);
        }
    }
}

static void close_to(float got, double want, double tolerance)
{
    if (!(fabs((double)got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%.9g, should be %.9g", (double)got, want);
}

static void functions(void **state)
{
    (void)state;
    enum { N = 300 };
    static float x[N], c[N][12];
    for (int i = 0; i < N; i++) x[i] = 0.01f + (float)i * 0.027f;
    good(&k_lab_math_75, 2, 256, 0, 0, (struct lab_args){.a = x, .c = c, .n = N});
    for (int i = 0; i < N; i++) {
        double v = (double)x[i];
        close_to(c[i][0], exp(v), 1e-6);
        close_to(c[i][1], log(v), 1e-6);
        close_to(c[i][2], log10(v), 1e-6);
        close_to(c[i][3], erf(v), 1e-6);
        close_to(c[i][4], 1 / sqrt(v), 1e-6);
        close_to(c[i][5], v * v + 1, 1e-7);
        assert_true((double)c[i][6] == rint(v));
        close_to(c[i][7], v, 0x1p-11);
        assert_true(c[i][8] == -c[i][7]);
        int8_t u = (int8_t)i, minus = (int8_t)-i;
        assert_true(c[i][9] == (float)(u - 2 * minus + 127 * 127 + 128 * 128 + 7));
        close_to(c[i][10], fmax(v, exp(-v)), 1e-6);
        assert_true(c[i][11] == -x[i]);
    }
    assert_int_equal(emu_round(2.5f), 2);
    assert_int_equal(emu_round(-3.5f), -4);
    assert_int_equal(emu_round(3e9f), INT32_MAX);
    assert_int_equal(emu_round(-3e9f), INT32_MIN);
    assert_int_equal(emu_round(NAN), 0);
}

/* IEEE 754 binary16 by its definition. */
static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, fraction = h & 1023;
    double v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) v = fraction ? (double)NAN : (double)INFINITY;
    return h & 0x8000 ? -v : v;
}

static void halves(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        double want = half_value((uint16_t)h);
        float got = emu_float((uint16_t)h);
        if (isnan(want)) {
            assert_true(isnan(got));
            assert_true(isnan(emu_float(emu_half(got))));
            continue;
        }
        assert_true((double)got == want && !signbit(got) == !signbit(want));
        assert_int_equal(emu_half(got), h);
        if (isinf(want)) continue;
        /* between h and the next one away from zero: to nearest, ties to even, also to infinity */
        double next = half_value((uint16_t)(h + 1));
        if ((h & 0x7fff) == 0x7bff) next = signbit(want) ? -65536 : 65536;
        float middle = (float)((want + next) / 2);
        uint16_t even = (uint16_t)(h + (h & 1));
        assert_int_equal(emu_half(middle), even);
        assert_int_equal(emu_half(nextafterf(middle, 0)), h);
        assert_int_equal(emu_half(nextafterf(middle, signbit(want) ? -INFINITY : INFINITY)), h + 1);
    }
    assert_int_equal(emu_half(1e30f), 0x7c00);
    assert_int_equal(emu_half(-1e-30f), 0x8000);
}

static void fill_f16(uint16_t *p, int n)
{
    for (int i = 0; i < n; i++) p[i] = emu_half(draw_small());
}

static void check_f16(const float *c, const uint16_t *a, const uint16_t *b, int m, int n, int k)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int l = 0; l < k; l++) sum += emu_float(a[i * k + l]) * emu_float(b[j * k + l]);
            if (c[i * n + j] != sum)
                fail_msg("[%d][%d] is %g, should be %g", i, j, (double)c[i * n + j], (double)sum);
        }
}

static void products_f16(void **state)
{
    (void)state;
    _Alignas(16) uint16_t a[16 * 16], b[8 * 16], turned[16 * 8];
    float c[16 * 8];
    const struct emu_kernel *const by_hand[] = BOTH(mma_f16);
    const struct emu_kernel *const loaded[] = BOTH(ldmatrix_f16);
    for (int arch = 0; arch < 2; arch++)
        for (int order = 0; order < EMU_ORDERS; order++) {
            fill_f16(a, 16 * 16);
            fill_f16(b, 8 * 16);
            for (int i = 0; i < 128; i++) turned[i] = b[i % 8 * 16 + i / 8];
            memset(c, 255, sizeof c);
            good(by_hand[arch], 1, 32, 0, order, (struct lab_args){a, b, c, 0, 0, 0, 0});
            check_f16(c, a, b, 16, 8, 16);
            memset(c, 255, sizeof c);
            good(loaded[arch], 1, 32, 0, order, (struct lab_args){a, b, c, 0, 0, 0, 0});
            check_f16(c, a, b, 16, 8, 16);
            memset(c, 255, sizeof c);
            good(loaded[arch], 1, 32, 0, order, (struct lab_args){a, turned, c, 0, 0, 1, 0});
            check_f16(c, a, b, 16, 8, 16);
        }
}

static void products_s8(void **state)
{
    (void)state;
    _Alignas(16) int8_t a[16 * 32], b[8 * 32];
    int c[16 * 8];
    const struct emu_kernel *const both[2][2] = {BOTH(mma_s8), BOTH(ldmatrix_s8)};
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < 512; j++) a[j] = i == 15 ? -128 : (int8_t)draw();
        for (int j = 0; j < 256; j++) b[j] = i == 15 ? -128 : (int8_t)draw();
        memset(c, 255, sizeof c);
        good(both[i / 2 % 2][i % 2], 1, 32, 0, i / 4, (struct lab_args){a, b, c, 0, 0, 0, 0});
        for (int j = 0; j < 128; j++) {
            int sum = 0;
            for (int l = 0; l < 32; l++) sum += a[j / 8 * 32 + l] * b[j % 8 * 32 + l];
            assert_int_equal(c[j], sum);
        }
    }
}

static void turned_loads(void **state)
{
    (void)state;
    _Alignas(16) uint16_t x[32 * 8];
    uint32_t r[32][4];
    for (int i = 0; i < 256; i++) x[i] = (uint16_t)i;
    good(&k_lab_ldmatrix_trans_75, 1, 32, 0, 2, (struct lab_args){.a = x, .c = r});
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) { /* rows 2t, 2t+1 of matrix i, column g */
            int g = lane / 4, t = lane % 4;
            assert_int_equal(r[lane][i] & 0xffff, 64 * i + 16 * t + g);
            assert_int_equal(r[lane][i] >> 16, 64 * i + 16 * t + 8 + g);
        }
}

static void whole_product(void **state)
{
    (void)state;
    enum { M = 128, N = 64, K = 96 };
    static _Alignas(16) uint16_t a[M * K], b[N * K];
    static float c[M * N];
    fill_f16(a, M * K);
    fill_f16(b, N * K);
    const struct emu_kernel *const both[] = BOTH(gemm);
    struct lab_args args = {a, b, c, M, N, K, 0};
    for (int arch = 0; arch < 2; arch++)
        for (int order = 0; order < EMU_ORDERS; order++) {
            struct emu_launch l = {{N / 64, M / 64, 1}, {128, 1, 1}, 24576, 65536, order};
            memset(c, 255, sizeof c);
            if (emu_run(both[arch], &l, &args)) fail_msg("%s", emu_message());
            check_f16(c, a, b, M, N, K);
        }
}

/* A missing barrier changes the sum under at least one of the orders; with it all agree. */
static void missing_barriers(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float x[N];
    float want = 0, c;
    for (int i = 0; i < N; i++) want += x[i] = (float)(i % 5);
    for (int missing = 0; missing < 3; missing++) {
        int wrong = 0;
        for (int order = 0; order < EMU_ORDERS; order++) {
            c = 0;
            good(&k_lab_sum_75, 4, 256, 0, order,
                 (struct lab_args){.a = x, .c = &c, .n = N, .k = missing});
            wrong += c != want;
        }
        if ((wrong > 0) != (missing > 0)) fail_msg("missing %d: %d wrong", missing, wrong);
    }
}

static void bad(int k, int n, int order, int code, const char *word)
{
    static _Alignas(16) float x[64 * 4];
    float c[64];
    int rc = run(&k_lab_wrong_80, 1, 64, 1024, order, (struct lab_args){x, x, c, 0, n, k, 0});
    if (rc != code || !strstr(emu_message(), word))
        fail_msg("case %d, order %d: %d, '%s'; should be %d, '%s'", k, order, rc, emu_message(),
                 code, word);
}

static void faults_are_named(void **state)
{
    (void)state;
    for (int order = 0; order < EMU_ORDERS; order++) {
        bad(0, 0, order, 719, "they must meet at one barrier");
        bad(1, 0, order, 719, "k_lab.cu");
        bad(2, 0, order, 719, "k_lab.cu");
        bad(4, 0, order, 716, "not a multiple of 16");
        bad(5, 0, order, 717, "not in the block's shared memory");
        bad(6, 0, order, 716, "not a multiple of 16");
        bad(11, 0, order, 719, "barrier divergence");
        bad(10, 0, order, 0, "");
    }
    float c[64];
    struct lab_args a = {.c = c, .a = c, .k = 10};
    struct emu_launch l = {{1, 1, 1}, {64, 1, 1}, 0, 100, 0};
    assert_int_equal(emu_run(&k_lab_wrong_80, &l, &a), 1); /* 256 bytes of DEV_SHARED */
    assert_non_null(strstr(emu_message(), "256 bytes of shared memory"));
    l = (struct emu_launch){{1, 1, 1}, {64, 1, 1}, 200, 100, 0};
    assert_int_equal(emu_run(&k_lab_wrong_80, &l, &a), 1);
    assert_int_equal(run(&k_lab_wrong_80, 1, 257, 0, 0, a), 1);
    assert_int_equal(run(&k_lab_where_80, 1, 1025, 0, 0, a), 1);
    assert_int_equal(run(&k_lab_wrong_80, 0, 64, 0, 0, a), 1);
    assert_int_equal(run(&k_lab_wrong_80, 1, 64, 0, 0, a), 0);
    assert_int_equal(emu_shared_bytes(), 256);
}

/* What nobody wrote, or a copy nobody waited for, is rubbish, of two kinds. */
static void rubbish_is_seen(void **state)
{
    (void)state;
    static _Alignas(16) float x[64 * 4];
    float c[64];
    for (int i = 0; i < 256; i++) x[i] = (float)i;
    for (int order = 0; order < 2; order++) {
        const int cases[][2] = {{3, 0}, {8, 0}, {8, 1}, {9, 0}};
        for (size_t i = 0; i < COUNT(cases); i++) {
            good(&k_lab_wrong_80, 2, 64, 1024, order,
                 (struct lab_args){x, x, c, 0, cases[i][1], cases[i][0], 0});
            for (int j = 0; j < 64; j++) assert_true(order ? c[j] > 1e36f : isnan(c[j]));
        }
        good(&k_lab_wrong_80, 2, 64, 1024, order, (struct lab_args){x, x, c, 0, 0, 12, 0});
        for (int j = 0; j < 64; j++) assert_true(c[j] == (j % 2 ? (float)(4 * j) : 0));
        good(&k_lab_wrong_75, 2, 64, 1024, order, (struct lab_args){x, x, c, 0, 0, 12, 0});
        for (int j = 0; j < 64; j++) assert_true(c[j] == (j % 2 ? (float)(4 * j) : 0));
    }
}

/* In a process of its own: whether it ended by itself. */
static int survives(int wrong, int index)
{
    pid_t child = fork();
    if (child == 0) {
        static float c[64];
        if (!freopen("/dev/null", "w", stderr)) _exit(3);
        signal(SIGSEGV, SIG_DFL);
        _exit(run(&k_lab_wrong_80, 1, 64, 1024, 0,
                  (struct lab_args){.a = c, .c = c, .n = index, .k = wrong}));
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void dynamic_memory_has_an_end(void **state)
{
    (void)state;
    assert_true(survives(7, 0));
    assert_true(survives(7, 255));
    assert_false(survives(7, 256));
}

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif

/* AddressSanitizer sees the end of every array. */
static void shared_arrays_have_ends(void **state)
{
    (void)state;
    assert_true(survives(13, 63));
#ifdef WITH_ASAN
    assert_false(survives(13, 64));
#endif
}

static void atomics(void **state)
{
    (void)state;
    enum { N = 300 };
    int x[N], c[11], sum = 0, bins[8] = {0};
    for (int i = 0; i < N; i++) {
        x[i] = (int)(draw() % 1000);
        sum += x[i];
        bins[x[i] % 8]++;
    }
    x[5] += 1000;
    sum += 1000;
    for (int order = 0; order < EMU_ORDERS; order++) {
        memset(c, 0, sizeof c);
        good(&k_lab_atomics_75, 5, 64, 0, order, (struct lab_args){.a = x, .c = c, .n = N});
        assert_int_equal(c[0], sum);
        assert_int_equal(c[1], x[5]);
        assert_true(c[2] >= 1 && c[2] <= N); /* whoever came first */
        assert_memory_equal(c + 3, bins, sizeof bins);
    }
}

static void *other_thread(void *arg)
{
    static const int orders[] = {0, 1, 2, 3};
    (void)arg;
    for (int i = 0; i < 8; i++) {
        int c[32][8];
        if (run(&k_lab_shuffle_80, 1, 32, 0, orders[i % 4], (struct lab_args){.c = c}) ||
            c[31][0] != 100)
            return arg;
    }
    emu_free();
    return NULL;
}

static void two_host_threads(void **state)
{
    (void)state;
    pthread_t thread[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, other_thread, &thread), 0);
    for (int i = 0; i < 2; i++) {
        void *bad_one;
        assert_int_equal(pthread_join(thread[i], &bad_one), 0);
        assert_null(bad_one);
    }
}

static int clean(void **state)
{
    (void)state;
    emu_free();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(shuffles),
        cmocka_unit_test(functions),
        cmocka_unit_test(halves),
        cmocka_unit_test(products_f16),
        cmocka_unit_test(products_s8),
        cmocka_unit_test(turned_loads),
        cmocka_unit_test(whole_product),
        cmocka_unit_test(missing_barriers),
        cmocka_unit_test(faults_are_named),
        cmocka_unit_test(rubbish_is_seen),
        cmocka_unit_test(dynamic_memory_has_an_end),
        cmocka_unit_test(shared_arrays_have_ends),
        cmocka_unit_test(atomics),
        cmocka_unit_test(two_host_threads),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
