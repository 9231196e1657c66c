/* Any bytes as a recorded machine, and as a machine made of files: each line "/path = value"
 * becomes a file (a link, if its name is "driver") below a folder of its own. Both are examined,
 * concluded from and reported; no driver is tried. */
#include "base/file.h"
#include "doctor/cases.h"
#include "doctor/doctor.h"
#include "doctor/report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES = 40, LINE = 400 };

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    size_t *total = ctx;
    (void)e;
    *total += n;
    for (size_t i = 0; i < n; i++) /* nothing that could command a terminal comes out */
        assert(p[i] == '\n' || (p[i] >= ' ' && p[i] <= '~'));
    return 0;
}

static void report(const struct doctor *d)
{
    struct err e;
    size_t total = 0;
    const struct report r = {&d->facts, d->found, d->n, d->status};
    assert(d->status >= 0 && d->status <= 3);
    assert(report_text(&r, true, put, &total, &e) == 0);
    assert(report_json(&r, put, &total, &e) == 0 && total > 100);
}

static void plant(const char *root, struct str line)
{
    char path[LINE + 100], folder[LINE + 100];
    const char *split = memmem(line.p, line.n, " = ", 3);
    struct err e;
    if (!split || line.p[0] != '/' || split - line.p > LINE - 4) return;
    snprintf(path, sizeof path, "%s%.*s", root, (int)(split - line.p), line.p);
    if (strstr(path, "..") || str_ends(path, "/")) return;
    struct str value = {split + 3, (size_t)(line.p + line.n - split - 3)};
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    if (file_make_folders(folder, &e)) return;
    if (str_ends(path, "/driver")) {
        char to[LINE];
        snprintf(to, sizeof to, "%.*s", (int)MIN(value.n, sizeof to - 1), value.p);
        if (*to && symlink(to, path) != 0) return;
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return;
    (void)!write(fd, value.p, value.n);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char root[300];
    struct doctor d;
    struct arena *a;
    struct err e;
    struct str text = {(const char *)data, size}, rest = text, line;
    if (arena_open("fuzz", 64 << 20, &a, &e)) return 0;
    if (doctor_replay(a, text, "", "/nonexistent", &d, &e) == 0) report(&d);

    const char *folder = getenv("TMPDIR");
    snprintf(root, sizeof root, "%.200s/lode-fz-XXXXXX", folder ? folder : "/tmp");
    if (mkdtemp(root)) {
        for (int i = 0; i < FILES && str_line(&rest, &line); i++) plant(root, line);
        const struct doctor_rules rules = {.program = "/nonexistent", .root = root};
        if (doctor_examine(a, &rules, &d, &e) == 0) report(&d);
        (void)file_remove_tree(root, &e);
    }
    arena_close(&a);
    return 0;
}
