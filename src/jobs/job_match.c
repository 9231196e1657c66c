/* `lode match`: for each record of one file the best records of another, and the passages that made
 * them match.
 *
 *     targets -- --where --> documents -- cut --> passages -- embedded --> base [N][width]
 *     queries, some at a time: the same, then the nearest documents of every passage -- merged
 *
 * The score of two documents is that of their two nearest passages. */
#include "base/json.h"
#include "base/thread.h"
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "jobs/kept.h"
#include "jobs/passages.h"
#include "jobs/rank.h"
#include "jobs/search.h"
#include "jobs/speech.h"
#include "jobs/where.h"
#include "load/store.h"
#include <string.h>

struct match_opts {
    const char *model, *output, *field, *target_field, *id, *where, *device, *prefix,
        *target_prefix, *index;
    int compute_type;
    int64_t top, passages, passage_tokens, threads;
    double least;
    bool json, literal, offline, quiet;
};

#define AT(field) offsetof(struct match_opts, field)
/* clang-format off */
static const struct opt_row rows[] = {
    {.help = "What and where to"},
    {.name = "model", .letter = 'm', .type = OPT_TEXT, .offset = AT(model), .fallback = "all-MiniLM-L6-v2", .value = "NAME", .help = "As for embed."},
    {.name = "top", .letter = 'k', .type = OPT_INT, .offset = AT(top), .min = 1, .max = 1000, .fallback = "10", .value = "N", .help = "Matches of each query."},
    {.name = "output", .letter = 'o', .type = OPT_TEXT, .offset = AT(output), .value = "FILE", .help = "Write there instead of to standard output."},
    {.name = "json", .type = OPT_BOOL, .offset = AT(json), .help = "A JSON object for each query, one per line."},
    {.name = "field", .type = OPT_TEXT, .offset = AT(field), .fallback = "text", .value = "NAME", .help = "The column or JSON member that holds the text."},
    {.name = "target-field", .type = OPT_TEXT, .offset = AT(target_field), .value = "NAME", .help = "The same of the targets, where it differs."},
    {.name = "id", .type = OPT_TEXT, .offset = AT(id), .fallback = "id", .value = "NAME", .help = "The column or JSON member to name records by; a record without it goes by its number."},
    {.name = "index", .type = OPT_TEXT, .offset = AT(index), .value = "FILE", .help = "Keep the vectors of the targets there (an SQLite file, made if it is not there) and embed only the passages that it has none for."},
    {.help = "What matches"},
    {.name = "where", .type = OPT_TEXT, .offset = AT(where), .value = "TERMS", .help = "Only targets whose columns are so: city=Berlin, or several: city=Berlin & level!=junior. They are left out before ranking, so that --top of the others are found."},
    {.name = "min-score", .type = OPT_NUMBER, .offset = AT(least), .min = -1, .max = 1, .fallback = "-1", .value = "X", .help = "Leave out matches below that."},
    {.name = "passages", .type = OPT_INT, .offset = AT(passages), .min = 0, .max = 100, .fallback = "3", .value = "N", .help = "Pairs of passages shown for a match, best first."},
    {.name = "passage-tokens", .type = OPT_INT, .offset = AT(passage_tokens), .min = 8, .max = 1 << 17, .fallback = "128", .value = "N", .help = "Longest passage; at most what the model reads."},
    {.name = "prefix", .type = OPT_TEXT, .offset = AT(prefix), .value = "TEXT", .help = "Put before every passage of the queries: some models want \"query: \"."},
    {.name = "target-prefix", .type = OPT_TEXT, .offset = AT(target_prefix), .value = "TEXT", .help = "The same of the targets: \"passage: \"."},
    {.name = "literal", .type = OPT_BOOL, .offset = AT(literal), .fallback = "true", .help = "Special tokens spelled out in a text, such as [SEP], are text."},
    {.help = "Where it runs"},
    {.name = "device", .letter = 'd', .type = OPT_TEXT, .offset = AT(device), .fallback = "auto", .value = "auto|cpu|cuda[:N]", .help = "As for embed."},
    {.name = "threads", .letter = 't', .type = OPT_INT, .offset = AT(threads), .min = 0, .max = 1024, .fallback = "0", .value = "N", .help = "At most one for each processor this process may use; 0: as many."},
    {.name = "compute-type", .type = OPT_CHOICE, .offset = AT(compute_type), .choices = SPEECH_COMPUTE_TYPES, .fallback = "auto", .help = "As for embed."},
    {.help = "Other"},
    {.name = "offline", .type = OPT_BOOL, .offset = AT(offline), .help = "Never fetch anything."},
    {.name = "quiet", .letter = 'q', .type = OPT_BOOL, .offset = AT(quiet), .help = "No summary on standard error."},
};
/* clang-format on */

