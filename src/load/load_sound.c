/* Are a model's weights numbers? Called once before they are packed, which reads the same pages:
 * rounding to i8 and softmax can make a finite result of a NaN, and a wrong vector looks like any.
 */
#include "base/thread.h"
#include "load/load.h"
#include <string.h>

#define BLOCK 256 /* elements looked at without a branch */

struct looking {
    const struct tensor *t;
    bool *bad; /* [threads] */
};

/* Whether any of BLOCK elements has all bits of its exponent: an infinity or NaN. */
static bool bad_block(const char *p, enum dtype type)
{
    uint32_t bad = 0, mask = type == DTYPE_F32 ? 0x7f800000 : type == DTYPE_F16 ? 0x7c00 : 0x7f80;
    if (type == DTYPE_F32) {
        uint32_t bits[BLOCK];
        memcpy(bits, p, sizeof bits);
        for (int i = 0; i < BLOCK; i++) bad |= (bits[i] & mask) == mask;
    } else {
        uint16_t bits[BLOCK];
        memcpy(bits, p, sizeof bits);
        for (int i = 0; i < BLOCK; i++) bad |= (bits[i] & mask) == mask;
    }
    return bad;
}

static void look_share(void *ctx, struct thread_team *team, int id)
{
    const struct looking *l = ctx;
    size_t bytes = tensor_type_bytes(l->t->type);
    int64_t from, to, i, n = tensor_count(l->t->rank, l->t->dim);
    thread_share(team, id, n, BLOCK, &from, &to);
    const char *p = l->t->data;
    bool bad = false;
    for (i = from; i + BLOCK <= to && !bad; i += BLOCK)
        bad = bad_block(p + (size_t)i * bytes, l->t->type);
    if (i < to && !bad) {
        char rest[BLOCK * 4] = {0};
        memcpy(rest, p + (size_t)i * bytes, (size_t)(to - i) * bytes);
        bad = bad_block(rest, l->t->type);
    }
    l->bad[id] = bad;
}

int load_sound(struct arena *a, const struct load_weights *w, const void *but, int threads,
               struct err *e)
{
    bool *bad = ARENA_NEW(a, bool, (size_t)threads, e);
    if (!bad) return -1;
    for (size_t i = 0; i < w->n; i++) {
        struct tensor t = w->tensor[i].t, scale = {.type = DTYPE_F32, .rank = 1, .data = t.scale};
        if (t.data == but) continue;
        scale.dim[0] = t.dim[0];
        if (t.type == DTYPE_I8 && t.scale) t = scale;
        if (t.type != DTYPE_F32 && t.type != DTYPE_F16 && t.type != DTYPE_BF16) continue;
        thread_run(tensor_bytes(&t) > 1 << 18 ? threads : 1, look_share,
                   &(struct looking){&t, bad});
        for (int k = 0; k < threads; k++) {
            if (bad[k])
                return err_set(e, E_MODEL, "tensor %s holds numbers that are none: it is damaged",
                               w->tensor[i].name);
        }
        /* packing reads them again from the system's cache; kept, all would be resident twice */
        load_drop(w, t.data, tensor_bytes(&t));
    }
    return 0;
}
