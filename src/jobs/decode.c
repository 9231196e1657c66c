#include "jobs/decode.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct hypothesis {
    int token[DECODE_MOST];
    int n, loop; /* loop: see decode_result */
    double sum;  /* of log-probabilities */
};

struct candidate {
    double sum;
    int parent, token;
};

enum stage { IDLE, PROMPT, FIRST, NEXT, FINISHED };

struct lane { /* one window being decoded, in sequences base .. base + width - 1 */
    enum stage stage;
    struct decode_prompt prompt;
    double temperature, no_speech;
    uint64_t key, draws;
    bool timestamps;
    int base;
    int fed;                              /* tokens of the prompt that lie in the cache */
    int most;                             /* tokens this window may have, forced ones with them */
    int steps;                            /* tokens so far, the same */
    struct hypothesis *now, *next, *done; /* [width], [width], [most done] */
    int n_now, n_done;
    int *sequence;            /* [width] which of now[] still live, when sampling */
    int pick0, n_picks, rows; /* of the run at hand */
    bool sot_picked;
    bool leader_ended; /* the likeliest text of some step was at its end */
};

struct decode {
    struct speech *s;
    struct decode_options o;
    int width; /* sequences of a lane */
    struct lane *lane;
    int n_lanes;
    int32_t *history;            /* [width][text_ctx], to reorder the plan's */
    struct candidate *candidate; /* [width * top] */
};

int decode_open(struct arena *a, struct speech *s, const struct decode_options *o,
                struct decode **out, struct err *e)
{
    struct decode *d = ARENA_NEW(a, struct decode, 1, e);
    if (!d) return -1;
    d->s = s;
    d->o = *o;
    d->n_lanes = s->net.shape.windows;
    d->width = s->net.shape.sequences / d->n_lanes;
    size_t width = (size_t)d->width, n_done = (size_t)(o->beam * (o->patience + 2)) + width;
    d->lane = ARENA_NEW(a, struct lane, (size_t)d->n_lanes, e);
    d->history = ARENA_NEW(a, int32_t, width * (size_t)s->net.config.text_ctx, e);
    d->candidate = ARENA_NEW(a, struct candidate, width * (size_t)s->net.shape.top, e);
    if (!d->lane || !d->history || !d->candidate) return -1;
    for (int i = 0; i < d->n_lanes; i++) {
        struct lane *l = &d->lane[i];
        l->base = i * d->width;
        l->now = ARENA_NEW(a, struct hypothesis, width, e);
        l->next = ARENA_NEW(a, struct hypothesis, width, e);
        l->done = ARENA_NEW(a, struct hypothesis, n_done, e);
        l->sequence = ARENA_NEW(a, int, width, e);
        if (!l->now || !l->next || !l->done || !l->sequence) return -1;
    }
    *out = d;
    return 0;
}

/* A number in [0, 1) that depends on the seed, the text and how many came before: a run can be
 * replayed, and a window's samples do not depend on its neighbours. */
static float draw(const struct decode *d, struct lane *l)
{
    uint64_t at = (d->o.seed * 0x9E3779B97F4A7C15u ^ l->key) * 0xD1342543DE82EF95u + l->draws++;
    return (tensor_hash("draw", at, 1.0f) + 1) / 2;
}

/* What may follow the tokens so far: openai's ApplyTimestampRules, which leave the first token
 * after a forced beginning alone. */
