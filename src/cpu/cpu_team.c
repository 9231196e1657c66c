#include "cpu/cpu_team.h"
#include "base/base.h"

/* The first pause is some hundred tokens long; the longest costs little if processors come free. */
#define PAUSE_FIRST_S 0.1
#define PAUSE_MOST_S  5.0

void cpu_team_learn(struct cpu_team *t, double now_s, double took_s, double waited_s)
{
    /* Uneven shares make the best of teams wait a tenth or two of its time. */
    if (t->n > 1 && waited_s > took_s / 2) {
        t->n /= 2;
        t->pause_s = MIN(MAX(2 * t->pause_s, PAUSE_FIRST_S), PAUSE_MOST_S);
        t->again_s = now_s + t->pause_s;
    } else if (t->n == t->most) {
        t->pause_s /= 2;
    } else if (now_s >= t->again_s) {
        t->n = t->most;
    }
}
