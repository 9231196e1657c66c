/* The counters are process-wide on purpose: a test says "the seventh allocation", whoever asks for
 * it. */
#include "base/fault.h"
#include "base/env.h"
#include "base/log.h"
#include "base/str.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

static const char *const names[FAULT_KINDS] = {"alloc", "open", "read", "write", "map", "dlopen"};

struct rule {
    _Atomic uint64_t calls;
    _Atomic uint64_t at; /* the call that fails, from 1; 0: none */
    atomic_bool onwards; /* and all later ones */
};

static struct rule fault_rules[FAULT_KINDS];
static atomic_int fault_state; /* 0: LODE_FAIL not read yet, 1: being read, 2: ready */

static int arm_one(struct str word)
{
    bool onwards = word.n > 0 && word.p[word.n - 1] == '+';
    if (onwards) word.n--;
    const char *colon = memchr(word.p, ':', word.n);
    if (!colon) return -1;
    struct str kind = {word.p, (size_t)(colon - word.p)};
    struct str number = {colon + 1, word.n - kind.n - 1};
    uint64_t at;
    if (!str_uint(number, UINT64_MAX, &at) || at == 0) return -1;
    for (int k = 0; k < FAULT_KINDS; k++) {
        if (!str_eq(kind, names[k])) continue;
        atomic_store(&fault_rules[k].onwards, onwards);
        atomic_store(&fault_rules[k].at, at);
        return 0;
    }
    return -1;
}

static int arm(const char *spec)
{
    for (int k = 0; k < FAULT_KINDS; k++) {
        atomic_store(&fault_rules[k].at, 0);
        atomic_store(&fault_rules[k].calls, 0);
    }
    if (!spec) return 0;
    for (;;) {
        size_t n = strcspn(spec, ",");
        if (arm_one((struct str){spec, n})) return -1;
        if (spec[n] == 0) return 0;
        spec += n + 1;
    }
}

static void ready(void)
{
    if (atomic_load_explicit(&fault_state, memory_order_acquire) == 2) return;
    int expected = 0;
    if (atomic_compare_exchange_strong(&fault_state, &expected, 1)) {
        const char *spec = env_get("LODE_FAIL");
        if (arm(spec)) {
            arm(NULL);
            log_warn("LODE_FAIL=%s is not KIND:N[+] and is ignored", spec);
        }
        atomic_store_explicit(&fault_state, 2, memory_order_release);
    } else {
        while (atomic_load_explicit(&fault_state, memory_order_acquire) != 2) sched_yield();
    }
}

bool fault_hit(enum fault_kind kind)
{
    ready();
    struct rule *r = &fault_rules[kind];
    uint64_t call = atomic_fetch_add_explicit(&r->calls, 1, memory_order_relaxed) + 1;
    uint64_t at = atomic_load_explicit(&r->at, memory_order_relaxed);
    return at != 0 && (call == at || (call > at && atomic_load(&r->onwards)));
}

uint64_t fault_count(enum fault_kind kind)
{
    return atomic_load(&fault_rules[kind].calls);
}

void fault_report(void)
{
    char text[300];
    struct strbuf b;
    if (!env_get("LODE_FAIL")) return;
    strbuf_init(&b, text, sizeof text);
    for (int k = 0; k < FAULT_KINDS; k++)
        strbuf_format(&b, " %s %llu", names[k],
                      (unsigned long long)fault_count((enum fault_kind)k));
    log_debug("calls counted:%s", b.p);
}

int fault_arm(const char *spec)
{
    ready();
    if (arm(spec) == 0) return 0;
    arm(NULL);
    return -1;
}
