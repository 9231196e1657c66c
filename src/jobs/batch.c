#include "jobs/batch.h"
#include "jobs/ratio.h"
#include <math.h>
#include <string.h>

#define CONTEXT    200 /* samples before the first frame's hop: half a Fourier window */
#define TEXT_BYTES (64 << 10)

#define SECOND WHISPER_RATE_HZ
#define FRAMES (WHISPER_RATE_HZ / WHISPER_HOP) /* in a second */

/* Samples of a part, at most, but for CUT. Longer parts have fewer last windows, which are seldom
 * full; a lane holds its part. */
#define PART (150 * (int64_t)SECOND)
/* Parts and windows end at the quietest place in so many samples. */
#define CUT        (20 * SECOND)
#define WINDOW_CUT (6 * SECOND)
/* As long as a pause between words; its loudness is summed in steps of HOP. */
#define PAUSE (SECOND * 3 / 10)
/* Rests shorter than this at the end of a part are the silence that was left around speech. */
#define LEAST_REST (FRAMES / 2)
/* Speech after the last timestamp that is too long to be a pause: the model ended too soon. */
#define LEAST_MORE (2 * FRAMES)
/* Windows that begin with a thin segment are decoded again so many times shorter: there is less to
 * jump over. */
#define BRIEF 5 / 2

#define HELD  32 /* windows of a part that wait for the parts before */
#define AHEAD 2  /* parts begun and not yet given out, in multiples of lanes */

struct lane { /* a part being decoded, in the window slot of the lane's number */
    bool busy;
    bool waits; /* for its next window, or for parts before it while it holds all it can */
    int tries;  /* the device failed under its window so often */
    size_t part;
    int64_t start, n;   /* its samples of the source */
    int16_t *pcm;       /* [PART + CUT] */
    int64_t seek, size; /* frames of the part: the window at hand */
    bool brief;         /* it is one of those that are shorter */
    int language;       /* of it, if each has its own */
    struct window_ladder ladder;
    int previous[SCRIBE_PREVIOUS], n_previous;
};

struct held { /* a window whose text is decided */
    struct window_ladder ladder;
    int64_t start; /* of its part */
    int64_t seek, size;
    int language;
    bool silent;
    struct words_heard heard; /* if words are asked for */
};

struct ready {         /* of a part begun, windows not yet given out */
    struct held *held; /* [HELD] */
    int n;
    bool ended;
};

struct batch {
    struct speech *speech;
    struct scribe_options o;
    bool whole; /* a segment is all the text of a window */
    struct decode *decode;
    struct ratio *ratio;
    char *text;          /* [TEXT_BYTES] */
    float *logits;       /* [vocabulary] */
    struct lane *lane;   /* [n_lanes] */
    struct ready *ready; /* [n_ready], part p at p % n_ready */
    int n_lanes;
    size_t n_ready;
    int16_t *rest; /* [CUT] samples after the last cut */
    struct decode_result taken;
    struct words *words; /* NULL: not asked for */
    struct words_list list;
    double spoken_s; /* where the last word given out ended, in the source */
    /* of the audio at hand */
    const struct batch_source *source;
    int64_t position; /* of the next part */
    int64_t n_rest;
    bool ended;                         /* the source, and nothing is left in rest */
    size_t n_parts, n_started, n_given; /* n_parts: what is planned; 0: not known */
    struct scribe_totals *totals;
};

int batch_open(struct arena *a, struct speech *s, const struct scribe_options *o,
               struct batch **out, struct err *e)
{
    struct batch *b = ARENA_NEW(a, struct batch, 1, e);
    if (!b) return -1;
    b->speech = s;
    b->o = *o;
    b->n_lanes = s->net.shape.windows;
    b->whole = !o->timestamps;
    b->o.timestamps = true; /* else the rest of a window whose text ends too soon is lost */
    if (b->n_lanes > 1) b->o.condition = false; /* what comes before is decoded at the same time */
    b->n_ready = (size_t)b->n_lanes * AHEAD;
    b->lane = ARENA_NEW(a, struct lane, (size_t)b->n_lanes, e);
    b->ready = ARENA_NEW(a, struct ready, b->n_ready, e);
    b->text = ARENA_NEW(a, char, TEXT_BYTES, e);
    b->rest = ARENA_NEW(a, int16_t, CUT, e);
    if (!b->lane || !b->ready || !b->text || !b->rest) return -1;
    for (int i = 0; i < b->n_lanes; i++) {
        b->lane[i].pcm = ARENA_NEW(a, int16_t, PART + CUT, e);
        if (!b->lane[i].pcm) return -1;
    }
    for (size_t i = 0; i < b->n_ready; i++) {
        b->ready[i].held = ARENA_NEW(a, struct held, HELD, e);
        if (!b->ready[i].held) return -1;
    }
    b->logits = ARENA_NEW(a, float, (size_t)s->net.config.vocab, e);
    if (!b->logits) return -1;
    TRY(decode_open(a, s, &o->decode, &b->decode, e));
    TRY(ratio_init(a, &b->ratio, e));
    *out = b;
    return o->word_times ? words_open(a, s, &o->words, &b->words, e) : 0;
}

