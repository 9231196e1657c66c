#include "jobs/tongue.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define CONTEXT 200 /* samples before the first frame's hop, see scribe.c */

int tongue_find(const char *option, const char *text, int *language, struct err *e)
{
    *language = net_language_find(text);
    if (*language >= 0) return 0;
    const char *near = net_language_near(text);
    return err_set(e, E_USAGE, "--%s: \"%s\" is not a language of Whisper%s%s%s", option, text,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

int tongue_allow(struct tongue_options *o, const char *list, struct err *e)
{
    for (int i = 0; i < NET_LANGUAGES; i++) o->allowed[i] = !list;
    if (list && !*list) return err_set(e, E_USAGE, "--languages: the list is empty");
    for (const char *p = list; p && *p;) {
        char word[32];
        int found;
        size_t n = strcspn(p, ",");
        snprintf(word, sizeof word, "%.*s", (int)MIN(n, sizeof word - 1), p);
        TRY(tongue_find("languages", word, &found, e));
        o->allowed[found] = true;
        p += n + (p[n] == ',');
    }
    return 0;
}

static void choose(struct tongue *t)
{
    t->probability = 0;
    for (int i = 0; i < NET_LANGUAGES; i++) {
        if ((double)t->of[i] <= t->probability) continue;
        t->language = i;
        t->probability = (double)t->of[i];
    }
}

/* Softmax over the languages that are allowed. */
static void weigh(const struct net_whisper_config *c, const struct tongue_options *o,
                  const float *logits, struct tongue *out)
{
    double most = -INFINITY, sum = 0;
    *out = (struct tongue){.n_windows = 1};
    for (int i = 0; i < c->n_languages; i++)
        if (o->allowed[i]) most = fmax(most, (double)logits[c->language0 + i]);
    for (int i = 0; i < c->n_languages; i++) {
        if (!o->allowed[i]) continue;
        out->of[i] = (float)exp((double)logits[c->language0 + i] - most);
        sum += (double)out->of[i];
    }
    for (int i = 0; i < c->n_languages; i++) out->of[i] = (float)((double)out->of[i] / sum);
    choose(out);
}

int tongue_window(struct speech *s, int slot, const struct tongue_options *o, float *logits,
                  struct tongue *out, struct err *e)
{
    const struct net_whisper_config *c = &s->net.config;
    int sequence = slot * (s->net.shape.sequences / s->net.shape.windows);
    int32_t rule[OP_RULES] = {0, c->time0, c->vocab - 1, -1, -1};
    *s->n_rows = *s->n_picks = 1;
    s->token[0] = c->sot;
    s->position[0] = 0;
    s->sequence[0] = sequence;
    s->window[0] = slot;
    s->history[(size_t)sequence * (size_t)c->text_ctx] = sequence;
    s->pick[0] = 0;
    memcpy(s->rule, rule, sizeof rule);
    s->chance[0] = s->chance[1] = 0;
    TRY(engine_run(s->prepared, s->net.tape_step, e));
    TRY(engine_peek(s->prepared, s->net.logits, logits, (size_t)c->vocab * sizeof *logits, e));
    weigh(c, o, logits, out);
    return 0;
}

void tongue_add(struct tongue *sum, const struct tongue *one)
{
    int n = sum->n_windows + one->n_windows;
    for (int i = 0; i < NET_LANGUAGES; i++)
        sum->of[i] =
            (sum->of[i] * (float)sum->n_windows + one->of[i] * (float)one->n_windows) / (float)n;
    sum->n_windows = n;
    choose(sum);
}

/* The next window of samples into the model's input. Returns how many, or -1. */
static int64_t next_window(struct speech *s, struct vad_source source, struct err *e)
{
    int64_t room = s->net.samples, n = (int64_t)s->net.frames * WHISPER_HOP, at = 0;
    while (at < n) {
        int64_t got = source.read(source.ctx, s->pcm + CONTEXT + at, n - at, e);
        if (got < 0) return -1;
        if (got == 0) break;
        at += got;
    }
    for (int64_t i = CONTEXT + at; i < room; i++) s->pcm[i] = 0;
    for (int i = 0; i < CONTEXT; i++) s->pcm[i] = s->pcm[2 * CONTEXT - i];
    return at;
}

int tongue_listen(struct speech *s, struct vad_source source, const struct tongue_options *o,
                  float *logits, struct tongue *out, struct err *e)
{
    *out = (struct tongue){0};
    for (int i = 0; i < o->windows; i++) {
        struct tongue one;
        int64_t n = next_window(s, source, e);
        if (n < 0) return -1;
        if (n < (i ? WHISPER_RATE_HZ : 1)) return 0; /* a rest of less than a second says little */
        TRY(engine_run(s->prepared, s->net.tape_loud, e));
        *s->loudest_in = *s->loudest;
        *s->content = (int32_t)(n / WHISPER_HOP);
        *s->slot = 0;
        TRY(engine_run(s->prepared, s->net.tape_encode, e));
        TRY(tongue_window(s, 0, o, logits, &one, e));
        if (one.probability > o->threshold) {
            *out = one;
            return 0;
        }
        tongue_add(out, &one);
    }
    return 0;
}
