/* Any bytes as tokenizer.json and as vocab.txt: what opens encodes texts to ids that are in range,
 * cut or whole. */
#include "text/tokens.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

static void encode(const struct tokens *t, struct arena *scratch, struct str text)
{
    int32_t id[64];
    struct err e;
    for (size_t cap = 16; cap <= COUNT(id); cap *= 4) {
        struct tokens_list list = {id, cap, 0};
        int64_t all = tokens_encode(t, scratch, text, cap == 16, &list, &e);
        if (all < 0) {
            require(e.code == E_MODEL || e.code == E_INPUT);
            continue;
        }
        require(list.n <= cap && (size_t)all >= list.n);
        for (size_t i = 0; i < list.n; i++) require(id[i] >= 0 && id[i] < tokens_most(t));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"", " hello  World's [SEP]caf\xc3\xa9 ",
                                        "\xe4\xb8\xad a1\xe2\x96\x81"};
    struct str input = {size ? (const char *)data : "", size}, none = {"", 0};
    for (int way = 0; way < 2; way++) {
        struct arena *a, *scratch;
        struct tokens *t;
        struct err e;
        require(arena_open("tokens", 0, &a, &e) == 0 &&
                arena_open("scratch", 0, &scratch, &e) == 0);
        int rc = tokens_open(a, way ? none : input, way ? input : none, true, &t, &e);
        require(rc == 0 || e.code == E_MODEL);
        for (size_t i = 0; rc == 0 && i < COUNT(texts); i++) encode(t, scratch, str_of(texts[i]));
        if (rc == 0 && str_utf8_whole(input.p, MIN(size, (size_t)200)))
            encode(t, scratch, (struct str){input.p, MIN(size, (size_t)200)});
        arena_close(&scratch);
        arena_close(&a);
    }
    return 0;
}
