/* The reference kernels of clustering: as cpu_ref.c, every op in plain C, sums in double. */
#include "cpu/cpu_ref.h"
#include <math.h>
#include <string.h>

static float *f32(const struct cpu_value *v)
{
    assert(v->plan->type == DTYPE_F32);
    return v->data;
}

static const int32_t *i32(const struct cpu_value *v)
{
    assert(v->plan->type == DTYPE_I32);
    return v->data;
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

static double *f64(const struct cpu_value *v)
{
    assert(v->plan->type == DTYPE_F64);
    return v->data;
}

static int32_t *ints(const struct cpu_value *v)
{
    assert(v->plan->type == DTYPE_I32);
    return v->data;
}

static double apart2(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double off = (double)a[i] - (double)b[i];
        sum += off * off;
    }
    return sum;
}

/* The first row where the running sum of closest exceeds draw * its whole. */
static int64_t drawn(const float *closest, int64_t n, double draw)
{
    double whole = 0, sum = 0;
    for (int64_t i = 0; i < n; i++) whole += (double)closest[i];
    for (int64_t i = 0; i < n; i++) {
        sum += (double)closest[i];
        if (sum > draw * whole) return i;
    }
    return n - 1;
}

int cpu_ref_seed(const struct cpu_step *s, struct thread_team *team, int id)
{
    (void)team;
    const float *x = f32(s->in[0]);
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1];
    int64_t starts = s->in[1]->plan->dim[0], tries = s->in[1]->plan->dim[1];
    bool first = i32(s->in[2])[0];
    for (int64_t i = 0; i < starts && id == 0; i++) {
        const double *draw = f64(s->in[1]) + i * tries;
        float *closest = f32(s->out[2]) + i * n;
        double *least = f64(s->out[1]) + i;
        int64_t best = -1;
        for (int64_t c = 0; c < (first ? 1 : tries); c++) {
            int64_t row = first ? (int64_t)(draw[0] * (double)n) : drawn(closest, n, draw[c]);
            double sum = 0;
            for (int64_t r = 0; r < n; r++) {
                double d2 = apart2(x + r * d, x + row * d, d);
                sum += first ? d2 : fmin(d2, (double)closest[r]);
            }
            if (best >= 0 && sum >= *least) continue;
            best = row;
            *least = sum;
        }
        for (int64_t r = 0; r < n; r++) {
            float d2 = (float)apart2(x + r * d, x + best * d, d);
            closest[r] = first ? d2 : fminf(d2, closest[r]);
        }
        ints(s->out[0])[i] = (int32_t)best;
    }
    return 0;
}

static void lloyd_set(const struct cpu_step *s, int64_t set)
{
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1], k = s->in[1]->plan->dim[1];
    const float *centre = f32(s->in[1]) + set * k * d;
    bool fresh = f32(s->in[2])[set * k] == -1;
    double *sum = f64(s->out[0]) + set * k * d;
    int32_t *count = ints(s->out[1]) + set * (k + 1), *label = ints(s->out[2]) + set * n;
    memset(sum, 0, (size_t)(k * d) * sizeof *sum);
    memset(count, 0, (size_t)(k + 1) * sizeof *count);
    for (int64_t r = 0; r < n; r++) {
        const float *row = f32(s->in[0]) + r * d;
        float *bound = f32(s->out[3]) + (set * n + r) * 2;
        double least = INFINITY, second = INFINITY;
        int32_t best = 0, was = fresh ? -1 : label[r];
        for (int64_t j = 0; j < k; j++) {
            double d2 = apart2(row, centre + j * d, d);
            second = fmin(second, fmax(d2, least));
            if (d2 >= least) continue;
            least = d2;
            best = (int32_t)j;
        }
        bound[0] = (float)sqrt(least);
        bound[1] = (float)sqrt(second);
        if (best == was) continue;
        label[r] = best;
        count[best]++;
        count[k]++;
        for (int64_t i = 0; i < d; i++) sum[best * d + i] += (double)row[i];
        if (was < 0) continue;
        count[was]--;
        for (int64_t i = 0; i < d; i++) sum[was * d + i] -= (double)row[i];
    }
}

