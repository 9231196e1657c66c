/* The fake GPU: what LODE_FAKE_GPU describes, for the modules lode-fakecuda.so and
 * lode-fakenvml.so, and what tests may ask of them.
 *
 *     LODE_FAKE_GPU=GPU[+GPU ...][,option ...]
 *
 *     GPU               a row of fake_gpus[]: t4 v100 a5000 a100 h100 h200 rtx3060 rtx4090 b200 ...
 *     driver=525.60.13  the driver's version, which decides what it can load
 *     count=2           that many of the (last) GPU; 0: none
 *     sm=130            another compute capability
 *     vram=1GiB         memory in all; used=SIZE: of it taken by other processes
 *     context=SIZE      taken by a context (default 320MiB)
 *     order=0..3        in which order threads run (gpu/emu.h)
 *     prohibited        compute mode "prohibited"
 *     persistence=0 mode=3 mig=1 instances=2 reasons=64 gen=1 width=4 ecc=... see fake_state: what
 *                       NVML tells of every GPU, and CUDA keeps to. temperature=41+88: one for each
 *                       GPU, the last for all that follow
 *     missing=NAME      a driver without that function
 *     report=FILE       what leaked, and how much was done, is written there at the end
 *
 * Faults. N counts from 1; N+ means that call and all later ones.
 *
 *     init=CODE         of cuInit
 *     oom=N[+]          the N-th cuMemAlloc gives 2
 *     sticky=CODE@N     the N-th kernel runs into CODE; as in life it shows at the next wait, and
 *                       then everywhere. ecc=N: the same with 214
 *     NAME=CODE@N[+]    the N-th call of that driver function gives CODE
 *     any=CODE@N[+]     the N-th call of any driver function
 *     hang=NAME@N[/S]   the N-th call of that function takes S seconds (3600)
 *     crash=NAME@N      the N-th call of that function ends the process by a signal
 *
 * Of NVML's functions CODE, hang and crash concern every call. */
#ifndef GPU_FAKE_H
#define GPU_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_gpu {
    const char *key, *name;
    int sm, processors;
    unsigned mib; /* as cuDeviceTotalMem tells, which is less than what is printed on the box */
};

struct fake_device {
    struct fake_gpu gpu;
    unsigned char uuid[16];
    char pci[16]; /* "0000:3B:00.0" */
    int number;   /* among all, as NVML counts */
};

enum fake_state { /* numbers NVML gives; the key of each is its name here in small letters */
                  FAKE_MODE, /* compute mode: 2 prohibited, 3 exclusive process */
                  FAKE_MIG,  /* 1: on; INSTANCES: how many were made */
                  FAKE_INSTANCES,
                  FAKE_PERSISTENCE,
                  FAKE_REASONS, /* mask of reasons for low clocks */
                  FAKE_GEN,     /* PCIe now; the most is 4 and 16 */
                  FAKE_IDLE,    /* PCIe generation of a GPU on which no context is open; 0: GEN */
                  FAKE_WIDTH,
                  FAKE_UNCORRECTED, /* ECC errors since the driver was loaded */
                  FAKE_REMAP,       /* 1: rows wait to be remapped; 2: it failed */
                  FAKE_TEMPERATURE, /* Celsius */
                  FAKE_WATTS,
                  FAKE_FABRIC, /* 0 none, 1 not started, 2 in progress, 3 completed */
                  FAKE_PID,    /* of a process that computes on it; 0: none */
                  FAKE_STATES
};

#define FAKE_DEVICES 8
#define FAKE_RULES   16
#define FAKE_NAME    40

struct fake_rule {
    char call[FAKE_NAME]; /* a function of cuda.def, "any", or "kernel" */
    int code;
    unsigned long at;
    bool on; /* and all later ones */
    unsigned hang_s;
    bool crash;
};

struct fake_config {
    int n;
    struct fake_device device[FAKE_DEVICES];
    char driver[32];
    int cuda; /* 12040 */
    uint64_t vram, used, context;
    int order;
    int state[FAKE_STATES][FAKE_DEVICES]; /* by the device's number */
    int n_rules;
    struct fake_rule rule[FAKE_RULES];
    int n_missing;
    char missing[4][FAKE_NAME];
    char report[256];
};

/* fake_read: 0, or -1 with a sentence in wrong. visible: CUDA_VISIBLE_DEVICES, or NULL. */
int fake_read(const char *text, const char *visible, struct fake_config *out, char *wrong,
              size_t room);

/* fake_environment: the same from the environment. */
int fake_environment(struct fake_config *out, char *wrong, size_t room);

/* fake_missing: whether this driver lacks a function. */
bool fake_missing(const struct fake_config *c, const char *name);

/* fake_uuid: "GPU-" and the rest of it, as NVIDIA's tools print it. */
void fake_uuid(const struct fake_device *d, char out[48]);

/* What lode-fakecuda.so exports for tests as "lode_fakecuda_test". */
struct fake_stats {
    uint64_t calls, kernels, allocations;
    uint64_t refused; /* allocations over the budget */
    uint64_t bytes, peak_bytes;
    unsigned memory, host, modules, streams, events, graphs; /* alive */
    unsigned leaked; /* objects alive when the last holder of a healthy context let go of it */
    char fault[512]; /* what the emulator said of the last kernel that failed */
};

struct fake_test {
    /* reset: forgets everything and reads a new description (as in LODE_FAKE_GPU). 0 or -1. */
    int (*reset)(const char *text);
    void (*stats)(struct fake_stats *out);
    /* held: bytes of the GPU at this address; 0 if no context is open on it. */
    uint64_t (*held)(const char *pci);
};

#endif
