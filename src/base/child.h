/* One other program, run to its end with no shell between. */
#ifndef BASE_CHILD_H
#define BASE_CHILD_H

#include "base/arena.h"
#include "base/str.h"

struct child_end {
    int status;        /* exit status; 128 + signal if a signal ended it; -1: could not be ended */
    bool late;         /* it ran out of time */
    struct str output; /* stdout and stderr together, NUL-terminated; the tail if it was longer than
                          max_bytes */
};

struct child_rules {
    const char *const
        *env; /* "NAME=value" in place of our own of that name, NULL ends it; or NULL */
    int timeout_s, grace_s; /* when it is asked to stop; how much later it is killed */
    size_t max_bytes;
    bool anew; /* timeout_s begins anew with everything it prints */
};

/* child_run: argv[0] is looked up in PATH; argv ends with NULL. Standard input is empty. After
 * timeout_s seconds it is asked to stop, five seconds later killed. *end lives in a. A status that
 * is not 0 is not an error of this function. Errors: E_MISSING (no such program), E_IO (could not
 * be started, ran out of time). */
int child_run(struct arena *a, const char *const argv[], int timeout_s, size_t max_bytes,
              struct child_end *end, struct err *e);

/* child_run_under: the same under these rules; running out of time is told by end->late and is no
 * error. A child that cannot even be killed (it waits inside a driver) is left behind. */
int child_run_under(struct arena *a, const char *const argv[], const struct child_rules *rules,
                    struct child_end *end, struct err *e);

#endif
