/* The canary: a kernel whose answer is known. It runs before a GPU is called usable. Plain structs,
 * read by the host, by NVRTC and by the emulator. */
#ifndef GPU_K_CANARY_H
#define GPU_K_CANARY_H

#define GPU_CANARY_BLOCKS  4
#define GPU_CANARY_THREADS 64
#define GPU_CANARY_WORDS   (GPU_CANARY_BLOCKS * GPU_CANARY_THREADS)

struct gpu_canary {
    unsigned *out; /* [GPU_CANARY_WORDS] on the device */
    unsigned seed;
};

#endif
