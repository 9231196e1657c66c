/* `lode transcribe`: options, files and folders in, transcripts out. The algorithm is scribe's. */
#include "base/thread.h"
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "jobs/scribe.h"
#include "load/store.h"
#include "nets/net_language.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct transcribe_opts {
    const char *model, *language, *output, *temperature;
    int format, task, device, compute_type, kernels;
    int64_t threads, beam, best_of, seed;
    double patience, length_penalty, compression_ratio, logprob, no_speech, increment,
        initial_timestamp;
    bool condition, timestamps, suppress_blank, offline, quiet;
};

#define FORMATS   "txt|srt|vtt|json"
#define AT(field) offsetof(struct transcribe_opts, field)
/* clang-format off */
static const struct opt_row rows[] = {
    {.help = "What and where to"},
    {.name = "model", .letter = 'm', .type = OPT_TEXT, .offset = AT(model), .fallback = "tiny.en", .value = "NAME",
     .help = "Model name (see `lode models`), model folder, or weight file. Fetched if it is not in the cache."},
    {.name = "output", .letter = 'o', .type = OPT_TEXT, .offset = AT(output), .value = "FILE|FOLDER", .alias = "output-dir",
     .help = "Write there instead of to standard output: a file for one input, a folder for any number. A folder gets one file per input and format."},
    {.name = "format", .letter = 'f', .type = OPT_CHOICE, .offset = AT(format), .choices = "auto|" FORMATS, .fallback = "auto", .alias = "output-format",
     .help = "Form of the transcript. auto: what the name after -o ends in, else txt."},
    {.name = "language", .letter = 'l', .type = OPT_TEXT, .offset = AT(language), .value = "CODE",
     .help = "Language spoken, as a code or an English name: en, hi, german."},
    {.name = "task", .type = OPT_CHOICE, .offset = AT(task), .choices = "transcribe|translate", .fallback = "transcribe", .help = "translate gives English text."},
    {.help = "Where it runs"},
    {.name = "device", .letter = 'd', .type = OPT_CHOICE, .offset = AT(device), .choices = "auto|cpu|cuda", .fallback = "auto", .help = "auto takes the GPU if it can be used."},
    {.name = "threads", .letter = 't', .type = OPT_INT, .offset = AT(threads), .min = 0, .max = 1024, .fallback = "0", .value = "N", .help = "At most one for each processor this process may use; 0: as many."},
    {.name = "compute-type", .type = OPT_CHOICE, .offset = AT(compute_type), .choices = SPEECH_COMPUTE_TYPES, .fallback = "auto",
     .help = "A preference, resolved for the device; the transcript says what was used. auto is int8 on the CPU."},
    {.name = "kernels", .type = OPT_CHOICE, .offset = AT(kernels), .choices = "auto|ref|base|avx2|avx512", .fallback = "auto", .help = "Force a level of CPU kernels, to compare or to look for a fault."},
    {.help = "Decoding"},
    {.name = "beam-size", .letter = 'b', .type = OPT_INT, .offset = AT(beam), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "Beams at temperature 0; 1 is greedy."},
    {.name = "best-of", .type = OPT_INT, .offset = AT(best_of), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "Samples at temperatures above 0."},
    {.name = "patience", .type = OPT_NUMBER, .offset = AT(patience), .min = 0.1, .max = 16, .fallback = "1", .value = "X", .help = "The beam search ends when beam size times this many hypotheses are finished."},
    {.name = "length-penalty", .type = OPT_NUMBER, .offset = AT(length_penalty), .min = -4, .max = 4, .fallback = "1", .value = "X", .help = "Hypotheses are ranked by log-probability over length to this power."},
    {.name = "temperature", .type = OPT_TEXT, .offset = AT(temperature), .fallback = "0,0.2,0.4,0.6,0.8,1", .value = "LIST",
     .help = "Tried in this order until the text can be trusted. A single number: only that."},
    {.name = "temperature-increment-on-fallback", .type = OPT_NUMBER, .offset = AT(increment), .min = 0, .max = 1, .fallback = "0", .value = "X",
     .help = "If above 0: the list is the first temperature and steps of this up to 1."},
    {.name = "compression-ratio-threshold", .type = OPT_NUMBER, .offset = AT(compression_ratio), .min = 0, .max = 100, .fallback = "2.4", .value = "X", .help = "Text that compresses better repeats itself and is tried again. 0: off."},
    {.name = "logprob-threshold", .type = OPT_NUMBER, .offset = AT(logprob), .min = -100, .max = 0, .fallback = "-1", .value = "X", .alias = "log-prob-threshold", .help = "Text with a lower mean log-probability is tried again."},
    {.name = "no-speech-threshold", .type = OPT_NUMBER, .offset = AT(no_speech), .min = 0, .max = 1, .fallback = "0.6", .value = "X", .help = "A window that is silence with a higher probability, and whose text is unlikely, is left out."},
    {.name = "condition-on-previous-text", .type = OPT_BOOL, .offset = AT(condition), .fallback = "true", .help = "The text so far is the prompt of the next window."},
    {.name = "timestamps", .type = OPT_BOOL, .offset = AT(timestamps), .fallback = "true", .help = "Let the model say when; without, a segment is a whole window."},
    {.name = "max-initial-timestamp", .type = OPT_NUMBER, .offset = AT(initial_timestamp), .min = 0, .max = 30, .fallback = "1", .value = "SECONDS", .help = "The first timestamp of a window is at most this."},
    {.name = "suppress-blank", .type = OPT_BOOL, .offset = AT(suppress_blank), .fallback = "true", .help = "A window cannot begin with a blank or be empty."},
    {.name = "seed", .type = OPT_INT, .offset = AT(seed), .min = 0, .max = 1e15, .fallback = "0", .value = "N", .help = "Of sampling. The same seed gives the same text."},
    {.help = "Other"},
    {.name = "offline", .type = OPT_BOOL, .offset = AT(offline), .help = "Never fetch anything."},
    {.name = "quiet", .letter = 'q', .type = OPT_BOOL, .offset = AT(quiet), .help = "No summary lines on standard error."},
};
/* clang-format on */

