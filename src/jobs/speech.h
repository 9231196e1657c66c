/* A Whisper model made ready: weights, tokenizer, plan, device. Jobs run its tapes through here. */
#ifndef JOBS_SPEECH_H
#define JOBS_SPEECH_H

#include "engine/engine.h"
#include "load/load.h"
#include "nets/net_whisper.h"
#include "text/bpe.h"

/* The names users give. A name is a preference, see speech_compute_type. */
#define SPEECH_COMPUTE_TYPES "auto|int8|int8_float32|int8_float16|float16|float32"

struct speech_options {
    const char *folder; /* of the model, or a weight file */
    const char *name;   /* what the user called it */
    const char
        *compute_type; /* "auto", "int8", "int8_float16", "int8_float32", "float16", "float32" */
    struct engine_options engine;
    int beam, best_of;
};

struct speech {
    struct engine *engine;
    struct engine_plan *prepared;
    const struct plan *plan;
    struct net_whisper net;
    struct bpe *bpe;
    const char *name, *compute_type; /* the latter as resolved for the device */
    struct load_weights weights;     /* mapped until speech_close */
    double load_s;
    /* doors of the plan, see struct net_whisper */
    float *pcm, *loudest, *loudest_in, *ban, *chance, *top_logp, *sampled_logp, *watched;
    int32_t *content, *slot, *n_rows, *token, *position, *sequence, *window, *history, *n_picks,
        *pick, *rule, *top_token, *sampled;
};

/* speech_shape: how large the plan for these options is on a device ("cpu", "cuda"). Shared with
 * `lode plan`. */
struct net_whisper_shape speech_shape(int batch, int beam, int best_of, const char *resolved,
                                      const char *device);
/* speech_compute_type: the name a user gives (SPEECH_COMPUTE_TYPES), resolved for a device: on the
 * CPU int8_float32 or float32; on a GPU any but auto and int8. */
const char *speech_compute_type(const char *asked, const char *device);

/* speech_open: everything lives in a (a model arena). Errors: E_MODEL, E_DEVICE, E_NOMEM. */
int speech_open(struct arena *a, const struct speech_options *o, struct speech **out,
                struct err *e);
/* speech_ready: connects the doors of s->net in s->prepared and fills the bans. Part of
 * speech_open; by itself for tests that bring a net of their own. */
void speech_ready(struct speech *s);
void speech_close(struct speech **s);

#endif
