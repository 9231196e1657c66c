/* What narrow numbers cost: some of the texts are embedded in float32 too, and their vectors
 * compared. */
#ifndef JOBS_LOSS_H
#define JOBS_LOSS_H

#include "jobs/sentences.h"

struct loss { /* the texts that were drawn, evenly over the input, with their vectors */
    struct str *text;
    float *vector; /* [n][width] */
    size_t n, most, width;
    int64_t total; /* of the input */
};

struct loss_found { /* cosines to float32 */
    double median, least;
};

/* loss_begin: to draw `most` of `total` texts (all of them if there are fewer); 0: none, and
 * nothing is kept. */
int loss_begin(struct arena *a, int64_t most, int64_t total, size_t width, struct loss *l,
               struct err *e);

/* loss_take: shows it text number `record` from 0; kept in a if it is drawn. */
int loss_take(struct arena *a, struct loss *l, int64_t record, struct str text, const float *vector,
              struct err *e);

/* loss_measure: o as for the vectors; its compute type does not matter. l->n is at least 1. The
 * model is opened a second time, in an arena of its own. Errors: as sentences_open and
 * sentences_embed. */
int loss_measure(const struct loss *l, const struct sentences_options *o,
                 const struct sentences_watch *watch, struct loss_found *out, struct err *e);

#endif
