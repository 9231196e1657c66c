/* `lode cluster --search`: a library and what is known of its songs in, playlists out. */
#ifndef JOBS_HUNT_H
#define JOBS_HUNT_H

#include "jobs/cluster_options.h"
#include "jobs/host.h"
#include "load/numbers.h"

struct hunt { /* of the job, which owns all of it */
    struct arena *a;
    struct cluster_flags *o; /* settings of AudioMuse-AI are put in */
    const struct opt_row *rows;
    const bool *given; /* [n_rows]: options of the command line */
    size_t n_rows;
    const struct lode_host *host;
    const char *input;
    const struct numbers *numbers;
    const struct scale_source *source; /* them */
    struct engine *engine;
    const char *used; /* names of these settings; "" */
};

/* hunt_settings: takes --audiomuse-env, before anything is opened. hunt_check: what cannot be asked
 * for; E_USAGE. hunt_run: the whole job. */
struct audiomuse;
int hunt_settings(struct hunt *h, struct audiomuse *m, struct err *e);
int hunt_check(const struct cluster_flags *o, struct err *e);
int hunt_run(struct hunt *h, const struct audiomuse *m, struct err *e);

#endif
