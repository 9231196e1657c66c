#include "base/opt.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MOST = 64, NAMES_MOST = 256, WIDTH = 100 };

/* Does the option on the command line mean this name? '_' and '-' are the same. */
static bool same(const char *name, size_t n, const char *word, size_t m)
{
    if (n != m) return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] != (word[i] == '_' ? '-' : word[i])) return false;
    return n > 0;
}

bool opt_word(const char **list, struct str *word)
{
    if (!*list || **list == 0) return false;
    size_t n = strcspn(*list, "|");
    *word = (struct str){*list, n};
    *list += n + ((*list)[n] == '|');
    return true;
}

static bool answers(const struct opt_row *row, const char *word, size_t n)
{
    if (!row->name) return false;
    if (same(row->name, strlen(row->name), word, n)) return true;
    const char *aliases = row->alias;
    struct str alias;
    while (opt_word(&aliases, &alias))
        if (same(alias.p, alias.n, word, n)) return true;
    return false;
}

static const struct opt_row *find(const struct opt_row *rows, size_t n, struct str word)
{
    for (size_t i = 0; i < n; i++)
        if (answers(&rows[i], word.p, word.n)) return &rows[i];
    return NULL;
}

const struct opt_row *opt_find(const struct opt_row *rows, size_t n, const char *name)
{
    const struct opt_row *row = find(rows, n, str_of(name));
    assert(row);
    return row;
}

static const struct opt_row *find_letter(const struct opt_row *rows, size_t n, char letter)
{
    for (size_t i = 0; i < n; i++)
        if (rows[i].name && rows[i].letter == letter && letter != 0) return &rows[i];
    return NULL;
}

static int unknown(const struct opt_row *rows, size_t n, struct str word, struct err *e)
{
    const char *names[NAMES_MOST];
    size_t count = 0;
    for (size_t i = 0; i < n && count < NAMES_MOST; i++)
        if (rows[i].name) names[count++] = rows[i].name;
    char text[NAME_MOST];
    snprintf(text, sizeof text, "%.*s", (int)MIN(word.n, sizeof text - 1), word.p);
    const char *near = str_nearest(text, names, count);
    if (near) return err_set(e, E_USAGE, "unknown option --%s, did you mean --%s?", text, near);
    return err_set(e, E_USAGE, "unknown option --%s", text);
}

static bool read_bool(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < COUNT(words); i++) {
        if (strcmp(text, words[i]) != 0) continue;
        *out = i % 2;
        return true;
    }
    return false;
}

