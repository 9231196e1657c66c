#include "jobs/hunt_report.h"
#include "base/file.h"
#include <math.h>
#include <string.h>

static const char *const metrics[EVOLVE_METRICS] = {
    [EVOLVE_MOOD_DIVERSITY] = "mood_diversity",
    [EVOLVE_MOOD_PURITY] = "mood_purity",
    [EVOLVE_FEATURE_DIVERSITY] = "feature_diversity",
    [EVOLVE_FEATURE_PURITY] = "feature_purity",
    [EVOLVE_SILHOUETTE] = "silhouette",
    [EVOLVE_DAVIES_BOULDIN] = "davies_bouldin",
    [EVOLVE_CALINSKI_HARABASZ] = "calinski_harabasz"};

static const char *method_name(int method)
{
    static const char *const names[] = {[CLUSTER_KMEANS] = "kmeans",
                                        [CLUSTER_MINIBATCH] = "minibatch",
                                        [CLUSTER_DBSCAN] = "dbscan",
                                        [CLUSTER_GMM] = "gmm",
                                        [CLUSTER_SPECTRAL] = "spectral"};
    return names[method];
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

static void int_key(struct json_out *j, const char *key, int64_t x)
{
    json_out_key(j, key);
    json_out_int(j, x);
}

static void number_key(struct json_out *j, const char *key, double x)
{
    json_out_key(j, key);
    json_out_figure(j, x, 12);
}

static void text_key(struct json_out *j, const char *key, const char *text)
{
    json_out_key(j, key);
    json_out_str(j, text);
}

static void put_parameters(struct json_out *j, const struct hunt_result *r)
{
    const struct evolve_candidate *c = &r->search->best.c;
    json_out_key(j, "parameters");
    json_out_object(j);
    int_key(j, "run", c->run);
    text_key(j, "method", method_name(c->method));
    int_key(j, "components", c->components ? c->components : r->found->d);
    if (c->method == CLUSTER_DBSCAN) {
        number_key(j, "eps", c->eps);
        int_key(j, "min_samples", c->min_samples);
    } else {
        int_key(j, "clusters", c->clusters);
    }
    if (c->method == CLUSTER_SPECTRAL) int_key(j, "random_state", c->state);
    json_out_end(j, '}');
}

static void put_song(struct json_out *j, const struct playlists *all, int32_t song)
{
    const struct songs_text *t = playlist_text(all, song);
    json_out_object(j);
    int_key(j, "row", song);
    if (*t->id) text_key(j, "id", t->id);
    if (*t->title) text_key(j, "title", t->title);
    if (*t->artist) text_key(j, "artist", t->artist);
    if (*t->path) text_key(j, "path", t->path);
    json_out_end(j, '}');
}

static void put_centre(struct json_out *j, const struct hunt_result *r, const struct playlist *p)
{
    const struct evolve_songs *all = &r->songs->all;
    const double *centre = r->found->centre + (int64_t)p->list * all->columns;
    json_out_key(j, "centre");
    json_out_object(j);
    number_key(j, "tempo", centre[0]);
    number_key(j, "energy", centre[1]);
    for (int32_t i = 0; i < all->moods; i++) number_key(j, r->songs->mood_name[i], centre[2 + i]);
    json_out_key(j, "features");
    json_out_object(j);
    for (int32_t i = 0; i < all->features; i++)
        number_key(j, songs_feature_name(i), centre[2 + all->moods + i]);
    json_out_end(j, '}');
    json_out_end(j, '}');
}

static void put_playlist(struct json_out *j, const struct hunt_result *r, const struct playlist *p)
{
    json_out_object(j);
    int_key(j, "id", p->id);
    text_key(j, "name", p->name);
    text_key(j, "file", p->file);
    text_key(j, "genre", songs_genre_name(p->genre));
    if (p->known) {
        int_key(j, "songs_added", p->came);
        int_key(j, "songs_gone", p->went);
    }
    put_centre(j, r, p);
    json_out_key(j, "songs");
    json_out_array(j);
    for (int64_t i = 0; i < p->n; i++) put_song(j, r->lists, p->song[i]);
    json_out_end(j, ']');
    json_out_end(j, '}');
}

static void put_search(struct json_out *j, const struct hunt_result *r)
{
    const struct evolve_result *s = r->search;
    int_key(j, "rows", r->songs->all.n);
    int_key(j, "columns", r->h->numbers->columns);
    int_key(j, "songs_without_moods", r->songs->without);
    int_key(j, "songs_of_a_run", r->subset);
    int_key(j, "runs", s->runs);
    int_key(j, "runs_failed", s->failed);
    int_key(j, "runs_lost", s->lost);
    int_key(j, "runs_resumed", r->resumed);
    text_key(j, "stopped", s->stop);
    json_out_key(j, "calibrated");
    json_out_object(j);
    int_key(j, "clusters_min", s->clusters.least);
    int_key(j, "clusters_max", s->clusters.most);
    number_key(j, "eps_min", s->eps_least);
    number_key(j, "eps_max", s->eps_most);
    json_out_end(j, '}');
    put_parameters(j, r);
    number_key(j, "fitness", r->score->fitness);
    json_out_key(j, "metrics");
    json_out_object(j);
    for (int i = 0; i < EVOLVE_METRICS; i++) number_key(j, metrics[i], r->score->metric[i]);
    json_out_end(j, '}');
    int_key(j, "playlists_of_the_run", r->score->playlists);
    int_key(j, "playlists_large_enough", r->lists->found);
    int_key(j, "songs_repeated", r->lists->repeated);
    int_key(j, "songs_alike", r->lists->alike);
}

/* Where --update goes on, to the bit. */
static void put_clusters(struct json_out *j, const struct evolve_playlists *f)
{
    json_out_key(j, "clusters");
    json_out_array(j);
    for (int64_t k = 0; k < f->clusters; k++) {
        json_out_array(j);
        for (int64_t i = 0; i < f->columns; i++)
            json_out_figure(j, f->middle[k * f->columns + i], 17);
        json_out_end(j, ']');
    }
    json_out_end(j, ']');
}

int hunt_report_json(struct hunt_result *r, int (*put)(void *, const char *, size_t, struct err *),
                     void *ctx, struct err *e)
{
    struct json_out j;
    json_out_init(&j, 1, put, ctx, e);
    json_out_object(&j);
    text_key(&j, "input", r->h->input);
    opt_json(r->h->rows, r->h->n_rows, r->h->o, &j);
    if (*r->h->used) text_key(&j, "settings_of_audiomuse", r->h->used);
    put_search(&j, r);
    json_out_key(&j, "playlists");
    json_out_array(&j);
    for (int64_t i = 0; i < r->lists->n; i++) put_playlist(&j, r, &r->lists->list[i]);
    json_out_end(&j, ']');
    put_clusters(&j, r->found);
    json_out_key(&j, "history");
    json_out_array(&j);
    for (int64_t i = 0; i < r->search->runs; i++) json_out_figure(&j, r->search->history[i], 9);
    json_out_end(&j, ']');
    json_out_key(&j, "seconds");
    json_out_object(&j);
    number_key(&j, "read", r->read_s);
    number_key(&j, "search", r->search->seconds);
    json_out_end(&j, '}');
    text_key(&j, "resolved_device", engine_device(r->h->engine));
    text_key(&j, "device_name", engine_describe(r->h->engine));
    text_key(&j, "device_reason", engine_reason(r->h->engine));
    int_key(&j, "device_brought_back", r->brought_back);
    json_out_end(&j, '}');
    return json_out_done(&j);
}

/* ---- lines ------------------------------------------------------------------------------------
 */

#define LINE(r, e, format, ...) host_format((r)->h->host, e, format "\n", __VA_ARGS__)

static int tell_winner(const struct hunt_result *r, struct err *e)
{
    const struct evolve_candidate *c = &r->search->best.c;
    int components = c->components ? c->components : (int)r->found->d;
    if (c->method == CLUSTER_DBSCAN)
        return LINE(r, e,
                    "  %-12s number %lld of %lld: dbscan, eps %.4g, %d sample%s, %d component%s",
                    "best run", (long long)c->run + 1, (long long)r->search->runs, c->eps,
                    c->min_samples, str_s(c->min_samples), components, str_s(components));
    return LINE(r, e, "  %-12s number %lld of %lld: %s, %d clusters, %d component%s", "best run",
                (long long)c->run + 1, (long long)r->search->runs, method_name(c->method),
                c->clusters, components, str_s(components));
}

static int tell_changes(const struct hunt_result *r, struct err *e)
{
    for (int64_t i = 0; r->old && i < r->old->n; i++) {
        bool there = false;
        for (int64_t k = 0; k < r->lists->n; k++)
            there |= r->lists->list[k].id == r->old->list[i].id;
        if (!there) TRY(LINE(r, e, "  gone         %s", r->old->list[i].name));
    }
    return 0;
}

int hunt_report_text(const struct hunt_result *r, struct err *e)
{
    const struct evolve_result *s = r->search;
    const double *m = r->score->metric;
    TRY(LINE(r, e, "%s: %lld songs, %lld of them in a run", r->h->input, (long long)r->songs->all.n,
             (long long)r->subset));
    TRY(tell_winner(r, e));
    TRY(LINE(r, e, "  %-12s %.6f (mood diversity %.3f, mood purity %.3f)", "fitness",
             r->score->fitness, m[EVOLVE_MOOD_DIVERSITY], m[EVOLVE_MOOD_PURITY]));
    TRY(LINE(r, e, "  %-12s %s; %lld failed", "ended", s->stop, (long long)s->failed));
    if (s->lost > 0)
        TRY(LINE(r, e, "  %-12s %lld run%s of batches that failed; --resume makes them again",
                 "lost", (long long)s->lost, str_s(s->lost)));
    if (r->brought_back > 0)
        TRY(LINE(r, e, "  %-12s %s, after %lld failure%s; the last one: %s", "device",
                 engine_device(r->h->engine), (long long)r->brought_back, str_s(r->brought_back),
                 engine_reason(r->h->engine)));
    TRY(LINE(r, e, "  %-12s read %.2f s, search %.2f s, %.1f ms a run", "time", r->read_s,
             s->seconds, 1e3 * s->seconds / (double)MAX(s->made, 1)));
    TRY(LINE(r, e, "  %-12s %lld of %lld with %lld song%s or more, in %s", "playlists",
             (long long)r->lists->n, (long long)r->lists->found, (long long)r->h->o->s.min_songs,
             str_s(r->h->o->s.min_songs), r->h->o->s.out));
    for (int64_t i = 0; i < r->lists->n; i++) {
        const struct playlist *p = &r->lists->list[i];
        if (p->known)
            TRY(LINE(r, e, "  %5lld song%-2s %s (+%lld -%lld)", (long long)p->n, str_s(p->n),
                     p->name, (long long)p->came, (long long)p->went));
        else
            TRY(LINE(r, e, "  %5lld song%-2s %s%s", (long long)p->n, str_s(p->n), p->name,
                     r->old ? " (new)" : ""));
    }
    return tell_changes(r, e);
}
