#include "base/env.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct env_row rows[] = { /* alphabetical */
    {"HF_ENDPOINT",    "where models are fetched from (default https://huggingface.co)"},
    {"HOME",           "your folder; the cache is .cache/lode below it unless the next say otherwise"},
    {"LODE_CACHE",     "the folder that holds fetched models"},
    {"LODE_FAIL",      "for tests: KIND:N[+] makes the N-th alloc, open, read, write, map or dlopen fail"},
    {"LODE_FAKE_GPU",  "for tests: an emulated GPU instead of NVIDIA's driver: t4, a100, h200 ..."},
    {"LODE_LOG",       "how much is said on standard error: quiet, warn (default), info or debug"},
    {"LODE_MODULES",   "a folder searched first for lode's own modules (lode-av.so, lode-pull.so)"},
    {"LODE_THREADS",   "the number of threads when --threads does not say it"},
    {"NO_COLOR",       "if set, no colour on a terminal"},
    {"TMPDIR",         "the folder for temporary files (default /tmp)"},
    {"XDG_CACHE_HOME", "the folder of all caches; lode's is lode below it"},
};
/* clang-format on */

const char *env_get(const char *name)
{
    bool known = false;
    for (size_t i = 0; i < COUNT(rows); i++) known |= strcmp(rows[i].name, name) == 0;
    assert(known);
    (void)known;
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

const struct env_row *env_rows(size_t *n)
{
    *n = COUNT(rows);
    return rows;
}
