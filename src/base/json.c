/* A struct json is jansson's json_t under our name: the pointer is only ever cast, in value() and
 * back. */
#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* jansson has macros of these names; ours are functions. */
#undef json_is_object
#undef json_is_array
#undef json_is_number

enum { BYTES_MOST = 64 << 20 };

struct json_doc {
    json_t *root;
};

static const json_t *value(const struct json *v)
{
    return (const json_t *)(const void *)v;
}

static const struct json *face(const json_t *v)
{
    return (const struct json *)(const void *)v;
}

/* Where the last json_name_at of this thread stood. Asking for the pairs in order is then linear;
 * jansson alone has no index. A walk starts afresh at 0, so nothing of a closed document is used.
 */
static _Thread_local struct {
    const json_t *object;
    size_t i;
    void *at;
} walk;

int json_open(struct arena *a, const char *p, size_t n, struct json_doc **out, struct err *e)
{
    *out = NULL;
    if (n > BYTES_MOST)
        return err_set(e, E_INPUT, "the JSON has %zu bytes, at most %d are read", n, BYTES_MOST);
    struct json_doc *doc = ARENA_NEW(a, struct json_doc, 1, e);
    if (!doc) return -1;
    json_error_t why;
    doc->root = json_loadb(n > 0 ? p : "", n, JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);
    if (!doc->root) {
        if (json_error_code(&why) == json_error_out_of_memory)
            return err_set(e, E_NOMEM, "no memory for a JSON text of %zu bytes", n);
        return err_set(e, E_INPUT, "JSON, line %d, column %d: %s", why.line, why.column, why.text);
    }
    *out = doc;
    return 0;
}

void json_close(struct json_doc **doc)
{
    if (!*doc) return;
    walk.object = NULL;
    json_decref((*doc)->root);
    (*doc)->root = NULL;
    *doc = NULL;
}

const struct json *json_root(const struct json_doc *doc)
{
    return doc ? face(doc->root) : NULL;
}

const struct json *json_key(const struct json *object, const char *key)
{
    return face(json_object_get(value(object), key));
}

const struct json *json_at(const struct json *array, size_t i)
{
    return face(json_array_get(value(array), i));
}

size_t json_count(const struct json *array_or_object)
{
    const json_t *v = value(array_or_object);
    return json_is_array(array_or_object) ? json_array_size(v) : json_object_size(v);
}

const char *json_name_at(const struct json *object, size_t i, const struct json **v)
{
    *v = NULL;
    json_t *o = (json_t *)(uintptr_t)object;
    if (!o || i >= json_object_size(o)) return NULL;
    if (walk.object != o || i < walk.i || i == 0) {
        walk.object = o;
        walk.i = 0;
        walk.at = json_object_iter(o);
    }
    for (; walk.i < i; walk.i++) walk.at = json_object_iter_next(o, walk.at);
    *v = face(json_object_iter_value(walk.at));
    return json_object_iter_key(walk.at);
}

static bool is(const struct json *v, json_type type)
{
    return v && json_typeof(value(v)) == type;
}

bool json_is_object(const struct json *v)
{
    return is(v, JSON_OBJECT);
}

bool json_is_array(const struct json *v)
{
    return is(v, JSON_ARRAY);
}

bool json_is_text(const struct json *v)
{
    return is(v, JSON_STRING);
}

bool json_is_number(const struct json *v)
{
    return is(v, JSON_INTEGER) || is(v, JSON_REAL);
}

bool json_is_bool(const struct json *v)
{
    return is(v, JSON_TRUE) || is(v, JSON_FALSE);
}

struct str json_text(const struct json *v)
{
    if (!json_is_text(v)) return (struct str){0};
    return (struct str){json_string_value(value(v)), json_string_length(value(v))};
}

double json_number(const struct json *v, double fallback)
{
    return json_is_number(v) ? json_number_value(value(v)) : fallback;
}

int64_t json_int(const struct json *v, int64_t fallback)
{
    if (is(v, JSON_INTEGER)) return json_integer_value(value(v));
    if (!is(v, JSON_REAL)) return fallback;
    double d = json_real_value(value(v)); /* "5.0" is an integer too */
    return floor(d) == d && d >= -0x1p63 && d < 0x1p63 ? (int64_t)d : fallback;
}

bool json_bool(const struct json *v, bool fallback)
{
    return is(v, JSON_TRUE) || (fallback && !is(v, JSON_FALSE));
}

/* ---- the writer ---- */

int json_out_flush(struct json_out *j)
{
    if (!j->failed && j->n_held > 0) j->failed = j->put(j->ctx, j->held, j->n_held, j->e) != 0;
    j->n_held = 0;
    return j->failed ? -1 : 0;
}

static void put(struct json_out *j, const char *p, size_t n)
{
    while (n > 0) {
        if (j->n_held == sizeof j->held) json_out_flush(j);
        size_t part = MIN(n, sizeof j->held - j->n_held);
        memcpy(j->held + j->n_held, p, part);
        j->n_held += part;
        p += part;
        n -= part;
    }
}

static void put_text(struct json_out *j, const char *text)
{
    put(j, text, strlen(text));
}

