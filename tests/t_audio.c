/* media/audio.h from outside: every WAV encoding sample by sample, headers that lie, pipes, winding
 * back, constant memory, faults on request. Nothing here needs FFmpeg. */
#include "audio_help.h"
#include <sys/stat.h>

/* ---- WAV ---- */

static void encodings(void **state)
{
    (void)state;
    static const struct form forms[] = {
        {1, 8, 1, RATE, false, 0, NULL, false},
        {1, 16, 1, RATE, false, 0, NULL, false},
        {1, 24, 1, RATE, false, 0, NULL, false},
        {1, 32, 1, RATE, false, 0, NULL, false},
        {3, 32, 1, RATE, false, 0, NULL, false},
        {3, 64, 1, RATE, false, 0, NULL, false},
        {1, 8, 2, RATE, false, 0, NULL, false},
        {1, 16, 2, RATE, true, 0, NULL, false},
        {1, 24, 2, RATE, true, 0, NULL, false},
        {1, 32, 3, RATE, false, 0, NULL, false},
        {3, 32, 2, RATE, true, 0, NULL, false},
        {3, 64, 6, RATE, false, 0, NULL, false},
        {1, 16, 64, RATE, true, 0, NULL, false},
        {3, 64, 64, RATE, true, 0, NULL, false},
        {1, 16, 1, RATE, false, 0, "LIST", false},
        {1, 16, 1, RATE, false, 0, "odd ", false},
        {1, 16, 1, RATE, true, 0, "odd ", true},
        {1, 16, 1, RATE, false, 0xFFFFFFFF, NULL, false},
        {1, 16, 1, RATE, false, 0x7FFFF000, NULL, false},
    };
    for (size_t k = 0; k < COUNT(forms); k++) {
        const struct form *f = &forms[k];
        double gain = 1.0 - (f->channels - 1) / 200.0; /* mean of the channels */
        double close = f->bits == 8 ? 1.01 / 128 : 1.01 / 32768;
        struct pcm got = whole(save_wav("a.wav", *f, 5000));
        assert_string_equal(got.info.reader, "wav");
        assert_int_equal(got.info.source_rate_hz, RATE);
        assert_int_equal(got.info.source_channels, f->channels);
        assert_int_equal(got.n, 5000);
        assert_int_equal(got.damage, 0);
        for (int64_t i = 0; i < got.n; i++) {
            double want = gain * tone(i, 0, RATE);
            if (fabs(got.p[i] - want) > close || rint(got.p[i] * 32768) != got.p[i] * 32768)
                fail_msg("form %zu, sample %d: %.8f, wanted %.8f", k, (int)i, got.p[i], want);
        }
        free(got.p);
    }
}

/* Numbers whose rounding is swresample's: halves up for 16-bit means, to even for floats, whole
 * numbers of more than 16 bits cut, what is too large limited, what is not a number silent. */
static void rounding(void **state)
{
    (void)state;
    static const struct {
        struct form f;
        const char *frames;
        int n;
        int want[4];
    } rows[] = {
        {{1, 8, 1, RATE, false, 0, NULL, false}, "\x00\x7F\x80\xFF", 4, {-32768, -256, 0, 32512}},
        {{1, 16, 1, RATE, false, 0, NULL, false},
         "\x01\0\xFF\xFF\0\x80\xFF\x7F",
         4,
         {1, -1, -32768, 32767}},
        {{1, 16, 2, RATE, false, 0, NULL, false},
         "\1\0\2\0\xFF\xFF\xFE\xFF\0\x80\0\x80\0\0\xFF\xFF",
         4,
         {2, -1, -32768, 0}},
        {{1, 24, 1, RATE, false, 0, NULL, false},
         "\xFF\1\0\xFF\xFF\xFF\0\0\x80\xFF\xFF\x7F",
         4,
         {1, -1, -32768, 32767}},
        {{3, 32, 1, RATE, false, 0, NULL, false},
         "\0\0\x40\x38\0\0\xA0\x38\0\0\xC0\x7F\0\0\x80\xFF",
         4,
         {2, 2, 0, -32768}},
    };
    for (size_t k = 0; k < COUNT(rows); k++) {
        uint8_t memory[200];
        struct bytes b = {memory, 0};
        size_t n = (size_t)(rows[k].n * rows[k].f.channels * rows[k].f.bits / 8);
        put_header(&b, &rows[k].f, (uint32_t)n);
        put(&b, rows[k].frames, n);
        struct pcm got = whole(save("r.wav", b.p, b.n));
        assert_int_equal(got.n, rows[k].n);
        for (int i = 0; i < got.n; i++)
            if (got.p[i] * 32768.0f != (float)rows[k].want[i])
                fail_msg("row %zu, sample %d: %g, wanted %d", k, i, got.p[i] * 32768.0f,
                         rows[k].want[i]);
        free(got.p);
    }
}

