/* Every op in plain C: obvious first, then exact (sums in double), then fast. The oracle of
 * opcheck, and what runs where no better kernel fits. See op.def for the formulas. */
#include "cpu/cpu_ref.h"
#include <math.h>
#include <string.h>

/* The data of a value, its type asserted: op.c checked shapes, nets choose types. */
static float *f32(const struct cpu_value *v)
{
    assert(v->plan->type == DTYPE_F32 || (v->plan->life == PLAN_WEIGHT && v->form == CPU_F32));
    return v->data;
}

static const int32_t *i32(const struct cpu_value *v)
{
    assert(v->plan->type == DTYPE_I32);
    return v->data;
}

/* An element of a cache: f32, f16 or i8. */
static float cache_get(const struct cpu_value *v, int64_t i)
{
    if (v->plan->type == DTYPE_F32) return ((const float *)v->data)[i];
    if (v->plan->type == DTYPE_I8)
        return ((const int8_t *)v->data)[i] * *cpu_value_scales(v, i / cpu_value_width(v));
    assert(v->plan->type == DTYPE_F16);
    return tensor_f16_to_f32(((const uint16_t *)v->data)[i]);
}

static void cache_put(const struct cpu_value *v, int64_t i, float x)
{
    if (v->plan->type == DTYPE_F32) {
        ((float *)v->data)[i] = x;
    } else {
        assert(v->plan->type == DTYPE_F16);
        ((uint16_t *)v->data)[i] = tensor_f32_to_f16(x);
    }
}

/* Row `row` of a cache's last dimension from numbers `step` apart. room: for as many. */
static void cache_put_row(const struct cpu_value *v, int64_t row, const float *x, int64_t step,
                          float *room)
{
    int64_t n = cpu_value_width(v);
    for (int64_t i = 0; i < n; i++) room[i] = x[i * step];
    if (v->plan->type == DTYPE_I8)
        *cpu_value_scales(v, row) = cpu_pack_to_i8(room, n, (int8_t *)v->data + row * n);
    for (int64_t i = 0; v->plan->type != DTYPE_I8 && i < n; i++) cache_put(v, row * n + i, room[i]);
}

/* Four sums side by side: one would wait for itself at every addition. */
static double dot(const float *a, const float *b, int64_t n)
{
    double sum[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (int j = 0; j < 4; j++) sum[j] += (double)a[i + j] * (double)b[i + j];
    }
    for (; i < n; i++) sum[0] += (double)a[i] * (double)b[i];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

static double act(enum op_act which, double x)
{
    switch (which) {
    case OP_ACT_GELU:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case OP_ACT_RELU:
        return x > 0 ? x : 0;
    case OP_ACT_NONE:
        break;
    }
    return x;
}

/* Turns n scores into weights that sum to 1. */
static void softmax(double *score, int64_t n)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, score[i]);
    for (int64_t i = 0; i < n; i++) sum += score[i] = exp(score[i] - most);
    for (int64_t i = 0; i < n; i++) score[i] /= sum;
}

static int64_t dim(const struct plan *p, int value, int i)
{
    return p->value[value].dim[i];
}

/* Rows of the product of a linear step: all dimensions of x but the last. */
static int64_t most_lines(const struct plan_value *x)
{
    return x->rank > 1 ? tensor_count(x->rank - 1, x->dim) : 1;
}

/* Waveforms of logmel: the window and one turn of cosine and sine. */
enum { FFT = 400, BINS = FFT / 2 + 1, HOP = 160 };

/* Bytes of quantised activations: rows of i8, their factors, and what their 0 stands for. */
static size_t i8_lines_bytes(int64_t lines, int64_t k)
{
    return (size_t)ALIGN_UP(lines * k, BASE_LINE) + 2 * (size_t)lines * sizeof(float);
}

