/* The reference kernels against numbers worked out by hand. Everything else is held to them. */
#include "lab.h"

#define ARGS(...) ((struct op_args){__VA_ARGS__})

static void test_logmel(void **state)
{
    (void)state;
    enum { T = 2, N = 160 * T + 240, BIN = 10 };
    /* a cosine that fits a bin: with a Hann window of sum 200 its amplitude there is 100, half of
     * it in the bins beside, nothing elsewhere; the same in every frame */
    float filters[4 * 201] = {0};
    filters[BIN] = 1;
    filters[201 + BIN + 1] = 1;
    filters[2 * 201 + 50] = 1;
    filters[3 * 201 + BIN] = filters[3 * 201 + BIN + 1] = 0.5f;
    struct lab l;
    lab_open(&l, "ref", 2);
    int pcm = lab_input(&l, "pcm", DTYPE_F32, DIMS(1, N), -1);
    int w = lab_weight(&l, "filters", DTYPE_F32, DIMS(4, 201), filters, false);
    int mel = lab_output(&l, "mel", DTYPE_F32, DIMS(1, 4, T), -1);
    int most = lab_output(&l, "most", DTYPE_F32, DIMS(1), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_logmel, ARGS(0), IDS(pcm, w), IDS(mel, most));
    lab_ready(&l);
    float *x = lab_host(&l, pcm);
    for (int i = 0; i < N; i++) x[i] = (float)cos(2 * M_PI * BIN * i / 400);
    lab_run(&l, 0);
    LAB_NEAR(lab_host(&l, mel), 1e-6, 4, 4, 3.3979400f, 3.3979400f, -10, -10, 3.7958800f,
             3.7958800f);
    LAB_NEAR(lab_host(&l, most), 1e-6, 4);
    memset(x, 0, N * sizeof *x);
    lab_run(&l, 0);
    LAB_NEAR(lab_host(&l, most), 0, -10);
    lab_close(&l);
}

static void test_melnorm(void **state)
{
    (void)state;
    struct lab l;
    lab_open(&l, "ref", 1);
    int mel = lab_input(&l, "mel", DTYPE_F32, DIMS(1, 2, 3), -1);
    int most = lab_input(&l, "most", DTYPE_F32, DIMS(1), -1);
    int content = lab_input(&l, "content", DTYPE_I32, DIMS(1), -1);
    int out = lab_output(&l, "out", DTYPE_F32, DIMS(1, 3, 2), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_melnorm, ARGS(0), IDS(mel, most, content), IDS(out));
    lab_ready(&l);
    LAB_PUT(&l, mel, float, 3, -1, 2, -10, 0, 1);
    LAB_PUT(&l, most, float, 4); /* so -4 is the floor */
    LAB_PUT(&l, content, int32_t, 2);
    lab_run(&l, 0);
    LAB_NEAR(lab_host(&l, out), 0, 1.75f, 0, 0.75f, 1, 0, 0);
    lab_close(&l);
}

static void conv(int stride, enum op_act act, const float *want, size_t n)
{
    /* x [1,4,2]; w [2,2,3]: the first row sums all taps of channel 0, the second takes the next
     * frame of channel 1 */
    static const float w[] = {1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1}, b[] = {-4, 0.5f};
    struct lab l;
    lab_open(&l, "ref", 2);
    int x = lab_input(&l, "x", DTYPE_F32, DIMS(1, 4, 2), -1);
    int weight = lab_weight(&l, "w", DTYPE_F32, DIMS(2, 2, 3), w, false);
    int bias = lab_weight(&l, "b", DTYPE_F32, DIMS(2), b, false);
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(1, 4 / stride, 2), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_conv1d, ARGS(.stride = stride, .act = act), IDS(x, weight, bias), IDS(y));
    lab_ready(&l);
    LAB_PUT(&l, x, float, 1, 10, 2, 20, 3, 30, 4, 40);
    lab_run(&l, 0);
    lab_near(lab_host(&l, y), want, n, 1e-6);
    lab_close(&l);
}

static void test_conv1d(void **state)
{
    (void)state;
    conv(1, OP_ACT_NONE, (const float[]){-1, 20.5f, 2, 30.5f, 5, 40.5f, 3, 0.5f}, 8);
    conv(2, OP_ACT_NONE, (const float[]){-1, 20.5f, 5, 40.5f}, 4);
    conv(2, OP_ACT_RELU, (const float[]){0, 20.5f, 5, 40.5f}, 4);
    conv(2, OP_ACT_GELU, (const float[]){-0.15865525f, 20.5f, 4.9999986f, 40.5f}, 4);
}

