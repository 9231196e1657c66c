/* A sentence encoder made ready: weights, tokenizer, plan, device. embed and match run it through
 * here. Texts are tokenized by all threads, sorted by length and packed without padding into runs
 * of so many tokens; the vectors come back in the order of the texts. */
#ifndef JOBS_SENTENCES_H
#define JOBS_SENTENCES_H

#include "jobs/again.h"
#include "load/load.h"
#include "nets/net_sentence.h"
#include "text/tokens.h"

enum sentences_pooling { SENTENCES_AS_MODEL, SENTENCES_MEAN, SENTENCES_CLS };
#define SENTENCES_POOLINGS "auto|mean|cls"

struct sentences_options {
    const char *folder;       /* of the model, or a weight file */
    const char *name;         /* what the user called it */
    const char *compute_type; /* as for speech: SPEECH_COMPUTE_TYPES */
    struct engine_options engine;
    const struct again *again; /* NULL: a device that fails ends the work */
    int64_t max_tokens;        /* of a text; 0: the model's own */
    enum sentences_pooling pooling;
    bool unit;    /* vectors of length 1 */
    bool literal; /* special tokens spelled out in a text are text */
};

struct sentences {
    struct sentences_options o; /* what it points to lives as long as this */
    struct engine *engine;
    struct arena *ready;          /* plan and prepared: as long as their device */
    struct engine_plan *prepared; /* NULL: its device failed for good */
    const struct plan *plan;
    struct net_sentence net;
    struct tokens *tokens;
    const char *compute_type;       /* as resolved for the device */
    struct load_weights weights;    /* mapped until sentences_close */
    struct arena **scratch;         /* [threads] */
    int threads, width, least_rows; /* the latter of a run */
    uint64_t counted;               /* bytes that sentences_count has been through */
    double load_s;
    /* doors of the plan */
    int32_t *n_rows, *token, *position, *n_texts, *range;
    const float *vector;
};

struct sentences_counts { /* added up over calls */
    uint64_t texts, tokens;
    uint64_t cut, lost; /* texts longer than the model reads; their tokens that were left out */
    bool about;         /* lost is estimated, of texts over SENTENCES_BYTES */
};

/* Of a longer text only as much is tokenized, if that is more than the model reads. */
#define SENTENCES_BYTES (1u << 20)

struct sentences_watch { /* who waits for vectors */
    /* polled between runs with the number of texts done; true: stop. May be NULL */
    bool (*stop)(void *ctx, size_t done);
    void *ctx;
    size_t before; /* texts done before these, added to what stop is told */
};

/* sentences_compute_type: as speech_compute_type, but float16 stays float16 on a CPU that
 * multiplies it. Shared with `lode plan`. */
const char *sentences_compute_type(const char *asked, const struct engine *engine);

/* sentences_shape: how large the plan is for these options on a device ("cpu", "cuda"), threads as
 * the engine has them. Shared with `lode plan`. */
struct net_sentence_shape sentences_shape(const struct net_sentence_config *c, int threads,
                                          const char *resolved, const char *device, bool unit);

/* sentences_open: everything lives in a (a model arena). Errors: E_MODEL, E_USAGE (more tokens than
 * the model has positions), E_DEVICE, E_NOMEM. */
int sentences_open(struct arena *a, const struct sentences_options *o, struct sentences **out,
                   struct err *e);
void sentences_close(struct sentences **s);

/* sentences_again: again_try. Another device takes the compute type of the one before as what was
 * asked for, so that vectors stay alike. */
int sentences_again(struct sentences *s, int tries, struct err *e);

/* sentences_embed: vectors of n texts (UTF-8) to out [n][width]; memory for the tokens of some
 * thousand texts is taken at a time. watch may be NULL. *bad: the text an error is about, or n.
 * Errors: E_INPUT (not UTF-8), E_MODEL (vectors that are not numbers), E_DEVICE, E_NOMEM,
 * E_CANCELLED. */
int sentences_embed(struct sentences *s, const struct str *text, size_t n, float *out,
                    struct sentences_counts *counts, const struct sentences_watch *watch,
                    size_t *bad, struct err *e);

/* sentences_count: tokens of one text, special ones included. Errors: as above. */
int64_t sentences_count(struct sentences *s, struct str text, struct err *e);

#endif
