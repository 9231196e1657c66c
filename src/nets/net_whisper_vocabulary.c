/* The vocabulary of a Whisper from what its container has, in the form bpe_open takes: the visible
 * spelling of GPT-2, a token per line.
 *
 *     CTranslate2     vocabulary.txt, vocabulary.json: as they are
 *     Hugging Face    vocab.json and added_tokens.json, or tokenizer.json: {token: id, ...} by id
 *     ggml            the ordinary tokens, a line each
 *
 * What the latter two leave out are special tokens, which follow the ordinary ones in a fixed order
 * (openai/whisper tokenizer.py, get_encoding). */
#include "nets/net_language.h"
#include "nets/net_whisper.h"
#include <stdio.h>
#include <string.h>

struct table {
    struct str *token; /* [c->vocab] p is NULL: not known yet */
    const struct net_whisper_config *c;
    struct arena *a;
    struct err *e;
};

static int keep(const struct table *t, struct str s, int64_t id)
{
    if (id < 0 || id >= t->c->vocab)
        return err_set(t->e, E_MODEL, "token %lld of a vocabulary of %d", (long long)id,
                       t->c->vocab);
    if (!str_utf8_whole(s.p, s.n) || (s.n && (memchr(s.p, '\n', s.n) || memchr(s.p, '\r', s.n))))
        return err_set(t->e, E_MODEL, "token %lld is not a word of visible characters",
                       (long long)id);
    char *copy = arena_text(t->a, s.p, s.n, t->e);
    if (!copy) return -1;
    t->token[id] = (struct str){copy, s.n};
    return 0;
}

/* {"!": 0, ...} */
static int take_object(const struct table *t, const struct json *map)
{
    for (size_t i = 0; i < json_count(map); i++) {
        const struct json *v;
        const char *name = json_name_at(map, i, &v);
        TRY(keep(t, str_of(name), json_int(v, -1)));
    }
    return 0;
}

/* tokenizer.json's [{"id": 50257, "content": "<|endoftext|>", ...}, ...] */
static int take_added(const struct table *t, const struct json *list)
{
    for (size_t i = 0; i < json_count(list); i++) {
        const struct json *entry = json_at(list, i);
        TRY(keep(t, json_text(json_key(entry, "content")), json_int(json_key(entry, "id"), -1)));
    }
    return 0;
}

static int take_json(const struct table *t, const char *what, struct str text)
{
    struct json_doc *doc;
    if (json_open(t->a, text.p, text.n, &doc, t->e)) {
        if (t->e->code == E_INPUT) t->e->code = E_MODEL; /* not an input of the user's */
        return err_note(t->e, "%s", what);
    }
    const struct json *root = json_root(doc), *model = json_key(json_key(root, "model"), "vocab");
    int result = json_is_object(model) ? take_object(t, model) : take_object(t, root);
    if (result == 0 && model) result = take_added(t, json_key(root, "added_tokens"));
    json_close(&doc);
    return result ? err_note(t->e, "%s", what) : 0;
}

static int take_lines(const struct table *t, struct str text)
{
    struct str line;
    for (int64_t id = 0; str_line(&text, &line); id++) TRY(keep(t, line, id));
    return 0;
}

static int special(const struct table *t, int id, char *out, size_t cap)
{
    static const char *const after[] = {"translate",   "transcribe", "startoflm",
                                        "startofprev", "nospeech",   "notimestamps"};
    const struct net_whisper_config *c = t->c;
    int language = id - c->language0, task = id - c->translate;
    if (id == c->eot) return snprintf(out, cap, "<|endoftext|>");
    if (id == c->sot) return snprintf(out, cap, "<|startoftranscript|>");
    if (language >= 0 && language < c->n_languages)
        return snprintf(out, cap, "<|%s|>", net_language_code(language));
    if (task >= 0 && task < (int)COUNT(after)) return snprintf(out, cap, "<|%s|>", after[task]);
    return snprintf(out, cap, "<|%.2f|>", (id - c->time0) * WHISPER_TIME_STEP_S);
}

/* The special tokens that nothing has named; then all of them as lines. */
static int finish(const struct table *t, struct str *out)
{
    const struct net_whisper_config *c = t->c;
    size_t bytes = 0;
    for (int id = 0; id < c->vocab; id++) {
        char text[48];
        if (!t->token[id].p && id < c->eot)
            return err_set(t->e, E_MODEL, "the vocabulary has no token %d", id);
        if (!t->token[id].p)
            TRY(keep(t, (struct str){text, (size_t)special(t, id, text, sizeof text)}, id));
        bytes += t->token[id].n + 1;
    }
    char *lines = ARENA_NEW(t->a, char, bytes, t->e);
    if (!lines) return -1;
    *out = (struct str){lines, bytes};
    for (int id = 0; id < c->vocab; id++) {
        memcpy(lines, t->token[id].p, t->token[id].n);
        lines[t->token[id].n] = '\n';
        lines += t->token[id].n + 1;
    }
    return 0;
}

static int compose(struct arena *a, struct load_weights *w, const struct net_whisper_config *c,
                   struct str *out, struct err *e)
{
    struct table t = {.c = c, .a = a, .e = e};
    t.token = ARENA_NEW(a, struct str, (size_t)c->vocab, e);
    if (!t.token) return -1;
    if (w->vocabulary.n == 0) {
        TRY(load_tokenizer(a, w, e));
        if (w->tokenizer.n == 0)
            return err_set(e, E_MODEL,
                           "no vocabulary beside the weights (vocabulary.txt, vocabulary.json, "
                           "vocab.json or tokenizer.json)");
        TRY(take_json(&t, "tokenizer.json", w->tokenizer));
    } else if (w->vocabulary.p[0] == '{') {
        TRY(take_json(&t, "vocab.json", w->vocabulary));
        if (w->added.n) TRY(take_json(&t, "added_tokens.json", w->added));
    } else {
        TRY(take_lines(&t, w->vocabulary));
    }
    return finish(&t, out);
}

/* Lines of the ordinary tokens alone, as ggml has them. */
static bool lacks_special(struct str text, const struct net_whisper_config *c)
{
    struct str line;
    int n = 0;
    while (n <= c->eot && str_line(&text, &line)) n++;
    return n <= c->eot;
}

int net_whisper_vocabulary(struct arena *a, struct load_weights *w,
                           const struct net_whisper_config *c, struct str *out, struct err *e)
{
    struct str have = w->vocabulary;
    bool whole = have.n && have.p[0] != '{' && (have.p[0] == '[' || !lacks_special(have, c));
    *out = have;
    return whole ? 0 : compose(a, w, c, out, e);
}