static void test_addpos_layernorm(void **state)
{
    (void)state;
    static const float table[] = {1, 2, 3, 4, 5, 6, 7, 8}, gain[] = {1, 1, 2, 2},
                       offset[] = {0, 0, 0, 10};
    struct lab l;
    lab_open(&l, "ref", 2);
    int x = lab_input(&l, "x", DTYPE_F32, DIMS(2, 2, 4), -1);
    int t = lab_weight(&l, "table", DTYPE_F32, DIMS(2, 4), table, false);
    int g = lab_weight(&l, "gain", DTYPE_F32, DIMS(4), gain, false);
    int o = lab_weight(&l, "offset", DTYPE_F32, DIMS(4), offset, false);
    int sum = lab_output(&l, "sum", DTYPE_F32, DIMS(2, 2, 4), -1);
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(2, 2, 4), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_addpos, ARGS(0), IDS(x, t), IDS(sum));
    lab_step(&l, OP_layernorm, ARGS(.eps = 0), IDS(sum, g, o), IDS(y));
    lab_ready(&l);
    float *in = lab_host(&l, x);
    in[8] = 100; /* second window, first position */
    lab_run(&l, 0);
    LAB_NEAR(lab_host(&l, sum), 0, 1, 2, 3, 4, 5, 6, 7, 8, 101, 2, 3, 4, 5, 6, 7, 8);
    /* 1 2 3 4: mean 2.5, deviation sqrt(1.25); 101 2 3 4: mean 27.5, variance 1801.25 */
    LAB_NEAR(lab_host(&l, y), 1e-6, -1.3416408f, -0.4472136f, 0.8944272f, 12.683282f, -1.3416408f,
             -0.4472136f, 0.8944272f, 12.683282f, 1.7318105f, -0.6008322f, -1.1545404f, 8.8925837f,
             -1.3416408f, -0.4472136f, 0.8944272f, 12.683282f);
    lab_close(&l);
}

static float *linear(struct lab *l, enum dtype type, const void *w, const float *scale, bool as_i8,
                     enum op_act act, const float *x, bool extras)
{
    static const float b[] = {0.5f, -1};
    lab_open(l, "ref", 2);
    int in = lab_input(l, "x", DTYPE_F32, DIMS(2, 3), -1);
    struct tensor t = {.type = type, .rank = 2, .dim = {2, 3}, .data = w, .scale = scale};
    int weight = lab_value(l, plan_weight(l->plan, "w", &t, 1, as_i8, &l->e));
    int bias = extras ? lab_weight(l, "b", DTYPE_F32, DIMS(2), b, false) : -1;
    int residual = extras ? lab_input(l, "residual", DTYPE_F32, DIMS(2, 2), -1) : -1;
    int y = lab_output(l, "y", DTYPE_F32, DIMS(2, 2), -1);
    lab_begin(l, "t");
    lab_step(l, OP_linear, ARGS(.act = act), IDS(in, weight, bias, residual), IDS(y));
    lab_ready(l);
    memcpy(lab_host(l, in), x, 6 * sizeof *x);
    if (extras) LAB_PUT(l, residual, float, 100, 200, 300, 400);
    lab_run(l, 0);
    return lab_host(l, y);
}

static void test_linear(void **state)
{
    (void)state;
    static const float w[] = {1, 2, 3, -1, 0, 0.5f}, x[] = {1, 0, -1, 2, 2, 2};
    static const uint16_t w16[] = {0x3c00, 0x4000, 0x4200, 0xbc00, 0, 0x3800}; /* the same */
    struct lab l;
    LAB_NEAR(linear(&l, DTYPE_F32, w, NULL, false, OP_ACT_NONE, x, false), 0, -2, -1.5f, 12, -1);
    lab_close(&l);
    LAB_NEAR(linear(&l, DTYPE_F16, w16, NULL, false, OP_ACT_NONE, x, false), 0, -2, -1.5f, 12, -1);
    lab_close(&l);
    /* the bias before the activation, the residual after it */
    LAB_NEAR(linear(&l, DTYPE_F32, w, NULL, false, OP_ACT_RELU, x, true), 0, 100, 200, 312.5f, 400);
    lab_close(&l);
    LAB_NEAR(linear(&l, DTYPE_F32, w, NULL, false, OP_ACT_GELU, x, true), 1e-6, 99.899789f,
             199.98448f, 312.5f, 399.95450f);
    lab_close(&l);
}

