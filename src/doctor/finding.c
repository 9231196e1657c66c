/* Rules. What a row's `when` says:
 *
 *     alternatives joined by " OR ", each of terms joined by "; ", all of which must hold:
 *     KEY             a fact of that key           KEY = VALUE     ... with that value
 *     !KEY            none                         !KEY = VALUE    none with that value
 *     KEY > NUMBER    its value begins with a larger number
 *     ?               no row before this one that is as bad was seen
 *
 * KEY and VALUE are patterns (facts_glob). The facts that made the terms hold are the evidence.
 * Terms "nvml * ..." of one alternative must hold for the same GPU: they say "nvml N ..." with one
 * N. */
#include "doctor/finding.h"
#include "doctor/pci.h"
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

struct term {
    const char *key, *value; /* value NULL: any */
    bool none, more;
    bool of_gpu; /* of one of NVML's GPUs */
};

/* Cuts the text in pieces. */
static struct term term_read(char text[TERM])
{
    struct term t = {.none = text[0] == '!'};
    char *key = text + t.none, *value = strstr(key, " = ");
    if (!value && (value = strstr(key, " > "))) t.more = true;
    if (value) *value = 0;
    t.key = key;
    t.value = value ? value + 3 : NULL;
    t.of_gpu = !t.none && str_starts(key, "nvml * ");
    return t;
}

/* The GPU of a fact, as a bit; all of them where it is of none. */
static uint64_t gpu_bit(const struct fact *row)
{
    int n = pci_key(row->key, "nvml");
    return n >= 0 && n < 64 ? UINT64_C(1) << n : UINT64_MAX;
}

/* gpus: those for which the terms before held; this one leaves those for which it holds too. */
static bool term_holds(const struct facts *f, const struct term *t, uint64_t *gpus)
{
    size_t i = 0;
    const struct fact *row;
    uint64_t held = 0;
    while ((row = facts_next(f, t->key, &i)))
        if (value_holds(row->value, t->value, t->more)) held |= t->of_gpu ? gpu_bit(row) : 1;
    if (t->none || !t->of_gpu) return (held != 0) != t->none;
    *gpus &= held;
    return *gpus != 0;
}

static void term_evidence(const struct facts *f, const struct term *t, uint64_t gpus,
                          struct finding *g)
{
    size_t i = 0, taken = 0;
    const struct fact *row;
    while (!t->none && taken < 3 && (row = facts_next(f, t->key, &i))) {
        if (!value_holds(row->value, t->value, t->more)) continue;
        if (t->of_gpu && !(gpu_bit(row) & gpus)) continue;
        note_evidence(g, row);
        taken++;
    }
}

static bool alternative_holds(const char *text, const struct facts *f, bool worse_before,
                              struct finding *g)
{
    char copy[TERM];
    uint64_t gpus = UINT64_MAX;
    for (const char *rest = text; part(&rest, "; ", copy);) {
        struct term t = term_read(copy);
        if (strcmp(copy, "?") == 0 ? worse_before : !term_holds(f, &t, &gpus)) return false;
    }
    for (const char *rest = text; part(&rest, "; ", copy);) {
        struct term t = term_read(copy);
        if (strcmp(copy, "?") != 0) term_evidence(f, &t, gpus, g);
    }
    return true;
}

