/* What the lanes of a warp do together, and what a thread does to memory by more than a plain
 * access: shuffles, ballot, matrix fragments, cp.async, atomics, f16.
 *
 * A lane leaves a pointer to a slot on its own stack and waits; the last one to arrive does the
 * work for all 32 and runs on. Layouts of fragments: gpu/dev.h, after the PTX ISA. */
#include "gpu/emu_state.h"

#if defined(__clang__) || defined(__GNUC__)
#define PLAIN __attribute__((no_sanitize("address", "undefined"))) /* our own arrays, hot */
#else
#define PLAIN
#endif

struct shuffle_slot {
    uint32_t v, got;
    int by;
};
struct load_slot {
    uint32_t *r;
    const char *row;
    int n, transposed;
};
struct mma_slot {
    void *c;
    const uint32_t *a, *b;
};

static struct emu_state *state(void)
{
    return (struct emu_state *)emu_now;
}

static void shuffle(struct emu_warp *w)
{
    for (int i = 0; i < 32; i++) {
        struct shuffle_slot *s = w->slot[i];
        int from = w->what == EMU_SHFL       ? s->by & 31
                   : w->what == EMU_SHFL_XOR ? i ^ (s->by & 31)
                   : w->what == EMU_SHFL_UP  ? i - s->by
                                             : i + s->by;
        if (from < 0 || from > 31) from = i;
        s->got = ((const struct shuffle_slot *)w->slot[from])->v;
    }
}

static void ballot(struct emu_warp *w)
{
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++) bits |= ((const struct shuffle_slot *)w->slot[i])->v << i;
    for (int i = 0; i < 32; i++) ((struct shuffle_slot *)w->slot[i])->got = bits;
}

static void ldmatrix(struct emu_warp *w)
{
    const struct load_slot *any = w->slot[0];
    for (int i = 0; i < any->n; i++)
        for (int lane = 0; lane < 32; lane++) {
            uint16_t pair[2];
            int g = lane / 4, t = lane % 4;
            for (int j = 0; j < 2; j++) {
                int row = any->transposed ? 2 * t + j : g, column = any->transposed ? g : 2 * t + j;
                const struct load_slot *from = w->slot[8 * i + row];
                memcpy(&pair[j], from->row + 2 * column, 2);
            }
            ((struct load_slot *)w->slot[lane])->r[i] = pair[0] | (uint32_t)pair[1] << 16;
        }
}

/* C[rows,8] += A[rows,k] B[k,8], in f32, k rising. */
static PLAIN void product_f32(float *c, const float *a, const float *b, int rows, int k)
{
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < k; i++)
            for (int n = 0; n < 8; n++) c[8 * r + n] += a[k * r + i] * b[8 * i + n];
}

static PLAIN void product_i32(uint32_t *c, const int32_t *a, const int32_t *b, int rows, int k)
{
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < k; i++)
            for (int n = 0; n < 8; n++) c[8 * r + n] += (uint32_t)(a[k * r + i] * b[8 * i + n]);
}

/* k = 8 or 16: halves of k = 8 lie in registers 0, 1 (A) and 0 (B), then 2, 3 and 1. */
static PLAIN void mma_f16(struct emu_warp *w, int k)
{
    float a[16 * 16], b[16 * 8], c[16 * 8];
    for (int lane = 0; lane < 32; lane++) {
        const struct mma_slot *s = w->slot[lane];
        const float *from = s->c;
        int g = lane / 4, t = lane % 4;
        for (int h = 0; h < k / 8; h++)
            for (int j = 0; j < 2; j++) {
                int at = 8 * h + 2 * t + j, shift = 16 * j;
                a[k * g + at] = emu_float((uint16_t)(s->a[2 * h] >> shift));
                a[k * (g + 8) + at] = emu_float((uint16_t)(s->a[2 * h + 1] >> shift));
                b[8 * at + g] = emu_float((uint16_t)(s->b[h] >> shift));
            }
        for (int j = 0; j < 4; j++) c[8 * (g + j / 2 * 8) + 2 * t + j % 2] = from[j];
    }
    product_f32(c, a, b, 16, k);
    for (int lane = 0; lane < 32; lane++) {
        float *to = ((const struct mma_slot *)w->slot[lane])->c;
        int g = lane / 4, t = lane % 4;
        for (int j = 0; j < 4; j++) to[j] = c[8 * (g + j / 2 * 8) + 2 * t + j % 2];
    }
}

