/* Pieces lie in a trie, whose edges are one hash table: (node, byte) -> node. Cutting is Viterbi's:
 * for every place of the text the best way to get there.
 *
 * Follows Hugging Face tokenizers, models/unigram/model.rs encode_optimized. Held by
 * tests/golden/tokens_*.txt. */
#include "text/unigram.h"
#include "text/vocab.h"
#include <float.h>
#include <stdio.h>
#include <string.h>

#define PENALTY 10.0 /* an unknown character is that much less likely than the worst piece */

struct edge {
    uint32_t from, to; /* to 0: free, for the root is nobody's child */
    int32_t id;        /* of the piece that ends at `to`, or -1 */
    uint8_t byte;
};

struct unigram {
    struct edge *edge; /* [slots] */
    uint32_t slots, nodes;
    double *score; /* [n] */
    size_t n;
    double unknown_score;
    int32_t unknown;
    int32_t byte[256]; /* ids of "<0xNN>", all -1 unless all exist */
};

static struct edge *edge_at(const struct unigram *u, uint32_t from, char byte)
{
    uint32_t i = (from * 0x9E3779B1u ^ (uint8_t)byte * 0x85EBCA77u) >> 3 & (u->slots - 1);
    for (;; i = (i + 1) & (u->slots - 1)) {
        struct edge *e = &u->edge[i];
        if (!e->to || (e->from == from && e->byte == (uint8_t)byte)) return e;
    }
}

static void add_piece(struct unigram *u, struct str piece, int32_t id)
{
    uint32_t node = 0;
    struct edge *e = NULL;
    for (size_t i = 0; i < piece.n; i++) {
        e = edge_at(u, node, piece.p[i]);
        if (!e->to) *e = (struct edge){node, ++u->nodes, -1, (uint8_t)piece.p[i]};
        node = e->to;
    }
    if (e) e->id = id; /* of two alike the last counts */
}

static int32_t find_piece(const struct unigram *u, const char *piece)
{
    const struct edge *e = NULL;
    uint32_t node = 0;
    for (; *piece; piece++) {
        e = edge_at(u, node, *piece);
        if (!e->to) return -1;
        node = e->to;
    }
    return e ? e->id : -1;
}

static void find_bytes(struct unigram *u)
{
    for (int i = 0; i < 256; i++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", i);
        u->byte[i] = find_piece(u, name);
        if (u->byte[i] >= 0) continue;
        u->byte[0] = -1;
        return;
    }
}

int unigram_open(struct arena *a, const struct str *piece, const double *score, size_t n,
                 int32_t unknown, bool bytes, struct unigram **out, struct err *e)
{
    size_t total = 0;
    struct unigram *u = ARENA_NEW(a, struct unigram, 1, e);
    if (!u) return -1;
    for (size_t i = 0; i < n; i++) total += piece[i].n;
    if (n == 0 || n > VOCAB_MOST || total > UINT32_MAX / 8)
        return err_set(e, E_MODEL, "%zu pieces of %zu bytes cannot be a vocabulary", n, total);
    *u = (struct unigram){.slots = 4, .n = n, .unknown = unknown};
    while (u->slots < total + total / 2) u->slots *= 2;
    u->edge = ARENA_NEW(a, struct edge, u->slots, e);
    u->score = ARENA_NEW(a, double, n, e);
    if (!u->edge || !u->score) return -1;
    double least = DBL_MAX;
    for (size_t i = 0; i < n; i++) {
        add_piece(u, piece[i], (int32_t)i);
        u->score[i] = score[i];
        least = score[i] < least ? score[i] : least;
    }
    u->unknown_score = least - PENALTY;
    u->byte[0] = -1;
    if (bytes) find_bytes(u);
    *out = u;
    return 0;
}

struct place { /* between two characters: the best way to get there */
    double score;
    uint32_t from; /* where its last piece begins; UINT32_MAX: no way yet */
    int32_t id;
};

static void offer(struct place *to, double score, size_t from, int32_t id)
{
    if (to->from != UINT32_MAX && score <= to->score) return;
    *to = (struct place){score, (uint32_t)from, id};
}

/* Fills place [text.n + 1]. */
static void find_ways(const struct unigram *u, struct str text, struct place *place)
{
    for (size_t i = 0; i <= text.n; i++) place[i] = (struct place){0, UINT32_MAX, -1};
    for (size_t at = 0; at < text.n;) {
        uint32_t cp, node = 0;
        size_t one = (size_t)str_utf8(text.p + at, text.n - at, &cp);
        bool single = false;
        double here = place[at].score;
        for (size_t end = at; end < text.n;) {
            const struct edge *edge = edge_at(u, node, text.p[end]);
            if (!edge->to) break;
            node = edge->to;
            end++;
            if (edge->id < 0) continue;
            offer(&place[end], here + u->score[edge->id], at, edge->id);
            single |= end - at == one;
        }
        if (!single) offer(&place[at + one], here + u->unknown_score, at, u->unknown);
        at += one;
    }
}

/* What no piece covers: its bytes, or one token for all that stands together. */
static int add_unknown(const struct unigram *u, struct str text, struct tokens_list *list,
                       struct err *e)
{
    if (u->byte[0] >= 0) {
        for (size_t i = 0; i < text.n; i++) tokens_list_add(list, u->byte[(uint8_t)text.p[i]]);
        return 0;
    }
    if (u->unknown < 0)
        return err_set(e, E_MODEL, "the vocabulary has no piece for \"%.*s\" and no unknown token",
                       (int)MIN(text.n, (size_t)40), text.p);
    tokens_list_add(list, u->unknown);
    return 0;
}

int unigram_add(const struct unigram *u, struct arena *scratch, struct str text,
                struct tokens_list *list, struct err *e)
{
    struct arena_mark mark = arena_here(scratch);
    struct place *place = ARENA_NEW(scratch, struct place, text.n + 1, e);
    if (!place) return -1;
    find_ways(u, text, place);
    /* backwards from the end; then `from` of each place that is passed is turned to point ahead */
    uint32_t next = UINT32_MAX;
    for (uint32_t at = (uint32_t)text.n, before; at > 0; at = before) {
        before = place[at].from;
        place[at].from = next;
        next = at;
    }
    int rc = 0;
    for (uint32_t from = 0, at = next; rc == 0 && at != UINT32_MAX;
         from = at, at = place[at].from) {
        if (place[at].id != u->unknown) {
            tokens_list_add(list, place[at].id);
            continue;
        }
        while (place[at].from != UINT32_MAX && place[place[at].from].id == u->unknown)
            at = place[at].from;
        rc = add_unknown(u, (struct str){text.p + from, at - from}, list, e);
    }
    arena_rewind(scratch, mark);
    return rc;
}
