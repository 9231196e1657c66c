/* Encoding, in the steps of Hugging Face's tokenizers:
 *
 *     text -- added tokens cut out -- normalised -- added tokens again -- split -- model -- framed
 *
 * Held by tests/golden/tokens_*.txt. */
#include "text/tokens_pipe.h"
#include <string.h>

#define METASPACE "\xE2\x96\x81" /* U+2581 */

int tokens_open(struct arena *a, struct str json, struct str vocab, bool lower, struct tokens **out,
                struct err *e)
{
    struct tokens *t = ARENA_NEW(a, struct tokens, 1, e);
    if (!t) return -1;
    TRY(chars_ready(e));
    if (json.n == 0) {
        if (vocab.n == 0)
            return err_set(e, E_MODEL, "the model has neither tokenizer.json nor vocab.txt");
        TRY(tokens_read_lines(a, vocab, lower, t, e));
        *out = t;
        return 0;
    }
    struct json_doc *doc = NULL;
    int rc = json_open(a, json.p, json.n, &doc, e);
    if (rc == 0) rc = tokens_read(a, json_root(doc), json, t, e);
    json_close(&doc);
    if (rc) {
        if (e->code == E_INPUT) e->code = E_MODEL; /* not an input of the user's */
        return err_note(e, "tokenizer.json");
    }
    *out = t;
    return 0;
}

int64_t tokens_most(const struct tokens *t)
{
    return t->most;
}

size_t tokens_frame(const struct tokens *t)
{
    return t->n_before + t->n_after;
}

const char *tokens_kind(const struct tokens *t)
{
    static const char *const names[] = {"WordPiece", "Unigram", "BPE"};
    return names[t->model];
}

struct encoding { /* of one text */
    const struct tokens *t;
    struct arena *a;
    struct tokens_list *list;
    struct err *e;
    bool literal;
};

static struct str cut(struct str s, size_t from, size_t to)
{
    return (struct str){s.p + from, to - from};
}

static uint32_t char_at(struct str s, size_t at, size_t *n)
{
    uint32_t cp = 0;
    uint8_t c = (uint8_t)s.p[at];
    if (c < 0x80) {
        *n = 1;
        return c;
    }
    *n = (size_t)str_utf8(s.p + at, s.n - at, &cp);
    return cp;
}

/* ---- normalising: each step takes a text and gives one in the arena ---- */

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((uint8_t)s.p[i] >= 0x80) return false;
    }
    return true;
}

static char *room_for(struct encoding *c, size_t n)
{
    return ARENA_NEW(c->a, char, n + 1, c->e);
}

static int bert_clean(struct encoding *c, const struct tokens_step *s, struct str *text)
{
    char *out = room_for(c, 3 * text->n); /* an ideograph of 3 or 4 bytes gets two spaces */
    size_t n = 0, len;
    if (!out) return -1;
    for (size_t i = 0; i < text->n; i += len) {
        uint32_t cp = char_at(*text, i, &len);
        if (s->clean && (cp < ' ' || cp > '~')) {
            if (chars_is_dropped(cp)) continue;
            if (chars_is_space(cp)) {
                out[n++] = ' ';
                continue;
            }
        }
        bool alone = s->ideographs && cp >= 0x3400 && chars_is_ideograph(cp);
        if (alone) out[n++] = ' ';
        memcpy(out + n, text->p + i, len);
        n += len;
        if (alone) out[n++] = ' ';
    }
    *text = (struct str){out, n};
    return 0;
}

static int drop_marks(struct encoding *c, struct str *text)
{
    char *out = room_for(c, text->n);
    size_t n = 0, len;
    if (!out) return -1;
    for (size_t i = 0; i < text->n; i += len) {
        if (chars_is_mark(char_at(*text, i, &len))) continue;
        memcpy(out + n, text->p + i, len);
        n += len;
    }
    *text = (struct str){out, n};
    return 0;
}

