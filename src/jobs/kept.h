/* Embedding with an index: a text whose vector is there is not embedded again. */
#ifndef JOBS_KEPT_H
#define JOBS_KEPT_H

#include "jobs/sentences.h"
#include "load/index.h"

struct kept {
    const struct index_module *module;
    struct index *index; /* NULL: there is none, and everything is embedded */
    const char *path;
    const char *compute_type; /* asked for when the index was made; NULL: none yet, or unknown */
    struct sentences *sentences;
    uint64_t found, made; /* texts, added up over calls */
};

/* kept_begin: looks at the index before the model is open. path NULL: no index. Errors: as
 * index_module's settings; E_MISSING (no lode-index.so). */
int kept_begin(struct arena *a, const char *path, struct kept *out, struct err *e);

/* kept_compute_type: what to ask for in place of "auto", so that a text is embedded as those
 * before it were, also where the GPU that did those is not there. */
const char *kept_compute_type(const struct kept *k, const char *asked);

/* kept_open: after kept_begin. The rest as sentences_open was given it. Errors: as index_module's
 * open; E_NOMEM. */
int kept_open(struct kept *k, struct arena *a, struct sentences *s, bool unit, bool literal,
              struct err *e);
void kept_close(struct kept *k); /* harmless on zeros */

/* kept_embed: as sentences_embed, but for the counts, which are of texts that were embedded. What
 * was embedded before an error or a stop is kept. Memory from a. */
int kept_embed(struct kept *k, struct arena *a, const struct str *text, size_t n, float *out,
               struct sentences_counts *counts, const struct sentences_watch *watch, size_t *bad,
               struct err *e);

#endif
