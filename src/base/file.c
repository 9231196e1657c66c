#include "base/file.h"
#include "base/env.h"
#include "base/fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK: opening a named pipe must not hang; for regular files it means nothing. */
static int open_to_read(const char *path, struct stat *st, struct err *e)
{
    int fd = -1;
    if (fault_hit(FAULT_OPEN))
        errno = EIO;
    else
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return err_errno(e, E_IO, "%s", path);
    if (fstat(fd, st) == 0 && !S_ISDIR(st->st_mode)) return fd;
    close(fd);
    return err_set(e, E_IO, "%s: is a folder, a file is needed", path);
}

int file_map(const char *path, struct file_map *out, struct err *e)
{
    *out = (struct file_map){0};
    snprintf(out->path, sizeof out->path, "%s", path);
    struct stat st;
    int fd = open_to_read(path, &st, e);
    if (fd < 0) return -1;
    int status = 0;
    if (!S_ISREG(st.st_mode)) {
        status = err_set(e, E_IO, "%s: is not a regular file and cannot be mapped", path);
    } else if (st.st_size > 0) {
        void *p = MAP_FAILED;
        if (fault_hit(FAULT_MAP))
            errno = ENOMEM;
        else
            p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            status = err_errno(e, errno == ENOMEM ? E_NOMEM : E_IO, "%s: cannot map %lld bytes",
                               path, (long long)st.st_size);
        } else {
            out->data = p;
            out->size = (size_t)st.st_size;
        }
    }
    close(fd);
    return status;
}

void file_map_drop(const struct file_map *m, size_t offset, size_t bytes)
{
    assert(offset <= m->size && bytes <= m->size - offset);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t from = ALIGN_UP(offset, page); /* only whole pages: the ends may hold neighbours */
    size_t to =
        offset + bytes == m->size ? ALIGN_UP(m->size, page) : (offset + bytes) / page * page;
    if (from < to) madvise((void *)(uintptr_t)(m->data + from), to - from, MADV_DONTNEED);
}

void file_unmap(struct file_map *m)
{
    if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
    m->data = NULL;
    m->size = 0;
}

/* One read with EINTR handled and the fault counted; offset < 0: at the descriptor's position. */
static ssize_t read_some(int fd, void *p, size_t n, int64_t offset)
{
    if (fault_hit(FAULT_READ)) {
        errno = EIO;
        return -1;
    }
    ssize_t got;
    do got = offset < 0 ? read(fd, p, n) : pread(fd, p, n, (off_t)offset);
    while (got < 0 && errno == EINTR);
    return got;
}

static int read_whole(struct arena *a, int fd, const char *path, size_t cap, size_t max_bytes,
                      struct str *out, struct err *e)
{
    char *p = arena_array(a, cap, 1, 1, e);
    if (!p) return -1;
    for (size_t n = 0;;) {
        ssize_t got = read_some(fd, p + n, cap - 1 - n, -1);
        if (got < 0) return err_errno(e, E_IO, "%s: cannot read", path);
        n += (size_t)got;
        if (n > max_bytes)
            return err_set(e, E_INPUT, "%s: is longer than the %zu bytes allowed", path, max_bytes);
        if (got == 0) {
            p[n] = 0;
            *out = (struct str){p, n};
            return 0;
        }
        if (n + 1 < cap) continue;
        char *more = arena_array(a, cap * 2, 1, 1, e);
        if (!more) return -1;
        memcpy(more, p, n);
        p = more;
        cap *= 2;
    }
}

int file_read(struct arena *a, const char *path, size_t max_bytes, struct str *out, struct err *e)
{
    *out = (struct str){0};
    struct stat st;
    int fd = open_to_read(path, &st, e);
    if (fd < 0) return -1;
    fcntl(fd, F_SETFL, 0); /* from here a pipe may keep us waiting */
    int status;
    if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > max_bytes)
        status = err_set(e, E_INPUT, "%s: %lld bytes, at most %zu are allowed", path,
                         (long long)st.st_size, max_bytes);
    else /* two more than the size: one for the NUL, one to see the end without growing */
        status = read_whole(a, fd, path, MAX((size_t)st.st_size, 4094) + 2, max_bytes, out, e);
    close(fd);
    return status;
}

