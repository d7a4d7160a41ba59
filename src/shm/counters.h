/*
 * counters.h - what each worker counts, in shared memory, so that a count survives the worker that made it.
 * One writer per slot (the worker in it, then its successor), any number of readers. Counters and histograms only rise; gauges belong to the
 * process and are set to 0 when a new one starts in the slot.
 */
#ifndef HF_SHM_COUNTERS_H
#define HF_SHM_COUNTERS_H

#include "shm/shared_histogram.h"

#include <stdatomic.h>
#include <stdint.h>

/* name in C, metric name without the prefix "holdfast_" (and label where it has one), help text */
#define HF_COUNTER_LIST(X)                                                                                   \
    X(CONNECTIONS_OPENED, "connections_opened_total", "", "WebSocket connections accepted")                  \
    X(REFUSED_REQUEST, "handshakes_refused_total", "{cause=\"request\"}",                                    \
      "upgrade requests that were refused, by cause")                                                        \
    X(REFUSED_TIMEOUT, "handshakes_refused_total", "{cause=\"timeout\"}", "")                                \
    X(REFUSED_HANDSHAKES, "handshakes_refused_total", "{cause=\"handshakes\"}", "")                          \
    X(REFUSED_DRAINING, "handshakes_refused_total", "{cause=\"draining\"}", "")                              \
    X(REFUSED_CONNECTIONS, "handshakes_refused_total", "{cause=\"connections\"}", "")                        \
    X(REFUSED_DESCRIPTORS, "handshakes_refused_total", "{cause=\"descriptors\"}", "")                        \
    X(REFUSED_ADDRESS, "handshakes_refused_total", "{cause=\"address\"}", "")                                \
    X(REFUSED_RATE, "handshakes_refused_total", "{cause=\"rate\"}", "")                                      \
    X(REFUSED_SESSIONS, "handshakes_refused_total", "{cause=\"sessions\"}", "")                              \
    X(REFUSED_MEMORY, "handshakes_refused_total", "{cause=\"memory\"}", "")                                  \
    X(REFUSED_TAKEOVER, "handshakes_refused_total", "{cause=\"takeover\"}", "")                              \
    X(REFUSED_ATTEMPT, "handshakes_refused_total", "{cause=\"attempt\"}", "")                                \
    X(REFUSED_PROXY_HEADER, "handshakes_refused_total", "{cause=\"proxy_header\"}", "")                      \
    X(REFUSED_TOKEN, "handshakes_refused_total", "{cause=\"token\"}", "")                                    \
    X(REFUSED_ORIGIN, "handshakes_refused_total", "{cause=\"origin\"}", "")                                  \
    X(REFUSED_BACKEND, "handshakes_refused_total", "{cause=\"backend\"}", "")                                \
    X(REFUSED_HOOK, "handshakes_refused_total", "{cause=\"hook\"}", "")                                      \
    X(TOKEN_MISSING, "tokens_refused_total", "{cause=\"missing\"}",                                          \
      "tokens of handshakes and refreshes that were refused, by cause")                                      \
    X(TOKEN_SEVERAL, "tokens_refused_total", "{cause=\"several\"}", "")                                      \
    X(TOKEN_TOO_LONG, "tokens_refused_total", "{cause=\"too_long\"}", "")                                    \
    X(TOKEN_MALFORMED, "tokens_refused_total", "{cause=\"malformed\"}", "")                                  \
    X(TOKEN_UNSIGNED, "tokens_refused_total", "{cause=\"unsigned\"}", "")                                    \
    X(TOKEN_KEY, "tokens_refused_total", "{cause=\"key\"}", "")                                              \
    X(TOKEN_ALGORITHM, "tokens_refused_total", "{cause=\"algorithm\"}", "")                                  \
    X(TOKEN_SIGNATURE, "tokens_refused_total", "{cause=\"signature\"}", "")                                  \
    X(TOKEN_EXPIRED, "tokens_refused_total", "{cause=\"expired\"}", "")                                      \
    X(TOKEN_NOT_YET, "tokens_refused_total", "{cause=\"not_yet\"}", "")                                      \
    X(TOKEN_AUDIENCE, "tokens_refused_total", "{cause=\"audience\"}", "")                                    \
    X(TOKEN_ISSUER, "tokens_refused_total", "{cause=\"issuer\"}", "")                                        \
    X(TOKEN_CLAIMS, "tokens_refused_total", "{cause=\"claims\"}", "")                                        \
    X(TOKEN_USER, "tokens_refused_total", "{cause=\"user\"}", "")                                            \
    X(TOKEN_NO_MEMORY, "tokens_refused_total", "{cause=\"no_memory\"}", "")                                  \
    X(TOKENS_REFRESHED, "tokens_refreshed_total", "", "tokens that took a connection's old one's place")     \
    X(TOKENS_REVOKED, "tokens_revoked_total", "",                                                            \
      "connections ended because the key of their token is no longer in auth.keys")                          \
    X(HANDSHAKES_TIMED_OUT, "handshakes_timed_out_total", "",                                                \
      "upgrade requests that were not whole by the deadline")                                                \
    X(ADDRESSES_UNCOUNTED, "addresses_uncounted_total", "",                                                  \
      "connections whose address found no room in the table of limits.connections_per_address")              \
    X(FORWARDED_MALFORMED, "forwarded_malformed_total", "",                                                  \
      "headers of trusted proxies that name their client, and are malformed")                                \
    X(RESUMES_OK, "resumes_total", "{result=\"resumed\"}", "attempts to take a session over, by result")     \
    X(RESUMES_EXPIRED, "resumes_total", "{result=\"unknown\"}", "")                                          \
    X(RESUMES_TOMBSTONE, "resumes_total", "{result=\"tombstone\"}", "")                                      \
    X(RESUMES_STALE, "resumes_total", "{result=\"stale_attempt\"}", "")                                      \
    X(RESUMES_OTHER_USER, "resumes_total", "{result=\"other_user\"}", "")                                    \
    X(RESUMES_FAILED, "resumes_total", "{result=\"unavailable\"}", "")                                       \
    X(SESSIONS_EXPIRED, "sessions_expired_total", "", "sessions that ended without coming back")             \
    X(MESSAGES_IN, "messages_received_total", "", "protocol messages received from clients")                 \
    X(BYTES_IN, "bytes_received_total", "", "bytes received from clients")                                   \
    X(BYTES_OUT, "bytes_sent_total", "", "bytes sent to clients")                                            \
    X(WRITES, "writes_total", "", "gathered writes to clients")                                              \
    X(PUBLISHES, "publishes_total", "", "publishes applied by the shards of this worker")                    \
    X(PUBLISHES_REPEATED, "publishes_repeated_total", "", "publishes recognised as applied already")         \
    X(PUBLISHES_REFUSED, "publishes_refused_total", "", "publishes answered with nack")                      \
    X(PUBLISHES_RATE_LIMITED, "publishes_rate_limited_total", "",                                            \
      "publishes refused because their session makes more than it may")                                      \
    X(SUBSCRIPTIONS_REFUSED_SESSION, "subscriptions_refused_total", "{cause=\"session\"}",                   \
      "subscriptions refused at a limit: of the session, of all channels")                                   \
    X(SUBSCRIPTIONS_REFUSED_CHANNELS, "subscriptions_refused_total", "{cause=\"channels\"}", "")             \
    X(SUBSCRIPTIONS_ENDED_RULES, "subscriptions_ended_total", "{cause=\"rules\"}",                           \
      "subscriptions ended because the rules or the user's token allow them no longer")                      \
    X(FORBIDDEN_SUBSCRIBE, "forbidden_total", "{right=\"subscribe\"}",                                       \
      "requests refused because a namespace does not allow them, by the right that was missing")             \
    X(FORBIDDEN_PUBLISH, "forbidden_total", "{right=\"publish\"}", "")                                       \
    X(FORBIDDEN_HISTORY, "forbidden_total", "{right=\"history\"}", "")                                       \
    X(FORBIDDEN_PRESENCE, "forbidden_total", "{right=\"presence\"}", "")                                     \
    X(DELIVERIES, "deliveries_total", "", "messages written to subscribers")                                 \
    X(SKIPPED, "deliveries_skipped_total", "",                                                               \
      "messages not sent to subscribers in mode latest, because a newer one stood behind them")              \
    X(GAP_EVICTED, "gap_messages_total", "{code=\"evicted\"}",                                               \
      "messages that subscribers were told they cannot have")                                                \
    X(GAP_EPOCH, "gap_messages_total", "{code=\"epoch\"}", "")                                               \
    X(PRESENCE_MISSED, "presence_missed_total", "",                                                          \
      "times that a subscriber was told that joins and leaves were left out")                                \
    X(BAD_MESSAGES, "bad_messages_total", "", "malformed protocol messages")                                 \
    X(ACKS_IGNORED, "acks_ignored_total", "",                                                                \
      "acknowledgements above what had been sent, or of no known id")                                        \
    X(HEARTBEATS_SENT, "heartbeats_sent_total", "", "heartbeats sent to idle connections")                   \
    X(HEARTBEATS_SAVED, "heartbeats_saved_total", "",                                                        \
      "times that a heartbeat was due and put off, because something had been received meanwhile")           \
    X(HEARTBEATS_MISSED, "heartbeats_missed_total", "", "connections ended because nothing came back")       \
    X(RING_FULL, "ring_full_total", "", "times that a full ring to another worker held a producer back")     \
    X(LOG_FULL, "log_full_total", "", "times that a log with every segment pinned held producers back")      \
    X(STALLS, "stalled_connections_total", "",                                                               \
      "times that reading from a connection paused for back-pressure")                                       \
    X(SEGMENTS_RECYCLED, "segments_recycled_total", "", "log segments recycled")                             \
    X(CHANNELS_REMOVED, "channels_removed_total", "", "idle channels forgotten")                             \
    X(ACCEPT_ERRORS, "accept_errors_total", "",                                                              \
      "connections lost at accept, for want of descriptors or memory")                                       \
    X(WORKERS_FULL, "workers_full_total", "",                                                                \
      "times that a worker had as many connections as it has room for, so that others get the new ones")     \
    X(BINARY_CONNECTIONS, "binary_connections_total", "", "connections accepted with holdfast.v1.bin")       \
    X(DEFLATE_CONNECTIONS, "deflate_connections_total", "", "connections accepted with permessage-deflate")  \
    X(DEFLATED, "deflated_messages_total", "", "messages compressed, each once for all its receivers")       \
    X(DEFLATE_BYTES_PLAIN, "deflate_bytes_total", "{form=\"plain\"}",                                        \
      "bytes of those messages, before and after")                                                           \
    X(DEFLATE_BYTES_PACKED, "deflate_bytes_total", "{form=\"compressed\"}", "")                              \
    X(DEFLATE_SHARED, "deflate_deliveries_total", "", "deliveries of channels' messages in compressed form") \
    X(DEFLATE_USELESS, "deflate_useless_total", "", "messages that compression would not make smaller")      \
    X(DEFLATE_NO_ROOM, "deflate_no_room_total", "",                                                          \
      "deliveries left plain because the compressed frames of one turn filled the cache")                    \
    X(INFLATED, "inflated_messages_total", "", "compressed messages received")                               \
    X(INFLATE_BYTES_PACKED, "inflate_bytes_total", "{form=\"compressed\"}",                                  \
      "bytes of those messages, before and after")                                                           \
    X(INFLATE_BYTES_PLAIN, "inflate_bytes_total", "{form=\"plain\"}", "")                                    \
    X(INFLATE_TOO_BIG, "inflate_refused_total", "{cause=\"too_big\"}",                                       \
      "compressed messages refused, by cause")                                                               \
    X(INFLATE_MALFORMED, "inflate_refused_total", "{cause=\"malformed\"}", "")                               \
    X(INFLATE_NO_MEMORY, "inflate_refused_total", "{cause=\"no_memory\"}", "")                               \
    X(TLS_1_2_FULL, "tls_handshakes_total", "{version=\"1.2\",resumed=\"no\"}",                              \
      "TLS handshakes, by version and whether a ticket spared the certificate")                              \
    X(TLS_1_2_RESUMED, "tls_handshakes_total", "{version=\"1.2\",resumed=\"yes\"}", "")                      \
    X(TLS_1_3_FULL, "tls_handshakes_total", "{version=\"1.3\",resumed=\"no\"}", "")                          \
    X(TLS_1_3_RESUMED, "tls_handshakes_total", "{version=\"1.3\",resumed=\"yes\"}", "")                      \
    X(TLS_FAILED_PLAIN, "tls_handshakes_failed_total", "{cause=\"plain_http\"}",                             \
      "TLS handshakes that failed, by cause")                                                                \
    X(TLS_FAILED_GARBAGE, "tls_handshakes_failed_total", "{cause=\"no_tls\"}", "")                           \
    X(TLS_FAILED_VERSION, "tls_handshakes_failed_total", "{cause=\"version\"}", "")                          \
    X(TLS_FAILED_CIPHER, "tls_handshakes_failed_total", "{cause=\"nothing_shared\"}", "")                    \
    X(TLS_FAILED_ALPN, "tls_handshakes_failed_total", "{cause=\"alpn\"}", "")                                \
    X(TLS_FAILED_CERTIFICATE, "tls_handshakes_failed_total", "{cause=\"certificate_refused\"}", "")          \
    X(TLS_FAILED_UNFINISHED, "tls_handshakes_failed_total", "{cause=\"unfinished\"}", "")                    \
    X(TLS_FAILED_OTHER, "tls_handshakes_failed_total", "{cause=\"other\"}", "")                              \
    X(TLS_TRUNCATED, "tls_connections_broken_total", "{cause=\"truncated\"}",                                \
      "TLS connections that broke after their handshake, by cause")                                          \
    X(TLS_BROKEN, "tls_connections_broken_total", "{cause=\"bad_record\"}", "")                              \
    X(TLS_FLOODED, "tls_connections_broken_total", "{cause=\"key_updates\"}", "")                            \
    X(TLS_RELOADS_MISSED, "tls_reloads_missed_total", "",                                                    \
      "times that a worker could not load certificates that the supervisor had found good")                  \
    X(KEY_RELOADS_MISSED, "key_reloads_missed_total", "",                                                    \
      "times that a worker could not load keys of tokens that the supervisor had found good")                \
    X(TLS_ON_PLAIN, "tls_on_plain_port_total", "", "connections that began with TLS on a port without")      \
    X(HOOK_REQUESTS_CONNECT, "hook_requests_total", "{hook=\"connect\"}",                                    \
      "requests sent to the application's backend, by hook")                                                 \
    X(HOOK_REQUESTS_SUBSCRIBE, "hook_requests_total", "{hook=\"subscribe\"}", "")                            \
    X(HOOK_REQUESTS_PUBLISH, "hook_requests_total", "{hook=\"publish\"}", "")                                \
    X(HOOK_REQUESTS_CALL, "hook_requests_total", "{hook=\"call\"}", "")                                      \
    X(HOOK_REQUESTS_DISCONNECT, "hook_requests_total", "{hook=\"disconnect\"}", "")                          \
    X(HOOK_FAILED_DOWN, "hook_failures_total", "{cause=\"down\"}",                                           \
      "requests to the backend that had no valid answer, by cause")                                          \
    X(HOOK_FAILED_BROKEN, "hook_failures_total", "{cause=\"broken\"}", "")                                   \
    X(HOOK_FAILED_TIMEOUT, "hook_failures_total", "{cause=\"timeout\"}", "")                                 \
    X(HOOK_FAILED_TOO_LARGE, "hook_failures_total", "{cause=\"too_large\"}", "")                             \
    X(HOOK_FAILED_INVALID, "hook_failures_total", "{cause=\"invalid\"}", "")                                 \
    X(HOOK_FAILED_FULL, "hook_failures_total", "{cause=\"full\"}", "")                                       \
    X(HOOK_FAILED_PAUSED, "hook_failures_total", "{cause=\"paused\"}", "")                                   \
    X(HOOK_PAUSES, "hook_pauses_total", "",                                                                  \
      "times that a hook's backend was left alone because requests had failed in a row")                     \
    X(HOOK_LATE, "hook_answers_unclaimed_total", "", "answers of the backend whose connection had gone")     \
    X(HOOK_DISCONNECTS_LOST, "hook_disconnects_lost_total", "",                                              \
      "ended sessions of which the backend could not be told")                                               \
    X(CALLS_REFUSED, "calls_refused_total", "",                                                              \
      "calls refused because their connection had enough of them under way")                                 \
    X(CLOSE_1000, "closes_total", "{code=\"1000\"}", "connections ended, by close code")                     \
    X(CLOSE_1001, "closes_total", "{code=\"1001\"}", "")                                                     \
    X(CLOSE_1002, "closes_total", "{code=\"1002\"}", "")                                                     \
    X(CLOSE_1003, "closes_total", "{code=\"1003\"}", "")                                                     \
    X(CLOSE_1006, "closes_total", "{code=\"1006\"}", "")                                                     \
    X(CLOSE_1007, "closes_total", "{code=\"1007\"}", "")                                                     \
    X(CLOSE_1008, "closes_total", "{code=\"1008\"}", "")                                                     \
    X(CLOSE_1009, "closes_total", "{code=\"1009\"}", "")                                                     \
    X(CLOSE_1011, "closes_total", "{code=\"1011\"}", "")                                                     \
    X(CLOSE_1012, "closes_total", "{code=\"1012\"}", "")                                                     \
    X(CLOSE_1013, "closes_total", "{code=\"1013\"}", "")                                                     \
    X(CLOSE_4001, "closes_total", "{code=\"4001\"}", "")                                                     \
    X(CLOSE_4002, "closes_total", "{code=\"4002\"}", "")                                                     \
    X(CLOSE_4003, "closes_total", "{code=\"4003\"}", "")                                                     \
    X(CLOSE_4004, "closes_total", "{code=\"4004\"}", "")                                                     \
    X(CLOSE_4005, "closes_total", "{code=\"4005\"}", "")                                                     \
    X(CLOSE_OTHER, "closes_total", "{code=\"other\"}", "")                                                   \
    X(DISCONNECT_CLIENT, "disconnects_total", "{cause=\"client\"}", "connections ended, by cause")           \
    X(DISCONNECT_LOST, "disconnects_total", "{cause=\"lost\"}", "")                                          \
    X(DISCONNECT_HEARTBEAT, "disconnects_total", "{cause=\"heartbeat\"}", "")                                \
    X(DISCONNECT_SLOW, "disconnects_total", "{cause=\"slow\"}", "")                                          \
    X(DISCONNECT_SUPERSEDED, "disconnects_total", "{cause=\"superseded\"}", "")                              \
    X(DISCONNECT_BACKEND, "disconnects_total", "{cause=\"backend\"}", "")                                    \
    X(DISCONNECT_SHUTDOWN, "disconnects_total", "{cause=\"shutdown\"}", "")                                  \
    X(DISCONNECT_REFUSED, "disconnects_total", "{cause=\"refused\"}", "")                                    \
    X(DISCONNECT_TOKEN, "disconnects_total", "{cause=\"token\"}", "")                                        \
    X(DISCONNECT_PROTOCOL, "disconnects_total", "{cause=\"protocol\"}", "")                                  \
    X(DISCONNECT_SERVER, "disconnects_total", "{cause=\"server\"}", "")                                      \
    X(DISCONNECT_OTHER, "disconnects_total", "{cause=\"other\"}", "")

