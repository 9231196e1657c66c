/* The options of `lode transcribe` as they are typed, and what they mean to those who do the work.
 * Nothing here reads a file. */
#ifndef JOBS_TRANSCRIBE_OPTIONS_H
#define JOBS_TRANSCRIBE_OPTIONS_H

#include "jobs/scribe.h"
#include "jobs/vad.h"

struct transcribe_options {
    const char *model, *route, *language, *languages, *output, *output_dir, *temperature, *device;
    int format, task, compute_type, kernels;
    int64_t threads, route_memory, beam, best_of, batch, seed, tongue_windows;
    int64_t no_repeat_ngram, max_new_tokens, line_width, line_count, words_per_line;
    double patience, length_penalty, compression_ratio, logprob, no_speech, increment,
        initial_timestamp, repetition_penalty, reset_above, silence, price, tongue_threshold;
    int64_t vad_speech_ms, vad_silence_ms, vad_pad_ms;
    double vad_threshold, vad_speech_s;
    const char *initial_prompt, *hotwords, *prefix, *clips, *suppress, *prepend, *append;
    bool multilingual, channels, resume, strict, vad, condition, timestamps, without_timestamps,
        check_script, suppress_blank, stop_loops, words, highlight, profile, offline, quiet;
};

struct transcribe_wishes {        /* the same, read and checked */
    struct scribe_options scribe; /* without the tokens of texts: those depend on the model */
    struct cue_style style;
    struct tongue_options tongue;
    struct vad_options vad;
    int language; /* -1: to be heard */
    bool allow_non_speech;
    const int *suppress; /* [n_suppress] */
    int n_suppress;
};

/* transcribe_options_read: out lives in a. E_USAGE says what is wrong with the options, or with two
 * of them together. */
int transcribe_options_read(struct arena *a, const struct transcribe_options *o,
                            struct transcribe_wishes *out, struct err *e);

#endif
