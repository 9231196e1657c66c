#include "jobs/sentences.h"
#include "base/thread.h"
#include "jobs/speech.h"
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Tokens of a run for each thread: what a layer makes of them stays in the cache of a core. */
#define THREAD_ROWS 256
/* A GPU wants more work at a time. */
#define GPU_ROWS 16384
/* Fewer rows are multiplied another way, with other roundings: a text alone gets idle rows, so that
 * its vector is the same in any company. A GPU has kernels of their own for up to 16. */
#define LEAST_ROWS     8
#define GPU_LEAST_ROWS 17
/* Texts a thread takes at a time. */
#define TAKE 16
/* Texts whose tokens are held at a time: enough to sort by length. */
#define PIECE 4096

const char *sentences_compute_type(const char *asked, const struct engine *engine)
{
    if (strcmp(asked, "float16") == 0 && engine_halves(engine)) return "float16";
    return speech_compute_type(asked, engine_device(engine));
}

struct net_sentence_shape sentences_shape(const struct net_sentence_config *c, int threads,
                                          const char *resolved, const char *device, bool unit)
{
    bool gpu = strcmp(device, "cuda") == 0, i8 = str_starts(resolved, "int8");
    int rows = gpu ? GPU_ROWS : THREAD_ROWS * threads;
    rows = MAX(rows, MAX(c->max_tokens, LEAST_ROWS));
    return (struct net_sentence_shape){
        .rows = rows,
        .texts = rows / 2,
        .max_tokens = c->max_tokens,
        .i8 = i8,
        .skew = i8 && !gpu,
        .compute = str_ends(resolved, "float16") ? DTYPE_F16 : DTYPE_F32,
        .unit = unit,
    };
}

static int read_tokenizer(struct arena *a, struct sentences *s, bool lower, struct err *e)
{
    TRY(load_tokenizer(a, &s->weights, e));
    return tokens_open(a, s->weights.tokenizer, s->weights.wordpieces, lower, &s->tokens, e);
}

static void find_doors(struct sentences *s)
{
    const struct net_sentence *n = &s->net;
    s->n_rows = engine_host(s->prepared, n->n_rows);
    s->token = engine_host(s->prepared, n->token);
    s->position = engine_host(s->prepared, n->position);
    s->n_texts = engine_host(s->prepared, n->n_texts);
    s->range = engine_host(s->prepared, n->range);
    s->vector = engine_host(s->prepared, n->vector);
    s->width = n->config.width;
}

static int make_ready(void *sentences, struct err *e)
{
    struct sentences *s = sentences;
    const struct net_sentence_config config = s->net.config;
    const char *device = engine_device(s->engine);
    s->least_rows = strcmp(device, "cuda") == 0 ? GPU_LEAST_ROWS : LEAST_ROWS;
    struct net_sentence_source source = {.weights = &s->weights};
    struct plan *plan;
    s->compute_type = sentences_compute_type(s->o.compute_type, s->engine);
    struct net_sentence_shape shape =
        sentences_shape(&config, s->threads, s->compute_type, device, s->o.unit);
    arena_reset(s->ready);
    TRY(net_sentence_plan(s->ready, &source, &config, &shape, &plan, &s->net, e));
    s->plan = plan;
    const void *words = plan->value[plan_find(plan, "words")].part[0].data;
    TRY(load_sound(s->ready, &s->weights, words, s->threads, e));
    struct speech_pages pages = {plan, &s->weights};
    TRY(engine_prepare(s->engine, s->ready, plan, speech_drop, &pages, &s->prepared, e));
    find_doors(s);
    return 0;
}

static struct again_model model_of(struct sentences *s)
{
    return (struct again_model){s->engine, &s->prepared, make_ready, s};
}

int sentences_again(struct sentences *s, int tries, struct err *e)
{
    struct again_model m = model_of(s);
    s->o.compute_type = s->compute_type;
    return again_try(s->o.again, &m, tries, e);
}

static int choose(const struct sentences_options *o, struct net_sentence_config *c, struct err *e)
{
    int most = c->positions - c->position0;
    if (o->max_tokens > most)
        return err_set(e, E_USAGE, "--max-tokens %lld: the model has %d positions",
                       (long long)o->max_tokens, most);
    if (o->max_tokens) c->max_tokens = (int)o->max_tokens;
    if (o->pooling != SENTENCES_AS_MODEL) c->first = o->pooling == SENTENCES_CLS;
    return 0;
}

static int check_tokens(const struct sentences *s, const struct net_sentence_config *c,
                        struct err *e)
{
    if (tokens_most(s->tokens) > c->vocab)
        return err_set(e, E_MODEL, "the tokenizer has tokens up to %lld, the model %d of them",
                       (long long)tokens_most(s->tokens) - 1, c->vocab);
    if ((size_t)c->max_tokens <= tokens_frame(s->tokens))
        return err_set(e, E_USAGE, "%d tokens; the %zu special ones leave no room for a text",
                       c->max_tokens, tokens_frame(s->tokens));
    return 0;
}