size_t cpu_ref_scratch(const struct plan *p, const struct plan_step *s, int threads)
{
    size_t team = (size_t)threads;
    switch (s->op) {
    case OP_logmel:
        return team * (3 * FFT + BINS) * sizeof(double);
    case OP_conv1d:
        return team * (size_t)cpu_value_k(&p->value[s->in[1]]) * sizeof(float);
    case OP_linear: {
        const struct plan_value *x = &p->value[s->in[0]];
        int64_t k = cpu_value_k(&p->value[s->in[1]]);
        return team * (size_t)ALIGN_UP(k * 4, BASE_LINE) + i8_lines_bytes(most_lines(x), k);
    }
    case OP_attention:
        return team * (size_t)dim(p, s->in[0], 1) * sizeof(double);
    case OP_attnrange:
        return team * (size_t)dim(p, s->in[0], 0) * sizeof(double);
    case OP_crosskv:
        return team * (size_t)(dim(p, s->out[0], 2) + dim(p, s->out[0], 3)) * sizeof(float);
    case OP_attnself:
        return team * (size_t)dim(p, s->in[3], 1) * sizeof(double);
    case OP_attncross:
        return team * (size_t)dim(p, s->in[2], 3) * sizeof(double);
    case OP_pick:
        return team * (size_t)dim(p, s->in[0], 1) * sizeof(float);
    case OP_lstm:
        return (size_t)dim(p, s->out[1], 0) * sizeof(float);
    case OP_eigen:
        return (size_t)(dim(p, s->in[0], 0) * dim(p, s->in[0], 1)) * sizeof(double);
    case OP_estep:
        return (size_t)(dim(p, s->in[2], 0) + dim(p, s->in[0], 1)) * sizeof(double);
    case OP_density:
        return (size_t)dim(p, s->in[0], 0) * sizeof(int32_t);
    case OP_apart:
        return 2 * (size_t)s->args.top * sizeof(double);
    default:
        return 0;
    }
}

/* One frame: [BINS] powers of 400 windowed samples, by the definition of the transform. */
static void frame_power(const float *pcm, const double *window, const double *cosine,
                        const double *sine, double *power)
{
    for (int bin = 0; bin < BINS; bin++) {
        double re = 0, im = 0;
        for (int i = 0, turn = 0; i < FFT; i++) {
            double x = (double)pcm[i] * window[i];
            re += x * cosine[turn];
            im -= x * sine[turn];
            turn += bin;
            if (turn >= FFT) turn -= FFT;
        }
        power[bin] = re * re + im * im;
    }
}

int cpu_ref_logmel(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *pcm = s->in[0], *filters = s->in[1], *mel = s->out[0];
    int64_t n = pcm->plan->dim[1], m_count = mel->plan->dim[1], t_count = mel->plan->dim[2];
    double *window = (double *)s->scratch + (size_t)id * (3 * FFT + BINS);
    double *cosine = window + FFT, *sine = cosine + FFT, *power = sine + FFT;
    for (int i = 0; i < FFT; i++) {
        double angle = 2 * M_PI * i / FFT;
        cosine[i] = cos(angle);
        sine[i] = sin(angle);
        window[i] = 0.5 - 0.5 * cosine[i]; /* periodic Hann */
    }
    int64_t from, to;
    thread_share(team, id, pcm->rows * t_count, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t b = at / t_count, t = at % t_count;
        frame_power(f32(pcm) + b * n + HOP * t, window, cosine, sine, power);
        for (int64_t m = 0; m < m_count; m++) {
            const float *filter = f32(filters) + m * BINS;
            double sum = 0;
            for (int bin = 0; bin < BINS; bin++) sum += (double)filter[bin] * power[bin];
            f32(mel)[(b * m_count + m) * t_count + t] = (float)log10(fmax(sum, 1e-10));
        }
    }
    thread_barrier(team);
    thread_share(team, id, pcm->rows, 1, &from, &to);
    for (int64_t b = from; b < to; b++) {
        float most = -INFINITY;
        for (int64_t i = 0; i < m_count * t_count; i++)
            most = fmaxf(most, f32(mel)[b * m_count * t_count + i]);
        f32(s->out[1])[b] = most;
    }
    return 0;
}

