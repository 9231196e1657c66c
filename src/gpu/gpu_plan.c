/* A plan on a GPU.
 *
 *   prepare:  layout (gpu_mem.c) -> admission -> four allocations -> weights (gpu_stage.c)
 *             -> launches of every group (gpu_launch.c) -> a graph for each way of each tape
 *   run:      indices checked -> kept inputs that have changed -> few rows or not -> graph, or the
 *             same calls one by one -> wait
 *
 * What a tape does on the device, captured or not:
 *
 *   pinned inputs -> device   kernels ...   device -> pinned outputs
 */
#include "gpu/gpu_plan.h"
#include "base/log.h"
#include "core/plancheck.h"
#include "gpu/gpu_stage.h"
#include "gpu/nvml_dl.h"
#include <stdio.h>
#include <string.h>

/* Gaps below this are copied along: a copy costs some microseconds whatever its size. */
#define NEAR_BYTES ((size_t)16 << 10)

enum part { PART_WEIGHTS, PART_STATE, PART_STEP, PART_SCRATCH, PARTS };

struct span { /* of the region of inputs and outputs */
    size_t at, bytes;
};

struct tape {
    struct span *up, *down; /* up: of inputs that are not kept */
    int n_up, n_down;
    int *count, n_counts; /* the values that say how many rows of others are live */
    struct gpu_way way[2];
    void *executable[2]; /* the captured graph of each way, or NULL */
};

enum { ALL_ROWS, FEW_ROWS };

struct group {
    int from, to; /* launches */
};

struct backend_plan {
    struct backend_device *device;
    struct backend_plan *next;
    const struct plan *plan;
    struct gpu_layout layout;
    uint64_t part[PARTS];
    char *host; /* pinned: inputs and outputs, laid out as at part[PART_STEP] */
    struct gpu_value *value;
    bool *stale; /* [n_values] a kept input that is to be sent */
    struct gpu_step *step;
    struct gpu_launch *launch;
    void **function; /* [n_launches] */
    int n_launches;
    struct group *group; /* [layout.n_groups] */
    struct tape tape[PLAN_TAPES];
    void **event; /* [n_groups + 1] if times are taken */
    double *seconds;
};

static size_t part_bytes(const struct gpu_layout *l, enum part part)
{
    const size_t bytes[PARTS] = {l->bytes.weights, l->bytes.state, l->bytes.step, l->bytes.scratch};
    return bytes[part];
}

int gpu_plan_measure(struct backend_device *d, const struct plan *p, struct backend_memory *out,
                     struct err *e)
{
    struct gpu_layout layout;
    struct arena_mark mark = arena_here(p->arena);
    int rc = gpu_mem_layout(p->arena, &d->chip, p, &layout, e);
    arena_rewind(p->arena, mark);
    if (rc == 0) *out = layout.bytes;
    return rc;
}

/* ---- making a plan ready -------------------------------------------------------------------- */

/* Nothing is allocated unless everything fits. */
static int admit(struct backend_device *d, const struct gpu_layout *l, struct err *e)
{
    size_t room, total, need = gpu_mem_total(&l->bytes);
    const double gib = 1 << 30;
    TRY(gpu_device_room(d, &room, &total, e));
    if (need <= room) return 0;
    struct nvml_facts facts;
    char others[64] = "";
    nvml_dl_facts(d->pci, &facts);
    if (facts.used) {
        snprintf(others, sizeof others, "; %.2f GiB are taken by all programs together",
                 (double)facts.used / gib);
    }
    return err_set(e, E_NOMEM,
                   "%s: %.2f GiB are needed (weights %.2f, caches %.2f, steps %.2f, scratch %.2f) "
                   "and %.2f of %.2f GiB may be taken%s",
                   d->name, (double)need / gib, (double)l->bytes.weights / gib,
                   (double)l->bytes.state / gib, (double)l->bytes.step / gib,
                   (double)l->bytes.scratch / gib, (double)room / gib, (double)total / gib, others);
}

