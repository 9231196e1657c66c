/* One weight of Whisper, by CTranslate2's name, in a file that may use other names. */
#ifndef NETS_NET_WHISPER_NAMES_H
#define NETS_NET_WHISPER_NAMES_H

#include "core/plan.h"
#include "load/load.h"

/* net_whisper_names_find: the tensors that, stacked along dim 0, are the weight called `name`; a
 * bias the file does not have (that of keys) is zeros, in a. part [PLAN_PARTS]. Returns how many,
 * or -1: E_MODEL if there is no such tensor. */
int net_whisper_names_find(struct arena *a, const struct load_weights *w, const char *name,
                           struct tensor *part, struct err *e);

/* net_whisper_names_has: whether the file has all its tensors. */
bool net_whisper_names_has(const struct load_weights *w, const char *name);

#endif
