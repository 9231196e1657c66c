#include "cluster/model.h"
#include "load/save_safetensors.h"
#include <math.h>
#include <string.h>

enum { VERSION = 1, ABOUT = 8, MOST = 12 };

struct part { /* of the file */
    const char *name;
    enum dtype type;
    int rank;
    int64_t dim[3];
    const void *data;
};

struct parts {
    struct part part[MOST];
    size_t n;
};

static void add(struct parts *p, const char *name, enum dtype type, const void *data, int64_t d0,
                int64_t d1, int64_t d2)
{
    assert(p->n < MOST);
    p->part[p->n++] = (struct part){name, type, 1 + (d1 > 0) + (d2 > 0), {d0, d1, d2}, data};
}

/* f64 as two f32 whose sum it is, to 48 bits. */
static int add_wide(struct arena *a, struct parts *p, const char *name, const double *x, int64_t n,
                    struct err *e)
{
    float *two = ARENA_NEW(a, float, (size_t)(2 * n), e);
    if (!two) return -1;
    for (int64_t i = 0; i < n; i++) {
        two[2 * i] = (float)x[i];
        two[2 * i + 1] = (float)(x[i] - (double)two[2 * i]);
    }
    add(p, name, DTYPE_F32, two, n, 2, 0);
    return 0;
}

static int list_parts(struct arena *a, const struct cluster_model *m, int32_t *about,
                      struct parts *p, struct err *e)
{
    const struct gmm_model *g = &m->gmm;
    add(p, "about", DTYPE_I32, about, ABOUT, 0, 0);
    TRY(add_wide(a, p, "shift", m->scale.shift, m->scale.d, e));
    TRY(add_wide(a, p, "unit", m->scale.unit, m->scale.d, e));
    if (m->pca.m) {
        add(p, "component", DTYPE_F32, m->pca.component, m->pca.m, m->pca.d, 0);
        add(p, "offset", DTYPE_F32, m->pca.offset, m->pca.m, 0, 0);
    }
    if (m->method != CLUSTER_GMM) {
        add(p, "centre", DTYPE_F32, m->centre, m->k, m->d, 0);
        return 0;
    }
    int64_t matrices = g->kind == GMM_FULL ? g->k : 1;
    if (g->kind == GMM_FULL || g->kind == GMM_TIED)
        add(p, "scale", DTYPE_F32, g->scale, matrices, g->d, g->d);
    else
        add(p, "scale", DTYPE_F32, g->scale, g->k, g->d, 0);
    add(p, "mean", DTYPE_F32, g->shift, g->k, g->d, 0);
    return add_wide(a, p, "fixed", g->fixed, g->k, e);
}

