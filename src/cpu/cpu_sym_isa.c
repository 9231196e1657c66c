/* Symmetric matrices: x^T y (gram) and eigenvalues (eigen). See op.def and cpu.h. */
#define ROWS_ISA
#include "cpu/cpu_rows.h"
#include <math.h>

/* ---- gram ------------------------------------------------------------------------------------ */

/* ROWS_BLOCK rows at a time: x turned, so that its columns are rows of a tile, y cut into panels.
 * The f32 sums of a block go into f64, so that no sum of f32 is longer than the block. The next
 * block is packed into the other half of the room, so members wait for each other once a block. */
struct gram {
    const float *x, *y;
    int64_t n, d, e;
    double *out;
    float *turned, *panel; /* [d up][ROWS_BLOCK], [e up / 16][ROWS_BLOCK][16] */
    bool square;           /* y is x: one triangle is enough */
};

static void gram_turn(const struct gram *g, int64_t row, int64_t rows, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i += W) {
        for (int64_t r = 0; r < ROWS_BLOCK; r += W) {
            vf v[W];
            for (int64_t j = 0; j < W; j++)
                v[j] = r + j < rows && i < g->d
                           ? vf_load_n(g->x + (row + r + j) * g->d + i, g->d - i)
                           : vf_all(0);
            vf_transpose(v);
            for (int64_t j = 0; j < W; j++) vf_store(g->turned + (i + j) * ROWS_BLOCK + r, v[j]);
        }
    }
}

static void gram_panels(const struct gram *g, int64_t row, int64_t rows, int64_t from, int64_t to)
{
    for (int64_t j = from; j < to; j += CPU_PANEL) {
        float *at = g->panel + j * ROWS_BLOCK;
        for (int64_t r = 0; r < ROWS_BLOCK; r++, at += CPU_PANEL) {
            for (int64_t i = 0; i < CPU_PANEL; i += W) {
                bool there = r < rows && j + i < g->e;
                vf_store(at + i, there ? vf_load_n(g->y + (row + r) * g->e + j + i, g->e - j - i)
                                       : vf_all(0));
            }
        }
    }
}

/* The sum of a column of the block; what is no row is 0. */
static double gram_column(const float *column)
{
    enum { VECS = 4 };
    vd part[VECS] = {{0}};
    double sum = 0;
    for (int64_t r = 0; r < ROWS_BLOCK; r += VECS * VD)
#pragma GCC unroll 4
        for (int v = 0; v < VECS; v++) part[v] += vd_of(column + r + v * VD);
    part[0] = (part[0] + part[1]) + (part[2] + part[3]);
    for (int j = 0; j < VD; j++) sum += part[0][j];
    return sum;
}

/* Columns i..i+7 of x with all of y's, or with those of the triangle, onto out. */
static void gram_eight(const struct gram *g, int64_t i, float *c)
{
    int64_t first = g->square ? i / CPU_PANEL * CPU_PANEL : 0;
    for (int64_t j = first; j < g->e; j += ROWS_COLS) {
        int64_t columns = MIN(ROWS_COLS, g->e - j);
        rows_products(g->turned + i * ROWS_BLOCK, ROWS_BLOCK, g->panel + j * ROWS_BLOCK, columns, c,
                      ROWS_COLS);
        for (int64_t r = 0; r < MIN(ROWS_TILE, g->d - i); r++) {
            double *out = g->out + (i + r) * g->e + j;
            int64_t k = 0;
            for (; k + VD <= columns; k += VD)
                vd_store(out + k, vd_load(out + k) + vd_of(c + r * ROWS_COLS + k));
            for (; k < columns; k++) out[k] += (double)c[r * ROWS_COLS + k];
        }
    }
}

/* A member's part of packing the block that begins at `row`. */
static void gram_pack(struct gram *g, int64_t row, const struct thread_team *team, int id)
{
    int64_t rows = MIN(ROWS_BLOCK, g->n - row), from, to;
    if (rows <= 0) return;
    thread_share(team, id, ALIGN_UP(g->d, CPU_PANEL), CPU_PANEL, &from, &to);
    gram_turn(g, row, rows, from, to);
    thread_share(team, id, ALIGN_UP(g->e, ROWS_COLS), CPU_PANEL, &from, &to);
    gram_panels(g, row, rows, from, to);
}

