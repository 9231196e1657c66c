/* linear and conv1d in f16, for plans that allow it and processors that multiply it (AVX512-FP16):
 * twice as many products a cycle as f32. Compiled once, with -DISA=avx512fp16.
 *
 *     64 lines of x -> halves [64][K]   x   3 panels [K/2][16][2]   -> f16 [8][48][2]
 *                                       every 128 of K added up in f32 -> bias, act, residual -> y
 *
 * A register holds 16 sums of two halves each, over even and over odd elements, so that no f16 sum
 * is longer than 64 products: with K = 1536 a sum's error is 1.2e-3 of its deviation, unchunked
 * 4e-3. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_tile.h"

enum { CHUNK = 128 };

typedef uint16_t half; /* its bits */

struct room {      /* one member's scratch */
    half *x;       /* [FAST_LINES][stride] */
    float *sums;   /* [8][48] */
    int32_t *tile; /* [8][48], pairs of halves */
    float *row;    /* [stride], a line of conv1d's over the edge */
    int64_t stride;
};

static int64_t stride_of(int64_t k)
{
    return ALIGN_UP(k, BASE_LINE) + BASE_LINE; /* lines do not push each other out of the cache */
}

static size_t room_bytes(int64_t k)
{
    size_t lines = (size_t)(FAST_LINES * stride_of(k)) * sizeof(half);
    return ALIGN_UP(lines + (size_t)stride_of(k) * sizeof(float) + 2 * 8 * 48 * 4, 4096);
}

bool cpu_half_linear_fits(const struct plan *p, const struct plan_step *s)
{
    const struct plan_value *w = &p->value[s->in[1]];
    return p->compute == DTYPE_F16 && w->life == PLAN_WEIGHT && !w->as_i8;
}

size_t cpu_half_linear_scratch(const struct plan *p, const struct plan_step *s, int threads)
{
    return (size_t)threads * room_bytes(cpu_value_k(&p->value[s->in[1]]));
}

struct packing {
    const struct plan_value *v;
    half *panels; /* [N up to 48 / 16][K even / 2][16][2], 0 beyond N and K */
    float *row;   /* [threads][K up to 16] */
};

static void pack_rows(void *ctx, struct thread_team *team, int id)
{
    const struct packing *p = ctx;
    int64_t k_count = cpu_value_k(p->v), pairs = (k_count + 1) / 2, from, to;
    float *row = p->row + id * ALIGN_UP(k_count, W);
    thread_share(team, id, p->v->dim[0], CPU_PANEL, &from, &to);
    for (int64_t n = from; n < to; n++) {
        cpu_pack_row(p->v, n, row);
        half *to_pair = p->panels + (n / CPU_PANEL * pairs * CPU_PANEL + n % CPU_PANEL) * 2;
        for (int64_t k = 0; k < k_count; k += W) {
            half line[W];
            vf_store_f16(line, vf_load_n(row + k, k_count - k));
            for (int64_t i = 0; i < ALIGN_UP(MIN(W, k_count - k), 2); i += 2)
                memcpy(to_pair + (k + i) * CPU_PANEL, line + i, 2 * sizeof *line);
        }
    }
}

int cpu_half_linear_prepare(struct cpu_step *s, struct arena *a, struct err *e)
{
    struct cpu_value *w = s->in[1];
    if (w->data) return 0; /* packed by another step */
    size_t k = (size_t)cpu_value_k(w->plan), n_up = ALIGN_UP((size_t)w->plan->dim[0], TILE_COLS);
    struct packing p = {.v = w->plan};
    p.panels = arena_array(a, n_up * ALIGN_UP(k, 2), sizeof *p.panels, BASE_LINE, e);
    if (!p.panels) return -1;
    struct arena_mark mark = arena_here(a);
    p.row = ARENA_NEW(a, float, (size_t)s->threads *ALIGN_UP(k, W), e);
    if (!p.row) return -1;
    thread_run(n_up * k > 1 << 16 ? s->threads : 1, pack_rows, &p);
    arena_rewind(a, mark);
    w->data = p.panels;
    w->rows = w->plan->dim[0];
    return 0;
}

struct product {
    struct fast_lines in;
    const float *bias, *residual;
    float *y;
    const half *w;
    int64_t n;
    enum op_act act;
};

