/* What a device must offer. One table of functions per backend; engine is the only caller. A
 * backend knows nothing of models and files. */
#ifndef CORE_BACKEND_H
#define CORE_BACKEND_H

#include "core/plan.h"

struct backend_options {
    int threads;         /* cpu: members of the team; 0: all processors the process may use */
    const char *kernels; /* cpu: "auto", or force a level: "ref" "base" "avx2" "avx512" "avx512fp16"
                          * "amx" */
    const char *which;   /* GPU: its number, from 0, in the driver's order; the UUID the driver's
                            tools print ("GPU-.."), or its beginning; or the PCI address
                            "0000:3b:00.0". "" is number 0 */
    const char *gpu; /* NULL, or the name of one that is only to be planned for: "t4", "16GiB" */
    bool profile;    /* GPU: take the time of every step, which costs some of it */
};

struct backend_device; /* an opened device; lives in the arena given to open */
struct backend_plan;   /* a plan made ready on a device */

struct backend_memory { /* of a prepared plan, in bytes, as allocated */
    size_t weights, state, step, scratch;
};

struct backend {
    const char *name; /* "cpu", "cuda" */
    int (*open)(struct arena *a, const struct backend_options *o, struct backend_device **out,
                struct err *e);
    /* describe: what it is, for people: "Intel Xeon, 2 threads, avx512". */
    void (*describe)(const struct backend_device *d, struct strbuf *out);
    /* halves: whether it multiplies in f16 what plans allow it to (plan.compute). NULL: it does. */
    bool (*halves)(const struct backend_device *d);
    /* measure: what prepare would allocate, to the byte, from shapes alone. */
    int (*measure)(struct backend_device *d, const struct plan *p, struct backend_memory *out,
                   struct err *e);
    /* room: bytes that plans may take. NULL: not known. */
    int (*room)(struct backend_device *d, size_t *bytes, struct err *e);
    /* prepare: packs weights, allocates slabs. Afterwards run allocates nothing and plan weights'
     * data are no longer read. used(ctx, value) is called after each weight is packed, so that its
     * mapped pages can be dropped; may be NULL. Errors: E_NOMEM, E_DEVICE (no kernel for a step:
     * named). */
    int (*prepare)(struct backend_device *d, struct arena *a, const struct plan *p,
                   void (*used)(void *ctx, int value), void *ctx, struct backend_plan **out,
                   struct err *e);
    void (*memory)(const struct backend_plan *bp, struct backend_memory *out);
    /* host: where the caller writes an input or reads an output; stable for the life of the
     * prepared plan. NULL for other values. Of an input that is kept (plan_keep) it also says that
     * the caller is about to change it: ask anew before every change. */
    void *(*host)(struct backend_plan *bp, int value);
    int (*run)(struct backend_plan *bp, int tape, struct err *e);
    /* state: bytes of a STATE value (or, on the cpu, any slab value) copied out, for tests and plan
     * compare. */
    int (*peek)(struct backend_plan *bp, int value, void *out, size_t bytes, struct err *e);
    /* profile: seconds spent in each step since prepare, [plan->n_steps]; NULL if not measured.
     * Steps that a device does in one go are told as the first of them, the others as 0. */
    const double *(*profile)(const struct backend_plan *bp);
    /* release: before the arena given to prepare is reset or closed: gives back what does not lie
     * in it (oneDNN's primitives, a GPU's memory). NULL is allowed. */
    void (*release)(struct backend_plan *bp);
    /* close: after every plan prepared on it was released. NULL is allowed. */
    void (*close)(struct backend_device *d);
};

#endif