int cpu_ref_melnorm(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *mel = s->in[0];
    int64_t m_count = mel->plan->dim[1], t_count = mel->plan->dim[2], from, to;
    thread_share(team, id, mel->rows * t_count, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t b = at / t_count, t = at % t_count;
        float *out = f32(s->out[0]) + at * m_count;
        double floor_db = (double)f32(s->in[1])[b] - 8;
        bool content = t < i32(s->in[2])[b];
        for (int64_t m = 0; m < m_count; m++) {
            double x = (double)f32(mel)[(b * m_count + m) * t_count + t];
            out[m] = content ? (float)((fmax(x, floor_db) + 4) / 4) : 0.0f;
        }
    }
    return 0;
}

int cpu_ref_conv1d(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *x = s->in[0], *w = s->in[1], *y = s->out[0];
    const float *bias = s->in[2] ? f32(s->in[2]) : NULL;
    int64_t t_in = x->plan->dim[1], channels = x->plan->dim[2];
    int64_t t_out = y->plan->dim[1], n_count = y->plan->dim[2], from, to;
    float *row = (float *)s->scratch + id * cpu_value_k(w->plan);
    thread_share(team, id, n_count, 1, &from, &to);
    for (int64_t n = from; n < to; n++) {
        cpu_pack_read(w, n, row);
        for (int64_t at = 0; at < x->rows * t_out; at++) {
            int64_t b = at / t_out, middle = at % t_out * s->step->args.stride;
            double sum = bias ? (double)bias[n] : 0;
            for (int tap = 0; tap < 3; tap++) {
                int64_t t = middle + tap - 1;
                if (t < 0 || t >= t_in) continue; /* the padding is 0 */
                sum += dot(row + tap * channels, f32(x) + (b * t_in + t) * channels, channels);
            }
            f32(y)[at * n_count + n] = (float)act(s->step->args.act, sum);
        }
    }
    return 0;
}

int cpu_ref_addpos(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *x = s->in[0];
    int64_t window = x->plan->dim[1] * x->plan->dim[2], from, to;
    thread_share(team, id, x->rows * window, 1, &from, &to);
    for (int64_t i = from; i < to; i++) f32(s->out[0])[i] = f32(x)[i] + f32(s->in[1])[i % window];
    return 0;
}

int cpu_ref_layernorm(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t width = cpu_value_width(s->in[0]), from, to;
    const float *gain = f32(s->in[1]), *offset = f32(s->in[2]);
    thread_share(team, id, cpu_value_lines(s->in[0]), 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *x = f32(s->in[0]) + r * width;
        float *y = f32(s->out[0]) + r * width;
        double mean = 0, var = 0;
        for (int64_t c = 0; c < width; c++) mean += (double)x[c];
        mean /= (double)width;
        for (int64_t c = 0; c < width; c++) var += pow((double)x[c] - mean, 2);
        double by = 1 / sqrt(var / (double)width + (double)s->step->args.eps);
        for (int64_t c = 0; c < width; c++)
            y[c] = (float)(((double)x[c] - mean) * by * (double)gain[c] + (double)offset[c]);
    }
    return 0;
}

/* The product of one line and one row of weights, before bias: i8 sums are exact, so the order of
 * their factors does not matter. */
static double product_i8(const int8_t *x, const int8_t *w, int64_t k)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < k; i++) sum += x[i] * w[i];
    return sum;
}

/* A row as q - 128 with args.skew of op.def; *zero: what q = 128 stands for. */
static float skew_to_i8(const float *row, int64_t k, int8_t *q, float *zero)
{
    float least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < k; i++) {
        least = fminf(least, row[i]);
        most = fmaxf(most, row[i]);
    }
    float to_u8 = isnormal(255.0f / (most - least)) ? 255.0f / (most - least) : 1.0f;
    for (int64_t i = 0; i < k; i++) {
        float u = rintf((row[i] - least) * to_u8);
        q[i] = (int8_t)((u >= 0 && u <= 255 ? (int)u : 0) - 128);
    }
    *zero = least + 128 / to_u8;
    return 1.0f / to_u8;
}

