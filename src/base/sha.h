/* SHA-256 (FIPS 180-4) of bytes in memory. Of files that are fetched, lode-pull.so takes it through
 * OpenSSL. */
#ifndef BASE_SHA_H
#define BASE_SHA_H

#include "base/base.h"

#define SHA_BYTES 32

struct sha {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64]; /* the bytes % 64 last ones */
};

void sha_begin(struct sha *s);
void sha_add(struct sha *s, const void *data, size_t n);
void sha_end(struct sha *s, uint8_t out[SHA_BYTES]);

#endif
