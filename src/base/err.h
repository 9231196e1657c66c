/* The one error convention: `int f(..., struct err *e)` returns 0, or -1 with *e filled.
 * A struct err is a plain value: no ownership, no allocation, may be reused after err_clear. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/base.h"

enum err_code {
#define ERR(code, exit_status, http_status, meaning, hint) E_##code,
#include "base/err.def"
#undef ERR
    E_COUNT
};

struct err {
    enum err_code code;
    char text[500]; /* one sentence with the numbers in it, UTF-8; one too long has ... in its
 middle */
};

struct err_row {
    const char *name;    /* "INPUT" */
    int exit_status;     /* of the process */
    int http_status;     /* of a response */
    const char *meaning; /* of the code in general */
    const char *hint;    /* what a user can do */
};

/* err_set: fills *e with code and sentence (no final period or newline). Always returns -1, so that
 * `return err_set(e, E_INPUT, "...")` reads as one act. e must not be NULL. */
int err_set(struct err *e, enum err_code code, const char *format, ...) BASE_PRINTF(3, 4);

/* err_note: puts "WHERE: " before the sentence already in *e. Always returns -1. */
int err_note(struct err *e, const char *format, ...) BASE_PRINTF(2, 3);

/* err_errno: err_set with ": strerror(errno)" appended. Always returns -1. */
int err_errno(struct err *e, enum err_code code, const char *format, ...) BASE_PRINTF(3, 4);

void err_clear(struct err *e);

/* err_row: the table row of a code; never NULL. */
const struct err_row *err_row(enum err_code code);

/* So that the compiler sees the -1 too, and does not warn that a value may be unset after TRY. */
static inline int err_failed(void)
{
    return -1;
}
#define err_set(...)   (err_set(__VA_ARGS__), err_failed())
#define err_note(...)  (err_note(__VA_ARGS__), err_failed())
#define err_errno(...) (err_errno(__VA_ARGS__), err_failed())

#define TRY(call)                   \
    do {                            \
        if ((call) != 0) return -1; \
    } while (0)

#endif
