/* The ops of the encoder and the products. See gpu_launch_op.h. */
#ifndef GPU_GPU_LAUNCH_A_H
#define GPU_GPU_LAUNCH_A_H

#include "gpu/gpu_launch_op.h"

gpu_launch_filler gpu_launch_a_conv1d, gpu_launch_a_addpos, gpu_launch_a_layernorm,
    gpu_launch_a_linear, gpu_launch_a_attention, gpu_launch_a_attnrange;
gpu_launch_scratcher gpu_launch_a_linear_scratch;
gpu_launch_checker gpu_launch_a_attention_check, gpu_launch_a_linear_check;

/* gpu_launch_a_norm_linear: two steps, layernorm and linear, of few rows, as one launch. */
gpu_launch_filler gpu_launch_a_norm_linear;

#endif
