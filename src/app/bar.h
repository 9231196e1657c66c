/* The progress bar: one line on a terminal, redrawn in place, gone when the job is done. Anything
 * but a terminal, a log, gets a line of its own for every minute that one thing takes. It uses no
 * colour and no escape sequence, so NO_COLOR and dumb terminals need no case of their own. */
#ifndef APP_BAR_H
#define APP_BAR_H

#include "lode.h"

struct bar {
    int fd;
    bool terminal;
    size_t shown;  /* columns now on the terminal; 0: nothing */
    char what[64]; /* what is under way; a new name starts the clock again */
    double start_s, drawn_s, done_at_start;
};

/* bar_init: fd is asked once whether it is a terminal. */
void bar_init(struct bar *b, int fd);

/* bar_update: as lode_host.progress; draws at most ten times a second, in a log once a minute. */
void bar_update(struct bar *b, const char *what, enum lode_unit unit, double done, double total);

/* bar_clear: wipes the line, so that something else can be written. Nothing shown: does nothing. */
void bar_clear(struct bar *b);

struct bar_state {
    const char *what;
    enum lode_unit unit;
    double done, total, per_s; /* total <= 0: unknown; per_s <= 0: no speed yet */
};

/* bar_line: the line itself, at most `columns` wide, without \r and \n; returns its width in
 * columns. Long names lose their beginning; control characters are shown as '?'. */
size_t bar_line(const struct bar_state *s, size_t columns, struct strbuf *out);

/* bar_safe: appends text with every control character and every invalid byte as '?', at most `most`
 * characters of it. Names of files come from strangers and may hold terminal commands. Returns the
 * number of characters. */
size_t bar_safe(const char *text, size_t most, struct strbuf *out);

#endif
