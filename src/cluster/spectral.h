/* Spectral clustering, as scikit-learn's SpectralClustering(affinity="nearest_neighbors"): the
 * graph of nearest neighbours, its edges 1 or exp(-gamma d2), made symmetric; the leading
 * eigenvectors of its normalised matrix; k-means on their rows. */
#ifndef CLUSTER_SPECTRAL_H
#define CLUSTER_SPECTRAL_H

#include "cluster/kmeans.h"

struct spectral_options {
    int64_t k, neighbours, starts; /* neighbours count the row itself */
    double gamma;                  /* 0: every edge weighs 1 */
    uint64_t seed;
};

struct spectral {
    struct work *w;
    struct spectral_options o;
    int index, d2, tape;
};

struct spectral_result {
    int32_t *label; /* [n] */
    double *value;  /* [k] eigenvalues of the Laplacian, rising: how well the clusters part */
    int64_t edges;  /* entries of the graph's matrix, without its diagonal */
    int64_t rounds; /* until the eigenvectors stood still */
    double inertia;
};

int spectral_plan(struct work *w, const struct spectral_options *o, struct spectral *m,
                  struct err *e);
int spectral_run(struct spectral *m, struct spectral_result *out, struct err *e);

#endif
