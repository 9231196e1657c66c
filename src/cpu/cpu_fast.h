/* The fast kernels: which there are, and how much scratch each takes. Their texts are the *_isa.c
 * files, compiled once per level; the table of kernels (cpu_table.c) names them all. */
#ifndef CPU_CPU_FAST_H
#define CPU_CPU_FAST_H

#include "cpu/cpu.h"
#include <string.h>

/* Linear and conv1d cut their lines into blocks of so many or more, which stay in a cache while all
 * columns of the product are formed. */
#define FAST_LINES 64

/* What one member needs for products of that many lines at a time with K inner elements, in bytes
 * from its part's start. */
struct fast_matrix {
    size_t factor, least, quant, panels, rows, bytes;
    int64_t stride; /* elements between lines of quant; not a multiple of a page's part, so that
                       lines do not push each other out of the cache */
};

/* The lines that linear and conv1d multiply: rows of x, or its windows of three positions. */
struct fast_lines {
    const float *x;
    int64_t count, k;
    /* conv1d: positions in and out of each window, its stride and channels; channels 0: linear */
    int64_t t_in, t_out, stride, channels;
};

static inline struct fast_lines fast_lines_of(const struct cpu_step *s)
{
    const struct cpu_value *x = s->in[0], *y = s->out[0];
    int64_t k = cpu_value_k(s->in[1]->plan);
    if (s->step->op != OP_conv1d)
        return (struct fast_lines){.x = x->data, .count = cpu_value_lines(x), .k = k};
    return (struct fast_lines){.x = x->data,
                               .count = x->rows * y->plan->dim[1],
                               .k = k,
                               .t_in = x->plan->dim[1],
                               .t_out = y->plan->dim[1],
                               .stride = s->step->args.stride,
                               .channels = x->plan->dim[2]};
}

/* Line `line` as K floats in one piece: where it lies, or copied to `copy` with zeros for what lies
 * outside of the window. */
static inline const float *fast_line_at(const struct fast_lines *l, int64_t line, float *copy)
{
    if (!l->channels) return l->x + line * l->k;
    int64_t t = line % l->t_out * l->stride - 1;
    const float *x = l->x + (line / l->t_out * l->t_in + t) * l->channels;
    if (t >= 0 && t + 3 <= l->t_in) return x;
    for (int tap = 0; tap < 3; tap++) {
        float *to = copy + tap * l->channels;
        size_t bytes = (size_t)l->channels * sizeof *to;
        if (t + tap >= 0 && t + tap < l->t_in)
            memcpy(to, x + tap * l->channels, bytes);
        else
            memset(to, 0, bytes);
    }
    return copy;
}

/* As many lines as keep a block of activations in 8 bits within half a megabyte, where the second
 * cache has two (AVX-512). */
static inline int64_t fast_quant_lines(int64_t k)
{
    return MAX(FAST_LINES, MIN(512, (1 << 19) / k / 32 * 32));
}

static inline struct fast_matrix fast_matrix_layout(int64_t k, int64_t lines)
{
    struct fast_matrix m;
    size_t up = (size_t)ALIGN_UP(k, BASE_LINE);
    m.stride = (int64_t)up + BASE_LINE;
    m.factor = 32 * 48 * sizeof(float); /* first lie the sums of one tile */
    m.least = m.factor + (size_t)lines * sizeof(float);
    m.quant = m.least + (size_t)lines * sizeof(float);
    m.panels = m.quant; /* a kernel needs one of the two */
    size_t quant = (size_t)(lines * m.stride) * sizeof(int16_t), panels = 48 * up * sizeof(float);
    m.rows = m.quant + MAX(quant, panels);
    m.bytes = ALIGN_UP(m.rows + 8 * up * sizeof(float), 4096);
    return m;
}

/* Attention of the encoder: queries taken at a time, and how scratch is cut. The keys and values of
 * one head, turned into panels, are shared by the team; there are two such places, so that a head
 * can be made ready while others still read the one before. */
#define FAST_QUERIES 64

struct fast_attention {
    int64_t t_up, d_up;          /* positions in whole tiles of 48; channels in pairs of panels */
    int64_t line;                /* floats between rows of scores */
    size_t keys, values, shared; /* floats of one head's keys and values; of both places */
    size_t query, out, part;     /* floats from a member's part: scores come first; whole part */
};

