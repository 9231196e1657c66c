#include "jobs/speech.h"
#include "base/opt.h"
#include "base/thread.h"
#include <math.h>
#include <string.h>

/* Rows of one step: a prompt is fed in pieces of this many tokens. */
#define PROMPT_ROWS 64

struct net_whisper_shape speech_shape(int batch, int beam, int best_of, const char *resolved,
                                      const char *device)
{
    int sequences = batch * MAX(beam, best_of);
    bool gpu = strcmp(device, "cuda") == 0, half = str_ends(resolved, "float16");
    return (struct net_whisper_shape){
        .windows = batch,
        .sequences = sequences,
        .rows = MAX(sequences, PROMPT_ROWS),
        .picks = sequences,
        .top = beam > 1 ? 2 * beam : 1,
        .cache = half ? DTYPE_F16 : DTYPE_F32,
        .compute = half ? DTYPE_F16 : DTYPE_F32,
        .i8 = str_starts(resolved, "int8"),
        .cross_i8 = (gpu || half) && str_starts(resolved, "int8"),
    };
}

bool speech_is_compute_type(const char *name)
{
    const char *all = SPEECH_COMPUTE_TYPES;
    for (struct str word; opt_word(&all, &word);)
        if (str_eq(word, name)) return true;
    return false;
}

const char *speech_compute_type(const char *asked, const char *device)
{
    /* A name is a preference. On a CPU float16 beside int8 is how it holds the decoder's own caches
     * of attention, those of the audio being in int8, so that little is read at every step, and
     * what the encoder's attention multiplies where the processor can; automatic means that. A GPU
     * does what it is asked; automatic means float16, which every GPU lode runs on (sm_70 and up)
     * does in hardware. */
    static const struct {
        const char *asked, *cpu, *gpu;
    } names[] = {
        {"auto", "int8_float16", "float16"},
        {"int8", "int8_float16", "int8_float16"},
        {"int8_float32", "int8_float32", "int8_float32"},
        {"int8_float16", "int8_float16", "int8_float16"},
        {"float16", "float32", "float16"},
        {"float32", "float32", "float32"},
    };
    bool gpu = strcmp(device, "cuda") == 0;
    size_t i = 0;
    while (strcmp(names[i].asked, asked) != 0) {
        i++;
        assert(i < COUNT(names));
    }
    return gpu ? names[i].gpu : names[i].cpu;
}

void speech_drop(void *ctx, int value)
{
    const struct speech_pages *d = ctx;
    const struct plan_value *v = &d->plan->value[value];
    for (int i = 0; i < v->n_parts; i++)
        load_drop(d->weights, v->part[i].data, tensor_bytes(&v->part[i]));
}

static void find_doors(struct speech *s)
{
    const struct net_whisper *n = &s->net;
    struct engine_plan *p = s->prepared;
    s->pcm = engine_host(p, n->pcm);
    s->loudest = engine_host(p, n->loudest);
    s->loudest_in = engine_host(p, n->loudest_in);
    s->content = engine_host(p, n->content);
    s->slot = engine_host(p, n->slot);
    s->n_rows = engine_host(p, n->n_rows);
    s->token = engine_host(p, n->token);
    s->position = engine_host(p, n->position);
    s->sequence = engine_host(p, n->sequence);
    s->window = engine_host(p, n->window);
    s->history = engine_host(p, n->history);
    s->n_picks = engine_host(p, n->n_picks);
    s->pick = engine_host(p, n->pick);
    s->ban = engine_host(p, n->ban);
    s->rule = engine_host(p, n->rule);
    s->chance = engine_host(p, n->chance);
    s->top_token = engine_host(p, n->top_token);
    s->top_logp = engine_host(p, n->top_logp);
    s->sampled = engine_host(p, n->sampled);
    s->sampled_logp = engine_host(p, n->sampled_logp);
    s->watched = engine_host(p, n->watched);
    if (n->list >= 0) s->list = engine_host(p, n->list);
    if (n->tape_align < 0) return;
    s->n_heard = engine_host(p, n->n_heard);
    s->heard_token = engine_host(p, n->heard_token);
    s->heard_position = engine_host(p, n->heard_position);
    s->heard_sequence = engine_host(p, n->heard_sequence);
    s->heard_window = engine_host(p, n->heard_window);
    s->heard_next = engine_host(p, n->heard_next);
    s->probability = engine_host(p, n->probability);
    for (int i = 0; i < n->config.n_alignment; i++) s->listened[i] = engine_host(p, n->weights[i]);
}

