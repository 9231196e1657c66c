/* The scheduler of the fiber emulator; the collectives of a warp are in emu_warp.c.
 *
 * Each thread of a block is a fiber with a guarded stack. Threads run one at a time, from one wait
 * to the next; whoever arrives last at a barrier lets the others go and runs on. Blocks follow one
 * another. Orders 0 and 1 let a warp run as far as it can before the next one starts (forward,
 * backward), the others draw warps and lanes anew for every turn: a missing barrier shows in at
 * least one of them.
 *
 *     scheduler  --enter-->  fiber (kernel text)  --wait, done-->  scheduler
 */
#include "gpu/emu.h"
#include "gpu/emu_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define EMU_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define EMU_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMU_ASAN 1
#elif __has_feature(thread_sanitizer)
#define EMU_TSAN 1
#endif
#endif
#ifndef EMU_ASAN
#define EMU_ASAN 0
#endif
#ifndef EMU_TSAN
#define EMU_TSAN 0
#endif

#if EMU_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define REDZONE 64
#else
#define REDZONE 0
#endif
#if EMU_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#define STACK_BYTES ((size_t)(EMU_ASAN || EMU_TSAN ? 128 : 64) << 10)

#if defined(__x86_64__) && !defined(__ILP32__) && !defined(EMU_UCONTEXT)
#define OWN_SWITCH 1
#else
#define OWN_SWITCH 0
#endif

#define PAGE         ((size_t)4096)
#define STATIC_BYTES ((size_t)64 << 10)  /* room for DEV_SHARED; 48 KiB may be used */
#define DYNAMIC_MOST ((size_t)256 << 10) /* more than any GPU has */
#define STATIC_MOST  ((size_t)48 << 10)  /* the limit of every GPU: ptxas refuses more */

_Thread_local struct emu_now *emu_now;

static struct emu_state *state(void)
{
    return (struct emu_state *)emu_now;
}

/* ---- switching stacks ---- */

#if OWN_SWITCH
/* 22 ns where swapcontext takes 245: no signal mask. Saves what the ABI says a callee keeps. */
void emu_switch(void **save, void *to);
__asm__(".text\n"
        ".hidden emu_switch\n"
        ".globl emu_switch\n"
        ".type emu_switch, @function\n"
        "emu_switch:\n"
        "    pushq %rbx\n"
        "    pushq %rbp\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbp\n"
        "    popq %rbx\n"
        "    ret\n"
        ".size emu_switch, . - emu_switch\n");
#endif

static void enter(struct emu_state *s, struct emu_fiber *f)
{
    s->running = f;
    s->now.self = &f->seen;
#if EMU_ASAN
    __sanitizer_start_switch_fiber(&s->fake, f->stack, STACK_BYTES);
#elif EMU_TSAN
    s->fake = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->fake, 0);
#endif
#if OWN_SWITCH
    emu_switch(&s->sp, f->sp);
#else
    swapcontext(&s->context, &f->context);
#endif
#if EMU_ASAN
    __sanitizer_finish_switch_fiber(s->fake, NULL, NULL);
#endif
}

static void leave(struct emu_state *s, struct emu_fiber *f)
{
#if EMU_ASAN
    __sanitizer_start_switch_fiber(&f->fake, s->stack, s->stack_bytes);
#elif EMU_TSAN
    __tsan_switch_to_fiber(s->fake, 0);
#endif
#if OWN_SWITCH
    emu_switch(&f->sp, s->sp);
#else
    swapcontext(&f->context, &s->context);
#endif
#if EMU_ASAN
    __sanitizer_finish_switch_fiber(f->fake, &s->stack, &s->stack_bytes);
#endif
}

void emu_wait(struct emu_state *s, enum emu_wait_for what)
{
    struct emu_fiber *f = s->running;
    f->waits = what;
    leave(s, f);
}

void emu_stop(struct emu_state *s, int code, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    if (!s->code) {
        s->code = code;
        int n = snprintf(s->message, sizeof s->message, "kernel %s, block (%u, %u, %u)",
                         s->kernel->name, s->now.block.x, s->now.block.y, s->now.block.z);
        if (s->running) {
            struct emu_dim t = s->running->seen.thread;
            n += snprintf(s->message + n, sizeof s->message - (size_t)n, ", thread (%u, %u, %u)",
                          t.x, t.y, t.z);
        }
        n += snprintf(s->message + n, sizeof s->message - (size_t)n, ": ");
        vsnprintf(s->message + n, sizeof s->message - (size_t)n, format, ap);
    }
    va_end(ap);
    if (s->running) leave(s, s->running); /* never comes back: the launch is over */
}

static void done(struct emu_state *s, struct emu_fiber *f);

