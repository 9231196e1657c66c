#include "jobs/desk.h"
#include "base/room.h"
#include "base/thread.h"
#include "doctor/history.h"
#include "jobs/profile.h"
#include "load/store.h"
#include <string.h>

/* ---- closing ---- */

static void close_one(const struct desk_set *s, struct desk *d)
{
    const struct speech *m = d->speech;
    if (m && m->prepared && s->o->profile)
        profile_tell(s->host,
                     &(struct profile){m->o.name, m->engine, m->prepared, m->plan, m->load_s});
    speech_close(&d->speech);
    arena_close(&d->a);
    d->scribe = NULL;
    d->batch = NULL;
    d->logits = NULL;
}

/* The device failed under the desk that is at work: the others let go of it, and are closed until
 * an input comes to them. */
static void close_others(void *set)
{
    struct desk_set *s = set;
    for (int i = 0; i < s->route.n; i++)
        if (s->desk[i].a && s->desk[i].used < s->turns) close_one(s, &s->desk[i]);
}

/* Desks whose device failed for good under an earlier input. */
static void close_broken(struct desk_set *s)
{
    for (int i = 0; i < s->route.n; i++)
        if (s->desk[i].a && !s->desk[i].speech->prepared) close_one(s, &s->desk[i]);
}

/* ---- which models, and what they speak ---- */

/* A language the model does not speak is the user's mistake, said before any file is read. */
static int check_one(const struct desk_set *s, const char *model,
                     const struct net_whisper_config *c, int language, struct err *e)
{
    const struct transcribe_options *o = s->o;
    if (!c->multilingual) {
        if (language > 0 || o->languages || o->multilingual)
            return err_set(e, E_USAGE, "model %s is English only; \"%s\" needs a multilingual one",
                           model,
                           language > 0   ? net_language_code(language)
                           : o->languages ? o->languages
                                          : "--multilingual");
        if (o->task == 1)
            return err_set(e, E_USAGE, "model %s is English only and cannot translate", model);
        return 0;
    }
    if (language >= c->n_languages)
        return err_set(e, E_USAGE, "model %s does not know %s", model, net_language_name(language));
    bool any = language >= 0;
    for (int i = 0; i < c->n_languages; i++) any |= s->wishes->tongue.allowed[i];
    return any ? 0 : err_set(e, E_USAGE, "model %s knows none of %s", model, o->languages);
}

/* The sizes of a model: published ones by its name, else from its files. */
static int read_config(const struct desk_set *s, struct arena *a, struct desk *d,
                       struct net_whisper_config *c, struct err *e)
{
    struct fetch_watch watch = host_watch(s->host);
    struct load_weights w;
    if (!store_is_path(d->model) && net_whisper_named(d->model, c)) return 0;
    TRY(store_find(a, d->model, s->o->offline, &watch, &d->folder, e));
    TRY(load_open(a, d->folder, &w, e));
    int rc = net_whisper_config(a, &w, c, e);
    load_close(&w);
    return rc ? err_note(e, "model %s", d->model) : 0;
}

/* Of a route: every model against each language it may get. */
static int check_route(const struct desk_set *s, struct arena *a, struct err *e)
{
    const struct route *r = &s->route;
    int given = s->wishes->language;
    for (int t = 0; t < r->n; t++) {
        struct net_whisper_config c;
        bool english_only, rest = t == r->rest && given < 0;
        TRY(read_config(s, a, &s->desk[t], &c, e));
        english_only = !c.multilingual;
        if (rest && english_only)
            return err_set(e, E_USAGE,
                           "--route: the default listens for the language, and %s is English only; "
                           "take a multilingual one, or say --language",
                           s->desk[t].model);
        for (int i = 0; i < NET_LANGUAGES; i++) {
            bool comes = given >= 0 ? i == given : s->wishes->tongue.allowed[i];
            if (!comes || r->of[i] != t) continue;
            if (given < 0 && !r->said[i] && i >= c.n_languages) continue; /* cannot be heard */
            if (english_only && i > 0)
                return err_set(e, E_USAGE, "--route: model %s is English only and cannot take %s",
                               s->desk[t].model, net_language_name(i));
            if (english_only && s->o->task == 1)
                return err_set(e, E_USAGE, "--route: model %s is English only and cannot translate",
                               s->desk[t].model);
            if (i >= c.n_languages)
                return err_set(e, E_USAGE, "--route: model %s does not know %s", s->desk[t].model,
                               net_language_name(i));
        }
    }
    return 0;
}

