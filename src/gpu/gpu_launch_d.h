/* The ops of clustering. See gpu_launch_op.h. */
#ifndef GPU_GPU_LAUNCH_D_H
#define GPU_GPU_LAUNCH_D_H

#include "gpu/gpu_launch_op.h"

gpu_launch_filler gpu_launch_d_lloyd, gpu_launch_d_seed, gpu_launch_d_spread;
gpu_launch_scratcher gpu_launch_d_lloyd_scratch, gpu_launch_d_seed_scratch,
    gpu_launch_d_spread_scratch;
gpu_launch_checker gpu_launch_d_sets_check;

#endif
