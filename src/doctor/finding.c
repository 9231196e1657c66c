/* Rules. What a row's `when` says:
 *
 *     alternatives joined by " OR ", each of terms joined by "; ", all of which must hold:
 *     KEY             a fact of that key           KEY = VALUE     ... with that value
 *     !KEY            none                         !KEY = VALUE    none with that value
 *     KEY > NUMBER    its value begins with a larger number
 *     ?               no row before this one that is as bad was seen
 *
 * KEY and VALUE are patterns (facts_glob). The facts that made the terms hold are the evidence. */
#include "doctor/finding.h"
#include <stdio.h>
#include <string.h>

enum { TERM = 256 };

/* clang-format off */
static const struct finding_row rows[] = {
#define FINDING(id, severity, what, when, why, ...) \
    {id, SEVERITY_##severity, what, when, why, {__VA_ARGS__}},
#include "doctor/finding.def"
#undef FINDING
};
/* clang-format on */

const struct finding_row *finding_rows(size_t *n)
{
    *n = COUNT(rows);
    return rows;
}

const char *finding_severity(enum severity s)
{
    static const char *const names[] = {"note", "warning", "broken", "absent"};
    return names[s];
}

/* Copies the text up to a separator; moves behind it. False at the end. */
static bool part(const char **rest, const char *separator, char out[TERM])
{
    if (!*rest) return false;
    const char *end = strstr(*rest, separator);
    size_t n = end ? (size_t)(end - *rest) : strlen(*rest);
    assert(n < TERM);
    memcpy(out, *rest, n);
    out[n] = 0;
    *rest = end ? end + strlen(separator) : NULL;
    return true;
}

static void note_evidence(struct finding *g, const struct fact *row)
{
    if (facts_glob("is gpu|is usable|is place", row->key)) return; /* said at the top already */
    for (size_t i = 0; i < g->n_seen; i++)
        if (strcmp(g->seen[i].key, row->key) == 0) return;
    if (g->n_seen < FINDING_EVIDENCE && strcmp(row->value, "yes") != 0) g->seen[g->n_seen++] = *row;
}

static bool value_holds(const char *value, const char *wanted, bool more)
{
    if (!wanted) return true;
    if (!more) return facts_glob(wanted, value);
    uint64_t have, least;
    size_t n = strspn(value, "0123456789");
    return str_uint((struct str){value, n}, UINT64_MAX, &have) &&
           str_uint(str_of(wanted), UINT64_MAX, &least) && have > least;
}

static bool term_holds(const struct facts *f, char term[TERM], struct finding *g)
{
    bool none = term[0] == '!', more = false, held = false;
    char *key = term + none, *value = strstr(key, " = ");
    if (!value && (value = strstr(key, " > "))) more = true;
    if (value) {
        *value = 0;
        value += 3;
    }
    size_t i = 0, taken = 0;
    const struct fact *row;
    while ((row = facts_next(f, key, &i))) {
        if (!value_holds(row->value, value, more)) continue;
        if (none) return false;
        if (taken++ < 3) note_evidence(g, row);
        held = true;
    }
    return none || held;
}

static bool is_seen(const struct finding_row *row, const struct facts *f, bool worse_before,
                    struct finding *g)
{
    char alternative[4 * TERM], term[TERM];
    const char *when = row->when;
    while (when) {
        const char *end = strstr(when, " OR ");
        size_t n = end ? (size_t)(end - when) : strlen(when);
        assert(n < sizeof alternative);
        memcpy(alternative, when, n);
        alternative[n] = 0;
        when = end ? end + 4 : NULL;
        const char *rest = alternative;
        bool holds = true;
        *g = (struct finding){.row = row};
        while (holds && part(&rest, "; ", term))
            holds = strcmp(term, "?") == 0 ? !worse_before : term_holds(f, term, g);
        if (holds) return true;
    }
    return false;
}

int finding_search(struct arena *a, const struct facts *f, struct finding **out, size_t *n,
                   struct err *e)
{
    struct finding *found = ARENA_NEW(a, struct finding, COUNT(rows), e);
    struct finding *sorted = ARENA_NEW(a, struct finding, COUNT(rows), e);
    bool seen[SEVERITY_ABSENT + 1] = {false};
    size_t count = 0;
    if (!found || !sorted) return -1;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool worse = false;
        for (int s = (int)rows[i].severity; s <= SEVERITY_ABSENT; s++) worse |= seen[s];
        if (!is_seen(&rows[i], f, worse, &found[count])) continue;
        seen[rows[i].severity] = true;
        count++;
    }
    *n = 0;
    for (int s = SEVERITY_ABSENT; s >= 0; s--)
        for (size_t i = 0; i < count; i++)
            if ((int)found[i].row->severity == s) sorted[(*n)++] = found[i];
    *out = sorted;
    return 0;
}

