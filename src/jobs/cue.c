#include "jobs/cue.h"
#include "jobs/out.h"
#include <string.h>

#define PAUSE_S 3.0 /* a silence that ends a cue which would go on */

static int characters_of(struct str s)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((uint8_t)s.p[i] & 0xC0) != 0x80;
    return n;
}

int cue_flush(struct cue *c, void *ctx, struct err *e)
{
    if (c->n > 0) TRY(c->put(ctx, c, e));
    c->n = 0;
    c->bytes = 0;
    c->lines = 1;
    return 0;
}

static void append(struct cue *c, struct str text, bool line, const struct out_word *w)
{
    struct cue_word *to = &c->word[c->n++];
    *to =
        (struct cue_word){(unsigned short)c->bytes, (unsigned short)text.n, line, w->t0_s, w->t1_s};
    memcpy(c->text + c->bytes, text.p, text.n);
    c->bytes += text.n;
}

/* One word. first: of those that stand together. */
static int add(struct cue *c, const struct out_word *w, bool first, void *ctx, struct err *e)
{
    const struct cue_style *s = c->style;
    bool keep = s->line_width == 0 || s->line_count == 0; /* segments are cues of their own */
    struct str text = {w->text.p, MIN(w->text.n, (size_t)CUE_BYTES)}, bare = str_trim(text);
    if (bare.n == 0) return 0;
    if (c->n == CUE_WORDS || c->bytes + text.n > CUE_BYTES) {
        TRY(cue_flush(c, ctx, e));
        c->characters = 0;
    }
    bool pause = !keep && c->begun && w->t0_s - c->last_s > PAUSE_S;
    bool room = s->line_width == 0 || c->characters + characters_of(text) <= s->line_width;
    bool apart = first && c->n > 0 && keep;
    if (c->characters > 0 && room && !pause && !apart) {
        c->characters += characters_of(text);
        append(c, text, false, w);
    } else {
        bool full = s->line_count > 0 && (pause || c->lines >= s->line_count);
        bool line = c->characters > 0;
        if ((c->n > 0 && full) || apart) {
            TRY(cue_flush(c, ctx, e));
            line = false;
        }
        c->lines += line;
        c->characters = characters_of(bare);
        append(c, bare, line, w);
    }
    c->begun = true;
    c->last_s = w->t0_s;
    return 0;
}

int cue_add(struct cue *c, const struct out_word *word, size_t n, void *ctx, struct err *e)
{
    size_t together = c->style->words_per_line > 0 ? (size_t)c->style->words_per_line : n;
    if (c->lines == 0) c->lines = 1;
    for (size_t i = 0; i < n; i++) TRY(add(c, &word[i], i % together == 0, ctx, e));
    return 0;
}
