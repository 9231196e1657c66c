/* Passages and the ranking by them: what is cut is all of a text, ranking is what comparing every
 * pair gives, and neither does more work for a long text than its length asks for. That is counted
 * (bytes tokenized, products formed) and never timed. */
#include "unit.h"

#include "jobs/passages.h"
#include "jobs/rank.h"
#include <math.h>

/* ---- ranking ---- */

struct pool { /* one window of queries against targets, all in arena a */
    struct arena *a;
    struct err e;
    struct rank r;
    float *query;
    int32_t *first, n, queries; /* of the query documents' passages */
    int32_t *row;
    float *product;
};

static double drawn(uint64_t *at)
{
    *at = *at * 6364136223846793005u + 1442695040888963407u;
    return (double)(*at >> 33) / (double)(1u << 31);
}

static void *room(struct pool *p, size_t n, size_t bytes)
{
    void *x = arena_array(p->a, n, bytes, 16, &p->e);
    assert_non_null(x);
    return x;
}

/* Vectors of few different numbers, so that many products are equal. */
static float *vectors(struct pool *p, int32_t n, int width, uint64_t *seed)
{
    float *x = room(p, (size_t)(n * width), sizeof *x);
    for (int32_t i = 0; i < n; i++) {
        double square = 0;
        for (int c = 0; c < width; c++) {
            x[i * width + c] = (float)(int)(drawn(seed) * 5) - 2;
            square += pow((double)x[i * width + c], 2);
        }
        for (int c = 0; c < width && square > 0; c++) x[i * width + c] /= (float)sqrt(square);
    }
    return x;
}

static int32_t *cuts(struct pool *p, int32_t n, int32_t documents, uint64_t *seed)
{
    int32_t *first = room(p, (size_t)documents + 1, sizeof *first);
    for (int32_t d = 0; d < documents; d++)
        first[d + 1] =
            d + 1 == documents ? n : first[d] + (int32_t)(drawn(seed) * 2 * n / documents);
    for (int32_t d = 1; d <= documents; d++) first[d] = MIN(first[d], n);
    return first;
}

static float times(const struct pool *p, int32_t i, int32_t j)
{
    double sum = 0;
    int width = p->r.width;
    for (int c = 0; c < width; c++)
        sum += (double)p->query[i * width + c] * (double)p->r.vector[j * width + c];
    return (float)sum;
}

/* What search_run finds: the best documents of every passage. */
static void search(struct pool *p)
{
    int top = p->r.top;
    p->row = room(p, (size_t)(p->n * top), sizeof *p->row);
    p->product = room(p, (size_t)(p->n * top), sizeof *p->product);
    for (int32_t i = 0; i < p->n; i++) {
        int32_t *row = p->row + i * top;
        float *product = p->product + i * top;
        int have = 0;
        for (int32_t d = 0; d < (int32_t)p->r.documents; d++) {
            int32_t best = -1;
            float most = -INFINITY;
            for (int32_t j = p->r.first[d]; j < p->r.first[d + 1]; j++)
                if (times(p, i, j) > most) most = times(p, i, best = j);
            int at = have;
            while (at > 0 && most > product[at - 1]) at--;
            if (best < 0 || at == top) continue;
            have = MIN(have + 1, top);
            memmove(row + at + 1, row + at, (size_t)(have - at - 1) * sizeof *row);
            memmove(product + at + 1, product + at, (size_t)(have - at - 1) * sizeof *product);
            row[at] = best;
            product[at] = most;
        }
        for (; have < top; have++) row[have] = -1;
    }
}

/* Each pair is the best, up to rounding, of those that no passage of a better one is in. */
static void check_reasons(const struct pool *p, const struct rank_query *q, int32_t d,
                          const struct rank_pair *pair, size_t n)
{
    bool used_query[64] = {false}, used_target[256] = {false};
    for (size_t k = 0; k < n; k++) {
        assert_float_equal(pair[k].score, times(p, pair[k].query, pair[k].target), 1e-6);
        for (int32_t i = q->from; i < q->to; i++)
            for (int32_t j = p->r.first[d]; j < p->r.first[d + 1]; j++)
                if (!used_query[i] && !used_target[j])
                    assert_true(times(p, i, j) <= pair[k].score + 1e-6F);
        assert_false(used_query[pair[k].query] || used_target[pair[k].target]);
        assert_int_equal(p->r.owner[pair[k].target], d);
        used_query[pair[k].query] = used_target[pair[k].target] = true;
    }
}