static void set_rule(const struct decode *d, const struct lane *l, const int *token, int n,
                     int32_t rule[OP_RULES])
{
    int sampled = n - l->prompt.forced;
    const struct net_whisper_config *c = &d->s->net.config;
    int32_t bits = 0, from = c->time0, to = c->vocab - 1;
    if (!l->timestamps) {
        bits = OP_RULE_BAN_TIMES; /* one that is sampled all the same would begin a segment */
    } else if (n == 0) {
        bits = OP_RULE_BAN_TEXT | OP_RULE_BAN_EOT;
        to = MIN(to, c->time0 + d->o.initial_times);
    } else if (sampled > 0) {
        bool last = token[n - 1] >= c->time0, before = sampled < 2 || token[n - 2] >= c->time0;
        int latest = n - 1;
        while (latest > 0 && token[latest] < c->time0) latest--;
        if (last && before)
            bits = OP_RULE_BAN_TIMES;
        else
            bits = OP_RULE_MASS | (last ? OP_RULE_BAN_TEXT : 0);
        from = token[latest] +
               (last ? 0 : 1); /* a segment may end where it began only to close a pair */
    }
    bool blank = sampled <= 0 && d->o.suppress_blank;
    int32_t filled[OP_RULES] = {bits, from, to, blank ? c->blank : -1, blank ? c->eot : -1};
    memcpy(rule, filled, sizeof filled);
}

/* ---- filling a run: rows of tokens, picks of logits ---- */

static void add_row(struct decode *d, struct lane *l, int token, int position, int sequence)
{
    struct speech *s = d->s;
    int row = (*s->n_rows)++;
    sequence += l->base;
    s->token[row] = token;
    s->position[row] = position;
    s->sequence[row] = sequence;
    s->window[row] = (int32_t)(l - d->lane);
    s->history[(size_t)sequence * (size_t)s->net.config.text_ctx + (size_t)position] = sequence;
    l->rows++;
}

/* What makes a token less likely or impossible because of the tokens so far: the list of op.def's
 * dampen. As CTranslate2's RepetitionPenalty and NoRepeatNgram; a run may be made of any tokens. */
static void fill_list(const struct decode *d, const int *token, int n, int32_t *list)
{
    int most = d->s->net.config.text_ctx, at = 0, run = d->o.no_repeat_ngram;
    for (int i = 0; i < n; i++) list[at++] = token[i];
    for (int i = 0; run > 0 && i + run <= n; i++)
        if (memcmp(token + i, token + n - run + 1, (size_t)(run - 1) * sizeof *token) == 0)
            list[at++] = -2 - token[i + run - 1];
    assert(at <= most);
    while (at < most) list[at++] = -1;
}

/* Logits of the row added last, ruled by what this hypothesis has so far. raw: they are those of
 * sot, which tell whether anything is said. */
static void add_pick(struct decode *d, struct lane *l, const int *token, int n, bool raw)
{
    struct speech *s = d->s;
    int pick = (*s->n_picks)++;
    s->pick[pick] = *s->n_rows - 1;
    int32_t *rule = s->rule + pick * OP_RULES;
    set_rule(d, l, token, n, rule);
    if (raw) rule[0] |= OP_RULE_RAW;
    if (s->list) fill_list(d, token, n, s->list + (size_t)pick * (size_t)s->net.config.text_ctx);
    s->chance[2 * pick] = (float)l->temperature;
    s->chance[2 * pick + 1] = l->temperature > 0 ? draw(d, l) : 0;
    l->n_picks++;
}

/* As much of the prompt as there is room for, all but its last token; no_speech is taken where sot
 * is, before any rule. */
static void fill_prompt(struct decode *d, struct lane *l)
{
    const struct net_whisper_shape *shape = &d->s->net.shape;
    while (l->fed < l->prompt.n - 1 && *d->s->n_rows < shape->rows) {
        bool sot = l->fed == l->prompt.sot_at;
        if (sot && *d->s->n_picks == shape->picks) return;
        add_row(d, l, l->prompt.token[l->fed], l->fed, 0);
        l->fed++;
        if (!sot) continue;
        add_pick(d, l, NULL, 0, true);
        l->sot_picked = true;
    }
}

/* The last token of the prompt: one row, and its logits once for each beam search or sample. */
static void fill_first(struct decode *d, struct lane *l)
{
    add_row(d, l, l->prompt.token[l->prompt.n - 1], l->prompt.n - 1, 0);
    bool sot = l->prompt.sot_at == l->prompt.n - 1;
    for (int i = 0; i < l->n_now; i++) add_pick(d, l, l->now[i].token, l->now[i].n, sot);
}

