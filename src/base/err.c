/* Errors as plain values. The text may quote hostile names, so what is not printable UTF-8 is
 * replaced before it can reach a terminal. */
#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LONGEST                                                                       \
    (PATH_MAX + 1000) /* of a sentence, before it is fitted: a path and what is wrong \
                       */

static const struct err_row rows[] = {
#define ERR(code, exit_status, http_status, meaning, hint) \
    {#code, exit_status, http_status, meaning, hint},
#include "base/err.def"
#undef ERR
};

/* Control bytes and invalid UTF-8 become '?'. */
static void tidy(char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        int len = str_utf8(text + i, n - i, &cp);
        if (len == 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            text[i] = '?';
            for (int k = 1; k < len; k++) text[i + (size_t)k] = '?';
        }
        i += len > 0 ? (size_t)len : 1;
    }
}

static bool inside_character(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* What is too long loses its middle: names are long, and what is wrong with them is said at the
 * end. */
static void fit(const char *from, char *text, size_t cap)
{
    static const char gap[] = "...";
    size_t n = strlen(from), head = cap / 3, at = 0;
    if (n >= cap) {
        at = n - (cap - sizeof gap - head);
        while (head > 0 && inside_character(from[head])) head--;
        while (inside_character(from[at])) at++;
        memcpy(text, from, head);
        memcpy(text + head, gap, sizeof gap - 1);
        text += head + sizeof gap - 1;
    }
    memcpy(text, from + at, n - at + 1);
}

static void say(struct err *e, const char *format, va_list args)
{
    char all[LONGEST];
    vsnprintf(all, sizeof all, format, args);
    fit(all, e->text, sizeof e->text);
    tidy(e->text);
}

int(err_set)(struct err *e, enum err_code code, const char *format, ...)
{
    assert(e && code > E_OK && code < E_COUNT);
    va_list args;
    va_start(args, format);
    say(e, format, args);
    va_end(args);
    e->code = code;
    return -1;
}

int(err_note)(struct err *e, const char *format, ...)
{
    assert(e);
    struct err before = *e;
    va_list args;
    va_start(args, format);
    say(e, format, args);
    va_end(args);
    struct err where = *e;
    return err_set(e, before.code, "%s: %s", where.text, before.text);
}

int(err_errno)(struct err *e, enum err_code code, const char *format, ...)
{
    int number = errno;
    char text[LONGEST - 100]; /* room for the longest strerror */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    errno = number; /* vsnprintf may have touched it; %m reads it */
    return err_set(e, code, "%s: %m", text);
}

void err_clear(struct err *e)
{
    e->code = E_OK;
    e->text[0] = 0;
}

const struct err_row *err_row(enum err_code code)
{
    _Static_assert(COUNT(rows) == E_COUNT, "one row per code");
    return (unsigned)code < E_COUNT ? &rows[code] : &rows[E_INTERNAL];
}
