/* The op table: names, arity, shape rules, tolerances. See op.def for what each computes. */
#ifndef CORE_OP_H
#define CORE_OP_H

#include "base/err.h"
#include "core/tensor.h"

enum op {
#define OP(name, in_min, in_max, outs, t32, t16, t8, doc) OP_##name,
#include "core/op.def"
#undef OP
    OP_COUNT
};

#define OP_INPUTS  5
#define OP_OUTPUTS 5

enum op_act { OP_ACT_NONE, OP_ACT_GELU /* exact, erf */, OP_ACT_RELU };

struct op_args { /* unused fields are 0 */
    int heads;
    int stride;
    enum op_act act;
    float eps;
    float scale;
    int top;          /* pick: J; nearest: K */
    int watch;        /* pick: token whose raw probability is reported, or -1 */
    int eot;          /* pick: end of text; text tokens are 0..eot-1 */
    bool first, unit; /* pool: the first row instead of the mean; of length 1 */
    bool skew;        /* linear: how x is quantised */
    int time0; /* pick: token of timestamp 0.00, timestamps run from it to V-1; -1: no timestamp
                  rules */
};

struct op_row {
    const char *name;
    int in_min, in_max, out_max;
    float tol_f32, tol_f16, tol_i8;
    const char *doc;
};

const struct op_row *op_row(enum op op);

/* pick's rule per row g, i32 [8]. The caller (the decoding loop) derives it from the tokens sampled
 * so far: [0] OP_RULE_* bits [1] first token of timestamps that may be sampled (all in [time0,
 * this) are banned) [2] last token of timestamps that may be sampled (all after it are banned); V -
 * 1 for no limit [3], [4] two tokens banned in this row (begin suppression: blank and end of text),
 * or -1 [5..7] must be 0 After these and `ban`, if OP_RULE_MASS is set and logsumexp over allowed
 * timestamps > the largest allowed other log-probability, everything below time0 is banned too.
 * Log-probabilities are of what is left after all rules (log-softmax renormalised). chance per row,
 * f32 [2]: temperature (0: the sampled token is the top one) and a number u in [0, 1): the sampled
 * token is the first whose cumulative softmax(logits / temperature) after the rules exceeds u; its
 * log-probability is the one at temperature 1. */
enum {
    OP_RULE_BAN_TEXT = 1 /* 0..eot-1 */,
    OP_RULE_BAN_TIMES = 2,
    OP_RULE_MASS = 4,
    OP_RULE_BAN_EOT = 8,
    OP_RULE_RAW = 16 /* the probability of args.watch before any rule is wanted; else it is 0 */
};
#define OP_RULES 8

struct op_io { /* types and shapes of a step's values, without data; NULL where absent */
    const struct tensor *in[OP_INPUTS], *out[OP_OUTPUTS];
    const struct op_args *args;
};

/* op_check: the shape rule of an op. An error (E_MODEL: weights decide shapes) says which dimension
 * is what and should be what. */
int op_check(enum op op, const struct op_io *io, struct err *e);

#endif
