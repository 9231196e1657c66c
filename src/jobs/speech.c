#include "jobs/speech.h"
#include "base/thread.h"
#include <math.h>
#include <string.h>

/* Rows of one step: a prompt is fed in pieces of this many tokens. */
#define PROMPT_ROWS 64

struct net_whisper_shape speech_shape(int batch, int beam, int best_of, const char *resolved,
                                      const char *device)
{
    int sequences = batch * MAX(beam, best_of);
    bool gpu = strcmp(device, "cuda") == 0, half = gpu && str_ends(resolved, "float16");
    return (struct net_whisper_shape){
        .windows = batch,
        .sequences = sequences,
        .rows = MAX(sequences, PROMPT_ROWS),
        .picks = sequences,
        .top = beam > 1 ? 2 * beam : 1,
        .cache = half ? DTYPE_F16 : DTYPE_F32,
        .compute = half ? DTYPE_F16 : DTYPE_F32,
        .i8 = str_starts(resolved, "int8"),
        .cross_i8 = gpu && str_starts(resolved, "int8"),
    };
}

const char *speech_compute_type(const char *asked, const char *device)
{
    /* A name is a preference: a CPU computes the float part in f32 whatever it is called, and
     * automatic means int8. A GPU does what it is asked; automatic means float16, which every GPU
     * lode runs on (sm_70 and up) does in hardware. */
    static const struct {
        const char *asked, *cpu, *gpu;
    } names[] = {
        {"auto", "int8_float32", "float16"},
        {"int8", "int8_float32", "int8_float16"},
        {"int8_float32", "int8_float32", "int8_float32"},
        {"int8_float16", "int8_float32", "int8_float16"},
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

struct dropping {
    const struct plan *plan;
    const struct load_weights *weights;
};

/* A weight has been packed: its pages in the file are not needed any more. */
static void drop_pages(void *ctx, int value)
{
    const struct dropping *d = ctx;
    const struct load_tensor *t = load_find(d->weights, d->plan->value[value].name);
    if (t) load_drop(d->weights, t);
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
    if (s->weights.tokenizer.n == 0) return 0;
    TRY(bpe_merges(a, s->bpe, s->weights.tokenizer, e));
    int64_t n = bpe_non_speech(s->bpe, a, c->suppress, WHISPER_MAX_LIST, e);
    if (n < 0) return -1;
    c->n_suppress = (int)n;
    return 0;
}

/* The plan for the engine's device, which decides the compute type, made ready on it. */
static int make_ready(struct arena *a, const struct speech_options *o,
                      const struct net_whisper_config *config, struct speech *s, struct err *e)
{
    const char *device = engine_device(s->engine);
    s->compute_type = speech_compute_type(o->compute_type, device);
    struct net_whisper_shape shape = speech_shape(1, o->beam, o->best_of, s->compute_type, device);
    struct net_whisper_source source = {.weights = &s->weights};
    struct plan *plan;
    TRY(net_whisper_plan(a, &source, config, &shape, &plan, &s->net, e));
    s->plan = plan;
    struct dropping d = {plan, &s->weights};
    return engine_prepare(s->engine, a, plan, drop_pages, &d, &s->prepared, e);
}

static int open_parts(struct arena *a, const struct speech_options *o, struct speech *s,
                      struct err *e)
{
    struct net_whisper_config config;
    TRY(load_open(a, o->folder, &s->weights, e));
    TRY(net_whisper_config(a, &s->weights, &config, e));
    if (s->weights.vocabulary.n == 0) {
        return err_set(e, E_MODEL, "no vocabulary.txt or vocabulary.json beside the weights");
    }
    TRY(bpe_open(a, s->weights.vocabulary, config.vocab, &s->bpe, e));
    TRY(complete_suppress(a, s, &config, e));

    TRY(engine_open(a, &o->engine, &s->engine, e));
    struct err why;
    while (make_ready(a, o, &config, s, &why)) {
        if (why.code != E_NOMEM && why.code != E_DEVICE) {
            *e = why;
            return -1;
        }
        TRY(engine_retreat(s->engine, a, &why, e));
    }
    return 0;
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