static int allocate(struct backend_plan *bp, struct err *e)
{
    static const char *const what[PARTS] = {"memory for weights", "memory for caches",
                                            "memory for steps", "memory for scratch"};
    struct backend_device *d = bp->device;
    const struct cuda_api *cu = &d->dl.call;
    for (int i = 0; i < PARTS; i++) {
        size_t bytes = part_bytes(&bp->layout, (enum part)i);
        if (bytes == 0) continue;
        int code = cu->cuMemAlloc_v2(&bp->part[i], bytes);
        if (code) bp->part[i] = 0;
        TRY(gpu_device_check(d, code, e, what[i]));
    }
    if (bp->layout.io_bytes) {
        void *host = NULL;
        TRY(gpu_device_check(d, cu->cuMemHostAlloc(&host, bp->layout.io_bytes, 0), e,
                             "pinned memory"));
        bp->host = host;
        memset(host, 0, bp->layout.io_bytes);
    }
    for (int i = PART_STATE; i <= PART_SCRATCH; i++) {
        size_t bytes = part_bytes(&bp->layout, (enum part)i);
        if (bytes == 0) continue;
        if (i == PART_SCRATCH) bytes = GPU_LAUNCH_COUNTS;
        TRY(gpu_device_check(d, cu->cuMemsetD8Async(bp->part[i], 0, bytes, d->stream), e,
                             "cuMemsetD8Async"));
    }
    return 0;
}

static uint64_t address(const struct backend_plan *bp, int value)
{
    static const enum part part[] = {[PLAN_WEIGHT] = PART_WEIGHTS,
                                     [PLAN_STATE] = PART_STATE,
                                     [PLAN_INPUT] = PART_STEP,
                                     [PLAN_OUTPUT] = PART_STEP,
                                     [PLAN_STEP] = PART_STEP};
    return bp->part[part[bp->plan->value[value].life]] + bp->layout.offset[value];
}

static int link_steps(struct backend_plan *bp, struct arena *a, struct err *e)
{
    const struct plan *p = bp->plan;
    bp->value = ARENA_NEW(a, struct gpu_value, (size_t)p->n_values, e);
    if (!bp->value) return -1;
    bp->stale = ARENA_NEW(a, bool, (size_t)p->n_values, e);
    if (!bp->stale) return -1;
    bp->step = ARENA_NEW(a, struct gpu_step, (size_t)p->n_steps, e);
    if (!bp->step) return -1;
    for (int i = 0; i < p->n_values; i++) {
        const struct plan_value *v = &p->value[i];
        struct gpu_value *g = &bp->value[i];
        *g = (struct gpu_value){.plan = v, .at = address(bp, i), .form = bp->layout.form[i]};
        if (g->form == GPU_I8) g->scale = g->at + gpu_pack_scales(v);
        if (v->life == PLAN_STATE && v->type == DTYPE_I8) g->scale = g->at + plan_scales(v);
        if (v->live >= 0) g->live = address(bp, v->live);
        bp->stale[i] = v->kept;
    }
    for (int i = 0; i < p->n_steps; i++) {
        struct gpu_step *s = &bp->step[i];
        *s = (struct gpu_step){.plan = p,
                               .step = &p->step[i],
                               .counts = bp->part[PART_SCRATCH],
                               .scratch = bp->part[PART_SCRATCH] + GPU_LAUNCH_COUNTS};
        for (int k = 0; k < OP_INPUTS; k++)
            s->in[k] = s->step->in[k] < 0 ? NULL : &bp->value[s->step->in[k]];
        for (int k = 0; k < OP_OUTPUTS; k++)
            s->out[k] = s->step->out[k] < 0 ? NULL : &bp->value[s->step->out[k]];
    }
    return 0;
}

/* Once with launches NULL to count them, once to keep them. */
static int fill_launches(struct backend_plan *bp, struct gpu_launch *launches, struct err *e)
{
    struct gpu_launch some[GPU_LAUNCHES];
    bp->n_launches = 0;
    for (int g = 0; g < bp->layout.n_groups; g++) {
        const struct gpu_group *group = &bp->layout.group[g];
        memset(some, 0, sizeof some);
        for (int i = 0; i < group->n; i++) bp->step[group->from + i].few = group->few;
        int n = gpu_launch_fill(&bp->device->chip, &bp->step[group->from], group->n, some, e);
        if (n < 0) return -1;
        assert(n >= 1 && n <= GPU_LAUNCHES);
        if (launches) memcpy(&launches[bp->n_launches], some, (size_t)n * sizeof *launches);
        bp->group[g] = (struct group){bp->n_launches, bp->n_launches + n};
        bp->n_launches += n;
    }
    return 0;
}

