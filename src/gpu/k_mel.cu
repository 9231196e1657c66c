/* Log-mel spectrum.
 *
 * The transform of 400 real samples is 20 by 20 (Cooley and Tukey 1965): with n = 20 a + b and
 * k = k1 + 20 k2,
 *
 *     X[k] = sum over b of W20^(b k2) ( W400^(b k1) sum over a of x[n] W20^(a k1) )
 *
 * and since x is real only k1 = 0..10 is needed: X[400 - k] has the power of X[k]. Both sums of 20
 * are folded into sums and differences of their ends, so a frame costs 9 thousand multiply-adds
 * instead of 160 thousand, and its error is that of sums of 20. */
#include "gpu/dev.h"
#include "gpu/k_mel.h"

#define MEL_SIDE 20
#define MEL_KEPT 11  /* k1 = 0..10 */
#define MEL_ROW  204 /* a frame's powers in shared memory; frames then lie in different banks */

DEV_CONST float mel_cos20[MEL_SIDE] = {
    1.0f,         0.95105652f,  0.80901699f,  0.58778525f, 0.30901699f,  0.0f,         -0.30901699f,
    -0.58778525f, -0.80901699f, -0.95105652f, -1.0f,       -0.95105652f, -0.80901699f, -0.58778525f,
    -0.30901699f, 0.0f,         0.30901699f,  0.58778525f, 0.80901699f,  0.95105652f,
};

/* sine [400] in shared memory holds one turn; cos(i) is a quarter ahead. */
DEV_FN float mel_cos400(const float *sine, int i)
{
    return sine[(i + MEL_QUARTER) % MEL_FFT];
}

DEV_FN void mel_fill_sine(const float *quarter, float *sine)
{
    for (int i = (int)threadIdx.x; i < MEL_FFT; i += MEL_THREADS) {
        int half = i % (2 * MEL_QUARTER);
        float v = quarter[half <= MEL_QUARTER ? half : 2 * MEL_QUARTER - half];
        sine[i] = i < 2 * MEL_QUARTER ? v : -v;
    }
}

/* Column b of a frame: z [11][2] = W400^(b k1) sum over a of x[20 a + b] window W20^(a k1). */
DEV_FN void mel_column(const float *pcm, const float *sine, int b, float *z)
{
    float even[MEL_SIDE / 2 + 1], odd[MEL_SIDE / 2 + 1];
    DEV_UNROLL
    for (int a = 0; a <= MEL_SIDE / 2; a++) {
        int i = MEL_SIDE * a + b, j = MEL_SIDE * (MEL_SIDE - a) + b;
        even[a] = pcm[i] * (0.5f - 0.5f * mel_cos400(sine, i));
        odd[a] = 0.0f;
        if (a > 0 && a < MEL_SIDE / 2) {
            float other = pcm[j] * (0.5f - 0.5f * mel_cos400(sine, j));
            odd[a] = even[a] - other;
            even[a] += other;
        }
    }
    DEV_UNROLL
    for (int k = 0; k < MEL_KEPT; k++) {
        float re = even[0], im = 0.0f;
        DEV_UNROLL
        for (int a = 1; a <= MEL_SIDE / 2; a++) {
            re = dev_fma(even[a], mel_cos20[a * k % MEL_SIDE], re);
            im = dev_fma(odd[a], -mel_cos20[(a * k + 15) % MEL_SIDE], im);
        }
        float c = mel_cos400(sine, b * k), s = -sine[b * k]; /* b k < 400 */
        z[2 * k] = re * c - im * s;
        z[2 * k + 1] = re * s + im * c;
    }
}

/* Powers of bins k1 + 20 k2 of a frame, k2 = 0..19, from its columns z [20][11][2]; those above 200
 * are mirrored. */
DEV_FN void mel_row(const float *z, int k1, float *power)
{
    float even[MEL_SIDE / 2 + 1][2], odd[MEL_SIDE / 2 + 1][2];
    DEV_UNROLL
    for (int b = 0; b <= MEL_SIDE / 2; b++) {
        DEV_UNROLL
        for (int i = 0; i < 2; i++) {
            float x = z[2 * (b * MEL_KEPT + k1) + i];
            float y =
                b > 0 && b < MEL_SIDE / 2 ? z[2 * ((MEL_SIDE - b) * MEL_KEPT + k1) + i] : 0.0f;
            even[b][i] = x + y;
            odd[b][i] = b > 0 && b < MEL_SIDE / 2 ? x - y : 0.0f;
        }
    }
    DEV_UNROLL
    for (int k2 = 0; k2 <= MEL_SIDE / 2; k2++) {
        float er = even[0][0], ei = even[0][1], or_ = 0.0f, oi = 0.0f;
        DEV_UNROLL
        for (int b = 1; b <= MEL_SIDE / 2; b++) {
            float c = mel_cos20[b * k2 % MEL_SIDE], s = mel_cos20[(b * k2 + 15) % MEL_SIDE];
            er = dev_fma(even[b][0], c, er);
            ei = dev_fma(even[b][1], c, ei);
            or_ = dev_fma(odd[b][0], s, or_);
            oi = dev_fma(odd[b][1], s, oi);
        }
        /* multiplied by e - i o for k2 and e + i o for 20 - k2 */
        int at = k1 + MEL_SIDE * k2, mirror = k1 + MEL_SIDE * (MEL_SIDE - k2);
        float re = er + oi, im = ei - or_;
        if (at < MEL_BINS) power[at] = re * re + im * im;
        re = er - oi, im = ei + or_;
        if (k2 > 0 && mirror > MEL_FFT / 2 && mirror < MEL_FFT)
            power[MEL_FFT - mirror] = re * re + im * im;
    }
}

