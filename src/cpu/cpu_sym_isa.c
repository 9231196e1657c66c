/* Symmetric matrices: x^T y (gram) and eigenvalues (eigen). See op.def and cpu.h. */
#define ROWS_ISA
#include "cpu/cpu_rows.h"
#include <math.h>

/* ---- gram ------------------------------------------------------------------------------------ */

/* ROWS_BLOCK rows at a time: x turned, so that its columns are rows of a tile, y cut into panels.
 * The f32 sums of a block go into f64, so that no sum of f32 is longer than the block. */
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
    int64_t first = g->square ? i / ROWS_COLS * ROWS_COLS : 0;
    for (int64_t j = first; j < g->e; j += ROWS_COLS) {
        tile_f32(g->turned + i * ROWS_BLOCK, ROWS_BLOCK, g->panel + j * ROWS_BLOCK,
                 CPU_PANEL * ROWS_BLOCK, ROWS_BLOCK, c, ROWS_COLS);
        int64_t columns = MIN(ROWS_COLS, g->e - j);
        for (int64_t r = 0; r < MIN(ROWS_TILE, g->d - i); r++) {
            double *out = g->out + (i + r) * g->e + j;
            for (int64_t k = 0; k < columns; k++) out[k] += (double)c[r * ROWS_COLS + k];
        }
    }
}

int ISA_NAME(cpu_sym_gram)(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *x = s->in[0], *y = s->in[1] ? s->in[1] : x;
    struct gram g = {.x = x->data, .y = y->data, .n = x->rows, .out = s->out[0]->data};
    float c[ROWS_TILE * ROWS_COLS];
    int64_t from, to;
    g.d = x->plan->dim[1];
    g.e = y->plan->dim[1];
    g.square = !s->in[1];
    g.turned = s->scratch;
    g.panel = g.turned + ALIGN_UP(g.d, ROWS_COLS) * ROWS_BLOCK;
    double *sum = s->out[1] ? s->out[1]->data : NULL;
    int64_t blocks = (g.d + ROWS_TILE - 1) / ROWS_TILE;
    for (int64_t b = id; b < blocks; b += team->n) {
        int64_t rows = MIN(ROWS_TILE, g.d - b * ROWS_TILE);
        memset(g.out + b * ROWS_TILE * g.e, 0, (size_t)(rows * g.e) * sizeof *g.out);
        for (int64_t i = b * ROWS_TILE; sum && i < b * ROWS_TILE + rows; i++) sum[i] = 0;
    }
    for (int64_t row = 0; row < g.n; row += ROWS_BLOCK) {
        int64_t rows = MIN(ROWS_BLOCK, g.n - row);
        thread_share(team, id, ALIGN_UP(g.d, CPU_PANEL), CPU_PANEL, &from, &to);
        gram_turn(&g, row, rows, from, to);
        thread_share(team, id, ALIGN_UP(g.e, ROWS_COLS), CPU_PANEL, &from, &to);
        gram_panels(&g, row, rows, from, to);
        thread_barrier(team);
        for (int64_t b = id; b < blocks; b += team->n) {
            gram_eight(&g, b * ROWS_TILE, c);
            for (int64_t i = b * ROWS_TILE; sum && i < MIN(g.d, (b + 1) * ROWS_TILE); i++)
                sum[i] += gram_column(g.turned + i * ROWS_BLOCK);
        }
        thread_barrier(team);
    }
    for (int64_t i = id; i < g.d && g.square; i += team->n)
        for (int64_t j = 0; j < i; j++) g.out[i * g.d + j] = g.out[j * g.d + i];
    return 0;
}

/* ---- eigen ----------------------------------------------------------------------------------- */

/* Householder's reflections make the matrix tridiagonal, the QL method with implicit shifts makes
 * that diagonal (both in Golub and Van Loan, Matrix Computations, 8.3). Eigenvectors are rows, so
 * that a reflection is a row's own business and a rotation one of whole rows, of which each member
 * has some of the columns. */
struct eigen {
    int64_t n, line; /* doubles between rows of a and v: not a power of two */
    double *a, *v;   /* a: the reflections, when it is tridiagonal; v: rows */
    double *diagonal, *off, *beta, *p;
    double *part; /* [members] */
    double *own;  /* of the member: diagonal, off, and the rotations of a sweep */
};

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

/* One reflection: row k becomes (diagonal, off, 0 ..); its vector stays in a[k][k + 1 ..]. */
static void eigen_reflect(const struct eigen *g, int64_t k, struct thread_team *team, int id)
{
    int64_t m = g->n - k - 1, from, to;
    double *v = g->a + k * g->line + k + 1, *p = g->p + k + 1;
    if (id == 0) {
        double norm = sqrt(eigen_dot(v, v, m)), alpha = v[0] > 0 ? -norm : norm;
        g->diagonal[k] = g->a[k * g->line + k];
        g->off[k] = alpha;
        v[0] -= alpha;
        double length = eigen_dot(v, v, m);
        g->beta[k] = length > 0 ? 2 / length : 0;
    }
    thread_barrier(team);
    double beta = g->beta[k], sum = 0;
    thread_share(team, id, m, 8, &from, &to);
    for (int64_t i = from; i < to; i++) {
        p[i] = beta * eigen_dot(g->a + (k + 1 + i) * g->line + k + 1, v, m);
        sum += p[i] * v[i];
    }
    g->part[id * 8] = sum;
    thread_barrier(team);
    sum = 0;
    for (int i = 0; i < team->n; i++) sum += g->part[i * 8];
    for (int64_t i = from; i < to; i++) p[i] -= beta / 2 * sum * v[i];
    thread_barrier(team);
    for (int64_t i = from; i < to; i++) {
        double *row = g->a + (k + 1 + i) * g->line + k + 1, a = v[i], b = p[i];
        for (int64_t j = 0; j < m; j++) row[j] -= a * p[j] + b * v[j];
    }
    thread_barrier(team);
}

