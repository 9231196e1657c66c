#include "doctor/report.h"
#include "doctor/pci.h"
#include <stdio.h>
#include <string.h>

enum { PIECE = 6000, WIDTH = 96, GPUS = 16 };

struct page {
    int (*put)(void *ctx, const char *p, size_t n, struct err *e);
    void *ctx;
    struct err *e;
    bool failed;
};

static BASE_PRINTF(2, 3) void say(struct page *p, const char *format, ...)
{
    char text[PIECE];
    struct strbuf b;
    va_list args;
    strbuf_init(&b, text, sizeof text);
    va_start(args, format);
    strbuf_format_list(&b, format, args);
    va_end(args);
    if (!p->failed) p->failed = p->put(p->ctx, b.p, b.n, p->e) != 0;
}

/* Words folded at WIDTH, later lines under the first. */
static void say_folded(struct page *p, const char *head, const char *text)
{
    size_t indent = strlen(head), column = indent;
    say(p, "%s", head);
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column > indent && column + 1 + n > WIDTH) {
            say(p, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            say(p, " ");
            column++;
        }
        say(p, "%.*s", (int)n, text);
        column += n;
        text += n + strspn(text + n, " ");
    }
    say(p, "\n");
}

/* Lines as they are, under each other. */
static void say_lines(struct page *p, const char *head, const char *text)
{
    struct str rest = str_of(text), line;
    while (str_line(&rest, &line)) {
        say(p, "%s%.*s\n", head, (int)line.n, line.p);
        head = "         ";
    }
}

static const char *get(const struct report *r, const char *key, const char *fallback)
{
    const char *value = facts_get(r->facts, key);
    return value ? value : fallback;
}

static const char *get_of(const struct report *r, const char *kind, int index, const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%s %d %s", kind, index, what);
    return facts_get(r->facts, key);
}

static bool has_gpu(const struct report *r, const char *kind, int index)
{
    return get_of(r, kind, index, "name") || get_of(r, kind, index, "pci");
}

/* What "nvml" or "hot" says of the GPU that CUDA calls gpu: the one at its address. Where addresses
 * are not told, that number of "hot"; of "nvml" only if both know but one GPU. */
static const char *get_joined(const struct report *r, const char *kind, int gpu, const char *what)
{
    struct pci at;
    if (strcmp(kind, "cuda") == 0) return get_of(r, kind, gpu, what);
    bool placed = pci_of(r->facts, "cuda", gpu, &at);
    int n = placed ? pci_number(r->facts, kind, &at) : -1;
    if (n >= 0) return get_of(r, kind, n, what);
    if (placed && get_of(r, kind, gpu, "pci")) return NULL; /* another's */
    bool one = gpu == 0 && !has_gpu(r, "cuda", 1) && !has_gpu(r, "nvml", 1);
    return one || strcmp(kind, "hot") == 0 ? get_of(r, kind, gpu, what) : NULL;
}

static unsigned long long number(const char *text)
{
    uint64_t n;
    return text && str_uint(str_of(text), UINT64_MAX, &n) ? n : 0;
}

/* ---- what is there ---- */

static void say_machine(struct page *p, const struct report *r)
{
    say(p, "\n  machine  %s, %s, kernel %s%s\n", get(r, "is distro", "?"), get(r, "is place", "?"),
        get(r, "/proc/sys/kernel/osrelease", "?"),
        facts_get(r->facts, "emulated") ? "; the GPU is emulated" : "");
    const char *module = facts_get(r->facts, "is module"),
               *library = facts_get(r->facts, "is library");
    unsigned long long cuda = number(facts_get(r->facts, "cuDriverGetVersion"));
    if (!module && !library && !cuda) return;
    say(p, "  driver   kernel module %s, library %s", module ? module : "?",
        library ? library : get(r, "libcuda.so.1", "?"));
    if (cuda) say(p, ", for CUDA %llu.%llu", cuda / 1000, cuda % 1000 / 10);
    say(p, "\n");
}

/* hidden: NVML knows it, and CUDA showed others only, whose numbers are not NVML's. */
static bool say_gpu(struct page *p, const struct report *r, const char *kind, int gpu, bool hidden)
{
    const char *name = get_of(r, kind, gpu, "name"), *mib = get_of(r, kind, gpu, "memory_mib");
    const char *sm = get_of(r, kind, gpu, "sm"), *pci = get_of(r, kind, gpu, "pci");
    if (!name) return false;
    if (hidden)
        say(p, "  hidden   ");
    else
        say(p, "  GPU %-4d ", gpu);
    say(p, "%s, %s MiB%s%s, %s", name, mib ? mib : "?", sm ? ", sm_" : "", sm ? sm : "",
        pci ? pci : "?");
    if (hidden) say(p, "; nvidia-smi's number %d", gpu);
    say(p, "\n");
    return true;
}

