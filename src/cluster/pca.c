#include "cluster/pca.h"
#include <math.h>
#include <string.h>

enum {
    CHUNK = 1024,
    EXTRA = 10,
    ROUNDS = 7
}; /* rows at a time; scikit-learn's n_oversamples, n_iter */

struct fit {
    struct work w;
    const struct pca_source *source;
    int64_t size; /* of the matrix whose eigenvalues are taken */
    int product, sums, matrix, value, vector, base, base_at, projected, back;
    int tape_gram, tape_eigen, tape_project, tape_back, tape_inner;
    double *mean, *all, whole; /* means [d]; size x size; variance of all columns times n - 1 */
};

static int eigen_values(struct fit *f, struct err *e)
{
    struct work *w = &f->w;
    int64_t s = f->size;
    TRY((f->matrix = work_in(w, "matrix", DTYPE_F64, WORK_DIMS(s, s), e)) < 0);
    TRY((f->value = work_out(w, "values", DTYPE_F64, WORK_DIMS(s), e)) < 0);
    TRY((f->vector = work_out(w, "vectors", DTYPE_F64, WORK_DIMS(s, s), e)) < 0);
    f->tape_eigen =
        work_tape(w, OP_eigen, "eigen", WORK_IDS(f->matrix), WORK_IDS(f->value, f->vector), 0, e);
    return f->tape_eigen < 0 ? -1 : 0;
}

static int next_rows(struct fit *f, int64_t from, struct err *e)
{
    int64_t count = MIN(f->w.n, f->source->n - from);
    *(int32_t *)work_at(&f->w, f->w.live) = (int32_t)count;
    return f->source->rows(f->source->ctx, from, count, work_rows(&f->w), e);
}

/* ---- covariance -------------------------------------------------------------------------------
 */

static int exact(struct fit *f, struct err *e)
{
    struct work *w = &f->w;
    int64_t d = w->d, n = f->source->n;
    TRY((f->product = work_out(w, "product", DTYPE_F64, WORK_DIMS(d, d), e)) < 0);
    TRY((f->sums = work_out(w, "sums", DTYPE_F64, WORK_DIMS(d), e)) < 0);
    f->tape_gram =
        work_tape(w, OP_gram, "gram", WORK_IDS(w->x), WORK_IDS(f->product, f->sums), 0, e);
    if (f->tape_gram < 0) return -1;
    f->size = d;
    TRY(eigen_values(f, e));
    TRY(work_ready(w, e));
    double *matrix = work_at(w, f->matrix);
    memset(matrix, 0, (size_t)(d * d) * sizeof *matrix);
    for (int64_t from = 0; from < n; from += w->n) {
        TRY(next_rows(f, from, e));
        TRY(work_run(w, f->tape_gram, e));
        const double *product = work_at(w, f->product), *sums = work_at(w, f->sums);
        for (int64_t i = 0; i < d * d; i++) matrix[i] += product[i];
        for (int64_t i = 0; i < d; i++) f->mean[i] += sums[i] / (double)n;
    }
    for (int64_t i = 0; i < d; i++) {
        for (int64_t j = 0; j < d; j++) matrix[i * d + j] -= (double)n * f->mean[i] * f->mean[j];
        f->whole += matrix[i * d + i];
    }
    return work_run(w, f->tape_eigen, e);
}

/* ---- random subspace --------------------------------------------------------------------------
 */

/* Rows of base [size][d] are made orthonormal, twice for the sake of rounding. */
static void orthonormal(double *base, int64_t rows, int64_t d)
{
    for (int again = 0; again < 2; again++) {
        for (int64_t i = 0; i < rows; i++) {
            double *row = base + i * d, length = 0;
            for (int64_t j = 0; j < i; j++) {
                const double *other = base + j * d;
                double dot = 0;
                for (int64_t c = 0; c < d; c++) dot += row[c] * other[c];
                for (int64_t c = 0; c < d; c++) row[c] -= dot * other[c];
            }
            for (int64_t c = 0; c < d; c++) length += row[c] * row[c];
            length = sqrt(length);
            for (int64_t c = 0; c < d; c++) row[c] = length > 0 ? row[c] / length : 0;
        }
    }
}

