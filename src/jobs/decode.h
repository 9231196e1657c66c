/* From encoded windows to tokens: beam search, greedy, sampling. The loop over steps is here; each
 * step is one run of the model's tape, for all windows being decoded at once, each at its own
 * position. Follows CTranslate2 4.8 decoding.cc and models/whisper.cc as faster-whisper 1.2.1 calls
 * them. */
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

struct decode_prompt {          /* what a window is decoded after */
    int token[2 * DECODE_MOST]; /* ends with the sot sequence; timestamps are on unless it ends with
                                   no_timestamps */
    int n, sot_at;              /* sot lies at token[sot_at] */
};

struct decode;

/* decode_open: scratch in a. A lane decodes the window in the slot of its number; there are as many
 * as the model has windows. */
int decode_open(struct arena *a, struct speech *s, const struct decode_options *o,
                struct decode **out, struct err *e);

/* decode_reset: no lane is at work any more, whatever it was doing. */
void decode_reset(struct decode *d);

/* decode_start: lane begins with the window in its slot. temperature 0: beam search (or greedy);
 * above: best_of samples. key: which text it is, so that samples do not depend on what else is
 * decoded at the time. */
void decode_start(struct decode *d, int lane, const struct decode_prompt *p, double temperature,
                  uint64_t key);

/* decode_step: one run of the step tape for all lanes that are not finished. There must be one. */
int decode_step(struct decode *d, struct err *e);

/* decode_finished: whether the lane has its text, which is then in *out: the best hypothesis.
 * Errors: E_MODEL if the model gave no token any probability; asked only of started lanes. */
bool decode_finished(const struct decode *d, int lane);
int decode_take(struct decode *d, int lane, struct decode_result *out, struct err *e);

/* decode_window: one window from start to end, in lane 0. */
int decode_window(struct decode *d, const struct decode_prompt *p, double temperature, uint64_t key,
                  struct decode_result *out, struct err *e);

#endif
