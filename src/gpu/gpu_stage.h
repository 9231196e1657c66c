/* The weights' way to the device: packed row by row into pinned memory of the host, one half of
 * which is sent while the other is filled. Called by gpu_plan.c. */
#ifndef GPU_GPU_STAGE_H
#define GPU_GPU_STAGE_H

#include "gpu/gpu_device.h"
#include "gpu/gpu_mem.h"

/* gpu_stage_weights: every weight with a form goes to base + its offset, and has arrived on return.
 * used(ctx, value) is called as soon as a weight's data need not be read again; may be NULL.
 * Scratch comes from a and is given back. Errors: E_DEVICE, E_NOMEM, E_MODEL (a row too wide). */
int gpu_stage_weights(struct backend_device *d, struct arena *a, const struct plan *p,
                      const struct gpu_layout *l, uint64_t base, void (*used)(void *ctx, int value),
                      void *ctx, struct err *e);

#endif
