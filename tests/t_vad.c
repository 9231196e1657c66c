/* Voice activity against onnxruntime and faster-whisper (tools/golden/vad.py): the network with
 * hashed weights always, with Silero's own if they are in the cache; the segmenter on probabilities
 * of real and made-up audio; windows and the way back to original times. */
#include "jobs/vad.h"
#include "load/store.h"
#include "unit.h"

#include <math.h>

struct world {
    struct arena *a;
    struct load_weights golden;
    struct err e;
};

static void must(struct world *w, int rc)
{
    if (rc) fail_msg("%s", w->e.text);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    *state = w;
    return arena_open("test", 0, &w->a, &w->e) ||
                   load_open(w->a, "tests/golden/vad.safetensors", &w->golden, &w->e)
               ? -1
               : 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    load_close(&w->golden);
    arena_close(&w->a);
    free(w);
    return 0;
}

/* A tensor of the golden as numbers; *n of them. */
static const float *golden(struct world *w, const char *name, int64_t *n)
{
    const struct load_tensor *t = load_find(&w->golden, name);
    if (!t) fail_msg("the golden has no %s", name);
    *n = tensor_count(t->t.rank, t->t.dim);
    float *out = ARENA_NEW(w->a, float, (size_t)*n, &w->e);
    assert_non_null(out);
    for (int64_t r = 0; r < t->t.dim[0]; r++) tensor_row(&t->t, r, out + r * (*n / t->t.dim[0]));
    return out;
}

/* As OPTIONS in tools/golden/vad.py. */
static const struct {
    const char *name;
    struct vad_options o;
} kinds[] = {
    {"sequential", {0.5, -1, 0, INFINITY, 2000, 400}},
    {"batched", {0.5, -1, 0, 30, 160, 400}},
    {"upstream", {0.5, -1, 250, INFINITY, 100, 30}},
    {"short", {0.5, -1, 0, 3, 2000, 100}},
    {"strict", {0.9, 0.6, 500, 5, 500, 0}},
};

/* ---- sources and takers ---- */

struct tape { /* samples handed out in pieces of odd sizes; after `fail_at` an error */
    const float *p;
    int64_t n, at, piece, fail_at;
};

static int64_t read_tape(void *ctx, float *dst, int64_t n, struct err *e)
{
    struct tape *t = ctx;
    if (t->fail_at && t->at >= t->fail_at) return err_set(e, E_IO, "the tape is torn");
    n = MIN(n, MIN(t->n - t->at, t->piece));
    memcpy(dst, t->p + t->at, (size_t)n * sizeof *dst);
    t->at += n;
    return n;
}

struct heap { /* probabilities as they come; at `stop` of them an error */
    float p[4096];
    int64_t n, stop;
};

static int take(void *ctx, float probability, struct err *e)
{
    struct heap *h = ctx;
    if (h->stop && h->n == h->stop) return err_set(e, E_CANCELLED, "enough");
    assert_true(h->n < (int64_t)COUNT(h->p));
    h->p[h->n++] = probability;
    return 0;
}

static void listen_to(struct world *w, struct vad *v, const float *p, int64_t n, int64_t piece,
                      struct heap *out)
{
    struct tape t = {.p = p, .n = n, .piece = piece};
    int64_t n_samples;
    out->n = out->stop = 0;
    must(w, vad_listen(v, (struct vad_source){&t, read_tape}, (struct vad_taker){out, take},
                       &n_samples, &w->e));
    assert_int_equal(n_samples, n);
    assert_int_equal(out->n, n / SILERO_BLOCK + 1);
}

/* ---- the network ---- */

static float *hashed_audio(struct world *w, int64_t n)
{
    float *out = ARENA_NEW(w->a, float, (size_t)n, &w->e);
    assert_non_null(out);
    for (int64_t i = 0; i < n; i++)
        out[i] = tensor_hash("vad audio", (uint64_t)i, 0.5f) *
                 (1 + tensor_hash("vad loudness", (uint64_t)(i / 1000), 1));
    return out;
}

