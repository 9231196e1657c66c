#include "load/rows_documents.h"
#include "base/child.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONVERT_S    120 /* of one document: a book takes pandoc some seconds */
#define SAID_BYTES   4096
#define FOLDER_FILES 1000000

enum program { NONE, PDFTOTEXT, PANDOC };

static const struct kind {
    const char *suffix;
    enum program program;
    const char *format; /* as pandoc calls it */
} kinds[] = {
    {".pdf", PDFTOTEXT, ""}, {".docx", PANDOC, "docx"}, {".odt", PANDOC, "odt"},
    {".rtf", PANDOC, "rtf"}, {".epub", PANDOC, "epub"}, {".txt", NONE, ""},
    {".md", NONE, ""},
};

static const struct kind *kind_of(const char *path)
{
    size_t n = strlen(path);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        size_t k = strlen(kinds[i].suffix);
        bool same = n > k;
        for (size_t c = 0; same && c < k; c++) {
            char x = path[n - k + c];
            same = (x >= 'A' && x <= 'Z' ? (char)(x | 0x20) : x) == kinds[i].suffix[c];
        }
        if (same) return &kinds[i];
    }
    return NULL;
}

bool rows_documents_fit(const char *path)
{
    const struct kind *kind = kind_of(path);
    return (kind && kind->program != NONE) || file_kind(path) == FILE_FOLDER;
}

/* The last line that is not empty. */
static struct str last_line(struct str said)
{
    struct str line, last = str_of("it says nothing");
    while (str_line(&said, &line))
        if (str_trim(line).n) last = str_trim(line);
    return last;
}

/* One program, which writes the text of a document to an open temporary file. */
static int convert(struct arena *a, const struct kind *kind, const char *path, int fd,
                   struct err *e)
{
    char to[64];
    struct child_end end;
    /* the file has no name: the child opens it through ours */
    snprintf(to, sizeof to, "/proc/%ld/fd/%d", (long)getpid(), fd);
    /* a path that begins with - would be an option */
    char *from = arena_format(a, e, "%s%s", path[0] == '-' ? "./" : "", path);
    if (!from) return -1;
    const char *const pdf[] = {"pdftotext", "-enc", "UTF-8", "-nopgbrk", from, to, NULL};
    const char *const other[] = {"pandoc", "-f", kind->format,  "-t", "plain",
                                 "-o",     to,   "--wrap=none", from, NULL};
    const char *const *argv = kind->program == PDFTOTEXT ? pdf : other;
    if (child_run(a, argv, CONVERT_S, SAID_BYTES, &end, e)) {
        if (e->code != E_MISSING) return err_note(e, "%s", path);
        return err_set(e, E_MISSING,
                       "%s: is read through %s, which is not installed (on Debian and Ubuntu: apt "
                       "install %s)",
                       path, argv[0], kind->program == PDFTOTEXT ? "poppler-utils" : "pandoc");
    }
    if (end.status == 0) return 0;
    struct str said = last_line(end.output);
    return err_set(e, E_INPUT, "%s: %s ended with status %d: %.*s", path, argv[0], end.status,
                   (int)MIN(said.n, (size_t)200), said.p);
}

/* Lines that only the page's width ended become one: a line's end is the end of a sentence to those
 * who read the text. */
static void join_lines(char *p, size_t n)
{
    for (size_t i = 1; i + 1 < n; i++)
        if (p[i] == '\n' && p[i - 1] != '\n' && p[i + 1] != '\n') p[i] = ' ';
}

