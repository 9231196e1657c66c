/* Reads LODE_FAKE_GPU. Shared by the fake CUDA driver and the fake NVML. */
#include "gpu/fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct fake_gpu gpus[] = {
    {"p100",      "Tesla P100-PCIE-16GB",        60,  56,  16276},
    {"v100",      "Tesla V100-SXM2-16GB",        70,  80,  16144},
    {"rtx2080ti", "NVIDIA GeForce RTX 2080 Ti",  75,  68,  11011},
    {"t4",        "Tesla T4",                    75,  40,  15095},
    {"a100",      "NVIDIA A100-SXM4-40GB",       80, 108,  40442},
    {"a100-80",   "NVIDIA A100-SXM4-80GB",       80, 108,  81051},
    {"a10",       "NVIDIA A10",                  86,  72,  22503},
    {"a5000",     "NVIDIA RTX A5000",            86,  64,  24247},
    {"rtx3060",   "NVIDIA GeForce RTX 3060",     86,  28,  12044},
    {"rtx3090",   "NVIDIA GeForce RTX 3090",     86,  82,  24126},
    {"l4",        "NVIDIA L4",                   89,  58,  22574},
    {"l40s",      "NVIDIA L40S",                 89, 142,  45498},
    {"rtx4090",   "NVIDIA GeForce RTX 4090",     89, 128,  24209},
    {"h100",      "NVIDIA H100 80GB HBM3",       90, 132,  81079},
    {"h200",      "NVIDIA H200",                 90, 132, 143156},
    {"b200",      "NVIDIA B200",                100, 148, 182642},
    {"rtx5090",   "NVIDIA GeForce RTX 5090",    120, 170,  32110},
};

/* Driver branch -> the CUDA it is for. Source: CUDA release notes, table of driver versions. */
static const struct { int branch, cuda; } drivers[] = {
    {450, 11000}, {455, 11010}, {460, 11020}, {465, 11030}, {470, 11040}, {495, 11050},
    {510, 11060}, {515, 11070}, {520, 11080}, {525, 12000}, {530, 12010}, {535, 12020},
    {545, 12030}, {550, 12040}, {555, 12050}, {560, 12060}, {565, 12070}, {570, 12080},
    {575, 12090}, {580, 13000}, {590, 13010},
};

static const struct { const char *key; int fallback, most; } states[FAKE_STATES] = {
    [FAKE_MODE]        = {"mode", 0, 3},
    [FAKE_MIG]         = {"mig", 0, 1},
    [FAKE_INSTANCES]   = {"instances", 0, 7},
    [FAKE_PERSISTENCE] = {"persistence", 1, 1},
    [FAKE_REASONS]     = {"reasons", 1, 511}, /* 1: idle */
    [FAKE_GEN]         = {"gen", 4, 6},
    [FAKE_IDLE]        = {"idle", 0, 6},
    [FAKE_WIDTH]       = {"width", 16, 32},
    [FAKE_UNCORRECTED] = {"uncorrected", 0, 1000000},
    [FAKE_REMAP]       = {"remap", 0, 2},
    [FAKE_TEMPERATURE] = {"temperature", 41, 150},
    [FAKE_WATTS]       = {"watts", 60, 2000},
    [FAKE_FABRIC]      = {"fabric", 0, 3},
    [FAKE_PID]         = {"pid", 0, 4194304},
};
/* clang-format on */

#define N(a) (sizeof(a) / sizeof((a)[0]))

struct reader {
    struct fake_config *c;
    char *wrong;
    size_t room;
};

static int complain(struct reader *r, const char *what, const char *got)
{
    snprintf(r->wrong, r->room, "LODE_FAKE_GPU: %s: '%s'", what, got);
    return -1;
}

/* A whole number at the start of *at, which moves behind it; -1 if there is none. */
static long long number(const char **at)
{
    long long v = 0;
    const char *p = *at;
    while (*p >= '0' && *p <= '9' && v < 1000000000000LL) v = 10 * v + (*p++ - '0');
    if (p == *at) return -1;
    *at = p;
    return v;
}

static int size(struct reader *r, const char *text, uint64_t *out)
{
    const char *at = text;
    long long v = number(&at);
    if (v < 0 || (strcmp(at, "GiB") && strcmp(at, "MiB") && strcmp(at, "KiB") && *at))
        return complain(r, "a size is written 1GiB, 512MiB or as bytes, not", text);
    *out = (uint64_t)v << (*at == 'G' ? 30 : *at == 'M' ? 20 : *at == 'K' ? 10 : 0);
    return 0;
}

static int small(struct reader *r, const char *text, int most, int *out)
{
    const char *at = text;
    long long v = number(&at);
    if (v < 0 || v > most || *at) return complain(r, "not a number that is possible here", text);
    *out = (int)v;
    return 0;
}

