/* Sentence encoders written as a plan: BERT (MiniLM, bge, e5, gte), MPNet, RoBERTa and XLM-R.
 * Sequences of tokens lie one after the other, without padding; what becomes of one does not depend
 * on the others. */
#ifndef NETS_NET_SENTENCE_H
#define NETS_NET_SENTENCE_H

#include "core/plan.h"
#include "load/load.h"

enum net_sentence_family { SENTENCE_BERT, SENTENCE_MPNET, SENTENCE_ROBERTA };

struct net_sentence_config {
    enum net_sentence_family family;
    int width, heads, layers, ffn, vocab;
    int positions;  /* rows of the model's position table */
    int position0;  /* row of the first token: 2 of MPNet and RoBERTa */
    int types;      /* rows of the table of token types; 0: it has none */
    int max_tokens; /* of a text, special tokens included, as the model was trained */
    float eps;
    enum op_act act;
    bool first;      /* the vector is that of the first token; else the mean of all */
    bool lower_case; /* vocab.txt: fold case and accents */
};

struct net_sentence_source {            /* where weights come from */
    const struct load_weights *weights; /* or NULL: */
    bool hashed; /* made by tensor_hash (tests); else shapes alone, for `lode plan` */
};

struct net_sentence_shape { /* how large the plan is made */
    int rows;               /* most tokens of a run, of all its texts */
    int texts;              /* most texts of a run */
    int max_tokens;         /* of a text; at most what the config says */
    bool i8;                /* weights of products as i8 */
    bool skew;              /* and what is multiplied by them skewed, see linear: CPU only */
    enum dtype compute;     /* F16: a GPU may multiply in f16; see struct plan */
    bool unit;              /* vectors of length 1 */
};

struct net_sentence { /* the plan's doors: numbers of values and tapes */
    struct net_sentence_config config;
    struct net_sentence_shape shape;
    int tape;
    int n_rows, token, position; /* i32 [], [R], [R]; a position counts from 0 within its text */
    int n_texts, range;          /* i32 [], [S,2]: first row and rows of each text */
    int vector;                  /* f32 [S, width] */
};

/* net_sentence_config: from config.json and what sentence-transformers adds to it (load_side), held
 * against the shapes of the weights. Errors: E_MODEL (not a sentence encoder, a module or setting
 * that lode does not know, sizes that do not fit), E_IO, E_NOMEM. */
int net_sentence_config(struct arena *a, const struct load_weights *w,
                        struct net_sentence_config *c, struct err *e);

/* net_sentence_is: whether config.json says that this is one of these families. */
bool net_sentence_config_known(struct arena *a, const struct load_weights *w);

/* net_sentence_named: the published sizes of a model by the name users type; false if unknown. */
bool net_sentence_named(const char *name, struct net_sentence_config *c);

/* net_sentence_plan: makes one plan in arena a. Errors: E_MODEL (a tensor missing, of a wrong
 * shape, or one that no such model has: named). */
int net_sentence_plan(struct arena *a, const struct net_sentence_source *src,
                      const struct net_sentence_config *c, const struct net_sentence_shape *s,
                      struct plan **plan, struct net_sentence *net, struct err *e);

#endif
