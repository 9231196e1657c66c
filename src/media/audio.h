/* Audio in: any file, pipe or stdin -> mono float at the asked rate, in pieces, readable twice. */
#ifndef MEDIA_AUDIO_H
#define MEDIA_AUDIO_H

#include "base/file.h"

struct audio;

struct audio_info {
    const char *reader; /* "wav" or "ffmpeg" */
    int source_rate_hz, source_channels;
    int64_t n_samples; /* at the asked rate, or -1 while unknown */
};

/* audio_open: path may be "-" (standard input). rate_hz: what audio_read delivers, 16000 for
 * speech. All memory from a, in amounts that do not depend on the length of the audio. What cannot
 * be read twice is spooled to an unlinked temporary file as it is read. Mono is the mean of the
 * channels. Errors, each sentence beginning with the input's name: E_INPUT (not audio, no audio
 * stream, truncated header, zero samples), E_IO (missing, unreadable, a folder, no room for the
 * spool), E_MISSING (FFmpeg module absent and not a WAV at rate_hz), E_NOMEM. After an error the
 * arena may hold what was allocated; nothing else is left open. */
int audio_open(struct arena *a, const char *path, int rate_hz, struct audio **out, struct err *e);
/* audio_open_channel: the same of one channel, from 1, instead of their mean. E_INPUT if there are
 * fewer. */
int audio_open_channel(struct arena *a, const char *path, int rate_hz, int channel,
                       struct audio **out, struct err *e);

/* audio_read: n samples, -1..1, into dst, fewer only at the end. Returns how many (0: the end), or
 * -1 with *e filled. Every sample is a multiple of 1/32768: swresample's rounding to s16, which is
 * what faster-whisper feeds its model. Damaged data in the middle is skipped as the decoder does,
 * counted and reported by audio_damage. */
int64_t audio_read(struct audio *au, float *dst, int64_t n, struct err *e);
/* audio_hold: of an audio just opened, not from a pipe: decodes up to cap samples into pcm, which
 * is the audio's until audio_close. The next read starts at the first sample, and what lies there
 * is not decoded again. stop: asked now and then; true ends it early. What is read, and what
 * audio_info says, is the same as without. */
int audio_hold(struct audio *au, int16_t *pcm, int64_t cap, bool (*stop)(void *ctx), void *ctx,
               struct err *e);
/* audio_seekable: whether it is not from a pipe. */
bool audio_seekable(const struct audio *au);
/* audio_rewind: the next read starts at the first sample again. */
int audio_rewind(struct audio *au, struct err *e);
void audio_info(const struct audio *au, struct audio_info *out);
/* audio_damage: packets lost or torn in the pass that lost most; a later one may end early. */
int64_t audio_damage(const struct audio *au);
/* audio_promised: seconds of sound that the header announced, if a pass ended before them (FFmpeg:
 * more than one before, for some are estimates); else 0. It counts as damage. */
double audio_promised(const struct audio *au);
void audio_close(struct audio **au);

#endif