/* The function of a launch: asked for once per name. Shared memory above what every GPU grants has
 * to be asked for; asking also loads the kernel, which a graph being captured could not. */
static int find_function(struct backend_plan *bp, int i, struct err *e)
{
    struct backend_device *d = bp->device;
    const struct cuda_api *cu = &d->dl.call;
    const struct gpu_launch *l = &bp->launch[i];
    char what[100];
    unsigned shared = 0;
    for (int k = 0; k < bp->n_launches; k++) {
        if (strcmp(bp->launch[k].kernel, l->kernel) != 0) continue;
        shared = MAX(shared, bp->launch[k].shared);
        if (k < i) {
            bp->function[i] = bp->function[k];
            return 0;
        }
    }
    int registers;
    snprintf(what, sizeof what, "kernel %s", l->kernel);
    TRY(gpu_device_check(d, cu->cuModuleGetFunction(&bp->function[i], d->module, l->kernel), e,
                         what));
    TRY(gpu_device_check(
        d, cu->cuFuncGetAttribute(&registers, CUDA_FUNC_REGISTERS, bp->function[i]), e, what));
    if (shared <= 48 << 10) return 0;
    return gpu_device_check(
        d, cu->cuFuncSetAttribute(bp->function[i], CUDA_FUNC_SHARED_MOST, (int)shared), e, what);
}

static int make_launches(struct backend_plan *bp, struct arena *a, struct err *e)
{
    bp->group = ARENA_NEW(a, struct group, (size_t)bp->layout.n_groups, e);
    if (!bp->group) return -1;
    TRY(fill_launches(bp, NULL, e));
    bp->launch = ARENA_NEW(a, struct gpu_launch, (size_t)bp->n_launches, e);
    if (!bp->launch) return -1;
    bp->function = ARENA_NEW(a, void *, (size_t)bp->n_launches, e);
    if (!bp->function) return -1;
    TRY(fill_launches(bp, bp->launch, e));
    for (int i = 0; i < bp->n_launches; i++) TRY(find_function(bp, i, e));
    return 0;
}

/* Whether a tape reads (an input) or writes (an output) a value. */
static bool is_door(const struct plan *p, const struct plan_tape *t, int value, enum plan_life life)
{
    for (int i = t->from; i < t->to; i++) {
        for (int k = 0; k < OP_INPUTS + OP_OUTPUTS; k++) {
            int v = k < OP_INPUTS ? p->step[i].in[k] : p->step[i].out[k - OP_INPUTS];
            if (v < 0) continue;
            if (v == value && (life == PLAN_INPUT || k >= OP_INPUTS)) return true;
            if (life == PLAN_INPUT && p->value[v].live == value) return true;
        }
    }
    return false;
}

/* The bytes a tape's doors take, near ones joined. Values lie in the order of their numbers. */
static int find_spans(struct backend_plan *bp, struct arena *a, const struct plan_tape *t,
                      enum plan_life life, struct span **out, int *n, struct err *e)
{
    const struct plan *p = bp->plan;
    *n = 0;
    *out = ARENA_NEW(a, struct span, (size_t)p->n_values, e);
    if (!*out) return -1;
    for (int i = 0; i < p->n_values; i++) {
        if (p->value[i].life != life || p->value[i].kept || !is_door(p, t, i, life)) continue;
        size_t at = bp->layout.offset[i], end = at + p->value[i].bytes;
        struct span *last = *n ? &(*out)[*n - 1] : NULL;
        if (last && at - (last->at + last->bytes) <= NEAR_BYTES)
            last->bytes = end - last->at;
        else
            (*out)[(*n)++] = (struct span){at, end - at};
    }
    return 0;
}

