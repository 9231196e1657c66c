/* From the clusters of a search's best run to playlists that people see: duplicates out, a choice
 * of them, names, files. */
#ifndef JOBS_PLAYLIST_H
#define JOBS_PLAYLIST_H

#include "jobs/audiomuse.h"
#include "jobs/playlist_old.h"
#include "jobs/songs.h"
#include "load/numbers.h"

struct playlist {
    int64_t id;              /* kept from search to search, from 1 */
    const char *name, *file; /* file: NAME.m3u8 */
    int32_t list, genre;     /* list: of struct evolve_playlists */
    int32_t *song;           /* [n] */
    int64_t n;
    bool known;         /* it was there before */
    int64_t came, went; /* songs, if it was */
};

struct playlists {
    struct playlist *list;
    int64_t n, found;        /* found: clusters that had enough songs */
    int64_t repeated, alike; /* songs left out: same title and artist, nearly the same sound */
    const int32_t *song;     /* [n_songs], rising: all that were in a cluster's list */
    const struct songs_text *text; /* [n_songs] */
    int64_t n_songs;
};

struct playlist_options {
    int64_t top_n, min_songs;
    double duplicates, name_least;
    uint64_t seed;
};

/* playlist_make: everything lives in a. old: what an earlier search wrote, or NULL. */
int playlist_make(struct arena *a, const struct songs *songs, const struct numbers *numbers,
                  const struct evolve_playlists *found, const struct playlist_old *old,
                  const struct playlist_options *o, struct playlists *out, struct err *e);
const struct songs_text *playlist_text(const struct playlists *p, int32_t song);

/* playlist_write: every playlist as FOLDER/FILE. */
int playlist_write(struct arena *a, const struct playlists *p, const char *folder, struct err *e);

/* playlist_clean: a title without its case and what names an edition: "Song (2011 Remaster)" is
 * "song". room: as long as the title and one more. */
void playlist_clean(const char *title, char *room);

#endif