/* 41, or 41+88: one for each device, the last for all that follow */
static int each(struct reader *r, const char *text, int most, int out[FAKE_DEVICES])
{
    const char *at = text;
    for (int n = 0; n < FAKE_DEVICES; n++) {
        long long v = number(&at);
        if (v < 0 || v > most) break;
        for (int i = n; i < FAKE_DEVICES; i++) out[i] = (int)v;
        if (*at == 0) return 0;
        if (*at++ != '+') break;
    }
    return complain(r, "not a number that is possible here", text);
}

static int copy(struct reader *r, char *to, size_t room, const char *from)
{
    if (strlen(from) >= room) return complain(r, "too long", from);
    memcpy(to, from, strlen(from) + 1);
    return 0;
}

static int set_driver(struct reader *r, const char *text)
{
    const char *at = text;
    long long branch = number(&at);
    if (branch < drivers[0].branch || (*at && *at != '.'))
        return complain(r, "not a version of a driver", text);
    for (size_t i = 0; i < N(drivers); i++)
        if (drivers[i].branch <= branch) r->c->cuda = drivers[i].cuda;
    return copy(r, r->c->driver, sizeof r->c->driver, text);
}

static struct fake_rule *new_rule(struct reader *r, const char *call)
{
    struct fake_config *c = r->c;
    if (c->n_rules == FAKE_RULES) {
        complain(r, "too many faults, from", call);
        return NULL;
    }
    struct fake_rule *rule = &c->rule[c->n_rules];
    *rule = (struct fake_rule){.at = 1};
    if (copy(r, rule->call, sizeof rule->call, call)) return NULL;
    c->n_rules++;
    return rule;
}

/* N, N+ */
static int when(struct reader *r, struct fake_rule *rule, const char *text)
{
    const char *at = text;
    long long v = number(&at);
    rule->on = *at == '+';
    if (v < 1 || strcmp(at, rule->on ? "+" : "")) return complain(r, "not N or N+", text);
    rule->at = (unsigned long)v;
    return 0;
}

/* CODE@N, CODE@N+; CODE alone means every call */
static int fault(struct reader *r, const char *call, const char *text)
{
    struct fake_rule *rule = new_rule(r, call);
    const char *at = text;
    long long code = number(&at);
    if (!rule) return -1;
    if (code < 1 || code > 999 || (*at && *at != '@')) return complain(r, "not CODE@N", text);
    rule->code = (int)code;
    rule->on = true;
    return *at ? when(r, rule, at + 1) : 0;
}

static int numbered(struct reader *r, const char *call, int code, const char *text)
{
    struct fake_rule *rule = new_rule(r, call);
    if (!rule) return -1;
    rule->code = code;
    return when(r, rule, text);
}

/* NAME@N, NAME@N/SECONDS */
static int hang(struct reader *r, char *text)
{
    char *at = strchr(text, '@'), *slash = strchr(text, '/');
    int seconds = 3600;
    if (!at) return complain(r, "not NAME@N", text);
    *at++ = 0;
    if (slash) *slash++ = 0;
    if (slash && small(r, slash, 1000000, &seconds)) return -1;
    struct fake_rule *rule = new_rule(r, text);
    if (!rule || when(r, rule, at)) return -1;
    rule->hang_s = (unsigned)seconds;
    return 0;
}

/* NAME@N */
static int crash(struct reader *r, char *text)
{
    char *at = strchr(text, '@');
    if (!at) return complain(r, "not NAME@N", text);
    *at++ = 0;
    struct fake_rule *rule = new_rule(r, text);
    if (!rule || when(r, rule, at)) return -1;
    rule->crash = true;
    return 0;
}

static int flag(struct reader *r, const char *key)
{
    if (strcmp(key, "prohibited")) return complain(r, "not an option", key);
    for (int i = 0; i < FAKE_DEVICES; i++) r->c->state[FAKE_MODE][i] = 2;
    return 0;
}

static int option(struct reader *r, const char *key, char *value)
{
    struct fake_config *c = r->c;
    int v;
    for (int i = 0; i < FAKE_STATES; i++)
        if (strcmp(key, states[i].key) == 0) return each(r, value, states[i].most, c->state[i]);
    if (strcmp(key, "driver") == 0) return set_driver(r, value);
    if (strcmp(key, "vram") == 0) return size(r, value, &c->vram);
    if (strcmp(key, "used") == 0) return size(r, value, &c->used);
    if (strcmp(key, "context") == 0) return size(r, value, &c->context);
    if (strcmp(key, "order") == 0) return small(r, value, 1000000, &c->order);
    if (strcmp(key, "init") == 0) return fault(r, "cuInit", value);
    if (strcmp(key, "sticky") == 0) return fault(r, "kernel", value);
    if (strcmp(key, "ecc") == 0) return numbered(r, "kernel", 214, value);
    if (strcmp(key, "oom") == 0) return numbered(r, "cuMemAlloc_v2", 2, value);
    if (strcmp(key, "any") == 0 || strncmp(key, "cu", 2) == 0 || strncmp(key, "nvml", 4) == 0)
        return fault(r, key, value);
    if (strcmp(key, "hang") == 0) return hang(r, value);
    if (strcmp(key, "crash") == 0) return crash(r, value);
    if (strcmp(key, "report") == 0) return copy(r, c->report, sizeof c->report, value);
    if (strcmp(key, "missing") == 0) {
        if (c->n_missing == (int)N(c->missing)) return complain(r, "too many missing, from", value);
        return copy(r, c->missing[c->n_missing++], FAKE_NAME, value);
    }
    if (strcmp(key, "sm") == 0) {
        if (small(r, value, 999, &v)) return -1;
        for (int i = 0; i < c->n; i++) c->device[i].gpu.sm = v;
        return 0;
    }
    if (strcmp(key, "count") == 0) {
        if (small(r, value, FAKE_DEVICES, &v)) return -1;
        for (int i = c->n; i < v; i++) c->device[i].gpu = c->device[c->n - 1].gpu;
        c->n = v;
        return 0;
    }
    return complain(r, "not an option", key);
}

