#include "jobs/scribe.h"
#include "jobs/listen.h"
#include "jobs/ratio.h"
#include <math.h>
#include <string.h>

#define CONTEXT    200 /* samples before the first frame's hop: half a Fourier window */
#define TEXT_BYTES (64 << 10)

struct scribe {
    struct speech *speech;
    struct scribe_options o;
    struct decode *decode;
    struct ratio *ratio;
    char *text; /* [TEXT_BYTES] of the window or segment at hand */
    int previous[DECODE_MOST - 1],
        n_previous; /* tokens the next window is conditioned on: the last 223 */
    struct decode_result tried, best, best_short; /* best_short: of those that are not repetitive */
};

struct outcome { /* of a window, up the ladder */
    struct decode_result *result;
    double temperature, compression_ratio;
    bool again;
};

struct span { /* a segment within a window's tokens */
    int from, to;
    double t0_s, t1_s;
};

int scribe_open(struct arena *a, struct speech *speech, const struct scribe_options *o,
                struct scribe **out, struct err *e)
{
    struct scribe *s = ARENA_NEW(a, struct scribe, 1, e);
    if (!s) return -1;
    s->speech = speech;
    s->o = *o;
    s->text = ARENA_NEW(a, char, TEXT_BYTES, e);
    if (!s->text) return -1;
    TRY(decode_open(a, speech, &o->decode, &s->decode, e));
    TRY(ratio_init(a, &s->ratio, e));
    *out = s;
    return 0;
}

/* The text of tokens, in s->text. */
static struct str text_of(struct scribe *s, const int *token, int n)
{
    struct strbuf b;
    strbuf_init(&b, s->text, TEXT_BYTES);
    bpe_text(s->speech->bpe, token, (size_t)n, s->speech->net.config.eot, &b);
    return (struct str){b.p, b.n};
}

/* The loudest mel of the whole audio: what every window is normalised by. Also finds how long the
 * audio is. */
static int find_loudest(struct scribe *s, struct listen *l, const struct scribe_events *ev,
                        float *loudest, struct err *e)
{
    const struct net_whisper *net = &s->speech->net;
    struct audio_info info;
    *loudest = -INFINITY;
    for (int64_t seek = 0;; seek += net->frames) {
        if (seek) TRY(listen_move(l, seek * WHISPER_HOP - CONTEXT, e));
        TRY(engine_run(s->speech->prepared, net->tape_loud, e));
        *loudest = fmaxf(*loudest, *s->speech->loudest);
        if (l->ended && (seek + net->frames) * WHISPER_HOP > l->n_read) return 0;
        if (ev->cancelled(ev->ctx))
            return err_set(e, E_CANCELLED, "stopped while listening through");
        audio_info(l->audio, &info);
        double total_s = (double)info.n_samples / WHISPER_RATE_HZ;
        ev->progress(ev->ctx, "listening", (double)l->n_read / WHISPER_RATE_HZ,
                     info.n_samples > 0 ? total_s : 0);
    }
}

/* Prompt: [sot_prev, text so far], sot, language and task if the model has them, no_timestamps if
 * asked. Returns its length. */
static int make_prompt(const struct scribe *s, int *prompt, int *sot_at)
{
    const struct net_whisper_config *c = &s->speech->net.config;
    int n = 0;
    if (s->n_previous) {
        prompt[n++] = c->sot_prev;
        memcpy(prompt + n, s->previous, (size_t)s->n_previous * sizeof *prompt);
        n += s->n_previous;
    }
    *sot_at = n;
    prompt[n++] = c->sot;
    if (c->multilingual) {
        prompt[n++] = c->language0 + s->o.language;
        prompt[n++] = s->o.translate ? c->translate : c->transcribe;
    }
    if (!s->o.timestamps) prompt[n++] = c->no_timestamps;
    return n;
}

/* Is this text to be tried again at the next temperature? Comparisons with NAN are false, so a
 * threshold that is off never speaks. */
static bool untrusted(const struct scribe_options *o, const struct decode_result *r,
                      double compression_ratio)
{
    bool unlikely = r->avg_logprob < o->logprob;
    if (r->no_speech > o->no_speech && unlikely) return false; /* silence is not an error */
    return compression_ratio > o->compression_ratio || unlikely;
}

static int climb_ladder(struct scribe *s, struct outcome *out, struct err *e)
{
    int prompt[2 * DECODE_MOST], sot_at, n = make_prompt(s, prompt, &sot_at);
    double best_ratio = 0, best_short_ratio = 0;
    bool any = false, any_short = false;
    for (int i = 0; i < s->o.n_temperatures; i++) {
        struct decode_result *r = &s->tried;
        TRY(decode_window(s->decode, prompt, n, sot_at, s->o.temperature[i], r, e));
        struct str text = str_trim(text_of(s, r->token, r->n));
        double ratio = ratio_text(s->ratio, text.p, text.n);
        *out = (struct outcome){r, s->o.temperature[i], ratio, i > 0};
        if (!untrusted(&s->o, r, ratio)) return 0;
        if (!any || r->avg_logprob > s->best.avg_logprob)
            s->best = *r, best_ratio = ratio, any = true;
        if (ratio > s->o.compression_ratio) continue;
        if (!any_short || r->avg_logprob > s->best_short.avg_logprob)
            s->best_short = *r, best_short_ratio = ratio, any_short = true;
    }
    /* All failed: the likeliest that is not repetitive; the last temperature stands, so that it is
     * no prompt for the next window. */
    out->result = any_short ? &s->best_short : &s->best;
    out->compression_ratio = any_short ? best_short_ratio : best_ratio;
    return 0;
}

/* Cuts a window's tokens at pairs of timestamps. Returns the number of spans; *advance: frames to
 * the next window. */
