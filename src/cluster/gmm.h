/* Mixtures of Gaussians by EM, as scikit-learn's GaussianMixture: same steps, same bound, same rule
 * to stop. The best of several starts, each from a k-means. */
#ifndef CLUSTER_GMM_H
#define CLUSTER_GMM_H

#include "cluster/kmeans.h"

enum gmm_kind { GMM_DIAG, GMM_FULL, GMM_TIED, GMM_SPHERICAL };

struct gmm_options {
    int64_t k, starts, most_steps;
    enum gmm_kind kind;
    double tol, ridge; /* of the mean log-likelihood of a row; added to every variance */
    uint64_t seed;
    const double *init; /* means [k][d]: one start, with equal weights and the variances of the
                           columns; NULL: k-means */
};

struct gmm_model {
    int64_t k, d;
    enum gmm_kind kind;
    double *weight, *mean; /* [k], [k][d] */
    double *covariance;    /* [k][d], [k][d][d], [d][d], or [k][d] with equal rows */
    float *scale, *shift;  /* what OP_estep takes */
    double *fixed;
};

struct gmm {
    struct work *w;
    struct gmm_options o;
    struct kmeans start;
    int scale, shift, fixed, label, total, sums, tape;
    int move, known;             /* -1 with matrices */
    bool stepped;                /* the last step was on these rows */
    int gram, column, tape_gram; /* tied only: -1 otherwise */
    int64_t width;
};

struct gmm_result {
    struct gmm_model model;
    int32_t *label;         /* [n] */
    double bound;           /* mean log-likelihood as the last step began */
    double likelihood, bic; /* of the final model: mean of a row; of all */
    int64_t steps, start;
    bool converged;
};

int gmm_plan(struct work *w, const struct gmm_options *o, struct gmm *m, struct err *e);
int gmm_run(struct gmm *m, struct gmm_result *out, struct err *e);
/* gmm_assign: labels and mean log-likelihood of all rows under a model. */
int gmm_assign(struct gmm *m, const struct gmm_model *model, int32_t *label, double *likelihood,
               struct err *e);
/* gmm_scale_floats: of gmm_model.scale. */
size_t gmm_scale_floats(enum gmm_kind kind, int64_t k, int64_t d);

#endif
