/* Vocabulary files, and decoding with them. The first two bytes are the model's count of tokens, 0
 * standing for the count of lines; the rest is the file. */
#include "text/bpe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const struct bpe *b, struct arena *a, struct err *e)
{
    char memory[300];
    struct strbuf text;
    strbuf_init(&text, memory, sizeof(memory));
    int n = bpe_count(b);
    int *id = ARENA_NEW(a, int, (size_t)n, e);
    if (id == NULL) return;
    for (int i = 0; i < n; i++) {
        struct str s = bpe_bytes(b, i);
        int found = bpe_find(b, s.p, s.n);
        assert(found >= 0 && found <= i); /* the first of those spelled alike */
        id[i] = n - 1 - i;
    }
    bpe_text(b, id, (size_t)n, n, &text);
    assert(str_utf8_whole(text.p, text.n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) return 0;
    struct str file = {(const char *)data + 2, size - 2};
    int64_t n_vocab = data[0] | data[1] << 8;
    if (n_vocab == 0) {
        for (struct str rest = file, line; str_line(&rest, &line);) n_vocab++;
    }
    struct arena *a;
    struct bpe *b;
    struct err e = {0};
    if (arena_open("fuzz", 64 * size + (1 << 20), &a, &e) != 0) return 0;
    if (bpe_open(a, file, n_vocab, &b, &e) == 0) {
        assert(bpe_count(b) == n_vocab);
        use(b, a, &e);
    } else {
        assert(e.code == E_MODEL);
    }
    arena_close(&a);
    return 0;
}