int model_save(struct arena *a, const char *path, const struct cluster_model *m, struct err *e)
{
    struct parts p = {.n = 0};
    struct save_safetensors out;
    struct save_safetensors_tensor tensor[MOST];
    int32_t about[ABOUT] = {VERSION,
                            (int32_t)m->method,
                            (int32_t)m->gmm.kind,
                            m->scale.standardised,
                            (int32_t)m->scale.d,
                            (int32_t)m->d,
                            (int32_t)m->k};
    if (m->method == CLUSTER_DBSCAN || m->method == CLUSTER_SPECTRAL)
        return err_set(e, E_INPUT,
                       "dbscan and spectral have no model that new rows could be given "
                       "to; kmeans, minibatch and gmm have");
    TRY(list_parts(a, m, about, &p, e));
    for (size_t i = 0; i < p.n; i++) {
        tensor[i] = (struct save_safetensors_tensor){
            .name = p.part[i].name, .type = p.part[i].type, .rank = p.part[i].rank, .id = i};
        memcpy(tensor[i].dim, p.part[i].dim, sizeof p.part[i].dim);
    }
    TRY(save_safetensors_begin(a, path, tensor, p.n, NULL, 0, &out, e));
    for (size_t i = 0; i < p.n; i++) {
        size_t bytes = (size_t)tensor_count(tensor[i].rank, tensor[i].dim) * 4;
        if (save_safetensors_put(&out, p.part[tensor[i].id].data, bytes, e) == 0) continue;
        save_safetensors_abort(&out);
        return -1;
    }
    return save_safetensors_end(&out, e);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* The floats of a tensor that must have this shape. */
static int take(struct arena *a, const struct load_weights *w, const char *name, int64_t d0,
                int64_t d1, int64_t d2, float **out, struct err *e)
{
    const struct load_tensor *t = load_find(w, name);
    int rank = 1 + (d1 > 0) + (d2 > 0);
    const int64_t dim[] = {d0, d1, d2};
    if (!t) return err_set(e, E_MODEL, "no %s in it", name);
    bool fits = t->t.type == DTYPE_F32 && t->t.rank == rank;
    for (int i = 0; i < rank && fits; i++) fits = t->t.dim[i] == dim[i];
    if (!fits) return err_set(e, E_MODEL, "%s has another type or shape than its model", name);
    int64_t n = tensor_count(rank, dim);
    if (!(*out = ARENA_NEW(a, float, (size_t)n, e))) return -1;
    memcpy(*out, t->t.data, (size_t)n * sizeof **out);
    for (int64_t i = 0; i < n; i++)
        if (isnan((*out)[i])) return err_set(e, E_MODEL, "%s holds NaN", name);
    return 0;
}

static int take_wide(struct arena *a, const struct load_weights *w, const char *name, int64_t n,
                     double **out, struct err *e)
{
    float *two;
    TRY(take(a, w, name, n, 2, 0, &two, e));
    if (!(*out = ARENA_NEW(a, double, (size_t)n, e))) return -1;
    for (int64_t i = 0; i < n; i++) (*out)[i] = (double)two[2 * i] + (double)two[2 * i + 1];
    return 0;
}

static int take_about(const struct load_weights *w, int32_t *about, struct err *e)
{
    const struct load_tensor *t = load_find(w, "about");
    if (!t || t->t.type != DTYPE_I32 || t->t.rank != 1 || t->t.dim[0] != ABOUT)
        return err_set(e, E_MODEL, "not a model of clusters: it has no \"about\" of %d numbers",
                       ABOUT);
    memcpy(about, t->t.data, ABOUT * sizeof *about);
    bool known =
        about[1] == CLUSTER_KMEANS || about[1] == CLUSTER_MINIBATCH || about[1] == CLUSTER_GMM;
    if (about[0] != VERSION || !known || about[2] < 0 || about[2] > GMM_SPHERICAL)
        return err_set(e, E_MODEL, "a model of version %d, method %d, covariance %d is not known",
                       about[0], about[1], about[2]);
    if (about[4] < 1 || about[5] < 1 || about[6] < 1)
        return err_set(e, E_MODEL, "%d columns, %d after PCA and %d clusters make no model",
                       about[4], about[5], about[6]);
    return 0;
}

int model_take(struct arena *a, const struct load_weights *w, struct cluster_model *m,
               struct err *e)
{
    int32_t about[ABOUT];
    *m = (struct cluster_model){.method = CLUSTER_KMEANS};
    TRY(take_about(w, about, e));
    int64_t columns = about[4], d = m->d = about[5], k = m->k = about[6];
    m->method = (enum cluster_method)about[1];
    m->scale.d = columns;
    m->scale.standardised = about[3];
    m->scale.moves = true;
    TRY(take_wide(a, w, "shift", columns, &m->scale.shift, e));
    TRY(take_wide(a, w, "unit", columns, &m->scale.unit, e));
    for (int64_t i = 0; i < columns; i++)
        if (!(m->scale.unit[i] > 0)) return err_set(e, E_MODEL, "unit holds %g", m->scale.unit[i]);
    if (load_find(w, "component")) {
        m->pca.d = columns;
        m->pca.m = d;
        TRY(take(a, w, "component", d, columns, 0, &m->pca.component, e));
        TRY(take(a, w, "offset", d, 0, 0, &m->pca.offset, e));
    } else if (d != columns) {
        return err_set(e, E_MODEL, "%lld columns become %lld without components",
                       (long long)columns, (long long)d);
    }
    if (m->method != CLUSTER_GMM) return take(a, w, "centre", k, d, 0, &m->centre, e);
    struct gmm_model *g = &m->gmm;
    *g = (struct gmm_model){.k = k, .d = d, .kind = (enum gmm_kind)about[2]};
    bool square = g->kind == GMM_FULL || g->kind == GMM_TIED;
    TRY(take(a, w, "scale", g->kind == GMM_TIED ? 1 : k, d, square ? d : 0, &g->scale, e));
    TRY(take(a, w, "mean", k, d, 0, &g->shift, e));
    return take_wide(a, w, "fixed", k, &g->fixed, e);
}

int model_open(struct arena *a, const char *path, struct cluster_model *m, struct err *e)
{
    struct load_weights w;
    TRY(load_open(a, path, &w, e));
    int rc = model_take(a, &w, m, e);
    load_close(&w);
    return rc ? err_note(e, "%s", path) : 0;
}