/* One reading of all rows: back [d][size] = x^T (x base^T), x centred; inner [size][size]. */
static int read_rows(struct fit *f, double *back, double *inner, struct err *e)
{
    struct work *w = &f->w;
    int64_t d = w->d, s = f->size, n = f->source->n;
    float *offset = work_at(w, f->base_at);
    const float *base = work_at(w, f->base);
    memset(back, 0, (size_t)(d * s) * sizeof *back);
    memset(inner, 0, (size_t)(s * s) * sizeof *inner);
    for (int64_t i = 0; i < s; i++) {
        double sum = 0;
        for (int64_t j = 0; j < d; j++) sum -= f->mean[j] * (double)base[i * d + j];
        offset[i] = (float)sum;
    }
    for (int64_t from = 0; from < n; from += w->n) {
        TRY(next_rows(f, from, e));
        TRY(work_run(w, f->tape_project, e));
        TRY(work_run(w, f->tape_back, e));
        TRY(work_run(w, f->tape_inner, e));
        const double *b = work_at(w, f->back), *p = work_at(w, f->product);
        const double *sums = work_at(w, f->sums);
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < s; j++) back[i * s + j] += b[i * s + j] - f->mean[i] * sums[j];
        for (int64_t i = 0; i < s * s; i++) inner[i] += p[i];
    }
    return 0;
}

static int plan_subspace(struct fit *f, struct err *e)
{
    struct work *w = &f->w;
    int64_t d = w->d, s = f->size;
    TRY((f->base = work_in(w, "base", DTYPE_F32, WORK_DIMS(s, d), e)) < 0);
    TRY((f->base_at = work_in(w, "offset", DTYPE_F32, WORK_DIMS(s), e)) < 0);
    f->projected = plan_output(w->plan, "projected", DTYPE_F32, 2, WORK_DIMS(w->n, s), w->live, e);
    if (f->projected < 0) return -1;
    TRY((f->back = work_out(w, "back", DTYPE_F64, WORK_DIMS(d, s), e)) < 0);
    TRY((f->product = work_out(w, "inner", DTYPE_F64, WORK_DIMS(s, s), e)) < 0);
    TRY((f->sums = work_out(w, "sums", DTYPE_F64, WORK_DIMS(s), e)) < 0);
    f->tape_project = work_tape(w, OP_project, "project", WORK_IDS(w->x, f->base, f->base_at),
                                WORK_IDS(f->projected), 0, e);
    f->tape_back =
        work_tape(w, OP_gram, "back", WORK_IDS(w->x, f->projected), WORK_IDS(f->back), 0, e);
    f->tape_inner =
        work_tape(w, OP_gram, "inner", WORK_IDS(f->projected), WORK_IDS(f->product, f->sums), 0, e);
    if (f->tape_project < 0 || f->tape_back < 0 || f->tape_inner < 0) return -1;
    TRY(eigen_values(f, e));
    return work_ready(w, e);
}

static int find_means(struct fit *f, struct err *e)
{
    int64_t n = f->source->n, d = f->w.d;
    double whole = 0;
    for (int64_t from = 0; from < n; from += f->w.n) {
        TRY(next_rows(f, from, e));
        const float *x = work_seen(&f->w);
        for (int64_t i = 0; i < MIN(f->w.n, n - from) * d; i++) {
            f->mean[i % d] += (double)x[i] / (double)n;
            whole += (double)x[i] * (double)x[i];
        }
    }
    for (int64_t j = 0; j < d; j++) whole -= (double)n * f->mean[j] * f->mean[j];
    f->whole = whole;
    return 0;
}

