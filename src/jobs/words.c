#include "jobs/words.h"
#include "jobs/align.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES (32 << 10)
#define MOST_ROWS                                                                   \
    (DECODE_MOST + 8) /* tokens of a text, the sequence before and the end after it \
                       */

/* ---- tokens to words ---- */

/* Where `mark` stands in `marks`, as Python's `in` sees it: also if it is several of them in a row,
 * or none. */
static bool is_among(struct str mark, const char *marks)
{
    size_t n = strlen(marks);
    for (size_t i = 0; i + mark.n <= n; i++)
        if (memcmp(marks + i, mark.p, mark.n) == 0) return true;
    return false;
}

/* Code point number `index` of a text, or 0. */
static uint32_t code_point(struct str s, size_t index)
{
    uint32_t cp = 0;
    for (size_t i = 0; i < s.n; index--) {
        int len = str_utf8(s.p + i, s.n - i, &cp);
        if (len == 0) return 0;
        if (index == 0) return cp;
        i += (size_t)len;
    }
    return 0;
}

#define BROKEN 0xFFFD /* what bpe_text makes of bytes that are no character */

/* Where the first broken character of s stands, in characters; -1: nowhere. *n: characters of s. */
static int64_t first_broken(struct str s, size_t *n)
{
    int64_t at = -1;
    *n = 0;
    for (size_t i = 0; i < s.n; ++*n) {
        uint32_t cp;
        int len = str_utf8(s.p + i, s.n - i, &cp);
        if (cp == BROKEN && at < 0) at = (int64_t)*n;
        i += (size_t)MAX(len, 1);
    }
    return at;
}

