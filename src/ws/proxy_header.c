#include "ws/proxy_header.h"

#include <stdbool.h>
#include <string.h>

enum {
    SIGNATURE_BYTES = 12,
    COMMAND_LOCAL = 0x20, /* version 2 in the upper half */
    COMMAND_PROXY = 0x21,
    PROTOCOL_UNSPEC = 0x00,
    PROTOCOL_TCP4 = 0x11,
    PROTOCOL_TCP6 = 0x21,
    PROTOCOL_UNIX = 0x31,
    TLV_CRC32C = 0x03,
    TLV_HEAD_BYTES = 3,
};

static int bad(struct hf_proxy_header *h, const char *reason)
{
    h->reason = reason;
    return HF_EBADMSG;
}

static size_t u16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

/* Bytes of both addresses and ports; -1: a protocol that this is not for. */
static int address_bytes(uint8_t protocol)
{
    switch (protocol) {
    case PROTOCOL_UNSPEC:
        return 0;
    case PROTOCOL_TCP4:
        return 2 * 4 + 2 * 2;
    case PROTOCOL_TCP6:
        return 2 * 16 + 2 * 2;
    case PROTOCOL_UNIX:
        return 2 * 108;
    default:
        return -1;
    }
}

/* The fixed part, as far as it is there. Returns 1 when it is good and whole, 0 when more is needed. */
static int check_head(struct hf_proxy_header *h, const uint8_t *data, size_t len)
{
    static const uint8_t signature[SIGNATURE_BYTES] = "\r\n\r\n\0\r\nQUIT\n";

    if (memcmp(data, signature, len < SIGNATURE_BYTES ? len : SIGNATURE_BYTES) != 0)
        return bad(h, "no PROXY header of version 2");
    /* Section 2.2: "the receiver must only accept ... 0x2 ... Any other value must be ... dropped", of the command likewise. */
    if (len > 12 && data[12] != COMMAND_LOCAL && data[12] != COMMAND_PROXY)
        return bad(h, "another version or command");
    /* Section 2.2, LOCAL: "the receiver must ... discard the protocol block including the family which is ignored". */
    if (len > 13 && data[12] == COMMAND_PROXY && address_bytes(data[13]) < 0)
        return bad(h, "another protocol than TCP");
    if (len >= HF_PROXY_HEADER_MIN && HF_PROXY_HEADER_MIN + u16(data + 14) > HF_PROXY_HEADER_MAX)
        return bad(h, "the header is too long");
    if (len >= HF_PROXY_HEADER_MIN && data[12] == COMMAND_PROXY &&
        u16(data + 14) < (size_t)address_bytes(data[13]))
        return bad(h, "the header is too short for its addresses");
    return len >= HF_PROXY_HEADER_MIN;
}

/* CRC-32C (RFC 3720 appendix B.4), bit by bit: it is computed once a connection at most, over some hundred bytes. */
static uint32_t crc32c(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int i = 0; i < 8; i++)
        crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    return crc;
}

/* Section 2.2.5: of the whole header, "with the checksum field ... replaced by zeros". */
static bool checksum_right(const uint8_t *data, size_t len, size_t at)
{
    uint32_t crc = 0xffffffffu, told = 0;

    for (size_t i = 0; i < len; i++) {
        bool field = i >= at && i < at + 4;

        if (field)
            told = told << 8 | data[i];
        crc = crc32c(crc, field ? 0 : data[i]);
    }
    return told == ~crc;
}

static int check_tlvs(struct hf_proxy_header *h, const uint8_t *data, size_t at, size_t len)
{
    while (at < len) {
        size_t value_len;

        if (len - at < TLV_HEAD_BYTES)
            return bad(h, "a TLV is cut short");
        value_len = u16(data + at + 1);
        if (value_len > len - at - TLV_HEAD_BYTES)
            return bad(h, "a TLV is longer than the header");
        if (data[at] == TLV_CRC32C && (value_len != 4 || !checksum_right(data, len, at + TLV_HEAD_BYTES)))
            return bad(h, "the checksum is wrong");
        at += TLV_HEAD_BYTES + value_len;
    }
    return 0;
}

static void take_client(struct hf_proxy_header *h, uint8_t protocol, const uint8_t *block)
{
    h->source = HF_PROXY_CLIENT;
    if (protocol == PROTOCOL_TCP4) {
        h->client = (struct hf_endpoint){hf_ip_v4(block), (uint16_t)u16(block + 8)};
    } else {
        memcpy(h->client.ip.bytes, block, HF_IP_BYTES);
        h->client.port = (uint16_t)u16(block + 32);
    }
}

int hf_proxy_header_parse(struct hf_proxy_header *h, const uint8_t *data, size_t len)
{
    size_t whole, addresses;
    int got;

    *h = (struct hf_proxy_header){.source = HF_PROXY_OWN};
    if (len == 0)
        return 0;
    got = check_head(h, data, len);
    if (got <= 0)
        return got;
    whole = HF_PROXY_HEADER_MIN + u16(data + 14);
    if (len < whole)
        return 0;
    if (data[12] == COMMAND_LOCAL)
        return (int)whole;
    addresses = (size_t)address_bytes(data[13]);
    got = check_tlvs(h, data, HF_PROXY_HEADER_MIN + addresses, whole);
    if (got < 0)
        return got;
    if (data[13] == PROTOCOL_UNIX)
        h->source = HF_PROXY_UNIX;
    else if (data[13] != PROTOCOL_UNSPEC)
        take_client(h, data[13], data + HF_PROXY_HEADER_MIN);
    return (int)whole;
}
