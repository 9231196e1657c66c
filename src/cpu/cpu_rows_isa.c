/* Rows against centres: k-means++ (seed), k-means (lloyd), scatter around centres (spread) and
 * projection. d2 = |x|^2 + |c|^2 - 2 x . c, the products formed tile by tile and used while they
 * lie in the nearest cache: no matrix of rows times centres exists. Where f32 cannot tell two
 * centres apart, f64 decides. See op.def and cpu.h; layouts in cpu_rows.h. */
#define ROWS_ISA
#include "cpu/cpu_rows.h"
#include <math.h>

ISA_INLINE float vf_least(vf v)
{
#if defined __AVX512F__
    return _mm512_reduce_min_ps((__m512)v);
#else
    float s[W];
    vf_store(s, v);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) s[i] = s[i] < s[i + n] ? s[i] : s[i + n];
    return s[0];
#endif
}

ISA_INLINE int32_t vi_least(vi v)
{
#if defined __AVX512F__
    return _mm512_reduce_min_epi32((__m512i)v);
#else
    int32_t s[W];
    vi_store(s, v);
    for (int n = W / 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) s[i] = MIN(s[i], s[i + n]);
    return s[0];
#endif
}

ISA_INLINE vi vi_count(void)
{
    vi v;
    for (int i = 0; i < W; i++) v[i] = i;
    return v;
}

/* ---- seed ------------------------------------------------------------------------------------ */

struct seed {
    const float *x;
    const double *draw;
    float *closest;
    int64_t n, d, starts, tries, blocks;
    bool first;
    double *block, *sum; /* sum [threads][columns] */
    int32_t *candidate, *best;
    float *panel, *norm;
    struct rows_seed m;
    float *c, *least, *room; /* of the member */
};

static struct seed seed_open(const struct cpu_step *s, int id)
{
    const struct plan_value *x = s->in[0]->plan, *draw = s->in[1]->plan;
    char *at = s->scratch;
    struct seed t = {.x = s->in[0]->data,
                     .draw = s->in[1]->data,
                     .closest = s->out[2]->data,
                     .n = x->dim[0],
                     .d = x->dim[1],
                     .starts = draw->dim[0],
                     .tries = draw->dim[1],
                     .first = *(const int32_t *)s->in[2]->data};
    t.m = rows_seed_layout(t.n, t.d, t.starts, t.tries, s->threads);
    if (t.first) t.tries = 1;
    t.blocks = (t.n + ROWS_BLOCK - 1) / ROWS_BLOCK;
    t.block = (double *)at;
    t.candidate = (int32_t *)(at + t.m.candidate);
    t.best = t.candidate + t.m.columns;
    t.panel = (float *)(at + t.m.panel);
    t.norm = (float *)(at + t.m.norm);
    t.sum = (double *)(at + t.m.sum);
    t.c = (float *)(at + t.m.parts + (size_t)id * t.m.part);
    t.least = t.c + ROWS_TILE * t.m.columns;
    t.room = t.least + 2 * t.m.columns + CPU_PANEL;
    return t;
}

/* Sums of closest over blocks of rows, so that drawing need not walk all rows. */
static void seed_blocks(const struct seed *t, int64_t from, int64_t to)
{
    for (int64_t s = 0; s < t->starts; s++) {
        for (int64_t b = from / ROWS_BLOCK; b * ROWS_BLOCK < to; b++) {
            const float *at = t->closest + s * t->n + b * ROWS_BLOCK;
            int64_t count = MIN(ROWS_BLOCK, t->n - b * ROWS_BLOCK);
            double sum[8] = {0};
            for (int64_t i = 0; i + 8 <= count; i += 8)
                for (int j = 0; j < 8; j++) sum[j] += (double)at[i + j];
            for (int64_t i = count / 8 * 8; i < count; i++) sum[0] += (double)at[i];
            for (int j = 1; j < 8; j++) sum[0] += sum[j];
            t->block[s * t->blocks + b] = sum[0];
        }
    }
}

