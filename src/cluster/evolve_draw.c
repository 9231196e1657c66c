#include "cluster/evolve_draw.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t evolve_draw_stream(uint64_t seed, enum evolve_stream use, int64_t index)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u + (uint64_t)index * 4 + (uint64_t)use + 1;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int64_t evolve_draw_int(struct work_random *r, int64_t least, int64_t most)
{
    if (most <= least) return least;
    int64_t at = (int64_t)(work_draw(r) * (double)(most - least + 1)); /* MIN takes it twice */
    return least + MIN(at, most - least);
}

/* ---- songs ------------------------------------------------------------------------------------
 */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* numpy's percentile of the sizes of the genres that have songs. room: [strata]. */
static int64_t wanted_of_each(const struct evolve_draw *d, const struct evolve_options *o,
                              int64_t *room)
{
    int64_t have = 0;
    for (int32_t g = 0; g + 1 < d->strata; g++)
        if (d->begin[g + 1] > d->begin[g]) room[have++] = d->begin[g + 1] - d->begin[g];
    if (have == 0) return o->genre_songs;
    qsort(room, (size_t)have, sizeof *room, by_size);
    double at = o->percentile / 100 * (double)(have - 1);
    int64_t below = MIN((int64_t)at, have - 1), above = MIN(below + 1, have - 1);
    double target =
        (double)room[below] + (at - (double)below) * (double)(room[above] - room[below]);
    return MAX(o->genre_songs, (int64_t)floor(target));
}

/* Raises the lowest quotas evenly until `left` songs are given away or nobody can take more; equals
 * are raised in the order of `order`. */
static void fill_quotas(const struct evolve_draw *d, const int64_t *room, const int32_t *order,
                        int64_t left)
{
    int32_t genres = d->strata - 1;
    while (left > 0) {
        int64_t lowest = INT64_MAX, next = INT64_MAX, open = 0;
        for (int32_t g = 0; g < genres; g++)
            if (d->quota[g] < room[g]) lowest = MIN(lowest, d->quota[g]);
        if (lowest == INT64_MAX) return;
        for (int32_t g = 0; g < genres; g++) {
            if (d->quota[g] >= room[g]) continue;
            if (d->quota[g] > lowest)
                next = MIN(next, d->quota[g]);
            else
                open++, next = MIN(next, room[g]);
        }
        int64_t step = MIN(next - lowest, left / open);
        for (int32_t i = 0; i < genres && left > 0; i++) {
            int32_t g = order[i];
            if (d->quota[g] != lowest || d->quota[g] >= room[g]) continue;
            d->quota[g] += MAX(step, 1);
            left -= MAX(step, 1);
        }
    }
}

static int set_quotas(struct arena *a, struct evolve_draw *d, const struct evolve_options *o,
                      struct err *e)
{
    struct work_random r;
    int32_t genres = d->strata - 1;
    int64_t known = d->begin[genres], sum = 0;
    int64_t *room = ARENA_NEW(a, int64_t, (size_t)d->strata, e);
    int32_t *order = ARENA_NEW(a, int32_t, (size_t)d->strata, e);
    if (!room || !order) return -1;
    int64_t wanted = wanted_of_each(d, o, room);
    int64_t size = MIN(o->subset > 0 ? o->subset : INT64_MAX, d->begin[d->strata]);
    work_seed(&r, evolve_draw_stream(o->seed, EVOLVE_TIES, 0));
    for (int32_t i = 0; i < genres; i++) {
        int32_t j = (int32_t)evolve_draw_int(&r, 0, i);
        order[i] = order[j];
        order[j] = i;
    }
    for (int32_t g = 0; g < genres; g++)
        sum += room[g] = MIN(d->begin[g + 1] - d->begin[g], wanted);
    int64_t of_genres = MIN(size, known);
    if (sum < of_genres) {
        memcpy(d->quota, room, (size_t)genres * sizeof *room);
        for (int32_t g = 0; g < genres; g++) room[g] = d->begin[g + 1] - d->begin[g];
        of_genres -= sum;
    }
    fill_quotas(d, room, order, of_genres);
    sum = 0;
    for (int32_t g = 0; g < genres; g++) sum += d->quota[g];
    d->quota[genres] = MIN(d->begin[d->strata] - known, size - sum);
    d->size = sum + d->quota[genres];
    return 0;
}

int evolve_draw_open(struct arena *a, const struct evolve_songs *songs,
                     const struct evolve_options *o, struct evolve_draw *d, struct err *e)
{
    *d = (struct evolve_draw){.songs = songs, .churn = o->churn, .strata = songs->genres + 1};
    size_t strata = (size_t)d->strata;
    if (!(d->begin = ARENA_NEW(a, int64_t, strata + 2, e))) return -1;
    if (!(d->quota = ARENA_NEW(a, int64_t, strata, e))) return -1;
    if (!(d->at = ARENA_NEW(a, int64_t, strata + 1, e))) return -1;
    if (!(d->member = ARENA_NEW(a, int32_t, (size_t)songs->n, e))) return -1;
    if (!(d->stamp = ARENA_NEW(a, uint32_t, (size_t)songs->n, e))) return -1;
    /* counted two places ahead, so that after placing every genre begins where it should */
    for (int64_t i = 0; i < songs->n; i++) {
        if (songs->genre[i] == -2) continue;
        d->begin[(songs->genre[i] < 0 ? songs->genres : songs->genre[i]) + 2]++;
    }
    for (size_t g = 2; g < strata + 2; g++) d->begin[g] += d->begin[g - 1];
    for (int64_t i = 0; i < songs->n; i++) {
        if (songs->genre[i] == -2) continue;
        int32_t g = songs->genre[i] < 0 ? songs->genres : songs->genre[i];
        d->member[d->begin[g + 1]++] = (int32_t)i;
    }
    if (d->begin[strata] == 0)
        return err_set(e, E_INPUT, "none of %lld songs has moods", (long long)songs->n);
    TRY(set_quotas(a, d, o, e));
    if (!(d->song = ARENA_NEW(a, int32_t, (size_t)d->size, e))) return -1;
    return (d->spare = ARENA_NEW(a, int32_t, (size_t)d->size, e)) ? 0 : -1;
}

