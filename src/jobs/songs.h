/* What is known of the songs of a library: a table with a row per song, in the order of the rows of
 * numbers. AudioMuse-AI's table `score`, exported as it is, is one.
 *
 * Columns, all but the moods may be absent: item_id, title, author, file_path, tempo, energy,
 * mood_vector ("rock:0.56,pop:0.54"), other_features ("danceable:0.52,.."). Where there is no
 * mood_vector or other_features, columns named like a label are looked for. */
#ifndef JOBS_SONGS_H
#define JOBS_SONGS_H

#include "cluster/evolve.h"

struct songs_options {
    int64_t top_moods; /* labels that are read: the first so many of 50; 0: all */
    double tempo_least, tempo_most, energy_least, energy_most;
};

struct songs {
    struct evolve_songs all;      /* in the arena */
    const char *const *mood_name; /* [all.moods] */
    const char *const *list_name; /* [all.n_mood]: of a mood that decides */
    int64_t without;              /* songs that have no moods, and take no part */
    const char *path;
};

/* songs_read: of n songs. Errors: E_IO; E_INPUT (other number of rows, no moods at all, a number
 * that is none, with the line). */
int songs_read(struct arena *a, const char *path, int64_t n, const struct songs_options *o,
               struct songs *out, struct err *e);

struct songs_text { /* never NULL; "" where it is not known */
    const char *id, *title, *artist, *path;
};

/* songs_texts: reads the table again for what songs [n] (rising) are called. */
int songs_texts(struct arena *a, const struct songs *s, const int32_t *song, int64_t n,
                struct songs_text *out, struct err *e);

/* songs_feature_name, songs_genre_name: of index 0...; songs_genre_name(-1) is "other". */
const char *songs_feature_name(int64_t i);
const char *songs_genre_name(int64_t i);

#endif
