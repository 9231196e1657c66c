/* `lode plan`: what a model will take, before anything is taken. */
#include "base/thread.h"
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "jobs/speech.h"
#include "load/store.h"
#include <string.h>

struct plan_opts {
    int device, compute_type;
    int64_t beam, best_of, batch, threads;
    bool json, dump;
};

#define AT(field) offsetof(struct plan_opts, field)
/* clang-format off */
static const struct opt_row rows[] = {
    {.name = "device", .letter = 'd', .type = OPT_CHOICE, .offset = AT(device), .choices = "auto|cpu|cuda", .fallback = "auto", .help = "auto takes the GPU if it can be used."},
    {.name = "compute-type", .type = OPT_CHOICE, .offset = AT(compute_type), .choices = SPEECH_COMPUTE_TYPES, .fallback = "auto", .help = "As for transcribe."},
    {.name = "beam-size", .letter = 'b', .type = OPT_INT, .offset = AT(beam), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "As for transcribe."},
    {.name = "best-of", .type = OPT_INT, .offset = AT(best_of), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "As for transcribe."},
    {.name = "batch-size", .type = OPT_INT, .offset = AT(batch), .min = 1, .max = 1, .fallback = "1", .value = "N", .help = "Windows decoded together."},
    {.name = "threads", .letter = 't', .type = OPT_INT, .offset = AT(threads), .min = 0, .max = 1024, .fallback = "0", .value = "N", .help = "As for transcribe; scratch memory grows with them."},
    {.name = "json", .type = OPT_BOOL, .offset = AT(json), .help = "As one JSON object."},
    {.name = "dump", .type = OPT_BOOL, .offset = AT(dump), .help = "Every value and step of the plan, one per line."},
};
/* clang-format on */

struct figures { /* of one plan on one device */
    const char *device, *device_name, *reason, *compute_type;
    struct net_whisper net;
    const struct plan *plan;
    struct backend_memory bytes;
};

/* Sizes by the published name, without a file; of anything else from its weights. */
static int open_source(struct arena *a, const char *model, struct load_weights *w,
                       struct net_whisper_config *config, const struct lode_host *host,
                       struct err *e)
{
    char *path;
    if (!store_is_path(model) && net_whisper_named(model, config)) return 0;
    struct fetch_watch watch = host_watch(host);
    TRY(store_find(a, model, true, &watch, &path, e));
    TRY(load_open(a, path, w, e));
    return net_whisper_config(a, w, config, e);
}

static int measure(struct arena *a, const struct plan_opts *o, const struct load_weights *w,
                   const struct net_whisper_config *config, struct engine *engine,
                   struct figures *f, struct err *e)
{
    char compute[24];
    struct net_whisper_source source = {.weights = w->n ? w : NULL};
    struct plan *plan;
    opt_choice(opt_find(rows, COUNT(rows), "compute-type"), o->compute_type, compute,
               sizeof compute);
    f->device = engine_device(engine);
    f->device_name = engine_describe(engine);
    f->reason = engine_reason(engine);
    f->compute_type = speech_compute_type(compute, f->device);
    struct net_whisper_shape shape = speech_shape((int)o->beam, (int)o->best_of, f->compute_type);
    TRY(net_whisper_plan(a, &source, config, &shape, &plan, &f->net, e));
    f->plan = plan;
    return engine_measure(engine, plan, &f->bytes, e);
}

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    return host_text(ctx, p, n, e);
}

static size_t total(const struct backend_memory *m)
{
    return m->weights + m->state + m->step + m->scratch;
}

