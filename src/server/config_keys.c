#include "server/config_keys.h"

#include <assert.h>
#include <string.h>

#define SECOND_MS 1000u
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define KIB 1024u
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

static const char *const level_names[] = {"debug", "info", "warning", "error", NULL};
static const char *const version_names[] = {"1.2", "1.3", NULL};
static const char *const format_names[] = {"logfmt", "json", NULL};

static const char *const seccomp_names[] = {"auto", "on", "off", NULL};
static const char *const mode_names[] = {"0600", "0660", "0666", NULL};
static const char *const says_names[] = {"none", "x-forwarded-for", "forwarded", NULL};

static const char *const fail_names[] = {"closed", "open", NULL};

#define AT(member)                                                                                           \
    .offset = offsetof(struct hf_config, member), .size = sizeof(((struct hf_config *)NULL)->member)
#define LIST(member, count_member) AT(member), .count_offset = offsetof(struct hf_config, count_member)
#define COUNT(member, low, high) HF_CONFIG_COUNT, AT(member), .min = (low), .max = (high)
#define DURATION(member, low, high) HF_CONFIG_DURATION, AT(member), .min = (low), .max = (high)
#define BYTES(member, low, high) HF_CONFIG_BYTES, AT(member), .min = (low), .max = (high)

/* clang-format off */
const struct hf_config_key hf_config_keys[] = {
    {"listen", HF_CONFIG_ADDRESSES, LIST(listen, listen_count), .initial = "127.0.0.1:8000",
     .about = "Addresses for clients without TLS, up to 8"},
    {"workers", COUNT(workers, 1, HF_WORKERS_MAX), .zero = "auto", .initial = "auto",
     .about = "Worker processes; `auto`: one per CPU, or as many as limits.connections needs where a process may have few file descriptors"},
    {"echo", HF_CONFIG_BOOL, AT(echo), .initial = "false",
     .about = "Serve a plain WebSocket echo on /echo"},

    {"demo.enabled", HF_CONFIG_BOOL, AT(demo), .initial = "false",
     .about = "Serve a page at / of the HTTP API's port that shows what the server does, and lets whoever opens it cut connections and kill workers"},
    {"demo.remote", HF_CONFIG_BOOL, AT(demo_remote), .initial = "false",
     .about = "Serve that page to other machines too; without it demo.enabled is refused where an address is not a loopback one"},

    {"api.listen", HF_CONFIG_ADDRESS, AT(api_listen), .initial = "127.0.0.1:8001",
     .about = "Address of the HTTP API, or a Unix socket: `unix:/run/holdfast/api`"},
    {"api.key", HF_CONFIG_SECRET, AT(api_key), .initial = "", .initial_text = "none",
     .live = true,
     .about = "Key that API requests carry in `Authorization: Bearer KEY`; without one only requests from this machine are served"},
    {"api.admin", HF_CONFIG_BOOL, AT(api_admin), .initial = "true",
     .live = true,
     .about = "Serve the admin page at /admin/ of the API's port; what it shows and does goes through the API, with its keys"},
    {"api.tls", HF_CONFIG_BOOL, AT(api_tls), .initial = "false",
     .about = "The HTTP API speaks TLS, with the certificates of tls.certificates"},
    {"api.socket_mode", HF_CONFIG_CHOICE, AT(api_socket_mode), .names = mode_names, .initial = "0600",
     .about = "Who may use the API's Unix socket: the server's own user, its group too, or all"},

    {"api.keys", HF_CONFIG_API_KEYS, LIST(api_keys, api_key_count), .initial = "none",
     .live = true,
     .about = "Further keys, by their hashes, as `holdfast token api-key NAME` makes them: each may do all (`full`), or change nothing (`read`)"},

    {"tls.listen", HF_CONFIG_ADDRESSES, LIST(tls_listen, tls_listen_count), .initial = "none",
     .about = "Addresses for clients with TLS (wss), up to 8"},
    {"tls.certificates", HF_CONFIG_CERTIFICATES, LIST(certificates, certificate_count), .initial_text = "none",
     .live = true,
     .about = "PEM files of certificates with their chains, and of their private keys, up to 16; the first serves whoever asks for no name that another one has. Read anew on SIGHUP"},
    {"tls.min_version", HF_CONFIG_CHOICE, AT(tls_min_version), .names = version_names, .initial = "1.2",
     .live = true,
     .about = "The oldest version of TLS that is spoken"},
    {"tls.ciphers", HF_CONFIG_TEXT, AT(tls_ciphers), .initial = "", .initial_text = "forward-secret AEAD suites",
     .live = true,
     .about = "Cipher suites of TLS 1.2 in OpenSSL's notation; those of 1.3 are OpenSSL's own"},
    {"tls.ticket_rotation", DURATION(ticket_rotation_ms, SECOND_MS, 7 * DAY_MS), .initial = "12h",
     .live = true,
     .about = "How long session tickets are made with one key; it opens them for as long again"},

    {"proxy.trusted", HF_CONFIG_NETWORKS, LIST(proxy_trusted, proxy_trusted_count), .initial = "none",
     .live = true,
     .about = "Proxies that are believed when they say whose connection they pass on, up to 32 networks"},
    {"proxy.protocol", HF_CONFIG_BOOL, AT(proxy_protocol), .initial = "false",
     .live = true,
     .about = "A connection from a trusted proxy begins with a PROXY header of version 2; from anybody else it must not"},
    {"proxy.header", HF_CONFIG_CHOICE, AT(proxy_says), .names = says_names, .initial = "x-forwarded-for",
     .live = true,
     .about = "The header in which a trusted proxy names its client; any other may come from the client itself, and is ignored"},

    {"admission.rate", COUNT(admission_rate, 0, 1000000), .initial_text = "12000 per CPU",
     .live = true,
     .about = "Handshakes a second, of all workers together; 70 % of them for resumes. 0: no bound"},
    {"admission.burst", COUNT(admission_burst, 0, 1000000), .initial = "0", .initial_text = "0: admission.rate",
     .live = true,
     .about = "Handshakes that may come at once after a pause"},

    {"auth.keys", HF_CONFIG_AUTH_KEYS, LIST(auth_keys, auth_key_count), .initial = "none",
     .live = true,
     .about = "Keys that sign clients' tokens (JWT), by their `kid`; with one, clients need a token. Read anew on SIGHUP"},
    {"auth.audience", HF_CONFIG_TEXT, AT(auth_audience), .initial = "", .initial_text = "none: tokens with `aud` are refused",
     .live = true,
     .about = "What a token's `aud` must be, or contain"},
    {"auth.issuer", HF_CONFIG_TEXT, AT(auth_issuer), .initial = "", .initial_text = "any",
     .live = true,
     .about = "What a token's `iss` must be"},
    {"auth.leeway", DURATION(auth_leeway_ms, 0, 10 * MINUTE_MS), .initial = "10s",
     .live = true,
     .about = "By how much the clocks of who signs and of this machine may differ"},
    {"auth.anonymous", HF_CONFIG_BOOL, AT(auth_anonymous), .initial = "false",
     .live = true,
     .about = "Let in whoever shows no token; without it a server without auth.keys serves loopback addresses only"},
    {"auth.origins", HF_CONFIG_ORIGINS, LIST(auth_origins, auth_origin_count), .initial = "none", .initial_text = "any",
     .live = true,
     .about = "Web pages that may connect, by their origins; who sends no `Origin` is no page, and not asked"},

    {"log.level", HF_CONFIG_CHOICE, AT(log_level), .names = level_names, .initial = "info",
     .live = true,
     .about = "The least important lines that are written"},
    {"log.format", HF_CONFIG_CHOICE, AT(log_format), .names = format_names, .initial = "logfmt",
     .live = true,
     .about = "Form of the log lines on standard error"},

    {"heartbeat.interval", DURATION(heartbeat_interval_ms, 100, HOUR_MS), .initial = "25s",
     .live = true,
     .about = "Silence after which the server sends a ping; after two of them a connection is ended with 4004"},
    {"heartbeat.min", DURATION(heartbeat_min_ms, 100, HOUR_MS), .initial = "10s",
     .live = true,
     .about = "The shortest interval that a client may ask for"},
    {"heartbeat.max", DURATION(heartbeat_max_ms, 100, HOUR_MS), .initial = "60s",
     .live = true,
     .about = "The longest interval that a client may ask for"},

    {"session.ttl", DURATION(session_ttl_ms, 100, DAY_MS), .initial = "120s",
     .live = true,
     .about = "How long a session outlives its connection"},
    {"session.tombstone", DURATION(session_tombstone_ms, SECOND_MS, 7 * DAY_MS), .initial = "24h",
     .live = true,
     .about = "How long an ended session's last publish number is known"},
    {"session.subscriptions", COUNT(session_subscriptions_max, 1, 65535), .initial = "256",
     .live = true,
     .about = "Subscriptions of one session"},
    {"session.max", COUNT(sessions_max, 16, 16777216), .initial = "1048576",
     .about = "Sessions of all workers together"},

    {"history.messages", COUNT(history_messages, 0, 1000000), .initial = "1024",
     .live = true,
     .about = "Messages that a channel keeps"},
    {"history.bytes", BYTES(history_bytes, 0, GIB), .initial = "1MiB",
     .live = true,
     .about = "Payload bytes that a channel keeps"},
    {"history.age", DURATION(history_age_ms, SECOND_MS, DAY_MS), .initial = "10m",
     .live = true,
     .about = "How long a channel keeps a message"},

    {"namespaces", HF_CONFIG_NAMESPACES, AT(namespaces), .initial_text = "none: everything is allowed to all",
     .live = true,
     .about = "Who may do what with which channels, and how these are kept: patterns of names, each with the keys below. With any of them, a channel that fits none is closed to clients"},

    {"memory.shards", COUNT(shards, 1, 256), .initial = "16",
     .about = "Slices of the channels; each has one log and one worker that owns it"},
    {"memory.segment", BYTES(segment_bytes, 64 * KIB, 16 * MIB), .initial = "1MiB",
     .about = "Size of a log's segment; at least 4 × limits.message + 64KiB"},
    {"memory.segments", COUNT(segments_per_shard, 4, 4095), .initial = "64",
     .about = "Segments of one shard's log"},

    {"limits.message", BYTES(message_bytes_max, 16, 4 * MIB), .initial = "64KiB",
     .about = "Bytes of a message's payload"},
    {"limits.connections", COUNT(connections_max, 0, 16777216), .initial = "0",
     .initial_text = "0: what the file descriptors allow",
     .live = true,
     .about = "Connections of all workers together"},
    {"limits.connections_per_address", COUNT(address_connections_max, 0, 1048575), .initial = "0",
     .initial_text = "0: no bound",
     .live = true,
     .about = "Connections of one address, in all workers together"},
    {"limits.address_bits_v4", COUNT(address_bits_v4, 8, 32), .initial = "32",
     .about = "IPv4 addresses that agree in so many bits count as one"},
    {"limits.address_bits_v6", COUNT(address_bits_v6, 16, 128), .initial = "64",
     .about = "IPv6 addresses that agree in so many bits count as one"},
    {"limits.channels", COUNT(channels_max, 1, 16777216), .initial = "1048576",
     .about = "Channels of all shards together"},
    {"limits.inflight", COUNT(inflight_max, 1, 65535), .initial = "1024",
     .live = true,
     .about = "Publishes of a session that are not answered yet"},
    {"limits.handshake", DURATION(handshake_timeout_ms, 100, 10 * MINUTE_MS), .initial = "10s",
     .live = true,
     .about = "Time for a connection's handshake"},
    {"limits.handshakes", COUNT(handshakes_max, 16, 1048576), .initial = "65536",
     .live = true,
     .about = "Connections of all workers together that are in their handshake; beyond that those that have waited longest for their client are ended"},
    {"limits.header_bytes", BYTES(header_bytes_max, 512, 64 * KIB), .initial = "8KiB",
     .live = true,
     .about = "Size of a handshake's head"},
    {"limits.headers", COUNT(headers_max, 8, 256), .initial = "100",
     .live = true,
     .about = "Headers in a handshake"},
    {"limits.write", DURATION(write_timeout_ms, 0, HOUR_MS), .initial = "60s",
     .live = true,
     .about = "Time in which a client must take something of what waits for it, else it is ended with 4005; 0: no bound"},
    {"limits.worker_memory", BYTES(worker_memory_max, 0, 3 * GIB), .initial = "0", .initial_text = "0: no bound",
     .live = true,
     .about = "Memory of its own, for connections and their buffers, with which a worker takes no more connections"},
    {"limits.publish_rate", COUNT(publish_rate, 0, 1000000), .initial = "0", .initial_text = "0: no bound",
     .live = true,
     .about = "Publishes of a session, a second; what is more is answered with nack `rate_limited`"},
    {"limits.publish_burst", COUNT(publish_burst, 0, 1000000), .initial = "0", .initial_text = "0: limits.publish_rate",
     .live = true,
     .about = "Publishes that a session may make at once after a pause"},

    {"compression.enabled", HF_CONFIG_BOOL, AT(compression_enabled), .initial = "false",
     .live = true,
     .about = "Compress messages for clients that offer permessage-deflate (RFC 7692)"},
    {"compression.min", BYTES(compression_min, 0, 4 * MIB), .initial = "256B",
     .live = true,
     .about = "Shorter messages are sent as they are; of those for one receiver only, shorter than four times this"},
    {"compression.level", COUNT(compression_level, 1, 9), .initial = "3",
     .live = true,
     .about = "Effort of the compressor: 1 is fast, 9 makes messages small"},
    {"compression.memory", COUNT(compression_memory, 1, 9), .initial = "5",
     .live = true,
     .about = "Memory of a worker's compressor: 128 KiB and 512 bytes doubled so many times"},
    {"compression.cache", BYTES(compression_cache_bytes, 64 * KIB, GIB), .initial = "4MiB",
     .live = true,
     .about = "Compressed messages that a worker keeps to share them between subscribers"},

    {"idempotency.age", DURATION(idempotency_age_ms, SECOND_MS, DAY_MS), .initial = "10m",
     .live = true,
     .about = "How long an idempotency key is known"},
    {"idempotency.keys", COUNT(idempotency_keys_max, 0, 10000000), .initial = "100000",
     .live = true,
     .about = "Idempotency keys that are known at a time"},

    {"hooks.secret", HF_CONFIG_SECRET, AT(hooks.secret), .initial = "", .initial_text = "none",
     .live = true,
     .about = "Key with which requests to the backend are signed, 16 characters at least; needed where one of the URLs below is set"},
    {"hooks.timeout", DURATION(hooks.timeout_ms, 100, MINUTE_MS), .initial = "5s",
     .live = true,
     .about = "Time for an answer of the backend, the wait for its turn included; of calls see hooks.call.timeout"},
    {"hooks.concurrency", COUNT(hooks.concurrency, 1, 1024), .initial = "64",
     .live = true,
     .about = "Requests of one worker that are under way to the backend at a time"},
    {"hooks.queue", COUNT(hooks.queue_max, 0, 65536), .initial = "1024",
     .live = true,
     .about = "Requests of one worker that wait for their turn; what comes beyond is answered `overloaded`"},
    {"hooks.answer", BYTES(hooks.answer_bytes_max, KIB, 16 * MIB), .initial = "128KiB",
     .live = true,
     .about = "Size of an answer of the backend; a longer one counts as none that is valid"},
    {"hooks.failures", COUNT(hooks.failures, 1, 1000), .initial = "5",
     .live = true,
     .about = "Requests of one hook that fail in a row, until the backend is not asked for a while"},
    {"hooks.pause", DURATION(hooks.pause_ms, 100, 10 * MINUTE_MS), .initial = "5s",
     .live = true,
     .about = "How long it is not asked then; what would ask is answered `unavailable` at once, and behind the pause one request tries it"},
    {"hooks.tls.ca", HF_CONFIG_TEXT, AT(hooks.tls_ca), .initial = "", .initial_text = "the system's",
     .live = true,
     .about = "PEM file with the certificates of the CAs by whom a backend with https is believed, in place of the system's own"},
    {"hooks.tls.certificate", HF_CONFIG_TEXT, AT(hooks.tls_certificate), .initial = "", .initial_text = "none",
     .live = true,
     .about = "PEM file with the certificate, and its chain, that is shown to a backend that asks for one"},
    {"hooks.tls.key", HF_CONFIG_TEXT, AT(hooks.tls_key), .initial = "", .initial_text = "in the certificate's file",
     .live = true,
     .about = "PEM file with its private key, without passphrase"},
    {"hooks.connect.url", HF_CONFIG_URL, AT(hooks.url[HF_HOOK_CONNECT]), .initial = "none",
     .live = true,
     .about = "Where to ask whether a new session may begin, and whose it is"},
    {"hooks.connect.fail", HF_CONFIG_CHOICE, AT(hooks.fail[HF_HOOK_CONNECT]), .names = fail_names, .initial = "closed",
     .live = true,
     .about = "What counts where the backend is down: `closed` refuses, `open` allows"},
    {"hooks.connect.resumes", HF_CONFIG_BOOL, AT(hooks.connect_resumes), .initial = "false",
     .live = true,
     .about = "Ask for a session that is resumed too, and not only for a new one"},
    {"hooks.subscribe.url", HF_CONFIG_URL, AT(hooks.url[HF_HOOK_SUBSCRIBE]), .initial = "none",
     .live = true,
     .about = "Where to ask whether a session may subscribe to a channel"},
    {"hooks.subscribe.fail", HF_CONFIG_CHOICE, AT(hooks.fail[HF_HOOK_SUBSCRIBE]), .names = fail_names, .initial = "closed",
     .live = true,
     .about = "As hooks.connect.fail"},
    {"hooks.publish.url", HF_CONFIG_URL, AT(hooks.url[HF_HOOK_PUBLISH]), .initial = "none",
     .live = true,
     .about = "Where to ask whether a session may publish a message"},
    {"hooks.publish.fail", HF_CONFIG_CHOICE, AT(hooks.fail[HF_HOOK_PUBLISH]), .names = fail_names, .initial = "closed",
     .live = true,
     .about = "As hooks.connect.fail"},
    {"hooks.call.url", HF_CONFIG_URL, AT(hooks.url[HF_HOOK_CALL]), .initial = "none",
     .live = true,
     .about = "Where clients' calls go"},
    {"hooks.call.timeout", DURATION(hooks.call_timeout_ms, 100, 10 * MINUTE_MS), .initial = "10s",
     .live = true,
     .about = "Time for the answer to a call"},
    {"hooks.call.concurrency", COUNT(hooks.calls_max, 1, 255), .initial = "32",
     .live = true,
     .about = "Calls of one connection that are not answered yet; what comes beyond is answered `limit`"},
    {"hooks.disconnect.url", HF_CONFIG_URL, AT(hooks.url[HF_HOOK_DISCONNECT]), .initial = "none",
     .live = true,
     .about = "Where to tell that a session has ended"},

    {"process.user", HF_CONFIG_TEXT, AT(process_user), .initial = "", .initial_text = "whoever starts it",
     .about = "User that a server started as root becomes, for good, when its sockets are bound and its certificates read; a name or a number"},
    {"process.group", HF_CONFIG_TEXT, AT(process_group), .initial = "", .initial_text = "the user's own",
     .about = "Group that it becomes"},
    {"process.seccomp", HF_CONFIG_CHOICE, AT(process_seccomp), .names = seccomp_names, .initial = "auto",
     .about = "Workers may make those system calls only that serving takes; `auto`: where the kernel can, `on`: or the server does not start"},

    {"drain.timeout", DURATION(drain_timeout_ms, 0, 10 * MINUTE_MS), .initial = "60s",
     .live = true,
     .about = "Time from SIGTERM until the last connection is closed, at the most: the drain is over when all have left, or when the time that admission.rate asks for is up"},
};
/* clang-format on */

