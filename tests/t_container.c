/* One hashed Whisper in every container and type: the same numbers must come out of all of them,
 * and those of transformers. */
#include "container.h"
#include "engine/engine.h"

enum { STEPS = 6, T_AUDIO = 100, T_TEXT = 64, C = 128, V = 600 };

static const struct family {
    const char *golden;
    struct net_whisper_config c;
} families[] = {
#define SIZES                                                                              \
    .audio_ctx = T_AUDIO, .text_ctx = T_TEXT, .width = C, .heads = 2, .encoder_layers = 2, \
    .ffn = 512, .vocab = V, .eps = 1e-5f, .eot = 590, .time0 = 595, .no_speech = 592
    {"tests/golden/whisper2.safetensors", {SIZES, .n_mels = 80, .decoder_layers = 2}},
    {"tests/golden/whisper_distil.safetensors", {SIZES, .n_mels = 128, .decoder_layers = 1}},
};

/* ----------------------------------------------------------------------------- running one -- */

struct result {
    float encoded[T_AUDIO * C], logits[STEPS * V];
};

static struct result run(struct world *w, const char *path, const struct net_whisper_config *c,
                         bool i8)
{
    static const int tokens[STEPS] = {599, 3, 42, 260, 42, 511};
    struct engine_options o = {.device = "cpu", .kernels = "auto", .threads = 2};
    struct net_whisper_shape shape = {.windows = 1,
                                      .sequences = 1,
                                      .rows = STEPS,
                                      .picks = STEPS,
                                      .top = 1,
                                      .cache = DTYPE_F32,
                                      .i8 = i8,
                                      .mel_input = true};
    struct arena *a;
    struct load_weights weights;
    struct net_whisper_source source = {.weights = &weights};
    struct net_whisper net;
    struct engine *g;
    struct engine_plan *p;
    struct plan *plan;
    static struct result out;
    must(w, arena_open("run", 0, &a, &w->e));
    must(w, load_open(a, path, &weights, &w->e));
    must(w, engine_open(a, &o, &g, &w->e));
    must(w, net_whisper_plan(a, &source, c, &shape, &plan, &net, &w->e));
    must(w, engine_prepare(g, a, plan, NULL, NULL, &p, &w->e));
    float *mel = engine_host(p, net.mel);
    for (int t = 0; t < 2 * T_AUDIO; t++) {
        for (int b = 0; b < c->n_mels; b++)
            mel[t * c->n_mels + b] = tensor_hash("mel", (uint64_t)(b * 2 * T_AUDIO + t), 1);
    }
    must(w, engine_run(p, net.tape_encode, &w->e));
    must(w, engine_peek(p, net.encoded, out.encoded, sizeof out.encoded, &w->e));
    int32_t *token = engine_host(p, net.token), *position = engine_host(p, net.position),
            *pick = engine_host(p, net.pick);
    for (int i = 0; i < STEPS; i++) {
        token[i] = tokens[i];
        position[i] = pick[i] = i;
    }
    *(int32_t *)engine_host(p, net.n_rows) = *(int32_t *)engine_host(p, net.n_picks) = STEPS;
    must(w, engine_run(p, net.tape_step, &w->e));
    must(w, engine_peek(p, net.logits, out.logits, sizeof out.logits, &w->e));
    engine_release(&p);
    engine_close(&g);
    load_close(&weights);
    arena_close(&a);
    return out;
}

static void same(const char *what, const struct result *got, const struct result *want,
                 double tolerance)
{
    unit_all_near(what, got->encoded, want->encoded, T_AUDIO * C, tolerance);
    unit_all_near(what, got->logits, want->logits, STEPS * V, tolerance);
}

static struct result transformers(struct world *w, const char *path)
{
    static struct result out;
    struct load_weights g;
    must(w, load_open(w->a, path, &g, &w->e));
    const struct load_tensor *encoder = load_find(&g, "encoder"), *logits = load_find(&g, "logits");
    assert_true(encoder && logits);
    assert_int_equal(encoder->bytes, sizeof out.encoded);
    assert_int_equal(logits->bytes, sizeof out.logits);
    memcpy(out.encoded, encoder->t.data, sizeof out.encoded);
    memcpy(out.logits, logits->t.data, sizeof out.logits);
    load_close(&g);
    return out;
}

/* ------------------------------------------------------------------------------- the tests -- */

