/* One other program, run to its end with no shell between. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include "base/arena.h"
#include "base/str.h"

struct child_end {
    int status;        /* exit status; 128 + signal if a signal ended it */
    struct str output; /* stdout and stderr together, NUL-terminated; the tail if it was longer than
                          max_bytes */
};

/* child_run: argv[0] is looked up in PATH; argv ends with NULL. Standard input is empty. After
 * timeout_s seconds it is asked to stop, five seconds later killed. *end lives in a. A status that
 * is not 0 is not an error of this function. Errors: E_MISSING (no such program), E_IO (could not
 * be started, ran out of time). */
int child_run(struct arena *a, const char *const argv[], int timeout_s, size_t max_bytes,
              struct child_end *end, struct err *e);

#endif
