/* The search for playlists: fitness, names and songs against tests/golden/search (made by
 * tools/golden/search.py), what is drawn, exact replay, resuming, what a failed batch costs, the
 * journal, old reports, AudioMuse-AI's settings. */
#include "base/fault.h"
#include "base/json.h"
#include "cluster/evolve_draw.h"
#include "cluster/evolve_pick.h"
#include "cluster/evolve_score.h"
#include "jobs/diary.h"
#include "jobs/playlist.h"
#include "unit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FOLDER "tests/golden/search/"

struct bench {
    struct arena *arena;
    struct err e;
    struct engine *engine;
    struct songs songs;
    struct evolve_options o;
    char note[700];
    struct evolve_run *run; /* what was finished */
    int64_t n, batches;
};

#define OK(call)                                               \
    do {                                                       \
        if ((call) != 0) fail_msg("%s: %s", #call, b->e.text); \
    } while (0)

static void read_songs(struct bench *b, int64_t top)
{
    struct audiomuse m;
    audiomuse_defaults(&m);
    m.songs.top_moods = top;
    OK(songs_read(b->arena, FOLDER "songs.csv", 400, &m.songs, &b->songs, &b->e));
}

static void open_bench(struct bench *b)
{
    struct audiomuse m;
    struct engine_options eo = {.device = "cpu", .kernels = "auto", .threads = 2};
    *b = (struct bench){0};
    OK(arena_open("t_evolve", 0, &b->arena, &b->e));
    OK(engine_open(b->arena, &eo, &b->engine, &b->e));
    read_songs(b, 5);
    audiomuse_defaults(&m);
    b->o = (struct evolve_options){.method = CLUSTER_KMEANS,
                                   .runs = 60,
                                   .batch = 10,
                                   .subset = 150,
                                   .clusters = {3, 9},
                                   .components = {0, 12},
                                   .min_samples = {3, 6},
                                   .eps_least = 1,
                                   .eps_most = 5,
                                   .neighbours = 10,
                                   .max_distance = 0.5,
                                   .per_artist = 3,
                                   .min_songs = 3,
                                   .top_n = 10,
                                   .split = 40,
                                   .weight = {2, 1},
                                   .feature_least = m.feature_least,
                                   .top_moods = 3,
                                   .explore = 0.2,
                                   .exploit = 0.7,
                                   .elites = 5,
                                   .vary_count = 3,
                                   .vary_number = 0.05,
                                   .churn = 0.2,
                                   .percentile = 50,
                                   .genre_songs = 10,
                                   .calibrate = true,
                                   .seed = 7};
    memcpy(b->o.mean, m.mean[1], sizeof b->o.mean);
    memcpy(b->o.deviation, m.deviation[1], sizeof b->o.deviation);
}

static void close_bench(struct bench *b)
{
    engine_close(&b->engine);
    arena_close(&b->arena);
}

/* ---- fitness ----------------------------------------------------------------------------------
 */

static void same_lists(struct bench *b, const struct json *want, struct evolve_playlists *found)
{
    struct numbers numbers = {.rows = 400, .columns = 1};
    struct playlist_options po = {.min_songs = 1, .name_least = 0.5};
    struct playlists lists;
    double *zero = ARENA_NEW(b->arena, double, 400, &b->e);
    numbers.text = zero;
    assert_int_equal(found->n, json_count(want));
    OK(playlist_make(b->arena, &b->songs, &numbers, found, NULL, &po, &lists, &b->e));
    assert_int_equal(lists.n, found->n);
    for (int64_t i = 0; i < found->n; i++) {
        const struct json *l = json_at(want, (size_t)i), *songs = json_key(l, "songs");
        const struct evolve_list *got = &found->list[i];
        assert_int_equal(got->cluster, json_int(json_key(l, "cluster"), -1));
        assert_int_equal(got->to - got->from, json_count(songs));
        for (int64_t k = got->from; k < got->to; k++)
            assert_int_equal(found->song[k], json_int(json_at(songs, (size_t)(k - got->from)), -1));
        assert_true(str_eq(json_text(json_key(l, "genre")), songs_genre_name(got->genre)));
        assert_true(str_eq(json_text(json_key(l, "name")), lists.list[i].name));
    }
}

static void fitness_is_the_golden_one(void **state)
{
    struct bench bench, *b = &bench;
    struct json_doc *doc;
    struct str text;
    int32_t label[400], song[400];
    float away[400], centre[64] = {0};
    (void)state;
    open_bench(b);
    OK(file_read(b->arena, FOLDER "expected.json", 1 << 20, &text, &b->e));
    OK(json_open(b->arena, text.p, text.n, &doc, &b->e));
    const struct json *want = json_root(doc), *cases = json_key(want, "cases");
    int64_t clusters = json_int(json_key(want, "clusters"), 0);
    for (int i = 0; i < 400; i++) {
        song[i] = i;
        label[i] = (int32_t)json_int(json_at(json_key(want, "label"), (size_t)i), -9);
        away[i] = (float)json_number(json_at(json_key(want, "away"), (size_t)i), NAN);
    }
    struct evolve_clusters c = {.n = 400,
                                .clusters = clusters,
                                .d = 1,
                                .song = song,
                                .label = label,
                                .away = away,
                                .centre = centre,
                                .silhouette = NAN,
                                .davies_bouldin = NAN,
                                .calinski_harabasz = NAN};
    assert_int_equal(json_count(cases), 3);
    for (size_t i = 0; i < json_count(cases); i++) {
        const struct json *k = json_at(cases, i);
        struct evolve_playlists lists;
        struct evolve_score score;
        read_songs(b, json_int(json_key(k, "top_moods"), -1));
        for (size_t w = 0; w < 4; w++)
            b->o.weight[w] = json_number(json_at(json_key(k, "weight"), w), NAN);
        OK(evolve_score_run(b->arena, &b->songs.all, &b->o, &c, &score, &lists, &b->e));
        for (size_t m = 0; m < 4; m++)
            unit_near("a metric", score.metric[m],
                      json_number(json_at(json_key(k, "metrics"), m), NAN), 1e-5);
        unit_near("fitness", score.fitness, json_number(json_key(k, "fitness"), NAN), 1e-5);
        assert_int_equal(score.songs, json_int(json_key(k, "songs"), -1));
        same_lists(b, json_key(k, "lists"), &lists);
    }
    json_close(&doc);
    close_bench(b);
}

static void geometry_counts_when_it_is_weighed(void **state)
{
    struct bench bench, *b = &bench;
    int32_t label[6] = {0, 0, 0, 1, 1, 1}, song[6] = {0, 1, 2, 3, 4, 5};
    float away[6] = {1, 1, 1, 1, 1, 1}, centre[2] = {0, 1};
    struct evolve_score s;
    (void)state;
    open_bench(b);
    struct evolve_clusters c = {6, 2, 1, song, label, away, centre, 0.5, 1, 500 * log(2)};
    memset(b->o.weight, 0, sizeof b->o.weight);
    b->o.weight[EVOLVE_SILHOUETTE] = b->o.weight[EVOLVE_DAVIES_BOULDIN] =
        b->o.weight[EVOLVE_CALINSKI_HARABASZ] = 1;
    b->o.max_distance = 1;
    OK(evolve_score_run(b->arena, &b->songs.all, &b->o, &c, &s, NULL, &b->e));
    unit_near("fitness", s.fitness, 0.75 + 0.5 + 0.5, 1e-5);
    c.silhouette = NAN;
    OK(evolve_score_run(b->arena, &b->songs.all, &b->o, &c, &s, NULL, &b->e));
    unit_near("fitness without a silhouette", s.fitness, 1, 1e-5);
    close_bench(b);
}

/* ---- draws ------------------------------------------------------------------------------------
 */

static int64_t check_subset(struct bench *b, const struct evolve_draw *d, bool *was)
{
    int64_t again = 0, of[32] = {0};
    bool is[400] = {false};
    for (int64_t i = 0; i < d->size; i++) {
        int32_t song = d->song[i], genre = b->songs.all.genre[song];
        assert_true(song >= 0 && song < 400 && genre != -2 && !is[song]);
        is[song] = true;
        again += was[song];
        of[genre < 0 ? d->strata - 1 : genre]++;
    }
    for (int32_t g = 0; g < d->strata; g++) assert_int_equal(of[g], d->quota[g]);
    memcpy(was, is, sizeof is);
    return again;
}

static void songs_are_drawn_by_genre(void **state)
{
    struct bench bench, *b = &bench;
    struct evolve_draw d;
    struct work_random r;
    bool was[400] = {false};
    (void)state;
    open_bench(b);
    for (b->o.subset = 3; b->o.subset <= 450; b->o.subset += 37) {
        OK(evolve_draw_open(b->arena, &b->songs.all, &b->o, &d, &b->e));
        assert_int_equal(d.size, MIN(b->o.subset, 399)); /* one song has no moods */
        work_seed(&r, 3);
        evolve_draw_songs(&d, true, &r);
        check_subset(b, &d, was);
        for (int i = 0; i < 20; i++) {
            evolve_draw_songs(&d, false, &r);
            int64_t kept = 0, again = check_subset(b, &d, was);
            for (int32_t g = 0; g < d.strata; g++) {
                int64_t keep = (int64_t)((double)d.quota[g] * (1 - b->o.churn));
                int64_t size = d.begin[g + 1] - d.begin[g];
                kept += keep + MAX(0, d.quota[g] - keep - (size - d.quota[g]));
            }
            assert_int_equal(again, kept);
        }
    }
    close_bench(b);
}

static void parameters_stay_in_their_ranges(void **state)
{
    struct bench bench, *b = &bench;
    struct evolve_run elite = {.c = {.method = CLUSTER_DBSCAN,
                                     .components = 12,
                                     .clusters = 9,
                                     .min_samples = 6,
                                     .eps = 5,
                                     .state = 0}};
    int64_t varied = 0;
    (void)state;
    open_bench(b);
    for (int64_t i = 0; i < 2000; i++) {
        struct evolve_candidate c =
            evolve_draw_candidate(&b->o, i, &elite, 1, i % 2, 150, i % 3 ? 200 : 5);
        assert_true(c.components >= 0 && c.components <= (i % 3 ? 12 : 5));
        assert_true(c.clusters >= 3 && c.clusters <= 9);
        assert_true(c.min_samples >= 3 && c.min_samples <= 6 && c.eps >= 1 && c.eps <= 5);
        varied += c.method == CLUSTER_DBSCAN;
        if (c.method == CLUSTER_DBSCAN) assert_true(i % 2 && c.clusters >= 6 && c.eps > 4);
    }
    assert_true(varied > 600 && varied < 800); /* 0.7 of a thousand */
    close_bench(b);
}

/* ---- the search -------------------------------------------------------------------------------
 */

/* 6 clouds in 12 dimensions, from the number of the song. */
static void row(void *ctx, int64_t i, double *out)
{
    (void)ctx;
    for (int64_t j = 0; j < 12; j++)
        out[j] = (double)((i % 6 * 7 + j * 3) % 11) * 4 +
                 (double)tensor_hash("row", (uint64_t)(i * 12 + j), 1);
}

static int remember(void *ctx, int64_t begun, const struct evolve_run *run, int64_t count,
                    struct err *e)
{
    struct bench *b = ctx;
    (void)e;
    memcpy(b->run + begun, run, (size_t)count * sizeof *run);
    b->n = begun + count;
    b->batches++;
    return 0;
}

static void take_note(void *ctx, const char *line)
{
    snprintf(((struct bench *)ctx)->note, sizeof((struct bench *)ctx)->note, "%s", line);
}

static struct evolve *open_search(struct bench *b)
{
    struct evolve_watch watch = {{b, NULL, NULL}, remember, take_note};
    struct evolve_watch *kept = ARENA_NEW(b->arena, struct evolve_watch, 1, &b->e);
    struct scale_source *source = ARENA_NEW(b->arena, struct scale_source, 1, &b->e);
    struct evolve *v = NULL;
    *kept = watch;
    *source = (struct scale_source){NULL, row, 400, 12, NULL, 2};
    b->run = ARENA_NEW(b->arena, struct evolve_run, (size_t)b->o.runs, &b->e);
    b->n = b->batches = 0;
    OK(evolve_open(b->arena, b->engine, kept, source, &b->songs.all, &b->o, &v, &b->e));
    return v;
}

static struct evolve_result search(struct bench *b, const struct evolve_run *known, int64_t n)
{
    struct evolve *v = open_search(b);
    struct evolve_result out;
    OK(evolve_search(v, known, n, &out, &b->e));
    evolve_close(&v);
    return out;
}

static bool same_run(const struct evolve_run *x, const struct evolve_run *y)
{
    return x->c.run == y->c.run && x->c.method == y->c.method &&
           x->c.components == y->c.components && x->c.clusters == y->c.clusters &&
           x->c.min_samples == y->c.min_samples && x->c.state == y->c.state &&
           x->c.eps == y->c.eps && x->s.fitness == y->s.fitness &&
           x->s.playlists == y->s.playlists && x->s.full == y->s.full && x->s.songs == y->s.songs;
}

static void same_result(const struct evolve_result *x, const struct evolve_result *y)
{
    assert_int_equal(x->runs, y->runs);
    assert_memory_equal(x->history, y->history, (size_t)x->runs * sizeof *x->history);
    assert_int_equal(x->best.c.run, y->best.c.run);
    assert_memory_equal(&x->best.s.fitness, &y->best.s.fitness, sizeof(double));
}

static void a_search_can_be_repeated_and_resumed(void **state)
{
    static const int methods[] = {CLUSTER_KMEANS, CLUSTER_DBSCAN, CLUSTER_GMM, CLUSTER_SPECTRAL,
                                  EVOLVE_MIXED};
    struct bench bench, *b = &bench;
    (void)state;
    open_bench(b);
    b->o.weight[EVOLVE_SILHOUETTE] = 1;
    for (size_t m = 0; m < COUNT(methods); m++) {
        b->o.method = methods[m];
        b->o.runs = methods[m] == CLUSTER_KMEANS ? 60 : 30;
        struct evolve_result whole = search(b, NULL, 0);
        struct evolve_run *run = b->run;
        assert_int_equal(b->n, b->o.runs);
        assert_true(whole.best.s.playlists > 1);
        struct evolve_result resumed = search(b, run, 20);
        same_result(&whole, &resumed);
        for (int64_t i = 20; i < b->o.runs; i++) assert_true(same_run(&run[i], &b->run[i]));
        b->o.seed++;
        struct evolve_result other = search(b, NULL, 0);
        assert_memory_not_equal(whole.history, other.history, 10 * sizeof(double));
        b->o.seed--;
    }
    close_bench(b);
}

static void the_winner_is_made_again(void **state)
{
    struct bench bench, *b = &bench;
    struct evolve_result out;
    struct evolve_playlists lists;
    struct evolve_score score;
    (void)state;
    open_bench(b);
    struct evolve *v = open_search(b);
    OK(evolve_search(v, NULL, 0, &out, &b->e));
    OK(evolve_again(v, &out.best.c, b->arena, &score, &lists, &b->e));
    assert_memory_equal(&score.fitness, &out.best.s.fitness, sizeof score.fitness);
    assert_int_equal(lists.n, out.best.s.playlists);
    for (int64_t i = 0; i < out.runs; i++)
        assert_true(evolve_score_rank(&b->o, &b->run[i].s, &out.best.s) <= 0);
    evolve_close(&v);
    close_bench(b);
}

static void a_search_stops_as_asked(void **state)
{
    struct bench bench, *b = &bench;
    (void)state;
    open_bench(b);
    b->o.batch = 1;
    b->o.stop_batches = 3;
    struct evolve_result out = search(b, NULL, 0);
    assert_true(out.runs < 60);
    assert_int_equal(out.runs, out.best.c.run + 4);
    b->o.stop_batches = 0;
    b->o.stop_seconds = 1e-9;
    assert_int_equal(search(b, NULL, 0).runs, 0);
    close_bench(b);
}

/* A batch is lost; a search that goes on from what is left finds what one finds that lost nothing.
 */
static void lose_and_resume(struct bench *b, uint64_t call, const struct evolve_result *whole,
                            int64_t *made)
{
    struct evolve_result out;
    char spec[40];
    struct evolve *v = open_search(b);
    snprintf(spec, sizeof spec, "alloc:%llu", (unsigned long long)call);
    fault_arm(spec);
    OK(evolve_search(v, NULL, 0, &out, &b->e));
    fault_arm(NULL);
    evolve_close(&v);
    assert_non_null(strstr(b->note, "are lost: "));
    int64_t lost = strtoll(b->note + strlen("runs "), NULL, 10);
    assert_true(lost % 10 == 0 && lost < 60 && out.runs == 60);
    assert_true(out.lost == 10 && out.failed >= 10 && out.failed < 60);
    for (int64_t i = 0; i < lost; i++) assert_true(out.history[i] == whole->history[i]);
    for (int64_t i = lost; i < lost + 10; i++) assert_true(out.history[i] == EVOLVE_FAILED);
    assert_true(out.best.s.playlists > 0);
    struct evolve_result resumed = search(b, b->run, 60);
    same_result(whole, &resumed);
    assert_int_equal(resumed.lost, 0);
    assert_true(resumed.made >= 10 && resumed.made <= 60 - lost);
    *made = resumed.made;
}

static void a_failed_batch_costs_itself(void **state)
{
    struct bench bench, *b = &bench;
    struct evolve_result out;
    int64_t made, behind;
    (void)state;
    open_bench(b);
    struct evolve_result whole = search(b, NULL, 0);
    struct evolve *v = open_search(b);
    fault_arm("alloc:1000000000");
    OK(evolve_search(v, NULL, 0, &out, &b->e));
    uint64_t calls = fault_count(FAULT_ALLOC);
    fault_arm(NULL);
    evolve_close(&v);
    lose_and_resume(b, calls * 95 / 100, &whole, &made);
    assert_int_equal(made, 10); /* the last batch: nothing was varied from it */
    lose_and_resume(b, calls * 35 / 100, &whole, &behind);
    assert_true(behind > 10);
    close_bench(b);
}

/* Runs that the search does not draw are none of its, whatever they say: they are made. */
static void other_runs_are_made_again(void **state)
{
    struct bench bench, *b = &bench;
    (void)state;
    open_bench(b);
    b->o.runs = 20;
    struct evolve_result whole = search(b, NULL, 0);
    struct evolve_run known[20];
    memcpy(known, b->run, sizeof known);
    for (int i = 0; i < 8; i++) {
        struct evolve_run run[20];
        memcpy(run, known, sizeof run);
        run[3].s.fitness = 1000;
        run[3].s.playlists = run[3].s.full = 100;
        if (i == 0) run[3].c.run = 4;
        if (i == 1) run[3].c.components++;
        if (i == 2) run[3].c.clusters = 150;
        if (i == 3) run[3].c.method = CLUSTER_GMM;
        if (i == 4) run[3].c.eps = NAN;
        if (i == 5) run[3].c.min_samples = 0;
        if (i == 6) run[3].c.state++;
        if (i == 7) run[3].c.eps *= 1.01;
        struct evolve_result resumed = search(b, run, 20);
        same_result(&whole, &resumed);
        assert_int_equal(b->batches, 1);
        assert_int_equal(resumed.made, 1);
    }
    close_bench(b);
}

/* ---- picking ----------------------------------------------------------------------------------
 */

static double best_sum(const double *alike, int n, int m, int i, unsigned used)
{
    if (i == n) return 0;
    double best = best_sum(alike, n, m, i + 1, used);
    for (int j = 0; j < m; j++)
        if (!(used >> j & 1))
            best = fmax(best, alike[i * m + j] + best_sum(alike, n, m, i + 1, used | 1u << j));
    return best;
}

static void matches_are_the_best(void **state)
{
    struct bench bench, *b = &bench;
    struct work_random r;
    double alike[36];
    int32_t match[6];
    (void)state;
    open_bench(b);
    work_seed(&r, 1);
    for (int t = 0; t < 200; t++) {
        int n = 1 + t % 6, m = 1 + t / 6 % 6;
        double sum = 0;
        unsigned used = 0;
        for (int i = 0; i < n * m; i++) alike[i] = t % 3 ? work_draw(&r) : t % 2;
        OK(evolve_pick_match(b->arena, alike, n, m, 0, match, &b->e));
        for (int i = 0; i < n; i++) {
            if (match[i] < 0) continue;
            assert_true(match[i] < m && !(used >> match[i] & 1));
            used |= 1u << match[i];
            sum += alike[i * m + match[i]];
        }
        unit_near("the sum", sum, best_sum(alike, n, m, 0, 0), 1e-5);
    }
    OK(evolve_pick_match(b->arena, (double[]){0.05, 0.3}, 1, 2, 0.4, match, &b->e));
    assert_int_equal(match[0], -1);
    close_bench(b);
}

static void playlists_are_chosen_by_genre(void **state)
{
    static const float at[] = {0, 1, 9, 5, 6, 20, 7};
    static const int32_t genre[] = {0, 0, 0, 1, -1, 2, 3};
    static const int64_t size[] = {9, 9, 9, 9, 9, 9, 9}, songs[] = {100, 50, 70, 1};
    const float *place[7];
    int32_t out[7];
    (void)state;
    for (int i = 0; i < 7; i++) place[i] = &at[i];
    struct evolve_choice c = {7, 1, place, genre, size, 4, songs};
    assert_int_equal(evolve_pick(&c, 5, out, 0), 5);
    /* of genre 0 the pair 0 and 9, then genres 2 and 1, then the last genre; never the unknown */
    const int32_t want[] = {0, 2, 5, 3, 6};
    assert_memory_equal(out, want, sizeof want);
    out[0] = 4;
    assert_int_equal(evolve_pick(&c, 2, out, 1), 2);
    assert_int_equal(out[0], 4);
    assert_int_equal(evolve_pick(&c, 0, out, 0), 7);
}

/* ---- files ------------------------------------------------------------------------------------
 */

static void the_journal_survives_being_cut(void **state)
{
    struct bench bench, *b = &bench;
    const char *tmp = getenv("TMPDIR");
    char folder[60];
    snprintf(folder, sizeof folder, "%.40s/lode-XXXXXX", tmp ? tmp : "/tmp");
    struct diary d;
    struct str text;
    (void)state;
    open_bench(b);
    assert_non_null(mkdtemp(folder));
    search(b, NULL, 0);
    OK(diary_open(b->arena, folder, 77, 10, false, &d, &b->e));
    for (int64_t i = 0; i < 60; i += 10) OK(diary_add(&d, i, b->run + i, 10, &b->e));
    diary_close(&d);
    OK(file_read(b->arena, d.path, 1 << 20, &text, &b->e));
    for (size_t cut = 0; cut <= text.n; cut++) {
        struct arena_mark mark = arena_here(b->arena);
        struct evolve_run *run = NULL;
        int64_t n;
        size_t good;
        OK(diary_take(b->arena, (struct str){text.p, cut}, 77, 10, &run, &n, &good, &b->e));
        assert_true(good <= cut && (good == 0 || text.p[good - 1] == '\n'));
        assert_int_equal(n % 10, 0);
        for (int64_t i = 0; i < n; i++) assert_true(same_run(&run[i], &b->run[i]));
        arena_rewind(b->arena, mark);
    }
    OK(diary_open(b->arena, folder, 77, 10, true, &d, &b->e));
    assert_int_equal(d.n, 60);
    struct diary second; /* another search, in the same folder */
    assert_int_equal(diary_open(b->arena, folder, 77, 10, false, &second, &b->e), -1);
    diary_close(&second);
    assert_non_null(strstr(b->e.text, "another search is at work"));
    b->run[23].s.fitness = 5; /* a batch that is made again counts as the last line says */
    OK(diary_add(&d, 20, b->run + 20, 10, &b->e));
    diary_close(&d);
    OK(diary_open(b->arena, folder, 77, 10, true, &d, &b->e));
    assert_int_equal(d.n, 60);
    for (int64_t i = 0; i < 60; i++) assert_true(same_run(&d.run[i], &b->run[i]));
    diary_close(&d);
    assert_int_equal(diary_open(b->arena, folder, 78, 10, true, &d, &b->e), -1);
    diary_close(&d);
    assert_non_null(strstr(b->e.text, "other settings"));
    OK(file_remove_tree(folder, &b->e));
    close_bench(b);
}

static void editions_of_a_title_are_one(void **state)
{
    static const char *const titles[][2] = {{"Song (2011 Remaster)", "song"},
                                            {"  Song [Radio Edit]  ", "song"},
                                            {"Song - Remastered 2009", "song"},
                                            {"Song (Live)", "song (live)"},
                                            {"Song - Part 2", "song - part 2"},
                                            {"(Mix) Song", "song"},
                                            {"", ""},
                                            {"Song (unclosed remix", "song (unclosed remix"},
                                            {"A-B", "a-b"}};
    char room[64];
    (void)state;
    for (size_t i = 0; i < COUNT(titles); i++) {
        playlist_clean(titles[i][0], room);
        assert_string_equal(room, titles[i][1]);
    }
}

static void old_reports_are_doubted(void **state)
{
    static const char *const bad[][2] = {
        {"{}", "no report of a search: it has no playlists"},
        {"{\"playlists\":[{\"id\":1,\"name\":\"a\"}]}",
         "playlist 1 has no id, no name or no songs"},
        {"{\"playlists\":[{\"id\":0,\"name\":\"a\",\"songs\":[]}]}",
         "playlist 1 has no id, no name or no songs"},
        {"{\"playlists\":[{\"id\":1,\"name\":\"a\",\"songs\":[]},{\"id\":1,\"name\":\"b\","
         "\"songs\":[]}]}",
         "two playlists have the id 1"}};
    struct bench bench, *b = &bench;
    struct playlist_old old;
    (void)state;
    open_bench(b);
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(playlist_old_take(b->arena, str_of(bad[i][0]), &old, &b->e), -1);
        assert_string_equal(b->e.text, bad[i][1]);
    }
    OK(playlist_old_take(b->arena,
                         str_of("{\"playlists\":[{\"id\":4,\"name\":\"a\",\"file\":\"a.m3u8\","
                                "\"songs\":[{\"id\":\"x\"},{\"row\":3},7]}]}"),
                         &old, &b->e));
    assert_int_equal(old.list[0].n, 3);
    close_bench(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fitness_is_the_golden_one),
        cmocka_unit_test(geometry_counts_when_it_is_weighed),
        cmocka_unit_test(songs_are_drawn_by_genre),
        cmocka_unit_test(parameters_stay_in_their_ranges),
        cmocka_unit_test(a_search_can_be_repeated_and_resumed),
        cmocka_unit_test(the_winner_is_made_again),
        cmocka_unit_test(a_search_stops_as_asked),
        cmocka_unit_test(a_failed_batch_costs_itself),
        cmocka_unit_test(other_runs_are_made_again),
        cmocka_unit_test(matches_are_the_best),
        cmocka_unit_test(playlists_are_chosen_by_genre),
        cmocka_unit_test(the_journal_survives_being_cut),
        cmocka_unit_test(editions_of_a_title_are_one),
        cmocka_unit_test(old_reports_are_doubted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