static void test_hashed(void **state)
{
    static const char *const levels[] = {"ref", "base", "avx2", "avx512"};
    struct world *w = *state;
    static struct heap got;
    int64_t n_want, n = 200 * 512 + 500;
    const float *want = golden(w, "hashed", &n_want), *audio = hashed_audio(w, n);
    int tried = 0;
    for (size_t i = 0; i < COUNT(levels); i++) {
        struct vad *v;
        struct engine_options o = {.device = "cuda", .kernels = levels[i], .threads = 1 + i % 2};
        if (vad_open(w->a, NULL, &o, &v, &w->e)) { /* a level this processor lacks */
            assert_int_equal(w->e.code, E_DEVICE);
            continue;
        }
        tried++;
        listen_to(w, v, audio, n, 1000, &got);
        assert_int_equal(got.n, n_want);
        unit_all_near(levels[i], got.p, want, n_want, 1e-5);
        static struct heap again; /* nothing is left of the run before, and pieces do not matter */
        listen_to(w, v, audio, n, 77, &again);
        assert_memory_equal(got.p, again.p, (size_t)got.n * sizeof *got.p);
        vad_close(&v);
        assert_null(v);
    }
    assert_true(tried >= 2);
}

static void test_odd_sources(void **state)
{
    struct world *w = *state;
    static struct heap got, part;
    struct engine_options o = {.threads = 2};
    struct vad *v;
    float *audio = hashed_audio(w, 300 * 512);
    must(w, vad_open(w->a, NULL, &o, &v, &w->e));
    listen_to(w, v, audio, 0, 512, &got);
    listen_to(w, v, audio, 1, 512, &got);
    assert_true(isfinite(got.p[0]));
    listen_to(w, v, audio, 300 * 512, 4096, &got); /* several runs, and an empty block at the end */
    listen_to(w, v, audio, 130 * 512 + 100, 4096, &part);
    assert_memory_equal(got.p, part.p, 129 * sizeof *got.p);
    assert_true(part.p[130] != got.p[130]);

    struct tape t = {.p = audio, .n = 300 * 512, .piece = 100, .fail_at = 70000};
    int64_t n;
    struct vad_source source = {&t, read_tape};
    struct vad_taker taker = {&part, take};
    part.n = 0;
    assert_int_equal(vad_listen(v, source, taker, &n, &w->e), -1);
    assert_int_equal(w->e.code, E_IO);
    assert_int_equal(part.n, 128); /* what came before the tear */
    t = (struct tape){.p = audio, .n = 300 * 512, .piece = 512};
    part.n = 0;
    part.stop = 5;
    assert_int_equal(vad_listen(v, source, taker, &n, &w->e), -1);
    assert_int_equal(w->e.code, E_CANCELLED);
    listen_to(w, v, audio, 300 * 512, 4096, &part); /* whole again after both */
    assert_memory_equal(got.p, part.p, (size_t)got.n * sizeof *got.p);
    vad_close(&v);
}

/* ---- Silero itself ---- */

static char *silero(struct world *w)
{
    char *path;
    if (store_find(w->a, "silero-vad-v6", true, &(struct fetch_watch){0}, &path, &w->e) != 0) {
        printf("silero-vad-v6 is not in the cache (lode pull silero-vad-v6)\n");
        skip();
    }
    return path;
}

static float *read_jfk(struct world *w, int64_t *n)
{
    struct audio *audio;
    must(w, audio_open(w->a, "samples/jfk.wav", SILERO_RATE_HZ, &audio, &w->e));
    float *out = ARENA_NEW(w->a, float, 200000, &w->e);
    *n = audio_read(audio, out, 200000, &w->e);
    assert_int_equal(*n, 176000);
    audio_close(&audio);
    return out;
}

static void regions_are(struct world *w, const char *name, const char *options,
                        const struct vad_regions *r, int64_t n_samples)
{
    char key[64];
    int64_t n;
    snprintf(key, sizeof key, "%s.%s", name, options);
    const float *want = golden(w, key, &n);
    assert_int_equal(n_samples, (int64_t)want[0]);
    if (r->n != (size_t)want[1])
        fail_msg("%s: %zu regions, expected %g", key, r->n, (double)want[1]);
    for (size_t i = 0; i < r->n; i++) {
        if (r->at[i].start != (int64_t)want[2 * i + 2] || r->at[i].end != (int64_t)want[2 * i + 3])
            fail_msg("%s: region %zu is %lld to %lld, expected %g to %g", key, i,
                     (long long)r->at[i].start, (long long)r->at[i].end, (double)want[2 * i + 2],
                     (double)want[2 * i + 3]);
    }
}

