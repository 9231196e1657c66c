#include "jobs/playlist.h"
#include "cluster/evolve_pick.h"
#include "cluster/work.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PI         3.14159265358979323846
#define NAME_MOODS 3
#define NAME_OTHER 2
#define MOOD_LEAST 0.01
#define FILE_MOST  200 /* bytes of a file's name, without its end */
#define SAME_LEAST 0.1 /* of all songs of two playlists: that one is the other's successor */

struct make {
    struct arena *a;
    const struct songs *songs;
    const struct numbers *numbers;
    const struct evolve_playlists *found;
    const struct playlist_old *old;
    const struct playlist_options *o;
    struct playlists *out;
    struct playlist *all; /* [n]: large enough */
    int64_t n;
};

/* ---- songs ------------------------------------------------------------------------------------
 */

static int by_number(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

const struct songs_text *playlist_text(const struct playlists *p, int32_t song)
{
    const int32_t *at = bsearch(&song, p->song, (size_t)p->n_songs, sizeof song, by_number);
    assert(at);
    return &p->text[at - p->song];
}

static int read_texts(struct make *m, struct err *e)
{
    const struct evolve_playlists *f = m->found;
    int64_t n = f->n ? f->list[f->n - 1].to : 0;
    int32_t *song = ARENA_NEW(m->a, int32_t, (size_t)n, e);
    struct songs_text *text = ARENA_NEW(m->a, struct songs_text, (size_t)n, e);
    if (!song || !text) return -1;
    memcpy(song, f->song, (size_t)n * sizeof *song);
    if (n) qsort(song, (size_t)n, sizeof *song, by_number);
    m->out->song = song;
    m->out->text = text;
    m->out->n_songs = n;
    return songs_texts(m->a, m->songs, song, n, text, e);
}

static bool is_edition(const char *p, size_t n)
{
    static const char *const words[] = {"remaster", "explicit", "clean", "radio",
                                        "edit",     "version",  "mix"};
    for (size_t w = 0; w < COUNT(words); w++)
        if (strlen(words[w]) <= n && strncmp(p, words[w], strlen(words[w])) == 0) return true;
    return false;
}

/* Length of what begins at p and names an edition: "(..)" or "[..]" that holds one of the words, or
 * "- word .." to the end; 0: nothing does. */
static size_t edition_at(const char *p)
{
    const char *end = *p == '(' ? strchr(p, ')') : *p == '[' ? strchr(p, ']') : NULL;
    if (end) {
        for (const char *q = p + 1; q < end; q++)
            if (is_edition(q, (size_t)(end - q))) return (size_t)(end - p) + 1;
    } else if (*p == '-') {
        size_t blanks = strspn(p + 1, " ");
        if (is_edition(p + 1 + blanks, strlen(p + 1 + blanks))) return strlen(p);
    }
    return 0;
}

void playlist_clean(const char *title, char *room)
{
    size_t n = 0, skip, length = strlen(title);
    char *lower = room;
    for (size_t i = 0; i <= length; i++) lower[i] = (char)tolower((unsigned char)title[i]);
    for (const char *p = lower; *p; p += skip ? skip : 1) {
        if ((skip = edition_at(p)) == 0) {
            room[n++] = *p; /* never ahead of p */
            continue;
        }
        while (n > 0 && room[n - 1] == ' ') n--;
    }
    while (n > 0 && room[n - 1] == ' ') n--;
    room[n] = 0;
    size_t blanks = strspn(room, " ");
    memmove(room, room + blanks, n - blanks + 1);
}

/* ---- duplicates -------------------------------------------------------------------------------
 */

struct named {
    const char *title; /* cleaned; "" */
    const struct songs_text *text;
    int32_t song;
};

static int by_title(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int c = strcasecmp(x->text->title, y->text->title);
    return c ? c : (x->song > y->song) - (x->song < y->song);
}

/* The same song again, by the title and artist of one before it among those of equal first letters
 * (titles are sorted, so editions of one song stand together). */
static bool is_repeated(const struct named *list, int64_t i)
{
    if (!*list[i].title) return false;
    for (int64_t j = i - 1; j >= 0 && tolower((unsigned char)list[j].text->title[0]) ==
                                          tolower((unsigned char)list[i].text->title[0]);
         j--)
        if (strcmp(list[j].title, list[i].title) == 0 &&
            strcasecmp(list[j].text->artist, list[i].text->artist) == 0)
            return true;
    return false;
}

/* The angle between two rows in half turns; infinite if one of them is 0. */
static double angle(const struct numbers *m, int32_t a, int32_t b, double *room)
{
    double *x = room, *y = room + m->columns, xy = 0, xx = 0, yy = 0;
    numbers_row(m, a, x);
    numbers_row(m, b, y);
    for (int64_t j = 0; j < m->columns; j++) {
        xy += x[j] * y[j];
        xx += x[j] * x[j];
        yy += y[j] * y[j];
    }
    if (!(xx > 0 && yy > 0)) return INFINITY;
    return acos(fmin(fmax(xy / sqrt(xx) / sqrt(yy), -1), 1)) / PI;
}

static int take_list(struct make *m, const struct evolve_list *l, struct playlist *to,
                     struct err *e)
{
    int64_t n = l->to - l->from, last = -1;
    if (!(to->song = ARENA_NEW(m->a, int32_t, (size_t)n, e))) return -1;
    struct arena_mark mark = arena_here(m->a);
    struct named *list = ARENA_NEW(m->a, struct named, (size_t)n, e);
    double *room = ARENA_NEW(m->a, double, (size_t)(2 * m->numbers->columns), e);
    if (!list || !room) return -1;
    for (int64_t i = 0; i < n; i++) {
        const struct songs_text *text = playlist_text(m->out, m->found->song[l->from + i]);
        char *title = ARENA_NEW(m->a, char, strlen(text->title) + 1, e);
        if (!title) return -1;
        playlist_clean(text->title, title);
        list[i] = (struct named){title, text, m->found->song[l->from + i]};
    }
    if (n) qsort(list, (size_t)n, sizeof *list, by_title);
    for (int64_t i = 0; i < n; i++) {
        if (is_repeated(list, i)) {
            m->out->repeated++;
            continue;
        }
        if (last >= 0 && m->o->duplicates > 0 &&
            angle(m->numbers, list[last].song, list[i].song, room) < m->o->duplicates) {
            m->out->alike++;
            continue;
        }
        to->song[to->n++] = list[i].song;
        last = i;
    }
    arena_rewind(m->a, mark);
    return 0;
}

static int take_lists(struct make *m, struct err *e)
{
    m->all = ARENA_NEW(m->a, struct playlist, (size_t)m->found->n, e);
    if (!m->all) return -1;
    for (int64_t i = 0; i < m->found->n; i++) {
        const struct evolve_list *l = &m->found->list[i];
        struct playlist *to = &m->all[m->n];
        *to = (struct playlist){.list = (int32_t)i, .genre = l->genre};
        if (l->to - l->from < m->o->min_songs) continue;
        TRY(take_list(m, l, to, e));
        m->n += to->n >= m->o->min_songs;
    }
    m->out->found = m->n;
    return 0;
}

/* ---- names ------------------------------------------------------------------------------------
 */

static void add_word(struct strbuf *b, const char *word)
{
    bool start = true;
    if (b->n) strbuf_text(b, "_");
    for (; *word; word++) {
        char c = start ? (char)toupper((unsigned char)*word) : (char)tolower((unsigned char)*word);
        strbuf_add(b, &c, 1);
        start = !isalpha((unsigned char)*word);
    }
}

/* The strongest of n values that is not in used; -1: none. */
static int strongest(const double *value, int n, const bool *used)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (!used[i] && (best < 0 || value[i] > value[best])) best = i;
    return best;
}

