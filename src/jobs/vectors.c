#include "jobs/vectors.h"
#include "base/json.h"
#include "core/tensor.h"
#include "load/npy.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define NUMBER_ROOM 20 /* characters of a number with what stands around it */

static int npy_begin(const struct vectors_out *v, int64_t total, struct err *e)
{
    char head[NPY_HEAD];
    npy_head(head, total, v->width, 'f', v->half ? 2 : 4);
    return v->sink.put(v->sink.ctx, head, sizeof head, e);
}

static int csv_head(struct vectors_out *v, struct err *e)
{
    size_t n = (size_t)snprintf(v->line, v->room, "id");
    for (int i = 0; i < v->width; i++) n += (size_t)snprintf(v->line + n, v->room - n, ",v%d", i);
    v->line[n++] = '\n';
    return v->sink.put(v->sink.ctx, v->line, n, e);
}

int vectors_begin(struct arena *a, const struct out_sink *sink, enum vectors_format format,
                  bool half, int64_t total, int width, struct vectors_out *v, struct err *e)
{
    *v = (struct vectors_out){.sink = *sink, .format = format, .half = half, .width = width};
    v->room = NUMBER_ROOM * (size_t)width + 64;
    v->line = ARENA_NEW(a, char, v->room, e);
    if (!v->line) return -1;
    if (format == VECTORS_NPY) return npy_begin(v, total, e);
    return format == VECTORS_CSV ? csv_head(v, e) : 0;
}

/* Eight decimals: of a vector of length 1 no number loses more than f32 itself is off by. printf
 * would take longer than the network. */
static size_t put_number(char *out, float x)
{
    size_t n = 0;
    if (!(fabsf(x) < 1000)) return (size_t)snprintf(out, NUMBER_ROOM - 2, "%.9g", (double)x);
    uint64_t scaled = (uint64_t)(fabs((double)x) * 1e8 + 0.5), whole = scaled / 100000000;
    uint64_t part = scaled % 100000000;
    if (x < 0 && scaled) out[n++] = '-';
    if (whole >= 100) out[n++] = (char)('0' + whole / 100);
    if (whole >= 10) out[n++] = (char)('0' + whole / 10 % 10);
    out[n++] = (char)('0' + whole % 10);
    if (part == 0) return n;
    out[n++] = '.';
    for (int i = 7; i >= 0; i--, part /= 10) out[n + (size_t)i] = (char)('0' + part % 10);
    n += 8;
    while (out[n - 1] == '0') n--;
    return n;
}

static int put_npy(struct vectors_out *v, const float *x, struct err *e)
{
    size_t width = (size_t)v->width;
    if (!v->half) return v->sink.put(v->sink.ctx, (const char *)x, width * sizeof *x, e);
    for (size_t i = 0; i < width; i++) {
        uint16_t h = tensor_f32_to_f16(x[i]);
        memcpy(v->line + 2 * i, &h, 2);
    }
    return v->sink.put(v->sink.ctx, v->line, 2 * width, e);
}

static int put_id_json(struct vectors_out *v, struct str id, struct err *e)
{
    struct json_out j;
    json_out_init(&j, 0, v->sink.put, v->sink.ctx, e);
    json_out_text(&j, id.p, id.n);
    return json_out_flush(&j);
}

/* A field in quotes, its quotes doubled. */
static int put_id_csv(struct vectors_out *v, struct str id, struct err *e)
{
    TRY(v->sink.put(v->sink.ctx, "\"", 1, e));
    for (size_t i = 0; i < id.n; i++) {
        size_t n = 0;
        while (i + n < id.n && id.p[i + n] != '"') n++;
        TRY(v->sink.put(v->sink.ctx, id.p + i, n, e));
        i += n;
        if (i < id.n) TRY(v->sink.put(v->sink.ctx, "\"\"", 2, e));
    }
    return v->sink.put(v->sink.ctx, "\"", 1, e);
}

static size_t put_numbers(const struct vectors_out *v, const float *x, size_t n)
{
    for (int i = 0; i < v->width; i++) {
        if (i) v->line[n++] = ',';
        n += put_number(v->line + n, x[i]);
    }
    return n;
}

static int put_jsonl(struct vectors_out *v, struct str id, const float *x, struct err *e)
{
    char head[64];
    size_t n = (size_t)snprintf(head, sizeof head, "{\"index\":%lld,", (long long)v->n);
    TRY(v->sink.put(v->sink.ctx, head, n, e));
    if (id.p) {
        TRY(v->sink.put(v->sink.ctx, "\"id\":", 5, e));
        TRY(put_id_json(v, id, e));
        TRY(v->sink.put(v->sink.ctx, ",", 1, e));
    }
    n = (size_t)snprintf(v->line, v->room, "\"vector\":[");
    n = put_numbers(v, x, n);
    memcpy(v->line + n, "]}\n", 3);
    return v->sink.put(v->sink.ctx, v->line, n + 3, e);
}

static int put_csv(struct vectors_out *v, struct str id, const float *x, struct err *e)
{
    char number[24];
    if (id.p)
        TRY(put_id_csv(v, id, e));
    else
        TRY(v->sink.put(v->sink.ctx, number,
                        (size_t)snprintf(number, sizeof number, "%lld", (long long)v->n), e));
    v->line[0] = ',';
    size_t n = put_numbers(v, x, 1);
    v->line[n++] = '\n';
    return v->sink.put(v->sink.ctx, v->line, n, e);
}

int vectors_put(struct vectors_out *v, struct str id, const float *x, struct err *e)
{
    int rc = v->format == VECTORS_NPY     ? put_npy(v, x, e)
             : v->format == VECTORS_JSONL ? put_jsonl(v, id, x, e)
                                          : put_csv(v, id, x, e);
    v->n++;
    return rc;
}
