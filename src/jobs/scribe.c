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
    struct decode_result tried;
    struct window_ladder ladder;
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

void scribe_prompt(const struct net_whisper_config *c, const struct scribe_options *o,
                   const int *previous, int n_previous, struct decode_prompt *p)
{
    p->n = 0;
    if (n_previous) {
        p->token[p->n++] = c->sot_prev;
        memcpy(p->token + p->n, previous, (size_t)n_previous * sizeof *p->token);
        p->n += n_previous;
    }
    p->sot_at = p->n;
    p->token[p->n++] = c->sot;
    if (c->multilingual) {
        p->token[p->n++] = c->language0 + o->language;
        p->token[p->n++] = o->translate ? c->translate : c->transcribe;
    }
    if (!o->timestamps) p->token[p->n++] = c->no_timestamps;
}

/* Decodes the window at hand until its text can be trusted; what is kept is in s->ladder. */
static int climb_ladder(struct scribe *s, int64_t seek, struct err *e)
{
    struct decode_prompt prompt;
    bool ended = false;
    scribe_prompt(&s->speech->net.config, &s->o, s->previous, s->n_previous, &prompt);
    s->ladder = (struct window_ladder){0};
    while (!ended) {
        int step = s->ladder.step;
        uint64_t key = (uint64_t)seek << 8 | (uint64_t)step;
        TRY(decode_window(s->decode, &prompt, s->o.window.temperature[step], key, &s->tried, e));
        struct str text = str_trim(text_of(s, s->tried.token, s->tried.n));
        ended =
            window_climb(&s->ladder, &s->o.window, &s->tried, ratio_text(s->ratio, text.p, text.n));
    }
    return 0;
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
static int give(struct scribe *s, const struct window_span *span, int n, int64_t seek,
                const struct scribe_events *ev, struct scribe_totals *totals, struct err *e)
{
    double offset_s = (double)seek * 0.01;
    for (int i = 0; i < n; i++) {
        const int *token = s->ladder.kept.token + span[i].from;
        int n_tokens = span[i].to - span[i].from;
        struct str text = text_of(s, token, n_tokens);
        if (span[i].t0_s == span[i].t1_s || str_trim(text).n == 0) continue;
        remember(s, token, n_tokens);
        struct out_segment segment = {
            .id = ++totals->segments,
            .seek = seek,
            .t0_s = offset_s + span[i].t0_s,
            .t1_s = offset_s + span[i].t1_s,
            .text = text,
            .token = token,
            .n_tokens = (size_t)n_tokens,
            .temperature = s->ladder.kept_temperature,
            .avg_logprob = s->ladder.kept.avg_logprob,
            .compression_ratio = s->ladder.kept_ratio,
            .no_speech_prob = s->ladder.kept.no_speech,
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
    struct window_span span[DECODE_MOST];
    *speech->content = (int32_t)size;
    *speech->slot = 0;
    TRY(engine_run(speech->prepared, speech->net.tape_encode, e));
    TRY(climb_ladder(s, seek, e));
    totals->windows++;
    totals->windows_again += s->ladder.step > 1;

    *advance = size;
    if (window_silent(&s->o.window, &s->ladder.kept)) return 0;
    int n = window_split(&s->ladder.kept, speech->net.config.time0, size, false, span, advance);
    TRY(give(s, span, n, seek, ev, totals, e));
    if (!s->o.condition || s->ladder.kept_temperature > s->o.reset_above) s->n_previous = 0;
    return 0;
}

static int run(struct scribe *s, struct audio *audio, const struct scribe_events *ev,
               struct scribe_totals *totals, struct err *e)
{
    struct speech *speech = s->speech;
    struct listen l;
    *totals = (struct scribe_totals){0};
    s->n_previous = 0;
    decode_reset(s->decode);
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
