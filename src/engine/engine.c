#include "engine/engine.h"
#include "cpu/cpu.h"
#include <stdio.h>
#include <string.h>

/* By preference. To add a device: its room and a row here. */
static const struct backend *const backends[] = {&cpu_backend};

struct engine {
    const struct backend *backend;
    struct backend_device *device;
    char about[160], reason[sizeof((struct err *)0)->text];
};

struct engine_plan {
    struct engine *engine;
    struct backend_plan *prepared;
};

/* "cuda:1" -> "cuda" and 1. */
static int split_device(const char *text, char name[16], int *index, struct err *e)
{
    const char *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    uint64_t number = 0;
    if (n >= 16 || (colon && !str_uint(str_of(colon + 1), 255, &number))) {
        return err_set(e, E_USAGE,
                       "\"%s\" is not a device; devices are auto, cpu, cuda, cuda:0, cuda:1 ..",
                       text);
    }
    memcpy(name, text, n);
    name[n] = 0;
    *index = (int)number;
    return 0;
}

/* "auto" tries every row and keeps why the better ones were not taken. */
static int choose(struct engine *g, struct arena *a, const char *device, struct backend_options *o,
                  struct err *e)
{
    char name[16];
    TRY(split_device(device, name, &o->index, e));
    bool automatic = strcmp(name, "auto") == 0, known = automatic || strcmp(name, "cuda") == 0;
    for (size_t i = 0; i < COUNT(backends); i++) {
        if (!automatic && strcmp(backends[i]->name, name) != 0) continue;
        known = true;
        if (backends[i]->open(a, o, &g->device, e) == 0) {
            g->backend = backends[i];
            return 0;
        }
        snprintf(g->reason, sizeof g->reason, "%s", e->text);
        if (!automatic) return -1;
    }
    if (!known)
        return err_set(e, E_USAGE,
                       "\"%s\" is not a device; devices are auto, cpu, cuda, cuda:0, cuda:1 ..",
                       device);
    if (g->reason[0]) return -1;
    return err_set(e, E_DEVICE, "this lode was built without support for the device \"%s\"",
                   device);
}

int engine_open(struct arena *a, const struct engine_options *o, struct engine **out, struct err *e)
{
    struct engine *g = ARENA_NEW(a, struct engine, 1, e);
    if (!g) return -1;
    struct backend_options options = {.threads = o->threads, .kernels = o->kernels};
    TRY(choose(g, a, o->device, &options, e));
    struct strbuf about;
    strbuf_init(&about, g->about, sizeof g->about);
    g->backend->describe(g->device, &about);
    *out = g;
    return 0;
}

const char *engine_device(const struct engine *g)
{
    return g->backend->name;
}

const char *engine_describe(const struct engine *g)
{
    return g->about;
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
    struct engine_plan *ep = ARENA_NEW(a, struct engine_plan, 1, e);
    if (!ep) return -1;
    ep->engine = g;
    TRY(g->backend->prepare(g->device, a, p, used, ctx, &ep->prepared, e));
    *out = ep;
    return 0;
}

void *engine_host(struct engine_plan *ep, int value)
{
    return ep->engine->backend->host(ep->prepared, value);
}

int engine_run(struct engine_plan *ep, int tape, struct err *e)
{
    return ep->engine->backend->run(ep->prepared, tape, e);
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

void engine_release(struct engine_plan **ep)
{
    if (*ep && (*ep)->engine->backend->release) (*ep)->engine->backend->release((*ep)->prepared);
    *ep = NULL;
}

void engine_close(struct engine **g)
{
    if (*g && (*g)->backend->close) (*g)->backend->close((*g)->device);
    *g = NULL;
}
