/* Files: mapping, reading with limits, outputs that appear only when complete, full disks, folders,
 * the cache's place, spools, modules that are not there, child processes. */
#include "base/child.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/module.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char folder[256];
    struct arena *a;
};

static int set_up(void **state)
{
    static struct place p;
    struct err e;
    unit_folder(p.folder, sizeof p.folder);
    *state = &p;
    return arena_open("test", 0, &p.a, &e);
}

static int tear_down(void **state)
{
    struct place *p = *state;
    fault_arm(NULL);
    unit_remove(p->folder);
    arena_close(&p->a);
    return 0;
}

static char *path_of(struct place *p, const char *name)
{
    struct err e;
    char *path = file_join(p->a, p->folder, name, &e);
    assert_non_null(path);
    return path;
}

static void expect(struct place *p, const char *path, const char *content)
{
    struct str s;
    struct err e;
    assert_int_equal(file_read(p->a, path, 1 << 20, &s, &e), 0);
    assert_string_equal(s.p, content);
}

static size_t count_names(struct place *p)
{
    char **names;
    size_t n;
    struct err e;
    assert_int_equal(file_list(p->a, p->folder, &names, &n, &e), 0);
    return n;
}

static void maps(void **state)
{
    struct place *p = *state;
    struct err e;
    struct file_map m;
    char big[3 * 4096 + 10];
    memset(big, 'q', sizeof big);
    assert_int_equal(file_map(unit_write(p->folder, "big", big, sizeof big), &m, &e), 0);
    assert_int_equal(m.size, sizeof big);
    assert_memory_equal(m.data, big, sizeof big);
    file_map_drop(&m, 10, sizeof big - 10);
    assert_memory_equal(m.data, big, sizeof big); /* dropped pages come back */
    file_unmap(&m);
    file_unmap(&m);

    assert_int_equal(file_map(unit_write(p->folder, "empty", "", 0), &m, &e), 0);
    assert_true(m.data == NULL && m.size == 0);
    file_unmap(&m);
    assert_int_equal(file_map(path_of(p, "none"), &m, &e), -1);
    assert_int_equal(e.code, E_IO);
    assert_int_equal(file_map(p->folder, &m, &e), -1);
    assert_non_null(strstr(e.text, "folder"));
    assert_int_equal(mkfifo(path_of(p, "pipe"), 0600), 0);
    assert_int_equal(file_map(path_of(p, "pipe"), &m, &e), -1); /* and does not hang */
    fault_arm("map:1");
    assert_int_equal(file_map(path_of(p, "big"), &m, &e), -1);
    assert_int_equal(e.code, E_NOMEM);
    fault_arm("open:1");
    assert_int_equal(file_map(path_of(p, "big"), &m, &e), -1);
}

static void reads(void **state)
{
    struct place *p = *state;
    struct err e;
    struct str s;
    const char *path = unit_write(p->folder, "ten", "0123456789", 10);
    assert_int_equal(file_read(p->a, path, 10, &s, &e), 0);
    assert_int_equal(s.n, 10);
    assert_string_equal(s.p, "0123456789");
    assert_int_equal(file_read(p->a, path, 9, &s, &e), -1);
    assert_int_equal(e.code, E_INPUT);
    assert_non_null(strstr(e.text, "10 bytes"));
    /* a file of the kernel, whose size is said to be 0 */
    assert_int_equal(file_read(p->a, "/proc/self/maps", 1 << 20, &s, &e), 0);
    assert_true(s.n > 1000 && strlen(s.p) == s.n);
    assert_int_equal(file_read(p->a, "/proc/self/maps", 100, &s, &e), -1);
    assert_int_equal(e.code, E_INPUT);
    assert_int_equal(file_read(p->a, "/dev/zero", 100000, &s, &e), -1); /* never ends */
    fault_arm("read:1");
    assert_int_equal(file_read(p->a, path, 10, &s, &e), -1);
    assert_int_equal(e.code, E_IO);
}