static void fill_next(struct decode *d, struct lane *l)
{
    for (int i = 0; i < l->n_now; i++) {
        const struct hypothesis *h = &l->now[l->sequence[i]];
        add_row(d, l, h->token[h->n - 1], l->prompt.n - l->prompt.forced + h->n - 1,
                l->sequence[i]);
        add_pick(d, l, h->token, h->n, false);
    }
}

/* Adds the lane to the run if there is room for all it needs; else it waits for the next one. */
static void fill(struct decode *d, struct lane *l)
{
    const struct speech *s = d->s;
    int rows = l->stage == NEXT ? l->n_now : 1, picks = l->stage == PROMPT ? 0 : l->n_now;
    l->rows = l->n_picks = 0;
    l->sot_picked = false;
    l->pick0 = *s->n_picks;
    if (*s->n_rows + rows > s->net.shape.rows || *s->n_picks + picks > s->net.shape.picks) return;
    if (l->stage == PROMPT)
        fill_prompt(d, l);
    else if (l->stage == FIRST)
        fill_first(d, l);
    else if (l->stage == NEXT)
        fill_next(d, l);
}

/* ---- loops ---- */

#define LOOP_TIMES 4 /* the same this often, */
#define LOOP_TOKENS                                                                \
    40 /* and this long, is no speech: openai's threshold of 2.4 for how well text \
          compresses would not trust it either */

int decode_loop(const int *token, int n, int time0)
{
    for (int period = 1; period * LOOP_TIMES <= n; period++) {
        int i = n - 1;
        while (i >= period &&
               (token[i] == token[i - period] || (token[i] >= time0 && token[i - period] >= time0)))
            i--;
        int again = n - 1 - i, whole = again + period;
        if (whole >= LOOP_TOKENS && whole >= LOOP_TIMES * period) return again;
    }
    return 0;
}

/* A loop of h that has just got longer, if loops are to be stopped. */
static bool loops(const struct decode *d, struct hypothesis *h)
{
    if (d->o.stop_loops) h->loop = decode_loop(h->token, h->n, d->s->net.config.time0);
    return h->loop > 0;
}

/* ---- beam search ---- */

static int by_sum(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->sum != y->sum) return x->sum < y->sum ? 1 : -1;
    if (x->parent != y->parent) return x->parent - y->parent;
    return x->token - y->token;
}

/* The 2 * beam best continuations of all beams, best first. */
static int gather_candidates(struct decode *d, const struct lane *l)
{
    const struct speech *s = d->s;
    int top = s->net.shape.top, n = 0;
    for (int b = 0; b < l->n_now; b++) {
        for (int j = 0; j < top; j++) {
            int at = (l->pick0 + b) * top + j;
            if (s->top_logp[at] == -INFINITY) break;
            d->candidate[n++] =
                (struct candidate){l->now[b].sum + (double)s->top_logp[at], b, s->top_token[at]};
        }
    }
    qsort(d->candidate, (size_t)n, sizeof *d->candidate, by_sum);
    return MIN(n, 2 * d->o.beam);
}

static void extend(struct hypothesis *to, const struct hypothesis *from, const struct candidate *c)
{
    memcpy(to->token, from->token, (size_t)from->n * sizeof *to->token);
    to->n = from->n;
    to->loop = 0;
    to->sum = c->sum;
    if (c->token >= 0) to->token[to->n++] = c->token;
}

static int32_t *history_of(const struct decode *d, const struct lane *l, int sequence)
{
    return d->s->history + (size_t)(l->base + sequence) * (size_t)d->s->net.config.text_ctx;
}

