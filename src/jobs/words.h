/* A decoded window -> its words, with when each was said and how likely it is. The text is given to
 * the model once more (the tape "align"), and the heads that follow time say where they listened.
 * Then openai's rules of thumb: punctuation goes to its neighbours, words beside a pause are cut to
 * what words last. Follows faster-whisper 1.2.1 transcribe.py add_word_timestamps, find_alignment,
 * merge_punctuations and what generate_segments does with words; tokenizer.py
 * split_to_word_tokens. */
#ifndef JOBS_WORDS_H
#define JOBS_WORDS_H

#include "jobs/out.h"
#include "jobs/window.h"

struct words_options {
    const char *prepend, *append; /* marks that go to the word after, or before */
    bool spaceless;               /* a language that writes no spaces: every character is a word */
    double silence_s; /* seconds of silence beside words that are hard to believe, from which on
                         they are taken for made up; NAN: nothing is */
};

#define WORDS_PREPEND "\"'“¿([{-"
#define WORDS_APPEND  "\"'.。,，!！?？:：”)]}、"

struct words_list { /* of one text */
    struct out_word word[DECODE_MOST + 1];
    int n;
    double typical_s; /* half of what a word beside a pause may last */
};

/* words_split: the words of text tokens (all below eot): each begins with a space, or is a mark by
 * itself; spaceless: each is whole characters. The bytes of all words are put into `text` one after
 * the other. Fills text and n_tokens of every word. */
void words_split(const struct bpe *b, int eot, const int *token, int n, bool spaceless,
                 struct strbuf *text, struct words_list *out);

/* words_time: gives the words of a list their times, from those of their tokens: time [n + 1] in
 * steps of 0.02 s, probability [n]; then cuts long words beside the end of a sentence and gives
 * punctuation to its neighbours: such a word is left without text and tokens. */
void words_time(struct words_list *l, const struct words_options *o, const int16_t *time,
                const float *probability);

/* words_place: hands the words to the spans their tokens lie in, in their order, leaves the empty
 * ones out, makes all times absolute (offset_s: of the window) and fits them and the spans to each
 * other. n_text: how many text tokens each span has. before_s: where the last word before the
 * window ended. */
void words_place(struct words_list *l, struct window_span *span, const int *n_text, int n_spans,
                 double offset_s, double before_s);

/* words_end: where the last word ends, in absolute seconds; of a window without words its last
 * span's end. */
double words_end(const struct words_list *l, const struct window_span *span, int n_spans,
                 double offset_s);

struct words_doubt { /* what stays of a window whose words are hard to believe */
    int n_spans;
    bool again;    /* nothing of it: it is to be decoded once more, from seek_s on */
    double seek_s; /* where to go on, absolute; NAN: where the window says */
};

/* words_doubt: see words_options.silence_s. window_s, total_s: lengths of the window's content and
 * of the audio; before_s as for words_place. */
struct words_doubt words_doubt(const struct words_list *l, const struct words_options *o,
                               const struct window_span *span, int n_spans, double offset_s,
                               double window_s, double total_s, double before_s);

struct words; /* the above with a model */

/* words_open: scratch in a. s must have been opened for words. words_bytes: about what that is. */
int words_open(struct arena *a, struct speech *s, const struct words_options *o, struct words **out,
               struct err *e);
/* words_spaceless: the language of what comes, see words_options. */
void words_spaceless(struct words *w, bool spaceless);
size_t words_bytes(const struct net_whisper_config *c);

struct words_heard { /* when the tokens of a window were said, and how likely they are */
    int16_t time[DECODE_MOST + 1]; /* steps of 0.02 s; of the end, too */
    float probability[DECODE_MOST];
};

/* words_hear: the text tokens of the spans, of the window in slot `lane` (whose sequences are free
 * for use), given to the model once more. sot, n_sot: the sequence of the prompt without
 * no_timestamps. frames: content, of 10 ms. */
int words_hear(struct words *w, int lane, const int *sot, int n_sot, const int *token,
               const struct window_span *span, int n_spans, int64_t frames, struct words_heard *out,
               struct err *e);

/* words_fit: the words of the same spans, already placed: see words_place. out's texts are valid
 * until the next call. */
void words_fit(struct words *w, const struct words_heard *heard, const int *token,
               struct window_span *span, int n_spans, double offset_s, double before_s,
               struct words_list *out);

#endif
