#include "cluster/kmeans.h"
#include <math.h>
#include <string.h>

/* Starts run side by side as long as what each keeps per row stays below this. */
#define SETS_BYTES (64 << 20)

struct set {        /* one start */
    double *sum;    /* [k][d] of its clusters' rows */
    int64_t *count; /* [k] */
    int64_t steps;
    double inertia;
    bool done, last; /* last: centres stand, labels are to be made once more */
};

struct lloyd {
    struct kmeans *m;
    struct set *set; /* [sets] */
    double tol;
    float *best_centre;
    int32_t *best_label, *label; /* label [sets][n] */
    struct kmeans_result *out;
};

static int plan_seed(struct kmeans *m, struct err *e)
{
    struct work *w = m->w;
    m->tries = 2 + (int64_t)log((double)m->o.k); /* as scikit-learn */
    TRY((m->draw = work_in(w, "draw", DTYPE_F64, WORK_DIMS(m->sets, m->tries), e)) < 0);
    TRY((m->first = plan_input(w->plan, "first", DTYPE_I32, 0, NULL, -1, e)) < 0);
    TRY((m->chosen = work_out(w, "chosen", DTYPE_I32, WORK_DIMS(m->sets), e)) < 0);
    TRY((m->potential = work_out(w, "potential", DTYPE_F64, WORK_DIMS(m->sets), e)) < 0);
    TRY((m->closest = work_state(w, "closest", DTYPE_F32, WORK_DIMS(m->sets, w->n), e)) < 0);
    m->tape_seed = work_tape(w, OP_seed, "seed", WORK_IDS(w->x, m->draw, m->first),
                             WORK_IDS(m->chosen, m->potential, m->closest), 0, e);
    return m->tape_seed < 0 ? -1 : 0;
}

static int64_t starts_of(const struct kmeans_options *o)
{
    return MAX(1, o->init ? o->inits : o->starts);
}

int kmeans_plan(struct work *w, const struct kmeans_options *o, struct kmeans *m, struct err *e)
{
    int64_t n = w->n, d = w->d, k = o->k;
    *m = (struct kmeans){.w = w, .o = *o, .draw = -1};
    if (k < 1 || (k > n && !o->init))
        return err_set(e, E_INPUT, "%lld clusters of %lld rows; 1 to %lld are possible",
                       (long long)k, (long long)n, (long long)n);
    m->sets = MAX(1, MIN(starts_of(o), SETS_BYTES / (16 * n)));
    if (!o->init) TRY(plan_seed(m, e));
    TRY((m->centre = work_in(w, "centre", DTYPE_F32, WORK_DIMS(m->sets, k, d), e)) < 0);
    TRY((m->move = work_in(w, "move", DTYPE_F32, WORK_DIMS(m->sets, k), e)) < 0);
    TRY((m->sum = work_out(w, "sum", DTYPE_F64, WORK_DIMS(m->sets, k, d), e)) < 0);
    TRY((m->count = work_out(w, "count", DTYPE_I32, WORK_DIMS(m->sets, k + 1), e)) < 0);
    TRY((m->label = work_state(w, "labels", DTYPE_I32, WORK_DIMS(m->sets, n), e)) < 0);
    TRY((m->bound = work_state(w, "bound", DTYPE_F32, WORK_DIMS(m->sets, n, 2), e)) < 0);
    m->tape_lloyd = work_tape(w, OP_lloyd, "lloyd", WORK_IDS(w->x, m->centre, m->move),
                              WORK_IDS(m->sum, m->count, m->label, m->bound), 0, e);
    if (m->tape_lloyd < 0) return -1;
    TRY(work_label(w, e));
    TRY((m->one = work_in(w, "one centre", DTYPE_F32, WORK_DIMS(k, d), e)) < 0);
    TRY((m->spread = work_out(w, "spread", DTYPE_F64, WORK_DIMS(k, 2), e)) < 0);
    TRY((m->d2 = work_out(w, "d2", DTYPE_F32, WORK_DIMS(n), e)) < 0);
    m->tape_spread = work_tape(w, OP_spread, "spread", WORK_IDS(w->x, m->one, w->label),
                               WORK_IDS(m->spread, m->d2), 0, e);
    return m->tape_spread < 0 ? -1 : 0;
}

