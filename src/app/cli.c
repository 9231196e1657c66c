/* The command line; see cli.h.
 *
 *   argv -> cli_commands[] (help, version, man) -> a page -> host->text
 *        -> jobs[] -> opt_parse by the job's rows -> job->run */
#include "app/cli.h"
#include "app/help.h"

#include <stddef.h>
#include <string.h>

#define CLI_PAGE_BYTES                                                         \
    ((size_t)256 << 10) /* of the longest page; a page that is cut is asserted \
                         */

struct cli {
    struct arena *a;
    const struct lode_job *const *jobs;
    size_t n_jobs;
    const struct lode_host *host;
};

struct cli_command { /* words that are not jobs */
    const char *name, *alias[2];
    int words_max;
    int (*run)(const struct cli *c, int argc, char *const *argv, struct err *e);
};

static const struct cli_command *cli_commands(size_t *n);

static const struct lode_job *cli_job(const struct cli *c, const char *name)
{
    for (size_t i = 0; i < c->n_jobs; i++)
        if (strcmp(c->jobs[i]->name, name) == 0) return c->jobs[i];
    return NULL;
}

static int cli_page(const struct cli *c, struct strbuf *page, struct err *e)
{
    char *memory = ARENA_NEW(c->a, char, CLI_PAGE_BYTES, e);
    if (memory == NULL) return -1;
    strbuf_init(page, memory, CLI_PAGE_BYTES);
    return 0;
}

static int cli_put(const struct cli *c, const struct strbuf *page, struct err *e)
{
    assert(!page->cut);
    return c->host->text != NULL ? c->host->text(c->host->ctx, page->p, page->n, e) : 0;
}

/* "WORD is not a job; did you mean ...?" over jobs, and over topics or commands too. */
static int cli_unknown(const struct cli *c, const char *word, bool help, struct err *e)
{
    size_t n_topics, n_commands, n = 0;
    const struct help_topic *topics = help_topics(&n_topics);
    const struct cli_command *commands = cli_commands(&n_commands);
    const char **names = ARENA_NEW(c->a, const char *, c->n_jobs + n_topics + n_commands, e);
    if (names == NULL) return -1;
    for (size_t i = 0; i < c->n_jobs; i++) names[n++] = c->jobs[i]->name;
    for (size_t i = 0; help && i < n_topics; i++) names[n++] = topics[i].name;
    for (size_t i = 0; !help && i < n_commands; i++) names[n++] = commands[i].name;
    const char *near = str_nearest(word, names, n);
    const char *kind = help ? "job or page" : "job";
    if (near != NULL)
        return err_set(e, E_USAGE, "there is no %s '%s'; did you mean '%s'?", kind, word, near);
    char memory[300];
    struct strbuf all;
    strbuf_init(&all, memory, sizeof memory);
    for (size_t i = 0; i < n; i++) strbuf_format(&all, "%s%s", i > 0 ? ", " : "", names[i]);
    return err_set(e, E_USAGE, "there is no %s '%.100s'; there are %s", kind, word, all.p);
}

static int cli_help(const struct cli *c, int argc, char *const *argv, struct err *e)
{
    struct strbuf page;
    TRY(cli_page(c, &page, e));
    if (argc == 0) {
        help_overview(c->jobs, c->n_jobs, &page);
        return cli_put(c, &page, e);
    }
    size_t n;
    const struct help_topic *topics = help_topics(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(topics[i].name, argv[0]) != 0) continue;
        topics[i].page(&page);
        return cli_put(c, &page, e);
    }
    const struct lode_job *job = cli_job(c, argv[0]);
    if (job == NULL) return cli_unknown(c, argv[0], true, e);
    help_job(job, &page);
    return cli_put(c, &page, e);
}

static int cli_version(const struct cli *c, int argc, char *const *argv, struct err *e)
{
    struct strbuf page;
    (void)argc, (void)argv;
    TRY(cli_page(c, &page, e));
    strbuf_format(&page, "lode %s\n", lode_version());
    lode_build(&page);
    return cli_put(c, &page, e);
}

