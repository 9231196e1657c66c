#include "nets/net_sentence_names.h"
#include <stdio.h>
#include <string.h>

/* what is ours, what it is in MPNet or in files older than 2020 */
static const struct {
    const char *ours, *other;
} spellings[] = {
    {"attention.self.query", "attention.attn.q"},
    {"attention.self.key", "attention.attn.k"},
    {"attention.self.value", "attention.attn.v"},
    {"attention.output.dense", "attention.attn.o"},
    {"attention.output.LayerNorm", "attention.LayerNorm"},
    {"LayerNorm.weight", "LayerNorm.gamma"},
    {"LayerNorm.bias", "LayerNorm.beta"},
};

const char *net_sentence_names_prefix(const struct load_weights *w)
{
    static const char *const known[] = {"", "bert.", "mpnet.", "roberta.", "model."};
    for (size_t i = 0; i < COUNT(known); i++) {
        char name[128];
        snprintf(name, sizeof name, "%sembeddings.word_embeddings.weight", known[i]);
        if (load_find(w, name)) return known[i];
    }
    return "";
}

const struct load_tensor *net_sentence_names_find(const struct load_weights *w, const char *prefix,
                                                  const char *name)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const struct load_tensor *t = load_find(w, full);
    for (size_t i = 0; !t && i < COUNT(spellings); i++) {
        const char *at = strstr(name, spellings[i].ours);
        if (!at) continue;
        snprintf(full, sizeof full, "%s%.*s%s%s", prefix, (int)(at - name), name,
                 spellings[i].other, at + strlen(spellings[i].ours));
        t = load_find(w, full);
    }
    return t;
}

int net_sentence_names_rest(const struct load_weights *w, const char *prefix, const bool *used,
                            struct err *e)
{
    /* position_ids are 0, 1, 2 ..; the others belong to other uses of the same encoder */
    static const char *const others[] = {"embeddings.position_ids", "pooler.", "cls.", "lm_head.",
                                         "classifier."};
    for (size_t i = 0; i < w->n; i++) {
        const char *name = w->tensor[i].name;
        bool known = used[i];
        if (str_starts(name, prefix)) name += strlen(prefix);
        for (size_t k = 0; k < COUNT(others); k++)
            known |= str_starts(name, others[k]) || str_starts(w->tensor[i].name, others[k]);
        if (!known)
            return err_set(e, E_MODEL, "the model has a tensor %s, which lode does not know",
                           w->tensor[i].name);
    }
    return 0;
}
