/* The ops of clustering over pairs of rows. See gpu_launch_op.h. */
#ifndef GPU_GPU_LAUNCH_F_H
#define GPU_GPU_LAUNCH_F_H

#include "gpu/gpu_launch_op.h"

gpu_launch_filler gpu_launch_f_near, gpu_launch_f_density, gpu_launch_f_apart, gpu_launch_f_diffuse;
gpu_launch_scratcher gpu_launch_f_near_scratch, gpu_launch_f_density_scratch,
    gpu_launch_f_apart_scratch;
gpu_launch_checker gpu_launch_f_density_check;

#endif
