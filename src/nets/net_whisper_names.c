/* The names of Whisper's weights. Ours are CTranslate2's, in which q, k and v of an attention are
 * one tensor; elsewhere they are several, and keys have no bias.
 *
 *     ours (CTranslate2)                     Hugging Face                          openai, ggml
 *     encoder/layer_0/ffn/linear_0/weight    model.encoder.layers.0.fc1.weight
 * encoder.blocks.0.mlp.0.weight
 *
 * Sources: python/ctranslate2/specs/whisper_spec.py, transformers modeling_whisper.py,
 * openai/whisper model.py. Held by: tests/t_container.c. */
#include "nets/net_whisper_names.h"
#include <stdio.h>
#include <string.h>

enum flavour { CT2, HUGGING, BARE, OPENAI, FLAVOURS };

/* clang-format off */
static const struct {
    const char *sign;                /* the tensor it is known by */
    const char *root, *layer, *leaf; /* before a side, before a layer's number, between module and leaf */
} flavours[FLAVOURS] = {
    [CT2]     = {"encoder/conv1/weight",               "",       "/layer_",  "/"},
    [HUGGING] = {"model.encoder.conv1.weight",         "model.", ".layers.", "."},
    [BARE]    = {"encoder.layers.0.fc1.weight",        "",       ".layers.", "."}, /* of WhisperModel alone */
    [OPENAI]  = {"encoder.blocks.0.attn.query.weight", "",       ".blocks.", "."},
};

/* A module: parts are separated by a space. Those with a '!' are whole names, without a leaf. */
struct module {
    const char *ours, *hugging, *openai;
};

static const struct module in_layer[] = {
    {"self_attention/layer_norm", "self_attn_layer_norm",                               "attn_ln"},
    {"self_attention/linear_0",   "self_attn.q_proj self_attn.k_proj self_attn.v_proj", "attn.query attn.key attn.value"},
    {"self_attention/linear_1",   "self_attn.out_proj",                                 "attn.out"},
    {"attention/layer_norm",      "encoder_attn_layer_norm",                            "cross_attn_ln"},
    {"attention/linear_0",        "encoder_attn.q_proj",                                "cross_attn.query"},
    {"attention/linear_1",        "encoder_attn.k_proj encoder_attn.v_proj",            "cross_attn.key cross_attn.value"},
    {"attention/linear_2",        "encoder_attn.out_proj",                              "cross_attn.out"},
    {"ffn/layer_norm",            "final_layer_norm",                                   "mlp_ln"},
    {"ffn/linear_0",              "fc1",                                                "mlp.0"},
    {"ffn/linear_1",              "fc2",                                                "mlp.2"},
};

static const struct module outside[] = {
    {"encoder/conv1",              "encoder.conv1",                  "encoder.conv1"},
    {"encoder/conv2",              "encoder.conv2",                  "encoder.conv2"},
    {"encoder/position_encodings", "encoder.embed_positions.weight!", "encoder.positional_embedding!"},
    {"encoder/layer_norm",         "encoder.layer_norm",             "encoder.ln_post"},
    {"decoder/embeddings",         "decoder.embed_tokens",           "decoder.token_embedding"},
    {"decoder/position_encodings", "decoder.embed_positions.weight!", "decoder.positional_embedding!"},
    {"decoder/layer_norm",         "decoder.layer_norm",             "decoder.ln"},
};
/* clang-format on */

struct place { /* a name of ours taken apart */
    char side[8];
    int layer; /* -1: outside */
    const struct module *module;
    const char *leaf;
};

static bool take_apart(const char *name, struct place *p)
{
    const char *leaf = strrchr(name, '/'), *module = name;
    if (!leaf) return false;
    *p = (struct place){.layer = -1, .leaf = leaf + 1};
    const struct module *table = outside;
    size_t n = COUNT(outside);
    if (strlen(name) > 14 && strncmp(name + 7, "/layer_", 7) == 0 && name[14] >= '0' &&
        name[14] <= '9') {
        memcpy(p->side, name, 7); /* "encoder", "decoder" */
        p->layer = 0;
        for (module = name + 14; *module >= '0' && *module <= '9'; module++)
            p->layer = p->layer * 10 + (*module - '0'); /* ours: at most three digits */
        module++;
        table = in_layer;
        n = COUNT(in_layer);
    }
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(table[i].ours);
        if (module + length == leaf && memcmp(module, table[i].ours, length) == 0)
            p->module = &table[i];
    }
    return p->module;
}