/* Documents taken at a time, fewer if they have many passages. */
#define QUERIES        256
#define QUERY_PASSAGES 4096

struct documents { /* of a file, or some of it */
    struct str *id;
    size_t n, cap;
    struct passages passages;
    int32_t *first; /* [n + 1] passage each document begins with */
    float *vector;  /* [passages][width] */
};

struct run {
    const struct match_opts *o;
    const struct lode_host *host;
    struct arena *model, *base, *job; /* job: one window of queries */
    char compute[24];                 /* compute type asked for */
    struct again again;
    struct sentences *sentences;
    struct where where;
    struct rows targets, queries;
    struct documents target;
    struct search search;
    struct rank rank;
    struct file_out file;
    struct kept kept; /* the targets' vectors */
    struct sentences_counts counts;
    int64_t left_out, empty, n_queries;
};

struct watching { /* passages being embedded */
    const struct run *r;
    const char *what;
    double n;
};

static bool watch(void *ctx, size_t done)
{
    const struct watching *w = ctx;
    host_progress(w->r->host, w->what, LODE_UNITS, (double)done, w->n);
    return host_cancelled(w->r->host);
}

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    struct run *r = ctx;
    return r->o->output ? file_out_write(&r->file, p, n, e) : host_text(r->host, p, n, e);
}

/* ---- documents ---- */

static int keep(struct arena *a, struct str *s, struct err *e)
{
    s->p = arena_text(a, s->n ? s->p : "", s->n, e);
    return s->p ? 0 : -1;
}

static int add_document(struct run *r, struct arena *a, struct rows *in, const char *field,
                        struct documents *d, struct err *e)
{
    struct str text, id;
    if (!rows_get(in, field, &text)) return rows_bad(in, e, "there is no text in \"%s\"", field);
    if (!rows_get(in, r->o->id, &id) || id.n == 0) {
        const char *number = arena_format(a, e, "%lld", (long long)in->n);
        if (!number) return -1;
        id = str_of(number);
    }
    if (d->n + 1 >= d->cap) {
        size_t cap = MAX(2 * d->cap, (size_t)256);
        struct str *ids = ARENA_NEW(a, struct str, cap, e);
        int32_t *first = ARENA_NEW(a, int32_t, cap, e);
        if (!ids || !first) return -1;
        if (d->n) memcpy(ids, d->id, d->n * sizeof *ids);
        if (d->n) memcpy(first, d->first, (d->n + 1) * sizeof *first);
        d->id = ids;
        d->first = first;
        d->cap = cap;
    }
    TRY(keep(a, &id, e));
    d->id[d->n] = id;
    text = str_trim(text);
    if (text.n) {
        int64_t most = MIN(r->o->passage_tokens, r->sentences->net.shape.max_tokens);
        TRY(keep(a, &text, e));
        if (passages_cut(a, r->sentences, text, (int32_t)d->n, most, &d->passages, e))
            return err_note(e, "%s: line %llu", in->name, (unsigned long long)in->line);
    }
    d->first[++d->n] = (int32_t)d->passages.n;
    r->empty += text.n == 0;
    if (d->passages.n > INT32_MAX / 2)
        return err_set(e, E_INPUT, "%s: more than %d passages", in->name, INT32_MAX / 2);
    return 0;
}