static inline struct fast_attention fast_attention_layout(int64_t t_count, int64_t d_count)
{
    struct fast_attention m;
    m.t_up = ALIGN_UP(t_count, 48);
    m.d_up = ALIGN_UP(d_count, 32);
    m.line = m.t_up + 16;
    m.keys = (size_t)(m.t_up * d_count);
    m.values = (size_t)(t_count * m.d_up);
    m.shared = ALIGN_UP(2 * (m.keys + m.values), 1024);
    m.query = (size_t)(FAST_QUERIES * m.line);
    m.out = m.query + (size_t)(FAST_QUERIES * ALIGN_UP(d_count, 16));
    m.part = ALIGN_UP(m.out + (size_t)(FAST_QUERIES * m.d_up), 1024);
    return m;
}

/* Packed sequences: a member's keys, values and part, for the longest there can be. */
static inline size_t fast_range_floats(const struct fast_attention *m)
{
    return ALIGN_UP(m->keys + m->values + m->part, 1024);
}

struct fast_range { /* of attnrange: one head of one sequence */
    const float *q; /* of its first position; keys follow C floats on, values 2C, positions 3C */
    float *out;     /* and its result; positions C on */
    const float *distance; /* bias of distance 0; NULL: there is none */
    int64_t t_count;
};

/* fast_range_of: the i-th, sequence i / heads. */
static inline struct fast_range fast_range_of(const struct cpu_step *s, int64_t i)
{
    const struct cpu_value *qkv = s->in[0], *bias = s->in[2];
    int64_t width = qkv->plan->dim[1], c_count = width / 3, heads = s->step->args.heads;
    const int32_t *range = (const int32_t *)s->in[1]->data + i / heads * 2;
    int64_t h = i % heads, d = h * (c_count / heads), line = bias ? bias->plan->dim[1] : 0;
    return (struct fast_range){
        .q = (const float *)qkv->data + range[0] * width + d,
        .out = (float *)s->out[0]->data + range[0] * c_count + d,
        .distance = bias ? (const float *)bias->data + h * line + line / 2 : NULL,
        .t_count = range[1],
    };
}

/* The same in f16 (cpu_half.c), for heads whose channels fill pairs of panels. */
struct fast_half {
    int64_t t_up, t_even;          /* positions in pairs of panels; an even number of them */
    int64_t line;                  /* scores, of two halves each, between rows of them */
    size_t keys;                   /* halves of one head's keys; its values follow */
    size_t shared;                 /* bytes of both places */
    size_t query, sum, tile, bias; /* bytes from a member's part: scores come first */
    size_t part;
};

static inline struct fast_half fast_half_layout(int64_t t_count, int64_t d_count)
{
    struct fast_half m;
    m.t_up = ALIGN_UP(t_count, 32);
    m.t_even = ALIGN_UP(t_count, 2);
    m.line = m.t_up + 16;
    m.keys = (size_t)(m.t_up * d_count);
    m.shared = 2 * ALIGN_UP((m.keys + (size_t)(m.t_even * d_count)) * sizeof(uint16_t), 4096);
    m.query = (size_t)(FAST_QUERIES * m.line) * sizeof(float);
    m.sum = m.query + (size_t)(FAST_QUERIES * d_count) * sizeof(uint16_t);
    m.tile = m.sum + (size_t)(FAST_QUERIES * d_count) * sizeof(float);
    m.bias = m.tile + 8 * 64 * sizeof(uint16_t);
    m.part = ALIGN_UP(m.bias + (size_t)(FAST_QUERIES + m.t_up + 16) * sizeof(uint16_t), 4096);
    return m;
}

/* Packed sequences in f16: bytes of a member's part, and its keys and values behind it. */
static inline size_t fast_half_range(const struct fast_half *m)
{
    return m->part + m->shared / 2;
}

/* The same by tile products of bf16 (cpu_amx.c). */
#define FAST_TILE_KEYS  512                   /* positions at a time */
#define FAST_TILE_LINE  (FAST_TILE_KEYS + 16) /* floats between rows of scores */
#define FAST_TILE_PROBS (FAST_TILE_KEYS + 32) /* bf16 between rows of their powers */

