#include "jobs/playlist_old.h"
#include "base/json.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BYTES    (64u << 20)
#define MOST_LISTS    4096
#define MOST_CLUSTERS 100000
#define MOST_COLUMNS  2048
#define MOST_NAME     400 /* bytes, as playlist.c's */

static uint64_t add(uint64_t hash, const char *text)
{
    static const uint8_t end = 0xff;
    return str_hash(str_hash(hash, text, strlen(text)), &end, 1);
}

uint64_t playlist_old_key(const char *id, const char *path, const char *title, const char *artist,
                          int64_t row)
{
    uint64_t hash = STR_HASH;
    if (*id) return add(add(hash, "id"), id);
    if (*path) return add(add(hash, "path"), path);
    if (*title) return add(add(add(hash, "title"), title), artist);
    return (uint64_t)row;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

void playlist_old_sort(uint64_t *key, int64_t n)
{
    if (n) qsort(key, (size_t)n, sizeof *key, by_key);
}

/* A text of an object, "" if there is none; NUL bytes end it. A control character is a blank: names
 * are shown, and are lines of playlists. */
static int text_of(struct arena *a, const struct json *j, const char *key, const char **out,
                   struct err *e)
{
    struct str text = json_text(json_key(j, key));
    *out = "";
    if (!text.p) return 0;
    char *copy = arena_text(a, text.p, text.n, e);
    if (!copy) return -1;
    for (char *p = copy; *p; p++)
        if ((uint8_t)*p < 0x20 || *p == 0x7f) *p = ' ';
    *out = copy;
    return 0;
}

static int take_songs(struct arena *a, const struct json *songs, struct playlist_old_list *l,
                      struct err *e)
{
    l->n = (int64_t)json_count(songs);
    if (!(l->song = ARENA_NEW(a, uint64_t, (size_t)l->n, e))) return -1;
    for (int64_t i = 0; i < l->n; i++) {
        struct arena_mark mark = arena_here(a);
        const struct json *s = json_at(songs, (size_t)i);
        const char *id, *path, *title, *artist;
        TRY(text_of(a, s, "id", &id, e));
        TRY(text_of(a, s, "path", &path, e));
        TRY(text_of(a, s, "title", &title, e));
        TRY(text_of(a, s, "artist", &artist, e));
        l->song[i] = playlist_old_key(id, path, title, artist, json_int(json_key(s, "row"), -1));
        arena_rewind(a, mark);
    }
    playlist_old_sort(l->song, l->n);
    return 0;
}

static int take_lists(struct arena *a, const struct json *lists, struct playlist_old *out,
                      struct err *e)
{
    size_t n = json_count(lists);
    if (!json_is_array(lists))
        return err_set(e, E_INPUT, "no report of a search: it has no playlists");
    if (n > MOST_LISTS) return err_set(e, E_INPUT, "%zu playlists; %d can be kept", n, MOST_LISTS);
    if (!(out->list = ARENA_NEW(a, struct playlist_old_list, n, e))) return -1;
    for (size_t i = 0; i < n; i++) {
        const struct json *j = json_at(lists, i), *songs = json_key(j, "songs");
        struct playlist_old_list *l = &out->list[out->n];
        l->id = json_int(json_key(j, "id"), -1);
        TRY(text_of(a, j, "name", &l->name, e));
        if (l->id < 1 || l->id > INT32_MAX || !*l->name || !json_is_array(songs))
            return err_set(e, E_INPUT, "playlist %zu has no id, no name or no songs", i + 1);
        if (strlen(l->name) > MOST_NAME)
            return err_set(e, E_INPUT,
                           "playlist %zu has a name of %zu bytes, at most %d can be right", i + 1,
                           strlen(l->name), MOST_NAME);
        for (int64_t k = 0; k < out->n; k++)
            if (out->list[k].id == l->id)
                return err_set(e, E_INPUT, "two playlists have the id %lld", (long long)l->id);
        TRY(take_songs(a, songs, l, e));
        out->n++;
    }
    return 0;
}

/* Rows of numbers, all as long as the first. */
static int take_centres(struct arena *a, const struct json *rows, struct playlist_old *out,
                        struct err *e)
{
    size_t n = json_count(rows), columns = json_count(json_at(rows, 0));
    if (!json_is_array(rows) || n == 0) return 0;
    if (n > MOST_CLUSTERS || columns < 1 || columns > MOST_COLUMNS)
        return err_set(
            e, E_INPUT, "%zu cluster%s of %zu number%s; up to %d of up to %d are possible", n,
            str_s((int64_t)n), columns, str_s((int64_t)columns), MOST_CLUSTERS, MOST_COLUMNS);
    if (!(out->centre = ARENA_NEW(a, double, n *columns, e))) return -1;
    for (size_t i = 0; i < n * columns; i++) {
        const struct json *row = json_at(rows, i / columns);
        out->centre[i] = json_number(json_at(row, i % columns), NAN);
        if (json_count(row) != columns || !(fabs(out->centre[i]) <= 1e300))
            return err_set(e, E_INPUT, "cluster %zu is no row of %zu number%s", i / columns + 1,
                           columns, str_s((int64_t)columns));
    }
    out->clusters = (int64_t)n;
    out->columns = (int64_t)columns;
    return 0;
}

int playlist_old_take(struct arena *a, struct str text, struct playlist_old *out, struct err *e)
{
    struct json_doc *doc;
    *out = (struct playlist_old){0};
    TRY(json_open(a, text.p, text.n, &doc, e));
    int rc = take_lists(a, json_key(json_root(doc), "playlists"), out, e);
    if (rc == 0) rc = take_centres(a, json_key(json_root(doc), "clusters"), out, e);
    const struct json *parameters = json_key(json_root(doc), "parameters");
    out->components = MAX(1, MIN(json_int(json_key(parameters, "components"), 1), MOST_COLUMNS));
    json_close(&doc);
    return rc;
}

int playlist_old_read(struct arena *a, const char *path, struct playlist_old *out, struct err *e)
{
    struct str text;
    TRY(file_read(a, path, MOST_BYTES, &text, e));
    return playlist_old_take(a, text, out, e) ? err_note(e, "%s", path) : 0;
}
