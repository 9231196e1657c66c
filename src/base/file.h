/* Files: mapped reading, atomic writing, folders, the cache, temporary spools, child processes'
 * paths. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/arena.h"
#include "base/str.h"

struct file_map { /* a file mapped read-only; data is NULL when size is 0 */
    const uint8_t *data;
    size_t size;
    char path[512]; /* for messages, cut if longer */
};

/* file_map: maps a regular file. Errors: E_IO (missing, unreadable, a folder),
 * E_NOMEM. */
int file_map(const char *path, struct file_map *out, struct err *e);
/* file_map_drop: tells the system that these bytes are not needed again soon (resident memory
 * shrinks). */
void file_map_drop(const struct file_map *m, size_t offset, size_t bytes);
void file_unmap(struct file_map *m);

/* file_read: the whole file, NUL appended, into the arena. Refuses more than max_bytes with
 * E_INPUT. */
int file_read(struct arena *a, const char *path, size_t max_bytes, struct str *out, struct err *e);

/* struct file_out: a file that appears under its name only when complete: written to
 * NAME.tmp-000000 in the same folder (a NAME too long for that is cut), or with the next number
 * while somebody else writes that, synced and renamed by commit, removed by abort. What a killed
 * process left there is removed by open: such a file is not locked any more. Small pieces go to it
 * together. Path "-" is standard output (nothing to rename, and nothing waits). */
struct file_out {
    int fd;
    char *path, *tmp; /* owned by the arena given to open; tmp NULL for "-" */
    uint64_t bytes;   /* given to write so far */
    size_t n_held;    /* of them, in held */
    char held[16 << 10];
};
int file_out_open(struct arena *a, const char *path, struct file_out *f, struct err *e);
int file_out_write(struct file_out *f, const void *p, size_t n,
                   struct err *e);                     /* E_IO, disk full said so */
int file_out_flush(struct file_out *f, struct err *e); /* what waits goes out now */
/* file_out_format: the same of a format; what comes after 1200 bytes is left out. */
int file_out_format(struct file_out *f, struct err *e, const char *format, ...) BASE_PRINTF(3, 4);
int file_out_commit(struct file_out *f, struct err *e);
void file_out_abort(struct file_out *f); /* harmless after commit */

enum file_kind { FILE_NONE, FILE_REGULAR, FILE_FOLDER, FILE_OTHER };
enum file_kind file_kind(const char *path);
/* file_same: both exist and are one and the same file, through links too. */
bool file_same(const char *a, const char *b);
/* file_clash: file_same, or they will be when they are made: one name in one folder. A link to what
 * is not there is not followed. */
bool file_clash(const char *a, const char *b);
int64_t file_size(const char *path); /* -1 if it cannot be told */

/* file_list: names (not paths) in a folder, sorted bytewise, without . and .. ; *names and strings
 * live in a. */
int file_list(struct arena *a, const char *folder, char ***names, size_t *n, struct err *e);
/* file_make_folders: mkdir -p. */
int file_make_folders(const char *path, struct err *e);
/* file_remove_tree: removes a folder and what is in it, following no links; missing is fine. */
int file_remove_tree(const char *path, struct err *e);

/* file_join: "a/b"; NULL with *e filled on lack of memory. file_name: last part of a path,
 * borrowed. */
char *file_join(struct arena *a, const char *folder, const char *name, struct err *e);
const char *file_name(const char *path);

/* file_cache: $LODE_CACHE, else $XDG_CACHE_HOME/lode, else ~/.cache/lode, joined with `below` (may
 * be ""). Not created. */
char *file_cache(struct arena *a, const char *below, struct err *e);
/* file_program_folder: the folder the running program lies in (links followed). Modules lie beside
 * the program. */
char *file_program_folder(struct arena *a, struct err *e);

/* file_spool: an unlinked temporary file in $TMPDIR or /tmp; *fd is the caller's to close. */
int file_spool(int *fd, struct err *e);
/* file_read_at / file_write_all: whole counts, EINTR and short counts handled. file_read_at returns
 * bytes read, less only at the end, -1 on error. */
int64_t file_read_at(int fd, void *p, size_t n, uint64_t offset, struct err *e);
int file_write_all(int fd, const void *p, size_t n, struct err *e);

#endif