/* Four frames through filter m: their log10. */
DEV_FN void mel_filter(const float *filter, const float *power, float *out)
{
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int bin = 0; bin < MEL_BINS; bin++) {
        float w = filter[bin];
        DEV_UNROLL
        for (int f = 0; f < 4; f++) sum[f] = dev_fma(w, power[f * MEL_ROW + bin], sum[f]);
    }
    DEV_UNROLL
    for (int f = 0; f < 4; f++) out[f] = dev_log10(dev_max(sum[f], 1e-10f));
}

/* v [MEL_THREADS / 32] in shared memory; the result is for thread 0. */
DEV_FN float mel_block_max(float most, float *v, int warps)
{
    most = dev_max_f32(most);
    if (dev_lane() == 0) v[dev_warp()] = most;
    dev_sync();
    for (int i = 0; i < warps; i++) most = dev_max(most, v[i]);
    return most;
}

DEV_KERNEL(mel_log, struct mel_log, a, MEL_THREADS)
{
    DEV_SHARED(float, sine, MEL_FFT);
    DEV_SHARED(float, z, MEL_FRAMES *MEL_SIDE *MEL_KEPT * 2);
    DEV_SHARED(float, power, MEL_FRAMES *MEL_ROW);
    DEV_SHARED(float, most, MEL_THREADS / DEV_WARP);
    int b = (int)blockIdx.y, tid = (int)threadIdx.x, t0 = (int)blockIdx.x * MEL_FRAMES;
    if (a.live && b >= *a.live) return;
    int frames = a.frames - t0 < MEL_FRAMES ? a.frames - t0 : MEL_FRAMES;
    mel_fill_sine(a.sine, sine);
    dev_sync();
    int frame = tid / MEL_SIDE;
    if (frame < frames) {
        const float *pcm = a.pcm + (int64_t)b * a.samples + (int64_t)(t0 + frame) * MEL_HOP;
        mel_column(pcm, sine, tid % MEL_SIDE, z + 2 * MEL_KEPT * tid);
    }
    dev_sync();
    frame = tid / MEL_KEPT;
    if (frame < MEL_FRAMES) {
        if (frame < frames) {
            mel_row(z + 2 * MEL_KEPT * MEL_SIDE * frame, tid % MEL_KEPT, power + frame * MEL_ROW);
        } else {
            for (int i = tid % MEL_KEPT; i < MEL_BINS; i += MEL_KEPT)
                power[frame * MEL_ROW + i] = 0.0f;
        }
    }
    dev_sync();
    float best = -DEV_INF, got[4];
    for (int i = tid; i < 2 * a.n_mel; i += MEL_THREADS) {
        int m = i / 2, f0 = i % 2 * 4;
        if (f0 >= frames) continue;
        mel_filter(a.filters + m * MEL_BINS, power + f0 * MEL_ROW, got);
        float *out = a.out + ((int64_t)b * a.n_mel + m) * a.frames + t0 + f0;
        DEV_UNROLL
        for (int f = 0; f < 4; f++)
            if (f0 + f < frames) {
                out[f] = got[f];
                best = dev_max(best, got[f]);
            }
    }
    best = mel_block_max(best, most, MEL_THREADS / DEV_WARP);
    if (tid == 0) a.part[b * (int)gridDim.x + (int)blockIdx.x] = best;
}

DEV_KERNEL(mel_most, struct mel_most, a, MEL_MOST_THREADS)
{
    DEV_SHARED(float, most, MEL_MOST_THREADS / DEV_WARP);
    int b = (int)blockIdx.x, tid = (int)threadIdx.x;
    if (a.live && b >= *a.live) return;
    float best = -DEV_INF;
    for (int i = tid; i < a.n; i += MEL_MOST_THREADS) best = dev_max(best, a.part[b * a.n + i]);
    best = mel_block_max(best, most, MEL_MOST_THREADS / DEV_WARP);
    if (tid == 0) a.most[b] = best;
}

/* Through a tile of shared memory, so that both sides are read and written along their rows. */
DEV_KERNEL(mel_norm, struct mel_norm, a, MEL_NORM_THREADS)
{
    DEV_SHARED(float, tile, MEL_TILE *(MEL_TILE + 1));
    int b = (int)blockIdx.z, t0 = (int)blockIdx.x * MEL_TILE, m0 = (int)blockIdx.y * MEL_TILE;
    int column = (int)threadIdx.x % MEL_TILE, row = (int)threadIdx.x / MEL_TILE;
    if (a.live && b >= *a.live) return;
    float low = a.most[b] - 8.0f;
    int content = a.content[b];
    for (int i = row; i < MEL_TILE; i += MEL_NORM_THREADS / MEL_TILE) {
        int m = m0 + i, t = t0 + column;
        float x = 0.0f;
        if (m < a.n_mel && t < a.frames && t < content)
            x = (dev_max(a.mel[((int64_t)b * a.n_mel + m) * a.frames + t], low) + 4.0f) * 0.25f;
        tile[i * (MEL_TILE + 1) + column] = x;
    }
    dev_sync();
    for (int i = row; i < MEL_TILE; i += MEL_NORM_THREADS / MEL_TILE) {
        int m = m0 + column, t = t0 + i;
        if (m < a.n_mel && t < a.frames)
            a.out[((int64_t)b * a.frames + t) * a.n_mel + m] = tile[column * (MEL_TILE + 1) + i];
    }
}
