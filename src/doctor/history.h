/* lode's own record of its last use of the GPU: one small file in the cache, written by jobs,
 * never by the doctor. Facts in it:
 *
 *     last good time, last good module, last good kernel, last good boot, last good uvm
 *     last fallback = the sentence why the CPU was taken         last fallback time */
#ifndef DOCTOR_HISTORY_H
#define DOCTOR_HISTORY_H

#include "doctor/facts.h"

/* history_note: after a job. reason: why the GPU was not used, or "" if it was. Nothing is written
 * where no NVIDIA driver shows, nor with an emulated GPU. That it cannot be written is nobody's
 * error. root: "" (a folder that holds a copy of a machine: tests). */
void history_note(const char *root, const char *reason);

/* history_read: what was noted becomes facts, and what is different now: "changed module" =
 * "570.86.15 -> 570.133.20". No record is no error. */
void history_read(const char *root, struct facts *f);

#endif
