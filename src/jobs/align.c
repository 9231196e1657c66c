#include "jobs/align.h"
#include <math.h>
#include <string.h>

#define MEDIAN 7 /* openai's width of the filter over frames */

struct align {
    int heads, rows, frames;
    float *weight;  /* [heads][rows][frames] */
    float *mean;    /* [rows][frames] over heads */
    float *line;    /* [frames + MEDIAN] */
    float *cost;    /* [2][frames + 1] */
    uint8_t *trace; /* [rows + 1][frames + 1] which way a path came */
};

enum way { DIAGONAL, TOKEN, FRAME };

size_t align_bytes(int heads, int rows, int frames)
{
    size_t cells = (size_t)(rows + 1) * (size_t)(frames + 1);
    return ((size_t)heads + 1) * cells * sizeof(float) + cells +
           4 * (size_t)(frames + MEDIAN) * sizeof(float);
}

int align_open(struct arena *a, int heads, int rows, int frames, struct align **out, struct err *e)
{
    struct align *l = ARENA_NEW(a, struct align, 1, e);
    if (!l) return -1;
    size_t line = (size_t)frames, n = (size_t)rows;
    *l = (struct align){.heads = heads, .rows = rows, .frames = frames};
    l->weight = ARENA_NEW(a, float, (size_t)heads *n *line, e);
    l->mean = ARENA_NEW(a, float, n *line, e);
    l->line = ARENA_NEW(a, float, line + MEDIAN, e);
    l->cost = ARENA_NEW(a, float, 2 * (line + 1), e);
    l->trace = ARENA_NEW(a, uint8_t, (n + 1) * (line + 1), e);
    if (!l->weight || !l->mean || !l->line || !l->cost || !l->trace) return -1;
    *out = l;
    return 0;
}

float *align_row(struct align *a, int head, int row)
{
    assert(head < a->heads && row < a->rows);
    return a->weight + ((size_t)head * (size_t)a->rows + (size_t)row) * (size_t)a->frames;
}

/* Weights of a row that sum to 1 over the frames there are. */
static void share_out(float *w, int frames)
{
    double sum = 0;
    for (int t = 0; t < frames; t++) sum += (double)w[t];
    for (int t = 0; t < frames; t++) w[t] = sum > 0 ? (float)((double)w[t] / sum) : 0;
}

/* Every frame of a head gets mean 0 and deviation 1 over the tokens: what matters is which token
 * listens there more than the others do. mean, scale: room for [frames]. */
static void steady(struct align *a, int head, int rows, int frames, float *mean, float *scale)
{
    memset(mean, 0, (size_t)frames * sizeof *mean);
    memset(scale, 0, (size_t)frames * sizeof *scale);
    for (int r = 0; r < rows; r++) {
        const float *w = align_row(a, head, r);
        for (int t = 0; t < frames; t++) mean[t] += w[t];
    }
    for (int t = 0; t < frames; t++) mean[t] /= (float)rows;
    for (int r = 0; r < rows; r++) {
        const float *w = align_row(a, head, r);
        for (int t = 0; t < frames; t++) scale[t] += (w[t] - mean[t]) * (w[t] - mean[t]);
    }
    for (int t = 0; t < frames; t++)
        scale[t] = scale[t] > 0 ? 1 / sqrtf(scale[t] / (float)rows) : 0;
    for (int r = 0; r < rows; r++) {
        float *w = align_row(a, head, r);
        for (int t = 0; t < frames; t++) w[t] = (w[t] - mean[t]) * scale[t];
    }
}

static void sort(float *a, float *b)
{
    float low = *a < *b ? *a : *b, high = *a < *b ? *b : *a;
    *a = low;
    *b = high;
}

/* The fourth of seven, by a network of comparisons. */
static float median(const float *x)
{
    float p[MEDIAN];
    memcpy(p, x, sizeof p);
    sort(&p[0], &p[5]), sort(&p[0], &p[3]), sort(&p[1], &p[6]), sort(&p[2], &p[4]);
    sort(&p[0], &p[1]), sort(&p[3], &p[5]), sort(&p[2], &p[6]), sort(&p[2], &p[3]);
    sort(&p[3], &p[6]), sort(&p[4], &p[5]), sort(&p[1], &p[4]), sort(&p[1], &p[3]);
    sort(&p[3], &p[4]);
    return p[3];
}

/* sum += the median of each frame and its neighbours; both ends are reflected. A row too short to
 * be reflected is added as it is. line: room for [frames + MEDIAN]. */
static void add_smoothed(const float *w, int frames, float *line, float *sum)
{
    const int pad = MEDIAN / 2;
    if (frames <= pad) {
        for (int t = 0; t < frames; t++) sum[t] += w[t];
        return;
    }
    memcpy(line + pad, w, (size_t)frames * sizeof *line);
    for (int i = 1; i <= pad; i++) {
        line[pad - i] = w[i];
        line[pad + frames - 1 + i] = w[frames - 1 - i];
    }
    for (int t = 0; t < frames; t++) sum[t] += median(line + t);
}

/* Dynamic time warping: the way from (0, 0) to (n, frames) that hears the most. Ties as openai has
 * them: a frame more, unless another way is strictly better than both others. */
static void warp(struct align *a, int n, int frames)
{
    size_t line = (size_t)frames + 1;
    float *before = a->cost, *now = a->cost + line;
    for (size_t j = 0; j < line; j++) before[j] = j ? INFINITY : 0;
    memset(a->trace, FRAME, line);
    for (int i = 1; i <= n; i++) {
        const float *heard = a->mean + (size_t)(i - 1) * (size_t)a->frames;
        uint8_t *trace = a->trace + (size_t)i * line;
        now[0] = INFINITY;
        trace[0] = TOKEN;
        for (int j = 1; j <= frames; j++) {
            float diagonal = before[j - 1], token = before[j], least = now[j - 1];
            trace[j] = FRAME;
            if (diagonal < token && diagonal < least) {
                least = diagonal;
                trace[j] = DIAGONAL;
            } else if (token < diagonal && token < least) {
                least = token;
                trace[j] = TOKEN;
            }
            now[j] = least - heard[j - 1];
        }
        float *swap = before;
        before = now;
        now = swap;
    }
}

void align_times(struct align *a, int rows, int from, int frames, int *time)
{
    int n = rows - from - 1; /* the last row, end of text, is followed by nothing */
    assert(n >= 1 && rows <= a->rows && frames >= 1 && frames <= a->frames);
    memset(a->mean, 0, (size_t)n * (size_t)a->frames * sizeof *a->mean);
    for (int h = 0; h < a->heads; h++) {
        for (int r = 0; r < rows; r++) share_out(align_row(a, h, r), frames);
        steady(a, h, rows, frames, a->line, a->cost);
        for (int i = 0; i < n; i++)
            add_smoothed(align_row(a, h, from + i), frames, a->line,
                         a->mean + (size_t)i * (size_t)a->frames);
    }
    for (size_t i = 0; i < (size_t)n * (size_t)a->frames; i++) a->mean[i] /= (float)a->heads;
    warp(a, n, frames);
    for (int i = n, j = frames; i > 0 || j > 0;) { /* back along the way; the first frame stays */
        if (i > 0) time[i - 1] = MAX(j - 1, 0);
        switch ((enum way)a->trace[(size_t)i * ((size_t)frames + 1) + (size_t)j]) {
        case DIAGONAL:
            i--, j--;
            break;
        case TOKEN:
            i--;
            break;
        case FRAME:
            j--;
            break;
        }
    }
}
