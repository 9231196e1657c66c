#include "load/numbers.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAMES 60 /* bytes of a line of names that are shown */

struct reader { /* of text */
    struct arena *a;
    struct str rest;
    int64_t line, columns, rows;
    double *out;      /* NULL: lines are counted and checked only */
    struct str names; /* line 1, if it is passed over though it has numbers too */
    bool json;
};

static bool is_gap(char c)
{
    return c == ',' || c == ';' || c == '\t' || c == ' ';
}

static bool same_word(struct str s, const char *word)
{
    for (size_t i = 0; i < s.n; i++)
        if (!word[i] || (s.p[i] | 32) != word[i]) return false;
    return s.n > 0 && word[s.n] == 0;
}

static bool parse_number(struct str s, double *out)
{
    char text[64];
    s = str_trim(s);
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
        s = str_trim((struct str){s.p + 1, s.n - 2});
    if (s.n == 0 || s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *out = 0;
    if (str_double(text, out)) return true;
    struct str bare = text[0] == '-' || text[0] == '+' ? (struct str){s.p + 1, s.n - 1} : s;
    if (same_word(bare, "nan"))
        *out = NAN;
    else if (same_word(bare, "inf") || same_word(bare, "infinity"))
        *out = text[0] == '-' ? -INFINITY : INFINITY;
    return *out != 0;
}

/* The next field of a line, *more false after the last. Blanks part fields only where nothing else
 * does, so the first separator met decides. */
static struct str next_field(struct str *line, char gap, bool *more)
{
    size_t n = 0;
    if (gap == ' ') {
        while (line->n && line->p[0] == ' ') *line = (struct str){line->p + 1, line->n - 1};
    }
    while (n < line->n && line->p[n] != gap) n++;
    struct str field = {line->p, n};
    *more = n < line->n;
    n += *more;
    *line = (struct str){line->p + n, line->n - n};
    return field;
}

static char gap_of(struct str line)
{
    char gap = ' ';
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == ',' || line.p[i] == ';' || line.p[i] == '\t') return line.p[i];
        if (is_gap(line.p[i])) gap = line.p[i];
    }
    return gap;
}

static bool has_number(struct str line, char gap)
{
    double ignored;
    bool more = true, found = false;
    while (more && !found) found = parse_number(next_field(&line, gap, &more), &ignored);
    return found;
}

/* One line as numbers; a first line of names is passed over, of which some may be numbers (pandas
 * names columns so: ",0,1,2"). */
static int take_line(struct reader *r, struct str line, struct err *e)
{
    int64_t count = 0;
    bool more = true;
    if (r->json) {
        if (line.n < 2 || line.p[0] != '[' || line.p[line.n - 1] != ']')
            return err_set(e, E_INPUT, "line %lld is not an array of numbers: [1.5, 2, ..]",
                           (long long)r->line);
        line = (struct str){line.p + 1, line.n - 2};
    }
    char gap = r->json ? ',' : gap_of(line);
    struct str whole = line;
    while (more) {
        double x;
        struct str field = next_field(&line, gap, &more);
        if (!parse_number(field, &x)) {
            if (r->rows == 0 && r->line == 1 && !r->json) {
                if (has_number(whole, gap)) r->names = whole;
                return 0;
            }
            return err_set(e, E_INPUT, "line %lld, column %lld: \"%.*s\" is not a number",
                           (long long)r->line, (long long)count + 1, (int)MIN(field.n, 40u),
                           field.p);
        }
        if (r->out && count < r->columns) r->out[r->rows * r->columns + count] = x;
        count++;
    }
    if (r->rows == 0) r->columns = count;
    if (count != r->columns)
        return err_set(
            e, E_INPUT,
            "line %lld has %lld number%s, the first row has %lld; all rows must be as long",
            (long long)r->line, (long long)count, str_s(count), (long long)r->columns);
    r->rows++;
    return 0;
}

static int take_lines(struct reader *r, struct str text, struct err *e)
{
    struct str line;
    r->rest = text;
    r->line = r->rows = 0;
    while (str_line(&r->rest, &line)) {
        r->line++;
        line = str_trim(line);
        if (line.n > 0) TRY(take_line(r, line, e));
    }
    return 0;
}

/* Twice: to know how much there is, and to take it. */
static int read_text(struct arena *a, struct numbers *m, struct err *e)
{
    struct str text = {(const char *)m->npy.map.data, m->npy.map.size};
    struct reader r = {.a = a};
    if (text.n > 0 && memchr(text.p, 0, MIN(text.n, 4096u)))
        return err_set(
            e, E_INPUT,
            "neither .npy nor text; rows of numbers are read as .npy, CSV or JSON lines");
    if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0) /* byte order mark */
        text = (struct str){text.p + 3, text.n - 3};
    struct str begin = str_trim(text);
    r.json = begin.n > 0 && begin.p[0] == '[';
    m->format = r.json ? "jsonl" : "csv";
    TRY(take_lines(&r, text, e));
    if (r.rows == 0)
        return err_set(e, E_INPUT, "no line of numbers in %zu byte%s", text.n,
                       str_s((int64_t)text.n));
    m->rows = r.rows;
    m->columns = r.columns;
    if (r.names.n) m->names = arena_text(a, r.names.p, MIN(r.names.n, (size_t)NAMES), e);
    if (r.names.n && !m->names) return -1;
    r.out = arena_array(a, (size_t)r.rows, (size_t)r.columns * sizeof(double), sizeof(double), e);
    if (!r.out) return -1;
    m->text = r.out;
    return take_lines(&r, text, e);
}

int numbers_take(struct arena *a, struct numbers *m, struct err *e)
{
    m->format = "npy";
    if (!npy_is(m->npy.map.data, m->npy.map.size)) return read_text(a, m, e);
    TRY(npy_open(&m->npy, e));
    m->rows = m->npy.rows;
    m->columns = m->npy.columns;
    return 0;
}

int numbers_open(struct arena *a, const char *path, struct numbers *m, struct err *e)
{
    *m = (struct numbers){.rows = 0};
    TRY(file_map(path, &m->npy.map, e));
    if (numbers_take(a, m, e)) {
        numbers_close(m);
        return err_note(e, "%s", path);
    }
    if (m->text) file_map_drop(&m->npy.map, 0, m->npy.map.size);
    return 0;
}

/* Rows are read in order: those of the file that were are dropped, so that the program does not
 * hold them twice. They stay in the system's cache. */
static void drop_read(const struct npy *f, int64_t row)
{
    enum { PIECE = 4096 };
    if (f->fortran || row == 0 || row % PIECE != 0) return;
    size_t bytes = PIECE * (size_t)f->columns * (size_t)f->size;
    file_map_drop(&f->map, f->offset + (size_t)(row / PIECE - 1) * bytes, bytes);
}

void numbers_row(const struct numbers *m, int64_t row, double *out)
{
    assert(row >= 0 && row < m->rows);
    if (m->text) {
        memcpy(out, m->text + row * m->columns, (size_t)m->columns * sizeof *out);
        return;
    }
    drop_read(&m->npy, row);
    npy_row(&m->npy, row, out);
}

const float *numbers_single(const struct numbers *m, int64_t row)
{
    assert(row >= 0 && row < m->rows);
    const float *at = m->text ? NULL : npy_single(&m->npy, row);
    if (at) drop_read(&m->npy, row);
    return at;
}

void numbers_close(struct numbers *m)
{
    file_unmap(&m->npy.map);
}
