/* include/lode.h, implemented: the table of jobs, and what this program is. */
#include "lode.h"
#include "base/module.h"
#include "cpu/cpu.h"
#include "jobs/jobs.h"

/* To add a job: its file, its row in jobs.h and here; its flags, help and man page follow from its
 * options. */
const struct lode_job *const *lode_jobs(size_t *n)
{
    static const struct lode_job *const jobs[] = {&job_transcribe_row, &job_plan_row,
                                                  &job_pull_row,       &job_models_row,
                                                  &job_rm_row,         &job_convert_row};
    *n = COUNT(jobs);
    return jobs;
}

const char *lode_version(void)
{
    return LODE_VERSION;
}

void lode_build(struct strbuf *out)
{
    strbuf_format(out, "oneDNN: %s\n",
                  WITH_DNNL ? "yes" : "no (libdnnl-dev was missing: some f32 products are slower)");
    strbuf_format(out, "FFmpeg: %s\n",
                  WITH_AV ? "yes" : "no (libavformat-dev was missing: 16 kHz WAV only)");
    strbuf_format(out, "curl: %s\n",
                  WITH_CURL ? "yes"
                            : "no (libcurl4-openssl-dev was missing: nothing can be fetched)");
    strbuf_format(out, "utf8proc: %s\n",
                  WITH_UTF8PROC ? "yes"
                                : "no (libutf8proc-dev was missing: prompts cannot be encoded)");
    strbuf_format(out, "GPU: no (not in this version)\n");
    strbuf_format(out, "this processor: %s kernels\n", cpu_level_name(cpu_level_best()));
}
