/* `lode transcribe`: options, files and folders in, transcripts out. The algorithm is scribe's. */
#include "base/thread.h"
#include "jobs/ahead.h"
#include "jobs/chorus.h"
#include "jobs/desk.h"
#include "jobs/jobs.h"
#include "jobs/journal.h"
#include "load/store.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FORMATS_TEXT ".txt, .srt, .vtt, .json, .tsv, .csv or .lrc"
#define FORMATS      "txt|srt|vtt|json|tsv|csv|lrc"
#define AT(field)    offsetof(struct transcribe_options, field)
/* clang-format off */
static const struct opt_row rows[] = {
    {.help = "What and where to"},
    {.name = "model", .letter = 'm', .type = OPT_TEXT, .offset = AT(model), .fallback = "tiny.en", .value = "NAME",
     .help = "Model name (see `lode models`), model folder, or weight file. Fetched if it is not in the cache."},
    {.name = "output", .letter = 'o', .type = OPT_TEXT, .offset = AT(output), .value = "FILE|FOLDER",
     .help = "Write there instead of to standard output: a file for one input, a folder for any number. A folder gets one file per input and format."},
    {.name = "output-dir", .type = OPT_TEXT, .offset = AT(output_dir), .value = "FOLDER", .help = "The same, and it is a folder: made if it is not there."},
    {.name = "format", .letter = 'f', .type = OPT_CHOICE, .offset = AT(format), .choices = "auto|" FORMATS "|all", .fallback = "auto", .alias = "output-format",
     .help = "Form of the transcript. auto: what the name after -o ends in; txt on standard output and in folders. all: one file of each, in a folder."},
    {.name = "language", .letter = 'l', .type = OPT_TEXT, .offset = AT(language), .value = "CODE",
     .help = "Language spoken, as a code or an English name: en, hi, german. Without it, or with auto, a multilingual model listens for it."},
    {.name = "languages", .type = OPT_TEXT, .offset = AT(languages), .value = "LIST", .help = "What the language may be: hi,ta,te. The others are not thought of."},
    {.name = "language-detection-segments", .type = OPT_INT, .offset = AT(tongue_windows), .min = 1, .max = 1000, .fallback = "4", .value = "N", .help = "Windows of 30 s listened to for the language, at most; the mean decides."},
    {.name = "language-detection-threshold", .type = OPT_NUMBER, .offset = AT(tongue_threshold), .min = 0, .max = 1, .fallback = "0.5", .value = "X", .help = "A window that is surer of its language than this decides alone."},
    {.name = "multilingual", .type = OPT_BOOL, .offset = AT(multilingual), .help = "Listen for the language of every window: for files that change it."},
    {.name = "route", .type = OPT_TEXT, .offset = AT(route), .value = "LIST",
     .help = "Which model takes which language: en=tiny.en:int8,hi+ta=medium,default=small. The default listens and takes the rest; after a colon a compute type of its own. Models are opened when a file comes to them, and one makes room for another where memory is short."},
    {.name = "route-memory", .type = OPT_INT, .offset = AT(route_memory), .min = 0, .max = 1e9, .fallback = "0", .value = "MIB", .help = "What the models of a route may take together, as `lode plan` counts it. 0: as much as there is."},
    {.name = "task", .type = OPT_CHOICE, .offset = AT(task), .choices = "transcribe|translate", .fallback = "transcribe", .help = "translate gives English text."},
    {.help = "Where it runs"},
    {.name = "device", .letter = 'd', .type = OPT_TEXT, .offset = AT(device), .fallback = "auto", .value = "auto|cpu|cuda[:N]", .help = "auto takes the GPU if it can be used, and the CPU where that fails; cuda:1 is the second one."},
    {.name = "threads", .letter = 't', .type = OPT_INT, .offset = AT(threads), .min = 0, .max = 1024, .fallback = "0", .value = "N", .help = "At most one for each processor this process may use; 0: as many."},
    {.name = "compute-type", .type = OPT_CHOICE, .offset = AT(compute_type), .choices = SPEECH_COMPUTE_TYPES, .fallback = "auto",
     .help = "A preference, resolved for the device; the transcript says what was used. auto is int8 on the CPU, float16 on a GPU."},
    {.name = "strict-compute-type", .type = OPT_BOOL, .offset = AT(strict), .help = "A compute type the device does not have is an error, not a preference."},
    {.name = "kernels", .type = OPT_CHOICE, .offset = AT(kernels), .choices = "auto|ref|base|avx2|avx512|avx512fp16|amx", .fallback = "auto", .help = "Force a level of CPU kernels, to compare or to look for a fault."},
    {.help = "Many windows at a time"},
    {.name = "batch-size", .type = OPT_INT, .offset = AT(batch), .min = 1, .max = SPEECH_BATCH, .fallback = "1", .value = "N",
     .help = "Above 1: the audio is cut at pauses into parts, and so many are decoded together, with the same care; faster, but no window is conditioned on the text before."},
    {.name = "vad", .type = OPT_BOOL, .offset = AT(vad), .alias = "vad-filter", .help = "Listen for speech first and decode nothing else (Silero VAD, fetched once). Saves time in long silences; quiet speech may be lost."},
    {.name = "vad-threshold", .type = OPT_NUMBER, .offset = AT(vad_threshold), .min = 0.01, .max = 1, .fallback = "0.35", .value = "X", .help = "With --vad: what is heard as speech from this probability on. Lower for quiet voices, higher against noise."},
    {.name = "vad-min-speech-duration-ms", .type = OPT_INT, .offset = AT(vad_speech_ms), .min = 0, .max = 1e6, .fallback = "0", .value = "N", .help = "Shorter speech is left out."},
    {.name = "vad-max-speech-duration-s", .type = OPT_NUMBER, .offset = AT(vad_speech_s), .min = 1, .max = 1e6, .fallback = "30", .value = "X", .help = "Longer speech is cut, if possible where it pauses."},
    {.name = "vad-min-silence-duration-ms", .type = OPT_INT, .offset = AT(vad_silence_ms), .min = 0, .max = 1e6, .fallback = "160", .value = "N", .help = "Silence that ends speech."},
    {.name = "vad-speech-pad-ms", .type = OPT_INT, .offset = AT(vad_pad_ms), .min = 0, .max = 1e5, .fallback = "400", .value = "N", .help = "What is left of the silence on either side."},
    {.name = "channels", .type = OPT_BOOL, .offset = AT(channels), .help = "Every channel is a speaker: transcribed by itself and named before the text (left, right, or channel 3)."},
    {.help = "Decoding"},
    {.name = "beam-size", .letter = 'b', .type = OPT_INT, .offset = AT(beam), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "Beams at temperature 0; 1 is greedy."},
    {.name = "best-of", .type = OPT_INT, .offset = AT(best_of), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "Samples at temperatures above 0."},
    {.name = "patience", .type = OPT_NUMBER, .offset = AT(patience), .min = 0.1, .max = 16, .fallback = "1", .value = "X", .help = "The beam search ends when beam size times this many hypotheses are finished."},
    {.name = "length-penalty", .type = OPT_NUMBER, .offset = AT(length_penalty), .min = -4, .max = 4, .fallback = "1", .value = "X", .help = "Hypotheses are ranked by log-probability over length to this power."},
    {.name = "temperature", .type = OPT_TEXT, .offset = AT(temperature), .fallback = "0,0.2,0.4,0.6,0.8,1", .value = "LIST",
     .help = "Tried in this order until the text can be trusted. A single number: only that."},
    {.name = "temperature-increment-on-fallback", .type = OPT_NUMBER, .offset = AT(increment), .min = 0, .max = 1, .fallback = "0", .value = "X", .alias = "temperature-inc",
     .help = "If above 0: the list is the first temperature and steps of this up to 1."},
    {.name = "compression-ratio-threshold", .type = OPT_NUMBER, .offset = AT(compression_ratio), .min = 0, .max = 100, .fallback = "2.4", .value = "X", .help = "Text that compresses better repeats itself and is tried again. 0: off."},
    {.name = "logprob-threshold", .type = OPT_NUMBER, .offset = AT(logprob), .min = -100, .max = 0, .fallback = "-1", .value = "X", .alias = "log-prob-threshold|logprob-thold", .help = "Text with a lower mean log-probability is tried again."},
    {.name = "no-speech-threshold", .type = OPT_NUMBER, .offset = AT(no_speech), .min = 0, .max = 1, .fallback = "0.6", .value = "X", .alias = "no-speech-thold", .help = "A window that is silence with a higher probability, and whose text is unlikely, is left out."},
    {.name = "repetition-penalty", .type = OPT_NUMBER, .offset = AT(repetition_penalty), .min = 0.01, .max = 100, .fallback = "1", .value = "X", .help = "Above 1: tokens the window already has become less likely."},
    {.name = "no-repeat-ngram-size", .type = OPT_INT, .offset = AT(no_repeat_ngram), .min = 0, .max = 223, .fallback = "0", .value = "N", .help = "No N tokens in a row twice in a window. 0: off."},
    {.name = "stop-loops", .type = OPT_BOOL, .offset = AT(stop_loops), .fallback = "true", .help = "A window that says the same over and over ends there and is tried again. What is kept of a loop is its first round, flagged \"repetition\" in json."},
    {.name = "check-script", .type = OPT_BOOL, .offset = AT(check_script), .fallback = "true", .help = "Text not written as its language is (Hindi in Latin letters) is tried again; what stays is flagged \"wrong-script\" in json."},
    {.name = "max-new-tokens", .type = OPT_INT, .offset = AT(max_new_tokens), .min = 0, .max = 224, .fallback = "0", .value = "N", .help = "At most so many tokens in a window. 0: 224.", .alias = "sample-len"},
    {.name = "initial-prompt", .type = OPT_TEXT, .offset = AT(initial_prompt), .value = "TEXT", .alias = "prompt", .help = "What was said before the first window: names, spelling, style."},
    {.name = "hotwords", .type = OPT_TEXT, .offset = AT(hotwords), .value = "TEXT", .help = "The same before every window. With the text so far at most 223 tokens; hotwords come first."},
    {.name = "prefix", .type = OPT_TEXT, .offset = AT(prefix), .value = "TEXT", .help = "How the text of the first window begins. Hotwords do not apply there."},
    {.name = "clip-timestamps", .type = OPT_TEXT, .offset = AT(clips), .value = "LIST", .help = "Only these parts: start,end,start,end.. in seconds, in order; the last end may be left out."},
    {.name = "suppress-tokens", .type = OPT_TEXT, .offset = AT(suppress), .fallback = "-1", .value = "LIST", .help = "Numbers of tokens never to be said; -1 stands for those the model's files name as not speech, an empty list for none."},
    {.name = "condition-on-previous-text", .type = OPT_BOOL, .offset = AT(condition), .fallback = "true", .help = "The text so far is the prompt of the next window."},
    {.name = "prompt-reset-on-temperature", .type = OPT_NUMBER, .offset = AT(reset_above), .min = 0, .max = 2, .fallback = "0.5", .value = "X", .help = "Unless that text was decoded above this temperature."},
    {.name = "timestamps", .type = OPT_BOOL, .offset = AT(timestamps), .fallback = "true", .help = "Let the model say when; without, a segment is a whole window."},
    {.name = "without-timestamps", .type = OPT_BOOL, .offset = AT(without_timestamps), .help = "The same as --no-timestamps."},
    {.name = "max-initial-timestamp", .type = OPT_NUMBER, .offset = AT(initial_timestamp), .min = 0, .max = 30, .fallback = "1", .value = "SECONDS", .help = "The first timestamp of a window is at most this."},
    {.name = "suppress-blank", .type = OPT_BOOL, .offset = AT(suppress_blank), .fallback = "true", .help = "A window cannot begin with a blank or be empty."},
    {.name = "seed", .type = OPT_INT, .offset = AT(seed), .min = 0, .max = 1e15, .fallback = "0", .value = "N", .help = "Of sampling. The same seed gives the same text."},
    {.help = "Words and lines"},
    {.name = "word-timestamps", .type = OPT_BOOL, .offset = AT(words), .help = "When each word was said, and how likely it is: in json, and for the options below."},
    {.name = "prepend-punctuations", .type = OPT_TEXT, .offset = AT(prepend), .fallback = WORDS_PREPEND, .value = "MARKS", .help = "Marks that belong to the word after them."},
    {.name = "append-punctuations", .type = OPT_TEXT, .offset = AT(append), .fallback = WORDS_APPEND, .value = "MARKS", .help = "Marks that belong to the word before them."},
    {.name = "hallucination-silence-threshold", .type = OPT_NUMBER, .offset = AT(silence), .min = 0, .max = 1000, .fallback = "0", .value = "SECONDS", .help = "Skip silence longer than this where words are hard to believe, and those words. 0: off. Needs --word-timestamps."},
    {.name = "highlight-words", .type = OPT_BOOL, .offset = AT(highlight), .help = "srt and vtt: a cue per word, the word underlined in its line (karaoke); lrc: a time before each word. Needs --word-timestamps."},
    {.name = "max-line-width", .type = OPT_INT, .offset = AT(line_width), .min = 0, .max = 10000, .fallback = "0", .value = "N", .help = "srt and vtt: characters of a line. Needs --word-timestamps."},
    {.name = "max-line-count", .type = OPT_INT, .offset = AT(line_count), .min = 0, .max = 1000, .fallback = "0", .value = "N", .help = "srt and vtt: lines of a cue. Needs --max-line-width."},
    {.name = "max-words-per-line", .type = OPT_INT, .offset = AT(words_per_line), .min = 0, .max = 1000, .fallback = "0", .value = "N", .help = "srt and vtt: words of a line. No effect with --max-line-width. Needs --word-timestamps."},
    {.help = "Other"},
    {.name = "resume", .type = OPT_BOOL, .offset = AT(resume), .help = "Leave out what an earlier run with the same options has finished, by the journal " JOURNAL_NAME " in the folder of the output. Give it from the start: without it no journal is kept."},
    {.name = "price", .type = OPT_NUMBER, .offset = AT(price), .min = 0, .max = 1e9, .fallback = "0", .value = "X", .help = "Of an hour of this machine: the summary and json then tell what the work cost."},
    {.name = "profile", .type = OPT_BOOL, .offset = AT(profile), .help = "Tell at the end, on standard error, where the time went: for each step of the model, with the rate of its products and the share of what the processor could do."},
    {.name = "offline", .type = OPT_BOOL, .offset = AT(offline), .help = "Never fetch anything."},
    {.name = "quiet", .letter = 'q', .type = OPT_BOOL, .offset = AT(quiet), .alias = "no-prints", .help = "No summary lines on standard error."},
};
/* clang-format on */

