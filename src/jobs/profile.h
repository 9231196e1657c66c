/* Where the time of a model's tapes went, for people. */
#ifndef JOBS_PROFILE_H
#define JOBS_PROFILE_H

#include "jobs/host.h"
#include "jobs/speech.h"

/* profile_tell: as notes, a line for each step that took time (steps that differ in a number alone,
 * those of layers, are one), one for each tape, and the time to load. s was opened with
 * engine.profile. Measures what the processor can do now, which takes a tenth of a second. */
void profile_tell(const struct lode_host *h, const struct speech *s);

#endif
