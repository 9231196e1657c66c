/* One audio -> segments, many windows at a time: pieces of speech are packed into windows of at
 * most 30 s, windows are decoded together, each at its own position, and those whose text cannot be
 * trusted go up the ladder of temperatures while the others make room for new ones. No window is
 * conditioned on the text of another. */
#ifndef JOBS_BATCH_H
#define JOBS_BATCH_H

#include "jobs/scribe.h"
#include "jobs/vad.h"

struct batch_cut { /* how an audio is cut: windows of regions, see vad.h; no window is longer than
                      the model's */
    struct vad_regions regions;
    struct vad_window *window;
    size_t n_windows;
};

struct batch;

/* batch_open: scratch in a, for any number of audios; s->net.shape.windows is how many are decoded
 * together. */
int batch_open(struct arena *a, struct speech *s, const struct scribe_options *o,
               struct batch **out, struct err *e);

/* batch_run: reads the audio once, from its start. Segments come in the order of time. E_CANCELLED
 * as scribe_run. */
int batch_run(struct batch *b, struct audio *audio, const struct batch_cut *cut,
              const struct scribe_events *events, struct scribe_totals *totals, struct err *e);

#endif
