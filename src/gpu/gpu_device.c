/* Opens a GPU: driver, device, context, image, canary; or one that is only a row of the table
 * below, for `lode plan --gpu`. Called by gpu.c. */
#include "gpu/gpu_device.h"
#include "base/arena.h"
#include "base/log.h"
#include "base/str.h"
#include "gpu/gpu_image.h"
#include "gpu/k_canary.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What `lode plan --gpu` knows. Memory is what the driver reports as usable in MiB (less than what
 * is on the box), multiprocessors and shared memory of a block as in NVIDIA's data sheets and the
 * CUDA C programming guide, "Compute Capabilities". */
/* clang-format off */
static const struct paper {
    const char *name, *text;
    int mib;
    struct gpu_chip chip; /* sm, multiprocessors, shared bytes */
} papers[] = {
    {"t4",       "Tesla T4",             15090, {75,   40,  65536}},
    {"v100",     "Tesla V100 16 GB",     16140, {70,   80,  98304}},
    {"rtx2080ti","GeForce RTX 2080 Ti",  10990, {75,   68,  65536}},
    {"rtx3060",  "GeForce RTX 3060",     11900, {86,   28, 101376}},
    {"rtx3090",  "GeForce RTX 3090",     24100, {86,   82, 101376}},
    {"rtx4090",  "GeForce RTX 4090",     24080, {89,  128, 101376}},
    {"rtx5090",  "GeForce RTX 5090",     32100, {120, 170, 101376}},
    {"a10",      "A10",                  22500, {86,   72, 101376}},
    {"a5000",    "RTX A5000",            24100, {86,   64, 101376}},
    {"a6000",    "RTX A6000",            48500, {86,   84, 101376}},
    {"l4",       "L4",                   22500, {89,   58, 101376}},
    {"l40s",     "L40S",                 45400, {89,  142, 101376}},
    {"a100",     "A100 40 GB",           40300, {80,  108, 166912}},
    {"a100-80g", "A100 80 GB",           81000, {80,  108, 166912}},
    {"h100",     "H100 80 GB",           81000, {90,  132, 232448}},
    {"h200",     "H200",                143100, {90,  132, 232448}},
    {"b200",     "B200",                182000, {100, 148, 232448}},
};
/* clang-format on */

int gpu_device_check(struct backend_device *d, int code, struct err *e, const char *what)
{
    if (code == CUDA_OK) return 0;
    cuda_dl_set(&d->dl, code, e, what);
    err_note(e, "%s", d->name);
    if (code != CUDA_OUT_OF_MEMORY) d->dead = *e;
    return -1;
}

int gpu_device_enter(struct backend_device *d, struct err *e)
{
    if (d->paper)
        return err_set(e, E_DEVICE, "%s is only known by its size here, nothing can run on it",
                       d->name);
    if (d->dead.code != E_OK) {
        *e = d->dead;
        return -1;
    }
    return gpu_device_check(d, d->dl.call.cuCtxSetCurrent(d->context), e, "cuCtxSetCurrent");
}

int gpu_device_room(struct backend_device *d, size_t *room, size_t *total, struct err *e)
{
    size_t free_bytes = d->total - MIN(d->total, GPU_RESERVE), all = d->total; /* of a context */
    if (!d->paper) {
        TRY(gpu_device_enter(d, e));
        TRY(gpu_device_check(d, d->dl.call.cuMemGetInfo_v2(&free_bytes, &all), e, "cuMemGetInfo"));
    }
    *room = free_bytes - MIN(free_bytes, GPU_RESERVE);
    if (total) *total = all;
    return 0;
}

