/* The decoding loop against one that is too simple to be wrong: every hypothesis is run anew from
 * its first token, in a cache of its own, so that nothing depends on histories, live rows or
 * reordering. The model is a small one of hashed weights; its text means nothing. */
#include "jobs/decode.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct net_whisper_config tiny = {
    .n_mels = 8,
    .audio_ctx = 20,
    .text_ctx = 48,
    .width = 64,
    .heads = 1,
    .encoder_layers = 1,
    .decoder_layers = 2,
    .ffn = 128,
    .vocab = 400,
    .eps = 1e-5f,
    .eot = 300,
    .sot = 301,
    .sot_prev = 302,
    .no_speech = 303,
    .no_timestamps = 304,
    .time0 = 305,
    .blank = 7,
    .suppress = {11, 12, 13},
    .n_suppress = 3,
};

struct lab {
    struct arena *a;
    struct err e;
    int first_window;
    float dampen;            /* of `many` */
    struct speech many, one; /* one: a single sequence, all rows, the oracle's */
};

static void must(struct lab *lab, int rc)
{
    if (rc) fail_msg("%s", lab->e.text);
}

static void open_speech(struct lab *lab, struct speech *s, int windows, int sequences, int top)
{
    struct engine_options o = {.device = "cpu", .kernels = "auto", .threads = 2};
    struct net_whisper_source source = {.hashed = true};
    struct net_whisper_shape shape = {.windows = windows,
                                      .sequences = sequences,
                                      .rows = 40,
                                      .picks = sequences,
                                      .top = top,
                                      .dampen = s == &lab->many ? lab->dampen : 0,
                                      .mel_input = true};
    struct plan *plan;
    must(lab, engine_open(lab->a, &o, &s->engine, &lab->e));
    must(lab, net_whisper_plan(lab->a, &source, &tiny, &shape, &plan, &s->net, &lab->e));
    s->plan = plan;
    must(lab, engine_prepare(s->engine, lab->a, plan, NULL, NULL, &s->prepared, &lab->e));
    float *mel = engine_host(s->prepared, s->net.mel);
    for (int w = 0; w < windows; w++) {
        for (uint64_t i = 0; i < 40 * 8; i++)
            mel[i] = tensor_hash("decode test", i + 1000 * (uint64_t)(w + lab->first_window), 1);
        *(int32_t *)engine_host(s->prepared, s->net.slot) = w;
        must(lab, engine_run(s->prepared, s->net.tape_encode, &lab->e));
    }
    s->net.pcm = s->net.loudest = s->net.loudest_in = s->net.content =
        s->net.slot; /* this net has no sound */
    speech_ready(s);
}

static void setup(struct lab *lab, int beam)
{
    memset(lab, 0, sizeof *lab);
    must(lab, arena_open("test", 0, &lab->a, &lab->e));
    open_speech(lab, &lab->many, 1, MAX(beam, 5), beam > 1 ? 2 * beam : 1);
    open_speech(lab, &lab->one, 1, 1, 2 * MAX(beam, 1));
}

static void teardown(struct lab *lab)
{
    engine_release(&lab->many.prepared);
    engine_release(&lab->one.prepared);
    engine_close(&lab->many.engine);
    engine_close(&lab->one.engine);
    arena_close(&lab->a);
}

/* openai's timestamp rules, from the whole text of a hypothesis. */
static void oracle_rule(const int *token, int n, int32_t *rule)
{
    bool any = n > 0;
    int latest = -1;
    for (int i = 0; i < n; i++) {
        if (token[i] >= tiny.time0) latest = token[i];
    }
    bool last = any && token[n - 1] >= tiny.time0, before = n < 2 || token[n - 2] >= tiny.time0;
    int32_t want[OP_RULES] = {0, tiny.time0, tiny.vocab - 1, -1, -1};
    if (!any) {
        want[0] = OP_RULE_BAN_TEXT | OP_RULE_BAN_EOT;
        want[2] = tiny.time0 + 10;
        want[3] = tiny.blank;
        want[4] = tiny.eot;
    } else if (last && before) {
        want[0] = OP_RULE_BAN_TIMES;
    } else if (last) {
        want[0] = OP_RULE_BAN_TEXT | OP_RULE_MASS;
        want[1] = latest;
    } else {
        want[0] = OP_RULE_MASS;
        want[1] = latest + 1;
    }
    memcpy(rule, want, sizeof want);
}

