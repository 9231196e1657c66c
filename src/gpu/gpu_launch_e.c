/* From the steps of PCA and of mixtures to launches. */
#include "gpu/gpu_launch_e.h"

#include "gpu/k_moment.h"

static int64_t up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

/* Into how many parts rows are cut so that `tiles` of an output keep every multiprocessor busy,
 * each part with at least `least` rows. */
static int64_t parts_of(const struct gpu_chip *chip, int64_t rows, int64_t tiles, int64_t least)
{
    int64_t most = up(rows, least), wanted = up(2 * chip->processors, tiles);
    return MAX(1, MIN(most, wanted));
}

/* ---- gram ---- */

static struct moment_gram gram_of(const struct gpu_chip *chip, const struct plan *p,
                                  const struct plan_step *step)
{
    const struct plan_value *x = &p->value[step->in[0]];
    struct moment_gram a = {.n = (int)x->dim[0], .d = (int)x->dim[1]};
    a.e = step->in[1] < 0 ? a.d : (int)p->value[step->in[1]].dim[1];
    a.parts = (int)parts_of(chip, a.n, up(a.d, MOMENT_TILE) * up(a.e, MOMENT_TILE), 256);
    a.per = (int)up(a.n, a.parts);
    return a;
}

size_t gpu_launch_e_gram_scratch(const struct gpu_chip *chip, const struct plan *p,
                                 const struct plan_step *step, bool few)
{
    (void)few;
    struct moment_gram a = gram_of(chip, p, step);
    return (size_t)a.parts * ((size_t)a.d * (size_t)a.e + (size_t)a.d) * sizeof(double);
}

int gpu_launch_e_gram(const struct gpu_chip *chip, const struct gpu_step *s, struct gpu_launch *out,
                      struct err *e)
{
    (void)e;
    struct moment_gram a = gram_of(chip, s->plan, s->step);
    a.x = gpu_launch_in(s, 0);
    a.y = s->in[1] ? gpu_launch_in(s, 1) : a.x;
    a.live = gpu_launch_at(s->in[0]->live);
    a.out = gpu_launch_out(s, 0);
    a.sums = gpu_launch_out(s, 1);
    a.part = gpu_launch_at(s->scratch);
    GPU_LAUNCH_SET(&out[0], "moment_gram", up(a.d, MOMENT_TILE), up(a.e, MOMENT_TILE), a.parts,
                   MOMENT_THREADS, a);
    GPU_LAUNCH_SET(&out[1], "moment_gram_sum", up((int64_t)a.d * a.e + a.d, MOMENT_THREADS), 1, 1,
                   MOMENT_THREADS, a);
    return 2;
}

/* ---- project ---- */

int gpu_launch_e_project(const struct gpu_chip *chip, const struct gpu_step *s,
                         struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    const struct plan_value *x = s->in[0]->plan;
    struct moment_project a = {.x = gpu_launch_in(s, 0),
                               .w = gpu_launch_in(s, 1),
                               .offset = gpu_launch_in(s, 2),
                               .live = gpu_launch_at(s->in[0]->live),
                               .y = gpu_launch_out(s, 0),
                               .n = (int)x->dim[0],
                               .d = (int)x->dim[1],
                               .m = (int)s->in[1]->plan->dim[0]};
    GPU_LAUNCH_SET(out, "moment_project", up(a.n, MOMENT_TILE), up(a.m, MOMENT_TILE), 1,
                   MOMENT_THREADS, a);
    return 1;
}

/* ---- eigen ---- */

struct eigen_parts {
    size_t a, v, diagonal, off, beta, p, turn, all;
};

static struct eigen_parts eigen_parts(int64_t n)
{
    struct eigen_parts l = {0};
    l.a = gpu_launch_part(&l.all, n * n, sizeof(double));
    l.v = gpu_launch_part(&l.all, n * n, sizeof(double));
    l.diagonal = gpu_launch_part(&l.all, n, sizeof(double));
    l.off = gpu_launch_part(&l.all, n, sizeof(double));
    l.beta = gpu_launch_part(&l.all, n, sizeof(double));
    l.p = gpu_launch_part(&l.all, n, sizeof(double));
    l.turn = gpu_launch_part(&l.all, 2 * n, sizeof(double));
    return l;
}

size_t gpu_launch_e_eigen_scratch(const struct gpu_chip *chip, const struct plan *p,
                                  const struct plan_step *step, bool few)
{
    (void)chip, (void)few;
    return eigen_parts(p->value[step->in[0]].dim[0]).all;
}

int gpu_launch_e_eigen(const struct gpu_chip *chip, const struct gpu_step *s,
                       struct gpu_launch *out, struct err *e)
{
    (void)chip, (void)e;
    struct eigen_parts at = eigen_parts(s->in[0]->plan->dim[0]);
    struct moment_eigen a = {.in = gpu_launch_in(s, 0),
                             .value = gpu_launch_out(s, 0),
                             .vector = gpu_launch_out(s, 1),
                             .a = gpu_launch_at(s->scratch + at.a),
                             .v = gpu_launch_at(s->scratch + at.v),
                             .diagonal = gpu_launch_at(s->scratch + at.diagonal),
                             .off = gpu_launch_at(s->scratch + at.off),
                             .beta = gpu_launch_at(s->scratch + at.beta),
                             .p = gpu_launch_at(s->scratch + at.p),
                             .turn = gpu_launch_at(s->scratch + at.turn),
                             .n = (int)s->in[0]->plan->dim[0]};
    GPU_LAUNCH_SET(out, "eigen", 1, 1, 1, MOMENT_EIGEN_THREADS, a);
    return 1;
}

