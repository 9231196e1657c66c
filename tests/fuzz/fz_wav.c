/* The WAV reader on strangers' bytes: whatever they are, a file and a pipe give the same samples,
 * no more than the bytes hold, and the second pass gives what the first gave. */
#include "media/wav.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t n, hash;
    int64_t damage;
    enum reader_answer answer;
};

static void require(bool holds)
{
    if (!holds) abort();
}

static void add(struct sum *s, void *state, int64_t piece)
{
    int16_t pcm[1000];
    struct err e = {0};
    for (int64_t got; (got = wav_reader.read(state, pcm, piece, &e)) != 0;) {
        require(got > 0 && got <= piece);
        for (int64_t i = 0; i < got; i++) s->hash = s->hash * 31 + (uint16_t)pcm[i];
        s->n += (uint64_t)got;
    }
    s->damage = wav_reader.damage(state);
}

static struct sum run(int fd)
{
    static _Alignas(64) uint8_t state[65536];
    char path[40] = "/proc/self/fd/";
    size_t end = strlen(path);
    if (fd >= 10) path[end++] = (char)('0' + fd / 10 % 10);
    path[end] = (char)('0' + fd % 10);

    struct source src;
    struct sum one = {0}, two = {0};
    struct reader_info info = {0};
    struct err e = {0};
    require(wav_reader.state_bytes <= sizeof state);
    memset(state, 0, sizeof state);
    require(source_open(path, &src, &e) == 0);
    one.answer = wav_reader.open(state, &src, 16000, &info, &e);
    require(one.answer == READER_OK || e.text[0] != '\0');
    if (one.answer == READER_OK) {
        source_settle(&src);
        add(&one, state, 1000);
        if (!src.pipe) {
            require(info.n_samples >= 0 && (uint64_t)info.n_samples == one.n);
            require(wav_reader.rewind(state, &e) == 0);
            add(&two, state, 7);
            require(one.n == two.n && one.hash == two.hash && one.damage == two.damage);
        }
    }
    wav_reader.close(state);
    source_close(&src);
    return one;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 60000) return 0; /* what a pipe takes without a reader */
    int file = memfd_create("wav", MFD_CLOEXEC), ends[2];
    require(file >= 0 && write(file, data, size) == (ssize_t)size);
    require(pipe(ends) == 0 && write(ends[1], data, size) == (ssize_t)size);
    close(ends[1]);
    struct sum a = run(file), b = run(ends[0]);
    require(a.answer == b.answer && a.n == b.n && a.hash == b.hash && a.damage == b.damage);
    require(a.n <= size);
    close(file);
    close(ends[0]);
    return 0;
}