/* As AudioMuse-AI names: its moods, its tempo, what other features it has. */
static void describe(const struct make *m, const struct playlist *p, struct strbuf *b)
{
    const struct evolve_songs *all = &m->songs->all;
    const double *centre = m->found->centre + (int64_t)p->list * all->columns;
    const double *mood = centre + 2, *feature = mood + all->moods;
    bool used[64] = {false};
    assert(all->moods <= 64 && all->features <= 64);
    for (int i = 0; i < NAME_MOODS; i++) {
        int best = strongest(mood, all->moods, used);
        if (best < 0 || mood[best] <= MOOD_LEAST) break;
        used[best] = true;
        add_word(b, m->songs->mood_name[best]);
    }
    if (b->n == 0) add_word(b, "Mixed");
    add_word(b, centre[0] < 0.33 ? "Slow" : centre[0] < 0.66 ? "Medium" : "Fast");
    memset(used, 0, sizeof used);
    for (int i = 0; i < NAME_OTHER; i++) {
        int best = strongest(feature, all->features, used);
        if (best < 0 || feature[best] < m->o->name_least) break;
        used[best] = true;
        add_word(b, songs_feature_name(best));
    }
}

static bool is_taken(const struct playlists *p, const char *name)
{
    for (int64_t i = 0; i < p->n; i++)
        if (p->list[i].name && strcasecmp(p->list[i].name, name) == 0) return true;
    return false;
}

