/* First use and last use -> offsets in one slab. Largest first, best fit; every offset is a
 * multiple of `align`. */
#ifndef CORE_PLANMEM_H
#define CORE_PLANMEM_H

#include "base/arena.h"

struct planmem_item {
    size_t bytes;
    int first, last; /* inclusive; items whose spans share a step never share bytes */
    size_t offset;   /* result */
};

/* planmem_place: fills offsets, returns the slab's size. Items are left in their order. Scratch
 * comes from a and is given back. Errors: E_NOMEM, overflow. */
int planmem_place(struct arena *a, struct planmem_item *item, int n, size_t align, size_t *total,
                  struct err *e);

#endif