struct fast_tiles {
    int64_t t_up;  /* positions in whole tiles of 32 */
    size_t values; /* bf16 of one head's keys and their lower parts; its values follow */
    size_t head;   /* bytes of all that */
    size_t score2, prob, query, sum, part; /* bytes from a member's part: scores come first */
};

static inline struct fast_tiles fast_tiles_layout(int64_t t_count, int64_t d_count)
{
    struct fast_tiles m;
    m.t_up = ALIGN_UP(t_count, 32);
    m.values = 2 * (size_t)(m.t_up * d_count);
    m.head = ALIGN_UP(3 * (size_t)(m.t_up * d_count) * sizeof(uint16_t), 4096);
    m.score2 = 32 * FAST_TILE_LINE * sizeof(float);
    m.prob = 2 * m.score2;
    m.query = m.prob + 32 * FAST_TILE_PROBS * sizeof(uint16_t);
    m.sum = m.query + 2 * 32 * (size_t)d_count * sizeof(uint16_t);
    m.part = ALIGN_UP(m.sum + 32 * (size_t)d_count * sizeof(float), 4096);
    return m;
}

/* Attention of the decoder: rows of one window that share each read of its keys. Floats of scores
 * that a member needs, to the audio and to what was said; rows of scores lie `line` apart. */
#define FAST_ROWS 6

static inline int64_t fast_cross_line(int64_t t_count)
{
    return ALIGN_UP(t_count, 64) + 16;
}

/* Behind the scores weights of 16 bits, if the caches are of i8. */
static inline size_t fast_cross_floats(int64_t t_count, int64_t d_count)
{
    int64_t weights = ALIGN_UP(MAX(t_count, d_count), 16) / 2;
    return ALIGN_UP((size_t)(FAST_ROWS * (fast_cross_line(t_count) + weights)), 1024);
}

static inline size_t fast_self_floats(int64_t p_count)
{
    return ALIGN_UP((size_t)p_count, 1024);
}

/* pick: blocks of columns of a row of logits. Of each block is noted what it has on either side of
 * the first timestamp ([0] before it, [1] timestamps) and at all before any rule. By blocks and not
 * by shares of members, so that the sums are the same bits whoever forms them. */
#define FAST_BLOCK 1024
enum {
    FAST_MOST,         /* the largest of either side */
    FAST_SUM = 2,      /* sum of exp(x - that) of either side */
    FAST_RAW_MOST = 4, /* the same of all, before any rule */
    FAST_RAW_SUM,
    FAST_NOTES
};

struct fast_best {
    float value;
    int32_t token;
};

/* Scratch: notes [G][FAST_NOTES][blocks]; then the best of each member, [threads][G][2][top]. */
struct fast_pick {
    int64_t blocks;
    size_t notes, best; /* bytes of all notes; of one member's best of one row */
    size_t bytes;
};

static inline struct fast_pick fast_pick_layout(int64_t g_count, int64_t v_count, int64_t top,
                                                int threads)
{
    struct fast_pick m;
    m.blocks = (v_count + FAST_BLOCK - 1) / FAST_BLOCK;
    m.notes = ALIGN_UP((size_t)(g_count * FAST_NOTES * m.blocks) * sizeof(float), BASE_LINE);
    m.best = ALIGN_UP(2 * (size_t)top * sizeof(struct fast_best), BASE_LINE);
    m.bytes = m.notes + (size_t)g_count * (size_t)threads * m.best;
    return m;
}

/* logmel: frames of 400 samples every 160, 201 bins. A real transform of 400 is a complex one of
 * 200 and one more step. Tables made by prepare, see cpu_fast.c. */
#define FAST_FRAME 400
#define FAST_HOP   160
#define FAST_HALF  200
#define FAST_BINS  201

struct fast_mel {
    float window[FAST_FRAME];                     /* periodic Hann */
    float turn_re[FAST_HALF], turn_im[FAST_HALF]; /* exp(-2 pi i k / 200) */
    float last_re[FAST_HALF], last_im[FAST_HALF]; /* exp(-2 pi i k / 400) */
};

