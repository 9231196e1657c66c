#include "jobs/hunt.h"
#include "base/file.h"
#include "base/thread.h"
#include "jobs/audiomuse.h"
#include "jobs/diary.h"
#include "jobs/hunt_page.h"
#include "jobs/journal.h"
#include "jobs/playlist.h"
#include <string.h>
#include <sys/stat.h>

struct run {
    struct hunt *h;
    const struct audiomuse *m;
    struct songs songs;
    struct evolve_options eo;
    struct evolve *evolve;
    struct diary diary;
};

int hunt_settings(struct hunt *h, struct audiomuse *m, struct err *e)
{
    char text[4000];
    struct strbuf used;
    audiomuse_defaults(m);
    strbuf_init(&used, text, sizeof text);
    if (h->o->s.env) TRY(audiomuse_read(h, m, &used, e));
    return (h->used = arena_text(h->a, used.p, used.n, e)) ? 0 : -1;
}

int hunt_check(const struct cluster_flags *o, struct err *e)
{
    const struct search_flags *s = &o->s;
    bool moods = s->moods && *s->moods;
    if (!moods || !s->out || !*s->out)
        return err_set(e, E_USAGE, "a search needs %s",
                       moods ? "--out FOLDER, where playlists go"
                             : "--moods FILE, by which runs are judged");
    /* Before the search and, for titles, behind it: a pipe would be empty then. */
    if (strcmp(s->moods, "-") == 0 || file_kind(s->moods) == FILE_OTHER)
        return err_set(e, E_USAGE, "--moods %s is read twice: give a file", s->moods);
    if (o->method == CLUSTER_MINIBATCH)
        return err_set(e, E_USAGE,
                       "a search does not use minibatch; kmeans, dbscan, gmm, spectral "
                       "and mixed can be searched");
    if (s->clusters_min > s->clusters_max)
        return err_set(e, E_USAGE, "--clusters-min %lld is more than --clusters-max %lld",
                       (long long)s->clusters_min, (long long)s->clusters_max);
    if (s->pca_min > s->pca_max)
        return err_set(e, E_USAGE, "--pca-min %lld is more than --pca-max %lld",
                       (long long)s->pca_min, (long long)s->pca_max);
    if (s->samples_min > s->samples_max)
        return err_set(e, E_USAGE, "--min-samples-min %lld is more than --min-samples-max %lld",
                       (long long)s->samples_min, (long long)s->samples_max);
    if (s->eps_min > s->eps_max)
        return err_set(e, E_USAGE, "--eps-min %g is more than --eps-max %g", s->eps_min,
                       s->eps_max);
    int64_t most = s->max_songs ? MIN(s->max_songs, s->subset ? s->subset : INT64_MAX) : s->subset;
    if (most > 0 && s->min_songs > most)
        return err_set(e, E_USAGE,
                       "--min-songs %lld is more than %s %lld: no playlist can have as many",
                       (long long)s->min_songs, most == s->max_songs ? "--max-songs" : "--subset",
                       (long long)most);
    return 0;
}

static void fill_options(struct run *r)
{
    const struct cluster_flags *o = r->h->o;
    const struct search_flags *s = &o->s;
    struct evolve_options *eo = &r->eo;
    *eo = (struct evolve_options){
        .method = o->method,
        .runs = s->runs,
        .batch = MIN(s->batch, s->runs),
        .subset = s->subset,
        .clusters = {s->clusters_min, s->clusters_max},
        .components = {s->pca_min, s->pca_max},
        .min_samples = {s->samples_min, s->samples_max},
        .eps_least = s->eps_min,
        .eps_most = s->eps_max,
        .starts = o->starts,
        .covariance = (enum gmm_kind)s->covariance,
        .neighbours = r->m->neighbours,
        .max_distance = s->max_distance,
        .per_artist = s->per_artist,
        .max_songs = s->max_songs,
        .min_songs = s->min_songs,
        .top_n = s->top_n,
        .split = s->split,
        .feature_least = r->m->feature_least,
        .top_moods = r->m->purity_moods,
        .explore = s->explore,
        .exploit = s->exploit,
        .elites = s->elites,
        .vary_count = s->vary_count,
        .vary_number = s->vary_number,
        .churn = s->churn,
        .percentile = s->percentile,
        .genre_songs = s->genre_songs,
        .calibrate = s->calibrate,
        .stop_batches = s->stop_batches,
        .stop_seconds = (double)s->stop_seconds,
        .seed = (uint64_t)o->seed,
    };
    memcpy(eo->weight, s->weight, sizeof eo->weight);
    memcpy(eo->mean, r->m->mean[!s->features], sizeof eo->mean);
    memcpy(eo->deviation, r->m->deviation[!s->features], sizeof eo->deviation);
}