/* What `path` leads to when it is a link, so that writing through a link keeps the link. */
static char *through_links(struct arena *a, const char *path, struct err *e)
{
    char real[PATH_MAX];
    const char *to = realpath(path, real) ? real : path;
    return arena_text(a, to, strlen(to), e);
}

/* Removes what a killed process left: a temporary that nobody has locked. False if it is not to be
 * removed. Only who has the lock removes, so what is there after taking it is that file still. */
static bool remove_left(const char *tmp)
{
    int fd = open(tmp, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    struct stat st;
    bool left = flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                (st.st_nlink == 0 || unlink(tmp) == 0);
    close(fd);
    return left;
}

/* Takes a new temporary for this process. Not if somebody removed it before it was locked; where
 * files cannot be locked nobody removes it either. */
static bool lock_temporary(int fd)
{
    struct stat st;
    (void)flock(fd, LOCK_EX);
    return fstat(fd, &st) != 0 || st.st_nlink > 0;
}

/* Numbers from 0, not random ones: what was left of this file is found without reading the folder,
 * which would take as many steps as it has files, for each of them. */
static int open_temporary(struct arena *a, struct file_out *f, mode_t mode, struct err *e)
{
    const char *name = file_name(f->path);
    int kept = (int)(name - f->path) + (int)MIN(strlen(name), NAME_MAX - sizeof ".tmp-XXXXXX");
    for (unsigned number = 0; number < 100;) {
        f->tmp = arena_format(a, e, "%.*s.tmp-%06x", kept, f->path, number);
        if (!f->tmp) return -1;
        if (fault_hit(FAULT_OPEN))
            errno = EACCES;
        else
            f->fd = open(f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (f->fd >= 0 && lock_temporary(f->fd)) return 0;
        if (f->fd >= 0)
            close(f->fd);
        else if (errno != EEXIST)
            break;
        else if (!remove_left(f->tmp))
            number++;
        f->fd = -1;
    }
    f->tmp = NULL;
    return err_errno(e, E_IO, "%s: cannot be written", f->path);
}

int file_out_open(struct arena *a, const char *path, struct file_out *f, struct err *e)
{
    *f = (struct file_out){.fd = -1};
    if (*path == 0) return err_set(e, E_IO, "the name of a file to write is empty");
    if (strcmp(path, "-") == 0) {
        f->fd = STDOUT_FILENO;
        f->path = arena_text(a, "standard output", 15, e);
        return f->path ? 0 : -1;
    }
    f->path = through_links(a, path, e);
    if (!f->path) return -1;
    size_t name = strlen(file_name(f->path));
    if (name > NAME_MAX) /* said before the work, not when it gets its name */
        return err_set(e, E_IO, "%.100s..: a name of %zu bytes, %d are possible",
                       file_name(f->path), name, NAME_MAX);
    struct stat st;
    bool there = stat(f->path, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return err_set(e, E_IO, "%s: is a folder, a file is needed", path);
    if (!there || S_ISREG(st.st_mode))
        return open_temporary(a, f, there ? st.st_mode & 0777 : 0666, e);
    /* A device or a pipe: written in place, for a rename would replace it. */
    f->fd = open(f->path, O_WRONLY | O_CLOEXEC);
    return f->fd >= 0 ? 0 : err_errno(e, E_IO, "%s: cannot be written", path);
}

/* What is held, and then p. */
static int pass_on(struct file_out *f, const void *p, size_t n, struct err *e)
{
    uint64_t there = f->bytes - f->n_held;
    if (file_write_all(f->fd, f->held, f->n_held, e) || file_write_all(f->fd, p, n, e))
        return err_note(e, "%s, after %llu bytes", f->path, (unsigned long long)there);
    f->n_held = 0;
    return 0;
}

int file_out_flush(struct file_out *f, struct err *e)
{
    return pass_on(f, NULL, 0, e);
}

int file_out_write(struct file_out *f, const void *p, size_t n, struct err *e)
{
    if (!f->tmp || n > sizeof f->held - f->n_held) { /* who reads a pipe does not wait */
        TRY(pass_on(f, p, n, e));
    } else if (n > 0) {
        memcpy(f->held + f->n_held, p, n);
        f->n_held += n;
    }
    f->bytes += n;
    return 0;
}

/* The folder that a path's last part is in. False if its name is too long. */
static bool folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? MAX((size_t)(slash - path), 1) : 1;
    if (n >= PATH_MAX) return false;
    memcpy(folder, slash ? path : ".", n);
    folder[n] = 0;
    return true;
}

/* A rename is on disk only when its folder is; a folder that cannot be synced is no reason to fail.
 */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    if (!folder_of(path, folder)) return;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

int file_out_format(struct file_out *f, struct err *e, const char *format, ...)
{
    char text[1200];
    struct strbuf b;
    va_list args;
    strbuf_init(&b, text, sizeof text);
    va_start(args, format);
    strbuf_format_list(&b, format, args);
    va_end(args);
    return file_out_write(f, b.p, b.n, e);
}

int file_out_commit(struct file_out *f, struct err *e)
{
    if (f->fd == STDOUT_FILENO) return 0;
    if (file_out_flush(f, e)) {
        file_out_abort(f);
        return -1;
    }
    int status = 0;
    if (f->tmp && fsync(f->fd) != 0 && errno != EINVAL && errno != ENOSYS) status = -1;
    int number = errno;
    if (close(f->fd) != 0 && status == 0) {
        status = -1;
        number = errno;
    }
    f->fd = -1;
    if (status == 0 && f->tmp && rename(f->tmp, f->path) != 0) {
        status = -1;
        number = errno;
    }
    if (status != 0) {
        file_out_abort(f);
        errno = number;
        return err_errno(e, E_IO, "%s: cannot be finished", f->path);
    }
    if (f->tmp) sync_folder(f->path);
    f->tmp = NULL;
    return 0;
}

void file_out_abort(struct file_out *f)
{
    if (f->fd >= 0 && f->fd != STDOUT_FILENO) close(f->fd);
    f->fd = -1;
    if (f->tmp) unlink(f->tmp);
    f->tmp = NULL;
}

enum file_kind file_kind(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return FILE_NONE;
    return S_ISREG(st.st_mode) ? FILE_REGULAR : S_ISDIR(st.st_mode) ? FILE_FOLDER : FILE_OTHER;
}

bool file_same(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static bool in_one_folder(const char *a, const char *b)
{
    char one[PATH_MAX], other[PATH_MAX];
    return folder_of(a, one) && folder_of(b, other) && file_same(one, other);
}

bool file_clash(const char *a, const char *b)
{
    return file_same(a, b) || (strcmp(file_name(a), file_name(b)) == 0 && in_one_folder(a, b));
}

int64_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_names(struct arena *a, DIR *d, char ***names, size_t *n, struct err *e)
{
    size_t cap = 64;
    char **list = ARENA_NEW(a, char *, cap, e);
    if (!list) return -1;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(d);
        if (!entry) break;
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        if (*n == cap) {
            char **more = ARENA_NEW(a, char *, cap * 2, e);
            if (!more) return -1;
            memcpy(more, list, cap * sizeof *list);
            list = more;
            cap *= 2;
        }
        list[*n] = arena_text(a, name, strlen(name), e);
        if (!list[*n]) return -1;
        ++*n;
    }
    if (errno != 0) return err_errno(e, E_IO, "cannot be listed");
    qsort(list, *n, sizeof *list, by_bytes);
    *names = list;
    return 0;
}

int file_list(struct arena *a, const char *folder, char ***names, size_t *n, struct err *e)
{
    *names = NULL;
    *n = 0;
    DIR *d = NULL;
    if (fault_hit(FAULT_OPEN))
        errno = EIO;
    else
        d = opendir(folder);
    if (!d) return err_errno(e, E_IO, "%s", folder);
    int status = read_names(a, d, names, n, e);
    closedir(d);
    return status == 0 ? 0 : err_note(e, "%s", folder);
}

int file_make_folders(const char *path, struct err *e)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return err_set(e, E_IO, "a folder's path has %zu bytes, 1 to %zu are possible", n,
                       sizeof part - 1);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        char kept = part[i];
        part[i] = 0;
        if (mkdir(part, 0777) != 0) {
            int why = errno; /* file_kind has one of its own */
            bool there = file_kind(part) == FILE_FOLDER;
            errno = why;
            if (!there) return err_errno(e, E_IO, "%s: cannot make the folder", part);
        }
        part[i] = kept;
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st, (void)type, (void)walk;
    return remove(path);
}

int file_remove_tree(const char *path, struct err *e)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT) return 0;
    return err_errno(e, E_IO, "%s: cannot be removed", path);
}