static int read_route(struct desk_set *s, struct arena *a, struct err *e)
{
    if (!s->o->route) {
        s->route.target = ARENA_NEW(a, struct route_target, 1, e);
        if (!s->route.target) return -1;
        s->route.target[0].model = s->o->model;
        s->route.n = 1;
        return 0;
    }
    if (s->o->multilingual)
        return err_set(e, E_USAGE,
                       "--multilingual cannot be had with --route: a file goes to one "
                       "model, however many languages are in it");
    return route_read(a, s->o->route, &s->route, e);
}

int desk_find(struct desk_set *s, struct arena *a, struct err *e)
{
    struct fetch_watch watch = host_watch(s->host);
    s->again = (struct again){.host = s->host, .alone = close_others, .ctx = s};
    TRY(read_route(s, a, e));
    s->desk = ARENA_NEW(a, struct desk, (size_t)s->route.n, e);
    if (!s->desk) return -1;
    for (int i = 0; i < s->route.n; i++) {
        const struct route_target *t = &s->route.target[i];
        s->desk[i].model = t->model;
        s->desk[i].compute_type = t->compute_type ? t->compute_type : s->compute_type;
    }
    s->listens = s->wishes->language < 0;
    if (s->o->route) TRY(check_route(s, a, e));
    for (int i = 0; i < s->route.n; i++) {
        struct desk *d = &s->desk[i];
        if (!d->folder) TRY(store_find(a, d->model, s->o->offline, &watch, &d->folder, e));
    }
    return 0;
}

/* ---- one model ---- */

/* The user's text as tokens. */
static int encode(struct desk *d, const char *option, const char *text, struct scribe_tokens *out,
                  struct err *e)
{
    if (!text) return 0;
    if (!str_utf8_whole(text, strlen(text)))
        return err_set(e, E_USAGE, "--%s is not UTF-8", option);
    int *token;
    int64_t n = speech_encode(d->a, d->speech, text, &token, e);
    *out = (struct scribe_tokens){token, (int)n};
    return n < 0 ? -1 : 0;
}

/* For the doctor: whether the GPU was used, where one was wanted. */
static void note_device(const struct engine *engine)
{
    const char *reason = engine_reason(engine);
    if (*reason || strcmp(engine_device(engine), "cpu") != 0) history_note("", reason);
}

static struct speech_options speech_options(const struct desk_set *s, const struct desk *d)
{
    const struct transcribe_options *o = s->o;
    bool dampens = o->repetition_penalty != 1 || o->no_repeat_ngram > 0;
    return (struct speech_options){
        .folder = d->folder,
        .words = o->words,
        .dampen = dampens ? (float)o->repetition_penalty : 0,
        .name = d->model,
        .compute_type = d->compute_type,
        .strict = o->strict,
        .again = &s->again,
        .engine = {.device = o->device,
                   .kernels = s->kernels,
                   .threads = (int)MIN(o->threads, thread_cpus()),
                   .profile = o->profile},
        .beam = (int)o->beam,
        .best_of = (int)o->best_of,
        .batch = (int)o->batch,
        .allow_non_speech = s->wishes->allow_non_speech,
        .suppress = s->wishes->suppress,
        .n_suppress = s->wishes->n_suppress,
    };
}

