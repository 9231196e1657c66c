/* tokenizer.json, and encoding with it. The input is the file up to the first NUL byte; what
 * follows is a text to encode. The vocabulary has the 256 bytes and a few longer tokens. */
#include "text/bpe.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char LONGER[] =
    "ab\nabc\nbc\naa\naaaa\nĠa\nĠĠ\nth\nthe\nĠthe\n's\nãģ\n<|endoftext|>\n";
enum { N_LONGER = 13 };

static struct str vocabulary(char *memory, size_t cap)
{
    struct strbuf b;
    strbuf_init(&b, memory, cap);
    for (uint32_t cp = 0; cp < 324; cp++) { /* GPT-2's characters for the bytes, in another order */
        if (cp < 33 || (cp > 126 && cp < 161) || cp == 173) continue;
        char line[5];
        int n = str_utf8_put(cp, line);
        line[n] = '\n';
        strbuf_add(&b, line, (size_t)n + 1);
    }
    strbuf_text(&b, LONGER);
    return (struct str){b.p, b.n};
}

/* use: whatever the merges, the tokens of a text joined are the text. */
static void use(const struct bpe *b, struct arena *a, const char *text, size_t n, struct err *e)
{
    int *id = ARENA_NEW(a, int, n, e);
    if (id == NULL) return;
    int64_t count = bpe_encode(b, a, text, n, id, n, e);
    assert(count >= 0 && (size_t)count <= n);
    size_t at = 0;
    for (int64_t i = 0; i < count; i++) {
        struct str s = bpe_bytes(b, id[i]);
        assert(s.n > 0 && s.n <= n - at && memcmp(s.p, text + at, s.n) == 0);
        at += s.n;
    }
    assert(at == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str all = {(const char *)data, size};
    const char *gap = size > 0 ? memchr(all.p, 0, size) : NULL;
    size_t n = gap != NULL ? (size_t)(gap - all.p) : size;
    struct arena *a;
    struct bpe *b;
    struct err e = {0};
    if (arena_open("fuzz", 256 * size + (1 << 20), &a, &e) != 0) return 0;
    char memory[2048];
    int rc = bpe_open(a, vocabulary(memory, sizeof(memory)), 256 + N_LONGER, &b, &e);
    assert(rc == 0);
    rc = bpe_merges(a, b, (struct str){all.p, n}, &e);
    assert(rc == 0 || e.code == E_MODEL);
    if (rc == 0 && gap != NULL) use(b, a, gap + 1, size - n - 1, &e);
    int id[200];
    if (rc == 0 && bpe_non_speech(b, a, id, COUNT(id), &e) < 0) assert(e.code == E_INPUT);
    arena_close(&a);
    return 0;
}