/* Mean variance of a column. */
static int variance(struct work *w, double *out, struct err *e)
{
    const float *x = work_seen(w);
    struct arena_mark mark = arena_here(w->arena);
    double *mean = ARENA_NEW(w->arena, double, (size_t)w->d, e), sum = 0;
    if (!mean) return -1;
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t j = 0; j < w->d; j++) mean[j] += (double)x[i * w->d + j];
    for (int64_t j = 0; j < w->d; j++) mean[j] /= (double)w->n;
    for (int64_t i = 0; i < w->n; i++) {
        double row = 0;
        for (int64_t j = 0; j < w->d; j++) {
            double off = (double)x[i * w->d + j] - mean[j];
            row += off * off;
        }
        sum += row;
    }
    arena_rewind(w->arena, mark);
    *out = sum / (double)w->n / (double)w->d;
    return 0;
}

/* One chosen row for every start, k times; then every set has its centres. */
static int seed_sets(struct kmeans *m, struct work_random *random, struct err *e)
{
    struct work *w = m->w;
    double *draw = work_at(w, m->draw);
    int32_t *first = work_at(w, m->first);
    const int32_t *chosen = work_at(w, m->chosen);
    float *centre = work_at(w, m->centre);
    for (int64_t j = 0; j < m->o.k; j++) {
        for (int64_t i = 0; i < m->sets * m->tries; i++) draw[i] = work_draw(random);
        *first = j == 0;
        TRY(work_run(w, m->tape_seed, e));
        for (int64_t s = 0; s < m->sets; s++)
            memcpy(centre + (s * m->o.k + j) * w->d, work_seen(w) + chosen[s] * w->d,
                   (size_t)w->d * sizeof *centre);
    }
    return 0;
}

/* d2 of every row to its centre in this set. */
static int judge(struct kmeans *m, const float *centre, const int32_t *label, double *inertia,
                 struct err *e)
{
    struct work *w = m->w;
    memcpy(work_at(w, m->one), centre, (size_t)(m->o.k * w->d) * sizeof *centre);
    memcpy(work_at(w, w->label), label, (size_t)w->n * sizeof *label);
    TRY(work_run(w, m->tape_spread, e));
    const double *spread = work_at(w, m->spread);
    *inertia = 0;
    for (int64_t j = 0; j < m->o.k; j++) *inertia += spread[2 * j];
    return 0;
}

static int peek_labels(struct lloyd *l, struct err *e)
{
    struct kmeans *m = l->m;
    return work_peek(m->w, m->label, l->label, (size_t)(m->sets * m->w->n) * sizeof *l->label, e);
}

/* scikit-learn's rule: the rows farthest from their centres, one for each empty cluster, become its
 * only row; if no row is away from its centre, nothing is done. */
static int fill_empty(struct lloyd *l, int64_t s, double *sum, int64_t *count, struct err *e)
{
    struct kmeans *m = l->m;
    struct work *w = m->w;
    double inertia;
    float *centre = (float *)work_at(w, m->centre) + s * m->o.k * w->d;
    TRY(peek_labels(l, e));
    const int32_t *label = l->label + s * w->n;
    TRY(judge(m, centre, label, &inertia, e));
    float *d2 = work_at(w, m->d2);
    for (int64_t j = 0; j < m->o.k && inertia > 0; j++) {
        if (count[j] > 0) continue;
        int64_t far = 0;
        for (int64_t i = 1; i < w->n; i++) far = d2[i] > d2[far] ? i : far;
        int32_t from = label[far];
        d2[far] = -1;
        count[from]--;
        count[j] = 1;
        const float *row = work_seen(w) + far * w->d;
        for (int64_t i = 0; i < w->d; i++) {
            sum[from * w->d + i] -= (double)row[i];
            sum[j * w->d + i] = (double)row[i];
        }
    }
    return 0;
}

