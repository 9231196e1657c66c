/* The CPU backend: its row for engine, and the contract between its runner (cpu.c), its weight
 * packer (cpu_pack.c) and its kernels (cpu_ref.c, and the fast ones).
 *
 * One tape is one parallel region. Every member of the team walks the same steps; in each step all
 * of them call the same kernel, which takes its part of the rows, columns or heads with
 * thread_share and may meet the others at thread_barrier; the runner puts one barrier after each
 * step. So there is no parallel region inside a kernel, ever.
 *
 *      id 0   step 0 [rows 0..7 ] | step 1 [heads 0..2] | ...
 *      id 1   step 0 [rows 8..15] | step 1 [heads 3..5] | ...
 *                                 ^ barrier
 */
#ifndef CPU_CPU_H
#define CPU_CPU_H

#include "base/thread.h"
#include "core/backend.h"

extern const struct backend cpu_backend;

/* What a kernel needs of the processor. A level includes those before it. */
enum cpu_level {
    CPU_REF,    /* plain C, the oracle */
    CPU_BASE,   /* fast, for any processor the compiler targets by default */
    CPU_AVX2,   /* AVX2, FMA, F16C */
    CPU_AVX512, /* AVX-512 F, BW, DQ, VL and VNNI */
    CPU_FP16,   /* AVX512-FP16, which only plans that allow f16 use */
    CPU_AMX,    /* AMX for i8 and bf16, if the system grants its registers */
    CPU_LEVELS
};

/* In which form a weight lies in memory; each weight is packed once, in one form.
 * A matrix is the w of conv1d and linear, the table of embed and the base of nearest; any other
 * weight is CPU_F32, dense. N is dim[0]. K is the product of the other dimensions, but [N,C,3] of
 * conv1d is stored with the taps outside: k = tap * C + c. CPU_I8   q i8
 * [ceil(N/16)][ceil(K/4)][16][4], the layout of vpdpbusd: element (n, k) lies at
 *            [n/16][k/4][n%16][k%4], padding is 0; scale f32 [N up to 16], value = q * scale[n];
 *            comp i32 [N up to 16] = 128 * sum over k of q(n, k), to be taken off when activations
 *            are shifted to u8 by 128.
 *   CPU_F16  f16 [N][K]     only if the file has f16: exact, and half the bytes
 *   CPU_F32  f32 [N][K]
 *   CPU_OWN  whatever the one kernel that asks for it made in its prepare (oneDNN's layouts) */
enum cpu_form { CPU_I8, CPU_F16, CPU_F32, CPU_OWN, CPU_FORMS };
#define CPU_BIT(form) (1u << (form))
#define CPU_PLAIN     (CPU_BIT(CPU_I8) | CPU_BIT(CPU_F16) | CPU_BIT(CPU_F32))
#define CPU_PANEL     16

struct cpu_value {
    const struct plan_value *plan; /* type, rank, dim, life */
    void *data;         /* 64-byte aligned. Weights: the pack; others: dense, in their slab */
    int64_t rows;       /* how many of dim[0] count in this run */
    enum cpu_form form; /* weights only, like the next two */
    const float *scale; /* CPU_I8 */
    const int32_t *comp;
};

struct cpu_step {
    const struct plan *plan;
    const struct plan_step *step;                      /* op, args, name */
    struct cpu_value *in[OP_INPUTS], *out[OP_OUTPUTS]; /* NULL where absent */
    void *scratch; /* what the kernel's scratch() asked for, 64-byte aligned, shared by the team and
                      by all steps: its contents do not survive the step */
    void *own;     /* what prepare made, or NULL */
    int threads;   /* members of the team in every run */
};

/* A row of the kernel table. Rows of one op stand together, best first; the last one is the
 * reference, which fits everything. Chosen is the first row whose level is allowed, which fits, and
 * which reads the matrix in a form that all other users of that matrix can read too. */
