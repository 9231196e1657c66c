/* The command line: words -> a job with its options and inputs, or a page. Knows no terminal and no
 * signal; main.c brings those as a struct lode_host. */
#ifndef APP_CLI_H
#define APP_CLI_H

#include "lode.h"

/* cli_run: argv as main got it. jobs [n]: the table, an argument so that tests can bring their own.
 * Pages and results go to host->text. 0, or -1 with *e filled; E_USAGE for everything that is wrong
 * with the words themselves, naming the nearest word that would have been right. */
int cli_run(struct arena *a, const struct lode_job *const *jobs, size_t n, int argc,
            char *const *argv, const struct lode_host *host, struct err *e);

#endif
