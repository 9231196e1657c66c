#include "jobs/kept.h"
#include "base/module.h"
#include "jobs/speech.h"
#include <stdio.h>
#include <string.h>

#define PIECE 256 /* texts embedded between two commits */

/* A mark of the weights: their names, shapes and both ends of each. All bytes would take longer
 * than the model takes to open, and training changes every tensor. */
static void mark_of(const struct sentences *s, uint8_t out[SHA_BYTES])
{
    const struct load_weights *w = &s->weights;
    struct sha sha;
    sha_begin(&sha);
    sha_add(&sha, w->config.p, w->config.n);
    sha_add(&sha, w->tokenizer.p, w->tokenizer.n);
    for (size_t i = 0; i < w->n; i++) {
        const struct tensor *t = &w->tensor[i].t;
        size_t bytes = tensor_bytes(t), end = MIN(bytes, 4096);
        sha_add(&sha, w->tensor[i].name, strlen(w->tensor[i].name) + 1);
        sha_add(&sha, t->dim, (size_t)t->rank * sizeof *t->dim);
        sha_add(&sha, t->data, end);
        sha_add(&sha, (const char *)t->data + bytes - end, end);
    }
    sha_end(&sha, out);
}

int kept_begin(struct arena *a, const char *path, struct kept *out, struct err *e)
{
    const void *module;
    const char *settings;
    *out = (struct kept){.path = path};
    if (!path) return 0;
    TRY(module_open(INDEX_MODULE, INDEX_SYMBOL, &module, e));
    out->module = module;
    TRY(out->module->settings(a, path, &settings, e));
    if (!settings) return 0;
    const char *type = arena_text(a, settings, strcspn(settings, ","), e);
    if (!type) return -1;
    if (speech_is_compute_type(type)) out->compute_type = type;
    return 0;
}

const char *kept_compute_type(const struct kept *k, const char *asked)
{
    return k->compute_type && strcmp(asked, "auto") == 0 ? k->compute_type : asked;
}

int kept_open(struct kept *k, struct arena *a, struct sentences *s, bool unit, bool literal,
              struct err *e)
{
    struct index_of of = {.model = s->o.name, .width = s->width};
    k->sentences = s;
    if (!k->path) return 0;
    /* What a device makes of what the index has is as near to it as can be had there. */
    bool same = k->compute_type && strcmp(k->compute_type, s->o.compute_type) == 0;
    of.settings =
        arena_format(a, e, "%s, %d tokens, %s%s%s", same ? k->compute_type : s->compute_type,
                     s->net.shape.max_tokens, s->net.config.first ? "cls" : "mean",
                     unit ? ", length 1" : "", literal ? ", literal" : "");
    if (!of.settings) return -1;
    mark_of(s, of.mark);
    return k->module->open(a, k->path, &of, &k->index, e);
}

void kept_close(struct kept *k)
{
    if (k->index) k->module->close(&k->index);
}

/* Embeds some that were not there: which[0..n) are numbers of texts. */
static int embed_missing(struct kept *k, struct arena *a, const struct str *text,
                         const uint8_t (*hash)[SHA_BYTES], const size_t *which, size_t n,
                         float *out, struct sentences_counts *counts,
                         const struct sentences_watch *watch, size_t *bad, struct err *e)
{
    size_t width = (size_t)k->sentences->width, worst;
    struct arena_mark mark = arena_here(a);
    struct str *some = ARENA_NEW(a, struct str, n, e);
    float *vector = ARENA_NEW(a, float, n *width, e);
    if (!some || !vector) return -1;
    for (size_t i = 0; i < n; i++) some[i] = text[which[i]];
    if (sentences_embed(k->sentences, some, n, vector, counts, watch, &worst, e)) {
        if (worst < n) *bad = which[worst];
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        const float *x = vector + i * width;
        memcpy(out + which[i] * width, x, width * sizeof *x);
        TRY(k->module->put(k->index, hash[which[i]], x, e));
    }
    arena_rewind(a, mark);
    return k->module->commit(k->index, e);
}

int kept_embed(struct kept *k, struct arena *a, const struct str *text, size_t n, float *out,
               struct sentences_counts *counts, const struct sentences_watch *watch, size_t *bad,
               struct err *e)
{
    if (!k->index) return sentences_embed(k->sentences, text, n, out, counts, watch, bad, e);
    size_t missing = 0;
    *bad = n;
    uint8_t(*hash)[SHA_BYTES] = arena_array(a, n, sizeof *hash, 1, e);
    size_t *which = ARENA_NEW(a, size_t, n, e);
    if (!hash || !which) return -1;
    for (size_t i = 0; i < n; i++) {
        struct sha sha;
        sha_begin(&sha);
        sha_add(&sha, text[i].p, text[i].n);
        sha_end(&sha, hash[i]);
        int found = k->module->get(k->index, hash[i], out + i * (size_t)k->sentences->width, e);
        if (found < 0) return -1;
        if (found == 0) which[missing++] = i;
        if (i % PIECE == 0 && watch && watch->stop &&
            watch->stop(watch->ctx, watch->before + i + 1 - missing))
            return err_set(e, E_CANCELLED, "stopped on request");
    }
    k->found += n - missing;
    struct sentences_watch rest = watch ? *watch : (struct sentences_watch){0};
    rest.before += n - missing;
    for (size_t at = 0; at < missing; at += PIECE) {
        size_t some = MIN(missing - at, (size_t)PIECE);
        TRY(embed_missing(k, a, text, (const uint8_t(*)[SHA_BYTES])hash, which + at, some, out,
                          counts, &rest, bad, e));
        k->made += some;
        rest.before += some;
    }
    return 0;
}
