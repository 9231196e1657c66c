/* Recorded machines, sick and healthy: cases.txt, which is part of the program, and files of the
 * same form that `lode doctor --save` writes. Replayed by --as and by the tests.
 *
 *     [driver-mismatch]                  a case begins
 *     title = ...                        one line for a person
 *     from = owner/repository#1          where it was seen; or left out
 *     like = healthy                     takes over another case's facts and fake; one line
 *     fake = t4,init=803                 the driver is tried, and it is this one (gpu/fake.h);
 *                                        "none": it is not tried, its answers are facts below
 *     exit = 2                           of `lode doctor`
 *     find = driver-mismatch             the findings, all of them; "none"
 *     cure = sudo reboot                 is part of the first finding's cure
 *     - /dev/nvidia*                     forgets facts
 *     /sys/module/nvidia/version = 570.86.15      a fact (facts.h)
 *     # a comment */
#ifndef DOCTOR_CASES_H
#define DOCTOR_CASES_H

#include "doctor/facts.h"

struct cases_row {
    char name[64];
    char title[160], from[160], fake[160], find[160], cure[160];
    int exit; /* -1: not told */
};

/* cases_text: the cases within this program. */
struct str cases_text(void);

/* cases_next: the next case of a text: what is told of it but its facts. rest moves on. False at
 * the end. */
bool cases_next(struct str *rest, struct cases_row *out);

/* cases_facts: the facts of the case of that name, and what it is. In a file without names (as
 * --save writes them) name is "". Errors: E_INPUT (no such case), E_NOMEM. */
int cases_facts(struct str text, const char *name, struct facts *f, struct cases_row *out,
                struct err *e);

/* cases_write: facts as a text of that form, but for those that are concluded, and what tells one
 * machine from another: its name and when it was started. home: a user's folder, written as ~; or
 * NULL. */
int cases_write(const struct facts *f, const char *home,
                int (*put)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
                struct err *e);

#endif
