/*
 * tls_place.h - where the SSL of an idle connection lies: folded.
 *
 * OpenSSL 3.0's struct of a connection has 7.6 KB, of which an idle one has filled less than a quarter: the rest are arrays for 32 records at a
 * time, and the handshake's. Nothing outside of it points to it but its owner. So those of one worker share a few places, as processes
 * share page frames: a struct lives at one address for its life, and while another one is used at the same address, it lies elsewhere without its
 * zeros. OpenSSL sees nothing of it. What an SSL owns besides (keys, session, certificate) stays where it is.
 *
 * It stands on two things, which hf_tls_places_setup() tries out once: OpenSSL takes an allocator of ours, and SSL_new() gets the struct by its
 * first large allocation. Where either does not hold, every SSL stays where malloc() has put it.
 *
 * One thread. The cost of a switch is 0.5 us, and none is due as long as the busy connections have places of their own.
 */
#ifndef HF_NET_TLS_PLACE_H
#define HF_NET_TLS_PLACE_H

#include "base/err.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_TLS_PLACES = 128 /* of 8 KiB each, of which only those in use cost memory */ };

/* Of one SSL; embedded in its owner. Plain, all zero is "none". */
struct hf_tls_tenant {
    SSL *ssl;
    uint8_t *
        folded; /* its nonzero lines and which they are, while it does not lie at its place; kept for the next time */
    uint16_t folded_bytes, place; /* place: HF_TLS_PLACES where it never moves */
};

struct hf_tls_places {
    uint8_t *memory; /* NULL: not in use */
    struct hf_tls_tenant *at[HF_TLS_PLACES];
    unsigned next;
};

/* To be called before anything of OpenSSL is used in the process. Returns whether places are in use. */
bool hf_tls_places_setup(void);

int hf_tls_places_init(struct hf_tls_places *p) HF_MUST_CHECK;
void hf_tls_places_release(struct hf_tls_places *p);

/* A new SSL for t, at its place. False: no memory. */
bool hf_tls_tenant_new(struct hf_tls_places *p, struct hf_tls_tenant *t, SSL_CTX *ctx);
/*
 * Before anything is done with t->ssl. Who lay there is folded; where there is no memory for that, that one's SSL is freed and NULL, which its
 * owner sees at its next use.
 */
void hf_tls_tenant_enter(struct hf_tls_places *p, struct hf_tls_tenant *t);
void hf_tls_tenant_free(struct hf_tls_places *p, struct hf_tls_tenant *t);

#endif
