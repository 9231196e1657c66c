/* The row of NVIDIA's GPUs in the backend table, for engine. One plan is in device memory whole;
 * one tape is one captured graph: inputs up, kernels, outputs down. */
#ifndef GPU_GPU_H
#define GPU_GPU_H

#include "base/str.h"
#include "core/backend.h"

extern const struct backend gpu_backend;

/* gpu_build: what GPUs this program was built for, for --version. */
void gpu_build(struct strbuf *out);

#endif
