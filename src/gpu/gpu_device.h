/* An opened GPU. Shared by gpu_device.c, which opens it, and gpu_plan.c, which uses it. */
#ifndef GPU_GPU_DEVICE_H
#define GPU_GPU_DEVICE_H

#include "core/backend.h"
#include "gpu/cuda_dl.h"
#include "gpu/gpu_launch.h"

/* Memory that stays free beside every plan: the driver takes some as kernels are first used and
 * graphs are made. Contexts were measured at 300 to 616 MiB. */
#define GPU_RESERVE ((size_t)512 << 20)

struct backend_device {
    struct cuda_dl dl;
    struct gpu_chip chip;
    bool paper; /* sizes from a table, no driver behind it: it can only be measured for */
    bool profile;
    char name[128], pci[32];
    size_t total; /* bytes of memory */
    int handle;   /* the driver's number of the device */
    void *context, *stream, *module;
    struct err dead; /* the error after which nothing more can be done on it; E_OK while alive */
    struct backend_plan *plans;
};

int gpu_device_open(struct arena *a, const struct backend_options *o, struct backend_device **out,
                    struct err *e);
void gpu_device_close(struct backend_device *d);

/* gpu_device_check: passes code 0; else fills *e. Any error but lack of memory means that the
 * driver's state cannot be trusted any more (the CUDA reference says so of most of them): the
 * device is dead from then on. */
int gpu_device_check(struct backend_device *d, int code, struct err *e, const char *what);

/* gpu_device_enter: at the start of whatever calls the driver, from any thread. A dead device
 * answers with the sentence it died of. */
int gpu_device_enter(struct backend_device *d, struct err *e);

/* gpu_device_room: bytes that plans may take now, the reserve taken off; of a paper device: of its
 * whole memory, less what a context takes. *total may be NULL. */
int gpu_device_room(struct backend_device *d, size_t *room, size_t *total, struct err *e);

#endif
