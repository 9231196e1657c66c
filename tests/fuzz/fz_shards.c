/* The index of a split model on strangers' bytes; the files it may name are those of another
 * corpus. */
#include "load/load_format.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct arena *a;
    struct load_weights w = {.map = {.data = data, .size = size, .path = "input"},
                             .spec = "",
                             .folder = "tests/fuzz/corpus/safetensors"};
    if (!load_shards_row.probe(data, size)) return 0;
    require(arena_open("fuzz", 256 * size + (4 << 20), &a, &e) == 0);
    if (load_shards_row.open(a, &w, &e) != 0) {
        require((e.code == E_MODEL || e.code == E_IO) && e.text[0]);
    } else {
        require(w.n > 0 && w.n_shards > 0);
        for (size_t i = 0; i < w.n; i++) require(load_find(&w, w.tensor[i].name) == &w.tensor[i]);
    }
    w.map = (struct file_map){0}; /* not mapped by us */
    load_close(&w);
    arena_close(&a);
    return 0;
}