#define WORD 24 /* room for the longest choice */

/* What was chosen, as text in buf [WORD]. */
static const char *choice(const char *name, int index, char *buf)
{
    return opt_choice(opt_find(rows, COUNT(rows), name), index, buf, WORD);
}

struct run { /* of all inputs */
    const struct transcribe_opts *o;
    const struct lode_host *host;
    struct arena *model, *job; /* job is reset for each input */
    struct speech *speech;
    struct scribe *scribe;
    const struct out_writer *writer;
    bool many, to_folder;
    int language;
    int n_done, n_failed;
    struct err first; /* of the failed inputs */
    bool no_text;     /* standard output takes no more: no further input is worth its time */
    struct arena *names;
    char **taken; /* [n_taken] the files this run has written */
    size_t n_taken, taken_cap;
};

struct transcript { /* of one input */
    struct run *run;
    struct out_about about;
    struct out_sink sink;
    struct file_out file;
    _Alignas(16) char state[OUT_STATE_BYTES];
};

/* ---- options ---- */

static int read_ladder(const struct transcribe_opts *o, struct window_options *s, struct err *e)
{
    const char *p = o->temperature;
    while (*p) {
        char word[32];
        size_t n = strcspn(p, ",");
        double t;
        snprintf(word, sizeof word, "%.*s", (int)MIN(n, sizeof word - 1), p);
        if (!str_double(word, &t) || t < 0 || t > 2)
            return err_set(e, E_USAGE, "--temperature: \"%s\" is not a number from 0 to 2", word);
        if (s->n_temperatures == WINDOW_TEMPERATURES)
            return err_set(e, E_USAGE, "--temperature: more than %d steps", WINDOW_TEMPERATURES);
        s->temperature[s->n_temperatures++] = t;
        p += n + (p[n] == ',');
    }
    if (s->n_temperatures == 0) return err_set(e, E_USAGE, "--temperature: the list is empty");
    if (o->increment > 0) {
        s->n_temperatures = 1;
        for (int i = 1; s->temperature[0] + i * o->increment <= 1 + 1e-6; i++) {
            if (i == WINDOW_TEMPERATURES)
                return err_set(e, E_USAGE,
                               "--temperature-increment-on-fallback: %g makes more than %d steps",
                               o->increment, WINDOW_TEMPERATURES);
            s->temperature[s->n_temperatures++] = s->temperature[0] + i * o->increment;
        }
    }
    return 0;
}

