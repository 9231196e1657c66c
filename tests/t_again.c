/* A GPU, the emulated one, that fails in the middle of a job: what is said and computed is what an
 * undisturbed run gives, once and whole; one that fails for good gives way to the CPU, or costs its
 * file if it was asked for. The models are small ones of hashed weights; their text means nothing.
 */
#include "base/log.h"
#include "fake_help.h"
#include "job_help.h"
#include "nets/net_sentence.h"

static const struct fake_test *fake;

static uint64_t kernels(void)
{
    struct fake_stats s;
    fake->stats(&s);
    return s.kernels;
}

static void plug_in(const char *description)
{
    if (fake->reset(description)) fail_msg("\"%s\" is no fake GPU", description);
}

static void nothing_left(const char *what)
{
    struct fake_stats s;
    fake->stats(&s);
    if (s.leaked || s.bytes || s.memory || s.host || s.modules || s.streams || s.graphs)
        fail_msg("%s: something is left on the GPU", what);
}

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)) != NULL; p++) n++;
    return n;
}

static void has(const char *text, const char *what)
{
    if (!strstr(text, what)) fail_msg("no \"%s\" in: %.2000s", what, text);
}

/* ---- transcribe ---- */

static const char *write_whisper(struct world *w, const char *name)
{
    struct net_whisper_config c;
    assert_true(net_whisper_named(name, &c));
    c.width = 64;
    c.heads = 1;
    c.encoder_layers = c.decoder_layers = 1;
    c.ffn = 64;
    c.audio_ctx = 100; /* windows of 2 s */
    c.text_ctx = 48;
    char *path = folder(w, name);
    write_ggml(path, make(w, &c), DTYPE_F16, c.eot);
    return file_join(w->a, path, "ggml-model.bin", &w->e);
}

struct ways { /* of one test: a model, two files, and the options below */
    struct world *w;
    const char *model, *first, *second;
    const char *const *options;
};

static int transcribe(const struct ways *t, const char *device, struct heard *h)
{
    const char *const same[] = {"--offline",
                                "--format=srt",
                                "--beam-size=1",
                                "--best-of=1",
                                "--temperature=0",
                                "--max-new-tokens=2",
                                "--no-speech-threshold=1",
                                "--threads=1",
                                "--quiet",
                                "--device",
                                device,
                                "--model",
                                t->model,
                                t->first,
                                t->second,
                                NULL};
    return job_run(t->w, &job_transcribe_row, h, same, t->options);
}

/* A kernel that dies at several places of the run, once each. */
static void dies_everywhere(const struct ways *t, uint64_t places)
{
    static struct heard whole, h;
    char fault[60];
    plug_in("t4");
    must(t->w, transcribe(t, "cuda", &whole));
    assert_string_equal(whole.notes, "");
    assert_true(count_of(whole.text, "-->") >= 2);
    uint64_t all = kernels(), first = 6; /* after the one that tries the GPU */
    for (uint64_t i = 0; i < places; i++) {
        snprintf(fault, sizeof fault, "t4,sticky=700@%llu",
                 (unsigned long long)(first + (all - first) * (2 * i + 1) / (2 * places)));
        plug_in(fault);
        if (transcribe(t, "cuda", &h)) fail_msg("%s: %s", fault, h.e.text);
        if (strcmp(h.text, whole.text) != 0)
            fail_msg("%s: %s\ninstead of: %s", fault, h.text, whole.text);
        assert_int_equal(count_of(h.notes, "\n"), 1);
        has(h.notes, "CUDA_ERROR_ILLEGAL_ADDRESS (700); going on with cuda, Tesla T4");
        nothing_left(fault);
    }
}

static struct ways english(struct world *w, const char *const *options)
{
    return (struct ways){w, write_whisper(w, "tiny.en"), job_noise(w, "one", 2.5),
                         job_noise(w, "two", 1), options};
}

static void test_sequential(void **state)
{
    static const char *const options[] = {"--no-timestamps", NULL};
    struct ways t = english(*state, options);
    dies_everywhere(&t, 2);
}

static void test_batch(void **state)
{
    static const char *const options[] = {"--batch-size=2", "--word-timestamps",
                                          "--max-words-per-line=1", NULL};
    struct ways t = english(*state, options);
    dies_everywhere(&t, 1);
}

/* While the language is listened for. */
static void test_listening(void **state)
{
    static const char *const options[] = {"--language-detection-segments=1", NULL};
    struct world *w = *state;
    struct ways t = {w, write_whisper(w, "tiny"), job_noise(w, "one", 2), job_noise(w, "two", 1),
                     options};
    static struct heard h;
    plug_in("t4,cuGraphLaunch=304@3");
    must(w, transcribe(&t, "cuda", &h));
    assert_true(count_of(h.text, "-->") >= 2);
    has(h.notes, "one.wav: Tesla T4: cuGraphLaunch: ");
    nothing_left("listening");
}

/* A GPU that fails for good: in the first file, in the second, and one that cannot be opened again.
 */
