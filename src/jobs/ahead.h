/* Inputs opened, decoded and listened through for speech: the next one while the one at hand is
 * transcribed, by a thread of its own. One input ahead, and of it AHEAD_BYTES of samples at most:
 * what is longer is decoded when it is read. What goes wrong with an input is told in its turn. */
#ifndef JOBS_AHEAD_H
#define JOBS_AHEAD_H

#include "jobs/vad.h"

#define AHEAD_BYTES (32 << 20) /* 17 minutes of speech */

struct ahead_input { /* lives until the call of ahead_take after the next */
    struct arena *a;
    const char *path;
    int channel;                /* 0: the mean of all */
    struct audio *audio;        /* at its start; whoever took it closes it */
    struct vad_regions regions; /* where speech is, and how long the audio is; only with a vad */
    int64_t n_samples;
    bool failed; /* it cannot be used: */
    struct err e;
};

struct ahead;

/* ahead_open: vad: NULL, or used by nobody else until ahead_close. Lives in a. */
int ahead_open(struct arena *a, struct vad *vad, const struct vad_options *o, struct ahead **out,
               struct err *e);
/* ahead_start: begins with an input, path borrowed until it is taken. Not if one was begun and not
 * taken. */
void ahead_start(struct ahead *h, const char *path);
/* ahead_take: the input of that path (channel 0: the mean of all), begun or not. -1 with *e: what
 * is wrong with it. */
int ahead_take(struct ahead *h, const char *path, int channel, struct ahead_input **out,
               struct err *e);
/* ahead_close: stops what was begun. */
void ahead_close(struct ahead **h);

#endif
