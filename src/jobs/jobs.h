/* The rows of the table of jobs (lode.c). */
#ifndef JOBS_JOBS_H
#define JOBS_JOBS_H

#include "lode.h"

extern const struct lode_job job_transcribe_row, job_embed_row, job_match_row, job_cluster_row,
    job_plan_row, job_convert_row, job_models_row, job_pull_row, job_rm_row, job_doctor_row;

#endif
