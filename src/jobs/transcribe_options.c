#include "jobs/transcribe_options.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static int read_language(const struct transcribe_options *o, struct transcribe_wishes *w,
                         struct err *e)
{
    const char *said = o->language && strcmp(o->language, "auto") != 0 ? o->language : NULL;
    w->language = -1;
    w->tongue = (struct tongue_options){.windows = (int)o->tongue_windows,
                                        .threshold = o->tongue_threshold};
    if (said) TRY(tongue_find("language", said, &w->language, e));
    if (said && (o->languages || o->multilingual))
        return err_set(e, E_USAGE, "--language %s: then --%s has nothing to find", said,
                       o->languages ? "languages" : "multilingual");
    return tongue_allow(&w->tongue, o->languages, e);
}

/* The numbers of a list, in arena memory; how many, or -1. */
static int64_t read_numbers(struct arena *a, const char *option, const char *list, double least,
                            double **out, struct err *e)
{
    size_t most = 1, n = 0;
    for (const char *c = list; *c; c++) most += *c == ',';
    *out = ARENA_NEW(a, double, most, e);
    if (!*out) return -1;
    for (const char *p = list; *p;) {
        char word[32];
        size_t length = strcspn(p, ",");
        snprintf(word, sizeof word, "%.*s", (int)MIN(length, sizeof word - 1), p);
        double *v = &(*out)[n++];
        if (!str_double(word, v) || *v < least || *v > 1e9)
            return err_set(e, E_USAGE, "--%s: \"%s\" is not a number from %g on", option, word,
                           least);
        p += length + (p[length] == ',');
    }
    return (int64_t)n;
}

static int read_clips(struct arena *a, const struct transcribe_options *o, struct scribe_options *s,
                      struct err *e)
{
    double *t_s;
    if (!o->clips) return 0;
    int64_t n = read_numbers(a, "clip-timestamps", o->clips, 0, &t_s, e);
    if (n < 0) return -1;
    struct scribe_clip *clip = ARENA_NEW(a, struct scribe_clip, (size_t)(n + 1) / 2, e);
    if (!clip) return -1;
    for (int64_t i = 1; i < n; i++)
        if (t_s[i] < t_s[i - 1])
            return err_set(e, E_USAGE, "--clip-timestamps: %g comes after %g", t_s[i], t_s[i - 1]);
    for (int64_t i = 0; i < n; i += 2) {
        clip[i / 2].from = llrint(t_s[i] * 100);
        clip[i / 2].to = i + 1 < n ? llrint(t_s[i + 1] * 100) : INT64_MAX;
    }
    s->clip = clip;
    s->n_clips = (int)((n + 1) / 2);
    return 0;
}

static int read_suppress(struct arena *a, const struct transcribe_options *o,
                         struct transcribe_wishes *w, struct err *e)
{
    double *id;
    int64_t n = read_numbers(a, "suppress-tokens", o->suppress, -1, &id, e);
    if (n < 0) return -1;
    int *token = ARENA_NEW(a, int, (size_t)n + 1, e);
    if (!token) return -1;
    w->suppress = token;
    w->allow_non_speech = true;
    for (int64_t i = 0; i < n; i++) {
        if (id[i] != floor(id[i]))
            return err_set(e, E_USAGE, "--suppress-tokens: %g is not a whole number", id[i]);
        if (id[i] < 0)
            w->allow_non_speech = false;
        else
            token[w->n_suppress++] = (int)id[i];
    }
    return 0;
}

