/* The module lode-index.so: the only file that knows libsqlite3. Opened by jobs/kept.c.
 *
 * A file is believed only if what SQLite says its schema is are our own words: no view, trigger or
 * other table of a file that somebody made can then run anything. */
#include "load/index.h"
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION 0x6c6f6465 /* "lode", SQLite's application_id */
#define BUSY_MS     10000
#define BYTES_MAX   (1 << 20) /* of a value or statement: the longest vector is 64 KiB */

/* clang-format off */
static const char make_of[] = "CREATE TABLE lode_of(model TEXT NOT NULL, settings TEXT NOT NULL, mark BLOB NOT NULL, width INTEGER NOT NULL)";
static const char make_vectors[] = "CREATE TABLE lode_vectors(hash BLOB PRIMARY KEY NOT NULL, vector BLOB NOT NULL)";
/* clang-format on */

struct index {
    const char *path;
    sqlite3 *db;
    sqlite3_stmt *get, *put;
    int width;
    bool begun; /* a transaction */
};

static int failed(struct index *x, struct err *e)
{
    int code = x->db ? sqlite3_errcode(x->db) : SQLITE_NOMEM;
    const char *why = x->db ? sqlite3_errmsg(x->db) : "not enough memory";
    switch (code & 0xff) {
    case SQLITE_NOTADB:
        return err_set(e, E_INPUT, "%s: not an index of lode", x->path);
    case SQLITE_CORRUPT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
    case SQLITE_ERROR:
        return err_set(e, E_INPUT, "%s: this index is damaged (%s); remove it and it is made anew",
                       x->path, why);
    case SQLITE_NOMEM: /* SQLite says so of some damaged files, too */
        return err_set(e, E_NOMEM, "%s: SQLite lacks memory for it (%s), or this index is damaged",
                       x->path, why);
    case SQLITE_BUSY:
        return err_set(e, E_IO, "%s: another process has been writing it for %d s", x->path,
                       BUSY_MS / 1000);
    default:
        return err_set(e, E_IO, "%s: %s", x->path, why);
    }
}

