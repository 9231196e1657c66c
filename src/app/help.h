/* Pages for people, all made from the tables: jobs, their option rows, environment variables, error
 * codes. Called by cli.c; output goes into a strbuf whose size the caller chose. */
#ifndef APP_HELP_H
#define APP_HELP_H

#include "lode.h"

/* help_overview: what `lode help` prints. */
void help_overview(const struct lode_job *const *jobs, size_t n, struct strbuf *out);
/* help_job: usage, what the job does, its options. */
void help_job(const struct lode_job *job, struct strbuf *out);
/* help_man: the source of a manual page: lode(1) with every job in it, or lode-JOB(1) when n is 1.
 */
void help_man(const struct lode_job *const *jobs, size_t n, bool whole, struct strbuf *out);

struct help_topic { /* a page that is not about a job */
    const char *name, *summary;
    void (*page)(struct strbuf *out);
};
const struct help_topic *help_topics(size_t *n);

/* help_wrap: text as paragraphs of at most `columns` columns; lines that begin with a blank stay as
 * they are. Every line is put behind `indent` blanks. */
void help_wrap(const char *text, size_t indent, size_t columns, struct strbuf *out);

#endif
