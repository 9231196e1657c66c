/* A plan is a tape, not a graph: what a net does, as steps in the order they run, on one device.
 *
 * A plan has values and one or more tapes over them (a speech model: "mel", "encode", "step").
 * A value lives in one of five ways. A weight is read-only, from a model file, and packed once by
 * the device. A state is kept between runs of any tape (the caches of attention) and zero at first.
 * An input is written by the caller before a run and lies where the caller can reach it; an output
 * is read by the caller after a run. A step's value lives only between its first and last use
 * within one tape; planmem lays these over each other.
 *
 * An input may be kept: a device with a memory of its own fetches it again only after the caller
 * has asked for its address. A state may be sparse: most of it is never used, and the device shall
 * not make it resident whole. Values can have live rows: dim[0] is the most, and an i32 scalar
 * input tells how many count in this run; that is how one tape serves every decoding step. Control
 * flow (loops over tokens, beams, ladders) is the caller's, never the tape's.
 *
 * Everything of a plan lives in the arena given to plan_open. */
#ifndef CORE_PLAN_H
#define CORE_PLAN_H

#include "base/arena.h"
#include "base/str.h"
#include "core/op.h"

enum plan_life { PLAN_WEIGHT, PLAN_STATE, PLAN_INPUT, PLAN_OUTPUT, PLAN_STEP };

#define PLAN_PARTS 3
#define PLAN_TAPES 8

struct plan_value {
    char name[64];
    enum plan_life life;
    enum dtype type;
    int rank;
    int64_t dim[TENSOR_RANK];
    bool kept;                      /* INPUT: see above */
    bool sparse;                    /* STATE: see above */
    int live;                       /* value that holds how many of dim[0] count, or -1 for all */
    struct tensor part[PLAN_PARTS]; /* WEIGHT: the tensors that, stacked along dim 0, make it; one
                                       in most cases. Of blocks, or of several types, the value
                                       is f32 */
    int n_parts;
    bool as_i8; /* WEIGHT: the device shall hold it as i8 with a scale per row, quantising if the
                   parts are not */
    /* filled by plan_finish */
    int tape;        /* STEP: the tape it belongs to, else -1 */
    int first, last; /* STEP: steps of first and last use */
    size_t bytes;    /* of the dense value; for as_i8 weights rows * columns + rows * 4; for i8
                        STATE plan_scales + 4 * rows of the last dimension */
    size_t offset;   /* INPUT, OUTPUT, STEP: in the step slab; STATE: in the state slab */
};

struct plan_step {
    enum op op;
    int in[OP_INPUTS], out[OP_OUTPUTS]; /* values, -1 where absent */
    struct op_args args;
    char name[64]; /* "enc.2.fc1", for dumps, profiles and plan compare */
};

struct plan_tape {
    char name[16];
    int from, to; /* its steps are plan->step[from .. to) */
};

struct plan {
    struct arena *arena;
    struct plan_value *value;
    int n_values;
    struct plan_step *step;
    int n_steps;
    struct plan_tape tape[PLAN_TAPES];
    int n_tapes;
    bool finished;
    enum dtype compute; /* F16: a backend may multiply in f16, and a GPU hold matrices so; F32 (as
                           plan_open leaves it): it may not */
    size_t weight_bytes, state_bytes, step_bytes; /* filled by plan_finish */
    size_t sparse_from; /* filled by plan_finish: from here on the state slab is sparse */
};

int plan_open(struct arena *a, struct plan **out, struct err *e);

/* Adding values. Each returns the value's number (>= 0), or -1 with *e filled. dims are checked:
 * positive, product in range. */
int plan_weight(struct plan *p, const char *name, const struct tensor *parts, int n_parts,
                bool as_i8, struct err *e);
int plan_state(struct plan *p, const char *name, enum dtype type, int rank, const int64_t *dim,
               struct err *e);
/* plan_sparse: of a state; see above. */
void plan_sparse(struct plan *p, int value);
int plan_input(struct plan *p, const char *name, enum dtype type, int rank, const int64_t *dim,
               int live, struct err *e);
/* plan_keep: of an input that is large and changes seldom; see above. */
void plan_keep(struct plan *p, int value);
int plan_output(struct plan *p, const char *name, enum dtype type, int rank, const int64_t *dim,
                int live, struct err *e);
int plan_temp(struct plan *p, const char *name, enum dtype type, int rank, const int64_t *dim,
              int live, struct err *e);

/* plan_begin: the following steps belong to a new tape of this name. Returns its number or -1. */
int plan_begin(struct plan *p, const char *name, struct err *e);

/* PLAN_IDS: how many values, and which: two arguments of a function that adds steps. */
#define PLAN_IDS(...)                                          \
    (int)(sizeof((int[]){__VA_ARGS__}) / sizeof(int)), (int[]) \
    {                                                          \
        __VA_ARGS__                                            \
    }

/* plan_add: appends a step. in and out: arrays of n values, -1 for an absent optional one. Checks
 * arity, types and shapes against the op table; an error names the step, the op and the two numbers
 * that do not fit (E_MODEL: weights decide shapes). */
int plan_add(struct plan *p, enum op op, const char *name, const int *in, int n_in, const int *out,
             int n_out, const struct op_args *args, struct err *e);

/* plan_finish: lifetimes, offsets, bytes. After it the plan is read-only. Errors: E_MODEL for a
 * step value read before written. */
int plan_finish(struct plan *p, struct err *e);

/* plan_scales: of a STATE of type i8: where its scales start, in bytes: f32, one per row of the
 * last dimension, value = q * scale. */
size_t plan_scales(const struct plan_value *v);

int plan_find(const struct plan *p, const char *value_name); /* or -1 */
int plan_find_tape(const struct plan *p, const char *name);  /* or -1 */

/* plan_dump: one line per value and step. */
void plan_dump(const struct plan *p, struct strbuf *out);

#endif
