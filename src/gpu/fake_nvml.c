/* The fake libnvidia-ml.so.1: every function of nvml.def for the GPUs of LODE_FAKE_GPU. Built as
 * lode-fakenvml.so. Unlike CUDA it shows the GPUs that CUDA_VISIBLE_DEVICES hides, and needs no
 * context. A fault is NAME=CODE (18: library and kernel module of different versions, 999 ...).
 *
 * Source: NVML API reference, docs.nvidia.com/deploy/nvml-api. */
#include "gpu/cuda_api.h"
#include "gpu/fake.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { /* nvmlReturn_t */
       NVML_OK = 0,
       NVML_UNINITIALIZED = 1,
       NVML_INVALID_ARGUMENT = 2,
       NVML_NOT_FOUND = 6,
       NVML_INSUFFICIENT_SIZE = 7,
       NVML_UNKNOWN = 999
};

/* Handles are addresses within this; read anew by every nvmlInit. */
static struct {
    int users;
    struct fake_config config;
} fake_nvml_state;

static int injected(const char *name)
{
    const struct fake_config *c = &fake_nvml_state.config;
    for (int i = 0; i < c->n_rules; i++)
        if (strcmp(c->rule[i].call, name) == 0) return c->rule[i].code;
    return 0;
}

#define ENTER(name)                                            \
    if (fake_nvml_state.users == 0) return NVML_UNINITIALIZED; \
    if (injected(#name)) return injected(#name)

static int nvmlInit_v2(void)
{
    char wrong[300];
    const char *text = getenv("LODE_FAKE_GPU");
    if (fake_read(text ? text : "", NULL, &fake_nvml_state.config, wrong, sizeof wrong))
        return NVML_UNKNOWN;
    int code = injected("nvmlInit_v2");
    if (!code) fake_nvml_state.users++;
    return code;
}

static int nvmlShutdown(void)
{
    ENTER(nvmlShutdown);
    fake_nvml_state.users--;
    return NVML_OK;
}

static int give(char *out, unsigned room, const char *text)
{
    if (!out) return NVML_INVALID_ARGUMENT;
    if (strlen(text) >= room) return NVML_INSUFFICIENT_SIZE;
    memcpy(out, text, strlen(text) + 1);
    return NVML_OK;
}

static int nvmlSystemGetDriverVersion(char *text, unsigned room)
{
    ENTER(nvmlSystemGetDriverVersion);
    return give(text, room, fake_nvml_state.config.driver);
}

static const struct fake_device *device_of(const void *handle)
{
    const struct fake_config *c = &fake_nvml_state.config;
    for (int i = 0; i < c->n; i++)
        if (handle == &c->device[i]) return &c->device[i];
    return NULL;
}

/* "0000:3b:00.0" and NVML's own "00000000:3B:00.0" name the same place. */
static const char *place(const char *pci)
{
    const char *colon = strchr(pci, ':');
    return colon ? colon : pci;
}

static int nvmlDeviceGetHandleByPciBusId_v2(const char *pci, void **device)
{
    ENTER(nvmlDeviceGetHandleByPciBusId_v2);
    struct fake_config *c = &fake_nvml_state.config;
    for (int i = 0; i < c->n; i++)
        if (strcasecmp(place(c->device[i].pci), place(pci)) == 0) {
            *device = &c->device[i];
            return NVML_OK;
        }
    return NVML_NOT_FOUND;
}

/* What lode-fakecuda.so holds at the moment, if this process has it open beside this module. */
static uint64_t held(void)
{
    Dl_info here;
    char path[1000];
    if (!dladdr(&fake_nvml_state, &here) || !strrchr(here.dli_fname, '/')) return 0;
    snprintf(path, sizeof path, "%.*s/lode-fakecuda.so",
             (int)(strrchr(here.dli_fname, '/') - here.dli_fname), here.dli_fname);
    void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (!handle) return 0;
    const struct fake_test *test = dlsym(handle, "lode_fakecuda_test");
    struct fake_stats stats = {0};
    if (test) test->stats(&stats);
    dlclose(handle);
    return stats.bytes;
}

static int nvmlDeviceGetMemoryInfo(void *device, struct nvml_memory *memory)
{
    ENTER(nvmlDeviceGetMemoryInfo);
    const struct fake_config *c = &fake_nvml_state.config;
    const struct fake_device *d = device_of(device);
    if (!d || !memory) return NVML_INVALID_ARGUMENT;
    uint64_t total = c->vram ? c->vram : (uint64_t)d->gpu.mib << 20;
    uint64_t used = c->used + (d == &c->device[0] ? held() : 0);
    memory->total = total;
    memory->used = used < total ? used : total;
    memory->free = total - memory->used;
    return NVML_OK;
}

typedef void function(void);

static const struct {
    const char *name;
    function *at;
} functions[] = {
#define CALL(name, parameters) {#name, (function *)name},
#include "gpu/nvml.def"
#undef CALL
};

/* The prototypes of the list and the functions above must agree. */
static const struct nvml_api agrees BASE_UNUSED = {
#define CALL(name, parameters) name,
#include "gpu/nvml.def"
#undef CALL
};

static function *find(const char *name)
{
    struct fake_config c;
    char wrong[300];
    if (fake_environment(&c, wrong, sizeof wrong) == 0 && fake_missing(&c, name)) return NULL;
    for (size_t i = 0; i < COUNT(functions); i++)
        if (strcmp(functions[i].name, name) == 0) return functions[i].at;
    return NULL;
}

extern const struct cuda_fake lode_fakenvml;

BASE_EXPORT const struct cuda_fake lode_fakenvml = {find, NULL, 0};
