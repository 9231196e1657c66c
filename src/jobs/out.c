/* Writers of transcripts, a row each. Segments are written as they come; what
 * a transcript needs whole at its end (the text in JSON) waits in an unlinked temporary file, so
 * memory does not grow with its length.
 *
 * Follows: openai/whisper utils.py (ResultWriter and its kinds), faster-whisper for what a segment
 * has, whisper.cpp examples/cli for csv and lrc. Unlike there, a text that is blank makes no line
 * and no cue, line ends and other control characters inside a text become spaces (they would end
 * the line or the cue), and no number of hyphens before ">" leaves an arrow. */
#include "jobs/out.h"

#include "base/file.h"
#include "base/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* -------------------------------------------------------------------------------- text -- */

struct pen { /* gathers small pieces for a sink */
    const struct out_sink *sink;
    struct err *e;
    bool failed;
    size_t n;
    char held[512];
};

static void pen_flush(struct pen *pen)
{
    if (pen->n > 0 && !pen->failed) {
        pen->failed = pen->sink->put(pen->sink->ctx, pen->held, pen->n, pen->e) != 0;
    }
    pen->n = 0;
}

static void pen_put(struct pen *pen, const char *p, size_t n)
{
    while (n > 0) {
        if (pen->n == sizeof(pen->held)) pen_flush(pen);
        size_t part = MIN(n, sizeof(pen->held) - pen->n);
        memcpy(pen->held + pen->n, p, part);
        pen->n += part;
        p += part;
        n -= part;
    }
}

static int pen_done(struct pen *pen)
{
    pen_flush(pen);
    return pen->failed ? -1 : 0;
}

