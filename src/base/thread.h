/* Threads. OpenMP is the one pool: a team is one parallel region, in which every member runs the
 * same function and meets the others at barriers. Only one thread of the process opens teams. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include "base/base.h"

struct thread_team {
    int n;                     /* members */
    _Atomic int waiting, turn; /* of the barrier */
};

/* thread_cpus: processors this process may run on (affinity and cgroup quota counted), at least 1.
 */
int thread_cpus(void);

/* thread_quota: processors that the control groups (v2 and v1) listed under this root allow, "" for
 * the real one; 0 means no limit. */
double thread_quota(const char *root);

/* thread_run: fn(ctx, team, id) for id 0..n-1 at the same time; id 0 is the caller. Returns when
 * all have returned. */
void thread_run(int n, void (*fn)(void *ctx, struct thread_team *team, int id), void *ctx);

/* thread_alone: fn(ctx), during which a library that asks OpenMP is told of one thread. For what it
 * makes to be run by one member of a team. */
void thread_alone(void (*fn)(void *ctx), void *ctx);

/* thread_barrier: returns when all members have called it. Spins a little, then yields: steps last
 * microseconds. */
void thread_barrier(struct thread_team *team);

/* thread_share: the half-open part [*from, *to) of 0..n that member `id` takes, in multiples of
 * `grain`. */
void thread_share(const struct thread_team *team, int id, int64_t n, int64_t grain, int64_t *from,
                  int64_t *to);

double thread_seconds(void); /* monotonic clock */

#endif