static int read_language(const struct transcribe_opts *o, int *language, struct err *e)
{
    *language = -1;
    if (!o->language) return 0;
    *language = net_language_find(o->language);
    if (*language >= 0) return 0;
    const char *near = net_language_near(o->language);
    return err_set(e, E_USAGE, "--language: \"%s\" is not a language of Whisper%s%s%s", o->language,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* A language the model does not speak is the user's mistake, said before any file is read. */
static int check_language(struct run *r, struct err *e)
{
    const struct net_whisper_config *c = &r->speech->net.config;
    if (!c->multilingual) {
        if (r->language > 0)
            return err_set(e, E_USAGE, "model %s is English only; \"%s\" needs a multilingual one",
                           r->o->model, r->o->language);
        if (r->o->task == 1)
            return err_set(e, E_USAGE, "model %s is English only and cannot translate",
                           r->o->model);
        r->language = 0;
        return 0;
    }
    if (r->language < 0)
        return err_set(e, E_USAGE, "model %s speaks %d languages: say which with --language",
                       r->o->model, c->n_languages);
    if (r->language < c->n_languages) return 0;
    return err_set(e, E_USAGE, "model %s does not know %s", r->o->model,
                   net_language_name(r->language));
}

static int scribe_options(const struct transcribe_opts *o, struct scribe_options *s, struct err *e)
{
    *s = (struct scribe_options){
        .decode = {.beam = (int)o->beam,
                   .best_of = (int)o->best_of,
                   .patience = o->patience,
                   .length_penalty = o->length_penalty,
                   .initial_times = (int)lround(o->initial_timestamp / WHISPER_TIME_STEP_S),
                   .suppress_blank = o->suppress_blank,
                   .seed = (uint64_t)o->seed},
        .translate = o->task == 1,
        .timestamps = o->timestamps,
        .window = {.compression_ratio = o->compression_ratio > 0 ? o->compression_ratio : NAN,
                   .logprob = o->logprob,
                   .no_speech = o->no_speech},
        .condition = o->condition,
        .reset_above = 0.5, /* openai/whisper transcribe.py */
    };
    return read_ladder(o, &s->window, e);
}

/* The writer: by --format, else by what the name after -o ends in, else txt. */
static void choose_writer(struct run *r)
{
    char name[WORD];
    size_t n;
    const struct out_writer *w = out_writers(&n);
    r->writer = out_find(r->o->format ? choice("format", r->o->format, name) : "txt");
    for (size_t i = 0; r->o->format == 0 && r->o->output && i < n; i++) {
        if (str_ends(r->o->output, w[i].suffix)) r->writer = &w[i];
    }
}

/* ---- one input ---- */

static int to_host(void *ctx, const char *p, size_t n, struct err *e)
{
    const struct transcript *t = ctx;
    if (host_text(t->run->host, p, n, e) == 0) return 0;
    t->run->no_text = true;
    return -1;
}

static int to_file(void *ctx, const char *p, size_t n, struct err *e)
{
    struct transcript *t = ctx;
    return file_out_write(&t->file, p, n, e);
}

static int on_segment(void *ctx, const struct out_segment *s, struct err *e)
{
    struct transcript *t = ctx;
    return t->run->writer->segment(&t->sink, s, t->state, e);
}

static void on_progress(void *ctx, const char *what, double done_s, double total_s)
{
    const struct transcript *t = ctx;
    host_progress(t->run->host, what, LODE_SECONDS, done_s, total_s);
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

/* The file an input's transcript goes to: -o itself, or NAME.suffix in the folder; NAME-2.suffix
 * and so on where an earlier input of this run has that name. NULL: standard output. */
static int output_path(struct run *r, const char *input, char **path, struct err *e)
{
    *path = NULL;
    if (!r->o->output) return 0;
    if (!r->to_folder) {
        *path = arena_text(r->job, r->o->output, strlen(r->o->output), e);
        return *path ? 0 : -1;
    }
    const char *name = strcmp(input, "-") == 0 ? "stdin" : file_name(input);
    const char *dot = strrchr(name, '.'), *suffix = r->writer->suffix;
    int stem = dot && dot != name ? (int)(dot - name) : (int)strlen(name);
    char *file = arena_format(r->names, e, "%.*s%s", stem, name, suffix);
    for (int again = 2; file; again++) {
        *path = file_join(r->names, r->o->output, file, e);
        if (!*path) return -1;
        if (!is_taken(r, *path)) return take(r, *path, e);
        file = arena_format(r->names, e, "%.*s-%d%s", stem, name, again, suffix);
    }
    return -1;
}

static void summary(struct transcript *t, const struct scribe_totals *n, const char *path)
{
    const struct run *r = t->run;
    double speed = t->about.wall_s > 0 ? t->about.audio_s / t->about.wall_s : 0;
    if (r->o->quiet) return;
    host_progress(r->host, "", LODE_SECONDS, -1, 0);
    host_note(r->host,
              "%s: %.1f s of audio in %.2f s (%.1f times real time), %lld segment%s%s%s; model %s "
              "loaded in %.2f s; %s, %s, %s",
              t->about.input, t->about.audio_s, t->about.wall_s, speed, (long long)n->segments,
              n->segments == 1 ? "" : "s", path ? " -> " : "", path ? path : "", t->about.model,
              r->speech->load_s, t->about.device, t->about.device_name, t->about.compute_type);
}

/* Reads one audio and writes its transcript through t->sink. A run that was stopped keeps what it
 * has. */
static int transcribe(struct transcript *t, const char *input, const char *path, struct err *e)
{
    struct run *r = t->run;
    struct audio *audio = NULL;
    struct scribe_totals totals = {0};
    struct scribe_events events = {t, on_segment, on_progress, on_cancelled};
    struct err stop = {0};
    double start_s = thread_seconds();
    TRY(audio_open(r->job, input, WHISPER_RATE_HZ, &audio, e));
    int rc = r->writer->begin(&t->sink, &t->about, t->state, e);
    if (rc == 0) rc = scribe_run(r->scribe, audio, &events, &totals, e);
    int64_t damaged = audio_damage(audio);
    audio_close(&audio);
    bool nothing = path && totals.segments == 0; /* an older file of that name is worth more */
    if (rc && (e->code != E_CANCELLED || nothing)) {
        r->writer->drop(t->state);
        return -1;
    }
    if (rc) stop = *e;

    t->about.cancelled = rc != 0;
    t->about.audio_s = totals.audio_s;
    t->about.wall_s = thread_seconds() - start_s;
    TRY(r->writer->end(&t->sink, &t->about, t->state, e));
    if (path) TRY(file_out_commit(&t->file, e));
    summary(t, &totals, path);
    if (damaged)
        host_note(r->host, "%s: %lld damaged packet%s skipped", t->about.input, (long long)damaged,
                  damaged == 1 ? " was" : "s were");
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

static int one_input(struct run *r, const char *input, struct err *e)
{
    char *path;
    struct transcript t = {
        .run = r,
        .about = {.input = strcmp(input, "-") == 0 ? "standard input" : input,
                  .model = r->speech->name,
                  .language = net_language_code(r->language),
                  .device = engine_device(r->speech->engine),
                  .device_name = engine_describe(r->speech->engine),
                  .device_reason = engine_reason(r->speech->engine),
                  .compute_type = r->speech->compute_type,
                  .version = lode_version(),
                  .load_s = r->speech->load_s},
    };
    t.sink = (struct out_sink){to_host, &t};
    TRY(output_path(r, input, &path, e));
    if (path && file_same(path, input))
        return err_set(e, E_USAGE, "%s: -o would overwrite the input itself", input);
    if (path) {
        TRY(file_out_open(r->job, path, &t.file, e));
        t.sink.put = to_file;
    }
    int rc = transcribe(&t, input, path, e);
    if (path) file_out_abort(&t.file);
    if (rc) say_which(t.about.input, e);
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

static int count_input(struct run *r, const char *input, struct err *e)
{
    arena_reset(r->job);
    if (one_input(r, input, e)) return fail_input(r, e);
    r->n_done++;
    return 0;
}

/* ---- all inputs ---- */

/* The files in a folder; not those whose names begin with a dot, and not its folders. */
static int every_file(struct run *r, const char *folder, struct err *e)
{
    char **name;
    size_t n;
    if (file_list(r->names, folder, &name, &n, e)) return fail_input(r, e);
    for (size_t k = 0; k < n; k++) {
        char *path = file_join(r->names, folder, name[k], e);
        if (!path) return -1;
        if (name[k][0] != '.' && file_kind(path) == FILE_REGULAR) TRY(count_input(r, path, e));
    }
    return 0;
}

static int every_input(struct run *r, const struct opt_list *inputs, struct err *e)
{
    for (size_t i = 0; i < inputs->n; i++) {
        const char *input = inputs->words[i];
        bool folder = strcmp(input, "-") != 0 && file_kind(input) == FILE_FOLDER;
        TRY(folder ? every_file(r, input, e) : count_input(r, input, e));
    }
    return 0;
}

static int verdict(const struct run *r, struct err *e)
{
    if (r->n_failed == 0 && r->n_done == 0)
        return err_set(e, E_INPUT, "there is no file in what was given");
    if (r->n_failed == 0) return 0;
    if (!r->many) {
        *e = r->first;
        return -1;
    }
    return err_set(e, E_PARTIAL, "%d of %d inputs failed", r->n_failed, r->n_failed + r->n_done);
}

static int check_output(struct run *r, const struct opt_list *inputs, struct err *e)
{
    const char *output = r->o->output;
    r->many = inputs->n > 1 || file_kind(inputs->words[0]) == FILE_FOLDER;
    r->to_folder = output && (r->many || str_ends(output, "/") || file_kind(output) == FILE_FOLDER);
    if (!r->to_folder) return 0;
    if (file_kind(output) == FILE_REGULAR)
        return err_set(e, E_USAGE, "-o %s is a file; several inputs need a folder", output);
    return file_make_folders(output, e);
}

static int open_model(struct run *r, struct err *e)
{
    char device[WORD], compute[WORD], kernels[WORD], *folder;
    struct fetch_watch watch = host_watch(r->host);
    TRY(store_find(r->model, r->o->model, r->o->offline, &watch, &folder, e));
    struct speech_options so = {
        .folder = folder,
        .name = r->o->model,
        .compute_type = choice("compute-type", r->o->compute_type, compute),
        .engine = {.device = choice("device", r->o->device, device),
                   .kernels = choice("kernels", r->o->kernels, kernels),
                   .threads = (int)MIN(r->o->threads, thread_cpus())},
        .beam = (int)r->o->beam,
        .best_of = (int)r->o->best_of,
    };
    TRY(speech_open(r->model, &so, &r->speech, e));
    TRY(check_language(r, e));
    struct scribe_options options;
    TRY(scribe_options(r->o, &options, e));
    options.language = r->language;
    return scribe_open(r->model, r->speech, &options, &r->scribe, e);
}

static int with_arenas(struct run *r, const struct opt_list *inputs, struct err *e)
{
    struct scribe_options checked;
    TRY(scribe_options(
        r->o, &checked,
        e)); /* a wrong option is said before a model is fetched or a file is touched */
    TRY(read_language(r->o, &r->language, e));
    choose_writer(r);
    TRY(check_output(r, inputs, e));
    TRY(open_model(r, e));
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
    speech_close(&r.speech);
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
    .opts_bytes = sizeof(struct transcribe_opts),
    .inputs_min = 1,
    .inputs_max = -1,
    .run = run_transcribe,
};
