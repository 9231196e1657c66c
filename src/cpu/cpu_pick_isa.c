/* pick: from logits to tokens. Each member looks through its columns of every row once, a block at
 * a time (the largest, the sum of exponentials, the best few, for text and for timestamps apart,
 * because whether text is allowed at all depends on both); then each takes some of the rows and
 * joins what all found. */
#include "cpu/cpu_fast.h"
#include "cpu/cpu_isa.h"
#include <math.h>

struct row {
    const struct op_args *args;
    const float *logits, *ban;
    const int32_t *rule;
    int64_t v_count, time0; /* time0: v_count if there are no timestamps */
};

static struct row row_of(const struct cpu_step *s, int64_t g)
{
    int64_t v_count = s->in[0]->plan->dim[1];
    const struct op_args *args = &s->step->args;
    return (struct row){.args = args,
                        .logits = (const float *)s->in[0]->data + g * v_count,
                        .ban = s->in[1]->data,
                        .rule = (const int32_t *)s->in[2]->data + g * OP_RULES,
                        .v_count = v_count,
                        .time0 = args->time0 >= 0 ? args->time0 : v_count};
}

/* Whether the probability before any rule is wanted. */
static bool watches(const struct row *r)
{
    return r->args->watch >= 0 && (r->rule[0] & OP_RULE_RAW);
}

/* y [from, to) = -inf; y holds tokens from `first` to before `last`. */
static void forbid(float *y, int64_t first, int64_t last, int64_t from, int64_t to)
{
    for (int64_t v = MAX(first, from); v < MIN(last, to); v++) y[v - first] = -INFINITY;
}

/* y: logits of tokens [first, last) after ban and rules (all but OP_RULE_MASS); what is not a
 * number is not allowed. */
static void apply_rules(const struct row *r, int64_t first, int64_t last, float *y)
{
    vf never = vf_all(-INFINITY); /* what vf_max makes of NaN */
    int64_t v = first;
    for (; v + W <= last; v += W)
        vf_store(y + v - first, vf_max(vf_load(r->logits + v) + vf_load(r->ban + v), never));
    if (v < last) {
        vf x = vf_load_n(r->logits + v, last - v) + vf_load_n(r->ban + v, last - v);
        vf_store_n(y + v - first, vf_max(x, never), last - v);
    }
    int32_t bits = r->rule[0];
    if (bits & OP_RULE_BAN_TEXT) forbid(y, first, last, 0, r->args->eot);
    if (bits & OP_RULE_BAN_EOT) forbid(y, first, last, r->args->eot, (int64_t)r->args->eot + 1);
    if (bits & OP_RULE_BAN_TIMES) forbid(y, first, last, r->time0, r->v_count);
    forbid(y, first, last, r->time0, r->rule[1]);
    forbid(y, first, last, MAX(r->time0, (int64_t)r->rule[2] + 1), r->v_count);
    for (int i = 3; i <= 4; i++)
        if (r->rule[i] >= 0) forbid(y, first, last, r->rule[i], (int64_t)r->rule[i] + 1);
}

/* Sum of exp((y - most) * by), 0 if nothing is allowed. */
static float sum_exp(const float *y, int64_t n, float most, float by)
{
    if (isinf(most)) return 0;
    vf sum = vf_all(0);
    int64_t v = 0;
    for (; v + W <= n; v += W) sum += vf_exp((vf_load(y + v) - most) * by);
    float rest = 0;
    if (v < n) {
        vf last = vf_exp((vf_load_n(y + v, n - v) - most) * by);
        for (int64_t i = 0; i < n - v; i++) rest += last[i];
    }
    return vf_sum(sum) + rest;
}

/* Puts (value, token) in its place among the `top` best, if it has one; tokens come in rising
 * order, so that of equals the lower stays first. */
static void keep(struct fast_best *best, int64_t top, float value, int64_t token)
{
    if (!(value > best[top - 1].value)) return;
    int64_t i = top - 1;
    for (; i > 0 && value > best[i - 1].value; i--) best[i] = best[i - 1];
    best[i] = (struct fast_best){value, (int32_t)token};
}

static void find_best(const float *y, int64_t n, int64_t token, struct fast_best *best, int64_t top)
{
    int64_t v = 0;
    for (; v + 4 * W <= n; v += 4 * W) {
        vf a = vf_max(vf_load(y + v), vf_load(y + v + W));
        vf b = vf_max(vf_load(y + v + 2 * W), vf_load(y + v + 3 * W));
        if (!vi_any(vf_max(a, b) > best[top - 1].value)) continue;
        for (int64_t i = v; i < v + 4 * W; i++) keep(best, top, y[i], token + i);
    }
    for (; v < n; v++) keep(best, top, y[v], token + v);
}

