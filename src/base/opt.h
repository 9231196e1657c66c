/* Options as rows. From one table come parsing, defaults, ranges, help text, the man page, later
 * HTTP parameters and the web form.
 * `--beam-size 5`, `--beam-size=5`, `--beam_size 5` and, where a letter is given, `-b 5` / `-b5`
 * mean the same. A boolean takes no value on the command line but `--NAME=true|false|1|0` and, as
 * openai's programs have it, `--NAME True|False`; `--no-NAME` sets it false. */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include "base/arena.h"
#include "base/json.h"

enum opt_type { OPT_BOOL, OPT_INT, OPT_NUMBER, OPT_TEXT, OPT_CHOICE };

struct opt_row {
    const char *name; /* "beam-size"; a row whose name is NULL is a heading, its help the title */
    char letter;      /* 'b', or 0 */
    enum opt_type type;
    size_t offset; /* of the field: bool, int64_t, double, const char *, int (index into choices) */
    double min, max;      /* INT and NUMBER: inclusive */
    const char *fallback; /* default as text, as a user would type it; NULL: 0 / false / NULL */
    const char *choices;  /* CHOICE: "auto|cpu|cuda" */
    const char *value;    /* what help calls the value: "N", "FILE" */
    const char *help;     /* one or two sentences */
    const char *alias;    /* other accepted names, '|' separated, or NULL */
};

struct opt_list { /* words that are not options, in order; borrowed from argv */
    const char **words;
    size_t n;
    const bool *given; /* [rows]: the option was there, whatever its value */
};

/* opt_defaults: fills *opts from the rows' fallbacks (asserted to be valid). */
void opt_defaults(const struct opt_row *rows, size_t n, void *opts);

/* opt_parse: argv[0..argc) after the command's name. "--" ends the options; "-" is an input. Values
 * of OPT_TEXT stay borrowed from argv. Errors: E_USAGE naming the option, what was given, what is
 * allowed, and the nearest name. */
int opt_parse(struct arena *a, const struct opt_row *rows, size_t n, int argc, char *const *argv,
              void *opts, struct opt_list *inputs, struct err *e);

/* opt_set: one option by name, from any source. `text` must outlive opts for OPT_TEXT. */
int opt_set(const struct opt_row *rows, size_t n, const char *name, const char *text, void *opts,
            struct err *e);

/* opt_find: the row of that name, which must be there. */
const struct opt_row *opt_find(const struct opt_row *rows, size_t n, const char *name);

/* opt_word: cuts the next word off a list such as choices; false at the end. */
bool opt_word(const char **list, struct str *word);
/* opt_choice: the text of a CHOICE field's present value, copied into buf. */
const char *opt_choice(const struct opt_row *row, int index, char *buf, size_t cap);

/* opt_help: the option part of a help page, 100 columns. opt_man: the same as man page source (.TP
 * blocks). */
void opt_help(const struct opt_row *rows, size_t n, struct strbuf *out);
void opt_man(const struct opt_row *rows, size_t n, struct strbuf *out);
/* opt_roff: a text as man page source, where '-' is a hyphen, '\' an escape, a line may not begin
 * with
 * '.' or '\'', and only ASCII is read. */
void opt_roff(const char *p, size_t n, struct strbuf *out);

/* opt_json: the present values as members of the object j is inside of; "beam-size" is the member
 * "beam_size". */
void opt_json(const struct opt_row *rows, size_t n, const void *opts, struct json_out *j);

#endif