/* The text before a window is what the user says it is, */
static void begin_text(const struct batch *b, struct lane *l)
{
    l->n_previous = 0;
    scribe_remember(l->previous, &l->n_previous, b->o.initial.token, b->o.initial.n);
}

/* until the windows have some of their own; where they do not see each other's, it stays. */
static void forget(const struct batch *b, struct lane *l)
{
    l->n_previous = 0;
    if (b->n_lanes > 1) begin_text(b, l);
}

/* ---- samples in ---- */

/* Where to cut n samples: in the middle of the quietest pause in the last `cut` of them, at most
 * CUT. */
static int64_t quiet_end(const int16_t *pcm, int64_t n, int64_t cut)
{
    enum { STEP = WHISPER_HOP, STEPS = PAUSE / STEP };
    int64_t loud[CUT / STEP], sum = 0, least = INT64_MAX, best = n, all = MIN(cut, n / 3) / STEP,
                              from = n - all * STEP;
    for (int64_t i = 0; i < all; i++) {
        const int16_t *p = pcm + from + i * STEP;
        loud[i] = 0;
        for (int k = 0; k < STEP; k++) loud[i] += p[k] * p[k];
        sum += loud[i] - (i >= STEPS ? loud[i - STEPS] : 0);
        if (i < STEPS - 1 || sum >= least) continue;
        least = sum;
        best = from + (i + 1) * STEP - PAUSE / 2;
    }
    return best;
}

/* Samples from the source, of which it says that they were 16 bits wide. Returns how many. */
static int64_t read_samples(struct batch *b, int16_t *out, int64_t n, struct err *e)
{
    float *pcm = b->speech->pcm; /* free: a window is encoded as soon as it is loaded */
    int64_t got = b->source->read(b->source->ctx, pcm, MIN(n, b->speech->net.samples), e);
    for (int64_t i = 0; i < got; i++) {
        float x = fminf(fmaxf(pcm[i] * 32768.0f, INT16_MIN), INT16_MAX);
        out[i] = (int16_t)lrintf(x);
    }
    return got;
}

static int64_t window_samples(const struct batch *b)
{
    return (int64_t)b->speech->net.frames * WHISPER_HOP;
}

/* How many parts n samples shall be: as many as there are lanes, or a multiple of that if they were
 * too long, but none much shorter than a window. 0: n is not known. */
static size_t count_parts(const struct batch *b, int64_t n_samples)
{
    if (n_samples < 0) return 0;
    int64_t least = window_samples(b) * 5 / 6, n = b->n_lanes; /* it ends at a pause */
    while (n_samples / n > PART) n += b->n_lanes;
    return (size_t)MAX(1, MIN(n, (n_samples + least - 1) / least));
}

/* Samples of the next part, at most: what is left, divided by the parts that are left, and then to
 * the end of the pauses searched. What is about a window is one. */
static int64_t most_of_part(const struct batch *b)
{
    int64_t left = b->source->n_samples - b->position, window = window_samples(b);
    if (b->n_started >= b->n_parts || left <= 0) return PART + CUT / 2;
    left /= (int64_t)(b->n_parts - b->n_started);
    if (b->n_started + 1 == b->n_parts) return MIN(left, PART) + CUT;
    return left <= window ? MIN(left + CUT / 2, window) : MIN(left, PART) + CUT / 2;
}