static_assert(sizeof(hf_config_keys) / sizeof(hf_config_keys[0]) == HF_CONFIG_KEYS,
              "HF_CONFIG_KEYS counts them");

#define OF(member) .offset = offsetof(struct hf_namespace, member)
#define OF_COUNT(member, low, high) HF_CONFIG_COUNT, OF(member), .min = (low), .max = (high)
#define OF_BYTES(member, low, high) HF_CONFIG_BYTES, OF(member), .min = (low), .max = (high)
#define OF_RULES(right) HF_CONFIG_RULES, OF(allow[right]), .initial = "none"

static const char *const channel_mode_names[] = {"all", "latest", NULL};

/* clang-format off */
const struct hf_config_key hf_config_namespace_keys[] = {
    {"allow", HF_CONFIG_RULES, OF(allow), .initial = "none",
     .about = "Who may do all four of the following; or a section that says it for each"},
    {"allow.subscribe", OF_RULES(HF_RIGHT_SUBSCRIBE),
     .about = "Who may follow its channels"},
    {"allow.publish", OF_RULES(HF_RIGHT_PUBLISH),
     .about = "Which clients may publish; the backend always may"},
    {"allow.history", OF_RULES(HF_RIGHT_HISTORY),
     .about = "Who may read what was published before; to a subscriber who may not the history is empty"},
    {"allow.presence", OF_RULES(HF_RIGHT_PRESENCE),
     .about = "Who may ask who is there, and be told who comes and goes"},
    {"presence", HF_CONFIG_BOOL, OF(presence), .initial = "true",
     .about = "Tell who is there at all"},
    {"mode", HF_CONFIG_CHOICE, OF(mode), .names = channel_mode_names, .initial = "all",
     .about = "What a subscription that names no mode gets: every message, or the newest value at once and then the newest only"},
    {"history.messages", OF_COUNT(history_messages, 0, 1000000), .initial_text = "history.messages of the server",
     .about = "Messages that a channel keeps"},
    {"history.bytes", OF_BYTES(history_bytes, 0, GIB), .initial_text = "history.bytes of the server",
     .about = "Payload bytes that a channel keeps"},
    {"history.age", HF_CONFIG_DURATION, OF(history_age_ms), .min = SECOND_MS, .max = DAY_MS, .initial_text = "history.age of the server",
     .about = "How long a channel keeps a message"},
    {"limits.message", OF_BYTES(message_bytes_max, 16, 4 * MIB), .initial_text = "limits.message of the server",
     .about = "Bytes of a message's payload, of the backend's too; at most limits.message of the server"},
    {"limits.publish_rate", OF_COUNT(publish_rate, 0, 1000000), .initial = "0", .initial_text = "0: no bound",
     .about = "Publishes of a session into this namespace, a second; what is more is answered with nack `rate_limited`"},
    {"limits.publish_burst", OF_COUNT(publish_burst, 0, 1000000), .initial = "0", .initial_text = "0: limits.publish_rate",
     .about = "Publishes into this namespace that a session may make at once after a pause"},
};
/* clang-format on */