static int embed(struct run *r, struct arena *a, struct kept *kept, const char *what,
                 const char *prefix, struct documents *d, struct err *e)
{
    size_t n = d->passages.n, bad, plain = prefix ? strlen(prefix) : 0;
    struct str *text = d->passages.text;
    d->vector = ARENA_NEW(a, float, n *(size_t)r->sentences->width, e);
    if (!d->vector) return -1;
    if (plain) {
        text = ARENA_NEW(a, struct str, n, e);
        for (size_t i = 0; text && i < n; i++) {
            const struct str *p = &d->passages.text[i];
            char *with = ARENA_NEW(a, char, plain + p->n, e);
            if (!with) return -1;
            memcpy(with, prefix, plain);
            memcpy(with + plain, p->p, p->n); /* a text may hold NUL bytes */
            text[i] = (struct str){with, plain + p->n};
        }
        if (!text) return -1;
    }
    struct watching seen = {r, what, (double)n};
    struct sentences_watch watcher = {.stop = watch, .ctx = &seen};
    return kept_embed(kept, a, text, n, d->vector, &r->counts, &watcher, &bad, e);
}

static int read_targets(struct run *r, struct err *e)
{
    const char *field = r->o->target_field ? r->o->target_field : r->o->field;
    int rc;
    while ((rc = rows_next(&r->targets, e)) == 1) {
        if (host_cancelled(r->host)) return err_set(e, E_CANCELLED, "stopped on request");
        if (!where_holds(&r->where, &r->targets)) {
            r->left_out++;
            continue;
        }
        TRY(add_document(r, r->base, &r->targets, field, &r->target, e));
    }
    TRY(rc);
    const char *unmet = where_unmet(&r->where);
    if (r->targets.n && unmet)
        return err_set(e, E_INPUT, "%s: --where: none of %lld records has \"%s\"", r->targets.name,
                       (long long)r->targets.n, unmet);
    if (r->target.passages.n == 0)
        return err_set(e, E_INPUT, "%s: of %lld records none has text%s", r->targets.name,
                       (long long)r->targets.n, r->where.n ? " and is as --where asks" : "");
    TRY(embed(r, r->base, &r->kept, "passages of targets", r->o->target_prefix, &r->target, e));
    r->rank = (struct rank){.top = (int)r->o->top,
                            .width = r->sentences->width,
                            .documents = r->target.n,
                            .owner = r->target.passages.document,
                            .first = r->target.first,
                            .vector = r->target.vector};
    return rank_open(r->base, &r->rank, e);
}

static int open_search(struct run *r, struct err *e)
{
    /* where the texts were embedded; a GPU that could not be used for that is not tried again */
    bool cpu = strcmp(engine_device(r->sentences->engine), "cpu") == 0;
    struct engine_options on = {
        .device = cpu ? "cpu" : r->o->device, .kernels = "auto", .threads = r->sentences->threads};
    return search_open(&on, r->target.vector, r->target.passages.document,
                       (int64_t)r->target.passages.n, r->sentences->width, (int)r->o->top,
                       &r->search, e);
}

static void leave_device(void *ctx)
{
    struct run *r = ctx;
    search_close(&r->search);
}

/* search_run, opened before the first (which may be of no queries) and after a failure of the
 * device. */
static int find(struct run *r, const float *query, size_t n, int32_t *row, float *product,
                struct err *e)
{
    for (int tries = 0; (!r->search.engine && open_search(r, e)) ||
                        search_run(&r->search, query, n, row, product, e);
         tries++)
        TRY(sentences_again(r->sentences, tries, e));
    return 0;
}

/* ---- writing ---- */

static void json_passage(struct json_out *j, const char *key, struct str s)
{
    json_out_key(j, key);
    json_out_text(j, s.p, s.n);
}