/* is_blank: what Python's str.strip() takes away, and the control characters. */
static bool is_blank(uint32_t cp)
{
    return cp <= 0x20 || (cp >= 0x7F && cp <= 0xA0) || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

static struct str trim(struct str s)
{
    uint32_t cp;
    for (int len; (len = str_utf8(s.p, s.n, &cp)) > 0 && is_blank(cp);) {
        s.p += len;
        s.n -= (size_t)len;
    }
    while (s.n > 0) {
        size_t at = s.n - 1;
        while (at > 0 && s.n - at < 4 && ((uint8_t)s.p[at] & 0xC0) == 0x80) at--;
        if (str_utf8(s.p + at, s.n - at, &cp) != (int)(s.n - at) || !is_blank(cp)) break;
        s.n = at;
    }
    return s;
}

enum care { CARE_UTF8, CARE_LINE, CARE_CUE }; /* each includes those before it */

/* put_text: s as UTF-8 that is always valid; with CARE_LINE on one line; with CARE_CUE without an
 * arrow "-->", by which readers of srt and vtt know the times. */
static void put_text(struct pen *pen, struct str s, enum care care)
{
    size_t hyphens = 0; /* read, but not yet written */
    for (size_t i = 0; i < s.n;) {
        uint32_t cp;
        int len = str_utf8(s.p + i, s.n - i, &cp);
        if (care == CARE_CUE && cp == '-' && len == 1) {
            hyphens++;
            i++;
            continue;
        }
        if (cp == '>' && len == 1 && hyphens > 1) hyphens = 1;
        for (; hyphens > 0; hyphens--) pen_put(pen, "-", 1);
        if (len == 0) {
            pen_put(pen, "\xEF\xBF\xBD", 3);
        } else if (care != CARE_UTF8 && (cp < 0x20 || (cp >= 0x7F && cp < 0xA0))) {
            pen_put(pen, " ", 1);
        } else {
            pen_put(pen, s.p + i, (size_t)len);
        }
        i += len == 0 ? 1 : (size_t)len;
    }
    for (; hyphens > 0; hyphens--) pen_put(pen, "-", 1);
}

/* put_time: [hours:]minutes:seconds.milliseconds, rounded as Python's round does. */
static void put_time(struct pen *pen, double t_s, bool always_hours, char point)
{
    assert(t_s >= 0 && t_s < 1e12);
    long long ms = llrint(t_s * 1000), hours = ms / 3600000;
    char text[48];
    int n = 0;
    if (always_hours || hours > 0) n = snprintf(text, sizeof(text), "%02lld:", hours);
    n += snprintf(text + n, sizeof(text) - (size_t)n, "%02d:%02d%c%03d", (int)(ms / 60000 % 60),
                  (int)(ms / 1000 % 60), point, (int)(ms % 1000));
    pen_put(pen, text, (size_t)n);
}

/* -------------------------------------------------------------------------------- txt -- */

static int begin_plain(const struct out_sink *s, const struct out_about *about, void *state,
                       struct err *e)
{
    (void)s, (void)about, (void)state, (void)e;
    return 0;
}

/* Who says it, before the text. */
static void put_speaker(struct pen *pen, const struct out_segment *seg)
{
    if (!seg->speaker) return;
    put_text(pen, (struct str){seg->speaker, strlen(seg->speaker)}, CARE_LINE);
    pen_put(pen, ": ", 2);
}

static int segment_txt(const struct out_sink *s, const struct out_segment *seg, void *state,
                       struct err *e)
{
    (void)state;
    struct str text = trim(seg->text);
    if (text.n == 0) return 0;
    struct pen pen = {.sink = s, .e = e};
    put_speaker(&pen, seg);
    put_text(&pen, text, CARE_LINE);
    pen_put(&pen, "\n", 1);
    return pen_done(&pen);
}

static int end_plain(const struct out_sink *s, const struct out_about *about, void *state,
                     struct err *e)
{
    (void)s, (void)about, (void)state, (void)e;
    return 0;
}

static void drop_plain(void *state)
{
    (void)state;
}

/* ---------------------------------------------------------------------------- srt, vtt -- */

struct cue_state {
    struct cue cue;
    struct cue_style style;
    int64_t cues; /* written so far: in srt they are numbered without a gap */
    bool srt;
};
_Static_assert(sizeof(struct cue_state) <= OUT_STATE_BYTES, "the state fits");

/* The line above a cue's text. */
static void put_times(struct pen *pen, struct cue_state *st, double t0_s, double t1_s)
{
    char number[24], point = st->srt ? ',' : '.';
    int n = snprintf(number, sizeof(number), "%lld\n", (long long)++st->cues);
    if (st->srt) pen_put(pen, number, (size_t)n);
    put_time(pen, t0_s, st->srt, point);
    pen_put(pen, " --> ", 5);
    put_time(pen, t1_s, st->srt, point);
    pen_put(pen, "\n", 1);
}

/* Words [from, to) of a cue: one piece of text, so that no arrow comes about between two. */
static void put_piece(struct pen *pen, const struct cue *c, int from, int to)
{
    size_t at = c->word[from].at, end = to < c->n ? c->word[to].at : c->bytes;
    put_text(pen, (struct str){c->text + at, end - at}, CARE_CUE);
}

/* The words of a cue; that of number `lit` underlined, the space before it not. */
static void put_words(struct pen *pen, const struct cue *c, int lit)
{
    for (int i = 0, to; i < c->n; i = to) {
        if (c->word[i].line) pen_put(pen, "\n", 1);
        for (to = i + 1; i != lit && to < c->n && to != lit && !c->word[to].line;) to++;
        if (i != lit) {
            put_piece(pen, c, i, to);
            continue;
        }
        struct str text = {c->text + c->word[i].at, c->word[i].n};
        for (; text.n > 0 && text.p[0] == ' '; text.p++, text.n--) pen_put(pen, " ", 1);
        pen_put(pen, "<u>", 3);
        put_text(pen, text, CARE_CUE);
        pen_put(pen, "</u>", 4);
    }
    pen_put(pen, "\n\n", 2);
}

struct cue_place { /* where a cue goes */
    struct pen *pen;
    struct cue_state *st;
};

/* A cue of words: by itself, or once for every word and once for every gap between two. */
static int put_cue(void *ctx, const struct cue *c, struct err *e)
{
    const struct cue_place *to = ctx;
    (void)e; /* the pen has the same */
    double last_s = c->word[0].t0_s;
    for (int i = 0; to->st->style.highlight && i < c->n; i++) {
        const struct cue_word *w = &c->word[i];
        if (llrint(last_s * 1000) != llrint(w->t0_s * 1000)) {
            put_times(to->pen, to->st, last_s, w->t0_s);
            put_words(to->pen, c, -1);
        }
        put_times(to->pen, to->st, w->t0_s, w->t1_s);
        put_words(to->pen, c, i);
        last_s = w->t1_s;
    }
    if (!to->st->style.highlight) {
        put_times(to->pen, to->st, c->word[0].t0_s, c->word[c->n - 1].t1_s);
        put_words(to->pen, c, -1);
    }
    return to->pen->failed ? -1 : 0;
}

static int begin_cues(struct cue_state *st, const struct out_about *about, bool srt)
{
    st->srt = srt;
    if (about->style) st->style = *about->style;
    st->cue.style = &st->style;
    st->cue.put = put_cue;
    return 0;
}

static int begin_srt(const struct out_sink *s, const struct out_about *about, void *state,
                     struct err *e)
{
    (void)s, (void)e;
    return begin_cues(state, about, true);
}

static int begin_vtt(const struct out_sink *s, const struct out_about *about, void *state,
                     struct err *e)
{
    TRY(begin_cues(state, about, false));
    return s->put(s->ctx, "WEBVTT\n\n", 8, e);
}

static int segment_cue(const struct out_sink *s, const struct out_segment *seg, void *state,
                       struct err *e)
{
    struct cue_state *st = state;
    struct str text = trim(seg->text);
    struct pen pen = {.sink = s, .e = e};
    struct cue_place place = {&pen, st};
    if (text.n == 0) return 0;
    if (seg->n_words > 0 && !seg->speaker) { /* who speaks stands before the whole text */
        TRY(cue_add(&st->cue, seg->word, seg->n_words, &place, e));
        return pen_done(&pen);
    }
    TRY(cue_flush(&st->cue, &place, e));
    put_times(&pen, st, seg->t0_s, seg->t1_s);
    put_speaker(&pen, seg);
    put_text(&pen, text, CARE_CUE);
    pen_put(&pen, "\n\n", 2);
    return pen_done(&pen);
}

static int end_cues(const struct out_sink *s, const struct out_about *about, void *state,
                    struct err *e)
{
    (void)about;
    struct cue_state *st = state;
    struct pen pen = {.sink = s, .e = e};
    struct cue_place place = {&pen, st};
    TRY(cue_flush(&st->cue, &place, e));
    return pen_done(&pen);
}

/* ------------------------------------------------------------------------ tsv, csv, lrc -- */

static int begin_tsv(const struct out_sink *s, const struct out_about *about, void *state,
                     struct err *e)
{
    (void)about, (void)state;
    return s->put(s->ctx, "start\tend\ttext\n", 15, e);
}

static int begin_csv(const struct out_sink *s, const struct out_about *about, void *state,
                     struct err *e)
{
    (void)about, (void)state;
    return s->put(s->ctx, "start,end,text\n", 15, e);
}

/* Start and end in milliseconds, each with `mark` after it. */
static void put_ms(struct pen *pen, const struct out_segment *seg, char mark)
{
    char text[48];
    int n = snprintf(text, sizeof(text), "%lld%c%lld%c", llrint(seg->t0_s * 1000), mark,
                     llrint(seg->t1_s * 1000), mark);
    pen_put(pen, text, (size_t)n);
}

static int segment_tsv(const struct out_sink *s, const struct out_segment *seg, void *state,
                       struct err *e)
{
    (void)state;
    struct str text = trim(seg->text);
    if (text.n == 0) return 0;
    struct pen pen = {.sink = s, .e = e};
    put_ms(&pen, seg, '\t');
    put_speaker(&pen, seg);
    put_text(&pen, text, CARE_LINE);
    pen_put(&pen, "\n", 1);
    return pen_done(&pen);
}

static int segment_csv(const struct out_sink *s, const struct out_segment *seg, void *state,
                       struct err *e)
{
    (void)state;
    struct str text = trim(seg->text);
    if (text.n == 0) return 0;
    struct pen pen = {.sink = s, .e = e};
    put_ms(&pen, seg, ',');
    pen_put(&pen, "\"", 1);
    put_speaker(&pen, seg);
    while (text.n > 0) { /* a quotation mark is written twice */
        const char *mark = memchr(text.p, '"', text.n);
        size_t n = mark ? (size_t)(mark - text.p) : text.n;
        put_text(&pen, (struct str){text.p, n}, CARE_LINE);
        if (mark) pen_put(&pen, "\"\"", 2);
        n += mark != NULL;
        text.p += n;
        text.n -= n;
    }
    pen_put(&pen, "\"\n", 2);
    return pen_done(&pen);
}

static int begin_lrc(const struct out_sink *s, const struct out_about *about, void *state,
                     struct err *e)
{
    *(bool *)state = about->style && about->style->highlight;
    return s->put(s->ctx, "[by:lode]\n", 10, e);
}

/* minutes:seconds.hundredths between two marks. */
static void put_lrc_time(struct pen *pen, double t_s, char open, char close)
{
    char text[48];
    long long cs = llrint(t_s * 100);
    int n = snprintf(text, sizeof(text), "%c%02lld:%02d.%02d%c", open, cs / 6000,
                     (int)(cs / 100 % 60), (int)(cs % 100), close);
    pen_put(pen, text, (size_t)n);
}

static int segment_lrc(const struct out_sink *s, const struct out_segment *seg, void *state,
                       struct err *e)
{
    const bool *by_word = state;
    struct str text = trim(seg->text);
    if (text.n == 0) return 0;
    struct pen pen = {.sink = s, .e = e};
    put_lrc_time(&pen, seg->t0_s, '[', ']');
    for (size_t i = 0; *by_word && i < seg->n_words; i++) { /* the "enhanced" form */
        if (i > 0) pen_put(&pen, " ", 1);
        put_lrc_time(&pen, seg->word[i].t0_s, '<', '>');
        put_text(&pen, trim(seg->word[i].text), CARE_LINE);
    }
    if (!*by_word || seg->n_words == 0) {
        put_speaker(&pen, seg);
        put_text(&pen, text, CARE_LINE);
    }
    pen_put(&pen, "\n", 1);
    return pen_done(&pen);
}

/* -------------------------------------------------------------------------------- json -- */

struct json_state {
    struct json_out j;
    int spool; /* the text of all segments so far, in one piece; valid UTF-8 */
    int again; /* struct out_again of all windows decoded more than once */
    bool open; /* both are */
};
_Static_assert(sizeof(struct json_state) <= OUT_STATE_BYTES, "the state fits");

/* The JSON goes on, into this sink. */
static struct json_out *resume(struct json_state *st, const struct out_sink *s, struct err *e)
{
    st->j.put = s->put;
    st->j.ctx = s->ctx;
    st->j.e = e;
    return &st->j;
}

static void drop_json(void *state)
{
    struct json_state *st = state;
    if (st->open) {
        close(st->spool);
        close(st->again);
    }
    st->open = false;
}

static int begin_json(const struct out_sink *s, const struct out_about *about, void *state,
                      struct err *e)
{
    (void)about;
    struct json_state *st = state;
    TRY(file_spool(&st->spool, e));
    if (file_spool(&st->again, e)) {
        close(st->spool);
        return -1;
    }
    st->open = true;
    json_out_init(&st->j, 0, s->put, s->ctx, e);
    json_out_object(&st->j);
    json_out_key(&st->j, "segments");
    json_out_array(&st->j);
    int rc = json_out_flush(&st->j);
    if (rc != 0) drop_json(st);
    return rc;
}

static int spool_put(void *ctx, const char *p, size_t n, struct err *e)
{
    return file_write_all(*(int *)ctx, p, n, e);
}

/* What the segment's words and doubts are: faster-whisper's names, and flags of our own. */
/* What speaks for a text, as segments and windows tell it. */
static void put_trust(struct json_out *j, double avg_logprob, double compression_ratio,
                      double no_speech_prob)
{
    json_out_key(j, "avg_logprob");
    json_out_number(j, avg_logprob, 9);
    json_out_key(j, "compression_ratio");
    json_out_number(j, compression_ratio, 9);
    json_out_key(j, "no_speech_prob");
    json_out_number(j, no_speech_prob, 15);
}

static void put_words_json(struct json_out *j, const struct out_segment *seg)
{
    static const char *const flags[] = {"repetition", "over-silence", "low-confidence",
                                        "wrong-script"};
    json_out_key(j, "flags");
    json_out_array(j);
    for (size_t i = 0; i < COUNT(flags); i++)
        if (seg->flags >> i & 1) json_out_str(j, flags[i]);
    json_out_end(j, ']');
    if (!seg->word) return;
    json_out_key(j, "words");
    json_out_array(j);
    for (size_t i = 0; i < seg->n_words; i++) {
        const struct out_word *w = &seg->word[i];
        json_out_object(j);
        json_out_key(j, "word");
        json_out_text(j, w->text.p, w->text.n);
        json_out_key(j, "start");
        json_out_number(j, w->t0_s, 3);
        json_out_key(j, "end");
        json_out_number(j, w->t1_s, 3);
        json_out_key(j, "probability");
        json_out_number(j, w->probability, 9);
        json_out_end(j, '}');
    }
    json_out_end(j, ']');
}

static int segment_json(const struct out_sink *s, const struct out_segment *seg, void *state,
                        struct err *e)
{
    struct json_state *st = state;
    struct out_sink spool = {spool_put, &st->spool};
    struct pen spooled = {.sink = &spool, .e = e};
    put_text(&spooled, seg->text, CARE_UTF8);
    TRY(pen_done(&spooled));

    struct json_out *j = resume(st, s, e);
    json_out_object(j);
    json_out_key(j, "id");
    json_out_int(j, seg->id);
    json_out_key(j, "seek");
    json_out_int(j, seg->seek);
    json_out_key(j, "start");
    json_out_number(j, seg->t0_s, 3);
    json_out_key(j, "end");
    json_out_number(j, seg->t1_s, 3);
    if (seg->speaker) {
        json_out_key(j, "speaker");
        json_out_str(j, seg->speaker);
    }
    if (seg->language) {
        json_out_key(j, "language");
        json_out_str(j, seg->language);
    }
    json_out_key(j, "text");
    json_out_text(j, seg->text.p, seg->text.n);
    json_out_key(j, "tokens");
    json_out_array(j);
    for (size_t i = 0; i < seg->n_tokens; i++) json_out_int(j, seg->token[i]);
    json_out_end(j, ']');
    json_out_key(j, "temperature");
    json_out_number(j, seg->temperature, 3);
    put_trust(j, seg->avg_logprob, seg->compression_ratio, seg->no_speech_prob);
    put_words_json(j, seg);
    json_out_end(j, '}');
    return json_out_flush(j);
}

/* put_spool: the spooled text as one JSON text, a buffer of whole characters at a time. */
static int put_spool(struct json_out *j, int spool, struct err *e)
{
    char buf[4096];
    json_out_text_open(j);
    for (uint64_t offset = 0;;) {
        int64_t n = file_read_at(spool, buf, sizeof(buf), offset, e);
        if (n < 0) return -1;
        if (n == (int64_t)sizeof(buf)) { /* the last character may be half there */
            for (n--; ((uint8_t)buf[n] & 0xC0) == 0x80;) n--;
        }
        if (n == 0) break;
        json_out_text_part(j, buf, (size_t)n);
        offset += (uint64_t)n;
    }
    json_out_text_close(j);
    return 0;
}

static int again_json(const struct out_again *w, void *state, struct err *e)
{
    struct json_state *st = state;
    return file_write_all(st->again, (const char *)w, sizeof *w, e);
}

const char *out_why(int bit)
{
    static const char *const names[] = {"loop", "compression-ratio", "log-probability",
                                        "wrong-script"};
    return bit < (int)COUNT(names) ? names[bit] : NULL;
}

static void put_try(struct json_out *j, const struct out_try *t)
{
    json_out_object(j);
    json_out_key(j, "temperature");
    json_out_number(j, t->temperature, 3);
    json_out_key(j, "why");
    json_out_array(j);
    for (int bit = 0; out_why(bit); bit++)
        if (t->why >> bit & 1) json_out_str(j, out_why(bit));
    json_out_end(j, ']');
    put_trust(j, t->avg_logprob, t->compression_ratio, t->no_speech_prob);
    json_out_end(j, '}');
}

/* The windows that went up the ladder of temperatures. */
static int put_again(struct json_out *j, int spool, struct err *e)
{
    struct out_again w;
    json_out_key(j, "windows_again");
    json_out_array(j);
    for (uint64_t at = 0;; at += sizeof w) {
        int64_t n = file_read_at(spool, &w, sizeof w, at, e);
        if (n < 0) return -1;
        if (n != (int64_t)sizeof w) break;
        json_out_object(j);
        json_out_key(j, "start");
        json_out_number(j, w.t0_s, 3);
        json_out_key(j, "end");
        json_out_number(j, w.t1_s, 3);
        if (w.speaker) {
            json_out_key(j, "speaker");
            json_out_str(j, w.speaker);
        }
        if (w.language) {
            json_out_key(j, "language");
            json_out_str(j, w.language);
        }
        json_out_key(j, "silent");
        json_out_bool(j, w.silent);
        json_out_key(j, "tried");
        json_out_array(j);
        for (int i = 0; i < w.n_tries; i++) put_try(j, &w.tried[i]);
        json_out_end(j, ']');
        json_out_end(j, '}');
    }
    json_out_end(j, ']');
    return 0;
}

static void put_about(struct json_out *j, const struct out_about *about)
{
    const struct {
        const char *key, *text;
    } texts[] = {
        {"language", about->language},
        {"input", about->input},
        {"model", about->model},
        {"device", about->device},
        {"device_name", about->device_name},
        {"device_reason", about->device_reason},
        {"compute_type", about->compute_type},
        {"version", about->version},
    };
    const struct {
        const char *key;
        double seconds;
    } times[] = {
        {"duration", about->audio_s}, /* OpenAI's name for audio_seconds */
        {"audio_seconds", about->audio_s},
        {"load_seconds", about->load_s},
        {"wall_seconds", about->wall_s},
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        json_out_key(j, texts[i].key);
        json_out_str(j, texts[i].text);
    }
    for (size_t i = 0; i < COUNT(times); i++) {
        json_out_key(j, times[i].key);
        json_out_number(j, times[i].seconds, 3);
    }
    if (about->cost > 0) {
        json_out_key(j, "audio_hours");
        json_out_number(j, about->audio_s / 3600, 6);
        json_out_key(j, "cost");
        json_out_number(j, about->cost, 9);
    }
    json_out_key(j, "cancelled");
    json_out_bool(j, about->cancelled);
}

static int end_json(const struct out_sink *s, const struct out_about *about, void *state,
                    struct err *e)
{
    struct json_state *st = state;
    struct json_out *j = resume(st, s, e);
    json_out_end(j, ']');
    json_out_key(j, "text");
    int rc = put_spool(j, st->spool, e);
    if (rc == 0) rc = put_again(j, st->again, e);
    drop_json(st);
    if (rc != 0) return -1;
    put_about(j, about);
    json_out_end(j, '}');
    return json_out_done(j);
}

/* ------------------------------------------------------------------------------- table -- */

/* In the order in which help names them; the first is the default. */
/* clang-format off */
static const struct out_writer WRITERS[] = {
    {"txt",  ".txt",  "plain text, a line per segment", begin_plain, segment_txt,  NULL,       end_plain, drop_plain},
    {"srt",  ".srt",  "SubRip subtitles",               begin_srt,   segment_cue,  NULL,       end_cues,  drop_plain},
    {"vtt",  ".vtt",  "WebVTT subtitles",               begin_vtt,   segment_cue,  NULL,       end_cues,  drop_plain},
    {"json", ".json", "one object: text, segments with times, tokens, probabilities and words, device",
                                                        begin_json,  segment_json, again_json, end_json,  drop_json},
    {"tsv",  ".tsv",  "a table: milliseconds and text, tabs between", begin_tsv, segment_tsv, NULL, end_plain, drop_plain},
    {"csv",  ".csv",  "the same as comma-separated values", begin_csv, segment_csv, NULL, end_plain, drop_plain},
    {"lrc",  ".lrc",  "lyrics: a time before each line", begin_lrc,  segment_lrc, NULL, end_plain, drop_plain},
};
/* clang-format on */

const struct out_writer *out_writers(size_t *n)
{
    *n = COUNT(WRITERS);
    return WRITERS;
}

const struct out_writer *out_find(const char *name)
{
    for (size_t i = 0; i < COUNT(WRITERS); i++) {
        if (strcmp(WRITERS[i].name, name) == 0) return &WRITERS[i];
    }
    return NULL;
}
