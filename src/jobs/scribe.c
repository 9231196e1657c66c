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
    char *text;                                /* [TEXT_BYTES] of the window or segment at hand */
    int previous[SCRIBE_PREVIOUS], n_previous; /* tokens the next window is conditioned on */
    float *logits;                             /* [vocabulary] */
    struct decode_result tried;
    struct window_ladder ladder;
    struct decode_prompt prompt; /* of the window at hand */
    struct words *words;         /* NULL: not asked for */
    struct words_list list;
    double spoken_s; /* where the last word so far ended */
    int64_t frames;  /* of the whole audio */
    float loudest;   /* mel of it */
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
    s->logits = ARENA_NEW(a, float, (size_t)speech->net.config.vocab, e);
    if (!s->logits) return -1;
    TRY(decode_open(a, speech, &o->decode, &s->decode, e));
    TRY(ratio_init(a, &s->ratio, e));
    *out = s;
    return o->word_times ? words_open(a, speech, &o->words, &s->words, e) : 0;
}

/* The text of tokens, in s->text. */
static struct str text_of(struct scribe *s, const int *token, int n)
{
    struct strbuf b;
    strbuf_init(&b, s->text, TEXT_BYTES);
    bpe_text(s->speech->bpe, token, (size_t)n, s->speech->net.config.eot, &b);
    return (struct str){b.p, b.n};
}

static int begin(const struct scribe *s, struct listen *l, struct audio *audio, struct err *e)
{
    return listen_begin(l, audio, s->speech->pcm, s->speech->net.samples, CONTEXT, e);
}

/* After a failure: 0 if the device works again and the window at hand is in the model's input. */
static int bring_back(struct scribe *s, struct listen *l, int tries, struct err *e)
{
    int64_t start = l->start;
    TRY(speech_again(s->speech, tries, e));
    TRY(audio_rewind(l->audio, e));
    TRY(begin(s, l, l->audio, e));
    *s->speech->loudest_in = s->loudest;
    return listen_move(l, start, e);
}

/* The loudest mel of the whole audio: what every window is normalised by. Also finds how long the
 * audio is. */
static int find_loudest(struct scribe *s, struct listen *l, const struct scribe_events *ev,
                        struct err *e)
{
    const struct net_whisper *net = &s->speech->net;
    struct audio_info info;
    s->loudest = -INFINITY;
    for (int64_t seek = 0;; seek += net->frames) {
        if (seek) TRY(listen_move(l, seek * WHISPER_HOP - CONTEXT, e));
        for (int tries = 0; engine_run(s->speech->prepared, net->tape_loud, e); tries++)
            TRY(bring_back(s, l, tries, e));
        s->loudest = fmaxf(s->loudest, *s->speech->loudest);
        if (l->ended && (seek + net->frames) * WHISPER_HOP > l->n_read) return 0;
        if (ev->cancelled(ev->ctx))
            return err_set(e, E_CANCELLED, "stopped while listening through");
        audio_info(l->audio, &info);
        double total_s = (double)info.n_samples / WHISPER_RATE_HZ;
        ev->progress(ev->ctx, "listening", (double)l->n_read / WHISPER_RATE_HZ,
                     info.n_samples > 0 ? total_s : 0);
    }
}

static void append(struct decode_prompt *p, const int *token, int n)
{
    if (n > 0) memcpy(p->token + p->n, token, (size_t)n * sizeof *token); /* token may be NULL */
    p->n += n;
}

void scribe_prompt(const struct net_whisper_config *c, const struct scribe_options *o,
                   const int *previous, int n_previous, bool with_prefix, struct decode_prompt *p)
{
    const int half = c->text_ctx / 2 - 1; /* tokens of either part, as openai has it */
    int n_prefix = with_prefix ? MIN(o->prefix.n, half - 1) : 0; /* and a timestamp, and a token */
    int n_hot = n_prefix ? 0 : MIN(o->hotwords.n, half);
    int keep = MIN(n_previous, MIN(half, c->text_ctx - n_prefix - 8) - n_hot);
    *p = (struct decode_prompt){0};
    if (keep > 0 || n_hot) {
        append(p, &c->sot_prev, 1);
        append(p, o->hotwords.token, n_hot);
        append(p, previous + n_previous - MAX(keep, 0), MAX(keep, 0));
    }
    p->sot_at = p->n;
    append(p, &c->sot, 1);
    if (c->multilingual) {
        p->token[p->n++] = c->language0 + o->language;
        p->token[p->n++] = o->translate ? c->translate : c->transcribe;
    }
    if (!o->timestamps) append(p, &c->no_timestamps, 1);
    p->forced = p->n;
    if (n_prefix && o->timestamps) append(p, &c->time0, 1);
    append(p, o->prefix.token, n_prefix);
    p->forced = p->n - p->forced;
}

unsigned scribe_scripts(const struct scribe_options *o, int language)
{
    return o->check_script ? net_language_scripts(o->translate ? 0 : language) : 0;
}

