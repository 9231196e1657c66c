/* What the readers of weight containers share; private to this room. A reader checks its own syntax
 * and hands over raw tensors in any order; load_settle checks what is common to all containers. */
#ifndef LOAD_LOAD_FORMAT_H
#define LOAD_LOAD_FORMAT_H

#include "load/load.h"
#include <string.h>

/* Limits of ours. Large checkpoints have a few thousand tensors; names stay far below 200 bytes. */
#define LOAD_TENSORS_MAX    65536
#define LOAD_NAME_MAX       1024
#define LOAD_CONFIG_MAX     (1u << 20)
#define LOAD_VOCABULARY_MAX (16u << 20)
#define LOAD_TOKENIZER_MAX  (64u << 20)

extern const struct load_format load_ct2_row, load_ggml_row, load_safetensors_row, load_shards_row;

struct load_alias { /* another name for a tensor or for another alias */
    const char *name, *target;
    size_t offset; /* where the file says so, for messages */
};

/* load_bad: E_MODEL "PATH: byte N[, tensor NAME]: sentence". tensor may be NULL. Returns -1. */
int load_bad(const struct load_weights *w, size_t byte, const char *tensor, struct err *e,
             const char *format, ...) BASE_PRINTF(5, 6);

/* load_name_fit: 1..LOAD_NAME_MAX bytes of valid UTF-8 without control characters, so that a name
 * from a file can be printed on a terminal. */
bool load_name_fit(const char *p, size_t n);

/* load_shape_fit: rank and dimensions are usable (rank <= 4, no dimension 0, no overflow, blocks in
 * rows of whole ones) and give the number of bytes stored. */
int load_shape_fit(const struct load_weights *w, const struct load_tensor *t, uint64_t stored,
                   struct err *e);

/* load_settle: w->tensor[0..n) as read, unsorted -> sorted, without duplicates, I8 scales attached,
 * aliases resolved. Errors: E_MODEL, E_NOMEM. */
int load_settle(struct arena *a, struct load_weights *w, struct load_alias *alias, size_t n_alias,
                struct err *e);

/* load_merge: all tensors settled (each file's scales and aliases are its own) -> sorted; a name
 * in two files is refused. */
int load_merge(struct load_weights *w, struct err *e);

/* Little-endian numbers at any address. */
static inline uint16_t load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
}

static inline uint64_t load_u64(const uint8_t *p)
{
    return (uint64_t)load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

#define load_bad(...) \
    (load_bad(__VA_ARGS__), err_failed()) /* as err_set: the compiler shall know */

#endif
