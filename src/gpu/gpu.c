#include "gpu/gpu.h"
#include "gpu/gpu_device.h"
#include "gpu/gpu_image.h"
#include "gpu/gpu_plan.h"

static void gpu_describe(const struct backend_device *d, struct strbuf *out)
{
    strbuf_format(out, "%s, sm_%d, %.1f GiB", d->name, d->chip.sm,
                  (double)d->total / (double)(1 << 30));
    if (!d->paper)
        strbuf_format(out, ", driver for CUDA %d.%d", d->dl.version / 1000,
                      d->dl.version % 1000 / 10);
    if (d->dl.fake) strbuf_text(out, ", emulated");
}

static int gpu_room(struct backend_device *d, size_t *bytes, struct err *e)
{
    return gpu_device_room(d, bytes, NULL, e);
}

static void gpu_close(struct backend_device *d)
{
    if (!d) return;
    gpu_plan_release_all(d);
    gpu_device_close(d);
}

void gpu_build(struct strbuf *out)
{
    gpu_image_list(out);
}

const struct backend gpu_backend = {
    .name = "cuda",
    .open = gpu_device_open,
    .describe = gpu_describe,
    .measure = gpu_plan_measure,
    .room = gpu_room,
    .prepare = gpu_plan_prepare,
    .memory = gpu_plan_memory,
    .host = gpu_plan_host,
    .run = gpu_plan_run,
    .peek = gpu_plan_peek,
    .profile = gpu_plan_profile,
    .release = gpu_plan_release,
    .close = gpu_close,
};