/* Decodes the window at hand until its text can be trusted; what is kept is in s->ladder. */
static int climb_ladder(struct scribe *s, int64_t seek, struct err *e)
{
    bool ended = false;
    unsigned scripts = scribe_scripts(&s->o, s->o.language);
    scribe_prompt(&s->speech->net.config, &s->o, s->previous, s->n_previous, seek == 0, &s->prompt);
    s->ladder = (struct window_ladder){0};
    while (!ended) {
        int step = s->ladder.step;
        uint64_t key = (uint64_t)seek << 8 | (uint64_t)step;
        TRY(decode_window(s->decode, &s->prompt, s->o.window.temperature[step], key, &s->tried, e));
        struct str text = str_trim(text_of(s, s->tried.token, s->tried.n));
        ended = window_climb(&s->ladder, &s->o.window, &s->tried,
                             ratio_text(s->ratio, text.p, text.n), script_foreign(text, scripts));
    }
    return 0;
}

void scribe_remember(int *previous, int *n_previous, const int *token, int n)
{
    int most = SCRIBE_PREVIOUS;
    if (n == 0) return; /* token may be NULL */
    if (n > most) token += n - most, n = most;
    int keep = MIN(*n_previous, most - n);
    memmove(previous, previous + *n_previous - keep, (size_t)keep * sizeof *token);
    memcpy(previous + keep, token, (size_t)n * sizeof *token);
    *n_previous = keep + n;
}

/* Gives the segments of a window out. */
static int give(struct scribe *s, const struct window_span *span, int n, int64_t seek,
                const struct scribe_events *ev, struct scribe_totals *totals, struct err *e)
{
    double offset_s = (double)seek * 0.01;
    unsigned scripts = scribe_scripts(&s->o, s->o.language);
    for (int i = 0; i < n; i++) {
        const int *token = s->ladder.kept.token + span[i].from;
        int n_tokens = span[i].to - span[i].from;
        struct str text = text_of(s, token, n_tokens);
        if (span[i].t0_s == span[i].t1_s || str_trim(text).n == 0) continue;
        scribe_remember(s->previous, &s->n_previous, token, n_tokens);
        struct out_segment segment = {
            .id = ++totals->segments,
            .seek = seek,
            .t0_s =
                fmin(offset_s + span[i].t0_s, totals->audio_s), /* the model hears 30 s always */
            .t1_s = fmin(offset_s + span[i].t1_s, totals->audio_s),
            .text = text,
            .token = token,
            .n_tokens = (size_t)n_tokens,
            .temperature = s->ladder.kept_temperature,
            .avg_logprob = s->ladder.kept.avg_logprob,
            .compression_ratio = s->ladder.kept_ratio,
            .no_speech_prob = s->ladder.kept.no_speech,
            .flags = window_flags(&s->o.window, &s->ladder) |
                     (script_foreign(text, scripts) ? OUT_WRONG_SCRIPT : 0u),
            .language = s->o.each ? net_language_code(s->o.language) : NULL,
            .word = s->words ? s->list.word + span[i].word : NULL,
            .n_words = (size_t)span[i].n_words,
        };
        TRY(ev->segment(ev->ctx, &segment, e));
    }
    return 0;
}

/* Times of words; the next window begins where the last word ended, unless the text says that the
 * window ends in silence. *n -1: words nobody believes, *next is where to listen again. */
static int add_words(struct scribe *s, int64_t seek, int64_t size, struct window_span *span, int *n,
                     int64_t *next, struct err *e)
{
    const struct decode_result *kept = &s->ladder.kept;
    const struct net_whisper_config *c = &s->speech->net.config;
    double offset_s = (double)seek * 0.01;
    words_spaceless(s->words, net_language_spaceless(s->o.language));
    struct words_heard heard;
    TRY(words_hear(s->words, 0, s->prompt.token + s->prompt.sot_at, c->multilingual ? 3 : 1,
                   kept->token, span, *n, size, &heard, e));
    words_fit(s->words, &heard, kept->token, span, *n, offset_s, s->spoken_s, &s->list);
    double end_s = words_end(&s->list, span, *n, offset_s);
    if (!window_ends(kept, c->time0) && !kept->loop && end_s > offset_s)
        *next = lround(end_s * 100);
    if (!isnan(s->o.words.silence_s)) {
        struct words_doubt doubt =
            words_doubt(&s->list, &s->o.words, span, *n, offset_s, (double)size * 0.01,
                        (double)s->frames * 0.01, s->spoken_s);
        if (!isnan(doubt.seek_s)) *next = lround(doubt.seek_s * 100);
        *n = doubt.again ? -1 : doubt.n_spans;
    }
    if (*n > 0) s->spoken_s = words_end(&s->list, span, *n, offset_s);
    return 0;
}

