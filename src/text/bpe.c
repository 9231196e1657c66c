/* Byte-level BPE (GPT-2's, also Whisper's): token ids <-> bytes.
 *
 * A vocabulary file spells every byte as one visible character ("Ġthe" is " the"). Here a token is
 * its bytes from the moment it is read. Three tables hold everything:
 *     at[id] .. at[id + 1]   the bytes of a token, inside one block
 *     slot                   hash of bytes -> id
 *     merge, merge_slot      rank -> (left, right, made), hash of (left, right) -> rank
 *
 * Encoding: the text is cut into words (letters, digits, other signs, white space, each with at
 * most one space before it), a word starts as its bytes, and the adjacent pair of lowest rank is
 * merged until no pair has a rank. A heap of (rank, position) keeps that n log n for words of any
 * length.
 *
 * Follows: openai/gpt-2 encoder.py and openai/whisper tokenizer.py; agrees with Hugging Face
 * tokenizers 0.23.3 (held by tests/golden/bpe_tiny_en.txt). */
#include "text/bpe.h"

#include "base/json.h"
#include <string.h>

#if WITH_UTF8PROC
#include <utf8proc.h>
#endif

#define BYTES_MAX (64u << 20) /* of a vocabulary or tokenizer file; the largest known has 4 MiB */
#define NO_RANK   UINT32_MAX

struct merge {
    int left, right, made; /* tokens */
};

struct bpe {
    int n;              /* tokens */
    const char *bytes;  /* of all tokens, one after the other */
    const uint32_t *at; /* [n + 1] */
    uint32_t *slot;     /* [slots] id + 1, 0 is free; slots is a power of two over 2 n */
    uint32_t slots;
    struct merge *merge; /* [n_merges] by rank; NULL before bpe_merges */
    uint32_t n_merges;
    uint32_t *merge_slot; /* [merge_slots] rank + 1, 0 is free */
    uint32_t merge_slots;
    int byte_token[256]; /* the token of a single byte */
};

/* ------------------------------------------------------------------ spelling and lookup -- */

/* visible_byte: the byte a character of a vocabulary file stands for, or -1. Printable bytes of
 * Latin-1 stand for themselves, the 68 others are 256, 257, ... in their order. */
static int visible_byte(uint32_t cp)
{
    if ((cp >= 33 && cp <= 126) || (cp >= 161 && cp <= 172) || (cp >= 174 && cp <= 255)) {
        return (int)cp;
    }
    if (cp >= 256 && cp <= 288) return (int)(cp - 256);       /* 0..32 */
    if (cp >= 289 && cp <= 322) return (int)(cp - 289) + 127; /* 127..160 */
    return cp == 323 ? 173 : -1;
}

/* unspell: the bytes that a spelling stands for. One with a character outside the alphabet is an
 * added token and stands for itself. out has room for s.n bytes. Returns the count, -1 if s is not
 * UTF-8. */
static int64_t unspell(struct str s, char *out)
{
    size_t used = 0;
    bool plain = true;
    for (size_t i = 0; i < s.n;) {
        uint32_t cp;
        int len = str_utf8(s.p + i, s.n - i, &cp);
        if (len == 0) return -1;
        int byte = visible_byte(cp);
        if (byte < 0) plain = false;
        if (plain) out[used++] = (char)byte;
        i += (size_t)len;
    }
    if (plain) return (int64_t)used;
    memcpy(out, s.p, s.n);
    return (int64_t)s.n;
}

static uint32_t hash_mix(uint64_t h)
{
    h ^= h >> 32; /* the end of splitmix64 */
    h *= 0x94D049BB133111EBu;
    return (uint32_t)(h >> 32);
}

static uint32_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)p[i]) * 0x100000001B3u;
    return hash_mix(h);
}

static uint32_t slots_for(uint32_t n)
{
    uint32_t slots = 4;
    while (slots < 2 * n) slots *= 2;
    return slots;
}

/* find_slot: where the token with these bytes is, or the free place where it would be. */
static uint32_t find_slot(const struct bpe *b, const char *p, size_t n)
{
    uint32_t i = hash_bytes(p, n) & (b->slots - 1);
    for (; b->slot[i] != 0; i = (i + 1) & (b->slots - 1)) {
        struct str have = bpe_bytes(b, (int)(b->slot[i] - 1));
        if (have.n == n && (n == 0 || memcmp(have.p, p, n) == 0)) break;
    }
    return i;
}

