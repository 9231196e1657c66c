/* Rungs 4 to 6: NVIDIA's libraries, tried by a child that is started anew from our own program and
 * tells each fact in a line as soon as it is known. That it crashed or did not answer is a fact
 * too; what it told before stays. */
#ifndef DOCTOR_PROBE_H
#define DOCTOR_PROBE_H

#include "doctor/facts.h"

enum probe { PROBE_NVML, PROBE_CUDA }; /* rungs 4 and 5; rungs 4 and 6 */

struct probe_rules {
    const char *program; /* path of lode */
    const char *fake; /* NULL: what LODE_FAKE_GPU says, if anything; else a fake GPU (gpu/fake.h) */
    const char *visible; /* CUDA_VISIBLE_DEVICES for the child; NULL: ours */
    int timeout_s;
};

/* probe_run: "lode doctor PROBE" as a child; its facts, and "probe nvml = ended" or what befell it.
 * Errors: E_NOMEM, E_IO (it could not be started). */
int probe_run(enum probe which, const struct probe_rules *r, struct facts *f, struct err *e);

/* probe_word: the word that makes `lode doctor` be that child. */
const char *probe_word(enum probe which);

/* probe_be: in the child. put: writes to the parent. */
int probe_be(struct arena *a, enum probe which,
             int (*put)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
             struct err *e);

#endif
