/* What a reader of audio is: a row of function pointers over a source of bytes. The built-in one is
 * wav_reader; the one in the module lode-av.so is av_module (media/av.h). Readers deliver mono at
 * the asked rate as 16-bit integers, the form in which faster-whisper's decoder (format s16, layout
 * mono) hands audio to its model: the same samples give the same words. Messages do not name the
 * input, audio.c does. */
#ifndef MEDIA_READER_H
#define MEDIA_READER_H

#include "media/source.h"

/* More channels than this are refused; it is also what swresample can mix. */
#define READER_CHANNELS_MAX 64
/* Source rates outside are refused: a resampling filter for them would be larger than any file
 * justifies. 8 kHz telephone to 2.8 MHz DSD lie inside. */
#define READER_RATE_MIN_HZ 1000
#define READER_RATE_MAX_HZ 3072000

enum reader_answer {
    READER_FAILED = -1, /* *e tells why */
    READER_OK,
    READER_NOT_MINE,  /* ask the next one; *e tells why not */
    READER_MUST_SEEK, /* only after source_fill, which audio.c calls before it asks once more */
};

struct reader_info {
    int channel;           /* asked for: from 1; 0: the mean of all. Read by open */
    int rate_hz, channels; /* of the source */
    int64_t n_samples;     /* to be delivered, or -1 while unknown */
};

struct reader {
    const char *name;
    size_t state_bytes; /* of the zeroed state, owned by the caller */
    /* open: src stands at byte 0 and outlives the state. close is called after every open. */
    enum reader_answer (*open)(void *state, struct source *src, int rate_hz,
                               struct reader_info *info, struct err *e);
    /* read: 1..n samples, 0 at the end, -1 with *e (E_IO, E_INPUT, E_NOMEM). */
    int64_t (*read)(void *state, int16_t *dst, int64_t n, struct err *e);
    int (*rewind)(void *state, struct err *e); /* only if the source is not a pipe */
    int64_t (*damage)(const void *state);      /* packets lost in this pass */
    /* promised: seconds that the header announced of what ended before; 0: it did not, or
     * nobody knows */
    double (*promised)(const void *state);
    void (*close)(void *state);
};

#endif