/* "t4" or "16GiB". */
static int open_paper(struct backend_device *d, const char *gpu, struct err *e)
{
    uint64_t gib;
    struct str text = str_of(gpu);
    d->paper = true;
    for (size_t i = 0; i < COUNT(papers); i++) {
        if (strcmp(papers[i].name, gpu) != 0) continue;
        d->chip = papers[i].chip;
        d->total = (size_t)papers[i].mib << 20;
        snprintf(d->name, sizeof d->name, "%s", papers[i].text);
        return 0;
    }
    if (str_ends(gpu, "GiB") && str_uint((struct str){gpu, text.n - 3}, 4096, &gib) && gib > 0) {
        d->chip = papers[0].chip;
        d->total = (size_t)gib << 30;
        snprintf(d->name, sizeof d->name, "a GPU of %s", gpu);
        return 0;
    }
    char memory[300];
    struct strbuf names;
    strbuf_init(&names, memory, sizeof memory);
    for (size_t i = 0; i < COUNT(papers); i++)
        strbuf_format(&names, "%s%s", i ? ", " : "", papers[i].name);
    return err_set(e, E_USAGE, "\"%s\" is not a GPU known here; known are %s, and sizes like 16GiB",
                   gpu, names.p);
}

static int attribute(struct backend_device *d, int which, int *out, struct err *e)
{
    return gpu_device_check(d, d->dl.call.cuDeviceGetAttribute(out, which, d->handle), e,
                            "cuDeviceGetAttribute");
}

/* "GPU-01234567-89ab-..", as the driver's tools print a UUID. */
static void uuid_text(const unsigned char uuid[16], char out[48])
{
    struct strbuf b;
    strbuf_init(&b, out, 48);
    strbuf_text(&b, "GPU");
    for (int i = 0; i < 16; i++)
        strbuf_format(&b, "%s%02x", i == 0 || (i >= 4 && i <= 10 && i % 2 == 0) ? "-" : "",
                      uuid[i]);
}

/* Whether the GPU with this handle is the one a user names by UUID or PCI address. */
static bool is_named(const struct cuda_api *cu, int handle, const char *which)
{
    unsigned char uuid[16];
    char text[48];
    if (cu->cuDeviceGetUuid && cu->cuDeviceGetUuid(uuid, handle) == CUDA_OK) {
        uuid_text(uuid, text);
        if (str_starts(which, "GPU-") && strlen(which) > 4 && str_starts(text, which)) return true;
    }
    return cu->cuDeviceGetPCIBusId &&
           cu->cuDeviceGetPCIBusId(text, sizeof text, handle) == CUDA_OK &&
           strcasecmp(text, which) == 0;
}

static int find_device(struct backend_device *d, const char *which, struct err *e)
{
    const struct cuda_api *cu = &d->dl.call;
    int n = 0;
    uint64_t index = 0;
    TRY(gpu_device_check(d, cu->cuDeviceGetCount(&n), e, "cuDeviceGetCount"));
    if (n <= 0) return err_set(e, E_DEVICE, "the NVIDIA driver shows no GPU");
    bool number = !*which || str_uint(str_of(which), UINT32_MAX, &index);
    if (number && index < (uint64_t)n)
        return gpu_device_check(d, cu->cuDeviceGet(&d->handle, (int)index), e, "cuDeviceGet");
    for (int i = 0; i < n && !number; i++) {
        TRY(gpu_device_check(d, cu->cuDeviceGet(&d->handle, i), e, "cuDeviceGet"));
        if (is_named(cu, d->handle, which)) return 0;
    }
    return err_set(e, E_DEVICE, "there is no GPU %s: the NVIDIA driver shows %d, counted from 0",
                   which, n);
}