static int lower_case(struct encoding *c, struct str *text)
{
    char *out = room_for(c, 2 * text->n); /* U+0130 grows by half, U+023A and others too */
    size_t n = 0, len;
    if (!out) return -1;
    for (size_t i = 0; i < text->n; i += len) {
        uint32_t lower[2], cp = char_at(*text, i, &len);
        if (cp < 0x80) {
            out[n++] = (char)(cp >= 'A' && cp <= 'Z' ? cp + 32 : cp);
            continue;
        }
        int count = chars_lower(cp, lower);
        for (int k = 0; k < count; k++) n += (size_t)str_utf8_put(lower[k], out + n);
    }
    *text = (struct str){out, n};
    return 0;
}

static int bert_normal(struct encoding *c, const struct tokens_step *s, struct str *text)
{
    bool ascii = is_ascii(*text);
    if (s->clean || (s->ideographs && !ascii)) TRY(bert_clean(c, s, text));
    if (s->accents && !ascii) {
        TRY(chars_form(c->a, *text, CHARS_NFD, text, c->e));
        TRY(drop_marks(c, text));
    }
    return s->lower ? lower_case(c, text) : 0;
}

/* Bytes of the pattern at `at`, 0 if it is not there. An empty pattern: two or more spaces. */
static size_t pattern_at(const struct tokens_step *s, struct str text, size_t at)
{
    size_t n = s->pattern.n;
    if (n) return text.n - at >= n && memcmp(text.p + at, s->pattern.p, n) == 0 ? n : 0;
    while (at + n < text.n && text.p[at + n] == ' ') n++;
    return n >= 2 ? n : 0;
}

static int replace(struct encoding *c, const struct tokens_step *s, struct str *text)
{
    size_t found = 0, n = 0, len;
    for (size_t i = 0; i < text->n; i += len ? len : 1)
        found += (len = pattern_at(s, *text, i)) > 0;
    char *out = room_for(c, text->n + found * s->content.n);
    if (!out) return -1;
    for (size_t i = 0; i < text->n; i += len ? len : 1) {
        len = pattern_at(s, *text, i);
        if (!len) {
            out[n++] = text->p[i];
            continue;
        }
        memcpy(out + n, s->content.p, s->content.n);
        n += s->content.n;
    }
    *text = (struct str){out, n};
    return 0;
}

static size_t spaces_before(struct str text, size_t at)
{
    while (at > 0) {
        size_t from = at - 1, n;
        while (from > 0 && ((uint8_t)text.p[from] & 0xC0) == 0x80) from--;
        if (!chars_is_space(char_at(text, from, &n))) break;
        at = from;
    }
    return at;
}

static size_t spaces_after(struct str text, size_t at)
{
    size_t n;
    while (at < text.n && chars_is_space(char_at(text, at, &n))) at += n;
    return at;
}

static int normalise(struct encoding *c, struct str *text)
{
    for (size_t i = 0; i < c->t->n_steps; i++) {
        const struct tokens_step *s = &c->t->step[i];
        switch (s->kind) {
        case NORMAL_BERT:
            TRY(bert_normal(c, s, text));
            break;
        case NORMAL_CHARSMAP:
            TRY(charsmap_apply(s->charsmap, c->a, *text, text, c->e));
            break;
        case NORMAL_FORM:
            if (!is_ascii(*text)) TRY(chars_form(c->a, *text, s->form, text, c->e));
            break;
        case NORMAL_LOWER:
            TRY(lower_case(c, text));
            break;
        case NORMAL_ACCENTS:
            TRY(drop_marks(c, text));
            break;
        case NORMAL_REPLACE:
            TRY(replace(c, s, text));
            break;
        case NORMAL_STRIP:
            if (s->right) text->n = spaces_before(*text, text->n);
            if (s->left) *text = cut(*text, spaces_after(*text, 0), text->n);
            break;
        }
    }
    return 0;
}

/* ---- splitting and the model ---- */

