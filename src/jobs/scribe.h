/* One audio -> segments, sequentially: windows of 30 s one after the other, each conditioned on the
 * text before, decoded again at a higher temperature when its text is not to be trusted. Follows
 * faster-whisper 1.2.1 transcribe.py generate_segments and openai transcribe.py. */
#ifndef JOBS_SCRIBE_H
#define JOBS_SCRIBE_H

#include "jobs/out.h"
#include "jobs/window.h"
#include "media/audio.h"

struct scribe_options {
    struct decode_options decode;
    struct window_options window;
    int language; /* index of net_language, used if the model has languages */
    bool translate;
    bool timestamps;
    bool condition;     /* the text so far is the next window's prompt */
    double reset_above; /* a window decoded above this temperature is not a prompt */
};

struct scribe_events {
    void *ctx;
    /* segment: text and tokens are borrowed until it returns. -1 stops the run. */
    int (*segment)(void *ctx, const struct out_segment *s, struct err *e);
    void (*progress)(void *ctx, const char *what, double done_s, double total_s);
    bool (*cancelled)(void *ctx);
};

struct scribe_totals {
    double audio_s;
    int64_t segments, windows, windows_again; /* decoded more than once */
};

/* scribe_prompt: [sot_prev, previous tokens], sot, language and task if the model has them,
 * no_timestamps if asked. */
void scribe_prompt(const struct net_whisper_config *c, const struct scribe_options *o,
                   const int *previous, int n_previous, struct decode_prompt *p);

struct scribe;

/* scribe_open: scratch in a, for any number of audios one after the other. */
int scribe_open(struct arena *a, struct speech *s, const struct scribe_options *o,
                struct scribe **out, struct err *e);
/* scribe_run: reads the audio twice (loudest mel first). E_CANCELLED when events->cancelled said
 * so: segments so far have been given. */
int scribe_run(struct scribe *s, struct audio *audio, const struct scribe_events *events,
               struct scribe_totals *totals, struct err *e);

#endif
