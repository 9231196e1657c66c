/* tokenizer.json and vocab.txt -> the steps of tokens_pipe.h. What lode does not know is refused by
 * name: a step left out would give other ids, and nobody would notice. */
#include "text/tokens_pipe.h"
#include <stdio.h>
#include <string.h>

struct reading {
    struct arena *a;
    struct tokens *t;
    struct err *e;
};

static bool is(const struct json *object, const char *type)
{
    return str_eq(json_text(json_key(object, "type")), type);
}

static int unknown_part(const struct reading *r, const char *what, const struct json *object)
{
    struct str type = json_text(json_key(object, "type"));
    if (!type.p) return err_set(r->e, E_MODEL, "its %s has no type", what);
    return err_set(r->e, E_MODEL, "its %s \"%.*s\" is not one that lode knows", what,
                   (int)MIN(type.n, (size_t)60), type.p);
}

static int keep(const struct reading *r, struct str *s)
{
    s->p = arena_text(r->a, s->p ? s->p : "", s->n, r->e);
    return s->p ? 0 : -1;
}

/* ---- normalizer ---- */

static int read_bert_normal(const struct json *n, struct tokens_step *s)
{
    s->kind = NORMAL_BERT;
    s->clean = json_bool(json_key(n, "clean_text"), true);
    s->ideographs = json_bool(json_key(n, "handle_chinese_chars"), true);
    s->lower = json_bool(json_key(n, "lowercase"), true);
    s->accents = json_bool(json_key(n, "strip_accents"), s->lower);
    return 0;
}

static int read_replace(const struct reading *r, const struct json *n, struct tokens_step *s)
{
    const struct json *pattern = json_key(n, "pattern");
    struct str regex = json_text(json_key(pattern, "Regex"));
    s->kind = NORMAL_REPLACE;
    s->pattern = json_text(json_key(pattern, "String"));
    s->content = json_text(json_key(n, "content"));
    if (s->pattern.n == 0 && !str_eq(regex, " {2,}"))
        return err_set(r->e, E_MODEL, "its normalizer replaces \"%.*s\", which lode does not know",
                       (int)MIN(regex.n, (size_t)60), regex.n ? regex.p : "");
    TRY(keep(r, &s->pattern));
    return keep(r, &s->content);
}

static int read_form(const struct json *n, struct tokens_step *s)
{
    static const char *const names[] = {"NFD", "NFC", "NFKD", "NFKC"};
    for (size_t i = 0; i < COUNT(names); i++) {
        if (!is(n, names[i])) continue;
        s->kind = NORMAL_FORM;
        s->form = (enum chars_form)i;
        return 1;
    }
    return 0;
}

static int read_normalizer(const struct reading *r, const struct json *n, int depth)
{
    struct tokens *t = r->t;
    if (!json_is_object(n)) return 0;
    if (is(n, "Sequence") && depth == 0) {
        const struct json *list = json_key(n, "normalizers");
        for (size_t i = 0; i < json_count(list); i++)
            TRY(read_normalizer(r, json_at(list, i), depth + 1));
        return 0;
    }
    if (t->n_steps == TOKENS_STEPS)
        return err_set(r->e, E_MODEL, "its normalizer has more than %d steps", TOKENS_STEPS);
    struct tokens_step *s = &t->step[t->n_steps++];
    if (is(n, "BertNormalizer")) return read_bert_normal(n, s);
    if (is(n, "Replace")) return read_replace(r, n, s);
    if (is(n, "Precompiled")) {
        s->kind = NORMAL_CHARSMAP;
        return charsmap_open(r->a, json_text(json_key(n, "precompiled_charsmap")), &s->charsmap,
                             r->e);
    }
    if (is(n, "Lowercase") || is(n, "StripAccents")) {
        s->kind = is(n, "Lowercase") ? NORMAL_LOWER : NORMAL_ACCENTS;
        return 0;
    }
    if (is(n, "Strip")) {
        s->kind = NORMAL_STRIP;
        s->left = json_bool(json_key(n, "strip_left"), true);
        s->right = json_bool(json_key(n, "strip_right"), true);
        return 0;
    }
    return read_form(n, s) ? 0 : unknown_part(r, "normalizer", n);
}

/* ---- pre_tokenizer ---- */