/* Beam `slot` goes on with candidate c: its tokens and the history of its caches. */
static void continue_with(struct decode *d, struct lane *l, int slot, const struct candidate *c)
{
    size_t context = (size_t)d->s->net.config.text_ctx;
    extend(&l->next[slot], &l->now[c->parent], c);
    memcpy(d->history + (size_t)slot * context, history_of(d, l, c->parent),
           context * sizeof *d->history);
}

/* Without a length penalty no longer text can overtake the leader once it has ended. */
static bool enough(const struct decode *d, const struct lane *l)
{
    return l->n_done >= MAX((int)lround(d->o.beam * d->o.patience), 1) ||
           (d->o.length_penalty == 0 && l->leader_ended);
}

/* Whether the likeliest of the live beams loops: it is recorded then. */
static bool leads_into_loop(const struct decode *d, struct lane *l, int live)
{
    struct hypothesis *best = l->next;
    for (int i = 1; i < live; i++)
        if (l->next[i].sum > best->sum) best = &l->next[i];
    if (!loops(d, best)) return false;
    l->done[l->n_done++] = *best;
    return true;
}

/* One selection: finished candidates are recorded and replaced by spare ones. The lane is finished
 * when enough are recorded. */
static void select_beams(struct decode *d, struct lane *l)
{
    int eot = d->s->net.config.eot, n = gather_candidates(d, l), spare = d->o.beam, live = 0;
    bool last_step = ++l->steps == l->most;
    for (int k = 0; k < MIN(n, d->o.beam); k++) {
        struct candidate c = d->candidate[k];
        if (c.token == eot || last_step) {
            l->leader_ended |= k == 0;
            struct candidate end = {c.sum, c.parent, c.token == eot ? -1 : c.token};
            extend(&l->done[l->n_done++], &l->now[c.parent], &end);
            while (spare < n && d->candidate[spare].token == eot) spare++;
            if (spare >= n) continue;
            c = d->candidate[spare++];
        }
        l->sequence[live] = live;
        continue_with(d, l, live++, &c);
    }
    if (last_step || live == 0 || enough(d, l) || leads_into_loop(d, l, live)) {
        l->stage = FINISHED;
        return;
    }
    struct hypothesis *swap = l->now;
    l->now = l->next;
    l->next = swap;
    l->n_now = live;
    memcpy(history_of(d, l, 0), d->history,
           (size_t)live * (size_t)d->s->net.config.text_ctx * sizeof *d->history);
}

/* ---- greedy and sampling: every sequence goes its own way ---- */

static void take_tokens(struct decode *d, struct lane *l)
{
    const struct speech *s = d->s;
    int live = 0, top = s->net.shape.top;
    bool sampled = l->temperature > 0;
    for (int i = 0; i < l->n_now; i++) {
        struct hypothesis *h = &l->now[l->sequence[i]];
        int at = l->pick0 + i, token = sampled ? s->sampled[at] : s->top_token[at * top];
        h->sum += (double)(sampled ? s->sampled_logp[at] : s->top_logp[at * top]);
        if (token != s->net.config.eot) h->token[h->n++] = token;
        if (token == s->net.config.eot || h->n == l->most || loops(d, h))
            l->done[l->n_done++] = *h;
        else
            l->sequence[live++] = l->sequence[i];
    }
    l->n_now = live;
    if (live == 0) l->stage = FINISHED;
}

/* ---- lanes ---- */

void decode_reset(struct decode *d)
{
    for (int i = 0; i < d->n_lanes; i++) d->lane[i].stage = IDLE;
}