int ISA_NAME(cpu_sym_gram)(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *x = s->in[0], *y = s->in[1] ? s->in[1] : x;
    struct gram half[2], *g = half;
    float c[ROWS_TILE * ROWS_COLS];
    half[0] = (struct gram){.x = x->data,
                            .y = y->data,
                            .n = x->rows,
                            .d = x->plan->dim[1],
                            .e = y->plan->dim[1],
                            .out = s->out[0]->data,
                            .turned = s->scratch,
                            .square = !s->in[1]};
    g->panel = g->turned + ALIGN_UP(g->d, ROWS_COLS) * ROWS_BLOCK;
    half[1] = half[0];
    half[1].turned = g->panel + ALIGN_UP(g->e, ROWS_COLS) * ROWS_BLOCK;
    half[1].panel = half[1].turned + ALIGN_UP(g->d, ROWS_COLS) * ROWS_BLOCK;
    double *sum = s->out[1] ? s->out[1]->data : NULL;
    int64_t blocks = (g->d + ROWS_TILE - 1) / ROWS_TILE;
    for (int64_t b = id; b < blocks; b += team->n) {
        int64_t rows = MIN(ROWS_TILE, g->d - b * ROWS_TILE);
        memset(g->out + b * ROWS_TILE * g->e, 0, (size_t)(rows * g->e) * sizeof *g->out);
        for (int64_t i = b * ROWS_TILE; sum && i < b * ROWS_TILE + rows; i++) sum[i] = 0;
    }
    gram_pack(g, 0, team, id);
    for (int64_t row = 0; row < g->n; row += ROWS_BLOCK) {
        thread_barrier(team);
        g = &half[row / ROWS_BLOCK % 2];
        gram_pack(&half[g == half], row + ROWS_BLOCK, team, id);
        for (int64_t b = id; b < blocks; b += team->n) {
            gram_eight(g, b * ROWS_TILE, c);
            for (int64_t i = b * ROWS_TILE; sum && i < MIN(g->d, (b + 1) * ROWS_TILE); i++)
                sum[i] += gram_column(g->turned + i * ROWS_BLOCK);
        }
    }
    thread_barrier(team);
    /* eight rows at a time, whose columns of the triangle lie side by side */
    for (int64_t b = id; b < blocks && g->square; b += team->n) {
        int64_t end = MIN(g->d, (b + 1) * ROWS_TILE);
        for (int64_t j = 0; j < end - 1; j++)
            for (int64_t i = MAX(b * ROWS_TILE, j + 1); i < end; i++)
                g->out[i * g->d + j] = g->out[j * g->d + i];
    }
    return 0;
}

/* ---- eigen ----------------------------------------------------------------------------------- */

/* Householder's reflections make the matrix tridiagonal, the QL method with implicit shifts makes
 * that diagonal (both in Golub and Van Loan, Matrix Computations, 8.3). Eigenvectors are rows, so
 * that a reflection is a row's own business and a rotation one of whole rows, of which each member
 * has some of the columns. */
struct eigen {
    int64_t n, line;                   /* doubles between rows of a and v: not a power of two */
    double *a, *v;                     /* a: the reflections, when it is tridiagonal; v: rows */
    double *diagonal, *off, *beta, *p; /* p [2][n] */
    double *own; /* of the member: diagonal, off, and the rotations of some sweeps */
};

/* Below, one member makes the matrix tridiagonal: waiting for others costs more than it takes. */
#define EIGEN_ALONE 256

