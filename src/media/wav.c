/* RIFF/WAVE and RF64: PCM of 8, 16, 24, 32 bits and IEEE float of 32, 64 bits, 1 to 64 channels, at
 * the asked rate. Every other encoding or rate is left to FFmpeg. What FFmpeg would deliver for the
 * same samples is delivered here, to the last bit for one and two channels.
 *
 *     "RIFF" size "WAVE"  { id size bytes [pad to even] }...  "data" size frames...
 * Source: Multimedia Programming Interface and Data Specifications 1.0 (1991), RFC 2361, EBU Tech
 * 3306 (RF64). */
#include "media/wav.h"
#include "base/str.h"
#include <math.h>
#include <string.h>

enum { WAV_PCM = 1, WAV_FLOAT = 3, WAV_EXTENSIBLE = 0xFFFE };

/* A data size from here on comes from a writer that could not go back to fill it in: ffmpeg leaves
 * 0xFFFFFFFF, espeak and sox a little less than 0x80000000. Its absence is not damage. */
#define WAV_NO_SIZE 0x7FFF0000u

struct wav {
    struct source *src;
    int rate_hz, channels, bytes; /* bytes of one sample of one channel */
    int channel;                  /* delivered alone, from 1; 0: the mean of all */
    bool real;                    /* float, not integer */
    uint64_t data_at, size;       /* of the data chunk; size UINT64_MAX: to the end of the input */
    uint64_t left;                /* of size, in this pass */
    bool size_is_meant, cut;      /* the input ended before a size that was meant */
    uint8_t raw[32768];
};

/* The GUID of an extensible format is the old tag and these bytes. */
static const uint8_t wav_guid[14] = {0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71};

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | le16(p + 2) << 16;
}

