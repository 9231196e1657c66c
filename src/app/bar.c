/* The progress bar. Called by main.c alone; see bar.h. */
#include "app/bar.h"
#include "base/thread.h"

#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_REDRAW_S     0.1
#define BAR_LOG_S        60 /* between lines of what is not a terminal */
#define BAR_NAME_COLUMNS 32 /* of a file's name, at most */
#define BAR_GAUGE_LEAST  10 /* columns; a gauge shorter than this says nothing */
#define BAR_GAUGE_MOST   40
#define BAR_COLUMNS_MOST 300

void bar_init(struct bar *b, int fd)
{
    memset(b, 0, sizeof *b);
    b->fd = fd;
    b->terminal = isatty(fd);
}

size_t bar_safe(const char *text, size_t most, struct strbuf *out)
{
    size_t left = strlen(text), n = 0;
    while (left > 0 && n < most) {
        uint32_t cp = 0;
        int step = str_utf8(text, left, &cp);
        /* C0, DEL and C1: what a terminal might obey */
        bool control = step == 0 || cp < 0x20 || (cp >= 0x7f && cp < 0xa0);
        if (step == 0) step = 1;
        if (control)
            strbuf_add(out, "?", 1);
        else
            strbuf_add(out, text, (size_t)step);
        text += step;
        left -= (size_t)step;
        n++;
    }
    return n;
}

static size_t bar_characters(const char *text)
{
    size_t left = strlen(text), n = 0;
    while (left > 0) {
        uint32_t cp;
        int step = str_utf8(text, left, &cp);
        if (step == 0) step = 1;
        text += step;
        left -= (size_t)step;
        n++;
    }
    return n;
}

/* The last `most` characters of a name: folders are less worth than the file. */
static const char *bar_tail(const char *text, size_t most)
{
    size_t skip = bar_characters(text);
    skip = skip > most ? skip - most : 0;
    for (; skip > 0; skip--) {
        uint32_t cp;
        int step = str_utf8(text, strlen(text), &cp);
        text += step > 0 ? step : 1;
    }
    return text;
}

static void bar_clock(double s, struct strbuf *out)
{
    if (!(s < 359999.0)) s = 359999.0; /* 99:59:59 */
    unsigned t = s > 0 ? (unsigned)(s + 0.5) : 0;
    if (t >= 3600)
        strbuf_format(out, "%u:%02u:%02u", t / 3600, t / 60 % 60, t % 60);
    else
        strbuf_format(out, "%u:%02u", t / 60, t % 60);
}

/* "  42 %  11.3x  ETA 0:12": what is known of it. */
static void bar_figures(const struct bar_state *s, struct strbuf *out)
{
    bool known = s->total > 0;
    double done = known ? MIN(s->done, s->total) : s->done;
    if (known) strbuf_format(out, "%3d %%", (int)(100.0 * done / s->total));
    if (!known && s->unit == LODE_SECONDS) bar_clock(done, out);
    if (!known && s->unit == LODE_BYTES) strbuf_format(out, "%.1f MB", done / 1e6);
    if (!known && s->unit == LODE_UNITS) strbuf_format(out, "%.0f", done);
    if (s->per_s > 0 && s->unit == LODE_SECONDS) strbuf_format(out, "  %.1fx", s->per_s);
    if (s->per_s > 0 && s->unit == LODE_BYTES) strbuf_format(out, "  %.1f MB/s", s->per_s / 1e6);
    if (s->per_s > 0 && known) {
        strbuf_text(out, "  ETA ");
        bar_clock((s->total - done) / s->per_s, out);
    }
}

