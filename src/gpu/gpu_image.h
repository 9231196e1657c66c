/* The kernels' images that were built into this lode: which there are, and which one fits a GPU.
 *
 * All of them lie in one file made by tools/build-images and taken into the program as it is:
 *
 *   "lodeimg1"  u32 n  u32 0                            16 bytes, little endian as all of it
 *   n times     u32 kind  u32 sm  u64 at  u64 bytes     24 bytes; at: from the start of the file
 *   the images, each on a multiple of 64; PTX ends with a NUL, which its bytes count in
 *
 * A lode built without NVRTC has an empty file and uses no GPU. */
#ifndef GPU_GPU_IMAGE_H
#define GPU_GPU_IMAGE_H

#include "base/err.h"
#include "base/str.h"

enum gpu_image_kind {
    GPU_IMAGE_CUBIN, /* for one major, from this minor on */
    GPU_IMAGE_EXACT, /* a cubin with instructions of this very sm: sm_90a */
    GPU_IMAGE_PTX    /* for anything newer */
};

struct gpu_image {
    enum gpu_image_kind kind;
    int sm; /* 75, 90, .. */
    const void *data;
    size_t bytes;
};

/* gpu_image_file: what is built in; n is 0 if nothing is. */
struct str gpu_image_file(void);

/* gpu_image_count: how many images a file holds, 0 for an empty one. Errors: E_DEVICE, it is
 * damaged. */
int gpu_image_count(struct str file, int *n, struct err *e);
/* gpu_image_at: the i-th of a file that gpu_image_count has seen. */
struct gpu_image gpu_image_at(struct str file, int i);

/* gpu_image_rank: how well an image suits a GPU: 0 not at all; the exact sm is best, then a lower
 * minor of the same major (the highest), then PTX (the highest). */
int gpu_image_rank(const struct gpu_image *image, int sm);

/* gpu_image_list: "NVIDIA, images for sm_75 .. ptx_80", or "no (why)". */
void gpu_image_list(struct strbuf *out);

#endif