static int name_list(struct make *m, struct playlist *p, struct err *e)
{
    char text[400];
    struct strbuf b;
    strbuf_init(&b, text, sizeof text);
    describe(m, p, &b);
    size_t n = b.n;
    for (int i = 1; is_taken(m->out, b.p); i++) {
        b.n = n;
        strbuf_format(&b, "_%d", i);
    }
    return (p->name = arena_text(m->a, b.p, b.n, e)) ? 0 : -1;
}

static bool is_file_taken(const struct playlists *all, const struct playlist *by)
{
    for (const struct playlist *p = all->list; p < by; p++)
        if (strcasecmp(p->file, by->file) == 0) return true;
    return false;
}

/* A name of a file: what a file system or a player could mind is '_', and names that are one then
 * are numbered. */
static int name_file(struct make *m, struct playlist *p, struct err *e)
{
    size_t n = strlen(p->name);
    if (n > FILE_MOST) /* not within a character */
        for (n = FILE_MOST; n > 0 && ((unsigned char)p->name[n] & 0xc0) == 0x80;) n--;
    char *stem = arena_text(m->a, p->name, n, e);
    if (!stem) return -1;
    for (char *c = stem; *c; c++)
        if ((unsigned char)*c < 0x20 || strchr("/\\:*?\"<>|", *c) || (c == stem && *c == '.'))
            *c = '_';
    for (int i = 0; i == 0 || is_file_taken(m->out, p); i++) {
        p->file = i ? arena_format(m->a, e, "%s_%d.m3u8", stem, i)
                    : arena_format(m->a, e, "%s.m3u8", stem);
        if (!p->file) return -1;
    }
    return 0;
}

/* ---- old ones ---------------------------------------------------------------------------------
 */

static int keys_of(struct make *m, const struct playlist *p, uint64_t **out, struct err *e)
{
    uint64_t *key = ARENA_NEW(m->a, uint64_t, (size_t)p->n, e);
    if (!key) return -1;
    for (int64_t i = 0; i < p->n; i++) {
        const struct songs_text *t = playlist_text(m->out, p->song[i]);
        key[i] = playlist_old_key(t->id, t->path, t->title, t->artist, p->song[i]);
    }
    playlist_old_sort(key, p->n);
    *out = key;
    return 0;
}

static int64_t common(const uint64_t *x, int64_t n, const uint64_t *y, int64_t m)
{
    int64_t i = 0, j = 0, both = 0;
    while (i < n && j < m) {
        both += x[i] == y[j];
        if (x[i] < y[j])
            i++;
        else if (x[i] > y[j])
            j++;
        else
            i++, j++;
    }
    return both;
}

/* Which playlist of before each of all is; those come first in out, in the old order. */
static int keep_old(struct make *m, int32_t *out, int64_t *have, struct err *e)
{
    int64_t n = m->n, old = m->old->n;
    struct arena_mark mark = arena_here(m->a);
    double *alike = ARENA_NEW(m->a, double, (size_t)(n * old), e);
    int64_t *both = ARENA_NEW(m->a, int64_t, (size_t)(n * old), e);
    int32_t *match = ARENA_NEW(m->a, int32_t, (size_t)n, e);
    if (!alike || !both || !match) return -1;
    for (int64_t i = 0; i < n; i++) {
        uint64_t *key;
        TRY(keys_of(m, &m->all[i], &key, e));
        for (int64_t j = 0; j < old; j++) {
            const struct playlist_old_list *l = &m->old->list[j];
            int64_t same = common(key, m->all[i].n, l->song, l->n);
            both[i * old + j] = same;
            alike[i * old + j] = (double)same / (double)MAX(m->all[i].n + l->n - same, 1);
        }
    }
    TRY(evolve_pick_match(m->a, alike, n, old, SAME_LEAST, match, e));
    for (int64_t j = 0; j < old; j++) {
        for (int64_t i = 0; i < n; i++) {
            if (match[i] != j) continue;
            struct playlist *p = &m->all[i];
            p->known = true;
            p->id = m->old->list[j].id;
            p->name = m->old->list[j].name;
            p->came = p->n - both[i * old + j];
            p->went = m->old->list[j].n - both[i * old + j];
            out[(*have)++] = (int32_t)i;
        }
    }
    arena_rewind(m->a, mark);
    return 0;
}

/* ---- the choice -------------------------------------------------------------------------------
 */

