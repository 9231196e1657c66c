/* lode's public face: a table of jobs and one function that runs them. The command line and the
 * server are customers of this and of nothing else. */
#ifndef LODE_H
#define LODE_H

#include "base/opt.h"

enum lode_unit { LODE_UNITS, LODE_SECONDS, LODE_BYTES }; /* of progress; seconds are of audio */

struct lode_host { /* how a job reaches the world; every function may be NULL */
    void *ctx;
    int (*text)(void *ctx, const char *p, size_t n,
                struct err *e);                /* results for standard output */
    void (*note)(void *ctx, const char *line); /* one line for a person */
    void (*progress)(void *ctx, const char *what, enum lode_unit unit, double done,
                     double total); /* total <= 0: unknown; done < 0: finished, clear the line */
    bool (*cancelled)(
        void *ctx); /* polled often; true: finish what is at hand and return E_CANCELLED */
};

struct lode_job {
    const char *name, *summary;
    const char *synopsis; /* "FILE... [options]" */
    const char *details;  /* for help and the man page: paragraphs are wrapped, an empty line ends
                             one, lines that begin with a blank are examples and stay as they are */
    const struct opt_row *rows; /* options */
    size_t n_rows, opts_bytes;
    int inputs_min, inputs_max; /* words that are not options; max < 0: any number */
    /* run: 0, or -1 with *e filled; or above 0: an exit status that is the job's answer. */
    int (*run)(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
               struct err *e);
};

/* lode_jobs: the table, *n rows in the order help shows them. */
const struct lode_job *const *lode_jobs(size_t *n);

/* lode_version: "0.1.0 (abc1234)"; lode_build: what was built in, one "name: yes/no, version" per
 * line. */
const char *lode_version(void);
void lode_build(struct strbuf *out);

#endif