/* Floats of scratch: each member's place for the transform, 4 x 200 vectors of at most 16 lanes and
 * 201 powers; then a maximum for each member and window; then first and last bin of each band. */
static inline size_t fast_mel_floats(void)
{
    return 4 * FAST_HALF * 16 + ALIGN_UP(FAST_BINS, 16) * 16;
}

/* nearest: of each member the sums of a tile, and for every query a list and what is known of it,
 * bytes from its part's start; behind all parts the queries in i8, whole tiles of them. */
#define FAST_TOP_ROWS 32 /* queries of a tile, at most */

struct fast_top {
    size_t sums, lists, best, part, shared, bytes;
    size_t narrow, plain; /* bytes of a query in i8, and of its plain form at the end of these */
};

static inline struct fast_top fast_top_layout(int64_t q_count, int64_t c_count, int64_t top,
                                              int threads)
{
    struct fast_top m;
    size_t queries = (size_t)q_count;
    m.sums = 0;
    m.lists = FAST_TOP_ROWS * 48 * sizeof(int32_t);
    m.best = m.lists + ALIGN_UP(queries * (size_t)top * 2 * sizeof(float), BASE_LINE);
    m.part = ALIGN_UP(m.best + queries * 32, 4096);
    m.shared = (size_t)threads * m.part;
    m.plain = ALIGN_UP((size_t)c_count, BASE_LINE);
    m.narrow = BASE_LINE + m.plain * (sizeof(int16_t) + 1);
    m.bytes = m.shared + ALIGN_UP(queries, (size_t)FAST_TOP_ROWS) * m.narrow;
    return m;
}

/* nearest: its base in i8, made by prepare. */
struct fast_base {
    const int8_t *data; /* as CPU_I8 */
    const float *scale; /* [N up to 16], like all */
    const int32_t *comp;
    const float *norm; /* length of a row, at least */
    const float *off;  /* how far its i8 form may be from it */
};

/* lstm: its weights turned into panels of 16 channels. In a panel stand, for each k, the four gates
 * of these channels, so that a step goes through them from front to back: w(gate C + 16 p + i, k)
 * ->  [p][k][gate][i]                    beyond C: 0 */
#define FAST_GATES 4
#define FAST_PANEL 16

/* cpu_fast_NAME: bytes of scratch for the kernels of that op (see cpu_kernel.scratch). matrix: of
 * linear and conv1d. */
