/* Documents as records, for rows.c: a file, or every file of a folder, is one record with the
 * fields "text" and "id", its name. PDF is read through pdftotext, DOCX and its kin through pandoc,
 * which are programs of their own. */
#ifndef LOAD_ROWS_DOCUMENTS_H
#define LOAD_ROWS_DOCUMENTS_H

#include "load/rows.h"

/* rows_documents_fit: whether the path is such a file by what it ends in, or a folder. */
bool rows_documents_fit(const char *path);

/* rows_documents_open: turns all of them into text at once, so that what cannot be read is said
 * before anything is computed; the texts lie in a temporary file, mapped as r->map.
 * rows_documents_next: the next record into r->field; see rows_next. Errors of open: E_MISSING (the
 * program that is needed, by name), E_INPUT (the file and what that program says of it, no text in
 * it, one of another kind in a folder), E_IO, E_NOMEM. */
int rows_documents_open(const char *path, struct rows *r, struct err *e);
int rows_documents_next(struct rows *r, struct err *e);

#endif
