/* What the tests of audio share: WAV files of a known tone, reading a whole input, inputs through a
 * pipe, faults on request, a folder for it all. */
#ifndef TESTS_AUDIO_HELP_H
#define TESTS_AUDIO_HELP_H

#include "base/fault.h"
#include "media/audio.h"
#include "unit.h"

#include <fcntl.h>
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#define RATE 16000
#define PI   3.14159265358979323846

static char folder[200];
static struct arena *arena;

/* A path below the test's folder, for ever. */
static const char *at(const char *name)
{
    static char paths[100][300];
    char path[300];
    size_t i = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    while (i < COUNT(paths) && paths[i][0] && strcmp(paths[i], path) != 0) i++;
    assert_true(i < COUNT(paths));
    return memcpy(paths[i], path, sizeof path);
}

/* ---- WAV files ---- */

struct form {
    int tag, bits, channels, rate;
    bool extensible;
    uint32_t size;       /* of data; 0: the true one */
    const char *between; /* a chunk before data: "LIST" (even), "odd " (odd) or NULL */
    bool rf64;
};

struct bytes {
    uint8_t *p;
    size_t n;
};

static void put(struct bytes *b, const void *p, size_t n)
{
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_le(struct bytes *b, uint64_t v, int n)
{
    for (int i = 0; i < n; i++) b->p[b->n++] = (uint8_t)(v >> 8 * i);
}

/* The test signal: a 440 Hz tone of amplitude 0.5; channel c is scaled by 1 - c / 100. */
static double tone(int64_t i, int c, int rate)
{
    return 0.5 * (1.0 - c / 100.0) * sin(2 * PI * 440 * (double)i / rate);
}

static void put_sample(struct bytes *b, const struct form *f, double v)
{
    double full = ldexp(1, f->bits - 1);
    float f32 = (float)v;
    if (f->tag == 3 && f->bits == 32)
        put(b, &f32, 4);
    else if (f->tag == 3)
        put(b, &v, 8);
    else if (f->bits == 8)
        put_le(b, (uint64_t)(int64_t)(lrint(v * full) + 128), 1);
    else
        put_le(b, (uint64_t)(int64_t)lrint(v * full), f->bits / 8);
}

static size_t put_header(struct bytes *b, const struct form *f, uint32_t data)
{
    int bytes = f->bits / 8;
    put(b, f->rf64 ? "RF64\xFF\xFF\xFF\xFFWAVE" : "RIFF\xFF\xFF\xFF\x7FWAVE", 12);
    if (f->rf64) {
        put(b, "ds64", 4);
        put_le(b, 28, 4);
        put_le(b, 0, 8);
        put_le(b, data, 8);
        put_le(b, 0, 8);
        put_le(b, 0, 4);
    }
    put(b, "fmt ", 4);
    put_le(b, f->extensible ? 40 : 16, 4);
    put_le(b, (uint64_t)(f->extensible ? 0xFFFE : f->tag), 2);
    put_le(b, (uint64_t)f->channels, 2);
    put_le(b, (uint64_t)f->rate, 4);
    put_le(b, (uint64_t)(f->rate * f->channels * bytes), 4);
    put_le(b, (uint64_t)(f->channels * bytes), 2);
    put_le(b, (uint64_t)f->bits, 2);
    if (f->extensible) {
        put(b, "\x16\0\0\0\0\0\0\0", 8);
        put_le(b, (uint64_t)f->tag, 2);
        put(b, "\0\0\0\0\x10\0\x80\0\0\xAA\0\x38\x9B\x71", 14);
    }
    if (f->between) {
        int odd = strcmp(f->between, "odd ") == 0;
        put(b, f->between, 4);
        put_le(b, (uint64_t)(4 - odd), 4);
        put(b, "data", 4); /* of an odd chunk the last byte is the padding */
    }
    put(b, "data", 4);
    put_le(b, f->rf64 ? UINT32_MAX : f->size ? f->size : data, 4);
    return b->n;
}

static struct bytes make_wav(const struct form *f, int64_t frames)
{
    size_t data = (size_t)frames * (size_t)(f->channels * f->bits / 8);
    struct bytes b = {calloc(1, data + 200), 0};
    put_header(&b, f, (uint32_t)data);
    for (int64_t i = 0; i < frames; i++)
        for (int c = 0; c < f->channels; c++) put_sample(&b, f, tone(i, c, f->rate));
    return b;
}

static const char *save(const char *name, const void *p, size_t n)
{
    const char *path = at(name);
    unit_write(folder, name, p, n);
    return path;
}

static const char *save_wav(const char *name, struct form f, int64_t frames)
{
    struct bytes b = make_wav(&f, frames);
    const char *path = save(name, b.p, b.n);
    free(b.p);
    return path;
}

static const struct form plain = {.tag = 1, .bits = 16, .channels = 1, .rate = RATE};

/* ---- reading ---- */

struct pcm {
    float *p;
    int64_t n;
    int64_t damage;
    struct audio_info info;
};

static struct audio *open_ok(const char *path)
{
    struct err e = {0};
    struct audio *au = NULL;
    arena_reset(arena);
    if (audio_open(arena, path, RATE, &au, &e) != 0) fail_msg("%s", e.text);
    return au;
}

static struct pcm rest(struct audio *au, int64_t piece)
{
    struct err e = {0};
    struct pcm out = {0};
    int64_t cap = 0, got = 1;
    while (got > 0) {
        if (cap - out.n < piece) {
            cap = cap * 2 + piece;
            out.p = realloc(out.p, (size_t)cap * sizeof *out.p);
        }
        got = audio_read(au, out.p + out.n, piece, &e);
        if (got < 0) fail_msg("%s", e.text);
        out.n += got;
    }
    out.damage = audio_damage(au);
    audio_info(au, &out.info);
    assert_int_equal(out.info.n_samples, out.n);
    return out;
}

static struct pcm whole(const char *path)
{
    struct audio *au = open_ok(path);
    struct pcm out = rest(au, 4096);
    audio_close(&au);
    assert_null(au);
    return out;
}

static void same(struct pcm a, struct pcm b)
{
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.p, b.p, (size_t)a.n * sizeof *a.p);
}

