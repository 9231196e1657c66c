/* How much memory there is. */
#ifndef BASE_ROOM_H
#define BASE_ROOM_H

#include "base/base.h"

/* room_bytes: what this process may still take without pushing others out: MemAvailable of
 * /proc/meminfo, less where a control group (v2 memory.max, v1 memory.limit_in_bytes) allows less.
 * root: "" for the real files. SIZE_MAX if neither is known. */
size_t room_bytes(const char *root);

#endif
