/* AudioMuse-AI's settings, from its environment variables or a file of NAME=VALUE. */
#ifndef JOBS_AUDIOMUSE_H
#define JOBS_AUDIOMUSE_H

#include "jobs/hunt.h"
#include "jobs/songs.h"

struct audiomuse { /* what has no option of ours */
    struct songs_options songs;
    double mean[2][4], deviation[2][4]; /* of moods' and features' logarithms; [1]: of embeddings */
    double feature_least, name_least;   /* that a playlist has a feature; that it is named by it */
    int64_t purity_moods, neighbours;
};

/* audiomuse_defaults: as its config.py has them. */
void audiomuse_defaults(struct audiomuse *m);

/* audiomuse_read: from --audiomuse-env of h->o. Sets every option of h->o that was not given, and
 * *m. used: names that were taken, separated by blanks, cut if there is no room. Text stays in
 * h->a. Errors: E_IO; E_USAGE with name and value. */
int audiomuse_read(const struct hunt *h, struct audiomuse *m, struct strbuf *used, struct err *e);

#endif