ISA_INLINE double eigen_dot(const double *a, const double *b, int64_t n)
{
    vd s0 = {0}, s1 = {0};
    double sum = 0;
    int64_t i = 0;
    for (; i + 2 * VD <= n; i += 2 * VD) {
        s0 = vd_load(a + i) * vd_load(b + i) + s0;
        s1 = vd_load(a + i + VD) * vd_load(b + i + VD) + s1;
    }
    s0 += s1;
    for (int j = 0; j < VD; j++) sum += s0[j];
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* row -= ui q + qi u; returns row . v. */
ISA_INLINE double eigen_update(double *row, double ui, const double *q, double qi, const double *u,
                               const double *v, int64_t n)
{
    vd by_q = ui - (vd){0}, by_u = qi - (vd){0}, s0 = {0}, s1 = {0};
    double sum = 0;
    int64_t i = 0;
    for (; i + 2 * VD <= n; i += 2 * VD) {
        vd r0 = vd_load(row + i) - by_q * vd_load(q + i) - by_u * vd_load(u + i);
        vd r1 = vd_load(row + i + VD) - by_q * vd_load(q + i + VD) - by_u * vd_load(u + i + VD);
        vd_store(row + i, r0);
        vd_store(row + i + VD, r1);
        s0 = r0 * vd_load(v + i) + s0;
        s1 = r1 * vd_load(v + i + VD) + s1;
    }
    s0 += s1;
    for (int j = 0; j < VD; j++) sum += s0[j];
    for (; i < n; i++) {
        row[i] -= ui * q[i] + qi * u[i];
        sum += row[i] * v[i];
    }
    return sum;
}

/* Reflections k = 0 .. n - 3: row k becomes (diagonal, off, 0 ..); its vector stays in
 * a[k][k + 1 ..]. What a reflection u changes in the rows below it, u q^T + q u^T, is taken off
 * when the next one passes over them: each is one passage, and members wait once. What all need
 * each computes for itself, so results do not depend on how many there are. */
static void eigen_reflect(const struct eigen *g, struct thread_team *team, int id)
{
    int64_t n = g->n, k = 0;
    double *u = g->own, *q = u + n, *v = q + n;
    memset(u, 0, (size_t)(2 * n) * sizeof *u);
    for (; k + 2 < n; k++) {
        int64_t m = n - k - 1, next = k + 1;
        double *row = g->a + k * g->line, *p = g->p + k % 2 * n;
        for (int64_t j = k; j < n; j++) v[j] = row[j] - (u[k] * q[j] + q[k] * u[j]);
        double norm = sqrt(eigen_dot(v + next, v + next, m)), alpha = v[next] > 0 ? -norm : norm;
        v[next] -= alpha;
        double length = eigen_dot(v + next, v + next, m), beta = length > 0 ? 2 / length : 0;
        for (int64_t i = next; i < n; i++)
            if (i / 8 % team->n == id)
                p[i] = beta * eigen_update(g->a + i * g->line + next, u[i], q + next, q[i],
                                           u + next, v + next, m);
        thread_barrier(team);
        if (id == 0) {
            g->diagonal[k] = v[k];
            g->off[k] = alpha;
            g->beta[k] = beta;
            memcpy(row + next, v + next, (size_t)m * sizeof *row);
        }
        double half = beta / 2 * eigen_dot(p + next, v + next, m);
        for (int64_t j = next; j < n; j++) {
            q[j] = p[j] - half * v[j];
            u[j] = v[j];
        }
    }
    for (; k < n && id == 0; k++) { /* the last two rows */
        double *row = g->a + k * g->line;
        for (int64_t j = k; j < n; j++) row[j] -= u[k] * q[j] + q[k] * u[j];
        g->diagonal[k] = row[k];
        g->off[k] = k + 1 < n ? row[k + 1] : 0;
    }
}

/* Some rows of v: those of the unit matrix, turned by all reflections, the last one first. */
ISA_INLINE void eigen_rows(const struct eigen *g, int64_t first, int count)
{
    double *v = g->v + first * g->line;
    for (int r = 0; r < count; r++) {
        memset(v + r * g->line, 0, (size_t)g->line * sizeof *v);
        v[r * g->line + first + r] = 1;
    }
    for (int64_t k = MIN(first + count - 2, g->n - 3); k >= 0; k--) {
        const double *u = g->a + k * g->line + k + 1;
        int64_t m = g->n - k - 1;
        double factor[4];
#pragma GCC unroll 4
        for (int r = 0; r < count; r++)
            factor[r] = g->beta[k] * eigen_dot(v + r * g->line + k + 1, u, m);
#pragma GCC unroll 4
        for (int r = 0; r < count; r++) {
            double *row = v + r * g->line + k + 1;
            for (int64_t j = 0; j < m; j++) row[j] -= factor[r] * u[j];
        }
    }
}

/* The rotations of rows i, i + 1 for i = high - 1 .. low, of which `turn` has (c, s) at 2 i. */
ISA_INLINE void eigen_rotate(const struct eigen *g, const double *turn, int64_t low, int64_t high,
                             int64_t column, int vecs)
{
    double *row = g->v + high * g->line + column;
    vd h[4];
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) h[v] = vd_load(row + v * VD);
    for (int64_t i = high - 1; i >= low; i--, row -= g->line) {
        vd c = turn[2 * i] - (vd){0}, s = turn[2 * i + 1] - (vd){0};
#pragma GCC unroll 4
        for (int v = 0; v < vecs; v++) {
            vd above = vd_load(row - g->line + v * VD);
            vd_store(row + v * VD, s * above + c * h[v]);
            h[v] = c * above - s * h[v];
        }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vecs; v++) vd_store(row + v * VD, h[v]);
}

enum { EIGEN_SWEEPS = 8 }; /* columns stay in the nearest cache while they are turned by so many */

struct sweeps {
    int count;
    int64_t low[EIGEN_SWEEPS], high[EIGEN_SWEEPS];
    double *turn; /* [EIGEN_SWEEPS][2 n] */
};

/* Columns from..to, of which those that fill no vector reach into the room beyond n. */
static void eigen_turn(const struct eigen *g, struct sweeps *s, int64_t from, int64_t to)
{
    int64_t j = from;
    for (; j + 4 * VD <= to; j += 4 * VD)
        for (int i = 0; i < s->count; i++)
            eigen_rotate(g, s->turn + i * 2 * g->n, s->low[i], s->high[i], j, 4);
    for (; j < to; j += VD)
        for (int i = 0; i < s->count; i++)
            eigen_rotate(g, s->turn + i * 2 * g->n, s->low[i], s->high[i], j, 1);
    s->count = 0;
}

