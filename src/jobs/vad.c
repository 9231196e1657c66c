/* See vad.h.
 *
 *   source -> blocks [up to 128][64 + 512] -> net_silero -> probabilities -> vad_cut -> regions */
#include "jobs/vad.h"
#include <math.h>
#include <string.h>

/* Blocks of one run: 4 s. The products are as fast as with more, and all values of a run stay
 * within a core's second cache or little above. */
#define BLOCKS 128
/* Fewer are multiplied another way, with other roundings: the last run gets idle ones. */
#define LEAST_BLOCKS 8

/* 98 ms (vad.py): a silence after which a region that is too long may be cut */
#define CUT_SILENCE (SILERO_RATE_HZ * 98 / 1000)

/* ---- probabilities ---- */

static int prepare(struct arena *a, const struct load_weights *w, const struct engine_options *o,
                   struct vad *v, struct err *e)
{
    struct engine_options own = *o;
    struct plan *plan;
    own.device = "cpu";
    TRY(engine_open(a, &own, &v->engine, e));
    TRY(net_silero_plan(a, w, BLOCKS, &plan, &v->net, e));
    return engine_prepare(v->engine, a, plan, NULL, NULL, &v->prepared, e);
}

int vad_open(struct arena *a, const char *path, const struct engine_options *o, struct vad **out,
             struct err *e)
{
    struct load_weights w;
    struct vad *v = ARENA_NEW(a, struct vad, 1, e);
    if (!v) return -1;
    if (path) TRY(load_open(a, path, &w, e));
    int result = prepare(a, path ? &w : NULL, o, v, e);
    if (path) load_close(&w); /* prepare has packed what it needs */
    if (result) {
        err_note(e, "voice activity, %s", path ? path : "test weights");
        vad_close(&v);
        return -1;
    }
    *out = v;
    return 0;
}

void vad_close(struct vad **v)
{
    if (!*v) return;
    engine_release(&(*v)->prepared);
    engine_close(&(*v)->engine);
    *v = NULL;
}

static int64_t read_audio(void *ctx, float *dst, int64_t n, struct err *e)
{
    return audio_read(ctx, dst, n, e);
}

struct vad_source vad_audio(struct audio *audio)
{
    return (struct vad_source){audio, read_audio};
}

/* One block; *n: its samples, fewer than a whole block at the end of the audio. */
static int read_block(struct vad_source source, float *dst, int64_t *n, struct err *e)
{
    *n = 0;
    while (*n < SILERO_BLOCK) {
        int64_t got = source.read(source.ctx, dst + *n, SILERO_BLOCK - *n, e);
        if (got < 0) return -1;
        if (got == 0) break;
        *n += got;
    }
    memset(dst + *n, 0, (size_t)(SILERO_BLOCK - *n) * sizeof *dst);
    return 0;
}

int vad_listen(struct vad *v, struct vad_source source, struct vad_taker taker, int64_t *n_samples,
               struct err *e)
{
    enum { LINE = SILERO_CONTEXT + SILERO_BLOCK };
    float *samples = engine_host(v->prepared, v->net.samples), context[SILERO_CONTEXT] = {0};
    const float *probability = engine_host(v->prepared, v->net.probability);
    int32_t *start = engine_host(v->prepared, v->net.start),
            *n_blocks = engine_host(v->prepared, v->net.n_blocks);
    bool ended = false;
    *n_samples = 0;
    for (*start = 1; !ended; *start = 0) {
        for (*n_blocks = 0; *n_blocks < v->net.most && !ended; ++*n_blocks) {
            float *line = samples + *n_blocks * LINE;
            int64_t got;
            memcpy(line, context, sizeof context);
            TRY(read_block(source, line + SILERO_CONTEXT, &got, e));
            *n_samples += got;
            ended = got < SILERO_BLOCK;
            float *last = line + LINE - SILERO_CONTEXT;
            if (ended) memset(last, 0, sizeof context);
            memcpy(context, last, sizeof context);
        }
        int heard = *n_blocks;
        for (; *n_blocks < LEAST_BLOCKS; ++*n_blocks)
            memset(samples + *n_blocks * LINE, 0, LINE * sizeof *samples);
        TRY(engine_run(v->prepared, v->net.tape, e));
        for (int i = 0; i < heard; i++) TRY(taker.take(taker.ctx, probability[i], e));
    }
    return 0;
}