static int open_parts(struct desk_set *s, struct desk *d, struct err *e)
{
    const struct transcribe_options *o = s->o;
    struct speech_options so = speech_options(s, d);
    struct scribe_options options = s->wishes->scribe;
    TRY(speech_open(d->a, &so, &d->speech, e));
    const struct net_whisper_config *c = &d->speech->net.config;
    note_device(d->speech->engine);
    if (!o->route) TRY(check_one(s, d->model, c, s->wishes->language, e));
    if (c->multilingual) {
        d->logits = ARENA_NEW(d->a, float, (size_t)c->vocab, e);
        if (!d->logits) return -1;
    }
    TRY(encode(d, "initial-prompt", o->initial_prompt, &options.initial, e));
    TRY(encode(d, "hotwords", o->hotwords, &options.hotwords, e));
    TRY(encode(d, "prefix", o->prefix, &options.prefix, e));
    options.language = MAX(s->wishes->language, 0);
    options.each = o->multilingual ? &s->wishes->tongue : NULL;
    return !o->vad && o->batch == 1 ? scribe_open(d->a, d->speech, &options, &d->scribe, e)
                                    : batch_open(d->a, d->speech, &options, &d->batch, e);
}

/* ---- several ---- */

/* What a desk's plan takes, and what there is for it beside those that are open: on its device or
 * in this machine, and of --route-memory. */
static int weigh(const struct desk_set *s, const struct desk *d, size_t *needs, size_t *room,
                 struct err *e)
{
    struct arena *a;
    struct speech_options so = speech_options(s, d);
    size_t most = s->o->route_memory ? (size_t)s->o->route_memory << 20 : SIZE_MAX;
    TRY(arena_open("plan", 0, &a, e));
    int rc = speech_measure(a, &so, needs, room, e);
    arena_close(&a);
    if (*room == SIZE_MAX) *room = room_bytes("");
    for (int i = 0; i < s->route.n && most != SIZE_MAX; i++) {
        struct backend_memory m = {0};
        if (s->desk[i].a) engine_memory(s->desk[i].speech->prepared, &m);
        most -= MIN(most, m.weights + m.state + m.step + m.scratch);
    }
    *room = MIN(*room, most);
    return rc;
}

static struct desk *oldest(const struct desk_set *s)
{
    struct desk *found = NULL;
    for (int i = 0; i < s->route.n; i++) {
        struct desk *d = &s->desk[i];
        if (d->a && (!found || d->used < found->used)) found = d;
    }
    return found;
}

static int make_room(const struct desk_set *s, const struct desk *d, struct err *e)
{
    for (struct desk *old; (old = oldest(s)) != NULL; close_one(s, old)) {
        const double mib = 1 << 20;
        size_t needs, room;
        TRY(weigh(s, d, &needs, &room, e));
        if (needs <= room) return 0;
        host_note(s->host,
                  "model %s makes room for %s, which takes %.0f MiB where %.0f MiB are left",
                  old->model, d->model, (double)needs / mib, (double)room / mib);
    }
    return 0;
}

static int open_one(struct desk_set *s, struct desk *d, struct err *e)
{
    d->used = ++s->turns;
    close_broken(s);
    if (d->a) return 0;
    TRY(make_room(s, d, e));
    TRY(arena_open("model", 0, &d->a, e));
    if (open_parts(s, d, e) == 0) return 0;
    close_one(s, d);
    return -1;
}

int desk_listener(struct desk_set *s, struct desk **out, struct err *e)
{
    *out = &s->desk[s->route.rest];
    TRY(open_one(s, *out, e));
    if (!(*out)->logits) s->listens = false; /* English only: there is nothing to hear */
    return 0;
}

int desk_at(struct desk_set *s, int language, struct desk **out, struct err *e)
{
    *out = &s->desk[s->route.of[MAX(language, 0)]];
    TRY(open_one(s, *out, e));
    if ((*out)->batch)
        batch_language((*out)->batch, MAX(language, 0));
    else
        scribe_language((*out)->scribe, MAX(language, 0));
    return 0;
}

int desk_run(struct desk *d, struct audio *audio, const struct vad_regions *regions,
             int64_t n_samples, const struct scribe_events *events, struct scribe_totals *totals,
             struct err *e)
{
    return d->batch ? batch_audio(d->batch, audio, regions, n_samples, events, totals, e)
                    : scribe_run(d->scribe, audio, events, totals, e);
}

void desk_close(struct desk_set *s)
{
    for (int i = 0; s->desk && i < s->route.n; i++) close_one(s, &s->desk[i]);
}
