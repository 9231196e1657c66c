/* Shapes for the ops of gpu_launch_b.c, beyond those of opcheck; see t_gpu_ops.c. */
#ifndef TESTS_GPU_CASES_B_H
#define TESTS_GPU_CASES_B_H

#include "opcheck_cases.h"

/* clang-format off */
static const struct one gpu_cases_b[] = {
    /* op          d                    live  kind */
    {.op = OP_logmel,    {2, 128, 17},         -1, F32},                /* a frame beyond two blocks */
    {.op = OP_logmel,    {1, 81, 12},          -1, F32},                /* one more than all threads */
    {.op = OP_melnorm,   {2, 33, 65},           1, F32},
    {.op = OP_melnorm,   {1, 128, 32},         -1, F32},

    {.op = OP_crosskv,   {2, 65, 2, 64, 3},    -1, F16, ATT(2, 1)},
    {.op = OP_crosskv,   {2, 130, 1, 128, 3},   1, F32, ATT(1, 1)},
    {.op = OP_embed,     {4, 30, 300, 9},      -1, F32},
    {.op = OP_embed,     {2, 130, 136, 9},      1, I8},
    {.op = OP_gather,    {3, 300, 8},          -1, F32},
    {.op = OP_gather,    {9, 4, 260},           3, F32},

    {.op = OP_attnself,  {3, 2, 64, 3, 200},   -1, F16, ATT(2, 0.125f)}, /* more loads than are under way */
    {.op = OP_attnself,  {70, 1, 64, 1, 100},  -1, F16, ATT(1, 0.125f)}, /* a prompt, read as it is written */
    {.op = OP_attnself,  {140, 1, 8, 2, 90},  131, F32, ATT(1, 0.5f)},   /* more rows than threads */
    {.op = OP_attnself,  {4, 1, 128, 2, 70},   -1, F32, ATT(1, 0.1f)},
    {.op = OP_attnself,  {4, 2, 72, 4, 66},     3, F16, ATT(2, 0.1f)},   /* some threads have less of D */
    {.op = OP_attnself,  {4, 2, 77, 4, 33},    -1, F16, ATT(2, 0.1f)},

    {.op = OP_attncross, {8, 1, 64, 256, 1},   -1, F16, ATT(1, 0.125f)}, /* all of a block */
    {.op = OP_attncross, {19, 1, 16, 257, 2},  -1, F32, ATT(1, 0.25f)},  /* 10 and 9 rows; not by 4 */
    {.op = OP_attncross, {45, 1, 8, 260, 1},   41, F16, ATT(1, 0.5f)},   /* a prompt */
    {.op = OP_attncross, {3, 2, 64, 700, 3},   -1, F16, ATT(2, 0.125f), .bare = true},
    {.op = OP_attncross, {5, 1, 128, 513, 2},  -1, F32, ATT(1, 0.1f)},
    {.op = OP_attncross, {6, 2, 72, 300, 2},    4, F16, ATT(2, 0.1f)},
    {.op = OP_attncross, {2, 1, 64, 520, 2},   -1, F16, ATT(1, 3), .largest = true},

    {.op = OP_pick,      {7, 37},              -1, F32, PICK(5, 20, 21)},      /* all banned in one */
    {.op = OP_pick,      {8, 4500},            -1, F32, PICK(5, 2000, 2300)},  /* two chunks of both */
    {.op = OP_pick,      {3, 4096},             2, F32, PICK(3, 2046, 2048), .largest = true},
    {.op = OP_pick,      {1, 2500},            -1, F32, PICK(1, 1000, 0)},     /* timestamps alone */
    {.op = OP_pick,      {2, 69000},           -1, F32, PICK(6, 66000, -1)},   /* more chunks than lanes */
};
/* clang-format on */

#endif
