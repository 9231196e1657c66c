/* ggml files of whisper.cpp -> raw tensors, the header as a config, the vocabulary as lines. All
 * integers little endian, nothing aligned, nothing padded:
 *
 *     u32 0x67676d6c, i32 n_vocab, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer,
 *         n_text_ctx, n_text_state, n_text_head, n_text_layer, n_mels, ftype
 *     i32 mels, i32 bins, f32 filter[mels * bins]
 *     i32 tokens, each: u32 length, bytes               ordinary ones; those named <|...|> are not
 *     until the end: i32 rank, i32 length of the name, i32 type, i32 dim[rank] fastest first, name,
 *         payload
 *
 * Names are openai's. The biases of convolutions are stored [d,1] and come out as [d].
 * Source: whisper.cpp models/convert-pt-to-ggml.py (writer), src/whisper.cpp (reader), 1.9.
 * Held by: tests/t_load.c, tests/t_container.c, tests/fuzz/fz_ggml.c. */
#include "load/load_format.h"
#include <stdio.h>

#define MAGIC      0x67676d6cu
#define BINS       201 /* of a transform of 400 samples */
#define TOKENS_MAX (1u << 20)

struct cursor { /* at <= w->map.size always */
    const struct load_weights *w;
    size_t at;
    const char *tensor; /* being read, for messages, or NULL */
};

static int take(struct cursor *c, uint64_t n, const char *what, const uint8_t **out, struct err *e)
{
    size_t left = c->w->map.size - c->at;
    if (n > left)
        return load_bad(c->w, c->at, c->tensor, e, "%s needs %llu bytes, the file ends after %zu",
                        what, (unsigned long long)n, left);
    *out = c->w->map.data + c->at;
    c->at += (size_t)n;
    return 0;
}

/* An i32 from 0 to most. */
static int take_int(struct cursor *c, const char *what, uint32_t most, uint32_t *out, struct err *e)
{
    const uint8_t *p;
    size_t at = c->at;
    TRY(take(c, 4, what, &p, e));
    *out = load_u32(p);
    if (*out > most)
        return load_bad(c->w, at, c->tensor, e, "%s is %d, expected 0 to %u", what, (int32_t)*out,
                        most);
    return 0;
}

/* The header in the words of Hugging Face's config.json, so that one reader serves both. */
static int take_header(struct arena *a, struct cursor *c, struct load_weights *w, struct err *e)
{
    enum { VOCAB, AUDIO_CTX, WIDTH, HEADS, LAYERS, TEXT_CTX, T_WIDTH, T_HEADS, T_LAYERS, MELS };
    static const char *const what[] = {"n_vocab",      "n_audio_ctx",   "n_audio_state",
                                       "n_audio_head", "n_audio_layer", "n_text_ctx",
                                       "n_text_state", "n_text_head",   "n_text_layer",
                                       "n_mels",       "ftype"};
    uint32_t v[COUNT(what)];
    c->at = 4;
    for (size_t i = 0; i < COUNT(what); i++) TRY(take_int(c, what[i], 1 << 20, &v[i], e));
    if (v[WIDTH] != v[T_WIDTH])
        return load_bad(w, 12, NULL, e, "an encoder of %u channels, a decoder of %u", v[WIDTH],
                        v[T_WIDTH]);
    w->config.p = arena_format(
        a, e,
        "{\"vocab_size\":%u,\"max_source_positions\":%u,\"d_model\":%u,"
        "\"encoder_attention_heads\":%u,\"encoder_layers\":%u,\"max_target_positions\":%u,"
        "\"decoder_attention_heads\":%u,\"decoder_layers\":%u,\"num_mel_bins\":%u}",
        v[VOCAB], v[AUDIO_CTX], v[WIDTH], v[HEADS], v[LAYERS], v[TEXT_CTX], v[T_HEADS], v[T_LAYERS],
        v[MELS]);
    if (!w->config.p) return -1;
    w->config.n = strlen(w->config.p);

    uint32_t mels, bins; /* the filters are computed; these are not needed */
    const uint8_t *filters;
    size_t at = c->at;
    TRY(take_int(c, "the number of mel bands", 1 << 16, &mels, e));
    TRY(take_int(c, "the number of frequencies", 1 << 16, &bins, e));
    if (mels != v[MELS] || bins != BINS)
        return load_bad(w, at, NULL, e, "mel filters of [%u, %u], expected [%u, %d]", mels, bins,
                        v[MELS], BINS);
    return take(c, (uint64_t)mels * bins * 4, "the mel filters", &filters, e);
}

/* GPT-2's visible character of a byte: printable ones of Latin-1 are themselves, the 68 others are
 * 256, 257, ... in their order (openai/gpt-2 encoder.py, bytes_to_unicode). */
static uint32_t visible(uint8_t byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173)) return byte;
    if (byte <= 32) return 256u + byte;
    return byte == 173 ? 323u : 289u + (byte - 127u);
}

