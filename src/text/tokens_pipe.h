/* A tokenizer as the steps it takes; shared by tokens_read.c, which reads it, and tokens.c. */
#ifndef TEXT_TOKENS_PIPE_H
#define TEXT_TOKENS_PIPE_H

#include "base/json.h"
#include "text/bpe.h"
#include "text/chars.h"
#include "text/charsmap.h"
#include "text/tokens.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

#define TOKENS_STEPS 8
#define TOKENS_FRAME 4
#define TOKENS_ADDED 4096

enum tokens_normal { /* what happens to the text first */
                     NORMAL_BERT,
                     NORMAL_CHARSMAP,
                     NORMAL_FORM,
                     NORMAL_LOWER,
                     NORMAL_ACCENTS,
                     NORMAL_REPLACE,
                     NORMAL_STRIP
};

struct tokens_step {
    enum tokens_normal kind;
    bool clean, ideographs, accents, lower; /* BERT */
    struct charsmap *charsmap;              /* CHARSMAP */
    enum chars_form form;                   /* FORM */
    struct str pattern, content;            /* REPLACE; an empty pattern: two or more spaces */
    bool left, right;                       /* STRIP */
};

enum tokens_model { MODEL_WORDPIECE, MODEL_UNIGRAM, MODEL_BPE };

enum tokens_prepend { PREPEND_NEVER, PREPEND_FIRST, PREPEND_ALWAYS };

struct tokens_added { /* a token that is looked for before anything else */
    struct str content;
    int32_t id;
    bool special, single_word, lstrip, rstrip, normalized;
};

struct tokens {
    struct tokens_step step[TOKENS_STEPS];
    size_t n_steps;
    bool split_bert;             /* at white space and around signs */
    bool split_spaces;           /* at white space */
    bool metaspace;              /* spaces become U+2581, which begins a piece */
    enum tokens_prepend prepend; /* of U+2581; of a space before the bytes of a BPE */
    enum tokens_model model;
    struct wordpiece wordpiece;
    struct unigram *unigram;
    struct bpe *bpe;
    struct tokens_added *added;
    size_t n_added;
    bool first_byte[2][256]; /* of an added token; [normalized] */
    int32_t before[TOKENS_FRAME], after[TOKENS_FRAME];
    size_t n_before, n_after;
    int64_t most;
};

/* tokens_read: fills *t from tokenizer.json. tokens_read_lines: from vocab.txt. */
int tokens_read(struct arena *a, const struct json *root, struct str text, struct tokens *t,
                struct err *e);
int tokens_read_lines(struct arena *a, struct str vocab, bool lower, struct tokens *t,
                      struct err *e);

#endif
