/* lode doctor: why the GPU is not used, and what cures it. The examination is the room doctor;
 * here are the options, the children's end of it, and watching. */
#include "base/env.h"
#include "base/file.h"
#include "doctor/cases.h"
#include "doctor/doctor.h"
#include "doctor/probe.h"
#include "doctor/recipe.h"
#include "doctor/report.h"
#include "jobs/host.h"
#include "jobs/jobs.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WATCH_MS = 200, CASE_MOST = 1 << 20 };

struct options {
    bool json, verbose, compose, daemon_json, podman, k8s, systemd, watch;
    const char *as, *save, *root;
    int64_t pid;
    double every;
};

/* clang-format off */
#define ROW(type_, field) .type = OPT_##type_, .offset = offsetof(struct options, field)
static const struct opt_row rows[] = {
    {.help = "What is looked at"},
    {.name = "pid", ROW(INT, pid), .min = 0, .max = 4194304, .value = "N", .fallback = "0",
     .help = "Also this process: has it loaded the driver, does it hold a GPU, is the GPU hidden from it?"},
    {.name = "as", ROW(TEXT, as), .value = "NAME",
     .help = "A recorded machine in place of this one: a case that comes with lode (\"list\" prints their names), or a folder "
             "or file that --save wrote. Its driver is emulated."},
    {.name = "root", ROW(TEXT, root), .value = "FOLDER",
     .help = "A copy of another machine's files below FOLDER, such as a mounted disk. Its driver is not tried."},
    {.help = "What is printed"},
    {.name = "json", ROW(BOOL, json), .help = "JSON: findings, GPUs, and every fact they rest on."},
    {.name = "verbose", .letter = 'v', ROW(BOOL, verbose), .help = "Also every check that passed, and every fact."},
    {.name = "watch", ROW(BOOL, watch),
     .help = "Go on looking, and print what changes with its time, until interrupted. The GPU is given work at the start, "
             "and when something has changed. Only --every, --pid and --root go with it."},
    {.name = "every", ROW(NUMBER, every), .min = 0.1, .max = 86400, .value = "S", .fallback = "5",
     .help = "With --watch: seconds between two looks."},
    {.name = "save", ROW(TEXT, save), .value = "FOLDER",
     .help = "Also write FOLDER/facts, all that was found, to be sent and replayed with --as. Nothing secret is in it: "
             "versions, settings, device names, the kernel's lines about the GPU; no addresses, names of users or files of theirs."},
    {.help = "Texts to paste"},
    {.name = "compose", ROW(BOOL, compose), .help = "The block that gives a container of docker compose the GPU."},
    {.name = "daemon-json", ROW(BOOL, daemon_json), .help = "An /etc/docker/daemon.json that knows the GPU and keeps it through systemctl daemon-reload."},
    {.name = "podman", ROW(BOOL, podman), .help = "The commands for Podman."},
    {.name = "k8s", ROW(BOOL, k8s), .help = "A Kubernetes pod with a GPU."},
    {.name = "systemd", ROW(BOOL, systemd), .help = "The lines that let a systemd service use the GPU."},
};
#undef ROW
/* clang-format on */

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    return host_text(ctx, p, n, e);
}

/* ---- --as list, --save ---- */

static int list_cases(struct lode_host *host, struct err *e)
{
    struct str rest = cases_text();
    struct cases_row row;
    while (cases_next(&rest, &row)) TRY(host_format(host, e, "%-24s %s\n", row.name, row.title));
    return 0;
}

/* A path, if it is one, else a case that comes with lode. */
static int replay(struct arena *a, const char *as, const char *program, struct doctor *d,
                  struct err *e)
{
    struct str text;
    const char *path = as;
    enum file_kind kind = file_kind(as);
    if (kind == FILE_FOLDER && !(path = file_join(a, as, "facts", e))) return -1;
    if (kind == FILE_NONE && !strchr(as, '/'))
        return doctor_replay(a, cases_text(), as, program, d, e);
    TRY(file_read(a, path, CASE_MOST, &text, e));
    return doctor_replay(a, text, "", program, d, e);
}

static int put_file(void *ctx, const char *p, size_t n, struct err *e)
{
    return file_out_write(ctx, p, n, e);
}

static int save(struct arena *a, const char *folder, const struct doctor *d, struct err *e)
{
    static const char head[] = "# facts of a machine; `lode doctor --as FOLDER` replays them\n";
    struct file_out f;
    char *path = file_join(a, folder, "facts", e);
    if (!path) return -1;
    TRY(file_make_folders(folder, e));
    TRY(file_out_open(a, path, &f, e));
    int rc = file_out_write(&f, head, sizeof head - 1, e);
    if (rc == 0) rc = cases_write(&d->facts, env_get("HOME"), put_file, &f, e);
    if (rc == 0) rc = file_out_commit(&f, e);
    file_out_abort(&f);
    return rc;
}

