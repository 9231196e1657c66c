/* golden_full MODEL EXPECTED TOLERANCE: a Whisper that transformers saved (tools/golden/full), its
 * encoder and 20 decoder steps against what transformers computed. Not one of the tests. */
#include "engine/engine.h"
#include "load/load.h"
#include "nets/net_whisper.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 20

struct run {
    struct arena *a;
    struct engine *engine;
    struct engine_plan *p;
    struct net_whisper net;
    struct load_weights model, expected;
};

static int prepare(struct run *r, const char *model, struct err *e)
{
    struct engine_options o = {.device = "cpu", .kernels = "auto"};
    struct net_whisper_source source = {.weights = &r->model};
    struct net_whisper_shape shape = {.windows = 1,
                                      .sequences = 1,
                                      .rows = 1,
                                      .picks = 1,
                                      .top = 1,
                                      .cache = DTYPE_F32,
                                      .mel_input = true};
    struct net_whisper_config c;
    struct plan *plan;
    TRY(load_open(r->a, model, &r->model, e));
    TRY(net_whisper_config(r->a, &r->model, &c, e));
    TRY(engine_open(r->a, &o, &r->engine, e));
    TRY(net_whisper_plan(r->a, &source, &c, &shape, &plan, &r->net, e));
    return engine_prepare(r->engine, r->a, plan, NULL, NULL, &r->p, e);
}

/* The largest difference to rows of the expected tensor. */
static double off(const struct run *r, const char *name, int64_t row, const float *got, int64_t n)
{
    const struct load_tensor *t = load_find(&r->expected, name);
    double most = t ? 0 : INFINITY;
    for (int64_t i = 0; t && i < n; i++) {
        float want;
        memcpy(&want, (const char *)t->t.data + 4 * (row * n + i), 4);
        double d = fabs((double)got[i] - (double)want);
        if (!(d <= most)) most = d;
    }
    return most;
}

static int compare(struct run *r, double *encoder, double *logits, struct err *e)
{
    const struct net_whisper_config *c = &r->net.config;
    int64_t n = (int64_t)c->audio_ctx * c->width;
    const struct load_tensor *tokens = load_find(&r->expected, "tokens");
    float *mel = engine_host(r->p, r->net.mel);
    float *got = ARENA_NEW(r->a, float, (size_t)MAX(n, c->vocab), e);
    if (!got || !tokens) return err_set(e, E_MODEL, "no tokens are expected");
    for (int t = 0; t < r->net.frames; t++) {
        for (int b = 0; b < c->n_mels; b++)
            mel[t * c->n_mels + b] = tensor_hash("mel", (uint64_t)(b * r->net.frames + t), 1);
    }
    TRY(engine_run(r->p, r->net.tape_encode, e));
    TRY(engine_peek(r->p, r->net.encoded, got, (size_t)n * sizeof *got, e));
    *encoder = off(r, "encoder", 0, got, n);
    *(int32_t *)engine_host(r->p, r->net.n_rows) = 1;
    *(int32_t *)engine_host(r->p, r->net.n_picks) = 1;
    *logits = 0;
    for (int s = 0; s < STEPS; s++) {
        memcpy(engine_host(r->p, r->net.token), (const char *)tokens->t.data + 4 * s, 4);
        *(int32_t *)engine_host(r->p, r->net.position) = s;
        TRY(engine_run(r->p, r->net.tape_step, e));
        TRY(engine_peek(r->p, r->net.logits, got, (size_t)c->vocab * sizeof *got, e));
        *logits = fmax(*logits, off(r, "logits", s, got, c->vocab));
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct run r = {0};
    struct err e = {0};
    double encoder, logits, allowed = argc == 4 ? atof(argv[3]) : 0;
    if (argc != 4) return 2;
    int rc = arena_open("golden", 0, &r.a, &e);
    if (rc == 0) rc = load_open(r.a, argv[2], &r.expected, &e);
    if (rc == 0) rc = prepare(&r, argv[1], &e);
    if (rc == 0) rc = compare(&r, &encoder, &logits, &e);
    if (rc == 0) {
        printf("  encoder off by %.3g, logits of %d steps by %.3g (allowed %g)\n", encoder, STEPS,
               logits, allowed);
        rc = encoder <= allowed && logits <= allowed ? 0 : 1;
    } else {
        fprintf(stderr, "golden_full: %s\n", e.text);
    }
    engine_release(&r.p);
    engine_close(&r.engine);
    load_close(&r.model);
    load_close(&r.expected);
    arena_close(&r.a);
    return rc ? 1 : 0;
}