/* Tells of a window that went up the ladder. */
static int tell_again(struct scribe *s, int64_t seek, int64_t size, const struct scribe_events *ev,
                      struct err *e)
{
    struct out_again again;
    if (s->ladder.step <= 1) return 0;
    window_again(&s->o.window, &s->ladder, &again);
    again.t0_s = (double)seek * 0.01;
    again.t1_s = (double)(seek + size) * 0.01;
    again.language = s->o.each ? net_language_code(s->o.language) : NULL;
    return ev->again(ev->ctx, &again, e);
}

/* What the model says of the window at hand, its spans (*n -1: nothing, or words nobody believes),
 * and where the next one starts. Nothing is given out yet, so that it can be done again. */
static int hear_window(struct scribe *s, int64_t seek, int64_t size, struct window_span *span,
                       int *n, int64_t *next, struct err *e)
{
    struct speech *speech = s->speech;
    int64_t advance;
    *n = -1;
    *next = seek + size;
    *speech->content = (int32_t)size;
    *speech->slot = 0;
    TRY(engine_run(speech->prepared, speech->net.tape_encode, e));
    if (s->o.each) {
        struct tongue heard;
        TRY(tongue_window(speech, 0, s->o.each, s->logits, &heard, e));
        s->o.language = heard.language;
    }
    TRY(climb_ladder(s, seek, e));
    if (window_silent(&s->o.window, &s->ladder.kept)) return 0;
    *n = window_split(&s->ladder.kept, speech->net.config.time0, size, span, &advance);
    *next = seek + advance;
    return s->words ? add_words(s, seek, size, span, n, next, e) : 0;
}

/* One window at frame `seek`: *next says where the next one starts. */
static int one_window(struct scribe *s, struct listen *l, int64_t seek, int64_t size,
                      const struct scribe_events *ev, struct scribe_totals *totals, int64_t *next,
                      struct err *e)
{
    struct window_span span[DECODE_MOST];
    int n;
    *next = seek + size;
    totals->windows++;
    if (window_hushed(s->speech->pcm + CONTEXT, size * WHISPER_HOP)) return 0;
    for (int tries = 0; hear_window(s, seek, size, span, &n, next, e); tries++)
        TRY(bring_back(s, l, tries, e));
    totals->windows_again += s->ladder.step > 1;
    if (n >= 0) TRY(give(s, span, n, seek, ev, totals, e));
    TRY(tell_again(s, seek, size, ev, e));
    if (n < 0) return 0;
    if (!s->o.condition || s->ladder.kept_temperature > s->o.reset_above) s->n_previous = 0;
    return 0;
}

/* A part of the audio, windows one after the other. */
static int one_clip(struct scribe *s, struct listen *l, struct scribe_clip clip,
                    const struct scribe_events *ev, struct scribe_totals *totals, struct err *e)
{
    struct speech *speech = s->speech;
    int64_t end = MIN(clip.to, s->frames);
    for (int64_t seek = clip.from, next; seek < end; seek = MAX(next, seek + 2)) {
        if (ev->cancelled(ev->ctx))
            return err_set(e, E_CANCELLED, "stopped at %.1f s of %.1f s", (double)seek * 0.01,
                           totals->audio_s);
        if (seek) TRY(listen_move(l, seek * WHISPER_HOP - CONTEXT, e));
        TRY(one_window(s, l, seek, MIN(speech->net.frames, end - seek), ev, totals, &next, e));
        ev->progress(ev->ctx, "transcribing", fmin((double)next * 0.01, totals->audio_s),
                     totals->audio_s);
    }
    return 0;
}

static int run(struct scribe *s, struct audio *audio, const struct scribe_events *ev,
               struct scribe_totals *totals, struct err *e)
{
    struct listen l;
    *totals = (struct scribe_totals){0};
    s->n_previous = 0;
    s->spoken_s = 0;
    scribe_remember(s->previous, &s->n_previous, s->o.initial.token, s->o.initial.n);
    decode_reset(s->decode);
    TRY(begin(s, &l, audio, e));
    TRY(find_loudest(s, &l, ev, e));
    *s->speech->loudest_in = s->loudest;
    s->frames = l.n_read / WHISPER_HOP;
    totals->audio_s = (double)l.n_read / WHISPER_RATE_HZ;
    if (l.start != -CONTEXT) {
        TRY(audio_rewind(audio, e));
        TRY(begin(s, &l, audio, e));
    }
    const struct scribe_clip whole = {0, s->frames};
    if (s->o.n_clips == 0) return one_clip(s, &l, whole, ev, totals, e);
    for (int i = 0; i < s->o.n_clips; i++) TRY(one_clip(s, &l, s->o.clip[i], ev, totals, e));
    return 0;
}

void scribe_language(struct scribe *s, int language)
{
    s->o.language = language;
}

int scribe_run(struct scribe *s, struct audio *audio, const struct scribe_events *ev,
               struct scribe_totals *totals, struct err *e)
{
    uint64_t before = arena_system_calls();
    int failures = s->speech->failures, rc = run(s, audio, ev, totals, e);
    /* after prepare nothing of ours allocates */
    assert(arena_system_calls() == before || s->speech->failures > failures);
    return rc;
}