/* pair_slot: the same for a pair of tokens. */
static uint32_t pair_slot(const struct bpe *b, int left, int right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t i = hash_mix(key * 0x9E3779B97F4A7C15u) & (b->merge_slots - 1);
    for (; b->merge_slot[i] != 0; i = (i + 1) & (b->merge_slots - 1)) {
        const struct merge *m = &b->merge[b->merge_slot[i] - 1];
        if (m->left == left && m->right == right) break;
    }
    return i;
}

static uint32_t pair_rank(const struct bpe *b, int left, int right)
{
    return b->merge_slot[pair_slot(b, left, right)] - 1; /* 0 - 1 is NO_RANK */
}

int bpe_count(const struct bpe *b)
{
    return b->n;
}

struct str bpe_bytes(const struct bpe *b, int token)
{
    if (token < 0 || token >= b->n) return (struct str){NULL, 0};
    return (struct str){b->bytes + b->at[token], b->at[token + 1] - b->at[token]};
}

int bpe_find(const struct bpe *b, const char *bytes, size_t n)
{
    return (int)b->slot[find_slot(b, bytes, n)] - 1;
}

/* ------------------------------------------------------------------- reading the files -- */

/* read_lines: a spelling per line. An empty line is the empty token. */
static int read_lines(struct str text, struct str *spelling, int n, struct err *e)
{
    int count = 0;
    for (struct str line; str_line(&text, &line); count++) {
        if (count < n) spelling[count] = line;
    }
    if (count == n) return 0;
    return err_set(e, E_MODEL, "the vocabulary has %d lines, the model %d tokens", count, n);
}

/* read_array: ["!", "\"", ...]. */
static int read_array(const struct json *list, struct str *spelling, int n, struct err *e)
{
    if (json_count(list) != (size_t)n) {
        return err_set(e, E_MODEL, "the vocabulary has %zu entries, the model %d tokens",
                       json_count(list), n);
    }
    for (int i = 0; i < n; i++) {
        const struct json *entry = json_at(list, (size_t)i);
        if (!json_is_text(entry)) {
            return err_set(e, E_MODEL, "entry %d of the vocabulary is not a text", i + 1);
        }
        spelling[i] = json_text(entry);
    }
    return 0;
}

/* read_object: {"!": 0, "\"": 1, ...} in any order. */
static int read_object(const struct json *map, struct str *spelling, int n, struct err *e)
{
    if (json_count(map) != (size_t)n) {
        return err_set(e, E_MODEL, "the vocabulary has %zu entries, the model %d tokens",
                       json_count(map), n);
    }
    for (int i = 0; i < n; i++) {
        const struct json *value = NULL;
        const char *name = json_name_at(map, (size_t)i, &value);
        int64_t id = json_int(value, -1);
        if (id < 0 || id >= n) {
            return err_set(e, E_MODEL, "entry %d of the vocabulary has no id from 0 to %d", i + 1,
                           n - 1);
        }
        if (spelling[id].p != NULL) {
            return err_set(e, E_MODEL, "entry %d of the vocabulary has the id %d, as another has",
                           i + 1, (int)id);
        }
        spelling[id] = str_of(name);
    }
    return 0;
}

static int read_spellings(const struct json *root, struct str text, struct str *spelling, int n,
                          struct err *e)
{
    if (root == NULL) return read_lines(text, spelling, n, e);
    if (json_is_array(root)) return read_array(root, spelling, n, e);
    return read_object(root, spelling, n, e);
}

/* fill: tokens and their hash from spellings. bytes has room for all of them. */
static int fill(struct bpe *b, const struct str *spelling, char *bytes, uint32_t *at, struct err *e)
{
    b->bytes = bytes;
    b->at = at;
    for (int i = 0; i < b->n; i++) {
        int64_t n = unspell(spelling[i], bytes + at[i]);
        if (n < 0) {
            return err_set(e, E_MODEL, "line %d of the vocabulary is not UTF-8", i + 1);
        }
        at[i + 1] = at[i] + (uint32_t)n;
        uint32_t *slot = &b->slot[find_slot(b, bytes + at[i], (size_t)n)];
        if (*slot == 0) *slot = (uint32_t)i + 1; /* of two spelled alike the first is found */
    }
    return 0;
}

