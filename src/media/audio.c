/* Audio in. Called by jobs; data: a path -> mono samples at the asked rate, in pieces.
 *
 *     file or pipe -> source -> reader: wav, or ffmpeg from a module -> block of 4096 -> caller
 *                                      a pipe's samples go to the spool too, and come from there
 *                                      after a rewind
 * Everything delivered is a whole multiple of 1/32768, so the spool holds 16-bit numbers and the
 * second pass gives what the first one gave, bit for bit. */
#include "media/audio.h"
#include "base/module.h"
#include "media/av.h"
#include "media/wav.h"
#include <string.h>
#include <unistd.h>

#define AUDIO_BLOCK 4096 /* samples: a quarter of a second of speech */

struct audio {
    struct source src;
    const struct reader *reader;
    void *state;
    struct reader_info info;
    int spool_fd;  /* samples already read from a pipe; -1: the source can be read again */
    int64_t kept;  /* in the spool */
    int64_t at;    /* the sample after the block, from the start */
    int n, used;   /* of the block */
    int16_t *held; /* [n_held] the first samples, decoded ahead; NULL: none */
    int64_t n_held;
    bool held_all;     /* there are no others */
    int64_t reader_at; /* the sample the reader gives next, if any are held */
    int64_t pass_max;  /* samples of a whole pass, -1 before the first end */
    int64_t damage;    /* of passes before this one, the most */
    double promised_s; /* the same */
    int16_t block[AUDIO_BLOCK];
};

/* Readers in the order in which they are asked. One that is not built in lies in a module. */
static const struct {
    const struct reader *reader;
    const char *module, *symbol;
} audio_readers[] = {
    {&wav_reader, NULL, NULL},
    {NULL, "av", "av_module"},
};

static int find_reader(size_t row, const struct err *before, const struct reader **out,
                       struct err *e)
{
    const void *table = NULL;
    struct err why = {0};
    *out = audio_readers[row].reader;
    if (*out) return 0;
    if (module_open(audio_readers[row].module, audio_readers[row].symbol, &table, &why) != 0) {
        *e = why;
        if (why.code != E_MISSING) return -1;
        return err_set(e, E_MISSING,
                       "%s; FFmpeg is needed to read it (packages libavformat-dev, libavcodec-dev, "
                       "libswresample-dev): %s",
                       before->text, why.text);
    }
    *out = table;
    return 0;
}

/* Asks one reader. If it can only work on something it can seek in, a pipe becomes a file first. */
static enum reader_answer ask(struct arena *a, struct audio *au, int rate_hz, struct err *e)
{
    enum reader_answer answer = READER_FAILED;
    au->state = arena_alloc(a, au->reader->state_bytes, BASE_LINE, e);
    if (!au->state) return READER_FAILED;
    answer = au->reader->open(au->state, &au->src, rate_hz, &au->info, e);
    if (answer != READER_MUST_SEEK) return answer;
    au->reader->close(au->state);
    memset(au->state, 0, au->reader->state_bytes);
    TRY(source_fill(&au->src, e));
    return au->reader->open(au->state, &au->src, rate_hz, &au->info, e);
}

static int choose_reader(struct arena *a, struct audio *au, int rate_hz, struct err *e)
{
    char byte;
    struct err before = {0};
    int64_t got = au->src.read(&au->src, &byte, 1, e);
    if (got < 0) return -1;
    if (got == 0) return err_set(e, E_INPUT, "is empty");
    for (size_t i = 0; i < COUNT(audio_readers); i++) {
        struct arena_mark mark = arena_here(a);
        TRY(au->src.seek(&au->src, 0, e));
        TRY(find_reader(i, &before, &au->reader, e));
        enum reader_answer answer = ask(a, au, rate_hz, e);
        if (answer == READER_OK) return 0;
        if (answer == READER_FAILED) return -1;
        before = *e;
        au->reader->close(au->state);
        au->state = NULL;
        arena_rewind(a, mark);
    }
    return -1;
}

/* The next samples of an audio of which the first ones are held. */
static int64_t read_held(struct audio *au, struct err *e)
{
    int64_t got = MIN((int64_t)AUDIO_BLOCK, au->n_held - au->at);
    if (got > 0) memcpy(au->block, au->held + au->at, (size_t)got * sizeof au->block[0]);
    if (got > 0 || au->held_all) return got;
    if (au->reader_at > au->at) { /* a second pass */
        TRY(au->reader->rewind(au->state, e));
        au->reader_at = 0;
    }
    while (au->reader_at < au->at) {
        int64_t skip = MIN((int64_t)AUDIO_BLOCK, au->at - au->reader_at);
        got = au->reader->read(au->state, au->block, skip, e);
        if (got <= 0) return got;
        au->reader_at += got;
    }
    got = au->reader->read(au->state, au->block, AUDIO_BLOCK, e);
    au->reader_at += MAX(got, 0);
    return got;
}

