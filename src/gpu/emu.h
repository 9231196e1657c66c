/* The fiber emulator: runs a kernel text compiled by gcc or clang, one block after another on the
 * calling thread, each CUDA thread a fiber of its own. gpu/dev.h maps its helpers onto the
 * functions below; gpu/fake_cuda.c and tests/t_emu.c call emu_launch.
 *
 * What it finds: threads that disagree about a barrier (reported, not hung), a missing barrier (run
 * the four orders and compare), reads of shared memory that nobody wrote (poisoned between blocks),
 * accesses outside dynamic shared memory (guard pages; with AddressSanitizer also outside each
 * array), unaligned vector accesses, a cp.async that nobody waited for, launches over the limits.
 * What it cannot find: races between blocks (though their order changes, too), bank conflicts,
 * anything about time. A block that waits for another one never ends.
 *
 * State is per host thread: several host threads may each run a launch at once. */
#ifndef GPU_EMU_H
#define GPU_EMU_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct emu_dim {
    unsigned x, y, z;
};

/* A kernel as DEV_KERNEL of dev.h leaves it. call runs one thread with the argument struct. */
struct emu_kernel {
    const char *name;
    void (*call)(const void *args);
    size_t args_bytes;
    unsigned threads; /* most per block */
};

enum emu_order { EMU_FORWARD, EMU_REVERSE, EMU_SHUFFLE }; /* EMU_SHUFFLE + n: seed n */
#define EMU_ORDERS 4                                      /* what a test runs: 0 .. 3 */

struct emu_launch {
    struct emu_dim grid, block;
    size_t dynamic_bytes; /* of shared memory */
    size_t shared_limit;  /* static and dynamic together; 0: none */
    int order;            /* in which order blocks come and the threads of a block take turns */
};

/* emu_run: the whole grid. 0, or the CUresult that a GPU would give (1 invalid value, 700 illegal
 * address, 701 too many resources, 716 misaligned address, 719 launch failure) with a sentence in
 * emu_message(). args: the kernel's argument struct. */
int emu_run(const struct emu_kernel *k, const struct emu_launch *l, const void *args);
const char *emu_message(void);

/* emu_shared_bytes: what static shared memory the last launch of this thread used per block. */
size_t emu_shared_bytes(void);

/* emu_free: gives back the stacks of the calling thread. */
void emu_free(void);

/* ---- for dev.h only ---- */

struct emu_thread {
    struct emu_dim thread; /* threadIdx */
    unsigned lane, warp;
};

struct emu_now { /* what the running thread sees */
    const struct emu_thread *self;
    struct emu_dim block, block_dim, grid_dim;
};
extern _Thread_local struct emu_now *emu_now;

#define EMU_TEXT_(x)    #x
#define EMU_TEXT(x)     EMU_TEXT_(x)
#define EMU_HERE        __FILE__ ":" EMU_TEXT(__LINE__)
#define EMU_NAME_(n, v) k_##n##_##v
#define EMU_NAME(n, v)  EMU_NAME_(n, v)

enum emu_collective { /* what the lanes of a warp do together */
                      EMU_WARP_SYNC,
                      EMU_SHFL,
                      EMU_SHFL_XOR,
                      EMU_SHFL_DOWN,
                      EMU_SHFL_UP,
                      EMU_SUM_F32,
                      EMU_MAX_F32,
                      EMU_SUM_I32,
                      EMU_MAX_I32,
                      EMU_BALLOT,
                      EMU_LDMATRIX,
                      EMU_MMA_F16_K8,
                      EMU_MMA_F16,
                      EMU_MMA_S8_K16,
                      EMU_MMA_S8
};

void emu_sync(const char *where);
void emu_warp_sync(const char *where);
uint32_t emu_shuffle(enum emu_collective what, uint32_t v, int by, const char *where);
float emu_sum_f32(float v, const char *where);
float emu_max_f32(float v, const char *where);
int emu_sum_i32(int v, const char *where);
int emu_max_i32(int v, const char *where);
void emu_ldmatrix(uint32_t *r, const void *row, int n, int transposed, const char *where);
void emu_mma_f16_k8(float *c, const uint32_t *a, uint32_t b, const char *where);
void emu_mma_f16(float *c, const uint32_t *a, const uint32_t *b, const char *where);
void emu_mma_s8_k16(int *c, uint32_t a, uint32_t b, const char *where);
void emu_mma_s8(int *c, const uint32_t *a, const uint32_t *b, const char *where);

/* emu_shared: the block's array that belongs to this place in the text; emu_dynamic: the block's
 * dynamic shared memory. */
void *emu_shared(const void *site, size_t bytes);
void *emu_dynamic(void);

/* emu_copy16 ...: cp.async. emu_in_shared, emu_aligned: end the launch unless it is so. */
void emu_copy16(void *to, const void *from, int keep);
void emu_copy_commit(void);
void emu_copy_wait(int groups);
void emu_in_shared(const void *p, size_t bytes);
void emu_misaligned(const void *p, size_t to);

static inline void emu_aligned(const void *p, size_t to)
{
    if ((uintptr_t)p % to) emu_misaligned(p, to);
}

int emu_atomic_add_i32(void *p, int v);
int emu_atomic_max_i32(void *p, int v);
float emu_atomic_add_f32(void *p, float v);
uint32_t emu_atomic_cas_u32(void *p, uint32_t expected, uint32_t v);

static inline uint64_t emu_atomic_add_i64(void *p, int64_t v)
{
    uint64_t *at = (uint64_t *)p, old = *at;
    *at = old + (uint64_t)v;
    return old;
}

/* A shuffle of 64 bits, as two of 32. */
static inline double emu_shuffle_f64(enum emu_collective what, double v, int by, const char *where)
{
    uint32_t half[2];
    memcpy(half, &v, sizeof v);
    half[0] = emu_shuffle(what, half[0], by, where);
    half[1] = emu_shuffle(what, half[1], by, where);
    memcpy(&v, half, sizeof v);
    return v;
}

uint16_t emu_half(float f);

static inline float emu_as_f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint32_t emu_as_u32(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* emu_float: exact. 2^112 moves an exponent of bias 15 to bias 127, denormals too; what then lies
 * at 2^16 or above was infinity or not a number. */
static inline float emu_float(uint16_t h)
{
    float f = emu_as_f32((h & 0x7fffu) << 13) * 0x1p112f;
    uint32_t u = emu_as_u32(f) | (h & 0x8000u) << 16;
    return emu_as_f32(f >= 65536.0f ? u | 0x7f800000u : u);
}

/* emu_round: to nearest even; not a number is 0, beyond the range the nearest end, as on the GPU.
 */
static inline int emu_round(float x)
{
    if (!(x > -2147483648.0f)) return x == x ? INT32_MIN : 0;
    return x >= 2147483648.0f ? INT32_MAX : (int)rintf(x);
}

#endif
