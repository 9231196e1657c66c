/* What a caller wrote into the inputs of a tape, checked before any kernel believes it. Called by
 * the backends' run. */
#ifndef CORE_PLANCHECK_H
#define CORE_PLANCHECK_H

#include "core/plan.h"

/* plancheck_run: live counts and indices (of tokens, positions, sequences, windows, rows, rules) of
 * one tape are within the shapes they point into. data(ctx, value): where the bytes of an INPUT lie
 * on the host. Errors: E_INTERNAL, with the number and what is allowed. */
int plancheck_run(const struct plan *p, int tape, const void *(*data)(const void *ctx, int value),
                  const void *ctx, struct err *e);

#endif
