#include "doctor/cases.h"
#include <stdio.h>
#include <string.h>

__asm__(".pushsection .rodata\n"
        "cases_begin:\n"
        ".incbin \"src/doctor/cases.txt\"\n"
        "cases_end:\n"
        ".byte 0\n"
        ".popsection\n");
extern const char cases_begin[], cases_end[];

enum { DEPTH = 8 }; /* of "like" */

struct str cases_text(void)
{
    return (struct str){cases_begin, (size_t)(cases_end - cases_begin)};
}

/* A line that tells something of a case, not a fact of the machine. */
static bool about(struct str line, struct cases_row *out, char like[64])
{
    struct {
        const char *key;
        char *to;
        size_t room;
    } keys[] = {{"title", out->title, sizeof out->title}, {"from", out->from, sizeof out->from},
                {"fake", out->fake, sizeof out->fake},    {"find", out->find, sizeof out->find},
                {"cure", out->cure, sizeof out->cure},    {"like", like, 64}};
    for (size_t i = 0; i < COUNT(keys); i++) {
        size_t n = strlen(keys[i].key);
        if (line.n <= n + 3 || memcmp(line.p, keys[i].key, n) != 0 ||
            memcmp(line.p + n, " = ", 3) != 0)
            continue;
        snprintf(keys[i].to, keys[i].room, "%.*s", (int)MIN(line.n - n - 3, keys[i].room - 1),
                 line.p + n + 3);
        return true;
    }
    uint64_t status;
    if (line.n > 7 && memcmp(line.p, "exit = ", 7) == 0 &&
        str_uint((struct str){line.p + 7, line.n - 7}, 3, &status)) {
        out->exit = (int)status;
        return true;
    }
    return false;
}

static bool heading(struct str line, char name[64])
{
    if (line.n < 3 || line.n > 60 || line.p[0] != '[' || line.p[line.n - 1] != ']') return false;
    snprintf(name, 64, "%.*s", (int)line.n - 2, line.p + 1);
    return true;
}

bool cases_next(struct str *rest, struct cases_row *out)
{
    struct str line, before = *rest;
    bool begun = false;
    char name[64], like[64];
    *out = (struct cases_row){.exit = -1};
    while (str_line(rest, &line)) {
        if (heading(line, name)) {
            if (begun) {
                *rest = before;
                return true;
            }
            begun = true;
            memcpy(out->name, name, sizeof name);
        } else if (begun) {
            about(line, out, like);
        }
        before = *rest;
    }
    return begun;
}

static int missing(struct str text, const char *name, struct err *e)
{
    const char *names[256];
    static const size_t most = COUNT(names);
    char memory[256][64];
    struct cases_row row;
    size_t n = 0;
    while (n < most && cases_next(&text, &row)) {
        memcpy(memory[n], row.name, sizeof row.name);
        names[n] = memory[n];
        n++;
    }
    const char *near = str_nearest(name, names, n);
    return err_set(e, E_USAGE, "there is no case \"%.60s\"%s%s%s; `--as list` prints all %zu", name,
                   near ? ", did you mean \"" : "", near ? near : "", near ? "\"" : "", n);
}

static int fill(struct str text, const char *name, int depth, struct facts *f,
                struct cases_row *out, struct err *e)
{
    struct str rest = text, line;
    bool inside = !*name, found = inside, liked = false;
    char title[64];
    while (str_line(&rest, &line)) {
        char like[64] = "";
        if (heading(line, title)) {
            inside = strcmp(title, name) == 0;
            found |= inside;
            continue;
        }
        if (!inside || line.n == 0 || line.p[0] == '#') continue;
        if (line.n > 2 && line.p[0] == '-' && line.p[1] == ' ') {
            char pattern[300];
            snprintf(pattern, sizeof pattern, "%.*s", (int)MIN(line.n - 2, sizeof pattern - 1),
                     line.p + 2);
            facts_drop(f, pattern);
        } else if (!about(line, out, like)) {
            facts_line(f, line);
        } else if (*like && !liked) { /* one each: many would take for ever */
            liked = true;
            if (depth == DEPTH) return err_set(e, E_INPUT, "case %s: like goes in circles", name);
            TRY(fill(text, like, depth + 1, f, out, e));
        }
    }
    return found ? 0 : missing(text, name, e);
}

int cases_facts(struct str text, const char *name, struct facts *f, struct cases_row *out,
                struct err *e)
{
    *out = (struct cases_row){.exit = -1};
    TRY(fill(text, name, 0, f, out, e));
    snprintf(out->name, sizeof out->name, "%s", name);
    return f->failed ? -1 : 0;
}

/* text with ~ for the home folder. */
static void put_homeless(struct strbuf *b, const char *text, const char *home)
{
    size_t n = home ? strlen(home) : 0;
    while (*text) {
        bool here = n > 1 && strncmp(text, home, n) == 0;
        strbuf_add(b, here ? "~" : text, 1);
        text += here ? n : 1;
    }
}

int cases_write(const struct facts *f, const char *home,
                int (*put)(void *ctx, const char *p, size_t n, struct err *e), void *ctx,
                struct err *e)
{
    char line[FACTS_VALUE + 600];
    struct strbuf b;
    for (size_t i = 0; i < f->n; i++) {
        if (facts_glob("is *|* boot|* container", f->row[i].key)) continue;
        strbuf_init(&b, line, sizeof line);
        put_homeless(&b, f->row[i].key, home);
        strbuf_text(&b, " = ");
        put_homeless(&b, f->row[i].value, home);
        strbuf_text(&b, "\n");
        TRY(put(ctx, b.p, b.n, e));
    }
    return 0;
}