static void test_silero(void **state)
{
    struct world *w = *state;
    static struct heap got;
    struct engine_options o = {.threads = 2};
    struct vad *v;
    int64_t n, n_want, n_audio;
    must(w, vad_open(w->a, silero(w), &o, &v, &w->e));
    float *audio = read_jfk(w, &n);
    listen_to(w, v, audio, n, 512, &got);
    const float *want = golden(w, "jfk", &n_want);
    unit_all_near("jfk", got.p, want, n_want, 1e-4);

    const float *tail = golden(w, "tail", &n_want), half = 0.5f;
    listen_to(w, v, &half, 1, 512, &got);
    unit_all_near("one sample", &got.p[0], tail, 1, 1e-4);
    listen_to(w, v, audio + 8000, 512, 512, &got);
    unit_all_near("after a whole block", &got.p[1], tail + 1, 1, 1e-4);
    listen_to(w, v, audio + 8000, 513, 512, &got);
    unit_all_near("after a block and a sample", &got.p[1], tail + 2, 1, 1e-4);

    for (int64_t i = 0; i < n; i++)
        audio[i] = audio[i] * 0.25f + tensor_hash("vad noise", (uint64_t)i, 0.0625f);
    listen_to(w, v, audio, n, 512, &got);
    want = golden(w, "noisy", &n_want);
    unit_all_near("noisy", got.p, want, n_want, 1e-4);

    struct audio *file;
    struct vad_regions r;
    must(w, audio_open(w->a, "samples/jfk.wav", SILERO_RATE_HZ, &file, &w->e));
    must(w, vad_regions(w->a, v, vad_audio(file), &kinds[1].o, &r, &n_audio, &w->e));
    regions_are(w, "jfk", "batched", &r, n_audio);
    audio_close(&file);

    memset(audio, 0, (size_t)n * sizeof *audio); /* silence, then noise: no speech in either */
    struct tape t = {.p = audio, .n = n, .piece = 512};
    must(w, vad_regions(w->a, v, (struct vad_source){&t, read_tape}, &kinds[1].o, &r, &n_audio,
                        &w->e));
    assert_int_equal(r.n, 0);
    for (int64_t i = 0; i < n; i++) audio[i] = tensor_hash("vad noise", (uint64_t)i, 0.05f);
    t.at = 0;
    must(w, vad_regions(w->a, v, (struct vad_source){&t, read_tape}, &kinds[1].o, &r, &n_audio,
                        &w->e));
    assert_int_equal(r.n, 0);
    vad_close(&v);
}

/* ---- the two families of files ---- */

/* The test weights in files as the two families write them. For ONNX the gates are in another
 * order, both biases lie in one tensor, and the LSTM's tensors have counted names. */
static const struct stored {
    const char *name, *onnx;
    int64_t dim[4], onnx_dim[4];
} stored[] = {
    {"stft_conv.weight",
     "encoder.feature_extractor.forward_basis_buffer",
     {258, 1, 256},
     {258, 1, 256}},
    {"conv1.weight", "encoder.conv_layers.0.weight", {128, 129, 3}, {128, 129, 3}},
    {"conv1.bias", "encoder.conv_layers.0.bias", {128}, {128}},
    {"conv2.weight", "encoder.conv_layers.1.weight", {64, 128, 3}, {64, 128, 3}},
    {"conv2.bias", "encoder.conv_layers.1.bias", {64}, {64}},
    {"conv3.weight", "encoder.conv_layers.2.weight", {64, 64, 3}, {64, 64, 3}},
    {"conv3.bias", "encoder.conv_layers.2.bias", {64}, {64}},
    {"conv4.weight", "encoder.conv_layers.3.weight", {128, 64, 3}, {128, 64, 3}},
    {"conv4.bias", "encoder.conv_layers.3.bias", {128}, {128}},
    {"final_conv.weight", "decoder.conv1d.weight", {1, 128, 1}, {1, 128, 1}},
    {"final_conv.bias", "decoder.conv1d.bias", {1}, {1}},
    {"lstm_cell.weight_ih", "onnx::LSTM_99", {512, 128}, {1, 512, 128}},
    {"lstm_cell.weight_hh", "onnx::LSTM_100", {512, 128}, {1, 512, 128}},
    {"lstm_cell.bias_ih", "onnx::LSTM_101", {512}, {1, 1024}},
    {"lstm_cell.bias_hh", NULL, {512}, {0}},
};

struct file {
    uint8_t *p; /* of a megabyte and a half */
    size_t n;
};

static void add(struct file *f, const void *p, size_t n)
{
    assert_true(f->n + n <= 3 << 19);
    memcpy(f->p + f->n, p, n);
    f->n += n;
}

static int rank_of(const int64_t *dim)
{
    int rank = 0;
    while (rank < 4 && dim[rank]) rank++;
    return rank;
}

