/* Several voices, each transcribed by itself, as one transcript in the order of time: segments are
 * kept until the last voice has spoken, then given out. */
#ifndef JOBS_CHORUS_H
#define JOBS_CHORUS_H

#include "jobs/scribe.h"

struct chorus_kept;

struct chorus {
    struct arena *a; /* holds all text until chorus_give */
    const struct scribe_events *to;
    const char *speaker; /* of what comes now */
    struct chorus_kept *first, **last;
    int64_t n;
};

void chorus_init(struct chorus *c, struct arena *a, const struct scribe_events *to);
/* chorus_events: what a voice is transcribed with. */
struct scribe_events chorus_events(struct chorus *c);
/* chorus_give: all segments by their start, of equals the first voice first, numbered anew. */
int chorus_give(struct chorus *c, struct err *e);

#endif
