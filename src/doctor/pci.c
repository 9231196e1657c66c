#include "doctor/pci.h"
#include <stdio.h>
#include <string.h>

enum { NUMBERS_MOST = 9999 };

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* least to most digits at *p, which moves behind them. */
static bool hex(const char **p, int least, int most, unsigned *out)
{
    int n = 0;
    for (*out = 0; n < most && is_hex(**p); n++, (*p)++) {
        char c = **p;
        *out = *out * 16 + (unsigned)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
    }
    return n >= least && !is_hex(**p);
}

/* "0000:3b:00", with or without ".0" */
static bool starts(const char *p, struct pci *out)
{
    *out = (struct pci){0};
    if (!hex(&p, 4, 8, &out->domain) || *p++ != ':') return false;
    if (!hex(&p, 2, 2, &out->bus) || *p++ != ':') return false;
    if (!hex(&p, 2, 2, &out->device)) return false;
    return *p != '.' || (p++, hex(&p, 1, 1, &out->function));
}

bool pci_find(const char *text, struct pci *out)
{
    for (const char *p = text; *p; p++)
        if ((p == text || !is_hex(p[-1])) && is_hex(*p) && starts(p, out)) return true;
    return false;
}

bool pci_same(const struct pci *a, const struct pci *b)
{
    return a->domain == b->domain && a->bus == b->bus && a->device == b->device &&
           a->function == b->function;
}

int pci_key(const char *key, const char *kind)
{
    size_t n = strlen(kind), digits;
    uint64_t number;
    if (!str_starts(key, kind) || key[n] != ' ') return -1;
    digits = strspn(key + n + 1, "0123456789");
    if (key[n + 1 + digits] && key[n + 1 + digits] != ' ') return -1;
    return str_uint((struct str){key + n + 1, digits}, NUMBERS_MOST, &number) ? (int)number : -1;
}

bool pci_of(const struct facts *f, const char *kind, int n, struct pci *out)
{
    char key[64];
    snprintf(key, sizeof key, "%s %d pci", kind, n);
    const char *value = facts_get(f, key);
    return value && pci_find(value, out);
}

int pci_number(const struct facts *f, const char *kind, const struct pci *at)
{
    char pattern[64];
    size_t i = 0;
    const struct fact *row;
    snprintf(pattern, sizeof pattern, "%s * pci", kind);
    while ((row = facts_next(f, pattern, &i))) {
        struct pci other;
        if (pci_find(row->value, &other) && pci_same(&other, at)) return pci_key(row->key, kind);
    }
    return -1;
}
