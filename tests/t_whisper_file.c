/* What kind of Whisper a file holds, by every container: sizes, token ids, vocabulary, what its
 * texts say; what is refused; and the sizes of the published models. */
#include "container.h"
#include "nets/net_language.h"
#include "text/bpe.h"

/* -------------------------------------------------------------- real sizes of vocabularies -- */

static void visible(const char *p, size_t n, FILE *f)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)p[i];
        uint32_t cp = 0, others = 256;
        for (int k = 0; k <= byte; k++) { /* GPT-2's definition */
            bool printable = (k >= '!' && k <= '~') || (k >= 0xA1 && k <= 0xAC) || k >= 0xAE;
            cp = printable ? (uint32_t)k : others++;
        }
        char text[4];
        put(f, text, (size_t)str_utf8_put(cp, text));
    }
}

static void special_text(const struct net_whisper_config *c, int id, char out[40])
{
    static const char *const after[] = {"translate",   "transcribe", "startoflm",
                                        "startofprev", "nospeech",   "notimestamps"};
    if (id >= c->time0)
        snprintf(out, 40, "<|%.2f|>", (id - c->time0) / 50.0);
    else if (id >= c->translate)
        snprintf(out, 40, "<|%s|>", after[id - c->translate]);
    else if (id >= c->language0)
        snprintf(out, 40, "<|%s|>", net_language_code(id - c->language0));
    else
        snprintf(out, 40, "%s", id == c->eot ? "<|endoftext|>" : "<|startoftranscript|>");
}

/* "TOKEN" in JSON. */
static void put_json(FILE *f, const struct net_whisper_config *c, int id)
{
    char bytes[40], *text = NULL;
    size_t n;
    FILE *h = open_memstream(&text, &n);
    if (id < c->eot) {
        visible(bytes, token_bytes(c, id, bytes), h);
    } else {
        special_text(c, id, bytes);
        fputs(bytes, h);
    }
    fclose(h);
    fputc('"', f);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"' || text[i] == '\\') fputc('\\', f);
        fputc(text[i], f);
    }
    fputc('"', f);
    free(text);
}

enum vocabulary { LINES, VOCAB_ADDED, TOKENIZER, VOCABULARIES };

static void write_vocabulary(const char *path, const struct net_whisper_config *c,
                             enum vocabulary kind)
{
    static const char *const files[] = {"vocabulary.txt", "vocab.json", "tokenizer.json"};
    FILE *f = create(path, files[kind]);
    if (kind == LINES) {
        for (int id = 0; id < c->vocab; id++) {
            char text[40];
            if (id < c->eot) visible(text, token_bytes(c, id, text), f);
            if (id >= c->eot) special_text(c, id, text);
            if (id >= c->eot) fputs(text, f);
            fputc('\n', f);
        }
        assert_int_equal(fclose(f), 0);
        return;
    }
    if (kind == TOKENIZER) fputs("{\"model\":{\"type\":\"BPE\",\"vocab\":", f);
    for (int id = c->eot; id-- > 0;) { /* any order */
        fputc(id == c->eot - 1 ? '{' : ',', f);
        put_json(f, c, id);
        fprintf(f, ":%d", id);
    }
    fputc('}', f);
    int named = c->time0; /* files of before 2023 do not name the timestamps */
    if (kind == TOKENIZER) {
        fputs("},\"added_tokens\":[", f);
        for (int id = c->eot; id < named; id++) {
            fprintf(f, "%s{\"id\":%d,\"content\":", id == c->eot ? "" : ",", id);
            put_json(f, c, id);
            fputc('}', f);
        }
        fputs("]}", f);
        assert_int_equal(fclose(f), 0);
        return;
    }
    assert_int_equal(fclose(f), 0);
    f = create(path, "added_tokens.json");
    for (int id = c->eot; id < named; id++) {
        fputc(id == c->eot ? '{' : ',', f);
        put_json(f, c, id);
        fprintf(f, ":%d", id);
    }
    fputc('}', f);
    assert_int_equal(fclose(f), 0);
}

