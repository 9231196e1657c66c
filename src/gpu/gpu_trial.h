/* What `lode doctor` asks of NVIDIA's two libraries. Both functions tell facts as they learn them,
 * because any call may hang or end the process: they are run in a child of their own, and what was
 * told before stays known. */
#ifndef GPU_GPU_TRIAL_H
#define GPU_GPU_TRIAL_H

#include "base/arena.h"
#include "gpu/cuda_api.h"

struct gpu_say {
    void *ctx;
    /* fact: "cuInit" = "999", "nvml 0 temperature" = "41". The key "at" tells the call that comes
     * next. */
    void (*fact)(void *ctx, const char *key, const char *value);
};

/* gpu_trial: libcuda and every GPU it shows: started, a kernel with a known answer, a product of
 * matrices that is checked whole, copies, and the rates of all three. "hot N ..." is what NVML says
 * of the GPU that CUDA calls N, right after that work and while it is open: an idle link is
 * lowered. Of a GPU on which the work failed there is none. Returns -1 for E_NOMEM alone; whatever
 * the driver does wrong is a fact. */
int gpu_trial(struct arena *a, const struct gpu_say *say, struct err *e);

/* gpu_trial_nvml: what NVML knows, as "nvml N name" and so on, by NVML's numbers. Takes no context
 * and so no memory of the GPU. What NVML does not support is left out; other errors are "nvml N
 * name error". */
void gpu_trial_nvml(const struct gpu_say *say);

/* NVML as gpu_trial uses it: all zero before the first question. */
struct gpu_trial_nvml {
    struct nvml_api api;
    bool tried, started;
};

/* gpu_trial_nvml_hot: "hot INDEX ...": address and health of the GPU at this PCI address, as CUDA
 * writes it. gpu_trial_nvml_end: after the last. */
void gpu_trial_nvml_hot(struct gpu_trial_nvml *nvml, unsigned index, const char *pci,
                        const struct gpu_say *say);
void gpu_trial_nvml_end(struct gpu_trial_nvml *nvml, const struct gpu_say *say);

#endif
