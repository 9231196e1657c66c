/* The nearest groups of vectors, exactly: the op `nearest`, on the CPU or a GPU. */
#ifndef JOBS_SEARCH_H
#define JOBS_SEARCH_H

#include "engine/engine.h"

#define SEARCH_QUERIES 256 /* of one run */

struct search {
    struct arena *a;
    struct engine *engine; /* NULL: closed */
    struct engine_plan *prepared;
    int width, top, tape;
    float *query;
    int32_t *n_queries;
    const int32_t *row;
    const float *product;
};

/* search_open: base [n][width] and group [n] (rows of one group stand together) are borrowed. With
 * the device "auto" a base that a GPU has no room for is searched by the CPU. Errors: E_NOMEM,
 * E_DEVICE. */
int search_open(const struct engine_options *o, const float *base, const int32_t *group, int64_t n,
                int width, int top, struct search *s, struct err *e);
/* search_measure: what that takes, the base included. Errors: E_NOMEM. */
int search_measure(struct arena *a, struct engine *engine, int64_t n, int width, int top,
                   struct backend_memory *out, struct err *e);
void search_close(struct search *s); /* harmless on a struct of zeros, and leaves one */

/* search_run: query [n][width] -> the best row of each of the `top` best groups, row and product
 * [n][top], falling; -1 where there are no more. */
int search_run(struct search *s, const float *query, size_t n, int32_t *row, float *product,
               struct err *e);

#endif
