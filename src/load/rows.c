#include "load/rows.h"
#include "load/rows_csv.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DROP_STEP ((size_t)16 << 20) /* read pages are given back in pieces of this */

enum rows_format rows_format_of(const char *path)
{
    static const struct {
        const char *suffix;
        enum rows_format format;
    } known[] = {{".jsonl", ROWS_JSONL}, {".ndjson", ROWS_JSONL}, {".json", ROWS_JSONL},
                 {".csv", ROWS_CSV},     {".tsv", ROWS_TSV},      {".tab", ROWS_TSV}};
    for (size_t i = 0; i < COUNT(known); i++) {
        if (str_ends(path, known[i].suffix)) return known[i].format;
    }
    return ROWS_LINES;
}

#undef rows_bad
int rows_bad(const struct rows *r, struct err *e, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(e, E_INPUT, "%s: line %llu: %s", r->name, (unsigned long long)r->line, text);
}
#define rows_bad(...) (rows_bad(__VA_ARGS__), err_failed())

/* All that a pipe gives, in a temporary file, mapped. */
static int map_pipe(const char *name, int pipe_fd, struct file_map *map, struct err *e)
{
    static const size_t piece = 1 << 16;
    struct arena *a = NULL;
    int fd = -1, rc = -1;
    char path[64], *buffer = NULL;
    TRY(file_spool(&fd, e));
    if (arena_open("pipe", 0, &a, e) || !(buffer = ARENA_NEW(a, char, piece, e))) goto done;
    for (;;) {
        ssize_t got = read(pipe_fd, buffer, piece);
        if (got == 0) break;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            (void)err_errno(e, E_IO, "%s: cannot be read", name);
            goto done;
        }
        if (file_write_all(fd, buffer, (size_t)got, e)) goto done;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    rc = file_map(path, map, e);
done:
    arena_close(&a);
    close(fd);
    return rc;
}

static int map_any(const char *path, struct rows *r, struct err *e)
{
    if (strcmp(path, "-") == 0) return map_pipe(r->name, STDIN_FILENO, &r->map, e);
    if (file_kind(path) != FILE_OTHER) return file_map(path, &r->map, e);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) return err_errno(e, E_IO, "%s: cannot be opened", path);
    int rc = map_pipe(r->name, fd, &r->map, e);
    close(fd);
    return rc;
}

struct str rows_rest(const struct rows *r)
{
    const char *p = (const char *)r->map.data;
    return p ? (struct str){p + r->at, r->map.size - r->at} : str_of("");
}

static int open_parts(const char *path, struct rows *r, struct err *e)
{
    snprintf(r->name, sizeof r->name, "%s", strcmp(path, "-") == 0 ? "standard input" : path);
    TRY(map_any(path, r, e));
    TRY(arena_open("records", 0, &r->arena, e));
    struct str rest = rows_rest(r);
    if (rest.n >= 3 && memcmp(rest.p, "\xef\xbb\xbf", 3) == 0) r->at = 3; /* byte order mark */
    if (r->format == ROWS_CSV || r->format == ROWS_TSV) {
        TRY(rows_csv_header(r, e));
    } else {
        r->field = ARENA_NEW(r->arena, struct rows_field, 1, e);
        if (!r->field) return -1;
        r->field->name = str_of("text");
    }
    r->mark = arena_here(r->arena);
    r->start = r->at;
    r->start_line = r->next_line;
    return 0;
}

void rows_rewind(struct rows *r)
{
    r->at = r->dropped = r->start;
    r->next_line = r->start_line;
    r->n = 0;
}

int rows_open(const char *path, enum rows_format format, struct rows *r, struct err *e)
{
    *r = (struct rows){.format = format, .next_line = 1};
    if (open_parts(path, r, e) == 0) return 0;
    rows_close(r);
    return -1;
}

void rows_close(struct rows *r)
{
    json_close(&r->doc);
    arena_close(&r->arena);
    file_unmap(&r->map);
    *r = (struct rows){0};
}

static int next_line(struct rows *r, struct str *line, struct err *e)
{
    struct str rest = rows_rest(r);
    r->line = r->next_line;
    if (!str_line(&rest, line)) return 0;
    r->at = r->map.size - rest.n;
    r->next_line++;
    if (line->n > ROWS_BYTES_MAX)
        return rows_bad(r, e, "%zu bytes; at most %u are read", line->n, ROWS_BYTES_MAX);
    if (!str_utf8_whole(line->p, line->n)) return rows_bad(r, e, "not UTF-8");
    return 1;
}

static int next_text(struct rows *r, struct err *e)
{
    int rc = next_line(r, &r->field->text, e);
    r->n_fields = 1;
    return rc;
}

static int next_json(struct rows *r, struct err *e)
{
    struct str line;
    int rc;
    do {
        rc = next_line(r, &line, e);
    } while (rc == 1 && str_trim(line).n == 0);
    if (rc != 1) return rc;
    struct err why;
    if (json_open(r->arena, line.p, line.n, &r->doc, &why)) {
        if (why.code == E_INPUT) return rows_bad(r, e, "%s", why.text);
        *e = why;
        return -1;
    }
    r->json = json_root(r->doc);
    if (json_is_object(r->json)) return 1;
    return rows_bad(r, e, "not a JSON object");
}

int rows_next(struct rows *r, struct err *e)
{
    json_close(&r->doc); /* lies in the arena */
    r->json = NULL;
    arena_rewind(r->arena, r->mark);
    if (r->at - r->dropped >= DROP_STEP) {
        file_map_drop(&r->map, r->dropped, r->at - r->dropped);
        r->dropped = r->at;
    }
    int rc = r->format == ROWS_LINES   ? next_text(r, e)
             : r->format == ROWS_JSONL ? next_json(r, e)
                                       : rows_csv_next(r, e);
    r->n += rc == 1;
    return rc;
}

static bool json_as_text(struct rows *r, const struct json *v, struct str *text)
{
    struct err ignored;
    char number[40];
    if (json_is_text(v)) {
        *text = json_text(v);
        return true;
    }
    if (json_is_number(v)) {
        int64_t whole = json_int(v, INT64_MIN);
        if (whole != INT64_MIN)
            snprintf(number, sizeof number, "%lld", (long long)whole);
        else
            for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads the same */
                double back;
                snprintf(number, sizeof number, "%.*g", digits, json_number(v, 0));
                if (str_double(number, &back) && back == json_number(v, 0)) break;
            }
    } else if (json_bool(v, true) == json_bool(v, false)) {
        snprintf(number, sizeof number, "%s", json_bool(v, false) ? "true" : "false");
    } else {
        return false;
    }
    char *copy = arena_text(r->arena, number, strlen(number), &ignored);
    *text = str_of(copy ? copy : "");
    return copy;
}

bool rows_get(struct rows *r, const char *name, struct str *text)
{
    if (r->format == ROWS_JSONL) return json_as_text(r, json_key(r->json, name), text);
    for (size_t i = 0; i < r->n_fields; i++) {
        if (!str_eq(r->field[i].name, name)) continue;
        *text = r->field[i].text;
        return true;
    }
    return false;
}
