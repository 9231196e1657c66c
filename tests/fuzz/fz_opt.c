/* Any lines as a command line. */
#include "base/opt.h"

#include <string.h>

struct opts {
    bool words;
    int64_t beam;
    double patience;
    const char *language;
    int device;
};

static const struct opt_row rows[] = {
    {.help = "How"},
    {.name = "words", .letter = 'w', .type = OPT_BOOL, .offset = offsetof(struct opts, words)},
    {.name = "beam-size",
     .letter = 'b',
     .type = OPT_INT,
     .offset = offsetof(struct opts, beam),
     .min = 1,
     .max = 64,
     .fallback = "5",
     .alias = "beam|beams"},
    {.name = "patience",
     .type = OPT_NUMBER,
     .offset = offsetof(struct opts, patience),
     .min = -1e300,
     .max = 1e300},
    {.name = "language",
     .letter = 'l',
     .type = OPT_TEXT,
     .offset = offsetof(struct opts, language)},
    {.name = "device",
     .type = OPT_CHOICE,
     .offset = offsetof(struct opts, device),
     .choices = "auto|cpu|cuda"},
};

static int drop(void *ctx, const char *p, size_t n, struct err *e)
{
    (void)ctx, (void)e;
    assert(str_utf8_whole(p, n));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e;
    struct arena *a;
    if (size > 4096 || arena_open("fuzz", 0, &a, &e)) return 0;
    char *text = arena_text(a, (const char *)data, size, &e);
    char *argv[64];
    int argc = 0;
    for (char *p = text; p < text + size && argc < 64; p += strlen(p) + 1) {
        p[strcspn(p, "\n")] = 0;
        argv[argc++] = p;
    }
    struct opts o;
    struct opt_list inputs;
    opt_defaults(rows, COUNT(rows), &o);
    if (opt_parse(a, rows, COUNT(rows), argc, argv, &o, &inputs, &e) == 0) {
        assert(o.beam >= 1 && o.beam <= 64 && o.device >= 0 && o.device < 3);
        assert(inputs.n <= (size_t)argc);
        struct json_out j;
        json_out_init(&j, 0, drop, NULL, &e);
        json_out_object(&j);
        opt_json(rows, COUNT(rows), &o, &j);
        json_out_end(&j, '}');
        int status = json_out_done(&j);
        assert(status == 0);
    } else {
        assert(e.code == E_USAGE && e.text[0] && str_utf8_whole(e.text, strlen(e.text)));
    }
    arena_close(&a);
    return 0;
}
