#include "base/child.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_MS = 20, GRACE_S = 5, LEAVE_S = 2, ENV_MOST = 4096 };

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return strncmp(a, b, n) == 0 && b[n] == '=';
}

/* The given ones, and those of ours that they do not replace: of two with one name some programs
 * see the first and some the last. */
static char **environment(struct arena *a, const char *const *more, struct err *e)
{
    size_t n = 0, own = 0;
    while (more && more[n]) n++;
    while (environ[own] && own < ENV_MOST) own++;
    char **all = ARENA_NEW(a, char *, n + own + 1, e);
    if (!all) return NULL;
    for (size_t i = 0; i < n; i++) all[i] = (char *)(uintptr_t)more[i];
    size_t at = n;
    for (size_t i = 0; i < own; i++) {
        bool replaced = false;
        for (size_t k = 0; k < n; k++) replaced |= same_name(more[k], environ[i]);
        if (!replaced) all[at++] = environ[i];
    }
    return all;
}

static int spawn(const char *const argv[], char **env, int to, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    int number = posix_spawn_file_actions_init(&actions);
    if (number != 0) return number;
    number = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (number == 0) number = posix_spawn_file_actions_adddup2(&actions, to, 1);
    if (number == 0) number = posix_spawn_file_actions_adddup2(&actions, to, 2);
    if (number == 0)
        number = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, env);
    posix_spawn_file_actions_destroy(&actions);
    return number;
}

/* Appends what can be read now to p, whose capacity is 2 * max: when it is full, the older half
 * goes. False at the end. */
static bool drain(int fd, char *p, size_t *n, size_t max)
{
    for (;;) {
        if (*n == 2 * max) {
            memcpy(p, p + max, max);
            *n = max;
        }
        ssize_t got = read(fd, p + *n, 2 * max - *n);
        if (got > 0)
            *n += (size_t)got;
        else if (got == 0 || errno != EINTR)
            return got < 0 && errno == EAGAIN;
    }
}

/* Until the child has ended; its status as waitpid gives it, or -1 if it will not end. True if it
 * ran out of time. */
static bool follow(pid_t pid, int fd, const struct child_rules *r, char *p, size_t *n, int *status)
{
    double stop = thread_seconds() + r->timeout_s, kill_at = stop + r->grace_s;
    bool late = false, open = true;
    for (;;) {
        struct pollfd wait = {.fd = open ? fd : -1, .events = POLLIN};
        poll(&wait, 1, POLL_MS);
        /* Asked before the last reading: what an ended child wrote is all in the pipe then. */
        pid_t ended = waitpid(pid, status, WNOHANG);
        size_t had = *n;
        if (open) open = drain(fd, p, n, r->max_bytes);
        if (ended == pid || (ended < 0 && errno != EINTR)) return late;
        double now = thread_seconds();
        if (r->anew && *n != had && !late) {
            stop = now + r->timeout_s;
            kill_at = stop + r->grace_s;
        }
        if (now >= kill_at + LEAVE_S) {
            *status = -1;
            return true;
        }
        if (now >= kill_at)
            kill(pid, SIGKILL);
        else if (now >= stop && !late)
            kill(pid, SIGTERM);
        late |= now >= stop;
    }
}

int child_run_under(struct arena *a, const char *const argv[], const struct child_rules *rules,
                    struct child_end *end, struct err *e)
{
    struct child_rules r = *rules;
    *end = (struct child_end){.status = -1};
    r.max_bytes = MAX(r.max_bytes, 1);
    char *p = arena_array(a, r.max_bytes, 2, 1, e);
    char **env = p ? environment(a, r.env, e) : NULL;
    if (!env) return -1;
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0) return err_errno(e, E_IO, "%s: cannot be started", argv[0]);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    pid_t pid;
    int number = spawn(argv, env, pipes[1], &pid);
    close(pipes[1]);
    if (number != 0) {
        close(pipes[0]);
        errno = number;
        return err_errno(e, number == ENOENT ? E_MISSING : E_IO, "%s: cannot be started", argv[0]);
    }
    size_t n = 0;
    int status = 0;
    end->late = follow(pid, pipes[0], &r, p, &n, &status);
    close(pipes[0]);
    size_t keep = MIN(n, r.max_bytes);
    char *text = arena_text(a, p + n - keep, keep, e);
    if (!text) return -1;
    end->output = (struct str){text, keep};
    if (status != -1)
        end->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    return 0;
}

int child_run(struct arena *a, const char *const argv[], int timeout_s, size_t max_bytes,
              struct child_end *end, struct err *e)
{
    struct child_rules r = {.timeout_s = timeout_s, .grace_s = GRACE_S, .max_bytes = max_bytes};
    TRY(child_run_under(a, argv, &r, end, e));
    if (end->late) return err_set(e, E_IO, "%s: was stopped after %d s", argv[0], timeout_s);
    return 0;
}