/* Whether NVML's GPU is one that CUDA showed; where addresses are not told, the one of its number.
 */
static bool is_cudas(const struct report *r, int gpu)
{
    struct pci at;
    if (pci_of(r->facts, "nvml", gpu, &at) && pci_number(r->facts, "cuda", &at) >= 0) return true;
    return get_of(r, "cuda", gpu, "name") &&
           !(get_of(r, "cuda", gpu, "pci") && get_of(r, "nvml", gpu, "pci"));
}

static void say_gpus(struct page *p, const struct report *r)
{
    size_t i = 0;
    const struct fact *row;
    bool any = false;
    for (int gpu = 0; gpu < GPUS; gpu++) any |= say_gpu(p, r, "cuda", gpu, false);
    bool shown = any;
    for (int gpu = 0; gpu < GPUS; gpu++)
        if (!is_cudas(r, gpu)) any |= say_gpu(p, r, "nvml", gpu, shown);
    while (!any && (row = facts_next(r->facts, "is driver *", &i)))
        say(p, "  GPU      at %s, kernel driver: %s\n", row->key + strlen("is driver "),
            row->value);
}

static void say_test(struct page *p, const struct report *r)
{
    for (int gpu = 0; gpu < GPUS; gpu++) {
        const char *right = get_of(r, "cuda", gpu, "gemm");
        if (!right || strcmp(right, "right") != 0) continue;
        say(p, "\nGPU test PASSED on GPU %d%s\n", gpu,
            facts_get(r->facts, "emulated") ? " (emulated: the rates are the emulator's)" : "");
        say(p, "  a product of matrices of side %s, checked whole",
            get_of(r, "cuda", gpu, "gemm_side") ? get_of(r, "cuda", gpu, "gemm_side") : "?");
        static const struct {
            const char *kind, *what, *format;
        } rates[] = {{"cuda", "gemm_tflops", ": %s TFLOP/s\n"},
                     {"cuda", "copy_gbs", "  copies within the GPU: %s GB/s read and written\n"},
                     {"cuda", "to_gpu_gbs", "  to the GPU %s GB/s,"},
                     {"cuda", "from_gpu_gbs", " from it %s GB/s\n"},
                     {"hot", "temperature", "  afterwards %s C"},
                     {"hot", "clock_mhz", ", %s MHz"},
                     {"hot", "clock_max_mhz", " of %s MHz"}};
        for (size_t i = 0; i < COUNT(rates); i++) {
            const char *value = get_joined(r, rates[i].kind, gpu, rates[i].what), *at;
            if (!value) continue;
            at = strstr(rates[i].format, "%s");
            say(p, "%.*s%s%s", (int)(at - rates[i].format), rates[i].format, value, at + 2);
        }
        const char *power = get_joined(r, "hot", gpu, "power_mw");
        if (power) say(p, ", %.0f W", (double)number(power) / 1000);
        say(p, "\n");
    }
    if (facts_get(r->facts, "is usable"))
        say(p,
            "  lode uses it by itself (--device auto); `lode plan MODEL --device cuda` tells what "
            "fits\n");
}

static void say_finding(struct page *p, const struct report *r, const struct finding *g)
{
    char text[PIECE - 1000];
    struct strbuf cure;
    say(p, "\n");
    char head[80];
    snprintf(head, sizeof head, "%s (%s): ", g->row->id, finding_severity(g->row->severity));
    say(p, "%s%s\n", head, g->row->what);
    for (size_t i = 0; i < g->n_seen; i++) {
        const char *key = g->seen[i].key;
        say(p, "  %s   %s = %s\n", i ? "    " : "seen", key + (str_starts(key, "is ") ? 3 : 0),
            g->seen[i].value);
    }
    say_folded(p, "  why    ", g->row->why);
    strbuf_init(&cure, text, sizeof text);
    finding_cure(g, r->facts, &cure);
    say_lines(p, "  cure   ", cure.p);
}

static void say_passed(struct page *p, const struct report *r)
{
    size_t n;
    const struct finding_row *rows = finding_rows(&n);
    say(p, "\nLooked for and not found:\n");
    for (size_t i = 0; i < n; i++) {
        bool seen = false;
        for (size_t k = 0; k < r->n; k++) seen |= r->found[k].row == &rows[i];
        if (!seen) say(p, "  ok  %-20s %s\n", rows[i].id, rows[i].what);
    }
    say(p, "\nFacts:\n");
    for (size_t i = 0; i < r->facts->n; i++)
        say(p, "  %s = %s\n", r->facts->row[i].key, r->facts->row[i].value);
}

