/* logmel: as many frames at once as a vector has lanes, one in each lane, so that the transform is
 * written as for one frame and nothing is shuffled inside it.
 *
 *     pcm -- turned --> [400] -- window, pairs --> complex [200] -- radix 5, 5, 4, 2 --> [200]
 *         -- split --> power [201] -- bands --> [M] -- log10 --> mel [M][t .. t + lanes) */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_isa.h"
#include <math.h>

struct complex_line { /* numbers of one stage, apart */
    vf *re, *im;
};

struct point {
    vf re, im;
};

ISA_INLINE struct point at(struct complex_line x, int64_t i)
{
    return (struct point){x.re[i], x.im[i]};
}

/* y[i] = v * exp(-2 pi i turn / 200) */
ISA_INLINE void put(struct complex_line y, int64_t i, struct point v, const struct fast_mel *m,
                    int64_t turn)
{
    float re = m->turn_re[turn], im = m->turn_im[turn];
    y.re[i] = v.re * re - v.im * im;
    y.im[i] = v.re * im + v.im * re;
}

ISA_INLINE struct point add(struct point a, struct point b)
{
    return (struct point){a.re + b.re, a.im + b.im};
}

ISA_INLINE struct point sub(struct point a, struct point b)
{
    return (struct point){a.re - b.re, a.im - b.im};
}

/* a - i b and a + i b */
ISA_INLINE struct point add_turned(struct point a, struct point b)
{
    return (struct point){a.re + b.im, a.im - b.re};
}

ISA_INLINE struct point sub_turned(struct point a, struct point b)
{
    return (struct point){a.re - b.im, a.im + b.re};
}

ISA_INLINE struct point scaled(struct point a, float by)
{
    return (struct point){a.re * by, a.im * by};
}

/* One stage of a Stockham transform of n points, `apart` of them side by side: the points p + j m,
 * m = n / radix, become n / m points of transforms of m points; they come out in order. */
static void radix5(struct complex_line x, struct complex_line y, int64_t n, int64_t apart,
                   const struct fast_mel *m)
{
    /* cos and sin of 2 pi / 5 and 4 pi / 5 */
    const float c1 = 0.309016994f, c2 = -0.809016994f, s1 = 0.951056516f, s2 = 0.587785252f;
    int64_t part = n / 5, step = FAST_HALF / n;
    for (int64_t p = 0; p < part; p++) {
        for (int64_t q = 0; q < apart; q++) {
            const int64_t from = q + apart * p, jump = apart * part, to = q + apart * 5 * p;
            struct point a0 = at(x, from), a1 = at(x, from + jump), a2 = at(x, from + 2 * jump);
            struct point a3 = at(x, from + 3 * jump), a4 = at(x, from + 4 * jump);
            struct point p1 = add(a1, a4), p2 = add(a2, a3), d1 = sub(a1, a4), d2 = sub(a2, a3);
            struct point e1 = add(a0, add(scaled(p1, c1), scaled(p2, c2)));
            struct point e2 = add(a0, add(scaled(p1, c2), scaled(p2, c1)));
            struct point o1 = add(scaled(d1, s1), scaled(d2, s2));
            struct point o2 = sub(scaled(d1, s2), scaled(d2, s1));
            put(y, to, add(a0, add(p1, p2)), m, 0);
            put(y, to + apart, add_turned(e1, o1), m, p * step);
            put(y, to + 2 * apart, add_turned(e2, o2), m, 2 * p * step);
            put(y, to + 3 * apart, sub_turned(e2, o2), m, 3 * p * step);
            put(y, to + 4 * apart, sub_turned(e1, o1), m, 4 * p * step);
        }
    }
}

static void radix4(struct complex_line x, struct complex_line y, int64_t n, int64_t apart,
                   const struct fast_mel *m)
{
    int64_t part = n / 4, step = FAST_HALF / n;
    for (int64_t p = 0; p < part; p++) {
        for (int64_t q = 0; q < apart; q++) {
            const int64_t from = q + apart * p, jump = apart * part, to = q + apart * 4 * p;
            struct point a0 = at(x, from), a1 = at(x, from + jump);
            struct point a2 = at(x, from + 2 * jump), a3 = at(x, from + 3 * jump);
            struct point e0 = add(a0, a2), e1 = sub(a0, a2), o0 = add(a1, a3), o1 = sub(a1, a3);
            put(y, to, add(e0, o0), m, 0);
            put(y, to + apart, add_turned(e1, o1), m, p * step);
            put(y, to + 2 * apart, sub(e0, o0), m, 2 * p * step);
            put(y, to + 3 * apart, sub_turned(e1, o1), m, 3 * p * step);
        }
    }
}

/* The last stage, which has nothing to turn. */
static void radix2(struct complex_line x, struct complex_line y, int64_t apart)
{
    for (int64_t q = 0; q < apart; q++) {
        struct point a0 = at(x, q), a1 = at(x, q + apart), sum = add(a0, a1), rest = sub(a0, a1);
        y.re[q] = sum.re;
        y.im[q] = sum.im;
        y.re[q + apart] = rest.re;
        y.im[q + apart] = rest.im;
    }
}