#define WORD 24 /* room for the longest choice */

/* What was chosen, as text in buf [WORD]. */
static const char *choice(const char *name, int index, char *buf)
{
    return opt_choice(opt_find(rows, COUNT(rows), name), index, buf, WORD);
}

struct pending {      /* an input whose turn has not come */
    const char *path; /* NULL: there is none */
    bool failed;      /* a folder that cannot be listed: */
    struct err e;
};

struct walk { /* through what was given: files, and the files of folders */
    const struct opt_list *inputs;
    size_t i; /* the next of them */
    const char *folder;
    char **name; /* [n] of the folder */
    size_t n, k;
};

struct run { /* of all inputs */
    const struct transcribe_options *o;
    const struct lode_host *host;
    struct arena *model, *job; /* job is reset for each input */
    struct transcribe_wishes wishes;
    struct desk_set desks;
    struct desk *desk; /* of the input at hand */
    struct vad *vad;
    struct ahead *ahead;
    struct pending next; /* the input after the one at hand */
    char compute_type[WORD], kernels[WORD];
    const struct out_writer *writer; /* [n_writers] */
    size_t n_writers;
    const char *output; /* file or folder; NULL: standard output */
    bool many, to_folder;
    int n_done, n_failed, n_before; /* n_before: finished by an earlier run */
    double audio_s, wall_s;         /* of those done */
    struct journal *journal;        /* NULL: none is kept */
    struct str line;                /* of the input at hand, in it; empty: standard input */
    struct err first;               /* of the failed inputs */
    bool no_text; /* standard output takes no more: no further input is worth its time */
    struct arena *names;
    char **taken; /* [n_taken] the files this run has written */
    size_t n_taken, taken_cap;
};

