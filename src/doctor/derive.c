#include "doctor/derive.h"
#include "base/file.h"
#include <stdio.h>
#include <string.h>

enum { CUDA_LEAST = 12000 };

static const char *get(const struct facts *f, const char *key)
{
    const char *value = facts_get(f, key);
    return value ? value : "";
}

/* The first fact whose key and value match, or NULL. */
static const struct fact *any(const struct facts *f, const char *key, const char *value)
{
    size_t i = 0;
    const struct fact *row;
    while ((row = facts_next(f, key, &i)))
        if (facts_glob(value, row->value)) return row;
    return NULL;
}

static uint64_t number(const char *text)
{
    uint64_t n;
    return text && str_uint((struct str){text, strspn(text, "0123456789")}, UINT64_MAX, &n) ? n : 0;
}

/* "0x44" */
static unsigned mask_of(const char *text)
{
    unsigned mask = 0;
    for (const char *p = text + (str_starts(text, "0x") ? 2 : 0); *p; p++) {
        const char *digits = "0123456789abcdef", *at = strchr(digits, *p);
        if (!at || mask >> 24) return 0;
        mask = mask * 16 + (unsigned)(at - digits);
    }
    return mask;
}

/* ---- where we are ---- */

static void system_of(struct facts *f)
{
    static const struct {
        const char *id, *distro;
    } known[] = {{"ubuntu", "ubuntu"},    {"debian", "debian"}, {"fedora", "fedora"},
                 {"rhel", "fedora"},      {"centos", "fedora"}, {"rocky", "fedora"},
                 {"almalinux", "fedora"}, {"arch", "arch"},     {"manjaro", "arch"},
                 {"linuxmint", "ubuntu"}, {"pop", "ubuntu"},    {"raspbian", "debian"}};
    char text[FACTS_VALUE], id[200] = "";
    struct str rest = {text, facts_bytes(get(f, "/etc/os-release"), text, sizeof text)}, line;
    const char *distro = NULL;
    for (int pass = 0; pass < 2 && !distro; pass++) { /* ID, and if it is unknown ID_LIKE */
        struct str again = rest;
        while (!distro && str_line(&again, &line)) {
            const char *key = pass ? "ID_LIKE=" : "ID=";
            if (line.n <= strlen(key) || memcmp(line.p, key, strlen(key)) != 0) continue;
            snprintf(id, sizeof id, "%.*s", (int)MIN(line.n - strlen(key), sizeof id - 1),
                     line.p + strlen(key));
            for (size_t i = 0; i < COUNT(known) && !distro; i++) {
                const char *at = strstr(id, known[i].id);
                if (at && (pass || strspn(id, "\"") == (size_t)(at - id))) distro = known[i].distro;
            }
        }
    }
    facts_set(f, "is distro", distro ? distro : "other");
}

static void place_of(struct facts *f)
{
    const char *inner = get(f, "/proc/1/environ"), *place = NULL;
    const char *systemd = get(f, "/run/systemd/container");
    bool wsl = facts_glob("*icrosoft*", get(f, "/proc/sys/kernel/osrelease"));
    if (facts_get(f, "env KUBERNETES_SERVICE_HOST") ||
        facts_get(f, "/var/run/secrets/kubernetes.io/serviceaccount"))
        place = "kubernetes";
    else if (facts_get(f, "/run/.containerenv") || strstr(inner, "container=podman"))
        place = "podman";
    else if (facts_get(f, "/.dockerenv") || strstr(inner, "container=docker"))
        place = "docker";
    else if (strstr(inner, "container=lxc") || strcmp(systemd, "lxc") == 0)
        place = "lxc";
    if (place) facts_set(f, "is box", "yes");
    if (wsl) facts_set(f, "is wsl", "yes");
    facts_set(f, "is place", place ? place : wsl ? "wsl" : "host");
    if (facts_get(f, "/etc/nv_tegra_release")) facts_set(f, "is jetson", "yes");
}

/* ---- the cards ---- */

#define PCI "/sys/bus/pci/devices/"