/* The counts of live rows that a tape goes by. */
static int find_counts(struct backend_plan *bp, struct arena *a, const struct plan_tape *t,
                       struct tape *out, struct err *e)
{
    const struct plan *p = bp->plan;
    out->count = ARENA_NEW(a, int, (size_t)p->n_values, e);
    if (!out->count) return -1;
    for (int v = 0; v < p->n_values; v++) {
        bool counts = false;
        for (int i = t->from; i < t->to && !counts; i++) {
            for (int k = 0; k < OP_INPUTS + OP_OUTPUTS; k++) {
                int at = k < OP_INPUTS ? p->step[i].in[k] : p->step[i].out[k - OP_INPUTS];
                counts |= at >= 0 && p->value[at].live == v;
            }
        }
        if (counts) out->count[out->n_counts++] = v;
    }
    return 0;
}

static int make_tapes(struct backend_plan *bp, struct arena *a, struct err *e)
{
    for (int t = 0; t < bp->plan->n_tapes; t++) {
        const struct plan_tape *from = &bp->plan->tape[t];
        struct tape *tape = &bp->tape[t];
        TRY(find_spans(bp, a, from, PLAN_INPUT, &tape->up, &tape->n_up, e));
        TRY(find_spans(bp, a, from, PLAN_OUTPUT, &tape->down, &tape->n_down, e));
        TRY(find_counts(bp, a, from, tape, e));
        tape->way[ALL_ROWS] = bp->layout.all[t];
        tape->way[FEW_ROWS] = bp->layout.few[t];
    }
    return 0;
}

static int make_events(struct backend_plan *bp, struct arena *a, struct err *e)
{
    size_t n = (size_t)bp->layout.n_groups + 1;
    bp->seconds = ARENA_NEW(a, double, (size_t)bp->plan->n_steps, e);
    if (!bp->seconds) return -1;
    bp->event = ARENA_NEW(a, void *, n, e);
    if (!bp->event) return -1;
    for (size_t i = 0; i < n; i++) {
        int code = bp->device->dl.call.cuEventCreate(&bp->event[i], 0);
        if (code) bp->event[i] = NULL;
        TRY(gpu_device_check(bp->device, code, e, "cuEventCreate"));
    }
    return 0;
}

/* ---- running -------------------------------------------------------------------------------- */

/* Everything a tape does, put on the stream. A code of the driver, and what it was about. */
static int enqueue(struct backend_plan *bp, const struct tape *t, int way, bool timed,
                   const char **what)
{
    const struct cuda_api *cu = &bp->device->dl.call;
    void *stream = bp->device->stream;
    uint64_t io = bp->part[PART_STEP];
    int code = CUDA_OK;
    *what = "inputs cannot be sent";
    for (int i = 0; i < t->n_up && !code; i++)
        code = cu->cuMemcpyHtoDAsync_v2(io + t->up[i].at, bp->host + t->up[i].at, t->up[i].bytes,
                                        stream);
    for (int g = t->way[way].from; g < t->way[way].to && !code; g++) {
        if (timed) code = cu->cuEventRecord(bp->event[g], stream);
        for (int i = bp->group[g].from; i < bp->group[g].to && !code; i++) {
            struct gpu_launch *l = &bp->launch[i];
            *what = l->kernel;
            code = cu->cuLaunchKernel(bp->function[i], l->grid[0], l->grid[1], l->grid[2],
                                      l->block[0], l->block[1], l->block[2], l->shared, stream,
                                      (void *[]){l->arg}, NULL);
        }
    }
    if (timed && !code) code = cu->cuEventRecord(bp->event[t->way[way].to], stream);
    if (!code) *what = "outputs cannot be fetched";
    for (int i = 0; i < t->n_down && !code; i++)
        code = cu->cuMemcpyDtoHAsync_v2(bp->host + t->down[i].at, io + t->down[i].at,
                                        t->down[i].bytes, stream);
    return code;
}

/* A graph is a matter of speed: without one the same calls are made one by one. Only a device that
 * died of it is an error. */