/* One sweep from high down to low; false if it met a 0 on the way and has to begin anew. */
static bool eigen_sweep(double *d, double *e, double *turn, int64_t low, int64_t high,
                        int64_t *reached)
{
    double half = (d[low + 1] - d[low]) / (2 * e[low]), r = sqrt(half * half + 1);
    double g = d[high] - d[low] + e[low] / (half + (half < 0 ? -r : r)), s = 1, c = 1, p = 0;
    for (int64_t i = high - 1; i >= low; i--) {
        double f = s * e[i], b = c * e[i];
        r = sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r == 0) {
            d[i + 1] -= p;
            e[high] = 0;
            *reached = i + 1;
            return false;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        turn[2 * i] = c;
        turn[2 * i + 1] = s;
    }
    d[low] -= p;
    e[low] = g;
    e[high] = 0;
    *reached = low;
    return true;
}

/* All members do the same with numbers of their own, and turn their columns of v. */
static int eigen_diagonal(const struct eigen *g, int64_t from, int64_t to)
{
    double *d = g->own, *e = d + g->n;
    struct sweeps s = {.turn = e + g->n};
    memcpy(d, g->diagonal, (size_t)g->n * sizeof *d);
    memcpy(e, g->off, (size_t)g->n * sizeof *e);
    for (int64_t low = 0; low < g->n; low++) {
        for (int tries = 0;; tries++) {
            int64_t high = low;
            for (; high < g->n - 1; high++)
                if (fabs(e[high]) <= 0x1p-53 * (fabs(d[high]) + fabs(d[high + 1]))) break;
            if (high == low) break;
            if (tries == 60) return -1; /* never seen: two or three are usual */
            eigen_sweep(d, e, s.turn + s.count * 2 * g->n, low, high, &s.low[s.count]);
            s.high[s.count++] = high;
            if (s.count == EIGEN_SWEEPS) eigen_turn(g, &s, from, to);
        }
    }
    eigen_turn(g, &s, from, to);
    return 0;
}

/* Row `place` of the result: the place-th largest, with its sign. */
static void eigen_put(const struct eigen *g, int64_t i, double size, double *value, double *vector)
{
    const double *d = g->own, *from = g->v + i * g->line;
    int64_t place = 0, widest = 0;
    for (int64_t j = 0; j < g->n; j++) place += d[j] > d[i] || (d[j] == d[i] && j < i);
    for (int64_t j = 0; j < g->n; j++) widest = fabs(from[j]) > fabs(from[widest]) ? j : widest;
    value[place] = d[i] * size;
    for (int64_t j = 0; j < g->n; j++)
        vector[place * g->n + j] = from[widest] < 0 ? -from[j] : from[j];
}

int ISA_NAME(cpu_sym_eigen)(const struct cpu_step *s, struct thread_team *team, int id)
{
    struct eigen g = {.n = s->in[0]->plan->dim[0]};
    struct thread_team alone = {.n = 1};
    const double *in = s->in[0]->data;
    int64_t n = g.n, from, to, i = 4 * id;
    double size = 0;
    g.line = rows_eigen_line(n);
    g.a = s->scratch;
    g.v = g.a + n * g.line;
    g.diagonal = g.v + n * g.line;
    g.off = g.diagonal + n;
    g.beta = g.off + n;
    g.p = g.beta + n;
    g.own = g.p + 2 * n + (size_t)id * rows_eigen_own(n);
    for (int64_t j = 0; j < n * n; j++) size = fabs(in[j]) > size ? fabs(in[j]) : size;
    size = size > 0 ? size : 1; /* so that squares neither overflow nor vanish */
    thread_share(team, id, n, 1, &from, &to);
    for (int64_t r = from; r < to; r++)
        for (int64_t j = 0; j < n; j++) g.a[r * g.line + j] = in[r * n + j] / size;
    thread_barrier(team);
    if (n >= EIGEN_ALONE)
        eigen_reflect(&g, team, id);
    else if (id == 0)
        eigen_reflect(&g, &alone, 0);
    thread_barrier(team);
    for (; i + 4 <= n; i += 4 * team->n) eigen_rows(&g, i, 4);
    for (; i < n; i++) eigen_rows(&g, i, 1);
    thread_barrier(team);
    thread_share(team, id, n, 2 * VD, &from, &to);
    int rc = eigen_diagonal(&g, from, to);
    thread_barrier(team);
    thread_share(team, id, n, 1, &from, &to);
    for (int64_t r = from; r < to; r++) eigen_put(&g, r, size, s->out[0]->data, s->out[1]->data);
    return rc;
}
