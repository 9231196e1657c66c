/* Voice activity: audio -> probability of speech per block of 32 ms -> regions of speech -> windows
 * of at most 30 s that a batch can take, and from times in what is left back to times in the audio.
 * Follows faster-whisper 1.2.1 vad.py (get_speech_timestamps, collect_chunks, SpeechTimestampsMap)
 * to the sample; where this differs is said below. Positions are samples at 16 kHz. */
#ifndef JOBS_VAD_H
#define JOBS_VAD_H

#include "engine/engine.h"
#include "load/load.h"
#include "media/audio.h"
#include "nets/net_silero.h"

struct vad { /* Silero made ready on the CPU, whatever device the speech model uses */
    struct engine *engine;
    struct engine_plan *prepared;
    struct net_silero net;
};

/* vad_open: path: a model folder or weight file (silero_vad_v6.onnx, or safetensors of silero-vad);
 * NULL: test weights. o->device is not looked at. Everything lives in a (a model arena), which the
 * caller closes after vad_close. Errors: E_MODEL, E_DEVICE, E_IO, E_NOMEM. */
int vad_open(struct arena *a, const char *path, const struct engine_options *o, struct vad **out,
             struct err *e);
void vad_close(struct vad **v);

struct vad_source { /* mono at 16 kHz, -1..1: up to n samples, 0 at the end, -1 with *e */
    void *ctx;
    int64_t (*read)(void *ctx, float *dst, int64_t n, struct err *e);
};

/* vad_audio: an audio as a source, from where it stands. */
struct vad_source vad_audio(struct audio *audio);

struct vad_taker { /* takes the probability of each block in order; -1 with *e stops the run */
    void *ctx;
    int (*take)(void *ctx, float probability, struct err *e);
};

/* vad_listen: all blocks of a source, in constant memory; *n_samples: how many it had. As with
 * faster-whisper the last block is filled up with silence, there is an empty one after a whole
 * number of blocks, and the last 64 samples of the last one are taken as silence. */
int vad_listen(struct vad *v, struct vad_source source, struct vad_taker taker, int64_t *n_samples,
               struct err *e);

struct vad_options {
    double threshold;     /* a block is speech from this probability on */
    double neg_threshold; /* and silence below this; negative: threshold - 0.15, at least 0.01 */
    int min_speech_ms;    /* regions not longer are dropped */
    double max_speech_s;  /* longer regions are cut, if possible at a silence; INFINITY: never */
    int min_silence_ms;   /* what lasts so long ends a region */
    int pad_ms;           /* is added on both sides */
};

struct vad_region {
    int64_t start, end; /* samples of the audio */
    int64_t before;     /* samples of speech in the regions before this one */
};

/* More regions than a week of audio has; beyond it a run ends with E_INPUT. */
#define VAD_REGIONS_MAX (1 << 20)

struct vad_regions {
    struct vad_region *at;
    size_t n, room;
    int64_t pad; /* samples of silence on either side, but where regions meet */
};

/* struct vad_cut: the segmenter, one probability after the other. Regions go to `regions`, whose
 * memory is a's (a job arena) and in all at most twice what they take. */
struct vad_cut {
    struct arena *a;
    struct vad_regions *regions;
    float threshold, neg_threshold;
    double max_speech;                        /* samples, like the rest */
    int64_t min_speech, min_silence, pad, at; /* at: of the next block */
    bool open;                                /* a region began at `start` */
    int64_t start, silence /* its present one, else 0 */, last_silence /* long enough for a cut */,
        resumed /* speech after that one */;
};

void vad_cut_begin(struct vad_cut *c, struct arena *a, const struct vad_options *o,
                   struct vad_regions *out);
int vad_cut_take(struct vad_cut *c, float probability, struct err *e);
/* vad_cut_end: closes and pads. n_samples: of the audio. */
int vad_cut_end(struct vad_cut *c, int64_t n_samples, struct err *e);

/* vad_regions: all of the above for one source. */
int vad_regions(struct arena *a, struct vad *v, struct vad_source source,
                const struct vad_options *o, struct vad_regions *out, int64_t *n_samples,
                struct err *e);

/* vad_samples: of speech in all regions. */
int64_t vad_samples(const struct vad_regions *r);

struct vad_joined {      /* an audio with the silence between regions left out */
    struct audio *audio; /* at its start at first */
    const struct vad_regions *regions;
    size_t region;
    int64_t position; /* samples read of the audio */
};

/* vad_joined_read: as vad_source.read; ctx: a struct vad_joined. Regions must lie within the audio.
 */
int64_t vad_joined_read(void *ctx, float *dst, int64_t n, struct err *e);

/* vad_region_at: the region that a time in the speech alone (all regions joined) lies in; a time
 * between two belongs to the earlier one if it is an end. At least one region. vad_original_s: a
 * time of that region in the audio. faster-whisper rounds it to two decimals. */
size_t vad_region_at(const struct vad_regions *r, double speech_s, bool is_end);
double vad_original_s(const struct vad_regions *r, size_t region, double speech_s);
/* vad_time_s: where something begins or ends in the audio. Nothing begins in the silence left after
 * a region, nor ends in the silence before one: the model's times are not as exact as that. */
double vad_time_s(const struct vad_regions *r, double speech_s, bool is_end);

#endif
