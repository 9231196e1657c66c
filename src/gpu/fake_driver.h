/* The state of the fake CUDA driver and what moves it: fake_driver.c (contexts, memory, streams,
 * faults). fake_cuda.c is the face of it: the functions of cuda.def. */
#ifndef GPU_FAKE_DRIVER_H
#define GPU_FAKE_DRIVER_H

#include "gpu/fake.h"
#include "gpu/fake_image.h"

enum fake_kind {
    FAKE_MEMORY,
    FAKE_HOST,
    FAKE_MODULE,
    FAKE_FUNCTION,
    FAKE_STREAM,
    FAKE_EVENT,
    FAKE_GRAPH,
    FAKE_EXECUTABLE
};

struct fake_context;

struct fake_object { /* what the caller holds a pointer to; first in every kind */
    enum fake_kind kind;
    struct fake_context *context;
    struct fake_object *next;
};

struct fake_block { /* of device or pinned memory */
    struct fake_object object;
    uint64_t at;
    size_t bytes, mapped; /* asked for; in the system's pages */
    char *map;
};

struct fake_module {
    struct fake_object object;
    struct fake_image image;
};

struct fake_function {
    struct fake_object object;
    struct fake_module *module;
    const struct emu_kernel *kernel;
    int dynamic_most; /* CUDA_FUNC_SHARED_MOST */
    size_t shared;    /* static, known after the first run */
};

enum fake_what { FAKE_LAUNCH, FAKE_UP, FAKE_DOWN, FAKE_COPY, FAKE_FILL, FAKE_MARK };

struct fake_event {
    struct fake_object object;
    bool timed, recorded, done;
    double at_s;
};

struct fake_op { /* one piece of work of a stream or graph */
    struct fake_op *next;
    enum fake_what what;
    struct fake_function *function;
    struct emu_launch launch;
    uint64_t device, from; /* from: of FAKE_COPY */
    void *host;
    size_t bytes;
    unsigned char value;
    struct fake_event *event;
    char *data; /* its own: arguments, or what was copied out of pageable memory */
};

struct fake_queue {
    struct fake_op *first, *last;
};

struct fake_stream {
    struct fake_object object;
    struct fake_queue queue;
    struct fake_graph *capture; /* being recorded, or NULL */
    bool spoiled;               /* something forbidden was called meanwhile */
};

struct fake_graph { /* FAKE_GRAPH and FAKE_EXECUTABLE */
    struct fake_object object;
    struct fake_queue queue;
};

struct fake_context {
    int device, holders;
    int lost; /* the code that every call now gives */
    struct fake_object *objects;
    struct fake_stream *stream; /* the one that NULL means */
    uint64_t bytes;             /* of device memory */
};

struct fake_driver {
    struct fake_config config;
    bool opened, started;
    long pid;
    struct fake_context context[FAKE_DEVICES];
    struct fake_stats stats;
    unsigned long calls[128]; /* of each function */
    unsigned long kernels;    /* reached by streams */
};

/* fake_driver_enter: a call of function `index` begins: takes the lock and returns 0 or the code
 * the call must give at once. fake_driver_leave: lets go of the lock, hands the code on. */
enum fake_needs { FAKE_NOTHING, FAKE_STARTED, FAKE_CONTEXT };
int fake_driver_enter(int index, const char *name, enum fake_needs needs);
int fake_driver_leave(int code);

/* fake_driver_missing: whether this driver lacks a function. fake_driver_pid: of this process.
 * fake_driver_reset, fake_driver_stats, fake_driver_held: struct fake_test. These take the lock
 * themselves. */
bool fake_driver_missing(const char *name);
long fake_driver_pid(void);
int fake_driver_reset(const char *text);
void fake_driver_stats(struct fake_stats *out);
uint64_t fake_driver_held(const char *pci);

/* Everything below: with the lock. */
struct fake_driver *fake_driver_state(void);
struct fake_context *fake_driver_current(void);
void fake_driver_use(struct fake_context *c); /* current context of this thread */

/* fake_driver_new: an object of the current context; NULL when the machine has no memory. */
void *fake_driver_new(enum fake_kind kind, size_t bytes);
/* fake_driver_find: the object behind a handle if it is alive, of that kind and of the current
 * context, else NULL. NULL as a stream is the context's own. */
void *fake_driver_find(enum fake_kind kind, const void *handle);
void fake_driver_drop(void *object);

/* fake_driver_block: the living block of that kind that holds all of [at, at + bytes). */
struct fake_block *fake_driver_block(enum fake_kind kind, uint64_t at, size_t bytes);
int fake_driver_alloc(enum fake_kind kind, size_t bytes, struct fake_block **out);

/* fake_driver_add: to the end of a stream, or to what it records. data: copied, NULL if none. */
int fake_driver_add(struct fake_stream *s, const struct fake_op *op, const void *data,
                    size_t data_bytes);
int fake_driver_append(struct fake_queue *to, const struct fake_op *op, const void *data,
                       size_t data_bytes);
void fake_driver_clear(struct fake_queue *q);
size_t fake_driver_data_bytes(const struct fake_op *op);

/* fake_driver_drain: runs a stream's work up to and with the mark of `event` (NULL: all of it); 0
 * or the context's lost code. fake_driver_drain_all: of every stream of the context. */
int fake_driver_drain(struct fake_stream *s, const struct fake_event *event);
int fake_driver_drain_all(struct fake_context *c);

/* fake_driver_forbidden: 900 if this context is recording (and spoils it), else 0. */
int fake_driver_forbidden(void);

void fake_driver_release(struct fake_context *c);

#endif
