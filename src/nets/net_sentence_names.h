/* The names of encoders' weights. Ours are BERT's; MPNet's and old files' differ. */
#ifndef NETS_NET_SENTENCE_NAMES_H
#define NETS_NET_SENTENCE_NAMES_H

#include "load/load.h"

/* net_sentence_names_prefix: what stands before "embeddings." in all names of the file. */
const char *net_sentence_names_prefix(const struct load_weights *w);
/* net_sentence_names_find: a tensor by our name; NULL if there is none. */
const struct load_tensor *net_sentence_names_find(const struct load_weights *w, const char *prefix,
                                                  const char *name);
/* net_sentence_names_rest: E_MODEL naming a tensor that was not used, unless it is one that such
 * files have for other purposes. used [w->n]. */
int net_sentence_names_rest(const struct load_weights *w, const char *prefix, const bool *used,
                            struct err *e);

#endif