/* What subtitles look like. An option without the one it works on is a mistake, not a wish. */
static int read_style(const struct transcribe_options *o, struct cue_style *s, struct err *e)
{
    const struct {
        const char *name, *needs;
        bool asked, has;
    } pairs[] = {
        {"highlight-words", "word-timestamps", o->highlight, o->words},
        {"max-line-width", "word-timestamps", o->line_width > 0, o->words},
        {"max-words-per-line", "word-timestamps", o->words_per_line > 0, o->words},
        {"hallucination-silence-threshold", "word-timestamps", o->silence > 0, o->words},
        {"max-line-count", "max-line-width", o->line_count > 0, o->line_width > 0},
    };
    for (size_t i = 0; i < COUNT(pairs); i++)
        if (pairs[i].asked && !pairs[i].has)
            return err_set(e, E_USAGE, "--%s needs --%s", pairs[i].name, pairs[i].needs);
    *s = (struct cue_style){.line_width = (int)o->line_width,
                            .line_count = (int)o->line_count,
                            .words_per_line = o->line_width ? 0 : (int)o->words_per_line,
                            .highlight = o->highlight};
    return 0;
}

/* What only windows one after the other can do, and what several voices cannot. */
static int check_batch(const struct transcribe_options *o, struct err *e)
{
    if (o->channels && (o->highlight || o->line_width || o->words_per_line))
        return err_set(e, E_USAGE, "--channels cannot be had with cues cut by words");
    const char *way = o->batch > 1 ? "--batch-size above 1" : "--vad";
    if (o->batch == 1 && !o->vad) return 0;
    if (o->silence > 0)
        return err_set(e, E_USAGE, "--hallucination-silence-threshold cannot be had with %s", way);
    if (o->clips) return err_set(e, E_USAGE, "--clip-timestamps cannot be had with %s", way);
    return 0;
}

static int read_vad(const struct transcribe_options *o, struct vad_options *v, struct err *e)
{
    *v = (struct vad_options){.threshold = o->vad_threshold,
                              .neg_threshold = -1,
                              .min_speech_ms = (int)o->vad_speech_ms,
                              .max_speech_s = o->vad_speech_s,
                              .min_silence_ms = (int)o->vad_silence_ms,
                              .pad_ms = (int)o->vad_pad_ms};
    if (2 * v->pad_ms < 1000 * v->max_speech_s) return 0;
    return err_set(e, E_USAGE,
                   "--vad-speech-pad-ms %d on either side leaves nothing of "
                   "--vad-max-speech-duration-s %g",
                   v->pad_ms, v->max_speech_s);
}

static int scribe_options(const struct transcribe_options *o, struct scribe_options *s,
                          struct err *e)
{
    *s = (struct scribe_options){
        .decode = {.beam = (int)o->beam,
                   .best_of = (int)o->best_of,
                   .patience = o->patience,
                   .length_penalty = o->length_penalty,
                   .initial_times = (int)lround(o->initial_timestamp / WHISPER_TIME_STEP_S),
                   .suppress_blank = o->suppress_blank,
                   .no_repeat_ngram = (int)o->no_repeat_ngram,
                   .most = (int)o->max_new_tokens,
                   .stop_loops = o->stop_loops,
                   .seed = (uint64_t)o->seed},
        .translate = o->task == 1,
        .timestamps = o->timestamps && !o->without_timestamps,
        .window = {.compression_ratio = o->compression_ratio > 0 ? o->compression_ratio : NAN,
                   .logprob = o->logprob,
                   .no_speech = o->no_speech},
        .check_script = o->check_script,
        .condition = o->condition,
        .reset_above = o->reset_above,
        .word_times = o->words,
        .words = {.prepend = o->prepend,
                  .append = o->append,
                  .silence_s = o->silence > 0 ? o->silence : NAN},
    };
    return window_read_ladder(o->temperature, o->increment, &s->window, e);
}

int transcribe_options_read(struct arena *a, const struct transcribe_options *o,
                            struct transcribe_wishes *w, struct err *e)
{
    *w = (struct transcribe_wishes){0};
    TRY(scribe_options(o, &w->scribe, e));
    TRY(read_clips(a, o, &w->scribe, e));
    TRY(read_suppress(a, o, w, e));
    TRY(read_style(o, &w->style, e));
    TRY(check_batch(o, e));
    TRY(read_vad(o, &w->vad, e));
    return read_language(o, w, e);
}
