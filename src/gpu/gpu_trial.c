/* libcuda's part of gpu_trial.h. */
#include "gpu/gpu_trial.h"
#include "gpu/gpu_device.h"
#include "gpu/gpu_plan.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { GPUS = 16, SIDE = 4096, SIDE_EMULATED = 128, TURNS = 10 };
#define COPY_BYTES          ((size_t)64 << 20)
#define COPY_BYTES_EMULATED ((size_t)1 << 20)

struct trial {
    struct arena *a;
    const struct gpu_say *say;
    struct backend_device *d;
    struct gpu_trial_nvml *nvml;
    int index;
    char pci[32]; /* "" if the driver does not tell */
};

static void at(const struct gpu_say *say, const char *call)
{
    say->fact(say->ctx, "at", call);
}

/* "cuda 0 WHAT" = the formatted value. */
static BASE_PRINTF(3, 4) void tell(const struct trial *t, const char *what, const char *format, ...)
{
    char key[64], value[512];
    va_list args;
    va_start(args, format);
    vsnprintf(value, sizeof value, format, args);
    va_end(args);
    snprintf(key, sizeof key, "cuda %d %s", t->index, what);
    t->say->fact(t->say->ctx, key, value);
}

/* ---- a product of matrices that is right in every element ---- */

/* -2 .. 2, so that all sums are whole numbers that f16 x f16 -> f32 holds exactly. */
static int small(uint64_t seed, uint64_t i)
{
    uint64_t h = (seed + i) * 0x9E3779B97F4A7C15ULL;
    return (int)((h >> 40) % 5) - 2;
}

struct product { /* y[m][n] = sum over k of x[m][k] w[n][k], all of one side */
    int64_t side;
    float *x;
    uint16_t *w;
    const float *y;
};

/* Freivalds: y r = x (w^T r) for a vector r, in whole numbers. It looks at every element, in n^2
 * steps; a wrong one escapes only if others cancel it for just these r. */
static bool is_right(struct arena *a, const struct product *p, bool *right, struct err *e)
{
    int64_t s = p->side;
    int64_t *wr = ARENA_NEW(a, int64_t, (size_t)s, e);
    if (!wr) return false;
    for (int64_t n = 0; n < s; n++)
        for (int64_t k = 0; k < s; k++)
            wr[k] += (int64_t)tensor_f16_to_f32(p->w[n * s + k]) * (n % 31 - 15);
    *right = true;
    for (int64_t m = 0; m < s && *right; m++) {
        int64_t want = 0, got = 0;
        for (int64_t k = 0; k < s; k++) want += (int64_t)p->x[m * s + k] * wr[k];
        for (int64_t n = 0; n < s; n++) {
            float y = p->y[m * s + n];
            if (!(fabsf(y) <= 4.0f * (float)s) || y != rintf(y))
                *right = false;
            else
                got += (int64_t)y * (n % 31 - 15);
        }
        if (got != want) *right = false;
    }
    return true;
}

static int make_plan(struct trial *t, struct product *p, struct plan **out, int value[3],
                     struct err *e)
{
    int64_t dim[2] = {p->side, p->side};
    size_t n = (size_t)(p->side * p->side);
    struct tensor w = {.type = DTYPE_F16, .rank = 2, .dim = {p->side, p->side}};
    p->w = ARENA_NEW(t->a, uint16_t, n, e);
    if (!p->w) return -1;
    for (size_t i = 0; i < n; i++) p->w[i] = tensor_f32_to_f16((float)small(7, i));
    w.data = p->w;
    TRY(plan_open(t->a, out, e));
    (*out)->compute = DTYPE_F16;
    if ((value[0] = plan_input(*out, "x", DTYPE_F32, 2, dim, -1, e)) < 0 ||
        (value[1] = plan_weight(*out, "w", &w, 1, false, e)) < 0 ||
        (value[2] = plan_output(*out, "y", DTYPE_F32, 2, dim, -1, e)) < 0 ||
        plan_begin(*out, "trial", e) < 0)
        return -1;
    struct op_args args = {0};
    TRY(plan_add(*out, OP_linear, "product", value, 2, &value[2], 1, &args, e));
    return plan_finish(*out, e);
}