/* The best continuations of one hypothesis: the whole of it in one run of the single sequence.
 * Returns how many. */
static int oracle_step(struct lab *lab, const int *prompt, int n_prompt, const int *token, int n,
                       const int32_t **next, const float **logp)
{
    struct speech *s = &lab->one;
    for (int i = 0; i < n_prompt + n; i++) {
        s->token[i] = i < n_prompt ? prompt[i] : token[i - n_prompt];
        s->position[i] = i;
        s->sequence[i] = s->window[i] = 0;
        s->history[i] = 0;
    }
    *s->n_rows = n_prompt + n;
    *s->n_picks = 1;
    s->pick[0] = n_prompt + n - 1;
    s->chance[0] = s->chance[1] = 0;
    oracle_rule(token, n, s->rule);
    must(lab, engine_run(s->prepared, s->net.tape_step, &lab->e));
    *next = s->top_token;
    *logp = s->top_logp;
    return s->net.shape.top;
}

struct text {
    int token[64], n;
    double sum;
};

/* Beam search as CTranslate2 does it, kept plain. */
static struct text oracle(struct lab *lab, const int *prompt, int n_prompt, int beam, int most)
{
    struct text now[8] = {{{0}, 0, 0}}, done[64], pool[8 * 16];
    int n_now = 1, n_done = 0;
    for (int step = 0; n_now > 0; step++) {
        int n_pool = 0;
        for (int b = 0; b < n_now; b++) {
            const int32_t *next;
            const float *logp;
            int n = oracle_step(lab, prompt, n_prompt, now[b].token, now[b].n, &next, &logp);
            for (int j = 0; j < n && logp[j] > -INFINITY; j++) {
                pool[n_pool] = now[b];
                pool[n_pool].token[pool[n_pool].n++] = next[j];
                pool[n_pool++].sum += (double)logp[j];
            }
        }
        for (int i = 1; i < n_pool; i++) { /* stable insertion sort, best first */
            struct text t = pool[i];
            int at = i;
            for (; at > 0 && pool[at - 1].sum < t.sum; at--) pool[at] = pool[at - 1];
            pool[at] = t;
        }
        n_pool = MIN(n_pool, 2 * beam);
        int spare = beam;
        n_now = 0;
        for (int k = 0; k < MIN(beam, n_pool); k++) {
            struct text t = pool[k];
            bool ends = t.token[t.n - 1] == tiny.eot;
            if (ends || step + 1 == most) {
                done[n_done] = t;
                done[n_done++].n -= ends;
                while (spare < n_pool && pool[spare].token[pool[spare].n - 1] == tiny.eot) spare++;
                if (spare == n_pool) continue;
                t = pool[spare++];
            }
            now[n_now++] = t;
        }
        if (n_done >= beam || step + 1 == most) break;
    }
    struct text best = done[0];
    for (int i = 1; i < n_done; i++) {
        if (done[i].sum / done[i].n > best.sum / best.n) best = done[i];
    }
    return best;
}

/* A window's text, its prompt ending with sot. */
static void decode_one(struct lab *lab, struct decode *d, const int *token, int n, int sot_at,
                       double temperature, struct decode_result *out)
{
    struct decode_prompt p = {.n = n, .sot_at = sot_at};
    memcpy(p.token, token, (size_t)n * sizeof *token);
    must(lab, decode_window(d, &p, temperature, 7, out, &lab->e));
}

