/* The module lode-pull.so: the only file that knows libcurl and libcrypto. Opened by fetch.c. */
#include "load/pull.h"
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECT_S 5
#define STALL_S   30 /* no byte for so long: the transfer counts as cut */
#define TRIES     3  /* in a row without a new byte */
#define REDIRECTS 10

struct transfer {
    const struct pull_request *q;
    struct pull_answer *answer;
    CURL *curl;
    int fd;
    uint64_t have; /* bytes in the file */
    uint64_t base; /* of those, before this attempt */
    bool begun;    /* the first byte of this attempt has come */
    bool stopped;  /* progress said so */
    int write_errno;
};

static long status_of(CURL *curl)
{
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* A server may ignore the range and send everything: then the file starts anew. */
static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    if (!t->begun && t->have > 0 && status_of(t->curl) != 206) {
        if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) != 0) {
            t->write_errno = errno;
            return 0;
        }
        t->have = t->base = 0;
    }
    t->begun = true;
    size_t left = size * n;
    while (left) {
        ssize_t done = write(t->fd, p, left);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            t->write_errno = done < 0 ? errno : EIO;
            return 0;
        }
        p += done;
        left -= (size_t)done;
        t->have += (uint64_t)done;
    }
    return size * n;
}

/* The hub names the sha256 of large files in the answer that redirects to the storage. */
static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
    static const char name[] = "x-linked-etag:";
    struct transfer *t = ctx;
    const char *end = p + size * n;
    if (size * n < sizeof name || strncasecmp(p, name, sizeof name - 1) != 0) return size * n;
    const char *at = p + sizeof name - 1;
    while (at < end && (*at == ' ' || *at == '"')) at++;
    const char *hex = at;
    while (at < end && strchr("0123456789abcdef", *at) && *at) at++;
    if (at - hex == PULL_HEX_SIZE - 1) memcpy(t->answer->sha256, hex, PULL_HEX_SIZE - 1);
    return size * n;
}

static int take_progress(void *ctx, curl_off_t total, curl_off_t now, curl_off_t up_total,
                         curl_off_t up)
{
    struct transfer *t = ctx;
    (void)up_total;
    (void)up;
    (void)now;
    if (t->q->progress)
        t->stopped = t->q->progress(t->q->ctx, (double)t->have,
                                    total > 0 ? (double)t->base + (double)total : 0);
    return t->stopped;
}

static void describe(struct transfer *t, char *why)
{
    CURL *c = t->curl;
    bool safe = strncmp(t->q->url, "https:", 6) == 0;
    curl_easy_setopt(c, CURLOPT_URL, t->q->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, safe ? "https" : "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "lode");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, take_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
}

/* What can be cured by asking again for the rest. */
static bool is_cut(CURLcode code)
{
    return code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING ||
           code == CURLE_OPERATION_TIMEDOUT || code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2;
}

static int attempt(struct transfer *t, bool *again, struct err *e)
{
    char why[CURL_ERROR_SIZE] = "", range[32];
    describe(t, why);
    snprintf(range, sizeof range, "%llu-", (unsigned long long)t->have);
    /* not RESUME_FROM: with that, libcurl refuses a server that sends everything */
    curl_easy_setopt(t->curl, CURLOPT_RANGE, t->have ? range : NULL);
    t->base = t->have;
    t->begun = false;
    CURLcode code = curl_easy_perform(t->curl);
    t->answer->status = status_of(t->curl);
    *again = false;
    if (code == CURLE_OK) return 0;
    if (t->stopped) return err_set(e, E_CANCELLED, "stopped while fetching %.300s", t->q->url);
    if (t->write_errno) {
        errno = t->write_errno;
        return err_errno(e, E_IO, "%.200s", t->q->path);
    }
    if (t->answer->status == 416 && t->have > 0) {
        /* Nothing after what we have: either it is all, which the checksum tells, or it is not a
         * beginning of this file. Both are settled by starting over. */
        *again = true;
        t->have = 0;
        if (ftruncate(t->fd, 0) != 0) return err_errno(e, E_IO, "%.200s", t->q->path);
        return err_set(e, E_NETWORK, "%.300s: the rest was refused (HTTP 416)", t->q->url);
    }
    *again = is_cut(code);
    if (t->answer->status >= 400)
        return err_set(e, E_NETWORK, "%.300s: HTTP status %ld", t->q->url, t->answer->status);
    err_set(e, E_NETWORK, "%.300s: %s", t->q->url, *why ? why : curl_easy_strerror(code));
    return t->have ? err_note(e, "after %llu bytes", (unsigned long long)t->have) : -1;
}

static int get(const struct pull_request *q, struct pull_answer *out, struct err *e)
{
    memset(out, 0, sizeof *out);
    struct transfer t = {.q = q, .answer = out};
    t.fd = open(q->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (t.fd < 0) return err_errno(e, E_IO, "%.200s", q->path);
    int result = -1;
    struct stat st;
    t.curl = curl_easy_init();
    if (!t.curl) {
        err_set(e, E_NOMEM, "libcurl could not begin a transfer");
        goto done;
    }
    if (fstat(t.fd, &st) != 0) {
        err_errno(e, E_IO, "%.200s", q->path);
        goto done;
    }
    t.have = (uint64_t)st.st_size;
    for (int tries = 0; tries < TRIES; tries++) {
        bool again;
        uint64_t before = t.have;
        result = attempt(&t, &again, e);
        if (result == 0 || !again) break;
        if (t.have > before) tries = -1;
    }
    if (result == 0 && fsync(t.fd) != 0) result = err_errno(e, E_IO, "%.200s", q->path);
done:
    if (t.curl) curl_easy_cleanup(t.curl);
    close(t.fd);
    return result;
}

static int sha256(const char *path, char hex[PULL_HEX_SIZE], struct err *e)
{
    unsigned char buffer[65536], digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC), result = -1;
    if (fd < 0) return err_errno(e, E_IO, "%.200s", path);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
    while (good) {
        n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        good = EVP_DigestUpdate(context, buffer, (size_t)n) == 1;
    }
    if (good && n < 0) {
        err_errno(e, E_IO, "%.200s", path);
    } else if (!good || EVP_DigestFinal_ex(context, digest, &size) != 1 ||
               size != (PULL_HEX_SIZE - 1) / 2) {
        err_set(e, E_INTERNAL, "libcrypto could not compute a sha256");
    } else {
        for (unsigned i = 0; i < size; i++) {
            hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
            hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
        }
        hex[PULL_HEX_SIZE - 1] = 0;
        result = 0;
    }
    EVP_MD_CTX_free(context);
    close(fd);
    return result;
}

const struct pull_module pull_module = {get, sha256};
