/*
 * binary_parts.h - the tables of docs/protocol.md "The binary form": which fields a record's body has, in their order. For binary_encode.c and binary_decode.c alone.
 */
#ifndef HF_WIRE_BINARY_PARTS_H
#define HF_WIRE_BINARY_PARTS_H

#include "wire/member.h"

/*
 * A body begins with its flags; what is optional has the next bit of them, counted in the table's order. One byte a part: a member, and a rule.
 */
enum hf_binary_part {
    HF_BINARY_MAYBE = 0, /* a field where its bit is set; a member that is a bare bool is the bit itself */
    HF_BINARY_ALWAYS = 1 << 6, /* a field, without a bit */
    HF_BINARY_NAMED = 2 << 6,  /* a field: the cid where its bit is set, else the channel's name */
    HF_BINARY_PART_RULE = 3 << 6,
    HF_BINARY_PART_MEMBER = (1 << 6) - 1,
    HF_BINARY_PARTS_END = HF_MEMBERS
};

/* The table of this type in this direction; NULL where there is no such record. */
const uint8_t *hf_binary_parts(enum hf_msg_type type, bool from_server);

#endif