/* ---- estep ---- */

/* Rows go through in pieces, so that only a piece's responsibilities exist: at most 32 pieces, of
 * at least as many rows as keep every multiprocessor busy. */
#define PIECES 32

struct step_parts {
    size_t turned, log_p, row, part, all;
    int64_t piece;
};

static struct moment_step step_of(const struct gpu_chip *chip, const struct plan *p,
                                  const struct plan_step *step, struct step_parts *l)
{
    const struct plan_value *x = &p->value[step->in[0]], *scale = &p->value[step->in[1]];
    int64_t n = x->dim[0], d = x->dim[1], k = p->value[step->in[2]].dim[0];
    int64_t width = p->value[step->out[2]].dim[1];
    struct moment_step a = {.n = (int)n, .d = (int)d, .k = (int)k, .width = (int)width};
    if (scale->rank == 3) a.kind = scale->dim[0] == 1 ? MOMENT_TIED : MOMENT_FULL;
    int64_t tiles = up(k, MOMENT_TILE) * up(width, MOMENT_TILE);
    *l = (struct step_parts){.piece =
                                 MIN(n, MAX(up(n, PIECES), 2 * MOMENT_TILE * chip->processors))};
    a.parts = (int)parts_of(chip, l->piece, tiles, 256);
    l->turned = gpu_launch_part(&l->all, a.kind == MOMENT_TIED ? l->piece * d : 0, sizeof(double));
    l->log_p = gpu_launch_part(&l->all, l->piece * k, sizeof(double));
    l->row = gpu_launch_part(&l->all, n, sizeof(double));
    l->part = gpu_launch_part(&l->all, a.parts * k * width, sizeof(double));
    return a;
}

size_t gpu_launch_e_estep_scratch(const struct gpu_chip *chip, const struct plan *p,
                                  const struct plan_step *step, bool few)
{
    (void)few;
    struct step_parts at;
    (void)step_of(chip, p, step, &at);
    return at.all;
}

/* The width of the sums and the clusters are dimensions of a grid. */
int gpu_launch_e_estep_check(const struct gpu_chip *chip, const struct plan *p,
                             const struct plan_step *step, struct err *e)
{
    (void)chip;
    int64_t k = p->value[step->in[2]].dim[0], width = p->value[step->out[2]].dim[1];
    int64_t most = 65535;
    if (k > most)
        return err_set(e, E_DEVICE, "step %s: %lld components, at most %lld on a GPU", step->name,
                       (long long)k, (long long)most);
    if (width > most * MOMENT_TILE)
        return err_set(e, E_DEVICE, "step %s: sums of %lld numbers, at most %lld on a GPU",
                       step->name, (long long)width, (long long)most * MOMENT_TILE);
    return 0;
}

int gpu_launch_e_estep(const struct gpu_chip *chip, const struct gpu_step *s,
                       struct gpu_launch *out, struct err *e)
{
    (void)e;
    struct step_parts at;
    struct moment_step a = step_of(chip, s->plan, s->step, &at);
    int n = 0;
    a.x = gpu_launch_in(s, 0);
    a.scale = gpu_launch_in(s, 1);
    a.shift = gpu_launch_in(s, 2);
    a.fixed = gpu_launch_in(s, 3);
    a.label = gpu_launch_out(s, 0);
    a.likelihood = gpu_launch_out(s, 1);
    a.sums = gpu_launch_out(s, 2);
    a.turned = a.kind == MOMENT_TIED ? gpu_launch_at(s->scratch + at.turned) : NULL;
    a.log_p = gpu_launch_at(s->scratch + at.log_p);
    a.row = gpu_launch_at(s->scratch + at.row);
    a.part = gpu_launch_at(s->scratch + at.part);
    bool full = a.kind == MOMENT_FULL;
    for (int64_t from = 0; from < a.n; from += at.piece) {
        a.from = (int)from;
        a.rows = (int)MIN(at.piece, a.n - from);
        int64_t tiles = up(a.rows, MOMENT_TILE);
        if (a.turned)
            GPU_LAUNCH_SET(&out[n++], "moment_turn", tiles, up(a.d, MOMENT_TILE), 1, MOMENT_THREADS,
                           a);
        GPU_LAUNCH_SET(&out[n++], full ? "moment_log_full" : "moment_log", tiles,
                       full ? a.k : up(a.k, MOMENT_TILE), 1, MOMENT_THREADS, a);
        GPU_LAUNCH_SET(&out[n++], "moment_rows", up(a.rows, MOMENT_WARPS), 1, 1, MOMENT_THREADS, a);
        GPU_LAUNCH_SET(&out[n++], "moment_add", up(a.k, MOMENT_TILE), up(a.width, MOMENT_TILE),
                       a.parts, MOMENT_THREADS, a);
    }
    GPU_LAUNCH_SET(&out[n++], "moment_all", up((int64_t)a.k * a.width, MOMENT_THREADS) + 1, 1, 1,
                   MOMENT_THREADS, a);
    return n;
}
