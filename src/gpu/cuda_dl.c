/* Finds libcuda.so.1 and its functions. Called by gpu.c alone. */
#include "gpu/cuda_dl.h"
#include "base/env.h"
#include "base/module.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t offset;
    bool needed;
} calls[] = {
#define NEEDED                       true
#define MAYBE                        false
#define CALL(kind, name, parameters) {#name, offsetof(struct cuda_api, name), kind},
#include "gpu/cuda.def"
#undef CALL
#undef NEEDED
#undef MAYBE
};

/* What the numbers usually mean, for those a user can do something about. Source: CUDA Driver API
 * reference, enum CUresult, and reports from the field. */
static const struct {
    int code;
    const char *meaning;
} meanings[] = {
    {CUDA_STUB,
     "this libcuda is the toolkit's stub, not a driver: take the folder \"stubs\" out of "
     "LD_LIBRARY_PATH"},
    {CUDA_NO_DEVICE, "no GPU, or CUDA_VISIBLE_DEVICES hides it"},
    {101, "CUDA_VISIBLE_DEVICES names a GPU that is not there"},
    {802, "the machine's NVSwitch is not ready: is nvidia-fabricmanager running?"},
    {803, "the driver's library and its kernel module are of different versions: reboot"},
    {804, "a cuda-compat library is in the way of this GPU's own driver"},
    {999, "often nvidia-uvm is not loaded, or was lost in a suspend"},
};

int cuda_dl_set(const struct cuda_dl *d, int code, struct err *e, const char *what)
{
    const char *name = NULL, *meaning = "";
    if (d->call.cuGetErrorName) d->call.cuGetErrorName(code, &name);
    for (size_t i = 0; i < COUNT(meanings); i++) {
        if (meanings[i].code == code) meaning = meanings[i].meaning;
    }
    return err_set(e, code == CUDA_OUT_OF_MEMORY ? E_NOMEM : E_DEVICE, "%s: %s (%d)%s%s", what,
                   name ? name : "an error without a name", code, *meaning ? ", " : "", meaning);
}

static int find_calls(struct cuda_dl *d, void *library, struct err *e)
{
    for (size_t i = 0; i < COUNT(calls); i++) {
        void (*fake)(void) = d->fake ? d->fake->find(calls[i].name) : NULL;
        void *real = library ? module_symbol(library, calls[i].name) : NULL;
        void *to = (char *)&d->call + calls[i].offset;
        if (d->fake)
            memcpy(to, &fake, sizeof fake);
        else
            memcpy(to, &real, sizeof real); /* C has no cast from dlsym's pointer to a function */
        if (calls[i].needed && !fake && !real)
            return err_set(e, E_DEVICE,
                           "the NVIDIA driver has no %s: it is older than lode can use, 525 or "
                           "newer is needed",
                           calls[i].name);
    }
    return 0;
}

static int find_library(struct cuda_dl *d, void **library, struct err *e)
{
    if (env_get("LODE_FAKE_GPU")) {
        const void *table;
        TRY(module_open("fakecuda", "lode_fakecuda", &table, e));
        d->fake = table;
        snprintf(d->path, sizeof d->path, "lode-fakecuda.so");
        return 0;
    }
    if (module_library("libcuda.so.1", library, e)) return err_note(e, "no NVIDIA driver here");
    module_path(*library, d->path, sizeof d->path);
    return 0;
}

int cuda_dl_open(struct cuda_dl *d, struct err *e)
{
    void *library = NULL;
    *d = (struct cuda_dl){0};
    TRY(find_library(d, &library, e));
    TRY(find_calls(d, library, e));
    char what[300];
    snprintf(what, sizeof what, "%s cannot be started", d->path);
    int code = d->call.cuInit(0);
    if (code) return cuda_dl_set(d, code, e, what);
    code = d->call.cuDriverGetVersion(&d->version);
    if (code) return cuda_dl_set(d, code, e, "the driver does not tell its version");
    if (d->version < CUDA_DL_VERSION_LEAST)
        return err_set(e, E_DEVICE,
                       "the NVIDIA driver is for CUDA %d.%d; lode needs one for CUDA 12.0 or newer "
                       "(driver 525)",
                       d->version / 1000, d->version % 1000 / 10);
    return 0;
}
