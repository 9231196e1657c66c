/* `lode plan`: what a model will take, before anything is taken. */
#include "base/thread.h"
#include "jobs/cluster_options.h"
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "jobs/route.h"
#include "jobs/search.h"
#include "jobs/sentences.h"
#include "jobs/words.h"
#include "load/store.h"
#include <string.h>

struct plan_opts {
    const char *device, *gpu, *route;
    int compute_type;
    int64_t beam, best_of, batch, threads, targets, rows, dims, k, n_init, neighbors;
    int method, covariance;
    bool words, json, dump, metrics;
    struct json_out *within; /* not options: of a route, where the figures of its models go, */
    size_t *sum;             /* and their bytes */
};

#define AT(field) offsetof(struct plan_opts, field)
/* clang-format off */
static const struct opt_row rows[] = {
    {.name = "device", .letter = 'd', .type = OPT_TEXT, .offset = AT(device), .fallback = "auto", .value = "auto|cpu|cuda[:N]", .help = "auto takes the GPU if it can be used; cuda:1 is the second one."},
    {.name = "gpu", .letter = 'g', .type = OPT_TEXT, .offset = AT(gpu), .value = "NAME|SIZE", .help = "Plan for a GPU that is not here: t4, a5000, a100, h200 .., or any of that size: 16GiB. Needs no driver."},
    {.name = "compute-type", .type = OPT_CHOICE, .offset = AT(compute_type), .choices = SPEECH_COMPUTE_TYPES, .fallback = "auto", .help = "As for transcribe."},
    {.name = "beam-size", .letter = 'b', .type = OPT_INT, .offset = AT(beam), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "As for transcribe."},
    {.name = "best-of", .type = OPT_INT, .offset = AT(best_of), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "As for transcribe."},
    {.name = "batch-size", .type = OPT_INT, .offset = AT(batch), .min = 1, .max = SPEECH_BATCH, .fallback = "1", .value = "N", .help = "Windows decoded together."},
    {.name = "word-timestamps", .type = OPT_BOOL, .offset = AT(words), .help = "As for transcribe."},
    {.name = "threads", .letter = 't', .type = OPT_INT, .offset = AT(threads), .min = 0, .max = 1024, .fallback = "0", .value = "N", .help = "As for transcribe; scratch memory grows with them."},
    {.name = "route", .type = OPT_TEXT, .offset = AT(route), .value = "LIST", .help = "Instead of MODEL: every model of a route, as for transcribe, and what they take together."},
    {.name = "targets", .type = OPT_INT, .offset = AT(targets), .min = 0, .max = INT32_MAX / 2, .fallback = "0", .value = "N", .help = "A model of texts: with the search of `lode match` over so many passages, ten best of each query."},
    {.name = "rows", .type = OPT_INT, .offset = AT(rows), .min = 1, .max = 2e9, .fallback = "1000000", .value = "N", .help = "cluster: rows."},
    {.name = "dims", .type = OPT_INT, .offset = AT(dims), .min = 1, .max = 2e9, .fallback = "200", .value = "N", .help = "cluster: numbers in a row, or components of --pca."},
    {.name = "clusters", .letter = 'k', .type = OPT_INT, .offset = AT(k), .min = 1, .max = 2e9, .fallback = "100", .value = "N", .help = "cluster: how many clusters."},
    {.name = "method", .letter = 'm', .type = OPT_CHOICE, .offset = AT(method), .choices = CLUSTER_METHODS, .fallback = "kmeans", .help = "cluster: how."},
    {.name = "covariance", .type = OPT_CHOICE, .offset = AT(covariance), .choices = CLUSTER_COVARIANCES, .fallback = "full", .help = "cluster, gmm: the shape of its clusters.", .alias = "covariance-type"},
    {.name = "neighbors", .type = OPT_INT, .offset = AT(neighbors), .min = 1, .max = 10000, .fallback = "10", .value = "N", .help = "cluster, spectral: nearest rows of each, itself counted.", .alias = "n-neighbors"},
    {.name = "n-init", .type = OPT_INT, .offset = AT(n_init), .min = 0, .max = 10000, .fallback = "0", .value = "N", .help = "cluster: starts."},
    {.name = "metrics", .type = OPT_BOOL, .offset = AT(metrics), .help = "cluster: with its metrics."},
    {.name = "json", .type = OPT_BOOL, .offset = AT(json), .help = "As one JSON object."},
    {.name = "dump", .type = OPT_BOOL, .offset = AT(dump), .help = "Every value and step of the plan, one per line."},
};
/* clang-format on */

