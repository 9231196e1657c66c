/* Models of clusters: taken only if every number fits the others; then rows are given to them. */
#include "cluster/model.h"
#include "load/load_format.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void number_row(void *ctx, int64_t i, double *out)
{
    for (int64_t j = 0; j < *(int64_t *)ctx; j++) out[j] = (double)(i * 3 + j);
}

static void use(struct arena *a, struct cluster_model *m)
{
    struct engine_options o = {.device = "cpu", .kernels = "base", .threads = 1};
    struct scale_source s = {&m->scale.d, number_row, 9, m->scale.d, NULL, 2};
    struct engine *engine = NULL;
    struct err e;
    int32_t label[9];
    if (m->k > 1 << 12 || m->d > 1 << 10 || m->scale.d > 1 << 12) return;
    if (engine_open(a, &o, &engine, &e) == 0 &&
        cluster_predict(a, engine, NULL, &s, m, label, &e) == 0)
        for (int i = 0; i < 9; i++)
            if (label[i] < 0 || label[i] >= m->k) abort();
    engine_close(&engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = {0};
    struct arena *a;
    struct cluster_model m;
    struct load_weights w = {.map = {.data = data, .size = size, .path = "input"}, .spec = ""};
    if (!load_safetensors_row.probe(data, size)) return 0;
    if (arena_open("fuzz", 256 << 20, &a, &e)) abort();
    if (load_safetensors_row.open(a, &w, &e) == 0 && model_take(a, &w, &m, &e) == 0) use(a, &m);
    arena_close(&a);
    return 0;
}
