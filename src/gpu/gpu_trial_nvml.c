/* NVML's part of gpu_trial.h: one line per number, in the order a person asks for them. */
#include "gpu/gpu_trial.h"
#include "gpu/nvml_dl.h"
#include <stdio.h>

enum { NVML_NOT_SUPPORTED = 3, GPUS = 16, PROCESSES = 8 };
enum { CLOCK_SM = 1, CLOCK_MEMORY = 2, ECC_UNCORRECTED = 1, ECC_SINCE_LOADED = 0 };

struct asking { /* about one GPU */
    const struct nvml_api *api;
    const struct gpu_say *say;
    const char *prefix;
    unsigned index;
    void *device;
};

static void tell(const struct asking *q, const char *what, const char *value)
{
    char key[80];
    snprintf(key, sizeof key, "%s %u %s", q->prefix, q->index, what);
    q->say->fact(q->say->ctx, key, value);
}

static void tell_number(const struct asking *q, const char *what, unsigned long long value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", value);
    tell(q, what, text);
}

/* True if the call answered. */
static bool answered(const struct asking *q, const char *what, int code)
{
    char key[80], text[16];
    if (code == 0 || code == NVML_NOT_SUPPORTED) return code == 0;
    snprintf(key, sizeof key, "%s error", what);
    snprintf(text, sizeof text, "%d", code);
    tell(q, key, text);
    return false;
}

