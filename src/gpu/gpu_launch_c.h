/* The ops over rows of vectors. See gpu_launch_op.h. */
#ifndef GPU_GPU_LAUNCH_C_H
#define GPU_GPU_LAUNCH_C_H

#include "gpu/gpu_launch_op.h"

gpu_launch_filler gpu_launch_c_pool, gpu_launch_c_nearest;
gpu_launch_scratcher gpu_launch_c_nearest_scratch;

#endif
