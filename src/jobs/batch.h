/* One audio -> segments, many windows at a time: pieces of speech are packed into windows of at
 * most 30 s, windows are decoded together, each at its own position, and those whose text cannot be
 * trusted go up the ladder of temperatures while the others make room for new ones. No window is
 * conditioned on the text of another. */
#ifndef JOBS_BATCH_H
#define JOBS_BATCH_H

#include "jobs/scribe.h"

struct batch_piece { /* of the audio, in samples */
    int64_t from, to;
};

struct batch_window { /* pieces [first, first + n), one after the other without what lies between */
    int first, n;
};

struct batch_cut { /* how an audio is cut; pieces in order, not overlapping, each window's together
                      no longer than a window is */
    const struct batch_piece *piece;
    const struct batch_window *window;
    int n_windows;
};

/* batch_cut_evenly: windows of `length` samples, for audio of n, in a. Errors: E_NOMEM. */
int batch_cut_evenly(struct arena *a, int64_t n, int64_t length, struct batch_cut *out,
                     struct err *e);

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
