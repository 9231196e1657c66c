#include "jobs/speech.h"
#include "base/thread.h"
#include <math.h>
#include <string.h>

/* Rows of one step: a prompt is fed in pieces of this many tokens. */
#define PROMPT_ROWS 64

struct net_whisper_shape speech_shape(int beam, int best_of, const char *resolved_compute_type)
{
    int sequences = MAX(beam, best_of);
    return (struct net_whisper_shape){
        .windows = 1,
        .sequences = sequences,
        .rows = MAX(sequences, PROMPT_ROWS),
        .picks = sequences,
        .top = beam > 1 ? 2 * beam : 1,
        .cache = DTYPE_F32,
        .i8 = str_starts(resolved_compute_type, "int8"),
    };
}

const char *speech_compute_type(const char *asked, const char *device)
{
    /* A name is a preference: a CPU computes the float part in f32 whatever it is called, and
     * automatic means int8. */
    assert(strcmp(device, "cpu") == 0);
    return str_starts(asked, "float") ? "float32" : "int8_float32";
}

struct dropping {
    const struct plan *plan;
    const struct load_weights *weights;
};

/* A weight has been packed: its pages in the file are not needed any more. */
static void drop_pages(void *ctx, int value)
{
    const struct dropping *d = ctx;
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
}

/* Never sampled: what the model's file names as not speech, and every special token but end of
 * text. */
static void fill_ban(struct speech *s)
{
    const struct net_whisper_config *c = &s->net.config;
    for (int i = 0; i < c->n_suppress; i++) s->ban[c->suppress[i]] = -INFINITY;
    for (int t = c->eot + 1; t < c->time0; t++) s->ban[t] = -INFINITY;
}

void speech_ready(struct speech *s)
{
    find_doors(s);
    fill_ban(s);
}

/* Files without suppress_ids get the list that openai's tokenizer derives from the vocabulary. */
static int complete_suppress(struct arena *a, struct speech *s, struct net_whisper_config *c,
                             struct err *e)
{
    if (c->n_suppress) return 0;
    TRY(load_tokenizer(a, &s->weights, e));
    TRY(s->weights.tokenizer.n ? bpe_merges(a, s->bpe, s->weights.tokenizer, e)
                               : bpe_merges_by_id(a, s->bpe, c->eot, e));
    int64_t n = bpe_non_speech(s->bpe, a, c->suppress, WHISPER_MAX_LIST, e);
    if (n < 0) return -1;
    c->n_suppress = (int)n;
    return 0;
}

static int open_parts(struct arena *a, const struct speech_options *o, struct speech *s,
                      struct err *e)
{
    struct net_whisper_config config;
    TRY(load_open(a, o->folder, &s->weights, e));
    TRY(net_whisper_config(a, &s->weights, &config, e));
    struct str vocabulary;
    TRY(net_whisper_vocabulary(a, &s->weights, &config, &vocabulary, e));
    TRY(bpe_open(a, vocabulary, config.vocab, &s->bpe, e));
    TRY(complete_suppress(a, s, &config, e));

    TRY(engine_open(a, &o->engine, &s->engine, e));
    s->compute_type = speech_compute_type(o->compute_type, engine_device(s->engine));
    struct net_whisper_shape shape = speech_shape(o->beam, o->best_of, s->compute_type);
    struct net_whisper_source source = {.weights = &s->weights};
    struct plan *plan;
    TRY(net_whisper_plan(a, &source, &config, &shape, &plan, &s->net, e));
    s->plan = plan;
    struct dropping d = {plan, &s->weights};
    return engine_prepare(s->engine, a, plan, drop_pages, &d, &s->prepared, e);
}

int speech_open(struct arena *a, const struct speech_options *o, struct speech **out, struct err *e)
{
    double start_s = thread_seconds();
    struct speech *s = ARENA_NEW(a, struct speech, 1, e);
    if (!s) return -1;
    s->name = o->name;
    if (open_parts(a, o, s, e)) {
        err_note(e, "model %s", o->name);
        speech_close(&s);
        return -1;
    }
    speech_ready(s);
    s->load_s = thread_seconds() - start_s;
    *out = s;
    return 0;
}

void speech_close(struct speech **s)
{
    if (!*s) return;
    engine_release(&(*s)->prepared);
    engine_close(&(*s)->engine);
    load_close(&(*s)->weights);
    *s = NULL;
}
