/* The ladder from its lowest rung to the findings. */
#ifndef DOCTOR_DOCTOR_H
#define DOCTOR_DOCTOR_H

#include "doctor/finding.h"

struct doctor_rules {
    const char *program; /* path of lode, for the children */
    const char *root;    /* "", or a folder that holds a copy of a machine: then no driver is tried
                            unless fake is set */
    const char *fake;    /* NULL, or the GPU to be emulated */
    const char *visible; /* NULL, or CUDA_VISIBLE_DEVICES in place of our own */
    unsigned pid;        /* 0, or a process to look at */
    bool no_work;        /* without rung 6, which computes on the GPU */
    int nvml_s, cuda_s;  /* how long each child may take; 0: 10 and 15 */
};

struct doctor {
    struct facts facts;
    struct finding *found;
    size_t n;
    int status; /* finding_exit */
};

/* doctor_examine: everything lives in a; e must outlive *out. Errors: E_NOMEM, E_IO (a child cannot
 * be started), E_INPUT (no such process). */
int doctor_examine(struct arena *a, const struct doctor_rules *r, struct doctor *out,
                   struct err *e);

/* doctor_replay: the same for a recorded machine (cases.h): text, name as in cases_facts. Its
 * driver, if it has one, is emulated in children. */
int doctor_replay(struct arena *a, struct str text, const char *name, const char *program,
                  struct doctor *out, struct err *e);

/* doctor_conclude: derived facts, findings and status from the facts. */
int doctor_conclude(struct arena *a, struct doctor *d, struct err *e);

#endif
