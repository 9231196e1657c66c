/* Principal components of rows that are read piece by piece: they never lie in memory twice.
 *
 * Up to PCA_EXACT columns: covariance and all its eigenvectors. More: a random subspace, drawn
 * towards the leading components by reading the rows again and again (Halko, Martinsson, Tropp
 * 2011). */
#ifndef CLUSTER_PCA_H
#define CLUSTER_PCA_H

#include "cluster/work.h"

#define PCA_EXACT 2048
/* Rows or columns beyond which a fraction can no more be asked of so many columns. */
#define PCA_FRACTION 512

struct pca_source { /* rows from..from+count as f32 [count][d] */
    void *ctx;
    int (*rows)(void *ctx, int64_t from, int64_t count, float *out, struct err *e);
    int64_t n, d;
};

struct pca {
    int64_t d, m;     /* columns before and after */
    float *component; /* [m][d], rows of length 1, largest entry positive */
    float *offset;    /* [m]: y = component x + offset */
    double *variance; /* [m] explained, of n - 1 rows */
    double *ratio;    /* [m] of the whole variance */
    struct work work;
    int tape_project, w, at, out;
};

/* pca_open: `wanted` components, or as many as explain that fraction if it is below 1. Errors:
 * E_INPUT if there are not so many. */
int pca_open(struct arena *a, struct engine *engine, const struct work_watch *watch,
             const struct pca_source *source, double wanted, uint64_t seed, struct pca *p,
             struct err *e);
/* pca_project: rows [count][d] -> [count][m]. pca_close: the components stay. */
int pca_project(struct pca *p, const float *rows, int64_t count, float *out, struct err *e);
/* pca_project_all: every row of the source -> [n][m]. */
int pca_project_all(struct pca *p, const struct pca_source *source, float *out, struct err *e);
int pca_ready(struct arena *a, struct engine *engine, const struct work_watch *watch, struct pca *p,
              struct err *e);
void pca_close(struct pca *p);

#endif
