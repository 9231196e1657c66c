/* Any bytes as JSON: read, walked through every accessor, written again, read again. */
#include "base/json.h"

#include <string.h>

struct text {
    char *p;
    size_t n, cap;
};

static int put(void *ctx, const char *p, size_t n, struct err *e)
{
    struct text *t = ctx;
    if (n > t->cap - t->n) return err_set(e, E_NOMEM, "the text is full");
    memcpy(t->p + t->n, p, n);
    t->n += n;
    return 0;
}

static void copy(const struct json *v, struct json_out *j, int depth)
{
    if (depth > 20) {
        json_out_str(j, NULL);
    } else if (json_is_object(v)) {
        json_out_object(j);
        for (size_t i = 0; i < json_count(v); i++) {
            const struct json *member;
            const char *name = json_name_at(v, i, &member);
            assert(name && json_key(v, name) == member);
            json_out_key(j, name);
            copy(member, j, depth + 1);
            json_name_at(v, i, &member); /* the walk below moved the place that is kept */
        }
        json_out_end(j, '}');
    } else if (json_is_array(v)) {
        json_out_array(j);
        for (size_t i = 0; i < json_count(v); i++) copy(json_at(v, i), j, depth + 1);
        json_out_end(j, ']');
    } else if (json_is_text(v)) {
        struct str s = json_text(v);
        assert(str_utf8_whole(s.p, s.n));
        json_out_text(j, s.p, s.n);
    } else if (json_is_number(v)) {
        json_int(v, 0);
        json_out_number(j, json_number(v, 0), 3);
    } else {
        json_out_bool(j, json_bool(v, false));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e;
    struct arena *a;
    if (size > 1 << 16 || arena_open("fuzz", 0, &a, &e)) return 0;
    struct json_doc *doc, *again;
    if (json_open(a, (const char *)data, size, &doc, &e) == 0) {
        struct text t = {.cap = size * 64 + 4096};
        t.p = ARENA_NEW(a, char, t.cap, &e);
        struct json_out j;
        json_out_init(&j, (int)(size % 3), put, &t, &e);
        copy(json_root(doc), &j, 0);
        int status = json_out_done(&j);
        assert(status == 0);
        status = json_open(a, t.p, t.n, &again, &e);
        assert(status == 0);
        json_close(&again);
        json_close(&doc);
    }
    arena_close(&a);
    return 0;
}
