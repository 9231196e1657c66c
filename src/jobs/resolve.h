#ifndef R
#define R
#include "lode.h"
#include "base/file.h"
#include <string.h>
static inline int resolve_model(struct arena *a, const char *name, bool offline, const struct lode_host *h, char **folder, struct err *e)
{ (void)offline; (void)h; *folder = file_kind(name) != FILE_NONE ? arena_text(a, name, strlen(name), e) : file_cache(a, "models/tiny.en", e); return *folder ? 0 : -1; }
#endif
