#include "jobs/listen.h"
#include <string.h>

/* Samples from position `at` of the window on; silence after the end. */
static int fill(struct listen *l, int64_t at, struct err *e)
{
    while (at < l->n && !l->ended) {
        int64_t got = audio_read(l->audio, l->pcm + at, l->n - at, e);
        if (got < 0) return -1;
        l->ended = got == 0;
        l->n_read += got;
        at += got;
    }
    if (at < l->n) memset(l->pcm + at, 0, (size_t)(l->n - at) * sizeof *l->pcm);
    return 0;
}

int listen_begin(struct listen *l, struct audio *audio, float *pcm, int64_t n, int64_t context,
                 struct err *e)
{
    assert(2 * context < n);
    *l = (struct listen){.audio = audio, .pcm = pcm, .n = n, .start = -context};
    TRY(fill(l, context, e));
    for (int64_t i = 0; i < context; i++)
        pcm[i] = pcm[2 * context - i]; /* as numpy's mode "reflect" */
    return 0;
}

int listen_move(struct listen *l, int64_t start, struct err *e)
{
    int64_t shift = start - l->start;
    assert(shift >= 0);
    l->start = start;
    if (shift < l->n) {
        memmove(l->pcm, l->pcm + shift, (size_t)(l->n - shift) * sizeof *l->pcm);
        return fill(l, l->n - shift, e);
    }
    for (int64_t skip = shift - l->n; skip > 0 && !l->ended;) { /* not kept: read over */
        int64_t got = audio_read(l->audio, l->pcm, MIN(skip, l->n), e);
        if (got < 0) return -1;
        l->ended = got == 0;
        l->n_read += got;
        skip -= got;
    }
    return fill(l, 0, e);
}
