/* The index of vectors, through its module: what is kept, what is refused, files that are damaged
 * in thousands of ways; and SHA-256, by which texts are told apart. */
#include "base/module.h"
#include "load/index.h"
#include "unit.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define WIDTH 24
#define TEXTS 200

struct world {
    const struct index_module *m;
    struct arena *a;
    struct err e;
    char folder[600], path[700];
    struct index_of of;
};

static int setup(void **state)
{
    static struct world world;
    struct world *w = &world;
    const void *module;
    *w = (struct world){.of = {.model = "a model", .settings = "int8, mean", .width = WIDTH}};
    if (module_open(INDEX_MODULE, INDEX_SYMBOL, &module, &w->e) == 0) w->m = module;
    assert_int_equal(arena_open("index", 0, &w->a, &w->e), 0);
    unit_folder(w->folder, sizeof w->folder);
    snprintf(w->path, sizeof w->path, "%s/x.db", w->folder);
    memset(w->of.mark, 7, SHA_BYTES);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    arena_close(&w->a);
    unit_remove(w->folder);
    return 0;
}

static void hash_of(int text, uint8_t out[SHA_BYTES])
{
    struct sha s;
    sha_begin(&s);
    sha_add(&s, &text, sizeof text);
    sha_end(&s, out);
}

static void vector_of(int text, float v[WIDTH])
{
    for (int i = 0; i < WIDTH; i++) v[i] = (float)(text * WIDTH + i) / 7;
}

static struct index *open_it(struct world *w)
{
    struct index *x = NULL;
    if (w->m->open(w->a, w->path, &w->of, &x, &w->e)) fail_msg("%s", w->e.text);
    return x;
}

static void refused(struct world *w, enum err_code code, const char *part)
{
    struct index *x = NULL;
    assert_int_equal(w->m->open(w->a, w->path, &w->of, &x, &w->e), -1);
    assert_null(x);
    if (w->e.code != code || !strstr(w->e.text, part)) fail_msg("%s", w->e.text);
}

static void put(struct world *w, struct index *x, int text)
{
    uint8_t hash[SHA_BYTES];
    float v[WIDTH];
    hash_of(text, hash);
    vector_of(text, v);
    assert_int_equal(w->m->put(x, hash, v, &w->e), 0);
}

static int get(struct world *w, struct index *x, int text, float v[WIDTH])
{
    uint8_t hash[SHA_BYTES];
    hash_of(text, hash);
    return w->m->get(x, hash, v, &w->e);
}

static void fill(struct world *w)
{
    struct index *x = open_it(w);
    for (int i = 0; i < TEXTS; i++) put(w, x, i);
    assert_int_equal(w->m->commit(x, &w->e), 0);
    w->m->close(&x);
    assert_null(x);
}

