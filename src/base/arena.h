/* Memory by lifetime. There are four kinds of arena: process, model, job, step. Whoever opened an
 * arena resets or closes it; nobody frees a piece. This is the only file of lode that calls malloc
 * or maps anonymous memory.
 *
 *     chunk 0            chunk 1                  big piece (own chunk, page aligned)
 *     [xxxxxxxxx....]    [xxxxxxxxxxxxxxx.....]   [xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx]
 *               ^ free from here                                                     */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/err.h"

struct arena;

struct arena_mark {
    void *chunk;
    size_t used;
};

/* arena_open: a new, empty arena. name: for error messages, borrowed for ever (a literal).
 * limit_bytes: more than this in all is refused with E_NOMEM; 0 means no limit. Errors: E_NOMEM. */
int arena_open(const char *name, size_t limit_bytes, struct arena **out, struct err *e);

/* arena_alloc: size bytes, zeroed, aligned to `align` (a power of two, at most 2 MiB).
 * Lives until reset, rewind or close. NULL with *e filled: E_NOMEM. size 0 gives a valid pointer.
 */
void *arena_alloc(struct arena *a, size_t size, size_t align, struct err *e);

/* arena_sparse: of the `size` bytes that arena_alloc gave those behind `from` will be used in
 * places only, so not in huge pages, of which each is cleared and resident whole. */
void arena_sparse(void *p, size_t size, size_t from);

/* arena_array: like arena_alloc for n elements, the product checked for overflow. */
void *arena_array(struct arena *a, size_t n, size_t size, size_t align, struct err *e);

/* n objects of type T, zeroed; NULL with *e filled. */
#define ARENA_NEW(a, T, n, e) ((T *)arena_array((a), (n), sizeof(T), _Alignof(T), (e)))

/* arena_text: a NUL-terminated copy of n bytes. arena_format: the same for printf. NULL with *e
 * filled. */
char *arena_text(struct arena *a, const char *p, size_t n, struct err *e);
char *arena_format(struct arena *a, struct err *e, const char *format, ...) BASE_PRINTF(3, 4);

/* arena_here / arena_rewind: give back all that was allocated since the mark. Chunks are kept for
 * reuse, big pieces are returned to the system. */
struct arena_mark arena_here(const struct arena *a);
void arena_rewind(struct arena *a, struct arena_mark mark);
void arena_reset(struct arena *a);

/* arena_close: returns everything; *a becomes NULL; NULL is allowed. */
void arena_close(struct arena **a);

/* arena_used: bytes handed out. arena_held: bytes asked from the system. */
size_t arena_used(const struct arena *a);
size_t arena_held(const struct arena *a);

/* arena_system_calls: how often the calling thread asked the system for memory. The proof of
 * "no allocation after prepare" is that this number stands still. */
uint64_t arena_system_calls(void);

#endif
