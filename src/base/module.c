#include "base/module.h"
#include "base/env.h"
#include "base/fault.h"
#include "base/file.h"

#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

static int try_folder(struct arena *a, const char *folder, const char *name, void **handle,
                      struct strbuf *looked, struct err *e)
{
    char *path = arena_format(a, e, "%s/lode-%s.so", folder, name);
    if (!path) return -1;
    strbuf_format(looked, "%s%s", looked->n > 0 ? ", " : "", folder);
    if (file_kind(path) == FILE_NONE) return 0;
    bool fault = fault_hit(FAULT_DLOPEN);
    *handle = fault ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*handle) return 0;
    const char *why = fault ? "refused on request" : dlerror();
    return err_set(e, E_MISSING, "%s cannot be used: %s", path, why ? why : "no reason given");
}

static int find(struct arena *a, const char *name, void **handle, struct err *e)
{
    char memory[400];
    struct strbuf looked;
    strbuf_init(&looked, memory, sizeof memory);
    const char *own = env_get("LODE_MODULES");
    if (own) TRY(try_folder(a, own, name, handle, &looked, e));
    if (*handle) return 0;
    char *here = file_program_folder(a, e);
    char *installed = here ? file_join(a, here, "../lib/lode", e) : NULL;
    if (!installed) return -1;
    TRY(try_folder(a, here, name, handle, &looked, e));
    if (*handle) return 0;
    TRY(try_folder(a, installed, name, handle, &looked, e));
    if (*handle) return 0;
    return err_set(e, E_MISSING, "lode-%s.so was not built or installed; looked in %s", name,
                   looked.p);
}

int module_open(const char *name, const char *symbol, const void **table, struct err *e)
{
    *table = NULL;
    struct arena *a;
    TRY(arena_open("module", 0, &a, e));
    void *handle = NULL;
    int status = find(a, name, &handle, e);
    arena_close(&a);
    if (status != 0) return -1;
    *table = dlsym(handle, symbol);
    if (*table) return 0;
    return err_set(e, E_MISSING, "lode-%s.so has no %s: it is of another version", name, symbol);
}

int module_library(const char *file, void **library, struct err *e)
{
    bool fault = fault_hit(FAULT_DLOPEN);
    *library = fault ? NULL : dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (*library) return 0;
    const char *why = fault ? "refused on request" : dlerror();
    return err_set(e, E_MISSING, "%s", why ? why : file);
}

void *module_symbol(void *library, const char *symbol)
{
    return dlsym(library, symbol);
}

void module_path(void *library, char *out, size_t room)
{
    char real[PATH_MAX];
    struct link_map *map = NULL;
    out[0] = 0;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) != 0 || !map || !map->l_name) return;
    snprintf(out, room, "%s", realpath(map->l_name, real) ? real : map->l_name);
}
