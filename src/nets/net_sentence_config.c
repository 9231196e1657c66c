/* What kind of encoder a folder holds: config.json as transformers writes it, and what
 * sentence-transformers lays beside it. */
#include "base/json.h"
#include "nets/net_sentence.h"
#include "nets/net_sentence_names.h"
#include <stdio.h>
#include <string.h>

struct reading {
    struct net_sentence_config *c;
    struct err *e;
};

static int bad(const struct reading *r, const char *key, int64_t got, const char *want)
{
    return err_set(r->e, E_MODEL, "config.json: %s is %lld, expected %s", key, (long long)got,
                   want);
}

static int number(const struct reading *r, const struct json *root, const char *key, int64_t least,
                  int64_t most, int *out)
{
    int64_t n = json_int(json_key(root, key), -1);
    if (n < least || n > most) {
        char want[64];
        snprintf(want, sizeof want, "%lld to %lld", (long long)least, (long long)most);
        return bad(r, key, n, want);
    }
    *out = (int)n;
    return 0;
}

static const struct {
    const char *type;
    enum net_sentence_family family;
} families[] = {{"bert", SENTENCE_BERT},
                {"mpnet", SENTENCE_MPNET},
                {"roberta", SENTENCE_ROBERTA},
                {"xlm-roberta", SENTENCE_ROBERTA},
                {"camembert", SENTENCE_ROBERTA}};

/* The row of families for config.json's model_type; COUNT(families) if it is another. */
static size_t family_of(struct str type)
{
    size_t i = 0;
    while (i < COUNT(families) && !str_eq(type, families[i].type)) i++;
    return i;
}

static int read_family(const struct reading *r, const struct json *root)
{
    struct str type = json_text(json_key(root, "model_type"));
    size_t row = family_of(type);
    if (row < COUNT(families)) {
        r->c->family = families[row].family;
        return 0;
    }
    return err_set(r->e, E_MODEL,
                   "config.json: model_type is \"%.*s\"; text is encoded by bert, mpnet, roberta, "
                   "xlm-roberta, camembert",
                   (int)MIN(type.n, (size_t)60), type.n ? type.p : "");
}

static int read_act(const struct reading *r, const struct json *root)
{
    struct str act = json_text(json_key(root, "hidden_act"));
    r->c->act = OP_ACT_GELU;
    if (!act.p || str_eq(act, "gelu")) return 0;
    r->c->act = OP_ACT_RELU;
    if (str_eq(act, "relu")) return 0;
    return err_set(r->e, E_MODEL, "config.json: hidden_act is \"%.*s\", lode knows gelu and relu",
                   (int)MIN(act.n, (size_t)60), act.p);
}

static int read_sizes(const struct reading *r, const struct json *root)
{
    struct net_sentence_config *c = r->c;
    TRY(read_family(r, root));
    TRY(read_act(r, root));
    TRY(number(r, root, "hidden_size", 1, 1 << 14, &c->width));
    TRY(number(r, root, "num_attention_heads", 1, 1 << 10, &c->heads));
    TRY(number(r, root, "num_hidden_layers", 1, 100, &c->layers));
    TRY(number(r, root, "intermediate_size", 1, 1 << 16, &c->ffn));
    TRY(number(r, root, "vocab_size", 1, 1 << 24, &c->vocab));
    TRY(number(r, root, "max_position_embeddings", 1, 1 << 17, &c->positions));
    c->types = c->family == SENTENCE_MPNET ? 0 : 1;
    if (c->types && json_key(root, "type_vocab_size"))
        TRY(number(r, root, "type_vocab_size", 1, 1024, &c->types));
    else if (c->types)
        c->types = 2; /* transformers' default of BERT */
    if (c->width % c->heads) return bad(r, "hidden_size", c->width, "a multiple of the heads");
    struct str kind = json_text(json_key(root, "position_embedding_type"));
    if (kind.p && !str_eq(kind, "absolute"))
        return err_set(r->e, E_MODEL, "config.json: positions are \"%.*s\", lode knows absolute",
                       (int)MIN(kind.n, (size_t)60), kind.p);
    if (json_int(json_key(root, "relative_attention_num_buckets"), 32) != 32)
        return bad(r, "relative_attention_num_buckets",
                   json_int(json_key(root, "relative_attention_num_buckets"), 0), "32");
    /* transformers: a position is one more than the padding's, whose id is 1 in all of these */
    c->position0 = c->family == SENTENCE_BERT ? 0 : 2;
    c->eps = (float)json_number(json_key(root, "layer_norm_eps"), 1e-12);
    if (!(c->eps >= 0 && c->eps < 1)) return bad(r, "layer_norm_eps", (int64_t)c->eps, "0 to 1");
    c->max_tokens = c->positions - c->position0;
    if (c->max_tokens < 1) return bad(r, "max_position_embeddings", c->positions, "more");
    return 0;
}

