#include "core/planmem.h"

/* One span of the slab that is taken while the item being placed lives. */
struct span {
    size_t from, to;
};

static bool lives_with(const struct planmem_item *a, const struct planmem_item *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* Inserts into a list sorted by start; n is its length before. */
static void span_insert(struct span *list, int n, struct span s)
{
    while (n > 0 && list[n - 1].from > s.from) {
        list[n] = list[n - 1];
        n--;
    }
    list[n] = s;
}

/* The smallest hole between taken spans that holds `bytes`, or the end of the last. */
static size_t best_hole(const struct span *list, int n, size_t bytes)
{
    size_t best = 0, best_size = SIZE_MAX, end = 0;
    for (int i = 0; i < n; i++) {
        if (list[i].from >= end + bytes && list[i].from - end < best_size) {
            best = end;
            best_size = list[i].from - end;
        }
        end = MAX(end, list[i].to);
    }
    return best_size == SIZE_MAX ? end : best;
}

int planmem_place(struct arena *a, struct planmem_item *item, int n, size_t align, size_t *total,
                  struct err *e)
{
    *total = 0;
    if (n == 0) return 0;
    struct arena_mark mark = arena_here(a);
    int *order = ARENA_NEW(a, int, (size_t)n, e);
    struct span *taken = ARENA_NEW(a, struct span, (size_t)n, e);
    if (!order || !taken) return -1;

    for (int i = 0; i < n;
         i++) { /* insertion sort, largest first: some hundred items, and stable */
        int at = i;
        while (at > 0 && item[order[at - 1]].bytes < item[i].bytes) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
    }
    for (int i = 0; i < n; i++) {
        struct planmem_item *me = &item[order[i]];
        int n_taken = 0;
        for (int j = 0; j < i; j++) {
            const struct planmem_item *other = &item[order[j]];
            if (other->bytes == 0 || !lives_with(me, other)) continue;
            span_insert(
                taken, n_taken++,
                (struct span){other->offset, other->offset + ALIGN_UP(other->bytes, align)});
        }
        if (me->bytes > SIZE_MAX / 4)
            return err_set(e, E_NOMEM, "a value of %zu bytes cannot be placed", me->bytes);
        me->offset = best_hole(taken, n_taken, ALIGN_UP(me->bytes, align));
        *total = MAX(*total, me->offset + ALIGN_UP(me->bytes, align));
    }
    arena_rewind(a, mark);
    return 0;
}