size_t bar_line(const struct bar_state *s, size_t columns, struct strbuf *out)
{
    char memory[96];
    struct strbuf figures;
    strbuf_init(&figures, memory, sizeof memory);
    bar_figures(s, &figures);
    size_t width = 0;
    if (columns < figures.n) return 0;
    if (columns >= figures.n + 2 + 8) { /* room for some of the name */
        size_t most = MIN(columns - figures.n - 2, (size_t)BAR_NAME_COLUMNS);
        width = bar_safe(bar_tail(s->what, most), most, out);
        strbuf_text(out, "  ");
        width += 2;
    }
    size_t rest = columns - width - figures.n;
    if (s->total > 0 && rest >= BAR_GAUGE_LEAST + 4) {
        size_t gauge = MIN(rest - 4, (size_t)BAR_GAUGE_MOST);
        size_t full = (size_t)((double)gauge * MIN(MAX(s->done, 0) / s->total, 1.0));
        strbuf_text(out, "[");
        for (size_t i = 0; i < gauge; i++) strbuf_text(out, i < full ? "#" : "-");
        strbuf_text(out, "]  ");
        width += gauge + 4;
    }
    strbuf_add(out, figures.p, figures.n);
    return width + figures.n;
}

static size_t bar_columns(int fd)
{
    struct winsize w;
    if (ioctl(fd, TIOCGWINSZ, &w) != 0 || w.ws_col == 0) return 80;
    return MIN((size_t)w.ws_col, (size_t)BAR_COLUMNS_MOST);
}

/* Who does not take a line in one write is not worth waiting for. */
static void bar_write(const struct bar *b, const struct strbuf *line)
{
    ssize_t n = write(b->fd, line->p, line->n);
    (void)n;
}

void bar_clear(struct bar *b)
{
    char memory[BAR_COLUMNS_MOST + 8];
    struct strbuf line;
    if (b->shown == 0) return;
    strbuf_init(&line, memory, sizeof memory);
    strbuf_text(&line, "\r");
    for (size_t i = 0; i < b->shown; i++) strbuf_text(&line, " ");
    strbuf_text(&line, "\r");
    bar_write(b, &line);
    b->shown = 0;
}

/* A name of another job, file or download starts the clock again. */
static void bar_start(struct bar *b, const char *what, double done, double now)
{
    struct strbuf name;
    strbuf_init(&name, b->what, sizeof b->what);
    strbuf_text(&name, what);
    b->start_s = b->drawn_s = now; /* what takes less than a redraw is never shown */
    b->done_at_start = done;
}

/* "lode: talk.mp3   25 %  10.0x  ETA 0:09" */
static void bar_log(const struct bar *b, const struct bar_state *s, struct strbuf *line)
{
    strbuf_text(line, "lode: ");
    bar_safe(bar_tail(s->what, BAR_NAME_COLUMNS), BAR_NAME_COLUMNS, line);
    strbuf_text(line, "  ");
    bar_figures(s, line);
    strbuf_text(line, "\n");
    bar_write(b, line);
}

void bar_update(struct bar *b, const char *what, enum lode_unit unit, double done, double total)
{
    if (!(done >= 0) || !isfinite(done)) {
        bar_clear(b);
        b->what[0] = '\0';
        return;
    }
    double now = thread_seconds();
    if (b->what[0] == '\0' || strncmp(b->what, what, sizeof b->what - 1) != 0)
        bar_start(b, what, done, now);
    if (now - b->drawn_s < (b->terminal ? BAR_REDRAW_S : BAR_LOG_S)) return;
    b->drawn_s = now;

    struct bar_state s = {what, unit, done, isfinite(total) ? total : 0, 0};
    if (now > b->start_s) s.per_s = (done - b->done_at_start) / (now - b->start_s);
    char memory[BAR_COLUMNS_MOST *
                6]; /* a character is at most four bytes, and the old line is wiped */
    struct strbuf line;
    strbuf_init(&line, memory, sizeof memory);
    if (!b->terminal) {
        bar_log(b, &s, &line);
        return;
    }
    strbuf_text(&line, "\r");
    /* one column is left free: a full line would wrap on some terminals */
    size_t width = bar_line(&s, bar_columns(b->fd) - 1, &line);
    for (size_t i = width; i < b->shown; i++) strbuf_text(&line, " ");
    bar_write(b, &line);
    b->shown = MAX(width, b->shown);
}
