#include "jobs/audiomuse.h"
#include "base/env.h"
#include "base/file.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

#define FILE_MOST   (1 << 20)
#define TUNE(field) offsetof(struct audiomuse, field)

enum { OF_KMEANS = 1, OF_GMM = 2, OF_SPECTRAL = 4 };

/* Its variables (config.py): the option each is, or where its number goes. methods: 0, or the ones
 * for which alone it counts. Later rows of one option are older names, which count less. */
/* clang-format off */
static const struct setting {
    const char *name, *option;
    size_t tune;
    int methods;
} settings[] = {
    {"CLUSTERING_RUNS",                        "search", 0, 0},
    {"CLUSTER_ALGORITHM",                      "method", 0, 0},
    {"USE_GPU_CLUSTERING",                     "device", 0, 0},
    {"ENABLE_CLUSTERING_EMBEDDINGS",           "features", 0, 0},
    {"CLUSTERING_SUBSET_SONGS",                "subset", 0, 0},
    {"ITERATIONS_PER_BATCH_JOB",               "batch", 0, 0},
    {"CLUSTERING_EARLY_STOP_BATCHES",          "stop-after", 0, 0},
    {"CLUSTERING_AUTO_CALIBRATION",            "calibrate", 0, 0},
    {"CLUSTERING_MAX_PLAYLIST_SONGS",          "max-playlist", 0, 0},
    {"MAX_SONGS_PER_CLUSTER",                  "max-songs", 0, 0},
    {"MAX_SONGS_PER_ARTIST",                   "per-artist", 0, 0},
    {"MAX_DISTANCE",                           "max-distance", 0, 0},
    {"MIN_PLAYLIST_SIZE_FOR_TOP_N",            "min-songs", 0, 0},
    {"TOP_N_CLUSTERING_PLAYLIST",              "top-n", 0, 0},
    {"MIN_CLUSTERING_TOP",                     "top-n", 0, 0},
    {"TOP_N_PLAYLISTS",                        "top-n", 0, 0},
    {"NUM_CLUSTERS_MIN",                       "clusters-min", 0, OF_KMEANS},
    {"NUM_CLUSTERS_MAX",                       "clusters-max", 0, OF_KMEANS},
    {"GMM_N_COMPONENTS_MIN",                   "clusters-min", 0, OF_GMM},
    {"GMM_N_COMPONENTS_MAX",                   "clusters-max", 0, OF_GMM},
    {"SPECTRAL_N_CLUSTERS_MIN",                "clusters-min", 0, OF_SPECTRAL},
    {"SPECTRAL_N_CLUSTERS_MAX",                "clusters-max", 0, OF_SPECTRAL},
    {"SPECTRAL_N_NEIGHBORS",                   NULL, TUNE(neighbours), 0},
    {"GMM_COVARIANCE_TYPE",                    "gmm-covariance", 0, 0},
    {"DBSCAN_EPS_MIN",                         "eps-min", 0, 0},
    {"DBSCAN_EPS_MAX",                         "eps-max", 0, 0},
    {"DBSCAN_MIN_SAMPLES_MIN",                 "min-samples-min", 0, 0},
    {"DBSCAN_MIN_SAMPLES_MAX",                 "min-samples-max", 0, 0},
    {"PCA_COMPONENTS_MIN",                     "pca-min", 0, 0},
    {"PCA_COMPONENTS_MAX",                     "pca-max", 0, 0},
    {"CLUSTERING_TOP_N_ELITES",                "elites", 0, 0},
    {"CLUSTERING_EXPLOITATION_START_FRACTION", "explore", 0, 0},
    {"CLUSTERING_EXPLOITATION_PROBABILITY",    "exploit", 0, 0},
    {"CLUSTERING_MUTATION_INT_ABS_DELTA",      "mutate-int", 0, 0},
    {"CLUSTERING_MUTATION_FLOAT_ABS_DELTA",    "mutate-float", 0, 0},
    {"SAMPLING_PERCENTAGE_CHANGE_PER_RUN",     "churn", 0, 0},
    {"STRATIFIED_SAMPLING_TARGET_PERCENTILE",  "genre-percentile", 0, 0},
    {"MIN_SONGS_PER_GENRE_FOR_STRATIFICATION", "genre-songs", 0, 0},
    {"DUPLICATE_DISTANCE_THRESHOLD_COSINE",    "duplicates", 0, 0},
    {"TOP_N_MOODS",                            "top-moods", 0, 0},
    {"SCORE_WEIGHT_DIVERSITY",                 "weight-mood-diversity", 0, 0},
    {"SCORE_WEIGHT_PURITY",                    "weight-mood-purity", 0, 0},
    {"SCORE_WEIGHT_OTHER_FEATURE_DIVERSITY",   "weight-feature-diversity", 0, 0},
    {"SCORE_WEIGHT_OTHER_FEATURE_PURITY",      "weight-feature-purity", 0, 0},
    {"SCORE_WEIGHT_SILHOUETTE",                "weight-silhouette", 0, 0},
    {"SCORE_WEIGHT_DAVIES_BOULDIN",            "weight-davies-bouldin", 0, 0},
    {"SCORE_WEIGHT_CALINSKI_HARABASZ",         "weight-calinski-harabasz", 0, 0},
    {"TOP_K_MOODS_FOR_PURITY_CALCULATION",     NULL, TUNE(purity_moods), 0},
    {"OTHER_FEATURE_PREDOMINANCE_THRESHOLD_FOR_PURITY", NULL, TUNE(feature_least), 0},
    {"MOOD_SCORE_MATCH_THRESHOLD",             NULL, TUNE(name_least), 0},
    {"TEMPO_MIN_BPM",                          NULL, TUNE(songs.tempo_least), 0},
    {"TEMPO_MAX_BPM",                          NULL, TUNE(songs.tempo_most), 0},
    {"ENERGY_MIN",                             NULL, TUNE(songs.energy_least), 0},
    {"ENERGY_MAX",                             NULL, TUNE(songs.energy_most), 0},
    {"LN_MOOD_DIVERSITY_MEAN",                 NULL, TUNE(mean[0][EVOLVE_MOOD_DIVERSITY]), 0},
    {"LN_MOOD_DIVERSITY_SD",                   NULL, TUNE(deviation[0][EVOLVE_MOOD_DIVERSITY]), 0},
    {"LN_MOOD_DIVERSITY_EMBEDDING_MEAN",       NULL, TUNE(mean[1][EVOLVE_MOOD_DIVERSITY]), 0},
    {"LN_MOOD_DIVERSITY_EMBEDDING_SD",         NULL, TUNE(deviation[1][EVOLVE_MOOD_DIVERSITY]), 0},
    {"LN_MOOD_PURITY_MEAN",                    NULL, TUNE(mean[0][EVOLVE_MOOD_PURITY]), 0},
    {"LN_MOOD_PURITY_SD",                      NULL, TUNE(deviation[0][EVOLVE_MOOD_PURITY]), 0},
    {"LN_MOOD_PURITY_EMBEDDING_MEAN",          NULL, TUNE(mean[1][EVOLVE_MOOD_PURITY]), 0},
    {"LN_MOOD_PURITY_EMBEDDING_SD",            NULL, TUNE(deviation[1][EVOLVE_MOOD_PURITY]), 0},
    {"LN_OTHER_FEAT_DIV_MEAN",                 NULL, TUNE(mean[0][EVOLVE_FEATURE_DIVERSITY]), 0},
    {"LN_OTHER_FEAT_DIV_SD",                   NULL, TUNE(deviation[0][EVOLVE_FEATURE_DIVERSITY]), 0},
    {"LN_OTHER_FEAT_PUR_MEAN",                 NULL, TUNE(mean[0][EVOLVE_FEATURE_PURITY]), 0},
    {"LN_OTHER_FEAT_PUR_SD",                   NULL, TUNE(deviation[0][EVOLVE_FEATURE_PURITY]), 0},
};
/* clang-format on */

