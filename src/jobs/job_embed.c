/* `lode embed`: a vector for every record. */
#include "base/thread.h"
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "jobs/kept.h"
#include "jobs/loss.h"
#include "jobs/profile.h"
#include "jobs/sentences.h"
#include "jobs/speech.h"
#include "jobs/vectors.h"
#include "load/rows.h"
#include "load/store.h"
#include <stdio.h>
#include <string.h>

struct embed_opts {
    const char *model, *output, *field, *id, *device, *prefix, *index;
    int input, format, type, pooling, compute_type, kernels;
    int64_t threads, max_tokens, loss;
    bool normalize, literal, profile, offline, quiet;
};

#define AT(field) offsetof(struct embed_opts, field)
/* clang-format off */
static const struct opt_row rows[] = {
    {.help = "What and where to"},
    {.name = "model", .letter = 'm', .type = OPT_TEXT, .offset = AT(model), .fallback = "all-MiniLM-L6-v2", .value = "NAME",
     .help = "Model name (see `lode models`) or a folder with model.safetensors, config.json and tokenizer.json. Fetched if it is not in the cache."},
    {.name = "output", .letter = 'o', .type = OPT_TEXT, .offset = AT(output), .value = "FILE", .help = "Write there instead of to standard output."},
    {.name = "format", .letter = 'f', .type = OPT_CHOICE, .offset = AT(format), .choices = "auto|" VECTORS_FORMATS, .fallback = "auto",
     .help = "Form of the vectors. auto: what the name after -o ends in, else jsonl."},
    {.name = "dtype", .type = OPT_CHOICE, .offset = AT(type), .choices = "float32|float16", .fallback = "float32", .help = "Numbers of an npy file."},
    {.name = "input-format", .type = OPT_CHOICE, .offset = AT(input), .choices = "auto|" ROWS_FORMATS, .fallback = "auto",
     .help = "Form of the input. auto: what its name ends in (.jsonl, .csv, .tsv; .pdf, .docx and the like), else lines."},
    {.name = "field", .type = OPT_TEXT, .offset = AT(field), .fallback = "text", .value = "NAME", .help = "The column or JSON member that holds the text."},
    {.name = "id", .type = OPT_TEXT, .offset = AT(id), .value = "NAME", .help = "The column or JSON member to name vectors by, in jsonl and csv."},
    {.name = "index", .type = OPT_TEXT, .offset = AT(index), .value = "FILE", .help = "Keep the vectors there (an SQLite file, made if it is not there) and embed only the texts that it has none for."},
    {.help = "How texts are read"},
    {.name = "prefix", .type = OPT_TEXT, .offset = AT(prefix), .value = "TEXT", .help = "Put before every text: some models want \"query: \" or \"passage: \"."},
    {.name = "max-tokens", .type = OPT_INT, .offset = AT(max_tokens), .min = 0, .max = 1 << 17, .fallback = "0", .value = "N", .help = "Tokens read of a text; 0: as many as the model was made for. What is cut off is counted in the summary."},
    {.name = "pooling", .type = OPT_CHOICE, .offset = AT(pooling), .choices = SENTENCES_POOLINGS, .fallback = "auto", .help = "The vector of a text: the mean of its tokens or its first token. auto: as the model says, else mean."},
    {.name = "normalize", .type = OPT_BOOL, .offset = AT(normalize), .fallback = "true", .help = "Vectors of length 1."},
    {.name = "literal", .type = OPT_BOOL, .offset = AT(literal), .help = "Special tokens spelled out in a text, such as [SEP], are text."},
    {.help = "Where it runs"},
    {.name = "device", .letter = 'd', .type = OPT_TEXT, .offset = AT(device), .fallback = "auto", .value = "auto|cpu|cuda[:N]", .help = "auto takes the GPU if it can be used, and the CPU where that fails; cuda:1 is the second one."},
    {.name = "threads", .letter = 't', .type = OPT_INT, .offset = AT(threads), .min = 0, .max = 1024, .fallback = "0", .value = "N", .help = "At most one for each processor this process may use; 0: as many."},
    {.name = "compute-type", .type = OPT_CHOICE, .offset = AT(compute_type), .choices = SPEECH_COMPUTE_TYPES, .fallback = "auto",
     .help = "A preference, resolved for the device; the summary says what was used. auto is what an --index has, else int8 on the CPU, float16 on a GPU; float32 gives the vectors of sentence-transformers to 6 digits."},
    {.name = "measure-loss", .type = OPT_INT, .offset = AT(loss), .min = 0, .max = 1000000, .fallback = "0", .value = "N",
     .help = "Embed N of the texts, evenly drawn, in float32 too, and say how near the vectors are (the cosine's median and least). Loads the model a second time."},
    {.name = "kernels", .type = OPT_CHOICE, .offset = AT(kernels), .choices = "auto|ref|base|avx2|avx512|avx512fp16|amx", .fallback = "auto", .help = "Force a level of CPU kernels, to compare or to look for a fault."},
    {.name = "profile", .type = OPT_BOOL, .offset = AT(profile), .help = "Tell at the end, on standard error, where the time went: for each step of the model, with the rate of its products and the share of what the processor could do."},
    {.help = "Other"},
    {.name = "offline", .type = OPT_BOOL, .offset = AT(offline), .help = "Never fetch anything."},
    {.name = "quiet", .letter = 'q', .type = OPT_BOOL, .offset = AT(quiet), .help = "No summary on standard error."},
};
/* clang-format on */

