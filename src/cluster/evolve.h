/* The search for playlists: thousands of clusterings of samples of a library, judged by what is
 * known of the songs, the best of them varied and tried again. Follows what AudioMuse-AI documents
 * of its own search (docs/from-audiomuse.md says where not).
 *
 *   evolve_draw   which songs a run sees, and with which parameters
 *   evolve_fit    the clustering of a run
 *   evolve_score  playlists out of clusters, and their fitness
 *   evolve        batches of runs, the elite, when to stop
 *   evolve_pick   which playlists of the winner are shown, and which of them were there before
 *
 * The library is standardised, turned into its principal components and kept so: the first c
 * columns are its PCA to c components, for every c. A run copies the rows and columns it needs; no
 * step of a run depends on the size of the library. All random numbers come from (seed, batch,
 * run), so any batch can be made again alone. */
#ifndef CLUSTER_EVOLVE_H
#define CLUSTER_EVOLVE_H

#include "cluster/cluster.h"

enum evolve_metric {
    EVOLVE_MOOD_DIVERSITY,
    EVOLVE_MOOD_PURITY,
    EVOLVE_FEATURE_DIVERSITY,
    EVOLVE_FEATURE_PURITY,
    EVOLVE_SILHOUETTE,
    EVOLVE_DAVIES_BOULDIN,
    EVOLVE_CALINSKI_HARABASZ,
    EVOLVE_METRICS
};

/* A label that counts as a mood: the column of its value in a centre, and in a song (-1: none). */
struct evolve_mood {
    int32_t centre, song;
};

struct evolve_songs { /* what is known of the library's songs; the caller's */
    int64_t n;
    int32_t moods, features, columns; /* columns = 2 + moods + features */
    const float *value;               /* [n][columns]: tempo and energy in 0..1, moods, features */
    const struct evolve_mood *mood;   /* [n_mood], in the order that decides between equals */
    int32_t n_mood;
    const int32_t *artist; /* [n] in 0..artists-1, or -1: not known, never too many */
    int32_t artists;
    const int16_t *genre; /* [n] in 0..genres-1; -1: another one; -2: the song takes no part */
    int32_t genres;
};

struct evolve_range {
    int64_t least, most;
};

struct evolve_options {
    int method; /* enum cluster_method, or EVOLVE_MIXED */
    int64_t runs, batch, subset;
    struct evolve_range clusters, components, min_samples;
    double eps_least, eps_most;
    int64_t starts; /* of k-means; 0: 10, of a mixture 3 */
    enum gmm_kind covariance;
    int64_t neighbours;                                     /* spectral */
    double max_distance;                                    /* of the largest distance of a run */
    int64_t per_artist, max_songs, min_songs, top_n, split; /* 0: no limit; split: larger clusters
                                                               of dbscan are cut */
    double weight[EVOLVE_METRICS];
    double mean[4], deviation[4]; /* of the logarithms of the first four metrics */
    double feature_least;         /* a feature below it is nothing a playlist has */
    int64_t top_moods;            /* of a centre, that count for purity */
    double explore, exploit; /* part of the runs that is drawn freely; chance to vary an elite */
    int64_t elites, vary_count;
    double vary_number, churn;
    double percentile;   /* of the genres' sizes: how many songs of each are wanted */
    int64_t genre_songs; /* at least */
    bool calibrate;
    int64_t stop_batches; /* without a better run; 0: never */
    double stop_seconds;  /* 0: never */
    uint64_t seed;
    const double
        *begin; /* NULL, or [begin_clusters][columns]: run 0 is k-means from these centres */
    int64_t begin_clusters, begin_components;
};
#define EVOLVE_MIXED  (CLUSTER_SPECTRAL + 1)
#define EVOLVE_FAILED (-1.0) /* fitness of a run that gave nothing */

struct evolve_candidate {
    int64_t run;
    int32_t method, components, clusters, min_samples, state; /* components 0: all; clusters 0: none
                                                                 of them, its batch was lost */
    double eps;
};

struct evolve_score {
    double fitness, metric[EVOLVE_METRICS];
    int32_t playlists, full; /* full: of min_songs or more */
    int64_t songs;
};

struct evolve_run {
    struct evolve_candidate c;
    struct evolve_score s;
};

struct evolve_watch {
    struct work_watch work; /* progress counts runs */
    /* done: a batch is finished, and not all of it was known; -1 ends the search. begun: the first
     * run of it. */
    int (*done)(void *ctx, int64_t begun, const struct evolve_run *run, int64_t count,
                struct err *e);
    void (*note)(void *ctx, const char *line);
};

struct evolve_result {
    struct evolve_run best;
    int64_t runs, failed;         /* finished; failed of them */
    int64_t made, lost;           /* not known before; of these, of batches that failed */
    double *history;              /* [runs] fitness */
    const char *stop;             /* why it ended */
    struct evolve_range clusters; /* after calibration */
    double eps_least, eps_most, seconds;
};

struct evolve; /* a library made ready */

/* evolve_open: reads the rows; all of it lives in a. Errors: E_INPUT (a bad row, too few songs). */
int evolve_open(struct arena *a, struct engine *engine, const struct evolve_watch *watch,
                const struct scale_source *source, const struct evolve_songs *songs,
                const struct evolve_options *o, struct evolve **out, struct err *e);
void evolve_close(struct evolve **v); /* also after evolve_open failed; harmless on NULL */
/* What fails because of the device is done again, once on the same device opened anew, once on the
 * next one: the search's result is the same. What fails then costs its batch.
 * evolve_brought_back: how often that was done. engine_reason says why. */
int64_t evolve_brought_back(const struct evolve *v);
/* evolve_search: `known` [n_known] runs were finished before; known[i] is run i. Those that are
 * drawn again are taken as they are, others made: also what was lost, and what was varied from
 * elites that are others without the loss. So the result is that of a search that lost nothing. */
int evolve_search(struct evolve *v, const struct evolve_run *known, int64_t n_known,
                  struct evolve_result *out, struct err *e);

struct evolve_list {        /* a playlist */
    int32_t cluster, genre; /* genre: of most of its songs, or -1 */
    int64_t from, to;       /* its songs are song[from .. to), nearest first */
};

struct evolve_playlists {
    struct evolve_list *list;
    int64_t n, clusters;
    int32_t *song;  /* of the library */
    double *centre; /* [n][columns of the songs' values]: means of its cluster */
    float *place;   /* [n][d]: the cluster's centre among the components */
    int64_t d;
    double *middle; /* [clusters][columns]: the clusters' means among the rows as they were read */
    int64_t columns;
    float *plane;        /* [songs of the run][2]: two components, for a picture */
    int32_t *plane_list; /* [songs of the run]: the playlist of each, or -1 */
    int64_t rows;
};

/* evolve_again: makes the winner's playlists (or any run's); they live in a. */
int evolve_again(struct evolve *v, const struct evolve_candidate *c, struct arena *a,
                 struct evolve_score *score, struct evolve_playlists *out, struct err *e);

#endif
