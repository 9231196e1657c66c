#include "jobs/journal.h"
#include "base/file.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal {
    const char *path;
    uint64_t settings;
    struct str *line; /* [n], sorted */
    size_t n;
    int fd;
    bool torn; /* the file does not end with the end of a line */
};

static int by_text(const void *a, const void *b)
{
    const struct str *x = a, *y = b;
    int c = memcmp(x->p, y->p, MIN(x->n, y->n));
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static int read_lines(struct arena *a, struct journal *j, struct err *e)
{
    struct str text;
    if (file_kind(j->path) == FILE_NONE) return 0;
    TRY(file_read(a, j->path, JOURNAL_MAX, &text, e));
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) n += text.p[i] == '\n';
    j->line = ARENA_NEW(a, struct str, n, e);
    if (!j->line) return -1;
    for (const char *p = text.p, *end; j->n < n; p = end + 1) {
        end = memchr(p, '\n', text.n - (size_t)(p - text.p));
        j->line[j->n++] = (struct str){p, (size_t)(end - p)};
    }
    j->torn = text.n > 0 && text.p[text.n - 1] != '\n';
    if (n) qsort(j->line, n, sizeof *j->line, by_text);
    return 0;
}

int journal_open(struct arena *a, const char *folder, uint64_t settings, struct journal **out,
                 struct err *e)
{
    struct journal *j = ARENA_NEW(a, struct journal, 1, e);
    if (!j) return -1;
    j->settings = settings;
    j->path = file_join(a, folder, JOURNAL_NAME, e);
    if (!j->path) return -1;
    TRY(read_lines(a, j, e));
    j->fd = open(j->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (j->fd < 0) return err_errno(e, E_IO, "%s", j->path);
    *out = j;
    return 0;
}

static int mix(void *ctx, const char *p, size_t n, struct err *e)
{
    uint64_t *hash = ctx;
    (void)e;
    *hash = str_hash(*hash, p, n);
    return 0;
}

uint64_t journal_settings(const struct opt_row *rows, size_t n, const void *opts)
{
    uint64_t hash = STR_HASH;
    struct json_out j;
    struct err ignored;
    json_out_init(&j, 0, mix, &hash, &ignored);
    json_out_object(&j);
    opt_json(rows, n, opts, &j);
    json_out_end(&j, '}');
    json_out_flush(&j);
    return hash;
}

/* In the path what could end a line, or a terminal's peace, is written as %XX. */
int journal_line(const struct journal *j, struct arena *a, const char *input, struct str *out,
                 struct err *e)
{
    struct stat st;
    if (stat(input, &st) != 0) return err_errno(e, E_IO, "%s", input);
    size_t most = 3 * strlen(input) + 1, n = 0;
    char *name = arena_alloc(a, most, 1, e);
    if (!name) return -1;
    for (const char *p = input; *p; p++) {
        uint8_t c = (uint8_t)*p;
        if (c < 0x20 || c == 0x7f || c == '%') {
            static const char digit[] = "0123456789ABCDEF";
            name[n++] = '%';
            name[n++] = digit[c >> 4];
            name[n++] = digit[c & 15];
        } else {
            name[n++] = *p;
        }
    }
    name[n] = 0;
    char *line =
        arena_format(a, e, "done %016llx %lld %lld.%09ld %s", (unsigned long long)j->settings,
                     (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, name);
    if (!line) return -1;
    *out = (struct str){line, strlen(line)};
    return 0;
}

bool journal_has(const struct journal *j, struct str line)
{
    return j->n && bsearch(&line, j->line, j->n, sizeof line, by_text);
}

int journal_add(struct journal *j, struct arena *scratch, struct str line, struct err *e)
{
    char *whole = arena_format(scratch, e, "%s%.*s\n", j->torn ? "\n" : "", (int)line.n, line.p);
    if (!whole) return -1;
    j->torn = false;
    if (file_write_all(j->fd, whole, strlen(whole), e)) return err_note(e, "%s", j->path);
    return fdatasync(j->fd) == 0 ? 0 : err_errno(e, E_IO, "%s", j->path);
}

void journal_close(struct journal **j)
{
    if (!*j) return;
    close((*j)->fd);
    *j = NULL;
}
