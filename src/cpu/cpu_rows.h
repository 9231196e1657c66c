/* What the kernels of clustering share: rows turned into panels, norms and distances, and how the
 * scratch of each is cut. The first half is for everybody, the second for *_isa.c files only, which
 * define ROWS_ISA before they include it. */
#ifndef CPU_CPU_ROWS_H
#define CPU_CPU_ROWS_H

#include "cpu/cpu_fast.h"

enum {
    ROWS_TILE = 8,   /* rows of a tile */
    ROWS_COLS = 48,  /* and its columns: rows turned into panels */
    ROWS_BLOCK = 256 /* rows whose f32 sums go into f64 together */
};

static inline int64_t rows_up(int64_t k)
{
    return ALIGN_UP(k, CPU_PANEL);
}

/* Floats that hold k rows of d as panels. */
static inline size_t rows_panel_floats(int64_t k, int64_t d)
{
    return (size_t)(ALIGN_UP(k, ROWS_COLS) * d);
}

/* Bytes from the start of scratch, each part on lines of its own; `bytes` is the whole. */
struct rows_seed {
    int64_t columns; /* candidates, in whole panels */
    size_t part;     /* of a member: products, closest, gathered rows */
    size_t block, candidate, panel, norm, sum, parts, bytes;
};

static inline struct rows_seed rows_seed_layout(int64_t n, int64_t d, int64_t s, int64_t c,
                                                int threads)
{
    struct rows_seed m = {.columns = ALIGN_UP(s * c, ROWS_COLS)};
    size_t q = (size_t)m.columns;
    m.part =
        ALIGN_UP(((ROWS_TILE + 2) * q + CPU_PANEL + ROWS_TILE * (size_t)d) * sizeof(float), 4096);
    m.candidate = ALIGN_UP((size_t)(s * ((n + ROWS_BLOCK - 1) / ROWS_BLOCK)) * sizeof(double), 64);
    m.panel = m.candidate + ALIGN_UP(2 * q * sizeof(int32_t), 64);
    m.norm = m.panel + ALIGN_UP(q * (size_t)d * sizeof(float), 64);
    m.sum = m.norm + ALIGN_UP(q * sizeof(float), 64);
    m.parts = ALIGN_UP(m.sum + (size_t)threads * q * sizeof(double), 4096);
    m.bytes = m.parts + (size_t)threads * m.part;
    return m;
}

/* Sets of centres that walk over the rows together: a piece of rows serves all while it lies in the
 * second cache. */
enum { ROWS_SETS = 16, ROWS_PIECE = 512 };

struct rows_lloyd {
    int64_t columns, quads, line;           /* quads, line: of rows in 8 bits */
    size_t norm, was;                       /* of a set, whose panels come first; */
    size_t codes, code, set;                /* codes: the centres in 8 bits */
    size_t rows, kept, kept_code, kept_row; /* of a member's part, after products, rows and far */
    size_t parts, part;
    size_t bytes;
};

static inline struct rows_lloyd rows_lloyd_layout(int64_t n, int64_t d, int64_t k, int64_t sets,
                                                  int threads)
{
    struct rows_lloyd m = {
        .columns = ALIGN_UP(k, ROWS_COLS), .quads = (d + 3) / 4, .line = ALIGN_UP(d, 64) + 64};
    size_t q = (size_t)m.columns;
    m.norm = ALIGN_UP(rows_panel_floats(k, d) * sizeof(float), 64);
    m.codes = m.norm + q * sizeof(float);
    m.code = m.codes + ALIGN_UP(q * 4 * (size_t)m.quads, 64);
    m.was = m.code + 4 * q * sizeof(float);
    m.set = ALIGN_UP(m.was + (size_t)n * sizeof(int32_t), 4096);
    m.parts = m.set * (size_t)MIN(sets, ROWS_SETS);
    m.rows = ALIGN_UP((ROWS_TILE * (q + (size_t)d) + q) * sizeof(float), 64);
    m.kept = m.rows + ROWS_TILE * (size_t)m.line * sizeof(int16_t);
    m.kept_code = m.kept + (sets > 1 ? ROWS_PIECE * (size_t)m.line : 0); /* bytes: see lloyd */
    m.kept_row = m.kept_code + ROWS_PIECE * 4 * sizeof(float);
    m.part = ALIGN_UP(m.kept_row + ROWS_PIECE * sizeof(int64_t), 4096);
    m.bytes = m.parts + (size_t)threads * m.part;
    return m;
}