static int add_gpu(struct reader *r, const char *key)
{
    struct fake_config *c = r->c;
    for (size_t i = 0; i < N(gpus); i++)
        if (strcmp(gpus[i].key, key) == 0) {
            if (c->n == FAKE_DEVICES) return complain(r, "too many GPUs, from", key);
            c->device[c->n++].gpu = gpus[i];
            return 0;
        }
    return complain(r, "not a GPU it knows (t4 v100 a5000 a100 h100 h200 rtx3060 rtx4090 b200 ...)",
                    key);
}

/* Splits off what stands before the next separator; NULL at the end. */
static char *part(char **rest, char separator)
{
    char *start = *rest;
    if (!start) return NULL;
    char *end = strchr(start, separator);
    *rest = end ? end + 1 : NULL;
    if (end) *end = 0;
    return start;
}

static void name_devices(struct fake_config *c)
{
    for (int i = 0; i < c->n; i++) {
        struct fake_device *d = &c->device[i];
        d->number = i;
        snprintf(d->pci, sizeof d->pci, "0000:%02X:00.0", 0x3b + i);
        for (int j = 0; j < 16; j++) d->uuid[j] = (unsigned char)(17 * j + 97 * i + d->gpu.sm);
    }
}

void fake_uuid(const struct fake_device *d, char out[48])
{
    int n = snprintf(out, 48, "GPU-");
    for (int i = 0; i < 16; i++)
        n += snprintf(out + n, 48 - (size_t)n, "%02x%s", d->uuid[i],
                      i == 3 || i == 5 || i == 7 || i == 9 ? "-" : "");
}

/* CUDA_VISIBLE_DEVICES, as NVIDIA's driver reads it: indices or UUIDs (or their beginning); the
 * first one that is not there hides all that follow. */
static void hide(struct fake_config *c, const char *visible)
{
    char text[400], *rest = text, *one;
    struct fake_device kept[FAKE_DEVICES];
    int n = 0;
    snprintf(text, sizeof text, "%s", visible);
    while (n < FAKE_DEVICES && (one = part(&rest, ','))) {
        const char *at = one;
        long long index = number(&at);
        int found = -1;
        if (index >= 0 && *at == 0 && index < c->n) found = (int)index;
        for (int i = 0; i < c->n && index < 0; i++) {
            char uuid[48];
            fake_uuid(&c->device[i], uuid);
            if (strlen(one) > 4 && strncmp(uuid, one, strlen(one)) == 0) found = i;
        }
        if (found < 0) break;
        kept[n++] = c->device[found];
    }
    memcpy(c->device, kept, (size_t)n * sizeof kept[0]);
    c->n = n;
}

int fake_read(const char *text, const char *visible, struct fake_config *out, char *wrong,
              size_t room)
{
    char buffer[1000], *rest = buffer, *one;
    struct reader r = {out, wrong, room};
    *out = (struct fake_config){.driver = "580.65.06", .cuda = 13000, .context = 320u << 20};
    for (int i = 0; i < FAKE_STATES; i++)
        for (int k = 0; k < FAKE_DEVICES; k++) out->state[i][k] = states[i].fallback;
    if (copy(&r, buffer, sizeof buffer, text)) return -1;
    char *keys = part(&rest, ','), *key;
    while ((key = part(&keys, '+')))
        if (add_gpu(&r, key)) return -1;
    while ((one = part(&rest, ','))) {
        char *value = strchr(one, '=');
        if (value) *value++ = 0;
        if (value ? option(&r, one, value) : flag(&r, one)) return -1;
    }
    name_devices(out);
    if (visible) hide(out, visible);
    return 0;
}

int fake_environment(struct fake_config *out, char *wrong, size_t room)
{
    const char *text = getenv("LODE_FAKE_GPU");
    return fake_read(text ? text : "", getenv("CUDA_VISIBLE_DEVICES"), out, wrong, room);
}

bool fake_missing(const struct fake_config *c, const char *name)
{
    for (int i = 0; i < c->n_missing; i++)
        if (strcmp(c->missing[i], name) == 0) return true;
    return false;
}
