#include "jobs/diary.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MOST_BYTES (2u << 30)
#define RUN_BYTES  256 /* of a run's text, at most */
enum { FIELDS = 11 };

static bool take_run(const struct json *j, struct evolve_run *r)
{
    double x[FIELDS];
    if (json_count(j) != FIELDS) return false;
    for (size_t i = 0; i < FIELDS; i++) {
        x[i] = json_number(json_at(j, i), NAN);
        if (isnan(x[i]) || isinf(x[i])) return false;
        if (i != 5 && i != 7 && (x[i] != floor(x[i]) || fabs(x[i]) > 2e9)) return false;
    }
    *r = (struct evolve_run){.c = {.run = (int64_t)x[0],
                                   .method = (int32_t)x[1],
                                   .components = (int32_t)x[2],
                                   .clusters = (int32_t)x[3],
                                   .min_samples = (int32_t)x[4],
                                   .eps = x[5],
                                   .state = (int32_t)x[6]},
                             .s = {.fitness = x[7],
                                   .playlists = (int32_t)x[8],
                                   .full = (int32_t)x[9],
                                   .songs = (int64_t)x[10]}};
    return true;
}

/* One line; false if it is neither the batch that comes next nor one before it, made again. */
static bool take_line(struct arena *a, struct str line, int64_t batch, struct evolve_run *run,
                      int64_t *n)
{
    struct json_doc *doc;
    struct err ignored;
    if (json_open(a, line.p, line.n, &doc, &ignored)) return false;
    const struct json *runs = json_key(json_root(doc), "runs");
    int64_t count = (int64_t)json_count(runs), have = 0;
    int64_t begun = json_int(json_key(json_root(doc), "begun"), -1);
    bool good = json_is_array(runs) && count >= 1 && count <= batch && begun >= 0 && begun <= *n &&
                begun % batch == 0;
    for (; good && have < count; have++) {
        struct evolve_run one;
        good = take_run(json_at(runs, (size_t)have), &one) && one.c.run == begun + have;
        if (good) run[begun + have] = one;
    }
    json_close(&doc);
    if (good) *n = MAX(*n, begun + count);
    return good;
}

static int take_head(struct arena *a, struct str line, uint64_t settings, struct err *e)
{
    struct json_doc *doc;
    char want[17];
    snprintf(want, sizeof want, "%016llx", (unsigned long long)settings);
    if (json_open(a, line.p, line.n, &doc, e))
        return err_set(e, E_INPUT, "%s is no journal of a search", DIARY_NAME);
    struct str is = json_text(json_key(json_root(doc), "lode_search"));
    bool ours = is.p != NULL, same = ours && str_eq(is, want);
    json_close(&doc);
    if (!ours) return err_set(e, E_INPUT, "%s is no journal of a search", DIARY_NAME);
    if (same) return 0;
    return err_set(e, E_INPUT,
                   "%s is of a search with other settings or other songs; without --resume it "
                   "begins anew",
                   DIARY_NAME);
}

int diary_take(struct arena *a, struct str text, uint64_t settings, int64_t batch,
               struct evolve_run **run, int64_t *n, size_t *good, struct err *e)
{
    size_t lines = 0;
    const char *begin = text.p;
    *n = 0;
    *good = 0;
    for (size_t i = 0; i < text.n; i++) lines += text.p[i] == '\n';
    if (lines == 0) return 0;                               /* not even its head was written */
    size_t most = MIN((lines - 1) * (size_t)batch, text.n); /* a run takes some bytes */
    if (!(*run = ARENA_NEW(a, struct evolve_run, most + (size_t)batch, e))) return -1;
    for (size_t i = 0; i < lines; i++) {
        struct arena_mark mark = arena_here(a);
        const char *end = memchr(text.p, '\n', text.n);
        struct str line = {text.p, (size_t)(end - text.p)};
        if (i == 0)
            TRY(take_head(a, line, settings, e));
        else if (!take_line(a, line, batch, *run, n))
            break;
        arena_rewind(a, mark);
        text.n -= line.n + 1;
        text.p += line.n + 1;
        *good = (size_t)(text.p - begin);
    }
    return 0;
}

static int begin(struct diary *d, uint64_t settings, struct err *e)
{
    char head[64];
    int n = snprintf(head, sizeof head, "{\"lode_search\":\"%016llx\"}\n",
                     (unsigned long long)settings);
    return file_write_all(d->fd, head, (size_t)n, e) ? err_note(e, "%s", d->path) : 0;
}

/* Of two searches that write into one journal neither could go on. */
static int lock(const struct diary *d, struct err *e)
{
    if (flock(d->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return 0;
    return err_set(e, E_IO,
                   "%s: another search is at work in this folder; wait for its end, or give "
                   "another --out",
                   d->path);
}

int diary_open(struct arena *a, const char *folder, uint64_t settings, int64_t batch, bool resume,
               struct diary *out, struct err *e)
{
    struct str text = {NULL, 0};
    size_t good = 0;
    *out = (struct diary){.fd = -1};
    if (!(out->path = file_join(a, folder, DIARY_NAME, e))) return -1;
    out->fd = open(out->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (out->fd < 0) return err_errno(e, E_IO, "%s", out->path);
    TRY(lock(out, e));
    if (resume) {
        TRY(file_read(a, out->path, MOST_BYTES, &text, e));
        if (diary_take(a, text, settings, batch, &out->run, &out->n, &good, e))
            return err_note(e, "%s", folder);
    }
    if (ftruncate(out->fd, (off_t)good) != 0) return err_errno(e, E_IO, "%s", out->path);
    return good == 0 ? begin(out, settings, e) : 0;
}

int diary_add(struct diary *d, int64_t begun, const struct evolve_run *run, int64_t count,
              struct err *e)
{
    struct arena *a;
    struct strbuf b;
    size_t room = (size_t)(count + 1) * RUN_BYTES;
    TRY(arena_open("journal", 0, &a, e));
    char *text = ARENA_NEW(a, char, room, e);
    int rc = text ? 0 : -1;
    if (text) {
        strbuf_init(&b, text, room);
        strbuf_format(&b, "{\"begun\":%lld,\"runs\":[", (long long)begun);
        for (int64_t i = 0; i < count; i++) {
            const struct evolve_candidate *c = &run[i].c;
            const struct evolve_score *s = &run[i].s;
            strbuf_format(&b, "%s[%lld,%d,%d,%d,%d,%.17g,%d,%.17g,%d,%d,%lld]", i ? "," : "",
                          (long long)c->run, c->method, c->components, c->clusters, c->min_samples,
                          c->eps, c->state, s->fitness, s->playlists, s->full, (long long)s->songs);
        }
        strbuf_text(&b, "]}\n");
        rc = file_write_all(d->fd, b.p, b.n, e) ? err_note(e, "%s", d->path) : 0;
        if (rc == 0 && fdatasync(d->fd) != 0) rc = err_errno(e, E_IO, "%s", d->path);
    }
    arena_close(&a);
    return rc;
}

void diary_close(struct diary *d)
{
    if (d->fd >= 0) close(d->fd);
    d->fd = -1;
}
