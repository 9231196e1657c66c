/* From an encoded window to tokens: beam search, greedy, sampling. The loop over steps is here;
 * each step is one run of the model's tape. Follows CTranslate2 4.8 decoding.cc and
 * models/whisper.cc as faster-whisper 1.2.1 calls them; where openai differs, a comment says so. */
#ifndef JOBS_DECODE_H
#define JOBS_DECODE_H

#include "jobs/speech.h"

#define DECODE_MOST 224 /* new tokens of a window: half the text context */

struct decode_options {
    int beam, best_of;
    double patience, length_penalty;
    int initial_times; /* the first timestamp may be at most this many steps of 0.02 s into the
                          window */
    bool suppress_blank;
    uint64_t seed; /* of sampling; the same seed gives the same text */
};

struct decode_result {
    int token[DECODE_MOST]; /* without end of text */
    int n;
    double avg_logprob; /* sum of log-probabilities / (n + 1), end of text counted */
    double no_speech;   /* probability */
};

struct decode;

/* decode_open: scratch for s, in a. */
int decode_open(struct arena *a, struct speech *s, const struct decode_options *o,
                struct decode **out, struct err *e);

/* decode_window: the best hypothesis for the window in slot 0.
 *   prompt [n_prompt]  ends with the sot sequence; sot lies at prompt[sot_at]. Timestamps are on
 * unless it ends with no_timestamps. temperature        0: beam search (or greedy); above: best_of
 * samples. */
int decode_window(struct decode *d, const int *prompt, int n_prompt, int sot_at, double temperature,
                  struct decode_result *out, struct err *e);

#endif
