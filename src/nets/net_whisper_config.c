/* What kind of Whisper a file holds: sizes by the shapes of its weights, the rest by the texts that
 * came with it: config.json of CTranslate2 or Hugging Face, generation_config.json, ggml's header.
 * The shapes are the truth; a text that says otherwise is refused, for it belongs to another model.
 */
#include "nets/net_whisper.h"
#include "nets/net_whisper_names.h"
#include <stdio.h>
#include <string.h>

struct reading {
    struct arena *a;
    const struct load_weights *w;
    struct net_whisper_config *c;
    struct err *e;
};

static int dimension(const struct reading *r, const char *name, int rank, int which, int most,
                     int *out)
{
    struct tensor part[PLAN_PARTS];
    struct err why;
    err_clear(&why);
    if (net_whisper_names_find(r->a, r->w, name, part, &why) < 0)
        return err_set(r->e, E_MODEL, "this is not a Whisper model: %s", why.text);
    if (part[0].rank != rank)
        return err_set(r->e, E_MODEL, "tensor %s is of rank %d, expected %d", name, part[0].rank,
                       rank);
    if (part[0].dim[which] < 1 || part[0].dim[which] > most) {
        return err_set(r->e, E_MODEL, "dimension %d of %s is %lld, expected 1 to %d", which, name,
                       (long long)part[0].dim[which], most);
    }
    *out = (int)part[0].dim[which];
    return 0;
}

static int count_layers(const struct load_weights *w, const char *side)
{
    char name[64];
    int n = 0;
    for (; n < 256; n++) {
        snprintf(name, sizeof name, "%s/layer_%d/ffn/linear_0/weight", side, n);
        if (!net_whisper_names_has(w, name)) break;
    }
    return n;
}

static int read_shapes(const struct reading *r)
{
    struct net_whisper_config *c = r->c;
    TRY(dimension(r, "encoder/conv1/weight", 3, 0, 8192, &c->width));
    TRY(dimension(r, "encoder/conv1/weight", 3, 1, 256, &c->n_mels));
    TRY(dimension(r, "encoder/position_encodings/encodings", 2, 0, 3000, &c->audio_ctx));
    TRY(dimension(r, "decoder/position_encodings/encodings", 2, 0, 4096, &c->text_ctx));
    TRY(dimension(r, "decoder/embeddings/weight", 2, 0, 1 << 20, &c->vocab));
    TRY(dimension(r, "encoder/layer_0/ffn/linear_0/weight", 2, 0, 1 << 16, &c->ffn));
    c->encoder_layers = count_layers(r->w, "encoder");
    c->decoder_layers = count_layers(r->w, "decoder");
    if (c->width % WHISPER_HEAD || !c->encoder_layers || !c->decoder_layers) {
        return err_set(r->e, E_MODEL,
                       "%d channels, %d encoder and %d decoder layers do not make a Whisper",
                       c->width, c->encoder_layers, c->decoder_layers);
    }
    c->heads = c->width / WHISPER_HEAD;
    return 0;
}

/* The matrix of the output is that of the embeddings in every Whisper; a file may hold it twice. */
static int check_tied(const struct reading *r)
{
    static const char *const names[] = {"decoder/projection/weight", "proj_out.weight"};
    struct tensor table[PLAN_PARTS];
    if (net_whisper_names_find(r->a, r->w, "decoder/embeddings/weight", table, r->e) < 0) return -1;
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct load_tensor *own = load_find(r->w, names[i]);
        if (!own || own->t.data == table[0].data) continue;
        bool same = own->t.type == table[0].type && own->t.rank == 2 &&
                    own->t.dim[0] == table[0].dim[0] && own->t.dim[1] == table[0].dim[1];
        if (!same || memcmp(own->t.data, table[0].data, own->bytes) != 0)
            return err_set(r->e, E_MODEL,
                           "tensor %s differs from the embeddings, which no Whisper has", names[i]);
    }
    return 0;
}