struct figures { /* of one plan on one device */
    const char *device, *device_name, *reason, *compute_type;
    struct net_whisper net;
    const struct plan *plan;
    struct backend_memory bytes;
    struct backend_memory search; /* of --targets */
    size_t words_bytes;           /* of this machine's memory, for times of words; not in `bytes` */
    size_t room;                  /* SIZE_MAX if not known */
    int most;                     /* the largest batch that fits; 0: none; -1: not known */
};

struct source {                  /* what is known of a model: one of the two configs */
    struct load_weights weights; /* n 0: published sizes */
    bool encodes;                /* texts: */
    struct net_sentence_config sentence;
    struct net_whisper_config whisper;
};

/* Sizes by the published name, without a file; of anything else from its weights. */
static int open_source(struct arena *a, const char *model, struct source *s,
                       const struct lode_host *host, struct err *e)
{
    char *path;
    if (!store_is_path(model)) {
        if (net_whisper_named(model, &s->whisper)) return 0;
        if ((s->encodes = net_sentence_named(model, &s->sentence))) return 0;
    }
    struct fetch_watch watch = host_watch(host);
    TRY(store_find(a, model, true, &watch, &path, e));
    TRY(load_open(a, path, &s->weights, e));
    s->encodes = net_sentence_config_known(a, &s->weights);
    if (s->encodes) return net_sentence_config(a, &s->weights, &s->sentence, e);
    return net_whisper_config(a, &s->weights, &s->whisper, e);
}

static size_t total(const struct backend_memory *m)
{
    return m->weights + m->state + m->step + m->scratch;
}

static size_t whole(const struct figures *f)
{
    return total(&f->bytes) + total(&f->search);
}

struct subject { /* what is planned, but for the batch */
    const struct plan_opts *o;
    const struct load_weights *weights; /* NULL: published sizes */
    const struct net_whisper_config *config;
    struct engine *engine;
    const char *device, *compute_type;
};

static int measure(struct arena *a, const struct subject *s, int batch, struct figures *f,
                   struct err *e)
{
    struct net_whisper_source source = {.weights = s->weights};
    struct plan *plan;
    struct net_whisper_shape shape =
        speech_shape(batch, (int)s->o->beam, (int)s->o->best_of, s->compute_type, s->device);
    shape.words = s->o->words;
    TRY(net_whisper_plan(a, &source, s->config, &shape, &plan, &f->net, e));
    f->words_bytes = s->o->words ? words_bytes(s->config) : 0;
    f->plan = plan;
    return engine_measure(s->engine, plan, &f->bytes, e);
}

/* The largest batch that fits. A plan only grows with its batch. */
static int find_most(struct arena *a, const struct subject *s, size_t room, int *most,
                     struct err *e)
{
    int fits = 0, beyond = SPEECH_BATCH + 1;
    while (beyond - fits > 1) {
        struct figures f;
        struct arena_mark mark = arena_here(a);
        int batch = (fits + beyond) / 2;
        TRY(measure(a, s, batch, &f, e));
        arena_rewind(a, mark);
        if (total(&f.bytes) <= room)
            fits = batch;
        else
            beyond = batch;
    }
    *most = fits;
    return 0;
}

/* On which device, and how it computes there. */
static void find_device(const struct plan_opts *o, const struct engine *engine, bool encoder,
                        struct figures *f)
{
    char compute[24];
    opt_choice(opt_find(rows, COUNT(rows), "compute-type"), o->compute_type, compute,
               sizeof compute);
    f->device = engine_device(engine);
    f->device_name = engine_describe(engine);
    f->reason = engine_reason(engine);
    f->compute_type =
        encoder ? sentences_compute_type(compute, engine) : speech_compute_type(compute, f->device);
}

static int find_figures(struct arena *a, const struct plan_opts *o, const struct source *source,
                        struct engine *engine, struct figures *f, struct err *e)
{
    find_device(o, engine, false, f);
    struct subject s = {.o = o,
                        .weights = source->weights.n ? &source->weights : NULL,
                        .config = &source->whisper,
                        .engine = engine,
                        .device = f->device,
                        .compute_type = f->compute_type};
    f->most = -1;
    TRY(engine_room(engine, &f->room, e));
    if (f->room != SIZE_MAX) TRY(find_most(a, &s, f->room, &f->most, e));
    return measure(a, &s, (int)o->batch, f, e);
}

