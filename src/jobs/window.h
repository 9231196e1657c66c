/* What the tokens of a decoded window are worth: whether they can be trusted, which attempt up the
 * ladder of temperatures is kept, and where their segments begin and end. Pure functions; the
 * sequential and the batched way share them. */
#ifndef JOBS_WINDOW_H
#define JOBS_WINDOW_H

#include "jobs/decode.h"

#define WINDOW_TEMPERATURES 16

struct window_options {
    double temperature[WINDOW_TEMPERATURES]; /* the ladder, tried in order */
    int n_temperatures;
    double
        compression_ratio; /* above: not trusted (repetitive). These three thresholds: NAN is off */
    double logprob;        /* below: not trusted */
    double no_speech;      /* above, and the text below `logprob`: silence */
};

struct window_ladder {         /* of one window; zero at first */
    int step;                  /* the next attempt is at temperature[step] */
    struct decode_result kept; /* the best attempt so far, or the accepted one */
    double kept_ratio, kept_temperature;
    bool any, kept_repeats;
};

/* window_climb: takes an attempt at temperature[ladder->step]. True when the ladder ends:
 * ladder->kept, kept_ratio and kept_temperature are the window's then. False: try again at the next
 * step. */
bool window_climb(struct window_ladder *ladder, const struct window_options *o,
                  const struct decode_result *r, double compression_ratio);

/* window_silent: nothing was said in it. */
bool window_silent(const struct window_options *o, const struct decode_result *r);

struct window_span { /* a segment: tokens from .. to-1, seconds from the window's start */
    int from, to;
    double t0_s, t1_s;
};

/* window_split: cuts at pairs of timestamps (openai/whisper transcribe.py). time0: token of 0.00.
 * size: frames of 10 ms in the window. span: room for DECODE_MOST. Returns how many. *advance:
 * frames to where the next window starts; the tokens after the last span belong to it. whole: there
 * is no next window to take them, so they are a span, too. */
int window_split(const struct decode_result *r, int time0, int64_t size, bool whole,
                 struct window_span *span, int64_t *advance);

#endif
