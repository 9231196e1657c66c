/* Follows Hugging Face tokenizers, models/wordpiece/mod.rs. Held by tests/golden/tokens_*.txt. */
#include "text/wordpiece.h"
#include "text/tokens.h"
#include <string.h>

#define WORD_MOST 1024 /* bytes of a word that may have pieces: most_chars is at most a quarter */

int wordpiece_open(struct arena *a, const struct str *key, const int32_t *id, size_t n,
                   struct str prefix, struct str unknown, int most_chars, struct wordpiece *w,
                   struct err *e)
{
    size_t rest = 0;
    if (most_chars < 1 || most_chars > WORD_MOST / 4)
        return err_set(e, E_MODEL, "words of %d characters; 1 to %d can be tokenized", most_chars,
                       WORD_MOST / 4);
    w->most_chars = most_chars;
    for (size_t i = 0; i < n; i++)
        rest += prefix.n && key[i].n > prefix.n && memcmp(key[i].p, prefix.p, prefix.n) == 0;
    TRY(vocab_open(a, n, &w->begin, e));
    TRY(vocab_open(a, rest, &w->rest, e));
    for (size_t i = 0; i < n; i++) {
        vocab_put(&w->begin, key[i], id[i]);
        if (prefix.n && key[i].n > prefix.n && memcmp(key[i].p, prefix.p, prefix.n) == 0)
            vocab_put(&w->rest, (struct str){key[i].p + prefix.n, key[i].n - prefix.n}, id[i]);
    }
    w->unknown = vocab_find(&w->begin, unknown);
    if (w->unknown >= 0) return 0;
    return err_set(e, E_MODEL, "the vocabulary has no token \"%.*s\" for what it does not know",
                   (int)MIN(unknown.n, (size_t)60), unknown.p);
}

static bool begins_char(char c)
{
    return ((uint8_t)c & 0xC0) != 0x80;
}

/* The longest piece that p begins with; its bytes in *n, -1 if there is none. */
static int32_t longest(const struct vocab *v, struct str word, size_t *n)
{
    uint64_t hash[WORD_MOST + 1];
    size_t most = MIN(word.n, v->longest);
    hash[0] = VOCAB_HASH;
    for (size_t i = 0; i < most; i++) hash[i + 1] = vocab_hash(hash[i], word.p[i]);
    for (size_t i = most; i > 0; i--) {
        if (i < word.n && !begins_char(word.p[i])) continue;
        int32_t id = vocab_find_hashed(v, hash[i], (struct str){word.p, i});
        *n = i;
        if (id >= 0) return id;
    }
    return -1;
}

void wordpiece_add(const struct wordpiece *w, struct str word, struct tokens_list *list)
{
    size_t chars = 0, before = list->n;
    for (size_t i = 0; i < word.n; i++) chars += begins_char(word.p[i]);
    bool known = chars <= (size_t)w->most_chars;
    const struct vocab *v = &w->begin;
    while (known && word.n > 0) {
        size_t n;
        int32_t id = longest(v, word, &n);
        known = id >= 0;
        if (!known) break;
        tokens_list_add(list, id);
        word = (struct str){word.p + n, word.n - n};
        v = &w->rest;
    }
    if (known) return;
    list->n = before; /* a word is known whole or not at all */
    tokens_list_add(list, w->unknown);
}