char *file_join(struct arena *a, const char *folder, const char *name, struct err *e)
{
    if (*folder == 0) return arena_text(a, name, strlen(name), e);
    return arena_format(a, e, str_ends(folder, "/") ? "%s%s" : "%s/%s", folder, name);
}

const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *file_cache(struct arena *a, const char *below, struct err *e)
{
    const char *own = env_get("LODE_CACHE"), *all = env_get("XDG_CACHE_HOME");
    const char *home = env_get("HOME");
    char *folder;
    if (own)
        folder = arena_text(a, own, strlen(own), e);
    else if (all && *all == '/') /* the XDG text: a relative path is to be ignored */
        folder = file_join(a, all, "lode", e);
    else if (home)
        folder = file_join(a, home, ".cache/lode", e);
    else {
        err_set(e, E_IO, "neither LODE_CACHE, XDG_CACHE_HOME nor HOME says where the cache is");
        return NULL;
    }
    return folder && *below ? file_join(a, folder, below, e) : folder;
}

char *file_program_folder(struct arena *a, struct err *e)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    while (n > 0 && path[n - 1] != '/') n--;
    if (n <= 1) {
        err_set(e, E_IO, "the folder of the program cannot be told");
        return NULL;
    }
    return arena_text(a, path, (size_t)n - 1, e);
}