int cpu_ref_lloyd(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t from, to;
    thread_share(team, id, s->in[1]->plan->dim[0], 1, &from, &to);
    for (int64_t set = from; set < to; set++) {
        if (f32(s->in[2])[set * s->in[1]->plan->dim[1]] > -2) lloyd_set(s, set);
    }
    return 0;
}

int cpu_ref_spread(const struct cpu_step *s, struct thread_team *team, int id)
{
    (void)team;
    if (id) return 0;
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1];
    double *sums = f64(s->out[0]);
    memset(sums, 0, (size_t)s->in[1]->plan->dim[0] * 2 * sizeof *sums);
    for (int64_t r = 0; r < n; r++) {
        int32_t k = i32(s->in[2])[r];
        if (s->out[1]) f32(s->out[1])[r] = 0;
        if (k < 0) continue;
        double d2 = apart2(f32(s->in[0]) + r * d, f32(s->in[1]) + k * d, d);
        sums[2 * k] += d2;
        sums[2 * k + 1] += sqrt(d2);
        if (s->out[1]) f32(s->out[1])[r] = (float)d2;
    }
    return 0;
}

int cpu_ref_gram(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *y = s->in[1] ? s->in[1] : s->in[0];
    int64_t n = s->in[0]->rows, d = s->in[0]->plan->dim[1], e = y->plan->dim[1], from, to;
    thread_share(team, id, d, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        double *out = f64(s->out[0]) + i * e, sum = 0;
        memset(out, 0, (size_t)e * sizeof *out);
        for (int64_t r = 0; r < n; r++) {
            double a = (double)f32(s->in[0])[r * d + i];
            sum += a;
            for (int64_t j = 0; j < e; j++) out[j] += a * (double)f32(y)[r * e + j];
        }
        if (s->out[1]) f64(s->out[1])[i] = sum;
    }
    return 0;
}

/* One of Jacobi's rotations: makes a[p][q] zero; v's rows turn with it. */
static void rotate(double *a, double *v, int64_t n, int64_t p, int64_t q)
{
    double off = a[p * n + q];
    if (off == 0) return;
    double half = (a[q * n + q] - a[p * n + p]) / (2 * off);
    double t = (half >= 0 ? 1 : -1) / (fabs(half) + sqrt(half * half + 1));
    double c = 1 / sqrt(t * t + 1), d = t * c;
    for (int64_t i = 0; i < n; i++) {
        double x = a[i * n + p], y = a[i * n + q];
        a[i * n + p] = c * x - d * y;
        a[i * n + q] = d * x + c * y;
    }
    for (int64_t i = 0; i < n; i++) {
        double x = a[p * n + i], y = a[q * n + i], vx = v[p * n + i], vy = v[q * n + i];
        a[p * n + i] = c * x - d * y;
        a[q * n + i] = d * x + c * y;
        v[p * n + i] = c * vx - d * vy;
        v[q * n + i] = d * vx + c * vy;
    }
}

/* Jacobi's method: slow, and as exact as can be. */
int cpu_ref_eigen(const struct cpu_step *s, struct thread_team *team, int id)
{
    (void)team;
    if (id) return 0;
    int64_t n = s->in[0]->plan->dim[0];
    double *a = s->scratch, *value = f64(s->out[0]), *v = f64(s->out[1]), size = 0, off = 1;
    memcpy(a, s->in[0]->data, (size_t)(n * n) * sizeof *a);
    memset(v, 0, (size_t)(n * n) * sizeof *v);
    for (int64_t i = 0; i < n; i++) v[i * n + i] = 1;
    for (int64_t i = 0; i < n * n; i++) size += a[i] * a[i];
    for (int sweep = 0; sweep < 60 && off > size * 1e-30; sweep++) {
        off = 0;
        for (int64_t p = 0; p < n; p++) {
            for (int64_t q = p + 1; q < n; q++) {
                off += a[p * n + q] * a[p * n + q];
                rotate(a, v, n, p, q);
            }
        }
    }
    for (int64_t i = 0; i < n; i++) value[i] = a[i * n + i];
    for (int64_t i = 0; i < n; i++) {
        int64_t top = i, widest = 0;
        for (int64_t j = i + 1; j < n; j++) top = value[j] > value[top] ? j : top;
        double swap = value[i];
        value[i] = value[top];
        value[top] = swap;
        for (int64_t j = 0; j < n; j++) {
            swap = v[i * n + j];
            v[i * n + j] = v[top * n + j];
            v[top * n + j] = swap;
            if (fabs(v[i * n + j]) > fabs(v[i * n + widest])) widest = j;
        }
        if (v[i * n + widest] >= 0) continue;
        for (int64_t j = 0; j < n; j++) v[i * n + j] = -v[i * n + j];
    }
    return 0;
}