#define HF_GAUGE_LIST(X)                                                                                     \
    X(CONNECTIONS, "connections", "open WebSocket connections")                                              \
    X(BINARY, "connections_binary", "those of them that speak holdfast.v1.bin")                              \
    X(ATTACHED, "sessions_attached", "sessions with a connection")                                           \
    X(BLOCKED, "connections_blocked", "connections whose socket takes nothing more now")                     \
    X(SUBSCRIPTIONS, "subscriptions", "subscriptions of the open connections")

/* name in C, metric name without the prefix "holdfast_", how many of the recorded unit make a second, help text */
#define HF_MEASURE_LIST(X)                                                                                   \
    X(DELIVERY, "delivery_latency_seconds", 1000000,                                                         \
      "from a publish's arrival to its being written to a subscriber who follows the channel live")          \
    X(HEARTBEAT_RTT, "heartbeat_rtt_seconds", 1000000,                                                       \
      "from a heartbeat's going out to the next byte from the client")                                       \
    X(LIFETIME, "connection_lifetime_seconds", 1000, "how long connections stood, told when they ended")     \
    X(LOOP_TURN, "loop_turn_seconds", 1000000, "how long a worker worked in one turn of its loop")           \
    X(LOOP_LAG, "loop_lag_seconds", 1000000, "how much later than due a worker's loop came to its timers")