static void an_output_appears_when_complete(void **state)
{
    struct place *p = *state;
    struct err e;
    struct file_out f;
    char *path = path_of(p, "out.txt");
    assert_int_equal(file_out_open(p->a, path, &f, &e), 0);
    assert_int_equal(file_out_write(&f, "half", 4, &e), 0);
    assert_int_equal(file_kind(path), FILE_NONE);
    assert_int_equal(file_out_write(&f, " whole", 6, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), 0);
    file_out_abort(&f);
    expect(p, path, "half whole");
    assert_int_equal(file_size(path), 10);

    /* An old file stays until the new one is complete, and keeps its permissions. */
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(file_out_open(p->a, path, &f, &e), 0);
    assert_int_equal(file_out_write(&f, "new", 3, &e), 0);
    expect(p, path, "half whole");
    file_out_abort(&f);
    expect(p, path, "half whole");
    assert_int_equal(file_out_open(p->a, path, &f, &e), 0);
    assert_int_equal(file_out_write(&f, "new", 3, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), 0);
    expect(p, path, "new");
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(count_names(p), 1);
}

/* A temporary of a process that was killed goes, that of one at work and what is none stay. */
static void what_was_left_is_removed(void **state)
{
    struct place *p = *state;
    struct err e;
    struct file_out f, other;
    char *path = path_of(p, "out.txt");
    unit_write(p->folder, "out.txt.tmp-000000", "left", 4);
    unit_write(p->folder, "out.txt.tmp-0000", "none of ours", 12);
    assert_int_equal(file_out_open(p->a, path, &f, &e), 0);
    assert_int_equal(file_size(path_of(p, "out.txt.tmp-000000")), 0);
    assert_int_equal(file_out_open(p->a, path, &other, &e), 0);
    assert_string_equal(file_name(f.tmp), "out.txt.tmp-000000");
    assert_string_equal(file_name(other.tmp), "out.txt.tmp-000001");
    assert_int_equal(file_out_write(&f, "one", 3, &e), 0);
    assert_int_equal(file_out_write(&other, "other", 5, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), 0);
    expect(p, path, "one");
    assert_int_equal(file_out_commit(&other, &e), 0);
    expect(p, path, "other");
    assert_int_equal(count_names(p), 2);

    /* A link of that name is not followed, and not removed. */
    assert_int_equal(symlink("out.txt", path_of(p, "out.txt.tmp-000000")), 0);
    assert_int_equal(file_out_open(p->a, path, &f, &e), 0);
    assert_string_equal(file_name(f.tmp), "out.txt.tmp-000001");
    file_out_abort(&f);
    expect(p, path, "other");
}

