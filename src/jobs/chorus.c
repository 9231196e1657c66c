#include "jobs/chorus.h"
#include <stdlib.h>
#include <string.h>

struct chorus_kept {
    struct out_segment segment;
    int64_t order;
    struct chorus_kept *next;
};

void chorus_init(struct chorus *c, struct arena *a, const struct scribe_events *to)
{
    *c = (struct chorus){.a = a, .to = to};
    c->last = &c->first;
}

static int copy_words(struct arena *a, struct out_segment *s, struct err *e)
{
    struct out_word *word = ARENA_NEW(a, struct out_word, s->n_words, e);
    if (!word) return -1;
    for (size_t i = 0; i < s->n_words; i++) {
        word[i] = s->word[i];
        word[i].text.p = arena_text(a, word[i].text.p, word[i].text.n, e);
        if (!word[i].text.p) return -1;
    }
    s->word = word;
    return 0;
}

static int take(void *chorus, const struct out_segment *s, struct err *e)
{
    struct chorus *c = chorus;
    struct chorus_kept *k = ARENA_NEW(c->a, struct chorus_kept, 1, e);
    int *token = ARENA_NEW(c->a, int, s->n_tokens, e);
    if (!k || !token) return -1;
    *k = (struct chorus_kept){*s, c->n++, NULL};
    if (s->n_tokens) memcpy(token, s->token, s->n_tokens * sizeof *token);
    k->segment.token = token;
    k->segment.speaker = c->speaker;
    k->segment.text.p = arena_text(c->a, s->text.p, s->text.n, e);
    if (!k->segment.text.p) return -1;
    if (s->word) TRY(copy_words(c->a, &k->segment, e));
    *c->last = k;
    c->last = &k->next;
    return 0;
}

static int again(void *chorus, const struct out_again *w, struct err *e)
{
    struct chorus *c = chorus;
    struct out_again own = *w;
    own.speaker = c->speaker;
    return c->to->again(c->to->ctx, &own, e);
}

static void progress(void *chorus, const char *what, double done_s, double total_s)
{
    const struct chorus *c = chorus;
    c->to->progress(c->to->ctx, what, done_s, total_s);
}

static bool cancelled(void *chorus)
{
    const struct chorus *c = chorus;
    return c->to->cancelled(c->to->ctx);
}

struct scribe_events chorus_events(struct chorus *c)
{
    return (struct scribe_events){c, take, again, progress, cancelled};
}

static int by_start(const void *x, const void *y)
{
    const struct chorus_kept *a = *(const struct chorus_kept *const *)x,
                             *b = *(const struct chorus_kept *const *)y;
    if (a->segment.t0_s != b->segment.t0_s) return a->segment.t0_s < b->segment.t0_s ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

int chorus_give(struct chorus *c, struct err *e)
{
    struct chorus_kept **all = ARENA_NEW(c->a, struct chorus_kept *, (size_t)c->n, e);
    int64_t n = 0;
    if (!all) return -1;
    for (struct chorus_kept *k = c->first; k; k = k->next) all[n++] = k;
    if (n) qsort(all, (size_t)n, sizeof(struct chorus_kept *), by_start);
    for (int64_t i = 0; i < n; i++) {
        all[i]->segment.id = i + 1;
        TRY(c->to->segment(c->to->ctx, &all[i]->segment, e));
    }
    return 0;
}
