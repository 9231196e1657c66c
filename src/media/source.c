/* A file, standard input or a FIFO as one thing with a read position.
 *
 *     pipe  [ kept in the spool      |  read by nobody yet ......
 *           0        at         kept ^ next byte of fd           */
#include "media/source.h"
#include "base/fault.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t read_file(struct source *s, void *p, size_t n, struct err *e)
{
    if (s->at >= s->size) return 0;
    int64_t got = file_read_at(s->fd, p, n, s->base + s->at, e);
    if (got > 0) s->at += (uint64_t)got;
    return got;
}

static int seek_file(struct source *s, uint64_t at, struct err *e)
{
    (void)e;
    s->at = MIN(at, s->size);
    return 0;
}

/* All n bytes from a pipe, however small the pieces it comes in. */
static int64_t pull(int fd, uint8_t *p, size_t n, struct err *e)
{
    size_t got = 0;
    while (got < n) {
        if (fault_hit(FAULT_READ)) {
            errno = EIO;
            return err_errno(e, E_IO, "cannot read");
        }
        ssize_t r = read(fd, p + got, n - got);
        if (r == 0) break;
        if (r < 0 && errno != EINTR) return err_errno(e, E_IO, "cannot read");
        if (r > 0) got += (size_t)r;
    }
    return (int64_t)got;
}

static void drop_spool(struct source *s)
{
    if (s->spool_fd >= 0) close(s->spool_fd);
    s->spool_fd = -1;
}

static int64_t read_pipe(struct source *s, void *p, size_t n, struct err *e)
{
    if (s->at < s->kept) {
        size_t here = (size_t)MIN((uint64_t)n, s->kept - s->at);
        int64_t got = file_read_at(s->spool_fd, p, here, s->at, e);
        if (got < 0) return -1;
        s->at += (uint64_t)got;
        if ((size_t)got < here) return err_set(e, E_IO, "the temporary file was cut short");
        if (here == n) return got;
        int64_t more = read_pipe(s, (uint8_t *)p + here, n - here, e);
        return more < 0 ? -1 : got + more;
    }
    if (!s->keep) drop_spool(s);
    int64_t got = pull(s->fd, p, n, e);
    if (got < 0) return -1;
    if (s->keep) {
        TRY(file_write_all(s->spool_fd, p, (size_t)got, e));
        s->kept += (uint64_t)got;
    }
    s->at += (uint64_t)got;
    return got;
}

static int seek_pipe(struct source *s, uint64_t at, struct err *e)
{
    if (at == s->at) return 0;
    if (at > s->kept || s->spool_fd < 0) return err_set(e, E_IO, "a pipe cannot be wound back");
    s->at = at;
    return 0;
}

/* Decides what fd is. A regular file starts where its owner left it: `(read -r x; lode -) < a`. */
static int look(struct source *s, struct err *e)
{
    struct stat st;
    if (fstat(s->fd, &st) != 0) return err_errno(e, E_IO, "%s: cannot be looked at", s->name);
    if (S_ISDIR(st.st_mode)) return err_set(e, E_IO, "%s: is a folder, not a file", s->name);
    if (S_ISREG(st.st_mode)) {
        off_t at = lseek(s->fd, 0, SEEK_CUR);
        s->base = at > 0 ? (uint64_t)at : 0;
        s->size = (uint64_t)st.st_size > s->base ? (uint64_t)st.st_size - s->base : 0;
        s->read = read_file;
        s->seek = seek_file;
        return 0;
    }
    s->pipe = s->keep = true;
    s->size = UINT64_MAX;
    s->read = read_pipe;
    s->seek = seek_pipe;
    return file_spool(&s->spool_fd, e);
}

int source_open(const char *path, struct source *s, struct err *e)
{
    bool standard = strcmp(path, "-") == 0;
    memset(s, 0, sizeof *s);
    s->fd = s->spool_fd = -1;
    snprintf(s->name, sizeof s->name, "%s", standard ? "standard input" : path);
    if (fault_hit(FAULT_OPEN))
        errno = EMFILE;
    else
        s->fd = standard ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                         : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (s->fd < 0) return err_errno(e, E_IO, "%s: cannot be opened", s->name);
    if (look(s, e) == 0) return 0;
    source_close(s);
    return -1;
}

int source_skip(struct source *s, uint64_t n, struct err *e)
{
    uint8_t trash[4096];
    if (!s->pipe) return s->seek(s, n < s->size - s->at ? s->at + n : s->size, e);
    while (n > 0) {
        size_t want = (size_t)MIN(n, sizeof trash);
        int64_t got = s->read(s, trash, want, e);
        if (got < 0) return -1;
        if ((size_t)got < want) break;
        n -= want;
    }
    return 0;
}

void source_settle(struct source *s)
{
    s->keep = false;
    if (s->at >= s->kept) drop_spool(s);
}

int source_fill(struct source *s, struct err *e)
{
    uint8_t piece[16384];
    assert(s->pipe && s->keep);
    s->at = s->kept;
    for (int64_t got = 1; got > 0;) {
        got = s->read(s, piece, sizeof piece, e);
        if (got < 0) return -1;
    }
    close(s->fd);
    s->fd = s->spool_fd;
    s->spool_fd = -1;
    s->size = s->kept;
    s->at = s->base = 0;
    s->pipe = s->keep = false;
    s->read = read_file;
    s->seek = seek_file;
    return 0;
}

void source_close(struct source *s)
{
    drop_spool(s);
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}
