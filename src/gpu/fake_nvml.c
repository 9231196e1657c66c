/* The fake libnvidia-ml.so.1: every function of nvml.def for the GPUs of LODE_FAKE_GPU. Built as
 * lode-fakenvml.so. Unlike CUDA it shows the GPUs that CUDA_VISIBLE_DEVICES hides, and needs no
 * context. A fault is NAME=CODE (18: library and kernel module of different versions, 999 ...).
 *
 * Source: NVML API reference, docs.nvidia.com/deploy/nvml-api. */
#include "gpu/cuda_api.h"
#include "gpu/fake.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { /* nvmlReturn_t */
       NVML_OK = 0,
       NVML_UNINITIALIZED = 1,
       NVML_INVALID_ARGUMENT = 2,
       NVML_NOT_SUPPORTED = 3,
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
    for (int i = 0; i < c->n_rules; i++) {
        if (strcmp(c->rule[i].call, name) != 0) continue;
        if (c->rule[i].crash) raise(SIGSEGV);
        if (c->rule[i].hang_s) sleep(c->rule[i].hang_s);
        return c->rule[i].code;
    }
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

/* What lode-fakecuda.so holds of this GPU at the moment, if this process has it open beside this
 * module. */
static uint64_t held(const struct fake_device *d)
{
    Dl_info here;
    char path[1000];
    if (!dladdr(&fake_nvml_state, &here) || !strrchr(here.dli_fname, '/')) return 0;
    snprintf(path, sizeof path, "%.*s/lode-fakecuda.so",
             (int)(strrchr(here.dli_fname, '/') - here.dli_fname), here.dli_fname);
    void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    if (!handle) return 0;
    const struct fake_test *test = dlsym(handle, "lode_fakecuda_test");
    uint64_t bytes = test ? test->held(d->pci) : 0;
    dlclose(handle);
    return bytes;
}

static int nvmlDeviceGetMemoryInfo(void *device, struct nvml_memory *memory)
{
    ENTER(nvmlDeviceGetMemoryInfo);
    const struct fake_config *c = &fake_nvml_state.config;
    const struct fake_device *d = device_of(device);
    if (!d || !memory) return NVML_INVALID_ARGUMENT;
    uint64_t total = c->vram ? c->vram : (uint64_t)d->gpu.mib << 20;
    uint64_t used = c->used + held(d);
    memory->total = total;
    memory->used = used < total ? used : total;
    memory->free = total - memory->used;
    return NVML_OK;
}

/* ---- numbers of a GPU ---- */

/* d: the device that is asked about. */
#define ASK(name)                                    \
    ENTER(name);                                     \
    const struct fake_device *d = device_of(device); \
    if (!d) return NVML_INVALID_ARGUMENT
#define STATE(which) fake_nvml_state.config.state[FAKE_##which][d->number]

static int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    ENTER(nvmlSystemGetCudaDriverVersion_v2);
    *version = fake_nvml_state.config.cuda;
    return NVML_OK;
}

static int nvmlDeviceGetCount_v2(unsigned *n)
{
    ENTER(nvmlDeviceGetCount_v2);
    *n = (unsigned)fake_nvml_state.config.n;
    return NVML_OK;
}

static int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    ENTER(nvmlDeviceGetHandleByIndex_v2);
    if (index >= (unsigned)fake_nvml_state.config.n) return NVML_INVALID_ARGUMENT;
    *device = &fake_nvml_state.config.device[index];
    return NVML_OK;
}

static int nvmlDeviceGetName(void *device, char *text, unsigned room)
{
    ASK(nvmlDeviceGetName);
    return give(text, room, d->gpu.name);
}

static int nvmlDeviceGetUUID(void *device, char *text, unsigned room)
{
    ASK(nvmlDeviceGetUUID);
    char uuid[48];
    fake_uuid(d, uuid);
    return give(text, room, uuid);
}

static int nvmlDeviceGetPciInfo_v3(void *device, struct nvml_pci *pci)
{
    ASK(nvmlDeviceGetPciInfo_v3);
    *pci = (struct nvml_pci){.id = 0x10de};
    snprintf(pci->legacy, sizeof pci->legacy, "%s", d->pci);
    snprintf(pci->text, sizeof pci->text, "0000%s", d->pci);
    return NVML_OK;
}

static int nvmlDeviceGetComputeMode(void *device, int *mode)
{
    ASK(nvmlDeviceGetComputeMode);
    *mode = STATE(MODE);
    return NVML_OK;
}

static int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *pending)
{
    ASK(nvmlDeviceGetMigMode);
    if (d->gpu.sm != 80 && d->gpu.sm != 90 && d->gpu.sm != 100) return NVML_NOT_SUPPORTED;
    *now = *pending = (unsigned)STATE(MIG);
    return NVML_OK;
}

