/* A Whisper model made ready: weights, tokenizer, plan, device. Jobs run its tapes through here. */
#ifndef JOBS_SPEECH_H
#define JOBS_SPEECH_H

#include "jobs/again.h"
#include "load/load.h"
#include "nets/net_whisper.h"
#include "text/bpe.h"

/* The names users give. A name is a preference, see speech_compute_type. */
#define SPEECH_COMPUTE_TYPES "auto|int8|int8_float32|int8_float16|float16|float32"

#define SPEECH_BATCH 1024 /* most windows decoded together */

struct speech_options {
    const char *folder; /* of the model, or a weight file */
    const char *name;   /* what the user called it */
    const char
        *compute_type; /* "auto", "int8", "int8_float16", "int8_float32", "float16", "float32" */
    bool strict;       /* a compute type the device does not have is an error */
    struct engine_options engine;
    const struct again *again; /* NULL: a device that fails ends the work */
    int beam, best_of, batch;  /* batch: windows decoded together */
    bool words;                /* times of words will be asked for */
    float dampen;              /* see struct net_whisper_shape */
    bool allow_non_speech; /* what the model's files name as not speech may be said all the same */
    const int *suppress;   /* [n_suppress] more tokens never to be said */
    int n_suppress;
};

struct speech {
    struct speech_options o; /* what it points to lives as long as this */
    struct engine *engine;
    struct arena *ready;          /* plan and prepared: as long as their device */
    struct engine_plan *prepared; /* NULL: its device failed for good, see speech_again */
    const struct plan *plan;
    struct net_whisper net;
    struct bpe *bpe;
    const char *compute_type;    /* as resolved for the device */
    struct load_weights weights; /* mapped until speech_close */
    double load_s;
    int failures; /* of the device, that were survived */
    bool merges;  /* the tokenizer can encode */
    /* doors of the plan, see struct net_whisper */
    float *pcm, *loudest, *loudest_in, *ban, *chance, *top_logp, *sampled_logp, *watched;
    int32_t *content, *slot, *n_rows, *token, *position, *sequence, *window, *history, *n_picks,
        *pick, *rule, *top_token, *sampled;
    int32_t *list; /* NULL without dampen; the rest NULL without words */
    int32_t *n_heard, *heard_token, *heard_position, *heard_sequence, *heard_window, *heard_next;
    float *probability;
    const float *listened[WHISPER_MAX_HEADS]; /* net.weights */
};

/* speech_shape: how large the plan for these options is on a device ("cpu", "cuda"). Shared with
 * `lode plan`. */
struct net_whisper_shape speech_shape(int batch, int beam, int best_of, const char *resolved,
                                      const char *device);
/* speech_drop: for engine_prepare, with a struct speech_pages as ctx: the value has been packed,
 * its pages in the model's file are not needed any more. */
struct speech_pages {
    const struct plan *plan;
    const struct load_weights *weights;
};
void speech_drop(void *ctx, int value);

/* speech_compute_type: the name a user gives (SPEECH_COMPUTE_TYPES), resolved for a device: on the
 * CPU int8_float32 or float32; on a GPU any but auto and int8. */
const char *speech_compute_type(const char *asked, const char *device);
bool speech_is_compute_type(const char *name); /* one of SPEECH_COMPUTE_TYPES */

/* speech_open: everything lives in a (a model arena). Errors: E_MODEL, E_USAGE (o->strict),
 * E_DEVICE, E_NOMEM. */
int speech_open(struct arena *a, const struct speech_options *o, struct speech **out,
                struct err *e);
/* speech_measure: what speech_open would take on the device, and what that has left (SIZE_MAX: not
 * known), without opening anything for long. a: scratch. */
int speech_measure(struct arena *a, const struct speech_options *o, size_t *bytes, size_t *room,
                   struct err *e);
/* speech_again: again_try of a window. All doors are new then, and those of inputs empty. */
int speech_again(struct speech *s, int tries, struct err *e);
/* speech_ready: connects the doors of s->net in s->prepared and fills the bans. Part of
 * speech_open; by itself for tests that bring a net of their own. */
void speech_ready(struct speech *s);
/* speech_encode: text of the user's as tokens, as Whisper has them: trimmed and after a space.
 * *token [n] lives in a. Returns n or -1. */
int64_t speech_encode(struct arena *a, struct speech *s, const char *text, int **token,
                      struct err *e);
void speech_close(struct speech **s);

#endif
