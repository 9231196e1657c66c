/* Ranking of documents by their passages: for each query document the best target documents, and
 * the pairs of passages that made them so. match runs it on what jobs/search found. Memory is a few
 * numbers for each passage of the query and each target document, never for each pair. */
#ifndef JOBS_RANK_H
#define JOBS_RANK_H

#include "base/arena.h"

struct rank_pair { /* of passages */
    float score;
    int32_t query, target;
};

struct rank {
    int top;              /* documents a search finds for a passage */
    int width;            /* of a vector */
    size_t documents;     /* of the targets */
    const int32_t *owner; /* [target passages] the document of each */
    const int32_t *first; /* [documents + 1] the passage each document begins with */
    const float *vector;  /* [target passages][width] */
    struct rank_pair *of; /* [documents] of the query at hand */
    int32_t *place;       /* [documents] one more than where in `of` */
    uint64_t scans;       /* products of two passages formed by rank_reasons */
};

struct rank_query { /* a document of a window of queries, whose passages are [from, to) */
    int32_t from, to;
    const float *vector;  /* [passages of the window][width] */
    const int32_t *row;   /* [passages of the window][top] as of search_run */
    const float *product; /* the same */
};

/* rank_open: the fields up to vector are set; the rest lives in a. Errors: E_NOMEM. */
int rank_open(struct arena *a, struct rank *r, struct err *e);

/* rank_documents: the best r->top documents of a query, best first, one pair each, none below
 * least: in r->of until the next call; returns how many. */
size_t rank_documents(struct rank *r, const struct rank_query *q, double least);

/* rank_reasons: the best pairs of passages of a query and a target document, none of which is in a
 * better one, to room, of which it needs to - from entries; returns how many, at most `most`. */
size_t rank_reasons(struct rank *r, const struct rank_query *q, int32_t document, size_t most,
                    struct rank_pair *room);

#endif