#define AGAIN_LISTED 8 /* windows that went up the ladder, in a note; json has them all */

struct output { /* a transcript in one format */
    struct transcript *of;
    const struct out_writer *writer;
    struct out_sink sink;
    char *path; /* NULL: standard output */
    struct file_out file;
    _Alignas(16) char state[OUT_STATE_BYTES];
};

struct transcript { /* of one input */
    struct run *run;
    struct out_about about;
    struct output *out; /* [run->n_writers] */
    char again[900];    /* the windows that went up the ladder, for people */
    int n_again;
};

/* ---- options ---- */

/* The writer whose suffix a name ends in, or NULL. */
static const struct out_writer *writer_of(const char *name)
{
    size_t n;
    const struct out_writer *w = out_writers(&n);
    for (size_t i = 0; i < n; i++)
        if (str_ends(name, w[i].suffix)) return &w[i];
    return NULL;
}

/* The writers: by --format, else by what the name after -o ends in; txt for standard output and for
 * folders. */
static int choose_writers(struct run *r, struct err *e)
{
    char name[WORD];
    size_t n;
    const struct out_writer *w = out_writers(&n);
    const char *format = choice("format", r->o->format, name);
    bool all = strcmp(format, "all") == 0, asked = strcmp(format, "auto") != 0;
    r->writer = all ? w : out_find(asked ? format : "txt");
    r->n_writers = all ? n : 1;
    if (all && !r->to_folder)
        return err_set(e, E_USAGE, "--format all makes %zu files: say with -o FOLDER/ where", n);
    if (asked || !r->output || r->to_folder) return 0;
    const struct out_writer *named = writer_of(r->output);
    if (named) {
        r->writer = named;
        return 0;
    }
    return err_set(e, E_USAGE,
                   "-o %s: the name does not end in " FORMATS_TEXT "; say which with --format",
                   r->output);
}

