#include "jobs/ahead.h"
#include "base/thread.h"
#include "nets/net_whisper.h"
#include <stdatomic.h>
#include <string.h>

struct ahead {
    struct vad *vad;
    struct vad_options options;
    struct ahead_input input[2];
    int turn; /* the one that is loaded next */
    struct thread_aside thread;
    bool begun; /* input[turn] is being loaded by the thread */
    atomic_bool stop;
};

int ahead_open(struct arena *a, struct vad *vad, const struct vad_options *o, struct ahead **out,
               struct err *e)
{
    struct ahead *h = ARENA_NEW(a, struct ahead, 1, e);
    if (!h) return -1;
    h->vad = vad;
    h->options = *o;
    for (size_t i = 0; i < COUNT(h->input); i++) TRY(arena_open("input", 0, &h->input[i].a, e));
    *out = h;
    return 0;
}

static bool stopped(void *ahead)
{
    struct ahead *h = ahead;
    return atomic_load(&h->stop);
}

struct listener { /* an audio as a source that can be stopped */
    struct ahead *h;
    struct audio *audio;
};

static int64_t read_audio(void *ctx, float *dst, int64_t n, struct err *e)
{
    const struct listener *l = ctx;
    if (stopped(l->h)) return err_set(e, E_CANCELLED, "stopped while listening for speech");
    return audio_read(l->audio, dst, n, e);
}

static int find_speech(struct ahead *h, struct ahead_input *in, struct err *e)
{
    struct listener l = {h, in->audio};
    struct vad_source source = {&l, read_audio};
    TRY(vad_regions(in->a, h->vad, source, &h->options, &in->regions, &in->n_samples, e));
    return audio_rewind(in->audio, e);
}

static int hold(struct ahead *h, struct ahead_input *in, struct err *e)
{
    int64_t cap = AHEAD_BYTES / sizeof(int16_t);
    int16_t *pcm = ARENA_NEW(in->a, int16_t, (size_t)cap, e); /* pages not written take no memory */
    return pcm ? audio_hold(in->audio, pcm, cap, stopped, h, e) : -1;
}

static int load(struct ahead *h, struct ahead_input *in, bool early, struct err *e)
{
    TRY(audio_open_channel(in->a, in->path, WHISPER_RATE_HZ, in->channel, &in->audio, e));
    if (early && audio_seekable(in->audio)) TRY(hold(h, in, e));
    return h->vad ? find_speech(h, in, e) : 0;
}

static void load_early(void *ahead)
{
    struct ahead *h = ahead;
    struct ahead_input *in = &h->input[h->turn];
    in->failed = load(h, in, true, &in->e) != 0;
    if (in->failed) audio_close(&in->audio);
}

static void prepare(struct ahead_input *in, const char *path, int channel)
{
    arena_reset(in->a);
    *in = (struct ahead_input){.a = in->a, .path = path, .channel = channel};
}

void ahead_start(struct ahead *h, const char *path)
{
    assert(!h->begun);
    prepare(&h->input[h->turn], path, 0);
    h->begun = thread_aside(&h->thread, load_early, h);
}

/* Ends what was begun for an input that nobody takes. */
static void drop(struct ahead *h)
{
    if (!h->begun) return;
    atomic_store(&h->stop, true);
    thread_join(&h->thread);
    atomic_store(&h->stop, false);
    h->begun = false;
    audio_close(&h->input[h->turn].audio);
}

int ahead_take(struct ahead *h, const char *path, int channel, struct ahead_input **out,
               struct err *e)
{
    struct ahead_input *in = &h->input[h->turn];
    bool early = h->begun && channel == 0 && strcmp(in->path, path) == 0;
    if (early) {
        thread_join(&h->thread);
        h->begun = false;
    } else {
        drop(h);
        prepare(in, path, channel);
        in->failed = load(h, in, false, &in->e) != 0;
        if (in->failed) audio_close(&in->audio);
    }
    *out = in;
    h->turn = !h->turn;
    if (!in->failed) return 0;
    *e = in->e;
    return -1;
}

void ahead_close(struct ahead **h)
{
    if (!*h) return;
    drop(*h);
    for (size_t i = 0; i < COUNT((*h)->input); i++) arena_close(&(*h)->input[i].a);
    *h = NULL;
}
