/* What `lode doctor` asks of NVIDIA's two libraries. Both functions tell facts as they learn them,
 * because any call may hang or end the process: they are run in a child of their own, and what was
 * told before stays known. */
#ifndef GPU_GPU_TRIAL_H
#define GPU_GPU_TRIAL_H

#include "base/arena.h"

struct gpu_say {
    void *ctx;
    /* fact: "cuInit" = "999", "nvml 0 temperature" = "41". The key "at" tells the call that comes
     * next. */
    void (*fact)(void *ctx, const char *key, const char *value);
};

/* gpu_trial: libcuda and every GPU it shows: started, a kernel with a known answer, a product of
 * matrices that is checked whole, copies, and the rates of all three. The GPUs' "hot N ..." numbers
 * are NVML's right after that work. Returns -1 for E_NOMEM alone; whatever the driver does wrong is
 * a fact. */
int gpu_trial(struct arena *a, const struct gpu_say *say, struct err *e);

/* gpu_trial_nvml: what NVML knows, as "PREFIX N name" and so on. Takes no context and so no memory
 * of the GPU. What NVML does not support is left out; other errors are "PREFIX N name error". */
void gpu_trial_nvml(const char *prefix, const struct gpu_say *say);

#endif
