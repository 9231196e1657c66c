/* One hashed Whisper (tools/golden/whisper2.py) written as every container and type lode reads. The
 * names of the other families are spelled here once more, so that a wrong one in nets is seen. */
#ifndef TESTS_CONTAINER_H
#define TESTS_CONTAINER_H

#include "jobs/jobs.h"
#include "load/load.h"
#include "nets/net_whisper.h"
#include "unit.h"

#include <math.h>

struct tensor_made { /* under our name */
    char name[64];
    int rank;
    int64_t dim[3];
    float *data;
};

struct model {
    struct tensor_made t[96];
    size_t n;
    struct net_whisper_config c;
};

struct world {
    char folder[200];
    struct arena *a;
    struct err e;
};

static inline void must(struct world *w, int rc)
{
    if (rc) fail_msg("%s", w->e.text);
}

/* ------------------------------------------------------------------------------ the model -- */

static inline int64_t count(const struct tensor_made *t)
{
    return tensor_count(t->rank, t->dim);
}

/* The hashed weights, as the net itself makes them. */
static inline struct model *make(struct world *w, const struct net_whisper_config *c)
{
    struct model *m = ARENA_NEW(w->a, struct model, 1, &w->e);
    struct net_whisper_source hashed = {.hashed = true};
    struct net_whisper_shape shape = {
        .windows = 1, .sequences = 1, .rows = 1, .picks = 1, .top = 1, .mel_input = true};
    struct net_whisper net;
    struct plan *p;
    must(w, net_whisper_plan(w->a, &hashed, c, &shape, &p, &net, &w->e));
    m->c = *c;
    for (int i = 0; i < p->n_values; i++) {
        const struct plan_value *v = &p->value[i];
        if (v->life != PLAN_WEIGHT) continue;
        assert_true(m->n < COUNT(m->t));
        struct tensor_made *t = &m->t[m->n++];
        snprintf(t->name, sizeof t->name, "%s", v->name);
        t->rank = v->rank;
        memcpy(t->dim, v->dim, sizeof t->dim);
        t->data = ARENA_NEW(w->a, float, (size_t)count(t), &w->e);
        memcpy(t->data, v->part[0].data, (size_t)count(t) * sizeof(float));
    }
    return m;
}

static inline uint16_t to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float from_bf16(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static inline void round_to(struct model *m, enum dtype type)
{
    for (size_t i = 0; i < m->n; i++) {
        float *x = m->t[i].data;
        for (int64_t k = 0; k < count(&m->t[i]) && type != DTYPE_F32; k++)
            x[k] = type == DTYPE_F16 ? tensor_f16_to_f32(tensor_f32_to_f16(x[k]))
                                     : from_bf16(to_bf16(x[k]));
    }
}

/* ------------------------------------------------------------------------- blocks of ggml -- */

static inline float put_half(uint8_t *p, float f)
{
    uint16_t h = tensor_f32_to_f16(f);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
    return tensor_f16_to_f32(h);
}

/* 32 numbers as a block, and what they are then. Any rounding is right: what is tested is that
 * the block is read back as it was meant. */
static inline void make_block(enum dtype type, float *x, uint8_t *p)
{
    float low = x[0], high = x[0];
    for (int j = 1; j < 32; j++) {
        low = fminf(low, x[j]);
        high = fmaxf(high, x[j]);
    }
    float most = fmaxf(fabsf(low), fabsf(high));
    if (type == DTYPE_Q8_0) {
        float d = put_half(p, most / 127);
        for (int j = 0; j < 32; j++) {
            int q = (int)lrintf(d > 0 ? x[j] / d : 0);
            q = MAX(-128, MIN(127, q));
            p[2 + j] = (uint8_t)q;
            x[j] = d * (float)q;
        }
        return;
    }
    int bits = type == DTYPE_Q4_0 || type == DTYPE_Q4_1 ? 4 : 5, top = (1 << bits) - 1;
    bool affine = type == DTYPE_Q4_1 || type == DTYPE_Q5_1;
    int middle = affine ? 0 : 1 << (bits - 1);
    float d = put_half(p, affine ? (high - low) / (float)top : most / (float)(middle - 1));
    float m = affine ? put_half(p + 2, low) : 0;
    uint8_t *fifth = p + (affine ? 4 : 2), *nibble = fifth + (bits == 5 ? 4 : 0);
    memset(fifth, 0, (size_t)(nibble - fifth) + 16);
    for (int j = 0; j < 32; j++) {
        int q = (int)lrintf(d > 0 ? (x[j] - m) / d : 0) + middle;
        q = MAX(0, MIN(top, q));
        if (j < 16)
            nibble[j] |= (uint8_t)(q & 15);
        else
            nibble[j - 16] |= (uint8_t)((q & 15) << 4);
        if (q & 16) fifth[j / 8] |= (uint8_t)(1 << j % 8);
        x[j] = d * (float)(q - middle) + m;
    }
}

/* ----------------------------------------------------------------------------- the writers -- */

static inline void put(FILE *f, const void *p, size_t n)
{
    assert_true(n == 0 || fwrite(p, n, 1, f) == 1);
}

static inline void put_u32(FILE *f, uint32_t v)
{
    put(f, (const uint8_t[]){(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)},
        4);
}

static inline FILE *create(const char *folder, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    return f;
}

/* x [n] as f32, f16 or bf16. */
static inline void put_floats(FILE *f, enum dtype type, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint16_t h = type == DTYPE_F16 ? tensor_f32_to_f16(x[i]) : to_bf16(x[i]);
        if (type == DTYPE_F32)
            put(f, &x[i], 4);
        else
            put(f, &h, 2);
    }
}