static int run(struct index *x, const char *sql, struct err *e)
{
    return sqlite3_exec(x->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(x, e);
}

static int prepare(struct index *x, const char *sql, sqlite3_stmt **out, struct err *e)
{
    return sqlite3_prepare_v2(x->db, sql, -1, out, NULL) == SQLITE_OK ? 0 : failed(x, e);
}

/* The number a statement's first row begins with. */
static int ask(struct index *x, const char *sql, int64_t *out, struct err *e)
{
    sqlite3_stmt *s;
    TRY(prepare(x, sql, &s, e));
    int rc = sqlite3_step(s) == SQLITE_ROW ? 0 : failed(x, e);
    if (rc == 0) *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return rc;
}

/* ---- opening ---- */

/* Whether the schema is ours, word by word. *n: how many things the file has. */
static int check_schema(struct index *x, int *n, struct err *e)
{
    sqlite3_stmt *s;
    int code, ours = 0;
    TRY(prepare(x, "SELECT name, sql FROM sqlite_master", &s, e));
    for (*n = 0; (code = sqlite3_step(s)) == SQLITE_ROW; ++*n) {
        const char *name = (const char *)sqlite3_column_text(s, 0);
        const char *sql = (const char *)sqlite3_column_text(s, 1);
        ours += sql ? strcmp(sql, make_of) == 0 || strcmp(sql, make_vectors) == 0
                    : name && strcmp(name, "sqlite_autoindex_lode_vectors_1") == 0;
    }
    int rc = code == SQLITE_DONE ? 0 : failed(x, e);
    sqlite3_finalize(s);
    TRY(rc);
    if (*n == 0 || (*n == 3 && ours == 3)) return 0;
    return err_set(e, E_INPUT, "%s: an SQLite database, but not an index of lode", x->path);
}

static int make(struct index *x, const struct index_of *of, struct err *e)
{
    char pragma[64];
    sqlite3_stmt *s;
    snprintf(pragma, sizeof pragma, "PRAGMA application_id = %d", APPLICATION);
    TRY(run(x, pragma, e));
    TRY(run(x, make_of, e));
    TRY(run(x, make_vectors, e));
    TRY(prepare(x, "INSERT INTO lode_of VALUES(?, ?, ?, ?)", &s, e));
    sqlite3_bind_text(s, 1, of->model, -1, SQLITE_STATIC);
    sqlite3_bind_text(s, 2, of->settings, -1, SQLITE_STATIC);
    sqlite3_bind_blob(s, 3, of->mark, SHA_BYTES, SQLITE_STATIC);
    sqlite3_bind_int(s, 4, of->width);
    int rc = sqlite3_step(s) == SQLITE_DONE ? 0 : failed(x, e);
    sqlite3_finalize(s);
    return rc;
}

static int compare(struct index *x, sqlite3_stmt *s, const struct index_of *of, struct err *e)
{
    if (sqlite3_step(s) != SQLITE_ROW)
        return err_set(e, E_INPUT, "%s: this index does not say whose vectors it holds; remove it",
                       x->path);
    const char *model = (const char *)sqlite3_column_text(s, 0);
    const char *settings = (const char *)sqlite3_column_text(s, 1);
    const void *mark = sqlite3_column_blob(s, 2);
    int bytes = sqlite3_column_bytes(s, 2);
    int64_t width = sqlite3_column_int64(s, 3);
    model = model ? model : "";
    settings = settings ? settings : "";
    if (width != of->width)
        return err_set(e, E_INPUT,
                       "%s: an index of vectors of %lld numbers, by %.100s; those of %.100s have "
                       "%d; take another file",
                       x->path, (long long)width, model, of->model, of->width);
    if (bytes != SHA_BYTES || memcmp(mark, of->mark, SHA_BYTES) != 0)
        return err_set(e, E_INPUT,
                       "%s: an index of another model (%.100s, whose weights are not those of "
                       "%.100s); take another file",
                       x->path, model, of->model);
    if (strcmp(settings, of->settings) == 0) return 0;
    return err_set(e, E_INPUT,
                   "%s: an index of %.100s (%.150s); now it is %.150s; give the same options or "
                   "another file",
                   x->path, model, settings, of->settings);
}

static int check(struct index *x, const struct index_of *of, struct err *e)
{
    int64_t application = 0;
    sqlite3_stmt *s;
    int n;
    TRY(check_schema(x, &n, e));
    TRY(ask(x, "PRAGMA application_id", &application, e));
    if (application != APPLICATION && (n || application))
        return err_set(e, E_INPUT, "%s: an SQLite database, but not an index of lode", x->path);
    if (n == 0) return make(x, of, e);
    TRY(prepare(x, "SELECT model, settings, mark, width FROM lode_of", &s, e));
    int rc = compare(x, s, of, e);
    sqlite3_finalize(s);
    return rc;
}

/* Opens the file: create is 0 or SQLITE_OPEN_CREATE. *n as of check_schema. */
static int connect(struct index *x, struct arena *a, int create, int *n, struct err *e)
{
    int off;
    /* A name of SQLite's own, such as :memory:, is a file to us. */
    const char *path = arena_format(a, e, "%s%s", x->path[0] == '/' ? "" : "./", x->path);
    if (!path) return -1;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | create;
    if (sqlite3_open_v2(path, &x->db, flags, NULL) != SQLITE_OK) return failed(x, e);
    sqlite3_limit(x->db, SQLITE_LIMIT_LENGTH, BYTES_MAX);
    sqlite3_db_config(x->db, SQLITE_DBCONFIG_DEFENSIVE, 1, &off);
    sqlite3_db_config(x->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, &off);
    sqlite3_busy_timeout(x->db, BUSY_MS);
    TRY(run(x, "PRAGMA cell_size_check = 1", e));
    return check_schema(x, n, e);
}

static int open_parts(struct index *x, struct arena *a, const struct index_of *of, struct err *e)
{
    int n;
    TRY(connect(x, a, SQLITE_OPEN_CREATE, &n, e));
    /* A file that is whole can be read where it cannot be written. */
    TRY(run(x, n ? "BEGIN" : "BEGIN IMMEDIATE", e));
    x->begun = true;
    TRY(check(x, of, e));
    TRY(run(x, "COMMIT", e));
    x->begun = false;
    TRY(prepare(x, "SELECT vector FROM lode_vectors WHERE hash = ?", &x->get, e));
    return prepare(x, "INSERT OR REPLACE INTO lode_vectors VALUES(?, ?)", &x->put, e);
}

static void close_index(struct index **x)
{
    if (!*x) return;
    sqlite3_finalize((*x)->get);
    sqlite3_finalize((*x)->put);
    sqlite3_close((*x)->db); /* rolls back */
    *x = NULL;
}

static int open_index(struct arena *a, const char *path, const struct index_of *of,
                      struct index **out, struct err *e)
{
    struct index *x = ARENA_NEW(a, struct index, 1, e);
    if (!x) return -1;
    x->path = path;
    x->width = of->width;
    if (open_parts(x, a, of, e)) {
        close_index(&x);
        return -1;
    }
    *out = x;
    return 0;
}

static int read_settings(struct index *x, struct arena *a, const char **out, struct err *e)
{
    sqlite3_stmt *s;
    int n, rc = 0;
    TRY(connect(x, a, 0, &n, e));
    if (n == 0) return 0;
    TRY(prepare(x, "SELECT settings FROM lode_of", &s, e));
    int code = sqlite3_step(s);
    const char *text = code == SQLITE_ROW ? (const char *)sqlite3_column_text(s, 0) : NULL;
    if (text) {
        *out = arena_format(a, e, "%s", text);
        rc = *out ? 0 : -1;
    } else if (code != SQLITE_ROW && code != SQLITE_DONE) {
        rc = failed(x, e);
    }
    sqlite3_finalize(s);
    return rc;
}

static int settings_of(struct arena *a, const char *path, const char **out, struct err *e)
{
    struct index *x = ARENA_NEW(a, struct index, 1, e);
    *out = NULL;
    if (!x) return -1;
    x->path = path;
    int rc = access(path, F_OK) == 0 ? read_settings(x, a, out, e) : 0;
    close_index(&x);
    return rc;
}

/* ---- vectors ---- */

static int take(struct index *x, float *vector, struct err *e)
{
    const void *p = sqlite3_column_blob(x->get, 0);
    int bytes = sqlite3_column_bytes(x->get, 0), width = x->width;
    float sum = 0;
    if (!p || bytes != width * (int)sizeof *vector)
        return err_set(e, E_INPUT, "%s: this index is damaged (a vector of %d bytes); remove it",
                       x->path, bytes);
    memcpy(vector, p, (size_t)bytes);
    for (int i = 0; i < width; i++) sum += fabsf(vector[i]);
    if (isfinite(sum)) return 1;
    return err_set(e, E_INPUT, "%s: this index is damaged (a vector that is none); remove it",
                   x->path);
}

static int get(struct index *x, const uint8_t hash[SHA_BYTES], float *vector, struct err *e)
{
    sqlite3_bind_blob(x->get, 1, hash, SHA_BYTES, SQLITE_STATIC);
    int code = sqlite3_step(x->get);
    int rc = code == SQLITE_ROW ? take(x, vector, e) : code == SQLITE_DONE ? 0 : failed(x, e);
    sqlite3_reset(x->get);
    return rc;
}

static int put(struct index *x, const uint8_t hash[SHA_BYTES], const float *vector, struct err *e)
{
    if (!x->begun) TRY(run(x, "BEGIN IMMEDIATE", e));
    x->begun = true;
    sqlite3_bind_blob(x->put, 1, hash, SHA_BYTES, SQLITE_STATIC);
    sqlite3_bind_blob(x->put, 2, vector, x->width * (int)sizeof *vector, SQLITE_STATIC);
    int rc = sqlite3_step(x->put) == SQLITE_DONE ? 0 : failed(x, e);
    sqlite3_reset(x->put);
    return rc;
}

static int commit(struct index *x, struct err *e)
{
    if (!x->begun) return 0;
    TRY(run(x, "COMMIT", e));
    x->begun = false;
    return 0;
}

const struct index_module index_module = {open_index, settings_of, get, put, commit, close_index};
