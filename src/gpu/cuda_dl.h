/* NVIDIA's driver, opened at run time. Nothing of it is linked, so lode starts where there is none.
 */
#ifndef GPU_CUDA_DL_H
#define GPU_CUDA_DL_H

#include "base/err.h"
#include "gpu/cuda_api.h"

/* What the images and calls need: CUDA 12.0, which came with driver 525. */
#define CUDA_DL_VERSION_LEAST 12000

struct cuda_dl {
    struct cuda_api call;
    const struct cuda_fake *fake; /* NULL for the real driver */
    int version;                  /* what the driver is for: 12040 is CUDA 12.4 */
    char path[256];               /* of the library, for messages */
};

/* cuda_dl_open: finds the library (or, if LODE_FAKE_GPU is set, the module lode-fakecuda.so) and
 * its functions, initialises it, checks its version. Never closed: a driver that was initialised
 * cannot be unloaded safely. Errors: E_MISSING if there is no driver at all, else E_DEVICE. */
int cuda_dl_open(struct cuda_dl *d, struct err *e);

/* cuda_dl_set: fills *e with "WHAT: CUDA_ERROR_NAME (number), what it usually means". Always -1.
 * E_NOMEM for out of memory, else E_DEVICE. */
int cuda_dl_set(const struct cuda_dl *d, int code, struct err *e, const char *what);

#endif