static uint64_t le64(const uint8_t *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static bool is(const uint8_t *p, const char *id)
{
    return memcmp(p, id, 4) == 0;
}

static int need(struct wav *w, void *p, size_t n, struct err *e)
{
    int64_t got = w->src->read(w->src, p, n, e);
    if (got < 0) return -1;
    if ((size_t)got < n)
        return err_set(e, E_INPUT, "the WAV header is cut short after %llu bytes",
                       (unsigned long long)w->src->at);
    return 0;
}

/* The fmt chunk: fills w's encoding, or says what is wrong with it. */
static enum reader_answer parse_format(struct wav *w, const uint8_t *p, size_t n, struct err *e)
{
    uint32_t tag = le16(p), channels = le16(p + 2), rate = le32(p + 4);
    uint32_t block = le16(p + 12), bits = le16(p + 14);
    if (tag == WAV_EXTENSIBLE) {
        if (n < 40) return err_set(e, E_INPUT, "the WAV format chunk has %zu of 40 bytes", n);
        tag = memcmp(p + 26, wav_guid, sizeof wav_guid) == 0 ? le16(p + 24) : 0;
    }
    bool real = tag == WAV_FLOAT;
    if (channels == 0 || channels > READER_CHANNELS_MAX)
        return err_set(e, E_INPUT, "the WAV header says %u channels; 1 to %d can be read", channels,
                       READER_CHANNELS_MAX);
    if (rate < READER_RATE_MIN_HZ || rate > READER_RATE_MAX_HZ)
        return err_set(e, E_INPUT, "the WAV header says %u samples a second; %d to %d can be read",
                       rate, READER_RATE_MIN_HZ, READER_RATE_MAX_HZ);
    if (!real && tag != WAV_PCM) {
        err_set(e, E_INPUT, "its WAV encoding 0x%04X is not plain PCM or float", tag);
        return READER_NOT_MINE;
    }
    uint32_t bytes = (bits + 7) / 8;
    if (real ? bits != 32 && bits != 64 : bytes < 1 || bytes > 4)
        return err_set(e, E_INPUT, "the WAV header says %s samples of %u bits",
                       real ? "float" : "integer", bits);
    if (block != bytes * channels)
        return err_set(e, E_INPUT, "the WAV header says blocks of %u bytes for %u channels of %u",
                       block, channels, bytes);
    w->rate_hz = (int)rate;
    w->channels = (int)channels;
    w->bytes = (int)bytes;
    w->real = real;
    return READER_OK;
}

/* What the data chunk claims, against what is there. */
static void parse_data(struct wav *w, uint64_t claimed)
{
    w->data_at = w->src->at;
    w->size_is_meant = claimed != 0 && claimed < WAV_NO_SIZE;
    w->size = claimed == 0 || claimed == UINT32_MAX ? UINT64_MAX : claimed;
    w->left = w->size;
}

/* Walks the chunks up to the samples. READER_OK: the source stands at the first of them. */
static enum reader_answer parse(struct wav *w, struct err *e)
{
    uint8_t head[12], chunk[8], body[40];
    uint64_t long_data = 0;
    bool have_format = false;

    int64_t got = w->src->read(w->src, head, sizeof head, e);
    if (got < 0) return READER_FAILED;
    bool rf64 = got >= 4 && (is(head, "RF64") || is(head, "BW64"));
    if (got < 4 || (!rf64 && !is(head, "RIFF")) || (got == 12 && !is(head + 8, "WAVE"))) {
        err_set(e, E_INPUT, "it is not a WAV file");
        return READER_NOT_MINE;
    }
    if (got < 12)
        return err_set(e, E_INPUT, "the WAV header is cut short after %d bytes", (int)got);

    for (;;) {
        TRY(need(w, chunk, sizeof chunk, e));
        uint64_t size = le32(chunk + 4);
        size_t take = 0;
        if (is(chunk, "data")) {
            if (!have_format)
                return err_set(e, E_INPUT, "the WAV samples come before their format");
            parse_data(w, rf64 && size == UINT32_MAX ? long_data : size);
            return READER_OK;
        }
        if (is(chunk, "fmt ")) {
            if (size < 16)
                return err_set(e, E_INPUT, "the WAV format chunk has %d of 16 bytes", (int)size);
            take = (size_t)MIN(size, sizeof body);
            TRY(need(w, body, take, e));
            enum reader_answer answer = parse_format(w, body, take, e);
            if (answer != READER_OK) return answer;
            have_format = true;
        } else if (rf64 && is(chunk, "ds64") && size >= 24) {
            take = 24; /* 64-bit sizes of the file and of the data chunk, 64-bit sample count */
            TRY(need(w, body, take, e));
            long_data = le64(body + 8);
        }
        TRY(source_skip(w->src, size - take + (size & 1), e));
    }
}

static enum reader_answer open_wav(void *state, struct source *src, int rate_hz,
                                   struct reader_info *info, struct err *e)
{
    struct wav *w = state;
    w->src = src;
    enum reader_answer answer = parse(w, e);
    if (answer != READER_OK) return answer;
    w->channel = info->channel;
    if (w->channel > w->channels)
        return err_set(e, E_INPUT, "has %d channel%s, none with number %d", w->channels,
                       str_s(w->channels), w->channel);
    info->rate_hz = w->rate_hz;
    info->channels = w->channels;
    info->n_samples = -1;
    if (!src->pipe)
        info->n_samples =
            (int64_t)(MIN(w->size, src->size - w->data_at) / (uint64_t)(w->channels * w->bytes));
    if (w->rate_hz == rate_hz) return READER_OK;
    err_set(e, E_INPUT, "its %d samples a second have to be resampled to %d", w->rate_hz, rate_hz);
    return READER_NOT_MINE;
}

/* One sample as -1..1. Up to 32 bits it has the precision of a float, as in swresample. */
static double load(const uint8_t *p, int bytes, bool real)
{
    float f;
    double d;
    uint32_t u32;
    uint64_t u64;
    if (real && bytes == 8) {
        u64 = le64(p);
        memcpy(&d, &u64, sizeof d);
        return d;
    }
    if (real) {
        u32 = le32(p);
        memcpy(&f, &u32, sizeof f);
        return (double)f;
    }
    u32 = bytes == 4 ? le32(p) : le16(p) << 8 | (uint32_t)p[2] << 24;
    return (double)((float)(int32_t)u32 * (1.0f / 2147483648.0f));
}

static int16_t narrow(double v)
{
    double scaled = v * 32768.0;
    if (isnan(scaled)) return 0;
    if (scaled <= INT16_MIN) return INT16_MIN;
    if (scaled >= INT16_MAX) return INT16_MAX;
    return (int16_t)lrint(scaled);
}

/* Mean of the channels of one frame of 1 or 2 bytes a sample: integers, halves rounded up. */
static int16_t mix_small(const uint8_t *p, int channels, int bytes)
{
    int32_t sum = 0;
    for (int c = 0; c < channels; c++)
        sum += bytes == 1 ? (p[c] - 128) * 256 : (int16_t)le16(p + (ptrdiff_t)c * 2);
    int32_t up = 2 * sum + channels, by = 2 * channels;
    return (int16_t)(up >= 0 ? up / by : -((-up + by - 1) / by));
}

static int16_t mix_large(const uint8_t *p, int channels, int bytes, bool real)
{
    if (channels == 1 && !real) return (int16_t)le16(p + bytes - 2); /* swresample truncates */
    double sum = 0;
    for (int c = 0; c < channels; c++) sum += load(p + (ptrdiff_t)c * bytes, bytes, real);
    double mean = sum / channels;
    return narrow(bytes == 8 ? mean : (double)(float)mean);
}

static int64_t read_wav(void *state, int16_t *dst, int64_t n, struct err *e)
{
    struct wav *w = state;
    size_t block = (size_t)(w->channels * w->bytes);
    uint64_t frames = MIN((uint64_t)n, sizeof w->raw / block);
    frames = MIN(frames, w->left / block);
    int64_t got = w->src->read(w->src, w->raw, (size_t)frames * block, e);
    if (got < 0) return -1;
    int64_t whole = got / (int64_t)block;
    w->left -= (uint64_t)whole * block;
    if ((uint64_t)whole < frames) {
        w->cut = w->size_is_meant;
        w->left = 0;
    }
    for (int64_t i = 0; i < whole; i++) {
        const uint8_t *p = w->raw + (size_t)i * block;
        int channels = w->channel ? 1 : w->channels;
        if (w->channel) p += (w->channel - 1) * w->bytes;
        dst[i] = w->bytes < 3 ? mix_small(p, channels, w->bytes)
                              : mix_large(p, channels, w->bytes, w->real);
    }
    return whole;
}

static int rewind_wav(void *state, struct err *e)
{
    struct wav *w = state;
    w->left = w->size;
    w->cut = false;
    return w->src->seek(w->src, w->data_at, e);
}

static int64_t damage_wav(const void *state)
{
    return ((const struct wav *)state)->cut;
}

static double promised_wav(const void *state)
{
    const struct wav *w = state;
    uint64_t a_second = (uint64_t)w->rate_hz * (uint64_t)w->channels * (uint64_t)w->bytes;
    return w->cut ? (double)w->size / (double)a_second : 0;
}

static void close_wav(void *state)
{
    (void)state;
}

const struct reader wav_reader = {"wav",      sizeof(struct wav), open_wav,     read_wav,
                                  rewind_wav, damage_wav,         promised_wav, close_wav};