static void test_linear_i8(void **state)
{
    (void)state;
    /* x row 0: 127 -64 (63.5 is a tie) 32, worth 1/127; row 1: zeros */
    static const float x[] = {1, -0.5f, 0.25f, 0, 0, 0}, scale[] = {0.5f, 2};
    static const int8_t q[] = {1, 2, 3, -127, 127, 0};
    struct lab l;
    /* 127 - 128 + 96 = 95; -127 * 127 - 64 * 127 = -24257 */
    LAB_NEAR(linear(&l, DTYPE_I8, q, scale, true, OP_ACT_NONE, x, false), 1e-6, 0.37401575f, -382,
             0, 0);
    lab_close(&l);
    /* quantised from f32: row 0 is 32 -64 127, worth 2/127; row 1 is zeros */
    static const float w[] = {0.5f, -1, 2, 0, 0, 0};
    LAB_NEAR(linear(&l, DTYPE_F32, w, NULL, true, OP_ACT_NONE, x, true), 1e-6,
             0.5f + 12224.0f * 2 / (127 * 127) + 100, 199, 300.5f, 399);
    lab_close(&l);
}

static void test_attention(void **state)
{
    (void)state;
    struct lab l;
    lab_open(&l, "ref", 2);
    int qkv = lab_input(&l, "qkv", DTYPE_F32, DIMS(1, 2, 6), -1);
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(1, 2, 2), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_attention, ARGS(.heads = 2, .scale = 0.5f), IDS(qkv), IDS(y));
    lab_ready(&l);
    /* two heads of width 1. Head 0: q 2 0, k 1 3, v 10 20. Head 1: q 0 1, k 5 5, v 1 2 */
    LAB_PUT(&l, qkv, float, 2, 0, 1, 5, 10, 1, /**/ 0, 1, 3, 5, 20, 2);
    lab_run(&l, 0);
    /* scores 1 and 3: weights 1 and e^2 over their sum */
    LAB_NEAR(lab_host(&l, y), 1e-6, 18.807971f, 1.5f, 15, 1.5f);
    lab_close(&l);
}

static void test_crosskv_attncross(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        enum dtype type = half ? DTYPE_F16 : DTYPE_F32;
        struct lab l;
        lab_open(&l, "ref", 2);
        int kv = lab_input(&l, "kv", DTYPE_F32, DIMS(1, 3, 8), -1);
        int slot = lab_input(&l, "slot", DTYPE_I32, DIMS(1), -1);
        int k = lab_state(&l, "k", type, DIMS(2, 2, 2, 3)); /* W H D T */
        int v = lab_state(&l, "v", type, DIMS(2, 2, 3, 2));
        int q = lab_input(&l, "q", DTYPE_F32, DIMS(2, 4), -1);
        int window = lab_input(&l, "window", DTYPE_I32, DIMS(2), -1);
        int y = lab_output(&l, "y", DTYPE_F32, DIMS(2, 4), -1);
        int weights = lab_output(&l, "weights", DTYPE_F32, DIMS(2, 2, 3), -1);
        lab_begin(&l, "keep");
        lab_step(&l, OP_crosskv, ARGS(.heads = 2), IDS(kv, slot), IDS(k, v));
        lab_begin(&l, "read");
        lab_step(&l, OP_attncross, ARGS(.heads = 2, .scale = 1), IDS(q, window, k, v),
                 IDS(y, weights));
        lab_ready(&l);
        LAB_PUT(&l, kv, float, 1, 2, 3, 4, 10, 20, 30, 40, /**/ 5, 6, 7, 8, 50, 60, 70, 80, /**/ 9,
                0, 1, 2, 90, 0, 10, 20);
        LAB_PUT(&l, slot, int32_t, 1);
        lab_run(&l, 0);
        unsigned char bytes[96];
        LAB_OK(&l, cpu_backend.peek(l.prepared, k, bytes, type == DTYPE_F32 ? 96 : 48, &l.e));
        float got[24];
        for (int i = 0; i < 24; i++) {
            if (type == DTYPE_F32)
                memcpy(&got[i], bytes + 4 * i, 4);
            else
                got[i] = tensor_f16_to_f32((uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8));
        }
        LAB_NEAR(got, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* slot 0 is untouched */
                 1, 5, 9, 2, 6, 0, 3, 7, 1, 4, 8, 2);

        /* row 0 looks at window 1. Head 0: q (ln 2, 0): keys 1 5 9: weights 2 32 512 over 546.
         * Head 1: q 0: means of (30 40) (70 80) (10 20). Row 1 looks at the empty window 0 */
        LAB_PUT(&l, q, float, 0.69314718f, 0, 0, 0, 0, 0, 0, 0);
        LAB_PUT(&l, window, int32_t, 1, 0);
        lab_run(&l, 1);
        float third = 1.0f / 3;
        LAB_NEAR(lab_host(&l, weights), 1e-6, 2 / 546.0f, 32 / 546.0f, 512 / 546.0f, third, third,
                 third, third, third, third, third, third, third);
        LAB_NEAR(lab_host(&l, y), 1e-6, 47700 / 546.0f, 1960 / 546.0f, 110 * third, 140 * third, 0,
                 0, 0, 0);
        lab_close(&l);
    }
}