int cpu_ref_project(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t d = s->in[0]->plan->dim[1], m = s->in[1]->plan->dim[0], from, to;
    thread_share(team, id, s->in[0]->rows, 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        for (int64_t j = 0; j < m; j++) {
            double sum = dot(f32(s->in[0]) + r * d, f32(s->in[1]) + j * d, d);
            f32(s->out[0])[r * m + j] = (float)(sum + (double)f32(s->in[2])[j]);
        }
    }
    return 0;
}

/* z of op.def for one row and one cluster; room: d doubles. Returns |z|^2. */
static double whitened(const struct cpu_step *s, const float *x, int64_t k, double *z)
{
    const struct plan_value *scale = s->in[1]->plan;
    int64_t d = s->in[0]->plan->dim[1];
    const float *shift = f32(s->in[2]) + k * d, *a = f32(s->in[1]);
    double sum = 0;
    bool tied = scale->rank == 3 && scale->dim[0] == 1;
    if (scale->rank == 3 && !tied) a += k * d * d;
    for (int64_t i = 0; i < d; i++) {
        z[i] = scale->rank == 2 ? (double)x[i] * (double)a[k * d + i] : 0;
        for (int64_t j = 0; j < d && scale->rank == 3; j++)
            z[i] += ((double)x[j] - (tied ? 0 : (double)shift[j])) * (double)a[j * d + i];
        if (scale->rank == 2 || tied) z[i] -= (double)shift[i];
        sum += z[i] * z[i];
    }
    return sum;
}

int cpu_ref_estep(const struct cpu_step *s, struct thread_team *team, int id)
{
    (void)team;
    if (id) return 0;
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1], k = s->in[2]->plan->dim[0];
    int64_t width = s->out[2]->plan->dim[1];
    double *sums = f64(s->out[2]), *total = f64(s->out[1]), *log_p = s->scratch, *z = log_p + k;
    memset(sums, 0, (size_t)(k * width) * sizeof *sums);
    *total = 0;
    for (int64_t r = 0; r < n; r++) {
        const float *x = f32(s->in[0]) + r * d;
        double most = -INFINITY, whole = 0;
        for (int64_t j = 0; j < k; j++) {
            log_p[j] = f64(s->in[3])[j] - whitened(s, x, j, z) / 2;
            if (log_p[j] > most) ints(s->out[0])[r] = (int32_t)j;
            most = fmax(most, log_p[j]);
        }
        for (int64_t j = 0; j < k; j++) whole += exp(log_p[j] - most);
        *total += most + log(whole);
        for (int64_t j = 0; j < k; j++) {
            double p = exp(log_p[j] - most) / whole, *to = sums + j * width;
            *to++ += p;
            for (int64_t i = 0; i < d; i++) *to++ += p * (double)x[i];
            for (int64_t i = 0; i < d && width == 1 + 2 * d; i++)
                *to++ += p * (double)x[i] * (double)x[i];
            for (int64_t i = 0; i < d * d && width > 1 + 2 * d; i++)
                *to++ += p * (double)x[i / d] * (double)x[i % d];
        }
    }
    return 0;
}

