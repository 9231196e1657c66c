#include "nets/net_language.h"
#include "base/str.h"
#include <string.h>
#include <strings.h>

/* clang-format off */
static const struct { char code[4], name[16]; } languages[NET_LANGUAGES] = {
    {"en", "english"}, {"zh", "chinese"}, {"de", "german"}, {"es", "spanish"}, {"ru", "russian"}, {"ko", "korean"}, {"fr", "french"}, {"ja", "japanese"},
    {"pt", "portuguese"}, {"tr", "turkish"}, {"pl", "polish"}, {"ca", "catalan"}, {"nl", "dutch"}, {"ar", "arabic"}, {"sv", "swedish"}, {"it", "italian"},
    {"id", "indonesian"}, {"hi", "hindi"}, {"fi", "finnish"}, {"vi", "vietnamese"}, {"he", "hebrew"}, {"uk", "ukrainian"}, {"el", "greek"}, {"ms", "malay"},
    {"cs", "czech"}, {"ro", "romanian"}, {"da", "danish"}, {"hu", "hungarian"}, {"ta", "tamil"}, {"no", "norwegian"}, {"th", "thai"}, {"ur", "urdu"},
    {"hr", "croatian"}, {"bg", "bulgarian"}, {"lt", "lithuanian"}, {"la", "latin"}, {"mi", "maori"}, {"ml", "malayalam"}, {"cy", "welsh"}, {"sk", "slovak"},
    {"te", "telugu"}, {"fa", "persian"}, {"lv", "latvian"}, {"bn", "bengali"}, {"sr", "serbian"}, {"az", "azerbaijani"}, {"sl", "slovenian"}, {"kn", "kannada"},
    {"et", "estonian"}, {"mk", "macedonian"}, {"br", "breton"}, {"eu", "basque"}, {"is", "icelandic"}, {"hy", "armenian"}, {"ne", "nepali"}, {"mn", "mongolian"},
    {"bs", "bosnian"}, {"kk", "kazakh"}, {"sq", "albanian"}, {"sw", "swahili"}, {"gl", "galician"}, {"mr", "marathi"}, {"pa", "punjabi"}, {"si", "sinhala"},
    {"km", "khmer"}, {"sn", "shona"}, {"yo", "yoruba"}, {"so", "somali"}, {"af", "afrikaans"}, {"oc", "occitan"}, {"ka", "georgian"}, {"be", "belarusian"},
    {"tg", "tajik"}, {"sd", "sindhi"}, {"gu", "gujarati"}, {"am", "amharic"}, {"yi", "yiddish"}, {"lo", "lao"}, {"uz", "uzbek"}, {"fo", "faroese"},
    {"ht", "haitian creole"}, {"ps", "pashto"}, {"tk", "turkmen"}, {"nn", "nynorsk"}, {"mt", "maltese"}, {"sa", "sanskrit"}, {"lb", "luxembourgish"},
    {"my", "myanmar"}, {"bo", "tibetan"}, {"tl", "tagalog"}, {"mg", "malagasy"}, {"as", "assamese"}, {"tt", "tatar"}, {"haw", "hawaiian"}, {"ln", "lingala"},
    {"ha", "hausa"}, {"ba", "bashkir"}, {"jw", "javanese"}, {"su", "sundanese"}, {"yue", "cantonese"},
};
static const struct { char name[16], code[4]; } aliases[] = {
    {"burmese", "my"}, {"valencian", "ca"}, {"flemish", "nl"}, {"haitian", "ht"}, {"letzeburgesch", "lb"}, {"pushto", "ps"}, {"panjabi", "pa"},
    {"moldavian", "ro"}, {"moldovan", "ro"}, {"sinhalese", "si"}, {"castilian", "es"}, {"mandarin", "zh"},
};
/* What is not written in Latin letters alone. Two where both are in use, so that neither is called wrong. */
static const struct { char code[4]; unsigned scripts; } scripts[] = {
    {"zh", SCRIPT_HAN}, {"yue", SCRIPT_HAN}, {"ja", SCRIPT_HAN | SCRIPT_KANA}, {"ko", SCRIPT_HANGUL | SCRIPT_HAN},
    {"ru", SCRIPT_CYRILLIC}, {"uk", SCRIPT_CYRILLIC}, {"bg", SCRIPT_CYRILLIC}, {"be", SCRIPT_CYRILLIC}, {"mk", SCRIPT_CYRILLIC},
    {"mn", SCRIPT_CYRILLIC}, {"tg", SCRIPT_CYRILLIC}, {"ba", SCRIPT_CYRILLIC}, {"sr", SCRIPT_CYRILLIC | SCRIPT_LATIN},
    {"bs", SCRIPT_CYRILLIC | SCRIPT_LATIN}, {"kk", SCRIPT_CYRILLIC | SCRIPT_LATIN}, {"tt", SCRIPT_CYRILLIC | SCRIPT_LATIN},
    {"uz", SCRIPT_CYRILLIC | SCRIPT_LATIN}, {"az", SCRIPT_CYRILLIC | SCRIPT_LATIN}, {"tk", SCRIPT_CYRILLIC | SCRIPT_LATIN},
    {"ar", SCRIPT_ARABIC}, {"fa", SCRIPT_ARABIC}, {"ur", SCRIPT_ARABIC}, {"ps", SCRIPT_ARABIC}, {"sd", SCRIPT_ARABIC | SCRIPT_DEVANAGARI},
    {"he", SCRIPT_HEBREW}, {"yi", SCRIPT_HEBREW}, {"el", SCRIPT_GREEK}, {"hy", SCRIPT_ARMENIAN}, {"ka", SCRIPT_GEORGIAN},
    {"am", SCRIPT_ETHIOPIC}, {"hi", SCRIPT_DEVANAGARI}, {"mr", SCRIPT_DEVANAGARI}, {"ne", SCRIPT_DEVANAGARI}, {"sa", SCRIPT_DEVANAGARI},
    {"bn", SCRIPT_BENGALI}, {"as", SCRIPT_BENGALI}, {"pa", SCRIPT_GURMUKHI | SCRIPT_ARABIC}, {"gu", SCRIPT_GUJARATI},
    {"ta", SCRIPT_TAMIL}, {"te", SCRIPT_TELUGU}, {"kn", SCRIPT_KANNADA}, {"ml", SCRIPT_MALAYALAM}, {"si", SCRIPT_SINHALA},
    {"th", SCRIPT_THAI}, {"lo", SCRIPT_LAO}, {"km", SCRIPT_KHMER}, {"my", SCRIPT_MYANMAR}, {"bo", SCRIPT_TIBETAN},
};
/* clang-format on */