static int multiply(struct trial *t, struct backend_plan *bp, struct product *p, const int value[3],
                    struct err *e)
{
    int turns = t->d->dl.fake ? 1 : TURNS;
    p->x = gpu_plan_host(bp, value[0]);
    p->y = gpu_plan_host(bp, value[2]);
    for (int64_t i = 0; i < p->side * p->side; i++) p->x[i] = (float)small(1, (uint64_t)i);
    TRY(gpu_plan_run(bp, 0, e));
    double before = gpu_plan_profile(bp)[0];
    for (int i = 0; i < turns; i++) TRY(gpu_plan_run(bp, 0, e));
    double each = (gpu_plan_profile(bp)[0] - before) / turns, side = (double)p->side;
    bool right;
    if (!is_right(t->a, p, &right, e)) return -1;
    tell(t, "gemm", "%s", right ? "right" : "wrong");
    if (right && each > 0) {
        tell(t, "gemm_side", "%d", (int)p->side);
        tell(t, "gemm_tflops", "%.3g", 2 * side * side * side / each / 1e12);
    }
    return 0;
}

static int try_product(struct trial *t, struct err *e)
{
    struct product p = {.side = t->d->dl.fake ? SIDE_EMULATED : SIDE};
    struct plan *plan;
    struct backend_plan *bp = NULL;
    int value[3];
    at(t->say, "a product of matrices");
    TRY(make_plan(t, &p, &plan, value, e));
    int rc = gpu_plan_prepare(t->d, t->a, plan, NULL, NULL, &bp, e);
    if (rc == 0) rc = multiply(t, bp, &p, value, e);
    if (bp) gpu_plan_release(bp);
    return rc;
}

/* ---- copies ---- */

enum copy { COPY_UP, COPY_DOWN, COPY_WITHIN };

struct copies {
    uint64_t at[2];
    void *host, *from, *to; /* events */
    size_t bytes;
};

static int copy_once(struct trial *t, const struct copies *c, enum copy which, struct err *e)
{
    const struct cuda_api *cu = &t->d->dl.call;
    int code =
        which == COPY_UP     ? cu->cuMemcpyHtoDAsync_v2(c->at[0], c->host, c->bytes, t->d->stream)
        : which == COPY_DOWN ? cu->cuMemcpyDtoHAsync_v2(c->host, c->at[0], c->bytes, t->d->stream)
                             : cu->cuMemcpyDtoDAsync_v2(c->at[1], c->at[0], c->bytes, t->d->stream);
    return gpu_device_check(t->d, code, e, "a copy");
}

static int time_copies(struct trial *t, const struct copies *c, enum copy which, const char *what,
                       struct err *e)
{
    const struct cuda_api *cu = &t->d->dl.call;
    float ms = 0;
    TRY(copy_once(t, c, which, e));
    TRY(gpu_device_check(t->d, cu->cuEventRecord(c->from, t->d->stream), e, "cuEventRecord"));
    for (int i = 0; i < TURNS; i++) TRY(copy_once(t, c, which, e));
    TRY(gpu_device_check(t->d, cu->cuEventRecord(c->to, t->d->stream), e, "cuEventRecord"));
    TRY(gpu_device_check(t->d, cu->cuEventSynchronize(c->to), e, "copies"));
    TRY(gpu_device_check(t->d, cu->cuEventElapsedTime(&ms, c->from, c->to), e,
                         "cuEventElapsedTime"));
    /* within the GPU every byte is read and written */
    double bytes = (double)c->bytes * TURNS * (which == COPY_WITHIN ? 2 : 1);
    if (ms > 0) tell(t, what, "%.3g", bytes / ms / 1e6);
    return 0;
}

static int copy_all(struct trial *t, struct copies *c, struct err *e)
{
    struct backend_device *d = t->d;
    const struct cuda_api *cu = &d->dl.call;
    for (int i = 0; i < 2; i++)
        TRY(gpu_device_check(d, cu->cuMemAlloc_v2(&c->at[i], c->bytes), e, "cuMemAlloc"));
    TRY(gpu_device_check(d, cu->cuMemHostAlloc(&c->host, c->bytes, 0), e, "cuMemHostAlloc"));
    TRY(gpu_device_check(d, cu->cuEventCreate(&c->from, 0), e, "cuEventCreate"));
    TRY(gpu_device_check(d, cu->cuEventCreate(&c->to, 0), e, "cuEventCreate"));
    TRY(time_copies(t, c, COPY_UP, "to_gpu_gbs", e));
    TRY(time_copies(t, c, COPY_DOWN, "from_gpu_gbs", e));
    return cu->cuMemcpyDtoDAsync_v2 ? time_copies(t, c, COPY_WITHIN, "copy_gbs", e) : 0;
}

