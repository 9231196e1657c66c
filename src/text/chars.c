/* Follows Hugging Face tokenizers, normalizers/bert.rs and pre_tokenizers/bert.rs. */
#include "text/chars.h"
#include "text/chars_data.h"
#include <string.h>

#if WITH_UTF8PROC
#include <utf8proc.h>
#endif

static bool in_ranges(const uint32_t (*range)[2], size_t n, uint32_t cp)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cp > range[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && cp >= range[low][0];
}

bool chars_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == ' ' || cp == 0x85 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

bool chars_is_dropped(uint32_t cp)
{
    if (cp < 0x80) return (cp < ' ' && cp != '\t' && cp != '\n' && cp != '\r') || cp == 0x7F;
    return in_ranges(DROPPED, COUNT(DROPPED), cp);
}

bool chars_is_mark(uint32_t cp)
{
    return cp >= MARKS[0][0] && in_ranges(MARKS, COUNT(MARKS), cp);
}

bool chars_is_sign(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= 33 && cp <= 47) || (cp >= 58 && cp <= 64) || (cp >= 91 && cp <= 96) ||
               (cp >= 123 && cp <= 126);
    return in_ranges(SIGNS, COUNT(SIGNS), cp);
}

bool chars_is_ideograph(uint32_t cp)
{
    static const uint32_t blocks[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                         {0x20000, 0x2A6DF}, {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF},
                                         {0x2F800, 0x2FA1F}}; /* 2B920: sic, for 2B820 */
    return in_ranges(blocks, COUNT(blocks), cp);
}

#if WITH_UTF8PROC

int chars_ready(struct err *e)
{
    (void)e;
    return 0;
}

int chars_lower(uint32_t cp, uint32_t out[2])
{
    out[0] = cp;
    if (cp < 0x80) {
        if (cp >= 'A' && cp <= 'Z') out[0] += 32;
        return 1;
    }
    if (cp == 0x130) { /* the only one that becomes two */
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    for (size_t i = 0; i < COUNT(LOWER); i++) {
        if (cp < LOWER[i][0] || cp > LOWER[i][1]) continue;
        out[0] = cp + LOWER[i][2];
        return 1;
    }
    out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
    return 1;
}

int chars_form(struct arena *a, struct str text, enum chars_form form, struct str *out,
               struct err *e)
{
    static const utf8proc_option_t options[] = {
        [CHARS_NFD] = UTF8PROC_DECOMPOSE,
        [CHARS_NFC] = UTF8PROC_COMPOSE,
        [CHARS_NFKD] = UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
        [CHARS_NFKC] = UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
    };
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)text.p;
    utf8proc_option_t o = options[form] | UTF8PROC_STABLE;
    utf8proc_ssize_t n = utf8proc_decompose(p, (utf8proc_ssize_t)text.n, NULL, 0, o);
    assert(n >= 0); /* valid UTF-8 */
    /* 4 bytes each hold the code points, and then the UTF-8; one more for its NUL */
    utf8proc_int32_t *cp = ARENA_NEW(a, utf8proc_int32_t, (size_t)n + 1, e);
    if (!cp) return -1;
    utf8proc_decompose(p, (utf8proc_ssize_t)text.n, cp, n, o);
    n = utf8proc_reencode(cp, n, o);
    *out = (struct str){(const char *)cp, (size_t)n};
    return 0;
}

size_t chars_grapheme(struct str text)
{
    utf8proc_int32_t state = 0;
    uint32_t last, next;
    size_t at = (size_t)str_utf8(text.p, text.n, &last);
    while (at < text.n) {
        int n = str_utf8(text.p + at, text.n - at, &next);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)last, (utf8proc_int32_t)next,
                                             &state))
            break;
        at += (size_t)n;
        last = next;
    }
    return at;
}

#else

int chars_ready(struct err *e)
{
    return err_set(e, E_MISSING, "lode was built without libutf8proc, so text cannot be tokenized");
}

int chars_lower(uint32_t cp, uint32_t out[2])
{
    out[0] = cp;
    return 1;
}

int chars_form(struct arena *a, struct str text, enum chars_form form, struct str *out,
               struct err *e)
{
    (void)a, (void)form;
    *out = text;
    return chars_ready(e);
}

size_t chars_grapheme(struct str text)
{
    return text.n;
}

#endif
