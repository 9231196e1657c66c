/* DBSCAN, exact; see op.def for the rules, which are scikit-learn's. */
#ifndef CLUSTER_DBSCAN_H
#define CLUSTER_DBSCAN_H

#include "cluster/work.h"

struct dbscan {
    struct work *w;
    int64_t least;
    int eps, label, count, tape;
};

struct dbscan_result {         /* valid as long as the work */
    int32_t *label;            /* [n], -1 noise */
    const int32_t *neighbours; /* [n], itself too: core rows have at least min_samples */
    int64_t clusters, noise, core;
};

int dbscan_plan(struct work *w, int64_t min_samples, struct dbscan *m, struct err *e);
/* dbscan_run: as often as wanted, with any eps >= 0. */
int dbscan_run(struct dbscan *m, double eps, struct dbscan_result *out, struct err *e);

#endif
