#include "jobs/decode.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct hypothesis {
    int token[DECODE_MOST];
    int n;
    double sum; /* of log-probabilities */
};

struct candidate {
    double sum;
    int parent, token;
};

struct decode {
    struct speech *s;
    struct decode_options o;
    struct hypothesis *now, *next; /* [sequences] what each beam or sample has so far */
    struct hypothesis *done;       /* [2 beams + 1] finished ones */
    int32_t *history;              /* [sequences][text_ctx], to reorder the plan's */
    struct candidate *candidate;   /* [sequences * top] */
    int n_done, first;             /* position of the first sampled token */
    int most;                      /* tokens this window may have */
    bool timestamps;
    uint64_t draws; /* numbers drawn so far */
};

int decode_open(struct arena *a, struct speech *s, const struct decode_options *o,
                struct decode **out, struct err *e)
{
    struct decode *d = ARENA_NEW(a, struct decode, 1, e);
    if (!d) return -1;
    size_t n = (size_t)s->net.shape.sequences;
    d->s = s;
    d->o = *o;
    d->now = ARENA_NEW(a, struct hypothesis, n, e);
    d->next = ARENA_NEW(a, struct hypothesis, n, e);
    d->done = ARENA_NEW(a, struct hypothesis, (size_t)(MAX(o->beam, 1) * (o->patience + 2)) + n, e);
    d->history = ARENA_NEW(a, int32_t, n * (size_t)s->net.config.text_ctx, e);
    d->candidate = ARENA_NEW(a, struct candidate, n * (size_t)s->net.shape.top, e);
    if (!d->now || !d->next || !d->done || !d->history || !d->candidate) return -1;
    *out = d;
    return 0;
}

/* A number in [0, 1) that depends on the seed and on how many came before: the counter makes runs
 * replayable. */
static float draw(struct decode *d)
{
    return (tensor_hash("draw", d->o.seed * 0x100000001u + d->draws++, 1.0f) + 1) / 2;
}

/* What may follow the tokens sampled so far: openai's ApplyTimestampRules. */
static void set_rule(const struct decode *d, const int *token, int n, int32_t rule[OP_RULES])
{
    const struct net_whisper_config *c = &d->s->net.config;
    int32_t bits = 0, from = c->time0, to = c->vocab - 1;
    if (d->timestamps && n == 0) {
        bits = OP_RULE_BAN_TEXT | OP_RULE_BAN_EOT;
        to = MIN(to, c->time0 + d->o.initial_times);
    } else if (d->timestamps) {
        bool last = token[n - 1] >= c->time0, before = n < 2 || token[n - 2] >= c->time0;
        int latest = n - 1;
        while (latest > 0 && token[latest] < c->time0) latest--;
        if (last && before)
            bits = OP_RULE_BAN_TIMES;
        else
            bits = OP_RULE_MASS | (last ? OP_RULE_BAN_TEXT : 0);
        from = token[latest] +
               (last ? 0 : 1); /* a segment may end where it began only to close a pair */
    }
    bool blank = n == 0 && d->o.suppress_blank;
    int32_t filled[OP_RULES] = {bits, from, to, blank ? c->blank : -1, blank ? c->eot : -1};
    memcpy(rule, filled, sizeof filled);
}

static void set_row(struct decode *d, int row, int token, int position, int sequence)
{
    struct speech *s = d->s;
    s->token[row] = token;
    s->position[row] = position;
    s->sequence[row] = sequence;
    s->window[row] = 0;
    s->history[(size_t)sequence * (size_t)s->net.config.text_ctx + (size_t)position] = sequence;
}

static int run_step(struct decode *d, int rows, int picks, struct err *e)
{
    *d->s->n_rows = rows;
    *d->s->n_picks = picks;
    return engine_run(d->s->prepared, d->s->net.tape_step, e);
}

/* All of the prompt but its last token goes into sequence 0. no_speech is taken where sot is,
 * before any rule. */
