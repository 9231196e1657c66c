/* zlib, with its memory in our arena: deflate allocates when it is opened, and never after. */
#include "jobs/ratio.h"

#define ZLIB_CONST
#include <zlib.h>

struct ratio {
    z_stream z;
    struct arena *a;
    struct err *e; /* where a failing allocation is told; of the call in progress */
};

static void *take(void *ctx, uInt n, uInt size)
{
    struct ratio *r = ctx;
    return arena_array(r->a, n, size, BASE_LINE, r->e);
}

static void give(void *ctx, void *p)
{
    (void)ctx, (void)p; /* the arena's owner does */
}

int ratio_init(struct arena *a, struct ratio **out, struct err *e)
{
    struct ratio *r = ARENA_NEW(a, struct ratio, 1, e);
    if (r == NULL) return -1;
    r->a = a;
    r->e = e;
    r->z.zalloc = take;
    r->z.zfree = give;
    r->z.opaque = r;
    int rc = deflateInit(&r->z, Z_DEFAULT_COMPRESSION);
    if (rc == Z_MEM_ERROR) return -1;
    if (rc != Z_OK) return err_set(e, E_MISSING, "the zlib here is not the one lode was built for");
    r->e = NULL;
    *out = r;
    return 0;
}

double ratio_text(struct ratio *r, const char *p, size_t n)
{
    assert(n <= INT32_MAX);
    int rc = deflateReset(&r->z);
    assert(rc == Z_OK);
    r->z.next_in = (const Bytef *)p;
    r->z.avail_in = (uInt)n;
    Bytef sink[4096]; /* only the count matters */
    do {
        r->z.next_out = sink;
        r->z.avail_out = sizeof(sink);
        rc = deflate(&r->z, Z_FINISH);
    } while (rc == Z_OK);
    assert(rc == Z_STREAM_END);
    return (double)n / (double)r->z.total_out;
}
