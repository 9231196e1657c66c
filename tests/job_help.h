/* A job run as `lode JOB ..` runs it, within a test: its text, its notes, its error. */
#ifndef TESTS_JOB_HELP_H
#define TESTS_JOB_HELP_H

#include "container.h"

struct heard {
    char text[1 << 16], notes[1 << 14];
    struct err e;
};

static inline int job_take(void *ctx, const char *p, size_t n, struct err *e)
{
    struct heard *h = ctx;
    (void)e;
    strncat(h->text, p, MIN(n, sizeof h->text - strlen(h->text) - 1));
    return 0;
}

static inline void job_note(void *ctx, const char *line)
{
    struct heard *h = ctx;
    strncat(h->notes, line, sizeof h->notes - strlen(h->notes) - 2);
    strcat(h->notes, "\n");
}

/* same, more: options and inputs, two lists that end with NULL. */
static inline int job_run(struct world *w, const struct lode_job *job, struct heard *h,
                          const char *const *same, const char *const *more)
{
    char *argv[60];
    int n = 0;
    for (; *same; same++) argv[n++] = (char *)(uintptr_t)*same;
    for (; *more; more++) argv[n++] = (char *)(uintptr_t)*more;
    const struct lode_host host = {.ctx = h, .text = job_take, .note = job_note};
    struct opt_list inputs;
    void *opts = arena_alloc(w->a, job->opts_bytes, 16, &w->e);
    h->text[0] = h->notes[0] = 0;
    err_clear(&h->e);
    opt_defaults(job->rows, job->n_rows, opts);
    must(w, opt_parse(w->a, job->rows, job->n_rows, n, argv, opts, &inputs, &w->e));
    err_clear(&w->e);
    int rc = job->run(opts, &inputs, &host, &h->e);
    if (rc) w->e = h->e; /* for must */
    return rc;
}

/* So many seconds of noise as NAME.wav in the world's folder. */
static inline const char *job_noise(struct world *w, const char *name, double seconds)
{
    uint32_t bytes = 2 * (uint32_t)(16000 * seconds);
    uint32_t head[11] = {0x46464952, 36 + bytes, 0x45564157, 0x20746d66, 16,   0x10001,
                         16000,      32000,      0x100002,   0x61746164, bytes};
    char *file = arena_format(w->a, &w->e, "%s.wav", name);
    char *path = file_join(w->a, w->folder, file, &w->e);
    FILE *f = create(w->folder, file);
    put(f, head, sizeof head);
    for (uint32_t i = 0; i < bytes / 2; i++) {
        int16_t s = (int16_t)(tensor_hash(name, i, 1) * 6000);
        put(f, &s, sizeof s);
    }
    assert_int_equal(fclose(f), 0);
    return path;
}

#endif
