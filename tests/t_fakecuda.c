/* The fake CUDA driver and NVML: NVIDIA's rules, what is asynchronous, and every kind of fault, all
 * through the functions that lode would call. The kernels are those of tests/emu. */
#include "gpu/cuda_api.h"
#include "gpu/fake.h"
#include "unit.h"

#include "emu/k_lab.h"

#include <dlfcn.h>
#include <elf.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define GIB ((uint64_t)1 << 30)

static struct cuda_api cu;
static const struct cuda_fake *fake;
static const struct fake_test *test;

static const void *open_symbol(const char *file, const char *symbol)
{
    struct err e;
    struct arena *a;
    assert_int_equal(arena_open("test", 0, &a, &e), 0);
    char path[1200];
    snprintf(path, sizeof path, "%s/%s", file_program_folder(a, &e), file);
    arena_close(&a);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!handle) fail_msg("%s", dlerror());
    const void *found = dlsym(handle, symbol);
    assert_non_null(found);
    return found;
}

static void find_calls(void)
{
#define CALL(kind, name, parameters)         \
    {                                        \
        void (*f)(void) = fake->find(#name); \
        memcpy(&cu.name, &f, sizeof f);      \
    }
#include "gpu/cuda.def"
#undef CALL
}

/* A GPU as LODE_FAKE_GPU would describe it, not yet started. */
static void plug_in(const char *description)
{
    assert_int_equal(test->reset(description), 0);
    find_calls();
}

/* Started, with the context of GPU 0 current. */
static void start(const char *description)
{
    void *context;
    plug_in(description);
    assert_int_equal(cu.cuInit(0), 0);
    assert_int_equal(cu.cuDevicePrimaryCtxRetain(&context, 0), 0);
    assert_int_equal(cu.cuCtxSetCurrent(context), 0);
}

static void finish(unsigned leaked)
{
    struct fake_stats s;
    cu.cuDevicePrimaryCtxRelease_v2(0);
    test->stats(&s);
    assert_int_equal(s.leaked, leaked);
    assert_true(s.bytes == 0);
}

static void *stand_in(void)
{
    void *module;
    assert_int_equal(cu.cuModuleLoadDataEx(&module, fake->image, 0, NULL, NULL), 0);
    return module;
}

static void *kernel(void *module, const char *name)
{
    void *function;
    assert_int_equal(cu.cuModuleGetFunction(&function, module, name), 0);
    return function;
}

/* ---- starting ---- */

static void devices(void **state)
{
    (void)state;
    int n, v, device;
    char text[64];
    size_t bytes;
    plug_in("a100+t4,driver=535.104.05,count=3");
    assert_int_equal(cu.cuDeviceGetCount(&n), 3); /* not started */
    assert_int_equal(cu.cuDriverGetVersion(&v), 0);
    assert_int_equal(v, 12020);
    assert_int_equal(cu.cuInit(1), 1);
    assert_int_equal(cu.cuInit(0), 0);
    assert_int_equal(cu.cuDeviceGetCount(&n), 0);
    assert_int_equal(n, 3);
    assert_int_equal(cu.cuDeviceGet(&device, 3), 101);
    assert_int_equal(cu.cuDeviceGetName(text, sizeof text, 2), 0);
    assert_string_equal(text, "Tesla T4");
    assert_int_equal(cu.cuDeviceGetAttribute(&v, CUDA_ATTR_MAJOR, 0), 0);
    assert_int_equal(v, 8);
    assert_int_equal(cu.cuDeviceGetAttribute(&v, CUDA_ATTR_SHARED_OPTIN, 1), 0);
    assert_int_equal(v, 65536);
    assert_int_equal(cu.cuDeviceTotalMem_v2(&bytes, 1), 0);
    assert_true(bytes == (size_t)15095 << 20);
    unsigned char one[16], two[16];
    assert_int_equal(cu.cuDeviceGetUuid(one, 1), 0);
    assert_int_equal(cu.cuDeviceGetUuid(two, 2), 0);
    assert_memory_not_equal(one, two, 16);
    char pci[2][16];
    assert_int_equal(cu.cuDeviceGetPCIBusId(pci[0], 16, 1), 0);
    assert_int_equal(cu.cuDeviceGetPCIBusId(pci[1], 16, 2), 0);
    assert_string_not_equal(pci[0], pci[1]);
}

static void cannot_start(void **state)
{
    (void)state;
    void *context;
    const char *name;
    static const int codes[] = {34, 100, 802, 803, 804, 999};
    for (size_t i = 0; i < COUNT(codes); i++) {
        char text[40];
        snprintf(text, sizeof text, "t4,init=%d", codes[i]);
        plug_in(text);
        assert_int_equal(cu.cuInit(0), codes[i]);
        assert_int_equal(cu.cuInit(0), codes[i]);
        assert_int_equal(cu.cuGetErrorName(codes[i], &name), 0);
        assert_non_null(strstr(name, "CUDA_ERROR_"));
    }
    assert_int_equal(cu.cuGetErrorName(12345, &name), 1);
    plug_in("t4,count=0");
    assert_int_equal(cu.cuInit(0), 100);
    plug_in("t4,prohibited");
    assert_int_equal(cu.cuInit(0), 0);
    assert_int_equal(cu.cuDevicePrimaryCtxRetain(&context, 0), 46);
    plug_in("t4,missing=cuGraphLaunch");
    assert_null(cu.cuGraphLaunch);
    assert_non_null(cu.cuGraphDestroy);
    static const char *const wrong[] = {"",
                                        "gt9000",
                                        "t4,vram=9bananas",
                                        "t4,driver=5",
                                        "t4,oom=0",
                                        "t4,sticky=x",
                                        "t4,cuInit=5@",
                                        "t4,order",
                                        "t4,hang=cuInit",
                                        "t4,cuMemAlloc_v2=2@1-"};
    for (size_t i = 0; i < COUNT(wrong); i++) assert_int_equal(test->reset(wrong[i]), -1);
}

/* The second process of a fork has no GPU; other processes' settings are read from the
 * environment. */
static void in_a_child(void **state)
{
    (void)state;
    start("t4");
    pid_t child = fork();
    if (child == 0) {
        int n = 0;
        if (cu.cuDeviceGetCount(&n) != 3) _exit(1);
        test->reset(NULL);
        setenv("LODE_FAKE_GPU", "t4+a100+h200", 1);
        setenv("CUDA_VISIBLE_DEVICES", "", 1);
        if (cu.cuInit(0) != 100) _exit(2);
        test->reset(NULL);
        setenv("CUDA_VISIBLE_DEVICES", "2,7,0", 1);
        char name[40];
        if (cu.cuInit(0) || cu.cuDeviceGetCount(&n) || n != 1) _exit(3);
        if (cu.cuDeviceGetName(name, 40, 0) || strcmp(name, "NVIDIA H200") != 0) _exit(4);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    finish(0);
}

/* ---- images ---- */

static int load(const void *image)
{
    void *module;
    int code = cu.cuModuleLoadDataEx(&module, image, 0, NULL, NULL);
    if (code == 0) assert_int_equal(cu.cuModuleUnload(module), 0);
    return code;
}

static const void *cubin(unsigned char abi, unsigned flags)
{
    static unsigned char image[256];
    Elf64_Ehdr h = {
        .e_machine = 190, .e_flags = flags, .e_shentsize = 64, .e_shnum = 3, .e_shoff = 64};
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_OSABI] = abi;
    memset(image, 0, sizeof image);
    memcpy(image, &h, sizeof h);
    memcpy(image + 200, "lab_where", 9);
    return image;
}

static void images(void **state)
{
    (void)state;
    char ptx[200];
    void *module, *function;
    static const struct {
        const char *gpu;
        unsigned char abi;
        unsigned flags;
        int code;
    } cubins[] = {
        {"t4,driver=525.60.13", 0x33, 75, 0},
        {"t4,driver=525.60.13", 0x41, 75 << 8, 200}, /* of CUDA 13 on a driver for 12.0 */
        {"t4,driver=580.65.06", 0x41, 75 << 8, 0},
        {"t4", 0x33, 80, 209},
        {"t4", 0x33, 70, 0},
        {"b200", 0x33, 90, 209}, /* another major */
        {"rtx3060", 0x33, 80, 0},
        {"a100", 0x33, 86, 209},
        {"h200", 0x33, 90 | 0x800, 0},
        {"b200", 0x33, 90 | 0x800, 209},
        {"t4", 0x07, 75, 200},
    };
    for (size_t i = 0; i < COUNT(cubins); i++) {
        start(cubins[i].gpu);
        int code = load(cubin(cubins[i].abi, cubins[i].flags));
        if (code != cubins[i].code) fail_msg("cubin %zu gives %d", i, code);
        finish(0);
    }
    static const struct {
        const char *gpu, *version, *target;
        int code;
    } texts[] = {
        {"h200,driver=525.60.13", "8.0", "sm_80", 0},
        {"h200,driver=525.60.13", "8.1", "sm_80", 222},
        {"h200,driver=550.54", "8.4", "sm_80", 0},
        {"h200,driver=570.86.15", "8.7", "sm_90", 0},
        {"h200,driver=570.86.15", "8.8", "sm_90", 222},
        {"h200,driver=575.51", "9.0", "sm_90", 222},
        {"h200,driver=580.65.06", "9.0", "sm_90", 0},
        {"t4", "8.0", "sm_80", 209},
        {"b200", "8.0", "sm_90a", 209},
        {"t4,sm=130", "8.0", "sm_80", 0},
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        snprintf(ptx, sizeof ptx, "//\n.version %s\n.target %s\n.address_size 64\n",
                 texts[i].version, texts[i].target);
        start(texts[i].gpu);
        int code = load(ptx);
        if (code != texts[i].code) fail_msg("PTX %zu gives %d", i, code);
        finish(0);
    }
    start("t4");
    assert_int_equal(load("//\nrubbish"), 218);
    assert_int_equal(load("rubbish"), 200);
    /* kernels: those the image names */
    assert_int_equal(cu.cuModuleLoadDataEx(&module, cubin(0x33, 75), 0, NULL, NULL), 0);
    assert_int_equal(cu.cuModuleGetFunction(&function, module, "lab_where"), 0);
    assert_int_equal(cu.cuModuleGetFunction(&function, module, "lab_wher"), 500);
    assert_int_equal(cu.cuModuleGetFunction(&function, module, "lab_sum"), 500);
    assert_int_equal(cu.cuModuleUnload(module), 0);
    assert_int_equal(cu.cuModuleGetFunction(&function, module, "lab_where"), 400);
    assert_int_equal(
        cu.cuModuleLoadDataEx(
            &module, "//\n.version 8.0\n.target sm_75\n.visible .entry lab_sum(\n", 0, NULL, NULL),
        0);
    assert_int_equal(cu.cuModuleGetFunction(&function, module, "lab_sum"), 0);
    assert_int_equal(cu.cuModuleGetFunction(&function, module, "lab_su"), 500);
    assert_int_equal(cu.cuModuleUnload(module), 0);
    finish(0);
}

/* ---- memory ---- */

static void memory(void **state)
{
    (void)state;
    size_t free_bytes, total;
    uint64_t a, b;
    struct fake_stats s;
    start("t4,vram=1GiB,used=256MiB,context=64MiB");
    assert_int_equal(cu.cuMemGetInfo_v2(&free_bytes, &total), 0);
    assert_true(total == GIB && free_bytes == GIB - (320u << 20));
    assert_int_equal(cu.cuMemAlloc_v2(&a, free_bytes + 1), 2);
    assert_int_equal(cu.cuMemAlloc_v2(&a, 0), 1);
    assert_int_equal(cu.cuMemAlloc_v2(&a, 1000), 0);
    assert_int_equal(cu.cuMemAlloc_v2(&b, free_bytes - 1000), 0);
    assert_true(a % 256 == 0 && b % 256 == 0);
    assert_int_equal(cu.cuMemGetInfo_v2(&free_bytes, &total), 0);
    assert_true(free_bytes == 0);
    unsigned char got[1000];
    assert_int_equal(cu.cuMemcpyDtoHAsync_v2(got, a, sizeof got, NULL), 0);
    for (size_t i = 0; i < sizeof got; i++) assert_int_equal(got[i], 0xA5);
    assert_int_equal(cu.cuMemcpyDtoHAsync_v2(got, a + 1, sizeof got, NULL), 1); /* over the end */
    assert_int_equal(cu.cuMemFree_v2(b), 0);
    assert_int_equal(cu.cuMemFree_v2(b), 1);
    assert_int_equal(cu.cuMemFree_v2(a + 256), 1);
    assert_int_equal(cu.cuMemcpyHtoDAsync_v2(b, got, 1, NULL), 1);
    test->stats(&s);
    assert_int_equal(s.memory, 1);
    assert_true(s.refused == 1 && s.peak_bytes == GIB - (256u << 20));
    finish(1); /* a */
}

static void too_small_for_a_context(void **state)
{
    (void)state;
    void *context;
    plug_in("t4,vram=4GiB,used=3900MiB");
    assert_int_equal(cu.cuInit(0), 0);
    assert_int_equal(cu.cuDevicePrimaryCtxRetain(&context, 0), 2);
}

static void allocations_fail(void **state)
{
    (void)state;
    uint64_t p[4];
    start("t4,oom=2");
    static const int once[] = {0, 2, 0, 0};
    for (int i = 0; i < 4; i++) assert_int_equal(cu.cuMemAlloc_v2(&p[i], 64), once[i]);
    finish(3);
    start("t4,oom=3+");
    static const int on[] = {0, 0, 2, 2};
    for (int i = 0; i < 4; i++) assert_int_equal(cu.cuMemAlloc_v2(&p[i], 64), on[i]);
    finish(2);
}

/* ---- order of things ---- */

static void work_waits_for_the_wait(void **state)
{
    (void)state;
    uint64_t at;
    void *stream, *up, *down, *early, *late;
    float ms;
    start("h200");
    assert_int_equal(cu.cuStreamCreate(&stream, CUDA_STREAM_NON_BLOCKING), 0);
    assert_int_equal(cu.cuEventCreate(&early, 0), 0);
    assert_int_equal(cu.cuEventCreate(&late, 0), 0);
    assert_int_equal(cu.cuMemHostAlloc(&up, 16, 0), 0);
    assert_int_equal(cu.cuMemHostAlloc(&down, 16, 0), 0);
    assert_int_equal(cu.cuMemAlloc_v2(&at, 16), 0);
    memset(up, 1, 16);
    memset(down, 0, 16);
    assert_int_equal(cu.cuEventElapsedTime(&ms, early, late), 400);
    assert_int_equal(cu.cuEventRecord(early, stream), 0);
    assert_int_equal(cu.cuMemcpyHtoDAsync_v2(at, up, 16, stream), 0);
    assert_int_equal(cu.cuEventRecord(late, stream), 0);
    assert_int_equal(cu.cuMemcpyDtoHAsync_v2(down, at, 16, stream), 0);
    assert_int_equal(cu.cuEventElapsedTime(&ms, early, late), 600);
    assert_int_equal(*(unsigned char *)down, 0xA5); /* read too early */
    memset(up, 2, 16);                              /* changed too early */
    assert_int_equal(cu.cuEventSynchronize(late), 0);
    assert_int_equal(*(unsigned char *)down, 0xA5);
    assert_int_equal(cu.cuStreamSynchronize(stream), 0);
    assert_int_equal(*(unsigned char *)down, 2);
    assert_int_equal(cu.cuEventElapsedTime(&ms, early, late), 0);
    assert_true(ms >= 0);
    /* memory that is not pinned is read at once, and written before the call returns */
    unsigned char plain[16] = {7}, back[16] = {0};
    assert_int_equal(cu.cuMemcpyHtoDAsync_v2(at, plain, 16, stream), 0);
    plain[0] = 8;
    assert_int_equal(cu.cuMemcpyDtoHAsync_v2(back, at, 16, stream), 0);
    assert_int_equal(back[0], 7);
    assert_int_equal(cu.cuMemsetD8Async(at, 9, 16, stream), 0);
    assert_int_equal(cu.cuMemcpyDtoHAsync_v2(back, at, 16, stream), 0);
    assert_int_equal(back[15], 9);
    assert_int_equal(cu.cuMemFree_v2(at), 0);
    assert_int_equal(cu.cuMemFreeHost(up), 0);
    assert_int_equal(cu.cuMemFreeHost(down), 0);
    assert_int_equal(cu.cuMemFreeHost(down), 1);
    assert_int_equal(cu.cuEventDestroy_v2(early), 0);
    assert_int_equal(cu.cuEventDestroy_v2(late), 0);
    assert_int_equal(cu.cuEventDestroy_v2(late), 400);
    assert_int_equal(cu.cuStreamDestroy_v2(stream), 0);
    assert_int_equal(cu.cuStreamSynchronize(stream), 400);
    finish(0);
}

/* Adds up x[0 .. 1000) on the device; the sum. */
static int sum_on_device(void *stream, void *function, uint64_t x, uint64_t sum, int missing)
{
    struct lab_args args = {.n = 1000, .k = missing};
    memcpy(&args.a, &x, 8);
    memcpy(&args.c, &sum, 8);
    void *argument[] = {&args};
    int code = cu.cuMemsetD8Async(sum, 0, 4, stream);
    if (code) return code;
    code = cu.cuLaunchKernel(function, 2, 1, 1, 64, 1, 1, 0, stream, argument, NULL);
    memset(&args, 0, sizeof args); /* arguments were copied */
    return code;
}

struct device_data {
    uint64_t x, sum;
    void *module, *function;
};

static void upload(struct device_data *d)
{
    float x[1000];
    for (int i = 0; i < 1000; i++) x[i] = (float)(i % 10);
    d->module = stand_in();
    d->function = kernel(d->module, "lab_sum");
    assert_int_equal(cu.cuMemAlloc_v2(&d->x, sizeof x), 0);
    assert_int_equal(cu.cuMemAlloc_v2(&d->sum, 4), 0);
    assert_int_equal(cu.cuMemcpyHtoDAsync_v2(d->x, x, sizeof x, NULL), 0);
    assert_int_equal(cu.cuStreamSynchronize(NULL), 0);
}

static void give_back(struct device_data *d)
{
    assert_int_equal(cu.cuMemFree_v2(d->x), 0);
    assert_int_equal(cu.cuMemFree_v2(d->sum), 0);
    assert_int_equal(cu.cuModuleUnload(d->module), 0);
}

static void kernels(void **state)
{
    (void)state;
    static const char *const gpus[] = {"v100", "t4,order=1", "a5000,order=2", "b200,order=3"};
    for (size_t i = 0; i < COUNT(gpus); i++) {
        struct device_data d;
        float sum = 0;
        start(gpus[i]);
        upload(&d);
        assert_int_equal(sum_on_device(NULL, d.function, d.x, d.sum, 0), 0);
        assert_int_equal(cu.cuMemcpyDtoHAsync_v2(&sum, d.sum, 4, NULL), 0);
        assert_true(sum == 4500);
        give_back(&d);
        finish(0);
    }
}

static void launches_refused(void **state)
{
    (void)state;
    struct device_data d;
    struct lab_args args = {.n = 64};
    void *argument[] = {&args};
    uint64_t c;
    start("t4");
    upload(&d);
    assert_int_equal(cu.cuMemAlloc_v2(&c, sizeof(float) * 64 * 64), 0);
    memcpy(&args.c, &c, 8);
    args.a = args.b = args.c;
    void *f = d.function, *gemm = kernel(d.module, "lab_gemm"), *function;
    assert_int_equal(cu.cuLaunchKernel(f, 0, 1, 1, 64, 1, 1, 0, NULL, argument, NULL), 1);
    assert_int_equal(cu.cuLaunchKernel(f, 1, 65536, 1, 64, 1, 1, 0, NULL, argument, NULL), 1);
    assert_int_equal(cu.cuLaunchKernel(f, 1, 1, 1, 1025, 1, 1, 0, NULL, argument, NULL), 1);
    assert_int_equal(cu.cuLaunchKernel(f, 1, 1, 1, 512, 1, 1, 0, NULL, argument, NULL), 701);
    assert_int_equal(cu.cuLaunchKernel(f, 1, 1, 1, 64, 1, 1, 0, NULL, NULL, NULL), 1);
    assert_int_equal(cu.cuLaunchKernel(f, 1, 1, 1, 64, 1, 1, 0, f, argument, NULL), 400);
    assert_int_equal(cu.cuLaunchKernel(&args, 1, 1, 1, 64, 1, 1, 0, NULL, argument, NULL), 400);
    assert_int_equal(cu.cuLaunchKernel(gemm, 1, 1, 1, 64, 1, 1, 50000, NULL, argument, NULL), 1);
    assert_int_equal(cu.cuFuncSetAttribute(gemm, CUDA_FUNC_SHARED_MOST, 65537), 1);
    assert_int_equal(cu.cuFuncSetAttribute(gemm, CUDA_FUNC_SHARED_MOST, 65536), 0);
    assert_int_equal(cu.cuLaunchKernel(gemm, 1, 1, 1, 64, 1, 1, 50000, NULL, argument, NULL), 0);
    assert_int_equal(cu.cuModuleGetFunction(&function, d.module, "nonsense"), 500);
    assert_int_equal(cu.cuStreamSynchronize(NULL), 0);
    assert_int_equal(cu.cuMemFree_v2(c), 0);
    give_back(&d);
    finish(0);
}

static void graphs(void **state)
{
    (void)state;
    struct device_data d;
    void *stream, *graph, *executable;
    uint64_t no;
    float *sum;
    start("h200,order=2");
    upload(&d);
    assert_int_equal(cu.cuStreamCreate(&stream, 0), 0);
    assert_int_equal(cu.cuMemHostAlloc((void **)&sum, 4, 0), 0);
    assert_int_equal(cu.cuStreamBeginCapture_v2(NULL, CUDA_CAPTURE_THREAD), 900);
    assert_int_equal(cu.cuStreamBeginCapture_v2(stream, CUDA_CAPTURE_THREAD), 0);
    *sum = -1;
    assert_int_equal(sum_on_device(stream, d.function, d.x, d.sum, 0), 0);
    assert_int_equal(cu.cuMemcpyDtoHAsync_v2(sum, d.sum, 4, stream), 0);
    assert_int_equal(cu.cuStreamEndCapture(stream, &graph), 0);
    assert_int_equal(cu.cuStreamSynchronize(stream), 0);
    assert_true(*sum == -1); /* nothing has run */
    assert_int_equal(cu.cuGraphInstantiateWithFlags(&executable, graph, 0), 0);
    assert_int_equal(cu.cuGraphDestroy(graph), 0);
    for (int i = 0; i < 3; i++) {
        *sum = -1;
        assert_int_equal(cu.cuGraphLaunch(executable, stream), 0);
        assert_true(*sum == -1);
        assert_int_equal(cu.cuStreamSynchronize(stream), 0);
        assert_true(*sum == 4500);
    }
    /* what may not be recorded spoils the recording */
    assert_int_equal(cu.cuStreamBeginCapture_v2(stream, CUDA_CAPTURE_THREAD), 0);
    assert_int_equal(cu.cuMemAlloc_v2(&no, 64), 900);
    assert_int_equal(cu.cuStreamEndCapture(stream, &graph), 901);
    assert_int_equal(cu.cuStreamBeginCapture_v2(stream, CUDA_CAPTURE_THREAD), 0);
    assert_int_equal(cu.cuStreamSynchronize(stream), 900);
    assert_int_equal(cu.cuStreamEndCapture(stream, &graph), 901);
    assert_int_equal(cu.cuStreamEndCapture(stream, &graph), 401);
    /* memory given back under a graph's feet */
    uint64_t kept = d.sum;
    assert_int_equal(cu.cuMemFree_v2(d.sum), 0);
    assert_int_equal(cu.cuGraphLaunch(executable, stream), 0);
    assert_int_equal(cu.cuStreamSynchronize(stream), 700);
    assert_int_equal(cu.cuMemFree_v2(kept), 700);
    finish(0); /* a lost context keeps nobody to blame */
}

/* ---- faults ---- */

static void lost_for_good(void **state)
{
    (void)state;
    static const struct {
        const char *gpu;
        int code;
    } cases[] = {{"t4,sticky=700@2", 700}, {"t4,sticky=719@2", 719}, {"t4,ecc=2", 214}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        int code = cases[i].code;
        struct device_data d;
        uint64_t no;
        size_t n;
        void *context;
        start(cases[i].gpu);
        upload(&d);
        for (int launch = 0; launch < 2; launch++)
            assert_int_equal(sum_on_device(NULL, d.function, d.x, d.sum, 0), 0);
        assert_int_equal(cu.cuStreamSynchronize(NULL), code);
        assert_int_equal(cu.cuStreamSynchronize(NULL), code);
        assert_int_equal(cu.cuMemAlloc_v2(&no, 64), code);
        assert_int_equal(cu.cuMemGetInfo_v2(&n, &n), code);
        assert_int_equal(cu.cuMemFree_v2(d.x), code);
        assert_int_equal(cu.cuModuleUnload(d.module), code);
        finish(0);
        assert_int_equal(cu.cuDevicePrimaryCtxRetain(&context, 0), 0);
        assert_int_equal(cu.cuMemAlloc_v2(&no, 64), 201);
        assert_int_equal(cu.cuCtxSetCurrent(context), 0);
        assert_int_equal(cu.cuMemAlloc_v2(&no, 64), 0);
        finish(1);
    }
}

/* A wrong kernel is lost the same way, and the emulator's sentence can be read. */
static void wrong_kernel(void **state)
{
    (void)state;
    struct fake_stats s;
    uint64_t at;
    start("a100");
    void *f = kernel(stand_in(), "lab_wrong");
    assert_int_equal(cu.cuMemAlloc_v2(&at, 4096), 0);
    struct lab_args args = {.k = 4};
    memcpy(&args.a, &at, 8);
    memcpy(&args.c, &at, 8);
    void *argument[] = {&args};
    assert_int_equal(cu.cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, NULL, argument, NULL), 0);
    assert_int_equal(cu.cuStreamSynchronize(NULL), 716);
    test->stats(&s);
    assert_non_null(strstr(s.fault, "lab_wrong"));
    assert_int_equal(cu.cuStreamSynchronize(NULL), 716);
    finish(0);
}

