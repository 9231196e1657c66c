/* The engine: picks the device, makes plans ready on it, runs them. The only place that decides a
 * fallback. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include "core/backend.h"

struct engine_options {
    const char *device;  /* "auto", "cpu", "cuda", "cuda:1", see engine_check */
    const char *kernels; /* see backend_options */
    int threads;
    const char *gpu; /* NULL; or "t4", "16GiB": a GPU that is not here, to be measured for alone */
    bool profile;    /* take the time of every step */
};

struct engine;

/* engine_check: whether a text names a device, as a user types it: auto, cpu, cuda, cuda:1.
 * E_USAGE. */
int engine_check(const char *device, struct err *e);

/* engine_open: lives in a. Errors: E_DEVICE if a device was named and cannot be used. With "auto"
 * the CPU is always there; why the GPU is not used is told by engine_reason. */
int engine_open(struct arena *a, const struct engine_options *o, struct engine **out,
                struct err *e);
const char *engine_device(const struct engine *g);   /* "cpu" */
const char *engine_describe(const struct engine *g); /* for people */
bool engine_halves(const struct engine *g);          /* see struct backend */
const char *engine_reason(
    const struct engine *g); /* why not another device, or why it was opened again; or "" */

/* engine_retreat: after the chosen device could not be made ready, or failed, and every plan on it
 * was released: if the choice was automatic, closes it and takes the next one, whose compute types
 * may be others. why becomes engine_reason. -1 with *e = *why if that is neither E_NOMEM nor
 * E_DEVICE, the device was asked for, a plan is still on it or none is left. */
int engine_retreat(struct engine *g, const struct err *why, struct err *e);
/* engine_again: after a run on a GPU failed with *e and every plan on it was released: the first
 * time (tries 0: of the same piece of work) closes it and opens it again, or, if that fails and the
 * choice was automatic, the next one; the second time the next one, if it was automatic. *e becomes
 * engine_reason. -1, and *e stays: it is none of a device, or there is nothing more to try. If
 * nothing could be opened engine_prepare says why with E_DEVICE, and a later engine_again tries
 * once more. */
int engine_again(struct engine *g, int tries, struct err *e);

/* engine_room: bytes plans may take on the device, SIZE_MAX if it is not known. */
int engine_room(struct engine *g, size_t *bytes, struct err *e);

struct engine_plan;
/* engine_measure: what engine_prepare would allocate, without allocating it or touching weights'
 * data. */
int engine_measure(struct engine *g, const struct plan *p, struct backend_memory *out,
                   struct err *e);
int engine_prepare(struct engine *g, struct arena *a, const struct plan *p,
                   void (*used)(void *ctx, int value), void *ctx, struct engine_plan **out,
                   struct err *e);
void *engine_host(struct engine_plan *ep, int value); /* inputs and outputs; see backend.h, host */
int engine_run(struct engine_plan *ep, int tape, struct err *e);
int engine_peek(struct engine_plan *ep, int value, void *out, size_t bytes, struct err *e);
void engine_memory(const struct engine_plan *ep, struct backend_memory *out);
const double *engine_profile(const struct engine_plan *ep);
/* engine_runs: how often each tape ran, [n_tapes]. engine_work: multiplications and additions of
 * each step since prepare (see core/cost.h), [n_steps]. NULL without engine_options.profile.
 * engine_peak: i8 operations that the device's threads do in a second, all at once and from
 * registers, measured now; 0 if it is not known. */
const int64_t *engine_runs(const struct engine_plan *ep);
const double *engine_work(const struct engine_plan *ep);
double engine_peak(const struct engine *g);
/* engine_release: before the arena given to prepare goes; NULL is allowed. engine_close: after
 * every plan was released. */
void engine_release(struct engine_plan **ep);
void engine_close(struct engine **g);

#endif