static int capture(struct backend_plan *bp, struct tape *t, int way, struct err *e)
{
    struct backend_device *d = bp->device;
    const struct cuda_api *cu = &d->dl.call;
    void *graph = NULL;
    const char *what = "";
    if (!cu->cuStreamBeginCapture_v2 || !cu->cuStreamEndCapture ||
        !cu->cuGraphInstantiateWithFlags || !cu->cuGraphLaunch || !cu->cuGraphExecDestroy ||
        !cu->cuGraphDestroy)
        return 0;
    int code = cu->cuStreamBeginCapture_v2(d->stream, CUDA_CAPTURE_THREAD);
    if (!code) {
        code = enqueue(bp, t, way, false, &what);
        int ended = cu->cuStreamEndCapture(d->stream, &graph);
        /* nothing else can be done on a stream that still records */
        if (ended) (void)cu->cuStreamEndCapture(d->stream, &graph);
        if (!code) code = ended;
    }
    if (!code) code = cu->cuGraphInstantiateWithFlags(&t->executable[way], graph, 0);
    if (code) t->executable[way] = NULL;
    if (graph) (void)cu->cuGraphDestroy(graph);
    if (code) log_debug("%s: no graph (%d%s%s)", d->name, code, *what ? ", " : "", what);
    /* if the failure was of the lasting kind, the stream says so now */
    return gpu_device_check(d, cu->cuStreamSynchronize(d->stream), e, "cuStreamSynchronize");
}

/* The time of steps that are one launch is told at the first of them. */
static int read_times(struct backend_plan *bp, const struct gpu_way *way, struct err *e)
{
    for (int g = way->from; g < way->to; g++) {
        float ms = 0;
        TRY(gpu_device_check(
            bp->device, bp->device->dl.call.cuEventElapsedTime(&ms, bp->event[g], bp->event[g + 1]),
            e, "cuEventElapsedTime"));
        bp->seconds[bp->layout.group[g].from] += ms / 1e3;
    }
    return 0;
}

static const void *input_data(const void *ctx, int value)
{
    const struct backend_plan *bp = ctx;
    return bp->host + bp->layout.offset[value];
}

/* Which way this run goes: its counts lie in the inputs. */
static int way_of(const struct backend_plan *bp, const struct tape *t)
{
    int most = 0;
    if (t->way[ALL_ROWS].from == t->way[ALL_ROWS].to) return FEW_ROWS;
    if (t->way[FEW_ROWS].from == t->way[FEW_ROWS].to) return ALL_ROWS;
    for (int i = 0; i < t->n_counts; i++)
        most = MAX(most, *(const int32_t *)input_data(bp, t->count[i]));
    return most <= GPU_LAUNCH_FEW ? FEW_ROWS : ALL_ROWS;
}

/* Inputs that are kept on the device and have changed. */
static int send_kept(struct backend_plan *bp, const struct plan_tape *t, struct err *e)
{
    struct backend_device *d = bp->device;
    for (int v = 0; v < bp->plan->n_values; v++) {
        if (!bp->stale[v] || !is_door(bp->plan, t, v, PLAN_INPUT)) continue;
        TRY(gpu_device_check(d,
                             d->dl.call.cuMemcpyHtoDAsync_v2(address(bp, v),
                                                             bp->host + bp->layout.offset[v],
                                                             bp->plan->value[v].bytes, d->stream),
                             e, "inputs cannot be sent"));
        bp->stale[v] = false;
    }
    return 0;
}

int gpu_plan_run(struct backend_plan *bp, int tape, struct err *e)
{
    struct backend_device *d = bp->device;
    const struct cuda_api *cu = &d->dl.call;
    assert(tape >= 0 && tape < bp->plan->n_tapes);
    const struct tape *t = &bp->tape[tape];
    const char *what = "cuGraphLaunch";
    TRY(gpu_device_enter(d, e));
    TRY(plancheck_run(bp->plan, tape, input_data, bp, e));
    TRY(send_kept(bp, &bp->plan->tape[tape], e));
    int way = way_of(bp, t);
    int code = t->executable[way] ? cu->cuGraphLaunch(t->executable[way], d->stream)
                                  : enqueue(bp, t, way, bp->event != NULL, &what);
    TRY(gpu_device_check(d, code, e, what));
    TRY(gpu_device_check(d, cu->cuStreamSynchronize(d->stream), e, bp->plan->tape[tape].name));
    return bp->event ? read_times(bp, &t->way[way], e) : 0;
}