static void check_tokens(struct world *w, struct load_weights *weights,
                         const struct net_whisper_config *c)
{
    struct str text;
    struct bpe *b;
    must(w, net_whisper_vocabulary(w->a, weights, c, &text, &w->e));
    must(w, bpe_open(w->a, text, c->vocab, &b, &w->e));
    for (int id = 0; id < c->vocab; id++) {
        char want[40];
        size_t n = id < c->eot ? token_bytes(c, id, want) : 0;
        if (id >= c->eot) {
            special_text(c, id, want);
            n = strlen(want);
        }
        struct str got = bpe_bytes(b, id);
        if (got.n != n || (n && memcmp(got.p, want, n) != 0))
            fail_msg("token %d is \"%.*s\"", id, (int)got.n, got.p);
    }
}

static const char CONFIG[] = "{\"suppress_ids\":[1,2,7],\"alignment_heads\":[[0,0]]}";
static const char GENERATION[] =
    "{\"suppress_tokens\":[1,2,7,900000],\"alignment_heads\":[[0,0]],"
    "\"begin_suppress_tokens\":[220],\"max_initial_timestamp_index\":50}";

static struct net_whisper_config small(int vocab, int mels)
{
    struct net_whisper_config c = {.n_mels = mels,
                                   .audio_ctx = 10,
                                   .text_ctx = 8,
                                   .width = 64,
                                   .heads = 1,
                                   .encoder_layers = 2,
                                   .decoder_layers = 1,
                                   .ffn = 256,
                                   .vocab = vocab,
                                   .eps = 1e-5f};
    assert_true(net_whisper_tokens(&c));
    return c;
}

static void check_config(struct world *w, const char *path, const struct net_whisper_config *want,
                         bool texts)
{
    struct load_weights weights;
    struct net_whisper_config c;
    must(w, load_open(w->a, path, &weights, &w->e));
    must(w, net_whisper_config(w->a, &weights, &c, &w->e));
    assert_int_equal(c.n_suppress, texts ? 3 : 0);
    assert_int_equal(c.n_alignment, texts ? 1 : want->heads); /* without: those of the last layer */
    if (texts) assert_int_equal(c.suppress[2], 7);
    memset(c.suppress, 0, sizeof c.suppress);
    c.n_suppress = c.n_alignment = 0;
    assert_memory_equal(&c, want, sizeof c);
    check_tokens(w, &weights, &c);
    load_close(&weights);
}

/* Sizes, token ids and tokens from every container, for every size of vocabulary. */
static void test_config(void **state)
{
    static const int vocab[] = {51864, 51865, 51866};
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(vocab); i++) {
        struct net_whisper_config c = small(vocab[i], i == 2 ? 128 : 80);
        struct model *m = make(w, &c);
        const char *ct2 = folder(w, "ct2"), *hugging = folder(w, "hugging"),
                   *ggml = folder(w, "ggml");
        write_ct2(ct2, m, (struct ct2_kind){"WhisperSpec", 3, DTYPE_F16, false});
        write_vocabulary(ct2, &c, LINES);
        unit_write(ct2, "config.json", CONFIG, sizeof CONFIG - 1);
        check_config(w, ct2, &c, true);

        write_hugging(hugging, m, DTYPE_F16, "model.", 1 + i);
        write_vocabulary(hugging, &c, i == 1 ? TOKENIZER : VOCAB_ADDED);
        char config[300];
        int n = snprintf(config, sizeof config,
                         "{\"d_model\":64,\"encoder_layers\":2,\"decoder_layers\":1,"
                         "\"encoder_attention_heads\":1,\"num_mel_bins\":%d,\"vocab_size\":%d}",
                         c.n_mels, c.vocab);
        unit_write(hugging, "config.json", config, (size_t)n);
        unit_write(hugging, "generation_config.json", GENERATION, sizeof GENERATION - 1);
        check_config(w, hugging, &c, true);
        check_config(w, convert(w, hugging, "float16"), &c, true);

        write_ggml(ggml, m, DTYPE_Q8_0, c.eot);
        unit_write(ggml, "tokenizer.json", "{}", 2); /* a stranger's: not read */
        unit_write(ggml, "config.json", "{\"d_model\":1}", 13);
        check_config(w, ggml, &c, false);
        check_config(w, convert(w, ggml, "int8"), &c, false);
    }
}

