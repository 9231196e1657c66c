/* Records of CSV, for rows.c. */
#ifndef LOAD_ROWS_CSV_H
#define LOAD_ROWS_CSV_H

#include "load/rows.h"

/* rows_csv_header: reads the first record as the names of the columns. rows_csv_next: the next
 * record into r->field; see rows_next. */
int rows_csv_header(struct rows *r, struct err *e);
int rows_csv_next(struct rows *r, struct err *e);

#endif
