/* Records from a file of lines, JSON lines, CSV or TSV, one after the other. The file is mapped (of
 * standard input a copy in a temporary file is), so memory is that of one record.
 *
 *     lines   every line is a record with the one field "text"; an empty line is a record too
 *     jsonl   every line is a JSON object; empty lines are nothing
 *     csv     RFC 4180; the first record names the columns; the separator is the one of , ; and tab
 *             that the header has most of. tsv: the separator is a tab */
#ifndef LOAD_ROWS_H
#define LOAD_ROWS_H

#include "base/file.h"
#include "base/json.h"

#define ROWS_FORMATS    "lines|jsonl|csv|tsv"
#define ROWS_BYTES_MAX  (64u << 20) /* of a record */
#define ROWS_FIELDS_MAX 65536

enum rows_format { ROWS_LINES, ROWS_JSONL, ROWS_CSV, ROWS_TSV };

struct rows_field {
    struct str name, text;
};

struct rows {
    char name[256]; /* for messages */
    enum rows_format format;
    int64_t n;                /* records read so far */
    uint64_t line;            /* on which the present one begins, from 1 */
    struct rows_field *field; /* lines, csv, tsv: of the present record */
    size_t n_fields;
    const struct json *json; /* jsonl: the present record, an object */
    /* private */
    struct arena *arena; /* columns, then what the present record needs */
    struct arena_mark mark;
    struct json_doc *doc;
    struct file_map map;
    size_t at, dropped, start;
    uint64_t next_line, start_line;
    char separator;
};

/* rows_format_of: by what the path ends in: .jsonl .ndjson .json, .csv, .tsv .tab; else lines. */
enum rows_format rows_format_of(const char *path);

/* rows_open: "-" is standard input. *r is closed after a failure. Errors: E_IO; E_INPUT (a header
 * that cannot be one), E_NOMEM. */
int rows_open(const char *path, enum rows_format format, struct rows *r, struct err *e);
void rows_close(struct rows *r); /* harmless on a struct of zeros and after a failure */

/* rows_next: 1 and the next record, whose texts live until the next call; 0 at the end; -1 with
 * E_INPUT "NAME: line 7: .." (not UTF-8, not an object, a quote that is not closed, more fields
 * than columns, a record of more than 64 MiB), E_NOMEM. */
int rows_next(struct rows *r, struct err *e);

/* rows_rewind: before the first record again. */
void rows_rewind(struct rows *r);

/* rows_get: a field of the present record as text: of JSON a text as it is, a number or a truth
 * value as JSON writes it. False if there is none (or null, or an array or object). Lives until
 * the next rows_next. */
bool rows_get(struct rows *r, const char *name, struct str *text);

/* rows_bad: E_INPUT "NAME: line 7: sentence" about the present record. Returns -1. */
int rows_bad(const struct rows *r, struct err *e, const char *format, ...) BASE_PRINTF(3, 4);

/* rows_rest: what has not been read yet; for the readers. */
struct str rows_rest(const struct rows *r);

#define rows_bad(...) (rows_bad(__VA_ARGS__), err_failed())

#endif
