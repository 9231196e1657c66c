/* AudioMuse-AI's settings, from its environment variables or a file of NAME=VALUE. */
#ifndef JOBS_AUDIOMUSE_H
#define JOBS_AUDIOMUSE_H

#include "jobs/cluster_options.h"
#include "jobs/songs.h"

struct audiomuse { /* what has no option of ours */
    struct songs_options songs;
    double mean[2][4], deviation[2][4]; /* of moods' and features' logarithms; [1]: of embeddings */
    double feature_least, name_least;   /* that a playlist has a feature; that it is named by it */
    int64_t purity_moods, neighbours;
};

/* audiomuse_defaults: as its config.py has them. */
void audiomuse_defaults(struct audiomuse *m);

/* audiomuse_read: path "-" is the environment. Sets every option whose value is its default, and
 * *m. used: names that were taken, separated by blanks, cut if there is no room. Text stays in a.
 * Errors: E_IO; E_USAGE with name and value. */
int audiomuse_read(struct arena *a, const char *path, const struct opt_row *rows, size_t n,
                   struct cluster_flags *o, struct audiomuse *m, struct strbuf *used,
                   struct err *e);

#endif
