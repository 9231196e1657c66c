/* addpos and layernorm; see k_norm.h. */
#include "gpu/dev.h"
#include "gpu/k_norm.h"

DEV_FN struct dev_u4 norm_add(struct dev_u4 a, struct dev_u4 b)
{
    struct dev_u4 r = {dev_as_u32(dev_as_f32(a.x) + dev_as_f32(b.x)),
                       dev_as_u32(dev_as_f32(a.y) + dev_as_f32(b.y)),
                       dev_as_u32(dev_as_f32(a.z) + dev_as_f32(b.z)),
                       dev_as_u32(dev_as_f32(a.w) + dev_as_f32(b.w))};
    return r;
}

/* A thread for 4 floats (1 if the size is no multiple of 4) of a window, blockIdx.y. */
DEV_KERNEL(addpos, struct gpu_addpos, a, GPU_ADDPOS_THREADS)
{
    int at = (int)(blockIdx.x * blockDim.x + threadIdx.x) * (a.quads ? 4 : 1);
    int b = (int)blockIdx.y, live = a.live ? *a.live : a.windows;
    if (b >= live || at >= a.size) return;
    int64_t i = (int64_t)b * a.size + at;
    if (a.quads)
        dev_put16(a.y + i, norm_add(dev_ld16(a.x + i), dev_ld16(a.table + at)));
    else
        a.y[i] = a.x[i] + a.table[at];
}

/* The v of a lane: 4 neighbours from c on, or with fewer the rest and 0. */
DEV_FN void norm_x4(const float *row, int c, int width, int quads, float *v)
{
    if (quads) {
        struct dev_u4 u = dev_ld16(row + c);
        v[0] = dev_as_f32(u.x), v[1] = dev_as_f32(u.y);
        v[2] = dev_as_f32(u.z), v[3] = dev_as_f32(u.w);
        return;
    }
    DEV_UNROLL for (int i = 0; i < 4; i++) v[i] = c + i < width ? row[c + i] : 0.0f;
}

/* A warp for each row. The variance is of differences from the mean, in a second pass over the row,
 * which is near by then: sums of squares would lose it where the mean is large. */
DEV_KERNEL(layernorm, struct gpu_layernorm, a, 32 * GPU_LAYERNORM_ROWS)
{
    int r = (int)blockIdx.x * GPU_LAYERNORM_ROWS + dev_warp();
    int rows = a.live && *a.live * a.per < a.rows ? *a.live * a.per : a.rows;
    if (r >= rows) return;
    const float *x = a.x + (int64_t)r * a.width;
    float *y = a.y + (int64_t)r * a.width;
    float v[4], g[4], o[4], mean = 0.0f, var = 0.0f;
    for (int c = dev_lane() * 4; c < a.width; c += 128) {
        norm_x4(x, c, a.width, a.quads, v);
        mean += (v[0] + v[1]) + (v[2] + v[3]);
    }
    mean = dev_sum_f32(mean) / (float)a.width;
    for (int c = dev_lane() * 4; c < a.width; c += 128) {
        norm_x4(x, c, a.width, a.quads, v);
        DEV_UNROLL for (int i = 0; i < 4; i++)
            if (c + i < a.width) var = dev_fma(v[i] - mean, v[i] - mean, var);
    }
    float by = 1.0f / dev_sqrt(dev_sum_f32(var) / (float)a.width + a.eps);
    for (int c = dev_lane() * 4; c < a.width; c += 128) {
        norm_x4(x, c, a.width, a.quads, v);
        norm_x4(a.gain, c, a.width, a.quads, g);
        norm_x4(a.offset, c, a.width, a.quads, o);
        DEV_UNROLL for (int i = 0; i < 4; i++) v[i] = (v[i] - mean) * by * g[i] + o[i];
        struct dev_u4 u = {dev_as_u32(v[0]), dev_as_u32(v[1]), dev_as_u32(v[2]), dev_as_u32(v[3])};
        if (a.quads) dev_put16(y + c, u);
        DEV_UNROLL for (int i = 0; i < 4; i++)
            if (!a.quads && c + i < a.width) y[c + i] = v[i];
    }
}
