/* The fake libcuda.so.1: every function of cuda.def, with the rules and error codes of NVIDIA's
 * driver where lode could run into them. Built as lode-fakecuda.so; cuda_dl.c opens it instead of
 * the real one when LODE_FAKE_GPU is set.
 *
 * Source: CUDA Driver API reference, docs.nvidia.com/cuda/cuda-driver-api. */
#include "gpu/cuda_api.h"
#include "gpu/fake_driver.h"

#include <stdio.h>
#include <string.h>

enum { /* which function: an index into fake_driver.calls */
#define CALL(kind, name, parameters) CALL_##name,
#include "gpu/cuda.def"
#undef CALL
       CALL_COUNT
};

_Static_assert(CALL_COUNT <= 128, "fake_driver.calls has room");

#define ENTER(name, needs)                                   \
    int code = fake_driver_enter(CALL_##name, #name, needs); \
    if (code) return fake_driver_leave(code)
#define LEAVE(x) return fake_driver_leave(x)
/* what may not be called while a stream of this context is recorded */
#define NOT_WHILE_RECORDING() \
    if (fake_driver_forbidden()) LEAVE(900)

#define MOST_STATIC 49152 /* dynamic shared memory above it must be asked for */

/* clang-format off */
static const struct { int code; const char *name, *text; } errors[] = {
    {0,   "CUDA_SUCCESS", "no error"},
    {1,   "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2,   "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3,   "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {34,  "CUDA_ERROR_STUB_LIBRARY", "CUDA driver is a stub library"},
    {36,  "CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER", "API call is not supported in the installed CUDA driver"},
    {46,  "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {102, "CUDA_ERROR_DEVICE_NOT_LICENSED", "device doesn't have valid Grid license"},
    {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {214, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {220, "CUDA_ERROR_NVLINK_UNCORRECTABLE", "uncorrectable NVLink error detected during the execution"},
    {221, "CUDA_ERROR_JIT_COMPILER_NOT_FOUND", "PTX JIT compiler library not found"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {304, "CUDA_ERROR_OPERATING_SYSTEM", "OS call failed or operation not supported on this OS"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {401, "CUDA_ERROR_ILLEGAL_STATE", "the operation cannot be performed in the present state"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {600, "CUDA_ERROR_NOT_READY", "device not ready"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"},
    {709, "CUDA_ERROR_CONTEXT_IS_DESTROYED", "context is destroyed"},
    {714, "CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error"},
    {715, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {717, "CUDA_ERROR_INVALID_ADDRESS_SPACE", "operation not supported on global/shared address space"},
    {718, "CUDA_ERROR_INVALID_PC", "invalid program counter"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {802, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
    {804, "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE", "forward compatibility was attempted on non supported HW"},
    {805, "CUDA_ERROR_MPS_CONNECTION_FAILED", "MPS client failed to connect to the MPS control daemon or the MPS server"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"},
    {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};
/* clang-format on */

static int error_row(int number)
{
    for (size_t i = 0; i < COUNT(errors); i++)
        if (errors[i].code == number) return (int)i;
    return -1;
}

static int cuGetErrorName(int number, const char **name)
{
    ENTER(cuGetErrorName, FAKE_NOTHING);
    int i = error_row(number);
    *name = i < 0 ? NULL : errors[i].name;
    LEAVE(i < 0 ? 1 : 0);
}

static int cuGetErrorString(int number, const char **text)
{
    ENTER(cuGetErrorString, FAKE_NOTHING);
    int i = error_row(number);
    *text = i < 0 ? NULL : errors[i].text;
    LEAVE(i < 0 ? 1 : 0);
}

/* ---- devices ---- */

static int state_of(int index, enum fake_state which)
{
    const struct fake_config *c = &fake_driver_state()->config;
    return c->state[which][c->device[index].number];
}

static int cuInit(unsigned flags)
{
    ENTER(cuInit, FAKE_NOTHING);
    struct fake_driver *d = fake_driver_state();
    if (flags) LEAVE(1);
    int usable = 0;
    for (int i = 0; i < d->config.n; i++)
        usable += !state_of(i, FAKE_MIG) || state_of(i, FAKE_INSTANCES);
    if (usable == 0) LEAVE(100);
    if (!d->started) d->pid = fake_driver_pid();
    d->started = true;
    LEAVE(0);
}

static int cuDriverGetVersion(int *version)
{
    ENTER(cuDriverGetVersion, FAKE_NOTHING);
    if (!version) LEAVE(1);
    *version = fake_driver_state()->config.cuda;
    LEAVE(0);
}

static int cuDeviceGetCount(int *n)
{
    ENTER(cuDeviceGetCount, FAKE_STARTED);
    *n = fake_driver_state()->config.n;
    LEAVE(0);
}

static const struct fake_device *device_of(int index)
{
    const struct fake_config *c = &fake_driver_state()->config;
    return index >= 0 && index < c->n ? &c->device[index] : NULL;
}

static uint64_t total_of(const struct fake_device *d)
{
    uint64_t vram = fake_driver_state()->config.vram;
    return vram ? vram : (uint64_t)d->gpu.mib << 20;
}

static int cuDeviceGet(int *device, int index)
{
    ENTER(cuDeviceGet, FAKE_STARTED);
    if (!device_of(index)) LEAVE(101);
    *device = index;
    LEAVE(0);
}

static int cuDeviceGetName(char *name, int room, int device)
{
    ENTER(cuDeviceGetName, FAKE_STARTED);
    const struct fake_device *d = device_of(device);
    if (!d) LEAVE(101);
    if (!name || room < 1) LEAVE(1);
    snprintf(name, (size_t)room, "%s", d->gpu.name);
    LEAVE(0);
}

static int cuDeviceGetUuid(unsigned char uuid[16], int device)
{
    ENTER(cuDeviceGetUuid, FAKE_STARTED);
    const struct fake_device *d = device_of(device);
    if (!d) LEAVE(101);
    memcpy(uuid, d->uuid, 16);
    LEAVE(0);
}

static int cuDeviceGetPCIBusId(char *text, int room, int device)
{
    ENTER(cuDeviceGetPCIBusId, FAKE_STARTED);
    const struct fake_device *d = device_of(device);
    if (!d) LEAVE(101);
    if (!text || room < (int)strlen(d->pci) + 1) LEAVE(1);
    memcpy(text, d->pci, strlen(d->pci) + 1);
    LEAVE(0);
}

static int cuDeviceTotalMem_v2(size_t *bytes, int device)
{
    ENTER(cuDeviceTotalMem_v2, FAKE_STARTED);
    const struct fake_device *d = device_of(device);
    if (!d) LEAVE(101);
    *bytes = total_of(d);
    LEAVE(0);
}

/* Source: CUDA C++ Programming Guide, technical specifications per compute capability. */
static int shared_most(int sm)
{
    switch (sm) {
    case 70:
    case 72:
        return 96 << 10;
    case 75:
        return 64 << 10;
    case 80:
    case 87:
        return 163 << 10;
    case 86:
    case 89:
    case 120:
    case 121:
        return 99 << 10;
    default:
        return sm >= 90 ? 227 << 10 : 48 << 10;
    }
}

static int cuDeviceGetAttribute(int *value, int attribute, int device)
{
    ENTER(cuDeviceGetAttribute, FAKE_STARTED);
    const struct fake_device *d = device_of(device);
    if (!d) LEAVE(101);
    switch (attribute) {
    case 1:
        *value = 1024;
        break; /* threads of a block */
    case 8:
        *value = MOST_STATIC;
        break; /* shared memory of a block */
    case 10:
        *value = 32;
        break; /* lanes of a warp */
    case 13:
        *value = 1500000;
        break; /* kHz */
    case CUDA_ATTR_PROCESSORS:
        *value = d->gpu.processors;
        break;
    case CUDA_ATTR_COMPUTE_MODE:
        *value = state_of(device, FAKE_MODE);
        break;
    case 35:
        *value = 0;
        break; /* ECC */
    case CUDA_ATTR_MAJOR:
        *value = d->gpu.sm / 10;
        break;
    case CUDA_ATTR_MINOR:
        *value = d->gpu.sm % 10;
        break;
    case CUDA_ATTR_SHARED_OPTIN:
        *value = shared_most(d->gpu.sm);
        break;
    default:
        LEAVE(1);
    }
    LEAVE(0);
}

/* ---- contexts ---- */

static int cuDevicePrimaryCtxRetain(void **context, int device)
{
    ENTER(cuDevicePrimaryCtxRetain, FAKE_STARTED);
    struct fake_driver *d = fake_driver_state();
    const struct fake_device *device_row = device_of(device);
    if (!device_row) LEAVE(101);
    int mode = state_of(device, FAKE_MODE);
    if (mode == 2 || (mode == 3 && state_of(device, FAKE_PID))) LEAVE(46);
    struct fake_context *c = &d->context[device];
    if (c->holders == 0) {
        uint64_t total = total_of(device_row);
        if (d->config.used > total || d->config.context > total - d->config.used) LEAVE(2);
        struct fake_context *before = fake_driver_current();
        fake_driver_use(c);
        c->stream = fake_driver_new(FAKE_STREAM, sizeof *c->stream);
        fake_driver_use(before);
        if (!c->stream) LEAVE(2);
        c->bytes = d->config.context;
        d->stats.bytes += c->bytes;
        if (d->stats.bytes > d->stats.peak_bytes) d->stats.peak_bytes = d->stats.bytes;
    }
    c->holders++;
    *context = c;
    LEAVE(0);
}

static int cuDevicePrimaryCtxRelease_v2(int device)
{
    ENTER(cuDevicePrimaryCtxRelease_v2, FAKE_STARTED);
    struct fake_driver *d = fake_driver_state();
    if (!device_of(device)) LEAVE(101);
    struct fake_context *c = &d->context[device];
    if (c->holders == 0) LEAVE(201);
    if (--c->holders == 0) fake_driver_release(c);
    LEAVE(0);
}

static int cuCtxSetCurrent(void *context)
{
    ENTER(cuCtxSetCurrent, FAKE_STARTED);
    struct fake_driver *d = fake_driver_state();
    struct fake_context *c = NULL;
    for (int i = 0; i < d->config.n; i++)
        if (context == &d->context[i] && d->context[i].holders > 0) c = &d->context[i];
    if (context && !c) LEAVE(201);
    fake_driver_use(c);
    LEAVE(0);
}

/* ---- memory ---- */

static int cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    ENTER(cuMemGetInfo_v2, FAKE_CONTEXT);
    const struct fake_context *c = fake_driver_current();
    uint64_t taken = fake_driver_state()->config.used + c->bytes;
    *total = total_of(device_of(c->device));
    *free_bytes = taken < *total ? *total - taken : 0;
    LEAVE(0);
}

static int cuMemAlloc_v2(uint64_t *at, size_t bytes)
{
    ENTER(cuMemAlloc_v2, FAKE_CONTEXT);
    NOT_WHILE_RECORDING();
    struct fake_block *b = NULL;
    int rc = fake_driver_alloc(FAKE_MEMORY, bytes, &b);
    if (rc) LEAVE(rc);
    *at = b->at;
    LEAVE(0);
}

static int cuMemFree_v2(uint64_t at)
{
    ENTER(cuMemFree_v2, FAKE_CONTEXT);
    if (!at) LEAVE(0);
    NOT_WHILE_RECORDING();
    struct fake_block *b = fake_driver_block(FAKE_MEMORY, at, 1);
    if (!b || b->at != at) LEAVE(1);
    int rc = fake_driver_drain_all(fake_driver_current()); /* it waits for the GPU */
    if (rc) LEAVE(rc);
    fake_driver_drop(b);
    LEAVE(0);
}

static int cuMemHostAlloc(void **at, size_t bytes, unsigned flags)
{
    ENTER(cuMemHostAlloc, FAKE_CONTEXT);
    NOT_WHILE_RECORDING();
    if (flags & ~7u) LEAVE(1);
    struct fake_block *b = NULL;
    int rc = fake_driver_alloc(FAKE_HOST, bytes, &b);
    if (rc) LEAVE(rc);
    *at = (void *)(uintptr_t)b->at;
    LEAVE(0);
}

static int cuMemFreeHost(void *at)
{
    ENTER(cuMemFreeHost, FAKE_CONTEXT);
    NOT_WHILE_RECORDING();
    struct fake_block *b = fake_driver_block(FAKE_HOST, (uint64_t)(uintptr_t)at, 1);
    if (!b || b->at != (uint64_t)(uintptr_t)at) LEAVE(1);
    int rc = fake_driver_drain_all(fake_driver_current());
    if (rc) LEAVE(rc);
    fake_driver_drop(b);
    LEAVE(0);
}

static bool pinned(const void *p, size_t bytes)
{
    return fake_driver_block(FAKE_HOST, (uint64_t)(uintptr_t)p, bytes) != NULL;
}

static int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream)
{
    ENTER(cuMemcpyHtoDAsync_v2, FAKE_CONTEXT);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!s) LEAVE(400);
    if (bytes == 0) LEAVE(0);
    if (!from || !fake_driver_block(FAKE_MEMORY, to, bytes)) LEAVE(1);
    struct fake_op op = {.what = FAKE_UP, .device = to, .bytes = bytes};
    memcpy(&op.host, &from, sizeof from);
    bool late = pinned(from, bytes) || s->capture;
    LEAVE(fake_driver_add(s, &op, late ? NULL : from, late ? 0 : bytes));
}

static int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream)
{
    ENTER(cuMemcpyDtoHAsync_v2, FAKE_CONTEXT);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!s) LEAVE(400);
    if (bytes == 0) LEAVE(0);
    if (!to || !fake_driver_block(FAKE_MEMORY, from, bytes)) LEAVE(1);
    struct fake_op op = {.what = FAKE_DOWN, .device = from, .host = to, .bytes = bytes};
    int rc = fake_driver_add(s, &op, NULL, 0);
    if (rc || s->capture) LEAVE(rc);
    if (!pinned(to, bytes)) LEAVE(fake_driver_drain(s, NULL));
    memset(to, 0xA5, bytes); /* whoever reads before waiting reads this */
    LEAVE(0);
}

static int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream)
{
    ENTER(cuMemcpyDtoDAsync_v2, FAKE_CONTEXT);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!s) LEAVE(400);
    if (bytes == 0) LEAVE(0);
    if (!fake_driver_block(FAKE_MEMORY, to, bytes) || !fake_driver_block(FAKE_MEMORY, from, bytes))
        LEAVE(1);
    struct fake_op op = {.what = FAKE_COPY, .device = to, .from = from, .bytes = bytes};
    LEAVE(fake_driver_add(s, &op, NULL, 0));
}

static int cuMemsetD8Async(uint64_t at, unsigned char value, size_t bytes, void *stream)
{
    ENTER(cuMemsetD8Async, FAKE_CONTEXT);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!s) LEAVE(400);
    if (bytes == 0) LEAVE(0);
    if (!fake_driver_block(FAKE_MEMORY, at, bytes)) LEAVE(1);
    struct fake_op op = {.what = FAKE_FILL, .device = at, .bytes = bytes, .value = value};
    LEAVE(fake_driver_add(s, &op, NULL, 0));
}

/* ---- modules and kernels ---- */

static int cuModuleLoadDataEx(void **module, const void *image, unsigned n_options, int *option,
                              void **value)
{
    (void)value;
    ENTER(cuModuleLoadDataEx, FAKE_CONTEXT);
    NOT_WHILE_RECORDING();
    if (!module || !image || (n_options && !option)) LEAVE(1);
    const struct fake_config *c = &fake_driver_state()->config;
    struct fake_image loaded;
    int rc =
        fake_image_load(image, c->cuda, device_of(fake_driver_current()->device)->gpu.sm, &loaded);
    if (rc) LEAVE(rc);
    struct fake_module *m = fake_driver_new(FAKE_MODULE, sizeof *m);
    if (!m) LEAVE(2);
    m->image = loaded;
    *module = m;
    LEAVE(0);
}

static int cuModuleUnload(void *module)
{
    ENTER(cuModuleUnload, FAKE_CONTEXT);
    NOT_WHILE_RECORDING();
    struct fake_module *m = fake_driver_find(FAKE_MODULE, module);
    if (!m) LEAVE(400);
    int rc = fake_driver_drain_all(fake_driver_current());
    if (rc) LEAVE(rc);
    for (struct fake_object *o = fake_driver_current()->objects, *next; o; o = next) {
        next = o->next;
        if (o->kind == FAKE_FUNCTION && ((struct fake_function *)o)->module == m)
            fake_driver_drop(o);
    }
    fake_driver_drop(m);
    LEAVE(0);
}

static int cuModuleGetFunction(void **function, void *module, const char *name)
{
    ENTER(cuModuleGetFunction, FAKE_CONTEXT);
    struct fake_module *m = fake_driver_find(FAKE_MODULE, module);
    if (!m) LEAVE(400);
    const struct emu_kernel *k = fake_image_kernel(&m->image, name);
    if (!k) LEAVE(500);
    for (struct fake_object *o = fake_driver_current()->objects; o; o = o->next)
        if (o->kind == FAKE_FUNCTION && ((struct fake_function *)o)->module == m &&
            ((struct fake_function *)o)->kernel == k) {
            *function = o;
            LEAVE(0);
        }
    struct fake_function *f = fake_driver_new(FAKE_FUNCTION, sizeof *f);
    if (!f) LEAVE(2);
    f->module = m;
    f->kernel = k;
    *function = f;
    LEAVE(0);
}

static int cuFuncGetAttribute(int *value, int attribute, void *function)
{
    ENTER(cuFuncGetAttribute, FAKE_CONTEXT);
    struct fake_function *f = fake_driver_find(FAKE_FUNCTION, function);
    if (!f) LEAVE(400);
    switch (attribute) {
    case 0:
        *value = (int)f->kernel->threads;
        break;
    case CUDA_FUNC_SHARED:
        *value = (int)f->shared;
        break;
    case CUDA_FUNC_REGISTERS:
        *value = 64;
        break;
    case 6:
        *value = f->module->image.sm;
        break;
    case CUDA_FUNC_SHARED_MOST:
        *value = f->dynamic_most ? f->dynamic_most : MOST_STATIC;
        break;
    default:
        LEAVE(1);
    }
    LEAVE(0);
}

static int device_shared(void)
{
    return shared_most(device_of(fake_driver_current()->device)->gpu.sm);
}

static int cuFuncSetAttribute(void *function, int attribute, int value)
{
    ENTER(cuFuncSetAttribute, FAKE_CONTEXT);
    struct fake_function *f = fake_driver_find(FAKE_FUNCTION, function);
    if (!f) LEAVE(400);
    if (attribute != CUDA_FUNC_SHARED_MOST || value < 0) LEAVE(1);
    if ((size_t)value + f->shared > (size_t)device_shared()) LEAVE(1);
    f->dynamic_most = value;
    LEAVE(0);
}

static int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                          unsigned block_x, unsigned block_y, unsigned block_z,
                          unsigned shared_bytes, void *stream, void **argument, void **extra)
{
    ENTER(cuLaunchKernel, FAKE_CONTEXT);
    struct fake_function *f = fake_driver_find(FAKE_FUNCTION, function);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    uint64_t threads = (uint64_t)block_x * block_y * block_z;
    if (!f || !s) LEAVE(400);
    if (extra || !argument || !argument[0]) LEAVE(1);
    if (grid_x == 0 || grid_y == 0 || grid_z == 0 || threads == 0 || grid_x > INT32_MAX ||
        grid_y > 65535 || grid_z > 65535 || block_x > 1024 || block_y > 1024 || block_z > 64 ||
        threads > 1024)
        LEAVE(1);
    if (threads > f->kernel->threads) LEAVE(701);
    unsigned most = f->dynamic_most ? (unsigned)f->dynamic_most : MOST_STATIC;
    if (shared_bytes > most || shared_bytes + f->shared > (size_t)device_shared()) LEAVE(1);
    struct fake_op op = {
        .what = FAKE_LAUNCH,
        .function = f,
        .launch = {{grid_x, grid_y, grid_z},
                   {block_x, block_y, block_z},
                   shared_bytes,
                   (size_t)device_shared(),
                   0},
    };
    LEAVE(fake_driver_add(s, &op, argument[0], f->kernel->args_bytes));
}

/* ---- streams and events ---- */

static int cuStreamCreate(void **stream, unsigned flags)
{
    ENTER(cuStreamCreate, FAKE_CONTEXT);
    if (flags & ~1u) LEAVE(1);
    struct fake_stream *s = fake_driver_new(FAKE_STREAM, sizeof *s);
    if (!s) LEAVE(2);
    *stream = s;
    LEAVE(0);
}

static int cuStreamSynchronize(void *stream)
{
    ENTER(cuStreamSynchronize, FAKE_CONTEXT);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!s) LEAVE(400);
    if (s->capture) {
        s->spoiled = true;
        LEAVE(900);
    }
    LEAVE(fake_driver_drain(s, NULL));
}

static int cuStreamDestroy_v2(void *stream)
{
    ENTER(cuStreamDestroy_v2, FAKE_CONTEXT);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!s || !stream) LEAVE(400);
    fake_driver_drain(s, NULL); /* what was asked for is still done */
    if (s->capture) fake_driver_drop(s->capture);
    fake_driver_drop(s);
    LEAVE(0);
}

static int cuEventCreate(void **event, unsigned flags)
{
    ENTER(cuEventCreate, FAKE_CONTEXT);
    if (flags & ~7u) LEAVE(1);
    struct fake_event *e = fake_driver_new(FAKE_EVENT, sizeof *e);
    if (!e) LEAVE(2);
    e->timed = !(flags & CUDA_EVENT_NO_TIMING);
    *event = e;
    LEAVE(0);
}

static int cuEventRecord(void *event, void *stream)
{
    ENTER(cuEventRecord, FAKE_CONTEXT);
    struct fake_event *e = fake_driver_find(FAKE_EVENT, event);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!e || !s) LEAVE(400);
    struct fake_op op = {.what = FAKE_MARK, .event = e};
    e->recorded = true;
    e->done = false;
    LEAVE(fake_driver_add(s, &op, NULL, 0));
}

/* The stream whose queue holds the mark of an event; NULL if it is done, or is being recorded. */
static struct fake_stream *marked(const struct fake_event *e)
{
    for (struct fake_object *o = fake_driver_current()->objects; o; o = o->next) {
        struct fake_stream *s = (struct fake_stream *)o;
        if (o->kind != FAKE_STREAM) continue;
        for (const struct fake_op *p = s->queue.first; p; p = p->next)
            if (p->what == FAKE_MARK && p->event == e) return s;
    }
    return NULL;
}

static int cuEventSynchronize(void *event)
{
    ENTER(cuEventSynchronize, FAKE_CONTEXT);
    struct fake_event *e = fake_driver_find(FAKE_EVENT, event);
    if (!e) LEAVE(400);
    struct fake_stream *s = marked(e);
    while (s) { /* recorded twice: the last one counts */
        int rc = fake_driver_drain(s, e);
        if (rc) LEAVE(rc);
        s = marked(e);
    }
    LEAVE(0);
}

static int cuEventElapsedTime(float *milliseconds, void *from, void *to)
{
    ENTER(cuEventElapsedTime, FAKE_CONTEXT);
    const struct fake_event *a = fake_driver_find(FAKE_EVENT, from);
    const struct fake_event *b = fake_driver_find(FAKE_EVENT, to);
    if (!a || !b || !a->timed || !b->timed || !a->recorded || !b->recorded) LEAVE(400);
    if (!a->done || !b->done) LEAVE(600);
    *milliseconds = (float)(1e3 * (b->at_s - a->at_s));
    LEAVE(0);
}

static int cuEventDestroy_v2(void *event)
{
    ENTER(cuEventDestroy_v2, FAKE_CONTEXT);
    struct fake_event *e = fake_driver_find(FAKE_EVENT, event);
    if (!e) LEAVE(400);
    fake_driver_drop(e);
    LEAVE(0);
}

/* ---- graphs ---- */

static int cuStreamBeginCapture_v2(void *stream, int mode)
{
    ENTER(cuStreamBeginCapture_v2, FAKE_CONTEXT);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!s) LEAVE(400);
    if (!stream) LEAVE(900); /* the NULL stream cannot be recorded */
    if (mode < 0 || mode > 2) LEAVE(1);
    if (s->capture) LEAVE(401);
    s->capture = fake_driver_new(FAKE_GRAPH, sizeof *s->capture);
    s->spoiled = false;
    LEAVE(s->capture ? 0 : 2);
}

static int cuStreamEndCapture(void *stream, void **graph)
{
    ENTER(cuStreamEndCapture, FAKE_CONTEXT);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!s) LEAVE(400);
    if (!s->capture) LEAVE(401);
    *graph = s->spoiled ? NULL : s->capture;
    if (s->spoiled) fake_driver_drop(s->capture);
    s->capture = NULL;
    LEAVE(s->spoiled ? 901 : 0);
}