/* rows = 16, k = 32: registers as in mma_f16 with four bytes where it has two halves; rows = 8,
 * k = 16: one register of A and one of B. */
static PLAIN void mma_s8(struct emu_warp *w, int rows, int k)
{
    int32_t a[16 * 32], b[32 * 8];
    uint32_t c[16 * 8];
    for (int lane = 0; lane < 32; lane++) {
        const struct mma_slot *s = w->slot[lane];
        const int *from = s->c;
        int g = lane / 4, t = lane % 4, n_high = rows / 8;
        for (int h = 0; h < k / 16; h++)
            for (int j = 0; j < 4; j++) {
                int at = 16 * h + 4 * t + j, shift = 8 * j;
                for (int high = 0; high < n_high; high++)
                    a[k * (g + 8 * high) + at] = (int8_t)(s->a[n_high * h + high] >> shift);
                b[8 * at + g] = (int8_t)(s->b[h] >> shift);
            }
        for (int j = 0; j < 2 * n_high; j++)
            c[8 * (g + j / 2 * 8) + 2 * t + j % 2] = (uint32_t)from[j];
    }
    product_i32(c, a, b, rows, k);
    for (int lane = 0; lane < 32; lane++) {
        int *to = ((const struct mma_slot *)w->slot[lane])->c;
        int g = lane / 4, t = lane % 4;
        for (int j = 0; j < rows / 4; j++) to[j] = (int)c[8 * (g + j / 2 * 8) + 2 * t + j % 2];
    }
}

static void work(struct emu_warp *w)
{
    switch (w->what) {
    case EMU_WARP_SYNC:
        break;
    case EMU_SHFL:
    case EMU_SHFL_XOR:
    case EMU_SHFL_DOWN:
    case EMU_SHFL_UP:
        shuffle(w);
        break;
    case EMU_BALLOT:
        ballot(w);
        break;
    case EMU_LDMATRIX:
        ldmatrix(w);
        break;
    case EMU_MMA_F16_K8:
        mma_f16(w, 8);
        break;
    case EMU_MMA_F16:
        mma_f16(w, 16);
        break;
    case EMU_MMA_S8_K16:
        mma_s8(w, 8, 16);
        break;
    case EMU_MMA_S8:
        mma_s8(w, 16, 32);
        break;
    }
}

static void release(struct emu_warp *w)
{
    for (unsigned i = 0; i < w->lanes; i++)
        if (w->first[i].waits == EMU_AT_WARP) w->first[i].waits = EMU_RUNS;
    w->waiting = 0;
}

static void collect(enum emu_collective what, void *slot, const char *where)
{
    struct emu_state *s = state();
    struct emu_warp *w = &s->warp[s->running->seen.warp];
    if (w->waiting && !(w->what == what && emu_same(w->where, where)))
        emu_stop(s, 719, "is at %s while others of its warp are at %s: they must go together",
                 where, w->where);
    if (what != EMU_WARP_SYNC && w->alive < 32)
        emu_stop(s, 719, "%s needs all 32 lanes; %u are left", where, w->alive);
    w->what = what;
    w->where = where;
    w->slot[s->running->seen.lane] = slot;
    if (++w->waiting < w->alive) {
        emu_wait(s, EMU_AT_WARP);
        return;
    }
    work(w);
    release(w);
}

void emu_lane_done(struct emu_state *s, struct emu_warp *w)
{
    w->alive--;
    if (!w->waiting) return;
    if (w->what != EMU_WARP_SYNC)
        emu_stop(s, 719, "returned while others of its warp wait at %s", w->where);
    if (w->waiting == w->alive) release(w);
}

void emu_warp_sync(const char *where)
{
    collect(EMU_WARP_SYNC, NULL, where);
}

uint32_t emu_shuffle(enum emu_collective what, uint32_t v, int by, const char *where)
{
    struct shuffle_slot slot = {v, 0, by};
    collect(what, &slot, where);
    return slot.got;
}

float emu_sum_f32(float v, const char *where)
{
    for (int i = 16; i > 0; i >>= 1)
        v += emu_as_f32(emu_shuffle(EMU_SHFL_XOR, emu_as_u32(v), i, where));
    return v;
}

float emu_max_f32(float v, const char *where)
{
    for (int i = 16; i > 0; i >>= 1)
        v = fmaxf(v, emu_as_f32(emu_shuffle(EMU_SHFL_XOR, emu_as_u32(v), i, where)));
    return v;
}

