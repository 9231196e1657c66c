#include "jobs/batch.h"
#include "jobs/ratio.h"
#include <math.h>
#include <string.h>

#define CONTEXT    200 /* samples before the first frame's hop: half a Fourier window */
#define TEXT_BYTES (64 << 10)
#define AHEAD                                                                                 \
    4 /* windows done and not yet given out, in multiples of those decoded together: one that \
         climbs holds up no more */

struct slot {   /* a window being decoded */
    int window; /* -1: free */
    struct window_ladder ladder;
};

struct ready { /* a window whose text is decided */
    bool filled;
    struct window_ladder ladder;
};

struct batch {
    struct speech *speech;
    struct scribe_options o;
    struct decode *decode;
    struct ratio *ratio;
    struct decode_prompt prompt; /* the same for all */
    char *text;                  /* [TEXT_BYTES] */
    struct slot *slot;           /* [n_slots] */
    struct ready *ready;         /* [n_ready], window w at w % n_ready */
    int n_slots, n_ready;
    struct decode_result taken;
    /* of the audio at hand */
    struct audio *audio;
    const struct batch_cut *cut;
    int64_t position; /* samples read */
    int n_started, n_given;
};

int batch_cut_evenly(struct arena *a, int64_t n, int64_t length, struct batch_cut *out,
                     struct err *e)
{
    size_t count = (size_t)((n + length - 1) / length);
    struct batch_piece *piece = ARENA_NEW(a, struct batch_piece, count, e);
    struct batch_window *window = ARENA_NEW(a, struct batch_window, count, e);
    if (!piece || !window) return -1;
    for (size_t i = 0; i < count; i++) {
        piece[i] = (struct batch_piece){(int64_t)i * length, MIN(n, ((int64_t)i + 1) * length)};
        window[i] = (struct batch_window){(int)i, 1};
    }
    *out = (struct batch_cut){piece, window, (int)count};
    return 0;
}

int batch_open(struct arena *a, struct speech *s, const struct scribe_options *o,
               struct batch **out, struct err *e)
{
    struct batch *b = ARENA_NEW(a, struct batch, 1, e);
    if (!b) return -1;
    b->speech = s;
    b->o = *o;
    b->n_slots = s->net.shape.windows;
    b->n_ready = b->n_slots * AHEAD;
    b->slot = ARENA_NEW(a, struct slot, (size_t)b->n_slots, e);
    b->ready = ARENA_NEW(a, struct ready, (size_t)b->n_ready, e);
    b->text = ARENA_NEW(a, char, TEXT_BYTES, e);
    if (!b->slot || !b->ready || !b->text) return -1;
    TRY(decode_open(a, s, &o->decode, &b->decode, e));
    TRY(ratio_init(a, &b->ratio, e));
    scribe_prompt(&s->net.config, o, NULL, 0, &b->prompt);
    *out = b;
    return 0;
}

/* n samples from `from` on, which is not before what was read. What lies between is read over. */
static int read_piece(struct batch *b, int64_t from, float *out, int64_t n, struct err *e)
{
    int64_t skip = from - b->position;
    assert(skip >= 0);
    while (skip + n > 0) { /* what is skipped goes where the piece will lie */
        int64_t got = audio_read(b->audio, out, skip > 0 ? MIN(skip, n) : n, e);
        if (got < 0) return -1;
        if (got == 0)
            return err_set(e, E_INPUT, "the audio ends at sample %lld on its second reading",
                           (long long)b->position);
        b->position += got;
        if (skip > 0)
            skip -= got;
        else
            out += got, n -= got;
    }
    return 0;
}

/* Pieces of a window, one after the other, into the model's input; silence after them. Returns
 * samples, or -1. */
static int64_t load_window(struct batch *b, int window, struct err *e)
{
    float *pcm = b->speech->pcm;
    int64_t room = b->speech->net.samples, at = CONTEXT;
    const struct batch_window *w = &b->cut->window[window];
    for (int i = w->first; i < w->first + w->n; i++) {
        int64_t n = b->cut->piece[i].to - b->cut->piece[i].from;
        assert(n >= 0 && at + n <= room);
        TRY(read_piece(b, b->cut->piece[i].from, pcm + at, n, e));
        at += n;
    }
    memset(pcm + at, 0, (size_t)(room - at) * sizeof *pcm);
    for (int i = 0; i < CONTEXT; i++) pcm[i] = pcm[2 * CONTEXT - i];
    return at - CONTEXT;
}

/* Encodes the next window into a free slot and begins to decode it. Its mel is measured against its
 * own loudest. */
static int start_window(struct batch *b, int slot, struct err *e)
{
    struct speech *s = b->speech;
    int window = b->n_started++;
    int64_t samples = load_window(b, window, e);
    if (samples < 0) return -1;
    TRY(engine_run(s->prepared, s->net.tape_loud, e));
    *s->loudest_in = *s->loudest;
    *s->content = (int32_t)MIN(samples / WHISPER_HOP, s->net.frames);
    *s->slot = slot;
    TRY(engine_run(s->prepared, s->net.tape_encode, e));
    b->slot[slot] = (struct slot){.window = window};
    decode_start(b->decode, slot, &b->prompt, b->o.window.temperature[0], (uint64_t)window << 8);
    return 0;
}

