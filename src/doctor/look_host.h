/* Rung 3 and what stands around the driver: the kernel's log, containers' tools, copies of the
 * driver's libraries. Called by look.c. */
#ifndef DOCTOR_LOOK_HOST_H
#define DOCTOR_LOOK_HOST_H

#include "doctor/look_read.h"

void look_host(const struct look *l);

#endif
