/* Writers of transcripts: segments in, a file format out. One row per format. */
#ifndef JOBS_OUT_H
#define JOBS_OUT_H

#include "base/arena.h"
#include "base/str.h"
#include "jobs/cue.h"

struct out_word {
    struct str text; /* with its leading space, if it has one */
    double t0_s, t1_s, probability;
    int n_tokens;
};

enum {                         /* what makes a segment doubtful */
       OUT_REPETITION = 1,     /* says the same over and over, or did so and was cut off */
       OUT_OVER_SILENCE = 2,   /* probably nothing is said there */
       OUT_LOW_CONFIDENCE = 4, /* unlikely words, but no temperature gave better ones */
       OUT_WRONG_SCRIPT = 8    /* not written as its language is */
};

struct out_segment {
    int64_t id;   /* from 1 */
    int64_t seek; /* of its window, in frames of 10 ms */
    double t0_s, t1_s;
    struct str text; /* as decoded, with its leading space */
    const int *token;
    size_t n_tokens;
    double temperature, avg_logprob, compression_ratio, no_speech_prob;
    unsigned flags;                 /* OUT_REPETITION .. */
    const char *speaker, *language; /* NULL: not known; that of the whole */
    const struct out_word *word;    /* [n_words]; NULL if words were not asked for */
    size_t n_words;
};

enum {                      /* why a text was not trusted */
       OUT_WHY_LOOP = 1,    /* it said the same over and over and was stopped */
       OUT_WHY_RATIO = 2,   /* it compresses too well */
       OUT_WHY_LOGPROB = 4, /* it is unlikely */
       OUT_WHY_SCRIPT = 8   /* OUT_WRONG_SCRIPT */
};

#define OUT_TRIES 16

struct out_again { /* a window that was decoded more than once */
    double t0_s, t1_s;
    const char *speaker, *language; /* as of a segment; live until end */
    bool silent;                    /* nothing of it was kept: probably nothing is said there */
    int n_tries;
    struct out_try {
        double temperature, compression_ratio, avg_logprob, no_speech_prob;
        unsigned why; /* OUT_WHY_LOOP ..; 0: this one was trusted */
    } tried[OUT_TRIES];
};

/* out_why: a bit of `why` as json and notes have it. NULL: there is no such bit. */
const char *out_why(int bit);

struct out_about { /* what a transcript says about itself */
    const char *input, *model, *language, *device, *device_name, *compute_type, *version;
    const char *device_reason;      /* why not the GPU; may be "" */
    double audio_s, load_s, wall_s; /* load_s, wall_s are known only at the end */
    const struct cue_style *style;  /* of subtitles; NULL: as they come */
    double cost;                    /* 0: not asked for */
    bool cancelled;                 /* stopped before the end of the audio */
};

struct out_sink {
    int (*put)(void *ctx, const char *p, size_t n, struct err *e);
    void *ctx;
};

/* begin, any number of segment and again, then end; or drop instead of end, when the transcript is
 * given up. A call that fails leaves *e filled, and only drop may follow it. drop gives back what
 * begin took; end does that itself, and so does a begin that fails. It is harmless at any time once
 * state is zeroed. */
struct out_writer {
    const char *name, *suffix, *help; /* "srt", ".srt" */
    int (*begin)(const struct out_sink *s, const struct out_about *about, void *state,
                 struct err *e);
    int (*segment)(const struct out_sink *s, const struct out_segment *seg, void *state,
                   struct err *e);
    int (*again)(const struct out_again *w, void *state, struct err *e); /* NULL: not shown */
    int (*end)(const struct out_sink *s, const struct out_about *about, void *state, struct err *e);
    void (*drop)(void *state);
};

#define OUT_STATE_BYTES (16 << 10) /* of `state`, zeroed before begin, aligned for any type */

const struct out_writer *out_writers(size_t *n);
const struct out_writer *out_find(const char *name); /* NULL if unknown */

#endif