static void compare(struct pool *p, int32_t d)
{
    struct rank_query q = {p->first[d], p->first[d + 1], p->query, p->row, p->product};
    struct rank_pair room[64];
    size_t n = rank_documents(&p->r, &q, -2);
    for (size_t i = 0; i < n; i++) {
        int32_t document = p->r.owner[p->r.of[i].target];
        float best = -INFINITY;
        for (int32_t k = q.from; k < q.to; k++)
            for (int32_t j = p->r.first[document]; j < p->r.first[document + 1]; j++)
                best = fmaxf(best, times(p, k, j));
        assert_float_equal(p->r.of[i].score, best, 1e-6);
        assert_true(i == 0 || p->r.of[i].score <= p->r.of[i - 1].score);
        size_t pairs = rank_reasons(&p->r, &q, document, 5, room);
        check_reasons(p, &q, document, room, pairs);
        size_t passages =
            (size_t)MIN(q.to - q.from, p->r.first[document + 1] - p->r.first[document]);
        assert_int_equal(pairs, MIN((size_t)5, passages));
    }
}

static void test_ranking(void **state)
{
    (void)state;
    uint64_t seed = 1;
    for (int trial = 0; trial < 60; trial++) {
        struct pool p = {.n = 40, .queries = 6};
        int32_t n = 1 + (int32_t)(drawn(&seed) * 200), documents = 1 + (int32_t)(drawn(&seed) * 20);
        assert_int_equal(arena_open("pool", 0, &p.a, &p.e), 0);
        p.r = (struct rank){.top = 1 + trial % 12, .width = 20, .documents = (size_t)documents};
        p.query = vectors(&p, p.n, 20, &seed);
        p.r.vector = vectors(&p, n, 20, &seed);
        p.first = cuts(&p, p.n, p.queries, &seed);
        int32_t *first = cuts(&p, n, documents, &seed);
        int32_t *owner = room(&p, (size_t)n, sizeof *owner);
        for (int32_t d = 0; d < documents; d++)
            for (int32_t j = first[d]; j < first[d + 1]; j++) owner[j] = d;
        p.r.first = first;
        p.r.owner = owner;
        assert_int_equal(rank_open(p.a, &p.r, &p.e), 0);
        search(&p);
        for (int32_t d = 0; d < p.queries; d++) compare(&p, d);
        arena_close(&p.a);
    }
}

/* Two documents of 20,000 passages: 4.8 GB would be needed for all pairs, and 400 million
 * products. Target j is query passage j, a little shorter with every j. */
static void test_long_documents(void **state)
{
    (void)state;
    enum { n = 20000, width = 16 };
    struct pool p = {.n = n};
    uint64_t seed = 5;
    assert_int_equal(arena_open("pool", 0, &p.a, &p.e), 0);
    float *target = room(&p, n * width, sizeof *target);
    int32_t *owner = room(&p, n, sizeof *owner), first[] = {0, n};
    p.query = room(&p, n * width, sizeof *p.query);
    p.row = room(&p, n, sizeof *p.row);
    p.product = room(&p, n, sizeof *p.product);
    for (int32_t i = 0; i < n; i++) {
        float square = 0, by = 1 - 0.5F * (float)i / n;
        for (int c = 0; c < width; c++) {
            p.query[i * width + c] = (float)drawn(&seed) - 0.5F;
            square += p.query[i * width + c] * p.query[i * width + c];
        }
        for (int c = 0; c < width; c++) {
            p.query[i * width + c] /= sqrtf(square);
            target[i * width + c] = by * p.query[i * width + c];
        }
        p.row[i] = i;
        p.product[i] = by;
    }
    p.r = (struct rank){
        .top = 1, .width = width, .documents = 1, .owner = owner, .first = first, .vector = target};
    assert_int_equal(rank_open(p.a, &p.r, &p.e), 0);
    struct rank_query q = {0, n, p.query, p.row, p.product};
    struct rank_pair *pairs = room(&p, n, sizeof *pairs);
    assert_int_equal(rank_documents(&p.r, &q, 0), 1);
    assert_int_equal(p.r.of[0].query, 0);
    assert_int_equal(rank_reasons(&p.r, &q, 0, 3, pairs), 3);
    for (int32_t i = 0; i < 3; i++) {
        assert_int_equal(pairs[i].query, i);
        assert_int_equal(pairs[i].target, i);
    }
    assert_true(p.r.scans <= 40 * (uint64_t)n);
    arena_close(&p.a);
}

