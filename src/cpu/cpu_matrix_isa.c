/* Products with weights: linear and conv1d.
 *
 *     lines of x ----> quantised, in blocks -------> 8 x 48 sums ----> scale, bias, activation,
 *                      (i8 weights only)             in L1             residual ----> y
 *
 * Many lines: each member takes its share of them and all columns; weights are read once per block
 * of lines. Few lines (decoding): each member takes its share of the columns and all lines, so that
 * every weight is read from memory once, by one core. Nobody waits for anybody in either case.
 *
 * Lines of conv1d are its windows of three positions: with time outside and channels inside, a
 * window lies in one piece, and only the windows over the edge are copied. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_tile.h"
#if defined __AMX_INT8__
#include "cpu/cpu_amx.h"
#endif

#define QUANT_LINES(k) (W == 16 ? fast_quant_lines(k) : FAST_LINES)

struct product {
    struct fast_lines in;
    const float *bias, *residual;
    float *y;
    const struct cpu_value *w;
    int64_t n;
    enum op_act act;
    bool skew;
};

struct room { /* one member's scratch, see fast_matrix_layout */
    void *sums;
    float *factor, *least, *panels, *rows;
    quant_t *quant;
    int64_t stride;
};

static struct room room_of(const struct cpu_step *s, const struct product *p, int id)
{
    struct fast_matrix m = fast_matrix_layout(p->in.k, QUANT_LINES(p->in.k));
    char *base = (char *)s->scratch + (size_t)id * m.bytes;
    return (struct room){.sums = base,
                         .factor = (float *)(base + m.factor),
                         .least = (float *)(base + m.least),
                         .panels = (float *)(base + m.panels),
                         .rows = (float *)(base + m.rows),
                         .quant = (quant_t *)(base + m.quant),
                         .stride = m.stride};
}

/* Eight lines from `line` on, *lda apart: where they lie, or copied to `copy`. Those beyond the
 * last are whatever `copy` held. */
static const float *lines_at(const struct product *p, int64_t line, float *copy, int64_t *lda)
{
    bool whole = line + TILE_ROWS <= p->in.count;
    if (whole && !p->in.channels) {
        *lda = p->in.k;
        return p->in.x + line * p->in.k;
    }
    if (whole) {
        int64_t t = line % p->in.t_out;
        if (t > 0 && t + TILE_ROWS < p->in.t_out) {
            *lda = p->in.stride * p->in.channels;
            return fast_line_at(&p->in, line, copy);
        }
    }
    *lda = p->in.k;
    for (int r = 0; r < TILE_ROWS && line + r < p->in.count; r++) {
        const float *x = fast_line_at(&p->in, line + r, copy + r * p->in.k);
        if (x != copy + r * p->in.k) memcpy(copy + r * p->in.k, x, (size_t)p->in.k * sizeof *x);
    }
    return copy;
}

/* How the sums of a tile were made; constants. */
enum sums { SUMS_F32, SUMS_I8, SUMS_SKEW };

/* sums [rows][columns], 48 apart, f32 or i32 with factor [rows] and, of skewed ones, least [rows],
 * of lines from `line` and columns from `column` on, to y. act, kind and whole (panels) are
 * constants. */
ISA_INLINE void finish_as(const struct product *p, const void *sums, const float *factor,
                          const float *least, int64_t line, int64_t rows, int64_t column,
                          int64_t columns, enum op_act act, enum sums kind, bool whole)
{
    const bool in_i8 = kind != SUMS_F32, shifted = kind == SUMS_SKEW || QUANT_SHIFT != 0;
    for (int64_t i = 0; i < columns; i += W) {
        int64_t left = whole ? W : columns - i, at = line * p->n + column + i;
        vf bias = p->bias ? vf_load_n(p->bias + column + i, left) : vf_all(0);
        vf scale = in_i8 ? vf_load(p->w->scale + column + i) : vf_all(0);
        vi comp = in_i8 && shifted ? vi_load(p->w->comp + column + i) : vi_all(0);
        vf offset = vf_of_vi(comp) * (scale * (1.0f / 128)); /* what x = 1 everywhere would give */
        for (int64_t r = 0; r < rows; r++, at += p->n) {
            vf y;
            if (kind == SUMS_SKEW)
                y = vf_of_vi(vi_load((const int32_t *)sums + r * TILE_COLS + i)) *
                        (scale * factor[r]) +
                    (offset * least[r] + bias);
            else if (in_i8)
                y = vf_of_vi(vi_load((const int32_t *)sums + r * TILE_COLS + i) - comp) *
                        (scale * factor[r]) +
                    bias;
            else
                y = vf_load((const float *)sums + r * TILE_COLS + i) + bias;
            y = in_i8 && act == OP_ACT_GELU ? vf_gelu_i8(y) : vf_act(act, y);
            if (p->residual) y += vf_load_n(p->residual + at, left);
            vf_store_n(p->y + at, y, left);
        }
    }
}