/* CTranslate2 says which network it is, and in which revision of its specification. */
static int check_spec(const struct reading *r)
{
    if (strcmp(r->w->format, "ctranslate2") != 0) return 0;
    if (strcmp(r->w->spec, "WhisperSpec") != 0)
        return err_set(r->e, E_MODEL, "this is not a Whisper model: its specification is %.100s",
                       r->w->spec);
    if (r->w->revision > 3)
        return err_set(
            r->e, E_MODEL,
            "revision %u of the specification WhisperSpec is newer than 3, the last known",
            r->w->revision);
    return 0;
}

/* What a JSON value is, in words, in buf [n]. */
static const char *describe(const struct json *v, char *buf, size_t n)
{
    struct str text = json_text(v);
    if (json_is_text(v))
        snprintf(buf, n, "the text \"%.*s\"", (int)MIN(text.n, (size_t)40), text.p);
    else if (json_is_number(v))
        snprintf(buf, n, "the number %.17g", json_number(v, 0));
    else if (json_is_array(v))
        snprintf(buf, n, "a list of %zu", json_count(v));
    else if (json_is_object(v))
        snprintf(buf, n, "an object of %zu", json_count(v));
    else if (json_is_bool(v))
        snprintf(buf, n, "%s", json_bool(v, false) ? "true" : "false");
    else
        snprintf(buf, n, "nothing");
    return buf;
}

enum kind { NUMBER, ARRAY, OBJECT };

/* What stands in a text under a key: NULL if it says nothing (null is nothing, too). A value of
 * another kind is a damaged text, not one to be passed over. */
static int look_up(const struct reading *r, const struct json *object, const char *key,
                   enum kind kind, const struct json **out)
{
    static const char *const names[] = {"a number", "a list", "an object"};
    const struct json *v = json_key(object, key);
    char found[80];
    bool said = json_is_number(v) || json_is_text(v) || json_is_array(v) || json_is_object(v) ||
                json_is_bool(v);
    bool fits = kind == NUMBER  ? json_is_number(v)
                : kind == ARRAY ? json_is_array(v)
                                : json_is_object(v);
    *out = fits ? v : NULL;
    if (fits || !said) return 0;
    return err_set(r->e, E_MODEL, "\"%s\" is %s; %s is needed", key,
                   describe(v, found, sizeof found), names[kind]);
}

/* A size a text may give, under its name there. */
static int agree(const struct reading *r, const struct json *object, const char *key, int64_t want)
{
    const struct json *v;
    TRY(look_up(r, object, key, NUMBER, &v));
    if (!v || json_int(v, -1) == want) return 0;
    return err_set(r->e, E_MODEL, "%s is %g in its config, by its weights it must be %lld", key,
                   json_number(v, 0), (long long)want);
}

/* Numbers of tokens; those the vocabulary does not have say nothing. */
static int read_suppress(const struct reading *r, const struct json *text, const char *key)
{
    struct net_whisper_config *c = r->c;
    const struct json *list;
    TRY(look_up(r, text, key, ARRAY, &list));
    bool first = c->n_suppress == 0;
    char found[80];
    for (size_t i = 0; i < json_count(list); i++) {
        int64_t id = json_int(json_at(list, i), INT64_MIN);
        if (id == INT64_MIN)
            return err_set(r->e, E_MODEL, "\"%s\" holds %s; numbers of tokens are needed", key,
                           describe(json_at(list, i), found, sizeof found));
        if (first && id >= 0 && id < c->vocab && c->n_suppress < WHISPER_MAX_LIST)
            c->suppress[c->n_suppress++] = (int)id;
    }
    return 0;
}

/* [[layer, head], ...]. A distilled model may still have the list of its teacher, which names
 * layers it does not have: then it says nothing. */