int net_language_find(const char *text)
{
    for (size_t i = 0; i < COUNT(aliases); i++) {
        if (strcasecmp(aliases[i].name, text) == 0) return net_language_find(aliases[i].code);
    }
    for (int i = 0; i < NET_LANGUAGES; i++) {
        if (strcasecmp(languages[i].code, text) == 0 || strcasecmp(languages[i].name, text) == 0)
            return i;
    }
    return -1;
}

const char *net_language_near(const char *text)
{
    const char *names[2 * NET_LANGUAGES];
    for (int i = 0; i < NET_LANGUAGES; i++) {
        names[i] = languages[i].name; /* before codes: of equals the longer word says more */
        names[NET_LANGUAGES + i] = languages[i].code;
    }
    return str_nearest(text, names, COUNT(names));
}

const char *net_language_code(int index)
{
    assert(index >= 0 && index < NET_LANGUAGES);
    return languages[index].code;
}

const char *net_language_name(int index)
{
    assert(index >= 0 && index < NET_LANGUAGES);
    return languages[index].name;
}

bool net_language_spaceless(int index)
{
    /* openai/whisper tokenizer.py split_to_word_tokens */
    static const char codes[][4] = {"zh", "ja", "th", "lo", "my", "yue"};
    for (size_t i = 0; i < COUNT(codes); i++)
        if (strcmp(net_language_code(index), codes[i]) == 0) return true;
    return false;
}

unsigned net_language_scripts(int index)
{
    for (size_t i = 0; i < COUNT(scripts); i++)
        if (strcmp(net_language_code(index), scripts[i].code) == 0) return scripts[i].scripts;
    return SCRIPT_LATIN;
}
