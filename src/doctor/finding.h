/* What can be wrong: one table (finding.def), rules that read facts and nothing else, and the cure
 * for the machine at hand. */
#ifndef DOCTOR_FINDING_H
#define DOCTOR_FINDING_H

#include "doctor/facts.h"

enum severity {
    SEVERITY_NOTE,   /* worth knowing; changes no exit status */
    SEVERITY_WARN,   /* slow, at risk, or unused */
    SEVERITY_BROKEN, /* a reason why the GPU cannot be used */
    SEVERITY_ABSENT  /* there is none to be used */
};

/* Where a cure is right: systems and places, any of the bits. */
enum {
    ON_DEBIAN = 1,
    ON_UBUNTU = 2,
    ON_FEDORA = 4, /* and RHEL, CentOS, Rocky, Alma */
    ON_ARCH = 8,
    ON_OTHER = 16,
    ON_ALL = 31,
    IN_HOST = 32,
    IN_WSL = 64,
    IN_DOCKER = 128,
    IN_PODMAN = 256,
    IN_KUBERNETES = 512,
    IN_LXC = 1024,
    IN_BOX = IN_DOCKER | IN_PODMAN | IN_KUBERNETES | IN_LXC,
    IN_ANY = IN_HOST | IN_WSL | IN_BOX
};

struct cure {
    unsigned where;   /* at least one bit of each kind */
    const char *text; /* lines for a shell; those that begin with # are for the reader. {module}
                         {library} {branch} {kernel} {pid} stand for facts; {index} and {pci} for
                         the number (NVIDIA's tools') and address of a GPU of the evidence: such a
                         line is written once for each */
};

#define FINDING_CURES 8

struct finding_row {
    const char *id;
    enum severity severity;
    const char *what; /* is wrong, a sentence without full stop */
    const char *when; /* it is seen: see finding.c */
    const char *why;
    struct cure cure[FINDING_CURES]; /* the first that is right is taken; text NULL ends */
};

#define FINDING_EVIDENCE 6

struct finding {
    const struct finding_row *row;
    struct fact seen[FINDING_EVIDENCE]; /* borrowed from the facts */
    size_t n_seen;
};

/* finding_rows: the table. */
const struct finding_row *finding_rows(size_t *n);

/* finding_search: all that are seen in these facts (derived ones included), worst first and then in
 * the order of the table; the array lives in a. */
int finding_search(struct arena *a, const struct facts *f, struct finding **out, size_t *n,
                   struct err *e);

/* finding_exit: 0 a GPU is usable, 1 with warnings, 2 there is one and it is not usable, 3 none. */
int finding_exit(const struct facts *f, const struct finding *found, size_t n);

/* finding_cure: the lines for this machine, and for the GPUs of the evidence. What cannot be told
 * is a word in capitals for a person to fill in (INDEX, BUS-ID): a reset of the wrong GPU loses
 * work. Facts put into the lines are names, numbers and versions only, whatever the facts hold. */
void finding_cure(const struct finding *g, const struct facts *f, struct strbuf *out);

/* finding_where: the bits of this machine: one ON_, one IN_. */
unsigned finding_where(const struct facts *f);

const char *finding_severity(enum severity s); /* "broken" */

#endif