static void test_embed_gather(void **state)
{
    (void)state;
    static const float table[] = {1, 2, 3, 4, 5, 6}, positions[] = {10, 20, 30, 40};
    struct lab l;
    lab_open(&l, "ref", 2);
    int token = lab_input(&l, "token", DTYPE_I32, DIMS(3), -1);
    int position = lab_input(&l, "position", DTYPE_I32, DIMS(3), -1);
    int index = lab_input(&l, "index", DTYPE_I32, DIMS(2), -1);
    int t = lab_weight(&l, "table", DTYPE_F32, DIMS(3, 2), table, false);
    int p = lab_weight(&l, "positions", DTYPE_F32, DIMS(2, 2), positions, false);
    int x = lab_temp(&l, "x", DTYPE_F32, DIMS(3, 2), -1);
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(2, 2), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_embed, ARGS(0), IDS(token, position, t, p), IDS(x));
    lab_step(&l, OP_gather, ARGS(0), IDS(x, index), IDS(y));
    lab_ready(&l);
    LAB_PUT(&l, token, int32_t, 2, 0, 1);
    LAB_PUT(&l, position, int32_t, 1, 0, 1);
    LAB_PUT(&l, index, int32_t, 2, 0);
    lab_run(&l, 0);
    LAB_NEAR(lab_host(&l, y), 0, 33, 44, 35, 46);
    lab_close(&l);
}

/* Two sequences share position 0 by the history table; then one of them changes its mind. */
static void test_attnself(void **state)
{
    (void)state;
    for (int half = 0; half < 2; half++) {
        enum dtype type = half ? DTYPE_F16 : DTYPE_F32;
        struct lab l;
        lab_open(&l, "ref", 2);
        int live = lab_input(&l, "live", DTYPE_I32, DIMS(1), -1);
        int qkv = lab_input(&l, "qkv", DTYPE_F32, DIMS(2, 3), live);
        int position = lab_input(&l, "position", DTYPE_I32, DIMS(2), live);
        int sequence = lab_input(&l, "sequence", DTYPE_I32, DIMS(2), live);
        int history = lab_input(&l, "history", DTYPE_I32, DIMS(2, 4), -1);
        int k = lab_state(&l, "k", type, DIMS(2, 4, 1));
        int v = lab_state(&l, "v", type, DIMS(2, 4, 1));
        int y = lab_output(&l, "y", DTYPE_F32, DIMS(2, 1), live);
        lab_begin(&l, "t");
        lab_step(&l, OP_attnself, ARGS(.heads = 1, .scale = 1),
                 IDS(qkv, position, sequence, history), IDS(y, k, v));
        lab_ready(&l);
        /* sequence 0 alone at position 0: sees only itself */
        LAB_PUT(&l, live, int32_t, 1);
        LAB_PUT(&l, qkv, float, 7, 1, 10);
        LAB_PUT(&l, position, int32_t, 0);
        LAB_PUT(&l, sequence, int32_t, 0);
        LAB_PUT(&l, history, int32_t, 0, 0, 0, 0, 0, 1, 1, 1);
        lab_run(&l, 0);
        LAB_NEAR(lab_host(&l, y), 1e-6, 10);
        /* both at position 1, both with position 0 of sequence 0; q 0 weighs all alike */
        LAB_PUT(&l, live, int32_t, 2);
        LAB_PUT(&l, qkv, float, 0, 5, 20, /**/ 0, 6, 40);
        LAB_PUT(&l, position, int32_t, 1, 1);
        LAB_PUT(&l, sequence, int32_t, 0, 1);
        lab_run(&l, 0);
        LAB_NEAR(lab_host(&l, y), 1e-6, 15, 25);
        /* sequence 0 now continues what sequence 1 said at position 1; keys 1 6 0, q ln 2:
         * weights 2 64 1 over 67, values 10 40 100 */
        LAB_PUT(&l, live, int32_t, 1);
        LAB_PUT(&l, qkv, float, 0.69314718f, 0, 100);
        LAB_PUT(&l, position, int32_t, 2);
        LAB_PUT(&l, sequence, int32_t, 0);
        LAB_PUT(&l, history, int32_t, 0, 1, 0, 0);
        lab_run(&l, 0);
        LAB_NEAR(lab_host(&l, y), 1e-6, 2680 / 67.0f, 25); /* row 1 is as it was */
        lab_close(&l);
    }
}

