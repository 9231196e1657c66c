/* A double array trie (darts-clone) of what is replaced, and the replacements, NUL-terminated.
 *
 *     u32 bytes of the trie | trie: u32 units | replacements
 *
 * Follows: sentencepiece normalizer.cc for the layout; huggingface spm_precompiled and tokenizers
 * normalizers/precompiled.rs for how it is applied: by grapheme clusters of at most 5 bytes, else
 * by characters; of several matches the shortest counts, and the whole cluster is replaced by it.
 */
#include "text/charsmap.h"
#include "text/chars.h"
#include <string.h>

#define CLUSTER_MOST 5

struct charsmap {
    const uint8_t *unit; /* [n_units] little-endian u32 */
    size_t n_units;
    struct str text;
};

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int decode(struct str base64, uint8_t *out, size_t *n, struct err *e)
{
    uint32_t bits = 0;
    int have = 0;
    *n = 0;
    while (base64.n > 0 && base64.p[base64.n - 1] == '=') base64.n--;
    for (size_t i = 0; i < base64.n; i++) {
        int v = base64_value(base64.p[i]);
        if (v < 0) return err_set(e, E_MODEL, "the map of characters is not base64 at byte %zu", i);
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        out[(*n)++] = (uint8_t)(bits >> have);
    }
    return 0;
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int charsmap_open(struct arena *a, struct str base64, struct charsmap **out, struct err *e)
{
    size_t n;
    struct charsmap *m = ARENA_NEW(a, struct charsmap, 1, e);
    uint8_t *bytes = ARENA_NEW(a, uint8_t, base64.n / 4 * 3 + 4, e);
    if (!m || !bytes) return -1;
    TRY(decode(base64, bytes, &n, e));
    if (n < 4 || u32_at(bytes) > n - 4 || u32_at(bytes) % 4 != 0 || u32_at(bytes) == 0)
        return err_set(e, E_MODEL, "the map of characters has %zu bytes, and its trie %u", n,
                       n < 4 ? 0 : u32_at(bytes));
    m->n_units = u32_at(bytes) / 4;
    m->unit = bytes + 4;
    m->text = (struct str){(const char *)bytes + 4 + 4 * m->n_units, n - 4 - 4 * m->n_units};
    *out = m;
    return 0;
}

/* What the shortest beginning of `key` that the trie has stands for. */
static bool transform(const struct charsmap *m, struct str key, struct str *out)
{
    size_t node = 0;
    uint32_t unit = u32_at(m->unit);
    node ^= (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
    for (size_t i = 0; i < key.n && key.p[i] != 0; i++) {
        node ^= (uint8_t)key.p[i];
        if (node >= m->n_units) return false;
        unit = u32_at(m->unit + 4 * node);
        if ((unit & (1u << 31 | 0xFF)) != (uint8_t)key.p[i]) return false;
        node ^= (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
        if (!(unit >> 8 & 1)) continue;
        if (node >= m->n_units) return false;
        size_t at = u32_at(m->unit + 4 * node) & 0x7FFFFFFF;
        if (at >= m->text.n) return false;
        const char *p = m->text.p + at, *end = memchr(p, 0, m->text.n - at);
        *out = (struct str){p, end ? (size_t)(end - p) : m->text.n - at};
        return str_utf8_whole(out->p, out->n);
    }
    return false;
}

struct writer { /* counts what it writes; out may be NULL */
    char *out;
    size_t n;
};

static void emit(struct writer *w, struct str s)
{
    if (w->out) memcpy(w->out + w->n, s.p, s.n);
    w->n += s.n;
}

static void apply(const struct charsmap *m, struct str text, struct writer *w)
{
    while (text.n > 0) {
        bool plain = (uint8_t)text.p[0] < 0x80 && (text.n == 1 || (uint8_t)text.p[1] < 0x80) &&
                     text.p[0] != '\r'; /* two of ASCII are one cluster only if CR and LF */
        struct str cluster = {text.p, plain ? 1 : chars_grapheme(text)}, to;
        text = (struct str){text.p + cluster.n, text.n - cluster.n};
        if (cluster.n <= CLUSTER_MOST && transform(m, cluster, &to)) {
            emit(w, to);
            continue;
        }
        while (cluster.n > 0) {
            uint32_t cp;
            size_t n = (size_t)str_utf8(cluster.p, cluster.n, &cp);
            struct str one = {cluster.p, n};
            emit(w, transform(m, one, &to) ? to : one);
            cluster = (struct str){cluster.p + n, cluster.n - n};
        }
    }
}

int charsmap_apply(const struct charsmap *m, struct arena *a, struct str text, struct str *out,
                   struct err *e)
{
    struct writer w = {0};
    apply(m, text, &w);
    char *p = ARENA_NEW(a, char, w.n + 1, e);
    if (!p) return -1;
    w = (struct writer){.out = p};
    apply(m, text, &w);
    *out = (struct str){p, w.n};
    return 0;
}
