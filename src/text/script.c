#include "text/script.h"

/* Rising and apart, for a binary search. */
/* clang-format off */
static const struct { uint32_t from, to; unsigned script; } ranges[] = {
    {'A', 'Z', SCRIPT_LATIN}, {'a', 'z', SCRIPT_LATIN}, {0xAA, 0xAA, SCRIPT_LATIN}, {0xBA, 0xBA, SCRIPT_LATIN},
    {0xC0, 0xD6, SCRIPT_LATIN}, {0xD8, 0xF6, SCRIPT_LATIN}, {0xF8, 0x2AF, SCRIPT_LATIN},
    {0x370, 0x37D, SCRIPT_GREEK}, {0x37F, 0x3E1, SCRIPT_GREEK}, {0x3F0, 0x3FF, SCRIPT_GREEK},
    {0x400, 0x52F, SCRIPT_CYRILLIC}, {0x531, 0x588, SCRIPT_ARMENIAN}, {0x5B0, 0x5F2, SCRIPT_HEBREW},
    {0x610, 0x61A, SCRIPT_ARABIC}, {0x620, 0x63F, SCRIPT_ARABIC}, {0x641, 0x65F, SCRIPT_ARABIC}, {0x66E, 0x6DC, SCRIPT_ARABIC},
    {0x6DF, 0x6EF, SCRIPT_ARABIC}, {0x6FA, 0x6FF, SCRIPT_ARABIC}, {0x750, 0x77F, SCRIPT_ARABIC}, {0x8A0, 0x8FF, SCRIPT_ARABIC},
    {0x900, 0x963, SCRIPT_DEVANAGARI}, {0x971, 0x97F, SCRIPT_DEVANAGARI},
    {0x980, 0x9E3, SCRIPT_BENGALI}, {0x9F0, 0x9F1, SCRIPT_BENGALI},
    {0xA01, 0xA5E, SCRIPT_GURMUKHI}, {0xA70, 0xA75, SCRIPT_GURMUKHI}, {0xA81, 0xAE3, SCRIPT_GUJARATI},
    {0xB01, 0xB63, SCRIPT_ODIA}, {0xB82, 0xBD7, SCRIPT_TAMIL}, {0xC00, 0xC63, SCRIPT_TELUGU},
    {0xC80, 0xCE3, SCRIPT_KANNADA}, {0xD00, 0xD63, SCRIPT_MALAYALAM}, {0xD7A, 0xD7F, SCRIPT_MALAYALAM},
    {0xD81, 0xDDF, SCRIPT_SINHALA}, {0xDF2, 0xDF3, SCRIPT_SINHALA}, {0xE01, 0xE3A, SCRIPT_THAI}, {0xE40, 0xE4E, SCRIPT_THAI},
    {0xE81, 0xECE, SCRIPT_LAO}, {0xEDC, 0xEDF, SCRIPT_LAO}, {0xF00, 0xF00, SCRIPT_TIBETAN}, {0xF40, 0xFBC, SCRIPT_TIBETAN},
    {0x1000, 0x103F, SCRIPT_MYANMAR}, {0x1050, 0x108F, SCRIPT_MYANMAR}, {0x10A0, 0x10FA, SCRIPT_GEORGIAN},
    {0x10FC, 0x10FF, SCRIPT_GEORGIAN}, {0x1100, 0x11FF, SCRIPT_HANGUL}, {0x1200, 0x135F, SCRIPT_ETHIOPIC},
    {0x1380, 0x138F, SCRIPT_ETHIOPIC}, {0x1780, 0x17D3, SCRIPT_KHMER}, {0x1C80, 0x1C88, SCRIPT_CYRILLIC},
    {0x1C90, 0x1CBF, SCRIPT_GEORGIAN}, {0x1E00, 0x1EFF, SCRIPT_LATIN}, {0x1F00, 0x1FFF, SCRIPT_GREEK},
    {0x2D00, 0x2D2D, SCRIPT_GEORGIAN}, {0x2D80, 0x2DDE, SCRIPT_ETHIOPIC}, {0x2DE0, 0x2DFF, SCRIPT_CYRILLIC},
    {0x2E80, 0x2FD5, SCRIPT_HAN}, {0x3005, 0x3007, SCRIPT_HAN}, {0x3041, 0x309F, SCRIPT_KANA}, {0x30A1, 0x30FA, SCRIPT_KANA},
    {0x30FD, 0x30FF, SCRIPT_KANA}, {0x3105, 0x312F, SCRIPT_HAN}, {0x3131, 0x318E, SCRIPT_HANGUL}, {0x31F0, 0x31FF, SCRIPT_KANA},
    {0x3400, 0x4DBF, SCRIPT_HAN}, {0x4E00, 0x9FFF, SCRIPT_HAN}, {0xA640, 0xA69F, SCRIPT_CYRILLIC}, {0xA720, 0xA7FF, SCRIPT_LATIN},
    {0xA8E0, 0xA8FF, SCRIPT_DEVANAGARI}, {0xAA60, 0xAA7F, SCRIPT_MYANMAR}, {0xAC00, 0xD7A3, SCRIPT_HANGUL},
    {0xF900, 0xFAFF, SCRIPT_HAN}, {0xFB00, 0xFB06, SCRIPT_LATIN}, {0xFB13, 0xFB17, SCRIPT_ARMENIAN}, {0xFB1D, 0xFB4F, SCRIPT_HEBREW},
    {0xFB50, 0xFDFF, SCRIPT_ARABIC}, {0xFE70, 0xFEFC, SCRIPT_ARABIC}, {0xFF21, 0xFF3A, SCRIPT_LATIN}, {0xFF41, 0xFF5A, SCRIPT_LATIN},
    {0xFF66, 0xFF9D, SCRIPT_KANA}, {0x20000, 0x323AF, SCRIPT_HAN},
};
/* clang-format on */

#define LEAST_LETTERS 4 /* "OK", "AI" and the like are in every language */

unsigned script_of(uint32_t cp)
{
    size_t low = 0, high = COUNT(ranges);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cp > ranges[middle].to)
            low = middle + 1;
        else
            high = middle;
    }
    return low < COUNT(ranges) && cp >= ranges[low].from ? ranges[low].script : 0;
}

bool script_foreign(struct str text, unsigned scripts)
{
    size_t own = 0, foreign = 0;
    for (size_t i = 0; i < text.n;) {
        uint32_t cp;
        int n = str_utf8(text.p + i, text.n - i, &cp);
        unsigned script = n ? script_of(cp) : 0;
        own += (script & scripts) != 0;
        foreign += script && !(script & scripts);
        i += n ? (size_t)n : 1;
    }
    return scripts && own + foreign >= LEAST_LETTERS && foreign > own;
}