ISA_INLINE void finish_kind(const struct product *p, const void *sums, const float *factor,
                            const float *least, int64_t line, int64_t rows, int64_t column,
                            int64_t columns, enum sums kind)
{
    if (columns % CPU_PANEL)
        finish_as(p, sums, factor, least, line, rows, column, columns, p->act, kind, false);
    else if (p->act == OP_ACT_NONE)
        finish_as(p, sums, factor, least, line, rows, column, columns, OP_ACT_NONE, kind, true);
    else if (p->act == OP_ACT_GELU)
        finish_as(p, sums, factor, least, line, rows, column, columns, OP_ACT_GELU, kind, true);
    else
        finish_as(p, sums, factor, least, line, rows, column, columns, OP_ACT_RELU, kind, true);
}

/* The same for columns up to before `end`. */
static void finish(const struct product *p, const void *sums, const float *factor,
                   const float *least, int64_t line, int64_t rows, int64_t column, int64_t end)
{
    int64_t columns = MIN(p->n, end) - column;
    if (!factor)
        finish_kind(p, sums, NULL, NULL, line, rows, column, columns, SUMS_F32);
    else if (p->skew)
        finish_kind(p, sums, factor, least, line, rows, column, columns, SUMS_SKEW);
    else
        finish_kind(p, sums, factor, NULL, line, rows, column, columns, SUMS_I8);
}

/* x [k] as rint((x - least) * by) + shift, in quant_t. Up to the next multiple of 16 after k, q is
 * padded. */
ISA_INLINE void narrow_all(const float *x, int64_t k, float least, float by, int shift_by,
                           quant_t *q)
{
    for (int64_t i = 0; i < k; i += W) {
        vi whole = vi_round((vf_load_n(x + i, k - i) - least) * by) + shift_by;
#if defined __AVX512F__
        _mm_storeu_si128((__m128i *)(q + i), _mm512_cvtepi32_epi8((__m512i)whole));
#else
        typedef int16_t vh __attribute__((vector_size(2 * W)));
        vh narrow = __builtin_convertvector(whole, vh);
        memcpy(q + i, &narrow, sizeof narrow);
#endif
    }
}

/* x [k] as rint(x * 127 / max|x|); returns what a quantised one stands for. */
static float quantise(const float *x, int64_t k, quant_t *q)
{
    float to_i8 = 127.0f / vf_largest(x, k, true);
    if (!__builtin_isnormal(to_i8)) to_i8 = 1.0f;
    narrow_all(x, k, 0, to_i8, QUANT_SHIFT, q);
    return 1.0f / to_i8;
}

/* x [k] as rint((x - least) * 255 / (largest - least)). */
static float quantise_skew(const float *x, int64_t k, quant_t *q, float *least)
{
    vf low = vf_all(__builtin_inff()), high = vf_all(-__builtin_inff());
    int64_t i = 0;
    for (; i + W <= k; i += W) {
        low = vf_min(vf_load(x + i), low);
        high = vf_max(vf_load(x + i), high);
    }
    float from = -vf_most(-low), to = vf_most(high);
    for (; i < k; i++) {
        from = x[i] < from ? x[i] : from;
        to = x[i] > to ? x[i] : to;
    }
    float to_u8 = 255.0f / (to - from);
    if (!__builtin_isnormal(to_u8)) to_u8 = 1.0f;
    narrow_all(x, k, from, to_u8, 0, q);
    *least = from;
    return 1.0f / to_u8;
}