/* ---- the world --------------------------------------------------------------------------------
 */

static void on_progress(void *ctx, const char *what, double done, double total)
{
    const struct run *r = ctx;
    if (!r->h->o->quiet) host_progress(r->h->host, what, LODE_UNITS, done, total);
}

static bool on_cancelled(void *ctx)
{
    return host_cancelled(((const struct run *)ctx)->h->host);
}

static void on_note(void *ctx, const char *text)
{
    host_note(((const struct run *)ctx)->h->host, "%s", text);
}

static int on_done(void *ctx, int64_t begun, const struct evolve_run *run, int64_t count,
                   struct err *e)
{
    return diary_add(&((struct run *)ctx)->diary, begun, run, count, e);
}

static const float *feature_single(void *ctx, int64_t i)
{
    const struct evolve_songs *s = ctx;
    return s->value + i * s->columns;
}

static void feature_row(void *ctx, int64_t i, double *out)
{
    const struct evolve_songs *s = ctx;
    for (int32_t j = 0; j < s->columns; j++) out[j] = (double)s->value[i * s->columns + j];
}

/* ---- settings as a number ---------------------------------------------------------------------
 */

static int mix_file(const char *path, uint64_t *hash, struct err *e)
{
    struct stat st;
    if (stat(path, &st) != 0) return err_errno(e, E_IO, "%s", path);
    const int64_t x[] = {st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
    *hash = str_hash(*hash, x, sizeof x);
    return 0;
}

/* All that decides what a run gives; not how it is told, or on which machine it runs. */
static int settings_of(const struct run *r, uint64_t *out, struct err *e)
{
    struct cluster_flags plain = *r->h->o;
    plain.json = plain.quiet = plain.s.resume = false;
    plain.device = plain.s.env = plain.s.out = plain.s.update = NULL;
    plain.threads = plain.kernels = 0;
    plain.s.stop_batches = plain.s.stop_seconds = 0;
    *out = journal_settings(r->h->rows, r->h->n_rows, &plain);
    *out = str_hash(*out, r->m, sizeof *r->m);
    TRY(mix_file(r->h->input, out, e));
    if (r->h->o->s.update) TRY(mix_file(r->h->o->s.update, out, e));
    return mix_file(r->h->o->s.moods, out, e);
}

/* ---- the job ----------------------------------------------------------------------------------
 */

static int put_file(void *ctx, const char *p, size_t n, struct err *e)
{
    return file_out_write(ctx, p, n, e);
}

static int write_json(struct arena *a, struct hunt_result *result, const char *folder,
                      struct err *e)
{
    struct file_out f;
    char *path = file_join(a, folder, "report.json", e);
    if (!path) return -1;
    TRY(file_out_open(a, path, &f, e));
    int rc = hunt_report_json(result, put_file, &f, e);
    if (rc == 0) rc = file_out_commit(&f, e);
    file_out_abort(&f);
    return rc;
}

static int tell(struct run *r, struct hunt_result *result, struct err *e)
{
    struct hunt *h = r->h;
    const char *folder = h->o->s.out;
    char *html = file_join(h->a, folder, "report.html", e);
    if (!html) return -1;
    TRY(playlist_write(h->a, result->lists, folder, e));
    TRY(write_json(h->a, result, folder, e));
    TRY(hunt_page_write(h->a, result, html, e));
    if (!h->o->json) return hunt_report_text(result, e);
    struct lode_host copy = *h->host; /* host_put takes a context that is not const */
    return hunt_report_json(result, host_put, &copy, e);
}

static int search(struct run *r, const struct playlist_old *old, double read_s, struct err *e)
{
    struct hunt *h = r->h;
    struct evolve_result result;
    struct evolve_playlists found;
    struct evolve_score score;
    struct playlists lists;
    struct playlist_options po = {h->o->s.top_n, h->o->s.min_songs, h->o->s.duplicates,
                                  r->m->name_least, (uint64_t)h->o->seed};
    if (evolve_search(r->evolve, r->diary.run, r->diary.n, &result, e)) {
        if (e->code != E_CANCELLED) return -1;
        return err_set(e, E_CANCELLED,
                       "stopped after %lld of %lld runs; the same command with --resume goes on",
                       (long long)result.runs, (long long)h->o->s.runs);
    }
    if (result.best.s.playlists == 0)
        return err_set(e, E_INPUT,
                       "%lld run%s gave no playlist; wider ranges, a larger --max-distance or "
                       "another method may",
                       (long long)result.runs, str_s(result.runs));
    TRY(evolve_again(r->evolve, &result.best.c, h->a, &score, &found, e));
    TRY(playlist_make(h->a, &r->songs, h->numbers, &found, old, &po, &lists, e));
    if (lists.n == 0)
        return err_set(
            e, E_INPUT,
            "no playlist of the best run has %lld song%s or more; a smaller --min-songs, a "
            "larger --max-distance, --per-artist or --subset may help",
            (long long)po.min_songs, str_s(po.min_songs));
    struct hunt_result told = {.h = h,
                               .songs = &r->songs,
                               .search = &result,
                               .score = &score,
                               .found = &found,
                               .lists = &lists,
                               .old = old,
                               .subset = found.rows,
                               .resumed = result.runs - result.made,
                               .brought_back = evolve_brought_back(r->evolve),
                               .read_s = read_s};
    return tell(r, &told, e);
}

/* The first run begins with the clusters of an earlier search, if its rows were like these. */
static int go_on(struct run *r, const struct playlist_old *old, int64_t columns, struct err *e)
{
    if (!old->centre) return 0;
    if (old->columns != columns)
        return err_set(e, E_INPUT, "%s is of rows of %lld number%s, these have %lld",
                       r->h->o->s.update, (long long)old->columns, str_s(old->columns),
                       (long long)columns);
    r->eo.begin = old->centre;
    r->eo.begin_clusters = old->clusters;
    r->eo.begin_components = old->components;
    return 0;
}

static void note_journal(const struct run *r)
{
    const struct diary *d = &r->diary;
    int64_t lost = 0;
    for (int64_t i = 0; i < d->n; i++) lost += d->run[i].c.clusters == 0;
    host_note(r->h->host, "%lld of %lld runs are in the journal", (long long)(d->n - lost),
              (long long)r->h->o->s.runs);
    if (lost > 0)
        host_note(r->h->host, "%lld lost run%s made again, and what was varied without %s",
                  (long long)lost, lost == 1 ? " is" : "s are", lost == 1 ? "it" : "them");
}

static int with_songs(struct run *r, struct err *e)
{
    struct hunt *h = r->h;
    double begun_s = thread_seconds();
    struct playlist_old old;
    struct songs_options so = r->m->songs;
    struct evolve_watch watch = {{r, on_progress, on_cancelled}, on_done, on_note};
    struct scale_source source = *h->source;
    uint64_t settings;
    so.top_moods = h->o->s.top_moods;
    if (h->o->s.update) TRY(playlist_old_read(h->a, h->o->s.update, &old, e));
    TRY(songs_read(h->a, h->o->s.moods, h->numbers->rows, &so, &r->songs, e));
    if (r->songs.without > 0 && !h->o->quiet)
        host_note(h->host, "%lld of %lld songs %s", (long long)r->songs.without,
                  (long long)r->songs.all.n,
                  r->songs.without == 1 ? "has no moods and is left out"
                                        : "have no moods and are left out");
    if (h->o->s.features)
        source = (struct scale_source){&r->songs.all,        feature_row,    r->songs.all.n,
                                       r->songs.all.columns, feature_single, source.threads};
    fill_options(r);
    if (h->o->s.update) TRY(go_on(r, &old, source.d, e));
    if (evolve_open(h->a, h->engine, &watch, &source, &r->songs.all, &r->eo, &r->evolve, e))
        return e->code == E_CANCELLED ? -1 : err_note(e, "%s", h->input);
    TRY(file_make_folders(h->o->s.out, e));
    TRY(settings_of(r, &settings, e));
    TRY(diary_open(h->a, h->o->s.out, settings, r->eo.batch, h->o->s.resume, &r->diary, e));
    if (r->diary.n > 0 && !h->o->quiet) note_journal(r);
    return search(r, h->o->s.update ? &old : NULL, thread_seconds() - begun_s, e);
}

int hunt_run(struct hunt *h, const struct audiomuse *m, struct err *e)
{
    struct run r = {.h = h, .m = m, .diary = {.fd = -1}};
    int rc = with_songs(&r, e);
    diary_close(&r.diary);
    evolve_close(&r.evolve);
    return rc;
}
