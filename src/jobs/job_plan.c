/* `lode plan`: what a model will take, before anything is taken. */
#include "jobs/host.h"
#include "jobs/jobs.h"
#include "jobs/speech.h"
#include "load/store.h"
#include <string.h>

struct plan_opts {
    int device, compute_type;
    int64_t beam, best_of, batch, threads;
    bool json, dump;
};

#define AT(field) offsetof(struct plan_opts, field)
/* clang-format off */
static const struct opt_row rows[] = {
    {.name = "device", .letter = 'd', .type = OPT_CHOICE, .offset = AT(device), .choices = "auto|cpu|cuda", .fallback = "auto", .help = "auto takes the GPU if it can be used."},
    {.name = "compute-type", .type = OPT_CHOICE, .offset = AT(compute_type), .choices = SPEECH_COMPUTE_TYPES, .fallback = "auto", .help = "As for transcribe."},
    {.name = "beam-size", .letter = 'b', .type = OPT_INT, .offset = AT(beam), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "As for transcribe."},
    {.name = "best-of", .type = OPT_INT, .offset = AT(best_of), .min = 1, .max = 32, .fallback = "5", .value = "N", .help = "As for transcribe."},
    {.name = "batch-size", .type = OPT_INT, .offset = AT(batch), .min = 1, .max = 1, .fallback = "1", .value = "N", .help = "Windows decoded together."},
    {.name = "threads", .letter = 't', .type = OPT_INT, .offset = AT(threads), .min = 0, .max = 1024, .fallback = "0", .value = "N", .help = "Scratch memory grows with them. 0: every processor."},
    {.name = "json", .type = OPT_BOOL, .offset = AT(json), .help = "As one JSON object."},
    {.name = "dump", .type = OPT_BOOL, .offset = AT(dump), .help = "Every value and step of the plan, one per line."},
};
/* clang-format on */
