/* lode rm: models out of the cache. Paths are refused: only what pull brought can go. */
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "load/store.h"

static int run(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
               struct err *e)
{
    (void)opts;
    struct arena *a;
    TRY(arena_open("rm", 0, &a, e));
    struct fetch_watch watch = host_watch(host);
    int result = 0;
    for (size_t i = 0; i < inputs->n && result == 0; i++) {
        double bytes;
        result = store_remove(a, inputs->words[i], &watch, &bytes, e);
        if (result == 0) host_note(host, "removed %s (%.1f MB)", inputs->words[i], bytes / 1e6);
    }
    arena_close(&a);
    return result;
}

const struct lode_job job_rm_row = {
    .name = "rm",
    .summary = "remove models from the cache",
    .synopsis = "NAME...",
    .details = "Removes cached models, and what an interrupted pull left of them, without asking. "
               "Files outside the cache are never touched.\n\n"
               "    lode rm tiny.en",
    .inputs_min = 1,
    .inputs_max = -1,
    .run = run,
};