static int print_json(const char *model, const struct plan_opts *o, const struct figures *f,
                      const struct lode_host *host, struct err *e)
{
    struct json_out j;
    json_out_init(&j, 2, put, (void *)host, e);
    json_out_object(&j);
    json_out_key(&j, "model");
    json_out_str(&j, model);
    opt_json(rows, COUNT(rows), o, &j);
    json_out_key(&j, "resolved_device");
    json_out_str(&j, f->device);
    json_out_key(&j, "device_name");
    json_out_str(&j, f->device_name);
    json_out_key(&j, "resolved_compute_type");
    json_out_str(&j, f->compute_type);
    const struct {
        const char *key;
        size_t bytes;
    } kinds[] = {{"weights_bytes", f->bytes.weights},
                 {"state_bytes", f->bytes.state},
                 {"step_bytes", f->bytes.step + f->bytes.scratch},
                 {"total_bytes", total(&f->bytes)}};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        json_out_key(&j, kinds[i].key);
        json_out_int(&j, (int64_t)kinds[i].bytes);
    }
    json_out_end(&j, '}');
    return json_out_done(&j);
}

static int print_text(struct arena *a, const char *model, const struct plan_opts *o,
                      const struct figures *f, const struct lode_host *host, struct err *e)
{
    const double mib = 1 << 20;
    char *line =
        arena_format(a, e,
                     "%s on %s (%s), %s, beam %lld, best of %lld, batch %lld\n"
                     "  weights  %9.1f MiB\n"
                     "  state    %9.1f MiB\n"
                     "  step     %9.1f MiB\n"
                     "  total    %9.1f MiB\n",
                     model, f->device, f->device_name, f->compute_type, (long long)o->beam,
                     (long long)o->best_of, (long long)o->batch, (double)f->bytes.weights / mib,
                     (double)f->bytes.state / mib, (double)(f->bytes.step + f->bytes.scratch) / mib,
                     (double)total(&f->bytes) / mib);
    return line ? host_text(host, line, strlen(line), e) : -1;
}

static int print_dump(struct arena *a, const struct plan *plan, const struct lode_host *host,
                      struct err *e)
{
    struct strbuf text;
    size_t room = 256 * (size_t)(plan->n_values + plan->n_steps + PLAN_TAPES);
    char *memory = ARENA_NEW(a, char, room, e);
    if (!memory) return -1;
    strbuf_init(&text, memory, room);
    plan_dump(plan, &text);
    return host_text(host, text.p, text.n, e);
}

static int with_arena(struct arena *a, const struct plan_opts *o, const char *model,
                      const struct lode_host *host, struct engine **engine, struct load_weights *w,
                      struct err *e)
{
    char device[24];
    struct net_whisper_config config;
    struct figures f;
    struct engine_options eo = {.kernels = "auto", .threads = (int)MIN(o->threads, thread_cpus())};
    eo.device = opt_choice(opt_find(rows, COUNT(rows), "device"), o->device, device, sizeof device);
    TRY(open_source(a, model, w, &config, host, e));
    TRY(engine_open(a, &eo, engine, e));
    TRY(measure(a, o, w, &config, *engine, &f, e));
    if (o->dump) return print_dump(a, f.plan, host, e);
    return o->json ? print_json(model, o, &f, host, e) : print_text(a, model, o, &f, host, e);
}

static int run_plan(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
                    struct err *e)
{
    struct arena *a;
    struct engine *engine = NULL;
    struct load_weights w = {0};
    TRY(arena_open("plan", 0, &a, e));
    int rc = with_arena(a, opts, inputs->words[0], host, &engine, &w, e);
    engine_close(&engine);
    load_close(&w);
    arena_close(&a);
    return rc;
}

const struct lode_job job_plan_row = {
    .name = "plan",
    .summary = "the memory a model will take, before it is taken",
    .synopsis = "MODEL [options]",
    .details =
        "MODEL is a name users type (its published sizes are known, no file is needed), a "
        "model folder, or a weight file. Bytes are given by kind: weights as the device "
        "holds them, state (attention caches) and step values (laid over each other) with the "
        "scratch of the kernels.\n"
        "\n"
        "  lode plan tiny.en --json\n"
        "  lode plan large-v3 --compute-type int8 --beam-size 1\n",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct plan_opts),
    .inputs_min = 1,
    .inputs_max = 1,
    .run = run_plan,
};