int file_spool(int *fd, struct err *e)
{
    const char *folder = env_get("TMPDIR");
    if (!folder) folder = "/tmp";
    *fd = -1;
    if (fault_hit(FAULT_OPEN)) {
        errno = EIO;
        return err_errno(e, E_IO, "%s: cannot hold a temporary file", folder);
    }
    *fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (*fd >= 0) return 0;
    char name[PATH_MAX]; /* a file system without O_TMPFILE */
    int n = snprintf(name, sizeof name, "%s/lode-XXXXXX", folder);
    if (n > 0 && (size_t)n < sizeof name) *fd = mkostemp(name, O_CLOEXEC);
    if (*fd < 0) return err_errno(e, E_IO, "%s: cannot hold a temporary file", folder);
    unlink(name);
    return 0;
}

int64_t file_read_at(int fd, void *p, size_t n, uint64_t offset, struct err *e)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = read_some(fd, (char *)p + done, n - done, (int64_t)(offset + done));
        if (got < 0)
            return err_errno(e, E_IO, "cannot read at byte %llu",
                             (unsigned long long)(offset + done));
        if (got == 0) break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

int file_write_all(int fd, const void *p, size_t n, struct err *e)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = -1;
        if (fault_hit(FAULT_WRITE))
            errno = ENOSPC;
        else
            put = write(fd, (const char *)p + done, n - done);
        if (put >= 0)
            done += (size_t)put;
        else if (errno == ENOSPC || errno == EDQUOT)
            return err_set(e, E_IO, "the disk is full");
        else if (errno != EINTR)
            return err_errno(e, E_IO, "cannot write");
    }
    return 0;
}
