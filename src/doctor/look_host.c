#include "doctor/look_host.h"
#include "base/child.h"
#include "base/env.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LOG_LINES = 24, LOG_MOST = 8192, FOLDERS_MOST = 16, JOURNAL_S = 2, LOG_LINE = 300 };

/* ---- rung 3: nodes ---- */

static void nodes(const struct look *l)
{
    static const char *const fixed[] = {"/dev/nvidiactl", "/dev/nvidia-uvm",
                                        "/dev/nvidia-nvswitchctl"};
    char path[300], **names;
    for (size_t i = 0; i < COUNT(fixed); i++) look_read_node(l, fixed[i]);
    size_t n = look_read_list(l, "/dev", "nvidia", &names);
    for (size_t i = 0; i < n; i++) {
        uint64_t index;
        if (!str_uint(str_of(names[i] + strlen("nvidia")), 255, &index)) continue;
        snprintf(path, sizeof path, "/dev/%s", names[i]);
        look_read_node(l, path);
    }
    look_read_there(l, "/dev/nvidia-caps", "folder");
}

/* ---- the kernel's log: the last lines that speak of a GPU ---- */

struct ring {
    char line[LOG_LINES][LOG_LINE];
    size_t n; /* lines seen */
};

static void keep_line(struct ring *r, struct str line)
{
    static const char *const words =
        "*NVRM*|*nvidia*|*nouveau*|*dxgk*|*Key was rejected*|*Required key not available*|"
        "*PM: suspend exit*|*PM: resume*|*request_free_mem_region*";
    char copy[LOG_LINE];
    snprintf(copy, sizeof copy, "%.*s", (int)MIN(line.n, sizeof copy - 1), line.p);
    if (!facts_glob(words, copy)) return;
    if (r->n > 0 && strcmp(r->line[(r->n - 1) % LOG_LINES], copy) == 0) return;
    memcpy(r->line[r->n++ % LOG_LINES], copy, sizeof copy);
}

static void keep_lines(struct ring *r, struct str text)
{
    struct str line;
    while (str_line(&text, &line)) keep_line(r, line);
}

/* /dev/kmsg gives one record a read: "6,1234,5678,-;text". Its errno, or 0. */
static int read_kmsg(struct ring *r)
{
    char record[LOG_MOST];
    if (fault_hit(FAULT_OPEN)) return EIO;
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno;
    for (int i = 0; i < 100000; i++) {
        ssize_t n = fault_hit(FAULT_READ) ? -1 : read(fd, record, sizeof record);
        if (n < 0 && errno == EPIPE) continue; /* overwritten meanwhile: the next is there */
        if (n <= 0) break;
        const char *text = memchr(record, ';', (size_t)n);
        if (!text) continue;
        struct str rest = {text + 1, (size_t)(record + n - text - 1)}, line;
        if (str_line(&rest, &line)) keep_line(r, line);
    }
    close(fd);
    return 0;
}

static bool has_gpu(const struct look *l)
{
    size_t i = 0;
    return facts_next(l->f, "/sys/bus/pci/devices/*/vendor|/dev/dxg", &i) != NULL;
}

/* Who may not read /dev/kmsg may still ask the journal, if in the group adm. */
static void read_journal(const struct look *l, struct ring *r)
{
    static const char *const argv[] = {"journalctl", "-k",  "-b", "-q",   "--no-pager",
                                       "-o",         "cat", "-n", "5000", NULL};
    const struct child_rules rules = {.timeout_s = JOURNAL_S, .grace_s = 1, .max_bytes = 512 * KIB};
    struct child_end end;
    struct err e;
    arena_reset(l->scratch);
    if (child_run_under(l->scratch, argv, &rules, &end, &e) == 0 && end.status == 0)
        keep_lines(r, end.output);
}

static void kernel_log(const struct look *l)
{
    struct err e;
    struct str text;
    struct ring *r = ARENA_NEW(l->f->a, struct ring, 1, &e);
    if (!r) return;
    if (*l->root) {
        if (look_read(l, "/dev/kmsg", MIB, &text)) keep_lines(r, text);
    } else if (read_kmsg(r) != 0 && has_gpu(l)) {
        read_journal(l, r);
    }
    size_t n = MIN(r->n, LOG_LINES);
    for (size_t i = 0; i < n; i++)
        facts_put(l->f, str_of(r->line[(r->n - n + i) % LOG_LINES]), "log %zu", i);
}

/* ---- containers' tools ---- */

