/* The journal of a search: a line of JSON per batch of runs, synced before the next batch begins. A
 * search that was killed goes on from it and finds what it would have found. A batch that is made
 * again has another line, and the last one counts. */
#ifndef JOBS_DIARY_H
#define JOBS_DIARY_H

#include "base/file.h"
#include "cluster/evolve.h"

#define DIARY_NAME "search.journal"

struct diary {
    int fd;
    const char *path;
    struct evolve_run *run; /* [n] of an earlier search */
    int64_t n;
};

/* diary_open: in a folder. settings: a number that is another if the search is. resume: take what
 * is there; otherwise it begins empty. Errors: E_IO, also while another search has it; E_INPUT if
 * what is there is of another search.
 */
int diary_open(struct arena *a, const char *folder, uint64_t settings, int64_t batch, bool resume,
               struct diary *out, struct err *e);
int diary_add(struct diary *d, int64_t begun, const struct evolve_run *run, int64_t count,
              struct err *e);
void diary_close(struct diary *d); /* harmless on zeros with fd -1 */

/* diary_take: the runs in a text, as far as whole lines of whole batches go; *good: bytes of these.
 * E_INPUT if the first line is no head of ours, or of other settings. */
int diary_take(struct arena *a, struct str text, uint64_t settings, int64_t batch,
               struct evolve_run **run, int64_t *n, size_t *good, struct err *e);

#endif
