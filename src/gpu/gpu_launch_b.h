/* The ops at both ends: spectrum, caches, attention of the decoder, choice of tokens. See
 * gpu_launch_op.h. */
#ifndef GPU_GPU_LAUNCH_B_H
#define GPU_GPU_LAUNCH_B_H

#include "gpu/gpu_launch_op.h"

gpu_launch_filler gpu_launch_b_logmel, gpu_launch_b_melnorm, gpu_launch_b_crosskv,
    gpu_launch_b_embed, gpu_launch_b_attnself, gpu_launch_b_attncross, gpu_launch_b_gather,
    gpu_launch_b_pick;
gpu_launch_scratcher gpu_launch_b_logmel_scratch, gpu_launch_b_crosskv_scratch,
    gpu_launch_b_attncross_scratch, gpu_launch_b_pick_scratch;
gpu_launch_checker gpu_launch_b_crosskv_check, gpu_launch_b_attnself_check,
    gpu_launch_b_attncross_check;

#endif
