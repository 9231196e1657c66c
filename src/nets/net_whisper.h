/* Whisper as a plan: every size, from config and weights. docs/net-whisper.md describes the network
 * in prose. */
#ifndef NETS_NET_WHISPER_H
#define NETS_NET_WHISPER_H

#include "base/json.h"
#include "core/plan.h"
#include "load/load.h"

#define WHISPER_RATE_HZ     16000
#define WHISPER_HOP         160 /* samples per mel frame: 10 ms */
#define WHISPER_FFT         400
#define WHISPER_HEAD        64   /* channels per head, in every Whisper */
#define WHISPER_TIME_STEP_S 0.02 /* of timestamp tokens */
#define WHISPER_MAX_LIST    512
#define WHISPER_MAX_HEADS   64 /* for alignment; the most published are 23 (large-v2) */
#define WHISPER_ALIGN_ROWS  32 /* tokens of one run of the tape "align" */

struct net_whisper_config {
    int n_mels, audio_ctx /* encoder positions: half the mel frames of a window */, text_ctx;
    int width, heads, encoder_layers, decoder_layers, ffn, vocab;
    float eps;
    bool multilingual;
    int n_languages;
    /* token ids, by the size of the vocabulary (research: openai tokenizer.py) */
    int eot, sot, language0, translate, transcribe, sot_prev, no_speech, no_timestamps, time0;
    int blank; /* " " */
    int suppress[WHISPER_MAX_LIST],
        n_suppress; /* what the model's files say is never speech; 0 if they say nothing */
    struct {
        int layer, head; /* of the decoder: cross-attention that follows time */
    } alignment[WHISPER_MAX_HEADS];
    int n_alignment; /* published heads of that size if the model's files say nothing */
};

struct net_whisper_source {             /* where weights come from */
    const struct load_weights *weights; /* or NULL: */
    bool hashed; /* made by tensor_hash (tests, benchmarks without a file); else shapes alone, for
                    `lode plan` */
};

struct net_whisper_shape { /* how large the plan is made */
    int windows;           /* cross-attention caches held at a time */
    int sequences;         /* self-attention caches: beams or samples of all windows */
    int rows;              /* most rows of one decoding step (tokens of a prompt are rows too) */
    int picks;             /* most rows whose logits are wanted */
    int top;               /* candidates per picked row */
    enum dtype cache;      /* F32 or F16 */
    bool cross_i8;         /* caches of cross-attention as i8 whatever `cache` says */
    enum dtype compute;    /* F16: a GPU may multiply in f16; see struct plan */
    bool i8;               /* weights of products as i8 */
    bool mel_input; /* tests: the encoder tape starts from a normalised mel input instead of samples
                     */
    bool keep;      /* every step value stays readable after a run: tests, plan compare */
    bool words;     /* with a tape "align" and its doors */
    float dampen;   /* with the list of tokens that pick shall like less or not at all: the
                       repetition penalty, 1 for bans alone; 0: without */
    bool attention_output; /* cross-attention weights of each layer are outputs "dec.L.weights" */
};

struct net_whisper { /* the plan's doors: numbers of values and tapes */
    struct net_whisper_config config;
    struct net_whisper_shape shape;
    int frames;      /* mel frames of a window: 2 audio_ctx */
    int samples;     /* of input pcm: frames * 160 + 240, of which the first 200 are context */
    int tape_loud;   /* pcm -> loudest: the maximum of the log mel */
    int tape_encode; /* pcm, loudest_in, content, slot -> caches of window slot */
    int tape_step;   /* the rest: one decoding step */
    int pcm, loudest, loudest_in, content, slot,
        mel; /* f32 [1,samples], f32 [1], f32 [1], i32 [1], i32 [1], f32 [1,frames,n_mels] */
    int n_rows, token, position, sequence, window,
        history;                          /* i32 [], [R], [R], [R], [R], [S,text_ctx] */
    int n_picks, pick, ban, rule, chance; /* i32 [], i32 [G], f32 [V], i32 [G,8], f32 [G,2] */
    int top_token, top_logp, sampled, sampled_logp, watched; /* [G,top], [G,top], [G], [G], [G] */
    int list; /* dampen's: i32 [G,text_ctx]; -1 without */
    /* The tape that listens again, to a text already known: for every row of n_heard, the
     * probability of the token that follows it among text, and in weights[i] f32
     * [A,heads,audio_ctx] where the layer of alignment[i] listened. -1 without. */
    int tape_align, n_heard, heard_token, heard_position, heard_sequence, heard_window, heard_next,
        probability; /* i32 [], i32 [A] x 5, f32 [A] */
    int weights[WHISPER_MAX_HEADS];
    int encoded, logits; /* f32 [1,audio_ctx,width] and f32 [G,V]: step values; readable by peek
                            right after a run */
};

/* net_whisper_config: sizes from the weights, the rest from the model's configs, whichever
 * container it is. What the configs say of sizes must agree. Errors: E_MODEL (not a Whisper, sizes
 * that do not fit, unknown vocabulary). */
int net_whisper_config(struct arena *a, const struct load_weights *w, struct net_whisper_config *c,
                       struct err *e);

/* net_whisper_vocabulary: all c->vocab tokens as bpe_open takes them, from what the container has:
 * vocabulary.txt or .json as they are; vocab.json, tokenizer.json (loaded if need be) or the
 * ordinary tokens of ggml completed by the special ones, whose order is fixed. Errors: E_MODEL. */
int net_whisper_vocabulary(struct arena *a, struct load_weights *w,
                           const struct net_whisper_config *c, struct str *out, struct err *e);

/* net_whisper_named: the published sizes of a model by the name users type ("tiny.en" ..
 * "large-v3", "turbo"); false if unknown. */
bool net_whisper_named(const char *name, struct net_whisper_config *c);

/* net_whisper_tokens: fills the token ids of c from c->vocab; false if no Whisper has such a
 * vocabulary. */
bool net_whisper_tokens(struct net_whisper_config *c);

/* net_whisper_align: fills the heads for alignment that openai published for models of this size;
 * for any other size all heads of the last layers, half of them at most. */
void net_whisper_align(struct net_whisper_config *c);

/* net_whisper_plan: appends nothing to a file, makes one plan in arena a. Errors: E_MODEL (missing
 * tensor, wrong shape: named). */
int net_whisper_plan(struct arena *a, const struct net_whisper_source *src,
                     const struct net_whisper_config *c, const struct net_whisper_shape *s,
                     struct plan **plan, struct net_whisper *net, struct err *e);

/* net_whisper_filters: the Slaney mel matrix [n_mels][201] of openai's mel_filters.npz, computed in
 * double. */
void net_whisper_filters(int n_mels, float *out);

#endif