static void test_for_good(void **state)
{
    static const char *const options[] = {NULL}, *const batch[] = {"--batch-size=2", NULL};
    static struct heard whole, h;
    struct world *w = *state;
    struct ways t = english(w, options);
    for (int i = 0; i < 2; i++, t.options = batch) {
        plug_in("t4,cuGraphLaunch=304@4+");
        must(w, transcribe(&t, "auto", &h)); /* what is on the CPU stays there */
        if (count_of(h.text, "-->") < 2) fail_msg("%s%s", h.text, h.notes);
        has(h.notes, "one.wav: Tesla T4: cuGraphLaunch: ");
        has(h.notes, "; going on with cpu, ");
        assert_int_equal(count_of(h.notes, "going on with"), 2);
        nothing_left("auto");

        plug_in("t4,cuGraphLaunch=304@4+");
        assert_int_equal(transcribe(&t, "cuda", &h), -1);
        assert_int_equal(h.e.code, E_PARTIAL);
        has(h.e.text, "2 of 2 inputs failed");
        has(h.notes, "one.wav: Tesla T4: cuGraphLaunch: ");
        has(h.notes, "two.wav: Tesla T4: cuGraphLaunch: ");
        nothing_left("cuda");
    }
    plug_in("t4,sticky=700@20,cuDevicePrimaryCtxRetain=46@2+");
    assert_int_equal(transcribe(&t, "cuda", &h), -1);
    assert_int_equal(h.e.code, E_PARTIAL);
    has(h.notes, "one.wav: Tesla T4: ");
    has(h.notes, "(700)\n");
    has(h.notes, "(46)\n"); /* the second file's */
    plug_in("t4,sticky=700@20,cuDevicePrimaryCtxRetain=46@2+");
    must(w, transcribe(&t, "auto", &h));
    has(h.notes, "(700); going on with cpu, ");
    nothing_left("not again");

    /* a file under which the device fails twice costs itself: the next one has it whole */
    t.options = options;
    plug_in("t4");
    must(w, transcribe(&t, "cuda", &whole));
    plug_in("t4,cuGraphLaunch=304@4,cuGraphLaunch=304@5");
    assert_int_equal(transcribe(&t, "cuda", &h), -1);
    assert_int_equal(h.e.code, E_PARTIAL);
    has(h.e.text, "1 of 2 inputs failed");
    assert_true(h.text[0] && str_ends(whole.text, h.text));
    nothing_left("twice");
}

/* Two models of a route are on the same GPU: under the second one's failure the first lets go. */
static void test_route(void **state)
{
    struct world *w = *state;
    static struct heard whole, h;
    const char *multi = write_whisper(w, "tiny");
    char *route = arena_format(w->a, &w->e, "en=%s:int8_float16,default=%s", multi, multi);
    const char *const options[] = {
        "--route",         route, "--language-detection-segments=1", "--languages=en",
        "--no-timestamps", NULL};
    struct ways t = {w, "tiny.en", job_noise(w, "one", 1), NULL, options};
    plug_in("t4");
    must(w, transcribe(&t, "cuda", &whole));
    plug_in("t4,cuGraphLaunch=304@6");
    must(w, transcribe(&t, "cuda", &h));
    assert_string_equal(h.text, whole.text);
    assert_int_equal(count_of(h.notes, "going on with cuda"), 1);
    nothing_left("route");
}

/* ---- embed, match ---- */

static void put_tensor(FILE *data, FILE *head, const char *name, int64_t rows, int64_t columns)
{
    int64_t n = rows * MAX(columns, 1), at = ftell(data);
    bool norm = strstr(name, "LayerNorm.weight") != NULL;
    for (int64_t i = 0; i < n; i++) {
        float x = norm ? 1 : tensor_hash(name, (uint64_t)i, 0.3f);
        put(data, &x, sizeof x);
    }
    fprintf(head, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%lld", at ? "," : "{", name,
            (long long)rows);
    if (columns) fprintf(head, ",%lld", (long long)columns);
    fprintf(head, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)(at + 4 * n));
}

static void put_both(FILE *data, FILE *head, const char *name, int64_t rows, int64_t columns)
{
    char full[100];
    snprintf(full, sizeof full, "%s.weight", name);
    put_tensor(data, head, full, rows, columns);
    snprintf(full, sizeof full, "%s.bias", name);
    put_tensor(data, head, full, rows, 0);
}

