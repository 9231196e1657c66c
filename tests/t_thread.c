/* Teams, barriers and shares; processors as control groups of both generations grant them; lines of
 * the log. */
#include "base/env.h"
#include "base/log.h"
#include "base/thread.h"
#include "unit.h"

#include <stdatomic.h>
#include <unistd.h>

enum { TEAM = 4, ROUNDS = 2000 };

struct race {
    int64_t cell[TEAM][2]; /* written by one member, read by the others after the barrier */
    atomic_int members, ids, wrong;
};

static void step(void *ctx, struct thread_team *team, int id)
{
    struct race *r = ctx;
    atomic_fetch_add(&r->members, 1);
    atomic_fetch_or(&r->ids, 1 << id);
    for (int64_t round = 1; round <= ROUNDS; round++) {
        r->cell[id][round % 2] = round;
        thread_barrier(team);
        for (int other = 0; other < team->n; other++)
            if (r->cell[other][round % 2] != round) atomic_fetch_add(&r->wrong, 1);
    }
}

static void a_team_meets_at_barriers(void **state)
{
    (void)state;
    for (int n = 1; n <= TEAM; n++) {
        struct race r = {0};
        thread_run(n, step, &r);
        assert_int_equal(r.members, n);
        assert_int_equal(r.ids, (1 << n) - 1);
        assert_int_equal(r.wrong, 0);
    }
}

static void shares_cover_all_once(void **state)
{
    (void)state;
    const int64_t counts[] = {0, 1, 7, 64, 1000, 1501}, grains[] = {1, 4, 64};
    for (int n = 1; n <= 5; n++)
        for (size_t c = 0; c < COUNT(counts); c++)
            for (size_t g = 0; g < COUNT(grains); g++) {
                struct thread_team team = {.n = n};
                int64_t at = 0, from, to, most = 0, least = INT64_MAX;
                for (int id = 0; id < n; id++) {
                    thread_share(&team, id, counts[c], grains[g], &from, &to);
                    assert_int_equal(from, at);
                    assert_true(to >= from && (from % grains[g] == 0 || from == counts[c]));
                    most = MAX(most, to - from);
                    least = MIN(least, to - from);
                    at = to;
                }
                assert_int_equal(at, counts[c]);
                assert_true(most - least < 2 * grains[g]);
            }
}

static void processors(void **state)
{
    (void)state;
    int n = thread_cpus();
    assert_true(n >= 1 && n <= sysconf(_SC_NPROCESSORS_CONF));
    double t = thread_seconds();
    assert_true(thread_seconds() >= t);
}

static void file(const char *root, const char *folder, const char *name, const char *text)
{
    char path[600];
    struct err e;
    snprintf(path, sizeof path, "%s/%s", root, folder);
    assert_int_equal(file_make_folders(path, &e), 0);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unit_write(root, path, text, strlen(text));
}

static void quotas(void **state)
{
    (void)state;
    char root[256];
    unit_folder(root, sizeof root);
    assert_true(thread_quota(root) == 0); /* no control groups at all */

    file(root, "proc/self", "cgroup", "0::/a/b\n");
    assert_true(thread_quota(root) == 0);
    file(root, "sys/fs/cgroup/a/b", "cpu.max", "max 100000\n");
    assert_true(thread_quota(root) == 0);
    file(root, "sys/fs/cgroup/a", "cpu.max", "350000 100000\n"); /* the parent is tighter */
    assert_true(thread_quota(root) == 3.5);
    file(root, "sys/fs/cgroup/a/b", "cpu.max", "150000 100000\n");
    assert_true(thread_quota(root) == 1.5);
    file(root, "sys/fs/cgroup", "cpu.max", "100000 100000\n"); /* as inside a container */
    assert_true(thread_quota(root) == 1);

    file(root, "proc/self", "cgroup", "12:memory:/x\n4:cpu,cpuacct:/docker/1\n");
    assert_true(thread_quota(root) == 0);
    file(root, "sys/fs/cgroup/cpu,cpuacct/docker/1", "cpu.cfs_quota_us", "-1\n");
    file(root, "sys/fs/cgroup/cpu,cpuacct/docker/1", "cpu.cfs_period_us", "100000\n");
    assert_true(thread_quota(root) == 0);
    file(root, "sys/fs/cgroup/cpu,cpuacct/docker/1", "cpu.cfs_quota_us", "200000\n");
    assert_true(thread_quota(root) == 2);

    const char *const odd[] = {"", ":\n", "::\n", "0::\n", "0::/../../../..\n", "no colon\n"};
    for (size_t i = 0; i < COUNT(odd); i++) {
        file(root, "proc/self", "cgroup", odd[i]);
        assert_true(thread_quota(root) >= 0);
    }
    unit_remove(root);
}

/* What lines of the log look like on standard error at this level. */
static void logged(enum log_level level, char *text, size_t cap)
{
    int fd, old = dup(STDERR_FILENO);
    struct err e;
    assert_int_equal(file_spool(&fd, &e), 0);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    log_set_level(level);
    log_warn("w %d", 1);
    log_info("i");
    log_debug("%s", "d");
    dup2(old, STDERR_FILENO);
    close(old);
    int64_t n = file_read_at(fd, text, cap - 1, 0, &e);
    text[n] = 0;
    close(fd);
}

static void log_lines(void **state)
{
    (void)state;
    char text[200];
    logged(LOG_QUIET, text, sizeof text);
    assert_string_equal(text, "");
    logged(LOG_WARN, text, sizeof text);
    assert_string_equal(text, "lode: w 1\n");
    logged(LOG_DEBUG, text, sizeof text);
    assert_string_equal(text, "lode: w 1\nlode: i\nlode: d\n");
    assert_true(log_wants(LOG_DEBUG));
}

static void environment(void **state)
{
    (void)state;
    size_t n;
    const struct env_row *rows = env_rows(&n);
    for (size_t i = 0; i < n; i++) {
        assert_true(rows[i].help[0]);
        if (i > 0) assert_true(strcmp(rows[i - 1].name, rows[i].name) < 0);
    }
    setenv("LODE_THREADS", "", 1);
    assert_null(env_get("LODE_THREADS"));
    setenv("LODE_THREADS", "3", 1);
    assert_string_equal(env_get("LODE_THREADS"), "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_team_meets_at_barriers),
        cmocka_unit_test(shares_cover_all_once),
        cmocka_unit_test(processors),
        cmocka_unit_test(quotas),
        cmocka_unit_test(log_lines),
        cmocka_unit_test(environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
