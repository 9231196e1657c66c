/* Any bytes as an index of vectors: it is refused, or what it gives is vectors. */
#include "load/index.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 4, TEXTS = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

/* A file that cannot be used. SQLite says of some damaged ones that memory is lacking. */
static bool refused(const struct err *e)
{
    return e->code == E_INPUT || e->code == E_IO || e->code == E_NOMEM;
}

/* The corpus holds vectors of the texts "0" to "15". */
static void read_all(struct index *x)
{
    for (int i = 0; i < TEXTS; i++) {
        struct err e;
        struct sha s;
        char text[8];
        uint8_t hash[SHA_BYTES];
        float v[WIDTH];
        sha_begin(&s);
        sha_add(&s, text, (size_t)snprintf(text, sizeof text, "%d", i));
        sha_end(&s, hash);
        int rc = index_module.get(x, hash, v, &e);
        for (int k = 0; rc == 1 && k < WIDTH; k++) require(isfinite(v[k]));
        require(rc >= 0 || refused(&e));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct index_of of = {.model = "m", .settings = "s", .width = WIDTH};
    const char *folder = getenv("TMPDIR");
    struct index *x = NULL;
    struct arena *a;
    struct err e;
    char path[300];
    if (size == 0) return 0; /* becomes an index, which is written to the disk */
    snprintf(path, sizeof path, "%.200s/fz_index-%ld.db", folder ? folder : "/tmp", (long)getpid());
    FILE *f = fopen(path, "wb");
    require(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
    require(arena_open("index", 0, &a, &e) == 0);
    const char *settings;
    int rc = index_module.settings(a, path, &settings, &e);
    require(rc == 0 || refused(&e));
    rc = index_module.open(a, path, &of, &x, &e);
    require(rc == 0 || refused(&e));
    if (rc == 0) read_all(x);
    index_module.close(&x);
    arena_close(&a);
    unlink(path);
    return 0;
}
