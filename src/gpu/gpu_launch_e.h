/* The ops of clustering that are products of matrices. See gpu_launch_op.h. */
#ifndef GPU_GPU_LAUNCH_E_H
#define GPU_GPU_LAUNCH_E_H

#include "gpu/gpu_launch_op.h"

gpu_launch_filler gpu_launch_e_gram, gpu_launch_e_eigen, gpu_launch_e_project, gpu_launch_e_estep;
gpu_launch_scratcher gpu_launch_e_gram_scratch, gpu_launch_e_eigen_scratch,
    gpu_launch_e_estep_scratch;
gpu_launch_checker gpu_launch_e_estep_check;

#endif