/* Of Docker's configuration only what concerns GPUs is kept: it may hold secrets. */
static void docker_config(const struct look *l, const char *path, const char *key)
{
    char kept[600];
    struct strbuf b;
    struct str text;
    struct json_doc *doc = NULL;
    struct err e;
    if (!look_read(l, path, 256 * KIB, &text)) return;
    if (json_open(l->scratch, text.p, text.n, &doc, &e)) {
        facts_set(l->f, key, "!not JSON");
        return;
    }
    const struct json *root = json_root(doc);
    const struct json *options = json_key(root, "exec-opts");
    struct str preset = json_text(json_key(root, "default-runtime"));
    strbuf_init(&b, kept, sizeof kept);
    strbuf_text(&b, "{");
    if (json_key(json_key(root, "runtimes"), "nvidia"))
        strbuf_text(&b, "\"runtimes\": {\"nvidia\": {}}");
    if (preset.n)
        strbuf_format(&b, "%s\"default-runtime\": \"%.*s\"", b.n > 1 ? ", " : "",
                      (int)MIN(preset.n, 40), preset.p);
    for (size_t i = 0; i < json_count(options); i++) {
        struct str option = json_text(json_at(options, i));
        if (option.n > 20 && memcmp(option.p, "native.cgroupdriver=", 20) == 0)
            strbuf_format(&b, "%s\"exec-opts\": [\"%.*s\"]", b.n > 1 ? ", " : "",
                          (int)MIN(option.n, 60), option.p);
    }
    strbuf_text(&b, "}");
    json_close(&doc);
    facts_put(l->f, (struct str){b.p, b.n}, "%s", key);
}

/* The driver's version a CDI description names: that of the library files in it. */
static void cdi(const struct look *l, const char *folder)
{
    char path[400], **names;
    struct str text;
    size_t n = look_read_list(l, folder, "", &names);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%.200s", folder, names[i]);
        if (!strstr(names[i], "nvidia") || !look_read(l, path, MIB, &text)) continue;
        static const char mark[] = "libcuda.so.";
        const char *p = memmem(text.p, text.n, mark, sizeof mark - 1), *end = text.p + text.n;
        struct str version = {"no version", 10};
        while (p && p + sizeof mark <= end) {
            p += sizeof mark - 1;
            const char *from = p;
            while (p < end && strchr("0123456789.", *p) && *p) p++;
            if (p - from > 2) {
                version = (struct str){from, (size_t)(p - from)};
                break;
            }
            p = memmem(p, (size_t)(end - p), mark, sizeof mark - 1);
        }
        facts_put(l->f, version, "%s", path);
    }
}

static void tools(const struct look *l)
{
    static const char *const programs[] = {
        "/usr/bin/docker",          "/snap/bin/docker",    "/usr/bin/podman",
        "/usr/bin/nvidia-ctk",      "/usr/bin/nvidia-smi", "/usr/bin/nvidia-persistenced",
        "/usr/bin/nv-fabricmanager"};
    char path[600];
    for (size_t i = 0; i < COUNT(programs); i++) look_read_there(l, programs[i], "file");
    look_read_there(l, "/run/nvidia-persistenced/socket", "socket");
    docker_config(l, "/etc/docker/daemon.json", "/etc/docker/daemon.json");
    cdi(l, "/etc/cdi");
    cdi(l, "/run/cdi");
    look_read_whole(l, "/sys/fs/selinux/enforce", 16);
    if (*l->root) {
        docker_config(l, "/home/.config/docker/daemon.json", "~/.config/docker/daemon.json");
        look_read_there(l, "/run/user/docker.sock", "socket");
        return;
    }
    const char *home = env_get("HOME");
    snprintf(path, sizeof path, "%.500s/.config/docker/daemon.json", home ? home : "/nowhere");
    docker_config(l, path, "~/.config/docker/daemon.json");
    snprintf(path, sizeof path, "/run/user/%u/docker.sock", (unsigned)getuid());
    if (file_kind(path) != FILE_NONE) facts_set(l->f, "/run/user/docker.sock", "socket");
}

/* ---- copies of the driver's libraries the loader could come across ---- */

static void libraries_in(const struct look *l, const char *folder)
{
    static const char *const starts[] = {"libcuda.so", "libnvidia-ml.so",
                                         "libnvidia-ptxjitcompiler.so"};
    char path[700], **names;
    for (size_t s = 0; s < COUNT(starts); s++) {
        size_t n = look_read_list(l, folder, starts[s], &names);
        for (size_t i = 0; i < n; i++) {
            snprintf(path, sizeof path, "%.400s/%.200s", folder, names[i]);
            if (!look_read_link(l, path)) look_read_there(l, path, "file");
        }
    }
}

static void libraries(const struct look *l)
{
    static const char *const folders[] = {"/usr/lib/x86_64-linux-gnu",
                                          "/usr/lib/aarch64-linux-gnu",
                                          "/usr/lib64",
                                          "/usr/lib",
                                          "/usr/lib/wsl/lib",
                                          "/usr/local/nvidia/lib64",
                                          "/usr/local/cuda/compat",
                                          "/usr/local/cuda/lib64/stubs"};
    for (size_t i = 0; i < COUNT(folders); i++) libraries_in(l, folders[i]);
    const char *path = facts_get(l->f, "env LD_LIBRARY_PATH");
    for (int i = 0; path && *path && i < FOLDERS_MOST; i++) {
        char folder[400];
        size_t n = strcspn(path, ":");
        snprintf(folder, sizeof folder, "%.*s", (int)MIN(n, sizeof folder - 1), path);
        if (folder[0] == '/') libraries_in(l, folder);
        path += n + (path[n] == ':');
    }
}

void look_host(const struct look *l)
{
    nodes(l);
    kernel_log(l);
    tools(l);
    libraries(l);
}