static void fiber_main(void)
{
    struct emu_state *s = state();
    struct emu_fiber *f = s->running;
#if EMU_ASAN
    __sanitizer_finish_switch_fiber(NULL, &s->stack, &s->stack_bytes);
#endif
    for (;;) { /* once per block */
        s->kernel->call(s->args);
        done(s, f);
        leave(s, f);
    }
}

static void prepare(struct emu_fiber *f)
{
#if EMU_ASAN
    __asan_unpoison_memory_region(f->stack, STACK_BYTES);
    f->fake = NULL;
#elif EMU_TSAN
    if (f->fake) __tsan_destroy_fiber(f->fake);
    f->fake = __tsan_create_fiber(0);
#endif
#if OWN_SWITCH
    void **sp = (void **)(void *)(f->stack + STACK_BYTES);
    *--sp = NULL; /* fiber_main returns nowhere; the ABI wants sp = 8 modulo 16 where it starts */
    *--sp = (void *)(uintptr_t)fiber_main;
    for (int i = 0; i < 6; i++) *--sp = NULL;
    f->sp = sp;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = NULL;
    makecontext(&f->context, fiber_main, 0);
#endif
    f->ready = 1;
}

/* ---- memory ---- */

/* Room with a page at either end that must not be touched. */
static char *guarded(size_t bytes)
{
    char *p =
        mmap(NULL, bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) return NULL;
    if (mprotect(p + PAGE, bytes, PROT_READ | PROT_WRITE)) {
        munmap(p, bytes + 2 * PAGE);
        return NULL;
    }
    return p + PAGE;
}

static struct emu_state *open_state(void)
{
    struct emu_state *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s == MAP_FAILED) return NULL;
    emu_now = &s->now;
    s->fixed = guarded(STATIC_BYTES);
    s->dynamic = guarded(DYNAMIC_MOST);
    if (s->fixed && s->dynamic) return s;
    emu_free();
    return NULL;
}

void emu_free(void)
{
    struct emu_state *s = state();
    if (!s) return;
    for (int i = 0; i < EMU_THREADS; i++)
        if (s->fiber[i].stack) {
#if EMU_ASAN
            __asan_unpoison_memory_region(s->fiber[i].stack, STACK_BYTES);
#elif EMU_TSAN
            if (s->fiber[i].fake) __tsan_destroy_fiber(s->fiber[i].fake);
#endif
            munmap(s->fiber[i].stack - PAGE, STACK_BYTES + 2 * PAGE);
        }
#if EMU_ASAN
    if (s->fixed) __asan_unpoison_memory_region(s->fixed, STATIC_BYTES);
    if (s->dynamic) __asan_unpoison_memory_region(s->dynamic, DYNAMIC_MOST);
#endif
    if (s->fixed) munmap(s->fixed - PAGE, STATIC_BYTES + 2 * PAGE);
    if (s->dynamic) munmap(s->dynamic - PAGE, DYNAMIC_MOST + 2 * PAGE);
    munmap(s, sizeof *s);
    emu_now = NULL;
}

/* Two fillings, by order: not a number in any float type, and a large number, since each can go
 * unseen (fmaxf skips the first). */
static int poison(const struct emu_state *s)
{
    return s->launch->order % 2 ? 0x7b : 0xff;
}

void *emu_shared(const void *site, size_t bytes)
{
    struct emu_state *s = state();
    for (int i = 0; i < s->n_arrays; i++)
        if (s->array[i].site == site) return s->fixed + s->array[i].at;
    if (s->n_arrays == EMU_ARRAYS) emu_stop(s, 719, "more than %d shared arrays", EMU_ARRAYS);
    size_t at = s->fixed_used, room = (bytes + 15) / 16 * 16;
    s->shared_bytes += room;
    if (s->shared_bytes > STATIC_MOST || at + room + REDZONE > STATIC_BYTES)
        emu_stop(s, 719, "%zu bytes of DEV_SHARED; 48 KiB is the most", s->shared_bytes);
    if (s->launch->shared_limit &&
        s->shared_bytes + s->launch->dynamic_bytes > s->launch->shared_limit)
        emu_stop(s, 1, "%zu bytes of shared memory, %zu of them dynamic; the limit is %zu",
                 s->shared_bytes + s->launch->dynamic_bytes, s->launch->dynamic_bytes,
                 s->launch->shared_limit);
#if EMU_ASAN
    __asan_unpoison_memory_region(s->fixed + at, bytes);
#endif
    memset(s->fixed + at, poison(s), bytes);
    s->array[s->n_arrays].site = site;
    s->array[s->n_arrays].at = at;
    s->array[s->n_arrays++].bytes = bytes;
    s->fixed_used = at + room + REDZONE;
    return s->fixed + at;
}