static int add_bytes(struct encoding *c, struct str text, bool first)
{
    const struct tokens *t = c->t;
    uint32_t space = t->prepend == PREPEND_ALWAYS || (first && t->prepend == PREPEND_FIRST);
    if (space && text.p[0] != ' ') {
        char *out = room_for(c, text.n + 1);
        if (!out) return -1;
        out[0] = ' ';
        memcpy(out + 1, text.p, text.n);
        text = (struct str){out, text.n + 1};
    }
    int *id = ARENA_NEW(c->a, int, text.n, c->e);
    if (!id) return -1;
    int64_t n = bpe_encode(t->bpe, c->a, text.p, text.n, id, text.n, c->e);
    for (int64_t i = 0; i < n; i++) tokens_list_add(c->list, id[i]);
    return n < 0 ? -1 : 0;
}

static int add_piece(struct encoding *c, struct str piece, bool first)
{
    if (piece.n == 0) return 0;
    switch (c->t->model) {
    case MODEL_WORDPIECE:
        wordpiece_add(&c->t->wordpiece, piece, c->list);
        return 0;
    case MODEL_UNIGRAM:
        return unigram_add(c->t->unigram, c->a, piece, c->list, c->e);
    case MODEL_BPE:
        return add_bytes(c, piece, first);
    }
    return 0;
}

/* Spaces become U+2581, one is put in front, and every one begins a piece. */
static int add_metaspace(struct encoding *c, struct str text, bool first)
{
    bool prepend = c->t->prepend == PREPEND_ALWAYS || (c->t->prepend == PREPEND_FIRST && first);
    char *out = room_for(c, 3 * text.n + 3);
    size_t n = 0, from = 0;
    if (!out || text.n == 0) return out ? 0 : -1;
    bool there = text.p[0] == ' ' || (text.n >= 3 && memcmp(text.p, METASPACE, 3) == 0);
    if (prepend && !there) n = 3;
    memcpy(out, METASPACE, n);
    for (size_t i = 0; i < text.n; i++) {
        bool space = text.p[i] == ' ';
        memcpy(out + n, space ? METASPACE : text.p + i, space ? 3 : 1);
        n += space ? 3 : 1;
    }
    for (size_t i = 1; i <= n; i++) {
        if (i < n && (n - i < 3 || memcmp(out + i, METASPACE, 3) != 0)) continue;
        TRY(add_piece(c, (struct str){out + from, i - from}, first));
        from = i;
    }
    return 0;
}

/* Normalised text without added tokens. first: it begins the whole text. */
static int add_plain(struct encoding *c, struct str text, bool first)
{
    const struct tokens *t = c->t;
    if (!t->split_bert && !t->split_spaces)
        return t->metaspace ? add_metaspace(c, text, first) : add_piece(c, text, first);
    size_t from = 0, len = 1; /* behind the end stands a space */
    for (size_t i = 0; i <= text.n; i += len) {
        uint32_t cp = i < text.n ? char_at(text, i, &len) : ' ';
        bool space = cp <= ' ' || cp > '~' ? chars_is_space(cp) : false;
        bool sign = !space && t->split_bert && chars_is_sign(cp);
        if (!space && !sign) continue;
        struct str word = cut(text, from, i);
        if (word.n)
            TRY(t->metaspace ? add_metaspace(c, word, first && from == 0)
                             : add_piece(c, word, first && from == 0));
        if (sign) TRY(add_piece(c, cut(text, i, i + len), first && i == 0));
        from = i + len;
    }
    return 0;
}

/* ---- added tokens ---- */

/* A letter, a digit or the like, as the regular expression \w has it, for single_word. */
static bool is_word(uint32_t cp)
{
    if (cp < 0x80) return (cp | 32) - 'a' < 26 || cp - '0' < 10 || cp == '_';
    return !chars_is_space(cp) && !chars_is_sign(cp) && !chars_is_dropped(cp);
}

static bool stands_alone(struct str text, size_t from, size_t to)
{
    size_t n, before = from;
    while (before > 0 && ((uint8_t)text.p[--before] & 0xC0) == 0x80) continue;
    if (from > 0 && is_word(char_at(text, before, &n))) return false;
    return to == text.n || !is_word(char_at(text, to, &n));
}

