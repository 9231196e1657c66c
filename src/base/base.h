/* What every file may use: integer names, a few macros, attributes. Nothing here allocates or
 * fails. */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT(a)        (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)       ((a) < (b) ? (a) : (b))
#define MAX(a, b)       ((a) > (b) ? (a) : (b))
#define ALIGN_UP(n, to) (((n) + (to)-1) / (to) * (to))

#define BASE_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define BASE_UNUSED       __attribute__((unused))
#define BASE_EXPORT       __attribute__((visibility("default")))

/* Every buffer the kernels touch starts on a cache line, which is also the widest vector. */
#define BASE_LINE 64

#endif
