/* Routes by language, and the check of scripts, through the whole of `lode transcribe`: small
 * models of hashed weights with the vocabularies of real ones, in whose embeddings it is planted
 * which language they hear and what they say. No multilingual weights were at hand, so what real
 * ones hear is not shown here. */
#include "base/room.h"
#include "job_help.h"
#include "jobs/route.h"
#include "nets/net_language.h"
#include "text/script.h"

enum { EN = 0, DE = 2, RU = 4, HI = 17, TA = 28 };

/* ---- the text of a route ---- */

static void refused(struct arena *a, const char *text, const char *why)
{
    struct route r;
    struct err e;
    assert_int_equal(route_read(a, text, &r, &e), -1);
    assert_int_equal(e.code, E_USAGE);
    if (!strstr(e.text, why)) fail_msg("%s: %s", text, e.text);
}

static void test_read(void **state)
{
    struct world *w = *state;
    struct route r;
    must(w,
         route_read(w->a, "en=tiny.en:int8,hi+Tamil=/m:1/x:float16,default=medium,ru=tiny.en:int8",
                    &r, &w->e));
    assert_int_equal(r.n, 3);
    assert_int_equal(r.of[RU], r.of[EN]);
    assert_int_equal(r.of[HI], r.of[TA]);
    assert_int_equal(r.of[DE], r.rest);
    assert_string_equal(r.target[r.of[EN]].model, "tiny.en");
    assert_string_equal(r.target[r.of[EN]].compute_type, "int8");
    assert_string_equal(r.target[r.of[HI]].model, "/m:1/x");
    assert_string_equal(r.target[r.of[HI]].compute_type, "float16");
    assert_null(r.target[r.rest].compute_type);
    must(w, route_read(w->a, "default=/a:b/c", &r, &w->e)); /* a path with a colon in it */
    assert_string_equal(r.target[0].model, "/a:b/c");
    refused(w->a, "", "no default=MODEL");
    refused(w->a, "en=tiny.en", "no default=MODEL");
    refused(w->a, "klingon=a,default=b", "\"klingon\" is not a language");
    refused(w->a, "en=a,english=b,default=c", "english is said twice");
    refused(w->a, "default=a,default=b", "default is said twice");
    refused(w->a, "en=,default=b", "names no model");
    refused(w->a, "en=:int8,default=b", "names no model");
    refused(w->a, "en=a:int9,default=b", "\"int9\" is not a compute type");
    refused(w->a, "en=a:,default=b", "\"\" is not a compute type");
    refused(w->a, "en,default=b", "\"en\" is not LANGUAGE=MODEL");
    refused(w->a, "=a,default=b", "\"\" is not a language");
    refused(w->a, "en=a,,default=b", "\"\" is not LANGUAGE=MODEL");
}

/* ---- how much memory there is ---- */

static void test_room(void **state)
{
    struct world *w = *state;
    const char *root = folder(w, "root");
    char proc[300], group[300];
    assert_true(room_bytes(root) == SIZE_MAX);
    snprintf(proc, sizeof proc, "%s/proc", root);
    snprintf(group, sizeof group, "%s/sys/fs/cgroup", root);
    must(w, file_make_folders(proc, &w->e));
    must(w, file_make_folders(group, &w->e));
    static const char info[] = "MemTotal: 9 kB\nMemAvailable:    1000 kB\n";
    unit_write(proc, "meminfo", info, sizeof info - 1);
    assert_int_equal(room_bytes(root), 1000 << 10);
    unit_write(group, "memory.max", "max\n", 4);
    assert_int_equal(room_bytes(root), 1000 << 10);
    unit_write(group, "memory.max", "5000\n", 5);
    unit_write(group, "memory.current", "2000\n", 5);
    assert_int_equal(room_bytes(root), 3000);
    unit_write(group, "memory.current", "9000\n", 5);
    assert_int_equal(room_bytes(root), 0);
    assert_true(room_bytes("") > 0);
}

/* ---- models that hear and say what is planted ---- */

/* Token `id` beats all others by `times`: the last norm adds the same vector to every row, and the
 * embedding of the token points there. */
static void plant(struct model *m, int id, float times)
{
    float *table = NULL, *offset = NULL;
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->t[i].name, "decoder/embeddings/weight") == 0) table = m->t[i].data;
        if (strcmp(m->t[i].name, "decoder/layer_norm/beta") == 0) offset = m->t[i].data;
    }
    assert_true(table && offset);
    for (int k = 0; k < m->c.width; k++) {
        offset[k] = 1;
        table[(size_t)id * (size_t)m->c.width + (size_t)k] = times;
    }
}

