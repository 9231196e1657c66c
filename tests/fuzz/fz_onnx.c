/* The ONNX reader on strangers' bytes: an error, or tensors whose data can be read. */
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
    if (!load_onnx_row.probe(data, size)) return 0;
    require(arena_open("fuzz", 64 * size + (1 << 20), &a, &e) == 0); /* what a file justifies */
    if (load_onnx_row.open(a, &w, &e) != 0) {
        require(e.code == E_MODEL && e.text[0]);
    } else {
        require(w.n > 0);
        for (size_t i = 0; i < w.n; i++) {
            const struct load_tensor *t = &w.tensor[i];
            require(load_find(&w, t->name) == t);
            require(t->offset <= size && t->bytes <= size - t->offset);
            require(t->bytes == 0 || tensor_bytes(&t->t) == t->bytes);
            float last;
            struct tensor end = t->t; /* the last element, through its scale */
            end.rank = 1;
            end.dim[0] = tensor_count(t->t.rank, t->t.dim);
            end.scale = NULL;
            tensor_row(&end, end.dim[0] - 1, &last);
        }
    }
    arena_close(&a);
    return 0;
}