/* address: "0000:01:00.0", of a device of NVIDIA's that shows pictures or computes. */
static void card(struct facts *f, const char *address)
{
    char key[300];
    snprintf(key, sizeof key, PCI "%s/driver", address);
    const char *driver = facts_get(f, key);
    facts_put(f, str_of(driver ? driver : "none"), "is driver %s", address);
    snprintf(key, sizeof key, PCI "%s/config", address);
    if (strcmp(get(f, key), "\\xff\\xff\\xff\\xff") == 0)
        facts_put(f, str_of("its configuration reads ff ff ff ff"), "is dead %s", address);
    snprintf(key, sizeof key, "/proc/driver/nvidia/gpus/%s", address);
    if (facts_get(f, "/sys/module/nvidia") && driver && strcmp(driver, "nvidia") == 0 &&
        !facts_get(f, key))
        facts_put(f, str_of("not in /proc/driver/nvidia/gpus"), "is forgotten %s", address);
}

static void cards(struct facts *f)
{
    size_t i = 0, n = f->n;
    const struct fact *row;
    while (i < n && (row = facts_next(f, PCI "*/class", &i))) {
        char address[64];
        const char *from = row->key + strlen(PCI), *end = strrchr(row->key, '/');
        if (!facts_glob("0x0300*|0x0302*", row->value)) continue;
        snprintf(address, sizeof address, "%.*s",
                 (int)MIN((size_t)(end - from), sizeof address - 1), from);
        card(f, address);
        if (!facts_get(f, "is gpu")) facts_set(f, "is gpu", row->key);
    }
}

/* Other signs than the bus: it may be hidden from a container or virtual machine. */
static void gpu_of(struct facts *f)
{
    static const struct {
        const char *key, *value;
    } signs[] = {{"cuDeviceGetCount", "*"},           {"nvml count", "*"},
                 {"/proc/driver/nvidia/gpus/*", "*"}, {"/dev/nvidia0", "*"},
                 {"/sys/module/nvidia/version", "*"}, {"/usr/lib/wsl/lib/libcuda.so*", "*"}};
    for (size_t i = 0; i < COUNT(signs) && !facts_get(f, "is gpu"); i++) {
        const struct fact *row = any(f, signs[i].key, signs[i].value);
        if (!row || strcmp(row->value, "0") == 0) continue;
        facts_set(f, "is gpu", row->key);
    }
    const struct fact *right = any(f, "cuda * gemm", "right");
    if (right && !any(f, "cuda * gemm", "wrong")) facts_set(f, "is usable", right->key);
    if (facts_get(f, "is box") && !facts_get(f, "/sys/module/nvidia"))
        facts_set(f, "is hostless", "yes");
}

/* ---- the driver's two halves ---- */

/* Digits and points, at least one of each, at the end of a file's name: "libcuda.so.570.86.15". */
static struct str version_of(const char *path)
{
    const char *p = strstr(path, ".so.");
    if (!p) return (struct str){"", 0};
    p += 4;
    size_t n = strspn(p, "0123456789.");
    bool whole = n >= 5 && p[n] == 0 && memchr(p, '.', n);
    return whole ? (struct str){p, n} : (struct str){"", 0};
}

static struct str module_version(const struct facts *f)
{
    const char *v = facts_get(f, "/sys/module/nvidia/version");
    if (v && v[0] >= '0' && v[0] <= '9') return str_of(v);
    /* "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Tue ..." */
    const char *p = strstr(get(f, "/proc/driver/nvidia/version"), "Kernel Module");
    if (!p) return (struct str){"", 0};
    p += strcspn(p, "0123456789");
    return (struct str){p, strspn(p, "0123456789.")};
}