/* ---- --watch ---- */

/* Numbers that always move are no change of state. */
static bool moves(const char *key)
{
    return facts_glob(
        "*temperature|*power_mw|*clock_mhz|*memory_clock_mhz|*used_mib|*utilization|"
        "*clock_reasons|*pcie_gen|* process*|log *|probe *|*runtime_status|*link_speed",
        key);
}

static int say_change(struct lode_host *host, const char *what, const char *was, const char *is,
                      struct err *e)
{
    char clock[16] = "";
    time_t now = time(NULL);
    struct tm tm;
    if (localtime_r(&now, &tm)) strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    return host_format(host, e, "%s  %s: %s -> %s\n", clock, what, was ? was : "gone",
                       is ? is : "gone");
}

static int compare(struct lode_host *host, const struct doctor *was, const struct doctor *is,
                   struct err *e)
{
    for (size_t i = 0; i < was->facts.n; i++) {
        const struct fact *row = &was->facts.row[i];
        const char *now = facts_get(&is->facts, row->key);
        if (moves(row->key) || (now && strcmp(now, row->value) == 0)) continue;
        TRY(say_change(host, row->key, row->value, now, e));
    }
    for (size_t i = 0; i < is->facts.n; i++) {
        const struct fact *row = &is->facts.row[i];
        if (moves(row->key) || facts_get(&was->facts, row->key)) continue;
        TRY(say_change(host, row->key, "not there", row->value, e));
    }
    for (size_t i = 0; i < is->n; i++) {
        bool known = false;
        for (size_t k = 0; k < was->n; k++) known |= was->found[k].row == is->found[i].row;
        if (!known)
            TRY(say_change(host, is->found[i].row->id, "not found", is->found[i].row->what, e));
    }
    for (size_t i = 0; i < was->n; i++) {
        bool still = false;
        for (size_t k = 0; k < is->n; k++) still |= is->found[k].row == was->found[i].row;
        if (!still) TRY(say_change(host, was->found[i].row->id, "found", "cured", e));
    }
    return 0;
}

static bool pause_for(const struct lode_host *host, double seconds)
{
    for (double slept = 0; slept < seconds; slept += WATCH_MS / 1e3) {
        if (host_cancelled(host)) return false;
        const struct timespec t = {0, WATCH_MS * 1000000L};
        nanosleep(&t, NULL);
    }
    return !host_cancelled(host);
}

/* Whether anything but moving numbers differs in what can be seen without work. */
static bool differs(const struct facts *was, const struct facts *is)
{
    for (int side = 0; side < 2; side++) {
        const struct facts *a = side ? is : was, *b = side ? was : is;
        for (size_t i = 0; i < a->n; i++) {
            const struct fact *row = &a->row[i];
            if (moves(row->key) || facts_glob("is *|cu*|hot *|libcuda.so.1*|emulated", row->key))
                continue;
            const char *other = facts_get(b, row->key);
            if (!other || strcmp(other, row->value) != 0) return true;
        }
    }
    return false;
}

struct watching {
    const struct doctor_rules *rules;
    struct lode_host *host;
    struct arena *arena[2]; /* take turns: what was, what is */
    struct doctor d[2];
    int turn;
};

/* Everything is tried and compared with the time before. */
static int look_whole(struct watching *w, struct err *e)
{
    struct doctor *was = &w->d[w->turn % 2], *is = &w->d[(w->turn + 1) % 2];
    struct arena **a = &w->arena[(w->turn + 1) % 2];
    arena_close(a);
    TRY(arena_open("doctor", 0, a, e));
    TRY(doctor_examine(*a, w->rules, is, e));
    const struct report r = {&is->facts, is->found, is->n, is->status};
    TRY(w->turn++ ? compare(w->host, was, is, e) : report_text(&r, false, put, w->host, e));
    return 0;
}

/* Without work for the GPU; only if something changed everything is tried again. */
static int look_lightly(struct watching *w, struct err *e)
{
    struct doctor_rules light = *w->rules;
    struct doctor d;
    struct arena *a;
    light.no_work = true;
    TRY(arena_open("doctor", 0, &a, e));
    int rc = doctor_examine(a, &light, &d, e);
    bool changed = rc == 0 && differs(&w->d[w->turn % 2].facts, &d.facts);
    arena_close(&a);
    return changed ? look_whole(w, e) : rc;
}

static int watch(const struct doctor_rules *rules, double every, struct lode_host *host,
                 struct err *e)
{
    struct watching w = {.rules = rules, .host = host};
    int rc = look_whole(&w, e);
    while (rc == 0 && pause_for(host, every)) rc = look_lightly(&w, e);
    arena_close(&w.arena[0]);
    arena_close(&w.arena[1]);
    return rc ? rc : err_set(e, E_CANCELLED, "watched until interrupted");
}

/* ---- the job ---- */