/* The tokens, a line each; two passes: how long the text will be is known before it is made. */
static int take_tokens(struct arena *a, struct cursor *c, struct load_weights *w, struct err *e)
{
    uint32_t n, length;
    TRY(take_int(c, "the number of tokens", TOKENS_MAX, &n, e));
    size_t from = c->at, bytes = 0;
    const uint8_t *p;
    for (uint32_t i = 0; i < n; i++) {
        TRY(take_int(c, "the length of a token", LOAD_VOCABULARY_MAX, &length, e));
        TRY(take(c, length, "a token", &p, e));
        bytes += 2 * (size_t)length + 1; /* at most two bytes for each */
        if (bytes > LOAD_VOCABULARY_MAX)
            return load_bad(w, from, NULL, e, "the tokens are longer than %u bytes",
                            LOAD_VOCABULARY_MAX);
    }
    char *text = ARENA_NEW(a, char, bytes, e);
    if (!text) return -1;
    size_t used = 0;
    const uint8_t *at = w->map.data + from;
    for (uint32_t i = 0; i < n; i++) {
        length = load_u32(at);
        for (at += 4; length > 0; length--, at++)
            used += (size_t)str_utf8_put(visible(*at), text + used);
        text[used++] = '\n';
    }
    w->vocabulary = (struct str){text, used};
    return 0;
}

static int take_type(struct cursor *c, struct load_tensor *t, struct err *e)
{
    static const struct {
        uint32_t id;
        enum dtype type;
    } known[] = {{0, DTYPE_F32},  {1, DTYPE_F16},  {2, DTYPE_Q4_0}, {3, DTYPE_Q4_1},
                 {6, DTYPE_Q5_0}, {7, DTYPE_Q5_1}, {8, DTYPE_Q8_0}};
    const uint8_t *p;
    size_t at = c->at;
    TRY(take(c, 4, "the type", &p, e));
    for (size_t i = 0; i < COUNT(known); i++) {
        if (load_u32(p) != known[i].id) continue;
        t->t.type = known[i].type;
        return 0;
    }
    return load_bad(c->w, at, NULL, e, "type %u: need f32, f16, q4_0, q4_1, q5_0, q5_1 or q8_0",
                    load_u32(p));
}

static int take_tensor(struct arena *a, struct cursor *c, struct load_tensor *t, struct err *e)
{
    uint32_t rank, length, dim;
    const uint8_t *p;
    size_t begin = c->at;
    c->tensor = NULL;
    TRY(take_int(c, "the rank", TENSOR_RANK, &rank, e));
    TRY(take_int(c, "the length of a name", LOAD_NAME_MAX, &length, e));
    TRY(take_type(c, t, e));
    t->t.rank = (int)rank;
    for (uint32_t i = rank; i-- > 0; t->t.dim[i] = dim)
        TRY(take_int(c, "a dimension", INT32_MAX, &dim, e));
    TRY(take(c, length, "a name", &p, e));
    if (!load_name_fit((const char *)p, length))
        return load_bad(c->w, begin, NULL, e, "a tensor's name of %u bytes is not readable",
                        length);
    t->name = c->tensor = arena_text(a, (const char *)p, length, e);
    if (!t->name) return -1;
    if (t->t.rank == 2 && t->t.dim[1] == 1) t->t.rank = 1; /* the bias of a convolution */
    int64_t count = tensor_count(t->t.rank, t->t.dim);
    uint64_t bytes = 0;
    if (count < 0 || __builtin_mul_overflow((uint64_t)(count / tensor_type_per(t->t.type)),
                                            tensor_type_bytes(t->t.type), &bytes))
        return load_bad(c->w, begin, t->name, e, "its shape is too large");
    t->offset = c->at;
    t->bytes = (size_t)bytes;
    TRY(load_shape_fit(c->w, t, bytes, e));
    TRY(take(c, bytes, "the payload", &p, e));
    t->t.data = p;
    return 0;
}

/* The file does not say how many tensors it has: read once to count them, then to keep them. The
 * names of the first reading are given back. */
static int count_tensors(struct arena *a, struct cursor c, size_t *n, struct err *e)
{
    struct arena_mark mark = arena_here(a);
    for (*n = 0; c.at < c.w->map.size; ++*n) {
        struct load_tensor t = {0};
        if (*n == LOAD_TENSORS_MAX)
            return load_bad(c.w, c.at, NULL, e, "more than %d tensors", LOAD_TENSORS_MAX);
        TRY(take_tensor(a, &c, &t, e));
        arena_rewind(a, mark);
    }
    return 0;
}

static int open_ggml(struct arena *a, struct load_weights *w, struct err *e)
{
    struct cursor c = {.w = w};
    size_t n;
    w->alone = true;
    TRY(take_header(a, &c, w, e));
    TRY(take_tokens(a, &c, w, e));
    TRY(count_tensors(a, c, &n, e));
    w->tensor = ARENA_NEW(a, struct load_tensor, n, e);
    if (!w->tensor) return -1;
    while (w->n < n) {
        TRY(take_tensor(a, &c, &w->tensor[w->n], e));
        w->n++;
    }
    return load_settle(a, w, NULL, 0, e);
}

static bool probe_ggml(const uint8_t *p, size_t n)
{
    return n >= 16 && load_u32(p) == MAGIC;
}

const struct load_format load_ggml_row = {"ggml", probe_ggml, open_ggml};