/* A kernel that reads behind an allocation ends the process, as it should in a test. */
static int reads_at(int index)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        uint64_t at;
        if (!freopen("/dev/null", "w", stderr)) _exit(3);
        signal(SIGSEGV, SIG_DFL);
        start("t4");
        if (cu.cuMemAlloc_v2(&at, 4096)) _exit(2);
        struct lab_args args = {.n = index, .k = 14};
        memcpy(&args.a, &at, 8);
        memcpy(&args.c, &at, 8);
        void *argument[] = {&args}, *f = kernel(stand_in(), "lab_wrong");
        if (cu.cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, NULL, argument, NULL)) _exit(1);
        _exit(cu.cuStreamSynchronize(NULL) != 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void device_memory_has_an_end(void **state)
{
    (void)state;
    assert_true(reads_at(1023));
    assert_false(reads_at(1024));
}

static void any_call_fails(void **state)
{
    (void)state;
    void *p, *q;
    uint64_t at;
    start("t4,cuStreamCreate=999@2,cuMemAlloc_v2=46@1+,cuModuleLoadDataEx=700@1");
    assert_int_equal(cu.cuStreamCreate(&p, 0), 0);
    assert_int_equal(cu.cuStreamCreate(&q, 0), 999);
    assert_int_equal(cu.cuStreamCreate(&q, 0), 0);
    assert_int_equal(cu.cuMemAlloc_v2(&at, 64), 46);
    assert_int_equal(cu.cuMemAlloc_v2(&at, 64), 46);
    assert_int_equal(cu.cuModuleLoadDataEx(&p, fake->image, 0, NULL, NULL), 700);
    assert_int_equal(cu.cuStreamCreate(&p, 0), 700); /* which is for ever */
    finish(0);
    start("t4,any=304@5"); /* 1 cuInit, 2 retain, 3 set current */
    assert_int_equal(cu.cuStreamCreate(&p, 0), 0);
    assert_int_equal(cu.cuStreamCreate(&q, 0), 304);
    assert_int_equal(cu.cuStreamDestroy_v2(p), 0);
    finish(0);
    start("t4,hang=cuStreamCreate@1/0");
    assert_int_equal(cu.cuStreamCreate(&p, 0), 0);
    finish(1);
}

static void contexts(void **state)
{
    (void)state;
    void *one, *two, *stream, *function;
    uint64_t at;
    start("t4,count=2");
    assert_int_equal(cu.cuDevicePrimaryCtxRetain(&one, 0), 0); /* a second holder */
    assert_int_equal(cu.cuDevicePrimaryCtxRelease_v2(0), 0);
    assert_int_equal(cu.cuStreamCreate(&stream, 0), 0);
    function = kernel(stand_in(), "lab_where");
    assert_int_equal(cu.cuMemAlloc_v2(&at, 64), 0);
    assert_int_equal(cu.cuDevicePrimaryCtxRetain(&two, 1), 0);
    assert_ptr_not_equal(one, two);
    assert_int_equal(cu.cuCtxSetCurrent(two), 0);
    assert_int_equal(cu.cuStreamSynchronize(stream), 400); /* of the other context */
    void *argument[] = {&at};
    assert_int_equal(cu.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, NULL, argument, NULL), 400);
    assert_int_equal(cu.cuMemFree_v2(at), 1);
    assert_int_equal(cu.cuDevicePrimaryCtxRelease_v2(1), 0);
    assert_int_equal(cu.cuDevicePrimaryCtxRelease_v2(1), 201);
    assert_int_equal(cu.cuCtxSetCurrent(two), 201);
    assert_int_equal(cu.cuStreamCreate(&stream, 0), 201);
    finish(3); /* stream, module, memory */
}

