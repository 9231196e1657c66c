/* The flags of `lode cluster`, which `lode plan cluster` shares in part. */
#ifndef JOBS_CLUSTER_OPTIONS_H
#define JOBS_CLUSTER_OPTIONS_H

#include "cluster/cluster.h"

struct cluster_flags {
    const char *init, *labels, *centers, *model, *predict, *plot, *device;
    int method, covariance, kernels;
    int64_t k, starts, max_iter, min_samples, neighbors, batch, seed, threads;
    double tol, eps, ridge, gamma, pca;
    bool standardize, metrics, json, quiet;
};

/* job_cluster_options: the request they make, what they leave open filled in. */
struct cluster_options job_cluster_options(const struct cluster_flags *f);

#endif