static bool is_seen(const struct finding_row *row, const struct facts *f, bool worse_before,
                    struct finding *g)
{
    char alternative[4 * TERM];
    const char *when = row->when;
    while (when) {
        const char *end = strstr(when, " OR ");
        size_t n = end ? (size_t)(end - when) : strlen(when);
        assert(n < sizeof alternative);
        memcpy(alternative, when, n);
        alternative[n] = 0;
        when = end ? end + 4 : NULL;
        *g = (struct finding){.row = row};
        if (alternative_holds(alternative, f, worse_before, g)) return true;
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

/* ---- which GPU a cure is for ---- */

struct gpu {
    bool placed;
    struct pci at;
    int number; /* NVML's, which is nvidia-smi's; -1: not known */
};

/* The only GPU there is. False: there are several, or none. */
static bool only_gpu(const struct facts *f, struct gpu *out)
{
    const char *count = facts_get(f, "nvml count");
    const struct fact *row, *card = NULL;
    size_t i = 0, cards = 0;
    while ((row = facts_next(f, "is driver *", &i))) {
        card = row;
        cards++;
    }
    if (count ? strcmp(count, "1") != 0 : cards != 1) return false;
    *out = (struct gpu){.number = 0};
    out->placed = pci_of(f, "nvml", 0, &out->at) || (cards == 1 && pci_find(card->key, &out->at));
    return true;
}

/* "hot N ...": the address is told beside it; records of before CUDA's numbers were used in it have
 * NVML's there. */
static bool hot_place(const struct facts *f, int n, struct pci *at)
{
    return pci_of(f, "hot", n, at) || pci_of(f, "cuda", n, at) || pci_of(f, "nvml", n, at);
}

static bool fact_place(const struct facts *f, const struct fact *row, struct pci *at)
{
    static const char *const hot[] = {"hot", "is narrow", "is slow heat", "is slow brake",
                                      "is slow power"};
    for (size_t i = 0; i < COUNT(hot); i++) {
        int n = pci_key(row->key, hot[i]);
        if (n >= 0) return hot_place(f, n, at);
    }
    int n = pci_key(row->key, "cuda");
    if (n >= 0) return pci_of(f, "cuda", n, at);
    if (facts_glob("log *|is xid *", row->key)) return pci_find(row->value, at);
    return pci_find(row->key, at); /* "is driver 0000:3b:00.0" */
}

/* The GPU one fact is about. */
static bool fact_gpu(const struct facts *f, const struct fact *row, struct gpu *out)
{
    struct gpu only;
    *out = (struct gpu){.number = pci_key(row->key, "nvml")};
    if (out->number >= 0) {
        out->placed = pci_of(f, "nvml", out->number, &out->at);
        return true;
    }
    out->placed = fact_place(f, row, &out->at);
    if (!out->placed) return false;
    out->number = pci_number(f, "nvml", &out->at);
    if (out->number < 0 && only_gpu(f, &only) && only.placed && pci_same(&only.at, &out->at))
        out->number = only.number;
    return true;
}

/* Those of the evidence, each once. */
static size_t gpus_of(const struct finding *g, const struct facts *f,
                      struct gpu out[FINDING_EVIDENCE])
{
    size_t n = 0;
    for (size_t i = 0; i < g->n_seen; i++) {
        struct gpu one;
        if (!fact_gpu(f, &g->seen[i], &one)) continue;
        bool known = false;
        for (size_t k = 0; k < n; k++)
            known |= one.placed && out[k].placed ? pci_same(&one.at, &out[k].at)
                                                 : one.number == out[k].number;
        if (!known) out[n++] = one;
    }
    if (n == 0 && only_gpu(f, &out[0])) n = 1;
    return n;
}

static void put_gpu(const struct gpu *gpu, bool address, struct strbuf *out)
{
    if (!address && gpu->number >= 0)
        strbuf_format(out, "%d", gpu->number);
    else if (gpu->placed)
        strbuf_format(out, "%04x:%02x:%02x.%x", gpu->at.domain, gpu->at.bus, gpu->at.device,
                      gpu->at.function);
    else
        strbuf_text(out, address ? "BUS-ID" : "INDEX");
}

/* ---- a cure's lines ---- */

/* One line; gpu: what {index} and {pci} stand for. */
static void put_line(struct str line, const struct facts *f, const struct gpu *gpu,
                     struct strbuf *out)
{
    static const struct {
        const char *name, *key, *fallback;
    } places[] = {
        {"{module}", "is module", "VERSION"},
        {"{library}", "is library", "VERSION"},
        {"{branch}", "is branch", "580"},
        {"{kernel}", "/proc/sys/kernel/osrelease", "$(uname -r)"},
        {"{pid}", "is pid", "PID"},
        {"{index}", NULL, NULL},
        {"{pci}", NULL, NULL},
    };
    for (const char *p = line.p, *end = p + line.n; p < end;) {
        size_t i = 0;
        while (i < COUNT(places) && !str_starts(p, places[i].name)) i++;
        if (i == COUNT(places)) {
            strbuf_add(out, p++, 1);
            continue;
        }
        const char *value = places[i].key ? facts_get(f, places[i].key) : NULL;
        if (places[i].key)
            strbuf_text(out, value && harmless(value) ? value : places[i].fallback);
        else
            put_gpu(gpu, strcmp(places[i].name, "{pci}") == 0, out);
        p += strlen(places[i].name);
    }
}

static bool is_of_gpu(struct str line)
{
    for (size_t i = 0; i < line.n; i++)
        if (str_starts(line.p + i, "{index}") || str_starts(line.p + i, "{pci}")) return true;
    return false;
}

void finding_cure(const struct finding *g, const struct facts *f, struct strbuf *out)
{
    struct gpu gpus[FINDING_EVIDENCE] = {{.number = -1}};
    size_t n = gpus_of(g, f, gpus);
    if (n == 0) n = 1;
    /* NVML numbers a container's GPUs anew, and such a cure is for the machine itself: there the
     * address is right, which nvidia-smi -i takes too. */
    for (size_t i = 0; facts_get(f, "is box") && i < n; i++) gpus[i].number = -1;
    struct str rest = str_of(cure_text(g->row, finding_where(f))), line;
    for (bool first = true; str_line(&rest, &line);) {
        size_t times = is_of_gpu(line) ? n : 1;
        for (size_t i = 0; i < times; i++, first = false) {
            if (!first) strbuf_text(out, "\n");
            put_line(line, f, &gpus[i], out);
        }
    }
}
