/* HTTP and checksums. libcurl and libcrypto are not linked into ./lode: pull.c alone includes them
 * and is built as the module lode-pull.so, whose one symbol is this table of functions. */
#ifndef LOAD_PULL_H
#define LOAD_PULL_H

#include "base/err.h"

#define PULL_MODULE   "pull" /* see module_open */
#define PULL_SYMBOL   "pull_module"
#define PULL_HEX_SIZE 65 /* sha256 in lower-case hexadecimal, with its NUL */

struct pull_request {
    const char *url;
    const char *path; /* of the file to write; what it already holds is not fetched again */
    void *ctx;
    /* bytes of the whole file so far, and in all (0: unknown); true: stop. May be NULL. */
    bool (*progress)(void *ctx, double done, double total);
};

struct pull_answer {
    long status;                /* HTTP status of the last answer, 0 if there was none */
    char sha256[PULL_HEX_SIZE]; /* of the whole file as the hub announces it, "" if it does not */
};

struct pull_module {
    /* get: fetches url into path, following redirects, 5 s to connect. A transfer that is cut is
     * taken up again where it stopped, up to three times without progress; what has arrived stays
     * in the file for the next call. Errors: E_NETWORK, E_IO, E_CANCELLED; *out is filled. */
    int (*get)(const struct pull_request *q, struct pull_answer *out, struct err *e);

    /* sha256: of a file. Errors: E_IO, E_CANCELLED. */
    int (*sha256)(const char *path, char hex[PULL_HEX_SIZE], struct err *e);
};

extern BASE_EXPORT const struct pull_module pull_module;

#endif
