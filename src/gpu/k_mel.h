/* Arguments of k_mel.cu: log-mel spectrum. See op.def, logmel and melnorm. */
#ifndef GPU_K_MEL_H
#define GPU_K_MEL_H

#define MEL_FFT     400
#define MEL_QUARTER (MEL_FFT / 4)
#define MEL_BINS    (MEL_FFT / 2 + 1)
#define MEL_HOP     160
#define MEL_FRAMES  8   /* of a block of mel_log */
#define MEL_THREADS 160 /* one for each of 20 columns of each frame */

struct mel_log { /* grid: ceil(T / MEL_FRAMES), B */
    const float *pcm, *filters;
    float *out, *part; /* part [B][grid.x]: the largest of each block */
    const int *live;
    int samples, n_mel, frames;  /* N, M, T */
    float sine[MEL_QUARTER + 1]; /* sin(2 pi i / 400) */
};

#define MEL_MOST_THREADS 256

struct mel_most { /* grid: B */
    const float *part;
    float *most;
    const int *live;
    int n; /* of part per window */
};

#define MEL_TILE         32
#define MEL_NORM_THREADS 256

struct mel_norm { /* grid: tiles of T, tiles of M, B */
    const float *mel, *most;
    const int *content, *live;
    float *out;
    int n_mel, frames;
};

#endif