static int write_json(struct run *r, const struct documents *q, int32_t query,
                      const struct rank_query *of, size_t n, struct rank_pair *room, struct err *e)
{
    const struct passages *t = &r->target.passages;
    const struct rank_pair *best = r->rank.of;
    struct json_out j;
    json_out_init(&j, 0, put, r, e);
    json_out_object(&j);
    json_passage(&j, "id", q->id[query]);
    json_out_key(&j, "matches");
    json_out_array(&j);
    for (size_t i = 0; i < n; i++) {
        int32_t target = t->document[best[i].target];
        json_out_object(&j);
        json_passage(&j, "id", r->target.id[target]);
        json_out_key(&j, "score");
        json_out_number(&j, (double)best[i].score, 6);
        json_out_key(&j, "passages");
        json_out_array(&j);
        size_t pairs = rank_reasons(&r->rank, of, target, (size_t)r->o->passages, room);
        for (size_t k = 0; k < pairs; k++) {
            json_out_object(&j);
            json_out_key(&j, "score");
            json_out_number(&j, (double)room[k].score, 6);
            json_passage(&j, "query", q->passages.text[room[k].query]);
            json_passage(&j, "target", t->text[room[k].target]);
            json_out_end(&j, '}');
        }
        json_out_end(&j, ']');
        json_out_end(&j, '}');
    }
    json_out_end(&j, ']');
    json_out_end(&j, '}');
    return json_out_done(&j);
}

/* At most 200 characters of a passage on one line. */
static struct str shown(struct run *r, struct str s, struct err *e)
{
    enum { most = 200 };
    char *out = ARENA_NEW(r->job, char, s.n + 8, e);
    size_t n = 0, chars = 0, len;
    if (!out) return (struct str){NULL, 0};
    for (size_t i = 0; i < s.n; i += len) {
        uint32_t cp;
        len = (size_t)MAX(str_utf8(s.p + i, s.n - i, &cp), 1);
        if (chars++ == most) {
            memcpy(out + n, "...", 3);
            n += 3;
            break;
        }
        bool control = cp < ' ' || (cp >= 0x7F && cp < 0xA0);
        if (control)
            out[n++] = ' ';
        else
            memcpy(out + n, s.p + i, len), n += len;
    }
    return (struct str){out, n};
}

static int write_text(struct run *r, const struct documents *q, int32_t query,
                      const struct rank_query *of, size_t n, struct rank_pair *room, struct err *e)
{
    const struct passages *t = &r->target.passages;
    const struct rank_pair *best = r->rank.of;
    struct str name = shown(r, q->id[query], e);
    char *line = name.p ? arena_format(r->job, e, "%.*s\n", (int)name.n, name.p) : NULL;
    if (!line) return -1;
    TRY(put(r, line, strlen(line), e));
    for (size_t i = 0; i < n; i++) {
        int32_t target = t->document[best[i].target];
        name = shown(r, r->target.id[target], e);
        if (!name.p) return -1;
        line =
            arena_format(r->job, e, "  %.4f  %.*s\n", (double)best[i].score, (int)name.n, name.p);
        if (!line) return -1;
        TRY(put(r, line, strlen(line), e));
        size_t pairs = rank_reasons(&r->rank, of, target, (size_t)r->o->passages, room);
        for (size_t k = 0; k < pairs; k++) {
            struct str mine = shown(r, q->passages.text[room[k].query], e),
                       theirs = shown(r, t->text[room[k].target], e);
            if (!mine.p || !theirs.p) return -1;
            line =
                arena_format(r->job, e, "      %.4f  %.*s\n           =  %.*s\n",
                             (double)room[k].score, (int)mine.n, mine.p, (int)theirs.n, theirs.p);
            if (!line) return -1;
            TRY(put(r, line, strlen(line), e));
        }
    }
    return 0;
}

/* ---- queries ---- */

static int32_t most_passages(const struct documents *d)
{
    int32_t most = 0;
    for (size_t i = 0; i < d->n; i++) most = MAX(most, d->first[i + 1] - d->first[i]);
    return most;
}

