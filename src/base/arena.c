/* Small pieces are cut from chunks that only ever grow in number; a piece over BIG has a mapping of
 * its own, so that giving it back is one munmap and its pages come zeroed. The record of a big
 * piece lies in a chunk like any small piece: a rewind past the record is what releases the
 * mapping, and one list needs no second order. */
#include "base/arena.h"
#include "base/fault.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   ASAN_POISON_MEMORY_REGION(p, n)
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
enum { GAP = 32 }; /* poisoned bytes after each piece */
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
enum { GAP = 0 };
#endif

#define CHUNK_FIRST ((size_t)256 << 10)
#define CHUNK_MOST  ((size_t)8 << 20)
#define BIG         ((size_t)1 << 20)
#define HUGE_FROM   ((size_t)4 << 20) /* from here huge pages are asked for */
#define HUGE_PAGE   ((size_t)2 << 20)
#define PAGE        ((size_t)4096)
#define ALIGN_MOST  HUGE_PAGE

struct chunk {
    struct chunk *next;
    size_t size, used; /* bytes from the chunk's own start, this header included */
    unsigned number;   /* order in the list */
};

struct big {
    struct big *older;
    struct chunk *chunk; /* where this record lies */
    char *p;
    size_t bytes; /* of the mapping, whole pages */
};

struct arena {
    const char *name;
    size_t limit, used, held;
    struct chunk *first, *now, *last;
    struct big *bigs; /* newest first */
};

static _Thread_local uint64_t arena_calls;

uint64_t arena_system_calls(void)
{
    return arena_calls;
}

static int refuse(const struct arena *a, size_t size, struct err *e)
{
    return err_set(e, E_NOMEM, "%zu bytes for the %s arena (%zu in use) were refused", size,
                   a->name, a->used);
}

static struct chunk *chunk_new(size_t size)
{
    arena_calls++;
    if (fault_hit(FAULT_ALLOC)) return NULL;
    struct chunk *c = malloc(size);
    if (!c) return NULL;
    *c = (struct chunk){.size = size, .used = sizeof *c};
    POISON((char *)c + sizeof *c, size - sizeof *c);
    return c;
}

/* A piece of a chunk that has room for it; the caller made sure. */
static size_t place(const struct chunk *c, size_t align)
{
    uintptr_t at = (uintptr_t)c + c->used;
    return c->used + (size_t)(ALIGN_UP(at, (uintptr_t)align) - at);
}

static bool fits(const struct chunk *c, size_t size, size_t align)
{
    size_t from = place(c, align);
    return from <= c->size && size + GAP <= c->size - from;
}

static void *cut(struct arena *a, struct chunk *c, size_t size, size_t align)
{
    size_t from = place(c, align);
    size_t end = from + size + GAP;
    a->used += end - c->used;
    c->used = end;
    char *p = (char *)c + from;
    UNPOISON(p, size);
    memset(p, 0, size);
    return p;
}

int arena_open(const char *name, size_t limit_bytes, struct arena **out, struct err *e)
{
    *out = NULL;
    struct chunk *c = chunk_new(CHUNK_FIRST);
    if (!c)
        return err_set(e, E_NOMEM, "%zu bytes for the %s arena were refused", CHUNK_FIRST, name);
    struct arena seed = {.name = name};
    struct arena *a = cut(&seed, c, sizeof *a, _Alignof(max_align_t));
    *a = (struct arena){
        .name = name, .limit = limit_bytes, .held = CHUNK_FIRST, .first = c, .now = c, .last = c};
    *out = a;
    return 0;
}

static void *small(struct arena *a, size_t size, size_t align, struct err *e)
{
    for (struct chunk *c = a->now; c; c = c->next) {
        if (!fits(c, size, align)) continue;
        a->now = c;
        return cut(a, c, size, align);
    }
    size_t bytes = MIN(a->last->size * 2, CHUNK_MOST);
    bytes = MAX(bytes, ALIGN_UP(sizeof(struct chunk) + align + size + GAP, PAGE));
    struct chunk *c = chunk_new(bytes);
    if (!c) {
        refuse(a, size, e);
        return NULL;
    }
    c->number = a->last->number + 1;
    a->last->next = c;
    a->last = a->now = c;
    a->held += bytes;
    return cut(a, c, size, align);
}

/* More is mapped than needed, then both ends are cut off: the only portable way to an alignment
 * above a page. */