static int pick_device(struct backend_device *d, const char *which, struct err *e)
{
    const struct cuda_api *cu = &d->dl.call;
    int major, minor, mode;
    TRY(find_device(d, which, e));
    TRY(gpu_device_check(d, cu->cuDeviceGetName(d->name, sizeof d->name, d->handle), e,
                         "cuDeviceGetName"));
    TRY(attribute(d, CUDA_ATTR_MAJOR, &major, e));
    TRY(attribute(d, CUDA_ATTR_MINOR, &minor, e));
    TRY(attribute(d, CUDA_ATTR_PROCESSORS, &d->chip.processors, e));
    TRY(attribute(d, CUDA_ATTR_SHARED_OPTIN, &d->chip.shared, e));
    TRY(attribute(d, CUDA_ATTR_COMPUTE_MODE, &mode, e));
    TRY(gpu_device_check(d, cu->cuDeviceTotalMem_v2(&d->total, d->handle), e, "cuDeviceTotalMem"));
    d->chip.sm = major * 10 + minor;
    if (cu->cuDeviceGetPCIBusId) /* only used to tell who else takes memory */
        (void)cu->cuDeviceGetPCIBusId(d->pci, sizeof d->pci, d->handle);
    if (d->chip.sm < 70)
        return err_set(e, E_DEVICE, "%s has compute capability %d.%d; lode needs 7.0 or newer",
                       d->name, major, minor);
    if (mode == CUDA_COMPUTE_MODE_PROHIBITED)
        return err_set(e, E_DEVICE, "%s is set to compute mode \"prohibited\"", d->name);
    return 0;
}

/* Tries the images that suit, best first: a driver may refuse one and take the next. */
static int load_image(struct backend_device *d, struct str file, struct err *e)
{
    int n, tried_rank = INT32_MAX, code = CUDA_NO_BINARY;
    TRY(gpu_image_count(file, &n, e));
    for (;;) {
        int best = -1, best_rank = 0;
        for (int i = 0; i < n; i++) {
            struct gpu_image image = gpu_image_at(file, i);
            int rank = gpu_image_rank(&image, d->chip.sm);
            if (rank > best_rank && rank < tried_rank) {
                best = i;
                best_rank = rank;
            }
        }
        if (best < 0) break;
        struct gpu_image image = gpu_image_at(file, best);
        code = d->dl.call.cuModuleLoadDataEx(&d->module, image.data, 0, NULL, NULL);
        log_debug("%s: image for %d, kind %d, %zu bytes: %d", d->name, image.sm, (int)image.kind,
                  image.bytes, code);
        if (code == CUDA_OK) return 0;
        if (code != CUDA_INVALID_IMAGE && code != CUDA_NO_BINARY && code != CUDA_UNSUPPORTED_PTX)
            break;
        tried_rank = best_rank;
    }
    gpu_device_check(d, code, e, "no image in this lode that the driver takes");
    return -1;
}

static int load_kernels(struct backend_device *d, struct err *e)
{
    struct str file = gpu_image_file();
    if (file.n == 0 && d->dl.fake) { /* an emulator brings its kernels with it */
        int code = d->dl.call.cuModuleLoadDataEx(&d->module, d->dl.fake->image, 0, NULL, NULL);
        return gpu_device_check(d, code, e, "the emulator's image");
    }
    if (file.n == 0)
        return err_set(e, E_DEVICE,
                       "%s is there, but this lode was built without kernels for GPUs (make "
                       "gpu-wheels, then make)",
                       d->name);
    return load_image(d, file, e);
}

/* What the canary kernel has to answer at place i. */
static uint32_t canary_word(uint32_t i, uint32_t seed)
{
    uint32_t block = i / GPU_CANARY_THREADS * GPU_CANARY_THREADS, t = i % GPU_CANARY_THREADS;
    uint32_t sum = 0, own = 0;
    for (uint32_t lane = t / 32 * 32; lane < t / 32 * 32 + 32; lane++) {
        uint32_t other = block + (lane * 7 + 3) % GPU_CANARY_THREADS;
        uint32_t y = (other + seed) * 2654435761u;
        sum += y & 0xffff;
        if (lane == t) own = y;
    }
    uint32_t half = ((i + seed) * 2654435761u) & 2047; /* exact in f16 */
    return (own ^ sum) + half;
}

