/* Rungs 0, 1 and 2; the others are in look_host.c. */
#include "doctor/look.h"
#include "base/env.h"
#include "base/file.h"
#include "doctor/look_host.h"
#include "doctor/look_read.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECURE  "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define MODULES "/lib/modules"
#define DKMS    "/var/lib/dkms"
#define PCI     "/sys/bus/pci/devices"

/* ---- rung 0: where we are ---- */

const char *const *look_variables(size_t *n)
{
    static const char *const names[] = {
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "CUDA_DEVICE_ORDER",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "CUDA_CACHE_PATH",
        "CUDA_FORCE_PTX_JIT",
        "CUDA_MODULE_LOADING",
        "CUDA_LAUNCH_BLOCKING",
        "CUDA_INJECTION64_PATH",
        "CUDA_INJECTION32_PATH",
        "CUDA_MPS_PIPE_DIRECTORY",
        "CUDA_AUTO_BOOST",
        "CUDA_ENABLE_COREDUMP_ON_EXCEPTION",
        "CUDA_COREDUMP_FILE",
        "CUDA_DEVICE_WAITS_ON_EXCEPTION",
        "NSIGHT_CUDA_DEBUGGER",
        "KUBERNETES_SERVICE_HOST",
        "DOCKER_HOST",
        "INVOCATION_ID",
        "LODE_FAKE_GPU",
    };
    *n = COUNT(names);
    return names;
}

/* An address of a cluster or daemon is nobody's business. */
static bool is_private(const char *name)
{
    return strcmp(name, "KUBERNETES_SERVICE_HOST") == 0 || strcmp(name, "DOCKER_HOST") == 0 ||
           strcmp(name, "INVOCATION_ID") == 0;
}

static void process_itself(const struct look *l)
{
    size_t n;
    const char *const *names = look_variables(&n);
    if (*l->root) return;
    for (size_t i = 0; i < n; i++) {
        const char *value = env_foreign(names[i]);
        if (value)
            facts_put(l->f, str_of(is_private(names[i]) ? "set" : value), "env %s", names[i]);
    }
    facts_set(l->f, "user", getuid() == 0 ? "root" : "not root");
}

static void container_of(const struct look *l)
{
    struct str text;
    look_read_there(l, "/.dockerenv", "file");
    look_read_there(l, "/run/.containerenv", "file");
    look_read_whole(l, "/run/systemd/container", 60);
    look_read_there(l, "/var/run/secrets/kubernetes.io/serviceaccount", "folder");
    if (!look_read(l, "/proc/1/environ", 64 * KIB, &text)) return;
    for (size_t i = 0; i < text.n;) { /* NAME=value, each ended by NUL; only one of them is kept */
        size_t n = strnlen(text.p + i, text.n - i);
        if (n > 10 && memcmp(text.p + i, "container=", 10) == 0)
            facts_put(l->f, (struct str){text.p + i, MIN(n, 60)}, "/proc/1/environ");
        i += n + 1;
    }
}

static void rung_0(const struct look *l)
{
    static const char *const release[] = {"ID=", "ID_LIKE=", "VERSION_ID=", NULL};
    look_read_lines(l, "/etc/os-release", 16 * KIB, release, false);
    look_read_whole(l, "/proc/sys/kernel/osrelease", 256);
    container_of(l);
    look_read_there(l, "/etc/nv_tegra_release", "file");
    process_itself(l);
}

/* ---- rung 1: PCI ---- */

static void pci_device(const struct look *l, const char *name)
{
    static const char *const files[] = {"class",          "device",
                                        "numa_node",      "current_link_speed",
                                        "max_link_speed", "current_link_width",
                                        "max_link_width", "power/runtime_status"};
    char path[400];
    struct str text;
    snprintf(path, sizeof path, PCI "/%.100s/vendor", name);
    if (!look_read(l, path, 64, &text) || !str_eq(str_trim(text), "0x10de")) return;
    facts_set(l->f, path, "0x10de");
    for (size_t i = 0; i < COUNT(files); i++) {
        snprintf(path, sizeof path, PCI "/%.100s/%s", name, files[i]);
        look_read_whole(l, path, 64);
    }
    snprintf(path, sizeof path, PCI "/%.100s/driver", name);
    look_read_link(l, path);
    snprintf(path, sizeof path, PCI "/%.100s/config", name);
    if (look_read(l, path, 4, &text)) facts_put(l->f, text, "%s", path);
}