/* The text of a document, in a. */
static int read_text(struct arena *a, const char *path, struct str *text, struct err *e)
{
    const struct kind *kind = kind_of(path);
    char own[64];
    int fd;
    if (kind->program == NONE) {
        TRY(file_read(a, path, ROWS_BYTES_MAX, text, e));
    } else {
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY); /* our words, not that program's */
        if (fd < 0) return err_errno(e, E_IO, "%s: cannot be opened", path);
        close(fd);
        TRY(file_spool(&fd, e));
        snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
        int rc = convert(a, kind, path, fd, e);
        if (rc == 0) rc = file_read(a, own, ROWS_BYTES_MAX, text, e);
        close(fd);
        TRY(rc);
    }
    if (!str_utf8_whole(text->p, text->n)) return err_set(e, E_INPUT, "%s: not UTF-8", path);
    if (str_trim(*text).n == 0)
        return err_set(e, E_INPUT, "%s: has no text; of scanned pages it must be recognised first",
                       path);
    if (kind->program == PDFTOTEXT)
        join_lines((char *)(uintptr_t)text->p, text->n); /* it lies in a, and is ours */
    return 0;
}

/* The files of a folder but for hidden ones, or the one file. */
static int list(struct arena *a, const char *path, char ***names, size_t *n, struct err *e)
{
    *n = 0;
    if (file_kind(path) != FILE_FOLDER) {
        *names = ARENA_NEW(a, char *, 1, e);
        if (!*names) return -1;
        (*names)[(*n)++] = arena_text(a, path, strlen(path), e);
        return (*names)[0] ? 0 : -1;
    }
    size_t all;
    TRY(file_list(a, path, names, &all, e));
    for (size_t i = 0; i < all; i++) {
        const char *name = (*names)[i];
        if (name[0] == '.') continue;
        char *whole = file_join(a, path, name, e);
        if (!whole) return -1;
        if (file_kind(whole) != FILE_REGULAR || !kind_of(name))
            return err_set(e, E_INPUT,
                           "%s: lode reads a folder of .pdf, .docx, .odt, .rtf, .epub, .txt and "
                           ".md files, which this is not",
                           whole);
        (*names)[(*n)++] = whole;
    }
    if (*n == 0 || *n > FOLDER_FILES)
        return err_set(e, E_INPUT, "%s: a folder with %zu documents", path, *n);
    return 0;
}

/* All texts one after the other to fd; where each lies to r->document. */
static int convert_all(const char *path, struct rows *r, struct arena *job, int fd, struct err *e)
{
    char **names;
    uint64_t at = 0;
    TRY(list(r->arena, path, &names, &r->n_documents, e));
    r->document = ARENA_NEW(r->arena, struct rows_document, r->n_documents, e);
    if (!r->document) return -1;
    for (size_t i = 0; i < r->n_documents; i++) {
        struct str text;
        arena_reset(job);
        TRY(read_text(job, names[i], &text, e));
        TRY(file_write_all(fd, text.p, text.n, e));
        r->document[i] = (struct rows_document){file_name(names[i]), at, text.n};
        at += text.n;
    }
    return 0;
}

int rows_documents_open(const char *path, struct rows *r, struct err *e)
{
    char own[64];
    struct arena *job;
    int fd, rc = -1;
    r->field = ARENA_NEW(r->arena, struct rows_field, 2, e);
    if (!r->field) return -1;
    r->field[0].name = str_of("text");
    r->field[1].name = str_of("id");
    TRY(file_spool(&fd, e));
    if (arena_open("document", 0, &job, e) == 0) {
        snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
        rc = convert_all(path, r, job, fd, e);
        if (rc == 0) rc = file_map(own, &r->map, e);
        arena_close(&job);
    }
    close(fd);
    return rc;
}

int rows_documents_next(struct rows *r, struct err *e)
{
    (void)e;
    if ((uint64_t)r->n >= r->n_documents) return 0;
    const struct rows_document *d = &r->document[r->n];
    snprintf(r->name, sizeof r->name, "%s", d->name);
    r->line = 1;
    r->field[0].text = (struct str){(const char *)r->map.data + d->offset, d->bytes};
    r->field[1].text = str_of(d->name);
    r->n_fields = 2;
    r->at = d->offset + d->bytes; /* what is behind us may leave memory */
    return 1;
}
