/* The inside of the fake CUDA driver.
 *
 * Work waits in its stream until somebody waits for it, as late as a GPU may do it: a copy from
 * pinned memory reads what stands there then, a copy to it shows rubbish until then. A kernel that
 * fails makes its context lost for good, as NVIDIA's header says of 700 and its like.
 *
 * Device memory is mapped, so that the page behind an allocation cannot be touched, and filled with
 * rubbish. One lock over everything; kernels run under it. */
#include "gpu/fake_driver.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#endif
#ifdef POISON
#include <sanitizer/asan_interface.h>
#else
#define __asan_poison_memory_region(at, bytes)   ((void)(at), (void)(bytes))
#define __asan_unpoison_memory_region(at, bytes) ((void)(at), (void)(bytes))
#endif

#define PAGE    ((size_t)4096)
#define RUBBISH 0xA5
#define FILL_MOST                                                                  \
    ((size_t)64 << 20) /* of an allocation, at either end: the rest stays unmapped \
                        */

static struct {
    pthread_mutex_t lock;
    struct fake_driver driver;
} fake_driver_all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local struct fake_context *current;

struct fake_driver *fake_driver_state(void)
{
    return &fake_driver_all.driver;
}

struct fake_context *fake_driver_current(void)
{
    return current;
}

void fake_driver_use(struct fake_context *c)
{
    current = c;
}

/* ---- calls ---- */

static void __attribute__((format(printf, 1, 2))) say(const char *format, ...)
{
    char text[700];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    dprintf(STDERR_FILENO, "fake GPU: %s\n", text);
}

/* From cuda.h: after these "the process must be terminated and relaunched". 214, an uncorrectable
 * error of the memory, ends a context as well. */
static bool fatal(int code)
{
    return code == 214 || code == 226 || code == 700 || code == 702 ||
           (code >= 714 && code <= 721) || code == 810;
}

static bool hits(const struct fake_rule *r, unsigned long count)
{
    return r->on ? count >= r->at : count == r->at;
}

static int injected(struct fake_driver *d, const char *name, unsigned long count)
{
    int code = 0;
    for (int i = 0; i < d->config.n_rules; i++) {
        const struct fake_rule *r = &d->config.rule[i];
        bool any = strcmp(r->call, "any") == 0;
        if (!any && strcmp(r->call, name)) continue;
        if (!hits(r, any ? (unsigned long)d->stats.calls : count)) continue;
        if (r->crash) raise(SIGSEGV);
        if (r->hang_s) { /* nobody else is held up */
            pthread_mutex_unlock(&fake_driver_all.lock);
            sleep(r->hang_s);
            pthread_mutex_lock(&fake_driver_all.lock);
        }
        if (r->code) code = r->code;
    }
    return code;
}

static int open_once(struct fake_driver *d)
{
    char wrong[300];
    if (d->opened) return 0;
    if (fake_environment(&d->config, wrong, sizeof wrong)) {
        say("%s", wrong);
        return -1;
    }
    for (int i = 0; i < FAKE_DEVICES; i++) d->context[i].device = i;
    d->opened = true;
    return 0;
}

int fake_driver_enter(int index, const char *name, enum fake_needs needs)
{
    struct fake_driver *d = &fake_driver_all.driver;
    pthread_mutex_lock(&fake_driver_all.lock);
    if (open_once(d)) return 999;
    d->stats.calls++;
    d->calls[index]++;
    int code = injected(d, name, d->calls[index]);
    if (needs == FAKE_NOTHING) return code;
    if (!d->started || d->pid != (long)getpid()) return 3; /* also in a child after a fork */
    if (needs == FAKE_CONTEXT && !current) return 201;
    if (needs == FAKE_CONTEXT && current->holders == 0) return 709; /* released meanwhile */
    if (needs == FAKE_CONTEXT && fatal(code)) current->lost = code;
    if (needs == FAKE_CONTEXT && current->lost) return current->lost;
    return code;
}

int fake_driver_leave(int code)
{
    pthread_mutex_unlock(&fake_driver_all.lock);
    return code;
}

/* ---- objects ---- */

void *fake_driver_new(enum fake_kind kind, size_t bytes)
{
    struct fake_object *o = calloc(1, bytes);
    if (!o) return NULL;
    o->kind = kind;
    o->context = current;
    o->next = current->objects;
    current->objects = o;
    return o;
}

