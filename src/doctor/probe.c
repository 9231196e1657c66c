#include "doctor/probe.h"
#include "base/child.h"
#include "gpu/gpu_trial.h"
#include <stdio.h>
#include <string.h>

#define MARK "fact: "

/* No grace: a child of ours that is asked to stop would only leave the call it waits in and go on.
 */
enum { OUTPUT_MOST = 128 << 10, GRACE_S = 0 };

static const char *const names[] = {[PROBE_NVML] = "nvml", [PROBE_CUDA] = "cuda"};

const char *probe_word(enum probe which)
{
    return which == PROBE_NVML ? "probe:nvml" : "probe:cuda";
}

/* ---- the child ---- */

struct teller {
    int (*put)(void *ctx, const char *p, size_t n, struct err *e);
    void *ctx;
    struct facts one; /* room for one fact, for its spelling */
    struct err *e;
    bool failed;
};

static void tell(void *ctx, const char *key, const char *value)
{
    struct teller *t = ctx;
    char line[FACTS_VALUE + 600];
    struct strbuf b;
    struct arena_mark here = arena_here(t->one.a);
    if (t->failed) return;
    t->one.n = 0;
    facts_set(&t->one, key, value);
    strbuf_init(&b, line, sizeof line);
    if (t->one.n) strbuf_format(&b, MARK "%s = %s\n", t->one.row[0].key, t->one.row[0].value);
    t->failed = t->one.failed || t->put(t->ctx, b.p, b.n, t->e) != 0;
    arena_rewind(t->one.a, here);
}

int probe_be(struct arena *a, enum probe which,
             int (*put)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
             struct err *e)
{
    struct teller t = {.put = put, .ctx = ctx, .e = e};
    TRY(facts_open(a, &t.one, e));
    const struct gpu_say say = {&t, tell};
    if (which == PROBE_NVML)
        gpu_trial_nvml(&say);
    else
        TRY(gpu_trial(a, &say, e));
    return t.failed ? -1 : 0;
}

/* ---- the parent ---- */

/* The child's lines; what else it printed last (a library's dying words) is kept as one. at: the
 * call it had begun. */
static void take(struct facts *f, struct str output, char at[120], char said[200])
{
    struct str line;
    while (str_line(&output, &line)) {
        if (line.n > strlen(MARK) && memcmp(line.p, MARK, strlen(MARK)) == 0) {
            struct str fact = {line.p + strlen(MARK), line.n - strlen(MARK)};
            if (fact.n > 5 && memcmp(fact.p, "at = ", 5) == 0)
                snprintf(at, 120, "%.*s", (int)MIN(fact.n - 5, 110), fact.p + 5);
            else
                facts_line(f, fact);
        } else if (str_trim(line).n > 0) {
            snprintf(said, 200, "%.*s", (int)MIN(line.n, 190), line.p);
        }
    }
}

int probe_run(enum probe which, const struct probe_rules *r, struct facts *f, struct err *e)
{
    char fake[600], visible[600], at[120] = "its start", said[200] = "", text[300];
    const char *env[3] = {NULL, NULL, NULL};
    const char *const argv[] = {r->program, "doctor", probe_word(which), NULL};
    size_t n = 0;
    if (r->fake) {
        snprintf(fake, sizeof fake, "LODE_FAKE_GPU=%s", r->fake);
        env[n++] = fake;
    }
    if (r->visible) {
        snprintf(visible, sizeof visible, "CUDA_VISIBLE_DEVICES=%s", r->visible);
        env[n++] = visible;
    }
    const struct child_rules rules = {.env = env,
                                      .timeout_s = r->timeout_s,
                                      .grace_s = GRACE_S,
                                      .max_bytes = OUTPUT_MOST,
                                      .anew = true};
    struct child_end end;
    TRY(child_run_under(f->a, argv, &rules, &end, e));
    take(f, end.output, at, said);
    if (end.late)
        snprintf(text, sizeof text, "no answer after %d s from %s", r->timeout_s, at);
    else if (end.status > 128)
        snprintf(text, sizeof text, "signal %d in %s", end.status - 128, at);
    else if (end.status != 0)
        snprintf(text, sizeof text, "status %d after %s", end.status, at);
    else
        snprintf(text, sizeof text, "ended");
    facts_put(f, str_of(text), "probe %s", names[which]);
    if (*said && strcmp(text, "ended") != 0)
        facts_put(f, str_of(said), "probe %s said", names[which]);
    return f->failed ? -1 : 0;
}
