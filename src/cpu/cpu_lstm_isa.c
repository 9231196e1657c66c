/* The LSTM cell over time. Every step needs the whole of the step before, so one member of the team
 * walks them alone: meeting the others twice per step would take longer than their help is worth (a
 * step of 128 channels is 65 thousand products). The weights stay in the second cache and are read
 * from front to back, see FAST_GATES. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_isa.h"

#define PARTS (FAST_PANEL / W) /* vectors in a panel's row of one gate */

ISA_INLINE vf sigmoid(vf x)
{
    return 1.0f / (1.0f + vf_exp(vf_min(-x, vf_all(80)))); /* e^80 is far from infinity */
}

ISA_INLINE vf tanh_of(vf x)
{
    return 2.0f * sigmoid(2.0f * x) - 1.0f;
}

/* `parts` vectors of channels from `at` on, of one panel or (W 16) of two: their gates, c and the
 * next h. w: of these channels, the next panel `panel` floats on. */
ISA_INLINE void channels(const float *w, int64_t panel, const float *x, const float *bias,
                         const float *h, float *c, float *next, int64_t at, int64_t width,
                         int parts)
{
    vf gate[FAST_GATES][2];
    for (int g = 0; g < FAST_GATES; g++) {
        for (int j = 0; j < parts; j++) {
            int64_t first = at + j * W, left = width - first;
            const float *from = x + g * width + first;
            gate[g][j] = left <= 0
                             ? vf_all(0)
                             : vf_load_n(from, left) + vf_load_n(bias + g * width + first, left);
        }
    }
    for (int64_t k = 0; k < width; k++) {
        vf hk = vf_all(h[k]);
        for (int g = 0; g < FAST_GATES; g++) {
            for (int j = 0; j < parts; j++) {
                const float *row = PARTS > 1 ? w + j * W : w + j * panel;
                gate[g][j] += hk * vf_load(row + (k * FAST_GATES + g) * FAST_PANEL);
            }
        }
    }
    for (int j = 0; j < parts; j++) {
        int64_t first = at + j * W, left = width - first;
        if (left <= 0) return;
        vf cell = sigmoid(gate[1][j]) * vf_load_n(c + first, left) +
                  sigmoid(gate[0][j]) * tanh_of(gate[2][j]);
        vf_store_n(c + first, cell, left);
        vf_store_n(next + first, sigmoid(gate[3][j]) * tanh_of(cell), left);
    }
}

int ISA_NAME(cpu_lstm_lstm)(const struct cpu_step *s, struct thread_team *team, int id)
{
    (void)team;
    if (id != 0) return 0;
    int64_t width = cpu_value_width(s->out[0]), up = ALIGN_UP(width, FAST_PANEL);
    int64_t panel = width * FAST_GATES * FAST_PANEL;
    size_t bytes = (size_t)width * sizeof(float);
    float *state = s->out[1]->data, *c = s->out[2]->data, *h = s->scratch, *next = h + up;
    if (*(const int32_t *)s->in[3]->data) {
        memset(state, 0, bytes);
        memset(c, 0, bytes);
    }
    memcpy(h, state, bytes);
    for (int64_t t = 0; t < s->in[0]->rows; t++) {
        const float *x = (const float *)s->in[0]->data + t * FAST_GATES * width;
        float *y = (float *)s->out[0]->data + t * width, *old = h;
        for (int64_t at = 0; at < width; at += 2 * W) {
            const float *w = (const float *)s->own + at / FAST_PANEL * panel + at % FAST_PANEL;
            if (at + W < width)
                channels(w, panel, x, s->in[2]->data, h, c, next, at, width, 2);
            else
                channels(w, panel, x, s->in[2]->data, h, c, next, at, width, 1);
        }
        for (int64_t i = 0; i < width; i += W)
            vf_store_n(y + i, vf_act(s->step->args.act, vf_load_n(next + i, width - i)), width - i);
        h = next;
        next = old;
    }
    memcpy(state, h, bytes);
    return 0;
}
