/* The cache: CACHE/models/NAME/ holds a complete model; .NAME.partial/ one that is being fetched
 * (kept after a failure, so that the next call goes on); .NAME.lock is held by whoever writes. */
#include "load/store.h"
#include "base/file.h"
#include "base/module.h"
#include "load/load.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define NAME_MAX_BYTES 100
#define WAIT_NS        100000000 /* between two looks at a lock another process holds */
#define COPY_BYTES     (1u << 20)
#define LIST_MAX       4096 /* files of one model folder, models of one cache */

/* clang-format off */
static const struct {
    const char *suffix, *format;
} weight_files[] = {
    {"ggml-model.bin",               "ggml"},
    {"model.bin",                    "ctranslate2"},
    {"model.safetensors",            "safetensors"},
    {"model.safetensors.index.json", "safetensors"},
    {".onnx",                        "onnx"}, /* any name before it */
};
/* clang-format on */

/* A name of a folder in the cache: never a path, never hidden, never an option. */
static bool name_fit(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > NAME_MAX_BYTES || name[0] == '.' || name[0] == '-') return false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name[i];
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && !(c >= '0' && c <= '9') && !strchr("._-+", c)) return false;
    }
    return true;
}

/* CACHE/models/NAME, or with a dot before it and `suffix` after it if that is not NULL. */
static char *model_path(struct arena *a, const char *name, const char *suffix, struct err *e)
{
    char below[NAME_MAX_BYTES + 32];
    assert(name_fit(name));
    snprintf(below, sizeof below, "models/%s%s%s", suffix ? "." : "", name, suffix ? suffix : "");
    return file_cache(a, below, e);
}

static const char *format_of(struct arena *a, const char *folder)
{
    char **names;
    size_t n;
    struct err ignored;
    err_clear(&ignored);
    if (file_list(a, folder, &names, &n, &ignored) != 0) return "";
    for (size_t f = 0; f < COUNT(weight_files); f++) {
        for (size_t i = 0; i < n; i++) {
            if (str_ends(names[i], weight_files[f].suffix)) return weight_files[f].format;
        }
    }
    return "";
}

/* Regular files below, two levels: models have no deeper ones. */
static double folder_bytes(struct arena *a, const char *folder, int levels)
{
    char **names;
    size_t n;
    struct err ignored;
    err_clear(&ignored);
    double bytes = 0;
    if (file_list(a, folder, &names, &n, &ignored) != 0) return 0;
    for (size_t i = 0; i < n; i++) {
        char *path = file_join(a, folder, names[i], &ignored);
        if (!path) return bytes;
        if (file_kind(path) == FILE_REGULAR)
            bytes += (double)file_size(path);
        else if (file_kind(path) == FILE_FOLDER && levels > 1)
            bytes += folder_bytes(a, path, levels - 1);
    }
    return bytes;
}

static int list_cached(struct arena *a, char ***names, size_t *n, struct err *e)
{
    *n = 0;
    char *cache = file_cache(a, "models", e);
    if (!cache) return -1;
    if (file_kind(cache) != FILE_FOLDER) return 0;
    size_t all;
    TRY(file_list(a, cache, names, &all, e));
    for (size_t i = 0; i < all && *n < LIST_MAX; i++) {
        char *path = file_join(a, cache, (*names)[i], e);
        if (!path) return -1;
        if (name_fit((*names)[i]) && file_kind(path) == FILE_FOLDER) (*names)[(*n)++] = (*names)[i];
    }
    return 0;
}

int store_list(struct arena *a, struct store_model **out, size_t *n, struct err *e)
{
    char **names = NULL;
    size_t cached, known;
    const struct catalog_row *rows = catalog_rows(&known);
    TRY(list_cached(a, &names, &cached, e));
    *out = ARENA_NEW(a, struct store_model, cached + known, e);
    if (!*out) return -1;
    for (*n = 0; *n < cached; ++*n) {
        struct store_model *m = &(*out)[*n];
        m->name = names[*n];
        m->path = model_path(a, m->name, NULL, e);
        if (!m->path) return -1;
        m->format = format_of(a, m->path);
        m->bytes = folder_bytes(a, m->path, 2);
        m->cached = true;
    }
    for (size_t i = 0; i < known; i++) {
        bool there = false;
        for (size_t c = 0; c < cached; c++) there |= strcmp(names[c], rows[i].name) == 0;
        if (there) continue;
        (*out)[(*n)++] =
            (struct store_model){.name = rows[i].name, .format = "", .bytes = rows[i].bytes};
    }
    return 0;
}

