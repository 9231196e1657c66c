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
 * channels. Errors: E_INPUT (not audio, no audio stream, truncated header, zero samples), E_IO,
 * E_MISSING (FFmpeg module absent and not a WAV). */
int audio_open(struct arena *a, const char *path, int rate_hz, struct audio **out, struct err *e);

/* audio_read: up to n samples, -1..1, into dst. Returns how many (0: the end), or -1 with *e
 * filled. Damaged data in the middle is skipped as the decoder does, counted and reported by
 * audio_damage. */
int64_t audio_read(struct audio *au, float *dst, int64_t n, struct err *e);
/* audio_rewind: the next read starts at the first sample again. */
int audio_rewind(struct audio *au, struct err *e);
void audio_info(const struct audio *au, struct audio_info *out);
int64_t audio_damage(const struct audio *au); /* packets that could not be decoded */
void audio_close(struct audio **au);

#endif