static int32_t seed_draw(const struct seed *t, int64_t s, double draw)
{
    const double *block = t->block + s * t->blocks;
    double whole = 0, sum = 0;
    if (t->first) return (int32_t)(draw * (double)t->n);
    for (int64_t b = 0; b < t->blocks; b++) whole += block[b];
    int64_t b = 0;
    for (; b + 1 < t->blocks && sum + block[b] <= draw * whole; b++) sum += block[b];
    for (int64_t i = b * ROWS_BLOCK; i < MIN(t->n, (b + 1) * ROWS_BLOCK); i++) {
        sum += (double)t->closest[s * t->n + i];
        if (sum > draw * whole) return (int32_t)i;
    }
    return (int32_t)(MIN(t->n, (b + 1) * ROWS_BLOCK) - 1);
}

static void seed_pack(const struct seed *t, const int32_t *row, int64_t count)
{
    for (int64_t j = 0; j < count; j += CPU_PANEL)
        rows_pack(t->x, row + j, count - j, t->d, t->panel + j * t->d);
    for (int64_t j = 0; j < rows_up(count); j++) {
        const float *x = t->x + (j < count ? row[j] : 0) * t->d;
        t->norm[j] = j < count ? rows_dot(x, x, t->d) : INFINITY;
    }
}

/* d2 of 8 rows to what was packed, each [columns]. */
static void seed_distances(const struct seed *t, int64_t row, int64_t count)
{
    int64_t left = MIN(ROWS_TILE, t->n - row);
    const float *a = rows_eight(t->x + row * t->d, left, t->d, t->room);
    rows_products(a, t->d, t->panel, count, t->c, t->m.columns);
    for (int64_t r = 0; r < left; r++) {
        vf norm = vf_all(rows_dot(a + r * t->d, a + r * t->d, t->d));
        for (int64_t j = 0; j < count; j += W) {
            float *at = t->c + r * t->m.columns + j;
            vf_store(at, vf_max(norm + vf_load(t->norm + j) - 2 * vf_load(at), vf_all(0)));
        }
    }
}

/* What would be left of the potential with each candidate. */
static void seed_try(const struct seed *t, int64_t from, int64_t to, double *sum)
{
    int64_t count = t->starts * t->tries;
    float *part = t->least + t->m.columns + CPU_PANEL; /* stores of least reach beyond it */
    for (int64_t j = 0; j < count; j++) sum[j] = 0;
    for (int64_t row = from; row < to; row += ROWS_TILE) {
        if (row % ROWS_BLOCK == 0 || row == from)
            for (int64_t j = 0; j < count; j += W) vf_store(part + j, vf_all(0));
        seed_distances(t, row, count);
        for (int64_t r = 0; r < MIN(ROWS_TILE, t->n - row); r++) {
            /* each start's closest beside all its candidates; what is too much is overwritten */
            for (int64_t s = 0; s < t->starts; s++) {
                vf own = vf_all(t->first ? INFINITY : t->closest[s * t->n + row + r]);
                for (int64_t c = 0; c < t->tries; c += W)
                    vf_store(t->least + s * t->tries + c, own);
            }
            for (int64_t j = 0; j < count; j += W) {
                vf d2 = vf_min(vf_load(t->c + r * t->m.columns + j), vf_load(t->least + j));
                vf_store(part + j, vf_load(part + j) + d2);
            }
        }
        if ((row + ROWS_TILE) % ROWS_BLOCK == 0 || row + ROWS_TILE >= to)
            for (int64_t j = 0; j < count; j++) sum[j] += (double)part[j];
    }
}

static void seed_choose(const struct seed *t, int threads, double *potential, int32_t *chosen)
{
    for (int64_t s = 0; s < t->starts; s++) {
        int64_t best = -1;
        for (int64_t j = s * t->tries; j < (s + 1) * t->tries; j++) {
            double sum = 0;
            for (int i = 0; i < threads; i++) sum += t->sum[i * t->m.columns + j];
            if (best >= 0 && sum >= potential[s]) continue;
            best = j;
            potential[s] = sum;
        }
        t->best[s] = t->candidate[best];
        chosen[s] = t->candidate[best];
    }
    seed_pack(t, t->best, t->starts);
}