static void refused(const char *path, enum err_code code, const char *words)
{
    struct err e = {0};
    struct audio *au = NULL;
    arena_reset(arena);
    assert_int_equal(audio_open(arena, path, RATE, &au, &e), -1);
    assert_null(au);
    if (e.code != code || !strstr(e.text, words))
        fail_msg("%s \"%s\", wanted %s \"%s\"", err_row(e.code)->name, e.text, err_row(code)->name,
                 words);
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Writes the file into a pipe from another process. Gives the end to read. */
static int pour(const char *path, pid_t *child)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    *child = fork();
    if (*child == 0) {
        char piece[3001];
        int in = open(path, O_RDONLY);
        close(fd[0]);
        for (ssize_t n; (n = read(in, piece, sizeof piece)) > 0;)
            if (write(fd[1], piece, (size_t)n) != n) break;
        _exit(0);
    }
    close(fd[1]);
    return fd[0];
}

/* The file as standard input, through a pipe. */
static struct audio *open_poured(const char *path)
{
    pid_t child;
    int fd = pour(path, &child), kept = dup(0);
    dup2(fd, 0);
    close(fd);
    struct audio *au = open_ok("-");
    dup2(kept, 0);
    close(kept);
    return au;
}

static struct pcm poured(const char *path)
{
    struct audio *au = open_poured(path);
    struct pcm first = rest(au, 1000);
    struct err e = {0};
    assert_int_equal(audio_rewind(au, &e), 0);
    struct pcm second = rest(au, 777);
    same(first, second);
    free(second.p);
    audio_close(&au);
    while (wait(NULL) > 0) continue;
    return first;
}

/* Wound back at the start, in the first block, later, at the end, and read again each time. */
static void winds_back(struct audio *au, struct pcm want)
{
    static const int places[] = {0, 1, 4095, 4096, 4097, 9000, 20001};
    float piece[20001];
    for (size_t k = 0; k < COUNT(places); k++) {
        struct err e = {0};
        int64_t n = MIN(want.n, places[k]);
        assert_int_equal(audio_read(au, piece, places[k], &e), n);
        assert_memory_equal(piece, want.p, (size_t)n * sizeof *piece);
        assert_int_equal(audio_rewind(au, &e), 0);
    }
    struct pcm got = rest(au, 555);
    same(want, got);
    free(got.p);
}

/* One pass, a rewind, one pass, with the n-th call of a kind failing: an error every time until it
 * succeeds, and nothing left open. */
static int try_with_fault(const char *path, bool piped, struct err *e)
{
    struct audio *au = NULL;
    static float piece[30000];
    int64_t got = 0;
    pid_t child;
    int kept = dup(0);
    if (piped) {
        int fd = pour(path, &child);
        dup2(fd, 0);
        close(fd);
    }
    int status = arena_open("fault", 0, &arena, e);
    if (status == 0) status = audio_open(arena, piped ? "-" : path, RATE, &au, e);
    for (int pass = 0; pass < 2 && status == 0; pass++) {
        while ((got = audio_read(au, piece, COUNT(piece), e)) > 0) continue;
        status = got < 0 ? -1 : audio_rewind(au, e);
    }
    if (au) audio_close(&au);
    arena_close(&arena);
    dup2(kept, 0);
    close(kept);
    if (piped) waitpid(child, NULL, 0);
    return status;
}

static void faults_of(const char *path, bool piped, int at_least)
{
    static const char *const kinds[] = {"alloc", "open", "read", "write"};
    int before = open_files(), failed = 0;
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (int n = 1;; n++) {
            char spec[40];
            struct err e = {0};
            snprintf(spec, sizeof spec, "%s:%d", kinds[k], n);
            fault_arm(NULL);
            assert_int_equal(fault_arm(spec), 0);
            int status = try_with_fault(path, piped, &e);
            assert_int_equal(open_files(), before);
            if (status == 0) break;
            assert_int_equal(e.code, k == 0 ? E_NOMEM : E_IO);
            assert_true(strlen(e.text) > 10);
            failed++;
            assert_true(n < 1000);
        }
    }
    fault_arm(NULL);
    if (failed < at_least) fail_msg("%d faults, wanted %d", failed, at_least);
}

/* ---- the folder ---- */

static int make_folder(void **state)
{
    (void)state;
    struct err e = {0};
    unit_folder(folder, sizeof folder);
    if (arena_open("test", 0, &arena, &e) != 0) return -1;
    /* The modules lie one folder above the tests. */
    char *here = file_program_folder(arena, &e);
    char *above = here ? file_join(arena, here, "..", &e) : NULL;
    return above ? setenv("LODE_MODULES", above, 0) : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    arena_close(&arena);
    unit_remove(folder);
    return 0;
}

#endif