#define WORD 24 /* room for the longest choice */
/* Texts taken at a time: enough to sort by length, few enough to write as one goes. */
#define WINDOW       4096
#define WINDOW_BYTES (32u << 20)

static const char *choice(const char *name, int index, char *buf)
{
    return opt_choice(opt_find(rows, COUNT(rows), name), index, buf, WORD);
}

struct run {
    const struct embed_opts *o;
    const struct lode_host *host;
    struct arena *model, *job, *window;
    struct again again;
    struct sentences_options options;
    char compute[WORD], kernels[WORD]; /* in options */
    struct sentences *sentences;
    struct rows rows;
    int64_t total;
    struct file_out file;
    struct vectors_out out;
    struct kept kept;
    struct sentences_counts counts;
    struct loss loss;
    struct loss_found found;
};

static bool stop_measuring(void *ctx, size_t done)
{
    const struct run *r = ctx;
    (void)done;
    return host_cancelled(r->host);
}

static bool watch(void *ctx, size_t done)
{
    const struct run *r = ctx;
    host_progress(r->host, "texts", LODE_UNITS, (double)done, (double)r->total);
    return host_cancelled(r->host);
}

static int to_host(void *ctx, const char *p, size_t n, struct err *e)
{
    const struct run *r = ctx;
    return host_text(r->host, p, n, e);
}

static int to_file(void *ctx, const char *p, size_t n, struct err *e)
{
    struct run *r = ctx;
    return file_out_write(&r->file, p, n, e);
}

/* The text of the present record. */
static int text_of(struct run *r, const char *field, struct str *text, struct err *e)
{
    if (rows_get(&r->rows, field, text)) return 0;
    return rows_bad(&r->rows, e, "there is no text in \"%s\"", field);
}

/* Reads all records once: what cannot be read is said before anything is computed, and the npy
 * header needs their number. */
static int count_records(struct run *r, struct err *e)
{
    int rc;
    while ((rc = rows_next(&r->rows, e)) == 1) {
        struct str text;
        TRY(text_of(r, r->o->field, &text, e));
        if (r->o->id) TRY(text_of(r, r->o->id, &text, e));
        r->total++;
        if (r->total % 4096 == 0 && host_cancelled(r->host))
            return err_set(e, E_CANCELLED, "stopped on request");
    }
    rows_rewind(&r->rows);
    return rc;
}

static int copy(struct run *r, const char *prefix, struct str *s, struct err *e)
{
    size_t n = prefix ? strlen(prefix) : 0;
    char *p = ARENA_NEW(r->window, char, n + s->n + 1, e);
    if (!p) return -1;
    if (n) memcpy(p, prefix, n);
    if (s->n) memcpy(p + n, s->p, s->n);
    *s = (struct str){p, n + s->n};
    return 0;
}

/* The next texts, as many as make a window; their ids, empty without --id. */
static int read_window(struct run *r, struct str *text, struct str *id, size_t *n, struct err *e)
{
    size_t bytes = 0;
    int rc = 1;
    for (*n = 0; *n < WINDOW && bytes < WINDOW_BYTES && (rc = rows_next(&r->rows, e)) == 1; ++*n) {
        TRY(text_of(r, r->o->field, &text[*n], e));
        TRY(copy(r, r->o->prefix, &text[*n], e));
        bytes += text[*n].n;
        id[*n] = (struct str){0};
        if (!r->o->id) continue;
        TRY(text_of(r, r->o->id, &id[*n], e));
        TRY(copy(r, NULL, &id[*n], e));
    }
    return rc < 0 ? -1 : 0;
}

