#include "base/log.h"
#include "base/env.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static atomic_int log_level = -1; /* -1: LODE_LOG not read yet */

void log_set_level(enum log_level level)
{
    atomic_store(&log_level, (int)level);
}

bool log_wants(enum log_level level)
{
    int now = atomic_load_explicit(&log_level, memory_order_relaxed);
    if (now < 0) {
        static const char *const names[] = {"quiet", "warn", "info", "debug"};
        const char *said = env_get("LODE_LOG");
        now = LOG_WARN;
        for (int i = 0; said && i < (int)COUNT(names); i++)
            if (strcmp(said, names[i]) == 0) now = i;
        atomic_store(&log_level, now);
    }
    return (int)level <= now;
}

/* One write per line, so that lines of several threads do not mix. */
BASE_PRINTF(1, 0) static void say(const char *format, va_list args)
{
    char line[1200];
    struct strbuf b;
    strbuf_init(&b, line, sizeof line - 1);
    if (isatty(STDERR_FILENO)) strbuf_text(&b, "\r\033[K"); /* wipes a progress bar on this line */
    strbuf_text(&b, "lode: ");
    strbuf_format_list(&b, format, args);
    line[b.n] = '\n';
    ssize_t written = write(STDERR_FILENO, line, b.n + 1);
    (void)written; /* nowhere left to complain */
}

#define SAY(level)                     \
    do {                               \
        if (!log_wants(level)) return; \
        va_list args;                  \
        va_start(args, format);        \
        say(format, args);             \
        va_end(args);                  \
    } while (0)

void log_warn(const char *format, ...)
{
    SAY(LOG_WARN);
}

void log_info(const char *format, ...)
{
    SAY(LOG_INFO);
}

void log_debug(const char *format, ...)
{
    SAY(LOG_DEBUG);
}