/* Files of one type hold the same numbers: results are the same to the last bit. */
static void test_floats(void **state)
{
    static const struct {
        enum dtype type;
        double tolerance;
    } types[] = {{DTYPE_F32, 2e-4}, {DTYPE_F16, 5e-2}, {DTYPE_BF16, 0.5}};
    struct world *w = *state;
    for (size_t f = 0; f < COUNT(families); f++) {
        const struct net_whisper_config *c = &families[f].c;
        struct result reference = transformers(w, families[f].golden);
        for (size_t t = 0; t < COUNT(types); t++) {
            enum dtype type = types[t].type;
            struct model *m = make(w, c);
            round_to(m, type);
            const char *ct2 = folder(w, "ct2"), *hugging = folder(w, "hugging"),
                       *bare = folder(w, "bare"), *shards = folder(w, "shards"),
                       *ggml = folder(w, "ggml");
            write_ct2(ct2, m, (struct ct2_kind){"WhisperSpec", 3, type, false});
            write_hugging(hugging, m, type, "model.", 1);
            write_hugging(bare, m, type, "", 1);
            write_hugging(shards, m, type, "model.", 3);
            struct result first = run(w, ct2, c, false), other;
            same("against transformers", &first, &reference, types[t].tolerance);
            other = run(w, hugging, c, false);
            same("Hugging Face", &other, &first, 0);
            other = run(w, bare, c, false);
            same("without model.", &other, &first, 0);
            other = run(w, shards, c, false);
            same("in three files", &other, &first, 0);
            if (type == DTYPE_BF16) continue; /* ggml has none */
            write_ggml(ggml, m, type, 3);
            other = run(w, ggml, c, false);
            same("ggml", &other, &first, 0);
        }
    }
}

/* Blocks are their dequantised numbers, to the last bit, whether computed in f32 or i8. */
static void test_blocks(void **state)
{
    static const struct {
        enum dtype type;
        double tolerance;
    } types[] = {
        {DTYPE_Q8_0, 0.3}, {DTYPE_Q5_1, 3}, {DTYPE_Q5_0, 3}, {DTYPE_Q4_1, 6}, {DTYPE_Q4_0, 6}};
    struct world *w = *state;
    for (size_t t = 0; t < COUNT(types); t++) {
        const struct family *f = &families[t % COUNT(families)];
        struct result reference = transformers(w, f->golden);
        struct model *m = make(w, &f->c);
        for (size_t i = 0; i < m->n; i++) { /* convolutions are f16 in such files */
            for (int64_t k = 0; m->t[i].rank == 3 && k < count(&m->t[i]); k++)
                m->t[i].data[k] = tensor_f16_to_f32(tensor_f32_to_f16(m->t[i].data[k]));
        }
        const char *ggml = folder(w, "ggml"), *plain = folder(w, "plain");
        write_ggml(ggml, m, types[t].type, 3);
        write_ct2(plain, m, (struct ct2_kind){"WhisperSpec", 3, DTYPE_F32, false});
        for (int i8 = 0; i8 < 2; i8++) {
            struct result got = run(w, ggml, &f->c, i8), want = run(w, plain, &f->c, i8);
            same(tensor_type_name(types[t].type), &got, &want, 0);
            same("against transformers", &got, &reference, types[t].tolerance);
        }
    }
}

/* Weights stored as int8 are those that float weights become for an int8 product. */
static void test_int8(void **state)
{
    struct world *w = *state;
    for (size_t f = 0; f < COUNT(families); f++) {
        const struct net_whisper_config *c = &families[f].c;
        struct model *m = make(w, c);
        const char *plain = folder(w, "plain"), *int8 = folder(w, "int8"),
                   *conv = folder(w, "conv");
        write_ct2(plain, m, (struct ct2_kind){"WhisperSpec", 3, DTYPE_F32, false});
        write_ct2(int8, m, (struct ct2_kind){"WhisperSpec", 3, DTYPE_I8, false});
        write_ct2(conv, m, (struct ct2_kind){"WhisperSpec", 3, DTYPE_I8, true});
        struct result want = run(w, plain, c, true), got = run(w, int8, c, true),
                      reference = transformers(w, families[f].golden);
        same("int8", &got, &want, 0);
        got = run(w, conv, c, true);
        same("convolutions as int8", &got, &reference, 0.8);
    }
}

static void test_convert(void **state)
{
    struct world *w = *state;
    const struct net_whisper_config *c = &families[1].c;
    struct model *m = make(w, c);
    const char *from[3] = {folder(w, "ct2"), folder(w, "shards"), folder(w, "ggml")};
    write_ct2(from[0], m, (struct ct2_kind){"WhisperSpec", 3, DTYPE_F32, false});
    write_hugging(from[1], m, DTYPE_F32, "model.", 2);
    write_ggml(from[2], m, DTYPE_Q5_1, 3);
    for (size_t i = 0; i < COUNT(from); i++) {
        struct result want = run(w, from[i], c, false),
                      got = run(w, convert(w, from[i], "float32"), c, false);
        same("to float32", &got, &want, i == 2 ? 1e-4 : 0); /* its convolutions were f16 */
        want = run(w, from[i], c, true);
        got = run(w, convert(w, from[i], "int8"), c, true);
        same("to int8", &got, &want, i == 2 ? 1e-2 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_floats, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blocks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_int8, setup, teardown),
        cmocka_unit_test_setup_teardown(test_convert, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