static int copy_queue(struct fake_queue *to, const struct fake_queue *from)
{
    for (const struct fake_op *o = from->first; o; o = o->next) {
        int rc = fake_driver_append(to, o, o->data, fake_driver_data_bytes(o));
        if (rc) return rc;
    }
    return 0;
}

static int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags)
{
    ENTER(cuGraphInstantiateWithFlags, FAKE_CONTEXT);
    const struct fake_graph *g = fake_driver_find(FAKE_GRAPH, graph);
    if (!g) LEAVE(400);
    if (flags & ~15ull) LEAVE(1);
    struct fake_graph *e = fake_driver_new(FAKE_EXECUTABLE, sizeof *e);
    if (!e) LEAVE(2);
    int rc = copy_queue(&e->queue, &g->queue);
    if (rc) fake_driver_drop(e);
    if (!rc) *executable = e;
    LEAVE(rc);
}

static int cuGraphLaunch(void *executable, void *stream)
{
    ENTER(cuGraphLaunch, FAKE_CONTEXT);
    const struct fake_graph *e = fake_driver_find(FAKE_EXECUTABLE, executable);
    struct fake_stream *s = fake_driver_find(FAKE_STREAM, stream);
    if (!e || !s) LEAVE(400);
    if (s->capture) LEAVE(900); /* a driver would make a child graph; lode never does */
    LEAVE(copy_queue(&s->queue, &e->queue));
}