/* Whether a piece begins a word by openai's split_tokens_on_spaces. */
static bool begins_word(struct str piece)
{
    static const char marks[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
    return (piece.n > 0 && piece.p[0] == ' ') || is_among(str_trim(piece), marks);
}

void words_split(const struct bpe *b, int eot, const int *token, int n, bool spaceless,
                 struct strbuf *text, struct words_list *out)
{
    char whole_text[TEXT_BYTES];
    struct strbuf whole;
    strbuf_init(&whole, whole_text, sizeof whole_text);
    bpe_text(b, token, (size_t)n, eot, &whole);
    size_t characters = 0; /* of the pieces so far */
    out->n = 0;
    for (int from = 0, to = 1; to <= n; to++) {
        size_t start = text->n, count;
        bpe_text(b, token + from, (size_t)(to - from), eot, text);
        struct str piece = {text->p + start, text->n - start};
        int64_t broken = first_broken(piece, &count);
        bool half = broken >= 0 && code_point((struct str){whole.p, whole.n},
                                              characters + (size_t)broken) != BROKEN;
        if (half && to < n) { /* half a character: the next token completes it */
            text->n = start;
            text->p[start] = 0;
            continue;
        }
        characters += count;
        if (spaceless || out->n == 0 || begins_word(piece)) {
            out->word[out->n++] = (struct out_word){.text = piece, .n_tokens = to - from};
        } else {
            out->word[out->n - 1].text.n += piece.n;
            out->word[out->n - 1].n_tokens += to - from;
        }
        from = to;
    }
}

/* ---- times ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What words usually last, at most 0.7 s; 0 if none lasts. */
static double typical_duration(const struct words_list *l)
{
    double length[DECODE_MOST + 1];
    int n = 0;
    for (int i = 0; i < l->n; i++) {
        double d = l->word[i].t1_s - l->word[i].t0_s;
        if (d > 0) length[n++] = d;
    }
    if (n == 0) return 0;
    qsort(length, (size_t)n, sizeof *length, by_value);
    return fmin(0.7, (length[n / 2] + length[(n - 1) / 2]) / 2);
}

/* A pause is heard into the mark at a sentence's end or into the word after it. */
static void cut_at_sentence_ends(struct words_list *l)
{
    static const char ends[] = ".。!！?？";
    double most = 2 * l->typical_s;
    for (int i = 1; i < l->n && most > 0; i++) {
        struct out_word *w = &l->word[i];
        if (!(w->t1_s - w->t0_s > most)) continue;
        if (is_among(w->text, ends))
            w->t1_s = w->t0_s + most;
        else if (is_among(w[-1].text, ends))
            w->t0_s = w->t1_s - most;
    }
}

/* Word `from` goes to its neighbour `to`: their texts lie side by side. */
static void join(struct words_list *l, int from, int to)
{
    struct out_word *a = &l->word[from], *b = &l->word[to];
    if (from < to) b->text.p = a->text.p;
    b->text.n += a->text.n;
    b->n_tokens += a->n_tokens;
    a->text.n = 0;
    a->n_tokens = 0;
}

static void merge_punctuation(struct words_list *l, const struct words_options *o)
{
    for (int i = l->n - 2, j = l->n - 1; i >= 0; i--) {
        struct str t = l->word[i].text;
        if (t.n > 0 && t.p[0] == ' ' && is_among(str_trim(t), o->prepend))
            join(l, i, j);
        else
            j = i;
    }
    for (int i = 0, j = 1; j < l->n; j++) {
        struct str before = l->word[i].text;
        bool open = before.n > 0 && before.p[before.n - 1] == ' ';
        if (open || !is_among(l->word[j].text, o->append))
            i = j;
        else if (l->word[j].text.n > 0)
            join(l, j, i);
    }
}

void words_time(struct words_list *l, const struct words_options *o, const int16_t *time,
                const float *probability)
{
    for (int i = 0, at = 0; i < l->n; i++) {
        struct out_word *w = &l->word[i];
        double sum = 0;
        for (int k = 0; k < w->n_tokens; k++) sum += (double)probability[at + k];
        w->probability = sum / w->n_tokens;
        w->t0_s = time[at] * WHISPER_TIME_STEP_S;
        at += w->n_tokens;
        w->t1_s = time[at] * WHISPER_TIME_STEP_S;
    }
    l->typical_s = typical_duration(l);
    cut_at_sentence_ends(l);
    merge_punctuation(l, o);
}

/* ---- words and spans ---- */

static double hundredths(double s)
{
    return rint(s * 100) / 100;
}

/* The first words after a pause are not longer than words are. */
static void cut_after_pause(struct out_word *w, int n, double before_s, double typical_s)
{
    double most = 2 * typical_s;
    bool pause = w[0].t1_s - before_s > 4 * typical_s;
    bool slow = w[0].t1_s - w[0].t0_s > most || (n > 1 && w[1].t1_s - w[0].t0_s > 2 * most);
    if (!pause || !slow) return;
    if (n > 1 && w[1].t1_s - w[1].t0_s > most)
        w[0].t1_s = w[1].t0_s = fmax(w[1].t1_s / 2, w[1].t1_s - most);
    w[0].t0_s = fmax(0, w[0].t1_s - most);
}

/* The span begins and ends with its words, but for a first or last word that is far too long. */
static void fit_span(struct window_span *s, struct out_word *w, int n, double offset_s,
                     double typical_s)
{
    double t0_s = offset_s + s->t0_s, t1_s = offset_s + s->t1_s;
    struct out_word *last = &w[n - 1];
    if (t0_s < w[0].t1_s && t0_s - 0.5 > w[0].t0_s)
        w[0].t0_s = fmax(0, fmin(w[0].t1_s - typical_s, t0_s));
    else
        t0_s = w[0].t0_s;
    if (t1_s > last->t0_s && t1_s + 0.5 < last->t1_s)
        last->t1_s = fmax(last->t0_s + typical_s, t1_s);
    else
        t1_s = last->t1_s;
    s->t0_s = t0_s - offset_s;
    s->t1_s = t1_s - offset_s;
}

void words_place(struct words_list *l, struct window_span *span, const int *n_text, int n_spans,
                 double offset_s, double before_s)
{
    int from = 0, to = 0;
    for (int i = 0; i < n_spans; i++) {
        struct window_span *s = &span[i];
        s->word = to;
        for (int taken = 0; from < l->n && taken < n_text[i]; from++) {
            struct out_word w = l->word[from];
            taken += w.n_tokens;
            if (w.text.n == 0) continue;
            w.t0_s = hundredths(offset_s + w.t0_s);
            w.t1_s = hundredths(offset_s + w.t1_s);
            l->word[to++] = w;
        }
        s->n_words = to - s->word;
        if (s->n_words == 0) continue;
        struct out_word *w = &l->word[s->word];
        cut_after_pause(w, s->n_words, before_s, l->typical_s);
        fit_span(s, w, s->n_words, offset_s, l->typical_s);
        before_s = offset_s + s->t1_s;
    }
    l->n = to;
}

double words_end(const struct words_list *l, const struct window_span *span, int n_spans,
                 double offset_s)
{
    for (int i = n_spans - 1; i >= 0; i--)
        if (span[i].n_words) return l->word[span[i].word + span[i].n_words - 1].t1_s;
    return n_spans ? offset_s + span[n_spans - 1].t1_s : offset_s;
}

/* ---- words that are hard to believe ---- */

/* Unlikely, very short or very long. */
static double strangeness(const struct out_word *w)
{
    double d = w->t1_s - w->t0_s;
    return (w->probability < 0.15 ? 1 : 0) + fmax(0, 0.133 - d) * 15 + fmax(0, d - 2);
}

static bool is_strange(const struct words_list *l, const struct window_span *s)
{
    double sum = 0;
    int n = 0;
    for (int i = s->word; i < s->word + s->n_words && n < 8; i++) {
        if (is_among(l->word[i].text, WORDS_PREPEND WORDS_APPEND)) continue;
        sum += strangeness(&l->word[i]);
        n++;
    }
    return s->n_words > 0 && (sum >= 3 || sum + 0.01 >= n);
}

/* The first span from i on that has words, or n. */
static int with_words(const struct window_span *span, int i, int n)
{
    while (i < n && span[i].n_words == 0) i++;
    return i;
}

struct words_doubt words_doubt(const struct words_list *l, const struct words_options *o,
                               const struct window_span *span, int n_spans, double offset_s,
                               double window_s, double total_s, double before_s)
{
    double least = o->silence_s, whole_s = 30; /* of a window, whatever its content */
    int first = with_words(span, 0, n_spans);
    if (first < n_spans && is_strange(l, &span[first]) && span[first].t0_s > least)
        return (struct words_doubt){0, true, offset_s + span[first].t0_s};
    for (int i = first; i < n_spans; i = with_words(span, i + 1, n_spans)) {
        double t0_s = offset_s + span[i].t0_s, t1_s = offset_s + span[i].t1_s;
        int next = with_words(span, i + 1, n_spans);
        bool more = next < n_spans;
        double next_s = more ? l->word[span[next].word].t0_s : offset_s + window_s;
        bool silent_before = t0_s - before_s > least || t0_s < least || span[i].t0_s < 2;
        bool silent_after = next_s - t1_s > least || (more && is_strange(l, &span[next])) ||
                            whole_s - span[i].t1_s < 2;
        if (is_strange(l, &span[i]) && silent_before && silent_after)
            return (struct words_doubt){
                i, false, total_s - t1_s < least ? total_s : fmax(offset_s + 1, t0_s)};
        before_s = t1_s;
    }
    return (struct words_doubt){n_spans, false, NAN};
}

/* ---- with a model ---- */

struct words {
    struct speech *s;
    struct words_options o;
    struct align *align;
    int row[MOST_ROWS], time[MOST_ROWS];
    float probability[MOST_ROWS]; /* of the token after each row */
    char text[TEXT_BYTES];
};

size_t words_bytes(const struct net_whisper_config *c)
{
    return sizeof(struct words) + align_bytes(c->n_alignment, MOST_ROWS, c->audio_ctx);
}

void words_spaceless(struct words *w, bool spaceless)
{
    w->o.spaceless = spaceless;
}

int words_open(struct arena *a, struct speech *s, const struct words_options *o, struct words **out,
               struct err *e)
{
    const struct net_whisper_config *c = &s->net.config;
    assert(s->net.tape_align >= 0);
    struct words *w = ARENA_NEW(a, struct words, 1, e);
    if (!w) return -1;
    w->s = s;
    w->o = *o;
    *out = w;
    return align_open(a, c->n_alignment, MOST_ROWS, c->audio_ctx, &w->align, e);
}

/* Rows [at, at + n) of the text in one run of the tape. */
static int listen_again(struct words *w, int lane, int at, int n, int n_rows, struct err *e)
{
    struct speech *s = w->s;
    const struct net_whisper_config *c = &s->net.config;
    int sequence = lane * (s->net.shape.sequences / s->net.shape.windows);
    int32_t *history = s->history + (size_t)sequence * (size_t)c->text_ctx;
    for (int i = 0; i < n; i++) {
        int next = at + i + 1 < n_rows ? w->row[at + i + 1] : 0;
        s->heard_token[i] = w->row[at + i];
        s->heard_position[i] = at + i;
        s->heard_sequence[i] = history[at + i] = sequence;
        s->heard_window[i] = lane;
        s->heard_next[i] = next < c->eot ? next : 0;
    }
    *s->n_heard = n;
    TRY(engine_run(s->prepared, s->net.tape_align, e));
    size_t line = (size_t)c->audio_ctx;
    for (int h = 0; h < c->n_alignment; h++) {
        const float *from = s->listened[h] + (size_t)c->alignment[h].head * line;
        for (int i = 0; i < n; i++)
            memcpy(align_row(w->align, h, at + i), from + (size_t)i * (size_t)c->heads * line,
                   line * sizeof *from);
    }
    memcpy(w->probability + at, s->probability, (size_t)n * sizeof *s->probability);
    return 0;
}

/* The text tokens of all spans, at `to`; n_text: how many each has. Returns how many. */
static int gather_text(const struct words *w, const int *token, const struct window_span *span,
                       int n_spans, int *to, int *n_text)
{
    int n = 0;
    for (int i = 0; i < n_spans; i++) {
        n_text[i] = -n;
        for (int k = span[i].from; k < span[i].to; k++)
            if (token[k] < w->s->net.config.eot) to[n++] = token[k];
        n_text[i] += n;
    }
    return n;
}

int words_hear(struct words *w, int lane, const int *sot, int n_sot, const int *token,
               const struct window_span *span, int n_spans, int64_t frames, struct words_heard *out,
               struct err *e)
{
    const struct net_whisper_config *c = &w->s->net.config;
    int n_text[DECODE_MOST], positions = (int)MIN(frames / 2, (int64_t)c->audio_ctx);
    int first = n_sot + 1;
    assert(n_sot < MOST_ROWS - DECODE_MOST - 2);
    memcpy(w->row, sot, (size_t)n_sot * sizeof *sot);
    w->row[n_sot] = c->no_timestamps;
    int n = gather_text(w, token, span, n_spans, w->row + first, n_text), rows = first + n + 1;
    if (n == 0) return 0;
    w->row[rows - 1] = c->eot;
    for (int at = 0; at < rows; at += WHISPER_ALIGN_ROWS)
        TRY(listen_again(w, lane, at, MIN(WHISPER_ALIGN_ROWS, rows - at), rows, e));
    align_times(w->align, rows, n_sot, MAX(positions, 1), w->time);
    for (int i = 0; i <= n; i++) out->time[i] = (int16_t)w->time[i];
    memcpy(out->probability, w->probability + first - 1, (size_t)n * sizeof *w->probability);
    return 0;
}

void words_fit(struct words *w, const struct words_heard *heard, const int *token,
               struct window_span *span, int n_spans, double offset_s, double before_s,
               struct words_list *out)
{
    int n_text[DECODE_MOST];
    int n = gather_text(w, token, span, n_spans, w->row, n_text);
    struct strbuf text;
    strbuf_init(&text, w->text, sizeof w->text);
    words_split(w->s->bpe, w->s->net.config.eot, w->row, n, w->o.spaceless, &text, out);
    words_time(out, &w->o, heard->time, heard->probability);
    words_place(out, span, n_text, n_spans, offset_s, before_s);
}