void audiomuse_defaults(struct audiomuse *m)
{
    *m = (struct audiomuse){
        .songs = {.tempo_least = 40, .tempo_most = 200, .energy_least = 0.30, .energy_most = 0.95},
        .mean = {{0.9995, 5.8679, 1.5, 8.84}, {-0.101, 0.673, 1.5, 8.84}},
        .deviation = {{0.3541, 1.1557, 0.46, 0.07}, {0.245, 1.063, 0.46, 0.07}},
        .feature_least = 0.3,
        .name_least = 0.5,
        .purity_moods = 3,
        .neighbours = 20};
}

/* ---- one setting ------------------------------------------------------------------------------
 */

struct reading {
    const struct hunt *h;
    const char *path;
    struct audiomuse *m;
    struct strbuf *used;
    bool set[COUNT(settings)];
};

static bool for_method(const struct setting *s, int method)
{
    if (s->methods == 0) return true;
    if (method == CLUSTER_GMM) return s->methods & OF_GMM;
    if (method == CLUSTER_SPECTRAL) return s->methods & OF_SPECTRAL;
    return s->methods & OF_KMEANS;
}

/* What our options call a value of theirs. */
static const char *translate(const char *name, const char *value, char room[16])
{
    bool truth = strcmp(name, "USE_GPU_CLUSTERING") == 0 ||
                 strcmp(name, "ENABLE_CLUSTERING_EMBEDDINGS") == 0 ||
                 strcmp(name, "CLUSTERING_AUTO_CALIBRATION") == 0;
    if (!truth && strcmp(name, "CLUSTER_ALGORITHM") && strcmp(name, "GMM_COVARIANCE_TYPE"))
        return value;
    size_t n = strlen(value);
    if (n >= 16) return value;
    for (size_t i = 0; i <= n; i++) room[i] = (char)tolower((unsigned char)value[i]);
    if (!truth) return room;
    bool yes = strcmp(room, "true") == 0;
    if (name[0] == 'U') return yes ? "auto" : "cpu";
    if (name[0] == 'E') yes = !yes;
    return yes ? "true" : "false";
}

