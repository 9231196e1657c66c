/* The GPU images in this program: every one must load on every driver from 525 on, which no GPU of
 * ours can show, so their headers are read. And damaged files of images, and which image is chosen.
 */
#include "base/arena.h"
#include "base/file.h"
#include "gpu/gpu_image.h"
#include "unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES ((size_t)24 << 20)

static uint32_t u32_at(const void *p, size_t at)
{
    uint32_t x;
    memcpy(&x, (const char *)p + at, sizeof x);
    return x;
}

static struct str images(int *n)
{
    struct err e;
    struct str file = gpu_image_file();
    assert_int_equal(gpu_image_count(file, n, &e), 0);
    if (*n == 0) skip(); /* built without NVRTC */
    return file;
}

/* Container and version of a cubin. What nvcc 13 makes (0x41, 8) is refused by drivers before 580.
 * NVRTC 12.9 makes that container too, but only for Blackwell (100 and up), for which it knows no
 * other; a driver that refuses it gets the PTX (load_image in gpu_device.c). */
static void test_cubins(void **state)
{
    (void)state;
    int n, seen = 0;
    struct str file = images(&n);
    for (int i = 0; i < n; i++) {
        struct gpu_image image = gpu_image_at(file, i);
        const unsigned char *elf = image.data;
        if (image.kind == GPU_IMAGE_PTX) continue;
        seen++;
        assert_true(image.bytes > 64);
        assert_memory_equal(elf, "\177ELF\2\1", 6);
        bool blackwell = image.sm >= 100;
        assert_int_equal(elf[7], blackwell ? 0x41 : 0x33);
        assert_int_equal(elf[8], blackwell ? 8 : 7);
        assert_int_equal(elf[18] | elf[19] << 8, 190); /* EM_CUDA */
        assert_true(u32_at(elf, 20) <= 0x81);
        assert_int_equal(u32_at(elf, 48) >> (blackwell ? 8 : 0) & 0xff, image.sm);
        assert_int_equal((uintptr_t)elf % 64, 0);
    }
    assert_true(seen > 0);
}

static void test_ptx(void **state)
{
    (void)state;
    int n;
    struct str file = images(&n);
    for (int i = 0; i < n; i++) {
        struct gpu_image image = gpu_image_at(file, i);
        int major, minor, sm;
        if (image.kind != GPU_IMAGE_PTX) continue;
        const char *text = image.data;
        assert_int_equal(text[image.bytes - 1], 0);
        const char *version = strstr(text, ".version "), *target = strstr(text, ".target sm_");
        assert_true(version && target);
        assert_int_equal(sscanf(version, ".version %d.%d", &major, &minor), 2);
        assert_true(major < 8 || (major == 8 && minor == 0));
        assert_int_equal(sscanf(target, ".target sm_%d", &sm), 1);
        assert_int_equal(sm, image.sm);
    }
}

static void test_size(void **state)
{
    (void)state;
    int n;
    struct str file = images(&n);
    assert_true(file.n <= MOST_BYTES);
}

/* Every kernel of the sources is in every image. */
static void test_kernels(void **state)
{
    (void)state;
    struct arena *a;
    struct err e;
    char **names;
    size_t n_files, n_kernels = 0;
    int n;
    struct str file = images(&n);
    assert_int_equal(arena_open("test", 0, &a, &e), 0);
    assert_int_equal(file_list(a, "src/gpu", &names, &n_files, &e), 0);
    for (size_t f = 0; f < n_files; f++) {
        struct str text;
        if (!str_starts(names[f], "k_") || !str_ends(names[f], ".cu")) continue;
        char *path = file_join(a, "src/gpu", names[f], &e);
        assert_int_equal(file_read(a, path, 1 << 20, &text, &e), 0);
        for (const char *at = text.p; (at = strstr(at, "\nDEV_KERNEL")) != NULL; at++) {
            char name[100];
            if (sscanf(at, "\nDEV_KERNEL%*[_A-Z](%99[a-z0-9_]", name) != 1 &&
                sscanf(at, "\nDEV_KERNEL(%99[a-z0-9_]", name) != 1)
                continue;
            n_kernels++;
            for (int i = 0; i < n; i++) {
                struct gpu_image image = gpu_image_at(file, i);
                char *mark = arena_format(
                    a, &e, image.kind == GPU_IMAGE_PTX ? ".entry %s(" : ".text.%s", name);
                size_t bytes = strlen(mark) + (image.kind != GPU_IMAGE_PTX); /* with its NUL */
                if (!memmem(image.data, image.bytes, mark, bytes))
                    fail_msg("no kernel %s in the image for %d", name, image.sm);
            }
        }
    }
    assert_true(n_kernels > 0);
    arena_close(&a);
}

