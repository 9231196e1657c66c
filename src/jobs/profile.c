#include "jobs/profile.h"
#include <stdio.h>
#include <string.h>

#define KEY sizeof((struct plan_step *)0)->name

struct sums { /* of steps of one name */
    int64_t runs;
    double seconds, work, i8_seconds, i8_work;
};

/* "enc.2.fc1" -> "enc.*.fc1". */
static void key_of(const char *name, char key[KEY])
{
    size_t n = 0;
    for (const char *p = name; *p; p++) {
        bool begins = p == name || p[-1] == '.';
        size_t digits = begins ? strspn(p, "0123456789") : 0;
        bool number = digits && (p[digits] == '.' || !p[digits]);
        key[n++] = number ? '*' : *p;
        if (number) p += digits - 1;
    }
    key[n] = 0;
}

static struct sums sum_of(const struct profile *f, int from, int to, int64_t runs, const char *key)
{
    const double *seconds = engine_profile(f->prepared), *work = engine_work(f->prepared);
    struct sums sum = {0};
    for (int i = from; i < to; i++) {
        const struct plan_step *step = &f->plan->step[i];
        char own[KEY];
        key_of(step->name, own);
        if (key && strcmp(own, key) != 0) continue;
        int w = step->op == OP_linear || step->op == OP_conv1d ? step->in[1] : -1;
        bool i8 = w >= 0 && f->plan->value[w].as_i8;
        sum.runs += runs;
        sum.seconds += seconds[i];
        sum.work += work[i];
        if (i8) sum.i8_seconds += seconds[i];
        if (i8) sum.i8_work += work[i];
    }
    return sum;
}

static void tell_row(const struct lode_host *h, const char *tape, const char *step,
                     const struct sums *sum, double whole_s, double peak)
{
    char rate[24] = "-", reached[24] = "-";
    if (sum->work > 0 && sum->seconds > 0)
        snprintf(rate, sizeof rate, "%.0f", sum->work / sum->seconds * 1e-9);
    if (sum->i8_work > 0 && sum->i8_seconds > 0 && peak > 0)
        snprintf(reached, sizeof reached, "%.0f %%", 100 * sum->i8_work / sum->i8_seconds / peak);
    host_note(h, "%-8s %-24s %8lld %10.2f ms %5.1f %% %8s %8s", tape, step, (long long)sum->runs,
              sum->seconds * 1e3, 100 * sum->seconds / whole_s, rate, reached);
}

static void tell_steps(const struct lode_host *h, const struct profile *f,
                       const struct plan_tape *t, int64_t runs, double whole_s, double peak)
{
    for (int i = t->from; i < t->to; i++) {
        char key[KEY], before[KEY];
        bool seen = false;
        key_of(f->plan->step[i].name, key);
        for (int k = t->from; k < i && !seen; k++) {
            key_of(f->plan->step[k].name, before);
            seen = strcmp(key, before) == 0;
        }
        if (seen) continue;
        struct sums sum = sum_of(f, i, t->to, runs, key);
        if (sum.seconds > 0) tell_row(h, t->name, key, &sum, whole_s, peak);
    }
}

void profile_tell(const struct lode_host *h, const struct profile *f)
{
    const struct plan *p = f->plan;
    const int64_t *runs = engine_runs(f->prepared);
    double peak = engine_peak(f->engine), whole_s = 0;
    if (!engine_profile(f->prepared)) return;
    for (int t = 0; t < p->n_tapes; t++)
        whole_s += sum_of(f, p->tape[t].from, p->tape[t].to, runs[t], NULL).seconds;
    if (whole_s <= 0) return;
    host_note(h, "Profile of model %s: loaded in %.3f s; %s", f->name, f->load_s,
              engine_describe(f->engine));
    if (peak > 0)
        host_note(h, "The i8 peak of these threads, measured now: %.0f GFLOP/s", peak * 1e-9);
    host_note(h, "%-8s %-24s %8s %13s %7s %8s %8s", "tape", "step", "runs", "time", "share",
              "GFLOP/s", "i8 peak");
    for (int t = 0; t < p->n_tapes; t++) tell_steps(h, f, &p->tape[t], runs[t], whole_s, peak);
    for (int t = 0; t < p->n_tapes; t++) {
        struct sums sum = sum_of(f, p->tape[t].from, p->tape[t].to, runs[t], NULL);
        if (!runs[t]) continue;
        sum.runs = runs[t];
        tell_row(h, p->tape[t].name, "(all steps)", &sum, whole_s, peak);
        host_note(h, "%s: %.3f ms a run, %lld run%s", p->tape[t].name,
                  sum.seconds * 1e3 / (double)runs[t], (long long)runs[t], str_s(runs[t]));
    }
}