static inline void put_name(FILE *f, const char *s)
{
    size_t n = strlen(s) + 1;
    put(f, (const uint8_t[]){(uint8_t)n, (uint8_t)(n >> 8)}, 2);
    put(f, s, n);
}

static inline void put_ct2_head(FILE *f, const char *name, int type, int rank, const int64_t *dim,
                                int64_t bytes)
{
    put_name(f, name);
    put(f, (const uint8_t[]){(uint8_t)rank}, 1);
    for (int i = 0; i < rank; i++) put_u32(f, (uint32_t)dim[i]);
    put(f, (const uint8_t[]){(uint8_t)type}, 1);
    put_u32(f, (uint32_t)bytes);
}

/* As CTranslate2 quantises (model_spec.py): scale 127 / max|row|. */
static inline void put_ct2_i8(FILE *f, const struct tensor_made *t)
{
    char name[80];
    int64_t rows = t->dim[0], columns = count(t) / rows;
    put_ct2_head(f, t->name, 1, t->rank, t->dim, count(t));
    float *scale = calloc((size_t)rows, sizeof *scale);
    for (int64_t r = 0; r < rows; r++) {
        const float *x = t->data + r * columns;
        float most = 0;
        for (int64_t k = 0; k < columns; k++) most = fmaxf(most, fabsf(x[k]));
        scale[r] = 127.0f / most;
        for (int64_t k = 0; k < columns; k++)
            put(f, (const int8_t[]){(int8_t)rintf(x[k] * scale[r])}, 1);
    }
    snprintf(name, sizeof name, "%s_scale", t->name);
    put_ct2_head(f, name, 0, 1, t->dim, 4 * rows);
    put(f, scale, 4 * (size_t)rows);
    free(scale);
}

struct ct2_kind {
    const char *spec;
    int revision;
    enum dtype type;
    bool conv; /* I8: convolutions too, as newer converters do */
};

static inline void write_ct2(const char *folder, const struct model *m, struct ct2_kind k)
{
    static const int ids[DTYPE_COUNT] = {[DTYPE_F32] = 0, [DTYPE_F16] = 4, [DTYPE_BF16] = 5};
    FILE *f = create(folder, "model.bin");
    uint32_t n = (uint32_t)m->n;
    for (size_t i = 0; i < m->n && k.type == DTYPE_I8; i++)
        n += m->t[i].rank == 2 ? !strstr(m->t[i].name, "position") : m->t[i].rank == 3 && k.conv;
    put_u32(f, 6);
    put_name(f, k.spec);
    put_u32(f, (uint32_t)k.revision);
    put_u32(f, n);
    for (size_t i = 0; i < m->n; i++) {
        const struct tensor_made *t = &m->t[i];
        bool matrix = (t->rank == 2 && !strstr(t->name, "position")) || (t->rank == 3 && k.conv);
        enum dtype type = k.type == DTYPE_I8 ? DTYPE_F32 : k.type;
        if (k.type == DTYPE_I8 && matrix) {
            put_ct2_i8(f, t);
            continue;
        }
        put_ct2_head(f, t->name, ids[type], t->rank, t->dim,
                     count(t) * (int64_t)tensor_type_bytes(type));
        put_floats(f, type, t->data, count(t));
    }
    put_u32(f, 1);
    put_name(f, "decoder/projection/weight");
    put_name(f, "decoder/embeddings/weight");
    assert_int_equal(fclose(f), 0);
}