/* ---- NVML ---- */

static void nvml(void **state)
{
    (void)state;
    const struct cuda_fake *table = open_symbol("../lode-fakenvml.so", "lode_fakenvml");
    struct nvml_api api;
#define CALL(name, parameters)                \
    {                                         \
        void (*f)(void) = table->find(#name); \
        memcpy(&api.name, &f, sizeof f);      \
    }
#include "gpu/nvml.def"
#undef CALL
    char text[100];
    void *device;
    struct nvml_memory m;
    setenv("LODE_FAKE_GPU", "a100+t4,driver=550.54.14,used=2GiB", 1);
    assert_int_equal(api.nvmlSystemGetDriverVersion(text, sizeof text), 1); /* not started */
    assert_int_equal(api.nvmlInit_v2(), 0);
    assert_int_equal(api.nvmlSystemGetDriverVersion(text, sizeof text), 0);
    assert_string_equal(text, "550.54.14");
    assert_int_equal(api.nvmlSystemGetDriverVersion(text, 9), 7);
    assert_int_equal(api.nvmlDeviceGetHandleByPciBusId_v2("00000000:3c:00.0", &device), 0);
    assert_int_equal(api.nvmlDeviceGetMemoryInfo(device, &m), 0);
    assert_true(m.total == (uint64_t)15095 << 20 && m.used == 2 * GIB &&
                m.free + m.used == m.total);
    assert_int_equal(api.nvmlDeviceGetHandleByPciBusId_v2("0000:99:00.0", &device), 6);
    assert_int_equal(api.nvmlShutdown(), 0);
    assert_int_equal(api.nvmlShutdown(), 1);
    setenv("LODE_FAKE_GPU", "t4,nvmlInit_v2=18", 1);
    assert_int_equal(api.nvmlInit_v2(), 18);
    unsigned number;
    setenv("LODE_FAKE_GPU", "t4+a100+l4,temperature=41+88,idle=1", 1);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(api.nvmlInit_v2(), 0);
        assert_int_equal(api.nvmlDeviceGetHandleByIndex_v2(i, &device), 0);
        assert_int_equal(api.nvmlDeviceGetTemperature(device, 0, &number), 0);
        assert_int_equal(number, i ? 88 : 41); /* the last is for all that follow */
        assert_int_equal(api.nvmlDeviceGetCurrPcieLinkGeneration(device, &number), 0);
        assert_int_equal(number, 1);
        assert_int_equal(api.nvmlShutdown(), 0);
    }
    setenv("LODE_FAKE_GPU", "t4,temperature=41+", 1);
    assert_int_equal(api.nvmlInit_v2(), 999);
    unsetenv("LODE_FAKE_GPU");
}

static int prepare(void **state)
{
    (void)state;
    fake = open_symbol("fakelab.so", "lode_fakecuda");
    test = open_symbol("fakelab.so", "lode_fakecuda_test");
    return 0;
}

static int clean(void **state)
{
    (void)state;
    return test->reset(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices),
        cmocka_unit_test(cannot_start),
        cmocka_unit_test(in_a_child),
        cmocka_unit_test(images),
        cmocka_unit_test(memory),
        cmocka_unit_test(too_small_for_a_context),
        cmocka_unit_test(allocations_fail),
        cmocka_unit_test(work_waits_for_the_wait),
        cmocka_unit_test(kernels),
        cmocka_unit_test(launches_refused),
        cmocka_unit_test(graphs),
        cmocka_unit_test(lost_for_good),
        cmocka_unit_test(wrong_kernel),
        cmocka_unit_test(device_memory_has_an_end),
        cmocka_unit_test(any_call_fails),
        cmocka_unit_test(contexts),
        cmocka_unit_test(nvml),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