/* |X|^2 of the real transform of 400 from the complex one of 200, Z, of its pairs:
 * 2 X[k] = Z[k] + conj Z[200 - k] - i exp(-2 pi i k / 400) (Z[k] - conj Z[200 - k]). */
static void powers(struct complex_line z, const struct fast_mel *m, vf *power)
{
    vf first = z.re[0] + z.im[0], last = z.re[0] - z.im[0];
    power[0] = first * first;
    power[FAST_HALF] = last * last;
    for (int64_t k = 1; k < FAST_HALF; k++) {
        struct point a = at(z, k), b = at(z, FAST_HALF - k);
        vf e_re = a.re + b.re, e_im = a.im - b.im, o_re = a.re - b.re, o_im = a.im + b.im;
        vf re = e_re + (o_im * m->last_re[k] + o_re * m->last_im[k]);
        vf im = e_im + (o_im * m->last_im[k] - o_re * m->last_re[k]);
        power[k] = (re * re + im * im) * 0.25f;
    }
}

/* Frames t .. t + W - 1 (those from t_count on stand in for the last) to power [201]. room: 4 x 200
 * vectors. */
static void spectrum(const float *pcm, int64_t t, int64_t t_count, const struct fast_mel *m,
                     vf *room, vf *power)
{
    struct complex_line x = {room, room + FAST_HALF};
    struct complex_line y = {room + 2 * FAST_HALF, room + 3 * FAST_HALF};
    for (int64_t n = 0; n < FAST_FRAME; n += W) {
        vf r[W];
        for (int64_t i = 0; i < W; i++)
            r[i] = vf_load(pcm + MIN(t + i, t_count - 1) * FAST_HOP + n) * vf_load(m->window + n);
        vf_transpose(r);
        for (int64_t i = 0; i < W; i += 2) {
            x.re[(n + i) / 2] = r[i];
            x.im[(n + i) / 2] = r[i + 1];
        }
    }
    radix5(x, y, 200, 1, m);
    radix5(y, x, 40, 5, m);
    radix4(x, y, 8, 25, m);
    radix2(y, x, 100);
    powers(x, m, power);
}

/* First bin and the one after the last that each band hears: band [M][2]. */
static void find_bands(const float *filters, int64_t m_count, int32_t *band)
{
    for (int64_t m = 0; m < m_count; m++) {
        const float *f = filters + m * FAST_BINS;
        int32_t from = 0, to = FAST_BINS;
        while (from < to && f[from] == 0) from++;
        while (to > from && f[to - 1] == 0) to--;
        band[2 * m] = from;
        band[2 * m + 1] = to;
    }
}

int ISA_NAME(cpu_mel_logmel)(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *pcm = s->in[0], *mel = s->out[0];
    const float *filters = s->in[1]->data;
    int64_t samples = pcm->plan->dim[1], m_count = mel->plan->dim[1], t_count = mel->plan->dim[2];
    int64_t b_count = pcm->rows, blocks = (t_count + W - 1) / W, from, to;
    float *scratch = s->scratch;
    vf *room = (vf *)(scratch + (size_t)id * fast_mel_floats()), *power = room + 4 * FAST_HALF;
    float *most = scratch + (size_t)s->threads * fast_mel_floats();
    int32_t *band = (int32_t *)(most + s->threads * b_count) + id * 2 * m_count;
    find_bands(filters, m_count, band);
    for (int64_t b = 0; b < b_count; b++) most[id * b_count + b] = -INFINITY;
    thread_share(team, id, b_count * blocks, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        int64_t b = i / blocks, t = i % blocks * W, left = t_count - t;
        spectrum((const float *)pcm->data + b * samples, t, t_count, s->own, room, power);
        vf top = vf_all(-INFINITY);
        for (int64_t m = 0; m < m_count; m++) {
            vf sum = vf_all(0);
            for (int64_t k = band[2 * m]; k < band[2 * m + 1]; k++)
                sum += power[k] * filters[m * FAST_BINS + k];
            vf log10 = vf_log2(vf_max(sum, vf_all(1e-10f))) * 0.301029996f;
            vf_store_n((float *)mel->data + (b * m_count + m) * t_count + t, log10, left);
            top = vf_max(log10, top); /* frames that stand in for the last change nothing */
        }
        most[id * b_count + b] = fmaxf(most[id * b_count + b], vf_most(top));
    }
    thread_barrier(team);
    thread_share(team, id, b_count, 1, &from, &to);
    for (int64_t b = from; b < to; b++) {
        float top = -INFINITY;
        for (int i = 0; i < team->n; i++) top = fmaxf(top, most[i * b_count + b]);
        ((float *)s->out[1]->data)[b] = top;
    }
    return 0;
}
