/* How look.c and look_host.c read: every reading becomes a fact under its path, what is absent
 * leaves none, what cannot be read leaves "!EACCES". */
#ifndef DOCTOR_LOOK_READ_H
#define DOCTOR_LOOK_READ_H

#include "doctor/facts.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

struct look {
    const char *root; /* "", or a folder that holds a copy of a machine */
    struct facts *f;
    struct arena *scratch; /* emptied by every look_read */
};

/* look_read: the first `most` bytes of a file, in the scratch arena until the next call. False if
 * it cannot be read. */
bool look_read(const struct look *l, const char *path, size_t most, struct str *out);
/* look_read_whole: a small file as it is, without white space around. */
bool look_read_whole(const struct look *l, const char *path, size_t most);
/* look_read_there: whether something has that path; if so it gets this value. */
bool look_read_there(const struct look *l, const char *path, const char *value);
/* look_read_link: a link: the last part of what it points to. */
bool look_read_link(const struct look *l, const char *path);
/* look_read_node: a device node: "open", or the errno of opening it. */
void look_read_node(const struct look *l, const char *path);
/* look_read_list: names in a folder that begin so, 64 at most, in the arena of the facts. */
size_t look_read_list(const struct look *l, const char *folder, const char *begins, char ***names);
/* look_read_lines: those lines of a file that begin with one of `starts` (NULL ends it), or hold it
 * if anywhere. */
void look_read_lines(const struct look *l, const char *path, size_t most, const char *const *starts,
                     bool anywhere);
/* look_read_path: the path below the root. */
const char *look_read_path(const struct look *l, const char *path, char room[1200]);

#endif
