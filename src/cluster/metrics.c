#include "cluster/metrics.h"
#include <math.h>
#include <string.h>

int metrics_plan(struct work *w, int64_t k, struct metrics *m, struct err *e)
{
    *m = (struct metrics){.w = w, .k = k};
    TRY(work_label(w, e));
    TRY((m->centre = work_in(w, "cluster means", DTYPE_F32, WORK_DIMS(k, w->d), e)) < 0);
    TRY((m->spread = work_out(w, "scatter", DTYPE_F64, WORK_DIMS(k, 2), e)) < 0);
    TRY((m->silhouette = work_out(w, "silhouettes", DTYPE_F32, WORK_DIMS(w->n), e)) < 0);
    m->tape_spread = work_tape(w, OP_spread, "scatter", WORK_IDS(w->x, m->centre, w->label),
                               WORK_IDS(m->spread), 0, e);
    if (m->tape_spread < 0) return -1;
    m->tape_apart = work_tape(w, OP_apart, "apart", WORK_IDS(w->x, w->label),
                              WORK_IDS(m->silhouette), (int)k, e);
    return m->tape_apart < 0 ? -1 : 0;
}

struct sums {     /* of the rows that have a label */
    double *mean; /* [k][d] */
    double *whole;
    int64_t *count, rows, clusters;
};

static int find_means(struct metrics *m, const int32_t *label, struct sums *s, struct err *e)
{
    int64_t d = m->w->d;
    const float *x = work_seen(m->w);
    float *centre = work_at(m->w, m->centre);
    *s = (struct sums){0};
    if (!(s->mean = ARENA_NEW(m->w->arena, double, (size_t)((m->k + 1) * d), e))) return -1;
    if (!(s->count = ARENA_NEW(m->w->arena, int64_t, (size_t)m->k, e))) return -1;
    s->whole = s->mean + m->k * d;
    for (int64_t i = 0; i < m->w->n; i++) {
        if (label[i] < 0) continue;
        double *to = s->mean + label[i] * d;
        s->count[label[i]]++;
        s->rows++;
        for (int64_t j = 0; j < d; j++) to[j] += (double)x[i * d + j];
    }
    for (int64_t k = 0; k < m->k; k++) {
        s->clusters += s->count[k] > 0;
        for (int64_t j = 0; j < d; j++) {
            s->whole[j] += s->mean[k * d + j] / (double)MAX(s->rows, 1);
            s->mean[k * d + j] /= (double)MAX(s->count[k], 1);
            centre[k * d + j] = (float)s->mean[k * d + j];
        }
    }
    return 0;
}

static double distance2(const double *a, const double *b, int64_t d)
{
    double sum = 0;
    for (int64_t j = 0; j < d; j++) sum += (a[j] - b[j]) * (a[j] - b[j]);
    return sum;
}

static double davies_bouldin(const struct metrics *m, const struct sums *s, const double *spread)
{
    double sum = 0;
    for (int64_t i = 0; i < m->k; i++) {
        double worst = 0;
        for (int64_t j = 0; j < m->k && s->count[i] > 0; j++) {
            if (i == j || s->count[j] == 0) continue;
            double apart = sqrt(distance2(s->mean + i * m->w->d, s->mean + j * m->w->d, m->w->d));
            double both =
                spread[2 * i + 1] / (double)s->count[i] + spread[2 * j + 1] / (double)s->count[j];
            if (apart > 0) worst = fmax(worst, both / apart);
        }
        sum += worst;
    }
    return sum / (double)s->clusters;
}

static double calinski_harabasz(const struct metrics *m, const struct sums *s, const double *spread)
{
    double within = 0, between = 0;
    for (int64_t k = 0; k < m->k; k++) {
        within += spread[2 * k];
        between += (double)s->count[k] * distance2(s->mean + k * m->w->d, s->whole, m->w->d);
    }
    if (within == 0) return 1;
    return between / within * (double)(s->rows - s->clusters) / (double)(s->clusters - 1);
}

int metrics_run(struct metrics *m, const int32_t *label, struct metrics_result *out, struct err *e)
{
    struct arena_mark mark = arena_here(m->w->arena);
    struct sums s;
    *out = (struct metrics_result){NAN, NAN, NAN, NULL};
    TRY(find_means(m, label, &s, e));
    if (s.clusters >= 2 && s.clusters < s.rows) {
        memcpy(work_at(m->w, m->w->label), label, (size_t)m->w->n * sizeof *label);
        TRY(work_run(m->w, m->tape_spread, e));
        TRY(work_run(m->w, m->tape_apart, e));
        const double *spread = work_at(m->w, m->spread);
        out->silhouettes = work_at(m->w, m->silhouette);
        double sum = 0;
        for (int64_t i = 0; i < m->w->n; i++) sum += (double)out->silhouettes[i];
        out->silhouette = sum / (double)s.rows;
        out->davies_bouldin = davies_bouldin(m, &s, spread);
        out->calinski_harabasz = calinski_harabasz(m, &s, spread);
    }
    arena_rewind(m->w->arena, mark);
    return 0;
}