static void seed_take(const struct seed *t, int64_t from, int64_t to)
{
    for (int64_t row = from; row < to; row += ROWS_TILE) {
        seed_distances(t, row, t->starts);
        for (int64_t r = 0; r < MIN(ROWS_TILE, t->n - row); r++) {
            for (int64_t s = 0; s < t->starts; s++) {
                float d2 = t->c[r * t->m.columns + s], *at = t->closest + s * t->n + row + r;
                *at = t->first || d2 < *at ? d2 : *at;
            }
        }
    }
}

int ISA_NAME(cpu_rows_seed)(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct seed t = seed_open(s, id);
    int64_t from, to;
    thread_share(team, id, t.n, ROWS_BLOCK, &from, &to);
    if (!t.first) seed_blocks(&t, from, to);
    thread_barrier(team);
    if (id == 0) {
        for (int64_t j = 0; j < t.starts * t.tries; j++) {
            int64_t start = j / t.tries, tries = s->in[1]->plan->dim[1];
            t.candidate[j] = seed_draw(&t, start, t.draw[start * tries + j % t.tries]);
        }
        seed_pack(&t, t.candidate, t.starts * t.tries);
    }
    thread_barrier(team);
    seed_try(&t, from, to, t.sum + id * t.m.columns);
    thread_barrier(team);
    if (id == 0) seed_choose(&t, team->n, s->out[1]->data, s->out[0]->data);
    thread_barrier(team);
    seed_take(&t, from, to);
    return 0;
}

/* ---- lloyd ----------------------------------------------------------------------------------- */

struct code {                       /* of a row in 8 bits */
    float unit, square, rest, norm; /* |unit * q|^2, |r|, |x|^2 */
};

/* With AVX-512 most centres are ruled out in 8 bits. Every row and every centre is x = unit * q + r
 * with a unit of its own; the distance of two q, whole numbers but for the units, is off by at most
 * |r| + |r'|. What is within that of the second nearest (two or three of 70) is measured in f32. */
struct lloyd {
    const float *x, *centre, *move;
    int64_t n, d, k;
    float *panel, *norm; /* of the centres; norm is infinite beyond them */
    int32_t *was, *label;
    float *bound;
    float most_norm, slack;
    float most, next; /* how far the centre that moved most has moved, and the one after it */
    int64_t mover;    /* the first of these */
    struct rows_lloyd m;
    float *c, *room, *far; /* of the member; far [columns] */
    bool fresh, coarse;
    /* in 8 bits: panels of centres; unit, |unit * q|^2 (infinite beyond them), what the product has
     * too much */
    int8_t *codes;
    float *unit, *square, *rest;
    int32_t *extra;
    quant_t *rows;     /* 8 of the member */
    float widest, top; /* the longest r, and square, of the centres */
    /* of the member: rows of the piece in 8 bits once a set has asked for them; row i, if
     * kept_row[i % ROWS_PIECE] is i; with AVX-512 a quant_t is a byte. NULL: there is one set,
     * which asks once */
    quant_t *kept;
    struct code *kept_code;
    int64_t *kept_row;
};

/* Few centres or short rows are sooner measured; sums of more than 60,000 products leave i32. */
static bool lloyd_coarse_pays(int64_t k, int64_t d)
{
    return W == 16 && k > CPU_PANEL && d >= 2 * W && d <= 60000;
}