struct part { /* of a fused tensor: rows from..from + n of it under another name */
    char name[120];
    int64_t from, n;
};

/* The last word of our names within a layer, in the words of transformers' modeling_whisper.py and
 * of openai's model.py. Fused ones are split below. */
static const char *const words[][3] = {
    {"self_attention/layer_norm", "self_attn_layer_norm", "attn_ln"},
    {"self_attention/linear_1", "self_attn.out_proj", "attn.out"},
    {"attention/layer_norm", "encoder_attn_layer_norm", "cross_attn_ln"},
    {"attention/linear_2", "encoder_attn.out_proj", "cross_attn.out"},
    {"ffn/layer_norm", "final_layer_norm", "mlp_ln"},
    {"ffn/linear_0", "fc1", "mlp.0"},
    {"ffn/linear_1", "fc2", "mlp.2"},
    {"encoder/conv1", "encoder.conv1", "encoder.conv1"},
    {"encoder/conv2", "encoder.conv2", "encoder.conv2"},
    {"encoder/layer_norm", "encoder.layer_norm", "encoder.ln_post"},
    {"decoder/layer_norm", "decoder.layer_norm", "decoder.ln"},
    {"decoder/embeddings", "decoder.embed_tokens", "decoder.token_embedding"},
};

/* Our tensor as those of a family (1 Hugging Face, 2 openai); keys get no bias. */
static inline int split(const struct tensor_made *t, int family, struct part *part)
{
    static const char *const qkv[3][3] = {
        {"", "q_proj", "query"}, {"", "k_proj", "key"}, {"", "v_proj", "value"}};
    static const char *const blocks[3][2] = {
        {"", ""}, {"self_attn", "encoder_attn"}, {"attn", "cross_attn"}};
    char side[8] = "", scope[40] = "", base[64];
    int layer;
    const char *leaf = strrchr(t->name, '/') + 1, *rest = t->name;
    bool bias = strcmp(leaf, "bias") == 0 || strcmp(leaf, "beta") == 0;
    if (strcmp(leaf, "encodings") == 0) {
        snprintf(part[0].name, sizeof part[0].name, "%.7s.%s", t->name,
                 family == 1 ? "embed_positions.weight" : "positional_embedding");
        part[0].from = 0;
        part[0].n = t->dim[0];
        return 1;
    }
    if (sscanf(t->name, "%7[a-z]/layer_%d", side, &layer) == 2) {
        snprintf(scope, sizeof scope, "%s.%s.%d.", side, family == 1 ? "layers" : "blocks", layer);
        rest = strchr(strchr(t->name, '/') + 1, '/') + 1;
    }
    snprintf(base, sizeof base, "%.*s", (int)(leaf - 1 - rest), rest);
    int first = -1, last = -1, cross = 1; /* of q, k, v */
    if (strcmp(base, "self_attention/linear_0") == 0) first = 0, last = 2, cross = 0;
    if (strcmp(base, "attention/linear_0") == 0) first = last = 0;
    if (strcmp(base, "attention/linear_1") == 0) first = 1, last = 2;
    int n = 0;
    for (int i = first; first >= 0 && i <= last; i++) {
        if (bias && i == 1) continue;
        snprintf(part[n].name, sizeof part[n].name, "%s%s.%s.%s", scope, blocks[family][cross],
                 qkv[i][family], bias ? "bias" : "weight");
        part[n].from = (i - first) * t->dim[0] / (last - first + 1);
        part[n++].n = t->dim[0] / (last - first + 1);
    }
    for (size_t i = 0; first < 0 && i < COUNT(words); i++) {
        if (strcmp(words[i][0], base) != 0) continue;
        snprintf(part[0].name, sizeof part[0].name, "%s%s.%s", scope, words[i][family],
                 bias ? "bias" : "weight");
        part[0].from = 0;
        part[0].n = t->dim[0];
        n = 1;
    }
    assert_true(n > 0);
    return n;
}

