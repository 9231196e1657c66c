/* Facts: everything the doctor knows of a machine, as text, "key = value" a line:
 *
 *     /sys/module/nvidia/version = 570.86.15        a file: its path and what is in it
 *     /sys/bus/pci/devices/0000:01:00.0/driver = nouveau      a link: the last part of where to
 *     /dev/nvidia0 = open                           a device node: open, or the errno of opening it
 *     env CUDA_VISIBLE_DEVICES = -1                 a variable
 *     log 0 = NVRM: Xid (PCI:0000:01:00): 79, ...   a line of the kernel's log
 *     cuInit = 803                                  what the driver's libraries answered
 *     is mismatch = 570.86.15 and 570.133.20        what was concluded from others (derive.h)
 *
 * What is not there is not listed. One text serves as record, replay, test and message: rules
 * (finding.h) read nothing but facts. Values hold printable ASCII; other bytes are written \n or
 * \xHH, a backslash as \\. */
#ifndef DOCTOR_FACTS_H
#define DOCTOR_FACTS_H

#include "base/arena.h"
#include "base/str.h"

#define FACTS_MOST  4096 /* rows; more are left out */
#define FACTS_VALUE 2048 /* bytes of a value as written; the rest is cut off */

struct fact {
    const char *key, *value;
};

struct facts {
    struct arena *a;
    struct fact *row; /* in the order they came; every key once */
    size_t n;
    struct err *e; /* where the lack of memory is told */
    bool failed;   /* it lacked; what came later is left out */
};

/* facts_open: empty; everything lives in a. e must outlive it. */
int facts_open(struct arena *a, struct facts *f, struct err *e);

/* facts_put: a key gets a value, in place of one it had. The key is formatted. Bytes that are not
 * printable are escaped; p is not text that was escaped already. */
void facts_put(struct facts *f, struct str value, const char *key, ...) BASE_PRINTF(3, 4);
/* facts_set: the same for plain strings. */
void facts_set(struct facts *f, const char *key, const char *value);
/* facts_line: one "key = value" whose value is escaped already; others are not taken: false. */
bool facts_line(struct facts *f, struct str line);
/* facts_drop: forgets every key that matches the pattern. */
void facts_drop(struct facts *f, const char *pattern);

/* facts_get: the value of a key, or NULL. */
const char *facts_get(const struct facts *f, const char *key);
/* facts_next: the first row from *i on whose key matches the pattern; *i moves behind it. NULL: no
 * more. */
const struct fact *facts_next(const struct facts *f, const char *pattern, size_t *i);
/* facts_bytes: the bytes a value stands for, at most room of them. Returns how many. */
size_t facts_bytes(const char *value, char *out, size_t room);

/* facts_glob: whether text matches: '*' any run of characters, '|' between patterns of which one
 * must. */
bool facts_glob(const char *pattern, const char *text);

#endif