/* place: of the set among those that walk together. */
static struct lloyd lloyd_open(const struct cpu_step *s, int64_t set, int64_t place, int id)
{
    const struct plan_value *x = s->in[0]->plan, *centre = s->in[1]->plan;
    struct lloyd t = {.x = s->in[0]->data, .n = x->dim[0], .d = x->dim[1], .k = centre->dim[1]};
    char *at = s->scratch;
    t.m = rows_lloyd_layout(t.n, t.d, t.k, centre->dim[0], s->threads);
    char *part = at + t.m.parts + (size_t)id * t.m.part;
    at += (size_t)place * t.m.set;
    t.centre = (const float *)s->in[1]->data + set * t.k * t.d;
    t.move = (const float *)s->in[2]->data + set * t.k;
    t.panel = (float *)at;
    t.norm = (float *)(at + t.m.norm);
    t.was = (int32_t *)(at + t.m.was);
    t.codes = (int8_t *)(at + t.m.codes);
    t.unit = (float *)(at + t.m.code);
    t.square = t.unit + t.m.columns;
    t.rest = t.square + t.m.columns;
    t.extra = (int32_t *)(t.rest + t.m.columns);
    t.c = (float *)part;
    t.room = t.c + ROWS_TILE * t.m.columns;
    t.far = t.room + ROWS_TILE * t.d;
    t.rows = (quant_t *)(part + t.m.rows);
    t.coarse = lloyd_coarse_pays(t.k, t.d);
    if (t.coarse && centre->dim[0] > 1) {
        t.kept = (quant_t *)(part + t.m.kept);
        t.kept_code = (struct code *)(part + t.m.kept_code);
        t.kept_row = (int64_t *)(part + t.m.kept_row);
    }
    t.label = (int32_t *)s->out[2]->data + set * t.n;
    t.bound = (float *)s->out[3]->data + set * t.n * 2;
    t.fresh = t.move[0] == -1;
    t.slack = rows_slack(t.d);
    for (int64_t j = 0; j < t.k; j++) {
        if (t.move[j] > t.most) {
            t.next = t.most;
            t.most = t.move[j];
            t.mover = j;
        } else if (t.move[j] > t.next) {
            t.next = t.move[j];
        }
    }
    return t;
}

/* A row as q + QUANT_SHIFT, whole quads. The rounding of x - unit * q is covered too. */
static struct code lloyd_code(const float *x, int64_t d, quant_t *to)
{
    typedef quant_t narrow __attribute__((vector_size(W * sizeof(quant_t))));
    vf most = vf_all(0), square = most, rest = most;
    for (int64_t i = 0; i < d; i += W) most = vf_max(vf_abs(vf_load_n(x + i, d - i)), most);
    float high = vf_most(most);
    struct code out = {.unit = high > 0 ? high / 127 : 1};
    vf per = vf_all(1 / out.unit), unit = vf_all(out.unit), norm = square;
    for (int64_t i = 0; i < d; i += W) {
        vf v = vf_load_n(x + i, d - i), shift = vf_all(0x1.8p23f); /* rounds to a whole number */
        vi whole = (vi)(v * per + shift) - (vi)shift;
        vf q = vf_of_vi(whole), off = v - q * unit;
        square = q * q + square;
        norm = v * v + norm;
        rest = off * off + rest;
        narrow n = __builtin_convertvector(whole + QUANT_SHIFT, narrow);
        memcpy(to + i, &n, sizeof n);
    }
    out.square = vf_sum(square) * out.unit * out.unit;
    out.norm = vf_sum(norm);
    out.rest = sqrtf(vf_sum(rest)) * 1.001f + sqrtf((float)d) * high * 0x1p-22f;
    return out;
}

/* Row i of x, as far as the tiles read. */
static struct code lloyd_code_row(const struct lloyd *t, int64_t i, quant_t *to)
{
    const float *x = t->x + i * t->d;
    if (!t->kept) return lloyd_code(x, t->d, to);
    int64_t at = i % ROWS_PIECE;
    quant_t *kept = t->kept + at * t->m.line;
    if (t->kept_row[at] != i) t->kept_code[at] = lloyd_code(x, t->d, kept);
    t->kept_row[at] = i;
    memcpy(to, kept, (size_t)t->m.quads * 4 * sizeof *to);
    return t->kept_code[at];
}

/* Centre j into its panel; returns |r|. */
static float lloyd_code_centre(const struct lloyd *t, int64_t j)
{
    quant_t *q = t->rows;
    int8_t *to = t->codes + j / CPU_PANEL * CPU_PANEL * 4 * t->m.quads + j % CPU_PANEL * 4;
    struct code code = {1, INFINITY, 0, 0};
    int32_t sum = 0;
    if (j < t->k) code = lloyd_code(t->centre + j * t->d, t->d, q);
    for (int64_t i = 0; i < 4 * t->m.quads; i++) {
        int8_t value = j < t->k && i < t->d ? (int8_t)(q[i] - QUANT_SHIFT) : 0;
        to[i / 4 * CPU_PANEL * 4 + i % 4] = value;
        sum += value;
    }
    t->unit[j] = code.unit;
    t->square[j] = code.square;
    t->extra[j] = QUANT_SHIFT * sum;
    return code.rest;
}