/* A slot's decoding has ended: its window is decided, or goes up the ladder. */
static int end_attempt(struct batch *b, int slot, struct err *e)
{
    struct slot *s = &b->slot[slot];
    struct strbuf text;
    TRY(decode_take(b->decode, slot, &b->taken, e));
    strbuf_init(&text, b->text, TEXT_BYTES);
    bpe_text(b->speech->bpe, b->taken.token, (size_t)b->taken.n, b->speech->net.config.eot, &text);
    struct str said = str_trim((struct str){text.p, text.n});
    if (!window_climb(&s->ladder, &b->o.window, &b->taken, ratio_text(b->ratio, said.p, said.n))) {
        int step = s->ladder.step;
        decode_start(b->decode, slot, &b->prompt, b->o.window.temperature[step],
                     (uint64_t)s->window << 8 | (uint64_t)step);
        return 0;
    }
    b->ready[s->window % b->n_ready] = (struct ready){true, s->ladder};
    s->window = -1;
    return 0;
}

/* A time within a window's pieces -> a time in the audio. The end of a segment belongs to the piece
 * it closes. */
static double time_of(const struct batch *b, const struct batch_window *w, double t_s, bool is_end)
{
    double before_s = 0;
    for (int i = w->first;; i++) {
        const struct batch_piece *p = &b->cut->piece[i];
        double length_s = (double)(p->to - p->from) / WHISPER_RATE_HZ, in_s = t_s - before_s;
        bool here = is_end ? in_s <= length_s + 1e-9 : in_s < length_s;
        if (here || i == w->first + w->n - 1)
            return (double)p->from / WHISPER_RATE_HZ + fmin(in_s, length_s);
        before_s += length_s;
    }
}

static int64_t samples_of(const struct batch *b, const struct batch_window *w)
{
    int64_t n = 0;
    for (int i = w->first; i < w->first + w->n; i++)
        n += b->cut->piece[i].to - b->cut->piece[i].from;
    return n;
}

static int give_window(struct batch *b, const struct window_ladder *l,
                       const struct scribe_events *ev, struct scribe_totals *totals, struct err *e)
{
    const struct batch_window *w = &b->cut->window[b->n_given];
    struct window_span span[DECODE_MOST];
    int64_t advance, size = MIN(samples_of(b, w) / WHISPER_HOP, b->speech->net.frames);
    totals->windows++;
    totals->windows_again += l->step > 1;
    if (window_silent(&b->o.window, &l->kept)) return 0;
    int n = window_split(&l->kept, b->speech->net.config.time0, size, true, span, &advance);
    for (int i = 0; i < n; i++) {
        double t0_s = time_of(b, w, span[i].t0_s, false), t1_s = time_of(b, w, span[i].t1_s, true);
        struct out_segment segment = {
            .seek = b->cut->piece[w->first].from / WHISPER_HOP,
            .t0_s = t0_s,
            .t1_s = fmax(t0_s, t1_s),
            .token = l->kept.token + span[i].from,
            .n_tokens = (size_t)(span[i].to - span[i].from),
            .temperature = l->kept_temperature,
            .avg_logprob = l->kept.avg_logprob,
            .compression_ratio = l->kept_ratio,
            .no_speech_prob = l->kept.no_speech,
        };
        struct strbuf text;
        strbuf_init(&text, b->text, TEXT_BYTES);
        bpe_text(b->speech->bpe, segment.token, segment.n_tokens, b->speech->net.config.eot, &text);
        segment.text = (struct str){text.p, text.n};
        if (str_trim(segment.text).n == 0) continue;
        segment.id = ++totals->segments;
        TRY(ev->segment(ev->ctx, &segment, e));
    }
    return 0;
}

/* Gives out every window that is ready and whose predecessors are. */
static int give_ready(struct batch *b, const struct scribe_events *ev, struct scribe_totals *totals,
                      struct err *e)
{
    while (b->n_given < b->n_started && b->ready[b->n_given % b->n_ready].filled) {
        struct ready *r = &b->ready[b->n_given % b->n_ready];
        TRY(give_window(b, &r->ladder, ev, totals, e));
        r->filled = false;
        b->n_given++;
    }
    return 0;
}

/* Fills free slots, takes one step, takes what has ended. */
static int turn(struct batch *b, struct err *e)
{
    for (int i = 0; i < b->n_slots; i++) {
        bool more = b->n_started < b->cut->n_windows && b->n_started - b->n_given < b->n_ready;
        if (b->slot[i].window < 0 && more) TRY(start_window(b, i, e));
    }
    TRY(decode_step(b->decode, e));
    for (int i = 0; i < b->n_slots; i++) {
        if (b->slot[i].window >= 0 && decode_finished(b->decode, i)) TRY(end_attempt(b, i, e));
    }
    return 0;
}

int batch_run(struct batch *b, struct audio *audio, const struct batch_cut *cut,
              const struct scribe_events *ev, struct scribe_totals *totals, struct err *e)
{
    b->audio = audio;
    b->cut = cut;
    b->position = b->n_started = b->n_given = 0;
    for (int i = 0; i < b->n_slots; i++) b->slot[i].window = -1;
    for (int i = 0; i < b->n_ready; i++) b->ready[i].filled = false;
    decode_reset(b->decode);
    uint64_t before = arena_system_calls();
    while (b->n_given < cut->n_windows) {
        if (ev->cancelled(ev->ctx))
            return err_set(e, E_CANCELLED, "stopped after %d of %d windows", b->n_given,
                           cut->n_windows);
        TRY(turn(b, e));
        TRY(give_ready(b, ev, totals, e));
        ev->progress(ev->ctx, "transcribing", b->n_given, cut->n_windows);
    }
    assert(arena_system_calls() == before); /* after prepare nothing of ours allocates */
    return 0;
}