static const char *write_model(struct world *w, const char *name, bool english, int language,
                               const char *says)
{
    struct net_whisper_config c;
    assert_true(net_whisper_named(english ? "tiny.en" : "tiny", &c));
    c.width = 64;
    c.heads = 1;
    c.encoder_layers = c.decoder_layers = 2;
    c.ffn = 256;
    struct arena_mark mark = arena_here(w->a);
    char *path = folder(w, name);
    struct model *m = make(w, &c);
    if (!english) plant(m, c.language0 + language, 2);
    plant(m, says[0], 1);
    round_to(m, DTYPE_F16);
    write_ggml(path, m, DTYPE_F16, c.eot);
    arena_rewind(w->a, mark);
    static char file[4][400];
    static int turn;
    snprintf(file[++turn % 4], sizeof file[0], "%s/%s/ggml-model.bin", w->folder, name);
    return file[turn % 4];
}

/* lode transcribe MORE.. --format json. */
static int transcribe(struct world *w, struct heard *h, const char *const *more)
{
    static const char *const same[] = {"--offline",     "--beam-size=1", "--best-of=1",
                                       "--format=json", "--temperature", "0,0.2",
                                       "--threads=2",   "--device=cpu",  NULL};
    return job_run(w, &job_transcribe_row, h, same, more);
}
#define TRANSCRIBE(w, h, audio, ...) \
    transcribe((w), (h), (const char *const[]){__VA_ARGS__, (audio), NULL})

static void has(const char *text, const char *format, ...)
{
    char want[600];
    va_list args;
    va_start(args, format);
    vsnprintf(want, sizeof want, format, args);
    va_end(args);
    if (!strstr(text, want)) fail_msg("no %s in: %.2000s", want, text);
}

static void test_route(void **state)
{
    struct world *w = *state;
    static struct heard h;
    char route[2000];
    const char *noise = job_noise(w, "noise", 3);
    const char *hears_hi = write_model(w, "hears-hi", false, HI, "a"),
               *hears_en = write_model(w, "hears-en", false, EN, "b"),
               *english = write_model(w, "english", true, 0, "c");

    snprintf(route, sizeof route, "en=%s:float32,default=%s:int8", english, hears_en);
    must(w, TRANSCRIBE(w, &h, noise, "--route", route));
    has(h.notes, "language en (probability");
    has(h.text, "\"model\":\"%s\"", english);
    has(h.text, "\"compute_type\":\"float32\"");
    has(h.text, "\"text\":\"c\"");
    /* It is listened for where the first part begins that is wanted, if there is one. */
    const char *const from[][2] = {
        {"0", "2 windows of it"}, {"31", "1 window of it"}, {"99", "2 windows of it"}};
    const char *longer = job_noise(w, "longer", 33);
    for (size_t i = 0; i < COUNT(from); i++) {
        must(w, TRANSCRIBE(w, &h, longer, "--route", route, "--language-detection-segments=2",
                           "--language-detection-threshold=1", "--clip-timestamps", from[i][0]));
        has(h.notes, "%s", from[i][1]);
    }
    must(w, TRANSCRIBE(w, &h, noise, "--route", route, "--batch-size=2"));
    has(h.text, "\"model\":\"%s\"", english);

    snprintf(route, sizeof route, "en=%s,hi+ta=%s:int8_float32,default=%s", english, hears_en,
             hears_hi);
    must(w, TRANSCRIBE(w, &h, noise, "--route", route));
    has(h.text, "\"language\":\"hi\"");
    has(h.text, "\"model\":\"%s\"", hears_en);
    has(h.text, "\"compute_type\":\"int8_float32\"");
    must(w, TRANSCRIBE(w, &h, noise, "--route", route, "--languages", "de,ru"));
    has(h.text, "\"model\":\"%s\"", hears_hi); /* the rest */
    must(w, TRANSCRIBE(w, &h, noise, "--route", route, "--language", "en"));
    has(h.text, "\"model\":\"%s\"", english);
    assert_null(strstr(h.notes, "probability")); /* nothing was listened for */

    static const struct {
        const char *option, *value, *route, *why;
    } wrong[] = {
        {"--task", "translate", "en=%s,default=%s", "cannot translate"},
        {"--multilingual", "true", "en=%s,default=%s", "a file goes to one model"},
        {"--beam-size", "1", "hi=%s,default=%s", "English only and cannot take hindi"},
        {"--beam-size", "1", "hi=%2$s,default=%1$s", "is English only; take a multilingual one"},
        {"--language", "yue", "yue=%2$s,default=%2$s", "does not know cantonese"},
        {"--language", "de", "en=%2$s,default=%1$s", "English only and cannot take german"},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(route, sizeof route, wrong[i].route, english, hears_hi);
#pragma GCC diagnostic pop
        assert_int_equal(
            TRANSCRIBE(w, &h, noise, "--route", route, wrong[i].option, wrong[i].value), -1);
        assert_int_equal(h.e.code, E_USAGE);
        has(h.e.text, "%s", wrong[i].why);
    }
}