static void lloyd_pack(struct lloyd *t, const struct thread_team *team, int id)
{
    int64_t from, to;
    thread_share(team, id, rows_up(t->k), CPU_PANEL, &from, &to);
    for (int64_t j = from; j < to; j += CPU_PANEL) {
        int32_t index[CPU_PANEL];
        for (int i = 0; i < CPU_PANEL; i++) index[i] = (int32_t)(j + i);
        if (!t->coarse) rows_pack(t->centre, index, t->k - j, t->d, t->panel + j * t->d);
        for (int64_t i = j; i < j + CPU_PANEL; i++) {
            const float *c = t->centre + i * t->d;
            t->norm[i] = i < t->k ? rows_dot(c, c, t->d) : INFINITY;
            if (t->coarse) t->rest[i] = lloyd_code_centre(t, i);
        }
    }
}

/* Among those whose |c|^2 - 2 x . c is within reach of the least: the nearest, by f64. */
static int32_t lloyd_settle(const struct lloyd *t, const float *row, const float *c, float reach)
{
    double least = INFINITY;
    int32_t best = 0;
    for (int64_t j = 0; j < t->k; j++) {
        if (t->norm[j] - 2 * c[j] > reach) continue;
        double d2 = rows_apart(row, t->centre + j * t->d, t->d);
        if (d2 < least) best = (int32_t)j;
        least = d2 < least ? d2 : least;
    }
    return best;
}

/* The nearest centre of a row from its products c, and new bounds. */
ISA_INLINE int32_t lloyd_nearest(const struct lloyd *t, const float *row, const float *c,
                                 float *bound)
{
    vf least = vf_all(INFINITY), second = least;
    vi at = vi_all(0), j = vi_count();
    for (int64_t i = 0; i < rows_up(t->k); i += W, j += W) {
        vf v = vf_load(t->norm + i) - 2 * vf_load(c + i);
        vi less = v < least;
        second = vf_min(vf_choose(less, least, v), second);
        at = (vi)vf_choose(less, (vf)j, (vf)at);
        least = vf_min(v, least);
    }
    float one = vf_least(least);
    int32_t best = vi_least((vi)vf_choose(least == vf_all(one), (vf)at, (vf)vi_all(INT32_MAX)));
    float two = vf_least(vf_min(vf_choose(at == vi_all(best), vf_all(INFINITY), least), second));
    float norm = rows_dot(row, row, t->d), slack = t->slack * (norm + t->most_norm);
    float own = one + norm + slack, other = two + norm - slack;
    if (two - one <= 2 * slack) {
        best = lloyd_settle(t, row, c, one + 2 * slack);
        own += 2 * slack;
        other = one + norm - slack;
    }
    bound[0] = own > 0 ? sqrtf(own) : 0;
    bound[1] = other > 0 ? sqrtf(other) : 0;
    return best;
}

