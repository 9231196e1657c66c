#include "text/vocab.h"
#include <string.h>

int vocab_open(struct arena *a, size_t n, struct vocab *v, struct err *e)
{
    if (n > VOCAB_MOST)
        return err_set(e, E_MODEL, "the vocabulary has %zu entries, at most %d can be right", n,
                       VOCAB_MOST);
    *v = (struct vocab){.slots = 4, .most = (uint32_t)n};
    while (v->slots < 2 * n) v->slots *= 2;
    v->slot = ARENA_NEW(a, struct vocab_entry, v->slots, e);
    if (!v->slot) return -1;
    for (uint32_t i = 0; i < v->slots; i++) v->slot[i].id = -1;
    return 0;
}

static uint32_t fold(uint64_t h)
{
    return (uint32_t)(h ^ h >> 32);
}

static struct vocab_entry *place(const struct vocab *v, uint32_t hash, struct str key)
{
    uint32_t i = (hash * 0x9E3779B1u >> 7) & (v->slots - 1);
    for (;; i = (i + 1) & (v->slots - 1)) {
        struct vocab_entry *at = &v->slot[i];
        if (at->id < 0) return at;
        if (at->hash == hash && at->key.n == key.n && memcmp(at->key.p, key.p, key.n) == 0)
            return at;
    }
}

static uint32_t hash_of(struct str key)
{
    uint64_t h = VOCAB_HASH;
    for (size_t i = 0; i < key.n; i++) h = vocab_hash(h, key.p[i]);
    return fold(h);
}

void vocab_put(struct vocab *v, struct str key, int32_t id)
{
    uint32_t hash = hash_of(key);
    struct vocab_entry *at = place(v, hash, key);
    assert(id >= 0);
    if (at->id < 0) {
        assert(v->n < v->most);
        v->n++;
    }
    *at = (struct vocab_entry){key, hash, id};
    v->longest = MAX(v->longest, key.n);
}

int32_t vocab_find(const struct vocab *v, struct str key)
{
    return place(v, hash_of(key), key)->id;
}

int32_t vocab_find_hashed(const struct vocab *v, uint64_t h, struct str key)
{
    return place(v, fold(h), key)->id;
}
