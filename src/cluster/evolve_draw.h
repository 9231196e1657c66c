/* What a run of the search sees and does: songs drawn by genre, parameters drawn freely or near
 * those of an elite. */
#ifndef CLUSTER_EVOLVE_DRAW_H
#define CLUSTER_EVOLVE_DRAW_H

#include "cluster/evolve.h"

struct evolve_draw { /* songs by genre */
    const struct evolve_songs *songs;
    double churn;
    int32_t strata;  /* genres and, last, all others */
    int64_t *begin;  /* [strata + 1] in member */
    int32_t *member; /* songs, genre by genre */
    int64_t *quota;  /* [strata] */
    int64_t size;    /* their sum: songs of a run */
    int32_t *song;   /* [size] of the present run, genre by genre */
    int64_t *at;     /* [strata + 1]: where each genre begins in song */
    int32_t *spare;  /* [size] */
    uint32_t *stamp; /* [n] */
    uint32_t epoch;
};

/* evolve_draw_open: E_INPUT if no song takes part. */
int evolve_draw_open(struct arena *a, const struct evolve_songs *songs,
                     const struct evolve_options *o, struct evolve_draw *d, struct err *e);
/* evolve_draw_songs: of the first run of a batch (first), or of the one after the present. */
void evolve_draw_songs(struct evolve_draw *d, bool first, struct work_random *r);

/* evolve_draw_stream: the random numbers of one use. */
enum evolve_stream { EVOLVE_SONGS, EVOLVE_PARAMETERS, EVOLVE_FIT, EVOLVE_TIES };
uint64_t evolve_draw_stream(uint64_t seed, enum evolve_stream use, int64_t index);
int64_t evolve_draw_int(struct work_random *r, int64_t least, int64_t most);

/* evolve_draw_candidate: elite [n_elites], best first; n songs of d columns. vary: elites may be
 * varied. */
struct evolve_candidate evolve_draw_candidate(const struct evolve_options *o, int64_t run,
                                              const struct evolve_run *elite, int64_t n_elites,
                                              bool vary, int64_t n, int64_t d);

#endif
