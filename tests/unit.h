/* cmocka with what it wants included before it, and a folder for the files of a test. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* unit_folder: a new empty folder in $TMPDIR or /tmp, its path in buf. */
static inline char *unit_folder(char *buf, size_t cap)
{
    const char *folder = getenv("TMPDIR");
    snprintf(buf, cap, "%s/lode-XXXXXX", folder ? folder : "/tmp");
    assert_non_null(mkdtemp(buf));
    return buf;
}

static inline void unit_remove(const char *folder)
{
    struct err e;
    assert_int_equal(file_remove_tree(folder, &e), 0);
}

/* unit_write: makes FOLDER/NAME with these bytes; the path in a buffer of the next call. */
static inline const char *unit_write(const char *folder, const char *name, const void *p, size_t n)
{
    static char path[1200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    return path;
}

#endif
