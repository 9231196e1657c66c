/* The program: signals, standard output, lines on standard error, the exit status. Everything else
 * is cli.c and the jobs behind include/lode.h.
 *
 * Standard output carries results and nothing else. An interrupt (SIGINT, SIGTERM) asks the job to
 * finish what is at hand; the second one ends the process by the default action. */
#include "app/bar.h"
#include "app/cli.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

/* The one writable global of the program: what a signal handler may write to. */
static volatile sig_atomic_t main_stop;

struct main_world {
    struct bar bar;
    bool out_shares_terminal; /* standard output is a terminal too: wipe the bar first */
    bool out_closed;          /* its reader went away */
};

static void main_on_stop(int signal_number)
{
    (void)signal_number;
    main_stop = 1;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

/* Also when the signal was ignored at the start: a shell starts the background jobs of a script
 * that way, and a job that somebody interrupts by its number should hear it. */
static void main_catch(int signal_number)
{
    struct sigaction act;
    memset(&act, 0, sizeof act);
    act.sa_handler = main_on_stop;
    sigemptyset(&act.sa_mask);
    sigaction(signal_number, &act, NULL);
}

/* If the caller closed one of the three standard descriptors, the next file we open would take its
 * number and be written into. They are opened so that using them fails. */
static void main_fill_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
        int got = open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
        if (got > 2) close(got);
    }
}

static int main_text(void *ctx, const char *p, size_t n, struct err *e)
{
    struct main_world *w = ctx;
    if (w->out_shares_terminal) bar_clear(&w->bar);
    while (n > 0) {
        ssize_t done = write(STDOUT_FILENO, p, n);
        if (done >= 0) {
            p += done;
            n -= (size_t)done;
        } else if (errno == EAGAIN) { /* somebody else's pipe in non-blocking mode */
            struct pollfd wait = {STDOUT_FILENO, POLLOUT, 0};
            poll(&wait, 1, -1);
        } else if (errno != EINTR) {
            w->out_closed |= errno == EPIPE;
            return err_errno(e, E_IO, "cannot write to standard output");
        }
    }
    return 0;
}

/* One line on standard error; a stranger's text in it cannot command the terminal. If standard
 * error itself fails there is nobody left to tell. When the reader of the results went away,
 * nothing is said: that is how `head` ends a pipe. */
static void main_line(struct main_world *w, const char *prefix, const char *text)
{
    char memory[1100];
    struct strbuf line;
    if (w->out_closed) return;
    bar_clear(&w->bar);
    strbuf_init(&line, memory, sizeof memory);
    strbuf_text(&line, prefix);
    bar_safe(text, 1000, &line);
    if (line.n == line.cap - 1) line.n--;
    line.p[line.n++] = '\n';
    ssize_t n = write(STDERR_FILENO, line.p, line.n);
    (void)n;
}

static void main_note(void *ctx, const char *line)
{
    main_line(ctx, "lode: ", line);
}

static void main_progress(void *ctx, const char *what, enum lode_unit unit, double done,
                          double total)
{
    struct main_world *w = ctx;
    bar_update(&w->bar, what, unit, done, total);
}

static bool main_cancelled(void *ctx)
{
    const struct main_world *w = ctx;
    return main_stop != 0 || w->out_closed;
}

static void main_complain(struct main_world *w, const struct err *e)
{
    const struct err_row *row = err_row(e->code);
    main_line(w, "lode: ", e->text);
    if (row->hint[0] != '\0') main_line(w, "      ", row->hint);
}

/* The reader of our results left, as `head` does: end as every other program in that pipe does. */
static void main_end_by_pipe(void)
{
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

int main(int argc, char **argv)
{
    struct main_world w;
    struct arena *a = NULL;
    struct err e;
    size_t n;
    const struct lode_host host = {&w, main_text, main_note, main_progress, main_cancelled};

    main_fill_descriptors();
    memset(&w, 0, sizeof w);
    bar_init(&w.bar, STDERR_FILENO);
    w.out_shares_terminal = isatty(STDOUT_FILENO);
    signal(SIGPIPE, SIG_IGN);
    main_catch(SIGINT);
    main_catch(SIGTERM);

    err_clear(&e);
    const struct lode_job *const *jobs = lode_jobs(&n);
    int rc = arena_open("process", 0, &a, &e);
    if (rc == 0) rc = cli_run(a, jobs, n, argc, argv, &host, &e);
    bar_clear(&w.bar);
    /* some file systems report a failed write only here */
    if (rc >= 0 && close(STDOUT_FILENO) != 0)
        rc = err_errno(&e, E_IO, "cannot write to standard output");
    if (rc < 0) main_complain(&w, &e);
    arena_close(&a);
    fault_report();
    if (w.out_closed) main_end_by_pipe();
    return rc < 0 ? err_row(e.code)->exit_status : rc;
}
