/* Our own words for the part of NVIDIA's driver (libcuda.so.1, libnvidia-ml.so.1) that lode uses: a
 * list of calls (cuda.def, nvml.def) and a few numbers. No file of CUDA's is needed to build,
 * nothing is linked. One list serves the loader (cuda_dl.c) and the fake driver (fake_cuda.c),
 * which so can neither lack a call nor have one too many.
 *
 * Every call returns 0 or an error number. Handles (contexts, modules, functions, streams, events,
 * graphs) are pointers nobody looks into; a device is an int; addresses on the device are u64. */
#ifndef GPU_CUDA_API_H
#define GPU_CUDA_API_H

#include "base/base.h"

struct cuda_api {
#define CALL(kind, name, parameters) int(*name) parameters;
#include "gpu/cuda.def"
#undef CALL
};

struct nvml_memory {
    unsigned long long total, free, used; /* bytes */
};

struct nvml_api { /* any of these may be NULL */
#define CALL(name, parameters) int(*name) parameters;
#include "gpu/nvml.def"
#undef CALL
};

/* A fake driver is a module of ours that exports one constant of this kind: lode-fakecuda.so the
 * symbol "lode_fakecuda", lode-fakenvml.so "lode_fakenvml". */
struct cuda_fake {
    /* find: the function of that name in cuda.def (nvml.def), or NULL if this driver lacks it. */
    void (*(*find)(const char *name))(void);
    /* An image the fake driver takes as one for any device: used when lode was built without images
     * of its own. NULL for NVML. */
    const void *image;
    size_t image_bytes;
};

enum cuda_code { /* the error numbers lode reacts to by more than printing them */
                 CUDA_OK = 0,
                 CUDA_OUT_OF_MEMORY = 2,
                 CUDA_STUB = 34,
                 CUDA_NO_DEVICE = 100,
                 CUDA_INVALID_IMAGE = 200,
                 CUDA_NO_BINARY = 209,
                 CUDA_UNSUPPORTED_PTX = 222,
};

enum { /* CUdevice_attribute */
       CUDA_ATTR_PROCESSORS = 16,
       CUDA_ATTR_COMPUTE_MODE = 20,
       CUDA_ATTR_MAJOR = 75,
       CUDA_ATTR_MINOR = 76,
       CUDA_ATTR_SHARED_OPTIN = 97, /* most shared memory a block can have, if asked for */
};

enum { /* CUfunction_attribute */
       CUDA_FUNC_SHARED = 1,
       CUDA_FUNC_REGISTERS = 4,
       CUDA_FUNC_SHARED_MOST = 8, /* dynamic shared memory, to be set above 48 KiB */
};

enum {
    CUDA_STREAM_NON_BLOCKING = 1,
    CUDA_EVENT_NO_TIMING = 2,
    CUDA_CAPTURE_THREAD = 1, /* CU_STREAM_CAPTURE_MODE_THREAD_LOCAL */
    CUDA_COMPUTE_MODE_PROHIBITED = 2,
};

#endif
