/* Words -> the cues of subtitles: which words stand together, and on which line. Follows
 * openai/whisper utils.py SubtitlesWriter.iterate_result. Unlike there a cue has an end: one of
 * CUE_WORDS words or CUE_BYTES bytes is given out as it is. */
#ifndef JOBS_CUE_H
#define JOBS_CUE_H

#include "base/err.h"
#include "base/str.h"

struct out_word;

#define CUE_WORDS 256
#define CUE_BYTES 4096

struct cue_style {      /* 0: no limit */
    int line_width;     /* characters of a line */
    int line_count;     /* lines of a cue; with both cues go on over the ends of segments */
    int words_per_line; /* words that stand together if line_width says nothing else */
    bool highlight;     /* a cue for every word, see out.c */
};

struct cue_word {
    unsigned short at, n; /* its bytes in text */
    bool line;            /* a new line begins before it */
    double t0_s, t1_s;
};

struct cue { /* zero at first */
    const struct cue_style *style;
    int (*put)(void *ctx, const struct cue *c, struct err *e); /* a whole cue */
    char text[CUE_BYTES];
    struct cue_word word[CUE_WORDS];
    int n;
    size_t bytes;
    bool begun;            /* there was a word, */
    double last_s;         /* which began then */
    int characters, lines; /* of the line at hand; of the cue */
};

/* cue_add: the words of one segment; what is whole goes to c->put. Blank words are left out.
 * cue_flush: gives out what is held. */
int cue_add(struct cue *c, const struct out_word *word, size_t n, void *ctx, struct err *e);
int cue_flush(struct cue *c, void *ctx, struct err *e);

#endif