static void refused(struct world *w, const char *path, const char *because)
{
    struct load_weights weights;
    struct net_whisper_config c;
    struct str text;
    err_clear(&w->e);
    int rc = load_open(w->a, path, &weights, &w->e);
    if (rc == 0) {
        rc = net_whisper_config(w->a, &weights, &c, &w->e);
        if (rc == 0) rc = net_whisper_vocabulary(w->a, &weights, &c, &text, &w->e);
        load_close(&weights);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(w->e.code, E_MODEL);
    if (!strstr(w->e.text, because)) fail_msg("\"%s\" lacks \"%s\"", w->e.text, because);
}

static void say(struct world *w, const char *path, const char *file, const char *text,
                const char *because)
{
    unit_write(path, file, text, strlen(text));
    refused(w, path, because);
}

/* Values of the wrong kind: what is said of them names the member, what was found and what is
 * needed. */
/* clang-format off */
static const struct {
    const char *text, *because;
} wrong[] = {
    {"{\"d_model\":\"64\"}", "config.json: \"d_model\" is the text \"64\"; a number is needed"},
    {"{\"num_mel_bins\":[80]}", "\"num_mel_bins\" is a list of 1; a number is needed"},
    {"{\"encoder_layers\":{}}", "\"encoder_layers\" is an object of 0; a number is needed"},
    {"{\"vocab_size\":true}", "\"vocab_size\" is true; a number is needed"},
    {"{\"d_model\":64.5}", "d_model is 64.5 in its config, by its weights it must be 64"},
    {"{\"suppress_tokens\":7}", "\"suppress_tokens\" is the number 7; a list is needed"},
    {"{\"suppress_ids\":[\"7\"]}", "\"suppress_ids\" holds the text \"7\"; numbers of tokens are needed"},
    {"{\"suppress_ids\":[7.5]}", "\"suppress_ids\" holds the number 7.5; numbers of tokens are needed"},
    {"{\"alignment_heads\":[1]}", "\"alignment_heads\" holds the number 1; pairs [layer, head] are needed"},
    {"{\"alignment_heads\":[[0,null]]}", "\"alignment_heads\" holds a list of 2; pairs"},
    {"{\"layer_norm_epsilon\":0}", "layer_norm_epsilon is 0; more than 0 and less than 1 is needed"},
    {"[1]", "config.json: it is a list of 1; an object is needed"},
};
/* clang-format on */

static void test_refused(void **state)
{
    struct world *w = *state;
    struct net_whisper_config c = small(51864, 80);
    struct model *m = make(w, &c);
    const char *ct2 = folder(w, "ct2"), *hugging = folder(w, "hugging");
    write_ct2(ct2, m, (struct ct2_kind){"WhisperSpec", 4, DTYPE_F16, false});
    refused(w, ct2, "revision 4");
    write_ct2(ct2, m, (struct ct2_kind){"BertSpec", 3, DTYPE_F16, false});
    refused(w, ct2, "its specification is BertSpec");

    write_hugging(hugging, m, DTYPE_F16, "model.", 1);
    refused(w, hugging, "no vocabulary beside the weights");
    say(w, hugging, "vocab.json", "{\"a\":60000}", "token 60000 of a vocabulary of 51864");
    say(w, hugging, "vocab.json", "{\"a\":0}", "has no token 1");
    say(w, hugging, "vocab.json", "{\"a\\nb\":0}", "token 0 is not a word");
    say(w, hugging, "vocab.json", "{\"a\":0", "vocab.json");
    say(w, hugging, "config.json", "{\"d_model\":384}", "d_model is 384 in its config");
    say(w, hugging, "config.json", "{\"encoder_attention_heads\":2}",
        "by its weights it must be 1");
    say(w, hugging, "config.json", "{\"d_model\":", "config.json");
    for (size_t i = 0; i < COUNT(wrong); i++)
        say(w, hugging, "config.json", wrong[i].text, wrong[i].because);
    say(w, hugging, "config.json", "{\"d_model\":null}", "vocab.json"); /* says nothing */
    say(w, hugging, "config.json", "{}", "vocab.json");
    say(w, hugging, "generation_config.json", "{\"lang_to_id\":[1]}",
        "generation_config.json: \"lang_to_id\" is a list of 1; an object is needed");
    say(w, hugging, "generation_config.json", "{\"no_timestamps_token_id\":50363}",
        "must be 50362");
    say(w, hugging, "generation_config.json", "{\"lang_to_id\":{\"<|en|>\":1}}", "<|en|> is 1");

    struct model *less = make(w, &c);
    for (size_t i = 0; i < less->n; i++) {
        if (strcmp(less->t[i].name, "encoder/layer_1/ffn/linear_0/bias") == 0)
            less->t[i] = less->t[--less->n];
    }
    struct load_weights weights;
    struct net_whisper_shape shape = {
        .windows = 1, .sequences = 1, .rows = 1, .picks = 1, .top = 1, .mel_input = true};
    struct net_whisper_source source = {.weights = &weights};
    struct net_whisper net;
    struct plan *p;
    write_hugging(hugging, less, DTYPE_F16, "model.", 1);
    must(w, load_open(w->a, hugging, &weights, &w->e));
    assert_int_equal(net_whisper_plan(w->a, &source, &c, &shape, &p, &net, &w->e), -1);
    assert_non_null(strstr(w->e.text, "no tensor model.encoder.layers.1.fc1.bias"));
    load_close(&weights);
}

/* ------------------------------------------------------------------------- published sizes -- */

/* Millions of parameters as the model cards of openai and distil-whisper on the hub have them
 * (transformers' num_parameters). */
static void test_named(void **state)
{
    static const struct {
        const char *name;
        double millions;
    } published[] = {
        {"tiny.en", 37.8},
        {"tiny", 37.8},
        {"base.en", 72.6},
        {"base", 72.6},
        {"small.en", 241.7},
        {"small", 241.7},
        {"medium.en", 763.9},
        {"medium", 763.9},
        {"large-v1", 1543.3},
        {"large-v2", 1543.3},
        {"large-v3", 1543.5},
        {"large", 1543.5},
        {"turbo", 808.9},
        {"large-v3-turbo", 808.9},
        {"distil-small.en", 166.1},
        {"distil-medium.en", 394.4},
        {"distil-large-v2", 756.2},
        {"distil-large-v3", 756.4},
        {"distil-large-v3.5", 756.4},
    };
    struct world *w = *state;
    struct net_whisper_source none = {0};
    struct net_whisper_shape shape = {
        .windows = 1, .sequences = 1, .rows = 1, .picks = 1, .top = 1, .mel_input = true};
    for (size_t i = 0; i < COUNT(published); i++) {
        struct net_whisper_config c;
        struct net_whisper net;
        struct plan *p;
        assert_true(net_whisper_named(published[i].name, &c));
        must(w, net_whisper_plan(w->a, &none, &c, &shape, &p, &net, &w->e));
        double parameters = 0;
        for (int v = 0; v < p->n_values; v++) {
            const char *name = p->value[v].name;
            if (p->value[v].life != PLAN_WEIGHT) continue;
            parameters += (double)tensor_count(p->value[v].rank, p->value[v].dim);
            if (str_ends(name, "self_attention/linear_0/bias") ||
                str_ends(name, "/attention/linear_1/bias"))
                parameters -= c.width; /* keys have none */
        }
        parameters /= 1e6;
        if (fabs(parameters - published[i].millions) > 0.06)
            fail_msg("%s has %.2f million parameters, published are %.1f", published[i].name,
                     parameters, published[i].millions);
        arena_reset(w->a);
    }
    assert_false(net_whisper_named("giant", &(struct net_whisper_config){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_config, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_named, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