static int feed_prompt(struct decode *d, const int *prompt, int n, int sot_at, double *no_speech,
                       struct err *e)
{
    struct speech *s = d->s;
    for (int at = 0; at < n - 1;) {
        int rows = MIN(s->net.shape.rows, n - 1 - at);
        for (int r = 0; r < rows; r++) set_row(d, r, prompt[at + r], at + r, 0);
        bool sot = sot_at >= at && sot_at < at + rows;
        if (sot) {
            s->pick[0] = sot_at - at;
            set_rule(d, NULL, 0, s->rule);
            s->chance[0] = s->chance[1] = 0;
        }
        TRY(run_step(d, rows, sot ? 1 : 0, e));
        if (sot) *no_speech = s->watched[0];
        at += rows;
    }
    return 0;
}

/* The last token of the prompt, in sequence 0; `picks` rows of logits, all of that one row. */
static int first_step(struct decode *d, const int *prompt, int n, int sot_at, int picks,
                      double temperature, struct decode_result *out, struct err *e)
{
    struct speech *s = d->s;
    size_t context = (size_t)s->net.config.text_ctx;
    memset(s->history, 0, (size_t)s->net.shape.sequences * context * sizeof *s->history);
    d->timestamps = prompt[n - 1] != s->net.config.no_timestamps;
    TRY(feed_prompt(d, prompt, n, sot_at, &out->no_speech, e));
    set_row(d, 0, prompt[n - 1], n - 1, 0);
    for (int g = 0; g < picks; g++) {
        s->pick[g] = 0;
        set_rule(d, NULL, 0, s->rule + g * OP_RULES);
        s->chance[2 * g] = (float)temperature;
        s->chance[2 * g + 1] = temperature > 0 ? draw(d) : 0;
    }
    TRY(run_step(d, 1, picks, e));
    if (sot_at == n - 1) out->no_speech = s->watched[0];
    return 0;
}

static int by_sum(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->sum != y->sum) return x->sum < y->sum ? 1 : -1;
    if (x->parent != y->parent) return x->parent - y->parent;
    return x->token - y->token;
}

/* The 2 * beam best continuations of all beams, best first. */
static int gather_candidates(struct decode *d, int beams)
{
    struct speech *s = d->s;
    int top = s->net.shape.top, n = 0;
    for (int b = 0; b < beams; b++) {
        for (int j = 0; j < top; j++) {
            float logp = s->top_logp[b * top + j];
            if (logp == -INFINITY) break;
            d->candidate[n++] =
                (struct candidate){d->now[b].sum + (double)logp, b, s->top_token[b * top + j]};
        }
    }
    qsort(d->candidate, (size_t)n, sizeof *d->candidate, by_sum);
    return MIN(n, 2 * d->o.beam);
}

static void extend(struct hypothesis *to, const struct hypothesis *from, const struct candidate *c)
{
    memcpy(to->token, from->token, (size_t)from->n * sizeof *to->token);
    to->n = from->n;
    to->sum = c->sum;
    if (c->token >= 0) to->token[to->n++] = c->token;
}

/* Beam `slot` goes on with candidate c: its tokens and the history of its caches. */
static void continue_with(struct decode *d, int slot, const struct candidate *c)
{
    size_t context = (size_t)d->s->net.config.text_ctx;
    extend(&d->next[slot], &d->now[c->parent], c);
    memcpy(d->history + (size_t)slot * context, d->s->history + (size_t)c->parent * context,
           context * sizeof *d->history);
}

/* One selection: finished candidates are recorded and replaced by spare ones. Returns how many
 * beams go on; 0 when the search is over. */
static int select_beams(struct decode *d, int beams, bool last_step)
{
    int eot = d->s->net.config.eot, n = gather_candidates(d, beams), spare = d->o.beam, live = 0;
    for (int k = 0; k < MIN(n, d->o.beam); k++) {
        struct candidate c = d->candidate[k];
        if (c.token == eot || last_step) {
            struct candidate end = {c.sum, c.parent, c.token == eot ? -1 : c.token};
            extend(&d->done[d->n_done++], &d->now[c.parent], &end);
            while (spare < n && d->candidate[spare].token == eot) spare++;
            if (spare >= n) continue;
            c = d->candidate[spare++];
        }
        continue_with(d, live++, &c);
    }
    if (last_step || d->n_done >= (int)lround(d->o.beam * d->o.patience)) return 0;
    struct hypothesis *swap = d->now;
    d->now = d->next;
    d->next = swap;
    memcpy(d->s->history, d->history,
           (size_t)live * (size_t)d->s->net.config.text_ctx * sizeof *d->history);
    return live;
}

