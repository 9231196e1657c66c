/* report.html of a search: one file that needs nothing else. */
#ifndef JOBS_HUNT_PAGE_H
#define JOBS_HUNT_PAGE_H

#include "jobs/hunt_report.h"

/* hunt_page_write: E_IO. */
int hunt_page_write(struct arena *a, const struct hunt_result *r, const char *path, struct err *e);

#endif
