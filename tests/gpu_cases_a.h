/* Shapes that the tiles of the GPU's kernels care about, beyond those of opcheck; see t_gpu_ops.c.
 */
#ifndef TESTS_GPU_CASES_A_H
#define TESTS_GPU_CASES_A_H

#include "opcheck_cases.h"

/* clang-format off */
static const struct one gpu_cases_a[] = {
    /* op          d                    live  kind */
    {.op = OP_linear,    {17, 16, 32},         -1, F16},                /* just too many for few */
    {.op = OP_linear,    {16, 144, 68},        -1, F16, GELU},          /* just few */
    {.op = OP_linear,    {9, 200, 1056},       -1, F16},                /* every warp has a share of k */
    {.op = OP_linear,    {130, 129, 72},       -1, F16, GELU},          /* one more than a tile */
    {.op = OP_linear,    {2, 136, 40, 97},      1, F16, RELU},          /* tiles that are not live */
    {.op = OP_linear,    {130, 250, 96},       77, F16, .largest = true},
    {.op = OP_linear,    {17, 16, 64},         -1, I8},
    {.op = OP_linear,    {16, 144, 68},        -1, I8, GELU},
    {.op = OP_linear,    {9, 200, 1056},       -1, I8},
    {.op = OP_linear,    {130, 129, 136},      -1, I8, GELU},
    {.op = OP_linear,    {2, 136, 128, 97},     1, I8, RELU},
    {.op = OP_linear,    {130, 250, 96},       77, I8, .largest = true},

    {.op = OP_conv1d,    {2, 130, 4, 130},     -1, F16, .args.stride = 1, GELU},
    {.op = OP_conv1d,    {2, 132, 24, 40},      1, F16, .args.stride = 2, GELU},
    {.op = OP_conv1d,    {3, 2, 8, 16},        -1, F16, .args.stride = 2}, /* first and last at once */
    {.op = OP_conv1d,    {1, 14, 6, 20},       -1, F32, .args.stride = 1, RELU},

    {.op = OP_attention, {1, 64, 1, 64},       -1, F32, ATT(1, 0.125f)},
    {.op = OP_attention, {2, 70, 2, 64},       -1, F32, ATT(2, 0.125f)},
    {.op = OP_attention, {2, 65, 1, 32},        1, F32, ATT(1, 1), .largest = true},

    {.op = OP_attnrange, {200, 2, 64, 2, 130}, -1, F32, ATT(2, 0.125f)}, /* more tiles than one */
    {.op = OP_attnrange, {300, 1, 34, 40, 9},  -1, F32, ATT(1, 0.18f)},  /* blocks take several */

    {.op = OP_pool,      {3, 300, 700},        -1, F32, .args.unit = true},
    {.op = OP_nearest,   {3, 20, 700, 3},      -1, F32, .args.top = 240}, /* groups over chunks */
    {.op = OP_nearest,   {18, 33, 800, 600},   17, F32, .args.top = 5},   /* over several */

    {.op = OP_addpos,    {2, 300, 8},          -1, F32},
    {.op = OP_layernorm, {9, 1280},            -1, F32, EPS},
};
/* clang-format on */

#endif
