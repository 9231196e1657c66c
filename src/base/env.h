/* The only reader of the environment. Known variables are rows of a table, so that `lode help
 * environment` can print them. */
#ifndef BASE_ENV_H
#define BASE_ENV_H

#include "base/base.h"

struct env_row {
    const char *name, *help;
};

/* env_get: value of a variable that must have a row in the table (asserted); NULL if unset or
 * empty. */
const char *env_get(const char *name);
/* env_foreign: a variable of somebody else's, which `lode doctor` looks at and lode does not obey;
 * NULL if unset, "" if empty. */
const char *env_foreign(const char *name);
const struct env_row *env_rows(size_t *n);

#endif
