/* media/audio.h on formats that FFmpeg reads: files the ffmpeg program makes here. Where it or the
 * module lode-av.so is not to be had, the tests are skipped by name. */
#include "audio_help.h"
#include "base/child.h"

/* Runs ffmpeg with the words of `args`, cut at spaces. Skips the test, by name, if it or lode's
 * module is not to be had. */
static void ffmpeg(const char *test, const char *args)
{
    const char *argv[40] = {"ffmpeg", "-v", "error", "-nostdin", "-y"};
    static char words[1000];
    int n = 5;
    snprintf(words, sizeof words, "%s", args);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) argv[n++] = w;
    struct child_end end;
    struct err e = {0}, no_tool = {0};
    arena_reset(arena);
    const char *tool = child_run(arena, argv, 60, 4000, &end, &no_tool) != 0 ? no_tool.text : NULL;
    struct audio *au = NULL;
    bool module =
        audio_open(arena, save("text.txt", "words", 5), RATE, &au, &e) != 0 && e.code != E_MISSING;
    if (tool || !module) {
        print_message("skipped: %s: %s\n", test, tool ? tool : e.text);
        skip();
    }
    if (end.status != 0) fail_msg("ffmpeg %s: %s", args, end.output.p);
}

/* Amplitude of the part at `hz`, and of all the rest, without the first and last 2000 samples. */
static void measure(struct pcm a, double hz, double *tone_amp, double *rest_amp)
{
    double s = 0, c = 0, all = 0;
    int64_t from = 2000, to = a.n - 2000;
    to -= (to - from) % RATE; /* whole periods */
    assert_true(to > from);
    for (int64_t i = from; i < to; i++) {
        s += a.p[i] * sin(2 * PI * hz * (double)i / RATE);
        c += a.p[i] * cos(2 * PI * hz * (double)i / RATE);
        all += (double)a.p[i] * a.p[i];
    }
    double n = (double)(to - from);
    *tone_amp = 2 * sqrt(s * s + c * c) / n;
    *rest_amp = sqrt(fmax(0, 2 * all / n - *tone_amp * *tone_amp));
}

static void formats(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *name, *input, *options;
        int rate, channels;
        double noise; /* what the codec may add, as an amplitude; lame also scales by 0.95 */
    } rows[] = {
        {"a.mp3",    "a.wav", "-b:a 64k",                                    16000, 1, 0.01},
        {"b.mp3",    "b.wav", "-ar 44100 -af pan=stereo|c0=c0|c1=c0",                             44100, 2, 0.01},
        {"a.flac",   "a.wav", "",                                            16000, 1, 0.0001},
        {"b.flac",   "b.wav", "-sample_fmt s32",                             48000, 1, 0.0001},
        {"a.ogg",    "b.wav", "-c:a libvorbis",                              48000, 1, 0.02},
        {"a.opus",   "b.wav", "-c:a libopus",                                48000, 1, 0.02},
        {"a.m4a",    "b.wav", "-c:a aac",                                    48000, 1, 0.02},
        {"fast.m4a", "b.wav", "-c:a aac -movflags +faststart",               48000, 1, 0.02},
        {"a.aac",    "b.wav", "-c:a aac",                                    48000, 1, 0.02},
        {"a.mkv",    "b.wav", "-f lavfi -i color=d=3:s=32x32 -c:a flac",     48000, 1, 0.0001},
        {"a.mp4",    "b.wav", "-f lavfi -i color=d=3:s=32x32 -c:a aac",      48000, 1, 0.02},
        {"8k.wav",   "a.wav", "-ar 8000",                                    8000,  1, 0.001},
        {"7.1.wav",  "b.wav", "-ar 96000 -ac 8 -af pan=7.1|c0=c0|c1=c0|c2=c0|c3=c0|c4=c0|c5=c0|"
                              "c6=c0|c7=c0 -c:a pcm_s24le",                  96000, 8, 0.0001},
        {"adpcm.wav","a.wav", "-c:a adpcm_ms",                               16000, 1, 0.02},
        {"a.aiff",   "a.wav", "",                                            16000, 1, 0.0001},
    };
    /* clang-format on */
    struct form f = plain;
    const char *a = save_wav("a.wav", f, 3 * RATE);
    f.rate = 48000;
    const char *b = save_wav("b.wav", f, 3 * 48000);
    for (size_t k = 0; k < COUNT(rows); k++) {
        char args[800];
        snprintf(args, sizeof args, "-i %s %s %s", rows[k].input[0] == 'a' ? a : b, rows[k].options,
                 at(rows[k].name));
        ffmpeg("formats", args);
        struct pcm got = whole(at(rows[k].name)), piped = poured(at(rows[k].name));
        same(got, piped);
        double amp, noise;
        measure(got, 440, &amp, &noise);
        if (fabs(amp - 0.5) > 0.03 || noise > rows[k].noise || labs(got.n - 3 * RATE) > 4000)
            fail_msg("%s: %d samples, tone %.4f, noise %.5f", rows[k].name, (int)got.n, amp, noise);
        assert_string_equal(got.info.reader, "ffmpeg");
        if (got.info.source_rate_hz != rows[k].rate || got.info.source_channels != rows[k].channels)
            fail_msg("%s: %d Hz, %d channels", rows[k].name, got.info.source_rate_hz,
                     got.info.source_channels);
        assert_int_equal(got.damage, 0);
        free(got.p);
        free(piped.p);
    }
}