int finding_exit(const struct facts *f, const struct finding *found, size_t n)
{
    bool warned = false, broken = false;
    for (size_t i = 0; i < n; i++) {
        warned |= found[i].row->severity >= SEVERITY_WARN;
        broken |= found[i].row->severity == SEVERITY_BROKEN;
    }
    if (facts_get(f, "is usable")) return warned ? 1 : 0;
    return broken || facts_get(f, "is gpu") ? 2 : 3;
}

/* ---- cures ---- */

unsigned finding_where(const struct facts *f)
{
    static const struct {
        const char *key, *value;
        unsigned bit;
    } bits[] = {
        {"is distro", "debian", ON_DEBIAN},
        {"is distro", "ubuntu", ON_UBUNTU},
        {"is distro", "fedora", ON_FEDORA},
        {"is distro", "arch", ON_ARCH},
        {"is distro", "other", ON_OTHER},
        {"is place", "host", IN_HOST},
        {"is place", "wsl", IN_WSL},
        {"is place", "docker", IN_DOCKER},
        {"is place", "podman", IN_PODMAN},
        {"is place", "lxc", IN_LXC},
        {"is place", "kubernetes", IN_KUBERNETES},
    };
    unsigned where = 0;
    for (size_t i = 0; i < COUNT(bits); i++) {
        const char *value = facts_get(f, bits[i].key);
        if (value && strcmp(value, bits[i].value) == 0) where |= bits[i].bit;
    }
    if (!(where & ON_ALL)) where |= ON_OTHER;
    if (!(where & IN_ANY)) where |= IN_HOST;
    return where;
}

static const char *cure_text(const struct finding_row *row, unsigned where)
{
    for (int i = 0; i < FINDING_CURES && row->cure[i].text; i++) {
        unsigned right = row->cure[i].where & where;
        if ((right & ON_ALL) && (right & IN_ANY)) return row->cure[i].text;
    }
    if (where & IN_BOX) return "# on the host, not in this container:\nlode doctor";
    return "# on WSL2 the driver is the one of Windows: update it there, then\nwsl.exe --update\n"
           "wsl.exe --shutdown";
}

/* The commands are to be pasted into a shell, and facts may come from anywhere. */
static bool harmless(const char *value)
{
    return *value && strlen(value) < 80 &&
           strspn(value, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._:+-") ==
               strlen(value);
}

void finding_cure(const struct finding_row *row, const struct facts *f, struct strbuf *out)
{
    static const struct {
        const char *name, *key, *fallback;
    } places[] = {
        {"{module}", "is module", "VERSION"},
        {"{library}", "is library", "VERSION"},
        {"{branch}", "is branch", "580"},
        {"{kernel}", "/proc/sys/kernel/osrelease", "$(uname -r)"},
        {"{pci}", "is pci", "BUS-ID"},
        {"{pid}", "is pid", "PID"},
        {"{index}", "is index", "0"},
    };
    const char *p = cure_text(row, finding_where(f));
    while (*p) {
        bool filled = false;
        for (size_t i = 0; *p == '{' && i < COUNT(places) && !filled; i++) {
            if (!str_starts(p, places[i].name)) continue;
            const char *value = facts_get(f, places[i].key);
            strbuf_text(out, value && harmless(value) ? value : places[i].fallback);
            p += strlen(places[i].name);
            filled = true;
        }
        if (!filled) strbuf_add(out, p++, 1);
    }
}
