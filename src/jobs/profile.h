/* Where the time of a model's tapes went, for people. */
#ifndef JOBS_PROFILE_H
#define JOBS_PROFILE_H

#include "engine/engine.h"
#include "jobs/host.h"

struct profile {      /* what ran; opened with engine_options.profile */
    const char *name; /* of the model */
    const struct engine *engine;
    const struct engine_plan *prepared;
    const struct plan *plan;
    double load_s;
};

/* profile_tell: as notes, a line for each step that took time (steps that differ in a number alone,
 * those of layers, are one), one for each tape, and the time to load. Measures what the processor
 * can do now, which takes a tenth of a second. */
void profile_tell(const struct lode_host *h, const struct profile *f);

#endif
