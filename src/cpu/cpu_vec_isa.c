/* The ops that touch every number once or twice: norms, additions, copies into the shape that the
 * next op reads. All are bound by memory; each member takes its share of the lines. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_isa.h"
#include <float.h>

#define OP_KERNEL(name) \
    int ISA_NAME(cpu_vec_##name)(const struct cpu_step *s, struct thread_team *team, int id)

/* Positions turned around at a time: they and their bands fit in the nearest cache. */
#define MELNORM_BLOCK 64

OP_KERNEL(melnorm)
{
    const struct cpu_value *mel = s->in[0];
    const float *most = s->in[1]->data;
    const int32_t *content = s->in[2]->data;
    int64_t m_count = mel->plan->dim[1], t_count = mel->plan->dim[2], from, to;
    int64_t blocks = (t_count + MELNORM_BLOCK - 1) / MELNORM_BLOCK;
    thread_share(team, id, mel->rows * blocks, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t b = at / blocks, t0 = at % blocks * MELNORM_BLOCK;
        int64_t t1 = MIN(t0 + MELNORM_BLOCK, t_count), full = MAX(t0, MIN(t1, content[b]));
        const float *x = (const float *)mel->data + b * m_count * t_count;
        float *y = (float *)s->out[0]->data + b * t_count * m_count, least = most[b] - 8.0f;
        for (int64_t t = t0; t < full; t++) {
            for (int64_t m = 0; m < m_count; m++) {
                float v = x[m * t_count + t];
                y[t * m_count + m] = ((v > least ? v : least) + 4.0f) * 0.25f;
            }
        }
        memset(y + full * m_count, 0, (size_t)((t1 - full) * m_count) * sizeof *y);
    }
    return 0;
}

OP_KERNEL(addpos)
{
    const struct cpu_value *x = s->in[0];
    const float *table = s->in[1]->data;
    int64_t t_count = x->plan->dim[1], c_count = x->plan->dim[2], from, to;
    thread_share(team, id, x->rows * t_count, 8, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *in = (const float *)x->data + r * c_count,
                    *add = table + r % t_count * c_count;
        float *out = (float *)s->out[0]->data + r * c_count;
        for (int64_t c = 0; c < c_count; c++) out[c] = in[c] + add[c];
    }
    return 0;
}

/* One line: the mean first, then the variance about it, so that a large mean costs no digits. */
static void norm(const float *x, const float *gain, const float *offset, int64_t n, float eps,
                 float *y)
{
    vf sum = vf_all(0), square = vf_all(0);
    for (int64_t c = 0; c < n; c += W) sum += vf_load_n(x + c, n - c);
    vf mean = vf_all(vf_sum(sum) / (float)n);
    int64_t c = 0;
    for (; c + W <= n; c += W) {
        vf d = vf_load(x + c) - mean;
        square = d * d + square;
    }
    float rest = 0;
    for (int64_t i = c; i < n; i++) rest += (x[i] - mean[0]) * (x[i] - mean[0]);
    float by = 1.0f / __builtin_sqrtf((vf_sum(square) + rest) / (float)n + eps);
    for (c = 0; c < n; c += W) {
        vf d = (vf_load_n(x + c, n - c) - mean) * by;
        vf_store_n(y + c, d * vf_load_n(gain + c, n - c) + vf_load_n(offset + c, n - c), n - c);
    }
}

OP_KERNEL(layernorm)
{
    const struct cpu_value *x = s->in[0];
    int64_t width = cpu_value_width(x), from, to;
    thread_share(team, id, cpu_value_lines(x), 1, &from, &to);
    for (int64_t r = from; r < to; r++)
        norm((const float *)x->data + r * width, s->in[1]->data, s->in[2]->data, width,
             s->step->args.eps, (float *)s->out[0]->data + r * width);
    return 0;
}

