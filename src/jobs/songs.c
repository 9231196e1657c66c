#include "jobs/songs.h"
#include "load/rows.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The 50 tags of MusiCNN (jordipons/musicnn, MSD), in the order of its output. */
static const char *const moods[] = {"rock",
                                    "pop",
                                    "alternative",
                                    "indie",
                                    "electronic",
                                    "female vocalists",
                                    "dance",
                                    "00s",
                                    "alternative rock",
                                    "jazz",
                                    "beautiful",
                                    "metal",
                                    "chillout",
                                    "male vocalists",
                                    "classic rock",
                                    "soul",
                                    "indie rock",
                                    "Mellow",
                                    "electronica",
                                    "80s",
                                    "folk",
                                    "90s",
                                    "chill",
                                    "instrumental",
                                    "punk",
                                    "oldies",
                                    "blues",
                                    "hard rock",
                                    "ambient",
                                    "acoustic",
                                    "experimental",
                                    "female vocalist",
                                    "guitar",
                                    "Hip-Hop",
                                    "70s",
                                    "party",
                                    "country",
                                    "easy listening",
                                    "sexy",
                                    "catchy",
                                    "funk",
                                    "electro",
                                    "heavy metal",
                                    "Progressive rock",
                                    "60s",
                                    "rnb",
                                    "indie pop",
                                    "sad",
                                    "House",
                                    "happy"};
/* Those of them that are a genre, as AudioMuse-AI stratifies by; the first of equals counts. */
static const char *const genres[] = {
    "rock",    "pop",          "alternative", "indie",      "electronic",  "jazz",
    "metal",   "classic rock", "soul",        "indie rock", "electronica", "folk",
    "punk",    "blues",        "hard rock",   "ambient",    "acoustic",    "experimental",
    "Hip-Hop", "country",      "funk",        "electro",    "heavy metal", "Progressive rock",
    "rnb",     "indie pop",    "House"};
static const char *const features[] = {"danceable", "aggressive", "happy",
                                       "party",     "relaxed",    "sad"};

#define MOST_VALUE 1e6 /* of a mood, which is a probability or a logit */
enum { MOODS = COUNT(moods), FEATURES = COUNT(features), GENRES = COUNT(genres) };

const char *songs_feature_name(int64_t i)
{
    return features[i];
}

const char *songs_genre_name(int64_t i)
{
    return i < 0 ? "other" : genres[i];
}

/* ---- artists as numbers -----------------------------------------------------------------------
 */

struct artists { /* hashes of names, open addressing */
    struct arena *a;
    uint64_t *hash; /* 0: free */
    int32_t *number;
    size_t cap;
    int32_t n;
};

static int artists_grow(struct artists *t, struct err *e)
{
    struct artists to = {.a = t->a, .cap = t->cap ? 2 * t->cap : 1024, .n = t->n};
    if (!(to.hash = ARENA_NEW(t->a, uint64_t, to.cap, e))) return -1;
    if (!(to.number = ARENA_NEW(t->a, int32_t, to.cap, e))) return -1;
    for (size_t i = 0; i < t->cap; i++) {
        if (!t->hash[i]) continue;
        size_t at = t->hash[i] & (to.cap - 1);
        while (to.hash[at]) at = (at + 1) & (to.cap - 1);
        to.hash[at] = t->hash[i];
        to.number[at] = t->number[i];
    }
    *t = to;
    return 0;
}

/* Names that differ in case or in blanks around them are one. */
static int artist_of(struct artists *t, struct str name, int32_t *out, struct err *e)
{
    uint64_t hash = STR_HASH;
    name = str_trim(name);
    *out = -1;
    if (name.n == 0) return 0;
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = (uint8_t)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] + 32 : name.p[i]);
        hash = str_hash(hash, &c, 1);
    }
    hash |= hash == 0;
    if (2 * (size_t)t->n >= t->cap) TRY(artists_grow(t, e));
    size_t at = hash & (t->cap - 1);
    while (t->hash[at] && t->hash[at] != hash) at = (at + 1) & (t->cap - 1);
    if (!t->hash[at]) {
        t->hash[at] = hash;
        t->number[at] = t->n++;
    }
    *out = t->number[at];
    return 0;
}

/* ---- a row ------------------------------------------------------------------------------------
 */

struct reading {
    struct rows rows;
    struct songs *out;
    const struct songs_options *o;
    float *value;
    int32_t *artist;
    int16_t *genre;
    struct artists artists;
    int mood_of[GENRES]; /* the label that is this genre */
};

