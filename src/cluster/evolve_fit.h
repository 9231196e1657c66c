/* The clustering of one run of the search. */
#ifndef CLUSTER_EVOLVE_FIT_H
#define CLUSTER_EVOLVE_FIT_H

#include "cluster/evolve_score.h"

struct evolve_fit { /* what all runs share */
    struct engine *engine;
    const struct work_watch *watch;
    const struct evolve_options *o;
    const float *x; /* [songs][d]: the library's components */
    int64_t d;
    const float *begin; /* NULL, or [begin_clusters][d]: where run 0 begins */
    int64_t begin_clusters;
};

/* evolve_fit_run: clusters the n songs with the parameters of c, in *count ways, of which the
 * fitter counts; all of out lives in a. Errors: E_INPUT if these parameters cannot be (the run has
 * failed, not the search). */
#define EVOLVE_FINALS 4
int evolve_fit_run(struct arena *a, const struct evolve_fit *f, const struct evolve_candidate *c,
                   const int32_t *song, int64_t n, struct evolve_clusters out[EVOLVE_FINALS],
                   int *count, struct err *e);

/* evolve_fit_eps: the range of eps from the distances of 1000 of the n songs to their k-th
 * neighbour: their median and their 90th percentile. */
int evolve_fit_eps(struct arena *a, const struct evolve_fit *f, const int32_t *song, int64_t n,
                   int64_t k, double *least, double *most, struct err *e);

#endif