static int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **instance)
{
    ASK(nvmlDeviceGetMigDeviceHandleByIndex);
    if (index >= (unsigned)STATE(INSTANCES)) return NVML_NOT_FOUND;
    *instance = device;
    return NVML_OK;
}

static int nvmlDeviceGetPersistenceMode(void *device, int *mode)
{
    ASK(nvmlDeviceGetPersistenceMode);
    *mode = STATE(PERSISTENCE);
    return NVML_OK;
}

static int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *mask)
{
    ASK(nvmlDeviceGetCurrentClocksThrottleReasons);
    *mask = (unsigned long long)STATE(REASONS);
    return NVML_OK;
}

static int nvmlDeviceGetCurrPcieLinkGeneration(void *device, unsigned *generation)
{
    ASK(nvmlDeviceGetCurrPcieLinkGeneration);
    *generation = (unsigned)(STATE(IDLE) && !held(d) ? STATE(IDLE) : STATE(GEN));
    return NVML_OK;
}

static int nvmlDeviceGetMaxPcieLinkGeneration(void *device, unsigned *generation)
{
    ASK(nvmlDeviceGetMaxPcieLinkGeneration);
    *generation = 4;
    return NVML_OK;
}

static int nvmlDeviceGetCurrPcieLinkWidth(void *device, unsigned *width)
{
    ASK(nvmlDeviceGetCurrPcieLinkWidth);
    *width = (unsigned)STATE(WIDTH);
    return NVML_OK;
}

static int nvmlDeviceGetMaxPcieLinkWidth(void *device, unsigned *width)
{
    ASK(nvmlDeviceGetMaxPcieLinkWidth);
    *width = 16;
    return NVML_OK;
}

static int nvmlDeviceGetTotalEccErrors(void *device, int kind, int counter, unsigned long long *n)
{
    ASK(nvmlDeviceGetTotalEccErrors);
    *n = kind == 1 && counter == 0 ? (unsigned long long)STATE(UNCORRECTED) : 0;
    return NVML_OK;
}

static int nvmlDeviceGetRemappedRows(void *device, unsigned *corrected, unsigned *uncorrected,
                                     unsigned *pending, unsigned *failed)
{
    ASK(nvmlDeviceGetRemappedRows);
    if (d->gpu.sm < 80) return NVML_NOT_SUPPORTED;
    *corrected = 0;
    *uncorrected = *pending = STATE(REMAP) == 1;
    *failed = STATE(REMAP) == 2;
    return NVML_OK;
}

static int nvmlDeviceGetTemperature(void *device, int sensor, unsigned *celsius)
{
    ASK(nvmlDeviceGetTemperature);
    if (sensor != 0) return NVML_INVALID_ARGUMENT;
    *celsius = (unsigned)STATE(TEMPERATURE);
    return NVML_OK;
}

static int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts)
{
    ASK(nvmlDeviceGetPowerUsage);
    *milliwatts = (unsigned)STATE(WATTS) * 1000;
    return NVML_OK;
}

static int nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts)
{
    ASK(nvmlDeviceGetEnforcedPowerLimit);
    *milliwatts = 300000;
    return NVML_OK;
}

static int nvmlDeviceGetClockInfo(void *device, int clock, unsigned *mhz)
{
    ASK(nvmlDeviceGetClockInfo);
    *mhz = clock == 2 ? 5001 : 585;
    return NVML_OK;
}

static int nvmlDeviceGetMaxClockInfo(void *device, int clock, unsigned *mhz)
{
    ASK(nvmlDeviceGetMaxClockInfo);
    *mhz = clock == 2 ? 5001 : 1590;
    return NVML_OK;
}

static int nvmlDeviceGetUtilizationRates(void *device, struct nvml_utilization *percent)
{
    ASK(nvmlDeviceGetUtilizationRates);
    *percent = (struct nvml_utilization){0, 0};
    return NVML_OK;
}

static int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *n,
                                                   struct nvml_process *process)
{
    ASK(nvmlDeviceGetComputeRunningProcesses_v3);
    unsigned room = *n;
    *n = STATE(PID) != 0;
    if (*n > room) return NVML_INSUFFICIENT_SIZE;
    if (*n) *process = (struct nvml_process){(unsigned)STATE(PID), 1u << 30, {0, 0}};
    return NVML_OK;
}

static int nvmlDeviceGetComputeRunningProcesses_v2(void *device, unsigned *n,
                                                   struct nvml_process *process)
{
    return nvmlDeviceGetComputeRunningProcesses_v3(device, n, process);
}

static int nvmlDeviceGetGpuFabricInfo(void *device, struct nvml_fabric *fabric)
{
    ASK(nvmlDeviceGetGpuFabricInfo);
    *fabric = (struct nvml_fabric){.state = (unsigned char)STATE(FABRIC)};
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