/* Rows of a block of DBSCAN's pairs: two blocks in 8 bits and their bits stay in the second cache.
 */
#define ROWS_DENSITY 960

struct rows_density {
    int64_t n_up, line, most_waiting;
    size_t mean, part_sums, panel, rest, own, far, parent, parts; /* bytes from the start */
    size_t rows, bits, counts, part;                              /* of a member's part */
    size_t bytes;
};

static inline struct rows_density rows_density_layout(int64_t n, int64_t d, int threads)
{
    struct rows_density m = {.n_up = ALIGN_UP(n, ROWS_COLS), .line = ALIGN_UP(d, 64) + 64};
    size_t up = (size_t)m.n_up, team = (size_t)threads;
    m.most_waiting = (16 * n + 65536) / threads;
    m.mean = 128;
    m.part_sums = m.mean + ALIGN_UP((size_t)d * sizeof(double), 64);
    m.panel = m.part_sums + team * 64;
    m.rest = m.panel + up * 4 * (size_t)((d + 3) / 4);
    m.own = m.rest + up * sizeof(float);
    m.far = m.own + up * sizeof(int32_t);
    m.parent = m.far + up * sizeof(int32_t);
    m.parts = ALIGN_UP(m.parent + up * sizeof(int32_t), 4096);
    m.rows = 64 + ALIGN_UP((size_t)m.most_waiting * 8, 64);
    m.bits = m.rows + ROWS_DENSITY * (size_t)m.line * sizeof(int16_t);
    m.counts = m.bits + ROWS_DENSITY * (ROWS_DENSITY / ROWS_COLS) * sizeof(uint64_t);
    m.part = ALIGN_UP(m.counts + 2 * ROWS_DENSITY * sizeof(int32_t), 4096);
    m.bytes = m.parts + team * m.part;
    return m;
}

/* Rows of a block whose nearest are looked for together: 48 columns are packed once for all. */
#define ROWS_NEAR 256

struct rows_near { /* of a member's part */
    size_t panel, c, bytes;
};

static inline struct rows_near rows_near_layout(int64_t d, int64_t most)
{
    struct rows_near m;
    m.panel = ALIGN_UP(ROWS_NEAR * (size_t)most * sizeof(double), 64);
    m.c = m.panel + ROWS_COLS * (size_t)d * sizeof(float);
    m.bytes = ALIGN_UP(m.c + ROWS_TILE * (ROWS_COLS + (size_t)d) * sizeof(float), 4096);
    return m;
}

/* Rows of a block of silhouettes' pairs. */
#define ROWS_APART 384

struct rows_apart {
    size_t order, rank, norm, sum, parts;            /* bytes from the start */
    size_t panel, c, by_row, by_column, part, bytes; /* of a member's part; the whole */
};

static inline struct rows_apart rows_apart_layout(int64_t n, int64_t d, int64_t k, int threads)
{
    struct rows_apart m = {.order = 128};
    size_t rows = (size_t)n, labels = (size_t)MIN(k, ROWS_APART);
    m.rank = m.order + ALIGN_UP(rows * sizeof(int32_t), 64);
    m.norm = m.rank + ALIGN_UP(3 * (size_t)k * sizeof(int32_t), 64);
    m.sum = m.norm + ALIGN_UP(rows * sizeof(float), 64);
    m.parts = ALIGN_UP(m.sum + rows * (size_t)k * sizeof(int64_t), 4096);
    m.panel = ROWS_APART * (size_t)d * sizeof(float);
    m.c = 2 * m.panel;
    m.by_row = m.c + ROWS_TILE * ROWS_COLS * sizeof(float);
    m.by_column = m.by_row + ALIGN_UP(ROWS_APART * labels * sizeof(float), 64);
    m.part = ALIGN_UP(m.by_column + ROWS_APART * labels * sizeof(float), 4096);
    m.bytes = m.parts + (size_t)threads * m.part;
    return m;
}

/* Rows whose responsibilities exist at a time, twice: those that are summed and those that are
 * made. Fewer if clusters are many, so that these take a megabyte. */
#define ROWS_MIX 1024

static inline int64_t rows_mix_rows(int64_t k)
{
    return MAX(64, MIN(ROWS_MIX, (1 << 17) / rows_up(k) / ROWS_TILE * ROWS_TILE));
}