/* The same samples in a container only FFmpeg reads: both readers must deliver the same numbers. */
static void readers_agree(void **state)
{
    (void)state;
    static const struct form forms[] = {
        {1, 16, 1, RATE, false, 0, NULL, false}, {1, 16, 2, RATE, false, 0, NULL, false},
        {1, 24, 1, RATE, false, 0, NULL, false}, {1, 24, 2, RATE, false, 0, NULL, false},
        {1, 32, 1, RATE, false, 0, NULL, false}, {1, 32, 2, RATE, false, 0, NULL, false},
        {3, 32, 1, RATE, false, 0, NULL, false}, {3, 32, 2, RATE, false, 0, NULL, false},
        {3, 64, 1, RATE, false, 0, NULL, false}, {3, 64, 2, RATE, false, 0, NULL, false},
        {1, 8, 1, RATE, false, 0, NULL, false},  {1, 8, 2, RATE, false, 0, NULL, false},
    };
    for (size_t k = 0; k < COUNT(forms); k++) {
        char args[800];
        const char *path = save_wav("a.wav", forms[k], 20000);
        snprintf(args, sizeof args, "-i %s -c copy %s", path, at("a.w64"));
        ffmpeg("readers_agree", args);
        struct pcm want = whole(path), got = whole(at("a.w64"));
        assert_string_equal(want.info.reader, "wav");
        assert_string_equal(got.info.reader, "ffmpeg");
        same(want, got);
        free(want.p);
        free(got.p);
    }
}

static void refusals_of_ffmpeg(void **state)
{
    (void)state;
    char args[800], text[600];
    int before = open_files();
    snprintf(args, sizeof args, "-f lavfi -i color=d=1:s=32x32 %s", at("mute.mp4"));
    ffmpeg("refusals_of_ffmpeg", args);
    refused(at("mute.mp4"), E_INPUT, "mute.mp4: is a video without sound");
    refused(save("text.txt", "Some words, and more of them.\n", 30), E_INPUT, "what kind of file");

    uint8_t noise[50000];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    refused(save("noise.bin", noise, sizeof noise), E_INPUT, "noise.bin: ");

    /* Playlists name other files; none of them is opened. */
    const char *wav = save_wav("a.wav", plain, RATE);
    snprintf(text, sizeof text,
             "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n%s\n#EXT-X-ENDLIST\n", wav);
    refused(save("list.m3u8", text, strlen(text)), E_INPUT, "list.m3u8: ");
    snprintf(text, sizeof text, "ffconcat version 1.0\nfile a.wav\n");
    refused(save("list.txt", text, strlen(text)), E_INPUT, "list.txt: is a playlist");
    assert_int_equal(open_files(), before);
}

static struct bytes load(const char *path)
{
    struct bytes b = {calloc(1, 4000000), 0};
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    b.n = fread(b.p, 1, 4000000, in);
    fclose(in);
    return b;
}

/* Speech is looked for in one pass and read in another, which ends where speech does. */
static void told_after_a_rewind(const char *path)
{
    struct err e = {0};
    struct audio *au = open_ok(path);
    free(rest(au, 4096).p);
    int64_t damage = audio_damage(au);
    double promised = audio_promised(au);
    assert_true(damage >= 1 && promised > 9.9 && promised < 10.1);
    assert_int_equal(audio_rewind(au, &e), 0);
    float some[100];
    assert_int_equal(audio_read(au, some, COUNT(some), &e), COUNT(some));
    assert_int_equal(audio_damage(au), damage);
    assert_true(audio_promised(au) == promised);
    audio_close(&au);
}