void *fake_driver_find(enum fake_kind kind, const void *handle)
{
    if (!handle && kind == FAKE_STREAM) return current->stream;
    for (struct fake_object *o = current->objects; o; o = o->next)
        if (o == handle) return o->kind == kind ? o : NULL;
    return NULL;
}

static void unmap(struct fake_block *b)
{
    __asan_unpoison_memory_region(b->map, b->mapped);
    munmap(b->map, b->mapped);
}

void fake_driver_drop(void *object)
{
    struct fake_object *o = object, **at = &o->context->objects;
    while (*at != o) at = &(*at)->next;
    *at = o->next;
    if (o->kind == FAKE_STREAM) {
        struct fake_stream *s = object;
        fake_driver_clear(&s->queue);
    }
    if (o->kind == FAKE_GRAPH || o->kind == FAKE_EXECUTABLE)
        fake_driver_clear(&((struct fake_graph *)object)->queue);
    if (o->kind == FAKE_MEMORY) {
        o->context->bytes -= ((struct fake_block *)object)->bytes;
        fake_driver_all.driver.stats.bytes -= ((struct fake_block *)object)->bytes;
    }
    if (o->kind == FAKE_MEMORY || o->kind == FAKE_HOST) unmap(object);
    free(o);
}

/* ---- memory ---- */

struct fake_block *fake_driver_block(enum fake_kind kind, uint64_t at, size_t bytes)
{
    for (struct fake_object *o = current->objects; o; o = o->next) {
        struct fake_block *b = (struct fake_block *)o;
        if (o->kind == kind && at >= b->at && bytes <= b->bytes && at - b->at <= b->bytes - bytes)
            return b;
    }
    return NULL;
}

/* What new memory holds: two kinds of rubbish, for 0xA5A5A5A5 is a very small float that can go
 * unseen in a sum, and 0xFFFFFFFF is not a number that a maximum skips. */
static int rubbish(void)
{
    return fake_driver_all.driver.config.order % 2 ? 0xFF : 0xA5;
}

/* The end lies as close before a page that cannot be touched as alignment to 256 allows. */
static int map(struct fake_block *b, size_t bytes)
{
    size_t rounded = (bytes + 255) / 256 * 256, pages = (rounded + PAGE - 1) / PAGE * PAGE;
    b->bytes = bytes;
    b->mapped = pages + 2 * PAGE;
    b->map = mmap(NULL, b->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b->map == MAP_FAILED) return -1;
    if (mprotect(b->map + PAGE, pages, PROT_READ | PROT_WRITE)) {
        munmap(b->map, b->mapped);
        return -1;
    }
    char *start = b->map + PAGE + pages - rounded;
    size_t part = rounded < FILL_MOST ? rounded : FILL_MOST;
    memset(start, rubbish(), part);
    memset(start + rounded - part, rubbish(), part);
    __asan_poison_memory_region(b->map, (size_t)(start - b->map));
    __asan_poison_memory_region(start + bytes, b->mapped - (size_t)(start + bytes - b->map));
    b->at = (uint64_t)(uintptr_t)start;
    return 0;
}

int fake_driver_alloc(enum fake_kind kind, size_t bytes, struct fake_block **out)
{
    struct fake_driver *d = &fake_driver_all.driver;
    struct fake_context *c = current;
    if (bytes == 0) return 1;
    if (kind == FAKE_MEMORY) {
        d->stats.allocations++;
        uint64_t total =
            d->config.vram ? d->config.vram : (uint64_t)d->config.device[c->device].gpu.mib << 20;
        uint64_t taken = d->config.used + c->bytes;
        if (taken > total || bytes > total - taken) {
            d->stats.refused++;
            return 2;
        }
    }
    struct fake_block *b = fake_driver_new(kind, sizeof *b);
    if (!b) return 2;
    if (map(b, bytes)) {
        b->map = NULL;
        b->object.kind = FAKE_EVENT; /* nothing to unmap or count */
        fake_driver_drop(b);
        return 2;
    }
    if (kind == FAKE_MEMORY) {
        c->bytes += bytes;
        d->stats.bytes += bytes;
        if (d->stats.bytes > d->stats.peak_bytes) d->stats.peak_bytes = d->stats.bytes;
    }
    *out = b;
    return 0;
}

