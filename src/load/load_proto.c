/* See load_proto.h. Follows protobuf.dev/programming-guides/encoding; groups (wire types 3 and 4),
 * which proto3 files do not have, are refused. */
#include "load/load_proto.h"

#define NUMBER_MAX ((1u << 29) - 1)

bool load_proto_varint(struct load_proto *m, uint64_t *value)
{
    uint64_t v = 0;
    for (int i = 0; i < 10 && m->p + i < m->end; i++) {
        uint8_t byte = m->p[i];
        if (i == 9 && byte > 1) return false; /* bits beyond the 64th */
        v |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte & 0x80) continue;
        m->p += i + 1;
        *value = v;
        return true;
    }
    return false;
}

static bool take(struct load_proto *m, uint64_t n, struct load_proto *body)
{
    if (n > load_proto_bytes(m)) return false;
    *body = (struct load_proto){m->p, m->p + n};
    m->p += n;
    return true;
}

enum load_proto_got load_proto_next(struct load_proto *m, struct load_proto_field *f,
                                    const char **why)
{
    uint64_t key, length;
    *f = (struct load_proto_field){.at = m->p};
    if (m->p == m->end) return LOAD_PROTO_END;
    *why = "the number of a field ends too soon";
    if (!load_proto_varint(m, &key)) return LOAD_PROTO_BROKEN;
    *why = "a field without a proper number";
    if (key >> 3 == 0 || key >> 3 > NUMBER_MAX) return LOAD_PROTO_BROKEN;
    f->number = (uint32_t)(key >> 3);
    f->wire = (enum load_proto_wire)(key & 7);
    *why = "a field that is longer than what it lies in";
    switch (f->wire) {
    case LOAD_PROTO_VARINT:
        return load_proto_varint(m, &f->value) ? LOAD_PROTO_FIELD : LOAD_PROTO_BROKEN;
    case LOAD_PROTO_8:
        return take(m, 8, &f->body) ? LOAD_PROTO_FIELD : LOAD_PROTO_BROKEN;
    case LOAD_PROTO_4:
        return take(m, 4, &f->body) ? LOAD_PROTO_FIELD : LOAD_PROTO_BROKEN;
    case LOAD_PROTO_BYTES:
        return load_proto_varint(m, &length) && take(m, length, &f->body) ? LOAD_PROTO_FIELD
                                                                          : LOAD_PROTO_BROKEN;
    }
    *why = "a field of a kind that is not used any more";
    return LOAD_PROTO_BROKEN;
}