/* What could be decoded comes, and the rest is counted. */
static void truncated_and_torn(void **state)
{
    (void)state;
    static const char *const names[] = {"t.mp3", "t.flac", "t.ogg"};
    const char *wav = save_wav("a.wav", plain, 10 * RATE);
    for (size_t k = 0; k < COUNT(names); k++) {
        char args[800];
        snprintf(args, sizeof args, "-i %s %s", wav, at(names[k]));
        ffmpeg("truncated_and_torn", args);
        struct bytes b = load(at(names[k]));
        struct pcm got = whole(save("cut", b.p, b.n / 2 + 13));
        assert_in_range(got.n, 2 * RATE, 8 * RATE);
        if (k < 2) assert_true(got.damage >= 1);
        free(got.p);
        if (k == 1) told_after_a_rewind(at("cut"));

        memset(b.p + b.n / 2, 0x55, b.n / 20);
        const char *torn = save("torn", b.p, b.n);
        got = whole(torn);
        assert_in_range(got.n, 7 * RATE, 10 * RATE + 4000);
        if (k < 2) assert_true(got.damage >= 1);
        struct pcm piped = poured(torn);
        same(got, piped);
        free(got.p);
        free(piped.p);

        for (size_t n = 0; n < b.n && n < 1200;
             n += 37) { /* cut in the header: no crash, one end */
            struct err e = {0};
            struct audio *au = NULL;
            arena_reset(arena);
            if (audio_open(arena, save("cut", b.p, n), RATE, &au, &e) == 0)
                audio_close(&au);
            else
                assert_int_equal(e.code, E_INPUT);
        }
        free(b.p);
    }
}

/* Two streams of different rate and channels behind each other, as radio recorders leave them. */
static void changes_in_the_middle(void **state)
{
    (void)state;
    char args[800];
    struct form f = plain;
    const char *wav = save_wav("a.wav", f, 2 * RATE);
    snprintf(args, sizeof args, "-i %s -c:a aac %s", wav, at("1.aac"));
    ffmpeg("changes_in_the_middle", args);
    snprintf(args, sizeof args, "-i %s -ar 44100 -af pan=stereo|c0=c0|c1=c0 -c:a aac %s", wav,
             at("2.aac"));
    ffmpeg("changes_in_the_middle", args);
    struct bytes one = load(at("1.aac")), two = load(at("2.aac"));
    put(&one, two.p, two.n);
    struct pcm got = whole(save("both.aac", one.p, one.n));
    assert_in_range(got.n, 4 * RATE, 4 * RATE + 6000);
    double amp, noise;
    struct pcm second = {got.p + 2 * RATE + 3000, got.n - 2 * RATE - 3000, 0, got.info};
    measure(second, 440, &amp, &noise);
    if (fabs(amp - 0.5) > 0.01 || noise > 0.02) fail_msg("tone %.4f, noise %.5f", amp, noise);
    free(got.p);
    free(one.p);
    free(two.p);
}

static void ffmpeg_faults_and_memory(void **state)
{
    (void)state;
    char args[800];
    const char *wav = save_wav("a.wav", plain, RATE);
    snprintf(args, sizeof args, "-i %s %s", wav, at("f.mp3"));
    ffmpeg("ffmpeg_faults_and_memory", args);
    struct arena *kept = arena;
    faults_of(at("f.mp3"), false, 6);
    faults_of(at("f.mp3"), true, 12);
    arena = kept;

    struct pcm want = whole(at("f.mp3"));
    struct audio *au = open_ok(at("f.mp3"));
    winds_back(au, want);
    size_t used = arena_used(arena);
    audio_close(&au);
    au = open_ok(at("f.mp3"));
    assert_int_equal(arena_used(arena), used);
    audio_close(&au);
    free(want.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),
        cmocka_unit_test(readers_agree),
        cmocka_unit_test(refusals_of_ffmpeg),
        cmocka_unit_test(truncated_and_torn),
        cmocka_unit_test(changes_in_the_middle),
        cmocka_unit_test(ffmpeg_faults_and_memory),
    };
    return cmocka_run_group_tests_name("av", tests, make_folder, remove_folder);
}