static int embed_all(struct run *r, struct err *e)
{
    struct str *text = ARENA_NEW(r->job, struct str, WINDOW, e),
               *id = ARENA_NEW(r->job, struct str, WINDOW, e);
    size_t most = (size_t)MIN(r->total, WINDOW), width = (size_t)r->sentences->width, n, bad;
    float *vector = ARENA_NEW(r->job, float, most *width, e);
    if (!text || !id || !vector) return -1;
    int64_t first = 0;
    for (;; first += (int64_t)n) {
        arena_reset(r->window);
        TRY(read_window(r, text, id, &n, e));
        if (n == 0) return 0;
        struct sentences_watch watcher = {watch, r, (size_t)first};
        if (kept_embed(&r->kept, r->window, text, n, vector, &r->counts, &watcher, &bad, e)) {
            if (bad < n) return err_note(e, "record %lld", (long long)(first + (int64_t)bad) + 1);
            return -1;
        }
        for (size_t i = 0; i < n; i++) {
            const float *x = vector + i * width;
            TRY(vectors_put(&r->out, id[i], x, e));
            TRY(loss_take(r->job, &r->loss, first + (int64_t)i, text[i], x, e));
        }
    }
}

static void summary(const struct run *r, double seconds)
{
    const struct sentences *s = r->sentences;
    const struct sentences_counts *c = &r->counts;
    double rate = seconds > 0 ? (double)c->texts / seconds : 0;
    host_progress(r->host, "", LODE_UNITS, -1, 0);
    if (r->o->quiet) return;
    host_note(r->host,
              "%llu text%s, %llu token%s in %.2f s (%.*f texts/s)%s%s; model %s loaded in %.2f s; "
              "%s, %s, %s",
              (unsigned long long)c->texts, str_s((int64_t)c->texts), (unsigned long long)c->tokens,
              str_s((int64_t)c->tokens), seconds, rate < 100 ? 1 : 0, rate,
              r->o->output ? " -> " : "", r->o->output ? r->o->output : "", s->o.name, s->load_s,
              engine_device(s->engine), engine_describe(s->engine), s->compute_type);
    if (r->kept.index)
        host_note(r->host, "%llu of %lld vectors were in %s, %llu %s new there",
                  (unsigned long long)r->kept.found, (long long)r->total, r->kept.path,
                  (unsigned long long)r->kept.made, r->kept.made == 1 ? "is" : "are");
    if (r->loss.n)
        host_note(r->host, "of %zu text%s, cosine of %s to float32: median %.6f, least %.6f",
                  r->loss.n, str_s((int64_t)r->loss.n), s->compute_type, r->found.median,
                  r->found.least);
    if (c->cut)
        host_note(r->host,
                  "%llu text%s longer than the %d tokens the model reads; %s%llu token%s (%.1f %%) "
                  "%s left out",
                  (unsigned long long)c->cut, c->cut == 1 ? " is" : "s are",
                  s->net.shape.max_tokens, c->about ? "about " : "", (unsigned long long)c->lost,
                  str_s((int64_t)c->lost), 100.0 * (double)c->lost / (double)(c->lost + c->tokens),
                  c->lost == 1 ? "was" : "were");
}

static enum vectors_format format_of(const struct embed_opts *o)
{
    static const char *const suffixes[] = {".npy", ".jsonl", ".csv"};
    if (o->format) return (enum vectors_format)(o->format - 1);
    for (size_t i = 0; o->output && i < COUNT(suffixes); i++) {
        if (str_ends(o->output, suffixes[i])) return (enum vectors_format)i;
    }
    return VECTORS_JSONL;
}

