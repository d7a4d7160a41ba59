#include "net/tls_ticket.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

enum { LABEL_BYTES = 16, DIGEST_BYTES = 32 };

/* One block of RFC 5869's expansion is all that each key needs: HMAC(secret, label, epoch). */
static bool derive(const uint8_t *secret, const char *label, uint64_t epoch, uint8_t *out, size_t len)
{
    uint8_t input[LABEL_BYTES + sizeof(epoch)] = {0}, digest[DIGEST_BYTES];
    unsigned digest_len = sizeof(digest);

    memcpy(input, label, strlen(label));
    for (size_t i = 0; i < sizeof(epoch); i++)
        input[LABEL_BYTES + i] = (uint8_t)(epoch >> (8 * i));
    if (HMAC(EVP_sha256(), secret, HF_TICKET_SECRET_BYTES, input, sizeof(input), digest, &digest_len) == NULL)
        return false;
    memcpy(out, digest, len);
    OPENSSL_cleanse(digest, sizeof(digest));
    return true;
}

static bool make(const struct hf_ticket_keys *k, uint64_t epoch, struct hf_ticket_key *key)
{
    key->epoch = epoch;
    return derive(k->secret, "ticket name", epoch, key->name, sizeof(key->name)) &&
           derive(k->secret, "ticket cipher", epoch, key->cipher, sizeof(key->cipher)) &&
           derive(k->secret, "ticket mac", epoch, key->mac, sizeof(key->mac));
}

/* A clock that was set back is followed: what counts is that all workers see the same one. */
static bool refresh(struct hf_ticket_keys *k, uint64_t wall_ms)
{
    uint64_t epoch = wall_ms / k->rotation_ms;

    if (k->made && k->keys[0].epoch == epoch)
        return true;
    k->made = make(k, epoch, &k->keys[0]) && make(k, epoch - 1, &k->keys[1]);
    return k->made;
}

void hf_ticket_keys_init(struct hf_ticket_keys *k, const uint8_t secret[HF_TICKET_SECRET_BYTES],
                         uint64_t rotation_ms)
{
    *k = (struct hf_ticket_keys){.rotation_ms = rotation_ms};
    memcpy(k->secret, secret, sizeof(k->secret));
}

void hf_ticket_keys_release(struct hf_ticket_keys *k)
{
    OPENSSL_cleanse(k, sizeof(*k));
}

const struct hf_ticket_key *hf_ticket_keys_current(struct hf_ticket_keys *k, uint64_t wall_ms)
{
    return refresh(k, wall_ms) ? &k->keys[0] : NULL;
}

const struct hf_ticket_key *hf_ticket_keys_find(struct hf_ticket_keys *k,
                                                const uint8_t name[HF_TICKET_NAME_BYTES], uint64_t wall_ms,
                                                bool *renew)
{
    if (!refresh(k, wall_ms))
        return NULL;
    for (size_t i = 0; i < 2; i++) {
        if (memcmp(k->keys[i].name, name, HF_TICKET_NAME_BYTES) == 0) {
            *renew = i > 0;
            return &k->keys[i];
        }
    }
    return NULL;
}