/* Appends numbers [from, to) of the test tensor of that name, which has n. */
static void add_hashed(struct file *f, const struct stored *s, int64_t from, int64_t to)
{
    int rank = rank_of(s->dim);
    int64_t n = tensor_count(rank, s->dim);
    float gain = rank == 1 ? 0.1f : (float)(4 / sqrt((double)(n / s->dim[0])));
    for (int64_t i = from; i < to; i++) {
        float x = tensor_hash(s->name, (uint64_t)i, gain);
        add(f, &x, sizeof x);
    }
}

static void add_onnx_gates(struct file *f, const struct stored *s)
{
    static const int order[] = {0, 3, 1, 2}; /* input, output, forget, cell */
    int64_t n = tensor_count(rank_of(s->dim), s->dim) / 4;
    for (int g = 0; g < 4; g++) add_hashed(f, s, order[g] * n, (order[g] + 1) * n);
}

/* without: this tensor is left out. */
static void make_safetensors(struct file *f, const char *without)
{
    static char header[8192];
    size_t at = (size_t)snprintf(header, sizeof header, "{"), bytes = 0;
    for (size_t i = 0; i < COUNT(stored); i++) {
        const int64_t *d = stored[i].dim;
        size_t end = bytes + (size_t)tensor_count(rank_of(d), d) * 4;
        if (without && strcmp(stored[i].name, without) == 0) continue;
        at += (size_t)snprintf(header + at, sizeof header - at,
                               "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%d", bytes ? "," : "",
                               stored[i].name, (int)d[0]);
        for (int k = 1; k < rank_of(d); k++)
            at += (size_t)snprintf(header + at, sizeof header - at, ",%d", (int)d[k]);
        at += (size_t)snprintf(header + at, sizeof header - at, "],\"data_offsets\":[%zu,%zu]}",
                               bytes, end);
        bytes = end;
    }
    at += (size_t)snprintf(header + at, sizeof header - at, "}");
    f->n = 0;
    add(f, &(uint64_t){at}, 8);
    add(f, header, at);
    for (size_t i = 0; i < COUNT(stored); i++) {
        if (without && strcmp(stored[i].name, without) == 0) continue;
        add_hashed(f, &stored[i], 0, tensor_count(rank_of(stored[i].dim), stored[i].dim));
    }
}

static void add_varint(struct file *f, uint64_t v)
{
    for (; v > 127; v >>= 7) add(f, &(uint8_t){(uint8_t)(v | 128)}, 1);
    add(f, &(uint8_t){(uint8_t)v}, 1);
}

static void add_field(struct file *f, int number, const void *p, size_t n)
{
    add_varint(f, (uint64_t)number << 3 | 2);
    add_varint(f, n);
    add(f, p, n);
}

/* scratch: two more files. */
static void make_onnx(struct file *f, struct file scratch[3])
{
    struct file *graph = &scratch[0], *tensor = &scratch[1], *raw = &scratch[2];
    for (size_t i = 0; i < COUNT(stored) && stored[i].onnx; i++) {
        const int64_t *d = stored[i].onnx_dim;
        bool gates = strncmp(stored[i].name, "lstm", 4) == 0;
        tensor->n = raw->n = 0;
        for (int k = 0; k < rank_of(d); k++) {
            add_varint(tensor, 1 << 3);
            add_varint(tensor, (uint64_t)d[k]);
        }
        add(tensor, "\x10\x01", 2);
        add_field(tensor, 8, stored[i].onnx, strlen(stored[i].onnx));
        if (gates)
            add_onnx_gates(raw, &stored[i]);
        else
            add_hashed(raw, &stored[i], 0, tensor_count(rank_of(d), d));
        if (strcmp(stored[i].name, "lstm_cell.bias_ih") == 0) add_onnx_gates(raw, &stored[i + 1]);
        add_field(tensor, 9, raw->p, raw->n);
        add_field(graph, 5, tensor->p, tensor->n);
    }
    f->n = 0;
    add(f, "\x08\x08\x12\x07pytorch", 11);
    add_field(f, 7, graph->p, graph->n);
}