size_t cpu_fast_matrix(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_attention(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_nearest(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_attnrange(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_half(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_half_range(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_tiles(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_tiles_range(const struct plan *p, const struct plan_step *s, int threads);
/* cpu_fast_half_fits: whether the plan allows f16 and the heads have the shape. */
bool cpu_fast_half_fits(const struct plan *p, const struct plan_step *s);
#if WITH_FP16
int cpu_half_attention(const struct cpu_step *s, struct thread_team *team, int id);
int cpu_half_attnrange(const struct cpu_step *s, struct thread_team *team, int id);
bool cpu_half_linear_fits(const struct plan *p, const struct plan_step *s);
size_t cpu_half_linear_scratch(const struct plan *p, const struct plan_step *s, int threads);
int cpu_half_linear_prepare(struct cpu_step *s, struct arena *a, struct err *e);
int cpu_half_linear_run(const struct cpu_step *s, struct thread_team *team, int id);
#endif
size_t cpu_fast_attnself(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_attncross(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_pick(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_logmel(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_seed(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_lloyd(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_spread(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_project(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_gram(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_eigen(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_lstm(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_density(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_near(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_apart(const struct plan *p, const struct plan_step *s, int threads);
size_t cpu_fast_estep(const struct plan *p, const struct plan_step *s, int threads);

/* cpu_fast_logmel_prepare: fills s->own with a struct fast_mel from a. */
int cpu_fast_logmel_prepare(struct cpu_step *s, struct arena *a, struct err *e);

/* cpu_fast_nearest_prepare: fills s->own with a struct fast_base. */
int cpu_fast_nearest_prepare(struct cpu_step *s, struct arena *a, struct err *e);
/* cpu_fast_nearest_kept: the bytes that takes, beside the base as it is. */
size_t cpu_fast_nearest_kept(const struct plan *p, const struct plan_step *s);

/* cpu_fast_lstm_prepare: fills s->own with the weights in panels, see FAST_GATES. */
int cpu_fast_lstm_prepare(struct cpu_step *s, struct arena *a, struct err *e);

/* The kernels. Each is called as cpu.h says; what it computes is said in op.def. */
#define CPU_FAST_KERNEL(name)                                                    \
    int name##_base(const struct cpu_step *s, struct thread_team *team, int id); \
    int name##_avx2(const struct cpu_step *s, struct thread_team *team, int id); \
    int name##_avx512(const struct cpu_step *s, struct thread_team *team, int id)
CPU_FAST_KERNEL(cpu_mel_logmel);
CPU_FAST_KERNEL(cpu_vec_melnorm);
CPU_FAST_KERNEL(cpu_matrix_conv1d);
CPU_FAST_KERNEL(cpu_vec_addpos);
CPU_FAST_KERNEL(cpu_vec_layernorm);
CPU_FAST_KERNEL(cpu_matrix_linear);
#if WITH_AMX
int cpu_matrix_linear_amx(const struct cpu_step *s, struct thread_team *team, int id);
int cpu_matrix_conv1d_amx(const struct cpu_step *s, struct thread_team *team, int id);
int cpu_top_nearest_amx(const struct cpu_step *s, struct thread_team *team, int id);
int cpu_amx_attention(const struct cpu_step *s, struct thread_team *team, int id);
int cpu_amx_attnrange(const struct cpu_step *s, struct thread_team *team, int id);
#endif
CPU_FAST_KERNEL(cpu_attn_attention);
CPU_FAST_KERNEL(cpu_attn_attnrange);
CPU_FAST_KERNEL(cpu_vec_pool);
CPU_FAST_KERNEL(cpu_top_nearest);
CPU_FAST_KERNEL(cpu_vec_crosskv);
CPU_FAST_KERNEL(cpu_vec_embed);
CPU_FAST_KERNEL(cpu_attn_attnself);
CPU_FAST_KERNEL(cpu_attn_attncross);
CPU_FAST_KERNEL(cpu_vec_gather);
CPU_FAST_KERNEL(cpu_pick_pick);
CPU_FAST_KERNEL(cpu_vec_magnitude);
CPU_FAST_KERNEL(cpu_lstm_lstm);
CPU_FAST_KERNEL(cpu_pick_probe);
CPU_FAST_KERNEL(cpu_rows_seed);
CPU_FAST_KERNEL(cpu_rows_lloyd);
CPU_FAST_KERNEL(cpu_rows_spread);
CPU_FAST_KERNEL(cpu_rows_project);
CPU_FAST_KERNEL(cpu_sym_gram);
CPU_FAST_KERNEL(cpu_sym_eigen);
CPU_FAST_KERNEL(cpu_density_density);
CPU_FAST_KERNEL(cpu_pairs_near);
CPU_FAST_KERNEL(cpu_pairs_apart);
CPU_FAST_KERNEL(cpu_mix_estep);
CPU_FAST_KERNEL(cpu_mix_diffuse);

/* cpu_quant_panel: 16 rows of weights, f32 or f16, as one panel of CPU_I8 with their scales and
 * comps. room: 16 lines of K up to a multiple of 64. Which level does it changes no number. */
#define CPU_FAST_QUANT(name)                                                             \
    void name(const void *const row[CPU_PANEL], int64_t k_count, bool f16, int8_t *room, \
              int8_t *panel, float *scale, int32_t *comp)
CPU_FAST_QUANT(cpu_quant_panel_base);
CPU_FAST_QUANT(cpu_quant_panel_avx2);
CPU_FAST_QUANT(cpu_quant_panel_avx512);

/* cpu_fast_peak: the level's loop of cpu_peak_isa.c, or NULL. */
double (*cpu_fast_peak(enum cpu_level level))(int64_t turns);
double cpu_peak_i8_base(int64_t turns);
double cpu_peak_i8_avx2(int64_t turns);
double cpu_peak_i8_avx512(int64_t turns);
double cpu_peak_i8_amx(int64_t turns);

#endif
