/* k-means on batches of rows (Sculley 2010): for more rows than one wants to look at many times.
 * Begins from the best of several k-means on a sample; stops as scikit-learn's MiniBatchKMeans:
 * when the smoothed inertia of batches has not fallen for ten of them. */
#ifndef CLUSTER_MINIBATCH_H
#define CLUSTER_MINIBATCH_H

#include "cluster/kmeans.h"

struct minibatch_options {
    int64_t k, batch, starts, most_passes; /* passes: over as many rows as there are */
    uint64_t seed;
    const float *init; /* [k][d] or NULL */
};

/* minibatch_run: rows x [n][d] as they lie on the host. centre [k][d] is filled; *steps: batches.
 * The labels of all rows are kmeans_assign's. */
int minibatch_run(struct engine *engine, const struct work_watch *watch, const float *x, int64_t n,
                  int64_t d, const struct minibatch_options *o, float *centre, int64_t *steps,
                  struct err *e);

#endif
