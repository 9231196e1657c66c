#include "jobs/loss.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int loss_begin(struct arena *a, int64_t most, int64_t total, size_t width, struct loss *l,
               struct err *e)
{
    *l = (struct loss){.most = (size_t)MIN(most, total), .width = width, .total = total};
    if (l->most == 0) return 0;
    l->text = ARENA_NEW(a, struct str, l->most, e);
    l->vector = ARENA_NEW(a, float, l->most *width, e);
    return l->text && l->vector ? 0 : -1;
}

int loss_take(struct arena *a, struct loss *l, int64_t record, struct str text, const float *vector,
              struct err *e)
{
    int64_t most = (int64_t)l->most;
    if (most == 0 || record * most / l->total == (record + 1) * most / l->total) return 0;
    assert(l->n < l->most);
    char *copy = arena_text(a, text.n ? text.p : "", text.n, e);
    if (!copy) return -1;
    l->text[l->n] = (struct str){copy, text.n};
    memcpy(l->vector + l->n * l->width, vector, l->width * sizeof *vector);
    l->n++;
    return 0;
}

static double cosine(const float *x, const float *y, size_t n)
{
    double xy = 0, xx = 0, yy = 0;
    for (size_t i = 0; i < n; i++) {
        xy += (double)x[i] * (double)y[i];
        xx += (double)x[i] * (double)x[i];
        yy += (double)y[i] * (double)y[i];
    }
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : xx == yy;
}

static int ascending(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static int compare(struct arena *a, struct sentences *s, const struct loss *l,
                   const struct sentences_watch *watch, struct loss_found *out, struct err *e)
{
    struct sentences_counts ignored = {0};
    size_t bad;
    float *exact = ARENA_NEW(a, float, l->n * l->width, e);
    double *found = ARENA_NEW(a, double, l->n, e);
    if (!exact || !found) return -1;
    TRY(sentences_embed(s, l->text, l->n, exact, &ignored, watch, &bad, e));
    for (size_t i = 0; i < l->n; i++)
        found[i] = cosine(l->vector + i * l->width, exact + i * l->width, l->width);
    qsort(found, l->n, sizeof *found, ascending);
    *out = (struct loss_found){(found[(l->n - 1) / 2] + found[l->n / 2]) / 2, found[0]};
    return 0;
}

int loss_measure(const struct loss *l, const struct sentences_options *o,
                 const struct sentences_watch *watch, struct loss_found *out, struct err *e)
{
    struct sentences_options exact = *o;
    struct sentences *s = NULL;
    struct arena *a;
    exact.compute_type = "float32";
    TRY(arena_open("float32", 0, &a, e));
    int rc = sentences_open(a, &exact, &s, e);
    if (rc == 0) rc = compare(a, s, l, watch, out, e);
    sentences_close(&s);
    arena_close(&a);
    return rc;
}
