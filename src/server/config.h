/*
 * config.h - the configuration of `holdfast serve`: embedded defaults, a YAML file, the environment, --set and the short options, in this order.
 * The struct is plain and filled before any worker starts; nobody changes it afterwards.
 */
#ifndef HF_SERVER_CONFIG_H
#define HF_SERVER_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/ip.h"
#include "channel/namespace.h"
#include "server/jwt_alg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_LISTEN_MAX = 8,
    HF_ADDRESS_MAX = 128,
    HF_WORKERS_MAX = 256,
    HF_CONFIG_KEYS = 90,
    HF_CONFIG_PATH_MAX = 256,
    HF_CERTIFICATES_MAX = 16,
    HF_NETWORKS_MAX = 32,
    HF_URL_MAX = 256,
    HF_CONFIG_TEXT_MAX = 256,
    HF_AUTH_KEYS_MAX = 16,
    HF_KID_MAX = 64,
    HF_ORIGINS_MAX = 32,
    HF_API_KEYS_MAX = 32,
    HF_API_NAME_MAX = 64,
    HF_API_HASH_BYTES = 32, /* SHA-256 */
    HF_ADMISSION_PER_CPU =
        12000 /* handshakes a second; measured: 15 to 25 us for a resume, so a third of a core */
};

enum hf_tls_version { HF_TLS_1_2, HF_TLS_1_3 };
enum hf_seccomp_mode { HF_SECCOMP_AUTO, HF_SECCOMP_ON, HF_SECCOMP_OFF };
enum hf_log_format { HF_LOG_LOGFMT, HF_LOG_JSON };
enum hf_socket_mode { HF_SOCKET_0600, HF_SOCKET_0660, HF_SOCKET_0666 };
enum hf_proxy_says { HF_PROXY_SAYS_NOTHING, HF_PROXY_SAYS_X_FORWARDED_FOR, HF_PROXY_SAYS_FORWARDED };
enum hf_hook {
    HF_HOOK_CONNECT,
    HF_HOOK_SUBSCRIBE,
    HF_HOOK_PUBLISH,
    HF_HOOK_CALL,
    HF_HOOK_DISCONNECT,
    HF_HOOKS
};
enum hf_hook_fail { HF_HOOK_FAIL_CLOSED, HF_HOOK_FAIL_OPEN };
enum hf_log_level { HF_LOG_DEBUG, HF_LOG_INFO, HF_LOG_WARNING, HF_LOG_ERROR };

/* A certificate with its chain, and its private key, both PEM; key "": it is in the certificate's file. */
struct hf_certificate_files {
    char certificate[HF_CONFIG_PATH_MAX], key[HF_CONFIG_PATH_MAX];
};

/* A key that signs tokens; kid "": it has no name. */
struct hf_auth_key_file {
    char kid[HF_KID_MAX + 1];
    enum hf_jwt_alg alg;
    char path[HF_CONFIG_PATH_MAX];
};

/* A key of the HTTP API: who shows the text with this hash may. */
struct hf_api_key {
    char name[HF_API_NAME_MAX + 1];
    bool full; /* else reading alone */
    uint8_t hash[HF_API_HASH_BYTES];
};

