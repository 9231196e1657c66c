#include "jobs/where.h"
#include <string.h>

static int read_term(struct arena *a, struct str term, struct where *w, struct err *e)
{
    const char *sign = memchr(term.p, '=', term.n);
    if (!sign || sign == term.p)
        return err_set(e, E_USAGE, "--where: \"%.*s\" is not COLUMN=VALUE or COLUMN!=VALUE",
                       (int)MIN(term.n, (size_t)100), term.p);
    if (w->n == WHERE_MOST)
        return err_set(e, E_USAGE, "--where: more than %d conditions", WHERE_MOST);
    bool differs = sign[-1] == '!';
    size_t n = (size_t)(sign - term.p);
    struct str column = str_trim((struct str){term.p, n - differs}),
               value = str_trim((struct str){sign + 1, term.n - n - 1});
    if (column.n == 0) return err_set(e, E_USAGE, "--where: a condition without a column");
    w->term[w->n].column = arena_text(a, column.p, column.n, e);
    w->term[w->n].value = arena_text(a, value.p, value.n, e);
    if (!w->term[w->n].column || !w->term[w->n].value) return -1;
    w->term[w->n++].differs = differs;
    return 0;
}

int where_read(struct arena *a, const char *text, struct where *w, struct err *e)
{
    *w = (struct where){0};
    while (text && *text) {
        size_t n = strcspn(text, "&");
        TRY(read_term(a, str_trim((struct str){text, n}), w, e));
        text += n + (text[n] == '&');
    }
    return 0;
}

bool where_holds(struct where *w, struct rows *r)
{
    bool holds = true;
    for (size_t i = 0; i < w->n; i++) {
        struct str have;
        bool there = rows_get(r, w->term[i].column, &have);
        bool equal = there && str_eq(have, w->term[i].value);
        w->term[i].met |= there;
        holds &= equal != w->term[i].differs;
    }
    return holds;
}

const char *where_unmet(const struct where *w)
{
    for (size_t i = 0; i < w->n; i++) {
        if (!w->term[i].met) return w->term[i].column;
    }
    return NULL;
}
