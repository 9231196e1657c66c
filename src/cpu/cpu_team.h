/* How many members a run gets. A team meets at a barrier after every step, so a member that other
 * programs keep off its processor holds up all the others, dozens of times in a millisecond's work:
 * on a busy machine two threads can take several times as long as one. */
#ifndef CPU_TEAM_H
#define CPU_TEAM_H

struct cpu_team {
    int most;       /* members asked for */
    int n;          /* members of the next run, 1..most */
    double pause_s; /* how long to stay small the next time */
    double again_s; /* when to try `most` again */
};

/* cpu_team_learn: a run of t->n members ended at now_s (a clock that only rises), took took_s, of
 * which member 0 waited waited_s for others. Sets the members of the next run. */
void cpu_team_learn(struct cpu_team *t, double now_s, double took_s, double waited_s);

#endif