static void check_against_oracle(int beam, const int *prompt, int n_prompt)
{
    struct lab lab;
    struct decode *d;
    struct decode_result got;
    setup(&lab, beam);
    struct decode_options o = {.beam = beam,
                               .best_of = 5,
                               .patience = 1,
                               .length_penalty = 1,
                               .initial_times = 10,
                               .suppress_blank = true};
    must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e));
    decode_one(&lab, d, prompt, n_prompt, n_prompt - 1, 0, &got);
    struct text want =
        oracle(&lab, prompt, n_prompt, beam, MIN(tiny.text_ctx / 2, tiny.text_ctx - n_prompt + 1));
    assert_int_equal(got.n, want.n);
    for (int i = 0; i < want.n; i++) assert_int_equal(got.token[i], want.token[i]);
    assert_true(fabs(got.avg_logprob - want.sum / (want.n + 1)) < 1e-3);
    teardown(&lab);
}

static void test_beams(void **state)
{
    (void)state;
    static const int sot[] = {301}, long_prompt[] = {302, 5, 9, 200, 310, 17, 44, 301};
    for (int beam = 1; beam <= 5; beam++) {
        check_against_oracle(beam, sot, 1);
        check_against_oracle(beam, long_prompt, COUNT(long_prompt));
    }
}

/* Pairs, order and range of timestamps hold for every way of choosing. */
static void check_times(const struct decode_result *r)
{
    int latest = tiny.time0;
    assert_true(r->n > 0 && r->token[0] >= tiny.time0 && r->token[0] <= tiny.time0 + 10);
    for (int i = 0; i < r->n; i++) {
        int t = r->token[i];
        assert_true(t != 11 && t != 12 && t != 13 && t != tiny.eot &&
                    (t < tiny.eot || t >= tiny.time0));
        if (t < tiny.time0) continue;
        assert_true(t >= latest);
        latest = t;
        bool opened = i > 0 && r->token[i - 1] >= tiny.time0;
        if (opened && i > 1) assert_true(r->token[i - 2] < tiny.time0);
    }
}

static void test_samples(void **state)
{
    (void)state;
    static const int sot[] = {301};
    struct lab lab;
    struct decode *d;
    struct decode_result first, again, other;
    setup(&lab, 5);
    struct decode_options o = {.beam = 5,
                               .best_of = 5,
                               .patience = 1,
                               .length_penalty = 1,
                               .initial_times = 10,
                               .suppress_blank = true,
                               .seed = 3};
    must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e));
    decode_one(&lab, d, sot, 1, 0, 1.0, &first);
    check_times(&first);
    must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e)); /* the same seed: the same text */
    decode_one(&lab, d, sot, 1, 0, 1.0, &again);
    assert_int_equal(first.n, again.n);
    assert_memory_equal(first.token, again.token, (size_t)first.n * sizeof *first.token);
    o.seed = 4;
    must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e));
    decode_one(&lab, d, sot, 1, 0, 1.0, &other);
    check_times(&other);
    assert_true(other.n != first.n ||
                memcmp(other.token, first.token, (size_t)first.n * sizeof *first.token) != 0);
    teardown(&lab);
}

/* A prompt longer than one step takes, with sot in the middle of it. */
static void test_long_prompt(void **state)
{
    (void)state;
    struct lab lab;
    struct decode *d;
    struct decode_result got;
    int prompt[44];
    for (int i = 0; i < 44; i++) prompt[i] = i * 5;
    prompt[0] = tiny.sot_prev;
    prompt[42] = tiny.sot;
    prompt[43] = tiny.no_timestamps;
    setup(&lab, 2);
    struct decode_options o = {.beam = 2,
                               .best_of = 2,
                               .patience = 1,
                               .length_penalty = 1,
                               .initial_times = 10,
                               .suppress_blank = true};
    must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e));
    decode_one(&lab, d, prompt, 44, 42, 0, &got);
    assert_in_range(got.n, 1, 5); /* 48 - 43 */
    assert_true(got.no_speech > 0 && got.no_speech < 1);
    teardown(&lab);
}

/* Three windows at once, begun one after the other, at different positions and temperatures, give
 * what each gives alone. */