/* The same from products in 8 bits, [columns / 48][8][48]. */
ISA_INLINE int32_t lloyd_nearest_coarse(const struct lloyd *t, const float *row,
                                        const struct code *code, const int32_t *c, float *bound)
{
    float *far = t->far;
    vf least = vf_all(INFINITY), second = least, by = vf_all(-2 * code->unit);
    for (int64_t i = 0; i < rows_up(t->k); i += W) {
        const int32_t *at = c + i / ROWS_COLS * ROWS_COLS * ROWS_TILE + i % ROWS_COLS;
        vf product = vf_of_vi(vi_load(at) - vi_load(t->extra + i)) * vf_load(t->unit + i);
        vf v = product * by + vf_load(t->square + i);
        second = vf_min(vf_max(v, least), second);
        least = vf_min(v, least);
        vf_store(far + i, v);
    }
    float slack = (t->slack + 0x1p-20f) * (code->square + t->top);
    float rest = code->rest + t->widest, low = vf_least(least);
    vi lowest = least == vf_all(low);
    if (__builtin_popcount(vi_bits(lowest)) == 1)
        low = vf_least(vf_min(vf_choose(lowest, vf_all(INFINITY), least), second));
    low += code->square + slack; /* of the second nearest, for its bound */
    float reach = sqrtf(MAX(low, 0)) * (1 + 0x1p-20f) + 2 * rest;
    vf limit = vf_all(reach * reach * (1 + 0x1p-20f) - code->square + slack);
    float one = INFINITY, two = INFINITY, norm = code->norm;
    int32_t best = 0, nearest = 0;
    double least_f64 = INFINITY;
    for (int64_t i = 0; i < rows_up(t->k); i += W) {
        vf v = vf_load(far + i);
        vi in = v <= limit;
        for (uint32_t bits = vi_bits(in); bits; bits &= bits - 1) {
            int64_t j = i + __builtin_ctz(bits);
            float d2 = t->norm[j] - 2 * rows_dot(row, t->centre + j * t->d, t->d);
            best = d2 < one ? (int32_t)j : best;
            two = d2 < one ? one : MIN(d2, two);
            one = MIN(d2, one);
        }
    }
    float exact = t->slack * (norm + t->most_norm), own = one + norm + exact;
    float other = two + norm - exact;
    if (two - one <= 2 * exact) {
        own += 2 * exact;
        other = one + norm - exact;
        for (int64_t j = 0; j < t->k; j++) {
            if (!(far[j] <= limit[0])) continue;
            double d2 = rows_apart(row, t->centre + j * t->d, t->d);
            if (d2 < least_f64) nearest = (int32_t)j;
            least_f64 = d2 < least_f64 ? d2 : least_f64;
        }
        best = nearest;
    }
    bound[0] = own > 0 ? sqrtf(own) : 0;
    bound[1] = other > 0 ? sqrtf(other) : 0;
    return best;
}

/* Rows i[0..count), up to 8, by way of 8 bits. */
static void lloyd_eight_coarse(const struct lloyd *t, const int64_t *i, int64_t count)
{
    struct code code[ROWS_TILE];
    int32_t *c = (int32_t *)t->c;
    for (int64_t r = 0; r < count; r++) code[r] = lloyd_code_row(t, i[r], t->rows + r * t->m.line);
    for (int64_t j = 0; j < t->k; j += ROWS_COLS) {
        const int8_t *panel = t->codes + j * 4 * t->m.quads;
        if (t->k - j > 2 * CPU_PANEL)
            tile_i8(t->rows, t->m.line, panel, CPU_PANEL * 4 * t->m.quads, t->m.quads,
                    c + j * ROWS_TILE);
        else
            tile_i8_2(t->rows, t->m.line, panel, CPU_PANEL * 4 * t->m.quads, t->m.quads,
                      c + j * ROWS_TILE);
    }
    for (int64_t r = 0; r < count; r++)
        t->label[i[r]] = lloyd_nearest_coarse(t, t->x + i[r] * t->d, &code[r], c + r * ROWS_COLS,
                                              t->bound + 2 * i[r]);
}

/* Whether the row keeps its centre for certain: bounds moved as far as the centres have, the upper
 * one measured anew if that could help. 2^-22 covers the rounding of it all. */
static bool lloyd_keeps(const struct lloyd *t, int64_t i)
{
    int32_t own = t->label[i];
    float *bound = t->bound + 2 * i, away = own == t->mover ? t->next : t->most;
    bound[0] += t->move[own] + bound[0] * 0x1p-22f;
    bound[1] -= away + bound[1] * 0x1p-22f;
    if (bound[0] < bound[1]) return true;
    if (bound[1] <= 0) return false;
    const float *row = t->x + i * t->d;
    float norm, product = rows_dots(row, t->centre + own * t->d, t->d, &norm);
    float d2 = norm + t->norm[own] - 2 * product + t->slack * (norm + t->norm[own]);
    bound[0] = d2 > 0 ? sqrtf(d2) : 0;
    return bound[0] < bound[1];
}

