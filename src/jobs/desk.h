/* Where transcripts are made: a model made ready, and what writes with it. There is one, or one for
 * each model of a route, opened when the first input comes to it. Models stay side by side as long
 * as what they plan for fits; else the one that was not used for longest goes. */
#ifndef JOBS_DESK_H
#define JOBS_DESK_H

#include "jobs/batch.h"
#include "jobs/host.h"
#include "jobs/route.h"
#include "jobs/transcribe_options.h"

struct desk {
    const char *model, *compute_type; /* as the user says it */
    char *folder;                     /* where its files are */
    struct arena *a;                  /* NULL: it is not open */
    struct speech *speech;
    struct scribe *scribe; /* one of the two: sequential, or */
    struct batch *batch;   /* batched */
    float *logits;         /* [vocabulary], for listening; NULL if it is English only */
    uint64_t used;         /* when, in turns of the set */
};

struct desk_set {
    const struct transcribe_options *o;
    const struct transcribe_wishes *wishes;
    const char *kernels, *compute_type; /* the latter of targets that have none */
    const struct lode_host *host;
    struct again again; /* its input is set by who runs a desk */
    struct route route;
    struct desk *desk; /* [route.n] */
    uint64_t turns;
    bool listens; /* for the language of each input: the default does */
};

/* desk_find: o, wishes, kernels, compute_type and host are set. Reads the route (or the one model),
 * checks that each speaks what it is to take, and finds all files, so that nothing is fetched in
 * the middle of the work. a: as long as the set. */
int desk_find(struct desk_set *s, struct arena *a, struct err *e);

/* desk_at: the desk of a language, open and told of it. desk_listener: the default. */
int desk_at(struct desk_set *s, int language, struct desk **out, struct err *e);
int desk_listener(struct desk_set *s, struct desk **out, struct err *e);

/* desk_run: an audio at its start. regions, n_samples: as for batch_audio. */
int desk_run(struct desk *d, struct audio *audio, const struct vad_regions *regions,
             int64_t n_samples, const struct scribe_events *events, struct scribe_totals *totals,
             struct err *e);

void desk_close(struct desk_set *s);

#endif
