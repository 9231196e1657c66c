#include "engine/engine.h"
#include "base/log.h"
#include "core/cost.h"
#include "cpu/cpu.h"
#include "gpu/gpu.h"
#include <stdio.h>
#include <string.h>

/* By preference. To add a device: its room and a row here. */
static const struct backend *const backends[] = {&gpu_backend, &cpu_backend};

struct engine {
    size_t row; /* of backends[] */
    const struct backend *backend;
    struct backend_device *device;
    struct backend_options options;
    bool automatic;
    int live;            /* plans prepared and not released */
    struct arena *later; /* of devices opened after the first; NULL before */
    char about[160], reason[sizeof((struct err *)0)->text];
};

struct engine_plan {
    struct engine *engine;
    struct backend_plan *prepared;
    const struct plan *plan;
    int64_t *runs; /* [n_tapes], and work [n_steps]: NULL unless asked for */
    double *work;
};

/* "cuda:1" -> "cuda" and "1"; what stands behind the colon is the backend's to judge. */
static int split_device(const char *text, char name[16], const char **which, struct err *e)
{
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    bool known = n == 4 && strncmp(text, "auto", n) == 0 && !colon;
    for (size_t i = 0; i < COUNT(backends); i++) {
        const char *row = backends[i]->name;
        known |= strlen(row) == n && strncmp(row, text, n) == 0 &&
                 (!colon || (backends[i] == &gpu_backend && colon[1]));
    }
    if (!known)
        return err_set(e, E_USAGE,
                       "\"%s\" is not a device; devices are auto, cpu, cuda, cuda:1, "
                       "cuda:GPU-UUID, cuda:0000:3b:00.0",
                       text);
    memcpy(name, text, n);
    name[n] = 0;
    *which = colon ? colon + 1 : "";
    return 0;
}

int engine_check(const char *device, struct err *e)
{
    char name[16];
    const char *which;
    return split_device(device, name, &which, e);
}

/* Takes the first row from `row` on that can be used; keeps why those before it were not. */
static int choose(struct engine *g, struct arena *a, const char *name, size_t row, struct err *e)
{
    for (size_t i = row; i < COUNT(backends); i++) {
        if (!g->automatic && strcmp(backends[i]->name, name) != 0) continue;
        if (backends[i]->open(a, &g->options, &g->device, e) == 0) {
            struct strbuf about;
            g->row = i;
            g->backend = backends[i];
            strbuf_init(&about, g->about, sizeof g->about);
            g->backend->describe(g->device, &about);
            return 0;
        }
        if (e->code == E_MISSING && !g->automatic) e->code = E_DEVICE;
        if (!g->automatic || i + 1 == COUNT(backends)) return -1;
        snprintf(g->reason, sizeof g->reason, "%s", e->text);
        /* most machines have no GPU: only one that is there and fails is worth a word */
        if (e->code == E_MISSING)
            log_info("using the %s: %s", backends[i + 1]->name, g->reason);
        else
            log_warn("using the %s: %s", backends[i + 1]->name, g->reason);
    }
    return err_set(e, E_INTERNAL, "no row for the device %s", name);
}

int engine_open(struct arena *a, const struct engine_options *o, struct engine **out, struct err *e)
{
    char name[16];
    struct engine *g = ARENA_NEW(a, struct engine, 1, e);
    if (!g) return -1;
    g->options = (struct backend_options){
        .threads = o->threads, .kernels = o->kernels, .gpu = o->gpu, .profile = o->profile};
    TRY(split_device(o->device, name, &g->options.which, e));
    g->automatic = strcmp(name, "auto") == 0;
    TRY(choose(g, a, name, 0, e));
    *out = g;
    return 0;
}

/* Closes the device because of *why, if that is a device's failure and nothing lies on it. */
static bool leave(struct engine *g, const struct err *why)
{
    struct err e;
    if ((why->code != E_NOMEM && why->code != E_DEVICE) || g->live > 0) return false;
    if (!g->later && arena_open("device", 0, &g->later, &e)) return false;
    if (g->backend && g->backend->close) g->backend->close(g->device);
    g->backend = NULL;
    snprintf(g->reason, sizeof g->reason, "%s", why->text);
    return true;
}

