/* Which language is spoken: one step of the decoder on the first token alone, and of what it gives
 * only the tokens of languages count. Follows openai/whisper decoding.py detect_language and
 * faster-whisper 1.2.1 detect_language. */
#ifndef JOBS_TONGUE_H
#define JOBS_TONGUE_H

#include "jobs/speech.h"
#include "jobs/vad.h"
#include "nets/net_language.h"

struct tongue_options {
    bool allowed[NET_LANGUAGES]; /* only these are thought of */
    int windows;                 /* listened to, at most */
    double threshold;            /* more probable than this is sure: no further window */
};

/* tongue_find: the language a user names in an option. tongue_allow: those of a list, as codes or
 * names; NULL: all. E_USAGE. */
int tongue_find(const char *option, const char *text, int *language, struct err *e);
int tongue_allow(struct tongue_options *o, const char *list, struct err *e);

struct tongue { /* what was heard */
    int language;
    double probability;
    float of[NET_LANGUAGES]; /* of each: mean over the windows listened to */
    int n_windows;
};

/* tongue_window: the language of the encoded window in a slot, whose first sequence is free for
 * use. logits: [vocabulary], scratch. */
int tongue_window(struct speech *s, int slot, const struct tongue_options *o, float *logits,
                  struct tongue *out, struct err *e);

/* tongue_add: of several windows. Unlike faster-whisper, which counts votes, probabilities are
 * added: a window that is not sure weighs less. */
void tongue_add(struct tongue *sum, const struct tongue *one);

/* tongue_listen: windows of 30 s of a source, until one is sure. Uses slot 0. */
int tongue_listen(struct speech *s, struct vad_source source, const struct tongue_options *o,
                  float *logits, struct tongue *out, struct err *e);

#endif
