#include "jobs/hunt_page.h"
#include "base/file.h"
#include <math.h>
#include <string.h>

enum { WIDE = 900, HIGH = 260, MAP_HIGH = 600, EDGE = 10, MOST_POINTS = 6000 };

struct page {
    struct file_out f;
    const struct hunt_result *r;
    struct err *e;
    bool failed;
};

#define SAY(p, ...) ((p)->failed = (p)->failed || file_out_format(&(p)->f, (p)->e, __VA_ARGS__))

/* Text of others, in which nothing is a tag. */
static void quote(struct page *p, const char *text)
{
    while (*text && !p->failed) {
        size_t n = strcspn(text, "<>&\"");
        p->failed = n > 0 && file_out_write(&p->f, text, n, p->e) != 0;
        text += n;
        if (!*text) break;
        SAY(p, "%s",
            *text == '<'   ? "&lt;"
            : *text == '>' ? "&gt;"
            : *text == '&' ? "&amp;"
                           : "&quot;");
        text++;
    }
}

static void hue(char out[32], int64_t list, int64_t n)
{
    struct strbuf b;
    strbuf_init(&b, out, 32);
    if (list < 0)
        strbuf_text(&b, "#ddd");
    else
        strbuf_format(&b, "hsl(%d,65%%,45%%)", (int)(list * 360 / MAX(n, 1)));
}

/* Fitness of all runs as points, the best so far as a line. */
static void draw_history(struct page *p)
{
    const struct evolve_result *s = p->r->search;
    double low = INFINITY, high = -INFINITY, best = -INFINITY;
    int64_t every = (s->runs + MOST_POINTS - 1) / MOST_POINTS;
    for (int64_t i = 0; i < s->runs; i++) {
        if (s->history[i] == EVOLVE_FAILED) continue;
        low = fmin(low, s->history[i]);
        high = fmax(high, s->history[i]);
    }
    double span = high > low ? high - low : 1, step = (double)(WIDE - 2 * EDGE) / (double)s->runs;
    SAY(p, "<h2>Fitness of the runs</h2><svg viewBox=\"0 0 %d %d\">", WIDE, HIGH);
    for (int64_t i = 0; i < s->runs; i += every)
        if (s->history[i] != EVOLVE_FAILED)
            SAY(p, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"1.5\" fill=\"#9ab\"/>",
                EDGE + (double)i * step,
                HIGH - EDGE - (s->history[i] - low) / span * (HIGH - 2 * EDGE));
    SAY(p, "<polyline fill=\"none\" stroke=\"#c33\" points=\"");
    for (int64_t i = 0; i < s->runs; i++) {
        if (s->history[i] <= best && i + 1 < s->runs) continue;
        double before = best > -INFINITY ? best : s->history[i];
        best = fmax(best, s->history[i]);
        SAY(p, "%.1f,%.1f %.1f,%.1f ", EDGE + (double)i * step,
            HIGH - EDGE - (before - low) / span * (HIGH - 2 * EDGE), EDGE + (double)i * step,
            HIGH - EDGE - (best - low) / span * (HIGH - 2 * EDGE));
    }
    SAY(p, "\"/></svg><p>From %.4f to %.4f.</p>", low, high);
}