static int set_choice(const struct opt_row *row, const char *text, int *out, struct err *e)
{
    const char *list = row->choices;
    struct str word;
    for (int i = 0; opt_word(&list, &word); i++) {
        if (!str_eq(word, text)) continue;
        *out = i;
        return 0;
    }
    /* The nearest of the choices: each is copied out of the list, for str_nearest wants C strings.
     */
    char copies[32][NAME_MOST];
    const char *names[COUNT(copies)];
    size_t n = 0;
    list = row->choices;
    while (n < COUNT(copies) && opt_word(&list, &word)) {
        snprintf(copies[n], sizeof copies[n], "%.*s", (int)word.n, word.p);
        names[n] = copies[n];
        n++;
    }
    const char *near = str_nearest(text, names, n);
    char shown[400];
    struct strbuf b;
    strbuf_init(&b, shown, sizeof shown);
    list = row->choices;
    while (opt_word(&list, &word))
        strbuf_format(&b, "%s%.*s", b.n > 0 ? ", " : "", (int)word.n, word.p);
    return err_set(e, E_USAGE, "--%s is one of %s, not \"%s\"%s%s%s", row->name, shown, text,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int set_number(const struct opt_row *row, const char *text, double *out, struct err *e)
{
    bool whole = row->type == OPT_INT;
    double v;
    if (!str_double(text, &v) || (whole && (floor(v) != v || fabs(v) > 0x1p53)))
        return err_set(e, E_USAGE, "--%s takes a %s, not \"%s\"", row->name,
                       whole ? "whole number" : "number", text);
    if (v < row->min || v > row->max)
        return err_set(e, E_USAGE, "--%s is %.10g to %.10g, not %s", row->name, row->min, row->max,
                       text);
    *out = v;
    return 0;
}

/* One value from text into the field; the caller has found the row. */
static int set(const struct opt_row *row, const char *text, void *opts, struct err *e)
{
    void *field = (char *)opts + row->offset;
    double v;
    switch (row->type) {
    case OPT_BOOL:
        if (read_bool(text, field)) return 0;
        return err_set(e, E_USAGE, "--%s is true or false, not \"%s\"", row->name, text);
    case OPT_INT:
        TRY(set_number(row, text, &v, e));
        *(int64_t *)field = (int64_t)v;
        return 0;
    case OPT_NUMBER:
        TRY(set_number(row, text, &v, e));
        *(double *)field = v;
        return 0;
    case OPT_TEXT:
        *(const char **)field = text;
        return 0;
    case OPT_CHOICE:
        return set_choice(row, text, field, e);
    }
    assert(!"an option type without a case");
    return -1;
}

void opt_defaults(const struct opt_row *rows, size_t n, void *opts)
{
    for (size_t i = 0; i < n; i++) {
        const struct opt_row *row = &rows[i];
        if (!row->name) continue;
        assert(strlen(row->name) < NAME_MOST);
        void *field = (char *)opts + row->offset;
        struct err e;
        if (row->fallback) {
            int status = set(row, row->fallback, opts, &e);
            assert(status == 0);
            (void)status;
        } else if (row->type == OPT_BOOL) {
            *(bool *)field = false;
        } else if (row->type == OPT_INT) {
            *(int64_t *)field = 0;
        } else if (row->type == OPT_NUMBER) {
            *(double *)field = 0;
        } else if (row->type == OPT_TEXT) {
            *(const char **)field = NULL;
        } else {
            *(int *)field = 0;
        }
    }
}

int opt_set(const struct opt_row *rows, size_t n, const char *name, const char *text, void *opts,
            struct err *e)
{
    const struct opt_row *row = find(rows, n, str_of(name));
    if (!row) return unknown(rows, n, str_of(name), e);
    return set(row, text, opts, e);
}

struct parse { /* what one opt_parse carries along */
    const struct opt_row *rows;
    size_t n;
    int argc, at;
    char *const *argv;
    void *opts;
    bool *given; /* [n] */
    struct err *e;
};

/* The value of `row`: what stands behind '=' or the letter, else the next word. */
static int take_value(struct parse *p, const struct opt_row *row, const char *attached)
{
    if (attached) return set(row, attached, p->opts, p->e);
    if (p->at >= p->argc)
        return err_set(p->e, E_USAGE, "--%s needs a value%s%s", row->name, row->value ? ": " : "",
                       row->value ? row->value : "");
    return set(row, p->argv[p->at++], p->opts, p->e);
}

static int take_long(struct parse *p, const char *word)
{
    size_t length = strcspn(word, "=");
    struct str name = {word, length};
    const char *value = word[length] == '=' ? word + length + 1 : NULL;
    const struct opt_row *row = find(p->rows, p->n, name);
    bool truth = true;
    if (!row && length > 3 && strncmp(word, "no", 2) == 0 && (word[2] == '-' || word[2] == '_')) {
        row = find(p->rows, p->n, (struct str){word + 3, length - 3});
        if (row && row->type != OPT_BOOL) row = NULL;
        truth = false;
    }
    if (!row) return unknown(p->rows, p->n, name, p->e);
    p->given[row - p->rows] = true;
    if (row->type != OPT_BOOL) return take_value(p, row, value);
    if (value && !truth)
        return err_set(p->e, E_USAGE, "--no-%s takes no value, here \"%s\"", row->name, value);
    /* openai's program writes booleans as Python does; no file is likely to have such a name */
    const char *next = p->at < p->argc ? p->argv[p->at] : "";
    if (!value && truth && (strcmp(next, "True") == 0 || strcmp(next, "False") == 0)) {
        truth = strcmp(next, "True") == 0;
        p->at++;
    }
    if (value) return set(row, value, p->opts, p->e);
    *(bool *)((char *)p->opts + row->offset) = truth;
    return 0;
}

/* "-b5", "-b 5", "-v", and booleans in one word: "-vq". */
static int take_letters(struct parse *p, const char *word)
{
    for (; *word; word++) {
        const struct opt_row *row = find_letter(p->rows, p->n, *word);
        if (!row) return err_set(p->e, E_USAGE, "unknown option -%.*s", 1, word);
        p->given[row - p->rows] = true;
        if (row->type != OPT_BOOL) return take_value(p, row, word[1] ? word + 1 : NULL);
        *(bool *)((char *)p->opts + row->offset) = true;
    }
    return 0;
}

int opt_parse(struct arena *a, const struct opt_row *rows, size_t n, int argc, char *const *argv,
              void *opts, struct opt_list *inputs, struct err *e)
{
    *inputs = (struct opt_list){0};
    inputs->words = ARENA_NEW(a, const char *, (size_t)MAX(argc, 1), e);
    bool *given = ARENA_NEW(a, bool, MAX(n, 1), e);
    if (!inputs->words || !given) return -1;
    inputs->given = given;
    struct parse p = {rows, n, argc, 0, argv, opts, given, e};
    bool only_words = false;
    while (p.at < argc) {
        const char *word = argv[p.at++];
        if (only_words || word[0] != '-' || word[1] == 0)
            inputs->words[inputs->n++] = word;
        else if (strcmp(word, "--") == 0)
            only_words = true;
        else if (word[1] == '-')
            TRY(take_long(&p, word + 2));
        else
            TRY(take_letters(&p, word + 1));
    }
    return 0;
}

const char *opt_choice(const struct opt_row *row, int index, char *buf, size_t cap)
{
    assert(row->type == OPT_CHOICE);
    const char *list = row->choices;
    struct str word;
    for (int i = 0; opt_word(&list, &word); i++)
        if (i == index) {
            snprintf(buf, cap, "%.*s", (int)word.n, word.p);
            return buf;
        }
    assert(!"a choice out of range");
    return NULL;
}

/* "-b, --beam-size N" */
static void spell(const struct opt_row *row, char *text, size_t cap)
{
    struct strbuf b;
    strbuf_init(&b, text, cap);
    if (row->letter) strbuf_format(&b, "-%c, ", row->letter);
    strbuf_format(&b, "--%s", row->name);
    if (row->type == OPT_BOOL) return;
    strbuf_format(&b, " %s", row->value ? row->value : row->choices ? row->choices : "N");
}

/* What is allowed and what holds when nothing is said: " (1 to 64; default 5)". */
static void limits(const struct opt_row *row, struct strbuf *b)
{
    bool range = row->type == OPT_INT || row->type == OPT_NUMBER;
    bool choice = row->type == OPT_CHOICE && row->value;
    bool from = range && fabs(row->min) < 1e9, to = range && fabs(row->max) < 1e9;
    const char *fallback = row->fallback;
    if (row->type == OPT_BOOL) fallback = fallback && strcmp(fallback, "true") == 0 ? "on" : NULL;
    if (!from && !to && !choice && !fallback) return;
    strbuf_text(b, " (");
    if (from && to)
        strbuf_format(b, "%.10g to %.10g", row->min, row->max);
    else if (from)
        strbuf_format(b, "%.10g or more", row->min);
    else if (to)
        strbuf_format(b, "at most %.10g", row->max);
    else if (choice)
        strbuf_text(b, row->choices);
    if (fallback)
        strbuf_format(b, "%sdefault %s", from || to || choice ? "; " : "",
                      *fallback ? fallback : "none");
    strbuf_text(b, ")");
}

/* Words of `text` in lines from column `left` to WIDTH. */
static void wrap(struct strbuf *out, const char *text, size_t left)
{
    size_t column = left;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (column > left && column + 1 + n > WIDTH) {
            strbuf_format(out, "\n%*s", (int)left, "");
            column = left;
        } else if (column > left) {
            strbuf_text(out, " ");
            column++;
        }
        strbuf_add(out, text, n);
        column += n;
        text += n + strspn(text + n, " ");
    }
    strbuf_text(out, "\n");
}

void opt_help(const struct opt_row *rows, size_t n, struct strbuf *out)
{
    enum { LEFT = 32 };
    for (size_t i = 0; i < n; i++) {
        const struct opt_row *row = &rows[i];
        if (!row->name) {
            strbuf_format(out, "%s%s:\n", i > 0 ? "\n" : "", row->help);
            continue;
        }
        char name[200], text[1000];
        spell(row, name, sizeof name);
        struct strbuf b;
        strbuf_init(&b, text, sizeof text);
        strbuf_text(&b, row->help);
        limits(row, &b);
        int indent = row->letter ? 2 : 6; /* so that all the "--" stand in one column */
        int used = indent + (int)strlen(name);
        strbuf_format(out, "%*s%s", indent, "", name);
        if (used + 2 > LEFT)
            strbuf_format(out, "\n%*s", LEFT, "");
        else
            strbuf_format(out, "%*s", LEFT - used, "");
        wrap(out, text, LEFT);
    }
}

void opt_roff(const char *p, size_t n, struct strbuf *out)
{
    if (n > 0 && (*p == '.' || *p == '\'')) strbuf_text(out, "\\&");
    uint32_t rune;
    for (size_t i = 0, length; i < n; i += length) {
        length = (size_t)MAX(1, str_utf8(p + i, n - i, &rune));
        if (length > 1)
            strbuf_format(out, "\\[u%04X]", (unsigned)rune);
        else if (p[i] == '-')
            strbuf_text(out, "\\-");
        else if (p[i] == '\\')
            strbuf_text(out, "\\e");
        else
            strbuf_add(out, p + i, 1);
    }
}

static void man_text(struct strbuf *out, const char *text)
{
    opt_roff(text, strlen(text), out);
}

void opt_man(const struct opt_row *rows, size_t n, struct strbuf *out)
{
    for (size_t i = 0; i < n; i++) {
        const struct opt_row *row = &rows[i];
        char text[1000];
        struct strbuf b;
        if (!row->name) {
            strbuf_text(out, ".SS ");
            man_text(out, row->help);
            strbuf_text(out, "\n");
            continue;
        }
        strbuf_text(out, ".TP\n.B ");
        spell(row, text, sizeof text);
        man_text(out, text);
        strbuf_text(out, "\n");
        strbuf_init(&b, text, sizeof text);
        strbuf_text(&b, row->help);
        limits(row, &b);
        man_text(out, text);
        strbuf_text(out, "\n");
    }
}

void opt_json(const struct opt_row *rows, size_t n, const void *opts, struct json_out *j)
{
    for (size_t i = 0; i < n; i++) {
        const struct opt_row *row = &rows[i];
        if (!row->name) continue;
        const void *field = (const char *)opts + row->offset;
        char buf[NAME_MOST], key[NAME_MOST];
        snprintf(key, sizeof key, "%s", row->name);
        for (char *c = key; *c; c++)
            if (*c == '-') *c = '_';
        json_out_key(j, key);
        switch (row->type) {
        case OPT_BOOL:
            json_out_bool(j, *(const bool *)field);
            break;
        case OPT_INT:
            json_out_int(j, *(const int64_t *)field);
            break;
        case OPT_NUMBER:
            json_out_figure(j, *(const double *)field, 15);
            break;
        case OPT_TEXT:
            json_out_str(j, *(const char *const *)field);
            break;
        case OPT_CHOICE:
            json_out_str(j, opt_choice(row, *(const int *)field, buf, sizeof buf));
            break;
        }
    }
}
