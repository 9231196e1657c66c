/* Where everything of a plan lies in a GPU's memory, to the byte, from shapes alone. Called by
 * gpu_plan.c, both to say what a plan would take and to take it.
 *
 *   weights   [pack][pack]...                 see gpu_pack.h
 *   state     [value][value]...               as plan.h lays them out, on multiples of 256
 *   step      [inputs][outputs][step values laid over each other]
 *   scratch   as much as the most demanding group of steps wants
 *
 * Each of the four is one allocation, rounded up to GPU_PAGE as the driver would; 0 bytes are not
 * allocated. Inputs and outputs lie at the same offsets in pinned memory of the host. */
#ifndef GPU_GPU_MEM_H
#define GPU_GPU_MEM_H

#include "core/backend.h"
#include "gpu/gpu_launch.h"

#define GPU_PAGE ((size_t)2 << 20)

struct gpu_group { /* steps launched together, see gpu_launch.h */
    int from, n;
};

struct gpu_layout {
    enum gpu_form *form; /* [n_values]; GPU_NONE for what is no weight */
    size_t *offset;      /* [n_values] in its allocation */
    struct gpu_group *group;
    int n_groups;
    size_t io_bytes;
    struct backend_memory bytes;
};

/* gpu_mem_layout: lives in a. Errors: E_DEVICE (no kernel for a step), E_NOMEM. */
int gpu_mem_layout(struct arena *a, const struct gpu_chip *chip, const struct plan *p,
                   struct gpu_layout *out, struct err *e);

static inline size_t gpu_mem_total(const struct backend_memory *m)
{
    return m->weights + m->state + m->step + m->scratch;
}

#endif