int gpu_plan_peek(struct backend_plan *bp, int value, void *out, size_t bytes, struct err *e)
{
    struct backend_device *d = bp->device;
    const struct cuda_api *cu = &d->dl.call;
    assert(value >= 0 && value < bp->plan->n_values);
    const struct plan_value *v = &bp->plan->value[value];
    bool unused = v->life == PLAN_STEP && v->first < 0;
    if (v->life == PLAN_WEIGHT || unused || bytes > v->bytes)
        return err_set(e, E_INTERNAL, "%zu bytes of %s cannot be looked at", bytes, v->name);
    TRY(gpu_device_enter(d, e));
    TRY(gpu_device_check(d, cu->cuMemcpyDtoHAsync_v2(out, address(bp, value), bytes, d->stream), e,
                         "cuMemcpyDtoH"));
    return gpu_device_check(d, cu->cuStreamSynchronize(d->stream), e, "cuStreamSynchronize");
}

void gpu_plan_memory(const struct backend_plan *bp, struct backend_memory *out)
{
    *out = bp->layout.bytes;
}

void *gpu_plan_host(struct backend_plan *bp, int value)
{
    assert(value >= 0 && value < bp->plan->n_values);
    enum plan_life life = bp->plan->value[value].life;
    bool door = life == PLAN_INPUT || life == PLAN_OUTPUT;
    bp->stale[value] |= bp->plan->value[value].kept;
    return door ? bp->host + bp->layout.offset[value] : NULL;
}

const double *gpu_plan_profile(const struct backend_plan *bp)
{
    return bp->seconds;
}

/* ---- and back ------------------------------------------------------------------------------- */

void gpu_plan_release(struct backend_plan *bp)
{
    if (!bp) return;
    struct backend_device *d = bp->device;
    const struct cuda_api *cu = &d->dl.call;
    for (struct backend_plan **at = &d->plans; *at; at = &(*at)->next) {
        if (*at != bp) continue;
        *at = bp->next;
        break;
    }
    /* what cannot be given back, as on a dead device, goes with the context */
    (void)cu->cuCtxSetCurrent(d->context);
    for (int i = 0; i < 2 * bp->plan->n_tapes; i++) {
        void *executable = bp->tape[i / 2].executable[i % 2];
        if (executable) (void)cu->cuGraphExecDestroy(executable);
    }
    for (int i = 0; bp->event && i <= bp->layout.n_groups; i++) {
        if (bp->event[i]) (void)cu->cuEventDestroy_v2(bp->event[i]);
    }
    if (bp->host) (void)cu->cuMemFreeHost(bp->host);
    for (int i = 0; i < PARTS; i++) {
        if (bp->part[i]) (void)cu->cuMemFree_v2(bp->part[i]);
    }
}

void gpu_plan_release_all(struct backend_device *d)
{
    while (d->plans) gpu_plan_release(d->plans);
}

static int make_ready(struct backend_plan *bp, struct arena *a, void (*used)(void *ctx, int value),
                      void *ctx, struct err *e)
{
    struct backend_device *d = bp->device;
    TRY(allocate(bp, e));
    TRY(link_steps(bp, a, e));
    TRY(make_launches(bp, a, e));
    TRY(make_tapes(bp, a, e));
    TRY(gpu_stage_weights(d, a, bp->plan, &bp->layout, bp->part[PART_WEIGHTS], used, ctx, e));
    if (d->profile) return make_events(bp, a, e);
    for (int i = 0; i < 2 * bp->plan->n_tapes; i++) {
        struct tape *t = &bp->tape[i / 2];
        if (t->way[i % 2].from < t->way[i % 2].to) TRY(capture(bp, t, i % 2, e));
    }
    return 0;
}

int gpu_plan_prepare(struct backend_device *d, struct arena *a, const struct plan *p,
                     void (*used)(void *ctx, int value), void *ctx, struct backend_plan **out,
                     struct err *e)
{
    assert(p->finished);
    TRY(gpu_device_enter(d, e));
    struct backend_plan *bp = ARENA_NEW(a, struct backend_plan, 1, e);
    if (!bp) return -1;
    bp->device = d;
    bp->plan = p;
    TRY(gpu_mem_layout(a, &d->chip, p, &bp->layout, e));
    TRY(admit(d, &bp->layout, e));
    bp->next = d->plans;
    d->plans = bp;
    if (make_ready(bp, a, used, ctx, e)) {
        gpu_plan_release(bp);
        return -1;
    }
    *out = bp;
    return 0;
}
