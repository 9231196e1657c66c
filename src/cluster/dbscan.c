#include "cluster/dbscan.h"

int dbscan_plan(struct work *w, int64_t min_samples, struct dbscan *m, struct err *e)
{
    *m = (struct dbscan){.w = w, .least = min_samples};
    TRY((m->eps = plan_input(w->plan, "eps", DTYPE_F64, 0, NULL, -1, e)) < 0);
    TRY((m->label = work_out(w, "clusters", DTYPE_I32, WORK_DIMS(w->n), e)) < 0);
    TRY((m->count = work_out(w, "neighbours", DTYPE_I32, WORK_DIMS(w->n), e)) < 0);
    m->tape = work_tape(w, OP_density, "density", WORK_IDS(w->x, m->eps),
                        WORK_IDS(m->label, m->count), (int)MIN(min_samples, INT32_MAX), e);
    return m->tape < 0 ? -1 : 0;
}

int dbscan_run(struct dbscan *m, double eps, struct dbscan_result *out, struct err *e)
{
    *(double *)work_at(m->w, m->eps) = eps;
    TRY(work_run(m->w, m->tape, e));
    *out = (struct dbscan_result){.label = work_at(m->w, m->label),
                                  .neighbours = work_at(m->w, m->count)};
    for (int64_t i = 0; i < m->w->n; i++) {
        out->clusters = MAX(out->clusters, out->label[i] + 1);
        out->noise += out->label[i] < 0;
        out->core += out->neighbours[i] >= m->least;
    }
    return 0;
}
