#include "jobs/rank.h"
#include <math.h>
#include <stdlib.h>

/* What a search's products of vectors of length 1 may be off from those formed here. */
#define SLACK   1e-4F
#define UNKNOWN (-1)

int rank_open(struct arena *a, struct rank *r, struct err *e)
{
    r->of = ARENA_NEW(a, struct rank_pair, r->documents, e);
    r->place = ARENA_NEW(a, int32_t, r->documents, e);
    return r->of && r->place ? 0 : -1;
}

static int better(const void *x, const void *y)
{
    const struct rank_pair *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    if (a->target != b->target) return a->target < b->target ? -1 : 1;
    return a->query < b->query ? -1 : a->query > b->query;
}

/* The best `top` of all documents are among the best `top` of each passage. */
size_t rank_documents(struct rank *r, const struct rank_query *q, double least)
{
    size_t top = (size_t)r->top, n = 0, kept = 0;
    for (int32_t i = q->from; i < q->to; i++) {
        const int32_t *row = q->row + (size_t)i * top;
        for (size_t k = 0; k < top && row[k] >= 0; k++) {
            struct rank_pair pair = {q->product[(size_t)i * top + k], i, row[k]};
            int32_t *place = &r->place[r->owner[row[k]]];
            if (*place == 0) {
                r->of[n++] = pair;
                *place = (int32_t)n;
            } else if (better(&pair, &r->of[*place - 1]) < 0) {
                r->of[*place - 1] = pair;
            }
        }
    }
    for (size_t i = 0; i < n; i++) r->place[r->owner[r->of[i].target]] = 0;
    qsort(r->of, n, sizeof *r->of, better);
    while (kept < MIN(n, top) && (double)r->of[kept].score >= least) kept++;
    return kept;
}

/* No passage of the document is nearer to passage i than that. */
static float bound(const struct rank *r, const struct rank_query *q, int32_t i, int32_t document)
{
    size_t top = (size_t)r->top;
    const int32_t *row = q->row + (size_t)i * top;
    const float *product = q->product + (size_t)i * top;
    for (size_t k = 0; k < top; k++) {
        if (row[k] < 0) return INFINITY;
        if (r->owner[row[k]] == document) return product[k] + SLACK;
    }
    return product[top - 1] + SLACK;
}

static float dot(const float *x, const float *y, int n)
{
    enum { lanes = 16 };
    float part[lanes] = {0}, sum = 0;
    int i = 0;
    for (; i + lanes <= n; i += lanes)
        for (int k = 0; k < lanes; k++) part[k] += x[i + k] * y[i + k];
    for (; i < n; i++) sum += x[i] * y[i];
    for (int k = 0; k < lanes; k++) sum += part[k];
    return sum;
}

static bool is_used(const struct rank_pair *room, size_t kept, int32_t target)
{
    for (size_t k = 0; k < kept; k++) {
        if (room[k].target == target) return true;
    }
    return false;
}

/* Finds the nearest passage of the document that no pair has yet; -INFINITY if there is none. */
static void find(struct rank *r, const struct rank_query *q, int32_t document,
                 const struct rank_pair *room, size_t kept, struct rank_pair *pair)
{
    size_t width = (size_t)r->width;
    pair->score = -INFINITY;
    pair->target = UNKNOWN;
    for (int32_t j = r->first[document]; j < r->first[document + 1]; j++) {
        float x =
            dot(q->vector + (size_t)pair->query * width, r->vector + (size_t)j * width, r->width);
        r->scans++;
        if (x > pair->score && !is_used(room, kept, j)) {
            pair->score = x;
            pair->target = j;
        }
    }
}

/* A round takes the best pair that is left: passages are gone through from the one that may have
 * the nearest on, and as soon as none of the others can be nearer than what was found, no product
 * is formed any more. */
size_t rank_reasons(struct rank *r, const struct rank_query *q, int32_t document, size_t most,
                    struct rank_pair *room)
{
    size_t n = 0, kept = 0;
    for (int32_t i = q->from; i < q->to; i++)
        room[n++] = (struct rank_pair){bound(r, q, i, document), i, UNKNOWN};
    qsort(room, n, sizeof *room, better);
    for (; kept < MIN(most, n); kept++) {
        size_t best = kept;
        for (size_t i = kept; i < n; i++) {
            struct rank_pair *p = &room[i];
            if (i > kept && p->score < room[best].score) continue;
            if (p->target == UNKNOWN || is_used(room, kept, p->target))
                find(r, q, document, room, kept, p);
            if (better(p, &room[best]) < 0) best = i;
        }
        if (room[best].target == UNKNOWN) break;
        struct rank_pair swap = room[best];
        room[best] = room[kept];
        room[kept] = swap;
    }
    return kept;
}