/* One safetensors file of the tensors that `keep` of `of` takes; their names into index. */
static inline void write_shard(const char *folder, const char *file, const struct model *m,
                               enum dtype type, const char *root, size_t keep, size_t of,
                               FILE *index)
{
    FILE *f = create(folder, file), *data = tmpfile();
    char *header = NULL;
    size_t header_bytes;
    FILE *h = open_memstream(&header, &header_bytes);
    int64_t at = 0, item = (int64_t)tensor_type_bytes(type);
    assert_true(data && h);
    for (size_t i = keep; i < m->n; i += of) {
        struct part part[3];
        const struct tensor_made *t = &m->t[i];
        int64_t columns = count(t) / t->dim[0];
        for (int k = 0, n = split(t, 1, part); k < n; k++) {
            fprintf(h, "%s\"%s%s\":{\"dtype\":\"%s\",\"shape\":[%lld", at ? "," : "{", root,
                    part[k].name,
                    type == DTYPE_F32   ? "F32"
                    : type == DTYPE_F16 ? "F16"
                                        : "BF16",
                    (long long)part[k].n);
            for (int d = 1; d < t->rank; d++) fprintf(h, ",%lld", (long long)t->dim[d]);
            fprintf(h, "],\"data_offsets\":[%lld,%lld]}", (long long)at,
                    (long long)(at + part[k].n * columns * item));
            if (index)
                fprintf(index, "%s\"%s%s\":\"%s\"", ftell(index) > 20 ? "," : "", root,
                        part[k].name, file);
            at += part[k].n * columns * item;
            put_floats(data, type, t->data + part[k].from * columns, part[k].n * columns);
        }
    }
    fputs("}", h);
    fclose(h);
    put_u32(f, (uint32_t)header_bytes);
    put_u32(f, 0);
    put(f, header, header_bytes);
    free(header);
    rewind(data);
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, data)) > 0;) put(f, piece, n);
    fclose(data);
    assert_int_equal(fclose(f), 0);
}

static inline void write_hugging(const char *folder, const struct model *m, enum dtype type,
                                 const char *root, size_t shards)
{
    if (shards == 1) {
        write_shard(folder, "model.safetensors", m, type, root, 0, 1, NULL);
        return;
    }
    FILE *index = create(folder, "model.safetensors.index.json");
    fputs("{\"weight_map\": {\n   ", index);
    for (size_t i = 0; i < shards; i++) {
        char file[64];
        snprintf(file, sizeof file, "model-%05zu-of-%05zu.safetensors", i + 1, shards);
        write_shard(folder, file, m, type, root, i, shards, index);
    }
    fputs("}}\n", index);
    assert_int_equal(fclose(index), 0);
}

static inline uint32_t ggml_id(enum dtype type)
{
    static const uint8_t ids[DTYPE_COUNT] = {[DTYPE_F16] = 1,  [DTYPE_Q4_0] = 2, [DTYPE_Q4_1] = 3,
                                             [DTYPE_Q5_0] = 6, [DTYPE_Q5_1] = 7, [DTYPE_Q8_0] = 8};
    return ids[type];
}