static int read_alignment(const struct reading *r, const struct json *text)
{
    static const char key[] = "alignment_heads";
    struct net_whisper_config *c = r->c;
    const struct json *list;
    TRY(look_up(r, text, key, ARRAY, &list));
    size_t n = json_count(list);
    bool ours = c->n_alignment == 0 && n <= WHISPER_MAX_HEADS;
    char found[80];
    for (size_t i = 0; i < n; i++) {
        const struct json *pair = json_at(list, i);
        int64_t layer = json_int(json_at(pair, 0), -1), head = json_int(json_at(pair, 1), -1);
        if (json_count(pair) != 2 || layer < 0 || head < 0)
            return err_set(r->e, E_MODEL, "\"%s\" holds %s; pairs [layer, head] are needed", key,
                           describe(pair, found, sizeof found));
        ours &= layer < c->decoder_layers && head < c->heads;
        if (!ours) continue;
        c->alignment[i].layer = (int)layer;
        c->alignment[i].head = (int)head;
    }
    if (ours) c->n_alignment = (int)n;
    return 0;
}

static int read_text(const struct reading *r, const struct json *text)
{
    struct net_whisper_config *c = r->c;
    const struct json *tasks, *languages, *eps;
    char found[80];
    if (!json_is_object(text))
        return err_set(r->e, E_MODEL, "it is %s; an object is needed",
                       describe(text, found, sizeof found));
    TRY(agree(r, text, "d_model", c->width));
    TRY(agree(r, text, "encoder_layers", c->encoder_layers));
    TRY(agree(r, text, "decoder_layers", c->decoder_layers));
    TRY(agree(r, text, "encoder_attention_heads", c->heads));
    TRY(agree(r, text, "decoder_attention_heads", c->heads));
    TRY(agree(r, text, "num_mel_bins", c->n_mels));
    TRY(agree(r, text, "vocab_size", c->vocab));
    TRY(agree(r, text, "max_source_positions", c->audio_ctx));
    TRY(agree(r, text, "max_target_positions", c->text_ctx));
    TRY(agree(r, text, "no_timestamps_token_id", c->no_timestamps));
    TRY(look_up(r, text, "task_to_id", OBJECT, &tasks));
    TRY(look_up(r, text, "lang_to_id", OBJECT, &languages));
    TRY(look_up(r, text, "layer_norm_epsilon", NUMBER, &eps));
    TRY(agree(r, tasks, "transcribe", c->transcribe));
    TRY(agree(r, languages, "<|en|>", c->language0));
    c->eps = (float)json_number(eps, c->eps);
    if (!(c->eps > 0 && c->eps < 1))
        return err_set(r->e, E_MODEL,
                       "layer_norm_epsilon is %g; more than 0 and less than 1 is needed",
                       json_number(eps, 0));
    TRY(read_suppress(r, text, "suppress_ids"));    /* CTranslate2 */
    TRY(read_suppress(r, text, "suppress_tokens")); /* Hugging Face */
    return read_alignment(r, text);
}

static int read_texts(const struct reading *r)
{
    const struct {
        const char *name;
        struct str text;
    } texts[] = {{"generation_config.json", r->w->generation}, {"config.json", r->w->config}};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct json_doc *doc;
        if (texts[i].text.n == 0) continue;
        int result = json_open(r->a, texts[i].text.p, texts[i].text.n, &doc, r->e);
        if (result) {
            if (r->e->code == E_INPUT) r->e->code = E_MODEL; /* not an input of the user's */
        } else {
            result = read_text(r, json_root(doc));
            json_close(&doc);
        }
        if (result) return err_note(r->e, "%s", texts[i].name);
    }
    return 0;
}

int net_whisper_config(struct arena *a, const struct load_weights *w, struct net_whisper_config *c,
                       struct err *e)
{
    const struct reading r = {a, w, c, e};
    *c = (struct net_whisper_config){.eps = 1e-5f};
    TRY(check_spec(&r));
    TRY(read_shapes(&r));
    if (!net_whisper_tokens(c))
        return err_set(e, E_MODEL,
                       "a vocabulary of %d tokens is none of Whisper's (51864, 51865, 51866)",
                       c->vocab);
    TRY(check_tied(&r));
    TRY(read_texts(&r));
    if (c->n_alignment == 0) net_whisper_align(c);
    return 0;
}