/* The longest added token at `at`, or NULL. */
static const struct tokens_added *added_at(const struct encoding *c, struct str text, size_t at,
                                           bool normalized)
{
    const struct tokens_added *best = NULL;
    if (!c->t->first_byte[normalized][(uint8_t)text.p[at]]) return NULL;
    for (size_t i = 0; i < c->t->n_added; i++) {
        const struct tokens_added *x = &c->t->added[i];
        if (x->normalized != normalized || x->content.n > text.n - at) continue;
        if (memcmp(x->content.p, text.p + at, x->content.n) != 0) continue;
        if (!best || x->content.n > best->content.n) best = x;
    }
    return best;
}

/* Cuts text at its added tokens; what lies between goes to `plain`. first: as in add_plain. */
static int cut_added(struct encoding *c, struct str text, bool normalized, bool first,
                     int (*plain)(struct encoding *, struct str, bool))
{
    size_t from = 0;
    for (size_t i = 0; i < text.n;) {
        const struct tokens_added *x = added_at(c, text, i, normalized);
        if (!x) {
            i++;
            continue;
        }
        size_t start = i, stop = i += x->content.n;
        if (c->literal && x->special) continue;
        if (x->single_word && !stands_alone(text, start, stop)) continue;
        if (x->lstrip) start = MAX(from, spaces_before(text, start));
        if (x->rstrip) stop = spaces_after(text, stop);
        if (start > from) TRY(plain(c, cut(text, from, start), first && from == 0));
        tokens_list_add(c->list, x->id);
        from = stop;
        i = MAX(i, stop);
    }
    return from < text.n ? plain(c, cut(text, from, text.n), first && from == 0) : 0;
}

static int add_raw(struct encoding *c, struct str text, bool first)
{
    struct arena_mark mark = arena_here(c->a);
    TRY(normalise(c, &text));
    int rc = cut_added(c, text, true, first, add_plain);
    arena_rewind(c->a, mark);
    return rc;
}

int64_t tokens_encode(const struct tokens *t, struct arena *scratch, struct str text, bool literal,
                      struct tokens_list *list, struct err *e)
{
    struct encoding c = {.t = t, .a = scratch, .list = list, .e = e, .literal = literal};
    size_t cap = list->cap;
    assert(list->n == 0 && cap > tokens_frame(t));
    if (text.n > TOKENS_BYTES_MAX)
        return err_set(e, E_INPUT, "a text of %zu bytes; at most %u can be tokenized", text.n,
                       TOKENS_BYTES_MAX);
    if (!str_utf8_whole(text.p, text.n)) return err_set(e, E_INPUT, "the text is not UTF-8");
    for (size_t i = 0; i < t->n_before; i++) tokens_list_add(list, t->before[i]);
    list->cap -= t->n_after;
    struct arena_mark mark = arena_here(scratch);
    int rc = text.n ? cut_added(&c, text, false, true, add_raw) : 0;
    arena_rewind(scratch, mark);
    int64_t all = (int64_t)(list->n + t->n_after);
    list->n = MIN(list->n, list->cap);
    list->cap = cap;
    for (size_t i = 0; i < t->n_after; i++) tokens_list_add(list, t->after[i]);
    return rc ? -1 : all;
}

static bool is_letter(char c)
{
    return (uint8_t)((c | 32) - 'a') < 26;
}

static bool is_seam(struct str s, size_t at)
{
    return s.p[at] == ' ' && is_letter(s.p[at - 1]) && is_letter(s.p[at + 1]);
}

struct str tokens_head(const struct tokens *t, struct str text, size_t most)
{
    bool words = t->split_bert || t->split_spaces || t->metaspace || t->model == MODEL_BPE;
    if (text.n <= most || !words) return text;
    for (size_t i = most; i > most / 2 && i > 1; i--) {
        if (is_seam(text, i - 1)) return (struct str){text.p, i - 1};
    }
    for (size_t i = MAX(most, (size_t)1); i + 1 < text.n; i++) {
        if (is_seam(text, i)) return (struct str){text.p, i};
    }
    return text;
}