void *emu_dynamic(void)
{
    return state()->dynamic_start;
}

void emu_in_shared(const void *p, size_t bytes)
{
    struct emu_state *s = state();
    const char *at = p;
    for (int i = 0; i < s->n_arrays; i++) {
        const char *from = s->fixed + s->array[i].at;
        if (at >= from && at + bytes <= from + s->array[i].bytes) return;
    }
    const char *from = s->dynamic_start;
    if (at >= from && at + bytes <= from + s->launch->dynamic_bytes) return;
    emu_stop(s, 717, "%p is not in the block's shared memory", p);
}

void emu_misaligned(const void *p, size_t to)
{
    emu_stop(state(), 716, "%p is not a multiple of %zu", p, to);
}

static void fill_shared(struct emu_state *s)
{
    for (int i = 0; i < s->n_arrays; i++)
        memset(s->fixed + s->array[i].at, poison(s), s->array[i].bytes);
    memset(s->dynamic_start, poison(s), s->launch->dynamic_bytes);
}

/* Dynamic memory ends where the guard page starts, as far as 16 byte alignment allows. */
static void lay_out_shared(struct emu_state *s)
{
    size_t bytes = s->launch->dynamic_bytes;
    s->n_arrays = 0;
    s->fixed_used = 0;
    s->shared_bytes = 0;
    s->dynamic_start = s->dynamic + DYNAMIC_MOST - (bytes + 15) / 16 * 16;
#if EMU_ASAN
    __asan_poison_memory_region(s->fixed, STATIC_BYTES);
    __asan_poison_memory_region(s->dynamic, DYNAMIC_MOST);
    __asan_unpoison_memory_region(s->dynamic_start, bytes);
#endif
}

/* ---- block barrier ---- */

static void release_block(struct emu_state *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->fiber[i].waits == EMU_AT_BLOCK) s->fiber[i].waits = EMU_RUNS;
    s->at_barrier = 0;
}

void emu_sync(const char *where)
{
    struct emu_state *s = state();
    if (s->at_barrier > 0 && !emu_same(s->barrier, where))
        emu_stop(s, 719, "waits at %s while others wait at %s: they must meet at one barrier",
                 where, s->barrier);
    s->barrier = where;
    if (++s->at_barrier == s->alive)
        release_block(s);
    else
        emu_wait(s, EMU_AT_BLOCK);
}

static void done(struct emu_state *s, struct emu_fiber *f)
{
    f->waits = EMU_DONE;
    f->n_copies = 0;
    s->alive--;
    emu_lane_done(s, &s->warp[f->seen.warp]);
    if (s->alive && s->at_barrier == s->alive) release_block(s);
}

/* ---- the scheduler ---- */

/* xorshift32 (Marsaglia 2003); never 0 */
static unsigned draw(struct emu_state *s, unsigned below)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 17;
    s->random ^= s->random << 5;
    return s->random % below;
}

static void shuffle(struct emu_state *s, unsigned *p, unsigned n)
{
    for (unsigned i = n; i > 1; i--) {
        unsigned j = draw(s, i), t = p[i - 1];
        p[i - 1] = p[j];
        p[j] = t;
    }
}

static void stuck(struct emu_state *s)
{
    unsigned block = 0, warp = 0;
    const char *warp_where = "";
    for (unsigned i = 0; i < s->n; i++) {
        const struct emu_fiber *f = &s->fiber[i];
        if (f->waits == EMU_AT_BLOCK) block++;
        if (f->waits == EMU_AT_WARP) {
            warp++;
            warp_where = s->warp[f->seen.warp].where;
        }
    }
    s->running = NULL;
    emu_stop(s, 719,
             "barrier divergence: of %u threads %u wait at dev_sync %s, %u for their warp %s, %u "
             "have returned",
             s->n, block, block ? s->barrier : "", warp, warp_where, s->n - s->alive);
}

/* One turn of a warp; whether any lane ran. */
static int turn(struct emu_state *s, unsigned warp, const unsigned *lanes, int again)
{
    unsigned first = warp * 32, n = s->n - first < 32 ? s->n - first : 32;
    int ran, any = 0;
    do {
        ran = 0;
        for (unsigned i = 0; i < 32; i++) {
            if (lanes[i] >= n) continue;
            struct emu_fiber *f = &s->fiber[first + lanes[i]];
            if (f->waits != EMU_RUNS) continue;
            enter(s, f);
            if (s->code) return 1;
            ran = any = 1;
        }
    } while (ran && again);
    return any;
}

