/* What a search finds of an earlier one: its journal (begins with '{"lode_search"') and
 * report.json. */
#include "jobs/diary.h"
#include "jobs/playlist_old.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_journal(struct arena *a, struct str text)
{
    struct evolve_run *run = NULL;
    struct err e;
    size_t good;
    int64_t n;
    if (diary_take(a, text, 0x77, 10, &run, &n, &good, &e)) return;
    if (good > text.n || (n > 0 && !run)) abort();
    for (int64_t i = 0; i < n; i++)
        if (run[i].c.run != i) abort();
}

static void take_report(struct arena *a, struct str text)
{
    struct playlist_old old;
    struct err e;
    if (playlist_old_take(a, text, &old, &e)) return;
    for (int64_t i = 0; i < old.n; i++)
        for (int64_t k = 1; k < old.list[i].n; k++)
            if (old.list[i].song[k] < old.list[i].song[k - 1]) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct err e;
    struct arena *a;
    if (arena_open("fuzz", 256 << 20, &a, &e)) abort();
    take_journal(a, text);
    take_report(a, text);
    arena_close(&a);
    return 0;
}