struct rows_share { /* a responsibility: of a row in the cluster `at`, or of a cluster for the row
                     */
    int32_t at;
    float part;
};

struct rows_mix {
    size_t square, likelihood, fixed, shares, share,
        rooms;              /* panels of scale and shift are first */
    size_t end, rows, room; /* bytes from a member's room */
    size_t bytes;
};

static inline struct rows_mix rows_mix_layout(int64_t d, int64_t k, int64_t matrices, int threads)
{
    struct rows_mix m;
    size_t columns = (size_t)rows_up(k), up = (size_t)ALIGN_UP(d, ROWS_COLS);
    size_t rows = (size_t)rows_mix_rows(k), all = rows * columns * sizeof(struct rows_share);
    m.square = ALIGN_UP(2 * columns * (size_t)d * sizeof(float), 64);
    m.likelihood = m.square + (size_t)matrices * up * (size_t)d * sizeof(float);
    m.fixed = m.likelihood + 2 * rows * sizeof(double);
    m.shares = m.fixed + 4 * columns * sizeof(float);
    m.share = m.shares + 2 * rows * sizeof(int32_t);
    m.rooms = ALIGN_UP(m.share + 2 * all, 4096);
    m.end = all;
    m.rows = ALIGN_UP(m.end + (columns + 1) * sizeof(int32_t), 64);
    m.room = ALIGN_UP(m.rows + ROWS_TILE * (3 * up + columns) * sizeof(float), 4096);
    m.bytes = m.rooms + (size_t)threads * m.room;
    return m;
}

/* Doubles between rows of a matrix of n, so that a column does not lie in one part of the cache. */
static inline int64_t rows_eigen_line(int64_t n)
{
    return ALIGN_UP(n, 16) + 8;
}

/* Doubles of a member: diagonal, off, rotations of 8 sweeps; a line apart from the next member's.
 */
static inline size_t rows_eigen_own(int64_t n)
{
    return (size_t)ALIGN_UP(18 * n, 8) + 8;
}

#ifdef ROWS_ISA
#include "cpu/cpu_tile.h"

#define VD (W / 2) /* lanes of f64 */
typedef double vd __attribute__((vector_size(4 * W)));
typedef double vd_loose __attribute__((vector_size(4 * W), aligned(8), may_alias));

ISA_INLINE vd vd_load(const double *p)
{
    return *(const vd_loose *)p;
}

ISA_INLINE void vd_store(double *p, vd v)
{
    *(vd_loose *)p = v;
}

/* VD floats as f64. */
ISA_INLINE vd vd_of(const float *p)
{
    typedef float half __attribute__((vector_size(2 * W), aligned(4), may_alias));
    return __builtin_convertvector(*(const half *)p, vd);
}

/* How far x . c in f32 may be from the truth, in parts of |x|^2 + |c|^2, and d2 made of it too:
 * d products and their sum, each rounded. */
ISA_INLINE float rows_slack(int64_t d)
{
    return (float)(d + 16) * 0x1p-24f;
}

ISA_INLINE float rows_dot(const float *a, const float *b, int64_t d)
{
    vf s0 = vf_all(0), s1 = s0;
    int64_t i = 0;
    for (; i + 2 * W <= d; i += 2 * W) {
        s0 = vf_load(a + i) * vf_load(b + i) + s0;
        s1 = vf_load(a + i + W) * vf_load(b + i + W) + s1;
    }
    for (; i < d; i += W) s0 = vf_load_n(a + i, d - i) * vf_load_n(b + i, d - i) + s0;
    return vf_sum(s0 + s1);
}

/* a . b and a . a at once. */
ISA_INLINE float rows_dots(const float *a, const float *b, int64_t d, float *square)
{
    vf s0 = vf_all(0), s1 = s0, q0 = s0, q1 = s0;
    int64_t i = 0;
    for (; i + 2 * W <= d; i += 2 * W) {
        vf x0 = vf_load(a + i), x1 = vf_load(a + i + W);
        s0 = x0 * vf_load(b + i) + s0;
        s1 = x1 * vf_load(b + i + W) + s1;
        q0 = x0 * x0 + q0;
        q1 = x1 * x1 + q1;
    }
    for (; i < d; i += W) {
        vf x = vf_load_n(a + i, d - i);
        s0 = x * vf_load_n(b + i, d - i) + s0;
        q0 = x * x + q0;
    }
    *square = vf_sum(q0 + q1);
    return vf_sum(s0 + s1);
}

