/* The emulated GPU within a test. */
#ifndef TESTS_FAKE_HELP_H
#define TESTS_FAKE_HELP_H

#include "base/module.h"
#include "gpu/fake.h"
#include "unit.h"

/* Plugs a GPU in, "t4"; returns what a test may ask of it. The modules lie one folder above the
 * tests. */
static inline const struct fake_test *fake_open(const char *gpu)
{
    struct arena *a;
    struct err e;
    const void *table;
    if (arena_open("test", 0, &a, &e)) exit(1);
    setenv("LODE_MODULES", file_join(a, file_program_folder(a, &e), "..", &e), 1);
    arena_close(&a);
    setenv("LODE_FAKE_GPU", gpu, 1);
    unsetenv("CUDA_VISIBLE_DEVICES");
    if (module_open("fakecuda", "lode_fakecuda_test", &table, &e)) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    return table;
}

#endif