/* Columns [first, last) of one row, whole blocks but at its end. note: of the row; best [2][top]:
 * of this member. */
static void look_through(const struct row *r, int64_t first, int64_t last, float *note,
                         int64_t blocks, struct fast_best *best)
{
    float y[FAST_BLOCK];
    int64_t top = r->args->top;
    for (int64_t j = 0; j < 2 * top; j++) best[j] = (struct fast_best){-INFINITY, -1};
    for (int64_t v = first; v < last; v += FAST_BLOCK) {
        float *own = note + v / FAST_BLOCK;
        int64_t n = MIN((int64_t)FAST_BLOCK, last - v), text = MAX(MIN(r->time0 - v, n), 0);
        apply_rules(r, v, v + n, y);
        for (int side = 0; side < 2; side++) {
            const float *x = y + (side ? text : 0);
            int64_t some = side ? n - text : text;
            float most = vf_largest(x, some, false);
            own[(FAST_MOST + side) * blocks] = most;
            own[(FAST_SUM + side) * blocks] = sum_exp(x, some, most, 1);
            find_best(x, some, v + (x - y), best + side * top, top);
        }
        if (!watches(r)) continue;
        float most = vf_largest(r->logits + v, n, false);
        own[FAST_RAW_MOST * blocks] = most;
        own[FAST_RAW_SUM * blocks] = sum_exp(r->logits + v, n, most, 1);
    }
}

/* log(sum(exp)) of the whole from its blocks; most: the largest, finite. */
static double join(float most, const float *mosts, const float *sums, int64_t blocks)
{
    vf sum = vf_all(0);
    for (int64_t b = 0; b < blocks; b += W) {
        int64_t n = MIN((int64_t)W, blocks - b);
        vf below = vf_min(vf_load_n(mosts + b, n) - most, vf_all(0)); /* after the end are zeros */
        sum += vf_load_n(sums + b, n) * vf_exp(below);
    }
    return (double)most + log((double)vf_sum(sum));
}

struct joined {
    double mass[2]; /* log of the sum of exponentials of either side */
    float most[2];
    bool text;    /* side 0 may be sampled */
    double whole; /* of what may be sampled */
};

static struct joined join_blocks(const struct row *r, const float *note, int64_t blocks)
{
    struct joined all;
    for (int side = 0; side < 2; side++) {
        const float *mosts = note + (FAST_MOST + side) * blocks;
        float most = vf_largest(mosts, blocks, false);
        all.most[side] = most;
        all.mass[side] =
            isinf(most) ? -INFINITY : join(most, mosts, note + (FAST_SUM + side) * blocks, blocks);
    }
    all.text =
        !((r->rule[0] & OP_RULE_MASS) && r->args->time0 >= 0 && all.mass[1] > (double)all.most[0]);
    double high = all.text ? fmax(all.mass[0], all.mass[1]) : all.mass[1];
    double low = all.text ? fmin(all.mass[0], all.mass[1]) : -INFINITY;
    all.whole = isinf(high) ? high : high + log1p(exp(low - high));
    return all;
}

/* The best of all members, whose [2][top] lie `apart` bytes from each other, the lower token first
 * among equals; if fewer than `top` are allowed, the lowest of the others follow with -inf. */
static void join_best(const struct row *r, char *members, size_t apart, int n_members,
                      const struct joined *all, int32_t *token, float *chance)
{
    int64_t top = r->args->top, n = 0;
    for (; n < top; n++) {
        struct fast_best *next = NULL;
        for (int side = all->text ? 0 : 1; side < 2; side++) {
            for (int i = 0; i < n_members; i++) {
                struct fast_best *best =
                    (struct fast_best *)(members + (size_t)i * apart) + side * top;
                int64_t j = 0;
                while (j < top && best[j].token < 0) j++; /* taken already */
                if (j < top && isfinite(best[j].value) && (!next || best[j].value > next->value))
                    next = &best[j];
            }
        }
        if (!next) break;
        token[n] = next->token;
        chance[n] = (float)((double)next->value - all->whole);
        next->token = -1;
    }
    for (int32_t v = 0; n < top; v++) {
        bool listed = false;
        for (int64_t j = 0; j < n; j++) listed |= token[j] == v;
        if (listed) continue;
        token[n] = v;
        chance[n++] = -INFINITY;
    }
}

