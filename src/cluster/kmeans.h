/* k-means: greedy k-means++ or given centres, then Lloyd's steps, many starts at once. Follows
 * scikit-learn's KMeans(algorithm="lloyd"): when it stops, what becomes of empty clusters, which
 * start wins. */
#ifndef CLUSTER_KMEANS_H
#define CLUSTER_KMEANS_H

#include "cluster/work.h"

/* Starts that come to the same clusters differ by rounding alone, which is another on every device:
 * the first of them is kept. */
#define KMEANS_SAME 1e-7

struct kmeans_options {
    int64_t k, starts, most_steps;
    double tol; /* of the mean variance of a column: stop when the centres' squared moves are
                   no more in all */
    uint64_t seed;
    const float *init; /* [inits][k][d], centres to begin with: a start each; NULL: k-means++ */
    int64_t inits;     /* 0: one */
};

struct kmeans { /* values and tapes of the plan */
    struct work *w;
    struct kmeans_options o;
    int64_t sets, tries;
    int draw, first, chosen, potential, closest; /* k-means++; -1 with given centres */
    int centre, move, sum, count, label, bound;  /* Lloyd */
    int one, spread, d2;                         /* the result judged */
    int tape_seed, tape_lloyd, tape_spread;
};

struct kmeans_result {
    float *centre;  /* [k][d], in the arena of the work */
    int32_t *label; /* [n] */
    double inertia;
    int64_t steps, start; /* of the start that won */
    /* of every start; each NULL or the caller's: labels [starts][n], squared distances [starts][n],
     * centres [starts][k][d], inertia [starts] */
    int32_t *every;
    float *every_d2, *every_centre;
    double *every_inertia;
    int64_t empty; /* clusters without a row, of which scikit-learn warns */
};

/* kmeans_plan: E_INPUT if k is more than the rows, unless centres are given. */
int kmeans_plan(struct work *w, const struct kmeans_options *o, struct kmeans *m, struct err *e);
/* kmeans_run: out->every and its like are the caller's to set, the rest is filled. */
int kmeans_run(struct kmeans *m, struct kmeans_result *out, struct err *e);
/* kmeans_assign: labels of all rows with these centres, as predict does; inertia may be NULL. */
int kmeans_assign(struct kmeans *m, const float *centre, int32_t *label, double *inertia,
                  struct err *e);

#endif
