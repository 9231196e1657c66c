/* The contract between the runner (gpu.c: memory, streams, graphs) and the kernels (k_*.cu): how a
 * step of a plan becomes launches. gpu_launch.c knows every kernel's name, grid and arguments; the
 * runner knows none. Nothing here calls the driver, so `lode plan` can ask it with no GPU at hand.
 *
 * Values. Activations (inputs, outputs, step values) are dense f32 or i32 in device memory exactly
 * as op.def says, whatever the compute type; kernels narrow them on the way into shared memory, so
 * that any value can be compared with the CPU's. State is f32, f16 or i8 as the plan says; an i8
 * state's elements are followed by one f32 scale per row of its last dimension: gpu_value.scale.
 * Weights: gpu_pack.h.
 *
 * Live rows. A value's `live` is the device address of an i32: how many of dim[0] count in this
 * run. A kernel reads it there, so one captured graph of a tape serves every run; grids are sized
 * for the most rows, and blocks whose rows are not live end at once. Rows beyond the live count are
 * neither read nor written. Indices and counts were checked by the host before the run.
 *
 * Few rows. A tape with live counts has two ways to run: one for at most GPU_LAUNCH_FEW live rows,
 * of any value, which is every step of decoding but for large batches, and one for all. The counts
 * of a run decide which.
 *
 * Groups. For few rows several steps that follow each other become one launch, so that a layer of a
 * decoder is five: (norm, product), (attention, product), (norm, product, attention, product),
 * (norm, product), (product). gpu_launch_group says from shapes alone how many; memory is laid out
 * so that all values of a group live through the whole group, and nothing written by it lies over
 * anything it reads. Values that are PLAN_OUTPUT, or read by a step outside the group, are written;
 * others are not. With all rows every step is a group of its own.
 *
 * Arithmetic, by the form of the matrix: GPU_F16 f16 x f16 with sums in f32; GPU_I8 the row of x is
 * quantised as op.def's linear says, products exact in i32; GPU_F32 f32 (no tf32). The rest
 * (norms, softmax, GELU, pick) is f32, and so is x where a product shares a launch with an
 * attention, whatever its weights are. */
#ifndef GPU_GPU_LAUNCH_H
#define GPU_GPU_LAUNCH_H

#include "gpu/gpu_pack.h"

struct gpu_chip {   /* what choosing a kernel may depend on */
    int sm;         /* compute capability times ten: 75, 80, 86, 89, 90, 100, 120 */
    int processors; /* multiprocessors */
    int shared;     /* most bytes of shared memory a block can ask for */
};

struct gpu_value {
    const struct plan_value *plan; /* life, type, rank, dim */
    uint64_t at;                   /* device address, multiple of 256 */
    uint64_t scale;                /* GPU_I8 and i8 states: of the f32 scales; else 0 */
    uint64_t live;                 /* of the i32 that counts live rows; 0: all of dim[0] */
    enum gpu_form form;            /* weights only */
};

struct gpu_step {
    const struct plan *plan;
    const struct plan_step *step;                            /* op, args, name */
    const struct gpu_value *in[OP_INPUTS], *out[OP_OUTPUTS]; /* NULL where absent */
    uint64_t scratch; /* of gpu_launch_scratch bytes; contents do not survive the group */
    uint64_t counts;  /* GPU_LAUNCH_COUNTS bytes: 0 before and after every launch */
    bool few;         /* at most GPU_LAUNCH_FEW rows are live of any value with a live count */
};

#define GPU_LAUNCH_FEW    16
#define GPU_LAUNCH_COUNTS ((size_t)8 << 10)

#define GPU_LAUNCHES  160 /* most of one group */
#define GPU_ARG_BYTES 512 /* most of one kernel's struct */

struct gpu_launch {
    const char *kernel; /* extern "C" name in the image, a literal */
    unsigned grid[3], block[3];
    unsigned shared;  /* dynamic shared memory, bytes */
    size_t arg_bytes; /* of the one struct the kernel takes by value, see dev.h */
    _Alignas(16) unsigned char arg[GPU_ARG_BYTES];
};

/* gpu_launch_group: how many steps from `step` on (all of one tape, so never past `to`) are
 * launched together for few rows: at least 1. */
int gpu_launch_group(const struct plan *p, int step, int to);

/* gpu_launch_scratch: bytes of scratch the group of n steps from `step` on needs; shapes alone. */
size_t gpu_launch_scratch(const struct gpu_chip *chip, const struct plan *p, int step, int n,
                          bool few);

/* gpu_launch_fill: the launches of a group, in order. s: its n steps. out: room for GPU_LAUNCHES.
 * Returns how many (>= 1), or -1: E_DEVICE, no kernel for a step (named). */
int gpu_launch_fill(const struct gpu_chip *chip, const struct gpu_step *s, int n,
                    struct gpu_launch *out, struct err *e);

/* gpu_launch_check: whether every step of a plan has a kernel, from shapes alone (E_DEVICE). */
int gpu_launch_check(const struct gpu_chip *chip, const struct plan *p, struct err *e);

#endif