static int match_window(struct run *r, struct documents *q, struct err *e)
{
    size_t top = (size_t)r->o->top, n = q->passages.n, mine = (size_t)most_passages(q);
    struct kept none = {.sentences = r->sentences};
    TRY(embed(r, r->job, &none, "passages of queries", r->o->prefix, q, e));
    int32_t *row = ARENA_NEW(r->job, int32_t, n * top, e);
    float *product = ARENA_NEW(r->job, float, n *top, e);
    struct rank_pair *room = ARENA_NEW(r->job, struct rank_pair, mine, e);
    if (!row || !product || !room) return -1;
    TRY(find(r, q->vector, n, row, product, e));
    for (int32_t d = 0; d < (int32_t)q->n; d++) {
        struct rank_query of = {q->first[d], q->first[d + 1], q->vector, row, product};
        size_t matches = rank_documents(&r->rank, &of, r->o->least);
        TRY(r->o->json ? write_json(r, q, d, &of, matches, room, e)
                       : write_text(r, q, d, &of, matches, room, e));
    }
    r->n_queries += (int64_t)q->n;
    return 0;
}

static int match_all(struct run *r, struct err *e)
{
    for (int rc = 1; rc == 1;) {
        struct documents q = {0};
        arena_reset(r->job);
        while (q.n < QUERIES && q.passages.n < QUERY_PASSAGES &&
               (rc = rows_next(&r->queries, e)) == 1)
            TRY(add_document(r, r->job, &r->queries, r->o->field, &q, e));
        if (rc < 0) return -1;
        if (q.n) TRY(match_window(r, &q, e));
        host_progress(r->host, "queries", LODE_UNITS, (double)r->n_queries, 0);
    }
    return 0;
}

static void summary(const struct run *r, double seconds)
{
    const struct sentences *s = r->sentences;
    host_progress(r->host, "", LODE_UNITS, -1, 0);
    if (r->o->quiet) return;
    host_note(
        r->host,
        "%lld quer%s against %zu target%s (%zu passage%s) in %.2f s; model %s loaded in %.2f s; "
        "%s, %s, %s",
        (long long)r->n_queries, r->n_queries == 1 ? "y" : "ies", r->target.n,
        str_s((int64_t)r->target.n), r->target.passages.n, str_s((int64_t)r->target.passages.n),
        seconds, s->o.name, s->load_s, engine_device(s->engine), engine_describe(s->engine),
        s->compute_type);
    if (strcmp(engine_device(r->search.engine), engine_device(s->engine)) != 0)
        host_note(r->host, "searched by %s, %s", engine_device(r->search.engine),
                  engine_describe(r->search.engine));
    if (r->kept.index)
        host_note(r->host, "%llu of %zu passages of the targets were in %s, %llu %s new there",
                  (unsigned long long)r->kept.found, r->target.passages.n, r->kept.path,
                  (unsigned long long)r->kept.made, r->kept.made == 1 ? "is" : "are");
    if (r->counts.cut)
        host_note(r->host, "%llu passage%s longer than the %d tokens the model reads",
                  (unsigned long long)r->counts.cut, r->counts.cut == 1 ? " is" : "s are",
                  s->net.shape.max_tokens);
    if (r->left_out)
        host_note(r->host, "%lld target%s not as --where asks", (long long)r->left_out,
                  r->left_out == 1 ? " is" : "s are");
    if (r->empty)
        host_note(r->host, "%lld record%s no text", (long long)r->empty,
                  r->empty == 1 ? " has" : "s have");
}