/* ---- work ---- */

size_t fake_driver_data_bytes(const struct fake_op *op)
{
    if (!op->data) return 0;
    return op->what == FAKE_LAUNCH ? op->function->kernel->args_bytes : op->bytes;
}

int fake_driver_append(struct fake_queue *to, const struct fake_op *op, const void *data,
                       size_t data_bytes)
{
    struct fake_op *o = malloc(sizeof *o + data_bytes);
    if (!o) return 2;
    *o = *op;
    o->next = NULL;
    o->data = data ? (char *)(o + 1) : NULL;
    if (data) memcpy(o->data, data, data_bytes);
    if (to->last)
        to->last->next = o;
    else
        to->first = o;
    to->last = o;
    return 0;
}

int fake_driver_add(struct fake_stream *s, const struct fake_op *op, const void *data,
                    size_t data_bytes)
{
    return fake_driver_append(s->capture ? &s->capture->queue : &s->queue, op, data, data_bytes);
}

void fake_driver_clear(struct fake_queue *q)
{
    while (q->first) {
        struct fake_op *o = q->first;
        q->first = o->next;
        free(o);
    }
    q->last = NULL;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int run_kernel(struct fake_op *o)
{
    struct fake_driver *d = &fake_driver_all.driver;
    int code = 0;
    d->kernels++;
    d->stats.kernels++;
    for (int i = 0; i < d->config.n_rules; i++) {
        const struct fake_rule *r = &d->config.rule[i];
        if (strcmp(r->call, "kernel") == 0 && hits(r, d->kernels)) code = r->code;
    }
    if (code) return code;
    if (!fake_driver_find(FAKE_FUNCTION, o->function)) return 400;
    o->launch.order = d->config.order;
    code = emu_run(o->function->kernel, &o->launch, o->data);
    if (code) {
        snprintf(d->stats.fault, sizeof d->stats.fault, "%s", emu_message());
        say("%d: %s", code, emu_message());
        return fatal(code) ? code : 719;
    }
    o->function->shared = emu_shared_bytes();
    return 0;
}

/* Memory that was given back since the work was asked for is an illegal address. */
static int run_op(struct fake_op *o)
{
    void *device = (void *)(uintptr_t)o->device;
    if (o->what == FAKE_LAUNCH) return run_kernel(o);
    if (o->what == FAKE_MARK) {
        if (fake_driver_find(FAKE_EVENT, o->event)) {
            o->event->done = true;
            o->event->at_s = now_s();
        }
        return 0;
    }
    if (!fake_driver_block(FAKE_MEMORY, o->device, o->bytes)) return 700;
    if (o->what == FAKE_COPY && !fake_driver_block(FAKE_MEMORY, o->from, o->bytes)) return 700;
    if (o->what == FAKE_FILL)
        memset(device, o->value, o->bytes);
    else if (o->what == FAKE_COPY)
        memmove(device, (void *)(uintptr_t)o->from, o->bytes);
    else if (o->what == FAKE_UP)
        memcpy(device, o->data ? o->data : o->host, o->bytes);
    else
        memcpy(o->host, device, o->bytes);
    return 0;
}

int fake_driver_drain(struct fake_stream *s, const struct fake_event *event)
{
    struct fake_context *c = s->object.context;
    while (s->queue.first && !c->lost) {
        struct fake_op *o = s->queue.first;
        bool last = event && o->what == FAKE_MARK && o->event == event;
        c->lost = run_op(o);
        s->queue.first = o->next;
        if (!o->next) s->queue.last = NULL;
        free(o);
        if (last) break;
    }
    return c->lost;
}

int fake_driver_drain_all(struct fake_context *c)
{
    for (struct fake_object *o = c->objects; o; o = o->next)
        if (o->kind == FAKE_STREAM) fake_driver_drain((struct fake_stream *)o, NULL);
    return c->lost;
}

int fake_driver_forbidden(void)
{
    int code = 0;
    for (struct fake_object *o = current->objects; o; o = o->next)
        if (o->kind == FAKE_STREAM && ((struct fake_stream *)o)->capture) {
            ((struct fake_stream *)o)->spoiled = true;
            code = 900;
        }
    return code;
}

/* ---- contexts, and the end ---- */

static unsigned *counter(struct fake_stats *s, enum fake_kind kind)
{
    switch (kind) {
    case FAKE_MEMORY:
        return &s->memory;
    case FAKE_HOST:
        return &s->host;
    case FAKE_MODULE:
        return &s->modules;
    case FAKE_STREAM:
        return &s->streams;
    case FAKE_EVENT:
        return &s->events;
    case FAKE_GRAPH:
    case FAKE_EXECUTABLE:
        return &s->graphs;
    case FAKE_FUNCTION:
        return NULL; /* goes with its module */
    }
    return NULL;
}

void fake_driver_release(struct fake_context *c)
{
    struct fake_driver *d = &fake_driver_all.driver;
    while (c->objects) {
        struct fake_object *o = c->objects;
        bool own = o->kind == FAKE_FUNCTION || (struct fake_stream *)o == c->stream;
        if (!own && !c->lost) d->stats.leaked++;
        fake_driver_drop(o);
    }
    d->stats.bytes -= c->bytes; /* what the context itself took */
    *c = (struct fake_context){.device = c->device};
    if (current == c) current = NULL;
}

bool fake_driver_missing(const char *name)
{
    struct fake_driver *d = &fake_driver_all.driver;
    pthread_mutex_lock(&fake_driver_all.lock);
    bool missing = open_once(d) == 0 && fake_missing(&d->config, name);
    pthread_mutex_unlock(&fake_driver_all.lock);
    return missing;
}

long fake_driver_pid(void)
{
    return (long)getpid();
}

void fake_driver_stats(struct fake_stats *out)
{
    struct fake_driver *d = &fake_driver_all.driver;
    pthread_mutex_lock(&fake_driver_all.lock);
    *out = d->stats;
    for (int i = 0; i < FAKE_DEVICES; i++)
        for (struct fake_object *o = d->context[i].objects; o; o = o->next) {
            unsigned *n = counter(out, o->kind);
            if (n && (struct fake_stream *)o != d->context[i].stream) (*n)++;
        }
    pthread_mutex_unlock(&fake_driver_all.lock);
}

uint64_t fake_driver_held(const char *pci)
{
    struct fake_driver *d = &fake_driver_all.driver;
    uint64_t bytes = 0;
    pthread_mutex_lock(&fake_driver_all.lock);
    for (int i = 0; i < d->config.n; i++)
        if (strcmp(d->config.device[i].pci, pci) == 0) bytes += d->context[i].bytes;
    pthread_mutex_unlock(&fake_driver_all.lock);
    return bytes;
}

static int read_again(struct fake_driver *d, const char *text)
{
    char wrong[300];
    for (int i = 0; i < FAKE_DEVICES; i++) fake_driver_release(&d->context[i]);
    *d = (struct fake_driver){.opened = true};
    for (int i = 0; i < FAKE_DEVICES; i++) d->context[i].device = i;
    emu_free();
    if (!text) {
        d->opened = false;
        return 0;
    }
    if (fake_read(text, NULL, &d->config, wrong, sizeof wrong) == 0) return 0;
    say("%s", wrong);
    return -1;
}

int fake_driver_reset(const char *text)
{
    pthread_mutex_lock(&fake_driver_all.lock);
    int rc = read_again(&fake_driver_all.driver, text);
    pthread_mutex_unlock(&fake_driver_all.lock);
    return rc;
}

static void __attribute__((destructor)) report(void)
{
    const struct fake_driver *d = &fake_driver_all.driver;
    struct fake_stats s;
    if (!d->config.report[0]) return;
    FILE *f = fopen(d->config.report, "a");
    if (!f) return;
    fake_driver_stats(&s);
    char text[400];
    int n = snprintf(text, sizeof text,
                     "calls %llu kernels %llu allocations %llu refused %llu peak %llu leaked %u "
                     "alive %u\n",
                     (unsigned long long)s.calls, (unsigned long long)s.kernels,
                     (unsigned long long)s.allocations, (unsigned long long)s.refused,
                     (unsigned long long)s.peak_bytes, s.leaked,
                     s.memory + s.host + s.modules + s.streams + s.events + s.graphs);
    fwrite(text, 1, (size_t)n, f);
    fclose(f);
}