static int fly(struct backend_device *d, uint64_t at, uint32_t *answer, struct err *e)
{
    const struct cuda_api *cu = &d->dl.call;
    void *function;
    struct gpu_canary arg = {.out = (unsigned *)(uintptr_t)at, .seed = 20211};
    TRY(gpu_device_check(d, cu->cuModuleGetFunction(&function, d->module, "canary"), e,
                         "cuModuleGetFunction(canary)"));
    TRY(gpu_device_check(d,
                         cu->cuLaunchKernel(function, GPU_CANARY_BLOCKS, 1, 1, GPU_CANARY_THREADS,
                                            1, 1, 0, d->stream, (void *[]){&arg}, NULL),
                         e, "the test kernel cannot be launched"));
    TRY(gpu_device_check(
        d, cu->cuMemcpyDtoHAsync_v2(answer, at, GPU_CANARY_WORDS * sizeof *answer, d->stream), e,
        "the test kernel's answer"));
    TRY(gpu_device_check(d, cu->cuStreamSynchronize(d->stream), e, "the test kernel"));
    for (uint32_t i = 0; i < GPU_CANARY_WORDS; i++) {
        if (answer[i] == canary_word(i, arg.seed)) continue;
        err_set(e, E_DEVICE,
                "%s: a test kernel answered %08x where %08x is right (word %u): the "
                "GPU computes wrongly",
                d->name, answer[i], canary_word(i, arg.seed), i);
        d->dead = *e;
        return -1;
    }
    return 0;
}

/* A GPU is usable when a kernel of ours has run on it and its answer was right. */
static int try_canary(struct backend_device *d, struct err *e)
{
    uint32_t answer[GPU_CANARY_WORDS];
    uint64_t at;
    TRY(gpu_device_check(d, d->dl.call.cuMemAlloc_v2(&at, sizeof answer), e,
                         "memory for a test kernel"));
    int rc = fly(d, at, answer, e);
    struct err later;
    if (gpu_device_check(d, d->dl.call.cuMemFree_v2(at), &later, "cuMemFree") && rc == 0) {
        *e = later;
        return -1;
    }
    return rc;
}

static int start(struct backend_device *d, const char *which, struct err *e)
{
    const struct cuda_api *cu = &d->dl.call;
    TRY(cuda_dl_open(&d->dl, e));
    snprintf(d->name, sizeof d->name, "GPU");
    TRY(pick_device(d, which, e));
    int code = cu->cuDevicePrimaryCtxRetain(&d->context, d->handle);
    if (code) d->context = NULL;
    TRY(gpu_device_check(d, code, e, "no context on it"));
    TRY(gpu_device_enter(d, e));
    code = cu->cuStreamCreate(&d->stream, CUDA_STREAM_NON_BLOCKING);
    if (code) d->stream = NULL;
    TRY(gpu_device_check(d, code, e, "cuStreamCreate"));
    TRY(load_kernels(d, e));
    return try_canary(d, e);
}

int gpu_device_open(struct arena *a, const struct backend_options *o, struct backend_device **out,
                    struct err *e)
{
    struct backend_device *d = ARENA_NEW(a, struct backend_device, 1, e);
    if (!d) return -1;
    d->profile = o->profile;
    if (o->gpu) {
        TRY(open_paper(d, o->gpu, e));
    } else if (start(d, o->which ? o->which : "", e)) {
        gpu_device_close(d);
        return -1;
    }
    *out = d;
    return 0;
}

void gpu_device_close(struct backend_device *d)
{
    const struct cuda_api *cu = &d->dl.call;
    if (!d->context) return;
    /* A dead context answers each of these with its error at once; then they go with it. */
    (void)cu->cuCtxSetCurrent(d->context);
    if (d->module) (void)cu->cuModuleUnload(d->module);
    if (d->stream) (void)cu->cuStreamDestroy_v2(d->stream);
    (void)cu->cuCtxSetCurrent(NULL);
    (void)cu->cuDevicePrimaryCtxRelease_v2(d->handle);
    d->context = NULL;
}
