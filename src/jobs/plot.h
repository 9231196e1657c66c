/* A scatter of points in the plane, coloured by cluster, as SVG or PNG. */
#ifndef JOBS_PLOT_H
#define JOBS_PLOT_H

#include "base/file.h"

/* plot_save: points [n][2] of finite numbers, label [n] (-1: noise, grey); .svg or .png by the
 * path's end. An SVG shows at most 20000 points, evenly taken, and says so. Errors: E_USAGE for
 * another end, E_IO, E_NOMEM. */
int plot_save(struct arena *a, const char *path, const char *title, const float *points,
              const int32_t *label, int64_t n, struct err *e);
/* plot_check: whether the path's end is known. */
int plot_check(const char *path, struct err *e);

#endif