/* Up to 7 lines, which a tile would waste. */
static void few_i8(const struct room *m, const quant_t *a, int64_t rows, const int8_t *b,
                   int64_t quads, int32_t *c)
{
    switch (rows) {
#define FEW(n)                                                \
    case n:                                                   \
        tile_few_i8(n, a, m->stride, b, quads, c, TILE_COLS); \
        break
        FEW(1);
        FEW(2);
        FEW(3);
        FEW(4);
        FEW(5);
        FEW(6);
        FEW(7);
#undef FEW
    default:
        tile_few_i8(8, a, m->stride, b, quads, c, TILE_COLS);
    }
}

#if defined __AMX_INT8__
/* Lines [from, to), quantised, times panels [first, last): 32 x 32 sums at a time. */
static void block_amx(const struct product *p, const struct room *m, int64_t from, int64_t to,
                      int64_t first, int64_t last)
{
    int64_t quads = (p->in.k + 3) / 4, panel = quads * CPU_PANEL * 4;
    /* the lines' first blocks fetch the next pair of panels, each a part */
    int64_t blocks = (to - from + 2 * AMX_ROWS - 1) / (2 * AMX_ROWS);
    int64_t go = (2 * AMX_ROWS + blocks - 1) / blocks, fetching = 2 * AMX_ROWS / go;
    for (int64_t j = first; j < last; j += 2) {
        const int8_t *b = (const int8_t *)p->w->data + j * panel;
        int64_t next = MIN(j + 2, last);
        for (int64_t r = 0; r < to - from; r += 2 * AMX_ROWS) {
            int64_t rows = MIN(2 * AMX_ROWS, to - from - r);
            int64_t block = r / (2 * AMX_ROWS);
            amx_i8(rows > AMX_ROWS, next - j > 1, m->quant + r * m->stride, m->stride, b, panel,
                   quads, b + 2 * panel + block * go * 4 * quads, block < fetching ? go : 0,
                   m->sums, TILE_COLS);
            finish(p, m->sums, m->factor + r, m->least + r, from + r, rows, j * CPU_PANEL,
                   next * CPU_PANEL);
        }
    }
}
#endif

/* Lines [from, to), at most QUANT_LINES, times panels [first, last). */
static void block_i8(const struct product *p, const struct room *m, int64_t from, int64_t to,
                     int64_t first, int64_t last)
{
    for (int64_t r = from; r < to; r++) {
        const float *x = fast_line_at(&p->in, r, m->rows);
        quant_t *q = m->quant + (r - from) * m->stride;
        m->factor[r - from] =
            p->skew ? quantise_skew(x, p->in.k, q, &m->least[r - from]) : quantise(x, p->in.k, q);
    }
#if defined __AMX_INT8__
    if (to - from >= AMX_FEWEST) {
        block_amx(p, m, from, to, first, last);
        return;
    }
#endif
    int64_t quads = (p->in.k + 3) / 4, panel = quads * CPU_PANEL * 4, next;
    /* the first tiles of these panels fetch the next ones, each a part: all at once would wait */
    int64_t fetching = MAX(1, MIN((to - from) / TILE_ROWS, 8)), go = TILE_PANELS * 64 / fetching;
    for (int64_t j = first; j < last; j = next) {
        next = MIN(j + TILE_PANELS, last);
        const int8_t *b = (const int8_t *)p->w->data + j * panel;
        for (int64_t r = 0; r < to - from; r += TILE_ROWS) {
            int64_t rows = MIN(TILE_ROWS, to - from - r);
            const quant_t *a = m->quant + r * m->stride;
            if (r / TILE_ROWS < fetching && rows == TILE_ROWS && next - j == TILE_PANELS)
                tile_i8_ahead(a, m->stride, b, panel, quads, m->sums,
                              b + TILE_PANELS * panel + r / TILE_ROWS * go * quads, go);
            else if (rows == TILE_ROWS && next - j == TILE_PANELS)
                tile_i8(a, m->stride, b, panel, quads, m->sums);
            else
                for (int64_t i = 0; i < next - j; i++)
                    few_i8(m, a, rows, b + i * panel, quads, (int32_t *)m->sums + i * CPU_PANEL);
            finish(p, m->sums, m->factor + r, m->least + r, from + r, rows, j * CPU_PANEL,
                   next * CPU_PANEL);
        }
    }
}