static int open_parts(struct arena *a, struct sentences *s, struct err *e)
{
    const struct sentences_options *o = &s->o;
    struct net_sentence_config *config = &s->net.config;
    s->threads = o->engine.threads ? o->engine.threads : thread_cpus();
    TRY(load_open(a, o->folder, &s->weights, e));
    TRY(net_sentence_config(a, &s->weights, config, e));
    TRY(choose(o, config, e));
    TRY(read_tokenizer(a, s, config->lower_case, e));
    TRY(check_tokens(s, config, e));
    s->scratch = ARENA_NEW(a, struct arena *, (size_t)s->threads, e);
    if (!s->scratch) return -1;
    for (int i = 0; i < s->threads; i++) TRY(arena_open("texts", 0, &s->scratch[i], e));
    TRY(arena_open("ready", 0, &s->ready, e));
    TRY(engine_open(a, &o->engine, &s->engine, e));
    struct again_model m = model_of(s);
    return again_ready(&m, e);
}

int sentences_open(struct arena *a, const struct sentences_options *o, struct sentences **out,
                   struct err *e)
{
    double start_s = thread_seconds();
    struct sentences *s = ARENA_NEW(a, struct sentences, 1, e);
    if (!s) return -1;
    s->o = *o;
    if (open_parts(a, s, e)) {
        err_note(e, "model %s", o->name);
        sentences_close(&s);
        return -1;
    }
    s->load_s = thread_seconds() - start_s;
    *out = s;
    return 0;
}

void sentences_close(struct sentences **s)
{
    if (!*s) return;
    engine_release(&(*s)->prepared);
    engine_close(&(*s)->engine);
    arena_close(&(*s)->ready);
    load_close(&(*s)->weights);
    for (int i = 0; (*s)->scratch && i < (*s)->threads; i++) arena_close(&(*s)->scratch[i]);
    *s = NULL;
}

/* ---- tokenizing ---- */

struct job { /* one text */
    const int32_t *id;
    uint32_t n;     /* tokens kept */
    uint32_t index; /* of the text */
};

struct tokenizing { /* shared by the team */
    struct sentences *s;
    const struct str *text;
    struct job *job;
    size_t n;
    struct sentences_counts *counts; /* [threads] */
    _Atomic size_t next;
    struct err *error; /* [threads] */
    size_t *bad;       /* [threads], n if none */
};

/* Tokens of a text to list; returns how many all of it has, *about: by an estimate. */
static int64_t encode(struct sentences *s, struct arena *scratch, struct str text,
                      struct tokens_list *list, bool *about, struct err *e)
{
    struct str head = tokens_head(s->tokens, text, SENTENCES_BYTES);
    int64_t all = tokens_encode(s->tokens, scratch, head, s->o.literal, list, e);
    *about = false;
    if (all < 0 || head.n == text.n) return all;
    if ((size_t)all < list->cap) {
        list->n = 0;
        return tokens_encode(s->tokens, scratch, text, s->o.literal, list, e);
    }
    *about = true;
    return (int64_t)((double)all * ((double)text.n / (double)head.n));
}

static int tokenize(struct tokenizing *t, int id, size_t i, int32_t *room, struct err *e)
{
    struct sentences *s = t->s;
    struct tokens_list list = {room, (size_t)s->net.shape.max_tokens, 0};
    bool about;
    int64_t all = encode(s, s->scratch[id], t->text[i], &list, &about, e);
    if (all < 0) return -1;
    int32_t *keep = ARENA_NEW(s->scratch[id], int32_t, list.n, e);
    if (!keep) return -1;
    memcpy(keep, room, list.n * sizeof *keep);
    t->job[i] = (struct job){keep, (uint32_t)list.n, (uint32_t)i};
    struct sentences_counts *c = &t->counts[id];
    c->texts++;
    c->tokens += list.n;
    c->cut += (size_t)all > list.n;
    c->lost += (size_t)all - list.n;
    c->about |= about;
    return 0;
}

static void tokenize_share(void *ctx, struct thread_team *team, int id)
{
    struct tokenizing *t = ctx;
    struct sentences *s = t->s;
    (void)team;
    t->bad[id] = t->n;
    int32_t *room =
        ARENA_NEW(s->scratch[id], int32_t, (size_t)s->net.shape.max_tokens, &t->error[id]);
    if (!room) {
        t->bad[id] = 0;
        return;
    }
    for (;;) {
        size_t from = atomic_fetch_add(&t->next, TAKE);
        for (size_t i = from; i < MIN(from + TAKE, t->n); i++) {
            if (tokenize(t, id, i, room, &t->error[id]) == 0) continue;
            t->bad[id] = i;
            return;
        }
        if (from >= t->n) return;
    }
}