/* ---- one input ---- */

static int to_host(void *ctx, const char *p, size_t n, struct err *e)
{
    struct run *r = ((const struct output *)ctx)->of->run;
    if (host_text(r->host, p, n, e) == 0) return 0;
    r->no_text = true;
    return -1;
}

static int to_file(void *ctx, const char *p, size_t n, struct err *e)
{
    struct output *o = ctx;
    TRY(file_out_write(&o->file, p, n, e));
    return file_out_flush(&o->file, e); /* after a loss of power hours of text are still there */
}

static int on_segment(void *ctx, const struct out_segment *s, struct err *e)
{
    struct transcript *t = ctx;
    for (size_t i = 0; i < t->run->n_writers; i++) {
        struct output *o = &t->out[i];
        TRY(o->writer->segment(&o->sink, s, o->state, e));
    }
    return 0;
}

/* " 31.2-58.1 s (0: log-probability -1.31; 0.2: trusted)" after the others. */
static void list_again(struct transcript *t, const struct out_again *w)
{
    struct strbuf b;
    size_t held = strlen(t->again);
    strbuf_init(&b, t->again + held, sizeof t->again - held);
    if (t->n_again++ >= AGAIN_LISTED) return;
    strbuf_format(&b, "%s %.1f-%.1f s (", held ? "," : "", w->t0_s, w->t1_s);
    for (int i = 0; i < w->n_tries; i++) {
        const struct out_try *one = &w->tried[i];
        const char *comma = "";
        strbuf_format(&b, "%s%g: ", i ? "; " : "", one->temperature);
        for (int bit = 0; out_why(bit); bit++) {
            if (!(one->why >> bit & 1)) continue;
            strbuf_format(&b, "%s%s", comma, out_why(bit));
            if (1u << bit == OUT_WHY_RATIO) strbuf_format(&b, " %.2f", one->compression_ratio);
            if (1u << bit == OUT_WHY_LOGPROB) strbuf_format(&b, " %.2f", one->avg_logprob);
            comma = " and ";
        }
        if (!one->why) strbuf_format(&b, "%s", w->silent ? "silence" : "trusted");
    }
    strbuf_format(&b, ")");
}

static int on_again(void *ctx, const struct out_again *w, struct err *e)
{
    struct transcript *t = ctx;
    list_again(t, w);
    for (size_t i = 0; i < t->run->n_writers; i++) {
        struct output *o = &t->out[i];
        if (o->writer->again) TRY(o->writer->again(w, o->state, e));
    }
    return 0;
}

static void on_progress(void *ctx, const char *what, double done_s, double total_s)
{
    const struct run *r = ((const struct transcript *)ctx)->run;
    if (!r->o->quiet) host_progress(r->host, what, LODE_SECONDS, done_s, total_s);
}

static bool on_cancelled(void *ctx)
{
    const struct transcript *t = ctx;
    return host_cancelled(t->run->host);
}

static bool is_taken(const struct run *r, const char *path)
{
    for (size_t i = 0; i < r->n_taken; i++)
        if (strcmp(r->taken[i], path) == 0) return true;
    return false;
}

static int take(struct run *r, char *path, struct err *e)
{
    if (r->n_taken == r->taken_cap) {
        size_t cap = MAX(2 * r->taken_cap, (size_t)64);
        char **more = ARENA_NEW(r->names, char *, cap, e);
        if (!more) return -1;
        if (r->n_taken) memcpy(more, r->taken, r->n_taken * sizeof *more);
        r->taken = more;
        r->taken_cap = cap;
    }
    r->taken[r->n_taken++] = path;
    return 0;
}

/* Bytes of a name before its last dot, and no more than a file of that name, a number and the
 * suffix may have. */
static int stem_of(const char *name, const char *suffix)
{
    const char *dot = strrchr(name, '.');
    size_t n = dot && dot != name ? (size_t)(dot - name) : strlen(name);
    size_t most = NAME_MAX - sizeof "-1000000" - strlen(suffix);
    if (n <= most) return (int)n;
    for (n = most; n > 0 && ((uint8_t)name[n] & 0xC0) == 0x80;) n--; /* not within a character */
    return (int)n;
}

/* The file an input's transcript goes to: -o itself, or NAME.suffix in the folder; NAME-2.suffix
 * and so on where an earlier input of this run has that name. NULL: standard output. */
