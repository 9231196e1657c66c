/* Errors as plain values. The text may quote hostile names, so what is not printable UTF-8 is
 * replaced before it can reach a terminal. */
#include "base/err.h"
#include "base/str.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct err_row rows[] = {
#define ERR(code, exit_status, http_status, meaning, hint) \
    {#code, exit_status, http_status, meaning, hint},
#include "base/err.def"
#undef ERR
};

/* Control bytes and invalid UTF-8 become '?'; a character cut by the end of the buffer goes. */
static void tidy(char *text, size_t cap)
{
    size_t n = strlen(text);
    bool full = n + 1 == cap;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        int len = str_utf8(text + i, n - i, &cp);
        if (len == 0 && full && n - i < 4 && ((unsigned char)text[i] & 0xc0) == 0xc0) {
            text[i] = 0;
            return;
        }
        if (len == 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) {
            text[i] = '?';
            for (int k = 1; k < len; k++) text[i + (size_t)k] = '?';
        }
        i += len > 0 ? (size_t)len : 1;
    }
}

int(err_set)(struct err *e, enum err_code code, const char *format, ...)
{
    assert(e && code > E_OK && code < E_COUNT);
    va_list args;
    va_start(args, format);
    vsnprintf(e->text, sizeof e->text, format, args);
    va_end(args);
    e->code = code;
    tidy(e->text, sizeof e->text);
    return -1;
}

int(err_note)(struct err *e, const char *format, ...)
{
    assert(e);
    char where[sizeof e->text], all[sizeof e->text];
    va_list args;
    va_start(args, format);
    vsnprintf(where, sizeof where, format, args);
    va_end(args);
    struct strbuf b;
    strbuf_init(&b, all, sizeof all);
    strbuf_text(&b, where);
    strbuf_text(&b, ": ");
    strbuf_text(&b, e->text);
    memcpy(e->text, all, sizeof e->text);
    tidy(e->text, sizeof e->text);
    return -1;
}

int(err_errno)(struct err *e, enum err_code code, const char *format, ...)
{
    int number = errno;
    char text[sizeof e->text];
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
