#include "doctor/look_read.h"
#include "base/fault.h"
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_MOST = 64 };

static const char *errno_name(int number, char room[16])
{
    static const struct {
        int number;
        const char *name;
    } names[] = {{EACCES, "EACCES"}, {EPERM, "EPERM"},   {EIO, "EIO"},      {ENODEV, "ENODEV"},
                 {ENXIO, "ENXIO"},   {EBUSY, "EBUSY"},   {ELOOP, "ELOOP"},  {EMFILE, "EMFILE"},
                 {EISDIR, "EISDIR"}, {EINVAL, "EINVAL"}, {ENFILE, "ENFILE"}};
    for (size_t i = 0; i < COUNT(names); i++)
        if (names[i].number == number) return names[i].name;
    snprintf(room, 16, "errno %d", number);
    return room;
}

static bool absent(int number)
{
    return number == ENOENT || number == ENOTDIR;
}

/* The path below the root; cut off if too long, and then not found. */
const char *look_read_path(const struct look *l, const char *path, char room[1200])
{
    snprintf(room, 1200, "%s%s", l->root, path);
    return room;
}

static int open_file(const struct look *l, const char *path, int flags)
{
    char full[1200];
    if (fault_hit(FAULT_OPEN)) {
        errno = EIO;
        return -1;
    }
    return open(look_read_path(l, path, full), flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
}

static void tell_unreadable(const struct look *l, const char *path, int number)
{
    char name[16], text[20];
    if (absent(number)) return;
    snprintf(text, sizeof text, "!%s", errno_name(number, name));
    facts_set(l->f, path, text);
}

/* The first `most` bytes of a file, in the scratch arena. False if it cannot be read, which is told
 * if it is there. */
bool look_read(const struct look *l, const char *path, size_t most, struct str *out)
{
    int fd = open_file(l, path, O_RDONLY);
    if (fd < 0) {
        tell_unreadable(l, path, errno);
        return false;
    }
    struct err e;
    arena_reset(l->scratch);
    char *p = arena_alloc(l->scratch, most, 1, &e);
    int64_t n = p ? file_read_at(fd, p, most, 0, &e) : -1;
    int number = errno;
    close(fd);
    if (n < 0) {
        tell_unreadable(l, path, p ? number : ENOMEM);
        return false;
    }
    *out = (struct str){p, (size_t)n};
    return true;
}

/* A small file as it is, without white space around. */
bool look_read_whole(const struct look *l, const char *path, size_t most)
{
    struct str text;
    if (!look_read(l, path, most, &text)) return false;
    facts_put(l->f, str_trim(text), "%s", path);
    return true;
}

bool look_read_there(const struct look *l, const char *path, const char *value)
{
    char full[1200];
    struct stat s;
    if (fault_hit(FAULT_OPEN) || stat(look_read_path(l, path, full), &s) != 0) return false;
    facts_set(l->f, path, value);
    return true;
}

/* A link: the last part of what it points to. */
bool look_read_link(const struct look *l, const char *path)
{
    char full[1200], to[512];
    ssize_t n = readlink(look_read_path(l, path, full), to, sizeof to - 1);
    if (n < 0) return false;
    to[n] = 0;
    facts_set(l->f, path, file_name(to));
    return true;
}

void look_read_node(const struct look *l, const char *path)
{
    char name[16];
    struct str text;
    if (*l->root) { /* a copy: the file says it */
        if (look_read(l, path, 64, &text)) facts_put(l->f, str_trim(text), "%s", path);
        return;
    }
    int fd = open_file(l, path, O_RDWR);
    if (fd < 0 && absent(errno)) return;
    facts_set(l->f, path, fd >= 0 ? "open" : errno_name(errno, name));
    if (fd >= 0) close(fd);
}

/* Names in a folder, at most LIST_MOST that begin so; in the facts' arena, for files are read
 * meanwhile. */
size_t look_read_list(const struct look *l, const char *folder, const char *begins, char ***names)
{
    char full[1200];
    struct err e;
    char **all;
    size_t n, kept = 0;
    if (file_list(l->f->a, look_read_path(l, folder, full), &all, &n, &e)) return 0;
    for (size_t i = 0; i < n && kept < LIST_MOST; i++)
        if (str_starts(all[i], begins)) all[kept++] = all[i];
    *names = all;
    return kept;
}

/* The lines of a file that begin with one of `starts` (NULL ends), joined again. */
void look_read_lines(const struct look *l, const char *path, size_t most, const char *const *starts,
                     bool anywhere)
{
    char kept[FACTS_VALUE], copy[512];
    struct str text, line;
    struct strbuf b;
    if (!look_read(l, path, most, &text)) return;
    strbuf_init(&b, kept, sizeof kept);
    while (str_line(&text, &line)) {
        snprintf(copy, sizeof copy, "%.*s", (int)MIN(line.n, sizeof copy - 1), line.p);
        bool wanted = false;
        for (size_t i = 0; starts[i]; i++)
            wanted |= anywhere ? strstr(copy, starts[i]) != NULL : str_starts(copy, starts[i]);
        if (wanted) strbuf_format(&b, "%s%s", b.n ? "\n" : "", copy);
    }
    facts_put(l->f, (struct str){b.p, b.n}, "%s", path);
}