static char *map_aligned(size_t bytes, size_t align)
{
    arena_calls++;
    if (fault_hit(FAULT_ALLOC)) return NULL;
    size_t slack = align > PAGE ? align : 0;
    char *p = mmap(NULL, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t head = slack ? (size_t)(ALIGN_UP((uintptr_t)p, (uintptr_t)align) - (uintptr_t)p) : 0;
    if (head > 0) munmap(p, head);
    if (slack > head) munmap(p + head + bytes, slack - head);
    return p + head;
}

static void *big(struct arena *a, size_t size, size_t align, struct err *e)
{
    struct big *b = small(a, sizeof *b, _Alignof(struct big), e);
    if (!b) return NULL;
    size_t bytes = ALIGN_UP(size + GAP, PAGE);
    char *p = map_aligned(bytes, size >= HUGE_FROM ? ALIGN_MOST : align);
    if (!p) {
        refuse(a, size, e);
        return NULL;
    }
    if (size >= HUGE_FROM) madvise(p, bytes, MADV_HUGEPAGE); /* advice: failure is no loss */
    POISON(p + size, bytes - size);
    *b = (struct big){.older = a->bigs, .chunk = a->now, .p = p, .bytes = bytes};
    a->bigs = b;
    a->used += bytes;
    a->held += bytes;
    return p;
}

void *arena_alloc(struct arena *a, size_t size, size_t align, struct err *e)
{
    assert(align > 0 && (align & (align - 1)) == 0 && align <= ALIGN_MOST);
    bool over = a->limit > 0 && (a->used >= a->limit || size > a->limit - a->used);
    if (over || size > SIZE_MAX / 4) {
        err_set(e, E_NOMEM, "%zu bytes for the %s arena: %zu are in use, the limit is %zu", size,
                a->name, a->used, a->limit > 0 ? a->limit : SIZE_MAX / 4);
        return NULL;
    }
    return size > BIG ? big(a, size, align, e) : small(a, size, align, e);
}

void arena_sparse(void *p, size_t size, size_t from)
{
    uintptr_t first = ALIGN_UP((uintptr_t)p + from, (uintptr_t)PAGE);
    uintptr_t end = ((uintptr_t)p + size) / PAGE * PAGE;
    if (size >= HUGE_FROM && first < end) madvise((void *)first, end - first, MADV_NOHUGEPAGE);
}

void *arena_array(struct arena *a, size_t n, size_t size, size_t align, struct err *e)
{
    if (size > 0 && n > SIZE_MAX / size) {
        err_set(e, E_NOMEM, "%zu times %zu bytes for the %s arena are more than there can be", n,
                size, a->name);
        return NULL;
    }
    return arena_alloc(a, n * size, align, e);
}

char *arena_text(struct arena *a, const char *p, size_t n, struct err *e)
{
    char *text = arena_array(a, n + 1, 1, 1, e);
    if (text && n > 0) memcpy(text, p, n);
    return text;
}

char *arena_format(struct arena *a, struct err *e, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(n >= 0);
    char *text = arena_array(a, (size_t)n + 1, 1, 1, e);
    if (text) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

struct arena_mark arena_here(const struct arena *a)
{
    return (struct arena_mark){a->now, a->now->used};
}

static void unmap_newest(struct arena *a)
{
    struct big b = *a->bigs;
    UNPOISON(b.p, b.bytes);
    munmap(b.p, b.bytes);
    a->used -= b.bytes;
    a->held -= b.bytes;
    a->bigs = b.older;
}

void arena_rewind(struct arena *a, struct arena_mark mark)
{
    struct chunk *to = mark.chunk;
    assert(to && to->number <= a->now->number && mark.used <= to->used);
    while (a->bigs && (a->bigs->chunk->number > to->number ||
                       (a->bigs->chunk == to && (char *)a->bigs >= (char *)to + mark.used)))
        unmap_newest(a);
    for (struct chunk *c = to;; c = c->next) {
        size_t keep = c == to ? mark.used : sizeof *c;
        POISON((char *)c + keep, c->used - keep);
        a->used -= c->used - keep;
        c->used = keep;
        if (c == a->now) break;
    }
    a->now = to;
}

void arena_reset(struct arena *a)
{
    size_t own = (size_t)((char *)a - (char *)a->first) + sizeof *a + GAP;
    arena_rewind(a, (struct arena_mark){a->first, own});
}

void arena_close(struct arena **a)
{
    if (!*a) return;
    while ((*a)->bigs) unmap_newest(*a);
    for (struct chunk *c = (*a)->first, *next; c; c = next) { /* the first one holds the arena */
        next = c->next;
        UNPOISON(c, c->size);
        free(c);
    }
    *a = NULL;
}

size_t arena_used(const struct arena *a)
{
    return a->used;
}

size_t arena_held(const struct arena *a)
{
    return a->held;
}