static int output_path(struct run *r, const char *input, const char *suffix, char **path,
                       struct err *e)
{
    *path = NULL;
    if (!r->output) return 0;
    if (!r->to_folder) {
        *path = arena_text(r->job, r->output, strlen(r->output), e);
        return *path ? 0 : -1;
    }
    const char *name = strcmp(input, "-") == 0 ? "stdin" : file_name(input);
    int stem = stem_of(name, suffix);
    char *file = arena_format(r->names, e, "%.*s%s", stem, name, suffix);
    for (int again = 2; file; again++) {
        *path = file_join(r->names, r->output, file, e);
        if (!*path) return -1;
        if (!is_taken(r, *path)) return take(r, *path, e);
        file = arena_format(r->names, e, "%.*s-%d%s", stem, name, again, suffix);
    }
    return -1;
}

static double cost_of(const struct run *r, double wall_s)
{
    return wall_s / 3600 * r->o->price;
}

/* Lines that do not change from version to version, for programs that watch this one; see
 * docs/from-faster-whisper.md. */
static void tell_watchers(const struct transcript *t, const struct scribe_totals *n)
{
    const struct run *r = t->run;
    host_note(r->host, "Transcription completed in %.2f s", t->about.wall_s);
    if (r->desk->batch && strcmp(t->about.device, "cuda") == 0)
        host_note(r->host, "GPU batch processing completed: %lld windows, %lld of them again",
                  (long long)n->windows, (long long)n->windows_again);
    if (r->o->price > 0)
        host_note(r->host, "%.4f hours of audio, cost %.6f", t->about.audio_s / 3600,
                  t->about.cost);
}

static void summary(struct transcript *t, const struct scribe_totals *n)
{
    const struct run *r = t->run;
    const char *path = t->out[0].path;
    char more[40] = "";
    double speed = t->about.wall_s > 0 ? t->about.audio_s / t->about.wall_s : 0;
    if (r->o->quiet) return;
    host_progress(r->host, "", LODE_SECONDS, -1, 0);
    host_note(
        r->host,
        "%s: %.1f s of audio in %.2f s (%.1f times real time), %lld segment%s%s%s%s; model %s "
        "loaded in %.2f s; %s, %s, %s",
        t->about.input, t->about.audio_s, t->about.wall_s, speed, (long long)n->segments,
        str_s(n->segments), path ? " -> " : "", path ? path : "", r->n_writers > 1 ? " .." : "",
        t->about.model, t->about.load_s, t->about.device, t->about.device_name,
        t->about.compute_type);
    if (t->n_again > AGAIN_LISTED)
        snprintf(more, sizeof more, ", and %d more", t->n_again - AGAIN_LISTED);
    if (t->n_again)
        host_note(r->host, "Windows tried again: %d of %lld:%s%s", t->n_again,
                  (long long)n->windows, t->again, more);
    tell_watchers(t, n);
}

/* What is wrong with the audio of an input, as far as it was read. */
struct flaws {
    double promised_s; /* it says it is so long and is not; else 0 */
    int64_t damaged;   /* packets */
};

static void look_for_flaws(const struct audio *audio, struct flaws *f)
{
    double promised_s = audio_promised(audio);
    f->promised_s = fmax(f->promised_s, promised_s);
    f->damaged = MAX(f->damaged, audio_damage(audio) - (promised_s > 0));
}

/* Channel by channel, each read anew. What a stop leaves of them is given out, too. */
static int decode_channels(struct transcript *t, const char *input, int channels,
                           const struct scribe_events *to, struct scribe_totals *totals,
                           struct flaws *flaws, struct err *e)
{
    struct run *r = t->run;
    struct chorus chorus;
    struct err ignored;
    int rc = 0;
    chorus_init(&chorus, r->job, to);
    for (int i = 1; i <= channels && rc == 0; i++) {
        struct ahead_input *in;
        struct scribe_totals one = {0};
        struct scribe_events events = chorus_events(&chorus);
        chorus.speaker = channels > 2 ? arena_format(r->job, e, "channel %d", i)
                         : i == 1     ? "left"
                                      : "right";
        if (!chorus.speaker) return -1;
        TRY(ahead_take(r->ahead, input, i, &in, e));
        rc = desk_run(r->desk, in->audio, r->vad ? &in->regions : NULL, in->n_samples, &events,
                      &one, e);
        look_for_flaws(in->audio, flaws);
        audio_close(&in->audio);
        totals->audio_s = fmax(totals->audio_s, one.audio_s);
        totals->segments += one.segments;
        totals->windows += one.windows;
        totals->windows_again += one.windows_again;
    }
    if (rc && e->code != E_CANCELLED) return -1;
    return chorus_give(&chorus, rc ? &ignored : e) ? -1 : rc;
}

/* Where it is transcribed. */
static void name_device(struct transcript *t)
{
    const struct speech *s = t->run->desk->speech;
    t->about.device = engine_device(s->engine);
    t->about.device_name = engine_describe(s->engine);
    t->about.device_reason = engine_reason(s->engine);
    t->about.compute_type = s->compute_type;
}

/* What is listened to for the language: speech, where it is known, else from the first part that is
 * wanted, if the audio is so long. joined: room for it. */
static int find_source(struct run *r, struct ahead_input *in, struct vad_joined *joined,
                       struct vad_source *out, struct err *e)
{
    const struct scribe_options *o = &r->wishes.scribe;
    int64_t left = o->n_clips ? o->clip[0].from * WHISPER_HOP : 0, got;
    *joined = (struct vad_joined){.audio = in->audio, .regions = &in->regions};
    *out = in->regions.n ? (struct vad_source){joined, vad_joined_read} : vad_audio(in->audio);
    for (; left > 0; left -= got) {
        const struct speech *s = r->desk->speech;
        got = audio_read(in->audio, s->pcm, MIN(left, s->net.samples), e);
        if (got < 0) return -1;
        if (got == 0) return audio_rewind(in->audio, e);
    }
    return 0;
}