/* The next token of each of n hypotheses; hypothesis i lives in sequence[i] (or in i when sequence
 * is NULL). */
static int next_step(struct decode *d, int n, const int *sequence, double temperature,
                     struct err *e)
{
    struct speech *s = d->s;
    for (int i = 0; i < n; i++) {
        int q = sequence ? sequence[i] : i;
        const struct hypothesis *h = &d->now[q];
        set_row(d, i, h->token[h->n - 1], d->first + h->n - 1, q);
        s->pick[i] = i;
        set_rule(d, h->token, h->n, s->rule + i * OP_RULES);
        s->chance[2 * i] = (float)temperature;
        s->chance[2 * i + 1] = temperature > 0 ? draw(d) : 0;
    }
    return run_step(d, n, n, e);
}

static int beam_search(struct decode *d, struct err *e)
{
    int beams = select_beams(d, 1, d->most == 1);
    for (int step = 1; beams > 0; step++) {
        TRY(next_step(d, beams, NULL, 0, e));
        beams = select_beams(d, beams, step + 1 == d->most);
    }
    return 0;
}

/* Takes what the step chose for each living sequence; those that end move to done. Returns how many
 * live on. */
static int take_tokens(struct decode *d, int *sequence, int n, bool sampled)
{
    struct speech *s = d->s;
    int live = 0, top = s->net.shape.top;
    for (int i = 0; i < n; i++) {
        struct hypothesis *h = &d->now[sequence[i]];
        int token = sampled ? s->sampled[i] : s->top_token[i * top];
        h->sum += (double)(sampled ? s->sampled_logp[i] : s->top_logp[i * top]);
        if (token != s->net.config.eot) h->token[h->n++] = token;
        if (token == s->net.config.eot || h->n == d->most) {
            d->done[d->n_done++] = *h;
        } else {
            sequence[live++] = sequence[i];
        }
    }
    return live;
}

/* Greedy (one sequence) or best_of independent samples. */
static int sample(struct decode *d, int n, double temperature, struct err *e)
{
    int sequence[64];
    assert(n <= (int)COUNT(sequence));
    for (int i = 0; i < n; i++) sequence[i] = i;
    n = take_tokens(d, sequence, n, temperature > 0);
    while (n > 0) {
        TRY(next_step(d, n, sequence, temperature, e));
        n = take_tokens(d, sequence, n, temperature > 0);
    }
    return 0;
}

/* Ranked by sum / length^penalty, the length without end of text; the first of equals. */
static void best_of(const struct decode *d, struct decode_result *out)
{
    const struct hypothesis *best = &d->done[0];
    double best_score = -INFINITY;
    for (int i = 0; i < d->n_done; i++) {
        const struct hypothesis *h = &d->done[i];
        double score = h->n ? h->sum / pow(h->n, d->o.length_penalty) : -INFINITY;
        if (score > best_score) {
            best = h;
            best_score = score;
        }
    }
    memcpy(out->token, best->token, (size_t)best->n * sizeof *out->token);
    out->n = best->n;
    out->avg_logprob = best->sum / (best->n + 1);
}

int decode_window(struct decode *d, const int *prompt, int n_prompt, int sot_at, double temperature,
                  struct decode_result *out, struct err *e)
{
    int context = d->s->net.config.text_ctx;
    assert(n_prompt >= 1 && n_prompt < context && sot_at < n_prompt);
    bool beams = temperature <= 0 && d->o.beam > 1;
    int n = beams || temperature <= 0 ? 1 : d->o.best_of;
    d->first = n_prompt;
    d->n_done = 0;
    d->most = MIN(MIN(DECODE_MOST, context / 2), context - (n_prompt - 1));
    for (int i = 0; i < d->s->net.shape.sequences; i++) d->now[i].n = 0, d->now[i].sum = 0;

    TRY(first_step(d, prompt, n_prompt, sot_at, n, temperature, out, e));
    if (beams)
        TRY(beam_search(d, e));
    else
        TRY(sample(d, n, temperature, e));
    if (d->n_done == 0)
        return err_set(e, E_MODEL,
                       "the model gives no probability to any token (are its weights damaged?)");
    best_of(d, out);
    return 0;
}