int bpe_open(struct arena *a, struct str vocabulary, int64_t n_vocab, struct bpe **out,
             struct err *e)
{
    if (vocabulary.n > BYTES_MAX) {
        return err_set(e, E_MODEL, "the vocabulary has %zu bytes, more than %u", vocabulary.n,
                       BYTES_MAX);
    }
    if (n_vocab < 1 || n_vocab > (int64_t)vocabulary.n) { /* a token takes a line end at least */
        return err_set(e, E_MODEL, "the vocabulary has %zu bytes, the model %lld tokens",
                       vocabulary.n, (long long)n_vocab);
    }
    struct bpe *b = ARENA_NEW(a, struct bpe, 1, e);
    if (b == NULL) return -1;
    b->n = (int)n_vocab;
    b->slots = slots_for((uint32_t)b->n);
    b->slot = ARENA_NEW(a, uint32_t, b->slots, e);
    uint32_t *at = ARENA_NEW(a, uint32_t, (size_t)b->n + 1, e);
    char *bytes = ARENA_NEW(a, char, vocabulary.n, e);
    if (b->slot == NULL || at == NULL || bytes == NULL) return -1;

    struct arena_mark mark = arena_here(a);
    struct str *spelling = ARENA_NEW(a, struct str, (size_t)b->n, e);
    if (spelling == NULL) return -1;
    struct json_doc *doc = NULL;
    if (vocabulary.p[0] == '[' || vocabulary.p[0] == '{') {
        if (json_open(a, vocabulary.p, vocabulary.n, &doc, e) != 0) {
            e->code = E_MODEL; /* not an input of the user's */
            return err_note(e, "the vocabulary");
        }
    }
    int rc = read_spellings(doc == NULL ? NULL : json_root(doc), vocabulary, spelling, b->n, e);
    if (rc == 0) rc = fill(b, spelling, bytes, at, e);
    json_close(&doc);
    arena_rewind(a, mark);
    if (rc == 0) *out = b;
    return rc;
}

/* token_of_spelling: the token that s (at most cap bytes) spells, -1 if there is none. */
static int token_of_spelling(const struct bpe *b, struct str s, char *scratch, size_t cap)
{
    if (s.n > cap) return -1;
    int64_t n = unspell(s, scratch);
    return n < 0 ? -1 : bpe_find(b, scratch, (size_t)n);
}

/* read_merge: "a b" or ["a", "b"] -> what is joined and what comes of it; false if it is neither or
 * one of the three is no token. scratch has room for cap bytes. */
static bool read_merge(const struct bpe *b, const struct json *entry, char *scratch, size_t cap,
                       struct merge *m)
{
    struct str left = json_text(entry), right = {NULL, 0};
    if (json_is_array(entry) && json_count(entry) == 2) {
        left = json_text(json_at(entry, 0));
        right = json_text(json_at(entry, 1));
    } else if (left.p != NULL) {
        const char *gap = memchr(left.p, ' ', left.n);
        if (gap == NULL) return false;
        right = (struct str){gap + 1, left.n - (size_t)(gap + 1 - left.p)};
        left.n = (size_t)(gap - left.p);
    }
    if (left.n == 0 || right.n == 0) return false;
    m->left = token_of_spelling(b, left, scratch, cap);
    m->right = token_of_spelling(b, right, scratch, cap);
    if (m->left < 0 || m->right < 0) return false;
    struct str l = bpe_bytes(b, m->left), r = bpe_bytes(b, m->right);
    if (l.n + r.n > cap) return false;
    memcpy(scratch, l.p, l.n);
    memcpy(scratch + l.n, r.p, r.n);
    m->made = bpe_find(b, scratch, l.n + r.n);
    return m->made >= 0;
}

/* read_merges: the list "merges" into b->merge and its hash. */
static int read_merges(struct bpe *b, const struct json *list, char *scratch, size_t cap,
                       struct err *e)
{
    for (uint32_t rank = 0; rank < b->n_merges; rank++) {
        struct merge *m = &b->merge[rank];
        if (!read_merge(b, json_at(list, rank), scratch, cap, m)) {
            return err_set(e, E_MODEL,
                           "merge %u of tokenizer.json does not join two tokens of the vocabulary "
                           "to a third",
                           rank + 1);
        }
        b->merge_slot[pair_slot(b, m->left, m->right)] =
            rank + 1; /* of two alike the last counts */
    }
    return 0;
}

