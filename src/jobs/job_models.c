/* lode models: what is in the cache, and what could be fetched. */
#include "base/file.h"
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "load/store.h"
#include <string.h>

struct options {
    bool json;
};

/* clang-format off */
static const struct opt_row rows[] = {
    {.name = "json", .type = OPT_BOOL, .offset = offsetof(struct options, json),
     .help = "Print JSON."},
};
/* clang-format on */

/* The models that are cached, or those that are not. */
static void print_array(struct json_out *j, const struct store_model *m, size_t n, bool cached)
{
    json_out_array(j);
    for (size_t i = 0; i < n; i++) {
        if (m[i].cached != cached) continue;
        json_out_object(j);
        json_out_key(j, "name");
        json_out_str(j, m[i].name);
        json_out_key(j, "bytes");
        json_out_int(j, (int64_t)m[i].bytes);
        if (cached) {
            json_out_key(j, "format");
            json_out_str(j, m[i].format);
            json_out_key(j, "path");
            json_out_str(j, m[i].path);
        }
        json_out_end(j, '}');
    }
    json_out_end(j, ']');
}

static int print_json(const char *cache, const struct store_model *m, size_t n,
                      const struct lode_host *host, struct err *e)
{
    struct lode_host copy = *host; /* host_put takes a context that is not const */
    struct json_out j;
    json_out_init(&j, 2, host_put, &copy, e);
    json_out_object(&j);
    json_out_key(&j, "cache");
    json_out_str(&j, cache);
    json_out_key(&j, "models");
    print_array(&j, m, n, true);
    json_out_key(&j, "can_be_fetched");
    print_array(&j, m, n, false);
    json_out_end(&j, '}');
    return json_out_done(&j);
}

static int print_line(const struct store_model *m, const struct lode_host *host, struct err *e)
{
    if (!m->cached)
        return host_format(host, e, "%-18s %8.1f MB  not fetched\n", m->name, m->bytes / 1e6);
    return host_format(host, e, "%-18s %8.1f MB  %-12s %s\n", m->name, m->bytes / 1e6, m->format,
                       m->path);
}

static int list(struct arena *a, const struct options *o, const struct lode_host *host,
                struct err *e)
{
    struct store_model *m;
    size_t n;
    char *cache = file_cache(a, "models", e);
    if (!cache) return -1;
    TRY(store_list(a, &m, &n, e));
    if (o->json) return print_json(cache, m, n, host, e);
    for (size_t i = 0; i < n; i++) TRY(print_line(&m[i], host, e));
    return 0;
}

static int run(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
               struct err *e)
{
    (void)inputs;
    struct arena *a;
    TRY(arena_open("models", 0, &a, e));
    int result = list(a, opts, host, e);
    arena_close(&a);
    return result;
}

const struct lode_job job_models_row = {
    .name = "models",
    .summary = "list cached and known models",
    .synopsis = "[options]",
    .details = "One line per model: name, size, format and folder of those in the cache, then the "
               "names that `lode pull` knows.\n\n"
               "    lode models --json",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct options),
    .inputs_min = 0,
    .inputs_max = 0,
    .run = run,
};