static void test_files(void **state)
{
    struct world *w = *state;
    struct engine_options o = {.threads = 2};
    static struct heap want, got;
    struct file f[4];
    struct vad *v;
    char folder[100], path[200];
    int64_t n = 40 * 512;
    float *audio = hashed_audio(w, n);
    for (int i = 0; i < 4; i++) f[i] = (struct file){ARENA_NEW(w->a, uint8_t, 3 << 19, &w->e), 0};
    must(w, vad_open(w->a, NULL, &o, &v, &w->e));
    listen_to(w, v, audio, n, 512, &want);
    vad_close(&v);
    unit_folder(folder, sizeof folder);
    for (int onnx = 0; onnx < 2; onnx++) {
        if (onnx)
            make_onnx(&f[0], f + 1);
        else
            make_safetensors(&f[0], NULL);
        snprintf(path, sizeof path, "%s",
                 unit_write(folder, onnx ? "v.onnx" : "v.safetensors", f[0].p, f[0].n));
        must(w, vad_open(w->a, path, &o, &v, &w->e));
        listen_to(w, v, audio, n, 512, &got);
        assert_memory_equal(got.p, want.p, (size_t)want.n * sizeof *want.p);
        vad_close(&v);
    }
    must(w, vad_open(w->a, folder, &o, &v, &w->e)); /* which holds one ONNX file */
    vad_close(&v);
    for (size_t i = 0; i < COUNT(stored); i++) { /* each tensor is missed if it is not there */
        make_safetensors(&f[0], stored[i].name);
        const char *less = unit_write(folder, "less.safetensors", f[0].p, f[0].n);
        assert_int_equal(vad_open(w->a, less, &o, &v, &w->e), -1);
        assert_int_equal(w->e.code, E_MODEL);
        if (!strstr(w->e.text, stored[i].name)) fail_msg("%s", w->e.text);
    }
    unit_remove(folder);
}

/* A byte of the header changed: shapes and names that do not fit are said, never believed. */
static void test_wrong_shapes(void **state)
{
    static const struct {
        const char *from, *to;
    } swap[] = {
        {"[258,1,256]", "[256,1,258]"}, {"[128,129,3]", "[129,128,3]"},
        {"[512,128]", "[128,512]"},     {"[1,128,1]", "[2,64,1]"},
        {"[64,64,3]", "[64,3,64]"},     {"[258,1,256]", "[258,2,128]"},
    };
    struct world *w = *state;
    struct engine_options o = {.threads = 1};
    struct file f = {ARENA_NEW(w->a, uint8_t, 3 << 19, &w->e), 0};
    struct vad *v;
    char folder[100];
    unit_folder(folder, sizeof folder);
    for (size_t i = 0; i < COUNT(swap); i++) {
        make_safetensors(&f, NULL);
        char *at = memmem(f.p, 8192, swap[i].from, strlen(swap[i].from));
        assert_non_null(at);
        memcpy(at, "           ", strlen(swap[i].from));
        memcpy(at, swap[i].to, strlen(swap[i].to));
        const char *path = unit_write(folder, "v.safetensors", f.p, f.n);
        assert_int_equal(vad_open(w->a, path, &o, &v, &w->e), -1);
        assert_int_equal(w->e.code, E_MODEL);
        if (!strstr(w->e.text, "expected [")) fail_msg("%s", w->e.text);
    }
    unit_remove(folder);
}

static void test_refused(void **state)
{
    struct world *w = *state;
    struct engine_options o = {.threads = 1};
    struct vad *v;
    assert_int_equal(vad_open(w->a, "tests/golden/vad.safetensors", &o, &v, &w->e), -1);
    assert_int_equal(w->e.code, E_MODEL);
    assert_non_null(strstr(w->e.text, "not a Silero VAD"));
    assert_int_equal(vad_open(w->a, "tests/golden", &o, &v, &w->e), -1);
    assert_int_equal(w->e.code, E_MODEL);
    o.kernels = "mmx";
    assert_int_equal(vad_open(w->a, NULL, &o, &v, &w->e), -1);
    assert_int_equal(w->e.code, E_USAGE);
}

/* ---- the segmenter ---- */

static void cut(struct world *w, const float *p, int64_t n, const struct vad_options *o,
                int64_t n_samples, struct vad_regions *r)
{
    struct vad_cut c;
    vad_cut_begin(&c, w->a, o, r);
    for (int64_t i = 0; i < n; i++) must(w, vad_cut_take(&c, p[i], &w->e));
    must(w, vad_cut_end(&c, n_samples, &w->e));
}