static int read_metaspace(const struct reading *r, const struct json *p)
{
    struct str scheme = json_text(json_key(p, "prepend_scheme"));
    bool add = json_bool(json_key(p, "add_prefix_space"), true);
    struct str sign = json_text(json_key(p, "replacement"));
    if (!str_eq(sign, "\xE2\x96\x81") || !json_bool(json_key(p, "split"), true))
        return err_set(r->e, E_MODEL, "its pre_tokenizer Metaspace is not the usual one");
    r->t->metaspace = true;
    r->t->prepend = scheme.n == 0             ? (add ? PREPEND_ALWAYS : PREPEND_NEVER)
                    : str_eq(scheme, "never") ? PREPEND_NEVER
                    : str_eq(scheme, "first") ? PREPEND_FIRST
                                              : PREPEND_ALWAYS;
    return 0;
}

static int read_splits(const struct reading *r, const struct json *p, int depth)
{
    struct tokens *t = r->t;
    if (!json_is_object(p)) return 0;
    if (is(p, "Sequence") && depth == 0) {
        const struct json *list = json_key(p, "pretokenizers");
        for (size_t i = 0; i < json_count(list); i++)
            TRY(read_splits(r, json_at(list, i), depth + 1));
        return 0;
    }
    if (is(p, "BertPreTokenizer")) {
        t->split_bert = true;
        return 0;
    }
    if (is(p, "WhitespaceSplit")) {
        t->split_spaces = true;
        return 0;
    }
    if (is(p, "Metaspace")) return read_metaspace(r, p);
    if (is(p, "ByteLevel") && json_bool(json_key(p, "use_regex"), true)) {
        t->prepend =
            json_bool(json_key(p, "add_prefix_space"), true) ? PREPEND_ALWAYS : PREPEND_NEVER;
        return 0;
    }
    return unknown_part(r, "pre_tokenizer", p);
}

/* ---- model ---- */

struct listed { /* a vocabulary as a list */
    struct str *key;
    int32_t *id;
    size_t n;
};

static int new_list(const struct reading *r, size_t n, struct listed *l)
{
    *l =
        (struct listed){ARENA_NEW(r->a, struct str, n, r->e), ARENA_NEW(r->a, int32_t, n, r->e), n};
    return l->key && l->id ? 0 : -1;
}

static int32_t id_of(const struct json *v)
{
    int64_t id = json_int(v, -1);
    return id < 0 || id >= VOCAB_MOST ? -1 : (int32_t)id;
}

/* {"the": 1996, ..}; keys are copied. */
static int read_vocab(const struct reading *r, const struct json *map, struct listed *l)
{
    TRY(new_list(r, json_count(map), l));
    if (l->n == 0) return err_set(r->e, E_MODEL, "its vocabulary is empty");
    for (size_t i = 0; i < l->n; i++) {
        const struct json *value;
        l->key[i] = str_of(json_name_at(map, i, &value));
        l->id[i] = id_of(value);
        if (l->id[i] < 0)
            return err_set(r->e, E_MODEL, "entry %zu of its vocabulary has no id from 0 to %d",
                           i + 1, VOCAB_MOST - 1);
        TRY(keep(r, &l->key[i]));
        r->t->most = MAX(r->t->most, l->id[i] + 1);
    }
    return 0;
}

static int read_wordpiece(const struct reading *r, const struct json *m)
{
    struct listed l;
    struct str prefix = json_text(json_key(m, "continuing_subword_prefix"));
    struct str unknown = json_text(json_key(m, "unk_token"));
    TRY(read_vocab(r, json_key(m, "vocab"), &l));
    r->t->model = MODEL_WORDPIECE;
    return wordpiece_open(r->a, l.key, l.id, l.n, prefix.p ? prefix : str_of("##"),
                          unknown.p ? unknown : str_of("[UNK]"),
                          (int)MIN(json_int(json_key(m, "max_input_chars_per_word"), 100), 1 << 20),
                          &r->t->wordpiece, r->e);
}

/* [["<s>", 0.0], ["the", -3.1], ..] */
static int read_unigram(const struct reading *r, const struct json *m)
{
    const struct json *vocab = json_key(m, "vocab");
    size_t n = json_count(vocab);
    int64_t unknown = json_int(json_key(m, "unk_id"), -1);
    struct str *piece = ARENA_NEW(r->a, struct str, n, r->e);
    double *score = ARENA_NEW(r->a, double, n, r->e);
    if (!piece || !score) return -1;
    for (size_t i = 0; i < n; i++) {
        const struct json *pair = json_at(vocab, i);
        piece[i] = json_text(json_at(pair, 0));
        score[i] = json_number(json_at(pair, 1), 0);
        if (!piece[i].p || !json_is_number(json_at(pair, 1)))
            return err_set(r->e, E_MODEL, "entry %zu of its vocabulary is no piece with a score",
                           i + 1);
    }
    if (unknown >= (int64_t)n)
        return err_set(r->e, E_MODEL, "its unknown token %lld is beyond the %zu of the vocabulary",
                       (long long)unknown, n);
    r->t->model = MODEL_UNIGRAM;
    r->t->most = (int64_t)n;
    return unigram_open(r->a, piece, score, n, (int32_t)MAX(unknown, -1),
                        json_bool(json_key(m, "byte_fallback"), false), &r->t->unigram, r->e);
}