/* W numbers into a cache of f32 or f16; n of them count. */
ISA_INLINE void put(void *cache, int64_t at, vf v, int64_t n, bool f16)
{
    if (!f16) {
        vf_store_n((float *)cache + at, v, n);
        return;
    }
    uint16_t *to = (uint16_t *)cache + at;
    if (n >= W) {
        vf_store_f16(to, v);
        return;
    }
    uint16_t part[W];
    vf_store_f16(part, v);
    memcpy(to, part, (size_t)n * sizeof *to);
}

/* One head of one window: kv points to its keys of position 0, lines are `line` floats apart, the
 * values c_count after the keys. */
ISA_INLINE void crosskv_head(const float *kv, int64_t line, int64_t c_count, int64_t t_count,
                             int64_t d_count, void *k_out, void *v_out, bool f16)
{
    for (int64_t t = 0; t < t_count; t += W) {
        int64_t left = MIN(W, t_count - t);
        for (int64_t d = 0; d < d_count; d += W) {
            vf r[W];
            for (int64_t i = 0; i < W; i++) {
                const float *at = kv + (t + MIN(i, left - 1)) * line + d;
                r[i] = vf_load_n(at, d_count - d);
                if (i < left)
                    put(v_out, (t + i) * d_count + d, vf_load_n(at + c_count, d_count - d),
                        d_count - d, f16);
            }
            vf_transpose(r);
            for (int64_t i = 0; i < MIN(W, d_count - d); i++)
                put(k_out, (d + i) * t_count + t, r[i], left, f16);
        }
    }
}

/* What rows are multiplied with whose largest numbers are `most`: the rule of cpu_pack_to_i8. */
ISA_INLINE vf to_i8(vf most)
{
    vf by = 127.0f / most;
    return vf_choose((by > 0) & (by <= FLT_MAX), by, vf_all(1));
}

/* The same in i8: a scale for each channel of k, over all positions, and for each position of v. */
static void crosskv_head_i8(const float *kv, int64_t line, int64_t c_count, int64_t t_count,
                            int64_t d_count, int8_t *k_out, float *k_scale, int8_t *v_out,
                            float *v_scale)
{
    for (int64_t d = 0; d < d_count; d += W) {
        int64_t left = MIN(W, d_count - d);
        vf most = vf_all(0);
        for (int64_t t = 0; t < t_count; t++)
            most = vf_max(vf_abs(vf_load_n(kv + t * line + d, left)), most);
        vf by = to_i8(most);
        vf_store_n(k_scale + d, 1 / by, left);
        for (int64_t t = 0; t < t_count; t += W) {
            vf r[W];
            for (int64_t i = 0; i < W; i++)
                r[i] = vf_load_n(kv + MIN(t + i, t_count - 1) * line + d, left) * by;
            vf_transpose(r);
            for (int64_t i = 0; i < left; i++)
                vf_store_i8(k_out + (d + i) * t_count + t, r[i], t_count - t);
        }
    }
    for (int64_t t = 0; t < t_count; t++) {
        const float *v = kv + t * line + c_count;
        vf most = vf_all(0);
        for (int64_t d = 0; d < d_count; d += W)
            most = vf_max(vf_abs(vf_load_n(v + d, d_count - d)), most);
        vf by = to_i8(vf_all(vf_most(most)));
        v_scale[t] = (1 / by)[0];
        for (int64_t d = 0; d < d_count; d += W)
            vf_store_i8(v_out + t * d_count + d, vf_load_n(v + d, d_count - d) * by, d_count - d);
    }
}