/* The first token whose cumulative softmax(y / temperature) exceeds u, or the last allowed one.
 * *value: its logit. Once per sampled token, so not in parts. */
static int64_t sample(const struct row *r, const struct joined *all, const float *chance,
                      float *value)
{
    float y[FAST_BLOCK];
    float most = all->text ? fmaxf(all->most[0], all->most[1]) : all->most[1], by = 1 / chance[0];
    int64_t begin = all->text ? 0 : r->time0, token = -1;
    double whole = 0, sum = 0;
    for (int64_t v = begin; v < r->v_count; v += FAST_BLOCK) {
        int64_t n = MIN((int64_t)FAST_BLOCK, r->v_count - v);
        apply_rules(r, v, v + n, y);
        whole += (double)sum_exp(y, n, most, by);
    }
    double goal = (double)chance[1] * whole;
    for (int64_t v = begin; v < r->v_count && sum <= goal; v += FAST_BLOCK) {
        int64_t n = MIN((int64_t)FAST_BLOCK, r->v_count - v);
        apply_rules(r, v, v + n, y);
        double block = (double)sum_exp(y, n, most, by);
        if (sum + block <= goal && v + n < r->v_count) {
            sum += block;
            continue;
        }
        for (int64_t i = 0; i < n && sum <= goal; i++) {
            if (isinf(y[i])) continue;
            token = v + i;
            *value = y[i];
            sum += exp((double)((y[i] - most) * by));
        }
    }
    return token;
}

static void finish(const struct cpu_step *s, int64_t g, const float *note, int64_t blocks,
                   char *members, size_t apart, int n_members)
{
    struct row r = row_of(s, g);
    const float *chance = (const float *)s->in[3]->data + g * 2;
    int32_t *token = (int32_t *)s->out[0]->data + g * r.args->top;
    float *logp = (float *)s->out[1]->data + g * r.args->top, value = 0;
    struct joined all = join_blocks(&r, note, blocks);
    join_best(&r, members, apart, n_members, &all, token, logp);
    int64_t taken = chance[0] > 0 ? sample(&r, &all, chance, &value) : -1;
    ((int32_t *)s->out[2]->data)[g] = taken < 0 ? token[0] : (int32_t)taken;
    ((float *)s->out[3]->data)[g] = taken < 0 ? logp[0] : (float)((double)value - all.whole);
    float watched = 0;
    if (watches(&r)) {
        const float *mosts = note + FAST_RAW_MOST * blocks;
        double raw =
            join(vf_largest(mosts, blocks, false), mosts, note + FAST_RAW_SUM * blocks, blocks);
        watched = (float)exp((double)r.logits[r.args->watch] - raw);
    }
    ((float *)s->out[4]->data)[g] = watched;
}

int ISA_NAME(cpu_pick_pick)(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t g_count = s->in[0]->rows, v_count = s->in[0]->plan->dim[1], first, last, from, to;
    struct fast_pick m =
        fast_pick_layout(s->in[0]->plan->dim[0], v_count, s->step->args.top, s->threads);
    size_t apart = (size_t)s->in[0]->plan->dim[0] * m.best; /* from member to member */
    float *notes = s->scratch;
    char *members = (char *)s->scratch + m.notes, *mine = members + (size_t)id * apart;
    thread_share(team, id, v_count, FAST_BLOCK, &first, &last);
    for (int64_t g = 0; g < g_count; g++) {
        struct row r = row_of(s, g);
        look_through(&r, first, last, notes + g * FAST_NOTES * m.blocks, m.blocks,
                     (struct fast_best *)(mine + (size_t)g * m.best));
    }
    thread_barrier(team);
    thread_share(team, id, g_count, 1, &from, &to);
    for (int64_t g = from; g < to; g++)
        finish(s, g, notes + g * FAST_NOTES * m.blocks, m.blocks, members + (size_t)g * m.best,
               apart, team->n);
    return 0;
}

int ISA_NAME(cpu_pick_probe)(const struct cpu_step *s, struct thread_team *team, int id)
{
    int64_t v_count = s->in[0]->plan->dim[1], n = s->step->args.eot, from, to;
    thread_share(team, id, s->in[0]->rows, 1, &from, &to);
    for (int64_t r = from; r < to; r++) {
        const float *x = (const float *)s->in[0]->data + r * v_count;
        float most = vf_largest(x, n, false), own = x[((const int32_t *)s->in[1]->data)[r]];
        ((float *)s->out[0]->data)[r] = expf(own - most) / sum_exp(x, n, most, 1);
    }
    return 0;
}