/* bpe.c reads a vocabulary as lines, by id. */
static int read_bpe(const struct reading *r, const struct json *m, struct str text)
{
    struct listed l;
    size_t bytes = 0;
    TRY(read_vocab(r, json_key(m, "vocab"), &l));
    if (r->t->most != (int64_t)l.n)
        return err_set(r->e, E_MODEL, "its vocabulary has %zu entries, but ids up to %lld", l.n,
                       (long long)r->t->most - 1);
    struct str *by_id = ARENA_NEW(r->a, struct str, l.n, r->e);
    if (!by_id) return -1;
    for (size_t i = 0; i < l.n; i++) {
        by_id[l.id[i]] = l.key[i];
        bytes += l.key[i].n + 1;
        if (memchr(l.key[i].p, '\n', l.key[i].n))
            return err_set(r->e, E_MODEL, "token %d of its vocabulary has a line end in it",
                           (int)l.id[i]);
    }
    char *lines = ARENA_NEW(r->a, char, bytes, r->e);
    if (!lines) return -1;
    size_t at = 0;
    for (size_t i = 0; i < l.n; i++) {
        if (by_id[i].n) memcpy(lines + at, by_id[i].p, by_id[i].n);
        at += by_id[i].n;
        lines[at++] = '\n';
    }
    r->t->model = MODEL_BPE;
    TRY(bpe_open(r->a, (struct str){lines, at}, (int64_t)l.n, &r->t->bpe, r->e));
    return bpe_merges(r->a, r->t->bpe, text, r->e);
}

static int read_model(const struct reading *r, const struct json *m, struct str text)
{
    if (is(m, "WordPiece")) return read_wordpiece(r, m);
    if (is(m, "Unigram")) return read_unigram(r, m);
    if (is(m, "BPE")) return read_bpe(r, m, text);
    return unknown_part(r, "model", m);
}

/* ---- added tokens, and what is put around a text ---- */

static int add_added(const struct reading *r, struct tokens_added x)
{
    struct tokens *t = r->t;
    if (x.content.n == 0) return 0;
    TRY(keep(r, &x.content));
    t->added[t->n_added++] = x;
    t->first_byte[x.normalized][(uint8_t)x.content.p[0]] = true;
    t->most = MAX(t->most, x.id + 1);
    return 0;
}

static int read_added(const struct reading *r, const struct json *list)
{
    size_t n = json_count(list);
    if (n > TOKENS_ADDED)
        return err_set(r->e, E_MODEL, "it has %zu added tokens, lode knows %d", n, TOKENS_ADDED);
    r->t->added = ARENA_NEW(r->a, struct tokens_added, n, r->e);
    if (!r->t->added) return -1;
    for (size_t i = 0; i < n; i++) {
        const struct json *x = json_at(list, i);
        struct tokens_added added = {
            .content = json_text(json_key(x, "content")),
            .id = id_of(json_key(x, "id")),
            .special = json_bool(json_key(x, "special"), false),
            .single_word = json_bool(json_key(x, "single_word"), false),
            .lstrip = json_bool(json_key(x, "lstrip"), false),
            .rstrip = json_bool(json_key(x, "rstrip"), false),
            .normalized = json_bool(json_key(x, "normalized"), false),
        };
        if (added.id < 0)
            return err_set(r->e, E_MODEL, "added token %zu has no id from 0 to %d", i + 1,
                           VOCAB_MOST - 1);
        TRY(add_added(r, added));
    }
    return 0;
}

static int add_frame(const struct reading *r, bool after, int32_t id)
{
    struct tokens *t = r->t;
    size_t *n = after ? &t->n_after : &t->n_before;
    if (id < 0) return err_set(r->e, E_MODEL, "its post_processor names a token that has no id");
    if (*n == TOKENS_FRAME)
        return err_set(r->e, E_MODEL, "its post_processor adds more than %d tokens to a side",
                       TOKENS_FRAME);
    (after ? t->after : t->before)[(*n)++] = id;
    t->most = MAX(t->most, id + 1);
    return 0;
}

