/* Slices, bounded builders, UTF-8, nearest names. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/base.h"
#include <stdarg.h>

struct str { /* bytes somebody else owns; not NUL-terminated */
    const char *p;
    size_t n;
};

struct strbuf { /* text being built in a buffer whose size is fixed at birth */
    char *p;
    size_t n, cap; /* n < cap always; p[n] is NUL */
    bool cut;      /* something did not fit and was left out */
};

struct str str_of(const char *nul_terminated);
/* str_hash: FNV-1a of n bytes, on from STR_HASH or from what came before them. */
#define STR_HASH 0xcbf29ce484222325u
uint64_t str_hash(uint64_t hash, const void *p, size_t n);
bool str_eq(struct str a, const char *b);
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
/* str_trim: without leading and trailing ASCII white space. */
struct str str_trim(struct str s);
/* str_line: cuts the first line off *rest (without \n or \r\n); false when *rest is empty. */
bool str_line(struct str *rest, struct str *line);
/* str_uint: the whole of s as a decimal number; false if it is not one or exceeds max. */
bool str_uint(struct str s, uint64_t max, uint64_t *out);
bool str_double(const char *s, double *out); /* whole string, finite, C locale */
/* str_s: the end of a word that counts n things: "%lld row%s", n, str_s(n). */
static inline const char *str_s(int64_t n)
{
    return n == 1 ? "" : "s";
}

void strbuf_init(struct strbuf *b, char *memory, size_t cap);
void strbuf_add(struct strbuf *b, const char *p, size_t n);
void strbuf_text(struct strbuf *b, const char *nul_terminated);
void strbuf_format(struct strbuf *b, const char *format, ...) BASE_PRINTF(2, 3);
void strbuf_format_list(struct strbuf *b, const char *format, va_list args) BASE_PRINTF(2, 0);

/* str_utf8: length 1..4 of the valid UTF-8 character at p (at most n bytes), its code point in *cp;
 * 0 if invalid or incomplete. */
int str_utf8(const char *p, size_t n, uint32_t *cp);
/* str_utf8_whole: true if all of it is valid UTF-8. */
bool str_utf8_whole(const char *p, size_t n);
/* str_utf8_put: code point -> 1..4 bytes. */
int str_utf8_put(uint32_t cp, char out[4]);

/* str_nearest: the one of n names closest to word by edit distance, or NULL if none is near enough
 * to suggest. */
const char *str_nearest(const char *word, const char *const *names, size_t n);

#endif