static int choose(struct make *m, int32_t *out, int64_t have, int64_t *n, struct err *e)
{
    const struct evolve_songs *all = &m->songs->all;
    struct evolve_choice c = {.n = m->n, .d = m->found->d, .genres = all->genres};
    const float **place = ARENA_NEW(m->a, const float *, (size_t)m->n, e);
    int32_t *genre = ARENA_NEW(m->a, int32_t, (size_t)m->n, e);
    int64_t *size = ARENA_NEW(m->a, int64_t, (size_t)m->n, e);
    int64_t *songs = ARENA_NEW(m->a, int64_t, (size_t)all->genres, e);
    if (!place || !genre || !size || !songs) return -1;
    for (int64_t i = 0; i < all->n; i++)
        if (all->genre[i] >= 0) songs[all->genre[i]]++;
    for (int64_t i = 0; i < m->n; i++) {
        place[i] = m->found->place + (int64_t)m->all[i].list * c.d;
        genre[i] = m->all[i].genre;
        size[i] = m->all[i].n;
    }
    c.place = place;
    c.genre = genre;
    c.size = size;
    c.genre_songs = songs;
    *n = evolve_pick(&c, m->o->top_n, out, have);
    return 0;
}

static int finish(struct make *m, const int32_t *chosen, struct err *e)
{
    struct work_random r;
    int64_t next = 1;
    work_seed(&r, m->o->seed);
    for (int64_t i = 0; m->old && i < m->old->n; i++) next = MAX(next, m->old->list[i].id + 1);
    for (int64_t i = 0; i < m->out->n; i++) m->out->list[i] = m->all[chosen[i]];
    for (int64_t i = 0; i < m->out->n; i++) {
        struct playlist *p = &m->out->list[i];
        if (!p->known) p->id = next++;
        if (!p->name) TRY(name_list(m, p, e));
        TRY(name_file(m, p, e));
        for (int64_t j = p->n - 1; j > 0; j--) { /* by title until now */
            int64_t k = (int64_t)(work_draw(&r) * (double)(j + 1));
            int32_t song = p->song[j];
            p->song[j] = p->song[k];
            p->song[k] = song;
        }
    }
    return 0;
}

int playlist_make(struct arena *a, const struct songs *songs, const struct numbers *numbers,
                  const struct evolve_playlists *found, const struct playlist_old *old,
                  const struct playlist_options *o, struct playlists *out, struct err *e)
{
    struct make m = {
        .a = a, .songs = songs, .numbers = numbers, .found = found, .old = old, .o = o, .out = out};
    int64_t have = 0;
    *out = (struct playlists){0};
    TRY(read_texts(&m, e));
    TRY(take_lists(&m, e));
    int32_t *chosen = ARENA_NEW(a, int32_t, (size_t)m.n, e);
    if (!chosen) return -1;
    if (old) TRY(keep_old(&m, chosen, &have, e));
    TRY(choose(&m, chosen, have, &out->n, e));
    if (!(out->list = ARENA_NEW(a, struct playlist, (size_t)out->n, e))) return -1;
    return finish(&m, chosen, e);
}

/* ---- files ------------------------------------------------------------------------------------
 */

/* Where a song is to be found; not a line that begins with '#', which would be a comment. */
static char *place_of(struct arena *a, const struct songs_text *t, int32_t song, struct err *e)
{
    const char *where = *t->path ? t->path : t->id;
    if (!*where) return arena_format(a, e, "row %d", song);
    return arena_format(a, e, "%s%s", *where == '#' ? "./" : "", where);
}

static int write_one(struct arena *a, const struct playlists *all, const struct playlist *p,
                     const char *path, struct err *e)
{
    struct file_out f;
    TRY(file_out_open(a, path, &f, e));
    char *text = arena_format(a, e, "#EXTM3U\n#PLAYLIST:%s\n", p->name);
    int rc = text ? file_out_write(&f, text, strlen(text), e) : -1;
    for (int64_t i = 0; i < p->n && rc == 0; i++) {
        struct arena_mark mark = arena_here(a);
        const struct songs_text *t = playlist_text(all, p->song[i]);
        char *where = place_of(a, t, p->song[i], e);
        text = where ? arena_format(a, e, "#EXTINF:-1,%s%s%s\n%s\n", t->artist,
                                    *t->artist && *t->title ? " - " : "", t->title, where)
                     : NULL;
        rc = text ? file_out_write(&f, text, strlen(text), e) : -1;
        arena_rewind(a, mark);
    }
    if (rc == 0) rc = file_out_commit(&f, e);
    file_out_abort(&f);
    return rc;
}

int playlist_write(struct arena *a, const struct playlists *p, const char *folder, struct err *e)
{
    for (int64_t i = 0; i < p->n; i++) {
        char *path = file_join(a, folder, p->list[i].file, e);
        if (!path) return -1;
        TRY(write_one(a, p, &p->list[i], path, e));
    }
    return 0;
}