/* Fills all [size][d] with components and the matrix' eigenvalues. */
static int subspace(struct fit *f, uint64_t seed, struct err *e)
{
    struct work *w = &f->w;
    struct work_random random;
    int64_t d = w->d, s = f->size;
    TRY(plan_subspace(f, e));
    double *back = ARENA_NEW(w->arena, double, (size_t)(d * s), e), *matrix = work_at(w, f->matrix);
    if (!back) return -1;
    float *base = work_at(w, f->base);
    TRY(find_means(f, e));
    work_seed(&random, seed);
    for (int64_t i = 0; i < s * d; i++) f->all[i] = work_draw(&random) - 0.5;
    for (int round = 0; round < ROUNDS; round++) {
        orthonormal(f->all, s, d);
        for (int64_t i = 0; i < s * d; i++) base[i] = (float)f->all[i];
        TRY(read_rows(f, back, matrix, e));
        work_progress(w, "components", round + 1, ROUNDS);
        if (round + 1 == ROUNDS) break;
        for (int64_t i = 0; i < s; i++)
            for (int64_t j = 0; j < d; j++) f->all[i * d + j] = back[j * s + i];
    }
    work_progress(w, "components", -1, 0);
    TRY(work_run(w, f->tape_eigen, e)); /* of (x base^T)^T (x base^T) */
    const double *vector = work_at(w, f->vector);
    for (int64_t i = 0; i < s; i++) {
        double *to = back + i * d;
        memset(to, 0, (size_t)d * sizeof *to);
        for (int64_t k = 0; k < s; k++)
            for (int64_t j = 0; j < d; j++) to[j] += vector[i * s + k] * f->all[k * d + j];
    }
    memcpy(f->all, back, (size_t)(s * d) * sizeof *back);
    return 0;
}

/* ---- the result -------------------------------------------------------------------------------
 */

/* How many components `wanted` is. */
static int count_components(const struct fit *f, double wanted, int64_t *m, struct err *e)
{
    const double *value = engine_host(f->w.ready, f->value);
    int64_t most = MIN(f->source->n, f->source->d);
    double sum = 0;
    *m = (int64_t)wanted;
    for (int64_t i = 0; i < MIN(f->size, most) && wanted < 1; i++) {
        sum += fmax(value[i], 0);
        *m = i + 1;
        if (sum >= wanted * f->whole) break;
    }
    if (*m >= 1 && *m <= most) return 0;
    return err_set(e, E_INPUT,
                   "%lld component%s of %lld row%s of %lld number%s; 1 to %lld are there",
                   (long long)*m, str_s(*m), (long long)f->source->n, str_s(f->source->n),
                   (long long)f->source->d, str_s(f->source->d), (long long)most);
}

static int take(struct arena *a, const struct fit *f, double wanted, struct pca *p, struct err *e)
{
    const double *value = engine_host(f->w.ready, f->value);
    const double *vector = f->all ? f->all : engine_host(f->w.ready, f->vector);
    TRY(count_components(f, wanted, &p->m, e));
    int64_t d = p->d = f->source->d, m = p->m;
    if (!(p->component = ARENA_NEW(a, float, (size_t)(m * d), e))) return -1;
    if (!(p->offset = ARENA_NEW(a, float, (size_t)m, e))) return -1;
    if (!(p->variance = ARENA_NEW(a, double, (size_t)m, e))) return -1;
    if (!(p->ratio = ARENA_NEW(a, double, (size_t)m, e))) return -1;
    for (int64_t i = 0; i < m; i++) {
        const double *v = vector + i * d;
        double sum = 0;
        int64_t widest = 0;
        for (int64_t j = 0; j < d; j++) widest = fabs(v[j]) > fabs(v[widest]) ? j : widest;
        for (int64_t j = 0; j < d; j++) {
            p->component[i * d + j] = (float)(v[widest] < 0 ? -v[j] : v[j]);
            sum -= f->mean[j] * (double)p->component[i * d + j];
        }
        p->offset[i] = (float)sum;
        p->variance[i] = fmax(value[i], 0) / (double)MAX(f->source->n - 1, 1);
        p->ratio[i] = f->whole > 0 ? fmax(value[i], 0) / f->whole : 0;
    }
    return 0;
}