static void sizes_that_lie(void **state)
{
    (void)state;
    struct form f = plain;
    f.size = 2 * 3000; /* less than is there: the rest is not audio */
    struct pcm got = whole(save_wav("less.wav", f, 5000));
    assert_int_equal(got.n, 3000);
    assert_int_equal(got.damage, 0);
    free(got.p);

    f.size = 2 * 6000; /* more: the copy is incomplete, and that is said */
    const char *more = save_wav("more.wav", f, 5000);
    got = whole(more);
    assert_int_equal(got.n, 5000);
    assert_int_equal(got.damage, 1);
    free(got.p);
    got = poured(more);
    assert_int_equal(got.n, 5000);
    assert_int_equal(got.damage, 1);
    free(got.p);

    struct bytes b = make_wav(&plain, 5000); /* a recorder that died: size 0 */
    memset(b.p + 40, 0, 4);
    got = whole(save("zero.wav", b.p, b.n - 1)); /* and half a sample */
    assert_int_equal(got.n, 4999);
    free(got.p);
    free(b.p);
}

static void hostile_headers(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        const char *bytes;
        size_t n;
        const char *words;
    } rows[] = {
        {12, "junk", 4, "before their format"},
        {16, "\x0F\0\0\0", 4, "15 of 16 bytes"},
        {16, "\xFF\xFF\xFF\xFF", 4, "cut short"},
        {20, "\xFE\xFF", 2, "16 of 40 bytes"},
        {22, "\0\0", 2, "0 channels"},
        {22, "\x41\0", 2, "65 channels"},
        {22, "\xFF\xFF", 2, "65535 channels"},
        {24, "\0\0\0\0", 4, "0 samples a second"},
        {24, "\xFF\xFF\xFF\xFF", 4, "4294967295 samples a second"},
        {32, "\x05\0", 2, "blocks of 5 bytes"},
        {34, "\0\0", 2, "integer samples of 0 bits"},
        {34, "\x21\0", 2, "integer samples of 33 bits"},
        {34, "\xFF\xFF", 2, "integer samples of 65535 bits"},
    };
    for (size_t k = 0; k < COUNT(rows); k++) {
        struct bytes b = make_wav(&plain, 100);
        memcpy(b.p + rows[k].offset, rows[k].bytes, rows[k].n);
        refused(save("h.wav", b.p, b.n), E_INPUT, rows[k].words);
        free(b.p);
    }
    struct bytes b = make_wav(&plain, 100);
    memcpy(b.p + 12, b.p + 36, 8); /* data before fmt */
    refused(save("h.wav", b.p, b.n), E_INPUT, "before their format");
    memcpy(b.p, "RIFF", 4);
    free(b.p);

    b = make_wav(&plain, 0);
    refused(save("none.wav", b.p, b.n), E_INPUT, "holds no audio");
    for (size_t n = 4; n < 44; n++)
        refused(save("cut.wav", b.p, n), E_INPUT, n == 8 ? "cut short after 8" : "cut short");
    free(b.p);
}

/* ---- inputs of every kind ---- */

static void not_audio(void **state)
{
    (void)state;
    int before = open_files();
    refused(folder, E_IO, "is a folder");
    refused(at("missing.wav"), E_IO, "missing.wav: cannot be opened: No such file");
    refused(save("empty.wav", "", 0), E_INPUT, "empty.wav: is empty");
    refused("/dev/null", E_INPUT, "is empty");
    if (geteuid() != 0) {
        const char *path = save_wav("secret.wav", plain, 10);
        chmod(path, 0);
        refused(path, E_IO, "Permission denied");
    }
    assert_int_equal(open_files(), before);
}

static void without_ffmpeg(void **state)
{
    (void)state;
    struct form f = plain;
    f.rate = 44100;
    int before = open_files();
    fault_arm("dlopen:1+");
    refused(save_wav("a44.wav", f, 100), E_MISSING,
            "its 44100 samples a second have to be resampled to 16000; FFmpeg is needed");
    refused(save("text.txt", "Some words.\n", 12), E_MISSING, "not a WAV file; FFmpeg is needed");
    f = plain;
    f.tag = 7;
    refused(save_wav("ulaw.wav", f, 100), E_MISSING, "WAV encoding 0x0007");
    fault_arm(NULL);
    assert_int_equal(open_files(), before);
}

static void piece_sizes(void **state)
{
    (void)state;
    const char *path = save_wav("a.wav", plain, 20000);
    struct pcm want = whole(path);
    static const int sizes[] = {1, 7, 4096, 4097, 100000};
    for (size_t k = 0; k < COUNT(sizes); k++) {
        struct audio *au = open_ok(path);
        struct pcm got = rest(au, sizes[k]);
        same(want, got);
        free(got.p);
        audio_close(&au);
    }
    free(want.p);
}

