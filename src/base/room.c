#include "base/room.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>

/* The number after `key` (or, if that is "", at the start) of a small file of the kernel. */
static bool read_number(const char *root, const char *file, const char *key, uint64_t *out)
{
    char path[512], line[256];
    bool found = false;
    int n = snprintf(path, sizeof path, "%s%s", root, file);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    if (!f) return false;
    while (!found && fgets(line, sizeof line, f)) {
        const char *p = line + strlen(key);
        if (strncmp(line, key, strlen(key)) != 0) continue;
        p += strspn(p, " ");
        found = str_uint((struct str){p, strspn(p, "0123456789")}, UINT64_MAX, out);
    }
    fclose(f);
    return found;
}

size_t room_bytes(const char *root)
{
    static const char *const groups[][2] = {
        {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes",
         "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
    };
    uint64_t kib, room = UINT64_MAX;
    if (read_number(root, "/proc/meminfo", "MemAvailable:", &kib) && kib < UINT64_MAX >> 10)
        room = kib << 10;
    for (size_t i = 0; i < COUNT(groups); i++) {
        uint64_t limit, used;
        if (!read_number(root, groups[i][0], "", &limit)) continue;
        if (!read_number(root, groups[i][1], "", &used)) used = 0;
        room = MIN(room, limit > used ? limit - used : 0);
    }
    return room > SIZE_MAX ? SIZE_MAX : (size_t)room;
}
