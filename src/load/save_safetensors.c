/* The safetensors writer; see load_safetensors.c for the format. */
#include "load/save_safetensors.h"
#include "base/json.h"
#include <stdlib.h>
#include <string.h>

static const char *type_text(enum dtype type)
{
    switch (type) {
    case DTYPE_F32:
        return "F32";
    case DTYPE_F16:
        return "F16";
    case DTYPE_BF16:
        return "BF16";
    case DTYPE_I8:
        return "I8";
    case DTYPE_U8:
        return "U8";
    case DTYPE_I16:
        return "I16";
    case DTYPE_I32:
        return "I32";
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
    case DTYPE_Q5_0:
    case DTYPE_Q5_1:
    case DTYPE_Q8_0:
    case DTYPE_COUNT:
        break;
    }
    assert(false); /* the format has no blocks; every other type has a name above */
    return "";
}

static int in_file_order(const void *x, const void *y)
{
    const struct save_safetensors_tensor *s = x, *t = y;
    size_t s_bytes = tensor_type_bytes(s->type), t_bytes = tensor_type_bytes(t->type);
    if (s_bytes != t_bytes) return s_bytes > t_bytes ? -1 : 1;
    return strcmp(s->name, t->name);
}

/* Writes the header as JSON through `put` and tells how many bytes of data it promises. */
static int describe(const struct save_safetensors_tensor *tensor, size_t n,
                    const struct save_safetensors_note *note, size_t n_notes,
                    int (*put)(void *, const char *, size_t, struct err *), void *ctx,
                    uint64_t *data, struct err *e)
{
    struct json_out j;
    json_out_init(&j, 0, put, ctx, e);
    json_out_object(&j);
    if (n_notes) {
        json_out_key(&j, "__metadata__");
        json_out_object(&j);
        for (size_t i = 0; i < n_notes; i++) {
            json_out_key(&j, note[i].key);
            json_out_text(&j, note[i].text.p, note[i].text.n);
        }
        json_out_end(&j, '}');
    }
    *data = 0;
    for (size_t i = 0; i < n; i++) {
        const struct save_safetensors_tensor *t = &tensor[i];
        json_out_key(&j, t->name);
        json_out_object(&j);
        json_out_key(&j, "dtype");
        json_out_str(&j, type_text(t->type));
        json_out_key(&j, "shape");
        json_out_array(&j);
        for (int d = 0; d < t->rank; d++) json_out_int(&j, t->dim[d]);
        json_out_end(&j, ']');
        json_out_key(&j, "data_offsets");
        json_out_array(&j);
        json_out_int(&j, (int64_t)*data);
        *data += (uint64_t)tensor_count(t->rank, t->dim) * tensor_type_bytes(t->type);
        json_out_int(&j, (int64_t)*data);
        json_out_end(&j, ']');
        json_out_end(&j, '}');
    }
    json_out_end(&j, '}');
    return json_out_done(&j);
}

static int count_bytes(void *ctx, const char *p, size_t n, struct err *e)
{
    (void)p;
    (void)e;
    *(size_t *)ctx += n;
    return 0;
}

static int add_bytes(void *ctx, const char *p, size_t n, struct err *e)
{
    (void)e;
    strbuf_add(ctx, p, n);
    return 0;
}

int save_safetensors_begin(struct arena *a, const char *path,
                           struct save_safetensors_tensor *tensor, size_t n,
                           const struct save_safetensors_note *note, size_t n_notes,
                           struct save_safetensors *s, struct err *e)
{
    memset(s, 0, sizeof *s);
    if (n) qsort(tensor, n, sizeof *tensor, in_file_order);
    size_t bytes = 0;
    TRY(describe(tensor, n, note, n_notes, count_bytes, &bytes, &s->data_left, e));
    size_t padded = ALIGN_UP(bytes, 8); /* 8 bytes of length before it: the data is aligned too */
    char *memory = arena_alloc(a, 8 + padded + 1, 8, e);
    if (!memory) return -1;
    struct strbuf text;
    strbuf_init(&text, memory + 8, padded + 1);
    TRY(describe(tensor, n, note, n_notes, add_bytes, &text, &s->data_left, e));
    assert(text.n == bytes && !text.cut);
    memset(memory + 8 + bytes - 1, ' ', padded - bytes + 1); /* the writer's newline as well */
    for (int i = 0; i < 8; i++) memory[i] = (char)(padded >> 8 * i & 0xff);
    TRY(file_out_open(a, path, &s->file, e));
    if (file_out_write(&s->file, memory, 8 + padded, e) == 0) return 0;
    file_out_abort(&s->file);
    return -1;
}

int save_safetensors_put(struct save_safetensors *s, const void *p, size_t n, struct err *e)
{
    assert(n <= s->data_left);
    s->data_left -= n;
    return file_out_write(&s->file, p, n, e);
}

int save_safetensors_end(struct save_safetensors *s, struct err *e)
{
    assert(s->data_left == 0);
    return file_out_commit(&s->file, e);
}

void save_safetensors_abort(struct save_safetensors *s)
{
    file_out_abort(&s->file);
}
