/*
 * supervisor_reload.c - SIGHUP: the configuration, the certificates and the keys are read anew, and taken over as a whole or not at all.
 */
#include "server/supervisor_impl.h"

#include "server/certificates.h"
#include "server/logger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* All that a reload has read anew; taken as a whole, or not at all. */
struct reload {
    struct hf_config wanted, next; /* as it was read; what would be in force */
    struct hf_tls *tls;
    struct hf_auth *auth;
    struct hf_hooks_tls hooks_tls;
};

/* ---- What is read ---- */

static bool reload_failed(_Atomic uint32_t *counter, const char *event, const char *why)
{
    atomic_fetch_add(counter, 1);
    hf_log(HF_LOG_ERROR, event, hf_kv_text("why", why));
    return false;
}

/* What may change at run time is taken over, and must go together with what stays. */
static bool read_config(struct hf_supervisor *s, struct reload *r)
{
    char error[1024];

    if (s->source->read(s->source->ctx, &r->wanted, error, sizeof(error)) < 0)
        return reload_failed(&s->region.header->config_reloads_failed, "config_kept", error);
    r->next = s->planned;
    (void)hf_config_take_over(&r->next, &r->wanted, NULL, NULL);
    if (hf_config_check(&r->next, error, sizeof(error)) < 0)
        return reload_failed(&s->region.header->config_reloads_failed, "config_kept", error);
    return true;
}

static bool read_certificates(struct hf_supervisor *s, struct reload *r)
{
    char error[512];

    if (s->tls == NULL || r->next.certificate_count == 0)
        return true; /* Nothing speaks TLS: that takes a restart. */
    return hf_certificates_load(&r->next, s->tls_secret, true, &r->tls, error, sizeof(error)) == 0 ||
           reload_failed(&s->region.header->tls_reloads_failed, "certificates_kept", error);
}

static bool read_keys(struct hf_supervisor *s, struct reload *r)
{
    char error[512];

    return hf_auth_load(&r->next, &r->auth, error, sizeof(error)) == 0 ||
           reload_failed(&s->region.header->auth_reloads_failed, "keys_kept", error);
}

/* Those of hooks.tls. Each worker reads them when it follows the configuration. */
static bool read_hooks_tls(struct hf_supervisor *s, struct reload *r)
{
    char error[512];

    return hf_hooks_tls_load(&r->next.hooks, &r->hooks_tls, error, sizeof(error)) == 0 ||
           reload_failed(&s->region.header->tls_reloads_failed, "certificates_kept", error);
}

/* ---- What is taken over ---- */

static void tell_change(void *ctx, const char *key, const char *from, const char *to, bool live)
{
    (void)ctx;
    hf_log(live ? HF_LOG_INFO : HF_LOG_WARNING, live ? "config_changed" : "config_needs_restart",
           hf_kv_text("key", key), hf_kv_text("from", from), hf_kv_text("to", to));
}

/* Whether files were read anew that the configuration only names. */
static bool reads_files(const struct hf_supervisor *s, const struct reload *r)
{
    return s->tls != NULL || s->auth != NULL || r->auth != NULL || s->hooks_tls.ca.data != NULL ||
           s->hooks_tls.certificate.data != NULL;
}

/* First what all else is read by; who sees a generation below gets this configuration, too. */
static void take_config(struct hf_supervisor *s, struct reload *r)
{
    struct hf_config_changes changes;
    uint64_t version;

    s->planned = r->next;
    hf_logger_set(s->config->log_level, s->config->log_format);
    changes = hf_config_take_over(&s->given, &r->wanted, tell_change, NULL);
    version = hf_handout_put(hf_region_handout(&s->region), s->config);
    atomic_fetch_add(&s->region.header->config_reloads, 1);
    if (changes.taken + changes.need_restart == 0 && !reads_files(s, r))
        hf_log_event(HF_LOG_INFO, "nothing_to_reload");
    else
        hf_log(HF_LOG_INFO, "config_reloaded", hf_kv_u64("version", version),
               hf_kv_u64("changed", changes.taken), hf_kv_u64("need_restart", changes.need_restart));
    if (s->capacity.connections != 0 && s->config->connections_max > s->capacity.connections)
        hf_log(HF_LOG_WARNING, "config_beyond_descriptors",
               hf_kv_u64("limits_connections", s->config->connections_max),
               hf_kv_u64("connections_max", s->capacity.connections));
}

/* For workers that start from now on. */
static void take_hooks_tls(struct hf_supervisor *s, struct reload *r)
{
    hf_hooks_tls_release(&s->hooks_tls);
    s->hooks_tls = r->hooks_tls;
    r->hooks_tls = (struct hf_hooks_tls){.ca = {NULL, 0}};
}

/* Connections that stand keep what they have. */
static void take_certificates(struct hf_supervisor *s, struct reload *r)
{
    if (r->tls == NULL)
        return;
    hf_tls_drop(s->tls);
    s->tls = r->tls;
    r->tls = NULL;
    atomic_fetch_add(&s->region.header->tls_reloads, 1);
    atomic_fetch_add_explicit(&s->region.header->tls_generation, 1, memory_order_release);
    hf_log(HF_LOG_INFO, "certificates_reloaded", hf_kv_u64("certificates", s->config->certificate_count));
}

/* The same with the keys of tokens. Who is connected by a key that has gone is ended by his worker: hf_hub_set_auth(). */
static void take_keys(struct hf_supervisor *s, struct reload *r)
{
    if (s->auth == NULL && r->auth == NULL)
        return;
    hf_auth_free(s->auth);
    s->auth = r->auth;
    r->auth = NULL;
    atomic_fetch_add(&s->region.header->auth_reloads, 1);
    atomic_fetch_add_explicit(&s->region.header->auth_generation, 1, memory_order_release);
    hf_log(HF_LOG_INFO, "keys_reloaded", hf_kv_u64("keys", s->config->auth_key_count));
}

/*
 * Read the configuration, the certificates and the keys anew. Whatever is wrong with one of them changes nothing; what is good is told to the workers, and those that start
 * later inherit it.
 */
static void reload(struct hf_supervisor *s)
{
    struct reload *r = calloc(1, sizeof(*r));

    if (r == NULL) {
        (void)reload_failed(&s->region.header->config_reloads_failed, "config_kept", strerror(ENOMEM));
        return;
    }
    if (read_config(s, r) && read_certificates(s, r) && read_keys(s, r) && read_hooks_tls(s, r)) {
        take_hooks_tls(s, r);
        take_config(s, r);
        take_certificates(s, r);
        take_keys(s, r);
        hf_supervisor_wake_all(s);
    }
    hf_tls_drop(r->tls);
    hf_auth_free(r->auth);
    hf_hooks_tls_release(&r->hooks_tls);
    free(r);
}

/* sd_notify(3), RELOADING: "the service is beginning to reload", with the time; READY ends it. Before all workers serve, and in the drain, that would not be so. */
void hf_supervisor_reload(struct hf_supervisor *s)
{
    struct timespec t;

    if (!s->ready_said || s->draining) {
        reload(s);
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &t);
    hf_notify_say(&s->notify, "RELOADING=1\nMONOTONIC_USEC=%llu",
                  (unsigned long long)t.tv_sec * 1000000 + (unsigned long long)t.tv_nsec / 1000);
    reload(s);
    hf_notify_say(&s->notify, "READY=1");
}