static void test_lanes(void **state)
{
    (void)state;
    static const int prompts[3][3] = {{301}, {302, 44, 301}, {302, 90, 301}};
    static const int lengths[3] = {1, 3, 3};
    static const double temperatures[3] = {0, 0, 0.8};
    struct decode_options o = {.beam = 3,
                               .best_of = 5,
                               .patience = 1,
                               .length_penalty = 1,
                               .initial_times = 10,
                               .suppress_blank = true,
                               .seed = 9};
    struct decode_result alone[3], together[3];
    struct lab lab;
    struct decode *d;
    for (int w = 0; w < 3; w++) {
        memset(&lab, 0, sizeof lab);
        lab.first_window = w;
        must(&lab, arena_open("test", 0, &lab.a, &lab.e));
        open_speech(&lab, &lab.many, 1, 5, 6);
        must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e));
        decode_one(&lab, d, prompts[w], lengths[w], lengths[w] - 1, temperatures[w], &alone[w]);
        teardown(&lab);
    }
    memset(&lab, 0, sizeof lab);
    must(&lab, arena_open("test", 0, &lab.a, &lab.e));
    open_speech(&lab, &lab.many, 3, 15, 6);
    must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e));
    int n_started = 0, n_taken = 0;
    for (int step = 0; n_taken < 3; step++) {
        if (n_started < 3 && step % 2 == 0) {
            struct decode_prompt p = {.n = lengths[n_started], .sot_at = lengths[n_started] - 1};
            memcpy(p.token, prompts[n_started], sizeof prompts[0]);
            decode_start(d, n_started, &p, temperatures[n_started], 7);
            n_started++;
        }
        must(&lab, decode_step(d, &lab.e));
        for (int w = 0; w < n_started; w++) {
            if (!decode_finished(d, w)) continue;
            must(&lab, decode_take(d, w, &together[w], &lab.e));
            n_taken++;
        }
    }
    for (int w = 0; w < 3; w++) {
        assert_int_equal(together[w].n, alone[w].n);
        assert_memory_equal(together[w].token, alone[w].token, (size_t)alone[w].n * sizeof(int));
        assert_true(fabs(together[w].avg_logprob - alone[w].avg_logprob) < 1e-4);
        assert_true(fabs(together[w].no_speech - alone[w].no_speech) < 1e-5);
    }
    teardown(&lab);
}

/* ---- what the text so far does to the next token ---- */

/* The likeliest token after prompt and text, by hand from the bare logits: without timestamps. */
static int likeliest(struct lab *lab, const int *prompt, int n_prompt, const int *token, int n,
                     double penalty, int run)
{
    static float logits[400];
    const int32_t *next;
    const float *logp;
    int best = -1;
    oracle_step(lab, prompt, n_prompt, token, n, &next, &logp);
    must(lab, engine_peek(lab->one.prepared, lab->one.net.logits, logits, sizeof logits, &lab->e));
    for (int i = 0; i < n; i++) {
        bool first = true;
        for (int k = 0; k < i; k++) first &= token[k] != token[i];
        float *x = &logits[token[i]];
        if (first) *x = (float)(*x > 0 ? (double)*x / penalty : (double)*x * penalty);
    }
    for (int v = 0; v < tiny.vocab; v++) {
        bool allowed = (v < 11 || v > 13) && v <= tiny.eot;
        for (int i = 0; run > 0 && i + run <= n; i++) /* would end a run that is there already */
            if (token[i + run - 1] == v &&
                memcmp(token + i, token + n - run + 1, (size_t)(run - 1) * sizeof *token) == 0)
                allowed = false;
        if (allowed && (best < 0 || logits[v] > logits[best])) best = v;
    }
    return best;
}

