/* What an earlier search reported: its playlists, by number, name and songs. */
#ifndef JOBS_PLAYLIST_OLD_H
#define JOBS_PLAYLIST_OLD_H

#include "base/file.h"

struct playlist_old_list {
    int64_t id;
    const char *name;
    uint64_t *song; /* [n], rising: keys of its songs */
    int64_t n;
};

struct playlist_old {
    struct playlist_old_list *list;
    int64_t n;
    double *centre; /* [clusters][columns] of its best run; NULL if it does not tell */
    int64_t clusters, columns, components;
};

/* playlist_old_read: report.json. playlist_old_take: the same from memory. Errors: E_IO; E_INPUT if
 * it is no report of a search. */
int playlist_old_read(struct arena *a, const char *path, struct playlist_old *out, struct err *e);
int playlist_old_take(struct arena *a, struct str text, struct playlist_old *out, struct err *e);

/* playlist_old_key: a number for a song: of its id, else its path, else title and artist, else its
 * row. Texts are never NULL. */
uint64_t playlist_old_key(const char *id, const char *path, const char *title, const char *artist,
                          int64_t row);
/* playlist_old_sort: such keys rising, as a list's songs are. */
void playlist_old_sort(uint64_t *key, int64_t n);

#endif