/* Never sampled: what the model's file names as not speech, what the user does not want, and every
 * special token but end of text. */
static void fill_ban(struct speech *s)
{
    const struct net_whisper_config *c = &s->net.config;
    memset(s->ban, 0, (size_t)c->vocab * sizeof *s->ban);
    for (int i = 0; i < c->n_suppress && !s->o.allow_non_speech; i++)
        s->ban[c->suppress[i]] = -INFINITY;
    for (int i = 0; i < s->o.n_suppress; i++) s->ban[s->o.suppress[i]] = -INFINITY;
    for (int t = c->eot + 1; t < c->time0; t++) s->ban[t] = -INFINITY;
}

void speech_ready(struct speech *s)
{
    find_doors(s);
    fill_ban(s);
}

/* The merges, from the model's files or from the order of its tokens. */
static int learn_merges(struct arena *a, struct speech *s, int eot, struct err *e)
{
    TRY(load_tokenizer(a, &s->weights, e));
    return s->weights.tokenizer.n ? bpe_merges(a, s->bpe, s->weights.tokenizer, e)
                                  : bpe_merges_by_id(a, s->bpe, eot, e);
}

int64_t speech_encode(struct arena *a, struct speech *s, const char *text, int **token,
                      struct err *e)
{
    int eot = s->net.config.eot;
    struct str trimmed = str_trim(str_of(text));
    if (!s->merges && learn_merges(a, s, eot, e)) return -1;
    s->merges = true;
    char *spaced = arena_format(a, e, " %.*s", (int)trimmed.n, trimmed.p);
    size_t most = trimmed.n + 1; /* a token is a byte or more */
    *token = spaced ? ARENA_NEW(a, int, most, e) : NULL;
    return *token ? bpe_encode(s->bpe, a, spaced, trimmed.n + 1, *token, most, e) : -1;
}

/* Files without suppress_ids get the list that openai's tokenizer derives from the vocabulary. */
static int complete_suppress(struct arena *a, struct speech *s, struct net_whisper_config *c,
                             struct err *e)
{
    if (c->n_suppress) return 0;
    TRY(learn_merges(a, s, c->eot, e));
    s->merges = true;
    int64_t n = bpe_non_speech(s->bpe, a, c->suppress, WHISPER_MAX_LIST, e);
    if (n < 0) return -1;
    c->n_suppress = (int)n;
    return 0;
}

/* The plan for the engine's device, which decides the compute type. */
static int make_plan(struct arena *a, const struct speech_options *o,
                     const struct net_whisper_config *config, struct speech *s, struct err *e)
{
    const char *device = engine_device(s->engine);
    s->compute_type = speech_compute_type(o->compute_type, device);
    if (o->strict && strcmp(o->compute_type, "auto") != 0 &&
        strcmp(o->compute_type, s->compute_type) != 0)
        return err_set(e, E_USAGE, "--strict-compute-type: %s has no %s; the nearest is %s", device,
                       o->compute_type, s->compute_type);
    struct net_whisper_shape shape =
        speech_shape(o->batch, o->beam, o->best_of, s->compute_type, device);
    shape.words = o->words;
    shape.dampen = o->dampen;
    struct net_whisper_source source = {.weights = &s->weights};
    struct plan *plan;
    TRY(net_whisper_plan(a, &source, config, &shape, &plan, &s->net, e));
    s->plan = plan;
    return 0;
}

