#include "cluster/evolve_score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOOD_LEAST 0.01 /* a mood of a centre below it is none */
#define CH_SCALE   500.0

struct score {
    struct arena *a;
    const struct evolve_songs *songs;
    const struct evolve_options *o;
    const struct evolve_clusters *c;
    double *centre;  /* [clusters][columns] means of all songs of the cluster */
    int64_t *begin;  /* [clusters + 1] in row */
    int32_t *row;    /* rows by cluster, nearest first; only those near enough */
    int32_t *artist; /* [artists] songs taken of each in the present playlist */
    double *strongest_mood, *strongest_feature; /* [n_mood], [features]; -1: of no playlist */
    double mood_purity, feature_purity;
    struct evolve_playlists *lists;
};

int evolve_score_rank(const struct evolve_options *o, const struct evolve_score *a,
                      const struct evolve_score *b)
{
    int64_t most = MAX(1, o->top_n > 0 ? o->top_n : INT32_MAX);
    int64_t x = MIN(a->full, most), y = MIN(b->full, most);
    if (x != y) return x > y ? 1 : -1;
    return (a->fitness > b->fitness) - (a->fitness < b->fitness);
}

/* ---- clusters ---------------------------------------------------------------------------------
 */

struct near {
    float away;
    int32_t row;
};

