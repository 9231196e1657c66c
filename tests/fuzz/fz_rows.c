/* Any bytes as lines, JSON lines, CSV and TSV: every record is read, and read again after
 * rewinding; the texts are UTF-8 and lie where they may be read. */
#include "load/rows.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) abort();
}

/* A number made of all texts of all records. */
static uint64_t read_all(struct rows *r)
{
    struct err e;
    struct str s;
    uint64_t hash = 1;
    int rc;
    while ((rc = rows_next(r, &e)) == 1) {
        for (size_t i = 0; r->format != ROWS_JSONL && i < r->n_fields; i++) {
            require(str_utf8_whole(r->field[i].text.p, r->field[i].text.n));
            for (size_t k = 0; k < r->field[i].text.n; k++)
                hash = hash * 31 + (uint8_t)r->field[i].text.p[k];
        }
        if (rows_get(r, "text", &s))
            for (size_t k = 0; k < s.n; k++) hash = hash * 31 + (uint8_t)s.p[k];
        hash = hash * 31 + r->line;
    }
    require(rc == 0 || e.code == E_INPUT);
    return hash * 31 + (uint64_t)r->n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("rows", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (int format = ROWS_LINES; format <= ROWS_TSV; format++) {
        struct rows r;
        struct err e;
        if (rows_open(path, (enum rows_format)format, &r, &e)) continue;
        uint64_t first = read_all(&r);
        rows_rewind(&r);
        require(read_all(&r) == first);
        rows_close(&r);
    }
    close(fd);
    return 0;
}
