/* Help pages and the manual page, printed from the tables; see help.h. */
#include "app/help.h"
#include "base/env.h"

#include <string.h>

#define HELP_COLUMNS 100

/* Words of one paragraph, wrapped. Returns where the paragraph ended. */
static const char *help_paragraph(const char *p, size_t indent, size_t columns, struct strbuf *out)
{
    size_t at = 0; /* columns used on this line, without the indent */
    while (*p != '\0') {
        if (*p == '\n' && (p[1] == '\n' || p[1] == ' ' || p[1] == '\0')) break;
        if (*p == ' ' || *p == '\n') {
            p++;
            continue;
        }
        size_t n = strcspn(p, " \n");
        if (at > 0 && indent + at + 1 + n > columns) {
            strbuf_text(out, "\n");
            at = 0;
        }
        if (at == 0)
            strbuf_format(out, "%*s", (int)indent, "");
        else
            strbuf_text(out, " ");
        strbuf_add(out, p, n);
        at += n + (at > 0);
        p += n;
    }
    strbuf_text(out, "\n");
    return *p == '\n' ? p + 1 : p;
}

void help_wrap(const char *text, size_t indent, size_t columns, struct strbuf *out)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        if (n == 0) {
            strbuf_text(out, "\n");
            text++;
        } else if (*text == ' ') {
            strbuf_format(out, "%*s", (int)indent, "");
            strbuf_add(out, text, n);
            strbuf_text(out, "\n");
            text += n + (text[n] == '\n');
        } else {
            text = help_paragraph(text, indent, columns, out);
        }
    }
}

/* "  name      help", the names padded to one width. */
static void help_row(const char *name, size_t width, const char *text, struct strbuf *out)
{
    strbuf_format(out, "  %-*s  %s\n", (int)width, name, text);
}

static size_t help_widest(const struct lode_job *const *jobs, size_t n)
{
    size_t widest = 0;
    for (size_t i = 0; i < n; i++) widest = MAX(widest, strlen(jobs[i]->name));
    return widest;
}

static void help_environment(struct strbuf *out)
{
    size_t n, widest = 0;
    const struct env_row *rows = env_rows(&n);
    for (size_t i = 0; i < n; i++) widest = MAX(widest, strlen(rows[i].name));
    strbuf_text(out, "Environment variables lode reads\n\n");
    for (size_t i = 0; i < n; i++) help_row(rows[i].name, widest, rows[i].help, out);
}

static void help_statuses(struct strbuf *out)
{
    strbuf_text(out, "Exit statuses\n\n");
    for (int c = 0; c < E_COUNT; c++) {
        const struct err_row *row = err_row((enum err_code)c);
        strbuf_format(out, "  %3d  %-9s  %s", row->exit_status, row->name, row->meaning);
        strbuf_format(out, row->hint[0] != '\0' ? ": %s\n" : "%s\n", row->hint);
    }
    strbuf_text(out,
                "\nWhen the reader of standard output goes away, lode ends by SIGPIPE (141 in a "
                "shell), without a message.\n");
}

const struct help_topic *help_topics(size_t *n)
{
    static const struct help_topic topics[] = {
        {"environment", "the environment variables lode reads", help_environment},
        {"statuses", "the exit statuses and what to do about each", help_statuses},
    };
    *n = COUNT(topics);
    return topics;
}

void help_overview(const struct lode_job *const *jobs, size_t n, struct strbuf *out)
{
    size_t n_topics, width = MAX(help_widest(jobs, n), strlen("help environment"));
    const struct help_topic *topics = help_topics(&n_topics);
    strbuf_text(out, "usage: lode JOB [options] INPUT...\n\njobs\n");
    for (size_t i = 0; i < n; i++) help_row(jobs[i]->name, width, jobs[i]->summary, out);
    strbuf_text(out, "\nmore\n");
    help_row("help JOB", width, "what a job does and its options; also: lode JOB --help", out);
    for (size_t i = 0; i < n_topics; i++) {
        char memory[64];
        struct strbuf name;
        strbuf_init(&name, memory, sizeof memory);
        strbuf_format(&name, "help %s", topics[i].name);
        help_row(name.p, width, topics[i].summary, out);
    }
    help_row("version", width, "the version and what is built in", out);
    help_row("man [JOB]", width, "the source of the manual page", out);
    strbuf_text(out,
                "\nResults go to standard output, everything else to standard error. The input "
                "- is standard input.\n");
}

