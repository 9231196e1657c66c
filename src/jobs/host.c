#include "jobs/host.h"
#include <stdarg.h>
#include <stdio.h>

int host_text(const struct lode_host *h, const char *p, size_t n, struct err *e)
{
    return h->text ? h->text(h->ctx, p, n, e) : 0;
}

int host_format(const struct lode_host *h, struct err *e, const char *format, ...)
{
    char text[5000];
    struct strbuf b;
    va_list args;
    strbuf_init(&b, text, sizeof text);
    va_start(args, format);
    strbuf_format_list(&b, format, args);
    va_end(args);
    return host_text(h, b.p, b.n, e);
}

int host_put(void *ctx, const char *p, size_t n, struct err *e)
{
    return host_text(ctx, p, n, e);
}

void host_note(const struct lode_host *h, const char *format, ...)
{
    char line[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (h->note) h->note(h->ctx, line);
}

void host_progress(const struct lode_host *h, const char *what, enum lode_unit unit, double done,
                   double total)
{
    if (h->progress) h->progress(h->ctx, what, unit, done, total);
}

bool host_cancelled(const struct lode_host *h)
{
    return h->cancelled && h->cancelled(h->ctx);
}

static void watch_note(void *ctx, const char *line)
{
    host_note(ctx, "%s", line);
}

static void watch_progress(void *ctx, const char *what, double done, double total)
{
    host_progress(ctx, what, LODE_BYTES, done, total);
}

static bool watch_cancelled(void *ctx)
{
    return host_cancelled(ctx);
}

struct fetch_watch host_watch(const struct lode_host *h)
{
    /* the functions above take it back as const */
    return (struct fetch_watch){(void *)(uintptr_t)h, watch_note, watch_progress, watch_cancelled};
}