int cpu_ref_linear(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *x = s->in[0], *w = s->in[1], *y = s->out[0];
    const float *bias = s->in[2] ? f32(s->in[2]) : NULL;
    const float *residual = s->in[3] ? f32(s->in[3]) : NULL;
    int64_t lines = cpu_value_lines(x), k = cpu_value_k(w->plan), n_count = w->plan->dim[0];
    /* scratch: a row of weights for each member, then all lines of x in i8, then their factors */
    char *rows = s->scratch;
    char *mine = rows + id * ALIGN_UP(k * 4, BASE_LINE);
    int8_t *q = (int8_t *)(rows + s->threads * ALIGN_UP(k * 4, BASE_LINE));
    float *factor = (float *)(q + ALIGN_UP(most_lines(x->plan) * k, BASE_LINE));
    float *zero = factor + most_lines(x->plan);
    bool in_i8 = w->form == CPU_I8;
    int64_t from, to;
    if (in_i8) {
        thread_share(team, id, lines, 1, &from, &to);
        for (int64_t r = from; r < to; r++) {
            zero[r] = 0;
            factor[r] = s->step->args.skew ? skew_to_i8(f32(x) + r * k, k, q + r * k, &zero[r])
                                           : cpu_pack_to_i8(f32(x) + r * k, k, q + r * k);
        }
        thread_barrier(team);
    }
    thread_share(team, id, n_count, 1, &from, &to);
    for (int64_t n = from; n < to; n++) {
        if (in_i8)
            cpu_pack_read_i8(w, n, (int8_t *)mine);
        else
            cpu_pack_read(w, n, (float *)mine);
        for (int64_t r = 0; r < lines; r++) {
            double sum = in_i8 ? (product_i8(q + r * k, (int8_t *)mine, k) * (double)factor[r] +
                                  w->comp[n] / 128 * (double)zero[r]) *
                                     (double)w->scale[n]
                               : dot(f32(x) + r * k, (float *)mine, k);
            if (bias) sum += (double)bias[n];
            sum = act(s->step->args.act, sum);
            if (residual) sum += (double)residual[r * n_count + n];
            f32(y)[r * n_count + n] = (float)sum;
        }
    }
    return 0;
}

int cpu_ref_attention(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *qkv = s->in[0];
    int64_t t_count = qkv->plan->dim[1], width = qkv->plan->dim[2], c_count = width / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to;
    double *weight = (double *)s->scratch + id * t_count;
    thread_share(team, id, qkv->rows * heads * t_count, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t t = at % t_count, h = at / t_count % heads, b = at / t_count / heads;
        const float *first = f32(qkv) + b * t_count * width + h * d_count; /* q of t = 0 */
        const float *q = first + t * width, *k = first + c_count, *v = k + c_count;
        for (int64_t u = 0; u < t_count; u++)
            weight[u] = dot(q, k + u * width, d_count) * (double)s->step->args.scale;
        softmax(weight, t_count);
        float *out = f32(s->out[0]) + (b * t_count + t) * c_count + h * d_count;
        for (int64_t d = 0; d < d_count; d++) {
            double sum = 0;
            for (int64_t u = 0; u < t_count; u++) sum += weight[u] * (double)v[u * width + d];
            out[d] = (float)sum;
        }
    }
    return 0;
}

int cpu_ref_crosskv(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *kv = s->in[0], *keys = s->out[0], *values = s->out[1];
    int64_t t_count = kv->plan->dim[1], c_count = kv->plan->dim[2] / 2;
    int64_t d_count = keys->plan->dim[2], heads = c_count / d_count, from, to;
    float *room = (float *)s->scratch + id * (d_count + t_count);
    thread_share(team, id, kv->rows * heads, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t b = at / heads, head = i32(s->in[1])[b] * heads + at % heads;
        const float *k = f32(kv) + b * t_count * 2 * c_count + at % heads * d_count;
        for (int64_t d = 0; d < d_count; d++)
            cache_put_row(keys, head * d_count + d, k + d, 2 * c_count, room);
        for (int64_t t = 0; t < t_count; t++)
            cache_put_row(values, head * t_count + t, k + t * 2 * c_count + c_count, 1, room);
    }
    return 0;
}