struct cpu_kernel {
    enum op op;
    const char *name; /* "linear_i8_vnni" */
    enum cpu_level level;
    unsigned forms; /* CPU_BITs: in which forms it reads the op's matrix; 0 if the op has none */
    /* fits: may look at types, shapes and args, not at data. NULL: always. */
    bool (*fits)(const struct plan *p, const struct plan_step *s);
    /* scratch: bytes for a team of that size. NULL: none. */
    size_t (*scratch)(const struct plan *p, const struct plan_step *s, int threads);
    /* prepare: once per step, after the matrices of plain forms are packed. Fills s->own. For a
     * CPU_OWN matrix whose data is still NULL it packs that, too (a later step that shares the
     * matrix finds it packed by the same kernel); cpu_pack_row and cpu_pack_quantise give it the
     * numbers. Memory from a. NULL: nothing to do. */
    int (*prepare)(struct cpu_step *s, struct arena *a, struct err *e);
    /* release: gives back what prepare took from elsewhere than the arena. NULL: nothing. */
    void (*release)(struct cpu_step *s);
    /* run: called by all members at the same time. Reads and writes live rows only. Every member
     * that reaches a barrier must do so whatever its share. 0, or -1 if a library failed. */
    int (*run)(const struct cpu_step *s, struct thread_team *team, int id);
};

/* The table (cpu_table.c). */
const struct cpu_kernel *cpu_table_rows(size_t *n);

/* cpu_level_best: what this processor and system offer. cpu_level_name: "avx512". */
enum cpu_level cpu_level_best(void);
const char *cpu_level_name(enum cpu_level level);

/* cpu_pack_matrix_input: which input of the op is its matrix, or -1. */
int cpu_pack_matrix_input(enum op op);
/* cpu_pack_forms: CPU_BITs of the forms this weight may take (CPU_OWN always among them). */
unsigned cpu_pack_forms(const struct plan_value *v);
/* cpu_pack_weight: packs v into out in a plain form, by a team of that size. Errors: E_NOMEM;
 * E_MODEL if its rows are too wide for i8. */
int cpu_pack_weight(struct arena *a, const struct plan_value *v, enum cpu_form form, int threads,
                    struct cpu_value *out, struct err *e);
/* cpu_pack_bytes: what that takes (CPU_OWN: as f32, the most any layout of ours holds). */
size_t cpu_pack_bytes(const struct plan_value *v, enum cpu_form form);
/* cpu_pack_row: row n of the stacked parts as f32 [K], in the order of k given above. */
void cpu_pack_row(const struct plan_value *v, int64_t n, float *out);
/* cpu_pack_to_i8: the one rule of quantising, for weights and activations: q = rint(row * (127 /
 * max|row|)) in f32; returns max|row| / 127, what a step of q is worth, or 1 for a row of zeros, as
 * CTranslate2 does. */
float cpu_pack_to_i8(const float *row, int64_t k, int8_t *out);
/* cpu_pack_quantise: row n of the parts as i8 [K]; returns its scale. A part that is i8 already is
 * taken as it is. row: room for K floats. */
float cpu_pack_quantise(const struct plan_value *v, int64_t n, float *row, int8_t *out);
/* cpu_pack_read: row n of a packed matrix (not CPU_OWN) as f32 [K]; cpu_pack_read_i8: of a CPU_I8
 * one as it is. */
void cpu_pack_read(const struct cpu_value *w, int64_t n, float *out);
void cpu_pack_read_i8(const struct cpu_value *w, int64_t n, int8_t *out);

/* cpu_value_width: last dimension. cpu_value_lines: live rows of that width. cpu_value_k: K of a
 * weight. */
static inline int64_t cpu_value_width(const struct cpu_value *v)
{
    return v->plan->dim[v->plan->rank - 1];
}

static inline int64_t cpu_value_lines(const struct cpu_value *v)
{
    int64_t lines = v->plan->rank > 1 ? v->rows : 1;
    for (int i = 1; i < v->plan->rank - 1; i++) lines *= v->plan->dim[i];
    return lines;
}

/* cpu_value_scales: of a cache of i8, the scales from row `row` of its last dimension on; of others
 * there are none, NULL. */
static inline float *cpu_value_scales(const struct cpu_value *v, int64_t row)
{
    if (v->plan->type != DTYPE_I8) return NULL;
    return (float *)((char *)v->data + plan_scales(v->plan)) + row;
}

static inline int64_t cpu_value_k(const struct plan_value *v)
{
    int64_t k = 1;
    for (int i = 1; i < v->rank; i++) k *= v->dim[i];
    return k;
}

#endif