/* ---- regions ---- */

static int64_t of_ms(int ms)
{
    return (int64_t)ms * SILERO_RATE_HZ / 1000;
}

void vad_cut_begin(struct vad_cut *c, struct arena *a, const struct vad_options *o,
                   struct vad_regions *out)
{
    double neg = o->neg_threshold < 0 ? fmax(o->threshold - 0.15, 0.01) : o->neg_threshold;
    *out = (struct vad_regions){.pad = of_ms(o->pad_ms)};
    *c = (struct vad_cut){.a = a,
                          .regions = out,
                          .threshold = (float)o->threshold,
                          .neg_threshold = (float)neg,
                          .min_speech = of_ms(o->min_speech_ms),
                          .min_silence = of_ms(o->min_silence_ms),
                          .pad = out->pad};
    c->max_speech = SILERO_RATE_HZ * o->max_speech_s - SILERO_BLOCK - 2 * (double)c->pad;
}

static int add(struct vad_cut *c, int64_t end, struct err *e)
{
    struct vad_regions *r = c->regions;
    if (r->n == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        if (room > VAD_REGIONS_MAX)
            return err_set(e, E_INPUT, "more than %d regions of speech", VAD_REGIONS_MAX);
        struct vad_region *at = ARENA_NEW(c->a, struct vad_region, room, e);
        if (!at) return -1;
        if (r->n) memcpy(at, r->at, r->n * sizeof *at);
        r->at = at;
        r->room = room;
    }
    r->at[r->n++] = (struct vad_region){.start = c->start, .end = end};
    return 0;
}

/* Forgets the region that was open and what was known of its silences. */
static void shut(struct vad_cut *c)
{
    c->open = false;
    c->silence = c->last_silence = c->resumed = 0;
}

/* A region that has become too long ends at its last silence, or here. What follows that silence is
 * the next region, unless it is silence up to here. True: the block has been dealt with. */
static int cut_long(struct vad_cut *c, bool *done, struct err *e)
{
    int64_t silence = c->last_silence, resumed = c->resumed;
    *done = silence == 0;
    TRY(add(c, silence ? silence : c->at, e));
    shut(c);
    if (silence && resumed >= silence) {
        c->open = true;
        c->start = resumed;
    }
    return 0;
}

static int take(struct vad_cut *c, float p, struct err *e)
{
    bool speech = p >= c->threshold, done = false;
    if (speech && c->silence) {
        c->silence = 0;
        if (c->resumed < c->last_silence) c->resumed = c->at;
    }
    if (speech && !c->open) {
        c->open = true;
        c->start = c->at;
        return 0;
    }
    if (c->open && (double)(c->at - c->start) > c->max_speech) TRY(cut_long(c, &done, e));
    if (done || !c->open || !(p < c->neg_threshold)) return 0;
    if (!c->silence) c->silence = c->at;
    if (c->at - c->silence > CUT_SILENCE) c->last_silence = c->silence;
    if (c->at - c->silence < c->min_silence) return 0;
    if (c->silence - c->start > c->min_speech) TRY(add(c, c->silence, e));
    shut(c);
    return 0;
}

int vad_cut_take(struct vad_cut *c, float probability, struct err *e)
{
    TRY(take(c, probability, e));
    c->at += SILERO_BLOCK;
    return 0;
}

