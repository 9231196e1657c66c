/* Conditions on the columns of a record: "city=Berlin & level!=junior". */
#ifndef JOBS_WHERE_H
#define JOBS_WHERE_H

#include "load/rows.h"

#define WHERE_MOST 16

struct where {
    struct {
        const char *column, *value;
        bool differs; /* != */
        bool met;     /* some record had the column */
    } term[WHERE_MOST];
    size_t n;
};

/* where_read: text NULL: no condition. Memory from a. Errors: E_USAGE with what is wrong. */
int where_read(struct arena *a, const char *text, struct where *w, struct err *e);
/* where_holds: for the present record. A record without the column differs from every value. */
bool where_holds(struct where *w, struct rows *r);
/* where_unmet: a column that no record had, though where_holds was asked about some; or NULL. */
const char *where_unmet(const struct where *w);

#endif
