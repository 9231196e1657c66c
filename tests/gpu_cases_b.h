/* Shapes for the ops of gpu_launch_b.c, beyond those of opcheck; see t_gpu_ops.c. */
#ifndef TESTS_GPU_CASES_B_H
#define TESTS_GPU_CASES_B_H

#include "opcheck_cases.h"

/* clang-format off */
static const struct one gpu_cases_b[] = {
    {.op = OP_gather,    {3, 300, 8},         -1, F32},
};
/* clang-format on */

#endif
