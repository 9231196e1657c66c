/* Documents cut into passages short enough for a model, at the ends of sentences. */
#ifndef JOBS_PASSAGES_H
#define JOBS_PASSAGES_H

#include "jobs/sentences.h"

struct passages {      /* a growing list */
    struct str *text;  /* [n] */
    int32_t *document; /* [n] */
    size_t n, cap;
};

/* passages_cut: the passages of a document to the list; at least one, even of an empty text. A
 * passage has at most max_tokens tokens and begins with the last sentence of the one before it, if
 * that is short. Sentences that are longer are cut between words, words between
 * characters. The text is tokenized a few times, not more the longer it is. text must outlive the
 * list, which lives in a. Errors: E_INPUT (not UTF-8), E_NOMEM. */
int passages_cut(struct arena *a, struct sentences *s, struct str text, int32_t document,
                 int64_t max_tokens, struct passages *out, struct err *e);

#endif
