/* One audio -> segments, sequentially: windows of 30 s one after the other, each conditioned on the
 * text before, decoded again at a higher temperature when its text is not to be trusted. Follows
 * faster-whisper 1.2.1 transcribe.py generate_segments and openai transcribe.py. */
#ifndef JOBS_SCRIBE_H
#define JOBS_SCRIBE_H

#include "jobs/out.h"
#include "jobs/tongue.h"
#include "jobs/words.h"
#include "media/audio.h"

struct scribe_tokens { /* text of the user's as tokens */
    const int *token;
    int n;
};

struct scribe_clip { /* a part of the audio, frames of 10 ms */
    int64_t from, to;
};

struct scribe_options {
    struct decode_options decode;
    struct window_options window;
    int language;                      /* index of net_language, used if the model has languages */
    const struct tongue_options *each; /* not NULL: listened for in every window */
    bool translate;
    bool timestamps;
    bool check_script;  /* a text that is not written as its language is, is not trusted */
    bool condition;     /* the text so far is the next window's prompt */
    double reset_above; /* a window decoded above this temperature is not a prompt */
    struct scribe_tokens initial, hotwords, prefix; /* before the first window; before each; how the
                                                       text of the first begins */
    const struct scribe_clip *clip;                 /* [n_clips], in order; none: all of it */
    int n_clips;
    bool word_times;
    struct words_options words;
};

struct scribe_events {
    void *ctx;
    /* segment: text and tokens are borrowed until it returns. -1 stops the run. */
    int (*segment)(void *ctx, const struct out_segment *s, struct err *e);
    /* again: after the segments of a window that was decoded more than once. -1 stops the run. */
    int (*again)(void *ctx, const struct out_again *w, struct err *e);
    void (*progress)(void *ctx, const char *what, double done_s, double total_s);
    bool (*cancelled)(void *ctx);
};

struct scribe_totals {
    double audio_s;
    int64_t segments, windows, windows_again; /* decoded more than once */
};

/* scribe_prompt: [sot_prev, hotwords, previous tokens], sot, language and task if the model has
 * them, no_timestamps if asked; with_prefix: then the prefix, after a first timestamp if there are
 * timestamps. Hotwords and previous tokens together are at most 223, the earliest of the latter
 * are left out. */
void scribe_prompt(const struct net_whisper_config *c, const struct scribe_options *o,
                   const int *previous, int n_previous, bool with_prefix, struct decode_prompt *p);

/* scribe_scripts: what a text spoken in a language may be written in, for script_foreign; 0: in
 * anything. */
unsigned scribe_scripts(const struct scribe_options *o, int language);

#define SCRIBE_PREVIOUS (DECODE_MOST - 1) /* tokens a window is conditioned on, at most */

/* scribe_remember: previous [SCRIBE_PREVIOUS] keeps the last of what is added to it. */
void scribe_remember(int *previous, int *n_previous, const int *token, int n);

struct scribe;

/* scribe_open: scratch in a, for any number of audios one after the other. */
int scribe_open(struct arena *a, struct speech *s, const struct scribe_options *o,
                struct scribe **out, struct err *e);
/* scribe_language: of what is decoded from now on. */
void scribe_language(struct scribe *s, int language);
/* scribe_run: reads the audio twice (loudest mel first). E_CANCELLED when events->cancelled said
 * so: segments so far have been given. */
int scribe_run(struct scribe *s, struct audio *audio, const struct scribe_events *events,
               struct scribe_totals *totals, struct err *e);

#endif
