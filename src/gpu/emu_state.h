/* What the two files of the emulator share: emu.c (scheduler, memory) and emu_warp.c (what a warp
 * does together). Nobody else includes it. */
#ifndef GPU_EMU_STATE_H
#define GPU_EMU_STATE_H

#include "gpu/emu.h"

#include <ucontext.h>

#define EMU_THREADS 1024 /* most of a block on any GPU */
#define EMU_ARRAYS  32   /* DEV_SHARED in one kernel */
#define EMU_COPIES  128  /* dev_copy16 under way per thread */

enum emu_wait_for { EMU_RUNS, EMU_AT_BLOCK, EMU_AT_WARP, EMU_DONE };

struct emu_copy {
    void *to;
    const void *from; /* NULL: zeros */
    unsigned group;
};

struct emu_fiber {
    struct emu_thread seen;
    enum emu_wait_for waits;
    int ready; /* the stack stands where a block starts */
    char *stack;
    void *sp, *fake;
    ucontext_t context;
    unsigned n_copies, group; /* group: the one not yet committed */
    struct emu_copy copy[EMU_COPIES];
};

struct emu_warp {
    struct emu_fiber *first;
    unsigned lanes, alive, waiting;
    enum emu_collective what; /* of those that wait */
    const char *where;
    void *slot[32]; /* what each lane gives and wants, on its own stack */
};

struct emu_state {
    struct emu_now now; /* first: emu_now points here */
    const struct emu_kernel *kernel;
    const struct emu_launch *launch;
    const void *args;
    struct emu_fiber *running; /* NULL: the scheduler */
    void *sp, *fake;
    ucontext_t context;
    const void *stack; /* the scheduler's, as AddressSanitizer tells */
    size_t stack_bytes;
    unsigned n, alive, at_barrier, random;
    const char *barrier;
    int code;
    char message[512];
    char *fixed, *dynamic, *dynamic_start;
    size_t fixed_used, shared_bytes;
    int n_arrays;
    struct {
        const void *site;
        size_t at, bytes;
    } array[EMU_ARRAYS];
    struct emu_warp warp[EMU_THREADS / 32];
    struct emu_fiber fiber[EMU_THREADS];
};

/* emu_wait: back to the scheduler until let go. emu_stop: ends the launch with a CUresult; does not
 * return to a fiber. */
void emu_wait(struct emu_state *s, enum emu_wait_for what);
void emu_stop(struct emu_state *s, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* emu_lane_done (emu_warp.c): a lane has returned; lets those go that waited only for it. */
void emu_lane_done(struct emu_state *s, struct emu_warp *w);

/* emu_same: two places in the text, as EMU_HERE. */
static inline int emu_same(const char *a, const char *b)
{
    return a == b || strcmp(a, b) == 0;
}

#endif
