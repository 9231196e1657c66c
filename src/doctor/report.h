/* What the doctor says: for people and as JSON. */
#ifndef DOCTOR_REPORT_H
#define DOCTOR_REPORT_H

#include "base/json.h"
#include "doctor/finding.h"

struct report {
    const struct facts *facts;
    const struct finding *found;
    size_t n;
    int status; /* finding_exit */
};

/* Both hand text on in pieces. */
/* report_text: verbose adds every check that passed and every fact. */
int report_text(const struct report *r, bool verbose,
                int (*put)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
                struct err *e);
int report_json(const struct report *r,
                int (*put)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
                struct err *e);

#endif