static int split(const struct scribe *s, const struct decode_result *r, double offset_s,
                 int64_t size, struct span *span, int64_t *advance)
{
    int time0 = s->speech->net.config.time0, n = 0, from = 0;
    const int *t = r->token;
    bool single_end = r->n >= 2 && t[r->n - 2] < time0 && t[r->n - 1] >= time0;
    for (int i = 1; i <= r->n; i++) {
        bool pair = i < r->n && t[i] >= time0 && t[i - 1] >= time0;
        if (!pair && !(i == r->n && single_end && n > 0)) continue;
        span[n++] = (struct span){from, i, offset_s + (t[from] - time0) * WHISPER_TIME_STEP_S,
                                  offset_s + (t[i - 1] - time0) * WHISPER_TIME_STEP_S};
        from = i;
    }
    *advance = size;
    if (n > 0) {
        if (!single_end)
            *advance =
                (int64_t)(t[from - 1] - time0) * 2; /* the unfinished rest is decoded again */
        return n;
    }
    double length_s = (double)size * 0.01;
    for (int i = r->n - 1; i >= 0; i--) {
        if (t[i] < time0) continue;
        if (t[i] != time0) length_s = (t[i] - time0) * WHISPER_TIME_STEP_S;
        break;
    }
    span[0] = (struct span){0, r->n, offset_s, offset_s + length_s};
    return 1;
}

/* Keeps the last 223 tokens. */
static void remember(struct scribe *s, const int *token, int n)
{
    int most = (int)COUNT(s->previous);
    if (n > most) token += n - most, n = most;
    int keep = MIN(s->n_previous, most - n);
    memmove(s->previous, s->previous + s->n_previous - keep, (size_t)keep * sizeof *token);
    memcpy(s->previous + keep, token, (size_t)n * sizeof *token);
    s->n_previous = keep + n;
}

/* Gives the segments of a window out. */
static int give(struct scribe *s, const struct outcome *o, const struct span *span, int n,
                int64_t seek, const struct scribe_events *ev, struct scribe_totals *totals,
                struct err *e)
{
    for (int i = 0; i < n; i++) {
        const int *token = o->result->token + span[i].from;
        int n_tokens = span[i].to - span[i].from;
        struct str text = text_of(s, token, n_tokens);
        if (span[i].t0_s == span[i].t1_s || str_trim(text).n == 0) continue;
        remember(s, token, n_tokens);
        struct out_segment segment = {
            .id = ++totals->segments,
            .seek = seek,
            .t0_s = span[i].t0_s,
            .t1_s = span[i].t1_s,
            .text = text,
            .token = token,
            .n_tokens = (size_t)n_tokens,
            .temperature = o->temperature,
            .avg_logprob = o->result->avg_logprob,
            .compression_ratio = o->compression_ratio,
            .no_speech_prob = o->result->no_speech,
        };
        TRY(ev->segment(ev->ctx, &segment, e));
    }
    return 0;
}

/* One window at frame `seek`: *advance says where the next one starts. */
static int one_window(struct scribe *s, int64_t seek, int64_t size, const struct scribe_events *ev,
                      struct scribe_totals *totals, int64_t *advance, struct err *e)
{
    struct speech *speech = s->speech;
    struct outcome o = {0};
    struct span span[DECODE_MOST];
    *speech->content = (int32_t)size;
    *speech->slot = 0;
    TRY(engine_run(speech->prepared, speech->net.tape_encode, e));
    TRY(climb_ladder(s, &o, e));
    totals->windows++;
    totals->windows_again += o.again;

    *advance = size;
    if (o.result->no_speech > s->o.no_speech && !(o.result->avg_logprob > s->o.logprob))
        return 0; /* silence: nothing is said */
    int n = split(s, o.result, (double)seek * 0.01, size, span, advance);
    TRY(give(s, &o, span, n, seek, ev, totals, e));
    if (!s->o.condition || o.temperature > s->o.reset_above) s->n_previous = 0;
    return 0;
}

static int run(struct scribe *s, struct audio *audio, const struct scribe_events *ev,
               struct scribe_totals *totals, struct err *e)
{
    struct speech *speech = s->speech;
    struct listen l;
    *totals = (struct scribe_totals){0};
    s->n_previous = 0;
    TRY(listen_begin(&l, audio, speech->pcm, speech->net.samples, CONTEXT, e));
    TRY(find_loudest(s, &l, ev, speech->loudest_in, e));
    int64_t frames = l.n_read / WHISPER_HOP;
    totals->audio_s = (double)l.n_read / WHISPER_RATE_HZ;
    if (l.start != -CONTEXT) {
        TRY(audio_rewind(audio, e));
        TRY(listen_begin(&l, audio, speech->pcm, speech->net.samples, CONTEXT, e));
    }
    for (int64_t seek = 0, advance; seek < frames; seek += MAX(advance, 2)) {
        if (ev->cancelled(ev->ctx))
            return err_set(e, E_CANCELLED, "stopped at %.1f s of %.1f s", (double)seek * 0.01,
                           totals->audio_s);
        if (seek) TRY(listen_move(&l, seek * WHISPER_HOP - CONTEXT, e));
        TRY(one_window(s, seek, MIN(speech->net.frames, frames - seek), ev, totals, &advance, e));
        ev->progress(ev->ctx, "transcribing",
                     fmin((double)(seek + advance) * 0.01, totals->audio_s), totals->audio_s);
    }
    return 0;
}

int scribe_run(struct scribe *s, struct audio *audio, const struct scribe_events *ev,
               struct scribe_totals *totals, struct err *e)
{
    uint64_t before = arena_system_calls();
    int rc = run(s, audio, ev, totals, e);
    assert(arena_system_calls() == before); /* after prepare nothing of ours allocates */
    return rc;
}