static void halves(struct facts *f)
{
    char text[200];
    struct str module = module_version(f), library = {"", 0};
    static const char *const found[] = {"libcuda.so.1", "libnvidia-ml.so.1"};
    for (size_t i = 0; i < COUNT(found) && library.n == 0; i++) {
        const char *path = get(f, found[i]);
        if (!facts_glob("*/compat/*|*/stubs/*|*/wsl/*", path)) library = version_of(path);
    }
    if (module.n) facts_put(f, module, "is module");
    if (library.n) facts_put(f, library, "is library");
    struct str full = library.n ? library : module;
    if (full.n) facts_put(f, (struct str){full.p, strspn(full.p, "0123456789")}, "is branch");
    if (!module.n || !library.n || facts_get(f, "is wsl")) return;
    if (module.n == library.n && memcmp(module.p, library.p, module.n) == 0) return;
    snprintf(text, sizeof text, "the module is %.*s, the library is %.*s", (int)MIN(module.n, 40),
             module.p, (int)MIN(library.n, 40), library.p);
    facts_set(f, "is mismatch", text);
}

/* What is on disk for the kernel that runs. */
static void on_disk(struct facts *f)
{
    const char *kernel = get(f, "/proc/sys/kernel/osrelease");
    char key[300];
    snprintf(key, sizeof key, "/lib/modules/%.120s/modules.dep", kernel);
    const char *module = facts_get(f, key);
    bool built = module && facts_glob("*nvidia*.ko*", module), dkms = false, made = false;
    size_t i = 0;
    const struct fact *row;
    while (*kernel && (row = facts_next(f, "/var/lib/dkms/nvidia*/*", &i))) {
        const char *version = strchr(row->key + strlen("/var/lib/dkms/"), '/') + 1, *slash;
        dkms = true;
        slash = strchr(version, '/');
        if (!slash || !str_starts(slash + 1, kernel)) continue;
        const char *library = get(f, "is library");
        size_t n = (size_t)(slash - version);
        made |= !facts_get(f, "is mismatch") ||
                (strlen(library) == n && memcmp(library, version, n) == 0);
    }
    if (dkms && !made && !(built && !facts_get(f, "is mismatch")))
        facts_set(f, "is unbuilt", kernel);
    if (built) facts_set(f, "is built", module);
    char bytes[8];
    const char *secure =
        get(f, "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c");
    if (facts_bytes(secure, bytes, sizeof bytes) >= 5 && bytes[4] == 1)
        facts_set(f, "is secureboot", "on");
    if (facts_get(f, "/sys/module/nvidia") && version_of(get(f, "libcuda.so.1")).n &&
        (!facts_get(f, "/sys/module/nvidia_uvm") || !facts_get(f, "/dev/nvidia-uvm")))
        facts_set(f, "is uvmless",
                  facts_get(f, "/sys/module/nvidia_uvm") ? "no /dev/nvidia-uvm"
                                                         : "no /sys/module/nvidia_uvm");
}

static void copies(struct facts *f)
{
    char seen[200];
    struct strbuf b;
    size_t i = 0, n = 0;
    const struct fact *row;
    strbuf_init(&b, seen, sizeof seen);
    while ((row = facts_next(f, "/*/libcuda.so.*", &i))) {
        struct str v = version_of(file_name(row->key));
        char one[48];
        if (!v.n || facts_glob("*/compat/*|*/stubs/*|*/wsl/*", row->key)) continue;
        snprintf(one, sizeof one, "%.*s", (int)MIN(v.n, 40), v.p);
        if (strstr(seen, one)) continue;
        strbuf_format(&b, "%s%s", n++ ? ", " : "", one);
    }
    if (n > 1) facts_set(f, "is stray", seen);
    const char *path = get(f, "libcuda.so.1");
    if (facts_get(f, "is wsl") && path[0] == '/' && !facts_glob("/usr/lib/wsl/*", path))
        facts_set(f, "is shadowed", "yes");
    const char *module = facts_get(f, "is module");
    for (i = 0; module && (row = facts_next(f, "/etc/cdi/*|/run/cdi/*", &i));) {
        if (strcmp(row->value, module) != 0 && row->value[0] >= '0' && row->value[0] <= '9')
            facts_put(f, str_of(row->value), "is stale %s", row->key);
    }
    uint64_t cuda = number(facts_get(f, "cuDriverGetVersion"));
    if (cuda > 0 && cuda < CUDA_LEAST)
        facts_put(f, str_of(get(f, "cuDriverGetVersion")), "is old driver");
}