/* The next part into the lane: what the last cut left, then the source. There may be none. */
static int start_part(struct batch *b, struct lane *l, struct err *e)
{
    int64_t n = b->n_rest, most = MAX(most_of_part(b), n);
    memcpy(l->pcm, b->rest, (size_t)n * sizeof *l->pcm);
    while (n < most && !b->ended) {
        int64_t got = read_samples(b, l->pcm + n, most - n, e);
        if (got < 0) return -1;
        b->ended = got == 0;
        n += got;
    }
    l->start = b->position;
    l->n = b->ended ? n : quiet_end(l->pcm, n, CUT);
    b->n_rest = n - l->n;
    memcpy(b->rest, l->pcm + l->n, (size_t)b->n_rest * sizeof *l->pcm);
    b->position += l->n;
    if (l->n < WHISPER_HOP) return 0;
    l->busy = l->waits = true;
    l->part = b->n_started++;
    l->seek = l->tries = 0;
    l->brief = false;
    b->ready[l->part % b->n_ready].n = 0;
    b->ready[l->part % b->n_ready].ended = false;
    return 0;
}

/* Frames of the window at l->seek: all that is left, or up to a pause. */
static int64_t window_size(const struct batch *b, const struct lane *l)
{
    int64_t from = l->seek * WHISPER_HOP, left = l->n - from, most = window_samples(b);
    if (l->brief) most = most / BRIEF;
    if (left <= most) return left / WHISPER_HOP;
    return quiet_end(l->pcm + from, most, WINDOW_CUT) / WHISPER_HOP;
}

/* The window at l->seek into the model's input; silence after the part's end. */
static void load_window(struct batch *b, const struct lane *l)
{
    float *pcm = b->speech->pcm;
    int64_t room = b->speech->net.samples, from = l->seek * WHISPER_HOP - CONTEXT,
            skip = from < 0 ? CONTEXT : 0, n = MIN(room, l->n - from);
    for (int64_t i = skip; i < n; i++) pcm[i] = (float)l->pcm[from + i] / 32768.0f;
    for (int64_t i = n; i < room; i++) pcm[i] = 0;
    for (int64_t i = 0; i < skip; i++) pcm[i] = pcm[2 * CONTEXT - i];
}

/* ---- decoding ---- */

static void start_attempt(struct batch *b, struct lane *l)
{
    struct decode_prompt prompt;
    int step = l->ladder.step;
    int64_t at = l->start / WHISPER_HOP + l->seek;
    if (b->o.each) b->o.language = l->language;
    scribe_prompt(&b->speech->net.config, &b->o, l->previous, l->n_previous, at == 0, &prompt);
    decode_start(b->decode, (int)(l - b->lane), &prompt, b->o.window.temperature[step],
                 (uint64_t)at << 8 | (uint64_t)step);
}

/* To the lane's next window, if its part has one. */
static void move_on(struct batch *b, struct lane *l, int64_t advance)
{
    bool *ended = &b->ready[l->part % b->n_ready].ended;
    b->totals->windows++;
    l->tries = 0;
    l->seek += advance;
    *ended = l->n / WHISPER_HOP - l->seek < LEAST_REST;
    l->busy = l->waits = !*ended;
}

/* Encodes the lane's next window and begins to decode it, unless there is nothing to hear. Its mel
 * is measured against its own loudest. */
static int start_window(struct batch *b, struct lane *l, struct err *e)
{
    struct speech *s = b->speech;
    l->size = window_size(b, l);
    load_window(b, l);
    if (window_hushed(s->pcm + CONTEXT, l->size * WHISPER_HOP)) {
        move_on(b, l, l->size);
        return 0;
    }
    l->waits = false;
    l->ladder = (struct window_ladder){0};
    TRY(engine_run(s->prepared, s->net.tape_loud, e));
    *s->loudest_in = *s->loudest;
    *s->content = (int32_t)l->size;
    *s->slot = (int32_t)(l - b->lane);
    TRY(engine_run(s->prepared, s->net.tape_encode, e));
    if (b->o.each) {
        struct tongue heard;
        TRY(tongue_window(s, *s->slot, b->o.each, b->logits, &heard, e));
        l->language = heard.language;
    }
    start_attempt(b, l);
    return 0;
}

static struct str text_of(struct batch *b, const int *token, int n)
{
    struct strbuf text;
    strbuf_init(&text, b->text, TEXT_BYTES);
    bpe_text(b->speech->bpe, token, (size_t)n, b->speech->net.config.eot, &text);
    return (struct str){text.p, text.n};
}