static int tokenize_all(struct tokenizing *t, struct sentences_counts *counts, size_t *bad,
                        struct err *e)
{
    int threads = t->n > TAKE ? t->s->threads : 1, worst = 0;
    thread_run(threads, tokenize_share, t);
    for (int i = 0; i < threads; i++) {
        if (t->bad[i] < t->bad[worst]) worst = i;
        counts->texts += t->counts[i].texts;
        counts->tokens += t->counts[i].tokens;
        counts->cut += t->counts[i].cut;
        counts->lost += t->counts[i].lost;
        counts->about |= t->counts[i].about;
    }
    *bad = t->bad[worst];
    if (*bad == t->n) return 0;
    *e = t->error[worst];
    return -1;
}

/* ---- running ---- */

static int longer_first(const void *x, const void *y)
{
    const struct job *a = x, *b = y;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* As many jobs from the first on as one run takes, to its inputs; returns how many. */
static size_t fill(struct sentences *s, const struct job *job, size_t n)
{
    const struct net_sentence_shape *shape = &s->net.shape;
    int32_t rows = 0, texts = 0;
    for (; texts < shape->texts && (size_t)texts < n; texts++) {
        const struct job *j = &job[texts];
        if (rows + (int32_t)j->n > shape->rows) break;
        memcpy(s->token + rows, j->id, j->n * sizeof *s->token);
        for (int32_t t = 0; t < (int32_t)j->n; t++) s->position[rows + t] = t;
        s->range[2 * texts] = rows;
        s->range[2 * texts + 1] = (int32_t)j->n;
        rows += (int32_t)j->n;
    }
    for (; rows < s->least_rows; rows++) s->token[rows] = s->position[rows] = 0;
    *s->n_rows = rows;
    *s->n_texts = texts;
    return (size_t)texts;
}

static int take_vectors(const struct sentences *s, const struct job *job, size_t n, float *out,
                        size_t *bad, struct err *e)
{
    size_t width = (size_t)s->width;
    for (size_t i = 0; i < n; i++) {
        float *to = out + job[i].index * width, sum = 0;
        memcpy(to, s->vector + i * width, width * sizeof *to);
        for (size_t c = 0; c < width; c++) sum += fabsf(to[c]);
        if (isfinite(sum)) continue;
        *bad = job[i].index;
        return err_set(e, E_MODEL, "model %s: its vectors are not numbers, its weights are damaged",
                       s->o.name);
    }
    return 0;
}

static int run_all(struct sentences *s, struct job *job, size_t n, float *out,
                   const struct sentences_watch *w, size_t before, size_t *bad, struct err *e)
{
    int tries = 0;
    qsort(job, n, sizeof *job, longer_first);
    for (size_t at = 0, texts; at < n; at += texts) {
        if (w && w->stop && w->stop(w->ctx, w->before + before + at))
            return err_set(e, E_CANCELLED, "stopped on request");
        texts = fill(s, job + at, n - at);
        if (engine_run(s->prepared, s->net.tape, e)) {
            TRY(sentences_again(s, tries++, e));
            texts = 0; /* a run may take other ones now */
            continue;
        }
        tries = 0;
        TRY(take_vectors(s, job + at, texts, out, bad, e));
    }
    return 0;
}

/* Some of the texts; before: how many there were. */
static int embed_piece(struct sentences *s, const struct str *text, size_t n, float *out,
                       struct sentences_counts *counts, const struct sentences_watch *watch,
                       size_t before, size_t *bad, struct err *e)
{
    struct arena *a = s->scratch[0];
    struct tokenizing t = {.s = s, .text = text, .n = n};
    size_t team = (size_t)s->threads;
    *bad = n;
    int rc = -1;
    if ((t.job = ARENA_NEW(a, struct job, n, e)) && (t.bad = ARENA_NEW(a, size_t, team, e)) &&
        (t.error = ARENA_NEW(a, struct err, team, e)) &&
        (t.counts = ARENA_NEW(a, struct sentences_counts, team, e)))
        rc = tokenize_all(&t, counts, bad, e);
    if (rc == 0) rc = run_all(s, t.job, n, out, watch, before, bad, e);
    for (int i = 0; i < s->threads; i++) arena_reset(s->scratch[i]);
    return rc;
}

int sentences_embed(struct sentences *s, const struct str *text, size_t n, float *out,
                    struct sentences_counts *counts, const struct sentences_watch *watch,
                    size_t *bad, struct err *e)
{
    for (size_t at = 0, some, worst; at < n; at += some) {
        some = MIN(n - at, (size_t)PIECE);
        if (embed_piece(s, text + at, some, out + at * (size_t)s->width, counts, watch, at, &worst,
                        e)) {
            *bad = worst < some ? at + worst : n;
            return -1;
        }
    }
    *bad = n;
    return 0;
}

int64_t sentences_count(struct sentences *s, struct str text, struct err *e)
{
    int32_t none[8];
    struct tokens_list list = {none, COUNT(none), 0};
    s->counted += text.n;
    return tokens_encode(s->tokens, s->scratch[0], text, s->o.literal, &list, e);
}
