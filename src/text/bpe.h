/* Byte-level BPE, as GPT-2 and Whisper use it: token ids <-> bytes. Decoding needs the vocabulary
 * alone; encoding also the merges. */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include "base/arena.h"
#include "base/str.h"

struct bpe;

/* bpe_open: from vocabulary.txt (a token per line) or vocabulary.json (an array), in the visible
 * spelling of GPT-2; recognised by the first byte. n_vocab: what the model has; fewer lines are an
 * error, more too. Lives in a; the text may go away. Errors: E_MODEL with the line. */
int bpe_open(struct arena *a, struct str vocabulary, int64_t n_vocab, struct bpe **out,
             struct err *e);

/* bpe_merges: reads merges and the special tokens from tokenizer.json; needed once before
 * bpe_encode. */
int bpe_merges(struct arena *a, struct bpe *b, struct str tokenizer_json, struct err *e);

/* bpe_merges_by_id: the merges of a model without tokenizer.json, from the order of its ordinary
 * tokens 0..n_ordinary-1: as GPT-2 learnt them, every token of more than one byte was made of the
 * two that its bytes fall into by the merges before it. Needed once before bpe_encode. Errors:
 * E_MODEL if a token does not fall into two. */
int bpe_merges_by_id(struct arena *a, struct bpe *b, int n_ordinary, struct err *e);

int bpe_count(const struct bpe *b);
/* bpe_bytes: raw bytes of one token, borrowed ({NULL,0} out of range). Special tokens ("<|...|>")
 * give their spelling. */
struct str bpe_bytes(const struct bpe *b, int token);
/* bpe_find: id of a token given as raw bytes or as the spelling of a special token; -1 if there is
 * none. */
int bpe_find(const struct bpe *b, const char *bytes, size_t n);
/* bpe_text: ids below `end` (the first special id) as text; invalid UTF-8 becomes U+FFFD, as
 * openai's decoder does ("replace"). */
void bpe_text(const struct bpe *b, const int *token, size_t n, int end, struct strbuf *out);
/* bpe_encode: text (UTF-8) -> ids, at most cap (more: E_INPUT). Special tokens in the text are
 * encoded as ordinary text. Returns the count or -1. */
int64_t bpe_encode(const struct bpe *b, struct arena *a, const char *text, size_t n, int *token,
                   size_t cap, struct err *e);
/* bpe_non_speech: the ids Whisper's `suppress_tokens = -1` stands for, without the special ones,
 * ascending (openai tokenizer.non_speech_tokens). Needs bpe_merges. */
int64_t bpe_non_speech(const struct bpe *b, struct arena *a, int *token, size_t cap, struct err *e);

#endif