/* check_added: a special token that both files have must have one id in both; else the files come
 * from different models. Names that only tokenizer.json has are nothing to us. */
static int check_added(const struct bpe *b, const struct json *added, struct err *e)
{
    for (size_t i = 0; i < json_count(added); i++) {
        const struct json *entry = json_at(added, i);
        struct str content = json_text(json_key(entry, "content"));
        int id = bpe_find(b, content.p, content.n);
        int64_t theirs = json_int(json_key(entry, "id"), -1);
        if (content.n > 0 && id >= 0 && id != theirs) {
            return err_set(e, E_MODEL,
                           "\"%.*s\" is token %lld in tokenizer.json and %d in the vocabulary",
                           (int)MIN(content.n, 60), content.p, (long long)theirs, id);
        }
    }
    return 0;
}

static int find_byte_tokens(struct bpe *b, struct err *e)
{
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        b->byte_token[i] = bpe_find(b, &byte, 1);
        if (b->byte_token[i] < 0) {
            return err_set(e, E_MODEL, "the vocabulary has no token for the byte 0x%02x", i);
        }
    }
    return 0;
}

/* take_merges: bpe_merges once the text is parsed. */
static int take_merges(struct arena *a, struct bpe *b, const struct json *root, size_t cap,
                       struct err *e)
{
    const struct json *list = json_key(json_key(root, "model"), "merges");
    if (!json_is_array(list) || json_count(list) == 0) {
        return err_set(e, E_MODEL, "tokenizer.json has no merges");
    }
    TRY(check_added(b, json_key(root, "added_tokens"), e));
    TRY(find_byte_tokens(b, e));
    b->n_merges = (uint32_t)json_count(list); /* each takes bytes of a text under 64 MiB */
    b->merge_slots = slots_for(b->n_merges);
    b->merge = ARENA_NEW(a, struct merge, b->n_merges, e);
    b->merge_slot = ARENA_NEW(a, uint32_t, b->merge_slots, e);
    if (b->merge == NULL || b->merge_slot == NULL) return -1;
    struct arena_mark mark = arena_here(a);
    char *scratch = ARENA_NEW(a, char, cap, e);
    int rc = scratch == NULL ? -1 : read_merges(b, list, scratch, cap, e);
    arena_rewind(a, mark);
    return rc;
}

int bpe_merges(struct arena *a, struct bpe *b, struct str tokenizer_json, struct err *e)
{
    struct json_doc *doc = NULL;
    if (json_open(a, tokenizer_json.p, tokenizer_json.n, &doc, e) != 0) {
        e->code = E_MODEL;
        return err_note(e, "tokenizer.json");
    }
    int rc = take_merges(a, b, json_root(doc), tokenizer_json.n, e);
    json_close(&doc);
    if (rc != 0) b->merge = NULL;
    return rc;
}

/* -------------------------------------------------------------------------- decoding -- */

struct decoder { /* of UTF-8 that may be broken anywhere */
    struct strbuf *out;
    char have[4];      /* the character being read */
    int n, want;       /* bytes of it so far, and still to come */
    uint8_t low, high; /* what the next byte may be */
};

static void decoder_emit(struct decoder *d, const char *p, size_t n)
{
    if (d->out->n + n >= d->out->cap) d->out->cut = true; /* a character is left out whole */
    if (!d->out->cut) strbuf_add(d->out, p, n);
}

static void decoder_break(struct decoder *d)
{
    decoder_emit(d, "\xEF\xBF\xBD", 3);
    d->want = d->n = 0;
}

/* decoder_first: a byte that begins a character, or cannot. */
static void decoder_first(struct decoder *d, uint8_t byte)
{
    d->have[0] = (char)byte;
    d->n = 1;
    d->low = 0x80;
    d->high = 0xBF;
    if (byte < 0x80) {
        decoder_emit(d, d->have, 1);
    } else if (byte >= 0xC2 && byte <= 0xDF) {
        d->want = 1;
    } else if (byte >= 0xE0 && byte <= 0xEF) {
        d->want = 2;
        if (byte == 0xE0) d->low = 0xA0;  /* shorter forms exist */
        if (byte == 0xED) d->high = 0x9F; /* surrogates */
    } else if (byte >= 0xF0 && byte <= 0xF4) {
        d->want = 3;
        if (byte == 0xF0) d->low = 0x90;
        if (byte == 0xF4) d->high = 0x8F; /* over U+10FFFF */
    } else {
        decoder_break(d);
    }
}