/* A span that is a segment: it lasts, and something is said in it. */
static bool says(struct batch *b, const struct held *h, const struct window_span *s)
{
    const int *token = h->ladder.kept.token + s->from;
    return s->t0_s < s->t1_s && str_trim(text_of(b, token, s->to - s->from)).n > 0;
}

/* Where the next window begins: after what was said. A single timestamp at the end means that
 * nothing follows; but where all is speech, something does. */
static int64_t advance_of(const struct batch *b, const struct held *h, int64_t advance)
{
    int time0 = b->speech->net.config.time0;
    const struct decode_result *r = &h->ladder.kept;
    if (advance < h->size || r->n == 0 || !b->source->regions) return MAX(advance, 2);
    int64_t last = 2 * (int64_t)(r->token[r->n - 1] - time0);
    return last > 0 && h->size - last >= LEAST_MORE ? last : h->size;
}

/* Times of words have to be found while the window is in its slot. */
static int hear_words(struct batch *b, const struct lane *l, const struct window_span *span, int n,
                      struct words_heard *out, struct err *e)
{
    const struct net_whisper_config *c = &b->speech->net.config;
    struct decode_prompt sot;
    if (b->o.each) b->o.language = l->language;
    words_spaceless(b->words, net_language_spaceless(b->o.language));
    scribe_prompt(c, &b->o, l->previous, 0, false, &sot);
    return words_hear(b->words, (int)(l - b->lane), sot.token + sot.sot_at, c->multilingual ? 3 : 1,
                      l->ladder.kept.token, span, n, l->size, out, e);
}

/* The ladder has ended: the window's text is decided. */
static int end_window(struct batch *b, struct lane *l, struct err *e)
{
    struct ready *r = &b->ready[l->part % b->n_ready];
    struct held *h = &r->held[r->n];
    struct window_span span[DECODE_MOST];
    int64_t advance = l->size;
    bool brief = l->brief;
    l->brief = false;
    *h = (struct held){.ladder = l->ladder,
                       .start = l->start,
                       .seek = l->seek,
                       .size = l->size,
                       .language = l->language};
    h->silent = window_silent(&b->o.window, &l->ladder.kept);
    if (!h->silent) {
        int n = window_split(&l->ladder.kept, b->speech->net.config.time0, l->size, span, &advance);
        int thin = window_thin(span, n, l->size);
        if (b->source->regions && !brief && thin < n) { /* all is speech */
            advance = (int64_t)(span[thin].t0_s * FRAMES);
            l->brief = advance < LEAST_MORE;
            h->ladder.kept.n = span[thin].from;
            n = thin;
        }
        if (b->words && n > 0) TRY(hear_words(b, l, span, n, &h->heard, e));
        for (int i = 0; i < n; i++) {
            if (says(b, h, &span[i]))
                scribe_remember(l->previous, &l->n_previous, l->ladder.kept.token + span[i].from,
                                span[i].to - span[i].from);
        }
        if (n > 0) advance = advance_of(b, h, advance);
        if (!b->o.condition || l->ladder.kept_temperature > b->o.reset_above) forget(b, l);
    }
    b->totals->windows_again += l->ladder.step > 1;
    r->n++;
    move_on(b, l, advance);
    return 0;
}

/* Of a window, where each has its own. */
static int language_of(const struct batch *b, int own)
{
    return b->o.each ? own : b->o.language;
}

/* A decoding has ended: its window is decided, or goes up the ladder. */
static int end_attempt(struct batch *b, struct lane *l, struct err *e)
{
    TRY(decode_take(b->decode, (int)(l - b->lane), &b->taken, e));
    struct str said = str_trim(text_of(b, b->taken.token, b->taken.n));
    unsigned scripts = scribe_scripts(&b->o, language_of(b, l->language));
    if (window_climb(&l->ladder, &b->o.window, &b->taken, ratio_text(b->ratio, said.p, said.n),
                     script_foreign(said, scripts)))
        return end_window(b, l, e);
    start_attempt(b, l);
    return 0;
}

/* ---- text out ---- */

/* A time in the source -> a time in the audio. */
static double time_of(const struct batch *b, double t_s, bool is_end)
{
    const struct vad_regions *r = b->source->regions;
    return r && r->n ? vad_time_s(r, t_s, is_end) : t_s;
}

/* The words of a segment, in times of the audio: each wholly in the region its middle lies in, as
 * faster-whisper has it. The segment begins and ends with them. */