static int fit(struct arena *a, struct arena *own, struct engine *engine,
               const struct work_watch *watch, struct fit *f, double wanted, uint64_t seed,
               struct pca *p, struct err *e)
{
    const struct pca_source *s = f->source;
    TRY(work_open(own, engine, watch, MIN(s->n, CHUNK), s->d, &f->w, e));
    if (!(f->mean = ARENA_NEW(own, double, (size_t)s->d, e))) return -1;
    if (s->d <= PCA_EXACT) {
        TRY(exact(f, e));
        return take(a, f, wanted, p, e);
    }
    int64_t most = MIN(s->n, s->d);
    if (wanted < 1 && most > PCA_FRACTION)
        return err_set(
            e, E_INPUT,
            "a fraction of the variance of %lld columns cannot be found; name the number "
            "of components",
            (long long)s->d);
    f->size = wanted < 1 ? most : MIN(most, (int64_t)wanted + EXTRA);
    if (!(f->all = ARENA_NEW(own, double, (size_t)(f->size * s->d), e))) return -1;
    TRY(subspace(f, seed, e));
    return take(a, f, wanted, p, e);
}

int pca_open(struct arena *a, struct engine *engine, const struct work_watch *watch,
             const struct pca_source *source, double wanted, uint64_t seed, struct pca *p,
             struct err *e)
{
    struct fit f = {.source = source};
    struct arena *own;
    *p = (struct pca){0};
    TRY(arena_open("pca", 0, &own, e));
    int rc = fit(a, own, engine, watch, &f, wanted, seed, p, e);
    work_close(&f.w);
    arena_close(&own);
    return rc ? rc : pca_ready(a, engine, watch, p, e);
}

int pca_ready(struct arena *a, struct engine *engine, const struct work_watch *watch, struct pca *p,
              struct err *e)
{
    struct work *w = &p->work;
    TRY(work_open(a, engine, watch, CHUNK, p->d, w, e));
    TRY((p->w = work_in(w, "components", DTYPE_F32, WORK_DIMS(p->m, p->d), e)) < 0);
    TRY((p->at = work_in(w, "offset", DTYPE_F32, WORK_DIMS(p->m), e)) < 0);
    p->out = plan_output(w->plan, "projected", DTYPE_F32, 2, WORK_DIMS(w->n, p->m), w->live, e);
    if (p->out < 0) return -1;
    p->tape_project =
        work_tape(w, OP_project, "project", WORK_IDS(w->x, p->w, p->at), WORK_IDS(p->out), 0, e);
    if (p->tape_project < 0) return -1;
    TRY(work_ready(w, e));
    memcpy(work_at(w, p->w), p->component, (size_t)(p->m * p->d) * sizeof(float));
    memcpy(work_at(w, p->at), p->offset, (size_t)p->m * sizeof(float));
    return 0;
}

int pca_project_all(struct pca *p, const struct pca_source *source, float *out, struct err *e)
{
    struct work *w = &p->work;
    for (int64_t from = 0; from < source->n; from += w->n) {
        int64_t n = MIN(w->n, source->n - from);
        *(int32_t *)work_at(w, w->live) = (int32_t)n;
        TRY(source->rows(source->ctx, from, n, work_rows(w), e));
        TRY(work_run(w, p->tape_project, e));
        memcpy(out + from * p->m, work_at(w, p->out), (size_t)(n * p->m) * sizeof *out);
    }
    return 0;
}

struct in_memory {
    const float *rows;
    int64_t d;
};

static int memory_rows(void *ctx, int64_t from, int64_t count, float *out, struct err *e)
{
    const struct in_memory *m = ctx;
    (void)e;
    memcpy(out, m->rows + from * m->d, (size_t)(count * m->d) * sizeof *out);
    return 0;
}

int pca_project(struct pca *p, const float *rows, int64_t count, float *out, struct err *e)
{
    struct in_memory m = {rows, p->d};
    struct pca_source s = {&m, memory_rows, count, p->d};
    return pca_project_all(p, &s, out, e);
}

void pca_close(struct pca *p)
{
    work_close(&p->work);
}
