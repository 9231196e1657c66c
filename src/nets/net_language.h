/* Whisper's languages, in the order of their tokens (openai/whisper tokenizer.py). */
#ifndef NETS_NET_LANGUAGE_H
#define NETS_NET_LANGUAGE_H

#include "text/script.h"

#define NET_LANGUAGES 100

/* net_language_find: index of a code ("en") or an English name ("English", any case); -1 if
 * unknown. */
int net_language_find(const char *text);
/* net_language_near: the closest code or name to suggest, or NULL. */
const char *net_language_near(const char *text);
const char *net_language_code(int index); /* "en" */
/* net_language_spaceless: whether it is written without spaces between words. */
bool net_language_spaceless(int index);
const char *net_language_name(int index); /* "english" */
/* net_language_scripts: what it is written in: SCRIPT_LATIN .., one or several. */
unsigned net_language_scripts(int index);

#endif