static void check_greedy(double penalty, int run, int forced)
{
    static const int prompt[] = {302, 5, 44, 301, 304, 17, 21, 9}; /* 3 of them can be forced */
    struct lab lab = {.dampen = (float)penalty};
    struct decode *d;
    struct decode_result got;
    must(&lab, arena_open("test", 0, &lab.a, &lab.e));
    open_speech(&lab, &lab.many, 1, 1, 1);
    open_speech(&lab, &lab.one, 1, 1, 2);
    struct decode_options o = {
        .beam = 1, .best_of = 1, .patience = 1, .length_penalty = 1, .no_repeat_ngram = run};
    must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e));
    struct decode_prompt p = {.n = 5 + forced, .sot_at = 3, .forced = forced};
    memcpy(p.token, prompt, sizeof prompt);
    must(&lab, decode_window(d, &p, 0, 7, &got, &lab.e));
    assert_in_range(got.n, forced + 1, tiny.text_ctx / 2);
    assert_memory_equal(got.token, prompt + 5, (size_t)forced * sizeof *prompt);
    int n = forced;
    for (; n < got.n; n++)
        assert_int_equal(got.token[n], likeliest(&lab, prompt, 5, got.token, n, penalty, run));
    if (n < tiny.text_ctx / 2)
        assert_int_equal(likeliest(&lab, prompt, 5, got.token, n, penalty, run), tiny.eot);
    teardown(&lab);
}

static void test_dampened(void **state)
{
    (void)state;
    check_greedy(1.4, 0, 0);
    check_greedy(1, 1, 0);
    check_greedy(1, 2, 2);
    check_greedy(0.7, 3, 0);
    check_greedy(1.1, 2, 3);
}

/* A forced beginning is kept by every way of choosing, and timestamps go on after its first. */
static void test_forced(void **state)
{
    (void)state;
    static const int prompt[] = {301, 305, 17, 21};
    for (int way = 0; way < 3; way++) {
        struct lab lab;
        struct decode *d;
        struct decode_result got;
        setup(&lab, way == 1 ? 4 : 1);
        struct decode_options o = {.beam = way == 1 ? 4 : 1,
                                   .best_of = 5,
                                   .patience = 1,
                                   .length_penalty = 1,
                                   .initial_times = 10,
                                   .suppress_blank = true,
                                   .most = 6};
        must(&lab, decode_open(lab.a, &lab.many, &o, &d, &lab.e));
        struct decode_prompt p = {.n = 4, .sot_at = 0, .forced = 3};
        memcpy(p.token, prompt, sizeof prompt);
        must(&lab, decode_window(d, &p, way == 2 ? 1.0 : 0, 7, &got, &lab.e));
        assert_in_range(got.n, 3, 9); /* at most 6 new ones */
        assert_memory_equal(got.token, prompt + 1, 3 * sizeof *prompt);
        for (int i = 3, latest = tiny.time0; i < got.n; i++) {
            assert_true(got.token[i] != tiny.no_timestamps);
            if (got.token[i] < tiny.time0) continue;
            assert_true(i == 3 || got.token[i] >= latest);
            latest = got.token[i];
        }
        teardown(&lab);
    }
}

static void test_loop(void **state)
{
    (void)state;
    int t[224];
    for (int period = 1; period <= 30; period++) {
        for (int i = 0; i < 224; i++) t[i] = i < 50 ? 100 + i : i % period;
        int need = MAX(40, 4 * period);
        if (50 + need > 224) continue;
        assert_int_equal(decode_loop(t, 50 + need - 1, 305), 0);
        assert_int_equal(decode_loop(t, 50 + need, 305), need - period);
        assert_int_equal(decode_loop(t, 224, 305), 224 - 50 - period);
    }
    for (int i = 0; i < 224; i++) t[i] = i % 5 ? i % 5 : 305 + i; /* times that go on */
    assert_int_equal(decode_loop(t, 60, 305), 55);
    for (int i = 0; i < 224; i++) t[i] = i * i % 199;
    for (int n = 0; n <= 190; n++) assert_int_equal(decode_loop(t, n, 305), 0);
    assert_int_equal(decode_loop(t, 0, 305), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_beams),       cmocka_unit_test(test_samples),
        cmocka_unit_test(test_long_prompt), cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_dampened),    cmocka_unit_test(test_forced),
        cmocka_unit_test(test_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
