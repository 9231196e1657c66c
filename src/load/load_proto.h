/* Protocol Buffers on the wire: walking through the fields of a message without a schema. Private
 * to this room; readers know which numbers mean what. A message is a range of bytes somebody else
 * keeps, every length in it is checked before it is believed, and nothing is allocated.
 *
 *   message = fields:   key varint (number << 3 | wire type), then
 *                       0  a varint        1  8 bytes         5  4 bytes
 *                       2  a length and so many bytes: text, raw data, a message, packed numbers */
#ifndef LOAD_LOAD_PROTO_H
#define LOAD_LOAD_PROTO_H

#include "base/err.h"

struct load_proto { /* what is left of a message */
    const uint8_t *p, *end;
};

enum load_proto_wire {
    LOAD_PROTO_VARINT = 0,
    LOAD_PROTO_8 = 1,
    LOAD_PROTO_BYTES = 2,
    LOAD_PROTO_4 = 5
};

struct load_proto_field {
    const uint8_t *at; /* its key */
    uint32_t number;   /* 1 .. 2^29 - 1 */
    enum load_proto_wire wire;
    uint64_t value;         /* of a varint */
    struct load_proto body; /* of the others: their bytes */
};

enum load_proto_got { LOAD_PROTO_BROKEN = -1, LOAD_PROTO_END = 0, LOAD_PROTO_FIELD = 1 };

/* load_proto_next: takes the next field off m. BROKEN: *why is a phrase for a message ("..."),
 * f->at says where. */
enum load_proto_got load_proto_next(struct load_proto *m, struct load_proto_field *f,
                                    const char **why);

/* load_proto_varint: takes a number off the front of packed ones. False: there is no whole one. */
bool load_proto_varint(struct load_proto *m, uint64_t *value);

static inline size_t load_proto_bytes(const struct load_proto *m)
{
    return (size_t)(m->end - m->p);
}

#endif