/* Requests to the application's backend: docs/hooks.md. */
struct hf_hooks_config {
    char url[HF_HOOKS][HF_URL_MAX]; /* hooks.HOOK.url: http or https, default none: that hook is not asked */
    enum hf_hook_fail
        fail[HF_HOOKS]; /* hooks.connect.fail, .subscribe.fail, .publish.fail: closed, open; default closed */
    bool connect_resumes;     /* hooks.connect.resumes: ask for resumes too; default false */
    uint32_t call_timeout_ms; /* hooks.call.timeout, 10 s; 100 ms to 10 min */
    uint32_t calls_max;       /* hooks.call.concurrency, 32; 1 to 255: of a connection */
    char secret[256];     /* hooks.secret: signs the requests; 16 to 255 characters where there is a URL */
    uint32_t timeout_ms;  /* hooks.timeout, 5 s; 100 ms to 1 min: of the other hooks */
    uint32_t concurrency; /* hooks.concurrency, 64; 1 to 1,024: requests under way, of a worker */
    uint32_t queue_max;   /* hooks.queue, 1,024; 0 to 65,536: requests that wait, of a worker */
    uint32_t answer_bytes_max; /* hooks.answer, 128 KiB; 1 KiB to 16 MiB */
    uint32_t failures; /* hooks.failures, 5; 1 to 1,000: in a row, until a hook is not asked for a while */
    uint32_t pause_ms; /* hooks.pause, 5 s; 100 ms to 10 min: how long it is not asked then */
    char tls_ca[HF_CONFIG_TEXT_MAX]; /* hooks.tls.ca: PEM, in place of the system's store; "": that */
    char tls_certificate
        [HF_CONFIG_TEXT_MAX]; /* hooks.tls.certificate: PEM, shown to backends that ask for one; "": none */
    char tls_key[HF_CONFIG_TEXT_MAX]; /* hooks.tls.key: PEM; "": in the certificate's file */
};

/* Key in the file and in --set, unit, default, bounds. Durations in the file: "25s", "500ms", "10m", "24h", or integer ms. Sizes: "64KiB", "1MiB", or bytes. */
struct hf_config {
    char listen
        [HF_LISTEN_MAX]
        [HF_ADDRESS_MAX]; /* listen: list of ADDR:PORT ("[::1]:8000" for IPv6), default 127.0.0.1:8000 */
    size_t listen_count;
    char api_listen
        [HF_ADDRESS_MAX]; /* api.listen: ADDR:PORT or unix:PATH, default 127.0.0.1:8001; "none": no API */
    enum hf_socket_mode api_socket_mode; /* api.socket_mode: 0600, 0660, 0666; default 0600 */
    char api_key
        [256]; /* api.key: required in Authorization: Bearer when set; unset: loopback addresses only */
    struct hf_api_key api_keys[HF_API_KEYS_MAX]; /* api.keys: list of NAME=full:HASH, NAME=read:HASH */
    size_t api_key_count;
    uint32_t workers; /* workers: 1 to 256, or auto; default auto, which is 0: see server/capacity.h */
    bool echo;        /* echo: serve /echo; default false */

    bool demo; /* demo.enabled: the API port serves a page whose buttons break things; default false */
    bool
        demo_remote; /* demo.remote: to other machines too; default false: then all addresses must be loopback ones */

    bool api_admin; /* api.admin: the API's port serves the admin page; default true */
    bool api_tls;   /* api.tls: the API speaks TLS, with tls.certificates; default false */

    char tls_listen[HF_LISTEN_MAX][HF_ADDRESS_MAX]; /* tls.listen: list of ADDR:PORT, default none */
    size_t tls_listen_count;
    struct hf_certificate_files
        certificates[HF_CERTIFICATES_MAX]; /* tls.certificates: list; the first is the default */
    size_t certificate_count;
    enum hf_tls_version tls_min_version; /* tls.min_version: 1.2, 1.3; default 1.2 */
    char tls_ciphers[256];               /* tls.ciphers: of TLS 1.2, OpenSSL's notation; "": ours */
    uint32_t ticket_rotation_ms;         /* tls.ticket_rotation, 12 h; 1 s to 7 d */

    struct hf_network proxy_trusted[HF_NETWORKS_MAX]; /* proxy.trusted: list of ADDR/BITS; default none */
    size_t proxy_trusted_count;
    bool proxy_protocol; /* proxy.protocol: they begin with a PROXY header; default false */
    enum hf_proxy_says
        proxy_says; /* proxy.header: none, x-forwarded-for, forwarded; default x-forwarded-for */