int cpu_ref_density(const struct cpu_step *s, struct thread_team *team, int id)
{
    (void)team;
    if (id) return 0;
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1], ends = 0;
    const float *x = f32(s->in[0]);
    double eps2 = f64(s->in[1])[0] * f64(s->in[1])[0];
    int32_t *label = ints(s->out[0]), *count = ints(s->out[1]), clusters = 0, *queue = s->scratch;
    for (int64_t i = 0; i < n; i++) {
        label[i] = -1;
        count[i] = 0;
        for (int64_t j = 0; j < n; j++) count[i] += apart2(x + i * d, x + j * d, d) <= eps2;
    }
    for (int64_t i = 0; i < n; i++) {
        if (label[i] >= 0 || count[i] < s->step->args.top) continue;
        label[i] = clusters++;
        queue[ends++] = (int32_t)i;
        while (ends > 0) {
            int64_t at = queue[--ends];
            for (int64_t j = 0; j < n; j++) {
                if (label[j] >= 0 || apart2(x + at * d, x + j * d, d) > eps2) continue;
                label[j] = label[i];
                if (count[j] >= s->step->args.top) queue[ends++] = (int32_t)j;
            }
        }
    }
    return 0;
}

/* Squared distance of two rows; a row is nearer to itself than to its equals. */
static double away(const float *x, int64_t i, int64_t j, int64_t d)
{
    return i == j ? -1 : apart2(x + i * d, x + j * d, d);
}

int cpu_ref_near(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1], from, to;
    int most = s->step->args.top;
    thread_share(team, id, n, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        const float *x = f32(s->in[0]);
        int32_t *index = ints(s->out[0]) + i * most;
        float *d2 = f32(s->out[1]) + i * most;
        int have = 0;
        for (int64_t j = 0; j < n; j++) {
            double off = away(x, i, j, d);
            int at = have < most ? have : most;
            while (at > 0 && off < away(x, i, index[at - 1], d)) {
                if (at < most) {
                    d2[at] = d2[at - 1];
                    index[at] = index[at - 1];
                }
                at--;
            }
            if (at == most) continue;
            d2[at] = (float)off;
            index[at] = (int32_t)j;
            have += have < most;
        }
        d2[0] = 0;
    }
    return 0;
}

int cpu_ref_apart(const struct cpu_step *s, struct thread_team *team, int id)
{
    (void)team;
    if (id) return 0;
    int64_t n = s->in[0]->plan->dim[0], d = s->in[0]->plan->dim[1], clusters = s->step->args.top;
    const int32_t *label = i32(s->in[1]);
    double *sum = s->scratch, *size = sum + clusters;
    memset(size, 0, (size_t)clusters * sizeof *size);
    for (int64_t i = 0; i < n; i++)
        if (label[i] >= 0) size[label[i]]++;
    for (int64_t i = 0; i < n; i++) {
        const float *x = f32(s->in[0]);
        f32(s->out[0])[i] = 0;
        if (label[i] < 0) continue;
        memset(sum, 0, (size_t)clusters * sizeof *sum);
        for (int64_t j = 0; j < n; j++)
            if (label[j] >= 0) sum[label[j]] += sqrt(apart2(x + i * d, x + j * d, d));
        double own = sum[label[i]] / (size[label[i]] - 1), other = INFINITY;
        for (int64_t k = 0; k < clusters; k++)
            if (k != label[i] && size[k] > 0) other = fmin(other, sum[k] / size[k]);
        bool alone = size[label[i]] == 1 || !(fmax(own, other) > 0) || isinf(other);
        f32(s->out[0])[i] = alone ? 0 : (float)((other - own) / fmax(own, other));
    }
    return 0;
}

int cpu_ref_diffuse(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t n = s->in[2]->plan->dim[0], b = s->in[2]->plan->dim[1], from, to;
    const int32_t *start = i32(s->in[0]), *column = start + n + 1;
    const float *v = f32(s->in[2]), *factor = f32(s->in[3]);
    thread_share(team, id, n, 1, &from, &to);
    for (int64_t i = from * b; i < to * b; i++) {
        double sum = 0;
        for (int32_t at = start[i / b]; at < start[i / b + 1]; at++)
            sum += (double)f32(s->in[1])[at] * (double)v[column[at] * b + i % b];
        float *y = f32(s->out[0]) + i;
        double old = factor[2] == 0 ? 0 : (double)factor[2] * (double)*y;
        *y = (float)((double)factor[0] * sum + (double)factor[1] * (double)v[i] + old);
    }
    return 0;
}
