/*
 * tls_ticket.h - the keys of session tickets (RFC 5077), the same in every worker without a word between them: they follow from one secret, which
 * the supervisor makes before it starts workers, and from the time. A key is used for new tickets during one rotation, its epoch, and
 * still opens tickets during the next one; then nobody takes them any more.
 *
 * Who has the secret has every key of the server's life; it is never written anywhere. TLS 1.3 makes a fresh Diffie-Hellman exchange also where it
 * resumes, so that there even a stolen secret opens no recorded connection.
 */
#ifndef HF_NET_TLS_TICKET_H
#define HF_NET_TLS_TICKET_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum { HF_TICKET_SECRET_BYTES = 32, HF_TICKET_NAME_BYTES = 16, HF_TICKET_KEY_BYTES = 32 };

struct hf_ticket_key {
    uint64_t epoch; /* wall time over the rotation */
    uint8_t name[HF_TICKET_NAME_BYTES];
    uint8_t cipher[HF_TICKET_KEY_BYTES]; /* AES-256-CBC */
    uint8_t mac[HF_TICKET_KEY_BYTES];    /* HMAC-SHA-256 */
};

/* Plain; keys[0] is the newer. Both are made on first use. */
struct hf_ticket_keys {
    uint8_t secret[HF_TICKET_SECRET_BYTES];
    uint64_t rotation_ms;
    bool made;
    struct hf_ticket_key keys[2];
};

void hf_ticket_keys_init(struct hf_ticket_keys *k, const uint8_t secret[HF_TICKET_SECRET_BYTES],
                         uint64_t rotation_ms);
/* Wipe the secret and the keys. */
void hf_ticket_keys_release(struct hf_ticket_keys *k);
/* The key for new tickets; NULL where it cannot be computed: give none then. Valid until the next call. */
const struct hf_ticket_key *hf_ticket_keys_current(struct hf_ticket_keys *k, uint64_t wall_ms);
/* The key with this name; NULL: unknown, or too old. *renew: it is not the current one. */
const struct hf_ticket_key *hf_ticket_keys_find(struct hf_ticket_keys *k,
                                                const uint8_t name[HF_TICKET_NAME_BYTES], uint64_t wall_ms,
                                                bool *renew);

#endif
