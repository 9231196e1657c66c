/* The reference kernels: every op of op.def in plain C, sums in double. They are the oracle of all
 * tests and the last row of every op in the kernel table. */
#ifndef CPU_CPU_REF_H
#define CPU_CPU_REF_H

#include "cpu/cpu.h"

/* cpu_ref_NAME: see op.def for what each computes, cpu.h for how a kernel is called. */
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) \
    int cpu_ref_##name(const struct cpu_step *s, struct thread_team *team, int id);
#include "core/op.def"
#undef OP

size_t cpu_ref_scratch(const struct plan *p, const struct plan_step *s, int threads);

#endif
