/* Which playlists are shown, and which of them were there before. */
#ifndef CLUSTER_EVOLVE_PICK_H
#define CLUSTER_EVOLVE_PICK_H

#include "base/arena.h"

struct evolve_choice { /* playlists to choose from */
    int64_t n, d;
    const float *const *place; /* [n]: [d], where each lies */
    const int32_t *genre;      /* [n], -1: another */
    const int64_t *size;       /* [n] songs */
    int32_t genres;
    const int64_t *genre_songs; /* [genres] songs of each in the library */
};

/* evolve_pick: up to `limit` of them (0: all) into out, `have` of which the caller put there. Of
 * the three largest genres that have playlists the two farthest apart, then four of other genres,
 * then any, always the one farthest from those that were picked. Returns how many. out: room for n.
 */
int64_t evolve_pick(const struct evolve_choice *c, int64_t limit, int32_t *out, int64_t have);

/* evolve_pick_match: gives every one of n new playlists at most one of m old ones, so that the sum
 * of alike [n][m] (0..1) is largest; pairs below `least` are none. match [n]: the old one or -1. */
int evolve_pick_match(struct arena *a, const double *alike, int64_t n, int64_t m, double least,
                      int32_t *match, struct err *e);

#endif