static int print_json(const char *model, const struct plan_opts *o, const struct figures *f,
                      const struct lode_host *host, struct err *e)
{
    struct lode_host copy = *host; /* host_put takes a context that is not const */
    struct json_out own, *j = o->within ? o->within : &own;
    if (!o->within) json_out_init(j, 2, host_put, &copy, e);
    json_out_object(j);
    json_out_key(j, "model");
    json_out_str(j, model);
    opt_json(rows, COUNT(rows), o, j);
    json_out_key(j, "resolved_device");
    json_out_str(j, f->device);
    json_out_key(j, "device_name");
    json_out_str(j, f->device_name);
    json_out_key(j, "device_reason");
    json_out_str(j, f->reason);
    json_out_key(j, "resolved_compute_type");
    json_out_str(j, f->compute_type);
    const struct {
        const char *key;
        size_t bytes;
    } kinds[] = {{"weights_bytes", f->bytes.weights},
                 {"state_bytes", f->bytes.state},
                 {"step_bytes", f->bytes.step + f->bytes.scratch},
                 {"total_bytes", whole(f)}};
    for (size_t i = 0; i < COUNT(kinds); i++) {
        json_out_key(j, kinds[i].key);
        json_out_int(j, (int64_t)kinds[i].bytes);
    }
    if (o->targets) {
        json_out_key(j, "search_bytes");
        json_out_int(j, (int64_t)total(&f->search));
    }
    if (o->words) {
        json_out_key(j, "words_host_bytes");
        json_out_int(j, (int64_t)f->words_bytes);
    }
    if (f->room != SIZE_MAX) {
        json_out_key(j, "room_bytes");
        json_out_int(j, (int64_t)f->room);
        json_out_key(j, "fits");
        json_out_bool(j, whole(f) <= f->room);
    }
    if (f->most >= 0) {
        json_out_key(j, "largest_batch");
        json_out_int(j, f->most);
    }
    json_out_end(j, '}');
    return o->within ? 0 : json_out_done(j);
}