static bool recipe_of(const struct options *o, enum recipe *which)
{
    const bool asked[RECIPES] = {o->compose, o->daemon_json, o->podman, o->k8s, o->systemd};
    for (int i = 0; i < RECIPES; i++) {
        if (!asked[i]) continue;
        *which = (enum recipe)i;
        return true;
    }
    return false;
}

static int print(const struct options *o, const struct doctor *d, struct lode_host *host,
                 struct err *e)
{
    const struct report r = {&d->facts, d->found, d->n, d->status};
    TRY(o->json ? report_json(&r, put, host, e) : report_text(&r, o->verbose, put, host, e));
    return d->status;
}

static int print_recipe(enum recipe which, const struct doctor *d, struct lode_host *host,
                        struct err *e)
{
    char text[4000];
    struct strbuf b;
    strbuf_init(&b, text, sizeof text);
    recipe_write(which, &d->facts, &b);
    return host_text(host, b.p, b.n, e);
}

static int examine(struct arena *a, const struct options *o, struct lode_host *host, struct err *e)
{
    /* Not by its path: folders on it may be closed to this user. */
    static const char program[] = "/proc/self/exe";
    enum recipe which = RECIPE_COMPOSE;
    struct doctor d;
    bool recipe = recipe_of(o, &which);
    const struct doctor_rules rules = {
        .program = program,
        .root = o->root ? o->root : "",
        .pid = (unsigned)o->pid,
        .no_work = recipe,
    };
    if (o->watch) return watch(&rules, o->every, host, e);
    if (o->as)
        TRY(replay(a, o->as, program, &d, e));
    else
        TRY(doctor_examine(a, &rules, &d, e));
    if (host_cancelled(host)) return err_set(e, E_CANCELLED, "interrupted while examining");
    if (o->save) TRY(save(a, o->save, &d, e));
    return recipe ? print_recipe(which, &d, host, e) : print(o, &d, host, e);
}

/* The words by which `lode doctor` starts itself as a child that may crash or hang. */
static int be_child(struct arena *a, const char *word, struct lode_host *host, struct err *e)
{
    for (int i = PROBE_NVML; i <= PROBE_CUDA; i++)
        if (strcmp(word, probe_word((enum probe)i)) == 0)
            return probe_be(a, (enum probe)i, put, host, e);
    return err_set(e, E_USAGE, "'%s' is one word too many for lode doctor", word);
}

static int check(const struct options *o, struct err *e)
{
    enum recipe ignored;
    if (o->as && (o->pid || o->root || o->watch))
        return err_set(e, E_USAGE,
                       "--as is another machine: it goes without --pid, --root and --watch");
    if (o->watch && (o->json || o->verbose || o->save || recipe_of(o, &ignored)))
        return err_set(e, E_USAGE,
                       "--watch tells changes as text: it goes without --json, --verbose, --save, "
                       "--compose, --daemon-json, --podman, --k8s and --systemd");
    if (o->root && file_kind(o->root) != FILE_FOLDER)
        return err_set(e, E_IO, "--root %s: there is no such folder", o->root);
    return 0;
}

static int run(const void *opts, const struct opt_list *inputs, const struct lode_host *host,
               struct err *e)
{
    const struct options *o = opts;
    struct lode_host copy = *host; /* put takes a context that is not const */
    struct arena *a;
    if (o->as && strcmp(o->as, "list") == 0) return list_cases(&copy, e);
    TRY(check(o, e));
    TRY(arena_open("doctor", 0, &a, e));
    int rc = inputs->n ? be_child(a, inputs->words[0], &copy, e) : examine(a, o, &copy, e);
    arena_close(&a);
    return rc;
}

const struct lode_job job_doctor_row = {
    .name = "doctor",
    .summary = "why is the GPU not used? names the cause and the cure",
    .synopsis = "[options]",
    .details = "Looks at the machine, the kernel's driver, its device nodes and NVIDIA's "
               "libraries, then computes on the "
               "GPU and checks the result. For all that is wrong it prints what was seen, why it "
               "is so, and the command that "
               "cures it on this system, in or out of a container. Only when a product of matrices "
               "came out right does it say "
               "\"GPU test PASSED\".\n\n"
               "It changes nothing and needs no privileges; what it may not read is told as such. "
               "NVIDIA's libraries are "
               "tried in processes of their own, which may crash or hang.\n\n"
               "The exit status is the answer: 0 a GPU is usable, 1 usable with warnings, 2 there "
               "is one and it is not "
               "usable, 3 there is none.\n\n"
               "    lode doctor\n"
               "    lode doctor --as list\n"
               "    lode doctor --as driver-mismatch\n"
               "    lode doctor --compose\n"
               "    lode doctor --pid $(pidof python3) --save case",
    .rows = rows,
    .n_rows = COUNT(rows),
    .opts_bytes = sizeof(struct options),
    .inputs_min = 0,
    .inputs_max = 1,
    .run = run,
};
