#include "base/thread.h"
#include "base/str.h"

#include <limits.h>
#include <linux/futex.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* About a hundred microseconds of waiting before the processor is left to somebody else: longer
 * than the longest step of one token's decode, so a team with processors of its own never sleeps.
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

/* ---- waiting: first awake, then asleep --------------------------------------------------------
 */

static long futex(const _Atomic int *word, int op, int value)
{
    return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Returns when *word is no longer `value`. */
static void wait_while(const _Atomic int *word, int value, _Atomic int *sleepers)
{
    for (int spins = 0; spins < SPINS; spins++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value) return;
        relax();
    }
    atomic_fetch_add(sleepers, 1);
    while (atomic_load(word) == value) futex(word, FUTEX_WAIT, value);
    atomic_fetch_sub(sleepers, 1);
}

/* After *word was changed. */
static void wake(const _Atomic int *word, const _Atomic int *sleepers)
{
    if (atomic_load(sleepers)) futex(word, FUTEX_WAKE, INT_MAX);
}

/* ---- the pool ---------------------------------------------------------------------------------
 */

enum { MEMBER_BITS = 12, MEMBERS_MOST = 1 << MEMBER_BITS };

/* Threads 1..n_made wait for `call`, whose low bits say how many members the team has and whose
 * high bits make every call another number. Only members of a team look at the rest, which stays as
 * it is until all of them are done. */
static struct {
    int n_made;
    _Atomic int call, sleepers;
    _Atomic int busy, joining; /* members not yet done; whether their caller sleeps */
    struct thread_team *team;
    void (*fn)(void *, struct thread_team *, int);
    void *ctx;
} thread_pool;

static void *member(void *arg)
{
    int id = (int)(intptr_t)arg, seen = 0;
    for (;;) {
        wait_while(&thread_pool.call, seen, &thread_pool.sleepers);
        seen = atomic_load_explicit(&thread_pool.call, memory_order_acquire);
        if (id >= seen % MEMBERS_MOST) continue;
        thread_pool.fn(thread_pool.ctx, thread_pool.team, id);
        int left = atomic_fetch_sub(&thread_pool.busy, 1) - 1;
        if (left == 0) wake(&thread_pool.busy, &thread_pool.joining);
    }
    return NULL;
}

/* Makes the pool large enough for n members, or as large as the system allows. Returns how many a
 * team can have. Members take no signals: whoever reads or sleeps is to be interrupted by them. */
static int grow(int n)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (thread_pool.n_made < n - 1) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, member, (void *)(intptr_t)(thread_pool.n_made + 1)))
            break;
        pthread_detach(thread);
        thread_pool.n_made++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return MIN(n, thread_pool.n_made + 1);
}

void thread_run(int n, void (*fn)(void *ctx, struct thread_team *team, int id), void *ctx)
{
    assert(n >= 1 && n < MEMBERS_MOST);
    if (n == 1) { /* from any thread: the pool is not looked at */
        fn(ctx, &(struct thread_team){.n = 1}, 0);
        return;
    }
    struct thread_team team = {.n = n > thread_pool.n_made + 1 ? grow(n) : n};
    if (team.n > 1) {
        thread_pool.team = &team;
        thread_pool.fn = fn;
        thread_pool.ctx = ctx;
        atomic_store_explicit(&thread_pool.busy, team.n - 1, memory_order_relaxed);
        unsigned call = (unsigned)atomic_load_explicit(&thread_pool.call, memory_order_relaxed);
        call = ((call >> MEMBER_BITS) + 1) << MEMBER_BITS & INT_MAX;
        atomic_store(&thread_pool.call, (int)(call + (unsigned)team.n));
        wake(&thread_pool.call, &thread_pool.sleepers);
    }
    fn(ctx, &team, 0);
    if (team.n == 1) return;
    for (int left; (left = atomic_load_explicit(&thread_pool.busy, memory_order_acquire)) > 0;)
        wait_while(&thread_pool.busy, left, &thread_pool.joining);
}

void thread_alone(void (*fn)(void *ctx), void *ctx)
{
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    fn(ctx);
    omp_set_num_threads(threads);
}

static void *aside(void *arg)
{
    const struct thread_aside *t = arg;
    t->fn(t->ctx);
    return NULL;
}

bool thread_aside(struct thread_aside *t, void (*fn)(void *ctx), void *ctx)
{
    _Static_assert(sizeof(pthread_t) <= sizeof t->id, "a thread's name fits");
    sigset_t all, before;
    pthread_t thread;
    t->fn = fn;
    t->ctx = ctx;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool made = pthread_create(&thread, NULL, aside, t) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (made) memcpy(t->id, &thread, sizeof thread);
    return made;
}

void thread_join(struct thread_aside *t)
{
    pthread_t thread;
    memcpy(&thread, t->id, sizeof thread);
    pthread_join(thread, NULL);
}

void thread_barrier(struct thread_team *team)
{
    if (team->n == 1) return;
    int turn = atomic_load_explicit(&team->turn, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->waiting, 1, memory_order_acq_rel) + 1 == team->n) {
        atomic_store_explicit(&team->waiting, 0, memory_order_relaxed);
        atomic_fetch_add(&team->turn, 1);
        wake(&team->turn, &team->sleepers);
        return;
    }
    wait_while(&team->turn, turn, &team->sleepers);
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
