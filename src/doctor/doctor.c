#include "doctor/doctor.h"
#include "doctor/cases.h"
#include "doctor/derive.h"
#include "doctor/history.h"
#include "doctor/look.h"
#include "doctor/probe.h"
#include <string.h>

/* For one answer. Of CUDA it may be that of a driver that first compiles all kernels for a GPU lode
 * has none for. */
enum { NVML_S = 10, CUDA_S = 60, REPLAY_S = 3 };

static int probe(struct doctor *d, const struct doctor_rules *r, struct err *e)
{
    struct probe_rules p = {.program = r->program, .fake = r->fake, .visible = r->visible};
    p.timeout_s = r->nvml_s ? r->nvml_s : NVML_S;
    TRY(probe_run(PROBE_NVML, &p, &d->facts, e));
    p.timeout_s = r->cuda_s ? r->cuda_s : CUDA_S;
    if (!r->no_work) return probe_run(PROBE_CUDA, &p, &d->facts, e);
    facts_set(&d->facts, "probe cuda", "not tried");
    return 0;
}

int doctor_conclude(struct arena *a, struct doctor *d, struct err *e)
{
    derive_facts(&d->facts);
    if (d->facts.failed) return -1;
    TRY(finding_search(a, &d->facts, &d->found, &d->n, e));
    d->status = finding_exit(&d->facts, d->found, d->n);
    return 0;
}

int doctor_examine(struct arena *a, const struct doctor_rules *r, struct doctor *out, struct err *e)
{
    TRY(facts_open(a, &out->facts, e));
    TRY(look_machine(r->root, &out->facts, e));
    history_read(r->root, &out->facts);
    if (!*r->root || r->fake) TRY(probe(out, r, e));
    if (r->pid) TRY(look_process(r->root, r->pid, &out->facts, e));
    return doctor_conclude(a, out, e);
}

int doctor_replay(struct arena *a, struct str text, const char *name, const char *program,
                  struct doctor *out, struct err *e)
{
    struct cases_row about;
    TRY(facts_open(a, &out->facts, e));
    TRY(cases_facts(text, name, &out->facts, &about, e));
    if (strstr(about.fake, "report")) /* it would write where a stranger's record says */
        return err_set(e, E_INPUT, "the record asks for an emulated GPU with a report");
    if (*about.fake && strcmp(about.fake, "none") != 0) {
        const struct doctor_rules r = {
            .program = program,
            .fake = about.fake,
            .visible = facts_get(&out->facts, "env CUDA_VISIBLE_DEVICES"),
            .nvml_s = REPLAY_S,
            .cuda_s = REPLAY_S,
        };
        TRY(probe(out, &r, e));
        /* What the case says of the driver holds against what the emulated one said. */
        TRY(cases_facts(text, name, &out->facts, &about, e));
    }
    return doctor_conclude(a, out, e);
}
