/* JSON: a thin face over jansson for reading, with limits on size and depth, and our own streaming
 * writer. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/arena.h"
#include "base/str.h"

struct json;     /* a value inside a document; borrowed until json_close */
struct json_doc; /* owns all values */

/* json_open: parses n bytes (at most 64 MiB, depth as jansson's limit). Duplicate keys: last wins.
 * Errors: E_INPUT with line and column. The struct lives in a, but jansson's own memory must be
 * returned by json_close. */
int json_open(struct arena *a, const char *p, size_t n, struct json_doc **out, struct err *e);
void json_close(struct json_doc **doc);
const struct json *json_root(const struct json_doc *doc);

/* All of these accept NULL and give NULL / fallback / 0 when the value is not of that kind. */
const struct json *json_key(const struct json *object, const char *key);
const struct json *json_at(const struct json *array, size_t i);
size_t json_count(const struct json *array_or_object);
const char *json_name_at(const struct json *object, size_t i,
                         const struct json **value); /* i-th key, in file order */
bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_text(const struct json *v);
bool json_is_number(const struct json *v);
bool json_is_bool(const struct json *v);
struct str json_text(const struct json *v); /* may hold NUL bytes; {NULL,0} if not text */
double json_number(const struct json *v, double fallback);
int64_t json_int(const struct json *v, int64_t fallback); /* only integers that fit */
bool json_bool(const struct json *v, bool fallback);

/* The writer: text goes to `put` in pieces as it is made. Commas, escapes and (if indent > 0) line
 * breaks are its business. Invalid UTF-8 is written as U+FFFD. NaN and infinities are written as
 * null. */
struct json_out {
    int (*put)(void *ctx, const char *p, size_t n, struct err *e);
    void *ctx;
    int indent, depth;
    bool first[32]; /* at each depth: nothing written yet */
    bool after_key;
    struct err *e;
    bool failed;
    size_t n_held;
    char held[512]; /* pieces that wait to be put together */
};
void json_out_init(struct json_out *j, int indent,
                   int (*put)(void *, const char *, size_t, struct err *), void *ctx,
                   struct err *e);
void json_out_object(struct json_out *j);
void json_out_array(struct json_out *j);
void json_out_end(struct json_out *j, char closing); /* '}' or ']' */
void json_out_key(struct json_out *j, const char *key);
void json_out_text(struct json_out *j, const char *p, size_t n);
/* The same in pieces, each of whole characters: open, any number of parts, close. */
void json_out_text_open(struct json_out *j);
void json_out_text_part(struct json_out *j, const char *p, size_t n);
void json_out_text_close(struct json_out *j);
void json_out_str(struct json_out *j, const char *nul_terminated); /* NULL writes null */
void json_out_int(struct json_out *j, int64_t v);
void json_out_number(struct json_out *j, double v, int decimals); /* trailing zeros cut */
/* The same with so many significant digits, 1 to 17, for numbers of any size: 17 give v back to the
 * bit. */
void json_out_figure(struct json_out *j, double v, int digits);
void json_out_bool(struct json_out *j, bool v);
/* json_out_flush: puts what waits; 0, or -1 if any put failed (the error is in the struct err given
 * to init). json_out_done: the same after a final newline. */
int json_out_flush(struct json_out *j);
int json_out_done(struct json_out *j);

#endif