static int print_text(const char *model, const struct plan_opts *o, const struct figures *f,
                      const struct lode_host *host, struct err *e)
{
    const double mib = 1 << 20;
    TRY(host_format(host, e,
                    "%s on %s (%s), %s, beam %lld, best of %lld, batch %lld\n"
                    "  weights  %9.1f MiB\n"
                    "  state    %9.1f MiB\n"
                    "  step     %9.1f MiB\n"
                    "  total    %9.1f MiB\n",
                    model, f->device, f->device_name, f->compute_type, (long long)o->beam,
                    (long long)o->best_of, (long long)o->batch, (double)f->bytes.weights / mib,
                    (double)f->bytes.state / mib, (double)(f->bytes.step + f->bytes.scratch) / mib,
                    (double)total(&f->bytes) / mib));
    if (o->words)
        TRY(host_format(host, e, "  words    %9.1f MiB, outside the device\n",
                        (double)f->words_bytes / mib));
    if (f->most < 0) return 0;
    return host_format(host, e, "  room     %9.1f MiB: %s; the largest batch that fits is %d\n",
                       (double)f->room / mib, total(&f->bytes) <= f->room ? "it fits" : "too much",
                       f->most);
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

/* A clustering instead of a model: its rows lie in memory beside what its method keeps. */
static int plan_cluster(struct arena *a, const struct plan_opts *o, struct engine *engine,
                        const struct lode_host *host, struct err *e)
{
    struct cluster_flags flags = {.method = o->method,
                                  .k = o->k,
                                  .starts = o->n_init,
                                  .min_samples = 5,
                                  .neighbors = o->neighbors,
                                  .covariance = o->covariance,
                                  .batch = 1024,
                                  .tol = -1,
                                  .metrics = o->metrics};
    struct cluster_options co = job_cluster_options(&flags);
    struct figures f = {.device = engine_device(engine), .device_name = engine_describe(engine)};
    char method[16];
    TRY(cluster_measure(a, engine, o->rows, o->dims, &co, &f.bytes, e));
    TRY(engine_room(engine, &f.room, e));
    opt_choice(opt_find(rows, COUNT(rows), "method"), o->method, method, sizeof method);
    f.most = -1;
    f.compute_type = "float32";
    if (o->json) return print_json("cluster", o, &f, host, e);
    const double mib = 1 << 20;
    return host_format(host, e,
                       "%s of %lld row%s of %lld number%s, %lld cluster%s, on %s (%s)\n"
                       "  rows     %9.1f MiB\n"
                       "  state    %9.1f MiB\n"
                       "  step     %9.1f MiB\n"
                       "  total    %9.1f MiB\n",
                       method, (long long)o->rows, str_s(o->rows), (long long)o->dims,
                       str_s(o->dims), (long long)o->k, str_s(o->k), f.device, f.device_name,
                       (double)(o->rows * o->dims) * 4 / mib, (double)f.bytes.state / mib,
                       (double)(f.bytes.step + f.bytes.scratch) / mib -
                           (double)(o->rows * o->dims) * 4 / mib,
                       (double)total(&f.bytes) / mib);
}

/* An encoder of texts, as `lode embed` opens it. */
static int measure_encoder(struct arena *a, const struct plan_opts *o, const struct source *source,
                           struct engine *engine, struct figures *f,
                           struct net_sentence_shape *shape, struct err *e)
{
    struct net_sentence_source from = {.weights = source->weights.n ? &source->weights : NULL};
    struct net_sentence net;
    struct plan *plan;
    int threads = o->threads ? (int)MIN(o->threads, thread_cpus()) : thread_cpus();
    find_device(o, engine, true, f);
    *shape = sentences_shape(&source->sentence, threads, f->compute_type, f->device, true);
    TRY(net_sentence_plan(a, &from, &source->sentence, shape, &plan, &net, e));
    f->plan = plan;
    f->most = -1;
    TRY(engine_room(engine, &f->room, e));
    if (o->targets) /* 10: the best that match shows */
        TRY(search_measure(a, engine, o->targets, source->sentence.width, 10, &f->search, e));
    return engine_measure(engine, plan, &f->bytes, e);
}

static int plan_encoder(struct arena *a, const struct plan_opts *o, const char *model,
                        const struct source *source, struct engine *engine,
                        const struct lode_host *host, struct err *e)
{
    struct net_sentence_shape shape;
    struct figures f = {0};
    struct err why;
    while (measure_encoder(a, o, source, engine, &f, &shape, &why)) {
        *e = why;
        if (why.code != E_DEVICE || o->gpu) return -1;
        TRY(engine_retreat(engine, &why, e));
    }
    if (o->dump) return print_dump(a, f.plan, host, e);
    if (o->json) return print_json(model, o, &f, host, e);
    const double mib = 1 << 20;
    TRY(host_format(host, e,
                    "%s on %s (%s), %s, %d tokens at a time, a text has at most %d\n"
                    "  weights  %9.1f MiB\n"
                    "  step     %9.1f MiB\n",
                    model, f.device, f.device_name, f.compute_type, shape.rows, shape.max_tokens,
                    (double)f.bytes.weights / mib,
                    (double)(f.bytes.state + f.bytes.step + f.bytes.scratch) / mib));
    if (o->targets)
        TRY(host_format(host, e, "  search   %9.1f MiB: %lld vectors of %d numbers\n",
                        (double)total(&f.search) / mib, (long long)o->targets,
                        source->sentence.width));
    TRY(host_format(host, e, "  total    %9.1f MiB\n", (double)whole(&f) / mib));
    if (f.room == SIZE_MAX) return 0;
    return host_format(host, e, "  room     %9.1f MiB: %s\n", (double)f.room / mib,
                       whole(&f) <= f.room ? "it fits" : "too much");
}

static int with_arena(struct arena *a, const struct plan_opts *o, const char *model,
                      const struct lode_host *host, struct engine **engine, struct source *source,
                      struct err *e)
{
    struct figures f;
    struct engine_options eo = {.device = o->device,
                                .kernels = "auto",
                                .threads = (int)MIN(o->threads, thread_cpus()),
                                .gpu = o->gpu};
    TRY(engine_check(o->device, e));
    if (o->gpu) {
        if (strcmp(o->device, "cpu") == 0)
            return err_set(e, E_USAGE, "--gpu %s and --device cpu contradict each other", o->gpu);
        eo.device = "cuda";
    }
    bool cluster = strcmp(model, "cluster") == 0;
    if (!cluster) TRY(open_source(a, model, source, host, e));
    if (o->sum && (cluster || source->encodes))
        return err_set(e, E_USAGE, "--route: %s is no model of speech", model);
    if (o->targets && !source->encodes)
        return err_set(e, E_USAGE, "--targets: %s is no model of texts", model);
    if (cluster) {
        TRY(engine_open(a, &eo, engine, e));
        return plan_cluster(a, o, *engine, host, e);
    }
    TRY(engine_open(a, &eo, engine, e));
    if (source->encodes) return plan_encoder(a, o, model, source, *engine, host, e);
    TRY(find_figures(a, o, source, *engine, &f, e));
    if (o->sum) *o->sum += total(&f.bytes) + f.words_bytes;
    if (o->dump) return print_dump(a, f.plan, host, e);
    return o->json ? print_json(model, o, &f, host, e) : print_text(model, o, &f, host, e);
}

static int plan_model(const struct plan_opts *o, const char *model, const struct lode_host *host,
                      struct err *e)
{
    struct arena *a;
    struct engine *engine = NULL;
    struct source source = {0};
    TRY(arena_open("plan", 0, &a, e));
    int rc = with_arena(a, o, model, host, &engine, &source, e);
    engine_close(&engine);
    load_close(&source.weights);
    arena_close(&a);
    return rc;
}

/* The number of a compute type that route_read has let pass. */
static int compute_type_of(const char *name)
{
    const struct opt_row *row = opt_find(rows, COUNT(rows), "compute-type");
    char buf[24];
    int i = 0;
    while (strcmp(opt_choice(row, i, buf, sizeof buf), name) != 0) i++;
    return i;
}

static int plan_route(struct arena *a, const struct plan_opts *o, const struct lode_host *host,
                      struct err *e)
{
    struct lode_host copy = *host;
    struct json_out j;
    struct route r;
    size_t sum = 0;
    TRY(route_read(a, o->route, &r, e));
    if (o->json) {
        json_out_init(&j, 2, host_put, &copy, e);
        json_out_object(&j);
        json_out_key(&j, "models");
        json_out_array(&j);
    }
    for (int i = 0; i < r.n; i++) {
        const struct route_target *t = &r.target[i];
        struct plan_opts one = *o;
        one.route = NULL;
        one.sum = &sum;
        one.within = o->json ? &j : NULL;
        if (t->compute_type) one.compute_type = compute_type_of(t->compute_type);
        TRY(plan_model(&one, t->model, host, e));
    }
    if (o->json) {
        json_out_end(&j, ']');
        json_out_key(&j, "total_bytes");
        json_out_int(&j, (int64_t)sum);
        json_out_end(&j, '}');
        return json_out_done(&j);
    }
    return host_format(host, e, "%d model%s together %.1f MiB\n", r.n, str_s(r.n),
                       (double)sum / (1 << 20));
}

static int run_plan(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
                    struct err *e)
{
    const struct plan_opts *o = opts;
    struct arena *a;
    if (!o->route && inputs->n == 0)
        return err_set(e, E_USAGE, "what is to be planned: a MODEL, cluster, or --route LIST");
    if (!o->route) return plan_model(o, inputs->words[0], host, e);
    if (inputs->n || o->dump)
        return err_set(e, E_USAGE, "--route cannot be had with %s", inputs->n ? "MODEL" : "--dump");
    TRY(arena_open("route", 0, &a, e));
    int rc = plan_route(a, o, host, e);
    arena_close(&a);
    return rc;
}

const struct lode_job job_plan_row = {
    .name = "plan",
    .summary = "the memory a model will take, before it is taken",
    .synopsis = "MODEL|--route LIST [options]",
    .details =
        "MODEL is a name users type (its published sizes are known, no file is needed), a "
        "model folder, a weight file, or the word cluster for a clustering. Bytes are given by "
        "kind: weights as the device "
        "holds them, state (attention caches) and step values (laid over each other) with the "
        "scratch of the kernels. Of a GPU it says whether that fits and which batch would, with "
        "0.5 GiB left free and 0.5 GiB for the driver.\n"
        "\n"
        "  lode plan tiny.en --json\n"
        "  lode plan large-v3 --compute-type int8 --beam-size 1\n"
        "  lode plan all-mpnet-base-v2 --threads 1 --targets 100000\n"
        "  lode plan --route en=tiny.en:int8,default=medium\n"
        "  lode plan cluster --rows 1000000 --dims 200 -k 100\n"
        "  lode plan large-v3 --gpu t4 --batch-size 64 --compute-type int8 --beam-size 1 "
        "--best-of 1\n",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct plan_opts),
    .inputs_min = 0,
    .inputs_max = 1,
    .run = run_plan,
};