void help_job(const struct lode_job *job, struct strbuf *out)
{
    strbuf_format(out, "usage: lode %s %s\n\n", job->name, job->synopsis);
    help_wrap(job->details, 0, HELP_COLUMNS, out);
    if (job->n_rows == 0) return;
    strbuf_text(out, "\n");
    opt_help(job->rows, job->n_rows, out);
}

static void help_roff_text(const char *text, struct strbuf *out)
{
    bool example = false, fresh = true;
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        bool indented = n > 0 && *text == ' ';
        if (indented != example && n > 0) {
            strbuf_text(out, indented ? ".PP\n.nf\n" : ".fi\n");
            example = indented;
        }
        if (n == 0)
            fresh = true;
        else if (fresh && !indented)
            strbuf_text(out, ".PP\n");
        if (n > 0) {
            opt_roff(text, n, out);
            strbuf_text(out, "\n");
            fresh = false;
        }
        text += n + (text[n] == '\n');
    }
    if (example) strbuf_text(out, ".fi\n");
}

static void help_man_job(const struct lode_job *job, struct strbuf *out)
{
    help_roff_text(job->details, out);
    opt_man(job->rows, job->n_rows, out);
}

static void help_man_tables(struct strbuf *out)
{
    size_t n;
    const struct env_row *rows = env_rows(&n);
    strbuf_text(out, ".SH ENVIRONMENT\n");
    for (size_t i = 0; i < n; i++) {
        strbuf_format(out, ".TP\n.B %s\n", rows[i].name);
        opt_roff(rows[i].help, strlen(rows[i].help), out);
        strbuf_text(out, "\n");
    }
    strbuf_text(out, ".SH EXIT STATUS\n");
    for (int c = 0; c < E_COUNT; c++) {
        const struct err_row *row = err_row((enum err_code)c);
        strbuf_format(out, ".TP\n.B %d\n", row->exit_status);
        opt_roff(row->meaning, strlen(row->meaning), out);
        strbuf_text(out, row->hint[0] != '\0' ? ": " : "");
        opt_roff(row->hint, strlen(row->hint), out);
        strbuf_text(out, "\n");
    }
    strbuf_text(out, ".PP\nWhen the reader of standard output goes away, lode ends by SIGPIPE.\n");
}

static void help_man_whole(const struct lode_job *const *jobs, size_t n, struct strbuf *out)
{
    strbuf_text(out, "lode \\- speech to text on your own machine\n.SH SYNOPSIS\n");
    strbuf_text(out, ".B lode\n.I JOB\n[options]\n.IR INPUT ...\n.SH DESCRIPTION\n");
    strbuf_text(out, "Results go to standard output, everything else to standard error.\n"
                     "The input \\- is standard input; \\-\\- ends the options.\n"
                     "The first interrupt lets the job finish what is at hand and keeps it, the "
                     "second ends it at once.\n");
    for (size_t i = 0; i < n; i++) {
        strbuf_format(out, ".SH \"LODE %s\"\n", jobs[i]->name);
        strbuf_format(out, ".B lode %s\n", jobs[i]->name);
        opt_roff(jobs[i]->synopsis, strlen(jobs[i]->synopsis), out);
        strbuf_text(out, "\n");
        help_man_job(jobs[i], out);
    }
}

void help_man(const struct lode_job *const *jobs, size_t n, bool whole, struct strbuf *out)
{
    strbuf_text(out, ".\\\" printed by `lode man` from the tables of the program\n");
    strbuf_format(out, ".TH LODE%s%s 1 \"\" \"lode %s\"\n.SH NAME\n", whole ? "" : "-",
                  whole ? "" : jobs[0]->name, lode_version());
    if (whole) {
        help_man_whole(jobs, n, out);
    } else {
        strbuf_format(out, "lode-%s \\- ", jobs[0]->name);
        opt_roff(jobs[0]->summary, strlen(jobs[0]->summary), out);
        strbuf_format(out, "\n.SH SYNOPSIS\n.B lode %s\n", jobs[0]->name);
        opt_roff(jobs[0]->synopsis, strlen(jobs[0]->synopsis), out);
        strbuf_text(out, "\n.SH DESCRIPTION\n");
        help_man_job(jobs[0], out);
    }
    help_man_tables(out);
}