void decode_start(struct decode *d, int lane, const struct decode_prompt *p, double temperature,
                  uint64_t key)
{
    struct lane *l = &d->lane[lane];
    int context = d->s->net.config.text_ctx;
    assert(p->n >= 1 && p->n < context && p->sot_at < p->n);
    l->stage = p->n > 1 ? PROMPT : FIRST;
    l->prompt = *p;
    l->temperature = temperature;
    l->key = key;
    l->draws = 0;
    l->timestamps = p->token[p->n - 1 - p->forced] != d->s->net.config.no_timestamps;
    l->fed = l->n_done = 0;
    l->steps = p->forced;
    l->leader_ended = false;
    l->most = MIN(MIN(DECODE_MOST, context / 2), context - (p->n - p->forced - 1));
    if (d->o.most > 0) l->most = MIN(l->most, p->forced + d->o.most);
    assert(p->forced < l->most);
    l->n_now = temperature > 0 ? d->o.best_of : 1;
    for (int i = 0; i < d->width; i++) {
        memcpy(l->now[i].token, p->token + p->n - p->forced, (size_t)p->forced * sizeof *p->token);
        l->now[i].n = p->forced;
        l->now[i].loop = 0;
        l->now[i].sum = 0;
        l->sequence[i] = i;
        int32_t *history = history_of(d, l, i); /* all share the prompt, which lies in the first */
        for (int t = 0; t < context; t++) history[t] = l->base;
    }
}

/* What a run gave to a lane that was in it. */
static void advance(struct decode *d, struct lane *l)
{
    if (l->rows == 0) return;
    if (l->sot_picked) l->no_speech = (double)d->s->watched[l->pick0];
    if (l->stage == PROMPT) {
        if (l->fed == l->prompt.n - 1) l->stage = FIRST;
        return;
    }
    if (l->stage == FIRST) {
        if (l->prompt.sot_at == l->prompt.n - 1) l->no_speech = (double)d->s->watched[l->pick0];
        l->stage = NEXT;
    }
    if (l->temperature <= 0 && d->o.beam > 1)
        select_beams(d, l);
    else
        take_tokens(d, l);
}

int decode_step(struct decode *d, struct err *e)
{
    *d->s->n_rows = *d->s->n_picks = 0;
    for (int i = 0; i < d->n_lanes; i++) {
        d->lane[i].rows = 0;
        if (d->lane[i].stage == FIRST || d->lane[i].stage == NEXT) fill(d, &d->lane[i]);
    }
    for (int i = 0; i < d->n_lanes; i++) { /* prompts take what room is left */
        if (d->lane[i].stage == PROMPT) fill(d, &d->lane[i]);
    }
    assert(*d->s->n_rows > 0);
    TRY(engine_run(d->s->prepared, d->s->net.tape_step, e));
    for (int i = 0; i < d->n_lanes; i++) advance(d, &d->lane[i]);
    return 0;
}

bool decode_finished(const struct decode *d, int lane)
{
    return d->lane[lane].stage == FINISHED;
}

int decode_take(struct decode *d, int lane, struct decode_result *out, struct err *e)
{
    struct lane *l = &d->lane[lane];
    assert(l->stage == FINISHED);
    l->stage = IDLE;
    if (l->n_done == 0)
        return err_set(e, E_MODEL,
                       "the model gives no probability to any token (are its weights damaged?)");
    const struct hypothesis *best = &l->done[0];
    double best_score = -INFINITY;
    for (int i = 0; i < l->n_done;
         i++) { /* by sum / length^penalty, the length without end of text; the first of equals */
        const struct hypothesis *h = &l->done[i];
        double score = h->n ? h->sum / pow(h->n, d->o.length_penalty) : -INFINITY;
        if (score > best_score) {
            best = h;
            best_score = score;
        }
    }
    memcpy(out->token, best->token, (size_t)best->n * sizeof *out->token);
    out->n = best->n;
    out->loop = best->loop;
    out->avg_logprob = best->sum / (best->n + 1);
    out->no_speech = l->no_speech;
    return 0;
}

int decode_window(struct decode *d, const struct decode_prompt *p, double temperature, uint64_t key,
                  struct decode_result *out, struct err *e)
{
    decode_start(d, 0, p, temperature, key);
    while (!decode_finished(d, 0)) TRY(decode_step(d, e));
    return decode_take(d, 0, out, e);
}
