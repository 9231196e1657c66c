/* A device that fails in mid-job costs the time of the piece of work at hand: the model is made
 * ready again, on the same device opened anew or on the next one, and the piece is done again. The
 * same for every model; the piece is its caller's: a window of speech, a run of texts, of queries.
 */
#ifndef JOBS_AGAIN_H
#define JOBS_AGAIN_H

#include "engine/engine.h"
#include "jobs/host.h"

struct again { /* of a job */
    const struct lode_host *host;
    const char *input; /* the file at hand, as it is shown */
    /* alone: releases what else the job has on the device, or NULL: a process has one context on a
     * GPU, and it stays broken as long as anything holds it. */
    void (*alone)(void *ctx);
    void *ctx;
};

struct again_model {
    struct engine *engine;
    struct engine_plan **prepared;
    int (*ready)(void *model, struct err *e); /* writes the plan for the engine's device, prepares
                                                 it, finds its doors */
    void *model;
};

/* again_ready: makes the model ready on the engine's device, or where that cannot be on the next,
 * if the choice was automatic. Errors: ready's. */
int again_ready(const struct again_model *m, struct err *e);

/* again_try: after a run ended with *e, for the tries-th time (from 0) of the same piece of work.
 * 0: the model is ready again, the user was told, and the piece is to be done again from its
 * beginning: nothing of what lay in the plan's inputs, outputs and caches is left. -1: *e says why
 * not; if it is E_DEVICE (or E_NOMEM of making ready), *m->prepared is NULL. o may be NULL: not
 * tried. */
int again_try(const struct again *o, const struct again_model *m, int tries, struct err *e);

#endif