/* Parsed, if the model has it; *doc stays NULL if not. */
static int open_side(struct arena *a, const struct load_weights *w, enum load_side side,
                     struct json_doc **doc, struct err *e)
{
    struct str text;
    *doc = NULL;
    TRY(load_side(a, w, side, &text, e));
    if (text.n == 0 || json_open(a, text.p, text.n, doc, e) == 0) return 0;
    if (e->code == E_INPUT) e->code = E_MODEL;
    return err_note(e, "%s", load_sides[side].file);
}

static int read_pooling(const struct reading *r, const struct json *root)
{
    static const char mode[] = "pooling_mode_";
    struct str known = json_text(json_key(root, "pooling_mode"));
    bool first = str_eq(known, "cls"), mean = str_eq(known, "mean");
    for (size_t i = 0; i < json_count(root); i++) {
        const struct json *v;
        const char *name = json_name_at(root, i, &v);
        if (!str_starts(name, mode) || !json_bool(v, false)) continue;
        name += sizeof mode - 1;
        if (strcmp(name, "cls_token") == 0)
            first = true;
        else if (strcmp(name, "mean_tokens") == 0)
            mean = true;
        else
            return err_set(r->e, E_MODEL,
                           "1_Pooling/config.json: pools by %.60s; lode knows cls and mean", name);
    }
    if (first == mean)
        return err_set(r->e, E_MODEL, "1_Pooling/config.json: pools by %s; it must be one",
                       first ? "cls and mean" : "nothing");
    r->c->first = first;
    return 0;
}

/* modules.json: a Transformer, a Pooling, perhaps a Normalize. */
static int read_modules(const struct reading *r, const struct json *root)
{
    static const char *const known[] = {"Transformer", "Pooling", "Normalize"};
    for (size_t i = 0; i < json_count(root); i++) {
        struct str type = json_text(json_key(json_at(root, i), "type"));
        bool found = false;
        for (size_t k = 0; k < COUNT(known); k++) {
            size_t n = strlen(known[k]);
            found |= type.n > n && type.p[type.n - n - 1] == '.' &&
                     memcmp(type.p + type.n - n, known[k], n) == 0;
        }
        if (!found)
            return err_set(r->e, E_MODEL,
                           "modules.json: has a module \"%.*s\", which lode does not "
                           "know",
                           (int)MIN(type.n, (size_t)80), type.n ? type.p : "");
    }
    return 0;
}

static int read_limit(const struct reading *r, const struct json *root)
{
    int64_t most = json_int(json_key(root, "max_seq_length"), r->c->max_tokens);
    if (most < 8)
        return err_set(r->e, E_MODEL, "sentence_bert_config.json: max_seq_length is %lld",
                       (long long)most);
    r->c->max_tokens = (int)MIN(most, r->c->max_tokens);
    return 0;
}

static int read_case(const struct reading *r, const struct json *root)
{
    r->c->lower_case = json_bool(json_key(root, "do_lower_case"), true);
    return 0;
}

int net_sentence_config(struct arena *a, const struct load_weights *w,
                        struct net_sentence_config *c, struct err *e)
{
    static int (*const read[LOAD_SIDES])(const struct reading *r,
                                         const struct json *root) = {[LOAD_MODULES] = read_modules,
                                                                     [LOAD_POOLING] = read_pooling,
                                                                     [LOAD_LIMIT] = read_limit,
                                                                     [LOAD_CASE] = read_case};
    struct reading r = {c, e};
    struct json_doc *doc = NULL;
    *c = (struct net_sentence_config){.lower_case = true};
    if (w->config.n == 0) return err_set(e, E_MODEL, "the model has no config.json");
    if (json_open(a, w->config.p, w->config.n, &doc, e)) {
        if (e->code == E_INPUT) e->code = E_MODEL;
        return err_note(e, "config.json");
    }
    int rc = read_sizes(&r, json_root(doc));
    json_close(&doc);
    for (size_t i = 0; rc == 0 && i < LOAD_SIDES; i++) {
        rc = open_side(a, w, (enum load_side)i, &doc, e);
        if (rc == 0 && doc) rc = read[i](&r, json_root(doc));
        json_close(&doc);
    }
    return rc;
}

bool net_sentence_config_known(struct arena *a, const struct load_weights *w)
{
    struct json_doc *doc = NULL;
    struct err ignored;
    if (w->config.n == 0 || json_open(a, w->config.p, w->config.n, &doc, &ignored)) return false;
    bool is = family_of(json_text(json_key(json_root(doc), "model_type"))) < COUNT(families);
    json_close(&doc);
    return is;
}