    uint32_t
        admission_rate; /* admission.rate: handshakes a second of all workers; 0: no bound; default 12,000 a CPU */
    uint32_t admission_burst; /* admission.burst, 0: those of one second */

    struct hf_auth_key_file auth_keys[HF_AUTH_KEYS_MAX]; /* auth.keys: list of KID=ALG:FILE; default none */
    size_t auth_key_count;
    char auth_audience[HF_CONFIG_TEXT_MAX]; /* auth.audience; "": tokens with aud are refused */
    char auth_issuer[HF_CONFIG_TEXT_MAX];   /* auth.issuer; "": any */
    uint32_t auth_leeway_ms;                /* auth.leeway, 10 s; 0 to 10 min */
    bool
        auth_anonymous; /* auth.anonymous: who has no token may come in; default false. Without keys: everybody, on loopback addresses anyway */
    char auth_origins[HF_ORIGINS_MAX][HF_ADDRESS_MAX]; /* auth.origins: list; default none: any */
    size_t auth_origin_count;

    enum hf_log_level log_level;   /* log.level: debug, info, warning, error; default info */
    enum hf_log_format log_format; /* log.format: logfmt, json; default logfmt */

    uint32_t heartbeat_interval_ms; /* heartbeat.interval, 25 s; 100 ms to 1 h; min <= interval <= max */
    uint32_t heartbeat_min_ms;      /* heartbeat.min, 10 s; 100 ms to 1 h */
    uint32_t heartbeat_max_ms;      /* heartbeat.max, 60 s; 100 ms to 1 h */

    uint32_t session_ttl_ms;            /* session.ttl, 120 s; 100 ms to 24 h */
    uint32_t session_tombstone_ms;      /* session.tombstone, 24 h; 1 s to 7 d */
    uint32_t session_subscriptions_max; /* session.subscriptions, 256; 1 to 65,535 */
    uint32_t sessions_max;              /* session.max, 1,048,576; 16 to 16,777,216: all workers together */

    uint32_t history_messages; /* history.messages, 1,024; 0 to 1,000,000 */
    uint32_t history_bytes;    /* history.bytes, 1 MiB; 0 to 1 GiB (payload bytes) */
    uint32_t history_age_ms;   /* history.age, 10 min; 1 s to 24 h */

    struct hf_namespaces namespaces; /* namespaces; none: all channels are open to all */

    uint32_t shards; /* memory.shards, 16; 1 to 256 */
    uint32_t
        segment_bytes; /* memory.segment, 1 MiB; 64 KiB to 16 MiB; at least 4 x limits.message + 64 KiB */
    uint32_t segments_per_shard; /* memory.segments, 64; 4 to 4,095 */

    uint32_t message_bytes_max; /* limits.message, 64 KiB; 16 B to 4 MiB: bytes of a payload */
    uint32_t connections_max;   /* limits.connections, 0: what the descriptors allow; all workers together */
    uint32_t address_connections_max; /* limits.connections_per_address, 0: no bound */
    uint32_t address_bits_v4; /* limits.address_bits_v4, 32; 8 to 32: of which prefix an "address" is */
    uint32_t address_bits_v6; /* limits.address_bits_v6, 64; 16 to 128 */
    uint32_t
        handshakes_max; /* limits.handshakes, 65,536; 16 to 1,048,576: begun at a time, all workers together */
    uint32_t header_bytes_max;  /* limits.header_bytes, 8 KiB; 512 B to 64 KiB */
    uint32_t headers_max;       /* limits.headers, 100; 8 to 256 */
    uint32_t write_timeout_ms;  /* limits.write, 60 s; 0: none, to 1 h */
    uint32_t worker_memory_max; /* limits.worker_memory, 0: no bound, to 3 GiB */
    uint32_t publish_rate;      /* limits.publish_rate: of a session, a second; 0: no bound */
    uint32_t publish_burst;     /* limits.publish_burst, 0: those of one second */
    uint32_t channels_max;      /* limits.channels, 1,048,576; 1 to 16,777,216: all shards together */
    uint32_t inflight_max; /* limits.inflight, 1,024; 1 to 65,535: publishes of a session not answered yet */
    uint32_t handshake_timeout_ms; /* limits.handshake, 10 s; 100 ms to 10 min */

