/* NVML: what can be known of a GPU without using it. All of it is optional: a missing library or
 * call leaves things unknown and is never an error. */
#ifndef GPU_NVML_DL_H
#define GPU_NVML_DL_H

#include "base/base.h"

struct nvml_facts {
    char driver[32]; /* "580.65.06", or "" */
    uint64_t used;   /* bytes of the GPU's memory taken by everybody; 0 if unknown */
};

/* nvml_dl_facts: of the GPU at this PCI address ("0000:3b:00.0"). Starts NVML and shuts it down
 * again: some milliseconds, so only ask when a message needs it. */
void nvml_dl_facts(const char *pci, struct nvml_facts *out);

#endif