/* ASK("name", the call, its arguments behind the device): true if it exists and answered. */
#define ASK(what, call, ...)                                                   \
    (q->api->call != NULL && (q->say->fact(q->say->ctx, "at", #call), true) && \
     answered(q, what, q->api->call(q->device, __VA_ARGS__)))
#define ASK_NUMBER(what, call, ...) \
    if (ASK(what, call, __VA_ARGS__)) tell_number(q, what, number)

static void ask_identity(const struct asking *q)
{
    char text[96];
    struct nvml_pci pci;
    struct nvml_memory memory;
    if (ASK("name", nvmlDeviceGetName, text, sizeof text)) tell(q, "name", text);
    if (ASK("uuid", nvmlDeviceGetUUID, text, sizeof text)) tell(q, "uuid", text);
    if (ASK("pci", nvmlDeviceGetPciInfo_v3, &pci)) {
        pci.text[sizeof pci.text - 1] = 0;
        tell(q, "pci", pci.text);
    }
    if (ASK("memory", nvmlDeviceGetMemoryInfo, &memory)) {
        tell_number(q, "memory_mib", memory.total >> 20);
        tell_number(q, "used_mib", memory.used >> 20);
    }
}

static void ask_policy(const struct asking *q)
{
    int mode = 0;
    unsigned now = 0, pending = 0, n = 0;
    void *instance;
    if (ASK("compute_mode", nvmlDeviceGetComputeMode, &mode))
        tell_number(q, "compute_mode", (unsigned)mode);
    if (ASK("persistence", nvmlDeviceGetPersistenceMode, &mode))
        tell_number(q, "persistence", (unsigned)mode);
    if (!ASK("mig", nvmlDeviceGetMigMode, &now, &pending)) return;
    tell_number(q, "mig", now);
    if (!now || !q->api->nvmlDeviceGetMigDeviceHandleByIndex) return;
    while (n < GPUS && q->api->nvmlDeviceGetMigDeviceHandleByIndex(q->device, n, &instance) == 0)
        n++;
    tell_number(q, "mig_instances", n);
}

static void ask_health(const struct asking *q)
{
    unsigned number = 0, corrected, uncorrected, pending, failed;
    unsigned long long mask = 0, errors = 0;
    struct nvml_fabric fabric = {.status = 0};
    if (ASK("clock_reasons", nvmlDeviceGetCurrentClocksThrottleReasons, &mask)) {
        char text[24];
        snprintf(text, sizeof text, "0x%llx", mask);
        tell(q, "clock_reasons", text);
    }
    ASK_NUMBER("pcie_gen", nvmlDeviceGetCurrPcieLinkGeneration, &number);
    ASK_NUMBER("pcie_gen_max", nvmlDeviceGetMaxPcieLinkGeneration, &number);
    ASK_NUMBER("pcie_width", nvmlDeviceGetCurrPcieLinkWidth, &number);
    ASK_NUMBER("pcie_width_max", nvmlDeviceGetMaxPcieLinkWidth, &number);
    ASK_NUMBER("temperature", nvmlDeviceGetTemperature, 0, &number);
    ASK_NUMBER("power_mw", nvmlDeviceGetPowerUsage, &number);
    ASK_NUMBER("power_limit_mw", nvmlDeviceGetEnforcedPowerLimit, &number);
    ASK_NUMBER("clock_mhz", nvmlDeviceGetClockInfo, CLOCK_SM, &number);
    ASK_NUMBER("clock_max_mhz", nvmlDeviceGetMaxClockInfo, CLOCK_SM, &number);
    ASK_NUMBER("memory_clock_mhz", nvmlDeviceGetClockInfo, CLOCK_MEMORY, &number);
    if (ASK("ecc", nvmlDeviceGetTotalEccErrors, ECC_UNCORRECTED, ECC_SINCE_LOADED, &errors))
        tell_number(q, "ecc_uncorrected", errors);
    if (ASK("remap", nvmlDeviceGetRemappedRows, &corrected, &uncorrected, &pending, &failed)) {
        tell_number(q, "remap_pending", pending);
        tell_number(q, "remap_failed", failed);
    }
    if (ASK("fabric", nvmlDeviceGetGpuFabricInfo, &fabric)) tell_number(q, "fabric", fabric.state);
}

static void ask_users(const struct asking *q)
{
    struct nvml_utilization busy;
    struct nvml_process process[PROCESSES];
    unsigned n = PROCESSES;
    if (ASK("utilization", nvmlDeviceGetUtilizationRates, &busy))
        tell_number(q, "utilization", busy.gpu);
    /* _v3 of the first drivers 535 writes larger elements than before and after. */
    bool known = q->api->nvmlDeviceGetComputeRunningProcesses_v2
                     ? ASK("processes", nvmlDeviceGetComputeRunningProcesses_v2, &n, process)
                     : ASK("processes", nvmlDeviceGetComputeRunningProcesses_v3, &n, process);
    if (!known) return;
    tell_number(q, "processes", n);
    for (unsigned i = 0; i < n && i < PROCESSES; i++) {
        char key[32];
        snprintf(key, sizeof key, "process %u", i);
        tell_number(q, key, process[i].pid);
    }
}

/* A number of NVML as a whole, not of one GPU. */
static void tell_whole(const struct gpu_say *say, const char *key, int number)
{
    char text[32];
    snprintf(text, sizeof text, "%d", number);
    say->fact(say->ctx, key, text);
}

static void walk(const struct nvml_api *api, const struct gpu_say *say)
{
    unsigned n = 0;
    if (!api->nvmlDeviceGetCount_v2 || !api->nvmlDeviceGetHandleByIndex_v2) return;
    say->fact(say->ctx, "at", "nvmlDeviceGetCount_v2");
    int code = api->nvmlDeviceGetCount_v2(&n);
    tell_whole(say, code ? "nvml count error" : "nvml count", code ? code : (int)n);
    for (unsigned i = 0; code == 0 && i < n && i < GPUS; i++) {
        struct asking q = {api, say, "nvml", i, NULL};
        say->fact(say->ctx, "at", "nvmlDeviceGetHandleByIndex_v2");
        if (!answered(&q, "handle", api->nvmlDeviceGetHandleByIndex_v2(i, &q.device))) continue;
        ask_identity(&q);
        ask_policy(&q);
        ask_health(&q);
        ask_users(&q);
    }
}

static void start(struct gpu_trial_nvml *nvml, const struct gpu_say *say)
{
    struct nvml_api *api = &nvml->api;
    struct err e;
    char text[256];
    nvml->tried = true;
    say->fact(say->ctx, "at", "loading libnvidia-ml.so.1");
    if (nvml_dl_open(api, text, sizeof text, &e)) {
        say->fact(say->ctx, "libnvidia-ml.so.1 error", e.text);
        return;
    }
    say->fact(say->ctx, "libnvidia-ml.so.1", text);
    if (!api->nvmlInit_v2 || !api->nvmlShutdown) return;
    say->fact(say->ctx, "at", "nvmlInit_v2");
    int code = api->nvmlInit_v2();
    tell_whole(say, "nvmlInit", code);
    nvml->started = code == 0;
}

void gpu_trial_nvml(const struct gpu_say *say)
{
    struct gpu_trial_nvml nvml = {.started = false};
    const struct nvml_api *api = &nvml.api;
    char text[256];
    int code;
    start(&nvml, say);
    if (!nvml.started) return;
    if (api->nvmlSystemGetDriverVersion && api->nvmlSystemGetDriverVersion(text, sizeof text) == 0)
        say->fact(say->ctx, "nvml driver", text);
    if (api->nvmlSystemGetCudaDriverVersion_v2 &&
        api->nvmlSystemGetCudaDriverVersion_v2(&code) == 0)
        tell_whole(say, "nvml cuda", code);
    walk(api, say);
    gpu_trial_nvml_end(&nvml, say);
}

void gpu_trial_nvml_hot(struct gpu_trial_nvml *nvml, unsigned index, const char *pci,
                        const struct gpu_say *say)
{
    struct asking q = {&nvml->api, say, "hot", index, NULL};
    if (!nvml->tried) start(nvml, say);
    if (!nvml->started || !nvml->api.nvmlDeviceGetHandleByPciBusId_v2) return;
    tell(&q, "pci", pci);
    say->fact(say->ctx, "at", "nvmlDeviceGetHandleByPciBusId_v2");
    int code = nvml->api.nvmlDeviceGetHandleByPciBusId_v2(pci, &q.device);
    if (answered(&q, "handle", code)) ask_health(&q);
}

void gpu_trial_nvml_end(struct gpu_trial_nvml *nvml, const struct gpu_say *say)
{
    if (!nvml->started) return;
    say->fact(say->ctx, "at", "nvmlShutdown");
    nvml->api.nvmlShutdown();
    nvml->started = false;
}
