/* Eigenvalues and eigenvectors of a symmetric matrix, by one block; see k_moment.h.
 *
 * Householder's reflections make it tridiagonal, the QL method with implicit shifts makes that
 * diagonal (Golub and Van Loan, Matrix Computations, 8.3), as in cpu_sym_isa.c. Eigenvectors are
 * rows of v; thread t has columns t, t + MOMENT_EIGEN_THREADS, .., of them all, so a sweep's
 * rotations, which thread 0 works out, are every thread's own business. */
#include "gpu/dev.h"
#include "gpu/k_moment.h"

#define EIGEN_WARPS (MOMENT_EIGEN_THREADS / DEV_WARP)
#define EIGEN_STEP  MOMENT_EIGEN_THREADS

struct eigen_told { /* what thread 0 tells the block */
    int low, high;  /* the rows that turn */
    int from;       /* where the next sweep is looked for */
    int done;
};

/* Over the block, in the order of the warps. part: shared [EIGEN_WARPS]. */
DEV_FN double eigen_block_sum(double v, double *part)
{
    v = dev_sum_f64(v);
    dev_sync();
    if (dev_lane() == 0) part[dev_warp()] = v;
    dev_sync();
    v = 0.0;
    for (int i = 0; i < EIGEN_WARPS; i++) v += part[i];
    return v;
}

DEV_FN double eigen_block_max(double v, double *part)
{
    for (int i = 16; i > 0; i >>= 1) {
        double other = dev_shfl_xor_f64(v, i);
        v = other > v ? other : v;
    }
    dev_sync();
    if (dev_lane() == 0) part[dev_warp()] = v;
    dev_sync();
    v = 0.0;
    for (int i = 0; i < EIGEN_WARPS; i++) v = part[i] > v ? part[i] : v;
    return v;
}

/* Row k becomes (diagonal, off, 0 ..); the reflection's vector stays in a[k][k + 1 ..]. A warp has
 * a row of the product. */
DEV_FN void eigen_reflect(const struct moment_eigen *e, int k, double *part)
{
    int n = e->n, m = n - k - 1, t = (int)threadIdx.x;
    double *v = e->a + (int64_t)k * n + k + 1, *p = e->p, sum = 0.0;
    for (int i = t; i < m; i += EIGEN_STEP) sum += v[i] * v[i];
    double norm = dev_sqrt64(eigen_block_sum(sum, part)), alpha = v[0] > 0.0 ? -norm : norm;
    dev_sync();
    if (t == 0) {
        e->diagonal[k] = e->a[(int64_t)k * n + k];
        e->off[k] = alpha;
        v[0] -= alpha;
    }
    dev_sync();
    sum = 0.0;
    for (int i = t; i < m; i += EIGEN_STEP) sum += v[i] * v[i];
    double length = eigen_block_sum(sum, part), beta = length > 0.0 ? 2.0 / length : 0.0;
    if (t == 0) e->beta[k] = beta;
    for (int i = dev_warp(); i < m; i += EIGEN_WARPS) {
        const double *row = e->a + (int64_t)(k + 1 + i) * n + k + 1;
        double dot = 0.0;
        for (int j = dev_lane(); j < m; j += DEV_WARP) dot += row[j] * v[j];
        dot = dev_sum_f64(dot);
        if (dev_lane() == 0) p[i] = beta * dot;
    }
    dev_sync();
    sum = 0.0;
    for (int i = t; i < m; i += EIGEN_STEP) sum += p[i] * v[i];
    sum = eigen_block_sum(sum, part) * beta / 2.0;
    dev_sync();
    for (int i = t; i < m; i += EIGEN_STEP) p[i] -= sum * v[i];
    dev_sync();
    for (int i = dev_warp(); i < m; i += EIGEN_WARPS) {
        double *row = e->a + (int64_t)(k + 1 + i) * n + k + 1;
        for (int j = dev_lane(); j < m; j += DEV_WARP) row[j] -= v[i] * p[j] + p[i] * v[j];
    }
    dev_sync();
}

/* Rows of v: those of the unit matrix, turned by all reflections, the last one first. By warps. */
DEV_FN void eigen_rows(const struct moment_eigen *e)
{
    int n = e->n;
    for (int i = dev_warp(); i < n; i += EIGEN_WARPS) {
        double *row = e->v + (int64_t)i * n;
        for (int j = dev_lane(); j < n; j += DEV_WARP) row[j] = j == i ? 1.0 : 0.0;
        dev_warp_sync();
        for (int k = i - 1 < n - 3 ? i - 1 : n - 3; k >= 0; k--) {
            const double *u = e->a + (int64_t)k * n + k + 1;
            double dot = 0.0;
            for (int j = dev_lane(); j < n - k - 1; j += DEV_WARP) dot += row[k + 1 + j] * u[j];
            dot = e->beta[k] * dev_sum_f64(dot);
            for (int j = dev_lane(); j < n - k - 1; j += DEV_WARP) row[k + 1 + j] -= dot * u[j];
            dev_warp_sync();
        }
    }
}

