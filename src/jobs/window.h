/* What the tokens of a decoded window are worth: whether they can be trusted, which attempt up the
 * ladder of temperatures is kept, and where their segments begin and end. Pure functions; the
 * sequential and the batched way share them. */
#ifndef JOBS_WINDOW_H
#define JOBS_WINDOW_H

#include "jobs/decode.h"
#include "jobs/out.h"

#define WINDOW_TEMPERATURES OUT_TRIES

struct window_options {
    double temperature[WINDOW_TEMPERATURES]; /* the ladder, tried in order */
    int n_temperatures;
    double
        compression_ratio; /* above: not trusted (repetitive). These three thresholds: NAN is off */
    double logprob;        /* below: not trusted */
    double no_speech;      /* above, and the text below `logprob`: silence */
};

/* window_read_ladder: the temperatures of a list as a user writes it ("0,0.2,0.4"); increment above
 * 0: the first of them and steps of this up to 1. E_USAGE. */
int window_read_ladder(const char *list, double increment, struct window_options *s, struct err *e);

struct window_ladder {         /* of one window; zero at first */
    int step;                  /* the next attempt is at temperature[step] */
    struct decode_result kept; /* the best attempt so far, or the accepted one */
    double kept_ratio, kept_temperature;
    bool any;
    int kept_fault; /* how bad it is: 2 if it repeats itself, and 1 if its script is wrong */
    struct out_try tried[WINDOW_TEMPERATURES]; /* [step] */
};

/* window_climb: takes an attempt at temperature[ladder->step]. wrong_script: its text is not
 * written as its language is. True when the ladder ends:
 * ladder->kept, kept_ratio and kept_temperature are the window's then. False: try again at the next
 * step. */
bool window_climb(struct window_ladder *ladder, const struct window_options *o,
                  const struct decode_result *r, double compression_ratio, bool wrong_script);

/* window_again: an account of a ladder of more than one step; its times are the caller's. */
void window_again(const struct window_options *o, const struct window_ladder *l,
                  struct out_again *out);

/* window_hushed: its n samples, -1..1, are digital silence: none is more than the last of 16 bits.
 * The model would make up words for it ("you", "Thank you."), so it is not asked. */
bool window_hushed(const float *pcm, int64_t n);

/* window_silent: nothing was said in it. */
bool window_silent(const struct window_options *o, const struct decode_result *r);

/* window_ends: the text ends with one timestamp: nothing is said after it. */
bool window_ends(const struct decode_result *r, int time0);

/* window_flags: OUT_REPETITION .. of what the ladder kept. */
unsigned window_flags(const struct window_options *o, const struct window_ladder *l);

struct window_span { /* a segment: tokens from .. to-1, seconds from the window's start */
    int from, to;
    double t0_s, t1_s;
    int word, n_words; /* its words in a words_list, if they were asked for */
};

/* window_split: cuts at pairs of timestamps (openai/whisper transcribe.py). time0: token of 0.00.
 * size: frames of 10 ms in the window. span: room for DECODE_MOST. Returns how many. *advance:
 * frames to where the next window starts; the tokens after the last span belong to it. What only
 * repeats (decode_result.loop) is in no span. */
int window_split(const struct decode_result *r, int time0, int64_t size, struct window_span *span,
                 int64_t *advance);

/* window_thin: the first of n segments that lasts 8 s or more and has fewer tokens than seconds, or
 * n. Where all is speech the model has jumped over some of it. size: as above. */
int window_thin(const struct window_span *span, int n, int64_t size);

#endif
