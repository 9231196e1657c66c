#include "gpu/gpu_stage.h"

/* enough to keep a PCIe link busy while the other half is filled */
#define HALF ((size_t)1 << 20)

struct stage {
    struct backend_device *d;
    char *memory;   /* two halves, pinned */
    void *event[2]; /* a half has been sent */
    bool sent[2];
    int half;
    size_t fill;
    uint64_t to; /* device address of the first byte in the half being filled */
};

static int flush(struct stage *s, struct err *e)
{
    const struct cuda_api *cu = &s->d->dl.call;
    if (s->fill == 0) return 0;
    TRY(gpu_device_check(
        s->d,
        cu->cuMemcpyHtoDAsync_v2(s->to, s->memory + HALF * (size_t)s->half, s->fill, s->d->stream),
        e, "weights cannot be sent"));
    TRY(gpu_device_check(s->d, cu->cuEventRecord(s->event[s->half], s->d->stream), e,
                         "cuEventRecord"));
    s->sent[s->half] = true;
    s->to += s->fill;
    s->fill = 0;
    s->half ^= 1;
    if (!s->sent[s->half]) return 0;
    return gpu_device_check(s->d, cu->cuEventSynchronize(s->event[s->half]), e,
                            "weights cannot be sent");
}

/* Room for the next bytes, which must fit a half. */
static void *room(struct stage *s, size_t bytes, struct err *e)
{
    if (s->fill + bytes > HALF && flush(s, e)) return NULL;
    void *at = s->memory + HALF * (size_t)s->half + s->fill;
    s->fill += bytes;
    return at;
}

static size_t row_bytes(const struct plan_value *v, enum gpu_form form)
{
    if (form == GPU_VECTOR) return (size_t)gpu_pack_k(v) * sizeof(float);
    return (size_t)gpu_pack_kp(v) * (form == GPU_I8 ? 1 : form == GPU_F16 ? 2 : 4);
}

/* One weight, whose pack begins at `to`. */
static int send(struct stage *s, struct arena *a, const struct plan_value *v, enum gpu_form form,
                uint64_t to, struct err *e)
{
    bool vector = form == GPU_VECTOR;
    int64_t n_rows = !vector ? gpu_pack_np(v) : v->rank ? v->dim[0] : 1;
    size_t bytes = row_bytes(v, form), k = (size_t)gpu_pack_k(v);
    if (bytes > HALF)
        return err_set(e, E_MODEL,
                       "%s has rows of %zu elements, which is more than lode can send "
                       "to a GPU",
                       v->name, k);
    float *row = ARENA_NEW(a, float, 2 * k, e);
    if (!row) return -1;
    float *scale = ARENA_NEW(a, float, (size_t)n_rows, e);
    if (!scale) return -1;
    TRY(flush(s, e));
    s->to = to;
    for (int64_t n = 0; n < n_rows; n++) {
        void *out = room(s, bytes, e);
        if (!out) return -1;
        gpu_pack_row(v, form, n, row, out, &scale[n]);
    }
    for (int64_t n = 0; form == GPU_I8 && n < n_rows; n++) {
        float *out = room(s, sizeof *out, e);
        if (!out) return -1;
        *out = scale[n];
    }
    return 0;
}

static int send_all(struct stage *s, struct arena *a, const struct plan *p,
                    const struct gpu_layout *l, uint64_t base, void (*used)(void *ctx, int value),
                    void *ctx, struct err *e)
{
    const struct cuda_api *cu = &s->d->dl.call;
    for (int i = 0; i < 2; i++) {
        int code = cu->cuEventCreate(&s->event[i], CUDA_EVENT_NO_TIMING);
        if (code) s->event[i] = NULL;
        TRY(gpu_device_check(s->d, code, e, "cuEventCreate"));
    }
    for (int i = 0; i < p->n_values; i++) {
        if (l->form[i] == GPU_NONE) continue;
        struct arena_mark mark = arena_here(a);
        if (send(s, a, &p->value[i], l->form[i], base + l->offset[i], e))
            return err_note(e, "weight %s", p->value[i].name);
        arena_rewind(a, mark);
        if (used) used(ctx, i);
    }
    TRY(flush(s, e));
    return gpu_device_check(s->d, cu->cuStreamSynchronize(s->d->stream), e,
                            "weights cannot be sent");
}

int gpu_stage_weights(struct backend_device *d, struct arena *a, const struct plan *p,
                      const struct gpu_layout *l, uint64_t base, void (*used)(void *ctx, int value),
                      void *ctx, struct err *e)
{
    const struct cuda_api *cu = &d->dl.call;
    struct stage s = {.d = d};
    void *memory = NULL;
    struct err later;
    TRY(gpu_device_check(d, cu->cuMemHostAlloc(&memory, 2 * HALF, 0), e,
                         "pinned memory for the weights"));
    s.memory = memory;
    int rc = send_all(&s, a, p, l, base, used, ctx, e);
    /* what is under way still reads the memory */
    if (rc && d->dead.code == E_OK) (void)cu->cuStreamSynchronize(d->stream);
    for (int i = 0; i < 2; i++) {
        if (s.event[i]) (void)cu->cuEventDestroy_v2(s.event[i]);
    }
    if (gpu_device_check(d, cu->cuMemFreeHost(memory), &later, "cuMemFreeHost") && rc == 0) {
        *e = later;
        return -1;
    }
    return rc;
}
