/* Shorthands for jobs: the functions of struct lode_host may be NULL. */
#ifndef JOBS_HOST_H
#define JOBS_HOST_H

#include "load/fetch.h"
#include "lode.h"

int host_text(const struct lode_host *h, const char *p, size_t n, struct err *e);
/* host_format: the same of a format; what comes after 5000 bytes (a path and a line) is left out.
 */
int host_format(const struct lode_host *h, struct err *e, const char *format, ...)
    BASE_PRINTF(3, 4);
/* host_put: host_text for writers of JSON; ctx is a struct lode_host. */
int host_put(void *ctx, const char *p, size_t n, struct err *e);
void host_note(const struct lode_host *h, const char *format, ...) BASE_PRINTF(2, 3);
void host_progress(const struct lode_host *h, const char *what, enum lode_unit unit, double done,
                   double total);
bool host_cancelled(const struct lode_host *h);

/* host_watch: the same host as the room load knows it; borrows h. */
struct fetch_watch host_watch(const struct lode_host *h);

#endif