static void decoder_byte(struct decoder *d, uint8_t byte)
{
    if (d->want > 0 && (byte < d->low || byte > d->high)) decoder_break(d);
    if (d->want == 0) {
        decoder_first(d, byte);
        return;
    }
    d->have[d->n++] = (char)byte;
    d->low = 0x80;
    d->high = 0xBF;
    if (--d->want == 0) decoder_emit(d, d->have, (size_t)d->n);
}

void bpe_text(const struct bpe *b, const int *token, size_t n, int end, struct strbuf *out)
{
    struct decoder d = {.out = out};
    for (size_t i = 0; i < n; i++) {
        if (token[i] >= end) continue;
        struct str bytes = bpe_bytes(b, token[i]);
        for (size_t k = 0; k < bytes.n; k++) decoder_byte(&d, (uint8_t)bytes.p[k]);
    }
    if (d.want > 0) decoder_break(&d);
}

/* ---------------------------------------------------------------------- merging a word -- */

struct node {                 /* a token of the word; absorbed ones have token -1 */
    int token, before, after; /* neighbours by index, -1 at the ends */
};

struct merger { /* scratch for one word */
    const struct bpe *b;
    struct arena *a;
    struct arena_mark mark; /* where it begins in a */
    struct node *node;      /* [cap] */
    uint64_t *heap;         /* [2 cap] rank << 32 | position, least first */
    size_t n_heap, cap;
};

static int merger_reserve(struct merger *m, size_t n, struct err *e)
{
    if (n <= m->cap) return 0;
    size_t cap = MAX(n, MAX(2 * m->cap, 64));
    arena_rewind(m->a, m->mark); /* between words nothing in it is alive */
    m->cap = 0;
    m->node = ARENA_NEW(m->a, struct node, cap, e);
    m->heap = ARENA_NEW(m->a, uint64_t, 2 * cap, e);
    if (m->node == NULL || m->heap == NULL) return -1;
    m->cap = cap;
    return 0;
}

static void heap_put(struct merger *m, uint64_t key)
{
    assert(m->n_heap < 2 * m->cap);
    size_t i = m->n_heap++;
    for (; i > 0 && m->heap[(i - 1) / 2] > key; i = (i - 1) / 2) m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = key;
}

static uint64_t heap_take(struct merger *m)
{
    uint64_t least = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->n_heap) break;
        if (child + 1 < m->n_heap && m->heap[child + 1] < m->heap[child]) child++;
        if (m->heap[child] >= last) break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = last;
    return least;
}

/* offer: the pair that begins at node i, if it may be merged. */
static void offer(struct merger *m, int i)
{
    if (i < 0 || m->node[i].after < 0) return;
    uint32_t rank = pair_rank(m->b, m->node[i].token, m->node[m->node[i].after].token);
    if (rank != NO_RANK) heap_put(m, (uint64_t)rank << 32 | (uint32_t)i);
}

/* merge_word: leaves the tokens of the word in the list that begins at node 0. The heap holds pairs
 * that are gone as well; a pair taken from it counts only if it still has that rank. A merge takes
 * one entry out and puts at most two in, so 2 n places are enough. */
static int merge_word(struct merger *m, const char *p, size_t n, struct err *e)
{
    assert(n > 0 && n <= INT32_MAX);
    TRY(merger_reserve(m, n, e));
    m->n_heap = 0;
    for (int i = 0; i < (int)n; i++) {
        m->node[i] = (struct node){m->b->byte_token[(uint8_t)p[i]], i - 1, i + 1};
    }
    m->node[n - 1].after = -1;
    for (int i = 0; i < (int)n; i++) offer(m, i);
    while (m->n_heap > 0) {
        uint64_t key = heap_take(m);
        int at = (int)(uint32_t)key;
        uint32_t rank = (uint32_t)(key >> 32);
        struct node *left = &m->node[at];
        if (left->token < 0 || left->after < 0) continue;
        struct node *right = &m->node[left->after];
        if (pair_rank(m->b, left->token, right->token) != rank) continue;
        left->token = m->b->merge[rank].made;
        left->after = right->after;
        right->token = -1;
        if (left->after >= 0) m->node[left->after].before = at;
        offer(m, left->before);
        offer(m, at);
    }
    return 0;
}

