/* Rows of numbers from a file: .npy, CSV or JSON lines, told apart by their first bytes. */
#ifndef LOAD_NUMBERS_H
#define LOAD_NUMBERS_H

#include "load/npy.h"

struct numbers {
    int64_t rows, columns;
    struct npy npy;     /* what is mapped; its map for text too, until it is read */
    const double *text; /* [rows][columns] of a text file, in the arena; NULL: of npy */
    const char *format; /* "npy", "csv", "jsonl" */
    const char *names;  /* how line 1 of a text begins, if it was passed over although some of it
                           are numbers: the caller should say so. Else NULL */
};

/* numbers_open: text is CSV (commas, semicolons, tabs or blanks; a first line that is not
 * all numbers names the columns; a byte order mark is passed over) or one JSON array of numbers per
 * line; all lines are as long as the first. What is there is not judged: NaN and infinities are the
 * caller's business. Errors: E_INPUT with the line; E_IO; E_NOMEM. Closed by numbers_close. */
int numbers_open(struct arena *a, const char *path, struct numbers *out, struct err *e);
/* numbers_take: the same of what m->npy.map holds already. */
int numbers_take(struct arena *a, struct numbers *m, struct err *e);
void numbers_row(const struct numbers *m, int64_t row, double *out);
/* numbers_single: the row in the file itself if it lies there as f32 of this machine, or NULL.
 * Holds until the next row is asked for. */
const float *numbers_single(const struct numbers *m, int64_t row);
void numbers_close(struct numbers *m);

#endif