/* Whether a file or a folder with weights lies at path. A file or folder that merely happens to be
 * called like a known model ("base") does not hide the model. */
static bool is_model(const char *path)
{
    char below[4096];
    enum file_kind kind = file_kind(path);
    if (kind == FILE_REGULAR) return !catalog_find(path);
    if (kind != FILE_FOLDER) return false;
    for (size_t i = 0; i < COUNT(weight_files); i++) {
        int n = snprintf(below, sizeof below, "%s/%s", path, weight_files[i].suffix);
        if (n > 0 && (size_t)n < sizeof below && file_kind(below) == FILE_REGULAR) return true;
    }
    return false;
}

bool store_is_path(const char *name_or_path)
{
    return strchr(name_or_path, '/') || is_model(name_or_path);
}

static int refuse_unknown(struct arena *a, const char *name, struct err *e)
{
    if (file_kind(name) == FILE_FOLDER)
        return err_set(
            e, E_MODEL,
            "%.200s: no model in this folder (model.bin or model.safetensors), nor is it "
            "the name of one",
            name);
    char **names = NULL;
    size_t cached, known, n = 0;
    const struct catalog_row *rows = catalog_rows(&known);
    TRY(list_cached(a, &names, &cached, e));
    const char **all = ARENA_NEW(a, const char *, 2 * known + cached, e);
    if (!all) return -1;
    for (size_t i = 0; i < known; i++) {
        all[n++] = rows[i].name;
        if (rows[i].also) all[n++] = rows[i].also;
    }
    for (size_t i = 0; i < cached; i++) all[n++] = names[i];
    const char *nearest = str_nearest(name, all, n);
    return err_set(e, E_MODEL, "there is no model \"%.100s\"%s%s%s", name,
                   nearest ? "; did you mean " : "", nearest ? nearest : "", nearest ? "?" : "");
}

/* Waits until this process alone may write the model. The lock ends with the descriptor. */
static int take_lock(struct arena *a, const char *name, const struct fetch_watch *w, int *fd,
                     struct err *e)
{
    char *cache = file_cache(a, "models", e);
    char *path = cache ? model_path(a, name, ".lock", e) : NULL;
    if (!path) return -1;
    TRY(file_make_folders(cache, e));
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (*fd < 0) return err_errno(e, E_IO, "%s", path);
    bool said = false;
    while (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        bool busy = errno == EWOULDBLOCK || errno == EINTR;
        if (busy && !fetch_cancelled(w)) {
            if (!said) fetch_note(w, "%s: another process is fetching it, waiting", name);
            said = true;
            nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
            continue;
        }
        if (busy)
            err_set(e, E_CANCELLED, "stopped while another process was fetching %s", name);
        else
            err_errno(e, E_IO, "%s: cannot be locked", path);
        close(*fd);
        return -1;
    }
    return 0;
}

/* What arrived must be a model before it may carry a model's name. */
static int check_partial(struct arena *a, const char *partial, struct err *e)
{
    struct load_weights weights;
    TRY(load_open(a, partial, &weights, e));
    load_close(&weights);
    return 0;
}

static int fetch_locked(struct arena *a, const struct catalog_row *row,
                        const struct pull_module *pull, const struct fetch_watch *w,
                        const char *path, struct err *e)
{
    char *partial = model_path(a, row->name, ".partial", e);
    if (!partial) return -1;
    TRY(file_make_folders(partial, e));
    fetch_note(w, "fetching %s (%.0f MB)", row->name, row->bytes / 1e6);
    TRY(fetch_model(a, row, partial, pull, w, e));
    if (check_partial(a, partial, e) != 0) {
        struct err why = *e;
        TRY(file_remove_tree(partial, e));
        return err_set(e, E_NETWORK, "what was fetched as %s is not a model: %s", row->name,
                       why.text);
    }
    return rename(partial, path) == 0 ? 0 : err_errno(e, E_IO, "%s", path);
}

int store_fetch(struct arena *a, const struct catalog_row *row, const struct pull_module *pull,
                const struct fetch_watch *w, char **path, struct err *e)
{
    int lock;
    *path = model_path(a, row->name, NULL, e);
    if (!*path) return -1;
    TRY(take_lock(a, row->name, w, &lock, e));
    int result = 0;
    if (file_kind(*path) != FILE_FOLDER) result = fetch_locked(a, row, pull, w, *path, e);
    close(lock);
    return result;
}