/* The language of this input, where it was not said; then the desk that takes it. */
static int choose_desk(struct transcript *t, struct ahead_input *in, struct err *e)
{
    struct run *r = t->run;
    struct vad_joined joined;
    struct vad_source source;
    struct tongue heard = {.language = r->wishes.language};
    r->desks.again.input = t->about.input;
    if (r->desks.listens) TRY(desk_listener(&r->desks, &r->desk, e));
    for (int tries = 0; r->desks.listens; tries++) {
        TRY(find_source(r, in, &joined, &source, e));
        int rc =
            tongue_listen(r->desk->speech, source, &r->wishes.tongue, r->desk->logits, &heard, e);
        if (rc) TRY(speech_again(r->desk->speech, tries, e));
        TRY(audio_rewind(in->audio, e));
        if (rc == 0) break;
    }
    TRY(desk_at(&r->desks, heard.language, &r->desk, e));
    t->about.model = r->desk->speech->o.name;
    t->about.language = net_language_code(MAX(heard.language, 0));
    t->about.load_s = r->desk->speech->load_s;
    name_device(t);
    if (r->desks.listens && !r->o->quiet)
        host_note(r->host, "%s: language %s (probability %.2f, %d window%s of it)", t->about.input,
                  t->about.language, heard.probability, heard.n_windows, str_s(heard.n_windows));
    return 0;
}

/* Begins with the next input while this one is transcribed, if it can be read when its turn comes,
 * and is not likely to be finished already. */
static void look_ahead(struct run *r)
{
    const char *next = r->next.path;
    struct err ignored;
    struct str line;
    if (!next || r->next.failed || r->o->channels || file_kind(next) != FILE_REGULAR) return;
    if (r->journal &&
        (journal_line(r->journal, r->job, next, &line, &ignored) || journal_has(r->journal, line)))
        return;
    ahead_start(r->ahead, next);
}

/* Reads one audio and writes its transcript through t->sink. A run that was stopped keeps what it
 * has. */
static int transcribe(struct transcript *t, const char *input, struct err *e)
{
    struct run *r = t->run;
    struct ahead_input *in;
    struct audio_info info;
    struct scribe_totals totals = {0};
    struct scribe_events events = {t, on_segment, on_again, on_progress, on_cancelled};
    struct flaws flaws = {0};
    struct err stop = {0};
    double start_s = thread_seconds();
    TRY(ahead_take(r->ahead, input, 0, &in, e));
    look_ahead(r);
    int rc = choose_desk(t, in, e);
    for (size_t i = 0; i < r->n_writers && rc == 0; i++)
        rc = t->out[i].writer->begin(&t->out[i].sink, &t->about, t->out[i].state, e);
    audio_info(in->audio, &info);
    bool voices = r->o->channels && info.source_channels > 1;
    if (voices) audio_close(&in->audio); /* each channel is opened by itself */
    if (rc == 0)
        rc = voices ? decode_channels(t, input, info.source_channels, &events, &totals, &flaws, e)
                    : desk_run(r->desk, in->audio, r->vad ? &in->regions : NULL, in->n_samples,
                               &events, &totals, e);
    if (in->audio) look_for_flaws(in->audio, &flaws);
    audio_close(&in->audio);
    bool nothing =
        t->out[0].path && totals.segments == 0; /* an older file of that name is worth more */
    if (rc && (e->code != E_CANCELLED || nothing)) return -1;
    if (rc) stop = *e;

    name_device(t); /* it may have changed */
    t->about.cancelled = rc != 0;
    t->about.audio_s = totals.audio_s;
    t->about.wall_s = thread_seconds() - start_s;
    t->about.cost = cost_of(r, t->about.wall_s);
    r->audio_s += t->about.audio_s;
    r->wall_s += t->about.wall_s;
    for (size_t i = 0; i < r->n_writers; i++) {
        struct output *o = &t->out[i];
        TRY(o->writer->end(&o->sink, &t->about, o->state, e));
    }
    for (size_t i = 0; i < r->n_writers; i++)
        if (t->out[i].path) TRY(file_out_commit(&t->out[i].file, e));
    summary(t, &totals);
    if (flaws.promised_s > 0)
        host_note(r->host, "%s: ends after %.1f of the %.1f s that it says it has: was it cut off?",
                  t->about.input, t->about.audio_s, flaws.promised_s);
    if (flaws.damaged)
        host_note(r->host, "%s: %lld damaged packet%s skipped", t->about.input,
                  (long long)flaws.damaged, flaws.damaged == 1 ? " was" : "s were");
    if (!rc) return 0;
    *e = stop;
    return -1;
}

/* Puts the input before the sentence, unless audio.c has done so: names are compared as errors
 * print them. */
static void say_which(const char *input, struct err *e)
{
    struct err name;
    (void)err_set(&name, e->code, "%s", input);
    if (!str_starts(e->text, name.text)) (void)err_note(e, "%s", input);
}

/* Where the transcript goes in one format. */
static int open_output(struct output *o, const char *input, struct err *e)
{
    struct run *r = o->of->run;
    TRY(output_path(r, input, o->writer->suffix, &o->path, e));
    o->sink = (struct out_sink){o->path ? to_file : to_host, o};
    if (!o->path) return 0;
    if (file_same(o->path, input))
        return err_set(e, E_USAGE, "%s: -o would overwrite the input itself", input);
    return file_out_open(r->job, o->path, &o->file, e);
}

