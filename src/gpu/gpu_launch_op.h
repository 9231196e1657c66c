/* What gpu_launch.c asks of an op, and what the fillers of all ops use. gpu_launch_a.c and
 * gpu_launch_b.c implement the ops they name; gpu_launch.c is the table of them. */
#ifndef GPU_GPU_LAUNCH_OP_H
#define GPU_GPU_LAUNCH_OP_H

#include "gpu/gpu_launch.h"

#include <string.h>

/* A filler writes the launches of one step to out and returns how many, or -1. The other two may be
 * absent: scratch is how many bytes the step needs, check refuses shapes that no kernel takes. Both
 * look at shapes alone. */
typedef int gpu_launch_filler(const struct gpu_chip *chip, const struct gpu_step *s,
                              struct gpu_launch *out, struct err *e);
typedef size_t gpu_launch_scratcher(const struct gpu_chip *chip, const struct plan *p,
                                    const struct plan_step *step, bool few);
typedef int gpu_launch_checker(const struct gpu_chip *chip, const struct plan *p,
                               const struct plan_step *step, struct err *e);

#define GPU_LAUNCH_LINE 256 /* parts of scratch start on multiples of it */

/* A device address as the pointer that kernels take; 0 is NULL. */
static inline void *gpu_launch_at(uint64_t at)
{
    return (void *)(uintptr_t)at;
}

static inline void *gpu_launch_in(const struct gpu_step *s, int i)
{
    return s->in[i] ? gpu_launch_at(s->in[i]->at) : NULL;
}

static inline void *gpu_launch_out(const struct gpu_step *s, int i)
{
    return s->out[i] ? gpu_launch_at(s->out[i]->at) : NULL;
}

/* The last dimension, and the product of the others: of all rows, live or not. */
static inline int64_t gpu_launch_width(const struct plan_value *v)
{
    return v->dim[v->rank - 1];
}

static inline int64_t gpu_launch_lines(const struct plan_value *v)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < v->rank; i++) n *= v->dim[i];
    return n;
}

/* The rows that may be live. */
static inline int64_t gpu_launch_rows(const struct plan_value *v, bool few)
{
    int64_t rows = v->rank ? v->dim[0] : 1;
    return few && v->live >= 0 ? MIN(rows, GPU_LAUNCH_FEW) : rows;
}

/* The next n elements of scratch, of which *end bytes are given away: their offset. */
static inline size_t gpu_launch_part(size_t *end, int64_t n, size_t each)
{
    size_t at = *end;
    *end += ALIGN_UP((size_t)n * each, GPU_LAUNCH_LINE);
    return at;
}

/* One launch with a one-dimensional block. arg: the kernel's struct. */
static inline void gpu_launch_set(struct gpu_launch *l, const char *kernel, int64_t x, int64_t y,
                                  int64_t z, unsigned threads, const void *arg, size_t bytes)
{
    assert(x > 0 && y > 0 && z > 0 && x <= INT32_MAX && y <= 65535 && z <= 65535);
    assert(bytes <= GPU_ARG_BYTES);
    memset(l, 0, sizeof *l);
    l->kernel = kernel;
    l->grid[0] = (unsigned)x, l->grid[1] = (unsigned)y, l->grid[2] = (unsigned)z;
    l->block[0] = threads, l->block[1] = 1, l->block[2] = 1;
    memcpy(l->arg, arg, bytes);
    l->arg_bytes = bytes;
}

#define GPU_LAUNCH_SET(l, kernel, x, y, z, threads, arg) \
    gpu_launch_set(l, kernel, x, y, z, threads, &(arg), sizeof(arg))

#endif