/* New centres of set s from its sums; returns the square of all moves together in *shift. */
static int move_centres(struct lloyd *l, int64_t s, double *shift, struct err *e)
{
    struct kmeans *m = l->m;
    struct work *w = m->w;
    struct set *set = &l->set[s];
    int64_t k = m->o.k, d = w->d, empty = 0, largest = 0;
    float *centre = (float *)work_at(w, m->centre) + s * k * d;
    float *move = (float *)work_at(w, m->move) + s * k;
    double *sum = set->sum;
    int64_t *count = set->count;
    struct arena_mark mark = arena_here(w->arena);
    for (int64_t j = 0; j < k; j++) empty += count[j] == 0;
    if (empty) { /* the set's own sums stay those of its labels */
        sum = ARENA_NEW(w->arena, double, (size_t)(k * d), e);
        if (!sum) return -1;
        count = ARENA_NEW(w->arena, int64_t, (size_t)k, e);
        if (!count) return -1;
        memcpy(sum, set->sum, (size_t)(k * d) * sizeof *sum);
        memcpy(count, set->count, (size_t)k * sizeof *count);
        TRY(fill_empty(l, s, sum, count, e));
    }
    for (int64_t j = 0; j < k; j++) largest = count[j] > count[largest] ? j : largest;
    *shift = 0;
    for (int64_t j = 0; j < k; j++) {
        /* what is still empty stands where the largest cluster does */
        int64_t from = count[j] > 0 ? j : largest;
        double off2 = 0;
        for (int64_t i = 0; i < d; i++) {
            float to = (float)(sum[from * d + i] / (double)count[from]);
            double off = (double)to - (double)centre[j * d + i];
            off2 += off * off;
            centre[j * d + i] = to;
        }
        move[j] = (float)(sqrt(off2) * (1 + 1e-6)); /* never less than it was */
        *shift += off2;
    }
    arena_rewind(w->arena, mark);
    return 0;
}

static int after_step(struct lloyd *l, int64_t s, struct err *e)
{
    struct kmeans *m = l->m;
    struct set *set = &l->set[s];
    int64_t k = m->o.k, d = m->w->d;
    const double *change = (const double *)work_at(m->w, m->sum) + s * k * d;
    const int32_t *count = (const int32_t *)work_at(m->w, m->count) + s * (k + 1);
    float *move = (float *)work_at(m->w, m->move) + s * k;
    double shift;
    for (int64_t j = 0; j < k; j++) set->count[j] += count[j];
    for (int64_t i = 0; i < k * d; i++) set->sum[i] += change[i];
    set->done = set->last;
    if (!set->last) {
        set->steps++;
        TRY(move_centres(l, s, &shift, e));
        set->done = count[k] == 0;
        set->last = shift <= l->tol || set->steps >= m->o.most_steps;
    }
    if (set->done) move[0] = -2;
    return 0;
}

static int run_sets(struct lloyd *l, int64_t begun, struct err *e)
{
    struct kmeans *m = l->m;
    int64_t left = m->sets, k = m->o.k, d = m->w->d;
    float *move = work_at(m->w, m->move);
    for (int64_t s = 0; s < m->sets; s++) {
        struct set *set = &l->set[s];
        memset(set->sum, 0, (size_t)(k * d) * sizeof *set->sum);
        memset(set->count, 0, (size_t)k * sizeof *set->count);
        *set = (struct set){.sum = set->sum, .count = set->count};
        set->last = m->o.most_steps < 1;
        set->done = begun + s >= MAX(m->o.starts, 1);
        move[s * k] = set->done ? -2 : -1;
        left -= set->done;
    }
    while (left > 0) {
        TRY(work_run(m->w, m->tape_lloyd, e));
        for (int64_t s = 0; s < m->sets; s++) {
            if (l->set[s].done) continue;
            TRY(after_step(l, s, e));
            left -= l->set[s].done;
        }
    }
    return 0;
}

/* What the caller wants of every start. */
static void keep_start(const struct lloyd *l, int64_t start, const float *centre,
                       const int32_t *label, double inertia)
{
    const struct kmeans *m = l->m;
    const struct kmeans_result *out = l->out;
    int64_t n = m->w->n, kd = m->o.k * m->w->d;
    if (out->every) memcpy(out->every + start * n, label, (size_t)n * sizeof *label);
    if (out->every_d2)
        memcpy(out->every_d2 + start * n, work_at(m->w, m->d2), (size_t)n * sizeof(float));
    if (out->every_centre)
        memcpy(out->every_centre + start * kd, centre, (size_t)kd * sizeof *centre);
    if (out->every_inertia) out->every_inertia[start] = inertia;
}