/* Row n of the weights from k on, W of them; the last `left` of a row may be fewer. */
ISA_INLINE vf weights(const struct product *p, int64_t n, int64_t k, bool f16)
{
    int64_t at = n * p->in.k + k, left = p->in.k - k;
    if (!f16) return vf_load_n((const float *)p->w->data + at, left);
    const uint16_t *h = (const uint16_t *)p->w->data + at;
    if (left >= W) return vf_load_f16(h);
    uint16_t part[W] = {0};
    memcpy(part, h, (size_t)left * sizeof *h);
    return vf_load_f16(part);
}

/* A panel of 16 columns from column n on as f32 [K][16]; columns beyond the last are 0. */
ISA_INLINE void panel_of_rows(const struct product *p, int64_t n, float *out, bool f16)
{
    for (int64_t i = 0; i < CPU_PANEL; i += W) {
        for (int64_t k = 0; k < p->in.k; k += W) {
            vf r[W];
            for (int j = 0; j < W; j++)
                r[j] = n + i + j < p->n ? weights(p, n + i + j, k, f16) : vf_all(0);
            vf_transpose(r);
            for (int j = 0; j < MIN(W, p->in.k - k); j++)
                vf_store(out + (k + j) * CPU_PANEL + i, r[j]);
        }
    }
}

static void panel_of_i8(const struct product *p, int64_t n, float *out)
{
    const int8_t *q = (const int8_t *)p->w->data + n * ALIGN_UP(p->in.k, 4);
    for (int64_t k = 0; k < p->in.k; k++)
        for (int64_t i = 0; i < CPU_PANEL; i++)
            out[k * CPU_PANEL + i] = q[k / 4 * 64 + i * 4 + k % 4] * p->w->scale[n + i];
}

static void panel_of(const struct product *p, int64_t n, float *out)
{
    if (p->w->form == CPU_I8)
        panel_of_i8(p, n, out);
    else if (p->w->form == CPU_F16)
        panel_of_rows(p, n, out, true);
    else
        panel_of_rows(p, n, out, false);
}

/* As many lines as keep a block of x within a megabyte, a multiple of 8. */
static int64_t float_lines(int64_t k)
{
    return MAX(FAST_LINES, (1 << 18) / k / TILE_ROWS * TILE_ROWS);
}

static void block_float(const struct product *p, const struct room *m, int64_t from, int64_t to,
                        int64_t first, int64_t last)
{
    int64_t panel = p->in.k * CPU_PANEL;
    for (int64_t j = first; j < last; j += TILE_PANELS) {
        for (int64_t i = 0; i < TILE_PANELS; i++)
            panel_of(p, MIN(j + i, last - 1) * CPU_PANEL, m->panels + i * panel);
        int64_t end = MIN(j + TILE_PANELS, last) * CPU_PANEL;
        for (int64_t r = from; r < to; r += TILE_ROWS) {
            int64_t lda;
            const float *a = lines_at(p, r, m->rows, &lda);
            tile_f32(a, lda, m->panels, panel, p->in.k, m->sums, TILE_COLS);
            finish(p, m->sums, NULL, NULL, r, MIN(TILE_ROWS, to - r), j * CPU_PANEL, end);
        }
    }
}

/* All of at most 7 lines times the columns [n, n + columns), columns <= 4 a constant: along K, as
 * the rows of weights lie in memory. */
