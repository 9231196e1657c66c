/* CSV as RFC 4180 writes it, read leniently: line ends are LF or CRLF, a quote inside a field that
 * does not begin with one is a character. Called by rows.c. */
#include "load/rows_csv.h"
#include <string.h>

/* The character most frequent in the first line, outside of quotes; the comma if there is none. */
static char find_separator(struct str rest)
{
    static const char signs[] = ",;\t";
    size_t count[3] = {0}, best = 0;
    bool quoted = false, begins = true; /* begins: a field does, or is one in quotes */
    for (size_t i = 0; i < rest.n && (quoted || rest.p[i] != '\n'); i++) {
        if (rest.p[i] == '"' && begins) quoted = !quoted;
        if (rest.p[i] == '"' || quoted) continue;
        const char *sign = rest.p[i] ? strchr(signs, rest.p[i]) : NULL;
        begins = sign != NULL;
        if (sign) count[sign - signs]++;
    }
    for (size_t i = 1; i < COUNT(count); i++) best = count[i] > count[best] ? i : best;
    return signs[best];
}

/* A field in quotes that begins at *at, behind the first of them; *at goes to what follows it. */
static int quoted_field(struct rows *r, struct str rest, size_t *at, struct str *out, struct err *e)
{
    size_t from = *at, doubled = 0, i = from;
    for (; i < rest.n; i++) {
        if (rest.p[i] == '\n') r->next_line++;
        if (rest.p[i] != '"') continue;
        if (i + 1 == rest.n || rest.p[i + 1] != '"') break;
        doubled++;
        i++;
        if (i - from > ROWS_BYTES_MAX) break;
    }
    if (i == rest.n) return rows_bad(r, e, "a quote is not closed");
    if (i - from > ROWS_BYTES_MAX)
        return rows_bad(r, e, "a field of more than %u bytes", ROWS_BYTES_MAX);
    *at = i + 1;
    *out = (struct str){rest.p + from, i - from};
    if (doubled == 0) return 0;
    char *text = ARENA_NEW(r->arena, char, i - from - doubled, e);
    if (!text) return -1;
    size_t n = 0;
    for (size_t k = from; k < i; k++) {
        text[n++] = rest.p[k];
        if (rest.p[k] == '"') k++;
    }
    *out = (struct str){text, n};
    return 0;
}

/* One field that begins at *at; *at goes behind its separator or line end. *last: it ends the
 * record. */
static int next_field(struct rows *r, struct str rest, size_t *at, struct str *out, bool *last,
                      struct err *e)
{
    size_t i = *at;
    if (i < rest.n && rest.p[i] == '"') {
        i++;
        TRY(quoted_field(r, rest, &i, out, e));
        size_t end = i;
        if (end + 1 < rest.n && rest.p[end] == '\r' && rest.p[end + 1] == '\n') end++;
        if (end < rest.n && rest.p[end] != '\n' && rest.p[end] != r->separator)
            return rows_bad(r, e, "a closing quote is followed by neither '%c' nor the line's end",
                            r->separator);
        i = end;
    } else {
        while (i < rest.n && rest.p[i] != '\n' && rest.p[i] != r->separator) i++;
        size_t n = i - *at;
        bool at_end = i == rest.n || rest.p[i] == '\n';
        if (n > 0 && at_end && rest.p[i - 1] == '\r') n--;
        *out = (struct str){rest.p + *at, n};
    }
    *last = i >= rest.n || rest.p[i] == '\n';
    if (i < rest.n && *last) r->next_line++;
    *at = i + (i < rest.n);
    return 0;
}

/* The fields of a record into field [most]; *n is their number. 0 at the end of the file. */
static int read_record(struct rows *r, struct rows_field *field, size_t most, size_t *n,
                       struct err *e)
{
    struct str rest = rows_rest(r);
    size_t at = 0;
    bool last = false;
    r->line = r->next_line;
    if (rest.n == 0) return 0;
    for (*n = 0; !last; ++*n) {
        struct str text;
        TRY(next_field(r, rest, &at, &text, &last, e));
        if (*n == most) return rows_bad(r, e, "more fields than the header's %zu", most);
        field[*n].text = text;
    }
    r->at += at;
    if (at > ROWS_BYTES_MAX)
        return rows_bad(r, e, "a record of %zu bytes; at most %u are read", at, ROWS_BYTES_MAX);
    if (!str_utf8_whole(rest.p, at)) return rows_bad(r, e, "not UTF-8");
    return 1;
}

/* Fields of the header, whose names may hold separators and line ends if they are in quotes. */
static size_t count_names(struct str rest, char separator)
{
    size_t n = 1;
    bool quoted = false, begins = true; /* as in find_separator */
    for (size_t i = 0; i < rest.n && (quoted || rest.p[i] != '\n'); i++) {
        if (rest.p[i] == '"' && begins) quoted = !quoted;
        if (quoted) continue;
        if (rest.p[i] != '"') begins = rest.p[i] == separator;
        n += rest.p[i] == separator;
    }
    return n;
}

int rows_csv_header(struct rows *r, struct err *e)
{
    struct str rest = rows_rest(r);
    struct rows_field *names;
    r->separator = r->format == ROWS_TSV ? '\t' : find_separator(rest);
    size_t most = MIN(count_names(rest, r->separator), (size_t)ROWS_FIELDS_MAX);
    names = ARENA_NEW(r->arena, struct rows_field, most, e);
    r->field = ARENA_NEW(r->arena, struct rows_field, most, e);
    if (!names || !r->field) return -1;
    int rc = read_record(r, names, most, &r->n_fields, e);
    if (rc < 0) return -1;
    if (rc == 0) return err_set(e, E_INPUT, "%s: is empty, so it names no columns", r->name);
    for (size_t i = 0; i < r->n_fields; i++) r->field[i].name = names[i].text;
    return 0;
}

int rows_csv_next(struct rows *r, struct err *e)
{
    size_t n = 0;
    int rc;
    do { /* a line without anything is no record, unless there is but one column */
        rc = read_record(r, r->field, r->n_fields, &n, e);
    } while (rc == 1 && n == 1 && r->n_fields > 1 && r->field[0].text.n == 0);
    if (rc != 1) return rc;
    if (n < r->n_fields)
        return rows_bad(r, e, "%zu field%s, the header has %zu", n, str_s((int64_t)n), r->n_fields);
    return 1;
}
