/* The ggml reader on strangers' bytes: an error, or tensors that lie within them. */
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
    struct load_weights w = {.map = {.data = data, .size = size, .path = "input"}, .spec = ""};
    if (!load_ggml_row.probe(data, size)) return 0;
    require(arena_open("fuzz", 64 * size + (1 << 20), &a, &e) == 0); /* what a file justifies */
    if (load_ggml_row.open(a, &w, &e) != 0) {
        require(e.code == E_MODEL && e.text[0]);
    } else {
        require(w.n > 0 && w.config.n > 0 && str_utf8_whole(w.vocabulary.p, w.vocabulary.n));
        for (size_t i = 0; i < w.n; i++) {
            const struct load_tensor *t = &w.tensor[i];
            require(load_find(&w, t->name) == t);
            require(t->offset <= size && t->bytes <= size - t->offset && t->bytes > 0);
            require(tensor_bytes(&t->t) == t->bytes);
            require(t->t.type == DTYPE_I8 || !t->t.scale);
            float row[1024];
            int64_t columns = t->t.rank ? tensor_count(t->t.rank, t->t.dim) / t->t.dim[0] : 1;
            if (t->t.rank && columns <= 1024) tensor_row(&t->t, t->t.dim[0] - 1, row);
            if (t->t.scale) require(t->t.scale[t->t.dim[0] - 1] > 0);
        }
    }
    arena_close(&a);
    return 0;
}