int engine_retreat(struct engine *g, const struct err *why, struct err *e)
{
    size_t next = g->row + 1;
    *e = *why;
    if (!g->automatic || next == COUNT(backends) || !leave(g, why)) return -1;
    log_warn("using the %s: %s", backends[next]->name, g->reason);
    return choose(g, g->later, "auto", next, e);
}

int engine_again(struct engine *g, int tries, struct err *e)
{
    size_t row = g->row + (size_t)tries;
    struct err now;
    if (tries > 1 || (tries && !g->automatic) || backends[g->row] == &cpu_backend || !leave(g, e))
        return -1;
    if (choose(g, g->later, backends[row]->name, row, &now) == 0) return 0;
    snprintf(g->reason, sizeof g->reason, "%s", now.text);
    return -1;
}

int engine_room(struct engine *g, size_t *bytes, struct err *e)
{
    *bytes = SIZE_MAX;
    return g->backend->room ? g->backend->room(g->device, bytes, e) : 0;
}

const char *engine_device(const struct engine *g)
{
    return backends[g->row]->name;
}

const char *engine_describe(const struct engine *g)
{
    return g->about;
}

bool engine_halves(const struct engine *g)
{
    return !g->backend->halves || g->backend->halves(g->device);
}

const char *engine_reason(const struct engine *g)
{
    return g->reason;
}

int engine_measure(struct engine *g, const struct plan *p, struct backend_memory *out,
                   struct err *e)
{
    return g->backend->measure(g->device, p, out, e);
}

int engine_prepare(struct engine *g, struct arena *a, const struct plan *p,
                   void (*used)(void *ctx, int value), void *ctx, struct engine_plan **out,
                   struct err *e)
{
    if (!g->backend) return err_set(e, E_DEVICE, "%s", g->reason);
    struct engine_plan *ep = ARENA_NEW(a, struct engine_plan, 1, e);
    if (!ep) return -1;
    ep->engine = g;
    ep->plan = p;
    if (g->options.profile) {
        ep->runs = ARENA_NEW(a, int64_t, (size_t)p->n_tapes, e);
        if (!ep->runs) return -1;
        ep->work = ARENA_NEW(a, double, (size_t)p->n_steps, e);
        if (!ep->work) return -1;
    }
    TRY(g->backend->prepare(g->device, a, p, used, ctx, &ep->prepared, e));
    g->live++;
    *out = ep;
    return 0;
}

void *engine_host(struct engine_plan *ep, int value)
{
    return ep->engine->backend->host(ep->prepared, value);
}

static const void *input_data(const void *ctx, int value)
{
    const struct engine_plan *ep = ctx;
    return ep->engine->backend->host(ep->prepared, value);
}

int engine_run(struct engine_plan *ep, int tape, struct err *e)
{
    const struct plan_tape *t = &ep->plan->tape[tape];
    TRY(ep->engine->backend->run(ep->prepared, tape, e));
    if (!ep->runs) return 0;
    ep->runs[tape]++;
    for (int i = t->from; i < t->to; i++)
        ep->work[i] += cost_of(ep->plan, &ep->plan->step[i], input_data, ep);
    return 0;
}

int engine_peek(struct engine_plan *ep, int value, void *out, size_t bytes, struct err *e)
{
    return ep->engine->backend->peek(ep->prepared, value, out, bytes, e);
}

void engine_memory(const struct engine_plan *ep, struct backend_memory *out)
{
    ep->engine->backend->memory(ep->prepared, out);
}

const double *engine_profile(const struct engine_plan *ep)
{
    return ep->engine->backend->profile(ep->prepared);
}

const int64_t *engine_runs(const struct engine_plan *ep)
{
    return ep->runs;
}

const double *engine_work(const struct engine_plan *ep)
{
    return ep->work;
}

double engine_peak(const struct engine *g)
{
    return g->backend->peak ? g->backend->peak(g->device) : 0;
}

void engine_release(struct engine_plan **ep)
{
    if (!*ep) return;
    struct engine *g = (*ep)->engine;
    if (g->backend->release) g->backend->release((*ep)->prepared);
    g->live--;
    *ep = NULL;
}

void engine_close(struct engine **g)
{
    if (!*g) return;
    if ((*g)->backend && (*g)->backend->close) (*g)->backend->close((*g)->device);
    arena_close(&(*g)->later);
    *g = NULL;
}