static void add_words(struct batch *b, const struct window_span *span, struct out_segment *segment)
{
    const struct vad_regions *r = b->source->regions;
    struct out_word *word = b->list.word + span->word;
    segment->word = word;
    segment->n_words = (size_t)span->n_words;
    for (size_t i = 0; r && r->n && i < segment->n_words; i++) {
        size_t region = vad_region_at(r, (word[i].t0_s + word[i].t1_s) / 2, false);
        word[i].t0_s = vad_original_s(r, region, word[i].t0_s);
        word[i].t1_s = vad_original_s(r, region, word[i].t1_s);
    }
    if (segment->n_words == 0 || !r) return;
    segment->t0_s = word[0].t0_s;
    segment->t1_s = word[segment->n_words - 1].t1_s;
}

static int give_segment(struct batch *b, const struct held *h, const struct window_span *span,
                        const struct scribe_events *ev, struct err *e)
{
    double from_s = (double)h->start / SECOND + (double)h->seek / FRAMES,
           length_s = (double)h->size / FRAMES,
           t0_s = time_of(b, from_s + fmin(span->t0_s, length_s), false),
           t1_s = time_of(b, from_s + fmin(span->t1_s, length_s), true);
    struct out_segment segment = {
        .id = ++b->totals->segments,
        .seek = (int64_t)(time_of(b, from_s, false) * FRAMES),
        .t0_s = t0_s,
        .t1_s = fmax(t0_s, t1_s),
        .token = h->ladder.kept.token + span->from,
        .n_tokens = (size_t)(span->to - span->from),
        .temperature = h->ladder.kept_temperature,
        .avg_logprob = h->ladder.kept.avg_logprob,
        .compression_ratio = h->ladder.kept_ratio,
        .no_speech_prob = h->ladder.kept.no_speech,
        .flags = window_flags(&b->o.window, &h->ladder),
        .language = b->o.each ? net_language_code(h->language) : NULL,
    };
    segment.text = text_of(b, segment.token, (int)segment.n_tokens);
    unsigned scripts = scribe_scripts(&b->o, language_of(b, h->language));
    if (script_foreign(segment.text, scripts)) segment.flags |= OUT_WRONG_SCRIPT;
    if (b->words) add_words(b, span, &segment);
    return ev->segment(ev->ctx, &segment, e);
}

static int give_segments(struct batch *b, const struct held *h, const struct scribe_events *ev,
                         struct err *e)
{
    struct window_span span[DECODE_MOST];
    int64_t advance;
    if (h->silent) return 0;
    int n = window_split(&h->ladder.kept, b->speech->net.config.time0, h->size, span, &advance);
    if (b->whole && n > 0) {
        span[0].to = span[n - 1].to;
        span[0].t1_s = span[n - 1].t1_s;
        n = 1;
    }
    if (b->words && n > 0) {
        double from_s = (double)h->start / SECOND + (double)h->seek / FRAMES;
        words_fit(b->words, &h->heard, h->ladder.kept.token, span, n, from_s, b->spoken_s,
                  &b->list);
        b->spoken_s = words_end(&b->list, span, n, from_s);
    }
    for (int i = 0; i < n; i++) {
        if (says(b, h, &span[i])) TRY(give_segment(b, h, &span[i], ev, e));
    }
    return 0;
}

/* What was said in a window, and how often it was decoded if that is more than once. */
static int give_window(struct batch *b, const struct held *h, const struct scribe_events *ev,
                       struct err *e)
{
    struct out_again again;
    TRY(give_segments(b, h, ev, e));
    if (h->ladder.step <= 1) return 0;
    double from_s = (double)h->start / SECOND + (double)h->seek / FRAMES;
    window_again(&b->o.window, &h->ladder, &again);
    again.t0_s = time_of(b, from_s, false);
    again.t1_s = time_of(b, from_s + (double)h->size / FRAMES, true);
    again.language = b->o.each ? net_language_code(h->language) : NULL;
    return ev->again(ev->ctx, &again, e);
}

/* Gives out what is decided, in order: of the first part all its windows so far, of the next ones
 * nothing before the first has ended. */
static int give_ready(struct batch *b, const struct scribe_events *ev, struct err *e)
{
    while (b->n_given < b->n_started) {
        struct ready *r = &b->ready[b->n_given % b->n_ready];
        for (int i = 0; i < r->n; i++) TRY(give_window(b, &r->held[i], ev, e));
        r->n = 0;
        if (!r->ended) return 0;
        b->n_given++;
    }
    return 0;
}