static const char *verdict(int status)
{
    static const char *const text[] = {"a GPU is usable", "a GPU is usable, with warnings",
                                       "there is a GPU, and it cannot be used",
                                       "there is no GPU to use"};
    return text[status];
}

int report_text(const struct report *r, bool verbose,
                int (*put)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
                struct err *e)
{
    struct page p = {put, ctx, e, false};
    say(&p, "lode doctor: %s\n", verdict(r->status));
    say_machine(&p, r);
    say_gpus(&p, r);
    for (size_t i = 0; i < r->n; i++) say_finding(&p, r, &r->found[i]);
    say_test(&p, r);
    if (verbose) say_passed(&p, r);
    return p.failed ? -1 : 0;
}

/* ---- JSON ---- */

static void json_finding(struct json_out *j, const struct report *r, const struct finding *g)
{
    char text[PIECE - 1000];
    struct strbuf cure;
    json_out_object(j);
    json_out_key(j, "id");
    json_out_str(j, g->row->id);
    json_out_key(j, "severity");
    json_out_str(j, finding_severity(g->row->severity));
    json_out_key(j, "what");
    json_out_str(j, g->row->what);
    json_out_key(j, "seen");
    json_out_object(j);
    for (size_t i = 0; i < g->n_seen; i++) {
        json_out_key(j, g->seen[i].key);
        json_out_str(j, g->seen[i].value);
    }
    json_out_end(j, '}');
    json_out_key(j, "why");
    json_out_str(j, g->row->why);
    json_out_key(j, "cure");
    strbuf_init(&cure, text, sizeof text);
    finding_cure(g, r->facts, &cure);
    json_out_text(j, cure.p, cure.n);
    json_out_end(j, '}');
}

static void json_gpu(struct json_out *j, const struct report *r, int gpu)
{
    static const struct {
        const char *kind, *what;
    } fields[] = {{"cuda", "pci"},          {"nvml", "uuid"},       {"cuda", "sm"},
                  {"cuda", "memory_mib"},   {"nvml", "used_mib"},   {"cuda", "gemm_tflops"},
                  {"cuda", "copy_gbs"},     {"cuda", "to_gpu_gbs"}, {"cuda", "from_gpu_gbs"},
                  {"hot", "temperature"},   {"hot", "power_mw"},    {"hot", "clock_mhz"},
                  {"hot", "clock_max_mhz"}, {"cuda", "error"}};
    const char *right = get_of(r, "cuda", gpu, "gemm");
    json_out_object(j);
    json_out_key(j, "index");
    json_out_int(j, gpu);
    json_out_key(j, "name");
    json_out_str(j, get_of(r, "cuda", gpu, "name"));
    json_out_key(j, "test");
    json_out_str(j, right && strcmp(right, "right") == 0 ? "passed" : "failed");
    for (size_t i = 0; i < COUNT(fields); i++) {
        const char *value = get_joined(r, fields[i].kind, gpu, fields[i].what);
        double x;
        json_out_key(j, fields[i].what);
        if (value && str_double(value, &x))
            json_out_number(j, x, 4);
        else
            json_out_str(j, value);
    }
    json_out_end(j, '}');
}

int report_json(const struct report *r,
                int (*put)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
                struct err *e)
{
    struct json_out j;
    json_out_init(&j, 2, put, ctx, e);
    json_out_object(&j);
    json_out_key(&j, "exit");
    json_out_int(&j, r->status);
    json_out_key(&j, "verdict");
    json_out_str(&j, verdict(r->status));
    json_out_key(&j, "emulated");
    json_out_bool(&j, facts_get(r->facts, "emulated") != NULL);
    json_out_key(&j, "findings");
    json_out_array(&j);
    for (size_t i = 0; i < r->n; i++) json_finding(&j, r, &r->found[i]);
    json_out_end(&j, ']');
    json_out_key(&j, "gpus");
    json_out_array(&j);
    for (int gpu = 0; gpu < GPUS; gpu++)
        if (get_of(r, "cuda", gpu, "name")) json_gpu(&j, r, gpu);
    json_out_end(&j, ']');
    json_out_key(&j, "facts");
    json_out_object(&j);
    for (size_t i = 0; i < r->facts->n; i++) {
        json_out_key(&j, r->facts->row[i].key);
        json_out_str(&j, r->facts->row[i].value);
    }
    json_out_end(&j, '}');
    json_out_end(&j, '}');
    return json_out_done(&j);
}
