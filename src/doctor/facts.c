#include "doctor/facts.h"
#include <stdio.h>
#include <string.h>

int facts_open(struct arena *a, struct facts *f, struct err *e)
{
    *f = (struct facts){.a = a, .e = e};
    f->row = ARENA_NEW(a, struct fact, FACTS_MOST, e);
    return f->row ? 0 : -1;
}

static struct fact *find(const struct facts *f, const char *key)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->row[i].key, key) == 0) return &f->row[i];
    return NULL;
}

/* Both are copied; the value is escaped already. */
static void keep(struct facts *f, const char *key, struct str value)
{
    struct fact *row = find(f, key);
    if (f->failed || (!row && f->n == FACTS_MOST)) return;
    const char *text = arena_text(f->a, value.p, MIN(value.n, FACTS_VALUE), f->e);
    const char *name = row ? row->key : text ? arena_text(f->a, key, strlen(key), f->e) : NULL;
    f->failed = !text || !name;
    if (f->failed) return;
    if (!row) row = &f->row[f->n++];
    *row = (struct fact){name, text};
}

static bool printable(char c)
{
    return c >= ' ' && c <= '~';
}

static void escape(struct str in, struct strbuf *out)
{
    for (size_t i = 0; i < in.n && !out->cut; i++) {
        char c = in.p[i];
        if (c == '\n')
            strbuf_text(out, "\\n");
        else if (c == '\\')
            strbuf_text(out, "\\\\");
        else if (c == '\t')
            strbuf_text(out, " ");
        else if (printable(c))
            strbuf_add(out, &c, 1);
        else
            strbuf_format(out, "\\x%02x", (unsigned char)c);
    }
}

void facts_put(struct facts *f, struct str value, const char *key, ...)
{
    char name[512], plain[512], text[FACTS_VALUE];
    struct strbuf escaped, clean;
    va_list args;
    va_start(args, key);
    vsnprintf(plain, sizeof plain, key, args);
    va_end(args);
    strbuf_init(&clean, name, sizeof name);
    escape(str_of(plain), &clean);
    strbuf_init(&escaped, text, sizeof text);
    escape(value, &escaped);
    keep(f, clean.p, (struct str){escaped.p, escaped.n});
}

void facts_set(struct facts *f, const char *key, const char *value)
{
    facts_put(f, str_of(value), "%s", key);
}

bool facts_line(struct facts *f, struct str line)
{
    char key[512];
    for (size_t i = 0; i < line.n; i++)
        if (!printable(line.p[i])) return false;
    for (size_t i = 1; i + 2 <= line.n && i < sizeof key; i++) {
        bool empty = i + 2 == line.n; /* editors take the blank behind "=" away */
        if (memcmp(line.p + i, " = ", empty ? 2 : 3) != 0) continue;
        memcpy(key, line.p, i);
        key[i] = 0;
        size_t from = i + (empty ? 2 : 3);
        keep(f, key, (struct str){line.p + from, line.n - from});
        return true;
    }
    return false;
}

void facts_drop(struct facts *f, const char *pattern)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n; i++)
        if (!facts_glob(pattern, f->row[i].key)) f->row[kept++] = f->row[i];
    f->n = kept;
}

const char *facts_get(const struct facts *f, const char *key)
{
    const struct fact *row = find(f, key);
    return row ? row->value : NULL;
}

const struct fact *facts_next(const struct facts *f, const char *pattern, size_t *i)
{
    while (*i < f->n) {
        const struct fact *row = &f->row[(*i)++];
        if (facts_glob(pattern, row->key)) return row;
    }
    return NULL;
}

static int nibble(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t facts_bytes(const char *value, char *out, size_t room)
{
    size_t n = 0;
    for (const char *p = value; *p && n < room; p++) {
        char c = *p;
        if (c == '\\' && p[1] == 'x' && nibble(p[2]) >= 0 && nibble(p[3]) >= 0) {
            c = (char)(nibble(p[2]) * 16 + nibble(p[3]));
            p += 3;
        } else if (c == '\\' && p[1]) {
            c = *++p == 'n' ? '\n' : *p;
        }
        out[n++] = c;
    }
    return n;
}

/* One pattern, [p, end). Greedy with one point of return, so it takes |p| * |text| steps at most.
 */
static bool one(const char *p, const char *end, const char *text)
{
    const char *star = NULL, *again = NULL;
    while (*text) {
        if (p < end && *p == '*') {
            star = p++;
            again = text;
        } else if (p < end && *p == *text) {
            p++;
            text++;
        } else if (star) {
            p = star + 1;
            text = ++again;
        } else {
            return false;
        }
    }
    while (p < end && *p == '*') p++;
    return p == end;
}

bool facts_glob(const char *pattern, const char *text)
{
    for (;;) {
        size_t n = strcspn(pattern, "|");
        if (one(pattern, pattern + n, text)) return true;
        if (!pattern[n]) return false;
        pattern += n + 1;
    }
}