/* ---- the loop ---- */

/* Gives free lanes a part or the next window of theirs, takes one step, takes what has ended. */
static int turn(struct batch *b, struct err *e)
{
    bool any = false;
    for (int i = 0; i < b->n_lanes; i++) {
        struct lane *l = &b->lane[i];
        if (!l->busy && !b->ended && b->n_started - b->n_given < b->n_ready)
            TRY(start_part(b, l, e));
        if (l->busy && l->waits && b->ready[l->part % b->n_ready].n < HELD)
            TRY(start_window(b, l, e));
        any |= l->busy && !l->waits;
    }
    if (!any) return 0;
    TRY(decode_step(b->decode, e));
    for (int i = 0; i < b->n_lanes; i++) {
        struct lane *l = &b->lane[i];
        if (l->busy && !l->waits && decode_finished(b->decode, i)) TRY(end_attempt(b, l, e));
    }
    return 0;
}

/* After a failure: 0 if the device works again. The windows that lay on it begin anew; nothing of
 * them was given out. */
static int bring_back(struct batch *b, struct err *e)
{
    int tries = 0;
    for (int i = 0; i < b->n_lanes; i++) {
        struct lane *l = &b->lane[i];
        if (!l->busy || l->waits) continue;
        tries = MAX(tries, l->tries);
        l->tries++;
        l->waits = true;
    }
    decode_reset(b->decode);
    return speech_again(b->speech, tries, e);
}

/* Seconds of the source that are decided: what was begun, less what lanes have left. */
static double done_s(const struct batch *b)
{
    int64_t done = b->position;
    for (int i = 0; i < b->n_lanes; i++) {
        const struct lane *l = &b->lane[i];
        if (l->busy) done -= l->n - l->seek * WHISPER_HOP;
    }
    return (double)done / SECOND;
}

int batch_run(struct batch *b, const struct batch_source *source, const struct scribe_events *ev,
              struct scribe_totals *totals, struct err *e)
{
    b->source = source;
    b->n_parts = count_parts(b, source->n_samples);
    b->totals = totals;
    b->position = b->n_rest = 0;
    b->ended = false;
    b->n_started = b->n_given = 0;
    b->spoken_s = 0;
    for (int i = 0; i < b->n_lanes; i++) {
        b->lane[i].busy = b->lane[i].waits = false;
        begin_text(b, &b->lane[i]);
    }
    decode_reset(b->decode);
    uint64_t before = arena_system_calls();
    int failures = b->speech->failures;
    while (!b->ended || b->n_given < b->n_started) {
        if (ev->cancelled(ev->ctx))
            return err_set(e, E_CANCELLED, "stopped after %zu part%s", b->n_given,
                           str_s((int64_t)b->n_given));
        if (turn(b, e)) TRY(bring_back(b, e));
        TRY(give_ready(b, ev, e));
        double done = done_s(b);
        ev->progress(ev->ctx, "transcribing", done, (double)source->n_samples / SECOND);
        totals->audio_s = time_of(b, done, true);
    }
    totals->audio_s = (double)b->position / SECOND;
    /* after prepare nothing of ours allocates */
    assert(arena_system_calls() == before || b->speech->failures > failures);
    return 0;
}

static int64_t read_audio(void *ctx, float *dst, int64_t n, struct err *e)
{
    return audio_read(ctx, dst, n, e);
}

int batch_audio(struct batch *b, struct audio *audio, const struct vad_regions *regions,
                int64_t n_samples, const struct scribe_events *ev, struct scribe_totals *totals,
                struct err *e)
{
    struct vad_joined joined = {.audio = audio, .regions = regions};
    struct audio_info info;
    audio_info(audio, &info);
    struct batch_source whole = {audio, read_audio, info.n_samples, NULL};
    if (!regions) return batch_run(b, &whole, ev, totals, e);
    struct batch_source speech = {&joined, vad_joined_read, vad_samples(regions), regions};
    int rc = batch_run(b, &speech, ev, totals, e);
    if (rc == 0) totals->audio_s = (double)n_samples / WHISPER_RATE_HZ;
    return rc;
}

void batch_language(struct batch *b, int language)
{
    b->o.language = language;
}
