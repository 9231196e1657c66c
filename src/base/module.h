/* lode's own modules: small shared objects that carry a large library (FFmpeg, libcurl), opened at
 * first use so that nobody else pays for loading it. A module exports one constant table and calls
 * back into the program that opened it. */
#ifndef BASE_MODULE_H
#define BASE_MODULE_H

#include "base/err.h"

/* module_open: opens lode-NAME.so, looked for in $LODE_MODULES, the program's folder and
 * ../lib/lode beside it, and finds `symbol`, the module's table; never closed again. Errors:
 * E_MISSING with the folders looked at or what the system's loader says. */
int module_open(const char *name, const char *symbol, const void **table, struct err *e);

/* module_library: a library of the system by its file name ("libcuda.so.1"), found as the system's
 * loader finds it; never closed again. Errors: E_MISSING with what the loader says. */
int module_library(const char *file, void **library, struct err *e);
/* module_symbol: what a library exports under that name, or NULL. */
void *module_symbol(void *library, const char *symbol);
/* module_path: the file a library was loaded from, links followed; "" if it cannot be told. */
void module_path(void *library, char *out, size_t room);

#endif
