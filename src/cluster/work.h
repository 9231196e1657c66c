/* What every method of clustering shares: the rows on a device, one plan of all that will be run on
 * them, somebody who watches, and random numbers that a seed replays.
 *
 *   work_open -> METHOD_plan (adds values and tapes) -> work_ready -> work_rows filled ->
 * METHOD_run
 *
 * Rows are f32 [n][d]; they lie on the device once, whatever runs on them. */
#ifndef CLUSTER_WORK_H
#define CLUSTER_WORK_H

#include "engine/engine.h"

struct work_watch { /* every function may be NULL */
    void *ctx;
    void (*progress)(void *ctx, const char *what, double done, double total);
    bool (*cancelled)(void *ctx);
};

struct work {
    struct arena *arena; /* of the plan, and of what the methods keep */
    struct engine *engine;
    struct plan *plan;
    struct engine_plan *ready; /* NULL before work_ready */
    const struct work_watch *watch;
    int64_t n, d;
    int x, live;       /* values: the rows, and how many of them count (gram and project) */
    int label;         /* value, or -1 before work_label */
    const float *rows; /* where x lies */
};

/* work_open: a plan of n rows of d. Errors: E_INPUT if the rows are too many to be counted in i32.
 */
int work_open(struct arena *a, struct engine *engine, const struct work_watch *watch, int64_t n,
              int64_t d, struct work *w, struct err *e);
/* work_label: the input i32 [n] of labels, shared by all who judge a clustering. */
int work_label(struct work *w, struct err *e);
int work_measure(struct work *w, struct backend_memory *out, struct err *e);
int work_ready(struct work *w, struct err *e);
void work_close(struct work *w);

/* Values and steps of the plan, for the methods. dims end with 0. */
int work_in(struct work *w, const char *name, enum dtype type, const int64_t *dim, struct err *e);
int work_out(struct work *w, const char *name, enum dtype type, const int64_t *dim, struct err *e);
int work_state(struct work *w, const char *name, enum dtype type, const int64_t *dim,
               struct err *e);
#define WORK_DIMS(...) \
    (const int64_t[])  \
    {                  \
        __VA_ARGS__, 0 \
    }
#define WORK_IDS(...) (const int[]){__VA_ARGS__}, (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int))
/* work_tape: a tape of one step. Returns its number or -1. */
int work_tape(struct work *w, enum op op, const char *name, const int *in, int n_in, const int *out,
              int n_out, int top, struct err *e);

/* work_at: where an input is written or an output read. work_rows: the same of x, to be asked for
 * whenever x is going to change, since a GPU keeps it; work_seen: only to read it. */
void *work_at(struct work *w, int value);
float *work_rows(struct work *w);
const float *work_seen(const struct work *w);
/* work_run: E_CANCELLED if somebody asked to stop. */
int work_run(struct work *w, int tape, struct err *e);
int work_peek(struct work *w, int value, void *out, size_t bytes, struct err *e);
void work_progress(const struct work *w, const char *what, double done, double total);

struct work_random { /* xoshiro256** */
    uint64_t s[4];
};
void work_seed(struct work_random *r, uint64_t seed);
double work_draw(struct work_random *r); /* in [0, 1) */
/* work_sample: `count` of n different numbers, rising. room: count. */
void work_sample(struct work_random *r, int64_t n, int64_t count, int64_t *out);

#endif