static void test_regions(void **state)
{
    static const char *const names[] = {"jfk", "noisy", "long", "stereo", "walk"};
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(names); i++) {
        int64_t n, ignored;
        const float *p = golden(w, names[i], &n);
        for (size_t k = 0; k < COUNT(kinds); k++) {
            char key[64];
            struct vad_regions r;
            snprintf(key, sizeof key, "%s.%s", names[i], kinds[k].name);
            int64_t n_samples = (int64_t)golden(w, key, &ignored)[0];
            cut(w, p, n, &kinds[k].o, n_samples, &r);
            regions_are(w, names[i], kinds[k].name, &r, n_samples);
        }
    }
}

static void test_no_regions(void **state)
{
    struct world *w = *state;
    struct vad_regions r;
    static const float nan_and_edge[] = {NAN, 0.49999997f, 0.35f, NAN};
    cut(w, nan_and_edge, 4, &kinds[1].o, 3 * 512 + 1, &r);
    assert_int_equal(r.n, 0);
    cut(w, NULL, 0, &kinds[1].o, 0, &r);
    assert_int_equal(r.n, 0);
    assert_int_equal(vad_samples(&r), 0);
}

/* Two regions far apart with 0.4 s of silence on either side, and a third that meets the second. */
static void test_where_it_begins(void **state)
{
    (void)state;
    enum { S = SILERO_RATE_HZ };
    struct vad_region at[] = {
        {0, 10 * S, 0}, {100 * S, 110 * S, 10 * S}, {110 * S, 120 * S, 20 * S}};
    struct vad_regions r = {at, 3, 3, S * 2 / 5};
    assert_float_equal(vad_time_s(&r, 9.5, false), 9.5, 1e-9);
    assert_float_equal(vad_time_s(&r, 9.7, false), 100, 1e-9);
    assert_float_equal(vad_time_s(&r, 9.7, true), 9.7, 1e-9);
    assert_float_equal(vad_time_s(&r, 10.3, true), 10, 1e-9);
    assert_float_equal(vad_time_s(&r, 10.5, true), 100.5, 1e-9);
    assert_float_equal(vad_time_s(&r, 10.3, false), 100.3, 1e-9);
    assert_float_equal(vad_time_s(&r, 19.9, false), 109.9, 1e-9);
    assert_float_equal(vad_time_s(&r, 20.1, true), 110.1, 1e-9);
    assert_float_equal(vad_time_s(&r, 0.1, true), 0.1, 1e-9);
    assert_float_equal(vad_time_s(&r, 29.9, false), 119.9, 1e-9);
}

static void test_bound(void **state)
{
    struct world *w = *state;
    struct vad_options o = {.threshold = 0.5, .neg_threshold = -1, .max_speech_s = INFINITY};
    struct vad_regions r;
    struct vad_cut c;
    vad_cut_begin(&c, w->a, &o, &r);
    int rc = 0;
    int64_t blocks = 0;
    while (rc == 0 && blocks < 4 * VAD_REGIONS_MAX)
        rc = vad_cut_take(&c, blocks++ % 2 ? 0 : 1, &w->e);
    assert_int_equal(rc, -1);
    assert_int_equal(w->e.code, E_INPUT);
    assert_int_equal(r.n, VAD_REGIONS_MAX);
}

static void test_times(void **state)
{
    static const char *const names[] = {"jfk", "long", "stereo", "walk"};
    struct world *w = *state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char key[64];
        int64_t n, n_times, ignored;
        struct vad_regions r;
        snprintf(key, sizeof key, "%s.batched", names[i]);
        int64_t n_samples = (int64_t)golden(w, key, &ignored)[0], sum = 0;
        const float *p = golden(w, names[i], &n);
        cut(w, p, n, &kinds[1].o, n_samples, &r);
        for (size_t k = 0; k < r.n; k++) {
            assert_int_equal(r.at[k].before, sum);
            sum += r.at[k].end - r.at[k].start;
        }
        assert_int_equal(vad_samples(&r), sum);

        snprintf(key, sizeof key, "%s.times", names[i]);
        const float *times = golden(w, key, &n_times);
        for (int64_t k = 0; k < n_times; k += 3) {
            size_t at = vad_region_at(&r, (double)times[k], times[k + 1] > 0);
            double got = vad_original_s(&r, at, (double)times[k]);
            if (!(fabs(got - (double)times[k + 2]) < 0.00501))
                fail_msg("%s: %g in the speech is %g, expected %g", key, (double)times[k], got,
                         (double)times[k + 2]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hashed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_odd_sources, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_regions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_regions, setup, teardown),
        cmocka_unit_test(test_where_it_begins),
        cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times, setup, teardown),
    };
    return cmocka_run_group_tests_name("vad", tests, NULL, NULL);
}