static bool number_of(struct str s, double *out)
{
    char text[64];
    s = str_trim(s);
    if (s.n == 0 || s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    return str_double(text, out);
}

/* A number of a column; an absent or empty one is `fallback`. */
static int column(struct reading *r, const char *name, double fallback, double *out, struct err *e)
{
    struct str text;
    *out = fallback;
    if (!rows_get(&r->rows, name, &text) || str_trim(text).n == 0) return 0;
    if (number_of(text, out)) return 0;
    return rows_bad(&r->rows, e, "%s is '%.*s', which is no number", name, (int)MIN(text.n, 40),
                    text.p);
}

static int label_of(const char *const *names, int n, struct str label)
{
    for (int i = 0; i < n; i++)
        if (str_eq(label, names[i])) return i;
    return -1;
}

/* "label:0.5,label:0.4" into value [n], NaN where a label is not there. */
static int pairs(struct reading *r, const char *column_name, struct str text,
                 const char *const *names, int n, double *value, struct err *e)
{
    while (text.n > 0) {
        const char *comma = memchr(text.p, ',', text.n);
        size_t length = comma ? (size_t)(comma - text.p) : text.n;
        struct str pair = {text.p, length};
        text = (struct str){text.p + length + (comma != NULL), text.n - length - (comma != NULL)};
        const char *colon = memchr(pair.p, ':', pair.n);
        if (!colon) continue;
        struct str label = str_trim((struct str){pair.p, (size_t)(colon - pair.p)});
        struct str number = {colon + 1, pair.n - (size_t)(colon - pair.p) - 1};
        int i = label_of(names, n, label);
        if (i < 0) continue;
        if (!number_of(number, &value[i]))
            return rows_bad(&r->rows, e, "%s gives %s as '%.*s', which is no number", column_name,
                            names[i], (int)MIN(number.n, 40), number.p);
    }
    return 0;
}

/* The values of all labels, from one column of pairs or a column of each; NaN: not there. */
static int labels(struct reading *r, const char *column_name, const char *const *names, int n,
                  double *value, struct err *e)
{
    struct str text;
    for (int i = 0; i < n; i++) value[i] = NAN;
    if (rows_get(&r->rows, column_name, &text))
        TRY(pairs(r, column_name, text, names, n, value, e));
    else
        for (int i = 0; i < n; i++) TRY(column(r, names[i], NAN, &value[i], e));
    for (int i = 0; i < n; i++)
        if (fabs(value[i]) > MOST_VALUE)
            return rows_bad(&r->rows, e, "%s is %g; numbers from -%g to %g can be judged", names[i],
                            value[i], MOST_VALUE, MOST_VALUE);
    return 0;
}

static float part(double x, double least, double most)
{
    double y = most > least ? (x - least) / (most - least) : 0;
    return (float)fmin(fmax(y, 0), 1);
}

static int read_song(struct reading *r, int64_t i, struct err *e)
{
    const struct evolve_songs *all = &r->out->all;
    float *value = r->value + i * all->columns;
    double mood[MOODS], feature[FEATURES], tempo, energy, best = -INFINITY;
    struct str artist = {"", 0};
    bool any = false;
    TRY(column(r, "tempo", 0, &tempo, e));
    TRY(column(r, "energy", 0, &energy, e));
    TRY(labels(r, "mood_vector", moods, MOODS, mood, e));
    TRY(labels(r, "other_features", features, FEATURES, feature, e));
    value[0] = part(tempo, r->o->tempo_least, r->o->tempo_most);
    value[1] = part(energy, r->o->energy_least, r->o->energy_most);
    for (int m = 0; m < MOODS; m++) {
        any |= !isnan(mood[m]);
        if (m < all->moods) value[2 + m] = isnan(mood[m]) ? 0 : (float)mood[m];
    }
    for (int f = 0; f < FEATURES; f++)
        value[2 + all->moods + f] = isnan(feature[f]) ? 0 : (float)feature[f];
    r->genre[i] = any ? -1 : -2;
    for (int g = 0; g < GENRES; g++) {
        double x = mood[r->mood_of[g]];
        if (isnan(x) || x <= best) continue;
        best = x;
        r->genre[i] = (int16_t)g;
    }
    r->out->without += !any;
    if (!rows_get(&r->rows, "author", &artist)) rows_get(&r->rows, "artist", &artist);
    return artist_of(&r->artists, artist, &r->artist[i], e);
}

/* ---- the table --------------------------------------------------------------------------------
 */

/* CSV, if the name does not say otherwise: lines and documents have no columns. */
static int open_table(const char *path, struct rows *rows, struct err *e)
{
    enum rows_format format = rows_format_of(path);
    bool table = format != ROWS_LINES && format != ROWS_DOCUMENTS;
    return rows_open(path, table ? format : ROWS_CSV, rows, e);
}

/* A playlist has the moods that are read, and those features that are called like one of the 50,
 * which then count as moods of the playlist, but of no song. */
static int name_moods(struct arena *a, struct songs *s, struct err *e)
{
    struct evolve_mood *mood = ARENA_NEW(a, struct evolve_mood, MOODS + FEATURES, e);
    const char **name = ARENA_NEW(a, const char *, MOODS + FEATURES, e);
    if (!mood || !name) return -1;
    for (int32_t m = 0; m < s->all.moods; m++) {
        int f = label_of(features, FEATURES, str_of(moods[m]));
        name[s->all.n_mood] = moods[m];
        mood[s->all.n_mood++] = (struct evolve_mood){f < 0 ? 2 + m : 2 + s->all.moods + f, 2 + m};
    }
    for (int32_t f = 0; f < FEATURES; f++) {
        int m = label_of(moods, MOODS, str_of(features[f]));
        if (m < s->all.moods) continue;
        name[s->all.n_mood] = features[f];
        mood[s->all.n_mood++] = (struct evolve_mood){2 + s->all.moods + f, -1};
    }
    s->all.mood = mood;
    s->list_name = name;
    s->mood_name = moods;
    return 0;
}

static int read_all(struct reading *r, int64_t n, struct err *e)
{
    int64_t i = 0;
    int more;
    while ((more = rows_next(&r->rows, e)) > 0) {
        if (i < n) TRY(read_song(r, i, e));
        i++;
    }
    TRY(more);
    if (i != n)
        return err_set(
            e, E_INPUT,
            "%s has %lld song%s, for %lld row%s of numbers; there must be one for each, in "
            "the same order",
            r->out->path, (long long)i, str_s(i), (long long)n, str_s(n));
    if (r->out->without == n)
        return err_set(e, E_INPUT,
                       "%s has no moods: a column mood_vector (\"rock:0.56,pop:0.54\") or columns "
                       "named rock, pop, .. are needed",
                       r->out->path);
    return 0;
}

int songs_read(struct arena *a, const char *path, int64_t n, const struct songs_options *o,
               struct songs *out, struct err *e)
{
    struct reading r = {.out = out, .o = o, .artists = {.a = a}};
    *out = (struct songs){.path = path};
    int32_t top = (int32_t)(o->top_moods > 0 ? MIN(o->top_moods, MOODS) : MOODS);
    out->all = (struct evolve_songs){.n = n,
                                     .moods = top,
                                     .features = FEATURES,
                                     .columns = 2 + top + FEATURES,
                                     .genres = GENRES};
    for (int g = 0; g < GENRES; g++) r.mood_of[g] = label_of(moods, MOODS, str_of(genres[g]));
    TRY(name_moods(a, out, e));
    if (!(r.value = ARENA_NEW(a, float, (size_t)(n * out->all.columns), e))) return -1;
    if (!(r.artist = ARENA_NEW(a, int32_t, (size_t)n, e))) return -1;
    if (!(r.genre = ARENA_NEW(a, int16_t, (size_t)n, e))) return -1;
    TRY(open_table(path, &r.rows, e));
    int rc = read_all(&r, n, e);
    rows_close(&r.rows);
    out->all.value = r.value;
    out->all.artist = r.artist;
    out->all.genre = r.genre;
    out->all.artists = r.artists.n;
    return rc;
}

/* ---- texts ------------------------------------------------------------------------------------
 */

static int text_of(struct arena *a, struct rows *rows, const char *const *names, const char **out,
                   struct err *e)
{
    struct str text;
    *out = "";
    for (; *names; names++) {
        if (!rows_get(rows, *names, &text) || text.n == 0) continue;
        char *copy = arena_text(a, text.p, text.n, e);
        if (!copy) return -1;
        for (char *p = copy; *p; p++) /* a line of a playlist is one line */
            if (*p == '\n' || *p == '\r') *p = ' ';
        *out = copy;
        return 0;
    }
    return 0;
}

static int one_text(struct arena *a, struct rows *rows, struct songs_text *out, struct err *e)
{
    static const char *const id[] = {"item_id", "id", NULL}, *const title[] = {"title", NULL},
                             *const artist[] = {"author", "artist", NULL},
                             *const path[] = {"file_path", "path", "file", NULL};
    TRY(text_of(a, rows, id, &out->id, e));
    TRY(text_of(a, rows, title, &out->title, e));
    TRY(text_of(a, rows, artist, &out->artist, e));
    return text_of(a, rows, path, &out->path, e);
}

int songs_texts(struct arena *a, const struct songs *s, const int32_t *song, int64_t n,
                struct songs_text *out, struct err *e)
{
    struct rows rows;
    int64_t at = 0;
    int more = 0, rc = 0;
    TRY(open_table(s->path, &rows, e));
    for (int64_t i = 0; at < n && rc == 0 && (more = rows_next(&rows, e)) > 0; i++)
        if (i == song[at]) rc = one_text(a, &rows, &out[at++], e);
    rows_close(&rows);
    if (rc || more < 0) return -1;
    if (at < n) return err_set(e, E_IO, "%s became shorter while it was used", s->path);
    return 0;
}