static void rung_1(const struct look *l)
{
    char **names;
    size_t n = look_read_list(l, PCI, "", &names);
    for (size_t i = 0; i < n; i++) pci_device(l, names[i]);
    look_read_node(l, "/dev/dxg");
}

/* ---- rung 2: the kernel's half ---- */

/* DKMS's folder NAME/VERSION/KERNEL is there once a module was built; NAME is nvidia, Debian's
 * nvidia-current, ... */
static void dkms_of(const struct look *l, const char *name, const char *kernel)
{
    char path[600], **versions, **kernels;
    snprintf(path, sizeof path, DKMS "/%.100s", name);
    size_t n = look_read_list(l, path, "", &versions);
    for (size_t i = 0; i < n; i++) {
        if (!strchr("0123456789", versions[i][0])) continue;
        snprintf(path, sizeof path, DKMS "/%.100s/%.100s", name, versions[i]);
        facts_set(l->f, path, "folder");
        size_t m = look_read_list(l, path, kernel, &kernels);
        for (size_t k = 0; k < m; k++) {
            snprintf(path, sizeof path, DKMS "/%.100s/%.100s/%.120s", name, versions[i],
                     kernels[k]);
            facts_set(l->f, path, "folder");
        }
    }
}

/* Whether a module of NVIDIA's was made for this kernel. */
static void modules_on_disk(const struct look *l)
{
    char path[400], kernel[128], **names;
    const char *release = facts_get(l->f, "/proc/sys/kernel/osrelease");
    struct str text, line;
    if (!release || strchr(release, '/') || release[0] == '!') return;
    snprintf(kernel, sizeof kernel, "%.120s", release);
    snprintf(path, sizeof path, MODULES "/%s/modules.dep", kernel);
    if (look_read(l, path, 4 * MIB, &text)) {
        const char *found = "none";
        char name[300];
        while (str_line(&text, &line)) {
            size_t n = 0;
            while (n < line.n && line.p[n] != ':') n++;
            snprintf(name, sizeof name, "%.*s", (int)MIN(n, sizeof name - 1), line.p);
            if (facts_glob("nvidia.ko*|nvidia-current*.ko*|nvidia-tesla*.ko*", file_name(name))) {
                found = name;
                break;
            }
        }
        facts_set(l->f, path, found);
    }
    size_t n = look_read_list(l, DKMS, "nvidia", &names);
    for (size_t i = 0; i < n; i++) dkms_of(l, names[i], kernel);
}

static void rung_2(const struct look *l)
{
    static const char *const folders[] = {"/sys/module/nvidia", "/sys/module/nvidia_uvm",
                                          "/sys/module/nvidia_drm", "/sys/module/nouveau"};
    static const char *const nvidia[] = {"nvidia", NULL};
    char path[300], **names;
    for (size_t i = 0; i < COUNT(folders); i++) look_read_there(l, folders[i], "loaded");
    look_read_whole(l, "/sys/module/nvidia/version", 64);
    look_read_whole(l, "/sys/module/nvidia_uvm/parameters/uvm_disable_hmm", 16);
    look_read_whole(l, "/proc/driver/nvidia/version", 512);
    static const char *const params[] = {"DeviceFile", "ModifyDeviceFiles",
                                         "PreserveVideoMemoryAllocations", NULL};
    look_read_lines(l, "/proc/driver/nvidia/params", 16 * KIB, params, false);
    look_read_lines(l, "/proc/devices", 16 * KIB, nvidia, true);
    size_t n = look_read_list(l, "/proc/driver/nvidia/gpus", "", &names);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "/proc/driver/nvidia/gpus/%.100s", names[i]);
        facts_set(l->f, path, "folder");
    }
    struct str text;
    if (look_read(l, SECURE, 16, &text)) facts_put(l->f, text, SECURE);
    look_read_whole(l, "/sys/kernel/security/lockdown", 128);
    static const char *const words[] = {"nokaslr", NULL};
    if (look_read(l, "/proc/cmdline", 4 * KIB, &text)) {
        char line[4096];
        snprintf(line, sizeof line, "%.*s", (int)MIN(text.n, sizeof line - 1), text.p);
        if (strstr(line, words[0])) facts_set(l->f, "/proc/cmdline", words[0]);
    }
    modules_on_disk(l);
}

int look_machine(const char *root, struct facts *f, struct err *e)
{
    struct look l = {.root = root, .f = f};
    TRY(arena_open("look", 0, &l.scratch, e));
    rung_0(&l);
    rung_1(&l);
    rung_2(&l);
    look_host(&l);
    arena_close(&l.scratch);
    return f->failed ? -1 : 0;
}
