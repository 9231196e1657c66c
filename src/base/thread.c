#include "base/thread.h"
#include "base/str.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* About a hundred microseconds of waiting before the processor is offered to somebody else: longer
 * than the longest step of one token's decode, so a team with processors of its own never yields.
 */
enum { SPINS = 4000, CPUS_MOST = 16384 };

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The first line of a small file of the kernel; false if there is none. */
static bool first_line(const char *root, const char *folder, const char *name, char *line, int cap)
{
    char path[512];
    int n = snprintf(path, sizeof path, "%s/sys/fs/cgroup%s/%s", root, folder, name);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    if (!f) return false;
    bool got = fgets(line, cap, f) != NULL;
    fclose(f);
    return got;
}

/* The number that *p begins with; "max" and "-1", which mean no limit, are none. */
static bool number(const char **p, uint64_t *out)
{
    size_t n = strspn(*p, "0123456789");
    bool good = str_uint((struct str){*p, n}, UINT64_MAX, out);
    *p += n;
    *p += strspn(*p, " ");
    return good;
}

/* Processors that the group `folder` may use: quota / period; 0 means no limit. */
static double quota_of(const char *root, const char *folder, bool v2)
{
    char line[128];
    const char *at = line;
    uint64_t quota, period;
    if (!first_line(root, folder, v2 ? "cpu.max" : "cpu.cfs_quota_us", line, sizeof line)) return 0;
    if (!number(&at, &quota)) return 0;
    if (!v2) {
        if (!first_line(root, folder, "cpu.cfs_period_us", line, sizeof line)) return 0;
        at = line;
    }
    return number(&at, &period) && period > 0 ? (double)quota / (double)period : 0;
}

/* The tightest quota from `group` up to the root of its hierarchy. */
static double quota_upwards(const char *root, const char *mount, const char *group, bool v2)
{
    char folder[400];
    double least = 0;
    int n = snprintf(folder, sizeof folder, "%s%s", mount, group);
    if (n < 0 || (size_t)n >= sizeof folder) return 0;
    for (size_t top = strlen(mount);;) {
        double q = quota_of(root, folder, v2);
        if (q > 0 && (least == 0 || q < least)) least = q;
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < top || folder[top] == 0) return least;
        *slash = 0;
    }
}

double thread_quota(const char *root)
{
    char path[400], line[512];
    int n = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    if (!f) return 0;
    double least = 0;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *kinds = strchr(line, ':');
        char *group = kinds ? strchr(kinds + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        *kinds++ = 0;
        char mount[64] = "";
        bool v2 = *kinds == 0;
        if (!v2 && strcmp(kinds, "cpu") != 0 && strcmp(kinds, "cpu,cpuacct") != 0 &&
            strcmp(kinds, "cpuacct,cpu") != 0)
            continue;
        if (!v2) snprintf(mount, sizeof mount, "/%s", kinds);
        double q = quota_upwards(root, mount, group, v2);
        if (q > 0 && (least == 0 || q < least)) least = q;
    }
    fclose(f);
    return least;
}

int thread_cpus(void)
{
    cpu_set_t set[CPUS_MOST / CPU_SETSIZE];
    int cpus = 1;
    if (sched_getaffinity(0, sizeof set, set) == 0) cpus = CPU_COUNT_S(sizeof set, set);
    /* Rounded down: members spin at barriers, and spinning above the quota stops the whole team. */
    double quota = thread_quota("");
    if (quota > 0 && quota < cpus) cpus = (int)quota;
    return MAX(cpus, 1);
}

/* libgomp starts and joins its threads by means that the thread sanitizer does not see; it is told.
 */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *p);
void __tsan_release(void *p);
#define ACQUIRE(p) __tsan_acquire(p)
#define RELEASE(p) __tsan_release(p)
#define UNSEEN     __attribute__((no_sanitize_thread))
#else
#define ACQUIRE(p) ((void)(p))
#define RELEASE(p) ((void)(p))
#define UNSEEN
#endif

static __attribute__((noinline)) void member(struct thread_team *team, int id,
                                             void (*fn)(void *, struct thread_team *, int),
                                             void *ctx)
{
    ACQUIRE(team);
    fn(ctx, team, id);
    RELEASE(team);
}

UNSEEN void thread_run(int n, void (*fn)(void *ctx, struct thread_team *team, int id), void *ctx)
{
    assert(n >= 1);
    struct thread_team team = {.n = 1};
    if (n == 1) {
        fn(ctx, &team, 0);
        return;
    }
    RELEASE(&team);
    // clang-format off
#pragma omp parallel num_threads(n)
    {
#pragma omp single
        team.n = omp_get_num_threads(); /* may be fewer than asked for */
        member(&team, omp_get_thread_num(), fn, ctx);
    }
    // clang-format on
    ACQUIRE(&team);
}

void thread_alone(void (*fn)(void *ctx), void *ctx)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    fn(ctx);
    omp_set_num_threads(threads);
}

void thread_barrier(struct thread_team *team)
{
    if (team->n == 1) return;
    int turn = atomic_load_explicit(&team->turn, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->waiting, 1, memory_order_acq_rel) + 1 == team->n) {
        atomic_store_explicit(&team->waiting, 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&team->turn, 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&team->turn, memory_order_acquire) == turn; spins++) {
        if (spins < SPINS)
            relax();
        else
            sched_yield();
    }
}

void thread_share(const struct thread_team *team, int id, int64_t n, int64_t grain, int64_t *from,
                  int64_t *to)
{
    assert(n >= 0 && grain > 0);
    int64_t pieces = (n + grain - 1) / grain;
    *from = MIN(pieces * id / team->n * grain, n);
    *to = MIN(pieces * (id + 1) / team->n * grain, n);
}

double thread_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