/* With memory for one model at a time; on a GPU the same is asked of its room. */
static void test_makes_room(void **state)
{
    struct world *w = *state;
    static struct heard h;
    char route[2000];
    const char *noise = job_noise(w, "noise", 1);
    const char *hears_en = write_model(w, "hears-en", false, EN, "b"),
               *english = write_model(w, "english", true, 0, "c");
    snprintf(route, sizeof route, "en=%s,default=%s", english, hears_en);
    must(w, TRANSCRIBE(w, &h, noise, noise, "--route", route, "--route-memory=40"));
    assert_null(strstr(h.notes, "makes room")); /* the two of them fit */
    must(w, TRANSCRIBE(w, &h, noise, noise, "--route", route, "--route-memory=20"));
    has(h.notes, "model %s makes room for %s, which takes ", hears_en, english);
    has(h.notes, "model %s makes room for %s, which takes ", english, hears_en);
    has(h.text, "\"model\":\"%s\"", english);
}

/* ---- scripts ---- */

static void test_scripts(void **state)
{
    (void)state;
    static const struct {
        int language;
        const char *text;
        bool foreign;
    } texts[] = {
        {HI, "नमस्ते, आप कैसे हैं?", false},
        {HI, "namaste, aap kaise hain?", true},
        {HI, "नमस्ते OK Google", true}, /* ten letters of twenty, and more, are Latin */
        {HI, "मैं आज Google पर खोजता हूँ।", false},
        {HI, "OK!", false},
        {HI, "12:30, 45 %", false},
        {HI, "", false},
        {TA, "வணக்கம்", false},
        {TA, "नमस्ते", true},
        {EN, "Hello there", false},
        {EN, "Привет всем", true},
        {EN, "naïve café", false},
        {EN,
         "\xff\xfe\x80"
         "abcd",
         false},
        {RU, "Привет всем", false},
        {1, "你好，世界再见", false}, /* Chinese */
        {7, "こんにちは世界", false}, /* Japanese */
        {7, "你好世界", false},
        {5, "안녕하세요", false}, /* Korean */
        {5, "konnichiwa", true},
        {13, "مرحبا بالعالم", false},  /* Arabic */
        {22, "γειά σου Κόσμε", false}, /* Greek */
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct str text = {texts[i].text, strlen(texts[i].text)};
        if (script_foreign(text, net_language_scripts(texts[i].language)) != texts[i].foreign)
            fail_msg("%s: %s", net_language_code(texts[i].language), texts[i].text);
        assert_false(script_foreign(text, 0));
    }
    for (int i = 0; i < NET_LANGUAGES; i++) assert_true(net_language_scripts(i) != 0);
    /* the table is in order, so that every range is found */
    unsigned last = 0, seen = 0;
    for (uint32_t cp = 0; cp < 0x33000; cp++) {
        unsigned s = script_of(cp);
        seen |= s;
        last = s ? s : last;
    }
    assert_int_equal(seen, (1u << 26) - 1);
    assert_int_equal(last, SCRIPT_HAN);
}

/* A model that says "aaaa" for Hindi is tried again and flagged, for German it is not. */
static void test_wrong_script(void **state)
{
    struct world *w = *state;
    static struct heard h;
    const char *noise = job_noise(w, "noise", 3),
               *model = write_model(w, "hears-hi", false, HI, "a");
    static const char *const batch[] = {"--batch-size=1", "--batch-size=2"};
    static const char only[] = "--compression-ratio-threshold=0"; /* nothing else is distrusted */
#define PLAIN \
    "--model", model, only, "--logprob-threshold=-100", "--no-speech-threshold=1", "--no-stop-loops"
    for (size_t i = 0; i < COUNT(batch); i++) {
        must(w, TRANSCRIBE(w, &h, noise, PLAIN, batch[i]));
        has(h.text, "\"language\":\"hi\"");
        has(h.text, "\"flags\":[\"wrong-script\"]");
        has(h.text, "\"windows_again\":[{\"start\":0,\"end\":3,\"silent\":false,\"tried\":[{"
                    "\"temperature\":0,\"why\":[\"wrong-script\"],");
        has(h.notes, "Windows tried again: 1 of 1: 0.0-3.0 s (0: wrong-script; 0.2: wrong-script)");
        must(w, TRANSCRIBE(w, &h, noise, PLAIN, batch[i], "--no-check-script"));
        has(h.text, "\"flags\":[]");
        has(h.text, "\"windows_again\":[]");
        must(w, TRANSCRIBE(w, &h, noise, PLAIN, batch[i], "--language=de"));
        has(h.text, "\"windows_again\":[]");
        must(w, TRANSCRIBE(w, &h, noise, PLAIN, batch[i], "--task=translate"));
        has(h.text, "\"windows_again\":[]"); /* English is written so */
        must(w, TRANSCRIBE(w, &h, noise, PLAIN, batch[i], "--multilingual"));
        has(h.text, "\"wrong-script\"");
        has(h.text, "\"windows_again\":[{\"start\":0,\"end\":3,\"language\":\"hi\"");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),       cmocka_unit_test(test_room),
        cmocka_unit_test(test_scripts),    cmocka_unit_test(test_route),
        cmocka_unit_test(test_makes_room), cmocka_unit_test(test_wrong_script),
    };
    return cmocka_run_group_tests_name("route", tests, setup, teardown);
}