/* Rows i[0..count), up to 8. */
static void lloyd_eight(const struct lloyd *t, const int64_t *i, int64_t count)
{
    const float *a = t->x + i[0] * t->d;
    if (t->coarse) {
        lloyd_eight_coarse(t, i, count);
        return;
    }
    if (count < ROWS_TILE || i[ROWS_TILE - 1] != i[0] + ROWS_TILE - 1) {
        for (int64_t r = 0; r < ROWS_TILE; r++)
            memcpy(t->room + r * t->d, t->x + i[r < count ? r : 0] * t->d,
                   (size_t)t->d * sizeof *a);
        a = t->room;
    }
    rows_products(a, t->d, t->panel, t->k, t->c, t->m.columns);
    for (int64_t r = 0; r < count; r++)
        t->label[i[r]] =
            lloyd_nearest(t, a + r * t->d, t->c + r * t->m.columns, t->bound + 2 * i[r]);
}

static void lloyd_assign(const struct lloyd *t, int64_t from, int64_t to)
{
    int64_t wait[ROWS_TILE], waiting = 0;
    for (int64_t i = from; i < to; i++) {
        t->was[i] = t->fresh ? -1 : t->label[i];
        if (!t->fresh && lloyd_keeps(t, i)) continue;
        wait[waiting++] = i;
        if (waiting < ROWS_TILE) continue;
        lloyd_eight(t, wait, waiting);
        waiting = 0;
    }
    if (waiting) lloyd_eight(t, wait, waiting);
}

static void lloyd_add(double *sum, const float *x, int64_t n, double sign)
{
    for (int64_t i = 0; i < n; i++) sum[i] += sign * (double)x[i];
}

static void lloyd_clear(const struct lloyd *t, double *sum, int32_t *count, int64_t from,
                        int64_t to)
{
    for (int64_t j = 0; j < t->k; j++)
        memset(sum + j * t->d + from, 0, (size_t)(to - from) * sizeof *sum);
    if (count) memset(count, 0, (size_t)(t->k + 1) * sizeof *count);
}

/* Rows of a piece onto columns from..to; count is one member's business. */
static void lloyd_sums(const struct lloyd *t, double *sum, int32_t *count, int64_t row,
                       int64_t from, int64_t to)
{
    for (int64_t i = row; i < MIN(t->n, row + ROWS_PIECE); i++) {
        int32_t was = t->was[i], is = t->label[i];
        if (was == is) continue;
        const float *x = t->x + i * t->d + from;
        lloyd_add(sum + is * t->d + from, x, to - from, 1);
        if (was >= 0) lloyd_add(sum + was * t->d + from, x, to - from, -1);
        if (!count) continue;
        count[is]++;
        count[t->k]++;
        if (was >= 0) count[was]--;
    }
}

/* Up to ROWS_SETS sets. Labels: each member has some of the rows. Sums: each has some of the
 * columns and takes the rows in order, so that they do not depend on how many members there are. */
static void lloyd_together(const struct cpu_step *s, const int64_t *set, int64_t sets,
                           struct thread_team *team, int id)
{
    struct lloyd t[ROWS_SETS];
    double *sum[ROWS_SETS];
    int32_t *count[ROWS_SETS];
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1], from, to;
    for (int64_t i = 0; i < sets; i++) {
        t[i] = lloyd_open(s, set[i], i, id);
        lloyd_pack(&t[i], team, id);
        sum[i] = (double *)s->out[0]->data + set[i] * t[i].k * d;
        count[i] = id ? NULL : (int32_t *)s->out[1]->data + set[i] * (t[i].k + 1);
    }
    thread_barrier(team);
    for (int64_t i = 0; i < sets; i++) {
        for (int64_t j = 0; j < t[i].k; j++) {
            t[i].most_norm = MAX(t[i].most_norm, t[i].norm[j]);
            if (!t[i].coarse) continue;
            t[i].widest = MAX(t[i].widest, t[i].rest[j]);
            t[i].top = MAX(t[i].top, t[i].square[j]);
        }
    }
    thread_share(team, id, n, ROWS_TILE, &from, &to);
    for (int64_t i = 0; t[0].kept && i < ROWS_PIECE; i++) t[0].kept_row[i] = -1;
    for (int64_t row = from; row < to; row += ROWS_PIECE)
        for (int64_t i = 0; i < sets; i++) lloyd_assign(&t[i], row, MIN(to, row + ROWS_PIECE));
    thread_barrier(team);
    thread_share(team, id, d, 16, &from, &to);
    for (int64_t i = 0; i < sets; i++) lloyd_clear(&t[i], sum[i], count[i], from, to);
    for (int64_t row = 0; row < n; row += ROWS_PIECE)
        for (int64_t i = 0; i < sets; i++) lloyd_sums(&t[i], sum[i], count[i], row, from, to);
    thread_barrier(team);
}

