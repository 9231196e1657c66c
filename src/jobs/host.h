/* Shorthands for jobs: the functions of struct lode_host may be NULL. */
#ifndef JOBS_HOST_H
#define JOBS_HOST_H

#include "lode.h"
#include <stdarg.h>
#include <stdio.h>

static inline int host_text(const struct lode_host *h, const char *p, size_t n, struct err *e)
{
    return h->text ? h->text(h->ctx, p, n, e) : 0;
}

BASE_PRINTF(2, 3)
static inline void host_note(const struct lode_host *h, const char *format, ...)
{
    char line[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (h->note) h->note(h->ctx, line);
}

static inline void host_progress(const struct lode_host *h, const char *what, double done,
                                 double total)
{
    if (h->progress) h->progress(h->ctx, what, done, total);
}

static inline bool host_cancelled(const struct lode_host *h)
{
    return h->cancelled && h->cancelled(h->ctx);
}

#endif
