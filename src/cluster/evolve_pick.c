#include "cluster/evolve_pick.h"
#include <math.h>

#define TOP_GENRES   3 /* with two playlists each */
#define OTHER_GENRES 4 /* with one */

struct pick {
    const struct evolve_choice *c;
    int32_t *out;
    int64_t have, limit;
};

static double apart2(const struct evolve_choice *c, int64_t a, int64_t b)
{
    double sum = 0;
    for (int64_t j = 0; j < c->d; j++) {
        double off = (double)c->place[a][j] - (double)c->place[b][j];
        sum += off * off;
    }
    return sum;
}

static bool is_picked(const struct pick *p, int64_t i)
{
    for (int64_t j = 0; j < p->have; j++)
        if (p->out[j] == i) return true;
    return false;
}

static bool has_genre(const struct pick *p, int32_t genre)
{
    for (int64_t j = 0; j < p->have; j++)
        if (p->c->genre[p->out[j]] == genre) return true;
    return false;
}

/* The one that is farthest from those picked, the larger of equals; of a genre not in taken if that
 * is not NULL. False if there is none. */
static bool pick_farthest(struct pick *p, const bool *taken)
{
    int64_t best = -1;
    double far = -1;
    if (p->have >= p->limit) return false;
    for (int64_t i = 0; i < p->c->n; i++) {
        double nearest = INFINITY;
        int32_t genre = p->c->genre[i];
        if (is_picked(p, i) || (taken && (genre < 0 || taken[genre]))) continue;
        for (int64_t j = 0; j < p->have; j++) nearest = fmin(nearest, apart2(p->c, i, p->out[j]));
        if (best >= 0 && (nearest < far || (nearest == far && p->c->size[i] <= p->c->size[best])))
            continue;
        best = i;
        far = nearest;
    }
    if (best >= 0) p->out[p->have++] = (int32_t)best;
    return best >= 0;
}

static void pick_pair(struct pick *p, int32_t genre)
{
    int64_t one = -1, two = -1, only = -1;
    double far = -1;
    for (int64_t i = 0; i < p->c->n; i++) {
        if (p->c->genre[i] != genre || is_picked(p, i)) continue;
        only = only < 0 ? i : only;
        for (int64_t j = i + 1; j < p->c->n; j++) {
            if (p->c->genre[j] != genre || is_picked(p, j)) continue;
            double d2 = apart2(p->c, i, j);
            if (d2 <= far) continue;
            far = d2;
            one = i;
            two = j;
        }
    }
    if (one < 0) one = only;
    if (one >= 0 && p->have < p->limit) p->out[p->have++] = (int32_t)one;
    if (two >= 0 && p->have < p->limit) p->out[p->have++] = (int32_t)two;
}

int64_t evolve_pick(const struct evolve_choice *c, int64_t limit, int32_t *out, int64_t have)
{
    struct pick p = {
        .c = c, .out = out, .have = have, .limit = limit > 0 ? MIN(limit, c->n) : c->n};
    bool taken[256] = {false};
    assert(c->genres <= 256);
    if (have == 0 && p.limit == c->n) {
        for (int64_t i = 0; i < c->n; i++) out[i] = (int32_t)i;
        return c->n;
    }
    for (int32_t g = 0; g < c->genres; g++) taken[g] = has_genre(&p, g);
    for (int t = 0; t < TOP_GENRES; t++) {
        int32_t best = -1;
        for (int64_t i = 0; i < c->n; i++) {
            int32_t g = c->genre[i];
            if (g >= 0 && !taken[g] && (best < 0 || c->genre_songs[g] > c->genre_songs[best]))
                best = g;
        }
        if (best < 0) break;
        taken[best] = true;
        pick_pair(&p, best);
    }
    for (int t = 0; t < OTHER_GENRES && pick_farthest(&p, taken); t++)
        taken[c->genre[p.out[p.have - 1]]] = true;
    while (pick_farthest(&p, NULL)) continue;
    return p.have;
}

/* Kuhn's and Munkres' assignment by shortest augmenting paths; rows and columns from 1. Costs are
 * 1 - alike, and 1 where the square matrix has more columns or rows than there are. */
int evolve_pick_match(struct arena *a, const double *alike, int64_t n, int64_t m, double least,
                      int32_t *match, struct err *e)
{
    int64_t size = MAX(n, m);
    struct arena_mark mark = arena_here(a);
    double *u = ARENA_NEW(a, double, (size_t)(3 * (size + 1)), e);
    int64_t *row = ARENA_NEW(a, int64_t, (size_t)(2 * (size + 1)), e);
    bool *used = ARENA_NEW(a, bool, (size_t)(size + 1), e);
    if (!u || !row || !used) return -1;
    double *v = u + size + 1, *slack = v + size + 1;
    int64_t *way = row + size + 1;
    for (int64_t i = 1; i <= size; i++) {
        int64_t at = 0;
        row[0] = i;
        for (int64_t j = 0; j <= size; j++) {
            slack[j] = INFINITY;
            used[j] = false;
        }
        do {
            int64_t r = row[at], next = 0;
            double delta = INFINITY;
            used[at] = true;
            for (int64_t j = 1; j <= size; j++) {
                if (used[j]) continue;
                double cost = r <= n && j <= m ? 1 - alike[(r - 1) * m + j - 1] : 1;
                if (cost - u[r] - v[j] < slack[j]) {
                    slack[j] = cost - u[r] - v[j];
                    way[j] = at;
                }
                if (slack[j] < delta) {
                    delta = slack[j];
                    next = j;
                }
            }
            for (int64_t j = 0; j <= size; j++) {
                if (used[j]) {
                    u[row[j]] += delta;
                    v[j] -= delta;
                } else {
                    slack[j] -= delta;
                }
            }
            at = next;
        } while (row[at] != 0);
        for (; at; at = way[at]) row[at] = row[way[at]];
    }
    for (int64_t i = 0; i < n; i++) match[i] = -1;
    for (int64_t j = 1; j <= m; j++)
        if (row[j] >= 1 && row[j] <= n && alike[(row[j] - 1) * m + j - 1] >= least)
            match[row[j] - 1] = (int32_t)(j - 1);
    arena_rewind(a, mark);
    return 0;
}
