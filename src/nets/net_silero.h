/* Silero VAD v5 and v6 as a plan: blocks of 512 samples -> probability of speech. Some of its ops
 * are the CPU's alone, so its plan is always made ready on an engine opened with device "cpu",
 * where a second of audio takes about a millisecond of one core.
 *
 *   block [576] = the 64 samples before it, and its own 512
 *   -> 4 frames of 256, 128 apart (64 mirrored at the end) -> Fourier basis -> 129 magnitudes
 *   -> 4 convolutions over time, 129-128-64-64-128, halving it twice -> 1 x 128
 *   -> LSTM cell of 128 over the blocks -> 128 to 1 -> sigmoid
 *
 * Follows github.com/snakers4/silero-vad (tinygrad_model.py; MIT) and the graph of
 * silero_vad_v6.onnx as faster-whisper 1.2.1 carries it. 16 kHz only. */
#ifndef NETS_NET_SILERO_H
#define NETS_NET_SILERO_H

#include "core/plan.h"
#include "load/load.h"

#define SILERO_RATE_HZ 16000
#define SILERO_BLOCK   512 /* samples that are new in a block: 32 ms */
#define SILERO_CONTEXT 64  /* samples of the block before */

struct net_silero { /* the plan's doors: numbers of values and the tape */
    int most;       /* blocks of one run */
    int tape;
    int n_blocks;    /* input i32 []: how many count in this run */
    int samples;     /* input f32 [most, 64 + 512], -1..1 */
    int start;       /* input i32 [1]: 1 if these blocks begin an audio, 0 if they go on */
    int probability; /* output f32 [most,1] */
};

/* net_silero_plan: blocks: most of one run. w: names of the safetensors of silero-vad (stft_conv,
 * conv1..4, lstm_cell, final_conv) or of the ONNX file; NULL: made by tensor_hash (tests). The plan
 * lives in a and borrows the data of w until it is prepared. Errors: E_MODEL (missing tensor, wrong
 * shape: named). */
int net_silero_plan(struct arena *a, const struct load_weights *w, int blocks, struct plan **plan,
                    struct net_silero *net, struct err *e);

#endif