/* The same, made ready on it. */
static int make_ready(void *speech, struct err *e)
{
    struct speech *s = speech;
    const struct net_whisper_config config = s->net.config;
    arena_reset(s->ready);
    TRY(make_plan(s->ready, &s->o, &config, s, e));
    struct speech_pages pages = {s->plan, &s->weights};
    TRY(engine_prepare(s->engine, s->ready, s->plan, speech_drop, &pages, &s->prepared, e));
    speech_ready(s);
    return 0;
}

static struct again_model model_of(struct speech *s)
{
    return (struct again_model){s->engine, &s->prepared, make_ready, s};
}

int speech_again(struct speech *s, int tries, struct err *e)
{
    struct again_model m = model_of(s);
    TRY(again_try(s->o.again, &m, tries, e));
    s->failures++;
    return 0;
}

static int measure(struct arena *a, const struct speech_options *o, struct speech *s, size_t *bytes,
                   size_t *room, struct err *e)
{
    struct net_whisper_config config;
    struct backend_memory m;
    TRY(load_open(a, o->folder, &s->weights, e));
    TRY(net_whisper_config(a, &s->weights, &config, e));
    TRY(engine_open(a, &o->engine, &s->engine, e));
    TRY(engine_room(s->engine, room, e));
    TRY(make_plan(a, o, &config, s, e));
    TRY(engine_measure(s->engine, s->plan, &m, e));
    *bytes = m.weights + m.state + m.step + m.scratch;
    return 0;
}

int speech_measure(struct arena *a, const struct speech_options *o, size_t *bytes, size_t *room,
                   struct err *e)
{
    struct speech s = {0}, *open = &s;
    int rc = measure(a, o, &s, bytes, room, e);
    speech_close(&open);
    return rc;
}

static int open_parts(struct arena *a, struct speech *s, struct err *e)
{
    const struct speech_options *o = &s->o;
    struct net_whisper_config *config = &s->net.config;
    TRY(load_open(a, o->folder, &s->weights, e));
    TRY(net_whisper_config(a, &s->weights, config, e));
    for (int i = 0; i < o->n_suppress; i++) {
        if (o->suppress[i] < config->vocab) continue;
        return err_set(e, E_USAGE, "token %d cannot be suppressed: there are %d", o->suppress[i],
                       config->vocab);
    }
    struct str vocabulary;
    TRY(net_whisper_vocabulary(a, &s->weights, config, &vocabulary, e));
    TRY(bpe_open(a, vocabulary, config->vocab, &s->bpe, e));
    TRY(complete_suppress(a, s, config, e));
    TRY(arena_open("ready", 0, &s->ready, e));
    TRY(engine_open(a, &o->engine, &s->engine, e));
    struct again_model m = model_of(s);
    return again_ready(&m, e);
}

/* Puts the model's name before the sentence, unless it begins with it: its path. Names are compared
 * as errors print them. */
static void say_which(const char *name, struct err *e)
{
    struct err printed;
    (void)err_set(&printed, e->code, "%s", name);
    if (!str_starts(e->text, printed.text)) (void)err_note(e, "model %s", name);
}

int speech_open(struct arena *a, const struct speech_options *o, struct speech **out, struct err *e)
{
    double start_s = thread_seconds();
    struct speech *s = ARENA_NEW(a, struct speech, 1, e);
    if (!s) return -1;
    s->o = *o;
    if (open_parts(a, s, e)) {
        say_which(o->name, e);
        speech_close(&s);
        return -1;
    }
    s->load_s = thread_seconds() - start_s;
    *out = s;
    return 0;
}

void speech_close(struct speech **s)
{
    if (!*s) return;
    engine_release(&(*s)->prepared);
    engine_close(&(*s)->engine);
    arena_close(&(*s)->ready);
    load_close(&(*s)->weights);
    *s = NULL;
}
