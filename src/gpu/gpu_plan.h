/* A plan on a GPU: measured, made ready, run. The part of the backend row (gpu.c) that needs an
 * open device; each function is the row's of the same name, see core/backend.h. */
#ifndef GPU_GPU_PLAN_H
#define GPU_GPU_PLAN_H

#include "core/backend.h"

int gpu_plan_measure(struct backend_device *d, const struct plan *p, struct backend_memory *out,
                     struct err *e);
int gpu_plan_prepare(struct backend_device *d, struct arena *a, const struct plan *p,
                     void (*used)(void *ctx, int value), void *ctx, struct backend_plan **out,
                     struct err *e);
void gpu_plan_memory(const struct backend_plan *bp, struct backend_memory *out);
void *gpu_plan_host(struct backend_plan *bp, int value);
int gpu_plan_run(struct backend_plan *bp, int tape, struct err *e);
int gpu_plan_peek(struct backend_plan *bp, int value, void *out, size_t bytes, struct err *e);
const double *gpu_plan_profile(const struct backend_plan *bp);
void gpu_plan_release(struct backend_plan *bp);
void gpu_plan_release_all(struct backend_device *d);

#endif