int emu_sum_i32(int v, const char *where)
{
    for (int i = 16; i > 0; i >>= 1)
        v = (int)((uint32_t)v + emu_shuffle(EMU_SHFL_XOR, (uint32_t)v, i, where));
    return v;
}

int emu_max_i32(int v, const char *where)
{
    for (int i = 16; i > 0; i >>= 1) {
        int other = (int)emu_shuffle(EMU_SHFL_XOR, (uint32_t)v, i, where);
        v = v > other ? v : other;
    }
    return v;
}

void emu_ldmatrix(uint32_t *r, const void *row, int n, int transposed, const char *where)
{
    struct load_slot slot = {r, row, n, transposed};
    if ((int)state()->running->seen.lane < 8 * n) {
        emu_aligned(row, 16);
        emu_in_shared(row, 16);
    }
    collect(EMU_LDMATRIX, &slot, where);
}

static void mma(enum emu_collective what, void *c, const uint32_t *a, const uint32_t *b,
                const char *where)
{
    struct mma_slot slot = {c, a, b};
    collect(what, &slot, where);
}

void emu_mma_f16_k8(float *c, const uint32_t *a, uint32_t b, const char *where)
{
    mma(EMU_MMA_F16_K8, c, a, &b, where);
}

void emu_mma_f16(float *c, const uint32_t *a, const uint32_t *b, const char *where)
{
    mma(EMU_MMA_F16, c, a, b, where);
}

void emu_mma_s8_k16(int *c, uint32_t a, uint32_t b, const char *where)
{
    mma(EMU_MMA_S8_K16, c, &a, &b, where);
}

void emu_mma_s8(int *c, const uint32_t *a, const uint32_t *b, const char *where)
{
    mma(EMU_MMA_S8, c, a, b, where);
}

/* ---- cp.async: as late as it may come; rubbish until then ---- */

void emu_copy16(void *to, const void *from, int keep)
{
    struct emu_state *s = state();
    struct emu_fiber *f = s->running;
    emu_aligned(to, 16);
    emu_aligned(from, 16);
    emu_in_shared(to, 16);
    if (f->n_copies == EMU_COPIES) emu_stop(s, 719, "%d copies under way at once", EMU_COPIES);
    memset(to, s->launch->order % 2 ? 0x7b : 0xff, 16);
    f->copy[f->n_copies++] = (struct emu_copy){to, keep ? from : NULL, f->group};
}

void emu_copy_commit(void)
{
    state()->running->group++;
}

void emu_copy_wait(int groups)
{
    struct emu_fiber *f = state()->running;
    unsigned left = 0;
    for (unsigned i = 0; i < f->n_copies; i++) {
        struct emu_copy c = f->copy[i];
        /* committed, and not among the last `groups` committed ones */
        if (c.group != f->group && f->group - c.group > (unsigned)groups) {
            if (c.from)
                memcpy(c.to, c.from, 16);
            else
                memset(c.to, 0, 16);
        } else {
            f->copy[left++] = c;
        }
    }
    f->n_copies = left;
}

/* ---- atomics: one thread runs at a time ---- */

int emu_atomic_add_i32(void *p, int v)
{
    int *at = p, old = *at;
    *at = (int)((unsigned)old + (unsigned)v);
    return old;
}

int emu_atomic_max_i32(void *p, int v)
{
    int *at = p, old = *at;
    if (v > old) *at = v;
    return old;
}

float emu_atomic_add_f32(void *p, float v)
{
    float *at = p, old = *at;
    *at = old + v;
    return old;
}

uint32_t emu_atomic_cas_u32(void *p, uint32_t expected, uint32_t v)
{
    uint32_t *at = p, old = *at;
    if (old == expected) *at = v;
    return old;
}

/* ---- f16 ---- */

/* To nearest, ties to even; NaN keeps being one (PTX gives 0x7fff). */
uint16_t emu_half(float f)
{
    uint32_t u = emu_as_u32(f), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return 0x7fffu;
    if (u >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and more */
    if (u < 0x38800000u) /* below 2^-14: adding 0.5 leaves the denormal in the low bits */
        return (uint16_t)(sign | (emu_as_u32(emu_as_f32(u) + 0.5f) - 0x3f000000u));
    u += 0xc8000fffu + (u >> 13 & 1u); /* bias 127 -> 15, and half of what is cut off */
    return (uint16_t)(sign | u >> 13);
}