int cpu_ref_embed(const struct cpu_step *s, struct thread_team *team, int id)
{
    const float *positions = f32(s->in[3]);
    int64_t c_count = cpu_value_width(s->out[0]), from, to;
    thread_share(team, id, s->in[0]->rows, 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        float *out = f32(s->out[0]) + r * c_count;
        cpu_pack_read(s->in[2], i32(s->in[0])[r], out);
        for (int64_t c = 0; c < c_count; c++) out[c] += positions[i32(s->in[1])[r] * c_count + c];
    }
    return 0;
}

int cpu_ref_attnself(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *qkv = s->in[0], *keys = s->out[1], *values = s->out[2];
    const int32_t *position = i32(s->in[1]), *sequence = i32(s->in[2]), *history = i32(s->in[3]);
    int64_t p_count = s->in[3]->plan->dim[1], c_count = qkv->plan->dim[1] / 3;
    int64_t heads = s->step->args.heads, d_count = c_count / heads, from, to;
    thread_share(team, id, qkv->rows, 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *k = f32(qkv) + r * 3 * c_count + c_count, *v = k + c_count;
        int64_t base = (sequence[r] * p_count + position[r]) * c_count;
        for (int64_t c = 0; c < c_count; c++) {
            cache_put(keys, base + c, k[c]);
            cache_put(values, base + c, v[c]);
        }
    }
    thread_barrier(team);
    double *weight = (double *)s->scratch + id * p_count;
    thread_share(team, id, qkv->rows * heads, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t r = at / heads, h = at % heads, t_count = position[r] + 1;
        const int32_t *line = history + sequence[r] * p_count; /* whose keys count at each t */
        const float *q = f32(qkv) + r * 3 * c_count + h * d_count;
        for (int64_t t = 0; t < t_count; t++) {
            int64_t base = (line[t] * p_count + t) * c_count + h * d_count;
            double sum = 0;
            for (int64_t d = 0; d < d_count; d++)
                sum += (double)q[d] * (double)cache_get(keys, base + d);
            weight[t] = sum * (double)s->step->args.scale;
        }
        softmax(weight, t_count);
        for (int64_t d = 0; d < d_count; d++) {
            double sum = 0;
            for (int64_t t = 0; t < t_count; t++) {
                int64_t base = (line[t] * p_count + t) * c_count + h * d_count;
                sum += weight[t] * (double)cache_get(values, base + d);
            }
            f32(s->out[0])[r * c_count + h * d_count + d] = (float)sum;
        }
    }
    return 0;
}

int cpu_ref_attncross(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *keys = s->in[2], *values = s->in[3];
    int64_t heads = keys->plan->dim[1], d_count = keys->plan->dim[2], t_count = keys->plan->dim[3];
    double *weight = (double *)s->scratch + id * t_count;
    int64_t from, to;
    thread_share(team, id, s->in[0]->rows * heads, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t r = at / heads, h = at % heads;
        int64_t base = (i32(s->in[1])[r] * heads + h) * d_count * t_count;
        const float *q = f32(s->in[0]) + at * d_count;
        for (int64_t t = 0; t < t_count; t++) {
            double sum = 0;
            for (int64_t d = 0; d < d_count; d++)
                sum += (double)q[d] * (double)cache_get(keys, base + d * t_count + t);
            weight[t] = sum * (double)s->step->args.scale;
        }
        softmax(weight, t_count);
        for (int64_t d = 0; d < d_count; d++) {
            double sum = 0;
            for (int64_t t = 0; t < t_count; t++)
                sum += weight[t] * (double)cache_get(values, base + t * d_count + d);
            f32(s->out[0])[at * d_count + d] = (float)sum;
        }
        for (int64_t t = 0; s->out[1] && t < t_count; t++)
            f32(s->out[1])[(r * heads + h) * t_count + t] = (float)weight[t];
    }
    return 0;
}

int cpu_ref_gather(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t c_count = s->in[0]->plan->dim[1], from, to;
    thread_share(team, id, s->in[1]->rows, 1, &from, &to);
    for (int64_t g = from; g < to; g++) {
        memcpy(f32(s->out[0]) + g * c_count, f32(s->in[0]) + i32(s->in[1])[g] * c_count,
               (size_t)c_count * sizeof(float));
    }
    return 0;
}

