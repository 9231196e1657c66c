#include "gpu/nvml_dl.h"
#include "base/env.h"
#include "base/module.h"
#include "gpu/cuda_api.h"
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
} calls[] = {
#define CALL(name, parameters) {#name, offsetof(struct nvml_api, name)},
#include "gpu/nvml.def"
#undef CALL
};

static void find_calls(struct nvml_api *api)
{
    struct err ignored;
    const void *table = NULL;
    void *library = NULL;
    bool fake = env_get("LODE_FAKE_GPU") != NULL;
    if (fake ? module_open("fakenvml", "lode_fakenvml", &table, &ignored)
             : module_library("libnvidia-ml.so.1", &library, &ignored))
        return;
    for (size_t i = 0; i < COUNT(calls); i++) {
        void *to = (char *)api + calls[i].offset;
        if (fake) {
            void (*f)(void) = ((const struct cuda_fake *)table)->find(calls[i].name);
            memcpy(to, &f, sizeof f);
        } else {
            void *f = module_symbol(library, calls[i].name);
            memcpy(to, &f, sizeof f);
        }
    }
}

void nvml_dl_facts(const char *pci, struct nvml_facts *out)
{
    struct nvml_api api = {0};
    void *device = NULL;
    struct nvml_memory memory = {0};
    *out = (struct nvml_facts){0};
    find_calls(&api);
    if (!api.nvmlInit_v2 || !api.nvmlShutdown || api.nvmlInit_v2() != 0) return;
    if (!api.nvmlSystemGetDriverVersion ||
        api.nvmlSystemGetDriverVersion(out->driver, sizeof out->driver) != 0)
        out->driver[0] = 0;
    if (*pci && api.nvmlDeviceGetHandleByPciBusId_v2 && api.nvmlDeviceGetMemoryInfo &&
        api.nvmlDeviceGetHandleByPciBusId_v2(pci, &device) == 0 &&
        api.nvmlDeviceGetMemoryInfo(device, &memory) == 0)
        out->used = memory.used;
    api.nvmlShutdown();
}