/* Squared distance in f64: decides where f32 cannot. The same order of additions at all levels. */
ISA_INLINE double rows_apart(const float *a, const float *b, int64_t d)
{
    enum { VECS = 8 / VD };
    vd part[VECS] = {{0}};
    double sum[8];
    int64_t i = 0;
    for (; i + 8 <= d; i += 8) {
#pragma GCC unroll 4
        for (int v = 0; v < VECS; v++) {
            vd off = vd_of(a + i + v * VD) - vd_of(b + i + v * VD);
            part[v] = off * off + part[v];
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < VECS; v++) vd_store(sum + v * VD, part[v]);
    for (; i < d; i++) {
        double off = (double)a[i] - (double)b[i];
        sum[0] += off * off;
    }
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Up to 16 rows, row r at x + index[r] * d, become a panel [d][16]; what is missing is 0. */
ISA_INLINE void rows_pack(const float *x, const int32_t *index, int64_t n, int64_t d, float *panel)
{
    const float *row[CPU_PANEL];
    for (int r = 0; r < CPU_PANEL; r++) row[r] = r < n ? x + index[r] * d : NULL;
    for (int64_t i = 0; i < d; i += W) {
        int64_t left = MIN(W, d - i);
        for (int r = 0; r < CPU_PANEL; r += W) {
            vf v[W];
            for (int j = 0; j < W; j++)
                v[j] = row[r + j] ? vf_load_n(row[r + j] + i, left) : vf_all(0);
            vf_transpose(v);
            for (int j = 0; j < left; j++) vf_store(panel + (i + j) * CPU_PANEL + r, v[j]);
        }
    }
}

/* 8 rows of d as a tile reads them: as they lie, or copied where some are missing. */
ISA_INLINE const float *rows_eight(const float *x, int64_t n, int64_t d, float *room)
{
    if (n >= ROWS_TILE) return x;
    memcpy(room, x, (size_t)(n * d) * sizeof *x);
    memset(room + n * d, 0, (size_t)((ROWS_TILE - n) * d) * sizeof *x);
    return room;
}

/* c [8][16], rows apart by ldc, = 8 rows times one panel. */
ISA_INLINE void rows_panel(const float *a, int64_t d, const float *panel, float *c, int64_t ldc)
{
    enum { vecs = CPU_PANEL / W, most = W == 16 ? 8 : W == 8 ? 4 : 2 };
    for (int64_t from = 0; from < ROWS_TILE; from += most) {
        vf sum[most][vecs];
#pragma GCC unroll 8
        for (int r = 0; r < most; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) sum[r][v] = vf_all(0);
        for (int64_t i = 0; i < d; i++) {
#pragma GCC unroll 8
            for (int r = 0; r < most; r++) {
                vf x = vf_all(a[(from + r) * d + i]);
#pragma GCC unroll 4
                for (int v = 0; v < vecs; v++)
                    sum[r][v] = x * vf_load(panel + i * CPU_PANEL + v * W) + sum[r][v];
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < most; r++)
#pragma GCC unroll 4
            for (int v = 0; v < vecs; v++) vf_store(c + (from + r) * ldc + v * W, sum[r][v]);
    }
}

/* c [8][columns] = 8 rows times `k` rows in panels; columns: k in whole tiles. */
ISA_INLINE void rows_products(const float *a, int64_t d, const float *panel, int64_t k, float *c,
                              int64_t columns)
{
    for (int64_t j = 0; j < k; j += ROWS_COLS) {
        if (k - j > 2 * CPU_PANEL) {
            tile_f32(a, d, panel + j * d, CPU_PANEL * d, d, c + j, columns);
            continue;
        }
        if (k - j <= CPU_PANEL) {
            rows_panel(a, d, panel + j * d, c + j, columns);
            continue;
        }
        for (int r = 0; r < ROWS_TILE; r++)
            for (int v = 0; v < 2 * CPU_PANEL; v += W) vf_store(c + r * columns + j + v, vf_all(0));
        tile_f32_onto(a, d, panel + j * d, CPU_PANEL * d, d, c + j, columns);
    }
}
#endif

#endif