static int by_distance(const void *a, const void *b)
{
    const struct near *x = a, *y = b;
    if (x->away != y->away) return x->away < y->away ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int group_rows(struct score *s, struct err *e)
{
    const struct evolve_clusters *c = s->c;
    double most = 0;
    if (!(s->begin = ARENA_NEW(s->a, int64_t, (size_t)c->clusters + 2, e))) return -1;
    if (!(s->row = ARENA_NEW(s->a, int32_t, (size_t)c->n, e))) return -1;
    struct near *near = ARENA_NEW(s->a, struct near, (size_t)c->n, e);
    if (!near) return -1;
    for (int64_t i = 0; i < c->n; i++)
        if (c->label[i] >= 0) most = fmax(most, (double)c->away[i]);
    if (most == 0) most = 1;
    for (int64_t i = 0; i < c->n; i++)
        if (c->label[i] >= 0 && (double)c->away[i] / most <= s->o->max_distance)
            s->begin[c->label[i] + 2]++;
    for (int64_t k = 2; k < c->clusters + 2; k++) s->begin[k] += s->begin[k - 1];
    for (int64_t i = 0; i < c->n; i++)
        if (c->label[i] >= 0 && (double)c->away[i] / most <= s->o->max_distance)
            near[s->begin[c->label[i] + 1]++] = (struct near){c->away[i], (int32_t)i};
    for (int64_t k = 0; k < c->clusters; k++)
        qsort(near + s->begin[k], (size_t)(s->begin[k + 1] - s->begin[k]), sizeof *near,
              by_distance);
    for (int64_t i = 0; i < s->begin[c->clusters]; i++) s->row[i] = near[i].row;
    return 0;
}

static int find_centres(struct score *s, struct err *e)
{
    const struct evolve_clusters *c = s->c;
    int64_t columns = s->songs->columns;
    int64_t *count = ARENA_NEW(s->a, int64_t, (size_t)c->clusters, e);
    s->centre = ARENA_NEW(s->a, double, (size_t)(c->clusters * columns), e);
    if (!count || !s->centre) return -1;
    for (int64_t i = 0; i < c->n; i++) {
        if (c->label[i] < 0) continue;
        double *to = s->centre + c->label[i] * columns;
        const float *value = s->songs->value + c->song[i] * columns;
        count[c->label[i]]++;
        for (int64_t j = 0; j < columns; j++) to[j] += (double)value[j];
    }
    for (int64_t i = 0; i < c->clusters * columns; i++)
        s->centre[i] /= (double)MAX(count[i / columns], 1);
    return 0;
}

/* ---- one playlist -----------------------------------------------------------------------------
 */

/* The rows of a cluster that are taken go to the front of its part; returns how many. */
static int64_t take_songs(struct score *s, int64_t k)
{
    int32_t *row = s->row + s->begin[k];
    int64_t n = s->begin[k + 1] - s->begin[k], taken = 0, most = s->o->per_artist;
    for (int64_t i = 0; i < n; i++) {
        int32_t artist = s->songs->artist[s->c->song[row[i]]];
        if (artist >= 0 && most > 0 && s->artist[artist] >= most) continue;
        if (artist >= 0) s->artist[artist]++;
        row[taken++] = row[i];
        if (s->o->max_songs > 0 && taken >= s->o->max_songs) break;
    }
    for (int64_t i = 0; i < taken; i++) {
        int32_t artist = s->songs->artist[s->c->song[row[i]]];
        if (artist >= 0) s->artist[artist] = 0;
    }
    return taken;
}

static const float *value_of(const struct score *s, int32_t row)
{
    return s->songs->value + (int64_t)s->c->song[row] * s->songs->columns;
}

/* The strongest mood of a centre, and what its songs have of the strongest few. */
static void judge_moods(struct score *s, const double *centre, const int32_t *row, int64_t n)
{
    const struct evolve_songs *songs = s->songs;
    int32_t top[16], have = 0;
    for (int32_t want = 0; want < MIN((int32_t)s->o->top_moods, 16); want++) {
        int32_t best = -1;
        for (int32_t m = 0; m < songs->n_mood; m++) {
            bool used = false;
            for (int32_t i = 0; i < have; i++) used |= top[i] == m;
            if (used) continue;
            if (best < 0 || centre[songs->mood[m].centre] > centre[songs->mood[best].centre])
                best = m;
        }
        if (best < 0) break;
        top[have++] = best;
    }
    if (have == 0) return;
    s->strongest_mood[top[0]] = fmax(s->strongest_mood[top[0]], centre[songs->mood[top[0]].centre]);
    for (int64_t i = 0; i < n; i++) {
        const float *value = value_of(s, row[i]);
        float most = 0;
        for (int32_t t = 0; t < have; t++) {
            const struct evolve_mood *m = &songs->mood[top[t]];
            if (m->song >= 0 && centre[m->centre] > MOOD_LEAST && value[m->song] > most)
                most = value[m->song];
        }
        s->mood_purity += (double)most;
    }
}

static void judge_features(struct score *s, const double *centre, const int32_t *row, int64_t n)
{
    int32_t first = 2 + s->songs->moods, best = first;
    if (s->songs->features == 0) return;
    for (int32_t f = first; f < s->songs->columns; f++)
        if (centre[f] > centre[best]) best = f;
    if (centre[best] > s->o->feature_least)
        s->strongest_feature[best - first] = fmax(s->strongest_feature[best - first], centre[best]);
    if (centre[best] < s->o->feature_least) return;
    for (int64_t i = 0; i < n; i++) s->feature_purity += (double)value_of(s, row[i])[best];
}

static int32_t genre_of(const struct score *s, const int32_t *row, int64_t n, int32_t *count)
{
    int32_t best = -1;
    memset(count, 0, (size_t)s->songs->genres * sizeof *count);
    for (int64_t i = 0; i < n; i++) {
        int16_t genre = s->songs->genre[s->c->song[row[i]]];
        if (genre >= 0) count[genre]++;
    }
    for (int32_t g = 0; g < s->songs->genres; g++)
        if (count[g] > 0 && (best < 0 || count[g] > count[best])) best = g;
    return best;
}

static void keep_list(struct score *s, int64_t k, int64_t taken, int32_t *count)
{
    struct evolve_playlists *l = s->lists;
    const int32_t *row = s->row + s->begin[k];
    int64_t from = l->n ? l->list[l->n - 1].to : 0, columns = s->songs->columns;
    l->list[l->n] = (struct evolve_list){.cluster = (int32_t)k,
                                         .genre = genre_of(s, row, taken, count),
                                         .from = from,
                                         .to = from + taken};
    for (int64_t i = 0; i < taken; i++) {
        l->song[from + i] = s->c->song[row[i]];
        l->plane_list[row[i]] = (int32_t)l->n;
    }
    memcpy(l->centre + l->n * columns, s->centre + k * columns,
           (size_t)columns * sizeof *l->centre);
    memcpy(l->place + l->n * s->c->d, s->c->centre + k * s->c->d,
           (size_t)s->c->d * sizeof *l->place);
    l->n++;
}

/* ---- all of them ------------------------------------------------------------------------------
 */

static double sum_of(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] >= 0 ? x[i] : 0;
    return sum;
}