/* sums [8][48] of lines from `line` and columns from `column` on, to y. act is a constant. */
ISA_INLINE void finish_as(const struct product *p, const float *sums, int64_t line, int64_t rows,
                          int64_t column, enum op_act act)
{
    for (int64_t i = 0; i < MIN(TILE_COLS, p->n - column); i += W) {
        int64_t left = p->n - column - i, at = line * p->n + column + i;
        vf bias = p->bias ? vf_load_n(p->bias + column + i, left) : vf_all(0);
        for (int64_t r = 0; r < rows; r++, at += p->n) {
            vf y = vf_act(act, vf_load(sums + r * TILE_COLS + i) + bias);
            if (p->residual) y += vf_load_n(p->residual + at, left);
            vf_store_n(p->y + at, y, left);
        }
    }
}

static void finish(const struct product *p, const float *sums, int64_t line, int64_t rows,
                   int64_t column)
{
    if (p->act == OP_ACT_NONE)
        finish_as(p, sums, line, rows, column, OP_ACT_NONE);
    else if (p->act == OP_ACT_GELU)
        finish_as(p, sums, line, rows, column, OP_ACT_GELU);
    else
        finish_as(p, sums, line, rows, column, OP_ACT_RELU);
}

/* sums [8][48] = 8 lines of halves times three panels. */
static void multiply_tile(const struct room *m, const half *x, const half *w, int64_t pairs)
{
    for (int64_t k = 0; k < pairs; k += CHUNK / 2) {
        tile_f16_3(x + 2 * k, 2 * m->stride, w + k * 2 * CPU_PANEL, pairs * 4 * CPU_PANEL,
                   MIN(CHUNK / 2, pairs - k), m->tile, 4 * TILE_COLS);
        for (int64_t i = 0; i < TILE_ROWS * TILE_COLS; i += W) {
            vf sum = tile_pair_sums(vi_load(m->tile + i));
            vf_store(m->sums + i, k ? sum + vf_load(m->sums + i) : sum);
        }
    }
}

/* Lines [from, to), at most FAST_LINES, times the columns of tiles [first, last). */
static void block(const struct product *p, const struct room *m, int64_t from, int64_t to,
                  int64_t first, int64_t last)
{
    int64_t pairs = (p->in.k + 1) / 2;
    for (int64_t r = from; r < to; r++) {
        const float *x = fast_line_at(&p->in, r, m->row);
        for (int64_t k = 0; k < p->in.k; k += W)
            vf_store_f16(m->x + (r - from) * m->stride + k, vf_load_n(x + k, p->in.k - k));
    }
    for (int64_t j = first; j < last; j++)
        for (int64_t r = 0; r < to - from; r += TILE_ROWS) {
            multiply_tile(m, m->x + r * m->stride, p->w + j * TILE_COLS * 2 * pairs, pairs);
            finish(p, m->sums, from + r, MIN(TILE_ROWS, to - from - r), j * TILE_COLS);
        }
}

int cpu_half_linear_run(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct product p = {.in = fast_lines_of(s),
                        .bias = s->in[2] ? s->in[2]->data : NULL,
                        .residual = s->in[3] ? s->in[3]->data : NULL,
                        .y = s->out[0]->data,
                        .w = s->in[1]->data,
                        .n = s->in[1]->plan->dim[0],
                        .act = s->step->args.act};
    char *base = (char *)s->scratch + (size_t)id * room_bytes(p.in.k);
    struct room m = {.sums = (float *)base,
                     .tile = (int32_t *)base + TILE_ROWS * TILE_COLS,
                     .row = (float *)base + 2 * TILE_ROWS * TILE_COLS,
                     .x = (half *)((float *)base + 2 * TILE_ROWS * TILE_COLS + stride_of(p.in.k)),
                     .stride = stride_of(p.in.k)};
    int64_t from = 0, to = p.in.count, first = 0, last = (p.n + TILE_COLS - 1) / TILE_COLS;
    if (p.in.count >= (int64_t)FAST_LINES * team->n)
        thread_share(team, id, p.in.count, TILE_ROWS, &from, &to);
    else
        thread_share(team, id, last, 1, &first, &last);
    if (first == last) return 0;
    for (int64_t r = from; r < to; r += FAST_LINES)
        block(&p, &m, r, MIN(r + FAST_LINES, to), first, last);
    return 0;
}
