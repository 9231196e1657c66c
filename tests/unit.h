/* cmocka with what it wants included before it, and a folder for the files of a test. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include "base/file.h"

#include <math.h>
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

/* unit_near: |got - want| <= tolerance * (1 + |want|). */
static inline void unit_near(const char *what, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("%s is %.10g, expected %.10g", what, got, want);
}

/* unit_all_near: |got - want| <= tolerance for all n; tells the worst. */
static inline void unit_all_near(const char *what, const float *got, const float *want, int64_t n,
                                 double tolerance)
{
    int64_t worst = 0;
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        double off = fabs((double)got[i] - (double)want[i]);
        if (off <= most) continue;
        most = off;
        worst = i;
        if (isnan(off)) break;
    }
    if (!(most <= tolerance))
        fail_msg("%s: element %lld is %g, expected %g, off by %g (allowed %g)", what,
                 (long long)worst, (double)got[worst], (double)want[worst], most, tolerance);
}

#endif