/* `count` songs of genre g that have no stamp of this epoch, of which there are `room`. */
static int64_t draw_fresh(struct evolve_draw *d, int32_t g, int64_t count, int64_t room,
                          struct work_random *r, int32_t *out)
{
    const int32_t *member = d->member + d->begin[g];
    int64_t n = d->begin[g + 1] - d->begin[g], have = 0;
    count = MIN(count, room);
    if (room * 8 < n * 7 || count * 8 > room) { /* few are free: one walk over the genre */
        for (int64_t i = 0; i < n && have < count; i++) {
            if (d->stamp[member[i]] >= d->epoch) continue;
            if (work_draw(r) * (double)room-- < (double)(count - have)) out[have++] = member[i];
        }
    }
    while (have < count) {
        int32_t song = member[evolve_draw_int(r, 0, n - 1)];
        if (d->stamp[song] >= d->epoch) continue;
        d->stamp[song] = d->epoch;
        out[have++] = song;
    }
    return have;
}

void evolve_draw_songs(struct evolve_draw *d, bool first, struct work_random *r)
{
    int64_t to = 0;
    d->epoch++;
    for (int32_t g = 0; g < d->strata; g++) {
        int64_t quota = d->quota[g], before = first ? 0 : d->at[g + 1] - d->at[g];
        int32_t *was = d->song + d->at[g], *is = d->spare + to;
        int64_t keep = MIN(before, (int64_t)((double)quota * (1 - d->churn)));
        for (int64_t i = 0; i < before; i++) d->stamp[was[i]] = d->epoch;
        for (int64_t i = 0; i < keep; i++) { /* a partial shuffle */
            int64_t j = evolve_draw_int(r, i, before - 1);
            int32_t song = was[j];
            was[j] = was[i];
            was[i] = is[i] = song;
        }
        int64_t size = d->begin[g + 1] - d->begin[g];
        int64_t fresh = draw_fresh(d, g, quota - keep, size - before, r, is + keep);
        for (int64_t i = keep; i + fresh < quota; i++) { /* there are no more: old ones again */
            int64_t j = evolve_draw_int(r, i, before - 1);
            int32_t song = was[j];
            was[j] = was[i];
            was[i] = is[i + fresh] = song;
        }
        to += quota;
    }
    int32_t *song = d->song;
    d->song = d->spare;
    d->spare = song;
    for (int32_t g = 0; g < d->strata; g++) d->at[g + 1] = d->at[g] + d->quota[g];
}

/* ---- parameters -------------------------------------------------------------------------------
 */

static int64_t vary(struct work_random *r, int64_t x, int64_t by, int64_t least, int64_t most)
{
    int64_t to = x + evolve_draw_int(r, -MAX(by, 1), MAX(by, 1));
    return MAX(least, MIN(most, to));
}

struct evolve_candidate evolve_draw_candidate(const struct evolve_options *o, int64_t run,
                                              const struct evolve_run *elite, int64_t n_elites,
                                              bool may_vary, int64_t n, int64_t d)
{
    static const int32_t methods[] = {CLUSTER_KMEANS, CLUSTER_DBSCAN, CLUSTER_GMM,
                                      CLUSTER_SPECTRAL};
    struct evolve_candidate c = {.run = run, .method = o->method};
    struct work_random r;
    int64_t most_pca = MAX(0, MIN(o->components.most, MIN(d, n - 1)));
    int64_t least_pca = MIN(o->components.least, most_pca);
    int64_t most_k = MIN(o->clusters.most, n - 1), least_k = MIN(MAX(o->clusters.least, 2), most_k);
    work_seed(&r, evolve_draw_stream(o->seed, EVOLVE_PARAMETERS, run));
    if (n_elites > 0 && may_vary && work_draw(&r) < o->exploit) {
        c = elite[evolve_draw_int(&r, 0, n_elites - 1)].c;
        /* 0.4: the width of the range that the step was made for */
        double step = o->vary_number * fmax(1, (o->eps_most - o->eps_least) / 0.4);
        c.run = run;
        c.components = (int32_t)vary(&r, c.components, o->vary_count, least_pca, most_pca);
        c.clusters = (int32_t)vary(&r, c.clusters, o->vary_count, least_k, most_k);
        c.min_samples = (int32_t)vary(&r, c.min_samples, o->vary_count, o->min_samples.least,
                                      o->min_samples.most);
        c.state = (int32_t)vary(&r, c.state, o->vary_count, 0, 10000);
        c.eps += (2 * work_draw(&r) - 1) * step;
        c.eps = fmax(o->eps_least, fmin(o->eps_most, c.eps));
        return c;
    }
    c.components = (int32_t)evolve_draw_int(&r, least_pca, most_pca);
    c.clusters = (int32_t)evolve_draw_int(&r, least_k, most_k);
    c.min_samples = (int32_t)evolve_draw_int(&r, o->min_samples.least, o->min_samples.most);
    c.eps = o->eps_least + (o->eps_most - o->eps_least) * work_draw(&r);
    c.state = (int32_t)evolve_draw_int(&r, 0, 10000);
    if (o->method == EVOLVE_MIXED) c.method = methods[evolve_draw_int(&r, 0, COUNT(methods) - 1)];
    return c;
}
