/* Scripts: which writing the letters of a text belong to. Ranges follow the blocks of Unicode 15,
 * without what several scripts share (digits, the danda, the middle dot). */
#ifndef TEXT_SCRIPT_H
#define TEXT_SCRIPT_H

#include "base/str.h"

enum { /* a bit each, so that a language may have several */
       SCRIPT_LATIN = 1 << 0,
       SCRIPT_GREEK = 1 << 1,
       SCRIPT_CYRILLIC = 1 << 2,
       SCRIPT_ARMENIAN = 1 << 3,
       SCRIPT_HEBREW = 1 << 4,
       SCRIPT_ARABIC = 1 << 5,
       SCRIPT_DEVANAGARI = 1 << 6,
       SCRIPT_BENGALI = 1 << 7,
       SCRIPT_GURMUKHI = 1 << 8,
       SCRIPT_GUJARATI = 1 << 9,
       SCRIPT_ODIA = 1 << 10,
       SCRIPT_TAMIL = 1 << 11,
       SCRIPT_TELUGU = 1 << 12,
       SCRIPT_KANNADA = 1 << 13,
       SCRIPT_MALAYALAM = 1 << 14,
       SCRIPT_SINHALA = 1 << 15,
       SCRIPT_THAI = 1 << 16,
       SCRIPT_LAO = 1 << 17,
       SCRIPT_TIBETAN = 1 << 18,
       SCRIPT_MYANMAR = 1 << 19,
       SCRIPT_GEORGIAN = 1 << 20,
       SCRIPT_HANGUL = 1 << 21,
       SCRIPT_ETHIOPIC = 1 << 22,
       SCRIPT_KHMER = 1 << 23,
       SCRIPT_HAN = 1 << 24,
       SCRIPT_KANA = 1 << 25
};

/* script_of: the script of a letter; 0 for what is no letter, or of none of the above. */
unsigned script_of(uint32_t cp);

/* script_foreign: whether most letters of a text (UTF-8; what is not is passed over) are in none of
 * `scripts`. A text of fewer than 4 letters says nothing, nor does any if scripts is 0. */
bool script_foreign(struct str text, unsigned scripts);

#endif
