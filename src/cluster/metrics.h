/* How good a clustering is, as scikit-learn's metrics say; rows without a label are left out. */
#ifndef CLUSTER_METRICS_H
#define CLUSTER_METRICS_H

#include "cluster/work.h"

struct metrics {
    struct work *w;
    int64_t k; /* labels are below this */
    int centre, spread, silhouette, tape_spread, tape_apart;
};

struct metrics_result { /* NaN where a clustering has none: fewer than 2 clusters, or one per row */
    double silhouette, davies_bouldin, calinski_harabasz;
    const float *silhouettes; /* [n], as long as the work */
};

int metrics_plan(struct work *w, int64_t k, struct metrics *m, struct err *e);
int metrics_run(struct metrics *m, const int32_t *label, struct metrics_result *out, struct err *e);

#endif
