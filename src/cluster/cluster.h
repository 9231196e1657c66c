/* From numbers to clusters: one request, all methods. Rows are read once to be measured and once to
 * lie on the device; with PCA they are read in pieces and only their components lie there. */
#ifndef CLUSTER_CLUSTER_H
#define CLUSTER_CLUSTER_H

#include "cluster/dbscan.h"
#include "cluster/gmm.h"
#include "cluster/metrics.h"
#include "cluster/minibatch.h"
#include "cluster/pca.h"
#include "cluster/scale.h"
#include "cluster/spectral.h"

enum cluster_method {
    CLUSTER_KMEANS,
    CLUSTER_MINIBATCH,
    CLUSTER_DBSCAN,
    CLUSTER_GMM,
    CLUSTER_SPECTRAL
};
#define CLUSTER_METHODS "kmeans|minibatch|dbscan|gmm|spectral"

struct cluster_options {
    enum cluster_method method;
    int64_t k, starts, most_steps, min_samples, neighbours, batch;
    enum gmm_kind covariance;
    double tol, eps, ridge, gamma;
    double pca; /* components, a fraction of the variance, or 0: none */
    bool standardise, metrics;
    uint64_t seed;
    const double *init; /* [k][d of what is clustered], as cluster_centre gives them */
};

struct cluster_model { /* what predict needs */
    enum cluster_method method;
    struct scale scale;
    struct pca pca; /* pca.m 0: none */
    int64_t k, d;   /* d: of what is clustered */
    float *centre;  /* [k][d]: kmeans, minibatch */
    struct gmm_model gmm;
};

struct cluster_result {
    int64_t n, columns, clusters, noise, steps, start, empty;
    int32_t *label;                /* [n] */
    double inertia;                /* kmeans, minibatch; NaN otherwise */
    double likelihood, bic, bound; /* gmm */
    bool converged;
    double *eigenvalue;  /* [k], spectral; NULL otherwise */
    int64_t core, edges; /* dbscan; spectral */
    bool has_metrics;
    struct metrics_result metrics;
    struct cluster_model model; /* its pca and scale of every method */
    float *plane;               /* [n][2]: the first two components, if asked for */
    double read_s, pca_s, fit_s, metrics_s;
};

/* cluster_run and cluster_predict: what fails because of the device is done again on the next one,
 * if the choice was automatic.
 * cluster_run: everything lives in a. plane: whether to fill it. */
int cluster_run(struct arena *a, struct engine *engine, const struct work_watch *watch,
                const struct scale_source *source, const struct cluster_options *o, bool plane,
                struct cluster_result *out, struct err *e);

/* cluster_centre: coordinate j of the centre or mean of cluster k, as the rows were given, or as
 * they lie after standardising and PCA. */
double cluster_centre(const struct cluster_model *m, int64_t k, int64_t j);

/* cluster_predict: labels under a model; E_INPUT if the rows have other columns. */
int cluster_predict(struct arena *a, struct engine *engine, const struct work_watch *watch,
                    const struct scale_source *source, struct cluster_model *m, int32_t *label,
                    struct err *e);

/* cluster_measure: what the largest plan of a request on n rows of d would allocate. */
int cluster_measure(struct arena *a, struct engine *engine, int64_t n, int64_t d,
                    const struct cluster_options *o, struct backend_memory *out, struct err *e);

#endif