/* A BERT of one layer whose words are 0 .. 89. */
static const char *write_bert(struct world *w)
{
    enum { WORDS = 90, VOCAB = WORDS + 5, WIDTH = 64, FFN = 96 };
    static const char config[] =
        "{\"model_type\":\"bert\",\"hidden_size\":64,\"num_attention_heads\":4,"
        "\"num_hidden_layers\":1,\"intermediate_size\":96,\"vocab_size\":95,"
        "\"max_position_embeddings\":40}";
    static const struct {
        const char *name;
        int rows, columns;
    } parts[] = {
        {"embeddings.LayerNorm", WIDTH, 0},
        {"encoder.layer.0.attention.self.query", WIDTH, WIDTH},
        {"encoder.layer.0.attention.self.key", WIDTH, WIDTH},
        {"encoder.layer.0.attention.self.value", WIDTH, WIDTH},
        {"encoder.layer.0.attention.output.dense", WIDTH, WIDTH},
        {"encoder.layer.0.attention.output.LayerNorm", WIDTH, 0},
        {"encoder.layer.0.intermediate.dense", FFN, WIDTH},
        {"encoder.layer.0.output.dense", WIDTH, FFN},
        {"encoder.layer.0.output.LayerNorm", WIDTH, 0},
    };
    char *path = folder(w, "bert"), *header = NULL, piece[4096];
    size_t bytes;
    unit_write(path, "config.json", config, sizeof config - 1);
    FILE *f = create(path, "vocab.txt"), *data = tmpfile(), *head = open_memstream(&header, &bytes);
    fputs("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", f);
    for (int i = 0; i < WORDS; i++) fprintf(f, "%d\n", i);
    assert_int_equal(fclose(f), 0);
    put_tensor(data, head, "embeddings.word_embeddings.weight", VOCAB, WIDTH);
    put_tensor(data, head, "embeddings.position_embeddings.weight", 40, WIDTH);
    put_tensor(data, head, "embeddings.token_type_embeddings.weight", 2, WIDTH);
    for (size_t i = 0; i < COUNT(parts); i++)
        put_both(data, head, parts[i].name, parts[i].rows, parts[i].columns);
    fputs("}", head);
    fclose(head);
    f = create(path, "model.safetensors");
    put_u32(f, (uint32_t)bytes);
    put_u32(f, 0);
    put(f, header, bytes);
    free(header);
    rewind(data);
    for (size_t n; (n = fread(piece, 1, sizeof piece, data)) > 0;) put(f, piece, n);
    fclose(data);
    assert_int_equal(fclose(f), 0);
    return path;
}

static const char *write_texts(struct world *w, const char *name, int from, int n)
{
    FILE *f = create(w->folder, name);
    for (int i = from; i < from + n; i++) fprintf(f, "%d %d %d\n", i, 7 * i % 90, 11 * i % 90);
    assert_int_equal(fclose(f), 0);
    return file_join(w->a, w->folder, name, &w->e);
}

/* A job over texts, disturbed at every `stride`-th kernel. */
static void texts_survive(struct world *w, const struct lode_job *job, const char *first,
                          const char *second, uint64_t stride)
{
    static struct heard whole, h;
    static const char *const on_gpu[] = {"--device=cuda", NULL}, *const on_any[] = {NULL};
    const char *const same[] = {"--offline",   "--quiet", "--threads=1", "--model",
                                write_bert(w), first,     second,        NULL};
    char fault[60];
    plug_in("t4");
    must(w, job_run(w, job, &whole, same, on_gpu));
    assert_true(count_of(whole.text, "\n") > 4);
    uint64_t all = kernels();
    for (uint64_t at = 2; at <= all; at += stride) {
        snprintf(fault, sizeof fault, "t4,sticky=700@%llu", (unsigned long long)at);
        plug_in(fault);
        if (job_run(w, job, &h, same, on_gpu)) fail_msg("%s: %s", fault, h.e.text);
        if (strcmp(h.text, whole.text) != 0) fail_msg("%s: %s", fault, h.text);
        assert_int_equal(count_of(h.notes, "\n"), 1);
        has(h.notes, "CUDA_ERROR_ILLEGAL_ADDRESS (700); going on with cuda, Tesla T4");
        nothing_left(fault);
    }
    plug_in("t4,cuGraphLaunch=304@1+");
    must(w, job_run(w, job, &h, same, on_any));
    has(h.notes, "; going on with cpu, ");
    assert_int_equal(count_of(h.text, "\n"), count_of(whole.text, "\n"));
    plug_in("t4,cuGraphLaunch=304@1+");
    assert_int_equal(job_run(w, job, &h, same, on_gpu), -1);
    assert_int_equal(h.e.code, E_DEVICE);
    has(h.e.text, "Tesla T4: cuGraphLaunch: ");
    nothing_left("for good");
}

static void test_embed(void **state)
{
    struct world *w = *state;
    texts_survive(w, &job_embed_row, write_texts(w, "texts.txt", 0, 6), NULL, 9);
}

static void test_match(void **state)
{
    struct world *w = *state;
    texts_survive(w, &job_match_row, write_texts(w, "queries.txt", 20, 3),
                  write_texts(w, "targets.txt", 0, 6), 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_embed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_match, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sequential, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_listening, setup, teardown),
        cmocka_unit_test_setup_teardown(test_for_good, setup, teardown),
        cmocka_unit_test_setup_teardown(test_route, setup, teardown),
    };
    log_set_level(LOG_QUIET);
    fake = fake_open("t4");
    return cmocka_run_group_tests_name("again", tests, NULL, NULL);
}
