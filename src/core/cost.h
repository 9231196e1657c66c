/* How much a step multiplies and adds, for profiles. */
#ifndef CORE_COST_H
#define CORE_COST_H

#include "core/plan.h"

/* cost_of: multiplications and additions of one run of the step, with the rows that count in it. 0
 * for what is no product (norms, copies, choices). data: see plancheck_run. */
double cost_of(const struct plan *p, const struct plan_step *s,
               const void *(*data)(const void *ctx, int value), const void *ctx);

#endif
