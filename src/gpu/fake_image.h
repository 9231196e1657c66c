/* Images as a driver sees them: whether this driver can load one on this GPU, and which kernels are
 * in it. */
#ifndef GPU_FAKE_IMAGE_H
#define GPU_FAKE_IMAGE_H

#include "gpu/emu.h"

#include <stdbool.h>
#include <stddef.h>

/* An image for any device, for a lode that was built without images. */
#define FAKE_IMAGE_STAND_IN "lode: stands in for an image\n"

struct fake_image {
    int sm; /* what it was compiled for: which build of the kernels runs */
    const void *at;
    size_t bytes; /* 0: stands in for an image, every kernel is there */
    bool text;
};

/* fake_image_load: 0, or the CUresult of a driver for CUDA `cuda` (12040) on a GPU of that compute
 * capability: 200 not an image, or a container this driver does not know; 209 compiled for another
 * GPU; 218 PTX that is no PTX; 222 PTX newer than the driver. */
int fake_image_load(const void *image, int cuda, int sm, struct fake_image *out);

/* fake_image_kernel: the kernel of that name as compiled for the emulator, or NULL if the image has
 * none. */
const struct emu_kernel *fake_image_kernel(const struct fake_image *i, const char *name);

#endif
