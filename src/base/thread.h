/* Threads. One pool for the process: a team is some of its threads and the caller, who run the same
 * function and meet at barriers. Only one thread of the process opens teams, one at a time. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/base.h"

struct thread_team {
    int n;                               /* members */
    _Atomic int waiting, turn, sleepers; /* of the barrier */
};

/* thread_cpus: processors this process may run on (affinity and cgroup quota counted), at least 1.
 */
int thread_cpus(void);

/* thread_quota: processors that the control groups (v2 and v1) listed under this root allow, "" for
 * the real one; 0 means no limit. */
double thread_quota(const char *root);

/* thread_run: fn(ctx, team, id) for id 0..team->n - 1 at the same time; id 0 is the caller. Returns
 * when all have returned. The team has n members, or fewer where the system refuses threads. */
void thread_run(int n, void (*fn)(void *ctx, struct thread_team *team, int id), void *ctx);

/* thread_alone: fn(ctx), during which a library that asks OpenMP is told of one thread. For what it
 * makes to be run by one member of a team. */
void thread_alone(void (*fn)(void *ctx), void *ctx);

/* A thread beside the caller's, for what mostly waits or is done ahead: it opens no team of more
 * than itself. thread_aside: fn(ctx) in it; false if the system refuses a thread, and nothing was
 * called. It takes no signals. thread_join: when it has returned; once for each. */
struct thread_aside {
    void (*fn)(void *ctx);
    void *ctx;
    uint64_t id[2]; /* room for a pthread_t */
};
bool thread_aside(struct thread_aside *t, void (*fn)(void *ctx), void *ctx);
void thread_join(struct thread_aside *t);

/* thread_barrier: returns when all members have called it. Spins a little, then sleeps: steps last
 * microseconds. */
void thread_barrier(struct thread_team *team);

/* thread_share: the half-open part [*from, *to) of 0..n that member `id` takes, in multiples of
 * `grain`. */
void thread_share(const struct thread_team *team, int id, int64_t n, int64_t grain, int64_t *from,
                  int64_t *to);

double thread_seconds(void); /* monotonic clock */

#endif