/* One sweep from high down to low, which it may not reach: where it ended. Thread 0. */
DEV_FN int eigen_sweep(const struct moment_eigen *a, int low, int high)
{
    double *d = a->diagonal, *e = a->off;
    double half = (d[low + 1] - d[low]) / (2.0 * e[low]), r = dev_sqrt64(half * half + 1.0);
    double g = d[high] - d[low] + e[low] / (half + (half < 0.0 ? -r : r)), s = 1.0, c = 1.0;
    double p = 0.0;
    for (int i = high - 1; i >= low; i--) {
        double f = s * e[i], b = c * e[i];
        r = dev_sqrt64(f * f + g * g);
        e[i + 1] = r;
        if (r == 0.0) {
            d[i + 1] -= p;
            e[high] = 0.0;
            return i + 1;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        a->turn[2 * i] = c;
        a->turn[2 * i + 1] = s;
    }
    d[low] -= p;
    e[low] = g;
    e[high] = 0.0;
    return low;
}

/* The rotations of rows i, i + 1 for i = high - 1 .. low. */
DEV_FN void eigen_rotate(const struct moment_eigen *e, int low, int high)
{
    int64_t n = e->n;
    for (int j = (int)threadIdx.x; j < n; j += EIGEN_STEP) {
        double *at = e->v + high * n + j, h = *at;
        for (int i = high - 1; i >= low; i--, at -= n) {
            double g = at[-n], c = e->turn[2 * i], s = e->turn[2 * i + 1];
            *at = s * g + c * h;
            h = c * g - s * h;
        }
        *at = h;
    }
}

/* The next sweep from `low` on, if one is needed. Thread 0. */
DEV_FN struct eigen_told eigen_next(const struct moment_eigen *a, int low, int *tries)
{
    struct eigen_told told;
    double *d = a->diagonal, *e = a->off;
    for (; low < a->n; low++, *tries = 0) {
        int high = low;
        for (; high < a->n - 1; high++)
            if (dev_abs64(e[high]) <=
                1.1102230246251565e-16 * (dev_abs64(d[high]) + dev_abs64(d[high + 1])))
                break;
        if (high == low || (*tries)++ == 60) continue; /* 60: never seen; two or three are usual */
        told.done = 0;
        told.from = low;
        told.high = high;
        told.low = eigen_sweep(a, low, high);
        return told;
    }
    told.low = told.high = told.from = 0;
    told.done = 1;
    return told;
}

/* Row `place` of the result: the place-th largest, with its sign. By a warp. */
DEV_FN void eigen_put(const struct moment_eigen *e, int i, double size)
{
    const double *d = e->diagonal, *from = e->v + (int64_t)i * e->n;
    int place = 0, at = 0;
    double widest = -1.0;
    for (int j = dev_lane(); j < e->n; j += DEV_WARP) {
        place += d[j] > d[i] || (d[j] == d[i] && j < i);
        if (dev_abs64(from[j]) > widest) widest = dev_abs64(from[j]), at = j;
    }
    place = dev_sum_i32(place);
    for (int m = 16; m > 0; m >>= 1) {
        double other = dev_shfl_xor_f64(widest, m);
        int j = dev_shfl_xor_i32(at, m);
        if (other > widest || (other == widest && j < at)) widest = other, at = j;
    }
    double sign = from[at] < 0.0 ? -1.0 : 1.0;
    if (dev_lane() == 0) e->value[place] = d[i] * size;
    for (int j = dev_lane(); j < e->n; j += DEV_WARP)
        e->vector[(int64_t)place * e->n + j] = sign * from[j];
}

DEV_KERNEL(eigen, struct moment_eigen, e, MOMENT_EIGEN_THREADS)
{
    DEV_SHARED(double, part, EIGEN_WARPS);
    DEV_SHARED(struct eigen_told, told, 1);
    int n = e.n, t = (int)threadIdx.x, low = 0, tries = 0;
    int64_t nn = (int64_t)n * n;
    double size = 0.0;
    for (int64_t i = t; i < nn; i += EIGEN_STEP)
        size = dev_abs64(e.in[i]) > size ? dev_abs64(e.in[i]) : size;
    size = eigen_block_max(size, part);
    size = size > 0.0 ? size : 1.0; /* so that squares neither overflow nor vanish */
    for (int64_t i = t; i < nn; i += EIGEN_STEP) e.a[i] = e.in[i] / size;
    dev_sync();
    for (int k = 0; k + 2 < n; k++) eigen_reflect(&e, k, part);
    if (t == 0) {
        for (int k = n > 2 ? n - 2 : 0; k < n; k++) e.diagonal[k] = e.a[(int64_t)k * n + k];
        if (n > 1) e.off[n - 2] = e.a[(int64_t)(n - 2) * n + n - 1];
        e.off[n - 1] = 0.0;
    }
    dev_sync();
    eigen_rows(&e);
    for (;;) {
        dev_sync();
        if (t == 0) {
            struct eigen_told next = eigen_next(&e, low, &tries);
            low = next.from;
            told[0] = next;
        }
        dev_sync();
        struct eigen_told now = told[0];
        if (now.done) break;
        eigen_rotate(&e, now.low, now.high);
    }
    for (int i = dev_warp(); i < n; i += EIGEN_WARPS) eigen_put(&e, i, size);
}