static void test_sha(void **state)
{
    static const struct {
        const char *text;
        size_t times;
        const char *hex;
    } known[] = {/* FIPS 180-4's examples, and lengths about a block's end by Python's hashlib */
                 {"", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                 {"abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                 {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
                 {"a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
                 {"a", 55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
                 {"a", 56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
                 {"a", 63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
                 {"a", 64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"}};
    (void)state;
    for (size_t i = 0; i < COUNT(known); i++) {
        uint8_t out[SHA_BYTES];
        char hex[2 * SHA_BYTES + 1];
        struct sha s;
        sha_begin(&s);
        for (size_t k = 0; k < known[i].times; k++)
            sha_add(&s, known[i].text, strlen(known[i].text));
        sha_end(&s, out);
        for (size_t k = 0; k < SHA_BYTES; k++) snprintf(hex + 2 * k, 3, "%02x", out[k]);
        assert_string_equal(hex, known[i].hex);
    }
}

static void test_kept(void **state)
{
    struct world *w = *state;
    float v[WIDTH], want[WIDTH];
    if (!w->m) skip();
    struct index *x = open_it(w);
    assert_int_equal(get(w, x, 0, v), 0);
    put(w, x, 0);
    assert_int_equal(w->m->commit(x, &w->e), 0);
    put(w, x, 1); /* not committed */
    assert_int_equal(get(w, x, 1, v), 1);
    w->m->close(&x);
    x = open_it(w);
    vector_of(0, want);
    assert_int_equal(get(w, x, 0, v), 1);
    assert_memory_equal(v, want, sizeof v);
    assert_int_equal(get(w, x, 1, v), 0);
    w->m->close(&x);
    w->m->close(&x); /* harmless */
}

static void test_refused(void **state)
{
    struct world *w = *state;
    if (!w->m) skip();
    fill(w);
    w->of.width = 32;
    refused(w, E_INPUT, "an index of vectors of 24 numbers, by a model; those of a model have 32");
    w->of.width = WIDTH;
    w->of.mark[5] = 0;
    w->of.model = "another";
    refused(w, E_INPUT,
            "an index of another model (a model, whose weights are not those of another)");
    w->of.mark[5] = 7;
    w->of.settings = "float32, mean";
    refused(w, E_INPUT, "an index of a model (int8, mean); now it is float32, mean");
    unit_write(w->folder, "x.db", "id,text\n1,not a database, but long enough\n", 41);
    refused(w, E_INPUT, "not an index of lode");
    unit_write(w->folder, "x.db", "", 0); /* an empty file becomes one */
    fill(w);
    snprintf(w->path, sizeof w->path, "%s/none/x.db", w->folder);
    refused(w, E_IO, "x.db: unable to open");
}

/* What is asked before the model is open changes nothing. */
static void test_settings(void **state)
{
    struct world *w = *state;
    const char *settings = "";
    if (!w->m) skip();
    assert_int_equal(w->m->settings(w->a, w->path, &settings, &w->e), 0);
    assert_null(settings);
    assert_int_equal(access(w->path, F_OK), -1);
    unit_write(w->folder, "x.db", "", 0);
    assert_int_equal(w->m->settings(w->a, w->path, &settings, &w->e), 0);
    assert_null(settings);
    fill(w);
    assert_int_equal(w->m->settings(w->a, w->path, &settings, &w->e), 0);
    assert_string_equal(settings, "int8, mean");
    unit_write(w->folder, "x.db", "id,text\n1,not a database, but long enough\n", 41);
    assert_int_equal(w->m->settings(w->a, w->path, &settings, &w->e), -1);
    assert_int_equal(w->e.code, E_INPUT);
}

/* A process that is killed between two puts leaves what was committed. */
static void test_killed(void **state)
{
    struct world *w = *state;
    float v[WIDTH];
    if (!w->m) skip();
    fill(w);
    pid_t child = fork();
    if (child == 0) {
        struct index *x = NULL;
        if (w->m->open(w->a, w->path, &w->of, &x, &w->e) == 0)
            for (int i = TEXTS; i < 100 * TEXTS; i++) {
                uint8_t hash[SHA_BYTES];
                vector_of(i, v);
                hash_of(i, hash);
                if (w->m->put(x, hash, v, &w->e)) break;
            }
        raise(SIGKILL); /* much is in the file by now, for SQLite's cache holds less */
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    struct index *x = open_it(w);
    for (int i = 0; i < TEXTS; i++) assert_int_equal(get(w, x, i, v), 1);
    assert_int_equal(get(w, x, TEXTS, v), 0);
    assert_int_equal(get(w, x, 100 * TEXTS - 1, v), 0);
    put(w, x, TEXTS);
    assert_int_equal(w->m->commit(x, &w->e), 0);
    w->m->close(&x);
}

/* Whatever the file is: an answer that is a vector, none, or a sentence. */
static void trial(struct world *w)
{
    struct index *x = NULL;
    struct arena_mark mark = arena_here(w->a);
    float v[WIDTH];
    int rc = w->m->open(w->a, w->path, &w->of, &x, &w->e);
    for (int i = 0; rc == 0 && i < TEXTS; i += 13) {
        rc = get(w, x, i, v);
        for (int k = 0; rc == 1 && k < WIDTH; k++) assert_true(isfinite(v[k]));
        rc = rc < 0 ? -1 : 0;
    }
    if (rc == 0) {
        uint8_t hash[SHA_BYTES];
        hash_of(TEXTS + 1, hash);
        vector_of(1, v);
        rc = w->m->put(x, hash, v, &w->e);
        if (rc == 0) rc = w->m->commit(x, &w->e);
    }
    if (rc && w->e.code != E_INPUT && w->e.code != E_IO) fail_msg("%s", w->e.text);
    if (rc && !strstr(w->e.text, "x.db")) fail_msg("%s", w->e.text);
    w->m->close(&x);
    arena_rewind(w->a, mark);
}

static void test_damaged(void **state)
{
    enum { CUTS = 40, CHANGES = 300 };
    struct world *w = *state;
    uint32_t random = 1;
    struct str whole;
    if (!w->m) skip();
    fill(w);
    assert_int_equal(file_read(w->a, w->path, 1 << 24, &whole, &w->e), 0);
    assert_true(whole.n > 8 * 4096);
    char *copy = ARENA_NEW(w->a, char, whole.n, &w->e);
    assert_non_null(copy);
    for (int i = 0; i < CUTS + CHANGES; i++) {
        size_t n = i < CUTS ? whole.n * (size_t)i / CUTS : whole.n;
        memcpy(copy, whole.p, n);
        for (int c = 0; i >= CUTS && c < 1 + i % 4; c++) {
            random ^= random << 13; /* xorshift32, Marsaglia 2003 */
            random ^= random >> 17;
            random ^= random << 5;
            /* a third in the head, a third in the heads of pages */
            size_t at = random % 3 == 0   ? random / 8 % 600
                        : random % 3 == 1 ? random / 8 % (n / 4096) * 4096 + random % 64
                                          : random / 8 % n;
            copy[at] = (char)(random >> 24);
        }
        unit_write(w->folder, "x.db", copy, n);
        trial(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha),
        cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
