/* The flags of `lode cluster`, which `lode plan cluster` shares in part. */
#ifndef JOBS_CLUSTER_OPTIONS_H
#define JOBS_CLUSTER_OPTIONS_H

#include "base/opt.h"
#include "cluster/evolve.h"

#define CLUSTER_COVARIANCES "diag|full|tied|spherical" /* as enum gmm_kind */

struct search_flags { /* of the search for playlists; see evolve_options */
    const char *moods, *out, *update, *env;
    int covariance;
    int64_t runs, batch, subset, clusters_min, clusters_max, pca_min, pca_max, samples_min,
        samples_max, per_artist, max_songs, min_songs, split, top_n, top_moods, elites, vary_count,
        genre_songs, stop_batches, stop_seconds;
    double eps_min, eps_max, max_distance, duplicates, weight[EVOLVE_METRICS], explore, exploit,
        vary_number, churn, percentile;
    bool resume, calibrate, features;
};

struct cluster_flags {
    const char *init, *labels, *centers, *model, *predict, *plot, *device;
    int method, covariance, kernels;
    int64_t k, starts, max_iter, min_samples, neighbors, batch, seed, threads;
    double tol, eps, ridge, gamma, pca;
    bool standardize, metrics, json, quiet;
    struct search_flags s;
};

/* job_cluster_options: the request they make, what they leave open filled in. */
struct cluster_options job_cluster_options(const struct cluster_flags *f);

#endif
