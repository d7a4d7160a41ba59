/*
 * worker_follow.c - what the supervisor has read anew is taken over: the configuration, the certificates, the keys.
 */
#include "server/worker_impl.h"

#include "server/certificates.h"
#include "server/hub.h"
#include "server/logger.h"

#include <errno.h>
#include <string.h>

/* The supervisor has handed out another configuration, which it has found good. Between two turns nobody looks at a part of it. */
void hf_worker_follow_config(struct hf_worker *w)
{
    struct hf_handout *handout = hf_region_handout(w->setup->region);

    if (!hf_handout_newer(handout, w->config_version))
        return;
    w->config_version = hf_handout_get(handout, &w->config);
    hf_logger_set(w->config.log_level, w->config.log_format);
    if (!hf_hub_reconfigured(w->hub, w->now))
        hf_log(HF_LOG_ERROR, "compression_kept", hf_kv_text("why", strerrordesc_np(ENOMEM)));
    hf_worker_follow_hooks(w);
    hf_memory_watch_set(&w->memory, w->config.worker_memory_max);
    hf_log(HF_LOG_DEBUG, "config_followed", hf_kv_u64("version", w->config_version));
}

/* The supervisor has found the certificates' files good; should they be bad by now, the old ones stay in force. */
void hf_worker_follow_certificates(struct hf_worker *w)
{
    uint32_t generation =
        atomic_load_explicit(&w->setup->region->header->tls_generation, memory_order_acquire);
    struct hf_tls *tls;
    char error[512];

    if (generation == w->tls_generation)
        return;
    w->tls_generation = generation;
    hf_worker_follow_config(w); /* It was handed out before the generation was raised. */
    if (hf_certificates_load(w->setup->config, w->setup->tls_secret, false, &tls, error, sizeof(error)) < 0) {
        hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_TLS_RELOADS_MISSED, 1);
        hf_log(HF_LOG_ERROR, "certificates_kept", hf_kv_text("why", error));
        return;
    }
    hf_sockets_set_tls(&w->sockets, tls);
    hf_tls_drop(tls);
}

/* The same with the keys of tokens. */
void hf_worker_follow_keys(struct hf_worker *w)
{
    uint32_t generation =
        atomic_load_explicit(&w->setup->region->header->auth_generation, memory_order_acquire);
    struct hf_auth *auth;
    char error[512];

    if (generation == w->auth_generation)
        return;
    w->auth_generation = generation;
    hf_worker_follow_config(w);
    if (hf_auth_load(w->setup->config, &auth, error, sizeof(error)) < 0) {
        hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_KEY_RELOADS_MISSED, 1);
        hf_log(HF_LOG_ERROR, "keys_kept", hf_kv_text("why", error));
        return;
    }
    hf_hub_set_auth(w->hub, auth);
    hf_auth_free(w->auth);
    w->auth = auth;
}