/* Writes to left[V] the logits of one row after ban and rules: -inf for what may not be sampled. */
static void apply_rules(const struct op_args *args, const float *logits, const float *ban,
                        const int32_t *rule, int64_t v_count, float *left)
{
    int64_t time0 = args->time0 >= 0 ? args->time0 : v_count;
    for (int64_t v = 0; v < v_count; v++) {
        bool banned = v == rule[3] || v == rule[4];
        banned |= (rule[0] & OP_RULE_BAN_TEXT) && v < args->eot;
        banned |= (rule[0] & OP_RULE_BAN_EOT) && v == args->eot;
        banned |= v >= time0 && ((rule[0] & OP_RULE_BAN_TIMES) || v < rule[1] || v > rule[2]);
        left[v] = logits[v] + ban[v];
        if (banned || isnan(left[v])) left[v] = -INFINITY;
    }
}

/* log(sum(exp(x / temperature))) of n logits; -inf if none is finite. */
static double mass(const float *x, int64_t n, double temperature)
{
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, (double)x[i]);
    if (isinf(most)) return -INFINITY;
    for (int64_t i = 0; i < n; i++) sum += exp(((double)x[i] - most) / temperature);
    return most / temperature + log(sum);
}

static float largest(const float *x, int64_t n)
{
    float most = -INFINITY;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, x[i]);
    return most;
}

/* The token after `before` in falling order of x, the lower one first among equals. before -1: the
 * first of all. */
static int64_t next_best(const float *x, int64_t n, int64_t before)
{
    int64_t best = -1;
    for (int64_t v = 0; v < n; v++) {
        bool after = before < 0 || x[v] < x[before] || (x[v] == x[before] && v > before);
        if (after && (best < 0 || x[v] > x[best])) best = v;
    }
    return best;
}

/* The first token whose cumulative softmax(x / temperature) exceeds u; the last possible one if
 * rounding leaves none; -1 if none is possible. */
static int64_t sample(const float *x, int64_t n, double temperature, double u)
{
    double whole = mass(x, n, temperature), sum = 0;
    int64_t last = -1;
    for (int64_t v = 0; v < n && sum <= u; v++) {
        if (isinf(x[v])) continue;
        last = v;
        sum += exp((double)x[v] / temperature - whole);
    }
    return last;
}

static float log_chance(const float *x, int64_t token, double whole)
{
    return isinf(x[token]) ? -INFINITY : (float)((double)x[token] - whole);
}

int cpu_ref_pick(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct op_args *args = &s->step->args;
    int64_t v_count = s->in[0]->plan->dim[1], from, to;
    float *left = (float *)s->scratch + id * v_count;
    thread_share(team, id, s->in[0]->rows, 1, &from, &to);
    for (int64_t g = from; g < to; g++) {
        const float *logits = f32(s->in[0]) + g * v_count, *chance = f32(s->in[3]) + g * 2;
        const int32_t *rule = i32(s->in[2]) + g * OP_RULES;
        apply_rules(args, logits, f32(s->in[1]), rule, v_count, left);
        if ((rule[0] & OP_RULE_MASS) && args->time0 >= 0) {
            double times = mass(left + args->time0, v_count - args->time0, 1);
            if (times > (double)largest(left, args->time0)) {
                for (int64_t v = 0; v < args->time0; v++) left[v] = -INFINITY;
            }
        }
        double whole = mass(left, v_count, 1);
        int32_t *top = (int32_t *)s->out[0]->data + g * args->top;
        for (int j = 0; j < args->top; j++) {
            top[j] = (int32_t)next_best(left, v_count, j ? top[j - 1] : -1);
            f32(s->out[1])[g * args->top + j] = log_chance(left, top[j], whole);
        }
        int64_t token = -1;
        if (chance[0] > 0) token = sample(left, v_count, (double)chance[0], (double)chance[1]);
        if (token < 0) token = top[0];
        ((int32_t *)s->out[2]->data)[g] = (int32_t)token;
        f32(s->out[3])[g] = log_chance(left, token, whole);
        f32(s->out[4])[g] = args->watch >= 0 && (rule[0] & OP_RULE_RAW)
                                ? (float)exp((double)logits[args->watch] - mass(logits, v_count, 1))
                                : 0.0f;
    }
    return 0;
}