static inline void put_ggml_tensor(FILE *f, const struct tensor_made *t, const struct part *part,
                                   enum dtype type)
{
    bool conv_bias = t->rank == 1 && strstr(part->name, "conv");
    int64_t columns = count(t) / t->dim[0];
    float *x = t->data + part->from * columns;
    bool matrix = t->rank == 2 && !strstr(t->name, "position");
    if (!matrix) type = t->rank == 3 && type != DTYPE_F32 ? DTYPE_F16 : DTYPE_F32;
    put_u32(f, (uint32_t)(t->rank + conv_bias));
    put_u32(f, (uint32_t)strlen(part->name));
    put_u32(f, ggml_id(type));
    if (conv_bias) put_u32(f, 1);
    for (int d = t->rank; d-- > 1;) put_u32(f, (uint32_t)t->dim[d]);
    put_u32(f, (uint32_t)part->n);
    put(f, part->name, strlen(part->name));
    if (tensor_type_per(type) == 1) {
        put_floats(f, type, x, part->n * columns);
        return;
    }
    uint8_t block[34];
    for (int64_t i = 0; i < part->n * columns; i += 32) {
        make_block(type, x + i, block);
        put(f, block, tensor_type_bytes(type));
    }
}

/* The ordinary tokens of the tests: the bytes, then pairs of bytes. Those of the multilingual
 * models end with an empty one. */
static inline size_t token_bytes(const struct net_whisper_config *c, int id, char *out)
{
    if (id == c->eot - 1 && c->multilingual) return 0;
    int pair = id - 256;
    out[0] = (char)(id < 256 ? id : pair >> 8);
    out[1] = (char)pair;
    return id < 256 ? 1 : 2;
}

/* Blocks change the numbers of m to what the file holds. */
static inline void write_ggml(const char *folder, struct model *m, enum dtype type, int tokens)
{
    const struct net_whisper_config *c = &m->c;
    FILE *f = create(folder, "ggml-model.bin");
    const int header[] = {c->vocab,          c->audio_ctx, c->width, c->heads,
                          c->encoder_layers, c->text_ctx,  c->width, c->heads,
                          c->decoder_layers, c->n_mels,    2000};
    put_u32(f, 0x67676d6c);
    for (size_t i = 0; i < COUNT(header); i++) put_u32(f, (uint32_t)header[i]);
    put_u32(f, (uint32_t)c->n_mels);
    put_u32(f, 201);
    for (int i = 0; i < c->n_mels * 201; i++) put_u32(f, 0);
    put_u32(f, (uint32_t)tokens);
    for (int i = 0; i < tokens; i++) {
        char bytes[8];
        size_t n = token_bytes(c, i, bytes);
        put_u32(f, (uint32_t)n);
        put(f, bytes, n);
    }
    for (size_t i = 0; i < m->n; i++) {
        struct part part[3];
        for (int k = 0, n = split(&m->t[i], 2, part); k < n; k++)
            put_ggml_tensor(f, &m->t[i], &part[k], type);
    }
    assert_int_equal(fclose(f), 0);
}

/* ------------------------------------------------------------------ fixture, conversion -- */

static inline int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    unit_folder(w->folder, sizeof w->folder);
    if (arena_open("test", 0, &w->a, &w->e) != 0) return -1;
    *state = w;
    return 0;
}

static inline int teardown(void **state)
{
    struct world *w = *state;
    arena_close(&w->a);
    unit_remove(w->folder);
    free(w);
    return 0;
}

static inline char *folder(struct world *w, const char *name)
{
    char *path = file_join(w->a, w->folder, name, &w->e);
    assert_non_null(path);
    must(w, file_remove_tree(path, &w->e));
    must(w, file_make_folders(path, &w->e));
    return path;
}

static inline int take_text(void *ctx, const char *p, size_t n, struct err *e)
{
    (void)ctx;
    (void)p;
    (void)n;
    (void)e;
    return 0;
}

__attribute__((unused)) static const char *convert(struct world *w, const char *from,
                                                   const char *type)
{
    _Alignas(16) char opts[64];
    char *to = file_join(w->a, w->folder, "converted.safetensors", &w->e);
    char type_flag[] = "--compute-type", to_flag[] = "-o";
    char *argv[] = {type_flag, (char *)(uintptr_t)type, to_flag, to, (char *)(uintptr_t)from};
    const struct lode_job *job = &job_convert_row;
    const struct lode_host host = {.text = take_text};
    struct opt_list inputs;
    opt_defaults(job->rows, job->n_rows, opts);
    must(w, opt_parse(w->a, job->rows, job->n_rows, 5, argv, opts, &inputs, &w->e));
    must(w, job->run(opts, &inputs, &host, &w->e));
    return to;
}

#endif
