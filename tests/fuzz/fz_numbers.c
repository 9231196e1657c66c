/* Files of numbers: .npy, CSV, JSON lines. Every row of what is taken is read. */
#include "load/numbers.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *a;
    struct err e = {0};
    struct numbers m = {.npy.map = {.data = data, .size = size, .path = "input"}};
    if (arena_open("fuzz", 64 * size + (1 << 20), &a, &e)) abort(); /* what a file justifies */
    if (numbers_take(a, &m, &e)) {
        if (e.code != E_INPUT || !e.text[0]) abort();
    } else if (m.rows > 0 && m.columns > 0) {
        double *row = ARENA_NEW(a, double, (size_t)m.columns, &e);
        for (int64_t i = 0; row && i < m.rows && i < 1000; i++)
            numbers_row(&m, m.rows - 1 - i, row);
    }
    arena_close(&a);
    return 0;
}