int cpu_ref_dampen(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t v_count = s->in[0]->plan->dim[1], n = s->in[1]->plan->dim[1], from, to;
    float by = s->step->args.scale;
    thread_share(team, id, s->in[0]->rows, 1, &from, &to);
    for (int64_t g = from; g < to; g++) {
        const float *x = f32(s->in[0]) + g * v_count;
        const int32_t *token = i32(s->in[1]) + g * n;
        float *y = f32(s->out[0]) + g * v_count;
        memcpy(y, x, (size_t)v_count * sizeof *y);
        for (int64_t i = 0; i < n; i++)
            if (token[i] >= 0) y[token[i]] = x[token[i]] > 0 ? x[token[i]] / by : x[token[i]] * by;
        for (int64_t i = 0; i < n; i++)
            if (token[i] < -1) y[-2 - token[i]] = -INFINITY;
    }
    return 0;
}

int cpu_ref_attnrange(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *qkv = s->in[0], *bias = s->in[2];
    int64_t width = qkv->plan->dim[1], c_count = width / 3, heads = s->step->args.heads;
    int64_t d_count = c_count / heads, from, to;
    double *weight = (double *)s->scratch + id * qkv->plan->dim[0];
    thread_share(team, id, s->in[1]->rows * heads, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        const int32_t *range = i32(s->in[1]) + at / heads * 2;
        int64_t h = at % heads, t_count = range[1];
        const float *first = f32(qkv) + range[0] * width + h * d_count;
        for (int64_t t = 0; t < t_count; t++) {
            const float *q = first + t * width, *k = first + c_count, *v = k + c_count;
            for (int64_t u = 0; u < t_count; u++) {
                weight[u] = dot(q, k + u * width, d_count) * (double)s->step->args.scale;
                if (bias) {
                    int64_t distances = bias->plan->dim[1];
                    weight[u] += (double)f32(bias)[h * distances + u - t + distances / 2];
                }
            }
            softmax(weight, t_count);
            float *out = f32(s->out[0]) + (range[0] + t) * c_count + h * d_count;
            for (int64_t d = 0; d < d_count; d++) {
                double sum = 0;
                for (int64_t u = 0; u < t_count; u++) sum += weight[u] * (double)v[u * width + d];
                out[d] = (float)sum;
            }
        }
    }
    return 0;
}

int cpu_ref_probe(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t v_count = s->in[0]->plan->dim[1], from, to;
    thread_share(team, id, s->in[0]->rows, 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *x = f32(s->in[0]) + r * v_count;
        f32(s->out[0])[r] = (float)exp((double)x[i32(s->in[1])[r]] - mass(x, s->step->args.eot, 1));
    }
    return 0;
}

int cpu_ref_pool(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct op_args *args = &s->step->args;
    int64_t c_count = s->in[0]->plan->dim[1], from, to;
    thread_share(team, id, s->in[1]->rows, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        const int32_t *range = i32(s->in[1]) + 2 * i;
        const float *x = f32(s->in[0]) + range[0] * c_count;
        float *out = f32(s->out[0]) + i * c_count;
        int64_t rows = args->first ? 1 : range[1];
        double square = 0;
        for (int64_t c = 0; c < c_count; c++) {
            double sum = 0;
            for (int64_t r = 0; r < rows; r++) sum += (double)x[r * c_count + c];
            out[c] = (float)(sum / (double)rows);
            square += sum / (double)rows * (sum / (double)rows);
        }
        for (int64_t c = 0; args->unit && c < c_count; c++)
            out[c] = (float)((double)out[c] / fmax(sqrt(square), 1e-12));
    }
    return 0;
}

/* Puts (row, product) into the falling list of top, behind equals. */
static void keep_best(int32_t *row, float *product, int top, int32_t r, float x)
{
    int at = top;
    while (at > 0 && (row[at - 1] < 0 || x > product[at - 1])) at--;
    if (at == top) return;
    memmove(row + at + 1, row + at, (size_t)(top - 1 - at) * sizeof *row);
    memmove(product + at + 1, product + at, (size_t)(top - 1 - at) * sizeof *product);
    row[at] = r;
    product[at] = x;
}

