#include "jobs/window.h"

/* Comparisons with NAN are false, so a threshold that is off never speaks. */
static bool untrusted(const struct window_options *o, const struct decode_result *r, bool repeats)
{
    bool unlikely = r->avg_logprob < o->logprob;
    if (r->no_speech > o->no_speech && unlikely) return false; /* silence is not an error */
    return repeats || unlikely;
}

bool window_climb(struct window_ladder *l, const struct window_options *o,
                  const struct decode_result *r, double compression_ratio)
{
    bool repeats = compression_ratio > o->compression_ratio, accepted = !untrusted(o, r, repeats);
    /* When all fail the likeliest is kept, of those that do not repeat themselves if there are any.
     */
    bool better = !l->any || (l->kept_repeats && !repeats) ||
                  (l->kept_repeats == repeats && r->avg_logprob > l->kept.avg_logprob);
    if (accepted || better) {
        l->kept = *r;
        l->kept_ratio = compression_ratio;
        l->kept_repeats = repeats;
        l->any = true;
    }
    l->kept_temperature =
        o->temperature[l->step]; /* the last one tried, so that a text nobody trusts is no prompt */
    l->step++;
    return accepted || l->step == o->n_temperatures;
}

bool window_silent(const struct window_options *o, const struct decode_result *r)
{
    return r->no_speech > o->no_speech && !(r->avg_logprob > o->logprob);
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
    span[0] = (struct window_span){0, r->n, 0, length_s};
    return 1;
}

int window_split(const struct decode_result *r, int time0, int64_t size, bool whole,
                 struct window_span *span, int64_t *advance)
{
    int n = 0, from = 0;
    const int *t = r->token;
    bool single_end = r->n >= 2 && t[r->n - 2] < time0 && t[r->n - 1] >= time0;
    for (int i = 1; i <= r->n; i++) {
        bool pair = i < r->n && t[i] >= time0 && t[i - 1] >= time0;
        if (!pair && !(i == r->n && single_end && n > 0)) continue;
        span[n++] = (struct window_span){from, i, (t[from] - time0) * WHISPER_TIME_STEP_S,
                                         (t[i - 1] - time0) * WHISPER_TIME_STEP_S};
        from = i;
    }
    *advance = size;
    if (n == 0) return one_span(r, time0, size, span);
    if (single_end) return n;
    if (whole) {
        if (from < r->n)
            span[n] = (struct window_span){from, r->n, (t[from] - time0) * WHISPER_TIME_STEP_S,
                                           (double)size * 0.01},
            n++;
    } else {
        *advance = (int64_t)(t[from - 1] - time0) * 2; /* the unfinished rest is decoded again */
    }
    return n;
}