    bool compression_enabled;    /* compression.enabled: take offers of permessage-deflate; default false */
    uint32_t compression_min;    /* compression.min, 256 B; 0 to 4 MiB: shorter messages are plain */
    uint32_t compression_level;  /* compression.level, 3; 1 to 9: zlib's */
    uint32_t compression_memory; /* compression.memory, 5; 1 to 9: zlib's memLevel */
    uint32_t compression_cache_bytes; /* compression.cache, 4 MiB; 64 KiB to 1 GiB: per worker */

    uint32_t idempotency_age_ms;   /* idempotency.age, 10 min; 1 s to 24 h */
    uint32_t idempotency_keys_max; /* idempotency.keys, 100,000; 0 to 10,000,000 */

    struct hf_hooks_config hooks;
    char process_user
        [HF_CONFIG_TEXT_MAX]; /* process.user: who to be once the sockets are bound; "": as it was started */
    char process_group[HF_CONFIG_TEXT_MAX]; /* process.group; "": the user's own */
    enum hf_seccomp_mode process_seccomp;   /* process.seccomp: auto, on, off; default auto */

    uint32_t
        drain_timeout_ms; /* drain.timeout, 60 s; 0 to 10 min: from SIGTERM to the last close at the most */

    char path[HF_CONFIG_PATH_MAX]; /* the file that was read, for the errors of hf_config_check(); "": none */
    uint32_t lines[HF_CONFIG_KEYS]; /* where it sets each key, in the order of the key table; 0: elsewhere */
};

/* The embedded defaults. */
void hf_config_default(struct hf_config *c);

/*
 * Read a YAML file over what is there. On failure returns HF_EINVAL and writes one line, without newline, into error:
 * "FILE:LINE: key: what is wrong, and what is allowed".
 */
int hf_config_load(struct hf_config *c, const char *path, char *error, size_t error_cap) HF_MUST_CHECK;

/* Apply "key=value" ("heartbeat.interval=5s"); `origin` names where it stood, for the error ("--set"). As hf_config_load. */
int hf_config_set(struct hf_config *c, const char *assignment, const char *origin, char *error,
                  size_t error_cap) HF_MUST_CHECK;

/* Apply the variables HOLDFAST_KEY (HOLDFAST_HEARTBEAT_INTERVAL=5s) of an environment such as environ; others are passed over. As hf_config_set. */
int hf_config_environment(struct hf_config *c, char *const *environment, char *error,
                          size_t error_cap) HF_MUST_CHECK;

/* Tell of each variable HOLDFAST_... that is no key's, and which one may have been meant ("": none is near). */
void hf_config_environment_unknown(char *const *environment,
                                   void (*tell)(void *ctx, struct hf_str name, const char *nearest),
                                   void *ctx);

/* What only shows when all is known: interval within min and max, segment size against message size … As hf_config_load. */
int hf_config_check(const struct hf_config *c, char *error, size_t error_cap) HF_MUST_CHECK;

/* Append one address to `listen`, as --listen does. As hf_config_set. */
int hf_config_add_listen(struct hf_config *c, const char *address, const char *origin, char *error,
                         size_t error_cap) HF_MUST_CHECK;

/* Append the reference of all keys as Markdown (docs/configuration.md is this text), and as the short list in --help. */
void hf_config_describe(struct hf_buf *out);
void hf_config_help(struct hf_buf *out);

/* Append a YAML file that has every key with its default, commented out with one '#', and what it is for with "# ". */
void hf_config_example(struct hf_buf *out);

#endif