static int take(struct reading *r, const struct setting *s, const char *value, struct err *e)
{
    char room[16];
    if (r->set[s - settings] || !for_method(s, r->h->o->method)) return 0;
    if (!s->option) {
        double x;
        if (!str_double(value, &x))
            return err_set(e, E_USAGE, "%s=%.40s in %s is no number", s->name, value, r->path);
        if (s->tune == TUNE(purity_moods) || s->tune == TUNE(neighbours)) {
            if (x < 1 || x > 1000 || x != floor(x))
                return err_set(e, E_USAGE, "%s=%.40s in %s is no whole number from 1 to 1000",
                               s->name, value, r->path);
            *(int64_t *)(void *)((char *)r->m + s->tune) = (int64_t)x;
        } else {
            *(double *)(void *)((char *)r->m + s->tune) = x;
        }
    } else {
        const struct hunt *h = r->h;
        if (h->given[opt_find(h->rows, h->n_rows, s->option) - h->rows]) return 0;
        const char *text = translate(s->name, value, room);
        if (!(text = arena_text(h->a, text, strlen(text), e))) return -1;
        if (opt_set(h->rows, h->n_rows, s->option, text, h->o, e))
            return err_note(e, "%s of %s", s->name, r->path);
    }
    for (size_t i = 0; i < COUNT(settings); i++) /* older names of one option come later */
        r->set[i] |= &settings[i] == s || (s->option && settings[i].option && s->methods == 0 &&
                                           strcmp(settings[i].option, s->option) == 0);
    strbuf_format(r->used, "%s%s=%s", r->used->n ? " " : "", s->name, value);
    return 0;
}

/* ---- where they stand -------------------------------------------------------------------------
 */

struct line {
    struct str name;
    const char *value;
};

/* NAME=VALUE, also "export NAME='VALUE'", "NAME: VALUE" and "- NAME=VALUE" of a compose file; the
 * rest is passed over. */
static int split_line(struct arena *a, struct str text, struct line *out, struct err *e)
{
    text = str_trim(text);
    *out = (struct line){{NULL, 0}, NULL};
    if (text.n > 2 && text.p[0] == '-' && text.p[1] == ' ')
        text = str_trim((struct str){text.p + 2, text.n - 2});
    if (text.n > 7 && memcmp(text.p, "export ", 7) == 0)
        text = str_trim((struct str){text.p + 7, text.n - 7});
    size_t n = 0;
    while (n < text.n && (isalnum((unsigned char)text.p[n]) || text.p[n] == '_')) n++;
    if (n == 0 || n == text.n || (text.p[n] != '=' && text.p[n] != ':')) return 0;
    struct str value = str_trim((struct str){text.p + n + 1, text.n - n - 1});
    if (value.n >= 2 && (value.p[0] == '"' || value.p[0] == '\'')) {
        const char *end = memchr(value.p + 1, value.p[0], value.n - 1);
        if (end) value = (struct str){value.p + 1, (size_t)(end - value.p) - 1};
    } else {
        for (size_t i = 1; i < value.n; i++) /* a remark behind it */
            if (value.p[i] == '#' && value.p[i - 1] == ' ') value.n = i;
        value = str_trim(value);
    }
    out->name = (struct str){text.p, n};
    return (out->value = arena_text(a, value.p, value.n, e)) ? 0 : -1;
}

static int read_file(struct reading *r, struct line **lines, size_t *n, struct err *e)
{
    struct str text, line;
    size_t most = 1;
    TRY(file_read(r->h->a, r->path, FILE_MOST, &text, e));
    for (size_t i = 0; i < text.n; i++) most += text.p[i] == '\n';
    if (!(*lines = ARENA_NEW(r->h->a, struct line, most, e))) return -1;
    for (*n = 0; str_line(&text, &line);) {
        TRY(split_line(r->h->a, line, &(*lines)[*n], e));
        *n += (*lines)[*n].value != NULL;
    }
    return 0;
}

int audiomuse_read(const struct hunt *h, struct audiomuse *m, struct strbuf *used, struct err *e)
{
    struct reading r = {.h = h, .path = h->o->s.env, .m = m, .used = used};
    struct line *lines = NULL;
    size_t n_lines = 0;
    bool environment = strcmp(r.path, "-") == 0;
    if (environment)
        r.path = "the environment";
    else
        TRY(read_file(&r, &lines, &n_lines, e));
    /* The method first: which ranges count depends on it. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < COUNT(settings); i++) {
            const char *value = environment ? env_foreign(settings[i].name) : NULL;
            if ((strcmp(settings[i].name, "CLUSTER_ALGORITHM") == 0) != (pass == 0)) continue;
            for (size_t l = 0; l < n_lines; l++) /* the last one counts, as in a shell */
                if (str_eq(lines[l].name, settings[i].name)) value = lines[l].value;
            if (value && *value) TRY(take(&r, &settings[i], value, e));
        }
    }
    return 0;
}