/* The songs of the best run in the plane of their first two components. */
static void draw_map(struct page *p)
{
    const struct evolve_playlists *f = p->r->found;
    const struct playlists *l = p->r->lists;
    int64_t every = (f->rows + MOST_POINTS - 1) / MOST_POINTS;
    float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int64_t i = 0; i < 2 * f->rows; i++) {
        low[i % 2] = fminf(low[i % 2], f->plane[i]);
        high[i % 2] = fmaxf(high[i % 2], f->plane[i]);
    }
    double wide = (double)(high[0] > low[0] ? high[0] - low[0] : 1);
    double tall = (double)(high[1] > low[1] ? high[1] - low[1] : 1);
    SAY(p, "<h2>Songs of the best run</h2><svg viewBox=\"0 0 %d %d\">", WIDE, MAP_HIGH);
    for (int64_t i = 0; i < f->rows; i += every) {
        char colour[32];
        int64_t list = -1;
        for (int64_t k = 0; k < l->n && f->plane_list[i] >= 0; k++)
            if (l->list[k].list == f->plane_list[i]) list = k;
        hue(colour, list, l->n);
        SAY(p, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"%s\"/>",
            EDGE + (double)(f->plane[2 * i] - low[0]) / wide * (WIDE - 2 * EDGE),
            MAP_HIGH - EDGE - (double)(f->plane[2 * i + 1] - low[1]) / tall * (MAP_HIGH - 2 * EDGE),
            colour);
    }
    SAY(p, "</svg><p>First two principal components; in grey, songs of no playlist that is "
           "shown.</p>");
}

static void put_lists(struct page *p)
{
    const struct playlists *l = p->r->lists;
    SAY(p, "<h2>Playlists</h2>");
    for (int64_t i = 0; i < l->n; i++) {
        const struct playlist *list = &l->list[i];
        char colour[32];
        hue(colour, i, l->n);
        SAY(p, "<details><summary><b style=\"color:%s\">&#9679;</b> ", colour);
        quote(p, list->name);
        SAY(p, " (%lld song%s, ", (long long)list->n, str_s(list->n));
        quote(p, songs_genre_name(list->genre));
        if (list->known)
            SAY(p, ", +%lld &minus;%lld", (long long)list->came, (long long)list->went);
        SAY(p, ")</summary><ol>\n");
        for (int64_t k = 0; k < list->n; k++) {
            const struct songs_text *t = playlist_text(l, list->song[k]);
            SAY(p, "<li>");
            quote(p, t->artist);
            if (*t->artist && *t->title) SAY(p, " &ndash; ");
            quote(p, *t->title || *t->artist ? t->title : *t->path ? t->path : t->id);
            SAY(p, "</li>\n");
        }
        SAY(p, "</ol></details>\n");
    }
}

static void put_page(struct page *p)
{
    const struct hunt_result *r = p->r;
    const struct evolve_result *s = p->r->search;
    SAY(p,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Playlists</title><style>"
        "body{font:15px sans-serif;max-width:%dpx;margin:2em auto;padding:0 1em}"
        "svg{width:100%%;background:#f7f7f9}</style>\n<h1>Playlists of ",
        WIDE);
    quote(p, r->h->input);
    SAY(p, "</h1>\n<p>%lld songs, %lld of them in a run; %lld run%s, %lld failed; ",
        (long long)r->songs->all.n, (long long)r->subset, (long long)s->runs, str_s(s->runs),
        (long long)s->failed);
    quote(p, s->stop);
    SAY(p,
        ". Best: run %lld, fitness %.6f, %d playlist%s, %d of them large enough. "
        "Computed on ",
        (long long)s->best.c.run + 1, r->score->fitness, r->score->playlists,
        str_s(r->score->playlists), r->score->full);
    quote(p, engine_device(r->h->engine));
    SAY(p, " in %.1f s", s->seconds);
    if (r->brought_back > 0) {
        SAY(p, ", after %lld failure%s of the device; the last one: ", (long long)r->brought_back,
            str_s(r->brought_back));
        quote(p, engine_reason(r->h->engine));
    }
    SAY(p, ".</p>\n");
    draw_history(p);
    draw_map(p);
    put_lists(p);
    SAY(p, "</html>\n");
}

int hunt_page_write(struct arena *a, const struct hunt_result *r, const char *path, struct err *e)
{
    struct page p = {.r = r, .e = e};
    TRY(file_out_open(a, path, &p.f, e));
    put_page(&p);
    int rc = p.failed ? -1 : file_out_commit(&p.f, e);
    file_out_abort(&p.f);
    return rc;
}