int store_find(struct arena *a, const char *name_or_path, bool offline, const struct fetch_watch *w,
               char **path, struct err *e)
{
    if (store_is_path(name_or_path)) {
        *path = arena_text(a, name_or_path, strlen(name_or_path), e);
        return *path ? 0 : -1;
    }
    const struct catalog_row *row = catalog_find(name_or_path);
    const char *name = row ? row->name : name_or_path;
    if (name_fit(name)) {
        *path = model_path(a, name, NULL, e);
        if (!*path) return -1;
        if (file_kind(*path) == FILE_FOLDER) return 0;
    }
    if (!row) return refuse_unknown(a, name_or_path, e);
    if (offline)
        return err_set(e, E_MODEL,
                       "%s is not in the cache (%.200s) and --offline forbids fetching it", name,
                       *path);
    const void *pull;
    TRY(module_open(PULL_MODULE, PULL_SYMBOL, &pull, e));
    return store_fetch(a, row, pull, w, path, e);
}

static int copy_file(struct arena *a, const char *from, const char *to, const struct fetch_watch *w,
                     struct err *e)
{
    struct file_map map;
    struct file_out out;
    TRY(file_map(from, &map, e));
    if (file_out_open(a, to, &out, e) != 0) {
        file_unmap(&map);
        return -1;
    }
    int result = 0;
    for (size_t at = 0; at < map.size && result == 0; at += COPY_BYTES) {
        size_t n = MIN(map.size - at, (size_t)COPY_BYTES);
        if (w->progress) w->progress(w->ctx, file_name(to), (double)at, (double)map.size);
        result = fetch_cancelled(w) ? err_set(e, E_CANCELLED, "stopped while copying %s", from)
                                    : file_out_write(&out, map.data + at, n, e);
        file_map_drop(&map, at, n);
    }
    if (result == 0) result = file_out_commit(&out, e);
    file_out_abort(&out);
    file_unmap(&map);
    return result;
}

/* The weights under the name load_open looks for (or every file of that suffix), and the texts
 * beside them, two levels deep. */
static int copy_folder(struct arena *a, const char *from, const char *to, const char *weights,
                       int levels, const struct fetch_watch *w, struct err *e)
{
    char **names;
    size_t n;
    TRY(file_list(a, from, &names, &n, e));
    if (n > LIST_MAX)
        return err_set(e, E_MODEL, "%.200s: %zu files, which is no model folder", from, n);
    TRY(file_make_folders(to, e));
    for (size_t i = 0; i < n; i++) {
        char *source = file_join(a, from, names[i], e);
        char *target = source ? file_join(a, to, names[i], e) : NULL;
        if (!target) return -1;
        enum file_kind kind = file_kind(source);
        bool text = str_ends(names[i], ".json") || str_ends(names[i], ".txt");
        bool weight = weights && (strcmp(names[i], weights) == 0 ||
                                  (weights[0] == '.' && str_ends(names[i], weights)));
        if (kind == FILE_REGULAR && (text || weight))
            TRY(copy_file(a, source, target, w, e));
        else if (kind == FILE_FOLDER && levels > 1 && names[i][0] != '.')
            TRY(copy_folder(a, source, target, NULL, levels - 1, w, e));
    }
    return 0;
}

/* Opens the model, to be sure that it is one; tells the file name its weights must have. */
static int check_source(struct arena *a, const char *from, const char **weights, struct err *e)
{
    struct load_weights opened;
    TRY(load_open(a, from, &opened, e));
    bool safetensors = strcmp(opened.format, "safetensors") == 0, shards = opened.n_shards > 0;
    *weights = shards                               ? ".safetensors"
               : safetensors                        ? "model.safetensors"
               : strcmp(opened.format, "ggml") == 0 ? "ggml-model.bin"
                                                    : "model.bin";
    if (strcmp(opened.format, "onnx") == 0) { /* keeps its name: a folder may hold it under any */
        const char *name = file_name(opened.map.path);
        *weights = str_ends(name, ".onnx") ? arena_text(a, name, strlen(name), e) : "model.onnx";
    }
    load_close(&opened);
    if (shards && file_kind(from) != FILE_FOLDER)
        return err_set(e, E_MODEL, "%.300s: the index of several files; give their folder", from);
    return *weights ? 0 : -1;
}