/* ---- passages ---- */

struct cutter {
    struct arena *a, *scratch;
    struct err e;
    struct sentences s;
};

static void cutter_open(struct cutter *c)
{
    struct str json;
    *c = (struct cutter){0};
    if (arena_open("test", 0, &c->a, &c->e) || arena_open("scratch", 0, &c->scratch, &c->e) ||
        file_read(c->a, "tests/golden/tokens_wordpiece.json", 1 << 24, &json, &c->e) ||
        tokens_open(c->a, json, str_of(""), true, &c->s.tokens, &c->e))
        fail_msg("%s", c->e.text);
    c->s.scratch = &c->scratch;
    c->s.o.literal = true;
}

/* A text of `pattern` over and over, with a full stop after every stop-th if that is not 0. */
static struct str repeated(struct cutter *c, const char *pattern, size_t n, size_t stop)
{
    size_t one = strlen(pattern), at = 0;
    char *p = ARENA_NEW(c->a, char, n + one + 2, &c->e);
    assert_non_null(p);
    for (size_t k = 1; at < n; k++) {
        memcpy(p + at, pattern, one);
        at += one;
        if (stop && k % stop == 0) memcpy(p + at, ". ", 2), at += 2;
    }
    return (struct str){p, MIN(at, n)};
}

static bool is_blank(struct str s)
{
    return str_trim(s).n == 0;
}

static void cut(struct cutter *c, struct str text, int64_t most, uint64_t times)
{
    struct passages l = {0};
    c->s.counted = 0;
    if (passages_cut(c->a, &c->s, text, 7, most, &l, &c->e)) fail_msg("%s", c->e.text);
    uint64_t counted = c->s.counted;
    const char *end = text.p;
    for (size_t i = 0; i < l.n; i++) {
        struct str x = l.text[i];
        assert_true(x.p >= text.p && x.p + x.n <= text.p + text.n);
        assert_true(x.p <= end || is_blank((struct str){end, (size_t)(x.p - end)}));
        assert_true(x.p + x.n > end);
        end = x.p + x.n;
        assert_int_equal(l.document[i], 7);
        if (i % 50 == 0) assert_in_range(sentences_count(&c->s, x, &c->e), 0, most);
    }
    assert_true(is_blank((struct str){end, (size_t)(text.p + text.n - end)}));
    if (counted > times * text.n)
        fail_msg("\"%.20s...\", %zu bytes: %llu bytes were tokenized", text.p, text.n,
                 (unsigned long long)counted);
}

static void test_passages(void **state)
{
    (void)state;
    struct cutter c;
    cutter_open(&c);
    for (size_t n = 3000; n <= 300000; n *= 10) {
        cut(&c, repeated(&c, "the cat sat ", n, 4), 40, 3);
        cut(&c, repeated(&c, "the cat sat ", n, 0), 40, 3); /* no sentence ends */
        cut(&c, repeated(&c, "the,cat,", n, 0), 40, 8);     /* no word ends */
        cut(&c, repeated(&c, "....", n, 0), 40, 8);
        cut(&c, repeated(&c, "\xE7\x8C\xAB", n / 3 * 3, 0), 40, 8);
        cut(&c, repeated(&c, "\xE7\x8C\xAB", n / 3 * 3, 0), 3, 8); /* one token each */
        cut(&c, repeated(&c, "a", n, 0), 40, 3);                   /* one unknown word */
        cut(&c, repeated(&c, "                    a", n, 0), 40, 3);
    }
    /* all tokens in few places, so that a passage is nowhere of the usual length */
    char *p = ARENA_NEW(c.a, char, 400000, &c.e);
    assert_non_null(p);
    memset(p, 'a', 400000);
    for (size_t at = 0; at < 400000; at += 20000) memset(p + at, ',', 200);
    cut(&c, (struct str){p, 400000}, 40, 40);
    arena_close(&c.a);
    arena_close(&c.scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ranking),
                                       cmocka_unit_test(test_long_documents),
                                       cmocka_unit_test(test_passages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
