#include "jobs/window.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define THIN_S 8

int window_read_ladder(const char *list, double increment, struct window_options *s, struct err *e)
{
    const char *p = list;
    while (*p) {
        char word[32];
        size_t n = strcspn(p, ",");
        double t;
        snprintf(word, sizeof word, "%.*s", (int)MIN(n, sizeof word - 1), p);
        if (!str_double(word, &t) || t < 0 || t > 2)
            return err_set(e, E_USAGE, "--temperature: \"%s\" is not a number from 0 to 2", word);
        if (s->n_temperatures == WINDOW_TEMPERATURES)
            return err_set(e, E_USAGE, "--temperature: more than %d steps", WINDOW_TEMPERATURES);
        s->temperature[s->n_temperatures++] = t;
        p += n + (p[n] == ',');
    }
    if (s->n_temperatures == 0) return err_set(e, E_USAGE, "--temperature: the list is empty");
    if (increment > 0) {
        s->n_temperatures = 1;
        for (int i = 1; s->temperature[0] + i * increment <= 1 + 1e-6; i++) {
            if (i == WINDOW_TEMPERATURES)
                return err_set(e, E_USAGE,
                               "--temperature-increment-on-fallback: %g makes more than %d steps",
                               increment, WINDOW_TEMPERATURES);
            s->temperature[s->n_temperatures++] = s->temperature[0] + i * increment;
        }
    }
    return 0;
}

/* Why the text cannot be trusted, as OUT_WHY bits. Comparisons with NAN are false, so a threshold
 * that is off never speaks. */
static unsigned distrust(const struct window_options *o, const struct decode_result *r,
                         double compression_ratio, bool wrong_script)
{
    return (r->loop && !isnan(o->compression_ratio) ? OUT_WHY_LOOP : 0u) |
           (compression_ratio > o->compression_ratio ? OUT_WHY_RATIO : 0u) |
           (r->avg_logprob < o->logprob ? OUT_WHY_LOGPROB : 0u) |
           (wrong_script ? OUT_WHY_SCRIPT : 0u);
}

bool window_climb(struct window_ladder *l, const struct window_options *o,
                  const struct decode_result *r, double compression_ratio, bool wrong_script)
{
    unsigned why = distrust(o, r, compression_ratio, wrong_script);
    if (r->no_speech > o->no_speech && why & OUT_WHY_LOGPROB) why = 0; /* silence is not an error */
    /* When all fail the likeliest is kept, of those with the least fault. */
    int fault = (why & (OUT_WHY_LOOP | OUT_WHY_RATIO) ? 2 : 0) + (why & OUT_WHY_SCRIPT ? 1 : 0);
    bool better = !l->any || fault < l->kept_fault ||
                  (fault == l->kept_fault && r->avg_logprob > l->kept.avg_logprob);
    if (!why || better) {
        l->kept = *r;
        l->kept_ratio = compression_ratio;
        l->kept_fault = fault;
        l->any = true;
    }
    l->kept_temperature =
        o->temperature[l->step]; /* the last one tried, so that a text nobody trusts is no prompt */
    l->tried[l->step++] =
        (struct out_try){l->kept_temperature, compression_ratio, r->avg_logprob, r->no_speech, why};
    return !why || l->step == o->n_temperatures;
}

void window_again(const struct window_options *o, const struct window_ladder *l,
                  struct out_again *out)
{
    *out = (struct out_again){.n_tries = l->step, .silent = window_silent(o, &l->kept)};
    memcpy(out->tried, l->tried, (size_t)l->step * sizeof *l->tried);
}

bool window_hushed(const float *pcm, int64_t n)
{
    int64_t i = 0;
    while (i < n && fabsf(pcm[i]) <= 0x1p-15f) i++;
    return i == n;
}

bool window_silent(const struct window_options *o, const struct decode_result *r)
{
    return r->no_speech > o->no_speech && !(r->avg_logprob > o->logprob);
}

unsigned window_flags(const struct window_options *o, const struct window_ladder *l)
{
    const struct decode_result *r = &l->kept;
    return (r->loop || l->kept_ratio > o->compression_ratio ? OUT_REPETITION : 0u) |
           (r->no_speech > o->no_speech ? OUT_OVER_SILENCE : 0u) |
           (r->avg_logprob < o->logprob ? OUT_LOW_CONFIDENCE : 0u);
}

bool window_ends(const struct decode_result *r, int time0)
{
    return r->n >= 2 && r->token[r->n - 2] < time0 && r->token[r->n - 1] >= time0;
}

/* The n spans without the tokens of a loop. */
static int without_loop(const struct decode_result *r, struct window_span *span, int n)
{
    int end = r->n - r->loop;
    while (r->loop && n > 0 && span[n - 1].from >= end) n--;
    if (n > 0) span[n - 1].to = MIN(span[n - 1].to, end);
    return n;
}

/* A window without a pair of timestamps: one span, to its last timestamp if it has one, else to its
 * end. */
static int one_span(const struct decode_result *r, int time0, int64_t size,
                    struct window_span *span)
{
    double length_s = (double)size * 0.01;
    for (int i = r->n - 1; i >= 0; i--) {
        if (r->token[i] < time0) continue;
        if (r->token[i] != time0) length_s = (r->token[i] - time0) * WHISPER_TIME_STEP_S;
        break;
    }
    span[0] = (struct window_span){0, r->n, 0, length_s, 0, 0};
    return 1;
}

int window_split(const struct decode_result *r, int time0, int64_t size, struct window_span *span,
                 int64_t *advance)
{
    int n = 0, from = 0;
    const int *t = r->token;
    bool single_end = window_ends(r, time0);
    for (int i = 1; i <= r->n; i++) {
        bool pair = i < r->n && t[i] >= time0 && t[i - 1] >= time0;
        if (!pair && !(i == r->n && single_end && n > 0)) continue;
        span[n++] = (struct window_span){from,
                                         i,
                                         (t[from] - time0) * WHISPER_TIME_STEP_S,
                                         (t[i - 1] - time0) * WHISPER_TIME_STEP_S,
                                         0,
                                         0};
        from = i;
    }
    *advance = size;
    if (n == 0) return without_loop(r, span, one_span(r, time0, size, span));
    if (single_end) return without_loop(r, span, n);
    *advance = (int64_t)(t[from - 1] - time0) * 2; /* the unfinished rest is decoded again */
    return without_loop(r, span, n);
}

int window_thin(const struct window_span *span, int n, int64_t size)
{
    for (int i = 0; i < n; i++) {
        double length_s = fmin(span[i].t1_s, (double)size * 0.01) - span[i].t0_s;
        if (length_s >= THIN_S && span[i].to - span[i].from < length_s) return i;
    }
    return n;
}
