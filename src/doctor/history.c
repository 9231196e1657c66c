#include "doctor/history.h"
#include "base/env.h"
#include "base/file.h"
#include "base/log.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define RECORD "gpu-record"

enum { RECORD_MOST = 16 << 10 };

/* What is compared with the last good run. */
static const struct {
    const char *name, *path;
} kept[] = {
    {"module", "/sys/module/nvidia/version"},
    {"kernel", "/proc/sys/kernel/osrelease"},
    {"boot", "/proc/sys/kernel/random/boot_id"},
    {"container", "/etc/hostname"}, /* Docker names it after the container */
    {"uvm", "/sys/module/nvidia_uvm/initstate"},
};

/* The first line of a small file, or "". */
static const char *line_of(struct arena *a, const char *root, const char *path)
{
    struct err e;
    struct str text, line;
    char *full = arena_format(a, &e, "%s%s", root, path);
    if (!full || file_read(a, full, 4096, &text, &e) || !str_line(&text, &line)) return "";
    char *copy = arena_text(a, line.p, MIN(line.n, 100), &e);
    return copy ? copy : "";
}

static int read_record(struct arena *a, struct facts *f)
{
    struct err e;
    struct str text, line;
    char *path = file_cache(a, RECORD, &e);
    TRY(!path || file_read(a, path, RECORD_MOST, &text, &e) ? -1 : 0);
    while (str_line(&text, &line))
        if (line.n > 5 && memcmp(line.p, "last ", 5) == 0) facts_line(f, line);
    return 0;
}

static void put_time(struct facts *f, const char *key)
{
    char text[40];
    time_t now = time(NULL);
    struct tm tm;
    if (localtime_r(&now, &tm) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm))
        facts_set(f, key, text);
}

static int write_record(struct arena *a, const struct facts *f, struct err *e)
{
    struct file_out out;
    char *folder = file_cache(a, "", e), *path = file_cache(a, RECORD, e);
    if (!folder || !path) return -1;
    TRY(file_make_folders(folder, e));
    TRY(file_out_open(a, path, &out, e));
    int rc = 0;
    for (size_t i = 0; i < f->n && rc == 0; i++) {
        char *line = arena_format(a, e, "%s = %s\n", f->row[i].key, f->row[i].value);
        rc = line ? file_out_write(&out, line, strlen(line), e) : -1;
    }
    if (rc == 0) rc = file_out_commit(&out, e);
    file_out_abort(&out);
    return rc;
}

static int note(struct arena *a, const char *root, const char *reason, struct err *e)
{
    struct facts f;
    TRY(facts_open(a, &f, e));
    (void)read_record(a, &f); /* the first time there is none */
    if (*reason) {
        facts_set(&f, "last fallback", reason);
        put_time(&f, "last fallback time");
    } else {
        facts_drop(&f, "last *");
        put_time(&f, "last good time");
        for (size_t i = 0; i < COUNT(kept); i++)
            facts_put(&f, str_of(line_of(a, root, kept[i].path)), "last good %s", kept[i].name);
    }
    return f.failed ? -1 : write_record(a, &f, e);
}

void history_note(const char *root, const char *reason)
{
    static const char *const signs[] = {"/sys/module/nvidia", "/dev/nvidiactl", "/dev/dxg"};
    struct arena *a;
    struct err e;
    char path[300];
    bool driver = false;
    for (size_t i = 0; i < COUNT(signs); i++) {
        snprintf(path, sizeof path, "%.200s%s", root, signs[i]);
        driver |= file_kind(path) != FILE_NONE;
    }
    if (!driver || env_get("LODE_FAKE_GPU") || arena_open("record", 0, &a, &e)) return;
    if (note(a, root, reason, &e)) log_debug("the GPU's record: %s", e.text);
    arena_close(&a);
}

void history_read(const char *root, struct facts *f)
{
    struct arena *a;
    struct err e;
    if (arena_open("record", 0, &a, &e)) return;
    if (read_record(a, f) == 0 && facts_get(f, "last good time")) {
        for (size_t i = 0; i < COUNT(kept); i++) {
            char key[40], text[250];
            snprintf(key, sizeof key, "last good %s", kept[i].name);
            const char *was = facts_get(f, key), *is = line_of(a, root, kept[i].path);
            if (!was || strcmp(was, is) == 0) continue;
            snprintf(text, sizeof text, "%.100s -> %s", *was ? was : "none", *is ? is : "none");
            facts_put(f, str_of(text), "changed %s", kept[i].name);
        }
    }
    arena_close(&a);
}
