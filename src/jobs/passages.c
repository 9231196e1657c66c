#include "jobs/passages.h"
#include <string.h>

#define COUNTED ((size_t)64 << 10) /* bytes tokenized at a time to count them */

static int add(struct arena *a, struct passages *l, struct str text, int32_t document,
               struct err *e)
{
    if (l->n == l->cap) {
        size_t cap = MAX(2 * l->cap, (size_t)256);
        struct str *more = ARENA_NEW(a, struct str, cap, e);
        int32_t *owner = ARENA_NEW(a, int32_t, cap, e);
        if (!more || !owner) return -1;
        if (l->n) memcpy(more, l->text, l->n * sizeof *more);
        if (l->n) memcpy(owner, l->document, l->n * sizeof *owner);
        l->text = more;
        l->document = owner;
        l->cap = cap;
    }
    l->text[l->n] = str_trim(text);
    l->document[l->n++] = document;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Bytes of the first sentence: up to a line's end, to . ! or ? before a blank, or to one of the
 * full stops that need no blank. */
static size_t sentence(struct str s)
{
    static const char *const stops[] = {"\xE3\x80\x82", "\xEF\xBC\x81", "\xEF\xBC\x9F"};
    for (size_t i = 0; i < s.n; i++) {
        bool last = i + 1 == s.n;
        if (s.p[i] == '\n') return i + 1;
        if (strchr(".!?", s.p[i]) && s.p[i] && (last || is_blank(s.p[i + 1]))) return i + 1;
        for (size_t k = 0; k < COUNT(stops) && s.n - i >= 3; k++) {
            if (memcmp(s.p + i, stops[k], 3) == 0) return i + 3;
        }
    }
    return s.n;
}

static size_t word(struct str s)
{
    size_t i = 0;
    while (i < s.n && is_blank(s.p[i])) i++;
    while (i < s.n && !is_blank(s.p[i])) i++;
    return i;
}

struct cutting {
    struct arena *a;
    struct sentences *s;
    struct passages *out;
    int32_t document;
    int64_t room; /* tokens of a passage, special ones not counted */
    size_t found; /* passages so far */
    struct err *e;
};

static int put(struct cutting *c, struct str text)
{
    if (str_trim(text).n == 0) return 0;
    c->found++;
    return add(c->a, c->out, text, c->document, c->e);
}

/* In pieces, so that a long text needs no more memory than its tokens do. */
static int64_t tokens_of(struct cutting *c, struct str text)
{
    int64_t all = 0;
    for (size_t at = 0; at < text.n;) {
        struct str rest = {text.p + at, text.n - at};
        struct str piece = tokens_head(c->s->tokens, rest, COUNTED);
        int64_t n = sentences_count(c->s, piece, c->e);
        if (n < 0) return -1;
        all += n - (int64_t)tokens_frame(c->s->tokens);
        at += piece.n;
    }
    return all;
}

/* As many bytes, whole characters, at least one. */
static struct str beginning(struct str s, size_t n)
{
    if (n >= s.n) return s;
    while (n > 0 && ((uint8_t)s.p[n] & 0xC0) == 0x80) n--;
    for (n = MAX(n, (size_t)1); n < s.n && ((uint8_t)s.p[n] & 0xC0) == 0x80;) n++;
    return (struct str){s.p, n};
}

/* A word with more tokens than a passage has, between characters. What is tried first is as long as
 * a passage of this word is on average, so all that is tried is a few times the word, wherever its
 * tokens lie. */
static int cut_word(struct cutting *c, struct str word, int64_t tokens)
{
    size_t usual = (size_t)((double)word.n / (double)tokens * (double)c->room);
    for (size_t at = 0; at < word.n;) {
        struct str rest = {word.p + at, word.n - at}, piece = beginning(rest, usual), half;
        int64_t n = tokens_of(c, piece);
        for (; n > c->room; piece = half, n = tokens_of(c, piece)) {
            half = beginning(piece, piece.n / 2);
            if (half.n == piece.n) break; /* one character */
        }
        if (n < 0) return -1;
        TRY(put(c, piece));
        at += piece.n;
    }
    return 0;
}

/* A sentence with more tokens than a passage has, between its words. */
static int cut_words(struct cutting *c, struct str text)
{
    size_t from = 0, at = 0;
    int64_t have = 0;
    while (at < text.n) {
        struct str one = {text.p + at, word((struct str){text.p + at, text.n - at})};
        int64_t n = tokens_of(c, one);
        if (n < 0) return -1;
        if (have > 0 && have + n > c->room) {
            TRY(put(c, (struct str){text.p + from, at - from}));
            from = at;
            have = 0;
        }
        have += n;
        at += one.n;
        if (n <= c->room) continue;
        TRY(cut_word(c, one, n));
        from = at;
        have = 0;
    }
    return put(c, (struct str){text.p + from, at - from});
}

static int cut_sentences(struct cutting *c, struct str text)
{
    size_t from = 0, last = 0; /* of the passage; of its last sentence */
    int64_t have = 0, last_n = 0;
    for (size_t at = 0, n; at < text.n; at += n) {
        n = sentence((struct str){text.p + at, text.n - at});
        struct str one = {text.p + at, n};
        int64_t tokens = tokens_of(c, one);
        if (tokens < 0) return -1;
        if (have > 0 && have + tokens > c->room) {
            TRY(put(c, (struct str){text.p + from, at - from}));
            bool again = tokens <= c->room && last_n <= c->room / 4 && last_n + tokens <= c->room;
            from = again && last > from ? last : at;
            have = from == last && from < at ? last_n : 0;
        }
        if (tokens > c->room) {
            TRY(cut_words(c, one));
            from = at + n;
            have = 0;
        } else {
            have += tokens;
        }
        last = at;
        last_n = tokens;
    }
    return put(c, (struct str){text.p + from, text.n - from});
}

int passages_cut(struct arena *a, struct sentences *s, struct str text, int32_t document,
                 int64_t max_tokens, struct passages *out, struct err *e)
{
    struct cutting c = {.a = a, .s = s, .out = out, .document = document, .e = e};
    c.room = MAX(max_tokens - (int64_t)tokens_frame(s->tokens), 1);
    TRY(cut_sentences(&c, text));
    return c.found ? 0 : add(a, out, text, document, e);
}
