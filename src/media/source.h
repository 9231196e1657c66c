/* Where bytes come from: a file, standard input, a FIFO, seen as one thing with a read position.
 * What cannot be read twice is copied to an unlinked temporary file while the readers still look at
 * the header, so that every reader starts at byte 0. */
#ifndef MEDIA_SOURCE_H
#define MEDIA_SOURCE_H

#include "base/err.h"

struct source {
    /* read: up to n bytes from the position, which moves; fewer only at the end. -1: E_IO.
     * seek: to an absolute position; of a pipe only inside what is kept. Both are pointers so that
     * a reader in a module needs none of our objects. */
    int64_t (*read)(struct source *s, void *p, size_t n, struct err *e);
    int (*seek)(struct source *s, uint64_t at, struct err *e);
    bool pipe;     /* cannot be read twice */
    uint64_t at;   /* bytes from the start of the input */
    uint64_t size; /* bytes; of a pipe UINT64_MAX */

    int fd, spool_fd; /* -1: none */
    uint64_t base;    /* where in fd byte 0 lies: a standard input somebody has read from */
    uint64_t kept;    /* bytes of a pipe that are in the spool, from byte 0 */
    bool keep;        /* what is read from the pipe is still added to the spool */
    char name[256];   /* for messages, cut if longer */
};

/* source_open: "-" is standard input. *s may be closed after a failure too. Errors: E_IO (missing,
 * unreadable, a folder, no room for the spool). */
int source_open(const char *path, struct source *s, struct err *e);

/* source_skip: moves the position n bytes on, or to the end if that comes first. */
int source_skip(struct source *s, uint64_t n, struct err *e);

/* source_settle: the header is understood; a pipe is not kept from here on. */
void source_settle(struct source *s);

/* source_fill: copies the rest of a pipe to the spool, after which it is a file at position 0. Only
 * before source_settle. Errors: E_IO, disk full. */
int source_fill(struct source *s, struct err *e);

void source_close(struct source *s);

#endif