static void run_block(struct emu_state *s)
{
    unsigned n_warps = (s->n + 31) / 32, warps[EMU_THREADS / 32], lanes[32];
    int order = s->launch->order;
    for (unsigned i = 0; i < n_warps; i++) {
        unsigned first = i * 32;
        warps[i] = order == EMU_REVERSE ? n_warps - 1 - i : i;
        s->warp[i].waiting = 0;
        s->warp[i].first = &s->fiber[first];
        s->warp[i].lanes = s->warp[i].alive = s->n - first < 32 ? s->n - first : 32;
    }
    for (unsigned i = 0; i < 32; i++) lanes[i] = order == EMU_REVERSE ? 31 - i : i;
    for (unsigned i = 0; i < s->n; i++) s->fiber[i].waits = EMU_RUNS;
    s->alive = s->n;
    s->at_barrier = 0;
    fill_shared(s);
    while (s->alive && !s->code) {
        int any = 0;
        if (order >= EMU_SHUFFLE) {
            shuffle(s, warps, n_warps);
            shuffle(s, lanes, 32);
        }
        for (unsigned i = 0; i < n_warps && !s->code; i++)
            any |= turn(s, warps[i], lanes, order < EMU_SHUFFLE);
        if (!any) stuck(s);
    }
}

static int refuse(struct emu_state *s, int code, const char *what, unsigned long long got)
{
    s->running = NULL;
    emu_stop(s, code, "%s %llu", what, got);
    return code;
}

static int open_launch(struct emu_state *s, const struct emu_launch *l)
{
    struct emu_dim g = l->grid, b = l->block;
    unsigned long long n = (unsigned long long)b.x * b.y * b.z;
    s->running = NULL;
    s->code = 0;
    s->message[0] = 0;
    s->now.block = (struct emu_dim){0, 0, 0};
    if (b.x > 1024 || b.y > 1024 || b.z > 64 || n == 0 || n > EMU_THREADS)
        return refuse(s, 1, "threads in a block:", n);
    if (n > s->kernel->threads) return refuse(s, 1, "more threads than DEV_KERNEL allows:", n);
    if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7fffffff || g.y > 65535 || g.z > 65535)
        return refuse(s, 1, "blocks in the grid:", (unsigned long long)g.x * g.y * g.z);
    if (l->dynamic_bytes > DYNAMIC_MOST || (l->shared_limit && l->dynamic_bytes > l->shared_limit))
        return refuse(s, 1, "bytes of dynamic shared memory:", l->dynamic_bytes);
    s->now.block_dim = b;
    s->now.grid_dim = g;
    s->n = (unsigned)n;
    s->random = 2654435761u * (unsigned)(l->order + 1);
    for (unsigned i = 0; i < s->n; i++) {
        struct emu_fiber *f = &s->fiber[i];
        if (!f->stack) f->stack = guarded(STACK_BYTES);
        if (!f->stack) return refuse(s, 2, "no memory for the stack of thread", i);
        f->seen.thread = (struct emu_dim){i % b.x, i / b.x % b.y, i / (b.x * b.y)};
        f->seen.lane = i % 32;
        f->seen.warp = i / 32;
        f->n_copies = 0;
        if (!f->ready) prepare(f);
    }
    lay_out_shared(s);
    return 0;
}

/* The i-th block of n: forward, backward, or by steps of a prime, which reach every one. */
static uint64_t block_at(int order, uint64_t i, uint64_t n)
{
    if (order == EMU_FORWARD) return i;
    if (order == EMU_REVERSE) return n - 1 - i;
    return (i * (n % 7919 ? 7919 : 1) + (uint64_t)order) % n;
}

int emu_run(const struct emu_kernel *k, const struct emu_launch *l, const void *args)
{
    struct emu_state *s = state() ? state() : open_state();
    if (!s) return 2;
    s->kernel = k;
    s->launch = l;
    s->args = args;
    if (open_launch(s, l)) return s->code;
    uint64_t n = (uint64_t)l->grid.x * l->grid.y * l->grid.z;
    for (uint64_t i = 0; i < n && !s->code; i++) {
        uint64_t at = block_at(l->order, i, n);
        s->now.block =
            (struct emu_dim){(unsigned)(at % l->grid.x), (unsigned)(at / l->grid.x % l->grid.y),
                             (unsigned)(at / l->grid.x / l->grid.y)};
        run_block(s);
    }
    s->running = NULL;
    if (s->code) /* the fibers stand somewhere in the kernel: start afresh next time */
        for (int i = 0; i < EMU_THREADS; i++) s->fiber[i].ready = 0;
    return s->code;
}

const char *emu_message(void)
{
    return state() ? state()->message : "no memory for the emulator";
}

size_t emu_shared_bytes(void)
{
    return state() ? state()->shared_bytes : 0;
}