/* ---- pick: a vocabulary of 4 text tokens, end of text 4, special 5, timestamps 6..9 ---------- */

struct picked {
    int32_t top[3], token;
    float top_log[3], token_log, watched;
};

static struct picked pick(const float *logits, const float *ban, const int32_t *rule,
                          float temperature, float u)
{
    struct lab l;
    struct picked out;
    lab_open(&l, "ref", 1);
    int in = lab_input(&l, "logits", DTYPE_F32, DIMS(1, 10), -1);
    int b = lab_input(&l, "ban", DTYPE_F32, DIMS(10), -1);
    int r = lab_input(&l, "rule", DTYPE_I32, DIMS(1, 8), -1);
    int c = lab_input(&l, "chance", DTYPE_F32, DIMS(1, 2), -1);
    int top = lab_output(&l, "top", DTYPE_I32, DIMS(1, 3), -1);
    int top_log = lab_output(&l, "top_log", DTYPE_F32, DIMS(1, 3), -1);
    int token = lab_output(&l, "token", DTYPE_I32, DIMS(1), -1);
    int token_log = lab_output(&l, "token_log", DTYPE_F32, DIMS(1), -1);
    int watched = lab_output(&l, "watched", DTYPE_F32, DIMS(1), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_pick, ARGS(.top = 3, .watch = 5, .eot = 4, .time0 = 6), IDS(in, b, r, c),
             IDS(top, top_log, token, token_log, watched));
    lab_ready(&l);
    memcpy(lab_host(&l, in), logits, 10 * sizeof *logits);
    if (ban) memcpy(lab_host(&l, b), ban, 10 * sizeof *ban);
    memcpy(lab_host(&l, r), rule, 8 * sizeof *rule);
    LAB_PUT(&l, c, float, temperature, u);
    lab_run(&l, 0);
    memcpy(out.top, lab_host(&l, top), sizeof out.top);
    memcpy(out.top_log, lab_host(&l, top_log), sizeof out.top_log);
    memcpy(&out.token, lab_host(&l, token), 4);
    memcpy(&out.token_log, lab_host(&l, token_log), 4);
    memcpy(&out.watched, lab_host(&l, watched), 4);
    lab_close(&l);
    return out;
}
#define RULE(...) ((const int32_t[OP_RULES]){__VA_ARGS__})
/* logits that are logarithms of whole numbers, so that chances are fractions */
#define LOGS(...) logs((const int[10]){__VA_ARGS__}, (float[10]){0})

static const float *logs(const int *number, float *out)
{
    for (int i = 0; i < 10; i++) out[i] = logf((float)number[i]);
    return out;
}

static void expect_top(const struct picked *p, int a, int b, int c)
{
    if (p->top[0] != a || p->top[1] != b || p->top[2] != c)
        fail_msg("top is %d %d %d, expected %d %d %d", p->top[0], p->top[1], p->top[2], a, b, c);
}