static int try_copies(struct trial *t, struct err *e)
{
    const struct cuda_api *cu = &t->d->dl.call;
    struct copies c = {.bytes = t->d->dl.fake ? COPY_BYTES_EMULATED : COPY_BYTES};
    at(t->say, "copies");
    int rc = copy_all(t, &c, e);
    if (c.to) (void)cu->cuEventDestroy_v2(c.to);
    if (c.from) (void)cu->cuEventDestroy_v2(c.from);
    if (c.host) (void)cu->cuMemFreeHost(c.host);
    for (int i = 0; i < 2; i++)
        if (c.at[i]) (void)cu->cuMemFree_v2(c.at[i]);
    return rc;
}

/* ---- one GPU after the other ---- */

static void tell_device(struct trial *t, const struct cuda_api *cu)
{
    char text[128];
    int handle, major = 0, minor = 0;
    size_t bytes = 0;
    if (cu->cuDeviceGet(&handle, t->index)) return;
    if (cu->cuDeviceGetName(text, sizeof text, handle) == 0) tell(t, "name", "%s", text);
    if (cu->cuDeviceGetAttribute(&major, CUDA_ATTR_MAJOR, handle) == 0 &&
        cu->cuDeviceGetAttribute(&minor, CUDA_ATTR_MINOR, handle) == 0)
        tell(t, "sm", "%d", major * 10 + minor);
    if (cu->cuDeviceTotalMem_v2(&bytes, handle) == 0) tell(t, "memory_mib", "%zu", bytes >> 20);
    if (!cu->cuDeviceGetPCIBusId || cu->cuDeviceGetPCIBusId(t->pci, sizeof t->pci, handle) != 0)
        t->pci[0] = 0;
    else
        tell(t, "pci", "%s", t->pci);
}

static int use(struct trial *t, struct err *e)
{
    char which[16];
    snprintf(which, sizeof which, "%d", t->index);
    at(t->say, "opening the GPU");
    TRY(gpu_device_start(t->d, which, e));
    tell(t, "canary", "right");
    TRY(try_product(t, e));
    TRY(try_copies(t, e));
    if (t->pci[0]) gpu_trial_nvml_hot(t->nvml, (unsigned)t->index, t->pci, t->say);
    return 0;
}

static int try_device(const struct gpu_say *say, const struct cuda_api *cu,
                      struct gpu_trial_nvml *nvml, int index, struct err *e)
{
    struct trial t = {.say = say, .nvml = nvml, .index = index};
    TRY(arena_open("trial", 0, &t.a, e));
    t.d = ARENA_NEW(t.a, struct backend_device, 1, e);
    if (!t.d) {
        arena_close(&t.a);
        return -1;
    }
    t.d->profile = true;
    at(say, "asking for the GPU's name");
    tell_device(&t, cu);
    struct err why;
    if (use(&t, &why)) {
        tell(&t, "error", "%s", why.text);
        tell(&t, "code", "%d", t.d->dl.code);
    }
    at(say, "closing the GPU");
    gpu_device_close(t.d);
    arena_close(&t.a);
    return 0;
}

int gpu_trial(struct arena *a, const struct gpu_say *say, struct err *e)
{
    struct err why;
    char text[16];
    int number = 0;
    struct cuda_dl *dl = ARENA_NEW(a, struct cuda_dl, 1, e);
    if (!dl) return -1;
    at(say, "loading libcuda.so.1");
    if (cuda_dl_find(dl, &why)) {
        say->fact(say->ctx, "libcuda.so.1 error", why.text);
        return 0;
    }
    say->fact(say->ctx, "libcuda.so.1", dl->path);
    if (dl->fake) say->fact(say->ctx, "emulated", "yes");
    at(say, "cuInit");
    int code = dl->call.cuInit(0);
    snprintf(text, sizeof text, "%d", code);
    say->fact(say->ctx, "cuInit", text);
    at(say, "cuDriverGetVersion");
    if (dl->call.cuDriverGetVersion(&number) == 0) {
        snprintf(text, sizeof text, "%d", number);
        say->fact(say->ctx, "cuDriverGetVersion", text);
    }
    if (code) return 0;
    at(say, "cuDeviceGetCount");
    code = dl->call.cuDeviceGetCount(&number);
    snprintf(text, sizeof text, "%d", code ? code : number);
    say->fact(say->ctx, code ? "cuDeviceGetCount error" : "cuDeviceGetCount", text);
    struct gpu_trial_nvml nvml = {.started = false};
    for (int i = 0; code == 0 && i < number && i < GPUS; i++)
        TRY(try_device(say, &dl->call, &nvml, i, e));
    gpu_trial_nvml_end(&nvml, say);
    return 0;
}