/* ---- hidden, by a list of devices ---- */

/* Whether the first entry of a list names nothing. */
static bool hides(const struct facts *f, const char *list, const char *gpus)
{
    char entry[100];
    snprintf(entry, sizeof entry, "%.*s", (int)MIN(strcspn(list, ","), sizeof entry - 1), list);
    if (!*entry || facts_glob("-1|NoDevFiles|void|none", entry)) return true;
    uint64_t index;
    if (str_uint(str_of(entry), UINT64_MAX, &index)) return *gpus && index >= number(gpus);
    size_t i = 0;
    const struct fact *row;
    if (!str_starts(entry, "GPU-") || !*gpus) return false;
    while ((row = facts_next(f, "nvml * uuid", &i)))
        if (str_starts(row->value, entry)) return false;
    return true;
}

static void visibility(struct facts *f)
{
    const char *list = facts_get(f, "env CUDA_VISIBLE_DEVICES"), *gpus = get(f, "nvml count");
    bool none =
        strcmp(get(f, "cuInit"), "100") == 0 || strcmp(get(f, "cuDeviceGetCount"), "0") == 0;
    if (list && none && hides(f, list, gpus))
        facts_set(f, "is hidden", *list ? list : "an empty list");
    size_t i = 0, n = f->n;
    const struct fact *row;
    while (i < n && (row = facts_next(
                         f, "pid * env CUDA_VISIBLE_DEVICES|pid * env NVIDIA_VISIBLE_DEVICES", &i)))
        if (hides(f, row->value, gpus)) facts_set(f, "is pid hidden", row->key);
    i = 0;
    if ((row = facts_next(f, "pid * name", &i))) {
        uint64_t pid = number(row->key + 4);
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)pid);
        facts_set(f, "is pid", text);
    }
}

/* ---- the log, and numbers measured right after work ---- */

static void xids(struct facts *f)
{
    size_t i = 0, n = f->n;
    const struct fact *row;
    while (i < n && (row = facts_next(f, "log *", &i))) {
        /* "NVRM: Xid (PCI:0000:01:00): 79, pid=..." */
        const char *p = strstr(row->value, "Xid (");
        if (p) p = strstr(p, "): ");
        uint64_t xid = p ? number(p + 3) : 0;
        if (xid > 0 && xid < 1000) facts_put(f, str_of(row->value), "is xid %u", (unsigned)xid);
    }
}

static void measured(struct facts *f)
{
    static const struct {
        unsigned bits;
        const char *what;
    } reasons[] = {{0x04, "power"}, {0x20 | 0x40, "heat"}, {0x80, "brake"}};
    size_t i = 0, n = f->n;
    const struct fact *row;
    while (i < n && (row = facts_next(f, "hot * clock_reasons", &i))) {
        unsigned mask = mask_of(row->value);
        for (size_t k = 0; k < COUNT(reasons); k++)
            if (mask & reasons[k].bits)
                facts_put(f, str_of(row->value), "is slow %s %llu", reasons[k].what,
                          (unsigned long long)number(row->key + 4));
    }
    for (unsigned gpu = 0; gpu < 16; gpu++) {
        static const char *const what[] = {"width", "gen"};
        for (size_t k = 0; k < COUNT(what); k++) {
            char now[40], most[40], text[60];
            snprintf(now, sizeof now, "hot %u pcie_%s", gpu, what[k]);
            snprintf(most, sizeof most, "hot %u pcie_%s_max", gpu, what[k]);
            uint64_t is = number(facts_get(f, now)), could = number(facts_get(f, most));
            if (!is || is >= could) continue;
            snprintf(text, sizeof text, "%s %llu of %llu", what[k], (unsigned long long)is,
                     (unsigned long long)could);
            facts_put(f, str_of(text), "is narrow %u", gpu);
        }
    }
}

void derive_facts(struct facts *f)
{
    facts_drop(f, "is *");
    system_of(f);
    place_of(f);
    cards(f);
    gpu_of(f);
    halves(f);
    on_disk(f);
    copies(f);
    visibility(f);
    xids(f);
    measured(f);
}
