#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t str_hash(uint64_t hash, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) hash = (hash ^ ((const uint8_t *)p)[i]) * 0x100000001b3u;
    return hash;
}

struct str str_of(const char *nul_terminated)
{
    return (struct str){nul_terminated, nul_terminated ? strlen(nul_terminated) : 0};
}

bool str_eq(struct str a, const char *b)
{
    size_t n = strlen(b);
    return a.n == n && (n == 0 || memcmp(a.p, b, n) == 0);
}

bool str_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_ends(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && memcmp(s + n - m, suffix, m) == 0;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_space(s.p[0])) s = (struct str){s.p + 1, s.n - 1};
    while (s.n > 0 && is_space(s.p[s.n - 1])) s.n--;
    return s;
}

bool str_line(struct str *rest, struct str *line)
{
    if (rest->n == 0) return false;
    const char *end = memchr(rest->p, '\n', rest->n);
    size_t n = end ? (size_t)(end - rest->p) : rest->n;
    size_t skip = end ? n + 1 : n;
    *line = (struct str){rest->p, n};
    if (end && n > 0 && rest->p[n - 1] == '\r') line->n--;
    *rest = (struct str){rest->p + skip, rest->n - skip};
    return true;
}

bool str_uint(struct str s, uint64_t max, uint64_t *out)
{
    if (s.n == 0) return false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    if (v > max) return false;
    *out = v;
    return true;
}

/* strtod alone would also take " 1", "0x1p3", "inf" and "nan". */
bool str_double(const char *s, double *out)
{
    if (*s == 0 || s[strspn(s, "0123456789+-.eE")] != 0) return false;
    char *end;
    double v = strtod(s, &end);
    if (end == s || *end != 0 || !isfinite(v)) return false;
    *out = v;
    return true;
}

void strbuf_init(struct strbuf *b, char *memory, size_t cap)
{
    assert(cap > 0);
    *b = (struct strbuf){.p = memory, .cap = cap};
    memory[0] = 0;
}

void strbuf_add(struct strbuf *b, const char *p, size_t n)
{
    size_t room = b->cap - 1 - b->n;
    if (n > room) {
        n = room;
        b->cut = true;
    }
    if (n > 0) memcpy(b->p + b->n, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void strbuf_text(struct strbuf *b, const char *nul_terminated)
{
    strbuf_add(b, nul_terminated, strlen(nul_terminated));
}

void strbuf_format_list(struct strbuf *b, const char *format, va_list args)
{
    size_t room = b->cap - b->n;
    int n = vsnprintf(b->p + b->n, room, format, args);
    if (n < 0) {
        b->p[b->n] = 0;
        b->cut = true;
    } else if ((size_t)n >= room) {
        b->n = b->cap - 1;
        b->cut = true;
    } else {
        b->n += (size_t)n;
    }
}

void strbuf_format(struct strbuf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    strbuf_format_list(b, format, args);
    va_end(args);
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
int str_utf8(const char *p, size_t n, uint32_t *cp)
{
    if (n == 0) return 0;
    const unsigned char *u = (const unsigned char *)p;
    if (u[0] < 0x80) {
        *cp = u[0];
        return 1;
    }
    int len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] < 0xc2 || u[0] > 0xf4 || (size_t)len > n) return 0;
    uint32_t v = u[0] & (0xffu >> (len + 1));
    for (int i = 1; i < len; i++) {
        if ((u[i] & 0xc0) != 0x80) return 0;
        v = v << 6 | (u[i] & 0x3fu);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return 0;
    *cp = v;
    return len;
}

bool str_utf8_whole(const char *p, size_t n)
{
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        int len = str_utf8(p + i, n - i, &cp);
        if (len == 0) return false;
        i += (size_t)len;
    }
    return true;
}

int str_utf8_put(uint32_t cp, char out[4])
{
    assert(cp <= 0x10ffff && (cp < 0xd800 || cp >= 0xe000));
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = len - 1; i > 0; i--, cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)(cp | (0xf00u >> len & 0xffu));
    return len;
}

/* Levenshtein distance where a swap of neighbours counts one (optimal string alignment), with '_'
 * and '-' the same and case ignored; both words at most NEAR_MAX long. */
enum { NEAR_MAX = 63 };

static char fold(char c)
{
    if (c == '_') return '-';
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int distance(const char *a, size_t n, const char *b, size_t m)
{
    int row[3][NEAR_MAX + 1];
    for (size_t j = 0; j <= m; j++) row[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int change = last[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));
            int best = MIN(change, MIN(last[j], now[j - 1]) + 1);
            bool swap = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                        fold(a[i - 2]) == fold(b[j - 1]);
            now[j] = swap ? MIN(best, before[j - 2] + 1) : best;
        }
    }
    return row[n % 3][m];
}

const char *str_nearest(const char *word, const char *const *names, size_t n)
{
    size_t length = strlen(word);
    if (length > NEAR_MAX) return NULL;
    const char *best = NULL;
    int least = INT32_MAX;
    for (size_t i = 0; i < n; i++) {
        size_t m = strlen(names[i]);
        if (m > NEAR_MAX) continue;
        int d = distance(word, length, names[i], m);
        /* A word cut short counts as one slip: "beam" means "beam-size". */
        if (length >= 3 && m > length && distance(word, length, names[i], length) == 0) d = 1;
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    int near = length <= 3 ? 1 : length <= 6 ? 2 : 3;
    return least <= near ? best : NULL;
}
