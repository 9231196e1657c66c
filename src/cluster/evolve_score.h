/* From clusters to playlists and their fitness, by AudioMuse-AI's rules: songs near the centre of
 * their cluster, few of each artist; what moods and features the playlists have between them and
 * within. */
#ifndef CLUSTER_EVOLVE_SCORE_H
#define CLUSTER_EVOLVE_SCORE_H

#include "cluster/evolve.h"

struct evolve_clusters { /* of a run */
    int64_t n, clusters, d;
    const int32_t *song;                                  /* [n] */
    const int32_t *label;                                 /* [n], -1: in none */
    const float *away;                                    /* [n] distance to the cluster's centre */
    const float *centre;                                  /* [clusters][d] */
    double silhouette, davies_bouldin, calinski_harabasz; /* NaN: not known, or none */
};

/* evolve_score_run: lists NULL, or what becomes of the playlists, in a. */
int evolve_score_run(struct arena *a, const struct evolve_songs *songs,
                     const struct evolve_options *o, const struct evolve_clusters *c,
                     struct evolve_score *score, struct evolve_playlists *lists, struct err *e);

/* evolve_score_rank: above 0 if a is better than b: more full playlists, up to top_n, then fitness.
 */
int evolve_score_rank(const struct evolve_options *o, const struct evolve_score *a,
                      const struct evolve_score *b);

#endif
