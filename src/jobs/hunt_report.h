/* What a search tells: report.json (which --update reads again), report.html, lines for a terminal.
 */
#ifndef JOBS_HUNT_REPORT_H
#define JOBS_HUNT_REPORT_H

#include "jobs/hunt.h"
#include "jobs/playlist.h"

struct hunt_result {
    const struct hunt *h;
    const struct songs *songs;
    const struct evolve_result *search;
    const struct evolve_score *score; /* of the winner, made again */
    const struct evolve_playlists *found;
    const struct playlists *lists;
    const struct playlist_old *old; /* or NULL */
    int64_t subset, resumed;        /* songs of a run; runs from the journal */
    int64_t brought_back;           /* times that the device was, see evolve.h */
    double read_s;
};

int hunt_report_json(struct hunt_result *r, int (*put)(void *, const char *, size_t, struct err *),
                     void *ctx, struct err *e);
int hunt_report_text(const struct hunt_result *r, struct err *e);

#endif