static int one_input(struct run *r, const char *input, struct err *e)
{
    if (r->o->channels && (file_kind(input) == FILE_OTHER || strcmp(input, "-") == 0))
        return err_set(e, E_USAGE, "%s: --channels reads a file several times, not a pipe", input);
    struct transcript t = {
        .run = r,
        .about = {.input = strcmp(input, "-") == 0 ? "standard input" : input,
                  .version = lode_version(),
                  .style = &r->wishes.style},
    };
    t.out = ARENA_NEW(r->job, struct output, r->n_writers, e);
    if (!t.out) return -1;
    int rc = 0;
    for (size_t i = 0; i < r->n_writers && rc == 0; i++) {
        t.out[i].of = &t;
        t.out[i].writer = &r->writer[i];
        rc = open_output(&t.out[i], input, e);
    }
    bool opened = rc == 0;
    if (opened) rc = transcribe(&t, input, e);
    for (size_t i = 0; i < r->n_writers; i++) {
        if (rc && t.out[i].writer) t.out[i].writer->drop(t.out[i].state);
        if (t.out[i].path) file_out_abort(&t.out[i].file);
    }
    if (rc && opened) say_which(t.about.input, e);
    return rc;
}

/* A bad input costs itself only, unless it is the only one. */
static int fail_input(struct run *r, struct err *e)
{
    if (e->code == E_CANCELLED || r->no_text) return -1;
    if (r->n_failed++ == 0) r->first = *e;
    if (!r->many) return 0; /* the verdict says it */
    host_progress(r->host, "", LODE_SECONDS, -1, 0);
    host_note(r->host, "%s", e->text);
    err_clear(e);
    return 0;
}

/* Whether an earlier run has finished it, and its transcripts are still there. Their names are
 * taken then. */
static int done_before(struct run *r, const char *input, bool *done, struct err *e)
{
    *done = false;
    r->line = (struct str){0};
    if (!r->journal || strcmp(input, "-") == 0) return 0;
    TRY(journal_line(r->journal, r->job, input, &r->line, e));
    *done = journal_has(r->journal, r->line);
    size_t n_taken = r->n_taken;
    for (size_t i = 0; i < r->n_writers && *done; i++) {
        char *path;
        TRY(output_path(r, input, r->writer[i].suffix, &path, e));
        *done = file_kind(path) == FILE_REGULAR;
    }
    if (!*done) r->n_taken = n_taken;
    return 0;
}

static int count_input(struct run *r, const char *input, struct err *e)
{
    bool done;
    arena_reset(r->job);
    if (done_before(r, input, &done, e)) return fail_input(r, e);
    if (done) {
        r->n_before++;
        return 0;
    }
    size_t n_taken = r->n_taken;
    if (one_input(r, input, e)) {
        r->n_taken = n_taken; /* its names are free again */
        return fail_input(r, e);
    }
    r->n_done++;
    return r->line.n ? journal_add(r->journal, r->job, r->line, e) : 0;
}

/* ---- all inputs ---- */

/* Whether a file of a folder is a transcript of this run or an earlier one: where the output goes
 * beside the inputs. */
static bool is_transcript(const struct run *r, const char *folder, const char *name)
{
    if (!r->to_folder || !file_same(folder, r->output)) return false;
    for (size_t i = 0; i < r->n_writers; i++)
        if (str_ends(name, r->writer[i].suffix)) return true;
    return false;
}

/* The next input: of a folder its files, not those whose names begin with a dot, and not its
 * folders. */
static int next_input(struct run *r, struct walk *w, struct pending *next, struct err *e)
{
    *next = (struct pending){0};
    while (w->folder || w->i < w->inputs->n) {
        if (!w->folder) {
            next->path = w->inputs->words[w->i++];
            if (strcmp(next->path, "-") == 0 || file_kind(next->path) != FILE_FOLDER) return 0;
            next->failed = file_list(r->names, next->path, &w->name, &w->n, &next->e) != 0;
            if (next->failed) return 0;
            w->folder = next->path;
            w->k = 0;
        }
        next->path = NULL;
        while (w->k < w->n) {
            const char *name = w->name[w->k++];
            char *path = file_join(r->names, w->folder, name, e);
            if (!path) return -1;
            next->path = path;
            if (name[0] != '.' && file_kind(path) == FILE_REGULAR &&
                !is_transcript(r, w->folder, name))
                return 0;
        }
        next->path = NULL;
        w->folder = NULL;
    }
    return 0;
}

static int every_input(struct run *r, const struct opt_list *inputs, struct err *e)
{
    struct walk walk = {.inputs = inputs};
    struct pending now;
    TRY(next_input(r, &walk, &r->next, e));
    while ((now = r->next).path) {
        TRY(next_input(r, &walk, &r->next, e));
        if (now.failed) {
            *e = now.e;
            TRY(fail_input(r, e));
        } else {
            TRY(count_input(r, now.path, e));
        }
    }
    return 0;
}

/* Of all inputs, for who pays or waits for them. */
static void total(const struct run *r)
{
    char cost[64] = "";
    if (r->o->quiet) return;
    if (r->o->price > 0) snprintf(cost, sizeof cost, "; cost %.6f", cost_of(r, r->wall_s));
    if (r->n_done > 1 || r->n_before)
        host_note(r->host, "%d input%s done, %d done before; %.4f hours of audio in %.2f s%s",
                  r->n_done, str_s(r->n_done), r->n_before, r->audio_s / 3600, r->wall_s, cost);
}

static int verdict(const struct run *r, struct err *e)
{
    total(r);
    if (r->n_failed == 0 && r->n_done == 0 && r->n_before == 0)
        return err_set(e, E_INPUT, "there is no file in what was given");
    if (r->n_failed == 0) return 0;
    if (!r->many) {
        *e = r->first;
        return -1;
    }
    return err_set(e, E_PARTIAL, "%d of %d inputs failed", r->n_failed, r->n_failed + r->n_done);
}

