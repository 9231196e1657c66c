/* What a job has finished, in a file beside its output, so that a job that was killed goes on where
 * it stopped. A line is added and synced after an output has its name; a line that a crash cut off
 * is no line. One line per input: settings, size and time of change, path. If any of them is not
 * the same, the input is not finished. */
#ifndef JOBS_JOURNAL_H
#define JOBS_JOURNAL_H

#include "base/opt.h"

#define JOURNAL_NAME ".lode-journal"
#define JOURNAL_MAX  (256u << 20) /* bytes: some millions of inputs */

struct journal;

/* journal_settings: a number for the present values of options. */
uint64_t journal_settings(const struct opt_row *rows, size_t n, const void *opts);

/* journal_open: of a folder, made if it is not there. settings: of the job, as a number that is
 * another if they are. Lives in a. Errors: E_IO, E_NOMEM, E_INPUT if it is larger than JOURNAL_MAX.
 */
int journal_open(struct arena *a, const char *folder, uint64_t settings, struct journal **out,
                 struct err *e);
/* journal_line: what stands for an input as it is now, in a: taken before the work, so that what
 * changes meanwhile is not finished. Errors: E_IO, E_NOMEM. */
int journal_line(const struct journal *j, struct arena *a, const char *input, struct str *out,
                 struct err *e);
/* journal_has: whether it was finished in an earlier run. */
bool journal_has(const struct journal *j, struct str line);
/* journal_add: it is finished now. scratch: for the time of the call. */
int journal_add(struct journal *j, struct arena *scratch, struct str line, struct err *e);
void journal_close(struct journal **j);

#endif
