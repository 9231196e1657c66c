/* --pid: what one process has to do with the GPU. */
#include "base/file.h"
#include "doctor/look.h"
#include "doctor/look_read.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MOST = 4096 };

/* The file its libcuda was mapped from; "(deleted)" stands behind it if it was replaced since. */
static void mapped(const struct look *l, unsigned pid)
{
    char path[64];
    struct str text, line;
    snprintf(path, sizeof path, "/proc/%u/maps", pid);
    if (!look_read(l, path, 8 * MIB, &text)) return;
    facts_put(l->f, str_of("none"), "pid %u library", pid);
    while (str_line(&text, &line)) {
        const char *slash = memchr(line.p, '/', line.n);
        if (!slash) continue;
        struct str file = {slash, (size_t)(line.p + line.n - slash)};
        if (!memmem(file.p, file.n, "/libcuda.so", 11) &&
            !memmem(file.p, file.n, "lode-fakecuda.so", 16))
            continue;
        facts_put(l->f, file, "pid %u library", pid);
        return;
    }
}

static void open_nodes(const struct look *l, unsigned pid)
{
    char path[64], full[1200], **names, to[256], kept[400];
    struct strbuf b;
    struct err e;
    size_t n;
    snprintf(path, sizeof path, "/proc/%u/fd", pid);
    if (file_list(l->f->a, look_read_path(l, path, full), &names, &n, &e)) return;
    strbuf_init(&b, kept, sizeof kept);
    for (size_t i = 0; i < n && i < FILES_MOST; i++) {
        size_t at = strlen(full);
        snprintf(full + at, sizeof full - at, "/%s", names[i]);
        ssize_t got = readlink(full, to, sizeof to - 1);
        full[at] = 0;
        if (got <= 0) continue;
        to[got] = 0;
        if ((str_starts(to, "/dev/nvidia") || strcmp(to, "/dev/dxg") == 0) && !strstr(kept, to))
            strbuf_format(&b, "%s%s", b.n ? " " : "", to);
    }
    facts_put(l->f, b.n ? (struct str){b.p, b.n} : str_of("none"), "pid %u nodes", pid);
}

static void variables(const struct look *l, unsigned pid)
{
    char path[64];
    struct str text;
    size_t count;
    const char *const *names = look_variables(&count);
    snprintf(path, sizeof path, "/proc/%u/environ", pid);
    if (!look_read(l, path, 256 * KIB, &text)) return;
    for (size_t i = 0; i < text.n;) {
        size_t n = strnlen(text.p + i, text.n - i);
        for (size_t k = 0; k < count; k++) {
            size_t m = strlen(names[k]);
            bool ours = strncmp(names[k], "CUDA_", 5) == 0 || strncmp(names[k], "NVIDIA_", 7) == 0;
            if (ours && n > m && memcmp(text.p + i, names[k], m) == 0 && text.p[i + m] == '=')
                facts_put(l->f, (struct str){text.p + i + m + 1, n - m - 1}, "pid %u env %s", pid,
                          names[k]);
        }
        i += n + 1;
    }
}

int look_process(const char *root, unsigned pid, struct facts *f, struct err *e)
{
    struct look l = {.root = root, .f = f};
    char path[64];
    struct str text;
    TRY(arena_open("look", 0, &l.scratch, e));
    snprintf(path, sizeof path, "/proc/%u/comm", pid);
    bool known = look_read(&l, path, 64, &text);
    if (known) {
        facts_put(f, str_trim(text), "pid %u name", pid);
        mapped(&l, pid);
        open_nodes(&l, pid);
        variables(&l, pid);
    }
    arena_close(&l.scratch);
    if (!known) return err_set(e, E_INPUT, "there is no process %u", pid);
    return f->failed ? -1 : 0;
}