/* The next block into memory. n 0: the end. */
static int fill(struct audio *au, struct err *e)
{
    int64_t got = 0;
    au->n = au->used = 0;
    if (au->spool_fd >= 0 && au->at < au->kept) {
        int64_t want = MIN((int64_t)AUDIO_BLOCK, au->kept - au->at);
        uint64_t at = (uint64_t)au->at * sizeof au->block[0];
        got = file_read_at(au->spool_fd, au->block, (size_t)want * sizeof au->block[0], at, e);
        if (got < 0) return -1;
        got /= (int64_t)sizeof au->block[0];
        if (got < want) return err_set(e, E_IO, "the temporary file was cut short");
    } else {
        got = au->held ? read_held(au, e) : au->reader->read(au->state, au->block, AUDIO_BLOCK, e);
        if (got < 0) return -1;
        if (au->spool_fd >= 0) {
            TRY(file_write_all(au->spool_fd, au->block, (size_t)got * sizeof au->block[0], e));
            au->kept += got;
        }
        if (got == 0) au->pass_max = au->at;
    }
    au->n = (int)got;
    au->at += got;
    return 0;
}

int audio_open(struct arena *a, const char *path, int rate_hz, struct audio **out, struct err *e)
{
    return audio_open_channel(a, path, rate_hz, 0, out, e);
}

int audio_open_channel(struct arena *a, const char *path, int rate_hz, int channel,
                       struct audio **out, struct err *e)
{
    *out = NULL;
    assert(channel >= 0);
    assert(rate_hz >= READER_RATE_MIN_HZ && rate_hz <= READER_RATE_MAX_HZ);
    struct audio *au = ARENA_NEW(a, struct audio, 1, e);
    if (!au) return -1;
    au->spool_fd = -1;
    au->pass_max = -1;
    au->info.channel = channel;
    TRY(source_open(path, &au->src, e));
    if (choose_reader(a, au, rate_hz, e) != 0) goto failed;
    source_settle(&au->src);
    if (au->src.pipe && file_spool(&au->spool_fd, e) != 0) goto failed;
    if (fill(au, e) != 0) goto failed;
    if (au->n == 0) {
        err_set(e, E_INPUT, "holds no audio: not one sample could be decoded");
        goto failed;
    }
    *out = au;
    return 0;
failed:
    err_note(e, "%s", au->src.name);
    audio_close(&au);
    return -1;
}

int64_t audio_read(struct audio *au, float *dst, int64_t n, struct err *e)
{
    int64_t done = 0;
    while (done < n) {
        if (au->used == au->n) {
            if (fill(au, e) != 0) return err_note(e, "%s", au->src.name);
            if (au->n == 0) break;
        }
        int take = (int)MIN(n - done, (int64_t)(au->n - au->used));
        for (int i = 0; i < take; i++)
            dst[done + i] = (float)au->block[au->used + i] * (1.0f / 32768.0f);
        au->used += take;
        done += take;
    }
    return done;
}

bool audio_seekable(const struct audio *au)
{
    return !au->src.pipe;
}

int audio_hold(struct audio *au, int16_t *pcm, int64_t cap, bool (*stop)(void *ctx), void *ctx,
               struct err *e)
{
    assert(audio_seekable(au) && au->at == au->n && au->used == 0 && cap >= au->n);
    memcpy(pcm, au->block, (size_t)au->n * sizeof *pcm);
    au->n_held = au->n;
    while (au->n_held < cap && !au->held_all && !stop(ctx)) {
        int64_t n = MIN((int64_t)AUDIO_BLOCK, cap - au->n_held),
                got = au->reader->read(au->state, pcm + au->n_held, n, e);
        if (got < 0) return err_note(e, "%s", au->src.name);
        au->held_all = got == 0;
        au->n_held += got;
    }
    au->held = pcm;
    au->reader_at = au->n_held;
    au->at = au->n = 0;
    return 0;
}

int audio_rewind(struct audio *au, struct err *e)
{
    if (au->at == au->n) { /* still in the first block */
        au->used = 0;
        return 0;
    }
    au->damage = audio_damage(au);
    au->promised_s = audio_promised(au);
    if (au->spool_fd < 0 && !au->held && au->reader->rewind(au->state, e) != 0)
        return err_note(e, "%s", au->src.name);
    au->at = 0;
    au->n = au->used = 0;
    return 0;
}

void audio_info(const struct audio *au, struct audio_info *out)
{
    out->reader = au->reader->name;
    out->source_rate_hz = au->info.rate_hz;
    out->source_channels = au->info.channels;
    out->n_samples = au->pass_max >= 0 ? au->pass_max : au->info.n_samples;
}

int64_t audio_damage(const struct audio *au)
{
    return MAX(au->damage, au->reader->damage(au->state));
}

double audio_promised(const struct audio *au)
{
    return MAX(au->promised_s, au->reader->promised(au->state));
}

void audio_close(struct audio **au)
{
    if (!*au) return;
    if ((*au)->state) (*au)->reader->close((*au)->state);
    source_close(&(*au)->src);
    if ((*au)->spool_fd >= 0) close((*au)->spool_fd);
    *au = NULL;
}