/* learn: the merge that makes `token`, after all merges of the tokens before it. */
static int learn(struct bpe *b, struct merger *m, int token, struct err *e)
{
    struct str bytes = bpe_bytes(b, token);
    if (bytes.n < 2) return 0; /* a byte; large vocabularies have an empty token at their end */
    TRY(merge_word(m, bytes.p, bytes.n, e));
    int left = 0, right = m->node[left].after;
    if (right < 0 || m->node[right].after >= 0)
        return err_set(e, E_MODEL, "token %d of the vocabulary is not made of two before it",
                       token);
    struct merge *made = &b->merge[b->n_merges];
    *made = (struct merge){m->node[left].token, m->node[right].token, token};
    b->merge_slot[pair_slot(b, made->left, made->right)] = ++b->n_merges;
    return 0;
}

int bpe_merges_by_id(struct arena *a, struct bpe *b, int n_ordinary, struct err *e)
{
    assert(n_ordinary >= 0 && n_ordinary <= b->n);
    TRY(find_byte_tokens(b, e));
    b->n_merges = 0;
    b->merge_slots = slots_for((uint32_t)n_ordinary);
    b->merge = ARENA_NEW(a, struct merge, (size_t)n_ordinary, e);
    b->merge_slot = ARENA_NEW(a, uint32_t, b->merge_slots, e);
    int rc = b->merge == NULL || b->merge_slot == NULL ? -1 : 0;
    struct arena_mark mark = arena_here(a);
    struct merger m = {.b = b, .a = a, .mark = mark};
    for (int token = 0; token < n_ordinary && rc == 0; token++) rc = learn(b, &m, token, e);
    arena_rewind(a, mark);
    if (rc != 0) b->merge = NULL;
    return rc;
}

/* ------------------------------------------------------------------- cutting into words -- */

#if WITH_UTF8PROC

enum sign { SIGN_OTHER, SIGN_LETTER, SIGN_DIGIT, SIGN_SPACE };

/* sign_wide: beyond ASCII. White space is Unicode's White_Space, as \s of the original pattern. */
static enum sign sign_wide(uint32_t cp)
{
    if (cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
        cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000) {
        return SIGN_SPACE;
    }
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return SIGN_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return SIGN_DIGIT;
    default:
        return SIGN_OTHER;
    }
}

/* sign_at: what the character at p is, and its length. A byte that begins none is a sign by itself:
 * it is encoded as that byte, so that nothing is lost. */
static enum sign sign_at(const char *p, size_t n, size_t *len)
{
    uint8_t c = (uint8_t)*p;
    *len = 1;
    if ((c | 32) >= 'a' && (c | 32) <= 'z') return SIGN_LETTER;
    if (c >= '0' && c <= '9') return SIGN_DIGIT;
    if (c == ' ' || (c >= 9 && c <= 13)) return SIGN_SPACE;
    if (c < 0x80) return SIGN_OTHER;
    uint32_t cp;
    int wide = str_utf8(p, n, &cp);
    if (wide == 0) return SIGN_OTHER;
    *len = (size_t)wide;
    return sign_wide(cp);
}

/* contraction: bytes of 's 't 're 've 'm 'll 'd at p, else 0. */
static size_t contraction(const char *p, size_t n)
{
    if (n < 2 || p[0] != '\'') return 0;
    if (p[1] == 's' || p[1] == 't' || p[1] == 'm' || p[1] == 'd') return 2;
    if (n < 3) return 0;
    return (p[1] == 'r' && p[2] == 'e') || (p[1] == 'v' && p[2] == 'e') ||
                   (p[1] == 'l' && p[2] == 'l')
               ? 3
               : 0;
}

/* word_at: bytes of the word that p begins with, as the first match of
 *     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * White space before a word leaves its last character to that word (where it is a space, it
 * becomes part of it). */
static size_t word_at(const char *p, size_t n)
{
    size_t len, i = contraction(p, n);
    if (i > 0) return i;
    i = *p == ' ' && n > 1 ? 1 : 0;
    enum sign kind = sign_at(p + i, n - i, &len);
    if (kind != SIGN_SPACE) {
        for (i += len; i < n && sign_at(p + i, n - i, &len) == kind;) i += len;
        return i;
    }
    size_t last = 0;
    for (i = 0; i < n && sign_at(p + i, n - i, &len) == SIGN_SPACE; i += len) last = i;
    return i == n || last == 0 ? i : last;
}