/* Keeps the best of the starts that have just run. */
static int keep_best(struct lloyd *l, int64_t begun, struct err *e)
{
    struct kmeans *m = l->m;
    struct kmeans_result *out = l->out;
    TRY(peek_labels(l, e));
    for (int64_t s = 0; s < m->sets && begun + s < MAX(m->o.starts, 1); s++) {
        const float *centre = (const float *)work_at(m->w, m->centre) + s * m->o.k * m->w->d;
        const int32_t *label = l->label + s * m->w->n;
        double inertia;
        TRY(judge(m, centre, label, &inertia, e));
        keep_start(l, begun + s, centre, label, inertia);
        if (begun + s > 0 && inertia >= out->inertia * (1 - KMEANS_SAME)) continue;
        out->inertia = inertia;
        out->start = begun + s;
        out->steps = l->set[s].steps;
        out->empty = 0;
        for (int64_t j = 0; j < m->o.k; j++) out->empty += l->set[s].count[j] == 0;
        memcpy(out->centre, centre, (size_t)(m->o.k * m->w->d) * sizeof *centre);
        memcpy(out->label, label, (size_t)m->w->n * sizeof *label);
    }
    return 0;
}

static int open_lloyd(struct kmeans *m, struct lloyd *l, struct kmeans_result *out, struct err *e)
{
    struct arena *a = m->w->arena;
    size_t kd = (size_t)(m->o.k * m->w->d);
    *l = (struct lloyd){.m = m, .out = out};
    *out = (struct kmeans_result){.every = out->every,
                                  .every_d2 = out->every_d2,
                                  .every_centre = out->every_centre,
                                  .every_inertia = out->every_inertia};
    if (!(out->centre = ARENA_NEW(a, float, kd, e))) return -1;
    if (!(out->label = ARENA_NEW(a, int32_t, (size_t)m->w->n, e))) return -1;
    if (!(l->set = ARENA_NEW(a, struct set, (size_t)m->sets, e))) return -1;
    if (!(l->label = ARENA_NEW(a, int32_t, (size_t)(m->sets * m->w->n), e))) return -1;
    for (int64_t s = 0; s < m->sets; s++) {
        if (!(l->set[s].sum = ARENA_NEW(a, double, kd, e))) return -1;
        if (!(l->set[s].count = ARENA_NEW(a, int64_t, (size_t)m->o.k, e))) return -1;
    }
    if (m->o.tol > 0) {
        TRY(variance(m->w, &l->tol, e));
        l->tol *= m->o.tol;
    }
    return 0;
}

int kmeans_run(struct kmeans *m, struct kmeans_result *out, struct err *e)
{
    struct work_random random;
    struct lloyd l;
    int64_t starts = m->o.starts = starts_of(&m->o), kd = m->o.k * m->w->d;
    work_seed(&random, m->o.seed);
    TRY(open_lloyd(m, &l, out, e));
    for (int64_t begun = 0; begun < starts; begun += m->sets) {
        work_progress(m->w, "starts", (double)begun, (double)starts);
        if (m->o.init)
            memcpy(work_at(m->w, m->centre), m->o.init + begun * kd,
                   (size_t)(MIN(m->sets, starts - begun) * kd) * sizeof(float));
        else
            TRY(seed_sets(m, &random, e));
        TRY(run_sets(&l, begun, e));
        TRY(keep_best(&l, begun, e));
    }
    work_progress(m->w, "starts", -1, 0);
    return 0;
}

int kmeans_assign(struct kmeans *m, const float *centre, int32_t *label, double *inertia,
                  struct err *e)
{
    float *move = work_at(m->w, m->move);
    double sum;
    memcpy(work_at(m->w, m->centre), centre, (size_t)(m->o.k * m->w->d) * sizeof *centre);
    for (int64_t s = 0; s < m->sets; s++) move[s * m->o.k] = s ? -2 : -1;
    TRY(work_run(m->w, m->tape_lloyd, e));
    TRY(work_peek(m->w, m->label, label, (size_t)m->w->n * sizeof *label, e));
    return judge(m, centre, label, inertia ? inertia : &sum, e);
}
