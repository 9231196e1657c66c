/* A model of clusters in a file: safetensors, as other programs read it too.
 *   about i32 [8]: version 1, method, covariance, standardised, columns read, columns clustered, k,
 * 0 shift, unit [d][2] and offset, fixed: f64 as the sum of two f32 component f32 [m][d]; centre
 * f32 [k][m]; scale, mean f32: of a mixture, as OP_estep takes them */
#ifndef CLUSTER_MODEL_H
#define CLUSTER_MODEL_H

#include "cluster/cluster.h"
#include "load/load.h"

/* model_save: E_INPUT for a method that has no model: dbscan, spectral. */
int model_save(struct arena *a, const char *path, const struct cluster_model *m, struct err *e);
/* model_open: everything lives in a. Errors: E_MODEL naming what is missing or does not fit. */
int model_open(struct arena *a, const char *path, struct cluster_model *m, struct err *e);
/* model_take: the same of a file that is open. */
int model_take(struct arena *a, const struct load_weights *w, struct cluster_model *m,
               struct err *e);

#endif