static void winding_back(void **state)
{
    (void)state;
    struct form f = plain;
    f.channels = 2;
    const char *path = save_wav("a.wav", f, 20000);
    struct pcm want = whole(path);
    struct audio *au = open_ok(path);
    winds_back(au, want);
    audio_close(&au);
    au = open_poured(path);
    winds_back(au, want);
    audio_close(&au);
    while (wait(NULL) > 0) continue;
    free(want.p);
}

static void pipes(void **state)
{
    (void)state;
    int before = open_files();
    struct form f = plain;
    f.between = "odd ";
    const char *path = save_wav("a.wav", f, 50000);
    struct pcm want = whole(path);

    struct pcm got = poured(path);
    same(want, got);
    free(got.p);

    const char *fifo = at("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    if (fork() == 0) {
        const char *const argv[] = {"cp", path, fifo, NULL};
        execvp(argv[0], (char *const *)argv);
        _exit(1);
    }
    got = whole(fifo);
    same(want, got);
    free(got.p);
    while (wait(NULL) > 0) continue;

    int kept = dup(0), fd = open(path, O_RDONLY); /* a file as standard input can be read twice */
    dup2(fd, 0);
    close(fd);
    struct audio *au = open_ok("-");
    dup2(kept, 0);
    close(kept);
    winds_back(au, want);
    audio_close(&au);
    free(want.p);
    assert_int_equal(open_files(), before);
}

/* Ten minutes take the memory of one second, and none is asked for while reading. */
static void constant_memory(void **state)
{
    (void)state;
    struct audio *au = open_ok(save_wav("short.wav", plain, RATE));
    size_t used = arena_used(arena);
    audio_close(&au);

    uint8_t memory[200];
    struct bytes b = {memory, 0};
    uint32_t frames = 600 * RATE;
    put_header(&b, &plain, frames * 2);
    const char *path = save("long.wav", b.p, b.n);
    assert_int_equal(truncate(path, (off_t)(b.n + frames * 2)), 0);
    for (int piped = 0; piped < 2; piped++) {
        au = piped ? open_poured(path) : open_ok(path);
        uint64_t asked = arena_system_calls();
        static float piece[65536];
        struct err e = {0};
        int64_t n = 0, got;
        for (int pass = 0; pass < 2; pass++) {
            while ((got = audio_read(au, piece, COUNT(piece), &e)) > 0) n += got;
            assert_int_equal(audio_rewind(au, &e), 0);
        }
        assert_int_equal(n, 2 * (int64_t)frames);
        assert_int_equal(arena_used(arena), used);
        assert_int_equal(arena_system_calls(), asked);
        audio_close(&au);
    }
    while (wait(NULL) > 0) continue;
    remove(path);
}

static bool held_enough(void *left)
{
    return --*(int *)left < 0;
}

/* What is decoded ahead, wholly, in part, or until somebody stops it, changes nothing. */
static void holding(void **state)
{
    (void)state;
    static int16_t room[20000];
    static const struct {
        int64_t cap;
        int blocks;
    } cases[] = {{4096, 9}, {4097, 9}, {9000, 9}, {20000, 9}, {20000, 1}, {20000, 0}};
    const char *path = save_wav("a.wav", plain, 9000);
    struct pcm want = whole(path);
    for (size_t k = 0; k < COUNT(cases); k++) {
        static float piece[1000];
        struct err e = {0};
        int left = cases[k].blocks;
        struct audio *au = open_ok(path);
        struct audio_info before, after;
        audio_info(au, &before);
        assert_true(audio_seekable(au));
        assert_int_equal(audio_hold(au, room, cases[k].cap, held_enough, &left, &e), 0);
        audio_info(au, &after);
        assert_int_equal(after.n_samples, before.n_samples);
        for (int pass = 0; pass < 3; pass++) {
            int64_t n = 0, got;
            while ((got = audio_read(au, piece, COUNT(piece), &e)) > 0) {
                assert_memory_equal(piece, want.p + n, (size_t)got * sizeof *piece);
                n += got;
                if (pass == 1 && n >= 5000) break; /* wound back in the middle */
            }
            if (pass != 1) assert_int_equal(n, want.n);
            assert_int_equal(audio_rewind(au, &e), 0);
        }
        audio_close(&au);
    }
    free(want.p);
}

static void faults(void **state)
{
    (void)state;
    const char *path = save_wav("a.wav", plain, 9000);
    struct arena *kept = arena;
    faults_of(path, false, 6);
    faults_of(path, true, 12);
    arena = kept;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodings),      cmocka_unit_test(rounding),
        cmocka_unit_test(sizes_that_lie), cmocka_unit_test(hostile_headers),
        cmocka_unit_test(not_audio),      cmocka_unit_test(without_ffmpeg),
        cmocka_unit_test(piece_sizes),    cmocka_unit_test(winding_back),
        cmocka_unit_test(pipes),          cmocka_unit_test(constant_memory),
        cmocka_unit_test(holding),        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests_name("audio", tests, make_folder, remove_folder);
}