static enum flavour flavour_of(const struct load_weights *w)
{
    for (int f = 0; f < FLAVOURS; f++) {
        if (load_find(w, flavours[f].sign)) return (enum flavour)f;
    }
    return CT2; /* so that what is missing is said in our names */
}

struct names { /* of the parts, in the order they are stacked */
    char text[PLAN_PARTS][160];
    int n;
};

/* The parts of `name` in a flavour. A name that is not in the table is everywhere the same. */
static struct names names_of(enum flavour f, const char *name)
{
    struct names out = {.n = 1};
    struct place p;
    if (f == CT2 || !take_apart(name, &p)) {
        snprintf(out.text[0], sizeof out.text[0], "%s", name);
        return out;
    }
    bool weight = strcmp(p.leaf, "gamma") == 0 || strcmp(p.leaf, "weight") == 0;
    struct str rest = str_of(f == OPENAI ? p.module->openai : p.module->hugging);
    for (out.n = 0; rest.n > 0; out.n++) {
        char *text = out.text[out.n], layer[32] = "";
        const char *gap = memchr(rest.p, ' ', rest.n);
        size_t part = gap ? (size_t)(gap - rest.p) : rest.n, skip = part + (gap ? 1 : 0);
        bool whole = rest.p[part - 1] == '!';
        if (p.layer >= 0)
            snprintf(layer, sizeof layer, "%s%s%d.", p.side, flavours[f].layer, p.layer);
        assert(out.n < PLAN_PARTS);
        snprintf(text, sizeof out.text[0], "%s%s%.*s%s%s", flavours[f].root, layer,
                 (int)(whole ? part - 1 : part), rest.p, whole ? "" : flavours[f].leaf,
                 whole    ? ""
                 : weight ? "weight"
                          : "bias");
        rest = (struct str){rest.p + skip, rest.n - skip};
    }
    return out;
}

/* Keys have no bias in Whisper: zeros like the bias of what stands beside them. */
static int zeros_like(struct arena *a, const struct tensor *t, struct tensor *out, struct err *e)
{
    *out = *t;
    out->scale = NULL;
    out->data = arena_array(a, tensor_bytes(t), 1, BASE_LINE, e);
    return out->data ? 0 : -1;
}

int net_whisper_names_find(struct arena *a, const struct load_weights *w, const char *name,
                           struct tensor *part, struct err *e)
{
    struct names names = names_of(flavour_of(w), name);
    const struct tensor *have = NULL; /* any part that is there */
    bool missing[PLAN_PARTS] = {false};
    for (int i = 0; i < names.n; i++) {
        const struct load_tensor *t = load_find(w, names.text[i]);
        missing[i] = !t;
        if (t) {
            part[i] = t->t;
            have = &part[i];
        } else if (names.n == 1 || !str_ends(name, "/bias")) {
            return err_set(e, E_MODEL, "the model has no tensor %s", names.text[i]);
        }
    }
    if (!have) return err_set(e, E_MODEL, "the model has no tensor %s", names.text[0]);
    for (int i = 0; i < names.n; i++) {
        if (!missing[i]) continue;
        if (!strstr(names.text[i], "k_proj") && !strstr(names.text[i], ".key"))
            return err_set(e, E_MODEL, "the model has no tensor %s", names.text[i]);
        TRY(zeros_like(a, have, &part[i], e));
    }
    return names.n;
}

bool net_whisper_names_has(const struct load_weights *w, const char *name)
{
    struct names names = names_of(flavour_of(w), name);
    for (int i = 0; i < names.n; i++) {
        if (!load_find(w, names.text[i])) return false;
    }
    return true;
}