static void new_line(struct json_out *j)
{
    if (j->indent <= 0) return;
    put_text(j, "\n");
    for (int i = 0; i < j->depth * j->indent; i++) put_text(j, " ");
}

/* What must stand before a value or a key at this place. */
static void before(struct json_out *j)
{
    if (j->after_key) {
        j->after_key = false;
        return;
    }
    if (!j->first[j->depth]) put_text(j, ",");
    if (j->depth > 0) new_line(j);
    j->first[j->depth] = false;
}

void json_out_init(struct json_out *j, int indent,
                   int (*put_piece)(void *, const char *, size_t, struct err *), void *ctx,
                   struct err *e)
{
    *j = (struct json_out){.put = put_piece, .ctx = ctx, .indent = indent, .e = e};
    j->first[0] = true;
}

static void begin(struct json_out *j, const char *bracket)
{
    before(j);
    put_text(j, bracket);
    j->depth++;
    assert(j->depth < (int)COUNT(j->first));
    j->first[j->depth] = true;
}

void json_out_object(struct json_out *j)
{
    begin(j, "{");
}

void json_out_array(struct json_out *j)
{
    begin(j, "[");
}

void json_out_end(struct json_out *j, char closing)
{
    assert(j->depth > 0 && !j->after_key && (closing == '}' || closing == ']'));
    bool empty = j->first[j->depth];
    j->depth--;
    if (!empty) new_line(j);
    put(j, &closing, 1);
}

/* Runs of plain bytes go out whole; only quotes, backslashes, control bytes and invalid UTF-8 are
 * rewritten. U+007F and the C1 controls are legal in JSON and are left alone. */
static void escaped(struct json_out *j, const char *p, size_t n)
{
    size_t from = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int len = str_utf8(p + i, n - i, &cp);
        if (len > 0 && cp >= 0x20 && cp != '"' && cp != '\\') {
            i += (size_t)len;
            continue;
        }
        put(j, p + from, i - from);
        char code[8];
        if (len == 0)
            snprintf(code, sizeof code, "\xef\xbf\xbd"); /* U+FFFD */
        else if (cp == '"' || cp == '\\')
            snprintf(code, sizeof code, "\\%c", (char)cp);
        else if (cp == '\n' || cp == '\t' || cp == '\r')
            snprintf(code, sizeof code, "\\%c", cp == '\n' ? 'n' : cp == '\t' ? 't' : 'r');
        else
            snprintf(code, sizeof code, "\\u%04x", (unsigned)cp);
        put_text(j, code);
        i += 1;
        from = i;
    }
    put(j, p + from, n - from);
}

static void quoted(struct json_out *j, const char *p, size_t n)
{
    put_text(j, "\"");
    escaped(j, p, n);
    put_text(j, "\"");
}

void json_out_key(struct json_out *j, const char *key)
{
    assert(j->depth > 0 && !j->after_key);
    before(j);
    quoted(j, key, strlen(key));
    put_text(j, j->indent > 0 ? ": " : ":");
    j->after_key = true;
}

void json_out_text(struct json_out *j, const char *p, size_t n)
{
    before(j);
    quoted(j, p, n);
}

void json_out_text_open(struct json_out *j)
{
    before(j);
    put_text(j, "\"");
}

void json_out_text_part(struct json_out *j, const char *p, size_t n)
{
    escaped(j, p, n);
}

void json_out_text_close(struct json_out *j)
{
    put_text(j, "\"");
}

void json_out_str(struct json_out *j, const char *nul_terminated)
{
    before(j);
    if (nul_terminated)
        quoted(j, nul_terminated, strlen(nul_terminated));
    else
        put_text(j, "null");
}

void json_out_int(struct json_out *j, int64_t v)
{
    char text[24];
    before(j);
    snprintf(text, sizeof text, "%lld", (long long)v);
    put_text(j, text);
}

void json_out_number(struct json_out *j, double v, int decimals)
{
    char text[48];
    assert(decimals >= 0 && decimals <= 17);
    before(j);
    if (!isfinite(v)) {
        put_text(j, "null");
        return;
    }
    if (fabs(v) >= 1e15) { /* no decimals left in a double, and too long to write out */
        snprintf(text, sizeof text, "%.17g", v);
    } else {
        int n = snprintf(text, sizeof text, "%.*f", decimals, v);
        if (decimals > 0) {
            while (text[n - 1] == '0') n--;
            if (text[n - 1] == '.') n--;
            text[n] = 0;
        }
        if (strcmp(text, "-0") == 0) snprintf(text, sizeof text, "0");
    }
    put_text(j, text);
}

void json_out_figure(struct json_out *j, double v, int digits)
{
    char text[32];
    assert(digits >= 1 && digits <= 17);
    before(j);
    snprintf(text, sizeof text, "%.*g", digits, v == 0 ? 0.0 : v); /* no -0 */
    put_text(j, isfinite(v) ? text : "null");
}

void json_out_bool(struct json_out *j, bool v)
{
    before(j);
    put_text(j, v ? "true" : "false");
}

int json_out_done(struct json_out *j)
{
    assert(j->failed || (j->depth == 0 && !j->after_key));
    put_text(j, "\n");
    return json_out_flush(j);
}