static int cli_man(const struct cli *c, int argc, char *const *argv, struct err *e)
{
    struct strbuf page;
    const struct lode_job *job = argc > 0 ? cli_job(c, argv[0]) : NULL;
    if (argc > 0 && job == NULL) return cli_unknown(c, argv[0], true, e);
    TRY(cli_page(c, &page, e));
    help_man(job ? &job : c->jobs, job ? 1 : c->n_jobs, !job, &page);
    return cli_put(c, &page, e);
}

static const struct cli_command *cli_commands(size_t *n)
{
    static const struct cli_command commands[] = {
        {"help", {"--help", "-h"}, 1, cli_help},
        {"version", {"--version", "-V"}, 0, cli_version},
        {"man", {NULL, NULL}, 1, cli_man},
    };
    *n = COUNT(commands);
    return commands;
}

static const struct cli_command *cli_command(const char *word)
{
    size_t n;
    const struct cli_command *row = cli_commands(&n);
    for (size_t i = 0; i < n; i++, row++) {
        if (strcmp(row->name, word) == 0) return row;
        for (size_t k = 0; k < COUNT(row->alias); k++)
            if (row->alias[k] != NULL && strcmp(row->alias[k], word) == 0) return row;
    }
    return NULL;
}

/* --help counts wherever it stands before "--": who types it wants help, not an error about the
 * words around it. */
static bool cli_asks_help(const struct lode_job *job, int argc, char *const *argv)
{
    bool letter_free = true;
    for (size_t i = 0; i < job->n_rows; i++) letter_free &= job->rows[i].letter != 'h';
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || (letter_free && strcmp(argv[i], "-h") == 0))
            return true;
    return false;
}

static int cli_count_inputs(const struct lode_job *job, size_t n, struct err *e)
{
    if (job->inputs_min > 0 && n < (size_t)job->inputs_min)
        return err_set(e, E_USAGE, "%s needs at least %d input%s and was given %zu: lode %s %s",
                       job->name, job->inputs_min, str_s(job->inputs_min), n, job->name,
                       job->synopsis);
    if (job->inputs_max >= 0 && n > (size_t)job->inputs_max)
        return err_set(e, E_USAGE, "%s takes at most %d input%s and was given %zu: lode %s %s",
                       job->name, job->inputs_max, str_s(job->inputs_max), n, job->name,
                       job->synopsis);
    return 0;
}

static int cli_run_job(const struct cli *c, const struct lode_job *job, int argc, char *const *argv,
                       struct err *e)
{
    struct opt_list inputs;
    void *opts = arena_alloc(c->a, job->opts_bytes, _Alignof(max_align_t), e);
    if (opts == NULL) return -1;
    opt_defaults(job->rows, job->n_rows, opts);
    TRY(opt_parse(c->a, job->rows, job->n_rows, argc, argv, opts, &inputs, e));
    TRY(cli_count_inputs(job, inputs.n, e));
    return job->run(opts, &inputs, c->host, e);
}

int cli_run(struct arena *a, const struct lode_job *const *jobs, size_t n, int argc,
            char *const *argv, const struct lode_host *host, struct err *e)
{
    struct cli c = {a, jobs, n, host};
    if (argc < 2) return err_set(e, E_USAGE, "no job is named: lode JOB [options] INPUT...");
    const char *word = argv[1];
    const struct cli_command *command = cli_command(word);
    argc -= 2;
    argv += 2;
    if (command != NULL) {
        if (argc > command->words_max)
            return err_set(e, E_USAGE, "'%s' is one word too many for lode %s",
                           argv[command->words_max], command->name);
        return command->run(&c, argc, argv, e);
    }
    if (word[0] == '-')
        return err_set(e, E_USAGE, "the job comes before its options: lode JOB %s", word);
    const struct lode_job *job = cli_job(&c, word);
    if (job == NULL) return cli_unknown(&c, word, false, e);
    if (cli_asks_help(job, argc, argv)) {
        char *const name[] = {(char *)(uintptr_t)job->name};
        return cli_help(&c, 1, name, e);
    }
    return cli_run_job(&c, job, argc, argv, e);
}
