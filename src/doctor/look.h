/* Rungs 0 to 3 of the ladder: what files, links, folders and nodes tell, without any library of
 * NVIDIA's. Opens for reading only; device nodes are opened and closed again, which asks the kernel
 * whether this process may. Writes nothing, needs no privileges; whatever cannot be read is a fact
 * ("!EACCES") or missing.
 *
 *   rung 0  where we are: system, container, variables       rung 2  the kernel's half of the
 * driver rung 1  PCI: is there a GPU, who holds it, its link      rung 3  device nodes and their
 * errno */
#ifndef DOCTOR_LOOK_H
#define DOCTOR_LOOK_H

#include "doctor/facts.h"

/* look_machine: root: "" for this machine, else a folder that holds a copy of one. There a device
 * node is a regular file that says what opening it gives ("open", "EPERM"), and neither variables
 * nor the user of this process are looked at. Errors: E_NOMEM; an unreadable machine is none. */
int look_machine(const char *root, struct facts *f, struct err *e);

/* look_process: what a process has to do with the GPU: "pid 17 name", "pid 17 library", "pid 17
 * nodes" ... E_INPUT if there is no such process. */
int look_process(const char *root, unsigned pid, struct facts *f, struct err *e);

/* look_variables: those NVIDIA's libraries and containers obey. n and the array of names. */
const char *const *look_variables(size_t *n);

#endif