static int open_model(struct run *r, struct err *e)
{
    char *folder;
    struct fetch_watch watch = host_watch(r->host);
    const char *asked = opt_choice(opt_find(rows, COUNT(rows), "compute-type"), r->o->compute_type,
                                   r->compute, sizeof r->compute);
    TRY(store_find(r->model, r->o->model, r->o->offline, &watch, &folder, e));
    struct sentences_options so = {
        .folder = folder,
        .name = r->o->model,
        .compute_type = kept_compute_type(&r->kept, asked),
        .engine = {.device = r->o->device,
                   .kernels = "auto",
                   .threads = (int)MIN(r->o->threads, thread_cpus())},
        .again = &r->again,
        .unit = true,
        .literal = r->o->literal,
    };
    return sentences_open(r->model, &so, &r->sentences, e);
}

static int with_arenas(struct run *r, const struct opt_list *inputs, struct err *e)
{
    const struct match_opts *o = r->o;
    const char *queries = inputs->words[0], *targets = inputs->words[1];
    double start_s = thread_seconds();
    TRY(engine_check(o->device, e));
    if (strcmp(queries, "-") == 0 && strcmp(targets, "-") == 0)
        return err_set(e, E_USAGE, "only one of the two can be standard input");
    TRY(where_read(r->model, o->where, &r->where, e));
    if (o->output && (file_same(o->output, queries) || file_same(o->output, targets)))
        return err_set(e, E_USAGE, "%s: -o would overwrite an input", o->output);
    if (o->index && (file_same(o->index, queries) || file_same(o->index, targets) ||
                     (o->output && file_clash(o->index, o->output))))
        return err_set(e, E_USAGE, "%s: the index cannot be an input or the output", o->index);
    TRY(rows_open(targets, rows_format_of(targets), &r->targets, e));
    TRY(rows_open(queries, rows_format_of(queries), &r->queries, e));
    r->again = (struct again){r->host, r->targets.name, leave_device, r};
    TRY(kept_begin(r->model, o->index, &r->kept, e));
    TRY(open_model(r, e));
    TRY(kept_open(&r->kept, r->model, r->sentences, true, o->literal, e));
    TRY(read_targets(r, e));
    TRY(find(r, NULL, 0, NULL, NULL, e));
    r->again.input = r->queries.name;
    if (o->output) TRY(file_out_open(r->model, o->output, &r->file, e));
    TRY(match_all(r, e));
    if (o->output) TRY(file_out_commit(&r->file, e));
    summary(r, thread_seconds() - start_s);
    return 0;
}

static int run_match(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
                     struct err *e)
{
    struct run r = {.o = opts, .host = host, .file.fd = -1};
    int rc = -1;
    if (arena_open("model", 0, &r.model, e) == 0 && arena_open("targets", 0, &r.base, e) == 0 &&
        arena_open("queries", 0, &r.job, e) == 0)
        rc = with_arenas(&r, inputs, e);
    file_out_abort(&r.file);
    search_close(&r.search);
    kept_close(&r.kept);
    sentences_close(&r.sentences);
    rows_close(&r.queries);
    rows_close(&r.targets);
    arena_close(&r.job);
    arena_close(&r.base);
    arena_close(&r.model);
    return rc;
}

const struct lode_job job_match_row = {
    .name = "match",
    .summary = "the best records of a file for each of another, and why",
    .synopsis = "QUERIES TARGETS [options]",
    .details =
        "Both are lines of text, JSON lines, CSV, a PDF or DOCX document or a folder of such, as "
        "for embed. Long texts are cut into passages at the ends "
        "of "
        "sentences, so that nothing of them is lost; the score of two texts is the cosine of their "
        "two nearest passages, which are shown with it. The search is exact.\n"
        "\n"
        "  lode match cvs.jsonl jobs.csv --field text -k 10\n"
        "  lode match cvs.jsonl jobs.csv --where 'city=Berlin' --json -o matches.jsonl\n"
        "  lode match cv.pdf jobs.csv --passages 1\n"
        "  lode match cvs.jsonl jobs.csv --index jobs.db\n"
        "  lode match questions.txt answers.txt --min-score 0.5 --passages 1\n",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct match_opts),
    .inputs_min = 2,
    .inputs_max = 2,
    .run = run_match,
};
