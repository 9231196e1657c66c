/* One audio -> segments, several windows at a time. The audio is cut at pauses into parts of about
 * a minute, and each part is a lane: inside it windows follow one another as in scribe, each begins
 * where the text of the one before ended. Lanes are decoded together, each at its own position. A
 * window whose text cannot be trusted goes up the ladder of temperatures alone; the others do not
 * wait for it.
 *
 * Why not independent windows of 30 s, as other batching programs have: the model often ends before
 * its window does. Sequential decoding then begins the next window there; independent windows lose
 * the rest: on ten minutes of short clips 11 % of all words with timestamps, 4 % without, where
 * this loses none (docs/speed.md). */
#ifndef JOBS_BATCH_H
#define JOBS_BATCH_H

#include "jobs/scribe.h"
#include "jobs/vad.h"

struct batch_source { /* mono at 16 kHz */
    void *ctx;
    /* up to n samples, multiples of 1/32768; 0 at the end, -1 with *e */
    int64_t (*read)(void *ctx, float *dst, int64_t n, struct err *e);
    int64_t n_samples;                 /* -1: not known */
    const struct vad_regions *regions; /* of the audio, if the source is these alone; else NULL */
};

struct batch;

/* batch_open: scratch in a, for any number of audios; s->net.shape.windows is how many lanes there
 * are. Only a single lane conditions its windows on the text before. */
int batch_open(struct arena *a, struct speech *s, const struct scribe_options *o,
               struct batch **out, struct err *e);

/* batch_run: reads the source to its end, in memory that does not depend on its length. Segments
 * come in the order of time, in times of the audio. E_CANCELLED as scribe_run. */
int batch_run(struct batch *b, const struct batch_source *source,
              const struct scribe_events *events, struct scribe_totals *totals, struct err *e);

/* batch_audio: of an audio at its start, n_samples long; with regions (else NULL, and n_samples is
 * not looked at) of these alone. */
int batch_audio(struct batch *b, struct audio *audio, const struct vad_regions *regions,
                int64_t n_samples, const struct scribe_events *events, struct scribe_totals *totals,
                struct err *e);

/* batch_language: of what is decoded from now on. */
void batch_language(struct batch *b, int language);

#endif
