#include "cluster/work.h"
#include <string.h>

int work_open(struct arena *a, struct engine *engine, const struct work_watch *watch, int64_t n,
              int64_t d, struct work *w, struct err *e)
{
    *w = (struct work){.arena = a, .engine = engine, .watch = watch, .n = n, .d = d, .label = -1};
    if (n < 1 || d < 1)
        return err_set(e, E_INPUT, "%lld rows of %lld numbers; at least one of one is needed",
                       (long long)n, (long long)d);
    if (n >= INT32_MAX - 1024 || d >= INT32_MAX - 1024)
        return err_set(e, E_INPUT, "%lld rows of %lld numbers; less than 2^31 of each can be taken",
                       (long long)n, (long long)d);
    TRY(plan_open(a, &w->plan, e));
    TRY((w->live = plan_input(w->plan, "live", DTYPE_I32, 0, NULL, -1, e)) < 0);
    w->x = plan_input(w->plan, "rows", DTYPE_F32, 2, WORK_DIMS(n, d), w->live, e);
    if (w->x < 0) return -1;
    plan_keep(w->plan, w->x);
    return 0;
}

static int rank_of(const int64_t *dim)
{
    int rank = 0;
    while (dim[rank]) rank++;
    return rank;
}

int work_in(struct work *w, const char *name, enum dtype type, const int64_t *dim, struct err *e)
{
    return plan_input(w->plan, name, type, rank_of(dim), dim, -1, e);
}

int work_out(struct work *w, const char *name, enum dtype type, const int64_t *dim, struct err *e)
{
    return plan_output(w->plan, name, type, rank_of(dim), dim, -1, e);
}

int work_state(struct work *w, const char *name, enum dtype type, const int64_t *dim, struct err *e)
{
    return plan_state(w->plan, name, type, rank_of(dim), dim, e);
}

int work_tape(struct work *w, enum op op, const char *name, const int *in, int n_in, const int *out,
              int n_out, int top, struct err *e)
{
    struct op_args args = {.top = top};
    int tape = plan_begin(w->plan, name, e);
    if (tape < 0) return -1;
    return plan_add(w->plan, op, name, in, n_in, out, n_out, &args, e) ? -1 : tape;
}

int work_label(struct work *w, struct err *e)
{
    if (w->label < 0) w->label = work_in(w, "label", DTYPE_I32, WORK_DIMS(w->n), e);
    return w->label < 0 ? -1 : 0;
}

int work_measure(struct work *w, struct backend_memory *out, struct err *e)
{
    TRY(plan_finish(w->plan, e));
    return engine_measure(w->engine, w->plan, out, e);
}

int work_ready(struct work *w, struct err *e)
{
    TRY(plan_finish(w->plan, e));
    TRY(engine_prepare(w->engine, w->arena, w->plan, NULL, NULL, &w->ready, e));
    *(int32_t *)work_at(w, w->live) = (int32_t)w->n;
    w->rows = work_rows(w);
    return 0;
}

void work_close(struct work *w)
{
    engine_release(&w->ready);
}

void *work_at(struct work *w, int value)
{
    return engine_host(w->ready, value);
}

float *work_rows(struct work *w)
{
    return work_at(w, w->x);
}

const float *work_seen(const struct work *w)
{
    return w->rows;
}

int work_run(struct work *w, int tape, struct err *e)
{
    if (w->watch && w->watch->cancelled && w->watch->cancelled(w->watch->ctx))
        return err_set(e, E_CANCELLED, "stopped before step %s",
                       w->plan->step[w->plan->tape[tape].from].name);
    return engine_run(w->ready, tape, e);
}

int work_peek(struct work *w, int value, void *out, size_t bytes, struct err *e)
{
    return engine_peek(w->ready, value, out, bytes, e);
}

void work_progress(const struct work *w, const char *what, double done, double total)
{
    if (w->watch && w->watch->progress) w->watch->progress(w->watch->ctx, what, done, total);
}

/* David Blackman's and Sebastiano Vigna's xoshiro256**, started by splitmix64. */
void work_seed(struct work_random *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        r->s[i] = z ^ z >> 31;
    }
}

static uint64_t turn(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

double work_draw(struct work_random *r)
{
    uint64_t *s = r->s, out = turn(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = turn(s[3], 45);
    return (double)(out >> 11) * 0x1p-53;
}

/* Each row is taken with the chance that is left for it. */
void work_sample(struct work_random *r, int64_t n, int64_t count, int64_t *out)
{
    int64_t have = 0;
    for (int64_t i = 0; i < n && have < count; i++)
        if (work_draw(r) * (double)(n - i) < (double)(count - have)) out[have++] = i;
}