static int open_model(struct run *r, struct err *e)
{
    char *folder;
    struct fetch_watch watch = host_watch(r->host);
    const char *asked = choice("compute-type", r->o->compute_type, r->compute);
    TRY(store_find(r->model, r->o->model, r->o->offline, &watch, &folder, e));
    r->options = (struct sentences_options){
        .folder = folder,
        .name = r->o->model,
        .compute_type = kept_compute_type(&r->kept, asked),
        .engine = {.device = r->o->device,
                   .kernels = choice("kernels", r->o->kernels, r->kernels),
                   .threads = (int)MIN(r->o->threads, thread_cpus()),
                   .profile = r->o->profile},
        .again = &r->again,
        .max_tokens = r->o->max_tokens,
        .pooling = (enum sentences_pooling)r->o->pooling,
        .unit = r->o->normalize,
        .literal = r->o->literal,
    };
    return sentences_open(r->model, &r->options, &r->sentences, e);
}

static int write_all(struct run *r, struct err *e)
{
    struct out_sink sink = {r->o->output ? to_file : to_host, r};
    double start_s = thread_seconds();
    if (r->o->output) TRY(file_out_open(r->job, r->o->output, &r->file, e));
    TRY(vectors_begin(r->job, &sink, format_of(r->o), r->o->type == 1, r->total,
                      r->sentences->width, &r->out, e));
    TRY(loss_begin(r->job, r->o->loss, r->total, (size_t)r->sentences->width, &r->loss, e));
    TRY(embed_all(r, e));
    if (r->o->output) TRY(file_out_commit(&r->file, e));
    double seconds = thread_seconds() - start_s;
    struct sentences_watch measuring = {.stop = stop_measuring, .ctx = r};
    if (r->loss.n) TRY(loss_measure(&r->loss, &r->options, &measuring, &r->found, e));
    summary(r, seconds);
    const struct sentences *s = r->sentences;
    if (r->o->profile)
        profile_tell(r->host,
                     &(struct profile){s->o.name, s->engine, s->prepared, s->plan, s->load_s});
    return 0;
}

static int with_arenas(struct run *r, const char *input, struct err *e)
{
    const struct embed_opts *o = r->o;
    TRY(engine_check(o->device, e));
    if (o->output && file_same(o->output, input))
        return err_set(e, E_USAGE, "%s: -o would overwrite the input itself", input);
    enum rows_format format = o->input ? (enum rows_format)(o->input - 1) : rows_format_of(input);
    if (o->index && (file_same(o->index, input) || (o->output && file_clash(o->index, o->output))))
        return err_set(e, E_USAGE, "%s: the index cannot be the input or the output", o->index);
    TRY(rows_open(input, format, &r->rows, e));
    r->again = (struct again){.host = r->host, .input = r->rows.name};
    TRY(count_records(r, e));
    TRY(kept_begin(r->model, o->index, &r->kept, e));
    TRY(open_model(r, e));
    TRY(kept_open(&r->kept, r->model, r->sentences, o->normalize, o->literal, e));
    return write_all(r, e);
}

static int run_embed(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
                     struct err *e)
{
    struct run r = {.o = opts, .host = host, .file.fd = -1};
    int rc = -1;
    if (arena_open("model", 0, &r.model, e) == 0 && arena_open("job", 0, &r.job, e) == 0 &&
        arena_open("texts", 0, &r.window, e) == 0)
        rc = with_arenas(&r, inputs->words[0], e);
    file_out_abort(&r.file);
    rows_close(&r.rows);
    kept_close(&r.kept);
    sentences_close(&r.sentences);
    arena_close(&r.window);
    arena_close(&r.job);
    arena_close(&r.model);
    return rc;
}

const struct lode_job job_embed_row = {
    .name = "embed",
    .summary = "texts to vectors",
    .synopsis = "FILE|- [options]",
    .details =
        "A vector for every line of a file, or for the text of every record of JSON lines or "
        "CSV, in their order. - is standard input. An empty line is a text too. A PDF, DOCX, ODT, "
        "RTF or EPUB file is "
        "one record, as is each file of a folder of them and of .txt and .md; id is its name. They "
        "are read through "
        "pdftotext and pandoc, which must be installed. Text that "
        "is longer than the model reads is cut, and the summary says so.\n"
        "\n"
        "  lode embed lines.txt -o vectors.npy\n"
        "  lode embed jobs.csv --field description --id key -o jobs.jsonl\n"
        "  lode embed jobs.csv --index jobs.db -o jobs.npy\n"
        "  lode embed cvs/ --id id -o cvs.jsonl\n"
        "  lode embed - --model ./bge-small-en-v1.5 --compute-type float32 <lines.txt\n",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct embed_opts),
    .inputs_min = 1,
    .inputs_max = 1,
    .run = run_embed,
};