/* encode_words: bpe_encode with its scratch. */
static int64_t encode_words(struct merger *m, const char *text, size_t n, int *token, size_t cap,
                            struct err *e)
{
    size_t count = 0;
    for (size_t i = 0, len; i < n; i += len) {
        len = word_at(text + i, n - i);
        TRY(merge_word(m, text + i, len, e));
        for (int k = 0; k >= 0; k = m->node[k].after) {
            if (count == cap) {
                return err_set(e, E_INPUT, "the text is longer than %zu tokens", cap);
            }
            token[count++] = m->node[k].token;
        }
    }
    return (int64_t)count;
}

int64_t bpe_encode(const struct bpe *b, struct arena *a, const char *text, size_t n, int *token,
                   size_t cap, struct err *e)
{
    assert(b->merge != NULL);
    if (n > BYTES_MAX) {
        return err_set(e, E_INPUT, "a text of %zu bytes cannot be encoded, at most %u", n,
                       BYTES_MAX);
    }
    struct merger m = {.b = b, .a = a, .mark = arena_here(a)};
    int64_t count = encode_words(&m, text, n, token, cap, e);
    arena_rewind(a, m.mark);
    return count;
}

#else

int64_t bpe_encode(const struct bpe *b, struct arena *a, const char *text, size_t n, int *token,
                   size_t cap, struct err *e)
{
    (void)b, (void)a, (void)text, (void)n, (void)token, (void)cap;
    return err_set(e, E_MISSING, "lode was built without libutf8proc, so text cannot be encoded");
}

#endif

/* -------------------------------------------------------------------- what is not speech -- */

/* Signs that no speech has, as openai/whisper tokenizer.py non_speech_tokens lists them. */
static const char SIGNS[] =
    "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 << >> <<< >>> -- --- -( -[ (' (\" "
    "(( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
/* Of these the first token is suppressed even where they take several: it begins nothing but
 * symbols from U+2640 to U+267F. */
static const char MUSIC[] = "♩ ♪ ♫ ♬ ♭ ♮ ♯";

struct id_set { /* ascending */
    int *id;
    size_t n, cap;
};

static int id_set_add(struct id_set *s, int id, struct err *e)
{
    size_t i = s->n;
    while (i > 0 && s->id[i - 1] > id) i--;
    if (i > 0 && s->id[i - 1] == id) return 0;
    if (s->n == s->cap) return err_set(e, E_INPUT, "more than %zu tokens to suppress", s->cap);
    memmove(s->id + i + 1, s->id + i, (s->n - i) * sizeof(*s->id));
    s->id[i] = id;
    s->n++;
    return 0;
}

/* add_words: of each word of the list, bare and after a space, the first token, if it is the only
 * one or any_length. Each is one word to word_at too, so it can be merged without cutting. */
static int add_words(struct merger *m, const char *list, bool any_length, struct id_set *s,
                     struct err *e)
{
    while (*list != '\0') {
        char word[16] = " ";
        size_t n = strcspn(list, " ");
        assert(n + 1 < sizeof(word));
        memcpy(word + 1, list, n);
        list += n + (list[n] == ' ');
        for (size_t bare = 0; bare < 2; bare++) {
            TRY(merge_word(m, word + bare, n + 1 - bare, e));
            if (any_length || m->node[0].after < 0) TRY(id_set_add(s, m->node[0].token, e));
        }
    }
    return 0;
}

int64_t bpe_non_speech(const struct bpe *b, struct arena *a, int *token, size_t cap, struct err *e)
{
    assert(b->merge != NULL);
    struct merger m = {.b = b, .a = a, .mark = arena_here(a)};
    struct id_set s = {.id = token, .cap = cap};
    int rc = add_words(&m, SIGNS, false, &s, e);
    if (rc == 0) rc = add_words(&m, MUSIC, true, &s, e);
    /* Hyphen and quote may stand inside a word, but not begin one. */
    static const char BEGINNINGS[2][2] = {" -", " '"};
    for (size_t i = 0; rc == 0 && i < COUNT(BEGINNINGS); i++) {
        rc = merge_word(&m, BEGINNINGS[i], 2, e);
        if (rc == 0) rc = id_set_add(&s, m.node[0].token, e);
    }
    arena_rewind(a, m.mark);
    return rc == 0 ? (int64_t)s.n : -1;
}