static void test_choice(void **state)
{
    (void)state;
    static const struct gpu_image all[] = {
        {GPU_IMAGE_CUBIN, 75, NULL, 0}, {GPU_IMAGE_CUBIN, 80, NULL, 0},
        {GPU_IMAGE_CUBIN, 86, NULL, 0}, {GPU_IMAGE_CUBIN, 90, NULL, 0},
        {GPU_IMAGE_EXACT, 90, NULL, 0}, {GPU_IMAGE_CUBIN, 100, NULL, 0},
        {GPU_IMAGE_PTX, 75, NULL, 0},   {GPU_IMAGE_PTX, 80, NULL, 0},
    };
    static const struct {
        int sm, image; /* index, or -1 */
    } want[] = {
        {75, 0},  {80, 1},  {86, 2},  {87, 2},  {89, 2},  {90, 4},
        {100, 5}, {103, 5}, {110, 7}, {120, 7}, {72, -1}, {61, -1},
    };
    for (size_t i = 0; i < COUNT(want); i++) {
        int best = -1, rank = 0;
        for (size_t k = 0; k < COUNT(all); k++) {
            int r = gpu_image_rank(&all[k], want[i].sm);
            if (r > rank) {
                best = (int)k;
                rank = r;
            }
        }
        assert_int_equal(best, want[i].image);
    }
}

static void put(char *file, size_t at, uint64_t x, size_t bytes)
{
    memcpy(file + at, &x, bytes);
}

/* A file with one image of 64 bytes. */
static struct str small(char file[128])
{
    memset(file, 0, 128);
    memcpy(file, "lodeimg1", 8);
    put(file, 8, 1, 4);
    put(file, 16, GPU_IMAGE_CUBIN, 4);
    put(file, 20, 75, 4);
    put(file, 24, 64, 8);
    put(file, 32, 64, 8);
    memcpy(file + 64, "\177ELF", 4);
    return (struct str){file, 128};
}

static void test_damage(void **state)
{
    (void)state;
    static const struct {
        size_t at, bytes;
        uint64_t value;
    } damage[] = {
        {0, 1, 'L'},
        {8, 4, 2},
        {8, 4, UINT32_MAX},
        {16, 4, 3},
        {16, 4, 2},
        {20, 4, 1000},
        {24, 8, 65},
        {24, 8, UINT64_MAX},
        {32, 8, UINT64_MAX},
        {32, 8, 65},
        {24, 8, UINT64_MAX - 63},
        {32, 8, 0},
        {64, 1, 0},
    };
    char memory[128];
    int n;
    struct err e;
    assert_int_equal(gpu_image_count(small(memory), &n, &e), 0);
    assert_int_equal(n, 1);
    for (size_t i = 0; i < COUNT(damage); i++) {
        struct str file = small(memory);
        put(memory, damage[i].at, damage[i].value, damage[i].bytes);
        memory[127] = (char)(damage[i].at == 16); /* PTX that does not end */
        assert_int_equal(gpu_image_count(file, &n, &e), -1);
        assert_int_equal(e.code, E_DEVICE);
    }
    for (size_t cut = 1; cut < 128; cut++) {
        struct str file = small(memory);
        char *exact = malloc(cut); /* so that a read beyond it is seen */
        assert_non_null(exact);
        memcpy(exact, file.p, cut);
        assert_int_equal(gpu_image_count((struct str){exact, cut}, &n, &e), -1);
        free(exact);
    }
    assert_int_equal(gpu_image_count((struct str){memory, 0}, &n, &e), 0);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cubins), cmocka_unit_test(test_ptx),
        cmocka_unit_test(test_size),   cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_choice), cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