/* "/models/tiny.en/" -> "tiny.en"; "small.safetensors" -> "small". */
static int name_after(struct arena *a, const char *from, char **name, struct err *e)
{
    size_t n = strlen(from);
    while (n > 1 && from[n - 1] == '/') n--;
    char *whole = arena_text(a, from, n, e);
    if (!whole) return -1;
    const char *last = file_name(whole);
    n = strlen(last);
    const char *dot = strrchr(last, '.');
    if (dot && dot != last && file_kind(from) == FILE_REGULAR) n = (size_t)(dot - last);
    *name = arena_text(a, last, n, e);
    return *name ? 0 : -1;
}

static int add_locked(struct arena *a, const char *from, const char *weights, const char *partial,
                      const char *path, const struct fetch_watch *w, struct err *e)
{
    TRY(file_remove_tree(partial, e)); /* of a fetch that failed: another source, nothing to keep */
    if (file_kind(from) == FILE_FOLDER) {
        TRY(copy_folder(a, from, partial, weights, 2, w, e));
    } else {
        TRY(file_make_folders(partial, e));
        char *target = file_join(a, partial, weights, e);
        if (!target) return -1;
        TRY(copy_file(a, from, target, w, e));
    }
    TRY(check_partial(a, partial, e));
    return rename(partial, path) == 0 ? 0 : err_errno(e, E_IO, "%s", path);
}

int store_add(struct arena *a, const char *from, const char *name, const struct fetch_watch *w,
              char **path, struct err *e)
{
    const char *weights;
    TRY(check_source(a, from, &weights, e));
    char *own;
    TRY(name_after(a, from, &own, e));
    const struct catalog_row *row = catalog_find(name ? name : own);
    name = row ? row->name : name ? name : own;
    if (!name_fit(name))
        return err_set(e, E_MODEL,
                       "\"%.100s\" cannot be the name of a model (letters, digits, . _ - +); give "
                       "another with --name",
                       name);
    *path = model_path(a, name, NULL, e);
    char *partial = *path ? model_path(a, name, ".partial", e) : NULL;
    if (!partial) return -1;
    int lock;
    TRY(take_lock(a, name, w, &lock, e));
    int result;
    if (file_kind(*path) != FILE_NONE) {
        result = err_set(e, E_MODEL, "there is a model %s already (remove it with `lode rm %s`)",
                         name, name);
    } else {
        result = add_locked(a, from, weights, partial, *path, w, e);
        struct err ignored;
        err_clear(&ignored);
        if (result != 0) file_remove_tree(partial, &ignored);
    }
    close(lock);
    if (w->progress) w->progress(w->ctx, name, -1, 0);
    return result;
}

static int remove_locked(struct arena *a, const char *name, const char *path, const char *partial,
                         double *bytes, struct err *e)
{
    bool there = file_kind(path) == FILE_FOLDER, begun = file_kind(partial) == FILE_FOLDER;
    if (!there && !begun) return err_set(e, E_MODEL, "%s is not in the cache", name);
    *bytes = (there ? folder_bytes(a, path, 2) : 0) + (begun ? folder_bytes(a, partial, 2) : 0);
    TRY(file_remove_tree(partial, e));
    if (!there) return 0;
    /* Renamed first, so that nobody ever opens half a model. */
    if (rename(path, partial) != 0) return err_errno(e, E_IO, "%s", path);
    return file_remove_tree(partial, e);
}

int store_remove(struct arena *a, const char *name, const struct fetch_watch *w, double *bytes,
                 struct err *e)
{
    const struct catalog_row *row = catalog_find(name);
    if (row) name = row->name;
    if (!name_fit(name))
        return err_set(e, E_MODEL, "\"%.100s\" is not the name of a cached model", name);
    char *path = model_path(a, name, NULL, e);
    char *partial = path ? model_path(a, name, ".partial", e) : NULL;
    char *held = partial ? model_path(a, name, ".lock", e) : NULL;
    if (!held) return -1;
    /* Where nobody ever wrote it, no lock file is left of the question. */
    if (file_kind(held) == FILE_NONE && file_kind(path) != FILE_FOLDER &&
        file_kind(partial) != FILE_FOLDER)
        return err_set(e, E_MODEL, "%s is not in the cache", name);
    int lock;
    TRY(take_lock(a, name, w, &lock, e));
    int result = remove_locked(a, name, path, partial, bytes, e); /* a fetch may have ended now */
    close(lock);
    return result;
}
