/* Where a GPU sits on the bus. CUDA ("0000:3b:00.0"), NVML ("00000000:3B:00.0") and the kernel's
 * log ("Xid (PCI:0000:3b:00)") write it differently, and CUDA and NVML number the GPUs differently:
 * CUDA_VISIBLE_DEVICES and CUDA's order, the fastest first, are not NVML's. So numbers of the one
 * become numbers of the other by the address alone. */
#ifndef DOCTOR_PCI_H
#define DOCTOR_PCI_H

#include "doctor/facts.h"

struct pci {
    unsigned domain, bus, device, function;
};

/* pci_find: the first address within a text, in any of those forms. */
bool pci_find(const char *text, struct pci *out);
bool pci_same(const struct pci *a, const struct pci *b);
/* pci_key: the N of a key "KIND N WHAT"; -1 if it is another key. */
int pci_key(const char *key, const char *kind);
/* pci_of: the address of GPU n of a kind ("cuda", "nvml", "hot"), from "KIND N pci". */
bool pci_of(const struct facts *f, const char *kind, int n, struct pci *out);
/* pci_number: the N of the kind whose "KIND N pci" is this address, or -1. */
int pci_number(const struct facts *f, const char *kind, const struct pci *at);

#endif