static void test_pick_plain(void **state)
{
    (void)state;
    const float *x = LOGS(4, 8, 4, 1, 1, 2, 1, 1, 1, 1); /* of 24 */
    struct picked p = pick(x, NULL, RULE(OP_RULE_RAW, 0, 9, -1, -1), 0, 0.9f);
    expect_top(&p, 1, 0, 2); /* 0 and 2 are equal: the lower one first */
    LAB_NEAR(p.top_log, 1e-6, logf(8 / 24.0f), logf(4 / 24.0f), logf(4 / 24.0f));
    assert_int_equal(p.token, 1); /* temperature 0 is no chance */
    LAB_NEAR(&p.token_log, 1e-6, logf(8 / 24.0f));
    LAB_NEAR(&p.watched, 1e-6, 2 / 24.0f);

    float ban[10] = {0};
    ban[1] = ban[5] = -INFINITY;
    /* 1 and 5 by the list, 0 in this row: 10 left */
    p = pick(x, ban, RULE(OP_RULE_RAW, 0, 9, 0, -1), 0, 0);
    expect_top(&p, 2, 3, 4);
    LAB_NEAR(p.top_log, 1e-6, logf(0.4f), logf(0.1f), logf(0.1f));
    LAB_NEAR(&p.watched, 1e-6, 2 / 24.0f); /* as if nothing were banned */
    p = pick(x, ban, RULE(0, 0, 9, 2, 0), 0, 0);
    LAB_NEAR(&p.watched, 0, 0.0f); /* not asked for */
    expect_top(&p, 3, 4, 6);
}

static void test_pick_bans(void **state)
{
    (void)state;
    const float *x = LOGS(9, 8, 7, 6, 5, 4, 3, 2, 1, 1);
    struct picked p = pick(x, NULL, RULE(OP_RULE_BAN_TEXT, 0, 9, -1, -1), 0, 0);
    expect_top(&p, 4, 5, 6);
    p = pick(x, NULL, RULE(OP_RULE_BAN_TEXT | OP_RULE_BAN_EOT, 0, 9, -1, -1), 0, 0);
    expect_top(&p, 5, 6, 7);
    p = pick(x, NULL, RULE(OP_RULE_BAN_TEXT | OP_RULE_BAN_EOT, 8, 9, -1, -1), 0, 0);
    expect_top(&p, 5, 8, 9); /* timestamps from 8 on */
    p = pick(x, NULL, RULE(OP_RULE_BAN_TEXT | OP_RULE_BAN_EOT, 7, 8, -1, 5), 0, 0);
    expect_top(&p, 7, 8, 0); /* and to 8: then the banned ones, lowest first */
    LAB_NEAR(p.top_log, 1e-6, logf(2 / 3.0f), logf(1 / 3.0f), -INFINITY);
    const float *late = LOGS(1, 1, 1, 1, 1, 1, 9, 9, 9, 9);
    p = pick(late, NULL, RULE(OP_RULE_BAN_TIMES, 0, 9, -1, -1), 0, 0);
    expect_top(&p, 0, 1, 2);
    LAB_NEAR(p.top_log, 1e-6, logf(1 / 6.0f));
    float all[10];
    for (int i = 0; i < 10; i++) all[i] = -INFINITY;
    p = pick(x, all, RULE(0, 0, 9, -1, -1), 1, 0.5f); /* nothing is left: no NaN */
    expect_top(&p, 0, 1, 2);
    assert_int_equal(p.token, 0);
    LAB_NEAR(&p.token_log, 0, -INFINITY);
}

static void test_pick_mass(void **state)
{
    (void)state;
    /* timestamps together 6, the best other one 5: no text */
    const float *x = LOGS(5, 5, 1, 1, 1, 1, 1, 3, 1, 1);
    struct picked p = pick(x, NULL, RULE(OP_RULE_MASS, 0, 9, -1, -1), 0, 0);
    expect_top(&p, 7, 6, 8);
    LAB_NEAR(p.top_log, 1e-6, logf(0.5f), logf(1 / 6.0f), logf(1 / 6.0f));
    p = pick(x, NULL, RULE(0, 0, 9, -1, -1), 0, 0);
    expect_top(&p, 0, 1, 7); /* without the rule */
    p = pick(x, NULL, RULE(OP_RULE_MASS, 7, 8, -1, -1), 0, 0);
    expect_top(&p, 0, 1, 7); /* of the allowed ones only: 4 against 5 */
    p = pick(x, NULL, RULE(OP_RULE_MASS, 0, 8, 0, 1), 0, 0);
    expect_top(&p, 7, 6, 8); /* 5 against 1 */
    p = pick(x, NULL, RULE(OP_RULE_MASS | OP_RULE_BAN_TIMES, 0, 9, -1, -1), 0, 0);
    expect_top(&p, 0, 1, 2); /* no timestamp is allowed: they have no mass */
}

