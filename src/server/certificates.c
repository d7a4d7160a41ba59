#include "server/certificates.h"

#include "server/logger.h"

#include <assert.h>
#include <string.h>

static_assert((int)HF_CERTIFICATES_MAX == (int)HF_TLS_CERTIFICATES_MAX,
              "all that are configured can be loaded");

static void log_doubt(const char *file, const char *what)
{
    hf_log(HF_LOG_WARNING, "certificate_doubtful", hf_kv_text("file", file), hf_kv_text("why", what));
}

int hf_certificates_load(const struct hf_config *config, const uint8_t secret[HF_TICKET_SECRET_BYTES],
                         bool warn, struct hf_tls **out, char *error, size_t error_cap)
{
    struct hf_tls_files files[HF_CERTIFICATES_MAX];
    struct hf_tls_policy policy = {.files = files,
                                   .count = config->certificate_count,
                                   .only_1_3 = config->tls_min_version == HF_TLS_1_3,
                                   .ciphers = config->tls_ciphers,
                                   .ticket_rotation_ms = config->ticket_rotation_ms,
                                   .warn = warn ? log_doubt : NULL};

    *out = NULL;
    if (config->certificate_count == 0)
        return 0;
    for (size_t i = 0; i < config->certificate_count; i++)
        files[i] = (struct hf_tls_files){config->certificates[i].certificate, config->certificates[i].key};
    memcpy(policy.ticket_secret, secret, sizeof(policy.ticket_secret));
    return hf_tls_new(&policy, out, error, error_cap);
}
