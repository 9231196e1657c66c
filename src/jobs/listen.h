/* Audio -> windows of samples, in place in the model's pcm input. Windows move forward only; what
 * they share is kept. */
#ifndef JOBS_LISTEN_H
#define JOBS_LISTEN_H

#include "media/audio.h"

struct listen {
    struct audio *audio;
    float *pcm; /* [n]: sample `start + i` of the audio lies at pcm[i]; before 0 the audio is
                   reflected, after its end it is 0 */
    int64_t n, start;
    int64_t
        n_read; /* samples taken from the audio so far; all after that are silence once `ended` */
    bool ended;
};

/* listen_begin: at the first window (start = -context). pcm [n] is the caller's. Reads. */
int listen_begin(struct listen *l, struct audio *audio, float *pcm, int64_t n, int64_t context,
                 struct err *e);
/* listen_move: the window that starts at sample `start`, which is not before the present one. */
int listen_move(struct listen *l, int64_t start, struct err *e);

#endif