/* Rows of v: those of the unit matrix, turned by all reflections, the last one first. */
static void eigen_rows(const struct eigen *g, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++) {
        double *row = g->v + i * g->line;
        memset(row, 0, (size_t)g->n * sizeof *row);
        row[i] = 1;
        for (int64_t k = MIN(i - 1, g->n - 3); k >= 0; k--) {
            const double *u = g->a + k * g->line + k + 1;
            double factor = g->beta[k] * eigen_dot(row + k + 1, u, g->n - k - 1);
            for (int64_t j = 0; j < g->n - k - 1; j++) row[k + 1 + j] -= factor * u[j];
        }
    }
}

/* The rotations of rows i, i + 1 for i = high - 1 .. low, columns from..to. */
static void eigen_rotate(const struct eigen *g, const double *turn, int64_t low, int64_t high,
                         int64_t from, int64_t to)
{
    int64_t j = from;
    for (; j + 2 * VD <= to; j += 2 * VD) {
        double *row = g->v + high * g->line + j;
        vd h0 = vd_load(row), h1 = vd_load(row + VD);
        for (int64_t i = high - 1; i >= low; i--, row -= g->line) {
            vd c = turn[2 * i] - (vd){0}, s = turn[2 * i + 1] - (vd){0};
            vd g0 = vd_load(row - g->line), g1 = vd_load(row - g->line + VD);
            vd_store(row, s * g0 + c * h0);
            vd_store(row + VD, s * g1 + c * h1);
            h0 = c * g0 - s * h0;
            h1 = c * g1 - s * h1;
        }
        vd_store(row, h0);
        vd_store(row + VD, h1);
    }
    for (; j < to; j++) {
        for (int64_t i = high - 1; i >= low; i--) {
            double *a = g->v + i * g->line + j, *b = a + g->line, x = *a, y = *b;
            *b = turn[2 * i + 1] * x + turn[2 * i] * y;
            *a = turn[2 * i] * x - turn[2 * i + 1] * y;
        }
    }
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
    double *d = g->own, *e = d + g->n, *turn = e + g->n;
    memcpy(d, g->diagonal, (size_t)g->n * sizeof *d);
    memcpy(e, g->off, (size_t)g->n * sizeof *e);
    e[g->n - 1] = 0;
    for (int64_t low = 0; low < g->n; low++) {
        for (int tries = 0;; tries++) {
            int64_t high = low, reached;
            for (; high < g->n - 1; high++)
                if (fabs(e[high]) <= 0x1p-53 * (fabs(d[high]) + fabs(d[high + 1]))) break;
            if (high == low) break;
            if (tries == 60) return -1; /* never seen: two or three are usual */
            eigen_sweep(d, e, turn, low, high, &reached);
            eigen_rotate(g, turn, reached, high, from, to);
        }
    }
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
    const double *in = s->in[0]->data;
    int64_t n = g.n, from, to;
    double size = 0;
    g.line = rows_eigen_line(n);
    g.a = s->scratch;
    g.v = g.a + n * g.line;
    g.diagonal = g.v + n * g.line;
    g.off = g.diagonal + n;
    g.beta = g.off + n;
    g.p = g.beta + n;
    g.part = g.p + n;
    g.own = g.part + 8 * s->threads + (size_t)id * 4 * (size_t)n;
    for (int64_t i = 0; i < n * n; i++) size = fmax(size, fabs(in[i]));
    size = size > 0 ? size : 1; /* so that squares neither overflow nor vanish */
    thread_share(team, id, n, 1, &from, &to);
    for (int64_t i = from; i < to; i++)
        for (int64_t j = 0; j < n; j++) g.a[i * g.line + j] = in[i * n + j] / size;
    thread_barrier(team);
    for (int64_t k = 0; k + 2 < n; k++) eigen_reflect(&g, k, team, id);
    if (id == 0) {
        for (int64_t k = MAX(n - 2, 0); k < n; k++) g.diagonal[k] = g.a[k * g.line + k];
        if (n > 1) g.off[n - 2] = g.a[(n - 2) * g.line + n - 1];
    }
    eigen_rows(&g, from, to);
    thread_barrier(team);
    thread_share(team, id, n, 2 * VD, &from, &to);
    int rc = eigen_diagonal(&g, from, to);
    thread_barrier(team);
    thread_share(team, id, n, 1, &from, &to);
    for (int64_t i = from; i < to; i++) eigen_put(&g, i, size, s->out[0]->data, s->out[1]->data);
    return rc;
}