OP_KERNEL(crosskv)
{
    const struct cpu_value *kv = s->in[0], *k = s->out[0], *v = s->out[1];
    const int32_t *slot = s->in[1]->data;
    int64_t heads = k->plan->dim[1], d_count = k->plan->dim[2], t_count = k->plan->dim[3];
    int64_t c_count = heads * d_count, from, to;
    enum dtype type = k->plan->type;
    size_t bytes = (size_t)(d_count * t_count) * tensor_type_bytes(type);
    thread_share(team, id, kv->rows * heads, 1, &from, &to);
    for (int64_t at = from; at < to; at++) {
        int64_t b = at / heads, h = at % heads, head = slot[b] * heads + h;
        assert(slot[b] >= 0 && slot[b] < k->plan->dim[0]);
        const float *x = (const float *)kv->data + b * t_count * 2 * c_count + h * d_count;
        char *k_out = (char *)k->data + (size_t)head * bytes;
        char *v_out = (char *)v->data + (size_t)head * bytes;
        if (type == DTYPE_I8)
            crosskv_head_i8(x, 2 * c_count, c_count, t_count, d_count, (int8_t *)k_out,
                            cpu_value_scales(k, head * d_count), (int8_t *)v_out,
                            cpu_value_scales(v, head * t_count));
        else if (type == DTYPE_F16)
            crosskv_head(x, 2 * c_count, c_count, t_count, d_count, k_out, v_out, true);
        else
            crosskv_head(x, 2 * c_count, c_count, t_count, d_count, k_out, v_out, false);
    }
    return 0;
}

OP_KERNEL(embed)
{
    const int32_t *token = s->in[0]->data, *position = s->in[1]->data;
    const struct cpu_value *table = s->in[2];
    int64_t width = cpu_value_width(s->out[0]), from, to;
    thread_share(team, id, s->in[0]->rows, 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        float *out = (float *)s->out[0]->data + r * width;
        const float *add = (const float *)s->in[3]->data + position[r] * width;
        assert(token[r] >= 0 && token[r] < table->plan->dim[0]);
        const float *word = out;
        if (table->form == CPU_F32)
            word = (const float *)table->data + token[r] * width;
        else
            cpu_pack_read(table, token[r], out);
        for (int64_t c = 0; c < width; c++) out[c] = word[c] + add[c];
    }
    return 0;
}

OP_KERNEL(pool)
{
    const struct cpu_value *x = s->in[0];
    int64_t width = cpu_value_width(x), from, to;
    thread_share(team, id, s->in[1]->rows, 1, &from, &to);
    for (int64_t i = from; i < to; i++) {
        const int32_t *range = (const int32_t *)s->in[1]->data + 2 * i;
        const float *row = (const float *)x->data + range[0] * width;
        float *out = (float *)s->out[0]->data + i * width;
        int64_t rows = s->step->args.first ? 1 : range[1];
        vf square = vf_all(0);
        for (int64_t c = 0; c < width; c += W) {
            vf sum = vf_all(0);
            for (int64_t r = 0; r < rows; r++) sum += vf_load_n(row + r * width + c, width - c);
            vf mean = sum * (1.0f / (float)rows);
            square = mean * mean + square;
            vf_store_n(out + c, mean, width - c);
        }
        float length = __builtin_sqrtf(vf_sum(square)), by = 1.0f / MAX(length, 1e-12f);
        for (int64_t c = 0; s->step->args.unit && c < width; c += W)
            vf_store_n(out + c, vf_load_n(out + c, width - c) * by, width - c);
    }
    return 0;
}

OP_KERNEL(gather)
{
    const int32_t *index = s->in[1]->data;
    size_t bytes = (size_t)cpu_value_width(s->in[0]) * sizeof(float);
    int64_t from, to;
    thread_share(team, id, s->in[1]->rows, 1, &from, &to);
    for (int64_t g = from; g < to; g++)
        memcpy((char *)s->out[0]->data + (size_t)g * bytes,
               (const char *)s->in[0]->data + (size_t)index[g] * bytes, bytes);
    return 0;
}

OP_KERNEL(magnitude)
{
    int64_t bins = cpu_value_width(s->out[0]), from, to;
    thread_share(team, id, cpu_value_lines(s->out[0]), 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *re = (const float *)s->in[0]->data + r * 2 * bins, *im = re + bins;
        float *out = (float *)s->out[0]->data + r * bins;
        for (int64_t i = 0; i < bins; i++) out[i] = __builtin_sqrtf(re[i] * re[i] + im[i] * im[i]);
    }
    return 0;
}