static void put_metrics(const struct score *s, struct evolve_score *out)
{
    const struct evolve_options *o = s->o;
    const double raw[] = {[EVOLVE_MOOD_DIVERSITY] = sum_of(s->strongest_mood, s->songs->n_mood),
                          [EVOLVE_MOOD_PURITY] = s->mood_purity,
                          [EVOLVE_FEATURE_DIVERSITY] =
                              sum_of(s->strongest_feature, s->songs->features),
                          [EVOLVE_FEATURE_PURITY] = s->feature_purity};
    for (int i = 0; i < 4; i++)
        out->metric[i] =
            o->deviation[i] > 1e-9 ? (log1p(raw[i]) - o->mean[i]) / o->deviation[i] : 0;
    bool judged = out->playlists >= 2 && out->playlists < s->c->n;
    double silhouette = s->c->silhouette, db = s->c->davies_bouldin, ch = s->c->calinski_harabasz;
    out->metric[EVOLVE_SILHOUETTE] = judged && !isnan(silhouette) ? (silhouette + 1) / 2 : 0;
    out->metric[EVOLVE_DAVIES_BOULDIN] = judged && !isnan(db) ? 1 / (1 + db) : 0;
    out->metric[EVOLVE_CALINSKI_HARABASZ] = judged && !isnan(ch) ? 1 - exp(-ch / CH_SCALE) : 0;
    out->fitness = 0;
    for (int i = 0; i < EVOLVE_METRICS; i++) out->fitness += o->weight[i] * out->metric[i];
}

static int open_lists(struct score *s, struct err *e)
{
    struct evolve_playlists *l = s->lists;
    size_t k = (size_t)s->c->clusters, n = (size_t)s->c->n;
    if (!l) return 0;
    *l = (struct evolve_playlists){.clusters = s->c->clusters, .d = s->c->d, .rows = s->c->n};
    if (!(l->list = ARENA_NEW(s->a, struct evolve_list, k, e))) return -1;
    if (!(l->song = ARENA_NEW(s->a, int32_t, n, e))) return -1;
    if (!(l->plane_list = ARENA_NEW(s->a, int32_t, n, e))) return -1;
    if (!(l->centre = ARENA_NEW(s->a, double, k *(size_t)s->songs->columns, e))) return -1;
    if (!(l->place = ARENA_NEW(s->a, float, k *(size_t)s->c->d, e))) return -1;
    memset(l->plane_list, -1, n * sizeof *l->plane_list);
    return 0;
}

int evolve_score_run(struct arena *a, const struct evolve_songs *songs,
                     const struct evolve_options *o, const struct evolve_clusters *c,
                     struct evolve_score *score, struct evolve_playlists *lists, struct err *e)
{
    struct score s = {.a = a, .songs = songs, .o = o, .c = c, .lists = lists};
    *score = (struct evolve_score){0};
    TRY(open_lists(&s, e));
    TRY(group_rows(&s, e));
    TRY(find_centres(&s, e));
    size_t features = (size_t)songs->features, moods = (size_t)songs->n_mood;
    if (!(s.artist = ARENA_NEW(a, int32_t, (size_t)songs->artists, e))) return -1;
    if (!(s.strongest_mood = ARENA_NEW(a, double, moods, e))) return -1;
    if (!(s.strongest_feature = ARENA_NEW(a, double, features, e))) return -1;
    int32_t *count = ARENA_NEW(a, int32_t, (size_t)songs->genres, e);
    if (!count) return -1;
    for (size_t i = 0; i < moods; i++) s.strongest_mood[i] = -1;
    for (size_t i = 0; i < features; i++) s.strongest_feature[i] = -1;
    for (int64_t k = 0; k < c->clusters; k++) {
        const double *centre = s.centre + k * songs->columns;
        const int32_t *row = s.row + s.begin[k];
        int64_t taken = take_songs(&s, k);
        if (taken == 0) continue;
        score->playlists++;
        score->full += taken >= o->min_songs;
        score->songs += taken;
        judge_moods(&s, centre, row, taken);
        judge_features(&s, centre, row, taken);
        if (lists) keep_list(&s, k, taken, count);
    }
    put_metrics(&s, score);
    return 0;
}
