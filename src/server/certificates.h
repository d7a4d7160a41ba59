/*
 * certificates.h - the certificates and the TLS policy of the configuration, loaded: by the supervisor at the start and to check a reload, by each
 * worker when it is told that one went well.
 */
#ifndef HF_SERVER_CERTIFICATES_H
#define HF_SERVER_CERTIFICATES_H

#include "net/tls.h"
#include "server/config.h"

/*
 * Load tls.certificates; what is doubtful about them is logged where `warn`. Returns 0 with *out held, or the error of hf_tls_new() and its line.
 * With no certificate configured *out is NULL.
 */
int hf_certificates_load(const struct hf_config *config, const uint8_t secret[HF_TICKET_SECRET_BYTES],
                         bool warn, struct hf_tls **out, char *error, size_t error_cap) HF_MUST_CHECK;

#endif