static void test_pick_chance(void **state)
{
    (void)state;
    const float *x = LOGS(4, 2, 1, 1, 1, 1, 1, 1, 2, 2); /* of 16 */
    const int32_t *rule = RULE(0, 0, 9, -1, -1);
    struct picked p = pick(x, NULL, rule, 1, 0.24f);
    assert_int_equal(p.token, 0);
    p = pick(x, NULL, rule, 1, 0.26f);
    assert_int_equal(p.token, 1);
    LAB_NEAR(&p.token_log, 1e-6, logf(2 / 16.0f));
    p = pick(x, NULL, rule, 1, 0.9999f);
    assert_int_equal(p.token, 9);
    /* temperature 0.5 squares: 16 4 1 1 1 1 1 1 4 4 of 34; 0.53 is in the second */
    p = pick(x, NULL, rule, 0.5f, 0.46f);
    assert_int_equal(p.token, 0);
    p = pick(x, NULL, rule, 0.5f, 0.53f);
    assert_int_equal(p.token, 1);
    LAB_NEAR(&p.token_log, 1e-6, logf(2 / 16.0f)); /* told at temperature 1 */
    p = pick(x, NULL, RULE(OP_RULE_BAN_TEXT, 8, 9, 5, -1), 1, 0.99f);
    assert_int_equal(p.token, 9); /* after the rules: 1 2 2 */
    p = pick(x, NULL, RULE(OP_RULE_BAN_TEXT, 8, 9, 5, -1), 1, 0.19f);
    assert_int_equal(p.token, 4);
}

static void test_frames_magnitude(void **state)
{
    (void)state;
    struct lab l;
    lab_open(&l, "ref", 2);
    int x = lab_input(&l, "x", DTYPE_F32, DIMS(2, 5), -1);
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(2, 3, 4), -1);
    int m = lab_output(&l, "m", DTYPE_F32, DIMS(2, 3, 2), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_frames, ARGS(.stride = 2), IDS(x), IDS(y));
    lab_step(&l, OP_magnitude, ARGS(0), IDS(y), IDS(m));
    lab_ready(&l);
    LAB_PUT(&l, x, float, 3, 0, 4, 1, 0, 6, 5, -8, 12, 0);
    lab_run(&l, 0);
    /* the last frame of each begins at the last sample and goes back from it */
    LAB_NEAR(lab_host(&l, y), 0, 3, 0, 4, 1, 4, 1, 0, 1, 0, 1, 4, 0, 6, 5, -8, 12, -8, 12, 0, 12, 0,
             12, -8, 5);
    LAB_NEAR(lab_host(&l, m), 1e-7, 5, 1, 4, sqrtf(2), 4, 1, 10, 13, 8, sqrtf(288), 8, 13);
    lab_close(&l);
}

