/* Pieces of text -> numbers: the vocabulary of a tokenizer. */
#ifndef TEXT_VOCAB_H
#define TEXT_VOCAB_H

#include "base/arena.h"
#include "base/str.h"

#define VOCAB_MOST 4000000 /* entries; the largest known has 256,000 */

struct vocab_entry {
    struct str key;
    uint32_t hash;
    int32_t id; /* -1: the place is free */
};

struct vocab {
    struct vocab_entry *slot; /* [slots], a power of two over 2 n */
    uint32_t slots, n, most;
    size_t longest; /* bytes of a key */
};

/* vocab_open: room for n keys, in a. Keys are borrowed. Errors: E_NOMEM; E_MODEL if n is absurd. */
int vocab_open(struct arena *a, size_t n, struct vocab *v, struct err *e);
/* vocab_put: of two alike the last counts. */
void vocab_put(struct vocab *v, struct str key, int32_t id);
/* vocab_find: -1 if there is none. */
int32_t vocab_find(const struct vocab *v, struct str key);

/* The hash of a key is made byte by byte, so that those of all beginnings of a word cost one walk:
 * h = VOCAB_HASH; h = vocab_hash(h, byte) ..; vocab_find_hashed(v, h, key). */
#define VOCAB_HASH 0xCBF29CE484222325u /* FNV-1a */
static inline uint64_t vocab_hash(uint64_t h, char byte)
{
    return (h ^ (uint8_t)byte) * 0x100000001B3u;
}
int32_t vocab_find_hashed(const struct vocab *v, uint64_t h, struct str key);

#endif
