/* Linear with f32 weights through oneDNN, for inputs of many positions (the encoder). Exists only
 * if lode is built with oneDNN (WITH_DNNL). */
#ifndef CPU_CPU_DNNL_H
#define CPU_CPU_DNNL_H

#include "cpu/cpu.h"

/* The functions of a row of the kernel table, see struct cpu_kernel. */
bool cpu_dnnl_fits(const struct plan *p, const struct plan_step *s);
size_t cpu_dnnl_scratch(const struct plan *p, const struct plan_step *s, int threads);
int cpu_dnnl_prepare(struct cpu_step *s, struct arena *a, struct err *e);
void cpu_dnnl_release(struct cpu_step *s);
int cpu_dnnl_linear(const struct cpu_step *s, struct thread_team *team, int id);

#endif