static int find_output(struct run *r, const struct opt_list *inputs, struct err *e)
{
    const struct transcribe_options *o = r->o;
    char format[WORD];
    bool all = strcmp(choice("format", o->format, format), "all") == 0;
    if (o->output && o->output_dir)
        return err_set(e, E_USAGE, "-o %s and --output-dir %s: say one of them", o->output,
                       o->output_dir);
    r->output = o->output_dir ? o->output_dir : o->output;
    r->many = inputs->n > 1 || file_kind(inputs->words[0]) == FILE_FOLDER;
    r->to_folder = r->output && (o->output_dir || all || r->many || str_ends(r->output, "/") ||
                                 file_kind(r->output) == FILE_FOLDER);
    if (o->output && r->many && file_kind(r->output) == FILE_NONE &&
        (strcmp(r->output, "-") == 0 || writer_of(r->output)))
        return err_set(e, E_USAGE, "-o %s: several inputs need a folder: -o FOLDER/", r->output);
    if (r->to_folder && file_kind(r->output) == FILE_REGULAR)
        return err_set(e, E_USAGE, "-o %s is a file; %s need a folder", r->output,
                       all ? "several formats" : "several inputs");
    return 0;
}

/* The folder of the output is made, or that of a single file is there: found out before anything
 * that takes time. */
static int check_output(struct run *r, struct err *e)
{
    const char *output = r->output;
    if (!output) return 0;
    if (r->to_folder) return file_make_folders(output, e);
    const char *name = file_name(output);
    char *folder = arena_text(r->names, output, (size_t)(name - output), e);
    if (!folder) return -1;
    if (!*folder || file_kind(folder) == FILE_FOLDER) return 0;
    return err_set(e, E_IO, "%s: there is no folder %s", output, folder);
}

static int open_journal(struct run *r, struct err *e)
{
    if (!r->o->resume) return 0;
    if (!r->to_folder)
        return err_set(e, E_USAGE, "--resume needs a folder for the output: -o FOLDER/");
    uint64_t settings = journal_settings(rows, COUNT(rows), r->o);
    return journal_open(r->names, r->output, settings, &r->journal, e);
}

/* All that every input needs. A model of a route waits until an input comes to it. */
static int open_models(struct run *r, struct err *e)
{
    struct engine_options eo = {.threads = 1, .kernels = r->kernels}; /* it listens aside */
    struct fetch_watch watch = host_watch(r->host);
    char *folder;
    choice("kernels", r->o->kernels, r->kernels);
    choice("compute-type", r->o->compute_type, r->compute_type);
    r->desks = (struct desk_set){.o = r->o,
                                 .wishes = &r->wishes,
                                 .kernels = r->kernels,
                                 .compute_type = r->compute_type,
                                 .host = r->host};
    TRY(desk_find(&r->desks, r->model, e));
    if (r->desks.listens) TRY(desk_listener(&r->desks, &r->desk, e));
    if (!r->desks.listens) TRY(desk_at(&r->desks, r->wishes.language, &r->desk, e));
    if (r->o->vad) {
        TRY(store_find(r->model, "silero-vad-v6", r->o->offline, &watch, &folder, e));
        TRY(vad_open(r->model, folder, &eo, &r->vad, e));
    }
    return ahead_open(r->model, r->vad, &r->wishes.vad, &r->ahead, e);
}

static int with_arenas(struct run *r, const struct opt_list *inputs, struct err *e)
{
    /* a wrong option is said before a model is fetched or a file is touched */
    TRY(engine_check(r->o->device, e));
    TRY(transcribe_options_read(r->names, r->o, &r->wishes, e));
    if (r->o->route && strcmp(r->o->model, opt_find(rows, COUNT(rows), "model")->fallback) != 0)
        return err_set(e, E_USAGE, "--model %s beside --route: say default=%s there", r->o->model,
                       r->o->model);
    TRY(find_output(r, inputs, e));
    TRY(choose_writers(r, e));
    TRY(check_output(r, e));
    TRY(open_journal(r, e));
    TRY(open_models(r, e));
    TRY(every_input(r, inputs, e));
    return verdict(r, e);
}

static int run_transcribe(const void *opts, const struct opt_list *inputs,
                          const struct lode_host *host, struct err *e)
{
    struct run r = {.o = opts, .host = host};
    int rc = -1;
    if (arena_open("model", 0, &r.model, e) == 0 && arena_open("job", 0, &r.job, e) == 0 &&
        arena_open("names", 0, &r.names, e) == 0) {
        rc = with_arenas(&r, inputs, e);
    }
    journal_close(&r.journal);
    ahead_close(&r.ahead);
    vad_close(&r.vad);
    desk_close(&r.desks);
    arena_close(&r.names);
    arena_close(&r.job);
    arena_close(&r.model);
    return rc;
}

const struct lode_job job_transcribe_row = {
    .name = "transcribe",
    .summary = "speech to text",
    .synopsis = "AUDIO|FOLDER|-... [options]",
    .details = "Any audio or video file FFmpeg reads, whole folders (the files in them, not "
               "folders in folders), or - for standard input. The "
               "text goes to standard output as it is decided, one line per segment, "
               "unless -o names a file or folder.\n"
               "\n"
               "Bad inputs are named on standard error and cost only themselves; the exit status "
               "is then 9.\n"
               "\n"
               "  lode transcribe talk.mp3\n"
               "  lode transcribe talk.mp3 -o talk.srt\n"
               "  lode transcribe --model tiny.en --beam-size 5 --compute-type int8 recordings/ -o "
               "texts/ --format json\n"
               "  ffmpeg -i stream -f wav - | lode transcribe -\n",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct transcribe_options),
    .inputs_min = 1,
    .inputs_max = -1,
    .run = run_transcribe,
};