ISA_INLINE void few_float(const struct product *p, int rows, int columns, int64_t line, int64_t n,
                          bool f16, float *sums)
{
    const int ahead = f16 ? 2 * columns : columns;
    vf sum[7][4];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int c = 0; c < columns; c++) sum[r][c] = vf_all(0);
    for (int64_t k = 0; k < p->in.k; k += W) {
        vf w[4];
#pragma GCC unroll 4
        for (int c = 0; c < columns; c++) {
            w[c] = weights(p, n + c, k, f16);
            /* the rows after these: each is too short for the processor to see the way */
            vf_fetch((const char *)p->w->data + ((n + c + ahead) * p->in.k + k) * (f16 ? 2 : 4));
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            vf x = vf_load_n(p->in.x + (line + r) * p->in.k + k, p->in.k - k);
#pragma GCC unroll 4
            for (int c = 0; c < columns; c++) sum[r][c] = x * w[c] + sum[r][c];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int c = 0; c < columns; c++) sums[r * TILE_COLS + c] = vf_sum(sum[r][c]);
}

ISA_INLINE void few_float_panel(const struct product *p, int rows, int64_t n, bool f16, float *sums)
{
    enum { columns = W == 16 ? 4 : 2 }; /* sums for more do not fit in the registers */
    int64_t end = MIN(n + CPU_PANEL, p->n), i = n;
    for (; i + columns <= end; i += columns) few_float(p, rows, columns, 0, i, f16, sums + i - n);
    for (; i < end; i++) few_float(p, rows, 1, 0, i, f16, sums + i - n);
}

static void few_lines_float(const struct product *p, const struct room *m, int64_t first,
                            int64_t last)
{
    bool f16 = p->w->form == CPU_F16;
    for (int64_t j = first; j < last; j++) {
        int64_t n = j * CPU_PANEL;
        switch (p->in.count) {
#define FEW(rows)                                        \
    case rows:                                           \
        if (f16)                                         \
            few_float_panel(p, rows, n, true, m->sums);  \
        else                                             \
            few_float_panel(p, rows, n, false, m->sums); \
        break
            FEW(1);
            FEW(2);
            FEW(3);
            FEW(4);
            FEW(5);
            FEW(6);
            FEW(7);
#undef FEW
        default:
            assert(!"few lines are 1 to 7");
        }
        finish(p, m->sums, NULL, NULL, 0, p->in.count, n, n + CPU_PANEL);
    }
}

/* One member's part of the product. */
static void multiply(const struct cpu_step *s, const struct product *p, bool in_i8,
                     struct thread_team *team, int id)
{
    struct room m = room_of(s, p, id);
    int64_t panels = (p->n + CPU_PANEL - 1) / CPU_PANEL, from = 0, to = p->in.count, first = 0,
            last = panels;
    if (p->in.count >= (int64_t)FAST_LINES * team->n)
        thread_share(team, id, p->in.count, TILE_ROWS, &from, &to);
    else
        thread_share(team, id, panels, p->in.count < TILE_ROWS ? 1 : TILE_PANELS, &first, &last);
    if (first == last || p->in.count == 0) return;
    if (!in_i8 && !p->in.channels && p->in.count < TILE_ROWS && p->w->form != CPU_I8) {
        few_lines_float(p, &m, first, last);
        return;
    }
#if defined __AMX_INT8__
    if (in_i8) amx_begin();
#endif
    int64_t lines = in_i8 ? QUANT_LINES(p->in.k) : float_lines(p->in.k);
    for (int64_t r = from; r < to; r += lines) {
        if (in_i8)
            block_i8(p, &m, r, MIN(r + lines, to), first, last);
        else
            block_float(p, &m, r, MIN(r + lines, to), first, last);
    }
#if defined __AMX_INT8__
    if (in_i8) amx_end();
#endif
}

static struct product product_of(const struct cpu_step *s)
{
    return (struct product){.in = fast_lines_of(s),
                            .bias = s->in[2] ? s->in[2]->data : NULL,
                            .residual = s->in[3] ? s->in[3]->data : NULL,
                            .y = s->out[0]->data,
                            .w = s->in[1],
                            .n = s->in[1]->plan->dim[0],
                            .act = s->step->args.act,
                            .skew = s->step->args.skew};
}

int ISA_NAME(cpu_matrix_linear)(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct product p = product_of(s);
    multiply(s, &p, p.w->form == CPU_I8, team, id);
    return 0;
}

/* Weights in i8 stay exact numbers here: the audio is not quantised. */
int ISA_NAME(cpu_matrix_conv1d)(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct product p = product_of(s);
    multiply(s, &p, false, team, id);
    return 0;
}