int vad_cut_end(struct vad_cut *c, int64_t n_samples, struct err *e)
{
    struct vad_regions *r = c->regions;
    if (c->open && n_samples - c->start > c->min_speech) TRY(add(c, n_samples, e));
    shut(c);
    for (size_t i = 0; i < r->n; i++) {
        struct vad_region *now = &r->at[i], *next = i + 1 < r->n ? now + 1 : NULL;
        if (i == 0) now->start = MAX(0, now->start - c->pad);
        int64_t gap = next ? next->start - now->end : INT64_MAX;
        if (gap / 2 < c->pad) { /* two neighbours share a gap that is too small for both */
            now->end += gap / 2;
            next->start -= gap / 2;
        } else {
            now->end = MIN(n_samples, now->end + c->pad);
            if (next) next->start = MAX(0, next->start - c->pad);
        }
    }
    for (size_t i = 1; i < r->n; i++)
        r->at[i].before = r->at[i - 1].before + r->at[i - 1].end - r->at[i - 1].start;
    return 0;
}

static int take_probability(void *ctx, float probability, struct err *e)
{
    return vad_cut_take(ctx, probability, e);
}

int vad_regions(struct arena *a, struct vad *v, struct vad_source source,
                const struct vad_options *o, struct vad_regions *out, int64_t *n_samples,
                struct err *e)
{
    struct vad_cut cut;
    vad_cut_begin(&cut, a, o, out);
    struct vad_taker taker = {&cut, take_probability};
    TRY(vad_listen(v, source, taker, n_samples, e));
    return vad_cut_end(&cut, *n_samples, e);
}

/* ---- what is left, and back to the audio ---- */

int64_t vad_samples(const struct vad_regions *r)
{
    if (r->n == 0) return 0;
    const struct vad_region *last = &r->at[r->n - 1];
    return last->before + last->end - last->start;
}

int64_t vad_joined_read(void *ctx, float *dst, int64_t n, struct err *e)
{
    struct vad_joined *v = ctx;
    const struct vad_regions *r = v->regions;
    while (v->region < r->n && v->position == r->at[v->region].end) v->region++;
    if (v->region == r->n) return 0;
    const struct vad_region *now = &r->at[v->region];
    while (true) { /* what is skipped goes where the samples will lie */
        int64_t skip = now->start - v->position,
                most = MIN(n, skip > 0 ? skip : now->end - v->position),
                got = audio_read(v->audio, dst, most, e);
        if (got < 0) return -1;
        if (got == 0)
            return err_set(e, E_INPUT, "the audio ends at sample %lld on its second reading",
                           (long long)v->position);
        v->position += got;
        if (skip <= 0) return got;
    }
}

size_t vad_region_at(const struct vad_regions *r, double speech_s, bool is_end)
{
    int64_t sample = (int64_t)(speech_s * SILERO_RATE_HZ);
    size_t low = 0,
           high = r->n - 1; /* the first whose end is after it, or, of an end, not before */
    assert(r->n > 0);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct vad_region *at = &r->at[middle];
        int64_t end = at->before + at->end - at->start;
        if (is_end ? end >= sample : end > sample)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

double vad_original_s(const struct vad_regions *r, size_t region, double speech_s)
{
    assert(region < r->n);
    const struct vad_region *at = &r->at[region];
    return speech_s + (double)(at->start - at->before) / SILERO_RATE_HZ;
}

double vad_time_s(const struct vad_regions *r, double speech_s, bool is_end)
{
    size_t i = vad_region_at(r, speech_s, is_end);
    const struct vad_region *at = &r->at[i];
    double t_s = vad_original_s(r, i, speech_s), sample = t_s * SILERO_RATE_HZ;
    if (is_end && i > 0 && at[-1].end < at->start && sample < (double)(at->start + r->pad))
        return (double)at[-1].end / SILERO_RATE_HZ;
    if (!is_end && i + 1 < r->n && at->end < at[1].start && sample > (double)(at->end - r->pad))
        return (double)at[1].start / SILERO_RATE_HZ;
    return t_s;
}