/* One channel: gates that are open (1000), shut (-1000) or half open (0). */
static void test_lstm(void **state)
{
    (void)state;
    static const float w[4] = {0, 0, 0, 0}, own[4] = {0, 0, 1, 0}, bias[4] = {0, 0, 0.5f, 0};
    const float half = tanhf(0.5f);
    for (int with_own = 0; with_own < 2; with_own++) {
        struct lab l;
        lab_open(&l, "ref", 2);
        int x = lab_input(&l, "x", DTYPE_F32, DIMS(3, 4), -1);
        int weight = lab_weight(&l, "w", DTYPE_F32, DIMS(4, 1), with_own ? own : w, false);
        int b = lab_weight(&l, "b", DTYPE_F32, DIMS(4), bias, false);
        int start = lab_input(&l, "start", DTYPE_I32, DIMS(1), -1);
        int y = lab_output(&l, "y", DTYPE_F32, DIMS(3, 1), -1);
        int h = lab_state(&l, "h", DTYPE_F32, DIMS(1)), c = lab_state(&l, "c", DTYPE_F32, DIMS(1));
        lab_begin(&l, "t");
        lab_step(&l, OP_lstm, ARGS(.act = OP_ACT_RELU), IDS(x, weight, b, start), IDS(y, h, c));
        lab_ready(&l);
        /* input, forget, cell, output: takes tanh(0.5); keeps it, says half; forgets, takes -1 */
        LAB_PUT(&l, x, float, 1000, -1000, 0, 1000, -1000, 1000, 0, 0, 1000, -1000, -1000, 1000);
        for (int run = 0; run < 3; run++) {
            LAB_PUT(&l, start, int32_t, run != 1 || with_own);
            lab_run(&l, 0);
            LAB_NEAR(lab_host(&l, y), 1e-6, tanhf(half), tanhf(half) / 2,
                     0); /* the last is ReLU's */
        }
        LAB_PUT(&l, x, float, -1000, 1000, 0, 1000, -1000, 1000, 0, 0, 0, 0, 0, -1000);
        LAB_PUT(&l, start, int32_t, 0); /* the states of the run before: c is -1, h tanh(-1) */
        lab_run(&l, 0);
        LAB_NEAR(lab_host(&l, y), 1e-6, 0, 0, 0);
        float cell;
        LAB_OK(&l, cpu_backend.peek(l.prepared, c, &cell, sizeof cell, &l.e));
        float before = with_own ? tanhf(-1) / 2 : 0; /* h of the step before, by its weight */
        LAB_NEAR(&cell, 1e-6, -0.5f + 0.5f * tanhf(0.5f + before));
        lab_close(&l);
    }
}

static void test_sigmoid(void **state)
{
    (void)state;
    struct lab l;
    lab_open(&l, "ref", 2);
    int x = lab_input(&l, "x", DTYPE_F32, DIMS(4, 1), -1);
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(4, 1), -1);
    lab_begin(&l, "t");
    lab_step(&l, OP_sigmoid, ARGS(0), IDS(x), IDS(y));
    lab_ready(&l);
    LAB_PUT(&l, x, float, 0, logf(3), -1000, 1000);
    lab_run(&l, 0);
    LAB_NEAR(lab_host(&l, y), 1e-7, 0.5f, 0.75f, 0, 1);
    lab_close(&l);
}

static void test_speech_shapes(void **state)
{
    (void)state;
    struct lab l;
    lab_open(&l, "ref", 1);
    int x = lab_input(&l, "x", DTYPE_F32, DIMS(2, 5), -1);
    int y = lab_output(&l, "y", DTYPE_F32, DIMS(2, 3, 6), -1);
    lab_begin(&l, "t");
    /* 3 frames of 6, 2 apart, need 10 samples; 5 give 9 */
    assert_int_equal(
        plan_add(l.plan, OP_frames, "cut", &x, 1, &y, 1, &(struct op_args){.stride = 2}, &l.e), -1);
    assert_non_null(strstr(l.e.text, "cannot be cut"));
    assert_int_equal(plan_add(l.plan, OP_frames, "cut", &x, 1, &y, 1, NULL, &l.e), -1);
    assert_int_equal(plan_add(l.plan, OP_magnitude, "odd", &y, 1, &y, 1, NULL, &l.e), -1);
    assert_int_equal(plan_add(l.plan, OP_sigmoid, "other", &x, 1, &y, 1, NULL, &l.e), -1);
    arena_close(&l.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logmel),           cmocka_unit_test(test_melnorm),
        cmocka_unit_test(test_conv1d),           cmocka_unit_test(test_addpos_layernorm),
        cmocka_unit_test(test_linear),           cmocka_unit_test(test_linear_i8),
        cmocka_unit_test(test_attention),        cmocka_unit_test(test_crosskv_attncross),
        cmocka_unit_test(test_embed_gather),     cmocka_unit_test(test_attnself),
        cmocka_unit_test(test_pick_plain),       cmocka_unit_test(test_pick_bans),
        cmocka_unit_test(test_pick_mass),        cmocka_unit_test(test_pick_chance),
        cmocka_unit_test(test_frames_magnitude), cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_sigmoid),          cmocka_unit_test(test_speech_shapes),
    };
    return cmocka_run_group_tests_name("cpu_ref", tests, NULL, NULL);
}