static int cuGraphExecDestroy(void *executable)
{
    ENTER(cuGraphExecDestroy, FAKE_CONTEXT);
    struct fake_graph *e = fake_driver_find(FAKE_EXECUTABLE, executable);
    if (!e) LEAVE(400);
    fake_driver_drop(e);
    LEAVE(0);
}

static int cuGraphDestroy(void *graph)
{
    ENTER(cuGraphDestroy, FAKE_CONTEXT);
    struct fake_graph *g = fake_driver_find(FAKE_GRAPH, graph);
    if (!g) LEAVE(400);
    fake_driver_drop(g);
    LEAVE(0);
}

/* ---- the face ---- */

typedef void function(void);

static const struct {
    const char *name;
    function *at;
} functions[] = {
#define CALL(kind, name, parameters) {#name, (function *)name},
#include "gpu/cuda.def"
#undef CALL
};

/* The prototypes of the list and the functions above must agree. */
static const struct cuda_api agrees BASE_UNUSED = {
#define CALL(kind, name, parameters) name,
#include "gpu/cuda.def"
#undef CALL
};

static function *find(const char *name)
{
    if (fake_driver_missing(name)) return NULL;
    for (size_t i = 0; i < COUNT(functions); i++)
        if (strcmp(functions[i].name, name) == 0) return functions[i].at;
    return NULL;
}

static int reset(const char *text)
{
    return fake_driver_reset(text);
}

extern const struct cuda_fake lode_fakecuda;
extern const struct fake_test lode_fakecuda_test;

BASE_EXPORT const struct cuda_fake lode_fakecuda = {find, FAKE_IMAGE_STAND_IN,
                                                    sizeof FAKE_IMAGE_STAND_IN};
BASE_EXPORT const struct fake_test lode_fakecuda_test = {reset, fake_driver_stats,
                                                         fake_driver_held};
