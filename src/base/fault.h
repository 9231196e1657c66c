/* Faults on request, for tests: LODE_FAIL=KIND:N[+] makes the N-th call of that kind fail (N from
 * 1); with '+', that one and all later ones. KIND: alloc open read write map dlopen. Several, comma
 * separated. */
#ifndef BASE_FAULT_H
#define BASE_FAULT_H

#include "base/base.h"

enum fault_kind {
    FAULT_ALLOC,
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_MAP,
    FAULT_DLOPEN,
    FAULT_KINDS
};

/* fault_hit: counts one call of this kind; true when it must pretend to fail. Thread-safe. */
bool fault_hit(enum fault_kind kind);

/* fault_count: how many calls of this kind were counted so far. */
uint64_t fault_count(enum fault_kind kind);

/* fault_report: how many calls of each kind there were, as a line for LODE_LOG=debug, if LODE_FAIL
 * is set at all: what a torture test has to go through. */
void fault_report(void);

/* fault_arm: what LODE_FAIL says, from C (tests). NULL disarms and sets all counts to zero. Returns
 * -1 if spec is malformed. */
int fault_arm(const char *spec);

#endif