/* "single": [{"SpecialToken": {"id": "[CLS]"}}, {"Sequence": {"id": "A"}}, ..] */
static int read_template(const struct reading *r, const struct json *p)
{
    const struct json *single = json_key(p, "single"), *special = json_key(p, "special_tokens");
    bool after = false;
    for (size_t i = 0; i < json_count(single); i++) {
        const struct json *part = json_at(single, i);
        after |= json_is_object(json_key(part, "Sequence"));
        struct str name = json_text(json_key(json_key(part, "SpecialToken"), "id"));
        if (!name.p) continue;
        const struct json *ids = NULL, *entry;
        for (size_t k = 0; k < json_count(special); k++) {
            if (str_eq(name, json_name_at(special, k, &entry))) ids = json_key(entry, "ids");
        }
        if (json_count(ids) == 0) TRY(add_frame(r, after, -1));
        for (size_t k = 0; k < json_count(ids); k++)
            TRY(add_frame(r, after, id_of(json_at(ids, k))));
    }
    return 0;
}

static int read_frame(const struct reading *r, const struct json *p, int depth)
{
    if (!json_is_object(p) || is(p, "ByteLevel")) return 0;
    if (is(p, "Sequence") && depth == 0) {
        const struct json *list = json_key(p, "processors");
        for (size_t i = 0; i < json_count(list); i++)
            TRY(read_frame(r, json_at(list, i), depth + 1));
        return 0;
    }
    if (is(p, "TemplateProcessing")) return read_template(r, p);
    if (!is(p, "BertProcessing") && !is(p, "RobertaProcessing"))
        return unknown_part(r, "post_processor", p);
    TRY(add_frame(r, false, id_of(json_at(json_key(p, "cls"), 1))));
    return add_frame(r, true, id_of(json_at(json_key(p, "sep"), 1)));
}

int tokens_read(struct arena *a, const struct json *root, struct str text, struct tokens *t,
                struct err *e)
{
    struct reading r = {a, t, e};
    TRY(read_normalizer(&r, json_key(root, "normalizer"), 0));
    TRY(read_splits(&r, json_key(root, "pre_tokenizer"), 0));
    TRY(read_model(&r, json_key(root, "model"), text));
    TRY(read_added(&r, json_key(root, "added_tokens")));
    return read_frame(&r, json_key(root, "post_processor"), 0);
}

/* ---- vocab.txt ---- */

/* transformers BertTokenizer: these are special, and [CLS] and [SEP] stand around a text. */
static int add_bert_specials(const struct reading *r, const struct wordpiece *w)
{
    static const char *const names[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    r->t->added = ARENA_NEW(r->a, struct tokens_added, COUNT(names), r->e);
    if (!r->t->added) return -1;
    for (size_t i = 0; i < COUNT(names); i++) {
        int32_t id = vocab_find(&w->begin, str_of(names[i]));
        if (id >= 0)
            TRY(add_added(
                r, (struct tokens_added){.content = str_of(names[i]), .id = id, .special = true}));
    }
    TRY(add_frame(r, false, vocab_find(&w->begin, str_of("[CLS]"))));
    return add_frame(r, true, vocab_find(&w->begin, str_of("[SEP]")));
}

int tokens_read_lines(struct arena *a, struct str vocab, bool lower, struct tokens *t,
                      struct err *e)
{
    struct reading r = {a, t, e};
    struct listed l;
    struct str rest = vocab, line;
    size_t n = 0;
    while (str_line(&rest, &line)) n++;
    if (n > VOCAB_MOST)
        return err_set(e, E_MODEL, "vocab.txt has %zu lines, at most %d can be right", n,
                       VOCAB_MOST);
    TRY(new_list(&r, n, &l));
    for (n = 0, rest = vocab; str_line(&rest, &line); n++) {
        l.key[n] = line;
        l.id[n] = (int32_t)n;
        if (!str_utf8_whole(line.p, line.n))
            return err_set(e, E_MODEL, "line %zu of vocab.txt is not UTF-8", n + 1);
        TRY(keep(&r, &l.key[n]));
    }
    t->most = (int64_t)n;
    t->step[t->n_steps++] = (struct tokens_step){
        .kind = NORMAL_BERT, .clean = true, .ideographs = true, .accents = lower, .lower = lower};
    t->split_bert = true;
    t->model = MODEL_WORDPIECE;
    if (wordpiece_open(a, l.key, l.id, l.n, str_of("##"), str_of("[UNK]"), 100, &t->wordpiece, e))
        return err_note(e, "vocab.txt");
    return add_bert_specials(&r, &t->wordpiece);
}