enum hf_counter {
#define HF_COUNTER_ENUM(name, metric, label, help) HF_COUNT_##name,
    HF_COUNTER_LIST(HF_COUNTER_ENUM)
#undef HF_COUNTER_ENUM
        HF_COUNTERS
};

enum hf_gauge {
#define HF_GAUGE_ENUM(name, metric, help) HF_GAUGE_##name,
    HF_GAUGE_LIST(HF_GAUGE_ENUM)
#undef HF_GAUGE_ENUM
        HF_GAUGES
};

enum hf_measure {
#define HF_MEASURE_ENUM(name, metric, unit, help) HF_MEASURE_##name,
    HF_MEASURE_LIST(HF_MEASURE_ENUM)
#undef HF_MEASURE_ENUM
        HF_MEASURES
};

struct hf_counters {
    _Atomic uint64_t counter[HF_COUNTERS];
    _Atomic uint64_t gauge[HF_GAUGES];
    struct hf_shared_histogram measure[HF_MEASURES];
};

/* One writer, so a load and a store do; readers in other processes see whole numbers. */
static inline void hf_count(struct hf_counters *c, enum hf_counter which, uint64_t n)
{
    hf_shared_add(&c->counter[which], n);
}

static inline void hf_gauge_add(struct hf_counters *c, enum hf_gauge which, int64_t n)
{
    hf_shared_add(&c->gauge[which], (uint64_t)n);
}

/* Count a value, in the unit of its list. */
static inline void hf_measure(struct hf_counters *c, enum hf_measure which, uint64_t value)
{
    hf_shared_histogram_record(&c->measure[which], value, 1);
}

#endif