int ISA_NAME(cpu_rows_lloyd)(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct plan_value *centre = s->in[1]->plan;
    const float *move = s->in[2]->data;
    for (int64_t set = 0; set < centre->dim[0];) {
        int64_t live[ROWS_SETS], sets = 0;
        for (; set < centre->dim[0] && sets < ROWS_SETS; set++)
            if (move[set * centre->dim[1]] > -2) live[sets++] = set;
        if (sets) lloyd_together(s, live, sets, team, id);
    }
    return 0;
}

/* ---- spread, project --------------------------------------------------------------------------
 */

int ISA_NAME(cpu_rows_spread)(const struct cpu_step *s, struct thread_team *team, int id)
{
    const float *x = s->in[0]->data, *centre = s->in[1]->data;
    const int32_t *label = s->in[2]->data;
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1], k = s->in[1]->plan->dim[0];
    double *d2 = s->scratch, *sums = s->out[0]->data;
    int64_t from, to;
    thread_share(team, id, n, ROWS_TILE, &from, &to);
    for (int64_t i = from; i < to; i++) {
        d2[i] = label[i] < 0 ? 0 : rows_apart(x + i * d, centre + label[i] * d, d);
        if (s->out[1]) ((float *)s->out[1]->data)[i] = (float)d2[i];
    }
    thread_barrier(team);
    if (id) return 0;
    memset(sums, 0, (size_t)k * 2 * sizeof *sums);
    for (int64_t i = 0; i < n; i++) {
        if (label[i] < 0) continue;
        sums[2 * label[i]] += d2[i];
        sums[2 * label[i] + 1] += sqrt(d2[i]);
    }
    return 0;
}

int ISA_NAME(cpu_rows_project)(const struct cpu_step *s, struct thread_team *team, int id)
{
    const float *x = s->in[0]->data, *offset = s->in[2]->data;
    int64_t n = s->in[0]->rows, d = s->in[0]->plan->dim[1], m = s->in[1]->plan->dim[0];
    int64_t columns = ALIGN_UP(m, ROWS_COLS), from, to;
    float *panel = s->scratch, *c = panel + ALIGN_UP(rows_panel_floats(m, d), 1024);
    c += (size_t)id * ALIGN_UP((size_t)(ROWS_TILE * (columns + d)), 1024);
    thread_share(team, id, rows_up(m), CPU_PANEL, &from, &to);
    for (int64_t j = from; j < to; j += CPU_PANEL) {
        int32_t index[CPU_PANEL];
        for (int i = 0; i < CPU_PANEL; i++) index[i] = (int32_t)(j + i);
        rows_pack(s->in[1]->data, index, m - j, d, panel + j * d);
    }
    thread_barrier(team);
    thread_share(team, id, n, ROWS_TILE, &from, &to);
    for (int64_t i = from; i < to; i += ROWS_TILE) {
        int64_t left = MIN(ROWS_TILE, to - i);
        const float *a = rows_eight(x + i * d, left, d, c + ROWS_TILE * columns);
        rows_products(a, d, panel, m, c, columns);
        for (int64_t r = 0; r < left; r++) {
            float *y = (float *)s->out[0]->data + (i + r) * m;
            for (int64_t j = 0; j < m; j += W)
                vf_store_n(y + j, vf_load(c + r * columns + j) + vf_load_n(offset + j, m - j),
                           m - j);
        }
    }
    return 0;
}