int cpu_ref_nearest(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *base = s->in[1];
    const int32_t *group = i32(s->in[2]);
    int64_t c_count = base->plan->dim[1], n_count = base->plan->dim[0], from, to;
    int top = s->step->args.top;
    thread_share(team, id, s->in[0]->rows, 1, &from, &to);
    for (int64_t q = from; q < to; q++) {
        int32_t *row = (int32_t *)s->out[0]->data + q * top, best = -1;
        float *product = f32(s->out[1]) + q * top, most = -INFINITY;
        for (int i = 0; i < top; i++) row[i] = -1, product[i] = -INFINITY;
        for (int64_t n = 0; n < n_count; n++) {
            float x = (float)dot(f32(s->in[0]) + q * c_count, f32(base) + n * c_count, c_count);
            if (best < 0 || x > most) best = (int32_t)n, most = x;
            if (n + 1 < n_count && group[n + 1] == group[n]) continue;
            keep_best(row, product, top, best, most);
            best = -1;
        }
    }
    return 0;
}

int cpu_ref_frames(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *x = s->in[0], *y = s->out[0];
    int64_t n = x->plan->dim[1], t_count = y->plan->dim[1], k_count = y->plan->dim[2], from, to;
    thread_share(team, id, x->rows * t_count, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t first = at % t_count * s->step->args.stride;
        const float *line = f32(x) + at / t_count * n;
        float *out = f32(y) + at * k_count;
        int64_t inside = MIN(k_count, MAX(0, n - first));
        memcpy(out, line + first, (size_t)inside * sizeof *out);
        for (int64_t k = inside; k < k_count; k++) out[k] = line[2 * (n - 1) - (first + k)];
    }
    return 0;
}

int cpu_ref_magnitude(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t bins = cpu_value_width(s->out[0]), from, to;
    thread_share(team, id, cpu_value_lines(s->out[0]), 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *re = f32(s->in[0]) + r * 2 * bins, *im = re + bins;
        for (int64_t i = 0; i < bins; i++)
            f32(s->out[0])[r * bins + i] =
                (float)sqrt(pow((double)re[i], 2) + pow((double)im[i], 2));
    }
    return 0;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* One member does it all: each step needs the whole of the step before. */
int cpu_ref_lstm(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *x = s->in[0];
    const float *w = f32(s->in[1]), *bias = f32(s->in[2]);
    float *h = f32(s->out[1]), *c = f32(s->out[2]), *next = s->scratch;
    int64_t width = cpu_value_width(s->out[0]);
    (void)team;
    if (id != 0) return 0;
    if (*i32(s->in[3])) {
        memset(h, 0, (size_t)width * sizeof *h);
        memset(c, 0, (size_t)width * sizeof *c);
    }
    for (int64_t t = 0; t < x->rows; t++) {
        const float *in = f32(x) + t * 4 * width;
        for (int64_t i = 0; i < width; i++) {
            double gate[4];
            for (int64_t g = 0, r = i; g < 4; g++, r += width)
                gate[g] = (double)in[r] + dot(w + r * width, h, width) + (double)bias[r];
            double cell = sigmoid(gate[1]) * (double)c[i] + sigmoid(gate[0]) * tanh(gate[2]);
            c[i] = (float)cell;
            next[i] = (float)(sigmoid(gate[3]) * tanh(cell));
        }
        memcpy(h, next, (size_t)width * sizeof *h);
        for (int64_t i = 0; i < width; i++)
            f32(s->out[0])[t * width + i] = (float)act(s->step->args.act, (double)h[i]);
    }
    return 0;
}

int cpu_ref_sigmoid(const struct cpu_step *s, struct thread_team *team, int id)
{
    const struct cpu_value *x = s->in[0];
    int64_t from, to, width = x->plan->rank ? cpu_value_width(x) : 1;
    thread_share(team, id, cpu_value_lines(x) * width, BASE_LINE / 4, &from, &to);
    for (int64_t i = from; i < to; i++) f32(s->out[0])[i] = (float)sigmoid((double)f32(x)[i]);
    return 0;
}