static void an_output_through_a_link(void **state)
{
    struct place *p = *state;
    struct err e;
    struct file_out f;
    struct stat st;
    unit_write(p->folder, "real", "old", 3);
    assert_int_equal(symlink("real", path_of(p, "link")), 0);
    assert_int_equal(file_out_open(p->a, path_of(p, "link"), &f, &e), 0);
    assert_int_equal(file_out_write(&f, "new", 3, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), 0);
    expect(p, path_of(p, "real"), "new");
    assert_int_equal(lstat(path_of(p, "link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

static void an_output_with_a_long_name(void **state)
{
    struct place *p = *state;
    struct err e;
    struct file_out f;
    char name[256]; /* the longest there is: no room for a suffix */
    memset(name, 'n', 255);
    name[255] = 0;
    char *path = path_of(p, name);
    assert_int_equal(file_out_open(p->a, path, &f, &e), 0);
    assert_int_equal(file_out_write(&f, "long", 4, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), 0);
    expect(p, path, "long");
    assert_true(file_same(path, path));
    assert_int_equal(symlink(path, path_of(p, "short")), 0);
    assert_true(file_same(path, path_of(p, "short")));
    assert_false(file_same(path, p->folder) || file_same(path, path_of(p, "none")));
    assert_true(file_clash(path, path_of(p, "short")));
    assert_true(file_clash(path_of(p, "none"), path_of(p, "./none")));
    assert_true(file_clash("none", "./none") && file_clash("/none", "//none"));
    assert_false(file_clash(path_of(p, "none"), path_of(p, "other")));
    assert_false(file_clash(path_of(p, "none"), "none") || file_clash(path, path_of(p, "none")));
}

static void an_output_that_cannot_be(void **state)
{
    struct place *p = *state;
    struct err e;
    struct file_out f;
    assert_int_equal(file_out_open(p->a, p->folder, &f, &e), -1);
    assert_non_null(strstr(e.text, "folder"));
    assert_int_equal(file_out_open(p->a, path_of(p, "no/such"), &f, &e), -1);
    assert_int_equal(e.code, E_IO);

    /* A real full device, written in place; it must still be a device afterwards. */
    assert_int_equal(file_out_open(p->a, "/dev/full", &f, &e), 0);
    assert_null(f.tmp);
    assert_int_equal(file_out_write(&f, "x", 1, &e), -1);
    assert_int_equal(e.code, E_IO);
    assert_non_null(strstr(e.text, "disk is full"));
    file_out_abort(&f);
    assert_int_equal(file_kind("/dev/full"), FILE_OTHER);
    assert_int_equal(file_out_open(p->a, "/dev/null", &f, &e), 0);
    assert_int_equal(file_out_write(&f, "x", 1, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), 0);
    assert_int_equal(file_kind("/dev/null"), FILE_OTHER);

    /* A disk that fills up half way leaves nothing behind. */
    static const char long_piece[2 * sizeof f.held];
    fault_arm("write:2");
    assert_int_equal(file_out_open(p->a, path_of(p, "out"), &f, &e), 0);
    assert_int_equal(file_out_write(&f, long_piece, sizeof long_piece, &e), 0);
    assert_int_equal(file_out_write(&f, long_piece, sizeof long_piece, &e), -1);
    assert_non_null(strstr(e.text, "after 32768 bytes"));
    file_out_abort(&f);
    assert_int_equal(count_names(p), 0);

    /* Nor where the last pieces wait for commit. */
    fault_arm("write:2");
    assert_int_equal(file_out_open(p->a, path_of(p, "out"), &f, &e), 0);
    assert_int_equal(file_out_write(&f, long_piece, sizeof long_piece, &e), 0);
    assert_int_equal(file_out_write(&f, "two", 3, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), -1);
    assert_int_equal(e.code, E_IO);
    assert_non_null(strstr(e.text, "after 32768 bytes: the disk is full"));
    assert_int_equal(count_names(p), 0);
    fault_arm(NULL);

    /* Pieces of all lengths arrive in order. */
    enum { PIECES = 300 };
    char piece[PIECES], *whole = arena_alloc(p->a, PIECES * PIECES, 1, &e);
    size_t n = 0;
    assert_int_equal(file_out_open(p->a, path_of(p, "out"), &f, &e), 0);
    for (int i = 0; i < PIECES; i++) {
        memset(piece, i, sizeof piece);
        memset(whole + n, i, (size_t)i);
        assert_int_equal(file_out_write(&f, piece, (size_t)i, &e), 0);
        n += (size_t)i;
    }
    assert_int_equal(file_out_write(&f, long_piece, sizeof f.held, &e), 0);
    assert_int_equal(file_out_commit(&f, &e), 0);
    struct str got;
    assert_int_equal(file_read(p->a, path_of(p, "out"), 1 << 20, &got, &e), 0);
    assert_int_equal(got.n, n + sizeof f.held);
    assert_memory_equal(got.p, whole, n);
    assert_memory_equal(got.p + n, long_piece, sizeof f.held);
}

static void a_folder_that_cannot_be_made_says_why(void **state)
{
    struct err e;
    (void)state;
    if (file_kind("/sys") != FILE_FOLDER) skip(); /* where nobody can make one */
    assert_int_equal(file_make_folders("/sys/lode/below", &e), -1);
    assert_null(strstr(e.text, strerror(ENOENT)));
}

static void folders(void **state)
{
    struct place *p = *state;
    struct err e;
    char **names;
    size_t n;
    assert_int_equal(file_make_folders(path_of(p, "a/b//c/"), &e), 0);
    assert_int_equal(file_make_folders(path_of(p, "a/b/c"), &e), 0);
    assert_int_equal(file_kind(path_of(p, "a/b/c")), FILE_FOLDER);
    unit_write(p->folder, "a/z", "", 0);
    unit_write(p->folder, "a/\xc3\xa9", "", 0);
    unit_write(p->folder, "a/B", "", 0);
    assert_int_equal(file_list(p->a, path_of(p, "a"), &names, &n, &e), 0);
    assert_int_equal(n, 4);
    assert_string_equal(names[0], "B");
    assert_string_equal(names[1], "b");
    assert_string_equal(names[3], "\xc3\xa9");
    assert_int_equal(file_make_folders(path_of(p, "a/z/under-a-file"), &e), -1);
    assert_int_equal(e.code, E_IO);
    assert_int_equal(file_list(p->a, path_of(p, "none"), &names, &n, &e), -1);

    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "a/b/%03d", i);
        unit_write(p->folder, name, "", 0);
    }
    assert_int_equal(file_list(p->a, path_of(p, "a/b"), &names, &n, &e), 0);
    assert_int_equal(n, 201);
    assert_string_equal(names[199], "199");

    /* Links are removed, not followed. */
    assert_int_equal(file_make_folders(path_of(p, "outside"), &e), 0);
    unit_write(p->folder, "outside/kept", "", 0);
    assert_int_equal(symlink("../outside", path_of(p, "a/link")), 0);
    assert_int_equal(file_remove_tree(path_of(p, "a"), &e), 0);
    assert_int_equal(file_remove_tree(path_of(p, "a"), &e), 0);
    assert_int_equal(file_kind(path_of(p, "a")), FILE_NONE);
    assert_int_equal(file_kind(path_of(p, "outside/kept")), FILE_REGULAR);
}

static void paths(void **state)
{
    struct place *p = *state;
    struct err e;
    assert_string_equal(file_join(p->a, "a", "b", &e), "a/b");
    assert_string_equal(file_join(p->a, "a/", "b", &e), "a/b");
    assert_string_equal(file_join(p->a, "", "b", &e), "b");
    assert_string_equal(file_name("a/b.wav"), "b.wav");
    assert_string_equal(file_name("b.wav"), "b.wav");

    unsetenv("LODE_CACHE");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/h", 1);
    assert_string_equal(file_cache(p->a, "m", &e), "/h/.cache/lode/m");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_string_equal(file_cache(p->a, "", &e), "/h/.cache/lode");
    setenv("XDG_CACHE_HOME", "/x", 1);
    assert_string_equal(file_cache(p->a, "m", &e), "/x/lode/m");
    setenv("LODE_CACHE", "/c", 1);
    assert_string_equal(file_cache(p->a, "m", &e), "/c/m");
    unsetenv("LODE_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_null(file_cache(p->a, "m", &e));
    assert_int_equal(e.code, E_IO);

    char *folder = file_program_folder(p->a, &e);
    assert_non_null(folder);
    char *self = file_join(p->a, folder, "t_file", &e);
    assert_int_equal(file_kind(self), FILE_REGULAR);
}

static void spools(void **state)
{
    struct place *p = *state;
    struct err e;
    int fd;
    char *was = getenv("TMPDIR");
    setenv("TMPDIR", p->folder, 1);
    assert_int_equal(file_spool(&fd, &e), 0);
    assert_int_equal(count_names(p), 0); /* it has no name */
    assert_int_equal(file_write_all(fd, "0123456789", 10, &e), 0);
    char got[16];
    assert_int_equal(file_read_at(fd, got, 4, 3, &e), 4);
    assert_memory_equal(got, "3456", 4);
    assert_int_equal(file_read_at(fd, got, 16, 8, &e), 2); /* less only at the end */
    assert_int_equal(file_read_at(fd, got, 4, 100, &e), 0);
    fault_arm("read:1");
    assert_int_equal(file_read_at(fd, got, 4, 0, &e), -1);
    close(fd);
    assert_int_equal(file_read_at(fd, got, 4, 0, &e), -1);
    assert_int_equal(e.code, E_IO);
    setenv("TMPDIR", path_of(p, "none"), 1);
    assert_int_equal(file_spool(&fd, &e), -1);
    assert_int_equal(e.code, E_IO);
    if (was)
        setenv("TMPDIR", was, 1);
    else
        unsetenv("TMPDIR");
}

static void modules_that_are_not(void **state)
{
    struct place *p = *state;
    struct err e;
    const void *table;
    assert_int_equal(module_open("nowhere", "table", &table, &e), -1);
    assert_int_equal(e.code, E_MISSING);
    assert_non_null(strstr(e.text, "lode-nowhere.so"));
    setenv("LODE_MODULES", p->folder, 1);
    unit_write(p->folder, "lode-broken.so", "not an object", 13);
    assert_int_equal(module_open("broken", "table", &table, &e), -1);
    assert_int_equal(e.code, E_MISSING);
    assert_non_null(strstr(e.text, "lode-broken.so"));
    fault_arm("dlopen:1");
    assert_int_equal(module_open("broken", "table", &table, &e), -1);
    assert_non_null(strstr(e.text, "on request"));
    unsetenv("LODE_MODULES");
}

static void children(void **state)
{
    struct place *p = *state;
    struct err e;
    struct child_end end;
    const char *const speaks[] = {"sh", "-c", "echo out; echo err >&2; cat; exit 7", NULL};
    assert_int_equal(child_run(p->a, speaks, 20, 1000, &end, &e), 0);
    assert_int_equal(end.status, 7);
    assert_string_equal(end.output.p, "out\nerr\n");

    /* Arguments are words, not shell text. */
    const char *const quotes[] = {"printf", "%s", "a b; $(exit)", NULL};
    assert_int_equal(child_run(p->a, quotes, 20, 1000, &end, &e), 0);
    assert_string_equal(end.output.p, "a b; $(exit)");

    /* More than the buffer: the end is what is kept. */
    const char *const much[] = {"sh", "-c", "seq 100000", NULL};
    assert_int_equal(child_run(p->a, much, 20, 50, &end, &e), 0);
    assert_true(end.output.n == 50 && str_ends(end.output.p, "\n99999\n100000\n"));

    const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
    assert_int_equal(child_run(p->a, killed, 20, 50, &end, &e), 0);
    assert_int_equal(end.status, 128 + 9);
    const char *const slow[] = {"sleep", "60", NULL};
    assert_int_equal(child_run(p->a, slow, 1, 50, &end, &e), -1);
    assert_int_equal(e.code, E_IO);

    /* Under rules: variables put before ours, and running out of time is no error. */
    setenv("LODE_LOG", "warn", 1);
    const char *const prints[] = {"sh", "-c", "echo $LODE_LOG $LODE_FAIL; sleep 60", NULL};
    const char *const env[] = {"LODE_LOG=quiet", "LODE_FAIL=x", NULL};
    const struct child_rules rules = {.env = env, .timeout_s = 1, .max_bytes = 1000};
    assert_int_equal(child_run_under(p->a, prints, &rules, &end, &e), 0);
    assert_string_equal(end.output.p, "quiet x\n");
    assert_true(end.late && end.status == 128 + 9);
    unsetenv("LODE_LOG");

    /* A limit for each silence: who goes on printing is not late. */
    const char *const often[] = {"sh", "-c", "for i in 1 2 3 4; do echo $i; sleep 0.5; done", NULL};
    struct child_rules silence = {.timeout_s = 1, .max_bytes = 1000, .anew = true};
    assert_int_equal(child_run_under(p->a, often, &silence, &end, &e), 0);
    assert_true(!end.late && end.status == 0);
    assert_string_equal(end.output.p, "1\n2\n3\n4\n");
    silence.anew = false;
    assert_int_equal(child_run_under(p->a, often, &silence, &end, &e), 0);
    assert_true(end.late);
    const char *const none[] = {"no-such-program-of-lode", NULL};
    assert_int_equal(child_run(p->a, none, 1, 50, &end, &e), -1);
    assert_int_equal(e.code, E_MISSING);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(maps),
        TEST(reads),
        TEST(an_output_appears_when_complete),
        TEST(what_was_left_is_removed),
        TEST(an_output_through_a_link),
        TEST(an_output_with_a_long_name),
        TEST(an_output_that_cannot_be),
        TEST(a_folder_that_cannot_be_made_says_why),
        TEST(folders),
        TEST(paths),
        TEST(spools),
        TEST(modules_that_are_not),
        TEST(children),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