static_assert(sizeof(hf_config_namespace_keys) / sizeof(hf_config_namespace_keys[0]) ==
                  HF_CONFIG_NAMESPACE_KEYS,
              "HF_CONFIG_NAMESPACE_KEYS counts them");

const struct hf_config_table hf_config_table = {hf_config_keys, HF_CONFIG_KEYS};
const struct hf_config_table hf_config_namespace_table = {hf_config_namespace_keys, HF_CONFIG_NAMESPACE_KEYS};

const struct hf_config_key *hf_config_table_find(const struct hf_config_table *t, struct hf_str name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (hf_str_eq(hf_str_from(t->keys[i].name), name))
            return &t->keys[i];
    }
    return NULL;
}

bool hf_config_table_is_section(const struct hf_config_table *t, struct hf_str name)
{
    for (size_t i = 0; i < t->count; i++) {
        const char *known = t->keys[i].name;

        if (strlen(known) > name.len && memcmp(known, name.data, name.len) == 0 && known[name.len] == '.')
            return true;
    }
    return false;
}

enum { NAME_MAX_BYTES = 48 }; /* longer than any key by half */

static unsigned smallest(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;

    return least < c ? least : c;
}

/* How many letters must be added, left out or replaced to get from one to the other (Levenshtein). Both at most NAME_MAX_BYTES long. */
static unsigned distance(struct hf_str a, struct hf_str b)
{
    unsigned row[NAME_MAX_BYTES + 1];

    for (unsigned j = 0; j <= b.len; j++)
        row[j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned diagonal = row[0];

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned above = row[j];

            row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (a.data[i - 1] != b.data[j - 1]));
            diagonal = above;
        }
    }
    return row[b.len];
}

/* The closest name so far, and how far it is. */
struct nearest {
    struct hf_str name;
    unsigned distance;
};

static void consider(struct nearest *n, struct hf_str known, unsigned how_far)
{
    if (how_far < n->distance)
        *n = (struct nearest){known, how_far};
}

struct hf_str hf_config_table_nearest(const struct hf_config_table *t, struct hf_str name)
{
    /* A third of the letters wrong is no typing error any more; a guess. */
    struct nearest n = {.distance = (unsigned)name.len / 3 + 2};

    if (name.len > NAME_MAX_BYTES)
        return n.name;
    for (size_t i = 0; i < t->count; i++) {
        struct hf_str known = hf_str_from(t->keys[i].name);
        const char *dot = memchr(known.data, '.', known.len);

        consider(&n, known, distance(name, known));
        if (dot != NULL) {
            struct hf_str section = {known.data, (size_t)(dot - known.data)};

            consider(&n, section, distance(name, section));
            /* "interval" where "heartbeat.interval" belongs: as good as one wrong letter. */
            consider(&n, known, distance(name, hf_str_from(dot + 1)) + 1);
        }
    }
    return n.name;
}
